"""Amounts of resources, summed exactly."""

from collections.abc import Mapping
from typing import Final

from scheduler.cluster.kinds.fields import size_of
from scheduler.cluster.wire.parts import Amounts
from scheduler.core.quantity import NANO

Nanos = dict[str, int]
"""By resource, in nano-units."""

MAX_REQUEST: Final = 2**54
"""More than any node can have left; what a pod asks beyond it fits nowhere just the same."""


def nanos_of(amounts: Amounts | None, path: str) -> Nanos:
    """Amounts, none of which is less than nothing. Raises FieldError."""
    found: Nanos = {}
    for name, amount in (amounts or {}).items():
        found[name] = size_of(amount, f"{path}[{name}]").nanos
    return found


def add(total: Nanos, more: Nanos) -> None:
    """Put more on top."""
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def lift(total: Nanos, floor: Nanos) -> None:
    """Raise what is less than the floor to it."""
    for name, amount in floor.items():
        if amount > total.get(name, 0):
            total[name] = amount


def units_of(nanos: Nanos, *, keep: bool = False) -> Mapping[str, int]:
    """Amounts in the units of the model; those of nothing only to `keep`."""
    return {
        name: min(-(-amount // (10**6 if name == "cpu" else NANO)), MAX_REQUEST)
        for name, amount in nanos.items()
        if amount or keep
    }
