"""Packing of any size: GPUs are filled one after another, the most valuable filling first, again and again.

Worths of replicas begin as dual prices of the relaxation. After each run, replicas that ended on poorly filled GPUs, or
nowhere, are worth more (sequential value correction, Belov and Scheithauer 2007). What the runs met gives a linear
program better prices, by which the best of them is improved. How much is tried depends on the size of the problem
alone, so equal problems have equal answers.
"""

from typing import Final

import numpy as np

from scheduler.sharing.columns import bulk, generate
from scheduler.sharing.filling import Doubles
from scheduler.sharing.floor import Floor, Packing
from scheduler.sharing.improving import improve
from scheduler.sharing.problem import Pattern, Problem

MOST_RUNS: Final = 8
MOST_STEPS: Final = 600
MOST_PRICED: Final = 500  # groups; more of them take the linear program too long, and need its prices less
_WORK: Final = 12_000  # replicas and GPUs of all runs together
_HOLD: Final = 0.6  # how much of a worth stays
_SHARP: Final = 1.02  # larger replicas are worth more than in proportion


def pack(problem: Problem, worth: Doubles, least: int) -> Packing:
    """The best packing found; stops where one costs `least`. worth : (I,), what a replica costs at the margin."""
    sizes = bulk(problem)
    value = worth + sizes
    rent = np.zeros(len(problem.kinds))
    found: list[Packing] = []
    met: dict[Pattern, None] = {}
    size = int(problem.replicas.sum()) + len(problem.gpus)
    for _ in range(max(2, min(MOST_RUNS, _WORK // size))):
        floor = Floor(problem)
        floor.fill(value, rent)
        found.append(floor.packing())
        met.update(dict.fromkeys(seat.pattern for seat in floor.seats))
        if found[-1].cost(problem) <= least:
            return found[-1]
        value = _corrected(problem, worth + sizes, value, found[-1])
    best = min(found, key=lambda each: each.cost(problem))
    if len(problem.models) <= MOST_PRICED:
        mixture = generate(problem, met, rounds=2)
        worth, rent = mixture.worth, mixture.rent
    return improve(problem, best, worth, rent, least, max(20, min(MOST_STEPS, _WORK * 60 // size)))


def _corrected(problem: Problem, base: Doubles, value: Doubles, found: Packing) -> Doubles:
    told = np.zeros(len(base))
    counted = np.zeros(len(base))
    for seat in found.seats:
        full = sum(base[row] * count for row, count in seat.pattern.counts)
        for row, count in seat.pattern.counts:
            told[row] += count * base[row] ** _SHARP / max(full, 1e-6)
            counted[row] += count
    new = np.where(counted > 0, told / np.maximum(counted, 1), value)
    result: Doubles = _HOLD * value + (1 - _HOLD) * new
    return np.where(np.array(found.missing) > 0, result * 1.25, result)
