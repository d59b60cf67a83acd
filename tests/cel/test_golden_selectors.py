"""Verdicts that Kubernetes' own compiler gave, against both evaluators."""

import json
from pathlib import Path
from typing import Any

import pytest

from scheduler.core.cel import compile_selector, evaluate_scalar
from scheduler.core.columns import DeviceTable
from scheduler.core.errors import SelectorError
from scheduler.core.model import AttributeValue, Device, Version
from scheduler.core.quantity import parse_quantity

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))
CASES = [(case["expression"], case["verdicts"]) for case in GOLDEN["cases"]]


def value_of(attribute: dict[str, Any]) -> AttributeValue:
    ((kind, value),) = attribute.items()
    return Version(value) if kind == "version" else value


def device_of(item: dict[str, Any]) -> Device:
    return Device(
        item["name"],
        {name: value_of(attribute) for name, attribute in item.get("attributes", {}).items()},
        {name: parse_quantity(capacity["value"]) for name, capacity in item.get("capacity", {}).items()},
    )


GROUPS = [(group["driver"], [device_of(item) for item in group["devices"]]) for group in GOLDEN["groups"]]


def scalar(expression: str, driver: str, device: Device) -> str:
    try:
        return "t" if evaluate_scalar(expression, driver, device.attributes, device.capacity) else "f"
    except SelectorError:
        return "e"


@pytest.fixture(scope="module")
def table() -> DeviceTable:
    table = DeviceTable(4)
    for driver, devices in GROUPS:
        table.add(driver, devices)
    return table


@pytest.mark.parametrize(("expression", "verdicts"), CASES)
def test_both_evaluators_answer_as_kubernetes_does(expression: str, verdicts: list[str] | None, table: DeviceTable):
    if verdicts is None:
        with pytest.raises(SelectorError):
            compile_selector(expression)
        return

    selector = compile_selector(expression)

    assert ["".join(scalar(expression, driver, device) for device in devices) for driver, devices in GROUPS] == verdicts
    if selector.vectorised:
        found = selector.evaluate(table, slice(0, 6))
        assert "".join(
            "e" if e else "t" if m else "f" for m, e in zip(found.match, found.error, strict=True)
        ) == "".join(verdicts)


def test_nearly_every_golden_selector_has_a_vectorised_form():
    compiled = [compile_selector(expression) for expression, verdicts in CASES if verdicts is not None]

    assert sum(selector.vectorised for selector in compiled) > 0.9 * len(compiled)
