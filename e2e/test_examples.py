"""Every example is accepted and placed as its README says, on a real control plane with a generated fleet."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from e2e.api import ApiRefusalError, Raw, until
from e2e.cluster import Cluster
from e2e.conftest import World, started_on
from e2e.dovetail import Dovetail
from e2e.examples import Example, examples, replicas

EXAMPLES = examples()
_PATIENCE_S = 90.0


@pytest.fixture(scope="session", params=["default", "older"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    opened: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    return opened


@pytest.fixture(scope="module")
def minor(cluster: Cluster) -> int:
    return int(cluster.api.call("GET", "/version")["minor"].rstrip("+"))


@pytest.fixture(scope="module")
def dovetail(cluster: Cluster) -> Iterator[Dovetail]:
    """One for all examples."""
    started = started_on(cluster, "dovetail-examples")
    try:
        yield started.ready()
    finally:
        started.stop()


def place(world: World, example: Example) -> list[Raw]:
    """Apply an example to its fleet, and wait until its controllers have made all pods and all have a node.

    Pods with a node are said to be ready, as their kubelet would. Returns all objects of the cluster that tell of it.
    """
    fleet = example.fleet()
    world.publish(fleet)
    items = example.items(world.namespace)
    world.apply(items)
    namespaces = {each["metadata"]["namespace"] for each in items if "namespace" in each["metadata"]}
    wanted = sum(replicas(each, [item for item in fleet if item["kind"] == "Node"]) for each in items)
    started: set[str] = set()

    def pods() -> list[Raw]:
        return [pod for namespace in namespaces for pod in world.api.list("Pod", namespace)]

    def placed() -> bool:
        found = [pod for pod in pods() if pod["spec"].get("nodeName")]
        for pod in found:
            if pod["metadata"]["uid"] not in started:
                start(world, pod)
                started.add(pod["metadata"]["uid"])
        return len(found) == wanted

    try:
        until(placed, f"{wanted} pods of {example.folder} placed", _PATIENCE_S)
    except AssertionError as error:
        said = [pod["status"].get("conditions") for pod in pods() if not pod["spec"].get("nodeName")]
        raise AssertionError(f"{error}; those that wait say: {said}") from None
    lists = [("Node", ""), ("ResourceSlice", "")]
    lists += [(kind, namespace) for kind in ("ResourceClaim", "Pod") for namespace in sorted(namespaces)]
    return [{**each, "kind": kind} for kind, namespace in lists for each in world.api.list(kind, namespace)]


def start(world: World, pod: Raw) -> None:
    """What a kubelet reports of a pod that runs and is ready."""
    status = {
        "phase": "Running",
        "conditions": [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")],
    }
    world.api.patch("Pod", pod["metadata"]["name"], {"status": status}, pod["metadata"]["namespace"], "status")


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_pods_are_placed_as_the_readme_says(world: World, dovetail: Dovetail, minor: int, example: Example) -> None:
    if minor < example.placed_from:
        pytest.skip(f"README: needs Kubernetes 1.{example.placed_from}")
    objects = place(world, example)

    assert example.found(objects) == example.stated, dovetail.child.tail(30)
    for budget in world.api.list("PodDisruptionBudget", world.namespace):
        name = budget["metadata"]["name"]
        until(
            lambda name=name: world.api.get("PodDisruptionBudget", name, world.namespace)["status"]["expectedPods"],
            f"PodDisruptionBudget {name} counts pods",
        )


@pytest.mark.parametrize("folder", sorted({each.folder for each in EXAMPLES}))
def test_nothing_of_it_is_refused_or_dropped(cluster: Cluster, minor: int, folder: str) -> None:
    """Strictly validated, and every field is kept: an API server drops those of features that are off there."""
    example = next(each for each in EXAMPLES if each.folder == folder)
    lost = []
    for item in example.items("default"):
        try:
            lost += missing(item, cluster.api.apply(item, dry_run=True), item["kind"])
        except ApiRefusalError as error:
            lost.append(str(error))

    assert bool(lost) == (minor < example.oldest), lost or f"works on 1.{minor}, and the README says that it does not"


def missing(sent: Any, kept: Any, path: str) -> list[str]:
    """Paths of what was sent and is not in what was kept; values are not compared, since the server rewrites some."""
    if isinstance(sent, dict):
        if not isinstance(kept, dict):
            return [path]
        return [each for key in sent for each in missing(sent[key], kept.get(key), f"{path}.{key}")]
    if isinstance(sent, Sequence) and not isinstance(sent, str):
        if not isinstance(kept, list) or len(kept) != len(sent):
            return [path]
        return [each for at, part in enumerate(sent) for each in missing(part, kept[at], f"{path}[{at}]")]
    return [] if kept is not None or sent is None else [path]
