"""Whether a node's devices stay as they are."""

import numpy as np

from scoring.arrays import Floats
from scoring.scorers.base import Loads, NodeScorer, rounded


class Stability(NodeScorer):
    """1 / (1 + log2(1 + c)), where c counts the changes of the node's own ResourceSlices since the scheduler knows it.

    A slice that changes tells of a driver that restarts, a device that comes and goes, health that flaps: a
    job is better off on a node where nothing happens. Orders of magnitude count, since a driver that is updated once
    changes its slices once. It is counted from the watch, without a clock, and starts anew when the scheduler does.
    """

    name = "stability"
    says = "nodes whose devices seldom change"

    def score(self, loads: Loads) -> Floats:
        """One where nothing changed."""
        return rounded(1 / (1 + np.log2(1 + loads.changes.astype(np.float64))))
