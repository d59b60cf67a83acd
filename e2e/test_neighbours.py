"""Pods that ask something of the pods around them: sets of 60 land legally, and what is asked wrongly is named.

What landed is judged by the API's final state, with nothing of the scheduler.
"""

from collections import Counter, defaultdict
from typing import Any

import pytest

from e2e.api import Raw, until
from e2e.conftest import World, runs, unschedulable
from e2e.dovetail import Dovetail
from e2e.workload import claim_spec, pod, request, template
from scheduler.simulator import fleet

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
BOXES, PODS, GROUPS = 21, 60, 3


def boxes(world: World, count: int = BOXES) -> list[str]:
    """Boxes of eight GPUs in three zones, and the classes; returns the names of the boxes."""
    names = [f"box-{number:02d}" for number in range(count)]
    items = fleet.device_classes()
    for number, name in enumerate(names):
        node = fleet.node("dgx-h100", name)
        node["metadata"]["labels"][ZONE] = f"zone-{number % 3}"
        items += [node, *fleet.slices("dgx-h100", name)]
    world.publish(items)
    return names


def selector(app: str) -> Raw:
    return {"labelSelector": {"matchLabels": {"app": app}}}


def spread(app: str) -> Raw:
    return {
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", **selector(app)}
            for key in (ZONE, HOST)
        ]
    }


def apart(app: str) -> Raw:
    required = [{"topologyKey": HOST, **selector(app)}]
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


def on_port(app: str) -> Raw:
    return {"ports": [{"containerPort": 80, "hostPort": 8000 + int(app.rpartition("-")[2])}]}


def crowd(world: World, kind: str, asks: Any, *, claims: bool) -> list[Raw]:
    """Sixty pods, of three apps in turn; with a GPU each, or without."""
    found = []
    for number in range(PODS):
        app = f"{kind}-{number % (1 if kind == 'spread' else GROUPS)}"
        made = pod(
            world.namespace, f"{kind}-{number:02d}", templates=["one"] if claims else [], cpu="10m",
            labels={"app": app},
        )  # fmt: skip
        asked = asks(app)
        made["spec"]["containers"][0].update({"ports": asked.pop("ports")} if "ports" in asked else {})
        made["spec"].update(asked)
        found.append(made)
    return found


def placed(world: World, kind: str) -> list[Raw] | None:
    pods = [each for each in world.api.list("Pod", world.namespace) if each["metadata"]["name"].startswith(f"{kind}-")]
    return pods if len(pods) == PODS and all(each["spec"].get("nodeName") for each in pods) else None


def legal(kind: str, pods: list[Raw], nodes: dict[str, Raw]) -> list[str]:
    """What is wrong with where these pods are, in words."""
    wrong = []
    by_node: dict[str, list[Raw]] = defaultdict(list)
    for each in pods:
        by_node[each["spec"]["nodeName"]].append(each)
    for name, here in by_node.items():
        apps = Counter(each["metadata"]["labels"]["app"] for each in here)
        ports = Counter(
            (port["hostPort"], port["protocol"])
            for each in here for container in each["spec"]["containers"] for port in container.get("ports", [])
        )  # fmt: skip
        if kind == "apart":
            wrong += [f"{count} pods {app} on {name}" for app, count in apps.items() if count > 1]
        wrong += [f"port {port} is taken {count} times on {name}" for port, count in ports.items() if count > 1]
    if kind == "spread":
        for key in (ZONE, HOST):
            counted = Counter({node["metadata"]["labels"][key]: 0 for node in nodes.values()})
            counted.update(nodes[each["spec"]["nodeName"]]["metadata"]["labels"][key] for each in pods)
            if max(counted.values()) - min(counted.values()) > 1:
                wrong.append(f"over {key} they are spread {dict(counted)}")
    return wrong


@pytest.mark.parametrize("claims", [True, False], ids=["with claims", "without claims"])
def test_sixty_pods_of_each_kind_land_where_they_may(world: World, dovetail: Dovetail, claims: bool) -> None:
    names = boxes(world)
    world.create(template(world.namespace, "one", claim_spec([request()])))
    kinds = {"spread": spread, "apart": apart, "port": on_port}
    if claims:
        del kinds["port"]  # 168 GPUs: two sets

    for kind, asks in kinds.items():
        world.api.each(world.api.create, crowd(world, kind, asks, claims=claims))

    for kind in kinds:
        pods = until(lambda kind=kind: placed(world, kind), f"sixty pods {kind} placed", 120)
        nodes = {name: world.api.get("Node", name) for name in names}
        assert legal(kind, pods, nodes) == []


def test_one_pod_too_many_waits_and_takes_the_place_of_one_that_goes(world: World, dovetail: Dovetail) -> None:
    names = boxes(world, 3)
    for number in range(4):
        made = pod(world.namespace, f"apart-{number}", labels={"app": "a"})
        made["spec"].update(apart("a"))
        world.create(made)
        if number < 3:
            runs(world, f"apart-{number}")
    unschedulable(world, "apart-3", "0 of 3 nodes fit", HOST, "anti-affinity")

    freed = runs(world, "apart-1")
    world.api.delete("Pod", "apart-1", world.namespace)

    assert runs(world, "apart-3") == freed
    assert freed in names


def test_a_topology_key_that_no_node_has_is_named_and_mended(world: World, dovetail: Dovetail) -> None:
    boxes(world, 1)
    made = pod(world.namespace, "p", labels={"app": "a"})
    made["spec"]["topologySpreadConstraints"] = [
        {"maxSkew": 1, "topologyKey": "example.com/rack", "whenUnsatisfiable": "DoNotSchedule", **selector("a")}
    ]
    world.create(made)
    unschedulable(world, "p", "lack label example.com/rack, a topologyKey of the pod's topologySpreadConstraints")

    world.api.patch("Node", "box-00", {"metadata": {"labels": {"example.com/rack": "r1"}}})

    assert runs(world, "p") == "box-00"


def test_a_namespace_that_gets_the_label_lets_a_pod_come_to_its_pods(world: World, dovetail: Dovetail) -> None:
    boxes(world, 3)
    world.create(pod(world.namespace, "friend", labels={"app": "a"}))
    with_friends = pod(world.namespace, "p")
    term = {"topologyKey": ZONE, "namespaceSelector": {"matchLabels": {"team": "red"}}, **selector("a")}
    with_friends["spec"]["affinity"] = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    home = runs(world, "friend")
    world.create(with_friends)
    unschedulable(world, "p", "have no pod in their", "that the pod's affinity is to")

    world.api.patch("Namespace", world.namespace, {"metadata": {"labels": {"team": "red"}}})

    assert runs(world, "p") == home
