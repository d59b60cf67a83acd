"""Whether the devices that stay free can still be used."""

import numpy as np

from scoring.arrays import Floats
from scoring.scorers.base import Loads, NodeScorer, rounded


class Balance(NodeScorer):
    """Keeps cpu for the devices that stay free: 1 - max(0, free device share - free cpu share).

    Devices beside which no cpu is left are stranded. A node with spare cpu and no spare device loses nothing here.
    """

    name = "balance"
    says = "cpu kept for the devices left free"

    def score(self, loads: Loads) -> Floats:
        """One minus the share of devices stranded."""
        devices, cpu, _ = loads.shares_left
        return rounded(1 - np.maximum(devices - cpu, 0))
