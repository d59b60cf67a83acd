"""How much a set tears from what it leaves behind."""

import numpy as np

from scoring.arrays import Floats
from scoring.scorers.base import Sets, SetScorer, rounded, saturating

LINK_SHARE, NUMA_SHARE, PCIE_SHARE = 0.7, 0.2, 0.1
HALF_CUT = 1.0


class Islands(SetScorer):
    """Keeps large free islands whole: a graph cut between the set S and the free devices F outside it.

        p(i, j) = 0.7 link / (link + 100 GB/s) + 0.2 [one NUMA node] + 0.1 [one PCIe root]
        cut     = sum of p(i, j) over i in S and j in F \\ S, divided by |S|
        score   = 1 - cut / (cut + 1)

    The cut is what later pods lose by this choice. It is measured against one fixed amount (a device torn from one
    device to which everything ties it costs half of the score), not against the worst cut of that node, so scores
    compare between nodes: a GPU whose bridge partner is busy beats one half of a free bridged pair anywhere, and the
    last GPUs of a nearly full NVSwitch box beat those of an empty one. A set that leaves no free neighbour scores 1.
    Devices to which links do not apply (NICs) are in neither S nor F.
    """

    name = "islands"
    says = "free islands left whole"

    def score(self, sets: Sets) -> Floats:
        """One where nothing is torn, falling with the cut."""
        layout, members = sets.layout, sets.members & sets.layout.linkable
        tie = LINK_SHARE * saturating(layout.links) + NUMA_SHARE * layout.same_numa + PCIE_SHARE * layout.same_pcie
        left = sets.free & layout.linkable & ~members
        cut = ((members.astype(np.float64) @ tie) * left).sum(axis=1) / np.maximum(members.sum(axis=1), 1)
        return rounded(HALF_CUT / (HALF_CUT + cut))
