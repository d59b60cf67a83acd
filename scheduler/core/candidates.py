"""For one equivalence class of pods: on which nodes they fit, with which devices, and how good that is.

Everything is one column over nodes. A change of one node costs that node's row; nodes in the same state (layout, free
devices, devices that serve the requests) share one device search.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from scheduler.core.allocatable import UnmeasuredError, Used, footprint, units
from scheduler.core.allocation import consumed_of
from scheduler.core.bays import Bytes, pack
from scheduler.core.config import EngineConfig
from scheduler.core.demand import Demand, DeviceRequest
from scheduler.core.eligibility import Eligibility, Pending, ScalarVerdicts
from scheduler.core.model import MAX_RESULTS
from scheduler.core.puzzles import Puzzles
from scheduler.core.rules import NODE_RULES
from scheduler.core.solvers.puzzle import Puzzle
from scheduler.core.solvers.search import NodeAnswer, NodeProblem, solve
from scheduler.core.state import State
from scoring.arrays import Counts, Floats, Mask, Rows
from scoring.scorecard import Scorecard, score_nodes
from scoring.scorers import NODE_SCORERS, SET_SCORERS
from scoring.scorers.base import Loads
from scoring.weights import Weights

NO_SHAPE = -1
TIE = 8192  # totals are compared in steps of 1/8192: closer ones are equal, and the fixed order of nodes decides
_SET_NAMES = tuple(scorer.name for scorer in SET_SCORERS)
_NODE_NAMES = tuple(scorer.name for scorer in NODE_SCORERS)
_VECTOR_ROWS = 48  # from here on grouping equal rows by sorting beats a dictionary
_LABEL_CELLS = 4_000_000  # comparisons held in memory at once


class Catalogue:
    """What all classes share: device verdicts, solved node problems, weights.

    weights : as given, for explanations; shares : the same, scaled, for sums; whole : what the shares come to.
    """

    MAX_ANSWERS = 50_000
    MAX_REQUESTS = 1_024

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.weights = Weights(config.weights)
        self.shares = self.weights.scaled()
        self.set_weights = self.shares.vector(SET_SCORERS)
        self.node_weights = self.shares.vector(NODE_SCORERS)
        self.whole = float(self.set_weights.sum() + self.node_weights.sum()) or 1.0
        self.scalars = ScalarVerdicts()
        self.puzzles = Puzzles(tuple(self.set_weights.tolist()), first_fit=config.device_choice == "first-fit")
        self.answers: dict[NodeProblem | Puzzle, NodeAnswer] = {}
        self.answers_version = 0
        self._eligible: OrderedDict[DeviceRequest, Eligibility] = OrderedDict()

    def eligibility(self, request: DeviceRequest) -> Eligibility:
        """Verdicts for a request, shared by every class that makes it."""
        found = self._eligible.get(request)
        if found is None:
            if len(self._eligible) >= self.MAX_REQUESTS:
                self._eligible.popitem(last=False)
            found = self._eligible[request] = Eligibility(request)
        self._eligible.move_to_end(request)
        return found

    def answer(self, problem: NodeProblem | Puzzle) -> NodeAnswer:
        """The solution of a node problem, searched once."""
        found = self.answers.get(problem)
        if found is None:
            found = solve(problem, self.config.search_steps)
            self._keep(problem, found)
        return found

    def learn(self, problem: NodeProblem | Puzzle, answer: NodeAnswer) -> None:
        """Keep the answer of a longer search."""
        self._keep(problem, answer)
        self.answers_version += 1

    def _keep(self, problem: NodeProblem | Puzzle, answer: NodeAnswer) -> None:
        if len(self.answers) >= self.MAX_ANSWERS:
            self.answers.clear()
        self.answers[problem] = answer


@dataclass(frozen=True, slots=True)
class Choice:
    """A node for the class: its row, per want the device rows and the alternative, all scores and their mean."""

    row: int
    devices: tuple[tuple[int, ...], ...]
    alternatives: tuple[int, ...]
    scores: dict[str, float]
    total: float
    links: str
    truncated: bool


class Candidates:
    """The class of pods with one demand. `refresh` before reading; nothing else is up to date while some is pending."""

    MAX_SHAPES = 20_000  # node states that a class remembers beyond those that its nodes are in

    def __init__(self, demand: Demand, catalogue: Catalogue) -> None:
        self.demand = demand
        self._catalogue = catalogue
        self.eligible = [[catalogue.eligibility(ask.request) for ask in want.asks] for want in demand.wants]
        self._matches = [relation for relation in demand.relations if not relation.distinct]
        self._plain = demand.plain
        self._whole = any(not want.count for want in demand.wants)
        self._listed = sum(want.listed for want in demand.wants)
        self._first_fit = catalogue.config.device_choice == "first-fit"
        self._problems: list[NodeProblem | Puzzle] = []
        self._answers: list[NodeAnswer] = []
        self._shape_index: dict[bytes, int] = {}
        self._shape_sum: list[float] = []
        self._shape_count: list[int] = []
        self._shape_preference: list[int] = []
        self._puzzle_shapes: dict[Puzzle, int] = {}
        self._fatal: set[int] = set()  # shapes that end every attempt
        self._first_shapes: dict[int, int] = {}  # shape -> that of the first devices instead of the best
        self.short: dict[int, str] = {}  # by row, of which resource the devices that fit take too much
        self._size = 0
        self._position = -1
        self._versions: tuple[int, ...] = ()
        self._devices_at = -1
        self.reason = ""  # why no node fits, as core/reasons found out; empty once anything changed
        self.rank: Counts = np.zeros(0, np.int64)  # total in steps of 1/TIE; -1 where the pod does not fit
        self.shape: Rows = np.zeros(0, np.int32)
        self._reached: Mask = np.zeros(0, np.bool_)
        self.node_scores: Floats = np.zeros((len(NODE_SCORERS), 0), np.float32)

    # ------------------------------------------------------------ keeping up

    @property
    def pending(self) -> tuple[Pending, ...]:
        """Scalar verdicts that must come first."""
        return tuple(pending for asks in self.eligible for eligible in asks for pending in eligible.pending)

    @property
    def fatal(self) -> int | None:
        """The first node, by row, whose search met an error that ends the pod's attempt on every node."""
        if not self._fatal:
            return None
        rows = np.flatnonzero(np.isin(self.shape, list(self._fatal)))
        return int(rows[0]) if len(rows) else None

    def answer(self, row: int) -> NodeAnswer | None:
        """What was found for a node's devices, None where the search did not get that far."""
        shape = int(self.shape[row])
        return self._answers[shape] if shape != NO_SHAPE else None

    def problem(self, row: int) -> NodeProblem | Puzzle | None:
        """What was solved for a node's devices, None where the search did not get that far."""
        shape = int(self.shape[row])
        return self._problems[shape] if shape != NO_SHAPE else None

    def meets_invalid_pool(self, state: State) -> bool:
        """Whether a node that all but devices allows sees a pool that contradicts itself."""
        return any(self._reached[row] and state.bays.sights[row].invalid for row in state.bays.problems)

    @property
    def unsolved(self) -> tuple[NodeProblem | Puzzle, ...]:
        """Node problems that the core's budget did not settle, of nodes as they are now."""
        open_shapes = [index for index, answer in enumerate(self._answers) if answer.exhausted]
        present = set(np.unique(self.shape).tolist()) if open_shapes else set()
        return tuple(self._problems[index] for index in open_shapes if index in present)

    def refresh(self, state: State) -> None:
        """Bring every column up to the state; costs the rows that changed."""
        every = [eligible for asks in self.eligible for eligible in asks]
        for eligible in every:
            eligible.refresh(state, self._catalogue.scalars)
        if self.pending:
            return
        versions = (*(eligible.version for eligible in every), self._catalogue.answers_version)
        changed = state.nodes.changes.since(self._position) if self._position >= 0 else None
        full = len(self._answers) > self.MAX_SHAPES + 2 * len(state.nodes.rows)
        if versions != self._versions or self._size != state.nodes.size or changed is None or full:
            if versions[-1:] != self._versions[-1:] or full:
                self._forget_shapes()
            self._resize(state.nodes.size)
            changed = np.flatnonzero(state.nodes.live).tolist()
            self.rank[:] = -1
            self.shape[:] = NO_SHAPE
            self._reached[:] = False
        self._versions = versions
        self._position = state.nodes.changes.position
        if changed or self._devices_at != state.device_changes.position:
            self.reason = ""  # which may tell of devices that no node sees
            self._devices_at = state.device_changes.position
        if changed:
            self._compute(state, np.array(changed, np.int32))

    def _forget_shapes(self) -> None:
        self._shape_index.clear()
        self._problems.clear()
        self._answers.clear()
        self._shape_sum.clear()
        self._shape_count.clear()
        self._shape_preference.clear()
        self._puzzle_shapes.clear()
        self._fatal.clear()
        self._first_shapes.clear()

    def _resize(self, size: int) -> None:
        if size != self._size:
            self._size = size
            self.rank = np.full(size, -1, np.int64)
            self.shape = np.full(size, NO_SHAPE, np.int32)
            self._reached = np.zeros(size, np.bool_)
            self.node_scores = np.zeros((len(NODE_SCORERS), size), np.float32)

    def _compute(self, state: State, rows: Rows) -> None:
        self.rank[rows] = -1
        self.shape[rows] = NO_SHAPE
        self._reached[rows] = False
        for row in rows.tolist() if self.short else ():
            self.short.pop(row, None)
        rows = rows[state.nodes.live[rows]]
        for rule in NODE_RULES:
            if not len(rows):
                return
            rows = rows[rule.mask(state.nodes, self.demand, rows)]
        self._reached[rows] = True
        if self.demand.wants:
            rows, shapes = self._shapes(state, rows)
            if not len(rows):
                return
            self.shape[rows] = shapes
            solved = np.array([self._answers[shape].chosen is not None for shape in shapes.tolist()], np.bool_)
            rows, shapes = rows[solved], shapes[solved]
            if self.demand.sizing is not None:
                rows, shapes = self._affordable(state, rows)
            if not len(rows):
                return
            numbers = shapes.tolist()
            sums = np.array([self._shape_sum[number] for number in numbers])
            counts = np.array([self._shape_count[number] for number in numbers], np.int64)
            preferences = np.array([self._shape_preference[number] for number in numbers], np.int64)
        else:
            sums = np.full(len(rows), float(self._catalogue.set_weights.sum()))
            counts = preferences = np.zeros(len(rows), np.int64)
        card = self._score(state, rows, counts)
        self.node_scores[:, rows] = card.scores
        # What a prioritized list names earlier is preferred to anything that scores can say.
        self.rank[rows] = self._ranks(sums, card) + preferences * (2 * TIE)

    def _score(self, state: State, rows: Rows, counts: Counts) -> Scorecard:
        amounts = dict(self.demand.resources)
        nodes = state.nodes
        free = np.bitwise_count(state.bays.free[rows]).sum(axis=1, dtype=np.int64)
        loads = Loads(
            devices=state.bays.count[rows],
            devices_left=free - counts,
            cpu=nodes.amounts(nodes.allocatable, "cpu", rows),
            cpu_left=nodes.left("cpu", rows) - amounts.get("cpu", 0),
            memory=nodes.amounts(nodes.allocatable, "memory", rows),
            memory_left=nodes.left("memory", rows) - amounts.get("memory", 0),
        )
        return score_nodes(NODE_SCORERS, self._catalogue.node_weights, loads)

    def _ranks(self, sums: "np.ndarray[tuple[int], np.dtype[np.float64]]", card: Scorecard) -> Counts:
        total = (sums + self._catalogue.node_weights @ card.scores.astype(np.float64)) / self._catalogue.whole
        ranks: Counts = np.round(total * TIE).astype(np.int64)
        return ranks

    # ------------------------------------------------------------ device sets

    def _shapes(self, state: State, rows: Rows) -> tuple[Rows, Rows]:
        """Nodes whose devices may do, and the shape (solved device problem) of each."""
        exact = self._needs_search(state, rows)
        plain_rows, plain_shapes = self._plain_shapes(state, rows[~exact])
        if not exact.any():
            return plain_rows, plain_shapes
        hard = rows[exact]
        shapes = np.array([self._puzzle_shape(state, row) for row in hard.tolist()], np.int32)
        return np.concatenate([plain_rows, hard]), np.concatenate([plain_shapes, shapes])

    def _needs_search(self, state: State, rows: Rows) -> Mask:
        """bool (len(rows),): where counting and matching are not enough, or where an error may be met."""
        if not self._plain:
            return np.ones(len(rows), np.bool_)
        found: Mask = state.bays.intricate[rows].copy()
        if self._whole or len(self.demand.wants) > 1:
            found |= state.bays.partitioned[rows]  # requests of one claim share a partition
        if self._whole and state.bays.problems:
            found |= np.isin(rows, np.fromiter(state.bays.problems, np.int64, len(state.bays.problems)))
        if self._whole:
            found |= self._asks_too_much(state, rows)
        for [eligible] in self.eligible:
            if eligible.failed.any():
                seen = state.bays.rows[rows]
                found |= ((seen >= 0) & eligible.failed[seen]).any(axis=1)
        return found

    def _asks_too_much(self, state: State, rows: Rows) -> Mask:
        """bool (len(rows),): where mode All comes to more devices than a claim can hold."""
        seen = state.bays.rows[rows]
        asked: dict[int, Counts] = {}
        for want, [eligible] in zip(self.demand.wants, self.eligible, strict=True):
            count = np.int64(want.count) if want.count else ((seen >= 0) & eligible.selected[seen]).sum(axis=1)
            asked[want.claim] = asked.get(want.claim, np.zeros(len(rows), np.int64)) + count
        found: Mask = np.any([counts > MAX_RESULTS for counts in asked.values()], axis=0)
        return found

    def _puzzle_shape(self, state: State, row: int) -> int:
        puzzle = self._catalogue.puzzles.make(state, row, self.demand, self.eligible)
        known = self._puzzle_shapes.get(puzzle)
        if known is None:
            known = self._puzzle_shapes[puzzle] = self._add_shape(puzzle)
        return known

    def _plain_shapes(self, state: State, rows: Rows) -> tuple[Rows, Rows]:
        """Nodes that pass the counting bounds."""
        if not len(rows):
            return rows, rows
        seen = state.bays.rows[rows]
        exists = seen >= 0
        free = state.bays.free[rows]
        possible: Mask = np.ones(len(rows), np.bool_)
        serves: dict[tuple[DeviceRequest, bool], Bytes] = {}  # by request and whether it asks for all
        for want, [eligible] in zip(self.demand.wants, self.eligible, strict=True):
            if want.kind not in serves:
                if want.count:
                    serves[want.kind] = pack(exists & eligible.usable[seen])
                else:
                    serves[want.kind] = pack(exists & eligible.selected[seen])
                    possible &= ~(exists & (eligible.selected & ~eligible.usable)[seen]).any(axis=1)
            bits = serves[want.kind]
            if want.count:
                possible &= np.bitwise_count(bits & free).sum(axis=1, dtype=np.int64) >= want.count
            else:
                possible &= ~(bits & ~free).any(axis=1) & bits.any(axis=1)
        if not possible.any():
            return rows[:0], rows[:0]
        labels = [_value_numbers(state, match.attribute, seen[possible]) for match in self._matches]
        rows = rows[possible]
        kept = {kind: bits[possible] for kind, bits in serves.items()}
        parts = [state.bays.layout[rows].astype(np.int32)[:, None].view(np.uint8), free[possible]]
        parts += kept.values()
        parts += [np.ascontiguousarray(label).view(np.uint8).reshape(len(rows), -1) for label in labels]
        keys = np.ascontiguousarray(np.concatenate(parts, axis=1))

        def shape(at: int) -> int:
            served = [kept[want.kind][at] for want in self.demand.wants]
            return self._add_shape(self._problem(state, int(rows[at]), served, [each[at] for each in labels]))

        return rows, self._lookup(keys, shape)

    def _affordable(self, state: State, rows: Rows) -> tuple[Rows, Rows]:
        """Nodes that have what the chosen devices take of their node's resources, and the shapes that they then are in.

        Where the best devices take too much, the first that fit are tried: kube-scheduler tries no others.
        """
        kept = []
        for row in rows.tolist():
            self.short[row] = self._lacks(state, row)
            if self.short[row]:
                best = int(self.shape[row])
                if best not in self._first_shapes:
                    self._first_shapes[best] = self._add_shape(replace(self._problems[best], first_fit=True))
                self.shape[row] = self._first_shapes[best]
                if self._answers[self.shape[row]].chosen is not None:
                    self.short[row] = self._lacks(state, row)
            if not self.short[row]:
                del self.short[row]
                kept.append(row)
        found = np.array(kept, np.int32)
        return found, self.shape[found]

    def _lacks(self, state: State, row: int) -> str:
        """The node resource that the devices chosen on a node take too much of; empty if there is none."""
        sizing = self.demand.sizing
        assert sizing is not None
        answer = self._answers[int(self.shape[row])]
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

    def _lookup(self, keys: Bytes, shape: Callable[[int], int]) -> Rows:
        index = self._shape_index

        def number(key: bytes, at: int) -> int:
            known = index.get(key)
            if known is None:
                known = index[key] = shape(at)
            return known

        if len(keys) < _VECTOR_ROWS:
            return np.array([number(keys[at].tobytes(), at) for at in range(len(keys))], np.int32)
        whole = keys.view(np.dtype((np.void, keys.shape[1]))).ravel()
        distinct, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
        found = [number(item.tobytes(), at) for item, at in zip(distinct, first.tolist(), strict=True)]
        spread: Rows = np.array(found, np.int32)[inverse]
        return spread

    def _problem(self, state: State, row: int, serves: list[Bytes], labels: list[Rows]) -> NodeProblem:
        layout = state.bays.layouts[int(state.bays.layout[row])]
        return NodeProblem(
            layout=layout,
            free=_positions(state.bays.free[row]),
            wants=tuple((want.count, _positions(bits)) for want, bits in zip(self.demand.wants, serves, strict=True)),
            matches=tuple(
                (match.wants, tuple(label[: layout.size].tolist()))
                for match, label in zip(self._matches, labels, strict=True)
            ),
            limits=tuple(want.claim for want in self.demand.wants),
            weights=tuple(self._catalogue.set_weights.tolist()),
            first_fit=self._first_fit,
        )

    def _add_shape(self, problem: NodeProblem | Puzzle) -> int:
        answer = self._catalogue.answer(problem)
        if answer.fatal is not None:
            self._fatal.add(len(self._answers))
        weights = self._catalogue.set_weights
        scores = [answer.scores.get(name, 0.0) for name in _SET_NAMES]
        self._problems.append(problem)
        self._answers.append(answer)
        self._shape_sum.append(float(weights @ np.array(scores)))
        self._shape_count.append(sum(map(len, answer.chosen or ())))
        lists = zip(self.demand.wants, answer.alternatives, strict=False)
        self._shape_preference.append(8 * self._listed - sum(chosen for want, chosen in lists if want.listed))
        return len(self._answers) - 1

    # ------------------------------------------------------------ reading

    @property
    def feasible(self) -> int:
        """How many nodes fit."""
        return int(np.count_nonzero(self.rank >= 0))

    def best(self, state: State) -> tuple[Choice | None, Choice | None]:
        """The best node and the next best."""
        first = self._top(state, self.rank)
        if first is None:
            return None, None
        kept = self.rank[first]
        self.rank[first] = -1
        second = self._top(state, self.rank)
        self.rank[first] = kept
        return self._choice(state, first), None if second is None else self._choice(state, second)

    @staticmethod
    def _top(state: State, rank: Counts) -> int | None:
        highest = rank.max(initial=-1)
        if highest < 0:
            return None
        tied = np.flatnonzero(rank == highest)
        return int(tied[np.argmin(state.nodes.order[tied])])

    def _choice(self, state: State, row: int) -> Choice:
        scores = dict.fromkeys(_SET_NAMES, 1.0)
        devices: tuple[tuple[int, ...], ...] = ()
        truncated = False
        alternatives = (0,) * len(self.demand.wants)
        if self.demand.wants:
            answer = self._answers[int(self.shape[row])]
            scores.update(answer.scores)
            truncated = answer.truncated
            seen = state.bays.rows[row]
            devices = tuple(tuple(int(seen[position]) for position in part) for part in answer.chosen or ())
            alternatives = answer.alternatives or alternatives
        scores.update(zip(_NODE_NAMES, (round(float(score), 6) for score in self.node_scores[:, row]), strict=True))
        shares = self._catalogue.shares.values
        total = sum(shares[name] * score for name, score in scores.items()) / self._catalogue.whole
        return Choice(row, devices, alternatives, scores, round(total, 6), state.links_told(row), truncated)


def _positions(bits: Bytes) -> tuple[int, ...]:
    return tuple(np.flatnonzero(np.unpackbits(bits, bitorder="little")).tolist())


def _value_numbers(state: State, attribute: str, seen: Rows) -> Rows:
    """Value numbers of an attribute on the devices of each node, named by the first device that has the value."""
    column = state.devices.attributes.get(attribute)
    if column is None:
        return np.full(seen.shape, -1, np.int32)
    codes = np.where(seen >= 0, column.codes[seen], -1)
    labels = np.empty(codes.shape, np.int32)
    rows_at_once = max(1, _LABEL_CELLS // codes.shape[1] ** 2)
    for start in range(0, len(codes), rows_at_once):
        part = codes[start : start + rows_at_once]
        labels[start : start + rows_at_once] = (part[:, :, None] == part[:, None, :]).argmax(axis=2)
    labels[codes < 0] = -1
    return labels
