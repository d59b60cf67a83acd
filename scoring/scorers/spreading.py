"""How empty a placement leaves a node."""

from scoring.arrays import Floats
from scoring.scorers.base import Loads, NodeScorer, rounded
from scoring.scorers.packing import CPU_SHARE, DEVICE_SHARE, MEMORY_SHARE


class Spreading(NodeScorer):
    """Share of the node that stays free after the placement, in the shares of `Packing`: pods that share no fate."""

    name = "spreading"
    says = "nodes that stay free"

    def score(self, loads: Loads) -> Floats:
        """Share of the node that stays free."""
        devices, cpu, memory = loads.shares_left
        return rounded(DEVICE_SHARE * devices + CPU_SHARE * cpu + MEMORY_SHARE * memory)
