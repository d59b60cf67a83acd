"""What a call costs when it is evaluated, in the units of Kubernetes' CEL budget.

Sources: cel-go interpreter/runtimecost.go, ext/lists.go and ext/sets.go, and k8s.io/apiserver/pkg/cel/library/cost.go.
"""

import math
from typing import Any, Final

from scheduler.core.cel.amount import Amount
from scheduler.core.cel.semver import Semver
from scheduler.core.cel.values import LISTS, MAPS, Abort, Cidr, Format, Ip, Optional, Url, items_of, size_of

LIMIT: Final = 1_000_000
"""What one evaluation may cost (CELSelectorExpressionMaxCost)."""

LIST: Final = 10
MAP: Final = 30
STRING_FACTOR: Final = 0.1
PATTERN_FACTOR: Final = 0.25
UINT_MAX: Final = 2**64 - 1

_TRAVERSING: Final = frozenset({"isSorted", "sum", "max", "min", "indexOf", "lastIndexOf", "includes"})
_SCANNING: Final = frozenset({
    "url", "lowerAscii", "upperAscii", "substring", "trim", "cidr", "isIP", "isCIDR", "quantity", "isQuantity",
    "semver", "isSemver",
})  # fmt: skip
NOMINAL: Final = frozenset({
    "serviceAccount", "path", "group", "resource", "subresource", "namespace", "name", "allowed", "reason", "error",
    "errored", "masked", "prefixLength", "family", "isUnspecified", "isLoopback", "isLinkLocalMulticast",
    "isLinkLocalUnicast", "isGlobalUnicast", "format.named", "sign", "asInteger", "isInteger", "asApproximateFloat",
    "isGreaterThan", "isLessThan", "compareTo", "add", "sub", "major", "minor", "patch", "getScheme", "getHostname",
    "getHost", "getPort", "getEscapedPath", "getQuery",
})  # fmt: skip
"""Functions that cost one unit."""

_ATOMS: Final = frozenset({Amount, Ip, Cidr, Format, Url, Semver})
_SORTS: Final = tuple("_" + suffix for suffix in ("sort", "sortByAssociatedKeys"))
_SMALLER: Final = frozenset(
    f"{order}_{kind}" for order in ("less", "less_equals", "greater", "greater_equals") for kind in ("string", "bytes")
) | {"equals", "not_equals"}


def plain_size(value: Any) -> int:
    """Its size, or 1."""
    found = size_of(value)
    return 1 if found is None else found


def _size(value: Any) -> int:
    """Its size, or that of the value in an optional one, or 1."""
    while type(value) is Optional and value.present:
        value = value.value
    return plain_size(value)


def scaled(size: float, factor: float) -> int:
    """The next integer."""
    return math.ceil(size * factor)


def call_cost(function: str, overload: str, arguments: list[Any], result: Any) -> int:
    """The cost of a call, from its arguments (the receiver first) and its result, failures included."""
    found = _extension(overload, arguments, result)
    if found is None:
        found = _kubernetes(function, overload, arguments, result)
    return _language(overload, arguments) if found is None else found


def _extension(overload: str, arguments: list[Any], result: Any) -> int | None:
    if overload.startswith("list_"):
        if overload in {"list_slice", "list_reverse"}:
            return _allocating(1, plain_size(result))
        if overload in {"list_flatten", "list_flatten_int"}:
            if len(arguments) == 2 and type(arguments[1]) is not int:
                raise Abort("internal error: the cost of flattening to a depth that is not an integer")
            depth = float(arguments[1]) if len(arguments) == 2 else 1.0
            return _allocating(depth, plain_size(arguments[0]))
        if overload == "list_distinct" or overload.endswith(_SORTS):
            return _comparing(arguments[1 if overload.endswith("Keys") else 0])
        if overload.startswith("list_sets_"):
            twice = 2 if overload == "list_sets_equivalent_list" else 1
            return 1 + plain_size(arguments[0]) * plain_size(arguments[1]) * twice
    if overload == "lists_range":
        return _allocating(1, plain_size(result))
    return None


def _allocating(factor: float, size: int) -> int:
    if factor < 0:
        factor = 1.0
    return min(int(size * factor) + 1 + LIST, UINT_MAX)


def _comparing(values: Any) -> int:
    if type(values) not in LISTS:
        raise Abort("internal error: the cost of sorting something that is not a list")
    items = items_of(values)
    size = len(items)
    factor = 2.0 + (STRING_FACTOR if size and type(items[0]) in {str, bytes} else 0)
    return _allocating(factor, size * size)


def _traversal(value: Any) -> int:
    kind = type(value)
    if kind is str:
        return int(len(value.encode(errors="surrogatepass")) * STRING_FACTOR)
    if kind is bytes:
        return int(len(value) * STRING_FACTOR)
    if kind in LISTS:
        return sum(_traversal(each) for each in items_of(value))
    if kind in MAPS:
        return sum(_traversal(key) + _traversal(value.find(key)) for key in value.keys())  # noqa: SIM118
    return 1


def _kubernetes(function: str, overload: str, arguments: list[Any], result: Any) -> int | None:
    if function in NOMINAL:
        return 1
    if function == "_==_":
        return 1 if type(arguments[0]) in _ATOMS else None
    if function in _TRAVERSING:
        return _traversal(arguments[0])
    if function == "ip":
        return 1 if overload == "cidr_ip" else scaled(plain_size(arguments[0]), STRING_FACTOR)
    if function in _SCANNING:
        return scaled(plain_size(arguments[0]), STRING_FACTOR)
    if function in {"replace", "split", "ip.isCanonical"}:
        return scaled(float(plain_size(arguments[0])) * 2, STRING_FACTOR)
    if function == "join":
        return scaled(float(plain_size(result)) * 2, STRING_FACTOR)
    if function in {"find", "findAll"}:
        return _searching(plain_size(arguments[0]), plain_size(arguments[1]))
    if function in {"containsIP", "containsCIDR"}:
        return _containing(function, overload, arguments)
    if function == "validate" and type(arguments[0]) is Format:
        return _searching(plain_size(arguments[1]), arguments[0].pattern_size)
    return 350_000 if function == "check" else None


def _searching(size: int, pattern: int) -> int:
    return scaled(1.0 + size, STRING_FACTOR) * scaled(pattern, PATTERN_FACTOR)


def _containing(function: str, overload: str, arguments: list[Any]) -> int:
    network, other = plain_size(arguments[0]), plain_size(arguments[1])
    cost = scaled(network + network, STRING_FACTOR)
    if function == "containsCIDR":
        cost += scaled(network, STRING_FACTOR) + 1
    return cost + (scaled(other, STRING_FACTOR) if overload.endswith("_string") else 0)


def _language(overload: str, arguments: list[Any]) -> int:
    if overload in _SMALLER:
        return scaled(min(_size(arguments[0]), _size(arguments[1])), STRING_FACTOR)
    if overload in {"starts_with_string", "ends_with_string"}:
        return scaled(_size(arguments[1]), STRING_FACTOR)
    if overload in {"string_to_bytes", "bytes_to_string", "strings_quote", "string_format"}:
        return scaled(_size(arguments[0]), STRING_FACTOR)
    if overload == "in_list":
        return _size(arguments[1])
    if overload in {"add_string", "add_bytes"}:
        return scaled(_size(arguments[0]) + _size(arguments[1]), STRING_FACTOR)
    if overload in {"matches", "matches_string"}:
        return _searching(_size(arguments[0]), _size(arguments[1]))
    if overload == "contains_string":
        return scaled(_size(arguments[0]), STRING_FACTOR) * scaled(_size(arguments[1]), STRING_FACTOR)
    return 1
