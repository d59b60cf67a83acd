"""States of nodes, as they are or as a placement would leave them: what state scorers measure.

Much of what is measured is a sum over a node's devices of something that hangs on one device alone. Such sums are
asked for by name, so that they can be kept: a placement changes a few devices, and only those are summed anew.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Counts, Mask, Rows

Sums = NDArray[Any]
Each = Callable[[Counts, Rows], Sums]
"""Thousandths left and classes of some devices, of one shape -> values of that shape, or of one more axis.

Sums of the values must be exact in any order: whole numbers, or floats that are multiples of one power of two.
"""


def _itself(left: Counts, classes: Rows) -> Sums:
    return left


@dataclass(frozen=True)
class States(ABC):
    """One row each, in any order.

    cpu : int64 (C,), thousandths of a core left; used : bool (C,), whether any pod is there
    """

    cpu: Counts
    used: Mask
    totals: dict[str, Sums] = field(default_factory=dict, init=False, repr=False, compare=False)

    def total(self, name: str, each: Each) -> Sums:
        """Sum over the devices of each state, (C,) or (C, ...); `name` stands for `each`."""
        found = self.totals.get(name)
        if found is None:
            found = self.totals[name] = self._sum(name, each)
        return found

    @property
    def idle(self) -> Counts:
        """Milli left on all devices together, int64 (C,)."""
        return self.total("idle", _itself)

    @abstractmethod
    def _sum(self, name: str, each: Each) -> Sums: ...


@dataclass(frozen=True)
class Remainders(States):
    """States by all of their devices.

    left : int64 (C, W), thousandths left of each device, 0 to 1000; rows are padded with 0
    classes : int32 (C, W), class of each device, as in prices.Supply; any class where nothing is left
    """

    left: Counts
    classes: Rows

    def _sum(self, name: str, each: Each) -> Sums:
        summed: Sums = each(self.left, self.classes).sum(axis=1)
        return summed


@dataclass(frozen=True)
class Changes(States):
    """States by what sets them apart from others, of which the sums are known.

    known : by name, sums of those others; rows : (C,), which of those each state differs from
    before, after : int64 (C, K), thousandths left of the devices that differ; classes : int32 (C, K)
    """

    known: Mapping[str, Sums]
    rows: NDArray[np.integer[Any]]
    before: Counts
    after: Counts
    classes: Rows

    @cached_property
    def _both(self) -> tuple[Counts, Rows]:
        return np.concatenate([self.after, self.before]), np.concatenate([self.classes, self.classes])

    def _sum(self, name: str, each: Each) -> Sums:
        values = each(*self._both)
        changed = values[: len(self.rows)] - values[len(self.rows) :]
        more = changed[:, 0] if changed.shape[1] == 1 else changed.sum(axis=1)
        summed: Sums = self.known[name].take(self.rows, axis=0) + more
        return summed
