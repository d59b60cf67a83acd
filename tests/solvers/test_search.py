"""The device search of one node against plain enumeration."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.solvers.search import MAX_RESULTS, NodeProblem, solve_node
from scoring.scorers import SET_SCORERS
from scoring.topology.base import Layout


def layout(size: int, numa: list[int] | None = None, links: dict[tuple[int, int], float] | None = None) -> Layout:
    bandwidth = np.zeros((size, size), np.float32)
    for (a, b), speed in (links or {}).items():
        bandwidth[a, b] = bandwidth[b, a] = speed
    domains = np.array(numa if numa is not None else [0] * size, np.int32)
    return Layout(bandwidth, domains, np.full(size, -1, np.int32), "test")


def problem(size: int, *wants: tuple[int, list[int]], free: list[int] | None = None, **more) -> NodeProblem:
    fields = {
        "layout": layout(size),
        "free": tuple(range(size) if free is None else free),
        "wants": tuple((count, tuple(positions)) for count, positions in wants),
        "matches": (),
        "limits": (0,) * len(wants),
        "weights": (1.0,) * len(SET_SCORERS),
    }
    return NodeProblem(**{**fields, **more})


def fits(asked: NodeProblem) -> bool:
    """By trying everything."""
    free = set(asked.free)
    choices = []
    for count, positions in asked.wants:
        if count:
            choices.append(list(combinations([p for p in positions if p in free], count)))
        else:
            choices.append([positions] if positions and free.issuperset(positions) else [])
    return any(legal(asked, pick) for pick in product(*choices))


def legal(asked: NodeProblem, chosen) -> bool:
    flat = [p for part in chosen for p in part]
    if len(flat) != len(set(flat)) or not set(flat) <= set(asked.free):
        return False
    for (count, positions), part in zip(asked.wants, chosen, strict=True):
        if not set(part) <= set(positions) or len(part) != (count or len(positions)) or not part:
            return False
    for wants, labels in asked.matches:
        values = {labels[p] for want in wants for p in chosen[want]}
        if len(values) > 1 or -1 in values:
            return False
    return True


@st.composite
def problems(draw):
    size = draw(st.integers(1, 6))
    positions = st.lists(st.integers(0, size - 1), unique=True, max_size=size).map(sorted)
    wants = draw(st.lists(st.tuples(st.integers(0, 3), positions), min_size=1, max_size=4))
    matches = []
    for _ in range(draw(st.integers(0, 2))):
        members = draw(st.lists(st.integers(0, len(wants) - 1), min_size=1, unique=True))
        labels = draw(st.lists(st.integers(-1, 2), min_size=size, max_size=size))
        matches.append((tuple(members), tuple(labels)))
    return problem(
        size,
        *wants,
        free=draw(positions),
        matches=tuple(matches),
        layout=layout(size, draw(st.lists(st.integers(-1, 1), min_size=size, max_size=size))),
        first_fit=draw(st.booleans()),
    )


@settings(max_examples=400, deadline=None)
@given(problems())
def test_a_set_is_found_exactly_when_one_exists_and_it_is_legal(asked):
    found = solve_node(asked, budget=10_000)

    assert not found.exhausted
    assert (found.chosen is not None) == fits(asked)
    if found.chosen is not None:
        assert legal(asked, found.chosen)


def test_equal_requests_that_explode_a_depth_first_search_are_answered_by_counting():
    requests = [(1, list(range(12)))] * 12

    assert solve_node(problem(12, *requests, free=list(range(11))), budget=10).chosen is None
    assert solve_node(problem(12, *requests), budget=10).chosen is not None


def test_the_last_request_may_need_the_device_that_is_listed_first():
    requests = [(1, list(range(11)))] * 10 + [(1, [0])]

    found = solve_node(problem(11, *requests), budget=10)

    assert found.chosen is not None
    assert found.chosen[-1] == (0,)


def test_a_pair_takes_the_link():
    bridged = layout(8, [0] * 4 + [1] * 4, {(0, 2): 300, (1, 3): 300, (4, 5): 300, (6, 7): 300})

    found = solve_node(problem(8, (2, list(range(8))), layout=bridged), budget=10)

    assert found.chosen[0] in {(0, 2), (1, 3), (4, 5), (6, 7)}


def test_first_fit_takes_the_first_devices():
    bridged = layout(8, None, {(0, 2): 300})

    found = solve_node(problem(8, (2, list(range(8))), layout=bridged, first_fit=True), budget=10)

    assert found.chosen == ((0, 1),)


def test_every_set_of_eight_of_sixteen_is_compared():
    found = solve_node(problem(16, (8, list(range(16))), layout=layout(16, [0, 1] * 8)), budget=10)

    assert not found.truncated
    assert len({p % 2 for p in found.chosen[0]}) == 1


def test_where_sets_are_too_many_a_good_one_is_taken_and_it_is_said():
    found = solve_node(problem(64, (8, list(range(64))), layout=layout(64, [i % 8 for i in range(64)])), budget=10)

    assert found.truncated
    assert len({p % 8 for p in found.chosen[0]}) == 1


def test_a_spent_budget_is_not_a_no():
    labels = tuple(range(9))
    wants = [(1, list(range(9 - number))) for number in range(3)]
    matches = tuple(((index,), labels) for index in range(3))

    found = solve_node(problem(9, *wants, matches=matches, free=list(range(9))), budget=1)

    assert found.chosen is None
    assert found.exhausted
    assert solve_node(problem(9, *wants, matches=matches), budget=1000).chosen is not None


def test_all_devices_of_a_request_count_against_the_limit_of_a_claim():
    found = solve_node(problem(MAX_RESULTS + 1, (0, list(range(MAX_RESULTS + 1)))), budget=10)

    assert found.chosen is None


@pytest.mark.parametrize("taken", [0, 3])
def test_all_means_none_of_them_in_use(taken):
    free = [p for p in range(4) if p != taken]

    assert solve_node(problem(4, (0, [0, 1, 2, 3]), free=free), budget=10).chosen is None
