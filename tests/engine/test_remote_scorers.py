"""Scorers of others add their share to the choice of a node, and never hold anything up for longer than they may."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.config import RemoteScorer
from scheduler.core.explain import heard_of, render, to_dict, to_json
from scheduler.core.messages import (
    BindPod,
    Drained,
    Gone,
    PodRef,
    RecordDecision,
    RemoteScored,
    ScoreRemotely,
    Slow,
    WriteAllocation,
)
from scheduler.core.remote import ABSENT, LATE, MAX_CANDIDATES, SPARE_S, USED, problem_of
from scheduler.simulator.api import Api
from tests import build
from tests.build import claim, gpus, node, pod
from tests.driving import Hands

STRONG = RemoteScorer("thermal", 10_000.0, 0.05)
WEAK = RemoteScorer("cost", 1.0, 0.02)


def says(scores):
    """A scorer that gives nodes scores by their names."""

    def answer(asked):
        return [
            RemoteScored(asked.pod.uid, asked.generation, name, tuple(scores[each.node] for each in asked.candidates))
            for name in asked.scorers
        ]

    return answer


def cluster(*pods, nodes=3, remote=(STRONG,), **options):
    hands = Hands(*[item for n in range(nodes) for item in (node(f"n{n}"), gpus(f"n{n}", 2))], remote=remote, **options)
    for number in pods:
        hands.see(claim(f"c{number}"), pod(f"p{number}", claims=[f"c{number}"]))
    return hands


def decision(hands):
    return hands.of(RecordDecision)[-1].decision


def test_a_share_decides_where_it_is_large_enough():
    favoured = {"n0": 0.1, "n1": 0.2, "n2": 0.9}
    strong, weak = cluster(0), cluster(0, remote=(replace(STRONG, weight=1e-9),))
    strong.scorers = weak.scorers = says(favoured)

    assert strong.settle().node_of("p0") == "n2"
    assert weak.settle().node_of("p0") == cluster(0, remote=()).settle().node_of("p0")


def test_the_decision_holds_what_was_said_and_shows_it():
    hands = cluster(0)
    hands.scorers = says({"n0": 0.25, "n1": 0.5, "n2": 0.75})
    hands.settle()
    found = decision(hands)

    [heard] = found.remote
    assert (heard.scorer, heard.weight, dict(heard.scores)) == ("thermal", 1e4, {"n0": 0.25, "n1": 0.5, "n2": 0.75})
    assert found.winner.scores["remote.thermal"] == 0.75
    assert found.runner_up.scores["remote.thermal"] == 0.5
    assert "remote.thermal" in render(to_dict(found))
    assert heard_of(to_dict(found)) == found.remote
    assert "n0" not in to_json(replace(found, runner_up=None, winner=replace(found.winner, node="n2")))


def test_the_total_is_the_mean_of_all_shares():
    hands, own = cluster(0, remote=(replace(STRONG, weight=100.0),)), cluster(0, remote=())
    hands.scorers = says(dict.fromkeys(["n0", "n1", "n2"], 0.5))
    found, alone = decision(hands.settle()), decision(own.settle())

    whole = sum(found.weights[name] for name in alone.winner.scores)
    assert found.winner.total == pytest.approx((alone.winner.total * whole + 100 * 0.5) / (whole + 100), abs=1e-6)
    assert found.winner.node == alone.winner.node


LIES = {
    "too few": lambda count: (0.5,) * (count - 1),
    "too many": lambda count: (0.5,) * (count + 1),
    "none": lambda count: (),
    "not a number": lambda count: (0.5,) * (count - 1) + (float("nan"),),
    "infinite": lambda count: (float("inf"),) * count,
    "below 0": lambda count: (-0.01,) * count,
    "above 1": lambda count: (1.0001,) * count,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_counts_as_absent_and_is_named(lie):
    hands, own = cluster(0), cluster(0, remote=())
    hands.scorers = lambda asked: [RemoteScored(asked.pod.uid, asked.generation, "thermal", lie(len(asked.candidates)))]

    found, alone = decision(hands.settle()), decision(own.settle())

    assert replace(found, remote=()) == alone
    assert found.remote[0].problem
    assert found.remote[0].problem in render(to_dict(found))
    assert hands.engine.remote.counts == {("thermal", ABSENT): 1}


def test_who_says_nothing_is_absent_from_its_deadline_on():
    hands, own = cluster(0), cluster(0, remote=())

    asked = hands.decide(now=1.0)
    early = hands.decide(now=1.049 + SPARE_S)
    wakeup = hands.engine.next_wakeup()
    decided = hands.decide(now=1.05 + SPARE_S)

    assert [type(each) for each in asked] == [ScoreRemotely]
    assert early == []
    assert wakeup == 1.05 + SPARE_S
    assert any(isinstance(each, WriteAllocation) for each in decided)
    found = decision(hands)
    assert found.remote[0].problem == "no answer within 50 ms"
    assert replace(found, remote=()) == decision(own.settle())


def test_an_answer_counts_though_the_cycle_that_asked_was_longer_than_a_scorer_has():
    hands = cluster(0)
    [asked] = hands.decide(now=0.0)  # ends at 0.4: only then is the scorer asked
    hands.decide(now=0.4)
    scores = tuple(1.0 if each.node == "n1" else 0.0 for each in asked.candidates)
    hands.tell(RemoteScored(asked.pod.uid, asked.generation, "thermal", scores))
    hands.obey_all(hands.decide(now=0.44))

    assert hands.node_of("p0") == "n1"
    assert hands.engine.remote.counts == {("thermal", USED): 1}


def test_one_that_is_absent_costs_the_others_nothing():
    hands = cluster(0, remote=(STRONG, WEAK))

    asked = hands.decide(now=0.0)[0]
    scores = tuple(1.0 if each.node == "n1" else 0.0 for each in asked.candidates)
    waiting = hands.tell(RemoteScored(asked.pod.uid, asked.generation, "thermal", scores)) + hands.decide(now=0.01)
    hands.decide(now=0.05 + SPARE_S)
    found = decision(hands)

    assert waiting == []
    assert found.winner.node == "n1"
    assert [(each.scorer, bool(each.problem)) for each in found.remote] == [("thermal", False), ("cost", True)]
    assert hands.engine.remote.counts == {("thermal", USED): 1, ("cost", ABSENT): 1}


def test_a_late_answer_changes_nothing_and_is_counted():
    hands = cluster(0)
    asked = hands.decide(now=0.0)[0]
    hands.obey_all(hands.decide(now=0.06 + SPARE_S))
    before = hands.node_of("p0")

    late = hands.tell(RemoteScored(asked.pod.uid, asked.generation, "thermal", (0.5,) * 3))
    unknown = hands.tell(RemoteScored(asked.pod.uid, asked.generation, "nobody", (0.5,) * 3))

    assert late == unknown == []
    assert before
    assert hands.engine.remote.counts == {("thermal", ABSENT): 1, ("thermal", LATE): 1}


def test_answers_of_an_earlier_question_and_second_ones_are_dropped():
    hands = cluster(0)
    first = hands.decide()[0]
    hands.see(replace(hands.pod(first.pod.uid), requests={"cpu": 1000}))
    second = hands.decide()[0]
    stale = RemoteScored(first.pod.uid, first.generation, "thermal", (1.0, 0.0, 0.0))

    hands.tell(stale)
    waits = hands.decide()
    favoured = tuple(1.0 if each.node == "n2" else 0.0 for each in second.candidates)
    hands.tell(RemoteScored(second.pod.uid, second.generation, "thermal", favoured))
    hands.tell(RemoteScored(second.pod.uid, second.generation, "thermal", (0.0,) * 3))
    hands.obey_all(hands.decide())

    assert second.generation > first.generation
    assert waits == []
    assert hands.node_of("p0") == "n2"


def test_other_pods_are_decided_while_one_waits():
    hands = cluster(0)
    [first] = hands.decide(now=0.0)
    hands.see(claim("c1"), pod("p1", claims=["c1"]))
    [second] = hands.decide(now=0.01)
    for event in says({"n0": 0.0, "n1": 1.0, "n2": 0.0})(second):
        hands.tell(event)
    hands.obey_all(hands.decide(now=0.02))

    assert hands.node_of("p1") == "n1"
    assert hands.node_of("p0") == ""
    hands.obey_all(hands.decide(now=0.05 + SPARE_S))
    assert hands.node_of("p0")
    assert first.pod.name == "p0"


def test_where_no_judged_node_is_left_our_own_scores_decide():
    hands = cluster(0, nodes=1)
    [asked] = hands.decide(now=0.0)
    hands.see(node("late"), gpus("late", 2), node("n0", unschedulable=True))
    for event in says({"n0": 1.0})(asked):
        hands.tell(event)
    hands.obey_all(hands.decide(now=0.01))

    assert hands.node_of("p0") == "late"
    assert "remote.thermal" not in decision(hands).winner.scores


def test_nobody_is_asked_about_a_pod_that_fits_nowhere_and_its_reason_comes_at_once():
    hands = cluster(nodes=1)
    hands.see(claim("c0", count=5), pod("p0", claims=["c0"]))
    hands.settle()

    assert hands.of(ScoreRemotely) == []
    assert "0 of 1 nodes" in hands.reason("p0")


def test_only_the_best_nodes_are_asked_about_best_first():
    hands = cluster(0, nodes=MAX_CANDIDATES + 5)
    [asked] = hands.decide()

    assert len(asked.candidates) == MAX_CANDIDATES
    assert len({each.node for each in asked.candidates}) == MAX_CANDIDATES
    assert [each.total for each in asked.candidates] == sorted((each.total for each in asked.candidates), reverse=True)
    assert all(each.devices for each in asked.candidates)


def test_a_pod_that_leaves_while_it_waits_is_forgotten():
    hands = cluster(0)
    [asked] = hands.decide(now=0.0)
    hands.tell(Gone("Pod", "default/p0", asked.pod.uid))

    assert hands.engine.remote.next_time is None
    assert hands.tell(RemoteScored(asked.pod.uid, asked.generation, "thermal", (0.5,) * 3)) == []
    assert hands.decide(now=1.0) == []


def test_nobody_hears_that_a_pod_waits_for_scorers():
    hands = cluster(nodes=1)
    hands.see(claim("c0", count=5), pod("p0", claims=["c0"]))
    hands.settle()
    before = len(hands.asked)
    hands.see(node("large"), gpus("large", 8))
    hands.decide(now=20.0)

    said = hands.asked[before:]
    assert [type(each) for each in said if not isinstance(each, Slow)] == [ScoreRemotely]


answers = st.sampled_from(["good", "late", "never", "short", "nan"])


@given(st.lists(st.lists(answers, min_size=2, max_size=2), min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_same_events_decide_the_same_whatever_scorers_do(behaviours, chance):
    """A replay of what an engine heard, at the times at which it heard it, asks for the same."""
    log = []

    def play(hands, event, now):
        hands.now = now
        out = hands.tell(event)
        log.append((event, now))
        return out

    hands = cluster(*range(len(behaviours)), nodes=4, remote=(STRONG, WEAK))
    late, now = [], 0.0
    for step in range(30):
        now = round(now + (chance.choice([0.0, 0.005, 0.03, 0.4]) if step < 20 else 0.06 + SPARE_S), 6)
        todo = play(hands, Drained(), now)
        while todo:
            instruction, *todo = todo
            if isinstance(instruction, ScoreRemotely):
                number = int(instruction.pod.name.removeprefix("p"))
                for name, how in zip(instruction.scorers, behaviours[number], strict=True):
                    scores = tuple(chance.random() for _ in instruction.candidates)
                    scores = {"short": scores[1:], "nan": (float("nan"),) * len(scores)}.get(how, scores)
                    event = RemoteScored(instruction.pod.uid, instruction.generation, name, scores)
                    if how == "late":
                        late.append((now + 0.1 + chance.choice([0.0, SPARE_S]), event))
                    elif how != "never":
                        todo += play(hands, event, now)
            else:
                todo += recorded(hands, instruction, now, log)
        for due, event in [each for each in late if each[0] <= now]:
            late.remove((due, event))
            play(hands, event, now)
    first = [each for each in hands.asked if isinstance(each, RecordDecision | BindPod)]

    again = cluster(*range(len(behaviours)), nodes=4, remote=(STRONG, WEAK))
    for event, at in log:
        again.now = at
        again.tell(event)

    assert repr([each for each in again.asked if isinstance(each, RecordDecision | BindPod)]) == repr(first)
    assert len([each for each in first if isinstance(each, BindPod)]) == len(behaviours)


def recorded(hands, instruction, now, log):
    """Obey, noting every event that this tells the engine."""
    hands.now = now
    tell = hands.tell

    def noting(event):
        log.append((event, now))
        return tell(event)

    hands.tell = noting
    try:
        return hands.obey(instruction)
    finally:
        hands.tell = tell


def test_in_a_simulation_they_are_absent_unless_somebody_brings_them():
    asked = ScoreRemotely(PodRef("ns", "p", build.Uid("u")), 3, ("a", "b"), 0, 0, ())

    found = Api().scorers(asked)

    assert [(each.scorer, each.scores, bool(each.problem)) for each in found] == [("a", (), True), ("b", (), True)]


@given(st.lists(st.floats(), max_size=4), st.integers(0, 4))
def test_only_one_score_in_0_to_1_a_candidate_can_be_used(scores, count):
    good = len(scores) == count and all(0 <= score <= 1 for score in scores)

    assert (problem_of(scores, count) == "") == good
