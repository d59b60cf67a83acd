"""Compiled selectors."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from scheduler.core.cel import vector
from scheduler.core.cel.costs import LIMIT
from scheduler.core.cel.grammar import refusal
from scheduler.core.cel.program import MAX_LENGTH, Program, evaluate_scalar, program_of, room_for
from scheduler.core.cel.reads import DRIVER, EVERYTHING, MULTIPLE, Key, reads_of, steps_of
from scheduler.core.cel.vector import ERROR, TRUE
from scheduler.core.columns import ABSENT, Column, DeviceTable
from scheduler.core.errors import FaultError, SelectorError
from scheduler.core.model import AttributeValue, Version
from scheduler.core.quantity import Quantity, parse_quantity
from scoring.arrays import Mask, Rows

Selection = slice | Rows
MAX_VECTOR_STEPS: Final = 600
"""Costlier expressions are not evaluated here for every distinct value of a column, of which there may be thousands."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What a selector reads of a device.

    attributes, capacity : full names `domain/id`; `domain/*` where it asks for a whole domain.
    everything : it computes names, or looks at all domains.
    multiple : it asks for `device.allowMultipleAllocations`.
    """

    driver: bool
    attributes: frozenset[str]
    capacity: frozenset[str]
    everything: bool
    multiple: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """match, error : bool (n,), one for each row asked for; a row with an error does not match.

    evaluated : how many distinct values had to be looked at for that; all others were known.
    """

    match: Mask
    error: Mask
    evaluated: int
    _expression: str
    _table: DeviceTable
    _rows: Selection

    def problem(self, i: int) -> str:
        """Why the i-th row is an error; empty if it is not. Costs one evaluation by the scalar evaluator."""
        if not self.error[i]:
            return ""
        row = int(_row_numbers(self._table, self._rows)[i])
        driver, attributes, capacity, shareable = device_in(self._table, row)
        if not driver:
            return "no device stands in this row"
        try:
            evaluate_scalar(self._expression, driver, attributes, capacity, shareable)
        except SelectorError as error:
            return error.problem
        raise FaultError(f"selector {self._expression!r}: the two evaluators disagree on row {row}")


@dataclass(frozen=True, slots=True)
class Outline:
    """What has to be known of a selector to have others evaluate it: what it reads, and what that takes.

    steps : bounds what evaluating it on one device takes. problem : why it does not compile, empty if it does.
    """

    expression: str
    keys: frozenset[Key] = frozenset()
    steps: int = 0
    problem: str = ""

    def project(self, table: DeviceTable, rows: Selection) -> tuple[list[Hashable], Rows]:
        """(distinct tuples of what the selector reads, which of them each row has).

        The tuples are picklable and go to `evaluate_tuple`; equal tuples always get equal verdicts.
        """
        numbers = _row_numbers(table, rows)
        columns = self._columns(table)
        inverse = np.zeros(len(numbers), np.int64)
        for _, _, column in columns:
            codes = column.codes[numbers]
            inverse = inverse * (int(codes.max(initial=0)) + 2) + (codes + 1)
            _, inverse = np.unique(inverse, return_inverse=True)
        _, first, inverse = np.unique(inverse, return_index=True, return_inverse=True)
        return [_projected(columns, int(row)) for row in numbers[first]], inverse.astype(np.int32)

    def _columns(self, table: DeviceTable) -> list[tuple[str, str, Column[Any]]]:
        columns: list[tuple[str, str, Column[Any]]] = []
        if self._reads_key(DRIVER):
            columns.append(("driver", "", table.drivers))
        if self._reads_key(MULTIPLE):
            columns.append(("multiple", "", table.shareable))
        for kind, named in (("attribute", table.attributes), ("capacity", table.capacity)):
            columns.extend(
                (kind, name, column) for name, column in sorted(named.items()) if self._reads_key((kind, name))
            )
        return columns

    def _reads_key(self, key: Key) -> bool:
        kind, name = key
        return bool(self.keys & {key, EVERYTHING, (kind + " domain", name.rpartition("/")[0])})


class Selector:
    """A CEL device selector; made by `compile_selector`.

    steps : bounds what evaluating it on one device takes.
    max_cost : what an evaluation may cost at most in the units of Kubernetes' CEL budget; beyond `costs.LIMIT` the
        API server refuses to store it, and only the scalar evaluator, which counts, may judge a device.
    """

    def __init__(self, program: Program) -> None:
        self.expression = program.expression
        self.max_cost = program.max_cost
        with room_for(program.depth):
            reads = reads_of(program.root)
            self.steps = steps_of(program.root)
            self.vectorised = reads.columns and self.steps <= MAX_VECTOR_STEPS and self.max_cost <= LIMIT
            self.reads = _reads(reads.keys)
            self.outline = Outline(self.expression, reads.keys, self.steps)
            self._part = vector.plan(program) if self.vectorised else None

    def evaluate(self, table: DeviceTable, rows: Selection) -> Verdicts:
        """Verdicts for these rows (a slice without a step, or row numbers). Only for vectorised selectors."""
        if self._part is None:
            raise FaultError(f"selector {self.expression!r} has no vectorised form: use project and evaluate_tuple")
        verdict, alone, evaluated = vector.evaluate(self._part, table, rows)
        match, error = verdict == TRUE, verdict == ERROR
        if alone is not None:
            self._one_by_one(table, rows, np.flatnonzero(alone).astype(np.int32), match, error)
        return Verdicts(match, error, evaluated, self.expression, table, rows)

    def _one_by_one(self, table: DeviceTable, rows: Selection, places: Rows, match: Mask, error: Mask) -> None:
        """Verdicts for the rows at these places, where nothing may absorb what went wrong in some part."""
        tuples, inverse = self.project(table, _row_numbers(table, rows)[places])
        verdicts = [evaluate_tuple(self.expression, each) for each in tuples]
        match[places] = np.array([verdict is True for verdict in verdicts], np.bool_)[inverse]
        error[places] = np.array([isinstance(verdict, str) for verdict in verdicts], np.bool_)[inverse]

    def project(self, table: DeviceTable, rows: Selection) -> tuple[list[Hashable], Rows]:
        """As its outline does."""
        return self.outline.project(table, rows)


def _reads(keys: frozenset[Key]) -> Reads:
    def names(kind: str) -> frozenset[str]:
        return frozenset(
            name if found == kind else f"{name}/*" for found, name in keys if found in {kind, kind + " domain"}
        )

    return Reads(DRIVER in keys, names("attribute"), names("capacity"), EVERYTHING in keys, MULTIPLE in keys)


def _row_numbers(table: DeviceTable, rows: Selection) -> Rows:
    return np.arange(table.size, dtype=np.int32)[rows] if isinstance(rows, slice) else rows


def device_in(table: DeviceTable, row: int) -> tuple[str, dict[str, AttributeValue], dict[str, Quantity], bool]:
    """Driver, attributes and capacity by full names, and whether it is shared, of the device in a row."""
    driver = table.drivers.codes[row]
    attributes: dict[str, Any] = {}
    capacity: dict[str, Any] = {}
    for values, columns in ((attributes, table.attributes), (capacity, table.capacity)):
        for name, column in columns.items():
            if column.codes[row] != ABSENT:
                values[name] = column.values[column.codes[row]]
    code = table.shareable.codes[row]
    shareable = code != ABSENT and table.shareable.values[code]
    return ("" if driver == ABSENT else table.drivers.values[driver]), attributes, capacity, shareable


def _projected(columns: list[tuple[str, str, Column[Any]]], row: int) -> Hashable:
    """(kind, name, type, text or value) of every column that the device has; the type keeps 1 and true apart."""
    entries: list[tuple[str, str, str, object]] = []
    for kind, name, column in columns:
        code = column.codes[row]
        if code == ABSENT:
            continue
        value = column.values[code]
        entries.append((kind, name, *_shown(value)))
    return tuple(entries)


def _shown(value: Any) -> tuple[str, object]:
    """(type, plain value): the type keeps 1 and true, and lists of them, apart."""
    if isinstance(value, tuple):
        shown = [_shown(each) for each in value]
        return ("list " + (shown[0][0] if shown else ""), tuple([plain for _, plain in shown]))
    return type(value).__name__, (value.text if isinstance(value, Version | Quantity) else value)


def _unshown(type_name: str, value: Any) -> Any:
    if type_name.startswith("list "):
        return tuple([_unshown(type_name.removeprefix("list "), each) for each in value])
    return Version(value) if type_name == "Version" else value


def evaluate_tuple(expression: str, projected: Any) -> bool | str:
    """Verdict on a tuple of `Selector.project`, or the text of the error. Pure, and fit for another process."""
    driver, shareable = "", False
    attributes: dict[str, AttributeValue] = {}
    capacity: dict[str, Quantity] = {}
    for kind, name, type_name, value in projected:
        if kind == "driver":
            driver = value
        elif kind == "multiple":
            shareable = value
        elif kind == "capacity":
            capacity[name] = parse_quantity(value)
        else:
            attributes[name] = _unshown(type_name, value)
    try:
        return evaluate_scalar(expression, driver, attributes, capacity, shareable)
    except SelectorError as error:
        return error.problem


@lru_cache(maxsize=4096)
def _compiled(expression: str) -> Selector:
    return Selector(program_of(expression))


def compile_selector(expression: str) -> Selector:
    """The selector of an expression; the same text gives the same object.

    The language is that of Kubernetes 1.37 for selectors that are stored already, where no feature gate counts.
    Raises SelectorError: too long, not CEL, an unknown name or function, operands of types that never fit, a literal
    that cannot be read, or a result that is not bool.
    """
    if len(expression.encode(errors="surrogatepass")) > MAX_LENGTH:
        raise refusal(expression, f"is longer than {MAX_LENGTH} bytes", "shorten it or split it into several selectors")
    return _compiled(expression)


def outline_of(expression: str) -> Outline:
    """The outline of any expression, also of one that does not compile."""
    try:
        return compile_selector(expression).outline
    except SelectorError as error:
        return Outline(expression, problem=str(error))
