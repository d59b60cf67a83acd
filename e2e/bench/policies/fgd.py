"""Fragmentation gradient descent (Weng et al., USENIX ATC 2023), with the artifact's rounding.

A machine's fragment, as a pod of type m sees it: all idle GPU thousandths if m does not fit (or asks for no GPU), else
those of GPUs that are too small for m. The machine is chosen whose expected fragment, over the popular types, grows the
least; how much is rounded to whole points of 100 * sigmoid(shrinkage in GPUs), and the order of machines breaks ties.

It knows the distribution of the whole trace beforehand, as published.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from e2e.bench.policies.base import Policy, first_fit
from e2e.bench.policies.fleet import Counts, Fleet, Mask, Rows
from e2e.bench.trace import WHOLE, Shape

COVERED = 0.95
Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class Fgd(Policy):
    """shapes : of all pods of the trace."""

    def __init__(self, shapes: Iterable[Shape]) -> None:
        kinds = Counter((shape.cpu, shape.gpus, shape.milli, shape.models) for shape in shapes)
        popular, covered = [], 0
        for kind, count in kinds.most_common():
            popular.append((kind, count))
            covered += count
            if covered >= COVERED * kinds.total():
                break
        self._whole = covered
        asking = [(kind, count) for kind, count in popular if kind[1]]  # to the others all idle GPU is fragment anyway
        self._cpu = np.array([kind[0] for kind, _ in asking])
        self._count = np.array([kind[1] for kind, _ in asking])
        self._models = [kind[3] for kind, _ in asking]
        # Sums of products of integers below 2^53: exact, so that equal machines are equal.
        self._weight = np.array([count for _, count in asking], np.float64)
        self._sizes, self._size = np.unique([kind[2] for kind, _ in asking], return_inverse=True)

    def _useful(self, cpu: Counts, count: Counts, amount: Counts, allowed: Mask) -> Floats:
        """What is no fragment, in thousandths times pods.

        cpu : (..., 1) left. count, amount : (..., U) GPUs with enough left for each size, and what is left on those.
        allowed : (..., M).
        """
        fits = allowed & (cpu >= self._cpu) & (count[..., self._size] >= self._count)
        found: Floats = (amount[..., self._size] * fits) @ self._weight
        return found

    def score(self, fleet: Fleet, shape: Shape, rows: Rows) -> tuple[Counts, Counts]:
        """Rounded as published."""
        left = fleet.gpus[rows]
        allowed = np.stack([fleet.allows(models)[rows] for models in self._models], axis=1)
        enough = left[:, :, None] >= self._sizes
        count, amount = enough.sum(axis=1), (left[:, :, None] * enough).sum(axis=1)
        cpu = fleet.cpu[rows, None]
        before = self._useful(cpu, count, amount, allowed)
        if shape.gpus == 1 and shape.milli < WHOLE:
            then = left - shape.milli
            still = then[:, :, None] >= self._sizes
            after = self._useful(
                cpu[:, None] - shape.cpu,
                count[:, None] - enough + still,
                amount[:, None] - left[:, :, None] * enough + then[:, :, None] * still,
                allowed[:, None],
            )
            points = np.where(then >= 0, self._points(before[:, None], after, shape.demand), -1)
            gpus: Counts = points.argmax(axis=1).astype(np.int64)
            return np.take_along_axis(points, gpus[:, None], axis=1)[:, 0], gpus
        after = self._useful(cpu - shape.cpu, count - shape.gpus, amount - shape.demand, allowed)
        return self._points(before, after, shape.demand), first_fit(fleet, shape, rows)

    def _points(self, before: Floats, after: Floats, demand: int) -> Counts:
        """fragment = idle - useful, and idle shrinks by what the pod takes."""
        shrinkage = (demand * self._whole - before + after) / (self._whole * WHOLE)
        points: Counts = (100 / (1 + np.exp(-shrinkage))).astype(np.int64)
        return points
