"""Ruin and recreate: empty some GPUs, fill them anew in another order, keep what is no worse.

GPUs that are worth least are emptied most often. A packing with as many GPUs is better when what is on them is more
uneven, since the emptiest can go next (Falkenauer 1996). The dice are loaded: equal problems have equal answers.
"""

from typing import Final

import numpy as np

from scheduler.sharing.columns import bulk
from scheduler.sharing.filling import Doubles
from scheduler.sharing.floor import Floor, Packing, Seat
from scheduler.sharing.problem import Problem

_FEW: Final = 4  # GPUs that are worth least, of those that are emptied
_MANY: Final = 10  # at most in all
_NOISE: Final = 0.25  # of worths


def improve(problem: Problem, packing: Packing, worth: Doubles, rent: Doubles, least: int, steps: int) -> Packing:
    """The best packing after so many steps, or sooner when one costs `least`."""
    sizes = bulk(problem)
    dice = np.random.default_rng(len(packing.seats))
    best, score = packing, _score(problem, packing, worth)
    for _ in range(steps):
        if score[0] <= least:
            break
        found = _recreated(problem, best, worth, rent, sizes, dice)
        other = _score(problem, found, worth)
        if other <= score:
            best, score = found, other
    return best


def _score(problem: Problem, packing: Packing, worth: Doubles) -> tuple[int, float]:
    """Less is better."""
    return packing.cost(problem), -sum(_value(seat, worth) ** 2 for seat in packing.seats)


def _value(seat: Seat, worth: Doubles) -> float:
    return float(sum(worth[row] * count for row, count in seat.pattern.counts))


def _recreated(
    problem: Problem, packing: Packing, worth: Doubles, rent: Doubles, sizes: Doubles, dice: np.random.Generator
) -> Packing:
    seats = packing.seats
    value = np.array([_value(seat, worth) - rent[seat.pattern.kind] for seat in seats])
    worst = np.argsort(value + dice.random(len(seats)) * 0.3, kind="stable")
    many = min(len(seats), int(dice.integers(2, _MANY + 1)))
    chosen = set(worst[: int(dice.integers(1, _FEW + 1))].tolist())
    chosen |= set(dice.choice(len(seats), many, replace=False).tolist())
    floor = Floor(problem, [seat for number, seat in enumerate(seats) if number not in chosen])
    mixed = worth + dice.random() * sizes
    noisy = mixed * (1 + _NOISE * dice.random(len(worth)))
    floor.fill(noisy, rent * dice.random(len(rent)) * 1.5)
    return floor.packing()
