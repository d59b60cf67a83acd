"""Whether the devices of a set are tainted or reported as unhealthy."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Floats, Mask
from scoring.flaws import Flaw, Flaws
from scoring.scorers.base import Sets, SetScorer, rounded

WORTH: Final = np.array([1.0, 0.8, 0.3, 0.1, 0.0])  # by Flaw


def health_of(flaws: Sequence[int]) -> float:
    """The score of one set of devices with these flaws, a Flaw each."""
    return round(float(_healths(np.ones((1, len(flaws)), np.bool_), np.array(flaws, np.int8))[0]), 6)


def _healths(members: Mask, flaws: Flaws) -> NDArray[np.float64]:
    """bool (C, n), flaws of n devices -> (C,)."""
    worst = np.where(members, flaws, Flaw.NONE).max(axis=1, initial=Flaw.NONE)
    lost = members @ (1 - WORTH[flaws])
    found: NDArray[np.float64] = 0.5 * WORTH[worst] + 0.5 * (1 - lost / np.maximum(members.sum(axis=1), 1))
    return found


class Health(SetScorer):
    """Half the worst device, half the mean, by WORTH of its flaw.

    A job stops with its worst device; the mean tells sets apart that cannot avoid one. A taint without an effect is a
    note (KEP-5055: `None` informs and keeps nobody off) and costs little; a taint that keeps others off, and which the
    request tolerates, says that somebody would rather not have pods there.
    """

    name = "health"
    says = "devices without taints, and not reported unhealthy"
    sees_free = False

    def score(self, sets: Sets) -> Floats:
        """One where no device has a flaw."""
        return rounded(_healths(sets.members, sets.flaws) if sets.flaws.any() else np.ones(len(sets.members)))
