"""The most that an evaluation can cost, as far as a tree and the limits of the API show it.

This is the number by which the API server refuses selectors when they are stored, and the bound by which we decide
whether a selector needs its cost counted at all. Sources: cel-go checker/cost.go, ext/lists.go and ext/sets.go,
k8s.io/apiserver/pkg/cel/library/cost.go, and the sizes declared in k8s.io/dynamic-resource-allocation/cel.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from scheduler.core.cel.costs import LIST, MAP, NOMINAL, PATTERN_FACTOR, STRING_FACTOR, UINT_MAX
from scheduler.core.cel.tree import ACCUMULATOR, Call, Fold, Ident, ListOf, Literal, MapOf, Node, Select
from scheduler.core.cel.types import CIDR, FORMAT, IP, QUANTITY, SEMVER, URL, Type

_TWO_64: Final = 2.0**64
_MAX_NAME_PATTERN: Final = 128
_ATTRIBUTE, _ID, _DOMAIN, _DRIVER, _MANY = 64, 32, 63, 63, 32


def _add(*numbers: int) -> int:
    return min(sum(numbers), UINT_MAX)


def _times(a: int, b: int) -> int:
    return min(a * b, UINT_MAX)


def _scaled(size: int, factor: float) -> int:
    number = float(size)
    if number > 0 and factor > 0 and number > _TWO_64 / factor:
        return UINT_MAX
    found = math.ceil(number * factor)
    return UINT_MAX if found >= _TWO_64 else found


class Size(NamedTuple):
    """From how many to how many characters, bytes, elements or entries."""

    least: int
    most: int

    def plus(self, other: "Size") -> "Size":
        """The sizes of both together."""
        return Size(_add(self.least, other.least), _add(self.most, other.most))

    def by(self, other: "Size") -> "Size":
        """The product."""
        return Size(_times(self.least, other.least), _times(self.most, other.most))

    def union(self, other: "Size") -> "Size":
        """Either of both."""
        return Size(min(self.least, other.least), max(self.most, other.most))


_UNKNOWN: Final = Size(0, UINT_MAX)
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entries:
    """How large keys and values of a list or a map are."""

    listed: bool
    key: Size
    value: Size

    def union(self, other: "_Entries") -> "_Entries":
        return _Entries(self.listed, self.key.union(other.key), self.value.union(other.value))


@dataclass(frozen=True, slots=True)
class _Local:
    path: Path
    size: Size | None
    entries: _Entries | None


@dataclass(frozen=True, slots=True)
class _Argument:
    """What an estimate may know of an argument."""

    path: Path
    type: Type
    size: Size | None
    node: Node | None

    def known(self) -> Size:
        """Its size, from the limits of the API if not from the expression."""
        if self.size is not None:
            return self.size
        return declared_size(self.path) or _UNKNOWN


class _Call(NamedTuple):
    cost: int
    size: Size | None = None


def declared_size(path: Path) -> Size | None:
    """What the API allows for a part of `device`; None for what it does not name."""
    if not path or path[0] != "device":
        return None
    if len(path) == 1:
        return Size(0, 0)
    fields = {"driver": _DRIVER, "allowMultipleAllocations": 1}
    if path[1] in fields:
        return Size(0, fields[path[1]]) if len(path) == 2 else None
    if path[1] not in {"attributes", "capacity"}:
        return None
    rest = path[2:]
    if not rest:
        return Size(0, _MANY)
    if rest[0] == "@keys":
        return Size(0, _DOMAIN) if len(rest) == 1 else None
    if rest[0] not in {"@items", "@values"}:
        return None
    if len(rest) == 1:
        return Size(0, _MANY)
    if len(rest) > 2:
        return None
    if rest[1] == "@keys":
        return Size(0, _ID)
    if path[1] == "capacity":
        return Size(0, 0) if rest[1] in {"@items", "@values"} else None
    return Size(0, _ATTRIBUTE)


_EQUALITY: Final = frozenset({"equals", "not_equals"}) | {
    f"{order}_{kind}" for order in ("less", "less_equals", "greater", "greater_equals") for kind in ("string", "bytes")
}


def max_cost(root: Node) -> int:
    """The most that an evaluation of a checked tree costs, 2^64 - 1 where that is unknown."""
    return _Estimator().cost(root)


class _Estimator:
    def __init__(self) -> None:
        self._paths: dict[int, Path] = {}
        self._locals: dict[str, list[_Local]] = {}
        self._sizes: dict[int, Size] = {}
        self._entries: dict[int, _Entries] = {}

    # ------------------------------------------------------------ nodes

    def cost(self, node: Node) -> int:
        match node:
            case Literal():
                return 0
            case Ident():
                return self._ident(node, node.name)
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListOf():
                return self._list(node)
            case MapOf():
                return self._map(node)
            case Fold():
                return self._bind(node) if node.binds() else self._fold(node)
        raise TypeError(type(node).__name__)

    def _ident(self, node: Node, name: str) -> int:
        local = self._local(name)
        self._paths[node.id] = (name,) if local is None else local.path
        return 1

    def _local(self, name: str) -> _Local | None:
        held = self._locals.get(name)
        return held[-1] if held else None

    def _select(self, node: Select) -> int:
        if node.constant is not None:
            return self._ident(node, f"{node.field}")
        cost = self.cost(node.operand)
        if node.tests:
            return cost
        if node.operand.type.kind in {"map", "struct", "param"}:
            cost = _add(cost, 1)
        self._paths[node.id] = (*self._path(node.operand), node.field)
        return cost

    def _list(self, node: ListOf) -> int:
        cost, size = 0, Size(0 if not node.elements else UINT_MAX, 0)
        for element in node.elements:
            cost = _add(cost, self.cost(element))
            size = size.union(self._known(element))
        self._entries[node.id] = _Entries(True, Size(1, 1), size)
        return _add(cost, LIST)

    def _map(self, node: MapOf) -> int:
        cost = 0
        keys = values = Size(0 if not node.entries else UINT_MAX, 0)
        for key, value, _ in node.entries:
            cost = _add(cost, self.cost(key), self.cost(value))
            keys, values = keys.union(self._known(key)), values.union(self._known(value))
        self._entries[node.id] = _Entries(False, keys, values)
        return _add(cost, MAP)

    def _push(self, name: str, local: _Local) -> None:
        self._locals.setdefault(name, []).append(local)

    def _fold(self, node: Fold) -> int:
        cost = _add(self.cost(node.items), self.cost(node.start))
        self._push(node.accumulator, _Local(self._path(node.start), self._size(node.start), self._inside(node.start)))
        inside, path = self._inside(node.items), self._path(node.items)
        listed = node.items.type.kind == "list" if inside is None else inside.listed
        key, value = (None, None) if inside is None else (inside.key, inside.value)
        if node.second is not None:
            self._push(node.variable, _Local((*path, "@indices" if listed else "@keys"), key, None))
            self._push(node.second, _Local((*path, "@items" if listed else "@values"), value, None))
        else:
            single = ((*path, "@items"), value) if listed else ((*path, "@keys"), key)
            self._push(node.variable, _Local(*single, None))
        loop = _add(self.cost(node.condition), self.cost(node.step))
        self._locals[node.variable].pop()
        if node.second is not None:
            self._locals[node.second].pop()
        cost = _add(cost, self.cost(node.result))
        self._locals[node.accumulator].pop()
        count = self._known(node.items)
        cost = _add(cost, _times(count.most, loop))
        if isinstance(node.start, Literal):
            found = self._size(node.start)
            if found is not None:
                self._sizes[node.id] = found
        elif isinstance(node.start, ListOf | MapOf):
            self._sizes[node.id] = count
            made = self._inside(node.step)
            if made is not None:
                self._entries[node.id] = made
        return cost

    def _bind(self, node: Fold) -> int:
        cost = _add(self.cost(node.items), self.cost(node.start))
        self._push(node.accumulator, _Local(self._path(node.start), self._size(node.start), self._inside(node.start)))
        cost = _add(cost, self.cost(node.result))
        self._locals[node.accumulator].pop()
        self._copy(node, node.result)
        return cost

    def _copy(self, to: Node, source: Node) -> None:
        size, inside = self._size(source), self._inside(source)
        if size is not None:
            self._sizes[to.id] = size
        if inside is not None:
            self._entries[to.id] = inside

    # ------------------------------------------------------------ what is known of a node

    def _path(self, node: Node) -> Path:
        if isinstance(node, Ident):
            local = self._local(node.name)
            if local is not None:
                return local.path
        return self._paths.get(node.id, ())

    def _size(self, node: Node) -> Size | None:
        found = self._sizes.get(node.id) or _written_size(node)
        if found is not None:
            return found
        found = declared_size(self._path(node))
        if found is not None:
            self._sizes[node.id] = found
            return found
        if _is_scalar(node.type):
            return Size(1, 1)
        if isinstance(node, Ident):
            local = self._local(node.name)
            if local is not None:
                return local.size
        return None

    def _known(self, node: Node) -> Size:
        return self._size(node) or _UNKNOWN

    def _inside(self, node: Node) -> _Entries | None:
        found = self._entries.get(node.id)
        if found is None and isinstance(node, Ident):
            local = self._local(node.name)
            return None if local is None else local.entries
        return found

    def _argument(self, node: Node) -> _Argument:
        path = self._path(node)
        if path and path[0] in {ACCUMULATOR, "__result__"}:
            path = ()
        return _Argument(path, node.type, self._size(node), node)

    # ------------------------------------------------------------ calls

    def _call(self, node: Call) -> int:
        if node.function == "dyn":
            cost = _add(1, self.cost(node.arguments[0]))
            self._copy(node, node.arguments[0])
            return cost
        costs = [self.cost(each) for each in node.arguments]
        arguments = [self._argument(each) for each in node.arguments]
        if not node.overloads:
            return 0
        total, target = 0, None
        if node.target is not None:
            total = self.cost(node.target)
            target = self._argument(node.target)
        most, size = 0, None
        for overload in node.overloads:
            found = self._overload(node, overload, target, arguments, costs)
            most = max(most, found.cost)
            if found.size is not None:
                size = found.size if size is None else size.union(found.size)
            if overload in {"index_list", "index_map"} and arguments:
                inside = self._inside(node.arguments[0])
                size = None if inside is None else inside.value
                step = "@items" if overload == "index_list" else "@values"
                self._paths[node.id] = (*self._path(node.arguments[0]), step)
            if size is None:
                size = self._size(node)
        if size is not None:
            self._sizes[node.id] = size
        return _add(total, most)

    def _overload(
        self, node: Call, overload: str, target: _Argument | None, arguments: list[_Argument], costs: list[int]
    ) -> _Call:  # fmt: skip
        found = _extension(overload, target, arguments)
        if found is None:
            found = _kubernetes(node.function, overload, target, arguments)
        if found is not None:
            return _Call(_add(found.cost, *costs), found.size)
        if overload in {"logical_and", "logical_or"}:
            return _Call(_add(*costs))
        if overload == "conditional":
            one, other = self._inside(node.arguments[1]), self._inside(node.arguments[2])
            if one is not None and other is not None:
                self._entries[node.id] = one.union(other)
            size = _sized(arguments[1]).union(_sized(arguments[2]))
            return _Call(_add(costs[0], max(costs[1], costs[2])), size)
        if overload in {"add_string", "add_bytes", "add_list"}:
            one, other = self._inside(node.arguments[0]), self._inside(node.arguments[1])
            if one is not None and other is not None:
                self._entries[node.id] = one.union(other)
            size = _sized(arguments[0]).plus(_sized(arguments[1]))
            return _Call(_add(1 if overload == "add_list" else _scaled(size.most, STRING_FACTOR), *costs), size)
        own = _language(overload, target, arguments)
        return _Call(_add(own.cost, *costs), own.size)


def _sized(argument: _Argument) -> Size:
    return argument.size if argument.size is not None else _UNKNOWN


def _written_size(node: Node) -> Size | None:
    if isinstance(node, Literal):
        count = len(node.value) if type(node.value) in {str, bytes} else 1
        return Size(count, count)
    if isinstance(node, ListOf):
        return Size(len(node.elements), len(node.elements))
    return Size(len(node.entries), len(node.entries)) if isinstance(node, MapOf) else None


def _is_scalar(kind: Type) -> bool:
    if kind.name == "optional_type" and kind.inner:
        return _is_scalar(kind.inner[0])
    return kind.kind in {"bool", "double", "duration", "int", "timestamp", "uint"}


def _language(overload: str, target: _Argument | None, arguments: list[_Argument]) -> _Call:
    if overload == "string_format" and target is not None:
        return _Call(_scaled(_sized(target).most, STRING_FACTOR))
    if overload in {"string_to_bytes", "bytes_to_string", "strings_quote"}:
        size = _sized(arguments[0])
        cost = _scaled(size.most, STRING_FACTOR)
        if overload == "string_to_bytes":
            return _Call(cost, Size(size.least, size.most * 4 % 2**64))
        if overload == "bytes_to_string":
            return _Call(cost, Size(size.least // 4, size.most))
        return _Call(cost, Size((size.least + 2) % 2**64, (size.most * 2 + 2) % 2**64))
    if overload in {"starts_with_string", "ends_with_string"}:
        return _Call(_scaled(_sized(arguments[0]).most, STRING_FACTOR))
    if overload == "in_list":
        return _Call(_scaled(_sized(arguments[1]).most, 1))
    if overload in {"matches", "matches_string"}:
        text, regex = (arguments[0], arguments[1]) if target is None else (target, arguments[0])
        return _Call(_searching(_sized(text), _sized(regex)))
    if overload == "contains_string" and target is not None:
        return _Call(_times(_scaled(_sized(target).most, STRING_FACTOR), _scaled(_sized(arguments[0]).most,
                                                                               STRING_FACTOR)))  # fmt: skip
    if overload in _EQUALITY:
        most = min(_sized(arguments[0]).most, _sized(arguments[1]).most)
        return _Call(_scaled(most, STRING_FACTOR))
    return _Call(1)


def _searching(text: Size, regex: Size) -> int:
    return _times(_scaled(_add(text.most, 1), STRING_FACTOR), _scaled(regex.most, PATTERN_FACTOR))


def _whole(argument: _Argument, default: int) -> int:
    if not isinstance(argument.node, Literal) or type(argument.node.value) is not int:
        return default
    return max(argument.node.value, 0)


def _extension(overload: str, target: _Argument | None, arguments: list[_Argument]) -> _Call | None:
    if overload.startswith("list_sets_"):
        product = arguments[0].known().by(arguments[1].known())
        return _Call(_add(_scaled(product.most, 2.0 if overload == "list_sets_equivalent_list" else 1.0), 1))
    if overload == "lists_range":
        count = _whole(arguments[0], UINT_MAX)
        return _allocating(1.0, Size(count, count))
    if target is None or not overload.startswith("list_"):
        return None
    if overload == "list_slice":
        start, end = _whole(arguments[0], 0), _whole(arguments[1], target.known().most)
        count = (end - start) % 2**64
        return _allocating(1.0, Size(count, count))
    if overload == "list_reverse":
        return _allocating(1.0, target.known())
    if overload in {"list_flatten", "list_flatten_int"}:
        return _allocating(float(_whole(arguments[0], UINT_MAX) if arguments else 1), target.known())
    if overload == "list_distinct":
        return _allocating(2.0, target.known().by(target.known()))
    if overload.endswith(("_sort", "_sortByAssociatedKeys")):
        size = (arguments[0] if overload.endswith("Keys") else target).known()
        texts = overload.startswith(("list_string_", "list_bytes_"))
        return _allocating(2.0 + (STRING_FACTOR if texts else 0), size.by(size))
    return None


def _allocating(factor: float, size: Size) -> _Call:
    return _Call(_add(_scaled(size.most, factor), 1, LIST), size)


def _scan(argument: _Argument, factor: float = STRING_FACTOR) -> int:
    return _scaled(argument.known().most, factor)


def _kubernetes(
    function: str, overload: str, target: _Argument | None, arguments: list[_Argument]
) -> _Call | None:  # fmt: skip
    if function in NOMINAL:
        return _Call(1)
    rule = _RULES.get(function)
    return None if rule is None else rule(overload, target, arguments)


_Rule = Callable[[str, _Argument | None, list[_Argument]], _Call | None]


def _listed(name: str) -> _Rule:
    def rule(overload: str, target: _Argument | None, arguments: list[_Argument]) -> _Call | None:
        if target is None:
            return None
        size = target.known()
        if target.type.inner:
            each = target.type.inner[0]
            cost = 1
            if each.kind in {"string", "bytes"}:
                path = (*target.path, "@items") if target.path else ()
                cost = _add(1, _scan(_Argument(path, each, None, None)))
            return _Call(_times(size.most, cost))
        return _Call(size.most if name == "includes" else _scaled(size.most, STRING_FACTOR))

    return rule


def _transformed(overload: str, target: _Argument | None, arguments: list[_Argument]) -> _Call | None:
    return None if target is None else _Call(_scan(target), target.known())


def _parsed(overload: str, target: _Argument | None, arguments: list[_Argument]) -> _Call | None:
    if overload == "cidr_ip":
        return _Call(1)
    return _Call(_scan(arguments[0])) if arguments else None


def _url(overload: str, target: _Argument | None, arguments: list[_Argument]) -> _Call | None:
    return _Call(_scan(arguments[0]), arguments[0].known()) if len(arguments) == 1 else None


def _replace(overload: str, target: _Argument | None, arguments: list[_Argument]) -> _Call | None:
    if target is None or len(arguments) < 2:
        return None
    size, old, new = target.known(), arguments[0].known(), arguments[1].known()
    if old.least == 0:
        most, kept_most = _add(size.most, 1), size.most
    elif new.most <= old.least:
        most, kept_most = 0, size.most
    else:
        most, kept_most = math.ceil(float(size.most) / float(old.least)), 0
    if old.most == 0:
        least, kept_least = _add(size.least, 1), size.least
    elif old.most <= new.least:
        least, kept_least = 0, size.least
    else:
        least, kept_least = math.ceil(float(size.least) / float(old.most)), 0
    result = Size(least, min(most, UINT_MAX)).by(new).plus(Size(kept_least, kept_most))
    return _Call(_scan(target, 2 * STRING_FACTOR), result)


def _split(overload: str, target: _Argument | None, arguments: list[_Argument]) -> _Call | None:
    if target is None:
        return None
    most = target.known().most
    if len(arguments) > 1 and isinstance(arguments[1].node, Literal) and type(arguments[1].node.value) is int:
        most = arguments[1].node.value % 2**64
    return _Call(_scan(target, 2 * STRING_FACTOR), Size(0, most))


def _join(overload: str, target: _Argument | None, arguments: list[_Argument]) -> _Call | None:
    if target is None:
        return None
    count, size = target.known(), Size(0, 0)
    if target.type.inner:
        path = (*target.path, "@items") if target.path else ()
        size = count.by(_Argument(path, target.type.inner[0], None, None).known())
    if arguments:
        size = size.plus(arguments[0].known().by(Size(max(count.least - 1, 0), max(count.most - 1, 0))))
    return _Call(_scaled(size.most, STRING_FACTOR), size)


def _find(overload: str, target: _Argument | None, arguments: list[_Argument]) -> _Call | None:
    if target is None or not arguments:
        return None
    return _Call(_searching(target.known(), arguments[0].known()), Size(0, target.known().most))


def _contains(overload: str, target: _Argument | None, arguments: list[_Argument]) -> _Call | None:
    cost = _scaled(32, STRING_FACTOR)
    if overload.startswith("cidr_contains_cidr"):
        cost += _scaled(16, STRING_FACTOR) + 1
    return _Call(_add(cost, _scan(arguments[0]) if overload.endswith("_string") else 0))


def _validate(overload: str, target: _Argument | None, arguments: list[_Argument]) -> _Call | None:
    return _Call(_scaled(_scan(arguments[0]), _MAX_NAME_PATTERN * PATTERN_FACTOR))


def _equal(overload: str, target: _Argument | None, arguments: list[_Argument]) -> _Call | None:
    left, right = arguments[0], arguments[1]
    if left.type.name != right.type.name:
        return None
    if left.type in {IP, CIDR, QUANTITY, SEMVER}:
        return _Call(1)
    if left.type == FORMAT:
        return _Call(_scaled(64, STRING_FACTOR))
    if left.type == URL:
        return _Call(_scaled(1 if right.size is None else right.size.most, STRING_FACTOR))
    return None


def _check(overload: str, target: _Argument | None, arguments: list[_Argument]) -> _Call | None:
    return _Call(350_000)


_RULES: Final[dict[str, _Rule]] = {
    **{name: _listed(name) for name in ("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf", "includes")},
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _transformed),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "ip", "quantity", "isQuantity", "semver", "isSemver"), _parsed),
    "ip.isCanonical": lambda overload, target, arguments: _Call(_scan(arguments[0], 2 * STRING_FACTOR)),
    "url": _url, "replace": _replace, "split": _split, "join": _join, "find": _find, "findAll": _find,
    "containsIP": _contains, "containsCIDR": _contains, "validate": _validate, "_==_": _equal, "check": _check,
}  # fmt: skip
