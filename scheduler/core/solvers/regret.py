"""A window by greed, regret and repair: the default solver.

Several greedy orders, each repaired: a pod takes an offer that is in use, the pods in its way go elsewhere, and what
they displace in turn too. The best of these is shaken: nodes are cleared and filled in another order. A change stays if
the plan is worth more for it. Work is counted in steps, so the same window has the same answer on any machine.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Final

from scheduler.core.solvers.packing import EQUAL, Option, Packing
from scheduler.core.solvers.window import NOTHING, Plan, Window

STEPS_A_POD: Final = 2_000  # looks at a node or an offer, of two microseconds each
_WAYS: Final = 6  # sets of pods that are tried to make room for one offer
_OTHERS: Final = 10  # pods of a node of which pairs are looked at


def in_order(window: Window) -> Plan:
    """The plan of plain greed: pods by priority, then as queued, each on its best offer that still fits."""
    packing = Packing(window)
    packing.place(sorted(range(len(window.pods)), key=lambda pod: packing.tier[pod]))
    return packing.plan


def regret(window: Window, steps: int | None = None) -> Plan:
    """A plan that is worth at least as much as that of `in_order`.

    steps : that it may take, of all pods together; they are spent unless every pod gets its best offer. None: as many
    as tight windows need.
    """
    steps = STEPS_A_POD * len(window.pods) if steps is None else steps
    plans = dict.fromkeys([in_order(window), _large_first(window), _by_regret(window)])
    repairs = [_Repair(window, plan) for plan in plans]
    for repair in repairs:
        repair.run(steps // (4 * len(plans)))
    best = max(repairs, key=lambda repair: window.worth(repair.plan))
    best.shake(steps - sum(repair.steps for repair in repairs))
    return best.plan


def mended(window: Window, plan: Plan, steps: int) -> Plan:
    """A plan that is worth at least as much as this one, which fits: what still fits is placed, then it is repaired."""
    repair = _Repair(window, plan)
    repair.run(steps)
    return repair.plan


def _large_first(window: Window) -> Plan:
    """Pods by priority, then those that count most, then those with the fewest nodes to go to."""
    packing = Packing(window)
    order = sorted(
        range(len(window.pods)),
        key=lambda pod: (packing.tier[pod], -packing.reward[pod], len(packing.options[packing.kind[pod]]), pod),
    )
    packing.place(order)
    return packing.plan


def _by_regret(window: Window) -> Plan:
    """Pods by priority, then those that lose most if their best node is gone."""
    packing = Packing(window)
    waiting = list(range(len(window.pods)))
    while waiting:
        tier = min(packing.tier[pod] for pod in waiting)
        first = {packing.kind[pod]: pod for pod in reversed(waiting) if packing.tier[pod] == tier}
        loss = {pod: _loss(packing, packing.kind[pod]) for pod in sorted(first.values())}
        pod = max(loss, key=lambda each: (loss[each], packing.reward[each], -each))
        packing.place([pod])
        if packing.taken[pod] is None:  # nor has any other of its class
            waiting = [each for each in waiting if packing.kind[each] != packing.kind[pod]]
        else:
            waiting.remove(pod)
    return packing.plan


def _loss(packing: Packing, kind: int) -> float:
    """How much less a class has without its best node; more than any value where there is no other."""
    found = [packing.fitting(kind, node) for node in packing.options[kind]]
    values = sorted((option.value for option in found if option is not None), reverse=True)
    return values[0] - values[1] if len(values) > 1 else float("inf")


class _Repair:
    """Changes of a plan, each for the better, until none is found or the steps are spent."""

    def __init__(self, window: Window, plan: Plan) -> None:
        self._packing = Packing(window)
        self._packing.load(plan)
        self._most = [
            max((options[0].value for options in each.values()), default=0.0) for each in self._packing.options
        ]
        self._end = 0
        self._dice = 1

    @property
    def plan(self) -> Plan:
        """As it stands."""
        return self._packing.plan

    @property
    def steps(self) -> int:
        """Spent so far."""
        return self._packing.steps

    @property
    def _spent(self) -> bool:
        return self._packing.steps >= self._end

    @property
    def _perfect(self) -> bool:
        """Whether every pod has the best that there is for it."""
        packing = self._packing
        return not any(
            packing.options[packing.kind[pod]] and (option is None or self._hope(pod) > EQUAL)
            for pod, option in enumerate(packing.taken)
        )

    def run(self, steps: int) -> None:
        """First for pods that have nothing, then for values."""
        self._end = self._packing.steps + steps
        while not self._spent and (self._insert() or self._improve()):
            pass

    def shake(self, steps: int) -> None:
        """Clear some nodes and fill them in another order, again and again; most often for a pod that has nothing."""
        packing = self._packing
        self._end = packing.steps + steps
        count = len(packing.free)
        while not self._spent and not self._perfect:
            packing.steps += 1
            rewards, value = list(packing.rewards), packing.value
            mark = packing.mark()
            nodes = {self._roll() % count for _ in range(2 + self._roll() % 2)}
            guest, seat = self._invite()
            if seat is not None:
                nodes.add(seat.node)
            for pod in [pod for node in sorted(nodes) for pod in packing.on[node]]:
                packing.lift(pod)
            if seat is not None:
                packing.put(guest, seat)
            self._fill()
            while not self._spent and self._insert():
                pass
            if packing.rewards == rewards and packing.value < value:
                self._improve()
            if not packing.better(rewards, value - 2 * EQUAL):
                packing.undo(mark)

    def _invite(self) -> tuple[int, Option | None]:
        """A pod that has nothing and could have something, an important one rather, and its best option on a node."""
        packing = self._packing
        waiting = [pod for pod in packing.unplaced if packing.options[packing.kind[pod]]]
        if not waiting:
            return NOTHING, None
        guest = waiting[min(self._roll() % len(waiting), self._roll() % len(waiting))]
        homes = list(packing.options[packing.kind[guest]].values())
        return guest, homes[self._roll() % len(homes)][0]

    def _fill(self) -> None:
        """Place what has nothing, large pods rather first; by priority or not, on the best, the fullest or any node."""
        packing = self._packing
        strict, choice = self._roll() % 2, self._roll() % 3
        weight = {pod: packing.reward[pod] * (64 + self._roll() % 128) for pod in packing.unplaced}
        for pod in sorted(weight, key=lambda pod: (strict * packing.tier[pod], -weight[pod], pod)):
            kind = packing.kind[pod]
            found = [option for node in packing.options[kind] if (option := packing.fitting(kind, node)) is not None]
            if not found:
                continue
            if choice == 0:
                option = min(found, key=lambda option: (-option.value, option.index))
            elif choice == 1:
                option = min(found, key=lambda option: (self._emptiness(option.node), option.index))
            else:
                option = found[self._roll() % len(found)]
            packing.put(pod, option)

    def _emptiness(self, node: int) -> float:
        """What is left of a node, in shares of what it had."""
        left, whole = self._packing.free[node], self._packing.window.free[node]
        return round(sum([each / max(had, 1) for each, had in zip(left, whole, strict=True)]), 6)

    def _roll(self) -> int:
        """A number below 2**31 that looks drawn, and is the same in every run."""
        self._dice = (self._dice * 6364136223846793005 + 1442695040888963407) % 2**64
        return self._dice >> 33

    def _insert(self) -> bool:
        """Place one more pod, or one that counts more."""
        packing = self._packing
        tried = set()
        for pod in packing.unplaced:
            key = (packing.tier[pod], packing.kind[pod])
            if key in tried:
                continue
            tried.add(key)
            for node in packing.options[packing.kind[pod]]:
                for option in packing.near(packing.kind[pod], node):
                    if self._spent:
                        return False
                    if self._take(pod, option):
                        return True
        return False

    def _improve(self) -> bool:
        """Give placed pods offers of more value, all in all."""
        packing = self._packing
        improved = False
        for pod in range(len(packing.taken)):
            for node, options in packing.options[packing.kind[pod]].items():
                hopes = sorted((self._hope(each) for each in packing.on[node] if each != pod), reverse=True)
                hope = sum(hopes[:2])
                for option in options:
                    now = packing.taken[pod]
                    if now is None or option.value + hope <= now.value + EQUAL:
                        break
                    if self._spent:
                        return improved
                    if option is not now and self._take(pod, option):
                        improved = True
                        break
        return improved

    def _hope(self, pod: int) -> float:
        """By how much the value of a placed pod can grow at most."""
        now = self._packing.taken[pod]
        return self._most[self._packing.kind[pod]] - (now.value if now is not None else 0.0)

    def _take(self, pod: int, option: Option) -> bool:
        """Let a pod have an offer, whoever is in its way; whether that was for the better, and so stays."""
        packing = self._packing
        rewards, value = list(packing.rewards), packing.value
        start = packing.mark()
        now = packing.taken[pod]
        if now is not None:
            packing.lift(pod)
        for blockers in self._blockers(option):
            if now is not None and option.value + sum(map(self._hope, blockers)) <= now.value + EQUAL:
                continue
            mark = packing.mark()
            for each in blockers:
                packing.lift(each)
            packing.put(pod, option)
            for each in packing.ordered(blockers):
                self._settle(each, {pod, *blockers})
            if any(packing.taken[each] is None for each in blockers) and not packing.better(rewards, value):
                packing.place(packing.unplaced)
            if packing.better(rewards, value):
                return True
            packing.undo(mark)
        packing.undo(start)
        return False

    def _blockers(self, option: Option) -> Iterator[tuple[int, ...]]:
        """Sets of pods whose leaving makes room for an offer: one pod, two, or as many as it takes."""
        packing = self._packing
        packing.steps += 1
        left = packing.free[option.node]
        lacks = [(place, amount - left[place]) for place, amount in option.takes if left[place] < amount]
        if not lacks:
            yield ()
            return
        gives: dict[int, list[int]] = {}
        for each in packing.on[option.node]:
            taken = packing.taken[each]
            given = [taken.amounts[place] for place, _ in lacks] if taken is not None else []
            if any(given):
                gives[each] = given
        ways = 0
        for size in (1, 2):
            for blockers in combinations(self._distinct(gives, size)[:_OTHERS], size):
                packing.steps += 1
                if _covers(lacks, [gives[each] for each in blockers]):
                    yield blockers
                    ways += 1
                    if ways == _WAYS:
                        return
            if ways:
                return
        needed = self._cheapest(gives)
        for each in reversed(needed.copy()):
            fewer = [other for other in needed if other != each]
            if _covers(lacks, [gives[other] for other in fewer]):
                needed = fewer
        if _covers(lacks, [gives[each] for each in needed]):
            yield tuple(needed)

    def _distinct(self, pods: Iterable[int], count: int) -> list[int]:
        """So many of those that are alike, of one class and priority on one offer; the cheapest first."""
        packing = self._packing
        alike: dict[tuple[int, int, int], list[int]] = {}
        for each in pods:
            taken = packing.taken[each]
            key = (packing.tier[each], packing.kind[each], taken.index if taken is not None else NOTHING)
            alike.setdefault(key, []).append(each)
        return self._cheapest(each for same in alike.values() for each in same[:count])

    def _cheapest(self, pods: Iterable[int]) -> list[int]:
        """Pods of the lowest priority first, and of those what counts least."""
        packing = self._packing
        return sorted(pods, key=lambda each: (-packing.tier[each], packing.reward[each], each))

    def _settle(self, pod: int, fixed: set[int]) -> None:
        """Place a pod that made room: on its best offer that fits, else on one whose pod finds another."""
        packing = self._packing
        option = packing.best(pod)
        if option is not None:
            packing.put(pod, option)
            return
        kind = packing.kind[pod]
        for node in packing.options[kind]:
            for option in packing.near(kind, node)[:2]:
                for blockers in self._blockers(option):
                    if len(blockers) > 1 or blockers[0] in fixed:
                        continue
                    mark = packing.mark()
                    packing.lift(blockers[0])
                    packing.put(pod, option)
                    other = packing.best(blockers[0])
                    if other is not None:
                        packing.put(blockers[0], other)
                        return
                    packing.undo(mark)


def _covers(lacks: list[tuple[int, int]], gives: list[list[int]]) -> bool:
    """Whether these amounts make up for what is missing."""
    return all(sum(given[at] for given in gives) >= missing for at, (_, missing) in enumerate(lacks))
