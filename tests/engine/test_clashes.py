"""Two claims on one device: before the bind we yield, after it the pods are told, once, for as long as it lasts."""

from dataclasses import replace

import pytest

from scheduler.core.clashes import clashes
from scheduler.core.messages import (
    BindPod,
    Drained,
    Gone,
    ReleaseClaim,
    ReportClash,
    ReportUnschedulable,
    Won,
    WriteAllocation,
)
from scheduler.core.model import CounterSet, CounterUse
from scheduler.core.quantity import parse_quantity
from tests import build
from tests.build import DRIVER, allocated, claim, consumer, gpus, node, pod, pod_group, result, slice_of
from tests.driving import Hands


def bound(**fields):
    """One pod of ours is bound to the only GPU."""
    mine = claim("mine")
    hands = Hands(node("n1"), gpus("n1", 1), mine, pod("p", claims=[mine], **fields)).settle()
    assert hands.node_of("p") == "n1"
    return hands


def theirs(device="gpu-0", name="theirs", **fields):
    return allocated(claim(name, namespace="others"), result(device, **fields), reserved_for=["q"])


def test_a_rival_that_appears_after_the_bind_is_told_to_the_bound_pod_once():
    hands = bound()

    hands.see(theirs())
    hands.settle()
    hands.see(replace(theirs(), resource_version="9"))
    hands.settle()

    [told] = hands.of(ReportClash)
    assert told.pod.name == "p"
    assert told.message.endswith(
        "ResourceClaim others/theirs and claim default/mine hold the same device gpu.example.com/n1/gpu-0; "
        "another scheduler allocates devices that Dovetail owns"
    )
    assert (hands.engine.clashes.standing, hands.engine.clashes.told) == (1, 1)


@pytest.mark.parametrize("over", ["deleted", "deallocated"])
def test_a_clash_that_is_over_no_longer_stands_and_is_told_anew_when_it_comes_back(over):
    hands = bound()
    rival = theirs()
    hands.see(rival)
    hands.settle()

    if over == "deleted":
        hands.tell(Gone("ResourceClaim", rival.key, rival.uid))
    else:
        hands.see(replace(rival, allocation=None, reserved_for=(), resource_version="9"))
    hands.settle()
    assert hands.engine.clashes.standing == 0

    hands.see(replace(rival, resource_version="10"))
    hands.settle()
    assert (hands.engine.clashes.standing, hands.engine.clashes.told) == (1, 2)
    assert len(hands.of(ReportClash)) == 2


def test_a_rival_that_is_there_before_the_bind_is_yielded_and_not_told():
    mine = claim("mine")
    hands = Hands(node("n1"), gpus("n1", 2), mine, pod("p", claims=[mine]))
    [write] = [each for each in hands.decide() if isinstance(each, WriteAllocation)]
    taken = write.allocation.results[0].device

    hands.see(theirs(taken))
    hands.decide()
    hands.obey(write)
    assert not hands.of(BindPod)
    [release] = hands.of(ReleaseClaim)
    assert release.deallocate
    [told] = hands.of(ReportUnschedulable)
    assert f"hold the same device {DRIVER}/n1/{taken}" in told.message

    hands.obey(release)
    hands.pass_time(5.0)
    assert hands.devices_of("mine") == [device for device in ("gpu-0", "gpu-1") if device != taken]
    assert not hands.of(ReportClash)


def half_done():
    """An earlier leader allocated the claim of a pod and did not bind it; others wait, too."""
    mine = allocated(claim("mine"), result("gpu-0"), reserved_for=["p"])
    return Hands(node("n1"), gpus("n1", 2), mine, pod("p", claims=[mine]), theirs())


def test_what_an_earlier_leader_left_half_done_is_yielded_before_the_turn_of_its_pod_comes():
    hands = half_done()

    hands.tell(Won())
    assert not hands.asked
    hands.tell(Drained(room=0))
    hands.tell(Drained(room=0))
    [release] = hands.of(ReleaseClaim)
    assert (release.claim.name, release.pod.name, release.deallocate) == ("mine", "p", True)
    hands.decide()  # waits until it is released
    assert not hands.of(WriteAllocation)

    hands.obey(release)
    hands.settle()
    assert hands.devices_of("mine") == ["gpu-1"]
    assert hands.node_of("p") == "n1"
    assert not hands.of(ReportClash)


def test_a_claim_that_others_use_as_well_is_not_yielded():
    mine = allocated(claim("mine"), result("gpu-0"), reserved_for=["p", "stranger"])
    hands = Hands(node("n1"), gpus("n1", 2), mine, pod("p", claims=[mine]), theirs())

    hands.tell(Drained(room=0))

    assert not hands.asked


def test_of_two_that_wait_one_yields():
    both = [allocated(claim(f"c{name}"), result("gpu-0"), reserved_for=[name]) for name in "pq"]
    pods = [pod(name, claims=[f"c{name}"]) for name in "pq"]
    hands = Hands(node("n1"), gpus("n1", 2), *both, *pods)

    hands.tell(Drained(room=0))
    assert len(hands.of(ReleaseClaim)) == 1
    hands.obey_all(hands.asked)
    hands.settle()

    assert len(hands.of(ReleaseClaim)) == 1
    assert sorted(hands.devices_of("cp") + hands.devices_of("cq")) == ["gpu-0", "gpu-1"]


def test_a_rival_that_appears_while_the_binding_is_under_way_is_told():
    mine = claim("mine")
    hands = Hands(node("n1"), gpus("n1", 1), mine, pod("p", claims=[mine]))
    [write] = [each for each in hands.decide() if isinstance(each, WriteAllocation)]
    [bind] = [each for each in hands.obey(write) if isinstance(each, BindPod)]

    hands.see(theirs())
    hands.decide()

    assert [each.pod.name for each in hands.of(ReportClash)] == [bind.pod.name]


@pytest.mark.parametrize(
    "state", [{"phase": "Succeeded", "node": "n1"}, {"scheduler": "default-scheduler", "node": "n1"}, {}]
)
def test_claims_without_a_pod_of_ours_that_runs_are_nobody_to_tell(state):
    mine = allocated(claim("mine"), result("gpu-0"), reserved_for=["p"])
    hands = Hands(node("n1"), gpus("n1", 1), mine, pod("p", claims=[mine], **state), theirs()).settle()

    assert not hands.of(ReportClash)
    assert hands.engine.clashes.standing == 0


def test_clashes_that_were_there_before_the_start_are_told():
    mine = allocated(claim("mine"), result("gpu-0"), reserved_for=["p"])
    hands = Hands(theirs(), mine, pod("p", claims=[mine], node="n1"), gpus("n1", 1), node("n1")).settle()

    assert [each.pod.name for each in hands.of(ReportClash)] == ["p"]


def test_who_begins_to_lead_tells_clashes_before_anything_is_decided_and_once():
    mine = allocated(claim("mine"), result("gpu-0"), reserved_for=["p"])
    hands = Hands(theirs(), mine, pod("p", claims=[mine], node="n1"), gpus("n1", 1), node("n1"))

    hands.tell(Won())
    assert [each.pod.name for each in hands.of(ReportClash)] == ["p"]
    hands.settle()
    assert len(hands.of(ReportClash)) == 1


def test_a_pod_that_is_seen_bound_only_after_we_began_to_lead_is_told_then():
    mine = allocated(claim("mine"), result("gpu-0"), reserved_for=["p"])
    hands = Hands(theirs(), mine, pod("p", claims=[mine]), gpus("n1", 1), node("n1"))

    hands.tell(Won())
    assert not hands.of(ReportClash)
    hands.see(pod("p", claims=[mine], node="n1"))
    hands.settle()
    assert [each.pod.name for each in hands.of(ReportClash)] == ["p"]


def test_every_pod_of_a_group_that_is_bound_is_told():
    group = pod_group("team", claims=["mine"])
    who = replace(consumer("x"), resource="podgroups", name="team", uid=group.uid, api_group="scheduling.k8s.io")
    mine = replace(allocated(claim("mine"), result("gpu-0")), reserved_for=(who,))
    pods = [pod(name, claims=[mine], node="n1", group="team") for name in ("a", "b")]
    hands = Hands(node("n1"), gpus("n1", 1), group, mine, *pods, theirs()).settle()

    assert [each.pod.name for each in hands.of(ReportClash)] == ["a", "b"]


def test_who_only_looks_clashes_with_nobody():
    hands = bound()
    hands.see(theirs(admin_access=True))
    hands.settle()

    assert not hands.of(ReportClash)


def shareable(amount="10Gi"):
    return replace(build.device("gpu-0", {}, {"memory": amount}), shareable=True)


def share(name, amount, namespace="others"):
    taken = result("gpu-0", share_id=f"share-{name}", consumed={"memory": parse_quantity(amount)})
    return allocated(claim(name, namespace=namespace), taken, reserved_for=[f"pod-{name}"])


@pytest.mark.parametrize(("amount", "told"), [("4Gi", 0), ("5Gi", 1)])
def test_shares_clash_once_they_come_to_more_than_there_is(amount, told):
    mine = share("mine", "6Gi", build.NAMESPACE)
    running = pod("pod-mine", claims=[mine], node="n1")
    hands = Hands(node("n1"), slice_of([shareable()], node="n1"), mine, running).settle()

    hands.see(share("theirs", amount))
    hands.settle()

    assert len(hands.of(ReportClash)) == told
    assert all("take more than there is of capacity memory" in each.message for each in hands.of(ReportClash))


def parts(*amounts):
    """Parts of one card with memory for ten."""
    has = CounterSet("card", {"memory": parse_quantity("10")})
    devices = [
        replace(build.device(f"mig-{at}"), consumes=(CounterUse("card", {"memory": parse_quantity(str(each))}),))
        for at, each in enumerate(amounts)
    ]
    counters = replace(slice_of([], node="n1", name="n1-counters", slice_count=2), counter_sets=(has,))
    return counters, slice_of(devices, node="n1", name="n1-devices", slice_count=2)


@pytest.mark.parametrize(("second", "told"), [(4, 0), (5, 1)])
def test_parts_clash_once_their_card_has_less_than_they_take(second, told):
    mine = allocated(claim("mine"), result("mig-0"), reserved_for=["p"])
    hands = Hands(node("n1"), *parts(6, second, 1), mine, pod("p", claims=[mine], node="n1")).settle()

    hands.see(theirs("mig-1"))
    hands.settle()

    assert len(hands.of(ReportClash)) == told
    assert all("counter memory of card in pool gpu.example.com/n1" in each.message for each in hands.of(ReportClash))


def test_parts_of_other_cards_do_not_clash():
    one, other = (CounterSet(name, {"memory": parse_quantity("10")}) for name in ("card-0", "card-1"))
    devices = [
        replace(build.device(f"mig-{at}"), consumes=(CounterUse(name, {"memory": parse_quantity("8")}),))
        for at, name in enumerate(("card-0", "card-0", "card-1"))
    ]
    counters = replace(slice_of([], node="n1", name="n1-counters", slice_count=2), counter_sets=(one, other))
    held = [allocated(claim(f"c{at}"), result(f"mig-{at}")) for at in range(3)]
    hands = Hands(node("n1"), counters, slice_of(devices, node="n1", name="n1-devices", slice_count=2), *held)

    found = [set(clashes(hands.engine.state, each.uid, each.allocation)) for each in held]

    assert found == [{held[1].uid}, {held[0].uid}, set()]
