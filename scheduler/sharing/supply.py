"""The GPUs of a fleet, what of each is left, and in which ways it can be given out.

A GPU is what its driver's devices belong to: the devices that draw from one counter set, those that name one parent,
or a device by itself. Only devices with a capacity `memory` count. What existing claims hold is taken off.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from scheduler.core.columns import RowSpan
from scheduler.core.gates import Gates
from scheduler.core.match import untolerated
from scheduler.core.model import (
    NO_EXECUTE,
    NO_SCHEDULE,
    Claim,
    Device,
    DeviceClass,
    Node,
    Slice,
    Taint,
    TaintRule,
)  # fmt: skip
from scheduler.core.pools import Pool, PoolView, Published, reaches
from scheduler.core.quantity import Quantity
from scheduler.sharing.wishes import COMPUTE

COMPUTE_NAMES: Final = ("multiprocessors", "computeUnits", "compute", "millicores", "cores", "gpuMilli")
"""Capacities that measure compute, by the names that drivers give them; the first that a device has counts."""
_PRODUCTS: Final = ("productName", "model", "deviceID")
_CUT: Final = re.compile(r"([1-9])g\.", re.ASCII)
_SLICES: Final = 7  # of compute, of a GPU that MIG can cut, but of the A30, which has 4
Identity = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Offer:
    """A device as it is published. node : on which it is used."""

    node: str
    driver: str
    pool: str
    device: Device

    @property
    def identity(self) -> Identity:
        """Driver, pool and device."""
        return (self.driver, self.pool, self.device.name)


@dataclass(frozen=True, slots=True)
class Part:
    """A part that a GPU can be cut into, or is cut into already. memory in bytes, compute in COMPUTE-ths.

    draws : by counter what it takes; empty where it exists already.
    """

    offer: Offer
    profile: str
    memory: int
    compute: int
    draws: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU and what is left of it.

    whole : the device that is all of it, if that can be had. parts : free parts. counters : by name what is left.
    held : how much of each capacity existing shares take of `whole`, which is a shareable device then.
    used : existing claims hold something of it. tolerate : taints of its node that its pods must tolerate.
    """

    node: str
    name: str
    product: str
    whole: Offer | None
    parts: tuple[Part, ...]
    counters: Mapping[str, int]
    held: Mapping[str, int]
    used: bool
    tolerate: tuple[Taint, ...]

    @property
    def key(self) -> str:
        """`node/name`."""
        return f"{self.node}/{self.name}"


@dataclass(frozen=True, slots=True)
class Supply:
    """All GPUs in order of node and name; and why devices or nodes are left out, with how many each."""

    gpus: tuple[Gpu, ...]
    left_out: Mapping[str, int]
    classes: tuple[DeviceClass, ...]
    offers: tuple[Offer, ...]


@dataclass(slots=True)
class Fleet:
    """Decoded objects that say what there is."""

    nodes: list[Node] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    classes: list[DeviceClass] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    rules: list[TaintRule] = field(default_factory=list)


def supply(fleet: Fleet, gates: Gates) -> Supply:
    """What there is to plan with."""
    left_out: dict[str, int] = defaultdict(int)
    pools = _pools(fleet.slices)
    dedicated, shares = _held(fleet.claims)
    gpus: list[Gpu] = []
    offers: list[Offer] = []
    for node in sorted(fleet.nodes, key=lambda each: each.name):
        if node.unschedulable:
            left_out[f"node {node.name} is cordoned"] += 1
            continue
        tolerate = tuple(taint for taint in node.taints if untolerated((taint,), ()) is not None)
        blocked = next((taint for taint in tolerate if taint.key.startswith("node.kubernetes.io/")), None)
        if blocked is not None:
            left_out[f"node {node.name} has taint {blocked.key}"] += 1
            continue
        for pool in pools.values():
            view = pool.view(node, gates)
            if view.problem:
                left_out[view.problem] += 1
            found = list(_usable(node, view, fleet.rules, gates, left_out))
            offers += found
            gpus += _gpus(node, view, found, dedicated, shares, tolerate)
    return Supply(
        tuple(sorted(gpus, key=lambda gpu: (gpu.node, _natural(gpu.name)))),
        dict(sorted(left_out.items())),
        tuple(sorted(fleet.classes, key=lambda each: each.name)),
        tuple(offers),
    )


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """gpu-2 before gpu-10."""
    parts = re.split(r"([0-9]{1,9})", name)
    return tuple((0, int(each), "") if each.isdecimal() and each.isascii() else (1, 0, each) for each in parts if each)


def _pools(slices: Iterable[Slice]) -> dict[tuple[str, str], Pool]:
    pools: dict[tuple[str, str], Pool] = {}
    for each in sorted(slices, key=lambda item: item.name):
        key = (each.driver, each.pool)
        pools.setdefault(key, Pool(key)).add(Published(each, RowSpan(0, 0)))
    return dict(sorted(pools.items()))


def _held(claims: Iterable[Claim]) -> tuple[set[Identity], dict[Identity, dict[str, int]]]:
    """Devices that claims have for themselves; and of shared ones how much of each capacity is taken, in nanos."""
    dedicated: set[Identity] = set()
    shares: dict[Identity, dict[str, int]] = {}
    for claim in claims:
        for result in claim.allocation.results if claim.allocation is not None else ():
            if result.admin_access:
                continue
            if result.share_id is None:
                dedicated.add(result.identity)
                continue
            taken = shares.setdefault(result.identity, defaultdict(int))
            for name, amount in (result.consumed or {}).items():
                taken[name] += amount.nanos
    return dedicated, shares


def _usable(
    node: Node, view: PoolView, rules: Sequence[TaintRule], gates: Gates, left_out: dict[str, int]
) -> Iterable[Offer]:
    for item in view.usable:
        published = item.slice
        tied = published.node_name is not None
        for device in published.devices:
            if memory_of(published.driver, device) is None:
                continue
            if published.per_device:
                if not reaches(device, node):
                    continue
                tied = device.node_name is not None
            reason = _obstacle(published, device, rules, gates, tied=tied)
            if reason:
                left_out[reason] += 1
            else:
                yield Offer(node.name, published.driver, published.pool, device)


def _obstacle(item: Slice, device: Device, rules: Sequence[TaintRule], gates: Gates, *, tied: bool) -> str:
    """Why a device is not planned with; empty if it is."""
    unsupported = (*item.unsupported, *device.unsupported)
    if unsupported:
        return f"devices of {item.driver} use what Dovetail does not support: {unsupported[0]}"
    if not tied:
        return f"devices of {item.driver} can be reached from several nodes"
    if device.shareable and not gates.consumable_capacity:
        return f"devices of {item.driver} can be shared, and gate DRAConsumableCapacity is off"
    if device.consumes and not gates.partitionable_devices:
        return f"devices of {item.driver} draw from counters, and gate DRAPartitionableDevices is off"
    taints = device.taints if gates.device_taints else ()
    if gates.device_taint_rules:
        taints += tuple(rule.taint for rule in rules if _hits(rule, item, device))
    for taint in taints:
        if taint.effect in {NO_SCHEDULE, NO_EXECUTE}:
            return f"devices of {item.driver} have taint {taint.key}:{taint.effect}"
    return ""


def _hits(rule: TaintRule, item: Slice, device: Device) -> bool:
    return (
        rule.selects
        and rule.driver in {None, item.driver}
        and rule.pool in {None, item.pool}
        and rule.device in {None, device.name}
    )


# ---------------------------------------------------------------- from devices to GPUs


def _gpus(
    node: Node,
    view: PoolView,
    offers: Sequence[Offer],
    dedicated: set[Identity],
    shares: Mapping[Identity, Mapping[str, int]],
    tolerate: tuple[Taint, ...],
) -> Iterable[Gpu]:
    groups: dict[str, list[Offer]] = defaultdict(list)
    for offer in offers:
        groups[_belongs(offer)].append(offer)
    # A device of the group may be out of reach, for its taint or because it is taken: its draw counts all the same.
    counters = _left(view, dedicated, shares)
    for name, members in groups.items():
        yield _gpu(node.name, name, members, counters, dedicated, shares, tolerate)


def _belongs(offer: Offer) -> str:
    device = offer.device
    if device.consumes:
        return "+".join(use.counter_set for use in device.consumes)
    parent = attribute(offer, "parentUUID")
    return str(parent) if parent is not None else device.name


def _gpu(
    node: str,
    name: str,
    members: Sequence[Offer],
    left: Mapping[str, int],
    dedicated: set[Identity],
    shares: Mapping[Identity, Mapping[str, int]],
    tolerate: tuple[Taint, ...],
) -> Gpu:
    biggest = max(members, key=lambda each: (memory_of(each.driver, each.device) or _ZERO, each.device.name))
    cut = attribute(biggest, "parentUUID") is not None or attribute(biggest, "type") == "mig"
    whole = None if cut else biggest
    mine = {counter: amount for counter, amount in left.items() if counter.partition("/")[0] in name.split("+")}
    own = {offer.identity for offer in members}
    used = bool(own & dedicated) or any(identity in shares for identity in own)
    if members[0].device.consumes:
        used = used or any(amount < total for amount, total in _totals(mine, members))
    free = [each for each in members if each.identity not in dedicated and _affordable(each, mine)]
    size = biggest if whole is not None else None
    parts = tuple(
        Part(
            each, str(attribute(each, "profile") or each.device.name), _bytes(each), _compute(each, size), _draws(each)
        )
        for each in sorted(free, key=lambda each: _natural(each.device.name))
        if each is not whole and each.identity not in shares
    )
    held = dict(shares.get(whole.identity, {})) if whole is not None else {}
    return Gpu(
        node,
        name if whole is None else whole.device.name,
        product_of(biggest),
        whole if whole in free else None,
        parts,
        mine,
        held,
        used,
        tolerate,
    )


def _totals(left: Mapping[str, int], members: Sequence[Offer]) -> Iterable[tuple[int, int]]:
    """Of each counter what is left, beside what the device that draws most takes of it."""
    for name, amount in left.items():
        yield amount, max((_draws(each).get(name, 0) for each in members), default=0)


def _left(view: PoolView, dedicated: set[Identity], shares: Mapping[Identity, object]) -> dict[str, int]:
    """By `set/counter` what devices that are taken leave, in nanos."""
    left = {
        f"{name}/{counter}": amount.nanos
        for name, counters in view.counters.items()
        for counter, amount in counters.counters.items()
    }
    pools = {(item.slice.driver, item.slice.pool) for item in view.usable}
    for driver, pool in pools:
        for device, uses in view.uses.items():
            if (driver, pool, device) in dedicated or (driver, pool, device) in shares:
                for use in uses:
                    for counter, amount in use.counters.items():
                        left[f"{use.counter_set}/{counter}"] -= amount.nanos
    return left


def _draws(offer: Offer) -> dict[str, int]:
    return {
        f"{use.counter_set}/{counter}": amount.nanos
        for use in offer.device.consumes
        for counter, amount in use.counters.items()
    }


def _affordable(offer: Offer, left: Mapping[str, int]) -> bool:
    return all(amount <= left.get(name, 0) for name, amount in _draws(offer).items())


# ---------------------------------------------------------------- what a device says of itself

_ZERO: Final = Quantity(0, "0")


def attribute(offer: Offer, name: str) -> object:
    """An attribute in the driver's own domain; None if it has none."""
    return offer.device.attributes.get(name, offer.device.attributes.get(f"{offer.driver}/{name}"))


def capacity_name(driver: str, device: Device, name: str) -> str:
    """How the device spells a capacity of its driver; empty if it has none."""
    return next((each for each in (name, f"{driver}/{name}") if each in device.capacity), "")


def memory_of(driver: str, device: Device) -> Quantity | None:
    """Its memory; None for what is no GPU."""
    spelled = capacity_name(driver, device, "memory")
    found = device.capacity[spelled] if spelled else None
    return found if found is not None and found.nanos > 0 else None


def product_of(offer: Offer) -> str:
    """What it is called by its maker, or the driver's name."""
    for name in _PRODUCTS:
        value = attribute(offer, name)
        if isinstance(value, str):
            return value
    return offer.driver


def compute_name(offer: Offer) -> str:
    """The capacity that measures compute, as the device spells it; empty if it has none."""
    spelled = (capacity_name(offer.driver, offer.device, name) for name in COMPUTE_NAMES)
    return next((name for name in spelled if name and offer.device.capacity[name].nanos > 0), "")


def _bytes(offer: Offer) -> int:
    found = memory_of(offer.driver, offer.device)
    return found.nanos // 10**9 if found is not None else 0


def _compute(offer: Offer, whole: Offer | None) -> int:
    """What a part has of its GPU: `2g` of a MIG profile is two of its slices; else by a capacity or by memory."""
    profile = attribute(offer, "profile")
    found = _CUT.match(profile) if isinstance(profile, str) else None
    if found:
        slices = 4 if "A30" in product_of(offer) else _SLICES
        return min(int(found[1]), slices) * COMPUTE // slices
    if whole is None:
        return COMPUTE
    for name in COMPUTE_NAMES:
        mine, all_of_it = (capacity_name(each.driver, each.device, name) for each in (offer, whole))
        if mine and all_of_it and whole.device.capacity[all_of_it].nanos > 0:
            return min(COMPUTE, offer.device.capacity[mine].nanos * COMPUTE // whole.device.capacity[all_of_it].nanos)
    return min(COMPUTE, _bytes(offer) * COMPUTE // max(_bytes(whole), 1))
