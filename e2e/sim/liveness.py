"""What must be true once faults have stopped and some minutes have passed: I14 and I19 to I24."""

from e2e.sim.causes import untrue
from e2e.sim.hardware import EXTENDED
from e2e.sim.invariants import SCHEDULER, Judge
from e2e.sim.oracle import OWNED, admits, amount, claim_names, extended_of, requests_of, reserved, selected
from e2e.sim.plain import apart, collide, even
from e2e.sim.replica import Replica, kept, known
from e2e.sim.store import Item, Raw, Store, done
from e2e.sim.volumes import complete, serve, volume_claims
from e2e.sim.world import BrokenError

_EXTENDED_SPEC = {"deviceClassName": "extended", "allocationMode": "ExactCount"}


def check(store: Store, judge: Judge, replicas: list[Replica], *, groups: bool = False) -> None:
    """groups : whether pods of PodGroups are placed, those of gangs apart. Raises BrokenError."""
    if not any(each.deciding for each in replicas):
        raise BrokenError("I24", "nobody decides")
    pods = list(store.objects["Pod"].values())
    waiting = [each for each in pods if _waits(each)]
    for pod in waiting:
        reason = _reason(pod)
        if not reason:
            raise BrokenError("I19", f"pod {pod.key} waits and nobody says why", pod.key)
        node = "" if _refused(store, pod, groups=groups) else feasible(store, judge, pod)
        if node:
            raise BrokenError("I20", f"pod {pod.key} fits on {node}, and is told: {reason}", pod.key)
        _true(store, pod, reason)
        problem = untrue(store, judge, pod, reason)
        if problem:
            raise BrokenError("I20", f"pod {pod.key} is told: {reason}, and {problem}", pod.key)
    gangs(store, pods)
    _leaks(store, pods)
    for replica in replicas:
        _memory(store, replica)


def _waits(pod: Item) -> bool:
    return (
        pod.spec.get("schedulerName") == SCHEDULER and not pod.spec.get("nodeName") and not done(pod.raw)
        and not pod.deleting and not pod.spec.get("schedulingGates")
    )  # fmt: skip


def _group(store: Store, pod: Item) -> Item | None:
    name = (pod.spec.get("schedulingGroup") or {}).get("podGroupName")
    return store.find("PodGroup", f"{pod.raw['metadata']['namespace']}/{name}") if name else None


def _refused(store: Store, pod: Item, *, groups: bool) -> bool:
    """Whether a pod is of a group whose pods are not placed."""
    group = _group(store, pod)
    return group is not None and (not groups or "gang" in group.spec["schedulingPolicy"])


def _reason(pod: Item) -> str:
    return next(
        (
            each.get("message", "") for each in pod.status.get("conditions") or ()
            if each["type"] == "PodScheduled" and each["status"] == "False"
        ),
        "",
    )  # fmt: skip


def feasible(store: Store, judge: Judge, pod: Item) -> str:
    """I20: a node where a pod fits, as far as brute force finds one."""
    claims, namespace = [], pod.raw["metadata"]["namespace"]
    for name in claim_names(pod.raw):
        claim = store.find("ResourceClaim", f"{namespace}/{name}") if name else None
        if claim is None or claim.deleting or not _for(pod, claim):
            return ""
        claims.append(claim)
    specs: list[Raw] = [each.spec for each in claims if not each.status.get("allocation")]
    for resource, count in extended_of(pod.raw).items():
        if resource != EXTENDED:
            return ""
        specs.append({"devices": {"requests": [{"name": "x", "exactly": {**_EXTENDED_SPEC, "count": count}}]}})
    if any("somethingNew" in each for spec in specs for each in spec["devices"]["requests"]):
        return ""
    selectors = [each.status["allocation"].get("nodeSelector") for each in claims if each.status.get("allocation")]
    hardware = judge.hardware()
    for claim in claims:
        if claim.status.get("allocation") and _clashes(judge, claim):
            return ""
    for node in store.objects["Node"].values():
        if (node.raw["metadata"].get("labels") or {}).get(OWNED) != "true" or not admits(node.raw, pod.raw):
            continue
        if not all(selected(each, node.raw) for each in selectors) or not _room(store, node, pod):
            continue
        if not _beside(store, node, pod):
            continue
        if hardware.place(specs, node.raw, judge.holders) is not None:
            return node.key
    return ""


def _beside(store: Store, node: Item, pod: Item) -> bool:
    """Whether a pod may stand on a node by its volumes, its ports, and its distance from others."""
    stood = [
        (each.raw, on.raw) for each in store.objects["Pod"].values()
        if each.uid != pod.uid and not done(each.raw)
        and (on := store.find("Node", each.spec.get("nodeName") or "")) is not None
    ]  # fmt: skip
    here = node.raw["metadata"]["name"]
    if any(on["metadata"]["name"] == here and collide(pod.raw, each) for each, on in stood):
        return False
    nodes = [each.raw for each in store.objects["Node"].values()]
    if not all(apart(pod.raw, node.raw, each, on) for each, on in stood) or not even(pod.raw, node.raw, stood, nodes):
        return False
    return serve(store, pod, node.raw)


def _for(pod: Item, claim: Item) -> bool:
    """Whether a pod may use a claim: one that it names, or one that was made for it."""
    named = any(
        each.get("resourceClaimName") == claim.raw["metadata"]["name"] for each in pod.spec.get("resourceClaims") or ()
    )
    return named or any(each["uid"] == pod.uid for each in claim.raw["metadata"].get("ownerReferences") or ())


def _clashes(judge: Judge, claim: Item) -> bool:
    return any(claim.uid in pair for pair in judge.clashes)


def _room(store: Store, node: Item, pod: Item) -> bool:
    used = requests_of(pod.raw)
    for other in store.objects["Pod"].values():
        if other.spec.get("nodeName") == node.key and not done(other.raw):
            for name, value in requests_of(other.raw).items():
                used[name] += value
    return all(value <= amount(node.status["allocatable"][name]) for name, value in used.items())


def _true(store: Store, pod: Item, reason: str) -> None:
    """I20: what a reason says is missing is missing."""
    if "does not exist" in reason or "is not there" in reason:
        namespace = pod.raw["metadata"]["namespace"]
        missing = [
            name for name in claim_names(pod.raw) if not name or not store.find("ResourceClaim", f"{namespace}/{name}")
        ]
        templates = [
            each["resourceClaimTemplateName"] for each in pod.spec.get("resourceClaims") or ()
            if "resourceClaimTemplateName" in each
            and not store.find("ResourceClaimTemplate", f"{namespace}/{each['resourceClaimTemplateName']}")
        ]  # fmt: skip
        classes = [each for each in ("late",) if store.find("DeviceClass", each) is None and each in reason]
        stored = [key for key in volume_claims(pod.raw) if store.find("PersistentVolumeClaim", key) is None]
        stored += [
            key for key in volume_claims(pod.raw) if (found := store.find("PersistentVolumeClaim", key)) is not None
            and store.find("PersistentVolume", found.spec.get("volumeName", "")) is None and complete(found.raw)
        ]  # fmt: skip
        if not missing and not templates and not classes and not stored:
            raise BrokenError("I20", f"pod {pod.key} is told: {reason}, and nothing is missing", pod.key)


def gangs(store: Store, pods: list[Item]) -> None:
    """I14: of the pods of a gang that are there enough have a node, or none; those that wait hold nothing (I21)."""
    for group in store.objects["PodGroup"].values():
        gang, team = group.spec["schedulingPolicy"].get("gang"), [each for each in pods if _group(store, each) is group]
        placed = [each for each in team if each.spec.get("nodeName")]
        if gang and placed and len(placed) < min(gang["minCount"], len(team)):
            text = f"{len(placed)} of {len(team)} pods of gang {group.key} run, and it takes {gang['minCount']}"
            raise BrokenError("I14", text, group.key, *(each.key for each in team))


def _leaks(store: Store, pods: list[Item]) -> None:
    by_uid = {each.uid: each for each in pods}
    for claim in store.objects["ResourceClaim"].values():
        consumers = reserved(claim.raw)
        if claim.status.get("allocation") and not consumers:
            raise BrokenError("I21", f"claim {claim.key} is allocated for nobody", claim.key)
        for uid in consumers:
            pod = by_uid.get(uid)
            if pod is None or done(pod.raw):
                raise BrokenError("I21", f"claim {claim.key} is reserved for {uid}, which is gone", claim.key)
            if not pod.spec.get("nodeName"):
                raise BrokenError(
                    "I21", f"claim {claim.key} is reserved for {pod.key}, which waits", claim.key, pod.key
                )


def _memory(store: Store, replica: Replica) -> None:
    """I22: what a process has in memory is what a list says."""
    life = replica.running
    if life is None or life.process is None or life.process.engine is None:
        return
    engine = life.process.engine
    for kind, remembered in known(life.process).items():
        theirs = {
            each.uid: str(each.version) for each in store.objects[kind].values()
            if (kind != "Pod" or not done(each.raw)) and not _unreadable(each)
        }  # fmt: skip
        unread = _unread(store)
        mine = {uid: version for uid, version in remembered.items() if uid not in unread}
        if mine != theirs:
            differing = sorted({*mine.items()} ^ {*theirs.items()})[:5]
            raise BrokenError("I22", f"{life.identity} remembers other {kind}s than there are: {differing}")
    allocations, places = engine.assumptions()
    volumes = kept(life.process)
    if volumes:
        raise BrokenError("I22", f"{life.identity} still keeps volumes or claims: {volumes}")
    if engine.in_flight or allocations or places:
        raise BrokenError("I22", f"{life.identity} still assumes {[*allocations][:3]} {[*places][:3]}")


def _unreadable(item: Item) -> bool:
    return item.kind == "ResourceClaim" and any("somethingNew" in each for each in item.spec["devices"]["requests"])


def _unread(store: Store) -> set[str]:
    return {each.uid for each in store.objects["ResourceClaim"].values() if _unreadable(each)}
