"""How much of what is free the usual pods could not use."""

import numpy as np
from numpy.typing import NDArray

from scoring.market import Market
from scoring.scorers.base import Remainders, StateScorer


class Fragmentation(StateScorer):
    """Expected fragment over the learned mix (FGD: Weng et al., USENIX ATC 2023):

    F = sum over kinds m of share_m * F(m)
    F(m) = all that is left        where m wants no device, or its cpu does not fit, or too few devices do
         = the devices too small   otherwise: those with less left than m asks of each, or of another class
    """

    name = "fragmentation"
    says = "free devices that the usual pods can still use"

    def measure(self, states: Remainders, market: Market) -> NDArray[np.float64]:
        """Expected milli that are free and of no use."""
        if not len(market.share):
            return np.zeros(len(states.cpu))
        left = states.left.astype(np.int16)[:, :, None]
        fits = left >= market.asks[states.classes]  # (C, W, U)
        enough = fits.sum(axis=1, dtype=np.int16)
        usable = np.where(fits, left, np.int16(0)).sum(axis=1, dtype=np.int64)
        way = market.way
        served = (states.cpu[:, None] >= market.cpu) & (enough[:, way] >= market.count)
        return states.idle - np.where(served, usable[:, way], 0) @ market.share
