import contextlib
import subprocess
import sys

import pytest

from scheduler.core.cel import compile_selector, evaluate_scalar
from scheduler.core.errors import SelectorError

A = 'device.attributes["d.com"]'
LIST = "[" + ", ".join(str(i) for i in range(40)) + "]"

REFUSED = [
    ("1", "gives int, not bool"),
    ('"x"', "gives string, not bool"),
    ("device", "gives device, not bool"),
    (f"{A}.x +", "ends too early"),
    ("true &&\n $", "line 2, column 2: is not CEL near '$'"),
    ("", "ends too early"),
    ("(true", "ends too early"),
    ("true true", "line 1, column 6: is not CEL near 'true'"),
    ("true &&\n  foo", "line 2, column 3: refers to the unknown name foo"),
    ("foo(1) == 1", "unknown function foo()"),
    (f"{A}.x.frob()", "unknown function frob()"),
    ("device.unknown == 1", "a device has no unknown"),
    ("device.driver == 3", "== does not take (string, int)"),
    ("device.driver && true", "&& does not take (string, bool)"),
    ("device.driver.lowerAscii(1) == 'x'", "lowerAscii does not take (string, int)"),
    ('device.capacity["d.com"].m > quantity("1")', "> does not take (quantity, quantity)"),
    ('[1, "a"].exists(x, true)', "a list mixes int and string"),
    ("true ? 1 : true", "chooses between int and bool"),
    ("true ? 1 : 2", "gives int"),
    ("'a'.matches('(')", "invalid regular expression"),
    ("int('x') == 1", "cannot read 'x' as int"),
    (r"'a\d' == 'x'", "invalid escape"),
    ("99999999999999999999 == 1", "does not fit into 64 bits"),
    ("has(device)", "has() takes a field selection"),
    ("[1].exists(1, true)", "is not a plain name"),
    ("device.driver.exists(x, true)", "cannot range over string"),
    ("type(1) == int", "type() is not supported yet"),
    ("1u == 1u", "unsigned number is not supported yet"),
    ("b'a' == b'a'", "bytes literal is not supported yet"),
    ("{'a': 1}.a == 1", "map literal is not supported yet"),
    ("sets.contains([1], [1])", "sets.contains() is not supported yet"),
    ("ip('1.2.3.4').family() == 4", "not supported yet"),
    ("[1].all(i, v, true)", "all() with 3 arguments is not supported yet"),
    ("(" * 400 + "true" + ")" * 400 + " && " + "!" * 100 + "true", "nested more than 64 deep"),
    (" + ".join(["1"] * 100) + " == 100", "nested more than 64 deep"),
    ("true || " + "x" * 10240, "longer than 10240 bytes"),
    (f"{LIST}.exists(a, {LIST}.exists(b, {LIST}.exists(c, a + b + c == 3)))", "over the limit of 10000"),
]


@pytest.mark.parametrize(("expression", "problem"), REFUSED)
def test_wrong_selectors_are_refused_with_place_and_reason(expression: str, problem: str):
    with pytest.raises(SelectorError) as caught:
        compile_selector(expression)

    assert problem in str(caught.value)
    assert str(caught.value).startswith("selector ")
    assert caught.value.remedy
    assert len(str(caught.value)) < 400


def test_doubling_bindings_are_refused_by_their_steps():
    bindings = "".join(f"cel.bind(v{i}, {f'v{i - 1} + v{i - 1}' if i else '1'}, " for i in range(20))
    with pytest.raises(SelectorError, match="over the limit"):
        compile_selector(bindings + "v19 > 0" + ")" * 20)


@pytest.mark.parametrize("expression", ["(" * 400 + "true" + ")" * 400, "!" * 50 + "true"])
def test_deep_but_allowed_nesting_is_evaluated(expression: str):
    assert compile_selector(expression).vectorised
    assert evaluate_scalar(expression, "d", {}, {}) is True


def test_alternating_conditions_compile_in_no_time():
    expression = "true"
    for i in range(25):
        expression = f"device.driver == 'a{i}' {('||', '&&')[i % 2]} ({expression})"

    assert compile_selector(expression).vectorised
    assert evaluate_scalar(expression, "a0", {}, {}) is False


@pytest.mark.parametrize(
    "text", ["(", "!", "-", "[", "x.", "true?", "device.driver.split('').map(x,", "{1:", "cel.bind("]
)
def test_hostile_repetition_is_refused_not_crashed_on(text: str):
    closing = {"(": ")", "[": "]", "{1:": "}"}.get(text, "")
    count = 2000 // len(text + closing)
    for expression in (text * count, text * count + "true", text * count + "true" + closing * count):
        with contextlib.suppress(SelectorError):
            compile_selector(expression)


def test_costly_selectors_are_left_to_the_reference():
    expression = f"{LIST}.exists(a, [1, 2, 3].exists(b, device.driver == 'x' && a + b == 3))"

    assert not compile_selector(expression).vectorised
    assert evaluate_scalar(expression, "x", {}, {}) is True


def test_long_chains_of_conditions_are_evaluated():
    for operator, verdict in (("||", True), ("&&", False)):
        expression = f" {operator} ".join(["device.driver == 'a'"] * 90 + ["device.driver == 'd'"])
        assert compile_selector(expression).vectorised
        assert evaluate_scalar(expression, "d", {}, {}) is verdict
        expression = f" {operator} ".join(["device.driver == 'a'"] * 400 + ["device.driver == 'd'"])
        assert evaluate_scalar(expression, "d", {}, {}) is verdict


def test_computed_strings_cannot_grow_without_bound():
    expression = f"'{'a' * 300}'" + ".replace('a', 'aaaaaaaaaaaaaaaaaaaa')" * 20 + " == ''"

    with pytest.raises(SelectorError, match="longer than 100000"):
        evaluate_scalar(expression, "d", {}, {})


def test_the_same_text_is_compiled_once():
    assert compile_selector("true || false") is compile_selector("true || false")


@pytest.mark.parametrize(
    ("expression", "driver", "attributes", "capacity", "everything"),
    [
        ("true", False, set(), set(), False),
        ("device.driver == 'x'", True, set(), set(), False),
        (f"{A}.x == 1 && has({A}.y)", False, {"d.com/x", "d.com/y"}, set(), False),
        (f"{A}[?'z'].orValue(true)", False, {"d.com/z"}, set(), False),
        ('device.capacity["d.com"].m == quantity("1")', False, set(), {"d.com/m"}, False),
        ('"d.com" in device.attributes', False, {"d.com/*"}, set(), False),
        (f"size({A}) > 1", False, {"d.com/*"}, set(), False),
        ("device.attributes[device.driver].x == 1", True, set(), set(), True),
    ],
)
def test_selectors_say_what_they_read(
    expression: str, driver: bool, attributes: set[str], capacity: set[str], everything: bool
):
    reads = compile_selector(expression).reads

    assert (reads.driver, set(reads.attributes), set(reads.capacity)) == (driver, attributes, capacity)
    assert reads.everything == everything


def test_importing_the_package_warns_of_nothing_and_leaves_the_recursion_limit():
    program = (
        "import sys; limit = sys.getrecursionlimit(); import scheduler.core.cel as cel; "
        "cel.evaluate_scalar('true', 'd', {}, {}); assert sys.getrecursionlimit() == limit"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
