"""Scores that come of what the engine observes: how often devices change, and which alternatives are chosen."""

from dataclasses import replace

import pytest

from scheduler.core.messages import Gone, RecordDecision
from scheduler.core.model import Uid
from tests.build import claim, device, gpus, node, pod, request, slice_of
from tests.driving import Hands


def changed(name, times):
    """Slices of one device, published so many times more with another attribute."""
    return [
        slice_of([device("gpu-0", {"type": "gpu", "version": i})], node=name, generation=1) for i in range(times + 1)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_nodes_whose_devices_change_are_left_alone_where_stability_counts(seed):
    hands = Hands(node("n1"), node("n2"), node("n3"), seed=seed, weights={"stability": 50})
    for name, times in (("n1", 3), ("n2", 0), ("n3", 1)):
        for item in changed(name, times):
            hands.see(item)
            hands.settle()
    hands.see(*changed("n2", 0))  # the same once more is no change
    placed = []
    for number in range(3):
        hands.see(claim(f"c{number}", request()), pod(f"p{number}", claims=[f"c{number}"]))
        placed.append(hands.settle().node_of(f"p{number}"))

    assert placed == ["n2", "n3", "n1"]


def test_a_node_that_comes_back_is_not_blamed_for_what_was():
    hands = Hands(node("n1"), *changed("n1", 0))
    hands.settle()
    hands.see(changed("n1", 1)[1])
    hands.settle()
    bays, nodes = hands.engine.state.bays, hands.engine.state.nodes
    assert bays.disturbed[nodes.rows["n1"]] == 1

    hands.tell(Gone("Node", "n1", Uid("uid-node-n1")))
    hands.settle()
    hands.see(node("n1"))
    hands.settle()
    assert bays.disturbed[nodes.rows["n1"]] == 0


def test_the_alternative_chosen_is_shown_and_weighs_nothing():
    big, small = (
        request(name, 1, f'device.attributes["gpu.example.com"].size == "{name}"') for name in ("big", "small")
    )
    asking = claim("c", replace(request("r", device_class=""), alternatives=(big, small)))
    boxes = [slice_of([device("gpu-0", {"size": size})], node=name) for name, size in (("n1", "small"), ("n2", "big"))]

    for weights in ({}, {"preference": 1000}):
        hands = Hands(node("n1"), node("n2"), *boxes, asking, pod("p", claims=["c"]), weights=weights).settle()
        [decision] = [record.decision for record in hands.of(RecordDecision)]
        assert (decision.winner.node, decision.winner.scores["preference"]) == ("n2", 1.0)
        assert (decision.runner_up.node, decision.runner_up.scores["preference"]) == ("n1", 0.875)


def test_without_a_list_there_is_no_preference_to_show():
    hands = Hands(node("n1"), gpus("n1", 1), claim("c", request()), pod("p", claims=["c"])).settle()
    [record] = hands.of(RecordDecision)

    assert "preference" not in record.decision.winner.scores
