"""Claims that pods share through their PodGroup: for whom they are reserved, and who may give them back."""

from dataclasses import replace

import pytest

from scheduler.core.gates import Gates
from scheduler.core.messages import (
    BindPod,
    ClaimRefused,
    ClaimWritten,
    Gone,
    Rejected,
    ReleaseClaim,
    ReserveClaim,
    WriteAllocation,
)
from scheduler.core.model import Consumer, PodClaim, Uid
from tests.build import (
    allocated,
    claim,
    claim_uid,
    consumer,
    gpus,
    group_uid,
    node,
    pod,
    pod_group,
    pod_uid,
    result,
)
from tests.driving import Hands

ON = replace(Gates(), workload_claims=True)
GROUP = Consumer("podgroups", "g", group_uid("g"), "scheduling.k8s.io")


def member(name="p", **fields):
    return pod(name, group="g", **{"claims": ["c"], **fields})


def grouped(*objects, gates=ON, **config):
    return Hands(node("n1"), gpus("n1", 4), *objects, gates=gates, **config)


def owned(name="made", owner="g"):
    """A claim that the controller made for a group."""
    return replace(claim(name), owner=group_uid(owner))


def reservations(hands):
    return [each.consumer for each in hands.asked if isinstance(each, WriteAllocation | ReserveClaim)]


# ---------------------------------------------------------------- whose a claim is

ENTRY = PodClaim("c", "c", None)


@pytest.mark.parametrize(
    ("entries", "shared"),
    [
        ([ENTRY], True),
        ([PodClaim("other", "other", None), ENTRY], True),
        ([], False),
        ([PodClaim("x", "c", None)], False),
        ([PodClaim("c", "x", None)], False),
        ([PodClaim("c", None, "c-template")], False),
        ([PodClaim("c", "c", "c-template")], False),
        ([PodClaim("c", None, None)], False),
    ],
)
def test_a_claim_is_the_group_s_if_all_three_names_are_equal(entries, shared):
    group = replace(pod_group(), claims=tuple(entries))

    hands = grouped(claim("c"), group, member()).settle()

    assert hands.node_of("p") == "n1"
    assert reservations(hands) == [GROUP if shared else consumer("p")]


@pytest.mark.parametrize(
    ("entries", "shared"),
    [
        ([PodClaim("e", None, "e-template")], True),
        ([PodClaim("e", None, "f-template")], False),
        ([PodClaim("f", None, "e-template")], False),
        ([PodClaim("e", "made", None)], False),
    ],
)
def test_so_it_is_with_templates_and_then_the_group_must_own_the_claim(entries, shared):
    group = replace(pod_group(), claims=tuple(entries))
    user = member(claims=[], templates={"e": "made"})

    of_group = grouped(owned(), group, user).settle()
    of_pod = grouped(claim("made", owner="p"), group, user).settle()

    assert (of_group.node_of("p") == "n1") is shared
    assert (of_pod.node_of("p") == "n1") is not shared
    wrong = of_pod if shared else of_group
    assert "was not made for pod default/p: another object controls it" in wrong.reason("p")


@pytest.mark.parametrize(
    ("in_pod", "in_group", "node"),
    [
        ({"e": "made"}, {"e": "made"}, "n1"),
        ({"e": "made"}, {"e?": None}, "n1"),
        ({}, {"e": "made"}, "n1"),
        ({}, {"e?": None}, ""),
        ({"e": None}, {"e": None}, "n1"),
        ({}, {"e": None}, "n1"),
    ],
)
def test_the_name_of_a_made_claim_comes_from_the_pod_or_its_group(in_pod, in_group, node):
    user = member(claims=[], templates={"e": None})
    user = replace(user, claim_names=in_pod)

    hands = grouped(owned(), pod_group(templates=in_group), user)
    hands.pass_time(until=20)

    assert hands.node_of("p") == node
    if not node:
        assert "has not been made from template e-template yet" in hands.reason("p")


def test_claims_of_the_pod_and_of_the_group_are_reserved_for_each():
    hands = grouped(claim("c"), claim("own"), pod_group(claims=["c"]), member(claims=["c", "own"])).settle()

    held = {each.claim.name: each.consumer for each in hands.of(WriteAllocation)}
    assert held == {"c": GROUP, "own": consumer("p")}
    assert hands.node_of("p") == "n1"


def test_a_group_of_the_same_name_in_another_namespace_is_another():
    hands = grouped(claim("c"), pod_group(claims=["c"], namespace="elsewhere"), member())
    hands.pass_time(until=20)

    assert hands.node_of("p") == ""
    assert "its PodGroup default/g does not exist yet" in hands.reason("p")


def test_a_pod_without_a_group_reserves_for_itself():
    hands = grouped(claim("c"), pod_group(claims=["c"]), pod("p", claims=["c"])).settle()

    assert reservations(hands) == [consumer("p")]


# ---------------------------------------------------------------- what is not done


@pytest.mark.parametrize(
    ("group", "gates", "words"),
    [
        (
            pod_group(unsupported=["schedulingPolicy.gang"]),
            ON,
            "PodGroup default/g: not supported yet: schedulingPolicy",
        ),
        (pod_group(claims=["c"]), Gates(), "schedulingGroup g without the gate DRAWorkloadResourceClaims"),
        (None, ON, "its PodGroup default/g does not exist yet"),
    ],
)
def test_what_keeps_a_pod_of_a_group_waiting_is_named(group, gates, words):
    hands = grouped(claim("c"), *([group] if group else []), member(), gates=gates)
    hands.pass_time(until=20)

    assert hands.node_of("p") == ""
    assert words in hands.reason("p")


@pytest.mark.parametrize("before", ["missing", "gang", "unreadable"])
def test_a_pod_goes_on_once_its_group_is_as_it_should_be(before):
    hands = grouped(claim("c"), *([pod_group(unsupported=["schedulingPolicy.gang"])] if before == "gang" else []))
    if before == "unreadable":
        hands.tell(Rejected("PodGroup", "default/g", group_uid("g"), "metadata.uid: is missing"))
    hands.see(member())
    hands.settle()
    assert hands.node_of("p") == ""

    hands.see(pod_group(claims=["c"]))

    assert hands.settle().node_of("p") == "n1"


def test_an_unreadable_group_is_told():
    hands = grouped(claim("c"), pod_group(claims=["c"]))
    hands.tell(Rejected("PodGroup", "default/g", group_uid("g"), "spec: is odd"))
    hands.see(member())
    hands.pass_time(until=20)

    assert hands.reason("p") == "pod default/p: spec: is odd"


def test_a_pod_waits_again_when_its_group_goes():
    hands = grouped(pod_group(claims=["c"]), member())
    hands.settle()
    hands.tell(Gone("PodGroup", "default/g", Uid("")))
    hands.see(claim("c"))
    hands.pass_time(until=20)

    assert hands.node_of("p") == ""


def test_a_claim_that_is_made_later_wakes_who_knows_it_from_the_group_only():
    user = replace(member(claims=[], templates={"e": None}), claim_names={})
    hands = grouped(pod_group(templates={"e": "made"}), user).settle()
    assert hands.node_of("p") == ""

    hands.see(owned())

    assert hands.settle().node_of("p") == "n1"


# ---------------------------------------------------------------- many pods, one reservation


def test_the_pods_of_a_group_share_one_reservation():
    users = [member(f"p{i}", created=f"{i}") for i in range(3)]

    hands = grouped(claim("c"), pod_group(claims=["c"]), *users)
    hands.pass_time(until=20)

    assert [hands.node_of(each.name) for each in users] == ["n1"] * 3
    assert reservations(hands) == [GROUP]
    seen = hands.engine.state.claims.current[claim_uid("c")]
    assert seen.reserved_for == (GROUP,)


def test_a_claim_that_is_reserved_for_the_group_needs_no_write():
    held = allocated(claim("c", reserved_for=[GROUP]), result("gpu-0"))

    hands = grouped(held, pod_group(claims=["c"]), member()).settle()

    assert reservations(hands) == []
    assert hands.node_of("p") == "n1"


def test_a_claim_that_is_allocated_and_not_reserved_is_reserved_for_the_group():
    hands = grouped(allocated(claim("c"), result("gpu-0")), pod_group(claims=["c"]), member()).settle()

    assert [each.consumer for each in hands.of(ReserveClaim)] == [GROUP]
    assert hands.node_of("p") == "n1"


@pytest.mark.parametrize(("consumers", "node"), [(255, "n1"), (256, "")])
def test_a_group_is_one_consumer_of_many(consumers, node):
    crowd = tuple(Consumer("pods", f"q{i}", Uid(f"q{i}")) for i in range(consumers))
    held = replace(allocated(claim("c"), result("gpu-0")), reserved_for=crowd)
    users = [member(f"p{i}", created=f"{i}") for i in range(3)]

    hands = grouped(held, pod_group(claims=["c"]), *users)
    hands.pass_time(until=20)

    assert [hands.node_of(each.name) for each in users] == [node] * 3


# ---------------------------------------------------------------- giving back


def in_flight(*more):
    """The first pod of a group whose claim is written and not yet seen back."""
    hands = grouped(claim("c"), claim("own"), pod_group(claims=["c"]), member(claims=["c", "own"], created="a"), *more)
    writes = {each.claim.name: each for each in hands.decide() if isinstance(each, WriteAllocation)}
    written = hands.written(writes["c"])
    hands.tell(ClaimWritten(pod_uid("p"), written))
    return hands, written, writes["own"]


def test_a_failed_flight_gives_the_claim_back_if_it_is_the_only_one_of_its_group():
    hands, written, own = in_flight()
    hands.see(written)

    asked = hands.tell(ClaimRefused(pod_uid("p"), own.claim.uid, "conflict", "no"))

    (release,) = [each for each in asked if isinstance(each, ReleaseClaim)]
    assert (release.claim.name, release.consumer, release.deallocate) == ("c", GROUP, True)


def test_a_failed_flight_leaves_the_claim_to_another_that_was_placed_with_it():
    hands, written, own = in_flight(member("q", created="b", cpu=100))
    hands.see(written)
    hands.see(member("q", created="b", cpu=200))
    placed = [each for each in hands.decide() if isinstance(each, BindPod)]
    assert [each.pod.name for each in placed] == ["q"]

    asked = hands.tell(ClaimRefused(pod_uid("p"), own.claim.uid, "conflict", "no"))

    assert [each for each in asked if isinstance(each, ReleaseClaim)] == []
    assert hands.devices_of("c") != []


@pytest.mark.parametrize(
    ("other", "released"), [("running", False), ("done", True), ("of another group", True), ("alone", True)]
)
def test_a_failed_flight_leaves_the_claim_to_pods_of_the_group_that_run(other, released):
    runs = {
        "running": [member("q", node="n1")],
        "done": [member("q", node="n1", phase="Succeeded")],
        "of another group": [pod("q", group="h", claims=["c"], node="n1")],
        "alone": [],
    }[other]
    hands, written, own = in_flight(*runs)
    hands.see(written)

    asked = hands.tell(ClaimRefused(pod_uid("p"), own.claim.uid, "conflict", "no"))

    assert bool([each for each in asked if isinstance(each, ReleaseClaim)]) is released


def test_a_released_claim_of_a_group_is_allocated_anew():
    hands, written, own = in_flight()
    hands.see(written)
    for each in hands.tell(ClaimRefused(pod_uid("p"), own.claim.uid, "conflict", "no")):
        hands.obey(each)
    hands.pass_time(until=20)

    assert hands.node_of("p") == "n1"
    assert reservations(hands).count(GROUP) == 2


def test_a_pod_that_leaves_before_it_is_bound_takes_its_claim_back():
    hands, written, own = in_flight()
    hands.see(written)
    hands.tell(ClaimWritten(pod_uid("p"), hands.written(own)))

    asked = hands.tell(Gone("Pod", "default/p", pod_uid("p")))

    assert {each.claim.name: each.consumer for each in asked if isinstance(each, ReleaseClaim)} == {
        "c": GROUP, "own": consumer("p"),
    }  # fmt: skip


@pytest.mark.parametrize(("running", "freed"), [(False, True), (True, False)])
def test_a_claim_that_ties_a_pod_to_the_wrong_node_is_freed_unless_the_group_runs_with_it(running, freed):
    held = allocated(claim("c", reserved_for=[GROUP]), result("gpu-0"))
    others = [member("q", node="n1")] if running else []

    hands = grouped(held, pod_group(claims=["c"]), *others, member(selector={"zone": "b"}))
    hands.see(node("n2", labels={"zone": "b"}), gpus("n2", 1))
    hands.pass_time(until=20)

    assert (hands.node_of("p") == "n2") is freed
    assert (len(hands.of(ReleaseClaim)) == 1) is freed
