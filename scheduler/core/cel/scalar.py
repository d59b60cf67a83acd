"""The evaluator of one device: a checked tree becomes steps that compute a value and account for its cost.

Kubernetes charges a selector while it evaluates, and a selector that costs too much is an error. Its account follows
the order of evaluation and a stack of the values that were computed, by the id of their expression: a call is charged
only if all of its arguments are found on that stack. The steps here do the same, so that the cost comes out equal
whatever fails on the way. What is constant is computed once, when the steps are made, and is free.

Sources: cel-go interpreter/{planner,interpretable,attributes,decorators,runtimecost}.go, cel/library.go.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from scheduler.core.cel import standard
from scheduler.core.cel.costs import LIMIT, LIST, MAP, call_cost
from scheduler.core.cel.kubernetes import find_all
from scheduler.core.cel.registry import FUNCTIONS, Function, Overload, applies, dispatch, no_overload, overload
from scheduler.core.cel.tree import Call, Fold, Ident, ListOf, Literal, MapOf, Node, Select
from scheduler.core.cel.types import BOOL
from scheduler.core.cel.values import (
    ABSENT,
    LISTS,
    MAPS,
    NONE,
    Abort,
    Failure,
    Growing,
    Map,
    Optional,
    Uint,
    alike,
    equal,
    index_of,
    items_of,
    key_of,
    type_name,
)  # fmt: skip

_KEYS: Final = frozenset({str, int, Uint, bool, float})


class Frame:
    """One evaluation: the variables, what it cost so far, and the stack of computed values.

    An entry of the stack is (id, value, where the entry of that id before it stands); `_latest` has the last of each.
    """

    __slots__ = ("_latest", "_stack", "cost", "device", "limit", "slots")

    def __init__(self, device: Any, slots: int, limit: int = LIMIT) -> None:
        self.device = device
        self.slots: list[Any] = [None] * slots
        self.cost = 0
        self.limit = limit
        self._stack: list[tuple[int, Any, int]] = []
        self._latest: dict[int, int] = {}

    def push(self, number: int, value: Any) -> None:
        """Put the value of an expression on the stack."""
        stack, latest = self._stack, self._latest
        stack.append((number, value, latest.get(number, -1)))
        latest[number] = len(stack) - 1

    def drop(self, number: int) -> None:
        """Take the latest value of an expression off the stack, and all above it."""
        place = self._latest.get(number, -1)
        if place >= 0:
            self._cut(place)

    def take(self, steps: "list[Step]") -> list[Any] | None:
        """The latest values of these, taken off the stack; None if one of them is not there."""
        found: list[Any] = [None] * len(steps)
        for position in range(len(steps) - 1, -1, -1):
            place = self._latest.get(steps[position].number(), -1)
            if place < 0:
                return None
            found[position] = self._stack[place][1]
            self._cut(place)
        return found

    def _cut(self, place: int) -> None:
        stack, latest = self._stack, self._latest
        while len(stack) > place:
            number, _, before = stack.pop()
            latest[number] = before

    def charge(self, cost: int) -> None:
        """Add a cost. Raises Abort beyond the limit."""
        self.cost += cost
        if self.cost > self.limit:
            raise Abort("operation cancelled: actual cost limit exceeded")


class Step(Protocol):
    """Something that is evaluated and accounted for."""

    def number(self) -> int:
        """The id of its expression."""

    def run(self, frame: Frame) -> Any:
        """Its value, which may be a Failure. Raises Abort."""


class Constant:
    """A value known beforehand."""

    __slots__ = ("_number", "value")

    def __init__(self, number: int, value: Any) -> None:
        self._number, self.value = number, value

    def number(self) -> int:
        """The id of its expression."""
        return self._number

    def run(self, frame: Frame) -> Any:
        """The value."""
        frame.push(self._number, self.value)
        return self.value


# ---------------------------------------------------------------- paths: a start and what is selected from it


class Qualifier:
    """`.name`, `[key]`, `.?name` or `[?key]`: a constant key, or one that `path` computes.

    tests : only whether it is there counts. computes : the key is a computation rather than a path of its own.
    """

    __slots__ = ("computes", "key", "number", "optional", "path", "tests")

    def __init__(self, number: int, key: Any, path: "Path | None", *, optional: bool, tests: bool = False) -> None:
        self.number, self.key, self.path, self.optional, self.tests = number, key, path, optional, tests
        self.computes = False

    def select(self, frame: Frame, whole: Any) -> Any:
        """The selected value, or a Failure."""
        found = self._look_up(frame, whole, present=self.tests)
        if self.tests and type(found) is not Failure:
            found = found is not ABSENT
        self._account(frame, found)
        return found

    def select_if_present(self, frame: Frame, whole: Any) -> Any:
        """The selected value, ABSENT, or a Failure."""
        found = self._look_up(frame, whole, present=True)
        if found is not ABSENT and type(found) is not Failure:
            self._account(frame, found)
        return found

    def _account(self, frame: Frame, found: Any) -> None:
        if self.computes:
            frame.drop(self.number)
        frame.push(self.number, found)
        frame.charge(1)

    def _look_up(self, frame: Frame, whole: Any, *, present: bool) -> Any:
        if self.path is None:
            return look_up(whole, self.key, present=present)
        key = self.path.resolve(frame)
        if type(key) is Failure:
            return key
        if type(key) not in _KEYS:
            return Failure(f"invalid qualifier type: {type_name(key)}")
        return look_up(whole, key, present=present)


def look_up(whole: Any, key: Any, *, present: bool) -> Any:
    """`whole[key]`: the value, a Failure, or (if presence is asked for) ABSENT."""
    kind = type(whole)
    if kind in MAPS:
        found = whole.find(key)
        if found is ABSENT and not present:
            return Failure(f"no such key: {key}")
        return found
    if kind in LISTS:
        items = items_of(whole)
        try:
            position = index_of(key)
        except Failure as failure:
            return failure
        if 0 <= position < len(items):
            return items[position]
        return ABSENT if present else Failure(f"index out of bounds: {key}")
    if kind is Failure:
        return whole
    return ABSENT if present else Failure(f"no such key: {key}")


class Path(Protocol):
    """Where selections start."""

    def number(self) -> int:
        """The id of the last selection, or of the start."""

    def add(self, qualifier: Qualifier) -> None:
        """Select further."""

    def resolve(self, frame: Frame) -> Any:
        """The value, or a Failure."""


class Start:
    """A path that begins with a variable (`slot`, or the device) or with the result of a step.

    hidden : it is `.device` where a variable named device hides it. Kubernetes then loses its account of what is
    selected.
    """

    __slots__ = ("_number", "fold", "hidden", "operand", "qualifiers", "slot")

    def __init__(
        self,
        number: int,
        slot: int | None,
        fold: "FoldStep | None",
        operand: "Step | None",
        *,
        hidden: bool = False,
    ) -> None:
        self._number, self.slot, self.fold, self.operand, self.hidden = number, slot, fold, operand, hidden
        self.qualifiers: list[Qualifier] = []

    def number(self) -> int:
        """The id of the last selection, or of the start."""
        return self.qualifiers[-1].number if self.qualifiers else self._number

    def add(self, qualifier: Qualifier) -> None:
        """Select further."""
        self.qualifiers.append(qualifier)

    def resolve(self, frame: Frame) -> Any:
        """The value, or a Failure."""
        if self.operand is not None:
            found = self.operand.run(frame)
        elif self.fold is not None:
            found = self.fold.accumulated(frame)
        elif self.slot is not None:
            found = frame.slots[self.slot]
        else:
            found = frame.device
        if type(found) is Failure or not self.qualifiers:
            return found
        if self.hidden:
            aside = Frame(frame.device, 0)
            aside.slots = frame.slots
            return self._qualify(aside, found)
        return self._qualify(frame, found)

    def _qualify(self, frame: Frame, found: Any) -> Any:
        optional = type(found) is Optional
        if optional:
            if not found.present:
                return found
            found = found.value
        for qualifier in self.qualifiers:
            optional = optional or qualifier.optional
            if optional:
                found = qualifier.select_if_present(frame, found)
                if found is ABSENT:
                    return NONE
            else:
                found = qualifier.select(frame, found)
            if type(found) is Failure:
                return found
        return Optional(True, found) if optional else found


class Branch:
    """`test ? yes : no` as a path; what is selected from it is selected from the one that is chosen."""

    __slots__ = ("_number", "no", "test", "yes")

    def __init__(self, number: int, test: Step, yes: Path, no: Path) -> None:
        self._number, self.test, self.yes, self.no = number, test, yes, no

    def number(self) -> int:
        """The id of what is selected from both, else its own."""
        yes = self.yes.number()
        return yes if yes == self.no.number() else self._number

    def add(self, qualifier: Qualifier) -> None:
        """Select further."""
        self.yes.add(qualifier)
        self.no.add(qualifier)

    def resolve(self, frame: Frame) -> Any:
        """The value, or a Failure."""
        chosen = self.test.run(frame)
        if chosen is True:
            return self.yes.resolve(frame)
        if chosen is False:
            return self.no.resolve(frame)
        return chosen if type(chosen) is Failure else Failure()


class PathStep:
    """A path as a step."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path

    def number(self) -> int:
        """The id of its expression."""
        return self.path.number()

    def run(self, frame: Frame) -> Any:
        """The value of the path."""
        path = self.path
        found = path.resolve(frame)
        if isinstance(path, Branch):
            for each in (path.no, path.yes, path.test):
                frame.drop(each.number())
            frame.push(path.number(), found)
            return found
        number = path.number()
        frame.drop(number)
        frame.push(number, found)
        frame.charge(1)
        return found


class TestStep(PathStep):
    """`has(path)`. Testing is free, but for the selections in front."""

    __slots__ = ("_own",)

    def __init__(self, number: int, path: Path) -> None:
        super().__init__(path)
        self._own = number

    def number(self) -> int:
        """The id of its expression."""
        return self._own

    def run(self, frame: Frame) -> Any:
        """Whether it is there."""
        found = self.path.resolve(frame)
        if type(found) is Optional:
            found = found.present
        if isinstance(self.path, Branch):
            for each in (self.path.no, self.path.yes, self.path.test):
                frame.drop(each.number())
            frame.cost -= 1
        else:
            frame.drop(self.path.number())
        frame.push(self._own, found)
        return found


# ---------------------------------------------------------------- operators and calls


class Logic:
    """`&&` or `||`: whatever decides it absorbs failures."""

    __slots__ = ("_decisive", "_number", "_terms")

    def __init__(self, number: int, decisive: bool, terms: list[Step]) -> None:
        self._number, self._decisive, self._terms = number, decisive, terms

    def number(self) -> int:
        """The id of its expression."""
        return self._number

    def run(self, frame: Frame) -> Any:
        """The verdict."""
        decisive = self._decisive
        found: Any = not decisive
        for term in self._terms:
            value = term.run(frame)
            if value is decisive:
                found = decisive
                break
            if type(value) is not bool and type(found) is bool:
                found = value if type(value) is Failure else Failure()
        for term in self._terms:
            frame.drop(term.number())
        frame.push(self._number, found)
        return found


class CallStep:
    """A call: `stops` at the first argument that fails, or evaluates them all before it fails."""

    __slots__ = ("_apply", "_arguments", "_function", "_number", "_overload", "_stops", "_strict")

    def __init__(
        self, number: int, names: tuple[str, str], arguments: list[Step], apply: Callable[..., Any], *, stops: bool,
        strict: bool = True,
    ) -> None:  # fmt: skip
        self._number, (self._function, self._overload) = number, names
        self._arguments, self._apply, self._stops, self._strict = arguments, apply, stops, strict

    def number(self) -> int:
        """The id of its expression."""
        return self._number

    def run(self, frame: Frame) -> Any:
        """The result."""
        values = []
        failed = None
        for argument in self._arguments:
            value = argument.run(frame)
            if self._strict and type(value) is Failure and failed is None:
                failed = value
                if self._stops:
                    break
            values.append(value)
        found = failed if failed is not None else self.apply(values)
        taken = frame.take(self._arguments)
        cost = 0 if taken is None else call_cost(self._function, self._overload, taken, found)
        frame.push(self._number, found)
        frame.charge(cost)
        return found

    def apply(self, values: list[Any]) -> Any:
        """The function applied to values."""
        try:
            return self._apply(*values)
        except Failure as failure:
            return failure


class OrElse:
    """`optional.or(other)` or `optional.orValue(other)`: the other is evaluated only if it is needed. Free."""

    __slots__ = ("_first", "_number", "_second", "_unwraps")

    def __init__(self, number: int, first: Step, second: Step, *, unwraps: bool) -> None:
        self._number, self._first, self._second, self._unwraps = number, first, second, unwraps

    def number(self) -> int:
        """The id of its expression."""
        return self._number

    def run(self, frame: Frame) -> Any:
        """The value."""
        found = self._first.run(frame)
        if type(found) is Optional:
            if not found.present:
                found = self._second.run(frame)
            elif self._unwraps:
                found = found.value
        elif type(found) is not Failure:
            found = Failure()
        frame.push(self._number, found)
        return found


class Member:
    """`item in [constants]`: looked up in a set, and free."""

    __slots__ = ("_item", "_number", "_values")

    def __init__(self, number: int, item: Step, values: frozenset[Any]) -> None:
        self._number, self._item, self._values = number, item, values

    def number(self) -> int:
        """The id of its expression."""
        return self._number

    def run(self, frame: Frame) -> Any:
        """Whether it is one of them."""
        found = self._item.run(frame)
        if type(found) is not Failure:
            found = key_of(found) in self._values
        frame.push(self._number, found)
        return found


class ListStep:
    """Makes a list."""

    __slots__ = ("_elements", "_number", "_optional")

    def __init__(self, number: int, elements: list[Step], optional: frozenset[int]) -> None:
        self._number, self._elements, self._optional = number, elements, optional

    def number(self) -> int:
        """The id of its expression."""
        return self._number

    def run(self, frame: Frame) -> Any:
        """The list."""
        found = self._build(frame)
        frame.take(self._elements)
        frame.push(self._number, found)
        frame.charge(LIST)
        return found

    def _build(self, frame: Frame) -> Any:
        values = []
        for i, element in enumerate(self._elements):
            value = element.run(frame)
            if type(value) is Failure:
                return value
            if i in self._optional:
                if type(value) is not Optional:
                    return Failure("an element marked as optional is not")
                if not value.present:
                    continue
                value = value.value
            values.append(value)
        return tuple(values)


class MapStep:
    """Makes a map."""

    __slots__ = ("_entries", "_number", "_parts")

    def __init__(self, number: int, entries: list[tuple[Step, Step, bool]]) -> None:
        self._number, self._entries = number, entries
        self._parts = [part for key, value, _ in entries for part in (key, value)]

    def number(self) -> int:
        """The id of its expression."""
        return self._number

    def run(self, frame: Frame) -> Any:
        """The map."""
        found = self._build(frame)
        frame.take(self._parts)
        frame.push(self._number, found)
        frame.charge(MAP)
        return found

    def _build(self, frame: Frame) -> Any:
        made = Map()
        for key_step, value_step, marked in self._entries:
            key = key_step.run(frame)
            if type(key) is Failure:
                return key
            value = value_step.run(frame)
            if type(value) is Failure:
                return value
            if marked:
                if type(value) is not Optional:
                    return Failure("an entry marked as optional is not")
                if not value.present:
                    made.drop(key)
                    continue
                value = value.value
            made.put(key, value)
        return made


class FoldStep:
    """A loop, or `cel.bind`. The accumulator is not computed before somebody reads it."""

    __slots__ = ("_accumulator", "_first", "_number", "_second", "condition", "items", "result", "start", "step")

    def __init__(self, number: int, first: int, second: int | None, accumulator: int) -> None:
        self._number, self._first, self._second, self._accumulator = number, first, second, accumulator
        self.items: Step
        self.start: Step
        self.condition: Step
        self.step: Step
        self.result: Step

    def number(self) -> int:
        """The id of its expression."""
        return self._number

    def accumulated(self, frame: Frame) -> Any:
        """The accumulator's value."""
        found = frame.slots[self._accumulator]
        if found is ABSENT:
            found = self.start.run(frame)
            kind = type(found)
            if kind in LISTS and not len(items_of(found)):
                found = Growing()
            elif kind in MAPS and not len(found):
                found = Map(growing=True)
            frame.slots[self._accumulator] = found
        return found

    def run(self, frame: Frame) -> Any:
        """The result of the loop."""
        slots = frame.slots
        slots[self._accumulator] = ABSENT
        whole = self.items.run(frame)
        found = whole if type(whole) is Failure else self._loop(frame, whole)
        frame.drop(self.items.number())
        frame.push(self._number, found)
        return found

    def _loop(self, frame: Frame, whole: Any) -> Any:
        kind = type(whole)
        pairs: Any
        if kind in LISTS:
            items = items_of(whole)
            pairs = enumerate(tuple(items) if kind is Growing else items) if self._second is not None else None
            singles = items
        elif kind in MAPS:
            singles = list(whole.keys())
            pairs = ((key, whole.find(key)) for key in singles) if self._second is not None else None
        else:
            return Failure(f"a macro cannot range over {type_name(whole)}")
        slots, condition, step, first, second = frame.slots, self.condition, self.step, self._first, self._second
        if second is None or pairs is None:
            for value in tuple(singles) if kind is Growing else singles:
                slots[first] = value
                if condition.run(frame) is False:
                    break
                slots[self._accumulator] = step.run(frame)
        else:
            for key, value in pairs:
                slots[first], slots[second] = key, value
                if condition.run(frame) is False:
                    break
                slots[self._accumulator] = step.run(frame)
        found = self.result.run(frame)
        if type(found) is Growing:
            return tuple(found.items)
        if type(found) is Map and found.growing:
            settled = Map()
            settled.entries = found.entries
            return settled
        return found


# ---------------------------------------------------------------- making the steps


class Planner:
    """Turns checked trees of one expression into steps. Raises Failure where a constant part of them fails."""

    def __init__(self) -> None:
        self.slots = 0
        self._scope: dict[str, tuple[int, FoldStep | None]] = {}

    def plan(self, node: Node) -> Step:
        """The step of an expression."""
        match node:
            case Literal():
                return Constant(node.id, node.value)
            case Ident():
                return Constant(node.id, node.constant) if node.constant is not None else self._ident(node)
            case Select():
                return Constant(node.id, node.constant) if node.constant is not None else self._select(node)
            case ListOf():
                return self._list(node)
            case MapOf():
                return self._map(node)
            case Fold():
                return self._fold(node)
            case Call():
                return self._call(node)
        raise TypeError(type(node).__name__)

    def _ident(self, node: Ident) -> Step:
        if node.name in self._scope:
            slot, fold = self._scope[node.name]
            return PathStep(Start(node.id, slot, fold, None))
        hidden = node.name.removeprefix(".") in self._scope
        return PathStep(Start(node.id, None, None, None, hidden=hidden))

    @staticmethod
    def _path(step: Step) -> Path:
        """The step as a path to select from."""
        if isinstance(step, PathStep):
            return step.path
        return Start(step.number(), None, None, step)

    def _select(self, node: Select) -> Step:
        path = self._path(self.plan(node.operand))
        path.add(Qualifier(node.id, node.field, None, optional=False, tests=node.tests))
        return TestStep(node.id, path) if node.tests else PathStep(path)

    def _index(self, node: Call, *, optional: bool) -> Step:
        path, key = self._path(self.plan(node.arguments[0])), self.plan(node.arguments[1])
        if isinstance(key, Constant):
            if type(key.value) not in _KEYS:
                raise Failure(f"invalid qualifier type: {type_name(key.value)}")
            path.add(Qualifier(node.id, key.value, None, optional=optional))
        elif isinstance(key, PathStep):
            path.add(Qualifier(node.id, None, key.path, optional=optional))
        else:
            qualifier = Qualifier(node.id, None, Start(node.id, None, None, key), optional=optional)
            qualifier.computes = True
            path.add(qualifier)
        return PathStep(path)

    def _list(self, node: ListOf) -> Step:
        elements = [self.plan(each) for each in node.elements]
        step = ListStep(node.id, elements, node.optional)
        if all(isinstance(each, Constant) for each in elements):
            return self._settled(node.id, step)
        return step

    def _map(self, node: MapOf) -> Step:
        entries = [(self.plan(key), self.plan(value), marked) for key, value, marked in node.entries]
        step = MapStep(node.id, entries)
        if all(isinstance(key, Constant) and isinstance(value, Constant) for key, value, _ in entries):
            return self._settled(node.id, step)
        return step

    @staticmethod
    def _settled(number: int, step: Step) -> Constant:
        try:
            value = step.run(Frame(None, 0))
        except Abort as problem:
            raise Failure(str(problem)) from None
        if type(value) is Failure:
            raise value
        return Constant(number, value)

    def _fold(self, node: Fold) -> Step:
        first, accumulator = self.slots, self.slots + 1
        second = self.slots + 2 if node.second is not None else None
        self.slots += 3
        fold = FoldStep(node.id, first, second, accumulator)
        outer = self._scope
        fold.start = self.plan(node.start)
        fold.items = self.plan(node.items)
        inside = {**outer, node.variable: (first, None)}
        if node.second is not None and second is not None:
            inside[node.second] = (second, None)
        self._scope = {**inside, node.accumulator: (accumulator, fold)}
        fold.condition, fold.step = self.plan(node.condition), self.plan(node.step)
        self._scope = {**outer, node.accumulator: (accumulator, fold)}
        fold.result = self.plan(node.result)
        self._scope = outer
        return fold

    def _call(self, node: Call) -> Step:
        name = node.function
        if name in {"_[_]", "_[?_]", "_?._"}:
            return self._index(node, optional=name != "_[_]")
        arguments = [self.plan(part) for part in node.parts()]
        if name in {"_&&_", "_||_"}:
            return Logic(node.id, name == "_||_", arguments)
        if name == "_?_:_":
            return PathStep(Branch(node.id, arguments[0], self._path(arguments[1]), self._path(arguments[2])))
        if name in {"or", "orValue"}:
            return OrElse(node.id, arguments[0], arguments[1], unwraps=name == "orValue")
        identifier = node.overloads[0] if len(node.overloads) == 1 else ""
        if identifier == "in_list" and isinstance(arguments[1], Constant):
            found = _members(node.id, arguments[0], arguments[1].value)
            if found is not None:
                return found
        regular = _REGULAR.get(name)
        if regular is not None and isinstance(arguments[1], Constant) and type(arguments[1].value) is str:
            standard.pattern(arguments[1].value)
            return CallStep(node.id, (name, identifier), arguments, regular, stops=True)
        step = self._function(node, name, identifier, arguments)
        if name in standard.CONVERSIONS and isinstance(arguments[0], Constant):
            return self._settled(node.id, step)
        return step

    @staticmethod
    def _function(node: Call, name: str, identifier: str, arguments: list[Step]) -> Step:
        names = (name, identifier)
        if name == "_==_":
            return CallStep(node.id, (name, "equals"), arguments, equal, stops=False)
        if name == "_!=_":
            return CallStep(node.id, (name, "not_equals"), arguments, _differ, stops=False)
        if name == "@not_strictly_false":
            return CallStep(node.id, names, arguments, _not_strictly_false, stops=False, strict=False)
        function = FUNCTIONS[name]
        if function.shared is not None:
            return CallStep(node.id, names, arguments, _shared(function), stops=len(arguments) > 2)
        if identifier:
            chosen = overload(name, identifier)
            return CallStep(node.id, names, arguments, _guarded(function, chosen), stops=chosen.stops)
        return CallStep(node.id, names, arguments, lambda *values: dispatch(function, values), stops=True)


def _differ(a: Any, b: Any) -> bool:
    return equal(a, b) is not True


def _not_strictly_false(value: Any) -> Any:
    if type(value) is bool:
        return value
    return True if type(value) is Failure else Failure()


def _shared(function: Function) -> Callable[..., Any]:
    run, receivers = function.shared, function.receivers
    assert run is not None
    if receivers is None:
        return run

    def shared(*values: Any) -> Any:
        if type(values[0]) not in receivers:
            raise no_overload(function.name, values)
        return run(*values)

    return shared


def _guarded(function: Function, chosen: Overload) -> Callable[..., Any]:
    run = chosen.run
    if run is None:
        return lambda *values: no_overload(function.name, values)
    if not function.guarded:
        return run

    def guarded(*values: Any) -> Any:
        if not applies(chosen, values):
            raise no_overload(function.name, values)
        return run(*values)

    return guarded


def _text_first(run: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*values: Any) -> Any:
        if type(values[0]) is not str or (len(values) == 3 and type(values[2]) is not int):
            raise Failure()
        return run(*values)

    return checked


_REGULAR: Final[dict[str, Callable[..., Any]]] = {
    "matches": _text_first(lambda text, regex: standard.pattern(regex).search(text) is not None),
    "find": _text_first(overload("find", "string_find_string").run or equal),
    "findAll": _text_first(find_all),
}
"""Functions whose constant pattern is compiled beforehand."""


def _members(number: int, item: Step, values: Any) -> Step | None:
    """A lookup in constants, if they are all plain ones."""
    if not len(values):
        return Constant(number, False)
    found: set[Any] = set()
    for value in values:
        kind = type(value)
        if kind not in _KEYS:
            return None
        found.update(key_of(each) for each in alike(value))
        if kind in {int, Uint}:
            found.add(key_of(float(value)))
    return Member(number, item, frozenset(found))


def verdict_of(value: Any) -> bool:
    """The verdict that a value stands for. Raises Failure."""
    while type(value) is Optional:
        value = standard.value_of(value)
    if type(value) is Failure:
        raise value
    if type(value) is not bool:
        raise Failure(f"gives a value of type {type_name(value)}, which is not {BOOL}")
    return value
