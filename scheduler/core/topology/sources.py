"""What each source knows of the links between a node's devices, in the order in which it is believed.

1. The entry of the ConfigMap `dovetail-topology` that is about the node.
2. The node annotation `dovetail.scheduler/links`, written by whoever looked (an operator, or an agent that reads
   `nvidia-smi topo -m`): a JSON object

       {"pairs": [["0000:07:00.0", "0000:0f:00.0", 300], ...], "default": 0}

   `pairs` holds two devices and the GB/s of their direct link, in one direction while they alone are active; 0 says
   that there is none. The order of the two does not matter. A device is named by PCI bus id, by UUID, by its name, or
   by driver/name where several drivers use one name. `default` is for every pair of accelerators that is not listed;
   without it those pairs are left to the next source. What cannot be read, names a device that the node does not have,
   or gives one pair two speeds is put aside whole, with a warning.
3. What a device is: a NIC or a CPU has no links, and MIG devices do not reach each other directly (NVIDIA MIG guide).
   Driver attributes: the Fabric Manager partitions (partition1 to partition8) of the NVIDIA driver. Two GPUs that share
   one are joined by NVSwitch, at the speed of their product.
4. The node label `nvidia.com/gpu.clique`: the GPUs are on the NVLink fabric of their rack, with the port of their
   product.
5. The product catalogue, for whole GPUs, from product name and count.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from scheduler.core import names
from scheduler.core.errors import TopologyError
from scheduler.core.model import Device, Node
from scheduler.core.topology.labels import CLIQUE
from scheduler.core.topology.maps import LinkMap
from scheduler.core.topology.reading import KNOWN, PARTITION_SIZES, Reading, Spellings, bus_id, natural, read
from scheduler.core.topology.told import MAX_DEVICES, Told, told
from scoring.arrays import Floats, Mask, Rows
from scoring.topology import catalogue
from scoring.topology.base import UNKNOWN, numbered
from scoring.topology.nvlink import switched


@dataclass(frozen=True, slots=True)
class Found:
    """GB/s with NaN where a source is silent, and what it is, in words. told : by people, not by drivers or tables."""

    speeds: Floats
    words: str
    told: bool = False


class Box:
    """A node with its devices as read."""

    def __init__(self, node: Node, devices: Sequence[tuple[str, Device]], further: Spellings = KNOWN) -> None:
        self.node = node
        self.devices: list[Reading] = [read(driver, device, further) for driver, device in devices]
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

    @cached_property
    def products(self) -> dict[str, int]:
        """How many GPUs of a product the box has, cut ones included, by folded name."""
        found: dict[str, int] = defaultdict(int)
        for driver, product in dict.fromkeys((device.driver, device.product) for device in self.devices):
            if product is not None:
                found[catalogue.folded(product)] += self.physical(driver, product)
        return dict(found)

    @cached_property
    def numbered(self) -> list[int | None]:
        """GPUs in the order of their PCI bus ids, those without behind; None for one that is not there as a whole."""
        whole = [i for i, device in enumerate(self.devices) if device.whole]
        present = {self.devices[i].bus for i in whole}
        cut = {device.bus for device in self.devices if device.linkable and not device.whole} - present - {None}
        seats: list[tuple[tuple[object, ...], int | None]] = [((0, bus), None) for bus in cut]
        for at, i in enumerate(self._numbered(whole)):
            bus = self.devices[i].bus
            seats.append(((1, at) if bus is None else (0, bus), i))
        return [i for _, i in sorted(seats, key=lambda seat: seat[0])]

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
        whole = self.groups.get((driver, product), ())
        return len(whole) + len(cut - {self.devices[i].bus for i in whole})

    @property
    def why_unknown(self) -> str:
        """Why the catalogue does not know, where it says so."""
        for driver, product in self.groups:
            template = catalogue.lookup(product, self.physical(driver, product))
            if template is not None and np.isnan(template.bandwidth).any():
                return f"unknown: {product}, {template.wiring}"
        return "unknown"

    @cached_property
    def named(self) -> dict[Hashable, list[int]]:
        """Every spelling by which a device may be named."""
        found: dict[Hashable, list[int]] = defaultdict(list)
        for i, device in enumerate(self.devices):
            for key in device.names:
                found[key].append(i)
        return found

    def resolve(self, where: str, key: str) -> int | None:
        """The device meant; None for a GPU that the node has, but not as a whole one (MIG devices share its bus id).

        Raises TopologyError.
        """
        rows = self.named.get(bus_id(key) or key, [])
        whole = [i for i in rows if self.devices[i].whole] or [i for i in rows if not self.devices[i].linkable]
        if not rows:
            problem = f"node {self.node.name} has no device {key[:80]!r}"
            raise TopologyError(where, problem, "name devices by PCI bus id, uuid or name")
        if len(whole) > 1:
            spellings = " or ".join(f"{self.devices[i].driver}/{self.devices[i].name}" for i in whole)
            raise TopologyError(where, f"{key[:80]!r} names {len(whole)} devices", f"write {spellings}")
        return whole[0] if whole else None


# ---------------------------------------------------------------- told by people


def annotation(node: Node) -> Told | None:
    """What the node's annotation says. Raises TopologyError."""
    text = node.annotations.get(names.LINKS)
    if text is None:
        return None
    where = f"node {node.name}, annotation {names.LINKS}"
    shape = 'write {"pairs": [["DEVICE", "DEVICE", GBPS], ...], "default": 0}'
    try:
        content = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise TopologyError(where, f"is not JSON: {str(error)[:120]}", shape) from None
    if not isinstance(content, dict) or not content.keys() <= {"pairs", "default"}:
        shown = ", ".join(sorted(content)) if isinstance(content, dict) else type(content).__name__
        raise TopologyError(where, f"holds {shown[:120]} instead of pairs and default", shape)
    return told(where, f"annotation {names.LINKS}", content)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a JSON number")


def speeds_of(box: Box, said: Told) -> Floats:
    """What was said, for the devices that the node has. Raises TopologyError."""
    speeds = box.silence
    listed = np.zeros(speeds.shape, np.bool_)
    if said.matrix:
        seats = [box.resolve(said.where, key) for key in said.devices] if said.devices else box.numbered
        if len(seats) != len(said.matrix):
            problem = f"matrix is for {len(said.matrix)} devices, and node {box.node.name} has {len(seats)} GPUs"
            raise TopologyError(said.where, problem, "give one row a GPU, or name the devices")
        present = [at for at, seat in enumerate(seats) if seat is not None]
        rows = np.array([seats[at] for at in present], np.int64)
        if len(set(rows.tolist())) < len(rows):
            raise TopologyError(said.where, "devices names one device twice", "name each device once")
        speeds[np.ix_(rows, rows)] = np.array(said.matrix, np.float32)[np.ix_(present, present)]
        listed[np.ix_(rows, rows)] = True
    for one, other, speed in said.pairs:
        i, j = (box.resolve(said.where, key) for key in (one, other))
        if i is None or j is None:
            continue
        if i == j:
            raise TopologyError(said.where, f"pair {one}, {other} is one device", "name two devices")
        if listed[i, j] and speeds[i, j] != np.float32(speed):
            problem = f"pair {one}, {other} has two speeds, {speeds[i, j]:g} and {speed:g} GB/s"
            raise TopologyError(said.where, problem, "list each pair once: links are symmetric")
        listed[i, j] = listed[j, i] = True
        speeds[i, j] = speeds[j, i] = speed
    if said.default is not None:
        speeds[~listed & box.linkable[:, None] & box.linkable[None, :]] = said.default
    return speeds


def chosen(links: LinkMap | None, box: Box) -> tuple[Told | None, tuple[str, ...]]:
    """The entry of the ConfigMap that counts for a node, and a warning where others are about it as well."""
    found = links.of(box.node, box.products) if links is not None else ()
    if not found:
        return None, ()
    first, *others = found
    if not others:
        return first.told, ()
    also = ", ".join(each.told.words for each in others[:3])
    problem = f"node {box.node.name} is meant by {also} as well; the first counts"
    return first.told, (f"{first.told.where}: {problem}: make their selectors exclude each other",)


# ---------------------------------------------------------------- told by drivers, labels and tables


def by_kind(box: Box) -> Found | None:
    """What devices are."""
    mig = np.array([device.kind == "mig" for device in box.devices], np.bool_)
    none = ~box.linkable | mig
    speeds = box.silence
    speeds[none[:, None] | none[None, :]] = 0
    words = "driver attributes: MIG devices have no direct links" if mig.any() else ""
    return Found(speeds, words)


def partitioned(box: Box) -> Found | None:
    """Fabric Manager partitions. Raises TopologyError."""
    speeds = box.silence
    used: dict[int, None] = {}
    products: dict[str, None] = {}
    for (driver, product), group in box.groups.items():
        rate = catalogue.port_rate(product)
        rows = group[[bool(box.devices[i].partitions) for i in group.tolist()]]
        if rate is None or len(rows) < 2:
            continue
        _check_modules(box, driver, rows)
        shared = np.zeros((len(rows), len(rows)), np.bool_)
        for size in PARTITION_SIZES[1:]:
            domain = numbered(box.devices[i].partitions.get(size) for i in rows.tolist())
            if (domain >= 0).any():
                used[size] = None
            shared |= (domain[:, None] == domain[None, :]) & (domain >= 0)[:, None]
        speeds[np.ix_(rows, rows)] = np.where(shared, rate, 0)
        products[product] = None
    if not products:
        return None
    partitions = ", ".join(f"partition{size}" for size in used)
    return Found(speeds, f"driver attributes: {partitions}; speed of {', '.join(products)}")


def _check_modules(box: Box, driver: str, rows: Rows) -> None:
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


def in_clique(box: Box) -> Found | None:
    """The fabric of a rack works, so every GPU of the node is on it."""
    if not box.node.labels.get(CLIQUE):
        return None
    speeds = box.silence
    products: list[str] = []
    for (_, product), rows in box.groups.items():
        rate = catalogue.port_rate(product)
        if rate is not None and len(rows) > 1:
            speeds[np.ix_(rows, rows)] = switched([rate] * len(rows))
            products.append(product)
    return Found(speeds, f"label {CLIQUE}; speed of {', '.join(products)}") if products else None


def catalogued(box: Box) -> Found | None:
    """What products tell."""
    speeds = box.silence
    said: list[str] = []
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
            said.append(f"catalogue: {product}")
    return Found(speeds, "; ".join(said) or "catalogue: different products")


def too_many(box: Box) -> str:
    """Why the links of a node are not learned; empty if they are."""
    whole = sum(device.whole for device in box.devices)
    if whole <= MAX_DEVICES:
        return ""
    drivers = ", ".join(sorted({device.driver for device in box.devices if device.whole}))
    return (
        f"node {box.node.name}, ResourceSlices of {drivers}: {whole} devices that could be linked are more than "
        f"{MAX_DEVICES}, and no machine has so many; their links stay unknown: check what the driver publishes"
    )


INFERRED: Final[tuple[Callable[[Box], Found | None], ...]] = (by_kind, partitioned, in_clique, catalogued)
"""Sources that need nobody's word, in the order in which they are believed."""
