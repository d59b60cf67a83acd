"""Pods get the devices that they should have."""

import json
import random
import subprocess
from collections.abc import Callable

from e2e.api import History, Raw, until
from e2e.conftest import World, unschedulable
from e2e.dovetail import Dovetail, command
from e2e.judge import Figures, Placed, Verdict, claim_names, devices_of, figures, judge, node_of, reserved
from e2e.publish import clear
from e2e.workload import claim, claim_spec, pod, request, template
from scheduler.simulator import fleet

# 500 of the 800 GPUs; more than the 400 of the boxes on which every choice is equally good.
MIX = {2: 90, 4: 70, 1: 40}


def bound(world: World, count: int) -> Callable[[], bool]:
    return lambda: len(world.api.list("Pod", world.namespace, fieldSelector="spec.nodeName!=")) >= count


def pods_of(world: World, scheduler: str) -> list[Raw]:
    """The 200 pods, in an order that mixes the sizes."""
    sizes = [size for size, count in MIX.items() for _ in range(count)]
    random.Random(7).shuffle(sizes)
    return [
        pod(world.namespace, f"p{number:03d}-of-{size}", templates=[f"gpus-{size}"], scheduler=scheduler)
        for number, size in enumerate(sizes)
    ]


def templates_of(world: World) -> list[Raw]:
    return [template(world.namespace, f"gpus-{size}", claim_spec([request(count=size)])) for size in MIX]


def run_all(world: World, scheduler: str) -> Verdict:
    """Create the pods and wait until all are bound; returns what the history tells."""
    with History(world.api.access, "Pod", "ResourceClaim", namespace=world.namespace) as history:
        world.create(*templates_of(world))
        world.api.each(world.api.create, pods_of(world, scheduler))
        until(bound(world, sum(MIX.values())), f"all pods bound by {scheduler}", 120, every=0.5)
        newest = max(int(each["metadata"]["resourceVersion"]) for each in world.api.list("Pod", world.namespace))
        history.caught_up(newest)
        return judge(history)


def simulated(world: World, boxes: list[Raw], *flags: str) -> Figures:
    """What `dovetail simulate` makes of the same input."""
    items = [*fleet.device_classes(), *boxes, *templates_of(world), *pods_of(world, "dovetail")]
    path = world.cluster.folder / "placement.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    ran = subprocess.run(
        [command(), "simulate", str(path), "-o", "json", *flags], check=True, capture_output=True, text=True
    )
    found = json.loads(ran.stdout)["items"]
    claims = {each["metadata"]["name"]: each for each in found if each["kind"] == "ResourceClaim"}
    placed = [
        Placed(
            each["metadata"]["name"],
            each["spec"]["nodeName"],
            0,
            [device for name in claim_names(each) for device in devices_of(claims[name])],
        )
        for each in found
        if each["kind"] == "Pod" and "nodeName" in each["spec"]
    ]
    return figures(placed, boxes)


def test_200_pods_on_100_boxes_get_linked_devices(
    world: World, start_dovetail: Callable[..., Dovetail], say: Callable[[str], None]
) -> None:
    # given 50 boxes whose links the catalogue knows, and 50 whose irregular bridges a node annotation tells
    boxes = fleet.fleet({"dgx-h100": 50, "a100-pcie-bridged": 50}, seed=3)
    world.publish([*fleet.device_classes(), *boxes])
    # and what first fit makes of the same input
    world.cluster.start_kube_scheduler()
    first_fit = figures(run_all(world, "default-scheduler").placed.values(), boxes)
    clear(world.api, world.namespace)
    world.cluster.stop_kube_scheduler()
    # when
    start_dovetail().ready()
    verdict = run_all(world, "dovetail")
    # then
    ours = figures(verdict.placed.values(), boxes)
    say(f"kube-scheduler, first fit:  {first_fit}")
    say(f"simulated with first fit:   {simulated(world, boxes, '--first-fit')}")
    say(f"dovetail:                   {ours}")
    assert verdict.faults == []
    assert ours.pods == 200
    assert ours.bridged_pairs > 0
    assert ours.on_a_bridge == ours.bridged_pairs
    assert (ours.fours, ours.fours_in_one_numa) == (70, 70)
    # and the simulator does as well on the same input
    alone = simulated(world, boxes)
    assert (alone.pods, alone.on_a_bridge, alone.fours_in_one_numa) == (200, alone.bridged_pairs, 70)


def test_shared_claim_brings_its_three_pods_to_one_node(world: World, dovetail: Dovetail) -> None:
    # given three nodes and one claim
    world.publish([*fleet.device_classes(), *fleet.fleet({"dgx-h100": 3})])
    world.create(claim(world.namespace, "shared", claim_spec([request(count=2)])))
    # when three pods use it
    with History(world.api.access, "Pod", "ResourceClaim", namespace=world.namespace) as history:
        world.create(*(pod(world.namespace, f"p{i}", claims=["shared"]) for i in range(3)))
        until(bound(world, 3), "three pods bound")
        pods = world.api.list("Pod", world.namespace)
        history.caught_up(max(int(each["metadata"]["resourceVersion"]) for each in pods))
    # then
    shared = world.api.get("ResourceClaim", "shared", world.namespace)
    assert judge(history).faults == []
    assert {each["spec"]["nodeName"] for each in pods} == {node_of(shared)}
    assert sorted(reserved(shared)) == sorted(each["metadata"]["uid"] for each in pods)
    assert len(devices_of(shared)) == 2
    assert len({str(each["status"]["allocation"]) for each in history.of("ResourceClaim") if devices_of(each)}) == 1


def test_pod_that_asks_for_more_than_16gi_gets_it(world: World, dovetail: Dovetail) -> None:
    # given boxes with GPUs of exactly 16Gi, and one box with larger ones
    world.publish([*fleet.device_classes(), *fleet.fleet({"dgx1-v100": 3, "dgx-a100": 1})])
    large = 'device.capacity["gpu.nvidia.com"].memory.compareTo(quantity("16Gi")) > 0'
    world.create(template(world.namespace, "large", claim_spec([request(cel=large)])))
    # when as many ask for them as there are
    world.create(*(pod(world.namespace, f"p{i}", templates=["large"]) for i in range(8)))
    until(bound(world, 8), "eight pods bound")
    # then
    assert {each["spec"]["nodeName"] for each in world.api.list("Pod", world.namespace)} == {"dgx-a100-0"}
    taken = [device for each in world.api.list("ResourceClaim", world.namespace) for device in devices_of(each)]
    assert sorted(taken) == [("gpu.nvidia.com", "dgx-a100-0", f"gpu-{i}") for i in range(8)]
    # and one more waits, though 24 small ones are free
    world.create(pod(world.namespace, "one-more", templates=["large"]))
    message = unschedulable(world, "one-more")
    assert "0 of 4 nodes fit" in message
    assert "request gpu of claim one-more-t0-" in message
