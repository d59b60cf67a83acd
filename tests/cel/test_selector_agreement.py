"""The vectorised evaluator against the scalar one: same verdict, and an error where it has one."""

import pickle

import numpy as np
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from scheduler.core.cel import Selector, Verdicts, compile_selector, evaluate_scalar, evaluate_tuple
from scheduler.core.columns import DeviceTable
from scheduler.core.errors import SelectorError
from scheduler.core.model import AttributeValue, Device, Version
from scheduler.core.quantity import Quantity, parse_quantity

DRIVERS = ("gpu.example.com", "nic.example.com")
NAMES = ("gpu.example.com/a", "gpu.example.com/b", "b", "net.example.com/c")
READS = (
    'device.attributes["gpu.example.com"].a', 'device.attributes["gpu.example.com"].b',
    'device.attributes["net.example.com"]["c"]', 'device.attributes["nic.example.com"].b',
    'device.attributes["gpu.example.com"].?a.orValue("x")', 'device.attributes["gpu.example.com"][?"b"].orValue(1)',
)  # fmt: skip
CAPACITY = 'device.capacity["gpu.example.com"].a'

values = st.one_of(
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from(["", "x", "1", "H100", "1.2.3", "2Gi"]),
    st.sampled_from(["1.2.3", "1.2.3-rc.1", "2.0.0+b", "10.0.0", "not-a-version"]).map(Version),
)
quantities = st.sampled_from(["0", "1", "1500m", "2Gi", "2048Mi", "-3"]).map(parse_quantity)
devices = st.builds(
    Device,
    st.just("d"),
    st.dictionaries(st.sampled_from(NAMES), values),
    st.dictionaries(st.sampled_from(NAMES), quantities),
)
fleets = st.lists(st.tuples(st.sampled_from(DRIVERS), devices), min_size=1, max_size=8)

# Everything goes through dyn(), so that no generated expression is refused for its static types.
leaves = st.sampled_from([
    *READS, "true", "false", "1", "0", "-2", "1.5", '"x"', '"H100"', "null", 'semver("1.2.3")', 'quantity("2Gi")',
    "device.driver", CAPACITY, '"gpu.example.com" in device.attributes', '"a" in device.attributes["gpu.example.com"]',
    'has(device.attributes["gpu.example.com"].b)', 'has(device.capacity["net.example.com"].c)', "[1, 2]", '["x"]',
    "9223372036854775807",
]).map("dyn({})".format)  # fmt: skip


OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "in", "&&", "||", "&&", "||")
FORMS = (
    "dyn(!{})", "dyn(-{})", "dyn(size({}))", "dyn(string({}))", "dyn(int({}))", "dyn({}.lowerAscii())",
    'dyn({}.matches("^[xH1]"))', 'dyn({}.startsWith("H"))', "dyn({}.major())", "dyn(isSemver({}))",
    "dyn(isQuantity({}))", "dyn(quantity({}))", "dyn(semver({}, true))", "dyn({}.asInteger())",
    'dyn({}.isLessThan(semver("1.5.0")))', 'dyn({}.compareTo(quantity("1")))', "dyn([1, 2].exists(i, i == {}))",
    "dyn([0, 1].all(i, 1 / i == {}))", 'dyn(["x", "1"].exists_one(s, s == {}))', "dyn({}.exists(i, i == 1))",
    "dyn([1, 2].map(i, i + {}))", "dyn([1, 2].filter(i, {}))", "dyn([{}])", "cel.bind(v, {}, dyn(v == v))",
    "dyn({} ? {} : {})", "dyn({} ? {} : {})",
    *(f"dyn({{}} {operator} {{}})" for operator in OPERATORS),
)  # fmt: skip


def extend(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.sampled_from(FORMS), inner, inner, inner).map(lambda parts: parts[0].format(*parts[1:]))


wild = st.recursive(leaves, extend, max_leaves=6)

# Conditions as people write them, which succeed more often.
CONDITIONS = (
    "{} == 1", '{} == "H100"', "{} != true", '{} == "x" || {} == "1"', "{} in [1, 2]", '{} in ["H100", "x"]', "{} < 2",
    "{} >= {}", "{} == {}", '{}.startsWith("H")', '{}.matches("[0-9]$")', "{}.size() < 3", '{}.contains("1")',
    '{} == semver("1.2.3")', '{}.isGreaterThan(semver("1.2.0"))', "{} + 1 < {}", 'isQuantity({}) && quantity({}) == {}',
    '["x", "H"].exists(p, {}.startsWith(p))', "[1, 2].all(i, {} != i)",
)  # fmt: skip
GUARDS = (
    "true", "device.driver.startsWith('gpu')", 'has(device.attributes["gpu.example.com"].a)',
    '"b" in device.attributes["gpu.example.com"]', '"net.example.com" in device.attributes',
    f'{CAPACITY}.compareTo(quantity("1")) > 0', 'device.capacity["gpu.example.com"].?b.hasValue()',
)  # fmt: skip
conditions = st.one_of(
    st.sampled_from(GUARDS),
    st.tuples(st.sampled_from(CONDITIONS), *[st.sampled_from(READS)] * 3).map(
        lambda parts: parts[0].format(*parts[1:])
    ),
)
sensible = st.recursive(
    conditions,
    lambda inner: st.tuples(
        st.sampled_from(("({0} && {1})", "({0} || {1})", "!({0})", "({0} ? {1} : {2})", "({0} || !({1}) && {2})")),
        *[inner] * 3,
    ).map(lambda parts: parts[0].format(*parts[1:])),
    max_leaves=8,
)
expressions = wild | sensible


def table_of(fleet: list[tuple[str, Device]]) -> tuple[DeviceTable, list[int]]:
    table = DeviceTable(2)
    return table, [table.add(driver, [device]).start for driver, device in fleet]


def letters(verdicts: Verdicts) -> str:
    return "".join("e" if e else "t" if m else "f" for m, e in zip(verdicts.match, verdicts.error, strict=True))


def compiled(expression: str) -> Selector:
    try:
        return compile_selector(expression)
    except SelectorError:
        reject()  # a constant part of it fails


def scalar(expression: str, driver: str, device: Device) -> str:
    try:
        return "t" if evaluate_scalar(expression, driver, device.attributes, device.capacity) else "f"
    except SelectorError:
        return "e"


@given(expressions, fleets)
@settings(max_examples=250, deadline=None)
def test_vectorised_verdicts_are_those_of_the_scalar_evaluator(expression: str, fleet: list[tuple[str, Device]]):
    table, rows = table_of(fleet)
    selector = compiled(expression)
    assume(selector.vectorised)  # all but what may cost more than an evaluation may

    verdicts = selector.evaluate(table, np.array(rows, np.int32))

    assert letters(verdicts) == "".join(scalar(expression, driver, device) for driver, device in fleet)
    for i in range(len(fleet)):
        assert bool(verdicts.problem(i)) == verdicts.error[i]


@given(expressions, fleets)
@settings(max_examples=60, deadline=None)
def test_projected_tuples_get_the_verdicts_of_their_devices(expression: str, fleet: list[tuple[str, Device]]):
    table, rows = table_of(fleet)

    tuples, inverse = compiled(expression).project(table, np.array(rows, np.int32))

    assert len(set(tuples)) == len(tuples)
    answers = [evaluate_tuple(expression, pickle.loads(pickle.dumps(each))) for each in tuples]
    found = ["e" if isinstance(answer, str) else "t" if answer else "f" for answer in answers]
    assert [found[i] for i in inverse] == [scalar(expression, driver, device) for driver, device in fleet]


def attributes(**values: AttributeValue) -> dict[str, AttributeValue]:
    return dict(values)


def test_tables_follow_columns_that_grow():
    selector = compile_selector('device.attributes["gpu.example.com"].model == "H200"')
    table = DeviceTable(4)
    table.add("gpu.example.com", [Device("0", attributes(model="H100"), {})])
    assert letters(selector.evaluate(table, slice(0, 1))) == "f"

    span = table.add("gpu.example.com", [Device("1", attributes(model="H200"), {}), Device("2", {}, {})])

    assert letters(selector.evaluate(table, slice(0, 3))) == "fte"
    table.remove(span)
    for i in range(300):
        table.add("gpu.example.com", [Device(str(i), attributes(model=f"M{i}"), {})])
    assert selector.evaluate(table, slice(0, 301)).match.sum() == 0
    table.add("gpu.example.com", [Device("x", attributes(model="H200"), {})])
    assert selector.evaluate(table, slice(0, 302)).match.sum() == 1


def test_combinations_of_columns_follow_growth_and_absence():
    selector = compile_selector(
        'device.attributes["gpu.example.com"].index < device.attributes["gpu.example.com"].limit'
    )
    table = DeviceTable(4)
    table.add("gpu.example.com", [Device("0", attributes(index=1), {})])
    assert letters(selector.evaluate(table, slice(0, 1))) == "e"

    for i in range(40):
        table.add("gpu.example.com", [Device(str(i), attributes(index=i, limit=20), {})])
        assert letters(selector.evaluate(table, slice(0, i + 2))) == "e" + "".join(
            "t" if j < 20 else "f" for j in range(i + 1)
        )


def test_combinations_beyond_any_dense_table_are_right():
    selector = compile_selector('device.attributes["gpu.example.com"].a == device.attributes["gpu.example.com"].b')
    table = DeviceTable(4)
    fleet = [Device(str(i), attributes(a=i, b=i if i % 3 else -i), {}) for i in range(1, 1500)]
    span = table.add("gpu.example.com", fleet)

    for _ in range(2):
        verdicts = selector.evaluate(table, span.rows)
        assert verdicts.match.tolist() == [i % 3 != 0 for i in range(1, 1500)]


def test_a_snapshot_keeps_its_verdicts_while_the_table_goes_on():
    selector = compile_selector('device.attributes["gpu.example.com"].model.startsWith("H")')
    table = DeviceTable(4)
    span = table.add("gpu.example.com", [Device("0", attributes(model="H100"), {})])
    snapshot = table.snapshot()

    table.remove(span)
    removed = letters(selector.evaluate(table, span.rows))
    after = table.add("gpu.example.com", [Device("0", attributes(model="A100"), {})])

    assert letters(selector.evaluate(snapshot, span.rows)) == "t"
    assert removed == "e"
    assert letters(selector.evaluate(table, after.rows)) == "f"


def test_two_tables_do_not_share_what_was_learned():
    selector = compile_selector('device.attributes["gpu.example.com"].model == "H100"')
    tables = []
    for model in ("H100", "A100") * 10:
        table = DeviceTable(4)
        table.add("gpu.example.com", [Device("0", attributes(model=model), {})])
        tables.append(table)

    for _ in range(2):
        assert [letters(selector.evaluate(table, slice(0, 1))) for table in tables] == ["t", "f"] * 10


def test_one_and_true_stay_apart_in_tuples():
    fleet = [
        ("gpu.example.com", Device("0", attributes(a=1), {})),
        ("gpu.example.com", Device("1", attributes(a=True), {})),
    ]
    table, rows = table_of(fleet)
    expression = 'device.attributes["gpu.example.com"].all(k, device.attributes["gpu.example.com"][k] == 1)'
    selector = compile_selector(expression)
    assert not selector.vectorised

    tuples, inverse = selector.project(table, np.array(rows, np.int32))

    assert [evaluate_tuple(expression, tuples[i]) for i in inverse] == [True, False]


def test_problems_name_the_missing_key():
    table, rows = table_of([("gpu.example.com", Device("0", {}, {}))])
    selector = compile_selector('device.attributes["gpu.example.com"].model == "H100"')

    verdicts = selector.evaluate(table, np.array(rows, np.int32))

    assert verdicts.problem(0) == "no such key: model"


def test_attributes_without_a_domain_belong_to_the_driver():
    quantity = {"memory": Quantity(10**9, "1")}

    assert evaluate_scalar('device.attributes["a.b"].x == 1', "a.b", {"x": 1}, {})
    assert evaluate_scalar('device.capacity["a.b"].memory.asInteger() == 1', "a.b", {}, quantity)
    assert not evaluate_scalar('has(device.attributes["a.b"].x)', "c.d", {"x": 1}, {})
