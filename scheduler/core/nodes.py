"""Nodes as columns: labels, taints and resources of every node, one row a node."""

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from scheduler.core.columns import ABSENT, Column
from scheduler.core.images import Images
from scheduler.core.model import PREFER_NO_SCHEDULE, Node, Resources, Taint
from scheduler.core.residents import Residents
from scoring.arrays import Counts, Mask, Rows

if TYPE_CHECKING:
    from scheduler.core.volumes import Volumes

T = TypeVar("T")


class Changes:
    """Which rows changed, in order; every reader keeps its own position.

    A reader that fell too far behind is told that everything changed, so the log stays short.
    """

    __slots__ = ("_log", "_start")

    LIMIT = 50_000

    def __init__(self) -> None:
        self._log: list[int] = []
        self._start = 0

    @property
    def position(self) -> int:
        """Where the log ends now."""
        return self._start + len(self._log)

    def mark(self, row: int) -> None:
        """Note that a row changed."""
        if len(self._log) >= self.LIMIT:
            self._start += len(self._log)
            self._log = []
        self._log.append(row)

    def since(self, position: int) -> list[int] | None:
        """Distinct rows changed since a position, ascending; None means any may have."""
        if position < self._start:
            return None
        found = self._log[position - self._start :]
        return sorted(set(found)) if len(found) > 1 else found


def preference(seed: int, name: str) -> int:
    """Where a node stands among equals: a fixed order that the seed shuffles, the same on every machine."""
    digest = hashlib.blake2b(name.encode(), digest_size=7, key=seed.to_bytes(8, "big", signed=True)).digest()
    return int.from_bytes(digest, "big")


class NodeTable:
    """All nodes.

    live, unschedulable, owned : bool (rows,).
    labels : label key -> column of values. taints : column of whole taint lists.
    allocatable, used : resource name -> int64 (rows,), units as in core/model. `pods` counts pods.
    order : int64 (rows,), rank among equal nodes, smaller first, 56 bits. size : of all columns, a multiple of 64.
    unstated : of cpu and memory what pods are taken for that say nothing. discouraged : rows with soft taints.
    changes : rows of which anything changed. remade : those of which more changed than what is in use.
    residents : the pods that stand on them. volumes : what is known of storage, for pods that use it; State sets it.
    """

    SPARE_VALUES = 64  # of a label, beyond twice as many as there are nodes
    MAX_KNOWN = 256  # things that are remembered of nodes as they are
    volumes: "Volumes"

    def __init__(self, seed: int = 0, size: int = 64) -> None:
        self.size = size
        self.rows: dict[str, int] = {}
        self.nodes: list[Node | None] = [None] * size
        self.live: Mask = np.zeros(size, np.bool_)
        self.unschedulable: Mask = np.zeros(size, np.bool_)
        self.owned: Mask = np.zeros(size, np.bool_)
        self.order: Counts = np.zeros(size, np.int64)
        self.labels: dict[str, Column[str]] = {}
        self.taints: Column[tuple[Taint, ...]] = Column(size)
        self.allocatable: dict[str, Counts] = {}
        self.used: dict[str, Counts] = {}
        self.unstated: dict[str, Counts] = {}
        self.images = Images(size)
        self.discouraged: set[int] = set()
        self.changes = Changes()
        self.remade = Changes()
        self.residents = Residents(size)
        self._left: dict[str, Counts] = {}  # allocatable minus used
        self._known: dict[Hashable, object] = {}
        self._known_at = 0
        self._seed = seed
        self._free = list(range(size - 1, -1, -1))

    def put(self, node: Node, *, owned: bool) -> int:
        """Add or replace a node; returns its row."""
        row = self.rows.get(node.name)
        if row is None:
            if not self._free:
                self._grow(2 * self.size)
            row = self.rows[node.name] = self._free.pop()
            self.order[row] = preference(self._seed, node.name)
            self.images.counted()
        before = self.nodes[row]
        self.nodes[row] = node
        self.live[row] = True
        self.unschedulable[row] = node.unschedulable
        self.owned[row] = owned
        self.taints.write(row, self.taints.code(node.taints))
        self._discourage(row, node.taints)
        self.images.put(row, before.images if before else (), node.images)
        self._write_labels(row, before.labels if before else {}, node.labels)
        self._write_resources(self.allocatable, row, node.allocatable)
        self.remake(row)
        return row

    def drop(self, name: str) -> int | None:
        """Take a node out; returns the row that it had."""
        row = self.rows.pop(name, None)
        if row is None:
            return None
        node = self.nodes[row]
        self._write_labels(row, node.labels if node else {}, {})
        self._write_resources(self.allocatable, row, {})
        self._write_resources(self.used, row, {})
        for column in self.unstated.values():
            column[row] = 0
        self._discourage(row, ())
        self.images.put(row, node.images if node else (), ())
        self.images.counted()
        self.nodes[row] = None
        self.live[row] = False
        self.remake(row)
        self._free.append(row)
        return row

    def remake(self, row: int) -> None:
        """Note that more of a node changed than what is in use."""
        self.changes.mark(row)
        self.remade.mark(row)

    def known(self, key: Hashable, find: Callable[[], T]) -> T:
        """What is found of nodes as they are, use aside: looked for once while none of them is remade."""
        if self._known_at != self.remade.position or len(self._known) > self.MAX_KNOWN:
            self._known.clear()
            self._known_at = self.remade.position
        if key not in self._known:
            self._known[key] = find()
        found: T = self._known[key]  # type: ignore[assignment]
        return found

    def use(self, row: int, requests: Resources, sign: int) -> None:
        """Charge (sign 1) or give back (sign -1) what one pod requests, the pod itself included."""
        for name, amount in (*requests.items(), ("pods", 1)):
            column = self.used.get(name)
            if column is None:
                column = self.used[name] = np.zeros(self.size, np.int64)
                self._left.setdefault(name, np.zeros(self.size, np.int64))
            column[row] += sign * amount
            self._left[name][row] -= sign * amount
        self.changes.mark(row)

    def add_unstated(self, row: int, amounts: Resources, sign: int) -> None:
        """Note (sign 1) or forget (sign -1) what one pod is taken for beyond what it requests."""
        for name, amount in amounts.items():
            if name not in self.unstated:
                self.unstated[name] = np.zeros(self.size, np.int64)
            self.unstated[name][row] += sign * amount

    def _discourage(self, row: int, taints: Sequence[Taint]) -> None:
        if any(taint.effect == PREFER_NO_SCHEDULE for taint in taints):
            self.discouraged.add(row)
        else:
            self.discouraged.discard(row)

    def left(self, resource: str, rows: Rows) -> Counts:
        """What is allocatable and not used on these nodes, int64 (len(rows),)."""
        return self.amounts(self._left, resource, rows)

    def left_at(self, resource: str, row: int) -> int:
        """`left` of one node."""
        found = self._left.get(resource)
        return 0 if found is None else found.item(row)

    def used_at(self, resource: str, row: int) -> int:
        """What is used on one node."""
        found = self.used.get(resource)
        return 0 if found is None else found.item(row)

    def amounts(self, table: Mapping[str, Counts], resource: str, rows: Rows) -> Counts:
        """A resource column at these rows; zeros for a resource that no node has."""
        found = table.get(resource)
        return np.zeros(len(rows), np.int64) if found is None else found.take(rows)

    def offered(self, resource: str) -> bool:
        """Whether any node has the resource."""
        found = self.allocatable.get(resource)
        return found is not None and bool(found.any())

    def offers(self, resources: Sequence[str]) -> list[tuple[bool, ...]]:
        """Which of these resources nodes have, as distinct combinations; if there are no nodes, none of them."""
        if not any(self.offered(name) for name in resources):
            return [(False,) * len(resources)]
        rows = np.flatnonzero(self.live).astype(np.int32)
        had = np.stack([self.amounts(self.allocatable, name, rows) > 0 for name in resources], axis=1)
        return [tuple(row) for row in np.unique(had, axis=0).tolist()]

    def _write_labels(self, row: int, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        for key in before:
            if key not in after:
                gone = self.labels[key]
                gone.write(row, ABSENT)
                if (gone.codes == ABSENT).all():
                    del self.labels[key]
        for key, value in after.items():
            if before.get(key) == value:
                continue
            column = self.labels.get(key)
            if column is None:
                column = self.labels[key] = Column(self.size)
            column.write(row, column.code(value))
            if len(column.values) > 2 * len(self.rows) + self.SPARE_VALUES:
                self.labels[key] = column.in_use()  # whoever keeps codes keeps `remade.position` with them

    def _write_resources(self, table: dict[str, Counts], row: int, amounts: Resources) -> None:
        for name in amounts:
            if name not in table:
                table[name] = np.zeros(self.size, np.int64)
                self._left.setdefault(name, np.zeros(self.size, np.int64))
        sign = 1 if table is self.allocatable else -1
        for name, column in table.items():
            amount = amounts.get(name, 0)
            self._left[name][row] += sign * (amount - column[row])
            column[row] = amount

    def _grow(self, size: int) -> None:
        extra = size - self.size

        def longer(column: Counts) -> Counts:
            return np.concatenate([column, np.zeros(extra, np.int64)])

        self.live = np.concatenate([self.live, np.zeros(extra, np.bool_)])
        self.unschedulable = np.concatenate([self.unschedulable, np.zeros(extra, np.bool_)])
        self.owned = np.concatenate([self.owned, np.zeros(extra, np.bool_)])
        self.order = longer(self.order)
        self.allocatable = {name: longer(column) for name, column in self.allocatable.items()}
        self.used = {name: longer(column) for name, column in self.used.items()}
        self.unstated = {name: longer(column) for name, column in self.unstated.items()}
        self.images.grow(size)
        self._left = {name: longer(column) for name, column in self._left.items()}
        for column in self.labels.values():
            column.grow(size)
        self.taints.grow(size)
        self.residents.grow(size)
        self.nodes.extend([None] * extra)
        self._free = list(range(size - 1, self.size - 1, -1))
        self.size = size
