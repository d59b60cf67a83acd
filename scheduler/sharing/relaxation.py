"""A lower bound that is proven: the packing problem with its integer amounts relaxed, solved by HiGHS.

The relaxation may divide replicas between GPUs; how many GPUs are used in each way stays whole. It counts amounts of
bins in sum, beside functions of them that no set of replicas in one bin exceeds (dual feasible functions: Clautiaux,
Alves, Valério de Carvalho 2010), and parts of cuts by what fits where. A room is no larger than
the largest sum of sizes that fits into it. What it costs at least, packing costs at least.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import coo_array

from scheduler.sharing.filling import Doubles
from scheduler.sharing.problem import Ints, Problem

NODES: Final = 50  # of branch and bound
SAFETY_S: Final = 20.0  # HiGHS stops at nodes; a clock would make answers differ, so this is only for the worst
_SLACK: Final = 1e-6
_LONGEST: Final = 100_000  # units of a room, up to which sums are listed
_DISTINCT: Final = 1_000
_STEPS: Final = range(1, 6)  # of the dual feasible functions


class _Rows:
    """A sparse system `low <= A x <= high` in the making."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, int, float]] = []
        self.low: list[float] = []
        self.high: list[float] = []

    def add(self, terms: list[tuple[int, float]], low: float, high: float) -> int:
        row = len(self.low)
        self.entries += [(row, column, value) for column, value in terms if value]
        self.low.append(low)
        self.high.append(high)
        return row

    def matrix(self, columns: int) -> Any:
        rows, cols, values = zip(*self.entries, strict=True)
        return coo_array((values, (rows, cols)), shape=(len(self.low), columns)).tocsc()


class Relaxation:
    """The relaxation of a problem that has at least one model and one way to use a GPU for it."""

    def __init__(self, problem: Problem) -> None:
        rows, self._cost, self._whole, self._demand = _system(problem)
        self._matrix = rows.matrix(len(self._cost))
        self._low, self._high = np.array(rows.low), np.array(rows.high)

    def linear(self) -> tuple[int, Doubles]:
        """A bound, where GPUs may be divided too; and (I,) what a replica costs at the margin."""
        equal = self._low == self._high
        upper = np.isfinite(self._high) & ~equal
        found = linprog(
            self._cost,
            A_ub=self._matrix[upper],
            b_ub=self._high[upper],
            A_eq=self._matrix[equal],
            b_eq=self._low[equal],
            bounds=(0, None),
            method="highs",
            options={"time_limit": SAFETY_S},
        )
        if found.status != 0:
            return 0, np.ones(len(self._demand))
        at = np.cumsum(equal) - 1
        prices: Doubles = np.asarray(found.eqlin.marginals, np.float64)[at[self._demand]]
        return _least(found.fun), prices

    def integer(self) -> int:
        """A bound that is better or the same, where GPUs are whole."""
        found = milp(
            self._cost,
            constraints=LinearConstraint(self._matrix, self._low, self._high),
            bounds=Bounds(0, np.inf),
            integrality=self._whole,
            options={"node_limit": NODES, "time_limit": SAFETY_S, "mip_rel_gap": 0.0},
        )
        return _least(found.mip_dual_bound)


def _least(value: float | None) -> int:
    """The least whole number that a cost can be which is no less than this, up to the accuracy of the solver."""
    if value is None or not math.isfinite(value):
        return 0
    return max(0, math.ceil(value - max(_SLACK, abs(value) * _SLACK)))


def _system(problem: Problem) -> tuple[_Rows, Doubles, Ints, list[int]]:
    """Rows, costs, which columns are whole, and for each model the row that says how many replicas it has."""
    rows = _Rows()
    cost: list[float] = []
    whole: list[int] = []

    def column(price: float, integer: int = 0) -> int:
        cost.append(price)
        whole.append(integer)
        return len(cost) - 1

    of_model: list[list[tuple[int, float]]] = [[] for _ in problem.models]
    of_kind: dict[int, list[int]] = defaultdict(list)
    for way in problem.bins:
        count = column(problem.kinds[way.kind].cost, 1)
        of_kind[way.kind].append(count)
        inside = {row: column(0.0) for row in np.flatnonzero(way.able).tolist()}
        for row, each in inside.items():
            of_model[row].append((each, 1.0))
        room = way.room.copy()
        for axis in range(2):
            room[axis] = reachable(int(room[axis]), way.takes[way.able, axis].tolist())
        takes = np.where(way.able[:, None], way.takes, 0)
        for weights in _functions(takes / np.maximum(room, 1), takes, room):
            rows.add([*((each, weights[row]) for row, each in inside.items()), (count, -1.0)], -np.inf, 0.0)
    cuts: dict[int, list[tuple[int, Any]]] = defaultdict(list)
    for cut in problem.cuts:
        count = column(problem.kinds[cut.kind].cost, 1)
        of_kind[cut.kind].append(count)
        cuts[cut.kind].append((count, cut))
    for ways in cuts.values():
        _cut_rows(ways, rows, column, of_model)
    for kind, counts in of_kind.items():
        rows.add([(count, 1.0) for count in counts], -np.inf, len(problem.kinds[kind].gpus))
    demand = []
    for terms, replicas in zip(of_model, problem.replicas.tolist(), strict=True):
        missing = column(problem.penalty)
        demand.append(rows.add([*terms, (missing, 1.0)], replicas, replicas))
    return rows, np.array(cost), np.array(whole), demand


def _cut_rows(ways: list[tuple[int, Any]], rows: _Rows, column: Any, of_model: list[list[tuple[int, float]]]) -> None:
    """Of one kind: groups that fit into the same parts are one class, parts that fit the same groups one slot."""
    slots: dict[bytes, dict[int, int]] = defaultdict(dict)  # what fits -> column of a cut -> how many such parts it has
    fits: dict[bytes, Any] = {}
    for count, cut in ways:
        for place in range(len(cut.parts)):
            key = cut.fits[:, place].tobytes()
            fits[key] = cut.fits[:, place]
            slots[key][count] = slots[key].get(count, 0) + 1
    table = np.array([fits[key] for key in slots]).T  # (I, slots)
    classes: dict[bytes, list[int]] = defaultdict(list)
    for row in np.flatnonzero(table.any(axis=1)).tolist():
        classes[table[row].tobytes()].append(row)
    given: list[list[tuple[int, float]]] = [[] for _ in slots]
    for members in classes.values():
        flows = [(place, column(0.0)) for place in np.flatnonzero(table[members[0]]).tolist()]
        for place, each in flows:
            given[place].append((each, 1.0))
        inside = [column(0.0) for _ in members]
        for row, each in zip(members, inside, strict=True):
            of_model[row].append((each, 1.0))
        rows.add([*((each, 1.0) for each in inside), *((each, -1.0) for _, each in flows)], 0.0, 0.0)
    for place, counts in enumerate(slots.values()):
        rows.add([*given[place], *((count, -float(number)) for count, number in counts.items())], -np.inf, 0.0)


def reachable(room: int, sizes: Iterable[int]) -> int:
    """The most that any number of things of these sizes can take of a room, or what is no less."""
    distinct = sorted({each for each in sizes if each > 0})
    unit = math.gcd(*distinct) or 1
    cap = room // unit
    if not distinct or cap > _LONGEST or len(distinct) > _DISTINCT:
        return cap * unit if distinct else room
    sums, mask = 1, (1 << cap + 1) - 1  # bit n: n units can be taken
    for each in distinct:
        step = each // unit
        while step <= cap:
            sums |= sums << step & mask
            step *= 2
    return (sums.bit_length() - 1) * unit


def _functions(amounts: Doubles, takes: Ints, room: Ints) -> list[Doubles]:
    """Weights of replicas of which no set that fits into one bin has more than 1 in all, (I,) each."""
    found: list[Doubles] = [amounts[:, axis] for axis in range(3) if takes[:, axis].any()]
    for axis in range(2):
        if room[axis] <= 0 or not takes[:, axis].any():
            continue
        for step in _STEPS:
            scaled = takes[:, axis] * (step + 1)
            even = scaled % room[axis] == 0
            weights = np.where(even, amounts[:, axis], (scaled // room[axis]) / step)
            if (weights > amounts[:, axis] + _SLACK).any():
                found.append(weights)
    return found
