"""A checked tree over the columns of a DeviceTable.

Columns are dictionary-encoded, so whatever reads one column is computed once per distinct value, kept in a table by
code, and gathered. `&&`, `||`, `!` and `? :` then combine whole arrays of verdicts. A part that reads several columns
at once is computed once per distinct combination of their codes. With false < error < true, `&&` is the minimum, `||`
the maximum, and an error is absorbed exactly when CEL says so. What nothing may absorb (`Abort`) marks its rows, and
whoever asked evaluates those by themselves.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from scheduler.core.cel.program import Program, value_of
from scheduler.core.cel.reads import DRIVER, MULTIPLE, Key, reads_of
from scheduler.core.cel.scalar import Frame, Planner, verdict_of
from scheduler.core.cel.tree import Call, Fold, Node
from scheduler.core.cel.values import Abort, Domains, Failure, Fields
from scheduler.core.columns import ABSENT, Column, DeviceTable
from scoring.arrays import Mask, Rows

FALSE, ERROR, TRUE, ABORT = 0, 1, 2, 3

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
    """The columns of one table as one evaluation sees them.

    aborted : the rows whose evaluation ended in some part; None while there are none.
    evaluated : distinct values that had to be looked at.
    """

    def __init__(self, table: DeviceTable, rows: Selection) -> None:
        self._table = table
        self._rows = rows
        self.count = len(table.live[rows])
        self.aborted: Mask | None = None
        self.evaluated = 0
        self._codes: dict[Key, Codes | None] = {}

    def settle(self, verdicts: Verdict) -> Verdict:
        """Marks the rows that ended, and calls them errors."""
        ended: Mask = verdicts == ABORT
        if not ended.any():
            return verdicts
        self.aborted = ended if self.aborted is None else self.aborted | ended
        return np.where(ended, np.uint8(ERROR), verdicts)

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
        if key == MULTIPLE:
            return self._table.shareable  # type: ignore[return-value]
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


class Leaf:
    """An expression as a function of the values of `keys`."""

    def __init__(self, node: Node, keys: tuple[Key, ...], *, final: bool) -> None:
        self.keys = keys
        planner = Planner()
        self._step = planner.plan(node)
        self._slots = planner.slots
        self._final = final  # the result of the selector, which may be an optional value of a bool
        self._places = [(kind.partition(" ")[0], *name.rpartition("/")[::2]) for kind, name in keys]

    def truth(self, values: Sequence[Any]) -> int:
        """FALSE, ERROR, TRUE or ABORT for these values; a value that is not bool is an error."""
        driver, shareable = "", False
        parts = {"attribute": dict[str, dict[str, Any]](), "capacity": dict[str, dict[str, Any]]()}
        for (kind, domain, identifier), (key_kind, key_name), value in zip(
            self._places, self.keys, values, strict=True
        ):
            if value is _MISSING:
                continue
            if kind == "driver":
                driver = value
            elif kind == "multiple":
                shareable = value
            elif key_kind.endswith(" domain"):
                parts[kind].setdefault(key_name, {})
            elif kind in parts:
                parts[kind].setdefault(domain, {})[identifier] = value_of(value)
        device = Fields({
            "driver": driver, "allowMultipleAllocations": shareable,
            "attributes": Domains({name: Fields(held) for name, held in parts["attribute"].items()}),
            "capacity": Domains({name: Fields(held) for name, held in parts["capacity"].items()}),
        })  # fmt: skip
        try:
            found = self._step.run(Frame(device, self._slots))
            if self._final:
                found = verdict_of(found)
        except Failure:
            return ERROR
        except Abort:
            return ABORT
        if type(found) is not bool:
            return ERROR
        return TRUE if found else FALSE


class _Missing:
    __slots__ = ()


_MISSING: Final = _Missing()


class Constant:
    """The same verdict for every device."""

    def __init__(self, leaf: Leaf) -> None:
        self._verdict = leaf.truth(())

    def evaluate(self, view: _View) -> Verdict:
        """Verdicts of the view's rows."""
        return view.settle(np.full(view.count, self._verdict, np.uint8))


class Lookup:
    """A part that reads one column: verdict by code, and one for absence at the end, where code -1 finds it."""

    def __init__(self, leaf: Leaf) -> None:
        self._key = leaf.keys[0]
        self._truth = leaf.truth
        self._absent = self._truth((_MISSING,))
        self._aborts = self._absent == ABORT
        self._tables: OrderedDict[int, tuple[Sequence[object], Verdict]] = OrderedDict()

    def evaluate(self, view: _View) -> Verdict:
        """Verdicts of the view's rows."""
        codes = view.codes(self._key)
        if codes is None:
            found: Verdict = np.full(view.count, self._absent, np.uint8)
        else:
            values = view.values(self._key)
            verdicts = self._table(values)
            found = verdicts[codes]
            unknown = found == _UNKNOWN
            if unknown.any():
                fresh = np.unique(codes[unknown]).tolist()
                view.evaluated += len(fresh)
                verdicts[fresh] = [self._truth((values[code],)) for code in fresh]
                found = verdicts[codes]
                self._aborts = self._aborts or bool((found == ABORT).any())
        return view.settle(found) if self._aborts else found

    def _table(self, values: Sequence[object]) -> Verdict:
        """Verdicts by code as far as they are known, and that of absence at the end."""
        # The list stands for the column: snapshots share it, and holding it here keeps its id from being used again.
        held = self._tables.get(id(values))
        if held is not None and len(held[1]) > len(values):
            return held[1]
        old = held[1][:-1] if held is not None else np.empty(0, np.uint8)
        # Room for growth, so that new values seldom make a new table.
        verdicts = np.full(max(len(values) + len(values) // 4, 16) + 1, _UNKNOWN, np.uint8)
        verdicts[: len(old)] = old
        verdicts[-1] = self._absent
        _remember(self._tables, id(values), (values, verdicts))
        return verdicts


class Combination:
    """A part that reads several columns: verdict by combination of codes, computed when first met."""

    def __init__(self, leaf: Leaf) -> None:
        self._keys = leaf.keys
        self._truth = leaf.truth
        self._aborts = False
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
        found = self._dense(view, codes, values, sizes, room) if room <= _DENSE else self._sparse(view, codes, values)
        return view.settle(found) if self._aborts else found

    def _dense(
        self, view: _View, codes: list[Codes], values: list[Sequence[object]], sizes: tuple[int, ...], room: int
    ) -> Verdict:
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
            view.evaluated += len(fresh)
            verdicts[fresh] = [self._at(codes, values, row) for row in unknown[first].tolist()]
            found = verdicts[place]
        return found

    def _sparse(self, view: _View, codes: list[Codes], values: list[Sequence[object]]) -> Verdict:
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
                view.evaluated += 1
                verdict = seen[combination] = self._at(codes, values, int(first[i]))
            verdicts[i] = verdict
        return verdicts[inverse]

    def _at(self, codes: list[Codes], values: list[Sequence[object]], row: int) -> int:
        verdict = self._truth(
            [
                _MISSING if column[row] == ABSENT else each[column[row]]
                for column, each in zip(codes, values, strict=True)
            ]
        )
        self._aborts = self._aborts or verdict == ABORT
        return verdict


class Combined:
    """`&&` or `||` of parts."""

    def __init__(self, name: str, parts: list["Part"]) -> None:
        self._combine = np.minimum if name == "_&&_" else np.maximum
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


def plan(program: Program) -> Part:
    """The parts that evaluate a program, which must read nothing but columns."""
    return _plan(program.root, [], final=True)


def _plan(node: Node, binds: list[Fold], *, final: bool = False) -> Part:
    """Parts of a node that stands inside these `cel.bind`: they are written around every part anew."""
    keys = tuple(sorted(reads_of(_bound(node, binds)).keys))
    if len(keys) > 1:
        if isinstance(node, Fold) and node.binds():
            return _plan(node.result, [*binds, node], final=final)
        if isinstance(node, Call):
            if node.function in {"_&&_", "_||_"}:
                return _plan_logic(node, binds)
            if node.function == "!_":
                return Negation(_plan(node.arguments[0], binds))
            if node.function == "_?_:_":
                test, yes, no = node.arguments
                return Branch(_plan(test, binds), _plan(yes, binds, final=final), _plan(no, binds, final=final))
    kind = (Constant, Lookup, Combination)[min(len(keys), 2)]
    return kind(Leaf(_bound(node, binds), keys, final=final))


def _bound(node: Node, binds: list[Fold]) -> Node:
    for bind in reversed(binds):
        parts = (bind.start, bind.condition, bind.step)
        node = Fold(bind.id, bind.items, bind.variable, None, bind.accumulator, *parts, node, bind.at)
    return node


def _plan_logic(node: Call, binds: list[Fold]) -> Part:
    """Operands that read the same one column become one lookup; their order does not matter to the result."""
    groups: dict[object, list[Node]] = {}
    for argument in _flat(node, node.function):
        keys = reads_of(_bound(argument, binds)).keys
        groups.setdefault(id(argument) if len(keys) > 1 else keys, []).append(argument)
    parts: list[Part] = []
    for members in groups.values():
        merged = members[0]
        for member in members[1:]:
            merged = Call(-1, node.function, (merged, member))
        parts.append(_plan(merged, binds))
    return Combined(node.function, parts)


def _flat(node: Node, function: str) -> list[Node]:
    if isinstance(node, Call) and node.function == function:
        return [each for argument in node.arguments for each in _flat(argument, function)]
    return [node]


def _remember(tables: "OrderedDict[K, V]", key: K, value: V) -> None:
    tables[key] = value
    tables.move_to_end(key)
    if len(tables) > _TABLES:
        tables.popitem(last=False)


def evaluate(part: Part, table: DeviceTable, rows: Selection) -> tuple[Verdict, Mask | None, int]:
    """(verdicts of the rows, those among them that have to be evaluated by themselves, values looked at)."""
    view = _View(table, rows)
    found = part.evaluate(view)
    return found, view.aborted, view.evaluated
