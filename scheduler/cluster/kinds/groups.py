"""PodGroups."""

from typing import Final

from scheduler.cluster.kinds.fields import Kinds, metadata_of
from scheduler.cluster.kinds.pods import claims_of
from scheduler.cluster.wire import pods as wire
from scheduler.core.model import PodGroup, Uid


def _pod_group(raw: wire.PodGroup) -> PodGroup:
    metadata = metadata_of(raw.metadata, uid=True, namespaced=True)
    spec = raw.spec or wire.GroupSpec()
    status = raw.status or wire.GroupStatus()
    unsupported: list[str] = []
    policy = spec.scheduling_policy or wire.GroupPolicy()
    if policy.gang is not None:
        unsupported.append("schedulingPolicy.gang")
    elif policy.basic is None:
        unsupported.append("schedulingPolicy of an unknown kind")
    if spec.scheduling_constraints is not None and spec.scheduling_constraints.topology:
        unsupported.append("schedulingConstraints.topology")
    if spec.parent_composite_pod_group_name:
        unsupported.append("parentCompositePodGroupName")
    claims = claims_of(spec.resource_claims, unsupported)
    return PodGroup(
        namespace=metadata.namespace or "",
        name=metadata.name,
        uid=Uid(metadata.uid or ""),
        claims=claims,
        claim_names={each.name: each.resource_claim_name for each in status.resource_claim_statuses or ()},
        unsupported=tuple(unsupported),
    )


KINDS: Final[Kinds[PodGroup]] = {
    "PodGroup": (wire.PodGroup, _pod_group),
}
