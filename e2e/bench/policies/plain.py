"""The policies that others are compared to."""

import numpy as np

from e2e.bench.policies.base import Policy, first_fit
from e2e.bench.policies.fleet import Counts, Fleet, Rows
from e2e.bench.trace import Shape

MAX_CPU = 128_000
MAX_GPU = 8_000


class FirstFit(Policy):
    """The first machine in order, the first GPU."""

    def score(self, fleet: Fleet, shape: Shape, rows: Rows) -> tuple[Counts, Counts]:
        """All alike."""
        return np.zeros(len(rows), np.int64), first_fit(fleet, shape, rows)


class BestFit(Policy):
    """The machine and the GPU with the least left, as the artifact weighs it: cpu and GPU alike, in points of 100."""

    def score(self, fleet: Fleet, shape: Shape, rows: Rows) -> tuple[Counts, Counts]:
        """Rounded down to points."""
        left = fleet.gpus[rows]
        idle = (fleet.cpu[rows] - shape.cpu) / MAX_CPU * 0.5 + (left.sum(axis=1) - shape.demand) / MAX_GPU * 0.5
        tightest = np.where(left >= shape.milli, left, np.iinfo(np.int64).max).argmin(axis=1)
        return ((1.0 - idle) * 100).astype(np.int64), tightest.astype(np.int64)


class Kube(Policy):
    """kube-scheduler as it is by default: NodeResourcesFit (LeastAllocated) and BalancedAllocation over cpu and memory.

    It does not score devices; its allocator takes the first that fit. Equal nodes are drawn from.
    """

    random_ties = True

    def score(self, fleet: Fleet, shape: Shape, rows: Rows) -> tuple[Counts, Counts]:
        """The sum of both, each rounded down to points of 100."""
        totals = np.stack([fleet.total_cpu[rows], fleet.total_memory[rows]])
        left = np.stack([fleet.cpu[rows] - shape.cpu, fleet.memory[rows] - shape.memory])
        least = (left * 100 // totals).sum(axis=0) // 2
        used = 1 - left / totals
        balanced = ((1 - np.abs(used[0] - used[1]) / 2) * 100).astype(np.int64)
        return least + balanced, first_fit(fleet, shape, rows)
