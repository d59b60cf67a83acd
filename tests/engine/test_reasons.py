"""What a pod is told is true, and names what stands in its way."""

from dataclasses import replace

import pytest

from scheduler.core.config import Ownership
from scheduler.core.model import CounterSet, CounterUse, NodeSelector
from scheduler.core.quantity import parse_quantity
from tests.build import (
    DRIVER,
    allocated,
    claim,
    device,
    device_class,
    gpus,
    node,
    pod,
    request,
    requirement,
    result,
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


def quantities(**amounts):
    return {name.replace("_", "-"): parse_quantity(amount) for name, amount in amounts.items()}


def share(device_name, share_id, **amounts):
    """What a claim holds of a device."""
    return result(device_name, share_id=share_id, consumed=quantities(**amounts))


def test_the_shared_device_that_comes_nearest_is_named_with_what_it_lacks():
    # given three shared devices, of which one is held whole, one has 8Gi left and one 30Gi
    boards = [replace(device(f"gpu-{number}", {}, {"memory": "80Gi"}), shareable=True) for number in range(3)]
    holders = [
        allocated(claim("x"), share("gpu-0", "s0", memory="80Gi")),
        allocated(claim("y"), share("gpu-1", "s1", memory="72Gi")),
        allocated(claim("z"), share("gpu-2", "s2", memory="50Gi")),
    ]
    reason = told(node(), slice_of(boards, node="n1"), *holders, claim("c", asks(memory="40Gi")))

    assert reason.endswith(
        f"(none that matches has enough left: device {DRIVER}/n1/gpu-2 would take 40Gi of capacity memory, "
        "30Gi of 80Gi left)"
    )


def asks(**amounts):
    return replace(request("r"), capacity=quantities(**amounts))


def test_the_largest_amounts_that_lack_are_named_and_the_others_counted():
    # given a card whose large part was given away, and four counters of which the small part lacks something
    totals = quantities(memory="80Gi", multiprocessors="132", engines="8", slice_0="1")
    drawn = [
        ("large", quantities(memory="70Gi", multiprocessors="120", engines="7", slice_0="1")),
        ("small", quantities(memory="20Gi", multiprocessors="32", engines="2", slice_0="1")),
    ]
    parts = [replace(device(name), consumes=(CounterUse("card", amounts),)) for name, amounts in drawn]
    sets = replace(slice_of([], node="n1", name="sets", slice_count=2), counter_sets=(CounterSet("card", totals),))
    holder = allocated(claim("other"), result("large"))

    reason = told(node(), sets, slice_of(parts, node="n1", slice_count=2), holder, claim("c"))

    assert reason.endswith(
        f"(none that matches has enough left: device {DRIVER}/n1/small would take 20Gi of counter memory of card, "
        "10Gi of 80Gi left; 32 of counter multiprocessors of card, 12 of 132 left; 2 of counter engines of card, "
        "1 of 8 left; and 1 more)"
    )


def test_devices_that_others_have_whole_lack_nothing_that_could_be_told():
    board = replace(device("gpu-0", {}, {"memory": "80Gi"}), shareable=True)
    holder = allocated(claim("other"), result("gpu-0"))

    reason = told(node(), slice_of([board], node="n1"), holder, claim("c", asks(memory="40Gi")))

    assert reason.endswith("(none that matches is free)")
