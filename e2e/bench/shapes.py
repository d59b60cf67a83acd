"""What the throughput benchmark asks for, and of what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from e2e.api import Raw
from e2e.workload import claim, claim_spec, first_available, pod, request, template
from scheduler.simulator import fleet

TEMPLATE: Final = "devices"
SHARERS: Final = 5  # pods that use one claim in `shared`, as upstream's SchedulingWithResourceClaim has it
EXTENDED: Final = "bench.example.com/gpu"
ABSENT: Final = "absent"
_OWN: Final = f'device.attributes["{fleet.EXAMPLE}"]'
_CARDS: Final = 2  # devices that one card of `partition` is cut into


@dataclass(frozen=True)
class Shape:
    """What each pod asks for.

    requests : of the claim that each pod gets from a template, or that SHARERS pods use together; none: each pod asks
    for one EXTENDED. match : an attribute that all devices of a claim must have in common; half of a node's devices
    have 0, half 1. cut : two devices are parts of one card, which can also be taken whole.
    bounded : whether there is a process that makes the same writes without deciding (e2e/bench/bound.py).
    """

    name: str
    requests: Sequence[Raw] = field(default_factory=list)
    match: str = ""
    shared: bool = False
    cut: bool = False
    bounded: bool = True

    @property
    def devices(self) -> int:
        """How many devices a claim gets."""
        return max(1, len(self.requests))

    @property
    def request_names(self) -> list[str]:
        """As the results name them."""
        return [str(each["name"]) for each in self.requests]

    def pods_of(self, devices: int) -> int:
        """How many pods there is room for on a node with so many devices."""
        return devices // self.devices * (SHARERS if self.shared else 1)

    def claims_of(self, pods: int) -> int:
        """How many claims so many pods have."""
        return -(-pods // SHARERS) if self.shared else pods

    def load(self, namespace: str, pods: int, scheduler: str) -> tuple[list[Raw], list[Raw]]:
        """What is there before the burst, and the pods."""
        spec = claim_spec(self.requests, self.match)
        names = [f"pod-{number:05d}" for number in range(pods)]
        if not self.requests:
            return [], [_extended(pod(namespace, name, scheduler=scheduler)) for name in names]
        if not self.shared:
            made = [pod(namespace, name, templates=[TEMPLATE], scheduler=scheduler) for name in names]
            return [template(namespace, TEMPLATE, spec)], made
        claims = [claim(namespace, f"claim-{number:05d}", spec) for number in range(self.claims_of(pods))]
        used = [f"claim-{number // SHARERS:05d}" for number in range(pods)]
        sharing = [
            pod(namespace, name, claims=[one], scheduler=scheduler) for name, one in zip(names, used, strict=True)
        ]
        return list(claims), sharing


def _extended(made: Raw) -> Raw:
    resources: dict[str, Any] = made["spec"]["containers"][0]["resources"]
    resources["requests"][EXTENDED] = "1"
    resources["limits"] = {EXTENDED: "1"}
    return made


def _gpus(count: int) -> list[Raw]:
    return [request(f"gpu-{number}", fleet.EXAMPLE) for number in range(count)]


SHAPES: Final[Mapping[str, Shape]] = {
    each.name: each
    for each in (
        Shape("template", _gpus(1)),
        # As upstream's selector_empty_500nodes: a version and an amount.
        Shape(
            "selector",
            [
                request(
                    "gpu-0",
                    fleet.EXAMPLE,
                    cel=f"{_OWN}.driverVersion.isGreaterThan(semver('0.9.9')) && "
                    f"device.capacity[\"{fleet.EXAMPLE}\"].memory.compareTo(quantity('1Mi')) >= 0",
                )
            ],
        ),
        Shape("match", _gpus(5), match=fleet.STANDARD + "numaNode"),
        Shape("partition", [request("gpu-0", fleet.EXAMPLE, cel=f"{_OWN}.part")], cut=True, bounded=False),
        Shape(
            "firstavailable",
            [first_available(request("best", ABSENT), request("good", fleet.EXAMPLE), name="gpu-0")],
            bounded=False,
        ),
        Shape("shared", _gpus(1), shared=True, bounded=False),
        Shape("extended", bounded=False),
    )
}


ORDERS = ("alternating", "blocks")


def node_name(number: int) -> str:
    return f"node-{number:04d}"


def value(device: int, devices: int, order: str) -> int:
    """The matched attribute of a node's device with this number: 0 0 0 1 1 1 in blocks, else 0 1 0 1 0 1."""
    return 2 * device // devices if order == "blocks" else device % 2


def world(nodes: int, devices: int, order: str, shape: Shape) -> list[Raw]:
    """Nodes, slices and classes."""
    box = f"plain-{devices}"
    names = [node_name(number) for number in range(nodes)]
    slices = [part for name in names for part in fleet.slices(box, name)]
    for part in slices:
        for number, device in enumerate(part["spec"]["devices"]):
            device["attributes"][fleet.STANDARD + "numaNode"] = {"int": value(number, devices, order)}
    if shape.cut:
        slices = [each for part in slices for each in _cut(part)]
    return [*(fleet.node(box, name) for name in names), *_classes(), *slices]


def _classes() -> list[Raw]:
    """Those of the fleet, one that no device is of, and one behind the extended resource."""
    absent = {"selectors": [{"cel": {"expression": "device.driver == 'absent.example.com'"}}]}
    extended = {
        "selectors": [{"cel": {"expression": f"device.driver == '{fleet.EXAMPLE}'"}}],
        "extendedResourceName": EXTENDED,
    }
    made = [
        {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name}, "spec": spec}
        for name, spec in ((ABSENT, absent), ("bench-extended", extended))
    ]
    return [*fleet.device_classes(), *made]


def _cut(part: Raw) -> list[Raw]:
    """A node's slice with its devices as parts of cards, which can be taken whole too, and one with their counters."""
    parts = part["spec"]["devices"]
    amount = {"memory": {"value": "80Gi"}}
    whole: list[Raw] = []
    sets: list[Raw] = []
    for number in range(0, len(parts), _CARDS):
        card = f"card-{number // _CARDS}"
        sets.append({"name": card, "counters": {"memory": {"value": f"{80 * _CARDS}Gi"}}})
        for each in parts[number : number + _CARDS]:
            each["attributes"]["part"] = {"bool": True}
            each["consumesCounters"] = [{"counterSet": card, "counters": amount}]
        taken = {"memory": {"value": f"{80 * _CARDS}Gi"}}
        whole.append(
            {
                "name": card,
                "attributes": {**parts[number]["attributes"], "part": {"bool": False}},
                "capacity": taken,
                "consumesCounters": [{"counterSet": card, "counters": taken}],
            }
        )
    pool = {**part["spec"]["pool"], "resourceSliceCount": 2}
    named = part["metadata"]["name"]
    base = {key: value for key, value in part["spec"].items() if key not in {"devices", "pool"}}
    return [
        {**part, "metadata": {"name": f"{named}-counters"}, "spec": {**base, "pool": pool, "sharedCounters": sets}},
        {**part, "metadata": {"name": f"{named}-devices"}, "spec": {**base, "pool": pool, "devices": [*whole, *parts]}},
    ]
