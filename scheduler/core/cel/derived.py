"""Derived attributes (KEP-6080): expressions that give an attribute of a device instead of a verdict."""

from collections.abc import Mapping
from typing import Any

from scheduler.core.cel.grammar import refusal
from scheduler.core.cel.program import device_of, program_of
from scheduler.core.cel.semver import Semver
from scheduler.core.model import AttributeScalar, AttributeValue, Version
from scheduler.core.quantity import Quantity


def derive(
    expression: str,
    driver: str,
    attributes: Mapping[str, AttributeValue],
    capacity: Mapping[str, Quantity],
    shareable: bool = False,
) -> AttributeValue:
    """The value of a derived attribute for a device; a list is a tuple.

    Raises SelectorError: the expression does not compile, fails on this device, or gives what no attribute can hold.
    """
    value, problem = program_of(expression, derived=True).value(device_of(driver, attributes, capacity, shareable))
    if problem:
        raise refusal(expression, problem, "guard it, for example with has() or .?name")
    found = _attribute(value)
    if found is None:
        raise refusal(expression, "gives what no attribute can hold", "give a bool, int, string, semver or a list")
    return found


def _attribute(value: Any) -> AttributeValue | None:
    if type(value) is tuple:
        items = [_scalar(each) for each in value]
        if any(each is None or type(each) is not type(items[0]) for each in items):
            return None
        return tuple(each for each in items if each is not None)
    return _scalar(value)


def _scalar(value: Any) -> AttributeScalar | None:
    if type(value) is Semver:
        return Version(value.text)
    return value if type(value) in {bool, int, str} else None
