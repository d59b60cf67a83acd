"""Nodes of which little is requested."""

import numpy as np

from scoring.arrays import Floats
from scoring.scorers.base import Loads, NodeScorer, rounded


class Least(NodeScorer):
    """Share of cpu and memory that nobody requests, their mean: LeastAllocated of kube-scheduler's NodeResourcesFit.

    What a node has none of does not count; where more is requested than there is, nothing is left.
    """

    name = "least"
    says = "nodes of which little is requested"

    def score(self, loads: Loads) -> Floats:
        """Share left afterwards."""
        return rounded(mean_share(loads, 1.0 - requested(loads)))


def requested(loads: Loads) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Share of cpu and memory that is requested afterwards, float64 (2, C) in [0, 1]; 0 of nothing."""
    total = np.array([loads.cpu, loads.memory])
    counted = np.array([loads.cpu_counted, loads.memory_counted])
    shares: np.ndarray[tuple[int, int], np.dtype[np.float64]] = np.clip(counted, 0, total) / np.maximum(total, 1)
    return shares


def mean_share(
    loads: Loads, shares: np.ndarray[tuple[int, int], np.dtype[np.float64]]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Mean over those of cpu and memory that the node has, float64 (C,); 0 where it has neither."""
    there = np.array([loads.cpu > 0, loads.memory > 0])
    mean: np.ndarray[tuple[int], np.dtype[np.float64]] = (shares * there).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return mean
