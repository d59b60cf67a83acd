"""Where a pod fits, by trying everything: for worlds so small that no cleverness is needed, and none is used.

`feasible_nodes` enumerates every choice of devices and asks the checker about each; `worlds` draws tiny worlds that are
as unpleasant as real ones get.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations, product
from typing import Any

from hypothesis import strategies as st

from scheduler.core import names, verify
from scheduler.core.cel import evaluate_scalar
from scheduler.core.config import Ownership
from scheduler.core.errors import InputError
from scheduler.core.model import (
    ALL,
    NO_EXECUTE,
    Allocation,
    AllocationConfig,
    AttributeValue,
    Claim,
    Device,
    HostPort,
    NodeSelector,
    NodeSelectorTerm,
    Pod,
    PodTerm,
    Request,
    Requirement,
    Result,
    Slice,
    Spread,
    Toleration,
    Uid,
    Version,
)
from scheduler.core.plan import Placement
from scheduler.core.quantity import Quantity
from scheduler.core.verify import Violation, World, violations
from tests.build import (
    DRIVER,
    allocated,
    claim,
    decision,
    device,
    device_class,
    match,
    namespace,
    node,
    node_selector,
    on_node,
    plan,
    pod,
    pod_uid,
    repels,
    request,
    requirement,
    result,
    slice_of,
    spread,
    taint,
    taint_rule,
    term,
    toleration,
    world,
)

Chosen = tuple[Slice, Device]

# What a device can do wrong on its own, whatever else is chosen.
_OF_ONE_DEVICE = {
    verify.DEVICE, verify.SELECTOR, verify.IN_USE, verify.DEVICE_TAINT, verify.UNSUPPORTED, verify.OWNERSHIP,
}  # fmt: skip
# What is wrong with an allocation only because it is empty.
_OF_AN_EMPTY_ALLOCATION = {verify.COUNT, verify.ALL_DEVICES, verify.CONFIG, verify.USABLE_ON}


def feasible_nodes(world: World, pod: Uid) -> set[str]:
    """The nodes on which the pod can be placed with some choice of devices."""
    return {name for name in world.nodes if possible_placement(world, pod, name) is not None}


def possible_placement(world: World, pod: Uid, node: str) -> Placement | None:
    """Some correct placement on a node."""
    return next((found for found in _candidates(world, world.pods[pod], node) if not judge(world, found)), None)


def judge(world: World, placement: Placement) -> tuple[Violation, ...]:
    """What the checker says of one placement; selectors are evaluated once per distinct device."""
    return violations(world, plan(placement), evaluate)


def evaluate(
    expression: str,
    driver: str,
    attributes: Mapping[str, AttributeValue],
    capacity: Mapping[str, Quantity],
    shared: bool = False,
) -> bool:
    """As evaluate_scalar, remembered."""
    shown = repr((sorted(attributes.items()), sorted(capacity.items())))
    outcome = _evaluated(expression, driver, shown, _ByText(attributes, capacity))
    if isinstance(outcome, InputError):
        raise outcome
    return outcome


class _ByText:
    """Rides along a cache key without being part of it."""

    def __init__(self, attributes: Mapping[str, AttributeValue], capacity: Mapping[str, Quantity]) -> None:
        self.attributes, self.capacity = attributes, capacity

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByText)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=100_000)
def _evaluated(expression: str, driver: str, shown: str, device: _ByText) -> bool | InputError:
    try:
        return evaluate_scalar(expression, driver, device.attributes, device.capacity)
    except InputError as error:
        return error


# ---------------------------------------------------------------- every choice


def _candidates(world: World, pod: Pod, node: str) -> Iterator[Placement]:
    meant = _claims(world, pod)
    if meant is None:
        return
    fresh = [each for each in meant if each.allocation is None]
    joined = tuple(each.uid for each in meant if each.allocation is not None)

    def place(choices: Mapping[str, Sequence[Sequence[Chosen]]]) -> Placement:
        """`choices` by claim name: the devices of each request."""
        pairs = {each.uid: _allocation(world, each, choices.get(each.name, ()), node) for each in fresh}
        return Placement(pod.uid, node, pairs, joined, decision(pod, node))

    if {one.rule for one in judge(world, place({}))} - _OF_AN_EMPTY_ALLOCATION:
        return
    published = _published(world, node)
    options: list[list[tuple[Chosen, ...]]] = []
    for each in fresh:
        for position, asked in enumerate(each.spec.requests):
            fits = []
            for chosen in published:
                alone = [[chosen] if at == position else [] for at in range(len(each.spec.requests))]
                wrong = {one.rule for one in judge(world, place({each.name: alone}))}
                # All takes what its selectors take, and fails on a device that cannot be had.
                about = {verify.DEVICE, verify.SELECTOR} if asked.mode == ALL else _OF_ONE_DEVICE
                if not wrong & about:
                    fits.append(chosen)
            options.append([tuple(fits)] if asked.mode == ALL else list(combinations(fits, asked.count)))
    for picked in product(*options):
        flat = [(item.driver, item.pool, taken.name) for part in picked for item, taken in part]
        if len(flat) != len(set(flat)):
            continue
        rest = iter(picked)
        yield place({each.name: [next(rest) for _ in each.spec.requests] for each in fresh})


def _claims(world: World, pod: Pod) -> list[Claim] | None:
    """The claims of a pod, None if one is missing."""
    named = {each.key: each for each in world.claims.values()}
    found: dict[Uid, Claim] = {}
    for entry in pod.claims:
        if entry.template_name is not None and entry.name not in pod.claim_names:
            return None
        name = entry.claim_name if entry.template_name is None else pod.claim_names[entry.name]
        if name is None:
            continue
        meant = named.get(f"{pod.namespace}/{name}")
        if meant is None:
            return None
        found[meant.uid] = meant
    return list(found.values())


def _published(world: World, node: str) -> list[Chosen]:
    """Devices that may be for this node, each as its newest generation there lists it."""
    found: dict[tuple[str, str, str], Chosen] = {}
    for item in sorted(world.slices.values(), key=lambda item: item.generation):
        if item.node_name in (None, node):
            for each in item.devices:
                found[item.driver, item.pool, each.name] = (item, each)
    return [found[identity] for identity in sorted(found)]


def _allocation(world: World, claim: Claim, choice: Sequence[Sequence[Chosen]], node: str) -> Allocation:
    """The allocation for these devices of each request, written as the upstream allocator would."""
    pairs = list(zip(claim.spec.requests, choice, strict=False))
    results = tuple(
        Result(asked.name, item.driver, item.pool, taken.name, tolerations=asked.tolerations)
        for asked, part in pairs
        for item, taken in part
    )
    flat = [chosen for _, part in pairs for chosen in part]
    return Allocation(results, _usable_on(flat, node), _config(world, claim))


def _usable_on(chosen: Sequence[Chosen], node: str) -> NodeSelector | None:
    labels, fields = [], []
    for item, taken in chosen:
        if item.node_name is not None or taken.binds_to_node:
            return on_node(node)
        if item.node_selector is not None:
            labels += [each for each in item.node_selector.terms[0].labels if each not in labels]
            fields += [each for each in item.node_selector.terms[0].fields if each not in fields]
    return NodeSelector((NodeSelectorTerm(tuple(labels), tuple(fields)),)) if labels or fields else None


def _config(world: World, claim: Claim) -> tuple[AllocationConfig, ...]:
    every = {asked.name for asked in claim.spec.requests}
    users: dict[str, list[str]] = {}
    for asked in claim.spec.requests:
        users.setdefault(asked.device_class, []).append(asked.name)
    entries = []
    for name, requests in users.items():
        known = world.classes.get(name)
        for text in known.config if known else ():
            entries.append(AllocationConfig("FromClass", () if set(requests) == every else tuple(requests), text))
    for config in claim.spec.config:
        if not config.requests or every & set(config.requests):
            entries.append(
                AllocationConfig("FromClaim", () if every <= set(config.requests) else config.requests, config.entry)
            )
    return tuple(entries)


# ---------------------------------------------------------------- tiny, nasty worlds

NIC = "nic.example.com"
ZONE = "zone"
HOSTNAME = "kubernetes.io/hostname"
ATTRIBUTES = f'device.attributes["{DRIVER}"]'
CAPACITY = f'device.capacity["{DRIVER}"]'
BIG = f'"memory" in {CAPACITY} && {CAPACITY}.memory.compareTo(quantity("40Gi")) >= 0'
SELECTORS = (
    "true",
    f'device.driver == "{DRIVER}"',
    BIG,
    f'"numa" in {ATTRIBUTES} && {ATTRIBUTES}.numa == 0',
    f'{ATTRIBUTES}.model == "a"',  # fails on a device without a model
    '"model" in device.attributes["other.example.com"]',  # of a domain that nobody publishes
)
# Each world has trouble of a few kinds, so that what is wrong in one way is mostly right in all others.
TROUBLES = (
    "pools", "attributes", "device taints", "taint rules", "unsupported", "held devices", "full nodes", "node taints",
    "labels", "ownership", "claims", "counts", "pod", "spanning pools", "neighbours",
)  # fmt: skip


class _Dice:
    """Draws the parts of one world."""

    def __init__(self, draw: st.DrawFn, always: frozenset[str]) -> None:
        self.draw = draw
        self.troubles = always | draw(st.frozensets(st.sampled_from(TROUBLES), max_size=4 - len(always)))

    def of(self, *values: Any) -> Any:
        return self.draw(st.sampled_from(values))

    def number(self, least: int, most: int) -> int:
        return self.draw(st.integers(least, most))

    def chance(self, one_in: int) -> bool:
        return self.draw(st.sampled_from(range(one_in))) == one_in - 1

    def trouble(self, kind: str, one_in: int = 2) -> bool:
        assert kind in TROUBLES
        return kind in self.troubles and self.chance(one_in)


def _neighbour(dice: _Dice, name: str, node: str) -> Pod:
    return pod(
        name,
        namespace=dice.of("default", "default", "red"),
        node=node,
        labels={"app": dice.of("web", "web", "db")},
        deleting=dice.chance(4),
        repels=[_term(dice)] if dice.chance(4) else (),
        ports=[_port(dice)] if dice.chance(4) else (),
    )


def _asks_of_others(dice: _Dice) -> dict[str, Any]:
    """What a pod asks of those around it; whatever it does not ask is left out."""
    if not dice.trouble("neighbours"):
        return {}
    return {
        "attracts": [_term(dice) for _ in range(dice.of(0, 0, 1, 2))],
        "repels": [_term(dice) for _ in range(dice.of(0, 0, 1, 2))],
        "spreads": [_spread(dice) for _ in range(dice.of(0, 1, 1, 2))],
        "ports": [_port(dice) for _ in range(dice.of(0, 0, 1))],
    }


def _wanted(dice: _Dice) -> tuple[Requirement, ...]:
    line = requirement("app", dice.of("In", "In", "NotIn"), dice.of("web", "db"))
    return dice.of((line,), (line,), (requirement("app", "Exists"),), ())


def _term(dice: _Dice) -> PodTerm:
    named = dice.of(None, None, None, (), (requirement("team", "In", "red"),), (requirement("team", "DoesNotExist"),))
    namespaces = () if named is not None else dice.of(("default",), ("default",), ("default", "red"))
    topology = dice.of(ZONE, HOSTNAME, HOSTNAME)
    return repels(*_wanted(dice), topology=topology, namespaces=namespaces, named=named, nothing=dice.chance(8))


def _spread(dice: _Dice) -> Spread:
    return spread(
        *_wanted(dice),
        topology=dice.of(ZONE, HOSTNAME),
        skew=dice.of(1, 1, 2),
        min_domains=dice.of(1, 1, 2, 3),
        hard=not dice.chance(4),
        node_affinity=not dice.chance(4),
        node_taints=dice.chance(3),
    )


def _port(dice: _Dice) -> HostPort:
    return HostPort(dice.of(80, 81), dice.of("TCP", "TCP", "UDP"), dice.of("0.0.0.0", "10.0.0.1", "10.0.0.2"))


def _device(dice: _Dice, name: str, driver: str) -> Device:
    attributes: dict[str, AttributeValue] = {"numa": dice.of(0, 0, 1), "model": dice.of("a", "a", "b")}
    capacity = {"memory": dice.of("16Gi", "40960Mi", "80Gi")}
    taints = [taint("worn", dice.of("", "x"), dice.of("NoSchedule", NO_EXECUTE, "None"))]
    if dice.trouble("attributes"):
        changed = dice.of("model", "numa", "numa", "numa type", "numa domain", "memory")
        if changed == "memory":
            capacity = {}
        elif changed == "numa type":
            attributes["numa"] = dice.of("0", True, False, Version("0.0.0"))
        else:
            value = attributes.pop(changed.split()[0])
            if changed == "numa domain":
                attributes[dice.of(f"{driver}/numa", "other.example.com/numa")] = value
    return device(
        name,
        attributes,
        capacity,
        taints=taints if dice.trouble("device taints") else (),
        binds_to_node=dice.chance(6),
        unsupported=["consumesCounters"] if dice.trouble("unsupported", 3) else (),
    )


def _pool(dice: _Dice, pool: str, driver: str, least: int, most: int, **where: Any) -> list[Slice]:
    """The slices of a pool on one node, perhaps in the middle of an update."""
    devices = [_device(dice, f"d{i}", driver) for i in range(dice.number(least, most))]
    fields = {"pool": pool, "driver": driver, **where}
    cut = len(devices) // 2
    shape = dice.of("whole", "split")
    if dice.trouble("pools"):
        shape = dice.of("torn", "stale", "torn and stale", "twice", "extra")
    if shape == "split":
        parts = [devices[:cut], devices[cut:]]
        return [slice_of(part, slice_count=2, name=f"{pool}-{i}", **fields) for i, part in enumerate(parts)]
    if shape == "torn":
        return [slice_of(devices, slice_count=2, **fields)]
    if shape in ("stale", "torn and stale"):
        new = slice_of(devices[cut:], generation=2, slice_count=1 if shape == "stale" else 2, **fields)
        return [slice_of(devices, generation=1, **fields), new]
    if shape == "twice":
        return [slice_of(devices, slice_count=2, name=f"{pool}-{i}", **fields) for i in range(2)]
    if shape == "extra":
        return [slice_of(devices, **fields), slice_of([device("extra")], name=f"{pool}-extra", **fields)]
    return [slice_of(devices, unsupported=["sharedCounters"] if dice.trouble("unsupported", 4) else (), **fields)]


def _slices(dice: _Dice, nodes: Sequence[str]) -> list[Slice]:
    slices: list[Slice] = []
    for name in nodes:
        if not dice.chance(6):
            slices += _pool(dice, name, DRIVER, 1, 4, node=name)
    if dice.chance(3):
        selector = node_selector(term(requirement(ZONE, dice.of("In", "NotIn"), "a")))
        where = {"all_nodes": True} if dice.chance(2) else {"selector": selector}
        slices += _pool(dice, "shared", dice.of(DRIVER, NIC), 1, 2, **where)
    if dice.trouble("spanning pools"):  # one pool over two nodes, perhaps half rolled over
        generations = dice.of((1, 1), (1, 2), (2, 1))
        counts = dice.of((2, 2), (1, 1), (2, 3))
        for name, generation, count in zip(nodes, generations, counts, strict=False):
            part = [_device(dice, f"span-{name}", DRIVER)]
            slices.append(
                slice_of(part, node=name, pool="span", generation=generation, slice_count=count, name=f"span-{name}")
            )
    return slices


def _tolerations(dice: _Dice) -> list[Toleration]:
    return [
        dice.of(
            toleration(),
            toleration("worn"),
            toleration("worn", "x"),
            toleration("worn", effect="NoSchedule"),
            toleration("broken", operator="Equal"),
        )
    ]


def _request(dice: _Dice, name: str) -> Request:
    missing = dice.trouble("claims", 6)
    return request(
        name,
        dice.number(1, 3 if dice.trouble("counts") else 2),
        *([dice.of(*SELECTORS)] if dice.chance(2) else []),
        device_class="missing" if missing else dice.of("gpu", "gpu", "any", "big"),
        all=dice.chance(5),
        tolerations=_tolerations(dice) if dice.chance(3) else (),
        unsupported=["adminAccess"] if dice.trouble("unsupported", 4) else (),
    )


def _claim(dice: _Dice, name: str, most: int, owner: str) -> Claim:
    asked = [_request(dice, f"r{i}") for i in range(dice.number(1, most))]
    constraints = []
    if dice.chance(2):
        named = [each.name for each in asked if dice.chance(2)]
        constraints.append(match(dice.of("numa", "model", "other.example.com/numa"), *named))
    return claim(name, *asked, constraints=constraints, owner=owner, deleting=dice.trouble("claims", 6))


def _without(published: list[Chosen], item: Slice, taken: Device) -> list[Chosen]:
    identity = (item.driver, item.pool, taken.name)
    return [(other, each) for other, each in published if (other.driver, other.pool, each.name) != identity]


@st.composite
def worlds(draw: st.DrawFn, always: frozenset[str] = frozenset()) -> World:
    """A world with the pending pod `p` (PENDING), up to three nodes and about five devices a node.

    Its pools may be torn, stale, obsolete or invalid, its devices taken or tainted or without the attributes that
    claims ask for, its nodes full, tainted or not ours, its claims shared. always : troubles that it has.
    """
    dice = _Dice(draw, always)
    objects: list[Any] = [
        device_class("gpu", config=['{"opaque":"gpu"}'] if dice.chance(2) else ()),
        device_class("any", driver=None),
        device_class("big", BIG),
    ]
    nodes = [f"n{i}" for i in range(1, dice.number(1, 3) + 1)]
    for name in nodes:
        worn = dice.trouble("node taints")
        objects.append(
            node(
                name,
                cpu=dice.of(1000, 400, 800) if dice.trouble("full nodes") else 2000,
                pods=1 if dice.trouble("full nodes", 4) else 110,
                labels={} if dice.trouble("labels") else {ZONE: dice.of("a", "a", "b"), HOSTNAME: name},
                taints=[taint("worn", effect=dice.of("NoSchedule", NO_EXECUTE, "PreferNoSchedule"))] if worn else (),
                owned=not dice.trouble("ownership"),
                unschedulable=dice.trouble("node taints", 4),
            )
        )
        if dice.chance(3):
            objects.append(pod(f"busy-{name}", node=name, cpu=dice.of(0, 500, 700)))
        for i in range(dice.of(0, 1, 2) if dice.trouble("neighbours") else 0):
            objects.append(_neighbour(dice, f"near-{name}-{i}", name))
    if dice.trouble("neighbours"):
        objects += [namespace(), namespace("red", team="red")]
    slices = _slices(dice, nodes)
    objects += slices

    published = [(item, each) for item in slices for each in item.devices]
    free = list(published)  # no device is given to two claims, which would be somebody's mistake and not a world
    for i, (item, each) in enumerate(published):
        if (item, each) not in free:
            continue
        if dice.chance(8) or dice.trouble("held devices"):
            held = result(each.name, pool=item.pool, driver=item.driver, admin_access=dice.chance(4))
            objects.append(allocated(claim(f"held-{i}"), held, node=item.node_name, everywhere=item.node_name is None))
            free = _without(free, item, each)

    mine = []
    for i in range(dice.of(1, 1, 2, 0)):
        owner = dice.of("", "q" if dice.trouble("claims", 3) else "p")
        made = _claim(dice, f"c{i}", 2 if i == 0 else 1, owner)
        if free and dice.chance(6):  # shared with another pod, which has it allocated already
            item, each = dice.of(*free)
            free = _without(free, item, each)
            held = result(each.name, made.spec.requests[0].name, pool=item.pool, driver=item.driver)
            made = allocated(made, held, node=dice.of(*nodes), reserved_for=["other"])
        mine.append(made)
    objects += mine[1:] if dice.trouble("claims", 6) else mine

    for i in range(2 if dice.trouble("taint rules") else 0):
        target = dice.of({}, {"pool": "n1"}, {"device": "d0"}, {"driver": NIC}, {"selects": False})
        key = dice.of(names.OWNED, "broken", "broken")
        objects.append(taint_rule(f"rule-{i}", key, effect=dice.of("NoSchedule", NO_EXECUTE), **target))

    affinity = node_selector(term(requirement(ZONE, dice.of("In", "NotIn", "Exists", "DoesNotExist"), "a")))
    objects.append(
        pod(
            "p",
            claims=[made for made in mine if not made.owner],
            templates={f"t{i}": made for i, made in enumerate(mine) if made.owner},
            cpu=dice.of(0, 500, 900),
            labels={"app": "web"} if dice.chance(2) else {},
            selector={ZONE: "a"} if dice.trouble("labels") else {},
            affinity=affinity if dice.trouble("labels") else None,
            tolerations=_tolerations(dice) if dice.chance(3) else (),
            gates=["wait"] if dice.trouble("pod", 6) else (),
            unsupported=["hostPorts"] if dice.trouble("pod", 6) else (),
            **_asks_of_others(dice),
        )
    )
    ownership = Ownership()
    if dice.trouble("ownership"):
        ownership = Ownership(
            all_nodes=dice.chance(2),
            drivers=frozenset({DRIVER}) if dice.chance(2) else frozenset(),
            device_classes=frozenset({"gpu", "big"}) if dice.chance(2) else frozenset(),
        )
    return world(*objects, ownership=ownership)


PENDING = pod_uid("p")
