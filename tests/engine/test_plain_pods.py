"""Pods without devices: scheduled like any other, and where kube-scheduler would let them go."""

import pytest

from scheduler.core.gates import Gates
from scheduler.core.messages import BindPod, Gone, RecordDecision, ReportScheduled
from tests.build import node, pod, pod_uid, taint, toleration
from tests.driving import Hands

FEATURE = "UserNamespacesHostNetworkSupport"


def test_a_pod_without_claims_is_bound_with_nothing_to_write_first():
    hands = Hands(node("n1"), node("n2", taints=[taint("k")]), pod("p", cpu=500))

    out = hands.decide()

    assert [type(each) for each in out] == [RecordDecision, BindPod]
    assert out[1].node == "n1"
    assert out[0].decision.feasible_nodes == 1
    hands.obey_all(out)
    assert hands.node_of("p") == "n1"


def test_what_is_said_of_a_pod_without_devices_names_none():
    hands = Hands(node("n1"), pod("p")).settle()

    (said,) = hands.of(ReportScheduled)

    assert said.message == "Successfully assigned default/p to n1"


def test_a_pod_that_needs_a_feature_waits_for_a_node_that_declares_it():
    hands = Hands(node("n1"), pod("p", features=[FEATURE])).settle()
    assert hands.reason("p").endswith(f"0 of 1 nodes fit: 1 do not declare the feature {FEATURE}, which the pod needs")

    hands.see(node("n1", features=[FEATURE]))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_comparing_tolerations_count_while_their_gate_is_on():
    aged, asking = node("n1", taints=[taint("age", "5")]), pod("p", tolerations=[toleration("age", "4", operator="Gt")])

    off = Hands(aged, asking).settle()
    on = Hands(aged, asking, gates=Gates(taint_comparison=True)).settle()

    assert "have taint age=5:NoSchedule" in off.reason("p")
    assert on.node_of("p") == "n1"


def test_room_that_is_kept_for_a_nominated_pod_is_left_to_it_until_it_goes():
    kept = pod("first", scheduler="other", cpu=3000, priority=10, nominated="n1")
    hands = Hands(node("n1", cpu=4000), kept, pod("low", cpu=2000, priority=10), pod("high", cpu=2000, priority=11))
    hands.settle()

    assert hands.node_of("high") == "n1"
    assert "1 keep their room for pods of no lower priority that are nominated to them" in hands.reason("low")

    hands.tell(Gone("Pod", "default/first", pod_uid("first")))
    hands.settle()

    assert hands.node_of("low") == "n1"


def test_a_pod_that_is_nominated_to_a_node_nobody_knows_makes_no_class_until_the_node_comes():
    away = pod("away", scheduler="other", cpu=3000, priority=10, nominated="n9")
    hands = Hands(node("n1", cpu=4000), pod("before", cpu=100)).settle()
    hands.see(away, pod("p", cpu=100))
    hands.settle()
    assert len(hands.engine._classes) == 1

    hands.see(node("n9", cpu=4000), pod("q", cpu=2000, selector={"kubernetes.io/hostname": "n9"}))
    hands.settle()
    assert "1 keep their room for pods of no lower priority that are nominated to them" in hands.reason("q")


def test_a_nominated_pod_goes_to_its_node_if_it_fits_there():
    nodes = [node(f"n{number}", cpu=4000) for number in range(1, 6)]

    went = {
        name: Hands(*nodes, pod("p", cpu=1000, nominated=name)).settle().node_of("p") for name in ("n2", "n4", "n9")
    }

    assert (went["n2"], went["n4"]) == ("n2", "n4")
    assert went["n9"] in {each.name for each in nodes}


def test_terminating_pods_still_count_and_ended_ones_do_not():
    leaving = pod("leaving", node="n1", cpu=3000, deleting=True)
    ended = pod("ended", node="n1", cpu=3000, phase="Failed")

    assert Hands(node("n1", cpu=4000), leaving, pod("p", cpu=2000)).settle().node_of("p") == ""
    assert Hands(node("n1", cpu=4000), ended, pod("p", cpu=2000)).settle().node_of("p") == "n1"


@pytest.mark.parametrize("name", ["n1", "gone"])
def test_a_pod_that_names_its_node_is_counted_there_and_nobody_decides_about_it(name):
    hands = Hands(node("n1", cpu=1000), node("n2", cpu=1000), pod("p", cpu=1000, node=name), pod("q", cpu=1000))

    hands.settle().pass_time(120)

    assert [each.decision.pod for each in hands.of(RecordDecision)] == ["default/q"]
    assert hands.engine.state.places.current[pod_uid("p")] == name
    assert name == "gone" or hands.node_of("q") == "n2"
