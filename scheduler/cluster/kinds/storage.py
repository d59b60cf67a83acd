"""Volumes, their claims, classes and drivers: wire shapes to the model, as kube-scheduler's plugins read them."""

from collections.abc import Iterable
from typing import Final

from scheduler.cluster.kinds import inherited
from scheduler.cluster.kinds.fields import Kinds, metadata_of, owner_of, quantity_of, required, size_of
from scheduler.cluster.kinds.selectors import node_selector_of, strict_label_selector_of
from scheduler.cluster.kinds.volumes import disk_of
from scheduler.cluster.wire import storage as wire
from scheduler.cluster.wire.parts import Expression
from scheduler.core.model import NodeSelector, NodeSelectorTerm, Requirement, Uid
from scheduler.core.storage import (
    BIND_COMPLETED,
    FILESYSTEM,
    PLUGINS,
    SELECTED_NODE,
    TAKEN_OVER,
    CSIDriver,
    CSINode,
    CSIStorageCapacity,
    Holder,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    Stored,
    VolumeAttachment,
)

_CLASS: Final = "volume.beta.kubernetes.io/storage-class"  # goes before spec.storageClassName
_MIGRATED: Final = "storage.alpha.kubernetes.io/migrated-plugins"
ANNOTATIONS: Final = (_CLASS, _MIGRATED, BIND_COMPLETED, SELECTED_NODE)
"""All that are read."""
_NAME: Final = "metadata.name"
_ALWAYS: Final = Requirement("", "DoesNotExist")
"""Holds on every node: no label has an empty key."""


def _claim(raw: wire.PersistentVolumeClaim) -> PersistentVolumeClaim:
    metadata = metadata_of(raw.metadata, uid=True, namespaced=True)
    spec = raw.spec or wire.VolumeClaimSpec()
    annotations = metadata.annotations or {}
    asked = (spec.resources.requests if spec.resources else None) or {}
    size = None
    if "storage" in asked:
        size = size_of(asked["storage"], "spec.resources.requests[storage]")
    volume = spec.volume_name or ""
    return PersistentVolumeClaim(
        namespace=metadata.namespace or "",
        name=metadata.name,
        uid=Uid(metadata.uid or ""),
        resource_version=metadata.resource_version or "",
        storage_class=annotations.get(_CLASS, spec.storage_class_name or ""),
        size=size,
        modes=tuple(spec.access_modes or ()),
        mode=spec.volume_mode or FILESYSTEM,
        selector=strict_label_selector_of(spec.selector, "spec.selector"),
        attributes_class=spec.volume_attributes_class_name or "",
        volume=volume,
        bound=bool(volume) and BIND_COMPLETED in annotations,
        phase=(raw.status.phase if raw.status else None) or "",
        owner=owner_of(metadata),
        deleting=metadata.deletion_timestamp is not None,
        selected_node=annotations.get(SELECTED_NODE),
    )


def _volume(raw: wire.PersistentVolume) -> PersistentVolume:
    metadata = metadata_of(raw.metadata, uid=True)
    spec = raw.spec or wire.PersistentVolumeSpec()
    holder = spec.claim_ref
    disk = disk_of(spec)
    plugin = PLUGINS[disk.kind] if disk is not None else ""
    driver, handle = (spec.csi.driver, spec.csi.volume_handle) if spec.csi else ("", "")
    labels = metadata.labels or {}
    affinity = moved = _affinity(spec.node_affinity)
    if disk is not None:
        try:
            driver, handle = TAKEN_OVER[plugin], inherited.handle_of(disk, labels)
            moved = inherited.affinity_of(affinity, disk.kind, labels)
        except inherited.UntranslatableError:
            driver, moved = "", NodeSelector(())
    return PersistentVolume(
        name=metadata.name,
        uid=Uid(metadata.uid or ""),
        resource_version=metadata.resource_version or "",
        storage_class=(metadata.annotations or {}).get(_CLASS, spec.storage_class_name or ""),
        capacity=size_of((spec.capacity or {}).get("storage", 0), "spec.capacity[storage]"),
        modes=tuple(spec.access_modes or ()),
        mode=spec.volume_mode or FILESYSTEM,
        attributes_class=spec.volume_attributes_class_name or "",
        labels=labels,
        affinity=affinity,
        phase=(raw.status.phase if raw.status else None) or "",
        deleting=metadata.deletion_timestamp is not None,
        holder=None if holder is None else Holder(holder.namespace or "", holder.name or "", Uid(holder.uid or "")),
        driver=driver,
        handle=handle,
        plugin=plugin,
        moved=moved,
    )


def _affinity(raw: wire.VolumeAffinity | None) -> NodeSelector | None:
    """kube-scheduler holds it against a node's labels alone, so that its name is none: fields are settled here."""
    ignored: list[str] = []  # an operator that nobody knows is met by no node, here as in kube-scheduler
    found = node_selector_of(raw.required if raw is not None else None, "", ignored)
    if found is None:
        return None
    return NodeSelector(tuple(_settled(term) for term in found.terms if _can_hold(term)))


def _can_hold(term: NodeSelectorTerm) -> bool:
    known = all(each.operator == "NotIn" and each.key == _NAME for each in term.fields)
    return known and bool(term.labels or term.fields)


def _settled(term: NodeSelectorTerm) -> NodeSelectorTerm:
    return NodeSelectorTerm((*term.labels, *(_ALWAYS for _ in term.fields)))


def _class(raw: wire.StorageClass) -> StorageClass:
    topologies = None
    if raw.allowed_topologies:
        topologies = NodeSelector(tuple(_topology(each) for each in raw.allowed_topologies))
    name = metadata_of(raw.metadata).name
    return StorageClass(name, raw.provisioner, raw.volume_binding_mode or "", topologies)


def _topology(raw: wire.TopologyTerm) -> NodeSelectorTerm:
    lines: Iterable[Expression] = raw.match_label_expressions or ()
    return NodeSelectorTerm(tuple(Requirement(each.key, "In", tuple(each.values or ())) for each in lines))


def _csi_node(raw: wire.CsiNode) -> CSINode:
    metadata = metadata_of(raw.metadata)
    drivers = (raw.spec.drivers if raw.spec else None) or ()
    migrated = (metadata.annotations or {}).get(_MIGRATED, "")
    return CSINode(
        name=metadata.name,
        drivers={each.name: each.allocatable.count if each.allocatable else None for each in drivers},
        migrated=frozenset(migrated.split(",")) if migrated else frozenset(),
    )


def _csi_driver(raw: wire.CsiDriver) -> CSIDriver:
    spec = raw.spec or wire.CsiDriverSpec()
    name = metadata_of(raw.metadata).name
    return CSIDriver(name, bool(spec.storage_capacity), bool(spec.prevent_pod_scheduling_if_missing))


def _capacity(raw: wire.CsiStorageCapacity) -> CSIStorageCapacity:
    metadata = metadata_of(raw.metadata, namespaced=True)
    named = (
        ("capacity", raw.capacity)
        if raw.maximum_volume_size is None
        else ("maximumVolumeSize", raw.maximum_volume_size)
    )
    return CSIStorageCapacity(
        namespace=metadata.namespace or "",
        name=metadata.name,
        storage_class=raw.storage_class_name,
        topology=strict_label_selector_of(raw.node_topology, "nodeTopology"),
        limit=None if named[1] is None else quantity_of(named[1], named[0]),
        capacity=None if raw.capacity is None else quantity_of(raw.capacity, "capacity"),
    )


def _attachment(raw: wire.VolumeAttachment) -> VolumeAttachment:
    spec = raw.spec or wire.AttachmentSpec()
    volume = (spec.source.persistent_volume_name if spec.source else None) or ""
    return VolumeAttachment(
        metadata_of(raw.metadata).name, required(spec.attacher, "spec.attacher"), spec.node_name, volume
    )


KINDS: Final[Kinds[Stored]] = {
    "PersistentVolumeClaim": (wire.PersistentVolumeClaim, _claim),
    "PersistentVolume": (wire.PersistentVolume, _volume),
    "StorageClass": (wire.StorageClass, _class),
    "CSINode": (wire.CsiNode, _csi_node),
    "CSIDriver": (wire.CsiDriver, _csi_driver),
    "CSIStorageCapacity": (wire.CsiStorageCapacity, _capacity),
    "VolumeAttachment": (wire.VolumeAttachment, _attachment),
}
