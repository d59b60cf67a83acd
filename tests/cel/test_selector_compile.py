import contextlib
import subprocess
import sys

import pytest

from scheduler.core.cel import Outcome, compile_selector, evaluate_device, evaluate_scalar
from scheduler.core.errors import SelectorError
from scheduler.core.model import Version

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
    ('[1, "a"].exists(x, true)', "a literal mixes int and string"),
    ("true ? 1 : true", "?: does not take (bool, int, bool)"),
    ("true ? 1 : 2", "gives int"),
    ("'a'.matches('(')", "invalid regular expression"),
    ("int('x') == 1", "cannot read 'x' as int"),
    (r"'a\d' == 'x'", "invalid escape"),
    ("99999999999999999999 == 1", "does not fit into 64 bits"),
    ("has(device)", "has() takes a field selection"),
    ("[1].exists(1, true)", "is not a plain name"),
    ("device.driver.exists(x, true)", "cannot range over string"),
    ("google.protobuf.Int64Value{value: 1} == 1", "creates an object"),
    ("type(1) == timestamp", "unknown name timestamp"),
    ("[1].all(i, i, true)", "both variables of a macro are named i"),
    ("'%d'.format(['x']) == ''", "a format cannot take argument 1"),
    ("'%d %d'.format([1]) == ''", "a format asks for argument 2"),
    ("'%d'.format([1, 2]) == ''", "a format takes 1 arguments"),
    ("duration('1x') > duration('1s')", "cannot read '1x' as duration"),
    ("timestamp('now') == timestamp(0)", "cannot read 'now' as timestamp"),
    ("dyn([1])[null] == 1", "invalid qualifier type"),
    ("[1, ?2].size() == 2", "marks a value of int as optional"),
    ("let == 1", "reserved word let"),
    ("device.in == 1", "is not CEL near 'in'"),
    ("-!true", "is not CEL near '!'"),
    ("(" * 250 + "true" + ")" * 250, "nested more than 250 deep"),
    (" + ".join(["1"] * 252) + " == 252", "nested more than 250 deep"),
    ("true || " + "x" * 10240, "longer than 10240 bytes"),
]


@pytest.mark.parametrize(("expression", "problem"), REFUSED)
def test_wrong_selectors_are_refused_with_place_and_reason(expression: str, problem: str):
    with pytest.raises(SelectorError) as caught:
        compile_selector(expression)

    assert problem in str(caught.value)
    assert str(caught.value).startswith("selector ")
    assert caught.value.remedy
    assert len(str(caught.value)) < 400


def test_bound_values_are_computed_once():
    bindings = "".join(f"cel.bind(v{i}, {f'v{i - 1} + v{i - 1}' if i else '1'}, " for i in range(20))
    expression = bindings + "v19 == 524288" + ")" * 20

    assert evaluate_device(expression, "d", {}, {}) == Outcome(True, "", 59)


DEEP = [
    "(" * 249 + "true" + ")" * 249, "!" * 50 + "true", " + ".join(["1"] * 249) + " == 249",
    "true ? true : " * 240 + "true", "dyn(" * 240 + "true" + ")" * 240, "[1]" + ".map(x, x)" * 240 + " == [1]",
]  # fmt: skip


@pytest.mark.parametrize("expression", DEEP)
def test_deep_but_allowed_nesting_is_evaluated(expression: str):
    compile_selector(expression)
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


def test_costly_selectors_are_left_to_the_scalar_evaluator():
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

    with pytest.raises(SelectorError, match="longer than 16777216"):
        evaluate_scalar(expression, "d", {}, {})


def test_the_cost_limit_ends_an_evaluation_for_good():
    expression = "lists.range(1000).all(x, lists.range(1000).all(y, x + y >= 0)) || true"

    selector = compile_selector(expression)

    assert selector.max_cost > 1_000_000
    assert not selector.vectorised
    with pytest.raises(SelectorError, match="cost limit exceeded"):
        evaluate_scalar(expression, "d", {}, {})


def test_what_cannot_be_hashed_ends_an_evaluation_for_good():
    versions = f"{A}.v in ['a'] || true"

    assert evaluate_scalar(versions, "d.com", {"v": "b"}, {})
    with pytest.raises(SelectorError, match="unhashable"):
        evaluate_scalar(versions, "d.com", {"v": Version("1.2.3")}, {})


def test_lists_of_a_device_are_lists():
    attributes = {"s": ("a", "b"), "v": (Version("1.2.3"),), "i": (), "n": 1}

    assert evaluate_scalar(f"{A}.s.includes('b') && {A}.s == ['a', 'b']", "d.com", attributes, {})
    assert evaluate_scalar(f"{A}.v[0] == semver('1.2.3') && {A}.i.size() == 0", "d.com", attributes, {})
    assert evaluate_scalar(f"{A}.n.includes(1) && {A}.s.all(s, s != 'c')", "d.com", attributes, {})


def test_devices_may_be_shared():
    assert evaluate_scalar("device.allowMultipleAllocations", "d.com", {}, {}, True)
    assert not evaluate_scalar("device.allowMultipleAllocations", "d.com", {}, {})


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
