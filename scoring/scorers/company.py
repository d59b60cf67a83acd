"""Nodes near the pods that the pod would rather be with."""

import numpy as np

from scoring.arrays import Floats
from scoring.scorers.base import Wishes, WishScorer, rounded


class Company(WishScorer):
    """Weights of the preferred inter-pod terms that hold in the node's domains, between the least and the largest sum.

    InterPodAffinity of kube-scheduler: terms of the pod and of those that run, affinity less anti-affinity, and what
    runs with a required affinity to the pod.
    """

    name = "company"
    says = "nodes near pods that the pod prefers, and far from those that it does not"

    def score(self, wishes: Wishes) -> Floats:
        """Where between the least and the most it is; 0 where all nodes are alike."""
        if wishes.most <= wishes.least:
            return np.zeros(len(wishes.measured), np.float32)
        return rounded(np.clip((wishes.measured - wishes.least) / (wishes.most - wishes.least), 0, 1))
