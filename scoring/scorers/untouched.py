"""Whether empty nodes stay empty."""

import numpy as np
from numpy.typing import NDArray

from scoring.market import Market
from scoring.scorers.base import StateScorer
from scoring.states import States


class Untouched(StateScorer):
    """One device's worth for every node in use: empty nodes serve any kind, and can be drained or switched off."""

    name = "untouched"
    says = "empty nodes left empty"

    def measure(self, states: States, market: Market) -> NDArray[np.float64]:
        """1000 where a pod is, 0 elsewhere."""
        return 1000.0 * states.used.astype(np.float64)
