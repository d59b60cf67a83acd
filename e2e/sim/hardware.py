"""The hardware of a simulated cluster: nodes, classes, and slices of drivers that share, cut and attach devices."""

from collections.abc import Callable, Mapping
from random import Random

from e2e.sim.oracle import OWNED, Published
from e2e.sim.store import Raw

GPU, NET = "gpu.example.com", "net.example.com"
EXTENDED = "example.com/gpu"
LATE_CLASS = "late"  # there is none of this name until an admin makes it


def _of(driver: str, **attributes: object) -> Callable[[Published], bool]:
    def meaning(device: Published) -> bool:
        return device.id[0] == driver and all(
            device.attributes.get(name) == value for name, value in attributes.items()
        )

    return meaning


def _cel(driver: str, **attributes: object) -> str:
    parts = [f'device.driver == "{driver}"']
    for name, value in attributes.items():
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        parts.append(f'device.attributes["{driver}"].{name} == {shown}')
    return " && ".join(parts)


_MEANT = [(GPU, {}), (NET, {}), *((GPU, {"type": each}) for each in ("whole", "part", "shared", "attached"))]
_MEANT += [(GPU, {"model": each}) for each in ("a", "b")]
SELECTORS: Mapping[str, Callable[[Published], bool]] = {
    _cel(driver, **attributes): _of(driver, **attributes) for driver, attributes in _MEANT
}
"""What each expression that is used means."""


def device_class(name: str, expression: str, **spec: object) -> Raw:
    return {
        "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name},
        "spec": {"selectors": [{"cel": {"expression": expression}}], **spec},
    }  # fmt: skip


def classes() -> list[Raw]:
    return [
        device_class("gpu", _cel(GPU, type="whole")),
        device_class("part", _cel(GPU, type="part")),
        device_class("shared", _cel(GPU, type="shared")),
        device_class("attached", _cel(GPU, type="attached")),
        device_class("nic", _cel(NET)),
        device_class("extended", _cel(GPU, type="whole"), extendedResourceName=EXTENDED),
    ]


def late_class() -> Raw:
    return device_class(LATE_CLASS, _cel(GPU, type="whole"))


def model(name: str) -> str:
    return _cel(GPU, model=name)


def node(name: str, random: Random, *, owned: bool) -> Raw:
    labels = {"kubernetes.io/hostname": name, "zone": random.choice("ab")}
    if owned:
        labels[OWNED] = "true"
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {},
        "status": {
            "allocatable": {
                "cpu": str(random.choice((2, 3, 8))), "memory": "16Gi", "pods": str(random.choice((3, 6, 110))),
            },
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }  # fmt: skip


def _device(name: str, type_: str, random: Random, **more: object) -> Raw:
    attributes = {
        "type": {"string": type_}, "model": {"string": random.choice("aab")}, "numa": {"int": random.choice((0, 1))},
    }  # fmt: skip
    return {"name": name, "attributes": attributes, **more}


def _counted(value: int) -> Raw:
    return {"slices": {"value": str(value)}}


def _gib(value: int) -> str:
    return f"{value}Gi"


def pool(node_name: str, flavour: str, random: Random) -> list[Raw]:
    """The spec parts of a node's pool of GPUs: devices or counters, one entry a slice."""
    if flavour == "whole":
        devices = [_device(f"gpu-{each}", "whole", random) for each in range(random.randint(2, 4))]
        return [{"devices": devices[:1]}, {"devices": devices[1:]}] if random.random() < 0.5 else [{"devices": devices}]
    if flavour == "shared":
        policy = {"default": _gib(10), "validRange": {"min": _gib(5), "step": _gib(5), "max": _gib(40)}}
        capacity = {"memory": {"value": _gib(40), "requestPolicy": policy}}
        return [
            {
                "devices": [
                    _device(f"gpu-{each}", "shared", random, allowMultipleAllocations=True, capacity=capacity)
                    for each in range(random.randint(1, 2))
                ]
            }
        ]
    if flavour == "attached":
        more = {"bindsToNode": True, "bindingConditions": ["Attached"], "bindingFailureConditions": ["Broken"]}
        return [{"devices": [_device(f"gpu-{each}", "attached", random, **more) for each in range(2)]}]
    sets, devices = [], []
    for card in range(random.randint(1, 2)):
        sets.append({"name": f"card-{card}", "counters": _counted(4)})
        for name, type_, size in (
            (f"card-{card}", "whole", 4), (f"card-{card}-half", "part", 2),
            *((f"card-{card}-p{each}", "part", 1) for each in range(3)),
        ):  # fmt: skip
            consumes = [{"counterSet": f"card-{card}", "counters": _counted(size)}]
            devices.append(_device(name, type_, random, consumesCounters=consumes))
    return [{"sharedCounters": sets}, {"devices": devices}]


def slices(driver: str, pool_name: str, where: Raw, parts: list[Raw], generation: int) -> list[Raw]:
    """A pool as its driver publishes it."""
    return [
        {
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice",
            "metadata": {"name": f"{pool_name}-{driver.partition('.')[0]}-{generation}-{number}"},
            "spec": {
                "driver": driver, **where, **part,
                "pool": {"name": pool_name, "generation": generation, "resourceSliceCount": len(parts)},
            },
        }
        for number, part in enumerate(parts)
    ]  # fmt: skip


def nics(random: Random) -> list[Raw]:
    count = random.randint(1, 2)
    return [{"devices": [{"name": f"nic-{each}", "attributes": {"speed": {"int": 100}}} for each in range(count)]}]
