"""What a pod asks of storage: its claims looked up and sorted into those that tie it to nodes and those to be bound.

As kube-scheduler's plugins VolumeBinding, VolumeZone, NodeVolumeLimits and VolumeRestrictions see them (1.37). Where it
differs: a claim that a pod names in two of its volumes is bound once; and a claim that is being bound for one pod is
waited for by others.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from scheduler.core import plan
from scheduler.core.match import admits, selects_labels
from scheduler.core.model import EXCLUSIVE, Disk, LabelSelector, Node, NodeSelector, Pod, PodVolume
from scheduler.core.quantity import Quantity
from scheduler.core.storage import (
    DELAYED,
    LOST,
    NO_PROVISIONER,
    OLD_REGION,
    OLD_ZONE,
    ONE_POD,
    REGION,
    ZONE,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    places_in,
)
from scheduler.core.volumes import ODD, Attached, Volumes, attached_disk

if TYPE_CHECKING:
    from scheduler.core.state import State

ZONES: Final = (OLD_ZONE, OLD_REGION, ZONE, REGION)
"""Labels of a volume that a node which has any of them must have with one of the same values."""
BOUND: Final = "bound"
UNBOUND: Final = "unbound"


@dataclass(frozen=True, slots=True)
class Held:
    """A volume that the pod has: nodes that its affinity allows, and of labels the values that a node may have.

    plugin : where that is served by a CSI driver, which volumes of other plugins never are, `moved` counts instead.
    """

    affinity: NodeSelector | None
    zones: tuple[tuple[str, tuple[str, ...]], ...] = ()
    plugin: str = ""
    moved: NodeSelector | None = None


@dataclass(frozen=True, slots=True)
class Provision:
    """A volume may be made: where its class allows that and, if it is measured, where its driver has room."""

    topologies: NodeSelector | None
    measured: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """A volume that the pod is yet to get: a free one that fits, or one that is made.

    reserved : name and affinity of the volume that somebody keeps for the claim; then no other will do, unless one can
    be made. node : where it is being made, None if that is open. provision : None where no volume can be made.
    """

    storage_class: str
    size: Quantity | None
    modes: tuple[str, ...]
    mode: str
    selector: LabelSelector | None
    attributes_class: str
    reserved: tuple[str, NodeSelector | None] | None
    node: str | None
    provision: Provision | None

    def suits(self, volume: PersistentVolume) -> bool:
        """Whether a volume of the class is what the claim asks for."""
        return (
            self.keeps(volume)
            and (self.selector is None or selects_labels(self.selector, volume.labels))
            and set(self.modes) <= set(volume.modes)
        )

    def keeps(self, volume: PersistentVolume) -> bool:
        """Whether a volume that is kept for the claim can serve it."""
        return (
            volume.storage_class == self.storage_class
            and not volume.deleting
            and volume.capacity.nanos >= (self.size.nanos if self.size is not None else 0)
            and volume.mode == self.mode
            and volume.attributes_class == self.attributes_class
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """What pods that are nominated to a node will have attached there; shut : they leave no room for the pod's disks.

    odd : what they will have attached cannot be counted (see Volumes.uncountable).
    """

    node: str
    attached: tuple[Attached, ...]
    shut: bool = False
    odd: bool = False


@dataclass(frozen=True, slots=True)
class Mounts:
    """All that decides: a part of the demand. wanted : the smallest first.

    fresh : of each driver, how many volumes the pod uses that no other pod does. shared : those that others use.
    drivers : that a node must have. kept : by node, for pods of no lower priority that are nominated to it.
    scored : whether nodes are judged by how much storage they have for `wanted`.
    """

    held: tuple[Held, ...] = ()
    wanted: tuple[Wanted, ...] = ()
    fresh: tuple[tuple[str, int], ...] = ()
    shared: tuple[Attached, ...] = ()
    drivers: tuple[str, ...] = ()
    disks: tuple[Disk, ...] = ()
    kept: tuple[Kept, ...] = ()
    scored: bool = False


@dataclass(frozen=True, slots=True)
class Mounted:
    """Mounts with what is behind them: claims of `mounts.held`, and of `mounts.wanted`, in the same order."""

    mounts: Mounts
    bound: tuple[PersistentVolumeClaim, ...] = ()
    claims: tuple[PersistentVolumeClaim, ...] = ()


def mark(kind: str, index: int) -> str:
    """Stands in a reason for a claim of `Mounted`, by its place among those that are BOUND or UNBOUND."""
    return f"\0{kind}{index}\0"


def names_of(mounted: Mounted) -> dict[str, str]:
    """What the marks in a reason stand for."""
    names = {
        mark(BOUND, index): f"PersistentVolume {each.volume} of PersistentVolumeClaim {each.key}"
        for index, each in enumerate(mounted.bound)
    }
    for index, each in enumerate(mounted.claims):
        names[mark(UNBOUND, index)] = f"PersistentVolumeClaim {each.key}"
    return names


@dataclass(frozen=True, slots=True)
class Unready:
    """Why a pod's volumes keep it waiting; tokens as in core/plan."""

    token: str
    message: str


@dataclass(slots=True)
class _Found:
    """Claims of one pod. named : keys of those that it names itself, rather than having them made."""

    bound: dict[str, PersistentVolumeClaim] = field(default_factory=dict)
    unbound: dict[str, PersistentVolumeClaim] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)


def mounted(pod: Pod, state: "State") -> Mounted | Unready:
    """What a pod that uses volumes asks of them."""
    found = _Found()
    for volume in pod.volumes:
        if volume.claim:
            problem = _look_up(pod, volume, state, found)
            if problem is not None:
                return problem
    volumes = state.volumes
    for key in sorted(found.named):
        claim = _claim(found, key)
        users = [each for each in volumes.users(key) if each.uid != pod.uid] if ONE_POD in claim.modes else []
        if users:
            text = f"PersistentVolumeClaim {key} is ReadWriteOncePod, and pod {users[0].key} uses it"
            return Unready(plan.NO_FIT, f"pod {pod.key}: {text}")
    held = []
    for key, claim in found.bound.items():
        kept = _held(pod, claim, state, zoned=key in found.named)
        if isinstance(kept, Unready):
            return kept
        held.append(kept)
    claims = sorted(found.unbound.values(), key=lambda each: each.size.nanos if each.size is not None else 0)
    attached = [volumes.attaches(each) for each in (*found.bound.values(), *claims)]
    disks = tuple(volume.disk for volume in pod.volumes if volume.disk is not None)
    attached += [attached_disk(each) for each in disks]
    alone = frozenset(key.partition("/")[2] for key in found.named if ONE_POD in _claim(found, key).modes)
    nominated = _kept(pod, state, disks, alone) if state.nominees else ()
    beside = {each for node in nominated for each in node.attached}
    fresh, shared, drivers = _attached(volumes, (each for each in attached if each is not None), beside)
    mounts = Mounts(
        held=tuple(held),
        wanted=tuple(_wanted(each, volumes) for each in claims),
        fresh=fresh,
        shared=shared,
        drivers=drivers,
        disks=disks,
        kept=nominated,
        scored=state.gates.storage_scoring and bool(claims),
    )
    return Mounted(mounts, tuple(found.bound.values()), tuple(claims))


def _claim(found: _Found, key: str) -> PersistentVolumeClaim:
    return found.bound.get(key) or found.unbound[key]


def _kept(pod: Pod, state: "State", disks: tuple[Disk, ...], alone: frozenset[str]) -> tuple[Kept, ...]:
    """alone : names of the pod's ReadWriteOncePod claims. As upstream, these count only for pods that have disks of
    their own, and then against claims of that name in any namespace."""
    found: dict[str, Kept] = {}
    guarded = any(disk.kind in EXCLUSIVE for disk in disks)
    for other in state.nominated_above(pod):
        before = found.get(other.nominated, Kept(other.nominated, ()))
        theirs = [volume.disk for volume in other.volumes if volume.disk is not None]
        named = {volume.claim for volume in other.volumes if not volume.ephemeral}
        shut = any(disk.clashes(each) for disk in disks for each in theirs) or (guarded and bool(named & alone))
        used = state.volumes.used_by(other)
        odd = used.pop(ODD, 0) > 0
        attached = tuple(sorted({*before.attached, *used}))
        found[other.nominated] = Kept(other.nominated, attached, before.shut or shut, before.odd or odd)
    return tuple(sorted(found.values(), key=lambda each: each.node))


def _look_up(pod: Pod, volume: PodVolume, state: "State", found: _Found) -> Unready | None:
    key = f"{pod.namespace}/{volume.claim}"
    where = f"pod {pod.key}, volume {volume.name}"
    problem = state.problems.get(("PersistentVolumeClaim", key))
    if problem is not None:
        return Unready(plan.MISCONFIGURED, f"{where}: {problem}")
    claim = state.volumes.claims.current.get(key)
    if claim is None and volume.ephemeral:
        return Unready(plan.CLAIM_PENDING, f"{where}: its PersistentVolumeClaim {key} has not been made yet")
    if claim is None:
        return Unready(plan.MISCONFIGURED, f"{where}: PersistentVolumeClaim {key} does not exist; create it")
    where = f"{where}: PersistentVolumeClaim {key}"
    if claim.phase == LOST:
        return Unready(plan.MISCONFIGURED, f"{where} lost PersistentVolume {claim.volume}, which does not exist")
    if claim.deleting:
        return Unready(plan.MISCONFIGURED, f"{where} is being deleted")
    if volume.ephemeral and claim.owner != pod.uid:
        return Unready(plan.MISCONFIGURED, f"{where} was not made for this pod, which does not control it; delete it")
    if not volume.ephemeral:
        found.named.add(key)
    if claim.bound:
        found.bound[key] = claim
        return None
    waiting = _awaits(where, claim, state)
    if waiting is None:
        found.unbound[key] = claim
    return waiting


def _awaits(where: str, claim: PersistentVolumeClaim, state: "State") -> Unready | None:
    """Why a claim that is not bound has to be waited for; None if it is bound for its first pod."""
    volumes = state.volumes
    if claim.volume:
        text = f"{where} names PersistentVolume {claim.volume} and is not bound to it yet"
        return Unready(plan.CLAIM_PENDING, text)
    if not claim.storage_class:
        return Unready(plan.CLAIM_PENDING, f"{where} has no storageClassName and is not bound to a volume yet")
    problem = state.problems.get(("StorageClass", claim.storage_class))
    if problem is not None:
        return Unready(plan.MISCONFIGURED, f"{where}: {problem}")
    made_by = volumes.classes.current.get(claim.storage_class)
    if made_by is None:
        text = f"{where}: StorageClass {claim.storage_class} does not exist; create it"
        return Unready(plan.MISCONFIGURED, text)
    if not made_by.binding:
        return Unready(plan.MISCONFIGURED, f"{where}: StorageClass {made_by.name} has no volumeBindingMode; set it")
    if made_by.binding != DELAYED:
        text = f"{where} is not bound yet, and StorageClass {made_by.name} binds at once: it waits for its volume"
        return Unready(plan.CLAIM_PENDING, text)
    if claim.uid in volumes.chosen:
        return Unready(plan.CLAIM_PENDING, f"{where} is being bound for pod {volumes.chosen[claim.uid]}")
    if claim.uid in volumes.releasing:
        return Unready(plan.CLAIM_PENDING, f"{where} is being released")
    return None


def _held(pod: Pod, claim: PersistentVolumeClaim, state: "State", *, zoned: bool) -> Held | Unready:
    where = f"pod {pod.key}: PersistentVolumeClaim {claim.key}"
    problem = state.problems.get(("PersistentVolume", claim.volume))
    if problem is not None:
        return Unready(plan.MISCONFIGURED, f"{where}: {problem}")
    volume = state.volumes.volumes.current.get(claim.volume)
    if volume is None:
        return Unready(plan.MISCONFIGURED, f"{where} is bound to PersistentVolume {claim.volume}, which does not exist")
    zones = zones_of(volume) if zoned else ()
    return Held(volume.affinity, zones, volume.plugin, volume.moved if volume.plugin else None)


def zones_of(volume: PersistentVolume) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Zones and regions of a volume by label, of which a node may have any; a label with empty parts says nothing."""
    found = []
    for key in ZONES:
        if key in volume.labels:
            values = places_in(volume.labels[key])
            if "" not in values:
                found.append((key, tuple(sorted(values))))
    return tuple(found)


def _wanted(claim: PersistentVolumeClaim, volumes: Volumes) -> Wanted:
    wanted = Wanted(
        storage_class=claim.storage_class,
        size=claim.size,
        modes=claim.modes,
        mode=claim.mode,
        selector=claim.selector,
        attributes_class=claim.attributes_class,
        reserved=None,
        node=claim.selected_node,
        provision=_provision(volumes.classes.current[claim.storage_class], volumes),
    )
    for name in sorted(volumes.reserved.get(claim.key, ())):
        volume = volumes.volumes.current[name]
        if volume.holder is not None and volume.holder.means(claim) and wanted.keeps(volume):
            return replace(wanted, reserved=(name, volume.affinity))
    return wanted


def _provision(made_by: StorageClass, volumes: Volumes) -> Provision | None:
    if made_by.provisioner in {"", NO_PROVISIONER}:
        return None
    driver = volumes.drivers.current.get(made_by.provisioner)
    return Provision(made_by.topologies, driver is not None and driver.measured)


def _attached(
    volumes: Volumes, attached: Iterable[Attached], beside: set[Attached]
) -> tuple[tuple[tuple[str, int], ...], tuple[Attached, ...], tuple[str, ...]]:
    distinct = sorted(set(attached))
    shared = tuple(each for each in distinct if each in beside or volumes.in_use(each))
    fresh = Counter(each[0] for each in distinct if each not in shared)
    required = [
        driver
        for driver in sorted({each[0] for each in distinct})
        if (known := volumes.drivers.current.get(driver)) is not None and known.required
    ]
    return tuple(sorted(fresh.items())), shared, tuple(required)


def choose(volumes: Volumes, mounts: Mounts, node: Node) -> tuple[str, ...] | None:
    """For each volume that is wanted the name of the one to take on a node, empty for one to be made; None: no way."""
    chosen: list[str] = []
    for wanted in mounts.wanted:
        name = _match(volumes, wanted, node, chosen) if wanted.node is None else ""
        if not name and not can_make(volumes, wanted, node):
            return None
        chosen.append(name)
    return tuple(chosen)


def _match(volumes: Volumes, wanted: Wanted, node: Node, chosen: list[str]) -> str:
    if wanted.reserved is not None:
        name, affinity = wanted.reserved
        return name if admits(affinity, node.labels) else ""
    for volume in volumes.free_at(wanted.storage_class, node.labels):
        if volume.name not in chosen and wanted.suits(volume):
            return volume.name
    return ""


def can_make(volumes: Volumes, wanted: Wanted, node: Node) -> bool:
    """Whether a volume can be made for a node."""
    if wanted.node not in {None, node.name} or wanted.provision is None:
        return False
    if not admits(wanted.provision.topologies, node.labels):
        return False
    if not wanted.provision.measured or wanted.size is None:
        return True
    return volumes.room_at(wanted.storage_class, wanted.size, node.labels)
