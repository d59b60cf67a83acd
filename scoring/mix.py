"""The mix of demand, learned from what arrives and leaves; nothing is known beforehand."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Counts

ARRIVALS_HALVED: Final = 8_000  # an arrival counts half as much after so many others
PLACEMENTS_HALVED: Final = 2_000
FIRST_LOOK, LAST_LOOK = 8, 4_096  # a new sample after so many arrivals: at first few, doubling, at last many
DEPARTURES_OF_STEADY: Final = 0.2  # departures per placement from which on a cluster no longer counts as growing
MAX_KINDS: Final = 2_048
_LARGEST: Final = 1e9


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """What pods of one kind ask for.

    count : devices; milli : of each device, in thousandths, 1000 a whole one; both 0 where no device is wanted
    cpu : in thousandths of a core; classes : bit k is set where devices of class k may serve
    parts : bit k is set where parts of class k may serve, of devices that are cut; cut : milli that these take, or 0
    """

    count: int
    milli: int
    cpu: int
    classes: int
    parts: int = 0
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """The mix at one moment, most popular kind first.

    kinds : T of them; amounts : float64 (T,), decayed arrivals of each, > 0
    growth : in [0, 1]; 1 where nothing leaves, 0 where at least one pod leaves per five placed
    """

    kinds: tuple[Kind, ...]
    amounts: NDArray[np.float64]
    growth: float

    def column(self, name: str) -> Counts:
        """One field of every kind, int64 (T,); not for `classes` and `parts`, which have as many bits as there are."""
        return np.array([getattr(kind, name) for kind in self.kinds], np.int64)


class Mix:
    """Arrivals by kind and the balance of placements and departures, all decayed.

    Recent events weigh 1 and older ones less, which is kept by letting new events weigh ever more.
    """

    def __init__(self) -> None:
        self._amounts: dict[Kind, float] = {}
        self._weight = 1.0
        self._placed = 0.0
        self._left = 0.0
        self._arrived = 0
        self._next = FIRST_LOOK

    @property
    def due(self) -> bool:
        """Whether so many pods arrived since the last sample that another is worth its price."""
        return self._arrived >= self._next

    def arrive(self, kind: Kind) -> None:
        """A pod is seen for the first time, whether or not it will fit."""
        self._arrived += 1
        self._weight *= 2 ** (1 / ARRIVALS_HALVED)
        self._amounts[kind] = self._amounts.get(kind, 0.0) + self._weight
        if self._weight > _LARGEST:
            self._amounts = {kind: amount / self._weight for kind, amount in self._amounts.items()}
            self._weight = 1.0
        if len(self._amounts) > MAX_KINDS:
            ranked = sorted(self._amounts.items(), key=lambda item: (-item[1], item[0]))
            self._amounts = dict(ranked[: MAX_KINDS // 2])

    def place(self) -> None:
        """A pod got its place."""
        fading = 2 ** (-1 / PLACEMENTS_HALVED)
        self._placed = self._placed * fading + 1
        self._left *= fading

    def leave(self) -> None:
        """A pod that had a place is gone."""
        self._left += 1

    @property
    def growth(self) -> float:
        """See Sample."""
        if not self._placed:
            return 1.0
        return max(0.0, 1 - self._left / self._placed / DEPARTURES_OF_STEADY)

    def sample(self) -> Sample:
        """The mix as it is now; `due` is false until enough others arrived."""
        self._next = self._arrived + min(max(self._arrived, FIRST_LOOK), LAST_LOOK)
        ranked = sorted(self._amounts.items(), key=lambda item: (-item[1], item[0]))
        amounts = np.array([amount for _, amount in ranked], np.float64) / self._weight
        return Sample(tuple(kind for kind, _ in ranked), amounts, self.growth)
