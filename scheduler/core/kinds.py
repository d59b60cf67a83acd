"""What does not change with use of nodes, for one class of pods: where they may go, and what kind each node is.

Nodes of one kind have the same devices that serve the demand, linked in the same way: they differ in nothing but what
is in use. Of other nodes it is noted how devices are found there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from scheduler.core.bays import Bytes, pack
from scheduler.core.catalogue import Catalogue
from scheduler.core.demand import Demand, DeviceRequest
from scheduler.core.eligibility import Eligibility
from scheduler.core.model import MAX_RESULTS
from scheduler.core.parts import Cuts
from scheduler.core.rules import NODE_RULES
from scheduler.core.shapes import positions_of
from scheduler.core.shares import Shares
from scheduler.core.solvers.search import NodeProblem
from scheduler.core.state import State
from scoring.arrays import Counts, Mask, Rows
from scoring.sets import SetTable

# Where no device can serve, where only the exact search can tell, where shares are picked, and where parts are.
NOWHERE: Final = -1
SEARCHED: Final = -2
SHARED: Final = -3
CUT: Final = -4
_VECTOR_ROWS = 48  # from here on grouping equal rows by sorting beats a dictionary
_FIXED_RULES = tuple(rule for rule in NODE_RULES if not rule.on_use and not rule.on_pods)
_LABEL_CELLS = 4_000_000  # comparisons held in memory at once


@dataclass(slots=True)
class NodeKind:
    """Nodes that differ in nothing but what is in use. problem : theirs, with nothing free. shapes : by free bits."""

    problem: NodeProblem
    table: SetTable | None
    shapes: dict[int, int]


class Kinds:
    """One row a node.

    allowed : bool (N,), no rule rules the node out, use aside. kind : int32 (N,), number in `found` or one of the
    constants above. sharing : bool (N,), devices are shared there, and counting decides. found : the kinds so far.
    """

    def __init__(
        self,
        demand: Demand,
        catalogue: Catalogue,
        weights: tuple[float, ...],
        eligible: Sequence[Sequence[Eligibility]],
        shares: Shares | None,
        cuts: Cuts | None,
    ) -> None:
        self.allowed: Mask = np.zeros(0, np.bool_)
        self.kind: Rows = np.zeros(0, np.int32)
        self.sharing: Mask = np.zeros(0, np.bool_)
        self.found: list[NodeKind] = []
        self.one: Final = len(demand.wants) == 1 and demand.wants[0].count > 1  # a set of devices, judged as such
        self._index: dict[bytes, int] = {}
        self._demand = demand
        self._catalogue = catalogue
        self._weights = weights
        self._eligible = eligible
        self._every = [each for asks in eligible for each in asks]
        self._shares = shares
        self._cuts = cuts
        self._matches = [relation for relation in demand.relations if not relation.distinct]
        self._plain = demand.plain
        self._whole = any(not want.count for want in demand.wants)
        self._first_fit = catalogue.first_fit(demand)

    def resize(self, size: int) -> None:
        """Know nothing of so many nodes."""
        self.allowed = np.zeros(size, np.bool_)
        self.kind = np.full(size, NOWHERE, np.int32)
        self.sharing = np.zeros(size, np.bool_)

    def forget(self) -> None:
        """Drop the kinds; every node has to be sorted anew."""
        self.found.clear()
        self._index.clear()

    def sort(self, state: State, rows: Rows) -> None:
        """Note of these nodes what does not change with use: whether the pod may go there, and what kind they are."""
        self.allowed[rows] = self.sharing[rows] = False
        self.kind[rows] = NOWHERE
        rows = rows[state.nodes.live[rows]]
        for rule in _FIXED_RULES:
            if not len(rows):
                return
            rows = rows[rule.mask(state.nodes, self._demand, rows)]
        self.allowed[rows] = True
        if self._demand.wants and len(rows):
            exact, shared = self._needs_search(state, rows)
            cut = self._sort_parts(state, rows, exact, shared)
            self.kind[rows[exact]] = SEARCHED
            self.kind[rows[cut]] = CUT
            exact |= cut
            self.sharing[rows[shared]] = True
            if not self.one:
                self.kind[rows[shared]] = SHARED
            self._sort_plain(state, rows[~exact & ~shared | shared & self.one])

    def _needs_search(self, state: State, rows: Rows) -> tuple[Mask, Mask]:
        """Where counting and matching are not enough, or an error may be met; and where shares are counted.

        bool (len(rows),) each.
        """
        shared: Mask = np.zeros(len(rows), np.bool_)
        if not self._plain and self._shares is None:
            return ~shared, shared
        found: Mask = state.bays.intricate[rows] & ~self._catalogue.parts.drawn[rows]
        if self._whole or len(self._demand.wants) > 1:
            found |= state.bays.partitioned[rows]  # requests of one claim share a partition
        if self._whole and state.bays.problems:
            found |= np.isin(rows, np.fromiter(state.bays.problems, np.int64, len(state.bays.problems)))
        if self._whole:
            found |= self._asks_too_much(state, rows)
        for [eligible] in self._eligible:
            if eligible.failed.any():
                seen = state.bays.rows[rows]
                found |= ((seen >= 0) & eligible.failed[seen]).any(axis=1)
        if state.capacities.values:
            if self._shares is not None:
                shared, others = self._shares.sort(state, rows)
                found |= shared & others if self._plain else others
                shared &= ~found
            else:
                found |= self._selects_shareable(state, rows)
        elif not self._plain:  # amounts are asked of devices that cannot be shared
            found[:] = True
        return found, shared

    def _sort_parts(self, state: State, rows: Rows, exact: Mask, shared: Mask) -> Mask:
        """Of these nodes those where a part of a card is picked; `exact` grows by those where parts need the search.

        Where each card has one part at most that serves the demand, counting and matching decide as anywhere else; and
        they do so for whole GPUs in any case, so that links are looked at.
        """
        parts = self._catalogue.parts
        cut: Mask = np.zeros(len(rows), np.bool_)
        [at] = (parts.drawn[rows] & ~exact & ~shared).nonzero()
        if not len(at):
            return cut
        found = parts.sort(state, rows[at], self._every)
        if self._cuts is not None:
            cut[at] = found.only & ~(found.alone & found.whole)
            self._cuts.sort(state, rows[cut])
        exact[at] = ~cut[at] & (~found.alone | self._whole)
        return cut

    def _selects_shareable(self, state: State, rows: Rows) -> Mask:
        """bool (len(rows),): where a device that can be shared is selected."""
        seen = state.bays.rows[rows]
        shareable = (seen >= 0) & (state.capacities.codes[seen] >= 0)
        found: Mask = np.zeros(len(rows), np.bool_)
        for [eligible] in self._eligible:
            found |= (shareable & eligible.selected[seen]).any(axis=1)
        return found

    def _asks_too_much(self, state: State, rows: Rows) -> Mask:
        """bool (len(rows),): where mode All comes to more devices than a claim can hold."""
        seen = state.bays.rows[rows]
        asked: dict[int, Counts] = {}
        for want, [eligible] in zip(self._demand.wants, self._eligible, strict=True):
            count = np.int64(want.count) if want.count else ((seen >= 0) & eligible.selected[seen]).sum(axis=1)
            asked[want.claim] = asked.get(want.claim, np.zeros(len(rows), np.int64)) + count
        found: Mask = np.any([counts > MAX_RESULTS for counts in asked.values()], axis=0)
        return found

    def _sort_plain(self, state: State, rows: Rows) -> None:
        """Note the kind of nodes where counting and matching decide."""
        if not len(rows):
            return
        seen = state.bays.rows[rows]
        exists = seen >= 0
        possible: Mask = np.ones(len(rows), np.bool_)
        serves: dict[tuple[DeviceRequest, bool], Bytes] = {}  # by request and whether it asks for all
        for want, [eligible] in zip(self._demand.wants, self._eligible, strict=True):
            if want.kind not in serves:
                if want.count:
                    serves[want.kind] = pack(exists & eligible.usable[seen])
                else:
                    serves[want.kind] = pack(exists & eligible.selected[seen])
                    possible &= ~(exists & (eligible.selected & ~eligible.usable)[seen]).any(axis=1)
            bits = serves[want.kind]
            if want.count:
                possible &= np.bitwise_count(bits).sum(axis=1, dtype=np.int64) >= want.count
            else:
                possible &= bits.any(axis=1)
        if not possible.any():
            return
        labels = [_value_numbers(state, match.attribute, seen[possible]) for match in self._matches]
        rows = rows[possible]
        kept = {kind: bits[possible] for kind, bits in serves.items()}
        parts = [state.bays.layout[rows].astype(np.int32)[:, None].view(np.uint8)]
        parts += kept.values()
        parts += [np.ascontiguousarray(label).view(np.uint8).reshape(len(rows), -1) for label in labels]
        if state.flaws.any():
            flaws = np.where(exists[possible], state.flaws[seen[possible]], 0).astype(np.int8)
            parts.append(flaws.view(np.uint8))
        keys = np.ascontiguousarray(np.concatenate(parts, axis=1))

        def kind(at: int) -> int:
            served = [kept[want.kind][at] for want in self._demand.wants]
            problem = self._problem(state, int(rows[at]), served, [each[at] for each in labels])
            self.found.append(NodeKind(problem, self._catalogue.table(problem), {}))
            return len(self.found) - 1

        self.kind[rows] = self._lookup(keys, kind)

    def _lookup(self, keys: Bytes, kind: Callable[[int], int]) -> Rows:
        index = self._index

        def number(key: bytes, at: int) -> int:
            known = index.get(key)
            if known is None:
                known = index[key] = kind(at)
            return known

        if len(keys) < _VECTOR_ROWS:
            return np.array([number(keys[at].tobytes(), at) for at in range(len(keys))], np.int32)
        whole = keys.view(np.dtype((np.void, keys.shape[1]))).ravel()
        distinct, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
        found = [number(item.tobytes(), at) for item, at in zip(distinct, first.tolist(), strict=True)]
        spread: Rows = np.array(found, np.int32)[inverse]
        return spread

    def _problem(self, state: State, row: int, serves: list[Bytes], labels: list[Rows]) -> NodeProblem:
        layout = state.bays.layouts[int(state.bays.layout[row])]
        flaws = state.flaws[state.bays.rows[row][: layout.size]]
        return NodeProblem(
            layout=layout,
            free=(),
            wants=tuple(
                (want.count, positions_of(int.from_bytes(bits.tobytes(), "little")))
                for want, bits in zip(self._demand.wants, serves, strict=True)
            ),
            matches=tuple(
                (match.wants, tuple(label[: layout.size].tolist()))
                for match, label in zip(self._matches, labels, strict=True)
            ),
            limits=tuple(want.claim for want in self._demand.wants),
            weights=self._weights,
            first_fit=self._first_fit,
            flaws=tuple(flaws.tolist()) if flaws.any() else (),
        )


def _value_numbers(state: State, attribute: str, seen: Rows) -> Rows:
    """Value numbers of an attribute on the devices of each node, named by the first device that has the value."""
    column = state.devices.attributes.get(attribute)
    if column is None:
        return np.full(seen.shape, -1, np.int32)
    codes = np.where(seen >= 0, column.codes[seen], -1)
    labels = np.empty(codes.shape, np.int32)
    rows_at_once = max(1, _LABEL_CELLS // codes.shape[1] ** 2)
    for start in range(0, len(codes), rows_at_once):
        part = codes[start : start + rows_at_once]
        labels[start : start + rows_at_once] = (part[:, :, None] == part[:, None, :]).argmax(axis=2)
    labels[codes < 0] = -1
    return labels
