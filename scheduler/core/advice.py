"""What another scheduler is told of nodes, for a pod that it places itself.

It has judged what pods ask of nodes, and takes the first devices that fit in its own order: so a node is as good here
as the first set of devices that fits there, and nothing is held against it but devices. Nodes of which it takes another
view of something else, such as of the cpu that is left, are left to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final

import numpy as np

from scheduler.core.bays import pack
from scheduler.core.candidates import Candidates
from scheduler.core.demand import Resolved
from scheduler.core.reasons import names_of
from scheduler.core.rules.held import HeldClaims
from scheduler.core.state import State
from scoring.arrays import Counts, Mask, Rows
from scoring.placement import HIGHEST

HIGHEST_POINTS: Final = 10  # MaxExtenderPriority of k8s.io/kube-scheduler/extender/v1
_LEVEL: Final = 2 * HIGHEST  # ranks this far apart differ in the alternatives of prioritized lists


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing can be said yet. waits : for answers to questions; else the next call goes on where this one ended."""

    waits: bool


@dataclass(frozen=True, slots=True)
class Sorted:
    """Nodes by what is to be said of them, in the order in which they were asked about.

    failed : name -> why the pod cannot go there now. hopeless : the same where it could not if the node were empty.
    """

    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    hopeless: dict[str, str] = field(default_factory=dict)


class Advice:
    """For one pod; holds until the next event.

    ways : how the pod may be served, no node in two of them, with the class of each, which is up to date; none if it
    neither has devices nor is to get some: then there is nothing to say.
    """

    def __init__(self, state: State, scheduler_name: str, ways: Sequence[tuple[Resolved, Candidates]]) -> None:
        self._state = state
        self._scheduler_name = scheduler_name
        self._ways = ways

    def sort(self, names: Sequence[str]) -> Sorted:
        """Which of these nodes the pod can go to."""
        if not self._ways:
            return Sorted(list(names))
        rows = self._rows(names)
        reasons = self._reasons(rows, np.flatnonzero(self._ranks(rows) < 0).astype(np.int32))
        if not reasons:
            return Sorted(list(names))
        found = Sorted()
        for at, name in enumerate(names):
            reason = reasons.get(at)
            if reason is None:
                found.kept.append(name)
            else:
                (found.hopeless if reason[1] else found.failed)[name] = reason[0]
        return found

    def points(self, names: Sequence[str]) -> list[int]:
        """How good each of these nodes is, 0 to HIGHEST_POINTS; all 0 where there is nothing to say."""
        if not self._ways:
            return [0] * len(names)
        rows = self._rows(names)
        return points(self._ranks(rows), self._state.nodes.order[rows])

    # ------------------------------------------------------------ inside

    def _rows(self, names: Sequence[str]) -> Rows:
        """-1 where a node is not known."""
        rows = self._state.nodes.rows
        return np.fromiter(map(rows.get, names, repeat(-1)), np.int32, len(names))

    def _ranks(self, rows: Rows) -> Counts:
        ranks = np.full(len(rows), -1, np.int64)
        [at] = (rows >= 0).nonzero()
        for _, candidates in self._ways:
            ranks[at] = np.maximum(ranks[at], candidates.ranks(rows[at]))
        ranks[at[self._ours(rows[at])]] = -1
        return ranks

    def _ours(self, rows: Rows) -> Mask:
        """On which of these nodes a request selects devices that Dovetail gives away itself."""
        state = self._state
        owned: Mask = state.nodes.owned[rows]
        found: Mask = np.zeros(len(rows), np.bool_)
        if not owned.any():
            return found
        seen = state.bays.rows[rows]
        exists = (seen >= 0) & owned[:, None]
        drivers, classes = state.ownership.drivers, state.ownership.device_classes
        if drivers:
            table = state.devices.drivers
            exists &= np.array([*[each in drivers for each in table.values], False], np.bool_)[table.codes[seen]]
        for _, candidates in self._ways:
            for eligible in (each for asks in candidates.eligible for each in asks):
                if not classes or eligible.request.device_class in classes:
                    found |= (exists & eligible.selected[seen]).any(axis=1)
        return found

    def _reasons(self, rows: Rows, failing: Rows) -> dict[int, tuple[str, bool]]:
        """Why not, by position in `rows`, and whether that is hopeless; nothing of nodes that others judge."""
        left = _Unexplained(rows, failing)
        left.note(left.rows < 0, "is not known to Dovetail, or not yet", hopeless=True)
        name = self._scheduler_name
        left.note(self._ours(left.rows), f"is Dovetail's, for pods of schedulerName {name}", hopeless=True)
        for resolved, _ in self._ways[:1]:  # what is allocated is the same in all of them
            held = HeldClaims().mask(self._state.nodes, resolved.demand, left.rows)
            left.note(~held, "cannot use the devices that the pod's allocated claims hold", hopeless=True)
        for resolved, candidates in self._ways:
            reached = candidates.reached(left.rows) & ~candidates.open(left.rows)
            self._explain(resolved, candidates, left.part(reached))
        return left.found

    def _explain(self, resolved: Resolved, candidates: Candidates, left: "_Unexplained") -> None:
        """Of nodes where nothing but devices is missing: which request is short of them, counting each by itself."""
        bays = self._state.bays
        wanted = zip(resolved.demand.wants, candidates.eligible, names_of(resolved), strict=False)
        for want, [eligible, *_], name in wanted:
            if want.listed:
                continue
            asks = f"for request {name}, which asks for {want.count or 'all'}"
            seen = bays.rows[left.rows]
            usable = (seen >= 0) & eligible.usable[seen]
            few = usable.sum(axis=1) < max(want.count, 1)
            left.note(few, f"has too few devices {asks}", hopeless=True)
            usable = usable[~few]
            free = np.bitwise_count(pack(usable) & bays.free[left.rows]).sum(axis=1, dtype=np.int64)
            left.note(free < (want.count or usable.sum(axis=1)), f"has too few free devices {asks}", hopeless=False)
        left.note(left.rows >= 0, "has no set of free devices that serves the pod's claims", hopeless=False)


class _Unexplained:
    """Positions of nodes that fail and have no reason yet. found : the reasons of the others, as they are noted."""

    def __init__(self, every: Rows, at: Rows, found: dict[int, tuple[str, bool]] | None = None) -> None:
        self.found = {} if found is None else found
        self._every = every
        self._at = at

    @property
    def rows(self) -> Rows:
        """Their rows."""
        found: Rows = self._every[self._at]
        return found

    def note(self, which: Mask, text: str, *, hopeless: bool) -> None:
        """Give some of them (bool) a reason."""
        self.found.update(dict.fromkeys(self._at[which].tolist(), (text, hopeless)))
        self._at = self._at[~which]

    def part(self, which: Mask) -> "_Unexplained":
        """Some of them (bool), with reasons that are noted here too."""
        return _Unexplained(self._every, self._at[which], self.found)


def points(ranks: Counts, order: Counts) -> list[int]:
    """Ranks, -1 where the pod does not fit, as whole numbers of an extender: 0 to HIGHEST_POINTS.

    All points go to the one node that Dovetail would take, the first in its order among equals. The others that serve
    the same alternatives of prioritized lists get 1 to 9, evenly from the worst to the best of them; the rest get 0.
    """
    found = np.zeros(len(ranks), np.int64)
    fits = ranks >= 0
    if fits.any():
        best = int(ranks.max())
        level = fits & (ranks // _LEVEL == best // _LEVEL)
        span = best - int(ranks[level].min())
        most = HIGHEST_POINTS - 1
        found[level] = 1 + (ranks[level] - (best - span)) * (most - 1) // span if span else most
        first = np.flatnonzero(ranks == best)
        found[first[np.argmin(order[first])]] = HIGHEST_POINTS
    shown: list[int] = found.tolist()
    return shown
