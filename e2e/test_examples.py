"""Every example is accepted and placed as its README says, on a real control plane with a generated fleet.

Each by a scheduler that was just started: what it learned of the parts that others ask for would count.
"""

import runpy
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from e2e.api import ApiRefusalError, Raw, collection, documents, until
from e2e.cluster import Cluster
from e2e.conftest import World
from e2e.dovetail import Dovetail
from e2e.examples import FOLDER, Example, examples, replicas

EXAMPLES = examples()
_PATIENCE_S = 90.0
_SECURITY = "pod-security.kubernetes.io"


@pytest.fixture(scope="session", params=["default", "older"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    opened: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    return opened


@pytest.fixture(scope="module")
def minor(cluster: Cluster) -> int:
    return int(cluster.api.call("GET", "/version")["minor"].rstrip("+"))


def place(world: World, example: Example) -> list[Raw]:
    """Apply an example to its fleet; wait until its controllers have made all pods and all are placed or refused.

    Pods with a node are said to be ready, as their kubelet would. Returns all objects of the cluster that tell of it.
    """
    fleet = example.fleet()
    world.publish(fleet)
    items = example.items(world.namespace)
    world.apply(items)
    namespaces = sorted({each["metadata"]["namespace"] for each in items if "namespace" in each["metadata"]})
    nodes = [item for item in fleet if item["kind"] == "Node"]
    wanted = sum(replicas(each, nodes) for each in items) - example.waiting
    started: set[str] = set()

    def pods() -> list[Raw]:
        return [pod for namespace in namespaces for pod in world.api.list("Pod", namespace)]

    def settled() -> bool:
        found = pods()
        placed = [pod for pod in found if pod["spec"].get("nodeName")]
        for pod in placed:
            if pod["metadata"]["uid"] not in started:
                start(world, pod)
                started.add(pod["metadata"]["uid"])
        return len(placed) == wanted and sum(bool(refused(pod)) for pod in found) == example.waiting

    try:
        until(settled, f"{wanted} pods of {example.folder} placed and {example.waiting} refused", _PATIENCE_S)
    except AssertionError as error:
        raise AssertionError(f"{error}; those that wait say: {[refused(pod) for pod in pods()]}") from None
    lists = [("Node", ""), ("ResourceSlice", "")]
    lists += [(kind, namespace) for kind in ("ResourceClaim", "Pod") for namespace in namespaces]
    return [{**each, "kind": kind} for kind, namespace in lists for each in world.api.list(kind, namespace)]


def refused(pod: Raw) -> str:
    """Why it has no node; empty for one that has, or of which nothing is said yet."""
    conditions = [each for each in pod["status"].get("conditions", ()) if each["type"] == "PodScheduled"]
    waits = not pod["spec"].get("nodeName") and conditions and conditions[0]["status"] == "False"
    return str(conditions[0].get("message", "")) if waits else ""


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
def test_nothing_of_it_is_refused_or_dropped(
    world: World, start_dovetail: Callable[..., Dovetail], minor: int, folder: str
) -> None:
    """Strictly validated, and every field is kept: an API server drops those of features that are off there.

    Of an example that its README keeps from this version, something is lost, or none of its pods finds a node.
    """
    example = next(each for each in EXAMPLES if each.folder == folder)
    items = example.items(world.namespace)
    world.apply([item for item in items if item["kind"] == "Namespace"])
    lost = [path for item in items for path in missing(item, accepted(world, item), item["kind"])]
    if minor >= example.oldest:
        assert not lost
    elif not lost:
        start_dovetail().ready()
        world.publish(example.fleet())
        world.apply(items)
        wanted = sum(replicas(each) for each in items)
        until(
            lambda: sum(bool(refused(pod)) for pod in world.api.list("Pod", world.namespace)) == wanted, "all refused"
        )


@pytest.mark.parametrize("folder", sorted({each.folder for each in EXAMPLES}))
def test_its_pods_keep_to_the_baseline_or_the_readme_says_that_they_do_not(world: World, folder: str) -> None:
    example = next(each for each in EXAMPLES if each.folder == folder)
    readme = FOLDER / folder.partition("/")[0] / "README.md"
    world.api.patch("Namespace", world.namespace, {"metadata": {"labels": {f"{_SECURITY}/enforce": "baseline"}}})
    path = f"{collection('Pod', world.namespace)}?dryRun=All"
    violations = []
    for item in example.items(world.namespace):
        spec = item["spec"]["template"]["spec"] if "template" in item.get("spec", {}) else item.get("spec", {})
        if "containers" not in spec:
            continue
        spec = {**spec, "serviceAccountName": "default"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}
        try:
            world.api.call("POST", path, pod)
        except ApiRefusalError as error:
            violations.append(str(error))

    assert all("violates PodSecurity" in each for each in violations), violations
    assert bool(violations) == ("`baseline`" in readme.read_text()), violations


def test_the_generator_of_pairs_ends_where_the_server_does(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = runpy.run_path(str(FOLDER / "prefill-decode" / "pairs.py"))

    def made(count: int) -> Raw:
        [item] = documents(
            pairs["template"](count, "pairs", pairs["ROOT"], pairs["ROOT"], "gpu.nvidia.com", "dra.net", "")
        )
        return item

    cluster.api.apply(made(pairs["MAX_PAIRS"]), dry_run=True)
    beyond = pairs["MAX_PAIRS"] + 1
    monkeypatch.setitem(pairs["template"].__globals__, "MAX_PAIRS", beyond)
    with pytest.raises(ApiRefusalError, match=r"requests: Too many: .*must have at most 32 items"):
        cluster.api.apply(made(beyond), dry_run=True)


def accepted(world: World, item: Raw) -> Raw:
    """What the server would keep; nothing where it refuses."""
    try:
        return world.api.apply(item, dry_run=True)
    except ApiRefusalError as error:
        return {"refused": str(error)}


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
