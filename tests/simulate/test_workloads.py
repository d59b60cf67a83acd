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
