"""Builders for volumes, beside `build`: everything is ordinary and fits together unless it is said otherwise."""

from dataclasses import replace

from scheduler.core.model import Disk, LabelSelector, NodeSelector, Pod, PodVolume, Requirement, Uid
from scheduler.core.quantity import parse_quantity
from scheduler.core.storage import (
    DELAYED,
    CSIDriver,
    CSINode,
    CSIStorageCapacity,
    Holder,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    VolumeAttachment,
)
from tests import build

STORE = "store.example.com"
ZONE = "topology.kubernetes.io/zone"


def volume_claim(
    name="v", size="1Gi", storage_class="local", version="1", volume="", namespace=build.NAMESPACE, **fields
):
    """Bound if `volume` is given, unless it is said otherwise."""
    return PersistentVolumeClaim(
        namespace=namespace,
        name=name,
        uid=Uid(f"uid-volume-claim-{namespace}-{name}"),
        resource_version=version,
        storage_class=storage_class,
        size=parse_quantity(size) if size else None,
        **{"modes": ("ReadWriteOnce",), "volume": volume, "bound": bool(volume), **fields},
    )


def volume(name="pv", size="1Gi", storage_class="local", version="1", node=None, claim=None, **fields):
    """node : the only one that can use it. claim : whose it is."""
    affinity = build.node_selector(build.term(build.requirement(build.HOSTNAME, "In", node))) if node else None
    holder = Holder(claim.namespace, claim.name, claim.uid) if claim is not None else None
    return PersistentVolume(
        name=name,
        uid=Uid(f"uid-volume-{name}"),
        resource_version=version,
        storage_class=storage_class,
        capacity=parse_quantity(size),
        **{
            "modes": ("ReadWriteOnce",), "affinity": affinity, "holder": holder,
            "phase": "Bound" if claim is not None else "Available", **fields,
        },
    )  # fmt: skip


def storage_class(name="local", provisioner="kubernetes.io/no-provisioner", binding=DELAYED, topologies=None):
    return StorageClass(name, provisioner, binding, topologies)


def made(name="made", topologies=None):
    """A class whose volumes are made by the driver."""
    return StorageClass(name, STORE, DELAYED, topologies)


def driver(name=STORE, **fields):
    return CSIDriver(name, **fields)


def csi_node(name="n1", limit=None, **drivers):
    return CSINode(name, {STORE: limit, **drivers})


def capacity(name, limit, storage_class="made", **labels):
    lines = tuple(Requirement(key.replace("__", "/"), "In", (value,)) for key, value in labels.items())
    return CSIStorageCapacity("kube-system", name, storage_class, LabelSelector(lines), parse_quantity(limit))


def attachment(name, node, volume, attacher=STORE):
    return VolumeAttachment(name, attacher, node, volume)


def in_zones(*zones: str) -> NodeSelector:
    return build.node_selector(build.term(build.requirement(ZONE, "In", *zones)))


def using(pod: Pod, *claims, disk: Disk | None = None) -> Pod:
    """The pod with volumes of these claims, by name or as they are."""
    names = [each if isinstance(each, str) else each.name for each in claims]
    volumes = tuple(PodVolume(f"volume-{index}", name) for index, name in enumerate(names))
    return replace(pod, volumes=(*volumes, *([PodVolume("disk", disk=disk)] if disk is not None else [])))


def ephemeral(pod: Pod, volume="scratch") -> Pod:
    """The pod with a volume whose claim is made for it."""
    return replace(pod, volumes=(PodVolume(volume, f"{pod.name}-{volume}", ephemeral=True),))
