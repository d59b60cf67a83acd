"""What drivers publish: of each, how many devices on which nodes, and what these tell."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from scheduler.core.match import selects_node
from scheduler.core.model import Device, Node, Slice
from scheduler.core.partitions import SIZES
from scheduler.core.topology.reading import PARTS, STANDARD, read

NUMA: Final = STANDARD + "numaNode"
ROOT: Final = STANDARD + "pcieRoot"
BUS: Final = STANDARD + "pciBusID"

Trait = Callable[[str, Device], bool]
"""Whether a device, given with its driver, has it."""


def full(driver: str, name: str) -> str:
    """An attribute's or a capacity's name with its domain."""
    return name if "/" in name else f"{driver}/{name}"


def _attribute(name: str) -> Trait:
    return lambda driver, device: name in {full(driver, each) for each in device.attributes}


def _other_numa(driver: str, device: Device) -> bool:
    return bool(read(driver, device).place.numa) and not _attribute(NUMA)(driver, device)


def _memory(driver: str, device: Device) -> bool:
    amounts = [device.capacity.get(name) for name in ("memory", f"{driver}/memory", "addressableMemory")]
    return any(amount is not None and amount.nanos > 0 for amount in amounts)


def _fabric(driver: str, device: Device) -> bool:
    own = {full(driver, name) for name in device.attributes}
    return any(f"{driver}/partition{size}" in own for size in SIZES)


TRAITS: Final[Mapping[str, Trait]] = {
    "memory": _memory,
    "numaNode": _attribute(NUMA),
    "own numaNode": _other_numa,
    "pcieRoot": _attribute(ROOT),
    "pciBusID": _attribute(BUS),
    "fabric partitions": _fabric,
    "shared counters": lambda _, device: bool(device.consumes),
    "consumable capacity": lambda _, device: device.shareable,
    "taints": lambda _, device: bool(device.taints),
    "binding conditions": lambda _, device: bool(device.binding_conditions),
    "list attributes": lambda _, device: any(isinstance(each, tuple) for each in device.attributes.values()),
    "node resources": lambda _, device: bool(device.allocatable),
}
"""What the release table and the families speak of, in the order in which it is shown."""
MEANINGS: Final[Mapping[str, str]] = {
    "memory": "device memory as a capacity",
    "numaNode": f"{NUMA}, which claims can match across drivers",
    "own numaNode": "the NUMA node under a name of the driver's own, which claims cannot match across drivers",
    "pcieRoot": ROOT,
    "pciBusID": BUS,
    "fabric partitions": "Fabric Manager partitions (NVLink)",
    "shared counters": "partitions that share counters",
    "consumable capacity": "devices that several claims may share",
    "taints": "device taints that are there now",
    "binding conditions": "conditions that a binding waits for",
    "list attributes": "attributes with several values",
    "node resources": "what devices take of their node's cpu or memory",
}


@dataclass(frozen=True, slots=True)
class Placed:
    """A device where it can be used. node : empty for one that no single node has."""

    driver: str
    pool: str
    node: str
    device: Device

    @property
    def sort(self) -> str:
        """Attribute `type`, empty if it has none."""
        return read(self.driver, self.device).kind

    @property
    def product(self) -> str:
        """Attribute `productName` or `model`, empty if it has none."""
        found = read(self.driver, self.device).product
        model = self.device.attributes.get("model")
        return found or (model if isinstance(model, str) else "")

    @property
    def whole(self) -> bool:
        """Whether it is no part of another one, and is driven by its node."""
        return self.sort not in PARTS


@dataclass(frozen=True, slots=True)
class Published:
    """What a driver publishes. traits : name in TRAITS -> how many devices have it. doubts : pools that are not whole.

    names : full names of all attributes and capacities.
    """

    driver: str
    devices: tuple[Placed, ...]
    nodes: tuple[str, ...]
    pools: int
    sorts: Mapping[str, int]
    products: Mapping[str, int]
    traits: Mapping[str, int]
    names: frozenset[str]
    doubts: tuple[str, ...]


def published(slices: Iterable[Slice], nodes: Iterable[Node]) -> tuple[Published, ...]:
    """By driver, of the newest generation of each pool."""
    pools: dict[tuple[str, str], list[Slice]] = {}
    for item in sorted(slices, key=lambda each: each.name):
        pools.setdefault((item.driver, item.pool), []).append(item)
    listed = list(nodes)
    found: dict[str, list[Placed]] = {}
    doubts: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    for (driver, pool), parts in sorted(pools.items()):
        newest = max(each.generation for each in parts)
        current = [each for each in parts if each.generation == newest]
        counts[driver] += 1
        if len(current) != current[0].slice_count:
            text = f"pool {pool}: {len(current)} of {current[0].slice_count} slices of generation {newest}"
            doubts.setdefault(driver, []).append(text)
        devices = found.setdefault(driver, [])
        devices += [
            Placed(driver, pool, where, device)
            for item in current
            for device in item.devices
            for where in _where(item, device, listed)
        ]
    return tuple(
        _of(driver, devices, counts[driver], tuple(doubts.get(driver, ()))) for driver, devices in sorted(found.items())
    )


def _where(item: Slice, device: Device, nodes: list[Node]) -> list[str]:
    """The one node that has it; an empty name where there is none or more than one."""
    name = device.node_name if item.per_device else item.node_name
    selector = device.node_selector if item.per_device else item.node_selector
    if name is not None:
        return [name]
    selected = [] if selector is None else [node.name for node in nodes if selects_node(selector, node)]
    return selected if len(selected) == 1 else [""]


def _of(driver: str, devices: list[Placed], pools: int, doubts: tuple[str, ...]) -> Published:
    names = {full(driver, name) for each in devices for name in (*each.device.attributes, *each.device.capacity)}
    return Published(
        driver=driver,
        devices=tuple(devices),
        nodes=tuple(sorted({each.node for each in devices} - {""})),
        pools=pools,
        sorts=Counter(each.sort for each in devices),
        products=Counter(each.product for each in devices if each.product),
        traits={
            name: count
            for name, trait in TRAITS.items()
            if (count := sum(trait(each.driver, each.device) for each in devices))
        },
        names=frozenset(names),
        doubts=doubts,
    )
