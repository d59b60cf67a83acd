"""The values that selectors compute with, as plain Python: their types' names and what counts as a failure."""

from collections.abc import Mapping
from dataclasses import dataclass

MAX_TEXT = 100_000  # characters in a computed string: far beyond any attribute, and keeps repeated doubling cheap


class Failure(Exception):  # noqa: N818
    """A runtime error of CEL: a value that `&&` and `||` may still absorb."""


@dataclass(frozen=True, slots=True)
class Optional:
    """What `.?field` gives: `value` if `present`."""

    present: bool
    value: object = None


class Domains(dict[str, Mapping[str, object]]):
    """`device.attributes` or `device.capacity`: a domain that the device does not know is an empty map."""


class Literals(tuple[object, ...]):
    """A list whose elements are all literals of the expression."""

    __slots__ = ()


TYPE_NAMES: dict[type, str] = {
    bool: "bool", int: "int", float: "double", str: "string", tuple: "list", Literals: "list", type(None): "null",
    dict: "map", Domains: "map", Optional: "optional",
}  # fmt: skip
"""Python type -> name of the CEL type; `functions` adds quantity and semver."""


def type_name(value: object) -> str:
    """The CEL type of a value."""
    return TYPE_NAMES[type(value)]
