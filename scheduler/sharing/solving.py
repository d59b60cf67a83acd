"""From models and GPUs to a packing that is as good as can be shown: the order in which solvers are asked."""

from dataclasses import dataclass
from typing import Final

from scheduler.sharing.evening import even
from scheduler.sharing.exact import optimum
from scheduler.sharing.floor import Packing
from scheduler.sharing.packing import pack
from scheduler.sharing.problem import Problem
from scheduler.sharing.relaxation import Relaxation

MOST_BRANCHED: Final = 100
"""Groups of a problem whose bound is worth branching for."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A packing of a problem; `least` is proven: no packing costs less. method : what found it."""

    problem: Problem
    packing: Packing
    least: int
    method: str

    @property
    def proven(self) -> bool:
        """Whether no packing is better by what is counted first and second."""
        return self.packing.cost(self.problem) <= self.least


def solve(problem: Problem) -> Solution:
    """The best packing that is found of a problem."""
    if not problem.bins and not problem.cuts:
        nothing = Packing((), tuple(problem.replicas.tolist()))
        return Solution(problem, nothing, nothing.cost(problem), "nothing fits")
    exact = optimum(problem)
    if exact is not None:
        return Solution(problem, even(problem, exact), exact.cost(problem), "all patterns")
    relaxation = Relaxation(problem)
    least, worth = relaxation.linear()
    packing = pack(problem, worth, least)
    if packing.cost(problem) > least and len(problem.models) <= MOST_BRANCHED:
        least = max(least, relaxation.integer())
    return Solution(problem, even(problem, packing), least, "column generation, ruin and recreate")
