"""What a message changes in a table, read as a whole before any of it counts."""

from collections.abc import Sequence

from scoring.extender import codec
from scoring.extender.codec import InvalidError
from scoring.extender.limits import MAX_CHANGES, MAX_NODES
from scoring.extender.table import Node, NodeState, Table
from scoring.extender.v1 import scoring_pb2 as pb

Change = tuple[int, Node | NodeState | None]
"""A row, and what is there from now on; None: nothing."""


class _After:
    """The table as changes leave it, which it does not learn of yet."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._nodes: dict[int, Node | None] = {}
        self._rows: dict[str, int | None] = {}
        self.size = table.size

    def shared(self, row: int) -> Sequence[bool] | None:
        """Which devices of a node are shared; None where there is no node."""
        if row in self._nodes:
            node = self._nodes[row]
            return None if node is None else node.shared
        table = self._table
        if not table.live[row]:
            return None
        found: list[bool] = table.shared[row, : table.layouts[int(table.layout[row])].size].tolist()
        return found

    def holder(self, name: str) -> int | None:
        """The row of a node."""
        return self._rows[name] if name in self._rows else self._table.row_of.get(name)

    def put(self, row: int, node: Node | None) -> None:
        """A node, or none, in a row."""
        before = self._nodes.get(row)
        if before is not None:
            self._rows[before.name] = None
        elif row not in self._nodes and row < self._table.size:
            self._rows[self._table.names[row]] = None
        self._nodes[row] = node
        if node is not None:
            self._rows[node.name] = row
        self.size = max(self.size, row + 1)


def read(table: Table, request: pb.UpdateRequest) -> list[Change]:
    """The changes of a message, in order. Raises InvalidError if any of them cannot be used."""
    if len(request.changes) > MAX_CHANGES:
        raise InvalidError("len(changes)", len(request.changes), f"must be at most {MAX_CHANGES}")
    after = _After(table)
    return [_read(after, table, change, f"changes[{number}]") for number, change in enumerate(request.changes)]


def _read(after: _After, table: Table, change: pb.Change, field: str) -> Change:
    row, kind = change.row, change.WhichOneof("what")
    if row >= min(after.size + (kind == "node"), MAX_NODES):
        raise InvalidError(f"{field}.row", row, f"there are {after.size} rows, and {MAX_NODES} at most")
    if kind == "node":
        node = codec.node(change.node, f"{field}.node", table.layouts, len(table.products))
        holder = after.holder(node.name)
        if holder is not None and holder != row:
            raise InvalidError(f"{field}.node.name", node.name, f"is that of row {holder} as well")
        after.put(row, node)
        return row, node
    if kind == "state":
        shared = after.shared(row)
        if shared is None:
            raise InvalidError(f"{field}.row", row, "the node was removed; give a node")
        return row, codec.state(change.state, f"{field}.state", shared)
    if not change.removed:
        raise InvalidError(field, kind, "gives neither a state nor a node, nor is the node removed")
    after.put(row, None)
    return row, None
