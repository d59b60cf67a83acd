"""The table of all sets says what the search says, for every state of a node."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.solvers.search import NodeProblem, solve_node
from scheduler.core.solvers.table import answer_of, table_of
from scoring.scorers import SET_SCORERS
from scoring.sets import spread
from scoring.topology.base import Layout
from scoring.weights import Weights

WEIGHTS = tuple(Weights().vector(SET_SCORERS).tolist())


@st.composite
def problems(draw):
    size = draw(st.integers(1, 9))
    bandwidth = np.zeros((size, size), np.float32)
    speeds = st.sampled_from([0.0, float("nan"), 50.0, 300.0])
    for i in range(size):
        for j in range(i):
            bandwidth[i, j] = bandwidth[j, i] = draw(speeds)
    domain = st.lists(st.integers(-1, 2), min_size=size, max_size=size).map(lambda each: np.array(each, np.int32))
    linkable = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)), np.bool_)
    layout = Layout(bandwidth, draw(domain), draw(domain), "test", linkable)
    owners = draw(st.lists(st.integers(-1, 1), min_size=size, max_size=size))  # of each position which group it serves
    groups = [tuple(i for i in range(size) if owners[i] == group) for group in (0, 1)]
    able = [group for group in groups if group] or [tuple(range(size))]
    wants = tuple(draw(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(able)), min_size=1, max_size=3)))
    labels = st.lists(st.integers(-1, 2), min_size=size, max_size=size).map(tuple)
    matches = tuple((tuple(range(len(wants))), draw(labels)) for _ in range(draw(st.integers(0, 2))))
    limits = tuple(draw(st.integers(0, 1)) for _ in wants)
    states = draw(st.lists(st.integers(0, 2**size - 1), min_size=1, max_size=12))
    flaws = draw(st.just(()) | st.tuples(*[st.integers(0, 4)] * size))
    return NodeProblem(layout, (), wants, matches, limits, WEIGHTS, flaws=flaws), states


def searched(problem, state):
    free = tuple(position for position in range(problem.layout.size) if state >> position & 1)
    return solve_node(replace(problem, free=free), 500)


@given(problems())
@settings(max_examples=300, deadline=None)
def test_a_table_answers_like_the_search(drawn):
    problem, states = drawn
    table = table_of(problem, 500)

    at = table.find(states)

    assert [answer_of(table, each) for each in at.tolist()] == [searched(problem, state) for state in states]


def test_states_met_later_do_not_move_those_met_before():
    problem = _plain(8, 2)
    table = table_of(problem, 500)
    before = table.find([255, 15])
    answers = [answer_of(table, each) for each in before.tolist()]

    table.find(range(256))

    assert table.find([255, 15]).tolist() == before.tolist()
    assert [answer_of(table, each) for each in before.tolist()] == answers


def test_what_a_table_cannot_hold_is_left_to_the_search():
    plain = _plain(8, 2)
    assert table_of(plain, 500) is not None
    assert table_of(_plain(20, 10), 500) is None  # 184,756 sets
    assert table_of(replace(plain, wants=((0, tuple(range(8))),)), 500) is None  # mode All
    assert table_of(replace(plain, wants=((1, (0, 1)), (1, (1, 2)))), 500) is None  # some devices in common
    beside = replace(plain, wants=((1, (0, 1)), (2, (2, 3, 4))), limits=(0, 0))
    assert table_of(beside, 500) is not None
    two = replace(plain, wants=((1, (0, 1)), (1, (0, 1))), limits=(0, 0))
    assert table_of(replace(two, matches=(((0,), (0,) * 8),)), 500) is None  # a constraint on one of them
    assert table_of(replace(plain, matches=(((0,), (0, 1, 2, 3, 4, 5, 6, 7)),)), 7) is None  # more values than steps
    assert table_of(replace(plain, first_fit=True), 500) is None


def test_bits_are_spread_over_positions():
    assert spread([0b101, 0], 3).tolist() == [[True, False, True], [False, False, False]]
    assert spread([1 << 11], 12)[0].tolist() == [False] * 11 + [True]
    assert spread([1 << 62, 0], 63)[0].tolist() == [False] * 62 + [True]
    assert spread([0, 1 << 70], 71)[1].tolist() == [False] * 70 + [True]


def _plain(size, count):
    none = np.full(size, -1, np.int32)
    layout = Layout(np.zeros((size, size), np.float32), none, none, "test")
    return NodeProblem(layout, (), ((count, tuple(range(size))),), (), (0,), WEIGHTS)
