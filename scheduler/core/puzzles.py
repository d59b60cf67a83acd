"""From the state to puzzles: what of one node decides which of its devices a kind of pod may take."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from scheduler.core.bays import Sight
from scheduler.core.cel import derive
from scheduler.core.demand import Ask as Asked
from scheduler.core.demand import Demand, Relation
from scheduler.core.eligibility import Eligibility
from scheduler.core.errors import SelectorError
from scheduler.core.gates import Gates
from scheduler.core.model import AttributeValue, Device, Node, Slice
from scheduler.core.quantity import Quantity
from scheduler.core.rules.capacity import UnrepresentableError, resolve
from scheduler.core.rules.compatibility import Groups, together
from scheduler.core.rules.constraints import ABSENT, LIST, Label
from scheduler.core.solvers.puzzle import ALL, ERROR, NO, YES, Ask, ClaimPuzzle, Piece, Puzzle
from scheduler.core.state import State
from scoring.arrays import Rows

OPTIONAL_OPERATIONS: Final = "DRAOptionalNodeOperations"
Charge = tuple[int, ...] | str | None


@dataclass(slots=True)
class Board:
    """What of a node does not change with what is in use: made when its bay is, and kept as long as that stays.

    capacity : per device the number of its capacities and policies, equal for equal ones.
    """

    sight: Sight
    devices: list[tuple[Slice, Device]]
    identities: list[tuple[str, str, str]]
    fixed: list[Piece]
    capacity: list[int]
    totals: list[tuple[int, int]]  # per counter its pool, and nano-units
    kinds: list[int]  # per counter a number for its name
    sets: list[tuple[int, str]]  # counter set -> pool number, name
    numbers: dict[tuple[int, str, str], int] = field(default_factory=dict)
    derived: dict[str, list[AttributeValue | SelectorError]] = field(default_factory=dict)
    charges: dict[tuple[tuple[str, Quantity], ...], tuple[Charge, ...]] = field(default_factory=dict)


class Puzzles:
    """Makes puzzles; keeps boards and charges between calls."""

    MAX_CHARGES = 100_000

    def __init__(self, *, first_fit: bool) -> None:
        self._first_fit = first_fit
        self._boards: dict[int, Board] = {}
        self._capacities: dict[Hashable, int] = {}
        self._charges: dict[tuple[int, Hashable], Charge] = {}

    def make(
        self,
        state: State,
        row: int,
        demand: Demand,
        eligible: Sequence[Sequence[Eligibility]],
        weights: tuple[float, ...],
    ) -> Puzzle:
        """The puzzle of a node for a demand; `eligible` per want and alternative, `weights` of the set scorers."""
        board = self._board(state, row)
        rows: Rows = state.bays.rows[row][: len(board.devices)]
        flaws = state.flaws[rows]
        pieces = self._pieces(state, board)
        counters, overdrawn = _left(state, board)
        claims = []
        for claim in dict.fromkeys(want.claim for want in demand.wants):
            relations = [relation for relation in demand.relations if relation.claim == claim]
            labels = [_Labels(state, board, relation, rows) for relation in relations]
            mine = [index for index, want in enumerate(demand.wants) if want.claim == claim]
            claims.append(
                ClaimPuzzle(
                    wants=tuple(
                        tuple(
                            self._ask(state, board, rows, ask, eligible[index][number], (index, number), labels)
                            for number, ask in enumerate(demand.wants[index].asks)
                        )
                        for index in mine
                    ),
                    listed=tuple(demand.wants[index].listed for index in mine),
                    distinct=tuple(relation.distinct for relation in relations),
                )
            )
        return Puzzle(
            layout=state.bays.layouts[int(state.bays.layout[row])],
            pieces=tuple(pieces),
            claims=tuple(claims),
            counters=counters,
            kinds=tuple(board.kinds),
            overdrawn=overdrawn,
            groups=_groups(state, board),
            capacity=state.gates.consumable_capacity,
            compatibility=state.gates.compatibility_groups,
            incomplete=board.sight.incomplete,
            weights=weights,
            first_fit=self._first_fit or demand.foreign,
            flaws=tuple(flaws.tolist()) if flaws.any() else (),
        )

    # ------------------------------------------------------------ the node

    def _board(self, state: State, row: int) -> Board:
        sight = state.bays.sights.get(row, Sight())
        node = state.nodes.nodes[row]
        known = self._boards.get(row)
        if known is None or known.sight is not sight:
            known = self._boards[row] = self._new_board(state, row, sight, node)
        return known

    def _new_board(self, state: State, row: int, sight: Sight, node: Node | None) -> Board:
        gates = state.gates
        devices = [state.row_device[int(each)] for each in state.bays.rows[row] if each >= 0]
        identities = [(item.driver, item.pool, device.name) for item, device in devices]
        board = Board(sight, devices, identities, [], [], [], [], [])
        kinds: dict[str, int] = {}
        sets: dict[tuple[int, str], int] = {}
        start = 0
        for pool, (stop, _, view) in enumerate(sight.pools):
            for name, counter_set in view.counters.items():
                sets[pool, name] = len(board.sets)
                board.sets.append((pool, name))
                for counter, amount in counter_set.counters.items():
                    board.numbers[pool, name, counter] = len(board.totals)
                    board.totals.append((pool, amount.nanos))
                    board.kinds.append(kinds.setdefault(counter, len(kinds)))
            for item, device in devices[start:stop]:
                able = gates.optional_node_operations and node is not None and OPTIONAL_OPERATIONS in node.features
                refused = bool(item.skip_operations) and gates.experimental and not able
                uses = tuple(
                    (board.numbers[pool, use.counter_set, counter], amount.nanos)
                    for use in device.consumes
                    for counter, amount in use.counters.items()
                    if gates.partitionable_devices
                )
                board.fixed.append(
                    Piece(
                        used=(0,) * len(device.capacity),
                        room=tuple(device.capacity[name].nanos for name in sorted(device.capacity)),
                        shareable=device.shareable and gates.consumable_capacity,
                        refused=refused or (bool(device.consumes) and not gates.partitionable_devices),
                        uses=uses,
                        sets=tuple(
                            (sets[pool, use.counter_set], frozenset(use.groups))
                            for use in device.consumes
                            if gates.partitionable_devices
                        ),
                        pool=pool if device.consumes else -1,
                        pinned=_pinned(item, device, gates),
                        terms=_terms(item, device),
                    )
                )
                board.capacity.append(self._capacity(device))
            start = stop
        return board

    def _capacity(self, device: Device) -> int:
        key = tuple((name, device.capacity[name].nanos, device.policies.get(name)) for name in sorted(device.capacity))
        return self._capacities.setdefault(key, len(self._capacities))

    @staticmethod
    def _pieces(state: State, board: Board) -> list[Piece]:
        pieces = []
        holders, shares = state.holders, state.shares
        for identity, (_, device), fixed in zip(board.identities, board.devices, board.fixed, strict=True):
            dedicated, shared = identity in holders, identity in shares
            if not dedicated and not shared:
                pieces.append(fixed)
                continue
            used = state.used(identity) if shared else {}
            amounts = tuple(used.get(name, 0) for name in sorted(device.capacity))
            pieces.append(replace(fixed, dedicated=dedicated, shared=shared, used=amounts))
        return pieces

    # ------------------------------------------------------------ the requests

    def _ask(
        self,
        state: State,
        board: Board,
        rows: Rows,
        asked: Asked,
        eligible: Eligibility,
        member: tuple[int, int],
        labels: Sequence["_Labels"],
    ) -> Ask:
        status = np.where(eligible.failed[rows], ERROR, np.where(eligible.selected[rows], YES, NO)).astype(np.uint8)
        for position in board.sight.foreign:
            if status[position] == YES:
                status[position] = NO
        if board.sight.withheld and asked.count == ALL:
            status[status == YES] = NO  # all but what is withheld are not all
        if not state.gates.binding_conditions:
            for position, (_, device) in enumerate(board.devices):
                if device.binding_conditions:
                    status[position] = NO
        return Ask(
            count=asked.count,
            admin=asked.admin,
            status=status.tobytes(),
            welcome=eligible.welcome[rows].astype(np.uint8).tobytes(),
            charges=self._charged(state, board, asked),
            labels=tuple(each.of(asked) if member in each.relation.members else None for each in labels),
        )

    def _charged(self, state: State, board: Board, asked: Asked) -> tuple[Charge, ...]:
        """What a request takes of each device of a board."""
        known = board.charges.get(asked.capacity)
        if known is None:
            counted = state.gates.consumable_capacity
            positions = range(len(board.devices))
            known = tuple(self._charge(state, board, each, asked) if counted else () for each in positions)
            board.charges[asked.capacity] = known
        return known

    def _charge(self, state: State, board: Board, position: int, asked: Asked) -> Charge:
        wanted = tuple((name, amount.nanos) for name, amount in asked.capacity)
        key = (board.capacity[position], wanted)
        if key in self._charges:
            return self._charges[key]
        if len(self._charges) >= self.MAX_CHARGES:
            self._charges.clear()
        found = self._charges[key] = _resolved(
            dict(asked.capacity), board.devices[position][1], fractional=state.gates.fractional_capacity_range
        )
        return found


def _resolved(asked: Mapping[str, Quantity], device: Device, *, fractional: bool) -> Charge:
    try:
        taken = resolve(asked, device, fractional=fractional)
    except UnrepresentableError as error:
        return str(error)
    return None if taken is None else tuple(taken[name].nanos for name in sorted(taken))


def _pinned(item: Slice, device: Device, gates: Gates) -> bool:
    """Whether an allocation of the device can be used on one node only."""
    named = device.node_name if item.per_device else item.node_name
    return named is not None or (device.binds_to_node and not gates.settled)


def _terms(item: Slice, device: Device) -> int:
    selector = device.node_selector if item.per_device else item.node_selector
    return len(selector.terms) if selector is not None else 0


def _left(state: State, board: Board) -> tuple[tuple[int, ...], frozenset[int]]:
    """What is left of each counter, and the pools of which one is below zero."""
    left = [total for _, total in board.totals]
    for number, (_, key, view) in enumerate(board.sight.pools):
        for (counter_set, counter), amount in view.left(key, state.in_use).items():
            left[board.numbers[number, counter_set, counter]] = amount
    overdrawn = frozenset(pool for (pool, _), amount in zip(board.totals, left, strict=True) if amount < 0)
    return tuple(left), overdrawn


def _groups(state: State, board: Board) -> tuple[Groups | None, ...]:
    """Per counter set the compatibility groups that allocated devices have left."""
    if not state.gates.compatibility_groups:
        return tuple(None for _ in board.sets)
    held: dict[tuple[int, str], Groups | None] = {}
    for number, (_, key, view) in enumerate(board.sight.pools):
        for name, uses in view.uses.items():
            if state.in_use((*key, name)):
                for use in uses:
                    at = (number, use.counter_set)
                    held[at] = together(held.get(at), frozenset(use.groups))
    return tuple(held.get(each) for each in board.sets)


class _Labels:
    """Labels of a node's devices under one relation, numbered by first appearance so that alike nodes are alike."""

    def __init__(self, state: State, board: Board, relation: Relation, rows: Rows) -> None:
        self.relation = relation
        self._lists = state.gates.list_attributes
        self._board = board
        self._numbers: dict[Hashable, int] = {}
        column = state.devices.attributes.get(relation.attribute)
        codes = column.codes[rows].tolist() if column is not None else [-1] * len(rows)
        values = [column.values[code] if column is not None and code >= 0 else None for code in codes]
        self._published = tuple(self._label(value) for value in values)

    def of(self, asked: Asked) -> tuple[Label | str, ...]:
        """For a request, which may compute the attribute itself."""
        expression = dict(asked.derived).get(self.relation.attribute)
        if expression is None:
            return self._published
        return tuple(
            str(value) if isinstance(value, SelectorError) else self._label(value)
            for value in _derived(self._board, expression)
        )

    def _label(self, value: Any) -> Label:
        """Of an attribute's value, None where it is absent."""
        if self._lists:
            values = () if value is None else value if isinstance(value, tuple) else (value,)
            return frozenset(self._numbers.setdefault((type(each), each), len(self._numbers)) for each in values)
        if value is None:
            return ABSENT
        if isinstance(value, tuple):
            return LIST
        return self._numbers.setdefault((type(value), value), len(self._numbers))


def _derived(board: Board, expression: str) -> list[AttributeValue | SelectorError]:
    """What an expression gives for each device of a board, computed once."""
    known = board.derived.get(expression)
    if known is None:
        known = board.derived[expression] = [_derive(expression, item, device) for item, device in board.devices]
    return known


def _derive(expression: str, item: Slice, device: Device) -> AttributeValue | SelectorError:
    if device.malformed:
        return SelectorError(f"expression {expression!r}", device.malformed)
    try:
        return derive(expression, item.driver, device.attributes, device.capacity, device.shareable)
    except SelectorError as error:
        return error
