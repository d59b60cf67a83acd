"""Pods that request nvidia.com/gpu get devices where no device plugin offers it, with a claim that Dovetail makes."""

from collections.abc import Callable

from e2e.api import History, Raw, until
from e2e.conftest import World, unschedulable
from e2e.dovetail import Dovetail
from e2e.judge import devices_of, judge, reserved
from e2e.proxy import Proxy
from e2e.workload import pod
from scheduler.simulator import fleet

GPU = "nvidia.com/gpu"
MARK = "resource.kubernetes.io/extended-resource-claim"
_LEASE_S = 15


def wants(world: World, name: str, count: int, resource: str = GPU) -> Raw:
    """A pod whose only container requests so many of an extended resource."""
    made = pod(world.namespace, name)
    resources = made["spec"]["containers"][0]["resources"]
    resources["requests"][resource] = str(count)
    resources["limits"] = {resource: str(count)}
    return made


def get(world: World, name: str) -> Raw:
    return world.api.get("Pod", name, world.namespace)


def runs(world: World, name: str, seconds: float = 30.0) -> str:
    """Wait until the pod is on a node; returns its name."""
    return str(until(lambda: get(world, name)["spec"].get("nodeName"), f"pod {name} on a node", seconds))


def claims(world: World) -> list[Raw]:
    return world.api.list("ResourceClaim", world.namespace)


def test_pod_is_bound_with_a_claim_of_its_own_that_its_status_names_before(world: World, dovetail: Dovetail) -> None:
    # given a box whose GPUs no device plugin offers, and a pod with an init container and a main one
    world.publish([*fleet.device_classes(), fleet.node("dgx-h100", "box"), *fleet.slices("dgx-h100", "box")])
    both = wants(world, "p", 4)
    [main] = both["spec"]["containers"]
    warm = {**main, "name": "warm", "resources": {"limits": {GPU: "1"}}}
    both["spec"]["initContainers"] = [warm]
    with History(world.api.access, "Pod", "ResourceClaim", namespace=world.namespace) as history:
        world.create(both)
        assert runs(world, "p") == "box"
        bound = get(world, "p")
        history.caught_up(int(bound["metadata"]["resourceVersion"]))
    # then there is one claim: the pod's own, marked, allocated to it, for the class that names the resource
    [claim] = claims(world)
    [owner] = claim["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Pod", "p", True)
    assert owner["uid"] == bound["metadata"]["uid"]
    assert claim["metadata"]["annotations"] == {MARK: "true"}
    assert claim["metadata"]["generateName"] == "p-extended-resources-"
    assert claim["metadata"]["name"].startswith("p-extended-resources-")
    assert reserved(claim) == [bound["metadata"]["uid"]]
    assert len(devices_of(claim)) == 4
    [request] = claim["spec"]["devices"]["requests"]
    assert request["exactly"]["deviceClassName"] == "gpu.nvidia.com"
    # and the pod says so, and said so before it was bound
    assert bound["status"]["extendedResourceClaimStatus"] == {
        "resourceClaimName": claim["metadata"]["name"],
        "requestMappings": [
            {"containerName": "main", "resourceName": GPU, "requestName": request["name"]},
            {"containerName": "warm", "resourceName": GPU, "requestName": request["name"]},
        ],
    }
    unbound = [each for each in history.of("Pod") if "nodeName" not in each["spec"]]
    assert "extendedResourceClaimStatus" in unbound[-1]["status"]
    assert judge(history).faults == []


def test_node_whose_plugin_offers_the_resource_uses_no_claim_and_both_kinds_are_filled(
    world: World, dovetail: Dovetail
) -> None:
    # given a tray of four GPUs, and a node whose device plugin offers two
    plugin = fleet.node("nvl72", "plugin")
    plugin["status"]["allocatable"][GPU] = plugin["status"]["capacity"][GPU] = "2"
    world.publish([*fleet.device_classes(), plugin, fleet.node("nvl72", "tray"), *fleet.slices("nvl72", "tray")])
    # when seven pods come
    world.create(*(wants(world, f"p{number}", 1) for number in range(7)))

    def nodes() -> list[str]:
        return sorted(each["spec"].get("nodeName", "") for each in world.api.list("Pod", world.namespace))

    until(lambda: nodes() == ["", "plugin", "plugin", "tray", "tray", "tray", "tray"], "six pods placed", 30)
    # then there are claims for those on the tray alone, and the last is told about both nodes
    placed = {each["metadata"]["name"]: each["spec"].get("nodeName") for each in world.api.list("Pod", world.namespace)}
    users = {claim["metadata"]["ownerReferences"][0]["name"] for claim in claims(world)}
    assert users == {name for name, node in placed.items() if node == "tray"}
    [waiting] = [name for name, node in placed.items() if node is None]
    unschedulable(world, waiting, f"1 lack {GPU} (asks 1, at most 0 left)", f"1 lack 1 free devices for request {GPU}")


def test_second_pod_waits_until_the_devices_of_the_first_are_given_back(world: World, dovetail: Dovetail) -> None:
    world.publish([*fleet.device_classes(), fleet.node("nvl72", "tray"), *fleet.slices("nvl72", "tray")])
    world.create(wants(world, "first", 4))
    assert runs(world, "first") == "tray"
    world.create(wants(world, "second", 2))
    unschedulable(world, "second", f"lack 2 free devices for request {GPU} of container main")
    # when the first is deleted, its claim goes with it
    world.api.delete("Pod", "first", world.namespace)
    assert runs(world, "second") == "tray"
    until(lambda: len(claims(world)) == 1, "the first claim gone")


def test_the_name_of_a_class_is_a_resource_too(world: World, dovetail: Dovetail) -> None:
    world.publish([*fleet.device_classes(), fleet.node("nvl72", "tray"), *fleet.slices("nvl72", "tray")])
    world.create(wants(world, "p", 1, "deviceclass.resource.kubernetes.io/gpu.nvidia.com"))
    assert runs(world, "p") == "tray"
    [claim] = claims(world)
    assert len(devices_of(claim)) == 1


def test_quota_that_is_used_up_is_told_and_the_pod_runs_once_there_is_more(world: World, dovetail: Dovetail) -> None:
    world.publish([*fleet.device_classes(), fleet.node("nvl72", "tray"), *fleet.slices("nvl72", "tray")])
    path = f"/api/v1/namespaces/{world.namespace}/resourcequotas"
    hard = {"count/resourceclaims.resource.k8s.io": "0"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": hard}}
    world.api.call("POST", path, quota)
    until(lambda: world.api.call("GET", f"{path}/none")["status"].get("hard") == hard, "quota in force")
    world.create(wants(world, "p", 1))
    unschedulable(world, "p", "the claim for its extended resources could not be made (forbidden)", "exceeded quota")
    world.api.call("DELETE", f"{path}/none")
    assert runs(world, "p", 60.0) == "tray"


def test_crash_before_the_binding_leaves_a_claim_that_is_replaced(
    world: World, start_dovetail: Callable[..., Dovetail]
) -> None:
    # given just as many devices as the pod wants, so that a claim left over would be in its way
    world.publish([*fleet.device_classes(), fleet.node("nvl72", "tray"), *fleet.slices("nvl72", "tray")])

    def is_binding(method: str, path: str) -> bool:
        return method == "POST" and path.partition("?")[0].endswith("/binding")

    with Proxy(world.api.access, is_binding) as proxy:
        first = start_dovetail(proxy.server).ready()
        world.create(wants(world, "p", 4))
        until(lambda: proxy.held, "the binding held", 30)
        first.kill()
    [left] = claims(world)
    assert len(devices_of(left)) == 4
    # when the next process starts
    start_dovetail().ready(_LEASE_S + 30)
    # then the pod runs with a new claim, which its status names
    assert runs(world, "p") == "tray"
    [claim] = until(lambda: (found := claims(world)) and len(found) == 1 and found, "one claim")
    assert claim["metadata"]["uid"] != left["metadata"]["uid"]
    named = get(world, "p")["status"]["extendedResourceClaimStatus"]["resourceClaimName"]
    assert named == claim["metadata"]["name"]
