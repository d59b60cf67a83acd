"""Each rule of the checker: a correct plan passes, the same plan with one thing wrong is reported under that rule."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.core import names, verify
from scheduler.core.config import Ownership
from scheduler.core.gates import Gates
from scheduler.core.model import (
    ALL,
    NO_EXECUTE,
    Allocation,
    AllocationConfig,
    ClaimConfig,
    ClaimSpec,
    Consumer,
    HostPort,
    Node,
    NodeSelector,
    NodeSelectorTerm,
    Pod,
    PodClaim,
    TaintRule,
    Toleration,
    Uid,
    Version,
)
from scheduler.core.plan import NO_FIT, Unplaced
from scheduler.core.verify import violations
from tests.build import (
    DRIVER,
    allocated,
    allocation,
    claim,
    device,
    device_class,
    gpus,
    match,
    namespace,
    node,
    node_selector,
    on_node,
    placement,
    plan,
    pod,
    pod_uid,
    repels,
    request,
    requirement,
    result,
    slice_of,
    spread,
    taint,
    taint_rule,
    term,
    toleration,
    world,
)
from tests.verify.scenes import BOTH, FIRST, Cases, Scene, bare, devices, found, joining, scene

CASES = Cases()
breaks = CASES.breaks


# ---------------------------------------------------------------- the pod


@breaks(verify.POD)
def a_pod_of_another_scheduler() -> tuple[Scene, Scene]:
    return bare(), bare(pod=pod("p", scheduler="default-scheduler"))


@breaks(verify.POD)
def a_pod_that_is_bound_already() -> tuple[Scene, Scene]:
    return bare(), bare(pod=pod("p", node="n2", phase="Unknown"))


@breaks(verify.POD)
def a_pod_that_is_being_deleted() -> tuple[Scene, Scene]:
    return bare(), bare(pod=pod("p", deleting=True))


@breaks(verify.POD)
def a_pod_that_has_ended() -> tuple[Scene, Scene]:
    return bare(), bare(pod=pod("p", phase="Failed"))


@breaks(verify.POD)
def a_pod_placed_twice() -> tuple[Scene, Scene]:
    good = bare(node("n1"), node("n2"))
    again = plan(placement(pod("p"), "n1"), placement(pod("p"), "n2"))
    return good, (good[0], again)


@breaks(verify.POD)
def a_pod_that_nobody_knows() -> tuple[Scene, Scene]:
    good = bare()
    return good, (good[0], plan(*good[1].placements, placement(pod("ghost"), "n1")))


@breaks(verify.POD)
def a_pod_both_placed_and_pending() -> tuple[Scene, Scene]:
    the_world, the_plan = bare(pod("q"))
    pending = Unplaced(pod_uid("q"), NO_FIT, "0 of 1 nodes")
    return (
        (the_world, replace(the_plan, unplaced=(pending,))),
        (the_world, replace(the_plan, unplaced=(pending, replace(pending, pod=pod_uid("p"))))),
    )


@breaks(verify.GATES)
def a_gated_pod() -> tuple[Scene, Scene]:
    return bare(), bare(pod=pod("p", gates=["example.com/wait"]))


# ---------------------------------------------------------------- the node


@breaks(verify.NODE)
def a_node_that_does_not_exist() -> tuple[Scene, Scene]:
    return bare(), bare(where="n2")


@breaks(verify.OWNERSHIP)
def a_node_that_is_not_ours() -> tuple[Scene, Scene]:
    strange = node("n1", owned=False)
    return bare(strange, ownership=Ownership(all_nodes=True)), bare(strange)


@breaks(verify.OWNERSHIP)
def a_node_disowned_by_its_label() -> tuple[Scene, Scene]:
    return bare(node("n1", labels={names.OWNED: "yes"})), bare(node("n1", labels={names.OWNED: "false"}))


@breaks(verify.OWNERSHIP)
def a_driver_that_is_not_ours() -> tuple[Scene, Scene]:
    return (
        scene(ownership=Ownership(drivers=frozenset({DRIVER}))),
        scene(ownership=Ownership(drivers=frozenset({"nic.example.com"}))),
    )


@breaks(verify.OWNERSHIP)
def a_device_class_that_is_not_ours() -> tuple[Scene, Scene]:
    return (
        scene(ownership=Ownership(device_classes=frozenset({"gpu"}))),
        scene(ownership=Ownership(device_classes=frozenset({"nic"}))),
    )


@breaks(verify.UNSCHEDULABLE)
def an_unschedulable_node() -> tuple[Scene, Scene]:
    closed = node("n1", unschedulable=True)
    tolerant = pod("p", tolerations=[toleration("node.kubernetes.io/unschedulable")])
    return bare(closed, pod=tolerant), bare(closed)


@breaks(verify.NODE_TAINT)
def a_taint_with_another_value_than_tolerated() -> tuple[Scene, Scene]:
    tainted = node("n1", taints=[taint("team", "red"), taint("soft", effect="PreferNoSchedule")])
    return (
        bare(tainted, pod=pod("p", tolerations=[toleration("team", "red")])),
        bare(tainted, pod=pod("p", tolerations=[toleration("team", "blue")])),
    )


@breaks(verify.NODE_TAINT)
def a_taint_with_another_effect_than_tolerated() -> tuple[Scene, Scene]:
    tainted = node("n1", taints=[taint("team", "red", NO_EXECUTE)])
    return (
        bare(tainted, pod=pod("p", tolerations=[toleration("team", effect=NO_EXECUTE)])),
        bare(tainted, pod=pod("p", tolerations=[toleration("team", effect="NoSchedule")])),
    )


COMPARED = [
    ("Gt", "4", True), ("Gt", "5", False), ("Lt", "6", True), ("Lt", "5", False), ("Gt", "-4", True),
    ("Gt", "+4", False), ("Gt", "04", False), ("Gt", "", False), ("Lt", "9223372036854775808", False),
    ("Near", "5", False),
]  # fmt: skip


@breaks(verify.NODE_TAINT)
def a_toleration_with_an_operator_that_is_not_understood() -> tuple[Scene, Scene]:
    tainted = node("n1", taints=[taint("age", "5")])
    return (
        bare(tainted, pod=pod("p", tolerations=[toleration("age", "5", operator="")])),
        bare(tainted, pod=pod("p", tolerations=[toleration("age", "5", operator="Gt")])),
    )


@pytest.mark.parametrize(("operator", "value", "holds"), COMPARED)
def test_numbers_of_taints_are_compared_while_the_gate_is_on(operator, value, holds):
    tainted = node("n1", taints=[taint("age", "5")])
    made, planned = bare(tainted, pod=pod("p", tolerations=[toleration("age", value, operator=operator)]))

    on = found((replace(made, gates=Gates(taint_comparison=True)), planned))

    assert [each.rule for each in on] == ([] if holds else [verify.NODE_TAINT])
    assert [each.rule for each in found((made, planned))] == [verify.NODE_TAINT]


@pytest.mark.parametrize("compare", [False, True])
def test_domains_of_tolerated_numbers_count_in_spread_while_the_gate_is_on(compare):
    """Only while n2 counts is its domain the emptier one."""
    nodes = [node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "b"}, taints=[taint("age", "5")])]
    even = pod(
        "p",
        labels={"app": "web"},
        spreads=[spread(requirement("app", "In", "web"), node_taints=True)],
        tolerations=[toleration("age", "4", operator="Gt")],
    )
    made, planned = bare(*nodes, pod("q", node="n1", labels={"app": "web"}), pod=even)

    told = found((replace(made, gates=Gates(taint_comparison=compare)), planned))

    assert [each.rule for each in told] == ([verify.SPREAD] if compare else [])


@breaks(verify.NODE_FEATURES)
def a_feature_that_the_node_does_not_declare() -> tuple[Scene, Scene]:
    asking = pod("p", features=["VolumeBindMountOptions"])
    return bare(node("n1", features=["VolumeBindMountOptions", "Other"]), pod=asking), bare(
        node("n1", features=["Other"]), pod=asking
    )


@breaks(verify.NOMINATED)
def room_that_is_kept_for_a_nominated_pod() -> tuple[Scene, Scene]:
    asking, small = pod("p", cpu=1000, priority=5), node("n1", cpu=3000)
    return (
        bare(small, pod("other", cpu=2500, priority=4, nominated="n1"), pod=asking),
        bare(small, pod("other", cpu=2500, priority=5, nominated="n1"), pod=asking),
    )


@breaks(verify.NODE_SELECTOR)
def a_label_of_another_value() -> tuple[Scene, Scene]:
    asking = pod("p", selector={"zone": "a"})
    return bare(node("n1", labels={"zone": "a"}), pod=asking), bare(node("n1", labels={"zone": "b"}), pod=asking)


def affine(*requirements: Any, fields: Any = ()) -> Pod:
    return pod("p", affinity=node_selector(term(*requirements, fields=fields)))


HELD_AND_NOT = [
    (requirement("zone", "In", "a", "b"), requirement("zone", "In", "b", "c")),
    (requirement("zone", "NotIn", "b"), requirement("zone", "NotIn", "a")),
    (requirement("other", "NotIn", "b"), requirement("other", "In", "b")),
    (requirement("zone", "Exists"), requirement("other", "Exists")),
    (requirement("other", "DoesNotExist"), requirement("zone", "DoesNotExist")),
    (requirement("size", "Gt", "9"), requirement("size", "Gt", "10")),
    (requirement("size", "Lt", "11"), requirement("size", "Lt", "10")),
    (requirement("size", "Gt", "-1"), requirement("zone", "Gt", "-1")),
    (requirement("size", "Lt", "+9223372036854775807"), requirement("size", "Lt", "9223372036854775808")),
    (requirement("size", "Gt", "9"), requirement("size", "Gt", "1_0")),
    (requirement("size", "Gt", "9"), requirement("other", "Gt", "9")),
    (requirement("size", "Gt", "9"), requirement("size", "Gt", "8", "9")),
    (requirement("size", "Gt", "9"), requirement("size", "Gt", "")),
    (requirement("size", "Exists"), requirement("size", "Approximately", "11")),
]


@pytest.mark.parametrize(("held", "not_held"), HELD_AND_NOT, ids=lambda wanted: f"{wanted.key}-{wanted.operator}")
def test_required_affinity_reads_every_operator(held, not_held):
    labelled = node("n1", labels={"zone": "a", "size": "10"})

    good, bad = found(bare(labelled, pod=affine(held))), found(bare(labelled, pod=affine(held, not_held)))

    assert good == []
    assert [one.rule for one in bad] == [verify.NODE_AFFINITY]


@breaks(verify.NODE_AFFINITY)
def an_affinity_for_another_node_name() -> tuple[Scene, Scene]:
    return (
        bare(pod=affine(fields=[requirement("metadata.name", "In", "n1")])),
        bare(pod=affine(fields=[requirement("metadata.name", "NotIn", "n1")])),
    )


@breaks(verify.NODE_AFFINITY)
def an_affinity_for_an_unknown_field() -> tuple[Scene, Scene]:
    return (
        bare(pod=affine(fields=[requirement("metadata.name", "NotIn", "n2")])),
        bare(pod=affine(fields=[requirement("metadata.namespace", "NotIn", "n2")])),
    )


@breaks(verify.NODE_AFFINITY)
def an_affinity_that_compares_names_as_numbers() -> tuple[Scene, Scene]:
    return (
        bare(node("7"), pod=affine(fields=[requirement("metadata.name", "In", "7")]), where="7"),
        bare(node("7"), pod=affine(fields=[requirement("metadata.name", "Gt", "6")]), where="7"),
    )


@breaks(verify.NODE_AFFINITY)
def an_affinity_without_a_term_that_can_hold() -> tuple[Scene, Scene]:
    fits = term(requirement(names.OWNED, "Exists"))
    return (
        bare(pod=pod("p", affinity=node_selector(NodeSelectorTerm(), fits))),
        bare(pod=pod("p", affinity=node_selector(NodeSelectorTerm()))),
    )


@breaks(verify.RESOURCES)
def one_thousandth_of_a_core_too_much() -> tuple[Scene, Scene]:
    small = node("n1", cpu=1000)
    others = [
        pod("busy", node="n1", cpu=600, scheduler="default-scheduler", deleting=True),
        pod("ended", node="n1", cpu=600, phase="Succeeded"),
        pod("elsewhere", node="n2", cpu=600),
    ]
    return bare(small, *others, pod=pod("p", cpu=400)), bare(small, *others, pod=pod("p", cpu=401))


@breaks(verify.RESOURCES)
def a_scalar_resource_that_the_node_lacks() -> tuple[Scene, Scene]:
    asking = pod("p", requests={"example.com/fpga": 1})
    return bare(node("n1", **{"example.com/fpga": 1}), pod=asking), bare(pod=asking)


@breaks(verify.RESOURCES)
def one_pod_too_many() -> tuple[Scene, Scene]:
    other = pod("q", node="n1")
    return bare(node("n1", pods=2), other), bare(node("n1", pods=1), other)


def test_a_pod_that_asks_for_pods_counts_once():
    both = [node("n1", pods=2), pod("q", node="n1", requests={"pods": 1})]

    assert found(bare(*both, pod=pod("p", requests={"pods": 1}))) == []


@breaks(verify.RESOURCES)
def memory_that_an_earlier_placement_took() -> tuple[Scene, Scene]:
    small = node("n1", memory=100)
    one, other = pod("p", memory=60), pod("q", memory=40)
    both = plan(placement(one), placement(other))
    greedy = pod("q", memory=41)
    return (world(one, other, small), both), (world(one, greedy, small), both)


def test_asking_for_nothing_fits_on_a_node_that_is_over_its_limit():
    crowded = [node("n1", cpu=100), pod("q", node="n1", cpu=200)]

    assert found(bare(*crowded, pod=pod("p", requests={"cpu": 0}))) == []


def zoned(*names: str) -> list[Node]:
    """Nodes of one zone."""
    return [node(name, labels={"zone": "a"}) for name in names]


@breaks(verify.ANTI_AFFINITY)
def a_running_pod_that_repels_it() -> tuple[Scene, Scene]:
    shy = repels(requirement("app", "In", "web"), requirement("canary", "DoesNotExist"), namespaces=["default"])
    crowd = [*zoned("n1", "n2"), pod("q", node="n2", repels=[shy])]
    return (
        bare(*crowd, pod=pod("p", labels={"app": "web", "canary": ""})),
        bare(*crowd, pod=pod("p", labels={"app": "web"})),
    )


@breaks(verify.ANTI_AFFINITY)
def a_pod_repelled_from_every_namespace() -> tuple[Scene, Scene]:
    return (
        bare(*zoned("n1", "n2"), pod("q", node="n2", repels=[repels(namespaces=["other"])])),
        bare(*zoned("n1", "n2"), pod("q", node="n2", repels=[repels(namespaces=(), named=())])),
    )


@breaks(verify.ANTI_AFFINITY)
def a_pod_of_a_namespace_that_is_repelled_by_its_labels() -> tuple[Scene, Scene]:
    shy = repels(namespaces=(), named=[requirement("team", "In", "red")])
    crowd = [*zoned("n1", "n2"), pod("q", node="n2", repels=[shy])]
    return bare(*crowd, namespace(team="blue")), bare(*crowd, namespace(team="red"))


@breaks(verify.ANTI_AFFINITY)
def a_pod_repelled_in_its_zone_and_not_elsewhere() -> tuple[Scene, Scene]:
    other = pod("q", node="n2", repels=[repels()])
    apart = [node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "b"})]
    return bare(*apart, other), bare(*zoned("n1", "n2"), other)


@breaks(verify.POD_AFFINITY)
def a_pod_away_from_those_it_is_to_be_with() -> tuple[Scene, Scene]:
    shy = pod("p", attracts=[repels(requirement("app", "In", "web"))])
    other = pod("q", node="n2", labels={"app": "web"})
    apart = [node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "b"})]
    return bare(*zoned("n1", "n2"), other, pod=shy), bare(*apart, other, pod=shy)


@breaks(verify.POD_AFFINITY)
def a_first_pod_on_a_node_without_the_topology_key() -> tuple[Scene, Scene]:
    first = pod("p", attracts=[repels()])
    return bare(*zoned("n1"), pod=first), bare(node("n1"), pod=first)


@breaks(verify.HOST_PORTS)
def a_host_port_that_is_taken() -> tuple[Scene, Scene]:
    mine = pod("p", ports=[HostPort(80, "TCP", "10.0.0.1")])
    return (
        bare(node("n1"), pod("q", node="n1", ports=[HostPort(80, "TCP", "10.0.0.2")]), pod=mine),
        bare(node("n1"), pod("q", node="n1", ports=[80]), pod=mine),
    )


@breaks(verify.SPREAD)
def a_pod_in_the_fuller_zone() -> tuple[Scene, Scene]:
    apart = [node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "b"})]
    even = pod("p", labels={"app": "web"}, spreads=[spread(requirement("app", "In", "web"))])
    others = [pod("q", node="n1", labels={"app": "web"}), pod("r", node="n2", labels={"app": "web"})]
    return bare(*apart, *others, pod=even), bare(*apart, *others[:1], pod=even)


@breaks(verify.SPREAD)
def a_pod_on_a_node_outside_the_topology() -> tuple[Scene, Scene]:
    wish = [spread(hard=False)]
    return bare(node("n1"), pod=pod("p", spreads=wish)), bare(node("n1"), pod=pod("p", spreads=[spread()]))


@breaks(verify.ANTI_AFFINITY)
def a_pod_that_repels_one_placed_before_it() -> tuple[Scene, Scene]:
    first, shy = pod("p", labels={"app": "web"}), pod("q", repels=[repels(requirement("app", "In", "web"))])
    both = plan(placement(first, "n1"), placement(shy, "n2"))
    nodes = zoned("n1", "n2")
    plain = pod("p")
    return (world(plain, shy, *nodes), both), (world(first, shy, *nodes), both)


# ---------------------------------------------------------------- which claims


@breaks(verify.CLAIMS)
def a_claim_left_out() -> tuple[Scene, Scene]:
    good = scene()
    return good, (good[0], plan(placement(pod("p"), "n1")))


@breaks(verify.CLAIMS)
def a_claim_that_does_not_exist() -> tuple[Scene, Scene]:
    return scene(), bare(pod=pod("p", claims=["c"]))


@breaks(verify.CLAIMS)
def a_claim_of_the_same_name_in_another_namespace() -> tuple[Scene, Scene]:
    return scene(), bare(claim("c", namespace="other"), pod=pod("p", claims=["c"]))


@breaks(verify.CLAIMS)
def a_claim_of_another_pod() -> tuple[Scene, Scene]:
    mine, other = claim("c"), claim("d")
    user = pod("p", claims=["c"])
    around = world(user, mine, other, node("n1"), gpus("n1", 2))
    pairs = [(mine, FIRST), (other, allocation(result("gpu-1")))]
    return (around, plan(placement(user, "n1", pairs[:1]))), (around, plan(placement(user, "n1", pairs)))


@breaks(verify.CLAIMS)
def claims_that_nobody_knows() -> tuple[Scene, Scene]:
    good = scene()
    known = good[1].placements[0]
    allocations = {**known.allocations, Uid("gone"): allocation(result("gpu-1"))}
    return good, (good[0], plan(replace(known, allocations=allocations, joined=(Uid("gone, too"),))))


@breaks(verify.CLAIMS)
def a_claim_whose_deletion_has_begun() -> tuple[Scene, Scene]:
    return scene(), scene(claim=claim("c", deleting=True))


@breaks(verify.CLAIMS)
def a_template_claim_that_another_pod_owns() -> tuple[Scene, Scene]:
    user = pod("p", templates={"gpu": "p-gpu"})
    return (
        scene(pod=user, claim=claim("p-gpu", owner="p")),
        scene(pod=user, claim=claim("p-gpu", owner="q")),
    )


@breaks(verify.CLAIMS)
def a_template_claim_that_is_not_made_yet() -> tuple[Scene, Scene]:
    unmade = replace(pod("p"), claims=(PodClaim("gpu", None, "t"),))
    return bare(pod=replace(unmade, claim_names={"gpu": None})), bare(pod=unmade)


@breaks(verify.CLAIMS)
def a_claim_that_is_allocated_already() -> tuple[Scene, Scene]:
    return scene(), scene(claim=replace(claim("c"), allocation=allocation()), given=FIRST)


@breaks(verify.CLAIMS)
def a_claim_both_allocated_and_joined() -> tuple[Scene, Scene]:
    good = scene()
    twice = placement(pod("p"), "n1", [(claim("c"), FIRST)], joined=[claim("c")])
    # The allocation comes second, so that joining is wrong on its own too: exactly one of the two is right.
    rest = allocated(claim("c"), result("gpu-0"))
    joined_twice = world(pod("p", claims=["c"]), rest, node("n1"), gpus("n1", 2))
    assert {one.rule for one in found((good[0], plan(twice)))} == {verify.CLAIMS, verify.JOINED}
    return good, (joined_twice, plan(placement(pod("p"), "n1", joined=[rest, rest])))


def test_two_entries_that_mean_one_claim_are_one_claim():
    user = replace(pod("p"), claims=(PodClaim("a", "c", None), PodClaim("b", "c", None)))

    assert found(scene(pod=user)) == []


@breaks(verify.JOINED)
def a_joined_claim_without_an_allocation() -> tuple[Scene, Scene]:
    return joining(allocated(claim("c"), result("gpu-0"))), joining(claim("c"))


@breaks(verify.JOINED)
def a_joined_claim_that_is_usable_elsewhere() -> tuple[Scene, Scene]:
    return (
        joining(allocated(claim("c"), result("nic", pool="net"), everywhere=True)),
        joining(allocated(claim("c"), result("gpu-0"), node="n2")),
    )


@breaks(verify.IN_USE)
def a_joined_claim_whose_device_another_claim_has_too() -> tuple[Scene, Scene]:
    shared = allocated(claim("c"), result("gpu-0"))
    return (
        joining(
            shared, allocated(claim("d"), result("gpu-1")), allocated(claim("e"), result("gpu-0", admin_access=True))
        ),
        joining(shared, allocated(claim("d"), result("gpu-0"))),
    )


def test_a_claim_may_be_joined_after_an_earlier_placement_allocated_it():
    one, other, shared = pod("p", claims=["c"]), pod("q", claims=["c"]), claim("c")
    around = world(one, other, shared, node("n1"), node("n2"), gpus("n1", 2))
    first = placement(one, "n1", [(shared, FIRST)])

    assert found((around, plan(first, placement(other, "n1", joined=[shared])))) == []
    late = found((around, plan(first, placement(other, "n2", joined=[shared]))))
    assert [one.rule for one in late] == [verify.JOINED]


@breaks(verify.RESERVED)
def one_consumer_too_many() -> tuple[Scene, Scene]:
    crowd = [Consumer("pods", f"q{i}", Uid(f"q{i}")) for i in range(256)]
    full = replace(allocated(claim("c"), result("gpu-0")), reserved_for=tuple(crowd))
    with_us = replace(full, reserved_for=(*crowd[:255], Consumer("pods", "p", pod_uid("p"))))
    return joining(with_us), joining(full)


@breaks(verify.DEVICE_TAINT)
def a_joined_device_from_which_pods_are_evicted() -> tuple[Scene, Scene]:
    shared = allocated(claim("c"), result("gpu-0"))
    evicts = taint_rule(effect=NO_EXECUTE, device="gpu-0")
    only_keeps_off = taint_rule(device="gpu-0")
    return joining(shared, only_keeps_off), joining(shared, evicts)


@breaks(verify.DEVICE_TAINT)
def a_joined_device_that_its_newest_generation_taints() -> tuple[Scene, Scene]:
    shared = allocated(claim("c"), result("nic", pool="net"), everywhere=True)
    evicting, harmless = [taint("worn", effect=NO_EXECUTE)], [taint("worn")]

    def published(old: Any, new: Any) -> Scene:
        slices = [
            devices(device("nic", taints=old), all_nodes=True, pool="net", generation=1),
            devices(device("other", taints=evicting), device("nic", taints=new), node="n1", pool="net", generation=2),
        ]
        return joining(shared, *slices)

    return published(evicting, harmless), published(harmless, evicting)


def test_a_pod_that_has_reserved_its_claim_already_keeps_it_whatever_taint_its_device_gets():
    shared = allocated(claim("c"), result("gpu-0"), reserved_for=["p"])

    assert found(joining(shared, taint_rule(effect=NO_EXECUTE))) == []


# ---------------------------------------------------------------- what is asked for


@breaks(verify.CLASS)
def a_class_that_does_not_exist() -> tuple[Scene, Scene]:
    return scene(device_class("gpu")), scene(device_class("nic"))


@breaks(verify.COUNT)
def one_device_too_few() -> tuple[Scene, Scene]:
    two = claim("c", count=2)
    return scene(claim=two, given=allocation(result("gpu-0"), result("gpu-1"))), scene(claim=two)


@breaks(verify.COUNT)
def one_device_too_many() -> tuple[Scene, Scene]:
    return scene(), scene(given=allocation(result("gpu-0"), result("gpu-1")))


TWO_REQUESTS = claim("c", request("a"), request("b"))


@breaks(verify.REQUESTS)
def results_in_another_order_than_their_requests() -> tuple[Scene, Scene]:
    a, b = result("gpu-0", "a"), result("gpu-1", "b")
    return scene(claim=TWO_REQUESTS, given=allocation(a, b)), scene(claim=TWO_REQUESTS, given=allocation(b, a))


@breaks(verify.REQUESTS)
def a_result_for_a_request_that_nobody_made() -> tuple[Scene, Scene]:
    return scene(), scene(given=allocation(result("gpu-0"), result("gpu-1", "other")))


@breaks(verify.LIMITS)
def more_than_thirty_two_results() -> tuple[Scene, Scene]:
    def many(count: int) -> Scene:
        given = allocation(*(result(f"gpu-{i}") for i in range(count)))
        return scene(gpus("n1", count), claim=claim("c", count=count), given=given)

    return many(32), many(33)


@breaks(verify.LIMITS)
def more_than_sixty_four_config_entries() -> tuple[Scene, Scene]:
    def many(count: int) -> Scene:
        entries = [ClaimConfig((), f'{{"opaque":{i}}}') for i in range(count)]
        given = [AllocationConfig("FromClaim", (), entry.entry) for entry in entries]
        return scene(claim=claim("c", config=entries), given=allocation(result("gpu-0"), config=given))

    return many(64), many(65)


EVERY_GPU = claim("c", request("r", all=True))


@breaks(verify.ALL_DEVICES)
def all_but_one() -> tuple[Scene, Scene]:
    return scene(claim=EVERY_GPU, given=BOTH), scene(claim=EVERY_GPU)


@breaks(verify.ALL_DEVICES)
def all_of_none() -> tuple[Scene, Scene]:
    return (
        scene(claim=EVERY_GPU, given=BOTH),
        scene(gpus("n1", 0), claim=EVERY_GPU, given=allocation()),
    )


@breaks(verify.ALL_DEVICES)
def all_while_a_pool_of_another_driver_is_torn() -> tuple[Scene, Scene]:
    def beside(count: int) -> Scene:
        nics = slice_of([device("nic-0")], node="n1", driver="nic.example.com", slice_count=count)
        return scene(gpus("n1", 2), nics, claim=EVERY_GPU, given=BOTH)

    return beside(1), beside(2)


def test_all_means_all_that_the_node_can_use():
    elsewhere = [
        gpus("n2", 2),
        slice_of([device("x")], selector=node_selector(term(requirement("zone", "In", "a"))), pool="zone"),
        slice_of([device("y")], node="n1", pool="gone", generation=1, slice_count=2, name="obsolete"),
        slice_of([device("y")], node="n2", pool="gone", generation=2, name="current"),
    ]

    assert found(scene(gpus("n1", 2), *elsewhere, claim=EVERY_GPU, given=BOTH)) == []


def test_all_takes_what_every_node_can_use_too():
    anywhere = slice_of([device("nic")], all_nodes=True, pool="net")
    three = allocation(result("gpu-0"), result("gpu-1"), result("nic", pool="net"), node="n1")

    assert found(scene(gpus("n1", 2), anywhere, claim=EVERY_GPU, given=three)) == []


@breaks(verify.IN_USE)
def all_while_one_is_in_use() -> tuple[Scene, Scene]:
    def with_other(admin: bool) -> Scene:
        other = allocated(claim("d"), result("gpu-1", admin_access=admin))
        return scene(other, claim=EVERY_GPU, given=BOTH)

    return with_other(admin=True), with_other(admin=False)


# ---------------------------------------------------------------- which devices


@breaks(verify.IN_USE)
def a_device_of_another_namespaces_claim() -> tuple[Scene, Scene]:
    return (
        scene(allocated(claim("d", namespace="other"), result("gpu-1"))),
        scene(allocated(claim("d", namespace="other", deleting=True), result("gpu-0"))),
    )


@breaks(verify.IN_USE)
def one_device_twice_in_a_claim() -> tuple[Scene, Scene]:
    def of(one: str, other: str) -> Scene:
        return scene(claim=TWO_REQUESTS, given=allocation(result(one, "a"), result(other, "b")))

    return of("gpu-0", "gpu-1"), of("gpu-0", "gpu-0")


@breaks(verify.IN_USE)
def one_device_in_two_claims_of_a_plan() -> tuple[Scene, Scene]:
    def of(one: str, other: str) -> Scene:
        pods = [pod("p", claims=["c"]), pod("q", claims=["d"])]
        claims = [claim("c"), claim("d")]
        steps = [
            placement(pods[0], "n1", [(claims[0], allocation(result(one)))]),
            placement(pods[1], "n1", [(claims[1], allocation(result(other)))]),
        ]
        return world(*pods, *claims, node("n1"), gpus("n1", 2)), plan(*steps)

    return of("gpu-0", "gpu-1"), of("gpu-0", "gpu-0")


@breaks(verify.DEVICE)
def a_device_that_is_not_published() -> tuple[Scene, Scene]:
    return scene(), scene(given=allocation(result("gpu-2")))


@breaks(verify.DEVICE)
def a_device_of_another_node() -> tuple[Scene, Scene]:
    around = [node("n1"), node("n2"), gpus("n1", 2), gpus("n2", 2)]
    return scene(*around), scene(*around, where="n2")


@breaks(verify.DEVICE)
def a_device_of_nodes_that_are_selected_otherwise() -> tuple[Scene, Scene]:
    zone = node_selector(term(requirement("zone", "In", "a")))
    given = Allocation((result("nic", pool="net"),), zone)
    shared = devices(device("nic"), selector=zone, pool="net")
    return (
        scene(node("n1", labels={"zone": "a"}), shared, given=given),
        scene(node("n1", labels={"zone": "b"}), shared, given=given),
    )


@breaks(verify.DEVICE)
def a_device_of_a_torn_pool() -> tuple[Scene, Scene]:
    half = gpus("n1", 2, slice_count=2, name="half")
    rest = gpus("n1", 2, slice_count=2, name="rest", first=2)
    return scene(half, rest), scene(half)


@breaks(verify.DEVICE)
def a_device_of_a_pool_with_more_slices_than_it_says() -> tuple[Scene, Scene]:
    one, other = gpus("n1", 1, name="one"), gpus("n1", 1, name="other", first=1)
    return scene(one), scene(one, other)


@breaks(verify.DEVICE)
def a_device_that_only_an_older_generation_lists() -> tuple[Scene, Scene]:
    old, new = gpus("n1", 2, name="old", generation=1), gpus("n1", 1, name="new", generation=2, first=1)
    return scene(old, new, given=allocation(result("gpu-1"))), scene(old, new)


@breaks(verify.DEVICE)
def a_device_of_a_part_that_a_newer_generation_elsewhere_makes_obsolete() -> tuple[Scene, Scene]:
    def published(generation: int) -> Scene:
        here = slice_of([device("gpu-0")], node="n1", pool="n1", slice_count=2, name="here")
        there = slice_of([device("x")], node="n2", pool="n1", slice_count=2, name="there", generation=generation)
        return scene(here, there)

    return published(1), published(2)


def test_a_stale_generation_that_is_complete_on_the_node_is_still_used():
    here = slice_of([device("gpu-0")], node="n1", pool="n1", slice_count=1, name="here")
    there = slice_of([device("x")], node="n2", pool="n1", slice_count=1, name="there", generation=2)

    assert found(scene(here, there)) == []


@breaks(verify.DEVICE)
def a_device_of_a_pool_that_lists_names_twice() -> tuple[Scene, Scene]:
    def published(second: str) -> Scene:
        one = devices(device("gpu-0"), node="n1", slice_count=2, name="one")
        return scene(one, devices(device(second), device("z"), node="n1", slice_count=2, name="two"))

    return published("gpu-1"), published("gpu-0")


def test_the_report_says_why_a_pool_is_out_of_reach():
    (torn,) = found(scene(gpus("n1", 2, slice_count=3)))

    assert torn.where == "claim default/c for pod default/p on node n1, device gpu.example.com/n1/gpu-0"
    assert torn.text == "pool n1 of driver gpu.example.com is incomplete: 1 of 3 slices of generation 1"


@breaks(verify.SELECTOR)
def a_device_that_the_request_does_not_select() -> tuple[Scene, Scene]:
    return scene(claim=claim("c", selectors=["index < 1"])), scene(claim=claim("c", selectors=["index < 0"]))


@breaks(verify.SELECTOR)
def a_device_that_the_class_does_not_select() -> tuple[Scene, Scene]:
    return scene(device_class("gpu", "index < 1")), scene(device_class("gpu", driver="nic.example.com"))


@breaks(verify.SELECTOR)
def a_device_on_which_a_selector_fails() -> tuple[Scene, Scene]:
    picky = claim("c", selectors=["index < 1"])
    bare_device = device("gpu-0")
    return (
        scene(devices(device("gpu-0", {"index": 0}), device("gpu-1")), claim=picky),
        scene(devices(bare_device, device("gpu-1", {"index": 0})), claim=picky),
    )


@breaks(verify.DEVICE_TAINT)
def a_device_with_a_taint_of_its_own() -> tuple[Scene, Scene]:
    worn = taint("worn", "very")
    part = devices(device("gpu-0", taints=[worn, taint("note", effect="None")]))
    tolerant = [toleration("worn", "very")]
    return (
        scene(
            part,
            claim=claim("c", request("r", tolerations=tolerant)),
            given=allocation(result("gpu-0", tolerations=tuple(tolerant))),
        ),
        scene(part),
    )


def tainted_by(rule: TaintRule) -> Scene:
    return scene(rule)


@breaks(verify.DEVICE_TAINT)
def a_device_that_a_rule_taints() -> tuple[Scene, Scene]:
    return (
        tainted_by(taint_rule(driver=DRIVER, pool="n1", device="gpu-1")),
        tainted_by(taint_rule(driver=DRIVER, pool="n1", device="gpu-0")),
    )


@breaks(verify.DEVICE_TAINT)
def a_device_under_a_rule_that_selects_everything() -> tuple[Scene, Scene]:
    return tainted_by(taint_rule(selects=False)), tainted_by(taint_rule())


@breaks(verify.DEVICE_TAINT)
def a_device_of_a_tainted_driver() -> tuple[Scene, Scene]:
    return tainted_by(taint_rule(driver="nic.example.com")), tainted_by(taint_rule(driver=DRIVER))


@breaks(verify.NODE_TAINT)
def a_toleration_of_another_key() -> tuple[Scene, Scene]:
    tainted = node("n1", taints=[taint("team", "red")])
    return (
        bare(tainted, pod=pod("p", tolerations=[toleration()])),
        bare(tainted, pod=pod("p", tolerations=[toleration("crew", "red")])),
    )


@breaks(verify.DEVICE_TAINT)
def a_device_of_a_tainted_pool() -> tuple[Scene, Scene]:
    return tainted_by(taint_rule(pool="n2")), tainted_by(taint_rule(pool="n1"))


@breaks(verify.DEVICE_TAINT)
def a_taint_beside_the_one_that_keeps_other_schedulers_off() -> tuple[Scene, Scene]:
    return tainted_by(taint_rule(key=names.OWNED)), tainted_by(taint_rule(key=names.OWNED + "-by-somebody"))


@breaks(verify.CONSTRAINT)
def two_devices_that_differ_in_the_matched_attribute() -> tuple[Scene, Scene]:
    part = devices(*(device(f"gpu-{i}", {"numa": numa}) for i, numa in enumerate([0, 1, 1])))
    pair = claim("c", count=2, constraints=[match("numa")])
    return (
        scene(part, claim=pair, given=allocation(result("gpu-1"), result("gpu-2"))),
        scene(part, claim=pair, given=allocation(result("gpu-0"), result("gpu-1"))),
    )


@breaks(verify.CONSTRAINT)
def a_single_device_without_the_matched_attribute() -> tuple[Scene, Scene]:
    matched = claim("c", constraints=[match("numa")])
    return (
        scene(devices(device("gpu-0", {DRIVER + "/numa": 0})), claim=matched),
        scene(devices(device("gpu-0", {"other.com/numa": 0})), claim=matched),
    )


def test_a_device_that_is_not_there_matches_nothing_and_hides_nothing():
    pair = claim("c", count=2, constraints=[match("numa")])

    reported = found(scene(claim=pair, given=allocation(result("gpu-9"), result("gpu-0"))))

    assert {one.rule for one in reported} == {verify.DEVICE, verify.CONSTRAINT}


@breaks(verify.CONSTRAINT)
def values_of_different_types() -> tuple[Scene, Scene]:
    pair = claim("c", count=2, constraints=[match("driverVersion")])

    def of(one: Any, other: Any) -> Scene:
        return scene(devices(device("gpu-0", {"driverVersion": one}), device("gpu-1", {"driverVersion": other})),
                     claim=pair, given=BOTH)  # fmt: skip

    assert [one.rule for one in found(of(1, True))] == [verify.CONSTRAINT]
    return of(Version("1.0.0"), Version("1.0.0")), of(Version("1.0.0"), "1.0.0")


@breaks(verify.CONSTRAINT)
def a_constraint_on_the_requests_that_it_names() -> tuple[Scene, Scene]:
    part = devices(*(device(f"gpu-{i}", {"numa": numa}) for i, numa in enumerate([0, 1, 0])))
    given = allocation(result("gpu-0", "a"), result("gpu-1", "b"), result("gpu-2", "c"))

    def over(*matched: str) -> Scene:
        asked = claim("c", request("a"), request("b"), request("c"), constraints=[match("numa", *matched)])
        return scene(part, claim=asked, given=given)

    return over("a", "c"), over("a", "b")


# ---------------------------------------------------------------- what else an allocation says


@breaks(verify.TOLERATIONS)
def a_result_without_its_requests_tolerations() -> tuple[Scene, Scene]:
    tolerated: tuple[Toleration, ...] = (toleration("worn", seconds=60),)
    asked = claim("c", request("r", tolerations=tolerated))
    return scene(claim=asked, given=allocation(result("gpu-0", tolerations=tolerated))), scene(claim=asked)


@breaks(verify.USABLE_ON)
def an_allocation_of_local_devices_without_a_node() -> tuple[Scene, Scene]:
    return scene(), scene(given=Allocation((result("gpu-0"),), None))


@breaks(verify.USABLE_ON)
def an_allocation_that_names_another_node() -> tuple[Scene, Scene]:
    return scene(), scene(given=allocation(result("gpu-0"), node="n2"))


NETWORK = result("nic", pool="net")


@breaks(verify.USABLE_ON)
def an_allocation_of_shared_devices_tied_to_a_node() -> tuple[Scene, Scene]:
    anywhere = devices(device("nic"), all_nodes=True, pool="net")
    return (
        scene(anywhere, given=Allocation((NETWORK,), None)),
        scene(anywhere, given=Allocation((NETWORK,), on_node("n1"))),
    )


@breaks(verify.USABLE_ON)
def a_device_that_binds_to_its_node_and_an_allocation_that_does_not() -> tuple[Scene, Scene]:
    tying = devices(device("nic", binds_to_node=True), all_nodes=True, pool="net")
    return (
        scene(tying, given=Allocation((NETWORK,), on_node("n1"))),
        scene(tying, given=Allocation((NETWORK,), None)),
    )


@breaks(verify.USABLE_ON)
def an_allocation_that_forgets_one_of_two_selectors() -> tuple[Scene, Scene]:
    in_zone, in_rack = requirement("zone", "In", "a", "b"), requirement("rack", "Exists")
    around = [
        node("n1", labels={"zone": "a", "rack": "7"}),
        devices(device("x"), selector=node_selector(term(in_zone)), pool="one"),
        devices(device("y"), selector=node_selector(term(requirement("zone", "In", "b", "a"), in_rack)), pool="two"),
    ]
    results = (result("x", pool="one"), result("y", pool="two"))
    pair = claim("c", count=2)
    return (
        scene(*around, claim=pair, given=Allocation(results, node_selector(term(in_rack, in_zone)))),
        scene(*around, claim=pair, given=Allocation(results, node_selector(term(in_zone)))),
    )


@breaks(verify.USABLE_ON)
def an_allocation_usable_under_several_terms() -> tuple[Scene, Scene]:
    one_term = on_node("n1")
    return (
        scene(given=Allocation((result("gpu-0"),), one_term)),
        scene(given=Allocation((result("gpu-0"),), NodeSelector(one_term.terms * 2))),
    )


@breaks(verify.USABLE_ON)
def an_allocation_usable_nowhere() -> tuple[Scene, Scene]:
    anywhere = devices(device("nic"), all_nodes=True, pool="net")
    return (
        scene(anywhere, given=Allocation((NETWORK,), None)),
        scene(anywhere, given=Allocation((NETWORK,), NodeSelector((NodeSelectorTerm(),)))),
    )


@breaks(verify.USABLE_ON)
def a_slice_for_nodes_of_several_terms() -> tuple[Scene, Scene]:
    zone_a, zone_b = term(requirement("zone", "In", "a")), term(requirement("zone", "In", "b"))
    here = node("n1", labels={"zone": "a"})

    def of(*terms: NodeSelectorTerm) -> Scene:
        part = devices(device("nic"), selector=NodeSelector(terms), pool="net")
        return scene(here, part, given=Allocation((NETWORK,), node_selector(zone_a)))

    return of(zone_a), of(zone_a, zone_b)


def test_a_claim_without_requests_gets_an_empty_allocation():
    empty = replace(claim("c"), spec=ClaimSpec(()))

    assert found(scene(claim=empty, given=Allocation((), None))) == []


CLASSES = (device_class("gpu", config=["G1", "G2"]), device_class("other", config=["O"]))
THREE = claim(
    "c",
    request("a"),
    request("b", device_class="other"),
    request("d"),
    config=[
        ClaimConfig((), "ALL"),
        ClaimConfig(("b",), "B"),
        ClaimConfig(("nobody",), "LOST"),
        ClaimConfig(("d", "b", "a"), "EACH"),
    ],
)
CONFIGURED = (
    AllocationConfig("FromClass", ("a", "d"), "G1"),
    AllocationConfig("FromClass", ("a", "d"), "G2"),
    AllocationConfig("FromClass", ("b",), "O"),
    AllocationConfig("FromClaim", (), "ALL"),
    AllocationConfig("FromClaim", ("b",), "B"),
    AllocationConfig("FromClaim", (), "EACH"),
)


def configured(*entries: AllocationConfig) -> Scene:
    results = [result("gpu-0", "a"), result("gpu-1", "b"), result("gpu-2", "d")]
    return scene(*CLASSES, gpus("n1", 3), claim=THREE, given=allocation(*results, config=entries))


@breaks(verify.CONFIG)
def a_config_entry_left_out() -> tuple[Scene, Scene]:
    return configured(*CONFIGURED), configured(*CONFIGURED[:-1])


@breaks(verify.CONFIG)
def config_of_the_claim_before_that_of_the_class() -> tuple[Scene, Scene]:
    return configured(*CONFIGURED), configured(*CONFIGURED[3:], *CONFIGURED[:3])


@breaks(verify.CONFIG)
def config_that_lists_all_requests_by_name() -> tuple[Scene, Scene]:
    listed = replace(CONFIGURED[-1], requests=("d", "b", "a"))
    return configured(*CONFIGURED), configured(*CONFIGURED[:-1], listed)


@breaks(verify.CONFIG)
def class_config_for_one_request_of_two() -> tuple[Scene, Scene]:
    alone = replace(CONFIGURED[0], requests=("a",))
    return configured(*CONFIGURED), configured(alone, *CONFIGURED[1:])


@breaks(verify.CONFIG)
def class_config_said_to_be_the_claims() -> tuple[Scene, Scene]:
    return configured(*CONFIGURED), configured(replace(CONFIGURED[0], source="FromClaim"), *CONFIGURED[1:])


# ---------------------------------------------------------------- what this version does not do


@breaks(verify.UNSUPPORTED)
def a_pod_with_a_feature_of_the_future() -> tuple[Scene, Scene]:
    return bare(), bare(pod=pod("p", unsupported=["topologySpreadConstraints"]))


@breaks(verify.UNSUPPORTED)
def a_claim_with_a_feature_of_the_future() -> tuple[Scene, Scene]:
    return scene(), scene(claim=claim("c", unsupported=["constraints[0] of an unknown type"]))


@breaks(verify.UNSUPPORTED)
def a_request_with_a_feature_of_the_future() -> tuple[Scene, Scene]:
    return scene(), scene(claim=claim("c", request("r", unsupported=["selectors[0] without cel"])))


@breaks(verify.UNSUPPORTED)
def a_request_of_an_unknown_mode() -> tuple[Scene, Scene]:
    return scene(), scene(claim=claim("c", replace(request("r"), mode=ALL + "Most")))


@breaks(verify.UNSUPPORTED)
def a_class_with_a_feature_of_the_future() -> tuple[Scene, Scene]:
    return scene(), scene(device_class("gpu", unsupported=["suitableNodes"]))


@breaks(verify.UNSUPPORTED)
def a_slice_with_a_feature_of_the_future() -> tuple[Scene, Scene]:
    return scene(), scene(gpus("n1", 2, unsupported=["a new kind of node selection"]))


@breaks(verify.UNSUPPORTED)
def a_device_with_a_feature_of_the_future() -> tuple[Scene, Scene]:
    half = device("gpu-0", unsupported=["nodeAllocatableResourceMappings"])
    plain = device("gpu-1")
    return scene(devices(half, plain), given=allocation(result("gpu-1"))), scene(devices(half, plain))


def test_a_pod_may_join_a_claim_that_we_could_not_have_allocated():
    odd = replace(allocated(claim("c", unsupported=["constraints[0] of an unknown type"]), result("gpu-0")))

    assert found(joining(odd)) == []


# ---------------------------------------------------------------- the cases


def test_selectors_are_evaluated_as_cel_unless_told_otherwise():
    wanted = 'device.capacity["gpu.example.com"].memory.compareTo(quantity("{}")) >= 0'

    small = violations(*scene(claim=claim("c", selectors=[wanted.format("80Gi")])))
    large = violations(*scene(claim=claim("c", selectors=[wanted.format("81Gi")])))

    assert small == ()
    assert [one.rule for one in large] == [verify.SELECTOR]


def test_a_violation_reads_as_a_sentence():
    (gated,) = found(bare(pod=pod("p", gates=["wait"])))

    assert str(gated) == "pod default/p on node n1: the pod is held by wait (scheduling-gates)"


def test_an_empty_plan_breaks_nothing():
    assert found((world(pod("p"), node("n1")), plan())) == []
