"""Ties: of packings with as many GPUs, one with more headroom where there is least, and with less waste of parts.

Replicas move from the GPU with the least headroom to another that is in use, as long as the lesser of the two grows.
That is a local optimum, nothing more.
"""

from collections import defaultdict
from dataclasses import replace
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from scheduler.sharing.floor import Packing, Seat
from scheduler.sharing.problem import CLAIM, CUT, SHARE, Bin, Ints, Pattern, Problem

MOVES: Final = 300


def even(problem: Problem, packing: Packing) -> Packing:
    """The same GPUs with the same replicas in all, spread more evenly."""
    ways = {(way.kind, way.mode, way.tenant): way for way in problem.bins}
    seats = [_frugal(problem, seat) if seat.pattern.mode == CUT else seat for seat in packing.seats]
    room: dict[int, Ints] = {}
    for number, seat in enumerate(seats):
        if seat.pattern.mode in {CLAIM, SHARE}:
            way = ways[seat.pattern.kind, seat.pattern.mode, seat.pattern.tenant]
            taken = np.array([way.takes[row] * count for row, count in seat.pattern.counts]).sum(axis=0)
            room[number] = way.room - taken
    at: dict[tuple[str, int], int] = defaultdict(int)
    for seat in seats:
        for row, _ in seat.pattern.counts:
            at[problem.gpus[seat.gpu].node, row] += 1
    stuck: set[int] = set()
    for _ in range(MOVES):
        able = [number for number in room if number not in stuck]
        if not able:
            break
        poorest = min(able, key=lambda number: (_headroom(_way(ways, seats[number]), room[number]), number))
        if not _move(problem, ways, seats, room, at, poorest):
            stuck.add(poorest)
    return Packing(tuple(seats), packing.missing)


def _way(ways: dict[tuple[int, str, str], Bin], seat: Seat) -> Bin:
    return ways[seat.pattern.kind, seat.pattern.mode, seat.pattern.tenant]


def _headroom(way: Bin, room: Ints) -> float:
    return float((room[:2] / np.maximum(way.room[:2], 1)).min())


def _move(
    problem: Problem,
    ways: dict[tuple[int, str, str], Bin],
    seats: list[Seat],
    room: dict[int, Ints],
    at: dict[tuple[str, int], int],
    source: int,
) -> bool:
    """Move one replica off a GPU to where most is left afterwards; false if that makes nothing better."""
    way = _way(ways, seats[source])
    node = problem.gpus[seats[source].gpu].node
    now = _headroom(way, room[source])
    best: tuple[float, int, int] | None = None
    if sum(count for _, count in seats[source].pattern.counts) == 1:
        return False
    for row, _ in seats[source].pattern.counts:
        for target, left in room.items():
            other = _way(ways, seats[target])
            if target == source or not other.able[row] or (other.takes[row] > left).any():
                continue
            there = problem.gpus[seats[target].gpu].node
            if problem.single[row] and any(each == row for each, _ in seats[target].pattern.counts):
                continue
            if problem.lonely[row] and there != node and at[there, row]:
                continue
            reached = min(_headroom(other, left - other.takes[row]), _headroom(way, room[source] + way.takes[row]))
            if reached > now + 1e-9 and (best is None or reached > best[0]):
                best = (reached, row, target)
    if best is None:
        return False
    _, row, target = best
    other = _way(ways, seats[target])
    room[source] = room[source] + way.takes[row]
    room[target] = room[target] - other.takes[row]
    at[node, row] -= 1
    at[problem.gpus[seats[target].gpu].node, row] += 1
    seats[source] = replace(seats[source], pattern=_with(seats[source].pattern, row, -1))
    seats[target] = replace(seats[target], pattern=_with(seats[target].pattern, row, 1))
    return True


def _with(pattern: Pattern, row: int, more: int) -> Pattern:
    counts = dict(pattern.counts)
    counts[row] = counts.get(row, 0) + more
    return replace(pattern, counts=tuple(sorted((each, count) for each, count in counts.items() if count)))


def _frugal(problem: Problem, seat: Seat) -> Seat:
    """The same replicas in the smallest parts of the same cut that they fit into."""
    used = {part for _, part in seat.pattern.parts}
    cut = next(each for each in problem.cuts if each.kind == seat.pattern.kind and used <= set(each.parts))
    rows = [row for row, _ in seat.pattern.parts]
    sizes = np.array([problem.gpus[seat.gpu].parts[part].memory for part in cut.parts], np.float64)
    price = np.where(cut.fits[rows], sizes, 1e18)
    chosen, slots = linear_sum_assignment(price)
    parts = tuple(sorted((rows[i], cut.parts[slot]) for i, slot in zip(chosen.tolist(), slots.tolist(), strict=True)))
    return replace(seat, pattern=replace(seat.pattern, parts=parts))
