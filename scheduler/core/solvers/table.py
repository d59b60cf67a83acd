"""The table of every set of devices that could serve one demand on one kind of node (scoring/sets.py).

Which sets there are depends on the node's layout and on the devices that serve the demand. The answers are those of
`search.solve_node`.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from scheduler.core.model import MAX_RESULTS
from scheduler.core.solvers.search import NO_FIT, NodeAnswer, NodeProblem
from scoring.arrays import Floats, Rows
from scoring.scorers import SET_SCORERS
from scoring.sets import MAX_SETS, NONE, SetTable, every_set, set_count

_NAMES = tuple(scorer.name for scorer in SET_SCORERS)


def table_of(problem: NodeProblem, budget: int) -> SetTable | None:
    """The table for a problem, `free` aside; None where sets cannot be listed ahead, or are too many.

    budget : combinations of constraint values, as for `search.solve_node`.
    """
    if problem.layout.fabric:  # partitions of it are listed by `search`
        return None
    choices = _choices(problem, budget)
    if choices is None:
        return None
    return SetTable(problem.layout, choices, [count for count, _ in problem.wants], problem.weights, problem.flaws)


def answer_of(table: SetTable, at: int) -> NodeAnswer:
    """One of the answers in full."""
    pick = int(table.picks[at])
    if pick == NONE:
        return NO_FIT
    positions = table.choices[pick].tolist()
    chosen, start = [], 0
    for count in table.counts:
        chosen.append(tuple(positions[start : start + count]))
        start += count
    return NodeAnswer(tuple(chosen), breakdown(table.scores[:, at]))


def breakdown(scores: Floats) -> dict[str, float]:
    """Scorer name -> score of one set, as in Scorecard."""
    return {name: round(score, 6) for name, score in zip(_NAMES, scores.tolist(), strict=True)}


def _choices(problem: NodeProblem, budget: int) -> Rows | None:
    """All sets as the positions taken, want by want, int32 (C, K), in the order in which the search compares them.

    Requests that the same devices can serve are one group and share its sets; those of other groups stand beside them.
    """
    wants = range(len(problem.wants))
    groups: dict[tuple[int, ...], list[int]] = {}
    for want, (count, positions) in enumerate(problem.wants):
        if not count:
            return None
        groups.setdefault(positions, []).append(want)
    reached = [position for positions in groups for position in positions]
    if problem.first_fit or len(set(reached)) < len(reached):
        return None
    if any(set(members) != set(wants) for members, _ in problem.matches):
        return None
    asked = [(owner, count) for owner, (count, _) in zip(problem.limits, problem.wants, strict=True)]
    if any(sum(count for owner, count in asked if owner == claim) > MAX_RESULTS for claim in set(problem.limits)):
        return None
    parts = [
        list(zip(part, groups.values(), strict=True))
        for part in _alike([*groups], [labels for _, labels in problem.matches], budget)
    ]
    each = [count for count, _ in problem.wants]
    if len(parts) > budget or sum(set_count(part, each) for part in parts) >= MAX_SETS:
        return None
    return np.concatenate([np.zeros((0, sum(each)), np.int32), *(every_set(part, each) for part in parts)])


def _alike(
    groups: Sequence[tuple[int, ...]], labels: Sequence[tuple[int, ...]], budget: int
) -> Iterator[list[tuple[int, ...]]]:
    """Positions of each group with one value of every label, by ascending values; at most budget + 1 combinations."""
    values = [sorted({label[position] for group in groups for position in group} - {-1}) for label in labels]
    for number, chosen in enumerate(product(*values)):
        if number > budget:
            return
        yield [
            tuple(
                position
                for position in group
                if all(label[position] == value for label, value in zip(labels, chosen, strict=True))
            )
            for group in groups
        ]
