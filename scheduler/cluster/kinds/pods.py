"""Pods: what decides where they may run, and what they take there."""

from collections.abc import Mapping, Sequence
from typing import Final

from scheduler.cluster.kinds.amounts import Nanos, add, units_of
from scheduler.cluster.kinds.fields import Kinds, metadata_of, ours_of, quantity_of, required
from scheduler.cluster.kinds.neighbours import leans_of, preferred_of, spreads_of, terms_of
from scheduler.cluster.kinds.requests import asked_of, extended_of, requests_of, unstated_of
from scheduler.cluster.kinds.selectors import node_selector_of
from scheduler.cluster.kinds.taints import TOLERATION_OPERATORS, tolerations_of
from scheduler.cluster.kinds.volumes import volumes_of
from scheduler.cluster.wire import pods as wire
from scheduler.core import names
from scheduler.core.match import COMPARISONS
from scheduler.core.model import ANY_ADDRESS, HostPort, Lean, NodeSelector, Pod, PodClaim, PodTerm, Uid

POD_TOLERATION_OPERATORS: Final = TOLERATION_OPERATORS | frozenset(COMPARISONS)
OS_LABEL: Final = "kubernetes.io/os"


def _pod(raw: wire.Pod) -> Pod:
    metadata = metadata_of(raw.metadata, uid=True, namespaced=True)
    spec = raw.spec or wire.PodSpec()
    status = raw.status or wire.PodStatus()
    unsupported = _unsupported(spec)
    node_selector: Mapping[str, str] = spec.node_selector or {}
    if spec.os is not None and spec.os.name:
        # The kubelet turns away a pod whose os differs from its node's label.
        if node_selector.get(OS_LABEL, spec.os.name) != spec.os.name:
            unsupported.append(f"os.name {spec.os.name} beside nodeSelector[{OS_LABEL}] {node_selector[OS_LABEL]}")
        node_selector = {**node_selector, OS_LABEL: spec.os.name}
    affinity: NodeSelector | None = None
    attracts: tuple[PodTerm, ...] = ()
    repels: tuple[PodTerm, ...] = ()
    leans: tuple[Lean, ...] = ()
    if spec.affinity is not None:
        asked, namespace = spec.affinity, metadata.namespace or ""
        nodes = asked.node_affinity.required if asked.node_affinity is not None else None
        affinity = node_selector_of(nodes, "affinity.nodeAffinity.required", unsupported)
        attracts = terms_of(asked.pod_affinity, namespace, "affinity.podAffinity.required", unsupported)
        repels = terms_of(asked.pod_anti_affinity, namespace, "affinity.podAntiAffinity.required", unsupported)
        leans = leans_of(asked, namespace)
    spreads = spreads_of(spec.topology_spread_constraints, metadata.labels or {}, unsupported)
    claims = claims_of(spec.resource_claims, unsupported)
    tolerations = tolerations_of(spec.tolerations, "tolerations", unsupported, POD_TOLERATION_OPERATORS)
    summed = asked_of(spec)
    requests, margins = requests_of(spec, status, summed)
    named = status.extended_resource_claim_status
    return Pod(
        namespace=metadata.namespace or "",
        name=metadata.name,
        uid=Uid(metadata.uid or ""),
        resource_version=metadata.resource_version or "",
        scheduler_name=spec.scheduler_name or "default-scheduler",
        node_name=spec.node_name or "",
        labels=metadata.labels or {},
        annotations=ours_of(metadata),
        priority=spec.priority or 0,
        created=metadata.creation_timestamp or "",
        phase=status.phase or "",
        deleting=metadata.deletion_timestamp is not None,
        gates=tuple(gate.name for gate in spec.scheduling_gates or ()),
        node_selector=node_selector,
        affinity=affinity,
        tolerations=tolerations,
        requests=requests,
        claims=claims,
        claim_names={each.name: each.resource_claim_name for each in status.resource_claim_statuses or ()},
        attracts=attracts,
        repels=repels,
        spreads=spreads,
        ports=_host_ports(spec),
        extended=extended_of(spec, unsupported) if any(names.is_extended(name) for name in requests) else (),
        extended_claim=named.resource_claim_name if named is not None else "",
        unsupported=tuple(unsupported),
        group=(spec.scheduling_group.pod_group_name if spec.scheduling_group else None) or "",
        users=_users(spec),
        margins=margins,
        published=_published(status.node_allocatable_resource_claim_statuses, margins),
        volumes=volumes_of(spec.volumes, metadata.name) if spec.volumes else (),
        features=_features(spec),
        nominated=status.nominated_node_name or "",
        preferred=preferred_of(spec.affinity.node_affinity) if spec.affinity and spec.affinity.node_affinity else (),
        images=_images(spec),
        unstated=unstated_of(spec, summed),
        leans=leans,
    )


def _users(spec: wire.PodSpec) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for container in (*(spec.init_containers or ()), *(spec.containers or ())):
        for claim in (container.resources.claims if container.resources else None) or ():
            users = found.setdefault(claim.name, [])
            if container.name not in users:
                users.append(container.name)
    return {name: tuple(users) for name, users in found.items()}


def _published(taken: Sequence[wire.Taken] | None, margins: Mapping[str, int]) -> Mapping[str, int] | None:
    """The sum of what is published, without what the requests of the pod as a whole cover."""
    if not taken:
        return None
    total: Nanos = {}
    for index, claim in enumerate(taken):
        at = f"status.nodeAllocatableResourceClaimStatuses[{index}]"
        for mapped in claim.mapping or ():
            add(total, {mapped.name: quantity_of(mapped.quantity or 0, f"{at}.mapping[{mapped.name}].quantity").nanos})
        for cost in claim.overhead or ():
            pod = quantity_of(cost.per_pod or 0, f"{at}.overhead[{cost.name}].perPod").nanos
            container = quantity_of(cost.per_container or 0, f"{at}.overhead[{cost.name}].perContainer").nanos
            add(total, {cost.name: pod + container * len(claim.containers or ())})
    return {name: amount for name, amount in units_of(total).items() if name not in margins}


def claims_of(entries: Sequence[wire.PodClaim] | None, unsupported: list[str]) -> tuple[PodClaim, ...]:
    """The claims that a pod or its group names. Raises FieldError."""
    found = []
    for index, entry in enumerate(entries or ()):
        name = required(entry.name, f"spec.resourceClaims[{index}].name")
        if not entry.resource_claim_name and not entry.resource_claim_template_name:
            unsupported.append(f"resourceClaims[{name}] with neither of the two names")
        found.append(PodClaim(name, entry.resource_claim_name, entry.resource_claim_template_name))
    return tuple(found)


def _unsupported(spec: wire.PodSpec) -> list[str]:
    """Features of a pod that decide where it may run and that this version does not weigh."""
    found: list[str] = []
    if spec.scheduling_group is not None and not spec.scheduling_group.pod_group_name:
        found.append("schedulingGroup without podGroupName")
    if spec.workload_ref is not None:
        found.append("workloadRef")
    return found


def _features(spec: wire.PodSpec) -> tuple[str, ...]:
    """What a pod needs of its node's kubelet (k8s.io/component-helpers/nodedeclaredfeatures, InferForScheduling)."""
    found = []
    containers = (*(spec.containers or ()), *(spec.init_containers or ()))
    if any(rule.action == "RestartAllContainers" for each in containers for rule in each.restart_policy_rules or ()):
        found.append("RestartAllContainersOnContainerExits")
    if spec.host_network and spec.host_users is False:
        found.append("UserNamespacesHostNetworkSupport")
    mounted = (*containers, *(spec.ephemeral_containers or ()))
    if any(mount.bind_mount_options for each in mounted for mount in each.volume_mounts or ()):
        found.append("VolumeBindMountOptions")
    return tuple(found)


def _images(spec: wire.PodSpec) -> tuple[str, ...]:
    """What its containers and volumes run, each as often as it stands there (imagelocality of kube-scheduler)."""
    containers = (*(spec.init_containers or ()), *(spec.containers or ()))
    found = [each.image or "" for each in containers]
    found += [each.image.reference or "" for each in spec.volumes or () if each.image is not None]
    return tuple([name if name.rfind(":") > name.rfind("/") else f"{name}:latest" for name in found])


def _host_ports(spec: wire.PodSpec) -> tuple[HostPort, ...]:
    """Of containers and sidecars. On the network of the host every port is one of the host's."""
    lasting = [each for each in spec.init_containers or () if each.restart_policy == "Always"]
    found: dict[HostPort, None] = {}
    for container in (*(spec.containers or ()), *lasting):
        for port in container.ports or ():
            number = port.host_port or (port.container_port if spec.host_network else 0) or 0
            if number > 0:
                found[HostPort(number, port.protocol or "TCP", port.host_ip or ANY_ADDRESS)] = None
    return tuple(found)


KINDS: Final[Kinds[Pod]] = {
    "Pod": (wire.Pod, _pod),
}
