"""Ruin and recreate: empty some GPUs, fill them anew in another order, keep what is no worse.

GPUs that are worth least are emptied most often. A packing with as many GPUs is better when what is on them is more
uneven, since the emptiest can go next (Falkenauer 1996). The dice are loaded: equal problems have equal answers.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from scheduler.sharing.columns import bulk
from scheduler.sharing.filling import Doubles
from scheduler.sharing.floor import Floor, Packing, Seat
from scheduler.sharing.problem import Problem

_FEW: Final = 6  # GPUs that are worth least, of those that are emptied
_MANY: Final = 6  # of all, at most
_NOISE: Final = 0.25  # of worths
_BLUR: Final = 0.3  # of what is worst
_IDLE: Final = 100  # steps without a gain, three times as many while the gap is large
_NEAR: Final = 1.01


def improve(problem: Problem, packing: Packing, worth: Doubles, rent: Doubles, least: int, steps: int) -> Packing:
    """The best packing after so many steps, or sooner when one costs `least` or nothing was gained for long."""
    sizes = bulk(problem)
    dice = np.random.default_rng(len(packing.seats))
    best, values = packing, _values(packing.seats, worth)
    score = (packing.cost(problem), -float(values @ values))
    idle = 0
    for _ in range(steps):
        if score[0] <= least or idle >= _IDLE * (3 if score[0] > least * _NEAR else 1):
            break
        chosen = _chosen(problem, best, values, rent, dice)
        kept = [number for number in range(len(best.seats)) if number not in chosen]
        floor = Floor(problem, [best.seats[number] for number in kept])
        mixed = worth + dice.random() * sizes
        floor.fill(mixed * (1 + _NOISE * dice.random(len(worth))), rent * dice.random(len(rent)) * 1.5)
        found = floor.packing()
        others = np.concatenate([values[kept], _values(found.seats[len(kept) :], worth)])
        other = (found.cost(problem), -float(others @ others))
        idle = 0 if other[0] < score[0] else idle + 1
        if other <= score:
            best, values, score = found, others, other
    return best


def _values(seats: Sequence[Seat], worth: Doubles) -> Doubles:
    return np.array(
        [sum(float(worth[row]) * count for row, count in seat.pattern.counts) for seat in seats], np.float64
    )


def _chosen(problem: Problem, packing: Packing, values: Doubles, rent: Doubles, dice: np.random.Generator) -> set[int]:
    """Which seats to empty."""
    count = len(packing.seats)
    paid = values - rent[[seat.pattern.kind for seat in packing.seats]]
    worst = np.argsort(paid + dice.random(count) * _BLUR, kind="stable")
    many = min(count, int(dice.integers(2, _MANY + 1)))
    chosen = set(worst[: int(dice.integers(1, _FEW + 1))].tolist())
    return chosen | set(dice.choice(count, many, replace=False).tolist())
