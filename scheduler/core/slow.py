"""Answers to the instructions that take too long for the core: pure functions, for whoever runs them."""

from scheduler.core.cel import compile_selector, evaluate_tuple, outline_of
from scheduler.core.errors import FaultError
from scheduler.core.messages import Inspect, Inspected, ScalarEvaluated, Slow, Solve, Solved
from scheduler.core.solvers.puzzle import Puzzle
from scheduler.core.solvers.search import NodeProblem, solve


def answer(instruction: Slow) -> Solved | ScalarEvaluated | Inspected:
    """Do the work. Arguments and answers pickle, so this may run in another process."""
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
