"""Every set of devices that could serve a pod on nodes of one layout, judged once for all of their states.

What is free only rules some of the sets out. So sets are listed once, with the scores that do not depend on what is
free, and all states of all nodes are solved by one pass over arrays.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from math import comb, prod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Floats, Mask, Rows
from scoring.flaws import Flaws
from scoring.scorecard import score_sets
from scoring.scorers import SET_SCORERS
from scoring.scorers.base import Sets
from scoring.topology.base import Layout

MAX_SETS: Final = 13_000  # C(16, 8) = 12,870: every set of a node with 16 devices
NONE: Final = -1
_CELLS: Final = 1_000_000  # of arrays held in memory at once


class SetTable:
    """The sets of one kind of node, whatever is free.

    choices : int32 (C, K), positions taken, want by want, in the order in which equals are preferred. counts : devices
    by want. weights : of the set scorers, in their order. flaws : of each position; empty where nothing speaks against
    any.
    picks : int32 (A,), per known state of a node the best set, NONE where nothing fits.
    scores : float32 (S, A), of that set. Both are longer than what is known.
    """

    def __init__(
        self,
        layout: Layout,
        choices: Rows,
        counts: Sequence[int],
        weights: Sequence[float],
        flaws: Sequence[int] = (),
    ) -> None:
        self.choices: Final = choices
        self.counts: Final = tuple(counts)
        self._layout = layout
        self._weights = np.array(weights)
        self._members: Mask = np.zeros((len(choices), layout.size), np.bool_)
        np.put_along_axis(self._members, choices, values=True, axis=1)
        self._known: dict[int, int] = {}  # free devices as bits -> where its answer is
        self.picks: Rows = np.full(64, NONE, np.int32)
        self.scores: Floats = np.zeros((len(SET_SCORERS), 64), np.float32)
        self._flaws: Flaws = np.array(flaws, np.int8)
        every = Sets(layout, np.ones(layout.size, np.bool_), self._members, self._flaws)
        self._fixed = [None if scorer.sees_free else scorer.score(every) for scorer in SET_SCORERS]

    def __len__(self) -> int:
        """How many states are known."""
        return len(self._known)

    def find(self, states: Sequence[int]) -> Rows:
        """Where the answers for these states are, each given as the bits of its free devices; int32 (len(states),)."""
        known = self._known
        missing = [state for state in dict.fromkeys(states) if state not in known]
        if missing:
            self._solve(missing)
        return np.array([known[state] for state in states], np.int32)

    def positions(self, at: Rows) -> Rows:
        """Of the devices of these answers, want by want, int32 (len(at), count), -1 where nothing fits."""
        picks = self.picks[at]
        found: Rows = np.full((len(at), sum(self.counts)), NONE, np.int32)
        fits = picks != NONE
        found[fits] = self.choices[picks[fits]]
        return found

    def _solve(self, states: Sequence[int]) -> None:
        size = self._layout.size
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
            self._weights,
            Sets(self._layout, free[state], self._members[pick], self._flaws),
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


@lru_cache(maxsize=512)
def subsets(size: int, count: int) -> NDArray[np.int64]:
    """Every set of `count` of the numbers below `size`, in lexicographic order, int64 (C, count)."""
    flat = np.fromiter(
        (index for chosen in combinations(range(size), count) for index in chosen), np.int64, comb(size, count) * count
    )
    return flat.reshape(-1, count)


def every_set(groups: Sequence[tuple[Sequence[int], Sequence[int]]], counts: Sequence[int]) -> Rows:
    """All sets as the positions taken, want by want, int32 (C, K), in the order in which equals are preferred.

    groups : positions, and the wants that share them; no position is in two groups. counts : devices by want, > 0.
    """
    # Columns come group by group; dealt out to the wants in their order.
    owners = [want for _, wants in groups for want in wants for _ in range(counts[want])]
    order = np.argsort(np.array(owners), kind="stable")
    picked = [
        np.asarray(positions, np.int32)[subsets(len(positions), _size(wants, counts))] for positions, wants in groups
    ]
    return _beside(picked)[:, order]


def set_count(groups: Sequence[tuple[Sequence[int], Sequence[int]]], counts: Sequence[int]) -> int:
    """How many sets `every_set` lists."""
    return prod(comb(len(positions), _size(wants, counts)) for positions, wants in groups)


def near_sets(layout: Layout, groups: Sequence[tuple[Sequence[int], int]], limit: int) -> list[list[list[int]]]:
    """Promising sets where there are too many: around each device the ones nearest to it, group after group.

    groups : free positions that serve each, and how many of them it wants; they may overlap. limit : of devices.
    """
    near = _nearness(layout)
    found: list[list[list[int]]] = []
    seeds = sorted({position for positions, _ in groups for position in positions})
    for seed in seeds[: max(limit, 1)]:
        used: set[int] = set()
        pick: list[list[int]] = []
        for positions, count in groups:
            ranked = sorted(
                (position for position in positions if position not in used),
                key=lambda position: (position != seed, -near[seed, position], position),
            )
            part = ranked[:count]
            used.update(part)
            pick.append(part)
        if all(len(part) == count for part, (_, count) in zip(pick, groups, strict=True)):
            found.append(pick)
    return found


def _nearness(layout: Layout) -> Floats:
    same_numa = (layout.numa[:, None] == layout.numa[None, :]) & (layout.numa[:, None] >= 0)
    same_root = (layout.pcie[:, None] == layout.pcie[None, :]) & (layout.pcie[:, None] >= 0)
    found: Floats = (layout.links + 4.0 * same_numa + 2.0 * same_root).astype(np.float32)
    return found


def _size(wants: Sequence[int], counts: Sequence[int]) -> int:
    return sum(counts[want] for want in wants)


def _beside(parts: Sequence[Rows]) -> Rows:
    """Every row of the first with every row of the second and so on, the last changing fastest."""
    found = parts[0]
    for part in parts[1:]:
        found = np.concatenate([np.repeat(found, len(part), axis=0), np.tile(part, (len(found), 1))], axis=1)
    return found


def spread(states: Sequence[int], size: int) -> Mask:
    """Bits as columns, bool (len(states), size)."""
    if size < 64:
        bits: Mask = (np.array(states, np.int64)[:, None] >> np.arange(size) & 1).astype(np.bool_)
        return bits
    width = -(-size // 8)
    flat = np.frombuffer(b"".join(state.to_bytes(width, "little") for state in states), np.uint8)
    found: Mask = np.unpackbits(flat.reshape(len(states), width), axis=1, bitorder="little")[:, :size].view(np.bool_)
    return found
