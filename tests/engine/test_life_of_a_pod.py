"""From pending to bound, and back when something goes wrong."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from scheduler.core.messages import (
    AuditDue,
    BindPod,
    BindRefused,
    ClaimRefused,
    ClaimWritten,
    Gone,
    PodBound,
    RecordDecision,
    ReleaseClaim,
    ReportScheduled,
    ReportUnschedulable,
    ReserveClaim,
    Seen,
    WriteAllocation,
)
from scoring.scorers import WISH_SCORERS
from tests import build
from tests.build import claim, gpus, node, pod
from tests.driving import Hands


def two_claims() -> Hands:
    return Hands(node("n1"), gpus("n1", 8), claim("a"), claim("b"), pod("p", claims=["a", "b"]))


def test_bind_waits_until_every_claim_is_seen_back():
    hands = two_claims()
    first, second = [each for each in hands.decide() if isinstance(each, WriteAllocation)]

    after_answers = hands.tell(ClaimWritten(first.pod.uid, hands.written(first)))
    after_answers += hands.tell(ClaimWritten(second.pod.uid, hands.written(second)))
    after_one_seen = hands.see(hands.written(first))
    after_both_seen = hands.see(hands.written(second))

    assert after_answers == []
    assert after_one_seen == []
    assert [type(each) for each in after_both_seen] == [BindPod]
    assert after_both_seen[0].node == "n1"


def test_a_claim_may_be_seen_before_its_write_is_answered():
    hands = Hands(node("n1"), gpus("n1", 1), claim("c"), pod("p", claims=["c"]))
    (write,) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]

    seen = hands.see(hands.written(write))

    assert [type(each) for each in seen] == [BindPod]


def test_a_bound_pod_is_reported_once_with_its_devices():
    hands = Hands(node("n1"), gpus("n1", 1), claim("c"), pod("p", claims=["c"])).settle()

    (report,) = hands.of(ReportScheduled)
    assert report.node == "n1"
    assert "n1/gpu-0" in report.message
    assert hands.node_of("p") == "n1"


def test_a_device_is_not_given_twice_while_its_first_write_is_under_way():
    hands = Hands(
        node("n1"), gpus("n1", 1), claim("a"), claim("b"), pod("p", claims=["a"]), pod("q", claims=["b"], created="z")
    )

    out = hands.decide()

    assert len([each for each in out if isinstance(each, WriteAllocation)]) == 1
    assert "all that match are in use" in hands.reason("q")


def test_when_one_write_is_refused_the_other_claim_is_released_after_its_own_answer():
    hands = two_claims()
    first, second = [each for each in hands.decide() if isinstance(each, WriteAllocation)]

    refused = hands.tell(ClaimRefused(first.pod.uid, first.claim.uid, "conflict", "stale"))
    answered = hands.tell(ClaimWritten(second.pod.uid, hands.written(second)))

    assert refused == []
    assert [(type(each), each.claim.uid, each.deallocate) for each in answered if isinstance(each, ReleaseClaim)] == [
        (ReleaseClaim, second.claim.uid, True)
    ]
    hands.obey(answered[0])
    assert not hands.engine.state.taken.any()


def test_a_pod_whose_write_was_refused_is_placed_again():
    hands = Hands(node("n1"), gpus("n1", 1), claim("c"), pod("p", claims=["c"]))
    (write,) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]
    hands.tell(ClaimRefused(write.pod.uid, write.claim.uid, "conflict", "stale"))

    hands.now = 5.0
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_a_write_of_unknown_outcome_is_released_too():
    hands = Hands(node("n1"), gpus("n1", 1), claim("c"), pod("p", claims=["c"]))
    (write,) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]

    out = hands.tell(ClaimRefused(write.pod.uid, write.claim.uid, "unknown", "time-out"))

    assert [type(each) for each in out] == [ReleaseClaim, ReportUnschedulable]


def test_repeated_refusals_are_tried_ever_more_slowly():
    hands = Hands(node("n1"), gpus("n1", 1), claim("c"), pod("p", claims=["c"]))
    pauses = []
    for _ in range(4):
        (write,) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]
        hands.tell(ClaimRefused(write.pod.uid, write.claim.uid, "forbidden", "no"))
        pauses.append(hands.engine.next_wakeup() - hands.now)
        hands.now = hands.engine.next_wakeup()

    assert all(later == pytest.approx(2 * earlier) for earlier, later in pairwise(pauses))


def test_another_claim_with_the_same_device_makes_us_yield_before_the_bind():
    hands = Hands(node("n1"), gpus("n1", 2), claim("c"), pod("p", claims=["c"]))
    (write,) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]
    taken = write.allocation.results[0].device
    hands.see(build.allocated(claim("theirs"), build.result(taken), reserved_for=["other"]))

    out = hands.see(hands.written(write))
    out += hands.tell(ClaimWritten(write.pod.uid, hands.written(write)))

    assert not [each for each in out if isinstance(each, BindPod)]
    assert [each.deallocate for each in out if isinstance(each, ReleaseClaim)] == [True]


def test_after_yielding_the_pod_gets_the_other_device():
    hands = Hands(node("n1"), gpus("n1", 2), claim("c"), pod("p", claims=["c"]))
    (write,) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]
    taken = write.allocation.results[0].device
    hands.see(build.allocated(claim("theirs"), build.result(taken), reserved_for=["other"]))
    out = hands.see(hands.written(write))
    out += hands.tell(ClaimWritten(write.pod.uid, hands.written(write)))
    for each in out:
        hands.obey(each)

    hands.now = 10.0
    hands.settle()

    assert hands.devices_of("c") == [{"gpu-0": "gpu-1", "gpu-1": "gpu-0"}[taken]]
    assert hands.node_of("p") == "n1"


def test_a_claim_allocated_by_another_scheduler_is_left_alone():
    hands = Hands(node("n1"), gpus("n1", 2), claim("c"), pod("p", claims=["c"]))
    (write,) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]
    other = {"gpu-0": "gpu-1", "gpu-1": "gpu-0"}[write.allocation.results[0].device]

    out = hands.see(build.allocated(claim("c"), build.result(other)))
    out += hands.tell(ClaimRefused(write.pod.uid, write.claim.uid, "conflict", "allocated elsewhere"))

    assert not [each for each in out if isinstance(each, ReleaseClaim)]


def test_a_restart_after_the_claims_were_written_binds_and_writes_nothing():
    held = build.allocated(claim("c"), build.result("gpu-3"), reserved_for=["p"])

    hands = Hands(node("n1"), node("n2"), gpus("n1"), gpus("n2"), held, pod("p", claims=["c"])).settle()

    assert not hands.of(WriteAllocation)
    assert not hands.of(ReserveClaim)
    assert hands.node_of("p") == "n1"
    assert hands.devices_of("c") == ["gpu-3"]


def test_a_claim_tied_to_a_node_that_is_gone_is_freed_for_a_new_choice():
    held = build.allocated(claim("c"), build.result("gpu-3", pool="lost"), reserved_for=["p"], node="lost")

    hands = Hands(node("n1"), gpus("n1"), held, pod("p", claims=["c"])).settle()
    hands.now = 5.0
    hands.settle()

    assert [each.deallocate for each in hands.of(ReleaseClaim)] == [True]
    assert hands.node_of("p") == "n1"


def test_a_claim_that_others_reserve_is_never_freed():
    held = build.allocated(claim("c"), build.result("gpu-3", pool="lost"), reserved_for=["p", "other"], node="lost")

    hands = Hands(node("n1"), gpus("n1"), held, pod("p", claims=["c"])).settle()

    assert not hands.of(ReleaseClaim)
    assert "allocated claims hold" in hands.reason("p")


def test_pods_that_share_a_claim_follow_it_to_one_node():
    pods = [pod(f"p{i}", claims=["shared"], cpu=1000) for i in range(3)]

    hands = Hands(node("n1"), node("n2"), gpus("n1"), gpus("n2"), claim("shared"), *pods).settle()

    assert len({hands.node_of(f"p{i}") for i in range(3)}) == 1
    assert len(hands.of(WriteAllocation)) == 1
    assert len(hands.of(ReserveClaim)) == 2


def test_two_entries_that_name_one_claim_allocate_it_once():
    twice = replace(pod("p", claims=["c"]), claims=(build.PodClaim("a", "c", None), build.PodClaim("b", "c", None)))

    hands = Hands(node("n1"), gpus("n1"), claim("c"), twice).settle()

    assert len(hands.of(WriteAllocation)) == 1
    assert hands.node_of("p") == "n1"


def test_a_pod_deleted_while_its_claim_is_written_leaves_nothing_behind():
    hands = Hands(node("n1", cpu=4000), gpus("n1", 1), claim("c"), pod("p", claims=["c"], cpu=4000))
    (write,) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]

    gone = hands.tell(Gone("Pod", "default/p", build.pod_uid("p")))
    answered = hands.tell(ClaimWritten(write.pod.uid, hands.written(write)))

    assert gone == []
    assert [type(each) for each in answered] == [ReleaseClaim]
    hands.obey(answered[0])
    assert not hands.engine.state.taken.any()
    rows = np.array([hands.engine.state.nodes.rows["n1"]])
    assert hands.engine.state.nodes.left("cpu", rows)[0] == 4000


def test_a_refused_binding_gives_the_claim_back():
    hands = Hands(node("n1"), gpus("n1", 1), claim("c"), pod("p", claims=["c"]))
    (write,) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]
    (bind,) = hands.obey(write)

    out = hands.tell(BindRefused(bind.pod.uid, "conflict", "already assigned"))

    assert [each.deallocate for each in out if isinstance(each, ReleaseClaim)] == [True]


def test_our_own_condition_patch_does_not_start_another_attempt():
    hands = Hands(node("n1"), gpus("n1", 1), claim("c", count=2), pod("p", claims=["c"]))
    hands.settle()
    before = len(hands.asked)

    hands.see(pod("p", claims=["c"], version="2"))
    hands.settle()

    assert len(hands.asked) == before


def test_a_pod_that_does_not_fit_runs_once_a_node_is_added():
    hands = Hands(node("n1"), gpus("n1", 1), claim("c", count=2), pod("p", claims=["c"])).settle()
    assert "0 of 1 nodes fit: 1 lack 2 free devices for request r of claim c (best: n1 has 1)" in hands.reason("p")

    hands.see(gpus("n2", 2), node("n2"))
    hands.settle()

    assert hands.node_of("p") == "n2"


def test_a_pod_whose_template_claim_is_not_made_yet_waits_in_silence_and_starts_when_it_is():
    waiting = replace(pod("p", templates={"gpu": None}), claim_names={})
    hands = Hands(node("n1"), gpus("n1", 1), waiting).settle()
    assert hands.asked == []

    hands.see(claim("p-gpu", owner="p"), pod("p", templates={"gpu": "p-gpu"}, version="2"))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_a_template_claim_of_another_pod_is_refused():
    hands = Hands(
        node("n1"), gpus("n1", 1), claim("p-gpu", owner="someone"), pod("p", templates={"gpu": "p-gpu"})
    ).settle()

    assert "another object controls it" in hands.reason("p")


def test_a_missing_claim_is_named_and_its_creation_wakes_the_pod():
    hands = Hands(node("n1"), gpus("n1", 1), pod("p", claims=["c"])).settle()
    assert "ResourceClaim default/c does not exist" in hands.reason("p")

    hands.see(claim("c"))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_an_unknown_class_is_named_and_its_creation_wakes_the_pod():
    asks = claim("c", build.request("r", 1, device_class="fast"))
    hands = Hands(node("n1"), gpus("n1", 1), asks, pod("p", claims=["c"])).settle()
    assert "request r: DeviceClass 'fast' does not exist" in hands.reason("p")

    hands.see(build.device_class("fast"))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_a_million_devices_are_refused_with_the_limit():
    hands = Hands(node("n1"), gpus("n1", 1), claim("c", count=1_000_000), pod("p", claims=["c"])).settle()

    assert "asks for 1000000 devices, and a claim can hold at most 32" in hands.reason("p")


def test_a_selector_that_fails_on_a_device_names_device_and_attribute_and_others_go_on():
    broken = claim("c", selectors=['device.attributes["gpu.example.com"].speed > 3'])
    hands = Hands(
        node("n1"), gpus("n1", 2), broken, claim("d"), pod("p", claims=["c"]), pod("q", claims=["d"])
    ).settle()

    assert "gpu.example.com/n1/gpu-" in hands.reason("p")
    assert "speed" in hands.reason("p")
    assert hands.node_of("q") == "n1"


def test_a_selector_that_does_not_compile_names_claim_request_and_position():
    broken = claim("c", selectors=["device.driver =="])
    hands = Hands(node("n1"), gpus("n1", 2), broken, pod("p", claims=["c"])).settle()

    assert (
        "request r of claim c cannot be served: selectors[0] selector 'device.driver ==': is not CEL"
        in hands.reason("p")
    )


def test_a_torn_pool_gives_nothing_until_it_is_whole():
    part = gpus("n1", 2, slice_count=2, name="part-1")
    hands = Hands(node("n1"), part, claim("c"), pod("p", claims=["c"])).settle()
    assert "pool n1 of driver gpu.example.com is incomplete: generation 1 has 1 of 2 slices" in hands.reason("p")

    hands.see(gpus("n1", 2, first=2, slice_count=2, name="part-2"))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_slices_that_disagree_about_their_number_make_the_pool_incomplete_and_both_numbers_are_named():
    hands = Hands(
        node("n1"),
        gpus("n1", 2, slice_count=1, name="part-1"),
        gpus("n1", 2, first=2, slice_count=3, name="part-2"),
        claim("c"),
        pod("p", claims=["c"]),
    ).settle()

    assert "generation 1 has 2 of 1 or 3 slices" in hands.reason("p")


def test_duplicate_device_names_make_the_pool_invalid_and_both_slices_are_named():
    hands = Hands(
        node("n1"),
        gpus("n1", 2, slice_count=2, name="s1"),
        gpus("n1", 2, slice_count=2, name="s2"),
        claim("c"),
        pod("p", claims=["c"]),
    ).settle()

    assert "device gpu-0 is listed twice (slices s1 and s2)" in hands.reason("p")


def test_what_is_not_supported_yet_is_refused_by_name():
    hands = Hands(node("n1"), gpus("n1"), pod("p", unsupported=["workloadRef"]))
    hands.settle()

    assert "not supported yet: workloadRef" in hands.reason("p")


def test_a_running_pod_that_repels_ours_is_never_ignored():
    guard = pod("guard", node="n1", repels=[build.repels(build.requirement("app", "In", "web"))])
    hands = Hands(node("n1", labels={"zone": "a"}), guard, pod("p", labels={"app": "web"})).settle()

    assert "1 have a pod in their zone whose anti-affinity keeps the pod away" in hands.reason("p")


def test_pods_of_other_schedulers_gated_pods_and_deleted_pods_are_not_touched():
    hands = Hands(node("n1"), pod("a", scheduler="other"), pod("b", gates=["wait"]), pod("c", deleting=True)).settle()

    assert hands.asked == []


def test_nodes_that_are_not_ours_are_never_used():
    hands = Hands(
        node("mine", cpu=1000), node("theirs", owned=False), pod("p", cpu=1000), pod("q", cpu=1000, created="z"),
        ownership=build.Ownership(),
    ).settle()  # fmt: skip

    assert hands.node_of("p") == "mine"
    assert hands.node_of("q") == ""
    assert "1 not owned by Dovetail" in hands.reason("q")


def test_higher_priority_goes_first():
    hands = Hands(
        node("n1"),
        gpus("n1", 1),
        claim("a"),
        claim("b"),
        pod("low", claims=["a"]),
        pod("high", claims=["b"], priority=9),
    ).settle()

    assert hands.node_of("high") == "n1"
    assert hands.node_of("low") == ""


def test_freed_devices_wake_the_pods_that_wait_for_them():
    held = build.allocated(claim("a"), build.result("gpu-0"), reserved_for=["old"])
    hands = Hands(node("n1"), gpus("n1", 1), held, claim("b"), pod("p", claims=["b"])).settle()
    assert hands.node_of("p") == ""

    hands.see(claim("a"))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_nothing_is_decided_before_everything_was_listed():
    hands = Hands()
    hands.engine._listed = False
    hands.see(node("n1"), pod("p"))

    assert hands.decide() == []


def test_the_decision_keeps_winner_and_runner_up_with_every_score():
    hands = Hands(node("n1"), node("n2"), gpus("n1"), gpus("n2"), claim("c"), pod("p", claims=["c"]))

    (recorded,) = [each for each in hands.decide() if isinstance(each, RecordDecision)]

    chosen = recorded.decision
    assert {chosen.winner.node, chosen.runner_up.node} == {"n1", "n2"}
    heard = {name for name, weight in chosen.weights.items() if weight} - {scorer.name for scorer in WISH_SCORERS}
    assert set(chosen.winner.scores) == set(chosen.runner_up.scores) == heard
    assert chosen.winner.total >= chosen.runner_up.total


def test_binding_carries_the_explanation():
    hands = Hands(node("n1"), gpus("n1"), claim("c"), pod("p", claims=["c"])).settle()

    (bind,) = hands.of(BindPod)
    assert '"node":"n1"' in bind.annotations["dovetail.scheduler/explain"]


def test_a_pod_bound_by_somebody_else_is_let_go():
    hands = Hands(node("n1"), gpus("n1"), claim("c"), pod("p", claims=["c"]))
    (write,) = [each for each in hands.decide() if isinstance(each, WriteAllocation)]
    hands.see(pod("p", claims=["c"], node="n1", version="2"))

    out = hands.tell(ClaimWritten(write.pod.uid, hands.written(write)))

    assert [type(each) for each in out] == [ReleaseClaim]


def test_events_may_repeat_without_effect():
    hands = Hands(node("n1"), gpus("n1"), claim("c"), pod("p", claims=["c"])).settle()
    before = len(hands.asked)

    for item in [*hands.engine.state.claims.current.values(), *hands.engine.state.pods.current.values()]:
        hands.tell(Seen(item))
        hands.tell(Seen(item))
    hands.tell(PodBound(build.pod_uid("p"), "n1"))
    hands.settle()

    assert len(hands.asked) == before


def test_an_audit_puts_back_a_pod_that_nobody_knows_to_wait():
    mine = claim("c")
    hands = Hands(node("n1"), gpus("n1", 1), mine)
    waiting = pod("p", claims=[mine])
    hands.see(waiting)
    hands.engine._forget_pending(waiting.uid)  # as a fault of ours would
    hands.settle()
    assert hands.node_of("p") == ""

    hands.tell(AuditDue())
    hands.settle()

    assert hands.node_of("p") == "n1"
    assert hands.engine.forgotten == 1


def test_an_audit_finds_nothing_where_every_pod_is_bound_waiting_under_way_or_not_ours():
    claims = [claim(f"c{at}") for at in range(3)]
    hands = Hands(node("n1"), gpus("n1", 2), *claims)
    hands.see(*[pod(f"p{at}", claims=[each]) for at, each in enumerate(claims)])
    hands.see(pod("gated", gates=["wait"]), pod("other", scheduler="default-scheduler"), pod("gone", deleting=True))

    hands.tell(AuditDue())
    hands.decide()
    hands.tell(AuditDue())
    hands.settle()
    hands.tell(AuditDue())

    assert hands.engine.forgotten == 0
