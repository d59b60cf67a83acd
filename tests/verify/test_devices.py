"""What may be allocated, and what results say: each rule with a plan that keeps it and one that does not."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.core import verify
from scheduler.core.gates import Gates
from scheduler.core.model import (
    Allocation,
    AllocationConfig,
    AttributeValue,
    Claim,
    ClaimConfig,
    Constraint,
    CounterSet,
    CounterUse,
    Device,
    Request,
    RequestPolicy,
    Result,
    Slice,
    Version,
)
from scheduler.core.quantity import parse_quantity
from scheduler.core.verify import violations_of_claims
from tests.build import (
    DRIVER,
    allocated,
    allocation,
    claim,
    device,
    device_class,
    gpus,
    node,
    node_selector,
    on_node,
    placement,
    plan,
    pod,
    request,
    requirement,
    result,
    slice_of,
    taint,
    taint_rule,
    term,
    toleration,
    world,
)
from tests.verify.scenes import BOTH, FIRST, Cases, Scene, derive, devices, evaluate, found, of_claims, scene

CASES = Cases()
breaks = CASES.breaks

ONE, TWO, THREE = (f"1f3e1f6e-2a0f-4d8c-9d1c-d7c1c2b0a00{i}" for i in (1, 2, 3))


def amounts(texts: dict[str, str]) -> dict[str, Any]:
    return {name: parse_quantity(text) for name, text in texts.items()}


def only(**gates: bool) -> Gates:
    """The defaults with some gates turned over."""
    return replace(Gates(), **gates)


OLD = only(consumable_capacity=False, fractional_capacity_range=False, binding_conditions=False)
"""With these alone upstream uses the oldest of its allocators."""
FRACTIONS = only(fractional_capacity_range=True)


# ---------------------------------------------------------------- alternatives


def either(*alternatives: Request, name: str = "r") -> Request:
    return Request(name, "", alternatives=alternatives)


EITHER = claim("c", either(request("two", 2), request("one")))


def met(*results: Result, **fields: Any) -> Scene:
    return scene(claim=EITHER, given=allocation(*results), **fields)


@breaks(verify.ALTERNATIVE)
def two_alternatives_at_once() -> tuple[Scene, Scene]:
    both = claim("c", either(request("a"), request("b")))
    return (
        scene(claim=both, given=allocation(result("gpu-0", "r/a"))),
        scene(claim=both, given=allocation(result("gpu-0", "r/a"), result("gpu-1", "r/b"))),
    )


@breaks(verify.ALTERNATIVE)
def no_alternative() -> tuple[Scene, Scene]:
    return met(result("gpu-0", "r/one")), scene(claim=EITHER, given=Allocation((), None))


@breaks(verify.COUNT)
def an_alternative_with_the_count_of_another() -> tuple[Scene, Scene]:
    return met(result("gpu-0", "r/two"), result("gpu-1", "r/two")), met(result("gpu-0", "r/two"))


@breaks(verify.REQUESTS)
def an_alternative_that_nobody_offered() -> tuple[Scene, Scene]:
    two = [result("gpu-0", "r/two"), result("gpu-1", "r/two")]

    def beside(*more: Result) -> Scene:
        return scene(gpus("n1", 3), claim=EITHER, given=allocation(*two, *more))

    return beside(), beside(result("gpu-2", "r/three"))


@breaks(verify.REQUESTS)
def a_result_for_a_request_with_alternatives_as_such() -> tuple[Scene, Scene]:
    one = result("gpu-0", "r/one")
    return met(one), met(one, result("gpu-1", "r"))


@breaks(verify.SELECTOR)
def an_alternative_with_the_selectors_of_another() -> tuple[Scene, Scene]:
    asked = claim("c", either(request("first", 1, "index < 1"), request("any")))
    return (
        scene(claim=asked, given=allocation(result("gpu-0", "r/first"))),
        scene(claim=asked, given=allocation(result("gpu-1", "r/first"))),
    )


@breaks(verify.CLASS)
def an_alternative_that_is_not_taken_of_a_class_that_does_not_exist() -> tuple[Scene, Scene]:
    def beside(name: str) -> Scene:
        asked = claim("c", either(request("a"), request("b", device_class=name)))
        return scene(claim=asked, given=allocation(result("gpu-0", "r/a")))

    return beside("gpu"), beside("nic")


@breaks(verify.ALL_DEVICES)
def an_alternative_that_is_not_taken_and_wants_all_of_a_torn_pool() -> tuple[Scene, Scene]:
    torn = slice_of([device("nic-0")], node="n1", driver="nic.example.com", slice_count=2)

    def beside(*, everything: bool) -> Scene:
        asked = claim("c", either(request("a"), request("b", all=everything)))
        return scene(gpus("n1", 2), torn, claim=asked, given=allocation(result("gpu-0", "r/a")))

    return beside(everything=False), beside(everything=True)


@breaks(verify.FEATURE)
def alternatives_while_they_are_off() -> tuple[Scene, Scene]:
    return met(result("gpu-0", "r/one")), met(result("gpu-0", "r/one"), gates=only(prioritized_list=False))


def test_results_of_alternatives_come_in_the_order_of_their_requests():
    asked = claim("c", either(request("x"), request("y"), name="a"), request("b"))
    first, second = result("gpu-0", "a/y"), result("gpu-1", "b")

    assert found(scene(claim=asked, given=allocation(first, second))) == []
    (late,) = found(scene(claim=asked, given=allocation(second, first)))
    assert late.rule == verify.REQUESTS


@breaks(verify.CONFIG)
def config_of_an_alternative_that_is_not_taken() -> tuple[Scene, Scene]:
    classes = device_class("gpu", config=["G"]), device_class("other", config=["O"])
    asked = claim(
        "c",
        either(request("a"), request("b", device_class="other"), name="x"),
        request("y", device_class="other"),
        config=[
            ClaimConfig(("x/a",), "LOST"),
            ClaimConfig(("x/b",), "B"),
            ClaimConfig(("x",), "X"),
            ClaimConfig(("x/a", "x/b", "y"), "EACH"),
        ],
    )
    given = [
        AllocationConfig("FromClass", (), "O"),
        AllocationConfig("FromClaim", ("x/b",), "B"),
        AllocationConfig("FromClaim", ("x",), "X"),
        AllocationConfig("FromClaim", (), "EACH"),
    ]

    def of(*config: AllocationConfig) -> Scene:
        return scene(
            *classes, claim=asked, given=allocation(result("gpu-0", "x/b"), result("gpu-1", "y"), config=config)
        )

    return of(*given), of(given[0], AllocationConfig("FromClaim", ("x/a",), "LOST"), *given[1:])


def test_a_claim_that_asks_for_nothing_new_needs_no_gate():
    off = Gates.from_features({})

    assert found(scene(gates=off)) == []
    assert found(scene(claim=claim("c", request("r", all=True)), given=BOTH, gates=off)) == []


def test_a_result_for_a_request_that_nobody_made_is_still_held_to_constraints():
    part = devices(device("gpu-0", {"numa": 0}), device("gpu-1", {"numa": 1}))
    asked = claim("c", constraints=[same("numa")])

    reported = found(scene(part, claim=asked, given=allocation(result("gpu-0"), result("gpu-1", "other"))))

    assert {one.rule for one in reported} == {verify.REQUESTS, verify.CONSTRAINT}


# ---------------------------------------------------------------- admin access

WATCHED = claim("c", replace(request("r"), admin_access=True))
WATCH = allocation(result("gpu-0", admin_access=True))


@breaks(verify.ADMIN)
def an_administrators_device_without_the_mark() -> tuple[Scene, Scene]:
    return scene(claim=WATCHED, given=WATCH), scene(claim=WATCHED)


@breaks(verify.ADMIN)
def a_users_device_with_the_mark() -> tuple[Scene, Scene]:
    return scene(), scene(given=WATCH)


@breaks(verify.FEATURE)
def admin_access_while_it_is_off_even_when_it_is_refused() -> tuple[Scene, Scene]:
    refused = claim("c", replace(request("r"), admin_access=False))
    return scene(claim=refused), scene(claim=refused, gates=only(admin_access=False))


def test_an_administrator_may_look_at_what_others_have():
    other = allocated(claim("d"), result("gpu-0"))

    assert found(scene(other, claim=WATCHED, given=WATCH)) == []


@breaks(verify.IN_USE)
def an_administrators_device_twice_in_one_claim() -> tuple[Scene, Scene]:
    twice = claim("c", replace(request("a"), admin_access=True), replace(request("b"), admin_access=True))

    def of(one: str, other: str) -> Scene:
        return scene(
            claim=twice,
            given=allocation(result(one, "a", admin_access=True), result(other, "b", admin_access=True)),
        )

    return of("gpu-0", "gpu-1"), of("gpu-0", "gpu-0")


@breaks(verify.IN_USE)
def a_device_that_the_same_pod_just_took_for_admin_access() -> tuple[Scene, Scene]:
    user = pod("p", claims=["c", "d"])
    return (
        of_claims([(claim("d"), FIRST), (WATCHED, allocation(result("gpu-1", admin_access=True)))], pod=user),
        of_claims([(claim("d"), FIRST), (WATCHED, WATCH)], pod=user),
    )


def test_an_administrators_claim_may_look_at_what_the_same_pod_took_before():
    user = pod("p", claims=["d", "c"])

    assert found(of_claims([(WATCHED, WATCH), (claim("d"), FIRST)], pod=user)) == []


@breaks(verify.DEVICE_TAINT)
def a_tainted_device_for_admin_access() -> tuple[Scene, Scene]:
    return scene(claim=WATCHED, given=WATCH), scene(taint_rule(), claim=WATCHED, given=WATCH)


# ---------------------------------------------------------------- constraints


def differ(attribute: str, *requests: str) -> Constraint:
    return Constraint(requests, f"{DRIVER}/{attribute}", distinct=True)


def same(attribute: str, *requests: str) -> Constraint:
    return Constraint(requests, f"{DRIVER}/{attribute}")


def with_values(
    *values: AttributeValue | None, constraint: Constraint, lists: bool = False, backwards: bool = False
) -> Scene:
    """A claim for all of these devices, which have these values of attribute `a`."""
    part = devices(*(device(f"d{i}", {} if value is None else {"a": value}) for i, value in enumerate(values)))
    asked = claim("c", count=len(values), constraints=[constraint])
    results = [result(f"d{i}") for i in range(len(values))]
    given = allocation(*(reversed(results) if backwards else results))
    return scene(part, claim=asked, given=given, gates=only(list_attributes=lists))


@breaks(verify.CONSTRAINT)
def two_devices_of_one_value_that_must_differ() -> tuple[Scene, Scene]:
    return with_values(0, 1, constraint=differ("a")), with_values(0, 1, 0, constraint=differ("a"))


@breaks(verify.CONSTRAINT)
def an_attribute_of_another_domain() -> tuple[Scene, Scene]:
    part = devices(device("gpu-0", {"numa": 0}))

    def over(domain: str) -> Scene:
        return scene(part, claim=claim("c", constraints=[Constraint((), f"{domain}/numa")]))

    return over(DRIVER), over("other.example.com")


@breaks(verify.CONSTRAINT)
def a_device_without_the_value_that_must_differ() -> tuple[Scene, Scene]:
    return with_values(0, constraint=differ("a")), with_values(None, constraint=differ("a"))


def of_four_in_pairs(*chosen: int, driver: str = "gpu.nvidia.com") -> Scene:
    """A claim for some of four GPUs, of which 0 and 2, and 1 and 3, are partitions."""
    part = slice_of(
        [device(f"gpu-{i}", {"type": "gpu", "partition2": i % 2}) for i in range(4)], node="n1", driver=driver
    )
    results = [result(f"gpu-{i}", driver=driver) for i in chosen]
    return scene(
        node("n1"), part, device_class(driver=driver), claim=claim("c", count=len(chosen)), given=allocation(*results)
    )


@breaks(verify.PARTITION)
def gpus_of_two_fabric_partitions() -> tuple[Scene, Scene]:
    return of_four_in_pairs(0, 2), of_four_in_pairs(0, 1)


@breaks(verify.PARTITION)
def a_part_of_a_fabric_partition() -> tuple[Scene, Scene]:
    return of_four_in_pairs(1, 3), of_four_in_pairs(1)


@breaks(verify.PARTITION)
def fabric_partitions_of_a_driver_that_has_some() -> tuple[Scene, Scene]:
    return of_four_in_pairs(0, 1, driver="gpu.example.com"), of_four_in_pairs(0, 1, 2, 3)


@breaks(verify.FEATURE)
def distinct_devices_while_nobody_can_tell_them_apart() -> tuple[Scene, Scene]:
    part = devices(device("gpu-0", {"a": 0}))
    return (
        scene(part, claim=claim("c", constraints=[same("a")]), gates=OLD),
        scene(part, claim=claim("c", constraints=[differ("a")]), gates=OLD),
    )


V1, V2 = Version("1.0.0"), Version("1.0.0+build")
MATCH = [
    # lists are off: (values, whether they match)
    (False, (1, 1, 1), True),
    (False, (1, True), False),
    (False, ("1.0.0", V1), False),
    (False, (V1, V1), True),
    (False, (V1, V2), False),
    (False, ((1, 2),), True),
    (False, ((1, 2), (1, 2)), False),
    (False, ((1,), 1), False),
    (False, (1, (1,)), False),
    # lists are on
    (True, ((0, 1), (1, 2), (2,)), False),
    (True, ((1, 2), (1,), (1, 3)), True),
    (True, ((1, 2), 1), True),
    (True, (1, (1, 2)), True),
    (True, ((1, 1, 2), (2, 1)), True),
    (True, ((True,), (1,)), False),
    (True, ((),), False),
    (True, (("a", "b"), ("b", "c"), ("a", "c")), False),
    (True, ((V1,), V1), True),
    (True, ((V1,), "1.0.0"), False),
]
DIFFER = [
    (False, (1, 2, 3), True),
    (False, (1, 2, 1), False),
    (False, (1, True, "1", V1), True),
    (False, (V1, V2), True),
    (False, ((1,),), True),
    (False, ((1,), 1), True),
    (False, (1, (2,)), False),
    (False, ((1,), (2,)), False),
    (True, (("a", "b"), ("b", "c")), False),
    (True, (("a",), ("b",)), True),
    (True, ((1, 2), (3,), 4), True),
    (True, ((1, 2), 2), False),
    (True, ((True,), (1,), ("1",)), True),
    (True, ((),), False),
    (True, (1, ()), False),
]


@pytest.mark.parametrize(
    ("constraint", "lists", "values", "holds"),
    [(same("a"), *row) for row in MATCH] + [(differ("a"), *row) for row in DIFFER],
    ids=lambda value: repr(value)[:40],
)
def test_constraints_compare_values_as_upstream_does(constraint, lists, values, holds):
    reported = found(with_values(*values, constraint=constraint, lists=lists))

    assert [one.rule for one in reported] == ([] if holds else [verify.CONSTRAINT])


def test_devices_of_a_request_are_met_in_the_order_of_their_listing_however_they_stand_in_the_allocation():
    list_last: list[AttributeValue] = [3, (0,)]
    list_first: list[AttributeValue] = [(0,), 3]

    assert found(with_values(*list_last, constraint=differ("a"), backwards=True))
    assert not found(with_values(*list_first, constraint=differ("a"), backwards=True))


@pytest.mark.parametrize("constraint", [same("a"), differ("a")], ids=["match", "distinct"])
@pytest.mark.parametrize("lists", [False, True])
def test_the_order_in_which_values_are_met_decides_nothing_but_for_lists_while_they_are_off(constraint, lists):
    values: list[AttributeValue] = [1, 1, 2, (2, 1)] if lists else [1, 1, 2]

    assert found(with_values(*values, constraint=constraint, lists=lists))
    assert found(with_values(*reversed(values), constraint=constraint, lists=lists))


def numa_apart(*names: str) -> Scene:
    """Two devices of different NUMA nodes, one for an alternative, under a constraint over these names."""
    part = devices(device("gpu-0", {"numa": 0}), device("gpu-1", {"numa": 1}))
    requests = [either(request("x"), request("y"), name="a"), request("b")]
    asked = claim("c", *requests, constraints=[same("numa", *names)])
    return scene(part, claim=asked, given=allocation(result("gpu-0", "a/y"), result("gpu-1", "b")))


@breaks(verify.CONSTRAINT)
def a_constraint_on_all_alternatives_of_a_request() -> tuple[Scene, Scene]:
    return numa_apart("a/x", "b"), numa_apart("a", "b")


@breaks(verify.CONSTRAINT)
def a_constraint_on_the_alternative_that_is_taken() -> tuple[Scene, Scene]:
    return numa_apart("a/y"), numa_apart("a/y", "b")


# ---------------------------------------------------------------- derived attributes

DERIVED = only(derived_attributes=True)


def deriving(*expressions: str, gates: Gates = DERIVED) -> Scene:
    """Two requests for one GPU each, whose attribute `a` is derived from their number by these expressions."""
    asked = [
        replace(request(f"r{i}"), derived=((f"{DRIVER}/a", expression),)) for i, expression in enumerate(expressions)
    ]
    given = allocation(*(result(f"gpu-{i}", f"r{i}") for i in range(len(expressions))))
    part = gpus("n1", 2, attributes={"a": "published"})
    return scene(part, claim=claim("c", *asked, constraints=[same("a")]), given=given, gates=gates)


@breaks(verify.CONSTRAINT)
def derived_attributes_that_differ() -> tuple[Scene, Scene]:
    return deriving("index + 1", "index"), deriving("index", "index")


@breaks(verify.CONSTRAINT)
def a_derived_attribute_that_cannot_be_computed() -> tuple[Scene, Scene]:
    return deriving("index"), deriving("nothing")


@breaks(verify.FEATURE)
def derived_attributes_while_they_are_off() -> tuple[Scene, Scene]:
    return deriving("index"), deriving("index", gates=Gates())


def test_derived_attributes_are_computed_as_kubernetes_computes_them():
    expression = f'device.attributes["{DRIVER}"].a + "!"'

    assert verify.violations(*deriving(expression, expression)) == ()
    assert len(verify.violations(*deriving(expression, f'device.attributes["{DRIVER}"].a'))) == 1


# ---------------------------------------------------------------- shared counters


def part(name: str, draws: dict[str, str], counter_set: str = "s", groups: tuple[str, ...] = ()) -> Device:
    return replace(device(name), consumes=(CounterUse(counter_set, amounts(draws), groups),))


def counters(*sets: CounterSet, **where: Any) -> Slice:
    made = slice_of((), **{"node": "n1", "slice_count": 2, "name": "counters", **where})
    return replace(made, counter_sets=sets)


def counter_set(counters_of: dict[str, str], name: str = "s") -> CounterSet:
    return CounterSet(name, amounts(counters_of))


EIGHT = counters(counter_set({"memory": "8Gi"}))


def partitions(*made: Device, **fields: Any) -> Slice:
    return devices(*made, **{"node": "n1", "slice_count": 2, "name": "parts", **fields})


def pair(*made: Device, sets: Slice = EIGHT, others: Any = (), **fields: Any) -> Scene:
    """A claim for the first two of these partitions."""
    given = allocation(*(result(each.name) for each in made[:2]))
    return scene(sets, partitions(*made), *others, claim=claim("c", count=2), given=given, **fields)


@breaks(verify.COUNTERS)
def partitions_that_draw_more_than_there_is() -> tuple[Scene, Scene]:
    a, b, c = (part(name, {"memory": size}) for name, size in [("a", "4Gi"), ("b", "4Gi"), ("c", "4097Mi")])
    return pair(a, b, c), pair(a, c, b)


@breaks(verify.COUNTERS)
def a_partition_beside_one_that_another_node_uses() -> tuple[Scene, Scene]:
    here, there = part("a", {"memory": "5Gi"}), part("b", {"memory": "4Gi"})
    around = [
        counters(counter_set({"memory": "8Gi"}), slice_count=3),
        partitions(here, slice_count=3),
        slice_of([there], node="n2", pool="n1", slice_count=3, name="elsewhere"),
    ]
    given = allocation(result("a"))
    return (
        scene(*around, given=given),
        scene(*around, allocated(claim("d"), result("b", pool="n1")), given=given),
    )


@breaks(verify.COUNTERS)
def a_partition_beside_an_overdrawn_set_of_its_pool() -> tuple[Scene, Scene]:
    def shrunk(size: str) -> Scene:
        sets = counters(counter_set({"memory": "8Gi"}), counter_set({"memory": size}, "t"))
        parts = partitions(part("a", {"memory": "1Gi"}), part("b", {"memory": "2Gi"}, "t"))
        return scene(sets, parts, allocated(claim("d"), result("b")), given=allocation(result("a")))

    return shrunk("2Gi"), shrunk("1Gi")


def test_a_device_that_draws_nothing_may_be_had_beside_an_overdrawn_set():
    parts = partitions(part("a", {"memory": "9Gi"}), device("gpu-0"))

    assert found(scene(EIGHT, parts, allocated(claim("d"), result("a")))) == []


def test_a_pool_of_which_something_held_is_not_published_any_more_is_shut_as_it_may_draw_on_counters():
    around = [EIGHT, partitions(part("a", {"memory": "8Gi"})), allocated(claim("d"), result("gone"))]

    assert [each.rule for each in found(scene(*around, given=allocation(result("a"))))] == [verify.DEVICE]


def test_counter_sets_of_other_pools_are_others():
    other = [
        counters(counter_set({"memory": "1Gi"}), node="n1", pool="q", name="q-counters"),
        slice_of([part("a", {"memory": "1Gi"})], node="n1", pool="q", slice_count=2, name="q-parts"),
    ]
    held = allocated(claim("d"), result("a", pool="q"))

    assert found(pair(part("a", {"memory": "4Gi"}), part("b", {"memory": "4Gi"}), others=[*other, held])) == []


@breaks(verify.COUNTERS)
def an_administrators_partition_that_is_in_use() -> tuple[Scene, Scene]:
    def held(size: str) -> Scene:
        around = [EIGHT, partitions(part("gpu-0", {"memory": size})), allocated(claim("d"), result("gpu-0"))]
        return scene(*around, claim=WATCHED, given=WATCH)

    return held("4Gi"), held("5Gi")


@breaks(verify.COUNTERS)
def partitions_of_two_pods_of_a_plan() -> tuple[Scene, Scene]:
    def of(size: str) -> Scene:
        pods = [pod("p", claims=["c"]), pod("q", claims=["d"])]
        claims = [claim("c"), claim("d")]
        parts = partitions(part("a", {"memory": "4Gi"}), part("b", {"memory": size}))
        steps = [
            placement(pods[0], "n1", [(claims[0], allocation(result("a")))]),
            placement(pods[1], "n1", [(claims[1], allocation(result("b")))]),
        ]
        return world(*pods, *claims, node("n1"), EIGHT, parts), plan(*steps)

    return of("4Gi"), of("5Gi")


@breaks(verify.FEATURE)
def a_partition_while_partitions_are_off() -> tuple[Scene, Scene]:
    # Counter sets for other nodes only: the slice with the devices can be read.
    def of(*, on: bool) -> Scene:
        sets = counters(counter_set({"memory": "8Gi"}), node="n2", pool="n1")
        parts = partitions(part("a", {"memory": "1Gi"}))
        return scene(sets, parts, given=allocation(result("a")), gates=only(partitionable_devices=on))

    return of(on=True), of(on=False)


def test_counters_that_cannot_be_read_are_still_a_part_of_their_pool():
    off = only(partitionable_devices=False)

    assert found(scene(EIGHT, partitions(device("gpu-0")), gates=off)) == []
    assert [one.rule for one in found(scene(partitions(device("gpu-0")), gates=off))] == [verify.DEVICE]


@breaks(verify.DEVICE)
def a_pool_with_a_counter_set_twice() -> tuple[Scene, Scene]:
    def named(name: str) -> Scene:
        sets = counters(counter_set({"memory": "8Gi"}), counter_set({"memory": "8Gi"}, name))
        return scene(sets, partitions(device("gpu-0")))

    return named("t"), named("s")


@breaks(verify.DEVICE)
def a_pool_with_a_device_that_draws_from_an_unknown_set() -> tuple[Scene, Scene]:
    def drawing(name: str) -> Scene:
        return scene(EIGHT, partitions(device("gpu-0"), part("a", {"memory": "1Gi"}, name)))

    return drawing("s"), drawing("t")


@breaks(verify.DEVICE)
def a_pool_with_a_device_that_draws_an_unknown_counter() -> tuple[Scene, Scene]:
    def drawing(name: str) -> Scene:
        return scene(EIGHT, partitions(device("gpu-0"), part("a", {name: "1Gi"})))

    return drawing("memory"), drawing("slots")


@breaks(verify.DEVICE)
def a_pool_with_a_wrong_device_on_another_node() -> tuple[Scene, Scene]:
    def drawing(name: str) -> Scene:
        return scene(
            counters(counter_set({"memory": "8Gi"}), slice_count=3),
            partitions(device("gpu-0"), slice_count=3),
            slice_of([part("a", {"memory": "1Gi"}, name)], node="n2", pool="n1", slice_count=3, name="elsewhere"),
        )

    return drawing("s"), drawing("t")


def test_a_name_that_is_listed_twice_on_other_nodes_is_not_noticed_but_drawn_twice():
    def of(size: str) -> Scene:
        there = part("b", {"memory": "2Gi"})
        return scene(
            counters(counter_set({"memory": "8Gi"}), slice_count=4),
            partitions(part("a", {"memory": size}), slice_count=4),
            *(slice_of([there], node=f"n{i}", pool="n1", slice_count=4, name=f"on-n{i}") for i in (2, 3)),
            allocated(claim("d"), result("b", pool="n1")),
            given=allocation(result("a")),
        )

    assert found(of("4Gi")) == []
    assert [one.rule for one in found(of("5Gi"))] == [verify.COUNTERS]


def test_devices_beside_counter_sets_in_one_slice_are_not_seen():
    both = replace(EIGHT, slice_count=1, devices=(part("gpu-0", {"memory": "1Gi"}, "unknown"),))

    assert [one.rule for one in found(scene(both))] == [verify.DEVICE]
    assert "no slice" in found(scene(both))[0].text


def test_while_partitions_are_off_nobody_looks_at_what_devices_draw():
    odd = partitions(device("gpu-0"), part("a", {"memory": "1Gi"}, "unknown"), slice_count=1)

    assert found(scene(odd, gates=only(partitionable_devices=False))) == []
    assert [one.rule for one in found(scene(odd))] == [verify.DEVICE]


@breaks(verify.DEVICE)
def a_pool_that_is_whole_only_with_the_counters_of_another_node() -> tuple[Scene, Scene]:
    around = [
        partitions(device("gpu-0")),
        counters(counter_set({"memory": "8Gi"}), node="n2", pool="n1"),
        slice_of([device("x")], node="n2", pool="n1", slice_count=2, name="elsewhere"),
    ]
    return scene(*around, gates=OLD), scene(*around)


# ---------------------------------------------------------------- compatibility groups

GROUPS = only(compatibility_groups=True)


@breaks(verify.COMPATIBILITY)
def partitions_without_a_group_in_common() -> tuple[Scene, Scene]:
    mig, both, other = (
        part(name, {"memory": "1Gi"}, groups=groups)
        for name, groups in [("a", ("mig",)), ("b", ("mig", "vgpu")), ("c", ("vgpu",))]
    )
    return pair(mig, both, other, gates=GROUPS), pair(mig, other, both, gates=GROUPS)


@breaks(verify.COMPATIBILITY)
def a_partition_without_groups_beside_one_that_has_them() -> tuple[Scene, Scene]:
    bare_one, bare_other = part("a", {"memory": "1Gi"}), part("b", {"memory": "1Gi"})
    grouped = part("c", {"memory": "1Gi"}, groups=("mig",))
    return pair(bare_one, bare_other, grouped, gates=GROUPS), pair(bare_one, grouped, bare_other, gates=GROUPS)


@breaks(verify.COMPATIBILITY)
def a_partition_beside_two_that_leave_no_group_for_it() -> tuple[Scene, Scene]:
    def joined_by(*groups: str) -> Scene:
        parts = [
            part("a", {"memory": "1Gi"}, groups=("x", "y")),
            part("b", {"memory": "1Gi"}, groups=("y", "z")),
            part("gpu-0", {"memory": "1Gi"}, groups=groups),
        ]
        held = allocated(claim("d"), result("a"), result("b"))
        return scene(EIGHT, partitions(*parts), held, gates=GROUPS)

    return joined_by("y", "w"), joined_by("x", "z")


def test_those_without_groups_that_are_there_though_they_should_not_narrow_nothing():
    parts = [part(name, {}, groups=groups) for name, groups in [("a", ("x", "y")), ("b", ()), ("gpu-0", ("y",))]]

    assert found(scene(EIGHT, partitions(*parts), allocated(claim("d"), result("a"), result("b")), gates=GROUPS)) == []


@breaks(verify.COMPATIBILITY)
def a_partition_of_two_sets_that_fits_only_one() -> tuple[Scene, Scene]:
    def using(second: str) -> Scene:
        both = replace(
            device("gpu-0"),
            consumes=(CounterUse("s", {}, ("x",)), CounterUse(second, {}, ("x",))),
        )
        parts = partitions(part("a", {}, "s", ("x",)), part("b", {}, "t", ("y",)), part("c", {}, "u", ("x", "y")), both)
        sets = counters(*(CounterSet(name, {}) for name in "stu"))
        held = allocated(claim("d"), *(result(name) for name in "abc"))
        return scene(sets, parts, held, gates=GROUPS)

    return using("u"), using("t")


@breaks(verify.DEVICE)
def a_pool_with_groups_while_they_are_off() -> tuple[Scene, Scene]:
    around = [EIGHT, partitions(device("gpu-0"), part("a", {"memory": "1Gi"}, groups=("x",)))]
    return scene(*around, gates=GROUPS), scene(*around)


@breaks(verify.DEVICE)
def a_pool_with_groups_on_another_node_while_they_are_off() -> tuple[Scene, Scene]:
    around = [
        counters(counter_set({"memory": "8Gi"}), slice_count=3),
        partitions(device("gpu-0"), slice_count=3),
        slice_of([part("a", {}, groups=("x",))], node="n2", pool="n1", slice_count=3, name="elsewhere"),
    ]
    return scene(*around, gates=GROUPS), scene(*around)


# ---------------------------------------------------------------- nodes of single devices


def each_for(*made: Device) -> Slice:
    return replace(devices(*made, pool="fabric", name="fabric"), per_device=True)


HERE = replace(device("here"), node_name="n1")
THERE = replace(device("there"), node_name="n2")
ANYWHERE = replace(device("anywhere"), all_nodes=True)
IN_A = replace(device("in-a"), node_selector=node_selector(term(requirement("zone", "In", "a"))))
ZONE_A = node("n1", labels={"zone": "a"})


def one_of(name: str, where: Any, *made: Device, gates: Gates | None = None, extra: Any = ()) -> Scene:
    given = Allocation((result(name, pool="fabric"),), where)
    return scene(ZONE_A, each_for(*(made or (HERE, THERE, ANYWHERE, IN_A))), *extra, given=given, gates=gates)


@breaks(verify.DEVICE)
def a_device_that_is_itself_for_another_node() -> tuple[Scene, Scene]:
    return one_of("here", on_node("n1")), one_of("there", on_node("n1"))


@breaks(verify.DEVICE)
def a_device_that_is_itself_for_nodes_of_another_zone() -> tuple[Scene, Scene]:
    in_b = replace(IN_A, node_selector=node_selector(term(requirement("zone", "In", "b"))))
    return (
        one_of("in-a", IN_A.node_selector, IN_A, HERE),
        one_of("in-a", in_b.node_selector, in_b, HERE),
    )


@breaks(verify.DEVICE)
def a_slice_of_devices_of_which_none_is_for_the_node() -> tuple[Scene, Scene]:
    return one_of("here", on_node("n1"), HERE), one_of("there", on_node("n1"), THERE)


@breaks(verify.DEVICE)
def a_slice_that_selects_nodes_by_device_while_that_is_off() -> tuple[Scene, Scene]:
    return one_of("here", on_node("n1")), one_of("here", on_node("n1"), gates=only(partitionable_devices=False))


@breaks(verify.USABLE_ON)
def an_allocation_that_names_no_node_though_its_device_does() -> tuple[Scene, Scene]:
    return one_of("here", on_node("n1")), one_of("here", None)


@breaks(verify.USABLE_ON)
def an_allocation_that_names_a_node_though_its_device_is_everywhere() -> tuple[Scene, Scene]:
    return one_of("anywhere", None), one_of("anywhere", on_node("n1"))


@breaks(verify.USABLE_ON)
def an_allocation_with_another_selector_than_its_device() -> tuple[Scene, Scene]:
    return one_of("in-a", IN_A.node_selector), one_of("in-a", node_selector(term(requirement("zone", "Exists"))))


def test_a_device_of_several_terms_after_one_of_this_node_does_no_harm():
    terms = node_selector(term(requirement("zone", "In", "a")), term(requirement("zone", "In", "b")))
    odd = replace(device("odd"), node_selector=terms)
    two = claim("c", request("a"), request("b"))

    def of(*order: str) -> Scene:
        results = tuple(result(name, request, pool="fabric") for name, request in zip(order, "ab", strict=True))
        return scene(ZONE_A, each_for(HERE, odd), claim=two, given=Allocation(results, on_node("n1")))

    assert found(of("here", "odd")) == []
    assert [one.rule for one in found(of("odd", "here"))] == [verify.USABLE_ON]


def test_all_of_a_slice_is_all_that_is_for_the_node():
    everything = claim("c", request("r", all=True))
    given = Allocation(tuple(result(name, pool="fabric") for name in ("here", "anywhere", "in-a")), on_node("n1"))

    assert found(scene(ZONE_A, each_for(HERE, THERE, ANYWHERE, IN_A), claim=everything, given=given)) == []


@breaks(verify.SELECTOR)
def all_while_a_selector_fails_on_a_device_of_another_node() -> tuple[Scene, Scene]:
    everything = claim("c", request("r", 1, "index < 9", all=True))

    def beside(there: Device) -> Scene:
        here = replace(HERE, attributes={"index": 0})
        given = Allocation((result("here", pool="fabric"),), on_node("n1"))
        return scene(ZONE_A, each_for(here, there), claim=everything, given=given)

    return beside(replace(THERE, attributes={"index": 1})), beside(THERE)


def test_a_slice_that_says_in_no_known_way_where_its_devices_are_is_not_there():
    future = slice_of([device("x")], pool="future", unsupported=["a new kind of node selection"])

    assert found(scene(gpus("n1", 2), future, claim=claim("c", request("r", all=True)), given=BOTH)) == []


@breaks(verify.SELECTOR)
def a_device_with_an_attribute_that_cannot_be_read() -> tuple[Scene, Scene]:
    return scene(devices(device("gpu-0"))), scene(devices(replace(device("gpu-0"), malformed="attributes[x] is odd")))


def test_what_cannot_be_read_of_a_device_does_no_harm_where_nothing_selects():
    odd = replace(device("gpu-0"), malformed="attributes[x] is odd")

    assert found(scene(devices(odd), device_class("gpu", driver=None))) == []


# ---------------------------------------------------------------- capacity and shares


def shared(
    capacity: dict[str, str] | None = None, name: str = "gpu-0", policies: dict[str, RequestPolicy] | None = None
) -> Device:
    made = device(name, {}, capacity or {})
    return replace(made, shareable=True, policies=policies or {})


def share(consumed: dict[str, str] | None, id: str = ONE, device: str = "gpu-0", request: str = "r") -> Result:  # noqa: A002
    return result(device, request, share_id=id, consumed=None if consumed is None else amounts(consumed))


def wanting(name: str = "r", **texts: str) -> Request:
    return replace(request(name), capacity=amounts(texts))


def sharing(
    made: Device, consumed: dict[str, str] | None, *others: Any, gates: Gates | None = None, **asks: str
) -> Scene:
    """A share of a device for a claim that asks for these amounts."""
    asked = claim("c", wanting(**asks) if asks else request("r"))
    return scene(devices(made), *others, claim=asked, given=allocation(share(consumed)), gates=gates)


EIGHT_GI = {"memory": "8Gi"}


@breaks(verify.SHARE)
def a_share_without_an_id() -> tuple[Scene, Scene]:
    return sharing(shared(), None), scene(devices(shared()))


@breaks(verify.SHARE)
def a_share_of_a_device_that_is_not_shareable() -> tuple[Scene, Scene]:
    return scene(devices(device("gpu-0"))), scene(devices(device("gpu-0")), given=allocation(share(None)))


@breaks(verify.SHARE)
def a_whole_device_that_says_what_it_consumes() -> tuple[Scene, Scene]:
    part = devices(device("gpu-0", {}, EIGHT_GI))
    return scene(part), scene(part, given=allocation(result("gpu-0", consumed=amounts(EIGHT_GI))))


@breaks(verify.SHARE)
def a_share_whose_id_is_no_uuid() -> tuple[Scene, Scene]:
    def of(text: str) -> Scene:
        return scene(devices(shared()), given=allocation(share(None, text)))

    return of(ONE), of(ONE.upper())


@breaks(verify.SHARE)
def a_share_with_the_id_of_another() -> tuple[Scene, Scene]:
    def beside(taken: str) -> Scene:
        return sharing(shared(), None, allocated(claim("d"), share(None, taken)))

    return beside(TWO), beside(ONE)


@breaks(verify.SHARE)
def two_shares_of_one_pod_with_one_id() -> tuple[Scene, Scene]:
    def of(second: str) -> Scene:
        given = allocation(share(None, ONE, request="a"), share(None, second, request="b"))
        return scene(devices(shared()), claim=claim("c", request("a"), request("b")), given=given)

    return of(TWO), of(ONE)


@breaks(verify.SHARE)
def a_share_that_says_less_than_it_takes() -> tuple[Scene, Scene]:
    return sharing(shared(EIGHT_GI), {"memory": "2Gi"}, memory="2Gi"), sharing(
        shared(EIGHT_GI), {"memory": "1Gi"}, memory="2Gi"
    )


@breaks(verify.SHARE)
def a_share_that_leaves_out_a_capacity() -> tuple[Scene, Scene]:
    both = shared({"memory": "8Gi", "slots": "4"})
    return sharing(both, {"memory": "1Gi", "slots": "4"}, memory="1Gi"), sharing(both, {"memory": "1Gi"}, memory="1Gi")


@breaks(verify.CAPACITY)
def more_than_the_other_shares_leave() -> tuple[Scene, Scene]:
    def beside(taken: str) -> Scene:
        other = allocated(claim("d"), share({"memory": taken}, TWO))
        return sharing(shared(EIGHT_GI), {"memory": "3Gi"}, other, memory="3Gi")

    return beside("5Gi"), beside("5121Mi")


@breaks(verify.CAPACITY)
def two_shares_of_one_pod_that_are_too_much() -> tuple[Scene, Scene]:
    def of(second: str) -> Scene:
        asked = claim("c", wanting("a", memory="4Gi"), wanting("b", memory=second))
        given = allocation(share({"memory": "4Gi"}, ONE, request="a"), share({"memory": second}, TWO, request="b"))
        return scene(devices(shared(EIGHT_GI)), claim=asked, given=given)

    return of("4Gi"), of("5Gi")


@breaks(verify.CAPACITY)
def shares_of_two_pods_of_a_plan() -> tuple[Scene, Scene]:
    def of(second: str) -> Scene:
        pods = [pod("p", claims=["c"]), pod("q", claims=["d"])]
        claims = [claim("c", wanting(memory="4Gi")), claim("d", wanting(memory=second))]
        steps = [
            placement(pods[0], "n1", [(claims[0], allocation(share({"memory": "4Gi"}, ONE)))]),
            placement(pods[1], "n1", [(claims[1], allocation(share({"memory": second}, TWO)))]),
        ]
        return world(*pods, *claims, node("n1"), devices(shared(EIGHT_GI))), plan(*steps)

    return of("4Gi"), of("5Gi")


def test_administrators_shares_that_are_allocated_take_nothing():
    other = allocated(claim("d"), replace(share({"memory": "8Gi"}, TWO), admin_access=True))

    assert found(sharing(shared(EIGHT_GI), {"memory": "3Gi"}, other, memory="3Gi")) == []


@breaks(verify.IN_USE)
def a_share_twice_for_one_request() -> tuple[Scene, Scene]:
    def of(*names: str) -> Scene:
        made = [shared(name=name) for name in ("gpu-0", "gpu-1")]
        results = [share(None, id, name) for id, name in zip((ONE, TWO), names, strict=True)]  # noqa: A001
        return scene(devices(*made), claim=claim("c", count=2), given=allocation(*results))

    return of("gpu-0", "gpu-1"), of("gpu-0", "gpu-0")


@breaks(verify.IN_USE)
def a_share_of_a_device_that_another_claim_has_whole() -> tuple[Scene, Scene]:
    return (
        sharing(shared(), None, allocated(claim("d"), share(None, TWO))),
        sharing(shared(), None, allocated(claim("d"), result("gpu-0"))),
    )


@breaks(verify.CAPACITY)
def a_whole_device_of_which_others_still_have_shares() -> tuple[Scene, Scene]:
    def beside(taken: str) -> Scene:
        other = allocated(claim("d"), share({"memory": taken}, TWO))
        return scene(devices(device("gpu-0", {}, EIGHT_GI)), other, claim=claim("c", wanting(memory="3Gi")))

    return beside("5Gi"), beside("6Gi")


@breaks(verify.CAPACITY)
def a_whole_device_that_is_too_small() -> tuple[Scene, Scene]:
    part = devices(device("gpu-0", {}, EIGHT_GI))
    return scene(part, claim=claim("c", wanting(memory="8Gi"))), scene(part, claim=claim("c", wanting(memory="9Gi")))


@breaks(verify.CAPACITY)
def a_capacity_under_another_spelling_of_its_name() -> tuple[Scene, Scene]:
    full = f"{DRIVER}/memory"
    asked = claim("c", replace(request("r"), capacity=amounts({full: "1Gi"})))
    return (
        scene(devices(device("gpu-0", {}, {full: "8Gi"})), claim=asked),
        scene(devices(device("gpu-0", {}, EIGHT_GI)), claim=asked),
    )


@breaks(verify.FEATURE)
def capacity_while_it_is_off() -> tuple[Scene, Scene]:
    part = devices(device("gpu-0", {}, EIGHT_GI))
    asked = claim("c", replace(request("r"), capacity={}))
    return scene(part, claim=asked), scene(
        part, claim=asked, gates=only(consumable_capacity=False, fractional_capacity_range=False)
    )


def test_while_capacity_is_off_nobody_looks_at_it():
    asked = claim("c", wanting(memory="9Gi"))

    reported = found(scene(devices(device("gpu-0", {}, EIGHT_GI)), claim=asked, gates=only(consumable_capacity=False)))

    assert [one.rule for one in reported] == [verify.FEATURE]


@pytest.mark.parametrize("said", [None, {}, {"slots": "1"}])
def test_a_share_takes_nothing_of_what_it_does_not_name(said):
    assert found(sharing(shared(EIGHT_GI), EIGHT_GI, allocated(claim("d"), share(said, TWO)))) == []


def test_while_sharing_is_off_a_shareable_device_is_like_any_other_and_a_share_of_it_takes_it_whole():
    off = only(consumable_capacity=False)
    other = allocated(claim("d"), share({"memory": "1Gi"}, TWO))

    assert found(scene(devices(shared(EIGHT_GI)), gates=off)) == []
    assert [one.rule for one in found(scene(devices(shared(EIGHT_GI)), other, gates=off))] == [verify.IN_USE]


@breaks(verify.COUNTERS)
def a_second_share_of_a_partition_draws_nothing_more_a_second_partition_does() -> tuple[Scene, Scene]:
    def of(*names: str) -> Scene:
        made = [replace(part(name, {"memory": "5Gi"}), shareable=True) for name in ("a", "b")]
        asked = claim("c", request("x"), request("y"))
        given = allocation(
            share(None, ONE, names[0], "x"),
            share(None, TWO, names[1], "y"),
        )
        return scene(EIGHT, partitions(*made), claim=asked, given=given)

    return of("a", "a"), of("a", "b")


@breaks(verify.COUNTERS)
def a_partition_of_which_others_have_shares_draws_once() -> tuple[Scene, Scene]:
    def beside(size: str) -> Scene:
        lent = replace(part("a", {"memory": "5Gi"}), shareable=True)
        others = [allocated(claim(name), share(None, id, "a")) for name, id in (("d", ONE), ("e", TWO))]  # noqa: A001
        return scene(EIGHT, partitions(lent, part("b", {"memory": size})), *others, given=allocation(result("b")))

    return beside("3Gi"), beside("4Gi")


@breaks(verify.ALL_DEVICES)
def all_without_one_that_is_large_enough() -> tuple[Scene, Scene]:
    def beside(size: str) -> Scene:
        part = devices(device("gpu-0", {}, EIGHT_GI), device("gpu-1", {}, {"memory": size}))
        everything = claim("c", replace(request("r", all=True), capacity=amounts({"memory": "6Gi"})))
        return scene(part, claim=everything)

    return beside("4Gi"), beside("6Gi")


@breaks(verify.CAPACITY)
def all_while_an_amount_cannot_be_counted() -> tuple[Scene, Scene]:
    ranged = RequestPolicy(None, (), *(parse_quantity(text) for text in ("1", "9E", "1")), ranged=True)

    def beside(policy: RequestPolicy) -> Scene:
        big = device("gpu-0", {}, {"memory": "9E"})
        other = replace(device("gpu-1", {}, {"memory": "1"}), policies={"memory": policy})
        everything = claim("c", replace(request("r", all=True), capacity=amounts({"memory": "8E"})))
        return scene(devices(big, other), claim=everything, gates=FRACTIONS)

    return beside(replace(ranged, step=None)), beside(replace(ranged, maximum=None))


def policy(
    default: str = "", values: str = "", low: str = "", high: str = "", step: str = ""
) -> dict[str, RequestPolicy]:
    def amount(text: str) -> Any:
        return parse_quantity(text) if text else None

    listed = tuple(parse_quantity(text) for text in values.split())
    return {"x": RequestPolicy(amount(default), listed, amount(low), amount(high), amount(step), ranged=bool(low))}


# What a request takes of a capacity `x`; None where the device cannot serve it, "!" where no device can.
TAKEN: list[tuple[str, dict[str, RequestPolicy], str, str | None]] = [
    ("8Gi", {}, "", "8Gi"),
    ("8Gi", {}, "3Gi", "3Gi"),
    ("8Gi", policy("1Gi"), "", "1Gi"),
    ("8Gi", policy("0"), "", "0"),
    ("8Gi", policy("1Gi"), "3Gi", "3Gi"),
    ("8Gi", policy("1Gi", low="1Gi", step="1Gi"), "2500Mi", "3Gi"),
    ("8Gi", policy("1Gi", low="1Gi", step="1Gi"), "1Gi", "1Gi"),
    ("8Gi", policy("1Gi", low="1Gi", step="1Gi"), "1Mi", "1Gi"),
    ("8Gi", policy("1Gi", low="1Gi", high="2Gi", step="1Gi"), "2500Mi", None),
    ("8Gi", policy("1Gi", low="1Gi", high="2Gi"), "1500Mi", "1500Mi"),
    ("8Gi", policy("1Gi", low="1Gi", high="2Gi"), "3Gi", None),
    ("8", policy("2", "2 4"), "3", "4"),
    ("8", policy("2", "2 4"), "2", "2"),
    ("8", policy("2", "2 4"), "5", None),
    ("8", policy("2", "2 4"), "", "2"),
    ("8", policy("3", "2 4"), "", "3"),
    ("1", policy("200m", low="200m", step="100m"), "250m", "300m"),
    ("10Pi", policy("1Gi", low="1Gi", step="1Gi"), "9Pi", "!"),
    ("1E", policy("1Gi", low="1Gi", step="1Gi"), "8Pi", "8Pi"),
    ("1E", policy("1Gi", low="1Gi", high="10Pi", step="1Gi"), "9Pi", "9Pi"),
    ("8", policy("1", low="1", step="1"), "18446744073709551616", "!"),
    ("8", policy("1", low="1", step="1"), "1u", "1"),
    ("8", policy("1", low="1", step="1"), "1000001u", "!"),
    ("1e22", {}, "1e21", "1e21"),
    ("1e22", policy("1", low="1"), "1e21", "1e21"),
    ("8", {}, "-5", "!"),
    ("8", policy("1", low="1"), "-5", "1"),
    ("10E", policy("1", low="1", step="1m"), "9223372036854775807m", "9223372036854775807m"),
    ("8", policy("1", low="1", step="0"), "2", "!"),
    ("8", policy("1", low="1", step="3"), "5", "7"),
    ("8", policy("2", low="1", step="3"), "", "2"),
    ("8", policy("3", low="1", high="2"), "", "3"),
    ("8", {}, "9", None),
]


@pytest.mark.parametrize(("has", "policies", "asks", "takes"), TAKEN, ids=lambda value: repr(value)[:60])
def test_a_share_takes_what_the_policy_makes_of_the_request(has, policies, asks, takes):
    made = shared({"x": has}, policies=policies)
    said = {"x": takes if takes not in (None, "!") else "1"}

    reported = found(sharing(made, said, gates=FRACTIONS, **({"x": asks} if asks else {})))

    assert [one.rule for one in reported] == ([verify.CAPACITY] if takes in (None, "!") else [])


def test_without_fractions_ranges_count_in_whole_units_of_64_bits():
    off = only(fractional_capacity_range=False)
    made = shared({"x": "8E"}, policies=policy("1Gi", low="1Gi", step="1Gi"))
    small = shared({"x": "8"}, policies=policy("1", low="200m", step="100m"))

    assert found(sharing(made, {"x": "9Pi"}, gates=off, x="9Pi")) == []
    assert [one.rule for one in found(sharing(made, {"x": "9Pi"}, gates=FRACTIONS, x="9Pi"))] == [verify.CAPACITY]
    assert found(sharing(small, {"x": "1"}, gates=off, x="250m")) == []
    for beyond in ("9223372036854775808", "9223372036854775807"):  # too much, and too much once rounded up
        large = shared({"x": "10E"}, policies=policy("1Gi", low="1Gi", step="1Gi"))
        assert [one.rule for one in found(sharing(large, {"x": "9E"}, gates=off, x=beyond))] == [verify.CAPACITY]


# ---------------------------------------------------------------- what is copied into results

ATTACHED = replace(device("gpu-0"), binding_conditions=("ready", "attached"), binding_failures=("failed",))


@breaks(verify.BINDING)
def a_result_without_its_devices_conditions() -> tuple[Scene, Scene]:
    copied = result("gpu-0", binding_conditions=("ready", "attached"), binding_failures=("failed",))
    return scene(devices(ATTACHED), given=allocation(copied)), scene(devices(ATTACHED))


@breaks(verify.BINDING)
def a_result_with_the_failures_of_no_device() -> tuple[Scene, Scene]:
    return scene(), scene(given=allocation(result("gpu-0", binding_failures=("failed",))))


@breaks(verify.FEATURE)
def a_device_with_conditions_while_they_are_off() -> tuple[Scene, Scene]:
    off = only(binding_conditions=False)
    plain = replace(ATTACHED, binding_conditions=(), binding_failures=())
    return scene(devices(plain), gates=off), scene(devices(ATTACHED), gates=off)


def test_all_is_all_without_conditions_while_they_are_off():
    part = devices(replace(ATTACHED, name="gpu-1"), device("gpu-0"))

    everything = claim("c", request("r", all=True))

    assert found(scene(part, claim=everything, gates=only(binding_conditions=False))) == []
    assert [one.rule for one in found(scene(part, claim=everything))] == [verify.ALL_DEVICES]


CAPABLE = frozenset({"DRAOptionalNodeOperations"})


def leaving_out(*, said: bool = True, features: frozenset[str] = CAPABLE, on: bool = True) -> Scene:
    item = replace(devices(device("gpu-0")), skip_operations=("NodePrepareResources", "*"))
    given = allocation(result("gpu-0", skip_operations=item.skip_operations if said else ()))
    here = replace(node("n1"), features=features)
    return scene(here, item, given=given, gates=only(optional_node_operations=on, list_attributes=True))


@breaks(verify.SKIPPED)
def a_result_without_the_operations_that_its_slice_leaves_out() -> tuple[Scene, Scene]:
    return leaving_out(), leaving_out(said=False)


@breaks(verify.SKIPPED)
def operations_left_out_on_a_node_that_cannot() -> tuple[Scene, Scene]:
    return leaving_out(), leaving_out(features=frozenset({"Other"}))


@breaks(verify.SKIPPED)
def operations_left_out_that_no_slice_leaves_out() -> tuple[Scene, Scene]:
    return scene(), scene(given=allocation(result("gpu-0", skip_operations=("*",))))


@breaks(verify.FEATURE)
def operations_left_out_while_that_is_off() -> tuple[Scene, Scene]:
    return leaving_out(), leaving_out(on=False)


# ---------------------------------------------------------------- taints by gate


@pytest.mark.parametrize(
    ("gates", "own", "by_rule"),
    [
        (Gates(), [verify.DEVICE_TAINT], [verify.DEVICE_TAINT]),
        (only(device_taint_rules=False), [verify.DEVICE_TAINT], []),
        (only(device_taints=False, device_taint_rules=False), [], []),
    ],
    ids=["on", "no rules", "off"],
)
def test_taints_count_while_they_are_on(gates, own, by_rule):
    tainted = devices(device("gpu-0", taints=[taint("worn")]))

    assert [one.rule for one in found(scene(tainted, gates=gates))] == own
    assert [one.rule for one in found(scene(taint_rule(), gates=gates))] == by_rule


def test_an_alternative_is_judged_by_its_own_tolerations():
    tolerant = (toleration("broken"),)
    asked = claim("c", either(request("a"), request("b", tolerations=tolerant)))

    def of(name: str, tolerations: Any) -> Scene:
        return scene(taint_rule(), claim=asked, given=allocation(result("gpu-0", name, tolerations=tolerations)))

    assert found(of("r/b", tolerant)) == []
    assert {one.rule for one in found(of("r/a", ()))} == {verify.DEVICE_TAINT}
    assert {one.rule for one in found(of("r/b", ()))} == {verify.TOLERATIONS}


# ---------------------------------------------------------------- allocations without a pod


def claims_on_n1(*pairs: tuple[Claim, Allocation], others: Any = ()) -> list[str]:
    around = world(node("n1"), gpus("n1", 2), *others)
    claims, allocations = [claim for claim, _ in pairs], [given for _, given in pairs]
    reported = violations_of_claims(around, around.nodes["n1"], claims, allocations, evaluate, derive)
    return [one.rule for one in reported]


def test_allocations_of_others_are_judged_without_a_pod():
    assert claims_on_n1((claim("c"), FIRST), (claim("d"), allocation(result("gpu-1")))) == []
    assert claims_on_n1((claim("c"), FIRST), (claim("d"), FIRST)) == [verify.IN_USE]
    assert claims_on_n1((claim("c"), FIRST), others=[allocated(claim("d"), result("gpu-0"))]) == [verify.IN_USE]
    assert claims_on_n1((claim("c", count=2), FIRST)) == [verify.COUNT]


def test_each_claim_needs_its_allocation():
    around = world(node("n1"), gpus("n1", 2))

    with pytest.raises(ValueError, match="shorter"):
        violations_of_claims(around, around.nodes["n1"], [claim("c")], [])


# ---------------------------------------------------------------- the cases
