"""How many volumes each driver can attach to a node (NodeVolumeLimits of kube-scheduler)."""

from collections import Counter

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.mounts import Kept, Mounts
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.base import NodeRule
from scheduler.core.storage import TAKEN_OVER
from scoring.arrays import Counts, Mask, Rows


class AttachLimits(NodeRule):
    """What CSINode allows covers the volumes that are attached and those that the pod adds.

    Counted are volumes, not uses: of pods on the node, and of VolumeAttachments. A driver that says so has to be there
    at all (preventPodSchedulingIfMissing).
    """

    on_use = True

    def concerns(self, demand: Demand) -> bool:
        """Pods that use volumes of the kind."""
        return demand.mounts is not None

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Nodes with room for all of its volumes."""
        held: Mask = np.ones(len(rows), np.bool_)
        if demand.mounts is None:
            return held
        for driver in demand.mounts.drivers:
            held &= _has(nodes, driver, rows)
        if demand.mounts.fresh or demand.mounts.shared:
            held &= ~nodes.volumes.uncountable(rows)
        for driver, added in _added(nodes, demand.mounts, rows).items():
            held &= ~_over(nodes, driver, added, rows)
        for kept in demand.mounts.kept:
            if not _fits_beside(nodes, demand.mounts, kept):
                held[rows == nodes.rows.get(kept.node, -1)] = False
        return held

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason a driver."""
        found: Counter[str] = Counter()
        mounts = demand.mounts or Mounts()
        for driver in mounts.drivers:
            has = _has(nodes, driver, rows)
            found[f"do not have CSI driver {driver}"] = int(np.count_nonzero(~has))
            rows = rows[has]
        odd = nodes.volumes.uncountable(rows)
        found["have a pod whose ephemeral volume was made for another pod"] = int(np.count_nonzero(odd))
        rows = rows[~odd]
        left = _added(nodes, mounts, rows)
        for driver in list(left):
            added = left[driver]
            over = _over(nodes, driver, added, rows)
            if over.any():
                most = int(nodes.volumes.limits(driver, rows[over]).max())
                text = f"can attach no further volumes of CSI driver {driver} (at most {most}, asks {int(added.max())})"
                found[text] = int(np.count_nonzero(over))
                rows, keep = rows[~over], ~over
                left = {name: counts[keep] for name, counts in left.items()}
        found["keep the volumes that they can attach for pods that are nominated to them"] = len(rows)
        return [(text, count) for text, count in found.items() if count]


def _fits_beside(nodes: NodeTable, mounts: Mounts, kept: Kept) -> bool:
    if not mounts.fresh and not mounts.shared:
        return True
    if kept.odd and nodes.volumes.limited(kept.node):
        return False
    return nodes.volumes.room_beside(kept.node, kept.attached, dict(mounts.fresh), mounts.shared)


def _has(nodes: NodeTable, driver: str, rows: Rows) -> Mask:
    """Nodes that have a driver. One that took over from a plugin is not missed on nodes without a CSINode."""
    has = nodes.volumes.installed(driver, rows)
    return has | ~nodes.volumes.known(rows) if driver in TAKEN_OVER.values() else has


def _added(nodes: NodeTable, mounts: Mounts, rows: Rows) -> dict[str, Counts]:
    """By driver, how many volumes the pod adds to those of each of these nodes, int64 (len(rows),)."""
    added = {driver: np.full(len(rows), count, np.int64) for driver, count in mounts.fresh}
    for attached in mounts.shared:
        there = np.isin(rows, nodes.volumes.rows_with(attached))
        added.setdefault(attached[0], np.zeros(len(rows), np.int64))
        added[attached[0]] += ~there
    return added


def _over(nodes: NodeTable, driver: str, added: Counts, rows: Rows) -> Mask:
    limits = nodes.volumes.limits(driver, rows)
    over: Mask = (limits >= 0) & (added > 0) & (nodes.volumes.counts(driver, rows) + added > limits)
    return over
