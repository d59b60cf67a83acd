"""What is told of devices that two claims hold, once a pod is bound with one of them."""

from dataclasses import replace

from scheduler.core.messages import Gone, ReportClash
from tests import build
from tests.build import allocated, claim, node, pod, request, result, slice_of
from tests.driving import Hands


def bound():
    """A pod that runs with the only device of its node."""
    gpu = slice_of([build.device("gpu-0", {})], node="n1")
    hands = Hands(node("n1"), gpu, claim("c", request("r")), pod("p", claims=["c"])).settle()
    assert hands.node_of("p") == "n1"
    return hands


def foreign():
    return allocated(claim("theirs", request("r")), result("gpu-0"), reserved_for=[pod("q")])


def test_a_clash_that_comes_after_the_binding_is_told_once():
    hands = bound()

    hands.see(foreign())
    hands.settle()
    hands.see(replace(foreign(), resource_version="77"))
    hands.settle()

    [told] = hands.of(ReportClash)
    assert told.pod.name == "p"
    assert "default/c and default/theirs hold the same device" in told.message


def test_a_scheduler_that_starts_into_a_clash_tells_of_it():
    gpu = slice_of([build.device("gpu-0", {})], node="n1")
    mine = allocated(claim("c", request("r")), result("gpu-0"), reserved_for=[pod("p")])

    hands = Hands(node("n1"), gpu, mine, foreign(), replace(pod("p", claims=["c"]), node_name="n1")).settle()

    assert len(hands.of(ReportClash)) == 1


def test_a_clash_that_is_over_before_anybody_is_bound_is_not_told():
    hands = bound()
    hands.see(foreign())
    hands.tell(Gone("ResourceClaim", "default/theirs", build.claim_uid("theirs")))

    hands.settle()

    assert hands.of(ReportClash) == []


def test_a_clash_that_comes_again_is_told_again():
    hands = bound()
    for version in ("50", "60"):
        hands.see(replace(foreign(), resource_version=version))
        hands.settle()
        hands.see(replace(foreign(), allocation=None, reserved_for=(), resource_version=version + "1"))
        hands.settle()

    assert len(hands.of(ReportClash)) == 2


def test_pods_of_others_are_not_told():
    gpu = slice_of([build.device("gpu-0", {})], node="n1")
    mine = allocated(claim("c", request("r")), result("gpu-0"), reserved_for=[pod("p")])
    other = replace(pod("p", claims=["c"]), node_name="n1", scheduler_name="default-scheduler")

    hands = Hands(node("n1"), gpu, mine, foreign(), other).settle()

    assert hands.of(ReportClash) == []
