"""Pods without devices beside pods with devices: a Deployment that names our scheduler just works."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from e2e.api import Raw, until
from e2e.conftest import World, runs, unschedulable
from e2e.dovetail import Dovetail
from e2e.judge import node_of
from e2e.workload import claim_spec, pod, request, template
from scheduler.simulator import fleet

REPLICAS, GPU_PODS = 60, 6
DISK = "example.com/disk"
CONTAINER: Raw = {"name": "main", "image": "registry.k8s.io/pause:3.10", "resources": {"requests": {"cpu": "100m"}}}


def deployment(world: World, name: str, replicas: int, **spec: Any) -> Raw:
    """Replicas of a container that asks for a little cpu."""
    labels = {"app": name}
    pod_spec = {"schedulerName": "dovetail", "terminationGracePeriodSeconds": 0, "containers": [CONTAINER], **spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": world.namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec},
        },
    }


def prefers(*terms: tuple[int, str]) -> Raw:
    """Preferred node affinity to disks, each with its weight."""
    preferred = [
        {
            "weight": weight,
            "preference": {"matchExpressions": [{"key": DISK, "operator": "In", "values": [value]}]},
        }
        for weight, value in terms
    ]
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def nodes_of(world: World, app: str, count: int) -> Counter[str]:
    """On which nodes the replicas of a Deployment are, once so many are bound."""

    def bound() -> list[Raw]:
        found = world.api.list("Pod", world.namespace, labelSelector=f"app={app}", fieldSelector="spec.nodeName!=")
        return found if len(found) >= count else []

    pods = until(bound, f"{count} pods of {app} bound", 90.0)
    return Counter(each["spec"]["nodeName"] for each in pods)


def labelled(boxes: list[Raw], labels: Mapping[int, Mapping[str, str]]) -> list[Raw]:
    """The same with labels on some nodes, by number."""
    nodes = [item for item in boxes if item["kind"] == "Node"]
    for number, more in labels.items():
        nodes[number]["metadata"]["labels"] |= more
    return nodes


def test_a_deployment_of_60_replicas_runs_next_to_pods_with_claims(
    world: World, start_dovetail: Callable[..., Dovetail]
) -> None:
    # given four boxes with devices, some of them with better disks, and one that others should rather leave alone
    boxes = fleet.fleet({"dgx-h100": 4}, seed=5)
    nodes = labelled(boxes, {0: {DISK: "nvme"}, 1: {DISK: "ssd"}, 2: {DISK: "ssd"}})
    names = [node["metadata"]["name"] for node in nodes]
    nodes[3]["spec"] = {"taints": [{"key": "example.com/quiet", "effect": "PreferNoSchedule"}]}
    world.publish([*fleet.device_classes(), *boxes])
    start_dovetail().ready()

    # when
    world.create(template(world.namespace, "pair", claim_spec([request(count=2)])))
    world.apply(
        [
            deployment(world, "web", REPLICAS),
            deployment(world, "store", 10, affinity=prefers((90, "nvme"), (10, "ssd"))),
            deployment(world, "quiet", 4, nodeSelector={"kubernetes.io/hostname": names[3]}),
        ]
    )
    world.create(*[pod(world.namespace, f"gpus-{number}", templates=["pair"]) for number in range(GPU_PODS)])

    # then every pod has a node, those that state something the one that they prefer
    assert sum(nodes_of(world, "web", REPLICAS).values()) == REPLICAS
    assert names[3] not in nodes_of(world, "web", REPLICAS)
    assert nodes_of(world, "store", 10) == {names[0]: 10}
    assert nodes_of(world, "quiet", 4) == {names[3]: 4}
    for number in range(GPU_PODS):
        node = runs(world, f"gpus-{number}")
        claims = world.api.get("Pod", f"gpus-{number}", world.namespace)["status"]["resourceClaimStatuses"]
        held = world.api.get("ResourceClaim", claims[0]["resourceClaimName"], world.namespace)
        assert node_of(held) == node != names[3]
    # and nobody made a claim for the others
    assert len(world.api.list("ResourceClaim", world.namespace)) == GPU_PODS
    said = world.api.list("Event", world.namespace, fieldSelector="reason=Scheduled")
    web = [each["message"] for each in said if each["involvedObject"]["name"].startswith("web-")]
    assert web
    assert all(" with " not in message for message in web)


def test_a_pod_without_claims_waits_with_a_reason_and_wakes(
    world: World, start_dovetail: Callable[..., Dovetail]
) -> None:
    # given
    boxes = fleet.fleet({"dgx-h100": 1}, seed=5)
    world.publish([*fleet.device_classes(), *boxes])
    [node] = [item["metadata"]["name"] for item in boxes if item["kind"] == "Node"]
    start_dovetail().ready()

    # when it needs more than there is, or what its node does not declare
    large = pod(world.namespace, "large", cpu="1000")
    again = pod(world.namespace, "again")
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    again["spec"]["containers"][0] |= {"restartPolicy": "Never", "restartPolicyRules": [rule]}
    world.create(large, again)

    # then
    unschedulable(world, "large", "0 of 1 nodes", "lack cpu (asks 1000, at most ")
    unschedulable(world, "again", "do not declare the feature RestartAllContainersOnContainerExits")
    world.api.patch(
        "Node", node, {"status": {"declaredFeatures": ["RestartAllContainersOnContainerExits"]}}, part="status"
    )
    assert runs(world, "again") == node
