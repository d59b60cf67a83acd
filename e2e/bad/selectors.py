"""CEL selectors of claims and classes: what is no selector is refused by its text, and nothing takes long."""

from collections.abc import Iterator
from typing import Final

from e2e.bad.case import ACCEPTED, EITHER, REFUSED, Answer, Case
from e2e.bad.junk import HOSTILE
from scheduler.core.cel import compile_selector
from scheduler.core.cel.program import evaluate_scalar
from scheduler.core.errors import SelectorError
from scheduler.core.quantity import parse_quantity

SURFACE: Final = "selectors"
DRIVER: Final = "gpu.example.com"
GOOD: Final = (
    'device.driver == "gpu.example.com" && device.attributes["gpu.example.com"].model == "a100"',
    'device.capacity["gpu.example.com"].memory.compareTo(quantity("10Gi")) >= 0 || has(device.attributes["x"].y)',
    'device.attributes["gpu.example.com"].model.matches("^a[0-9]+$") ? true : device.allowMultipleAllocations',
    '["a100", "h100"].exists(each, each == device.attributes["gpu.example.com"].model)',
)
TOKENS: Final = (
    "", " ", "(", ")", "[", "]", "{", "}", ".", ",", "!", "?", ":", "&&", "||", "==", "=", "<", "+", "-", "*", "/",
    "%", '"', "'", '"""', "\\", "0", "1u", "1.5", "1e400", "9223372036854775808", "null", "true", "device", "has",
    "quantity", "semver", "in", "b'\\xff'", "//", "#", ";", "@", "$", "`", "\x00", "\u202e", "é",
)  # fmt: skip
REFUSALS: Final = (
    "", " ", "device", "device.driver", "1", "null", "'x'", "device.driver > 3", "device.name == 'x'", "nothing == 1",
    "device.attributes", 'device.driver.matches("(")', "quantity('10Gi')", "device.driver == ", "(true", "true)",
    "true &&", "[1, 2, 3]", "{'a': 1}", "true ? 1 : 2", "device.driver == 1", "!device.driver", "has(device)",
    "future()", "device.driver.future()", "'a' + 1 == 'a1'", "1 + 1u == 2", "'\\q' == 'q'", "9223372036854775808 > 0",
    "x.y.z",
)  # fmt: skip
RUN: Final = (
    'device.attributes["none.example.com"].x == 1', 'device.attributes["gpu.example.com"].none == "x"',
    'device.attributes["gpu.example.com"].model > 5', 'quantity("abc").isGreaterThan(quantity("1"))',
    'semver("1.x").major() == 1', "1 / 0 == 1", "1 % 0 == 1", "9223372036854775807 + 1 > 0",
    "-9223372036854775807 - 2 < 0", "0.0 / 0.0 == 0.0 / 0.0", 'device.driver.matches("(a+)+$")',
    'device.driver.matches("(?=x)x")', 'device.driver.matches("(a)\\\\1")',
    "".join(f"[1,2,3,4,5,6,7,8,9,10].all({name}, " for name in "abcdef") + "a+b+c+d+e+f > 0" + ")" * 6,
    'device.capacity["gpu.example.com"].none.isGreaterThan(quantity("1"))', 'timestamp("x") < timestamp("y")',
    'duration("1h1") > duration("1s")', 'ip("1.2.3") == ip("1.2.3.4")', "type(device.driver) == 5",
)  # fmt: skip


def put(expression: str) -> Answer:
    """Compile a selector and evaluate it on a device. An error that ends the evaluation is a refusal as well."""
    try:
        compile_selector(expression)
        evaluate_scalar(expression, DRIVER, {"model": "a100"}, {"memory": parse_quantity("80Gi")}, True)
    except SelectorError as error:
        return Answer(REFUSED, str(error))
    return Answer(ACCEPTED)


def cases() -> Iterator[Case]:
    """Those of the catalogue, good ones with a piece too many or too few, and texts that are no CEL."""
    for number, text in enumerate(REFUSALS):
        yield _case(f"refused {number}", text, REFUSED)
    for number, text in enumerate(RUN):
        yield _case(f"evaluated {number}", text)
    for number, text in enumerate(GOOD):
        yield _case(f"good {number}", text, ACCEPTED)
        for at in range(0, len(text), 7):
            yield _case(f"good {number} ends at {at}", text[:at])
            yield _case(f"good {number} without {at}", text[:at] + text[at + 1 :])
            for token in TOKENS[(at // 7) % 4 :: 4]:
                yield _case(f"good {number} with {token!a} at {at}", text[:at] + token + text[at:])
    for text in HOSTILE:
        yield _case(f"hostile {text[:20]!a}", text, REFUSED)
        yield _case(f"hostile {text[:20]!a} in quotes", f"device.driver == {text!r}")
    for depth in (100, 1_000, 5_000):
        yield _case(f"{depth} parentheses", "(" * depth + "true" + ")" * depth)
        yield _case(f"{depth} brackets", "[" * depth)
        yield _case(f"{depth} nots", "!" * depth + "true")
        yield _case(f"{depth} terms", " && ".join(["true"] * depth))
        yield _case(f"list of {depth}", f"1 in [{', '.join(['1'] * depth)}]")
        yield _case(f"{depth} members", "device" + ".x" * depth)
        yield _case(f"{depth} conditions", "true ? " * depth + "true" + " : true" * depth)
    yield _case("more than 10 KiB", "true || " * 1_400 + "true", REFUSED)


def _case(name: str, text: str, expected: str = EITHER) -> Case:
    return Case(SURFACE, name, lambda: put(text), expected)
