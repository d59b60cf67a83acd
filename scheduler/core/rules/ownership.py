"""Nodes that are ours to use: nothing in the API keeps two schedulers off one device, so this comes first."""

from scheduler.core.demand import Demand
from scheduler.core.names import OWNED
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.base import NodeRule
from scoring.arrays import Mask, Rows


class OwnedNodes(NodeRule):
    """Ownership as configured, by default the label on the node."""

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Owned nodes."""
        found: Mask = nodes.owned[rows]
        return found

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason."""
        return [(f"not owned by Dovetail (label {OWNED})", len(rows))]
