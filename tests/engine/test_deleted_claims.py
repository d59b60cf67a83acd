"""Claims that an earlier process had reserved for a pod which still waits, and one that is being deleted or gone."""

from dataclasses import replace

from scheduler.core.messages import ReleaseClaim
from tests import build
from tests.build import allocated, claim, node, pod, request, result, slice_of
from tests.driving import Hands


def started(**fields):
    gpu = slice_of([build.device("gpu-0", {})], node="n1")
    mine = allocated(claim("c", request("r")), result("gpu-0"), reserved_for=[pod("p")])
    return Hands(node("n1"), gpu, replace(mine, **fields), pod("p", claims=["c"])).settle()


def test_a_pod_that_waits_leaves_a_claim_that_is_being_deleted():
    hands = started(deleting=True)

    [release] = hands.of(ReleaseClaim)
    assert (release.claim.name, release.consumer.uid, release.deallocate) == ("c", build.pod_uid("p"), False)
    assert hands.node_of("p") == ""


def test_a_claim_that_stays_is_used():
    hands = started()

    assert hands.of(ReleaseClaim) == []
    assert hands.node_of("p") == "n1"


def test_a_pod_that_cannot_be_placed_gives_back_what_was_written_for_it_before():
    gpu = slice_of([build.device("gpu-0", {})], node="n1")
    mine = allocated(claim("c", request("r")), result("gpu-0"), reserved_for=[pod("p")])

    hands = Hands(node("n1"), gpu, mine, pod("p", claims=["c", "gone"])).settle()

    [release] = hands.of(ReleaseClaim)
    assert (release.claim.name, release.consumer.uid, release.deallocate) == ("c", build.pod_uid("p"), True)
