"""What is written to the API: request bodies as JSON bytes, from the core's instructions.

Every body names the uid of the object it means, and patches of claims carry the resourceVersion that the decision knew,
so that the API server refuses what no longer applies. A patch touches only our fields: `status.devices` belongs to
drivers and goes only together with the allocation, as the API demands.

Each function says how its body is sent: POST, or PATCH with the content type MERGE or STRATEGIC.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from scheduler.core import names
from scheduler.core.errors import printable
from scheduler.core.extended import base_name
from scheduler.core.messages import (
    BindVolume,
    ClaimRef,
    PodRef,
    Report,
    ReportClash,
    ReportIgnored,
    ReportScheduled,
    ReportUnschedulable,
    StorageRef,
    UnbindVolume,
)
from scheduler.core.model import (
    Allocation,
    AllocationConfig,
    Claim,
    Consumer,
    NodeSelector,
    NodeSelectorTerm,
    Request,
    RequestMapping,
    Requirement,
    Result,
    Toleration,
    Uid,
)
from scheduler.core.storage import BOUND_BY_CONTROLLER, SELECTED_NODE

MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"

MAX_NOTE: Final = 1024  # bytes of an event's message (events.k8s.io NoteLengthLimit)
CONTROLLER: Final = "dovetail.scheduler/dovetail"
_MAX_NAME: Final = 253
_verbatim: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
"""A JSON object whose members are written as they stand: what is meant for a driver gets to it letter by letter."""
_EVENTS: Final[dict[type[Report], tuple[str, str, str]]] = {
    ReportScheduled: ("Normal", "Scheduled", "Binding"),
    ReportUnschedulable: ("Warning", "FailedScheduling", "Scheduling"),
    ReportIgnored: ("Warning", "AnnotationIgnored", "Scheduling"),
    ReportClash: ("Warning", "DeviceClash", "Binding"),
}
"""Type, reason and action."""

Body = dict[str, Any]


def finalizer_patch(claim: ClaimRef) -> bytes:
    """Adds our finalizer beside those of others. STRATEGIC, to the claim: finalizers are merged."""
    return _json(
        {
            "metadata": {
                "uid": claim.uid,
                "resourceVersion": claim.resource_version,
                "finalizers": [names.CLAIM_FINALIZER],
            }
        }
    )


def allocation_patch(
    uid: Uid, resource_version: str, allocated: Allocation, consumer: Consumer, timestamp: str
) -> bytes:
    """Sets the allocation and its first reservation in one write. STRATEGIC or MERGE, to the claim's status.

    resource_version : the one that the finalizer's write returned, or the decision's if the finalizer was there.
    timestamp : now, RFC 3339. Without one, kube-scheduler could never let a pod of its own share the claim.
    """
    status = {"allocation": allocation(allocated, timestamp, _verbatim), "reservedFor": [_consumer(consumer)]}
    return _json({"metadata": {"uid": uid, "resourceVersion": resource_version}, "status": status})


def reservation_patch(claim: ClaimRef, consumers: Iterable[Consumer]) -> bytes:
    """Adds consumers to those of an allocated claim. STRATEGIC, to the claim's status: the list is merged by uid."""
    metadata = {"uid": claim.uid, "resourceVersion": claim.resource_version}
    return _json({"metadata": metadata, "status": {"reservedFor": [_consumer(each) for each in consumers]}})


def unreserve_patch(claim: Uid, resource_version: str, consumer: Uid) -> bytes:
    """Takes one consumer out, unless the claim changed: it may have come in again. STRATEGIC, to the claim's status."""
    metadata = {"uid": claim, "resourceVersion": resource_version}
    return _json({"metadata": metadata, "status": {"reservedFor": [{"$patch": "delete", "uid": consumer}]}})


def deallocate_patch(claim: Uid, resource_version: str) -> bytes:
    """Gives the devices back. MERGE, to the claim's status; only when no other pod uses the claim at this version."""
    metadata = {"uid": claim, "resourceVersion": resource_version}
    return _json({"metadata": metadata, "status": {"allocation": None, "reservedFor": None, "devices": None}})


def special_claim(claim: Claim, pod: PodRef) -> bytes:
    """The claim for a pod's extended resources, owned by the pod, with our finalizer. POST to the namespace's claims.

    It keeps the generateName that such claims have, though its name is settled: POSTed twice, there is one.
    """
    owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid, "controller": True}
    metadata = {
        "name": claim.name,
        "generateName": base_name(pod.name),
        "namespace": claim.namespace,
        "annotations": dict(claim.annotations),
        "ownerReferences": [owner],
        "finalizers": [names.CLAIM_FINALIZER],
    }
    requests = [_exact_request(request) for request in claim.spec.requests]
    return _json(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": metadata,
            "spec": {"devices": {"requests": requests}},
        }
    )


def special_claim_patch(pod: PodRef, claim: str, mappings: Sequence[RequestMapping]) -> bytes:
    """Names the claim for a pod's extended resources, for the kubelet. STRATEGIC, to the pod's status."""
    mapped = [
        {"containerName": each.container, "resourceName": each.resource, "requestName": each.request}
        for each in mappings
    ]
    named = {"resourceClaimName": claim, "requestMappings": mapped}
    return _json({"metadata": {"uid": pod.uid}, "status": {"extendedResourceClaimStatus": named}})


def volume_patch(write: BindVolume) -> bytes:
    """Keeps a PersistentVolume for a claim. MERGE, to the volume: others watch for the same claimRef."""
    claim, volume = write.claim, write.volume
    metadata: Body = {"uid": volume.uid, "resourceVersion": volume.resource_version}
    if not write.named:  # so that the cluster's controller may free the volume if it comes to nothing
        metadata["annotations"] = {BOUND_BY_CONTROLLER: "yes"}
    reference = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": claim.namespace,
        "name": claim.name,
        "uid": claim.uid,
        "resourceVersion": claim.resource_version,
    }
    return _json({"metadata": metadata, "spec": {"claimRef": reference}})


def free_volume_patch(write: UnbindVolume, resource_version: str) -> bytes:
    """Takes volume_patch back: what stood there before stands again. MERGE, to the volume."""
    metadata: Body = {"uid": write.volume.uid, "resourceVersion": resource_version}
    if write.named:
        return _json({"metadata": metadata, "spec": {"claimRef": {"uid": None, "resourceVersion": None}}})
    metadata["annotations"] = {BOUND_BY_CONTROLLER: None}
    return _json({"metadata": metadata, "spec": {"claimRef": None}})


def selected_node_patch(claim: StorageRef, resource_version: str, node: str | None) -> bytes:
    """Has a volume made for a claim where the node can use it, or with None no longer. MERGE, to the claim."""
    metadata = {"uid": claim.uid, "resourceVersion": resource_version, "annotations": {SELECTED_NODE: node}}
    return _json({"metadata": metadata})


def unfinalize_patch(claim: Uid, resource_version: str) -> bytes:
    """Takes our finalizer off. STRATEGIC, to the claim."""
    metadata = {"uid": claim, "resourceVersion": resource_version}
    return _json({"metadata": {**metadata, "$deleteFromPrimitiveList/finalizers": [names.CLAIM_FINALIZER]}})


def deletion(claim: Uid) -> bytes:
    """Options of a DELETE that means this claim and no later one of its name."""
    return _json({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": claim}})


def taken_patch(pod: PodRef, taken: str, resource_version: str = "") -> bytes:
    """Says what devices take of a pod's node, a JSON list. MERGE, to the pod's status: an empty list clears it.

    resource_version : of the pod, if it must not have changed.
    """
    metadata = {"uid": pod.uid, **({"resourceVersion": resource_version} if resource_version else {})}
    return _json({"metadata": metadata, "status": {"nodeAllocatableResourceClaimStatuses": msgspec.Raw(taken)}})


def binding(pod: PodRef, node: str, annotations: Mapping[str, str]) -> bytes:
    """Binds. POST to the pod's binding; the server copies the annotations to the pod."""
    metadata: Body = {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid}
    if annotations:
        metadata["annotations"] = dict(annotations)
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    return _json({"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target})


def event(report: Report, timestamp: str) -> bytes:
    """What people read with `kubectl describe pod`. POST to the core events of the pod's namespace.

    timestamp : now, RFC 3339 with at least microseconds if two reports on a pod may follow each other fast.
    """
    pod = report.pod
    about = {"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid}
    return notice(about, _EVENTS[type(report)], report.message, timestamp)


def notice(about: Mapping[str, str], kind: tuple[str, str, str], message: str, timestamp: str) -> bytes:
    """An event on any object. POST to the core events of its namespace.

    about : apiVersion, kind, namespace, name, and the uid where it is known. kind : type, reason and action.
    """
    of = f"{timestamp}/{about.get('uid', '')}/{message}"
    digest = blake2b(of.encode(errors="replace"), digest_size=8).hexdigest()
    return _json(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{about['name'][: _MAX_NAME - 17]}.{digest}", "namespace": about["namespace"]},
            "involvedObject": dict(about),
            "type": kind[0],
            "reason": kind[1],
            "action": kind[2],
            "message": _note(printable(message)),
            "eventTime": _micros(timestamp),
            "firstTimestamp": _seconds(timestamp),
            "lastTimestamp": _seconds(timestamp),
            "count": 1,
            "reportingComponent": CONTROLLER,
            "reportingInstance": names.SCHEDULER_NAME,
            "source": {"component": names.SCHEDULER_NAME},
        }
    )


def unschedulable_condition_patch(report: ReportUnschedulable, timestamp: str) -> bytes:
    """The condition that autoscalers look for. STRATEGIC, to the pod's status: conditions are merged by type."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": printable(report.message),
        "lastProbeTime": None,
        "lastTransitionTime": _seconds(timestamp),
    }
    return _json({"metadata": {"uid": report.pod.uid}, "status": {"conditions": [condition]}})


def allocation(allocated: Allocation, timestamp: str, read: Callable[[str], Body] = json.loads) -> Body:
    """An AllocationResult. timestamp : when it was made, RFC 3339. read : of its configuration, JSON."""
    devices: Body = {"results": [_result(result) for result in allocated.results]}
    if allocated.config:
        devices["config"] = [_config(entry, read) for entry in allocated.config]
    found: Body = {"devices": devices, "allocationTimestamp": _seconds(timestamp)}
    if allocated.node_selector is not None:
        found["nodeSelector"] = _node_selector(allocated.node_selector)
    return found


# ---------------------------------------------------------------- parts


def _json(body: Body) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:  # half a character
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False, default=msgspec.json.decode)
        return text.encode(errors="replace")


def _consumer(consumer: Consumer) -> Body:
    found: Body = {"resource": consumer.resource, "name": consumer.name, "uid": consumer.uid}
    return {"apiGroup": consumer.api_group, **found} if consumer.api_group else found


def _result(result: Result) -> Body:
    found: Body = {
        "request": result.request,
        "driver": result.driver,
        "pool": result.pool,
        "device": result.device,
    }
    if result.admin_access:
        found["adminAccess"] = True
    if result.share_id is not None:
        found["shareID"] = result.share_id
    if result.tolerations:
        found["tolerations"] = [_toleration(each) for each in result.tolerations]
    if result.consumed:
        found["consumedCapacity"] = {name: amount.canonical() for name, amount in sorted(result.consumed.items())}
    if result.binding_conditions:
        found["bindingConditions"] = list(result.binding_conditions)
    if result.binding_failures:
        found["bindingFailureConditions"] = list(result.binding_failures)
    if result.skip_operations:
        found["skipNodeOperations"] = list(result.skip_operations)
    return found


def _exact_request(request: Request) -> Body:
    exactly = {"deviceClassName": request.device_class, "allocationMode": request.mode, "count": request.count}
    return {"name": request.name, "exactly": exactly}


def _toleration(toleration: Toleration) -> Body:
    given = {
        "key": toleration.key,
        "operator": toleration.operator,
        "value": toleration.value,
        "effect": toleration.effect,
    }
    found: Body = {name: text for name, text in given.items() if text}
    if toleration.seconds is not None:
        found["tolerationSeconds"] = toleration.seconds
    return found


def _config(entry: AllocationConfig, read: Callable[[str], Body]) -> Body:
    found: Body = {"source": entry.source}
    if entry.requests:
        found["requests"] = list(entry.requests)
    return {**found, **read(entry.entry)}


def _node_selector(selector: NodeSelector) -> Body:
    return {"nodeSelectorTerms": [_term(term) for term in selector.terms]}


def _term(term: NodeSelectorTerm) -> Body:
    found: Body = {}
    if term.labels:
        found["matchExpressions"] = _requirements(term.labels)
    if term.fields:
        found["matchFields"] = _requirements(term.fields)
    return found


def _requirements(requirements: Sequence[Requirement]) -> list[Body]:
    return [
        {"key": each.key, "operator": each.operator, **({"values": list(each.values)} if each.values else {})}
        for each in requirements
    ]


def _seconds(timestamp: str) -> str:
    """A metav1.Time has whole seconds."""
    return f"{timestamp[:19]}Z"


def _micros(timestamp: str) -> str:
    """A metav1.MicroTime has six digits behind the second."""
    fraction = timestamp[19:].strip(".Z")
    return f"{timestamp[:19]}.{fraction:0<6.6}Z"


def _note(message: str) -> str:
    """Cut to what an event may hold, at a whole character."""
    text = message.encode(errors="replace")
    if len(text) <= MAX_NOTE:
        return text.decode()
    return text[: MAX_NOTE - 3].decode(errors="ignore") + "…"
