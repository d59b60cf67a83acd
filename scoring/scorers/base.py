"""What a scorer is: columns in, one number in [0, 1] per candidate out, higher is better.

There are several kinds. A *set scorer* judges which devices are taken inside a node: it sees the node's Layout, and one
row per possible set. A *node scorer* judges where: it sees one row per node, with what would be left there. A *wish
scorer* judges nodes by what the pod itself prefers. A *state
scorer* judges what is left for the mix of demand: it measures the waste in a node's state, and a placement is as good
as the waste it saves. A *card scorer* does the same for devices that are cut into parts (MIG).
A *rank scorer* judges nothing: it shows what comes before all weights.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Counts, Floats, Mask, Rows
from scoring.flaws import Flaws
from scoring.market import Market
from scoring.states import States
from scoring.topology.base import Layout

HALF_VALUE: Final = 100.0  # GB/s
SPAN: Final = 32_000.0  # milli of waste saved or caused from which on a state scorer says no more


@dataclass(frozen=True, slots=True)
class Sets:
    """Possible device sets on nodes of one layout.

    free : bool (n,), devices that are free before the choice, or (C, n) where each set has its own node.
    members : bool (C, n), each row within `free`.
    flaws : int8 (n,), what speaks against each device; nothing unless given.
    """

    layout: Layout
    free: Mask
    members: Mask
    flaws: Flaws = field(default_factory=lambda: np.zeros(0, np.int8))

    def __post_init__(self) -> None:
        if not len(self.flaws):
            object.__setattr__(self, "flaws", np.zeros(self.layout.size, np.int8))


@dataclass(frozen=True)
class Loads:
    """Possible nodes, one row each; int64 (C,), amounts as in core/model (cpu in thousandths).

    `devices` are those in the pools local to the node; `left` means after the pod is placed there; `asked` is what
    the pod requests; `counted` is what all pods with this one request, containers that say nothing with what
    kube-scheduler takes them for (0.1 cores, 200 MiB); `changes` counts how often what its drivers publish changed.
    """

    devices: Counts
    devices_left: Counts
    cpu: Counts
    cpu_left: Counts
    memory: Counts
    memory_left: Counts
    cpu_asked: Counts
    memory_asked: Counts
    cpu_counted: Counts
    memory_counted: Counts
    changes: Counts

    @cached_property
    def shares_left(self) -> NDArray[np.float64]:
        """What is left of devices, cpu and memory, float64 (3, C) in [0, 1].

        0 of nothing. Overcommitted nodes have nothing left.
        """
        total = np.maximum(np.array([self.devices, self.cpu, self.memory]), 0)
        left = np.minimum(np.maximum(np.array([self.devices_left, self.cpu_left, self.memory_left]), 0), total)
        shares: NDArray[np.float64] = left / np.maximum(total, 1)
        return shares


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a pod states of nodes, measured on possible nodes, one row each, in the unit of whoever judges it.

    measured : float64 (C,), NaN where nothing can be said. least, most : over all nodes on which the pod fits, 0 where
    there are none. parts : how many things were added up.
    """

    measured: NDArray[np.float64]
    least: float
    most: float
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Cards:
    """States of cards of one kind, one row each. A card is what parts are cut from: counters that they share (a GPU).

    left : int64 (C, K), what is left of each counter; taken : bool (C, D), which parts are
    uses : int64 (D, K), what each part takes of each counter; classes : int32 (D,), class of each part
    milli : float64 (K,), of the card in one unit of each counter; all that a counter set has comes to 1000
    """

    left: Counts
    taken: Mask
    uses: Counts
    classes: Rows
    milli: NDArray[np.float64]


class SetScorer(ABC):
    """Judges sets of devices inside a node.

    sees_free : whether the score depends on what else is free; if not, each set is judged just once for all nodes.
    """

    name: ClassVar[str]
    says: ClassVar[str]
    sees_free: ClassVar[bool] = True

    @abstractmethod
    def score(self, sets: Sets) -> Floats:
        """float32 (C,), finite, in [0, 1]."""


class NodeScorer(ABC):
    """Judges nodes."""

    name: ClassVar[str]
    says: ClassVar[str]

    @abstractmethod
    def score(self, loads: Loads) -> Floats:
        """float32 (C,), finite, in [0, 1]."""


class WasteScorer(ABC):
    """Judges what a placement leaves for the mix of demand by the waste that it saves, in milli of a device."""

    name: ClassVar[str]
    says: ClassVar[str]

    def score(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> Floats:
        """float32 (C,) in [0, 1] for what `measure` says before and after: one half where it makes no difference.

        Linear up to SPAN, the same for all of them, so that a weighted mean of scores ranks as the weighted sum
        of milli does. One device wasted costs 1/64.
        """
        return rounded(np.clip(0.5 + (before - after) / (2 * SPAN), 0, 1))

    def worth(self, saved: float) -> float:
        """`score` of one placement that saves so much waste."""
        return round(min(max(0.5 + saved / (2 * SPAN), 0.0), 1.0), 6)


class StateScorer(WasteScorer):
    """Judges what is left of a node."""

    @abstractmethod
    def measure(self, states: States, market: Market) -> NDArray[np.float64]:
        """Waste in each state: float64 (C,), finite; lower is better, only differences count."""


class CardScorer(WasteScorer):
    """Judges what is left of cards."""

    @abstractmethod
    def measure(self, cards: Cards, market: Market) -> NDArray[np.float64]:
        """Waste in each state: float64 (C,), finite; lower is better, only differences count."""


class WishScorer(ABC):
    """Judges nodes by what the pod states; where it states nothing, nobody is asked.

    The measure is that of kube-scheduler, and so is the way in which it is brought to [0, 1], but for its rounding to
    whole percents.
    """

    name: ClassVar[str]
    says: ClassVar[str]

    @abstractmethod
    def score(self, wishes: Wishes) -> Floats:
        """float32 (C,), finite, in [0, 1]."""


class RankScorer(ABC):
    """Shows what ranks placements before any weight does."""

    name: ClassVar[str]
    says: ClassVar[str]

    @abstractmethod
    def worth(self, indices: int, lists: int) -> float:
        """In [0, 1], higher is better, strictly in the order in which placements are ranked."""


Scorer = SetScorer | NodeScorer | WishScorer | StateScorer | CardScorer | RankScorer


def check(scorer: Scorer, values: Floats, count: int | None = None) -> Floats:
    """`values`, if they are what the contract promises; `count` is the number of candidates, where the caller knows it.

    Raises ValueError, which names the scorer and the first value that breaks the contract.
    """
    if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.ndim != 1:
        shown = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise ValueError(f"scorer {scorer.name}: returned {shown} instead of a float32 vector")
    if count is not None and len(values) != count:
        raise ValueError(f"scorer {scorer.name}: returned {len(values)} scores for {count} candidates")
    bad = ~((values >= 0) & (values <= 1))  # true for NaN too
    if bad.any():
        at = int(bad.argmax())
        raise ValueError(f"scorer {scorer.name}: score {values[at]} of candidate {at} is not within 0 and 1")
    return values


def rounded(values: NDArray[np.float64]) -> Floats:
    """Scores to six digits: what differs only by the order of additions is equal, and so breaks no tie."""
    return np.round(values, 6).astype(np.float32)


def inside(members: Mask, pairs: NDArray[np.generic]) -> NDArray[np.float64]:
    """Sum over the unordered pairs inside each set; members bool (C, n), pairs symmetric (n, n) -> float64 (C,)."""
    chosen = members.astype(np.float64)
    total: NDArray[np.float64] = ((chosen @ pairs.astype(np.float64)) * chosen).sum(axis=1) / 2
    return total


def pair_count(members: Mask) -> NDArray[np.int64]:
    """How many unordered pairs each set has, int64 (C,)."""
    size = members.sum(axis=1, dtype=np.int64)
    pairs: NDArray[np.int64] = size * (size - 1) // 2
    return pairs


def saturating(bandwidth: NDArray[np.floating]) -> NDArray[np.float64]:
    """b / (b + 100) for GB/s: 0 without a link, one half at 100 GB/s, 1 never reached.

    Doubling a slow link matters more than doubling a fast one, and no product's top speed is built in.
    """
    return 1 - HALF_VALUE / (HALF_VALUE + bandwidth.astype(np.float64))
