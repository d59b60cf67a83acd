"""Workloads of other controllers as the pods that these would make: LeaderWorkerSet, JobSet, Kubeflow's jobs.

Pods have the names that their controllers give, and belong to the workload itself: what stands between, a StatefulSet
or Job of the controller, has no say in where pods go.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scheduler.core.errors import InputError
from scheduler.simulator.objects import Found

_REPLICA_SPECS: Final[Mapping[str, str]] = {
    "PyTorchJob": "pytorchReplicaSpecs", "TFJob": "tfReplicaSpecs", "XGBoostJob": "xgbReplicaSpecs",
    "PaddleJob": "paddleReplicaSpecs", "JAXJob": "jaxReplicaSpecs", "MPIJob": "mpiReplicaSpecs",
}  # fmt: skip
OPERATED: Final = frozenset({"LeaderWorkerSet", "JobSet", *_REPLICA_SPECS})
MAX_PODS: Final = 100_000  # of one workload


@dataclass(frozen=True, slots=True)
class Member:
    """A pod to be. template: the PodTemplateSpec, at `path` of the workload."""

    name: str
    template: Any
    path: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def members(workload: Found) -> Iterator[Member]:
    """The pods of a workload of these kinds. Raises InputError."""
    spec = workload.raw.get("spec")
    if not isinstance(spec, dict):
        raise InputError(workload.where, f"{workload.kind} {workload.key}: spec: is missing")
    if workload.kind == "LeaderWorkerSet":
        found = _leaders_and_workers(workload, spec)
    elif workload.kind == "JobSet":
        found = _replicated_jobs(workload, spec)
    else:
        found = _replica_specs(workload, spec)
    for number, member in enumerate(found):
        if number >= MAX_PODS:
            raise InputError(workload.where, f"{workload.kind} {workload.key}: has more than {MAX_PODS} pods")
        yield member


def _leaders_and_workers(workload: Found, spec: Mapping[str, Any]) -> Iterator[Member]:
    path = "spec.leaderWorkerTemplate"
    both = _mapping(workload, spec.get("leaderWorkerTemplate"), path)
    replicas = count(workload, spec.get("replicas"), "spec.replicas")
    size = count(workload, both.get("size"), f"{path}.size")
    name = workload.raw["metadata"]["name"]
    for group in range(replicas):
        for worker in range(size):
            own = "leaderTemplate" if worker == 0 and both.get("leaderTemplate") is not None else "workerTemplate"
            yield Member(
                f"{name}-{group}-{worker}" if worker else f"{name}-{group}",
                both.get(own),
                f"{path}.{own}",
                {
                    "leaderworkerset.sigs.k8s.io/name": name,
                    "leaderworkerset.sigs.k8s.io/group-index": str(group),
                    "leaderworkerset.sigs.k8s.io/worker-index": str(worker),
                },
                {"leaderworkerset.sigs.k8s.io/size": str(size)},
            )


def _replicated_jobs(workload: Found, spec: Mapping[str, Any]) -> Iterator[Member]:
    if spec.get("suspend"):
        return
    name = workload.raw["metadata"]["name"]
    for at, each in enumerate(_list(workload, spec.get("replicatedJobs"), "spec.replicatedJobs")):
        path = f"spec.replicatedJobs[{at}]"
        replicated = _mapping(workload, each, path)
        job = _mapping(workload, _mapping(workload, replicated.get("template"), f"{path}.template").get("spec"),
                       f"{path}.template.spec")  # fmt: skip
        replicas = count(workload, replicated.get("replicas"), f"{path}.replicas")
        parallelism = count(workload, job.get("parallelism"), f"{path}.template.spec.parallelism")
        completions = count(workload, job.get("completions", parallelism), f"{path}.template.spec.completions")
        for number in range(replicas):
            for index in range(min(parallelism, completions)):
                labels = {
                    "jobset.sigs.k8s.io/jobset-name": name,
                    "jobset.sigs.k8s.io/replicatedjob-name": str(replicated.get("name")),
                    "jobset.sigs.k8s.io/job-index": str(number),
                }
                yield Member(
                    f"{name}-{replicated.get('name')}-{number}-{index}",
                    job.get("template"),
                    f"{path}.template.spec.template",
                    labels,
                )


def _replica_specs(workload: Found, spec: Mapping[str, Any]) -> Iterator[Member]:
    run = spec.get("runPolicy")
    if isinstance(run, dict) and run.get("suspend"):
        return
    key = _REPLICA_SPECS[workload.kind]
    name = workload.raw["metadata"]["name"]
    for role, each in _mapping(workload, spec.get(key), f"spec.{key}").items():
        path = f"spec.{key}.{role}"
        part = _mapping(workload, each, path)
        for number in range(count(workload, part.get("replicas"), f"{path}.replicas")):
            labels = {
                "training.kubeflow.org/job-name": name,
                "training.kubeflow.org/replica-type": role.lower(),
                "training.kubeflow.org/replica-index": str(number),
            }
            yield Member(f"{name}-{role.lower()}-{number}", part.get("template"), f"{path}.template", labels)


def _mapping(workload: Found, value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(workload.where, f"{workload.kind} {workload.key}: {path}: is missing")
    return value


def _list(workload: Found, value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(workload.where, f"{workload.kind} {workload.key}: {path}: is missing")
    return value


def count(workload: Found, value: Any, path: str) -> int:
    """A number of replicas; one where nothing is said. Raises InputError."""
    if value is None:
        return 1
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_PODS:
        words = f"{workload.kind} {workload.key}: {path}: {value!r} is not a number from 0 to {MAX_PODS}"
        raise InputError(workload.where, words)
    return value
