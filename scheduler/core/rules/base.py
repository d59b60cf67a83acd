"""The contract of a node rule."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from scheduler.core.columns import Column
from scheduler.core.demand import Demand
from scheduler.core.nodes import NodeTable
from scoring.arrays import Mask, Rows


class NodeRule(ABC):
    """One condition on nodes. on_use : whether it depends on what pods use of the node."""

    on_use: ClassVar[bool] = False

    def concerns(self, demand: Demand) -> bool:
        """Whether it may keep pods of this demand off a node at all; where it does not, nothing else is asked."""
        return True

    @abstractmethod
    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """bool (len(rows),): which of these nodes meet the condition."""

    def holds(self, nodes: NodeTable, demand: Demand, row: int) -> bool:
        """`mask` of one node; override it where that is faster."""
        return bool(self.mask(nodes, demand, np.array([row], np.int32))[0])

    @abstractmethod
    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """For nodes that fail it: what is wrong, in words that read after a count, and for how many."""


def per_value(column: Column[Any], rows: Rows, holds: Callable[[Any], bool]) -> Mask:
    """Ask once per distinct value (None: absent) and spread the answers to the rows."""
    codes, inverse = np.unique(column.codes[rows], return_inverse=True)
    answers = [holds(column.values[code] if code >= 0 else None) for code in codes.tolist()]
    spread: Mask = np.array(answers, np.bool_)[inverse]
    return spread
