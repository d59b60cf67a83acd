"""Claims that belong to the PodGroup of a pod instead of the pod (KEP-5729).

A claim is the group's if an entry of the group's spec equals the pod's entry in all of its three names. It is reserved
for the group then: once, however many pods use it.
"""

from typing import Final

from scheduler.core.model import Consumer, Pod, PodClaim, PodGroup, Uid
from scheduler.core.state import State

API_GROUP: Final = "scheduling.k8s.io"
RESOURCE: Final = "podgroups"


def key_of(pod: Pod) -> str:
    """`namespace/name` of the pod's group; empty if it has none."""
    return f"{pod.namespace}/{pod.group}" if pod.group else ""


def group_of(pod: Pod, state: State) -> PodGroup | None:
    """The group of a pod, as far as claims go: None without one, while it is not there, or while the gate is off."""
    return state.groups.current.get(key_of(pod)) if pod.group and state.gates.workload_claims else None


def claim_name(pod: Pod, entry: PodClaim, state: State) -> tuple[bool, str | None]:
    """Whether the claim of an entry is known, and its name, which is None if no claim is needed."""
    if entry.claim_name is not None:
        return True, entry.claim_name
    if entry.name in pod.claim_names:
        return True, pod.claim_names[entry.name]
    group = group_of(pod, state)
    if group is not None and entry in group.claims and entry.name in group.claim_names:
        return True, group.claim_names[entry.name]
    return False, None


def owner_of(pod: Pod, entry: PodClaim, state: State) -> Uid:
    """Which object must control the claim that was made for an entry."""
    group = group_of(pod, state)
    return group.uid if group is not None and entry in group.claims else pod.uid


def consumers(pod: Pod, state: State) -> dict[Uid, Consumer]:
    """The claims of a pod that are reserved for its group, by UID."""
    group = group_of(pod, state)
    if group is None:
        return {}
    consumer = Consumer(RESOURCE, group.name, group.uid, API_GROUP)
    names = [claim_name(pod, entry, state)[1] for entry in pod.claims if entry in group.claims]
    claims = [state.claim_by_key.get(f"{pod.namespace}/{name}") for name in names]
    return {uid: consumer for uid in claims if uid is not None}
