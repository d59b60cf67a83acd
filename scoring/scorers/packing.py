"""How full a placement leaves a node."""

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Counts, Floats
from scoring.scorers.base import Loads, NodeScorer, rounded

DEVICE_SHARE, CPU_SHARE, MEMORY_SHARE = 0.8, 0.1, 0.1


class Packing(NodeScorer):
    """Share of the node in use after the placement: 0.8 devices, 0.1 cpu, 0.1 memory.

    What a node has none of counts as fully used, so pods without devices fill nodes without devices first.
    """

    name = "packing"
    says = "nodes that the placement fills"

    def score(self, loads: Loads) -> Floats:
        """Share of the node in use afterwards."""
        used = (
            DEVICE_SHARE * (1 - free_share(loads.devices_left, loads.devices))
            + CPU_SHARE * (1 - free_share(loads.cpu_left, loads.cpu))
            + MEMORY_SHARE * (1 - free_share(loads.memory_left, loads.memory))
        )
        return rounded(used)


def free_share(left: Counts, total: Counts) -> NDArray[np.float64]:
    """What is left of each total, in [0, 1]; 0 of nothing. Overcommitted nodes have nothing left."""
    share: NDArray[np.float64] = np.minimum(np.maximum(left, 0), np.maximum(total, 0)) / np.maximum(total, 1)
    return share
