"""A device that is in use and that its driver no longer lists draws on counters, and nobody knows how much."""

from dataclasses import replace

import pytest

from scheduler.core.messages import Seen
from scheduler.core.model import CounterSet, CounterUse
from scheduler.core.quantity import parse_quantity
from scheduler.core.verify import violations
from tests import build
from tests.build import allocated, claim, node, plan, pod, request, result, slice_of
from tests.driving import Hands


def amount(number):
    return {"memory": parse_quantity(str(number))}


def card(*names, generation=1, count=2):
    """A pool with four units of memory: the whole card, halves and quarters of it."""
    sizes = {"whole": 4, "half": 2, "quarter": 1}
    parts = [
        replace(build.device(name, {"type": "gpu"}), consumes=(CounterUse("card", amount(sizes[name])),))
        for name in names
    ]
    sets = slice_of([], node="n1", name=f"sets-{generation}", slice_count=count, generation=generation)
    own = slice_of(parts, node="n1", name=f"parts-{generation}", slice_count=count, generation=generation)
    return [replace(sets, counter_sets=(CounterSet("card", amount(4)),)), own]


def held(name):
    return allocated(claim("held", request("r")), result(name))


def test_what_overlaps_a_device_that_vanished_while_in_use_is_not_given_away():
    taken = held("whole")
    hands = Hands(node("n1"), *card("whole", "half", "quarter"), taken)

    for item in card("half", "quarter", generation=2):
        hands.see(item)
    hands.see(claim("c", request("r")), pod("p", claims=["c"]))
    hands.settle()

    assert hands.node_of("p") == ""
    assert "no longer lists device whole" in hands.reason("p")

    hands.see(replace(taken, allocation=None, reserved_for=(), resource_version="99"))
    hands.pass_time(100)

    assert hands.node_of("p") == "n1"


def test_nobody_says_that_no_device_matches_where_a_pool_is_in_doubt():
    bare = slice_of([], node="n2")
    hands = Hands(
        node("n1"), node("n2"), bare, *card("half"), held("whole"), claim("c", request("r")), pod("p", claims=["c"])
    )
    hands.settle()

    lacking, doubtful = hands.reason("p").partition("fit: ")[2].split(", ", 1)

    assert lacking.startswith("2 lack 1 free devices for request r of claim c ")
    assert lacking.endswith(" (no device that can be seen matches its selectors)")
    assert doubtful.startswith("1 see pool n1 of driver ")


@pytest.mark.parametrize("beside", [[], [slice_of([build.device("gpu-7", {})], node="n1", pool="other")]])
def test_all_devices_are_found_on_another_node_than_the_one_that_waits_for_its_driver(beside):
    everything = claim("c", request("r", all=True))
    hands = Hands(node("n1"), node("n2"), *card("half"), *beside, held("whole"), everything, pod("p", claims=["c"]))
    hands.settle()
    waiting = hands.node_of("p")

    hands.see(slice_of([build.device("gpu-0", {}), build.device("gpu-1", {})], node="n2"))
    hands.pass_time(100)

    assert waiting == ""
    assert hands.node_of("p") == "n2"
    assert hands.devices_of("c") == ["gpu-0", "gpu-1"]


def test_a_scheduler_started_afresh_knows_no_less():
    hands = Hands(node("n1"), *card("half", "quarter"), held("whole"), claim("c", request("r")), pod("p", claims=["c"]))

    hands.settle()

    assert hands.node_of("p") == ""


def test_a_device_that_is_listed_again_opens_its_pool():
    hands = Hands(node("n1"), *card("half", "quarter"), held("half"), claim("c", request("r")), pod("p", claims=["c"]))
    for item in card("quarter", generation=2):
        hands.see(item)
    hands.settle()
    for item in card("half", "quarter", generation=3):
        hands.see(item)
    hands.pass_time(100)

    assert hands.devices_of("c") == ["quarter"]


def test_a_pool_without_counters_does_without_what_vanished():
    gpus = slice_of([build.device("gpu-1", {})], node="n1")
    hands = Hands(node("n1"), gpus, held("gpu-0"), claim("c", request("r")), pod("p", claims=["c"]))

    hands.settle()

    assert hands.devices_of("c") == ["gpu-1"]


def test_the_release_of_an_unlisted_device_by_upstreams_rule_changes_nothing():
    hands = Hands(
        node("n1"), *card("half"), held("whole"), claim("c", request("r")), pod("p", claims=["c"]), unlisted_draw=False
    )

    hands.settle()

    assert hands.devices_of("c") == ["half"]


def test_the_checker_says_so_too():
    free = Hands(node("n1"), *card("half"), claim("c", request("r")), pod("p", claims=["c"]))
    free.settle()
    [write] = [each for each in free.asked if type(each).__name__ == "WriteAllocation"]
    world = build.world(node("n1"), *card("half"), claim("c", request("r")), held("whole"), pod("p", claims=["c"]))
    placed = build.placement(pod("p", claims=["c"]), "n1", [(claim("c", request("r")), write.allocation)])

    assert any("device whole is in use" in each.text for each in violations(world, plan(placed)))
    assert violations(replace(world, unlisted_draw=False), plan(placed)) == ()


def test_seeing_it_twice_changes_nothing():
    hands = Hands(node("n1"), *card("half", "quarter"), held("whole"))
    before = hands.engine.state.snapshot().taken.tolist()

    hands.tell(Seen(held("whole")))

    assert hands.engine.state.snapshot().taken.tolist() == before
