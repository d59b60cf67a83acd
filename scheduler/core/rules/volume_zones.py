"""Zones and regions that labels of the pod's volumes name (VolumeZone of kube-scheduler)."""

from typing import Final

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.mounts import BOUND, ZONES, Held, mark
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.base import NodeRule, per_value
from scheduler.core.storage import OLD_REGION, OLD_ZONE, REGION, ZONE
from scoring.arrays import Mask, Rows

_NEWER: Final = {OLD_ZONE: ZONE, OLD_REGION: REGION}


class VolumeZones(NodeRule):
    """Zones and regions of every PersistentVolume, on nodes that say in which they are themselves."""

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Nodes in one of the zones of each."""
        held: Mask = np.ones(len(rows), np.bool_)
        for volume in demand.mounts.held if demand.mounts is not None else ():
            held &= _within(nodes, volume, rows)
        return held

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason a volume."""
        found = []
        for index, volume in enumerate(demand.mounts.held if demand.mounts is not None else ()):
            fits = _within(nodes, volume, rows)
            if not fits.all():
                text = f"are in another zone than {mark(BOUND, index)}"
                found.append((text, int(np.count_nonzero(~fits))))
            rows = rows[fits]
        return found


def _within(nodes: NodeTable, volume: Held, rows: Rows) -> Mask:
    held: Mask = np.ones(len(rows), np.bool_)
    if not volume.zones:
        return held
    placed: Mask = np.zeros(len(rows), np.bool_)
    for key in ZONES:
        column = nodes.labels.get(key)
        if column is not None:
            placed |= column.codes[rows] >= 0
    for key, values in volume.zones:
        held &= _among(nodes, key, rows, values)
    return held | ~placed


def _among(nodes: NodeTable, key: str, rows: Rows, values: tuple[str, ...]) -> Mask:
    """Nodes whose label is one of the values; a node without the old label is asked for the new one."""
    column = nodes.labels.get(key)
    newer = _NEWER.get(key)
    had: Mask = np.zeros(len(rows), np.bool_)
    held: Mask = np.zeros(len(rows), np.bool_)
    if column is not None:
        had = column.codes[rows] >= 0
        held = per_value(column, rows, lambda value: value in values)
    other = nodes.labels.get(newer) if newer is not None else None
    if other is not None:
        held = np.where(had, held, per_value(other, rows, lambda value: value in values))
    return held
