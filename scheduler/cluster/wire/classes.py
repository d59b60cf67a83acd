"""DeviceClasses and DeviceTaintRules."""

from scheduler.cluster.wire.parts import Entry, Metadata, Part, Selector, Taint


class ClassSpec(Part):
    """DeviceClassSpec."""

    selectors: list[Selector] | None = None
    config: list[Entry] | None = None
    extended_resource_name: str | None = None


class DeviceClass(Part):
    """resource/v1 DeviceClass."""

    metadata: Metadata | None = None
    spec: ClassSpec | None = None


class TaintSelector(Part):
    """DeviceTaintSelector; the last two fields were in v1alpha3 until Kubernetes 1.34."""

    driver: str | None = None
    pool: str | None = None
    device: str | None = None
    device_class_name: str | None = None
    selectors: list[Selector] | None = None


class TaintRuleSpec(Part):
    """DeviceTaintRuleSpec."""

    device_selector: TaintSelector | None = None
    taint: Taint | None = None


class DeviceTaintRule(Part):
    """resource/v1 DeviceTaintRule."""

    metadata: Metadata | None = None
    spec: TaintRuleSpec | None = None
