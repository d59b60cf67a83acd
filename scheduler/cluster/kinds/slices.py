"""ResourceSlices and their devices."""

from collections.abc import Mapping
from typing import Final

import msgspec

from scheduler.cluster.kinds.fields import FieldError, Kinds, metadata_of, quantity_of, required
from scheduler.cluster.kinds.opaque import given
from scheduler.cluster.kinds.selectors import node_selector_of
from scheduler.cluster.kinds.taints import taint_of
from scheduler.cluster.wire import parts
from scheduler.cluster.wire import slices as wire
from scheduler.core.model import AttributeValue, CounterSet, CounterUse, Device, RequestPolicy, Slice, Version
from scheduler.core.quantity import Quantity

_parse_node_allocatable = msgspec.json.Decoder(dict[str, wire.NodeAllocatable]).decode


def _slice(raw: wire.ResourceSlice) -> Slice:
    metadata = metadata_of(raw.metadata)
    spec = raw.spec or wire.SliceSpec()
    pool = spec.pool
    if pool is None:
        raise FieldError("spec.pool", "is missing")
    unsupported: list[str] = []
    selector = node_selector_of(spec.node_selector, "nodeSelector", unsupported)
    if not (spec.node_name or selector or spec.all_nodes or spec.per_device_node_selection):
        unsupported.append("neither nodeName, nodeSelector nor allNodes: an unknown way to say where the devices are")
    return Slice(
        name=metadata.name,
        driver=required(spec.driver, "spec.driver"),
        pool=required(pool.name, "spec.pool.name"),
        generation=pool.generation,
        slice_count=pool.resource_slice_count,
        node_name=spec.node_name or None,
        node_selector=selector,
        all_nodes=spec.all_nodes or False,
        devices=tuple(_device(device, index) for index, device in enumerate(spec.devices or ())),
        unsupported=tuple(unsupported),
        counter_sets=tuple(
            CounterSet(
                required(each.name, f"spec.sharedCounters[{index}].name"),
                _counters(each.counters, f"spec.sharedCounters[{index}].counters"),
            )
            for index, each in enumerate(spec.shared_counters or ())
        ),
        per_device=spec.per_device_node_selection or False,
        skip_operations=tuple(spec.skip_node_operations or ()),
    )


def _counters(counters: Mapping[str, wire.Counter] | None, path: str) -> Mapping[str, Quantity]:
    return {name: quantity_of(each.value, f"{path}[{name}].value") for name, each in (counters or {}).items()}


def _device(raw: wire.Device, index: int) -> Device:
    at = f"spec.devices[{index}]"
    unsupported: list[str] = []
    malformed = ""
    attributes: dict[str, AttributeValue] = {}
    for name, attribute in (raw.attributes or {}).items():
        value = _attribute(attribute)
        if value is None:
            malformed = malformed or f"attributes[{name}] does not have exactly one value of a known type"
            attributes[name] = ()  # upstream's constraints know that it is there
        else:
            attributes[name] = value
    selector = node_selector_of(raw.node_selector, f"{at}.nodeSelector", unsupported)
    if given(raw.node_allocatable_resource_mappings):
        unsupported.append("nodeAllocatableResourceMappings, which Kubernetes 1.37 renamed nodeAllocatableResources")
    capacity = raw.capacity or {}
    policies = {
        name: _policy(each.request_policy, f"{at}.capacity[{name}].requestPolicy")
        for name, each in capacity.items()
        if each.request_policy is not None
    }
    return Device(
        name=required(raw.name, f"{at}.name"),
        attributes=attributes,
        capacity={name: quantity_of(each.value, f"{at}.capacity[{name}].value") for name, each in capacity.items()},
        taints=tuple(taint_of(taint) for taint in raw.taints or ()),
        binds_to_node=raw.binds_to_node or False,
        unsupported=tuple(unsupported),
        malformed=malformed,
        consumes=tuple(
            CounterUse(
                each.counter_set,
                _counters(each.counters, f"{at}.consumesCounters[{number}].counters"),
                tuple(each.compatibility_groups or ()),
            )
            for number, each in enumerate(raw.consumes_counters or ())
        ),
        shareable=raw.allow_multiple_allocations or False,
        policies=policies,
        binding_conditions=tuple(raw.binding_conditions or ()),
        binding_failures=tuple(raw.binding_failure_conditions or ()),
        node_name=raw.node_name or None,
        node_selector=selector,
        all_nodes=raw.all_nodes or False,
        allocatable=_node_allocatable(raw.node_allocatable_resources, f"{at}.nodeAllocatableResources"),
    )


def _node_allocatable(raw: msgspec.Raw, path: str) -> str:
    """As compact JSON, of which every amount can be read."""
    text = given(raw)
    if not text:
        return ""
    try:
        entries = _parse_node_allocatable(text)
    except msgspec.ValidationError as error:
        raise FieldError(path, str(error)) from error
    for name, entry in entries.items():
        for part in (entry.mapping, entry.overhead):
            for field in part.__struct_fields__ if part is not None else ():
                value = getattr(part, field)
                if value is not None and field != "capacity_key":
                    quantity_of(value, f"{path}[{name}]")
    return text


def _policy(raw: wire.RequestPolicy, path: str) -> RequestPolicy:
    def amount(value: parts.Amount | None, name: str) -> Quantity | None:
        return None if value is None else quantity_of(value, f"{path}.{name}")

    valid = raw.valid_range or wire.ValidRange()
    return RequestPolicy(
        default=amount(raw.default, "default"),
        values=tuple(
            quantity_of(each, f"{path}.validValues[{index}]") for index, each in enumerate(raw.valid_values or ())
        ),
        minimum=amount(valid.min, "validRange.min"),
        maximum=amount(valid.max, "validRange.max"),
        step=amount(valid.step, "validRange.step"),
        ranged=raw.valid_range is not None,
    )


def _attribute(raw: wire.Attribute) -> AttributeValue | None:
    """The one value that is set, a tuple if it is a list; None if that is none or several."""
    found: list[AttributeValue] = [each for each in (raw.string, raw.integer, raw.boolean) if each is not None]
    found += [tuple(each) for each in (raw.ints, raw.bools, raw.strings) if each is not None]
    if raw.version is not None:
        found.append(Version(raw.version))
    if raw.versions is not None:
        found.append(tuple(Version(each) for each in raw.versions))
    return found[0] if len(found) == 1 else None


KINDS: Final[Kinds[Slice]] = {
    "ResourceSlice": (wire.ResourceSlice, _slice),
}
