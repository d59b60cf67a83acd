"""Volumes for claims that wait for their first pod (VolumeBinding of kube-scheduler, WaitForFirstConsumer)."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.model import NodeSelector
from scheduler.core.mounts import UNBOUND, Wanted, choose, mark
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.affinity import selected
from scheduler.core.rules.base import NodeRule
from scheduler.core.rules.offers import FEW_ROWS, compete, least
from scheduler.core.volumes import anywhere
from scoring.arrays import Mask, Rows


class FreeVolumes(NodeRule):
    """For each claim there is a free volume that fits and that the node can use, or one can be made for the node."""

    on_use = True

    def concerns(self, demand: Demand) -> bool:
        """Pods that use volumes of the kind."""
        return demand.mounts is not None and bool(demand.mounts.wanted)

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Nodes where all of the claims get volumes, each its own."""
        held: Mask = np.ones(len(rows), np.bool_)
        if demand.mounts is None or not demand.mounts.wanted:
            return held
        if len(rows) > FEW_ROWS:
            for wanted in demand.mounts.wanted:
                held &= _match(nodes, wanted, rows) | _make(nodes, wanted, rows)
            if not compete(demand.mounts.wanted):
                return held
        [at] = held.nonzero()
        held[at] = [self.holds(nodes, demand, row) for row in rows[at].tolist()]
        return held

    def holds(self, nodes: NodeTable, demand: Demand, row: int) -> bool:
        """Whether all of the claims get volumes."""
        node = nodes.nodes[row]
        if demand.mounts is None or not demand.mounts.wanted or node is None:
            return True
        return choose(nodes.volumes, demand.mounts, node) is not None

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason a claim and what it lacks."""
        found: Counter[str] = Counter()
        for index, wanted in enumerate(demand.mounts.wanted if demand.mounts is not None else ()):
            claim = mark(UNBOUND, index)
            fits = _match(nodes, wanted, rows)
            makes = _make(nodes, wanted, rows)
            for text, lacking in _lacks(nodes, wanted, rows, claim):
                short = lacking & ~(fits | makes)
                found[text] += int(np.count_nonzero(short))
                makes |= short
            rows = rows[fits | _make(nodes, wanted, rows)]
        if len(rows):
            found["have too few free volumes for the claims of the pod together"] += len(rows)
        return [(text, count) for text, count in found.items() if count]


def _lacks(nodes: NodeTable, wanted: Wanted, rows: Rows, claim: str) -> Iterable[tuple[str, Mask]]:
    """What keeps a volume from being made, and on which nodes; the first that holds is what there is to say."""
    everywhere: Mask = np.ones(len(rows), np.bool_)
    if wanted.node is not None:
        yield (
            f"are not node {wanted.node}, for which {claim} is to get its volume",
            rows != nodes.rows.get(wanted.node, -1),
        )
    made_by = f"StorageClass {wanted.storage_class}"
    if wanted.provision is None:
        kept = f"cannot use PersistentVolume {wanted.reserved[0]}, which is kept for {claim}" if wanted.reserved else ""
        yield kept or f"have no free volume that fits {claim}, and {made_by} makes none", everywhere
        return
    if wanted.provision.topologies is not None:
        allowed = selected(nodes, wanted.provision.topologies, rows)
        yield f"are outside the allowedTopologies of {made_by} of {claim}", ~allowed
    size = wanted.size.canonical() if wanted.size is not None else "nothing"
    yield f"have no room in CSIStorageCapacity of {made_by} for {claim} (asks {size})", everywhere


def _match(nodes: NodeTable, wanted: Wanted, rows: Rows) -> Mask:
    """Nodes that can use a volume which is free and fits, bool (len(rows),)."""
    if wanted.node is not None:
        return np.zeros(len(rows), np.bool_)
    if wanted.reserved is not None:
        return _reached(nodes, [wanted.reserved[1]], rows)
    free = nodes.volumes.free.get(wanted.storage_class, {}).values()
    return _reached(nodes, [each.affinity for each in free if wanted.suits(each)], rows)


def _make(nodes: NodeTable, wanted: Wanted, rows: Rows) -> Mask:
    """Nodes for which a volume can be made, bool (len(rows),)."""
    provision = wanted.provision
    if provision is None:
        return np.zeros(len(rows), np.bool_)
    held: Mask = np.ones(len(rows), np.bool_)
    if wanted.node is not None:
        held &= rows == nodes.rows.get(wanted.node, -1)
    if provision.topologies is not None:
        held &= selected(nodes, provision.topologies, rows)
    if provision.measured and wanted.size is not None:
        roomy = nodes.volumes.roomy(wanted.storage_class, wanted.size)
        held &= _reached(nodes, [anywhere(each.topology) for each in roomy if each.topology is not None], rows)
    return held


def _reached(nodes: NodeTable, selectors: Iterable[NodeSelector | None], rows: Rows) -> Mask:
    """Nodes that one of the selectors selects; None selects all."""
    held: Mask = least(nodes, ((each, 0.0) for each in selectors), rows) == 0
    return held
