"""The ranking finds what a look at every node finds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core import ranking as module
from scheduler.core.ranking import Ranking

SIZE = 256


@pytest.fixture(autouse=True)
def as_shipped(monkeypatch):
    """Sizes that a test changes are put back."""
    monkeypatch.setattr(module, "_LEADERS", module._LEADERS)


changes = st.lists(
    st.lists(
        st.tuples(st.integers(0, SIZE - 1), st.integers(-1, 3)), min_size=1, max_size=12, unique_by=lambda e: e[0]
    ),
    min_size=1,
    max_size=6,
)
# Orders that begin alike are told apart by their ends.
orders = st.lists(st.sampled_from([0, 1, 2**24, 2**24 + 1, 2**55, 2**56 - 1]), min_size=SIZE, max_size=SIZE)


@pytest.mark.parametrize("leaders", [2, 32])
@given(changes, orders)
def test_the_best_two_are_those_of_a_full_look(leaders, steps, order):
    module._LEADERS = leaders
    order = np.array(order, np.int64)
    ranking, ranks = Ranking(SIZE), np.full(SIZE, -1, np.int64)
    for step in steps:
        rows = np.array([row for row, _ in step], np.int32)
        ranks[rows] = [rank for _, rank in step]
        ranking.put(rows, ranks[rows], order)

        fitting = sorted(np.flatnonzero(ranks >= 0).tolist(), key=lambda row: (-ranks[row], order[row], row))
        expected = [*fitting, None, None][:2]
        assert ranking.best(order) == tuple(expected)
        assert ranking.fitting == len(fitting)
        assert [ranking.rank(row) for row in rows.tolist()] == ranks[rows].tolist()


seen = st.lists(
    st.tuples(st.sets(st.integers(0, SIZE - 1), min_size=1, max_size=20), st.booleans()), min_size=1, max_size=8
)


@pytest.mark.parametrize("leaders", [2, 32])
@given(seen, st.lists(st.integers(-1, 3), min_size=SIZE, max_size=SIZE), orders)
def test_hidden_nodes_are_left_out_and_are_what_they_were_when_they_are_shown(leaders, steps, ranks, order):
    module._LEADERS = leaders
    ranks, order, hidden = np.array(ranks, np.int64), np.array(order, np.int64), set()
    ranking = Ranking(SIZE)
    ranking.put(np.arange(SIZE, dtype=np.int32), ranks, order)
    for rows, away in steps:
        if away:
            ranking.hide(np.array(sorted(rows - hidden), np.int32))
            hidden |= rows
        elif hidden:
            ranking.show(np.array(sorted(rows & hidden), np.int32), order)
            hidden -= rows

        fitting = [row for row in np.flatnonzero(ranks >= 0).tolist() if row not in hidden]
        fitting.sort(key=lambda row: (-ranks[row], order[row], row))
        assert ranking.best(order) == tuple([*fitting, None, None][:2])
        assert ranking.fitting == len(fitting)


def test_a_few_hidden_nodes_leave_the_others_in_order():
    ranking, order = Ranking(SIZE), np.arange(SIZE, dtype=np.int64)
    ranking.put(np.arange(SIZE, dtype=np.int32), np.full(SIZE, 7), order)
    ranking.best(order)

    few = np.array([0, 2], np.int32)
    ranking.hide(few)
    assert ranking._leaders is not None
    ranking.show(few, order)
    assert ranking._leaders is not None
    assert ranking.best(order) == (0, 1)


def test_a_cleared_ranking_has_no_best():
    ranking, order = Ranking(SIZE), np.arange(SIZE, dtype=np.int64)
    ranking.put(np.arange(SIZE, dtype=np.int32), np.full(SIZE, 7), order)

    ranking.clear()

    assert ranking.best(order) == (None, None)
    assert ranking.fitting == 0
