"""Types of a tree: every name, function and operand is checked before any device is seen.

After the check each node has its type, each call its overloads, and names of types their constants. Then come the
checks that Kubernetes adds: literals of times and patterns, lists and maps of one type, and format strings.
"""

from typing import Final

from scheduler.core.cel import formatting, kubernetes, sequences, standard, times
from scheduler.core.cel.grammar import refusal
from scheduler.core.cel.registry import FUNCTIONS, Function
from scheduler.core.cel.tree import Call, Fold, Ident, ListOf, Literal, MapOf, Node, Select, walk
from scheduler.core.cel.types import (
    BOOL,
    BYTES,
    CIDR,
    DEVICE,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    IP,
    NULL,
    QUANTITY,
    SEMVER,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    Bindings,
    Type,
    all_fit,
    equivalent,
    fits,
    list_of,
    map_of,
    most_general,
    optional_of,
    parameter,
    resolve,
    type_of,
    unwrap,
)  # fmt: skip
from scheduler.core.cel.values import Failure, TypeValue, Uint
from scheduler.core.errors import SelectorError

_LIBRARIES: Final = (standard, sequences, kubernetes)  # importing them declares their functions

_ATTRIBUTES: Final = map_of(STRING, map_of(STRING, DYN))
_CAPACITY: Final = map_of(STRING, map_of(STRING, QUANTITY))
FIELDS: Final[dict[str, Type]] = {
    "driver": STRING, "allowMultipleAllocations": BOOL, "attributes": _ATTRIBUTES, "capacity": _CAPACITY,
}  # fmt: skip
"""The fields of `device`."""

_LITERAL_TYPES: Final[dict[type, Type]] = {
    bool: BOOL, int: INT, Uint: UINT, float: DOUBLE, str: STRING, bytes: BYTES, type(None): NULL,
}  # fmt: skip
_A: Final = parameter("A")
_B: Final = parameter("B")
_TYPES: Final[dict[str, Type]] = {
    kind.name: kind
    for kind in (
        BOOL, BYTES, DOUBLE, DURATION, INT, list_of(_A), map_of(_A, _B), NULL, STRING, TIMESTAMP, TYPE, UINT,
        optional_of(DYN), IP, CIDR,
    )
}  # fmt: skip
"""Names of types that may be written."""

_CONSTANTS: Final = {"google.protobuf.NullValue.NULL_VALUE": 0}
Scope = dict[str, Type]


class Checker:
    """Checks one expression."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._bindings: Bindings = {}
        self._variables = 0

    def check(self, root: Node, *, derived: bool = False) -> None:
        """Set all types; the expression is a selector, or gives a derived attribute. Raises SelectorError."""
        self._check(root, {})
        for node in walk(root):
            node.type = resolve(self._bindings, node.type, close=True)
        self._validate(root)
        if derived:
            element = root.type.inner[0] if root.type.kind == "list" else root.type
            if element not in {BOOL, INT, STRING, SEMVER, DYN}:
                raise self._refuse(f"gives {_shown(root.type)}, which no attribute can hold", "give one value", root)
        elif root.type not in {BOOL, DYN}:
            raise self._refuse(f"gives {_shown(root.type)}, not bool", "compare the value with something", root)

    def _refuse(self, problem: str, remedy: str, node: Node) -> SelectorError:
        return refusal(self._expression, problem, remedy, node.at)

    def _fresh(self) -> Type:
        self._variables += 1
        return parameter(f"_{self._variables}")

    def _fits(self, given: Type, wanted: Type) -> bool:
        found = fits(self._bindings, given, wanted)
        if found is None:
            return False
        self._bindings = found
        return True

    # ------------------------------------------------------------ nodes

    def _check(self, node: Node, scope: Scope) -> Type:
        match node:
            case Literal():
                node.type = _LITERAL_TYPES[type(node.value)]
            case Ident():
                node.type = self._ident(node, scope)
            case Select():
                node.type = self._select(node, scope)
            case Call():
                node.type = self._call(node, scope)
            case ListOf():
                node.type = self._list(node, scope)
            case MapOf():
                node.type = self._map(node, scope)
            case Fold():
                node.type = self._fold(node, scope)
        return node.type

    def _ident(self, node: Ident, scope: Scope) -> Type:
        if node.name in scope:
            return scope[node.name]
        name = node.name.removeprefix(".")
        if name == "device":
            return DEVICE
        if name in _TYPES:
            node.constant = TypeValue(name)
            return type_of(_TYPES[name])
        raise self._refuse(f"refers to the unknown name {node.name}", "the only variable is device", node)

    def _select(self, node: Select, scope: Scope) -> Type:
        qualified = None if node.tests else _qualified(node)
        if qualified is not None and qualified.partition(".")[0] not in scope:
            name = qualified.removeprefix(".")
            if name in _TYPES:
                node.constant = TypeValue(name)
                return type_of(_TYPES[name])
            if name in _CONSTANTS:
                node.constant = _CONSTANTS[name]
                return INT
        found = self._field(node, node.operand, node.field, scope)
        return BOOL if node.tests else resolve(self._bindings, found)

    def _field(self, node: Node, operand: Node, name: str, scope: Scope, *, optional: bool = False) -> Type:
        whole = resolve(self._bindings, self._check(operand, scope))
        kind, was_optional = unwrap(whole)
        if kind.kind == "map":
            result = kind.inner[1]
        elif kind == DEVICE:
            if name not in FIELDS:
                raise self._refuse(
                    f"a device has no {name}", "there are driver, attributes, capacity, allowMultipleAllocations", node
                )
            result = FIELDS[name]
        elif kind.kind == "struct":
            raise self._refuse(f"{_shown(kind)} has no field {name}", "use its functions", node)
        else:
            if kind.kind == "param":
                self._fits(DYN, kind)
            elif kind.kind not in {"dyn", "error"}:
                raise self._refuse(f"{_shown(kind)} has no field {name}", "select fields of maps only", node)
            result = DYN
        return optional_of(result) if optional or was_optional else result

    def _call(self, node: Call, scope: Scope) -> Type:
        if node.function == "_?._":
            name = node.arguments[1]
            assert isinstance(name, Literal)
            name.type = STRING
            found = self._field(node, node.arguments[0], str(name.value), scope, optional=True)
            node.overloads = ("select_optional_field",)
            return resolve(self._bindings, found)
        for argument in node.arguments:
            self._check(argument, scope)
        if node.target is None:
            function = FUNCTIONS.get(node.function.removeprefix("."))
        else:
            prefix = _qualified(node.target)
            function = FUNCTIONS.get(f"{prefix}.{node.function}".removeprefix(".")) if prefix is not None else None
            if function is not None:
                node.target = None
            else:
                self._check(node.target, scope)
                function = FUNCTIONS.get(node.function)
        if function is None:
            raise self._refuse(f"refers to the unknown function {node.function}()", "correct its name", node)
        node.function = function.name
        return self._overload(node, function)

    def _overload(self, node: Call, function: Function) -> Type:
        types = tuple([part.type for part in node.parts()])
        if function.name in {"_&&_", "_||_"}:
            for part in node.parts():
                if not self._fits(part.type, BOOL):
                    raise self._mismatch(node, function, types)
            node.overloads = (function.overloads[0].id,)
            return BOOL
        result: Type | None = None
        matching = []
        for overload in function.overloads:
            if overload.member != (node.target is not None):
                continue
            renamed: Bindings = {}
            for each in (*overload.parameters, overload.result):
                self._rename(each, renamed)
            wanted = tuple([resolve(renamed, each) for each in overload.parameters])
            found = all_fit(self._bindings, types, wanted)
            if found is None:
                continue
            self._bindings = found
            matching.append(overload.id)
            gives = resolve(self._bindings, resolve(renamed, overload.result))
            if result is None:
                result = gives
            elif result not in {DYN, gives}:
                result = DYN
        if result is None:
            raise self._mismatch(node, function, types)
        node.overloads = tuple(matching)
        return result

    def _rename(self, kind: Type, renamed: Bindings) -> None:
        if kind.kind == "param" and kind not in renamed:
            renamed[kind] = self._fresh()
        for each in kind.inner:
            self._rename(each, renamed)

    def _mismatch(self, node: Call, function: Function, types: tuple[Type, ...]) -> SelectorError:
        shown = ", ".join(_shown(resolve(self._bindings, kind, close=True)) for kind in types)
        name = {"_[_]": "[]", "_[?_]": "[?]", "@in": "in", "_?_:_": "?:"}.get(function.name, function.name.strip("_"))
        return self._refuse(f"{name} does not take ({shown})", "convert or compare values of the right type", node)

    def _element(self, node: Node, *, marked: bool) -> Type:
        if not marked:
            return node.type
        inner, optional = unwrap(node.type)
        if not optional and inner.kind != "dyn":
            raise self._refuse(f"marks a value of {_shown(inner)} as optional", "leave out the ?", node)
        return inner

    def _join(self, before: Type | None, kind: Type) -> Type:
        """The type of a literal's elements so far; that they are one type is checked afterwards."""
        if before is None:
            return kind
        return most_general(before, kind) if self._fits(before, kind) else DYN

    def _list(self, node: ListOf, scope: Scope) -> Type:
        kind: Type | None = None
        for i, each in enumerate(node.elements):
            self._check(each, scope)
            kind = self._join(kind, self._element(each, marked=i in node.optional))
        return list_of(self._fresh() if kind is None else kind)

    def _map(self, node: MapOf, scope: Scope) -> Type:
        key_type: Type | None = None
        value_type: Type | None = None
        for key, value, marked in node.entries:
            key_type = self._join(key_type, self._check(key, scope))
            self._check(value, scope)
            value_type = self._join(value_type, self._element(value, marked=marked))
        if key_type is None or value_type is None:
            return map_of(self._fresh(), self._fresh())
        return map_of(key_type, value_type)

    def _fold(self, node: Fold, scope: Scope) -> Type:
        self._check(node.items, scope)
        start = self._check(node.start, scope)
        kind = resolve(self._bindings, node.items.type)
        if kind.kind == "list":
            first, second = (INT, kind.inner[0]) if node.second else (kind.inner[0], DYN)
        elif kind.kind == "map":
            first, second = kind.inner
        elif kind.kind in {"dyn", "error", "param"}:
            self._fits(DYN, kind)
            first = second = DYN
        else:
            raise self._refuse(f"a macro cannot range over {_shown(kind)}", "give it a list or a map", node)
        outer = {**scope, node.accumulator: start}
        inner = {**outer, node.variable: first}
        if node.second:
            inner[node.second] = second
        self._check(node.condition, inner)
        self._assert(node.condition, BOOL)
        self._check(node.step, inner)
        self._assert(node.step, start)
        return resolve(self._bindings, self._check(node.result, outer))

    def _assert(self, node: Node, wanted: Type) -> None:
        if not self._fits(wanted, node.type):
            shown = [_shown(resolve(self._bindings, each, close=True)) for each in (node.type, wanted)]
            raise self._refuse(f"has {shown[0]} where {shown[1]} belongs", "give the right type", node)

    # ------------------------------------------------------------ what Kubernetes adds

    def _validate(self, root: Node) -> None:
        pending: list[tuple[Node, bool]] = [(root, False)]
        while pending:
            node, exempt = pending.pop()
            if isinstance(node, Call):
                self._validate_call(node)
                exempt = exempt or node.function == "format"
            if isinstance(node, ListOf) and not exempt:
                self._same_types([self._element(each, marked=i in node.optional)
                                  for i, each in enumerate(node.elements)], node)  # fmt: skip
            if isinstance(node, MapOf) and not exempt:
                self._same_types([key.type for key, _, _ in node.entries], node)
                self._same_types([self._element(value, marked=marked) for _, value, marked in node.entries], node)
            pending.extend((part, exempt) for part in node.parts())

    def _same_types(self, kinds: list[Type], node: Node) -> None:
        for kind in kinds[1:]:
            if not equivalent(kinds[0], kind):
                raise self._refuse(f"a literal mixes {_shown(kinds[0])} and {_shown(kind)}", "use one type", node)

    def _validate_call(self, node: Call) -> None:
        """Literals that no device will mend: times, patterns and formats."""
        first = node.arguments[0] if node.arguments else None
        try:
            if isinstance(first, Literal) and type(first.value) is str:
                if node.function in {"duration", "timestamp"}:
                    (times.parse_duration if node.function == "duration" else times.parse_timestamp)(first.value)
                if node.function == "matches":
                    standard.pattern(first.value)
        except Failure as failure:
            raise self._refuse(failure.message, "correct the literal", node) from None
        text = node.target.value if isinstance(node.target, Literal) else None
        if node.function == "format" and type(text) is str and len(node.arguments) == 1 and isinstance(first, ListOf):
            self._validate_format(text, first)

    def _validate_format(self, text: str, arguments: ListOf) -> None:
        count = 0
        for _, letter, _ in formatting.clauses(text):
            if not letter:
                break
            if count >= len(arguments.elements):
                raise self._refuse(f"a format asks for argument {count + 1}", "give it one for each clause", arguments)
            argument = arguments.elements[count]
            if letter == "?" or not self._formattable(letter, argument):
                raise self._refuse(f"a format cannot take argument {count + 1}", "correct the clause", arguments)
            count += 1
        if count < len(arguments.elements):
            raise self._refuse(f"a format takes {count} arguments", "remove the others", arguments)

    def _formattable(self, letter: str, node: Node) -> bool:
        if not formatting.takes(letter, node.type):
            return False
        if letter == "s" and isinstance(node, ListOf | MapOf):
            return all(self._formattable(letter, part) for part in node.parts())
        return True


def _qualified(node: Node) -> str | None:
    """`a.b.c` as text, if the tree is nothing but names."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.tests:
        prefix = _qualified(node.operand)
        return None if prefix is None else f"{prefix}.{node.field}"
    return None


def _shown(kind: Type) -> str:
    if kind in {DEVICE, DYN}:
        return "device" if kind == DEVICE else "any"
    name = str(kind).replace("optional_type", "optional").replace("null_type", "null")
    return name.replace("kubernetes.", "").replace("google.protobuf.", "").lower()
