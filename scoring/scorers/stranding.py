"""Whether there is cpu for the devices left."""

import numpy as np
from numpy.typing import NDArray

from scoring.market import Market
from scoring.scorers.base import StateScorer
from scoring.states import States


class Stranding(StateScorer):
    """Milli of devices for which no cpu is left, at the cpu that a device takes on average in the mix.

    It counts as much as the cluster grows. Where pods leave, cpu comes back beside the devices, and to steer by its
    momentary lack costs more than it saves (measured under churn).
    """

    name = "stranding"
    says = "cpu left for the devices left"

    def measure(self, states: States, market: Market) -> NDArray[np.float64]:
        """Milli left beyond those for which there is cpu."""
        if not market.cpu_share:
            return np.zeros(len(states.cpu))
        served = np.maximum(states.cpu, 0) * (1000.0 / market.cpu_share)
        return market.growth * np.maximum(states.idle - served, 0.0)
