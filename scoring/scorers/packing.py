"""How full a placement leaves a node."""

from scoring.arrays import Floats
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
        devices, cpu, memory = 1 - loads.shares_left
        used = DEVICE_SHARE * devices + CPU_SHARE * cpu + MEMORY_SHARE * memory
        return rounded(used)
