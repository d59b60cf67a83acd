"""Nodes that are ours to use: nothing in the API keeps two schedulers off one device, so this comes first."""

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.names import OWNED
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.base import NodeRule
from scoring.arrays import Mask, Rows


class OwnedNodes(NodeRule):
    """Ownership as configured, by default the label on the node."""

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Owned nodes; for a pod of another scheduler every node: what of it is ours is told in core/advice.py."""
        if demand.foreign:
            every: Mask = np.ones(len(rows), np.bool_)
            return every
        found: Mask = nodes.owned[rows]
        return found

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason."""
        return [(f"not owned by Dovetail (label {OWNED})", len(rows))]
