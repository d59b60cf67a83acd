"""How much of a set shares a place in the host."""

import numpy as np

from scoring.arrays import Floats
from scoring.scorers.base import Sets, SetScorer, inside, pair_count, rounded


class Locality(SetScorer):
    """Share of device pairs in one NUMA node and share behind one PCIe root, the mean of the two.

    An unknown place is equal to none. A set with fewer than two devices scores 1.
    """

    name = "locality"
    says = "pairs in one NUMA node and behind one PCIe root"
    sees_free = False

    def score(self, sets: Sets) -> Floats:
        """Mean share of pairs that share a place."""
        pairs = pair_count(sets.members)
        near = inside(sets.members, sets.layout.same_numa) + inside(sets.members, sets.layout.same_pcie)
        return rounded(np.where(pairs > 0, near / (2 * np.maximum(pairs, 1)), 1.0))
