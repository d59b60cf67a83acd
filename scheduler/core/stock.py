"""What is left of every node's devices, in one unit: what state scorers judge by.

A device counts in thousandths: all of it while nobody holds it, what its scarcest capacity has left where it is shared,
nothing otherwise. Devices that direct links do not apply to (NICs, CPUs) and those that draw on counters, which overlap
each other, do not count.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scheduler.core.columns import ABSENT
from scheduler.core.state import State
from scoring.arrays import Counts, Mask, Rows
from scoring.market import Market, unknown_market
from scoring.placement import measures
from scoring.prices import WHOLE, Supply
from scoring.scorers import STATE_SCORERS
from scoring.states import Changes, Remainders, Sums

MAX_CLASSES: Final = 4_096
_FEW = 4  # nodes up to which one after the other is faster than columns
_MAX_KNOWN = 50_000
ClassName = tuple[tuple[str, ...], int, int]
"""Product, devices of the node, cpu of the node."""
Waste = tuple[float, ...]
"""What each state scorer measures of one node."""


class Stock:
    """One row a node and one column a position of its bay.

    left : int64 (N, W), thousandths left. classes : int32 (N, W), class of each device. A class is what serves the same
    requests in nodes of one shape: driver and product, devices of the node, cpu of the node.
    market : what states are judged by. waste : float64 (N, S), what each state scorer measures of nodes as they are.
    version : grows with the market.
    """

    def __init__(self) -> None:
        self.left: Counts = np.zeros((0, 0), np.int64)
        self.classes: Rows = np.zeros((0, 0), np.int32)
        self.waste: NDArray[np.float64] = np.zeros((0, len(STATE_SCORERS)))
        self.market: Market = unknown_market(1)
        self.version = 0
        self._class_index: dict[tuple[int, int, int], int] = {}
        self._width: list[int] = []
        self._cpu: list[int] = []
        self._class_of: Rows = np.zeros(0, np.int32)  # by device row, of the node that showed it last
        self._counts: Mask = np.zeros((0, 0), np.bool_)
        self._stale: Mask = np.zeros(0, np.bool_)  # nodes whose waste is to be measured
        self._totals: dict[str, Sums] = {}  # of nodes as they are, as States.total knows them
        self._builds: list[int] = []  # by node, the number of what does not change with use
        self._build_index: dict[bytes, int] = {}
        self._numbers = count()  # of builds and conditions; none comes twice
        self._partly: list[bool] = []  # by node, whether it has devices that can be shared
        self._lefts: dict[tuple[int, int], Counts] = {}  # `left` by build and free devices, where none can be shared
        self._conditions: list[int | None] = []  # by node
        self._condition_index: dict[tuple[int, int, bytes, int, bool], int] = {}
        self._known: dict[int, tuple[Waste, dict[str, Sums]]] = {}  # by condition
        self._position = self._remade = -1

    def trade(self, market: Market) -> None:
        """Judge by another market from now on."""
        self.market = market
        self.version += 1
        self._forget()

    def refresh(self, state: State) -> None:
        """Bring `left` and `classes` up to the state; costs the nodes that changed."""
        nodes = state.nodes
        if self._position == nodes.changes.position and self.left.shape == state.bays.rows.shape:
            return
        known = self._position >= 0 and self.left.shape == state.bays.rows.shape
        changed = nodes.changes.since(self._position) if known else None
        remade = nodes.remade.since(self._remade) if known else None
        self._position, self._remade = nodes.changes.position, nodes.remade.position
        if changed is None or remade is None:
            self._resize(state)
            changed = remade = np.flatnonzero(nodes.live).tolist()
        if remade:
            self._classify(state, np.array(remade, np.int32))
        if len(changed) <= _FEW:
            for row in changed:
                self._count(state, row)
                self._stale[row] = True
                self._conditions[row] = None
            return
        rows = np.array(changed, np.int32)
        self.left[rows] = self._of(state, rows)
        self._stale[rows] = True
        for row in changed:
            self._conditions[row] = None

    def measured(self, state: State, rows: Rows) -> NDArray[np.float64]:
        """`waste` of these nodes, float64 (len(rows), S)."""
        stale = rows[self._stale.take(rows)]
        if len(stale):
            nodes = state.nodes
            used = nodes.amounts(nodes.used, "pods", stale) > 0
            classes = self._of_market(self.classes.take(stale, axis=0))
            states = Remainders(nodes.left("cpu", stale), used, self.left.take(stale, axis=0), classes)
            self._note(stale, measures(states, self.market), states.totals)
        found: NDArray[np.float64] = self.waste.take(rows, axis=0)
        return found

    def thousandths(self, state: State, row: int) -> list[int]:
        """What is left of each device of a node; one that does not count here is whole, or taken."""
        bits = state.bays.bits[row]
        return [amount or (WHOLE if bits >> place & 1 else 0) for place, amount in enumerate(self.left[row].tolist())]

    def condition(self, state: State, row: int) -> int:
        """A number for the condition that a node is in; it never stands for another.

        Nodes in one condition have devices of the same classes, of which the same are free and have the same left, as
        much cpu left, and are both in use or both not.
        """
        found = self._conditions[row]
        if found is None:
            nodes, left = state.nodes, self.left[row].tobytes() if self._partly[row] else b""
            cpu, used = nodes.left_at("cpu", row), nodes.used_at("pods", row) > 0
            key = (self._builds[row], state.bays.bits[row], left, cpu, used)
            if len(self._condition_index) >= _MAX_KNOWN:
                self._condition_index.clear()
            found = self._conditions[row] = self._condition_index.setdefault(key, next(self._numbers))
        return found

    def known_one(self, state: State, row: int) -> Waste | None:
        """`measured` of one node, None where it has to be measured; nodes in the same state are measured once."""
        if not self._stale[row]:
            return tuple(self.waste[row].tolist())
        known = self._known.get(self.condition(state, row))
        if known is None:
            return None
        self.waste[row] = known[0]
        for name, sums in known[1].items():
            self._totals[name][row] = sums
        self._stale[row] = False
        return known[0]

    def measure_few(
        self, state: State, stale: list[int], rows: list[int], places: NDArray[np.intp], taken: Counts, cpu: list[int]
    ) -> tuple[list[Waste], list[Waste]]:
        """`measured` of stale nodes, and `after` of placements, at once: for few of them that is less work."""
        nodes, start = state.nodes, len(stale)
        every = np.array([*stale, *rows], np.intp)
        left, classes = self.left.take(every, axis=0), self._of_market(self.classes.take(every, axis=0))
        at = np.arange(start, len(every))[:, None]
        left[at, places] = np.maximum(left[at, places] - taken, 0)
        cpu = [*[nodes.left_at("cpu", row) for row in stale], *cpu]
        used = [*[nodes.used_at("pods", row) > 0 for row in stale], *[True] * len(rows)]
        states = Remainders(np.array(cpu, np.int64), np.array(used, np.bool_), left, classes)
        measured = measures(states, self.market)
        found: list[Waste] = [tuple(each) for each in measured.tolist()]
        if stale:
            self._note(every[:start], measured[:start], {name: sums[:start] for name, sums in states.totals.items()})
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            for number, row in enumerate(stale):
                totals = {name: sums[number] for name, sums in states.totals.items()}
                self._known[self.condition(state, row)] = (found[number], totals)
        return found[:start], found[start:]

    def _note(self, rows: NDArray[np.integer[Any]], waste: NDArray[np.float64], totals: Mapping[str, Sums]) -> None:
        """Keep what was measured of nodes as they are."""
        self.waste[rows] = waste
        for name, sums in totals.items():
            if name not in self._totals:
                self._totals[name] = np.zeros((len(self.left), *sums.shape[1:]), sums.dtype)
            self._totals[name][rows] = sums
        self._stale[rows] = False

    def after(self, rows: Rows, places: NDArray[np.intp], taken: Counts, cpu: Counts) -> NDArray[np.float64]:
        """What state scorers measure of nodes after a pod took of some of their devices, float64 (C, S).

        rows : (C,), nodes that are measured as they are. places : (C, K), positions of different devices, or any where
        nothing is taken. taken : int64 (C, K), thousandths that the pod takes of each. cpu : int64 (C,), thousandths
        left after the pod.
        """
        flat = rows.astype(np.intp)[:, None] * self.left.shape[1] + places
        before = self.left.take(flat)
        left = np.maximum(before - taken, 0)
        used = np.ones(len(rows), np.bool_)
        classes = self._of_market(self.classes.take(flat))
        return measures(Changes(cpu, used, self._totals, rows, before, left, classes), self.market)

    def _of_market(self, classes: Rows) -> Rows:
        """Without the classes that the market does not know yet."""
        if len(self.market.prices) >= len(self._width):
            return classes
        return np.where(classes < len(self.market.prices), classes, 0).astype(np.int32)

    def _forget(self) -> None:
        self._totals = {}
        self._known.clear()
        self._stale[:] = True

    @property
    def known(self) -> int:
        """How many classes there are, at least one."""
        return max(len(self._width), 1)

    def names(self, state: State) -> tuple[ClassName, ...]:
        """What each class is, by its number."""
        return tuple((state.products.values[product], width, cpu) for product, width, cpu in self._class_index)

    def adopt(self, state: State, names: Sequence[ClassName]) -> None:
        """Number classes as another stock did, before any of them is met here."""
        for product, width, cpu in names:
            self._code(state.products.code(product), width, cpu)

    def supply(self) -> Supply:
        """The classes that there are."""
        devices = np.bincount(self.classes[self._counts], minlength=self.known).astype(np.int64)
        width, cpu = self._width or [0], self._cpu or [0]
        return Supply(devices * WHOLE, np.array(width, np.int64), np.array(cpu, np.int64))

    def classes_of(self, devices: Mask) -> int:
        """The classes of these devices (bool by device row), bit k set for class k."""
        size = min(len(devices), len(self._class_of))
        codes = self._class_of[:size][devices[:size]]
        found = 0
        for code in np.unique(codes[codes >= 0]).tolist():
            found |= 1 << code
        return found

    def _resize(self, state: State) -> None:
        shape = state.bays.rows.shape
        self.left = np.zeros(shape, np.int64)
        self.classes = np.zeros(shape, np.int32)
        self._counts = np.zeros(shape, np.bool_)
        self.waste = np.zeros((shape[0], len(STATE_SCORERS)))
        self._stale = np.ones(shape[0], np.bool_)
        self._totals = {}
        self._builds = [-1] * shape[0]
        self._build_index.clear()
        self._partly = [False] * shape[0]
        self._lefts.clear()
        self._conditions = [None] * shape[0]
        self._condition_index.clear()
        self._known.clear()

    def _count(self, state: State, row: int) -> None:
        """Set `left` of one node."""
        key = (self._builds[row], state.bays.bits[row])
        left = None if self._partly[row] else self._lefts.get(key)
        if left is not None:
            self.left[row] = left
            return
        devices, counts = state.bays.rows[row].tolist(), self._counts[row].tolist()
        bits, codes, amounts = state.bays.bits[row], state.capacities.codes, []
        columns = [(whole, state.room[name]) for name, whole in state.whole.items()]
        for position, (device, counted) in enumerate(zip(devices, counts, strict=True)):
            amount = WHOLE if counted and bits >> position & 1 else 0
            if amount and codes[device] != ABSENT:
                for whole, room in columns:
                    has = int(whole[device])
                    if has > 0:
                        amount = min(amount, max(int(room[device]) * WHOLE // has, 0))
            amounts.append(amount)
        self.left[row] = amounts
        if not self._partly[row]:
            if len(self._lefts) >= _MAX_KNOWN:
                self._lefts.clear()
            self._lefts[key] = self.left[row].copy()

    def _of(self, state: State, rows: Rows) -> Counts:
        """Thousandths left of each device of these nodes."""
        bays = state.bays
        seen = bays.rows[rows]
        left = np.where(np.unpackbits(bays.free[rows], axis=1, bitorder="little").view(np.bool_), WHOLE, 0)
        shared = state.capacities.codes[seen] != ABSENT
        if shared.any():
            for name, whole in state.whole.items():
                has = whole[seen]
                part = state.room[name][seen] * WHOLE // np.maximum(has, 1)
                left = np.where(shared & (has > 0), np.minimum(left, part.clip(0, WHOLE)), left)
        found: Counts = np.where(self._counts[rows], left, 0)
        return found

    def _classify(self, state: State, rows: Rows) -> None:
        """Note which devices of these nodes count, and the class of each."""
        bays = state.bays
        seen = bays.rows[rows]
        products = np.where(seen >= 0, state.products.codes[seen], ABSENT)
        counts = (products != ABSENT) & self._linkable(state, rows)
        width = counts.sum(axis=1)
        cpu = state.nodes.amounts(state.nodes.allocatable, "cpu", rows)
        self._counts[rows] = counts
        self._class_devices(state, rows, counts, products, width, cpu)
        partly = ((seen >= 0) & (state.capacities.codes[seen] != ABSENT)).any(axis=1)
        for row, shared in zip(rows.tolist(), partly.tolist(), strict=True):
            if len(self._build_index) >= _MAX_KNOWN:
                self._build_index.clear()
            key = self._counts[row].tobytes() + self.classes[row].tobytes()
            self._builds[row] = self._build_index.setdefault(key, next(self._numbers))
            self._partly[row] = shared

    def _class_devices(
        self, state: State, rows: Rows, counts: Mask, products: Rows, width: Counts, cpu: Counts
    ) -> None:
        """Note the class of each device that counts, bool (len(rows), W), by its product and the shape of its node."""
        at, position = counts.nonzero()
        if not len(at):
            return
        # Few shapes of nodes and few products: one number for both, so that equal devices are found by sorting.
        shapes, shape = np.unique(np.stack([width, cpu], axis=1), axis=0, return_inverse=True)
        keys = products[at, position].astype(np.int64) * len(shapes) + shape.ravel()[at]
        distinct, member = np.unique(keys, return_inverse=True)
        codes = [self._code(int(key) // len(shapes), *shapes[int(key) % len(shapes)].tolist()) for key in distinct]
        found = np.array(codes, np.int32)[member]
        self.classes[rows[at], position] = found
        extra = state.devices.size - len(self._class_of)
        if extra > 0:
            self._class_of = np.concatenate([self._class_of, np.full(extra, -1, np.int32)])
        self._class_of[state.bays.rows[rows[at], position]] = found

    @staticmethod
    def _linkable(state: State, rows: Rows) -> Mask:
        """To which devices of these nodes direct links apply, bool (len(rows), W)."""
        bays = state.bays
        numbers, member = np.unique(bays.layout[rows], return_inverse=True)
        found: Mask = np.zeros((len(numbers), bays.width), np.bool_)
        if bays.layouts:
            for place, number in enumerate(numbers.tolist()):
                layout = bays.layouts[number]
                found[place, : layout.size] = layout.linkable
        return found[member]

    def _code(self, product: int, width: int, cpu: int) -> int:
        key = (product, width, cpu)
        found = self._class_index.get(key)
        if found is None:
            if len(self._width) >= MAX_CLASSES:
                return 0
            found = self._class_index[key] = len(self._width)
            self._width.append(width)
            self._cpu.append(cpu)
        return found
