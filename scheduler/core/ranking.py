"""Which node is best, kept up to date row by row."""

from bisect import bisect_left, insort

import numpy as np

from scoring.arrays import Counts, Mask, Rows

_LEADERS = 32  # nodes that are kept in order: the best of thousands change one by one, so most looks need no others
_FEW = 12  # nodes up to which one after the other is faster than columns
_ORDER_BITS, _KEPT_BITS = 56, 32
_LAST = (1 << _KEPT_BITS) - 1


class Ranking:
    """Ranks of nodes, higher is better, -1 where the pod does not fit; among equals the first in a fixed order.

    fitting : how many nodes fit.
    """

    def __init__(self, size: int) -> None:
        # A rank and the start of the node's order in one number. Where that is equal, the whole order decides.
        self._keys: Counts = np.full(size, -1, np.int64)
        # Every node whose key is `_floor` or higher, best first: (-key, order, row). None: to be made anew.
        self._leaders: list[tuple[int, int, int]] | None = None
        self._floor = 0
        self._hidden: Counts = np.zeros(0, np.int64)  # keys of nodes that are hidden, once any was
        self.fitting = 0

    def put(self, rows: Rows, ranks: Counts, order: Counts) -> None:
        """Set the ranks of these nodes; order : int64 (N,), smaller first, of all nodes, at most 56 bits."""
        if len(rows) <= _FEW:
            for row, rank in zip(rows.tolist(), ranks.tolist(), strict=True):
                self.put_one(row, rank, int(order[row]))
            return
        keys = (ranks << _KEPT_BITS) + (_LAST - (order[rows] >> (_ORDER_BITS - _KEPT_BITS)))
        keys[ranks < 0] = -1
        self.fitting += int(np.count_nonzero(keys >= 0)) - int(np.count_nonzero(self._keys[rows] >= 0))
        self._keys[rows] = keys
        self._leaders = None

    def put_one(self, row: int, rank: int, order: int) -> None:
        """Set the rank of one node; order : its own."""
        key = (rank << _KEPT_BITS) + (_LAST - (order >> (_ORDER_BITS - _KEPT_BITS))) if rank >= 0 else -1
        self._put_key(row, key, order)

    def hide(self, rows: Rows) -> None:
        """The pod does not fit on these nodes for now; their ranks are kept."""
        if not len(self._hidden):
            self._hidden = np.full(len(self._keys), -1, np.int64)
        keys = self._keys[rows]
        self._hidden[rows] = keys
        if len(rows) <= _FEW:
            for row in rows.tolist():
                self._put_key(row, -1, 0)
            return
        self._keys[rows] = -1
        self.fitting -= int(np.count_nonzero(keys >= 0))
        self._leaders = None

    def show(self, rows: Rows, order: Counts) -> None:
        """These nodes have the ranks again that they had when they were hidden; order : as in `put`, and as it was."""
        keys = self._hidden[rows]
        if len(rows) <= _FEW:
            for row, key in zip(rows.tolist(), keys.tolist(), strict=True):
                self._put_key(row, key, int(order[row]))
            return
        self._keys[rows] = keys
        self.fitting += int(np.count_nonzero(keys >= 0))
        self._leaders = None

    @property
    def fits(self) -> Mask:
        """bool (size,), where the pod fits."""
        found: Mask = self._keys >= 0
        return found

    def clear(self) -> None:
        """No node fits."""
        self._keys[:] = -1
        self._leaders = None
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
        rows = np.flatnonzero(self._keys >= self._least(count))
        ordered: list[int] = rows[np.lexsort((order[rows], -self._keys[rows]))].tolist()
        return ordered[:count]

    def best(self, order: Counts) -> tuple[int | None, int | None]:
        """The best node and the next best."""
        leaders = self._leaders
        if leaders is None or (len(leaders) < min(2, self.fitting)):
            self._floor = self._least(_LEADERS)
            rows = np.flatnonzero(self._keys >= self._floor)
            found = zip((-self._keys[rows]).tolist(), order[rows].tolist(), rows.tolist(), strict=True)
            leaders = self._leaders = sorted(found)
        first, second = (*leaders[:2], None, None)[:2]
        return first and first[2], second and second[2]

    def _put_key(self, row: int, key: int, order: int) -> None:
        before = self._keys.item(row)
        self._keys[row] = key
        self.fitting += (key >= 0) - (before >= 0)
        leaders, floor = self._leaders, self._floor
        if leaders is None:
            return
        if before >= floor:
            at = bisect_left(leaders, (-before,))
            while leaders[at][2] != row:
                at += 1
            del leaders[at]
        if key >= floor:
            insort(leaders, (-key, order, row))
            if len(leaders) > 2 * _LEADERS:
                self._floor = -leaders[_LEADERS - 1][0]
                del leaders[bisect_left(leaders, (1 - self._floor,)) :]

    def _least(self, count: int) -> int:
        """The key that so many nodes reach, or all that fit if these are fewer."""
        if self.fitting <= count:
            return 0
        return int(np.partition(self._keys, -count)[-count])
