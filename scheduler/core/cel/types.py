"""Static types of CEL expressions, and which fit where others are asked for.

The rules are those of the type checker of cel-go (checker/types.go), which the API server and the scheduler use:
`dyn` fits everything, null fits objects, and type parameters are bound on first use and widened later.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Type:
    """A type: its kind, its name, and the types inside it.

    kind : bool, int, uint, double, string, bytes, null, duration, timestamp, dyn, error, list, map, type, param (a
        parameter, still open), opaque (optional_type, net.IP, ...) or struct (kubernetes.Quantity, ...).
    """

    kind: str
    name: str
    inner: tuple["Type", ...] = ()

    def __str__(self) -> str:
        return self.name + (f"({', '.join(str(each) for each in self.inner)})" if self.inner else "")


Bindings = dict[Type, Type]
"""Type parameter -> what it stands for."""

BOOL: Final = Type("bool", "bool")
INT: Final = Type("int", "int")
UINT: Final = Type("uint", "uint")
DOUBLE: Final = Type("double", "double")
STRING: Final = Type("string", "string")
BYTES: Final = Type("bytes", "bytes")
NULL: Final = Type("null", "null_type")
DURATION: Final = Type("duration", "google.protobuf.Duration")
TIMESTAMP: Final = Type("timestamp", "google.protobuf.Timestamp")
DYN: Final = Type("dyn", "dyn")
ERROR: Final = Type("error", "error")
TYPE: Final = Type("type", "type")
QUANTITY: Final = Type("struct", "kubernetes.Quantity")
SEMVER: Final = Type("struct", "kubernetes.Semver")
URL: Final = Type("struct", "kubernetes.URL")
FORMAT: Final = Type("struct", "kubernetes.NamedFormat")
DEVICE: Final = Type("struct", "kubernetes.DRADevice")
IP: Final = Type("opaque", "net.IP")
CIDR: Final = Type("opaque", "net.CIDR")

_NULLABLE: Final = frozenset({"opaque", "struct", "duration", "timestamp", "null"})
_PLAIN: Final = frozenset({
    "bool", "bytes", "double", "int", "string", "uint", "duration", "timestamp", "struct",
})  # fmt: skip


def list_of(element: Type) -> Type:
    """`list(element)`."""
    return Type("list", "list", (element,))


def map_of(key: Type, value: Type) -> Type:
    """`map(key, value)`."""
    return Type("map", "map", (key, value))


def optional_of(value: Type) -> Type:
    """`optional_type(value)`."""
    return Type("opaque", "optional_type", (value,))


def type_of(value: Type) -> Type:
    """`type(value)`: the type of the type."""
    return Type("type", "type", (value,))


def parameter(name: str) -> Type:
    """A type parameter."""
    return Type("param", name)


def unwrap(kind: Type) -> tuple[Type, bool]:
    """(T, True) of `optional_type(T)`, else (the type, False)."""
    if kind.name == "optional_type" and kind.kind == "opaque":
        return kind.inner[0], True
    return kind, False


def fits(bindings: Bindings, given: Type, wanted: Type) -> Bindings | None:
    """The bindings under which `given` may stand for `wanted`; None if there are none."""
    trial = dict(bindings)
    return trial if _fits(trial, given, wanted) else None


def all_fit(bindings: Bindings, given: tuple[Type, ...], wanted: tuple[Type, ...]) -> Bindings | None:
    """The bindings under which all of them fit."""
    if len(given) != len(wanted):
        return None
    trial = dict(bindings)
    return trial if all(_fits(trial, a, b) for a, b in zip(given, wanted, strict=True)) else None


def _fits(bindings: Bindings, a: Type, b: Type) -> bool:
    if b.kind == "param":
        fitting, bound = _bind(bindings, a, b)
        if fitting or bound:
            return fitting
    if a.kind == "param":
        return _bind(bindings, b, a)[0]
    if a.kind in {"dyn", "error"} or b.kind in {"dyn", "error"}:
        return True
    if a.kind == "null" or b.kind == "null":
        return (b if a.kind == "null" else a).kind in _NULLABLE
    if a.kind in _PLAIN:
        return a == b
    if a.kind == "type":
        return b.kind == "type"
    return (
        (a.kind, a.name, len(a.inner)) == (b.kind, b.name, len(b.inner))
        and all(_fits(bindings, x, y) for x, y in zip(a.inner, b.inner, strict=True))
    )  # fmt: skip


def _bind(bindings: Bindings, kind: Type, param: Type) -> tuple[bool, bool]:
    """(whether the parameter may stand for the type, whether it was bound before)."""
    if kind == param:
        return True, True
    held = bindings.get(param)
    if held is not None:
        if kind == held:
            return True, True
        if _fits(bindings, kind, held):
            wider = most_general(kind, held)
            if not _mentions(bindings, param, wider):
                bindings[param] = wider
            return True, True
        return False, True
    if not _mentions(bindings, param, kind):
        bindings[param] = kind
        return True, False
    return False, False


def _mentions(bindings: Bindings, param: Type, kind: Type) -> bool:
    if kind == param:
        return True
    if kind.kind == "param":
        held = bindings.get(kind)
        return held is not None and _mentions(bindings, param, held)
    return any(_mentions(bindings, param, each) for each in kind.inner)


def most_general(a: Type, b: Type) -> Type:
    """The one that says less, of two that fit each other."""
    return a if _says_no_more(a, b) else b


def _says_no_more(a: Type, b: Type) -> bool:
    if a.kind in {"dyn", "param"}:
        return True
    if b.kind in {"dyn", "param"} or a.kind != b.kind:
        return False
    if a.kind in {"opaque", "list", "map"}:
        return (
            a.name == b.name
            and len(a.inner) == len(b.inner)
            and all(_says_no_more(x, y) for x, y in zip(a.inner, b.inner, strict=True))
        )
    return a.kind == "type" or a == b


def resolve(bindings: Bindings, kind: Type, *, close: bool = False) -> Type:
    """The type with its parameters replaced; those still open become `dyn` if asked to close."""
    held = bindings.get(kind)
    if held is not None:
        return resolve(bindings, held, close=close)
    if kind.kind == "param":
        return DYN if close else kind
    if not kind.inner:
        return kind
    return Type(kind.kind, kind.name, tuple([resolve(bindings, each, close=close) for each in kind.inner]))


def equivalent(a: Type, b: Type) -> bool:
    """The same type but for the names of parameters."""
    if a.kind == "param" and b.kind == "param":
        return True
    return (
        (a.kind, a.name, len(a.inner)) == (b.kind, b.name, len(b.inner))
        and all(equivalent(x, y) for x, y in zip(a.inner, b.inner, strict=True))
    )  # fmt: skip
