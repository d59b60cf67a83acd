import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2e.bench.bounds import Bounds
from e2e.bench.lp import bound
from e2e.bench.policies import POLICIES, reference
from e2e.bench.trace import Job, Machine, Shape, Trace

ONE = (Machine("a", 64000, 64, 1, "T4"),)
TWO = (Machine("a", 8000, 64, 2, "T4"), Machine("b", 64000, 64, 2, "G2"))


@pytest.mark.parametrize(
    ("machines", "demand", "percent"),
    [
        (ONE, {Shape(1, 1, 1, 600): 2}, 60),
        (ONE, {Shape(1, 1, 1, 600): 2, Shape(1, 1, 1, 300): 1}, 90),
        (ONE, {Shape(1, 1, 1, 500): 2}, 100),
        (ONE, {Shape(1, 1, 1, 500): 1}, 50),
        (ONE, {Shape(1, 1, 2, 1000): 1}, 0),  # no machine has two
        (TWO, {Shape(8000, 1, 1, 1000): 9}, 75),  # cpu for one on a, and for eight on b
        (TWO, {Shape(1, 1, 1, 1000, ("T4",)): 9}, 50),
        (TWO, {Shape(1, 40, 1, 1000): 9}, 80),  # memory for 1.6 of them on either
        (TWO, {Shape(9, 9, 0, 0): 9}, 0),
    ],
)
def test_bounds_that_can_be_computed_in_the_head(machines, demand, percent):
    assert bound(machines, demand) == pytest.approx(percent, abs=1e-4)


shapes = st.builds(
    Shape,
    st.sampled_from([1000, 8000]),
    st.sampled_from([1, 16]),
    st.just(1),
    st.sampled_from([230, 460, 470, 810, 1000]),
    st.sampled_from([(), ("T4",)]),
)


@settings(deadline=None, max_examples=25)
@given(st.lists(shapes, min_size=1, max_size=25), st.sampled_from(sorted(POLICIES)))
def test_no_policy_uses_more_than_the_bound(asked, name):
    made = Trace("made", TWO, tuple(Job(f"p{i}", shape) for i, shape in enumerate(asked)))
    placed = reference(name, made, range(2), 0).place(asked)
    used = sum(shape.demand for shape, each in zip(asked, placed, strict=True) if each)

    counts = {shape: asked.count(shape) for shape in asked}

    assert 100 * used / made.capacity <= bound(TWO, counts) + 1e-3


def test_bounds_are_kept_and_are_not_taken_for_those_of_another_trace(tmp_path):
    file = tmp_path / "bounds.json"
    made = Trace("made", ONE, (Job("p", Shape(1, 1, 1, 600)),))
    other = Trace("made", ONE, (Job("p", Shape(1, 1, 1, 700)),))

    assert Bounds(compute=False, file=file).fill(made, 1) is None
    assert Bounds(compute=True, file=file).fill(made, 1) == 60
    assert Bounds(compute=True, file=file).churn(made, 1.0) == 60

    kept = Bounds(compute=False, file=file)
    assert kept.fill(made, 1) == 60
    assert kept.churn(made, 1.0) == 60
    assert kept.fill(made, 2) is None
    assert kept.fill(other, 1) is None
    assert json.loads(file.read_text())[made.digest]["trace"] == "made"
