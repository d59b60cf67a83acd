"""The judge of what is plain: volumes, ports, anti-affinity and spread. As invariants.py, it shares nothing with us.

| invariant | what holds | where it is checked |
|-----------|------------|---------------------|
| I25 | every volume claim of a pod that we bind has its volume, which the node reaches | `_mounted`, at the binding |
| I26 | of a volume we write only whose it is: a free one, or one that is kept for that claim's name, goes to a claim
  that it suits and that waits; no claim has two of us; what we take back was ours and is not bound | `_kept` |
| I27 | of a claim we write only for which node its volume is to be made: one of ours, where nobody chose another one,
  of a class that waits for that, while it has no volume | `_chosen` |
| I28 | at rest no volume is kept, or node chosen, by a process that lives for a claim that no pod waits for,
  unless the server refused for good to have it taken back | `left` |
| I29 | no two pods on a node take the same port of the host | `_around`, at the binding |
| I30 | required anti-affinity, of a pod and of those that are there, and spread hold | `_around`, at the binding |
| I31 | a ReadWriteOncePod claim is used by one pod on a node | `_mounted`, at the binding |

What we may be blamed for: for I25 to I27 it is enough that there was such a claim, volume, class and node, each at any
one time, in the last VIEW_S seconds. For I29 to I31 all pods count that are there when the binding is taken in, since
one that we bound we know: but not those that somebody else bound in the last VIEW_S seconds, and for I30 and I31 not
those whose node was gone in that time. Spread hangs on pods that left as well: there has to be one moment in that time
at which it held, with the nodes of any one moment. Pods of ours that were bound later than that, or wait and may be
decided, are taken to stand wherever that helps; those that need neither claim nor volume are decided when their binding
is sent, and know where the same process had sent others before.
"""

from collections.abc import Iterable
from typing import Any

from e2e.sim.invariants import SCHEDULER, VIEW_S, History, Judge
from e2e.sim.oracle import OWNED, claim_names
from e2e.sim.plain import apart, collide, even, ports, spread
from e2e.sim.server import Peer
from e2e.sim.store import Change, Item, Raw, Store, done
from e2e.sim.volumes import (
    BY_CONTROLLER,
    DELAYED,
    NO_PROVISIONER,
    ONE_POD,
    SELECTED_NODE,
    annotations,
    complete,
    holder,
    made_for,
    reaches,
    suits,
    users,
    volume_claims,
)
from e2e.sim.world import World

CLAIM, VOLUME = "PersistentVolumeClaim", "PersistentVolume"
_KINDS = (CLAIM, VOLUME, "StorageClass")


class _Stand:
    """A pod on a node, from its binding until it is going or gone."""

    __slots__ = ("node", "raw", "since", "uid", "until")

    def __init__(self, raw: Raw, node: Raw, since: float) -> None:
        self.raw, self.node, self.since, self.until = raw, node, since, float("inf")
        self.uid: str = raw["metadata"]["uid"]


class PlainJudge:
    """Raises BrokenError by way of `judge`, whose views of nodes it shares."""

    def __init__(self, world: World, store: Store, judge: Judge) -> None:
        self.world, self.store, self.judge = world, store, judge
        self._views: dict[tuple[str, str], History] = {}
        self._before: dict[str, tuple[str, str]] = {}  # uid of a volume that we keep -> whose it was
        self._writers: dict[str, str] = {}  # uid of a claim -> who of us kept a volume or chose a node for it
        self._stands: dict[str, _Stand] = {}
        self._sent: dict[str, tuple[str, int]] = {}  # pods whose binding was sent: by whom first, and a serial number
        self._serial = 0
        store.listeners.append(self._changed)

    def sent(self, peer: Peer, method: str, where: str, given: Any) -> None:
        """A request of ours leaves."""
        if where.endswith("/binding"):
            self._serial += 1
            self._sent.setdefault(given["metadata"]["uid"], (peer.identity, self._serial))

    def refused(self, peer: Peer, method: str, where: str, given: Any, code: int) -> None:
        """A write of ours was refused; what it may not take back (403, 422) it leaves, and logs that."""
        name = where.rpartition("/")[2]
        if code not in {403, 422} or method != "PATCH":
            return
        if "/persistentvolumes/" in where and (volume := self.store.find(VOLUME, name)) is not None:
            self._writers.pop(holder(volume.raw)[1], None)
        elif "/persistentvolumeclaims/" in where:
            claim = self.store.find(CLAIM, f"{where.split('/')[-3]}/{name}")
            self._writers.pop(claim.uid if claim is not None else "", None)

    def _changed(self, change: Change) -> None:
        item, ours = change.item, self.judge.ours(change.who)
        if item.kind in _KINDS:
            view = self._views.get((item.kind, item.key))
            if view is None:
                view = self._views[item.kind, item.key] = History(lambda: self.world.now, None)
            view.put(change.new.raw if change.new else None)
            if ours and item.kind == VOLUME:
                self._kept(change)
            elif ours and item.kind == CLAIM:
                self._chosen(change)
        elif item.kind == "Pod":
            self._pod_changed(change, ours)

    def _lately(self, kind: str, key: str) -> list[Raw]:
        view = self._views.get((kind, key))
        return [each for each in view.lately() if each is not None] if view is not None else []

    # ------------------------------------------------------------ what we write

    def _kept(self, change: Change) -> None:
        """I26."""
        key, old, new = change.item.key, change.old, change.new
        if old is None or new is None:
            self.judge.fail("I26", f"PersistentVolume {key} was made or deleted by {change.who}", key)
            return
        if _beside(old.raw, BY_CONTROLLER, "claimRef") != _beside(new.raw, BY_CONTROLLER, "claimRef"):
            self.judge.fail("I26", f"PersistentVolume {key}: more than its claimRef was changed", key)
        was, is_ = holder(old.raw), holder(new.raw)
        if is_[1] and is_ != was:
            self._given(change, was, is_)
        elif was[1] and is_ != was:
            self.world.bite("V10")
            before = self._before.pop(old.uid, None)
            self._writers.pop(was[1], None)
            if before is None:
                self.judge.fail("I26", f"PersistentVolume {key} was taken from {was[0]}, and not by us given", key)
            elif before != is_:
                self.judge.fail("I26", f"PersistentVolume {key} is left to {is_} and was for {before} before us", key)
            if old.status.get("phase") not in {None, "", "Pending", "Available"}:
                self.judge.fail("I26", f"PersistentVolume {key} was taken back while {old.status['phase']}", key)

    def _given(self, change: Change, was: tuple[str, str], is_: tuple[str, str]) -> None:
        key, new = change.item.key, change.item
        if was not in {("", ""), (is_[0], "")}:
            self.judge.fail("I26", f"PersistentVolume {key} of {was} was given to {is_}", key)
        claims = [each for each in self._lately(CLAIM, is_[0]) if each["metadata"]["uid"] == is_[1]]
        if not any(suits(each, new.raw) and not complete(each) for each in claims):
            self.judge.fail("I26", f"PersistentVolume {key} does not suit {is_[0]}, or that does not wait", key, is_[0])
        for other in self.store.objects[VOLUME].values():
            given = other.uid in self._before and other.uid != new.uid and holder(other.raw)[1] == is_[1]
            if given and not other.deleting:  # the volume controller binds nothing to one that is on its way out
                self.judge.fail("I26", f"{is_[0]} is given {other.key} and {key}", key, other.key, is_[0])
        self._before[new.uid] = was
        self._writers[is_[1]] = change.who

    def _chosen(self, change: Change) -> None:
        """I27."""
        key, old, new = change.item.key, change.old, change.new
        if old is None or new is None:
            self.judge.fail("I27", f"PersistentVolumeClaim {key} was made or deleted by {change.who}", key)
            return
        if _beside(old.raw, SELECTED_NODE) != _beside(new.raw, SELECTED_NODE):
            self.judge.fail("I27", f"PersistentVolumeClaim {key}: more than its node was changed", key)
        was, is_ = annotations(old.raw).get(SELECTED_NODE), annotations(new.raw).get(SELECTED_NODE)
        if complete(old.raw):
            self.judge.fail("I27", f"PersistentVolumeClaim {key} has its volume, and its node was changed", key)
        if is_ is None:
            self.world.bite("V13")
            self._writers.pop(new.uid, None)
            return
        self._writers[new.uid] = change.who
        if was is not None:
            self.judge.fail("I27", f"PersistentVolumeClaim {key} is to be on {was}, and was given to {is_}", key)
        classes = self._lately("StorageClass", new.spec["storageClassName"])
        if not any(each["volumeBindingMode"] == DELAYED and each["provisioner"] != NO_PROVISIONER for each in classes):
            self.judge.fail("I27", f"PersistentVolumeClaim {key} is of a class that waits for no node", key)
        if not any((each["metadata"].get("labels") or {}).get(OWNED) == "true" for each in self._nodes_lately(is_)):
            self.judge.fail("I27", f"PersistentVolumeClaim {key} is to be on {is_}, which is not ours", key, is_)

    def left(self, alive: Iterable[str]) -> None:
        """I28. alive : the processes that live and decide."""
        alive = set(alive)
        for claim in self.store.objects[CLAIM].values():
            chosen = annotations(claim.raw).get(SELECTED_NODE)
            kept = [each.key for each in self.store.objects[VOLUME].values() if holder(each.raw)[1] == claim.uid]
            if complete(claim.raw) or self._writers.get(claim.uid) not in alive or users(self.store, claim.key):
                continue
            if chosen or kept:
                text = f"PersistentVolumeClaim {claim.key} is to have {chosen or kept[0]}, and no pod waits for it"
                self.judge.fail("I28", text, claim.key)

    # ------------------------------------------------------------ pods

    def _pod_changed(self, change: Change, ours: bool) -> None:
        new, old = change.new, change.old
        uid = change.item.uid
        if new is None or done(new.raw) or new.deleting:
            stand = self._stands.get(uid)
            if stand is not None:
                stand.until = min(stand.until, self.world.now)
            self._sent.pop(uid, None)
            return
        if (old is not None and old.spec.get("nodeName")) or not new.spec.get("nodeName"):
            return
        nodes = self._nodes_lately(new.spec["nodeName"])
        if not nodes:
            return
        if ours:
            self._mounted(new, nodes)
            self._around(new, nodes[0])
        self._stands[uid] = _Stand(new.raw, nodes[0], self.world.now)
        for gone in [uid for uid, each in self._stands.items() if each.until < self.world.now - VIEW_S]:
            del self._stands[gone]

    def _nodes_lately(self, name: str) -> list[Raw]:
        history = self.judge.nodes.get(name)
        return [each for each in history.lately() if each is not None] if history is not None else []

    def _was_gone(self, name: str) -> bool:
        return any(each is None for each in self.judge.nodes[name].lately())

    def _standing(self, pod: Item) -> list[Item]:
        """Others on nodes that we must know of."""
        found = []
        for other in self.store.objects["Pod"].values():
            if other.uid == pod.uid or not other.spec.get("nodeName") or done(other.raw):
                continue
            who, when, _ = self.judge.bound.get(other.uid, ("", 0.0, ""))
            if self.judge.ours(who) or when <= self.world.now - VIEW_S:
                found.append(other)
        return found

    def _mounted(self, pod: Item, nodes: list[Raw]) -> None:
        """I25, I31."""
        keys = volume_claims(pod.raw)
        for key in keys:
            problem = f"claim {key} is not there"
            for claim in self._lately(CLAIM, key):
                problem = self._unmounted(pod, key, claim, nodes)
                if not problem:
                    break
            if problem:
                self.judge.fail("I25", f"pod {pod.key} is bound to {pod.spec['nodeName']}, and {problem}", pod.key, key)
            found = self.store.find(CLAIM, key)
            if found is not None and ONE_POD in found.spec["accessModes"] and key not in made_for(pod.raw):
                self.world.bite("V14")
                for other in self._standing(pod):
                    if key in volume_claims(other.raw) and not self._was_gone(other.spec["nodeName"]):
                        self.judge.fail("I31", f"pods {other.key} and {pod.key} both use {key}", key, pod.key)
            volume = self.store.find(VOLUME, found.spec.get("volumeName", "")) if found is not None else None
            if volume is not None and volume.uid in self._before:
                self.world.bite("V4")
            elif found is not None and found.uid in self._writers and SELECTED_NODE in annotations(found.raw):
                self.world.bite("V5")
        if made_for(pod.raw):
            self.world.bite("V15")
        if keys and claim_names(pod.raw):
            self.world.bite("V16")

    def _unmounted(self, pod: Item, key: str, claim: Raw, nodes: list[Raw]) -> str:
        if key in made_for(pod.raw) and all(
            each["uid"] != pod.uid for each in claim["metadata"].get("ownerReferences") or ()
        ):
            return f"claim {key} is another pod's"
        if not complete(claim):
            return f"claim {key} has no volume"
        volumes = self._lately(VOLUME, claim["spec"]["volumeName"])
        if not any(holder(each)[1] == claim["metadata"]["uid"] for each in volumes):
            return f"volume {claim['spec']['volumeName']} is not that of claim {key}"
        if not any(reaches(each, node) for each in volumes for node in nodes):
            return f"does not reach volume {claim['spec']['volumeName']} of claim {key}"
        return ""

    def _around(self, pod: Item, node: Raw) -> None:
        """I29, I30."""
        if ports(pod.raw):
            self.world.bite("V17")
        standing = self._standing(pod)
        for other in standing:
            on = other.spec["nodeName"]
            if on == pod.spec["nodeName"] and collide(pod.raw, other.raw):
                self.judge.fail("I29", f"pods {other.key} and {pod.key} take a port of {on}", pod.key, other.key)
            there = self._nodes_lately(on)
            if there and not self._was_gone(on) and not apart(pod.raw, node, other.raw, there[0]):
                self.judge.fail("I30", f"pods {other.key} on {on} and {pod.key} are to be apart", pod.key, other.key)
        if "affinity" in pod.spec:
            self.world.bite("V18")
        if spread(pod.raw):
            self.world.bite("V19")
            if not self._evenly(pod, node):
                self.judge.fail("I30", f"pod {pod.key} on {pod.spec['nodeName']} is never spread evenly", pod.key)

    def _evenly(self, pod: Item, node: Raw) -> bool:
        now, histories, stands = self.world.now, list(self.judge.nodes.values()), list(self._stands.values())
        ends = {time for each in stands for time in (each.since, each.until) if now - VIEW_S < time < now}
        changes = {time for each in histories for time in each.changes}
        rosters = [
            [found for each in histories if (found := each.at(moment)) is not None]
            for moment in sorted({now - VIEW_S, now} | changes)
        ]  # fmt: skip
        others = [each for each in self.store.objects["Pod"].values() if each.uid != pod.uid]
        undecided = [each.raw for each in others if self._may_be_decided(each)]
        known = self._known_by(pod)
        for time in sorted({now - VIEW_S, now} | ends, reverse=True):
            there = [each for each in stands if time < each.until and (each.since <= time or each.uid in known)]
            later = [
                each.raw for each in stands
                if time < each.since and each.uid not in known and each.raw["spec"]["schedulerName"] == SCHEDULER
            ]  # fmt: skip
            found = [(each.raw, each.node) for each in there]
            if any(even(pod.raw, node, found, roster, [*undecided, *later]) for roster in rosters):
                return True
        return False

    def _known_by(self, pod: Item) -> set[str]:
        """Pods whose bindings were sent before that of a pod was decided, by the same process."""
        if pod.uid not in self._sent or _is_slow(pod):
            return set()
        who, number = self._sent[pod.uid]
        return {uid for uid, (other, before) in self._sent.items() if other == who and before < number}

    def _may_be_decided(self, pod: Item) -> bool:
        if pod.spec.get("schedulerName") != SCHEDULER or pod.spec.get("nodeName") or done(pod.raw):
            return False
        return _is_slow(pod) or pod.uid in self._sent


def _is_slow(pod: Item) -> bool:
    """Whether something is written for a pod between its decision and its binding."""
    return any(pod.spec.get(name) for name in ("resourceClaims", "volumes"))


def _beside(raw: Raw, annotation: str, field: str = "") -> Raw:
    """An object without one of its annotations and one field of its spec."""
    ours = {"annotations", "resourceVersion"}
    metadata = {name: value for name, value in raw["metadata"].items() if name not in ours}
    kept = {name: value for name, value in annotations(raw).items() if name != annotation}
    return {**raw, "metadata": {**metadata, "annotations": kept}, "spec": {**raw["spec"], field: None}}
