"""Nodes come and go: what their labels were is forgotten, and nobody notices."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.budget import Budget
from scheduler.core.candidates import Candidates
from scheduler.core.catalogue import Catalogue
from scheduler.core.config import EngineConfig, Ownership
from scheduler.core.demand import Refusal, resolve
from scheduler.core.nodes import NodeTable
from scheduler.core.state import State
from scoring.opinion import Opinion
from scoring.weights import Weights
from tests.build import HOSTNAME, leans, node, pod, repels, requirement, spread

WEB = requirement("app", "In", "web")


def table(*names, **labels):
    found = NodeTable()
    for name in names:
        found.put(node(name, labels=labels), owned=True)
    return found


@pytest.mark.interpreted
def test_hostnames_of_nodes_that_went_are_forgotten():
    nodes = table(*(f"n{number}" for number in range(50)), zone="a")

    for number in range(50, 2000):
        nodes.drop(f"n{number - 50}")
        nodes.put(node(f"n{number}", labels={"zone": "a"}), owned=True)

    hosts = nodes.labels[HOSTNAME]
    assert len(hosts.values) <= 2 * 50 + NodeTable.SPARE_VALUES
    assert {hosts.values[hosts.codes[row]] for row in nodes.rows.values()} == set(nodes.rows)
    assert nodes.labels["zone"].values == ["a"]


def test_a_label_that_no_node_has_is_forgotten():
    nodes = table("n1", "n2", odd="x")

    nodes.put(node("n1"), owned=True)
    assert "odd" in nodes.labels
    nodes.drop("n2")

    assert "odd" not in nodes.labels


moves = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30), st.sampled_from("abc")), min_size=1, max_size=25)


@given(moves)
@settings(max_examples=60, deadline=None)
def test_pods_are_counted_in_the_domains_of_now(history):
    """Against a state that knows only the nodes and pods that are there at last; values are forgotten all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NodeTable, "SPARE_VALUES", -10)
        state = State(Ownership(all_nodes=True))
        asking = pod(
            "p", labels={"app": "web"}, spreads=[spread(WEB, topology="rack"), spread(WEB, skew=3)],
            repels=[repels(requirement("app", "In", "db"), topology="rack")],
            leans=[leans(5, WEB, topology="zone")],
        )  # fmt: skip
        state.put_pod(asking)
        old = None
        for number, (row, rack, zone) in enumerate(history):
            name = f"n{row}"
            if rack == 0:
                state.drop_node(name)
            else:
                state.put_node(node(name, labels={"rack": f"r{rack}", "zone": zone}))
                app = "db" if rack % 7 == 0 else "web"
                state.put_pod(pod(f"w{number}", labels={"app": app}, node=name, scheduler="other"))
            state.settle()
            demand = demand_of(asking, state)
            if old is None or old.demand != demand:
                old = Candidates(demand, Catalogue(EngineConfig()), Opinion(Weights({})))
            old.refresh(state, Budget(10**12))

            fresh = State(Ownership(all_nodes=True))
            for each in state.node_by_name.current.values():
                fresh.put_node(each)
            for each in state.pods.current.values():
                fresh.put_pod(each)
            fresh.settle()
            new = Candidates(demand_of(asking, fresh), Catalogue(EngineConfig()), Opinion(Weights({})))
            new.refresh(fresh, Budget(10**12))

            assert shown(old, state) == shown(new, fresh)


def demand_of(asking, state):
    ways = resolve(asking, state)
    assert not isinstance(ways, Refusal)
    return ways.open[0].demand


def shown(candidates, state):
    found = {name: candidates.at(state, name) for name in state.nodes.rows}
    return {name: each and (each.rank, dict(each.option.scores)) for name, each in found.items()}
