"""What fits where, by trying everything: devices, classes, counters, capacity, taints and nodes from plain JSON.

Small on purpose, and of clusters that e2e.sim.hardware makes: the selectors are those of its table. Where the API
leaves room it is strict: what it calls feasible surely is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from e2e.sim.store import Raw

Device = tuple[str, str, str]  # driver, pool, name
OWNED = "dovetail.scheduler/owned"
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9}


def amount(text: str) -> int:
    """A quantity in thousandths."""
    for unit, size in _UNITS.items():
        if text.endswith(unit):
            return int(text.removesuffix(unit)) * size * 1000
    return int(text[:-1]) if text.endswith("m") else int(text) * 1000


@dataclass(frozen=True, slots=True)
class Hold:
    """What a claim has of a device."""

    claim: str  # uid
    share: str
    consumed: Mapping[str, int]
    admin: bool

    @property
    def counts(self) -> bool:
        """Administrators take nothing, but for the time in which a pod's claims are placed (as kube-scheduler)."""
        return not self.admin or self.claim.startswith(_FRESH)


_FRESH = "new"  # a claim that is being placed
Holders = Mapping[Device, Iterable[Hold]]


@dataclass
class Published:
    """One device as its newest generation says. where : a predicate on nodes."""

    id: Device
    attributes: Mapping[str, Any]
    shared: bool
    capacity: Mapping[str, int]
    policy: Mapping[str, Raw]
    consumes: list[tuple[str, str, int]]  # counter set, counter, amount
    taints: list[Raw]
    where: Callable[[Raw], bool]
    conditions: tuple[str, ...] = ()


@dataclass
class Pool:
    complete: bool
    generation: int
    devices: dict[str, Published] = field(default_factory=dict)
    counters: dict[tuple[str, str], int] = field(default_factory=dict)


def matches(term: Raw, node: Raw) -> bool:
    labels, name = node["metadata"].get("labels") or {}, node["metadata"]["name"]
    for each in term.get("matchExpressions") or ():
        if each["operator"] != "In" or labels.get(each["key"]) not in each["values"]:
            return False
    return all(name in each["values"] for each in term.get("matchFields") or ())


def selected(selector: Raw | None, node: Raw) -> bool:
    return selector is None or any(matches(term, node) for term in selector["nodeSelectorTerms"])


def _where(spec: Raw) -> Callable[[Raw], bool]:
    if "nodeName" in spec:
        return lambda node: node["metadata"]["name"] == spec["nodeName"]
    if spec.get("allNodes"):
        return lambda node: True
    return lambda node: selected(spec["nodeSelector"], node)


def pool_of(slices: Iterable[Raw]) -> Pool:
    """The newest generation of a pool; it is complete with as many slices as each of them says."""
    slices = list(slices)
    newest = max(each["spec"]["pool"]["generation"] for each in slices)
    of = [each["spec"] for each in slices if each["spec"]["pool"]["generation"] == newest]
    pool = Pool(all(each["pool"]["resourceSliceCount"] == len(of) for each in of), newest)
    for spec in of:
        for counters in spec.get("sharedCounters") or ():
            for name, value in counters["counters"].items():
                pool.counters[counters["name"], name] = amount(value["value"])
        for each in spec.get("devices") or ():
            if each["name"] in pool.devices:
                pool.complete = False  # contradicts itself
            capacity = each.get("capacity") or {}
            pool.devices[each["name"]] = Published(
                (spec["driver"], spec["pool"]["name"], each["name"]),
                {name: next(iter(value.values())) for name, value in (each.get("attributes") or {}).items()},
                bool(each.get("allowMultipleAllocations")),
                {name: amount(value["value"]) for name, value in capacity.items()},
                {name: value.get("requestPolicy") or {} for name, value in capacity.items()},
                [
                    (part["counterSet"], name, amount(value["value"]))
                    for part in each.get("consumesCounters") or ()
                    for name, value in part["counters"].items()
                ],
                list(each.get("taints") or ()),
                _where(spec),
                tuple(each.get("bindingConditions") or ()),
            )
    return pool


class Hardware:
    """Pools, classes and taint rules of one moment.

    slices : by pool and name. selectors : what each CEL expression means.
    """

    def __init__(
        self,
        pools: Mapping[tuple[str, str], Pool],
        classes: Mapping[str, Raw],
        rules: Iterable[Raw],
        selectors: Mapping[str, Callable[[Published], bool]],
    ) -> None:
        self.pools, self.classes, self.rules, self.selectors = pools, classes, list(rules), selectors

    # ------------------------------------------------------------ one device

    def taints(self, device: Published) -> list[Raw]:
        driver, pool, name = device.id
        found = list(device.taints)
        for rule in self.rules:
            selector = rule["spec"].get("deviceSelector")
            if selector is None:
                continue
            asked = (selector.get("driver", driver), selector.get("pool", pool), selector.get("device", name))
            if asked == device.id:
                found.append(rule["spec"]["taint"])
        return found

    def tolerated(self, device: Published, tolerations: Iterable[Raw]) -> bool:
        for taint in self.taints(device):
            if taint["effect"] not in {"NoSchedule", "NoExecute"} or taint["key"] == OWNED:
                continue
            if not any(
                each.get("key") in {None, "", taint["key"]}
                and (each.get("operator") == "Exists" or each.get("value", "") == taint.get("value", ""))
                and each.get("effect") in {None, "", taint["effect"]}
                for each in tolerations
            ):
                return False
        return True

    def fits(self, device: Published, asked: Raw) -> bool:
        """Class and selectors; taints are looked at apart."""
        device_class = self.classes.get(asked["deviceClassName"])
        if device_class is None:
            return False
        for each in [*(device_class["spec"].get("selectors") or ()), *(asked.get("selectors") or ())]:
            meaning = self.selectors.get(each["cel"]["expression"])
            if meaning is None or not meaning(device):
                return False
        return True

    def need(self, device: Published, asked: Raw) -> dict[str, int] | None:
        """What a request consumes of a device that is shared; None: it can never."""
        wanted = {name: amount(text) for name, text in ((asked.get("capacity") or {}).get("requests") or {}).items()}
        if not set(wanted) <= set(device.capacity):
            return None
        if not device.shared:
            enough = all(device.capacity[name] >= value for name, value in wanted.items())
            return {} if enough else None
        found = {}
        for name, whole in device.capacity.items():
            policy = device.policy[name]
            value = wanted.get(name, amount(policy["default"]) if "default" in policy else whole)
            if "validRange" in policy:
                least, step = amount(policy["validRange"]["min"]), amount(policy["validRange"]["step"])
                value = max(value, least)
                value = least + -(-(value - least) // step) * step
                if value > amount(policy["validRange"]["max"]):
                    return None
            if value > whole:
                return None
            found[name] = value
        return found

    # ------------------------------------------------------------ what is left

    def room(self, device: Published, need: Mapping[str, int], holders: Holders) -> bool:
        """Whether one more allocation of a device is possible, beside those of the holders."""
        mine = [each for each in holders.get(device.id, ()) if each.counts]
        if mine and not device.shared:
            return False
        for name, value in need.items():
            if sum(each.consumed.get(name, 0) for each in mine) + value > device.capacity[name]:
                return False
        return bool(mine) or self.counters_left(device, holders)

    def counters_left(self, device: Published, holders: Holders) -> bool:
        if not device.consumes:
            return True
        pool = self.pools[device.id[:2]]
        for id_, holds in holders.items():
            unlisted = id_[:2] == device.id[:2] and id_[2] not in pool.devices
            if unlisted and any(each.counts for each in holds):
                return False  # nobody knows what it draws
        used: dict[tuple[str, str], int] = {}
        for other in pool.devices.values():
            if any(each.counts for each in holders.get(other.id, ())):
                for counters, name, value in other.consumes:
                    used[counters, name] = used.get((counters, name), 0) + value
        return all(
            used.get((counters, name), 0) + value <= pool.counters.get((counters, name), -1)
            for counters, name, value in device.consumes
        )

    # ------------------------------------------------------------ whole claims

    def place(self, specs: Iterable[Raw], node: Raw, holders: Holders) -> list[list[tuple[str, Published, Raw]]] | None:
        """Devices for claims on a node: by claim, the name of the request, the device and what asked for it."""
        return next(self._claims(list(specs), node, {key: list(each) for key, each in holders.items()}), None)

    def _claims(
        self, specs: list[Raw], node: Raw, holders: dict[Device, list[Hold]]
    ) -> Iterator[list[list[tuple[str, Published, Raw]]]]:
        if not specs:
            yield []
            return
        first, *others = specs
        claim = f"{_FRESH}{len(specs)}"
        for chosen in self._requests(first["devices"]["requests"], first["devices"], node, holders, [], claim):
            for rest in self._claims(others, node, holders):
                yield [list(chosen), *rest]

    def _requests(
        self, requests: list[Raw], spec: Raw, node: Raw, holders: dict[Device, list[Hold]],
        chosen: list[tuple[str, Published, Raw]], claim: str,
    ) -> Iterator[list[tuple[str, Published, Raw]]]:  # fmt: skip
        if not requests:
            if self._constrained(spec, chosen):
                yield chosen
            return
        first, *others = requests
        for name, asked in alternatives(first):
            for devices in self._sets(asked, node, holders):
                placed = []
                for device in devices:
                    need = self.need(device, asked)
                    # Upstream asks counters of an administrator too (kubernetes#140729), and so does the scheduler.
                    admin = bool(asked.get("adminAccess"))
                    twice = any(each.claim == claim for each in holders.get(device.id, ()))
                    fits = self.counters_left(device, holders) if admin else self.room(device, need or {}, holders)
                    if need is None or not fits or (admin and twice):
                        break
                    hold = Hold(claim, "", need, admin)
                    holders.setdefault(device.id, []).append(hold)
                    placed.append(device.id)
                else:
                    more = [*chosen, *((name, device, asked) for device in devices)]
                    yield from self._requests(others, spec, node, holders, more, claim)
                for id_ in placed:
                    holders[id_].pop()

    def _sets(self, asked: Raw, node: Raw, holders: Holders) -> Iterator[tuple[Published, ...]]:
        able = self.able(asked, node)
        if able is None:
            return
        if asked.get("allocationMode") == "All":
            if able:
                yield tuple(able)
            return
        free = [each for each in able if self.tolerated(each, asked.get("tolerations") or ())]
        yield from combinations(free, asked.get("count", 1))

    def able(self, asked: Raw, node: Raw) -> list[Published] | None:
        """Devices that match on a node; None: mode All, and which are all is not known, or one must not be used."""
        everything = asked.get("allocationMode") == "All"
        found = []
        for pool in self.pools.values():
            here = [each for each in pool.devices.values() if each.where(node)]
            if everything and here and not pool.complete:
                return None
            if pool.complete:
                found += [each for each in here if self.fits(each, asked)]
        if everything and not all(self.tolerated(each, asked.get("tolerations") or ()) for each in found):
            return None
        return found

    @staticmethod
    def _constrained(spec: Raw, chosen: list[tuple[str, Published, Raw]]) -> bool:
        for each in spec.get("constraints") or ():
            name = (each.get("matchAttribute") or each["distinctAttribute"]).partition("/")[2]
            of = [
                device.attributes.get(name)
                for request, device, _ in chosen
                if not each.get("requests") or {request, request.partition("/")[0]} & set(each["requests"])
            ]
            if None in of or ("matchAttribute" in each and len(set(of)) > 1):
                return False
            if "distinctAttribute" in each and len(set(of)) < len(of):
                return False
        return True

    def wrong(self, claim: Raw, allocation: Raw, node: Raw | None) -> str:
        """Why an allocation does not serve a claim, leaving aside what others hold; empty if it does."""
        spec = claim["spec"]["devices"]
        by_name = {name: asked for request in spec["requests"] for name, asked in alternatives(request)}
        served: dict[str, list[Published]] = {}
        chosen = []
        for result in allocation["devices"]["results"]:
            id_ = (result["driver"], result["pool"], result["device"])
            asked = by_name.get(result["request"])
            if asked is None:
                return f"nothing asks for {result['request']}"
            pool = self.pools.get(id_[:2])
            device = pool.devices.get(id_[2]) if pool is not None else None
            if pool is None or device is None:
                return f"{'/'.join(id_)} is not published"
            if not pool.complete:
                return f"pool {pool.generation} of {'/'.join(id_)} is not complete"
            if node is not None and not device.where(node):
                return f"{'/'.join(id_)} is not on {node['metadata']['name']}"
            if not self.fits(device, asked):
                return f"{'/'.join(id_)} does not match {result['request']}"
            if not self.tolerated(device, asked.get("tolerations") or ()):
                return f"{'/'.join(id_)} is tainted"
            if bool(result.get("adminAccess")) != bool(asked.get("adminAccess")):
                return f"admin access of {result['request']} is not what was asked"
            need = self.need(device, asked)
            consumed = {name: amount(text) for name, text in (result.get("consumedCapacity") or {}).items()}
            if need is None or (device.shared and consumed != need) or bool(result.get("shareID")) != device.shared:
                return f"{'/'.join(id_)} gives {consumed} instead of {need}"
            served.setdefault(result["request"], []).append(device)
            chosen.append((result["request"], device, asked))
        for request in spec["requests"]:
            names = [name for name, _ in alternatives(request) if name in served]
            if len(names) != 1:
                return f"request {request['name']} is served {len(names)} times"
            asked, given = by_name[names[0]], served[names[0]]
            if len({each.id for each in given}) < len(given):
                return f"request {request['name']} has a device twice"
            if asked.get("allocationMode") == "All":
                every = self.able(asked, node) if node is not None else None
                if every is not None and {each.id for each in every} != {each.id for each in given}:
                    return f"request {request['name']} has {len(given)} of all {len(every)} devices"
            elif len(given) != asked.get("count", 1):
                return f"request {request['name']} has {len(given)} devices instead of {asked.get('count', 1)}"
        return "" if self._constrained(spec, chosen) else "a constraint does not hold"


def alternatives(request: Raw) -> list[tuple[str, Raw]]:
    if "exactly" in request:
        return [(request["name"], request["exactly"])]
    return [(f"{request['name']}/{each['name']}", each) for each in request.get("firstAvailable") or ()]


def results(claim: Raw) -> list[Raw]:
    allocation = (claim.get("status") or {}).get("allocation") or {}
    return (allocation.get("devices") or {}).get("results") or []


def reserved(claim: Raw) -> list[str]:
    return [each["uid"] for each in (claim.get("status") or {}).get("reservedFor") or ()]


def claim_names(pod: Raw) -> list[str | None]:
    """The claims that a pod uses; None for one that is not made yet."""
    status = pod.get("status") or {}
    made = {each["name"]: each.get("resourceClaimName") for each in status.get("resourceClaimStatuses") or ()}
    names = [
        each.get("resourceClaimName") or made.get(each["name"]) for each in pod["spec"].get("resourceClaims") or ()
    ]
    special = (status.get("extendedResourceClaimStatus") or {}).get("resourceClaimName")
    return [*names, special] if special else names


def requests_of(pod: Raw) -> dict[str, int]:
    """cpu, memory and places that a pod takes, in thousandths."""
    found = {"cpu": 0, "memory": 0, "pods": 1000}
    for container in pod["spec"]["containers"]:
        for name, text in ((container.get("resources") or {}).get("requests") or {}).items():
            if name in found:
                found[name] += amount(text)
    return found


def extended_of(pod: Raw) -> dict[str, int]:
    """Extended resources that a pod asks for."""
    found: dict[str, int] = {}
    for container in pod["spec"]["containers"]:
        for name, text in ((container.get("resources") or {}).get("requests") or {}).items():
            if "/" in name:
                found[name] = found.get(name, 0) + int(text)
    return found


def admits(node: Raw, pod: Raw) -> bool:
    """Whether a node takes a pod at all: cordon, taints and the pod's nodeSelector."""
    if node["spec"].get("unschedulable") or node["metadata"].get("deletionTimestamp"):
        return False
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return False
    return not any(each["effect"] in {"NoSchedule", "NoExecute"} for each in node["spec"].get("taints") or ())
