"""Pods that cannot run are told why, in true words, and run once the cause is gone. Others go on meanwhile."""

import copy

import pytest

from e2e.api import ApiRefusalError, Raw, until
from e2e.conftest import World, runs, unschedulable
from e2e.dovetail import Dovetail
from e2e.judge import devices_of
from e2e.workload import DRA, claim, claim_spec, pod, request, template
from scheduler.simulator import fleet


def one_box(world: World, box: str = "dgx-h100", name: str = "box") -> None:
    """A box that is owned, and the classes."""
    world.publish([*fleet.device_classes(), fleet.node(box, name), *fleet.slices(box, name)])


def others_go_on(world: World) -> None:
    """A healthy pod created now is placed."""
    world.create(
        template(world.namespace, "healthy", claim_spec([request()])),
        pod(world.namespace, "healthy", templates=["healthy"]),
    )
    runs(world, "healthy")


def events_of(world: World, name: str, reason: str) -> list[str]:
    selector = f"involvedObject.name={name},reason={reason}"
    return [each["message"] for each in world.api.list("Event", world.namespace, fieldSelector=selector)]


def test_impossible_pod_gets_a_true_reason_and_runs_once_a_node_is_added(world: World, dovetail: Dovetail) -> None:
    # given a rack tray with four GPUs, and a pod that wants eight
    one_box(world, "nvl72", "tray")
    world.create(template(world.namespace, "eight", claim_spec([request(count=8)])))
    world.create(pod(world.namespace, "big", templates=["eight"]))
    # then its condition and its event count nodes and name the nearest miss
    message = unschedulable(world, "big")
    assert "0 of 1 nodes fit" in message
    assert "lack 8 free devices for request gpu" in message
    assert "tray has 4" in message
    assert until(lambda: events_of(world, "big", "FailedScheduling"), "event FailedScheduling") == [message]
    # and when a large box is added, it runs there
    world.publish([fleet.node("dgx-h100", "large"), *fleet.slices("dgx-h100", "large")])
    assert runs(world, "big") == "large"
    [scheduled] = until(lambda: events_of(world, "big", "Scheduled"), "event Scheduled")
    assert "to large" in scheduled


def test_unknown_class_is_named_and_the_pod_runs_once_it_exists(world: World, dovetail: Dovetail) -> None:
    one_box(world)
    world.create(template(world.namespace, "odd", claim_spec([request(device_class="gpu.typo.com")])))
    world.create(pod(world.namespace, "p", templates=["odd"]))
    unschedulable(world, "p", "DeviceClass 'gpu.typo.com' does not exist", "p-t0-", "request gpu")
    others_go_on(world)
    made = copy.deepcopy(fleet.device_classes()[0])
    made["metadata"]["name"] = "gpu.typo.com"
    del made["spec"]["extendedResourceName"]
    world.publish([made])
    assert runs(world, "p") == "box"


def test_missing_claim_is_named_and_the_pod_runs_once_it_exists(world: World, dovetail: Dovetail) -> None:
    one_box(world)
    world.create(pod(world.namespace, "p", claims=["nowhere"]))
    unschedulable(world, "p", "ResourceClaim", f"{world.namespace}/nowhere")
    others_go_on(world)
    world.create(claim(world.namespace, "nowhere", claim_spec([request()])))
    assert runs(world, "p") == "box"


def test_cel_that_fails_on_devices_is_named_and_the_pod_runs_once_it_is_mended(
    world: World, dovetail: Dovetail
) -> None:
    # given a class whose selector reads an attribute that no device has
    one_box(world)
    fails = 'device.attributes["gpu.nvidia.com"].shoeSize > 42'
    broken: Raw = {
        "apiVersion": DRA,
        "kind": "DeviceClass",
        "metadata": {"name": "broken"},
        "spec": {"selectors": [{"cel": {"expression": fails}}]},
    }
    world.publish([broken])
    world.create(template(world.namespace, "broken", claim_spec([request(device_class="broken")])))
    world.create(pod(world.namespace, "p", templates=["broken"]))
    # then the request, a device and the field are named
    unschedulable(world, "p", "request gpu of claim p-t0-", "gpu.nvidia.com/box/gpu-", "shoeSize")
    others_go_on(world)
    # and when the class is mended it runs
    mended = 'device.driver == "gpu.nvidia.com"'
    world.api.patch("DeviceClass", "broken", {"spec": {"selectors": [{"cel": {"expression": mended}}]}})
    assert runs(world, "p") == "box"


def test_torn_pool_gives_nothing_until_it_is_whole(world: World, dovetail: Dovetail) -> None:
    # given one of two slices of a pool
    [whole] = fleet.slices("dgx-h100", "box")
    halves = [copy.deepcopy(whole) for _ in range(2)]
    for number, part in enumerate(halves):
        part["metadata"]["name"] += f"-{number}"
        part["spec"]["pool"]["resourceSliceCount"] = 2
        part["spec"]["devices"] = whole["spec"]["devices"][4 * number : 4 * number + 4]
    world.publish([*fleet.device_classes(), fleet.node("dgx-h100", "box"), halves[0]])
    world.create(
        template(world.namespace, "one", claim_spec([request()])), pod(world.namespace, "p", templates=["one"])
    )
    unschedulable(world, "p", "pool box of driver gpu.nvidia.com is incomplete", "1 of 2 slices")
    # and the other one
    world.publish([halves[1]])
    assert runs(world, "p") == "box"


def test_device_name_twice_in_a_pool_gives_nothing_until_it_is_unique(world: World, dovetail: Dovetail) -> None:
    [whole] = fleet.slices("dgx-h100", "box")
    twins = [copy.deepcopy(whole) for _ in range(2)]
    for number, part in enumerate(twins):
        part["metadata"]["name"] += f"-{number}"
        part["spec"]["pool"]["resourceSliceCount"] = 2
    world.publish([*fleet.device_classes(), fleet.node("dgx-h100", "box"), *twins])
    world.create(
        template(world.namespace, "one", claim_spec([request()])), pod(world.namespace, "p", templates=["one"])
    )
    unschedulable(world, "p", "pool box of driver gpu.nvidia.com is invalid", "device gpu-0 is listed twice")
    world.withdraw(twins)
    world.publish([whole])
    assert runs(world, "p") == "box"


def test_claim_for_a_million_devices_is_refused_by_name_and_others_go_on(world: World, dovetail: Dovetail) -> None:
    one_box(world)
    world.create(claim(world.namespace, "greedy", claim_spec([request(count=1_000_000)])))
    world.create(pod(world.namespace, "p", claims=["greedy"]))
    unschedulable(world, "p", "greedy", "1000000")
    others_go_on(world)
    assert devices_of(world.api.get("ResourceClaim", "greedy", world.namespace)) == []


def test_cel_that_does_not_compile_never_reaches_a_scheduler(world: World) -> None:
    with pytest.raises(ApiRefusalError) as refusal:
        world.create(claim(world.namespace, "c", claim_spec([request(cel="device.attributes[")])))
    assert refusal.value.status == 422


def test_memory_asked_for_as_an_attribute_never_reaches_a_scheduler(world: World) -> None:
    old = claim(
        world.namespace, "c", claim_spec([request(cel='device.attributes["memory"].isGreaterThan(quantity("16Gi"))')])
    )
    with pytest.raises(ApiRefusalError, match="isGreaterThan"):
        world.create(old)
