"""Volumes of placed pods on their way: kept or asked for, seen to be bound, or taken back (Reserve and PreBind of
kube-scheduler's VolumeBinding).

A free volume is kept for its claim by writing its claimRef; to have one made, the claim is annotated with the node. The
rest is done by the cluster's controller and by provisioners. Whoever cannot make a volume takes the annotation off.

Upstream leaves behind what it wrote when it gives up. Here that is taken back, unless the claim got its volume or was
deleted meanwhile. Until that is seen, but no longer than RELEASE_S, the claim is not tried again and the volume is
nobody else's.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile

from scheduler.core.match import admits
from scheduler.core.messages import (
    RELEASE_S,
    BindVolume,
    Instruction,
    PodRef,
    SelectNode,
    StorageRef,
    UnbindVolume,
    UnselectNode,
    VolumeRefused,
    VolumeWritten,
)
from scheduler.core.model import Uid
from scheduler.core.plan import Mount
from scheduler.core.state import State
from scheduler.core.storage import PersistentVolume, PersistentVolumeClaim, Stored


@dataclass(slots=True)
class Way:
    """A claim on its way to its volume.

    volume : empty where one is made. named : whether the volume was kept for a claim of that name before. written :
    resourceVersion that our write left, None while it has no answer, empty where none was needed. touched : whether
    something of ours may stand there.
    """

    claim: PersistentVolumeClaim
    volume: PersistentVolume | None
    node: str
    named: bool = False
    written: str | None = None
    touched: bool = False


@dataclass(slots=True)
class _Ascent:
    pod: PodRef
    node: str
    ways: dict[Uid, Way] = field(default_factory=dict)


class Mounting:
    """Knows of placed pods whose claims are being bound. `timeout_s` is how long that may take."""

    def __init__(self, state: State, timeout_s: float) -> None:
        self._state = state
        self.timeout_s = timeout_s
        self._ascents: dict[Uid, _Ascent] = {}
        self._deadlines: OrderedDict[Uid, float] = OrderedDict()  # of ascents, until told; the first comes first
        self._by_claim: dict[str, Uid] = {}  # key of a claim -> pod
        self._by_volume: dict[str, Uid] = {}
        self._releases: OrderedDict[Uid, tuple[float, Way]] = OrderedDict()  # by claim, those that end first first

    @property
    def next_time(self) -> float | None:
        """When to look again though nothing happens."""
        times = [next(iter(self._deadlines.values()))] if self._deadlines else []
        times += [next(iter(self._releases.values()))[0]] if self._releases else []
        return min(times, default=None)

    def depart(self, pod: PodRef, node: str, mounts: Iterable[Mount], now: float) -> list[Instruction]:
        """Keep the volumes of a placement for its pod, and have that written."""
        volumes = self._state.volumes
        ascent = _Ascent(pod, node)
        out: list[Instruction] = []
        for mount in mounts:
            claim = volumes.claims.current[mount.claim]
            volume = volumes.volumes.current[mount.volume] if mount.volume else None
            way = ascent.ways[claim.uid] = Way(claim, volume, node)
            volumes.chosen[claim.uid] = f"{pod.namespace}/{pod.name}"
            self._by_claim[claim.key] = pod.uid
            if volume is not None:
                volumes.take(volume.name, claim.uid)
                self._by_volume[volume.name] = pod.uid
                way.named = volume.holder is not None
            done = (
                volume.holder is not None and volume.holder.uid == claim.uid if volume else claim.selected_node == node
            )
            if done:
                way.written = ""
                continue
            way.touched = True
            reference = _claim_ref(claim)
            if volume is None:
                out.append(SelectNode(pod, reference, node))
            else:
                out.append(BindVolume(pod, reference, _volume_ref(volume), way.named))
        if ascent.ways:
            self._ascents[pod.uid] = ascent
            self._deadlines[pod.uid] = now + self.timeout_s
        return out

    def writing(self, pod: Uid) -> bool:
        """Whether a write for a pod has no answer yet."""
        ascent = self._ascents.get(pod)
        return ascent is not None and any(way.written is None for way in ascent.ways.values())

    def written(self, event: VolumeWritten) -> None:
        """A write was taken in."""
        way = self._way(event.pod, event.claim)
        if way is not None:
            way.written = event.resource_version

    def refused(self, event: VolumeRefused) -> str:
        """A write was refused; what to say of it."""
        way = self._way(event.pod, event.claim)
        if way is None:
            return ""
        way.written = ""
        way.touched = event.cause == "unknown"
        about = f"PersistentVolume {way.volume.name} could not be kept for" if way.volume else "no node could be set on"
        return f"{about} PersistentVolumeClaim {way.claim.key} ({event.cause}): {event.message}"

    def concerned(self, item: Stored) -> Uid | None:
        """The placed pod that waits for a volume or claim."""
        if isinstance(item, PersistentVolumeClaim):
            return self._by_claim.get(item.key)
        if isinstance(item, PersistentVolume):
            found = self._by_volume.get(item.name)
            return found or (self._by_claim.get(item.holder.key) if item.holder is not None else None)
        return None

    def concerned_by(self, kind: str, key: str) -> Uid | None:
        """The placed pod that waits for a volume or claim which went, or cannot be read any more."""
        if kind == "PersistentVolumeClaim":
            return self._by_claim.get(key)
        return self._by_volume.get(key) if kind == "PersistentVolume" else None

    def standing(self, pod: Uid) -> tuple[bool, str]:
        """Whether all claims of a pod are bound, and why some never will be as things are; empty: they may be."""
        ascent = self._ascents.get(pod)
        ready = True
        for way in ascent.ways.values() if ascent is not None else ():
            bound, problem = self._stands(way)
            if problem:
                return False, problem
            ready &= bound
        return ready, ""

    def _stands(self, way: Way) -> tuple[bool, str]:
        volumes, where = self._state.volumes, f"PersistentVolumeClaim {way.claim.key}"
        claim = volumes.claims.current.get(way.claim.key)
        if claim is None or claim.uid != way.claim.uid:
            return False, f"{where} {self._how_lost('PersistentVolumeClaim', way.claim.key)}"
        if claim.deleting:
            return False, f"{where} is being deleted"
        if claim.bound:
            volume = volumes.volumes.current.get(claim.volume)
            node = self._state.node_by_name.current.get(way.node)
            reached = volume is None or node is None or admits(volumes.affinity_on(volume, node.name), node.labels)
            if volume is not None and not reached:
                text = f"{where} got PersistentVolume {volume.name}, which node {way.node} cannot use"
                return False, text
            held = volume is not None and volume.holder is not None  # until that is seen it would count as free
            return held and way.written is not None, ""
        if way.written is None:
            return False, ""
        if way.volume is None:
            if claim.selected_node != way.node and not later(way.written, claim.resource_version):
                text = f"{where}: its provisioner could not make a volume for node {way.node}; see the claim's events"
                return False, text
            return False, ""
        known = volumes.volumes.current.get(way.volume.name)
        if known is None or known.uid != way.volume.uid:
            how = self._how_lost("PersistentVolume", way.volume.name)
            return False, f"{where}: PersistentVolume {way.volume.name} {how}"
        kept = known.holder is not None and known.holder.uid == claim.uid
        if not kept and not later(way.written, known.resource_version):
            return False, f"{where}: PersistentVolume {known.name} was given to another claim, or freed"
        return False, ""

    def _how_lost(self, kind: str, key: str) -> str:
        problem = self._state.problems.get((kind, key))
        return f"cannot be read any more: {problem}" if problem is not None else "was deleted"

    def _is_unreadable(self, claim: PersistentVolumeClaim) -> bool:
        known = claim.key in self._state.volumes.claims.current
        return not known and ("PersistentVolumeClaim", claim.key) in self._state.problems

    def overdue(self, now: float) -> list[tuple[Uid, str]]:
        """Placed pods whose time is up, with what they wait for; each is told once."""
        late = list(takewhile(lambda pod: self._deadlines[pod] <= now, self._deadlines))
        for pod in late:
            del self._deadlines[pod]
        return [(pod, self._waits(self._ascents[pod])) for pod in late]

    def _waits(self, ascent: _Ascent) -> str:
        waiting = [way.claim.key for way in ascent.ways.values() if not self._stands(way)[0]]
        return f"PersistentVolumeClaim {', '.join(waiting)} got no volume within {self.timeout_s:g} seconds"

    def forget(self, pod: Uid) -> None:
        """The pod is bound, or nothing of its placement was told to anybody."""
        ascent = self._pop(pod)
        for way in ascent.ways.values() if ascent is not None else ():
            self._leave(way)
            if way.volume is not None:
                self._state.volumes.give_back(way.volume.name)

    def give_up(self, pod: Uid, now: float) -> list[Instruction]:
        """Take back what was written for a pod."""
        ascent = self._pop(pod)
        if ascent is None:
            return []
        out: list[Instruction] = []
        for way in ascent.ways.values():
            self._leave(way)
            known = self._state.volumes.claims.current.get(way.claim.key)
            waits = known is not None and known.uid == way.claim.uid and not known.bound
            if way.touched and (waits or self._is_unreadable(way.claim)):
                out.append(self._release(ascent.pod, way, now))
            elif way.volume is not None:
                self._state.volumes.give_back(way.volume.name)
        return out

    def _pop(self, pod: Uid) -> _Ascent | None:
        self._deadlines.pop(pod, None)
        return self._ascents.pop(pod, None)

    def unpin(self, pod: PodRef, claims: Iterable[PersistentVolumeClaim], now: float) -> list[Instruction]:
        """A node was chosen for claims, by who is gone, and the pod cannot run there: any node may do again."""
        waiting = [each for each in claims if each.selected_node and each.uid not in self._releases]
        return [self._release(pod, Way(each, None, each.selected_node or "", written=""), now) for each in waiting]

    def _release(self, pod: PodRef, way: Way, now: float) -> Instruction:
        claim = self._state.volumes.claims.current.get(way.claim.key, way.claim)
        self._releases.pop(claim.uid, None)
        self._releases[claim.uid] = (now + RELEASE_S, way)
        self._state.volumes.releasing.add(claim.uid)
        if way.volume is None:
            return UnselectNode(pod, _claim_ref(claim), way.node)
        return UnbindVolume(pod, _claim_ref(claim), _volume_ref(way.volume), way.named)

    def _leave(self, way: Way) -> None:
        self._state.volumes.chosen.pop(way.claim.uid, None)
        self._by_claim.pop(way.claim.key, None)
        if way.volume is not None:
            self._by_volume.pop(way.volume.name, None)

    def settle(self, now: float) -> list[str]:
        """End the releases that are seen, or not waited for any longer; keys of their claims."""
        ended = [uid for uid, (until, way) in self._releases.items() if until <= now or self._is_released(way)]
        keys = []
        for uid in ended:
            _, way = self._releases.pop(uid)
            self._state.volumes.releasing.discard(uid)
            if way.volume is not None:
                self._state.volumes.give_back(way.volume.name)
            keys.append(way.claim.key)
        return keys

    def _is_released(self, way: Way) -> bool:
        volumes = self._state.volumes
        claim = volumes.claims.current.get(way.claim.key)
        if claim is None and way.volume is not None and self._is_unreadable(way.claim):
            claim = way.claim  # the volume can be read still
        if claim is None or claim.uid != way.claim.uid or claim.bound:
            return True
        if way.volume is None:
            return claim.selected_node != way.node and not later(way.written or "", claim.resource_version)
        volume = volumes.volumes.current.get(way.volume.name)
        if volume is None or volume.uid != way.volume.uid:
            return True
        free = volume.holder is None or volume.holder.uid != claim.uid
        return free and not later(way.written or "", volume.resource_version)

    def _way(self, pod: Uid, claim: Uid) -> Way | None:
        ascent = self._ascents.get(pod)
        return ascent.ways.get(claim) if ascent is not None else None


def later(version: str, other: str) -> bool:
    """Whether one resourceVersion of an object is later than another; they are decimal numbers (KEP-5504)."""
    return version.isdecimal() and other.isdecimal() and int(version) > int(other)


def _claim_ref(claim: PersistentVolumeClaim) -> StorageRef:
    return StorageRef(claim.namespace, claim.name, claim.uid, claim.resource_version)


def _volume_ref(volume: PersistentVolume) -> StorageRef:
    return StorageRef("", volume.name, volume.uid, volume.resource_version)
