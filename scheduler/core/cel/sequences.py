"""Functions of strings, lists and sets: the strings (v2), lists (v3) and sets extensions, and Kubernetes' lists."""

from collections.abc import Callable
from functools import cmp_to_key
from itertools import pairwise
from typing import Any, Final

from scheduler.core.cel.formatting import format_text
from scheduler.core.cel.registry import FUNCTIONS, declare, share
from scheduler.core.cel.standard import MAX_TEXT, too_long
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
    parameter,
)  # fmt: skip
from scheduler.core.cel.values import (
    COMPARABLE,
    LISTS,
    Duration,
    Failure,
    Uint,
    contains,
    equals,
    items_of,
    order,
)  # fmt: skip

_TEXTS: Final = list_of(STRING)
_SPACE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_LOWER: Final = {c: c + 32 for c in range(ord("A"), ord("Z") + 1)}
_UPPER: Final = {c: c - 32 for c in range(ord("a"), ord("z") + 1)}
MAX_RANGE: Final = 1_000_000

# ---------------------------------------------------------------- strings


def _character(text: str, position: int) -> str:
    if not 0 <= position <= len(text):
        raise Failure(f"index out of range: {position}")
    return text[position : position + 1]


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise Failure(f"invalid substring range: {start} to {stop}")
    return text[start:stop]


def _find(text: str, part: str, start: int = 0) -> int:
    if start < 0:
        raise Failure(f"index out of range: {start}")
    return text.find(part, min(start, len(text)))


def _rfind(text: str, part: str, start: int | None = None) -> int:
    if start is None:
        return text.rfind(part)
    if start < 0:
        raise Failure(f"index out of range: {start}")
    if start >= len(text) and part:
        return -1
    if not part:
        return min(start, len(text))
    return text.rfind(part, 0, start + len(part))


def _split(text: str, separator: str, limit: int = -1) -> tuple[str, ...]:
    if limit == 0:
        return ()
    if not separator:
        cut = len(text) if limit < 0 else min(limit - 1, len(text))
        parts = tuple(text[:cut])
        return parts if cut == len(text) else (*parts, text[cut:])
    return tuple(text.split(separator, -1 if limit < 0 else limit - 1))


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    if len(text) + len(new) * (text.count(old) if old else len(text) + 1) > 2 * MAX_TEXT:
        raise too_long()
    found = text.replace(old, new, max(limit, -1))
    if len(found) > MAX_TEXT:
        raise too_long()
    return found


def _join(parts: Any, separator: str = "") -> str:
    items = items_of(parts)
    if not all(type(part) is str for part in items):
        raise Failure("join: invalid input")
    if sum(len(part) for part in items) + len(separator) * len(items) > 2 * MAX_TEXT:
        raise too_long()
    return separator.join(items)


_QUOTED: Final = str.maketrans({
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\",
    '"': '\\"',
})  # fmt: skip

declare("charAt", "string_char_at_int", (STRING, INT), STRING, _character, member=True)
declare("indexOf", "string_index_of_string", (STRING, STRING), INT, _find, member=True)
declare("indexOf", "string_index_of_string_int", (STRING, STRING, INT), INT, _find, member=True)
declare("lastIndexOf", "string_last_index_of_string", (STRING, STRING), INT, _rfind, member=True)
declare("lastIndexOf", "string_last_index_of_string_int", (STRING, STRING, INT), INT, _rfind, member=True)
declare("lowerAscii", "string_lower_ascii", (STRING,), STRING, lambda text: text.translate(_LOWER), member=True)
declare("upperAscii", "string_upper_ascii", (STRING,), STRING, lambda text: text.translate(_UPPER), member=True)
declare("replace", "string_replace_string_string", (STRING, STRING, STRING), STRING, _replace, member=True)
declare("replace", "string_replace_string_string_int", (STRING, STRING, STRING, INT), STRING, _replace, member=True)
declare("split", "string_split_string", (STRING, STRING), _TEXTS, _split, member=True)
declare("split", "string_split_string_int", (STRING, STRING, INT), _TEXTS, _split, member=True)
declare("substring", "string_substring_int", (STRING, INT), STRING, _substring, member=True)
declare("substring", "string_substring_int_int", (STRING, INT, INT), STRING, _substring, member=True)
declare("trim", "string_trim", (STRING,), STRING, lambda text: text.strip(_SPACE), member=True)
declare("format", "string_format", (STRING, list_of(DYN)), STRING, format_text, member=True, stops=True)
declare("strings.quote", "strings_quote", (STRING,), STRING, lambda text: f'"{text.translate(_QUOTED)}"')
declare("join", "list_join", (_TEXTS,), STRING, _join, member=True)
declare("join", "list_join_string", (_TEXTS, STRING), STRING, _join, member=True)

# ---------------------------------------------------------------- lists

_T: Final = parameter("T")
_LIST: Final = list_of(_T)
_ORDERED: Final[tuple[tuple[str, Type], ...]] = (
    ("int", INT), ("uint", UINT), ("double", DOUBLE), ("bool", BOOL), ("google.protobuf.Duration", DURATION),
    ("google.protobuf.Timestamp", TIMESTAMP), ("string", STRING), ("bytes", BYTES),
)  # fmt: skip


def _slice(values: Any, start: int, end: int) -> tuple[Any, ...]:
    items = items_of(values)
    if not 0 <= start <= end <= len(items):
        raise Failure(f"cannot slice({start}, {end}) a list of length {len(items)}")
    return tuple(items[start:end])


def _flatten(values: Any, depth: int = 1) -> tuple[Any, ...]:
    if type(values) not in LISTS or type(depth) is not int:
        raise Failure()
    if depth < 0:
        raise Failure("level must be non-negative")
    found: list[Any] = []
    for each in items_of(values):
        if type(each) in LISTS and depth > 0:
            found.extend(_flatten(each, depth - 1))
        else:
            found.append(each)
    return tuple(found)


def _sorted_by(values: Any, keys: Any) -> Any:
    items, marks = items_of(values), items_of(keys)
    if len(items) != len(marks):
        raise Failure("the list and its keys differ in length")
    if not len(items):
        return values
    kind = type(marks[0])
    if kind not in COMPARABLE:
        raise Failure("list elements must be comparable")
    if len(items) > 1 and any(type(mark) is not kind for mark in marks):
        raise Failure("list elements must have the same type")
    if kind is float and any(mark != mark for mark in marks):  # noqa: PLR0124
        return tuple(items)
    by_key = cmp_to_key(lambda a, b: order(marks[a], marks[b]))
    return tuple([items[i] for i in sorted(range(len(items)), key=by_key)])


def _range(count: int) -> tuple[int, ...]:
    if not 0 <= count <= MAX_RANGE:
        raise Failure(f"lists.range: {count} is not within 0 to {MAX_RANGE}")
    return tuple(range(count))


def _distinct(values: Any) -> Any:
    items = items_of(values)
    if not len(items):
        return values
    found: list[Any] = []
    plain: set[Any] = set()
    for each in items:
        if type(each) in {str, bool, bytes}:  # quick, and such values equal nothing of another type
            if (type(each), each) not in plain:
                plain.add((type(each), each))
                found.append(each)
        elif not any(equals(each, other) is True for other in found):
            found.append(each)
    return tuple(found)


declare("slice", "list_slice", (_LIST, INT, INT), _LIST, _slice, member=True)
declare("flatten", "list_flatten", (list_of(_LIST),), _LIST, _flatten, member=True)
declare("flatten", "list_flatten_int", (list_of(DYN), INT), list_of(DYN), _flatten, member=True)
FUNCTIONS["flatten"].guarded = False
for _name, _type in _ORDERED:
    declare("sort", f"list_{_name}_sort", (list_of(_type),), list_of(_type), member=True)
    declare("@sortByAssociatedKeys", f"list_{_name}_sortByAssociatedKeys", (_LIST, list_of(_type)), _LIST, member=True)
share("sort", lambda values: _sorted_by(values, values), LISTS)
share("@sortByAssociatedKeys", _sorted_by, LISTS)
declare("lists.range", "lists_range", (INT,), list_of(INT), _range)
declare("reverse", "list_reverse", (_LIST,), _LIST, lambda values: tuple(items_of(values)[::-1]), member=True)
declare("distinct", "list_distinct", (_LIST,), _LIST, _distinct, member=True)


def _is_sorted(values: Any) -> bool:
    items = items_of(values)
    for one, other in pairwise(items):
        if type(one) not in COMPARABLE or type(other) not in COMPARABLE:
            raise Failure()
        if order(one, other) == 1:
            return False
    if len(items) == 1 and type(items[0]) not in COMPARABLE:
        raise Failure()
    return True


def _extreme(name: str, replaces: int) -> Callable[[Any], Any]:
    def extreme(values: Any) -> Any:
        items = items_of(values)
        if not len(items):
            raise Failure(f"{name} called on empty list")
        found = items[0]
        for each in items:
            if type(each) not in COMPARABLE:
                raise Failure()
            if each is not found and order(found, each) == replaces:
                found = each
        return found

    return extreme


def _summed(zero: Any) -> Callable[[Any], Any]:
    add = FUNCTIONS["_+_"]

    def total(values: Any) -> Any:
        found = zero
        for each in items_of(values):
            if add.shared is None or add.receivers is None or type(each) not in add.receivers:
                raise Failure()
            found = add.shared(found, each)
        return found

    return total


def _position(values: Any, item: Any) -> int:
    for i, each in enumerate(items_of(values)):
        if equals(each, item) is True:
            return i
    return -1


def _last_position(values: Any, item: Any) -> int:
    items = items_of(values)
    for i in range(len(items) - 1, -1, -1):
        if equals(items[i], item) is True:
            return i
    return -1


def _includes(target: Any, item: Any) -> bool:
    if type(target) in LISTS:
        return any(equals(each, item) is True for each in items_of(target))
    return equals(target, item) is True


_A: Final = parameter("A")
_SHORT: Final = {"google.protobuf.Duration": "duration", "google.protobuf.Timestamp": "timestamp"}
for _name, _type in _ORDERED:
    _short = _SHORT.get(_name, _name)
    declare("isSorted", f"list_{_short}_is_sorted_bool", (list_of(_type),), BOOL, _is_sorted, member=True)
    declare("max", f"list_{_short}_max_{_short}", (list_of(_type),), _type, _extreme("max", -1), member=True)
    declare("min", f"list_{_short}_min_{_short}", (list_of(_type),), _type, _extreme("min", 1), member=True)
for _name, _type, _zero in (("int", INT, 0), ("uint", UINT, Uint(0)), ("double", DOUBLE, 0.0),
                            ("duration", DURATION, Duration(0))):  # fmt: skip
    declare("sum", f"list_{_name}_sum_{_name}", (list_of(_type),), _type, _summed(_zero), member=True)
declare("indexOf", "list_a_index_of_int", (list_of(_A), _A), INT, _position, member=True)
declare("lastIndexOf", "list_a_last_index_of_int", (list_of(_A), _A), INT, _last_position, member=True)
declare("includes", "list_includes_dyn_dyn", (DYN, DYN), BOOL, _includes, member=True)

# ---------------------------------------------------------------- sets


def _contains_all(one: Any, other: Any) -> bool:
    return all(contains(one, each) for each in items_of(other))


declare("sets.contains", "list_sets_contains_list", (_LIST, _LIST), BOOL, _contains_all)
declare("sets.equivalent", "list_sets_equivalent_list", (_LIST, _LIST), BOOL,
        lambda a, b: _contains_all(a, b) and _contains_all(b, a))  # fmt: skip
declare("sets.intersects", "list_sets_intersects_list", (_LIST, _LIST), BOOL,
        lambda a, b: any(contains(b, each) for each in items_of(a)))  # fmt: skip
