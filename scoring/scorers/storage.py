"""Nodes that have much more storage than the pod's volumes take."""

import numpy as np

from scoring.arrays import Floats
from scoring.scorers.base import Wishes, WishScorer, rounded


class Storage(WishScorer):
    """What the pod's claims request as a share of what would serve them there: VolumeBinding of kube-scheduler.

    Of free volumes that is their capacity; where none is taken, what drivers say they can make volumes of.
    """

    name = "storage"
    says = "nodes that have much more storage than the pod's volumes take"

    def score(self, wishes: Wishes) -> Floats:
        """One less the share; 0 where nothing can be said, as upstream."""
        known = ~np.isnan(wishes.measured)
        return rounded(np.where(known, 1 - np.clip(wishes.measured, 0, 1), 0.0))
