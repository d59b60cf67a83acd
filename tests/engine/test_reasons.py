"""What a pod is told is true, and names what stands in its way."""

import pytest

from scheduler.core.config import Ownership
from scheduler.core.model import NodeSelector
from tests.build import (
    DRIVER,
    claim,
    device,
    device_class,
    gpus,
    node,
    pod,
    request,
    requirement,
    slice_of,
    taint_rule,
    term,
    toleration,
)
from tests.driving import Hands

USER = pod("p", claims=["c"])


def told(*objects, **config) -> str:
    return Hands(*objects, USER, **config).settle().reason("p")


def test_a_driver_that_is_not_ours_is_named():
    nic = slice_of([device("nic")], node="n1", driver="nic.example.com")

    reason = told(node(), device_class(driver=None), nic, claim("c"), ownership=Ownership(True, frozenset({DRIVER})))

    assert "device nic.example.com/n1/nic is of driver nic.example.com, which Dovetail does not own" in reason


def test_a_slice_for_nodes_that_several_terms_select_is_named():
    terms = (term(requirement("zone", "DoesNotExist")), term(requirement("other", "Exists")))

    reason = told(node(), slice_of([device("x")], selector=NodeSelector(terms)), claim("c"))

    assert f"device {DRIVER}/shared/x on node n1 has a nodeSelector with several terms" in reason


def test_only_the_taint_in_the_way_is_named():
    accepts = claim("c", request("r", tolerations=[toleration("first")]))

    reason = told(node(), gpus("n1", 1), taint_rule("a", "first"), taint_rule("b", "second"), accepts)

    assert reason.endswith("does not tolerate: second:NoSchedule)")


@pytest.mark.parametrize("count", [33, 40])
def test_all_of_more_devices_than_a_claim_can_hold_is_said_so(count):
    reason = told(node(), gpus("n1", count), claim("c", request("r", all=True)))

    assert reason == (
        "pod default/p: request r of claim c on node n1 would give one claim more than 32 devices; split the claim"
    )


def test_pods_of_one_class_are_told_the_names_of_their_own_claims():
    hands = Hands(
        node(), gpus("n1", 1), claim("c", count=2), claim("d", count=2), USER, pod("q", claims=["d"], created="z")
    ).settle()

    assert "request r of claim c " in hands.reason("p")
    assert "request r of claim d " in hands.reason("q")


def test_the_reason_follows_what_happens():
    hands = Hands(node(), gpus("n1", 1), claim("c", count=4), USER).settle()
    hands.see(gpus("n1", 2, generation=2, name=f"n1-{DRIVER}-1"))

    hands.settle()

    assert "(best: n1 has 2)" in hands.reason("p")
