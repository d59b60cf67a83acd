"""What an expression reads of a device, and whether that is a fixed set of columns."""

from dataclasses import dataclass
from typing import Final

from scheduler.core.cel.tree import Call, Fold, Ident, ListOf, Literal, Node, Select

Key = tuple[str, str]
"""What is read: a kind and a name.

("driver", ""), ("multiple", ""), ("attribute" or "capacity", full name), ("attribute domain" or "capacity domain",
domain), or ("everything", "") where that cannot be told.
"""

DRIVER: Final[Key] = ("driver", "")
MULTIPLE: Final[Key] = ("multiple", "")
EVERYTHING: Final[Key] = ("everything", "")
NOTHING: Final[frozenset[Key]] = frozenset()
UNKNOWN_SIZE: Final = 64
"""Elements assumed for a list that is not written out: attributes are this long."""

_MAX_STEPS: Final = 10**9


@dataclass(frozen=True, slots=True)
class Reads:
    """keys : what is read. columns : whether each key is a column, rather than a whole map of the device."""

    keys: frozenset[Key]
    columns: bool = True

    def __or__(self, other: "Reads") -> "Reads":
        return Reads(self.keys | other.keys, self.columns and other.columns)


_NONE: Final = Reads(NOTHING)


@dataclass(frozen=True, slots=True)
class _Whole:
    """The device (kind empty), all attributes or capacities of it, or one domain of those."""

    kind: str = ""
    domain: str | None = None

    def reads(self) -> Reads:
        """Reading all of it."""
        key = EVERYTHING if self.domain is None else (self.kind + " domain", self.domain)
        return Reads(frozenset({key}), columns=False)


Scope = dict[str, "_Whole | Reads"]


def reads_of(node: Node, scope: Scope | None = None) -> Reads:
    """What evaluating a checked tree reads."""
    scope = scope or {}
    whole = _whole(node, scope)
    if whole is not None:
        return whole.reads()
    match node:
        case Ident():
            found = scope.get(node.name, _NONE)
            return found if isinstance(found, Reads) else found.reads()
        case Fold() if node.binds():
            held = _whole(node.start, scope) or reads_of(node.start, scope)
            return reads_of(node.result, {**scope, node.accumulator: held})
        case Fold():
            inner: Scope = {**scope, node.accumulator: _NONE, node.variable: _NONE}
            if node.second is not None:
                inner[node.second] = _NONE
            outside = reads_of(node.items, scope) | reads_of(node.start, scope)
            return outside | reads_of(node.condition, inner) | reads_of(node.step, inner) | reads_of(node.result, inner)
        case Select():
            return _selected(node.operand, node.field, scope) or reads_of(node.operand, scope)
        case Call():
            found_call = _read_by_call(node, scope)
            if found_call is not None:
                return found_call
    total = _NONE
    for part in node.parts():
        total |= reads_of(part, scope)
    return total


def _text(node: Node) -> str | None:
    return node.value if isinstance(node, Literal) and type(node.value) is str else None


def _read_by_call(node: Call, scope: Scope) -> Reads | None:
    name = None
    if node.function in {"_[_]", "_[?_]", "_?._"}:
        name = _text(node.arguments[1])
        return None if name is None else _selected(node.arguments[0], name, scope)
    if node.function == "@in":
        whole, name = _whole(node.arguments[1], scope), _text(node.arguments[0])
        if whole is not None and whole.kind and name is not None:
            if whole.domain is None:
                return Reads(frozenset({(whole.kind + " domain", name)}))
            return Reads(frozenset({(whole.kind, f"{whole.domain}/{name}")}))
    return None


def _selected(operand: Node, name: str, scope: Scope) -> Reads | None:
    """Reads of one name of the device or of a domain; None for anything else."""
    whole = _whole(operand, scope)
    if whole is None:
        return None
    if not whole.kind:
        key = {"driver": DRIVER, "allowMultipleAllocations": MULTIPLE}.get(name)
        return _NONE if key is None else Reads(frozenset({key}))
    if whole.domain is None:
        return _NONE  # has() of a domain, which is always there
    return Reads(frozenset({(whole.kind, f"{whole.domain}/{name}")}))


def _whole(node: Node, scope: Scope) -> _Whole | None:
    """The part of the device that a node stands for, if it is more than one value."""
    if isinstance(node, Ident):
        found = scope.get(node.name)
        if isinstance(found, _Whole):
            return found
        return _Whole() if found is None and node.name.removeprefix(".") == "device" else None
    operand, name = None, None
    if isinstance(node, Select) and not node.tests:
        operand, name = node.operand, node.field
    elif isinstance(node, Call) and node.function in {"_[_]", "_[?_]", "_?._"}:
        operand, name = node.arguments[0], _text(node.arguments[1])
    if operand is None or name is None:
        return None
    whole = _whole(operand, scope)
    if whole is None or whole.domain is not None:
        return None
    if not whole.kind:
        kind = {"attributes": "attribute", "capacity": "capacity"}.get(name)
        return None if kind is None else _Whole(kind)
    return _Whole(whole.kind, name)


def steps_of(node: Node) -> int:
    """A bound on the nodes that are evaluated for one device, loops multiplied out."""
    if not isinstance(node, Fold):
        return min(1 + sum(steps_of(part) for part in node.parts()), _MAX_STEPS)
    once = 1 + steps_of(node.items) + steps_of(node.start) + steps_of(node.result)
    if node.binds():
        return min(once, _MAX_STEPS)
    return min(once + _count(node.items) * (steps_of(node.condition) + steps_of(node.step)), _MAX_STEPS)


def _count(node: Node) -> int:
    if isinstance(node, ListOf):
        return len(node.elements)
    if isinstance(node, Fold) and not node.binds():
        return _count(node.items)
    if isinstance(node, Call) and node.function == "lists.range" and isinstance(node.arguments[0], Literal):
        return min(max(int(node.arguments[0].value), 0), _MAX_STEPS)
    if isinstance(node, Call) and node.function == "_+_":
        return sum(_count(part) for part in node.arguments)
    return UNKNOWN_SIZE
