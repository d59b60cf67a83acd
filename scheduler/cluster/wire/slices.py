"""ResourceSlices and their devices."""

from msgspec import Raw, field

from scheduler.cluster.wire.parts import ABSENT, Amount, Metadata, NodeSelector, Part, Taint


class Attribute(Part):
    """DeviceAttribute; exactly one value is set."""

    integer: int | None = field(default=None, name="int")
    boolean: bool | None = field(default=None, name="bool")
    string: str | None = None
    version: str | None = None
    ints: list[int] | None = None
    bools: list[bool] | None = None
    strings: list[str] | None = None
    versions: list[str] | None = None


class ValidRange(Part):
    """CapacityRequestPolicyRange."""

    min: Amount | None = None
    max: Amount | None = None
    step: Amount | None = None


class RequestPolicy(Part):
    """CapacityRequestPolicy."""

    default: Amount | None = None
    valid_values: list[Amount] | None = None
    valid_range: ValidRange | None = None


class Capacity(Part):
    """DeviceCapacity."""

    value: Amount
    request_policy: RequestPolicy | None = None


class Counter(Part):
    """resource/v1 Counter."""

    value: Amount


class CounterUse(Part):
    """DeviceCounterConsumption."""

    counter_set: str = ""
    counters: dict[str, Counter] | None = None
    compatibility_groups: list[str] | None = None


class CounterSet(Part):
    """resource/v1 CounterSet."""

    name: str = ""
    counters: dict[str, Counter] | None = None


class NodeMapping(Part):
    """NodeAllocatableMapping."""

    capacity_key: str | None = None
    capacity_multiplier: Amount | None = None
    device_multiplier: Amount | None = None


class NodeOverhead(Part):
    """NodeAllocatableOverhead."""

    per_pod: Amount | None = None
    per_container: Amount | None = None


class NodeAllocatable(Part):
    """NodeAllocatableResource."""

    mapping: NodeMapping | None = None
    overhead: NodeOverhead | None = None


class Device(Part):
    """resource/v1 Device."""

    name: str = ""
    attributes: dict[str, Attribute] | None = None
    capacity: dict[str, Capacity] | None = None
    taints: list[Taint] | None = None
    binds_to_node: bool | None = None
    consumes_counters: list[CounterUse] | None = None
    binding_conditions: list[str] | None = None
    binding_failure_conditions: list[str] | None = None
    allow_multiple_allocations: bool | None = None
    node_name: str | None = None
    node_selector: NodeSelector | None = None
    all_nodes: bool | None = None
    node_allocatable_resources: Raw = ABSENT
    node_allocatable_resource_mappings: Raw = ABSENT


class Pool(Part):
    """ResourcePool."""

    name: str = ""
    generation: int = 0
    resource_slice_count: int = 0


class SliceSpec(Part):
    """ResourceSliceSpec."""

    driver: str = ""
    pool: Pool | None = None
    node_name: str | None = None
    node_selector: NodeSelector | None = None
    all_nodes: bool | None = None
    per_device_node_selection: bool | None = None
    devices: list[Device] | None = None
    shared_counters: list[CounterSet] | None = None
    skip_node_operations: list[str] | None = None


class ResourceSlice(Part):
    """resource/v1 ResourceSlice."""

    metadata: Metadata | None = None
    spec: SliceSpec | None = None
