"""ResourceClaims and their templates."""

from msgspec import Raw, field

from scheduler.cluster.wire.parts import Amounts, Entry, Metadata, NodeSelector, Part, Selector, Toleration


class CapacityRequirements(Part):
    """resource/v1 CapacityRequirements."""

    requests: Amounts | None = None


class DerivedAttribute(Part):
    """DeviceDerivedAttribute."""

    name: str = ""
    expression: str = ""


class ExactRequest(Part):
    """ExactDeviceRequest, and DeviceSubRequest, which has a name and no adminAccess."""

    name: str = ""
    device_class_name: str = ""
    selectors: list[Selector] | None = None
    allocation_mode: str | None = None
    count: int | None = None
    admin_access: bool | None = None
    tolerations: list[Toleration] | None = None
    capacity: CapacityRequirements | None = None
    derived_attributes: list[DerivedAttribute] | None = None


class Request(Part):
    """DeviceRequest."""

    name: str = ""
    exactly: ExactRequest | None = None
    first_available: list[ExactRequest] | None = None


class Constraint(Part):
    """DeviceConstraint."""

    requests: list[str] | None = None
    match_attribute: str | None = None
    distinct_attribute: str | None = None


class Devices(Part):
    """DeviceClaim."""

    requests: list[Request] | None = None
    constraints: list[Constraint] | None = None
    config: list[Entry] | None = None


class ClaimSpec(Part):
    """ResourceClaimSpec."""

    devices: Devices | None = None


class Result(Part):
    """DeviceRequestAllocationResult."""

    request: str = ""
    driver: str = ""
    pool: str = ""
    device: str = ""
    admin_access: bool | None = None
    share_id: str | None = field(default=None, name="shareID")
    tolerations: list[Toleration] | None = None
    consumed_capacity: Amounts | None = None
    binding_conditions: list[str] | None = None
    binding_failure_conditions: list[str] | None = None
    skip_node_operations: list[str] | None = None


class AllocationDevices(Part):
    """DeviceAllocationResult."""

    results: list[Result] | None = None
    config: list[Entry] | None = None


class Allocation(Part):
    """AllocationResult."""

    devices: AllocationDevices | None = None
    node_selector: NodeSelector | None = None
    allocation_timestamp: str | None = None


class Consumer(Part):
    """ResourceClaimConsumerReference."""

    resource: str = ""
    name: str = ""
    uid: str = ""
    api_group: str | None = None


class DeviceCondition(Part):
    """metav1.Condition of a device."""

    type: str = ""
    status: str = ""


class DeviceStatus(Part):
    """AllocatedDeviceStatus."""

    driver: str = ""
    pool: str = ""
    device: str = ""
    share_id: str | None = field(default=None, name="shareID")
    conditions: list[DeviceCondition] | None = None


class ClaimStatus(Part):
    """ResourceClaimStatus."""

    allocation: Allocation | None = None
    reserved_for: list[Consumer] | None = None
    devices: list[DeviceStatus] | None = None


class ResourceClaim(Part):
    """resource/v1 ResourceClaim."""

    metadata: Metadata | None = None
    spec: ClaimSpec | None = None
    status: ClaimStatus | None = None


class SealedClaim(Part):
    """resource/v1 ResourceClaim, whose spec is left as it was written."""

    spec: Raw
    metadata: Metadata | None = None
    status: ClaimStatus | None = None


class TemplateSpec(Part):
    """ResourceClaimTemplateSpec."""

    spec: ClaimSpec | None = None


class ResourceClaimTemplate(Part):
    """resource/v1 ResourceClaimTemplate."""

    metadata: Metadata | None = None
    spec: TemplateSpec | None = None
