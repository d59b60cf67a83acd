"""Which node is best, kept up to date row by row."""

import numpy as np

from scoring.arrays import Counts, Mask, Rows

_BLOCK = 64  # nodes that share a maximum: finding the best looks at one value a block, and at one block
_FEW = 12  # nodes up to which one after the other is faster than columns
_ORDER_BITS, _KEPT_BITS = 56, 32
_LAST = (1 << _KEPT_BITS) - 1


class Ranking:
    """Ranks of nodes, higher is better, -1 where the pod does not fit; among equals the first in a fixed order.

    `size` is a multiple of 64, as that of the node table. fitting : how many nodes fit.
    """

    def __init__(self, size: int) -> None:
        # A rank and the start of the node's order in one number. Where that is equal, the whole order decides.
        self._keys: Counts = np.full(size, -1, np.int64)
        self._blocks = self._keys.reshape(-1, _BLOCK)
        self._tops: Counts = np.full(size // _BLOCK, -1, np.int64)
        self._hidden: Counts = np.zeros(0, np.int64)  # keys of nodes that are hidden, once any was
        self.fitting = 0

    def put(self, rows: Rows, ranks: Counts, order: Counts) -> None:
        """Set the ranks of these nodes; order : int64 (N,), smaller first, of all nodes, at most 56 bits."""
        keys = (ranks << _KEPT_BITS) + (_LAST - (order[rows] >> (_ORDER_BITS - _KEPT_BITS)))
        keys[ranks < 0] = -1
        if len(rows) <= _FEW:
            for row, key in zip(rows.tolist(), keys.tolist(), strict=True):
                self._put(row, key)
            return
        self.fitting += int(np.count_nonzero(keys >= 0)) - int(np.count_nonzero(self._keys[rows] >= 0))
        self._keys[rows] = keys
        if len(rows) < len(self._tops):
            touched = rows // _BLOCK
            self._tops[touched] = self._blocks[touched].max(axis=1)
        else:
            self._tops = self._blocks.max(axis=1)

    def put_one(self, row: int, rank: int, order: int) -> None:
        """Set the rank of one node; order : its own."""
        self._put(row, (rank << _KEPT_BITS) + (_LAST - (order >> (_ORDER_BITS - _KEPT_BITS))) if rank >= 0 else -1)

    def _put(self, row: int, key: int) -> None:
        before = int(self._keys[row])
        self.fitting += (key >= 0) - (before >= 0)
        self._set(row, before, key)

    def hide(self, rows: Rows) -> None:
        """The pod does not fit on these nodes for now; their ranks are kept."""
        if not len(self._hidden):
            self._hidden = np.full(len(self._keys), -1, np.int64)
        keys = self._keys[rows]
        self._hidden[rows] = keys
        self._keys[rows] = -1
        self.fitting -= int(np.count_nonzero(keys >= 0))
        self._tops = self._blocks.max(axis=1)

    def show(self, rows: Rows) -> None:
        """These nodes have the ranks again that they had when they were hidden."""
        keys = self._hidden[rows]
        self._keys[rows] = keys
        self.fitting += int(np.count_nonzero(keys >= 0))
        self._tops = self._blocks.max(axis=1)

    @property
    def fits(self) -> Mask:
        """bool (size,), where the pod fits."""
        found: Mask = self._keys >= 0
        return found

    def clear(self) -> None:
        """No node fits."""
        self._keys[:] = self._tops[:] = -1
        self.fitting = 0

    def rank(self, row: int) -> int:
        """Of one node."""
        return int(self._keys[row]) >> _KEPT_BITS

    def ranks(self, rows: Rows) -> Counts:
        """Of these nodes."""
        found: Counts = self._keys[rows] >> _KEPT_BITS
        return found

    def top(self, count: int, order: Counts) -> list[int]:
        """The best nodes, at most so many, best first."""
        fitting = np.flatnonzero(self._keys >= 0)
        if len(fitting) > count:
            least = np.partition(self._keys[fitting], len(fitting) - count)[len(fitting) - count]
            fitting = fitting[self._keys[fitting] >= least]
        ordered: list[int] = fitting[np.lexsort((order[fitting], -self._keys[fitting]))].tolist()
        return ordered[:count]

    def best(self, order: Counts) -> tuple[int | None, int | None]:
        """The best node and the next best."""
        first = self._first(order)
        if first is None:
            return None, None
        kept = int(self._keys[first])
        self._set(first, kept, -1)
        second = self._first(order)
        self._set(first, -1, kept)
        return first, second

    def _first(self, order: Counts) -> int | None:
        block = int(self._tops.argmax())
        highest = self._tops[block]
        if highest < 0:
            return None
        within = self._blocks[block] == highest
        if np.count_nonzero(self._tops == highest) == 1 and np.count_nonzero(within) == 1:
            return block * _BLOCK + int(within.argmax())
        tied = np.flatnonzero(self._keys == highest)
        return int(tied[np.argmin(order[tied])])

    def _set(self, row: int, before: int, key: int) -> None:
        self._keys[row] = key
        block = row // _BLOCK
        top = self._tops[block]
        if key >= top:
            self._tops[block] = key
        elif before == top:
            self._tops[block] = self._blocks[block].max()
