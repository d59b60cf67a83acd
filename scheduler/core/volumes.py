"""What is known of volumes: who has which, which are free, and how many are attached where.

Free volumes are those that a claim may still be given; volumes and nodes that were chosen for claims of placed pods are
taken from then on. `changes` tells which nodes may answer otherwise than before to a pod that uses volumes; pods that
use none never ask.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

import numpy as np

from scheduler.core.columns import ABSENT
from scheduler.core.match import admits, selects_labels
from scheduler.core.model import Disk, LabelSelector, NodeSelector, NodeSelectorTerm, Pod, Requirement, Uid
from scheduler.core.nodes import Changes, NodeTable
from scheduler.core.quantity import Quantity
from scheduler.core.ripples import Ripples
from scheduler.core.snapshot import Versioned
from scheduler.core.storage import (
    AVAILABLE,
    PLUGINS,
    TAKEN_OVER,
    CSIDriver,
    CSINode,
    CSIStorageCapacity,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    Stored,
    VolumeAttachment,
)
from scoring.arrays import Counts, Mask, Rows

K = TypeVar("K")
T = TypeVar("T")
Attached = tuple[str, str]
"""Driver and handle of a volume; for a claim without a volume the claim's key behind a 0, which is no handle."""
ODD: Final = ("", "")
"""Stands among volumes for one that was made for another pod."""
_NONE: Final[Mapping[Attached, int]] = {}


def anywhere(selector: LabelSelector) -> NodeSelector | None:
    """A label selector as one of nodes."""
    return NodeSelector((NodeSelectorTerm(selector.requirements),)) if selector.requirements else None


def indexed(selector: NodeSelector) -> Requirement | None:
    """The one line that a selector consists of, if it says of which values one label must be."""
    if len(selector.terms) != 1 or selector.terms[0].fields or len(selector.terms[0].labels) != 1:
        return None
    [line] = selector.terms[0].labels
    return line if line.operator == "In" else None


def attached_disk(disk: Disk) -> Attached | None:
    """What a CSI driver attaches for a disk that a pod names itself, None if none does."""
    plugin = PLUGINS.get(disk.kind)
    if plugin is None:
        return None
    handle = disk.identity[0]
    if disk.kind == "gcePersistentDisk":
        handle = f"projects/UNSPECIFIED/zones/UNSPECIFIED/disks/{handle}"
    elif handle.startswith("aws://"):
        handle = handle.rpartition("/")[2]
    return TAKEN_OVER[plugin], handle


def _discard(sets: dict[K, set[T]], key: K, item: T) -> None:
    """Take an item out of a set, and the set with the last one."""
    found = sets.get(key)
    if found is not None:
        found.discard(item)
        if not found:
            del sets[key]


class Volumes:
    """All of storage, as last seen, and what was decided about it and is not seen yet.

    Objects by their name, claims and capacities by namespace/name. free : by class and name.
    ripples : what pods that wait may be helped by; who tells them clears it.
    """

    def __init__(self, nodes: NodeTable) -> None:
        self._nodes = nodes
        self.changes = Changes()
        self.ripples = Ripples()
        self.claims: Versioned[str, PersistentVolumeClaim] = Versioned()
        self.volumes: Versioned[str, PersistentVolume] = Versioned()
        self.classes: Versioned[str, StorageClass] = Versioned()
        self.csi_nodes: Versioned[str, CSINode] = Versioned()
        self.drivers: Versioned[str, CSIDriver] = Versioned()
        self.capacities: Versioned[str, CSIStorageCapacity] = Versioned()
        self.attachments: Versioned[str, VolumeAttachment] = Versioned()
        self.free: dict[str, dict[str, PersistentVolume]] = defaultdict(dict)
        self.measured: dict[str, dict[str, CSIStorageCapacity]] = defaultdict(dict)  # capacities by class
        self.reserved: dict[str, set[str]] = defaultdict(set)  # by key of a claim, volumes whose claimRef names it
        self.taken: dict[str, Uid] = {}  # volumes that were chosen for claims of placed pods
        self.chosen: dict[Uid, str] = {}  # claims that are being bound for placed pods, by what these are called
        self.releasing: set[Uid] = set()  # claims of which what was written for a placed pod is being taken back
        self._local: dict[str, dict[str, dict[str, set[str]]]] = {}  # class -> label -> value -> names of free volumes
        self._wide: dict[str, set[str]] = defaultdict(set)  # class -> names of the other free volumes
        self._pods: dict[Uid, tuple[str, Pod]] = {}  # placed pods that use volumes
        self._pods_on: dict[str, set[Uid]] = defaultdict(set)
        self._named_in: dict[str, set[Uid]] = defaultdict(set)  # by key of a claim, pods wherever they are
        self._named_by: dict[str, set[str]] = defaultdict(set)  # volume -> keys of claims that say that it is theirs
        self._attached_to: dict[str, set[str]] = defaultdict(set)  # node -> names of attachments
        self._attachments_of: dict[str, set[str]] = defaultdict(set)  # volume -> names of attachments
        self._used: dict[str, Mapping[Attached, int]] = {}  # node -> volumes that its pods use, and by how many
        self._nodes_with: dict[Attached, set[str]] = defaultdict(set)
        self._odd: set[str] = set()  # nodes of which upstream cannot count the volumes
        self._stale: set[str] = set()  # nodes whose columns are not up to date
        self._rows: dict[str, int] = {}  # nodes that the columns tell of
        self._counts: dict[str, Counts] = {}  # by driver, as the next two: they have the same keys and lengths
        self._limits: dict[str, Counts] = {}  # by driver; -1 for none
        self._installed: dict[str, Mask] = {}

    def __contains__(self, pod: Uid) -> bool:
        """Whether a pod is placed and uses volumes."""
        return pod in self._pods

    def snapshot(self) -> dict[str, Any]:
        """All objects and what was decided, by the names of the fields here; later changes leave it alone."""
        tables = ("claims", "volumes", "classes", "csi_nodes", "drivers", "capacities", "attachments")
        return {**{name: getattr(self, name).snapshot() for name in tables}, "taken": dict(self.taken)}

    # ------------------------------------------------------------ what is seen

    def put(self, item: Stored) -> bool:
        """Add or change an object; true if anything that matters changed."""
        if isinstance(item, PersistentVolumeClaim):
            return self._put_claim(item)
        if isinstance(item, PersistentVolume):
            return self._put_volume(item)
        if isinstance(item, StorageClass):
            return self._put_class(item)
        if isinstance(item, CSINode):
            return self._put_csi_node(item)
        if isinstance(item, CSIDriver):
            return self._put_driver(item)
        if isinstance(item, CSIStorageCapacity):
            return self._put_capacity(item)
        return self._put_attachment(item)

    def drop(self, kind: str, key: str) -> Stored | None:
        """Take an object out; returns it."""
        if kind == "PersistentVolumeClaim":
            claim = self.claims.pop(key)
            if claim is not None and claim.volume:
                _discard(self._named_by, claim.volume, key)
            self._disturb_users(key)
            return claim
        if kind == "PersistentVolume":
            volume = self.volumes.pop(key)
            if volume is not None:
                self._unfile(volume)
                self._disturb_volume(volume)
            return volume
        if kind == "StorageClass":
            storage_class = self.classes.pop(key)
            self.ripples.classes.add(key)
            self._disturb_all()
            return storage_class
        if kind == "CSINode":
            csi_node = self.csi_nodes.pop(key)
            self._remigrate(csi_node, None)
            self._disturb(key)
            return csi_node
        if kind == "CSIDriver":
            self.ripples.drivers.add(key)
            return self.drivers.pop(key)
        if kind == "CSIStorageCapacity":
            capacity = self.capacities.pop(key)
            if capacity is not None:
                self._forget_capacity(capacity)
            return capacity
        attachment = self.attachments.pop(key)
        if attachment is not None:
            self._detach(attachment)
        return attachment

    @staticmethod
    def _put(table: Versioned[str, T], key: str, item: T) -> bool:
        if table.current.get(key) == item:
            return False
        table.put(key, item)
        return True

    def _put_claim(self, claim: PersistentVolumeClaim) -> bool:
        before = self.claims.current.get(claim.key)
        changed = self._put(self.claims, claim.key, claim)
        if before is not None and before.volume:
            _discard(self._named_by, before.volume, claim.key)
        if claim.volume:
            self._named_by[claim.volume].add(claim.key)
        if before is None or (before.volume, before.storage_class) != (claim.volume, claim.storage_class):
            self._disturb_users(claim.key)
        return changed

    def _put_volume(self, volume: PersistentVolume) -> bool:
        before = self.volumes.current.get(volume.name)
        if before == volume:
            return False
        if before is not None:
            self._unfile(before)
        self.volumes.put(volume.name, volume)
        self._file(volume)
        if before is None or (before.driver, before.handle) != (volume.driver, volume.handle):
            self._disturb_volume(volume)
        return True

    def _put_class(self, item: StorageClass) -> bool:
        if not self._put(self.classes, item.name, item):
            return False
        self.ripples.classes.add(item.name)
        self._disturb_all()
        return True

    def _put_driver(self, item: CSIDriver) -> bool:
        changed = self._put(self.drivers, item.name, item)
        if changed:
            self.ripples.drivers.add(item.name)
        return changed

    def _put_csi_node(self, item: CSINode) -> bool:
        before = self.csi_nodes.current.get(item.name)
        if not self._put(self.csi_nodes, item.name, item):
            return False
        self._remigrate(before, item)
        self._disturb(item.name)
        return True

    def _remigrate(self, before: CSINode | None, after: CSINode | None) -> None:
        """Note whose drivers changed on a node, and whether others serve the volumes of plugins from now on."""
        item = before or after
        row = self._nodes.rows.get(item.name) if item is not None else None
        for each in (before, after):
            self.ripples.drivers.update(each.drivers if each is not None else ())
            self.ripples.everywhere |= each is not None and bool(each.migrated)
        was, now = (each.migrated if each is not None else frozenset() for each in (before, after))
        if row is not None and was != now:
            self._nodes.remake(row)

    def _put_capacity(self, capacity: CSIStorageCapacity) -> bool:
        before = self.capacities.current.get(capacity.key)
        if before == capacity:
            return False
        if before is not None:
            self._forget_capacity(before)
        self.capacities.put(capacity.key, capacity)
        self.measured[capacity.storage_class][capacity.key] = capacity
        self._mark_capacity(capacity)
        return True

    def _forget_capacity(self, capacity: CSIStorageCapacity) -> None:
        self.measured[capacity.storage_class].pop(capacity.key, None)
        self._mark_capacity(capacity)

    def _mark_capacity(self, capacity: CSIStorageCapacity) -> None:
        self.ripples.offers.add(capacity.storage_class)
        if capacity.topology is not None:
            self._mark(anywhere(capacity.topology))

    def _put_attachment(self, attachment: VolumeAttachment) -> bool:
        before = self.attachments.current.get(attachment.name)
        if before == attachment:
            return False
        if before is not None:
            self._detach(before)
        self.attachments.put(attachment.name, attachment)
        self._attached_to[attachment.node].add(attachment.name)
        self._attachments_of[attachment.volume].add(attachment.name)
        self._disturb(attachment.node)
        return True

    def _detach(self, attachment: VolumeAttachment) -> None:
        self.ripples.drivers.add(attachment.attacher)
        _discard(self._attached_to, attachment.node, attachment.name)
        _discard(self._attachments_of, attachment.volume, attachment.name)
        self._disturb(attachment.node)

    # ------------------------------------------------------------ free volumes

    def _file(self, volume: PersistentVolume) -> None:
        if volume.holder is not None:
            self.reserved[volume.holder.key].add(volume.name)
        if not self._is_free(volume):
            return
        name, storage_class = volume.name, volume.storage_class
        self.free[storage_class][name] = volume
        self.ripples.offers.add(storage_class)
        line = indexed(volume.affinity) if volume.affinity is not None else None
        if line is None:
            self._wide[storage_class].add(name)
        else:
            values = self._local.setdefault(storage_class, {}).setdefault(line.key, {})
            for value in line.values:
                values.setdefault(value, set()).add(name)
        self._mark(volume.affinity)

    def _unfile(self, volume: PersistentVolume) -> None:
        if volume.holder is not None:
            _discard(self.reserved, volume.holder.key, volume.name)
        name, storage_class = volume.name, volume.storage_class
        if self.free.get(storage_class, {}).pop(name, None) is None:
            return
        self._wide[storage_class].discard(name)
        line = indexed(volume.affinity) if volume.affinity is not None else None
        if line is not None:
            values = self._local[storage_class][line.key]
            for value in line.values:
                _discard(values, value, name)
        self._mark(volume.affinity)

    def _is_free(self, volume: PersistentVolume) -> bool:
        return (
            volume.phase == AVAILABLE
            and volume.holder is None
            and not volume.deleting
            and volume.name not in self.taken
        )

    def free_at(self, storage_class: str, labels: Mapping[str, str]) -> list[PersistentVolume]:
        """Free volumes of a class that a node with these labels can use: the smallest first, then by name."""
        found = set()
        for key, values in self._local.get(storage_class, {}).items():
            value = labels.get(key)
            if value is not None:
                found |= values.get(value, set())
        free = self.free.get(storage_class, {})
        wide = self._wide.get(storage_class, ())
        volumes = [free[name] for name in found]
        volumes += [free[name] for name in wide if admits(free[name].affinity, labels)]
        return sorted(volumes, key=lambda each: (each.capacity.nanos, each.name))

    def room_at(self, storage_class: str, size: Quantity, labels: Mapping[str, str]) -> bool:
        """Whether a driver says that it can make a volume of this size for a node with these labels."""
        return any(
            each.topology is not None and selects_labels(each.topology, labels)
            for each in self.roomy(storage_class, size)
        )

    def roomy(self, storage_class: str, size: Quantity) -> Iterable[CSIStorageCapacity]:
        """Capacities of a class in which a volume of this size has room."""
        least = size.value()
        for each in self.measured.get(storage_class, {}).values():
            if each.limit is not None and each.limit.value() >= least:
                yield each

    # ------------------------------------------------------------ what is decided

    def take(self, volume: str, claim: Uid) -> None:
        """Keep a volume for the claim of a placed pod."""
        known = self.volumes.current.get(volume)
        if known is not None:
            self._unfile(known)
        self.taken[volume] = claim
        if known is not None:
            self._file(known)

    def give_back(self, volume: str) -> None:
        """No longer keep a volume; what the API shows stands."""
        if self.taken.pop(volume, None) is None:
            return
        known = self.volumes.current.get(volume)
        if known is not None:
            self._unfile(known)
            self._file(known)

    # ------------------------------------------------------------ pods and what they use

    def move(self, uid: Uid, pod: Pod | None, node: str) -> None:
        """A pod that uses volumes is on a node now, or with an empty name on none."""
        before = self._pods.pop(uid, None)
        if before is not None:
            _discard(self._pods_on, before[0], uid)
            self._disturb(before[0])
        if pod is not None and node:
            self._pods[uid] = (node, pod)
            self._pods_on[node].add(uid)
            self._disturb(node)

    def know(self, before: Pod | None, after: Pod | None) -> None:
        """A pod came, changed or went, placed or not."""
        if before is not None:
            for key in before.volume_claims:
                _discard(self._named_in, key, before.uid)
        if after is not None:
            for key in after.volume_claims:
                self._named_in[key].add(after.uid)

    def named_in(self, claim: str) -> Iterable[Uid]:
        """All pods that use a claim (`namespace/name`), placed or not."""
        return self._named_in.get(claim, ())

    def _placed(self, claim: str) -> list[tuple[str, Pod]]:
        """Those of them that are placed, with their nodes."""
        return [self._pods[uid] for uid in self.named_in(claim) if uid in self._pods]

    def users(self, claim: str) -> list[Pod]:
        """Pods on nodes that exist which name a claim (`namespace/name`), by name; one that is made for its pod is not
        theirs to name."""
        found = [pod for node, pod in self._placed(claim) if node in self._rows]
        named = [
            pod
            for pod in found
            if any(not each.ephemeral and f"{pod.namespace}/{each.claim}" == claim for each in pod.volumes)
        ]
        return sorted(named, key=lambda pod: pod.key)

    def disks_on(self, node: str) -> list[Disk]:
        """Disks that pods on a node name themselves."""
        pods = (self._pods[uid][1] for uid in self._pods_on.get(node, ()))
        return [volume.disk for pod in pods for volume in pod.volumes if volume.disk is not None]

    def attaches(self, claim: PersistentVolumeClaim) -> Attached | None:
        """What a driver attaches for a claim, None if that is not counted (`getCSIDriverInfo` of NodeVolumeLimits)."""
        volume = self.volumes.current.get(claim.volume) if claim.volume else None
        if volume is not None:
            return (volume.driver, volume.handle) if volume.driver and volume.handle else None
        made_by = self.classes.current.get(claim.storage_class) if claim.storage_class else None
        if made_by is None or not made_by.provisioner:
            return None
        return TAKEN_OVER.get(made_by.provisioner, made_by.provisioner), f"\0{claim.key}"

    def keys_of(self, volume: PersistentVolume) -> set[str]:
        """Keys of the claims that a volume names or that name it."""
        return self._named_by.get(volume.name, set()) | ({volume.holder.key} if volume.holder is not None else set())

    def is_reached(self, claim: PersistentVolumeClaim) -> bool:
        """Whether what `ripples` tells of may help a pod with this claim."""
        ripples = self.ripples
        if ripples.everywhere or claim.storage_class in ripples.classes:
            return True
        if not claim.volume and claim.storage_class in ripples.offers:
            return True
        attached = self.attaches(claim) if ripples.drivers else None
        return attached is not None and attached[0] in ripples.drivers

    def _disturb(self, node: str) -> None:
        self._stale.add(node)
        row = self._nodes.rows.get(node)
        if row is not None:
            self.changes.mark(row)

    def _disturb_all(self) -> None:
        for node in self._pods_on:
            self._disturb(node)

    def _disturb_users(self, claim: str) -> None:
        for node, _ in self._placed(claim):
            self._disturb(node)

    def _disturb_volume(self, volume: PersistentVolume) -> None:
        if volume.holder is not None:
            self._disturb_users(volume.holder.key)
        for name in self._attachments_of.get(volume.name, ()):
            self._disturb(self.attachments.current[name].node)

    def _mark(self, selector: NodeSelector | None) -> None:
        """Note that what the selected nodes have to offer changed."""
        line = indexed(selector) if selector is not None else None
        chosen = self._nodes.live
        if line is not None:
            column = self._nodes.labels.get(line.key)
            if column is None:
                return
            chosen = np.isin(column.codes, [code for value in line.values if (code := column.find(value)) != ABSENT])
        for row in np.flatnonzero(chosen).tolist():
            self.changes.mark(row)

    # ------------------------------------------------------------ attach limits

    def node_seen(self, name: str, row: int) -> None:
        """A node is new."""
        self._rows[name] = row
        self._stale.add(name)

    def node_gone(self, name: str) -> None:
        """A node went: its row may be another's next."""
        row = self._rows.pop(name, None)
        if row is None:
            return
        for driver, counts in self._counts.items():
            if row < len(counts):
                counts[row], self._limits[driver][row], self._installed[driver][row] = 0, -1, False

    def used_on(self, node: str) -> Mapping[Attached, int]:
        """Volumes that pods on a node use, and by how many."""
        self._settle()
        return self._used.get(node, _NONE)

    def in_use(self, attached: Attached) -> bool:
        """Whether pods on any node use a volume."""
        self._settle()
        return bool(self._nodes_with.get(attached))

    def rows_with(self, attached: Attached) -> Rows:
        """Rows of the nodes on which pods use a volume."""
        self._settle()
        found = [self._rows[name] for name in self._nodes_with.get(attached, ()) if name in self._rows]
        return np.array(found, np.int32)

    def counts(self, driver: str, rows: Rows) -> Counts:
        """How many volumes of a driver are attached to these nodes, or soon will be."""
        return self._read(self._counts, driver, rows, 0)

    def limits(self, driver: str, rows: Rows) -> Counts:
        """How many volumes of a driver can be attached to these nodes; -1: as many as one likes."""
        return self._read(self._limits, driver, rows, -1)

    def installed(self, driver: str, rows: Rows) -> Mask:
        """Which of these nodes have a driver."""
        self._settle()
        column = self._installed.get(driver)
        return np.zeros(len(rows), np.bool_) if column is None else column[rows]

    def uncountable(self, rows: Rows) -> Mask:
        """Which of these nodes have limits, and a pod with a volume made for it that is another's: upstream stops
        there with an error."""
        self._settle()
        odd = [self._rows[name] for name in self._odd if name in self._rows and self.limited(name)]
        return np.isin(rows, np.array(odd, np.int32))

    def known(self, rows: Rows) -> Mask:
        """Which of these nodes have a CSINode."""
        return np.array([each is not None for each in self._csi_nodes(rows)], np.bool_)

    def migrated(self, plugin: str, rows: Rows) -> Mask:
        """On which of these nodes a CSI driver serves the volumes of an in-tree plugin."""
        return np.array([each is not None and plugin in each.migrated for each in self._csi_nodes(rows)], np.bool_)

    def affinity_on(self, volume: PersistentVolume, node: str) -> NodeSelector | None:
        """The affinity that counts for a node."""
        csi_node = self.csi_nodes.current.get(node)
        moved = csi_node is not None and bool(volume.plugin) and volume.plugin in csi_node.migrated
        return volume.moved if moved else volume.affinity

    def _csi_nodes(self, rows: Rows) -> Iterable[CSINode | None]:
        for row in rows.tolist():
            node = self._nodes.nodes[row]
            yield self.csi_nodes.current.get(node.name) if node is not None else None

    def _read(self, table: Mapping[str, Counts], driver: str, rows: Rows, nothing: int) -> Counts:
        self._settle()
        column = table.get(driver)
        return np.full(len(rows), nothing, np.int64) if column is None else column[rows]

    def _settle(self) -> None:
        """Bring the columns up to date."""
        for name in sorted(self._stale):
            for attached in self._used.pop(name, _NONE):
                _discard(self._nodes_with, attached, name)
            used = self._count(name)
            self._odd.discard(name)
            if used.pop(ODD, 0):
                self._odd.add(name)
            if used:
                self._used[name] = used
            for attached in used:
                self._nodes_with[attached].add(name)
            row = self._rows.get(name)
            if row is not None:
                self._write(row, name, used)
        self._stale.clear()

    def _count(self, node: str) -> Counter[Attached]:
        used: Counter[Attached] = Counter()
        for uid in self._pods_on.get(node, ()):
            used.update(self.used_by(self._pods[uid][1]))
        return used

    def used_by(self, pod: Pod) -> Counter[Attached]:
        """What drivers attach for a pod; ODD for what was made for another pod."""
        used: Counter[Attached] = Counter()
        for volume in pod.volumes:
            if volume.disk is not None and (disk := attached_disk(volume.disk)) is not None:
                used[disk] += 1
            claim = self.claims.current.get(f"{pod.namespace}/{volume.claim}") if volume.claim else None
            if claim is None:
                continue
            made_for_another = volume.ephemeral and claim.owner != pod.uid
            attached = ODD if made_for_another else self.attaches(claim)
            if attached is not None:
                used[attached] += 1
        return used

    def room_beside(
        self, node: str, others: Iterable[Attached], fresh: Mapping[str, int], shared: Iterable[Attached]
    ) -> bool:
        """Whether a node can attach `fresh` volumes by driver and `shared` ones, once it has those of others, too."""
        csi_node = self.csi_nodes.current.get(node)
        used = {*self.used_on(node), *others}
        there = Counter(driver for driver, _ in used | self._attached(node))
        added = Counter(fresh)
        added.update(driver for driver, handle in shared if (driver, handle) not in used)
        limits = csi_node.drivers if csi_node is not None else {}
        return not any(
            limit is not None and added[driver] and there[driver] + added[driver] > limit
            for driver, limit in limits.items()
        )

    def limited(self, node: str) -> bool:
        """Whether a driver has a limit on a node."""
        csi_node = self.csi_nodes.current.get(node)
        return csi_node is not None and any(limit is not None for limit in csi_node.drivers.values())

    def _attached(self, node: str) -> set[Attached]:
        """What VolumeAttachments tell of a node."""
        found = set()
        for each in self._attached_to.get(node, ()):
            attachment = self.attachments.current[each]
            volume = self.volumes.current.get(attachment.volume)
            if volume is not None and volume.driver and not volume.plugin:
                found.add((attachment.attacher, volume.handle))
        return found

    def _write(self, row: int, name: str, used: Mapping[Attached, int]) -> None:
        attached = set(used) | self._attached(name)
        counts = Counter(driver for driver, _ in attached)
        csi_node = self.csi_nodes.current.get(name)
        drivers = csi_node.drivers if csi_node is not None else {}
        for driver in {*counts, *drivers, *self._counts}:
            if driver not in self._counts:
                self._counts[driver] = np.zeros(self._nodes.size, np.int64)
                self._limits[driver] = np.full(self._nodes.size, -1, np.int64)
                self._installed[driver] = np.zeros(self._nodes.size, np.bool_)
            elif len(self._counts[driver]) < self._nodes.size:
                self._grow(driver)
            limit = drivers.get(driver)
            self._counts[driver][row] = counts[driver]
            self._limits[driver][row] = -1 if limit is None else limit
            self._installed[driver][row] = driver in drivers

    def _grow(self, driver: str) -> None:
        extra = self._nodes.size - len(self._counts[driver])
        self._counts[driver] = np.concatenate([self._counts[driver], np.zeros(extra, np.int64)])
        self._limits[driver] = np.concatenate([self._limits[driver], np.full(extra, -1, np.int64)])
        self._installed[driver] = np.concatenate([self._installed[driver], np.zeros(extra, np.bool_)])
