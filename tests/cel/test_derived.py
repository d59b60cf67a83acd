"""Derived attributes: expressions that give a value for a constraint to compare (KEP-6080)."""

import pytest

from scheduler.core.cel import derive
from scheduler.core.errors import SelectorError
from scheduler.core.model import Version
from scheduler.core.quantity import parse_quantity

DRIVER = "gpu.example.com"
ATTRIBUTES = {"model": "A100", "index": 5, "healthy": True, "firmware": Version("1.2.3-rc.1+b7"), "nodes": (0, 1)}
CAPACITY = {"memory": parse_quantity("40Gi")}
A = f'device.attributes["{DRIVER}"]'


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (f"{A}.index / 2", 2),
        (f"{A}.model.lowerAscii()", "a100"),
        (f"{A}.healthy && {A}.index > 3", True),
        (f"{A}.firmware", Version("1.2.3-rc.1+b7")),
        ('semver("v1.2", true)', Version("1.2.0")),
        (f"{A}.nodes", (0, 1)),
        ('[device.driver, "x"]', (DRIVER, "x")),
        (f'device.capacity["{DRIVER}"].memory.isGreaterThan(quantity("1Gi"))', True),
        ("device.allowMultipleAllocations", True),
        (f'{A}.?gone.orValue("none")', "none"),
        ("[1].filter(x, false)", ()),
    ],
)
def test_an_expression_gives_a_value_or_a_list(expression: str, value: object):
    found = derive(expression, DRIVER, ATTRIBUTES, CAPACITY, True)

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("1.5", "double, which no attribute can hold"),
        ('{"a": 1}', "which no attribute can hold"),
        ('quantity("1Gi")', "which no attribute can hold"),
        (f"{A}.index +", "is not CEL"),
        (f"{A}.gone", "no such key: gone"),
        (f'{A}.index == 5 ? dyn(1.5) : dyn("x")', "gives what no attribute can hold"),
        (f"[dyn({A}.index), dyn({A}.model)]", "gives what no attribute can hold"),
    ],
)
def test_what_gives_no_attribute_is_refused_by_name(expression: str, words: str):
    with pytest.raises(SelectorError, match=words):
        derive(expression, DRIVER, ATTRIBUTES, CAPACITY)
