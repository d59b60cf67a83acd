"""Nodes and their devices as columns, kept up to date row by row.

What can be had of a device is counted in thousandths. Devices that direct links do not apply to (NICs) count for
nothing where waste is measured, as in the scheduler.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Counts, Mask, Rows
from scoring.market import Market, unknown_market
from scoring.mix import Kind, Sample
from scoring.placement import measures
from scoring.prices import WHOLE, Supply
from scoring.scorers import STATE_SCORERS
from scoring.states import Changes, Remainders, Sums
from scoring.topology.base import Layout

MAX_CLASSES: Final = 4_096
_FIRST_ROWS: Final = 64


@dataclass(frozen=True, slots=True)
class NodeState:
    """What changes with use. `left`, `flaws` : of each device."""

    left: tuple[int, ...]
    cpu_left: int
    memory_left: int
    used: bool
    flaws: tuple[int, ...]
    changes: int


@dataclass(frozen=True, slots=True)
class Node:
    """A node. layout : number of its layout; products : of each device, number of its product."""

    name: str
    layout: int
    products: tuple[int, ...]
    shared: tuple[bool, ...]
    cpu: int
    memory: int
    state: NodeState


@dataclass(frozen=True, slots=True)
class Ask:
    """So many devices of some products; share : thousandths of each, 0 for whole ones that are not shared."""

    count: int
    share: int
    products: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Usual:
    """Pods of the mix of demand: what one asks for, and how many arrive."""

    ask: Ask
    cpu: int
    amount: float


class Table:
    """N nodes of W devices at most; the arrays are longer than `size`.

    layouts, products : by number. names : of the nodes; empty where one was removed.
    live : bool (N,). layout : int32 (N,). product : int32 (N, W), -1 where there is no device. shared : bool (N, W).
    left : int64 (N, W). flaws : int8 (N, W). cpu, cpu_left, memory, memory_left, changes : int64 (N,).
    used : bool (N,), whether any pod is there.
    version : grows with every change. market : what states are judged by; judged_at : grows with it.
    """

    def __init__(self, layouts: Sequence[Layout], products: Sequence[str]) -> None:
        self.layouts: Final = tuple(layouts)
        self.products: Final = {name: number for number, name in enumerate(products)}
        self.names: list[str] = []
        self.row_of: dict[str, int] = {}
        self.size = 0
        self.version = 0
        self.market: Market = unknown_market(1)
        self.judged_at = 0
        self._log: list[int] = []  # rows that changed
        self._log_start = 0
        self._class_index: dict[tuple[int, int, int], int] = {}
        self._totals: dict[str, Sums] = {}  # of nodes as they are, as States.total knows them
        width = max((layout.size for layout in layouts), default=0)
        self._make(_FIRST_ROWS, max(8 * -(-width // 8), 8))

    def _make(self, rows: int, width: int) -> None:
        self.live: Mask = np.zeros(rows, np.bool_)
        self.used: Mask = np.zeros(rows, np.bool_)
        self.layout: Rows = np.zeros(rows, np.int32)
        self.cpu: Counts = np.zeros(rows, np.int64)
        self.cpu_left: Counts = np.zeros(rows, np.int64)
        self.memory: Counts = np.zeros(rows, np.int64)
        self.memory_left: Counts = np.zeros(rows, np.int64)
        self.changes: Counts = np.zeros(rows, np.int64)
        self.product: Rows = np.full((rows, width), -1, np.int32)
        self.shared: Mask = np.zeros((rows, width), np.bool_)
        self.left: Counts = np.zeros((rows, width), np.int64)
        self.flaws: NDArray[np.int8] = np.zeros((rows, width), np.int8)
        self._counts: Mask = np.zeros((rows, width), np.bool_)  # devices that waste is measured of
        self._classes: Rows = np.zeros((rows, width), np.int32)
        self._stale: Mask = np.ones(rows, np.bool_)
        self._waste: NDArray[np.float64] = np.zeros((rows, len(STATE_SCORERS)))

    _COLUMNS: Final = (
        "live", "used", "layout", "cpu", "cpu_left", "memory", "memory_left", "changes", "product", "shared", "left",
        "flaws", "_counts", "_classes", "_stale", "_waste",
    )  # fmt: skip

    # ------------------------------------------------------------ changes

    def put(self, row: int, node: Node) -> None:
        """A node in place of what is in the row; the row behind the last one is one more."""
        if row == self.size:
            if row == len(self.live):
                self._grow()
            self.size += 1
            self.names.append("")
        self.remove(row)
        self.names[row] = node.name
        self.row_of[node.name] = row
        n = len(node.products)
        self.live[row] = True
        self.layout[row], self.cpu[row], self.memory[row] = node.layout, node.cpu, node.memory
        self.product[row] = -1
        self.product[row, :n] = node.products
        self.shared[row] = False
        self.shared[row, :n] = node.shared
        self._counts[row] = False
        self._counts[row, :n] = counts = self.layouts[node.layout].linkable
        width = int(counts.sum())
        self._classes[row] = 0
        for position in np.flatnonzero(counts).tolist():
            self._classes[row, position] = self._class(node.products[position], width, node.cpu)
        self.put_state(row, node.state)

    def put_state(self, row: int, state: NodeState) -> None:
        """What changes with use."""
        n = len(state.left)
        self.left[row] = self.flaws[row] = 0
        self.left[row, :n] = state.left
        self.flaws[row, :n] = state.flaws
        self.cpu_left[row], self.memory_left[row] = state.cpu_left, state.memory_left
        self.used[row], self.changes[row] = state.used, state.changes
        self._note(row)

    def remove(self, row: int) -> None:
        """No pod fits there any more."""
        self.row_of.pop(self.names[row], None)
        self.names[row] = ""
        self.live[row] = False
        self._note(row)

    def _note(self, row: int) -> None:
        self.version += 1
        self._stale[row] = True
        self._log.append(row)
        if len(self._log) > 4 * max(self.size, _FIRST_ROWS):
            gone = len(self._log) // 2
            self._log_start += gone
            del self._log[:gone]

    def since(self, version: int) -> NDArray[np.intp] | None:
        """Rows that changed after a version, ascending; None where that is too long ago."""
        start = version - self._log_start
        if start < 0:
            return None
        return np.unique(np.array(self._log[start:], np.intp))

    def _grow(self) -> None:
        old = {name: getattr(self, name) for name in self._COLUMNS}
        self._make(2 * len(self.live), self.product.shape[1])
        for name, column in old.items():
            getattr(self, name)[: len(column)] = column
        for name, sums in self._totals.items():
            more = np.zeros((len(self.live), *sums.shape[1:]), sums.dtype)
            more[: len(sums)] = sums
            self._totals[name] = more

    def _class(self, product: int, width: int, cpu: int) -> int:
        """A class is what serves the same requests in nodes of one shape, as in the scheduler (core/stock.py)."""
        key = (product, width, cpu)
        found = self._class_index.get(key)
        if found is None:
            if len(self._class_index) >= MAX_CLASSES:
                return 0
            found = self._class_index[key] = len(self._class_index)
        return found

    # ------------------------------------------------------------ waste

    def sample(self, mix: Sequence[Usual], growth: float) -> Sample:
        """The mix of demand in the classes of this table, most popular first."""
        amounts: dict[Kind, float] = {}
        for usual in mix:
            numbers = {self.products.get(name) for name in usual.ask.products}
            classes = sum(1 << code for (product, _, _), code in self._class_index.items() if product in numbers)
            wanted = (usual.ask.count, usual.ask.share or WHOLE) if classes and usual.ask.count else (0, 0)
            kind = Kind(*wanted, usual.cpu, classes if usual.ask.count else 0)
            amounts[kind] = amounts.get(kind, 0.0) + usual.amount
        ranked = sorted(amounts.items(), key=lambda item: (-item[1], item[0]))
        return Sample(tuple(kind for kind, _ in ranked), np.array([amount for _, amount in ranked], np.float64), growth)

    def supply(self) -> Supply:
        """The classes that there are."""
        known = max(len(self._class_index), 1)
        devices = np.bincount(self._classes[self._counts & self.live[:, None]], minlength=known).astype(np.int64)
        width = [width for _, width, _ in self._class_index] or [0]
        cpu = [cpu for _, _, cpu in self._class_index] or [0]
        return Supply(devices * WHOLE, np.array(width, np.int64), np.array(cpu, np.int64))

    def trade(self, market: Market) -> None:
        """Judge by another market from now on."""
        self.market = market
        self.judged_at += 1
        self._totals = {}
        self._stale[:] = True

    def measured(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """What each state scorer measures of these nodes as they are, float64 (R, S)."""
        stale = rows[self._stale[rows]]
        if len(stale):
            left = np.where(self._counts[stale], self.left[stale], 0)
            states = Remainders(self.cpu_left[stale], self.used[stale], left, self._of_market(self._classes[stale]))
            self._waste[stale] = measures(states, self.market)
            self._keep(stale, states.totals)
            self._stale[stale] = False
        found: NDArray[np.float64] = self._waste[rows]
        return found

    def measured_few(
        self, rows: NDArray[np.intp], places: NDArray[np.intp], taken: Counts, cpu: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`measured` and `after` at once: for few nodes, of which each comes once, that is less work."""
        count = len(rows)
        both = np.concatenate([rows, rows])
        counts, left = self._counts[both], self.left[both]
        at = np.arange(count, 2 * count)[:, None]
        left[at, places] = np.maximum(left[at, places] - taken, 0)
        states = Remainders(
            np.concatenate([self.cpu_left[rows], self.cpu_left[rows] - cpu]),
            np.concatenate([self.used[rows], np.ones(count, np.bool_)]),
            np.where(counts, left, 0),
            self._of_market(self._classes[both]),
        )
        found = measures(states, self.market)
        self._waste[rows] = found[:count]
        self._keep(rows, {name: sums[:count] for name, sums in states.totals.items()})
        self._stale[rows] = False
        return found[:count], found[count:]

    def after(self, rows: NDArray[np.intp], places: NDArray[np.intp], taken: Counts, cpu: int) -> NDArray[np.float64]:
        """The same after a pod took of some of their devices, float64 (C, S). The nodes are measured as they are.

        places : (C, K), different positions, or any where nothing is taken. taken : int64 (C, K), thousandths.
        """
        at = rows[:, None], places
        counts = self._counts[at]
        before: Counts = np.where(counts, self.left[at], 0)
        after: Counts = np.where(counts, np.maximum(before - taken, 0), 0)
        used = np.ones(len(rows), np.bool_)
        classes = self._of_market(self._classes[at])
        return measures(
            Changes(self.cpu_left[rows] - cpu, used, self._totals, rows, before, after, classes), self.market
        )

    def _keep(self, rows: NDArray[np.intp], totals: Mapping[str, Sums]) -> None:
        for name, sums in totals.items():
            if name not in self._totals:
                kept: NDArray[Any] = np.zeros((len(self.live), *sums.shape[1:]), sums.dtype)
                self._totals[name] = kept
            self._totals[name][rows] = sums

    def _of_market(self, classes: Rows) -> Rows:
        """Without the classes that the market does not know yet."""
        if len(self.market.prices) >= len(self._class_index):
            return classes
        return np.where(classes < len(self.market.prices), classes, 0).astype(np.int32)
