"""Volumes: each placement's claims, looked at one by one, as somebody would who reads what Kubernetes documents."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from scheduler.core.model import Disk, Node, NodeSelector, Pod, Uid
from scheduler.core.plan import Placement
from scheduler.core.storage import (
    CSIDriver,
    CSINode,
    CSIStorageCapacity,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    VolumeAttachment,
)
from scheduler.core.verify.words import node_selected

VOLUME_CLAIMS: Final = "volume-claims"  # exactly those of the pod, each there and fit for use
VOLUME: Final = "volume"  # bound, and usable on the node and in its zone
MOUNT: Final = "volume-binding"  # a volume that is free and fits, or one that can be made there
ONE_POD: Final = "read-write-once-pod"
ATTACH: Final = "attach-limits"
DISK: Final = "disks"
STORAGE_RULES: Final = (VOLUME_CLAIMS, VOLUME, MOUNT, ONE_POD, ATTACH, DISK)

_PLACES: Final = ("zone", "region")
_ATTACHED: Final = {
    "gcePersistentDisk": "pd.csi.storage.gke.io", "awsElasticBlockStore": "ebs.csi.aws.com",
    "azureDisk": "disk.csi.azure.com", "cinder": "cinder.csi.openstack.org", "portworxVolume": "pxd.portworx.com",
}  # fmt: skip
_PLUGINS: Final = {
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io", "kubernetes.io/aws-ebs": "ebs.csi.aws.com",
    "kubernetes.io/azure-disk": "disk.csi.azure.com", "kubernetes.io/cinder": "cinder.csi.openstack.org",
    "kubernetes.io/portworx-volume": "pxd.portworx.com",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Storage:
    """Objects by name, or by namespace/name. taken : volumes that were given to claims and do not say so yet."""

    claims: Mapping[str, PersistentVolumeClaim] = field(default_factory=dict)
    volumes: Mapping[str, PersistentVolume] = field(default_factory=dict)
    classes: Mapping[str, StorageClass] = field(default_factory=dict)
    csi_nodes: Mapping[str, CSINode] = field(default_factory=dict)
    drivers: Mapping[str, CSIDriver] = field(default_factory=dict)
    capacities: Mapping[str, CSIStorageCapacity] = field(default_factory=dict)
    attachments: Mapping[str, VolumeAttachment] = field(default_factory=dict)
    taken: Mapping[str, Uid] = field(default_factory=dict)


class StorageCheck:
    """Storage as it stands after the placements so far; `problems` are pairs of rule and text about the last one."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.given = dict(storage.taken)
        self.bound_to: dict[str, str] = {}  # claims that were given something -> the node
        self.on: dict[str, list[Pod]] = {}
        self.problems: list[tuple[str, str]] = []

    def run(self, pod: Pod, node: str) -> None:
        """A pod is on a node from now on."""
        if pod.volumes:
            self.on.setdefault(node, []).append(pod)

    def judge(self, pod: Pod, node: Node, placement: Placement) -> list[tuple[str, str]]:
        """What is wrong with where a pod goes, and with what its claims are given."""
        self.problems = []
        mounts = {each.claim: each.volume for each in placement.mounts}
        if len(mounts) != len(placement.mounts):
            self.problems.append((VOLUME_CLAIMS, "a claim is given a volume twice"))
        waiting = set()
        for claim, made in self._claims_of(pod):
            if claim.bound:
                self._check_bound(claim, node, zoned=not made)
            elif claim.key in mounts:
                waiting.add(claim.key)
                self._check_mount(claim, mounts[claim.key], node)
            else:
                waiting.add(claim.key)
                self.problems.append((VOLUME_CLAIMS, f"claim {claim.key} is not bound and is given nothing"))
            if "ReadWriteOncePod" in claim.modes and not made:
                self._check_one_pod(pod, claim)
        for key in mounts:
            if key not in waiting:
                self.problems.append((VOLUME_CLAIMS, f"claim {key} is given a volume without need"))
        self._check_attached(pod, node)
        self._check_disks(pod, node)
        return self.problems

    def _claims_of(self, pod: Pod) -> list[tuple[PersistentVolumeClaim, bool]]:
        """Claims of a pod that are there, once each, and whether they are made for it."""
        found: dict[str, tuple[PersistentVolumeClaim, bool]] = {}
        for volume in pod.volumes:
            if not volume.claim:
                continue
            claim = self.storage.claims.get(f"{pod.namespace}/{volume.claim}")
            if claim is None:
                self.problems.append((VOLUME_CLAIMS, f"claim {pod.namespace}/{volume.claim} does not exist"))
                continue
            if claim.deleting or claim.phase == "Lost":
                self.problems.append((VOLUME_CLAIMS, f"claim {claim.key} is lost or being deleted"))
            if volume.ephemeral and claim.owner != pod.uid:
                self.problems.append((VOLUME_CLAIMS, f"claim {claim.key} was not made for the pod"))
            _, made = found.get(claim.key, (claim, True))
            found[claim.key] = (claim, made and volume.ephemeral)
        return list(found.values())

    def _check_bound(self, claim: PersistentVolumeClaim, node: Node, *, zoned: bool) -> None:
        volume = self.storage.volumes.get(claim.volume)
        if volume is None:
            self.problems.append((VOLUME, f"volume {claim.volume} of claim {claim.key} does not exist"))
            return
        csi_node = self.storage.csi_nodes.get(node.name)
        moved = volume.plugin and csi_node is not None and volume.plugin in csi_node.migrated
        if not _usable(volume.moved if moved else volume.affinity, node):
            self.problems.append((VOLUME, f"the node cannot use volume {volume.name}"))
        for place in _PLACES if zoned else ():
            old, new = f"failure-domain.beta.kubernetes.io/{place}", f"topology.kubernetes.io/{place}"
            for label in (old, new):
                parts = [part.strip() for part in volume.labels.get(label, "").split("__")]
                own = node.labels.get(label, node.labels.get(new))
                if all(parts) and _says_where(node) and own not in parts:
                    self.problems.append((VOLUME, f"volume {volume.name} is in {label} {'/'.join(parts)}, not {own}"))

    def _check_mount(self, claim: PersistentVolumeClaim, name: str, node: Node) -> None:
        where = f"claim {claim.key}"
        made_by = self.storage.classes.get(claim.storage_class)
        if claim.volume or made_by is None or made_by.binding != "WaitForFirstConsumer":
            self.problems.append((MOUNT, f"{where} does not wait for a pod"))
            return
        if claim.key in self.bound_to:
            self.problems.append((MOUNT, f"{where} was given a volume for another pod already"))
        self.bound_to[claim.key] = node.name
        if claim.selected_node is not None and (name or claim.selected_node != node.name):
            self.problems.append((MOUNT, f"{where} is to get a volume made for node {claim.selected_node}"))
        if name:
            self._check_volume(where, claim, name, node)
        else:
            self._check_made(where, claim, made_by, node)

    def _check_volume(self, where: str, claim: PersistentVolumeClaim, name: str, node: Node) -> None:
        volume = self.storage.volumes.get(name)
        if volume is None:
            self.problems.append((MOUNT, f"{where}: volume {name} does not exist"))
            return
        if self.given.get(name, claim.uid) != claim.uid or (name in self.given and name not in self.storage.taken):
            self.problems.append((MOUNT, f"{where}: volume {name} was given to another claim"))
        self.given[name] = claim.uid
        kept = volume.holder
        named = kept is not None and (kept.namespace, kept.name) == (claim.namespace, claim.name)
        if kept is not None and not (named and kept.uid in {"", claim.uid}):
            self.problems.append((MOUNT, f"{where}: volume {name} is of claim {kept.namespace}/{kept.name}"))
        asked = claim.size.nanos if claim.size is not None else 0
        fits = {
            "is being deleted": not volume.deleting,
            "is of another class": volume.storage_class == claim.storage_class,
            "is too small": volume.capacity.nanos >= asked,
            "is of another volumeMode": volume.mode == claim.mode,
            "is of another VolumeAttributesClass": volume.attributes_class == claim.attributes_class,
            "cannot be used on the node": _usable(volume.affinity, node),
        }
        if not named:
            fits["is not available"] = volume.phase == "Available"
            fits["lacks an access mode"] = not set(claim.modes) - set(volume.modes)
            labels = claim.selector.requirements if claim.selector is not None else ()
            fits["is not selected"] = all(
                _holds(each.operator, each.values, volume.labels.get(each.key)) for each in labels
            )
        for text, holds in fits.items():
            if not holds:
                self.problems.append((MOUNT, f"{where}: volume {name} {text}"))

    def _check_made(self, where: str, claim: PersistentVolumeClaim, made_by: StorageClass, node: Node) -> None:
        if made_by.provisioner in {"", "kubernetes.io/no-provisioner"}:
            self.problems.append((MOUNT, f"{where}: class {made_by.name} makes no volumes"))
            return
        if not _usable(made_by.topologies, node):
            self.problems.append((MOUNT, f"{where}: class {made_by.name} allows none in the topology of the node"))
        driver = self.storage.drivers.get(made_by.provisioner)
        if driver is None or not driver.measured or claim.size is None:
            return
        for capacity in self.storage.capacities.values():
            if capacity.storage_class == made_by.name and capacity.topology is not None and capacity.limit is not None:
                lines = capacity.topology.requirements
                here = all(_holds(each.operator, each.values, node.labels.get(each.key)) for each in lines)
                if here and capacity.limit.value() >= claim.size.value():
                    return
        self.problems.append((MOUNT, f"{where}: no storage capacity for the node is large enough"))

    def _check_one_pod(self, pod: Pod, claim: PersistentVolumeClaim) -> None:
        for others in self.on.values():
            for other in others:
                names = [f"{other.namespace}/{each.claim}" for each in other.volumes if not each.ephemeral]
                if claim.key in names and other.uid != pod.uid:
                    self.problems.append((ONE_POD, f"claim {claim.key} is used by pod {other.key}"))

    def _check_attached(self, pod: Pod, node: Node) -> None:
        csi_node = self.storage.csi_nodes.get(node.name)
        limits = csi_node.drivers if csi_node is not None else {}
        mine = self._attached_by(pod)
        # On a node without a CSINode the volumes of in-tree plugins are nobody's, so that no driver is missed.
        own = mine if csi_node is not None else {each for each in mine if each[0] not in _ATTACHED.values()}
        for driver, _ in own:
            known = self.storage.drivers.get(driver)
            if known is not None and known.required and driver not in limits:
                self.problems.append((ATTACH, f"the node lacks CSI driver {driver}"))
        used = {each for other in self.on.get(node.name, ()) for each in self._attached_by(other)}
        seen = set(used)
        for attachment in self.storage.attachments.values():
            volume = self.storage.volumes.get(attachment.volume)
            if attachment.node == node.name and volume is not None and volume.driver and not volume.plugin:
                seen.add((attachment.attacher, volume.handle))
        for driver, limit in limits.items():
            more = sum(each not in used for each in mine if each[0] == driver)
            there = sum(each[0] == driver for each in seen)
            if limit is not None and more and there + more > limit:
                self.problems.append((ATTACH, f"driver {driver}: {there} attached + {more} > {limit}"))

    def _attached_by(self, pod: Pod) -> set[tuple[str, str]]:
        """Driver and handle of each volume; of one that is not there yet, its claim's name for a handle."""
        found = set()
        for volume in pod.volumes:
            if volume.disk is not None and volume.disk.kind in _ATTACHED:
                found.add((_ATTACHED[volume.disk.kind], _handle(volume.disk)))
            claim = self.storage.claims.get(f"{pod.namespace}/{volume.claim}")
            if claim is None or (volume.ephemeral and claim.owner != pod.uid):
                continue
            known = self.storage.volumes.get(claim.volume)
            if known is not None:
                found.add((known.driver, known.handle))
            elif claim.storage_class in self.storage.classes:
                provisioner = self.storage.classes[claim.storage_class].provisioner
                found.add((_PLUGINS.get(provisioner, provisioner), f"claim {claim.key}"))
        return {each for each in found if all(each)}

    def _check_disks(self, pod: Pod, node: Node) -> None:
        there = [each.disk for other in self.on.get(node.name, ()) for each in other.volumes if each.disk is not None]
        for volume in pod.volumes:
            if volume.disk is not None and any(_same_disk(volume.disk, each) for each in there):
                self.problems.append((DISK, f"volume {volume.name} is a disk that a pod on the node has"))


def _usable(selector: NodeSelector | None, node: Node) -> bool:
    return selector is None or node_selected(selector, replace(node, name=""))


def _says_where(node: Node) -> bool:
    return any(
        f"{prefix}.kubernetes.io/{place}" in node.labels
        for prefix in ("failure-domain.beta", "topology")
        for place in _PLACES
    )


def _holds(operator: str, values: tuple[str, ...], value: str | None) -> bool:
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    return (value is not None) == (operator == "Exists")


def _handle(disk: Disk) -> str:
    [name] = disk.identity
    if disk.kind == "gcePersistentDisk":
        return f"projects/UNSPECIFIED/zones/UNSPECIFIED/disks/{name}"
    return name.split("/")[-1] if name.startswith("aws://") else name


def _same_disk(one: Disk, other: Disk) -> bool:
    """As VolumeRestrictions documents it, source by source."""
    if one.kind != other.kind or one.identity != other.identity:
        return False
    both_read = one.read_only and other.read_only
    return {
        "gcePersistentDisk": not both_read,
        "awsElasticBlockStore": True,
        "iscsi": not both_read,
        "rbd": not both_read and bool(one.monitors & other.monitors),
    }.get(one.kind, False)
