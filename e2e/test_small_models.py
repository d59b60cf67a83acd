"""What the READMEs of examples for small models say beside placements: monitors, configuration, limits of a claim."""

from copy import deepcopy

import pytest

from e2e.api import ApiRefusalError, Raw, until
from e2e.conftest import World, runs, unschedulable
from e2e.dovetail import Dovetail
from e2e.examples import FOLDER, Example
from e2e.judge import devices_of, reserved
from e2e.kustomize import built
from e2e.workload import claim, claim_spec, pod, request, template
from scheduler.simulator import fleet

MONITORS = "gpu-monitoring"
CONSUMERS = 256


def test_monitor_sees_all_gpus_and_takes_none(world: World, dovetail: Dovetail) -> None:
    # given a box of eight GPUs, half of them in use
    world.publish([*fleet.device_classes(), fleet.node("dgx-h100", "box"), *fleet.slices("dgx-h100", "box")])
    world.create(template(world.namespace, "one", claim_spec([request()])))

    def use(*numbers: int) -> None:
        world.create(*(pod(world.namespace, f"p{number}", templates=["one"]) for number in numbers))
        for number in numbers:
            assert runs(world, f"p{number}") == "box"

    use(0, 1, 2, 3)
    # when the monitors come
    world.apply(built(FOLDER / "admin-monitoring"))

    def watching() -> list[Raw]:
        return [each for each in world.api.list("ResourceClaim", MONITORS) if devices_of(each)]

    [monitor] = until(watching, "the monitor's claim allocated")
    results = monitor["status"]["allocation"]["devices"]["results"]
    assert {each["device"] for each in results} == {f"gpu-{number}" for number in range(8)}
    assert all(each["adminAccess"] for each in results)
    [watcher] = until(lambda: world.api.list("Pod", MONITORS), "the monitor's pod")
    until(lambda: world.api.get("Pod", watcher["metadata"]["name"], MONITORS)["spec"].get("nodeName"), "placed")
    # then the other half is still there, and no more than that
    use(4, 5, 6, 7)
    held = [device for each in world.api.list("ResourceClaim", world.namespace) for device in devices_of(each)]
    assert len(set(held)) == len(held) == 8
    world.create(pod(world.namespace, "p8", templates=["one"]))
    unschedulable(world, "p8", "lack 1 free devices for request gpu")
    # and it is the label of the namespace that allows it
    sought = claim(world.namespace, "spy", claim_spec([request(count=0, adminAccess=True)]))
    with pytest.raises(ApiRefusalError, match=r"resource\.kubernetes\.io/admin-access") as refusal:
        world.create(sought)
    assert refusal.value.status in {403, 422}


@pytest.mark.parametrize(("folder", "strategy"), [("time-slicing", "TimeSlicing"), ("mps", "MPS")])
def test_configuration_reaches_the_driver_as_it_was_written(
    world: World, dovetail: Dovetail, folder: str, strategy: str
) -> None:
    example = Example(folder, "1 dgx-h100", "", 0)
    world.publish(example.fleet())
    items = example.items(world.namespace)
    world.apply(items)

    def shared() -> Raw | None:
        found = world.api.get("ResourceClaim", "small-models", world.namespace)
        return found if len(reserved(found)) == 3 else None

    stored = until(shared, "the claim reserved for all three pods")
    [[written]] = [each["spec"]["devices"]["config"] for each in items if each["kind"] == "ResourceClaim"]
    # It is for all requests of the claim, which says the same without their names, and is written so by upstream too.
    expected = {"source": "FromClaim", "opaque": written["opaque"]}
    assert stored["status"]["allocation"]["devices"]["config"] == [expected]
    assert written["opaque"]["parameters"]["sharing"]["strategy"] == strategy


def test_one_claim_serves_256_pods_and_the_next_is_told(world: World, dovetail: Dovetail) -> None:
    # given a node that takes more pods than usual
    node = deepcopy(fleet.node("dgx-h100", "box"))
    node["status"]["capacity"]["pods"] = node["status"]["allocatable"]["pods"] = str(2 * CONSUMERS)
    world.publish([*fleet.device_classes(), node, *fleet.slices("dgx-h100", "box")])
    [shared] = [each for each in built(FOLDER / "shared-claim") if each["kind"] == "ResourceClaim"]
    shared["metadata"]["namespace"] = world.namespace
    world.create(shared)
    made = [pod(world.namespace, f"p{number}", claims=["small-models"], cpu="10m") for number in range(CONSUMERS)]
    world.api.each(world.api.create, made)

    def users() -> int:
        return len(reserved(world.api.get("ResourceClaim", "small-models", world.namespace)))

    until(lambda: users() == CONSUMERS, f"the claim reserved for {CONSUMERS} pods", 120.0)
    # when one more comes
    world.create(pod(world.namespace, "late", claims=["small-models"], cpu="10m"))
    # then it waits, is told why, and comes in once another leaves
    unschedulable(world, "late", str(CONSUMERS), "small-models")
    world.api.delete("Pod", "p7", world.namespace)
    assert runs(world, "late", 60.0) == "box"
