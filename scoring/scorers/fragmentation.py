"""How much of what is free the usual pods could not use."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Counts, Rows
from scoring.market import Market
from scoring.scorers.base import StateScorer
from scoring.states import States

_BITS: Final = 32
_AMOUNT: Final = (1 << _BITS) - 1


class Fragmentation(StateScorer):
    """Expected fragment over the learned mix (FGD: Weng et al., USENIX ATC 2023):

    F = sum over kinds m of share_m * F(m)
    F(m) = all that is left        where m wants no device, or its cpu does not fit, or too few devices do
         = the devices too small   otherwise: those with less left than m asks of each, or of another class
    """

    name = "fragmentation"
    says = "free devices that the usual pods can still use"

    def measure(self, states: States, market: Market) -> NDArray[np.float64]:
        """Expected milli that are free and of no use."""
        if not len(market.share):
            return np.zeros(len(states.cpu))
        both = states.total("usable", lambda left, classes: _usable(left, classes, market)).take(market.way, axis=1)
        served = (states.cpu[:, None] >= market.cpu) & (both >= market.count << _BITS)
        return states.idle - ((both & _AMOUNT) * served) @ market.share


def _usable(left: Counts, classes: Rows, market: Market) -> Counts:
    """By way to ask what can be used of each device, int64 (..., U): devices in the high bits, milli in the low."""
    return np.where(left[..., None] >= market.asks.take(classes, axis=0), left[..., None] + (1 << _BITS), 0)
