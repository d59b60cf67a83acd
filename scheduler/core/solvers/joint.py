"""A window as one integer program, by HiGHS, under a time limit and with a plan in hand.

Pods of one class are interchangeable, so the program counts: how many pods of a class take an offer, and how many pods
of a class are placed at each priority. What counts more is settled first: one solve for each priority, then one for the
values, each bound to what the ones before it reached.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from scheduler.core.solvers.regret import mended
from scheduler.core.solvers.window import NOTHING, Plan, Window, feasible

LIMIT_S: Final = 0.2
OFFERS: Final = 40  # of a class that take part, beyond those of the plan in hand

OPTIMAL: Final = "optimal"  # nothing is better
LIMITED: Final = "limited"  # the time was up, or offers were left out: the gap says how much better a plan may be

_PART = 0.6  # of the time left that one solve may use, if others come after it
_STEPS_A_POD = 200  # of repair of a plan that is the best at one level
_EQUAL = 1e-6
_WHOLE = 1e-3  # rewards are whole numbers, and what HiGHS says of them is that near
_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Joint:
    """A plan, and how far it may be from the best.

    gap : at the first level of its worth where the best is not known, by which share the bound is higher; 0 where all
    of them are proven. It is about the offers that took part. level : that level, -1 where there is none.
    complete : whether all offers took part. improved : whether the plan is worth more than the one in hand.
    """

    plan: Plan
    gap: float
    level: int
    complete: bool
    improved: bool

    @property
    def status(self) -> str:
        """OPTIMAL or LIMITED."""
        return OPTIMAL if self.complete and self.level < 0 else LIMITED


def joint(
    window: Window,
    start: Plan,
    limit_s: float | None = LIMIT_S,
    offers: int | None = OFFERS,
    clock: Callable[[], float] | None = None,
) -> Joint:
    """The best plan that is found in time, `start` where none is better.

    limit_s : of all solves together, None for as long as it takes. offers : per class, None for all of them.
    clock : seconds, of whoever runs this and may know the time; without it the solves get equal parts of the limit,
    with it a solve may use what those before it left. ValueError if `start` does not fit.
    """
    if not feasible(window, start):
        raise ValueError("the plan in hand gives pods what their nodes do not have")
    if not window.pods:
        return Joint(start, 0.0, -1, complete=True, improved=False)
    program = _Program(window, start, offers)
    best, open_level, gap = start, -1, 0.0
    floors: list[tuple[_Floats, float]] = []
    levels = program.levels
    solves = sum(not program.trivial(window.worth(start), level) for level in range(len(levels)))
    began = clock() if clock is not None else 0.0
    for level, gains in enumerate(levels):
        reached = window.worth(best)[level]
        if not program.trivial(window.worth(best), level):
            share = limit_s
            if limit_s is not None and clock is None:
                share = limit_s / max(solves, 1)
            elif limit_s is not None and clock is not None:
                left = max(limit_s - (clock() - began), 0.0)
                share = left if level == len(levels) - 1 else _PART * left
            found, bound = program.solve(gains, floors, share)
            if level < len(window.tiers):
                bound = float(math.floor(bound + _WHOLE))
            if found is not None and feasible(window, found):
                found = mended(window, found, _STEPS_A_POD * len(window.pods))  # below this level anything goes
                best = max(best, found, key=window.worth)
                reached = window.worth(best)[level]
            if open_level < 0 and bound > reached + _slack(reached):
                open_level, gap = level, (bound - reached) / max(abs(bound), 1.0)
        if level < len(window.tiers):
            floors.append((gains, reached - 0.5))
    return Joint(best, gap, open_level, program.complete, best != start)


def _slack(reached: float) -> float:
    return max(_EQUAL, 1e-9 * abs(reached))


class _Program:
    """Columns: pods of a class on one of its offers, then pods of a class placed at a priority.

    Rows: what nodes have left, then that both kinds of columns count the same pods of each class.
    levels : per level of worth what one more in each column gains.
    """

    def __init__(self, window: Window, start: Plan, limit: int | None) -> None:
        self._window = window
        counts = Counter((pod.kind, pod.priority) for pod in window.pods)
        self._groups = sorted(counts, key=lambda group: (group[0], -group[1]))
        kinds = sorted({kind for kind, _ in self._groups})
        used: dict[int, set[int]] = {kind: set() for kind in kinds}
        for pod, choice in zip(window.pods, start, strict=True):
            if choice != NOTHING:
                used[pod.kind].add(choice)
        usable = {kind: _usable(window, kind) for kind in kinds}
        chosen = {kind: sorted({*_spread(window, kind, usable[kind], limit), *used[kind]}) for kind in kinds}
        self.complete = all(len(chosen[kind]) == len(usable[kind]) for kind in kinds)
        self._offers = [(kind, offer) for kind in kinds for offer in chosen[kind]]
        size = len(self._offers) + len(self._groups)
        total = {kind: sum(counts[group] for group in self._groups if group[0] == kind) for kind in kinds}
        self._upper = np.array(
            [total[kind] for kind, _ in self._offers]
            + [counts[group] if chosen[group[0]] else 0 for group in self._groups],
            np.float64,
        )
        self.levels: list[_Floats] = []
        for tier in window.tiers:
            gains = np.zeros(size)
            for column, (kind, priority) in enumerate(self._groups, len(self._offers)):
                gains[column] = window.classes[kind].reward if priority == tier else 0.0
            self.levels.append(gains)
        values = np.zeros(size)
        values[: len(self._offers)] = [window.classes[kind].offers[offer].value for kind, offer in self._offers]
        self.levels.append(values)
        self._most = [float(gains @ self._upper) for gains in self.levels[:-1]]
        best = {
            kind: max((window.classes[kind].offers[offer].value for offer in chosen[kind]), default=0.0)
            for kind in kinds
        }
        self._most.append(math.fsum(best[pod.kind] for pod in window.pods))
        self._rows = self._constraints(kinds, size)

    def trivial(self, worth: Sequence[float], level: int) -> bool:
        """Whether a plan of this worth has all that there is to be had at a level: no need to solve for it."""
        whole = level < len(self._window.tiers) or worth[:level] == tuple(self._most[:level])
        return whole and worth[level] >= self._most[level] - _slack(self._most[level])

    def solve(
        self, gains: _Floats, floors: Sequence[tuple[_Floats, float]], limit_s: float | None
    ) -> tuple[Plan | None, float]:
        """The plan with the highest gains above these floors, None if none was found; and what no plan exceeds."""
        constraints = [self._rows]
        if floors:
            constraints.append(LinearConstraint(np.stack([floor for floor, _ in floors]), [at for _, at in floors]))
        options = {"mip_rel_gap": 0.0} | ({} if limit_s is None else {"time_limit": limit_s})
        answer = milp(
            -gains,
            integrality=np.ones(len(gains)),
            bounds=Bounds(0, self._upper),
            constraints=constraints,
            options=options,
        )
        dual = answer.mip_dual_bound
        bound = -dual if dual is not None and math.isfinite(dual) else math.inf
        bound = min(bound, float(np.maximum(gains, 0) @ self._upper))
        return (None if answer.x is None else self._plan(np.rint(answer.x).astype(np.int64))), bound

    def _constraints(self, kinds: Sequence[int], size: int) -> LinearConstraint:
        window = self._window
        taken: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for column, (kind, number) in enumerate(self._offers):
            offer = window.classes[kind].offers[number]
            for place, amount in enumerate(offer.amounts):
                if amount:
                    taken.setdefault((offer.node, place), []).append((column, amount))
        entries: list[tuple[int, int, float]] = []
        upper: list[float] = []
        for row, ((node, place), columns) in enumerate(taken.items()):
            unit = math.gcd(*[amount for _, amount in columns])  # bytes would be too large for HiGHS's tolerances
            entries += [(row, column, amount // unit) for column, amount in columns]
            upper.append(window.free[node][place] // unit)
        lower = [-np.inf] * len(upper)
        link = {kind: len(upper) + number for number, kind in enumerate(kinds)}
        entries += [(link[kind], column, 1.0) for column, (kind, _) in enumerate(self._offers)]
        entries += [(link[kind], column, -1.0) for column, (kind, _) in enumerate(self._groups, len(self._offers))]
        lower += [0.0] * len(kinds)
        upper += [0.0] * len(kinds)
        rows, places, values = zip(*entries, strict=True)
        matrix = coo_array((values, (rows, places)), shape=(len(upper), size)).tocsr()
        return LinearConstraint(matrix, np.array(lower), np.array(upper))

    def _plan(self, counts: NDArray[np.int64]) -> Plan:
        """Offers dealt out to pods: those of high priority and early in the queue get the better ones."""
        window = self._window
        dealt: dict[int, list[int]] = {}
        for (kind, offer), count in zip(self._offers, counts.tolist(), strict=False):
            dealt.setdefault(kind, []).extend([offer] * count)
        for kind, each in dealt.items():
            each.sort(key=lambda offer: (window.classes[kind].offers[offer].value, -offer))
        room = dict(zip(self._groups, counts[len(self._offers) :].tolist(), strict=True))
        plan = [NOTHING] * len(window.pods)
        for number in sorted(range(len(plan)), key=lambda number: (-window.pods[number].priority, number)):
            pod = window.pods[number]
            group = (pod.kind, pod.priority)
            if room[group] > 0 and dealt.get(pod.kind):
                room[group] -= 1
                plan[number] = dealt[pod.kind].pop()
        return tuple(plan)


def _usable(window: Window, kind: int) -> list[int]:
    """Offers that fit a node as it is, the best first."""
    offers = window.classes[kind].offers
    fitting = [
        number
        for number, offer in enumerate(offers)
        if all(amount <= left for amount, left in zip(offer.amounts, window.free[offer.node], strict=True))
    ]
    return sorted(fitting, key=lambda number: (-offers[number].value, number))


def _spread(window: Window, kind: int, usable: Sequence[int], limit: int | None) -> list[int]:
    """As many of the best offers as there may be, node after node: of one node those first that overlap least."""
    if limit is None or len(usable) <= limit:
        return list(usable)
    offers = window.classes[kind].offers
    waiting: dict[int, list[int]] = {}
    for number in usable:
        waiting.setdefault(offers[number].node, []).append(number)
    taken: Counter[tuple[int, int]] = Counter()
    found: list[int] = []
    while len(found) < limit:
        for node, numbers in waiting.items():
            if numbers and len(found) < limit:
                crowd = [sum(taken[node, d] for d, n in enumerate(offers[each].amounts) if n) for each in numbers]
                each = numbers.pop(crowd.index(min(crowd)))
                taken.update((node, d) for d, n in enumerate(offers[each].amounts) if n)
                found.append(each)
    return found
