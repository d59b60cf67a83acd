"""Which nodes Dovetail finds for a pod, rule by rule, on a cluster that is given as API objects."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from e2e.oracle.plain.generator import Json
from scheduler.cluster.decode import decode
from scheduler.core.config import Ownership
from scheduler.core.demand import Demand, Refusal, resolve
from scheduler.core.errors import DecodeError
from scheduler.core.model import Namespace, Node, Pod
from scheduler.core.rules import NODE_RULES
from scheduler.core.rules.base import NodeRule
from scheduler.core.state import State
from scheduler.core.storage import Stored, StoredKind
from scoring.arrays import Rows

SERVED: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    ("NodeUnschedulable", "TaintToleration"): ("NodeTaints",),
    ("NodeDeclaredFeatures",): ("DeclaredFeatures",),
    ("NodeAffinity",): ("NodeLabels", "Affinity"),
    ("NodeResourcesFit",): ("NodeResources", "NominatedPods"),
    ("NodePorts",): ("HostPorts",),
    ("InterPodAffinity",): ("PodAffinity", "PodAntiAffinity", "StandingAntiAffinity"),
    ("PodTopologySpread",): ("TopologySpread",),
    ("VolumeRestrictions",): ("Disks",),
    ("NodeVolumeLimits",): ("AttachLimits",),
    ("VolumeBinding",): ("BoundVolumes", "FreeVolumes"),
    ("VolumeZone",): ("VolumeZones",),
}
"""Upstream's plugins, and the classes in scheduler/core/rules that reject the same nodes as they."""
STORED: Final[dict[str, StoredKind]] = {
    "persistentVolumeClaims": "PersistentVolumeClaim",
    "persistentVolumes": "PersistentVolume",
    "storageClasses": "StorageClass",
    "csiNodes": "CSINode",
    "csiDrivers": "CSIDriver",
    "csiStorageCapacities": "CSIStorageCapacity",
    "volumeAttachments": "VolumeAttachment",
}
"""Kinds by the field of a case."""


class Found(NamedTuple):
    """What came of a pod: the nodes that each of our rules rejects, by class, or why it is refused as a whole."""

    rejected: dict[str, frozenset[str]]
    refusal: str = ""


class Cluster:
    """A cluster of a case, as the engine would know it."""

    def __init__(self, case: Json) -> None:
        self.state = State(Ownership(all_nodes=True))
        self.names = sorted(str(node["metadata"]["name"]) for node in case.get("nodes", []))
        for item in case.get("namespaces", ()):
            namespace = decode("Namespace", item)
            assert isinstance(namespace, Namespace)
            self.state.put_namespace(namespace)
        for item in case.get("nodes", []):
            node = decode("Node", item)
            assert isinstance(node, Node)
            self.state.put_node(node)
        for field, kind in STORED.items():
            for item in case.get(field, ()):
                self._put_stored(kind, item)
        for item in case.get("pods", []):
            self._put(item)

    def _put_stored(self, kind: StoredKind, item: Json) -> None:
        found = decode(kind, item)
        assert isinstance(found, Stored)
        self.state.put_stored(found)

    def _put(self, item: Json) -> Pod:
        pod = decode("Pod", item)
        assert isinstance(pod, Pod)
        self.state.put_pod(pod)
        return pod

    def place_of(self, pod: str) -> str:
        """The node that a pod (`namespace/name`) is counted on, empty for none."""
        uid = self.state.pod_by_key.get(pod)
        return self.state.places.current.get(uid, "") if uid is not None else ""

    def ask(self, item: Json) -> Found:
        """What the rules say to a pod that waits; nothing of it is left behind."""
        try:
            pod = self._put(item)
        except DecodeError as error:
            return Found({}, str(error))
        try:
            return self._asked(pod)
        finally:
            self.state.drop_pod(pod.uid)

    def _asked(self, pod: Pod) -> Found:
        ways = resolve(pod, self.state)
        if isinstance(ways, Refusal):
            return Found({}, ways.message)
        nodes = self.state.nodes
        rows = np.array([nodes.rows[name] for name in self.names], np.int32)
        (way,) = ways.open  # no device class serves an extended resource here
        return Found({type(rule).__name__: self._rejected(rule, way.demand, rows) for rule in NODE_RULES})

    def _rejected(self, rule: NodeRule, demand: Demand, rows: Rows) -> frozenset[str]:
        if not rule.concerns(demand):
            return frozenset()
        held = rule.mask(self.state.nodes, demand, rows).tolist()
        return frozenset(name for name, fits in zip(self.names, held, strict=True) if not fits)


def feasible(found: Found, names: Iterable[str]) -> frozenset[str]:
    """The nodes that no rule rejects; none for a pod that is refused."""
    if found.refusal:
        return frozenset()
    return frozenset(names).difference(*found.rejected.values())
