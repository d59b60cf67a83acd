"""Laws of every scorer, and each equal to plain loops."""

from dataclasses import fields
from itertools import combinations
from math import isnan, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.flaws import Flaw
from scoring.scorers import CARD_SCORER, NODE_SCORERS, PREFERENCE, SCORERS, SET_SCORERS, STATE_SCORERS, WISH_SCORERS
from scoring.scorers.base import Loads, Sets, SetScorer, check
from scoring.topology.base import Layout

NAN = float("nan")


def layout_of(bandwidth, numa, pcie, linkable, switch, rail):
    columns = np.array(bandwidth, np.float32), np.array(numa, np.int32), np.array(pcie, np.int32)
    more = np.array(linkable, np.bool_), np.array(switch, np.int32), np.array(rail, np.int32)
    return Layout(*columns, "test", *more)


@st.composite
def sets(draw):
    n = draw(st.integers(0, 10))
    speeds = st.sampled_from([0.0, NAN, 25.0, 50.0, 300.0, 450.0]) | st.floats(0, 2000, width=32)
    bandwidth = np.zeros((n, n), np.float32)
    for i, j in combinations(range(n), 2):
        bandwidth[i, j] = bandwidth[j, i] = draw(speeds)
    domain = st.lists(st.integers(-1, 2), min_size=n, max_size=n)
    bits = st.lists(st.booleans(), min_size=n, max_size=n)
    free = np.array(draw(bits), np.bool_)
    rows = draw(st.lists(bits, max_size=6))
    members = np.array(rows, np.bool_).reshape(len(rows), n) & free
    layout = layout_of(bandwidth, draw(domain), draw(domain), draw(bits), draw(domain), draw(domain))
    flaws = draw(st.lists(st.sampled_from(Flaw), min_size=n, max_size=n))
    return Sets(layout, free, members, np.array(flaws, np.int8))


amounts = st.tuples(st.integers(0, 10**12), st.integers(-5, 10**12))


@st.composite
def loads(draw):
    asked = st.tuples(st.integers(0, 10**9), st.integers(0, 10**9))
    changes = st.tuples(st.integers(0, 10**6))
    rows = draw(st.lists(st.tuples(amounts, amounts, amounts, asked, amounts, changes), max_size=6))
    columns = np.array([[value for part in row for value in part] for row in rows], np.int64).reshape(len(rows), 11)
    return Loads(*columns.T)


# ---------------------------------------------------------------- the same in plain loops


def saturated(gbps):
    return gbps / (gbps + 100)


def link(layout, i, j):
    value = float(layout.bandwidth[i, j])
    return 0.0 if isnan(value) else value


def together(domain, i, j):
    return domain[i] == domain[j] and domain[i] != -1


def bandwidth_of(layout, free, chosen):
    chosen = [i for i in chosen if layout.linkable[i]]
    speeds = [link(layout, i, j) for i, j in combinations(chosen, 2)]
    return 0.5 * saturated(min(speeds)) + 0.5 * saturated(sum(speeds) / len(speeds)) if speeds else 1.0


def locality_of(layout, free, chosen):
    pairs = list(combinations(chosen, 2))
    if not pairs:
        return 1.0
    numa = sum(together(layout.numa, i, j) for i, j in pairs) / len(pairs)
    pcie = sum(together(layout.pcie, i, j) for i, j in pairs) / len(pairs)
    return (numa + pcie) / 2


def alignment_of(layout, free, chosen):
    def near(i, j):
        if i == j:
            return 0.0
        if together(layout.rail, i, j) or together(layout.switch, i, j):
            return 1.0
        return 0.9 if together(layout.pcie, i, j) else 0.5 if together(layout.numa, i, j) else 0.0

    spanned = sum(1 / sum(i == j or together(layout.numa, i, j) for j in chosen) for i in chosen)
    gpus = [i for i in chosen if layout.linkable[i]]
    nics = [i for i in chosen if not layout.linkable[i]]
    beside = 1.0
    if gpus and nics:
        found = [max(near(i, j) for j in nics) for i in gpus] + [max(near(i, j) for j in gpus) for i in nics]
        beside = sum(found) / len(found)
    return 0.5 / max(spanned, 1) + 0.5 * beside


def sockets_of(layout, free, chosen):
    def alike(node):
        here = [i for i in range(layout.size) if layout.linkable[i] and layout.numa[i] == node]
        return len({link(layout, i, j) for i, j in combinations(here, 2)}) < 2

    def room(devices, size):
        numa = [layout.numa[i] for i in devices if layout.linkable[i] and layout.numa[i] != -1]
        return size * sum(numa.count(each) // size for each in set(numa) if alike(each))

    taken = [i for i in chosen if layout.linkable[i]]
    left = [i for i in free if i not in chosen]
    lost = sum(room(free, size) - room(left, size) for size in (2, 4, 8))
    return 1 / (1 + lost / max(len(taken), 1))


def health_of(layout, free, chosen, flaws):
    worth = [(1.0, 0.8, 0.3, 0.1, 0.0)[flaws[i]] for i in chosen]
    return 0.5 * min(worth) + 0.5 * sum(worth) / len(worth) if worth else 1.0


def islands_of(layout, free, chosen):
    chosen = [i for i in chosen if layout.linkable[i]]
    free = {i for i in free if layout.linkable[i]}
    cut = 0.0
    for i in chosen:
        for j in free - set(chosen):
            cut += 0.7 * saturated(link(layout, i, j))
            cut += 0.2 * together(layout.numa, i, j) + 0.1 * together(layout.pcie, i, j)
    return 1.0 if not chosen else 1 - (cut / len(chosen)) / (cut / len(chosen) + 1)


def unused(left, total):
    return min(max(left, 0), total) / total if total else 0.0


def packing_of(devices, devices_left, cpu, cpu_left, memory, memory_left, *others):
    return (
        0.8 * (1 - unused(devices_left, devices))
        + 0.1 * (1 - unused(cpu_left, cpu))
        + 0.1 * (1 - unused(memory_left, memory))
    )


def spreading_of(*amounts):
    return 1 - packing_of(*amounts)


def stability_of(*amounts):
    return 1 / (1 + log2(1 + amounts[-1]))


def most_of(devices, devices_left, cpu, cpu_left, memory, memory_left, cpu_asked, memory_asked, *others):
    cpu_counted, memory_counted, _ = others
    pairs = [(cpu_counted, cpu), (memory_counted, memory)]
    shares = [min(max(counted, 0), total) / total for counted, total in pairs if total > 0]
    return sum(shares) / len(shares) if shares else 0.0


def least_of(*amounts):
    return 1 - most_of(*amounts) if amounts[2] > 0 or amounts[4] > 0 else 0.0


def balanced_of(devices, devices_left, cpu, cpu_left, memory, memory_left, cpu_asked, memory_asked, *others):
    def balance(more_cpu, more_memory):
        if cpu <= 0 or memory <= 0:
            return 1.0
        used = [
            min(max(1 - (cpu_left + more_cpu) / cpu, 0), 1),
            min(max(1 - (memory_left + more_memory) / memory, 0), 1),
        ]
        return 1 - abs(used[0] - used[1]) / 2

    return 0.5 + (0.5 + balance(0, 0) - balance(cpu_asked, memory_asked)) / 2


SET_ORACLE = {
    "bandwidth": bandwidth_of,
    "locality": locality_of,
    "alignment": alignment_of,
    "islands": islands_of,
    "sockets": sockets_of,
    "health": health_of,
}
NODE_ORACLE = {
    "packing": packing_of,
    "spreading": spreading_of,
    "stability": stability_of,
    "least": least_of,
    "most": most_of,
    "balanced": balanced_of,
}


@pytest.mark.parametrize("scorer", SET_SCORERS, ids=lambda scorer: scorer.name)
@given(sets())
@settings(max_examples=150, deadline=None)
def test_set_scores_keep_the_contract_and_equal_plain_loops(scorer, sets):
    scores = check(scorer, scorer.score(sets), len(sets.members))

    free = set(np.flatnonzero(sets.free).tolist())
    chosen = [np.flatnonzero(row).tolist() for row in sets.members]
    also = (sets.flaws.tolist(),) if scorer.name == "health" else ()
    expected = [SET_ORACLE[scorer.name](sets.layout, free, row, *also) for row in chosen]
    np.testing.assert_allclose(scores, expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("scorer", NODE_SCORERS, ids=lambda scorer: scorer.name)
@given(loads())
@settings(max_examples=150, deadline=None)
def test_node_scores_keep_the_contract_and_equal_plain_loops(scorer, loads):
    scores = check(scorer, scorer.score(loads), len(loads.devices))

    columns = [getattr(loads, field.name) for field in fields(Loads)]
    expected = [NODE_ORACLE[scorer.name](*map(int, row)) for row in zip(*columns, strict=True)]
    np.testing.assert_allclose(scores, expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("scorer", SET_SCORERS, ids=lambda scorer: scorer.name)
@given(sets(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_devices_and_of_sets_changes_no_score(scorer, sets, random):
    n, count = sets.layout.size, len(sets.members)
    devices, rows = list(range(n)), list(range(count))
    random.shuffle(devices)
    random.shuffle(rows)
    layout = sets.layout
    moved = Sets(
        layout_of(
            layout.bandwidth[np.ix_(devices, devices)],
            layout.numa[devices],
            layout.pcie[devices],
            layout.linkable[devices],
            layout.switch[devices],
            layout.rail[devices],
        ),
        sets.free[devices],
        sets.members[rows][:, devices],
        sets.flaws[devices],
    )

    assert scorer.score(moved).tolist() == scorer.score(sets)[rows].tolist()


def test_registries_hold_every_scorer_file_once():
    from pathlib import Path

    import scoring.scorers

    files = {path.stem for path in Path(scoring.scorers.__file__).parent.glob("*.py")} - {"__init__", "base"}
    assert sorted(scorer.name for scorer in SCORERS) == sorted(files)
    assert {*SET_ORACLE, *NODE_ORACLE} == {scorer.name for scorer in (*SET_SCORERS, *NODE_SCORERS)}
    others = set(SCORERS) - {*SET_SCORERS, *NODE_SCORERS}
    # tests/scorers/test_states.py, tests/scorers/test_partitions.py, tests/scorers/test_wishes.py, and below
    assert others == {*STATE_SCORERS, CARD_SCORER, PREFERENCE, *WISH_SCORERS}
    assert all(scorer.says for scorer in SCORERS)


lists = st.integers(0, 16).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(0, 7), min_size=size, max_size=size)] * 2)
)


@given(lists)
def test_the_preference_score_is_in_the_order_of_preference(pair):
    one, other = (PREFERENCE.worth(sum(chosen), len(chosen)) for chosen in pair)

    assert 0 <= one <= 1
    assert one == pytest.approx(1 - sum(pair[0]) / max(8 * len(pair[0]), 1), abs=1e-6)
    assert (one > other) == (sum(pair[0]) < sum(pair[1]))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([0.5, 0.5], "list"),
        (np.array([0.5, 0.5]), "float64"),
        (np.zeros((2, 1), np.float32), r"\(2, 1\)"),
        (np.zeros(3, np.float32), "3 scores for 2"),
        (np.array([0, 1.5], np.float32), "1.5 of candidate 1"),
        (np.array([-0.1, 0], np.float32), "candidate 0"),
        (np.array([0, NAN], np.float32), "nan of candidate 1"),
    ],
)
def test_a_scorer_that_breaks_its_contract_is_named(values, problem):
    class Odd(SetScorer):
        name = "odd"
        says = ""

        def score(self, sets):
            return values

    with pytest.raises(ValueError, match=f"^scorer odd: .*{problem}"):
        check(Odd(), Odd().score(None), 2)
