"""One vector of weights with all that follows from it, worked out once."""

from collections.abc import Iterable
from typing import Final

from scoring.scorers import CARD_SCORER, NODE_SCORERS, SET_SCORERS, STATE_SCORERS, WISH_SCORERS
from scoring.scorers.base import SPAN
from scoring.scorers.health import WORTH, Health
from scoring.weights import Weights


class Opinion:
    """Weights with all that follows from them; equal weights are one opinion.

    weights : as given, for explanations; shares : the same, scaled, for sums; scale : by what they were.
    wish_weights : by name, of those that are asked where a pod states something.
    node_scorers : those that count at all. set_key : set_weights as a tuple. unit : see `Weights.unit`. flaw_costs : by
    Flaw, what a single device costs for it, in weighted milli of waste.
    """

    def __init__(self, weights: Weights) -> None:
        shares = weights.scaled()
        self.weights: Final = weights
        self.shares: Final = shares
        self.set_weights: Final = shares.vector(SET_SCORERS)
        self.set_key: Final[tuple[float, ...]] = tuple(self.set_weights.tolist())
        self.node_scorers: Final = tuple(scorer for scorer in NODE_SCORERS if shares.values[scorer.name])
        self.node_weights: Final = shares.vector(self.node_scorers)
        self.state_weights: Final = shares.vector(STATE_SCORERS)
        self.state_weight_list: Final[list[float]] = self.state_weights.tolist()
        self.card_weight: Final = shares.values[CARD_SCORER.name]
        self.wish_weights: Final = {scorer.name: shares.values[scorer.name] for scorer in WISH_SCORERS}
        self._whole: Final = sum(value for name, value in shares.values.items() if name not in self.wish_weights)
        self.unit: Final = weights.unit
        self.scale: Final = weights.scale
        self.flaw_costs: Final[list[float]] = (2 * SPAN * shares.values[Health.name] * (1 - WORTH)).tolist()
        self._hash = hash(weights)

    def whole(self, wishes: Iterable[str] = ()) -> float:
        """What the shares come to of all that are asked, wish scorers only if they are among these names."""
        return self._whole + sum(self.wish_weights.get(name, 0.0) for name in wishes) or 1.0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opinion) and self.weights == other.weights

    def __hash__(self) -> int:
        return self._hash
