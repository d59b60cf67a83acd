"""Claims that are allocated already tie the pod to the nodes where their devices can be used."""

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.affinity import selected
from scheduler.core.rules.base import NodeRule
from scoring.arrays import Mask, Rows


class HeldClaims(NodeRule):
    """The nodeSelector of every allocation that the pod joins."""

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Nodes that all of the allocations can be used on."""
        held: Mask = np.ones(len(rows), np.bool_)
        for selector in demand.held:
            held &= selected(nodes, selector, rows)
        return held

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason."""
        return [("cannot use the devices that the pod's allocated claims hold", len(rows))]
