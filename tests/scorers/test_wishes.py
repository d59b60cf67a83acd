"""Scores of what pods prefer, beside those that kube-scheduler gives, in its whole percents."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.scorers import WISH_SCORERS
from scoring.scorers.base import Wishes, check

MEGABYTE = 1024 * 1024
by_name = {scorer.name: scorer for scorer in WISH_SCORERS}


def default_normalized(scores, *, reverse):
    """`DefaultNormalizeScore` of pkg/scheduler/framework/plugins/helper."""
    most = max(scores, default=0)
    if most == 0:
        return [100 if reverse else 0 for _ in scores]
    return [100 - 100 * score // most if reverse else 100 * score // most for score in scores]


def upstream_affinity(scores):
    return default_normalized(scores, reverse=False)


def upstream_welcome(scores):
    return default_normalized(scores, reverse=True)


def upstream_company(scores):
    least, most = min(scores), max(scores)
    return [int(100 * ((score - least) / (most - least))) if most > least else 0 for score in scores]


def upstream_evenness(scores):
    """`None` are nodes without a key."""
    known = [score for score in scores if score is not None]
    least, most = min(known, default=0), max(known, default=0)
    return [0 if each is None else 100 if not most else 100 * (most + least - each) // most for each in scores]


def upstream_images(score, containers):
    least, most = 23 * MEGABYTE, 1000 * MEGABYTE * containers
    return 100 * (min(max(score, least), most) - least) // (most - least)


def scored(name, values, parts=1):
    measured = np.array([math.nan if each is None else each for each in values], np.float64)
    known = [each for each in values if each is not None]
    scorer = by_name[name]
    return check(
        scorer, scorer.score(Wishes(measured, min(known, default=0), max(known, default=0), parts)), len(values)
    )


def close(ours, theirs):
    return all(abs(one - other / 100) <= 0.0100001 for one, other in zip(ours.tolist(), theirs, strict=True))


counts = st.lists(st.integers(0, 300), min_size=1, max_size=8)


@given(counts)
@settings(max_examples=200)
def test_affinity_and_welcome_are_normalized_as_upstream(values):
    assert close(scored("affinity", values), upstream_affinity(values))
    assert close(scored("welcome", values), upstream_welcome(values))


@given(st.lists(st.integers(-300, 300), min_size=1, max_size=8))
@settings(max_examples=200)
def test_company_is_normalized_as_upstream(values):
    assert close(scored("company", values), upstream_company(values))


@given(st.lists(st.none() | st.integers(0, 40), min_size=1, max_size=8))
@settings(max_examples=200)
def test_evenness_is_normalized_as_upstream(values):
    assert close(scored("evenness", values), upstream_evenness(values))


@given(st.lists(st.integers(0, 4000 * MEGABYTE), min_size=1, max_size=8), st.integers(1, 4))
@settings(max_examples=200)
def test_images_are_counted_as_upstream(values, containers):
    assert close(scored("images", values, containers), [upstream_images(each, containers) for each in values])


def upstream_storage(requested, capacity):
    """`buildScorerFunction` of VolumeBinding with the default shape: 100 for nothing taken, 0 for all of it."""
    return 100 - (100 * requested // capacity if 0 < capacity >= requested else 100)


@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 9000)), min_size=1, max_size=8))
@settings(max_examples=200)
def test_storage_is_scored_as_upstream(pairs):
    shares = [min(requested / capacity, 1.0) if capacity else 1.0 for requested, capacity in pairs]

    assert close(scored("storage", shares), [upstream_storage(*pair) for pair in pairs])


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("affinity", [0, 50, 100], [0, 0.5, 1]),
        ("affinity", [0, 0], [0, 0]),
        ("welcome", [0, 1, 2], [1, 0.5, 0]),
        ("welcome", [0, 0], [1, 1]),
        ("company", [-5, 0, 5], [0, 0.5, 1]),
        ("company", [7, 7], [0, 0]),
        ("evenness", [0, 2, 4], [1, 0.5, 0]),
        ("evenness", [2, 4, None], [1, 0.5, 0]),
        ("evenness", [0, None], [1, 0]),
        ("storage", [0, 0.25, 1, None], [1, 0.75, 0, 0]),
        ("images", [0, 23 * MEGABYTE, 511.5 * MEGABYTE, 1000 * MEGABYTE, 9000 * MEGABYTE], [0, 0, 0.5, 1, 1]),
    ],
)
def test_a_few_that_can_be_done_in_the_head(name, values, expected):
    assert scored(name, values).tolist() == pytest.approx(expected)
