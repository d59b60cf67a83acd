"""Volumes that the pod has already tie it to nodes that can use them (VolumeBinding of kube-scheduler)."""

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.mounts import BOUND, Held, mark
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.affinity import selected
from scheduler.core.rules.base import NodeRule
from scoring.arrays import Mask, Rows


class BoundVolumes(NodeRule):
    """The node affinity of every PersistentVolume."""

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Nodes that can use all of them."""
        held: Mask = np.ones(len(rows), np.bool_)
        for volume in demand.mounts.held if demand.mounts is not None else ():
            held &= _usable(nodes, volume, rows)
        return held

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason a volume."""
        found = []
        for index, volume in enumerate(demand.mounts.held if demand.mounts is not None else ()):
            if len(rows):
                fits = _usable(nodes, volume, rows)
                found.append((f"cannot use {mark(BOUND, index)}", int(np.count_nonzero(~fits))))
                rows = rows[fits]
        return [(text, count) for text, count in found if count]


def _usable(nodes: NodeTable, volume: Held, rows: Rows) -> Mask:
    held: Mask = np.ones(len(rows), np.bool_)
    if volume.affinity is not None:
        held = selected(nodes, volume.affinity, rows)
    if not volume.plugin or volume.moved == volume.affinity:
        return held
    there = nodes.volumes.migrated(volume.plugin, rows)
    moved = selected(nodes, volume.moved, rows) if volume.moved is not None else np.ones(len(rows), np.bool_)
    return np.where(there, moved, held)
