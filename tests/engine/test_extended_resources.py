"""Pods whose extended resources are served by devices: placed anywhere that can serve them, and bound with a claim."""

import json
from dataclasses import replace

import pytest

from scheduler.core.gates import Gates
from scheduler.core.messages import (
    BindPod,
    BindRefused,
    ClaimCreated,
    ClaimRefused,
    ClaimWritten,
    CreateClaim,
    DeleteClaim,
    Gone,
    ReportUnschedulable,
    WriteAllocation,
)
from scheduler.core.model import Uid
from tests.build import (
    allocated,
    claim,
    consumer,
    device_class,
    gpus,
    node,
    pod,
    pod_uid,
    request,
    result,
)
from tests.driving import Hands

GPU = "example.com/gpu"
NIC = "example.com/nic"
BACKED = device_class("backed", extended_resource=GPU)
NICS = device_class("nics", driver="nic.example.com", extended_resource=NIC)
WANTS = pod("p", extended={GPU: 1})


def creations(hands):
    return hands.of(CreateClaim)


def results(write):
    return [(each.request, each.device) for each in write.allocation.results]


def started(*objects, **config):
    """Up to the creation, which is not answered."""
    hands = Hands(*(objects or (node("n1"), gpus("n1", 1), BACKED, WANTS)), **config)
    hands.decide()
    (write,) = creations(hands)
    return hands, write


# ---------------------------------------------------------------- placing


def test_a_pod_gets_the_devices_that_the_class_selects_and_is_bound_with_a_claim():
    hands = Hands(node("n1"), gpus("n1", 4), BACKED, pod("p", extended={GPU: 2})).settle()

    (write,) = creations(hands)
    assert hands.node_of("p") == "n1"
    assert results(write) == [("container-0-request-0", "gpu-0"), ("container-0-request-0", "gpu-1")]
    assert hands.of(WriteAllocation) == []


def test_a_node_whose_device_plugin_offers_the_resource_uses_no_claim():
    hands = Hands(node("n1", **{GPU: 2}), BACKED, WANTS).settle()

    assert hands.node_of("p") == "n1"
    assert creations(hands) == []


def test_what_a_device_plugin_offers_is_counted():
    hands = Hands(node("n1", **{GPU: 2}), gpus("n1", 8), BACKED)
    hands.see(*(pod(f"p{number}", extended={GPU: 1}) for number in range(3)))
    hands.settle()

    bound = [hands.node_of(f"p{number}") for number in range(3)]
    assert bound.count("n1") == 2
    assert creations(hands) == []


def test_a_node_that_offers_none_of_the_resource_is_as_one_that_does_not_know_it():
    hands = Hands(node("n1", **{GPU: 0}), gpus("n1", 1), BACKED, WANTS).settle()

    assert len(creations(hands)) == 1


def test_nodes_of_both_kinds_are_filled():
    hands = Hands(node("plugin", **{GPU: 2}), node("dra"), gpus("dra", 2), BACKED)
    hands.see(*(pod(f"p{number}", extended={GPU: 1}) for number in range(5)))
    hands.settle()

    bound = sorted(hands.node_of(f"p{number}") for number in range(5))
    assert bound == ["", "dra", "dra", "plugin", "plugin"]
    assert len(creations(hands)) == 2


def test_one_resource_from_a_plugin_and_one_from_devices():
    both = pod("p", extended={GPU: 1, NIC: 2})
    hands = Hands(node("n1", **{NIC: 2}), gpus("n1", 1), BACKED, NICS, both).settle()

    (write,) = creations(hands)
    assert hands.node_of("p") == "n1"
    assert [mapping.resource for mapping in write.special.mappings] == [GPU]
    assert results(write) == [("container-0-request-0", "gpu-0")]


def test_two_resources_from_devices_are_one_claim():
    nics = gpus("n1", 2, pool="nics", driver="nic.example.com")
    hands = Hands(node("n1"), gpus("n1", 1), nics, BACKED, NICS, pod("p", extended={GPU: 1, NIC: 2})).settle()

    (write,) = creations(hands)
    assert [each.driver for each in write.allocation.results] == [
        "gpu.example.com", "nic.example.com", "nic.example.com",
    ]  # fmt: skip


def test_the_class_is_named_by_the_resource_itself():
    implicit = "deviceclass.resource.kubernetes.io/gpu"
    hands = Hands(node("n1"), gpus("n1", 1), pod("p", extended={implicit: 1})).settle()

    (write,) = creations(hands)
    assert write.special.claim.spec.requests[0].device_class == "gpu"


def test_claims_of_the_user_come_first_and_the_devices_differ():
    both = pod("p", claims=["c"], extended={GPU: 1})
    hands = Hands(node("n1"), gpus("n1", 2), BACKED, claim("c"), both).settle()

    (write,) = creations(hands)
    assert hands.devices_of("c") == ["gpu-0"]
    assert results(write) == [("container-0-request-0", "gpu-1")]


def test_other_resources_of_the_pod_count_as_ever():
    hands = Hands(node("n1", cpu=1000), gpus("n1", 1), BACKED, pod("p", cpu=2000, extended={GPU: 1})).settle()

    assert "lack cpu" in hands.reason("p")


def test_while_the_feature_is_off_only_plugins_serve():
    off = Gates(extended_resources=False)
    hands = Hands(node("n1"), gpus("n1", 1), BACKED, WANTS, gates=off).settle()

    assert f"lack {GPU}" in hands.reason("p")
    assert creations(hands) == []


def test_a_second_pod_waits_until_the_devices_of_the_first_are_given_back():
    second = pod("q", extended={GPU: 1})
    hands = Hands(node("n1"), gpus("n1", 1), BACKED, WANTS).settle()
    hands.see(second)
    hands.settle()
    assert f"lack 1 free devices for request {GPU} of container main" in hands.reason("q")

    (write,) = creations(hands)
    made = hands.held(write, hands.made(write))
    hands.tell(Gone("Pod", "default/p", pod_uid("p")))
    hands.tell(Gone("ResourceClaim", made.key, made.uid))
    hands.settle()

    assert hands.node_of("q") == "n1"


def test_the_reason_counts_each_node_once_whichever_way_it_might_serve():
    nodes = [node("a", **{GPU: 1}), node("b", **{GPU: 1}), node("c"), node("d"), node("e")]
    hands = Hands(*nodes, gpus("c", 1), BACKED, pod("p", extended={GPU: 3})).settle()

    reason = hands.reason("p")
    assert "0 of 5 nodes fit" in reason
    assert f"2 lack {GPU} (asks 3, at most 1 left)" in reason
    assert f"3 lack 3 free devices for request {GPU} of container main (best: c has 1)" in reason


def test_a_claim_that_would_hold_too_many_devices_leaves_the_plugins():
    many = pod("p", extended={GPU: 40})
    hands = Hands(node("a", **{GPU: 8}), node("b"), gpus("b", 4), BACKED, many).settle()
    assert "a claim can hold at most 32" in hands.reason("p")
    assert f"1 lack {GPU}" in hands.reason("p")

    hands.see(node("c", **{GPU: 64}))
    hands.settle()

    assert hands.node_of("p") == "c"


# ---------------------------------------------------------------- the flight


def test_the_pod_is_bound_only_after_its_status_names_the_claim_and_the_claim_is_seen():
    hands, write = started()
    made = hands.made(write)
    held = hands.held(write, made)

    after_created = hands.tell(ClaimCreated(write.pod.uid, made)) + hands.see(made)
    after_seen = hands.see(held)
    after_written = hands.tell(ClaimWritten(write.pod.uid, held))

    assert (after_created, after_seen) == ([], [])
    assert [type(each) for each in after_written] == [BindPod]


def test_an_answer_alone_binds_nothing():
    hands, write = started()
    made = hands.made(write)
    held = hands.held(write, made)

    out = hands.tell(ClaimCreated(write.pod.uid, made)) + hands.tell(ClaimWritten(write.pod.uid, held))

    assert out == []
    assert [type(each) for each in hands.see(made, held)] == [BindPod]


def test_devices_are_held_from_the_decision_on():
    hands, _ = started(node("n1"), gpus("n1", 1), BACKED, WANTS)
    hands.see(pod("q", extended={GPU: 1}))

    hands.decide()

    assert len(creations(hands)) == 1


@pytest.mark.parametrize("created", [False, True])
def test_devices_are_free_again_after_a_failure(created):
    hands, write = started()
    made = hands.made(write)
    uid = write.special.claim.uid
    if created:
        hands.tell(ClaimCreated(write.pod.uid, made))
        uid = made.uid
    hands.see(pod("q", extended={GPU: 1}))

    out = hands.tell(ClaimRefused(write.pod.uid, uid, "forbidden", "exceeded quota: gpus"))
    for each in out:
        hands.obey(each)
    hands.decide()

    assert [type(each) for each in out] == ([DeleteClaim] if created else []) + [ReportUnschedulable]
    assert [each.pod.name for each in creations(hands)] == ["p", "q"]


def test_a_quota_that_is_used_up_is_told_in_its_words():
    hands, write = started()

    hands.tell(ClaimRefused(write.pod.uid, write.special.claim.uid, "forbidden", "exceeded quota: gpus"))

    assert "the claim for its extended resources could not be made (forbidden): exceeded quota: gpus" in hands.reason(
        "p"
    )


@pytest.mark.parametrize("cause", ["conflict", "invalid", "unknown", "gone"])
@pytest.mark.parametrize("seen", [False, True])
def test_a_claim_that_was_made_is_deleted_whatever_went_wrong_then(cause, seen):
    hands, write = started()
    made = hands.made(write)
    hands.tell(ClaimCreated(write.pod.uid, made))
    if seen:
        hands.see(made)

    out = hands.tell(ClaimRefused(write.pod.uid, made.uid, cause, "no"))

    (deletion,) = [each for each in out if isinstance(each, DeleteClaim)]
    assert (deletion.claim.uid, deletion.claim.name) == (made.uid, made.name)
    assert f"ResourceClaim {made.key} could not be written ({cause})" in hands.reason("p")


def test_its_devices_stay_held_until_the_claim_is_gone():
    hands, write = started()
    made = hands.made(write)
    hands.tell(ClaimCreated(write.pod.uid, made))
    hands.see(made)
    (deletion, _) = hands.tell(ClaimRefused(write.pod.uid, made.uid, "unknown", "no"))
    hands.see(pod("q", extended={GPU: 1}))
    hands.decide()
    assert len(creations(hands)) == 1

    hands.obey(deletion)
    hands.decide()

    assert [each.pod.name for each in creations(hands)] == ["p", "q"]


def test_the_pod_is_tried_again_after_its_claim_is_gone_and_not_before():
    hands, write = started()
    made = hands.made(write)
    hands.tell(ClaimCreated(write.pod.uid, made))
    hands.see(made)
    (deletion, _) = hands.tell(ClaimRefused(write.pod.uid, made.uid, "conflict", "no"))

    hands.decide(now=5.0)
    before = len(creations(hands))
    hands.obey(deletion)
    hands.decide(now=6.5)

    assert before == 1
    assert len(creations(hands)) == 2


def test_a_binding_that_is_refused_deletes_the_claim():
    hands, write = started()
    held = hands.held(write, hands.made(write))
    hands.tell(ClaimCreated(write.pod.uid, hands.made(write)))
    hands.see(held)
    (binding,) = hands.tell(ClaimWritten(write.pod.uid, held))
    assert isinstance(binding, BindPod)

    out = hands.tell(BindRefused(write.pod.uid, "conflict", "no"))

    assert DeleteClaim in [type(each) for each in out]


def test_a_pod_that_is_deleted_takes_its_claim_along():
    hands, write = started()
    made = hands.made(write)
    hands.tell(ClaimCreated(write.pod.uid, made))
    hands.see(made)

    while_writing = hands.tell(Gone("Pod", "default/p", pod_uid("p")))
    out = hands.tell(ClaimWritten(write.pod.uid, hands.held(write, made)))

    assert while_writing == []
    assert [(type(each), each.claim.uid, each.pod.name) for each in out] == [(DeleteClaim, made.uid, "p")]
    assert hands.engine.in_flight == 0


def test_a_claim_that_vanishes_before_the_bind_ends_the_flight():
    hands, write = started()
    made = hands.made(write)
    hands.tell(ClaimCreated(write.pod.uid, made))
    hands.see(made)
    hands.tell(Gone("ResourceClaim", made.key, made.uid))

    out = hands.tell(ClaimWritten(write.pod.uid, hands.held(write, made)))

    assert [type(each) for each in out] == [ReportUnschedulable]
    assert hands.engine.in_flight == 0
    assert hands.engine.state.holding.current == {}


def test_a_claim_that_was_deleted_before_anybody_saw_it_holds_nothing():
    hands, write = started()
    made = hands.made(write)
    hands.tell(ClaimCreated(write.pod.uid, made))
    hands.tell(ClaimRefused(write.pod.uid, made.uid, "unknown", "no"))
    assert set(hands.engine.state.holding.current) == {made.uid}

    hands.tell(Gone("ResourceClaim", made.key, made.uid))

    assert hands.engine.state.holding.current == {}


# ---------------------------------------------------------------- leftovers


def leftover(**fields):
    """A claim that an earlier process made for pod p."""
    special = replace(
        allocated(claim("old", request("container-0-request-0", device_class="backed"), owner="p"), result("gpu-0")),
        annotations={"resource.kubernetes.io/extended-resource-claim": "true"},
        reserved_for=(consumer("p"),),
    )
    return replace(special, **fields)


def test_what_an_earlier_attempt_left_is_deleted_first_and_then_the_pod_is_placed():
    hands = Hands(node("n1"), gpus("n1", 1), BACKED, leftover(), WANTS)

    (deletion,) = hands.decide()
    again = hands.decide(now=1.0)
    hands.obey(deletion)
    hands.settle()

    assert (type(deletion), deletion.claim.name) == (DeleteClaim, "old")
    assert again == []
    assert hands.node_of("p") == "n1"


def test_a_leftover_that_holds_nothing_goes_too():
    hands = Hands(node("n1"), gpus("n1", 1), BACKED, leftover(allocation=None, reserved_for=()), WANTS)

    out = hands.decide()

    assert [type(each) for each in out] == [DeleteClaim]


@pytest.mark.parametrize(
    "other",
    [leftover(annotations={}), leftover(owner=Uid("somebody")), leftover(owner=Uid(""))],
    ids=["not marked", "of another pod", "of nobody"],
)
def test_claims_that_are_not_the_pods_special_ones_are_left_alone(other):
    hands = Hands(node("n1"), gpus("n1", 2), BACKED, other, WANTS).settle()

    assert hands.of(DeleteClaim) == []
    assert hands.node_of("p") == "n1"


def test_the_claim_of_a_pod_that_runs_is_none():
    running = pod("p", node="n1", extended={GPU: 1}, extended_claim="old")
    hands = Hands(node("n1"), gpus("n1", 1), BACKED, leftover(), running).settle()

    assert hands.of(DeleteClaim) == []


def test_a_deletion_that_is_never_seen_is_asked_for_again():
    hands = Hands(node("n1"), gpus("n1", 1), BACKED, leftover(), WANTS)
    hands.decide()

    hands.decide(now=31.0)
    hands.decide(now=70.0)

    assert len(hands.of(DeleteClaim)) >= 2


def test_a_pod_that_names_a_claim_for_good_is_not_given_to_a_plugin():
    # The kubelet looks for that claim, and what the status once said can be changed but not taken back.
    stuck = pod("p", extended={GPU: 1}, extended_claim="old")
    hands = Hands(node("plugin", **{GPU: 8}), BACKED, stuck).settle()
    assert "its status names ResourceClaim old" in hands.reason("p")

    hands.see(node("n1"), gpus("n1", 1))
    hands.settle()

    assert hands.node_of("p") == "n1"


# ---------------------------------------------------------------- with the other features of devices


def attachable(count=2):
    item = gpus("n1", count)
    needs = {"binding_conditions": ("Attached",), "binding_failures": ("Failed",)}
    return replace(item, devices=tuple(replace(each, **needs) for each in item.devices))


def made(hands):
    """The claim that serves the pod now."""
    (found,) = [each for each in hands.engine.state.claims.current.values() if each.allocation is not None]
    return found.name, found.allocation.results[0].device


def test_devices_that_must_be_attached_first_are_waited_for():
    hands = Hands(node("n1"), attachable(), BACKED, WANTS).settle()
    assert hands.of(BindPod) == []

    asked = hands.driver_says(*made(hands), Attached="True")

    assert [type(each) for each in asked] == [BindPod]


def test_a_device_that_fails_costs_the_claim_and_another_is_taken():
    hands = Hands(node("n1"), attachable(), BACKED, WANTS).settle()
    name, first = made(hands)

    asked = hands.driver_says(name, first, Failed="True")
    for each in asked:
        hands.obey(each)
    hands.pass_time(until=20)

    assert [type(each) for each in asked if isinstance(each, DeleteClaim)] == [DeleteClaim]
    assert made(hands)[1] != first


@pytest.mark.parametrize(("cpu", "fits"), [(4000, True), (4001, False)])
def test_what_the_devices_take_of_their_node_counts_and_is_published(cpu, fits):
    item = gpus("n1", 1)
    heavy = replace(item.devices[0], allocatable='{"cpu":{"overhead":{"perPod":"4"}}}')
    user = pod("p", extended={GPU: 1}, cpu=cpu)

    hands = Hands(
        node("n1", cpu=8000), replace(item, devices=(heavy,)), BACKED, user,
        gates=replace(Gates(), node_allocatable=True),
    ).settle()  # fmt: skip

    assert (hands.node_of("p") == "n1") is fits
    if fits:
        (write,) = creations(hands)
        (bind,) = hands.of(BindPod)
        (said,) = json.loads(bind.taken)
        assert said["resourceClaimName"] == write.special.claim.name
        assert said["overhead"] == [{"name": "cpu", "perPod": "4"}]
