"""Small builders: the words in which tests speak of nodes, devices, claims and pods.

Everything has a default that makes it ordinary and usable: a node is large and owned, devices are healthy GPUs of one
driver in a pool named after their node, a claim asks for one device of class `gpu`, a pod is pending for Dovetail in
namespace `default`. UIDs derive from names (`claim_uid("c")`, `pod_uid("p")`), so tests can name an object before it
is made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scheduler.core import names
from scheduler.core.config import Ownership
from scheduler.core.extended import SpecialClaim
from scheduler.core.model import (
    ALL,
    EXACT_COUNT,
    NO_SCHEDULE,
    Allocation,
    AllocationConfig,
    AttributeValue,
    Claim,
    ClaimConfig,
    ClaimSpec,
    ClaimTemplate,
    Constraint,
    Consumer,
    Device,
    DeviceClass,
    ExtendedRequest,
    HostPort,
    Image,
    LabelSelector,
    Lean,
    Namespace,
    Node,
    NodeSelector,
    NodeSelectorTerm,
    Pod,
    PodClaim,
    PodGroup,
    PodSelector,
    PodTerm,
    Request,
    Requirement,
    Result,
    Slice,
    Spread,
    Taint,
    TaintRule,
    Toleration,
    Uid,
)
from scheduler.core.plan import Decision, Option, Placement, Plan, Unplaced
from scheduler.core.quantity import Quantity, parse_quantity
from scheduler.core.storage import (
    CSIDriver,
    CSINode,
    CSIStorageCapacity,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    Stored,
    VolumeAttachment,
    key_of,
)

if TYPE_CHECKING:
    from scheduler.core.verify import World

DRIVER = "gpu.example.com"
CLASS = "gpu"
NAMESPACE = "default"
GI = 2**30
HOSTNAME = "kubernetes.io/hostname"


def claim_uid(name: str, namespace: str = NAMESPACE) -> Uid:
    return Uid(f"uid-claim-{namespace}-{name}")


def pod_uid(name: str, namespace: str = NAMESPACE) -> Uid:
    return Uid(f"uid-pod-{namespace}-{name}")


# ---------------------------------------------------------------- nodes and devices


def taint(key: str, value: str = "", effect: str = NO_SCHEDULE) -> Taint:
    return Taint(key, value, effect)


def toleration(
    key: str = "", value: str = "", effect: str = "", operator: str | None = None, seconds: int | None = None
) -> Toleration:
    """Without a value the operator is Exists, with one it is Equal, unless it is given."""
    return Toleration(key, operator or ("Equal" if value else "Exists"), value, effect, seconds)


def requirement(key: str, operator: str, *values: str) -> Requirement:
    return Requirement(key, operator, values)


def term(*labels: Requirement, fields: Sequence[Requirement] = ()) -> NodeSelectorTerm:
    return NodeSelectorTerm(labels, tuple(fields))


def node_selector(*terms: NodeSelectorTerm) -> NodeSelector:
    return NodeSelector(terms)


def on_node(name: str) -> NodeSelector:
    """The selector of an allocation that is usable on one node only."""
    return NodeSelector((NodeSelectorTerm(fields=(Requirement("metadata.name", "In", (name,)),)),))


def node(
    name: str = "n1",
    *,
    cpu: int = 64_000,
    memory: int = 512 * GI,
    storage: int = 1024 * GI,
    pods: int = 110,
    labels: Mapping[str, str] | None = None,
    taints: Iterable[Taint] = (),
    owned: bool = True,
    unschedulable: bool = False,
    annotations: Mapping[str, str] | None = None,
    features: Iterable[str] = (),
    images: Iterable[Image] = (),
    **scalars: int,
) -> Node:
    """`cpu` in thousandths of a core; `scalars` are further allocatable resources, such as **{"hugepages-2Mi": 4}."""
    own = {names.OWNED: "true"} if owned else {}
    return Node(
        name=name,
        uid=Uid(f"uid-node-{name}"),
        labels={HOSTNAME: name, **own, **(labels or {})},
        annotations=dict(annotations or {}),
        taints=tuple(taints),
        unschedulable=unschedulable,
        allocatable={"cpu": cpu, "memory": memory, "ephemeral-storage": storage, "pods": pods, **scalars},
        features=frozenset(features),
        images=tuple(images),
    )


def device(
    name: str = "gpu-0",
    attributes: Mapping[str, AttributeValue] | None = None,
    capacity: Mapping[str, str | int | Quantity] | None = None,
    *,
    taints: Iterable[Taint] = (),
    binds_to_node: bool = False,
    unsupported: Iterable[str] = (),
) -> Device:
    """Capacities may be written as text: {"memory": "80Gi"}."""
    amounts = {
        key: amount if isinstance(amount, Quantity) else parse_quantity(str(amount))
        for key, amount in (capacity or {}).items()
    }
    return Device(name, dict(attributes or {}), amounts, tuple(taints), binds_to_node, tuple(unsupported))


def slice_of(
    devices: Iterable[Device],
    *,
    node: str | None = None,
    selector: NodeSelector | None = None,
    all_nodes: bool = False,
    pool: str | None = None,
    driver: str = DRIVER,
    generation: int = 1,
    slice_count: int = 1,
    name: str | None = None,
    unsupported: Iterable[str] = (),
) -> Slice:
    """A slice of any devices; give exactly one of `node`, `selector` and `all_nodes`."""
    pool = pool or node or "shared"
    return Slice(
        name=name or f"{pool}-{driver}-{generation}",
        driver=driver,
        pool=pool,
        generation=generation,
        slice_count=slice_count,
        node_name=node,
        node_selector=selector,
        all_nodes=all_nodes,
        devices=tuple(devices),
        unsupported=tuple(unsupported),
    )


def gpus(
    node: str = "n1",
    count: int = 8,
    *,
    attributes: Mapping[str, AttributeValue] | None = None,
    capacity: Mapping[str, str | int | Quantity] | None = None,
    memory: str = "80Gi",
    first: int = 0,
    **fields: Any,
) -> Slice:
    """`count` GPUs named gpu-0, gpu-1 ... of one node, as a whole pool; each has its number as attribute `index`.

    `fields` as in slice_of.
    """
    devices = [
        device(f"gpu-{i}", {"type": "gpu", "index": i, **(attributes or {})}, {"memory": memory, **(capacity or {})})
        for i in range(first, first + count)
    ]
    return slice_of(devices, node=node, **fields)


def device_class(
    name: str = CLASS,
    *selectors: str,
    driver: str | None = DRIVER,
    config: Iterable[str] = (),
    extended_resource: str = "",
    unsupported: Iterable[str] = (),
) -> DeviceClass:
    """Selects the devices of `driver` (None: of every driver) and then by `selectors`."""
    own = (f'device.driver == "{driver}"',) if driver else ()
    return DeviceClass(name, own + selectors, tuple(config), extended_resource, tuple(unsupported))


def taint_rule(
    name: str = "rule",
    key: str = "broken",
    value: str = "",
    effect: str = NO_SCHEDULE,
    *,
    driver: str | None = None,
    pool: str | None = None,
    device: str | None = None,
    selects: bool = True,
) -> TaintRule:
    return TaintRule(name, selects, driver, pool, device, Taint(key, value, effect))


# ---------------------------------------------------------------- claims


def request(
    name: str = "r",
    count: int = 1,
    *selectors: str,
    device_class: str = CLASS,
    all: bool = False,  # noqa: A002
    tolerations: Iterable[Toleration] = (),
    unsupported: Iterable[str] = (),
) -> Request:
    mode = ALL if all else EXACT_COUNT
    return Request(name, device_class, selectors, mode, count, tuple(tolerations), tuple(unsupported))


def match(attribute: str, *requests: str) -> Constraint:
    """matchAttribute over the named requests (none: all); a name without a domain gets the GPU driver's."""
    return Constraint(requests, attribute if "/" in attribute else f"{DRIVER}/{attribute}")


def spec(
    *requests: Request,
    constraints: Iterable[Constraint] = (),
    config: Iterable[ClaimConfig] = (),
    unsupported: Iterable[str] = (),
) -> ClaimSpec:
    return ClaimSpec(requests or (request(),), tuple(constraints), tuple(config), tuple(unsupported))


def consumer(pod: Pod | str, namespace: str = NAMESPACE) -> Consumer:
    name = pod if isinstance(pod, str) else pod.name
    return Consumer("pods", name, pod_uid(name, namespace) if isinstance(pod, str) else pod.uid)


def result(device: str, request: str = "r", *, pool: str = "n1", driver: str = DRIVER, **fields: Any) -> Result:
    return Result(request, driver, pool, device, **fields)


def allocation(
    *results: Result, node: str | None = None, config: Iterable[AllocationConfig] = (), everywhere: bool = False
) -> Allocation:
    """Usable on `node`, which by default is the pool of the first result."""
    where = node or (results[0].pool if results else None)
    return Allocation(results, None if everywhere or where is None else on_node(where), tuple(config))


def claim(
    name: str = "c",
    *requests: Request,
    count: int | None = None,
    selectors: Iterable[str] = (),
    constraints: Iterable[Constraint] = (),
    config: Iterable[ClaimConfig] = (),
    namespace: str = NAMESPACE,
    allocation: Allocation | None = None,
    reserved_for: Iterable[Pod | str | Consumer] = (),
    owner: Pod | str = "",
    version: str = "1",
    deleting: bool = False,
    finalized: bool = False,
    unsupported: Iterable[str] = (),
) -> Claim:
    """One request `r` for `count` devices that pass `selectors`, unless requests are given.

    `owner` and `reserved_for` name pods of the same namespace.
    """
    asked = requests or (request("r", 1 if count is None else count, *selectors),)
    consumers = tuple(who if isinstance(who, Consumer) else consumer(who, namespace) for who in reserved_for)
    return Claim(
        namespace=namespace,
        name=name,
        uid=claim_uid(name, namespace),
        resource_version=version,
        spec=spec(*asked, constraints=constraints, config=config, unsupported=unsupported),
        allocation=allocation,
        reserved_for=consumers,
        owner=owner.uid if isinstance(owner, Pod) else pod_uid(owner, namespace) if owner else Uid(""),
        deleting=deleting,
        finalized=finalized,
    )


def template(name: str = "t", *requests: Request, namespace: str = NAMESPACE, **fields: Any) -> ClaimTemplate:
    return ClaimTemplate(namespace, name, spec(*requests, **fields))


# ---------------------------------------------------------------- pods


def namespace(name: str = NAMESPACE, **labels: str) -> Namespace:
    return Namespace(name, labels)


def others(
    *requirements: Requirement,
    namespaces: Iterable[str] = (NAMESPACE,),
    named: Iterable[Requirement] | None = None,
    nothing: bool = False,
) -> PodSelector:
    """Pods with these labels, in these namespaces and in those whose labels are `named`."""
    selector = None if nothing else LabelSelector(requirements)
    return PodSelector(selector, tuple(namespaces), None if named is None else LabelSelector(tuple(named)))


def repels(*requirements: Requirement, topology: str = "zone", **pods: Any) -> PodTerm:
    return PodTerm(topology, others(*requirements, **pods))


def leans(weight: int, *requirements: Requirement, topology: str = "zone", **pods: Any) -> Lean:
    return Lean(weight, PodTerm(topology, others(*requirements, **pods)))


def spread(*requirements: Requirement, topology: str = "zone", skew: int = 1, **fields: Any) -> Spread:
    return Spread(topology, skew, LabelSelector(requirements), **fields)


def pod(
    name: str = "p",
    *,
    claims: Iterable[Claim | str] = (),
    templates: Mapping[str, Claim | str | None] | None = None,
    namespace: str = NAMESPACE,
    node: str = "",
    cpu: int = 0,
    memory: int = 0,
    requests: Mapping[str, int] | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    priority: int = 0,
    created: str = "2026-01-01T00:00:00Z",
    phase: str = "Pending",
    scheduler: str = names.SCHEDULER_NAME,
    deleting: bool = False,
    gates: Iterable[str] = (),
    selector: Mapping[str, str] | None = None,
    affinity: NodeSelector | None = None,
    tolerations: Iterable[Toleration] = (),
    attracts: Iterable[PodTerm] = (),
    repels: Iterable[PodTerm] = (),
    spreads: Iterable[Spread] = (),
    ports: Iterable[HostPort | int] = (),
    version: str = "1",
    unsupported: Iterable[str] = (),
    extended: Mapping[str, int] | None = None,
    extended_claim: str = "",
    group: str = "",
    features: Iterable[str] = (),
    nominated: str = "",
    preferred: Iterable[tuple[int, NodeSelectorTerm]] = (),
    images: Iterable[str] = (),
    unstated: Mapping[str, int] | None = None,
    leans: Iterable[Lean] = (),
) -> Pod:
    """`claims` are referenced by name; `templates` maps an entry to the claim made from template `<entry>-template`,
    or to None where no claim is needed. That a pod takes one of `pods` goes without saying, in `requests` too.
    `extended` are requests of its only container, `main`, for extended resources.
    """
    asked = sorted((extended or {}).items())
    entries = []
    claim_names: dict[str, str | None] = {}
    for item in claims:
        claim_name = item if isinstance(item, str) else item.name
        entries.append(PodClaim(claim_name, claim_name, None))
    for entry, made in (templates or {}).items():
        entries.append(PodClaim(entry, None, f"{entry}-template"))
        claim_names[entry] = made.name if isinstance(made, Claim) else made
    amounts = {**({"cpu": cpu} if cpu else {}), **({"memory": memory} if memory else {}), **(requests or {})}
    amounts.update(asked)
    return Pod(
        namespace=namespace,
        name=name,
        uid=pod_uid(name, namespace),
        resource_version=version,
        scheduler_name=scheduler,
        node_name=node,
        labels=dict(labels or {}),
        annotations=dict(annotations or {}),
        priority=priority,
        created=created,
        phase="Running" if node and phase == "Pending" else phase,
        deleting=deleting,
        gates=tuple(gates),
        node_selector=dict(selector or {}),
        affinity=affinity,
        tolerations=tuple(tolerations),
        requests=amounts,
        claims=tuple(entries),
        claim_names=claim_names,
        attracts=tuple(attracts),
        repels=tuple(repels),
        spreads=tuple(spreads),
        ports=tuple(each if isinstance(each, HostPort) else HostPort(each) for each in ports),
        unsupported=tuple(unsupported),
        extended=tuple(
            ExtendedRequest("main", 0, True, name, number, amount) for number, (name, amount) in enumerate(asked)
        ),
        extended_claim=extended_claim,
        group=group,
        features=tuple(features),
        nominated=nominated,
        preferred=tuple(preferred),
        images=tuple(images),
        unstated=dict(unstated or {}),
        leans=tuple(leans),
    )


def group_uid(name: str, namespace: str = NAMESPACE) -> Uid:
    return Uid(f"uid-group-{namespace}-{name}")


def pod_group(
    name: str = "g",
    *,
    claims: Iterable[str] = (),
    templates: Mapping[str, str | None] | None = None,
    namespace: str = NAMESPACE,
    unsupported: Iterable[str] = (),
) -> PodGroup:
    """Entries as in pod(); an entry of `templates` that ends in ? has no claim made yet."""
    entries = [PodClaim(each, each, None) for each in claims]
    made: dict[str, str | None] = {}
    for entry, claim_name in (templates or {}).items():
        plain = entry.removesuffix("?")
        entries.append(PodClaim(plain, None, f"{plain}-template"))
        if plain == entry:
            made[plain] = claim_name
    return PodGroup(namespace, name, group_uid(name, namespace), tuple(entries), made, tuple(unsupported))


# ---------------------------------------------------------------- decisions


def decision(pod: Pod | str = "default/p", node: str = "n1") -> Decision:
    key = pod if isinstance(pod, str) else pod.key
    return Decision(key, Option(node, (), 0.0, {}), None, 1, 1, {})


def placement(
    pod: Pod,
    node: str = "n1",
    allocations: Iterable[tuple[Claim, Allocation]] = (),
    joined: Iterable[Claim] = (),
    special: SpecialClaim | None = None,
) -> Placement:
    """`allocations` as pairs (claim, allocation), since claims hold mappings and cannot be keys."""
    pairs = {claim.uid: given for claim, given in allocations}
    return Placement(pod.uid, node, pairs, tuple(claim.uid for claim in joined), decision(pod, node), special)


def allocated(claim: Claim, *results: Result, reserved_for: Iterable[Pod | str] = (), **fields: Any) -> Claim:
    """The claim as it looks once these results are written and these pods have reserved it."""
    consumers = claim.reserved_for + tuple(consumer(who, claim.namespace) for who in reserved_for)
    given = allocation(*results, **fields)
    return replace(claim, allocation=given, reserved_for=consumers, finalized=True)


def plan(*placements: Placement, unplaced: Iterable[Unplaced] = ()) -> Plan:
    return Plan(0, placements, tuple(unplaced))


def world(
    *objects: Namespace | Node | Slice | DeviceClass | TaintRule | Claim | Pod | PodGroup | Stored,
    ownership: Ownership | None = None,
    scheduler: str = names.SCHEDULER_NAME,
) -> "World":
    """What a plan is judged by; without any class given, the class `gpu` is there."""
    from scheduler.core.verify import Storage, World

    def every(kind: type) -> list[Any]:
        return [item for item in objects if isinstance(item, kind)]

    return World(
        nodes={item.name: item for item in every(Node)},
        slices={item.name: item for item in every(Slice)},
        classes={item.name: item for item in every(DeviceClass) or [device_class()]},
        taint_rules={item.name: item for item in every(TaintRule)},
        claims={item.uid: item for item in every(Claim)},
        pods={item.uid: item for item in every(Pod)},
        ownership=ownership or Ownership(),
        scheduler_names=frozenset({scheduler}),
        groups={item.key: item for item in every(PodGroup)},
        namespaces={item.name: item.labels for item in every(Namespace)},
        storage=Storage(
            **{
                table: {key_of(item): item for item in every(kind)}
                for table, kind in (
                    ("claims", PersistentVolumeClaim), ("volumes", PersistentVolume), ("classes", StorageClass),
                    ("csi_nodes", CSINode), ("drivers", CSIDriver), ("capacities", CSIStorageCapacity),
                    ("attachments", VolumeAttachment),
                )
            }
        ),
    )  # fmt: skip
