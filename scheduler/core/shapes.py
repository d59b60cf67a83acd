"""Solved device problems of one class of pods: what a node in some state gives, and what that is worth."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler.core.solvers.puzzle import Puzzle
from scheduler.core.solvers.search import NO_FIT, NodeAnswer, NodeProblem
from scheduler.core.solvers.table import answer_of
from scoring.arrays import Counts, Mask, Rows
from scoring.placement import weighed, weighed_one
from scoring.scorers import SET_SCORERS
from scoring.sets import SetTable

Doubles = NDArray[np.float64]
NO_SHAPE: Final = -1
SET_NAMES: Final = tuple(scorer.name for scorer in SET_SCORERS)


class Shapes:
    """Solved device problems, by number.

    fits, searched : bool, whether anything fits, and whether the exact search found that out. They are longer than the
    numbers in use, and their last entry, which NO_SHAPE reads, is always false.
    """

    def __init__(self) -> None:
        self._origins: list[
            tuple[NodeProblem | Puzzle | None, int]
        ] = []  # a problem, and the free bits where it has none
        self._answers: list[NodeAnswer | tuple[SetTable, int]] = []
        self.fits: Mask = np.zeros(64, np.bool_)
        self.searched: Mask = np.zeros(64, np.bool_)
        self._sums = np.zeros(64)  # of weighted set scores
        self._counts: Counts = np.zeros(64, np.int64)
        self._preferences: Counts = np.zeros(64, np.int64)
        self._positions: Rows = np.full((64, 1), -1, np.int32)  # of all devices taken, want by want, -1 pads

    def __len__(self) -> int:
        return len(self._answers)

    def problem(self, number: int) -> NodeProblem | Puzzle | None:
        """What was solved; None for shares, which are counted."""
        problem, bits = self._origins[number]
        return replace(problem, free=positions_of(bits)) if isinstance(problem, NodeProblem) and bits else problem

    def answer(self, number: int) -> NodeAnswer:
        """What was found."""
        found = self._answers[number]
        if isinstance(found, tuple):
            table, at = found
            found = self._answers[number] = answer_of(table, at)
        return found

    def worth(self, numbers: Rows) -> tuple[Doubles, Counts, Counts]:
        """Of these shapes the weighted sum of set scores, how many devices they take, and how preferred they are."""
        return self._sums[numbers], self._counts[numbers], self._preferences[numbers]

    def worth_one(self, number: int) -> tuple[float, int]:
        """Of one shape the weighted sum of set scores, and how preferred it is."""
        return float(self._sums[number]), int(self._preferences[number])

    def places(self, number: int) -> tuple[int, ...]:
        """Positions of the devices that one shape takes."""
        return tuple([position for position in self._positions[number].tolist() if position >= 0])

    def add(self, problem: NodeProblem | Puzzle | None) -> int:
        """One more, without an answer yet; returns its number."""
        number = len(self)
        self._reserve(number + 1)
        self._origins.append((problem, 0))
        self._answers.append(NO_FIT)
        return number

    def put(self, number: int, answer: NodeAnswer, weights: Doubles, preference: int) -> None:
        """The answer to one, or a better one."""
        self._answers[number] = answer
        self.fits[number] = answer.chosen is not None
        self.searched[number] = isinstance(self._origins[number][0], Puzzle)
        scores = np.array([answer.scores.get(name, 0.0) for name in SET_NAMES])
        self._sums[number] = weighed_one(scores.tolist(), weights.tolist())
        taken = [position for part in answer.chosen or () for position in part]
        self._counts[number] = len(taken)
        self._widen(len(taken))
        self._positions[number] = -1
        self._positions[number, : len(taken)] = taken
        self._preferences[number] = preference

    def add_from_table(
        self,
        problem: NodeProblem,
        table: SetTable,
        at: Rows,
        states: Sequence[int],
        weights: Doubles,
        count: int,
    ) -> int:
        """These answers of a table; returns the number of the first."""
        start = len(self)
        self._reserve(start + len(at))
        span = slice(start, start + len(at))
        self._origins += [(problem, bits) for bits in states]
        self._answers += [(table, each) for each in at.tolist()]
        self.fits[span] = table.picks[at] >= 0
        scores: Doubles = np.round(table.scores[:, at].astype(np.float64), 6).astype(np.float64)
        self._sums[span] = weighed(scores.T, weights)
        self._counts[span] = np.where(self.fits[span], count, 0)
        self._widen(count)
        self._positions[span] = -1
        self._positions[span, :count] = table.positions(at)
        return start

    def positions(self, numbers: Rows) -> Rows:
        """Of the devices that these shapes take, int32 (len(numbers), K), -1 pads."""
        found: Rows = self._positions[numbers]
        return found

    def _widen(self, width: int) -> None:
        extra = width - self._positions.shape[1]
        if extra > 0:
            more = np.full((len(self._positions), extra), -1, np.int32)
            self._positions = np.concatenate([self._positions, more], axis=1)

    def _reserve(self, size: int) -> None:
        extra = max(0, size + 1 - len(self.fits))
        if extra:
            extra += size
            self.fits = np.concatenate([self.fits, np.zeros(extra, np.bool_)])
            self.searched = np.concatenate([self.searched, np.zeros(extra, np.bool_)])
            self._sums = np.concatenate([self._sums, np.zeros(extra)])
            self._counts = np.concatenate([self._counts, np.zeros(extra, np.int64)])
            self._preferences = np.concatenate([self._preferences, np.zeros(extra, np.int64)])
            more = np.full((extra, self._positions.shape[1]), -1, np.int32)
            self._positions = np.concatenate([self._positions, more])


def positions_of(bits: int) -> tuple[int, ...]:
    """Of the bits that are set, ascending."""
    return tuple([position for position in range(bits.bit_length()) if bits >> position & 1])
