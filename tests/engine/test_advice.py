"""What another scheduler is told of nodes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core import names, plan
from scheduler.core.advice import Advice, Later, points
from scheduler.core.budget import Budget
from scheduler.core.config import Ownership
from scheduler.core.demand import Refusal
from scheduler.core.messages import EvaluateScalar, Gone, Inspect
from scheduler.core.model import Uid
from scoring.placement import HIGHEST
from tests.build import (
    DRIVER,
    allocated,
    claim,
    device,
    device_class,
    gpus,
    match,
    node,
    pod,
    request,
    result,
    slice_of,
    taint,
    taint_rule,
    toleration,
)
from tests.driving import Hands

OTHER = "default-scheduler"


class Cluster(Hands):
    """Nodes of which none is ours unless it says so."""

    def __init__(self, *objects, **config):
        super().__init__(*objects, **{"ownership": Ownership(), **config})

    def advice(self, asking, steps=10**12):
        """What is said in the end, with everything that is asked for answered."""
        for _ in range(500):
            found, asked = self.engine.advise(asking, self.now, Budget(steps))
            self.asked += asked
            self.obey_all(asked)
            if not isinstance(found, Later):
                return found
        raise AssertionError("nothing is said")


def foreign(name="p", **fields):
    return pod(name, scheduler=OTHER, **fields)


def plain_node(name, **fields):
    return node(name, owned=False, **fields)


def held(name, devices, where):
    """A claim that holds devices of a node."""
    return allocated(claim(name), *[result(f"gpu-{index}", pool=where) for index in devices], reserved_for=["x"])


NAMES = ["n1", "n2", "n3"]
PAIR = (claim("c", count=2), foreign(claims=["c"]))
LINKED = {"dovetail.scheduler/links": '{"pairs": [["gpu-0", "gpu-1", 300], ["gpu-2", "gpu-3", 300]], "default": 0}'}


# ---------------------------------------------------------------- where a pod can go


def test_a_node_with_enough_free_devices_is_kept():
    found = Cluster(plain_node("n1"), gpus("n1", 2), *PAIR).advice(PAIR[1]).sort(["n1"])

    assert (found.kept, found.failed, found.hopeless) == (["n1"], {}, {})


def test_a_node_is_told_what_it_lacks_and_whether_that_can_change():
    cluster = Cluster(
        *[plain_node(name) for name in NAMES], gpus("n1", 2), gpus("n2", 2), held("h", [0], "n2"), gpus("n3", 1), *PAIR
    )

    found = cluster.advice(PAIR[1]).sort(NAMES)

    assert found.kept == ["n1"]
    assert found.failed == {"n2": "has too few free devices for request r of claim c, which asks for 2"}
    assert found.hopeless == {"n3": "has too few devices for request r of claim c, which asks for 2"}


def test_devices_that_do_not_go_together_are_said_to_be_no_set():
    devices = [device(f"gpu-{index}", {"type": "gpu", "root": index}) for index in range(2)]
    asking = foreign(claims=["c"])
    cluster = Cluster(
        plain_node("n1"), slice_of(devices, node="n1"), claim("c", count=2, constraints=[match("root")]), asking
    )

    assert cluster.advice(asking).sort(["n1"]).failed == {
        "n1": "has no set of free devices that serves the pod's claims"
    }


def test_a_request_for_all_devices_is_told_apart_where_one_is_taken_or_none_is_there():
    asking = foreign(claims=["c"])
    cluster = Cluster(
        plain_node("n1"), plain_node("n2"), gpus("n1", 2), held("h", [0], "n1"), claim("c", request(all=True)), asking
    )

    found = cluster.advice(asking).sort(["n1", "n2"])

    assert found.failed == {"n1": "has too few free devices for request r of claim c, which asks for all"}
    assert found.hopeless == {"n2": "has too few devices for request r of claim c, which asks for all"}


def test_a_node_that_is_not_known_is_no_place_for_devices():
    cluster = Cluster(plain_node("n1"), gpus("n1", 2), *PAIR)

    assert cluster.advice(PAIR[1]).sort(["n1", "new"]).hopeless == {"new": "is not known to Dovetail, or not yet"}


def test_a_node_that_went_is_not_known_any_more():
    cluster = Cluster(plain_node("n1"), gpus("n1", 2), *PAIR)
    cluster.advice(PAIR[1])

    cluster.tell(Gone("Node", "n1", Uid("uid-node-n1")))

    assert "n1" in cluster.advice(PAIR[1]).sort(["n1"]).hopeless


def test_what_the_other_scheduler_has_judged_is_not_judged_again():
    """It may know better: of cpu that is free by now, of taints, labels and features that Dovetail does not support."""
    full = plain_node("n1", cpu=1000, taints=[taint("a")], unschedulable=True)
    asking = foreign(
        claims=["c"], cpu=4000, selector={"zone": "a"}, unsupported=["host ports"], group="g", namespace="default"
    )
    cluster = Cluster(full, gpus("n1", 2), PAIR[0], asking)

    assert cluster.advice(asking).sort(["n1"]).kept == ["n1"]


def test_an_allocated_claim_ties_the_pod_to_where_its_devices_are():
    asking = foreign(claims=["c"])
    taken = allocated(claim("c"), result("gpu-0", pool="n2"), reserved_for=["other"])
    cluster = Cluster(*[plain_node(name) for name in NAMES], gpus("n1", 1), gpus("n2", 1), taken, asking)

    found = cluster.advice(asking)

    assert found.sort(NAMES).kept == ["n2"]
    reason = "cannot use the devices that the pod's allocated claims hold"
    assert found.sort(NAMES).hopeless == {"n1": reason, "n3": reason}
    assert found.points(NAMES) == [0, 10, 0]


def test_of_a_pod_without_devices_there_is_nothing_to_say():
    asking = foreign()
    cluster = Cluster(node("n1"), plain_node("n2"), asking)

    found = cluster.advice(asking)

    assert found.sort(["n1", "n2", "new"]).kept == ["n1", "n2", "new"]
    assert found.points(["n1", "n2", "new"]) == [0, 0, 0]


def test_the_order_of_the_question_is_kept():
    cluster = Cluster(*[plain_node(name) for name in NAMES], *[gpus(name, 2) for name in NAMES], *PAIR)

    assert cluster.advice(PAIR[1]).sort(["n3", "n1", "n2"]).kept == ["n3", "n1", "n2"]


# ---------------------------------------------------------------- what is Dovetail's


def test_devices_that_dovetail_gives_away_are_not_for_others():
    cluster = Cluster(node("n1"), plain_node("n2"), gpus("n1", 2), gpus("n2", 2), *PAIR)

    found = cluster.advice(PAIR[1])

    assert found.sort(["n1", "n2"]).kept == ["n2"]
    assert found.sort(["n1"]).hopeless == {"n1": "is Dovetail's, for pods of schedulerName dovetail"}
    assert found.points(["n1", "n2"]) == [0, 10]


@pytest.mark.parametrize(
    ("ownership", "kept"),
    [
        (Ownership(drivers=frozenset({DRIVER})), False),
        (Ownership(drivers=frozenset({"nic.example.com"})), True),
        (Ownership(device_classes=frozenset({"gpu"})), False),
        (Ownership(device_classes=frozenset({"nic"})), True),
        (Ownership(drivers=frozenset({DRIVER}), device_classes=frozenset({"nic"})), True),
    ],
)
def test_devices_of_an_owned_node_that_dovetail_does_not_own_are_for_others(ownership, kept):
    cluster = Cluster(node("n1"), gpus("n1", 2), *PAIR, ownership=ownership)

    found = cluster.advice(PAIR[1])

    assert bool(found.sort(["n1"]).kept) is kept
    assert (found.points(["n1"]) == [10]) is kept


@pytest.mark.parametrize(("tolerations", "kept"), [([], False), ([toleration(names.OWNED)], True)])
def test_our_own_taint_keeps_others_off_unless_they_tolerate_it(tolerations, kept):
    asking = foreign(claims=["c"])
    cluster = Cluster(
        plain_node("n1"),
        gpus("n1", 1),
        taint_rule(pool="n1", key=names.OWNED, value="true"),
        claim("c", request(tolerations=tolerations)),
        asking,
    )

    assert bool(cluster.advice(asking).sort(["n1"]).kept) is kept


def test_dovetail_s_own_pods_are_decided_as_before():
    mine = pod("mine", claims=["d"])
    cluster = Cluster(node("n1"), plain_node("n2"), gpus("n1", 2), gpus("n2", 2), *PAIR, claim("d", count=2), mine)

    cluster.advice(PAIR[1])
    cluster.settle()

    assert cluster.node_of("mine") == "n1"


# ---------------------------------------------------------------- how good a node is


def test_a_node_is_as_good_as_the_first_devices_that_fit_there():
    """n1 has a linked pair free, but kube-scheduler would take gpu-1 and gpu-2, which are not."""
    cluster = Cluster(
        plain_node("n1", annotations=LINKED), plain_node("n2", annotations=LINKED),
        gpus("n1", 4), gpus("n2", 4), held("h", [0], "n1"), held("i", [0, 1], "n2"), *PAIR,
    )  # fmt: skip

    assert cluster.advice(PAIR[1]).points(["n1", "n2"]) == [1, 10]
    assert cluster.advice(PAIR[1]).sort(["n1", "n2"]).kept == ["n1", "n2"]


def test_the_pod_s_own_profile_counts():
    asking = foreign(claims=["c"], annotations={names.PROFILE: "spread"})
    busy = [plain_node("n1"), gpus("n1", 4), held("h", [0, 1], "n1")]
    cluster = Cluster(*busy, plain_node("n2"), gpus("n2", 4), PAIR[0], asking)

    spread, default = cluster.advice(asking), cluster.advice(PAIR[1])

    assert spread.points(["n1", "n2"])[1] == 10
    assert default.points(["n1", "n2"])[0] == 10


def test_what_changed_is_known_at_the_next_question():
    cluster = Cluster(plain_node("n1"), plain_node("n2"), gpus("n1", 2), gpus("n2", 2), *PAIR)
    before = cluster.advice(PAIR[1]).sort(["n1", "n2"]).kept

    cluster.see(held("h", [0], "n1"))

    assert before == ["n1", "n2"]
    assert cluster.advice(PAIR[1]).sort(["n1", "n2"]).kept == ["n2"]


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        ([], []),
        ([-1, -1], [0, 0]),
        ([7], [10]),
        ([7, 7, 7], [9, 10, 9]),  # the second is the first in order
        ([-1, 7, 3], [0, 10, 1]),
        ([100, 0, 50, 99], [10, 1, 5, 8]),
        ([2 * HIGHEST + 5, 2 * HIGHEST + 4, 100], [10, 1, 0]),  # the last would take a later alternative
    ],
)
def test_points(ranks, expected):
    order = np.array([5, 2, 9, 7][: len(ranks)], np.int64)

    assert points(np.array(ranks, np.int64), order) == expected


@given(st.lists(st.integers(-1, 16 * HIGHEST), max_size=40))
def test_points_never_turn_the_order_round(ranks):
    found = points(np.array(ranks, np.int64), np.arange(len(ranks), dtype=np.int64))

    assert all(0 <= each <= 10 and isinstance(each, int) for each in found)
    assert all(
        mine >= theirs
        for mine, rank in zip(found, ranks, strict=True)
        for theirs, other in zip(found, ranks, strict=True)
        if rank > other
    )
    assert found.count(10) == any(rank >= 0 for rank in ranks)


# ---------------------------------------------------------------- when nothing can be said


def refusal(*objects, asking):
    found = Cluster(plain_node("n1"), gpus("n1", 2), asking, *objects).advice(asking)
    assert isinstance(found, Refusal)
    return found


def test_a_claim_that_was_not_seen_yet_is_named():
    found = refusal(asking=foreign(claims=["c"]))

    assert (found.token, found.message) == (
        plan.MISCONFIGURED,
        "pod default/p, entry c: ResourceClaim default/c does not exist; create it",
    )


def test_a_claim_that_is_not_made_yet_is_waited_for():
    found = refusal(asking=replace(foreign(templates={"c": "made"}), claim_names={}))

    assert found.token == plan.CLAIM_PENDING


def test_work_goes_on_from_call_to_call():
    fleet = [plain_node(f"n{index}") for index in range(100)]
    slices = [gpus(f"n{index}", 8) for index in range(100)]
    cluster = Cluster(*fleet, *slices, *PAIR)

    first, _ = cluster.engine.advise(PAIR[1], 0.0, Budget(1))
    found = cluster.advice(PAIR[1], steps=1)

    assert first == Later(waits=False)
    assert len(found.sort([each.name for each in fleet]).kept) == 100


def test_costly_selectors_are_left_to_others_and_waited_for():
    costly = " || ".join([f"device.attributes['{DRIVER}'].index == {index}" for index in range(40)])
    asking = foreign(claims=["c"])
    cluster = Cluster(plain_node("n1"), gpus("n1", 2), claim("c", selectors=[costly]), asking)

    first, asked = cluster.engine.advise(asking, 0.0, Budget(10**12))
    again, nothing = cluster.engine.advise(asking, 0.0, Budget(10**12))
    cluster.obey_all(asked)

    assert first == again == Later(waits=True)
    assert [type(each) for each in asked] == [Inspect]
    assert nothing == []
    assert isinstance(cluster.advice(asking), Advice)
    assert cluster.of(EvaluateScalar)


def test_what_comes_before_advice_is_done_in_pieces_and_once():
    fleet = [plain_node(f"n{index}") for index in range(30)]
    cluster = Cluster(*fleet, *[gpus(f"n{index}", 2) for index in range(30)], *PAIR)
    pieces = 1
    while not cluster.engine.catch_up():
        pieces += 1
    rows = cluster.engine.state.bays.rows.copy()
    cluster.see(gpus("n7", 1))
    again = cluster.engine.catch_up()

    assert pieces == 8
    assert again
    assert np.count_nonzero(rows >= 0) == 60
    assert np.count_nonzero(cluster.engine.state.bays.rows >= 0) == 59


def test_a_node_that_changes_while_others_wait_is_looked_at_as_it_is_then():
    fleet = [plain_node(f"n{index}") for index in range(9)]
    cluster = Cluster(*fleet, *[gpus(f"n{index}", 2) for index in range(9)], *PAIR)
    first = cluster.engine.catch_up()

    cluster.see(gpus("n0", 1))
    cluster.see(gpus("n8", 1))
    cluster.tell(Gone("Node", "n5", Uid("uid-node-n5")))
    found = cluster.advice(PAIR[1]).sort([each.name for each in fleet])

    assert not first
    assert sorted(found.hopeless) == ["n0", "n5", "n8"]
    assert len(found.kept) == 6


# ---------------------------------------------------------------- what pods of others cost ours


def test_pods_without_devices_make_no_classes():
    cluster = Cluster(plain_node("n1"))

    for cpu in range(1, 20):
        cluster.advice(foreign(f"p{cpu}", cpu=cpu))

    assert not cluster.engine._foreign
    assert not cluster.engine._classes


def test_many_kinds_of_pods_of_others_push_out_each_other_and_none_of_ours():
    mine = pod("mine", claims=["d"])
    cluster = Cluster(node("n1"), plain_node("n2"), gpus("n1", 2), gpus("n2", 2), PAIR[0], claim("d", count=2), mine)
    cluster.settle()
    kept = list(cluster.engine._classes)

    for cpu in range(1, cluster.engine.MAX_FOREIGN + 10):
        assert cluster.advice(foreign(f"p{cpu}", claims=["c"], cpu=cpu)).points(["n1", "n2"]) == [0, 10]

    assert list(cluster.engine._classes) == kept
    assert len(cluster.engine._foreign) == cluster.engine.MAX_FOREIGN


# ---------------------------------------------------------------- special claims


def test_an_earlier_alternative_is_worth_more_than_any_score():
    """n2 has one device left, which is all that the first alternative asks for; n1 would serve the second."""
    large = request("large", 1, f"device.attributes['{DRIVER}'].index == 9")
    small = request("small", 2)
    asking = foreign(claims=["c"])
    wanted = replace(request("r"), alternatives=(large, small))
    cluster = Cluster(
        plain_node("n1", annotations=LINKED), plain_node("n2"), plain_node("n3"),
        gpus("n1", 4), gpus("n2", 1, first=9), gpus("n3", 1), claim("c", wanted), asking,
    )  # fmt: skip

    found = cluster.advice(asking)

    assert found.points(["n1", "n2", "n3"]) == [0, 10, 0]
    assert found.sort(["n1", "n2", "n3"]).kept == ["n1", "n2"]
    assert found.sort(["n3"]).failed == {"n3": "has no set of free devices that serves the pod's claims"}


def test_an_extended_resource_is_served_by_plugins_here_and_devices_there():
    asking = foreign(requests={"example.com/gpu": 2}, extended={"example.com/gpu": 2})
    backed = device_class("backed", extended_resource="example.com/gpu")
    cluster = Cluster(
        plain_node("n1", **{"example.com/gpu": 8}), plain_node("n2"), plain_node("n3"),
        gpus("n2", 2), gpus("n3", 1), backed, asking,
    )  # fmt: skip

    found = cluster.advice(asking).sort(["n1", "n2", "n3"])

    assert found.kept == ["n1", "n2"]
    assert list(found.hopeless) == ["n3"]
    assert "example.com/gpu" in found.hopeless["n3"]
