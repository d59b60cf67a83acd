"""What a pod asks of a node: claims looked up, classes resolved, everything that cannot work refused with a reason.

Pods with equal demands are one equivalence class and are solved once.
"""

from collections.abc import Callable
from dataclasses import dataclass

from scheduler.core import plan
from scheduler.core.cel import compile_selector
from scheduler.core.errors import SelectorError
from scheduler.core.match import selects_labels
from scheduler.core.model import ALL, EXACT_COUNT, Claim, NodeSelector, Pod, Request, Toleration, Uid
from scheduler.core.solvers.search import MAX_RESULTS
from scheduler.core.state import State

MAX_CONFIG = 64  # entries in one allocation (32 of classes and 32 of the claim)
MAX_CONSUMERS = 256  # of one claim (ResourceClaimReservedForMaxSize)
NATIVE = frozenset({"cpu", "memory", "ephemeral-storage", "pods"})
IMPLICIT_EXTENDED = "deviceclass.resource.kubernetes.io/"


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """One request, reduced to what decides which devices serve it. `selectors` are the class's, then its own."""

    device_class: str
    selectors: tuple[str, ...]
    tolerations: tuple[Toleration, ...]


@dataclass(frozen=True, slots=True)
class Want:
    """A request of one of the pod's claims; `count` is 0 for mode All."""

    request: DeviceRequest
    count: int
    claim: int

    @property
    def kind(self) -> tuple[DeviceRequest, bool]:
        """Wants of one kind are served by the same devices of a node: equal requests, all or some of their devices."""
        return (self.request, self.count == 0)


@dataclass(frozen=True, slots=True)
class Match:
    """These wants share one value of the attribute (full name)."""

    wants: tuple[int, ...]
    attribute: str


@dataclass(frozen=True, slots=True)
class Demand:
    """All that decides where a pod fits and how well: the key of an equivalence class.

    resources : amounts by name, units as in core/model. held : node selectors of claims that are allocated already.
    """

    node_selector: tuple[tuple[str, str], ...]
    affinity: NodeSelector | None
    tolerations: tuple[Toleration, ...]
    resources: tuple[tuple[str, int], ...]
    wants: tuple[Want, ...]
    matches: tuple[Match, ...]
    held: tuple[NodeSelector, ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A pod's demand with the claims behind it: `claims[want.claim]` is to be allocated, `joined` are allocated."""

    demand: Demand
    claims: tuple[Claim, ...]
    joined: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a pod cannot be tried now; tokens as in core/plan."""

    token: str
    message: str


def resolve(pod: Pod, state: State) -> Resolved | Refusal:
    """Look up everything a pod refers to."""
    refusal = _refuse_pod(pod, state)
    if refusal is not None:
        return refusal
    found = _claims(pod, state)
    if isinstance(found, Refusal):
        return found
    fresh = tuple(claim for claim in found if claim.allocation is None)
    joined = tuple(claim for claim in found if claim.allocation is not None)
    wants: list[Want] = []
    matches: list[Match] = []
    for index, claim in enumerate(fresh):
        refusal = _add_claim(claim, index, state, wants, matches)
        if refusal is not None:
            return refusal
    held = tuple(
        claim.allocation.node_selector
        for claim in joined
        if claim.allocation is not None and claim.allocation.node_selector is not None
    )
    demand = Demand(
        node_selector=tuple(sorted(pod.node_selector.items())),
        affinity=pod.affinity,
        tolerations=pod.tolerations,
        resources=tuple(sorted((name, amount) for name, amount in pod.requests.items() if amount > 0)),
        wants=tuple(wants),
        matches=tuple(matches),
        held=held,
    )
    return Resolved(demand, fresh, joined)


def _refuse_pod(pod: Pod, state: State) -> Refusal | None:
    if pod.unsupported:
        return Refusal(plan.UNSUPPORTED, f"pod {pod.key}: not supported yet: {'; '.join(pod.unsupported)}")
    for other in state.repellers.values():
        if other.uid == pod.uid:
            continue
        for term in other.repels:
            if (not term.namespaces or pod.namespace in term.namespaces) and selects_labels(term.selector, pod.labels):
                return Refusal(
                    plan.UNSUPPORTED,
                    f"pod {pod.key}: the required anti-affinity of running pod {other.key} selects it, "
                    "and placing around anti-affinity is not supported yet",
                )
    for name in pod.requests:
        if name in NATIVE or name.startswith("hugepages-") or not pod.requests[name]:
            continue
        if state.nodes.offered(name):
            continue
        backing = _backing_class(name, state)
        if backing:
            return Refusal(
                plan.UNSUPPORTED,
                f"pod {pod.key}: extended resource {name} is backed by DeviceClass {backing}, which is not supported "
                "yet; ask for the devices with a ResourceClaim",
            )
    return None


def _backing_class(resource: str, state: State) -> str:
    if resource.startswith(IMPLICIT_EXTENDED):
        return resource.removeprefix(IMPLICIT_EXTENDED)
    for name, item in sorted(state.classes.current.items()):
        if item.extended_resource == resource:
            return name
    return ""


def _claims(pod: Pod, state: State) -> list[Claim] | Refusal:
    found: dict[Uid, Claim] = {}  # two entries may name one claim: it is allocated and reserved once
    for entry in pod.claims:
        name: str | None
        if entry.claim_name is not None:
            name = entry.claim_name
        elif entry.name not in pod.claim_names:
            return Refusal(
                plan.CLAIM_PENDING,
                f"pod {pod.key}, entry {entry.name}: its ResourceClaim has not been made from template "
                f"{entry.template_name} yet",
            )
        else:
            name = pod.claim_names[entry.name]
        if name is None:
            continue
        key = f"{pod.namespace}/{name}"
        problem = state.problems.get(("ResourceClaim", key))
        if problem is not None:
            return Refusal(plan.MISCONFIGURED, f"pod {pod.key}, entry {entry.name}: {problem}")
        uid = state.claim_by_key.get(key)
        if uid is None:
            return Refusal(plan.MISCONFIGURED, f"pod {pod.key}, entry {entry.name}: ResourceClaim {key} does not exist")
        claim = state.claims.current[uid]
        refusal = _refuse_claim(pod, entry.template_name is not None, claim, state)
        if refusal is not None:
            return refusal
        found[uid] = claim
    return list(found.values())


def _refuse_claim(pod: Pod, from_template: bool, claim: Claim, state: State) -> Refusal | None:
    where = f"ResourceClaim {claim.key}"
    if from_template and claim.owner != pod.uid:
        return Refusal(plan.MISCONFIGURED, f"{where} was not made for pod {pod.key}: another object controls it")
    reserved = claim.reserved_by(pod.uid)
    if claim.deleting:
        return Refusal(plan.MISCONFIGURED, f"{where} is being deleted")
    if not reserved and len(claim.reserved_for) >= MAX_CONSUMERS:
        return Refusal(plan.CLAIM_PENDING, f"{where} has {MAX_CONSUMERS} consumers already, the most that it can have")
    if claim.allocation is None and state.assumed(claim.uid) is not None:
        return Refusal(plan.CLAIM_PENDING, f"{where} is being allocated for another pod")
    for result in claim.allocation.results if claim.allocation else ():
        taint = state.evicting_taint(result)
        if taint is not None:
            device = "/".join(result.identity)
            return Refusal(
                plan.NO_FIT, f"{where}: its device {device} has taint {taint.key}:{taint.effect}, which evicts pods"
            )
    return None


def _add_claim(claim: Claim, index: int, state: State, wants: list[Want], matches: list[Match]) -> Refusal | None:
    where = f"ResourceClaim {claim.key}"
    if claim.spec.unsupported:
        return Refusal(plan.UNSUPPORTED, f"{where}: not supported yet: {'; '.join(claim.spec.unsupported)}")
    by_name: dict[str, int] = {}
    total = 0
    for request in claim.spec.requests:
        refusal = _refuse_request(f"{where}, request {request.name}", request, state)
        if refusal is not None:
            return refusal
        count = 0 if request.mode == ALL else request.count
        total += count
        if total > MAX_RESULTS:
            return Refusal(
                plan.MISCONFIGURED,
                f"{where}, request {request.name}: the claim asks for {total} devices, and a claim can hold at most "
                f"{MAX_RESULTS}; split it",
            )
        device_class = state.classes.current[request.device_class]
        by_name[request.name] = len(wants)
        asked = DeviceRequest(request.device_class, device_class.selectors + request.selectors, request.tolerations)
        wants.append(Want(asked, count, index))
    classes = {request.device_class for request in claim.spec.requests}
    entries = len(claim.spec.config) + sum(len(state.classes.current[name].config) for name in classes)
    if entries > MAX_CONFIG:
        return Refusal(
            plan.MISCONFIGURED,
            f"{where}: its own and its classes' config come to {entries} entries, an allocation holds {MAX_CONFIG}",
        )
    for constraint in claim.spec.constraints:
        unknown = [name for name in constraint.requests if name not in by_name]
        if unknown:
            return Refusal(
                plan.MISCONFIGURED, f"{where}: a constraint names request {unknown[0]}, which does not exist"
            )
        chosen = tuple(by_name[name] for name in constraint.requests) or tuple(by_name.values())
        if chosen:
            matches.append(Match(chosen, constraint.match_attribute))
    return None


def _refuse_request(where: str, request: Request, state: State) -> Refusal | None:
    if request.unsupported:
        return Refusal(plan.UNSUPPORTED, f"{where}: not supported yet: {'; '.join(request.unsupported)}")
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
    if owned and name not in owned:
        return Refusal(
            plan.MISCONFIGURED,
            f"{where}: DeviceClass {name} is not among those that Dovetail owns ({', '.join(sorted(owned))})",
        )
    return _refuse_selectors(f"DeviceClass {name}", device_class.selectors) or _refuse_selectors(
        where, request.selectors
    )


def _refuse_selectors(
    where: str, selectors: tuple[str, ...], compiles: Callable[[str], object] = compile_selector
) -> Refusal | None:
    for number, expression in enumerate(selectors):
        try:
            compiles(expression)
        except SelectorError as error:
            return Refusal(plan.MISCONFIGURED, f"{where}, selectors[{number}]: {error}")
    return None
