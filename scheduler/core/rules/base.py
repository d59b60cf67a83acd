"""The contract of a node rule."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scheduler.core.columns import Column
from scheduler.core.demand import Demand
from scheduler.core.nodes import NodeTable
from scoring.arrays import Counts, Mask, Rows


class NodeRule(ABC):
    """One condition on nodes.

    on_use : whether it depends on what pods use of the node. on_pods : whether on pods anywhere, see PodRule.
    """

    on_use: ClassVar[bool] = False
    on_pods: ClassVar[bool] = False

    def concerns(self, demand: Demand) -> bool:
        """Whether it may rule out any node at all; where it does not, it is not asked."""
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


class PodRule(NodeRule):
    """A condition on pods that stand in the node's domains: one that comes changes the answer for many nodes."""

    on_pods = True

    def everywhere(self, nodes: NodeTable, demand: Demand) -> Mask:
        """bool (rows of nodes,): which of all nodes meet the condition; rows without a node say nothing.

        A node that pods are nominated to must meet it without them, and with them as if they stood there.
        """
        held = self.standing(nodes, demand)
        for name, guests in demand.guests:
            row = nodes.rows.get(name)
            if row is None or not held[row]:
                continue
            with nodes.residents.supposing([(each.namespace, dict(each.labels)) for each in guests], row):
                held[row] = self.standing(nodes, demand)[row]
        return held

    @abstractmethod
    def standing(self, nodes: NodeTable, demand: Demand) -> Mask:
        """As `everywhere`, with no regard to pods that are nominated."""

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """`everywhere` of these nodes."""
        if not self.concerns(demand):
            return np.ones(len(rows), np.bool_)
        found: Mask = self.everywhere(nodes, demand)[rows]
        return found


class Topology(NamedTuple):
    """The domains of a topology.

    number : int32 (rows of nodes,), of each node's domain, -1 for none. size : one more than the largest number.
    """

    number: Rows
    size: int


def topology_of(nodes: NodeTable, key: str) -> Topology:
    """The topology that a label key spans."""
    column = nodes.labels.get(key)
    if column is None:
        return Topology(np.full(nodes.size, -1, np.int32), 0)
    return Topology(column.codes, len(column.values))


def in_all(nodes: NodeTable, keys: Iterable[str]) -> Mask:
    """bool (rows of nodes,): which nodes are in a domain of each of these topologies."""
    held: Mask = np.ones(nodes.size, np.bool_)
    for key in keys:
        held &= topology_of(nodes, key).number >= 0
    return held


def met(topology: Topology, counts: Counts) -> Mask:
    """bool (rows of nodes,): which nodes are in a domain where something was counted on some node.

    counts : int64 (rows of nodes,).
    """
    found: Mask = np.zeros(topology.size + 1, np.bool_)
    found[topology.number[counts.nonzero()]] = True
    found[-1] = False  # that of nodes in no domain
    return found.take(topology.number)


def per_value(column: Column[Any], rows: Rows, holds: Callable[[Any], bool]) -> Mask:
    """Ask once per distinct value (None: absent) and spread the answers to the rows."""
    return spread_out(column, rows, holds).astype(np.bool_, copy=False)


def spread_out(column: Column[Any], rows: Rows, ask: Callable[[Any], float]) -> NDArray[Any]:
    """As `per_value`, with numbers for answers."""
    codes, inverse = np.unique(column.codes[rows], return_inverse=True)
    return np.array([ask(column.values[code] if code >= 0 else None) for code in codes.tolist()])[inverse]
