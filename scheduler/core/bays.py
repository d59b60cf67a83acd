"""The device bay of each node: which devices it sees, in order, which of them are free, and how they are linked.

Free devices are bits, one row of bytes a node, so that nodes in the same state are equal bytes and are solved once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scheduler.core.pools import PoolKey, PoolView
from scoring.arrays import Counts, Mask, Rows
from scoring.topology.base import Layout

Bytes = NDArray[np.uint8]
MAX_WIDTH = 4096  # devices that one node may see; beyond, the node is set aside with a reason


@dataclass(frozen=True, slots=True)
class Sight:
    """What a node sees of its pools, beyond which devices there are.

    pools : with the position behind the last device of each, in order of positions. foreign : positions of devices
    that selectors are tried on and that can only be used elsewhere. problems : of pools out of reach, as texts;
    incomplete : the first of those with which a request for all devices ends its attempt; withheld : with one of them
    it just fails here; invalid : one of them is not just incomplete. intricate : devices here need more than counting
    of devices; drawn : nothing but that they draw on shared counters.
    """

    pools: tuple[tuple[int, PoolKey, PoolView], ...] = ()
    foreign: frozenset[int] = frozenset()
    problems: tuple[str, ...] = ()
    incomplete: str = ""
    withheld: bool = False
    invalid: bool = False
    intricate: bool = False
    drawn: bool = False


def pack(mask: Mask) -> Bytes:
    """Bits of a mask's last axis, bit i of byte b for device 8 b + i."""
    return np.packbits(mask, axis=-1, bitorder="little")


class Bays:
    """Bays of all nodes, one row a node as in the node table.

    rows : int32 (N, W), device rows in the order of dra-semantics (pool, slice, listing), -1 pads.
    free : uint8 (N, W/8), bit set where the device exists and nobody holds it. bits : the same, one number a node.
    count, vacant : int64 (N,), how many devices the node sees, and how many of them are free.
    layout : int32 (N,), index into `layouts`. problems : node row -> why parts of its pools are out of reach.
    intricate : bool (N,), some device there needs the exact search. partitioned : bool (N,), its layout has a fabric.
    sights : node row -> what of its pools that reads. disturbed : int64 (N,), how often slices of the node
    itself changed or went, for the state to set.
    """

    def __init__(self, nodes: int, width: int = 8) -> None:
        self.width = width
        self.rows: Rows = np.full((nodes, width), -1, np.int32)
        self.free: Bytes = np.zeros((nodes, width // 8), np.uint8)
        self.bits: list[int] = [0] * nodes
        self.count: Counts = np.zeros(nodes, np.int64)
        self.vacant: Counts = np.zeros(nodes, np.int64)
        self.disturbed: Counts = np.zeros(nodes, np.int64)
        self.layout: Rows = np.zeros(nodes, np.int32)
        self.layouts: list[Layout] = []
        self.problems: dict[int, tuple[str, ...]] = {}
        self.intricate: Mask = np.zeros(nodes, np.bool_)
        self.partitioned: Mask = np.zeros(nodes, np.bool_)
        self.sights: dict[int, Sight] = {}
        self._layout_index: dict[Layout, int] = {}
        self._places: dict[int, list[tuple[int, int]]] = {}

    def reserve(self, nodes: int) -> None:
        """Make room for so many nodes."""
        if nodes > len(self.rows):
            self._grow_nodes(nodes)

    def put(self, node: int, devices: Sequence[int], layout: Layout, sight: "Sight", taken: Mask) -> None:
        """Set what a node sees."""
        self.clear(node)
        count = len(devices)
        if count > self.width:
            self._grow_width(-(-count // 8) * 8)
        row = np.asarray(devices, np.int32)
        self.rows[node, :count] = row
        self.count[node] = count
        free = np.zeros(self.width, np.bool_)
        free[:count] = ~taken[row]
        free[list(sight.foreign)] = False
        self.free[node] = pack(free)
        self.bits[node] = int.from_bytes(self.free[node].tobytes(), "little")
        self.vacant[node] = self.bits[node].bit_count()
        for position, device in enumerate(devices):
            if position not in sight.foreign:
                self._places.setdefault(device, []).append((node, position))
        index = self._layout_index.get(layout)
        if index is None:
            index = self._layout_index[layout] = len(self.layouts)
            self.layouts.append(layout)
        self.layout[node] = index
        self.sights[node] = sight
        self.intricate[node] = sight.intricate
        self.partitioned[node] = bool(layout.fabric)
        if sight.problems:
            self.problems[node] = sight.problems

    def clear(self, node: int) -> None:
        """Empty a node's bay."""
        for device in self.rows[node]:
            if device >= 0:
                places = [place for place in self._places.pop(int(device), ()) if place[0] != node]
                if places:
                    self._places[int(device)] = places
        self.rows[node] = -1
        self.free[node] = 0
        self.bits[node] = 0
        self.count[node] = self.vacant[node] = self.disturbed[node] = 0
        self.problems.pop(node, None)
        self.intricate[node] = False
        self.partitioned[node] = False
        self.sights.pop(node, None)

    def mark(self, device: int, *, free: bool) -> list[int]:
        """Set one device free or taken in every bay that shows it; returns those nodes."""
        touched = []
        for node, position in self._places.get(device, ()):
            bits = self.bits[node]
            bits = self.bits[node] = bits | 1 << position if free else bits & ~(1 << position)
            self.vacant[node] = bits.bit_count()
            self.free[node, position // 8] = bits >> (position & ~7) & 255
            touched.append(node)
        return touched

    def nodes_of(self, device: int) -> list[int]:
        """The nodes whose bays show a device."""
        return [node for node, _ in self._places.get(device, ())]

    def _grow_nodes(self, nodes: int) -> None:
        extra = nodes - len(self.rows)
        self.rows = np.concatenate([self.rows, np.full((extra, self.width), -1, np.int32)])
        self.free = np.concatenate([self.free, np.zeros((extra, self.width // 8), np.uint8)])
        self.bits.extend([0] * extra)
        self.count = np.concatenate([self.count, np.zeros(extra, np.int64)])
        self.vacant = np.concatenate([self.vacant, np.zeros(extra, np.int64)])
        self.disturbed = np.concatenate([self.disturbed, np.zeros(extra, np.int64)])
        self.layout = np.concatenate([self.layout, np.zeros(extra, np.int32)])
        self.intricate = np.concatenate([self.intricate, np.zeros(extra, np.bool_)])
        self.partitioned = np.concatenate([self.partitioned, np.zeros(extra, np.bool_)])

    def _grow_width(self, width: int) -> None:
        nodes = len(self.rows)
        self.rows = np.concatenate([self.rows, np.full((nodes, width - self.width), -1, np.int32)], axis=1)
        self.free = np.concatenate([self.free, np.zeros((nodes, (width - self.width) // 8), np.uint8)], axis=1)
        self.width = width
