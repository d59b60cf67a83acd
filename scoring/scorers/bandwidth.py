"""How fast the devices of a set reach each other directly."""

import numpy as np

from scoring.arrays import Floats
from scoring.scorers.base import Sets, SetScorer, inside, pair_count, rounded, saturating


class Bandwidth(SetScorer):
    """Half the slowest pair, half the mean pair, each as b / (b + 100) of its GB/s.

    A collective runs at the pace of its slowest link; the mean tells sets apart whose slowest pair has no link at all.
    A pair whose link is unknown counts as 0. Devices to which links do not apply (NICs) are left out. A set with fewer
    than two others scores 1: there is nothing to link.
    """

    name = "bandwidth"
    says = "direct links inside the set"
    sees_free = False

    def score(self, sets: Sets) -> Floats:
        """Mean of the slowest pair and the mean pair, saturated."""
        members, links = sets.members & sets.layout.linkable, sets.layout.links
        pairs = pair_count(members)
        mean = inside(members, links) / np.maximum(pairs, 1)
        slowest = np.zeros(len(members))
        off_diagonal = ~np.eye(sets.layout.size, dtype=np.bool_)
        for level in np.unique(links[off_diagonal])[::-1]:  # few distinct speeds; cheaper than (C, n, n)
            slowest[inside(members, (links == level) & off_diagonal) > 0] = level
        return rounded(np.where(pairs > 0, 0.5 * saturating(slowest) + 0.5 * saturating(mean), 1.0))
