"""Devices as drivers publish them, in small: what tests of single features run on."""

from collections.abc import Iterable, Mapping
from typing import Any

from e2e.api import Raw
from e2e.workload import DRA
from scheduler.simulator import fleet

DRIVER = "dev.example.com"
CLASS = "dev"


def device_class(name: str = CLASS, driver: str = DRIVER, **spec: Any) -> Raw:
    """A class of all devices of a driver; `spec` adds or replaces fields."""
    selectors = [{"cel": {"expression": f'device.driver == "{driver}"'}}]
    return {
        "apiVersion": DRA,
        "kind": "DeviceClass",
        "metadata": {"name": name},
        "spec": {"selectors": selectors, **spec},
    }


def node(name: str, **labels: str) -> Raw:
    """A large node that is ours; `labels` are added."""
    made = fleet.node("dgx-h100", name)
    made["metadata"]["labels"].update(labels)
    return made


def attributes(**values: bool | int | str | list[int] | list[str]) -> Raw:
    """In the API's form, under names of the driver."""
    return {name: {_typed(value): value} for name, value in values.items()}


def _typed(value: object) -> str:
    if isinstance(value, list):
        return "ints" if isinstance(value[0], int) else "strings"
    return {bool: "bool", int: "int", str: "string"}[type(value)]


def device(name: str, values: Raw | None = None, **fields: Any) -> Raw:
    """`values` are its attributes, `fields` the rest of the API's Device."""
    made: Raw = {"name": name, **fields}
    if values:
        made["attributes"] = attributes(**values)
    return made


def devices(count: int, **fields: Any) -> list[Raw]:
    """Equal devices d0, d1 and so on."""
    return [device(f"d{i}", **fields) for i in range(count)]


def slice_on(
    place: str | Mapping[str, Any], devices: Iterable[Raw] = (), part: str = "", of: int = 1, **spec: Any
) -> Raw:
    """One of the `of` ResourceSlices of a pool; where there are more than one, `part` tells them apart.

    place : the name of a node, after which the pool is named, or the fields of the spec that say where the devices of
    the pool `net` are. `spec` adds fields.
    """
    where = {"nodeName": place} if isinstance(place, str) else dict(place)
    pool = place if isinstance(place, str) else "net"
    listed = list(devices)
    return {
        "apiVersion": DRA,
        "kind": "ResourceSlice",
        "metadata": {"name": "-".join(filter(None, (pool, DRIVER, part)))},
        "spec": {
            "driver": DRIVER,
            "pool": {"name": pool, "generation": 1, "resourceSliceCount": of},
            **where,
            **({"devices": listed} if listed else {}),
            **spec,
        },
    }


def taint_rule(name: str, key: str, effect: str = "NoSchedule", **selector: str) -> Raw:
    """A DeviceTaintRule; `selector` names driver, pool, device."""
    spec = {"deviceSelector": selector, "taint": {"key": key, "effect": effect}}
    return {"apiVersion": DRA, "kind": "DeviceTaintRule", "metadata": {"name": name}, "spec": spec}
