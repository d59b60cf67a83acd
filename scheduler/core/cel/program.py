"""A compiled expression and its evaluation on one device."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from scheduler.core.cel.amount import Amount, parse_amount
from scheduler.core.cel.checker import Checker
from scheduler.core.cel.costs import LIMIT
from scheduler.core.cel.estimate import max_cost
from scheduler.core.cel.grammar import parse, refusal
from scheduler.core.cel.scalar import Frame, Planner, Step, verdict_of
from scheduler.core.cel.semver import parse_semver
from scheduler.core.cel.tree import Node
from scheduler.core.cel.values import Abort, Domains, Failure, Fields
from scheduler.core.errors import SelectorError
from scheduler.core.model import AttributeValue, Version
from scheduler.core.quantity import NANO, Quantity

MAX_LENGTH: Final = 10 * 1024
"""Bytes of a selector (CELSelectorExpressionMaxLength)."""

_DEEP: Final = 40  # levels beyond which Python's own limit on recursion is in the way
_RECURSION: Final = 20_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an evaluation gave: `problem` is empty unless it failed, and then it does not match.

    cost : in the units of Kubernetes' CEL budget.
    """

    match: bool
    problem: str
    cost: int


def depth_of(node: Node) -> int:
    """How deep a tree is."""
    deepest, pending = 0, [(node, 1)]
    while pending:
        found, level = pending.pop()
        deepest = max(deepest, level)
        pending.extend((part, level + 1) for part in found.parts())
    return deepest


@contextmanager
def room_for(depth: int) -> Iterator[None]:
    """Lets Python call deeper than usual while a deep tree is worked on."""
    before = sys.getrecursionlimit()
    if depth <= _DEEP or before >= _RECURSION:
        yield
        return
    sys.setrecursionlimit(_RECURSION)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class Program:
    """A compiled expression.

    max_cost : what an evaluation may cost at most, 2^64 - 1 where that is unknown.
    """

    def __init__(self, expression: str, *, derived: bool = False) -> None:
        self.expression = expression
        with room_for(_DEEP + 1):  # how deep it is shows only when it is parsed
            self.root: Node = parse(expression)
            self.depth = depth_of(self.root)
            Checker(expression).check(self.root, derived=derived)
            planner = Planner()
            try:
                self.step: Step = planner.plan(self.root)
            except Failure as failure:
                raise refusal(expression, failure.message, "correct the constant") from None
            self.max_cost = max_cost(self.root)
        self.slots = planner.slots

    def evaluate(self, device: Fields, limit: int = LIMIT) -> Outcome:
        """The verdict on a device made by `device_of`."""
        frame = Frame(device, self.slots, limit)
        try:
            with room_for(self.depth):
                return Outcome(verdict_of(self.step.run(frame)), "", frame.cost)
        except Failure as failure:
            return Outcome(False, failure.message or "failed", frame.cost)
        except Abort as abort:
            return Outcome(False, str(abort), frame.cost)

    def value(self, device: Fields) -> tuple[Any, str]:
        """What the expression gives for a device made by `device_of`, and why it gives nothing, empty if it does."""
        try:
            with room_for(self.depth):
                found = self.step.run(Frame(device, self.slots, LIMIT))
        except (Failure, Abort) as error:
            return None, str(error) or "failed"
        return (None, found.message or "failed") if type(found) is Failure else (found, "")


def value_of(value: Any) -> Any:
    """An attribute or a capacity as a value of CEL; a version that is none fails when it is read."""
    kind = type(value)
    if kind is Version:
        found = parse_semver(value.text)
        return Failure(f"{value.text[:80]!r} is not a semantic version") if found is None else found
    if kind is Quantity:
        amount = parse_amount(value.text)
        return Amount(value.nanos, -9, big=True) if amount is None or _off(amount, value.nanos) else amount
    if kind is tuple:
        items = tuple([value_of(each) for each in value])
        return next((each for each in items if type(each) is Failure), items)
    return value


def _off(amount: Amount, nanos: int) -> bool:
    """Whether a quantity's text does not say what it is: it was computed."""
    power = amount.scale + 9
    if power >= 0:
        return bool(amount.value * 10**power != nanos)
    return bool(amount.value * NANO != nanos * 10**-amount.scale)


def device_of(
    driver: str,
    attributes: Mapping[str, AttributeValue],
    capacity: Mapping[str, Quantity],
    allow_multiple: bool = False,
) -> Fields:
    """The variable `device`. Names without a domain belong to the driver's."""
    return Fields(
        {
            "driver": driver,
            "allowMultipleAllocations": allow_multiple,
            "attributes": domains_of(driver, attributes),
            "capacity": domains_of(driver, capacity),
        }
    )


def domains_of(driver: str, values: Mapping[str, Any]) -> Domains:
    """By domain; a full name counts before the short one, where a device publishes both."""
    domains: dict[str, dict[str, Any]] = {}
    for name in sorted(values, key=lambda each: "/" in each):
        domain, slash, identifier = name.partition("/")
        if not slash:
            domain, identifier = driver, name
        domains.setdefault(domain, {})[identifier] = value_of(values[name])
    return Domains({domain: Fields(found) for domain, found in domains.items()})


@lru_cache(maxsize=4096)
def _program(expression: str, derived: bool) -> Program | SelectorError:
    try:
        return Program(expression, derived=derived)
    except SelectorError as error:
        return error


def program_of(expression: str, *, derived: bool = False) -> Program:
    """The program of a selector or of a derived attribute, compiled once. Raises SelectorError."""
    found = _program(expression, derived)
    if isinstance(found, SelectorError):
        # A new exception each time: one that is kept would collect the traceback of everyone who met it.
        raise SelectorError(found.where, found.problem, found.remedy)
    return found


def evaluate_device(
    expression: str,
    driver: str,
    attributes: Mapping[str, AttributeValue],
    capacity: Mapping[str, Quantity],
    allow_multiple: bool = False,
) -> Outcome:
    """Verdict, error or not, and cost on one device. Raises SelectorError if the expression does not compile."""
    return program_of(expression).evaluate(device_of(driver, attributes, capacity, allow_multiple))


def evaluate_scalar(
    expression: str,
    driver: str,
    attributes: Mapping[str, AttributeValue],
    capacity: Mapping[str, Quantity],
    allow_multiple: bool = False,
) -> bool:
    """Whether a device matches. Names without a domain belong to the driver's.

    Raises SelectorError: the expression does not compile, or fails on this device.
    """
    found = evaluate_device(expression, driver, attributes, capacity, allow_multiple)
    if found.problem:
        raise refusal(expression, found.problem, "guard it, for example with has() or .?name")
    return found.match
