"""Expressions as trees. Macros are gone: `exists` and the like are folds, `has` is a select that tests.

Every node has an `id`, unique in its expression, by which the cost of an evaluation is accounted, and a static `type`,
which the checker sets.
"""

from collections.abc import Iterator
from typing import Any, Final

from scheduler.core.cel.types import DYN, Type

ACCUMULATOR: Final = "@result"
UNUSED: Final = "#unused"


class Node:
    """An expression. `at` is (line, column) where the text has it, else None."""

    __slots__ = ("at", "id", "type")

    def __init__(self, number: int, at: tuple[int, int] | None = None) -> None:
        self.id = number
        self.at = at
        self.type: Type = DYN

    def parts(self) -> "tuple[Node, ...]":
        """The expressions that it is made of."""
        return ()


class Literal(Node):
    """A constant that is written out."""

    __slots__ = ("value",)

    def __init__(self, number: int, value: Any, at: tuple[int, int] | None = None) -> None:
        super().__init__(number, at)
        self.value = value


class Ident(Node):
    """A name. The checker may set `constant` (a type, for example)."""

    __slots__ = ("constant", "name")

    def __init__(self, number: int, name: str, at: tuple[int, int] | None = None) -> None:
        super().__init__(number, at)
        self.name = name
        self.constant: Any = None


class Select(Node):
    """`operand.field`, or `has(operand.field)` if it tests. A `constant` is set as for names."""

    __slots__ = ("constant", "field", "operand", "tests")

    def __init__(
        self, number: int, operand: Node, field: str, at: tuple[int, int] | None = None, *, tests: bool = False
    ) -> None:
        super().__init__(number, at)
        self.operand, self.field, self.tests = operand, field, tests
        self.constant: Any = None

    def parts(self) -> tuple[Node, ...]:
        """The operand."""
        return (self.operand,)


class Call(Node):
    """`target.function(arguments)` or `function(arguments)`; operators have names such as `_+_`.

    overloads : ids of those that fit the types of the arguments, set by the checker.
    """

    __slots__ = ("arguments", "function", "overloads", "target")

    def __init__(
        self,
        number: int,
        function: str,
        arguments: tuple[Node, ...],
        target: Node | None = None,
        at: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(number, at)
        self.function, self.arguments, self.target = function, arguments, target
        self.overloads: tuple[str, ...] = ()

    def parts(self) -> tuple[Node, ...]:
        """The target, if there is one, and the arguments."""
        return self.arguments if self.target is None else (self.target, *self.arguments)


class ListOf(Node):
    """`[a, ?b]`; `optional` has the positions marked with `?`."""

    __slots__ = ("elements", "optional")

    def __init__(
        self, number: int, elements: tuple[Node, ...], optional: frozenset[int], at: tuple[int, int] | None = None
    ) -> None:
        super().__init__(number, at)
        self.elements, self.optional = elements, optional

    def parts(self) -> tuple[Node, ...]:
        """The elements."""
        return self.elements


class MapOf(Node):
    """`{k: v, ?k: v}`: entries of (key, value, marked with `?`)."""

    __slots__ = ("entries",)

    def __init__(
        self, number: int, entries: tuple[tuple[Node, Node, bool], ...], at: tuple[int, int] | None = None
    ) -> None:
        super().__init__(number, at)
        self.entries = entries

    def parts(self) -> tuple[Node, ...]:
        """Keys and values."""
        return tuple([part for key, value, _ in self.entries for part in (key, value)])


class Fold(Node):
    """A loop over `items` that carries `accumulator` from `start` by `step` while `condition`, and gives `result`.

    One variable is an element of a list or a key of a map; two are index and element, or key and value.
    `cel.bind` is a fold over nothing whose accumulator is the bound name.
    """

    __slots__ = ("accumulator", "condition", "items", "result", "second", "start", "step", "variable")

    def __init__(
        self,
        number: int,
        items: Node,
        variable: str,
        second: str | None,
        accumulator: str,
        start: Node,
        condition: Node,
        step: Node,
        result: Node,
        at: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(number, at)
        self.items, self.variable, self.second, self.accumulator = items, variable, second, accumulator
        self.start, self.condition, self.step, self.result = start, condition, step, result

    def parts(self) -> tuple[Node, ...]:
        """All expressions of it."""
        return (self.items, self.start, self.condition, self.step, self.result)

    def binds(self) -> bool:
        """Whether it is `cel.bind` rather than a loop."""
        empty = isinstance(self.items, ListOf) and not self.items.elements
        return empty and isinstance(self.condition, Literal) and self.condition.value is False


def walk(node: Node) -> Iterator[Node]:
    """The node and everything in it."""
    pending = [node]
    while pending:
        found = pending.pop()
        yield found
        pending.extend(found.parts())
