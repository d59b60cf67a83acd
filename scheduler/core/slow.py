"""Answers to the instructions that take too long for the core: pure functions, for whoever runs them."""

import copyreg
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, Final

from scheduler.core import messages
from scheduler.core.cel import compile_selector, evaluate_tuple, outline_of
from scheduler.core.config import JOINT
from scheduler.core.errors import FaultError
from scheduler.core.messages import (
    Appraise,
    Appraised,
    Inspect,
    Inspected,
    ScalarEvaluated,
    Slow,
    Solve,
    Solved,
    SolveWindow,
    WindowSolved,
)
from scheduler.core.solvers import puzzle, search, window
from scheduler.core.solvers.joint import joint
from scheduler.core.solvers.puzzle import Puzzle
from scheduler.core.solvers.regret import STEPS_A_POD, regret
from scheduler.core.solvers.search import NodeProblem, solve
from scheduler.core.solvers.window import Window
from scoring.market import Market, market_of
from scoring.mix import Sample
from scoring.prices import Supply

WINDOW_STEPS: Final = 100_000  # of solvers/regret.py at most; about a fifth of a second


def answer(
    instruction: Slow, clock: Callable[[], float] | None = None
) -> Solved | WindowSolved | ScalarEvaluated | Inspected | Appraised:
    """Do the work. Arguments and answers pickle, so this may run in another process.

    clock : for the time limit of HiGHS, so that what one of its solves does not need is left to the next.
    """
    if isinstance(instruction, Appraise):
        return Appraised(instruction.generation, _appraised(instruction.sample, instruction.supply))
    if isinstance(instruction, SolveWindow):
        return _window_solved(instruction, clock)
    if isinstance(instruction, Inspect):
        return Inspected(instruction.expression, instruction.generation, outline_of(instruction.expression))
    if isinstance(instruction, Solve):
        if not isinstance(instruction.problem, NodeProblem | Puzzle):
            raise FaultError(f"Solve carries a {type(instruction.problem).__name__}, not a NodeProblem or a Puzzle")
        found = solve(instruction.problem, instruction.budget)
        return Solved(instruction.problem, instruction.generation, found)
    steps = compile_selector(instruction.expression).steps * len(instruction.tuples)
    if steps > instruction.budget and len(instruction.tuples) > 1:
        raise FaultError(f"EvaluateScalar asks for {steps} steps with a budget of {instruction.budget}")
    verdicts = tuple(evaluate_tuple(instruction.expression, item) for item in instruction.tuples)
    return ScalarEvaluated(instruction.expression, instruction.generation, instruction.tuples, verdicts)


def _window_solved(instruction: SolveWindow, clock: Callable[[], float] | None) -> WindowSolved:
    """A plan that is worth no less than one pod after the other. HiGHS reads a clock, so only answers are replayed."""
    window = instruction.window
    if not isinstance(window, Window):
        raise FaultError(f"SolveWindow carries a {type(window).__name__}, not a Window")
    plan, gap = regret(window, min(WINDOW_STEPS, STEPS_A_POD * len(window.pods))), 0.0
    if instruction.method == JOINT:
        found = joint(window, plan, instruction.limit_s, clock=clock)
        plan, gap = found.plan, found.gap
    return WindowSolved(instruction.generation, instruction.method, plan, gap)


def _appraised(sample: object, supply: object) -> Market | None:
    if not isinstance(sample, Sample) or not isinstance(supply, Supply):
        raise FaultError(f"Appraise carries a {type(sample).__name__} and a {type(supply).__name__}")
    try:
        return market_of(sample, supply)
    except ArithmeticError:
        return None


def _rebuilt(item: Any) -> tuple[Any, tuple[Any, ...]]:
    """What pickle makes an object of: its class cannot be filled afterwards where it is compiled."""
    return type(item), tuple(getattr(item, each.name) for each in fields(item) if each.init)


for _module in (messages, puzzle, search, window):
    for _each in list(vars(_module).values()):
        if isinstance(_each, type) and is_dataclass(_each) and _each.__module__ == _module.__name__:
            copyreg.pickle(_each, _rebuilt)
