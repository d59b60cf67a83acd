"""Few changed nodes are judged one after the other, many in columns: the results are the same to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2e.bench.scoring import REQUESTS, cluster, demand
from scheduler.core import candidates as module
from scheduler.core.budget import Budget
from scheduler.core.candidates import Candidates
from scheduler.core.catalogue import Catalogue
from scheduler.core.config import EngineConfig
from scoring.market import market_of
from scoring.mix import Mix
from scoring.opinion import Opinion
from scoring.weights import Weights

NODES, DEVICES = 40, 4
ASKED = [
    (False, (1,), ""),
    (False, (2,), ""),
    (False, (1, 1), ""),
    (True, (1,), "10Gi"),
    (True, (1,), "37Gi"),
    (True, (2,), "10Gi"),
]
clusters = {shared: cluster(NODES, DEVICES, shared=shared, seed=3) for shared in (False, True)}


def fresh(state, counts, memory, weights):
    catalogue = Catalogue(EngineConfig())
    catalogue.stock.refresh(state)
    found = Candidates(demand(state, counts, (), memory), catalogue, Opinion(Weights(weights)))
    found.refresh(state, Budget(10**12))
    mix = Mix()
    for _ in range(3):
        mix.arrive(found.asks(state))
    catalogue.stock.trade(market_of(mix.sample(), catalogue.stock.supply()))
    found.refresh(state, Budget(10**12))
    return found


def results(found, state):
    rows = np.flatnonzero(state.nodes.live)
    ranks = [found._ranking.rank(row) for row in rows.tolist()]
    fitting = [row for row, rank in zip(rows.tolist(), ranks, strict=True) if rank >= 0]
    answers = [found.answer(row).chosen for row in fitting]
    return ranks, answers, found.saved[fitting].tolist(), found.feasible


@pytest.mark.parametrize(("shared", "counts", "memory"), ASKED)
@given(
    st.lists(st.tuples(st.integers(0, NODES - 1), st.booleans()), min_size=1, max_size=12),
    st.sampled_from([{}, {"islands": 0.0, "scarcity": 10.0}]),
)
@settings(max_examples=15, deadline=None)
def test_one_after_the_other_and_in_columns_is_the_same(shared, counts, memory, used, weights):
    state = clusters[shared]
    one, other = (fresh(state, counts, memory, weights) for _ in range(2))
    charged = []
    for node, twice in used:
        for _ in range(1 + twice):
            state.nodes.use(node, REQUESTS, 1)
            charged.append(node)

    one.refresh(state, Budget(10**12))
    kept, module._FEW_ROWS = module._FEW_ROWS, 0
    other.refresh(state, Budget(10**12))
    module._FEW_ROWS = kept

    found = results(one, state), results(other, state)
    for node in charged:
        state.nodes.use(node, REQUESTS, -1)
    assert found[0] == found[1]
    assert found[0][3] > 0


@pytest.mark.parametrize("shared", [False, True])
@given(st.lists(st.tuples(st.integers(0, NODES - 1), st.sampled_from([0, 1_000, 2_000])), max_size=30))
@settings(max_examples=15, deadline=None)
def test_nodes_share_a_condition_only_if_all_that_is_measured_is_equal(shared, used):
    state = clusters[shared]
    for node, cpu in used:
        state.nodes.use(node, {"cpu": cpu}, 1)

    stock = Catalogue(EngineConfig()).stock
    stock.refresh(state)
    rows = list(state.nodes.rows.values())
    facts = {
        row: (
            state.bays.bits[row],
            stock.left[row].tobytes(),
            stock.classes[row].tobytes(),
            state.nodes.left_at("cpu", row),
            state.nodes.used_at("pods", row) > 0,
        )
        for row in rows
    }
    conditions = {row: stock.condition(state, row) for row in rows}

    for node, cpu in used:
        state.nodes.use(node, {"cpu": cpu}, -1)
    assert len(set(conditions.values())) == len(set(facts.values()))
    assert len({(conditions[row], facts[row]) for row in rows}) == len(set(facts.values()))
