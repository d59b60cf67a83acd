"""Compiled selectors."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from scheduler.core.cel import vector
from scheduler.core.cel.reference import evaluate_scalar
from scheduler.core.cel.rowwise import ERROR, TRUE
from scheduler.core.cel.syntax import DRIVER, EVERYTHING, Checker, Key, Node, parse
from scheduler.core.columns import ABSENT, Column, DeviceTable
from scheduler.core.errors import FaultError, SelectorError
from scheduler.core.model import AttributeValue, Version
from scheduler.core.quantity import Quantity, parse_quantity
from scoring.arrays import Mask, Rows

Selection = slice | Rows
MAX_VECTOR_STEPS: Final = 300
"""Costlier expressions are not evaluated here for every distinct value of a column, of which there may be thousands."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What a selector reads of a device.

    attributes, capacity : full names `domain/id`; `domain/*` where it asks for a whole domain.
    everything : it computes names, or looks at all domains.
    """

    driver: bool
    attributes: frozenset[str]
    capacity: frozenset[str]
    everything: bool


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """match, error : bool (n,), one for each row asked for; a row with an error does not match."""

    match: Mask
    error: Mask
    _expression: str
    _table: DeviceTable
    _rows: Selection

    def problem(self, i: int) -> str:
        """Why the i-th row is an error; empty if it is not. Costs one evaluation by the reference."""
        if not self.error[i]:
            return ""
        row = int(_row_numbers(self._table, self._rows)[i])
        driver, attributes, capacity = _device(self._table, row)
        if not driver:
            return "no device stands in this row"
        try:
            evaluate_scalar(self._expression, driver, attributes, capacity)
        except SelectorError as error:
            return error.problem
        raise FaultError(f"selector {self._expression!r}: the two evaluators disagree on row {row}")


class Selector:
    """A CEL device selector; made by `compile_selector`. `steps` bounds what evaluating it on one device takes."""

    def __init__(self, expression: str, node: Node, slots: int) -> None:
        self.expression = expression
        self.steps = node.steps
        self.vectorised = node.vector and node.steps <= MAX_VECTOR_STEPS
        self.reads = _reads(node.reads)
        self._keys = node.reads
        self._part = vector.plan(node, slots) if self.vectorised else None

    def evaluate(self, table: DeviceTable, rows: Selection) -> Verdicts:
        """Verdicts for these rows (a slice without a step, or row numbers). Only for vectorised selectors."""
        if self._part is None:
            raise FaultError(f"selector {self.expression!r} has no vectorised form: use project and evaluate_tuple")
        verdict = vector.evaluate(self._part, table, rows)
        return Verdicts(verdict == TRUE, verdict == ERROR, self.expression, table, rows)

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
        for kind, named in (("attribute", table.attributes), ("capacity", table.capacity)):
            columns.extend(
                (kind, name, column) for name, column in sorted(named.items()) if self._reads_key((kind, name))
            )
        return columns

    def _reads_key(self, key: Key) -> bool:
        kind, name = key
        return bool(self._keys & {key, EVERYTHING, (kind + " domain", name.rpartition("/")[0])})


def _reads(keys: frozenset[Key]) -> Reads:
    def names(kind: str) -> frozenset[str]:
        return frozenset(
            name if found == kind else f"{name}/*" for found, name in keys if found in {kind, kind + " domain"}
        )

    return Reads(DRIVER in keys, names("attribute"), names("capacity"), EVERYTHING in keys)


def _row_numbers(table: DeviceTable, rows: Selection) -> Rows:
    return np.arange(table.size, dtype=np.int32)[rows] if isinstance(rows, slice) else rows


def _device(table: DeviceTable, row: int) -> tuple[str, dict[str, AttributeValue], dict[str, Quantity]]:
    driver = table.drivers.codes[row]
    attributes: dict[str, Any] = {}
    capacity: dict[str, Any] = {}
    for values, columns in ((attributes, table.attributes), (capacity, table.capacity)):
        for name, column in columns.items():
            if column.codes[row] != ABSENT:
                values[name] = column.values[column.codes[row]]
    return ("" if driver == ABSENT else table.drivers.values[driver]), attributes, capacity


def _projected(columns: list[tuple[str, str, Column[Any]]], row: int) -> Hashable:
    """(kind, name, type, text or value) of every column that the device has; the type keeps 1 and true apart."""
    entries: list[tuple[str, str, str, object]] = []
    for kind, name, column in columns:
        code = column.codes[row]
        if code == ABSENT:
            continue
        value = column.values[code]
        shown = value.text if isinstance(value, Version | Quantity) else value
        entries.append((kind, name, type(value).__name__, shown))
    return tuple(entries)


def evaluate_tuple(expression: str, projected: Any) -> bool | str:
    """Verdict on a tuple of `Selector.project`, or the text of the error. Pure, and fit for another process."""
    driver = ""
    attributes: dict[str, AttributeValue] = {}
    capacity: dict[str, Quantity] = {}
    for kind, name, type_name, value in projected:
        if kind == "driver":
            driver = value
        elif kind == "capacity":
            capacity[name] = parse_quantity(value)
        else:
            attributes[name] = Version(value) if type_name == "Version" else value
    try:
        return evaluate_scalar(expression, driver, attributes, capacity)
    except SelectorError as error:
        return error.problem


@lru_cache(maxsize=4096)
def _compiled(expression: str) -> Selector | SelectorError:
    try:
        checker = Checker(expression)
        node = checker.check(parse(expression))
        return Selector(expression, node, checker.slots)
    except SelectorError as error:
        return error


def compile_selector(expression: str) -> Selector:
    """The selector of an expression; the same text gives the same object.

    Raises SelectorError: too long, not CEL, an unknown name or function, operands of types that never fit, a result
    that is not bool, too deeply nested or too costly, or a construct that is not supported yet.
    """
    found = _compiled(expression)
    if isinstance(found, SelectorError):
        # A new exception each time: one that is kept would collect the traceback of everyone who met it.
        raise SelectorError(found.where, found.problem, found.remedy)
    return found
