"""A plan for a window while it is being made: pods are put, lifted and put elsewhere, and any of it can be undone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import ge, sub
from typing import Final

from scheduler.core.solvers.window import NOTHING, Plan, Window

EQUAL: Final = 1e-6  # milli; values that differ by less are equal
NEAR: Final = 4  # offers of one node that are looked at where none fits

_State = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Option:
    """An offer as it is worked with. index : its place in the offers of its class. takes : (place, amount) above 0."""

    index: int
    node: int
    amounts: tuple[int, ...]
    takes: tuple[tuple[int, int], ...]
    value: float


class Packing:
    """What is placed, what is left, and what that comes to.

    options : per class and node, the best first; only those that fit the node as it is at the start, and nodes by their
    best. tier : per pod the place of its priority in Window.tiers, 0 is the highest. taken, reward : per pod.
    free : per node, what is left. on : per node, the pods there. rewards : per tier. steps : how often a node or an
    offer was looked at, which is what work is measured by.

    What is best on a node hangs on what it has left and on nothing else, so it is worked out once for each such state.
    """

    def __init__(self, window: Window) -> None:
        self.window = window
        self.options = [self._options(kind) for kind in range(len(window.classes))]
        place = {priority: number for number, priority in enumerate(window.tiers)}
        self.kind = [pod.kind for pod in window.pods]
        self.tier = [place[pod.priority] for pod in window.pods]
        self.reward = [window.classes[kind].reward for kind in self.kind]
        self.taken: list[Option | None] = [None] * len(window.pods)
        self.free = list(window.free)
        self.on: list[dict[int, None]] = [{} for _ in window.free]
        self.rewards = [0] * len(window.tiers)
        self.value = 0.0
        self.steps = 0
        self._journal: list[tuple[int, Option | None]] = []
        self._fitting: list[dict[int, dict[_State, Option | None]]] = [{n: {} for n in each} for each in self.options]
        self._nearest: list[dict[int, dict[_State, list[Option]]]] = [{n: {} for n in each} for each in self.options]

    def _options(self, kind: int) -> dict[int, list[Option]]:
        offers = self.window.classes[kind].offers
        found: dict[int, list[Option]] = {}
        for index in sorted(range(len(offers)), key=lambda index: (-offers[index].value, index)):
            offer = offers[index]
            if _fits(self.window.free[offer.node], offer.amounts):
                takes = tuple((place, amount) for place, amount in enumerate(offer.amounts) if amount)
                found.setdefault(offer.node, []).append(Option(index, offer.node, offer.amounts, takes, offer.value))
        return found

    @property
    def plan(self) -> Plan:
        """As it stands."""
        return tuple(NOTHING if option is None else option.index for option in self.taken)

    @property
    def unplaced(self) -> list[int]:
        """Pods that have nothing: by priority, then those that count most, then as queued."""
        return self.ordered(pod for pod, option in enumerate(self.taken) if option is None)

    def ordered(self, pods: Iterable[int]) -> list[int]:
        """By priority, then those that count most, then as queued."""
        return sorted(pods, key=lambda pod: (self.tier[pod], -self.reward[pod], pod))

    def load(self, plan: Plan) -> None:
        """Start from a plan that fits; nothing is placed yet."""
        for pod, choice in enumerate(plan):
            if choice != NOTHING:
                options = (option for each in self.options[self.kind[pod]].values() for option in each)
                self.put(pod, next(option for option in options if option.index == choice))

    def put(self, pod: int, option: Option) -> None:
        """Place a pod that has nothing; the option fits."""
        self._journal.append((pod, None))
        self._set(pod, option)

    def lift(self, pod: int) -> None:
        """Take a pod from its place."""
        self._journal.append((pod, self.taken[pod]))
        self._set(pod, None)

    def mark(self) -> int:
        """A point to go back to."""
        return len(self._journal)

    def undo(self, mark: int) -> None:
        """Go back to a point."""
        while len(self._journal) > mark:
            pod, before = self._journal.pop()
            self._set(pod, before)

    def fitting(self, kind: int, node: int) -> Option | None:
        """The best option of a class on a node that fits."""
        self.steps += 1
        known, left = self._fitting[kind][node], self.free[node]
        if left not in known:
            options = self.options[kind][node]
            known[left] = next((option for option in options if _fits(left, option.amounts)), None)
            self.steps += len(options)
        return known[left]

    def near(self, kind: int, node: int) -> list[Option]:
        """The options of a class on a node that come nearest to fitting, by the share of the node that is missing."""
        self.steps += 1
        known, left = self._nearest[kind][node], self.free[node]
        if left not in known:
            options, whole = self.options[kind][node], self.window.free[node]
            missing = [
                sum([(amount - left[place]) / whole[place] for place, amount in option.takes if amount > left[place]])
                for option in options
            ]
            order = sorted(range(len(options)), key=lambda at: (round(missing[at], 6), at))
            known[left] = [options[at] for at in order[:NEAR]]
            self.steps += len(options)
        return known[left]

    def best(self, pod: int) -> Option | None:
        """The best option that fits."""
        kind = self.kind[pod]
        best: Option | None = None
        for node, options in self.options[kind].items():
            if best is not None and best.value > options[0].value:
                break
            found = self.fitting(kind, node)
            if found is not None and (best is None or (-found.value, found.index) < (-best.value, best.index)):
                best = found
        return best

    def place(self, pods: Iterable[int]) -> None:
        """Give each pod in turn its best option that fits, if any."""
        full = set()  # classes: what did not fit once will not while pods are only added
        for pod in pods:
            if self.kind[pod] in full:
                continue
            option = self.best(pod)
            if option is not None:
                self.put(pod, option)
            else:
                full.add(self.kind[pod])

    def better(self, rewards: Sequence[int], value: float) -> bool:
        """Whether this is worth more than a plan of these rewards and this value."""
        if self.rewards != rewards:
            return self.rewards > list(rewards)
        return self.value > value + EQUAL

    def _set(self, pod: int, option: Option | None) -> None:
        """Place a pod that has nothing, or take it from its place."""
        before = self.taken[pod]
        self.taken[pod] = option
        if option is not None:
            self.free[option.node] = tuple(map(sub, self.free[option.node], option.amounts))
            self.on[option.node][pod] = None
            self.rewards[self.tier[pod]] += self.reward[pod]
            self.value += option.value
        elif before is not None:
            self.free[before.node] = tuple([a + b for a, b in zip(self.free[before.node], before.amounts, strict=True)])
            del self.on[before.node][pod]
            self.rewards[self.tier[pod]] -= self.reward[pod]
            self.value -= before.value


def _fits(left: Sequence[int], amounts: Sequence[int]) -> bool:
    return all(map(ge, left, amounts))
