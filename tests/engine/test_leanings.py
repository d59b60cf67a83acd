"""What pods prefer of pods around them, beside plain loops over all pods, and where it sends them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.config import Ownership
from scheduler.core.demand import resolve
from scheduler.core.match import selects_labels
from scheduler.core.messages import Gone, RecordDecision
from scheduler.core.state import State
from scheduler.core.wishes import COMPANY, EVENNESS, Wishes
from scoring.opinion import Opinion
from scoring.placement import HIGHEST
from scoring.weights import Weights
from tests.build import HOSTNAME, leans, node, pod, pod_uid, repels, requirement, spread
from tests.driving import Hands

WEB, DB = requirement("app", "In", "web"), requirement("app", "In", "db")
zones = st.sampled_from(["a", "b", "c", None])
apps = st.sampled_from(["web", "db", "none"])
terms = st.builds(
    lambda weight, app, topology: leans(weight, app, topology=topology),
    st.sampled_from([-100, -7, 1, 50]),
    st.sampled_from([WEB, DB]),
    st.sampled_from(["zone", HOSTNAME]),
)
needs = st.builds(lambda app, topology: repels(app, topology=topology), st.sampled_from([WEB, DB]), st.just("zone"))
spreads = st.builds(
    lambda app, topology, skew, policy: spread(app, topology=topology, skew=skew, hard=False, node_affinity=policy),
    st.sampled_from([WEB, DB]),
    st.sampled_from(["zone", HOSTNAME, "rack"]),
    st.integers(1, 3),
    st.booleans(),
)
standing = st.tuples(apps, st.integers(0, 5), st.lists(terms, max_size=2), st.lists(needs, max_size=1), st.booleans())


def selects(term, item):
    return item.namespace in term.pods.namespaces and selects_labels(term.pods.selector, item.labels)


def company_of(asking, item, nodes, pods):
    """`processExistingPod` and `Score` of interpodaffinity, one node after the other."""
    summed = 0
    for other in pods:
        where = nodes[other.node_name].labels
        pairs = [(each.weight, each.term) for each in asking.leans if selects(each.term, other)]
        pairs += [(each.weight, each.term) for each in other.leans if selects(each.term, asking)]
        pairs += [(1, term) for term in other.attracts if selects(term, asking)]
        for weight, term in pairs:
            value = where.get(term.topology)
            summed += weight if value is not None and item.labels.get(term.topology) == value else 0
    return summed


def evenness_of(asking, item, nodes, pods, fitting):
    """`Score` of podtopologyspread, before it is normalized; None for a node that lacks a key."""
    soft = [each for each in asking.spreads if not each.hard]
    if any(each.topology not in item.labels for each in soft):
        return None
    among = [nodes[name] for name in fitting if all(each.topology in nodes[name].labels for each in soft)]
    score = 0.0
    for each in soft:

        def matching(name, each=each):
            return sum(
                other.node_name == name and not other.deleting and selects_labels(each.selector, other.labels)
                for other in pods
            )

        if each.topology == HOSTNAME:
            size, count = len(among), matching(item.name)
        else:
            size = len({one.labels[each.topology] for one in among})
            counted = [
                one.name for one in nodes.values()
                if all(other.topology in one.labels for other in soft)
                and one.labels[each.topology] == item.labels[each.topology]
                and (not each.node_affinity or all(one.labels.get(k) == v for k, v in asking.node_selector.items()))
            ]  # fmt: skip
            count = sum(matching(name) for name in counted)
        score += count * math.log(size + 2) + (each.max_skew - 1)
    return math.floor(score + 0.5)


@given(
    st.lists(st.tuples(zones, st.booleans(), st.booleans()), min_size=6, max_size=6),
    st.lists(standing, max_size=8),
    st.lists(terms, max_size=3),
    st.lists(spreads, max_size=2, unique_by=lambda each: each.topology),
    apps,
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_columns_are_what_loops_over_all_pods_come_to(places, there, leaning, softly, app, choosy):
    state = State(Ownership(all_nodes=True))
    nodes = {}
    for number, (zone, racked, fast) in enumerate(places):
        known = {"zone": zone, "rack": "r" if racked else None, "fast": "1" if fast else None}
        labels = {key: value for key, value in known.items() if value}
        nodes[f"n{number}"] = node(f"n{number}", labels=labels)
        state.put_node(nodes[f"n{number}"])
    pods = [
        pod(f"s{number}", node=f"n{where}", labels={"app": each}, leans=own, attracts=asks, deleting=leaves)
        for number, (each, where, own, asks, leaves) in enumerate(there)
    ]
    for each in pods:
        state.put_pod(each)
    asking = pod("p", labels={"app": app}, leans=leaning, spreads=softly, selector={"fast": "1"} if choosy else {})
    state.put_pod(asking)

    demand = resolve(asking, state).open[0].demand
    wishes = Wishes(demand, Opinion(Weights()))
    stated = wishes.look(state.nodes)
    wishes.resize(state.nodes.size)
    base = np.full(state.nodes.size, -1, np.int64)
    fitting = [name for name in nodes if not choosy or "fast" in nodes[name].labels]
    base[[state.nodes.rows[name] for name in fitting]] = HIGHEST
    wishes.weigh(state.nodes, base)

    for name in fitting:
        row = state.nodes.rows[name]
        if COMPANY in stated:
            assert wishes._columns[COMPANY][row] == company_of(asking, nodes[name], nodes, pods)
        else:
            assert company_of(asking, nodes[name], nodes, pods) == 0
        if EVENNESS in stated:
            expected = evenness_of(asking, nodes[name], nodes, pods, fitting)
            found = wishes._columns[EVENNESS][row]
            assert math.isnan(found) if expected is None else found == expected
    assert (EVENNESS in stated) == bool(softly)


def zoned(**zones):
    return [node(name, labels={"zone": zone}) for name, zone in zones.items()]


def decision(hands, name):
    return [each.decision for each in hands.of(RecordDecision) if each.decision.pod == f"default/{name}"][-1]


def test_a_pod_goes_to_those_that_it_likes_and_away_from_those_that_it_does_not():
    nodes = zoned(n1="a", n2="b", n3="c")
    there = [pod("db", node="n2", labels={"app": "db"}), pod("web", node="n1", labels={"app": "web"})]

    likes = Hands(*nodes, *there, pod("p", leans=[leans(10, DB)])).settle()
    avoids = Hands(*nodes, *there, pod("p", leans=[leans(-10, DB), leans(-10, WEB)])).settle()

    assert likes.node_of("p") == "n2"
    assert avoids.node_of("p") == "n3"
    assert decision(avoids, "p").winner.scores["company"] == 1.0


@pytest.mark.parametrize(("wish", "expected"), [(50, "n2"), (-50, "n1")])
def test_what_pods_that_run_prefer_moves_those_that_come(wish, expected):
    nodes, there = zoned(n1="a", n2="b"), pod("db", node="n2", labels={"app": "db"}, leans=[leans(wish, WEB)])

    assert Hands(*nodes, there, pod("p", labels={"app": "web"})).settle().node_of("p") == expected
    other = Hands(*nodes, there, pod("p", labels={"app": "other"})).settle()
    assert "company" not in decision(other, "p").winner.scores


def test_a_required_affinity_of_a_pod_that_runs_draws_others_a_little():
    nodes, there = zoned(n1="a", n2="b"), pod("db", node="n2", labels={"app": "db"}, attracts=[repels(WEB)])

    assert Hands(*nodes, there, pod("p", labels={"app": "web"})).settle().node_of("p") == "n2"


def test_pods_that_need_not_be_spread_are_spread_where_they_can_be():
    nodes = zoned(n1="a", n2="a", n3="b", n4="b", n5="c", n6="c")
    pods = [pod(f"p{number}", labels={"app": "web"}, spreads=[spread(WEB, hard=False)]) for number in range(6)]
    hands = Hands(*nodes, *pods).settle()
    assert sorted(hands.node_of(f"p{number}") in {"n1", "n2"} for number in range(6)) == [False] * 4 + [True] * 2

    small = Hands(*zoned(n1="a"), *pods).settle()
    assert {small.node_of(f"p{number}") for number in range(6)} == {"n1"}


def test_replicas_that_would_rather_not_share_a_node_do_not_while_there_are_others():
    nodes = [node(f"n{number}") for number in range(5)]
    wish = [leans(-100, WEB, topology=HOSTNAME)]
    pods = [pod(f"p{number}", labels={"app": "web"}, leans=wish) for number in range(6)]

    hands = Hands(*nodes, *pods).settle()

    assert len({hands.node_of(f"p{number}") for number in range(6)}) == 5


def test_a_pod_that_left_is_missed_no_more():
    there = pod("db", node="n2", labels={"app": "db"})
    hands = Hands(*zoned(n1="a", n2="b"), there, pod("p", leans=[leans(10, DB)])).settle()
    assert hands.node_of("p") == "n2"

    hands.tell(Gone("Pod", "default/db", pod_uid("db")))
    hands.see(pod("q", leans=[leans(10, DB)]))
    hands.settle()

    assert decision(hands, "q").winner.scores["company"] == 0.0
