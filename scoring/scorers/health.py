"""Whether the devices of a set are tainted or reported as unhealthy."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from scoring.arrays import Floats
from scoring.flaws import Flaw
from scoring.scorers.base import Sets, SetScorer, rounded

WORTH: Final = np.array([1.0, 0.8, 0.3, 0.1, 0.0])  # by Flaw


def health_of(flaws: Sequence[int]) -> float:
    """The score of one set of devices with these flaws, a Flaw each."""
    worth = [float(WORTH[each]) for each in flaws]
    return round(0.5 * min(worth) + 0.5 * sum(worth) / len(worth), 6) if worth else 1.0


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
        scores = np.ones(len(sets.members))
        if sets.flaws.any():
            size = sets.members.sum(axis=1)
            worst = np.where(sets.members, sets.flaws, Flaw.NONE).max(axis=1, initial=Flaw.NONE)
            lost = sets.members @ (1 - WORTH[sets.flaws])
            scores = 0.5 * WORTH[worst] + 0.5 * (1 - lost / np.maximum(size, 1))
        return rounded(scores)
