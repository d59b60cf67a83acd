"""Devices that take resources of their node, where their alpha gate is on: counted, and told in the pod's status."""

from collections.abc import Callable

import pytest

from e2e.api import until
from e2e.cluster import Cluster
from e2e.conftest import World, unschedulable
from e2e.dovetail import Dovetail
from e2e.judge import node_of
from e2e.workload import claim_spec, pod, request, template
from scheduler.simulator import fleet

GATES = {"DOVETAIL_FEATURE_GATES": "{DRANodeAllocatableResources: true}"}


@pytest.fixture(scope="session")
def cluster(alpha_cluster: Cluster) -> Cluster:
    """What `world` and `start_dovetail` of this module use."""
    return alpha_cluster


def test_what_devices_take_is_published_before_the_binding_and_keeps_others_out(
    world: World, start_dovetail: Callable[..., Dovetail]
) -> None:
    # given a box of 78 cores, each of whose GPUs costs twelve of them
    boxes = fleet.fleet({"dgx1-v100": 1})
    for item in boxes:
        if item["kind"] == "Node":  # without this the API server takes no such slice
            item["status"]["declaredFeatures"] = ["DRANodeAllocatableResources"]
        if item["kind"] == "ResourceSlice":
            for device in item["spec"]["devices"]:
                device["nodeAllocatableResources"] = {
                    "cpu": {"overhead": {"perPod": "11", "perContainer": "1"}},
                    "memory": {"overhead": {"perPod": "1Gi"}},
                }
    world.publish([*fleet.device_classes(), *boxes])
    world.create(template(world.namespace, "pair", claim_spec([request(count=2)])))
    start_dovetail(settings=GATES).ready()
    # when four pods ask for two GPUs and 100m of cpu each
    world.create(*(pod(world.namespace, f"p{i}", templates=["pair"]) for i in range(4)))
    bound = lambda: world.api.list("Pod", world.namespace, fieldSelector="spec.nodeName!=")  # noqa: E731
    until(lambda: len(bound()) == 3, "three pods bound", 60)
    # then three fit, and each says what its devices take
    for each in bound():
        [said] = each["status"]["nodeAllocatableResourceClaimStatuses"]
        claim = world.api.get("ResourceClaim", said["resourceClaimName"], world.namespace)
        assert node_of(claim) == each["spec"]["nodeName"]
        assert said["containers"] == ["main"]
        assert said["overhead"] == [
            {"name": "cpu", "perPod": "22", "perContainer": "2"},
            {"name": "memory", "perPod": "2Gi"},
        ]
    # and the fourth is told why it waits
    [waiting] = [each for each in world.api.list("Pod", world.namespace) if "nodeName" not in each["spec"]]
    unschedulable(world, waiting["metadata"]["name"], "lack cpu for what the devices take of their node")
    assert "nodeAllocatableResourceClaimStatuses" not in waiting["status"]
