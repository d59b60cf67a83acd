"""Rules on devices that are taken together, each by itself; the values are those of the DRA conformance cases."""

from itertools import permutations

import pytest

from scheduler.core.model import Device, RequestPolicy
from scheduler.core.quantity import parse_quantity
from scheduler.core.rules.capacity import UnrepresentableError, resolve
from scheduler.core.rules.compatibility import Groups, admitted, together
from scheduler.core.rules.constraints import ABSENT, LIST, Held, Label, distinguished, matched

# ---------------------------------------------------------------- constraints


def taken(rule, labels: list[Label]) -> bool:
    """Whether devices with these labels may be taken in this order."""
    held: Held = None
    for label in labels:
        held = rule(held, label)
        if held is None:
            return False
    return True


def sets(*values: str) -> list[Label]:
    return [frozenset(map(ord, each)) for each in values]


@pytest.mark.parametrize(
    ("labels", "same", "different"),
    [
        ([1, 1], True, False),
        ([1, 2], False, True),
        ([1], True, True),
        ([ABSENT], False, False),
        ([1, ABSENT], False, False),
        ([LIST], True, True),
        ([LIST, LIST], False, False),
        ([LIST, 1], False, True),
        ([1, LIST], False, False),
        (sets("ab", "bc", "ac"), False, False),
        (sets("ab", "bc", "b"), True, False),
        (sets("a", "b", "cd"), False, True),
        (sets("ab", "cd"), False, True),
        (sets(""), False, False),
    ],
)
def test_constraints_on_values_and_lists(labels: list[Label], same: bool, different: bool):
    assert taken(matched, labels) == same
    assert taken(distinguished, labels) == different


@pytest.mark.parametrize("labels", [sets("ab", "bc", "b"), sets("ab", "cd", "e"), [1, 1, 2], [3, 1, 2]])
def test_the_order_of_devices_decides_nothing(labels: list[Label]):
    for rule in (matched, distinguished):
        assert len({taken(rule, list(order)) for order in permutations(labels)}) == 1


# ---------------------------------------------------------------- compatibility groups


def go_together(*devices: str) -> bool:
    held: Groups | None = None
    for groups in devices:
        held = admitted(held, frozenset(groups))
        if held is None:
            return False
    return True


@pytest.mark.parametrize(
    ("devices", "allowed"),
    [
        (("m",), True),
        (("", ""), True),
        (("m", ""), False),
        (("", "m"), False),
        (("mv", "m"), True),
        (("mv", "m", "v"), False),
        (("m", "v"), False),
    ],
)
def test_devices_of_one_counter_set_share_a_group_or_have_none(devices: tuple[str, ...], allowed: bool):
    assert go_together(*devices) == allowed


def test_nothing_joins_what_is_allocated_already_and_does_not_go_together():
    held = together(together(None, frozenset("m")), frozenset("v"))

    assert [admitted(held, frozenset(groups)) for groups in ("m", "v", "mv", "")] == [None] * 4


def test_what_has_no_groups_changes_nothing_beside_what_has():
    assert together(frozenset("m"), frozenset()) == frozenset("m")
    assert together(frozenset(), frozenset("m")) == frozenset()


# ---------------------------------------------------------------- consumable capacity


def device(value: str = "8Gi", policy: RequestPolicy | None = None) -> Device:
    policies = {} if policy is None else {"memory": policy}
    return Device("d", {}, {"memory": parse_quantity(value)}, policies=policies, shareable=True)


def spread(least: str, most: str = "", step: str = "", default: str = "") -> RequestPolicy:
    given = [parse_quantity(each) if each else None for each in (default, least, most, step)]
    return RequestPolicy(default=given[0], minimum=given[1], maximum=given[2], step=given[3], ranged=True)


def listed(*values: str) -> RequestPolicy:
    found = tuple(map(parse_quantity, values))
    return RequestPolicy(default=found[0], values=found)


@pytest.mark.parametrize(
    ("policy", "asked", "takes"),
    [
        (None, "", "8Gi"),
        (None, "3Gi", "3Gi"),
        (spread("1Gi", default="1Gi"), "", "1Gi"),
        (spread("1Gi", step="1Gi"), "2500Mi", "3Gi"),
        (spread("1Gi", step="1Gi"), "1", "1Gi"),
        (spread("1Gi", "4Gi"), "5Gi", ""),
        (spread("200m", step="100m"), "250m", "300m"),
        (spread("1Gi"), "1500Mi", "1500Mi"),
        (listed("2Gi", "4Gi"), "3Gi", "4Gi"),
        (listed("2Gi", "4Gi"), "5Gi", ""),
        (listed("2Gi", "4Gi"), "", "2Gi"),
    ],
)
def test_amounts_are_rounded_up_as_the_policy_says(policy: RequestPolicy | None, asked: str, takes: str):
    wanted = {"memory": parse_quantity(asked)} if asked else {}

    found = resolve(wanted, device(policy=policy), fractional=True)

    assert ("" if found is None else found["memory"].canonical()) == takes


def test_names_are_compared_as_they_are_written():
    assert resolve({"gpu.example.com/memory": parse_quantity("1Gi")}, device(), fractional=True) is None


@pytest.mark.parametrize(
    ("asked", "fractional", "words"),
    [
        ("10Pi", True, "thousandths"),
        ("10Pi", False, ""),
        ("18446744073709551616", False, "2\\^63"),
        ("9223372036854775807", False, "next step"),
        ("-5", True, "negative"),
    ],
)
def test_what_cannot_be_represented_is_refused_by_name(asked: str, fractional: bool, words: str):
    policy = spread("1Gi", step="1Gi") if asked != "-5" else None
    wanted = {"memory": parse_quantity(asked)}

    if not words:
        assert resolve(wanted, device("100Ei", policy), fractional=fractional) is not None
        return
    with pytest.raises(UnrepresentableError, match=words):
        resolve(wanted, device("100Ei", policy), fractional=fractional)
