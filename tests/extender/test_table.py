"""A table that is kept up to date row by row says what one says that is made anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.extender.judged import Judged, Wish
from scoring.extender.table import Ask, Node, NodeState, Table, Usual
from scoring.market import market_of
from scoring.opinion import Opinion
from scoring.topology.base import Layout
from scoring.topology.nvlink import mesh, uniform
from scoring.weights import Weights

PAIRS = mesh(4, {1: [(0, 2), (1, 3)]}, 300.0)
LAYOUTS = [
    Layout(uniform(4, 450.0), np.array([0, 0, 1, 1], np.int32), np.array([0, 0, 1, 1], np.int32), "switched"),
    Layout(PAIRS, np.array([0, 0, 0, 0], np.int32), np.array([0, 1, 2, 3], np.int32), "bridged"),
    Layout(uniform(2, 0.0), np.array([0, 1], np.int32), np.array([-1, -1], np.int32), "shared"),
]
PRODUCTS = ["a", "b"]
ASKED = [
    Wish((Ask(1, 0, ("a",)),), 1_000, 0),
    Wish((Ask(2, 0, ("a", "b")),), 0, 1_000),
    Wish((Ask(1, 0, ("a",)), Ask(2, 0, ("b",))), 0, 0),
    Wish((Ask(1, 250, ("a", "b")),), 1_000, 0),
    Wish((), 2_000, 2_000),
]
MIX = [Usual(Ask(2, 0, ("a",)), 4_000, 3.0), Usual(Ask(1, 250, ("b",)), 1_000, 2.0), Usual(Ask(0, 0, ()), 500, 1.0)]
OPINION = Opinion(Weights({"packing": 5.0, "spreading": 1.0, "stability": 3.0}))


@st.composite
def states(draw, layout):
    size = LAYOUTS[layout].size
    each = st.sampled_from([0, 1000]) if layout < 2 else st.integers(0, 8).map(lambda eighths: 125 * eighths)
    left = draw(st.lists(each, min_size=size, max_size=size).map(tuple))
    flaws = draw(st.just((0,) * size) | st.lists(st.integers(0, 4), min_size=size, max_size=size).map(tuple))
    amounts = st.integers(-1_000, 8_000)
    return NodeState(left, draw(amounts), draw(amounts), draw(st.booleans()), flaws, draw(st.integers(0, 9)))


@st.composite
def nodes(draw, number):
    layout = draw(st.integers(0, 2))
    size = LAYOUTS[layout].size
    products = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size).map(tuple))
    cpu = draw(st.sampled_from([8_000, 16_000]))
    return Node(f"n{number}", layout, products, (layout == 2,) * size, cpu, 8_000, draw(states(layout)))


@st.composite
def histories(draw):
    first = [draw(nodes(number)) for number in range(draw(st.integers(1, 6)))]
    later = []
    layouts = [node.layout for node in first]
    for number in range(draw(st.integers(0, 8))):
        row = draw(st.integers(0, len(layouts)))
        kind = draw(st.sampled_from(["state", "node", "removed"])) if row < len(layouts) else "node"
        if kind == "node":
            node = draw(nodes(100 + number))
            layouts[row : row + 1] = [node.layout]
            later.append((row, node))
        else:
            later.append((row, draw(states(layouts[row])) if kind == "state" else None))
    return first, later


def settle(judged, table):
    while not judged.refresh(table):
        pass
    assert judged.settled(table)
    return judged


def change(table, row, what):
    if isinstance(what, Node):
        table.put(row, what)
    elif what is None:
        table.remove(row)
    elif table.live[row]:
        table.put_state(row, what)


def said(judged, table):
    rows = np.flatnonzero(judged.rank[: table.size] >= 0)
    return (
        judged.total[: table.size].tolist(),
        judged.rank[: table.size].tolist(),
        judged.positions[rows].tolist(),
        judged.breakdown(rows).tolist(),
    )


@given(histories())
@settings(max_examples=60, deadline=None)
def test_row_by_row_and_anew_are_the_same(drawn):
    first, later = drawn
    table = Table(LAYOUTS, PRODUCTS)
    for row, node in enumerate(first):
        table.put(row, node)
    table.trade(market_of(table.sample(MIX, 0.5), table.supply()))
    kept = [settle(Judged(wish, OPINION), table) for wish in ASKED]

    for row, what in later:
        change(table, row, what)
        kept[0].refresh(table)

    for wish, judged in zip(ASKED, kept, strict=True):
        assert said(settle(judged, table), table) == said(settle(Judged(wish, OPINION), table), table)


def test_a_table_grows_and_changes_that_are_too_long_ago_are_worked_out_anew():
    table = Table(LAYOUTS, PRODUCTS)
    node = Node(
        "n", 0, (0, 0, 0, 0), (False,) * 4, 8_000, 8_000, NodeState((1000,) * 4, 8_000, 8_000, False, (0,) * 4, 0)
    )
    judged = Judged(ASKED[0], OPINION)
    for row in range(3):
        table.put(row, node)
    settle(judged, table)

    for row in range(3, 200):
        table.put(row, node)
    for _ in range(1_000):
        table.put_state(0, NodeState((0,) * 4, 8_000, 8_000, True, (0,) * 4, 0))
    settle(judged, table)

    assert table.since(1) is None
    assert judged.rank[0] == -1
    assert (judged.rank[1:200] == judged.rank[1]).all()
    assert judged.rank[1] > 0


def test_the_best_come_first_and_equals_in_the_order_of_rows():
    table = Table(LAYOUTS, PRODUCTS)
    whole = NodeState((1000,) * 4, 8_000, 8_000, False, (0,) * 4, 0)
    broken = NodeState((1000,) * 4, 8_000, 8_000, False, (4,) * 4, 0)
    for row, state in enumerate([broken, whole, whole, broken, whole]):
        table.put(row, Node(f"n{row}", 0, (0,) * 4, (False,) * 4, 8_000, 8_000, state))
    judged = settle(Judged(ASKED[0], OPINION), table)

    assert judged.best(4, np.ones(5, np.bool_)).tolist() == [1, 2, 4, 0]
    assert judged.best(2, np.array([True, False, True, True, True])).tolist() == [2, 4]
    assert judged.best(9, np.zeros(5, np.bool_)).tolist() == []


def test_a_piece_lists_only_so_many_sets_anew(monkeypatch):
    """However many kinds of nodes a table has, the loop and the deadline have their turn between some of them."""
    kinds = 12
    layouts = [
        Layout(uniform(16, float(kind)), np.zeros(16, np.int32), np.zeros(16, np.int32), str(kind))
        for kind in range(kinds)
    ]
    table = Table(layouts, PRODUCTS)
    for row in range(kinds):
        whole = NodeState((1000,) * 16, 8_000, 8_000, False, (0,) * 16, 0)
        table.put(row, Node(f"n{row}", row, (0,) * 16, (False,) * 16, 8_000, 8_000, whole))
    judged = Judged(Wish((Ask(8, 0, ("a",)),), 0, 0), OPINION)

    rounds = 1
    while not judged.refresh(table):
        rounds += 1

    assert kinds / 3 <= rounds <= kinds
    assert (judged.rank[:kinds] > 0).all()
    assert judged._listed <= 100_000 + 3 * 12_870


@pytest.mark.parametrize("pieces", [1, 3])
def test_work_in_pieces_ends_where_the_whole_does(pieces, monkeypatch):
    monkeypatch.setattr("scoring.extender.judged._PIECE", 5 // pieces)
    table = Table(LAYOUTS, PRODUCTS)
    for row in range(5):
        state = NodeState((1000, 0, 1000, 1000), 8_000, 8_000, row % 2 == 0, (0,) * 4, row)
        table.put(row, Node(f"n{row}", row % 2, (0, 1, 0, 1), (False,) * 4, 8_000, 8_000, state))
    judged = Judged(ASKED[1], OPINION)

    rounds = 1
    while not judged.refresh(table):
        rounds += 1

    assert rounds == (1 if pieces == 1 else 5)
    assert (judged.rank[:5] > 0).all()
