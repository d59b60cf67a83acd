"""The functions and operators that are declared, by name, with their overloads."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from scheduler.core.cel.types import Type
from scheduler.core.cel.values import ABSENT, LISTS, MAPS, Failure, items_of, type_name

Implementation = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Overload:
    """One signature. `run` computes it (None: `Function.shared` does, or nothing can), and may raise Failure.

    stops : the call ends at the first argument that fails; otherwise a second argument is still evaluated.
    """

    id: str
    member: bool
    parameters: tuple[Type, ...]
    result: Type
    run: Implementation | None
    stops: bool = False


@dataclass(slots=True)
class Function:
    """A name and its overloads, in the order in which they are tried at run time.

    shared : computes all overloads alike. receivers : the Python types of a first argument that `shared` can take.
    guarded : arguments are checked against the signature at run time.
    """

    name: str
    overloads: list[Overload] = field(default_factory=list)
    shared: Implementation | None = None
    receivers: frozenset[type] | None = None
    guarded: bool = True


FUNCTIONS: Final[dict[str, Function]] = {}


def declare(
    name: str,
    identifier: str,
    parameters: tuple[Type, ...],
    result: Type,
    run: Implementation | None = None,
    *,
    member: bool = False,
    stops: bool = False,
) -> None:
    """Add an overload."""
    function = FUNCTIONS.setdefault(name, Function(name))
    function.overloads.append(Overload(identifier, member, parameters, result, run, stops or len(parameters) > 2))


def share(name: str, run: Implementation, receivers: frozenset[type] | None = None) -> None:
    """Give all overloads of a function one implementation."""
    FUNCTIONS[name].shared = run
    FUNCTIONS[name].receivers = receivers


def overload(name: str, identifier: str) -> Overload:
    """The overload of that id."""
    return next(each for each in FUNCTIONS[name].overloads if each.id == identifier)


def accepts(kind: Type, value: Any) -> bool:
    """Whether a value is of a type, as far as its first element shows."""
    if kind.kind in {"dyn", "param"}:
        return True
    if kind.name != type_name(value):
        return False
    if kind.kind == "list" and type(value) in LISTS:
        items = items_of(value)
        return not items or accepts(kind.inner[0], items[0])
    if kind.kind == "map" and type(value) in MAPS and len(value):
        key = next(value.keys())
        found = value.find(key)
        return accepts(kind.inner[0], key) and found is not ABSENT and accepts(kind.inner[1], found)
    return True


def applies(chosen: Overload, arguments: tuple[Any, ...]) -> bool:
    """Whether the arguments are of the overload's types."""
    return len(arguments) == len(chosen.parameters) and all(
        accepts(kind, value) for kind, value in zip(chosen.parameters, arguments, strict=True)
    )


def dispatch(function: Function, arguments: tuple[Any, ...]) -> Any:
    """Apply the first overload that takes these values. Raises Failure."""
    for each in function.overloads:
        if each.run is None or len(arguments) != len(each.parameters):
            continue
        if not function.guarded or applies(each, arguments):
            return each.run(*arguments)
    raise no_overload(function.name, arguments)


def no_overload(name: str, arguments: tuple[Any, ...]) -> Failure:
    """The error for values that no overload takes."""
    return Failure(f"no such overload: {name.strip('_@')}({', '.join(type_name(each) for each in arguments)})")
