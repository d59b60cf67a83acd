"""DeviceClasses and DeviceTaintRules."""

from typing import Final

from scheduler.cluster.kinds.fields import FieldError, Kinds, metadata_of, required
from scheduler.cluster.kinds.opaque import entry_of
from scheduler.cluster.kinds.selectors import device_selectors_of
from scheduler.cluster.kinds.taints import taint_of
from scheduler.cluster.wire import classes as wire
from scheduler.core.model import DeviceClass, TaintRule


def _class(raw: wire.DeviceClass) -> DeviceClass:
    metadata = metadata_of(raw.metadata)
    spec = raw.spec or wire.ClassSpec()
    unsupported: list[str] = []
    return DeviceClass(
        name=metadata.name,
        selectors=device_selectors_of(spec.selectors, "selectors", unsupported),
        config=tuple(entry_of(entry) for entry in spec.config or ()),
        extended_resource=spec.extended_resource_name or "",
        unsupported=tuple(unsupported),
        created=metadata.creation_timestamp or "",
    )


def _taint_rule(raw: wire.DeviceTaintRule) -> TaintRule:
    metadata = metadata_of(raw.metadata)
    if raw.spec is None or raw.spec.taint is None:
        raise FieldError("spec.taint", "is missing")
    selector = raw.spec.device_selector
    chosen = selector or wire.TaintSelector()
    for name, given in (("deviceClassName", chosen.device_class_name), ("selectors", chosen.selectors)):
        if given:
            raise FieldError(
                f"spec.deviceSelector.{name}",
                "is a field that Kubernetes removed in 1.35, and the rule is not applied",
                "select by driver, pool and device",
            )
    taint = taint_of(raw.spec.taint)
    required(taint.key, "spec.taint.key")
    return TaintRule(metadata.name, selector is not None, chosen.driver, chosen.pool, chosen.device, taint)


KINDS: Final[Kinds[DeviceClass | TaintRule]] = {
    "DeviceClass": (wire.DeviceClass, _class),
    "DeviceTaintRule": (wire.DeviceTaintRule, _taint_rule),
}
