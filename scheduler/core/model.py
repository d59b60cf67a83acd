"""Kubernetes objects as the scheduler means them: frozen, with API names, holding only what a decision reads.

`cluster/decode.py` builds these from API JSON; only `cluster/wire` knows the wire shapes. Meaning that this
version does not implement is not dropped: it is named in `unsupported`, and whoever would use the object refuses it
with those words.

Amounts of node resources are integers: `cpu` in thousandths of a core, everything else in whole units (bytes, pods,
devices), rounded up as kube-scheduler does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NewType

from scheduler.core.quantity import Quantity

EXACT_COUNT: Final = "ExactCount"
ALL: Final = "All"
NO_SCHEDULE: Final = "NoSchedule"
NO_EXECUTE: Final = "NoExecute"
PREFER_NO_SCHEDULE: Final = "PreferNoSchedule"
ANY_ADDRESS: Final = "0.0.0.0"
MAX_RESULTS: Final = 32  # devices of one claim (resource.k8s.io/v1, AllocationResultsMaxSize)
MAX_CONFIG: Final = 64  # entries in one allocation (32 of classes and 32 of the claim)
MAX_CONSUMERS: Final = 256  # of one claim (ResourceClaimReservedForMaxSize)


@dataclass(frozen=True, slots=True)
class Version:
    """A semantic version as a driver published it."""

    text: str


AttributeScalar = bool | int | str | Version
AttributeValue = AttributeScalar | tuple[AttributeScalar, ...]
"""A tuple is a list attribute (KEP-5491); all of its values have one type."""
Resources = Mapping[str, int]
Uid = NewType("Uid", str)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of a node or label selector: key, operator (In, NotIn, Exists, DoesNotExist, Gt, Lt), values."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeSelectorTerm:
    """Requirements that must all hold; a term without any matches nothing."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeSelector:
    """Terms of which one must hold (core/v1 NodeSelector)."""

    terms: tuple[NodeSelectorTerm, ...]


@dataclass(frozen=True, slots=True)
class Taint:
    """Of a node or of a device."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Toleration:
    """Of a pod or of a claim's request; empty key and empty effect match every one."""

    key: str
    operator: str
    value: str
    effect: str
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A container image on a node, by one of its names, with its size in bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Node:
    """A node; `annotations` holds only those with our prefix, `features` what its kubelet declares (KEP-5328).

    images : by every name that they have.
    """

    name: str
    uid: Uid
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    taints: tuple[Taint, ...]
    unschedulable: bool
    allocatable: Resources
    features: frozenset[str] = frozenset()
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class CounterUse:
    """What a device takes from one counter set of its pool (KEP-4815); `groups` are compatibility groups (KEP-5963)."""

    counter_set: str
    counters: Mapping[str, Quantity]
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CounterSet:
    """Counters that devices of a pool share."""

    name: str
    counters: Mapping[str, Quantity]


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """How much of a capacity one share takes (KEP-5075): `values` ascending, or a range with a step."""

    default: Quantity | None = None
    values: tuple[Quantity, ...] = ()
    minimum: Quantity | None = None
    maximum: Quantity | None = None
    step: Quantity | None = None
    ranged: bool = False


@dataclass(frozen=True, slots=True)
class Device:
    """A device as its driver publishes it; names without a domain belong to the driver's domain.

    shareable : allowMultipleAllocations. policies : of `capacity`, by the same names.
    node_name, node_selector, all_nodes : where it can be used, if its slice selects nodes per device.
    allocatable : the API's nodeAllocatableResources as compact JSON, empty if it has none (KEP-5517).
    malformed : why a selector cannot be evaluated on it, empty if it can.
    unsupported : features of this device that keep it out of every allocation.
    """

    name: str
    attributes: Mapping[str, AttributeValue]
    capacity: Mapping[str, Quantity]
    taints: tuple[Taint, ...] = ()
    binds_to_node: bool = False
    unsupported: tuple[str, ...] = ()
    malformed: str = ""
    consumes: tuple[CounterUse, ...] = ()
    shareable: bool = False
    policies: Mapping[str, RequestPolicy] = field(default_factory=dict)
    binding_conditions: tuple[str, ...] = ()
    binding_failures: tuple[str, ...] = ()
    node_name: str | None = None
    node_selector: NodeSelector | None = None
    all_nodes: bool = False
    allocatable: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """A ResourceSlice: one part of a generation of the pool (driver, pool).

    counter_sets : a slice has these or devices. per_device : each device says on which nodes it can be used.
    skip_operations : what the kubelet need not do for its devices (KEP-5945).
    """

    name: str
    driver: str
    pool: str
    generation: int
    slice_count: int
    node_name: str | None
    node_selector: NodeSelector | None
    all_nodes: bool
    devices: tuple[Device, ...]
    unsupported: tuple[str, ...] = ()
    counter_sets: tuple[CounterSet, ...] = ()
    per_device: bool = False
    skip_operations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """A named set of selectors with configuration; `config` keeps the API's entries as compact JSON texts.

    created : creationTimestamp, RFC 3339; of two classes that claim one extended resource the newer has it.
    """

    name: str
    selectors: tuple[str, ...]
    config: tuple[str, ...] = ()
    extended_resource: str = ""
    unsupported: tuple[str, ...] = ()
    created: str = ""


@dataclass(frozen=True, slots=True)
class TaintRule:
    """A DeviceTaintRule; `selects` is false for a rule without deviceSelector, which matches nothing."""

    name: str
    selects: bool
    driver: str | None
    pool: str | None
    device: str | None
    taint: Taint


@dataclass(frozen=True, slots=True)
class Request:
    """Devices of one kind that a claim asks for, or with `alternatives` the first of those that can be had.

    admin_access : as the API has it, where absent and false differ while the feature is off.
    capacity : least amounts by capacity name; None where the request says nothing at all about capacity.
    derived : attributes computed from the device for constraints, full name and CEL expression (KEP-6080).
    """

    name: str
    device_class: str
    selectors: tuple[str, ...] = ()
    mode: str = EXACT_COUNT
    count: int = 1
    tolerations: tuple[Toleration, ...] = ()
    unsupported: tuple[str, ...] = ()
    admin_access: bool | None = None
    capacity: Mapping[str, Quantity] | None = None
    derived: tuple[tuple[str, str], ...] = ()
    alternatives: tuple["Request", ...] = ()


@dataclass(frozen=True, slots=True)
class Constraint:
    """The devices of the named requests (none named: of the claim) share a value of `attribute`, or all differ in it.

    A name is that of a request, or `request/alternative`.
    """

    requests: tuple[str, ...]
    attribute: str
    distinct: bool = False


@dataclass(frozen=True, slots=True)
class ClaimConfig:
    """One opaque configuration entry of a claim spec; `entry` is the API's entry as compact JSON, without requests."""

    requests: tuple[str, ...]
    entry: str


@dataclass(frozen=True, slots=True)
class ClaimSpec:
    """What a claim or a template asks for."""

    requests: tuple[Request, ...]
    constraints: tuple[Constraint, ...] = ()
    config: tuple[ClaimConfig, ...] = ()
    unsupported: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """One allocated device. (driver, pool, device) identifies it; the slice that lists it does not matter.

    share_id : set for a share of a shareable device; `consumed` is what this share takes of each capacity.
    """

    request: str
    driver: str
    pool: str
    device: str
    admin_access: bool = False
    share_id: str | None = None
    tolerations: tuple[Toleration, ...] = ()
    consumed: Mapping[str, Quantity] | None = None
    binding_conditions: tuple[str, ...] = ()
    binding_failures: tuple[str, ...] = ()
    skip_operations: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[str, str, str]:
        """Driver, pool and device."""
        return (self.driver, self.pool, self.device)


@dataclass(frozen=True, slots=True)
class AllocationConfig:
    """One entry of an allocation's config: FromClass or FromClaim, for these requests (none: for all)."""

    source: str
    requests: tuple[str, ...]
    entry: str


@dataclass(frozen=True, slots=True)
class Allocation:
    """What a claim got. `node_selector` None means usable on every node.

    timestamp : when it was written, RFC 3339; set where it is written, empty until then.
    """

    results: tuple[Result, ...]
    node_selector: NodeSelector | None
    config: tuple[AllocationConfig, ...] = ()
    timestamp: str = ""


@dataclass(frozen=True, slots=True)
class Consumer:
    """An entry of reservedFor."""

    resource: str
    name: str
    uid: Uid
    api_group: str = ""


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """What a driver says of an allocated device: its conditions, type -> status (True, False, Unknown)."""

    driver: str
    pool: str
    device: str
    conditions: Mapping[str, str]
    share_id: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A ResourceClaim. `owner` is the UID of its controller, empty when it has none."""

    namespace: str
    name: str
    uid: Uid
    resource_version: str
    spec: ClaimSpec
    allocation: Allocation | None = None
    reserved_for: tuple[Consumer, ...] = ()
    owner: Uid = Uid("")
    deleting: bool = False
    finalized: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[DeviceStatus, ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    def reserved_by(self, uid: Uid) -> bool:
        """Whether a consumer has reserved it."""
        return any(consumer.uid == uid for consumer in self.reserved_for)


@dataclass(frozen=True, slots=True)
class ClaimTemplate:
    """A ResourceClaimTemplate; kube-controller-manager makes claims of it."""

    namespace: str
    name: str
    spec: ClaimSpec


@dataclass(frozen=True, slots=True)
class PodClaim:
    """An entry of spec.resourceClaims: exactly one of the two names is set."""

    name: str
    claim_name: str | None
    template_name: str | None


@dataclass(frozen=True, slots=True)
class PodGroup:
    """A PodGroup: `claims` that its pods share, and `claim_names` as in Pod."""

    namespace: str
    name: str
    uid: Uid
    claims: tuple[PodClaim, ...]
    claim_names: Mapping[str, str | None]
    unsupported: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """A metav1.LabelSelector as requirements that must all hold; none at all matches every object."""

    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class PodSelector:
    """Pods with labels that the selector selects, in these namespaces or in those that the other selector selects.

    None, unlike the empty selector, selects nothing.
    """

    selector: LabelSelector | None
    namespaces: tuple[str, ...]
    namespace_selector: LabelSelector | None = None


@dataclass(frozen=True, slots=True)
class PodTerm:
    """A term of pod affinity or anti-affinity: to be with one of these pods, or with none, in a domain of a topology.

    topology : the label key whose values name the domains.
    """

    topology: str
    pods: PodSelector


@dataclass(frozen=True, slots=True)
class Lean:
    """A preferred term of pod affinity with its weight, which is negative for anti-affinity."""

    weight: int
    term: PodTerm


@dataclass(frozen=True, slots=True)
class Spread:
    """A topology spread constraint: how far the domains of a topology may differ in pods that the selector selects.

    selector : that of the constraint with the labels of matchLabelKeys; None selects nothing. hard : DoNotSchedule.
    node_affinity, node_taints : whether domains of nodes that the pod's own affinity, or taints, rule out are left out.
    """

    topology: str
    max_skew: int
    selector: LabelSelector | None
    hard: bool = True
    min_domains: int = 1
    node_affinity: bool = True
    node_taints: bool = False


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of its node that a pod takes; ip ANY_ADDRESS stands for all."""

    port: int
    protocol: str = "TCP"
    ip: str = ANY_ADDRESS


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace, of which only the labels matter."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ExtendedRequest:
    """What one container asks of one extended resource, in whole units and not 0.

    position : of the container among all of the pod, init containers first. number : of the resource among all that
    the container requests, in order of their names. lasting : it runs beside the others, as sidecars do too; an init
    container that ends is done before those behind it begin.
    """

    container: str
    position: int
    lasting: bool
    resource: str
    number: int
    amount: int


@dataclass(frozen=True, slots=True)
class RequestMapping:
    """Which request of its pod's special claim a container's extended resource is served by."""

    container: str
    resource: str
    request: str


EXCLUSIVE: Final = frozenset({"gcePersistentDisk", "awsElasticBlockStore", "rbd", "iscsi"})
"""Sources of disks that pods of one node cannot always share."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that a pod names itself. kind : name of its source in the API. monitors : of rbd, of which two that are
    one disk share some."""

    kind: str
    identity: tuple[str, ...]
    read_only: bool = False
    monitors: frozenset[str] = frozenset()

    def clashes(self, other: "Disk") -> bool:
        """Whether pods with the two cannot be on one node."""
        if (self.kind, self.identity) != (other.kind, other.identity):
            return False
        if self.kind == "rbd" and self.monitors.isdisjoint(other.monitors):
            return False
        if self.kind == "awsElasticBlockStore":
            return True
        return self.kind in EXCLUSIVE and not (self.read_only and other.read_only)


@dataclass(frozen=True, slots=True)
class PodVolume:
    """A volume of a pod that decides where it may run: with a PersistentVolumeClaim, by its name, or a disk.

    ephemeral : the claim is made for this pod, which controls it.
    """

    name: str
    claim: str = ""
    ephemeral: bool = False
    disk: Disk | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod. `claim_names` holds status.resourceClaimStatuses: entry -> claim name, None where no claim is needed.

    extended : requests of its containers for extended resources, in order of position and then of number.
    extended_claim : the claim that status.extendedResourceClaimStatus names, empty for none (KEP-5004).
    group : the name of its PodGroup, empty if it has none. users : entry of claims -> containers that use it, init
    containers first. margins : of resources that are requested for the pod as a whole, what its containers leave of it.
    published : what its devices take of their node's resources as far as its status says, beyond `requests`; None if
    its status says nothing. volumes : those that decide where it may run.
    attracts, repels : required affinity and anti-affinity to other pods. ports : of the host.
    features : what its node's kubelet must be able to do for it, sorted (KEP-5328). nominated : the node that somebody
    keeps room on for it until it is bound, empty for none. preferred : terms of preferred node affinity with their
    weights. images : what its containers run, with the tag where none is given. unstated : of cpu and memory what its
    containers are taken for beyond `requests` where they say nothing, which only scores look at. leans : preferred
    affinity and anti-affinity to other pods.
    """

    namespace: str
    name: str
    uid: Uid
    resource_version: str
    scheduler_name: str
    node_name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    priority: int
    created: str
    phase: str
    deleting: bool
    gates: tuple[str, ...]
    node_selector: Mapping[str, str]
    affinity: NodeSelector | None
    tolerations: tuple[Toleration, ...]
    requests: Resources
    claims: tuple[PodClaim, ...]
    claim_names: Mapping[str, str | None]
    attracts: tuple[PodTerm, ...] = ()
    repels: tuple[PodTerm, ...] = ()
    spreads: tuple[Spread, ...] = ()
    ports: tuple[HostPort, ...] = ()
    unsupported: tuple[str, ...] = ()
    extended: tuple[ExtendedRequest, ...] = ()
    extended_claim: str = ""
    group: str = ""
    users: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    margins: Resources = field(default_factory=dict)
    published: Resources | None = None
    volumes: tuple[PodVolume, ...] = ()
    features: tuple[str, ...] = ()
    nominated: str = ""
    preferred: tuple[tuple[int, NodeSelectorTerm], ...] = ()
    images: tuple[str, ...] = ()
    unstated: Resources = field(default_factory=dict)
    leans: tuple[Lean, ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def volume_claims(self) -> list[str]:
        """Keys of the volume claims that it uses."""
        return [f"{self.namespace}/{volume.claim}" for volume in self.volumes if volume.claim]

    @property
    def charge(self) -> Resources:
        """What it takes of its node: what it requests, and what its devices take as published."""
        if not self.published:
            return self.requests
        names = {*self.requests, *self.published}
        return {name: self.requests.get(name, 0) + self.published.get(name, 0) for name in names}

    @property
    def done(self) -> bool:
        """True once its containers have ended for good."""
        return self.phase in {"Succeeded", "Failed"}
