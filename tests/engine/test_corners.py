"""Corners in which a plan would be wrong, or a pod would wait for nothing. The checker looks at every plan here."""

from dataclasses import replace

import pytest

from scheduler.core.config import Ownership
from scheduler.core.messages import BindPod, ReserveClaim
from scheduler.core.model import NO_EXECUTE, ClaimSpec, Consumer, NodeSelector, Uid
from tests.build import (
    DRIVER,
    HOSTNAME,
    allocated,
    claim,
    device,
    device_class,
    gpus,
    match,
    node,
    pod,
    request,
    requirement,
    result,
    slice_of,
    taint,
    taint_rule,
    term,
)
from tests.driving import Hands

EVERYTHING = claim("c", request("r", all=True, device_class="any"))
USER = pod("p", claims=["c"])


def test_all_devices_cannot_be_had_when_one_is_of_a_driver_that_is_not_ours():
    nic = slice_of([device("nic")], node="n1", driver="nic.example.com")
    ownership = Ownership(all_nodes=True, drivers=frozenset({DRIVER}))

    hands = Hands(
        node(), device_class("any", driver=None), gpus("n1", 1), nic, EVERYTHING, USER, ownership=ownership
    ).settle()

    assert hands.node_of("p") == ""


def test_a_slice_that_says_in_no_known_way_where_its_devices_are_counts_for_nothing():
    unclear = slice_of([device("x")], pool="fabric", unsupported=["an unknown way"])

    hands = Hands(node(), device_class("any", driver=None), gpus("n1", 1), unclear, EVERYTHING, USER).settle()

    assert hands.node_of("p") == "n1"


def test_a_claim_without_requests_is_met_by_nothing_whatever_its_constraints():
    empty = replace(claim("d"), spec=ClaimSpec((), constraints=(match("numa"),)))

    hands = Hands(node(), gpus("n1", 1), claim("c"), empty, pod("p", claims=["c", "d"])).settle()

    assert hands.node_of("p") == "n1"


def test_a_claim_that_is_being_deleted_is_not_used_though_it_is_reserved():
    going = allocated(claim("c", deleting=True), result("gpu-0"), reserved_for=["p"])

    hands = Hands(node(), gpus("n1", 1), going, USER).settle()

    assert hands.node_of("p") == ""


def test_a_claim_is_not_joined_when_its_device_evicts_pods():
    shared = allocated(claim("c"), result("gpu-0"), reserved_for=["q"])

    hands = Hands(node(), gpus("n1", 1), taint_rule(effect=NO_EXECUTE), shared, USER).settle()

    assert hands.node_of("p") == ""


def test_a_claim_whose_device_another_claim_has_is_left_alone():
    shared = allocated(claim("c"), result("gpu-0"), reserved_for=["q"])
    rival = allocated(claim("d"), result("gpu-0"), reserved_for=["r"])

    hands = Hands(node(), gpus("n1", 1), shared, rival, USER).settle()

    assert hands.of(ReserveClaim) == []
    assert hands.of(BindPod) == []


def test_pods_of_one_cycle_do_not_reserve_a_claim_beyond_its_limit():
    crowd = tuple(Consumer("pods", f"q{i}", Uid(f"q{i}")) for i in range(255))
    nearly_full = replace(allocated(claim("c"), result("gpu-0")), reserved_for=crowd)

    hands = Hands(node(), gpus("n1", 1), nearly_full, USER, pod("q", claims=["c"], created="z")).settle()

    assert hands.node_of("p") == "n1"
    assert hands.node_of("q") == ""


def test_a_device_for_nodes_that_are_selected_by_several_terms_is_not_allocated():
    # An allocation can state one term only; the API allows no more in a slice, and the upstream allocator fails.
    here = term(requirement(HOSTNAME, "In", "n1"))
    odd = slice_of([device("x")], selector=NodeSelector((here, term(requirement("zone", "Exists")))), pool="shared")

    hands = Hands(node(), odd, claim("c"), USER).settle()

    assert hands.node_of("p") == ""


@pytest.mark.parametrize("name", ["dovetail", "another"])
def test_plans_are_checked_under_the_configured_scheduler_name(name):
    hands = Hands(
        node(), gpus("n1", 1), claim("c"), pod("p", claims=["c"], scheduler=name), scheduler_name=name
    ).settle()

    assert hands.node_of("p") == "n1"


def test_a_claim_is_judged_by_the_taints_of_its_device_in_the_newest_generation():
    torn = slice_of([device("gpu-0", taints=[taint("hot", effect=NO_EXECUTE)])], node="n1", name="old")
    mended = slice_of([device("gpu-0")], node="n1", generation=2, name="new")
    shared = allocated(claim("c"), result("gpu-0"), reserved_for=["q"])

    hands = Hands(node(), torn, mended, shared, USER).settle()

    assert hands.node_of("p") == "n1"


def test_taint_rules_cover_what_they_name_and_stop_when_they_change():
    both = (claim("c"), claim("d"), USER, pod("q", claims=["d"], created="z"))
    rules = [taint_rule("one", driver=DRIVER, pool="n1", device="gpu-0"), taint_rule("two", device="gpu-1")]
    hands = Hands(node(), gpus("n1", 2), *rules, *both).settle()
    assert hands.reason("p").endswith("does not tolerate: broken:NoSchedule)")

    hands.see(taint_rule("one", driver=DRIVER, pool="n2", device="gpu-0"))
    hands.settle()
    assert hands.devices_of("c") == ["gpu-0"]

    hands.now = 100.0
    hands.see(taint_rule("two", selects=False))
    hands.settle()
    assert hands.devices_of("d") == ["gpu-1"]
