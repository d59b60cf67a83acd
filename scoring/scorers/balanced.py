"""Whether cpu and memory of a node are in use alike."""

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Counts, Floats
from scoring.scorers.base import Loads, NodeScorer, rounded


class Balanced(NodeScorer):
    """How much the placement evens out the shares of cpu and memory in use: NodeResourcesBalancedAllocation.

    3/4 where it changes nothing. A pod that requests neither is judged so as well, since it changes nothing.
    """

    name = "balanced"
    says = "placements after which cpu and memory are in use alike"

    def score(self, loads: Loads) -> Floats:
        """1/2 + (1/2 + balance after - balance before) / 2."""
        after = _balance(loads, 0)
        before = _balance(loads, 1)
        return rounded(0.75 + (after - before) / 2)


def _balance(loads: Loads, without: int) -> NDArray[np.float64]:
    """1 - the standard deviation of the two shares; 1 where the node has only one of the resources."""
    cpu = _share(loads.cpu, loads.cpu_left + without * loads.cpu_asked)
    memory = _share(loads.memory, loads.memory_left + without * loads.memory_asked)
    both = (loads.cpu > 0) & (loads.memory > 0)
    balance: NDArray[np.float64] = 1 - np.where(both, np.abs(cpu - memory) / 2, 0.0)
    return balance


def _share(total: Counts, left: Counts) -> NDArray[np.float64]:
    share: NDArray[np.float64] = np.clip(total - left, 0, np.maximum(total, 0)) / np.maximum(total, 1)
    return share
