import math

import numpy as np
import pytest

from scoring.scorecard import Scorecard
from scoring.scorers import NODE_SCORERS, SCORERS
from scoring.weights import DEFAULTS, Weights


def test_every_scorer_has_a_default_weight_and_no_other_name_has():
    assert sorted(DEFAULTS) == sorted(scorer.name for scorer in SCORERS)
    assert dict(Weights().values) == dict(DEFAULTS)


def test_given_weights_are_merged_over_the_defaults():
    weights = Weights({"packing": 5})

    assert weights.values["packing"] == 5.0
    assert weights.values["islands"] == DEFAULTS["islands"]
    others = [DEFAULTS[scorer.name] for scorer in NODE_SCORERS[1:]]
    assert weights.vector(NODE_SCORERS).tolist() == [5.0, *others]


def test_an_unknown_name_is_refused_with_the_nearest_known():
    with pytest.raises(ValueError, match=r"weight iland: 2.*did you mean islands\?"):
        Weights({"iland": 2})


@pytest.mark.parametrize("weight", [-1, math.nan, math.inf, -math.inf, True, "3", None, 10**400])
def test_an_unusable_weight_is_refused_by_name(weight):
    with pytest.raises(ValueError, match=r"^weight packing: .* is not a finite number"):
        Weights({"packing": weight})


def card(scores, weights):
    return Scorecard(tuple("abc"[: len(weights)]), np.array(scores, np.float32), np.array(weights, np.float64))


def test_the_total_is_the_weighted_mean():
    assert card([[1, 0], [0, 1]], [3, 1]).total.tolist() == [0.75, 0.25]
    assert card([[1, 0], [0, 1]], [1e308, 1e308]).total.tolist() == [0.5, 0.5]
    assert card([[1, 0], [0, 1]], [0, 0]).total.tolist() == [0, 0]


def test_equal_candidates_stay_equal_and_the_first_wins():
    same = card([[0.1, 0.3, 0.3], [0.7, 0.2, 0.2]], [1, 3])
    swapped = card([[0.3, 0.1], [0.1, 0.3], [0.2, 0.2]], [1, 1, 1])

    assert same.total[1] == same.total[2]
    assert swapped.total[0] == swapped.total[1]
    assert swapped.best == 0


def test_two_cards_join_into_one_breakdown():
    joined = card([[0.1, 0.2]], [1]).beside(card([[0.5, 1], [0, 0.25]], [1, 2]))

    assert list(joined.breakdown(1).values())[-2:] == [1.0, 0.25]
    assert joined.total.tolist() == [pytest.approx(0.15), pytest.approx(0.425)]


def test_a_card_whose_parts_differ_in_size_is_refused():
    with pytest.raises(ValueError, match="2 scorers"):
        Scorecard(("a", "b"), np.zeros((1, 3), np.float32), np.ones(2))


def test_weights_that_come_to_the_same_are_equal_whatever_was_stated():
    stated, silent = Weights({"packing": 0, "islands": DEFAULTS["islands"]}), Weights()

    assert stated == silent
    assert hash(stated) == hash(silent)
    assert stated != Weights({"packing": 1})
