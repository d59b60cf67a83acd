"""What can be known of the links between a node's devices, in the order in which it is believed.

1. The node annotation `dovetail.scheduler/links`, written by whoever looked (an operator, or an agent that reads
   `nvidia-smi topo -m`): a JSON object

       {"pairs": [["0000:07:00.0", "0000:0f:00.0", 300], ...], "default": 0}

   `pairs` holds two devices and the GB/s of their direct link, in one direction while they alone are active; 0 says
   that there is none. The order of the two does not matter. A device is named by PCI bus id, by UUID, by its name, or
   by driver/name where several drivers use one name. `default` is for every pair of accelerators that is not listed;
   without it those pairs are left to the next source. An annotation that cannot be read, names a device that the node
   does not have, or gives one pair two speeds is put aside whole, with a warning.
2. What a device is: a NIC or a CPU has no links, and MIG devices do not reach each other directly (NVIDIA MIG guide).
3. Driver attributes: the Fabric Manager partitions (partition2, partition4, partition8) of the NVIDIA driver. Two GPUs
   that share one are joined by NVSwitch, at the speed of their product.
4. The product catalogue, for whole GPUs, from product name and count.

Each source speaks for the pairs that those above it left open. What none knows stays NaN: no island is invented.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from scheduler.core import names
from scheduler.core.errors import TopologyError
from scheduler.core.model import AttributeValue, Device, Node
from scoring.arrays import Floats, Mask, Rows
from scoring.topology import catalogue
from scoring.topology.base import UNKNOWN, Layout

STANDARD: Final = "resource.kubernetes.io/"

# {driver} stands for the domain of the device's own driver. Sources: the drivers' attribute references.
_NUMA = (
    STANDARD + "numaNode",
    "{driver}/numaNode",  # gpu.amd.com, dra.memory, older NVIDIA-like drivers
    "{driver}/numaNodeID",  # dra.cpu
    "dra.net/numaNode",  # dranet; SR-IOV and dra.cpu publish it for compatibility
    "dra.cpu/numaNodeID",
    "{driver}/numa",
)
_PCIE = (STANDARD + "pcieRoot", "{driver}/pcieRoot", "{driver}/pciRoot")  # gaudi.intel.com; gpu.intel.com, deprecated
_BUS = (
    STANDARD + "pciBusID",
    "{driver}/pciBusID",
    "{driver}/pciAddress",  # dranet, gpu.intel.com, SR-IOV
    "{driver}/pciAddr",  # gpu.amd.com in auto-partition mode
)
_MODULE = ("{driver}/gpuModuleID", "{driver}/gpuModuleId")  # as in the NVIDIA driver's code, and in its reference
_PARTITIONS = (2, 4, 8)

_NO_LINKS = frozenset({"dra.net", "dra.cpu", "dra.memory", "compute-domain.nvidia.com"})
_NO_LINKS_PREFIX = ("sriovnetwork.",)
_PARTS = frozenset({"mig", "vfio", "amdgpu-partition"})  # of attribute `type`: not a whole GPU that its node drives
_BUS_ID = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE | re.ASCII)
_MAX_GBPS = 1e6

BusId = tuple[int, ...]
Found = tuple[Floats, str]  # GB/s with NaN where silent, and where it is from


@dataclass(frozen=True, slots=True)
class Learned:
    """The layout of a node's devices, and what was wrong with the sources that were put aside."""

    layout: Layout
    warnings: tuple[str, ...] = ()


def learn(node: Node, devices: Sequence[tuple[str, Device]]) -> Learned:
    """The layout of a node's devices, given with their drivers in the node's order.

    Never fails: a source that contradicts itself or the devices is ignored, and named in `warnings`.
    """
    box = _Box(node, devices)
    size = len(devices)
    bandwidth = np.full((size, size), UNKNOWN, np.float32)
    np.fill_diagonal(bandwidth, 0)
    said: list[str] = []
    warnings: list[str] = []
    for source in _SOURCES:
        try:
            found = source(box)
        except TopologyError as error:
            warnings.append(str(error))
            continue
        if found is None:
            continue
        speeds, words = found
        open_pairs = np.isnan(bandwidth) & ~np.isnan(speeds)
        if open_pairs.any():
            bandwidth[open_pairs] = speeds[open_pairs]
            said.append(words)
    unknown = np.isnan(bandwidth).any()
    if unknown:
        said.append(box.why_unknown if not any(said) else "some pairs unknown")
    words = "; ".join(filter(None, said)) or "nothing to link"
    layout = Layout(
        bandwidth=bandwidth,
        numa=_domains([gpu.numa for gpu in box.devices]),
        pcie=_domains([gpu.pcie for gpu in box.devices]),
        source=words,
        linkable=box.linkable,
    )
    return Learned(layout, tuple(warnings))


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the sources need of one device."""

    driver: str
    name: str
    kind: str
    uuid: str | None
    bus: BusId | None
    product: str | None
    numa: int | None
    pcie: str | None
    module: int | None
    partitions: Mapping[int, AttributeValue]

    @property
    def linkable(self) -> bool:
        return self.driver not in _NO_LINKS and not self.driver.startswith(_NO_LINKS_PREFIX)

    @property
    def whole(self) -> bool:
        return self.linkable and self.kind not in _PARTS


class _Box:
    """A node with its devices as read."""

    def __init__(self, node: Node, devices: Sequence[tuple[str, Device]]) -> None:
        self.node = node
        self.devices = [_read(driver, device) for driver, device in devices]
        self.linkable: Mask = np.array([device.linkable for device in self.devices], np.bool_)

    @property
    def silence(self) -> Floats:
        """A matrix that says nothing."""
        size = len(self.devices)
        return np.full((size, size), UNKNOWN, np.float32)

    @cached_property
    def groups(self) -> dict[tuple[str, str], Rows]:
        """Whole GPUs by (driver, product name), numbered as the catalogue does: by PCI bus id where all have one."""
        members: dict[tuple[str, str], list[int]] = defaultdict(list)
        for i, device in enumerate(self.devices):
            if device.whole and device.product is not None:
                members[device.driver, device.product].append(i)
        return {group: np.array(self._numbered(rows), np.int32) for group, rows in members.items()}

    def _numbered(self, rows: list[int]) -> list[int]:
        buses = {i: bus for i in rows if (bus := self.devices[i].bus) is not None}
        if len(buses) == len(rows) == len(set(buses.values())):
            return sorted(rows, key=buses.__getitem__)
        return sorted(rows, key=lambda i: natural(self.devices[i].name))

    def physical(self, driver: str, product: str) -> int:
        """GPUs of a product in the box: the whole ones, and those cut into MIG devices."""
        cut = {
            device.bus or device.name
            for device in self.devices
            if (device.driver, device.product) == (driver, product) and device.kind == "mig"
        }
        whole = self.groups[driver, product]
        return len(whole) + len(cut - {self.devices[i].bus for i in whole.tolist()})

    @property
    def why_unknown(self) -> str:
        """Why the catalogue does not know, where it says so."""
        for driver, product in self.groups:
            template = catalogue.lookup(product, self.physical(driver, product))
            if template is not None and np.isnan(template.bandwidth).any():
                return f"unknown: {product}, {template.wiring}"
        return "unknown"


def natural(name: str) -> tuple[tuple[str, int], ...]:
    """Sort key by which gpu-10 follows gpu-9."""
    return tuple((text, int(number or 0)) for text, number in re.findall(r"([^0-9]*)([0-9]*)", name))


def _read(driver: str, device: Device) -> _Reading:
    attributes = {key if "/" in key else f"{driver}/{key}": value for key, value in device.attributes.items()}

    def first(spellings: Sequence[str]) -> AttributeValue | None:
        keys = (spelling.replace("{driver}", driver) for spelling in spellings)
        return next((attributes[key] for key in keys if key in attributes), None)

    def text(*spellings: str) -> str | None:
        value = first(spellings)
        return value if isinstance(value, str) else None

    partitions = {size: first([f"{{driver}}/partition{size}"]) for size in _PARTITIONS}
    return _Reading(
        driver=driver,
        name=device.name,
        kind=text("{driver}/type") or "",
        uuid=text("{driver}/uuid"),
        bus=_bus_id(text(*_BUS) or ""),
        product=text("{driver}/productName"),
        numa=_whole_number(first(_NUMA)),
        pcie=text(*_PCIE),
        module=_whole_number(first(_MODULE)),
        partitions={size: value for size, value in partitions.items() if value is not None},
    )


def _whole_number(value: AttributeValue | None) -> int | None:
    """A number >= 0; the kernel writes -1 where it does not know."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _bus_id(text: str) -> BusId | None:
    """Domain, bus, device, function; `nvidia-smi` writes the domain with eight digits, the kernel with four."""
    found = _BUS_ID.fullmatch(text)
    return tuple(int(part or "0", 16) for part in found.groups()) if found else None


def _domains(values: Sequence[Hashable | None]) -> Rows:
    numbers: dict[Hashable, int] = {}
    codes = [-1 if value is None else numbers.setdefault(value, len(numbers)) for value in values]
    return np.array(codes, np.int32)


# ---------------------------------------------------------------- sources


def _annotated(box: _Box) -> Found | None:
    text = box.node.annotations.get(names.LINKS)
    if text is None:
        return None
    where = f"node {box.node.name}, annotation {names.LINKS}"
    pairs, default = _parse(where, text)
    speeds = box.silence
    listed = np.zeros(speeds.shape, np.bool_)
    named = _named(box.devices)
    for one, other, speed in pairs:
        i, j = (_resolve(where, key, named, box.devices) for key in (one, other))
        if i is None or j is None:
            continue
        if i == j:
            raise TopologyError(where, f"pair {one}, {other} is one device", "name two devices")
        if listed[i, j] and speeds[i, j] != np.float32(speed):
            problem = f"pair {one}, {other} has two speeds, {speeds[i, j]:g} and {speed:g} GB/s"
            raise TopologyError(where, problem, "list each pair once: links are symmetric")
        listed[i, j] = listed[j, i] = True
        speeds[i, j] = speeds[j, i] = speed
    if default is not None:
        speeds[~listed & box.linkable[:, None] & box.linkable[None, :]] = default
    return speeds, f"annotation {names.LINKS}"


def _parse(where: str, text: str) -> tuple[list[tuple[str, str, float]], float | None]:
    shape = 'write {"pairs": [["DEVICE", "DEVICE", GBPS], ...], "default": 0}'
    try:
        content = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise TopologyError(where, f"is not JSON: {str(error)[:120]}", shape) from None
    if not isinstance(content, dict) or not content.keys() <= {"pairs", "default"}:
        shown = ", ".join(sorted(content)) if isinstance(content, dict) else type(content).__name__
        raise TopologyError(where, f"holds {shown[:120]} instead of pairs and default", shape)
    pairs = content.get("pairs", [])
    if not isinstance(pairs, list):
        raise TopologyError(where, "pairs is not a list", shape)
    read: list[tuple[str, str, float]] = []
    for number, pair in enumerate(pairs):
        match pair:
            case [str(one), str(other), speed]:
                read.append((one, other, _speed(where, f"pairs[{number}]", speed)))
            case _:
                raise TopologyError(where, f"pairs[{number}] is not two device names and a number", shape)
    default = content.get("default")
    return read, None if default is None else _speed(where, "default", default)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a JSON number")


def _speed(where: str, field: str, speed: object) -> float:
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 <= speed <= _MAX_GBPS:
        raise TopologyError(where, f"{field}: {str(speed)[:40]!r} is not a speed", "give GB/s, 0 or more")
    return float(speed)


def _named(devices: Sequence[_Reading]) -> dict[Hashable, list[int]]:
    """Every spelling by which an annotation may name a device."""
    named: dict[Hashable, list[int]] = defaultdict(list)
    for i, device in enumerate(devices):
        for key in (device.bus, device.uuid, device.name, f"{device.driver}/{device.name}"):
            if key is not None:
                named[key].append(i)
    return named


def _resolve(where: str, key: str, named: Mapping[Hashable, list[int]], devices: Sequence[_Reading]) -> int | None:
    """The device meant; None for a GPU that the node has, but not as a whole one (MIG devices share its bus id)."""
    rows = named.get(_bus_id(key) or key, [])
    whole = [i for i in rows if devices[i].whole] or [i for i in rows if not devices[i].linkable]
    if not rows:
        raise TopologyError(where, f"the node has no device {key[:80]!r}", "name devices by PCI bus id, uuid or name")
    if len(whole) > 1:
        spellings = " or ".join(f"{devices[i].driver}/{devices[i].name}" for i in whole)
        raise TopologyError(where, f"{key[:80]!r} names {len(whole)} devices", f"write {spellings}")
    return whole[0] if whole else None


def _by_kind(box: _Box) -> Found | None:
    mig = np.array([device.kind == "mig" for device in box.devices], np.bool_)
    none = ~box.linkable | mig
    speeds = box.silence
    speeds[none[:, None] | none[None, :]] = 0
    words = "driver attributes: MIG devices have no direct links" if mig.any() else ""
    return speeds, words


def _partitioned(box: _Box) -> Found | None:
    speeds = box.silence
    used: dict[int, None] = {}
    products: dict[str, None] = {}
    for (driver, product), rows in box.groups.items():
        rate = catalogue.port_rate(product)
        rows = rows[[bool(box.devices[i].partitions) for i in rows.tolist()]]  # noqa: PLW2901
        if rate is None or len(rows) < 2:
            continue
        _check_modules(box, driver, rows)
        shared = np.zeros((len(rows), len(rows)), np.bool_)
        for size in _PARTITIONS:
            domain = _domains([box.devices[i].partitions.get(size) for i in rows.tolist()])
            if (domain >= 0).any():
                used[size] = None
            shared |= (domain[:, None] == domain[None, :]) & (domain >= 0)[:, None]
        speeds[np.ix_(rows, rows)] = np.where(shared, rate, 0)
        products[product] = None
    if not products:
        return None
    partitions = ", ".join(f"partition{size}" for size in used)
    return speeds, f"driver attributes: {partitions}; speed of {', '.join(products)}"


def _check_modules(box: _Box, driver: str, rows: Rows) -> None:
    seen: dict[int, str] = {}
    for i in rows.tolist():
        device = box.devices[i]
        if device.module is None:
            continue
        if device.module in seen:
            raise TopologyError(
                f"node {box.node.name}, driver {driver}",
                f"devices {seen[device.module]} and {device.name} have one gpuModuleID, {device.module}",
                "check the driver; its partitions are not used for scoring",
            )
        seen[device.module] = device.name


def _catalogued(box: _Box) -> Found | None:
    speeds = box.silence
    told: list[str] = []
    known: list[Rows] = []
    for (driver, product), rows in box.groups.items():
        template = catalogue.lookup(product, box.physical(driver, product))
        if template is None or (len(template.bandwidth) != len(rows) and not template.uniform):
            continue
        speeds[np.ix_(rows, rows)] = template.bandwidth[: len(rows), : len(rows)]
        for others in known:  # two different products share no links
            speeds[np.ix_(rows, others)] = speeds[np.ix_(others, rows)] = 0
        known.append(rows)
        if len(rows) > 1 and not np.isnan(template.bandwidth).any():
            told.append(f"catalogue: {product}")
    return speeds, "; ".join(told) or "catalogue: different products"


_SOURCES: Final[tuple[Callable[[_Box], Found | None], ...]] = (_annotated, _by_kind, _partitioned, _catalogued)
