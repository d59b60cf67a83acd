"""Workloads become the pods that their controllers would make."""

import copy

import pytest

from scheduler.core.errors import InputError
from scheduler.simulator.objects import Found
from scheduler.simulator.workloads import expand

TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"schedulerName": "dovetail", "containers": []}}


def workload(kind, name="web", **spec):
    version = "batch/v1" if kind == "Job" else "apps/v1"
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": TEMPLATE, **spec},
    }


def expanded(*raws):
    return [each.raw for each in expand([Found(raw, "here") for raw in raws])]


def pods(*raws):
    return [raw for raw in expanded(*raws) if raw["kind"] == "Pod"]


def names(*raws):
    return [raw["metadata"]["name"] for raw in pods(*raws)]


def owner(raw):
    (reference,) = raw["metadata"]["ownerReferences"]
    return reference["kind"], reference["name"], reference["controller"]


def test_a_deployment_becomes_a_replica_set_and_its_pods():
    deployment = workload("Deployment", replicas=3)

    found = expanded(deployment)

    (replica_set,) = [raw for raw in found if raw["kind"] == "ReplicaSet"]
    made = [raw for raw in found if raw["kind"] == "Pod"]
    assert owner(replica_set) == ("Deployment", "web", True)
    assert [owner(pod) for pod in made] == [("ReplicaSet", replica_set["metadata"]["name"], True)] * 3
    assert len({pod["metadata"]["name"] for pod in made}) == 3
    assert all(pod["metadata"]["name"].startswith(replica_set["metadata"]["name"] + "-") for pod in made)
    assert made[0]["metadata"]["labels"]["app"] == "a"
    assert made[0]["spec"] == TEMPLATE["spec"]


def test_names_are_the_same_every_time_and_follow_the_template():
    other = copy.deepcopy(workload("Deployment"))
    other["spec"]["template"]["spec"]["priority"] = 1

    assert names(workload("Deployment")) == names(workload("Deployment")) != names(other)


def test_stateful_sets_count_their_pods():
    assert names(workload("StatefulSet", replicas=3)) == ["web-0", "web-1", "web-2"]
    assert names(workload("StatefulSet", replicas=2, ordinals={"start": 5})) == ["web-5", "web-6"]


def test_one_replica_where_nothing_is_said_and_none_where_none_is_asked():
    assert len(names(workload("ReplicaSet"))) == 1
    assert names(workload("ReplicaSet", replicas=0)) == []


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ({}, 1),
        ({"parallelism": 3}, 3),
        ({"parallelism": 3, "completions": 2}, 2),
        ({"parallelism": 2, "completions": 5}, 2),
        ({"parallelism": 2, "suspend": True}, 0),
        ({"parallelism": 4, "completions": 4, "completionMode": "Indexed"}, 4),
    ],
)
def test_a_job_runs_as_many_pods_as_may_run_at_once(spec, count):
    assert len(names(workload("Job", **spec))) == count


def test_indexed_jobs_number_their_pods():
    made = pods(workload("Job", parallelism=2, completions=3, completionMode="Indexed"))

    assert [pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] for pod in made] == ["0", "1"]


def test_pods_that_are_there_already_are_not_made_again():
    whole = expanded(workload("Deployment", replicas=3), workload("StatefulSet", name="db", replicas=2))

    again = expanded(*whole)

    assert again == whole


def test_missing_replicas_are_made_up_for():
    replica_set, first, *_ = expanded(workload("ReplicaSet", replicas=3))

    found = pods(replica_set, first)

    assert len(found) == 3
    assert len({pod["metadata"]["name"] for pod in found}) == 3


@pytest.mark.parametrize("replicas", [-1, "3", 1.5, True, 10**9])
def test_a_number_of_replicas_that_is_none_is_refused(replicas):
    with pytest.raises(InputError, match=r"Deployment default/web: spec.replicas"):
        expanded(workload("Deployment", replicas=replicas))


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"])
def test_a_workload_without_a_template_is_refused(kind):
    broken = workload(kind)
    del broken["spec"]["template"]

    with pytest.raises(InputError, match=rf"{kind} default/web: spec.template.spec: is missing"):
        expanded(broken)


def node(name, labels=None, **spec):
    metadata = {"name": name, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": {}}


def target(pod):
    [term] = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    [field] = term["matchFields"]
    return field["key"], field["operator"], field["values"]


def test_a_daemon_set_becomes_a_pod_for_each_node_that_it_may_be_on():
    tainted = {"key": "gpu", "effect": "NoSchedule"}
    cordoned = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    watcher = copy.deepcopy(workload("DaemonSet"))
    watcher["spec"]["template"]["spec"] |= {"nodeSelector": {"gpu": "yes"}, "affinity": None}
    nodes = [
        node("plain"),
        node("tainted", {"gpu": "yes"}, taints=[tainted]),
        node("cordoned", {"gpu": "yes"}, taints=[cordoned]),
        node("good", {"gpu": "yes"}),
    ]

    made = pods(watcher, *nodes)

    assert [target(pod) for pod in made] == [("metadata.name", "In", [name]) for name in ("cordoned", "good")]
    assert {owner(pod) for pod in made} == {("DaemonSet", "web", True)}
    assert len({pod["metadata"]["name"] for pod in made}) == 2


def test_a_daemon_set_makes_no_second_pod_for_a_node():
    whole = expanded(workload("DaemonSet"), node("a"), node("b"))
    bound = copy.deepcopy(whole)
    bound[-1]["spec"] = {"nodeName": "b"}

    assert len(pods(*whole)) == 2
    assert expanded(*whole) == whole
    assert expanded(*bound) == bound


def test_long_names_leave_room_for_what_is_generated():
    assert all(len(name) <= 63 for name in names(workload("Job", name="j" * 63, parallelism=2)))


def test_a_cron_job_has_one_run():
    cron_job = workload("CronJob", name="nightly", jobTemplate={"spec": {"parallelism": 2, "template": TEMPLATE}})
    cron_job["apiVersion"] = "batch/v1"

    found = expanded(cron_job)

    (job,) = [raw for raw in found if raw["kind"] == "Job"]
    assert owner(job) == ("CronJob", "nightly", True)
    assert [owner(raw) for raw in found if raw["kind"] == "Pod"] == [("Job", job["metadata"]["name"], True)] * 2
    assert expanded(*found) == found
    cron_job["spec"]["suspend"] = True
    assert names(cron_job) == []


LWS = {"size": 3, "workerTemplate": TEMPLATE}
OTHERS = {
    "workers only": (
        "leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", {"replicas": 2, "leaderWorkerTemplate": LWS},
        ["x-0", "x-0-1", "x-0-2", "x-1", "x-1-1", "x-1-2"],
    ),
    "one by default": (
        "leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet",
        {"leaderWorkerTemplate": {"workerTemplate": TEMPLATE}}, ["x-0"],
    ),
    "jobs of a set": (
        "jobset.x-k8s.io/v1alpha2", "JobSet",
        {"replicatedJobs": [
            {"name": "driver", "template": {"spec": {"template": TEMPLATE}}},
            {"name": "w", "replicas": 2,
             "template": {"spec": {"parallelism": 2, "completions": 4, "template": TEMPLATE}}},
        ]},
        ["x-driver-0-0", "x-w-0-0", "x-w-0-1", "x-w-1-0", "x-w-1-1"],
    ),
    "a set that rests": ("jobset.x-k8s.io/v1alpha2", "JobSet", {"suspend": True}, []),
    "PyTorch": (
        "kubeflow.org/v1", "PyTorchJob",
        {"pytorchReplicaSpecs": {"Master": {"template": TEMPLATE}, "Worker": {"replicas": 2, "template": TEMPLATE}}},
        ["x-master-0", "x-worker-0", "x-worker-1"],
    ),
    "MPI": ("kubeflow.org/v2beta1", "MPIJob", {"mpiReplicaSpecs": {"Worker": {"template": TEMPLATE}}}, ["x-worker-0"]),
    "a job that rests": (
        "kubeflow.org/v1", "TFJob",
        {"runPolicy": {"suspend": True}, "tfReplicaSpecs": {"Chief": {"template": TEMPLATE}}}, [],
    ),
}  # fmt: skip


def other(version, kind, spec):
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": "default"}, "spec": spec}


@pytest.mark.parametrize("name", OTHERS)
def test_workloads_of_other_controllers_become_pods(name):
    version, kind, spec, expected = OTHERS[name]

    found = expanded(other(version, kind, spec))

    made = [raw for raw in found if raw["kind"] == "Pod"]
    assert [pod["metadata"]["name"] for pod in made] == expected
    assert {owner(pod) for pod in made} <= {(kind, "x", True)}
    assert expanded(*found) == found


def test_leaders_have_a_template_of_their_own_if_there_is_one():
    leader = {"spec": {"containers": [{"name": "leader"}]}}
    spec = {"leaderWorkerTemplate": {"size": 2, "leaderTemplate": leader, "workerTemplate": TEMPLATE}}

    first, second = pods(other("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", spec))

    assert first["spec"] == leader["spec"]
    assert second["spec"] == TEMPLATE["spec"]
    assert first["metadata"]["labels"]["leaderworkerset.sigs.k8s.io/worker-index"] == "0"
    assert second["metadata"]["annotations"]["leaderworkerset.sigs.k8s.io/size"] == "2"


@pytest.mark.parametrize(
    ("kind", "spec", "problem"),
    [
        ("LeaderWorkerSet", {}, "spec.leaderWorkerTemplate: is missing"),
        ("LeaderWorkerSet", {"leaderWorkerTemplate": {}}, "spec.leaderWorkerTemplate.workerTemplate.spec: is missing"),
        ("LeaderWorkerSet", {"leaderWorkerTemplate": {"size": "2"}}, "size: '2' is not a number"),
        ("LeaderWorkerSet", {"replicas": 99_999, "leaderWorkerTemplate": LWS}, "has more than 100000 pods"),
        ("JobSet", {}, "spec.replicatedJobs: is missing"),
        ("JobSet", {"replicatedJobs": [1]}, r"spec.replicatedJobs\[0\]: is missing"),
        ("JobSet", {"replicatedJobs": [{"name": "a"}]}, r"spec.replicatedJobs\[0\].template: is missing"),
        ("PyTorchJob", {"pytorchReplicaSpecs": {"Master": []}}, "spec.pytorchReplicaSpecs.Master: is missing"),
        ("MPIJob", None, "spec: is missing"),
        ("CronJob", {"jobTemplate": {}}, "spec.jobTemplate.spec: is missing"),
    ],
)
def test_workloads_without_their_parts_are_refused(kind, spec, problem):
    with pytest.raises(InputError, match=rf"{kind} default/x: .*{problem}"):
        expanded(other("v", kind, spec))
