"""Room that is kept on a node for pods that are nominated to it (status.nominatedNodeName)."""

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.base import NodeRule
from scoring.arrays import Mask, Rows


class NominatedPods(NodeRule):
    """The pod must fit beside those of no lower priority that are nominated to the node, as if they ran there.

    kube-scheduler does so for pods of its own profiles (`addGENominatedPods`); here it is done for all.
    """

    on_use = True

    def concerns(self, demand: Demand) -> bool:
        """Only where pods that may not make room are nominated."""
        return bool(demand.nominees)

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Nodes with enough left for all of them."""
        held: Mask = np.ones(len(rows), np.bool_)
        for name, taken in demand.nominees:
            row = nodes.rows.get(name)
            if row is not None and not _fits(nodes, demand, row, dict(taken)):
                held[rows == row] = False
        return held

    def holds(self, nodes: NodeTable, demand: Demand, row: int) -> bool:
        """Whether enough is left for all of them."""
        node = nodes.nodes[row]
        taken = dict(demand.nominees).get(node.name) if node is not None else None
        return taken is None or _fits(nodes, demand, row, dict(taken))

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason."""
        return [("keep their room for pods of no lower priority that are nominated to them", len(rows))]


def _fits(nodes: NodeTable, demand: Demand, row: int, taken: dict[str, int]) -> bool:
    asked = (*demand.resources, ("pods", 1))
    return all(nodes.left_at(name, row) - taken.get(name, 0) >= amount for name, amount in asked)
