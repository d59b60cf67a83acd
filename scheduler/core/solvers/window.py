"""Pods that are decided together, and what nodes offer them.

Nothing here knows of nodes and claims by name: a window is numbers. Pods of one class have the same offers, each worked
out for the state at the window's start; what a node has left is all that ties offers to each other.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

NOTHING: Final = -1  # the offer of a pod that is not placed
A_POD: Final = 100  # thousandths of a device that a placed pod counts beyond its devices
_LARGEST: Final = 2**63 - 1

Plan = tuple[int, ...]
"""Per pod of a window the offer that it takes, by its place in the offers of its class, or NOTHING."""

Worth = tuple[float, ...]
"""What a plan is worth: the rewards of the pods placed by descending priority, then the values of the offers taken.

Compared like tuples. So a pod of higher priority counts more than any number of pods below it, as users of priorities
expect, and no value makes up for a pod that is left out.
"""


@dataclass(frozen=True, slots=True)
class Offer:
    """A way to place a pod: what it takes of a node, and how good that is.

    node : row of Window.free. amounts : in the order and units of that row, >= 0. value : finite, higher is better, in
    milli as in scoring/placement.py.
    """

    node: int
    amounts: tuple[int, ...]
    value: float


@dataclass(frozen=True, slots=True)
class PodClass:
    """What equal pods are offered. size : thousandths of devices that each of them asks for."""

    offers: tuple[Offer, ...]
    size: int = 0

    @property
    def reward(self) -> int:
        """What placing one of the pods counts among pods of its priority.

        The devices that it puts to use, and something for each pod: of two plans that use the same devices the one that
        places more pods is better, and a pod without devices is worth a tenth of a device.
        """
        return self.size + A_POD


@dataclass(frozen=True, slots=True)
class WindowPod:
    """One pod. kind : its class, by its place in Window.classes."""

    priority: int
    kind: int


@dataclass(frozen=True, slots=True)
class Window:
    """Pods in the order of the queue, the classes that they are of, and what nodes have left.

    free : per node a vector of amounts >= 0: cpu, memory, pods, and of devices whatever couples pods, be it the
    thousandths left of each, or the units left of a counter. Vectors of different nodes may differ in length.
    tiers : the priorities that occur, highest first.

    ValueError names the pod, class, offer or node that makes no sense.
    """

    pods: tuple[WindowPod, ...]
    classes: tuple[PodClass, ...]
    free: tuple[tuple[int, ...], ...]
    tiers: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        for number, left in enumerate(self.free):
            _check_amounts(left, f"node {number}")
        for number, each in enumerate(self.classes):
            if not 0 <= each.size <= _LARGEST:
                raise ValueError(f"class {number}: size {each.size}; it is 0 or more")
            for place, offer in enumerate(each.offers):
                self._check_offer(offer, f"class {number}, offer {place}")
        for number, pod in enumerate(self.pods):
            if not 0 <= pod.kind < len(self.classes):
                raise ValueError(f"pod {number}: class {pod.kind} is unknown; there are {len(self.classes)}")
        object.__setattr__(self, "tiers", tuple(sorted({pod.priority for pod in self.pods}, reverse=True)))

    def _check_offer(self, offer: Offer, where: str) -> None:
        if not 0 <= offer.node < len(self.free):
            raise ValueError(f"{where}: node {offer.node} is unknown; there are {len(self.free)}")
        if len(offer.amounts) != len(self.free[offer.node]):
            has = len(self.free[offer.node])
            raise ValueError(f"{where}: {len(offer.amounts)} amounts; node {offer.node} has {has}")
        _check_amounts(offer.amounts, where)
        if not math.isfinite(offer.value):
            raise ValueError(f"{where}: value {offer.value}; it has to be finite")

    def worth(self, plan: Plan) -> Worth:
        """What a plan comes to; the order of pods does not matter, not even to the last digit."""
        rewards: Mapping[int, list[int]] = {tier: [] for tier in self.tiers}
        values = []
        for pod, choice in zip(self.pods, plan, strict=True):
            if choice != NOTHING:
                each = self.classes[pod.kind]
                rewards[pod.priority].append(each.reward)
                values.append(each.offers[choice].value)
        return (*(sum(rewards[tier]) for tier in self.tiers), math.fsum(values))


def feasible(window: Window, plan: Plan) -> bool:
    """Whether a plan gives every pod one of its offers or nothing, and no node more than it has left.

    Plain loops on purpose: it shares nothing with the solvers that it checks.
    """
    if len(plan) != len(window.pods):
        return False
    left = [list(each) for each in window.free]
    for pod, choice in zip(window.pods, plan, strict=True):
        if choice == NOTHING:
            continue
        offers = window.classes[pod.kind].offers
        if not 0 <= choice < len(offers):
            return False
        for place, amount in enumerate(offers[choice].amounts):
            left[offers[choice].node][place] -= amount
    return all(amount >= 0 for each in left for amount in each)


def _check_amounts(amounts: Sequence[int], where: str) -> None:
    for place, amount in enumerate(amounts):
        if not 0 <= amount <= _LARGEST:  # NaN is neither
            raise ValueError(f"{where}: amount {place} is {amount}; amounts are from 0 to 2**63 - 1")
