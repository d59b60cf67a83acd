"""Pods and their groups."""

from typing import Any

from scheduler.cluster.wire.containers import Container, ContainerStatus, Resources
from scheduler.cluster.wire.neighbours import Affinity, Spread
from scheduler.cluster.wire.parts import Amount, Amounts, Metadata, Part, Toleration
from scheduler.cluster.wire.volumes import Volume


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
