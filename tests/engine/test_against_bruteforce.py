"""The engine against trying everything: it places a pod if and only if that is possible, and then correctly."""

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, note, settings

from scheduler.core import plan
from scheduler.core.messages import RecordDecision, WriteAllocation
from scheduler.core.model import ALL, Namespace, Uid
from scheduler.core.plan import Placement
from scheduler.core.verify import World
from tests.bruteforce import PENDING, feasible_nodes, judge, worlds
from tests.build import pod_uid
from tests.driving import Hands

EXAMPLES = settings(max_examples=160, deadline=None, suppress_health_check=list(HealthCheck))


def objects_of(world: World) -> list[Any]:
    tables = (world.nodes, world.slices, world.classes, world.taint_rules, world.claims, world.pods)
    named = [Namespace(name, labels) for name, labels in world.namespaces.items()]
    return [*named, *(item for table in tables for item in table.values())]


def placed(world: World, **config: str) -> tuple[Hands, Placement | None]:
    """What the engine does with the pending pod of a world."""
    hands = Hands(*objects_of(world), ownership=world.ownership, verify_plans=False, **config).settle()
    decisions = hands.of(RecordDecision)
    if not decisions:
        return hands, None
    allocations = {write.claim.uid: write.allocation for write in hands.of(WriteAllocation)}
    meant = {(world.pods[PENDING].namespace, name) for name in _claim_names(world)}
    joined = tuple(
        claim.uid
        for claim in world.claims.values()
        if (claim.namespace, claim.name) in meant and claim.uid not in allocations
    )
    return hands, Placement(PENDING, decisions[0].decision.winner.node, allocations, joined, decisions[0].decision)


def _claim_names(world: World) -> list[str]:
    pod = world.pods[PENDING]
    return [entry.claim_name or pod.claim_names[entry.name] or "" for entry in pod.claims]


def ended(world: World, hands: Hands) -> bool:
    """Whether the attempt ended on every node as kube-scheduler's does, by an error that one of them met.

    That is a selector that fails on a device, or a request for all devices that cannot be served.
    """
    why = hands.engine.why_pending("default/p")
    if why is None or why[0] != plan.REFUSED:
        return False
    asked = [world.claims[uid].spec for uid in world.claims if world.claims[uid].name in _claim_names(world)]
    requests = [each for spec in asked for each in spec.requests]
    if "failed on device" in why[1]:
        texts = [text for item in world.classes.values() for text in item.selectors]
        texts += [text for each in requests for text in each.selectors]
        devices = [device for item in world.slices.values() for device in item.devices]
        assert any(".model ==" in text for text in texts)
        assert any("model" not in device.attributes for device in devices)
        return True
    assert any(each.mode == ALL for each in requests)
    assert "asks for all devices" in why[1]
    return True


@EXAMPLES
@given(worlds())
def test_a_pod_is_placed_exactly_when_some_choice_is_correct(world):
    possible = feasible_nodes(world, PENDING)

    hands, placement = placed(world)

    note(f"possible on {sorted(possible) or 'no node'}; the engine says: {hands.reason('p') or placement}")
    assert (placement is not None) == bool(possible) or ended(world, hands)
    if placement is not None:
        assert placement.node in possible
        assert judge(world, placement) == ()
        assert placement.decision.feasible_nodes == len(possible)
        assert hands.node_of("p") == placement.node


@EXAMPLES
@given(worlds())
def test_taking_the_first_devices_that_fit_finds_a_fit_just_as_surely(world):
    possible = feasible_nodes(world, PENDING)

    hands, placement = placed(world, device_choice="first-fit")

    note(f"possible on {sorted(possible) or 'no node'}; the engine says: {hands.reason('p') or placement}")
    assert (placement is not None) == bool(possible) or ended(world, hands)
    assert placement is None or judge(world, placement) == ()


def crowded(world: World) -> list[Any]:
    """The objects of a world with its pending pod three times over: own claims are copied, allocated ones shared."""
    found = objects_of(world)
    pod = world.pods[PENDING]
    own = {claim.name: claim for claim in world.claims.values() if claim.name in _claim_names(world)}
    for copy in ("p1", "p2"):
        names = {name: name if claim.allocation is not None else f"{copy}-{name}" for name, claim in own.items()}
        for name, claim in own.items():
            if claim.allocation is None:
                owner = pod_uid(copy) if claim.owner == pod.uid else claim.owner
                found.append(replace(claim, name=names[name], uid=Uid(f"{claim.uid}-{copy}"), owner=owner))
        entries = tuple(
            entry if entry.claim_name is None else replace(entry, claim_name=names.get(entry.claim_name, "gone"))
            for entry in pod.claims
        )
        made = {entry: names.get(name or "", "gone") for entry, name in pod.claim_names.items()}
        found.append(replace(pod, name=copy, uid=pod_uid(copy), claims=entries, claim_names=made))
    return found


@EXAMPLES
@given(worlds())
def test_pods_of_one_cycle_are_placed_correctly_after_each_other_in_whatever_order_things_are_seen(world):
    objects = crowded(world)

    one = Hands(*objects, ownership=world.ownership, verify_plans=True).settle()
    other = Hands(*reversed(objects), ownership=world.ownership, verify_plans=True).settle()

    held = [result.identity for claim in one.engine.state.claims.current.values() if claim.allocation
            for result in claim.allocation.results if not result.admin_access]  # fmt: skip
    assert len(held) == len(set(held))
    for name in ("p", "p1", "p2"):
        assert one.node_of(name) == other.node_of(name)
    claims = one.engine.state.claims.current
    assert {uid: claim.allocation for uid, claim in claims.items()} == {
        uid: claim.allocation for uid, claim in other.engine.state.claims.current.items()
    }


CROWDED = worlds(frozenset({"neighbours"}))


@EXAMPLES
@given(CROWDED)
def test_a_pod_that_asks_something_of_others_is_placed_exactly_when_some_choice_is_correct(world):
    possible = feasible_nodes(world, PENDING)

    hands, placement = placed(world)

    note(f"possible on {sorted(possible) or 'no node'}; the engine says: {hands.reason('p') or placement}")
    assert (placement is not None) == bool(possible) or ended(world, hands)
    assert placement is None or placement.decision.feasible_nodes == len(possible)


@EXAMPLES
@given(CROWDED)
def test_pods_of_one_cycle_respect_what_they_ask_of_each_other_in_whatever_order_things_are_seen(world):
    objects = crowded(world)

    one = Hands(*objects, ownership=world.ownership, verify_plans=True).settle()
    other = Hands(*reversed(objects), ownership=world.ownership, verify_plans=True).settle()

    assert [one.node_of(name) for name in ("p", "p1", "p2")] == [other.node_of(name) for name in ("p", "p1", "p2")]
