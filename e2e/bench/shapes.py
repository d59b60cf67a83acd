"""What the throughput benchmark asks for, and of what."""

from dataclasses import dataclass

from e2e.api import Raw
from e2e.workload import claim_spec, request
from scheduler.simulator import fleet


@dataclass(frozen=True)
class Shape:
    """What each pod's claim asks for: so many requests for one device each.

    match : an attribute that all devices of a claim must have in common; half of a node's devices have 0, half 1.
    """

    name: str
    devices: int
    match: str = ""

    @property
    def request_names(self) -> list[str]:
        return [f"gpu-{i}" for i in range(self.devices)]

    def claim_spec(self) -> Raw:
        requests = [request(name, fleet.EXAMPLE) for name in self.request_names]
        return claim_spec(requests, self.match)


SHAPES = {
    "template": Shape("template", 1),
    "match": Shape("match", 5, fleet.STANDARD + "numaNode"),
}


ORDERS = ("alternating", "blocks")


def node_name(number: int) -> str:
    return f"node-{number:04d}"


def value(device: int, devices: int, order: str) -> int:
    """The matched attribute of a node's device with this number: 0 0 0 1 1 1 in blocks, else 0 1 0 1 0 1."""
    return 2 * device // devices if order == "blocks" else device % 2


def world(nodes: int, devices: int, order: str) -> list[Raw]:
    """Nodes, slices and classes."""
    box = f"plain-{devices}"
    names = [node_name(number) for number in range(nodes)]
    slices = [part for name in names for part in fleet.slices(box, name)]
    for part in slices:
        for number, device in enumerate(part["spec"]["devices"]):
            device["attributes"][fleet.STANDARD + "numaNode"] = {"int": value(number, devices, order)}
    return [*(fleet.node(box, name) for name in names), *fleet.device_classes(), *slices]
