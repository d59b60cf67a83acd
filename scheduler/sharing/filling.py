"""What to put on one GPU when each replica is worth something: a good set, found fast, not always the best.

Bins are filled by worth for size, then improved by exchanging replicas; cuts by an assignment of replicas to parts,
which is the best there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from scheduler.sharing.problem import CUT, Bin, Cut, Ints, Pattern

Doubles = NDArray[np.float64]
EXCHANGES: Final = 6
_TINY: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Filling:
    """A pattern and what its replicas are worth together."""

    pattern: Pattern
    worth: float


def fill_bin(way: Bin, worth: Doubles, left: Ints, scale: Sequence[float]) -> Filling | None:
    """Fill one bin with models of which `left` (I,), one GPU's limit applied, can be placed; None for nothing.

    scale : what a full bin's memory, compute and places count for in the size of a replica.
    """
    rows = np.flatnonzero(way.able & (left > 0) & (worth > 0))
    if not len(rows):
        return None
    takes, value, most = way.takes[rows], worth[rows], left[rows].copy()
    room = way.room.astype(np.float64)
    size = (takes / np.maximum(room, 1)) @ np.asarray(scale) + _TINY
    counts = np.zeros(len(rows), np.int64)
    free = way.room.copy()
    _fill(takes, value / size, most, counts, free)
    for _ in range(EXCHANGES):
        if not _exchange(takes, value, most, counts, free):
            break
        _fill(takes, value / size, most - counts, counts, free)
    chosen = np.flatnonzero(counts)
    if not len(chosen):
        return None
    pattern = Pattern(way.kind, way.mode, way.tenant, tuple((int(rows[i]), int(counts[i])) for i in chosen))
    return Filling(pattern, float(value @ counts))


def _fill(takes: Ints, ratio: Doubles, most: Ints, counts: Ints, free: Ints) -> None:
    """Add what fits, the best ratio first; `counts` grows and `free` shrinks."""
    order = np.argsort(-ratio, kind="stable")
    order = order[most[order] > 0]
    rest = takes[order]
    while True:
        fits = (rest <= free).all(axis=1)
        if not fits.any():
            return
        order, rest = order[fits], rest[fits]
        i, taken = order[0], rest[0]
        some = taken > 0
        number = min(int(most[i]), int((free[some] // taken[some]).min(initial=most[i])))
        counts[i] += number
        free -= taken * number
        order, rest = order[1:], rest[1:]


def _exchange(takes: Ints, value: Doubles, most: Ints, counts: Ints, free: Ints) -> bool:
    """Put one replica in the place of another that is worth less, where that gains most; `counts`, `free` change."""
    inside, outside = np.flatnonzero(counts), np.flatnonzero(counts < most)
    gain = value[outside] - value[inside, None]  # (inside, outside)
    room = free + takes[inside]
    for axis in range(3):
        gain[takes[outside, axis] > room[:, axis, None]] = -1.0
    best = int(gain.argmax()) if gain.size else 0
    if not gain.size or gain.flat[best] <= _TINY:
        return False
    i, j = inside[best // len(outside)], outside[best % len(outside)]
    counts[i] -= 1
    counts[j] += 1
    free += takes[i] - takes[j]
    return True


def fill_cut(way: Cut, worth: Doubles, left: Ints) -> Filling | None:
    """The best assignment of replicas to the parts of a cut; None for nothing."""
    parts = len(way.parts)
    rows = np.flatnonzero(way.fits.any(axis=1) & (left > 0) & (worth > 0))
    if not len(rows):
        return None
    rows = rows[np.lexsort((rows, -worth[rows]))]
    wanted: dict[int, None] = {}
    for shape in {way.fits[:, part].tobytes(): part for part in range(parts)}.values():
        counted = 0
        for row in rows[way.fits[rows, shape]].tolist():
            wanted[row] = None
            counted += min(int(left[row]), parts)
            if counted >= parts:
                break
    copies = [row for row in sorted(wanted) for _ in range(min(int(left[row]), parts))]
    gain = np.where(way.fits[copies], worth[copies][:, None], 0.0)
    chosen, slots = linear_sum_assignment(gain, maximize=True)
    given = [(copies[i], slot) for i, slot in zip(chosen.tolist(), slots.tolist(), strict=True) if gain[i, slot] > 0]
    if not given:
        return None
    counts: dict[int, int] = {}
    for row, _ in given:
        counts[row] = counts.get(row, 0) + 1
    seats = tuple(sorted((row, way.parts[slot]) for row, slot in given))
    pattern = Pattern(way.kind, CUT, "", tuple(sorted(counts.items())), seats)
    return Filling(pattern, float(sum(worth[row] for row, _ in given)))
