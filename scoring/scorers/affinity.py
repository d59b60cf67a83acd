"""Nodes that the pod's preferred node affinity selects."""

import numpy as np

from scoring.arrays import Floats
from scoring.scorers.base import Wishes, WishScorer, rounded


class Affinity(WishScorer):
    """Sum of the weights of the terms that hold, as a share of the largest sum: NodeAffinity of kube-scheduler."""

    name = "affinity"
    says = "nodes that the pod's preferred node affinity selects"

    def score(self, wishes: Wishes) -> Floats:
        """Share of the largest; 0 where no term holds anywhere."""
        if wishes.most <= 0:
            return np.zeros(len(wishes.measured), np.float32)
        return rounded(np.clip(wishes.measured / wishes.most, 0, 1))
