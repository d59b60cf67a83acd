"""What a placement comes to, all scorers together, in steps that tell it from noise."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Counts
from scoring.market import Market
from scoring.scorers import STATE_SCORERS
from scoring.scorers.base import SPAN
from scoring.states import States

# Gains within one step are equal, and the fixed order of nodes decides. That concentrates load: with ties broken by
# the last decimal, or at random, a cluster strands five percent more of its devices.
STEP: Final = 60.0  # milli
_NOISE: Final = 0.05  # milli; so that a gain of nothing is never below zero
_FEW: Final = 32  # rows
HIGHEST: Final = 1 << 21  # steps; whatever is better counts as that
A_SCORE: Final = 1_000.0  # milli that one unit of score comes to at weight 1


def measures(states: States, market: Market) -> NDArray[np.float64]:
    """What each state scorer measures, float64 (C, S), in the order of STATE_SCORERS; keep it for nodes as they are."""
    found = np.empty((len(states.cpu), len(STATE_SCORERS)))
    for column, scorer in enumerate(STATE_SCORERS):
        found[:, column] = scorer.measure(states, market)
    return found


def weighed(measured: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted sums over scorers of what each says, float64 (C, S) -> (C,), always added in the order of the scorers.

    Equal rows have equal sums, whatever stands beside them.
    """
    if len(measured) <= _FEW and len(weights):  # the same additions in fewer calls
        few: NDArray[np.float64] = (weights * measured).cumsum(axis=1)[:, -1]
        return few
    summed = np.zeros(len(measured))
    for column, weight in enumerate(weights.tolist()):
        summed += weight * measured[:, column]
    return summed


def weighed_one(measured: Sequence[float], weights: Sequence[float]) -> float:
    """`weighed` of one state, to the last bit."""
    summed = 0.0
    for weight, value in zip(weights, measured, strict=True):
        summed += weight * value
    return summed


def gain(saved: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Milli that the waste saved is worth, float64 (C,).

    saved : see weighed. unit : milli that a score of 1 comes to at a weight of 1, see Weights.unit. A state scorer's
    score falls by 1 with 2 SPAN milli.
    """
    milli: NDArray[np.float64] = unit * (saved / (2 * SPAN))
    return milli


def steps(milli: NDArray[np.float64]) -> NDArray[np.float64]:
    """Milli in whole steps, (C,)."""
    whole: NDArray[np.float64] = np.floor((milli + _NOISE) / STEP)
    return whole


def ranks(scores: NDArray[np.float64], saved: NDArray[np.float64], unit: float) -> Counts:
    """How good placements are, int64 (C,) in [0, 2 HIGHEST): the highest wins, the fixed order of nodes tells equals.

    scores : weighted sums of set and node scores. They are counted in steps of their own, so that where they are equal
    they do not move the limits between steps of what is saved.
    """
    whole: Counts = (steps(unit * scores) + steps(gain(saved, unit))).clip(-HIGHEST, HIGHEST - 1).astype(np.int64)
    return whole + HIGHEST


def raised(rank: int, scores: float, unit: float) -> int:
    """A rank after weighted scores of somebody else were added, in steps of their own; within its span of 2 HIGHEST."""
    span, within = divmod(rank, 2 * HIGHEST)
    more = math.floor((unit * scores + _NOISE) / STEP)
    return span * (2 * HIGHEST) + min(max(within + more, 0), 2 * HIGHEST - 1)


def rank_one(scores: float, saved: float, unit: float) -> int:
    """`ranks` of one placement, to the last bit."""
    whole = math.floor((unit * scores + _NOISE) / STEP) + math.floor((unit * (saved / (2 * SPAN)) + _NOISE) / STEP)
    return min(max(whole, -HIGHEST), HIGHEST - 1) + HIGHEST
