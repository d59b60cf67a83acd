"""DeviceTaintRules on a real API server: what waits for them, what runs on regardless, and who is kept from joining."""

from e2e.api import Raw, until
from e2e.conftest import World, unschedulable
from e2e.dovetail import Dovetail
from e2e.judge import devices_of
from e2e.workload import DRA, claim, claim_spec, pod, request
from scheduler.simulator import fleet

DRIVER = "gpu.nvidia.com"


def rule(name: str, effect: str, **selector: str) -> Raw:
    taint = {"key": "example.com/broken", "effect": effect}
    spec = {"deviceSelector": {"driver": DRIVER, **selector}, "taint": taint}
    return {"apiVersion": DRA, "kind": "DeviceTaintRule", "metadata": {"name": name}, "spec": spec}


def bound(world: World, name: str) -> str:
    node: str = world.api.get("Pod", name, world.namespace)["spec"].get("nodeName", "")
    return node


def held(world: World, name: str) -> list[str]:
    return [device for _, _, device in devices_of(world.api.get("ResourceClaim", name, world.namespace))]


def ask(count: int = 1, tolerations: list[Raw] | None = None) -> Raw:
    asked = request(count=count)
    if tolerations:
        asked["exactly"]["tolerations"] = tolerations
    return claim_spec([asked])


def test_rule_keeps_new_pods_off_and_running_pods_keep_their_devices(world: World, dovetail: Dovetail) -> None:
    # given a pod that runs with two of eight devices
    world.publish([*fleet.device_classes(), *fleet.fleet({"dgx1-v100": 1})])
    world.create(claim(world.namespace, "first", ask(2)), pod(world.namespace, "p1", claims=["first"]))
    until(lambda: bound(world, "p1"), "the first pod bound", 20)
    kept = held(world, "first")
    # when all devices are tainted
    everything = rule("everything", "NoSchedule")
    world.publish([everything])
    world.create(claim(world.namespace, "second", ask()), pod(world.namespace, "p2", claims=["second"]))
    # then who comes now waits, unless it tolerates the taint, and its toleration is in the result
    unschedulable(world, "p2", "taint", "example.com/broken:NoSchedule")
    brave = [{"key": "example.com/broken", "operator": "Exists", "effect": "NoSchedule"}]
    world.create(claim(world.namespace, "third", ask(1, brave)), pod(world.namespace, "p3", claims=["third"]))
    until(lambda: bound(world, "p3"), "the pod that tolerates the taint bound", 20)
    third = world.api.get("ResourceClaim", "third", world.namespace)
    assert third["status"]["allocation"]["devices"]["results"][0]["tolerations"] == brave
    # and the first keeps what it has
    assert held(world, "first") == kept
    # and when the rule is narrowed, the second goes on with another device
    spec = rule("everything", "NoSchedule", device="gpu-7")["spec"]
    world.api.patch("DeviceTaintRule", "everything", {"spec": spec})
    until(lambda: bound(world, "p2"), "the second pod bound", 20)
    assert held(world, "second") != ["gpu-7"]


def test_nobody_joins_a_claim_whose_device_is_to_be_emptied(world: World, dovetail: Dovetail) -> None:
    # given a claim that a pod uses
    world.publish([*fleet.device_classes(), *fleet.fleet({"dgx1-v100": 1})])
    world.create(claim(world.namespace, "shared", ask()), pod(world.namespace, "p1", claims=["shared"]))
    until(lambda: bound(world, "p1"), "the first pod bound", 20)
    [device] = held(world, "shared")
    # when its device is to be emptied
    world.publish([rule("empty", "NoExecute", device=device)])
    until(lambda: world.api.find("Pod", "p1", world.namespace) is None, "the first pod evicted by the controller", 30)
    # then another pod that comes gets a device that is not tainted, as nobody holds the claim any more
    world.create(pod(world.namespace, "p2", claims=["shared"]))
    until(lambda: bound(world, "p2"), "the second pod bound", 60)
    assert held(world, "shared") != [device]
