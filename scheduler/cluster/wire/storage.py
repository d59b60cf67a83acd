"""Persistent volumes, their claims, classes and drivers."""

from scheduler.cluster.wire.parts import Amount, Amounts, Expression, LabelSelector, Metadata, NodeSelector, Part
from scheduler.cluster.wire.volumes import AzureSource, CloudSource, GceSource


class VolumeResources(Part):
    """core/v1 VolumeResourceRequirements."""

    requests: Amounts | None = None


class VolumeClaimSpec(Part):
    """core/v1 PersistentVolumeClaimSpec."""

    access_modes: list[str] | None = None
    storage_class_name: str | None = None
    resources: VolumeResources | None = None
    volume_mode: str | None = None
    volume_name: str | None = None
    volume_attributes_class_name: str | None = None
    selector: LabelSelector | None = None


class Phase(Part):
    """The status of a PersistentVolume or of its claim."""

    phase: str | None = None


class PersistentVolumeClaim(Part):
    """core/v1 PersistentVolumeClaim."""

    metadata: Metadata | None = None
    spec: VolumeClaimSpec | None = None
    status: Phase | None = None


class VolumeHolder(Part):
    """core/v1 ObjectReference to a PersistentVolumeClaim."""

    namespace: str | None = None
    name: str | None = None
    uid: str | None = None


class VolumeAffinity(Part):
    """core/v1 VolumeNodeAffinity."""

    required: NodeSelector | None = None


class CsiSource(Part):
    """core/v1 CSIPersistentVolumeSource."""

    driver: str = ""
    volume_handle: str = ""


class PersistentVolumeSpec(Part):
    """core/v1 PersistentVolumeSpec."""

    capacity: Amounts | None = None
    access_modes: list[str] | None = None
    storage_class_name: str | None = None
    volume_mode: str | None = None
    volume_attributes_class_name: str | None = None
    claim_ref: VolumeHolder | None = None
    node_affinity: VolumeAffinity | None = None
    csi: CsiSource | None = None
    gce_persistent_disk: GceSource | None = None
    aws_elastic_block_store: CloudSource | None = None
    azure_disk: AzureSource | None = None
    cinder: CloudSource | None = None
    portworx_volume: CloudSource | None = None


class PersistentVolume(Part):
    """core/v1 PersistentVolume."""

    metadata: Metadata | None = None
    spec: PersistentVolumeSpec | None = None
    status: Phase | None = None


class TopologyTerm(Part):
    """core/v1 TopologySelectorTerm."""

    match_label_expressions: list[Expression] | None = None


class StorageClass(Part):
    """storage.k8s.io/v1 StorageClass."""

    metadata: Metadata | None = None
    provisioner: str = ""
    volume_binding_mode: str | None = None
    allowed_topologies: list[TopologyTerm] | None = None


class AttachLimit(Part):
    """storage.k8s.io/v1 VolumeNodeResources."""

    count: int | None = None


class NodeDriver(Part):
    """storage.k8s.io/v1 CSINodeDriver."""

    name: str = ""
    allocatable: AttachLimit | None = None


class CsiNodeSpec(Part):
    """storage.k8s.io/v1 CSINodeSpec."""

    drivers: list[NodeDriver] | None = None


class CsiNode(Part):
    """storage.k8s.io/v1 CSINode."""

    metadata: Metadata | None = None
    spec: CsiNodeSpec | None = None


class CsiDriverSpec(Part):
    """storage.k8s.io/v1 CSIDriverSpec."""

    storage_capacity: bool | None = None
    prevent_pod_scheduling_if_missing: bool | None = None


class CsiDriver(Part):
    """storage.k8s.io/v1 CSIDriver."""

    metadata: Metadata | None = None
    spec: CsiDriverSpec | None = None


class CsiStorageCapacity(Part):
    """storage.k8s.io/v1 CSIStorageCapacity."""

    metadata: Metadata | None = None
    storage_class_name: str = ""
    node_topology: LabelSelector | None = None
    capacity: Amount | None = None
    maximum_volume_size: Amount | None = None


class AttachmentSource(Part):
    """storage.k8s.io/v1 VolumeAttachmentSource."""

    persistent_volume_name: str | None = None


class AttachmentSpec(Part):
    """storage.k8s.io/v1 VolumeAttachmentSpec."""

    attacher: str = ""
    node_name: str = ""
    source: AttachmentSource | None = None


class VolumeAttachment(Part):
    """storage.k8s.io/v1 VolumeAttachment."""

    metadata: Metadata | None = None
    spec: AttachmentSpec | None = None
