"""The card scorer equals plain loops, keeps the contract, and knows how MIG cards are cut."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.market import market_of, unknown_market
from scoring.mix import Kind, Sample
from scoring.prices import Supply
from scoring.scorers import CARD_SCORER
from scoring.scorers.base import SPAN, Cards, check
from scoring.scorers.partitions import UNASKED

CLASSES = 4


@st.composite
def cards(draw, rows=None):
    count = draw(st.integers(0, 4)) if rows is None else rows
    counters, parts = draw(st.integers(1, 3)), draw(st.integers(0, 6))
    amounts = st.integers(0, 5)
    return Cards(
        left=np.array([[draw(amounts) for _ in range(counters)] for _ in range(count)]).reshape(count, counters),
        taken=np.array([[draw(st.booleans()) for _ in range(parts)] for _ in range(count)], bool).reshape(count, parts),
        uses=np.array([[draw(amounts) for _ in range(counters)] for _ in range(parts)], int).reshape(parts, counters),
        classes=np.array([draw(st.integers(0, CLASSES - 1)) for _ in range(parts)], np.int32),
        milli=np.array([draw(st.sampled_from([0.0, 50.0, 125.0, 1000 / 7])) for _ in range(counters)]),
    )


@st.composite
def markets(draw):
    cuts = draw(st.lists(st.integers(1, 2**CLASSES - 1), max_size=4, unique=True))
    weights = np.array(draw(st.lists(st.integers(1, 9), min_size=len(cuts), max_size=len(cuts))), np.float64)
    return replace(unknown_market(1), cuts=tuple(cuts), cut_share=weights / (weights.sum() or 1.0))


def waste_of(left, taken, uses, classes, milli, market):
    def worth(amounts):
        return sum(amount * each for amount, each in zip(amounts, milli, strict=True))

    wasted = 0.0
    kinds = sorted(set(classes))
    rest = UNASKED if market.cuts else 1.0
    cuts = [(mask, share * (1 - rest)) for mask, share in zip(market.cuts, market.cut_share, strict=True)]
    for mask, share in [*cuts, *((1 << kind, rest / len(kinds)) for kind in kinds)]:
        room, usable = list(left), 0.0
        for part in sorted(range(len(uses)), key=lambda part: -worth(uses[part])):
            serves = 1 << classes[part] & mask
            if serves and not taken[part] and all(have >= use for have, use in zip(room, uses[part], strict=True)):
                room = [have - use for have, use in zip(room, uses[part], strict=True)]
                usable += worth(uses[part])
        wasted += share * (worth(left) - usable)
    return wasted


@given(cards(), markets())
@settings(max_examples=200, deadline=None)
def test_the_measure_equals_plain_loops(states, market):
    found = CARD_SCORER.measure(states, market)

    fixed = states.uses.tolist(), states.classes.tolist(), states.milli.tolist(), market
    rows = zip(states.left.tolist(), states.taken.tolist(), strict=True)
    expected = [waste_of(left, taken, *fixed) for left, taken in rows]
    assert found.shape == (len(states.left),)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6)


@given(cards(rows=3), markets())
@settings(max_examples=60, deadline=None)
def test_scores_keep_the_contract_and_no_state_depends_on_those_beside_it(states, market):
    measured = CARD_SCORER.measure(states, market)

    scores = check(CARD_SCORER, CARD_SCORER.score(np.zeros(3), measured), 3)

    for row in range(3):
        alone = replace(states, left=states.left[[row]], taken=states.taken[[row]])
        assert CARD_SCORER.measure(alone, market)[0] == measured[row]
        assert abs(CARD_SCORER.worth(-measured[row]) - scores[row]) <= 1e-6


# Parts of an A100 by class, with the memory slices from which each may start; compute slices never run out first.
PROFILES = ((1, range(7)), (2, (0, 2, 4)), (4, (0, 4)), (8, (0,)))
PARTS = [(code, size, start) for code, (size, starts) in enumerate(PROFILES) for start in starts]


def mig(*used):
    """Cards of which these memory slices are in use."""
    slices = np.array([[mask >> at & 1 for at in range(8)] for mask in used])
    return Cards(
        left=1 - slices,
        taken=np.zeros((len(used), len(PARTS)), np.bool_),
        uses=np.array([[start <= at < start + size for at in range(8)] for _, size, start in PARTS], np.int64),
        classes=np.array([code for code, _, _ in PARTS], np.int32),
        milli=np.full(8, 125.0),
    )


def asks(*parts):
    """The market of pods of which so many ask for one part of a class."""
    kinds = tuple(Kind(0, 0, 1_000, 0, 1 << code, 125 * PROFILES[code][0]) for code, _ in parts)
    none = np.zeros(0, np.int64)
    return market_of(Sample(kinds, np.array([float(count) for _, count in parts]), 0.0), Supply(none, none, none))


def test_before_anybody_is_known_to_ask_every_profile_counts_the_same():
    market = unknown_market(1)
    lower, upper, first, last = CARD_SCORER.measure(mig(0b1111, 0b11110000, 0b1, 0b1000000), market)

    # Whoever takes a half leaves that for the others which more of them can begin in; so does who takes a slice.
    assert upper < lower
    assert last < first


def about(milli):
    """But for the share of parts that nobody asked for."""
    return pytest.approx(milli, abs=UNASKED * 1_000)


def test_between_equal_places_what_nobody_asked_for_decides():
    halves = asks((2, 1))
    empty, half = CARD_SCORER.measure(mig(0, 0b11110000), halves)
    both = CARD_SCORER.measure(mig(0b11111111), halves)[0]

    # A half beside another wastes as little for halves as one on a card that is whole, and keeps that whole.
    assert half - both > empty - half


def test_what_is_left_beside_the_places_of_a_profile_is_wasted_on_it():
    halves = asks((2, 1))

    # Free: all, the upper half, slices 1 to 7 of which only the upper half serves, and two in the middle.
    assert CARD_SCORER.measure(mig(0, 0b1111, 0b1, 0b11100111), halves) == about([0, 0, 375, 250])


def test_ways_to_ask_count_by_the_milli_that_they_ask_for():
    market = asks((0, 8), (3, 1), (0, 0))

    assert market.cuts == (0b1, 0b1000)
    assert market.cut_share.tolist() == [0.5, 0.5]
    # Seven slices left: all of use to small parts but the last, which none of them reaches, and none to whole cards.
    assert CARD_SCORER.measure(mig(0b1), market) == about([0.5 * 125 + 0.5 * 875])


def test_a_small_part_goes_where_it_spoils_least():
    market = asks((0, 4), (2, 2), (3, 1))
    before, half, whole = CARD_SCORER.measure(mig(0b1111, 0b11111, 0b1), market)
    empty = CARD_SCORER.measure(mig(0), market)[0]

    # A fifth slice beside four that are taken, or the first of a card that is whole.
    assert CARD_SCORER.worth(float(before - half)) > CARD_SCORER.worth(float(empty - whole))
    assert CARD_SCORER.worth(0.0) == 0.5
    assert CARD_SCORER.worth(float(SPAN)) == 1.0
