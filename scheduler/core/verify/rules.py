"""The rules by the words under which a violation is reported, what is judged by them, and what is found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from scheduler.core import names
from scheduler.core.config import Ownership
from scheduler.core.gates import Gates
from scheduler.core.model import AttributeValue, Claim, DeviceClass, Node, Pod, PodGroup, Slice, TaintRule, Uid
from scheduler.core.quantity import Quantity
from scheduler.core.verify.storage import STORAGE_RULES, Storage

POD: Final = "pod"  # pending, ours, alive, and placed once
GATES: Final = "scheduling-gates"
UNSUPPORTED: Final = "unsupported"  # nothing is used whose meaning this version does not implement
FEATURE: Final = "feature-gate"  # nothing is used whose gate is off
NODE: Final = "node"  # exists
OWNERSHIP: Final = "ownership"  # only nodes, drivers and device classes given to us
UNSCHEDULABLE: Final = "unschedulable"
NODE_TAINT: Final = "node-taint"
NODE_SELECTOR: Final = "node-selector"
NODE_AFFINITY: Final = "node-affinity"
NODE_FEATURES: Final = "node-declared-features"
NOMINATED: Final = "nominated-pods"  # room that is kept for others is left
RESOURCES: Final = "resources"  # allocatable is never exceeded
HOST_PORTS: Final = "host-ports"  # no two pods of a node have the same
POD_AFFINITY: Final = "pod-affinity"
ANTI_AFFINITY: Final = "anti-affinity"  # of the pod, and of those that run already
SPREAD: Final = "topology-spread"
CLAIMS: Final = "claims"  # exactly the claims that the pod means, each usable
JOINED: Final = "joined-claim"  # allocated, and usable on the node
RESERVED: Final = "reserved-for"  # consumers per claim
CLASS: Final = "device-class"  # exists
LIMITS: Final = "limits"  # entries per allocation
REQUESTS: Final = "requests"  # results name requests, in their order
ALTERNATIVE: Final = "first-available"  # just one alternative of a request is met
COUNT: Final = "count"
ALL_DEVICES: Final = "all-devices"
ADMIN: Final = "admin-access"  # stated where it was asked for, and only there
DEVICE: Final = "device"  # published for the node, in a complete and valid pool
IN_USE: Final = "device-in-use"
SELECTOR: Final = "selector"
CAPACITY: Final = "capacity"  # what is asked of each capacity exists, may be asked, and is left
SHARE: Final = "share"  # a share is recorded with what it takes, and only shares are
COUNTERS: Final = "shared-counters"  # of a pool are never overdrawn
COMPATIBILITY: Final = "compatibility-groups"
DEVICE_TAINT: Final = "device-taint"
CONSTRAINT: Final = "constraint"
PARTITION: Final = "fabric-partition"  # whole GPUs of a claim are one Fabric Manager partition
TOLERATIONS: Final = "tolerations"  # copied into results
BINDING: Final = "binding-conditions"  # copied into results
SKIPPED: Final = "skip-node-operations"  # copied into results, and only where the node can skip them
USABLE_ON: Final = "allocation-node-selector"
CONFIG: Final = "allocation-config"
EXTENDED: Final = "extended-resources"  # served by a device plugin, or by a claim that is made for them

RULES: Final = (
    POD, GATES, UNSUPPORTED, FEATURE, NODE, OWNERSHIP, UNSCHEDULABLE, NODE_TAINT, NODE_SELECTOR, NODE_AFFINITY,
    NODE_FEATURES, NOMINATED, RESOURCES, HOST_PORTS, POD_AFFINITY, ANTI_AFFINITY, SPREAD, CLAIMS, JOINED, RESERVED,
    CLASS, LIMITS, REQUESTS, ALTERNATIVE, COUNT, ALL_DEVICES, ADMIN, DEVICE, IN_USE, SELECTOR, CAPACITY, SHARE,
    COUNTERS, COMPATIBILITY, DEVICE_TAINT, CONSTRAINT, PARTITION, TOLERATIONS, BINDING, SKIPPED, USABLE_ON, CONFIG,
    EXTENDED, *STORAGE_RULES,
)  # fmt: skip

# Limits of resource.k8s.io/v1.
MAX_RESULTS: Final = 32
MAX_CONFIG: Final = 64
MAX_RESERVED_FOR: Final = 256

Evaluate = Callable[[str, str, Mapping[str, AttributeValue], Mapping[str, Quantity], bool], bool]
"""Whether a device passes a CEL selector: (expression, driver, attributes, capacity, shared). Raises InputError."""
Derive = Callable[[str, str, Mapping[str, AttributeValue], Mapping[str, Quantity], bool], AttributeValue]
"""The value of a derived attribute: (expression, driver, attributes, capacity, shared). Raises InputError."""

Identity = tuple[str, str, str]
"""Driver, pool and device."""
PoolKey = tuple[str, str]
"""Driver and pool."""


@dataclass(frozen=True, slots=True)
class World:
    """All that a plan is judged by.

    claims : those with an allocation hold its devices, whoever wrote it. pods : those with a node use its resources
    until they are done; `scheduler_names` tell which of the others are ours. gates : which rules are in force.
    groups : pod groups by namespace/name, which count while their gate is on.
    fabric_partitions : whether Fabric Manager partitions are kept whole.
    unlisted_draw : whether a device in use that no slice lists shuts a pool with shared counters.
    namespaces : the labels of those that exist, by name.
    """

    nodes: Mapping[str, Node]
    slices: Mapping[str, Slice]
    classes: Mapping[str, DeviceClass]
    taint_rules: Mapping[str, TaintRule]
    claims: Mapping[Uid, Claim]
    pods: Mapping[Uid, Pod]
    ownership: Ownership
    scheduler_names: frozenset[str] = frozenset({names.SCHEDULER_NAME})
    gates: Gates = field(default_factory=Gates)
    groups: Mapping[str, PodGroup] = field(default_factory=dict)
    fabric_partitions: bool = True
    unlisted_draw: bool = True
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    storage: Storage = field(default_factory=Storage)


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule (one of RULES), the object that breaks it, and how."""

    rule: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text} ({self.rule})"


class Findings:
    """What was found so far, in the order in which it was."""

    def __init__(self) -> None:
        self.found: list[Violation] = []

    def report(self, rule: str, where: str, text: str) -> None:
        """Note a violation, once: rules about a pool are met again for each of its devices."""
        violation = Violation(rule, where, text)
        if violation not in self.found:
            self.found.append(violation)


def show(identity: Identity) -> str:
    """A device in words."""
    return "device " + "/".join(identity)
