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
        fits = left >= market.asks.astype(np.int16)[states.classes]  # (C, W, T)
        served = (states.cpu[:, None] >= market.cpu) & (fits.sum(axis=1, dtype=np.int16) >= market.count)
        usable = np.matmul(states.left.astype(np.float32)[:, None, :], fits.astype(np.float32))[:, 0, :]
        return states.idle - np.where(served, usable, 0).astype(np.float64) @ market.share
