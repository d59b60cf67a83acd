"""GPUs while they are filled: what is on which, what is left, and the next best filling."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from scheduler.sharing.filling import Doubles, Filling, fill_bin, fill_cut
from scheduler.sharing.problem import CUT, Bin, Cut, Ints, Pattern, Problem

_LEAST: Final = 1e-6  # worth of a replica


@dataclass(frozen=True, slots=True)
class Seat:
    """A pattern on one GPU: a row of Problem.gpus."""

    gpu: int
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Packing:
    """Patterns on GPUs, and how many replicas of each group have no place."""

    seats: tuple[Seat, ...]
    missing: tuple[int, ...]

    def cost(self, problem: Problem) -> int:
        """Penalties of missing replicas, and GPUs put to use."""
        used = sum(problem.kinds[seat.pattern.kind].cost for seat in self.seats)
        return used + problem.penalty * sum(self.missing)


class Floor:
    """GPUs while they are filled. left : int64 (I,), replicas without a place. free : by kind, GPUs that are empty."""

    def __init__(self, problem: Problem, seats: Iterable[Seat] = ()) -> None:
        self.problem = problem
        self.left: Ints = problem.replicas.copy()
        self.seats = list(seats)
        self._at: dict[str, set[int]] = defaultdict(set)  # node -> lonely groups that are there
        for seat in self.seats:
            for row, count in seat.pattern.counts:
                self.left[row] -= count
                if problem.lonely[row]:
                    self._at[problem.gpus[seat.gpu].node].add(row)
        taken = {seat.gpu for seat in self.seats}
        self.free = [[gpu for gpu in reversed(kind.gpus) if gpu not in taken] for kind in problem.kinds]

    def packing(self) -> Packing:
        """As it stands."""
        return Packing(tuple(self.seats), tuple(self.left.tolist()))

    def holds(self, pattern: Pattern) -> bool:
        """Whether there are replicas left for all of a pattern."""
        return all(count <= self.left[row] for row, count in pattern.counts)

    def seat(self, pattern: Pattern, node: str = "") -> bool:
        """Put a pattern on a GPU, without what has no replicas left or may not be there; false if nothing is put.

        node : where the GPU has to be, if that matters.
        """
        problem, free = self.problem, self.free[pattern.kind]
        pattern = trimmed(pattern, {row: int(self.left[row]) for row, _ in pattern.counts})
        if not free or not pattern.counts:
            return False
        lonely = {row for row, _ in pattern.counts if problem.lonely[row]}
        able = [i for i in range(len(free) - 1, -1, -1) if not node or problem.gpus[free[i]].node == node]
        if not able:
            return False
        # The node where least of it has to be left out, the first free GPU among equals.
        at = min(able, key=lambda i: len(lonely & self._at[problem.gpus[free[i]].node])) if lonely else able[0]
        node = problem.gpus[free[at]].node
        pattern = trimmed(pattern, dict.fromkeys(lonely & self._at[node], 0))
        if not pattern.counts:
            return False
        self.seats.append(Seat(free.pop(at), pattern))
        self._at[node] |= lonely
        for row, count in pattern.counts:
            self.left[row] -= count
        return True

    def fill(self, value: Doubles, rent: Doubles) -> None:
        """Fill free GPUs, the one with the most value beyond the rent of its kind first."""
        value = np.maximum(value, _LEAST)
        ways: Sequence[Bin | Cut] = (*self.problem.bins, *self.problem.cuts)
        scales = self.problem.scarcity
        heap: list[tuple[float, int, Filling]] = []

        def push(number: int) -> None:
            way = ways[number]
            if not self.free[way.kind]:
                return
            most = np.where(self.problem.single, np.minimum(self.left, 1), self.left)
            filling: Filling | None
            match way:
                case Cut():
                    filling = fill_cut(way, value, most)
                case Bin():
                    filling = fill_bin(way, value, most, scales[number])
            if filling is not None:
                enter(number, filling)

        def enter(number: int, filling: Filling) -> None:
            kind = ways[number].kind
            spared = 1e6 * (self.problem.kinds[kind].cost == 0)
            heapq.heappush(heap, (float(rent[kind]) - filling.worth - spared, number, filling))

        for number in range(len(ways)):
            push(number)
        while heap and self.left.any():
            _, number, filling = heapq.heappop(heap)
            if not self.free[ways[number].kind]:
                continue
            if any(self.left[row] < count for row, count in filling.pattern.counts):
                push(number)  # it may still be the best, or no longer
            elif self.seat(filling.pattern):
                enter(number, filling)


def trimmed(pattern: Pattern, most: dict[int, int]) -> Pattern:
    """A pattern with at most so many replicas of the groups named."""
    if all(count <= most.get(row, count) for row, count in pattern.counts):
        return pattern
    counts = tuple((row, n) for row, count in pattern.counts if (n := min(count, most.get(row, count))) > 0)
    parts: list[tuple[int, int]] = []
    if pattern.mode == CUT:
        kept = dict(counts)
        for row, part in pattern.parts:
            if kept.get(row, 0) > 0:
                kept[row] -= 1
                parts.append((row, part))
    return Pattern(pattern.kind, pattern.mode, pattern.tenant, counts, tuple(parts))
