"""What is told of a decision is all that it says, in one form: against a plain writer of the same."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.explain import heard_of, to_dict, to_json
from scheduler.core.plan import Decision, Heard, Option

TEXTS = st.text(max_size=12)
SHARES = st.floats(0.0, 1.0)
NUMBERS = st.dictionaries(TEXTS, SHARES, max_size=4)
OPTIONS = st.builds(
    Option,
    TEXTS,
    st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=3).map(tuple),
    st.floats(-10.0, 10.0),
    NUMBERS,
    TEXTS,
    st.booleans(),
)
COUNTS = st.integers(0, 10**6)
DECISIONS = st.builds(
    Decision,
    TEXTS,
    OPTIONS,
    st.none() | OPTIONS,
    COUNTS,
    COUNTS,
    NUMBERS,
    TEXTS,
    TEXTS,
    TEXTS,
    TEXTS,
    st.lists(st.builds(Heard, TEXTS, SHARES, NUMBERS, TEXTS), max_size=3).map(tuple),
)


def option(told):
    found = {
        "node": told.node,
        "devices": ["/".join(device) for device in told.devices],
        "total": round(told.total, 4),
        "scores": {name: round(score, 4) for name, score in told.scores.items()},
        "links": told.links,
    }
    return found | {"truncated": True} if told.truncated else found


def heard(told, scores):
    found = {"scorer": told.scorer, "weight": told.weight}
    if told.problem:
        return found | {"absent": told.problem}
    return found | {"scores": told.scores} if scores else found


def said(decision, scores):
    """All of a decision in the order of the annotation; what is empty is left out where it may be."""
    may_be_left_out = {
        "config": decision.config,
        "ignored": decision.ignored,
        "window": decision.window,
        "remote": [heard(each, scores) for each in decision.remote],
        "runnerUp": decision.runner_up and option(decision.runner_up),
    }
    return {
        "pod": decision.pod,
        "nodes": decision.nodes,
        "feasibleNodes": decision.feasible_nodes,
        "winner": option(decision.winner),
        "profile": decision.profile,
        **{name: told for name, told in may_be_left_out.items() if told},
        "weights": decision.weights,
    }


@given(DECISIONS)
def test_the_annotation_says_all_of_a_decision_but_the_scores_of_others(decision):
    assert to_json(decision) == json.dumps(said(decision, scores=False), separators=(",", ":"))


@given(DECISIONS)
def test_a_decision_as_data_is_the_annotation_with_the_scores_of_others(decision):
    whole = said(decision, scores=True)

    assert to_dict(decision) == whole
    assert to_dict(decision, weights=False) == {name: told for name, told in whole.items() if name != "weights"}
    assert to_dict(decision, heard=False) == said(decision, scores=False)


@given(DECISIONS)
def test_what_others_said_is_read_back(decision):
    known = tuple(replace(each, scores={}) if each.problem else each for each in decision.remote)

    assert heard_of(to_dict(decision)) == known
