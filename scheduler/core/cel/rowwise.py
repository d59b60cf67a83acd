"""A checked tree as a Python function of one device's values: what fills the vectorised evaluator's tables."""

from collections.abc import Callable, Mapping
from typing import Any

from scheduler.core.cel import functions
from scheduler.core.cel.semver import parse_semver
from scheduler.core.cel.syntax import Call, Choice, Const, Key, Logic, Macro, Node, Read, Variable
from scheduler.core.cel.values import Failure, Optional, type_name
from scheduler.core.errors import FaultError
from scheduler.core.model import Version

FALSE, ERROR, TRUE = 0, 1, 2  # in this order && is the smaller, || the larger, and ! the mirror image

Row = list[Any]
Evaluate = Callable[[Row], Any]


class Absent:
    """Stands in a row for a value that a device does not have."""


ABSENT_VALUE = Absent()


def plain(value: object) -> object:
    """A column's value as `functions` means it; an unreadable version stays a Version, and fails when it is read."""
    if isinstance(value, Version):
        try:
            return parse_semver(value.text)
        except Failure:
            return value
    return value


def _verdict(evaluate: Evaluate) -> Callable[[Row], int]:
    def verdict(row: Row) -> int:
        try:
            value = evaluate(row)
        except Failure:
            return ERROR
        if value is True:
            return TRUE
        return FALSE if value is False else ERROR

    return verdict


class Rowwise:
    """Turns nodes into functions of a row: the values of `keys` in order, then a place for each loop variable."""

    def __init__(self, keys: tuple[Key, ...], slots: int) -> None:
        self.keys = keys
        self._position: Mapping[Key, int] = {key: i for i, key in enumerate(keys)}
        self._spare: list[object] = [None] * slots

    def row(self, values: list[object]) -> Row:
        """A row to evaluate."""
        return values + self._spare

    def truth(self, node: Node) -> Callable[[Row], int]:
        """FALSE, ERROR or TRUE; a value that is not bool is an error, as it is wherever a condition stands."""
        return _verdict(self.build(node))

    def build(self, node: Node) -> Evaluate:
        """The node's value in a row; raises Failure."""
        match node:
            case Const():
                value = node.value
                return lambda row: value
            case Variable():
                place = len(self.keys) + node.slot
                return lambda row: row[place]
            case Read():
                return self._read(node)
            case Logic():
                return self._logic(node)
            case Choice():
                return self._choice(node)
            case Macro():
                return self._macro(node)
            case Call():
                return self._call(node)
        raise FaultError(f"no row-wise form of {type(node).__name__}")

    def _read(self, node: Read) -> Evaluate:
        place = self._position[node.key]
        missing = f"no such key: {node.key[1].rpartition('/')[2]}"

        def present(row: Row) -> bool:
            return row[place] is not ABSENT_VALUE

        def value(row: Row) -> Any:
            found = row[place]
            if found is ABSENT_VALUE:
                raise Failure(missing)
            if type(found) is Version:
                parse_semver(found.text)
            return found

        def optional(row: Row) -> Optional:
            return Optional(True, value(row)) if row[place] is not ABSENT_VALUE else Optional(False)

        return {"present": present, "value": value, "optional": optional}[node.mode]

    def _logic(self, node: Logic) -> Evaluate:
        reasons = [self.build(argument) for argument in node.arguments]
        parts = [_verdict(reason) for reason in reasons]
        decisive = FALSE if node.name == "&&" else TRUE

        def logic(row: Row) -> bool:
            failed = -1
            for i, part in enumerate(parts):
                verdict = part(row)
                if verdict == decisive:
                    return decisive == TRUE
                if verdict == ERROR and failed < 0:
                    failed = i
            if failed >= 0:
                reasons[failed](row)  # raises, unless it was a value of the wrong type
                raise Failure(f"no such overload: {node.name} of something that is not bool")
            return decisive != TRUE

        return logic

    def _choice(self, node: Choice) -> Evaluate:
        test, yes, no = self.build(node.test), self.build(node.yes), self.build(node.no)

        def choice(row: Row) -> Any:
            chosen = test(row)
            if chosen is True:
                return yes(row)
            if chosen is False:
                return no(row)
            raise Failure("no such overload: condition that is not bool")

        return choice

    def _call(self, node: Call) -> Evaluate:
        parts = [self.build(argument) for argument in node.arguments]
        if node.name == "list":
            return lambda row: tuple([part(row) for part in parts])
        if node.name.startswith("has."):
            name = node.name.removeprefix("has.")
            return lambda row: functions.has(parts[0](row), name)
        find, call, name = functions.find, functions.call, node.name
        if len(parts) == 2:
            left, right = parts

            def binary(row: Row) -> Any:
                a, b = left(row), right(row)
                function = find(name, (type_name(a), type_name(b)))
                return function(a, b) if function is not None else call(name, a, b)

            return binary
        return lambda row: call(name, *[part(row) for part in parts])

    def _macro(self, node: Macro) -> Evaluate:
        items, body = self.build(node.items), self.build(node.body)
        truth = _verdict(body)
        place, name = len(self.keys) + node.slot, node.name

        def elements(row: Row) -> tuple[Any, ...]:
            found = items(row)
            if not isinstance(found, tuple):
                raise Failure(f"no such overload: {name} over {type_name(found)}")
            return found

        def quantifier(row: Row) -> bool:
            decisive = FALSE if name == "all" else TRUE
            failed = False
            for element in elements(row):
                row[place] = element
                verdict = truth(row)
                if verdict == decisive:
                    return decisive == TRUE
                failed = failed or verdict == ERROR
            if failed:
                raise Failure(f"no element decides {name}, and one of them fails")
            return decisive != TRUE

        def mapped(row: Row) -> tuple[Any, ...]:
            results = []
            for element in elements(row):
                row[place] = element
                results.append(body(row))
            return tuple(results)

        def chosen(row: Row) -> tuple[Any, ...]:
            found = elements(row)
            results = mapped(row)
            if not all(type(result) is bool for result in results):
                raise Failure(f"no such overload: {name} by something that is not bool")
            return tuple([element for element, result in zip(found, results, strict=True) if result])

        if name in {"all", "exists"}:
            return quantifier
        if name == "map":
            return mapped
        return chosen if name == "filter" else lambda row: len(chosen(row)) == 1
