"""All opinions side by side, and what they come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Floats
from scoring.scorers.base import Loads, NodeScorer, Scorer, Sets, SetScorer, check


@dataclass(frozen=True, eq=False)
class Scorecard:
    """Scores of C candidates by S scorers.

    names : of the scorers; scores : float32 (S, C) in [0, 1]; weights : float64 (S,), >= 0.
    """

    names: tuple[str, ...]
    scores: Floats
    weights: NDArray[np.float64]

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.names) or self.weights.shape != (len(self.names),):
            raise ValueError(f"{len(self.names)} scorers, but {len(self.scores)} rows and {self.weights.shape} weights")

    @cached_property
    def total(self) -> NDArray[np.float64]:
        """Weighted mean, float64 (C,) in [0, 1], to nine digits so that equal candidates compare equal."""
        if not self.weights.any():
            return np.zeros(self.scores.shape[1])
        shares = self.weights / self.weights.max()  # the sum of huge weights stays finite
        # Row by row, always in the same order: a candidate's total does not depend on which others stand beside it.
        summed = np.zeros(self.scores.shape[1])
        for share, row in zip(shares, self.scores, strict=True):
            summed += share * row.astype(np.float64)
        mean: NDArray[np.float64] = np.round(summed / shares.sum(), 9)
        return mean

    @property
    def best(self) -> int:
        """The first candidate with the highest total. Raises ValueError where there is none."""
        return int(np.argmax(self.total))

    def breakdown(self, candidate: int) -> dict[str, float]:
        """Scorer name -> score of one candidate."""
        column = self.scores[:, candidate]
        return {name: round(float(score), 6) for name, score in zip(self.names, column, strict=True)}

    def beside(self, other: "Scorecard") -> "Scorecard":
        """The same candidates judged by the scorers of both cards."""
        return Scorecard(
            self.names + other.names,
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.weights, other.weights]),
        )


def score_sets(
    scorers: Sequence[SetScorer],
    weights: NDArray[np.float64],
    sets: Sets,
    known: Sequence[Floats | None] | None = None,
) -> Scorecard:
    """Device sets of nodes of one layout; raises ValueError where a scorer breaks its contract.

    known : per scorer what it said of these sets before, None where it has to be asked.
    """
    count = len(sets.members)
    said = known or [None] * len(scorers)
    rows = [scorer.score(sets) if scores is None else scores for scorer, scores in zip(scorers, said, strict=True)]
    return _card(scorers, rows, weights, count)


def score_nodes(scorers: Sequence[NodeScorer], weights: NDArray[np.float64], loads: Loads) -> Scorecard:
    """Nodes; raises ValueError where a scorer breaks its contract."""
    count = len(loads.devices)
    return _card(scorers, [scorer.score(loads) for scorer in scorers], weights, count)


def _card(scorers: Sequence[Scorer], rows: list[Floats], weights: NDArray[np.float64], count: int) -> Scorecard:
    if any(row.dtype != np.float32 or row.shape != (count,) for row in rows):
        for scorer, row in zip(scorers, rows, strict=True):
            check(scorer, row, count)
    scores = np.array(rows, np.float32).reshape(len(rows), count)
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):  # nor is it so where one is NaN
        for scorer, row in zip(scorers, rows, strict=True):
            check(scorer, row, count)
    return Scorecard(tuple([scorer.name for scorer in scorers]), scores, weights)
