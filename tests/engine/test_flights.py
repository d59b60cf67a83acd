"""Placed pods whose claims, nodes or writes turn out otherwise: each flight ends, and ends without a wrong binding."""

from dataclasses import replace

import pytest

from scheduler.core.messages import (
    BindPod,
    ClaimRefused,
    ClaimWritten,
    Gone,
    Rejected,
    ReleaseClaim,
    ReportUnschedulable,
    WriteAllocation,
)
from scheduler.core.model import Claim, Uid
from tests.build import allocated, claim, claim_uid, gpus, node, pod, pod_uid, result
from tests.driving import Hands

PAIR = (node("n1"), gpus("n1", 4), claim("a"), claim("b"), pod("p", claims=["a", "b"]))
ONE = (node("n1"), gpus("n1", 1), claim("c"), pod("p", claims=["c"]))


def writes(hands: Hands) -> list[WriteAllocation]:
    return [each for each in hands.decide() if isinstance(each, WriteAllocation)]


def answer(hands: Hands, write: WriteAllocation) -> Claim:
    """The API accepts the write; nobody has seen it yet."""
    claim = hands.written(write)
    hands.tell(ClaimWritten(write.pod.uid, claim))
    return claim


def test_a_claim_made_anew_under_its_name_ends_the_flight_of_the_old_one():
    hands = Hands(*PAIR)
    first, second = writes(hands)
    hands.see(answer(hands, first))
    written = answer(hands, second)

    hands.see(replace(claim("a"), uid=Uid("uid-a-anew")))  # no deletion was seen: the watch was listed again
    out = hands.see(written)

    assert [each for each in out if isinstance(each, BindPod)] == []
    assert hands.engine.in_flight == 0


def test_a_claim_made_anew_frees_the_devices_of_the_old_one_for_those_who_wait():
    held = allocated(claim("c"), result("gpu-0"), reserved_for=["other"])
    hands = Hands(node("n1"), gpus("n1", 1), held, claim("b"), pod("p", claims=["b"])).settle()
    assert hands.node_of("p") == ""

    hands.see(replace(claim("c"), uid=Uid("uid-c-anew")))

    hands.settle()
    assert hands.node_of("p") == "n1"


def test_a_claim_that_was_written_and_is_then_seen_without_it_ends_the_flight():
    hands = Hands(*ONE)
    (write,) = writes(hands)
    written = answer(hands, write)

    hands.see(claim("c", version=str(int(written.resource_version) + 1)))  # freed by somebody, before we saw it

    assert hands.engine.in_flight == 0


def test_a_claim_that_was_freed_before_the_answer_to_its_write_ends_the_flight():
    hands = Hands(*ONE)
    (write,) = writes(hands)
    written = hands.written(write)
    hands.see(claim("c", version=str(int(written.resource_version) + 1)))

    hands.tell(ClaimWritten(write.pod.uid, written))

    assert hands.engine.in_flight == 0


def test_an_older_form_of_a_written_claim_says_nothing():
    hands = Hands(*ONE)
    (write,) = writes(hands)
    written = replace(hands.written(write), resource_version="10")
    hands.tell(ClaimWritten(write.pod.uid, written))

    hands.see(claim("c", version="9", finalized=True))
    out = hands.see(written)

    assert [type(each) for each in out] == [BindPod]


def test_a_claim_that_is_deleted_before_the_bind_ends_the_flight():
    hands = Hands(*ONE)
    (write,) = writes(hands)
    written = answer(hands, write)

    out = hands.see(replace(written, deleting=True))

    assert [each for each in out if isinstance(each, BindPod)] == []
    assert hands.engine.in_flight == 0


def test_a_claim_that_cannot_be_read_any_more_ends_the_flight_and_the_pod_is_told_why():
    hands = Hands(*ONE)
    (write,) = writes(hands)
    answer(hands, write)

    hands.tell(Rejected("ResourceClaim", "default/c", claim_uid("c"), "spec.devices is not a mapping"))
    hands.settle()
    hands.now = 100.0
    hands.settle()

    assert hands.engine.in_flight == 0
    assert "spec.devices is not a mapping" in hands.reason("p")


def test_a_pod_that_is_deleted_in_flight_is_not_tried_again_and_its_claim_is_freed():
    hands = Hands(*ONE)
    (write,) = writes(hands)
    written = answer(hands, write)

    (release,) = hands.tell(Gone("Pod", "default/p", pod_uid("p")))  # unbound pods go without a grace period
    hands.see(written)
    for instruction in (release, *hands.decide(now=100.0)):
        hands.obey(instruction)

    assert (release.claim.uid, release.pod.name) == (claim_uid("c"), "p")
    assert len(hands.engine.backlog) == 0
    assert hands.devices_of("c") == []


def test_a_pod_is_not_bound_to_a_node_that_is_gone():
    hands = Hands(*ONE)
    (write,) = writes(hands)
    written = answer(hands, write)

    hands.tell(Gone("Node", "n1", Uid("")))
    out = hands.see(written)

    assert [each for each in out if isinstance(each, BindPod)] == []
    assert [each.deallocate for each in out if isinstance(each, ReleaseClaim)] == [True]


def test_what_is_told_of_a_failed_flight_is_what_was_reported():
    hands = Hands(*ONE)
    (write,) = writes(hands)

    out = hands.tell(ClaimRefused(write.pod.uid, write.claim.uid, "conflict", "stale"))

    (report,) = [each for each in out if isinstance(each, ReportUnschedulable)]
    assert hands.engine.why_pending("default/p") == (report.token, report.message)


@pytest.mark.parametrize("cause", ["conflict", "unknown"])
def test_a_failed_flight_wakes_the_pods_that_wait_for_its_claim(cause):
    hands = Hands(node("n1", cpu=1000), gpus("n1", 1), claim("c"), pod("p", claims=["c"], cpu=1000, created="a"))
    hands.see(pod("q", claims=["c"], created="b"))
    (write,) = writes(hands)

    hands.tell(ClaimRefused(write.pod.uid, write.claim.uid, cause, "no"))
    hands.tell(Gone("Pod", "default/p", pod_uid("p")))
    for release in hands.of(ReleaseClaim):
        hands.obey(release)
    hands.settle()

    assert hands.node_of("q") == "n1"


def test_a_device_stays_held_until_its_release_is_seen():
    hands = Hands(*PAIR[:2], claim("a", count=4), pod("p", claims=["a"]), claim("d"))
    (write,) = writes(hands)
    written = answer(hands, write)
    hands.tell(Gone("Pod", "default/p", pod_uid("p")))
    hands.see(pod("q", claims=["d"]))

    assert writes(hands) == []
    hands.see(written)
    hands.see(replace(written, allocation=None, reserved_for=(), resource_version="9"))

    assert len(writes(hands)) == 1


def test_a_claim_form_older_than_our_write_does_not_end_its_release():
    hands = Hands(
        *PAIR[:2], claim("a", count=4), pod("p", claims=["a"]), claim("d"), pod("q", claims=["d"], created="z"),
        solver="greedy",
    )  # fmt: skip
    (write,) = writes(hands)
    hands.tell(ClaimWritten(write.pod.uid, replace(hands.written(write), resource_version="10")))
    hands.tell(Gone("Pod", "default/p", pod_uid("p")))

    hands.see(claim("a", count=4, version="9", finalized=True))

    assert writes(hands) == []


def test_a_release_that_is_never_seen_is_not_waited_for_longer_than_half_a_minute():
    hands = Hands(*ONE)
    (write,) = writes(hands)
    hands.tell(ClaimRefused(write.pod.uid, write.claim.uid, "unknown", "time-out"))  # in truth it was not applied

    for _ in range(10):
        if hands.node_of("p"):
            break
        hands.now = hands.engine.next_wakeup()
        hands.settle()

    assert hands.node_of("p") == "n1"
    assert hands.now <= 31


def test_a_release_of_a_claim_that_is_deleted_frees_its_devices_for_those_who_wait():
    hands = Hands(*ONE[:2], claim("c"), pod("p", claims=["c"]), claim("d"), pod("q", claims=["d"], created="z"))
    (write,) = writes(hands)
    hands.tell(ClaimRefused(write.pod.uid, write.claim.uid, "unknown", "time-out"))
    assert writes(hands) == []

    hands.now = 2.0
    hands.tell(Gone("ResourceClaim", "default/c", claim_uid("c")))

    assert [each.claim.name for each in writes(hands)] == ["d"]


def test_half_written_are_claims_of_waiting_pods_with_our_finalizer_and_no_allocation():
    begun = claim("begun", finalized=True)
    others = {
        "untouched": claim("untouched"),
        "leaving": claim("leaving", finalized=True, deleting=True),
        "foreign": claim("foreign", finalized=True),
        "held": replace(allocated(claim("held"), result("gpu-0")), finalized=True),
        "bound": claim("bound", finalized=True),
    }
    hands = Hands(
        node("n1"), gpus("n1", 2), begun, *others.values(),
        pod("p", claims=["begun", "untouched", "leaving", "held"]),
        pod("q", claims=["foreign"], scheduler="default-scheduler"),
        pod("r", claims=["bound"], node="n1"),
    )  # fmt: skip

    [found] = hands.engine.half_written()

    assert (found.name, found.uid, found.finalized) == ("begun", begun.uid, True)


@pytest.mark.parametrize(("users", "deallocate"), [([], True), (["b"], False)])
def test_a_claim_that_a_pod_lets_go_stays_allocated_for_one_that_is_about_to_join(users, deallocate):
    held = allocated(claim("c"), result("gpu-0"), reserved_for=["z"])
    others = [pod(name, claims=["c"]) for name in users]
    hands = Hands(node("n1"), gpus("n1", 1), held, *others, pod("z", claims=["c", "missing"]))

    hands.decide()

    [release] = hands.of(ReleaseClaim)
    assert release.pod.name == "z"
    assert release.deallocate is deallocate
