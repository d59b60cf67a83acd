"""Combinations of values of constraints: none is missed, and none is there twice under other names."""

from itertools import combinations, product
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.solvers.valuations import valuations


def found(wants, matches, free, fixed=None):
    return list(valuations(wants, matches, fixed or {}, set(free)))


def pairs(count, size, cards=None):
    """`count` pairs of a GPU and a card on `size` roots with one GPU each, and cards as `cards` says."""
    cards = cards or [1] * size
    roots = [*range(size), *(root for root, many in enumerate(cards) for _ in range(many))]
    gpus, nics = tuple(range(size)), tuple(range(size, len(roots)))
    wants = [(1, part) for _ in range(count) for part in (gpus, nics)]
    return wants, [((2 * n, 2 * n + 1), tuple(roots)) for n in range(count)], range(len(roots))


@pytest.mark.parametrize(("count", "size"), [(1, 8), (4, 8), (8, 8), (16, 16)])
def test_pairs_are_told_apart_by_their_roots_alone(count, size):
    values = found(*pairs(count, size))

    assert values == list(combinations(range(size), count))
    assert len(values) == comb(size, count)


def test_a_root_is_taken_as_often_as_it_has_a_card():
    assert found(*pairs(2, 3, cards=[0, 1, 2])) == [(1, 2)]
    assert found(*pairs(3, 3, cards=[0, 5, 5])) == []


def test_two_devices_of_a_root_serve_two_twins():
    roots = (0, 0, 1)
    wants = [(1, (0, 1, 2))] * 2

    assert found(wants, [((0,), roots), ((1,), roots)], range(3)) == [(0, 0), (0, 1)]


def test_what_differs_is_no_twin():
    roots = (0, 1)
    wants = [(1, (0, 1)), (1, (0, 1))]

    by_labels = found(wants, [((0,), roots), ((1,), (1, 0))], range(2))
    by_others = found(wants, [((0,), roots), ((1,), roots), ((1,), (0, 0))], range(2))

    assert by_labels == list(product((0, 1), repeat=2))
    assert by_others == [(a, b, 0) for a, b in product((0, 1), repeat=2)]


def test_requests_for_all_devices_have_the_value_of_what_they_take():
    wants = [(0, (0, 1)), (1, (2, 3))]

    assert found(wants, [((0, 1), (7, 7, 7, 8))], {2, 3}, {0: (0, 1)}) == [(7,)]
    assert found(wants, [((0, 1), (7, 8, 7, 8))], {2, 3}, {0: (0, 1)}) == []


@st.composite
def problems(draw):
    """Some kinds of requests, copies of a constraint over copies of them, and further constraints."""
    size = draw(st.integers(1, 6))
    subset = st.lists(st.integers(0, size - 1), unique=True, min_size=1).map(lambda each: tuple(sorted(each)))
    kinds = draw(st.lists(st.tuples(st.integers(1, 2), subset), min_size=1, max_size=2))
    labels = st.lists(st.integers(-1, 2), min_size=size, max_size=size).map(tuple)
    copies = draw(st.integers(1, 3))
    wants = kinds * copies
    shared = draw(labels)
    groups = [tuple(range(n * len(kinds), (n + 1) * len(kinds))) for n in range(copies)]
    matches = [(members, shared) for members in groups]
    members = st.lists(st.integers(0, len(wants) - 1), unique=True, min_size=1).map(tuple)
    matches += draw(st.lists(st.tuples(members, labels), max_size=1))
    order = draw(st.permutations(range(len(matches))))
    return wants, [matches[number] for number in order], draw(st.lists(st.integers(0, size - 1), unique=True))


@settings(max_examples=300, deadline=None)
@given(problems())
def test_every_set_of_devices_that_serves_is_among_them(asked):
    wants, matches, free = asked
    values = found(*asked)
    every, reached = set(), set()
    for picks in product(*(combinations([p for p in positions if p in free], count) for count, positions in wants)):
        flat = [position for pick in picks for position in pick]
        held = [{labels[p] for want in members for p in picks[want]} for members, labels in matches]
        if len(set(flat)) == len(flat) and all(len(each) == 1 and -1 not in each for each in held):
            every.add(frozenset(flat))
            if tuple(each.pop() for each in held) in values:
                reached.add(frozenset(flat))

    assert reached == every
    assert values == sorted(set(values))
