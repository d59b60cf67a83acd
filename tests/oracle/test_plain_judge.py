"""The comparison with kube-scheduler's filters sees what differs, and draws the same cases each time."""

import copy
from collections import Counter

import pytest

from e2e.oracle.plain import judge, upstream
from e2e.oracle.plain.generator import ASKED, FAMILIES, Json, make
from e2e.oracle.plain.golden import lean
from e2e.oracle.plain.judge import Difference, differences
from e2e.oracle.plain.ours import Cluster, Found
from e2e.oracle.plain.smaller import smaller


def node(name: str, **allocatable: str) -> Json:
    return {"metadata": {"name": name}, "status": {"allocatable": {"cpu": "4", "pods": "10", **allocatable}}}


def pod(name: str, cpu: str = "1", **spec: object) -> Json:
    containers = [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return {"metadata": metadata, "spec": {"containers": containers, **spec}, "status": {}}


def found(asked: Json, *pods: Json) -> Found:
    case = {"nodes": [node("a"), node("b", cpu="2")], "pods": list(pods)}
    return Cluster(case).ask(asked)


def compared(ours: Found, answer: Json) -> list[Difference]:
    return list(differences(frozenset({"a", "b"}), ours, answer))


def test_equal_answers_do_not_differ():
    rejected = {"NodeResourcesFit": {"b": "UnschedulableAndUnresolvable"}}

    assert compared(found(pod("q", cpu="3")), {"feasible": ["a"], "rejected": rejected}) == []


def test_a_node_that_only_one_side_rejects_is_told_with_its_rule():
    assert compared(found(pod("q", cpu="3")), {"feasible": ["a", "b"], "rejected": {}}) == [
        Difference("NodeResourcesFit", "only we reject ['b']"),
        Difference("feasible", "only we reject ['b']"),
    ]
    rejected = {"NodeResourcesFit": {"a": "Unschedulable"}}
    assert compared(found(pod("q", cpu="3")), {"feasible": ["b"], "rejected": rejected}) == [
        Difference("NodeResourcesFit", "only we reject ['b'], only upstream rejects ['a']"),
        Difference("feasible", "only we reject ['b'], only upstream rejects ['a']"),
    ]


def test_a_pod_that_we_refuse_and_upstream_does_not_is_told():
    refused = found(pod("q", resourceClaims=[{"name": "e", "resourceClaimName": "absent"}]))

    (difference,) = compared(refused, {"feasible": ["a"], "rejected": {}})

    assert difference.rule == judge.REFUSED
    assert "absent" in difference.text
    everywhere = {"NodeAffinity": dict.fromkeys("ab", "Unschedulable")}
    assert compared(refused, {"feasible": [], "rejected": everywhere}) == []


def test_what_a_pod_leaves_behind_in_a_cluster_is_nothing():
    cluster = Cluster({"nodes": [node("a"), node("b", cpu="2")], "pods": []})
    first = cluster.ask(pod("q", cpu="3"))
    cluster.ask(pod("r", cpu="1", nodeName="a"))

    assert cluster.ask(pod("q", cpu="3")) == first


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"nodeName": "b"}, []),
        ({"nodeName": "a"}, ["pod default/r: only we reject ['b'], only upstream rejects ['a']"]),
        ({"nodeName": "gone"}, ["pod default/r: only we reject ['b']"]),
        ({}, ["pod default/r: only we reject ['b']"]),
    ],
)
def test_a_pod_that_names_its_node_is_to_be_counted_there(spec, told):
    cluster = Cluster({"nodes": [node("a"), node("b")], "pods": [pod("r", **spec)]})

    found = judge.counted(frozenset("ab"), cluster.place_of("default/r"), "default/r", ["a"])

    assert [each.text for each in found] == told


def test_upstream_is_held_to_its_own_word():
    rejected = {"NodePorts": {"a": "Unschedulable"}}

    assert judge.doubted(frozenset("ab"), {"feasible": ["b"], "rejected": rejected}) == ""
    assert "['b']" in judge.doubted(frozenset("ab"), {"feasible": ["a", "b"], "rejected": rejected})


def test_a_case_depends_on_its_seed_number_and_rule_alone():
    assert make(1, 2) == make(1, 2)
    assert make(1, 2) != make(1, 3)
    assert make(1, 2) != make(2, 2)
    assert make(1, 2, "NodePorts") != make(1, 2)


@pytest.mark.parametrize("rule", FAMILIES)
def test_a_rule_that_is_asked_for_is_in_every_cluster(rule):
    cases = [make(1, number, rule) for number in range(20)]

    assert all(rule in case["families"] for case in cases)
    assert all(len(case["asked"]) == ASKED for case in cases)
    assert any(case["families"] == [rule] for case in cases)


def test_every_family_is_drawn():
    seen = Counter(family for number in range(300) for family in make(1, number)["families"])

    assert min(seen[family] for family in FAMILIES) > 20


def test_names_are_those_of_one_object_each():
    for number in range(100):
        case = make(3, number)
        objects = [("pods", each) for each in case["pods"] + case["asked"]]
        objects += [(kind, each) for kind, items in case.items() if isinstance(items, list) for each in items
                    if isinstance(each, dict) and kind not in {"pods", "asked"}]  # fmt: skip
        keys = Counter((kind, each["metadata"].get("namespace"), each["metadata"]["name"]) for kind, each in objects)
        assert set(keys.values()) == {1}


def test_a_smaller_case_keeps_what_it_must():
    case = {"id": "1/1", "nodes": [node("a"), node("b")], "pods": [pod("p"), pod("r")], "asked": [pod("q")]}
    before = copy.deepcopy(case)

    small = smaller(case, lambda tried: any(each["metadata"]["name"] == "b" for each in tried["nodes"]))

    assert case == before
    assert [each["metadata"]["name"] for each in small["nodes"]] == ["b"]
    assert small["pods"] == []


def test_defaults_that_decide_nothing_are_left_out():
    container = {"name": "c", "restartPolicy": "Always", "imagePullPolicy": "Always", "resources": {}}
    spec = {"containers": [container], "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "nodeName": "a"}

    assert lean({"spec": spec, "pods": []}) == {
        "spec": {"containers": [{"name": "c", "restartPolicy": "Always"}], "nodeName": "a"}
    }


def test_its_modules_are_those_of_the_version_that_is_tested_on():
    from e2e.controlplane import kubernetes_version

    text = (upstream.MODULE / "go.mod").read_text()
    version = kubernetes_version()

    assert f"k8s.io/kubernetes {version}\n" in text
    assert f"gitVersion={version}" in " ".join(upstream.FLAGS)
    replaced = [line.split()[-1] for line in text.splitlines() if "=> k8s.io/" in line]
    assert set(replaced) == {"v0." + version.removeprefix("v1.")}
