"""Whose weights count for a pod: profiles, annotations within the admin's limits, and what happens beyond them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.cluster.decode import decode
from scheduler.core import names
from scheduler.core.config import EngineConfig, Overrides
from scheduler.core.messages import BindPod, Gone, RecordDecision, ReportIgnored, ReportUnschedulable
from scheduler.core.opinions import MAX_TEXT, Opinions
from scheduler.simulator import fleet
from scoring.profiles import PROFILES
from scoring.weights import DEFAULTS, Weights
from tests import build
from tests.build import claim, gpus, node, pod, request
from tests.driving import Hands

LIMITS = Overrides(weights={"bandwidth": (0, 100), "packing": (1, 5)})


def asking(name="p", profile=None, weights=None, **fields):
    """A pod with annotations; weights that are no text are written as JSON."""
    text = weights if weights is None or isinstance(weights, str) else json.dumps(weights)
    given_words = {names.PROFILE: profile, names.WEIGHTS: text}
    return pod(name, annotations={key: value for key, value in given_words.items() if value is not None}, **fields)


def heard(preference_of, **config):
    return Opinions(EngineConfig(**config)).of(preference_of)


def decided(hands, name="p"):
    return [each.decision for each in hands.of(RecordDecision) if each.decision.pod == f"default/{name}"][-1]


# ---------------------------------------------------------------- what counts


def test_a_pod_without_annotations_has_the_weights_of_the_configuration():
    plain = heard(pod("p"))
    chosen = heard(pod("p"), profile="training", weights={"bandwidth": 1})

    assert (plain.profile, plain.opinion.weights, plain.problem) == ("default", Weights(), "")
    assert (chosen.profile, chosen.problem) == ("training", "")
    assert chosen.opinion.weights == Weights({**PROFILES["training"], "bandwidth": 1})


@pytest.mark.parametrize("name", PROFILES)
def test_a_pod_may_choose_every_profile_unless_the_admin_says_otherwise(name):
    found = heard(asking(profile=name))

    assert (found.profile, found.opinion.weights, found.problem) == (name, Weights(PROFILES[name]), "")


def test_a_pod_that_names_the_default_profile_has_what_it_has_without():
    stated = {"profile": "training", "weights": {"bandwidth": 1}, "overrides": Overrides(profiles=frozenset())}

    assert heard(asking(profile="training"), **stated) == heard(pod("p"), **stated)


def test_weights_of_the_configuration_do_not_reach_other_profiles():
    found = heard(asking(profile="spread"), weights={"bandwidth": 1})

    assert found.opinion.weights == Weights(PROFILES["spread"])


def test_an_admin_changes_shipped_profiles_and_adds_others():
    own = {"spread": {"islands": 1}, "night": {"depth": 0}}

    changed, added = (heard(asking(profile=name), profiles=own) for name in own)

    assert changed.opinion.weights == Weights({**PROFILES["spread"], "islands": 1})
    assert added.opinion.weights == Weights({"depth": 0})


def test_weights_of_a_pod_are_merged_over_its_profile():
    found = heard(asking(profile="training", weights={"bandwidth": 7}), overrides=LIMITS)

    assert (found.profile, found.problem) == ("training", "")
    assert found.opinion.weights == Weights({**PROFILES["training"], "bandwidth": 7})


@pytest.mark.parametrize(("weights", "problem"), [
    ({"packing": 1}, ""), ({"packing": 5}, ""), ({"bandwidth": 0}, ""), ({}, ""),
    ({"packing": 0.999}, "packing"), ({"packing": 5.001}, "packing"), ({"bandwidth": 100.5}, "bandwidth"),
])  # fmt: skip
def test_limits_include_their_ends(weights, problem):
    found = heard(asking(weights=weights), overrides=LIMITS)

    assert (problem in found.problem) if problem else not found.problem


# ---------------------------------------------------------------- what is not followed

WRONG_PROFILES = {
    "trainig": ("no profile is called 'trainig'", "did you mean training?"),
    "": ("no profile is called ''", "known are default, binpack"),
    "Training": ("no profile is called 'Training'", "did you mean training?"),
    "x" * 300_000: ("is longer than 63 characters", "allowed are: default, binpack"),
    "a\nb\u202e\ud800": (r"no profile is called 'a\nb\u202e\ud800'", "known are"),
}


@pytest.mark.parametrize(("name", "words"), WRONG_PROFILES.items(), ids=range(len(WRONG_PROFILES)))
def test_a_profile_that_is_none_is_named_with_what_would_do(name, words):
    found = heard(asking(profile=name))

    assert found.problem.startswith("annotation dovetail.scheduler/profile: ")
    assert all(each in found.problem for each in words)
    assert (found.profile, found.opinion.weights) == ("default", Weights())


def test_a_profile_that_is_not_allowed_is_named_with_those_that_are():
    some = Overrides(profiles=frozenset({"training", "binpack"}))

    problem = heard(asking(profile="spread"), overrides=some).problem
    typo = heard(asking(profile="sprea"), overrides=some).problem
    nothing = heard(asking(profile="spread"), overrides=Overrides(profiles=frozenset())).problem

    assert "'spread' may not be chosen by pods; allowed are: binpack, training" in problem
    assert "no profile is called 'sprea'; known are binpack, training" in typo
    assert "allowed are: none" in nothing


WRONG_WEIGHTS = {
    '{"islands": 3}': ("'islands': may not be set by pods", "allowed are: bandwidth 0 to 100, packing 1 to 5"),
    '{"bandwith": 3}': ("'bandwith': no scorer has this name", "did you mean bandwidth?"),
    '{"bandwidth": -1}': ("'bandwidth': -1 is beyond the limits", "allowed is 0 to 100"),
    '{"bandwidth": 1e400}': ("'bandwidth': Infinity is beyond the limits",),
    '{"bandwidth": Infinity}': ("'bandwidth': Infinity is beyond the limits",),
    '{"bandwidth": -Infinity}': ("'bandwidth': -Infinity is beyond the limits",),
    '{"bandwidth": NaN}': ("'bandwidth': NaN is beyond the limits",),
    '{"bandwidth": 1' + "0" * 500 + "}": ("'bandwidth': a huge number is beyond the limits",),
    '{"bandwidth": true}': ("'bandwidth': true is not a number", "allowed is 0 to 100"),
    '{"bandwidth": null}': ("'bandwidth': null is not a number",),
    '{"bandwidth": "40"}': ("'bandwidth': '40' is not a number",),
    '{"bandwidth": {"bandwidth": 1}}': ("'bandwidth': an object is not a number",),
    '{"bandwidth": [40]}': ("'bandwidth': a list is not a number",),
    '{"bandwidth": 1, "bandwidth": 2}': ("bandwidth is given twice",),
    '{"bandwidth": 1, "packing": 0}': ("'packing': 0 is beyond the limits", "allowed is 1 to 5"),
    "": ("is not JSON", 'write {"bandwidth": 40}'),
    "bandwidth=40": ("is not JSON",),
    "[": ("is not JSON",),
    "[" * MAX_TEXT: ("is not JSON",),
    "[]": ("is a list, not an object",),
    "40": ("is 40, not an object",),
    json.dumps({f"w{i}": i for i in range(1000)}): ("is longer than 1024 characters",),
    json.dumps({"bandwidth": 40}) + " " * MAX_TEXT: ("is longer than 1024 characters",),
}


@pytest.mark.parametrize(("text", "words"), WRONG_WEIGHTS.items(), ids=[text[:40] for text in WRONG_WEIGHTS])
def test_weights_that_are_not_followed_are_named_with_what_would_do(text, words):
    found = heard(asking(profile="training", weights=text), overrides=LIMITS)

    assert found.problem.startswith("annotation dovetail.scheduler/weights: ")
    assert all(each in found.problem for each in words)
    assert (found.profile, found.opinion.weights) == ("default", Weights())


def test_no_weight_may_be_set_unless_the_admin_says_so():
    assert "'bandwidth': may not be set by pods; allowed are: none" in heard(asking(weights={"bandwidth": 1})).problem


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=8
)
keys = st.sampled_from([*DEFAULTS, "packing", "bandwidth"]) | st.text(max_size=5)
texts = st.text() | st.dictionaries(keys, values).map(json.dumps) | values.map(json.dumps)


@settings(max_examples=400, deadline=None)
@given(st.none() | st.text() | st.sampled_from([*PROFILES]), st.none() | texts)
def test_whatever_the_annotations_say_there_are_weights_to_schedule_by(profile, text):
    found = heard(asking(profile=profile, weights=text), overrides=LIMITS)

    assert found.problem.isprintable()
    assert len(found.problem) < 500
    if found.problem:
        assert (found.profile, found.opinion.weights) == ("default", Weights())
    else:
        shipped = Weights(PROFILES[found.profile]).values
        changed = {name: weight for name, weight in found.opinion.weights.values.items() if weight != shipped[name]}
        assert all(LIMITS.weights[name][0] <= weight <= LIMITS.weights[name][1] for name, weight in changed.items())


def test_what_was_read_is_remembered_within_bounds(monkeypatch):
    monkeypatch.setattr(Opinions, "MAX_READ", 3)
    opinions = Opinions(EngineConfig(overrides=LIMITS))

    first = opinions.of(asking(weights={"bandwidth": 1}))
    again = opinions.of(asking(weights={"bandwidth": 1}))
    for i in range(10):
        opinions.of(asking(weights={"bandwidth": i}))

    assert again is first
    assert len(opinions._read) == 3


# ---------------------------------------------------------------- what becomes of the pods


def half_used(taken=4, **config):
    """Two equal nodes of eight GPUs, of which the first runs a pod with so many."""
    devices = [build.result(f"gpu-{i}") for i in range(taken)]
    held = build.allocated(claim("a", count=taken), *devices, reserved_for=["old"])
    old = pod("old", claims=["a"], node="n1")
    return Hands(node("n1"), node("n2"), gpus("n1"), gpus("n2"), held, old, **config)


def test_two_pods_of_one_demand_and_two_profiles_go_to_different_nodes():
    hands = half_used()
    for name in ("binpack", "spread"):
        hands.see(claim(f"c-{name}"), asking(name, profile=name, claims=[f"c-{name}"]))
    hands.settle()

    assert {name: hands.node_of(name) for name in ("binpack", "spread")} == {"binpack": "n1", "spread": "n2"}
    assert len(hands.engine._classes) == 2
    assert decided(hands, "spread").profile == "spread"
    assert decided(hands, "spread").weights == Weights(PROFILES["spread"]).values


def growing(taken):
    """As half_used, in a cluster that has seen pods come and none leave."""
    hands = half_used(taken)
    hands.see(node("full"), gpus("full", 16))
    for i in range(16):
        only = {build.HOSTNAME: "full"}
        hands.see(claim(f"full-{i}"), pod(f"full-{i}", claims=[f"full-{i}"], selector=only))
        hands.settle()
    return hands


@pytest.mark.parametrize("profile", PROFILES)
def test_which_node_a_pod_opens_is_up_to_the_profile(profile):
    half, almost = growing(taken=4), growing(taken=7)
    for hands in (half, almost):
        hands.see(claim("c"), asking(profile=profile, claims=["c"]))
        hands.settle()

    assert half.node_of("p") == ("n2" if profile == "spread" else "n1")
    assert almost.node_of("p") == ("n1" if profile in {"binpack", "training"} else "n2")


@pytest.mark.parametrize(("boxes", "count", "expected"), [
    # A bridged pair tears less; NVSwitch is faster. One socket of a mesh is enough for four where links mean little.
    (["a100-pcie-bridged", "dgx-h100"], 2, {"default": 0, "training": 0, "topology-first": 1, "inference-shared": 0}),
    (["dgx1-v100", "dgx-h100"], 4, {"default": 1, "training": 1, "topology-first": 1, "inference-shared": 0}),
    (["a100-pcie-bridged", "dgx1-v100"], 4, {"default": 1, "training": 1, "topology-first": 1, "inference-shared": 0}),
])  # fmt: skip
def test_how_much_faster_links_count_is_up_to_the_profile(boxes, count, expected):
    objects = fleet.fleet(dict.fromkeys(boxes, 1)) + fleet.device_classes()
    found = {}
    for profile in expected:
        hands = Hands(*(decode(raw["kind"], {**raw, "metadata": {**raw["metadata"], "uid": "u"}}) for raw in objects))
        hands.see(
            claim("c", request(count=count, device_class="gpu.nvidia.com")), asking(profile=profile, claims=["c"])
        )
        hands.settle()
        found[profile] = hands.node_of("p").removesuffix("-0")

    assert found == {profile: boxes[at] for profile, at in expected.items()}


def test_pods_whose_weights_come_to_the_same_share_a_class():
    hands = half_used(overrides=LIMITS, profiles={"same": {"bandwidth": 3}})
    for number, words in enumerate(
        [{"weights": {"bandwidth": 3}}, {"weights": '{"bandwidth": 3.0}'}, {"profile": "same"}]
    ):
        hands.see(claim(f"c{number}"), asking(f"p{number}", claims=[f"c{number}"], **words))
    hands.settle()

    assert len(hands.of(BindPod)) == 3
    assert len(hands.engine._classes) == 1


def test_a_pod_whose_annotation_is_not_followed_is_scheduled_by_the_default_and_its_owner_is_told():
    plain, hands = half_used(), half_used()
    for each in (plain, hands):
        words = {"profile": "sprad"} if each is hands else {}
        each.see(claim("c"), asking(claims=["c"], **words))
        each.settle()

    assert hands.node_of("p") == plain.node_of("p") != ""
    assert plain.of(ReportIgnored) == []
    (told,) = hands.of(ReportIgnored)
    assert told.pod.uid == build.pod_uid("p")
    assert "pod default/p: annotation dovetail.scheduler/profile: " in told.message
    assert "did you mean spread?" in told.message
    assert "weights of profile default count" in told.message
    assert decided(hands).ignored in told.message
    assert hands.of(ReportUnschedulable) == []


def test_a_pod_that_waits_is_told_once_and_again_when_its_annotation_changes():
    hands = Hands(node("n1"), claim("c"), asking(claims=["c"], profile="sprad")).settle()
    hands.pass_time(120.0)
    assert len(hands.of(ReportIgnored)) == 1

    hands.see(asking(claims=["c"], profile="bin", version="2"))
    hands.pass_time(240.0)
    assert len(hands.of(ReportIgnored)) == 2

    hands.see(gpus("n1"), asking(claims=["c"], profile="spread", version="3"))
    hands.settle()
    assert len(hands.of(ReportIgnored)) == 2
    assert (hands.node_of("p"), decided(hands).profile, decided(hands).ignored) == ("n1", "spread", "")
    assert not hands.engine._ignored


def test_what_was_told_is_forgotten_with_the_pod():
    hands = Hands(node("n1"), claim("c"), asking(claims=["c"], profile="sprad")).settle()
    assert hands.engine._ignored

    hands.tell(Gone("Pod", "default/p", build.pod_uid("p")))

    assert not hands.engine._ignored
