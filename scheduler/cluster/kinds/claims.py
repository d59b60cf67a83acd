"""ResourceClaims, their templates, and what was allocated for them."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from scheduler.cluster.kinds.fields import FieldError, Kinds, metadata_of, ours_of, owner_of, quantity_of, required
from scheduler.cluster.kinds.opaque import entry_of, names_of, text_of
from scheduler.cluster.kinds.selectors import device_selectors_of, node_selector_of
from scheduler.cluster.kinds.taints import toleration_of, tolerations_of
from scheduler.cluster.wire import claims as wire
from scheduler.core import names
from scheduler.core.model import (
    ALL,
    EXACT_COUNT,
    Allocation,
    AllocationConfig,
    Claim,
    ClaimConfig,
    ClaimSpec,
    ClaimTemplate,
    Constraint,
    Consumer,
    DeviceStatus,
    Request,
    Result,
    Uid,
)
from scheduler.core.quantity import Quantity

PREFIX: Final = "resource.kubernetes.io/"
_COMMON: Final = 4096  # bytes of a spec that is kept for the next claim that has it
_spec = msgspec.json.Decoder(wire.ClaimSpec | None).decode


def _claim(raw: wire.ResourceClaim) -> Claim:
    return _claim_with(_claim_spec(raw.spec, "spec"), raw)


def sealed_claim(raw: wire.SealedClaim) -> Claim:
    """The same for a claim whose spec is only read if no other of late had the same text, as those of a template have.

    Raises FieldError and msgspec.MsgspecError; neither tells where in the claim.
    """
    text = bytes(raw.spec)
    return _claim_with(_common_spec(text) if len(text) <= _COMMON else _claim_spec(_spec(text), "spec"), raw)


@lru_cache(maxsize=512)
def _common_spec(text: bytes) -> ClaimSpec:
    return _claim_spec(_spec(text), "spec")


def _claim_with(spec: ClaimSpec, raw: wire.ResourceClaim | wire.SealedClaim) -> Claim:
    metadata = metadata_of(raw.metadata, uid=True, namespaced=True)
    status = raw.status or wire.ClaimStatus()
    return Claim(
        namespace=metadata.namespace or "",
        name=metadata.name,
        uid=Uid(metadata.uid or ""),
        resource_version=metadata.resource_version or "",
        spec=spec,
        allocation=_allocation(status.allocation) if status.allocation is not None else None,
        reserved_for=tuple(
            Consumer(each.resource, each.name, Uid(each.uid), each.api_group or "")
            for each in status.reserved_for or ()
        ),
        owner=owner_of(metadata),
        deleting=metadata.deletion_timestamp is not None,
        finalized=names.CLAIM_FINALIZER in (metadata.finalizers or ()),
        annotations=ours_of(metadata, PREFIX),
        devices=tuple(
            DeviceStatus(
                each.driver,
                each.pool,
                each.device,
                {condition.type: condition.status for condition in each.conditions or ()},
                each.share_id,
            )
            for each in status.devices or ()
        ),
    )


def _template(raw: wire.ResourceClaimTemplate) -> ClaimTemplate:
    metadata = metadata_of(raw.metadata, namespaced=True)
    if raw.spec is None:
        raise FieldError("spec.spec", "is missing")
    return ClaimTemplate(metadata.namespace or "", metadata.name, _claim_spec(raw.spec.spec, "spec.spec"))


def _claim_spec(raw: wire.ClaimSpec | None, path: str) -> ClaimSpec:
    devices = (raw.devices if raw else None) or wire.Devices()
    unsupported: list[str] = []
    constraints = []
    for index, constraint in enumerate(devices.constraints or ()):
        named = tuple(constraint.requests or ())
        if constraint.match_attribute is not None:
            constraints.append(Constraint(named, constraint.match_attribute))
        elif constraint.distinct_attribute is not None:
            constraints.append(Constraint(named, constraint.distinct_attribute, distinct=True))
        else:
            unsupported.append(f"constraints[{index}] of an unknown type")
    at = f"{path}.devices"
    return ClaimSpec(
        requests=tuple(
            _request(request, f"{at}.requests[{index}]") for index, request in enumerate(devices.requests or ())
        ),
        constraints=tuple(constraints),
        config=tuple(
            ClaimConfig(names_of(entry.get("requests"), f"{at}.config[{index}].requests"), entry_of(entry))
            for index, entry in enumerate(devices.config or ())
        ),
        unsupported=tuple(unsupported),
    )


def _request(raw: wire.Request, path: str) -> Request:
    name = required(raw.name, f"{path}.name")
    shown = f"requests[{name}]"
    if raw.first_available:
        alternatives = tuple(
            _exact(each, required(each.name, f"{path}.firstAvailable[{index}].name"), f"{path}.firstAvailable[{index}]")
            for index, each in enumerate(raw.first_available)
        )
        return Request(name, "", alternatives=alternatives)
    if raw.exactly is None:
        return Request(name, "", unsupported=(f"{shown} with neither exactly nor firstAvailable",))
    return _exact(raw.exactly, name, f"{path}.exactly")


def _exact(raw: wire.ExactRequest, name: str, path: str) -> Request:
    shown = f"requests[{name}]"
    unsupported: list[str] = []
    mode = raw.allocation_mode or EXACT_COUNT
    if mode not in {EXACT_COUNT, ALL}:
        unsupported.append(f"{shown}.allocationMode {mode}")
    capacity: Mapping[str, Quantity] | None = None
    if raw.capacity is not None:
        asked = raw.capacity.requests or {}
        capacity = {key: quantity_of(amount, f"{path}.capacity.requests[{key}]") for key, amount in asked.items()}
    return Request(
        name=name,
        device_class=required(raw.device_class_name, f"{path}.deviceClassName"),
        selectors=device_selectors_of(raw.selectors, f"{shown}.selectors", unsupported),
        mode=mode,
        count=1 if raw.count is None else raw.count,
        tolerations=tolerations_of(raw.tolerations, f"{shown}.tolerations", unsupported),
        unsupported=tuple(unsupported),
        admin_access=raw.admin_access,
        capacity=capacity,
        derived=tuple((each.name, each.expression) for each in raw.derived_attributes or ()),
    )


def _allocation(raw: wire.Allocation) -> Allocation:
    devices = raw.devices or wire.AllocationDevices()
    at = "status.allocation.devices"
    ignored: list[str] = []  # an operator that nobody knows is met by no node, here as in kube-scheduler
    return Allocation(
        results=tuple(
            Result(
                request=each.request,
                driver=required(each.driver, f"{at}.results[{index}].driver"),
                pool=required(each.pool, f"{at}.results[{index}].pool"),
                device=required(each.device, f"{at}.results[{index}].device"),
                admin_access=each.admin_access or False,
                share_id=each.share_id,
                tolerations=tuple(toleration_of(toleration) for toleration in each.tolerations or ()),
                consumed=None
                if each.consumed_capacity is None
                else {
                    name: quantity_of(amount, f"{at}.results[{index}].consumedCapacity[{name}]")
                    for name, amount in each.consumed_capacity.items()
                },
                binding_conditions=tuple(each.binding_conditions or ()),
                binding_failures=tuple(each.binding_failure_conditions or ()),
                skip_operations=tuple(each.skip_node_operations or ()),
            )
            for index, each in enumerate(devices.results or ())
        ),
        node_selector=node_selector_of(raw.node_selector, "nodeSelector", ignored),
        config=tuple(
            AllocationConfig(
                text_of(entry.get("source"), f"{at}.config[{index}].source"),
                names_of(entry.get("requests"), f"{at}.config[{index}].requests"),
                entry_of(entry),
            )
            for index, entry in enumerate(devices.config or ())
        ),
        timestamp=raw.allocation_timestamp or "",
    )


KINDS: Final[Kinds[Claim | ClaimTemplate]] = {
    "ResourceClaim": (wire.ResourceClaim, _claim),
    "ResourceClaimTemplate": (wire.ResourceClaimTemplate, _template),
}
