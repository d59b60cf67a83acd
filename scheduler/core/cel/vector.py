"""A checked tree over the columns of a DeviceTable.

Columns are dictionary-encoded, so whatever reads one column is computed once per distinct value, kept in a table by
code, and gathered. `&&`, `||`, `!` and `? :` then combine whole arrays of verdicts. A part that reads several columns
at once is computed once per distinct combination of their codes. Verdicts are the three of `rowwise`: with false <
error < true, `&&` is the minimum, `||` the maximum, and an error is absorbed exactly when CEL says so.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scheduler.core.cel.rowwise import ABSENT_VALUE, ERROR, TRUE, Rowwise, plain
from scheduler.core.cel.syntax import DRIVER, Call, Choice, Key, Logic, Node
from scheduler.core.columns import ABSENT, Column, DeviceTable
from scoring.arrays import Rows

Verdict = NDArray[np.uint8]
Selection = slice | Rows
Codes = NDArray[np.intp]
K = TypeVar("K")
V = TypeVar("V")
_UNKNOWN = 255
_DENSE = 1 << 18  # combinations of codes up to which a table of all of them is kept
_SEEN = 1 << 18  # combinations that are remembered singly where there are too many for such a table
_TABLES = 8  # sets of columns (tables of devices) that a leaf remembers


class _View:
    """The columns of one table as one evaluation sees them."""

    def __init__(self, table: DeviceTable, rows: Selection) -> None:
        self._table = table
        self._rows = rows
        self.count = len(table.live[rows])
        self._codes: dict[Key, Codes | None] = {}

    def values(self, key: Key) -> Sequence[object]:
        """Distinct values by code; the list of a column only ever grows."""
        column = self._column(key)
        if column is not None:
            return column.values
        return (True,) if key[0].endswith(" domain") else ()

    def codes(self, key: Key) -> Codes | None:
        """Codes of the rows, None if no device has such a value."""
        if key not in self._codes:
            self._codes[key] = self._presence(key) if key[0].endswith(" domain") else self._gather(key)
        return self._codes[key]

    def _column(self, key: Key) -> Column[object] | None:
        kind, name = key
        if key == DRIVER:
            return self._table.drivers  # type: ignore[return-value]
        if kind.endswith(" domain"):
            return None
        columns = self._table.attributes if kind == "attribute" else self._table.capacity
        return columns.get(name)  # type: ignore[return-value]

    def _gather(self, key: Key) -> Codes | None:
        column = self._column(key)
        # numpy gathers by its own index type three times as fast as by int32.
        return None if column is None else column.codes[self._rows].astype(np.intp)

    def _presence(self, key: Key) -> Codes | None:
        """A column of its own: code 0 where the device has anything in the domain."""
        columns = self._table.attributes if key[0] == "attribute domain" else self._table.capacity
        found = np.zeros(self.count, np.bool_)
        for name, column in columns.items():
            if name.rpartition("/")[0] == key[1]:
                found |= column.codes[self._rows] != ABSENT
        return np.where(found, np.intp(0), np.intp(ABSENT))


class Constant:
    """The same verdict for every device."""

    def __init__(self, node: Node, rowwise: Rowwise) -> None:
        self._verdict = rowwise.truth(node)(rowwise.row([]))

    def evaluate(self, view: _View) -> Verdict:
        """Verdicts of the view's rows."""
        return np.full(view.count, self._verdict, np.uint8)


class Lookup:
    """A part that reads one column: verdict by code, and one for absence at the end, where code -1 finds it."""

    def __init__(self, node: Node, rowwise: Rowwise) -> None:
        self._key = rowwise.keys[0]
        self._rowwise = rowwise
        self._truth = rowwise.truth(node)
        self._absent = self._truth(rowwise.row([ABSENT_VALUE]))
        self._tables: OrderedDict[int, tuple[Sequence[object], Verdict]] = OrderedDict()

    def evaluate(self, view: _View) -> Verdict:
        """Verdicts of the view's rows."""
        codes = view.codes(self._key)
        if codes is None:
            return np.full(view.count, self._absent, np.uint8)
        return self._table(view.values(self._key))[codes]

    def _table(self, values: Sequence[object]) -> Verdict:
        # The list stands for the column: snapshots share it, and holding it here keeps its id from being used again.
        held = self._tables.get(id(values))
        known = len(held[1]) - 1 if held is not None else 0
        if held is not None and known == len(values):
            return held[1]
        row, truth = self._rowwise.row, self._truth
        fresh = [truth(row([plain(value)])) for value in values[known:]]
        old = held[1][:-1] if held is not None else np.empty(0, np.uint8)
        verdicts = np.concatenate([old, np.array([*fresh, self._absent], np.uint8)])
        _remember(self._tables, id(values), (values, verdicts))
        return verdicts


class Combination:
    """A part that reads several columns: verdict by combination of codes, computed when first met."""

    def __init__(self, node: Node, rowwise: Rowwise) -> None:
        self._keys = rowwise.keys
        self._rowwise = rowwise
        self._truth = rowwise.truth(node)
        self._tables: OrderedDict[tuple[int, ...], tuple[list[Sequence[object]], tuple[int, ...], Verdict]] = (
            OrderedDict()
        )
        self._seen: OrderedDict[tuple[int, ...], tuple[list[Sequence[object]], dict[tuple[int, ...], int]]] = (
            OrderedDict()
        )

    def evaluate(self, view: _View) -> Verdict:
        """Verdicts of the view's rows."""
        columns = [view.codes(key) for key in self._keys]
        codes = [np.full(view.count, ABSENT, np.intp) if column is None else column for column in columns]
        values = [view.values(key) for key in self._keys]
        # Room for growth, in powers of two, so that new values seldom make a new table; the last place is absence.
        sizes = tuple(1 << (len(each) + 1).bit_length() for each in values)
        room = 1
        for size in sizes:
            room *= size
        return self._dense(codes, values, sizes, room) if room <= _DENSE else self._sparse(codes, values)

    def _dense(self, codes: list[Codes], values: list[Sequence[object]], sizes: tuple[int, ...], room: int) -> Verdict:
        identity = tuple(id(each) for each in values)
        held = self._tables.get(identity)
        if held is None or held[1] != sizes:
            held = (values, sizes, np.full(room, _UNKNOWN, np.uint8))
            _remember(self._tables, identity, held)
        verdicts = held[2]
        place = codes[0] + 1
        for column, size in zip(codes[1:], sizes[1:], strict=True):
            place = place * size + (column + 1)
        found: Verdict = verdicts[place]
        unknown = np.flatnonzero(found == _UNKNOWN)
        if len(unknown):
            fresh, first = np.unique(place[unknown], return_index=True)
            verdicts[fresh] = [self._at(codes, values, row) for row in unknown[first].tolist()]
            found = verdicts[place]
        return found

    def _sparse(self, codes: list[Codes], values: list[Sequence[object]]) -> Verdict:
        place = codes[0] + 1
        for column in codes[1:]:
            _, place = np.unique(place, return_inverse=True)
            place = place * (int(column.max(initial=0)) + 2) + (column + 1)
        _, first, inverse = np.unique(place, return_index=True, return_inverse=True)
        identity = tuple(id(each) for each in values)
        held = self._seen.get(identity)
        if held is None or len(held[1]) > _SEEN:
            held = (values, {})
            _remember(self._seen, identity, held)
        seen = held[1]
        verdicts = np.empty(len(first), np.uint8)
        combinations = zip(*(column[first].tolist() for column in codes), strict=True)
        for i, combination in enumerate(combinations):
            verdict = seen.get(combination)
            if verdict is None:
                verdict = seen[combination] = self._at(codes, values, int(first[i]))
            verdicts[i] = verdict
        return verdicts[inverse]

    def _at(self, codes: list[Codes], values: list[Sequence[object]], row: int) -> int:
        picked = [
            ABSENT_VALUE if column[row] == ABSENT else plain(each[column[row]])
            for column, each in zip(codes, values, strict=True)
        ]
        return self._truth(self._rowwise.row(picked))


class Combined:
    """`&&` or `||` of parts."""

    def __init__(self, name: str, parts: list["Part"]) -> None:
        self._combine = np.minimum if name == "&&" else np.maximum
        self._parts = parts

    def evaluate(self, view: _View) -> Verdict:
        """Verdicts of the view's rows."""
        result = self._parts[0].evaluate(view)
        for part in self._parts[1:]:
            result = self._combine(result, part.evaluate(view))
        return result


class Negation:
    """`!` of a part."""

    def __init__(self, part: "Part") -> None:
        self._part = part

    def evaluate(self, view: _View) -> Verdict:
        """Verdicts of the view's rows."""
        return np.uint8(TRUE) - self._part.evaluate(view)


class Branch:
    """`test ? yes : no` of parts."""

    def __init__(self, test: "Part", yes: "Part", no: "Part") -> None:
        self._test, self._yes, self._no = test, yes, no

    def evaluate(self, view: _View) -> Verdict:
        """Verdicts of the view's rows."""
        test = self._test.evaluate(view)
        chosen = np.where(test == TRUE, self._yes.evaluate(view), self._no.evaluate(view))
        return np.where(test == ERROR, np.uint8(ERROR), chosen)


Part = Constant | Lookup | Combination | Combined | Negation | Branch


def plan(node: Node, slots: int) -> Part:
    """The parts that evaluate a node, which must be `vector`."""
    keys = tuple(sorted(node.reads))
    if len(keys) > 1:
        match node:
            case Logic():
                return _plan_logic(node, slots)
            case Call(name="!_"):
                return Negation(plan(node.arguments[0], slots))
            case Choice():
                return Branch(plan(node.test, slots), plan(node.yes, slots), plan(node.no, slots))
    kind = (Constant, Lookup, Combination)[min(len(keys), 2)]
    return kind(node, Rowwise(keys, slots))


def _plan_logic(node: Logic, slots: int) -> Part:
    """Operands that read the same one column become one lookup; their order does not matter to the result."""
    groups: dict[object, list[Node]] = {}
    for argument in _flat(node):
        alone = len(argument.reads) > 1
        groups.setdefault(id(argument) if alone else argument.reads, []).append(argument)
    parts: list[Part] = []
    for members in groups.values():
        merged = members[0]
        if len(members) > 1:
            merged = Logic(type="bool", name=node.name, arguments=tuple(members), reads=merged.reads)
        parts.append(plan(merged, slots))
    return Combined(node.name, parts)


def _flat(node: Logic) -> list[Node]:
    flat: list[Node] = []
    for argument in node.arguments:
        if isinstance(argument, Logic) and argument.name == node.name:
            flat.extend(_flat(argument))
        else:
            flat.append(argument)
    return flat


def _remember(tables: "OrderedDict[K, V]", key: K, value: V) -> None:
    tables[key] = value
    tables.move_to_end(key)
    if len(tables) > _TABLES:
        tables.popitem(last=False)


def evaluate(part: Part, table: DeviceTable, rows: Selection) -> Verdict:
    """Verdicts of the rows."""
    return part.evaluate(_View(table, rows))
