"""Shares of devices are counted; wherever that decides, it says what the exact search says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.budget import Budget
from scheduler.core.candidates import Candidates
from scheduler.core.catalogue import Catalogue
from scheduler.core.config import EngineConfig
from scheduler.core.demand import resolve
from scheduler.core.gates import Gates
from scheduler.core.messages import Gone
from scheduler.core.model import RequestPolicy
from scheduler.core.quantity import parse_quantity
from scoring.opinion import Opinion
from scoring.weights import Weights
from tests import build
from tests.build import claim, node, pod, slice_of
from tests.driving import Hands

AMOUNTS = ("0", "1", "2", "3", "4", "5", "8", "0.5", "1n", "100Ei")
amounts = st.sampled_from(AMOUNTS[1:7]) | st.sampled_from(AMOUNTS)
quantities = amounts.map(parse_quantity)


@st.composite
def policies(draw):
    if draw(st.booleans()):
        values = tuple(sorted(draw(st.lists(quantities, min_size=1, max_size=3))))
        return RequestPolicy(default=draw(st.sampled_from(values)), values=values)
    least = draw(quantities)
    most, step = draw(st.none() | quantities), draw(st.none() | quantities)
    return RequestPolicy(default=least, minimum=least, maximum=most, step=step, ranged=True)


@st.composite
def devices(draw, number):
    names = draw(st.sampled_from([(), ("memory",), ("memory",), ("memory",), ("memory", "cores")]))
    capacity = {name: draw(quantities) for name in names}
    shareable = draw(st.sampled_from([True, True, True, False]))
    chosen = {name: draw(policies()) for name in names if shareable and draw(st.integers(0, 3)) == 0}
    attributes = {"even": number % 2 == 0} | ({"healthy": False} if draw(st.integers(0, 4)) == 0 else {})
    made = build.device(f"gpu-{number}", attributes, capacity)
    return replace(made, shareable=shareable, policies=chosen)


@st.composite
def fleets(draw):
    alike = draw(st.booleans())
    one = draw(devices(0))
    found = []
    for name in ("n1", "n2", "n3")[: draw(st.integers(1, 3))]:
        count = draw(st.integers(0, 4))
        each = [replace(one, name=f"gpu-{i}") if alike else draw(devices(i)) for i in range(count)]
        found += [node(name), slice_of(each, node=name)]
    return found


@st.composite
def requests(draw, name):
    selectors = draw(st.sampled_from([(), (), ('device.attributes["gpu.example.com"].even',)]))
    made = build.request(name, draw(st.sampled_from([1, 1, 1, 2, 3])), *selectors)
    names = draw(st.sampled_from([(), ("memory",), ("memory",), ("memory", "cores"), ("else",)]))
    return replace(made, capacity={each: draw(quantities) for each in names} or None)


asked = st.integers(1, 3).flatmap(lambda count: st.tuples(*(requests(f"r{index}") for index in range(count))))


def probe(hands, requests):
    """Verdicts on every node, counted and searched, for a pod with such a claim."""
    state = hands.engine.state
    hands.see(claim("probe", *requests), pod("probe", claims=["probe"]))
    state.settle()
    [way] = resolve(state.pods.current[build.pod_uid("probe")], state).open
    verdicts = []
    for exact in (False, True):
        candidates = Candidates(way.demand, Catalogue(EngineConfig(search_steps=100_000)), Opinion(Weights()))
        if exact:
            candidates._kinds._plain, candidates._kinds._shares, candidates._shares = False, None, None
        candidates.refresh(state, Budget(10**9))
        fits = {name: candidates._ranking.rank(row) >= 0 for name, row in state.nodes.rows.items()}
        verdicts.append((fits, candidates.fatal))
    hands.tell(Gone("Pod", "default/probe", build.pod_uid("probe")))
    hands.tell(Gone("ResourceClaim", "default/probe", build.claim_uid("probe")))
    return verdicts


@settings(max_examples=150, deadline=None)
@given(fleets(), st.lists(asked, min_size=1, max_size=7), st.booleans())
def test_counting_agrees_with_the_exact_search(fleet, crowd, fractions):
    hands = Hands(*fleet, gates=Gates(fractional_capacity_range=fractions))
    for number, wanted in enumerate(crowd):
        counted, searched = probe(hands, wanted)
        assert counted == searched

        hands.see(claim(f"c{number}", *wanted), pod(f"p{number}", claims=[f"c{number}"], created=f"{number}"))
        hands.settle()  # every plan is checked
        if number % 3 == 2:
            hands.tell(Gone("Pod", f"default/p{number - 1}", build.pod_uid(f"p{number - 1}")))
            hands.tell(Gone("ResourceClaim", f"default/c{number - 1}", build.claim_uid(f"c{number - 1}")))


def beside_new_ones(hands):
    """Each class of the engine, up to date, and the same made anew."""
    state = hands.engine.state
    for (demand, opinion), old in hands.engine._classes.items():
        old.refresh(state, Budget(10**9))
        new = Candidates(demand, hands.engine._catalogue, opinion)
        new.refresh(state, Budget(10**9))
        yield old, new


@settings(max_examples=60, deadline=None)
@given(fleets(), st.lists(asked, min_size=2, max_size=6), st.booleans())
def test_a_class_that_lived_through_changes_equals_a_new_one(fleet, crowd, fractions):
    hands = Hands(*fleet, gates=Gates(fractional_capacity_range=fractions))
    for number, wanted in enumerate(crowd):
        hands.see(claim(f"c{number}", *wanted), pod(f"p{number}", claims=[f"c{number}"], created=f"{number}"))
        hands.settle()
    state = hands.engine.state
    for old, new in beside_new_ones(hands):
        for row in state.nodes.rows.values():
            assert old._ranking.rank(row) == new._ranking.rank(row)
            assert old.answer(row) == new.answer(row)
            assert np.array_equal(
                old.node_scores[:, row] if old._ranking.rank(row) >= 0 else 0,
                new.node_scores[:, row] if new._ranking.rank(row) >= 0 else 0,
            )
        assert old.best(state) == new.best(state)


def shared(name, count, memory="10"):
    made = [replace(build.device(f"gpu-{i}", {}, {"memory": memory}), shareable=True) for i in range(count)]
    return slice_of(made, node=name)


def share(name, amount, number=0, count=1):
    asked = replace(build.request("r", count), capacity={"memory": parse_quantity(amount)})
    return claim(name, asked), pod(name, claims=[name], created=f"{number:03d}")


def test_a_share_goes_to_the_device_that_is_left_with_the_least():
    hands = Hands(node("n1"), shared("n1", 3))
    for number, amount in enumerate(["6", "5", "4", "5"]):
        hands.see(*share(f"p{number}", amount, number))
        hands.settle()

    assert [hands.devices_of(f"p{number}") for number in range(4)] == [["gpu-0"], ["gpu-1"], ["gpu-0"], ["gpu-1"]]


def test_several_devices_of_one_request_are_different_ones_with_room():
    hands = Hands(node("n1"), shared("n1", 3))
    hands.see(*share("p0", "6", 0))
    hands.settle()
    hands.see(*share("p1", "5", 1, count=2))
    hands.settle()

    assert hands.devices_of("p1") == ["gpu-1", "gpu-2"]


@pytest.mark.interpreted
def test_shares_are_counted_and_not_searched(monkeypatch):
    hands = Hands(node("n1"), shared("n1", 2))
    monkeypatch.setattr(hands.engine._catalogue.puzzles, "make", None)
    for number in range(4):
        hands.see(*share(f"p{number}", "5", number))
    hands.settle()

    assert [hands.devices_of(f"p{number}") for number in range(4)] == [["gpu-0"], ["gpu-0"], ["gpu-1"], ["gpu-1"]]


def test_a_set_is_found_on_nodes_whose_devices_are_not_shared_beside_others_where_they_are():
    plain = slice_of([build.device(f"gpu-{i}") for i in range(2)], node="n2")
    hands = Hands(node("n1"), node("n2"), shared("n1", 2), plain)
    for name in ("p0", "p1"):
        hands.see(claim(name, build.request("r", 2)), pod(name, claims=[name], created=name))
    hands.settle()

    assert {hands.node_of(name) for name in ("p0", "p1")} == {"n1", "n2"}


def test_a_node_with_too_few_devices_and_an_amount_that_no_column_holds_is_searched_alone_as_among_others():
    amounts = [{}, {}, {}, {"memory": "1n"}]
    made = [build.device(f"gpu-{i}", {"even": i % 2 == 0}, has) for i, has in enumerate(amounts)]
    hands = Hands(node("n1"), slice_of([replace(each, shareable=True) for each in made], node="n1"), node("n2"))
    three = build.request("r", 3, 'device.attributes["gpu.example.com"].even')
    for number, wanted in enumerate([three, build.request("r", 1)]):
        hands.see(claim(f"c{number}", wanted), pod(f"p{number}", claims=[f"c{number}"], created=f"{number}"))
        hands.settle()

    for old, new in beside_new_ones(hands):
        assert [old.answer(row) for row in range(2)] == [new.answer(row) for row in range(2)]
