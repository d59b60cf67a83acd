"""The independent checker: a plan against every rule of scheduling and allocation, one object at a time.

It shares nothing with the solvers but the model, and does everything the slow and obvious way, so that a mistake there
is not repeated here. Placements are applied one after another; each is judged in the world that those before it leave.

Sources: the allocator of k8s.io/dynamic-resource-allocation v0.37.2 (structured) and the dynamicresources plugin of
kube-scheduler v1.37.2 for claims and devices; core/v1 for nodes, taints and affinity. Where the two readings of a rule
differ in what they allow, this one allows less.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.core import names
from scheduler.core.cel import evaluate_scalar
from scheduler.core.config import Ownership
from scheduler.core.errors import InputError
from scheduler.core.model import (
    ALL,
    EXACT_COUNT,
    NO_EXECUTE,
    NO_SCHEDULE,
    Allocation,
    AllocationConfig,
    AttributeValue,
    Claim,
    Device,
    DeviceClass,
    Node,
    NodeSelector,
    NodeSelectorTerm,
    Pod,
    Repulsion,
    Request,
    Requirement,
    Result,
    Slice,
    Taint,
    TaintRule,
    Toleration,
    Uid,
)
from scheduler.core.plan import Placement, Plan
from scheduler.core.quantity import Quantity

# Rules, by the words under which a violation is reported.
POD: Final = "pod"  # pending, ours, alive, and placed once
GATES: Final = "scheduling-gates"
UNSUPPORTED: Final = "unsupported"  # nothing is used whose meaning this version does not implement
NODE: Final = "node"  # exists
OWNERSHIP: Final = "ownership"  # only nodes, drivers and device classes given to us
UNSCHEDULABLE: Final = "unschedulable"
NODE_TAINT: Final = "node-taint"
NODE_SELECTOR: Final = "node-selector"
NODE_AFFINITY: Final = "node-affinity"
RESOURCES: Final = "resources"  # allocatable is never exceeded
ANTI_AFFINITY: Final = "anti-affinity"
CLAIMS: Final = "claims"  # exactly the claims that the pod means, each usable
JOINED: Final = "joined-claim"  # allocated, and usable on the node
RESERVED: Final = "reserved-for"  # consumers per claim
CLASS: Final = "device-class"  # exists
LIMITS: Final = "limits"  # entries per allocation
REQUESTS: Final = "requests"  # results name requests, in their order
COUNT: Final = "count"
ALL_DEVICES: Final = "all-devices"
DEVICE: Final = "device"  # published for the node, in a complete and valid pool
IN_USE: Final = "device-in-use"
SELECTOR: Final = "selector"
DEVICE_TAINT: Final = "device-taint"
EXTENDED: Final = "extended-resources"  # served by a device plugin, or by a claim that is made for them
CONSTRAINT: Final = "constraint"
TOLERATIONS: Final = "tolerations"  # copied into results
USABLE_ON: Final = "allocation-node-selector"
CONFIG: Final = "allocation-config"

RULES: Final = (
    POD, GATES, UNSUPPORTED, NODE, OWNERSHIP, UNSCHEDULABLE, NODE_TAINT, NODE_SELECTOR, NODE_AFFINITY, RESOURCES,
    ANTI_AFFINITY, CLAIMS, JOINED, RESERVED, CLASS, LIMITS, REQUESTS, COUNT, ALL_DEVICES, DEVICE, IN_USE, SELECTOR,
    DEVICE_TAINT, CONSTRAINT, TOLERATIONS, USABLE_ON, CONFIG, EXTENDED,
)  # fmt: skip

# Limits of resource.k8s.io/v1.
MAX_RESULTS: Final = 32
MAX_CONFIG: Final = 64
MAX_RESERVED_FOR: Final = 256

UNSCHEDULABLE_TAINT: Final = Taint("node.kubernetes.io/unschedulable", "", NO_SCHEDULE)
INT64: Final = range(-(2**63), 2**63)

Evaluate = Callable[[str, str, Mapping[str, AttributeValue], Mapping[str, Quantity]], bool]
"""Whether a device passes a CEL selector: (expression, driver, attributes, capacity). Raises InputError."""

Identity = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class World:
    """All that a plan is judged by.

    claims : those with an allocation hold its devices, whoever wrote it. pods : those with a node use its resources
    until they are done; `scheduler_name` tells which of the others are ours.
    """

    nodes: Mapping[str, Node]
    slices: Mapping[str, Slice]
    classes: Mapping[str, DeviceClass]
    taint_rules: Mapping[str, TaintRule]
    claims: Mapping[Uid, Claim]
    pods: Mapping[Uid, Pod]
    ownership: Ownership
    scheduler_name: str = names.SCHEDULER_NAME


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule (one of RULES), the object that breaks it, and how."""

    rule: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text} ({self.rule})"


def violations(world: World, plan: Plan, evaluate: Evaluate = evaluate_scalar) -> tuple[Violation, ...]:
    """Every rule that the plan breaks, in order of its placements; empty for a correct plan."""
    check = _Check(world, evaluate)
    for placement in plan.placements:
        check.place(placement)
    placed = {placement.pod for placement in plan.placements}
    for unplaced in plan.unplaced:
        if unplaced.pod in placed:
            check.report(POD, check.name_of(unplaced.pod), "is both placed and left pending")
    return tuple(check.found)


# ---------------------------------------------------------------- words of core/v1


def _as_int64(text: str) -> int | None:
    """A whole number as label values spell it: decimal ASCII digits, perhaps signed, that fit 64 bits."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits or len(digits) > 63:
        return None
    for character in digits:
        if character not in "0123456789":
            return None
    number = int(text)
    return number if number in INT64 else None


def _label_holds(labels: Mapping[str, str], wanted: Requirement) -> bool:
    present = wanted.key in labels
    if wanted.operator == "Exists":
        return present
    if wanted.operator == "DoesNotExist":
        return not present
    if wanted.operator == "In":
        return present and labels[wanted.key] in wanted.values
    if wanted.operator == "NotIn":
        return not present or labels[wanted.key] not in wanted.values
    if wanted.operator in ("Gt", "Lt"):
        if not present or len(wanted.values) != 1:
            return False
        have = _as_int64(labels[wanted.key])
        bound = _as_int64(wanted.values[0])
        if have is None or bound is None:
            return False
        return have > bound if wanted.operator == "Gt" else have < bound
    return False


def _field_holds(node: Node, wanted: Requirement) -> bool:
    """metadata.name is the only field, and takes exactly one value."""
    if wanted.key != "metadata.name" or len(wanted.values) != 1:
        return False
    if wanted.operator == "In":
        return node.name == wanted.values[0]
    if wanted.operator == "NotIn":
        return node.name != wanted.values[0]
    return False


def _term_selects(term: NodeSelectorTerm, node: Node) -> bool:
    if not term.labels and not term.fields:
        return False
    labels_hold = all(_label_holds(node.labels, wanted) for wanted in term.labels)
    fields_hold = all(_field_holds(node, wanted) for wanted in term.fields)
    return labels_hold and fields_hold


def _node_selected(selector: NodeSelector, node: Node) -> bool:
    return any(_term_selects(term, node) for term in selector.terms)


def _covers(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect not in ("", taint.effect):
        return False
    if toleration.key not in ("", taint.key):
        return False
    if toleration.operator == "Exists":
        return True
    if toleration.operator in ("", "Equal"):
        return toleration.value == taint.value
    return False


def _tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    return any(_covers(toleration, taint) for toleration in tolerations)


def _repelled(repulsion: Repulsion, pod: Pod) -> bool:
    if repulsion.namespaces and pod.namespace not in repulsion.namespaces:
        return False
    return all(_label_holds(pod.labels, wanted) for wanted in repulsion.selector.requirements)


# ---------------------------------------------------------------- words of resource.k8s.io/v1


def _targets(item: Slice, node: Node) -> bool:
    """Whether a slice's devices can be used on a node."""
    if item.node_name is not None:
        return item.node_name == node.name
    if item.all_nodes:
        return True
    if item.node_selector is not None:
        return _node_selected(item.node_selector, node)
    return False


def _attribute(driver: str, device: Device, full_name: str) -> AttributeValue | None:
    """A name published without a domain is in the driver's domain."""
    if full_name in device.attributes:
        return device.attributes[full_name]
    domain, _, short = full_name.partition("/")
    if domain == driver and short in device.attributes:
        return device.attributes[short]
    return None


def _same(one: AttributeValue, other: AttributeValue) -> bool:
    """Same type and same value; versions compare as text."""
    return type(one) is type(other) and one == other


def _show(identity: Identity) -> str:
    return "device " + "/".join(identity)


@dataclass(frozen=True, slots=True)
class _Local:
    """What one node can use: devices by identity with the slice that lists them, and why other pools are shut."""

    devices: Mapping[Identity, tuple[Slice, Device]]
    problems: Mapping[tuple[str, str], str]


class _Check:
    """The world as it stands after the placements so far, and what was wrong with them."""

    def __init__(self, world: World, evaluate: Evaluate) -> None:
        self.world = world
        self.evaluate = evaluate
        self.found: list[Violation] = []
        self.placed: set[Uid] = set()
        self.allocations: dict[Uid, Allocation] = {}  # of claims, by uid
        self.consumers: dict[Uid, set[Uid]] = {}  # reservedFor of claims
        self.claim_named: dict[tuple[str, str], Claim] = {}
        self.holders: dict[Identity, list[Claim]] = {}  # claims that have a device; more than one is a mistake
        self.running: list[Pod] = []
        self.used: dict[str, dict[str, int]] = {}  # node -> resource -> amount, pods included
        self.pools: dict[tuple[str, str], list[Slice]] = {}
        self.locals: dict[str, _Local] = {}
        for claim in world.claims.values():
            self.claim_named[claim.namespace, claim.name] = claim
            self.consumers[claim.uid] = {consumer.uid for consumer in claim.reserved_for}
            if claim.allocation is not None:
                self.allocations[claim.uid] = claim.allocation
                for result in claim.allocation.results:
                    if not result.admin_access:  # administrators look at devices, they do not take them
                        self.holders.setdefault(result.identity, []).append(claim)
        for pod in world.pods.values():
            if pod.node_name and not pod.done:
                self.run(pod, pod.node_name)
        for name in sorted(world.slices):
            item = world.slices[name]
            self.pools.setdefault((item.driver, item.pool), []).append(item)

    def report(self, rule: str, where: str, text: str) -> None:
        self.found.append(Violation(rule, where, text))

    def name_of(self, pod: Uid) -> str:
        return f"pod {self.world.pods[pod].key}" if pod in self.world.pods else f"pod {pod}"

    def run(self, pod: Pod, node: str) -> None:
        """Count a pod as running on a node."""
        self.running.append(pod)
        used = self.used.setdefault(node, {})
        for resource, amount in pod.requests.items():
            if resource != "pods":
                used[resource] = used.get(resource, 0) + amount
        used["pods"] = used.get("pods", 0) + 1

    def place(self, placement: Placement) -> None:
        """Judge a placement, then make it so."""
        pod = self.world.pods.get(placement.pod)
        if pod is None:
            self.report(POD, f"pod {placement.pod}", "is not known")
            return
        where = f"pod {pod.key} on node {placement.node}"
        self.check_pod(where, pod)
        node = self.world.nodes.get(placement.node)
        if node is None:
            self.report(NODE, where, "the node is not known")
            return
        self.check_node(where, pod, node)
        self.check_resources(where, pod, node)
        self.check_anti_affinity(where, pod)
        self.check_claims(where, pod, node, placement)
        self.run(pod, node.name)
        self.placed.add(pod.uid)

    # ------------------------------------------------------------ the pod and its node

    def check_pod(self, where: str, pod: Pod) -> None:
        if pod.uid in self.placed:
            self.report(POD, where, "the pod is placed twice")
        if pod.scheduler_name != self.world.scheduler_name:
            self.report(POD, where, f"the pod asks for scheduler {pod.scheduler_name}")
        if pod.node_name:
            self.report(POD, where, f"the pod is on node {pod.node_name} already")
        if pod.deleting:
            self.report(POD, where, "the pod is being deleted")
        if pod.done:
            self.report(POD, where, f"the pod has ended: {pod.phase}")
        if pod.gates:
            self.report(GATES, where, f"the pod is held by {', '.join(pod.gates)}")
        for feature in pod.unsupported:
            self.report(UNSUPPORTED, where, f"the pod uses {feature}")

    def check_node(self, where: str, pod: Pod, node: Node) -> None:
        if not self.world.ownership.owns(node):
            self.report(OWNERSHIP, where, f"the node is not ours: it lacks label {names.OWNED}")
        if node.unschedulable and not _tolerated(UNSCHEDULABLE_TAINT, pod.tolerations):
            self.report(UNSCHEDULABLE, where, "the node is unschedulable")
        for taint in node.taints:
            if taint.effect in (NO_SCHEDULE, NO_EXECUTE) and not _tolerated(taint, pod.tolerations):
                self.report(NODE_TAINT, where, f"taint {taint.key}={taint.value}:{taint.effect} is not tolerated")
        for key, value in pod.node_selector.items():
            if node.labels.get(key) != value:
                self.report(NODE_SELECTOR, where, f"label {key} is {node.labels.get(key)!r}, not {value!r}")
        if pod.affinity is not None and not _node_selected(pod.affinity, node):
            self.report(NODE_AFFINITY, where, "no term of the required node affinity holds")

    def check_resources(self, where: str, pod: Pod, node: Node) -> None:
        used = self.used.get(node.name, {})
        asked = {resource: amount for resource, amount in pod.requests.items() if resource != "pods"}
        asked["pods"] = 1
        for resource in self.delegated(pod, node):
            asked.pop(resource, None)  # check_special sees to it
        for resource, amount in asked.items():
            if amount == 0:  # asking for nothing fits on a node that is over its limit, too
                continue
            taken = used.get(resource, 0)
            limit = node.allocatable.get(resource, 0)
            if taken + amount > limit:
                self.report(RESOURCES, where, f"{resource}: {taken} used + {amount} requested > {limit} allocatable")

    def check_anti_affinity(self, where: str, pod: Pod) -> None:
        """Read as if every topology key spanned the cluster."""
        for other in self.running:
            for repulsion in other.repels:
                if _repelled(repulsion, pod):
                    self.report(ANTI_AFFINITY, where, f"pod {other.key} repels it")
            for repulsion in pod.repels:
                if _repelled(repulsion, other):
                    self.report(ANTI_AFFINITY, where, f"it repels pod {other.key}")

    # ------------------------------------------------------------ claims

    def check_claims(self, where: str, pod: Pod, node: Node, placement: Placement) -> None:
        meant = self.claims_of(where, pod)
        self.check_special(where, pod, node, placement)
        if placement.special is not None:
            meant[placement.special.claim.uid] = placement.special.claim
            self.consumers[placement.special.claim.uid] = set()
        for claim in meant.values():
            times = (claim.uid in placement.allocations) + placement.joined.count(claim.uid)
            if times == 0:
                self.report(CLAIMS, where, f"claim {claim.key} is neither allocated nor joined")
            if times > 1:
                self.report(CLAIMS, where, f"claim {claim.key} is dealt with {times} times")
        for uid in [*placement.allocations, *placement.joined]:
            if uid not in meant:
                known = self.world.claims.get(uid)
                self.report(CLAIMS, where, f"claim {known.key if known else uid} is not one of the pod's")
        for uid in placement.joined:
            joined = self.world.claims.get(uid)
            if joined is not None:
                self.check_joined(f"claim {joined.key} for {where}", pod, node, joined)
        for uid, allocation in placement.allocations.items():
            given = meant.get(uid) or self.world.claims.get(uid)
            if given is not None:
                self.check_allocation(f"claim {given.key} for {where}", node, given, allocation)
                self.allocations[uid] = allocation
        for claim in meant.values():
            consumers = self.consumers[claim.uid]
            consumers.add(pod.uid)
            if len(consumers) > MAX_RESERVED_FOR:
                text = f"it would be reserved for {len(consumers)} consumers, more than {MAX_RESERVED_FOR}"
                self.report(RESERVED, f"claim {claim.key} for {where}", text)

    def claims_of(self, where: str, pod: Pod) -> dict[Uid, Claim]:
        """The claims that a pod means; entries that mean the same claim count once."""
        meant: dict[Uid, Claim] = {}
        for entry in pod.claims:
            if entry.template_name is None:
                name = entry.claim_name
            elif entry.name in pod.claim_names:
                name = pod.claim_names[entry.name]
                if name is None:  # this entry needs no claim
                    continue
            else:
                self.report(CLAIMS, where, f"entry {entry.name}: its claim is not made yet")
                continue
            claim = self.claim_named.get((pod.namespace, name or ""))
            if claim is None:
                self.report(CLAIMS, where, f"entry {entry.name}: claim {pod.namespace}/{name} does not exist")
                continue
            if entry.template_name is not None and claim.owner != pod.uid:
                self.report(CLAIMS, where, f"entry {entry.name}: claim {claim.key} is not owned by the pod")
            if claim.deleting:
                self.report(CLAIMS, where, f"entry {entry.name}: claim {claim.key} is being deleted")
            meant[claim.uid] = claim
        return meant

    # ------------------------------------------------------------ extended resources (KEP-5004)

    def delegated(self, pod: Pod, node: Node) -> dict[str, DeviceClass]:
        """What the pod asks of extended resources and devices serve: no plugin offers it there, and a class does."""
        found: dict[str, DeviceClass] = {}
        for asked in pod.extended:
            if node.allocatable.get(asked.resource, 0) > 0:
                continue
            best: DeviceClass | None = None
            for item in self.world.classes.values():
                named = item.extended_resource == asked.resource
                implied = asked.resource == f"deviceclass.resource.kubernetes.io/{item.name}"
                if not named and not implied:
                    continue
                # A class that is newer has the resource, and among equally new ones the one that comes first by name.
                newer = best is not None and item.created > best.created
                ahead = best is not None and item.created == best.created and item.name < best.name
                if best is None or newer or ahead:
                    best = item
            if best is not None:
                found[asked.resource] = best
        return found

    def check_special(self, where: str, pod: Pod, node: Node, placement: Placement) -> None:
        """A claim is made exactly if devices serve something, and gives each container enough that is its own."""
        delegated = self.delegated(pod, node)
        special = placement.special
        if special is None:
            for resource in delegated:
                self.report(EXTENDED, where, f"no claim is made for {resource}, and no device plugin offers it")
            if pod.extended_claim and pod.extended:
                # Its kubelet will look for that claim, and what the status says cannot be taken back.
                self.report(EXTENDED, where, f"the pod still names claim {pod.extended_claim}")
            return
        if not delegated:
            self.report(EXTENDED, where, "a claim is made, and nothing needs it")
        claim = special.claim
        if claim.owner != pod.uid or claim.namespace != pod.namespace:
            self.report(EXTENDED, where, f"claim {claim.key} is not the pod's own")
        if claim.annotations.get("resource.kubernetes.io/extended-resource-claim") != "true":
            self.report(EXTENDED, where, f"claim {claim.key} does not say that it is for extended resources")
        counts: dict[str, int] = {}
        classes: dict[str, str] = {}
        for request in claim.spec.requests:
            if request.name in counts:
                self.report(EXTENDED, where, f"claim {claim.key} has request {request.name} twice")
            counts[request.name] = request.count
            classes[request.name] = request.device_class
        uses: dict[tuple[str, str], list[str]] = {}  # (container, resource) -> requests
        for mapping in special.mappings:
            if mapping.request not in counts:
                self.report(
                    EXTENDED, where, f"container {mapping.container} uses {mapping.request}, which is no request"
                )
                continue
            uses.setdefault((mapping.container, mapping.resource), []).append(mapping.request)
        asked = {(each.container, each.resource): each for each in pod.extended if each.resource in delegated}
        for (container, resource), requests in uses.items():
            if (container, resource) not in asked:
                self.report(EXTENDED, where, f"container {container} does not ask for {resource} here")
            if len(set(requests)) != len(requests):
                self.report(EXTENDED, where, f"container {container} uses a request of {resource} twice")
        for (container, resource), want in asked.items():
            requests = uses.get((container, resource), [])
            if sum(counts[name] for name in requests) < want.amount:
                self.report(EXTENDED, where, f"container {container} gets fewer than {want.amount} of {resource}")
            for name in requests:
                if classes[name] != delegated[resource].name:
                    self.report(EXTENDED, where, f"request {name} for {resource} is for class {classes[name]}")
        for name in counts:
            if not any(name in requests for requests in uses.values()):
                self.report(EXTENDED, where, f"request {name} serves no container")
            # Whoever uses it, no two of them run at the same time: an init container is done before the next begins.
            users = [asked[key] for key, requests in uses.items() if name in requests and key in asked]
            for index, one in enumerate(users):
                for other in users[index + 1 :]:
                    first, second = (one, other) if one.position <= other.position else (other, one)
                    if first.lasting or first.container == second.container:
                        text = (
                            f"containers {first.container} and {second.container} use request {name} at the same time"
                        )
                        self.report(EXTENDED, where, text)

    def check_joined(self, where: str, pod: Pod, node: Node, claim: Claim) -> None:
        allocation = self.allocations.get(claim.uid)
        if allocation is None:
            self.report(JOINED, where, "it is joined but not allocated")
            return
        if allocation.node_selector is not None and not _node_selected(allocation.node_selector, node):
            self.report(JOINED, where, "its allocation is not usable on the node")
        for result in allocation.results:
            for holder in self.holders.get(result.identity, []):
                if holder.uid != claim.uid and not result.admin_access:
                    self.report(IN_USE, where, f"claim {holder.key} has {_show(result.identity)}, too")
        if pod.uid in self.consumers[claim.uid]:
            return
        for result in allocation.results:
            # The API forbids new reservations of a device with such a taint; kube-scheduler does not look.
            for taint in self.taints_anywhere(result.identity):
                if taint.effect == NO_EXECUTE and not _tolerated(taint, result.tolerations):
                    text = f"{_show(result.identity)} has taint {taint.key}={taint.value}:{taint.effect}"
                    self.report(DEVICE_TAINT, where, text)

    # ------------------------------------------------------------ a new allocation

    def check_allocation(self, where: str, node: Node, claim: Claim, allocation: Allocation) -> None:
        spec = claim.spec
        if claim.uid in self.allocations:
            self.report(CLAIMS, where, "it is allocated already")
        for feature in spec.unsupported:
            self.report(UNSUPPORTED, where, f"the claim uses {feature}")
        if len(allocation.results) > MAX_RESULTS:
            self.report(LIMITS, where, f"{len(allocation.results)} results are more than {MAX_RESULTS}")
        if len(allocation.config) > MAX_CONFIG:
            self.report(LIMITS, where, f"{len(allocation.config)} config entries are more than {MAX_CONFIG}")

        self.check_order(where, spec.requests, allocation.results)
        for request in spec.requests:
            own = [result for result in allocation.results if result.request == request.name]
            self.check_request(f"{where}, request {request.name}", node, request, own)
        for result in allocation.results:
            self.check_device(f"{where}, {_show(result.identity)}", node, result)
            # Taken in this order, a device that comes twice is found in use by this very claim.
            holders = self.holders.setdefault(result.identity, [])
            for holder in holders:
                self.report(IN_USE, f"{where}, {_show(result.identity)}", f"claim {holder.key} has it")
            holders.append(claim)
        self.check_constraints(where, node, claim, allocation)
        self.check_usable_on(where, node, allocation)
        self.check_config(where, claim, allocation)

    def check_order(self, where: str, requests: Sequence[Request], results: Sequence[Result]) -> None:
        positions = {request.name: position for position, request in enumerate(requests)}
        reached = 0
        for result in results:
            if result.request not in positions:
                self.report(REQUESTS, where, f"{_show(result.identity)} is for request {result.request}: unknown")
                continue
            if positions[result.request] < reached:
                text = f"{_show(result.identity)} for request {result.request} comes after a later request's"
                self.report(REQUESTS, where, text)
            reached = max(reached, positions[result.request])

    def check_request(self, where: str, node: Node, request: Request, own: Sequence[Result]) -> None:
        """One request with its class, its number of devices, and each device against the selectors and taints."""
        for feature in request.unsupported:
            self.report(UNSUPPORTED, where, f"the request uses {feature}")
        classes = self.world.ownership.device_classes
        if classes and request.device_class not in classes:
            self.report(OWNERSHIP, where, f"device class {request.device_class} is not ours")
        device_class = self.world.classes.get(request.device_class)
        if device_class is None:
            self.report(CLASS, where, f"device class {request.device_class} does not exist")
            return
        for feature in device_class.unsupported:
            self.report(UNSUPPORTED, where, f"device class {device_class.name} uses {feature}")

        if request.mode == EXACT_COUNT:
            if len(own) != request.count:
                self.report(COUNT, where, f"{len(own)} devices, not {request.count}")
        elif request.mode == ALL:
            self.check_all(where, node, request, device_class, own)
        else:
            self.report(UNSUPPORTED, where, f"allocation mode {request.mode}")

        devices = self.local(node).devices
        for result in own:
            if result.tolerations != request.tolerations:
                self.report(TOLERATIONS, where, f"{_show(result.identity)} does not carry the request's tolerations")
            if result.identity not in devices:
                continue  # check_device says so
            _, device = devices[result.identity]
            if not self.selected(where, result.identity, device, request, device_class):
                self.report(SELECTOR, where, f"{_show(result.identity)} does not pass the selectors")
            for taint in self.taints(result.identity, device):
                if taint.effect in (NO_SCHEDULE, NO_EXECUTE) and not _tolerated(taint, request.tolerations):
                    text = f"{_show(result.identity)} has taint {taint.key}={taint.value}:{taint.effect}"
                    self.report(DEVICE_TAINT, where, text)

    def check_all(
        self, where: str, node: Node, request: Request, device_class: DeviceClass, own: Sequence[Result]
    ) -> None:
        """All means all: not one pool in doubt, and every matching device taken, those in use included.

        A device in use is then reported as such, which is why such a request cannot be met until it is free.
        """
        local = self.local(node)
        for problem in local.problems.values():
            self.report(ALL_DEVICES, where, f"cannot tell which devices there are: {problem}")
        for (driver, pool), slices in self.pools.items():
            newest = max(item.generation for item in slices)
            for item in slices:
                if item.node_name is not None or item.node_selector is not None or item.all_nodes:
                    continue
                for device in item.devices:  # on which nodes it can be used is said in a form that we cannot read
                    identity = (driver, pool, device.name)
                    if item.generation == newest and self.selected(where, identity, device, request, device_class):
                        text = f"cannot tell whether {_show(identity)} belongs to it: slice {item.name} uses "
                        self.report(ALL_DEVICES, where, text + ", ".join(item.unsupported))
        matching = {
            identity
            for identity, (_, device) in local.devices.items()
            if self.selected(where, identity, device, request, device_class)
        }
        if not matching:
            self.report(ALL_DEVICES, where, "no device matches")
        for identity in sorted(matching - {result.identity for result in own}):
            self.report(ALL_DEVICES, where, f"{_show(identity)} matches and is left out")

    def check_device(self, where: str, node: Node, result: Result) -> None:
        """The device is ours and is published for the node, in a form that we understand."""
        if result.admin_access:
            self.report(UNSUPPORTED, where, "admin access")
        if result.share_id is not None:
            self.report(UNSUPPORTED, where, "a share of a device")
        drivers = self.world.ownership.drivers
        if drivers and result.driver not in drivers:
            self.report(OWNERSHIP, where, f"driver {result.driver} is not ours")
        local = self.local(node)
        if result.identity not in local.devices:
            pool = (result.driver, result.pool)
            unlisted = f"no slice that the node can use lists it in pool {result.pool} of driver {result.driver}"
            self.report(DEVICE, where, local.problems.get(pool, unlisted))
            return
        item, device = local.devices[result.identity]
        for feature in item.unsupported:
            self.report(UNSUPPORTED, where, f"slice {item.name} uses {feature}")
        for feature in device.unsupported:
            self.report(UNSUPPORTED, where, f"the device uses {feature}")

    def check_constraints(self, where: str, node: Node, claim: Claim, allocation: Allocation) -> None:
        devices = self.local(node).devices
        for constraint in claim.spec.constraints:
            first: AttributeValue | None = None
            for result in allocation.results:
                if constraint.requests and result.request not in constraint.requests:
                    continue
                if result.identity not in devices:
                    continue
                _, device = devices[result.identity]
                value = _attribute(result.driver, device, constraint.match_attribute)
                if value is None:
                    text = f"{_show(result.identity)} lacks attribute {constraint.match_attribute}"
                    self.report(CONSTRAINT, where, text)
                elif first is None:
                    first = value
                elif not _same(first, value):
                    text = f"{_show(result.identity)} has {constraint.match_attribute} {value!r}, another has {first!r}"
                    self.report(CONSTRAINT, where, text)

    # ------------------------------------------------------------ what the allocation says beside its devices

    def check_usable_on(self, where: str, node: Node, allocation: Allocation) -> None:
        """The allocation names exactly the nodes on which all of its devices can be used."""
        devices = self.local(node).devices
        wanted: set[tuple[str, str, str, frozenset[str]]] = set()
        bound_to_node = False
        for result in allocation.results:
            if result.identity not in devices:
                return  # check_device says so
            item, device = devices[result.identity]
            if item.node_name is not None or device.binds_to_node:
                bound_to_node = True
            elif item.node_selector is not None:
                if len(item.node_selector.terms) != 1:
                    self.report(USABLE_ON, where, f"slice {item.name} has a node selector of several terms")
                    return
                wanted |= _requirements(item.node_selector.terms[0])
        if bound_to_node:
            wanted = {("field", "metadata.name", "In", frozenset([node.name]))}

        stated: set[tuple[str, str, str, frozenset[str]]] = set()
        if allocation.node_selector is not None:
            if len(allocation.node_selector.terms) != 1:
                count = len(allocation.node_selector.terms)
                self.report(USABLE_ON, where, f"the allocation's node selector has {count} terms, not one")
                return
            stated = _requirements(allocation.node_selector.terms[0])
            if not stated:
                self.report(USABLE_ON, where, "the allocation's node selector matches nothing")
                return
        if stated != wanted:
            text = f"the allocation is usable where {_spell(stated)}, its devices where {_spell(wanted)}"
            self.report(USABLE_ON, where, text)

    def check_config(self, where: str, claim: Claim, allocation: Allocation) -> None:
        """Class configuration first, then the claim's, each naming its requests unless it is for all of them."""
        every = [request.name for request in claim.spec.requests]
        expected: list[tuple[str, tuple[str, ...], str]] = []
        seen: set[str] = set()
        for request in claim.spec.requests:
            device_class = self.world.classes.get(request.device_class)
            if device_class is None:
                return  # check_request says so
            if device_class.name in seen:
                continue
            seen.add(device_class.name)
            users = tuple(other.name for other in claim.spec.requests if other.device_class == device_class.name)
            for entry in device_class.config:
                expected.append(("FromClass", users, entry))
        for config in claim.spec.config:
            if not config.requests or any(name in every for name in config.requests):
                expected.append(("FromClaim", config.requests, config.entry))
        wanted = []
        for source, requests, entry in expected:
            covers_all = all(name in requests for name in every)
            wanted.append(AllocationConfig(source, () if covers_all else requests, entry))
        if tuple(wanted) != allocation.config:
            self.report(CONFIG, where, f"config is {list(allocation.config)}, not {wanted}")

    # ------------------------------------------------------------ devices

    def selected(
        self, where: str, identity: Identity, device: Device, request: Request, device_class: DeviceClass
    ) -> bool:
        """Whether all selectors of the class and the request hold; one that fails on the device is reported."""
        for expression in (*device_class.selectors, *request.selectors):
            try:
                if not self.evaluate(expression, identity[0], device.attributes, device.capacity):
                    return False
            except InputError as error:
                self.report(SELECTOR, where, f"{_show(identity)}: {error}")
                return False
        return True

    def taints(self, identity: Identity, device: Device) -> list[Taint]:
        """The device's own taints and those that rules give it, less our own, which keeps other schedulers off."""
        driver, pool, name = identity
        found = list(device.taints)
        for rule in self.world.taint_rules.values():
            if not rule.selects:
                continue
            if rule.driver is not None and rule.driver != driver:
                continue
            if rule.pool is not None and rule.pool != pool:
                continue
            if rule.device is not None and rule.device != name:
                continue
            found.append(rule.taint)
        return [taint for taint in found if taint.key != names.OWNED]

    def taints_anywhere(self, identity: Identity) -> list[Taint]:
        """Taints of a device as the newest generation of its pool lists it, whichever nodes can use it."""
        pool = self.pools.get(identity[:2], [])
        newest = max((item.generation for item in pool), default=0)
        for item in pool:
            for device in item.devices:
                if item.generation == newest and device.name == identity[2]:
                    return self.taints(identity, device)
        return []

    def local(self, node: Node) -> _Local:
        """What a node can use."""
        known = self.locals.get(node.name)
        if known is not None:
            return known
        devices: dict[Identity, tuple[Slice, Device]] = {}
        problems: dict[tuple[str, str], str] = {}
        for (driver, pool), slices in self.pools.items():
            usable = [item for item in slices if _targets(item, node)]
            if not usable:
                continue
            newest = max(item.generation for item in usable)
            usable = [item for item in usable if item.generation == newest]
            expected = usable[0].slice_count
            if len(usable) != expected:
                # The rest of the pool may be for other nodes. A newer generation there makes this part obsolete;
                # one that is complete without looking further is used as it is, stale or not.
                if any(item.generation > newest for item in slices):
                    continue
                present = len([item for item in slices if item.generation == newest])
                if present != expected:
                    problems[driver, pool] = (
                        f"pool {pool} of driver {driver} is incomplete: {present} of {expected} slices"
                        f" of generation {newest}"
                    )
                    continue
            listed: dict[Identity, tuple[Slice, Device]] = {}
            twice: list[str] = []
            for item in usable:
                for device in item.devices:
                    identity = (driver, pool, device.name)
                    if identity in listed:
                        twice.append(device.name)
                    listed[identity] = (item, device)
            if twice:
                problems[driver, pool] = (
                    f"pool {pool} of driver {driver} is invalid: it lists {', '.join(sorted(set(twice)))} twice"
                )
            else:
                devices.update(listed)
        self.locals[node.name] = _Local(devices, problems)
        return self.locals[node.name]


def _requirements(term: NodeSelectorTerm) -> set[tuple[str, str, str, frozenset[str]]]:
    """A term without regard to order: what, key, operator, values."""
    labels = {("label", wanted.key, wanted.operator, frozenset(wanted.values)) for wanted in term.labels}
    fields = {("field", wanted.key, wanted.operator, frozenset(wanted.values)) for wanted in term.fields}
    return labels | fields


def _spell(requirements: set[tuple[str, str, str, frozenset[str]]]) -> str:
    words = [f"{what} {key} {operator} {sorted(values)}" for what, key, operator, values in requirements]
    return " and ".join(sorted(words)) if words else "every node is"
