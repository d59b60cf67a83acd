"""The values that selectors compute with: their types, equality, order, size, and how they serve as map keys.

bool, int, float, str, bytes, None, list (tuple) and type values are Python's or nearly so; the rest are classes here.
A failed computation is a value too, a `Failure`, because `&&` and `||` may absorb it and because it has a cost.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from scheduler.core.cel.amount import Amount
from scheduler.core.cel.semver import Semver

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1
_TWO_63: Final = 2.0**63
_TWO_64: Final = 2.0**64


class Failure(Exception):  # noqa: N818
    """A run-time error of CEL: a value like others, which most operations hand on."""

    def __init__(self, message: str = "no such overload") -> None:
        self.message = message
        super().__init__(message)


class Abort(Exception):  # noqa: N818
    """An evaluation ends here and nothing may absorb it: its cost is spent, or Kubernetes' own evaluator panics."""


class Uint(int):
    """An unsigned integer."""

    __slots__ = ()


class Joined(tuple[Any, ...]):
    """A list made by `+`: only its equality tells it from others."""

    __slots__ = ()


class Growing:
    """A list that starts empty and that `+` extends in place, as the accumulator of a macro does."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[Any] = []


class Map:
    """A map by `key_of` its keys: hashed key -> (key, value)."""

    __slots__ = ("entries", "growing")

    def __init__(self, *, growing: bool = False) -> None:
        self.entries: dict[Any, tuple[Any, Any]] = {}
        self.growing = growing

    def put(self, key: Any, value: Any) -> None:
        """Set an entry. Raises Abort for a key that cannot be hashed."""
        self.entries[key_of(key)] = (key, value)

    def drop(self, key: Any) -> None:
        """Take an entry away, if it is there."""
        self.entries.pop(key_of(key), None)

    def find(self, key: Any) -> Any:
        """The value, or ABSENT; numbers of another type find the key that they equal. Raises Abort."""
        if not self.entries:
            return ABSENT
        for candidate in alike(key):
            found = self.entries.get(key_of(candidate))
            if found is not None:
                return found[1]
        return ABSENT

    def contains(self, key: Any) -> bool:
        """`key in map`."""
        return self.find(key) is not ABSENT

    def keys(self) -> Iterator[Any]:
        """Its keys, in the order given (Kubernetes' order is random)."""
        return iter([key for key, _ in self.entries.values()])

    def __len__(self) -> int:
        return len(self.entries)


class Fields:
    """A map with string keys that comes from the device."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def find(self, key: Any) -> Any:
        """The value, or ABSENT."""
        return self.values.get(key, ABSENT) if type(key) is str else ABSENT

    def contains(self, key: Any) -> bool:
        """`key in map`."""
        return type(key) is str and key in self.values

    def keys(self) -> Iterator[Any]:
        """Its keys."""
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)


class Domains(Fields):
    """`device.attributes` or `device.capacity`: a domain that the device does not have reads as an empty map."""

    __slots__ = ()

    def find(self, key: Any) -> Any:
        """The domain's map; never ABSENT."""
        return self.values.get(key, NOTHING) if type(key) is str else NOTHING


class Optional:
    """An optional value."""

    __slots__ = ("present", "value")

    def __init__(self, present: bool, value: Any = None) -> None:
        self.present = present
        self.value = value


class TypeValue:
    """A type as a value: `int`, `type(x)`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Duration:
    """A span of time in nanoseconds."""

    __slots__ = ("nanos",)

    def __init__(self, nanos: int) -> None:
        self.nanos = nanos


class Timestamp:
    """A moment: seconds since 1970 in UTC, nanoseconds, and the offset (seconds) with which it is printed."""

    __slots__ = ("nanos", "offset", "seconds")

    def __init__(self, seconds: int, nanos: int, offset: int = 0) -> None:
        self.seconds = seconds
        self.nanos = nanos
        self.offset = offset

    def text(self) -> str:
        """RFC 3339, with as many digits of a second as it needs."""
        days, rest = divmod(self.seconds + self.offset, 86_400)
        year, month, day = civil(days)
        fraction = f".{self.nanos:09d}".rstrip("0") if self.nanos else ""
        sign, minutes = ("-" if self.offset < 0 else "+"), abs(self.offset) // 60
        zone = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}" if self.offset else "Z"
        clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
        return f"{year:04d}-{month:02d}-{day:02d}T{clock}{fraction}{zone}"


class Url:
    """A parsed URL; equal by what it prints as."""

    __slots__ = ("host", "path", "query", "scheme", "text")

    def __init__(self, scheme: str, host: str, path: str, query: str, text: str) -> None:
        self.scheme, self.host, self.path, self.query, self.text = scheme, host, path, query, text


class Ip:
    """An IP address: `bits` 32 or 128."""

    __slots__ = ("bits", "number")

    def __init__(self, number: int, bits: int) -> None:
        self.number, self.bits = number, bits


class Cidr:
    """An address with the length of its network prefix."""

    __slots__ = ("ip", "length")

    def __init__(self, ip: Ip, length: int) -> None:
        self.ip, self.length = ip, length


class Format:
    """A named format of Kubernetes; `pattern_size` is what validating by it is charged for."""

    __slots__ = ("name", "pattern_size", "problems")

    def __init__(self, name: str, problems: Any, pattern_size: int) -> None:
        self.name, self.problems, self.pattern_size = name, problems, pattern_size


class _Absent:
    __slots__ = ()


ABSENT: Final = _Absent()
NOTHING: Final = Map()
NONE: Final = Optional(False)

TYPE_NAMES: Final[dict[type, str]] = {
    bool: "bool", int: "int", Uint: "uint", float: "double", str: "string", bytes: "bytes", type(None): "null_type",
    tuple: "list", Joined: "list", Growing: "list", Map: "map", Fields: "map", Domains: "map",
    Optional: "optional_type",
    TypeValue: "type", Duration: "google.protobuf.Duration", Timestamp: "google.protobuf.Timestamp",
    Amount: "kubernetes.Quantity", Semver: "kubernetes.Semver", Url: "kubernetes.URL", Ip: "net.IP", Cidr: "net.CIDR",
    Format: "kubernetes.NamedFormat", Failure: "error",
}  # fmt: skip
"""Python type -> name of the CEL type."""

LISTS: Final = frozenset({tuple, Joined, Growing})
MAPS: Final = frozenset({Map, Fields, Domains})
_NUMBERS: Final = frozenset({int, Uint, float})


def type_name(value: Any) -> str:
    """The CEL type of a value."""
    return TYPE_NAMES[type(value)]


def items_of(value: Any) -> Any:
    """The elements of a list, as a sequence."""
    return value.items if type(value) is Growing else value


def civil(days: int) -> tuple[int, int, int]:
    """(year, month, day) of a count of days since 1970-01-01."""
    days += 719_468
    era, of_era = divmod(days, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1


# ---------------------------------------------------------------- map keys


def key_of(value: Any) -> Any:
    """What stands for a key in a Python dict: keys of different types differ, objects are equal to themselves only.

    Raises Abort for what Go cannot hash, as Kubernetes does.
    """
    kind = type(value)
    if kind is str:
        return value
    if kind in {bool, int, Uint, float, type(None)}:
        if kind is float and value != value:  # noqa: PLR0124
            return object()  # not even equal to itself
        return (kind, value)
    if kind in {bytes, Semver, Format}:
        raise Abort(f"internal error: runtime error: hash of unhashable type {type_name(value)}")
    if kind is Duration:
        return (kind, value.nanos)
    if kind is Timestamp:
        return (kind, value.seconds, value.nanos, value.offset)
    if kind is Ip:
        return (kind, value.number, value.bits)
    if kind is Cidr:
        return (kind, value.ip.number, value.ip.bits, value.length)
    if kind is TypeValue:
        return (kind, value.name)
    return (kind, id(value))


def alike(key: Any) -> Iterable[Any]:
    """The key, then those of other numeric types that equal it."""
    kind = type(key)
    if kind is int:
        return (key, Uint(key)) if key >= 0 else (key,)
    if kind is Uint:
        return (key, int(key)) if key <= INT_MAX else (key,)
    if kind is float:
        found = [key]
        if -_TWO_63 < key < _TWO_63 and key == int(key):
            found.append(int(key))
        if 0 <= key < _TWO_64 and key == int(key):
            found.append(Uint(int(key)))
        return found
    return (key,)


def index_of(key: Any) -> int:
    """A list index, or raises Failure."""
    kind = type(key)
    if kind is int:
        return int(key)
    if kind is float and -_TWO_63 < key < _TWO_63 and key == int(key):
        return int(key)
    if kind is Uint and key <= INT_MAX:
        return int(key)
    raise Failure(f"unsupported index of type {type_name(key)} in list")


# ---------------------------------------------------------------- equality and order


def equal(a: Any, b: Any) -> Any:
    """`a == b`: True, False, or a Failure. Null differs from everything else."""
    if a is None or b is None:
        return a is b
    return equals(a, b)


def equals(a: Any, b: Any) -> Any:
    """What the type of `a` thinks of `b`: True, False, or a Failure."""
    kind, other = type(a), type(b)
    if kind is str or kind is bool or kind is bytes:
        return kind is other and a == b
    if kind in _NUMBERS:
        return other in _NUMBERS and same_number(a, b)
    if kind in LISTS:
        return other in LISTS and _equal_lists(a, b)
    if kind in MAPS:
        return other in MAPS and _equal_maps(a, b)
    if kind is type(None):
        return b is None
    if kind is Optional:
        if other is not Optional:
            return False
        if not a.present or not b.present:
            return bool(a.present == b.present)
        return equals(a.value, b.value)
    if kind is Failure:
        return a
    compare = _EQUAL[kind]
    if kind is other and not (kind is Amount and b.computed):
        return compare(a, b)
    if kind in {Timestamp, Duration, TypeValue}:
        return False
    return b if other is Failure else Failure()


def same_number(a: Any, b: Any) -> bool:
    """Numbers of any two types, compared as Kubernetes does: an integer against a double as doubles."""
    if type(a) is float or type(b) is float:
        return order_numbers(a, b) == 0
    return int(a) == int(b)


def order_numbers(a: Any, b: Any) -> int | None:
    """-1, 0 or 1; None where one is not a number."""
    if a != a or b != b:  # noqa: PLR0124
        return None
    if type(a) is float and type(b) is not float:
        return _order_mixed(a, b)
    if type(b) is float and type(a) is not float:
        return -_order_mixed(b, a)
    return int(a > b) - int(a < b)


def _order_mixed(a: float, b: int) -> int:
    low, high = (0.0, _TWO_64) if type(b) is Uint else (-_TWO_63, _TWO_63)
    if a < low:
        return -1
    if a > high:
        return 1
    other = float(b)
    return (a > other) - (a < other)


def _equal_lists(a: Any, b: Any) -> Any:
    left, right = items_of(a), items_of(b)
    if len(left) != len(right):
        return False
    failure = None
    for x, y in zip(left, right, strict=True):
        found = equal(x, y)
        if found is False:
            return False
        if failure is None and type(found) is Failure:
            failure = found
    # Only a list made by `+` hands on that its elements could not be compared.
    return failure if failure is not None and type(a) is Joined else True


def _equal_maps(a: Any, b: Any) -> bool:
    if len(a) != len(b):
        return False
    for key in a.keys():  # noqa: SIM118
        other = b.find(key)
        if other is ABSENT or equal(a.find(key), other) is False:
            return False
    return True


_EQUAL: Final[dict[type, Any]] = {
    Amount: lambda a, b: a.compare(b) == 0,
    Semver: lambda a, b: a == b,
    Url: lambda a, b: a.text == b.text,
    Ip: lambda a, b: (a.number, a.bits) == (b.number, b.bits),
    Cidr: lambda a, b: (a.ip.number, a.ip.bits, a.length) == (b.ip.number, b.ip.bits, b.length),
    Format: lambda a, b: a.name == b.name,
    Duration: lambda a, b: a.nanos == b.nanos,
    Timestamp: lambda a, b: (a.seconds, a.nanos) == (b.seconds, b.nanos),
    TypeValue: lambda a, b: a.name == b.name,
}


def contains(container: Any, item: Any) -> bool:
    """`item in list`: an element that cannot be compared is not it."""
    return any(equals(item, element) is True for element in items_of(container))


def order(a: Any, b: Any) -> Any:
    """-1, 0 or 1, or a Failure where the two have no order."""
    kind, other = type(a), type(b)
    if kind in _NUMBERS and other in _NUMBERS:
        found = order_numbers(a, b)
        return Failure("NaN values cannot be ordered") if found is None else found
    if kind is not other:
        return Failure()
    if kind in {str, bool, bytes}:
        return (a > b) - (a < b)
    if kind is Duration:
        return (a.nanos > b.nanos) - (a.nanos < b.nanos)
    if kind is Timestamp:
        left, right = (a.seconds, a.nanos), (b.seconds, b.nanos)
        return (left > right) - (left < right)
    return Failure()


COMPARABLE: Final = frozenset({bool, int, Uint, float, str, bytes, Duration, Timestamp})
"""Types whose values have an order."""

# ---------------------------------------------------------------- sizes


def size_of(value: Any) -> int | None:
    """Characters, bytes, elements or entries; the bytes of an address; None where a value has no size."""
    kind = type(value)
    if kind in {str, bytes, tuple, Joined} or kind in MAPS:
        return len(value)
    if kind is Growing:
        return len(value.items)
    if kind is Ip:
        return int(value.bits // 8)
    if kind is Cidr:
        return int(-(-value.length // 8))
    return None
