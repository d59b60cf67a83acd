"""Pods of one cycle that get in each other's way are decided together."""

from dataclasses import replace

import pytest

from scheduler.core.messages import (
    Appraise,
    Gone,
    RecordDecision,
    RecordUnplaced,
    ReportUnschedulable,
    SolveWindow,
    WindowSolved,
    WriteAllocation,
)
from scheduler.core.slow import answer
from tests import build
from tests.build import claim, gpus, node, pod, pod_uid
from tests.driving import Hands

X = 'device.attributes["gpu.example.com"].model == "x"'


def either_and_only(*more, **config):
    """Pod p may use both devices and is first in line, pod q needs the one that p likes better."""
    for seed in range(50):
        hands = Hands(*world(), *more, seed=seed, **config)
        greedy = Hands(*world(), *more, seed=seed, solver="greedy").settle()
        if not greedy.node_of("q"):
            return hands
    raise AssertionError("plain greed never leaves q out")


def world():
    return (
        node("n1"), node("n2"),
        gpus("n1", 1, attributes={"model": "x"}), gpus("n2", 1, attributes={"model": "y"}),
        claim("a"), claim("b", selectors=(X,)),
        pod("p", claims=["a"], created="a"), pod("q", claims=["b"], created="b"),
    )  # fmt: skip


def question(hands):
    (asked,) = [each for each in hands.decide() if isinstance(each, SolveWindow)]
    return asked


@pytest.mark.parametrize("solver", ["regret", "joint"])
def test_a_pod_that_may_go_elsewhere_makes_room_for_one_that_may_not(solver):
    hands = either_and_only(solver=solver).settle()

    assert (hands.node_of("p"), hands.node_of("q")) == ("n2", "n1")
    (told,) = {each.decision.window.partition(",")[0] for each in hands.of(RecordDecision)}
    assert told == f"{solver} of 2 pods"
    assert not hands.of(ReportUnschedulable)


def test_nothing_is_written_and_nobody_is_told_before_the_plan_is_there():
    hands = either_and_only()

    asked = question(hands)

    assert asked.method == "regret"
    assert {type(each) for each in hands.asked} <= {SolveWindow, Appraise}
    assert not hands.engine.state.taken.any()
    assert hands.decide() == []
    assert hands.engine.in_flight == 0


def test_without_a_plan_they_are_decided_one_by_one_after_a_second():
    hands = either_and_only()
    hands.decide()

    out = hands.decide(hands.engine.next_wakeup())

    assert hands.now == 1.0
    assert [type(each) for each in out] == [RecordDecision, WriteAllocation, RecordUnplaced, ReportUnschedulable]


def test_a_plan_that_comes_too_late_changes_nothing():
    hands = either_and_only()
    asked = question(hands)
    hands.decide(1.0)

    hands.tell(answer(asked))

    assert [each.window for each in (item.decision for item in hands.of(RecordDecision))] == [""]
    hands.settle()
    assert hands.of(SolveWindow) == [asked]


def test_a_hint_that_does_not_fit_any_more_is_not_followed():
    hands = either_and_only()
    asked = question(hands)
    hands.tell(answer(asked))
    hands.tell(Gone("Node", "n2", node("n2").uid))

    hands.settle()

    assert hands.node_of("p") == "n1"
    assert not hands.node_of("q")


def test_a_pod_that_leaves_meanwhile_is_not_placed():
    hands = either_and_only()
    asked = question(hands)
    hands.tell(Gone("Pod", "default/p", pod_uid("p")))

    hands.tell(answer(asked))
    hands.settle()

    assert hands.node_of("q") == "n1"
    assert not hands.engine._hints


def test_answers_to_another_question_are_dropped():
    hands = either_and_only()
    asked = question(hands)

    hands.tell(replace(answer(asked), generation=asked.generation + 7))

    assert hands.decide() == []
    assert isinstance(answer(asked), WindowSolved)


def test_a_pod_that_fits_nowhere_holds_nobody_up():
    objects = (*world()[:4], claim("a"), pod("p", claims=["a"]), claim("c", count=9), pod("r", claims=["c"]))
    hands = Hands(*objects)

    out = hands.decide()

    told = {RecordDecision, WriteAllocation, RecordUnplaced, ReportUnschedulable}
    assert {type(each) for each in out} - {Appraise} == told
    hands.obey_all(out)
    assert hands.node_of("p")


def test_a_window_has_room_for_the_pods_that_found_no_node(monkeypatch):
    monkeypatch.setattr("scheduler.core.engine.MAX_PODS", 2)
    alone = {build.HOSTNAME: "n3"}
    more = (node("n3"), gpus("n3", 1), claim("e"), pod("e", claims=["e"], created="0", selector=alone))

    hands = either_and_only(*more).settle()

    assert [hands.node_of(name) for name in ("e", "p", "q")] == ["n3", "n2", "n1"]


def test_plans_that_never_come_are_forgotten(monkeypatch):
    monkeypatch.setattr("scheduler.core.engine.MAX_HELD", 1)
    hands = either_and_only()
    first = question(hands)
    for name in ("p", "q"):
        hands.tell(Gone("Pod", f"default/{name}", pod_uid(name)))
    hands.see(pod("p2", claims=["a"], created="a"), pod("q2", claims=["b"], created="b"))

    second = question(hands)

    assert list(hands.engine._held) == [second.generation]
    hands.tell(answer(first))
    assert hands.decide() == []


def test_equal_pods_are_not_decided_together():
    hands = Hands(*world()[:3], claim("a"), claim("c"), pod("p", claims=["a"]), pod("r", claims=["c"]))

    assert not any(isinstance(each, SolveWindow) for each in hands.decide())


def test_a_pod_of_higher_priority_is_not_moved_out_of_its_place_for_others_below_it():
    hands = Hands(
        node("n1"), gpus("n1", 2, attributes={"model": "x"}), claim("a", count=2), claim("b"), claim("c"),
        pod("p", claims=["a"], priority=5), pod("q", claims=["b"]), pod("r", claims=["c"]),
    ).settle()  # fmt: skip

    assert hands.node_of("p") == "n1"
    assert not hands.node_of("q")
