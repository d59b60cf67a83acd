"""Nodes without taints that would rather keep the pod away."""

import numpy as np

from scoring.arrays import Floats
from scoring.scorers.base import Wishes, WishScorer, rounded


class Welcome(WishScorer):
    """How few PreferNoSchedule taints are not tolerated, beside the most of any node: TaintToleration."""

    name = "welcome"
    says = "nodes without PreferNoSchedule taints that the pod does not tolerate"

    def score(self, wishes: Wishes) -> Floats:
        """1 - share of the largest number; 1 where there is none anywhere."""
        if wishes.most <= 0:
            return np.ones(len(wishes.measured), np.float32)
        return rounded(np.clip(1 - wishes.measured / wishes.most, 0, 1))
