"""New allocations of one pod on one node, device by device, after all that is allocated already."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from scheduler.core.errors import InputError
from scheduler.core.model import (
    ALL,
    EXACT_COUNT,
    Allocation,
    AllocationConfig,
    AttributeValue,
    Claim,
    ClaimSpec,
    Constraint,
    CounterUse,
    Device,
    DeviceClass,
    Node,
    Request,
    Result,
    Uid,
)
from scheduler.core.verify import rules
from scheduler.core.verify.inventory import Inventory, Local
from scheduler.core.verify.rules import Derive, Evaluate, Findings, Identity, PoolKey, World, show
from scheduler.core.verify.words import (
    Lines,
    UnrepresentableError,
    compatible,
    keeps_off,
    lines,
    published,
    reaches,
    resolved,
    spell,
    undistinguished,
    unmatched,
)

_NVIDIA: Final = "gpu.nvidia.com"
OPTIONAL_OPERATIONS: Final = "DRAOptionalNodeOperations"
"""What the kubelet of a node declares that can leave out node operations (KEP-5945)."""
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Given:
    """A claim with the allocation that it is to get, and how to call it."""

    where: str
    claim: Claim
    allocation: Allocation


@dataclass(slots=True)
class Attempt:
    """What the new allocations of one pod take so far, beside what is held.

    taken : devices that are not shared, with the claims that take them; those taken for admin access count here, though
    once allocated they do not. shares : of devices that are. charged : what is drawn from the counters of each pool.
    requested : devices of each request.
    """

    taken: dict[Identity, list[Claim]] = field(default_factory=dict)
    shares: dict[Identity, list[Result]] = field(default_factory=dict)
    charged: dict[PoolKey, list[CounterUse]] = field(default_factory=dict)
    requested: set[tuple[Uid, str, Identity]] = field(default_factory=set)


def alternatives(request: Request) -> Mapping[str, Request]:
    """All that may be allocated for a request, by the name that its results have."""
    if not request.alternatives:
        return {request.name: request}
    return {f"{request.name}/{each.name}": each for each in request.alternatives}


def all_asked(spec: ClaimSpec) -> Mapping[str, Request]:
    """All that may be allocated for a claim, by the name that its results have."""
    return {name: asked for request in spec.requests for name, asked in alternatives(request).items()}


class Allocations:
    """All allocations there are, and the judge of new ones.

    dedicated, shares : by device, what claims have of it; more than one claim with a dedicated device is a mistake.
    """

    def __init__(self, world: World, findings: Findings, evaluate: Evaluate, derive: Derive) -> None:
        self.world = world
        self.gates = world.gates
        self.inventory = Inventory(world)
        self.evaluate = evaluate
        self.derive = derive
        self.report = findings.report
        self.of: dict[Uid, Allocation] = {}
        self.dedicated: dict[Identity, list[Claim]] = {}
        self.shares: dict[Identity, list[Result]] = {}
        for claim in world.claims.values():
            if claim.allocation is not None:
                self.hold(claim, claim.allocation)

    def hold(self, claim: Claim, allocation: Allocation) -> None:
        """Count an allocation as there. Administrators look at devices, they do not take them."""
        self.of[claim.uid] = allocation
        for result in allocation.results:
            if result.admin_access:
                continue
            if result.share_id is not None and self.gates.consumable_capacity:
                self.shares.setdefault(result.identity, []).append(result)
            else:
                self.dedicated.setdefault(result.identity, []).append(claim)

    def held(self, identity: Identity) -> bool:
        """Whether some claim has the device, or a share of it."""
        return identity in self.dedicated or identity in self.shares

    def judge(self, node: Node, given: Sequence[Given]) -> None:
        """Judge the new allocations of one pod in the order of its claims, then count them as there."""
        attempt = Attempt()
        for each in given:
            self.check(each.where, node, each.claim, each.allocation, attempt)
        for each in given:
            self.hold(each.claim, each.allocation)

    def check(self, where: str, node: Node, claim: Claim, allocation: Allocation, attempt: Attempt) -> None:
        """One claim's allocation against its spec."""
        if claim.uid in self.of:
            self.report(rules.CLAIMS, where, "it is allocated already")
        for feature in claim.spec.unsupported:
            self.report(rules.UNSUPPORTED, where, f"the claim uses {feature}")
        if len(allocation.results) > rules.MAX_RESULTS:
            text = f"{len(allocation.results)} results are more than {rules.MAX_RESULTS}"
            self.report(rules.LIMITS, where, text)
        if len(allocation.config) > rules.MAX_CONFIG:
            text = f"{len(allocation.config)} config entries are more than {rules.MAX_CONFIG}"
            self.report(rules.LIMITS, where, text)

        self.check_order(where, claim.spec.requests, allocation.results)
        chosen: dict[str, Request] = {}  # the requests that are met, alternatives by `request/alternative`
        for request in claim.spec.requests:
            if request.alternatives:
                self.check_alternatives(where, request, allocation.results)
            for name, asked in alternatives(request).items():
                own = [result for result in allocation.results if result.request == name]
                if own or not request.alternatives:
                    chosen[name] = asked
                self.check_request(f"{where}, request {name}", node, asked, own if name in chosen else None)
        for result in allocation.results:
            self.check_device(f"{where}, {show(result.identity)}", node, result)
            self.check_taking(
                f"{where}, {show(result.identity)}",
                node,
                claim,
                all_asked(claim.spec).get(result.request),
                result,
                attempt,
            )
        for constraint in claim.spec.constraints:
            self.check_constraint(where, node, claim, allocation, constraint)
        if self.world.fabric_partitions:
            self.check_partition(where, node, allocation)
        self.check_usable_on(where, node, allocation)
        self.check_config(where, claim, chosen, allocation)

    # ------------------------------------------------------------ requests

    def check_order(self, where: str, requests: Sequence[Request], results: Sequence[Result]) -> None:
        """Results name what was asked for, in the order in which it was."""
        positions = {name: number for number, request in enumerate(requests) for name in alternatives(request)}
        reached = 0
        for result in results:
            if result.request not in positions:
                self.report(rules.REQUESTS, where, f"{show(result.identity)} is for request {result.request}: unknown")
                continue
            if positions[result.request] < reached:
                text = f"{show(result.identity)} for request {result.request} comes after a later request's"
                self.report(rules.REQUESTS, where, text)
            reached = max(reached, positions[result.request])

    def check_alternatives(self, where: str, request: Request, results: Sequence[Result]) -> None:
        """Just one alternative is met."""
        if not self.gates.prioritized_list:
            text = f"request {request.name} has alternatives, but DRAPrioritizedList is off"
            self.report(rules.FEATURE, where, text)
        met = [name for name in alternatives(request) if any(result.request == name for result in results)]
        if len(met) != 1:
            text = f"of request {request.name} {' and '.join(met) or 'no alternative'} is met, not one alternative"
            self.report(rules.ALTERNATIVE, where, text)

    def check_request(self, where: str, node: Node, asked: Request, own: Sequence[Result] | None) -> None:
        """A request with its class, and its devices; None for an alternative that was not taken.

        Upstream refuses the whole pod for what is wrong with an alternative, whether it takes that one or not.
        """
        for feature in asked.unsupported:
            self.report(rules.UNSUPPORTED, where, f"the request uses {feature}")
        if asked.mode not in (EXACT_COUNT, ALL):
            self.report(rules.UNSUPPORTED, where, f"allocation mode {asked.mode}")
        if asked.admin_access is not None and not self.gates.admin_access:
            self.report(rules.FEATURE, where, "it speaks of admin access, but DRAAdminAccess is off")
        if asked.capacity is not None and not (self.gates.consumable_capacity or self.gates.settled):
            self.report(rules.FEATURE, where, "it asks for capacity, but DRAConsumableCapacity is off")
        if asked.derived and not self.gates.derived_attributes:
            self.report(rules.FEATURE, where, "it derives attributes, but DRADerivedAttributes is off")
        device_class = self.world.classes.get(asked.device_class)
        if device_class is None:
            self.report(rules.CLASS, where, f"device class {asked.device_class} does not exist")
            return
        for feature in device_class.unsupported:
            self.report(rules.UNSUPPORTED, where, f"device class {device_class.name} uses {feature}")
        matching = self.all_matching(where, node, asked, device_class) if asked.mode == ALL else set()
        if own is None:
            return

        classes = self.world.ownership.device_classes
        if classes and asked.device_class not in classes:
            self.report(rules.OWNERSHIP, where, f"device class {asked.device_class} is not ours")
        if asked.mode == EXACT_COUNT and len(own) != asked.count:
            self.report(rules.COUNT, where, f"{len(own)} devices, not {asked.count}")
        if asked.mode == ALL:
            if not matching:
                self.report(rules.ALL_DEVICES, where, "no device matches")
            for identity in sorted(matching - {result.identity for result in own}):
                self.report(rules.ALL_DEVICES, where, f"{show(identity)} matches and is left out")
        devices = self.inventory.local(node).devices
        for result in own:
            if result.tolerations != asked.tolerations:
                text = f"{show(result.identity)} does not carry the request's tolerations"
                self.report(rules.TOLERATIONS, where, text)
            if result.admin_access != bool(asked.admin_access):
                text = f"{show(result.identity)} is {'' if result.admin_access else 'not '}allocated for admin access"
                self.report(rules.ADMIN, where, text)
            if result.identity not in devices:
                continue  # check_device says so
            _, device = devices[result.identity]
            if not self.selected(where, result.identity, device, asked, device_class):
                self.report(rules.SELECTOR, where, f"{show(result.identity)} does not pass the selectors")
            for taint in self.inventory.taints(result.identity, device):
                if keeps_off(taint, asked.tolerations):
                    text = f"{show(result.identity)} has taint {taint.key}={taint.value}:{taint.effect}"
                    self.report(rules.DEVICE_TAINT, where, text)

    def all_matching(self, where: str, node: Node, asked: Request, device_class: DeviceClass) -> set[Identity]:
        """What "all" is: every matching device, those in use included, and not one pool may be in doubt.

        A device in use is reported as such when it is taken: such a request cannot be met until it is free.
        """
        local = self.inventory.local(node)
        for problem in local.problems.values():
            self.report(rules.ALL_DEVICES, where, f"cannot tell which devices there are: {problem}")
        found = set()
        for identity, (item, device) in local.devices.items():
            if device.binding_conditions and not self.gates.binding_conditions:
                continue
            if not self.selected(where, identity, device, asked, device_class):
                continue
            if reaches(item, device, node) and self.large_enough(where, identity, device, asked):
                found.add(identity)
        return found

    def selected(
        self, where: str, identity: Identity, device: Device, asked: Request, device_class: DeviceClass
    ) -> bool:
        """Whether all selectors of the class and the request hold; one that fails on the device is reported."""
        for expression in (*device_class.selectors, *asked.selectors):
            if device.malformed:
                self.report(rules.SELECTOR, where, f"{show(identity)}: {device.malformed}")
                return False
            try:
                shared = device.shareable and not self.gates.settled
                if not self.evaluate(expression, identity[0], device.attributes, device.capacity, shared):
                    return False
            except InputError as error:
                self.report(rules.SELECTOR, where, f"{show(identity)}: {error}")
                return False
        return True

    def large_enough(self, where: str, identity: Identity, device: Device, asked: Request) -> bool:
        """Whether the device could serve the request if nothing of it were in use."""
        if not self.gates.consumable_capacity:
            return True
        try:
            fractional = self.gates.fractional_capacity_range
            return resolved(asked.capacity, device, fractional=fractional) is not None
        except UnrepresentableError as error:
            self.report(rules.CAPACITY, where, f"{show(identity)}: {error}")
            return False

    def check_partition(self, where: str, node: Node, allocation: Allocation) -> None:
        """The whole GPUs of a claim are all GPUs of one published partition, on a node where any is published."""
        gpus = {
            identity: device
            for identity, (_, device) in self.inventory.local(node).devices.items()
            if identity[0] == _NVIDIA and published(_NVIDIA, device, f"{_NVIDIA}/type") == "gpu"
        }
        taken = {result.identity for result in allocation.results if not result.admin_access} & gpus.keys()
        sets = [
            {each for each, device in gpus.items() if published(_NVIDIA, device, attribute) == value}
            for attribute in (f"{_NVIDIA}/partition{len(taken)}",)
            for value in {published(_NVIDIA, device, attribute) for device in gpus.values()} - {None}
        ]
        anywhere = any(
            published(_NVIDIA, device, f"{_NVIDIA}/partition{size}") is not None
            for device in gpus.values()
            for size in (1, 2, 4, 8)
        )
        if taken and anywhere and taken not in sets:
            named = ", ".join(sorted(identity[2] for identity in taken))
            self.report(rules.PARTITION, where, f"{named} are not the whole of one Fabric Manager partition")

    # ------------------------------------------------------------ devices

    def check_device(self, where: str, node: Node, result: Result) -> None:
        """The device is ours and is published for the node, in a form that we understand; its marks are copied."""
        drivers = self.world.ownership.drivers
        if drivers and result.driver not in drivers:
            self.report(rules.OWNERSHIP, where, f"driver {result.driver} is not ours")
        local = self.inventory.local(node)
        if result.identity not in local.devices:
            pool = (result.driver, result.pool)
            unlisted = f"no slice that the node can use lists it in pool {result.pool} of driver {result.driver}"
            self.report(rules.DEVICE, where, local.problems.get(pool, unlisted))
            return
        item, device = local.devices[result.identity]
        if not reaches(item, device, node):
            self.report(rules.DEVICE, where, "the device itself is not for this node")
        for feature in item.unsupported:
            self.report(rules.UNSUPPORTED, where, f"slice {item.name} uses {feature}")
        for feature in device.unsupported:
            self.report(rules.UNSUPPORTED, where, f"the device uses {feature}")
        if device.binding_conditions and not self.gates.binding_conditions:
            self.report(rules.FEATURE, where, "it has binding conditions, but DRADeviceBindingConditions is off")
        elif (result.binding_conditions, result.binding_failures) != (
            device.binding_conditions,
            device.binding_failures,
        ):
            self.report(rules.BINDING, where, "the result does not carry the device's binding conditions")
        if item.skip_operations and self.gates.experimental:
            if not self.gates.optional_node_operations:
                text = f"slice {item.name} leaves out node operations, but DRAOptionalNodeOperations is off"
                self.report(rules.FEATURE, where, text)
            elif OPTIONAL_OPERATIONS not in node.features:
                text = f"slice {item.name} leaves out node operations, which the node cannot: {OPTIONAL_OPERATIONS}"
                self.report(rules.SKIPPED, where, text)
        if result.skip_operations != (item.skip_operations if self.gates.experimental else ()):
            self.report(rules.SKIPPED, where, "the result does not carry the node operations that its slice leaves out")

    def check_taking(
        self, where: str, node: Node, claim: Claim, asked: Request | None, result: Result, attempt: Attempt
    ) -> None:
        """The device is free, or enough of it, after all that this pod took before; then it is taken."""
        local = self.inventory.local(node)
        if result.identity not in local.devices:  # check_device says so
            shareable = result.share_id is not None
            self.check_free(where, claim, result, attempt, shareable=shareable)
            return
        _, device = local.devices[result.identity]
        shareable = device.shareable and self.gates.consumable_capacity
        self.check_free(where, claim, result, attempt, shareable=shareable)
        further = shareable and (result.identity in self.shares or result.identity in attempt.shares)
        if device.consumes and not self.gates.partitionable_devices:
            self.report(rules.FEATURE, where, "it consumes counters, but DRAPartitionableDevices is off")
        elif device.consumes and not further:  # a further share draws nothing more
            self.check_counters(where, local, result, device, attempt)
        self.check_share(where, result, attempt, shareable=shareable)
        if self.gates.consumable_capacity and asked is not None:
            self.check_capacity(where, asked, result, device, attempt, shareable=shareable)
        if shareable:
            attempt.shares.setdefault(result.identity, []).append(result)

    def check_free(self, where: str, claim: Claim, result: Result, attempt: Attempt, *, shareable: bool) -> None:
        """Nobody has the device for itself, and no request takes it twice."""
        before = attempt.taken.setdefault(result.identity, [])
        if result.admin_access:
            if any(other.uid == claim.uid for other in before):
                self.report(rules.IN_USE, where, f"claim {claim.key} has it already")
        else:
            for holder in [*self.dedicated.get(result.identity, []), *before]:
                self.report(rules.IN_USE, where, f"claim {holder.key} has it")
        if shareable:
            once = (claim.uid, result.request, result.identity)
            if once in attempt.requested:
                self.report(rules.IN_USE, where, f"request {result.request} takes it twice")
            attempt.requested.add(once)
        else:
            before.append(claim)

    def check_share(self, where: str, result: Result, attempt: Attempt, *, shareable: bool) -> None:
        """A share has a name of its own, a device that is not shared has none."""
        if not shareable:
            if result.share_id is not None:
                self.report(rules.SHARE, where, "it is allocated as a share, but it is not shareable")
            if result.consumed:
                self.report(rules.SHARE, where, "it is allocated whole, but says what it consumes")
            return
        if result.share_id is None:
            self.report(rules.SHARE, where, "it is shareable, but the result has no shareID")
            return
        if not _UUID.fullmatch(result.share_id):
            self.report(rules.SHARE, where, f"shareID {result.share_id} is not a UUID in lower case")
        others = [*self.shares.get(result.identity, []), *attempt.shares.get(result.identity, [])]
        if any(other.share_id == result.share_id for other in others):
            self.report(rules.SHARE, where, f"another share has shareID {result.share_id}, too")

    def check_capacity(
        self, where: str, asked: Request, result: Result, device: Device, attempt: Attempt, *, shareable: bool
    ) -> None:
        """What the request takes of each capacity is left, and a share says how much that is."""
        try:
            taken = resolved(asked.capacity, device, fractional=self.gates.fractional_capacity_range)
        except UnrepresentableError as error:
            self.report(rules.CAPACITY, where, str(error))
            return
        if taken is None:
            asked_for = {name: amount.text for name, amount in (asked.capacity or {}).items()}
            self.report(rules.CAPACITY, where, f"it cannot serve a request for {asked_for}, even unused")
            return
        others = [*self.shares.get(result.identity, []), *attempt.shares.get(result.identity, [])]
        for name, amount in taken.items():
            used = sum(other.consumed[name].nanos for other in others if other.consumed and name in other.consumed)
            if used + amount.nanos > device.capacity[name].nanos:
                text = f"{name}: {used} nano-units used + {amount.text} > {device.capacity[name].text}"
                self.report(rules.CAPACITY, where, text)
        if shareable and dict(result.consumed or {}) != dict(taken):
            said = {name: amount.text for name, amount in (result.consumed or {}).items()}
            due = {name: amount.text for name, amount in taken.items()}
            self.report(rules.SHARE, where, f"it says that it consumes {said}, not {due}")

    def check_counters(self, where: str, local: Local, result: Result, device: Device, attempt: Attempt) -> None:
        """The pool can give what the device draws, after all of its devices that are in use, on whatever node."""
        key = result.identity[:2]
        pool = local.pools[key]
        drawn = attempt.charged.setdefault(key, [])
        standing = [
            use
            for item in pool.slices
            if not item.counter_sets
            for other in item.devices
            if self.held((*key, other.name))
            for use in other.consumes
        ]
        if self.gates.compatibility_groups:
            for use in device.consumes:
                members = [each.groups for each in (*standing, *drawn) if each.counter_set == use.counter_set]
                if not compatible(members, use.groups):
                    text = f"groups {use.groups} are not compatible with the others of {use.counter_set}: {members}"
                    self.report(rules.COMPATIBILITY, where, text)
        drawn.extend(device.consumes)
        for counter_set in pool.counters.values():  # all of them: one that is overdrawn shuts the others, too
            for name, amount in counter_set.counters.items():
                total = sum(
                    each.counters[name].nanos
                    for each in (*standing, *drawn)
                    if each.counter_set == counter_set.name and name in each.counters
                )
                if total > amount.nanos:
                    text = (
                        f"{total} nano-units drawn of {counter_set.name}.{name} of its pool, which has {amount.nanos}"
                    )
                    self.report(rules.COUNTERS, where, text)

    # ------------------------------------------------------------ constraints

    def check_constraint(
        self, where: str, node: Node, claim: Claim, allocation: Allocation, constraint: Constraint
    ) -> None:
        """The devices of the requests that it names, alternatives by their request's name or their own."""
        if constraint.distinct and self.gates.settled:
            self.report(rules.FEATURE, where, "devices must be distinct, but DRAConsumableCapacity is off")
        devices = self.inventory.local(node).devices
        asked = all_asked(claim.spec)
        known: list[tuple[Identity, AttributeValue]] = []
        # Whether a list may stand beside other values can depend on which comes first, and kube-scheduler takes the
        # devices of a request in the order of their listing.
        requests = list(dict.fromkeys(result.request for result in allocation.results))
        listing = {identity: position for position, identity in enumerate(devices)}
        for result in sorted(
            allocation.results, key=lambda each: (requests.index(each.request), listing.get(each.identity, -1))
        ):
            parent = result.request.partition("/")[0]
            if constraint.requests and result.request not in constraint.requests and parent not in constraint.requests:
                continue
            if result.identity not in devices:
                continue  # check_device says so
            _, device = devices[result.identity]
            derived = dict(asked[result.request].derived) if result.request in asked else {}
            if constraint.attribute in derived:
                try:
                    expression = derived[constraint.attribute]
                    value: AttributeValue | None = self.derive(
                        expression, result.driver, device.attributes, device.capacity, device.shareable
                    )
                except InputError as error:
                    self.report(rules.CONSTRAINT, where, f"{show(result.identity)}: {error}")
                    continue
            else:
                value = published(result.driver, device, constraint.attribute)
            if value is None:
                text = f"{show(result.identity)} lacks attribute {constraint.attribute}"
                self.report(rules.CONSTRAINT, where, text)
            else:
                known.append((result.identity, value))
        refuse = undistinguished if constraint.distinct else unmatched
        values = [value for _, value in known]
        position = refuse(values, lists=self.gates.list_attributes)
        if position is not None:
            kind = "distinct from" if constraint.distinct else "the same as"
            text = (
                f"{constraint.attribute} {values[position]!r} of {show(known[position][0])} is not {kind} the others'"
            )
            self.report(rules.CONSTRAINT, where, f"{text}: {values[:position]}")

    # ------------------------------------------------------------ what the allocation says beside its devices

    def check_usable_on(self, where: str, node: Node, allocation: Allocation) -> None:
        """The allocation names exactly the nodes on which all of its devices can be used."""
        devices = self.inventory.local(node).devices
        wanted: Lines = set()
        for result in allocation.results:
            if result.identity not in devices:
                return  # check_device says so
            item, device = devices[result.identity]
            node_name = device.node_name if item.per_device else item.node_name
            selector = device.node_selector if item.per_device else item.node_selector
            if node_name is not None or (device.binds_to_node and not self.gates.settled):
                wanted = {("field", "metadata.name", "In", frozenset([node.name]))}
                break
            if selector is None:
                continue
            if len(selector.terms) > 1:
                self.report(rules.USABLE_ON, where, f"{show(result.identity)} is for nodes of several terms")
                return
            for term in selector.terms:
                wanted |= lines(term)

        stated: Lines = set()
        if allocation.node_selector is not None:
            if len(allocation.node_selector.terms) != 1:
                count = len(allocation.node_selector.terms)
                self.report(rules.USABLE_ON, where, f"the allocation's node selector has {count} terms, not one")
                return
            stated = lines(allocation.node_selector.terms[0])
            if not stated:
                self.report(rules.USABLE_ON, where, "the allocation's node selector matches nothing")
                return
        if stated != wanted:
            text = f"the allocation is usable where {spell(stated)}, its devices where {spell(wanted)}"
            self.report(rules.USABLE_ON, where, text)

    def check_config(self, where: str, claim: Claim, chosen: Mapping[str, Request], allocation: Allocation) -> None:
        """Class configuration first, then the claim's, each naming its requests unless it is for all of them."""
        expected: list[tuple[str, tuple[str, ...], str]] = []
        seen: set[str] = set()
        for asked in chosen.values():
            device_class = self.world.classes.get(asked.device_class)
            if device_class is None:
                return  # check_request says so
            if device_class.name in seen:
                continue
            seen.add(device_class.name)
            users = tuple(name for name, other in chosen.items() if other.device_class == device_class.name)
            for entry in device_class.config:
                expected.append(("FromClass", users, entry))
        for config in claim.spec.config:
            if not config.requests or any(_names(config.requests, name) for name in chosen):
                expected.append(("FromClaim", config.requests, config.entry))
        wanted = []
        for source, requests, entry in expected:
            covers_all = all(_names(requests, name) for name in chosen)
            wanted.append(AllocationConfig(source, () if covers_all else requests, entry))
        if tuple(wanted) != allocation.config:
            self.report(rules.CONFIG, where, f"config is {list(allocation.config)}, not {wanted}")


def _names(listed: Iterable[str], name: str) -> bool:
    """Whether a list of requests names one, or the request of which it is an alternative."""
    return name in listed or name.partition("/")[0] in listed
