"""Which devices of one node serve a pod best: exact about whether any do, bounded in how many sets it compares.

A node with plain devices is a NodeProblem, anything else a Puzzle, which `exact` searches. For the plain ones: once
every matchAttribute constraint has its value, requests ask for disjoint subsets of fixed device sets, which is a
bipartite matching. Feasibility costs one matching per combination of values, never a search over devices.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, product
from math import comb
from typing import Final

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from scheduler.core.model import MAX_RESULTS
from scheduler.core.solvers.exact import Search, Solution
from scheduler.core.solvers.puzzle import Fatal, Puzzle
from scheduler.core.solvers.valuations import valuations
from scoring.arrays import Mask
from scoring.scorecard import score_sets
from scoring.scorers import SET_SCORERS
from scoring.scorers.base import Sets
from scoring.sets import MAX_SETS, near_sets, subsets
from scoring.topology.base import Layout


@dataclass(frozen=True, slots=True)
class NodeProblem:
    """One node in one state, by device position in its bay.

    free : positions nobody holds. wants : per request (count, positions that serve it); count 0 asks for all of them.
    matches : (indices of wants, value number of each position, -1 absent): those wants share one value.
    limits : per want the claim it belongs to; one claim gets at most MAX_RESULTS devices.
    weights : of the set scorers, in their order. first_fit : take the first set that works instead of the best.
    flaws : of each position what speaks against it (scoring/flaws.py); empty where nothing speaks against any.
    """

    layout: Layout
    free: tuple[int, ...]
    wants: tuple[tuple[int, tuple[int, ...]], ...]
    matches: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    limits: tuple[int, ...]
    weights: tuple[float, ...]
    first_fit: bool = False
    flaws: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """`chosen` positions per want, None when nothing fits. `scores` by set scorer.

    exhausted : the step budget ended before it was clear whether anything fits.
    truncated : something fits, and not every possible set was compared.
    alternatives : which of each want's alternatives is served. fatal : why the pod may be placed nowhere at all.
    looks : devices that the exact search looked at.
    """

    chosen: tuple[tuple[int, ...], ...] | None
    scores: Mapping[str, float]
    exhausted: bool = False
    truncated: bool = False
    alternatives: tuple[int, ...] = ()
    fatal: Fatal | None = None
    looks: int = 0


NO_FIT = NodeAnswer(None, {})
MAX_SOLUTIONS = 500  # of a puzzle that are compared
MAX_LOOKS = 2_000  # devices that are looked at to find more of them
LOOKS = 4  # devices that the exact search looks at for one step of a budget
LOOKS_A_SCORE: Final = 20  # what comparing solutions takes
STEPS_A_LOOK: Final = 20  # what one takes, in the steps of core/budget.py


def solve(problem: NodeProblem | Puzzle, budget: int) -> NodeAnswer:
    """The best devices of a node; `budget` counts steps."""
    return solve_puzzle(problem, budget * LOOKS) if isinstance(problem, Puzzle) else solve_node(problem, budget)


def solve_puzzle(puzzle: Puzzle, budget: int) -> NodeAnswer:
    """Upstream's verdict and alternatives, and among the sets that these allow the best."""
    found = Search(puzzle, budget).run()
    if found.fatal is not None:
        return NodeAnswer(None, {}, fatal=found.fatal, looks=found.steps)
    if not found.solutions:
        return NodeAnswer(None, {}, exhausted=found.exhausted, looks=found.steps)
    [first] = found.solutions
    awkward = _awkward(puzzle, first)
    if awkward is not None:
        return NodeAnswer(None, {}, fatal=awkward, looks=found.steps)
    options, truncated, looks = [first], False, found.steps
    if not puzzle.first_fit:
        more = Search(puzzle, min(MAX_LOOKS, budget), MAX_SOLUTIONS, first.chosen).run()
        looks += more.steps
        options += [each for each in more.solutions if _awkward(puzzle, each) is None]
        truncated = more.exhausted or len(more.solutions) >= MAX_SOLUTIONS
    free = np.array([not piece.dedicated and not piece.refused for piece in puzzle.pieces], np.bool_)
    members = np.zeros((len(options), len(puzzle.pieces)), np.bool_)
    for row, option in zip(members, options, strict=True):
        row[[position for picks in option.picks for position in picks]] = True
    card = score_sets(
        SET_SCORERS,
        np.array(puzzle.weights),
        Sets(puzzle.layout, free, members & free, np.array(puzzle.flaws, np.int8)),
    )
    best = 0 if puzzle.first_fit else card.best
    return NodeAnswer(
        options[best].picks, card.breakdown(best), False, truncated, options[best].chosen, looks=looks + LOOKS_A_SCORE
    )


def _awkward(puzzle: Puzzle, solution: Solution) -> Fatal | None:
    """An allocation cannot say "one of these selectors" for one device and something else for another."""
    want = 0
    for claim in puzzle.claims:
        picks = [(want + at, position) for at in range(len(claim.wants)) for position in solution.picks[want + at]]
        want += len(claim.wants)
        for index, position in picks:
            piece = puzzle.pieces[position]
            if piece.pinned:
                break
            if piece.terms > 1:
                return Fatal("terms", index, solution.chosen[index], position)
    return None


@dataclass(frozen=True, slots=True)
class _Group:
    """Wants that the same positions serve: `count` devices in all."""

    positions: tuple[int, ...]
    count: int
    wants: tuple[int, ...]


def solve_node(problem: NodeProblem, budget: int) -> NodeAnswer:
    """The best set of devices; `budget` bounds the combinations of constraint values that are tried."""
    fixed = _take_all(problem)
    if fixed is None:
        return NO_FIT
    taken = {position for positions in fixed.values() for position in positions}
    options: list[tuple[Mask, list[_Group]]] = []
    compared, truncated, steps = 0, False, 0
    for groups in _groupings(problem, fixed, taken):
        steps += 1
        if steps > budget:
            if not options:
                return NodeAnswer(None, {}, exhausted=True)
            truncated = True
            break
        if groups is None:
            continue
        rows, cut = _sets(problem, groups, taken, MAX_SETS - compared)
        if len(rows):
            options.append((rows, groups))
            compared += len(rows)
            truncated |= cut
            if problem.first_fit or compared >= MAX_SETS:
                truncated |= not problem.first_fit
                break
    if not options:
        return NO_FIT
    return _best(problem, fixed, options, truncated)


def _take_all(problem: NodeProblem) -> dict[int, tuple[int, ...]] | None:
    """What mode All takes: every device that serves the request, none of them in use."""
    free = set(problem.free)
    fixed: dict[int, tuple[int, ...]] = {}
    taken: set[int] = set()
    for index, (count, positions) in enumerate(problem.wants):
        if count:
            continue
        if not positions or not free.issuperset(positions) or taken.intersection(positions):
            return None
        fixed[index] = positions
        taken.update(positions)
    for claim in set(problem.limits):
        asked = [index for index, owner in enumerate(problem.limits) if owner == claim]
        if sum(len(fixed.get(index, ())) + problem.wants[index][0] for index in asked) > MAX_RESULTS:
            return None
    return fixed


def _groupings(
    problem: NodeProblem, fixed: Mapping[int, tuple[int, ...]], taken: set[int]
) -> Iterator[list[_Group] | None]:
    """For each combination of constraint values the groups to serve, None where a count rules it out."""
    free = set(problem.free) - taken
    for chosen in valuations(problem.wants, problem.matches, fixed, free):
        by_positions: dict[tuple[int, ...], list[int]] = {}
        for index, (count, positions) in enumerate(problem.wants):
            if not count:
                continue
            left = tuple(
                position
                for position in positions
                if position in free
                and all(
                    labels[position] == value
                    for (wants, labels), value in zip(problem.matches, chosen, strict=True)
                    if index in wants
                )
            )
            by_positions.setdefault(left, []).append(index)
        groups = [
            _Group(positions, sum(problem.wants[want][0] for want in wants), tuple(wants))
            for positions, wants in by_positions.items()
        ]
        yield groups if all(len(group.positions) >= group.count for group in groups) else None


def _sets(problem: NodeProblem, groups: list[_Group], taken: set[int], limit: int) -> tuple[Mask, bool]:
    """Sets to compare, bool (C, n), and whether some were left out. No rows: the groups cannot be served together."""
    size = problem.layout.size
    base = np.zeros(size, np.bool_)
    base[list(taken)] = True
    if not groups:
        return base[None, :], False
    if problem.layout.fabric:
        [group] = groups  # nodes like this come here for one request only
        ways, cut = _by_partition(problem.layout.fabric, group, 1 if problem.first_fit else limit)
        return _member_rows([[way] for way in ways], base), cut and not problem.first_fit
    first = _matching(groups, size)
    if first is None:
        return np.zeros((0, size), np.bool_), False
    if problem.first_fit and len(groups) == 1:
        first = [list(groups[0].positions[: groups[0].count])]
    total = 1
    for group in groups:
        total *= comb(len(group.positions), group.count)
    if problem.first_fit or total > max(limit, 1):
        rows: list[Sequence[Sequence[int]]] = [first]
        if not problem.first_fit:
            rows += near_sets(problem.layout, [(group.positions, group.count) for group in groups], limit)
        return _member_rows(rows, base), not problem.first_fit
    if len(groups) == 1:
        picked = np.asarray(groups[0].positions)[subsets(len(groups[0].positions), groups[0].count)]
        members = np.tile(base, (len(picked), 1))
        np.put_along_axis(members, picked, values=True, axis=1)
        return members, False
    picks = product(*(combinations(group.positions, group.count) for group in groups))
    disjoint = [pick for pick in picks if len({p for part in pick for p in part}) == sum(map(len, pick))]
    distinct = {frozenset(p for part in pick for p in part): pick for pick in reversed(disjoint)}
    return _member_rows(list(distinct.values())[::-1], base), False


def _by_partition(fabric: Sequence[frozenset[int]], group: _Group, limit: int) -> tuple[list[tuple[int, ...]], bool]:
    """Ways to serve a group with one whole partition or with none, at most `limit`; and whether there are more."""
    *partitions, members = fabric
    able = set(group.positions)
    loose = [position for position in group.positions if position not in members]
    ways = (
        (*sorted(each), *rest)
        for each in sorted((*partitions, frozenset[int]()), key=sorted)
        if each <= able and len(each) <= group.count
        for rest in combinations(loose, group.count - len(each))
    )
    found = list(islice(ways, limit + 1))
    return found[:limit], len(found) > limit


def _member_rows(picks: Sequence[Sequence[Sequence[int]]], base: Mask) -> Mask:
    members: Mask = np.tile(base, (len(picks), 1))
    for row, pick in zip(members, picks, strict=True):
        for part in pick:
            row[list(part)] = True
    return members


def _matching(groups: Sequence[_Group], size: int) -> list[list[int]] | None:
    """One way to serve all groups with disjoint devices, or None."""
    if len(groups) == 1:
        return [list(groups[0].positions[: groups[0].count])]
    slots = [index for index, group in enumerate(groups) for _ in range(group.count)]
    rows = [slot for slot, index in enumerate(slots) for _ in groups[index].positions]
    columns = [position for index in slots for position in groups[index].positions]
    graph = csr_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(slots), size))
    found = maximum_bipartite_matching(graph, perm_type="column")
    if (found < 0).any():
        return None
    chosen: list[list[int]] = [[] for _ in groups]
    for slot, position in enumerate(found.tolist()):
        chosen[slots[slot]].append(position)
    return chosen


def _best(
    problem: NodeProblem,
    fixed: Mapping[int, tuple[int, ...]],
    options: list[tuple[Mask, list[_Group]]],
    truncated: bool,
) -> NodeAnswer:
    members = np.concatenate([rows for rows, _ in options])
    free = np.zeros(problem.layout.size, np.bool_)
    free[list(problem.free)] = True
    card = score_sets(
        SET_SCORERS, np.array(problem.weights), Sets(problem.layout, free, members, np.array(problem.flaws, np.int8))
    )
    best = 0 if problem.first_fit else card.best
    ends = np.cumsum([len(rows) for rows, _ in options])
    groups = options[int(np.searchsorted(ends, best, side="right"))][1]
    positions = np.flatnonzero(members[best]).tolist()
    taken = {position for part in fixed.values() for position in part}
    chosen = dict(fixed)
    parts = _split(groups, [position for position in positions if position not in taken], problem.layout.size)
    for group, part in zip(groups, parts, strict=True):
        at = 0
        for want in group.wants:
            count = problem.wants[want][0]
            chosen[want] = tuple(part[at : at + count])
            at += count
    return NodeAnswer(
        tuple(chosen[index] for index in range(len(problem.wants))),
        card.breakdown(best),
        truncated=truncated,
    )


def _split(groups: Sequence[_Group], positions: Sequence[int], size: int) -> list[list[int]]:
    """Deal a set of devices out to the groups that they were chosen for."""
    have = set(positions)
    narrowed = [
        _Group(tuple(position for position in group.positions if position in have), group.count, group.wants)
        for group in groups
    ]
    dealt = _matching(narrowed, size)
    return [sorted(part) for part in dealt or []]
