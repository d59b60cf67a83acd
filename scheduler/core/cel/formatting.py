"""`string.format`: version 2 of CEL's strings extension, which formats doubles for the locale en_US."""

import math
import re
from typing import Any, Final

from scheduler.core.cel import times
from scheduler.core.cel.standard import MAX_TEXT, decimal, double_of_text, too_long
from scheduler.core.cel.types import Type
from scheduler.core.cel.values import (
    LISTS,
    MAPS,
    Duration,
    Failure,
    Timestamp,
    TypeValue,
    Uint,
    items_of,
    type_name,
)  # fmt: skip

_DEFAULT_PRECISION: Final = 6
_CLAUSE: Final = re.compile(r"%(?:\.([0-9]*))?(.)?", re.DOTALL)
_SUPERSCRIPT: Final = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
_SPECIAL: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_ESCAPES: Final = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"',
}  # fmt: skip
ALLOWED: Final[dict[str, frozenset[str]]] = {
    "s": frozenset({"list", "map", "int", "uint", "double", "bool", "string", "timestamp", "bytes", "duration", "type",
                    "null"}),
    "d": frozenset({"int", "uint"}), "f": frozenset({"double", "string"}), "e": frozenset({"double", "string"}),
    "b": frozenset({"int", "uint", "bool"}), "x": frozenset({"int", "uint", "string", "bytes"}),
    "X": frozenset({"int", "uint", "string", "bytes"}), "o": frozenset({"int", "uint"}),
}  # fmt: skip
"""Clause -> kinds of static types that it takes."""


def clauses(text: str) -> list[tuple[str, str, int]]:
    """(literal text in front, clause letter, precision) for each clause, and ("rest", "", 0). Raises Failure.

    A clause that is not one is reported only when it is reached: its letter is then `?`.
    """
    found: list[tuple[str, str, int]] = []
    plain: list[str] = []
    position = 0
    while position < len(text):
        sign = text.find("%", position)
        if sign < 0:
            break
        plain.append(text[position:sign])
        if text[sign + 1 : sign + 2] == "%":
            plain.append("%")
            position = sign + 2
            continue
        match = _CLAUSE.match(text, sign)
        letter, precision = "?", _DEFAULT_PRECISION
        if match is not None and match[2] is not None and match[2] in ALLOWED and match[1] != "":
            letter = match[2]
            precision = _DEFAULT_PRECISION if match[1] is None else int(match[1][:10])
        found.append(("".join(plain), letter, precision))
        plain = []
        position = match.end() if match is not None else len(text)
        if letter == "?":
            return found
    found.append(("".join(plain) + text[position:], "", 0))
    return found


def format_text(text: str, arguments: Any) -> str:
    """`text.format(arguments)`. Raises Failure."""
    pieces = []
    items = items_of(arguments)
    for i, (plain, letter, precision) in enumerate(clauses(text)):
        pieces.append(plain)
        if not letter:
            break
        if i >= len(items):
            raise Failure(f"index {i} out of range")
        if letter == "?":
            raise Failure("could not parse formatting clause")
        pieces.append(_formatted(letter, precision, items[i]))
    found = "".join(pieces)
    if len(found) > MAX_TEXT:
        raise too_long()
    return found


def _formatted(letter: str, precision: int, value: Any) -> str:
    kind = type(value)
    if letter == "s":
        return as_text(value)
    if letter == "d" and kind in {int, Uint}:
        return str(int(value))
    if letter in {"f", "e"}:
        if kind is str and value in _SPECIAL:
            value = double_of_text(value)
        if type(value) is float:
            return _fixed(value, precision) if letter == "f" else _scientific(value, precision)
    if letter == "b" and kind in {int, Uint, bool}:
        return format(int(value), "b")
    if letter == "o" and kind in {int, Uint}:
        return format(int(value), "o")
    if letter in {"x", "X"} and kind in {int, Uint, str, bytes}:
        if kind in {int, Uint}:
            return format(int(value), letter)
        found = (value.encode(errors="surrogatepass") if kind is str else value).hex()
        return str(found.upper() if letter == "X" else found)
    raise Failure(f"error during formatting: clause {letter!r} cannot be used on {type_name(value)}")


def _fixed(value: float, precision: int) -> str:
    special = _special(value)
    if special is not None:
        return special
    if precision > 1000:
        raise Failure("error during formatting: too many digits")
    text = f"{abs(value):.{precision}f}"
    whole, point, fraction = text.partition(".")
    grouped = f"{int(whole):,}{point}{fraction}"
    return f"-{grouped}" if value < 0 else grouped


def _special(value: float) -> str | None:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "\u221e" if value > 0 else "-\u221e"
    return None


def _scientific(value: float, width: int) -> str:
    """Six digits always: what the writer meant as precision is taken for the width."""
    text = _special(value)
    if text is None:
        mantissa, _, exponent = f"{abs(value):.6e}".partition("e")
        number = int(exponent)
        digits = f"{abs(number):0{1 if width == 0 else 2}d}"
        sign = "-" if number < 0 else ""
        text = f"{'-' if value < 0 else ''}{mantissa}\u00d710{(sign + digits).translate(_SUPERSCRIPT)}"
    if width > MAX_TEXT:
        raise Failure("error during formatting: too wide")
    return text.rjust(width)


def as_text(value: Any) -> str:
    """The `%s` of a value. Raises Failure."""
    kind = type(value)
    if kind in LISTS:
        return f"[{', '.join([_inner(each) for each in items_of(value)])}]"
    if kind in MAPS:
        return _map_text(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind in {int, Uint}:
        return str(int(value))
    if kind is float:
        return decimal(value)
    if kind is Timestamp:
        return str(value.text())
    if kind is Duration:
        return times.duration_text(value)
    if kind is TypeValue:
        return str(value.name)
    if value is None:
        return "null"
    if kind is bytes:
        try:
            return str(value.decode())
        except UnicodeDecodeError:
            raise Failure("could not convert bytes to string") from None
    raise Failure(f"error during formatting: %s cannot be used on {type_name(value)}")


def _inner(value: Any) -> str:
    """How a value looks inside a list or a map."""
    kind = type(value)
    if kind is float:
        if math.isnan(value):
            return '"NaN"'
        if math.isinf(value):
            return '"+Inf"' if value > 0 else '"-Inf"'
        return f"{value:.{_DEFAULT_PRECISION}f}"
    text = as_text(value)
    if kind is str:
        return quoted(text)
    if kind is bytes:
        return "b" + quoted(text)
    if kind is Timestamp:
        return f'timestamp("{text}")'
    return f'duration("{text}")' if kind is Duration else text


def _map_text(value: Any) -> str:
    pairs = []
    for key in value.keys():  # noqa: SIM118
        if type(key) not in {str, bool, int, Uint}:
            raise Failure(f"no formatting function for map key of type {type_name(key)}")
        pairs.append((_inner(key), _inner(value.find(key))))
    return "{" + ", ".join([f"{key}:{found}" for key, found in sorted(pairs)]) + "}"


def quoted(text: str) -> str:
    """As Go's %q."""
    return '"' + "".join([_ESCAPES.get(c) or (c if c.isprintable() or c == " " else _escape(c)) for c in text]) + '"'


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def takes(letter: str, kind: Type) -> bool:
    """Whether a clause takes values of a static type."""
    return kind.kind == "dyn" or kind.kind in ALLOWED[letter]
