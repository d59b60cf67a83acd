"""What a driver of the tests refuses, as the last one that can."""

import pytest

from e2e.inventory import device, slice_on
from e2e.node.ledger import amount, overused

SHARED = device("d0", allowMultipleAllocations=True, capacity={"memory": {"value": "10Gi"}})


def result(name: str, **fields: object) -> dict[str, object]:
    return {"device": name, **fields}


def share(memory: str) -> dict[str, object]:
    return result("d0", consumedCapacity={"memory": memory})


@pytest.mark.parametrize(("text", "value"), [("40Gi", 40 * 2**30), ("500m", 0.5), ("2k", 2000), ("7", 7)])
def test_amounts_are_read(text, value):
    assert float(amount(text)) == value


def test_a_device_is_of_one_claim():
    published = [slice_on("n1", [device("d0"), device("d1")])]

    assert overused(published, {"a": [result("d0")], "b": [result("d1")]}) == []
    assert overused(published, {"a": [result("d0")], "b": [result("d0")]}) == ["device d0: of a and b"]
    assert overused(published, {"a": [result("d0")], "b": [result("d0", adminAccess=True)]}) == []


def test_a_device_that_is_not_there_is_of_none():
    assert overused([slice_on("n1", [device("d0")])], {"a": [result("d7")]}) == ["a: device d7 is not published"]


def test_shares_are_no_more_than_the_capacity():
    published = [slice_on("n1", [SHARED])]

    assert overused(published, {"a": [share("4Gi")], "b": [share("6Gi")]}) == []
    [fault] = overused(published, {"a": [share("4Gi")], "b": [share("7Gi")]})
    assert fault.startswith("device d0: ")


def test_parts_draw_no_more_than_the_counters():
    uses = [{"counterSet": "gpu-0", "counters": {"slots": {"value": "3"}}}]
    parts = [device(name, consumesCounters=uses) for name in ("p0", "p1", "p2")]
    counters = [{"name": "gpu-0", "counters": {"slots": {"value": "7"}}}]
    published = [slice_on("n1", part="counters", of=2, sharedCounters=counters), slice_on("n1", parts, "devices", 2)]

    assert overused(published, {"a": [result("p0")], "b": [result("p1")]}) == []
    assert overused(published, {"a": [result("p0"), result("p1"), result("p2")]}) == ["counters gpu-0: 9 of 7 slots"]
