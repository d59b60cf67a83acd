"""DeviceTaintRules: which devices they reach, what they do to new and to running pods, and what undoes them."""

from dataclasses import replace
from itertools import product

import pytest

from scheduler.core import names
from scheduler.core.gates import Gates
from scheduler.core.messages import BindPod, ClaimWritten, Gone, ReleaseClaim, ReserveClaim, WriteAllocation
from scheduler.core.model import NO_EXECUTE, NO_SCHEDULE, Uid
from tests.build import (
    DRIVER,
    allocated,
    claim,
    device,
    gpus,
    node,
    pod,
    request,
    result,
    slice_of,
    taint,
    taint_rule,
    toleration,
)
from tests.driving import Hands

USER = pod("p", claims=["c"])


def placed(*objects, tolerations=(), **config):
    """Whether a pod gets the only device of the only node."""
    asking = claim("c", request("r", tolerations=tolerations))
    return Hands(node("n1"), gpus("n1", 1), asking, USER, *objects, **config).settle().node_of("p") == "n1"


# ---------------------------------------------------------------- which devices


SELECTORS = list(product([None, DRIVER, "other.example.com"], [None, "n1", "n2"], [None, "gpu-0", "gpu-1"]))


@pytest.mark.parametrize(("driver", "pool", "device"), SELECTORS)
def test_every_field_that_is_given_must_be_the_device_s(driver, pool, device):
    reached = driver != "other.example.com" and pool != "n2" and device != "gpu-1"

    assert placed(taint_rule(driver=driver, pool=pool, device=device)) is not reached


@pytest.mark.parametrize(("driver", "pool", "device"), [(None, None, None), (DRIVER, "n1", "gpu-0")])
def test_a_rule_without_a_selector_reaches_nothing(driver, pool, device):
    assert placed(taint_rule(driver=driver, pool=pool, device=device, selects=False))


def test_a_rule_reaches_a_device_of_that_name_in_every_pool():
    hands = Hands(
        node("n1"), node("n2"), gpus("n1", 2), gpus("n2", 2), taint_rule(device="gpu-0"), claim("c", count=2), USER
    ).settle()

    assert "lack 2 free devices" in hands.reason("p")


# ---------------------------------------------------------------- what the taint does


@pytest.mark.parametrize(
    ("effect", "tolerations", "fits"),
    [
        (NO_SCHEDULE, [], False),
        (NO_EXECUTE, [], False),
        ("None", [], True),
        ("Sometimes", [], True),
        ("", [], True),
        (NO_SCHEDULE, [toleration()], True),
        (NO_SCHEDULE, [toleration("broken")], True),
        (NO_SCHEDULE, [toleration("whole")], False),
        (NO_SCHEDULE, [toleration("broken", "badly")], True),
        (NO_SCHEDULE, [toleration("broken", "slightly")], False),
        (NO_SCHEDULE, [toleration("broken", operator="Equal")], False),
        (NO_SCHEDULE, [toleration("broken", "badly", operator="")], True),
        (NO_SCHEDULE, [toleration("broken", effect=NO_SCHEDULE)], True),
        (NO_SCHEDULE, [toleration("broken", effect=NO_EXECUTE)], False),
        (NO_SCHEDULE, [toleration("whole"), toleration("broken")], True),
        (NO_EXECUTE, [toleration("broken", effect=NO_EXECUTE)], True),
        (NO_EXECUTE, [toleration("broken", effect=NO_SCHEDULE)], False),
        (NO_EXECUTE, [toleration("broken", effect=NO_EXECUTE, seconds=0)], True),
        (NO_EXECUTE, [toleration("broken", effect="None")], False),
    ],
)
def test_an_effect_keeps_off_what_does_not_tolerate_it(effect, tolerations, fits):
    assert placed(taint_rule(value="badly", effect=effect), tolerations=tolerations) is fits


@pytest.mark.parametrize(
    ("tolerated", "fits"), [([], False), (["a"], False), (["b"], False), (["a", "b"], False), (["a", "b", "own"], True)]
)
def test_taints_of_rules_and_of_the_device_add_up(tolerated, fits):
    tainted = slice_of([device("gpu-0", {"type": "gpu"}, taints=[taint("own")])], node="n1")
    asking = claim("c", request("r", tolerations=[toleration(key) for key in tolerated]))
    rules = (taint_rule("one", "a"), taint_rule("two", "b", device="gpu-0"))

    hands = Hands(node("n1"), tainted, asking, USER, *rules).settle()

    assert (hands.node_of("p") == "n1") is fits


@pytest.mark.parametrize("effect", [NO_SCHEDULE, "None"])
def test_the_taint_that_keeps_others_off_our_devices_is_no_taint_to_us(effect):
    assert placed(taint_rule("ours", key=names.OWNED, value="true", effect=effect))


def test_the_tolerations_of_a_request_are_copied_to_each_of_its_results():
    mine, yours = toleration("broken", effect=NO_EXECUTE, seconds=60), toleration("other")
    asking = claim("c", request("a", 2, tolerations=[mine]), request("b", tolerations=[mine, yours]))

    hands = Hands(node("n1"), gpus("n1", 3), taint_rule(effect=NO_EXECUTE), asking, USER).settle()

    (write,) = hands.of(WriteAllocation)
    assert [(each.request, each.tolerations) for each in write.allocation.results] == [
        ("a", (mine,)), ("a", (mine,)), ("b", (mine, yours)),
    ]  # fmt: skip


@pytest.mark.parametrize("gate", ["device_taint_rules", "device_taints"])
def test_with_the_gate_off_rules_mean_nothing(gate):
    gates = replace(Gates(), **{"device_taint_rules": False, gate: False})

    assert placed(taint_rule(effect=NO_EXECUTE), gates=gates)


# ---------------------------------------------------------------- rules come, change and go


def running(**config):
    """A pod that runs with device gpu-0 of two."""
    return Hands(node("n1"), gpus("n1", 2), claim("c", selectors=['device.attributes["gpu.example.com"].index == 0']),
                 USER, **config).settle()  # fmt: skip


@pytest.mark.parametrize("effect", [NO_SCHEDULE, NO_EXECUTE])
@pytest.mark.parametrize("device", [None, "gpu-0"])
def test_a_rule_takes_nothing_from_who_runs_already(effect, device):
    hands = running()
    before = len(hands.asked)

    hands.see(taint_rule(effect=effect, device=device))
    hands.pass_time(until=100)

    assert hands.devices_of("c") == ["gpu-0"]
    assert hands.asked[before:] == []


def test_new_decisions_follow_a_rule_that_came():
    hands = running()
    hands.see(taint_rule(), claim("d"), pod("q", claims=["d"]))

    assert hands.settle().node_of("q") == ""
    assert "has a taint that the request does not tolerate: broken:NoSchedule" in hands.reason("q")


@pytest.mark.parametrize(
    "change",
    [
        taint_rule(device="gpu-7"),
        taint_rule(driver="other.example.com"),
        taint_rule(pool="n2"),
        taint_rule(selects=False),
        taint_rule(effect="None"),
        taint_rule(key=names.OWNED),
        taint_rule(key="tolerated"),
        None,
    ],
)
def test_a_pod_that_waits_is_placed_once_the_rule_changes_or_goes(change):
    asking = claim("c", request("r", tolerations=[toleration("tolerated")]))
    hands = Hands(node("n1"), gpus("n1", 1), taint_rule(), asking, USER).settle()
    assert hands.node_of("p") == ""

    if change is None:
        hands.tell(Gone("DeviceTaintRule", "rule", Uid("")))
    else:
        hands.see(change)

    assert hands.settle().node_of("p") == "n1"


def test_the_taint_of_one_rule_stays_when_another_goes():
    hands = Hands(node("n1"), gpus("n1", 1), taint_rule("one", "a"), taint_rule("two", "a"), claim("c"), USER).settle()
    hands.tell(Gone("DeviceTaintRule", "one", Uid("")))
    assert hands.settle().node_of("p") == ""

    hands.tell(Gone("DeviceTaintRule", "two", Uid("")))

    hands.pass_time(until=5)
    assert hands.node_of("p") == "n1"


@pytest.mark.parametrize("first", ["rule", "slice"])
def test_a_rule_and_its_device_may_come_in_any_order(first):
    rule, devices = taint_rule(driver=DRIVER, pool="n1", device="gpu-0"), gpus("n1", 1)
    items = [rule, devices] if first == "rule" else [devices, rule]

    hands = Hands(node("n1"), *items, claim("c"), USER).settle()

    assert hands.node_of("p") == ""


# ---------------------------------------------------------------- claims that are allocated already


@pytest.mark.parametrize(
    ("effect", "tolerations", "rule", "joins"),
    [
        (NO_SCHEDULE, [], {}, True),
        ("None", [], {}, True),
        (NO_EXECUTE, [], {}, False),
        (NO_EXECUTE, [], {"driver": DRIVER, "pool": "n1", "device": "gpu-0"}, False),
        (NO_EXECUTE, [], {"device": "gpu-1"}, True),
        (NO_EXECUTE, [], {"selects": False}, True),
        (NO_EXECUTE, [toleration("broken", effect=NO_EXECUTE)], {}, True),
        (NO_EXECUTE, [toleration("broken", effect=NO_SCHEDULE)], {}, False),
        (NO_EXECUTE, [toleration("other", effect=NO_EXECUTE)], {}, False),
        (NO_EXECUTE, [], {"key": names.OWNED}, True),
    ],
)
def test_nobody_joins_a_claim_whose_device_evicts(effect, tolerations, rule, joins):
    shared = allocated(claim("c"), result("gpu-0", tolerations=tuple(tolerations)), reserved_for=["q"])

    hands = Hands(node("n1"), gpus("n1", 2), taint_rule(effect=effect, **rule), shared, USER).settle()

    assert (hands.node_of("p") == "n1") is joins
    assert hands.devices_of("c") == ["gpu-0"]
    if not joins:
        assert "its device gpu.example.com/n1/gpu-0 has taint broken:NoExecute, which evicts pods" in hands.reason("p")


@pytest.mark.parametrize("slices", [(), (gpus("n1", 1),)], ids=["unlisted", "listed"])
def test_a_rule_reaches_allocated_devices_that_no_slice_lists(slices):
    shared = allocated(claim("c"), result("gpu-0"), reserved_for=["q"])

    hands = Hands(node("n1"), *slices, taint_rule(effect=NO_EXECUTE, device="gpu-0"), shared, USER).settle()

    assert hands.of(ReserveClaim) == []


def test_one_evicting_device_of_many_is_enough():
    shared = allocated(claim("c"), result("gpu-0"), result("gpu-1"), reserved_for=["q"])

    hands = Hands(node("n1"), gpus("n1", 2), taint_rule(effect=NO_EXECUTE, device="gpu-1"), shared, USER).settle()

    assert hands.of(ReserveClaim) == []


def test_a_claim_is_joined_once_its_rule_goes():
    shared = allocated(claim("c"), result("gpu-0"), reserved_for=["q"])
    hands = Hands(node("n1"), gpus("n1", 1), taint_rule(effect=NO_EXECUTE), shared, USER).settle()

    hands.tell(Gone("DeviceTaintRule", "rule", Uid("")))

    assert hands.settle().node_of("p") == "n1"


@pytest.mark.parametrize("reserved", [[], ["p"]])
def test_a_claim_that_only_its_pod_uses_is_allocated_anew(reserved):
    mine = allocated(claim("c"), result("gpu-0"), reserved_for=reserved)

    hands = Hands(node("n1"), gpus("n1", 2), taint_rule(effect=NO_EXECUTE, device="gpu-0"), mine, USER)
    hands.pass_time(until=20)

    assert [each.deallocate for each in hands.of(ReleaseClaim)] == [True]
    assert (hands.node_of("p"), hands.devices_of("c")) == ("n1", ["gpu-1"])


@pytest.mark.parametrize(("effect", "binds"), [(NO_SCHEDULE, True), (NO_EXECUTE, False)])
def test_a_rule_that_comes_between_allocation_and_binding(effect, binds):
    hands = Hands(node("n1"), gpus("n1", 2), claim("c"), USER)
    (write,) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]
    (given,) = write.allocation.results
    written = hands.written(write)
    hands.tell(ClaimWritten(write.pod.uid, written))
    hands.see(taint_rule(effect=effect, device=given.device))

    asked = hands.see(written)

    assert any(isinstance(each, BindPod) for each in asked) is binds
    assert any(isinstance(each, ReleaseClaim) and each.deallocate for each in asked) is not binds
    for each in asked:
        hands.obey(each)
    hands.pass_time(until=20)
    assert hands.node_of("p") == "n1"
    assert (hands.devices_of("c") == [given.device]) is binds
