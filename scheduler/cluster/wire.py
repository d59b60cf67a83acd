"""The API's shapes, pruned to what a decision reads (`v1`, `resource.k8s.io/v1` of Kubernetes 1.37).

Fields are optional and may be null wherever the API allows either; unknown fields are skipped. Names are those of the
API in snake case."""

from typing import Any, Final

from msgspec import Raw, Struct, field

Amount = str | int | float
"""A resource.Quantity: Kubernetes reads numbers too."""
Amounts = dict[str, Amount]
Entry = dict[str, Raw]
"""An object that is handed on as it stands."""
ABSENT: Final = Raw(b"")
"""A Raw that is not there."""


class Part(Struct, rename="camel", gc=False, omit_defaults=True):
    """A shape that refers to nothing which refers back, so the garbage collector need not look at it."""


class OwnerReference(Part):
    """metav1.OwnerReference."""

    uid: str = ""
    controller: bool | None = None


class Metadata(Part):
    """metav1.ObjectMeta."""

    name: str = ""
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None
    finalizers: list[str] | None = None


class Object(Part):
    """Only the metadata of anything."""

    metadata: Metadata | None = None


# ---------------------------------------------------------------- selectors, taints


class Expression(Part):
    """A NodeSelectorRequirement or a LabelSelectorRequirement."""

    key: str = ""
    operator: str = ""
    values: list[str] | None = None


class NodeSelectorTerm(Part):
    """core/v1 NodeSelectorTerm."""

    match_expressions: list[Expression] | None = None
    match_fields: list[Expression] | None = None


class NodeSelector(Part):
    """core/v1 NodeSelector."""

    node_selector_terms: list[NodeSelectorTerm] | None = None


class LabelSelector(Part):
    """metav1.LabelSelector."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Expression] | None = None


class Taint(Part):
    """Of a node, a device or a DeviceTaintRule."""

    key: str = ""
    value: str | None = None
    effect: str = ""


class Toleration(Part):
    """Of a pod, a request or a result."""

    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None
    toleration_seconds: int | None = None


# ---------------------------------------------------------------- Namespace, Node


class Namespace(Part):
    """core/v1 Namespace, or only its metadata."""

    metadata: Metadata | None = None


class NodeSpec(Part):
    """core/v1 NodeSpec."""

    taints: list[Taint] | None = None
    unschedulable: bool | None = None


class Image(Part):
    """core/v1 ContainerImage."""

    names: list[str] | None = None
    size_bytes: int | None = None


class NodeStatus(Part):
    """core/v1 NodeStatus."""

    images: list[Image] | None = None
    allocatable: Amounts | None = None
    declared_features: list[str] | None = None


class Node(Part):
    """core/v1 Node."""

    metadata: Metadata | None = None
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


# ---------------------------------------------------------------- ResourceSlice


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


# ---------------------------------------------------------------- DeviceClass, DeviceTaintRule


class Cel(Part):
    """CELDeviceSelector."""

    expression: str = ""


class Selector(Part):
    """DeviceSelector."""

    cel: Cel | None = None


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


class ConfigMap(Part):
    """core/v1 ConfigMap."""

    metadata: Metadata | None = None
    data: dict[str, str] | None = None
    binary_data: dict[str, str] | None = None


class DeviceTaintRule(Part):
    """resource/v1 DeviceTaintRule."""

    metadata: Metadata | None = None
    spec: TaintRuleSpec | None = None


# ---------------------------------------------------------------- ResourceClaim


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


class TemplateSpec(Part):
    """ResourceClaimTemplateSpec."""

    spec: ClaimSpec | None = None


class ResourceClaimTemplate(Part):
    """resource/v1 ResourceClaimTemplate."""

    metadata: Metadata | None = None
    spec: TemplateSpec | None = None


# ---------------------------------------------------------------- Pod


class ContainerClaim(Part):
    """core/v1 ResourceClaim: which of the pod's claims a container uses."""

    name: str = ""


class Resources(Part):
    """core/v1 ResourceRequirements."""

    requests: Amounts | None = None
    limits: Amounts | None = None
    claims: list[ContainerClaim] | None = None


class Port(Part):
    """ContainerPort."""

    container_port: int | None = None
    host_port: int | None = None
    protocol: str | None = None
    host_ip: str | None = field(default=None, name="hostIP")


class ExitRule(Part):
    """ContainerRestartRule."""

    action: str = ""


class VolumeMount(Part):
    """core/v1 VolumeMount."""

    bind_mount_options: list[str] | None = None


class Container(Part):
    """core/v1 Container."""

    name: str = ""
    image: str | None = None
    volume_mounts: list[VolumeMount] | None = None
    resources: Resources | None = None
    ports: list[Port] | None = None
    restart_policy: str | None = None
    restart_policy_rules: list[ExitRule] | None = None


class PodAffinityTerm(Part):
    """core/v1 PodAffinityTerm. A namespaceSelector that is set counts, even an empty one."""

    label_selector: LabelSelector | None = None
    topology_key: str = ""
    namespaces: list[str] | None = None
    namespace_selector: LabelSelector | None = None


class PreferredTerm(Part):
    """core/v1 PreferredSchedulingTerm."""

    weight: int = 0
    preference: NodeSelectorTerm | None = None


class NodeAffinity(Part):
    """core/v1 NodeAffinity."""

    preferred: list[PreferredTerm] | None = field(default=None, name="preferredDuringSchedulingIgnoredDuringExecution")

    required: NodeSelector | None = field(default=None, name="requiredDuringSchedulingIgnoredDuringExecution")


class WeightedPodAffinityTerm(Part):
    """core/v1 WeightedPodAffinityTerm."""

    weight: int = 0
    pod_affinity_term: PodAffinityTerm | None = None


class PodAffinity(Part):
    """core/v1 PodAffinity or PodAntiAffinity."""

    preferred: list[WeightedPodAffinityTerm] | None = field(
        default=None, name="preferredDuringSchedulingIgnoredDuringExecution"
    )

    required: list[PodAffinityTerm] | None = field(default=None, name="requiredDuringSchedulingIgnoredDuringExecution")


class Affinity(Part):
    """core/v1 Affinity."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class Spread(Part):
    """core/v1 TopologySpreadConstraint."""

    max_skew: int = 0
    topology_key: str = ""
    when_unsatisfiable: str | None = None
    label_selector: LabelSelector | None = None
    min_domains: int | None = None
    node_affinity_policy: str | None = None
    node_taints_policy: str | None = None
    match_label_keys: list[str] | None = None


class ClaimSource(Part):
    """core/v1 PersistentVolumeClaimVolumeSource."""

    claim_name: str = ""


class RbdSource(Part):
    """core/v1 RBDVolumeSource."""

    monitors: list[str] | None = None
    pool: str | None = None
    image: str = ""
    read_only: bool | None = None


class IscsiSource(Part):
    """core/v1 ISCSIVolumeSource."""

    iqn: str = ""
    read_only: bool | None = None


class GceSource(Part):
    """core/v1 GCEPersistentDiskVolumeSource."""

    pd_name: str = ""
    read_only: bool | None = None


class CloudSource(Part):
    """core/v1 volume sources with an ID: AWSElasticBlockStore, Cinder and Portworx."""

    volume_id: str = field(default="", name="volumeID")
    read_only: bool | None = None


class AzureSource(Part):
    """core/v1 AzureDiskVolumeSource."""

    disk_uri: str = field(default="", name="diskURI")


class ImageVolume(Part):
    """core/v1 ImageVolumeSource."""

    reference: str | None = None


class Volume(Part):
    """core/v1 Volume: the sources that decide where a pod may run."""

    name: str = ""
    image: ImageVolume | None = None
    persistent_volume_claim: ClaimSource | None = None
    ephemeral: Any = None
    gce_persistent_disk: GceSource | None = None
    aws_elastic_block_store: CloudSource | None = None
    azure_disk: AzureSource | None = None
    cinder: CloudSource | None = None
    portworx_volume: CloudSource | None = None
    rbd: RbdSource | None = None
    iscsi: IscsiSource | None = None


class Gate(Part):
    """core/v1 PodSchedulingGate."""

    name: str = ""


class PodClaim(Part):
    """core/v1 PodResourceClaim."""

    name: str = ""
    resource_claim_name: str | None = None
    resource_claim_template_name: str | None = None


class Os(Part):
    """core/v1 PodOS."""

    name: str = ""


class SchedulingGroup(Part):
    """core/v1 PodSchedulingGroup."""

    pod_group_name: str | None = None


class PodSpec(Part):
    """core/v1 PodSpec."""

    scheduler_name: str | None = None
    node_name: str | None = None
    node_selector: dict[str, str] | None = None
    priority: int | None = None
    host_network: bool | None = None
    host_users: bool | None = None
    os: Os | None = None
    scheduling_gates: list[Gate] | None = None
    scheduling_group: SchedulingGroup | None = None
    workload_ref: Any = None
    affinity: Affinity | None = None
    tolerations: list[Toleration] | None = None
    topology_spread_constraints: list[Spread] | None = None
    volumes: list[Volume] | None = None
    resource_claims: list[PodClaim] | None = None
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    ephemeral_containers: list[Container] | None = None
    resources: Resources | None = None
    overhead: Amounts | None = None


class ContainerStatus(Part):
    """core/v1 ContainerStatus."""

    name: str = ""
    allocated_resources: Amounts | None = None
    resources: Resources | None = None


class ClaimName(Part):
    """core/v1 PodResourceClaimStatus."""

    name: str = ""
    resource_claim_name: str | None = None


class ExtendedClaimStatus(Part):
    """core/v1 PodExtendedResourceClaimStatus."""

    resource_claim_name: str = ""


class Condition(Part):
    """core/v1 PodCondition."""

    type: str = ""
    status: str = ""
    reason: str | None = None


class TakenMapping(Part):
    """core/v1 NodeAllocatableMappedResources."""

    name: str = ""
    quantity: Amount | None = None


class TakenOverhead(Part):
    """core/v1 NodeAllocatableOverheadResources."""

    name: str = ""
    per_pod: Amount | None = None
    per_container: Amount | None = None


class Taken(Part):
    """core/v1 NodeAllocatableResourceClaimStatus."""

    resource_claim_name: str = ""
    containers: list[str] | None = None
    mapping: list[TakenMapping] | None = None
    overhead: list[TakenOverhead] | None = None


class PodStatus(Part):
    """core/v1 PodStatus."""

    phase: str | None = None
    nominated_node_name: str | None = None
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None
    resource_claim_statuses: list[ClaimName] | None = None
    node_allocatable_resource_claim_statuses: list[Taken] | None = None
    extended_resource_claim_status: ExtendedClaimStatus | None = None
    allocated_resources: Amounts | None = None
    resources: Resources | None = None


class Pod(Part):
    """core/v1 Pod."""

    metadata: Metadata | None = None
    spec: PodSpec | None = None
    status: PodStatus | None = None


# ---------------------------------------------------------------- PodGroup


class GroupPolicy(Part):
    """PodGroupSchedulingPolicy: exactly one is set."""

    basic: Any = None
    gang: Any = None


class GroupConstraints(Part):
    """PodGroupSchedulingConstraints."""

    topology: list[Any] | None = None


class GroupSpec(Part):
    """PodGroupSpec."""

    scheduling_policy: GroupPolicy | None = None
    scheduling_constraints: GroupConstraints | None = None
    resource_claims: list[PodClaim] | None = None
    parent_composite_pod_group_name: str | None = None


class GroupStatus(Part):
    """PodGroupStatus."""

    resource_claim_statuses: list[ClaimName] | None = None


class PodGroup(Part):
    """scheduling.k8s.io PodGroup, v1beta1 or v1alpha3."""

    metadata: Metadata | None = None
    spec: GroupSpec | None = None
    status: GroupStatus | None = None


# ---------------------------------------------------------------- storage


class VolumeResources(Part):
    """core/v1 VolumeResourceRequirements."""

    requests: Amounts | None = None


class VolumeClaimSpec(Part):
    """core/v1 PersistentVolumeClaimSpec."""

    access_modes: list[str] | None = None
    storage_class_name: str | None = None
    resources: VolumeResources | None = None
    volume_mode: str | None = None
    volume_name: str | None = None
    volume_attributes_class_name: str | None = None
    selector: LabelSelector | None = None


class Phase(Part):
    """The status of a PersistentVolume or of its claim."""

    phase: str | None = None


class PersistentVolumeClaim(Part):
    """core/v1 PersistentVolumeClaim."""

    metadata: Metadata | None = None
    spec: VolumeClaimSpec | None = None
    status: Phase | None = None


class VolumeHolder(Part):
    """core/v1 ObjectReference to a PersistentVolumeClaim."""

    namespace: str | None = None
    name: str | None = None
    uid: str | None = None


class VolumeAffinity(Part):
    """core/v1 VolumeNodeAffinity."""

    required: NodeSelector | None = None


class CsiSource(Part):
    """core/v1 CSIPersistentVolumeSource."""

    driver: str = ""
    volume_handle: str = ""


class PersistentVolumeSpec(Part):
    """core/v1 PersistentVolumeSpec."""

    capacity: Amounts | None = None
    access_modes: list[str] | None = None
    storage_class_name: str | None = None
    volume_mode: str | None = None
    volume_attributes_class_name: str | None = None
    claim_ref: VolumeHolder | None = None
    node_affinity: VolumeAffinity | None = None
    csi: CsiSource | None = None
    gce_persistent_disk: GceSource | None = None
    aws_elastic_block_store: CloudSource | None = None
    azure_disk: AzureSource | None = None
    cinder: CloudSource | None = None
    portworx_volume: CloudSource | None = None


class PersistentVolume(Part):
    """core/v1 PersistentVolume."""

    metadata: Metadata | None = None
    spec: PersistentVolumeSpec | None = None
    status: Phase | None = None


class TopologyTerm(Part):
    """core/v1 TopologySelectorTerm."""

    match_label_expressions: list[Expression] | None = None


class StorageClass(Part):
    """storage.k8s.io/v1 StorageClass."""

    metadata: Metadata | None = None
    provisioner: str = ""
    volume_binding_mode: str | None = None
    allowed_topologies: list[TopologyTerm] | None = None


class AttachLimit(Part):
    """storage.k8s.io/v1 VolumeNodeResources."""

    count: int | None = None


class NodeDriver(Part):
    """storage.k8s.io/v1 CSINodeDriver."""

    name: str = ""
    allocatable: AttachLimit | None = None


class CsiNodeSpec(Part):
    """storage.k8s.io/v1 CSINodeSpec."""

    drivers: list[NodeDriver] | None = None


class CsiNode(Part):
    """storage.k8s.io/v1 CSINode."""

    metadata: Metadata | None = None
    spec: CsiNodeSpec | None = None


class CsiDriverSpec(Part):
    """storage.k8s.io/v1 CSIDriverSpec."""

    storage_capacity: bool | None = None
    prevent_pod_scheduling_if_missing: bool | None = None


class CsiDriver(Part):
    """storage.k8s.io/v1 CSIDriver."""

    metadata: Metadata | None = None
    spec: CsiDriverSpec | None = None


class CsiStorageCapacity(Part):
    """storage.k8s.io/v1 CSIStorageCapacity."""

    metadata: Metadata | None = None
    storage_class_name: str = ""
    node_topology: LabelSelector | None = None
    capacity: Amount | None = None
    maximum_volume_size: Amount | None = None


class AttachmentSource(Part):
    """storage.k8s.io/v1 VolumeAttachmentSource."""

    persistent_volume_name: str | None = None


class AttachmentSpec(Part):
    """storage.k8s.io/v1 VolumeAttachmentSpec."""

    attacher: str = ""
    node_name: str = ""
    source: AttachmentSource | None = None


class VolumeAttachment(Part):
    """storage.k8s.io/v1 VolumeAttachment."""

    metadata: Metadata | None = None
    spec: AttachmentSpec | None = None
