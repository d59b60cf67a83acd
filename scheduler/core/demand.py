"""What a pod asks of a node: claims looked up, classes resolved, everything that cannot work refused with a reason.

Pods with equal demands are one equivalence class and are solved once.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from scheduler.core import allocatable, groups, plan
from scheduler.core.extended import SpecialClaim, backing_class, special_claim
from scheduler.core.hashing import Hashed
from scheduler.core.leanings import Leanings, leanings
from scheduler.core.match import COMPARISONS
from scheduler.core.model import (
    ALL,
    EXACT_COUNT,
    MAX_CONFIG,
    MAX_CONSUMERS,
    MAX_RESULTS,
    Claim,
    ClaimSpec,
    HostPort,
    NodeSelector,
    NodeSelectorTerm,
    Pod,
    PodClaim,
    Request,
    Resources,
    Toleration,
    Uid,
)
from scheduler.core.mounts import Mounted, Mounts, Unready, mounted
from scheduler.core.neighbours import Guests, Neighbours, guests, neighbours
from scheduler.core.quantity import Quantity
from scheduler.core.state import State

_JUDGED: Final = ("cpu", "memory")  # resources that scores look at
_EVERY_TAINT: Final = (Toleration("", "Exists", "", "", None),)


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """One request, reduced to what decides which devices serve it. `selectors` are the class's, then its own.

    foreign : it is for another scheduler to serve, which may have any device, but none that our taint keeps for us.
    """

    device_class: str
    selectors: tuple[str, ...]
    tolerations: tuple[Toleration, ...]
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, or one alternative of a prioritized list.

    count : 0 for mode All. capacity : least amounts by name, sorted. derived : full attribute name and expression.
    """

    request: DeviceRequest
    count: int
    admin: bool = False
    capacity: tuple[tuple[str, Quantity], ...] = ()
    derived: tuple[tuple[str, str], ...] = ()

    @property
    def kind(self) -> tuple[DeviceRequest, bool]:
        """Asks of one kind are served by the same devices of a node: equal requests, all or some of their devices."""
        return (self.request, self.count == 0)


@dataclass(frozen=True, slots=True)
class Want(Hashed):
    """A request of one of the pod's claims: its alternatives, just one if it is no list."""

    claim: int
    asks: tuple[Ask, ...]
    listed: bool = False

    def __hash__(self) -> int:
        known = self.known_hash
        return known if known is not None else self.keep_hash((self.claim, self.asks, self.listed))

    @property
    def request(self) -> DeviceRequest:
        """Of the first alternative."""
        return self.asks[0].request

    @property
    def count(self) -> int:
        """Of the first alternative."""
        return self.asks[0].count

    @property
    def kind(self) -> tuple[DeviceRequest, bool]:
        """Of the first alternative."""
        return self.asks[0].kind


@dataclass(frozen=True, slots=True)
class Relation:
    """Devices of these (want, alternative) of one claim share a value of the attribute (full name), or all differ."""

    claim: int
    attribute: str
    distinct: bool
    members: tuple[tuple[int, int], ...]

    @property
    def wants(self) -> tuple[int, ...]:
        """The wants that it touches."""
        return tuple(dict.fromkeys(want for want, _ in self.members))


@dataclass(frozen=True, slots=True)
class Sizing:
    """How devices add to what a pod takes of its node: how many of its containers use each claim that is to be
    allocated, and how much of the resources that are requested for the pod as a whole is left for devices."""

    containers: tuple[int, ...]
    margins: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Demand(Hashed):
    """All that decides where a pod fits and how well: the key of an equivalence class.

    resources : amounts by name, units as in core/model. held : node selectors of claims that are allocated already.
    offered : extended resources that nodes must have, or must not have, to serve the pod in this way.
    sizing : None where no device takes resources of its node.
    foreign : another scheduler places the pod: nodes and devices need not be ours, and it takes the first that fit.
    ports : of the host. neighbours : what it asks of other pods; None for nothing, and where another scheduler asks.
    guests : pods that are nominated to nodes, as far as it must mind them there.
    mounts : what it asks of storage, None for nothing.
    features : what the node's kubelet must declare. nominees : by node what pods take that are nominated to it and
    whose priority is no lower, `pods` among it. unstated : see core/model.
    preferred : terms of node affinity with their weights. images : those of the pod, if any node has any of them.
    leanings : what it would rather have around it, None for nothing.
    """

    node_selector: tuple[tuple[str, str], ...]
    affinity: NodeSelector | None
    tolerations: tuple[Toleration, ...]
    resources: tuple[tuple[str, int], ...]
    wants: tuple[Want, ...]
    relations: tuple[Relation, ...]
    held: tuple[NodeSelector, ...]
    offered: tuple[tuple[str, bool], ...] = ()
    sizing: Sizing | None = None
    foreign: bool = False
    ports: tuple[HostPort, ...] = ()
    neighbours: Neighbours | None = None
    guests: Guests = ()
    mounts: Mounts | None = None
    features: tuple[str, ...] = ()
    nominees: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()
    unstated: tuple[tuple[str, int], ...] = ()
    preferred: tuple[tuple[int, NodeSelectorTerm], ...] = ()
    images: tuple[str, ...] = ()
    leanings: Leanings | None = None

    def __hash__(self) -> int:
        known = self.known_hash
        if known is not None:
            return known
        parts = (
            self.node_selector, self.affinity, self.tolerations, self.resources, self.wants, self.relations, self.held,
            self.offered, self.sizing, self.foreign, self.ports, self.neighbours, self.guests, self.mounts,
            self.features, self.nominees, self.unstated, self.preferred, self.images, self.leanings,
        )  # fmt: skip
        return self.keep_hash(parts)

    @property
    def plain(self) -> bool:
        """Whether counting and matching serve it wherever the devices are plain too."""
        whole = {index for index, want in enumerate(self.wants) if not want.count}
        return not any(
            want.listed or ask.admin or ask.capacity or ask.derived for want in self.wants for ask in want.asks
        ) and not any(relation.distinct or whole.intersection(relation.wants) for relation in self.relations)

    @property
    def single(self) -> bool:
        """Whether it is for one device and nothing else; a constraint asks even that for an attribute."""
        one = len(self.wants) == 1 and self.wants[0].count == 1
        return one and self.plain and self.sizing is None and not self.relations

    @property
    def countable(self) -> bool:
        """Whether counting serves it where devices can be shared: nothing but requests for so many of a capacity."""
        return (
            bool(self.wants)
            and not self.relations
            and self.sizing is None
            and not any(
                want.listed or ask.admin or ask.derived or not ask.count for want in self.wants for ask in want.asks
            )
        )


@dataclass(frozen=True, slots=True)
class Resolved:
    """A pod's demand with the claims behind it: `claims[want.claim]` is to be allocated, `joined` are allocated.

    special : the last of `claims`, if it is to be made for the pod's extended resources. mounted : what is behind the
    mounts of the demand, None for nothing.
    """

    demand: Demand
    claims: tuple[Claim, ...]
    joined: tuple[Claim, ...]
    special: SpecialClaim | None = None
    mounted: Mounted | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a pod cannot be tried now; tokens as in core/plan."""

    token: str
    message: str


@dataclass(frozen=True, slots=True)
class Ways:
    """How a pod may be served: one way for each combination of its extended resources that nodes offer.

    No node is in two of them. closed : why some ways are of no use, in words.
    """

    open: tuple[Resolved, ...]
    closed: tuple[str, ...] = ()


class Specs:
    """What claim specs came to that nothing was wrong with; claims of one template have equal ones."""

    MAX_KNOWN = 1_024

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[ClaimSpec, Sequence[Want], Sequence[Relation]]] = {}
        self._classes = -1

    def find(self, key: Hashable, spec: ClaimSpec, state: State) -> tuple[Sequence[Want], Sequence[Relation]] | None:
        """The wants and relations of an equal spec, with the device classes as they are."""
        if self._classes != state.classes.changes:
            self._classes = state.classes.changes
            self._known.clear()
        known = self._known.get(key)
        return known[1:] if known is not None and (known[0] is spec or known[0] == spec) else None

    def keep(self, key: Hashable, spec: ClaimSpec, wants: Sequence[Want], relations: Sequence[Relation]) -> None:
        """Remember them, the newest of one key."""
        if len(self._known) >= self.MAX_KNOWN:
            self._known.clear()
        self._known[key] = (spec, wants, relations)


def resolve(pod: Pod, state: State, specs: Specs | None = None, *, foreign: bool = False) -> Ways | Refusal:
    """Look up everything a pod refers to.

    specs : what is known of claim specs, for whoever asks about many pods. foreign : it is another scheduler's pod.
    What it asks of nodes is not looked at: that scheduler has.
    """
    specs = specs or Specs()
    refusal = None if foreign else _refuse_pod(pod, state)
    if refusal is not None:
        return refusal
    found = _claims(pod, state)
    if isinstance(found, Refusal):
        return found
    storage = mounted(pod, state) if pod.volumes and not foreign else None
    if isinstance(storage, Unready):
        return Refusal(storage.token, storage.message)
    ways: list[Resolved] = []
    refusals: list[Refusal] = []
    backed = _backed(pod, state)
    for had in state.nodes.offers(list(backed)) if backed else [()]:
        offered = tuple(zip(backed, had, strict=True))
        way = _resolve_way(pod, state, found, offered, backed, storage, specs, foreign=foreign)
        if isinstance(way, Refusal):
            refusals.append(way)
        else:
            ways.append(way)
    return Ways(tuple(ways), tuple(each.message for each in refusals)) if ways else refusals[0]


def _backed(pod: Pod, state: State) -> dict[str, str]:
    """Extended resources that the pod requests and that a class names: resource -> class."""
    if not pod.extended or not state.gates.extended_resources:
        return {}
    found = {
        name: backing_class(name, state.classes.current) for name in sorted({each.resource for each in pod.extended})
    }
    return {name: item.name for name, item in found.items() if item is not None}


def _resolve_way(
    pod: Pod,
    state: State,
    claims: Sequence[Claim],
    offered: tuple[tuple[str, bool], ...],
    backed: Mapping[str, str],
    storage: Mounted | None,
    specs: Specs,
    *,
    foreign: bool,
) -> Resolved | Refusal:
    served = {name: backed[name] for name, had in offered if not had}
    if pod.extended_claim and not served and offered:
        return Refusal(
            plan.NO_FIT,
            f"pod {pod.key}: its status names ResourceClaim {pod.extended_claim} of an earlier attempt for good, so "
            f"that no node can run it that offers {', '.join(backed)} itself; delete the pod",
        )
    special = special_claim(pod, served) if served else None
    fresh = tuple([claim for claim in claims if claim.allocation is None])
    joined = tuple([claim for claim in claims if claim.allocation is not None])
    wants: list[Want] = []
    relations: list[Relation] = []
    for index, claim in enumerate(fresh):
        refusal = _add_claim(claim, index, state, wants, relations, specs, foreign=foreign)
        if refusal is not None:
            return refusal
    if special is not None:
        where = f"pod {pod.key}, claim for {', '.join(served)}"
        refusal = _look_up(where, special.claim, len(fresh), state, wants, relations, foreign=foreign)
        if refusal is not None:
            return refusal
        fresh = (*fresh, special.claim)
    held = tuple(
        claim.allocation.node_selector
        for claim in joined
        if claim.allocation is not None and claim.allocation.node_selector is not None
    )
    sized = _size(pod, fresh, joined, state)
    if isinstance(sized, Refusal):
        return sized
    requests, sizing = sized
    counted = _JUDGED if foreign else requests
    asked = {name: requests[name] for name in counted if requests.get(name, 0) > 0 and name not in served}
    demand = Demand(
        node_selector=() if foreign else tuple(sorted(pod.node_selector.items())),
        affinity=None if foreign else pod.affinity,
        tolerations=_EVERY_TAINT if foreign else _tolerations(pod, state),
        resources=tuple(sorted(asked.items())),
        wants=tuple(wants),
        relations=tuple(relations),
        held=held,
        sizing=sizing,
        offered=offered,
        foreign=foreign,
        ports=() if foreign else pod.ports,
        neighbours=None if foreign else neighbours(pod, state.nodes.residents),
        guests=guests(pod, state.nominated_above(pod), state.nodes.residents) if state.nominees and not foreign else (),
        mounts=storage.mounts if storage is not None else None,
        features=() if foreign else pod.features,
        nominees=() if foreign or not state.nominees else state.nominated_beside(pod),
        unstated=tuple(sorted(pod.unstated.items())),
        preferred=() if foreign else pod.preferred,
        images=pod.images if pod.images and not foreign and state.nodes.images.held(pod.images) else (),
        leanings=None if foreign else leanings(pod, state.nodes.residents),
    )
    return Resolved(demand, fresh, joined, special, storage)


def _tolerations(pod: Pod, state: State) -> tuple[Toleration, ...]:
    """Those that count."""
    if state.gates.taint_comparison:
        return pod.tolerations
    if not any(each.operator in COMPARISONS for each in pod.tolerations):
        return pod.tolerations
    return tuple(each for each in pod.tolerations if each.operator not in COMPARISONS)


def _size(
    pod: Pod, fresh: Sequence[Claim], joined: Sequence[Claim], state: State
) -> tuple[Resources, Sizing | None] | Refusal:
    """What a pod requests and the devices take that it has, and how further devices add to it (KEP-5517)."""
    if not state.gates.node_allocatable or not state.sized or not (fresh or joined):
        return pod.requests, None
    try:
        taken, _ = allocatable.of_claims(pod, [(each, each.allocation) for each in joined if each.allocation], state)
    except allocatable.UnmeasuredError as error:
        return Refusal(plan.REFUSED, f"pod {pod.key}: {error}")
    added, short = allocatable.charged(pod, taken)
    if short:
        text = f"pod {pod.key}: its devices take more {short} than its pod-level request leaves; request more"
        return Refusal(plan.MISCONFIGURED, text)
    users = allocatable.containers(pod, state)
    margins = {name: left - taken.get(name, 0) for name, left in pod.margins.items()}
    sizing = Sizing(tuple(len(users.get(claim.uid, ())) for claim in fresh), tuple(sorted(margins.items())))
    return replace(pod, published=added).charge, sizing if fresh else None


def _refuse_pod(pod: Pod, state: State) -> Refusal | None:
    if pod.unsupported:
        return Refusal(plan.UNSUPPORTED, f"pod {pod.key}: not supported yet: {'; '.join(pod.unsupported)}")
    if pod.group:
        refusal = _refuse_group(pod, state)
        if refusal is not None:
            return refusal
    return None


def _refuse_group(pod: Pod, state: State) -> Refusal | None:
    key = groups.key_of(pod)
    if not state.gates.workload_claims:
        text = (
            f"pod {pod.key}: not supported yet: schedulingGroup {pod.group} without the gate DRAWorkloadResourceClaims"
        )
        return Refusal(plan.UNSUPPORTED, text)
    problem = state.problems.get(("PodGroup", key))
    if problem is not None:
        return Refusal(plan.MISCONFIGURED, f"pod {pod.key}: {problem}")
    group = state.groups.current.get(key)
    if group is None:
        return Refusal(plan.CLAIM_PENDING, f"pod {pod.key}: its PodGroup {key} does not exist yet")
    if group.unsupported:
        text = f"pod {pod.key}: PodGroup {key}: not supported yet: {'; '.join(group.unsupported)}"
        return Refusal(plan.UNSUPPORTED, text)
    return None


def _claims(pod: Pod, state: State) -> list[Claim] | Refusal:
    found: dict[Uid, Claim] = {}  # two entries may name one claim: it is allocated and reserved once
    for entry in pod.claims:
        known, name = groups.claim_name(pod, entry, state)
        if not known:
            return Refusal(
                plan.CLAIM_PENDING,
                f"pod {pod.key}, entry {entry.name}: its ResourceClaim has not been made from template "
                f"{entry.template_name} yet",
            )
        if name is None:
            continue
        key = f"{pod.namespace}/{name}"
        problem = state.problems.get(("ResourceClaim", key))
        if problem is not None:
            return Refusal(plan.MISCONFIGURED, f"pod {pod.key}, entry {entry.name}: {problem}")
        uid = state.claim_by_key.get(key)
        if uid is None:
            text = f"pod {pod.key}, entry {entry.name}: ResourceClaim {key} does not exist; create it"
            return Refusal(plan.MISCONFIGURED, text)
        claim = state.claims.current[uid]
        refusal = _refuse_claim(pod, entry, claim, state)
        if refusal is not None:
            return refusal
        found[uid] = claim
    return list(found.values())


def _refuse_claim(pod: Pod, entry: PodClaim, claim: Claim, state: State) -> Refusal | None:
    where = f"ResourceClaim {claim.key}"
    if entry.template_name is not None and claim.owner != groups.owner_of(pod, entry, state):
        return Refusal(plan.MISCONFIGURED, f"{where} was not made for pod {pod.key}: another object controls it")
    consumer = groups.consumers(pod, state).get(claim.uid)
    reserved = claim.reserved_by(consumer.uid if consumer is not None else pod.uid)
    if claim.deleting:
        return Refusal(plan.MISCONFIGURED, f"{where} is being deleted")
    if not reserved and len(claim.reserved_for) >= MAX_CONSUMERS:
        return Refusal(plan.CLAIM_PENDING, f"{where} has {MAX_CONSUMERS} consumers already, the most that it can have")
    if claim.allocation is None and state.assumed(claim.uid) is not None:
        return Refusal(plan.CLAIM_PENDING, f"{where} is being allocated for another pod")
    return None


def _add_claim(
    claim: Claim,
    index: int,
    state: State,
    wants: list[Want],
    relations: list[Relation],
    specs: Specs,
    *,
    foreign: bool,
) -> Refusal | None:
    spec, place, start = claim.spec, len(wants), len(relations)
    shape = tuple([(each.name, each.device_class, each.selectors, each.count) for each in spec.requests])
    key = (shape, index, place, foreign)
    known = specs.find(key, spec, state)
    if known is not None:
        wants += known[0]
        relations += known[1]
        return None
    refusal = _look_up(f"ResourceClaim {claim.key}", claim, index, state, wants, relations, foreign=foreign)
    if refusal is None:
        specs.keep(key, spec, wants[place:], relations[start:])
    return refusal


def _look_up(
    where: str, claim: Claim, index: int, state: State, wants: list[Want], relations: list[Relation], *, foreign: bool
) -> Refusal | None:
    if claim.spec.unsupported:
        return Refusal(plan.UNSUPPORTED, f"{where}: not supported yet: {'; '.join(claim.spec.unsupported)}")
    members: dict[str, list[tuple[int, int]]] = {}
    total = 0
    for request in claim.spec.requests:
        shown = f"{where}, request {request.name}"
        if request.alternatives and not state.gates.prioritized_list:
            return _gated(shown, "firstAvailable", "DRAPrioritizedList")
        asks: list[Ask] = []
        for alternative in request.alternatives or (request,):
            named = f"{shown}/{alternative.name}" if request.alternatives else shown
            refusal = _refuse_request(named, alternative, state, foreign=foreign)
            if refusal is not None:
                return refusal
            members.setdefault(request.name, []).append((len(wants), len(asks)))
            members[f"{request.name}/{alternative.name}"] = [(len(wants), len(asks))]
            asks.append(_ask(alternative, state, foreign=foreign))
        least = min(ask.count for ask in asks)
        total += least
        if total > MAX_RESULTS:
            return Refusal(
                plan.MISCONFIGURED,
                f"{shown}: the claim asks for {total} devices, and a claim can hold at most {MAX_RESULTS}; split it",
            )
        wants.append(Want(index, tuple(asks), bool(request.alternatives)))
    refusal = _refuse_config(where, claim, state)
    if refusal is not None:
        return refusal
    every = [member for request in claim.spec.requests for member in members[request.name]]
    for number, constraint in enumerate(claim.spec.constraints):
        if constraint.distinct and state.gates.settled:
            return _gated(f"{where}, constraints[{number}]", "distinctAttribute", "DRAConsumableCapacity")
        # A name that no request has constrains nothing, as upstream takes it; the API server refuses such a claim.
        named_members = [member for name in constraint.requests for member in members.get(name, ())]
        chosen = tuple(sorted(set(named_members if constraint.requests else every)))
        if chosen:
            relations.append(Relation(index, constraint.attribute, constraint.distinct, chosen))
    return None


def _ask(request: Request, state: State, *, foreign: bool) -> Ask:
    selectors = state.classes.current[request.device_class].selectors + request.selectors
    return Ask(
        request=DeviceRequest(request.device_class, selectors, request.tolerations, foreign),
        count=0 if request.mode == ALL else request.count,
        admin=bool(request.admin_access),
        capacity=tuple(sorted((request.capacity or {}).items(), key=lambda item: item[0])),
        derived=request.derived,
    )


def _refuse_config(where: str, claim: Claim, state: State) -> Refusal | None:
    """An allocation has room for so many configs; upstream finds out when the API server refuses the write."""
    most = sum(
        max(len(state.classes.current[each.device_class].config) for each in request.alternatives or (request,))
        for request in _one_per_class(claim)
    )
    entries = len(claim.spec.config) + most
    if entries <= MAX_CONFIG:
        return None
    return Refusal(
        plan.MISCONFIGURED,
        f"{where}: its own and its classes' config come to {entries} entries, an allocation holds {MAX_CONFIG}",
    )


def _one_per_class(claim: Claim) -> list[Request]:
    """Requests whose classes' configs are entered: a class that comes again is not entered again."""
    found: dict[tuple[str, ...], Request] = {}
    for request in claim.spec.requests:
        found.setdefault(tuple(each.device_class for each in request.alternatives or (request,)), request)
    return list(found.values())


def _gated(where: str, what: str, gate: str) -> Refusal:
    return Refusal(
        plan.UNSUPPORTED, f"{where}: {what} needs the feature gate {gate}, which is off; set it in featureGates"
    )


def _refuse_request(where: str, request: Request, state: State, *, foreign: bool) -> Refusal | None:
    if request.unsupported:
        return Refusal(plan.UNSUPPORTED, f"{where}: not supported yet: {'; '.join(request.unsupported)}")
    gates = state.gates
    if request.capacity is not None and not gates.consumable_capacity and not gates.settled:
        return _gated(where, "capacity.requests", "DRAConsumableCapacity")
    if request.admin_access is not None and not gates.admin_access:
        return _gated(where, "adminAccess", "DRAAdminAccess")
    if request.derived and not gates.derived_attributes:
        return _gated(where, "derivedAttributes", "DRADerivedAttributes")
    if request.mode not in {ALL, EXACT_COUNT}:
        return Refusal(plan.UNSUPPORTED, f"{where}: allocationMode {request.mode} is not known")
    if request.mode == EXACT_COUNT and request.count < 1:
        return Refusal(plan.MISCONFIGURED, f"{where}: count is {request.count}, it must be at least 1")
    name = request.device_class
    problem = state.problems.get(("DeviceClass", name))
    if problem is not None:
        return Refusal(plan.MISCONFIGURED, f"{where}: {problem}")
    device_class = state.classes.current.get(name)
    if device_class is None:
        return Refusal(plan.MISCONFIGURED, f"{where}: DeviceClass {name!r} does not exist; create it or name another")
    if device_class.unsupported:
        return Refusal(
            plan.UNSUPPORTED, f"{where}: DeviceClass {name}: not supported yet: {'; '.join(device_class.unsupported)}"
        )
    owned = state.ownership.device_classes
    if owned and name not in owned and not foreign:
        return Refusal(
            plan.MISCONFIGURED,
            f"{where}: DeviceClass {name} is not among those that Dovetail owns ({', '.join(sorted(owned))})",
        )
    return None
