"""The gain of a placement: how much waste it saves, all state scorers together, in steps that tell it from noise."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Counts
from scoring.market import Market
from scoring.scorers import STATE_SCORERS
from scoring.scorers.base import Remainders

# Fitted on seeds from 100 on and flat around: each may be a tenth larger or smaller.
PLACEMENT_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {"fragmentation": 1.0, "holes": 0.8, "untouched": 0.2, "scarcity": 1.5, "stranding": 1.0, "depth": 0.8}
)
# Gains within one step are equal, and the fixed order of nodes decides. That concentrates load: with ties broken by
# the last decimal, or at random, a cluster strands five percent more of its devices.
STEP: Final = 60.0  # milli
_NOISE: Final = 0.05  # milli; so that a gain of nothing is never below zero


def measures(states: Remainders, market: Market) -> NDArray[np.float64]:
    """What each state scorer measures, float64 (S, C), in the order of STATE_SCORERS; keep it for nodes as they are."""
    return np.stack([scorer.measure(states, market) for scorer in STATE_SCORERS])


def gains(before: NDArray[np.float64], after: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Milli saved by each of C placements, float64 (C,).

    before, after : float64 (S, C), of `measures`; weights : float64 (S,), in the order of STATE_SCORERS
    """
    # Row by row, always in the same order: a gain does not depend on which other placements stand beside it.
    total = np.zeros(before.shape[1])
    for weight, saved in zip(weights, before - after, strict=True):
        total += weight * saved
    return total


def steps(gain: NDArray[np.float64]) -> Counts:
    """Gains in whole steps, int64 (C,): the highest wins, equal ones are told apart by the fixed order of nodes.

    A step is 60 of the milli that weight 1 gives; weights that are all doubled need gains halved first.
    """
    whole: Counts = np.floor((gain + _NOISE) / STEP).astype(np.int64)
    return whole
