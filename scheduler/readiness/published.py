"""What drivers publish: of each, how many devices on which nodes, and what these tell."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from scheduler.core.match import selects_node
from scheduler.core.model import AttributeValue, Device, Node, Slice
from scheduler.core.partitions import SIZES
from scheduler.core.quantity import Quantity
from scheduler.core.topology.reading import PARTS, STANDARD, read

NUMA: Final = STANDARD + "numaNode"
ROOT: Final = STANDARD + "pcieRoot"
BUS: Final = STANDARD + "pciBusID"


def full(driver: str, name: str) -> str:
    """An attribute's or a capacity's name with its domain."""
    return name if "/" in name else f"{driver}/{name}"


Model = tuple[str, str, str, str, tuple[tuple[str, str], ...], bool]
"""Driver, type, product, profile, capacities, and whether it can be shared."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A device where it can be used. node : empty for one that no single node has.

    attributes : by full name. sort : attribute `type`, product : `productName` or `model`; empty where it has none.
    seated : whether it tells its NUMA node under any name. model : what it has in common with others of its kind.
    """

    driver: str
    pool: str
    node: str
    device: Device
    attributes: Mapping[str, AttributeValue]
    sort: str
    product: str
    seated: bool
    model: Model

    @property
    def whole(self) -> bool:
        """Whether it is no part of another one, and is driven by its node."""
        return self.sort not in PARTS

    @property
    def memory(self) -> Quantity | None:
        """Its memory, None if it says nothing of it."""
        capacity = self.device.capacity
        return capacity.get("memory") or capacity.get(f"{self.driver}/memory") or capacity.get("addressableMemory")


def placed(driver: str, pool: str, node: str, device: Device) -> Placed:
    """A device, read once."""
    attributes = {full(driver, name): value for name, value in device.attributes.items()}
    found = read(driver, device)
    model = attributes.get(f"{driver}/model")
    product = found.product or (model if isinstance(model, str) else "")
    profile = attributes.get(f"{driver}/profile") or attributes.get(f"{driver}/partitionProfile") or ""
    capacity = tuple(sorted((name, amount.text) for name, amount in device.capacity.items()))
    key = (driver, found.kind, product, str(profile), capacity, device.shareable)
    return Placed(driver, pool, node, device, attributes, found.kind, product, bool(found.place.numa), key)


Trait = Callable[[Placed], bool]


def _has(name: str) -> Trait:
    return lambda each: name in each.attributes


def _fabric(each: Placed) -> bool:
    return any(f"{each.driver}/partition{size}" in each.attributes for size in SIZES)


TRAITS: Final[Mapping[str, Trait]] = {
    "memory": lambda each: each.memory is not None and each.memory.nanos > 0,
    "numaNode": _has(NUMA),
    "own numaNode": lambda each: each.seated and NUMA not in each.attributes,
    "pcieRoot": _has(ROOT),
    "pciBusID": _has(BUS),
    "fabric partitions": _fabric,
    "shared counters": lambda each: bool(each.device.consumes),
    "consumable capacity": lambda each: each.device.shareable,
    "taints": lambda each: bool(each.device.taints),
    "binding conditions": lambda each: bool(each.device.binding_conditions),
    "list attributes": lambda each: any(isinstance(value, tuple) for value in each.attributes.values()),
    "node resources": lambda each: bool(each.device.allocatable),
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
class Published:
    """What a driver publishes. doubts : why pools are not whole. traits : how many devices have those of TRAITS."""

    driver: str
    devices: tuple[Placed, ...]
    nodes: tuple[str, ...]
    pools: int
    sorts: Mapping[str, int]
    products: Mapping[str, int]
    traits: Mapping[str, int]
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
            placed(driver, pool, where, device)
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
    return Published(
        driver=driver,
        devices=tuple(devices),
        nodes=tuple(sorted({each.node for each in devices} - {""})),
        pools=pools,
        sorts=Counter(each.sort for each in devices),
        products=Counter(each.product for each in devices if each.product),
        traits={name: count for name, trait in TRAITS.items() if (count := sum(trait(each) for each in devices))},
        doubts=doubts,
    )
