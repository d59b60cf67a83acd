"""Node resources that devices take besides what containers request (KEP-5517).

A device may stand for cpu or memory of its node (a mapping), or cost some (an overhead: per pod, and per container that
uses its claim). What the devices of a pod take is added to what the pod requests, and told in the pod's status.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from scheduler.core import groups
from scheduler.core.model import Allocation, Claim, Device, Pod, Resources, Uid
from scheduler.core.quantity import NANO, Quantity, canonical, parse_quantity
from scheduler.core.state import State

Used = tuple[Device, Mapping[str, Quantity] | None]
"""A device and what is consumed of its capacities; None if nothing is recorded."""
_ONE: Final = Quantity(NANO, "1")


class UnmeasuredError(Exception):
    """What a device takes follows from a capacity of which nothing is consumed; the text says which."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a device takes of one node resource.

    capacity : the name of the consumed capacity that `mapping` multiplies, empty if `mapping` is per device.
    """

    resource: str
    capacity: str
    mapping: Quantity | None
    per_pod: Quantity | None
    per_container: Quantity | None


@dataclass(slots=True)
class Footprint:
    """What the devices of one claim take, by resource."""

    mapping: dict[str, Quantity] = field(default_factory=dict)
    per_pod: dict[str, Quantity] = field(default_factory=dict)
    per_container: dict[str, Quantity] = field(default_factory=dict)

    def nanos(self, containers: int) -> dict[str, int]:
        """In nano-units, for a pod in which so many containers use the claim."""
        found: dict[str, int] = {}
        for part, times in ((self.mapping, 1), (self.per_pod, 1), (self.per_container, containers)):
            for name, amount in part.items():
                found[name] = found.get(name, 0) + amount.nanos * times
        return found


@lru_cache(maxsize=4096)
def rules(text: str) -> tuple[Rule, ...]:
    """The rules in a device's `allocatable`, whose amounts can be read: decoding saw to that."""
    if not text:
        return ()
    found = []
    for resource, entry in sorted(json.loads(text).items()):
        mapping, overhead = entry.get("mapping") or {}, entry.get("overhead") or {}
        capacity = mapping.get("capacityKey") or ""
        times = _quantity(mapping.get("capacityMultiplier")) or _ONE if capacity else None
        found.append(
            Rule(
                resource,
                capacity,
                times if capacity else _quantity(mapping.get("deviceMultiplier")),
                _quantity(overhead.get("perPod")),
                _quantity(overhead.get("perContainer")),
            )
        )
    return tuple(found)


def _quantity(amount: Any) -> Quantity | None:
    return None if amount is None else parse_quantity(str(amount))


def footprint(devices: Iterable[Used]) -> Footprint:
    """Of the devices of one claim. Raises UnmeasuredError."""
    found = Footprint()
    for device, consumed in devices:
        for rule in rules(device.allocatable):
            if rule.capacity:
                if consumed is None:
                    raise UnmeasuredError(
                        f"device {device.name} maps its capacity {rule.capacity} to {rule.resource}, of which an "
                        "allocation consumes nothing; the device must allow multiple allocations"
                    )
                if rule.capacity in consumed and rule.mapping is not None:
                    _add(found.mapping, rule.resource, _times(consumed[rule.capacity], rule.mapping))
            elif rule.mapping is not None:
                _add(found.mapping, rule.resource, rule.mapping)
            if rule.per_pod is not None:
                _add(found.per_pod, rule.resource, rule.per_pod)
            if rule.per_container is not None:
                _add(found.per_container, rule.resource, rule.per_container)
    return found


def _times(amount: Quantity, factor: Quantity) -> Quantity:
    nanos = -(-amount.nanos * factor.nanos // NANO)
    return Quantity(nanos, canonical(nanos, amount.format))


def _add(total: dict[str, Quantity], name: str, amount: Quantity) -> None:
    before = total.get(name)
    spelled = amount.format if before is None or not before.nanos else before.format
    nanos = amount.nanos + (before.nanos if before is not None else 0)
    total[name] = Quantity(nanos, canonical(nanos, spelled))


def units(nanos: Mapping[str, int]) -> dict[str, int]:
    """Amounts in the units of core/model, rounded up."""
    return {name: -(-amount // (10**6 if name == "cpu" else NANO)) for name, amount in nanos.items() if amount}


def charged(pod: Pod, taken: Resources) -> tuple[dict[str, int], str]:
    """What of `taken` a pod adds to its requests, and a resource of which its own pod-level request is too small.

    A request of the pod as a whole stands for everything in it, so devices may take what it leaves over.
    """
    short = [name for name, amount in sorted(taken.items()) if amount > pod.margins.get(name, amount)]
    return {name: amount for name, amount in taken.items() if name not in pod.margins}, short[0] if short else ""


def containers(pod: Pod, state: State) -> dict[Uid, tuple[str, ...]]:
    """Which containers of a pod use which claim."""
    found: dict[Uid, tuple[str, ...]] = {}
    for entry in pod.claims:
        name = groups.claim_name(pod, entry, state)[1]
        uid = state.claim_by_key.get(f"{pod.namespace}/{name}") if name is not None else None
        if uid is not None:
            found[uid] = tuple(dict.fromkeys([*found.get(uid, ()), *pod.users.get(entry.name, ())]))
    return found


def of_allocation(allocation: Allocation, state: State) -> Footprint:
    """What the devices of an allocation take; those that no slice lists take nothing. Raises UnmeasuredError."""
    pairs = [(state.listed(result.identity), result.consumed) for result in allocation.results]
    return footprint((device, consumed) for device, consumed in pairs if device is not None)


def is_mapped(claim: Claim, state: State) -> bool:
    """Whether a device of an allocated claim stands for a resource of its node, so that only one pod may use it."""
    devices = [state.listed(each.identity) for each in claim.allocation.results] if claim.allocation else []
    return any(rule.mapping is not None for device in devices if device for rule in rules(device.allocatable))


def of_claims(pod: Pod, claims: Sequence[tuple[Claim, Allocation]], state: State) -> tuple[Resources, str]:
    """What the claims of a pod take altogether, and how its status says so (a JSON list). Raises UnmeasuredError."""
    users = containers(pod, state)
    total: dict[str, int] = {}
    entries: list[dict[str, Any]] = []
    for claim, allocation in sorted(claims, key=lambda pair: pair[0].name):
        found = of_allocation(allocation, state)
        using = users.get(claim.uid, ())
        for name, nanos in found.nanos(len(using)).items():
            total[name] = total.get(name, 0) + nanos
        if found.mapping or found.per_pod or found.per_container:
            entries.append(_entry(claim.name, using, found))
    return units(total), json.dumps(entries, separators=(",", ":"))


def _entry(claim: str, using: Sequence[str], found: Footprint) -> dict[str, Any]:
    overhead = [
        {
            "name": name,
            **({"perPod": found.per_pod[name].canonical()} if name in found.per_pod else {}),
            **({"perContainer": found.per_container[name].canonical()} if name in found.per_container else {}),
        }
        for name in sorted({*found.per_pod, *found.per_container})
    ]
    mapping = [{"name": name, "quantity": amount.canonical()} for name, amount in sorted(found.mapping.items())]
    return {
        "resourceClaimName": claim,
        **({"containers": list(using)} if using else {}),
        **({"mapping": mapping} if mapping else {}),
        **({"overhead": overhead} if overhead else {}),
    }
