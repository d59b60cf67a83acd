"""spec.nodeSelector of the pod."""

from functools import partial
from operator import eq

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.base import NodeRule, per_value
from scoring.arrays import Mask, Rows


class NodeLabels(NodeRule):
    """Every label of the selector must be there."""

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Nodes with all of the labels."""
        held: Mask = np.ones(len(rows), np.bool_)
        for key, value in demand.node_selector:
            column = nodes.labels.get(key)
            if column is None:
                return np.zeros(len(rows), np.bool_)
            held &= per_value(column, rows, partial(eq, value))
        return held

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason."""
        wanted = ", ".join(f"{key}={value}" for key, value in demand.node_selector)
        return [(f"do not carry the pod's nodeSelector ({wanted})", len(rows))]
