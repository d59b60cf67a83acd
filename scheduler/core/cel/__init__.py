"""CEL device selectors of Dynamic Resource Allocation (KEP-4381), as Kubernetes 1.37 evaluates them.

    values, amount, semver     the values that expressions compute with
    types, tree                static types; expressions as trees
    grammar                    text -> tree (celpy's grammar, corrected; macros expanded)
    registry                   functions by name, with their overloads, declared by
        standard, times, sequences, formatting, kubernetes
    checker                    types of a tree, and what is refused before any device is seen
    costs, estimate            what an evaluation costs, and what it can cost at most
    scalar, program            the evaluator of one device, with its cost: the one that decides
    reads, vector              the same tree over the columns of a DeviceTable: the hot path
    selector, derived          what the rest of the core uses

An evaluation that costs more than 1,000,000 units fails, as Kubernetes' does; text is at most 10 KiB, nesting at most
250 levels. Patterns are RE2. A selector is vectorised if it reads nothing but columns, takes at most 600 steps and
cannot cost too much; all others are evaluated once for each distinct tuple of what they read.

Not supported, and refused by name: messages such as `google.protobuf.Int64Value{value: 1}`. Bounds of our own: strings
that an expression builds have at most 2^24 characters, exponents of quantities four digits. Maps are walked in the
order in which a device or a literal gives their keys; Kubernetes' order is random.
"""

from scheduler.core.cel.derived import derive
from scheduler.core.cel.grammar import excerpt
from scheduler.core.cel.program import Outcome, evaluate_device, evaluate_scalar
from scheduler.core.cel.selector import (
    Outline,
    Reads,
    Selector,
    Verdicts,
    compile_selector,
    device_in,
    evaluate_tuple,
    outline_of,
)

__all__ = [
    "Outcome", "Outline", "Reads", "Selector", "Verdicts", "compile_selector", "derive", "device_in",
    "evaluate_device", "evaluate_scalar", "evaluate_tuple", "excerpt", "outline_of",
]  # fmt: skip
