"""For one equivalence class of pods: on which nodes they fit, with which devices, and how good that is.

Everything is one column over nodes. A change of one node costs that node's row, unless the class looks at pods around
nodes or wishes for anything: those move all nodes, and cost a pass over the columns. What does not change with use
(rules on nodes, layout, devices that serve the requests) makes nodes of one kind; nodes of one kind with the same free
devices share one device search.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from scheduler.core.allocatable import UnmeasuredError, Used, footprint, units
from scheduler.core.allocation import consumed_of
from scheduler.core.bays import pack
from scheduler.core.budget import Budget, Pieces
from scheduler.core.catalogue import Catalogue
from scheduler.core.demand import Demand
from scheduler.core.eligibility import Pending, Verdicts
from scheduler.core.kinds import CUT, SEARCHED, SHARED, Kinds, NodeKind
from scheduler.core.nodes import NodeTable
from scheduler.core.parts import Cuts
from scheduler.core.plan import Option
from scheduler.core.ranking import Ranking
from scheduler.core.rules import NODE_RULES, POD_RULES
from scheduler.core.shapes import NO_SHAPE, SET_NAMES, Shapes, positions_of
from scheduler.core.shares import Picks, Shares
from scheduler.core.solvers.puzzle import Puzzle
from scheduler.core.solvers.search import STEPS_A_LOOK, NodeAnswer, NodeProblem
from scheduler.core.state import State
from scheduler.core.wishes import Wishes
from scoring.arrays import Counts, Floats, Mask, Rows
from scoring.flaws import Flaw
from scoring.mix import Kind
from scoring.opinion import Opinion
from scoring.placement import HIGHEST, STEP, rank_one, ranks, weighed, weighed_one
from scoring.prices import WHOLE
from scoring.scorecard import Scorecard, score_nodes
from scoring.scorers import CARD_SCORER, PREFERENCE, STATE_SCORERS
from scoring.scorers.base import Loads
from scoring.scorers.health import Health, health_of

_ROWS_AT_ONCE = 1_024  # nodes that are judged in one piece, unless a budget has room for more
_EQUAL = 1e-6  # milli; devices whose gains differ by less are equal, and the first of them is taken
_FEW_ROWS = 16  # up to here one node after the other is faster than columns
_VECTOR_ROWS = 48  # from here on grouping equal rows by sorting beats a dictionary
_USE_RULES = tuple(rule for rule in NODE_RULES if rule.on_use)
_FIRST_ROWS, _LAST_ROWS = 8, 4_096  # nodes sorted in one piece
# What work takes, in the steps of core/budget.py.
_STEPS_A_REFRESH = 80
_STEPS_A_NODE = 3
_STEPS_A_KIND = 300
_STEPS_A_STATE = 20
_STEPS_A_PUZZLE = 100
_STEPS_A_CELL = 3  # of a puzzle: a request for a device


_FULL_SCORES = dict.fromkeys(SET_NAMES, 1.0)
_NOTHING = NodeAnswer((), {})
_NOT_NOTED: Floats = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class Choice:
    """A node for the class: its row, per want the device rows and the alternative, and all that as others read it.

    rank : higher is better; comparable between classes.
    """

    row: int
    rank: int
    devices: tuple[tuple[int, ...], ...]
    alternatives: tuple[int, ...]
    option: Option


@dataclass(frozen=True, slots=True)
class Offered:
    """A node for a pod of the class, with devices that would do: positions, and thousandths that it takes of each.

    value : in milli, as in scoring/placement.py.
    """

    row: int
    value: float
    takes: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class _Found:
    """What one node has for a pod.

    ways : positions of devices and thousandths of each, for each way to serve the pod; none where it does not fit, and
    one, without positions, where its shape tells. flaws : of the device of each way, where there are several. before,
    after : what state scorers measure, after by way. key : kind and condition of the node, if they tell what it is
    worth.
    """

    row: int
    shape: int = NO_SHAPE
    ways: list[tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    flaws: list[int] = field(default_factory=list)
    before: Sequence[float] = ()
    after: list[Sequence[float]] = field(default_factory=list)
    key: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Worth:
    """What a node is worth, served in the best way; its rank is -1 where there is none.

    gains : milli of waste saved, by state scorer, and last those that are saved on cards.
    """

    shape: int
    rank: int
    gains: NDArray[np.float64]


_UNFIT = _Worth(NO_SHAPE, -1, np.zeros(len(STATE_SCORERS) + 1))


@dataclass(frozen=True, slots=True)
class _Told:
    """What there is to say of a node of some shape that is worth so much."""

    answer: NodeAnswer
    scores: dict[str, float]
    total: float


class Candidates:
    """The class of pods with one demand and one opinion.

    settled : whether everything is up to date; it takes as many calls of `refresh` as their budgets demand, and nothing
        else may be read before.
    """

    MAX_SHAPES = 20_000  # node states that a class remembers beyond those that its nodes are in
    MAX_WORTHS = 2_000  # and of so many what they are worth

    def __init__(self, demand: Demand, catalogue: Catalogue, opinion: Opinion) -> None:
        self.demand = demand
        self._catalogue = catalogue
        self._opinion = opinion
        self._use_rules = tuple(rule for rule in _USE_RULES if rule.concerns(demand))
        self._pod_rules = tuple(rule for rule in POD_RULES if rule.concerns(demand))
        self._around: Mask = np.zeros(0, np.bool_)  # nodes that pods around them do not rule out
        self._around_at = (-1, -1)  # residents and nodes that this was found for
        self._kept: Mask = np.zeros(0, np.bool_)  # rows, ruled out for now, that change when they come back
        self.eligible = [[catalogue.eligibility(ask.request) for ask in want.asks] for want in demand.wants]
        self._every = [eligible for asks in self.eligible for eligible in asks]
        self._listed = sum(want.listed for want in demand.wants)
        self._amounts = dict(demand.resources)
        self._first_fit = catalogue.first_fit(demand)
        avoids = opinion.flaw_costs[-1] > 0
        self._shares = Shares(demand, [asks[0] for asks in self.eligible], avoids=avoids) if demand.countable else None
        worth = (0.0, ()) if self._first_fit else (opinion.card_weight, opinion.flaw_costs)
        self._cuts = Cuts(catalogue.parts, self.eligible[0][0], *worth) if demand.single else None
        self._kinds = Kinds(demand, catalogue, opinion.set_key, self.eligible, self._shares, self._cuts)
        self._shapes = Shapes()
        self._puzzle_shapes: dict[Puzzle, int] = {}
        self._pick_shapes: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}  # by positions and flaws
        self._single_shapes: Rows = np.zeros(0, np.int32)  # those of one device, by its position and flaw
        self._fatal: set[int] = set()  # shapes that end every attempt
        self._unsolved: dict[NodeProblem | Puzzle, int] = {}  # shapes that the core's budget did not settle
        self._learned_at = -1
        self._unsorted: Mask = np.zeros(0, np.bool_)  # rows to be sorted
        self._open: Mask = np.zeros(0, np.bool_)  # rows that are not up to date
        self._unjudged: Mask = np.zeros(0, np.bool_)  # rows that are, but for the market
        self._pieces = Pieces(_FIRST_ROWS, _LAST_ROWS)
        self._puzzle_steps = 2_000  # what a node takes that has to be searched, as seen so far
        self._behind = True  # whether rows are left over from refreshes before
        self.settled = False
        self._first_shapes: dict[int, int] = {}  # shape -> that of the first devices instead of the best
        self.short: dict[int, str] = {}  # by row, of which resource the devices that fit take too much
        self._wishes = Wishes(demand, opinion)
        self._base: Counts = np.zeros(0, np.int64)  # ranks without what is wished, while anything is
        self._stirred = True  # whether any of them moved, or what is wished of the node itself, since both were mixed
        self._size = 0
        self._position = self._remade = self._stored_at = -1
        self._versions: tuple[object, ...] = ()
        self._devices_at = -1
        self.reason = ""  # why no node fits, as core/reasons found out; empty once a node or a pod around changed
        self._ranking = Ranking(0)  # by total in steps of scoring/placement.py
        self._choices: dict[int, Choice] = {}  # by row, as long as nothing of the node changes
        self._market_at = -1
        self._asks: tuple[tuple[int, int], Kind] | None = None  # and when it was worked out
        self.shape: Rows = np.zeros(0, np.int32)
        self._reached: Mask = np.zeros(0, np.bool_)
        self.node_scores: Floats = np.zeros((0, 0), np.float32)
        self._gains: NDArray[np.float64] = np.zeros((0, len(STATE_SCORERS) + 1))
        self.saved = self._gains[:, :-1]  # milli of waste, by state scorer
        self.cut = self._gains[:, -1]  # milli of waste saved on cards
        self._after: NDArray[np.float64] = np.zeros((0, len(STATE_SCORERS)))  # what they measure after the placement
        self._known_after: dict[tuple[int, int], Sequence[float]] = {}  # the same by shape and condition of the node
        self._worths: dict[tuple[int, int], _Worth] = {}  # of plain nodes, by kind and condition
        self._known_at = -1  # version of the stock for which both hold
        self._told: dict[Hashable, _Told] = {}  # by shape, waste saved, scores of the node, and what is wished
        self._measured: Mask = np.zeros(0, np.bool_)  # where `_after` is known already

    # ------------------------------------------------------------ keeping up

    @property
    def pending(self) -> tuple[Pending, ...]:
        """What others have to find out first."""
        return tuple(pending for eligible in self._every for pending in eligible.pending)

    @property
    def fatal(self) -> int | None:
        """The first node, by row, whose search met an error that ends the pod's attempt on every node."""
        if not self._fatal:
            return None
        rows = np.flatnonzero(np.isin(self.shape, list(self._fatal)) & self._around)
        return int(rows[0]) if len(rows) else None

    def answer(self, row: int) -> NodeAnswer | None:
        """What was found for a node's devices, None where the search did not get that far."""
        shape = int(self.shape[row])
        return self._shapes.answer(shape) if shape != NO_SHAPE else None

    def problem(self, row: int) -> NodeProblem | Puzzle | None:
        """What was solved for a node's devices, None where the search did not get that far."""
        shape = int(self.shape[row])
        return self._shapes.problem(shape) if shape != NO_SHAPE else None

    def searched(self, rows: Rows) -> Mask:
        """bool (len(rows),), which of these nodes the exact search decided."""
        found: Mask = self._shapes.searched[self.shape[rows]]
        return found

    def shares(self, state: State, rows: Rows) -> tuple[Mask, list[Mask]]:
        """On which of these nodes counting shares or parts decided; there per want which devices could serve it alone.

        bool (len(rows),), and (R, W) per want.
        """
        parts = self._catalogue.parts
        counted: Mask = parts.drawn[rows] & ~self._kinds.sharing[rows] & (self._kinds.kind[rows] != SEARCHED)
        able: list[Mask] = [np.zeros((len(rows), state.bays.width), np.bool_) for _ in self.demand.wants]
        [at] = counted.nonzero()
        for [eligible, *_], each in zip(self.eligible, able, strict=True):
            each[at] = parts.able(state, rows[at], eligible)
        [at] = (self._kinds.sharing[rows] & ~counted).nonzero()
        if self._shares is not None and len(at):
            fits, sure = self._shares.fits(state, rows[at])
            sure &= ~self.searched(rows[at])
            counted[at] = sure
            for each, fit in zip(able, fits, strict=True):
                each[at] = fit
        return counted, [each[counted] for each in able]

    def meets_invalid_pool(self, state: State) -> bool:
        """Whether a node that all but devices allows sees a pool that contradicts itself."""
        problems = np.fromiter(state.bays.problems, np.int32)
        return any(state.bays.sights[row].invalid for row in problems[self.reached(problems)].tolist())

    @property
    def unsolved(self) -> tuple[NodeProblem | Puzzle, ...]:
        """Node problems that the core's budget did not settle, of nodes as they are now."""
        present = set(np.unique(self.shape[self._around]).tolist()) if self._unsolved else set()
        return tuple(problem for problem, number in self._unsolved.items() if number in present)

    @property
    def verdicts(self) -> Verdicts:
        """What others found out about selectors."""
        return self._catalogue.verdicts

    def owed(self, state: State) -> int:
        """Steps that it takes to bring this up to date: an estimate, without a bound where it never was."""
        if self._position < 0 or self._size != state.nodes.size:
            return 10**9
        rows = state.nodes.changes.position - self._position
        behind = sum([eligible.behind(state) for eligible in self._every])
        each = self._puzzle_steps if self._puzzle_shapes else _STEPS_A_NODE
        others = 0 if self._market_at == self._catalogue.stock.version else _STEPS_A_NODE * len(state.nodes.rows)
        return behind + rows * each + others + (0 if self.settled else 10**9)

    def refresh(self, state: State, budget: Budget) -> None:
        """Bring every column up to the state, as far as the budget goes; costs the rows that changed."""
        waiting = False
        for eligible in self._every:
            eligible.refresh(state, self.verdicts, budget)
            waiting |= not eligible.settled
            if waiting and budget.spent:
                break
        self.settled = False
        if waiting:
            return
        budget.spend(_STEPS_A_REFRESH)
        nodes = state.nodes
        wished = self._wishes.look(nodes)
        versions = (wished, *[eligible.version for eligible in self._every])
        known = self._position >= 0 and self._size == nodes.size
        changed = nodes.changes.since(self._position) if known else None
        remade = nodes.remade.since(self._remade) if known else None
        full = len(self._shapes) > self.MAX_SHAPES + 2 * len(nodes.rows)
        if versions != self._versions or changed is None or remade is None or full:
            if full:
                self._forget_shapes()
            self._resize(nodes.size)
            changed = remade = np.flatnonzero(nodes.live).tolist()
        elif self.demand.mounts is not None:
            stored = state.volumes.changes.since(self._stored_at)
            changed += np.flatnonzero(nodes.live).tolist() if stored is None else stored
        self._stored_at = state.volumes.changes.position
        self._versions = versions
        self._position, self._remade = nodes.changes.position, nodes.remade.position
        changed += self._relearn()
        at = (nodes.residents.version, nodes.remade.position)
        if changed or (self._pod_rules and self._around_at != at) or self._devices_at != state.device_changes.position:
            self.reason = ""  # which may tell of hidden nodes, and of devices that no node sees
            self._devices_at = state.device_changes.position
        if self._pod_rules:
            changed = self._look_around(state, changed, at)
        stock = self._catalogue.stock
        stock.refresh(state)
        self._catalogue.parts.refresh(state, stock.market, stock.version)
        few = len(changed) <= _FEW_ROWS and not (remade or self._behind or self._market_at != stock.version)
        if few and self._compute_few(state, changed, budget):
            self._blend(state)
            self.settled = True
            return
        self._behind = True
        self._choices.clear()
        if self._market_at != stock.version:
            self._market_at = stock.version
            self.reason = ""
            # Which share or part of a node is taken hangs on the market; what else fits and how well does not.
            changed += np.flatnonzero((self._kinds.sharing | (self._kinds.kind == CUT)) & self._around).tolist()
            self._unjudged[:] = (self._base >= 0) & self._around if wished else self._ranking.fits
            self._kept |= ~self._around
        self._unsorted[remade] = True
        self._open[changed] = True
        if remade or self._unsorted.any():
            self._sort_all(state, budget)
            if self._unsorted.any():
                return
        rows = np.flatnonzero(self._open).astype(np.int32)
        at_once = max(_ROWS_AT_ONCE, budget.left // _STEPS_A_NODE)
        for start in range(0, len(rows), at_once):
            if start and budget.spent:
                break
            self._compute(state, rows[start : start + at_once], budget)
        self._judge_all(state, budget)
        self._behind = bool(self._open.any() or self._unjudged.any())
        self.settled = not self._behind
        if self.settled:
            self._blend(state)

    def _blend(self, state: State) -> None:
        """Rank nodes by what is wished beside everything else."""
        if not self._wishes.stated or (self._wishes.still(state.nodes) and not self._stirred):
            return
        self._stirred = False
        self._choices.clear()  # scores of all nodes hang on the best of them
        base = np.where(self._around, self._base, -1) if self._pod_rules else self._base
        ranks = self._wishes.weigh(state.nodes, base)
        every: Rows = np.arange(self._size, dtype=np.int32)
        moved = every[ranks != self._ranking.ranks(every)]
        if len(moved):
            self._ranking.put(moved, ranks[moved], state.nodes.order)

    def _put(self, state: State, rows: Rows, ranks: Counts) -> None:
        """Note the ranks of nodes; they count once what is wished was added, if anything is."""
        self._choices.clear()
        if self._wishes.stated:
            self._base[rows] = ranks
            self._stirred = True
        else:
            self._ranking.put(rows, ranks, state.nodes.order)

    def _look_around(self, state: State, changed: list[int], at: tuple[int, int]) -> list[int]:
        """Hide nodes that pods around them rule out now, and show those that they do not any more; returns of these
        rows and the changed ones those that must be worked out anew now. at : which residents and nodes these are."""
        nodes = state.nodes
        if at != self._around_at:
            around = nodes.live.copy()
            for rule in self._pod_rules:
                around &= rule.everywhere(nodes, self.demand)
            hidden = np.flatnonzero(self._around & ~around).astype(np.int32)
            shown = np.flatnonzero(around & ~self._around).astype(np.int32)
            self._around_at = at
            self._around = around
            self._stirred |= bool(len(hidden) or len(shown))
            if len(hidden):
                self._kept[hidden] = self._open[hidden] | self._unjudged[hidden]
                self._open[hidden] = self._unjudged[hidden] = False
                if not self._wishes.stated:
                    self._ranking.hide(hidden)
            if len(shown):
                kept = self._kept[shown]
                self._kept[shown] = False
                if not self._wishes.stated:
                    self._ranking.show(shown[~kept], nodes.order)
                changed = changed + shown[kept].tolist()
        if not changed:
            return changed
        rows = np.array(changed)
        here = self._around[rows]
        self._kept[rows[~here]] = True
        left: list[int] = np.unique(rows[here]).tolist()
        return left

    def _relearn(self) -> list[int]:
        """Put answers of longer searches in their places; returns the rows of nodes that they are about."""
        catalogue = self._catalogue
        start = self._learned_at - catalogue.learned_before
        self._learned_at = catalogue.learned_before + len(catalogue.learned)
        if not self._unsolved or start == len(catalogue.learned):
            return []
        numbers = []
        for problem in catalogue.learned[start:] if start >= 0 else list(self._unsolved):
            number = self._unsolved.get(problem)
            answer = catalogue.answers.get(problem)
            if number is not None and answer is not None and not answer.exhausted:
                self._set_answer(number, problem, answer)
                numbers.append(number)
        if numbers:
            self._forget_worths()
        return np.flatnonzero(np.isin(self.shape, numbers)).tolist() if numbers else []

    def _sort_all(self, state: State, budget: Budget) -> None:
        """Sort nodes in pieces, one of them at least."""
        first = True
        while first or not budget.spent:
            first = False
            size = max(self._pieces.size, budget.left // _STEPS_A_KIND)  # each may be of a kind of its own
            rows = np.flatnonzero(self._unsorted)[:size].astype(np.int32)
            if not len(rows):
                return
            kinds = len(self._kinds.found)
            self._unsorted[rows] = False
            steps = self._catalogue.parts.learn(state, rows)
            self._kinds.sort(state, rows)
            if self._wishes.stated:
                self._wishes.sort(state.nodes, rows)
                self._wishes.resorted()
                self._stirred = True
                # Another node may have the row now, and a rank that stays would keep the order of the one before.
                self._ranking.put(rows, np.full(len(rows), -1, np.int64), state.nodes.order)
            steps += _STEPS_A_REFRESH + len(rows) // 2 + _STEPS_A_KIND * (len(self._kinds.found) - kinds)
            budget.spend(steps)
            self._pieces.took(steps)

    def _judge_all(self, state: State, budget: Budget) -> None:
        """Rank nodes anew on which nothing but the market changed."""
        if not self._unjudged.any():
            return
        rows = np.flatnonzero(self._unjudged).astype(np.int32)
        at_once = max(_ROWS_AT_ONCE, budget.left // _STEPS_A_NODE)
        for start in range(0, len(rows), at_once):
            if start and budget.spent:
                return
            part = rows[start : start + at_once]
            budget.spend(_STEPS_A_NODE * len(part))
            self._unjudged[part] = False
            self._put(state, part, self._judge(state, part))

    def _forget_worths(self) -> None:
        """What is remembered of shapes, which serve pods in another way from now on."""
        self._known_after.clear()
        self._worths.clear()
        self._told.clear()

    def _forget_shapes(self) -> None:
        self._forget_worths()
        self._kinds.forget()
        self._shapes = Shapes()
        self._puzzle_shapes.clear()
        self._pick_shapes.clear()
        self._single_shapes = np.zeros(0, np.int32)
        self._fatal.clear()
        self._unsolved.clear()
        self._first_shapes.clear()

    def _resize(self, size: int) -> None:
        if size != self._size:
            self._size = size
            self._ranking = Ranking(size)
            self.shape = np.zeros(size, np.int32)
            self._reached = np.zeros(size, np.bool_)
            self._unsorted = np.zeros(size, np.bool_)
            self._open = np.zeros(size, np.bool_)
            self._unjudged = np.zeros(size, np.bool_)
            self._around = np.ones(size, np.bool_)
            self._kept = np.zeros(size, np.bool_)
            self.node_scores = np.zeros((len(self._opinion.node_scorers), size), np.float32)
            self._gains = np.zeros((size, len(STATE_SCORERS) + 1))
            self.saved, self.cut = self._gains[:, :-1], self._gains[:, -1]
            self._after = np.zeros((size, len(STATE_SCORERS)))
            self._measured = np.zeros(size, np.bool_)
        self._ranking.clear()
        self._choices.clear()
        self._wishes.resize(size)
        self._stirred = True
        self._base = np.full(size if self._wishes.stated else 0, -1, np.int64)
        self.shape[:] = NO_SHAPE
        self._kinds.resize(size)
        self._reached[:] = self._unsorted[:] = self._open[:] = self._unjudged[:] = False
        if self._pod_rules:
            self._around[:] = False
            self._around_at = (-1, -1)
            self._kept[:] = True

    def _compute(self, state: State, rows: Rows, budget: Budget) -> None:
        budget.spend(_STEPS_A_NODE * len(rows))
        self._open[rows] = self._unjudged[rows] = False
        found = np.full(len(rows), -1, np.int64)
        fit: Mask = self._kinds.allowed[rows]
        for rule in self._use_rules:
            fit &= rule.mask(state.nodes, self.demand, rows)
        self._reached[rows] = fit
        for row in rows.tolist() if self.short else ():
            self.short.pop(row, None)
        if not self.demand.wants:
            [at] = fit.nonzero()
        else:
            shapes = np.full(len(rows), NO_SHAPE, np.int32)
            [at] = fit.nonzero()
            shapes[at] = self._shapes_of(state, rows[at], budget)
            self.shape[rows] = shapes
            at = at[self._shapes.fits[shapes[at]]]  # the last is that of NO_SHAPE, and never fits
            if self.demand.sizing is not None:
                at = at[self._affordable(state, rows[at])]
        if len(at):
            found[at] = self._judge(state, rows[at])
        self._measured[rows] = False
        self._put(state, rows, found)

    def _compute_few(self, state: State, rows: list[int], budget: Budget) -> bool:
        """As `_compute`, one node after the other; whether that was possible."""
        if not rows:
            return True
        if self.demand.sizing is not None or self._opinion.node_scorers or not self._simple(rows):
            return False
        version = self._catalogue.stock.version
        if self._known_at != version:
            self._known_at = version
            self._known_after.clear()
            self._worths.clear()
        known: list[tuple[int, _Worth]] = []
        found: list[_Found] = []
        for row in rows:
            fits = self._kinds.allowed.item(row)
            for rule in self._use_rules:
                fits = fits and rule.holds(state.nodes, self.demand, row)
            self._reached[row] = fits
            key = self._plain(state, row) if fits else None
            worth = (self._worths.get(key) if key is not None else None) if fits else _UNFIT
            if worth is not None:
                known.append((row, worth))
                continue
            each = self._look_at(state, row, budget)
            if each is None:
                return False
            each.key = key
            found.append(each)
        budget.spend(_STEPS_A_NODE * len(rows))
        self._measure_few(state, found)
        for each in found:
            worth = self._weigh(state, each)
            known.append((each.row, worth))
            if each.key is not None:
                if len(self._worths) >= self.MAX_WORTHS:
                    self._worths.clear()
                self._worths[each.key] = worth
        order, wished = state.nodes.order, self._wishes.stated
        for row, worth in known:
            self.shape[row] = worth.shape
            self._gains[row] = worth.gains
            self._choices.pop(row, None)
            if wished:
                self._base[row] = worth.rank
                self._stirred = True
            else:
                self._ranking.put_one(row, worth.rank, order.item(row))
        return True

    def _plain(self, state: State, row: int) -> tuple[int, int] | None:
        """Kind and condition of a node, if they tell what it is worth: neither shares nor parts are picked there."""
        kind = self._kinds.kind.item(row)
        if self.demand.wants and (kind < 0 or self._kinds.sharing.item(row) or row in self._catalogue.parts.vacant):
            return None
        return kind, self._catalogue.stock.condition(state, row)

    def _simple(self, rows: Sequence[int]) -> bool:
        """Whether these nodes need neither a search nor more than one share."""
        kinds = [int(self._kinds.kind[row]) for row in rows]
        return SEARCHED not in kinds and (SHARED not in kinds or (len(self.demand.wants) == 1 and not self._first_fit))

    def _look_at(self, state: State, row: int, budget: Budget) -> "_Found | None":
        """What a node that no rule rules out has for the pod; None where only the exact search can tell."""
        if not self.demand.wants:
            return _Found(row, ways=[((), ())])
        kind = int(self._kinds.kind[row])
        if kind == SHARED and self._shares is not None:
            offers = self._shares.offers(state, row)
            if offers is None:
                return None
            stock = self._catalogue.stock
            left, classes = stock.left[row].tolist(), stock.classes[row].tolist()
            flaws = state.flaws[state.bays.rows[row]].tolist()
            found, before, place = _Found(row), None, -1
            for position, taken in offers:
                like = (left[position], taken, classes[position], flaws[position])
                if like != before or position != place + 1:  # of equal devices side by side the first will do
                    found.ways.append(((position,), (taken,)))
                    found.flaws.append(flaws[position])
                before, place = like, position
            return found
        parts = self._catalogue.parts
        if kind == CUT and self._cuts is not None:
            position = self._cuts.choose_one(row, first=self._first_fit)
            if position < 0:
                return _Found(row)
            flaw = int(state.flaws[state.bays.rows[row, position]])
            return _Found(row, self._single_shape(position, flaw), [((), ())])
        if self._shares is not None and self._kinds.sharing[row]:
            room = self._shares.offers(state, row)
            if room is None:
                return None
            if kind < 0:
                return _Found(row)
            takes = dict(room)
            [shape] = self._known_shapes([(kind, sum([1 << position for position in takes]))], budget)
            places = self._shapes.places(shape)
            ways = [(places, tuple([takes[position] for position in places]))]
            return _Found(row, shape, ways if self._shapes.fits[shape] else [])
        if kind < 0:
            return _Found(row)
        [shape] = self._known_shapes([(kind, parts.vacant.get(row, state.bays.bits[row]))], budget)
        return _Found(row, shape, [((), ())] if self._shapes.fits[shape] else [])

    def _measure_few(self, state: State, found: "Sequence[_Found]") -> None:
        """Note what state scorers measure of nodes as they are, and after each way to serve the pod there."""
        stock = self._catalogue.stock
        cpu = self._amounts.get("cpu", 0)
        stale: list[_Found] = []
        missing: list[tuple[_Found, tuple[int, int] | None, tuple[int, ...], tuple[int, ...], int]] = []
        for each in found:
            if not each.ways:
                continue
            row = each.row
            before = stock.known_one(state, row)
            if before is None:
                stale.append(each)
            else:
                each.before = before
            left = state.nodes.left_at("cpu", row) - cpu
            if each.ways[0][0]:
                missing += [(each, None, places, taken, left) for places, taken in each.ways]
                continue
            key = (each.shape, stock.condition(state, row))
            known = self._known_after.get(key)
            if known is not None:
                each.after.append(known)
                continue
            places = self._shapes.places(each.shape) if self.demand.wants else ()
            missing.append((each, key, places, (WHOLE,) * len(places), left))
        if not missing and not stale:
            return
        if len(self._known_after) > self.MAX_WORTHS:
            self._known_after.clear()
        shape = (len(missing), max([len(places) for _, _, places, _, _ in missing], default=0))
        befores, afters = stock.measure_few(
            state,
            [each.row for each in stale],
            [each.row for each, _, _, _, _ in missing],
            np.array([_padded(places, shape[1]) for _, _, places, _, _ in missing], np.intp).reshape(shape),
            np.array([_padded(taken, shape[1]) for _, _, _, taken, _ in missing], np.int64).reshape(shape),
            [left for _, _, _, _, left in missing],
        )
        for each, before in zip(stale, befores, strict=True):
            each.before = before
        for (each, kept, _, _, _), after in zip(missing, afters, strict=True):
            each.after.append(after)
            if kept is not None:
                self._known_after[kept] = after

    def _weigh(self, state: State, found: "_Found") -> _Worth:
        """What a node is worth, served in the best way."""
        if not found.ways:
            return _Worth(found.shape, -1, _UNFIT.gains)
        row, shape, opinion = found.row, found.shape, self._opinion
        weights = opinion.state_weight_list
        costs = [weighed_one(after, weights) for after in found.after]
        if found.flaws:
            costs = [cost + opinion.flaw_costs[each] for cost, each in zip(costs, found.flaws, strict=True)]
        least = min(costs) + _EQUAL
        best = next(at for at, cost in enumerate(costs) if cost <= least)
        if self._kinds.kind[row] == SHARED:
            shape = self._single_shape(found.ways[best][0][0], found.flaws[best])
        saved = [one - other for one, other in zip(found.before, found.after[best], strict=True)]
        sums, preference, cut = float(opinion.set_weights.sum()), 0, 0.0
        if self.demand.wants:
            sums, preference = self._shapes.worth_one(shape)
            cut = self._catalogue.parts.saves_one(row, self._shapes.places(shape))
        rank = rank_one(sums, weighed_one(saved, weights) + opinion.card_weight * cut, opinion.unit)
        return _Worth(shape, rank + preference * (2 * HIGHEST), np.array([*saved, cut]))

    def _judge(self, state: State, rows: Rows) -> Counts:
        """Ranks of nodes that fit, with the shapes that they have."""
        opinion = self._opinion
        if self.demand.wants:
            sums, counts, preferences = self._shapes.worth(self.shape[rows])
        else:
            sums = np.full(len(rows), float(opinion.set_weights.sum()))
            counts = preferences = np.zeros(len(rows), np.int64)
        if opinion.node_scorers:
            card = self._score(state, rows, counts)
            self.node_scores[:, rows] = card.scores
            sums = sums + weighed(card.scores.astype(np.float64).T, opinion.node_weights)
        saved = weighed(self._save(state, rows), opinion.state_weights) + self._save_parts(rows)
        # What a prioritized list names earlier is preferred to anything that scores can say.
        return ranks(sums, saved, opinion.unit) + preferences * (2 * HIGHEST)

    def _score(self, state: State, rows: Rows, counts: Counts) -> Scorecard:
        nodes, bays = state.nodes, state.bays
        loads = Loads(
            devices=bays.count[rows],
            devices_left=bays.vacant[rows] - counts,
            cpu=nodes.amounts(nodes.allocatable, "cpu", rows),
            cpu_left=nodes.left("cpu", rows) - self._amounts.get("cpu", 0),
            memory=nodes.amounts(nodes.allocatable, "memory", rows),
            memory_left=nodes.left("memory", rows) - self._amounts.get("memory", 0),
            cpu_asked=np.full(len(rows), self._amounts.get("cpu", 0), np.int64),
            memory_asked=np.full(len(rows), self._amounts.get("memory", 0), np.int64),
            cpu_counted=self._counted(nodes, "cpu", rows),
            memory_counted=self._counted(nodes, "memory", rows),
            changes=bays.disturbed[rows],
        )
        return score_nodes(self._opinion.node_scorers, self._opinion.node_weights, loads)

    def _counted(self, nodes: NodeTable, resource: str, rows: Rows) -> Counts:
        """What pods are taken for on these nodes once this one is there, for scores."""
        own = self._amounts.get(resource, 0) + dict(self.demand.unstated).get(resource, 0)
        return nodes.amounts(nodes.used, resource, rows) + nodes.amounts(nodes.unstated, resource, rows) + own

    def _save(self, state: State, rows: Rows) -> NDArray[np.float64]:
        """How much waste the placement saves on these nodes, float64 (len(rows), S) in milli."""
        before = self._catalogue.stock.measured(state, rows)
        fresh = rows[~self._measured.take(rows)]
        if len(fresh):
            self._after[fresh] = self._measure_sets(state, fresh)
        saved: NDArray[np.float64] = before - self._after.take(rows, axis=0)
        self.saved[rows] = saved
        return saved

    def _cpu_after(self, state: State, rows: Rows) -> Counts:
        return state.nodes.left("cpu", rows) - self._amounts.get("cpu", 0)

    def _measure_sets(self, state: State, rows: Rows) -> NDArray[np.float64]:
        """What state scorers measure of nodes after they gave what their shapes take, float64 (len(rows), S)."""
        stock = self._catalogue.stock
        if not self.demand.wants:
            places = np.full((len(rows), 0), -1, np.intp)
            return stock.after(rows, places, places, self._cpu_after(state, rows))
        places = self._shapes.positions(self.shape.take(rows)).astype(np.intp)
        taken: Counts = np.where(places >= 0, WHOLE, np.int64(0))
        if self._shares is not None:
            slot = 0
            for want, share in zip(self.demand.wants, self._shares.thousandths(state, rows), strict=True):
                span = slice(slot, min(slot + want.count, places.shape[1]))
                each = np.take_along_axis(share, places[:, span], axis=1)
                taken[:, span] = np.where(places[:, span] >= 0, each, 0)
                slot += want.count
        if self._shares is not None or self._puzzle_shapes:  # several requests may share one device
            taken = _together(places, taken)
        return stock.after(rows, places, taken, self._cpu_after(state, rows))

    # ------------------------------------------------------------ device sets

    def _shapes_of(self, state: State, rows: Rows, budget: Budget) -> Rows:
        """The shape (solved device problem) of each of these nodes, NO_SHAPE where no device can serve.

        Nodes whose search the budget does not cover stay open.
        """
        kinds = self._kinds.kind.take(rows)
        counted = self._shares is not None and bool(state.capacities.values)
        if len(rows) <= _FEW_ROWS and not counted:
            bits = self._catalogue.parts.bits(state, rows)
            pairs = list(zip(kinds.tolist(), bits, strict=True))
            if all(kind >= 0 for kind, _ in pairs):
                return np.array(self._known_shapes(pairs, budget), np.int32)
        found: Rows = np.full(len(rows), NO_SHAPE, np.int32)
        kept: dict[int, int] = {}  # by place in rows, the bits of what is free where shares decide that
        if self._shares is not None and counted:
            self._count_shares(state, self._shares, rows, kinds, found, kept)
        if self._cuts is not None:
            [at] = (kinds == CUT).nonzero()
            if len(at):
                picks = self._cuts.choose(rows[at], first=self._first_fit)
                found[at] = self._pick_shapes_of(state, rows[at], picks)
        if self._kinds.found:
            [at] = (kinds >= 0).nonzero()
            if kept or len(at) <= _VECTOR_ROWS or state.bays.width > 32 or self._catalogue.parts.vacant:
                states = self._catalogue.parts.bits(state, rows[at])
                states = [kept.get(place, bits) for place, bits in zip(at.tolist(), states, strict=True)]
                found[at] = self._known_shapes(list(zip(kinds[at].tolist(), states, strict=True)), budget)
            else:
                wide = np.zeros((len(at), 4), np.uint8)
                wide[:, : state.bays.width // 8] = state.bays.free[rows[at]]
                keys = kinds[at].astype(np.int64) << 32 | wide.view("<u4")[:, 0]
                distinct, inverse = np.unique(keys, return_inverse=True)
                pairs = [(key >> 32, key & 0xFFFFFFFF) for key in distinct.tolist()]
                found[at] = np.array(self._known_shapes(pairs, budget), np.int32)[inverse]
        [at] = (kinds == SEARCHED).nonzero()
        for number, place in enumerate(at.tolist()):
            if number and budget.spent:
                self._open[rows[at[number:]]] = True
                break
            found[place] = self._puzzle_shape(state, int(rows[place]), budget)
        return found

    def _known_shapes(self, pairs: Sequence[tuple[int, int]], budget: Budget) -> list[int]:
        """Shapes of nodes by kind and free bits."""
        kinds = self._kinds.found
        found = [kinds[kind].shapes.get(bits) for kind, bits in pairs]
        known = [shape for shape in found if shape is not None]
        if len(known) == len(pairs):
            return known
        missing: dict[int, dict[int, None]] = {}
        for (kind, bits), shape in zip(pairs, found, strict=True):
            if shape is None:
                missing.setdefault(kind, {})[bits] = None
        for kind, states in missing.items():
            budget.spend(_STEPS_A_STATE * len(states))
            self._solve(kinds[kind], list(states))
        return [kinds[kind].shapes[bits] for kind, bits in pairs]

    def _count_shares(
        self, state: State, shares: Shares, rows: Rows, kinds: Rows, found: Rows, kept: dict[int, int]
    ) -> None:
        """Of nodes where devices are shared the shapes, or the devices with room; those that need it are searched."""
        [at] = self._kinds.sharing[rows].nonzero()
        if not len(at):
            return
        if self._kinds.one:
            [fits], sure = shares.fits(state, rows[at])
            packed = pack(fits)
            width, flat = packed.shape[1], packed.tobytes()
            for number, place in enumerate(at.tolist()):
                kept[place] = int.from_bytes(flat[number * width : (number + 1) * width], "little")
        elif len(self.demand.wants) == 1 and not self._first_fit:
            picks = self._choose_share(state, shares, rows[at])
            sure = picks.sure
            found[at] = self._pick_shapes_of(state, rows[at], picks)
        else:
            picks = shares.choose(state, rows[at], first=self._first_fit)
            sure = picks.sure
            found[at] = self._pick_shapes_of(state, rows[at], picks)
        kinds[at[~sure]] = SEARCHED

    def _pick_shapes_of(self, state: State, rows: Rows, picks: Picks) -> Rows:
        """Shapes of nodes that give these shares of devices, NO_SHAPE where they do not serve all."""
        positions = picks.positions
        flaws = state.flaws[state.bays.rows[rows[:, None], positions]]
        if positions.shape[1] == 1:
            keys = positions[:, 0] * len(Flaw) + flaws[:, 0]
            self._reserve_singles(int(keys.max()) + 1)
            shapes = self._single_shapes[keys]
            [new] = (picks.found & (shapes == NO_SHAPE)).nonzero()
            for key in dict.fromkeys(keys[new].tolist()):
                self._single_shape(*divmod(key, len(Flaw)))
            if len(new):
                shapes = self._single_shapes[keys]
            return np.where(picks.found, shapes, NO_SHAPE)
        return np.array(
            [
                self._pick_shape(tuple(each), tuple(noted)) if fits else NO_SHAPE
                for each, noted, fits in zip(positions.tolist(), flaws.tolist(), picks.found.tolist(), strict=True)
            ],
            np.int32,
        )

    def _reserve_singles(self, size: int) -> None:
        extra = size - len(self._single_shapes)
        if extra > 0:
            more: Rows = np.full(extra, NO_SHAPE, np.int32)
            self._single_shapes = np.concatenate([self._single_shapes, more])

    def _single_shape(self, position: int, flaw: int) -> int:
        """The shape of a node that gives a share of the device in this position, which has this flaw."""
        key = position * len(Flaw) + flaw
        self._reserve_singles(key + 1)
        shape = int(self._single_shapes[key])
        if shape == NO_SHAPE:
            shape = self._single_shapes[key] = self._pick_shape((position,), (flaw,))
        return shape

    def _choose_share(self, state: State, shares: Shares, rows: Rows) -> Picks:
        """The device of each of these nodes whose share wastes least."""
        stock = self._catalogue.stock
        [able], sure = shares.fits(state, rows)
        [taken] = shares.thousandths(state, rows)
        left, classes = stock.left.take(rows, axis=0), stock.classes.take(rows, axis=0)
        flaws = state.flaws[state.bays.rows[rows]]
        # Of devices side by side that are equal the first will do.
        same = (left[:, 1:] == left[:, :-1]) & (taken[:, 1:] == taken[:, :-1]) & (classes[:, 1:] == classes[:, :-1])
        same &= flaws[:, 1:] == flaws[:, :-1]
        kept = able.copy()
        kept[:, 1:] &= ~(same & able[:, :-1])
        chosen: Rows = np.zeros((len(rows), 1), np.int32)
        found: Mask = np.any(able, axis=1)
        at, position = kept.nonzero()
        if not len(at):
            return Picks(chosen, found, sure)
        stock.measured(state, rows)
        nodes = rows.take(at)
        after = stock.after(nodes, position[:, None], taken[at, position][:, None], self._cpu_after(state, nodes))
        cost = weighed(after, self._opinion.state_weights) + np.array(self._opinion.flaw_costs)[flaws[at, position]]
        starts = np.flatnonzero(np.diff(at, prepend=-1))
        least = np.repeat(np.minimum.reduceat(cost, starts), np.diff(starts, append=len(at)))
        order = np.where(cost <= least + _EQUAL, np.arange(len(at)), len(at))
        best = np.minimum.reduceat(order, starts)
        chosen[at[best], 0] = position[best]
        self._after[nodes[best]] = after[best]
        self._measured[nodes[best]] = True
        return Picks(chosen, found, sure)

    def _pick_shape(self, positions: tuple[int, ...], flaws: tuple[int, ...]) -> int:
        """The shape of a node that gives shares of the devices in these positions. A share ties nothing up."""
        known = self._pick_shapes.get((positions, flaws))
        if known is None:
            chosen, start = [], 0
            for want in self.demand.wants:
                chosen.append(tuple(sorted(positions[start : start + want.count])))
                start += want.count
            known = self._pick_shapes[positions, flaws] = self._shapes.add(None)
            scores = {**_FULL_SCORES, Health.name: health_of(list(dict(zip(positions, flaws, strict=True)).values()))}
            answer = NodeAnswer(tuple(chosen), scores, truncated=len(positions) > 1)
            self._shapes.put(known, answer, self._opinion.set_weights, 0)
        return known

    def _solve(self, kind: NodeKind, states: Sequence[int]) -> None:
        """Find the shapes of nodes of a kind in states that were not met before."""
        if kind.table is None:
            for bits in states:
                kind.shapes[bits] = self._add_shape(replace(kind.problem, free=positions_of(bits)))
            return
        at = kind.table.find(states)
        count = sum(want.count for want in self.demand.wants)
        first = self._shapes.add_from_table(kind.problem, kind.table, at, states, self._opinion.set_weights, count)
        kind.shapes.update(zip(states, range(first, first + len(states)), strict=True))

    def _save_parts(self, rows: Rows) -> NDArray[np.float64]:
        """How much waste on cards the placement saves on these nodes, float64 (len(rows),), weighted."""
        parts = self._catalogue.parts
        if not parts.vacant or not self.demand.wants:
            self.cut[rows] = 0.0
            return self.cut[rows]
        saved = self.cut[rows] = parts.saves(rows, self._shapes.positions(self.shape[rows]))
        found: NDArray[np.float64] = self._opinion.card_weight * saved
        return found

    def _puzzle_shape(self, state: State, row: int, budget: Budget) -> int:
        puzzle = self._catalogue.puzzles.make(state, row, self.demand, self.eligible, self._opinion.set_key)
        cost = _STEPS_A_PUZZLE + _STEPS_A_CELL * len(self._every) * len(puzzle.pieces)
        known = self._puzzle_shapes.get(puzzle)
        if known is None:
            known = self._puzzle_shapes[puzzle] = self._add_shape(puzzle)
            cost += STEPS_A_LOOK * self._shapes.answer(known).looks
        budget.spend(cost)
        self._puzzle_steps += (cost - self._puzzle_steps) // 16
        return known

    def _affordable(self, state: State, rows: Rows) -> list[bool]:
        """Which of these nodes have what the chosen devices take of their node's resources.

        Where the best devices take too much, the first that fit are tried: kube-scheduler tries no others. The nodes'
        shapes are then those of the first.
        """
        kept = []
        for row in rows.tolist():
            self.short[row] = self._lacks(state, row)
            if self.short[row]:
                best = int(self.shape[row])
                if best not in self._first_shapes:
                    problem = self._shapes.problem(best)
                    assert problem is not None  # shares are not counted where devices take resources of their node
                    self._first_shapes[best] = self._add_shape(replace(problem, first_fit=True))
                self.shape[row] = self._first_shapes[best]
                if self._shapes.fits[self.shape[row]]:
                    self.short[row] = self._lacks(state, row)
            kept.append(not self.short[row])
            if kept[-1]:
                del self.short[row]
        return kept

    def _lacks(self, state: State, row: int) -> str:
        """The node resource that the devices chosen on a node take too much of; empty if there is none."""
        sizing = self.demand.sizing
        assert sizing is not None
        answer = self._shapes.answer(int(self.shape[row]))
        used: list[list[Used]] = [[] for _ in sizing.containers]
        seen = state.bays.rows[row]
        for index, positions in enumerate(answer.chosen or ()):
            want = self.demand.wants[index]
            ask = want.asks[answer.alternatives[index] if answer.alternatives else 0]
            for position in positions:
                device = state.row_device[int(seen[position])][1]
                used[want.claim].append((device, consumed_of(device, dict(ask.capacity), state.gates)))
        total: dict[str, int] = {}
        try:
            for devices, containers in zip(used, sizing.containers, strict=True):
                for name, nanos in footprint(devices).nanos(containers).items():
                    total[name] = total.get(name, 0) + nanos
        except UnmeasuredError as error:
            return str(error)
        taken, margins, asked = units(total), dict(sizing.margins), dict(self.demand.resources)
        at = np.array([row], np.int32)
        for name, amount in sorted(taken.items()):
            left = margins[name] if name in margins else int(state.nodes.left(name, at)[0]) - asked.get(name, 0)
            if amount > left:
                return name
        return ""

    def _add_shape(self, problem: NodeProblem | Puzzle) -> int:
        number = self._shapes.add(problem)
        self._set_answer(number, problem, self._catalogue.answer(problem))
        return number

    def _set_answer(self, number: int, problem: NodeProblem | Puzzle, answer: NodeAnswer) -> None:
        self._unsolved.pop(problem, None)
        if answer.exhausted:
            self._unsolved[problem] = number
        if answer.fatal is not None:
            self._fatal.add(number)
        lists = zip(self.demand.wants, answer.alternatives, strict=False)
        preference = 8 * self._listed - sum(chosen for want, chosen in lists if want.listed)
        self._shapes.put(number, answer, self._opinion.set_weights, preference)

    # ------------------------------------------------------------ reading

    def asks(self, state: State) -> Kind:
        """What the pods of this class add to the mix of demand; once settled."""
        at = (state.device_changes.position, self._catalogue.stock.known + self._catalogue.parts.known)
        if self._asks is None or self._asks[0] != at:
            self._asks = (at, self._kind_of_demand(state))
        return self._asks[1]

    def _kind_of_demand(self, state: State) -> Kind:
        cpu = self._amounts.get("cpu", 0)
        stock = self._catalogue.stock
        asked = [
            self._catalogue.parts.asked(asks[0].selected, max(want.count, 1))
            for want, asks in zip(self.demand.wants, self.eligible, strict=True)
        ]
        parts = next((each for each in asked if each[0]), (0, 0))
        for index, (want, asks) in enumerate(zip(self.demand.wants, self.eligible, strict=True)):
            classes = stock.classes_of(asks[0].selected)
            if classes:
                milli = WHOLE if self._shares is None else self._shares.share(state, index)
                return Kind(max(want.count, 1), milli, cpu, classes, *parts)
        return Kind(0, 0, cpu, 0, *parts)

    @property
    def feasible(self) -> int:
        """How many nodes fit."""
        return self._ranking.fitting

    def best(self, state: State) -> tuple[Choice | None, Choice | None]:
        """The best node and the next best."""
        first, second = self._ranking.best(state.nodes.order)
        return (
            None if first is None else self._choice(state, first),
            None if second is None else self._choice(state, second),
        )

    def ranks(self, rows: Rows) -> Counts:
        """How good these nodes are, int64 (len(rows),) as `Choice.rank`; -1 where the pod does not fit."""
        return self._ranking.ranks(rows)

    def reached(self, rows: Rows) -> Mask:
        """On which of these nodes nothing but devices could keep the pod away."""
        found: Mask = self._reached[rows] & self._around[rows]
        return found

    def open(self, rows: Rows) -> Mask:
        """On which of these nodes the search for devices was not finished: see `unsolved`."""
        found: Mask = np.isin(self.shape[rows], list(self._unsolved.values()))
        return found

    def leading(self, state: State, count: int) -> list[Choice]:
        """The best nodes, at most so many, best first."""
        return [self._choice(state, row) for row in self._ranking.top(count, state.nodes.order)]

    def at(self, state: State, node: str) -> Choice | None:
        """A node by its name; None where the pod does not fit there."""
        row = state.nodes.rows.get(node)
        return None if row is None or self._ranking.rank(row) < 0 else self._choice(state, row)

    def offers(self, state: State, nodes: int) -> list[Offered]:
        """Ways to serve one pod on the best of the nodes, without those that the exact search would have to find.

        On a node these are sets of different devices, as many as there are, or single devices that have room for a
        share. Each is worth what the best of them is: what pods on one node do to each other is not foreseen.
        """
        found = []
        for row in self._ranking.top(nodes, state.nodes.order):
            value = STEP * self._ranking.rank(row)
            found += [Offered(row, value, takes) for takes in self._ways(state, row)]
        return found

    def _ways(self, state: State, row: int) -> list[tuple[tuple[int, int], ...]]:
        """Positions and thousandths of each, for each way to serve a pod on a node."""
        kind, shape = int(self._kinds.kind[row]), int(self.shape[row])
        if not self.demand.wants:
            return [()]
        if kind == SHARED and self._shares is not None and len(self.demand.wants) == 1:
            offers = self._shares.offers(state, row) or []
            if sum(want.count for want in self.demand.wants) == 1:
                return [((position, taken),) for position, taken in offers]
        places = self._shapes.places(shape)
        taken = [WHOLE] * len(places)
        if self._shares is not None and self._kinds.sharing[row]:
            by_want = self._shares.thousandths(state, np.array([row], np.int32))
            counts = [want.count for want in self.demand.wants]
            owner = [index for index, count in enumerate(counts) for _ in range(count)]
            taken = [int(by_want[index][0, place]) for index, place in zip(owner, places, strict=False)]
        found = [tuple(zip(places, taken, strict=False))]
        bits = state.bays.bits[row]
        while kind >= 0 and places and not self._kinds.sharing[row]:
            bits &= ~sum(1 << place for place in places)
            [shape] = self._known_shapes([(kind, bits)], Budget(0))
            if not self._shapes.fits[shape]:
                break
            places = self._shapes.places(shape)
            found.append(tuple((place, WHOLE) for place in places))
        return found

    def _choice(self, state: State, row: int) -> Choice:
        found = self._choices.get(row)
        if found is None:
            if len(self._choices) >= self.MAX_WORTHS:
                self._choices.clear()
            found = self._choices[row] = self._choose(state, row)
        return found

    def _choose(self, state: State, row: int) -> Choice:
        told, node = self._tell(row), state.nodes.nodes[row]
        devices: list[tuple[int, ...]] = []
        names: list[tuple[str, str, str]] = []
        if self.demand.wants:
            seen = state.bays.rows[row].tolist()
            for part in told.answer.chosen or ():
                rows = tuple([seen[position] for position in part])
                devices.append(rows)
                for item, device in [state.row_device[each] for each in rows]:
                    names.append((item.driver, item.pool, device.name))
        option = Option(
            node.name if node is not None else "",
            tuple(names),
            told.total,
            told.scores,
            state.links_told(row),
            told.answer.truncated,
        )
        alternatives = told.answer.alternatives or (0,) * len(self.demand.wants)
        return Choice(row, self._ranking.rank(row), tuple(devices), alternatives, option)

    def _tell(self, row: int) -> _Told:
        """All scores of a node, and their mean."""
        shape, gains = self.shape.item(row), self._gains[row]
        noted = self.node_scores[:, row] if self._opinion.node_scorers else _NOT_NOTED
        wishes = tuple(self._wishes.at(row).items()) if self._wishes.stated else ()
        key = (shape, gains.tobytes(), noted.tobytes(), wishes)
        told = self._told.get(key)
        if told is None:
            if len(self._told) >= self.MAX_WORTHS:
                self._told.clear()
            answer = self._shapes.answer(shape) if self.demand.wants else _NOTHING
            told = self._told[key] = self._tell_anew(answer, gains.tolist(), noted.tolist(), dict(wishes))
        return told

    def _tell_anew(
        self, answer: NodeAnswer, gains: list[float], noted: list[float], wishes: Mapping[str, float]
    ) -> _Told:
        scores = {**_FULL_SCORES, **answer.scores}
        for node_scorer, score in zip(self._opinion.node_scorers, noted, strict=True):
            scores[node_scorer.name] = round(score, 6)
        for scorer, saved in zip((*STATE_SCORERS, CARD_SCORER), gains, strict=True):
            scores[scorer.name] = scorer.worth(saved)
        scores.update(wishes)
        shares = self._opinion.shares.values
        if self._listed or shares[PREFERENCE.name]:
            alternatives = answer.alternatives or (0,) * len(self.demand.wants)
            late = sum(at for want, at in zip(self.demand.wants, alternatives, strict=True) if want.listed)
            scores[PREFERENCE.name] = PREFERENCE.worth(late, self._listed)
        whole = self._opinion.whole(wishes)
        total = round(sum([shares[name] * score for name, score in scores.items()]) / whole, 6)
        return _Told(answer, scores, total)


def _padded(values: tuple[int, ...], width: int) -> tuple[int, ...]:
    """Alternatives may take different numbers of devices: the last is named again, which changes nothing."""
    return values + values[-1:] * (width - len(values))


def _together(places: NDArray[np.intp], taken: Counts) -> Counts:
    """What is taken of each device in all, at its first place, where several requests take of one."""
    for slot in range(1, places.shape[1]):
        for other in range(slot):
            again = (places[:, slot] == places[:, other]) & (places[:, slot] >= 0)
            taken[again, other] += taken[again, slot]
            taken[again, slot] = 0
    return taken
