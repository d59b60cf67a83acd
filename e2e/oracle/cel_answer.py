"""Answers questions of kind "cel" with our own evaluator, in the form of the Go oracle."""

from typing import Any

from scheduler.core.cel.program import Program, device_of, program_of
from scheduler.core.cel.semver import parse_semver
from scheduler.core.errors import QuantityError, SelectorError
from scheduler.core.model import Version
from scheduler.core.quantity import Quantity, parse_quantity

_LISTS = {"ints": int, "bools": bool, "strings": str, "versions": Version}


def answer_cel(case: dict[str, Any]) -> dict[str, Any]:
    """One answer: outcome, error, maxCost, answers.

    Error texts are our own. `features` do not count: Kubernetes compiles stored selectors with all of them.
    """
    try:
        program = program_of(case["expression"])
    except SelectorError as error:
        return {"id": case.get("id"), "outcome": "compile-error", "error": str(error)}
    answers = [_answer(program, case.get("driver", ""), device) for device in case.get("devices") or []]
    return {"id": case.get("id"), "outcome": "ok", "maxCost": program.max_cost, "answers": answers}


def _answer(program: Program, driver: str, device: dict[str, Any]) -> dict[str, Any]:
    try:
        attributes = {name: _attribute(raw) for name, raw in (device.get("attributes") or {}).items()}
        capacity = {name: _quantity(raw) for name, raw in (device.get("capacity") or {}).items()}
    except (ValueError, QuantityError) as error:
        return {"error": str(error)}
    multiple = bool(device.get("allowMultipleAllocations"))
    found = program.evaluate(device_of(driver, attributes, capacity, multiple))
    return {"error": found.problem} if found.problem else {"match": found.match, "cost": found.cost}


def _attribute(raw: dict[str, Any]) -> Any:
    for kind in _LISTS:
        if raw.get(kind) is not None:
            return tuple([_version(each) if kind == "versions" else each for each in raw[kind]])
    for kind in ("int", "bool", "string", "version"):
        if raw.get(kind) is not None:
            return _version(raw[kind]) if kind == "version" else raw[kind]
    raise ValueError("unsupported attribute value")


def _version(text: str) -> Version:
    if parse_semver(text) is None:
        raise ValueError(f"parse semantic version {text!r}")
    return Version(text)


def _quantity(raw: dict[str, Any]) -> Quantity:
    return parse_quantity(str(raw["value"]))
