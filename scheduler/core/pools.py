"""Which devices a node can be given: pools, generations and completeness, as the upstream allocator gathers them.

Rules: k8s.io/dynamic-resource-allocation v0.37.2, structured/internal, pool gathering. Identity of a device is
(driver, pool, device); the slice that lists it does not matter.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from scheduler.core.columns import RowSpan
from scheduler.core.gates import Gates
from scheduler.core.match import selects_node
from scheduler.core.model import CounterSet, CounterUse, Device, Node, Slice

PoolKey = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Published:
    """A slice and the rows that its devices have in the device table."""

    slice: Slice
    span: RowSpan

    @cached_property
    def counted(self) -> bool:
        """Whether it has to do with shared counters."""
        return bool(self.slice.counter_sets) or any(device.consumes for device in self.slice.devices)

    @cached_property
    def grouped(self) -> bool:
        """Whether a device of it declares compatibility groups."""
        return any(use.groups for device in self.slice.devices for use in device.consumes)

    @cached_property
    def conditional(self) -> bool:
        """Whether a device of it has binding conditions."""
        return any(device.binding_conditions for device in self.slice.devices)


@dataclass(frozen=True, slots=True)
class PoolView:
    """What of one pool a node sees: the slices to allocate from, or why none of it may be used.

    `problem` is set for a pool that is incomplete, or `invalid`: its devices are out of reach, and a request for All
    devices fails, or "all" would mean "all that we happened to see". Of one that is just `withheld`, by caution of our
    own, it fails on the node and ends no attempt.
    counters : by counter set and counter what the pool has. uses : by device name what each device of the pool, on
    this node or another, takes of them; both empty where the pool has none.
    """

    usable: tuple[Published, ...]
    problem: str = ""
    invalid: bool = False
    withheld: bool = False
    counters: Mapping[str, CounterSet] = field(default_factory=dict)
    uses: Mapping[str, tuple[CounterUse, ...]] = field(default_factory=dict)

    @property
    def conditional(self) -> bool:
        """Whether the pool comes after all others because some of its devices have binding conditions."""
        return any(item.conditional for item in self.usable)

    def left(self, pool: PoolKey, in_use: Callable[[tuple[str, str, str]], bool]) -> dict[tuple[str, str], int]:
        """What devices of this pool that are in use leave of each counter: counter set and counter -> nano-units."""
        left = {
            (name, counter): amount.nanos
            for name, each in self.counters.items()
            for counter, amount in each.counters.items()
        }
        for name, uses in self.uses.items():
            if in_use((*pool, name)):
                for use in uses:
                    for counter, amount in use.counters.items():
                        left[use.counter_set, counter] -= amount.nanos
        return left


NOTHING = PoolView(())


def targets(item: Slice, node: Node) -> bool:
    """Whether a slice is meant for a node."""
    if item.node_name is not None:
        return item.node_name == node.name
    if item.all_nodes:
        return True
    if item.node_selector is not None:
        return selects_node(item.node_selector, node)
    return item.per_device and any(reaches(device, node) for device in item.devices)


def reaches(device: Device, node: Node) -> bool:
    """Whether a device that says for itself where it can be used can be used on a node."""
    if device.node_name is not None:
        return device.node_name == node.name
    return device.all_nodes or (device.node_selector is not None and selects_node(device.node_selector, node))


class Pool:
    """All published slices of one pool, of any generation.

    local : by the node that they name, then by slice name. spread : those for several nodes, by slice name.
    """

    MANY = 64  # nodes; a larger pool does not tell each of them how many slices are still missing

    def __init__(self, key: PoolKey) -> None:
        self.key = key
        self.local: dict[str, dict[str, Published]] = {}
        self.spread: dict[str, Published] = {}
        self.counted = 0  # slices that have to do with shared counters
        self._stated: dict[int, Counter[int]] = {}  # generation -> how many slices state which number of slices

    def __bool__(self) -> bool:
        return bool(self._stated)

    def add(self, published: Published) -> None:
        """Take a slice in."""
        item = published.slice
        part = self.spread if item.node_name is None else self.local.setdefault(item.node_name, {})
        part[item.name] = published
        self.counted += published.counted
        self._stated.setdefault(item.generation, Counter())[item.slice_count] += 1

    def remove(self, published: Published) -> None:
        """Take a slice out."""
        item = published.slice
        if item.node_name is None:
            del self.spread[item.name]
        else:
            del self.local[item.node_name][item.name]
            if not self.local[item.node_name]:
                del self.local[item.node_name]
        self.counted -= published.counted
        counts = self._stated[item.generation]
        counts[item.slice_count] -= 1
        if not counts[item.slice_count]:
            del counts[item.slice_count]
        if not counts:
            del self._stated[item.generation]

    @property
    def newest(self) -> int:
        """The highest generation of any slice."""
        return max(self._stated, default=0)

    def verdict(self) -> object:
        """What of the pool as a whole decides how a node sees its own part: while it stays, other nodes' views stay.

        Counters are shared by all nodes of a pool, so any change of such a pool concerns every one of them.
        """
        if self.counted:
            return object()
        few = len(self.local) <= self.MANY
        return self.newest, tuple(
            (generation, frozenset(counts), counts.total() if few or counts.total() in counts else -1)
            for generation, counts in sorted(self._stated.items())
        )

    def view(self, node: Node, gates: Gates) -> PoolView:
        """What a node sees."""
        here = self.local.get(node.name, {})
        relevant = [*here.values(), *(item for item in self.spread.values() if targets(item.slice, node))]
        if gates.settled and self.counted:
            named = {item.slice.name for item in relevant}
            relevant += [item for item in self.slices() if item.slice.counter_sets and item.slice.name not in named]
        if not gates.partitionable_devices:
            relevant = [item for item in relevant if not (item.slice.per_device or item.slice.counter_sets)]
        if not gates.compatibility_groups:
            relevant = [item for item in relevant if not item.grouped]
        if not relevant:
            return NOTHING
        newest = max(item.slice.generation for item in relevant)
        relevant = sorted(
            (item for item in relevant if item.slice.generation == newest), key=lambda item: item.slice.name
        )
        expected = relevant[0].slice.slice_count
        others: list[Published] = []
        if len(relevant) != expected:
            if max(self._stated) > newest:
                return NOTHING  # a newer generation elsewhere makes this part obsolete
            total = self._stated[newest].total()
            if self.counted:
                every = [item for item in self.slices() if item.slice.generation == newest]
                if not gates.compatibility_groups:
                    every = [item for item in every if not item.grouped]
                total = len(every)
                mine = {item.slice.name for item in relevant}
                others = sorted((item for item in every if item.slice.name not in mine), key=lambda e: e.slice.name)
            if total != expected:
                return PoolView((), self._incomplete(newest, total))
        return self._built(relevant, others, gates)

    def latest(self) -> Iterable[Published]:
        """The slices of the newest generation."""
        newest = self.newest
        return (item for item in self.slices() if item.slice.generation == newest)

    def shut(self, seen: PoolView, unlisted: str) -> PoolView:
        """Nothing of it can be used: a device that is in use draws on its counters, and nobody knows how much."""
        problem = f"{self} no longer lists device {unlisted}, which is in use: what it draws on counters is not known"
        return replace(seen, usable=(), problem=problem, withheld=True)

    def slices(self) -> Iterable[Published]:
        """All of them."""
        yield from self.spread.values()
        for part in self.local.values():
            yield from part.values()

    def _built(self, relevant: list[Published], others: list[Published], gates: Gates) -> PoolView:
        """Check names and counters, as upstream does before it uses a pool."""
        counting = gates.partitionable_devices and self.counted > 0
        usable = [item for item in relevant if not (counting and item.slice.counter_sets)]
        listed: dict[str, str] = {}
        for item in usable:
            for device in item.slice.devices:
                if device.name in listed:
                    other = listed[device.name]
                    same = other == item.slice.name
                    twice = f"both times in slice {other}" if same else f"slices {other} and {item.slice.name}"
                    return self._invalid(f"device {device.name} is listed twice ({twice})")
                listed[device.name] = item.slice.name
        if not counting:
            return PoolView(tuple(usable))
        counters: dict[str, CounterSet] = {}
        defined: dict[str, str] = {}
        for item in (*relevant, *others):
            for counter_set in item.slice.counter_sets:
                if counter_set.name in counters:
                    twice = f"slices {defined[counter_set.name]} and {item.slice.name}"
                    return self._invalid(f"counter set {counter_set.name} is defined twice ({twice})")
                defined[counter_set.name] = item.slice.name
                counters[counter_set.name] = counter_set
        uses: dict[str, tuple[CounterUse, ...]] = {}
        for item in (*usable, *(other for other in others if not other.slice.counter_sets)):
            for device in item.slice.devices:
                wrong = _unknown(device, counters)
                if wrong:
                    return self._invalid(f"device {device.name} of {item.slice.name} consumes {wrong}")
                if device.consumes:
                    # A device of the same name on another node is another device, charged beside this one.
                    uses[device.name] = uses.get(device.name, ()) + device.consumes
        return PoolView(tuple(usable), counters=counters, uses=uses)

    def _invalid(self, text: str) -> PoolView:
        return PoolView((), f"{self} is invalid: {text}", invalid=True)

    def __str__(self) -> str:
        return f"pool {self.key[1]} of driver {self.key[0]}"

    def _incomplete(self, generation: int, total: int) -> str:
        wanted = " or ".join(map(str, sorted(self._stated[generation])))
        if len(self.local) > self.MANY:
            return f"{self} is incomplete: generation {generation} does not have its {wanted} slices"
        return f"{self} is incomplete: generation {generation} has {total} of {wanted} slices"


def _unknown(device: Device, counters: Mapping[str, CounterSet]) -> str:
    """A counter that a device consumes and that its pool does not have."""
    for use in device.consumes:
        counter_set = counters.get(use.counter_set)
        if counter_set is None:
            return f"counter set {use.counter_set}, which the pool does not have"
        for name in use.counters:
            if name not in counter_set.counters:
                return f"counter {name}, which counter set {use.counter_set} does not have"
    return ""
