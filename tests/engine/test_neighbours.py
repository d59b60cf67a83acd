"""What pods ask of the pods around them: host ports, affinity, anti-affinity and spread, as pods come and go."""

import contextlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core import plan
from scheduler.core.messages import Gone
from scheduler.core.model import HostPort, Namespace
from scheduler.core.residents import Query, Residents
from scheduler.core.verify.neighbours import selected, selected_from_afar
from tests.build import (
    NAMESPACE,
    Uid,
    claim,
    gpus,
    namespace,
    node,
    others,
    pod,
    pod_uid,
    repels,
    requirement,
    spread,
    taint,
)
from tests.driving import Hands

WEB = requirement("app", "In", "web")
HOSTNAME = "kubernetes.io/hostname"


def zoned(**zones):
    """A node for each name, in its zone."""
    return [node(name, labels={"zone": zone, HOSTNAME: name}) for name, zone in zones.items()]


def web(name, **fields):
    return pod(name, labels={"app": "web"}, **fields)


# ---------------------------------------------------------------- the table of residents

TERMS = [
    repels(WEB),
    repels(WEB, topology=HOSTNAME, namespaces=["red"]),
    repels(requirement("app", "NotIn", "web"), namespaces=[], named=[requirement("team", "In", "a")]),
    repels(namespaces=[], named=[requirement("team", "DoesNotExist")]),
    repels(namespaces=[], named=[]),
    repels(nothing=True),
]
QUERIES = [Query((term.pods,), living) for term in TERMS for living in (False, True)]
QUERIES += [Query(()), Query((TERMS[0].pods, TERMS[4].pods))]
PORTS = [HostPort(80), HostPort(80, "TCP", "10.0.0.1"), HostPort(80, "UDP"), HostPort(81)]
NAMES = ("default", "red", "blue")


class Crowd:
    """A table of residents beside a list of the same pods."""

    def __init__(self):
        self.table = Residents(64)
        self.table.MAX_QUERIES = 5
        self.pods = {}
        self.labels = {}

    def put(self, number, place, app, where, deleting, term, port):
        item = pod(
            f"p{number}", namespace=where, labels={"app": app}, deleting=deleting, repels=[TERMS[term]],
            ports=[PORTS[port]],
        )  # fmt: skip
        known = self.pods.get(item.uid)
        if known is not None and known[1] != place:
            self.table.leave(item.uid)
            known = None
        if known is not None:
            self.table.renew(item, place)
        else:
            self.table.enter(item, place)
        self.pods[item.uid] = (item, place)

    def drop(self, number, where):
        uid = pod_uid(f"p{number}", where)
        self.table.leave(uid)
        self.pods.pop(uid, None)

    def name(self, where, team):
        labels = None if team == "gone" else {"team": team} if team else {}
        self.table.put_namespace(where, labels)
        self.labels.pop(where, None)
        if labels is not None:
            self.labels[where] = labels

    def check(self):
        for query in QUERIES:
            wanted = Counter(
                place
                for item, place in self.pods.values()
                if query.selectors
                and not (query.living and item.deleting)
                and all(selected(each, item, self.labels) for each in query.selectors)
            )
            found = self.table.count(query)
            assert {row: int(found.counts[row]) for row in np.flatnonzero(found.counts)} == dict(wanted)
            assert found.total == wanted.total()
        for where in NAMES:
            newcomer = pod("new", namespace=where, labels={"app": "web"})
            wanted = {
                each for item, _ in self.pods.values() for each in item.repels
                if selected_from_afar(each.pods, newcomer, self.labels)
            }  # fmt: skip
            assert self.table.repelling(newcomer) == wanted
        for term in TERMS:
            having = Counter(place for item, place in self.pods.values() if term in item.repels)
            counts = self.table.holders(term).counts
            assert {row: int(counts[row]) for row in np.flatnonzero(counts)} == dict(having)
        for port in PORTS:
            taken = sum(rival.counts for rival in self.table.rivals(port)) + np.zeros(64, np.int64)
            rivals = Counter(
                place for item, place in self.pods.values() for each in item.ports
                if (each.port, each.protocol) == (port.port, port.protocol)
                and ("0.0.0.0" in (each.ip, port.ip) or each.ip == port.ip)
            )  # fmt: skip
            assert {row: int(taken[row]) for row in np.flatnonzero(taken)} == dict(rivals)


COMING = st.tuples(
    st.just("put"), st.integers(0, 7), st.integers(0, 3), st.sampled_from(["web", "db"]), st.sampled_from(NAMES),
    st.booleans(), st.integers(0, len(TERMS) - 1), st.integers(0, len(PORTS) - 1),
)  # fmt: skip
GOING = st.tuples(st.just("drop"), st.integers(0, 7), st.sampled_from(NAMES))
NAMING = st.tuples(st.just("name"), st.sampled_from(NAMES), st.sampled_from(["", "a", "b", "gone"]))


@settings(max_examples=60, deadline=None)
@given(st.lists(COMING | COMING | GOING | NAMING, max_size=25))
def test_counts_are_those_of_the_pods_whatever_comes_goes_and_is_renamed(happenings):
    crowd = Crowd()

    for what, *how in happenings:
        getattr(crowd, what)(*how)
        crowd.check()


def test_what_nobody_asked_about_changes_no_version():
    table = Residents(64)
    table.enter(web("a"), 0)
    table.count(Query((others(requirement("app", "In", "db")),)))
    before = table.version

    table.enter(web("b"), 1)

    assert table.version == before


def test_a_query_is_forgotten_in_silence_and_pods_that_it_selects_are_not():
    table = Residents(64)
    table.MAX_QUERIES = 1
    table.enter(web("a"), 0)
    first, second = Query((repels(WEB).pods,)), Query((others(requirement("app", "In", "db")),))
    table.count(first)
    before = table.version

    table.count(second)
    assert table.version == before

    table.enter(web("b"), 1)
    assert table.version != before
    assert table.count(first).total == 2


def test_pods_that_were_supposed_are_gone_after_an_error_too():
    table, query = Residents(64), Query((repels(WEB).pods,))
    table.count(query)

    found = []
    with contextlib.suppress(ZeroDivisionError), table.supposing([(NAMESPACE, {"app": "web"})], 3):
        found.append(table.count(query).total)
        raise ZeroDivisionError

    assert (found, table.count(query).total) == ([1], 0)


# ---------------------------------------------------------------- pods of one cycle


def test_pods_that_repel_each_other_take_one_node_each_and_the_last_waits():
    shy = repels(WEB, topology=HOSTNAME)
    pods = [web(f"p{i}", repels=[shy]) for i in range(4)]
    hands = Hands(*zoned(n1="a", n2="a", n3="b"), *pods).settle()

    assert sorted(hands.node_of(f"p{i}") for i in range(4)) == ["", "n1", "n2", "n3"]
    waiting = next(f"p{i}" for i in range(4) if not hands.node_of(f"p{i}"))
    assert f"3 have a pod in their {HOSTNAME} that the pod's anti-affinity keeps it away from" in hands.reason(waiting)


def test_spread_pods_fill_zones_evenly():
    even = spread(WEB, topology="zone")
    pods = [web(f"p{i}", spreads=[even]) for i in range(7)]
    hands = Hands(*zoned(n1="a", n2="b", n3="c"), *pods).settle()

    counted = Counter(hands.node_of(f"p{i}") for i in range(7))
    assert sorted(counted.values()) == [2, 2, 3]


def test_a_group_that_is_to_be_together_follows_its_first_pod():
    together = repels(WEB, topology="zone")
    pods = [web(f"p{i}", attracts=[together]) for i in range(5)]
    hands = Hands(*zoned(n1="a", n2="a", n3="b"), *pods).settle()

    zones = {{"n1": "a", "n2": "a", "n3": "b"}[hands.node_of(f"p{i}")] for i in range(5)}
    assert len(zones) == 1


def test_two_pods_do_not_share_a_host_port_of_one_node():
    pods = [pod("p", ports=[80]), pod("q", ports=[HostPort(80, "TCP", "10.0.0.1")]), pod("r", ports=[81])]
    hands = Hands(node("n1"), *pods).settle()

    assert [hands.node_of(name) for name in ("p", "q", "r")] == ["n1", "", "n1"]
    assert "0 of 1 nodes fit: 1 have host port 80/TCP of 10.0.0.1 in use" in hands.reason("q")


def test_pods_with_claims_respect_each_other_too():
    shy = repels(WEB, topology=HOSTNAME)
    objects = [item for i in range(3) for item in (claim(f"c{i}"), web(f"p{i}", claims=[f"c{i}"], repels=[shy]))]
    nodes = zoned(n1="a", n2="a", n3="b")
    hands = Hands(*nodes, *(gpus(each.name, 8) for each in nodes), *objects).settle()

    assert sorted(hands.node_of(f"p{i}") for i in range(3)) == ["n1", "n2", "n3"]


def test_pods_that_ask_nothing_of_others_share_one_class_whatever_their_labels():
    pods = [pod(f"p{i}", labels={"app": f"a{i}"}) for i in range(5)]
    hands = Hands(*zoned(n1="a", n2="b"), web("shy", repels=[repels(WEB)]), *pods).settle()

    assert len({hands.node_of(f"p{i}") for i in range(5)} - {""}) >= 1
    assert len(hands.engine._classes) == 2


# ---------------------------------------------------------------- what wakes them


def test_a_pod_wakes_when_a_pod_that_it_is_to_be_with_comes():
    hands = Hands(*zoned(n1="a", n2="b"), pod("p", attracts=[repels(WEB)])).settle()
    assert "2 have no pod in their zone that the pod's affinity is to" in hands.reason("p")

    hands.see(web("friend", node="n2"))
    hands.settle()

    assert hands.node_of("p") == "n2"


def test_a_pod_wakes_when_a_pod_of_ours_that_it_is_to_be_with_is_placed():
    hands = Hands(*zoned(n1="a"), pod("p", attracts=[repels(WEB)])).settle()

    hands.see(web("friend"))
    hands.settle()

    assert hands.node_of("p") == "n1"


@pytest.mark.parametrize(
    "change",
    [
        lambda other: [replace(other, labels={"app": "db"}, resource_version="2")],
        lambda other: [replace(other, phase="Succeeded", resource_version="2")],
    ],
    ids=["relabelled", "ended"],
)
def test_a_pod_wakes_when_the_pod_that_keeps_it_away_is_another_now(change):
    other = web("other", node="n1")
    hands = Hands(*zoned(n1="a"), other, pod("p", repels=[repels(WEB)])).settle()
    assert hands.node_of("p") == ""

    hands.see(*change(other))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_a_pod_wakes_when_the_pod_that_keeps_it_away_is_gone():
    hands = Hands(*zoned(n1="a"), pod("other", node="n1", repels=[repels(WEB)]), web("p")).settle()
    assert hands.node_of("p") == ""

    hands.tell(Gone("Pod", f"{NAMESPACE}/other", pod_uid("other")))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_what_happens_to_a_node_that_other_pods_rule_out_is_told():
    hands = Hands(*zoned(n1="a"), web("w", node="n1"), pod("p", repels=[repels(WEB)])).settle()
    assert hands.reason("p").endswith("1 have a pod in their zone that the pod's anti-affinity keeps it away from")

    hands.see(node("n1", labels={"zone": "a"}, taints=[taint("hard")]))
    hands.pass_time(30.0)

    assert hands.reason("p").endswith("1 have taint hard:NoSchedule")


def test_the_pods_that_rule_a_node_out_now_are_told():
    terms = [repels(WEB), repels(requirement("app", "In", "db"), topology=HOSTNAME)]
    hands = Hands(*zoned(n1="a"), web("w", node="n1"), pod("p", repels=terms)).settle()
    assert hands.reason("p").endswith("1 have a pod in their zone that the pod's anti-affinity keeps it away from")

    hands.see(pod("d", labels={"app": "db"}, node="n1"))
    hands.tell(Gone("Pod", f"{NAMESPACE}/w", pod_uid("w")))
    hands.pass_time(30.0)

    words = f"1 have a pod in their {HOSTNAME} that the pod's anti-affinity keeps it away from"
    assert hands.reason("p").endswith(words)


def test_a_spread_pod_wakes_when_a_pod_of_the_full_zone_begins_to_end():
    crowd = [web("a1", node="n1"), web("a2", node="n1")]
    hands = Hands(*zoned(n1="a", n2="b"), *crowd, web("b", node="n2"),
                  web("p", spreads=[spread(WEB)], selector={HOSTNAME: "n1"})).settle()  # fmt: skip
    assert hands.node_of("p") == "n1"  # a domain that the pod cannot be in does not count

    other = web("q", spreads=[spread(WEB, node_affinity=False)], selector={HOSTNAME: "n1"})
    hands.see(other)
    hands.settle()
    assert "would have more than maxSkew 1 too many of these pods in their zone" in hands.reason("q")

    hands.see(*(replace(each, deleting=True, resource_version="2") for each in crowd))
    hands.settle()

    assert hands.node_of("q") == "n1"


def test_a_pod_wakes_when_a_namespace_gets_the_label_that_its_affinity_asks_for():
    term = repels(namespaces=[], named=[requirement("team", "In", "red")])
    hands = Hands(namespace("other"), *zoned(n1="a"), web("friend", namespace="other", node="n1"),
                  pod("p", attracts=[term])).settle()  # fmt: skip
    assert hands.node_of("p") == ""

    hands.see(Namespace("other", {"team": "red"}))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_a_namespace_that_is_gone_is_in_no_selector_of_namespaces():
    term = repels(namespaces=[], named=[requirement("team", "DoesNotExist")])
    hands = Hands(namespace("other"), *zoned(n1="a"), web("friend", namespace="other", node="n1"))
    hands.tell(Gone("Namespace", "other", Uid("")))

    hands.see(pod("p", repels=[term]))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_a_topology_key_that_no_node_has_is_named_and_the_pod_wakes_when_one_gets_it():
    hands = Hands(node("n1"), web("p", spreads=[spread(WEB, topology="example.com/rack")])).settle()
    words = "1 lack label example.com/rack, a topologyKey of the pod's topologySpreadConstraints"
    assert words in hands.reason("p")

    hands.see(node("n1", labels={"example.com/rack": "r1"}))
    hands.settle()

    assert hands.node_of("p") == "n1"


def test_a_spread_pod_wakes_when_the_node_of_the_emptiest_domain_goes():
    hands = Hands(*zoned(n1="a", n2="b"), web("a1", node="n1"),
                  web("p", spreads=[spread(WEB)], selector={HOSTNAME: "n1"}),
                  web("q", spreads=[spread(WEB, node_affinity=False)], selector={HOSTNAME: "n1"})).settle()  # fmt: skip
    assert hands.node_of("q") == ""

    hands.tell(Gone("Node", "n2", Uid("")))
    hands.pass_time(hands.now + 10)

    assert hands.node_of("q") == "n1"


def test_pods_that_look_at_nobody_sleep_through_what_other_pods_do():
    hands = Hands(*zoned(n1="a"), pod("p", selector={"no": "where"}), pod("q", attracts=[repels(WEB)])).settle()
    assert dict(hands.engine.backlog.waiting()) == {plan.NO_FIT: 2}

    hands.see(pod("stranger", node="n1", scheduler="other", labels={"app": "web"}))
    hands.settle()

    assert hands.node_of("q") == "n1"
    assert hands.engine.backlog.attempts(pod_uid("p")) == 1


# ---------------------------------------------------------------- nodes that come back


def test_a_node_that_comes_back_has_its_pods_again():
    shy = repels(WEB, topology=HOSTNAME)
    hands = Hands(*zoned(n1="a", n2="a"), web("old", node="n1"), web("older", node="n2"))
    hands.tell(Gone("Node", "n1", Uid("")))
    hands.see(*zoned(n1="a"))

    hands.see(pod("p", repels=[shy]))
    hands.settle()

    assert hands.node_of("p") == ""


def test_a_pod_of_many_terms_is_told_of_each_node_once():
    terms = [repels(WEB), repels(WEB, topology=HOSTNAME)]
    hands = Hands(*zoned(n1="a", n2="b"), web("x", node="n1"), pod("p", repels=terms, selector={"zone": "a"})).settle()

    assert "0 of 2 nodes fit" in hands.reason("p")
    assert "1 have a pod in their zone" in hands.reason("p")


def test_pods_that_were_placed_by_where_others_are_are_not_taken_back_for_a_plan():
    """Pod p may use both devices and takes the one that pod q needs; pod r goes where p went."""
    friend = repels(requirement("app", "In", "p"), topology=HOSTNAME)
    for seed in range(50):
        hands = Hands(
            *zoned(n1="a", n2="a"),
            gpus("n1", 1, attributes={"model": "x"}), gpus("n2", 1, attributes={"model": "y"}),
            claim("a"), claim("b", selectors=['device.attributes["gpu.example.com"].model == "x"']),
            pod("p", claims=["a"], created="a", labels={"app": "p"}), pod("q", claims=["b"], created="b"),
            pod("r", attracts=[friend], created="c"),
            seed=seed,
        ).settle()  # fmt: skip

        assert hands.node_of("r") == hands.node_of("p") != ""
        if not hands.node_of("q"):
            return
    raise AssertionError("q is never left out")


# ---------------------------------------------------------------- pods that are nominated to a node


def nominee(**fields):
    return replace(web("keeper", scheduler="other", **fields), nominated="n1", priority=1)


@pytest.mark.parametrize(
    ("keeper", "asks"),
    [
        (nominee(ports=[80]), pod("p", ports=[80])),
        (nominee(), pod("p", repels=[repels(WEB)])),
        (nominee(repels=[repels(requirement("app", "In", "db"))]), pod("p", labels={"app": "db"}, repels=[repels()])),
        (nominee(), web("p", spreads=[spread(WEB, node_affinity=False)])),
    ],
    ids=["port", "anti-affinity", "its anti-affinity", "spread"],
)
def test_a_pod_that_is_nominated_to_a_node_counts_there_as_if_it_ran(keeper, asks):
    apart = zoned(n1="a", n2="b")
    free = Hands(*apart, keeper, replace(asks, node_selector={HOSTNAME: "n2"})).settle()
    taken = Hands(*apart, keeper, replace(asks, node_selector={HOSTNAME: "n1"})).settle()

    assert free.node_of("p") == "n2"
    assert taken.node_of("p") == ""


@pytest.mark.parametrize(
    "asks", [pod("p", repels=[repels(WEB)]), web("p", spreads=[spread(WEB, node_affinity=False)])], ids=lambda each: ""
)
def test_a_nominated_pod_that_is_only_relabelled_makes_way(asks):
    hands = Hands(*zoned(n1="a", n2="b"), nominee(), replace(asks, node_selector={HOSTNAME: "n1"})).settle()
    assert hands.node_of("p") == ""

    hands.see(replace(nominee(), labels={"app": "other"}))
    hands.pass_time(30)

    assert hands.node_of("p") == "n1"


def test_a_pod_that_is_only_nominated_is_nobody_to_be_with():
    hands = Hands(*zoned(n1="a"), nominee(), pod("p", attracts=[repels(WEB)])).settle()

    assert hands.node_of("p") == ""
