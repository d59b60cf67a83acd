"""How much of what is left of cards that are cut into parts the usual parts cannot use."""

import numpy as np
from numpy.typing import NDArray

from scoring.market import Market
from scoring.scorers.base import Cards, CardScorer


class Partitions(CardScorer):
    """Expected fragment of a card over the learned mix of parts (FGD's idea; for MIG: arXiv 2511.18906):

    W = sum over ways p to ask for parts of share_p * (left - the milli of as many parts for p as can still be cut)

    Parts are cut as they are listed, large ones first. share_p counts the milli asked for, not the pods: a part that
    is refused is lost with its whole size (measured under churn).
    """

    name = "partitions"
    says = "what is left of partitioned devices fits the usual parts"

    def measure(self, cards: Cards, market: Market) -> NDArray[np.float64]:
        """Expected milli that are left and of no use."""
        size = (cards.uses * cards.milli).sum(axis=1)  # row by row: no sum depends on the rows beside it
        wasted: NDArray[np.float64] = (cards.left * cards.milli).sum(axis=1) * market.cut_share.sum()
        large_first = np.argsort(-size, kind="stable").tolist()
        for mask, share in zip(market.cuts, market.cut_share.tolist(), strict=True):
            left = cards.left.copy()
            for part in large_first:
                if mask >> int(cards.classes[part]) & 1:
                    fits = ~cards.taken[:, part] & (cards.uses[part] <= left).all(axis=1)
                    left[fits] -= cards.uses[part]
                    wasted -= share * size[part] * fits
        return wasted
