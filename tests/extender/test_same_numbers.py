"""The extender gives a pod the numbers, the devices and the order that the scheduler gives it."""

from dataclasses import replace

import numpy as np
import pytest

from scoring.extender.judged import Judged, Wish
from scoring.extender.table import Ask, Usual
from scoring.market import market_of
from scoring.opinion import Opinion
from scoring.profiles import profiles
from scoring.scorers import CARD_SCORER, NODE_SCORERS, SET_SCORERS, STATE_SCORERS
from scoring.weights import Weights
from tests.build import request
from tests.extender import mirror

FLEET = {"dgx-h100": 4, "dgx1-v100": 4, "a100-pcie-bridged": 5, "aws-p4d": 2, "plain-40": 3, "plain-6": 3}
GPU, NIC, PLAIN, SHARED = "gpu.nvidia.com", "dra.net", "gpu.example.com", "shared"
EVERY = Weights({scorer.name: 30.0 for scorer in (*SET_SCORERS, *NODE_SCORERS, *STATE_SCORERS, CARD_SCORER)})
WISHES = {
    "1": [(GPU, 1, 0)],
    "2": [(GPU, 2, 0)],
    "4": [(GPU, 4, 0)],
    "8": [(GPU, 8, 0)],
    "1 and 2 of the same": [(GPU, 1, 0), (GPU, 2, 0)],
    "2 with 2 NICs": [(GPU, 2, 0), (NIC, 2, 0)],
    "12 of 40": [(PLAIN, 12, 0)],
    "3 of those without links": [(PLAIN, 3, 0)],
    "no device": [],
    "a quarter": [(SHARED, 1, 250)],
    "5 eighths": [(SHARED, 1, 625)],
    "2 halves": [(SHARED, 2, 500)],
}
DRIVERS = {GPU: "gpu.nvidia.com", NIC: "dra.net", PLAIN: "gpu.example.com", SHARED: mirror.SHARED_DRIVER}


@pytest.fixture(scope="module")
def fleets():
    return [mirror.state_of(FLEET, seed, shared=6, flawed=seed % 2 == 1) for seed in range(2)]


def asks_of(state, wish):
    """Devices of a class are those of its driver; by product as the state numbers them."""
    found = []
    for device_class, count, share in wish:
        codes = [code for code, value in enumerate(state.products.values) if value[0] == DRIVERS[device_class]]
        found.append(Ask(count, share, tuple(mirror.product_name(code) for code in codes)))
    return tuple(found)


def requests_of(wish):
    asked = [request(f"r{number}", count, device_class=name) for number, (name, count, _) in enumerate(wish)]
    amounts = [{"memory": mirror.parse_quantity(f"{80 * share // 1000}Gi")} if share else None for _, _, share in wish]
    return [replace(each, capacity=amount) for each, amount in zip(asked, amounts, strict=True)]


def settle(judged, table):
    while not judged.refresh(table):
        pass
    return judged


@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES)
@pytest.mark.parametrize(
    ("weights", "known"),
    [(Weights(), False), (Weights(), True), (EVERY, True), (profiles()["spread"], False)],
    ids=["shipped", "shipped, the mix is known", "every scorer, the mix is known", "spread"],
)
def test_the_scheduler_says_the_same(fleets, wish, weights, known):
    opinion = Opinion(weights)
    fitting = 0
    for state in fleets:
        demand = mirror.demand(state, *requests_of(wish))
        _, catalogue = mirror.judged_by_the_core(state, demand, opinion)
        table, rows = mirror.table_of(state, catalogue)
        market = None
        if known:
            mix = [Usual(ask, 3_000 * number, 1.0 + number) for number, ask in enumerate(asks_of(state, WISHES["2"]))]
            mix += [Usual(ask, 8_000, 2.5) for ask in asks_of(state, WISHES["a quarter"])]
            mix += [Usual(Ask(4, 0, mix[0].ask.products), 16_000, 1.0), Usual(Ask(1, 0, mix[0].ask.products), 0, 3.0)]
            # Classes are numbered as the scheduler numbers them, so that it is one market.
            table._class_index = {key: code for code, key in enumerate(_core_classes(catalogue, state))}
            for place in range(table.size):
                table.put(place, mirror.node_of(state, catalogue, rows[place], _codes(state)))
            market = market_of(table.sample(mix, growth=0.5), catalogue.stock.supply())
            assert np.array_equal(table.supply().milli, catalogue.stock.supply().milli)
            table.trade(market)
        core, _ = mirror.judged_by_the_core(state, demand, opinion, market)
        judged = settle(Judged(Wish(asks_of(state, wish), 4_000, 2**33), opinion), table)

        for place, row in enumerate(rows):
            name = state.nodes.nodes[row].name
            choice = core.at(state, name)
            assert judged.rank[place] == (-1 if choice is None else choice.rank), name
            if choice is None:
                assert judged.total[place] == -1
                continue
            fitting += 1
            assert judged.total[place] == pytest.approx(choice.option.total, abs=2e-6)
            answer = core.answer(row) if wish else None
            taken = [position for part in answer.chosen for position in part] if answer else []
            assert judged.positions[place].tolist() == taken
            said = dict(zip(judged.scorers, judged.breakdown(np.array([place]))[0].tolist(), strict=True))
            assert said == pytest.approx(choice.option.scores, abs=2e-6)
    assert fitting >= 3


def _codes(state):
    return sorted({int(code) for code in np.unique(state.products.codes) if code >= 0})


def _core_classes(catalogue, state):
    codes = _codes(state)
    return [(codes.index(product), width, cpu) for product, width, cpu in catalogue.stock._class_index]
