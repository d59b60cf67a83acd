"""Claims of PodGroups, where their alpha gates are on: reserved once for all pods of the group."""

from collections.abc import Callable, Iterator

import pytest

from e2e.api import Raw, until
from e2e.cluster import Cluster
from e2e.conftest import World, unschedulable
from e2e.dovetail import Dovetail
from e2e.judge import devices_of, node_of
from e2e.workload import claim_spec, pod, request, template
from scheduler.simulator import fleet

GATES = {"DOVETAIL_FEATURE_GATES": "{DRAWorkloadResourceClaims: true}"}


@pytest.fixture(scope="session")
def cluster(alpha_cluster: Cluster) -> Cluster:
    """What `world` and `start_dovetail` of this module use."""
    return alpha_cluster


@pytest.fixture
def grouped(world: World) -> Iterator[World]:
    """A world whose groups go before its claims, which are theirs."""
    yield world
    world.api.delete_all("Pod", world.namespace)
    world.api.delete_all("PodGroup", world.namespace)
    until(lambda: not world.api.list("PodGroup", world.namespace), "groups gone", 60)


def group(world: World, policy: Raw) -> Raw:
    claims = [{"name": "gpus", "resourceClaimTemplateName": "pair"}]
    return {
        "apiVersion": "scheduling.k8s.io/v1beta1",
        "kind": "PodGroup",
        "metadata": {"name": "team", "namespace": world.namespace},
        "spec": {"schedulingPolicy": policy, "resourceClaims": claims},
    }


def member(world: World, name: str) -> Raw:
    made = pod(world.namespace, name, templates=["pair"])
    made["spec"]["schedulingGroup"] = {"podGroupName": "team"}
    made["spec"]["resourceClaims"][0]["name"] = "gpus"
    made["spec"]["containers"][0]["resources"]["claims"] = [{"name": "gpus"}]
    return made


def test_pods_of_a_group_share_one_claim_reserved_for_the_group(
    grouped: World, start_dovetail: Callable[..., Dovetail]
) -> None:
    # given two boxes, and a group whose claim the controller makes
    world = grouped
    start_dovetail(settings=GATES).ready()
    world.publish([*fleet.device_classes(), *fleet.fleet({"dgx1-v100": 2})])
    world.create(template(world.namespace, "pair", claim_spec([request(count=2)])))
    [team] = world.create(group(world, {"basic": {}}))
    # when three pods of it come
    world.create(*(member(world, f"p{i}") for i in range(3)))
    until(lambda: len(world.api.list("Pod", world.namespace, fieldSelector="spec.nodeName!=")) == 3, "bound", 60)
    # then one claim serves all of them, on its node
    [claim] = world.api.list("ResourceClaim", world.namespace)
    assert len(devices_of(claim)) == 2
    assert {each["spec"]["nodeName"] for each in world.api.list("Pod", world.namespace)} == {node_of(claim)}
    assert claim["status"]["reservedFor"] == [
        {
            "apiGroup": "scheduling.k8s.io",
            "resource": "podgroups",
            "name": "team",
            "uid": team["metadata"]["uid"],
        }
    ]


def test_a_gang_waits_and_is_told_why(grouped: World, start_dovetail: Callable[..., Dovetail]) -> None:
    # given
    world = grouped
    start_dovetail(settings=GATES).ready()
    world.publish([*fleet.device_classes(), *fleet.fleet({"dgx1-v100": 1})])
    world.create(
        template(world.namespace, "pair", claim_spec([request(count=2)])), group(world, {"gang": {"minCount": 1}})
    )
    # when
    world.create(member(world, "p"))
    # then
    unschedulable(world, "p", "PodGroup", "schedulingPolicy.gang")
