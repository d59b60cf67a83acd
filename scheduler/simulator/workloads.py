"""Workloads as the pods that their controllers would make of them.

Names are those that Kubernetes would give, except that what it draws at random derives from the owner's name. A dump of
a cluster holds workloads together with their pods: those count as made already. A CronJob without a Job has one run; a
DaemonSet has a pod for each node that takes it.
"""

import hashlib
import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from scheduler.cluster import decode
from scheduler.core.errors import DecodeError, InputError
from scheduler.core.model import Node, Pod
from scheduler.core.names import suffix
from scheduler.core.verify.words import keeps_off, node_selected
from scheduler.simulator.objects import Found, Raw, refuse_metadata
from scheduler.simulator.operators import OPERATED, count, members

_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED: Final = 58  # characters before the five of a generated name
INDEX: Final = "batch.kubernetes.io/job-completion-index"
_BORNE_BY_DAEMONS: Final = tuple(
    {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": effect}
    for state, effect in (
        ("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"), ("pid-pressure", "NoSchedule"), ("unschedulable", "NoSchedule"),
    )
)  # fmt: skip
"""What the DaemonSet controller adds to the tolerations of its pods."""


def uid_of(kind: str, key: str, generation: int = 0) -> str:
    """A UID that depends on nothing but what it is for."""
    name = f"{kind}/{key}" + (f"/{generation}" if generation else "")
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"simulator.dovetail.scheduler/{name}"))


def expand(found: Sequence[Found]) -> list[Found]:
    """All objects, with the ReplicaSets and pods that workloads among them are still short of. Raises InputError."""
    owned: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for each in found:
        owner = _controller(each.raw)
        if owner is not None:
            owned[owner["kind"], f"{each.raw['metadata'].get('namespace')}/{owner.get('name')}"].append(each)
    made: list[Found] = []
    for each in found:
        if each.kind == "Deployment" and not owned["Deployment", each.key]:
            replica_set = _replica_set(each)
            made.append(replica_set)
            made += _replicas(replica_set, [])
        elif each.kind == "ReplicaSet":
            made += _replicas(each, owned["ReplicaSet", each.key])
        elif each.kind == "StatefulSet":
            made += _ordinals(each, owned["StatefulSet", each.key])
        elif each.kind == "Job":
            made += _completions(each, owned["Job", each.key])
        elif each.kind == "CronJob" and not owned["CronJob", each.key] and not _spec(each).get("suspend"):
            job = _run(each)
            made.append(job)
            made += _completions(job, [])
        elif each.kind == "DaemonSet":
            made += _daemons(each, owned["DaemonSet", each.key], [node for node in found if node.kind == "Node"])
        elif each.kind in OPERATED:
            made += _operated(each, owned[each.kind, each.key])
    return [*found, *made]


def _controller(raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for reference in raw["metadata"].get("ownerReferences") or ():
        if isinstance(reference, dict) and reference.get("controller") and isinstance(reference.get("kind"), str):
            return reference
    return None


def _replica_set(deployment: Found) -> Found:
    spec = _spec(deployment)
    template = _template(deployment)
    name = deployment.raw["metadata"]["name"]
    digest = int.from_bytes(
        hashlib.blake2b(json.dumps(template, sort_keys=True).encode(), digest_size=8).digest(), "big"
    )
    code = "".join(_ALPHABET[digest // len(_ALPHABET) ** place % len(_ALPHABET)] for place in range(10))
    labels = {**_labels(template), "pod-template-hash": code}
    metadata = _metadata(deployment, "Deployment", "apps/v1", f"{name}-{code}") | {"labels": labels}
    own = {**template, "metadata": {**template["metadata"], "labels": labels}}
    raw = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": metadata,
        "spec": {"replicas": count(deployment, spec.get("replicas"), "spec.replicas"), "template": own},
    }
    return Found(raw, f"{deployment.where}, Deployment {deployment.key}")


def _replicas(replica_set: Found, present: Sequence[Found]) -> Iterable[Found]:
    wanted = count(replica_set, _spec(replica_set).get("replicas"), "spec.replicas")
    alive = sum(not _ended(each) for each in present)
    taken = {each.raw["metadata"]["name"] for each in present}
    for name in _generated(replica_set, max(0, wanted - alive), taken):
        yield _pod(replica_set, "ReplicaSet", "apps/v1", name)


def _ordinals(stateful_set: Found, present: Sequence[Found]) -> Iterable[Found]:
    spec = _spec(stateful_set)
    wanted = count(stateful_set, spec.get("replicas"), "spec.replicas")
    ordinals = spec.get("ordinals") or {}
    start = count(stateful_set, ordinals.get("start") or 0, "spec.ordinals.start") if isinstance(ordinals, dict) else 0
    taken = {each.raw["metadata"]["name"] for each in present}
    base = stateful_set.raw["metadata"]["name"]
    for number in range(start, start + wanted):
        name = f"{base}-{number}"
        if name not in taken:
            labels = {"statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": str(number)}
            yield _pod(stateful_set, "StatefulSet", "apps/v1", name, labels=labels)


def _completions(job: Found, present: Sequence[Found]) -> Iterable[Found]:
    """The pods that run at once now: as many as parallelism and the completions that are left allow."""
    spec = _spec(job)
    if spec.get("suspend"):
        return
    parallelism = count(job, spec.get("parallelism"), "spec.parallelism")
    done = sum((each.raw.get("status") or {}).get("phase") == "Succeeded" for each in present)
    alive = sum(not _ended(each) for each in present)
    completions = spec.get("completions")
    indexed = spec.get("completionMode") == "Indexed"
    left = parallelism if completions is None else count(job, completions, "spec.completions") - done
    wanted = max(0, min(parallelism, left) - alive)
    labels = {"batch.kubernetes.io/job-name": job.raw["metadata"]["name"]}
    if not indexed:
        taken = {each.raw["metadata"]["name"] for each in present}
        for name in _generated(job, wanted, taken):
            yield _pod(job, "Job", "batch/v1", name, labels=labels)
        return
    used = {(each.raw["metadata"].get("annotations") or {}).get(INDEX) for each in present}
    free = [index for index in range(count(job, completions, "spec.completions")) if str(index) not in used]
    base = job.raw["metadata"]["name"]
    for index in free[:wanted]:
        name = f"{base}-{index}"[:_MAX_GENERATED] + f"-{suffix('Job', job.key, index)}"
        yield _pod(job, "Job", "batch/v1", name, labels={**labels, INDEX: str(index)}, annotations={INDEX: str(index)})


def _run(cron_job: Found) -> Found:
    """The Job of one run."""
    inner = _spec(cron_job).get("jobTemplate")
    if not isinstance(inner, dict) or not isinstance(inner.get("spec"), dict):
        raise InputError(cron_job.where, f"CronJob {cron_job.key}: spec.jobTemplate.spec: is missing")
    name = f"{cron_job.raw['metadata']['name'][:_MAX_GENERATED]}-{suffix('CronJob', cron_job.key)}"
    metadata = _metadata(cron_job, "CronJob", "batch/v1", name)
    raw = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": inner["spec"]}
    return Found(raw, f"{cron_job.where}, CronJob {cron_job.key}")


def _daemons(daemon_set: Found, present: Sequence[Found], nodes: Sequence[Found]) -> Iterable[Found]:
    """A pod for each node that takes it and has none, bound to that node by affinity as the controller does it."""
    taken = {each.raw["metadata"]["name"] for each in present}
    served = {_node_of(each) for each in present if not _ended(each)}
    for node, name in zip(nodes, list(_generated(daemon_set, len(nodes), taken)), strict=True):
        pod = _pod(daemon_set, "DaemonSet", "apps/v1", name)
        spec = pod.raw["spec"]
        pod.raw["spec"] = {**spec, "tolerations": [*(spec.get("tolerations") or ()), *_BORNE_BY_DAEMONS]}
        if node.key in served or not _takes(node, pod):
            continue
        affinity = spec.get("affinity") or {}
        term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node.key]}]}
        chosen = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
        pod.raw["spec"]["affinity"] = {**affinity, "nodeAffinity": {**(affinity.get("nodeAffinity") or {}), **chosen}}
        yield pod


def _node_of(pod: Found) -> str:
    """The node that a daemon's pod is on or was made for."""
    spec = pod.raw.get("spec") or {}
    terms = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    for term in terms.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            return str((field.get("values") or [""])[0])
    return str(spec.get("nodeName") or "")


def _takes(node: Found, pod: Found) -> bool:
    try:
        where = decode.decode("Node", {**node.raw, "metadata": {"uid": "unset", **node.raw["metadata"]}})
        what = decode.decode("Pod", {**pod.raw, "metadata": {"uid": "unset", **pod.raw["metadata"]}})
    except DecodeError as error:
        raise InputError(pod.where, str(error)) from error
    if not isinstance(where, Node) or not isinstance(what, Pod):
        raise TypeError(f"{type(where).__name__} and {type(what).__name__} for a Node and a Pod")
    labelled = all(where.labels.get(key) == value for key, value in what.node_selector.items())
    chosen = what.affinity is None or node_selected(what.affinity, where)
    return labelled and chosen and not any(keeps_off(taint, what.tolerations) for taint in where.taints)


def _operated(workload: Found, present: Sequence[Found]) -> Iterable[Found]:
    taken = {each.raw["metadata"]["name"] for each in present}
    version = workload.raw["apiVersion"]
    for member in members(workload):
        if member.name not in taken:
            template = _own(workload, member.template, member.path)
            yield _pod_of(workload, workload.kind, version, member.name, template, member.labels, member.annotations)


def _generated(owner: Found, count: int, taken: set[str]) -> Iterable[str]:
    base = f"{owner.raw['metadata']['name']}-"[:_MAX_GENERATED]
    number = 0
    while count:
        name = base + suffix(owner.kind, owner.key, number)
        number += 1
        if name not in taken:
            taken.add(name)
            count -= 1
            yield name


def _pod(
    owner: Found,
    kind: str,
    version: str,
    name: str,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Found:
    return _pod_of(owner, kind, version, name, _template(owner), labels, annotations)


def _pod_of(
    owner: Found,
    kind: str,
    version: str,
    name: str,
    template: Mapping[str, Any],
    labels: Mapping[str, str] | None,
    annotations: Mapping[str, str] | None,
) -> Found:
    own = template["metadata"]
    metadata = _metadata(owner, kind, version, name)
    metadata["labels"] = {**_labels(template), **(labels or {})}
    both = {**(own.get("annotations") or {}), **(annotations or {})}
    if both:
        metadata["annotations"] = both
    raw = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec") or {}}
    return Found(raw, f"{owner.where}, {kind} {owner.key}")


def _metadata(owner: Found, kind: str, version: str, name: str) -> Raw:
    metadata = owner.raw["metadata"]
    return {
        "name": name,
        "namespace": metadata["namespace"],
        "ownerReferences": [
            {
                "apiVersion": version,
                "kind": kind,
                "name": metadata["name"],
                "uid": metadata.get("uid") or uid_of(kind, owner.key),
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def _spec(owner: Found) -> Mapping[str, Any]:
    spec = owner.raw.get("spec")
    if not isinstance(spec, dict):
        raise InputError(owner.where, f"{owner.kind} {owner.key}: spec: is missing")
    return spec


def _template(owner: Found) -> Mapping[str, Any]:
    return _own(owner, _spec(owner).get("template"), "spec.template")


def _own(owner: Found, template: Any, path: str) -> Mapping[str, Any]:
    """A PodTemplateSpec, with metadata if it has none. Raises InputError."""
    if not isinstance(template, dict) or not isinstance(template.get("spec"), dict):
        raise InputError(owner.where, f"{owner.kind} {owner.key}: {path}.spec: is missing")
    metadata = template.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise InputError(owner.where, f"{owner.kind} {owner.key}: {path}.metadata: is not an object")
    refuse_metadata(metadata, owner.where, f"{owner.kind} {owner.key}: {path}.metadata")
    return {**template, "metadata": metadata}


def _labels(template: Mapping[str, Any]) -> Mapping[str, str]:
    return template["metadata"].get("labels") or {}


def _ended(pod: Found) -> bool:
    return (pod.raw.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
