"""Disks that pods name themselves and that one node mounts for one pod (VolumeRestrictions of kube-scheduler)."""

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.base import NodeRule
from scoring.arrays import Mask, Rows


class Disks(NodeRule):
    """No other pod on the node has the same rbd or iscsi disk, unless all of them only read it."""

    on_use = True

    def concerns(self, demand: Demand) -> bool:
        """Pods that use volumes of the kind."""
        return demand.mounts is not None and bool(demand.mounts.disks)

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Nodes without such a pod."""
        if demand.mounts is None or not demand.mounts.disks:
            return np.ones(len(rows), np.bool_)
        return np.array([self.holds(nodes, demand, row) for row in rows.tolist()], np.bool_)

    def holds(self, nodes: NodeTable, demand: Demand, row: int) -> bool:
        """Whether there is no such pod."""
        node = nodes.nodes[row]
        if demand.mounts is None or not demand.mounts.disks or node is None:
            return True
        if any(each.shut and each.node == node.name for each in demand.mounts.kept):
            return False
        there = nodes.volumes.disks_on(node.name)
        return not any(disk.clashes(other) for disk in demand.mounts.disks for other in there)

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason."""
        return [("have a pod with a disk that only one pod of a node can have", len(rows))]
