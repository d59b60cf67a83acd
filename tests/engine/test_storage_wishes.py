"""Nodes with much storage for a pod's claims are liked a little, as kube-scheduler's VolumeBinding likes them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.budget import Budget
from scheduler.core.candidates import Candidates
from scheduler.core.catalogue import Catalogue
from scheduler.core.config import EngineConfig, Ownership
from scheduler.core.demand import Refusal, resolve
from scheduler.core.gates import Gates
from scheduler.core.messages import RecordDecision
from scheduler.core.quantity import parse_quantity
from scheduler.core.rules.free_volumes import FreeVolumes
from scheduler.core.rules.offers import used_share
from scheduler.core.state import State
from scoring.opinion import Opinion
from scoring.weights import Weights
from tests.build import HOSTNAME, node, pod
from tests.driving import Hands
from tests.storage import ZONE, capacity, driver, in_zones, made, storage_class, using, volume, volume_claim

NODES = [node("n1", labels={ZONE: "a"}), node("n2", labels={ZONE: "b"}), node("n3", labels={ZONE: "c"})]
MEASURED = driver(measured=True)
LOCAL = storage_class()


def room(zone, largest, whole=None):
    """How large a volume can be made in a zone, and of how much."""
    found = capacity(f"in-{zone}", largest, **{ZONE.replace("/", "__"): zone})
    return replace(found, capacity=parse_quantity(whole or largest))


def decided(*objects, **config):
    """The one decision about pod p, once its volumes are asked for."""
    hands = Hands(*NODES, *objects, **config)
    hands.decide()
    [found] = hands.of(RecordDecision)
    return found.decision


def shown(decision):
    """The scores of the two best nodes for storage."""
    return {each.node: each.scores.get("storage") for each in (decision.winner, decision.runner_up)}


def test_of_nodes_that_are_alike_the_one_with_the_most_room_is_taken():
    offers = [room("a", "2Gi"), room("b", "10Gi"), room("c", "5Gi")]

    found = decided(made(), MEASURED, *offers, volume_claim(storage_class="made"), using(pod(), "v"))

    assert shown(found) == {"n2": 0.9, "n3": 0.8}


def test_what_there_is_for_all_volumes_counts_and_not_how_large_one_may_be():
    whole = room("a", "10Gi", "100Gi")

    found = decided(made(), MEASURED, whole, room("b", "20Gi"), volume_claim(storage_class="made"), using(pod(), "v"))

    assert shown(found) == {"n1": 0.99, "n2": 0.95}


def test_of_free_volumes_the_one_that_is_the_largest_for_the_claim_is_liked_best():
    shelf = [volume(name, size, node=where) for name, size, where in (("x", "2Gi", "n1"), ("y", "4Gi", "n3"))]

    found = decided(LOCAL, *shelf, volume_claim(), using(pod(), "v"))

    assert shown(found) == {"n3": 0.75, "n1": 0.5}


def test_where_a_free_volume_is_taken_what_drivers_have_room_for_does_not_count():
    both = made()
    shelf = [volume("x", "2Gi", "made", node="n1")]
    claims = [volume_claim("v", storage_class="made"), volume_claim("w", "3Gi", storage_class="made")]

    found = decided(both, MEASURED, *shelf, room("a", "100Gi"), room("b", "8Gi"), *claims, using(pod(), "v", "w"))

    # On n1 the small claim gets the volume. On n2 both are made: 4Gi of 8Gi.
    assert shown(found) == {"n1": 0.5, "n2": 0.5}


def test_classes_count_alike():
    claims = [volume_claim("v", "1Gi"), volume_claim("w", "2Gi", storage_class="other")]
    shelf = [volume("x", "2Gi", node="n1"), volume("y", "2Gi", "other", node="n1")]

    found = decided(LOCAL, storage_class("other"), *shelf, *claims, using(pod(), "v", "w"))

    assert found.winner.scores["storage"] == 0.25  # half of one, all of the other


def test_a_node_of_which_nobody_knows_the_room_is_liked_least():
    found = decided(made(), volume_claim(storage_class="made"), using(pod(), "v"))

    assert set(shown(found).values()) == {0.0}


@pytest.mark.parametrize("gates", [Gates(storage_scoring=False), Gates.of_version(36), Gates.of_version(35)])
def test_without_the_gate_nobody_asks(gates):
    claimed = (volume_claim(storage_class="made"), using(pod(), "v"))

    found = decided(made(), MEASURED, room("a", "5Gi"), room("b", "10Gi"), *claimed, gates=gates)

    assert shown(found) == {"n1": None, "n2": None}


def test_pods_whose_volumes_are_bound_are_not_judged_by_storage():
    own = volume_claim(volume="pv")

    found = decided(own, volume("pv", claim=own), using(pod(), "v"))

    assert set(shown(found).values()) == {None}


# ---------------------------------------------------------------- columns

ZONES = ("a", "b", "c")
sizes = st.integers(1, 40).map(lambda number: f"{number * 256}Mi")
places = st.none() | st.sampled_from([f"n{number}" for number in range(24)]) | st.sampled_from(ZONES)
shelves = st.lists(st.tuples(sizes, st.sampled_from(["local", "made"]), places), max_size=30)
rooms = st.lists(
    st.tuples(st.sampled_from(ZONES), sizes, st.none() | sizes), max_size=3, unique_by=lambda item: item[0]
)
asked = st.lists(st.tuples(sizes, st.sampled_from(["local", "made", "other"])), min_size=1, max_size=3)


def shelved(number, size, name, place):
    found = volume(f"pv{number}", size, name, node=place if place and place not in ZONES else None)
    return replace(found, affinity=in_zones(place)) if place in ZONES else found


def cluster(shelf, offers, wanted):
    """A state of 24 nodes, and what the pod with these claims asks for."""
    state = State(Ownership(all_nodes=True))
    for number in range(24):
        state.put_node(node(f"n{number}", labels={ZONE: ZONES[number % 3]}))
    for item in (LOCAL, made(), storage_class("other", "other.example.com"), MEASURED):
        state.put_stored(item)
    for number, each in enumerate(shelf):
        state.put_stored(shelved(number, *each))
    for zone, limit, whole in offers:
        state.put_stored(room(zone, limit, whole))
    claims = [volume_claim(f"v{number}", size, name) for number, (size, name) in enumerate(wanted)]
    for claim in claims:
        state.put_stored(claim)
    asking = using(pod(), *claims)
    state.put_pod(asking)
    ways = resolve(asking, state)
    assert not isinstance(ways, Refusal)
    return state, ways.open[0].demand


@given(shelves, rooms, asked)
@settings(max_examples=150, deadline=None)
def test_columns_say_what_one_node_after_the_other_says(shelf, offers, wanted):
    state, demand = cluster(shelf, offers, wanted)
    rows = np.arange(24, dtype=np.int32)
    fits = FreeVolumes().mask(state.nodes, demand, rows)

    whole = used_share(state.nodes, demand.mounts, rows)
    apart = np.concatenate([used_share(state.nodes, demand.mounts, rows[at : at + 1]) for at in rows])

    np.testing.assert_array_equal(whole[fits], apart[fits])
    known = whole[~np.isnan(whole)]
    assert ((known >= 0) & (known <= 1)).all()


@given(shelves, rooms, asked, st.lists(st.integers(0, 10**6), max_size=8))
@settings(max_examples=60, deadline=None)
def test_scores_after_any_history_are_those_of_who_looks_for_the_first_time(shelf, offers, wanted, moves):
    state, demand = cluster(shelf, offers, wanted)
    opinion = Opinion(Weights({}))
    old = Candidates(demand, Catalogue(EngineConfig()), opinion)
    for move in (0, *moves):
        what, number = divmod(move, 7)
        if number == 1 and shelf:
            at = what % len(shelf)
            size, name, place = shelf[at]
            state.put_stored(replace(shelved(at, size, name, place), phase="Available" if what % 2 else "Released"))
        elif number == 2:
            state.put_stored(room(ZONES[what % 3], f"{1 + what % 9}Gi"))
        elif number == 3:
            state.put_node(node(f"n{what % 24}", labels={ZONE: ZONES[what % 5 % 3], HOSTNAME: f"n{what % 24}"}))
        elif number == 4 and state.volumes.free["local"]:
            state.volumes.take(sorted(state.volumes.free["local"])[0], "claim")
        elif number == 5:
            for name in sorted(state.volumes.taken)[:1]:
                state.volumes.give_back(name)
        elif number == 6:
            state.drop_node(f"n{what % 24}")
        old.refresh(state, Budget(10**12))
        new = Candidates(demand, Catalogue(EngineConfig()), opinion)
        new.refresh(state, Budget(10**12))

        assert [_shown(old, state, name) for name in state.nodes.rows] == [
            _shown(new, state, name) for name in state.nodes.rows
        ]


def _shown(candidates, state, name):
    found = candidates.at(state, name)
    return found and (found.rank, found.option.scores["storage"])
