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
from typing import Any, Final, Literal

from scheduler.cluster.decode import decode
from scheduler.core.errors import DecodeError, InputError
from scheduler.core.match import selects_node, untolerated
from scheduler.core.model import Node, Pod, Toleration
from scheduler.core.names import suffix
from scheduler.simulator.objects import Found, Raw, refuse_metadata
from scheduler.simulator.operators import OPERATED, count, members

_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED: Final = 58  # characters before the five of a generated name
INDEX: Final = "batch.kubernetes.io/job-completion-index"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PATIENT: Final = tuple(
    Toleration(f"node.kubernetes.io/{state}", "Exists", "", effect)
    for effect, states in (
        ("NoExecute", "not-ready unreachable"),
        ("NoSchedule", "disk-pressure memory-pressure pid-pressure unschedulable"),
    )
    for state in states.split()
)
"""What pods of a DaemonSet put up with."""


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
        elif each.kind == "DaemonSet":
            nodes = [other.raw for other in found if other.kind == "Node"]
            made += _daemons(each, owned["DaemonSet", each.key], nodes)
        elif each.kind == "Job":
            made += _completions(each, owned["Job", each.key])
        elif each.kind == "CronJob" and not owned["CronJob", each.key] and not _spec(each).get("suspend"):
            job = _run(each)
            made.append(job)
            made += _completions(job, [])
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
            yield from _with_claims(stateful_set, _pod(stateful_set, "StatefulSet", "apps/v1", name, labels=labels))


def _with_claims(stateful_set: Found, pod: Found) -> Iterable[Found]:
    """The pod of a StatefulSet, behind its claims of volumeClaimTemplates; these outlive it, and nobody owns them."""
    templates = _spec(stateful_set).get("volumeClaimTemplates") or ()
    volumes = []
    for index, template in enumerate(templates):
        own = template.get("metadata") if isinstance(template, dict) else None
        if not isinstance(own, dict) or not isinstance(own.get("name"), str):
            raise InputError(stateful_set.where, f"spec.volumeClaimTemplates[{index}].metadata.name: is missing")
        metadata = {
            "name": f"{own['name']}-{pod.raw['metadata']['name']}",
            "namespace": pod.raw["metadata"]["namespace"],
        }
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}
        yield Found({**claim, "spec": template.get("spec") or {}}, pod.where)
        volumes.append({"name": own["name"], "persistentVolumeClaim": {"claimName": metadata["name"]}})
    spec = pod.raw["spec"]
    others = [each for each in spec.get("volumes") or () if each.get("name") not in {one["name"] for one in volumes}]
    yield Found({**pod.raw, "spec": {**spec, "volumes": [*others, *volumes]}}, pod.where) if volumes else pod


def _daemons(daemon_set: Found, present: Sequence[Found], nodes: Sequence[Raw]) -> Iterable[Found]:
    """A pod for each node that the pods may be on and that has none: it says by affinity which node it is for."""
    model = _pod(daemon_set, "DaemonSet", "apps/v1", daemon_set.raw["metadata"]["name"])
    wants = _decoded("Pod", model.raw, daemon_set)
    assert isinstance(wants, Pod)
    there = {_target(each.raw) for each in present if not _ended(each)}
    free = [raw for raw in nodes if raw["metadata"]["name"] not in there and _admits(raw, wants, daemon_set)]
    taken = {each.raw["metadata"]["name"] for each in present}
    for raw, name in zip(free, _generated(daemon_set, len(free), taken), strict=True):
        made = _pod(daemon_set, "DaemonSet", "apps/v1", name)
        spec: Raw = json.loads(json.dumps(made.raw["spec"]))
        near = (spec.get("affinity") or {}).get("nodeAffinity") or {}
        terms = (near.get(_REQUIRED) or {}).get("nodeSelectorTerms") or [{}]
        here = {"key": "metadata.name", "operator": "In", "values": [raw["metadata"]["name"]]}
        near = {**near, _REQUIRED: {"nodeSelectorTerms": [{**term, "matchFields": [here]} for term in terms]}}
        spec["affinity"] = {**(spec.get("affinity") or {}), "nodeAffinity": near}
        more = [{"key": each.key, "operator": each.operator, "effect": each.effect} for each in _PATIENT]
        spec["tolerations"] = [*(spec.get("tolerations") or ()), *more]
        yield Found({**made.raw, "spec": spec}, made.where)


def _target(pod: Mapping[str, Any]) -> str:
    """The node that a pod of a DaemonSet is on or for; empty where it says none."""
    try:
        spec = pod["spec"]
        if spec.get("nodeName"):
            return str(spec["nodeName"])
        [term, *_] = spec["affinity"]["nodeAffinity"][_REQUIRED]["nodeSelectorTerms"]
        return str(term["matchFields"][0]["values"][0])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return ""


def _admits(node: Raw, wants: Pod, owner: Found) -> bool:
    """Whether a DaemonSet has a pod there: as its controller says, which looks at nothing that changes with use."""
    place = _decoded("Node", node, owner)
    assert isinstance(place, Node)
    return (
        all(place.labels.get(key) == value for key, value in wants.node_selector.items())
        and (wants.affinity is None or selects_node(wants.affinity, place))
        and untolerated(place.taints, (*wants.tolerations, *_PATIENT)) is None
    )


def _decoded(kind: Literal["Node", "Pod"], raw: Raw, owner: Found) -> object:
    try:
        return decode(kind, {**raw, "metadata": {"uid": "none-yet", **raw["metadata"]}})
    except DecodeError as error:
        raise InputError(owner.where, f"{owner.kind} {owner.key}: {error}") from error


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
