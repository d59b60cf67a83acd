"""The allocation that a claim gets, as the upstream allocator would write it."""

from collections.abc import Mapping, Sequence

from scheduler.core.model import (
    Allocation,
    AllocationConfig,
    Claim,
    Device,
    DeviceClass,
    NodeSelector,
    NodeSelectorTerm,
    Requirement,
    Result,
    Slice,
)

Chosen = tuple[Slice, Device]


def build(
    claim: Claim, chosen: Sequence[Sequence[Chosen]], classes: Mapping[str, DeviceClass], node: str
) -> Allocation:
    """The allocation of devices `chosen[r]` to the r-th request of a claim, for use on `node`."""
    results = tuple(
        Result(request.name, item.driver, item.pool, device.name, tolerations=request.tolerations)
        for request, devices in zip(claim.spec.requests, chosen, strict=True)
        for item, device in devices
    )
    flat = [pair for devices in chosen for pair in devices]
    return Allocation(results, _node_selector(flat, node), _config(claim, classes))


def _node_selector(chosen: Sequence[Chosen], node: str) -> NodeSelector | None:
    if any(item.node_name is not None or device.binds_to_node for item, device in chosen):
        return NodeSelector((NodeSelectorTerm(fields=(Requirement("metadata.name", "In", (node,)),)),))
    labels: dict[tuple[str, str, frozenset[str]], Requirement] = {}
    fields: dict[tuple[str, str, frozenset[str]], Requirement] = {}
    for item, _ in chosen:
        for term in item.node_selector.terms if item.node_selector else ():
            for requirement in term.labels:
                labels.setdefault(_same(requirement), requirement)
            for requirement in term.fields:
                fields.setdefault(_same(requirement), requirement)
    if not labels and not fields:
        return None
    return NodeSelector((NodeSelectorTerm(tuple(labels.values()), tuple(fields.values())),))


def _same(requirement: Requirement) -> tuple[str, str, frozenset[str]]:
    """Requirements with the same key, operator and set of values are one."""
    return (requirement.key, requirement.operator, frozenset(requirement.values))


def _config(claim: Claim, classes: Mapping[str, DeviceClass]) -> tuple[AllocationConfig, ...]:
    """Class entries first, each class once for all of its requests; then the claim's own entries, unchanged."""
    by_class: dict[str, list[str]] = {}
    for request in claim.spec.requests:
        by_class.setdefault(request.device_class, []).append(request.name)
    every = {request.name for request in claim.spec.requests}
    entries = [
        AllocationConfig("FromClass", tuple(requests), entry)
        for name, requests in by_class.items()
        for entry in classes[name].config
    ]
    entries += [
        AllocationConfig("FromClaim", config.requests, config.entry)
        for config in claim.spec.config
        if not config.requests or every.intersection(config.requests)
    ]
    return tuple(
        AllocationConfig(entry.source, () if every <= set(entry.requests) else entry.requests, entry.entry)
        for entry in entries
    )
