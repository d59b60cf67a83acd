"""Devices that their driver must attach first: the test is the driver, and the API server keeps what it says."""

from collections.abc import Callable

from e2e.api import Raw, until, version
from e2e.conftest import World, unschedulable
from e2e.dovetail import Dovetail
from e2e.judge import devices_of
from e2e.workload import claim_spec, pod, request, template
from scheduler.simulator import fleet

Start = Callable[..., Dovetail]


def attachable(boxes: int = 1, devices: int = 2) -> list[Raw]:
    """Boxes whose GPUs have to be attached to their node."""
    found = fleet.fleet({"dgx1-v100": boxes})
    for item in found:
        if item["kind"] == "ResourceSlice":
            item["spec"]["devices"] = item["spec"]["devices"][:devices]
            for device in item["spec"]["devices"]:
                device["bindsToNode"] = True
                device["bindingConditions"] = ["example.com/attached"]
                device["bindingFailureConditions"] = ["example.com/failed"]
    return found


def one_pod(world: World, boxes: list[Raw]) -> None:
    world.publish([*fleet.device_classes(), *boxes])
    world.create(
        template(world.namespace, "one", claim_spec([request()])), pod(world.namespace, "p", templates=["one"])
    )


def allocated(world: World, but: str = "") -> Raw:
    """The pod's claim, once it holds a device, and another one than `but`."""

    def holds() -> Raw | None:
        claims = [each for each in world.api.list("ResourceClaim", world.namespace) if devices_of(each)]
        return next((each for each in claims if devices_of(each)[0][2] != but), None)

    found: Raw = until(holds, "a claim with a device", 40)
    return found


def report(world: World, claim: Raw, condition: str) -> None:
    """What the driver of its device says."""
    [(driver, pool, device)] = devices_of(claim)
    said = {"type": condition, "status": "True", "reason": "Test", "message": ""}
    said["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    status = {"devices": [{"driver": driver, "pool": pool, "device": device, "conditions": [said]}]}
    world.api.patch("ResourceClaim", claim["metadata"]["name"], {"status": status}, world.namespace, "status")


def bound(world: World) -> str:
    name: str = world.api.get("Pod", "p", world.namespace)["spec"].get("nodeName", "")
    return name


def test_pod_is_bound_once_its_device_is_attached(world: World, start_dovetail: Start) -> None:
    # given a pod whose device was allocated, with what has to come true
    first = start_dovetail().ready()
    one_pod(world, attachable())
    claim = allocated(world)
    [result] = claim["status"]["allocation"]["devices"]["results"]
    assert result["bindingConditions"] == ["example.com/attached"]
    assert result["bindingFailureConditions"] == ["example.com/failed"]
    # when the driver is slow, and the scheduler is even restarted
    assert first.stop() == 0
    start_dovetail().ready()
    assert bound(world) == ""
    # then it is bound only after the driver has spoken
    report(world, claim, "example.com/attached")
    until(lambda: bound(world), "the pod bound", 20)
    after = world.api.get("ResourceClaim", claim["metadata"]["name"], world.namespace)
    assert after["status"]["allocation"] == claim["status"]["allocation"]
    assert [each["type"] for each in after["status"]["devices"][0]["conditions"]] == ["example.com/attached"]


def test_pod_gets_another_device_when_its_first_fails(world: World, start_dovetail: Start) -> None:
    # given
    start_dovetail().ready()
    one_pod(world, attachable())
    claim = allocated(world)
    [(_, pool, broken)] = devices_of(claim)
    # when
    report(world, claim, "example.com/failed")
    # then the pod is told, and the same claim holds the other device, without a word of the first
    unschedulable(world, "p", f"{pool}/{broken}", "binding failure condition example.com/failed")
    second = allocated(world, but=broken)
    assert version(second) > version(claim)
    assert "devices" not in second["status"]
    assert bound(world) == ""
    report(world, second, "example.com/attached")
    until(lambda: bound(world), "the pod bound", 20)


def test_pod_gets_another_device_when_its_driver_says_nothing(world: World, start_dovetail: Start) -> None:
    # given a short patience
    start_dovetail(settings={"DOVETAIL_BINDING_TIMEOUT_SECONDS": "3"}).ready()
    one_pod(world, attachable())
    claim = allocated(world)
    [(_, pool, silent)] = devices_of(claim)
    # then
    unschedulable(world, "p", f"{pool}/{silent}", "lacks the binding condition example.com/attached after 3 seconds")
    second = allocated(world, but=silent)
    report(world, second, "example.com/attached")
    until(lambda: bound(world), "the pod bound", 20)
