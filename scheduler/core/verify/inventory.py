"""Which devices a node can use, and what keeps it from others: pools, their generations, counters and taints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scheduler.core import names
from scheduler.core.model import CounterSet, Device, Node, Slice, Taint
from scheduler.core.verify.rules import Identity, PoolKey, World
from scheduler.core.verify.words import targets


@dataclass(frozen=True, slots=True)
class Pool:
    """A complete and valid pool as a node sees it.

    slices : of the generation in use, those for other nodes too where the node does not see all of it.
    counters : by counter set.
    """

    slices: Sequence[Slice]
    counters: Mapping[str, CounterSet]


@dataclass(frozen=True, slots=True)
class Local:
    """What one node can use: devices by identity with the slice that lists them, and why other pools are shut.

    A device of a slice that selects nodes per device is there even if it is not for this node: selectors see it.
    """

    devices: Mapping[Identity, tuple[Slice, Device]]
    pools: Mapping[PoolKey, Pool]
    problems: Mapping[PoolKey, str]


class Inventory:
    """All that is published."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.gates = world.gates
        self.pools: dict[PoolKey, list[Slice]] = {}
        self.known: dict[str, Local] = {}
        self.in_use: dict[PoolKey, set[str]] = {}
        for claim in world.claims.values():
            for result in claim.allocation.results if claim.allocation is not None else ():
                if not result.admin_access:
                    self.in_use.setdefault(result.identity[:2], set()).add(result.device)
        for name in sorted(world.slices):
            item = world.slices[name]
            self.pools.setdefault((item.driver, item.pool), []).append(item)

    def local(self, node: Node) -> Local:
        """What a node can use."""
        if node.name in self.known:
            return self.known[node.name]
        devices: dict[Identity, tuple[Slice, Device]] = {}
        pools: dict[PoolKey, Pool] = {}
        problems: dict[PoolKey, str] = {}
        for key, slices in self.pools.items():
            found = self.seen(key, slices, node)
            if isinstance(found, str):
                problems[key] = f"pool {key[1]} of driver {key[0]} is {found}"
            elif found is not None:
                pool, usable = found
                pools[key] = pool
                for item in usable:
                    for device in item.devices:
                        devices[(*key, device.name)] = (item, device)
        self.known[node.name] = Local(devices, pools, problems)
        return self.known[node.name]

    def seen(self, key: PoolKey, slices: Sequence[Slice], node: Node) -> tuple[Pool, list[Slice]] | str | None:
        """A pool on a node, with the slices whose devices it may use; what is wrong with it; None if there is none."""
        # Upstream's oldest allocator counts counter sets in on every node.
        usable = [
            item
            for item in slices
            if self.readable(item) and (targets(item, node) or (item.counter_sets and self.gates.settled))
        ]
        if not usable:
            return None
        newest = max(item.generation for item in usable)
        usable = [item for item in usable if item.generation == newest]
        expected = usable[0].slice_count
        every = usable
        if len(usable) != expected:
            # The rest of the pool may be for other nodes. A newer generation there makes this part obsolete;
            # one that is complete without looking further is used as it is, stale or not.
            if any(item.generation > newest for item in slices):
                return None
            others = [item for item in slices if item.generation == newest and item not in usable]
            every = usable + [item for item in others if self.gates.compatibility_groups or not _grouped(item)]
            if len(every) != expected:
                return f"incomplete: {len(every)} of {expected} slices of generation {newest}"
        usable = [item for item in usable if not item.counter_sets]
        twice = _twice([device.name for item in usable for device in item.devices])
        if twice:
            return f"invalid: it lists {', '.join(twice)} twice"
        counters: dict[str, CounterSet] = {}
        if self.gates.partitionable_devices:
            twice = _twice([each.name for item in every for each in item.counter_sets])
            if twice:
                return f"invalid: it has counter set {', '.join(twice)} twice"
            counters = {each.name: each for item in every for each in item.counter_sets}
            for item in every:
                unknown = "" if item.counter_sets else _unknown(item, counters)
                if unknown:
                    return f"invalid: {unknown}"
            latest = [item for item in slices if item.generation == max(each.generation for each in slices)]
            unlisted = self.in_use.get(key, set()) - {device.name for item in latest for device in item.devices}
            if counters and unlisted and self.world.unlisted_draw:
                return f"shut: device {min(unlisted)} is in use, and nothing tells what it draws on counters"
        return Pool(every, counters), usable

    def readable(self, item: Slice) -> bool:
        """Whether a slice can be understood with the gates that are on."""
        if not self.gates.partitionable_devices and (item.per_device or item.counter_sets):
            return False
        return self.gates.compatibility_groups or not _grouped(item)

    def taints(self, identity: Identity, device: Device) -> list[Taint]:
        """The device's own taints and those that rules give it, less our own, which keeps other schedulers off."""
        if not self.gates.device_taints:
            return []
        driver, pool, name = identity
        found = list(device.taints)
        for rule in self.world.taint_rules.values() if self.gates.device_taint_rules else ():
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


def _grouped(item: Slice) -> bool:
    return any(use.groups for device in item.devices for use in device.consumes)


def _twice(found: Sequence[str]) -> list[str]:
    return sorted({name for name in found if found.count(name) > 1})


def _unknown(item: Slice, counters: Mapping[str, CounterSet]) -> str:
    """What a device of a slice consumes that its pool does not have."""
    for device in item.devices:
        for use in device.consumes:
            if use.counter_set not in counters:
                return f"device {device.name} consumes counter set {use.counter_set}, which it does not have"
            for name in use.counters:
                if name not in counters[use.counter_set].counters:
                    return f"device {device.name} consumes counter {name}, which {use.counter_set} does not have"
    return ""
