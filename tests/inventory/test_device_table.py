"""Columns say what the devices say, through any history of additions and removals."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.columns import ABSENT, Column, DeviceTable
from scheduler.core.model import Version
from tests.build import device

SCALARS = [True, False, 0, 1, "1", "", Version("1.0.0"), Version("1")]
VALUES = st.sampled_from([*SCALARS, *((each,) for each in SCALARS), (0, 1), (False, True), (1, 0)])
DEVICES = st.lists(
    st.builds(
        lambda own, memory: device("d", own, {"memory": memory} if memory else {}),
        st.dictionaries(st.sampled_from(["a", "b", "other.io/a"]), VALUES, max_size=3),
        st.sampled_from(["", "1Gi", "1024Mi", "40Gi"]),
    ),
    max_size=5,
)


def read(table: DeviceTable, row: int) -> tuple[dict, dict, str]:
    def value(column):
        code = int(column.codes[row])
        return None if code == ABSENT else column.values[code]

    attributes = {name: value(column) for name, column in table.attributes.items()}
    capacity = {name: value(column) for name, column in table.capacity.items()}
    return (
        {name: each for name, each in attributes.items() if each is not None},
        {name: each for name, each in capacity.items() if each is not None},
        value(table.drivers),
    )


def typed(value):
    """With the types of all parts, since True and 1 are equal to Python."""
    return (type(value), tuple(map(typed, value)) if isinstance(value, tuple) else value)


def test_values_that_python_takes_for_equal_have_codes_of_their_own():
    column = Column(1)
    values = [True, 1, (True,), (1,), (True, False), (1, 0), (), "1", ("1",), Version("1"), (Version("1"),)]

    codes = [column.code(value) for value in values]

    assert codes == list(range(len(values)))
    assert [column.code(value) for value in values] == codes
    assert [typed(column.values[code]) for code in codes] == [typed(value) for value in values]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["x.io", "y.io"]), DEVICES, st.booleans()), max_size=8))
def test_rows_say_what_was_published_and_snapshots_keep_saying_it(steps):
    table = DeviceTable(size=2)
    held = {}
    snapshots = []
    for number, (driver, devices, drop) in enumerate(steps):
        if drop and held:
            _, span, _ = held.pop(min(held))
            table.remove(span)
        else:
            held[number] = (driver, table.add(driver, devices), devices)
        snapshots.append((table.snapshot(), dict(held)))

    for seen, expected in snapshots:
        rows = set()
        for driver, span, devices in expected.values():
            for row, item in zip(range(span.start, span.stop), devices, strict=True):
                rows.add(row)
                attributes, capacity, owner = read(seen, row)
                full = {name if "/" in name else f"{driver}/{name}": v for name, v in item.attributes.items()}
                assert {k: typed(v) for k, v in attributes.items()} == {k: typed(v) for k, v in full.items()}
                assert capacity == {f"{driver}/{name}": amount for name, amount in item.capacity.items()}
                assert owner == driver
        assert set(np.flatnonzero(seen.live).tolist()) == rows


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 64), min_size=1, max_size=30))
def test_rows_given_back_are_used_again_whatever_the_sizes_of_slices(sizes):
    table = DeviceTable(size=64)

    for size in sizes:
        kept = table.add("x.io", [device("d")])
        table.remove(table.add("x.io", [device("d")] * size))
        table.remove(kept)
        for span in [table.add("x.io", [device("d")]) for _ in range(size)]:
            table.remove(span)

    assert table.size <= 128
