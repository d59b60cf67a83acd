"""Each event wakes the pods that it may help, as core/backlog says, without waiting for the minute to pass."""

from scheduler.core.messages import BindPod, ClaimRefused, Gone, PodBound, Rejected, WriteAllocation
from scheduler.core.model import Uid
from tests.build import (
    NAMESPACE,
    allocated,
    claim,
    device,
    device_class,
    gpus,
    node,
    pod,
    repels,
    request,
    requirement,
    result,
    slice_of,
)
from tests.driving import Hands

SCARCE = "example.com/licence"


def test_a_running_pod_that_asks_for_less_makes_room():
    hands = Hands(node("n1", cpu=4000), pod("big", node="n1", cpu=4000), pod("p", cpu=1000)).settle()
    assert hands.node_of("p") == ""

    hands.see(pod("big", node="n1", cpu=2000, version="2"))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_a_pod_that_ends_before_it_is_seen_bound_makes_room():
    hands = Hands(node("n1", cpu=1000), pod("short", cpu=1000, created="a"), pod("p", cpu=1000, created="b"))
    (bind,) = [each for each in hands.decide() if isinstance(each, BindPod)]
    hands.tell(PodBound(bind.pod.uid, bind.node))
    hands.settle()
    assert hands.node_of("p") == ""

    hands.see(pod("short", cpu=1000, created="a", phase="Failed", version="2"))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_a_claim_seen_with_other_devices_frees_those_that_it_had():
    held = allocated(claim("x"), result("gpu-0"), reserved_for=["other"])
    hands = Hands(node("n1"), gpus("n1", 1), gpus("n2", 1), held, claim("c"), pod("p", claims=["c"])).settle()
    assert hands.node_of("p") == ""

    hands.see(allocated(claim("x"), result("gpu-0", pool="n2"), reserved_for=["other"]))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_a_node_that_offers_a_resource_wakes_the_pod_for_which_only_a_class_did():
    backed = device_class("licence", extended_resource=SCARCE)
    hands = Hands(node("n1"), backed, pod("p", extended={SCARCE: 1})).settle()
    assert f"lack 1 free devices for request {SCARCE} of container main" in hands.reason("p")

    hands.see(node("n2", **{SCARCE: 1}))
    hands.settle()

    assert hands.node_of("p") == "n2"


def test_a_class_that_is_deleted_changes_the_reason_of_the_pod_that_it_kept_waiting():
    backed = device_class("licence", extended_resource=SCARCE)
    hands = Hands(node("n1"), backed, pod("p", extended={SCARCE: 1})).settle()

    hands.tell(Gone("DeviceClass", "licence", Uid("")))
    hands.settle()

    assert f"lack {SCARCE}" in hands.reason("p")


def test_a_class_that_takes_over_a_resource_wakes_the_pod_that_waits_for_a_plugin():
    hands = Hands(node("n1"), gpus("n1", 1), pod("p", extended={SCARCE: 1})).settle()
    assert f"lack {SCARCE}" in hands.reason("p")

    hands.see(device_class("licence", extended_resource=SCARCE))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_a_class_that_cannot_be_read_any_more_is_named_to_those_who_wait():
    hands = Hands(node("n1"), gpus("n1", 1), claim("c", count=2), pod("p", claims=["c"])).settle()

    hands.tell(Rejected("DeviceClass", "gpu", Uid(""), "spec is a list"))
    hands.settle()

    assert "spec is a list" in hands.reason("p")


def test_a_slice_that_cannot_be_read_any_more_no_longer_stands_in_the_way():
    torn = slice_of([device("x")], pool="fabric", node="n1", slice_count=2)
    everything = claim("c", request("r", all=True, device_class="any"))
    hands = Hands(
        node("n1"), gpus("n1", 1), torn, device_class("any", driver=None), everything, pod("p", claims=["c"])
    ).settle()
    assert hands.node_of("p") == ""

    hands.tell(Rejected("ResourceSlice", torn.name, Uid(""), "spec is a list"))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_a_node_that_cannot_be_read_any_more_is_not_used():
    hands = Hands(node("n1"), pod("p", gates=["wait"]))
    hands.tell(Rejected("Node", "n1", Uid(""), "status is a list"))

    hands.see(pod("p", version="2"))
    hands.settle()

    assert hands.node_of("p") == ""


def test_a_repelling_pod_that_fails_to_start_lets_those_it_repelled_go_on():
    guard = pod("guard", claims=["c"], repels=[repels(requirement("app", "In", "web"))], created="a")
    crowd = [claim("c"), guard, pod("p", labels={"app": "web"}, created="b")]
    hands = Hands(node("n1", labels={"zone": "a"}), gpus("n1", 1), *crowd)
    hands.decide()
    assert hands.node_of("p") == ""

    hands.tell(Gone("ResourceClaim", f"{NAMESPACE}/c", Uid("")))
    for write in [each for each in hands.asked if isinstance(each, WriteAllocation)]:
        hands.tell(ClaimRefused(write.pod.uid, write.claim.uid, "gone", "no"))
    hands.settle()

    assert hands.node_of("p") == "n1"
