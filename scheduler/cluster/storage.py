"""Volumes, their claims, classes and drivers: wire shapes to the model, as kube-scheduler's plugins read them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from scheduler.cluster import inherited, wire
from scheduler.cluster.fields import FieldError, metadata_of, owner_of, quantity_of, required, size_of
from scheduler.core.model import Disk, LabelSelector, NodeSelector, NodeSelectorTerm, Requirement, Uid
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
_SETS: Final = frozenset({"In", "NotIn"})
_OPERATORS: Final = _SETS | {"Exists", "DoesNotExist"}
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
        selector=_label_selector(spec.selector, "spec.selector") if spec.selector is not None else None,
        attributes_class=spec.volume_attributes_class_name or "",
        volume=volume,
        bound=bool(volume) and BIND_COMPLETED in annotations,
        phase=(raw.status.phase if raw.status else None) or "",
        owner=owner_of(metadata),
        deleting=metadata.deletion_timestamp is not None,
        selected_node=annotations.get(SELECTED_NODE),
    )


def _label_selector(raw: wire.LabelSelector, path: str) -> LabelSelector:
    """As the API defines it; what it does not define is an error, here as in kube-scheduler."""
    found = [Requirement(key, "In", (value,)) for key, value in (raw.match_labels or {}).items()]
    for index, each in enumerate(raw.match_expressions or ()):
        at = f"{path}.matchExpressions[{index}]"
        if each.operator not in _OPERATORS:
            raise FieldError(f"{at}.operator", f"{each.operator or '(none)'} is not known")
        if bool(each.values) != (each.operator in _SETS):
            raise FieldError(f"{at}.values", f"do not go with operator {each.operator}")
        found.append(Requirement(each.key, each.operator, tuple(each.values or ())))
    return LabelSelector(tuple(found))


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
    if raw is None or raw.required is None:
        return None
    terms = (_term(each) for each in raw.required.node_selector_terms or ())
    return NodeSelector(tuple(term for term in terms if term is not None))


def _term(raw: wire.NodeSelectorTerm) -> NodeSelectorTerm | None:
    labels = [Requirement(each.key, each.operator, tuple(each.values or ())) for each in raw.match_expressions or ()]
    for each in raw.match_fields or ():
        if each.operator != "NotIn" or each.key != _NAME:
            return None
        labels.append(_ALWAYS)
    return NodeSelectorTerm(tuple(labels)) if labels else None


def disk_of(raw: wire.Volume | wire.PersistentVolumeSpec) -> Disk | None:
    """The disk of a kind that CSI drivers took over which is named there."""
    if raw.gce_persistent_disk is not None:
        source = raw.gce_persistent_disk
        return Disk("gcePersistentDisk", (source.pd_name,), bool(source.read_only))
    if raw.aws_elastic_block_store is not None:
        return Disk("awsElasticBlockStore", (raw.aws_elastic_block_store.volume_id,))
    if raw.azure_disk is not None:
        return Disk("azureDisk", (raw.azure_disk.disk_uri,))
    if raw.cinder is not None:
        return Disk("cinder", (raw.cinder.volume_id,))
    return Disk("portworxVolume", (raw.portworx_volume.volume_id,)) if raw.portworx_volume is not None else None


def _class(raw: wire.StorageClass) -> StorageClass:
    topologies = None
    if raw.allowed_topologies:
        topologies = NodeSelector(tuple(_topology(each) for each in raw.allowed_topologies))
    name = metadata_of(raw.metadata).name
    return StorageClass(name, raw.provisioner, raw.volume_binding_mode or "", topologies)


def _topology(raw: wire.TopologyTerm) -> NodeSelectorTerm:
    lines: Iterable[wire.Expression] = raw.match_label_expressions or ()
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
        topology=None if raw.node_topology is None else _label_selector(raw.node_topology, "nodeTopology"),
        limit=None if named[1] is None else quantity_of(named[1], named[0]),
        capacity=None if raw.capacity is None else quantity_of(raw.capacity, "capacity"),
    )


def _attachment(raw: wire.VolumeAttachment) -> VolumeAttachment:
    spec = raw.spec or wire.AttachmentSpec()
    volume = (spec.source.persistent_volume_name if spec.source else None) or ""
    return VolumeAttachment(
        metadata_of(raw.metadata).name, required(spec.attacher, "spec.attacher"), spec.node_name, volume
    )


KINDS: Final[Mapping[str, tuple[type[wire.Part], Callable[[Any], Stored]]]] = {
    "PersistentVolumeClaim": (wire.PersistentVolumeClaim, _claim),
    "PersistentVolume": (wire.PersistentVolume, _volume),
    "StorageClass": (wire.StorageClass, _class),
    "CSINode": (wire.CsiNode, _csi_node),
    "CSIDriver": (wire.CsiDriver, _csi_driver),
    "CSIStorageCapacity": (wire.CsiStorageCapacity, _capacity),
    "VolumeAttachment": (wire.VolumeAttachment, _attachment),
}
"""Shape and meaning by kind."""
