"""Whether a pod takes what others cannot do without."""

import numpy as np
from numpy.typing import NDArray

from scoring.market import Market
from scoring.scorers.base import StateScorer
from scoring.states import States


class Scarcity(StateScorer):
    """Minus the price of what is left, by the scarcity of its class (prices.class_prices).

    A pod that may go anywhere goes first where the fewest others must go.
    """

    name = "scarcity"
    says = "classes of devices that some pods depend on are kept for them"

    def measure(self, states: States, market: Market) -> NDArray[np.float64]:
        """Minus the milli left, each at the price of its class."""
        if not len(market.prices):
            return np.zeros(len(states.cpu))
        worth = states.total("worth", lambda left, classes: market.prices.take(classes) * left)
        return -worth
