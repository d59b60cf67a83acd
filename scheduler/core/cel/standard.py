"""Operators, conversions and the other functions of the CEL language itself, and optional values."""

import math
import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import re2

from scheduler.core.cel import times
from scheduler.core.cel.registry import FUNCTIONS, declare, share
from scheduler.core.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    map_of,
    optional_of,
    parameter,
    type_of,
)  # fmt: skip
from scheduler.core.cel.values import (
    COMPARABLE,
    INT_MAX,
    INT_MIN,
    LISTS,
    MAPS,
    NONE,
    UINT_MAX,
    Duration,
    Failure,
    Growing,
    Joined,
    Map,
    Optional,
    Timestamp,
    TypeValue,
    Uint,
    contains,
    items_of,
    order,
    type_name,
)  # fmt: skip

MAX_TEXT: Final = 1 << 24
"""Characters in a computed string. What Kubernetes' cost limit allows is a few times more."""

A: Final = parameter("A")
B: Final = parameter("B")
_LIST: Final = list_of(A)
_MAP: Final = map_of(A, B)

# ---------------------------------------------------------------- logic and comparison

declare("_?_:_", "conditional", (BOOL, A, A), A)
declare("_&&_", "logical_and", (BOOL, BOOL), BOOL)
declare("_||_", "logical_or", (BOOL, BOOL), BOOL)
declare("!_", "logical_not", (BOOL,), BOOL)
declare("@not_strictly_false", "not_strictly_false", (BOOL,), BOOL)
declare("_==_", "equals", (A, A), BOOL)
declare("_!=_", "not_equals", (A, A), BOOL)


def _not(value: Any) -> bool:
    if type(value) is not bool:
        raise Failure()
    return not value


def _compared(test: Callable[[int, int], bool]) -> Callable[[Any, Any], Any]:
    def compare(a: Any, b: Any) -> Any:
        found = order(a, b)
        return found if type(found) is Failure else test(found, 0)

    return compare


share("!_", _not)
_ORDERED: Final = (
    ("bool", BOOL, BOOL), ("int64", INT, INT), ("int64_double", INT, DOUBLE), ("int64_uint64", INT, UINT),
    ("uint64", UINT, UINT), ("uint64_double", UINT, DOUBLE), ("uint64_int64", UINT, INT), ("double", DOUBLE, DOUBLE),
    ("double_int64", DOUBLE, INT), ("double_uint64", DOUBLE, UINT), ("string", STRING, STRING),
    ("bytes", BYTES, BYTES), ("timestamp", TIMESTAMP, TIMESTAMP), ("duration", DURATION, DURATION),
)  # fmt: skip
for _name, _id, _test in (
    ("_<_", "less", operator.lt), ("_<=_", "less_equals", operator.le), ("_>_", "greater", operator.gt),
    ("_>=_", "greater_equals", operator.ge),
):  # fmt: skip
    for _kind, _left, _right in _ORDERED:
        declare(_name, f"{_id}_{_kind}", (_left, _right), BOOL)
    share(_name, _compared(_test), COMPARABLE)

# ---------------------------------------------------------------- arithmetic


def _int64(value: int) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise Failure("integer overflow")
    return value


def _uint64(value: int) -> Uint:
    if not 0 <= value <= UINT_MAX:
        raise Failure("unsigned integer overflow")
    return Uint(value)


def _add(a: Any, b: Any) -> Any:
    kind, other = type(a), type(b)
    if kind in LISTS:
        return _joined(a, b)
    if {kind, other} == {Timestamp, Duration}:
        return times.later(a, b) if kind is Timestamp else times.later(b, a)
    if kind is not other:
        raise Failure()
    if kind is int:
        return _int64(a + b)
    if kind is Uint:
        return _uint64(int(a) + int(b))
    if kind is Duration:
        return times.limited(a.nanos + b.nanos)
    if kind is str and len(a) + len(b) > MAX_TEXT:
        raise too_long()
    if kind in {float, str, bytes}:
        return a + b
    raise Failure()


def too_long() -> Failure:
    """The error for a string that nobody should build."""
    return Failure(f"string longer than {MAX_TEXT} characters")


def _joined(a: Any, b: Any) -> Any:
    if type(b) not in LISTS:
        raise Failure()
    right = items_of(b)
    if type(a) is Growing:
        a.items.extend(right)
        return a
    if not a:
        return b
    return Joined((*a, *right)) if len(right) else a


def _subtract(a: Any, b: Any) -> Any:
    kind, other = type(a), type(b)
    if kind is Timestamp and other is Duration:
        return times.earlier(a, b)
    if kind is not other:
        raise Failure()
    if kind is int:
        return _int64(a - b)
    if kind is Uint:
        return _uint64(int(a) - int(b))
    if kind is float:
        return a - b
    if kind is Duration:
        return times.limited(a.nanos - b.nanos)
    return times.between(a, b)


def _multiply(a: Any, b: Any) -> Any:
    if type(a) is not type(b):
        raise Failure()
    if type(a) is int:
        return _int64(a * b)
    return _uint64(int(a) * int(b)) if type(a) is Uint else a * b


def _divide(a: Any, b: Any) -> Any:
    if type(a) is not type(b):
        raise Failure()
    if type(a) is float:
        if b == 0:
            return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)
        return a / b
    if b == 0:
        raise Failure("division by zero")
    if type(a) is Uint:
        return Uint(int(a) // int(b))
    quotient = abs(a) // abs(b)
    return _int64(quotient if (a < 0) == (b < 0) else -quotient)


def _modulo(a: Any, b: Any) -> Any:
    if type(a) is not type(b):
        raise Failure()
    if b == 0:
        raise Failure("modulus by zero")
    if type(a) is Uint:
        return Uint(int(a) % int(b))
    if a == INT_MIN and b == -1:
        raise Failure("integer overflow")
    rest = abs(a) % abs(b)
    return -rest if a < 0 else rest


def _negate(a: Any) -> Any:
    if type(a) is int:
        return _int64(-a)
    return times.limited(-a.nanos) if type(a) is Duration else -a


for _id, _left, _right, _result in (
    ("add_bytes", BYTES, BYTES, BYTES), ("add_double", DOUBLE, DOUBLE, DOUBLE),
    ("add_duration_duration", DURATION, DURATION, DURATION),
    ("add_duration_timestamp", DURATION, TIMESTAMP, TIMESTAMP),
    ("add_timestamp_duration", TIMESTAMP, DURATION, TIMESTAMP), ("add_int64", INT, INT, INT),
    ("add_list", _LIST, _LIST, _LIST), ("add_string", STRING, STRING, STRING), ("add_uint64", UINT, UINT, UINT),
):  # fmt: skip
    declare("_+_", _id, (_left, _right), _result)
for _id, _left, _right, _result in (
    ("subtract_double", DOUBLE, DOUBLE, DOUBLE), ("subtract_duration_duration", DURATION, DURATION, DURATION),
    ("subtract_int64", INT, INT, INT), ("subtract_timestamp_duration", TIMESTAMP, DURATION, TIMESTAMP),
    ("subtract_timestamp_timestamp", TIMESTAMP, TIMESTAMP, DURATION), ("subtract_uint64", UINT, UINT, UINT),
):  # fmt: skip
    declare("_-_", _id, (_left, _right), _result)
for _name, _id in (("_*_", "multiply"), ("_/_", "divide")):
    for _kind, _type in (("double", DOUBLE), ("int64", INT), ("uint64", UINT)):
        declare(_name, f"{_id}_{_kind}", (_type, _type), _type)
for _kind, _type in (("int64", INT), ("uint64", UINT)):
    declare("_%_", f"modulo_{_kind}", (_type, _type), _type)
declare("-_", "negate_double", (DOUBLE,), DOUBLE)
declare("-_", "negate_int64", (INT,), INT)
share("_+_", _add, frozenset({int, Uint, float, str, bytes, Duration, Timestamp, *LISTS}))
share("_-_", _subtract, frozenset({int, Uint, float, Duration, Timestamp}))
share("_*_", _multiply, frozenset({int, Uint, float}))
share("_/_", _divide, frozenset({int, Uint, float}))
share("_%_", _modulo, frozenset({int, Uint}))
share("-_", _negate, frozenset({int, float, Duration}))

# ---------------------------------------------------------------- containers

_K: Final = parameter("K")
_V: Final = parameter("V")
_LIST_V: Final = list_of(_V)
_MAP_KV: Final = map_of(_K, _V)
_OPTIONAL_V: Final = optional_of(_V)

declare("_[_]", "index_list", (_LIST, INT), A)
declare("_[_]", "index_map", (_MAP, A), B)
declare("_[_]", "optional_list_index_int", (optional_of(_LIST_V), INT), _OPTIONAL_V)
declare("_[_]", "optional_map_index_value", (optional_of(_MAP_KV), _K), _OPTIONAL_V)
declare("_[?_]", "list_optindex_optional_int", (_LIST_V, INT), _OPTIONAL_V)
declare("_[?_]", "optional_list_optindex_optional_int", (optional_of(_LIST_V), INT), _OPTIONAL_V)
declare("_[?_]", "map_optindex_optional_value", (_MAP_KV, _K), _OPTIONAL_V)
declare("_[?_]", "optional_map_optindex_optional_value", (optional_of(_MAP_KV), _K), _OPTIONAL_V)
declare("@in", "in_list", (A, _LIST), BOOL)
declare("@in", "in_map", (A, _MAP), BOOL)


def _in(item: Any, container: Any) -> bool:
    if type(container) in LISTS:
        return contains(container, item)
    if type(container) in MAPS:
        return bool(container.contains(item))
    raise Failure()


share("@in", _in)
for _id, _type in (("size_bytes", BYTES), ("size_list", _LIST), ("size_map", _MAP), ("size_string", STRING)):
    declare("size", _id, (_type,), INT)
    _member = {"size_bytes": "bytes_size", "size_list": "list_size", "size_map": "map_size"}.get(_id, "string_size")
    declare("size", _member, (_type,), INT, member=True)
share("size", lambda value: len(items_of(value)), frozenset({str, bytes, *LISTS, *MAPS}))


def insert(target: Any, key: Any, value: Any) -> Any:
    """The map with one more entry: itself, if it is a macro's accumulator."""
    if target.contains(key):
        raise Failure("insert failed: the key already exists")
    if type(target) is Map and target.growing:
        target.put(key, value)
        return target
    fresh = Map()
    fresh.put(key, value)
    for each in target.keys():  # noqa: SIM118
        fresh.put(each, target.find(each))
    return fresh


def _insert_all(target: Any, more: Any) -> Any:
    for key in more.keys():  # noqa: SIM118
        target = insert(target, key, more.find(key))
    return target


declare("cel.@mapInsert", "@mapInsert_map_key_value", (_MAP_KV, _K, _V), _MAP_KV, insert)
declare("cel.@mapInsert", "@mapInsert_map_map", (_MAP_KV, _MAP_KV), _MAP_KV, _insert_all)

# ---------------------------------------------------------------- conversions


def decimal(value: float) -> str:
    """Shortest digits that read back, scientific below 1e-4 and from 1e6 on, as Kubernetes prints doubles."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    mantissa = exponent_text = ""
    for precision in range(17):
        mantissa, _, exponent_text = f"{value:.{precision}e}".partition("e")
        if float(f"{mantissa}e{exponent_text}") == value:
            break
    exponent = int(exponent_text)
    digits = len(mantissa.lstrip("-").replace(".", ""))
    if exponent < -4 or exponent >= 6:
        return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def _int_of_text(text: str) -> int:
    return _int64(_number(text, "int"))


def _uint_of_text(text: str) -> Uint:
    if text[:1] in {"+", "-"}:
        raise Failure(f"cannot read {text[:40]!r} as uint")
    return _uint64(_number(text, "uint"))


def _number(text: str, kind: str) -> int:
    body = text[1:] if text[:1] in {"+", "-"} else text
    if not (body.isascii() and body.isdigit()):
        raise Failure(f"cannot read {text[:40]!r} as {kind}")
    digits = body.lstrip("0") or "0"
    value = int(digits) if len(digits) <= 20 else UINT_MAX + 1
    return -value if text[0] == "-" else value


def _int_of_double(value: float) -> int:
    if math.isnan(value) or not -(2.0**63) < value < 2.0**63:
        raise Failure("integer overflow")
    return int(value)


def _uint_of_double(value: float) -> Uint:
    if math.isnan(value) or not 0 <= value < 2.0**64:
        raise Failure("unsigned integer overflow")
    return Uint(int(value))


_DOUBLE: Final = re2.compile(
    r"[+-]?(?:(?i:inf(?:inity)?|nan)|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
    r"|0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+)"
)


_SEPARATED: Final = re2.compile(
    r"[+-]?(?:(?:[0-9]+(?:_[0-9]+)*|[.eE+-])*|0[xX]_?(?:[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*|[.pP+-])*)"
)
"""Digits may be separated by single underscores."""


def double_of_text(text: str) -> float:
    """A double, as Go reads it. Raises Failure."""
    if "_" in text and _SEPARATED.fullmatch(text):
        text = text.replace("_", "")
    if _DOUBLE.fullmatch(text):
        if text.lstrip("+-")[:2] in {"0x", "0X"}:
            return float.fromhex(text)
        value = float(text)
        beyond = math.isinf(value) and text.lstrip("+-")[:1].lower() != "i"
        signed_nan = math.isnan(value) and text[0] in "+-"
        if not beyond and not signed_nan:
            return value
    raise Failure(f"cannot read {text[:40]!r} as double")


def _bool_of_text(text: str) -> bool:
    if text in {"1", "t", "T", "true", "TRUE", "True"}:
        return True
    if text in {"0", "f", "F", "false", "FALSE", "False"}:
        return False
    raise Failure(f"cannot read {text[:40]!r} as bool")


def _text_of_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Failure("invalid UTF-8 in bytes, cannot convert to string") from None


def _same(value: Any) -> Any:
    return value


def bytes_of(text: str) -> bytes:
    """UTF-8."""
    return text.encode(errors="surrogatepass")


_CONVERSIONS: Final[tuple[tuple[str, str, Type, Type, Callable[[Any], Any]], ...]] = (
    ("bool", "bool_to_bool", BOOL, BOOL, _same), ("bool", "string_to_bool", STRING, BOOL, _bool_of_text),
    ("bytes", "bytes_to_bytes", BYTES, BYTES, _same), ("bytes", "string_to_bytes", STRING, BYTES, bytes_of),
    ("double", "double_to_double", DOUBLE, DOUBLE, _same), ("double", "int64_to_double", INT, DOUBLE, float),
    ("double", "string_to_double", STRING, DOUBLE, double_of_text), ("double", "uint64_to_double", UINT, DOUBLE, float),
    ("duration", "duration_to_duration", DURATION, DURATION, _same),
    ("duration", "string_to_duration", STRING, DURATION, times.parse_duration),
    ("int", "int64_to_int64", INT, INT, _same), ("int", "double_to_int64", DOUBLE, INT, _int_of_double),
    ("int", "duration_to_int64", DURATION, INT, lambda value: value.nanos),
    ("int", "string_to_int64", STRING, INT, _int_of_text),
    ("int", "timestamp_to_int64", TIMESTAMP, INT, lambda value: value.seconds),
    ("int", "uint64_to_int64", UINT, INT, lambda value: _int64(int(value))),
    ("string", "string_to_string", STRING, STRING, _same),
    ("string", "bool_to_string", BOOL, STRING, lambda value: "true" if value else "false"),
    ("string", "bytes_to_string", BYTES, STRING, _text_of_bytes),
    ("string", "double_to_string", DOUBLE, STRING, decimal),
    ("string", "duration_to_string", DURATION, STRING, times.duration_text),
    ("string", "int64_to_string", INT, STRING, str),
    ("string", "timestamp_to_string", TIMESTAMP, STRING, Timestamp.text),
    ("string", "uint64_to_string", UINT, STRING, lambda value: str(int(value))),
    ("timestamp", "timestamp_to_timestamp", TIMESTAMP, TIMESTAMP, _same),
    ("timestamp", "int64_to_timestamp", INT, TIMESTAMP, lambda value: times.checked(value, 0, 0)),
    ("timestamp", "string_to_timestamp", STRING, TIMESTAMP, times.parse_timestamp),
    ("uint", "uint64_to_uint64", UINT, UINT, _same), ("uint", "double_to_uint64", DOUBLE, UINT, _uint_of_double),
    ("uint", "int64_to_uint64", INT, UINT, _uint64), ("uint", "string_to_uint64", STRING, UINT, _uint_of_text),
)  # fmt: skip
for _name, _id, _left, _right, _convert in _CONVERSIONS:
    declare(_name, _id, (_left,), _right, _convert)
declare("type", "type", (A,), type_of(A))
share("type", lambda value: TypeValue(type_name(value)))
declare("dyn", "to_dyn", (A,), DYN)
share("dyn", _same)
CONVERSIONS: Final = frozenset({
    "bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint",
})  # fmt: skip
"""Functions that are applied to constants when a selector is compiled."""

# ---------------------------------------------------------------- strings and times


@lru_cache(maxsize=4096)
def pattern(text: str) -> Any:
    """A compiled RE2 pattern. Raises Failure."""
    try:
        return re2.compile(text, _QUIET)
    except (re2.error, UnicodeError):
        raise Failure(f"invalid regular expression {text[:80]!r}") from None


_QUIET: Final = re2.Options()
_QUIET.log_errors = False


def _matches(text: Any, regex: Any) -> bool:
    if type(regex) is not str:
        raise Failure()
    return pattern(regex).search(text) is not None


declare("contains", "contains_string", (STRING, STRING), BOOL, lambda a, b: _texts(a, b) and b in a, member=True)
declare("endsWith", "ends_with_string", (STRING, STRING), BOOL, lambda a, b: _texts(a, b) and a.endswith(b),
        member=True)  # fmt: skip
declare("startsWith", "starts_with_string", (STRING, STRING), BOOL, lambda a, b: _texts(a, b) and a.startswith(b),
        member=True)  # fmt: skip
for _name in ("contains", "endsWith", "startsWith"):
    FUNCTIONS[_name].guarded = False


def _texts(a: Any, b: Any) -> bool:
    if type(a) is not str or type(b) is not str:
        raise Failure()
    return True


declare("matches", "matches", (STRING, STRING), BOOL)
declare("matches", "matches_string", (STRING, STRING), BOOL, member=True)
share("matches", _matches, frozenset({str}))


def _fielder(name: str) -> Callable[..., int]:
    return lambda moment, zone="UTC": times.field_of(name, moment, zone)


_DURATION_FIELDS: Final[dict[str, tuple[str, Callable[[Duration], int]]]] = {
    "getHours": ("duration_to_hours", times.hours_of), "getMinutes": ("duration_to_minutes", times.minutes_of),
    "getSeconds": ("duration_to_seconds", times.whole_seconds_of),
    "getMilliseconds": ("duration_to_milliseconds", times.milliseconds_of),
}  # fmt: skip
for _name, _id in (
    ("getFullYear", "timestamp_to_year"), ("getMonth", "timestamp_to_month"),
    ("getDayOfYear", "timestamp_to_day_of_year"), ("getDayOfMonth", "timestamp_to_day_of_month"),
    ("getDate", "timestamp_to_day_of_month_1_based"), ("getDayOfWeek", "timestamp_to_day_of_week"),
    ("getHours", "timestamp_to_hours"), ("getMinutes", "timestamp_to_minutes"),
    ("getSeconds", "timestamp_to_seconds"), ("getMilliseconds", "timestamp_to_milliseconds"),
):  # fmt: skip
    declare(_name, _id, (TIMESTAMP,), INT, _fielder(_name), member=True)
    declare(_name, _id + "_with_tz", (TIMESTAMP, STRING), INT, _fielder(_name), member=True)
    if _name in _DURATION_FIELDS:
        declare(_name, _DURATION_FIELDS[_name][0], (DURATION,), INT, _DURATION_FIELDS[_name][1], member=True)

# ---------------------------------------------------------------- optional values

_ZERO: Final = frozenset({str, bytes, *LISTS, *MAPS})


def _of_non_zero(value: Any) -> Optional:
    kind = type(value)
    zero = (
        value is None
        or (kind in _ZERO and len(items_of(value)) == 0)
        or (kind in {bool, int, Uint, float} and value == 0)
        or (kind is Duration and value.nanos == 0)
        or (kind is Timestamp and (value.seconds, value.nanos) == (-62_135_596_800, 0))
    )
    return NONE if zero else Optional(True, value)


def value_of(found: Optional) -> Any:
    """What an optional value holds. Raises Failure if that is nothing."""
    if not found.present:
        raise Failure("optional.none() dereference")
    return found.value


def _unwrapped(values: Any) -> tuple[Any, ...]:
    found = []
    for each in items_of(values):
        if type(each) is not Optional:
            raise Failure("a value of the list is not optional")
        if each.present:
            found.append(each.value)
    return tuple(found)


declare("optional.of", "optional_of", (_V,), _OPTIONAL_V, lambda value: Optional(True, value))
declare("optional.ofNonZeroValue", "optional_ofNonZeroValue", (_V,), _OPTIONAL_V, _of_non_zero)
declare("optional.none", "optional_none", (), _OPTIONAL_V, lambda: NONE)
declare("value", "optional_value", (_OPTIONAL_V,), _V, value_of, member=True)
declare("hasValue", "optional_hasValue", (_OPTIONAL_V,), BOOL, lambda found: found.present, member=True)
declare("or", "optional_or_optional", (_OPTIONAL_V, _OPTIONAL_V), _OPTIONAL_V, member=True)
declare("orValue", "optional_orValue_value", (_OPTIONAL_V, _V), _V, member=True)
declare("last", "list_last", (_LIST_V,), _OPTIONAL_V, lambda found: _end(found, -1), member=True)
declare("first", "list_first", (_LIST_V,), _OPTIONAL_V, lambda found: _end(found, 0), member=True)
declare("optional.unwrap", "optional_unwrap", (list_of(_OPTIONAL_V),), _LIST_V, _unwrapped)
declare("unwrapOpt", "optional_unwrapOpt", (list_of(_OPTIONAL_V),), _LIST_V, _unwrapped, member=True)


def _end(values: Any, position: int) -> Optional:
    items = items_of(values)
    return Optional(True, items[position]) if len(items) else NONE
