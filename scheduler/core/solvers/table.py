"""Every set of devices that could serve one demand on one kind of node, judged once for all nodes of the kind.

Which sets there are depends on the node's layout and on the devices that serve the demand; what is free only rules some
of them out. So the sets are listed once, with the scores that do not depend on what is free, and all states of all
nodes are solved by one pass over arrays. The answers are those of `search.solve_node`.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from math import comb

import numpy as np
from numpy.typing import NDArray

from scheduler.core.model import MAX_RESULTS
from scheduler.core.solvers.search import MAX_SETS, NO_FIT, NodeAnswer, NodeProblem, subsets
from scoring.arrays import Floats, Mask, Rows
from scoring.scorecard import score_sets
from scoring.scorers import SET_SCORERS
from scoring.scorers.base import Sets

_CELLS = 1_000_000  # of arrays held in memory at once
_NAMES = tuple(scorer.name for scorer in SET_SCORERS)
NONE = -1


class SetTable:
    """The sets of one NodeProblem, whatever is free.

    picks : int32 (A,), per known state of a node the best set, NONE where nothing fits.
    scores : float32 (S, A), of that set. Both are longer than what is known.
    """

    def __init__(self, problem: NodeProblem, members: Mask) -> None:
        self._problem = problem
        self._members = members
        self._counts = [count for count, _ in problem.wants]
        self._known: dict[int, int] = {}  # free devices as bits -> where its answer is
        self.picks: Rows = np.full(64, NONE, np.int32)
        self.scores: Floats = np.zeros((len(SET_SCORERS), 64), np.float32)
        every = Sets(problem.layout, np.ones(problem.layout.size, np.bool_), members)
        self._fixed = [None if scorer.sees_free else scorer.score(every) for scorer in SET_SCORERS]

    @classmethod
    def of(cls, problem: NodeProblem, budget: int) -> "SetTable | None":
        """The table for a problem, `free` aside; None where sets cannot be listed ahead, or are too many.

        budget : combinations of constraint values, as for `search.solve_node`.
        """
        if problem.layout.fabric:  # partitions of it are listed by `search`
            return None
        members = _members(problem, budget)
        return None if members is None else cls(problem, members)

    def find(self, states: Sequence[int]) -> Rows:
        """Where the answers for these states are, each given as the bits of its free devices; int32 (len(states),)."""
        known = self._known
        missing = [state for state in dict.fromkeys(states) if state not in known]
        if missing:
            self._solve(missing)
        return np.array([known[state] for state in states], np.int32)

    def answer(self, at: int) -> NodeAnswer:
        """One of the answers in full."""
        pick = int(self.picks[at])
        if pick == NONE:
            return NO_FIT
        positions = np.flatnonzero(self._members[pick]).tolist()
        chosen, start = [], 0
        for count in self._counts:
            chosen.append(tuple(positions[start : start + count]))
            start += count
        return NodeAnswer(tuple(chosen), breakdown(self.scores[:, at]))

    def positions(self, at: Rows) -> Rows:
        """Of the devices of these answers, int32 (len(at), count), -1 where nothing fits."""
        picks = self.picks[at]
        count = sum(self._counts)
        found: Rows = np.full((len(at), count), -1, np.int32)
        fits = picks != NONE
        found[fits] = self._members[picks[fits]].nonzero()[1].reshape(-1, count)
        return found

    def _solve(self, states: Sequence[int]) -> None:
        size = self._problem.layout.size
        free = spread(states, size)
        start = len(self._known)
        self._grow(start + len(states))
        at_once = max(1, _CELLS // max(1, len(self._members)))
        for begin in range(0, len(states), at_once):
            part = free[begin : begin + at_once]
            span = slice(start + begin, start + begin + len(part))
            self.picks[span], self.scores[:, span] = self._best(part)
        for number, state in enumerate(states):
            self._known[state] = start + number

    def _best(self, free: Mask) -> tuple[Rows, Floats]:
        """Per state the best set and its scores; free : bool (M, n)."""
        missed = (~free).astype(np.float32) @ self._members.astype(np.float32).T
        state, pick = np.nonzero(missed == 0)  # sets within what is free, state after state
        picks: Rows = np.full(len(free), NONE, np.int32)
        scores: Floats = np.zeros((len(SET_SCORERS), len(free)), np.float32)
        if not len(state):
            return picks, scores
        card = score_sets(
            SET_SCORERS,
            np.array(self._problem.weights),
            Sets(self._problem.layout, free[state], self._members[pick]),
            [None if fixed is None else fixed[pick] for fixed in self._fixed],
        )
        solved, starts = np.unique(state, return_index=True)
        highest = np.maximum.reduceat(card.total, starts)
        tied = np.flatnonzero(card.total == np.repeat(highest, np.diff(starts, append=len(state))))
        first = tied[np.searchsorted(state[tied], solved)]  # as sets are in order
        picks[solved], scores[:, solved] = pick[first], card.scores[:, first]
        return picks, scores

    def _grow(self, size: int) -> None:
        extra = max(size, 2 * len(self.picks)) - len(self.picks) if size > len(self.picks) else 0
        if extra:
            self.picks = np.concatenate([self.picks, np.full(extra, NONE, np.int32)])
            self.scores = np.concatenate([self.scores, np.zeros((len(self.scores), extra), np.float32)], axis=1)


def breakdown(scores: Floats) -> dict[str, float]:
    """Scorer name -> score of one set, as in Scorecard."""
    return {name: round(score, 6) for name, score in zip(_NAMES, scores.tolist(), strict=True)}


def spread(states: Sequence[int], size: int) -> Mask:
    """Bits as columns, bool (len(states), size)."""
    if size < 64:
        bits: Mask = (np.array(states, np.int64)[:, None] >> np.arange(size) & 1).astype(np.bool_)
        return bits
    width = -(-size // 8)
    flat = np.frombuffer(b"".join(state.to_bytes(width, "little") for state in states), np.uint8)
    found: Mask = np.unpackbits(flat.reshape(len(states), width), axis=1, bitorder="little")[:, :size].view(np.bool_)
    return found


def _members(problem: NodeProblem, budget: int) -> Mask | None:
    """All sets, bool (C, n), in the order in which the search compares them."""
    wants = range(len(problem.wants))
    [*distinct] = {positions for _, positions in problem.wants}
    total = sum(count for count, _ in problem.wants)
    if problem.first_fit or len(distinct) != 1 or not all(count for count, _ in problem.wants):
        return None
    if any(set(members) != set(wants) for members, _ in problem.matches):
        return None
    for claim in set(problem.limits):
        asked = sum(problem.wants[want][0] for want in wants if problem.limits[want] == claim)
        if asked > MAX_RESULTS:
            return None
    groups = list(_groups(distinct[0], [labels for _, labels in problem.matches], budget))
    if len(groups) > budget or sum(comb(len(group), total) for group in groups) >= MAX_SETS:
        return None
    rows = [np.zeros((0, problem.layout.size), np.bool_)]
    for group in groups:
        chosen: NDArray[np.int64] = np.asarray(group, np.int64)[subsets(len(group), total)]
        members = np.zeros((len(chosen), problem.layout.size), np.bool_)
        np.put_along_axis(members, chosen, values=True, axis=1)
        rows.append(members)
    return np.concatenate(rows)


def _groups(positions: tuple[int, ...], labels: Sequence[tuple[int, ...]], budget: int) -> Iterator[tuple[int, ...]]:
    """Positions that share a value of every label, by ascending values; at most budget + 1 combinations."""
    values = [sorted({label[position] for position in positions} - {-1}) for label in labels]
    for number, chosen in enumerate(product(*values)):
        if number > budget:
            return
        yield tuple(
            position
            for position in positions
            if all(label[position] == value for label, value in zip(labels, chosen, strict=True))
        )
