"""Every operator and function of the selector language, on plain values, with its overloads.

One table serves three readers: the checker (which overloads can apply), the reference interpreter and the vectorised
evaluator (what they compute). Sources: the CEL language definition, its strings extension, and the quantity and semver
libraries of Kubernetes' CEL environment.

Methods are named `.name`, operators as CEL names them (`_+_`), a plain name is a function. Any of them raises Failure.
"""

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import celpy.evaluation

from scheduler.core.cel.semver import Semver, normalise_semver, parse_semver
from scheduler.core.cel.values import MAX_TEXT, TYPE_NAMES, Domains, Failure, Literals, Optional, type_name
from scheduler.core.errors import QuantityError
from scheduler.core.quantity import NANO, Quantity, parse_quantity

TYPE_NAMES[Quantity] = "quantity"
TYPE_NAMES[Semver] = "semver"

Function = Callable[..., object]
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
OVERLOADS: dict[str, dict[tuple[str, ...], tuple[str, Function]]] = {}
_SPACE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def define(name: str, parameters: str, result: str, function: Function) -> None:
    """Add an overload: parameters as type names, blank-separated; `dyn` takes any."""
    OVERLOADS.setdefault(name, {})[tuple(parameters.split())] = (result, function)


@lru_cache(maxsize=4096)
def find(name: str, types: tuple[str, ...]) -> Function | None:
    """The overload for exactly these run-time types, or None."""
    table = OVERLOADS.get(name, {})
    exact = table.get(types)
    if exact is not None:
        return exact[1]
    for parameters, (_, function) in table.items():
        if len(parameters) == len(types) and all(p in {"dyn", t} for p, t in zip(parameters, types, strict=True)):
            return function
    return None


def call(name: str, *arguments: Any) -> object:
    """Apply an operator or function to values. Raises Failure."""
    types = tuple([type_name(argument) for argument in arguments])
    function = find(name, types)
    if function is None:
        raise Failure(f"no such overload: {name.strip('_.')} of {', '.join(types)}")
    return function(*arguments)


# ---------------------------------------------------------------- equality, membership, indexing


def equal(a: Any, b: Any) -> bool:
    """`a == b`: values of different types differ, numbers compare by value.

    A quantity or a version on the left of another type fails, as Kubernetes' types do.
    """
    left, right = type_name(a), type_name(b)
    if left == "null" or right == "null":
        return left == right
    if left in {"quantity", "semver"}:
        if left != right:
            raise Failure(f"no such overload: == of {left}, {right}")
        return bool(a == b)
    if left in {"int", "double"} and right in {"int", "double"}:
        return bool(a == b)
    if left != right:
        return False
    if left == "list":
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if left == "map":
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if left == "optional":
        return bool(a.present == b.present and (not a.present or equal(a.value, b.value)))
    return bool(a == b)


def contains(item: Any, container: Any) -> bool:
    """`item in container`: a list's elements or a map's keys."""
    if isinstance(container, Mapping):
        return type(item) is str and item in container
    if not isinstance(container, tuple):
        raise Failure(f"no such overload: in of {type_name(item)}, {type_name(container)}")
    if type(container) is Literals and type(item) in {Quantity, Semver}:
        # Kubernetes looks an item up in the set of a list's literals, and cannot hash these two.
        raise Failure(f"unhashable type: {type_name(item)}")
    return any(_same(element, item) for element in container)


def index(container: Any, key: Any) -> object:
    """`container[key]`."""
    if isinstance(container, Domains):
        if type(key) is not str:
            raise Failure(f"unsupported key type: {type_name(key)}")
        return container.get(key, {})
    if isinstance(container, Mapping):
        if type(key) is not str or key not in container:
            raise Failure(f"no such key: {key}")
        return container[key]
    if isinstance(container, tuple):
        if type(key) is not int:
            raise Failure(f"no such overload: index of list, {type_name(key)}")
        if not 0 <= key < len(container):
            raise Failure(f"index out of bounds: {key}")
        return container[key]
    raise Failure(f"no such overload: index of {type_name(container)}, {type_name(key)}")


def optional_index(container: Any, key: Any) -> Optional:
    """`container[?key]`, also through an optional container."""
    if isinstance(container, Optional):
        return optional_index(container.value, key) if container.present else Optional(False)
    if isinstance(container, Domains):
        return Optional(True, index(container, key))
    if isinstance(container, Mapping):
        return Optional(True, container[key]) if type(key) is str and key in container else Optional(False)
    if isinstance(container, tuple) and type(key) is int:
        return Optional(True, container[key]) if 0 <= key < len(container) else Optional(False)
    raise Failure(f"no such overload: optional index of {type_name(container)}, {type_name(key)}")


def has(container: Any, name: str) -> bool:
    """`has(container.name)`."""
    if isinstance(container, Optional):
        return container.present and has(container.value, name)
    return isinstance(container, Domains) or (isinstance(container, Mapping) and name in container)


def _same(a: Any, b: Any) -> bool:
    try:
        return equal(a, b)
    except Failure:
        return False


define("_==_", "dyn dyn", "bool", equal)
define("_!=_", "dyn dyn", "bool", lambda a, b: not _same(a, b))
define("_in_", "dyn list", "bool", contains)
define("_in_", "dyn map", "bool", contains)
define("_[?_]", "dyn dyn", "optional", optional_index)
define("_[_]", "list int", "dyn", index)
define("_[_]", "map dyn", "dyn", index)
define("!_", "bool", "bool", lambda a: not a)

# ---------------------------------------------------------------- arithmetic and order


def _int64(value: int) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise Failure("integer overflow")
    return value


def _text(value: str) -> str:
    if len(value) > MAX_TEXT:
        raise Failure(f"string longer than {MAX_TEXT} characters")
    return value


def _divide(a: int, b: int) -> int:
    if b == 0:
        raise Failure("division by zero")
    quotient = abs(a) // abs(b)
    return _int64(quotient if (a < 0) == (b < 0) else -quotient)


def _modulo(a: int, b: int) -> int:
    if b == 0:
        raise Failure("modulus by zero")
    if a == INT_MIN and b == -1:
        raise Failure("integer overflow")
    return abs(a) % abs(b) * (-1 if a < 0 else 1)


def _divide_double(a: float, b: float) -> float:
    if b != 0.0:
        return a / b
    if a == 0.0 or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def _ordered(compare: Callable[[Any, Any], bool]) -> Function:
    def checked(a: float, b: float) -> bool:
        if a != a or b != b:  # noqa: PLR0124
            raise Failure("NaN values cannot be ordered")
        return compare(a, b)

    return checked


def _define_order() -> None:
    comparisons: dict[str, Callable[[Any, Any], bool]] = {
        "_<_": lambda a, b: a < b, "_<=_": lambda a, b: a <= b,
        "_>_": lambda a, b: a > b, "_>=_": lambda a, b: a >= b,
    }  # fmt: skip
    for name, compare in comparisons.items():
        for kind in ("int", "string", "bool"):
            define(name, f"{kind} {kind}", "bool", compare)
        for kinds in ("double double", "int double", "double int"):
            define(name, kinds, "bool", _ordered(compare))


_define_order()
define("_+_", "int int", "int", lambda a, b: _int64(a + b))
define("_-_", "int int", "int", lambda a, b: _int64(a - b))
define("_*_", "int int", "int", lambda a, b: _int64(a * b))
define("_/_", "int int", "int", _divide)
define("_%_", "int int", "int", _modulo)
define("-_", "int", "int", lambda a: _int64(-a))
define("_+_", "double double", "double", lambda a, b: a + b)
define("_-_", "double double", "double", lambda a, b: a - b)
define("_*_", "double double", "double", lambda a, b: a * b)
define("_/_", "double double", "double", _divide_double)
define("-_", "double", "double", lambda a: -a)
define("_+_", "string string", "string", lambda a, b: _text(a + b))
define("_+_", "list list", "list", lambda a, b: a + b)

# ---------------------------------------------------------------- conversions


def _decimal(value: float) -> str:
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
    body = text[1:] if text[:1] in {"+", "-"} else text
    if not (body.isascii() and body.isdigit()) or len(body) > 20:
        raise Failure(f"cannot read {text[:40]!r} as int")
    return _int64(int(text))


def _int_of_double(value: float) -> int:
    if math.isnan(value) or not -(2.0**63) < value < 2.0**63:
        raise Failure("integer overflow")
    return int(value)


def _double_of_text(text: str) -> float:
    try:
        if text != text.strip():
            raise ValueError
        return float(text)
    except ValueError:
        raise Failure(f"cannot read {text[:40]!r} as double") from None


def _bool_of_text(text: str) -> bool:
    if text in {"1", "t", "T", "true", "TRUE", "True"}:
        return True
    if text in {"0", "f", "F", "false", "FALSE", "False"}:
        return False
    raise Failure(f"cannot read {text[:40]!r} as bool")


define("int", "int", "int", lambda a: a)
define("int", "double", "int", _int_of_double)
define("int", "string", "int", _int_of_text)
define("double", "double", "double", lambda a: a)
define("double", "int", "double", float)
define("double", "string", "double", _double_of_text)
define("string", "string", "string", lambda a: a)
define("string", "int", "string", str)
define("string", "double", "string", _decimal)
define("string", "bool", "string", lambda a: "true" if a else "false")
define("bool", "bool", "bool", lambda a: a)
define("bool", "string", "bool", _bool_of_text)
define("dyn", "dyn", "dyn", lambda a: a)

# ---------------------------------------------------------------- strings and lists


@lru_cache(maxsize=4096)
def _matches(text: str, pattern: str) -> bool:
    # celpy's own `matches`, which is RE2: linear in the text whatever the pattern.
    found = celpy.evaluation.function_matches(text, pattern)
    if isinstance(found, celpy.evaluation.CELEvalError):
        raise Failure(f"invalid regular expression {pattern[:80]!r}")
    return bool(found)


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
    if start > len(text) and part:
        return -1
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
        raise Failure(f"string longer than {MAX_TEXT} characters")
    return _text(text.replace(old, new, max(limit, -1)))


def _join(parts: tuple[object, ...], separator: str = "") -> str:
    if not all(type(part) is str for part in parts):
        raise Failure("no such overload: join of a list that is not of strings")
    if sum(len(str(part)) for part in parts) + len(separator) * len(parts) > 2 * MAX_TEXT:
        raise Failure(f"string longer than {MAX_TEXT} characters")
    return _text(separator.join(str(part) for part in parts))


_LOWER: Final = {c: c + 32 for c in range(ord("A"), ord("Z") + 1)}
_UPPER: Final = {c: c - 32 for c in range(ord("a"), ord("z") + 1)}

for _name in ("size", ".size"):
    define(_name, "string", "int", len)
    define(_name, "list", "int", len)
    define(_name, "map", "int", len)
for _name in ("matches", ".matches"):
    define(_name, "string string", "bool", _matches)
define(".startsWith", "string string", "bool", str.startswith)
define(".endsWith", "string string", "bool", str.endswith)
define(".contains", "string string", "bool", lambda a, b: b in a)
define(".lowerAscii", "string", "string", lambda a: a.translate(_LOWER))
define(".upperAscii", "string", "string", lambda a: a.translate(_UPPER))
define(".trim", "string", "string", lambda a: a.strip(_SPACE))
define(".charAt", "string int", "string", _character)
define(".substring", "string int", "string", _substring)
define(".substring", "string int int", "string", _substring)
define(".indexOf", "string string", "int", _find)
define(".indexOf", "string string int", "int", _find)
define(".lastIndexOf", "string string", "int", _rfind)
define(".lastIndexOf", "string string int", "int", _rfind)
define(".split", "string string", "list(string)", _split)
define(".split", "string string int", "list(string)", _split)
define(".replace", "string string string", "string", _replace)
define(".replace", "string string string int", "string", _replace)
define(".includes", "list dyn", "bool", lambda a, b: any(_same(element, b) for element in a))
for _name in ("bool", "int", "double", "string", "semver"):
    define(".includes", f"{_name} dyn", "bool", _same)
define(".join", "list", "string", _join)
define(".join", "list string", "string", _join)

# ---------------------------------------------------------------- quantities


def _quantity(text: str) -> Quantity:
    try:
        return parse_quantity(text)
    except QuantityError:
        raise Failure(f"{text[:80]!r} is not a quantity") from None


def _is_quantity(text: str) -> bool:
    try:
        parse_quantity(text)
    except QuantityError:
        return False
    return True


_AMOUNT: Final = re.compile(
    r"([+-]?)0*([0-9]*)(?:\.([0-9]*))?(?:([KMGTPE]i)|([numkMGTPE]?)|[eE]([+-]?[0-9]{1,3}))", re.ASCII
)
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


@lru_cache(maxsize=4096)
def _amount(text: str) -> tuple[int, int] | None:
    """(value, power of ten) where Kubernetes holds the quantity as such a pair, None where as a big decimal.

    Whether a quantity counts as an integer depends on this, not on its value: `1000m` and `1.0` do not.
    """
    found = _AMOUNT.fullmatch(text)
    if found is None:
        return None
    sign, whole, fraction, binary, decimal, exponent = (part or "" for part in found.groups())
    if binary:
        room = -1 if fraction else 14 - len(whole) - _BINARY[binary] * 3 // 10
        scale, factor = 0, 1 << _BINARY[binary]
    else:
        room = 18 - len(whole + fraction)
        scale, factor = (int(exponent) if exponent else _DECIMAL[decimal]) - len(fraction), 1
    value = int(whole + fraction or "0") * factor
    if room < 0 or scale < -9 or value > INT_MAX:
        return None
    return (-value if sign == "-" else value), scale


def _is_integer(a: Quantity) -> bool:
    held = _amount(a.text)
    return held is not None and held[1] >= 0 and INT_MIN <= a.nanos // NANO <= INT_MAX


def _as_integer(a: Quantity) -> int:
    if not _is_integer(a):
        raise Failure(f"cannot convert quantity {a.text} to int")
    return a.nanos // NANO


def _approximate(a: Quantity) -> float:
    held = _amount(a.text)
    return a.nanos / NANO if held is None else float(held[0]) * 10.0 ** held[1]


def _sum(a: Quantity, b: Quantity) -> Quantity:
    nanos = a.nanos + b.nanos
    left, right = _amount(a.text), _amount(b.text)
    if left is None or right is None:
        return Quantity(nanos, f"{nanos} nano-units")
    if left[0] == 0 or right[0] == 0:
        return a if right[0] == 0 else b
    scale = min(left[1], right[1])
    return Quantity(nanos, f"{nanos // 10 ** (9 + scale)}e{scale}")


def _minus(a: Quantity) -> Quantity:
    held = _amount(a.text)
    return Quantity(-a.nanos, f"{-a.nanos} nano-units" if held is None else f"{-held[0]}e{held[1]}")


def _whole(a: int) -> Quantity:
    return Quantity(a * NANO, f"{a}e0")


def _compare(a: Any, b: Any) -> int:
    return int(a > b) - int(a < b)


define("quantity", "string", "quantity", _quantity)
define("isQuantity", "string", "bool", _is_quantity)
define("sign", "quantity", "int", lambda a: int(a.nanos > 0) - int(a.nanos < 0))
define(".isInteger", "quantity", "bool", _is_integer)
define(".asInteger", "quantity", "int", _as_integer)
define(".asApproximateFloat", "quantity", "double", _approximate)
define(".add", "quantity quantity", "quantity", _sum)
define(".add", "quantity int", "quantity", lambda a, b: _sum(a, _whole(b)))
define(".sub", "quantity quantity", "quantity", lambda a, b: _sum(a, _minus(b)))
define(".sub", "quantity int", "quantity", lambda a, b: _sum(a, _whole(-b)))

# ---------------------------------------------------------------- versions


def _is_semver(text: str, loose: bool = False) -> bool:
    try:
        _semver(text, loose)
    except Failure:
        return False
    return True


def _semver(text: str, loose: bool = False) -> Semver:
    return normalise_semver(text) if loose else parse_semver(text)


def _number(value: int) -> int:
    # Unsigned 64-bit numbers wrap when Kubernetes hands them to CEL as int.
    return value if value <= INT_MAX else value - 2**64


define("semver", "string", "semver", _semver)
define("semver", "string bool", "semver", _semver)
define("isSemver", "string", "bool", _is_semver)
define("isSemver", "string bool", "bool", _is_semver)
define(".major", "semver", "int", lambda a: _number(a.major))
define(".minor", "semver", "int", lambda a: _number(a.minor))
define(".patch", "semver", "int", lambda a: _number(a.patch))
for _name in ("quantity", "semver"):
    define(".compareTo", f"{_name} {_name}", "int", _compare)
    define(".isGreaterThan", f"{_name} {_name}", "bool", lambda a, b: a > b)
    define(".isLessThan", f"{_name} {_name}", "bool", lambda a, b: a < b)

# ---------------------------------------------------------------- optional values


def _value(a: Optional) -> object:
    if not a.present:
        raise Failure("optional value is not there")
    return a.value


define("optional.of", "dyn", "optional", lambda a: Optional(True, a))
define("optional.none", "", "optional", lambda: Optional(False))
define(".hasValue", "optional", "bool", lambda a: a.present)
define(".value", "optional", "dyn", _value)
define(".orValue", "optional dyn", "dyn", lambda a, b: a.value if a.present else b)
define(".or", "optional optional", "optional", lambda a, b: a if a.present else b)
