"""What really happened, told from the recorded watch history alone. Shares no code with the scheduler."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from e2e.api import History, Raw, version

Device = tuple[str, str, str]
NUMA = "resource.kubernetes.io/numaNode"
BUS = "resource.kubernetes.io/pciBusID"


@dataclass
class Placed:
    """A pod on a node, with the devices of its claims."""

    pod: str
    node: str
    bound_at: int  # resourceVersion
    devices: list[Device] = field(default_factory=list)


@dataclass
class Verdict:
    """`faults` is what must never be."""

    placed: dict[str, Placed]
    faults: list[str]


def devices_of(claim: Raw) -> list[Device]:
    """What a claim is allocated."""
    allocation = (claim.get("status") or {}).get("allocation") or {}
    return [(each["driver"], each["pool"], each["device"]) for each in allocation.get("devices", {}).get("results", [])]


def taken(claim: Raw) -> list[tuple[str, str]]:
    """Which device each request of a claim got, requests as results name them."""
    allocation = (claim.get("status") or {}).get("allocation") or {}
    return [(each["request"], each["device"]) for each in allocation.get("devices", {}).get("results", [])]


def reserved(claim: Raw) -> list[str]:
    """UIDs of those that a claim is reserved for."""
    return [each["uid"] for each in (claim.get("status") or {}).get("reservedFor", [])]


def node_of(claim: Raw) -> str:
    """The one node that an allocation can be used on, empty when it is not one."""
    terms = claim["status"]["allocation"].get("nodeSelector", {}).get("nodeSelectorTerms", [])
    found = {
        value for term in terms for each in term.get("matchFields", []) if each["key"] == "metadata.name"
        for value in each["values"]
    }  # fmt: skip
    return found.pop() if len(found) == 1 else ""


def judge(history: History) -> Verdict:
    """Every pod that got onto a node while the history was recorded."""
    faults = list(history.failures)
    pods: dict[str, Raw] = {}
    placed: dict[str, Placed] = {}
    claims: dict[str, list[Raw]] = {}
    gone: dict[str, int] = {}
    for kind, event, item in list(history.seen):
        uid = item["metadata"]["uid"]
        if kind == "ResourceClaim":
            if event == "DELETED":
                gone[uid] = version(item)
            claims.setdefault(uid, []).append(item)
        elif kind == "Pod" and event != "DELETED":
            pods[uid] = item
            node = item["spec"].get("nodeName")
            if node and uid not in placed:
                placed[uid] = Placed(item["metadata"]["name"], node, version(item))
    by_name = {states[-1]["metadata"]["name"]: states for states in claims.values()}
    for uid, place in placed.items():
        for name in claim_names(pods[uid]):
            states = by_name.get(name)
            if not states:
                faults.append(f"pod {place.pod}: its claim {name} was never seen")
                continue
            ready = [item for item in states if devices_of(item) and uid in reserved(item)]
            if not ready or version(ready[0]) >= place.bound_at:
                faults.append(f"pod {place.pod}: bound at {place.bound_at} before claim {name} was allocated for it")
                continue
            place.devices += devices_of(ready[0])
            if node_of(ready[0]) not in {"", place.node}:
                faults.append(f"pod {place.pod}: is on {place.node}, its claim is for {node_of(ready[0])}")
    faults += _double(claims, gone)
    return Verdict({place.pod: place for place in placed.values()}, faults)


def claim_names(pod: Raw) -> list[str]:
    """The claims that a pod uses, those made from templates and the one for extended resources included."""
    status = pod.get("status", {})
    made = {each["name"]: each.get("resourceClaimName") for each in status.get("resourceClaimStatuses", [])}
    names = [each.get("resourceClaimName") or made.get(each["name"]) for each in pod["spec"].get("resourceClaims", [])]
    names.append(status.get("extendedResourceClaimStatus", {}).get("resourceClaimName"))
    return [name for name in names if name]


def _double(claims: Mapping[str, Iterable[Raw]], gone: Mapping[str, int]) -> list[str]:
    """Devices that two claims held at one time."""
    changes: list[tuple[int, str, set[Device]]] = []
    for uid, states in claims.items():
        for item in states:
            changes.append((version(item), uid, set() if gone.get(uid) == version(item) else set(devices_of(item))))
    holders: dict[str, set[Device]] = {}
    faults = []
    for at, uid, devices in sorted(changes, key=lambda change: change[0]):
        holders[uid] = devices
        for other, held in holders.items():
            if other != uid and held & devices:
                faults.append(f"at {at}: {sorted(held & devices)} in two claims")
    return faults


# ---------------------------------------------------------------- quality of placements


@dataclass(frozen=True)
class Figures:
    """How good placements are, in what a user would count."""

    pods: int
    pairs: int  # pods with two devices, on any box
    bridged_pairs: int  # those on a box with bridges
    on_a_bridge: int  # and of them, those on two devices that a bridge joins
    fours: int
    fours_in_one_numa: int

    def __str__(self) -> str:
        return (
            f"2-GPU pods on bridged boxes: {self.on_a_bridge} of {self.bridged_pairs} on a bridged pair; "
            f"4-GPU pods: {self.fours_in_one_numa} of {self.fours} in one NUMA node; {self.pods} pods placed"
        )


def figures(placed: Iterable[Placed], world: Iterable[Raw]) -> Figures:
    """From the published nodes and slices, and where the pods are."""
    bridges: dict[str, set[frozenset[str]]] = {}
    numa: dict[Device, int] = {}
    bus: dict[Device, str] = {}
    for item in world:
        if item["kind"] == "Node":
            text = item["metadata"].get("annotations", {}).get("dovetail.scheduler/links")
            if text:
                bridges[item["metadata"]["name"]] = {frozenset(pair[:2]) for pair in json.loads(text)["pairs"]}
        elif item["kind"] == "ResourceSlice":
            for device in item["spec"]["devices"]:
                key = (item["spec"]["driver"], item["spec"]["pool"]["name"], device["name"])
                numa[key] = device["attributes"][NUMA]["int"]
                bus[key] = device["attributes"][BUS]["string"]
    count: Counter[str] = Counter()
    for place in placed:
        count["pods"] += 1
        if len(place.devices) == 2:
            count["pairs"] += 1
            if place.node in bridges:
                count["bridged_pairs"] += 1
                count["on_a_bridge"] += frozenset(bus[each] for each in place.devices) in bridges[place.node]
        if len(place.devices) == 4:
            count["fours"] += 1
            count["fours_in_one_numa"] += len({numa[each] for each in place.devices}) == 1
    return Figures(*(count[name] for name in Figures.__dataclass_fields__))
