"""Whether the simulation tells true reasons from false ones, and gangs that run in part from those that do not."""

import pytest

from e2e.sim import liveness
from e2e.sim.actors.tenants import request
from e2e.sim.causes import split, untrue
from e2e.sim.plans import NAMESPACE, Fault, Scenario, Small
from e2e.sim.world import BrokenError

FOREIGN = "1 not owned by Dovetail (label dovetail.scheduler/owned)"
LACKS = "1 lack 9 free devices for request r of claim s"
TAINT = "device gpu.example.com/n0/gpu-0 has a taint that the request does not tolerate: sick:NoExecute"


@pytest.fixture
def small():
    """A pod that asks for 9 GPUs of n0, which has some, and beside it a node that is not ours."""
    made = Small(Scenario("of one node", ("whole",), lambda _: None), Fault())
    metadata = {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}}
    made.store.create({"kind": "Node", "metadata": metadata, "spec": {}, "status": {"allocatable": {}}}, "admin")
    made.claim("s", request("r", "gpu", 9))
    made.pods("a", claims=("s",))
    yield made
    made.replica.life.kill()


def devices(small):
    hardware = small.judge.hardware()
    return sum(
        each.attributes.get("type") == "whole" for pool in hardware.pools.values() for each in pool.devices.values()
    )


def told(small, text):
    return untrue(small.store, small.judge, small.store.get("Pod", f"{NAMESPACE}/a"), f"pod {NAMESPACE}/a: {text}")


def test_a_true_reason_is_taken(small):
    free = devices(small)

    assert (
        told(
            small, f"0 of 2 nodes fit: 1 lack 9 free devices for request r of claim s (best: n0 has {free}), {FOREIGN}"
        )
        == ""
    )


def test_a_node_that_lacks_two_resources_is_told_with_both(small):
    lacks = "1 lack cpu (asks 9, at most 1 left), 1 lack pods (asks 1, at most 0 left)"
    small.store.update("Node", "n0", lambda raw: {**raw, "status": {"allocatable": {"cpu": "0", "pods": "0"}}}, "admin")

    assert told(small, f"0 of 2 nodes fit: {lacks}, {FOREIGN}") == ""
    assert "4 of 2 nodes are counted" in told(small, f"0 of 2 nodes fit: {lacks}, 1 are elsewhere, {FOREIGN}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"0 of 3 nodes fit: 2 lack cpu (asks 9, at most 1 left), {FOREIGN}", "there are 2 nodes"),
        (f"0 of 2 nodes fit: {FOREIGN}", "1 of 2 nodes are counted"),
        ("0 of 2 nodes fit: 2 not owned by Dovetail (label x)", "1 nodes are not ours"),
        (f"0 of 2 nodes fit: 1 lack cpu (asks 9, at most 1 left), {FOREIGN}", "0 of our nodes lack cpu"),
        (f"0 of 2 nodes fit: 1 do not carry the pod's nodeSelector (zone=a), {FOREIGN}", "0 of our nodes do not carry"),
        (f"0 of 2 nodes fit: 1 have taint x:NoSchedule, {FOREIGN}", "0 of our nodes have taint"),
        (
            f"0 of 2 nodes fit: 1 cannot use the devices that the pod's allocated claims hold, {FOREIGN}",
            "0 of our nodes",
        ),
        (f"0 of 2 nodes fit: {LACKS.replace('9', '8')} (best: n0 has 1), {FOREIGN}", "asks for 9"),
        (f"0 of 2 nodes fit: {LACKS} (best: n0 has 7), {FOREIGN}", "node n0 has"),
        (f"0 of 2 nodes fit: {LACKS} (no device matches its selectors), {FOREIGN}", "devices match request r"),
        (f"0 of 2 nodes fit: {LACKS} (all that match are in use), {FOREIGN}", "no node has devices in use"),
        (f"0 of 2 nodes fit: {LACKS} ({TAINT}), {FOREIGN}", "has no taint sick:NoExecute"),
    ],
)
def test_a_false_reason_is_found(small, text, problem):
    assert problem in told(small, text)


def test_a_reason_is_split_outside_of_brackets():
    assert split("1 have no a, b or c (d, 2 e; f), 2 g; h", "; ") == ["1 have no a, b or c (d, 2 e; f), 2 g", "h"]
    assert split("1 have no a, b or c (d, 2 e), 2 g", ", ") == ["1 have no a, b or c (d, 2 e)", "2 g"]


@pytest.mark.parametrize("nodes", [(None, None), ("n0", None), ("n0", "n0")])
def test_a_gang_runs_whole_or_not_at_all(small, nodes):
    policy = {"schedulingPolicy": {"gang": {"minCount": 2}}}
    small.store.create(
        {"kind": "PodGroup", "metadata": {"name": "g", "namespace": NAMESPACE}, "spec": policy}, "tenant"
    )
    group = {"schedulingGroup": {"podGroupName": "g"}}
    for name, node in zip("bc", nodes, strict=True):
        small.pods(name, **group, **({"nodeName": node} if node else {}))
    pods = list(small.store.objects["Pod"].values())

    if len(set(nodes)) == 1:
        liveness.gangs(small.store, pods)
    else:
        with pytest.raises(BrokenError, match="I14: 1 of 2 pods"):
            liveness.gangs(small.store, pods)


def test_what_administrators_look_at_is_taken_while_a_pod_is_placed(small):
    """As kube-scheduler, which counts a device that it is about to give to anybody as in use."""
    node, hardware = small.store.get("Node", "n0").raw, small.judge.hardware()
    looks = {"devices": {"requests": [request("r", "gpu", 1, adminAccess=True)]}}
    takes = {"devices": {"requests": [request("r", "gpu", 0)]}}

    assert hardware.place([looks, takes], node, {}) is None
    assert hardware.place([takes, looks], node, {}) is not None
