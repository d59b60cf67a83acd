"""How much of what is left of cards that are cut into parts the usual parts cannot use."""

import numpy as np
from numpy.typing import NDArray

from scoring.market import Market
from scoring.scorers.base import Cards, CardScorer

UNASKED = 2**-7
"""The share of all parts that a card can be cut into together, whoever asked for what."""


class Partitions(CardScorer):
    """Expected fragment of a card over the learned mix of parts (FGD's idea; for MIG: arXiv 2511.18906):

    W = sum over ways p to ask for parts of share_p * (left - the milli of as many parts for p as can still be cut)

    Parts are cut as they are listed, large ones first. share_p counts the milli asked for, not the pods: a part that
    is refused is lost with its whole size (measured under churn). Every kind of part that the card can be cut into has
    a small share of its own, as long as nobody is known to have asked for parts all of it: what nobody asked for yet
    may still be asked for, and it is what decides between places that are the same to all others.
    """

    name = "partitions"
    says = "what is left of partitioned devices fits the usual parts"

    def measure(self, cards: Cards, market: Market) -> NDArray[np.float64]:
        """Expected milli that are left and of no use."""
        size = (cards.uses * cards.milli).sum(axis=1)  # row by row: no sum depends on the rows beside it
        kinds = [1 << int(each) for each in np.unique(cards.classes)]
        rest = UNASKED if market.cuts else 1.0
        shares = [*(market.cut_share * (1 - rest)).tolist(), *(rest / len(kinds) for _ in kinds)]
        wasted: NDArray[np.float64] = (cards.left * cards.milli).sum(axis=1) * sum(shares)
        large_first = np.argsort(-size, kind="stable").tolist()
        for mask, share in zip([*market.cuts, *kinds], shares, strict=True):
            left = cards.left.copy()
            for part in large_first:
                if mask >> int(cards.classes[part]) & 1:
                    fits = ~cards.taken[:, part] & (cards.uses[part] <= left).all(axis=1)
                    left[fits] -= cards.uses[part]
                    wasted -= share * size[part] * fits
        return wasted
