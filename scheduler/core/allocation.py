"""The allocation that a claim gets, as the upstream allocator would write it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import NAMESPACE_DNS, uuid5

from scheduler.core import names
from scheduler.core.gates import Gates
from scheduler.core.model import (
    Allocation,
    AllocationConfig,
    Claim,
    Device,
    DeviceClass,
    NodeSelector,
    NodeSelectorTerm,
    Request,
    Requirement,
    Result,
    Slice,
)
from scheduler.core.quantity import Quantity
from scheduler.core.rules.capacity import resolve

Chosen = tuple[Slice, Device]
_SHARES = uuid5(NAMESPACE_DNS, names.PREFIX.rstrip("/"))
"""The name space of our share IDs: the same decision always has the same."""


@dataclass(frozen=True, slots=True)
class Served:
    """What one request of a claim gets: the alternative that is served, by number, and devices for it."""

    alternative: int
    devices: Sequence[Chosen]


def build(
    claim: Claim,
    served: Sequence[Served],
    classes: Mapping[str, DeviceClass],
    node: str,
    gates: Gates,
    attempt: int = 0,
) -> Allocation:
    """The allocation of `served[r]` to the r-th request of a claim, for use on `node`.

    attempt : how often allocating the claim was tried before, which tells the share IDs of one attempt from the next.
    """
    chosen = [_chosen(request, each) for request, each in zip(claim.spec.requests, served, strict=True)]
    results: list[Result] = []
    for (name, request), each in zip(chosen, served, strict=True):
        for index, (item, device) in enumerate(each.devices):
            share = f"{claim.uid}/{name}/{index}/{attempt}" if device.shareable else ""
            results.append(_result(name, request, item, device, share, gates))
    return Allocation(tuple(results), _node_selector(served, node, gates), _config(claim, chosen, classes))


def _chosen(request: Request, served: Served) -> tuple[str, Request]:
    """The name under which an allocation speaks of a request, and the request or alternative itself."""
    if not request.alternatives:
        return request.name, request
    alternative = request.alternatives[served.alternative]
    return f"{request.name}/{alternative.name}", alternative


def consumed_of(device: Device, asked: Mapping[str, Quantity] | None, gates: Gates) -> Mapping[str, Quantity] | None:
    """What a request consumes of a device's capacities; None where nothing is recorded, as of devices of one user."""
    if not device.shareable or not gates.consumable_capacity:
        return None
    return resolve(asked, device, fractional=gates.fractional_capacity_range) or None


def _result(name: str, request: Request, item: Slice, device: Device, share: str, gates: Gates) -> Result:
    shared = device.shareable and gates.consumable_capacity
    return Result(
        name,
        item.driver,
        item.pool,
        device.name,
        bool(request.admin_access),
        str(uuid5(_SHARES, share)) if shared else None,
        request.tolerations,
        consumed_of(device, request.capacity, gates),
        device.binding_conditions if gates.binding_conditions else (),
        device.binding_failures if gates.binding_conditions else (),
        item.skip_operations if gates.experimental else (),
    )


def _node_selector(served: Sequence[Served], node: str, gates: Gates) -> NodeSelector | None:
    labels: dict[tuple[str, str, frozenset[str]], Requirement] = {}
    fields: dict[tuple[str, str, frozenset[str]], Requirement] = {}
    for item, device in [pair for each in served for pair in each.devices]:
        named = device.node_name if item.per_device else item.node_name
        if named is not None or (device.binds_to_node and not gates.settled):
            return _this_node(node)
        selector = device.node_selector if item.per_device else item.node_selector
        for term in selector.terms if selector else ():
            for requirement in term.labels:
                labels.setdefault(_same(requirement), requirement)
            for requirement in term.fields:
                fields.setdefault(_same(requirement), requirement)
    if not labels and not fields:
        return None
    return NodeSelector((NodeSelectorTerm(tuple(labels.values()), tuple(fields.values())),))


@lru_cache(maxsize=16_384)
def _this_node(name: str) -> NodeSelector:
    return NodeSelector((NodeSelectorTerm(fields=(Requirement("metadata.name", "In", (name,)),)),))


def _same(requirement: Requirement) -> tuple[str, str, frozenset[str]]:
    """Requirements with the same key, operator and set of values are one."""
    return (requirement.key, requirement.operator, frozenset(requirement.values))


def _config(
    claim: Claim, chosen: Sequence[tuple[str, Request]], classes: Mapping[str, DeviceClass]
) -> tuple[AllocationConfig, ...]:
    """Class entries first, each class once for all of its requests; then the claim's own entries, unchanged."""
    if not claim.spec.config and not any(classes[request.device_class].config for _, request in chosen):
        return ()
    by_class: dict[str, list[str]] = {}
    for name, request in chosen:
        by_class.setdefault(request.device_class, []).append(name)
    spoken = [{name, request.name} for request, (name, _) in zip(claim.spec.requests, chosen, strict=True)]
    entries = [
        AllocationConfig("FromClass", tuple(requests), entry)
        for name, requests in by_class.items()
        for entry in classes[name].config
    ]
    entries += [
        AllocationConfig("FromClaim", config.requests, config.entry)
        for config in claim.spec.config
        if not config.requests or any(each.intersection(config.requests) for each in spoken)
    ]
    return tuple(
        AllocationConfig(
            entry.source,
            () if all(each.intersection(entry.requests) for each in spoken) else entry.requests,
            entry.entry,
        )
        for entry in entries
    )
