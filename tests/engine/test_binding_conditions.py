"""Pods whose devices must be made ready by their drivers first: bound once they are, elsewhere if they never are."""

from dataclasses import replace

import pytest

from scheduler.core import conditions
from scheduler.core.gates import Gates
from scheduler.core.messages import BindPod, ClockRead, Gone, ReleaseClaim, ReserveClaim, WriteAllocation
from scheduler.core.model import DeviceStatus, Uid
from tests.build import (
    DRIVER,
    allocated,
    claim,
    claim_uid,
    device,
    node,
    pod,
    pod_uid,
    request,
    result,
    slice_of,
)
from tests.driving import Hands

NEEDS = {"binding_conditions": ("Attached",), "binding_failures": ("Failed",)}
DAY = 1_767_225_600.0  # 2026-01-01T00:00:00Z, in seconds since 1970


def attachable(where="n1", count=2, needs=("Attached",), failures=("Failed",)):
    """Devices gpu-0, gpu-1 ... of a node, which their driver must attach before they can be used."""
    devices = [device(f"gpu-{i}", {"type": "gpu", "index": i}) for i in range(count)]
    return slice_of(
        [replace(each, binding_conditions=needs, binding_failures=failures) for each in devices], node=where
    )


def held(name="c", *devices, timestamp="", reserved_for=("p",), **fields):
    """A claim that holds devices which need to be attached."""
    made = allocated(
        claim(name), *(result(each, **NEEDS) for each in devices or ("gpu-0",)), reserved_for=reserved_for, **fields
    )
    return replace(made, allocation=replace(made.allocation, timestamp=timestamp))


# ---------------------------------------------------------------- what a claim's status means

READY, PENDING, FAILED = "ready", "lacks the binding condition ", "has the binding failure condition "


def said(device="gpu-0", share=None, driver=DRIVER, pool="n1", **statuses):
    return DeviceStatus(driver, pool, device, statuses, share)


@pytest.mark.parametrize(
    ("needs", "failures", "statuses", "expected"),
    [
        ((), (), [], READY),
        ((), ("Failed",), [said(Failed="True")], READY),
        (("A",), ("F",), [], PENDING + "A"),
        (("A",), ("F",), [said()], PENDING + "A"),
        (("A",), ("F",), [said(A="True")], READY),
        (("A",), ("F",), [said(A="False")], PENDING + "A"),
        (("A",), ("F",), [said(A="Unknown")], PENDING + "A"),
        (("A",), ("F",), [said(A="true")], PENDING + "A"),
        (("A",), ("F",), [said(B="True")], PENDING + "A"),
        (("A", "B"), ("F",), [said(A="True")], PENDING + "B"),
        (("A", "B"), ("F",), [said(B="True")], PENDING + "A"),
        (("A", "B"), ("F",), [said(A="True", B="True")], READY),
        (("A",), ("F",), [said(F="True")], FAILED + "F"),
        (("A",), ("F",), [said(F="False")], PENDING + "A"),
        (("A",), ("F",), [said(F="Unknown", A="True")], READY),
        (("A",), ("F",), [said(A="True", F="True")], FAILED + "F"),
        (("A",), ("F", "G"), [said(A="True", G="True")], FAILED + "G"),
        (("A",), ("F",), [said("gpu-1", A="True")], PENDING + "A"),
        (("A",), ("F",), [said(driver="other", A="True")], PENDING + "A"),
        (("A",), ("F",), [said(pool="n2", A="True")], PENDING + "A"),
        (("A",), ("F",), [said("gpu-1", F="True"), said(A="True")], READY),
        (("A",), ("F",), [said(A="True"), said(A="False")], READY),
    ],
)
def test_a_device_is_ready_when_all_is_true_that_must_be_and_nothing_that_must_not(needs, failures, statuses, expected):
    given = allocated(claim("c"), result("gpu-0", binding_conditions=needs, binding_failures=failures))

    found = conditions.standing(replace(given, devices=tuple(statuses)))

    texts = [each.text for each in (*found.failed, *found.pending)]
    assert texts == ([] if expected == READY else [f"device {DRIVER}/n1/gpu-0 {expected}"])
    assert bool(found.failed) == expected.startswith(FAILED)


@pytest.mark.parametrize(
    ("statuses", "ready"),
    [
        ([said(share="s1", A="True")], True),
        ([said(share="s2", A="True")], True),  # kube-scheduler takes the first entry of the device
        ([said(share="s2", A="True"), said(share="s1", A="False")], False),
        ([said(share="s2", A="False"), said(share="s1", A="True")], True),
        ([said(A="True"), said(share="s1", A="False")], False),
    ],
)
def test_of_several_shares_of_a_device_the_own_one_counts(statuses, ready):
    given = allocated(claim("c"), result("gpu-0", binding_conditions=("A",), share_id="s1"))

    assert conditions.standing(replace(given, devices=tuple(statuses))).ready is ready


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("2026-01-01T00:00:00Z", DAY),
        ("2026-01-01T00:01:40.25Z", DAY + 100.25),
        ("2026-03-01T00:00:00Z", DAY + 59 * 86400),
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-01T00:00:00+01:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_timestamps_are_read(timestamp, expected):
    assert conditions.seconds(timestamp) == expected


# ---------------------------------------------------------------- a pod waits, and is bound


def waiting(*objects, **config):
    """A pod `p` with claim `c` on the only node, written and seen back, while its driver says nothing yet."""
    hands = Hands(node("n1"), attachable(), claim("c"), pod("p", claims=["c"]), *objects, **config).settle()
    assert hands.devices_of("c") == ["gpu-0"]
    return hands


def test_a_pod_is_not_bound_before_its_driver_has_spoken():
    hands = waiting()

    hands.pass_time(until=599)

    assert hands.of(BindPod) == []
    assert hands.engine.in_flight == 1


@pytest.mark.parametrize(
    ("needs", "steps", "bound_after"),
    [
        (("Attached",), [{"Attached": "True"}], 1),
        (("Attached",), [{"Attached": "False"}, {"Attached": "True"}], 2),
        (("Attached",), [{"Attached": "Unknown"}, {"Attached": "False"}, {"Attached": "True"}], 3),
        (("A", "B"), [{"A": "True"}, {"A": "True", "B": "True"}], 2),
        (("A", "B"), [{"B": "True"}, {"A": "True", "B": "False"}, {"A": "True", "B": "True"}], 3),
        (("A", "B"), [{"A": "True", "B": "True"}], 1),
        (("A", "B", "C"), [{"A": "True"}, {"A": "True", "C": "True"}], None),
        (("A",), [{"Failed": "False"}, {"Other": "True"}], None),
    ],
)
def test_it_is_bound_with_the_last_condition(needs, steps, bound_after):
    hands = Hands(node("n1"), attachable(needs=needs), claim("c"), pod("p", claims=["c"])).settle()
    binds = []

    for step in steps:
        asked = hands.driver_says("c", "gpu-0", **step)
        binds.append([each.node for each in asked if isinstance(each, BindPod)])

    expected = [["n1"] if number == bound_after else [] for number in range(1, len(steps) + 1)]
    assert binds == expected


def test_every_device_of_every_claim_must_be_ready():
    hands = Hands(
        node("n1"), attachable(count=3), claim("a", count=2), claim("b"), pod("p", claims=["a", "b"])
    ).settle()  # fmt: skip
    ready = [(name, each) for name in ("a", "b") for each in hands.devices_of(name)]

    bound = [hands.driver_says(name, each, Attached="True") for name, each in ready]

    assert [[type(each) for each in asked] for asked in bound] == [[], [], [BindPod]]


def test_a_device_without_conditions_is_not_waited_for():
    plain, needy = device("gpu-0", {"type": "gpu"}), replace(device("gpu-1", {"type": "gpu"}), **NEEDS)
    hands = Hands(node("n1"), slice_of([plain, needy], node="n1"), claim("c"), pod("p", claims=["c"])).settle()

    assert (hands.node_of("p"), hands.devices_of("c")) == ("n1", ["gpu-0"])


def test_a_driver_may_speak_before_the_reservation_is_seen():
    hands = Hands(node("n1"), attachable(), claim("c"), pod("p", claims=["c"]))
    (write,) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]
    done = replace(hands.written(write), devices=(said(Attached="True"),), resource_version="7")

    asked = hands.see(done)

    assert [type(each) for each in asked] == [BindPod]


def test_with_the_gate_off_nothing_is_waited_for():
    hands = Hands(
        node("n1"), attachable(), held(), pod("p", claims=["c"]), gates=replace(Gates(), binding_conditions=False)
    ).settle()

    assert hands.node_of("p") == "n1"


def test_pods_that_share_a_claim_are_bound_together():
    hands = waiting(pod("q", claims=["c"], created="z"))
    assert hands.engine.in_flight == 2

    hands.driver_says("c", "gpu-0", Attached="True")
    hands.settle()
    for bind in hands.of(BindPod):
        hands.obey(bind)

    assert (hands.node_of("p"), hands.node_of("q")) == ("n1", "n1")


# ---------------------------------------------------------------- a device fails


def test_a_failure_gives_the_device_back_and_takes_another():
    hands = waiting()

    asked = hands.driver_says("c", "gpu-0", Failed="True")
    for each in asked:
        hands.obey(each)
    hands.pass_time(until=10)

    (release,) = [each for each in asked if isinstance(each, ReleaseClaim)]
    assert release.deallocate
    assert hands.reason("p") == (
        f"pod default/p: ResourceClaim default/c: device {DRIVER}/n1/gpu-0 has the binding failure condition Failed; "
        "trying again"
    )
    assert hands.devices_of("c") == ["gpu-1"]
    hands.driver_says("c", "gpu-1", Attached="True")
    assert [each.node for each in hands.of(BindPod)] == ["n1"]


def test_it_may_be_another_node():
    hands = Hands(
        node("n1"), node("n2"), attachable("n1", 1), attachable("n2", 1), claim("c"), pod("p", claims=["c"])
    ).settle()
    (first,) = [each.allocation.results[0] for each in hands.of(WriteAllocation)]

    for each in hands.driver_says("c", "gpu-0", Failed="True"):
        hands.obey(each)
    hands.pass_time(until=10)

    (second,) = [each.allocation.results[0] for each in hands.of(WriteAllocation)[1:]]
    assert {first.pool, second.pool} == {"n1", "n2"}


@pytest.mark.parametrize(("after", "taken"), [(conditions.AVOID_S - 1, []), (conditions.AVOID_S + 1, ["gpu-0"])])
def test_the_only_device_is_tried_again_after_a_while(after, taken):
    hands = Hands(node("n1"), attachable(count=1), claim("c"), pod("p", claims=["c"])).settle()
    for each in hands.driver_says("c", "gpu-0", Failed="True"):
        hands.obey(each)

    hands.pass_time(until=after)

    assert hands.devices_of("c") == taken
    if not taken:
        assert f"left alone for a while: device {DRIVER}/n1/gpu-0 has the binding failure" in hands.reason("p")


@pytest.mark.parametrize("failing", ["Failed", "Timeout"])
def test_all_claims_of_the_flight_are_given_back(failing):
    hands = Hands(node("n1"), attachable(count=2), claim("a"), claim("b"), pod("p", claims=["a", "b"])).settle()
    hands.driver_says("b", hands.devices_of("b")[0], Attached="True")

    if failing == "Failed":
        asked = hands.driver_says("a", hands.devices_of("a")[0], Failed="True")
    else:
        asked = hands.decide(now=601)

    assert {each.claim.name: each.deallocate for each in asked if isinstance(each, ReleaseClaim)} == {
        "a": True, "b": True,
    }  # fmt: skip


def test_of_pods_that_share_a_claim_the_last_to_leave_frees_it_and_both_go_on():
    hands = waiting(pod("q", claims=["c"], created="z"))

    for each in hands.driver_says("c", "gpu-0", Failed="True"):
        hands.obey(each)
    hands.pass_time(until=20)
    hands.driver_says("c", "gpu-1", Attached="True")
    for bind in hands.of(BindPod):
        hands.obey(bind)

    assert hands.devices_of("c") == ["gpu-1"]
    assert (hands.node_of("p"), hands.node_of("q")) == ("n1", "n1")


def test_a_claim_that_others_run_with_is_left_and_the_pod_is_told():
    running = replace(held(reserved_for=["other"]), devices=(said(Failed="True"),))
    hands = Hands(node("n1"), attachable(), running, pod("p", claims=["c"])).settle()

    assert hands.of(ReleaseClaim) == []
    assert hands.of(ReserveClaim) == []
    assert hands.reason("p") == (
        f"ResourceClaim default/c: device {DRIVER}/n1/gpu-0 has the binding failure condition Failed"
    )


# ---------------------------------------------------------------- a driver says nothing


@pytest.mark.parametrize(
    ("timeout", "until", "failed"), [(600, 599, False), (600, 601, True), (30, 29, False), (30, 31, True)]
)
def test_a_wait_ends_after_its_time(timeout, until, failed):
    hands = waiting(binding_timeout_s=float(timeout))

    hands.pass_time(until=until)

    assert [each.deallocate for each in hands.of(ReleaseClaim)] == ([True] if failed else [])
    if failed:
        assert f"gpu-0 lacks the binding condition Attached after {timeout} seconds" in hands.reason("p")


def test_after_a_wait_in_vain_another_device_is_taken():
    hands = waiting()

    hands.pass_time(until=620)

    assert hands.devices_of("c") == ["gpu-1"]


def test_the_engine_asks_to_be_woken_when_a_wait_ends():
    hands = waiting()

    assert hands.engine.next_wakeup() == 600


def test_a_driver_that_is_late_finds_the_next_attempt():
    hands = waiting()
    hands.pass_time(until=620)

    hands.driver_says("c", "gpu-1", Attached="True")

    assert len(hands.of(BindPod)) == 1


# ---------------------------------------------------------------- a restarted engine


def restarted(made, *objects, ahead=DAY, **config):
    hands = Hands(node("n1"), attachable(), made, pod("p", claims=["c"]), *objects, **config)
    hands.tell(ClockRead(ahead)) if ahead is not None else None
    return hands.settle()


def test_it_goes_on_waiting_with_what_is_written_already():
    hands = restarted(held(timestamp="2026-01-01T00:00:00Z"))

    assert hands.of(WriteAllocation) == hands.of(ReserveClaim) == hands.of(BindPod) == []
    asked = hands.driver_says("c", "gpu-0", Attached="True")
    assert [type(each) for each in asked] == [BindPod]


@pytest.mark.parametrize(
    ("timestamp", "ahead", "ends"),
    [
        ("2026-01-01T00:00:00Z", DAY, 600),
        ("2025-12-31T23:55:00Z", DAY, 300),  # five minutes have passed already
        ("2025-12-31T23:50:01Z", DAY, 1),
        ("2026-01-01T01:00:00Z", DAY, 600),  # a clock that runs ahead buys no time
        ("", DAY, 600),
        ("soon", DAY, 600),
        ("2025-12-31T23:55:00Z", None, 600),  # nobody told the time
    ],
)
def test_its_patience_is_measured_from_the_allocation(timestamp, ahead, ends):
    hands = restarted(held(timestamp=timestamp), ahead=ahead)

    hands.pass_time(until=ends - 0.5)
    before = len(hands.of(ReleaseClaim))
    hands.pass_time(until=ends + 0.5)

    assert before == 0
    assert [each.deallocate for each in hands.of(ReleaseClaim)] == [True]


@pytest.mark.parametrize(
    ("timestamp", "devices"), [("2025-12-31T23:00:00Z", ()), ("2026-01-01T00:00:00Z", (said(Failed="True"),))]
)
def test_what_failed_or_timed_out_while_nobody_looked_is_given_back_at_once(timestamp, devices):
    hands = restarted(replace(held(timestamp=timestamp), devices=devices))
    hands.pass_time(until=5)

    (release,) = hands.of(ReleaseClaim)
    assert release.deallocate
    assert hands.devices_of("c") == ["gpu-1"]


def test_a_claim_that_became_ready_long_after_its_time_is_used():
    made = replace(held(timestamp="2025-01-01T00:00:00Z"), devices=(said(Attached="True"),))

    assert restarted(made).node_of("p") == "n1"


# ---------------------------------------------------------------- the world changes while a pod waits


@pytest.mark.parametrize(
    "event",
    [
        Gone("Node", "n1", Uid("")),
        Gone("Pod", "default/p", pod_uid("p")),
        Gone("ResourceClaim", "default/c", claim_uid("c")),
    ],
    ids=lambda event: event.kind,
)
def test_a_wait_ends_with_its_node_pod_or_claim(event):
    hands = waiting()

    hands.tell(event)

    assert hands.engine.in_flight == 0
    assert hands.of(BindPod) == []


def test_a_wait_ends_when_its_claim_is_freed_by_somebody():
    hands = waiting()
    seen = hands.engine.state.claims.current[claim_uid("c")]

    hands.see(replace(seen, allocation=None, reserved_for=(), resource_version="9"))

    assert hands.engine.in_flight == 0


def test_a_pod_that_waits_uses_its_node():
    hands = Hands(
        node("n1", cpu=1000), attachable(), claim("c"), pod("p", claims=["c"], cpu=800), pod("q", cpu=800, created="z")
    ).settle()

    assert (hands.engine.in_flight, hands.node_of("q")) == (1, "")


def test_a_second_failure_while_the_first_is_avoided_leaves_both_alone():
    hands = Hands(node("n1"), attachable(count=3), claim("c"), pod("p", claims=["c"])).settle()
    for number in (0, 1):
        for each in hands.driver_says("c", f"gpu-{number}", Failed="True"):
            hands.obey(each)
        hands.pass_time(until=hands.now + 10)

    assert hands.devices_of("c") == ["gpu-2"]


def test_all_devices_are_not_all_while_one_is_avoided():
    everything = claim("all", request("r", all=True))
    hands = Hands(node("n1"), attachable(), everything, pod("p", claims=["all"])).settle()
    for each in hands.driver_says("all", "gpu-0", Failed="True"):
        hands.obey(each)

    hands.pass_time(until=30)

    assert hands.devices_of("all") == []
