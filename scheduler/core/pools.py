"""Which devices a node can be given: pools, generations and completeness, as the upstream allocator gathers them.

Rules: k8s.io/dynamic-resource-allocation v0.37.2, structured/internal, pool gathering. Identity of a device is
(driver, pool, device); the slice that lists it does not matter.
"""

from collections import Counter
from dataclasses import dataclass

from scheduler.core.columns import RowSpan
from scheduler.core.match import selects_node
from scheduler.core.model import Node, Slice

PoolKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Published:
    """A slice and the rows that its devices have in the device table."""

    slice: Slice
    span: RowSpan


@dataclass(frozen=True, slots=True)
class PoolView:
    """What of one pool a node sees: the slices to allocate from, or why none of it may be used.

    `problem` is set for a pool that is incomplete or invalid: its devices are out of reach, and a request for All
    devices fails on the node, or "all" would mean "all that we happened to see".
    """

    usable: tuple[Published, ...]
    problem: str = ""


NOTHING = PoolView(())


def targets(item: Slice, node: Node) -> bool:
    """Whether a slice is meant for a node."""
    if item.node_name is not None:
        return item.node_name == node.name
    if item.all_nodes:
        return True
    return item.node_selector is not None and selects_node(item.node_selector, node)


class Pool:
    """All published slices of one pool, of any generation.

    local : by the node that they name, then by slice name. spread : those for several nodes, by slice name.
    """

    MANY = 64  # nodes; a larger pool does not tell each of them how many slices are still missing

    def __init__(self, key: PoolKey) -> None:
        self.key = key
        self.local: dict[str, dict[str, Published]] = {}
        self.spread: dict[str, Published] = {}
        self._stated: dict[int, Counter[int]] = {}  # generation -> how many slices state which number of slices

    def __bool__(self) -> bool:
        return bool(self._stated)

    def add(self, published: Published) -> None:
        """Take a slice in."""
        item = published.slice
        part = self.spread if item.node_name is None else self.local.setdefault(item.node_name, {})
        part[item.name] = published
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
        counts = self._stated[item.generation]
        counts[item.slice_count] -= 1
        if not counts[item.slice_count]:
            del counts[item.slice_count]
        if not counts:
            del self._stated[item.generation]

    def verdict(self) -> object:
        """What of the pool as a whole decides how a node sees its own part: while it stays, other nodes' views stay."""
        few = len(self.local) <= self.MANY
        return max(self._stated, default=0), tuple(
            (generation, frozenset(counts), counts.total() if few or counts.total() in counts else -1)
            for generation, counts in sorted(self._stated.items())
        )

    def view(self, node: Node) -> PoolView:
        """What a node sees."""
        here = self.local.get(node.name, {})
        relevant = [*here.values(), *(item for item in self.spread.values() if targets(item.slice, node))]
        if not relevant:
            return NOTHING
        newest = max(item.slice.generation for item in relevant)
        relevant = sorted(
            (item for item in relevant if item.slice.generation == newest), key=lambda item: item.slice.name
        )
        expected = relevant[0].slice.slice_count
        if len(relevant) != expected:
            if max(self._stated) > newest:
                return NOTHING  # a newer generation elsewhere makes this part obsolete
            if self._stated[newest].total() != expected:
                return PoolView((), self._incomplete(newest))
        listed: dict[str, str] = {}
        for item in relevant:
            for device in item.slice.devices:
                if device.name in listed:
                    twice = f"slices {listed[device.name]} and {item.slice.name}"
                    return PoolView((), f"{self} is invalid: device {device.name} is listed twice ({twice})")
                listed[device.name] = item.slice.name
        return PoolView(tuple(relevant))

    def __str__(self) -> str:
        return f"pool {self.key[1]} of driver {self.key[0]}"

    def _incomplete(self, generation: int) -> str:
        counts = self._stated[generation]
        wanted = " or ".join(map(str, sorted(counts)))
        if len(self.local) > self.MANY:
            return f"{self} is incomplete: generation {generation} does not have its {wanted} slices"
        return f"{self} is incomplete: generation {generation} has {counts.total()} of {wanted} slices"
