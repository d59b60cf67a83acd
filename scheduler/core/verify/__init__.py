"""The independent checker: a plan against every rule of scheduling and allocation, one object at a time.

It shares nothing with the solvers but the model, and does everything the slow and obvious way, so that a mistake there
is not repeated here. Placements are applied one after another; each is judged in the world that those before it leave.

    rules        the rules by name, what is judged, what is found
    words        what selectors, taints, attributes and amounts of the API mean, one at a time
    inventory    which devices a node can use
    allocation   new allocations of one pod, device by device
    extended     extended resources that devices serve
    neighbours   what pods ask of each other
    storage      volumes: those that pods have, and those that they are given
    plan         pods, their nodes and their claims

Sources: the allocator of k8s.io/dynamic-resource-allocation v0.37.2 (structured, experimental) and the dynamicresources
plugin of kube-scheduler v1.37.2 for claims and devices, its volume plugins for volumes; core/v1 for nodes, taints and
affinity.

Not judged: that no better alternative of a request could have been met, and errors that upstream meets only on devices
which it tries before those that it takes; both depend on its search. Nor what devices take of their node's own
resources (DRANodeAllocatableResources), and the label of a namespace that allows admin access, which the model does
not hold.
"""

from scheduler.core.verify.plan import violations, violations_of_claims
from scheduler.core.verify.rules import (
    ADMIN,
    ALL_DEVICES,
    ALTERNATIVE,
    ANTI_AFFINITY,
    BINDING,
    CAPACITY,
    CLAIMS,
    CLASS,
    COMPATIBILITY,
    CONFIG,
    CONSTRAINT,
    COUNT,
    COUNTERS,
    DEVICE,
    DEVICE_TAINT,
    EXTENDED,
    FEATURE,
    GATES,
    HOST_PORTS,
    IN_USE,
    JOINED,
    LIMITS,
    NODE,
    NODE_AFFINITY,
    NODE_FEATURES,
    NODE_SELECTOR,
    NODE_TAINT,
    NOMINATED,
    OWNERSHIP,
    PARTITION,
    POD,
    POD_AFFINITY,
    REQUESTS,
    RESERVED,
    RESOURCES,
    RULES,
    SELECTOR,
    SHARE,
    SKIPPED,
    SPREAD,
    TOLERATIONS,
    UNSCHEDULABLE,
    UNSUPPORTED,
    USABLE_ON,
    Derive,
    Evaluate,
    Violation,
    World,
)
from scheduler.core.verify.storage import ATTACH, DISK, MOUNT, ONE_POD, VOLUME, VOLUME_CLAIMS, Storage

__all__ = [
    "ADMIN",
    "ALL_DEVICES",
    "ALTERNATIVE",
    "ANTI_AFFINITY",
    "ATTACH",
    "BINDING",
    "CAPACITY",
    "CLAIMS",
    "CLASS",
    "COMPATIBILITY",
    "CONFIG",
    "CONSTRAINT",
    "COUNT",
    "COUNTERS",
    "DEVICE",
    "DEVICE_TAINT",
    "DISK",
    "EXTENDED",
    "FEATURE",
    "GATES",
    "HOST_PORTS",
    "IN_USE",
    "JOINED",
    "LIMITS",
    "MOUNT",
    "NODE",
    "NODE_AFFINITY",
    "NODE_FEATURES",
    "NODE_SELECTOR",
    "NODE_TAINT",
    "NOMINATED",
    "ONE_POD",
    "OWNERSHIP",
    "PARTITION",
    "POD",
    "POD_AFFINITY",
    "REQUESTS",
    "RESERVED",
    "RESOURCES",
    "RULES",
    "SELECTOR",
    "SHARE",
    "SKIPPED",
    "SPREAD",
    "TOLERATIONS",
    "UNSCHEDULABLE",
    "UNSUPPORTED",
    "USABLE_ON",
    "VOLUME",
    "VOLUME_CLAIMS",
    "Derive",
    "Evaluate",
    "Storage",
    "Violation",
    "World",
    "violations",
    "violations_of_claims",
]
