"""Whether what is left of shared devices is worth anything."""

import numpy as np
from numpy.typing import NDArray

from scoring.market import Market
from scoring.scorers.base import StateScorer
from scoring.states import States


class Holes(StateScorer):
    """Milli stranded in what is left of each device, by the value of a hole of that size (prices.stranded).

    It tells a hole that two usual kinds fill exactly from one of the same size that nothing fills.
    """

    name = "holes"
    says = "what is left of shared devices fits the usual pods"

    def measure(self, states: States, market: Market) -> NDArray[np.float64]:
        """Milli stranded in holes; negative where holes are worth more than their size."""
        lost: NDArray[np.float64] = states.total("stranded", lambda left, classes: market.stranded.take(left))
        return lost
