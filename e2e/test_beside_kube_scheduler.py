"""Two schedulers in one cluster: each keeps to its own nodes and devices."""

from e2e.api import Raw, until
from e2e.conftest import World
from e2e.dovetail import Dovetail
from e2e.judge import devices_of
from e2e.workload import DRA, claim_spec, pod, request, template
from scheduler.simulator import fleet

OWNED = "dovetail.scheduler/owned"


def boxes(prefix: str, count: int, *, owned: bool) -> list[Raw]:
    items: list[Raw] = []
    for i in range(count):
        node = fleet.node("dgx-h100", f"{prefix}-{i}")
        if not owned:
            del node["metadata"]["labels"][OWNED]
        items += [node, *fleet.slices("dgx-h100", f"{prefix}-{i}")]
    return items


def taint_rule(pool: str) -> Raw:
    """As manifests/components/taint-rule has it, for one pool."""
    return {
        "apiVersion": DRA,
        "kind": "DeviceTaintRule",
        "metadata": {"name": f"owned-{pool}"},
        "spec": {"deviceSelector": {"pool": pool}, "taint": {"key": OWNED, "value": "true", "effect": "NoSchedule"}},
    }


def census(world: World, scheduler: str) -> tuple[int, int]:
    """How many pods of this scheduler are placed, and how many were told that they cannot be."""
    pods = [
        each for each in world.api.list("Pod", world.namespace) if each["spec"]["schedulerName"] == scheduler
    ]  # fmt: skip
    refused = sum(
        condition["type"] == "PodScheduled" and condition["status"] == "False"
        for each in pods
        for condition in each["status"].get("conditions", [])
    )
    return sum("nodeName" in each["spec"] for each in pods), refused


def test_each_scheduler_keeps_to_its_own_devices(world: World, dovetail: Dovetail) -> None:
    # given boxes of one driver: two of ours, with label and taint, and one of kube-scheduler's
    ours, theirs = boxes("ours", 2, owned=True), boxes("theirs", 1, owned=False)
    world.publish([*fleet.device_classes(), *ours, *theirs, *(taint_rule(f"ours-{i}") for i in range(2))])
    world.cluster.start_kube_scheduler()
    world.create(template(world.namespace, "two", claim_spec([request(count=2)])))

    def two(scheduler: str, number: int) -> Raw:
        return pod(world.namespace, f"{scheduler}-{number}", templates=["two"], scheduler=scheduler)

    # when both get six pods at once, for which kube-scheduler's box is too small and ours have room to spare
    world.create(*(two(who, number) for number in range(6) for who in ("dovetail", "default-scheduler")))
    # then kube-scheduler leaves two waiting rather than take ours
    until(lambda: census(world, "default-scheduler") == (4, 2), "four of kube-scheduler's pods placed, two refused")
    until(lambda: census(world, "dovetail") == (6, 0), "all of ours placed")
    # and when its box has room to spare and ours are too small, Dovetail leaves two waiting rather than take that one
    for number in range(6):
        world.api.delete("Pod", f"default-scheduler-{number}", world.namespace)
    world.create(*(two("dovetail", number) for number in range(6, 10)))
    until(lambda: census(world, "dovetail") == (8, 2), "eight of ours placed, two refused")
    # and kube-scheduler's box is as good as before
    world.create(two("default-scheduler", 7))
    until(lambda: census(world, "default-scheduler") == (1, 0), "kube-scheduler's pod placed")
    for each in world.api.list("Pod", world.namespace, fieldSelector="spec.nodeName!="):
        mine = each["spec"]["schedulerName"] == "dovetail"
        assert each["spec"]["nodeName"].startswith("ours-" if mine else "theirs-")
    until(lambda: len(world.api.list("ResourceClaim", world.namespace)) == 11, "claims of deleted pods gone")
    taken = [device for each in world.api.list("ResourceClaim", world.namespace) for device in devices_of(each)]
    assert len(set(taken)) == len(taken) == 2 * 9
    world.cluster.stop_kube_scheduler()
