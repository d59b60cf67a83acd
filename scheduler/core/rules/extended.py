"""Extended resources: a node that offers one serves it by its device plugin, one that does not by DRA (KEP-5004)."""

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.base import NodeRule
from scoring.arrays import Mask, Rows


class ExtendedResources(NodeRule):
    """The node serves the pod's extended resources in the way that the demand is about, and in no other."""

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Nodes that offer what the demand takes from plugins, and offer none of what it takes from devices."""
        held: Mask = np.ones(len(rows), np.bool_)
        for name, offered in demand.offered:
            held &= (nodes.amounts(nodes.allocatable, name, rows) > 0) == offered
        return held

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """None: the pod is tried the other ways as well, and there these nodes are counted."""
        return []
