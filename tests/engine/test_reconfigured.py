"""Other weights while the engine runs: it goes on as one that was started with them, and loses nothing."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core import names
from scheduler.core.config import LIVE, EngineConfig, Overrides, Ownership, RemoteScorer
from scheduler.core.errors import FaultError
from scheduler.core.explain import render, to_dict
from scheduler.core.gates import Gates
from scheduler.core.messages import (
    Gone,
    Reconfigured,
    RecordDecision,
    RemoteScored,
    ReportIgnored,
    ScoreRemotely,
    SolveWindow,
    WindowSolved,
    WriteAllocation,
)
from scheduler.core.slow import answer
from scheduler.core.topology import Spellings
from scoring.profiles import PROFILES
from scoring.weights import DEFAULTS
from tests import build
from tests.build import claim, gpus, node, pod, pod_uid
from tests.driving import Hands

SPREAD = {"weights": {"spreading": 5000, "packing": 0}, "digest": "spread"}
PACK = {"weights": {"packing": 5000, "spreading": 0}, "digest": "pack"}


def become(hands, **changes):
    return hands.tell(Reconfigured(replace(hands.engine.config, **changes)))


def half_used(**config):
    """n1 has a running pod, n2 has none; both have two devices left."""
    busy = [pod("busy", node="n1", cpu=2000)]
    return Hands(node("n1"), node("n2"), gpus("n1", 2), gpus("n2", 2), *busy, **config)


def ask(hands, name, **words):
    hands.see(claim(f"c-{name}"), pod(name, claims=[f"c-{name}"], cpu=1000, **words))
    return hands


def decided(hands):
    return {each.decision.pod: each.decision for each in hands.of(RecordDecision)}


def test_the_next_pod_goes_by_the_new_weights_and_says_so():
    hands = ask(half_used(**PACK), "a").settle()
    become(hands, **SPREAD)
    ask(hands, "b").settle()

    assert (hands.node_of("a"), hands.node_of("b")) == ("n1", "n2")
    assert [decided(hands)[f"default/{name}"].config for name in "ab"] == ["pack", "spread"]


weightings = st.dictionaries(
    st.sampled_from(sorted(DEFAULTS)), st.sampled_from([0.0, 1.0, 30.0, 800.0, 5000.0]), max_size=4
)


def usable(each):
    changes = PROFILES[each["profile"]]
    return not changes or not changes.keys() <= each["weights"].keys()


configurations = st.fixed_dictionaries({
    "weights": weightings,
    "profile": st.sampled_from(["default", "binpack", "training"]),
    "overrides": st.sampled_from([Overrides(), Overrides(profiles=frozenset({"spread"}))]),
    "solver": st.sampled_from(["greedy", "regret"]),
    "batch": st.sampled_from([1, 256]),
}).filter(usable)  # fmt: skip


def lived(before, after):
    """An engine that decided under `before`: of its pods some are gone, some run and some are on their way."""
    hands = Hands(*[item for i in range(4) for item in (node(f"n{i}", cpu=8000), gpus(f"n{i}", 4))], **before)
    # These fill a node each, which is named: they go where they go by any weights.
    for i in range(2):
        hands.see(claim(f"full{i}", count=4), pod(f"full{i}", claims=[f"full{i}"], affinity=build.on_node(f"n{i}")))
    hands.settle()
    hands.tell(Gone("Pod", "default/full0", pod_uid("full0")))
    hands.tell(Gone("ResourceClaim", "default/full0", build.claim_uid("full0")))
    hands.see(claim("flying", count=3), pod("flying", claims=["flying"], affinity=build.on_node("n2")))
    hands.decide()
    become(hands, **after)
    return hands


@settings(max_examples=40, deadline=None)
@given(configurations, configurations, st.lists(st.integers(1, 3), min_size=1, max_size=5))
def test_an_engine_that_was_told_equals_one_that_was_started_so(before, after, sizes):
    told, started = lived(before, after), lived(after, after)
    for hands in (told, started):
        for number, size in enumerate(sizes):
            words = {"annotations": {names.PROFILE: "spread"}} if number % 2 else {}
            name = f"p{number}"
            hands.see(claim(name, count=size), pod(name, claims=[name], created=f"{number:03d}", **words))
        hands.settle()

    later = [f"default/p{number}" for number in range(len(sizes))]
    assert {key: decided(told).get(key) for key in later} == {key: decided(started).get(key) for key in later}
    assert told.devices_of("flying") == started.devices_of("flying")


def test_what_was_assumed_stays_assumed():
    hands = ask(ask(half_used(**PACK), "a"), "b")
    (first, second) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]
    become(hands, **SPREAD)
    ask(ask(ask(hands, "c"), "d"), "e").decide()

    held = [each.identity for write in hands.of(WriteAllocation) for each in write.allocation.results]
    assert len(held) == len(set(held)) == 4
    hands.obey_all([first, second])
    assert hands.node_of("a") == hands.node_of("b") == "n1"


def test_pods_that_wait_for_a_plan_by_the_old_weights_are_decided_at_once():
    hands = next(each for seed in range(50) if (each := crossed(seed)) is not None)
    (asked,) = hands.of(SolveWindow)
    become(hands, weights={"bandwidth": 1.0})
    again = hands.settle().of(SolveWindow)

    assert len(again) == 2
    assert again[1].generation > asked.generation
    assert (hands.node_of("p"), hands.node_of("q")) == ("n2", "n1")
    assert not hands.engine._held
    before = len(hands.asked)
    hands.tell(answer(asked))
    assert isinstance(answer(asked), WindowSolved)
    assert hands.decide() == []
    assert len(hands.asked) == before


def test_scorers_of_others_are_asked_anew_about_what_the_new_weights_like_best():
    hands = Hands(*[item for i in range(3) for item in (node(f"n{i}"), gpus(f"n{i}"))],
                  remote=(RemoteScorer("thermal", 10_000.0, 0.05),))  # fmt: skip
    ask(hands, "a").decide()
    (first,) = hands.of(ScoreRemotely)
    become(hands, **PACK)
    hands.decide()
    second = hands.of(ScoreRemotely)[-1]
    late = hands.tell(RemoteScored(first.pod.uid, first.generation, "thermal", (1.0,) * len(first.candidates)))

    assert second.generation > first.generation
    assert late == []
    assert hands.decide() == []
    scores = tuple(float(each.node == "n2") for each in second.candidates)
    hands.tell(RemoteScored(second.pod.uid, second.generation, "thermal", scores))
    hands.settle()
    assert (hands.node_of("a"), decided(hands)["default/a"].config) == ("n2", "pack")


def crossed(seed):
    """Pod p may use both devices and takes the one that q needs; None where the seed has it otherwise."""
    only = 'device.attributes["gpu.example.com"].model == "x"'
    hands = Hands(
        node("n1"), node("n2"),
        gpus("n1", 1, attributes={"model": "x"}), gpus("n2", 1, attributes={"model": "y"}),
        claim("a"), claim("b", selectors=(only,)),
        pod("p", claims=["a"], created="a"), pod("q", claims=["b"], created="b"), seed=seed,
    )  # fmt: skip
    hands.decide()
    return hands if hands.of(SolveWindow) else None


def test_a_pod_whose_annotation_is_allowed_now_is_told_nothing_more_and_follows_it():
    hands = Hands(node("n1"), overrides=Overrides(profiles=frozenset({"binpack"})))
    hands.see(claim("c"), pod("p", claims=["c"], annotations={names.PROFILE: "spread"}))
    hands.settle()
    (told,) = hands.of(ReportIgnored)

    become(hands, overrides=Overrides())
    hands.settle()
    hands.see(gpus("n1"))
    hands.pass_time(10.0)

    assert "may not be chosen" in told.message
    assert hands.of(ReportIgnored) == [told]
    assert decided(hands)["default/p"].profile == "spread"
    assert not hands.engine._ignored


def test_a_pod_that_waits_is_told_at_once_what_counts_now():
    hands = Hands(node("n1"), claim("c"), pod("p", claims=["c"], annotations={names.PROFILE: "night"})).settle()
    become(hands, profile="binpack")
    hands.settle()

    first, second = hands.of(ReportIgnored)
    assert "weights of profile default count" in first.message
    assert "weights of profile binpack count" in second.message


def test_classes_of_weights_that_no_profile_has_are_dropped():
    hands = ask(half_used(**PACK), "a").settle()
    for weight in range(50):
        become(hands, weights={"packing": float(weight)})
        ask(hands, f"x{weight}").settle()

    assert len(hands.engine._classes) == 1


@pytest.mark.parametrize("change", [
    {"seed": 7}, {"scheduler_name": "other"}, {"scheduler_profiles": {"other": "default"}},
    {"gates": Gates.of_version(35)},
    {"ownership": Ownership(drivers=frozenset({"x"}))}, {"spellings": Spellings(numa=("a.example/b",))},
    {"device_choice": "first-fit"}, {"fabric_partitions": False}, {"verify_plans": False}, {"binding_timeout_s": 5.0},
])  # fmt: skip
def test_what_cannot_change_while_it_runs_is_refused(change):
    hands = half_used()

    with pytest.raises(FaultError, match="cannot change"):
        become(hands, **change)


def test_what_may_change_is_a_part_of_the_configuration():
    assert set(LIVE) <= set(EngineConfig.__dataclass_fields__)


# ---------------------------------------------------------------- several schedulerNames


def test_pods_of_each_scheduler_name_have_its_profile_and_all_are_ours():
    hands = half_used(scheduler_profiles={"dovetail-batch": "training"}, profile="binpack")
    ask(ask(ask(hands, "a"), "b", scheduler="dovetail-batch"), "c", scheduler="stranger").settle()

    assert {key: each.profile for key, each in decided(hands).items()} == {
        "default/a": "binpack",
        "default/b": "training",
    }
    assert hands.node_of("c") == ""


def test_weights_reach_the_chosen_profile_and_not_that_of_another_scheduler_name():
    hands = half_used(scheduler_profiles={"batch": "training"}, weights={"depth": 3.0})
    ask(ask(hands, "a"), "b", scheduler="batch").settle()

    assert decided(hands)["default/a"].weights["depth"] == 3.0
    assert decided(hands)["default/b"].weights["depth"] == DEFAULTS["depth"]


def test_an_annotation_that_is_not_followed_leaves_a_pod_the_profile_of_its_scheduler_name():
    hands = half_used(scheduler_profiles={"batch": "training"}, overrides=Overrides(profiles=frozenset()))
    for name, words in (("a", {}), ("b", {"scheduler": "batch"}), ("own", {"scheduler": "batch"})):
        ask(hands, name, annotations={names.PROFILE: "training" if name == "own" else "spread"}, **words)
    hands.settle()

    found = decided(hands)
    assert (found["default/a"].profile, found["default/b"].profile) == ("default", "training")
    assert all(found[f"default/{name}"].ignored for name in "ab")
    assert (found["default/own"].profile, found["default/own"].ignored) == ("training", "")


def test_the_profile_of_a_scheduler_name_changes_live():
    hands = half_used(scheduler_profiles={"batch": "training"})
    become(hands, scheduler_profiles={"batch": "binpack"})
    ask(hands, "b", scheduler="batch").settle()

    assert decided(hands)["default/b"].profile == "binpack"


def test_a_profile_of_a_scheduler_name_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"schedulerProfiles\.batch = 'trainig'.*did you mean training\?"):
        half_used(scheduler_profiles={"batch": "trainig"})


# ---------------------------------------------------------------- what is shown


def test_the_digest_is_shown_where_a_decision_is_and_left_out_where_nobody_made_one():
    with_one, without = ask(half_used(digest="0123456789ab"), "a").settle(), ask(half_used(), "a").settle()

    shown = [to_dict(decided(each)["default/a"]) for each in (with_one, without)]

    assert shown[0]["config"] == "0123456789ab"
    assert "weights of profile default, configuration 0123456789ab" in render(shown[0])
    assert "config" not in shown[1]
    assert "weights of profile default\n" in render(shown[1])
