"""For pods that ask for the same: on which nodes of a table they fit, with which devices, and how good that is.

The numbers are those that the scheduler gives a pod in the same state of the same nodes (core/candidates.py). Not
asked here: `partitions`, since parts of cards are not in the table; it says the half that it says of a pod that takes
none. `preference`, as there are no lists. Sets are not kept to partitions of a fabric manager.

Everything is one column over nodes. A change of one node costs that node's row; work comes in pieces.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Counts, Floats, Mask, Rows
from scoring.extender.table import Ask, Table
from scoring.opinion import Opinion
from scoring.placement import ranks, weighed
from scoring.prices import WHOLE
from scoring.scorecard import score_nodes
from scoring.scorers import CARD_SCORER, PREFERENCE, SET_SCORERS, STATE_SCORERS
from scoring.scorers.base import SPAN, Loads
from scoring.sets import MAX_SETS, NONE, SetTable, every_set, near_sets, set_count

_PIECE: Final = 1_024  # nodes that are judged at once
_FEW: Final = 16  # nodes
_PIECE_SETS: Final = 26_000  # that are listed anew at once; of one kind of node there may be half of that
_MAX_SETS: Final = 100_000  # that are remembered
_MAX_STATES: Final = 10_000  # of nodes that are remembered beyond those that there are
_EQUAL: Final = 1e-6  # milli; devices whose gains differ by less are equal, and the first of them is taken
Doubles = NDArray[np.float64]
Indices = NDArray[np.intp]
Groups = list[tuple[tuple[int, ...], tuple[int, ...]]]
"""Positions, and the asks that they serve."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a pod asks for; of several asks none is for a share, and no product is in two that differ in products."""

    asks: tuple[Ask, ...]
    cpu: int
    memory: int


@dataclass(slots=True)
class _Kind:
    """Nodes that differ in nothing but what is in use. every : all sets, None where they are too many.

    near : by what is free, the sets of that state. layout : its number.
    """

    groups: Groups
    layout: int
    flaws: tuple[int, ...]
    every: SetTable | None
    near: dict[int, SetTable] = field(default_factory=dict)


class Judged:
    """One row a node of the table.

    total : float64 (N,), weighted mean of all scores in [0, 1], -1 where the pod does not fit. rank : int64 (N,), what
    Dovetail orders by, -1 where it does not fit. positions : int32 (N, K), of the devices taken, ask by ask.
    """

    def __init__(self, wish: Wish, opinion: Opinion) -> None:
        self.wish: Final = wish
        self._opinion = opinion
        self._counts = [ask.count for ask in wish.asks]
        self._share = wish.asks[0].share if wish.asks else 0
        self._single = bool(self._share) and sum(self._counts) == 1
        # Asks for the same products share their devices.
        by_products: dict[frozenset[str], list[int]] = {}
        for number, ask in enumerate(wish.asks):
            by_products.setdefault(frozenset(ask.products), []).append(number)
        self._members = [(names, tuple(members)) for names, members in by_products.items()]
        self._products: list[Mask] = []  # see `_serving`
        self._kinds: dict[bytes, _Kind] = {}
        self._states = 0
        self._listed = 0  # sets of all kinds
        self._version = self._judged_at = -1
        self._open: Mask = np.zeros(0, np.bool_)
        self._resize(0)

    def _resize(self, size: int) -> None:
        self._open = np.ones(size, np.bool_)
        self.total: Doubles = np.full(size, -1.0)
        self.rank: Counts = np.full(size, -1, np.int64)
        self.positions: Rows = np.full((size, sum(self._counts)), -1, np.int32)
        self._set_scores: Floats = np.ones((len(SET_SCORERS), size), np.float32)
        self._node_scores: Floats = np.zeros((len(self._opinion.node_scorers), size), np.float32)
        self._saved: Doubles = np.zeros((size, len(STATE_SCORERS)))

    # ------------------------------------------------------------ keeping up

    def owed(self, table: Table) -> int:
        """How many rows are not up to date, about."""
        if len(self._open) != len(table.live) or self._judged_at != table.judged_at:
            return table.size
        return table.version - self._version + int(np.count_nonzero(self._open))

    def refresh(self, table: Table) -> bool:
        """One piece of work; whether everything is up to date."""
        changed = table.since(self._version) if len(self._open) == len(table.live) else None
        if changed is None or self._judged_at != table.judged_at:
            self._resize(len(table.live))
        else:
            self._open[changed] = True
        self._version, self._judged_at = table.version, table.judged_at
        self.__dict__.pop("packed", None)
        rows = np.flatnonzero(self._open[: table.size])
        done = self._compute(table, rows[:_PIECE])
        self._open[done] = False
        return len(done) == len(rows)

    def settled(self, table: Table) -> bool:
        """Whether everything is up to date."""
        return (
            self._version == table.version and self._judged_at == table.judged_at and not self._open[: table.size].any()
        )

    def _compute(self, table: Table, rows: Indices) -> Indices:
        """Judge these nodes; returns those that it came to, one at least if there are any."""
        self.total[rows] = self.rank[rows] = -1
        done = rows
        fits: Mask = table.live[rows]
        if self.wish.cpu:
            fits &= table.cpu_left[rows] >= self.wish.cpu
        if self.wish.memory:
            fits &= table.memory_left[rows] >= self.wish.memory
        rows = rows[fits]
        if self._single and len(rows):
            rows = self._choose_share(table, rows)
        elif self.wish.asks and len(rows):
            rows, later = self._choose_sets(table, rows)
            done = np.setdiff1d(done, later, assume_unique=True) if len(later) else done
        if len(rows):
            self._judge(table, rows)
        return done

    # ------------------------------------------------------------ devices

    def _wanted(self, table: Table, rows: Indices) -> list[Mask]:
        """By group of asks the devices of these nodes that serve it, whatever is left of them, bool (R, W)."""
        product, shared = table.product[rows], table.shared[rows] == bool(self._share)
        return [wanted[product] & shared for wanted in self._serving(table)]

    def _serving(self, table: Table) -> list[Mask]:
        """By group of asks the products that serve it, bool (P + 1,); the last is that of no device."""
        if not self._products:
            for names, _ in self._members:
                wanted: Mask = np.zeros(len(table.products) + 1, np.bool_)
                wanted[[table.products[name] for name in names if name in table.products]] = True
                self._products.append(wanted)
        return self._products

    def _choose_share(self, table: Table, rows: Indices) -> Indices:
        """The device of each of these nodes whose share wastes least; returns the nodes that have one."""
        [wanted] = self._wanted(table, rows)
        at, position = (wanted & (table.left[rows] >= self._share)).nonzero()
        if not len(at):
            return rows[:0]
        table.measured(rows)
        taken = np.full((len(at), 1), self._share, np.int64)
        after = table.after(rows[at], position[:, None], taken, self.wish.cpu)
        cost = weighed(after, self._opinion.state_weights)
        starts = np.flatnonzero(np.diff(at, prepend=-1))
        least = np.repeat(np.minimum.reduceat(cost, starts), np.diff(starts, append=len(at)))
        order = np.where(cost <= least + _EQUAL, np.arange(len(at)), len(at))
        best = np.minimum.reduceat(order, starts)
        found: Indices = rows[at[best]]
        self.positions[found, 0] = position[best]
        self._set_scores[:, found] = 1.0  # a share ties nothing up
        return found

    def _choose_sets(self, table: Table, rows: Indices) -> tuple[Indices, Indices]:
        """The best set of devices of each of these nodes; returns the nodes that have one, and those for later."""
        wanted = self._wanted(table, rows)
        if self._share:
            [one] = wanted
            free: Mask = one & (table.left[rows] >= self._share)
        else:
            free = _vacant(table, rows)
        if self._states > _MAX_STATES + 2 * table.size or self._listed > _MAX_SETS:
            self._kinds.clear()
            self._states = self._listed = 0
        bits = _bits(free)
        keys = [table.layout[rows][:, None].view(np.uint8), *(_packed(each) for each in wanted)]
        keys.append(table.flaws[rows].view(np.uint8))
        flat = np.ascontiguousarray(np.concatenate(keys, axis=1))
        whole = flat.view(np.dtype((np.void, flat.shape[1]))).ravel()
        distinct, first, inverse = _distinct(whole)
        fits: Mask = np.zeros(len(rows), np.bool_)
        later: Mask = np.zeros(len(rows), np.bool_)
        before = self._listed
        for number, (key, at) in enumerate(zip(distinct, first.tolist(), strict=True)):
            [members] = (inverse == number).nonzero()
            if self._listed - before > _PIECE_SETS:
                later[members] = True
                continue
            kind = self._kinds.get(key.tobytes())
            if kind is None:
                kind = self._kinds[key.tobytes()] = self._kind(table, int(rows[at]), [each[at] for each in wanted])
            fits[members] = self._solve(table, kind, rows[members], bits[members])
        return rows[fits], rows[later]

    def _kind(self, table: Table, row: int, wanted: Sequence[Mask]) -> _Kind:
        layout = table.layouts[int(table.layout[row])]
        flaws = tuple(table.flaws[row, : layout.size].tolist())
        groups: Groups = [
            (tuple(np.flatnonzero(each).tolist()), members)
            for each, (_, members) in zip(wanted, self._members, strict=True)
        ]
        kind = _Kind(groups, int(table.layout[row]), flaws if any(flaws) else (), None)
        enough = all(len(positions) >= self._size(members) for positions, members in groups)
        if not enough:
            kind.groups = []
        elif set_count(groups, self._counts) <= MAX_SETS:
            kind.every = self._table(table, kind, every_set(groups, self._counts))
        return kind

    def _size(self, members: Sequence[int]) -> int:
        return sum(self._counts[member] for member in members)

    def _table(self, table: Table, kind: _Kind, choices: Rows) -> SetTable:
        self._listed += len(choices)
        return SetTable(table.layouts[kind.layout], choices, self._counts, self._opinion.set_key, kind.flaws)

    def _solve(self, table: Table, kind: _Kind, rows: Indices, bits: NDArray[np.uint64]) -> Mask:
        """Set the sets and scores of nodes of a kind; which of them have one."""
        fits: Mask = np.zeros(len(rows), np.bool_)
        if not kind.groups:
            return fits
        distinct, _, inverse = _distinct(bits)
        if kind.every is not None:
            before = len(kind.every)
            parts = [(kind.every, kind.every.find(distinct.tolist())[inverse], np.arange(len(rows)))]
            self._states += len(kind.every) - before
        else:
            parts = []
            for number, state in enumerate(distinct.tolist()):
                near = kind.near.get(state)
                if near is None:
                    near = kind.near[state] = self._table(table, kind, self._near(table, kind, state))
                    self._states += 1
                [members] = (inverse == number).nonzero()
                parts.append((near, near.find([state])[np.zeros(len(members), np.intp)], members))
        for sets, at, members in parts:
            fits[members] = sets.picks[at] != NONE
            self.positions[rows[members]] = sets.positions(at)
            self._set_scores[:, rows[members]] = sets.scores[:, at]
        return fits

    def _near(self, table: Table, kind: _Kind, state: int) -> Rows:
        """All sets of a node in which so much is free, or promising ones where they are too many."""
        free: Groups = [
            (tuple(each for each in positions if state >> each & 1), members) for positions, members in kind.groups
        ]
        sizes = [(positions, self._size(members)) for positions, members in free]
        if any(len(positions) < size for positions, size in sizes):
            return np.zeros((0, sum(self._counts)), np.int32)
        if set_count(free, self._counts) <= MAX_SETS:
            return every_set(free, self._counts)
        first = [list(positions[:size]) for positions, size in sizes]
        picks = [first, *near_sets(table.layouts[kind.layout], sizes, MAX_SETS)]
        owners = [member for _, members in free for member in members for _ in range(self._counts[member])]
        order = np.argsort(np.array(owners), kind="stable")
        flat = [[position for part in pick for position in sorted(part)] for pick in picks]
        found: Rows = np.array(flat, np.int32)[:, order]
        return found

    # ------------------------------------------------------------ judging

    def _judge(self, table: Table, rows: Indices) -> None:
        opinion = self._opinion
        if self.wish.asks:
            sums = weighed(_rounded(self._set_scores[:, rows].T), opinion.set_weights)
        else:
            sums = np.full(len(rows), float(opinion.set_weights.sum()))
        if opinion.node_scorers:
            card = score_nodes(opinion.node_scorers, opinion.node_weights, self._loads(table, rows))
            self._node_scores[:, rows] = card.scores
            sums = sums + weighed(card.scores.astype(np.float64).T, opinion.node_weights)
        places = self.positions[rows].astype(np.intp)
        taken = np.full(places.shape, self._share or WHOLE, np.int64)
        if len(rows) <= _FEW:
            before, after = table.measured_few(rows, places, taken, self.wish.cpu)
        else:
            before = table.measured(rows)
            after = table.after(rows, places, taken, self.wish.cpu)
        saved = before - after
        self._saved[rows] = saved
        self.rank[rows] = ranks(sums, weighed(saved, opinion.state_weights), opinion.unit)
        self.total[rows] = self._total(rows)

    def _loads(self, table: Table, rows: Indices) -> Loads:
        return Loads(
            devices=(table.product[rows] >= 0).sum(axis=1),
            devices_left=_vacant(table, rows).sum(axis=1) - sum(self._counts),
            cpu=table.cpu[rows],
            cpu_left=table.cpu_left[rows] - self.wish.cpu,
            memory=table.memory[rows],
            memory_left=table.memory_left[rows] - self.wish.memory,
            cpu_asked=np.full(len(rows), self.wish.cpu, np.int64),
            memory_asked=np.full(len(rows), self.wish.memory, np.int64),
            cpu_counted=table.cpu[rows] - table.cpu_left[rows] + self.wish.cpu,
            memory_counted=table.memory[rows] - table.memory_left[rows] + self.wish.memory,
            changes=table.changes[rows],
        )

    @cached_property
    def scorers(self) -> tuple[str, ...]:
        """The names of those who say something, in the order of `breakdown`."""
        asked = [
            *[scorer.name for scorer in SET_SCORERS],
            *[scorer.name for scorer in self._opinion.node_scorers],
            *[scorer.name for scorer in STATE_SCORERS],
            CARD_SCORER.name,
        ]
        return (*asked, PREFERENCE.name) if self._opinion.shares.values[PREFERENCE.name] else tuple(asked)

    def breakdown(self, rows: Indices) -> Doubles:
        """Scores, float64 (R, S), by scorer as in `scorers`."""
        worth: Doubles = np.asarray(np.round(np.clip(0.5 + self._saved[rows] / (2 * SPAN), 0, 1), 6), np.float64)
        sets = _rounded(self._set_scores[:, rows].T) if self.wish.asks else np.ones((len(rows), len(SET_SCORERS)))
        parts: list[Doubles] = [
            sets,
            _rounded(self._node_scores[:, rows].T),
            worth,
            np.full((len(rows), 1), CARD_SCORER.worth(0.0)),
        ]
        if self._opinion.shares.values[PREFERENCE.name]:
            parts.append(np.full((len(rows), 1), PREFERENCE.worth(0, 0)))
        return np.concatenate(parts, axis=1)

    def _total(self, rows: Indices) -> Doubles:
        shares = self._opinion.shares.values
        summed = weighed(self.breakdown(rows), np.array([shares[name] for name in self.scorers]))
        total: Doubles = np.round(summed / self._opinion.whole(), 6)
        return total

    # ------------------------------------------------------------ answers

    @cached_property
    def packed(self) -> Floats:
        """`total` as float32, of all rows that there is room for."""
        return self.total.astype(np.float32)

    def best(self, count: int, allowed: Mask) -> Indices:
        """At most so many of these nodes (bool, row by row), best first; among equals the first row."""
        rows = np.flatnonzero((self.rank[: len(allowed)] >= 0) & allowed)
        rank = self.rank[rows]
        if len(rows) > count:
            least = np.partition(rank, len(rows) - count)[len(rows) - count]
            rows = rows[rank >= least]
            rank = self.rank[rows]
        ordered: Indices = rows[np.lexsort((rows, -rank))][:count]
        return ordered


def _vacant(table: Table, rows: Indices) -> Mask:
    """Devices that nobody holds whole, bool (R, W): one that is shared counts whatever is left of it."""
    found: Mask = (table.product[rows] >= 0) & (table.shared[rows] | (table.left[rows] == WHOLE))
    return found


def _distinct(values: NDArray[Any]) -> tuple[NDArray[Any], Indices, Indices]:
    """Distinct values, where each is first, and which of them each value is."""
    if len(values) == 1:
        none = np.zeros(1, np.intp)
        return values, none, none
    return np.unique(values, return_index=True, return_inverse=True)


def _rounded(scores: Floats) -> Doubles:
    found: Doubles = np.asarray(np.round(scores.astype(np.float64), 6), np.float64)
    return found


def _packed(mask: Mask) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = np.packbits(mask, axis=1, bitorder="little")
    return found


def _bits(mask: Mask) -> NDArray[np.uint64]:
    """Rows of at most 64 columns as numbers."""
    packed = _packed(mask)
    wide = np.zeros((len(mask), 8), np.uint8)
    wide[:, : packed.shape[1]] = packed
    found: NDArray[np.uint64] = wide.view("<u8")[:, 0]
    return found
