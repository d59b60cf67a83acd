"""Volumes, as a decision reads them: claims, what serves them, and what nodes and drivers can attach.

Shapes are those of `v1` and `storage.k8s.io/v1` (Kubernetes 1.37); names are those of the API.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from scheduler.core.model import LabelSelector, NodeSelector, Uid
from scheduler.core.quantity import Quantity

NOBODY: Final = Uid("")
DELAYED: Final = "WaitForFirstConsumer"
ONE_POD: Final = "ReadWriteOncePod"
FILESYSTEM: Final = "Filesystem"
LOST: Final = "Lost"
AVAILABLE: Final = "Available"
NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
TAKEN_OVER: Final[Mapping[str, str]] = {
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io",
    "kubernetes.io/aws-ebs": "ebs.csi.aws.com",
    "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/cinder": "cinder.csi.openstack.org",
    "kubernetes.io/portworx-volume": "pxd.portworx.com",
}
"""CSI drivers that attach the volumes of in-tree plugins (isCSIMigrationOn of NodeVolumeLimits)."""
PLUGINS: Final[Mapping[str, str]] = {
    "gcePersistentDisk": "kubernetes.io/gce-pd",
    "awsElasticBlockStore": "kubernetes.io/aws-ebs",
    "azureDisk": "kubernetes.io/azure-disk",
    "cinder": "kubernetes.io/cinder",
    "portworxVolume": "kubernetes.io/portworx-volume",
}
"""Plugins by the name of their source in the API."""
BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
ZONE: Final = "topology.kubernetes.io/zone"
REGION: Final = "topology.kubernetes.io/region"
OLD_ZONE: Final = "failure-domain.beta.kubernetes.io/zone"
OLD_REGION: Final = "failure-domain.beta.kubernetes.io/region"
PLACES_APART: Final = "__"
"""Stands between the zones, or regions, of a volume that is in several."""


@dataclass(frozen=True, slots=True)
class PersistentVolumeClaim:
    """A claim to a volume.

    storage_class : empty for none. size : what it requests of storage, None where it requests nothing. mode :
    Filesystem or Block. volume : spec.volumeName. bound : whether the cluster has said that the two belong together.
    selected_node : where a volume is to be made for it, None while nobody chose. owner : UID of its controller.
    """

    namespace: str
    name: str
    uid: Uid
    resource_version: str = ""
    storage_class: str = ""
    size: Quantity | None = None
    modes: tuple[str, ...] = ()
    mode: str = FILESYSTEM
    selector: LabelSelector | None = None
    attributes_class: str = ""
    volume: str = ""
    bound: bool = False
    phase: str = ""
    owner: Uid = NOBODY
    deleting: bool = False
    selected_node: str | None = None

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Holder:
    """A volume's claimRef; uid is empty where somebody reserved the volume for a claim by its name."""

    namespace: str
    name: str
    uid: Uid = NOBODY

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    def means(self, claim: PersistentVolumeClaim) -> bool:
        """Whether the volume is, or is to be, that claim's."""
        return self.key == claim.key and self.uid in {"", claim.uid}


@dataclass(frozen=True, slots=True)
class PersistentVolume:
    """A volume.

    affinity : nodes that can use it, None for all. Fields of nodes mean nothing in it: see cluster/kinds/storage.py.
    driver, handle : of a CSI volume, else empty. plugin : the in-tree plugin of a kind that a CSI driver took over;
    driver and handle are given for that, too, unless the driver cannot know the volume. moved : `affinity` on nodes
    where that happened.
    """

    name: str
    uid: Uid
    resource_version: str = ""
    storage_class: str = ""
    capacity: Quantity = field(default_factory=lambda: Quantity(0, "0"))
    modes: tuple[str, ...] = ()
    mode: str = FILESYSTEM
    attributes_class: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    affinity: NodeSelector | None = None
    phase: str = ""
    deleting: bool = False
    holder: Holder | None = None
    driver: str = ""
    handle: str = ""
    plugin: str = ""
    moved: NodeSelector | None = None


@dataclass(frozen=True, slots=True)
class StorageClass:
    """How volumes are made. binding : volumeBindingMode, empty if it is not set. topologies : where, None for all."""

    name: str
    provisioner: str
    binding: str = ""
    topologies: NodeSelector | None = None


@dataclass(frozen=True, slots=True)
class CSINode:
    """Drivers on a node, by its name: how many volumes each can attach, None without a limit.

    migrated : in-tree plugins whose volumes CSI drivers attach there.
    """

    name: str
    drivers: Mapping[str, int | None]
    migrated: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CSIDriver:
    """measured : it publishes CSIStorageCapacity. required : its volumes need nodes that have it (KEP-5030)."""

    name: str
    measured: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True)
class CSIStorageCapacity:
    """The largest volume of a class that can be made where `topology` selects nodes; None: nowhere, nothing.

    capacity : of all volumes together, None where that is not told.
    """

    namespace: str
    name: str
    storage_class: str
    topology: LabelSelector | None = None
    limit: Quantity | None = None
    capacity: Quantity | None = None

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class VolumeAttachment:
    """A volume that is, or is to be, attached to a node; `volume` is empty for one without a PersistentVolume."""

    name: str
    attacher: str
    node: str
    volume: str = ""


Stored = (
    PersistentVolumeClaim
    | PersistentVolume
    | StorageClass
    | CSINode
    | CSIDriver
    | CSIStorageCapacity
    | VolumeAttachment
)

StoredKind = Literal[
    "PersistentVolumeClaim",
    "PersistentVolume",
    "StorageClass",
    "CSINode",
    "CSIDriver",
    "CSIStorageCapacity",
    "VolumeAttachment",
]
KIND_OF: Final[Mapping[type[Any], StoredKind]] = {
    PersistentVolumeClaim: "PersistentVolumeClaim",
    PersistentVolume: "PersistentVolume",
    StorageClass: "StorageClass",
    CSINode: "CSINode",
    CSIDriver: "CSIDriver",
    CSIStorageCapacity: "CSIStorageCapacity",
    VolumeAttachment: "VolumeAttachment",
}
KINDS: Final[frozenset[str]] = frozenset(KIND_OF.values())


def places_in(label: str) -> set[str]:
    """The zones or regions that a label of a volume names; an empty one says that the label is of no use."""
    return {each.strip() for each in label.split(PLACES_APART)}


def key_of(item: Stored) -> str:
    """`name`, or `namespace/name`."""
    return item.key if isinstance(item, PersistentVolumeClaim | CSIStorageCapacity) else item.name
