"""The optimum of small problems: every maximal pattern of every way to use a GPU, and an integer program over them.

Replicas may be covered more often than they exist, so maximal patterns are enough. Where a model has at most one
replica a node, patterns are counted by node.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from scheduler.sharing.floor import Floor, Packing
from scheduler.sharing.problem import CUT, Bin, Cut, Ints, Pattern, Problem

MAX_GROUPS: Final = 60  # so deep is the listing nested
MAX_STEPS: Final = 20_000  # of listing patterns
MAX_COLUMNS: Final = 20_000
NODES: Final = 5_000
SAFETY_S: Final = 20.0  # NODES ends it long before


class _TooManyError(Exception):
    pass


def optimum(problem: Problem) -> Packing | None:
    """The packing that costs least; None where the problem is too large to be sure."""
    if len(problem.models) > MAX_GROUPS:
        return None
    try:
        patterns = list(_Listing(problem).patterns())
    except _TooManyError:
        return None
    return _cheapest(problem, patterns)


class _Listing:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.most: Ints = np.where(problem.single, np.minimum(problem.replicas, 1), problem.replicas)
        self._steps = 0

    def patterns(self) -> Iterator[Pattern]:
        """All maximal ones. Raises _TooManyError."""
        for way in self.problem.bins:
            rows = np.flatnonzero(way.able).tolist()
            for counts in self._in_bin(way, rows, way.room.copy(), []):
                yield Pattern(way.kind, way.mode, way.tenant, counts)
        for cut in self.problem.cuts:
            yield from self._in_cut(cut)

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise _TooManyError

    def _in_bin(
        self, way: Bin, rows: list[int], room: Ints, chosen: list[tuple[int, int]]
    ) -> Iterator[tuple[tuple[int, int], ...]]:
        self._step()
        number = len(chosen)
        if number == len(rows):
            spare = any(count < self.most[row] and (way.takes[row] <= room).all() for row, count in chosen)
            if not spare and any(count for _, count in chosen):
                yield tuple((row, count) for row, count in chosen if count)
            return
        row = rows[number]
        taken = way.takes[row]
        some = taken > 0
        fits = min(int(self.most[row]), int((room[some] // taken[some]).min(initial=self.most[row])))
        for count in range(fits, -1, -1):
            yield from self._in_bin(way, rows, room - count * taken, [*chosen, (row, count)])

    def _in_cut(self, cut: Cut) -> Iterator[Pattern]:
        rows = np.flatnonzero(cut.fits.any(axis=1)).tolist()
        for owners in self._seated(cut, rows, 0, {}):
            spare = any(
                sum(owner == row for owner in owners.values()) < self.most[row] and _matched(cut, owners, row)
                for row in rows
            )
            if spare or not owners:
                continue
            counts: dict[int, int] = defaultdict(int)
            for row in owners.values():
                counts[row] += 1
            parts = tuple(sorted((row, cut.parts[slot]) for slot, row in owners.items()))
            yield Pattern(cut.kind, CUT, "", tuple(sorted(counts.items())), parts)

    def _seated(self, cut: Cut, rows: list[int], number: int, owners: dict[int, int]) -> Iterator[dict[int, int]]:
        self._step()
        if number == len(rows):
            yield owners
            return
        yield from self._seated(cut, rows, number + 1, owners)
        for _ in range(int(self.most[rows[number]])):
            found = _matched(cut, owners, rows[number])
            if not found:
                return
            owners = found
            yield from self._seated(cut, rows, number + 1, owners)


def _matched(cut: Cut, owners: dict[int, int], row: int) -> dict[int, int]:
    """Owners of slots with one replica more, who may have to move over; empty if it does not fit."""
    found = dict(owners)
    seen: set[int] = set()

    def place(each: int) -> bool:
        for slot in np.flatnonzero(cut.fits[each]).tolist():
            if slot in seen:
                continue
            seen.add(slot)
            if slot not in found or place(found[slot]):
                found[slot] = each
                return True
        return False

    return found if place(row) else {}


def _cheapest(problem: Problem, patterns: list[Pattern]) -> Packing | None:
    """An integer program: how often each pattern is used, on which node where that matters, and what is missing."""
    nodes: dict[tuple[int, str], int] = defaultdict(int)
    by_node = bool(problem.lonely.any())
    for number, kind in enumerate(problem.kinds):
        for gpu in kind.gpus:
            nodes[number, problem.gpus[gpu].node if by_node else ""] += 1
    columns = [(each, node) for each in patterns for kind, node in nodes if kind == each.kind]
    if len(columns) > MAX_COLUMNS:
        return None
    groups = len(problem.models)
    lonely = [row for row in range(groups) if problem.lonely[row]]
    places = {key: number for number, key in enumerate((row, node) for row in lonely for node in {n for _, n in nodes})}
    missing, spread = len(columns), len(columns) + groups
    entries: list[tuple[int, int, float]] = []
    low, high = list(map(float, problem.replicas)), [np.inf] * groups
    for row in range(groups):
        entries.append((row, missing + row, 1.0))
    for (row, _), number in places.items():
        entries.append((row, spread + number, 1.0))
    for key, count in nodes.items():
        entries += [(len(low), column, 1.0) for column, (each, node) in enumerate(columns) if (each.kind, node) == key]
        low.append(-np.inf)
        high.append(count)
    for column, (each, node) in enumerate(columns):
        for row, count in each.counts:
            if (row, node) in places:
                entries.append((len(low) + places[row, node], column, float(count)))
            else:
                entries.append((row, column, float(count)))
    for number in range(len(places)):
        entries.append((len(low), spread + number, -1.0))
        low.append(0.0)
        high.append(np.inf)
    cost = [float(problem.kinds[each.kind].cost) for each, _ in columns]
    cost += [float(problem.penalty)] * groups + [0.0] * len(places)
    rows, cols, values = zip(*entries, strict=True)
    found = milp(
        cost,
        constraints=LinearConstraint(coo_array((values, (rows, cols)), shape=(len(low), len(cost))).tocsc(), low, high),
        bounds=Bounds(0, [np.inf] * (len(columns) + groups) + [1.0] * len(places)),
        integrality=np.ones(len(cost)),
        options={"node_limit": NODES, "time_limit": SAFETY_S, "mip_rel_gap": 0.0},
    )
    if found.status != 0:
        return None
    floor = Floor(problem)
    for (each, node), use in zip(columns, np.rint(found.x[: len(columns)]).astype(int).tolist(), strict=True):
        for _ in range(use):
            floor.seat(each, node)
    packing = floor.packing()
    return packing if packing.cost(problem) <= round(found.fun) else None
