"""What is left of every node's devices, in one unit: what state scorers judge by.

A device counts in thousandths: all of it while nobody holds it, what its scarcest capacity has left where it is shared,
nothing otherwise. Devices that direct links do not apply to (NICs, CPUs) and those that draw on counters, which overlap
each other, do not count.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler.core.columns import ABSENT
from scheduler.core.state import State
from scoring.arrays import Counts, Mask, Rows
from scoring.market import Market, unknown_market
from scoring.placement import measures
from scoring.prices import WHOLE, Supply
from scoring.scorers import STATE_SCORERS
from scoring.scorers.base import Remainders

# What tells one product from another, as drivers publish it; {driver} is the domain of the device's own driver.
PRODUCT: Final = ("type", "productName", "model", "family", "profile")
MAX_CLASSES: Final = 4_096


class Stock:
    """One row a node and one column a position of its bay.

    left : int64 (N, W), thousandths left. classes : int32 (N, W), class of each device. A class is what serves the same
    requests in nodes of one shape: driver and product, devices of the node, cpu of the node.
    market : what states are judged by. waste : float64 (S, N), what each state scorer measures of nodes as they are.
    version : grows with the market.
    """

    def __init__(self) -> None:
        self.left: Counts = np.zeros((0, 0), np.int64)
        self.classes: Rows = np.zeros((0, 0), np.int32)
        self.waste: NDArray[np.float64] = np.zeros((len(STATE_SCORERS), 0))
        self.market: Market = unknown_market(1)
        self.version = 0
        self._class_index: dict[tuple[object, ...], int] = {}
        self._width: list[int] = []
        self._cpu: list[int] = []
        self._class_of: Rows = np.zeros(0, np.int32)  # by device row, of the node that showed it last
        self._counts: Mask = np.zeros((0, 0), np.bool_)
        self._stale: Mask = np.zeros(0, np.bool_)  # nodes whose waste is to be measured
        self._position = self._remade = -1

    def trade(self, market: Market) -> None:
        """Judge by another market from now on."""
        self.market = market
        self.version += 1
        self._stale[:] = True

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
        for row in remade:
            self._classify(state, row)
        rows = np.array(changed, np.int32)
        self.left[rows] = self._of(state, rows)
        self._stale[rows] = True

    def remainders(self, state: State, rows: Rows) -> Remainders:
        """These nodes as they are."""
        nodes = state.nodes
        classes = self.classes[rows]
        if len(self.market.prices) < len(self._width):  # a class that the market does not know yet
            classes = np.where(classes < len(self.market.prices), classes, 0)
        return Remainders(
            self.left[rows], classes, nodes.left("cpu", rows), nodes.amounts(nodes.used, "pods", rows) > 0
        )

    def wasted(self, state: State, rows: Rows) -> NDArray[np.float64]:
        """`waste` of these nodes, float64 (S, len(rows)), measured where that was not done yet."""
        stale = rows[self._stale[rows]]
        if len(stale):
            self.waste[:, stale] = measures(self.remainders(state, stale), self.market)
            self._stale[stale] = False
        found: NDArray[np.float64] = self.waste[:, rows]
        return found

    @property
    def known(self) -> int:
        """How many classes there are, at least one."""
        return max(len(self._width), 1)

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
        self.waste = np.zeros((len(STATE_SCORERS), shape[0]))
        self._stale = np.ones(shape[0], np.bool_)

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

    def _classify(self, state: State, row: int) -> None:
        """Note which devices of a node count, and the class of each."""
        bays, node = state.bays, state.nodes.nodes[row]
        self._counts[row] = False
        count = int(bays.count[row])
        if node is None or not count:
            return
        linkable = bays.layouts[int(bays.layout[row])].linkable
        cpu = int(state.nodes.amounts(state.nodes.allocatable, "cpu", np.array([row], np.int32))[0])
        counted = []
        for position, device in enumerate(bays.rows[row][:count].tolist()):
            listed = state.row_device[device][1]
            if linkable[position] and not listed.consumes:
                counted.append((position, device))
        for position, device in counted:
            code = self._code((*_product(state, device), len(counted), cpu), len(counted), cpu)
            self._counts[row, position] = True
            self.classes[row, position] = code
            if device >= len(self._class_of):
                more = np.full(max(state.devices.size, device + 1) - len(self._class_of), -1, np.int32)
                self._class_of = np.concatenate([self._class_of, more])
            self._class_of[device] = code

    def _code(self, key: tuple[object, ...], width: int, cpu: int) -> int:
        found = self._class_index.get(key)
        if found is None:
            if len(self._width) >= MAX_CLASSES:
                return 0
            found = self._class_index[key] = len(self._width)
            self._width.append(width)
            self._cpu.append(cpu)
        return found


def _product(state: State, row: int) -> tuple[object, ...]:
    item, device = state.row_device[row]
    own = (device.attributes.get(name, device.attributes.get(f"{item.driver}/{name}")) for name in PRODUCT)
    return (item.driver, *own)
