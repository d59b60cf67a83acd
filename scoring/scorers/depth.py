"""Whether nodes that have much left are used before those that have little."""

import numpy as np
from numpy.typing import NDArray

from scoring.market import Market
from scoring.scorers.base import StateScorer
from scoring.states import States


class Depth(StateScorer):
    """Minus the square root of the devices left: the last device of a node costs most.

    It counts as much as the cluster grows: a cluster that only fills up loses nothing by a node emptied later, and
    keeps more kinds of remainders. Where pods leave, whole nodes must be kept free instead (measured under churn).
    """

    name = "depth"
    says = "while the cluster grows, nodes with much left first"

    def measure(self, states: States, market: Market) -> NDArray[np.float64]:
        """Minus 1000 times the square root of the devices left."""
        root: NDArray[np.float64] = np.sqrt(states.idle / 1000.0)
        return -1000.0 * market.growth * root
