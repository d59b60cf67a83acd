"""Every set of devices that could serve one demand on one kind of node, judged once for all nodes of the kind.

Which sets there are depends on the node's layout and on the devices that serve the demand; what is free only rules some
of them out. So the sets are listed once, with the scores that do not depend on what is free, and all states of all
nodes are solved by one pass over arrays. The answers are those of `search.solve_node`.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from math import comb, prod

import numpy as np

from scheduler.core.model import MAX_RESULTS
from scheduler.core.solvers.search import MAX_SETS, NO_FIT, NodeAnswer, NodeProblem, subsets
from scoring.arrays import Floats, Mask, Rows
from scoring.flaws import Flaws
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

    def __init__(self, problem: NodeProblem, choices: Rows) -> None:
        self._problem = problem
        self._choices = choices
        self._members: Mask = np.zeros((len(choices), problem.layout.size), np.bool_)
        np.put_along_axis(self._members, choices, values=True, axis=1)
        self._counts = [count for count, _ in problem.wants]
        self._known: dict[int, int] = {}  # free devices as bits -> where its answer is
        self.picks: Rows = np.full(64, NONE, np.int32)
        self.scores: Floats = np.zeros((len(SET_SCORERS), 64), np.float32)
        self._flaws: Flaws = np.array(problem.flaws, np.int8)
        every = Sets(problem.layout, np.ones(problem.layout.size, np.bool_), self._members, self._flaws)
        self._fixed = [None if scorer.sees_free else scorer.score(every) for scorer in SET_SCORERS]

    @classmethod
    def of(cls, problem: NodeProblem, budget: int) -> "SetTable | None":
        """The table for a problem, `free` aside; None where sets cannot be listed ahead, or are too many.

        budget : combinations of constraint values, as for `search.solve_node`.
        """
        if problem.layout.fabric:  # partitions of it are listed by `search`
            return None
        choices = _choices(problem, budget)
        return None if choices is None else cls(problem, choices)

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
        positions = self._choices[pick].tolist()
        chosen, start = [], 0
        for count in self._counts:
            chosen.append(tuple(positions[start : start + count]))
            start += count
        return NodeAnswer(tuple(chosen), breakdown(self.scores[:, at]))

    def positions(self, at: Rows) -> Rows:
        """Of the devices of these answers, want by want, int32 (len(at), count), -1 where nothing fits."""
        picks = self.picks[at]
        found: Rows = np.full((len(at), sum(self._counts)), NONE, np.int32)
        fits = picks != NONE
        found[fits] = self._choices[picks[fits]]
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
            Sets(self._problem.layout, free[state], self._members[pick], self._flaws),
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


def _choices(problem: NodeProblem, budget: int) -> Rows | None:
    """All sets as the positions taken, want by want, int32 (C, K), in the order in which the search compares them.

    Requests that the same devices can serve are one group and share its sets; those of other groups stand beside them.
    """
    wants = range(len(problem.wants))
    groups: dict[tuple[int, ...], list[int]] = {}
    for want, (count, positions) in enumerate(problem.wants):
        if not count:
            return None
        groups.setdefault(positions, []).append(want)
    reached = [position for positions in groups for position in positions]
    if problem.first_fit or len(set(reached)) < len(reached):
        return None
    if any(set(members) != set(wants) for members, _ in problem.matches):
        return None
    counts = [sum(problem.wants[want][0] for want in members) for members in groups.values()]
    asked = [(owner, count) for owner, (count, _) in zip(problem.limits, problem.wants, strict=True)]
    if any(sum(count for owner, count in asked if owner == claim) > MAX_RESULTS for claim in set(problem.limits)):
        return None
    parts = list(_alike([*groups], [labels for _, labels in problem.matches], budget))
    sizes = [[comb(len(each), count) for each, count in zip(part, counts, strict=True)] for part in parts]
    if len(parts) > budget or sum(prod(each) for each in sizes) >= MAX_SETS:
        return None
    # Columns come group by group; dealt out to the wants in their order.
    owners = [want for members in groups.values() for want in members for _ in range(problem.wants[want][0])]
    order = np.argsort(np.array(owners), kind="stable")
    rows = [np.zeros((0, len(order)), np.int32)]
    for part in parts:
        picked = [
            np.asarray(each, np.int32)[subsets(len(each), count)] for each, count in zip(part, counts, strict=True)
        ]
        rows.append(_beside(picked)[:, order])
    return np.concatenate(rows)


def _beside(parts: Sequence[Rows]) -> Rows:
    """Every row of the first with every row of the second and so on, the last changing fastest."""
    found = parts[0]
    for part in parts[1:]:
        found = np.concatenate([np.repeat(found, len(part), axis=0), np.tile(part, (len(found), 1))], axis=1)
    return found


def _alike(
    groups: Sequence[tuple[int, ...]], labels: Sequence[tuple[int, ...]], budget: int
) -> Iterator[list[tuple[int, ...]]]:
    """Positions of each group with one value of every label, by ascending values; at most budget + 1 combinations."""
    values = [sorted({label[position] for group in groups for position in group} - {-1}) for label in labels]
    for number, chosen in enumerate(product(*values)):
        if number > budget:
            return
        yield [
            tuple(
                position
                for position in group
                if all(label[position] == value for label, value in zip(labels, chosen, strict=True))
            )
            for group in groups
        ]
