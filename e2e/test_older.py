"""The oldest supported Kubernetes, with the gates of a fresh cluster: what it has works, and what it lacks is said.

Its API server takes no `resourceclaims/binding`, serves no DeviceTaintRule, and drops the fields of features that are
off there.
"""

import json
from collections.abc import Callable

import pytest

from e2e.api import ApiRefusalError, Raw, until
from e2e.cluster import Cluster
from e2e.conftest import World, end, runs, serve, unschedulable
from e2e.controlplane import OLDER, kubernetes_version
from e2e.dovetail import Dovetail
from e2e.inventory import CLASS, DRIVER, device, device_class, devices, node, slice_on
from e2e.judge import reserved, taken
from e2e.workload import claim, claim_spec, first_available, pod, request, template

ADMIN = "resource.kubernetes.io/admin-access"
ONE = claim_spec([request(device_class=CLASS)])


@pytest.fixture(scope="session")
def cluster(older_cluster: Cluster) -> Cluster:
    wanted = kubernetes_version(OLDER)
    found = older_cluster.api.call("GET", "/version")["gitVersion"]
    if found.split(".")[:2] != wanted.split(".")[:2]:
        pytest.skip(f"{older_cluster.describe()} is Kubernetes {found}; these tests are for {wanted}")
    return older_cluster


def one_box(world: World, *listed: Raw) -> None:
    world.publish([device_class(), node("n1"), slice_on("n1", listed or devices(2))])


def test_it_is_what_it_claims_to_be(world: World) -> None:
    served = {each["kind"] for each in world.api.call("GET", "/apis/resource.k8s.io/v1")["resources"]}
    assert {"DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"} <= served
    assert "DeviceTaintRule" not in served


def test_version_and_gates_are_told_and_nothing_is_missed(world: World, dovetail: Dovetail) -> None:
    log = dovetail.child.tail(500)
    assert log.count('Kubernetes 1.35; feature gates that are on: DRAAdminAccess, DRAPrioritizedList"') == 1
    assert '"warning"' not in log
    assert '"error"' not in log


def test_rules_that_the_cluster_does_not_serve_are_told_in_one_line(
    world: World, start_dovetail: Callable[..., Dovetail]
) -> None:
    # given an admin who believes that the cluster has them
    on = {"DRADeviceTaints": True, "DRADeviceTaintRules": True}
    dovetail = start_dovetail(settings={"DOVETAIL_FEATURE_GATES": json.dumps(on)}).ready()
    # then one line says what is missing and what follows, and work goes on
    [warning] = [line for line in dovetail.child.tail(500).splitlines() if '"warning"' in line]
    assert "the cluster serves DeviceTaintRule in none of resource.k8s.io/v1" in warning
    assert "as if there were none" in warning
    one_box(world)
    serve(world, "p", ONE)


def test_pods_get_claims_from_templates(world: World, dovetail: Dovetail) -> None:
    one_box(world)
    world.create(template(world.namespace, "one", ONE))
    world.create(*(pod(world.namespace, f"p{i}", templates=["one"]) for i in range(3)))
    # two of three pods fit
    until(lambda: len(world.api.list("Pod", world.namespace, fieldSelector="spec.nodeName!=")) == 2, "two bound")
    [left] = world.api.list("Pod", world.namespace, fieldSelector="spec.nodeName=")
    waits = left["metadata"]["name"]
    unschedulable(world, waits, "0 of 1 nodes fit", "lack 1 free devices")
    held = [device for each in world.api.list("ResourceClaim", world.namespace) for device in taken(each)]
    assert sorted(held) == [("gpu", "d0"), ("gpu", "d1")]
    # and the third does when one leaves
    world.api.delete("Pod", next(name for name in ("p0", "p1") if name != waits), world.namespace)
    runs(world, waits)


def test_first_alternative_that_fits_is_taken(world: World, dovetail: Dovetail) -> None:
    one_box(world, device("large", {"size": 2}), device("small", {"size": 1}))
    large, small = (
        request(name, CLASS, cel=f'device.attributes["{DRIVER}"].size == {size}')
        for name, size in (("large", 2), ("small", 1))
    )
    either = claim_spec([first_available(large, small)])
    assert taken(serve(world, "p", either)) == [("gpu/large", "large")]
    assert taken(serve(world, "q", either)) == [("gpu/small", "small")]


def test_admin_looks_at_devices_in_use(world: World, dovetail: Dovetail) -> None:
    one_box(world)
    serve(world, "user", ONE)
    look = claim_spec([request("look", CLASS, count=0, adminAccess=True)])
    with pytest.raises(ApiRefusalError, match=ADMIN):
        world.create(claim(world.namespace, "monitor", look))
    world.api.patch("Namespace", world.namespace, {"metadata": {"labels": {ADMIN: "true"}}})
    monitor = serve(world, "monitor", look)
    assert taken(monitor) == [("look", "d0"), ("look", "d1")]
    assert all(each["adminAccess"] for each in monitor["status"]["allocation"]["devices"]["results"])
    serve(world, "other", ONE)


def test_devices_that_match_in_an_attribute(world: World, dovetail: Dovetail) -> None:
    one_box(world, *(device(f"d{i}", {"numa": numa}) for i, numa in enumerate([0, 1, 2, 1])))
    pair = claim_spec([request(device_class=CLASS, count=2)], match=f"{DRIVER}/numa")
    assert taken(serve(world, "p", pair)) == [("gpu", "d1"), ("gpu", "d3")]


def test_pod_of_kube_scheduler_shares_a_claim_of_ours(world: World, dovetail: Dovetail) -> None:
    one_box(world)
    world.cluster.start_kube_scheduler()
    try:
        before = serve(world, "ours", ONE)
        theirs = pod(world.namespace, "theirs", claims=["ours"], scheduler="default-scheduler")
        [created] = world.create(theirs)
        runs(world, "theirs")
    finally:
        world.cluster.stop_kube_scheduler()
    after = world.api.get("ResourceClaim", "ours", world.namespace)
    assert after["status"]["allocation"] == before["status"]["allocation"]
    assert set(reserved(after)) == {*reserved(before), created["metadata"]["uid"]}


def test_shares_are_unknown_to_it_and_devices_are_whole(world: World, dovetail: Dovetail) -> None:
    # given a device that may be shared, of which the server keeps only that it is one
    shared = device("d0", allowMultipleAllocations=True, capacity={"memory": {"value": "10Gi"}})
    one_box(world, shared)
    half = claim_spec([request(device_class=CLASS, capacity={"requests": {"memory": "5Gi"}})])
    # when one pod asks for a share, then it has the device for itself
    made = serve(world, "p", half)
    assert "capacity" not in made["spec"]["devices"]["requests"][0]["exactly"]
    assert "shareID" not in made["status"]["allocation"]["devices"]["results"][0]
    world.create(claim(world.namespace, "q", half), pod(world.namespace, "q", claims=["q"]))
    unschedulable(world, "q", "0 of 1 nodes fit", "request gpu of claim q")
    end(world, "p")
    runs(world, "q")
    # and what cannot be dropped without a trace never reaches a scheduler
    with pytest.raises(ApiRefusalError, match="matchAttribute"):
        world.create(claim(world.namespace, "r", claim_spec([request(device_class=CLASS)], distinct=f"{DRIVER}/numa")))


@pytest.mark.parametrize(
    ("gate", "spec"),
    [
        ("DRAPrioritizedList", claim_spec([first_available(request("one", CLASS))])),
        ("DRAAdminAccess", claim_spec([request("look", CLASS, adminAccess=True)])),
    ],
)
def test_what_an_admin_turned_off_is_refused_by_the_name_of_its_gate(
    world: World, start_dovetail: Callable[..., Dovetail], gate: str, spec: Raw
) -> None:
    start_dovetail(settings={"DOVETAIL_FEATURE_GATES": json.dumps({gate: False})}).ready()
    one_box(world)
    world.api.patch("Namespace", world.namespace, {"metadata": {"labels": {ADMIN: "true"}}})
    world.create(claim(world.namespace, "p", spec), pod(world.namespace, "p", claims=["p"]))
    unschedulable(world, "p", f"ResourceClaim {world.namespace}/p", f"feature gate {gate}", "off")
    serve(world, "other", ONE)
