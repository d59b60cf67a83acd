"""Rules on extended resources that devices serve: each has a plan that keeps it and one that breaks just it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scheduler.core import verify
from scheduler.core.extended import SpecialClaim, special_claim
from scheduler.core.model import ExtendedRequest, Node, RequestMapping
from tests.build import allocation, device_class, gpus, node, placement, plan, pod, pod_uid, request, result, world
from tests.verify.scenes import Cases, Scene

CASES = Cases()
breaks = CASES.breaks

GPU = "example.com/gpu"
BACKED = device_class("backed", extended_resource=GPU)


def asks(container: str, position: int, amount: int, lasting: bool = True) -> ExtendedRequest:
    return ExtendedRequest(container, position, lasting, GPU, 0, amount)


def served(
    *others: Any, wants: tuple[ExtendedRequest, ...] = (asks("main", 0, 2),), change: Any = None, **fields: Any
) -> Scene:
    """Pod p asks for example.com/gpu; a claim is made for it, with gpu-0, gpu-1 ... for its requests."""
    user = replace(pod("p", requests={GPU: 2}), extended=wants, **fields)
    special = special_claim(user, {GPU: "backed"})
    special = special if change is None else change(special)
    devices = [f"gpu-{number}" for number in range(9)]
    given = [result(devices.pop(0), each.name) for each in special.claim.spec.requests for _ in range(each.count)]
    placed = placement(user, "n1", [(special.claim, allocation(*given))], special=special)
    around = [] if any(isinstance(item, Node) for item in others) else [node("n1")]
    return world(user, *around, gpus("n1", 9), BACKED, *others), plan(placed)


def mapped(*mappings: tuple[str, str]) -> Callable[[SpecialClaim], SpecialClaim]:
    """The special claim with these mappings of container to request."""
    return lambda special: replace(special, mappings=tuple(RequestMapping(who, GPU, name) for who, name in mappings))


def claimed(**fields: Any) -> Callable[[SpecialClaim], SpecialClaim]:
    return lambda special: replace(special, claim=replace(special.claim, **fields))


TWO = (asks("main", 0, 1), asks("other", 1, 1))
ZERO, ONE = "container-0-request-0", "container-1-request-0"


@breaks(verify.EXTENDED)
def devices_for_an_extended_resource_without_a_claim() -> tuple[Scene, Scene]:
    user = pod("p", extended={GPU: 1})
    offered = world(user, node("n1", **{GPU: 1}), BACKED), plan(placement(user))
    return offered, (world(user, node("n1"), BACKED), plan(placement(user)))


@breaks(verify.EXTENDED)
def a_claim_where_a_plugin_serves() -> tuple[Scene, Scene]:
    return served(), served(node("n1", **{GPU: 8}))


@breaks(verify.EXTENDED)
def a_claim_of_an_older_class() -> tuple[Scene, Scene]:
    newer = replace(device_class("newer", extended_resource=GPU), created="2026-01-01T00:00:00Z")
    return served(), served(newer)


@breaks(verify.EXTENDED)
def a_claim_of_a_class_that_comes_later_by_name() -> tuple[Scene, Scene]:
    return served(device_class("later", extended_resource=GPU)), served(device_class("a", extended_resource=GPU))


@breaks(verify.EXTENDED)
def a_pod_that_names_a_claim_given_to_a_plugin() -> tuple[Scene, Scene]:
    fresh, stuck = pod("p", extended={GPU: 1}), pod("p", extended={GPU: 1}, extended_claim="old")
    return tuple((world(user, node("n1", **{GPU: 1})), plan(placement(user))) for user in (fresh, stuck))


@breaks(verify.EXTENDED)
def a_special_claim_of_another_pod() -> tuple[Scene, Scene]:
    return served(), served(change=claimed(owner=pod_uid("q")))


@breaks(verify.EXTENDED)
def a_special_claim_that_does_not_say_so() -> tuple[Scene, Scene]:
    return served(), served(change=claimed(annotations={}))


@breaks(verify.EXTENDED)
def too_few_devices_for_a_container() -> tuple[Scene, Scene]:
    few = (request(ZERO, 1, device_class="backed"),)
    return served(), served(change=lambda special: claimed(spec=replace(special.claim.spec, requests=few))(special))


@breaks(verify.EXTENDED)
def a_container_that_is_given_nothing() -> tuple[Scene, Scene]:
    return served(wants=TWO), served(wants=TWO, change=mapped(("main", ZERO), ("main", ONE)))


@breaks(verify.EXTENDED)
def two_containers_with_the_same_devices() -> tuple[Scene, Scene]:
    return served(wants=TWO), served(wants=TWO, change=mapped(("main", ZERO), ("other", ZERO), ("other", ONE)))


@breaks(verify.EXTENDED)
def an_init_container_with_the_devices_of_a_sidecar_that_runs() -> tuple[Scene, Scene]:
    after = (asks("init", 0, 1, lasting=False), asks("side", 1, 1))
    before = (asks("side", 0, 1), asks("init", 1, 1, lasting=False))
    return served(wants=after), served(wants=before, change=mapped(("side", ZERO), ("init", ZERO), ("init", ONE)))


@breaks(verify.EXTENDED)
def a_request_that_serves_nobody() -> tuple[Scene, Scene]:
    free = (request(ZERO, 2, device_class="backed"), request(ONE, 1, device_class="backed"))
    return served(), served(change=lambda special: claimed(spec=replace(special.claim.spec, requests=free))(special))


@breaks(verify.EXTENDED)
def a_mapping_to_no_request() -> tuple[Scene, Scene]:
    return served(), served(change=mapped(("main", ZERO), ("main", "nothing")))


@breaks(verify.EXTENDED)
def a_mapping_of_a_container_that_asks_for_nothing() -> tuple[Scene, Scene]:
    return served(), served(change=mapped(("main", ZERO), ("idle", ZERO)))


@breaks(verify.EXTENDED)
def a_request_mapped_twice() -> tuple[Scene, Scene]:
    return served(), served(change=mapped(("main", ZERO), ("main", ZERO)))


@breaks(verify.COUNT)
def a_special_claim_with_a_device_too_few() -> tuple[Scene, Scene]:
    good_world, good = served()
    (placed,) = good.placements
    (uid, given), *_ = placed.allocations.items()
    short = replace(placed, allocations={uid: replace(given, results=given.results[:1])})
    return (good_world, good), (good_world, plan(short))


@breaks(verify.CLAIMS)
def a_special_claim_that_gets_no_allocation() -> tuple[Scene, Scene]:
    good_world, good = served()
    return (good_world, good), (good_world, plan(replace(good.placements[0], allocations={})))
