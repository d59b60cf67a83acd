"""State scorers: each equals plain loops, keeps the contract, and tells a good placement from a bad one."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring import placement
from scoring.market import Market, unknown_market
from scoring.placement import A_SCORE, HIGHEST, measures, rank_one, ranks, steps, weighed, weighed_one
from scoring.scorers import STATE_SCORERS
from scoring.scorers.base import SPAN, check
from scoring.states import Changes, Remainders
from scoring.weights import DEFAULTS

WEIGHTS = np.array([DEFAULTS[scorer.name] for scorer in STATE_SCORERS])
CLASSES = 3
milli = st.sampled_from([0, 0, 1000, 1000, 190, 460, 540]) | st.integers(0, 1000)


@st.composite
def markets(draw):
    kinds = draw(
        st.lists(
            st.sampled_from([(0, 0), (1, 460), (1, 810), (1, 1000), (2, 1000), (4, 1000)])
            | st.tuples(st.just(1), st.integers(1, 1000)),
            max_size=6,
        )
    )
    columns = np.array(kinds, np.int64).reshape(len(kinds), 2)
    weights = np.array(draw(st.lists(st.integers(1, 9), min_size=len(kinds), max_size=len(kinds))), np.float64)
    bits = st.lists(st.booleans(), min_size=len(kinds), max_size=len(kinds))
    return Market(
        count=columns[:, 0],
        milli=columns[:, 1],
        cpu=np.array([draw(st.integers(0, 40_000)) for _ in kinds], np.int64),
        serves=np.array([draw(bits) for _ in range(CLASSES)], np.bool_).reshape(CLASSES, len(kinds)),
        share=weights / (weights.sum() or 1),
        prices=np.array([draw(st.floats(0, 1)) for _ in range(CLASSES)]),
        stranded=np.array(draw(st.lists(st.integers(-300, 300), min_size=11, max_size=11)), np.float64).repeat(91),
        cpu_share=draw(st.sampled_from([0.0, 1.0, 11_000.0])),
        growth=draw(st.sampled_from([0.0, 0.25, 1.0])),
    )


@st.composite
def remainders(draw, rows=None):
    count, width = draw(st.integers(0, 5)) if rows is None else rows, draw(st.integers(0, 5))
    left = [[draw(milli) for _ in range(width)] for _ in range(count)]
    classes = [[draw(st.integers(0, CLASSES - 1)) for _ in range(width)] for _ in range(count)]
    return Remainders(
        left=np.array(left, np.int64).reshape(count, width),
        classes=np.array(classes, np.int32).reshape(count, width),
        cpu=np.array([draw(st.integers(-5, 64_000)) for _ in range(count)], np.int64),
        used=np.array([draw(st.booleans()) for _ in range(count)], np.bool_),
    )


# ---------------------------------------------------------------- the same in plain loops


def fragmentation_of(left, classes, cpu, used, market):
    expected = 0.0
    for kind, share in enumerate(market.share):
        fitting = [
            amount
            for amount, code in zip(left, classes, strict=True)
            if market.serves[code, kind] and amount >= market.milli[kind]
        ]
        count = market.count[kind]
        served = count > 0 and cpu >= market.cpu[kind] and len(fitting) >= count
        expected += share * (sum(left) - sum(fitting) if served else sum(left))
    return expected


def holes_of(left, classes, cpu, used, market):
    return sum(market.stranded[amount] for amount in left)


def untouched_of(left, classes, cpu, used, market):
    return 1000 if used else 0


def scarcity_of(left, classes, cpu, used, market):
    return -sum(market.prices[code] * amount for amount, code in zip(left, classes, strict=True))


def stranding_of(left, classes, cpu, used, market):
    if market.cpu_share == 0:
        return 0
    return market.growth * max(0.0, sum(left) - 1000 * max(cpu, 0) / market.cpu_share)


def depth_of(left, classes, cpu, used, market):
    return -1000 * market.growth * math.sqrt(sum(left) / 1000)


ORACLE = {
    "fragmentation": fragmentation_of,
    "holes": holes_of,
    "untouched": untouched_of,
    "scarcity": scarcity_of,
    "stranding": stranding_of,
    "depth": depth_of,
}


def test_every_state_scorer_is_compared_and_weighed():
    names = {scorer.name for scorer in STATE_SCORERS}

    assert set(ORACLE) == names
    assert names <= set(DEFAULTS)


@pytest.mark.parametrize("scorer", STATE_SCORERS, ids=lambda scorer: scorer.name)
@given(remainders(), markets())
@settings(max_examples=150, deadline=None)
def test_measures_equal_plain_loops(scorer, states, market):
    found = scorer.measure(states, market)

    rows = zip(states.left.tolist(), states.classes.tolist(), states.cpu.tolist(), states.used.tolist(), strict=True)
    expected = [ORACLE[scorer.name](*row, market) for row in rows]
    assert found.shape == (len(states.cpu),)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("scorer", STATE_SCORERS, ids=lambda scorer: scorer.name)
@given(remainders(), markets(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_scores_keep_the_contract_and_the_order_of_devices_changes_none(scorer, states, market, random):
    order = list(range(states.left.shape[1]))
    random.shuffle(order)
    shuffled = replace(states, left=states.left[:, order], classes=states.classes[:, order])
    before = np.zeros(len(states.cpu))

    scores = check(scorer, scorer.score(before, scorer.measure(states, market)), len(before))

    again = scorer.score(before, scorer.measure(shuffled, market))
    np.testing.assert_allclose(scores, again, atol=2e-6, rtol=0)


@given(remainders(rows=3), markets(), st.data())
@settings(max_examples=150, deadline=None)
def test_a_placement_measures_the_same_by_what_it_changes(states, market, data):
    market = replace(market, prices=np.round(market.prices * 2**20) / 2**20)  # as market_of makes them
    width = states.left.shape[1]
    rows = np.array(data.draw(st.lists(st.integers(0, 2), max_size=6)), np.intp)
    count = data.draw(st.integers(0, width))
    orders = [data.draw(st.permutations(range(width)))[:count] for _ in rows]
    places = np.array(orders, np.intp).reshape(len(rows), count)
    taken = np.array([[data.draw(milli) for _ in order] for order in orders], np.int64).reshape(places.shape)
    measures(states, market)
    before, classes = states.left[rows[:, None], places], states.classes[rows[:, None], places]
    left = states.left[rows]
    np.put_along_axis(left, places, np.maximum(before - taken, 0), axis=1)
    cpu, used = states.cpu[rows] - 1000, np.ones(len(rows), np.bool_)

    changed = Changes(cpu, used, states.totals, rows, before, np.maximum(before - taken, 0), classes)

    anew = Remainders(cpu, used, left, states.classes[rows])
    assert measures(changed, market).tolist() == measures(anew, market).tolist()


def test_a_score_is_one_half_where_nothing_changes_and_linear_in_the_milli_saved():
    scorer = STATE_SCORERS[0]

    scores = scorer.score(np.array([0.0, 1000, 0, 1e9, 0]), np.array([0.0, 0, 1000, 0, 1e9]))

    assert scores.tolist() == [0.5, 0.5 + 0.5 * 1000 / SPAN, 0.5 - 0.5 * 1000 / SPAN, 1.0, 0.0]


@given(remainders(rows=4), markets())
@settings(max_examples=60, deadline=None)
def test_a_gain_does_not_depend_on_the_placements_beside_it(states, market):
    before, after = np.zeros((4, len(STATE_SCORERS))), measures(states, market)

    together = steps(gains(before, after, WEIGHTS))

    for row in range(4):
        alone = Remainders(states.cpu[[row]], states.used[[row]], states.left[[row]], states.classes[[row]])
        assert steps(gains(before[:1], measures(alone, market), WEIGHTS)) == together[row]


def test_before_anything_arrived_no_kind_counts_and_only_untouched_nodes_are_spared():
    empty, used = node([1000, 1000], used=False), node([1000, 460], used=True)

    for state, expected in ((empty, [0, 0, 0]), (used, [0, 0, 1000])):
        assert measures(state, unknown_market(1))[0, :3].tolist() == expected


def gains(before, after, weights):
    """Milli, as an engine with these weights counts them."""
    return placement.gain(weighed(before - after, weights), A_SCORE)


def node(left, *, cpu=96_000, used=True):
    return Remainders(
        np.array([cpu], np.int64), np.array([used]), np.array([left], np.int64), np.zeros((1, len(left)), np.int32)
    )


def market_for(count, milli, cpu=4_000):
    return replace(
        unknown_market(1),
        count=np.array([count], np.int64),
        milli=np.array([milli], np.int64),
        cpu=np.array([cpu], np.int64),
        serves=np.ones((1, 1), np.bool_),
        share=np.ones(1),
    )


def test_a_share_goes_where_a_part_is_already_taken_and_whole_devices_stay_whole():
    pairs = market_for(count=2, milli=1000)
    fill_up = gain(node([1000, 1000, 460]), node([1000, 1000, 0]), pairs)

    break_a_pair = gain(node([1000, 1000, 460]), node([540, 1000, 460]), pairs)

    assert fill_up == 460  # what was of no use to pairs is used
    assert break_a_pair == -(1000 + 1000 + 460 - 460 - 460)  # all that is left is now of no use


def gain(before, after, market):
    only = np.array([64.0 * (scorer.name == "fragmentation") for scorer in STATE_SCORERS])
    return float(gains(measures(before, market), measures(after, market), only)[0])


def test_gains_closer_than_a_step_are_equal_and_noise_around_nothing_is_nothing():
    found = steps(np.array([0.0, -0.01, 59.9, 60.0, -1.0, 125.0]))

    assert found.tolist() == [0, 0, 0, 1, -1, 2]


def test_ranks_are_within_their_limits_however_much_is_saved_or_lost():
    saved = np.array([-1e300, -1e12, 0.0, 1e12, 1e300])

    assert ranks(np.zeros(5), saved, A_SCORE).tolist() == [0, 0, HIGHEST, 2 * HIGHEST - 1, 2 * HIGHEST - 1]


def test_equal_scores_of_sets_do_not_move_the_limits_between_steps():
    saved = np.linspace(-500, 500, 97) * 64

    plain = ranks(np.zeros(97), saved, A_SCORE)

    for scores in (0.37, 12.3456, 260.0):
        moved = ranks(np.full(97, scores), saved, A_SCORE)
        assert (np.diff(moved) == np.diff(plain)).all()


@given(st.lists(st.tuples(st.floats(0, 1e3), st.floats(-1e6, 1e6)), max_size=9), st.sampled_from([62.5, 1000.0, 4e6]))
def test_one_placement_is_ranked_as_among_many(cases, unit):
    scores, saved = (np.array([case[at] for case in cases], np.float64) for at in (0, 1))

    assert ranks(scores, saved, unit).tolist() == [rank_one(*case, unit) for case in cases]


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=6), max_size=5))
def test_one_state_is_weighed_as_among_many(rows):
    measured = np.array(rows, np.float64).reshape(len(rows), 6)

    assert weighed(measured, WEIGHTS).tolist() == [weighed_one(row, WEIGHTS.tolist()) for row in rows]
