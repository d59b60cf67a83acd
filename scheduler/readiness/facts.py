"""What follows from a record: gates, drivers, devices by what they are, links, classes, plugins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from scheduler.audit.devices import device_of
from scheduler.core.cel import evaluate_scalar
from scheduler.core.errors import InputError
from scheduler.core.model import DeviceClass, Node
from scheduler.core.topology import learn
from scheduler.readiness import gates
from scheduler.readiness.gates import Known
from scheduler.readiness.published import NUMA, ROOT, Model, Placed, Published, published
from scheduler.readiness.record import Record
from scheduler.readiness.releases import Driver, Installed, installed, table

FITTING: Final = (ROOT, NUMA)
"""Attributes by which claims can keep a GPU and a NIC together, the closest first."""


@dataclass(frozen=True, slots=True)
class Running:
    """A driver that publishes something, its entry in the table (None: it has none) and which release it is."""

    published: Published
    driver: Driver | None
    installed: Installed

    @property
    def devices(self) -> str:
        """What its devices are: gpu, nic, cpu, memory, fabric, tpu; `unknown` for a driver that is not in the table."""
        return self.driver.devices if self.driver is not None else "unknown"


@dataclass(frozen=True, slots=True)
class Links:
    """What is known of direct links between the whole GPUs of a node. source : who says it.

    known : of every pair. linked : how many GPUs have a direct link to another.
    """

    node: str
    known: bool
    linked: int
    source: str


@dataclass(frozen=True)
class Facts:
    """Of one cluster."""

    record: Record

    @cached_property
    def gates(self) -> tuple[Known, ...]:
        """All gates of the table."""
        return gates.known(self.record)

    def gate(self, name: str) -> Known:
        """One of them."""
        return next(each for each in self.gates if each.name == name)

    @cached_property
    def drivers(self) -> tuple[Running, ...]:
        """All drivers with slices."""
        found = published(self.record.slices, self.record.nodes)
        unread = self.record.missing("DaemonSet")
        return tuple(
            Running(
                each,
                table().get(each.driver),
                installed(table().get(each.driver), each, self.record.workloads, unread),
            )
            for each in found
        )

    def of(self, devices: str) -> list[Placed]:
        """All devices of one sort, parts and passed-through ones included."""
        return [item for each in self.drivers if each.devices == devices for item in each.published.devices]

    @cached_property
    def gpus(self) -> list[Placed]:
        """Whole GPUs that their nodes drive."""
        return [each for each in self.of("gpu") if each.whole]

    @cached_property
    def parts(self) -> list[Placed]:
        """Parts of GPUs: MIG devices and compute partitions."""
        return [each for each in self.of("gpu") if each.sort in {"mig", "amdgpu-partition"}]

    @cached_property
    def nics(self) -> list[Placed]:
        """NICs; of a driver that says which of its devices do RDMA, those that do."""
        listed = self.of("nic")
        telling = {each.driver for each in listed if f"{each.driver}/rdma" in each.attributes}
        return [
            each for each in listed if each.driver not in telling or each.attributes.get(f"{each.driver}/rdma") is True
        ]

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.record.nodes}

    def on_nodes(self, devices: Sequence[Placed]) -> Mapping[str, list[Placed]]:
        """By node, without those that no single node has."""
        found: dict[str, list[Placed]] = {}
        for each in devices:
            if each.node:
                found.setdefault(each.node, []).append(each)
        return dict(sorted(found.items()))

    @cached_property
    def links(self) -> tuple[Links, ...]:
        """Of every node with two whole GPUs or more."""
        found = []
        for name, devices in self.on_nodes(self.gpus).items():
            if len(devices) < 2:
                continue
            node = self.nodes.get(name)
            if node is None:
                found.append(Links(name, known=False, linked=0, source="the node could not be read"))
                continue
            layout = learn(node, [(each.driver, each.device) for each in devices], self.record.links).layout
            apart = ~np.eye(len(devices), dtype=np.bool_)
            known = not bool(np.isnan(layout.bandwidth[apart]).any())
            linked = int(((np.nan_to_num(layout.bandwidth) > 0) & apart).any(axis=1).sum())
            found.append(Links(name, known=known, linked=linked, source=layout.source))
        return tuple(found)

    def alike(self, attribute: str) -> list[str]:
        """Nodes on which a GPU and a NIC have the same value of an attribute."""
        gpus, nics = self.on_nodes(self.gpus), self.on_nodes(self.nics)
        return [
            node
            for node, devices in gpus.items()
            if _values(devices, attribute) & _values(nics.get(node, ()), attribute)
        ]

    def telling(self, devices: Sequence[Placed], attribute: str) -> int:
        """How many of these devices have an attribute."""
        return sum(1 for each in devices if _values([each], attribute))

    @cached_property
    def models(self) -> Mapping[Model, Placed]:
        """One device of each model: those that a selector can tell apart only by where they are count as one."""
        return {item.model: item for each in self.drivers for item in each.published.devices}

    @cached_property
    def selected(self) -> Mapping[str, frozenset[Model]]:
        """Models that the selectors of each class take; a selector that fails on a device does not take it."""
        return {
            each.name: frozenset(model for model, item in self.models.items() if _takes(each, item))
            for each in self.record.classes
        }

    def classes_of(self, devices: Sequence[Placed]) -> list[DeviceClass]:
        """Classes that take some of these devices, and none of another sort of hardware."""
        sorts = {each.published.driver: each.devices for each in self.drivers}
        wanted = {each.model for each in devices}
        allowed = {sorts[each.driver] for each in devices}
        return [
            each
            for each in self.record.classes
            if self.selected[each.name] & wanted and {sorts[model[0]] for model in self.selected[each.name]} <= allowed
        ]

    @cached_property
    def doubly_served(self) -> Mapping[str, tuple[str, ...]]:
        """By node: resources that a device plugin offers there, of a driver that publishes devices of the node."""
        found: dict[str, tuple[str, ...]] = {}
        for name, node in sorted(self.nodes.items()):
            here = {
                each.driver.resources
                for each in self.drivers
                if each.driver is not None and each.driver.resources and name in each.published.nodes
            }
            offered = tuple(
                resource
                for resource, amount in sorted(node.allocatable.items())
                if amount > 0 and any(resource.startswith(prefix) for prefix in here) and is_plugged(resource)
            )
            if offered:
                found[name] = offered
        return found


def is_plugged(resource: str) -> bool:
    """Whether a resource name is one of a device plugin for accelerators."""
    sort = device_of(resource)
    return sort is not None and sort.sort in {"gpu", "shared", "mig", "other"}


def _values(devices: Sequence[Placed], attribute: str) -> set[object]:
    values = [each.attributes.get(attribute) for each in devices]
    return {one for value in values if value is not None for one in (value if isinstance(value, tuple) else (value,))}


def _takes(device_class: DeviceClass, each: Placed) -> bool:
    device = each.device
    try:
        return all(
            evaluate_scalar(text, each.driver, device.attributes, device.capacity, device.shareable)
            for text in device_class.selectors
        )
    except InputError:
        return False
