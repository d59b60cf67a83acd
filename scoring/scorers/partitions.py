"""How much of what is left of cards that are cut into parts the usual parts cannot use."""

import numpy as np
from numpy.typing import NDArray

from scoring.market import Market
from scoring.scorers.base import Cards, CardScorer


class Partitions(CardScorer):
    """Expected fragment of a card over the learned mix of parts (FGD's idea; for MIG: arXiv 2511.18906):

    W = sum over ways p to ask for parts of share_p * (left - the milli of as many parts for p as can still be cut)

    Parts are cut as they are listed, large ones first. share_p counts the milli asked for, not the pods: a part that
    is refused is lost with its whole size (measured under churn). As long as nobody is known to have asked for parts,
    every kind of part that the card can be cut into counts the same: what is cut first decides what others find.
    """

    name = "partitions"
    says = "what is left of partitioned devices fits the usual parts"

    def measure(self, cards: Cards, market: Market) -> NDArray[np.float64]:
        """Expected milli that are left and of no use."""
        size = (cards.uses * cards.milli).sum(axis=1)  # row by row: no sum depends on the rows beside it
        cuts, shares = market.cuts, market.cut_share
        if not cuts:
            cuts = tuple(1 << int(each) for each in np.unique(cards.classes))
            shares = np.full(len(cuts), 1 / max(len(cuts), 1))
        wasted: NDArray[np.float64] = (cards.left * cards.milli).sum(axis=1) * shares.sum()
        large_first = np.argsort(-size, kind="stable").tolist()
        for mask, share in zip(cuts, shares.tolist(), strict=True):
            left = cards.left.copy()
            for part in large_first:
                if mask >> int(cards.classes[part]) & 1:
                    fits = ~cards.taken[:, part] & (cards.uses[part] <= left).all(axis=1)
                    left[fits] -= cards.uses[part]
                    wasted -= share * size[part] * fits
        return wasted
