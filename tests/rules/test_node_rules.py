"""Vectorised node rules say what the scalar definitions say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.demand import Demand
from scheduler.core.match import selects_node, tolerates, untolerated
from scheduler.core.model import NodeSelector, NodeSelectorTerm, Requirement, Taint, Toleration
from scheduler.core.nodes import NodeTable
from scheduler.core.rules import NODE_RULES
from scheduler.core.rules.extended import ExtendedResources
from scheduler.core.rules.features import DeclaredFeatures
from scheduler.core.rules.taints import UNSCHEDULABLE
from tests import build

KEYS = ["zone", "disk", "rank"]
VALUES = ["a", "b", "1", "07", "-3", ""]
OPERATORS = ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Near"]
EFFECTS = ["NoSchedule", "NoExecute", "PreferNoSchedule"]

labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
taints = st.lists(
    st.builds(Taint, st.sampled_from(["k", "l"]), st.sampled_from(["", "v"]), st.sampled_from(EFFECTS)), max_size=2
)
nodes = st.builds(
    lambda name, own, spoiled, closed, cpu: build.node(name, labels=own, taints=spoiled, unschedulable=closed, cpu=cpu),
    st.sampled_from(["n1", "n2", "n3", "n4"]),
    labels,
    taints,
    st.booleans(),
    st.integers(0, 4),
)
requirements = st.builds(
    Requirement,
    st.sampled_from(KEYS),
    st.sampled_from(OPERATORS),
    st.lists(st.sampled_from(VALUES), max_size=2).map(tuple),
)
fields = st.builds(
    Requirement,
    st.sampled_from(["metadata.name", "metadata.namespace"]),
    st.sampled_from(["In", "NotIn"]),
    st.lists(st.sampled_from(["n1", "n2", "n9"]), max_size=2).map(tuple),
)
terms = st.builds(
    NodeSelectorTerm, st.lists(requirements, max_size=2).map(tuple), st.lists(fields, max_size=1).map(tuple)
)
selectors = st.builds(NodeSelector, st.lists(terms, max_size=2).map(tuple))
tolerations = st.builds(
    Toleration,
    st.sampled_from(["", "k", "l", "node.kubernetes.io/unschedulable"]),
    st.sampled_from(["", "Exists", "Equal"]),
    st.sampled_from(["", "v"]),
    st.sampled_from(["", *EFFECTS]),
)
demands = st.builds(
    Demand,
    node_selector=labels.map(lambda chosen: tuple(sorted(chosen.items()))),
    affinity=st.none() | selectors,
    tolerations=st.lists(tolerations, max_size=2).map(tuple),
    resources=st.integers(1, 4).map(lambda cpu: (("cpu", cpu),)),
    wants=st.just(()),
    relations=st.just(()),
    held=st.lists(selectors, max_size=1).map(tuple),
)


def allowed(node, demand) -> bool:
    spoils = (*node.taints, *((UNSCHEDULABLE,) if node.unschedulable else ()))
    return (
        all(node.labels.get(key) == value for key, value in demand.node_selector)
        and (demand.affinity is None or selects_node(demand.affinity, node))
        and untolerated(spoils, demand.tolerations) is None
        and all(selects_node(selector, node) for selector in demand.held)
        and all(node.allocatable[name] >= amount for name, amount in demand.resources)
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(nodes, min_size=1, max_size=6), demands)
def test_vectorised_rules_agree_with_the_scalar_definitions(published, demand):
    table = NodeTable(size=1)
    for item in published:
        table.put(item, owned=True)
    rows = np.flatnonzero(table.live).astype(np.int32)

    held = np.ones(len(rows), np.bool_)
    for rule in NODE_RULES:
        verdict = rule.mask(table, demand, rows)
        assert verdict.shape == rows.shape
        failing = rows[~verdict]
        if len(failing):
            assert sum(count for _, count in rule.reasons(table, demand, failing)) >= len(failing)
        held &= verdict

    assert held.tolist() == [allowed(table.nodes[row], demand) for row in rows.tolist()]


def test_a_node_that_left_leaves_no_labels_or_resources_behind():
    table = NodeTable(size=1)
    row = table.put(build.node("n1", labels={"zone": "a"}, gpu=8), owned=True)
    table.use(row, {"cpu": 5}, 1)

    table.drop("n1")
    again = table.put(build.node("n2"), owned=True)

    assert again == row
    assert "zone" not in table.labels
    assert table.left("gpu", np.array([row]))[0] == 0
    assert table.left("cpu", np.array([row]))[0] == 64_000


def judged(table, demand):
    rows = np.flatnonzero(table.live).astype(np.int32)
    held = np.all([rule.mask(table, demand, rows) for rule in NODE_RULES], axis=0)
    one = [all(rule.holds(table, demand, row) for rule in NODE_RULES) for row in rows.tolist()]
    assert held.tolist() == one
    return {table.nodes[row].name for row, fits in zip(rows.tolist(), held.tolist(), strict=True) if fits}


def test_nodes_that_do_not_declare_what_a_pod_needs_are_counted_by_what_they_lack():
    table = NodeTable(size=1)
    for name, features in {"n1": ["A", "B"], "n2": ["A"], "n3": [], "n4": []}.items():
        table.put(build.node(name, features=features), owned=True)
    demand = Demand((), None, (), (), (), (), (), features=("A", "B"))

    assert judged(table, demand) == {"n1"}
    rows = np.array([table.rows[name] for name in ("n2", "n3", "n4")], np.int32)
    assert DeclaredFeatures().reasons(table, demand, rows) == [
        ("do not declare the feature A, B, which the pod needs", 2),
        ("do not declare the feature B, which the pod needs", 1),
    ]


def test_room_for_nominated_pods_is_not_given_away():
    table = NodeTable(size=1)
    for name in ("n1", "n2", "n3"):
        table.put(build.node(name, cpu=4000, pods=2), owned=True)
    table.use(table.rows["n3"], {}, 1)
    kept = (("gone", (("cpu", 9),)), ("n1", (("cpu", 3000), ("pods", 1))), ("n3", (("pods", 1),)))

    def asking(cpu):
        return Demand((), None, (), (("cpu", cpu),), (), (), (), nominees=kept)

    assert judged(table, asking(1000)) == {"n1", "n2"}
    assert judged(table, asking(1001)) == {"n2"}


@pytest.mark.parametrize(
    ("operator", "value", "taint", "held"),
    [
        ("Gt", "4", "5", True), ("Gt", "5", "5", False), ("Lt", "6", "5", True), ("Lt", "-6", "-7", True),
        ("Gt", "+4", "5", False), ("Gt", "4", "05", False), ("Gt", "4", "", False), ("Lt", "9" * 30, "5", False),
        ("Gt", "-0", "5", False),
    ],
)  # fmt: skip
def test_tolerations_compare_numbers_in_the_one_way_in_which_they_are_written(operator, value, taint, held):
    toleration = build.toleration("k", value, operator=operator)

    assert tolerates(toleration, build.taint("k", taint)) == held


OFFERED = "example.com/gpu"


def extended_demand(*offered):
    return Demand((), None, (), (), (), (), (), offered)


def test_a_way_admits_the_nodes_that_serve_extended_resources_just_so():
    table = NodeTable(size=1)
    for name, amount in {"some": {OFFERED: 2}, "zero": {OFFERED: 0}, "none": {}}.items():
        table.put(build.node(name, **amount), owned=True)
    rows = np.array([table.rows[name] for name in ("some", "zero", "none")], np.int32)

    rule = ExtendedResources()

    assert rule.mask(table, extended_demand((OFFERED, True)), rows).tolist() == [True, False, False]
    assert rule.mask(table, extended_demand((OFFERED, False)), rows).tolist() == [False, True, True]
    assert rule.mask(table, extended_demand(), rows).tolist() == [True, True, True]


def test_what_nodes_offer_is_told_once_for_each_combination():
    table = NodeTable(size=1)
    assert table.offers(["a.com/x", "b.com/y"]) == [(False, False)]

    for name, amounts in {"n1": {"a.com/x": 1}, "n2": {"a.com/x": 3}, "n3": {"a.com/x": 1, "b.com/y": 1}}.items():
        table.put(build.node(name, **amounts), owned=True)

    assert table.offers(["a.com/x", "b.com/y"]) == [(True, False), (True, True)]
    table.drop("n3")
    assert table.offers(["a.com/x", "b.com/y"]) == [(True, False)]
