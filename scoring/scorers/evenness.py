"""Nodes in domains that have few of the pod's like."""

import numpy as np

from scoring.arrays import Floats
from scoring.scorers.base import Wishes, WishScorer, rounded


class Evenness(WishScorer):
    """How few pods each ScheduleAnyway constraint counts in the node's domain: PodTopologySpread of kube-scheduler.

    Counts are weighted by the logarithm of how many domains there are. A node without one of the keys is worst.
    """

    name = "evenness"
    says = "nodes in domains with few of the pods that topologySpreadConstraints count"

    def score(self, wishes: Wishes) -> Floats:
        """(most + least - count) / most; 1 where nothing is counted anywhere."""
        known = ~np.isnan(wishes.measured)
        if wishes.most <= 0:
            return known.astype(np.float32)
        even = np.clip((wishes.most + wishes.least - wishes.measured) / wishes.most, 0, 1)
        return rounded(np.where(known, even, 0.0))
