"""Column generation: which patterns to use how often, by a linear program that asks for better ones.

The linear program covers all replicas with the patterns that are known, at the least cost. Its dual prices are worths,
by which every way to use a GPU is filled anew; fillings that are worth more than they cost join the known ones.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from scheduler.sharing.filling import Doubles, Filling, fill_bin, fill_cut
from scheduler.sharing.problem import Ints, Pattern, Problem

_GAIN: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Mixture:
    """How often each pattern is used, with fractions, and what that costs.

    worth : float (I,), what a replica costs at the margin. rent : by kind, what one more GPU would save.
    """

    patterns: tuple[Pattern, ...]
    uses: Doubles
    cost: float
    worth: Doubles
    rent: Doubles


def bulk(problem: Problem) -> Doubles:
    """How large a replica is by memory and by compute where they add up, the mean of both and of all its ways; (I,)."""
    total, ways = np.zeros(len(problem.models)), np.zeros(len(problem.models))
    for way in problem.bins:
        sizes = (way.takes / np.maximum(way.room, 1))[:, :2].sum(axis=1) / 2
        total += np.where(way.able, sizes, 0.0)
        ways += way.able & (sizes > 0)
    result: Doubles = total / np.maximum(ways, 1)
    return result


def generate(problem: Problem, known: Iterable[Pattern], rounds: int) -> Mixture:
    """The best mixture of these patterns and of those that come up in so many rounds."""
    patterns = dict.fromkeys(known)
    most = np.where(problem.single, np.minimum(problem.replicas, 1), problem.replicas)
    found = mix(problem, tuple(patterns))
    for _ in range(rounds):
        fillings: list[Filling | None] = [
            fill_bin(way, found.worth, most, scale) for way, scale in zip(problem.bins, problem.scarcity, strict=True)
        ]
        fillings += [fill_cut(cut, found.worth, most) for cut in problem.cuts]
        before = len(patterns)
        for filling in fillings:
            if filling is None:
                continue
            kind = filling.pattern.kind
            if filling.worth > problem.kinds[kind].cost + found.rent[kind] + _GAIN:
                patterns[filling.pattern] = None
        if len(patterns) == before:
            break
        found = mix(problem, tuple(patterns))
    return found


def mix(
    problem: Problem, patterns: tuple[Pattern, ...], replicas: Ints | None = None, free: Sequence[int] | None = None
) -> Mixture:
    """The cheapest mixture of exactly these. replicas, free : if not all replicas, and all GPUs of each kind."""
    groups, kinds = len(problem.models), len(problem.kinds)
    replicas = problem.replicas if replicas is None else replicas
    free = [len(kind.gpus) for kind in problem.kinds] if free is None else free
    cost = [float(problem.kinds[pattern.kind].cost) for pattern in patterns] + [float(problem.penalty)] * groups
    entries = [(row, column, -float(n)) for column, each in enumerate(patterns) for row, n in each.counts]
    entries += [(row, len(patterns) + row, -1.0) for row in range(groups)]
    entries += [(groups + each.kind, column, 1.0) for column, each in enumerate(patterns)]
    rows, columns, values = zip(*entries, strict=True)
    matrix = coo_array((values, (rows, columns)), shape=(groups + kinds, len(cost))).tocsr()
    high = np.concatenate([-replicas, free])
    found = linprog(cost, A_ub=matrix, b_ub=high, bounds=(0, None), method="highs-ipm")
    prices = -np.asarray(found.ineqlin.marginals, np.float64)
    return Mixture(patterns, np.asarray(found.x)[: len(patterns)], float(found.fun), prices[:groups], prices[groups:])
