"""Nodes that have the pod's images already."""

from typing import Final

import numpy as np

from scoring.arrays import Floats
from scoring.scorers.base import Wishes, WishScorer, rounded

MEGABYTE: Final = 1024 * 1024
LEAST: Final = 23 * MEGABYTE  # what is less is loaded at once
MOST: Final = 1000 * MEGABYTE  # of one container; more says no more


class Images(WishScorer):
    """Bytes of the pod's images that need not be loaded, between 23 MB and 1000 MB a container: ImageLocality.

    Each image counts by the share of nodes that have it, so that a new one does not pull all pods to its first node.
    """

    name = "images"
    says = "nodes that have the pod's images already"

    def score(self, wishes: Wishes) -> Floats:
        """Where between the least and the most of so many containers the bytes are."""
        least, most = LEAST, MOST * max(wishes.parts, 1)
        return rounded(np.clip((wishes.measured - least) / (most - least), 0, 1))
