"""Laws of the engine: order does not matter, a list equals the events that led to it, seeds decide nothing but ties."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.candidates import Candidates
from scheduler.core.messages import EvaluateScalar, Gone, Listed, RecordDecision, ScalarEvaluated, Seen, Solve
from scheduler.core.solvers.search import NodeAnswer
from scoring.weights import DEFAULTS
from tests import build
from tests.build import claim, gpus, node, pod
from tests.driving import Hands

OWN = 'device.attributes["gpu.example.com"]'


def fleet(count: int = 4) -> list:
    return [item for i in range(count) for item in (node(f"n{i}", cpu=8000 * (i + 1)), gpus(f"n{i}", 2 + i))]


def crowd(count: int = 6) -> list:
    pods = []
    for i in range(count):
        pods += [claim(f"c{i}", count=1 + i % 3), pod(f"p{i}", claims=[f"c{i}"], cpu=1000, created=f"{i:03d}")]
    return pods


def outcome(hands: Hands) -> dict:
    state = hands.engine.state
    return {each.name: (each.node_name, hands.devices_of(f"c{each.name[1:]}")) for each in state.pods.current.values()}


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_in_which_the_world_is_seen_does_not_matter(chance):
    world = [*fleet(), *crowd()]
    expected = outcome(Hands(*world).settle())

    chance.shuffle(world)

    assert outcome(Hands(*world).settle()) == expected


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["slice", "node", "claim", "pod"]), max_size=12), st.integers(0, 2**16))
def test_an_engine_built_from_a_list_equals_one_that_lived_through_the_events(steps, seed):
    chance = random.Random(seed)
    hands = Hands(*fleet(), *crowd(3)).settle()
    state = hands.engine.state
    for number, step in enumerate(steps):
        name = f"n{chance.randrange(4)}"
        if step == "slice":
            generation = number + 2
            hands.see(gpus(name, chance.randrange(1, 5), generation=generation, name=f"{name}-{build.DRIVER}-1"))
        elif step == "node":
            hands.tell(Gone("Node", name, build.Uid(f"uid-node-{name}")))
            if chance.random() < 0.7:
                hands.see(node(name, cpu=4000))
        elif step == "claim":
            hands.see(claim(f"x{number}", count=1), pod(f"x{number}", claims=[f"x{number}"], created="y"))
            hands.settle()
        else:
            hands.tell(Gone("Pod", "default/p0", build.pod_uid("p0")))
    state.settle()

    fresh = Hands()
    for items in (state.node_by_name, state.slices, state.claims, state.pods):
        for item in items.current.values():
            fresh.tell(Seen(item))
    fresh.tell(Listed())
    other = fresh.engine.state
    other.settle()

    assert sorted(other.nodes.rows) == sorted(state.nodes.rows)
    assert other.holders == state.holders
    for name, row in state.nodes.rows.items():
        twin = other.nodes.rows[name]
        identities = [state.row_device[r][1].name for r in state.bays.rows[row] if r >= 0]
        assert identities == [other.row_device[r][1].name for r in other.bays.rows[twin] if r >= 0]
        free = np.unpackbits(state.bays.free[row], bitorder="little")[: len(identities)]
        assert free.tolist() == np.unpackbits(other.bays.free[twin], bitorder="little")[: len(identities)].tolist()
        rows, twins = np.array([row]), np.array([twin])
        for resource in ("cpu", "pods"):
            assert state.nodes.left(resource, rows)[0] == other.nodes.left(resource, twins)[0]


def test_a_snapshot_does_not_change_when_the_world_does():
    hands = Hands(*fleet(), claim("c"), pod("p", claims=["c"]))
    hands.engine.state.settle()
    before = hands.engine.state.snapshot()
    table = before.devices
    codes = {name: column.codes.copy() for name, column in table.attributes.items()}
    live, taken, nodes = table.live.copy(), before.taken.copy(), dict(before.nodes)

    hands.settle()
    hands.see(gpus("n0", 1, generation=2, name=f"n0-{build.DRIVER}-1"), node("n9"))
    hands.tell(Gone("Node", "n1", build.Uid("uid-node-n1")))

    assert all((table.attributes[name].codes == column).all() for name, column in codes.items())
    assert (table.live == live).all()
    assert (before.taken == taken).all()
    assert before.nodes == nodes
    assert before.holding == {}


def test_a_changed_slice_costs_its_own_rows():
    hands = Hands(*fleet(), *crowd()).settle()
    state = hands.engine.state
    devices, nodes = state.device_changes.position, state.nodes.changes.position

    hands.see(gpus("n0", 2, memory="40Gi", generation=2, name=f"n0-{build.DRIVER}-1"))
    state.settle()

    assert state.device_changes.position - devices == 4
    assert state.nodes.changes.position - nodes <= 2


def scalar_only() -> Hands:
    """A selector without a vector form: it indexes a map by a computed key."""
    expression = 'device.attributes[device.driver]["in" + "dex"] == 1'
    return Hands(node("n1"), gpus("n1", 2), claim("c", selectors=[expression]), pod("p", claims=["c"]))


def test_a_selector_without_a_vector_form_is_evaluated_outside_and_the_pod_placed_afterwards():
    hands = scalar_only()

    asked = [each for each in hands.decide() if isinstance(each, EvaluateScalar)]
    assert len(asked) == 1
    for each in asked:
        hands.obey(each)
    hands.settle()

    assert hands.devices_of("c") == ["gpu-1"]


def test_many_tuples_leave_in_parts_that_keep_to_the_budget():
    expression = 'device.attributes[device.driver]["in" + "dex"] > 20'
    hands = Hands(
        node("n1"), gpus("n1", 30), claim("c", selectors=[expression]), pod("p", claims=["c"]), scalar_steps=50
    )

    asked = [each for each in hands.decide() if isinstance(each, EvaluateScalar)]

    assert len(asked) > 1
    assert sum(len(each.tuples) for each in asked) == 30
    for each in asked:
        hands.obey(each)
    hands.settle()
    assert int(hands.devices_of("c")[0].removeprefix("gpu-")) > 20


def test_late_and_stale_answers_are_dropped():
    hands = scalar_only()
    (asked,) = [each for each in hands.decide() if isinstance(each, EvaluateScalar)]

    lies = tuple(True for _ in asked.tuples)
    hands.tell(ScalarEvaluated(asked.expression, asked.generation + 1, asked.tuples, lies))

    assert not hands.engine._catalogue.verdicts._known


def test_a_search_beyond_the_budget_leaves_as_solve_and_its_answer_places_the_pod():
    asks = [build.request(f"r{i}", 1, f"{OWN}.index < {4 - i}") for i in range(3)]  # no two alike
    same = [build.match("index", f"r{i}") for i in range(3)]
    hands = Hands(
        node("n1"), gpus("n1", 4), claim("c", *asks, constraints=same), pod("p", claims=["c"]), search_steps=1
    )
    (asked,) = [each for each in hands.decide() if isinstance(each, Solve)]
    assert not hands.devices_of("c")

    hands.obey(asked)
    hands.settle()

    assert len(set(hands.devices_of("c"))) == 3
    assert isinstance(hands.engine._catalogue.answers[asked.problem], NodeAnswer)


def test_a_search_that_spends_its_second_budget_too_is_retried_later_and_never_called_a_no():
    asks = [build.request(f"r{i}", 1, f"{OWN}.index < {4 - i}") for i in range(3)]  # no two alike
    same = [build.match("index", f"r{i}") for i in range(3)]
    hands = Hands(
        node("n1"), gpus("n1", 4), claim("c", *asks, constraints=same), pod("p", claims=["c"]), search_steps=1,
        solve_steps=1,
    )  # fmt: skip
    hands.settle()
    assert len(hands.of(Solve)) == 1

    hands.now = 70.0
    hands.settle()

    assert len(hands.of(Solve)) == 2
    assert "the search for its devices is not finished" in hands.reason("p")
    assert "0 of" not in hands.reason("p")


def test_taint_rules_take_devices_away_and_give_them_back_while_ours_never_does():
    hands = Hands(node("n1"), gpus("n1", 1), build.taint_rule("sick"), claim("c"), pod("p", claims=["c"])).settle()
    assert "has a taint that the request does not tolerate: broken:NoSchedule" in hands.reason("p")

    hands.see(build.taint_rule("ours", key="dovetail.scheduler/owned"))
    hands.tell(Gone("DeviceTaintRule", "sick", build.Uid("")))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_the_seed_decides_between_equal_nodes_and_nothing_else():
    def chosen(seed: int) -> str:
        nodes = [item for i in range(8) for item in (node(f"n{i}"), gpus(f"n{i}", 2))]
        return Hands(*nodes, claim("c"), pod("p", claims=["c"]), seed=seed).settle().node_of("p")

    assert len({chosen(seed) for seed in range(8)}) > 1
    assert chosen(3) == chosen(3)


def test_a_pod_with_the_same_name_and_another_uid_is_another_pod():
    hands = Hands(node("n1"), gpus("n1", 1), claim("c"), pod("p", claims=["c"])).settle()
    other = replace(pod("p"), uid=build.Uid("second"))

    hands.see(other)
    hands.settle()

    assert hands.pod("second").node_name == "n1"
    assert build.pod_uid("p") not in hands.engine.state.pods.current


def test_a_slice_that_changes_meanwhile_does_not_hide_that_verdicts_are_missing():
    expression = 'device.attributes[device.driver]["in" + "dex"] >= 0'
    every = claim("c", build.request("r", 1, expression, all=True))
    hands = Hands(node("n1"), gpus("n1", 2), every, pod("p", claims=["c"]))
    asked = [each for each in hands.decide() if isinstance(each, EvaluateScalar)]

    nic = build.slice_of([build.device("nic")], node="n1", driver="nic.example.com")
    hands.see(nic, pod("p", claims=["c"], cpu=1))
    early = hands.decide()
    for each in asked:
        hands.obey(each)
    hands.settle()

    assert [type(each).__name__ for each in early if not isinstance(each, EvaluateScalar)] == []
    assert hands.devices_of("c") == ["gpu-0", "gpu-1"]


@pytest.mark.interpreted
def test_a_class_forgets_node_states_that_are_long_past(monkeypatch):
    monkeypatch.setattr(Candidates, "MAX_SHAPES", 3)
    objects = [item for i in range(12) for item in (claim(f"c{i}"), pod(f"p{i}", claims=[f"c{i}"], created=f"{i:03d}"))]

    hands = Hands(node("n1"), node("n2"), gpus("n1", 9), gpus("n2", 4), *objects).settle()

    assert all(hands.node_of(f"p{i}") for i in range(12))
    assert all(len(each._shapes) <= 9 for each in hands.engine._classes.values())


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.sampled_from([0.0, 5e-324, 1e-300, 1.0, 1e300, 1.7e308]), min_size=len(DEFAULTS), max_size=len(DEFAULTS)
    )
)
def test_weights_of_any_size_give_finite_totals_between_0_and_1(weights):
    given_weights = dict(zip(sorted(DEFAULTS), weights, strict=True))
    hands = Hands(*fleet(), claim("c", count=2), pod("p", claims=["c"]), weights=given_weights)

    (recorded,) = [each for each in hands.decide() if isinstance(each, RecordDecision)]

    assert 0 <= recorded.decision.winner.total <= 1
