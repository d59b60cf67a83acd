"""Fixtures: one cluster a profile for the session, and for each test a world that is taken down again."""

import base64
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.api import Api, Raw, current, until
from e2e.cluster import PROFILES, Cluster, LocalCluster, open_cluster, scratch
from e2e.dovetail import IDENTITY, Dovetail, install
from e2e.judge import node_of, reserved
from e2e.publish import clear, make_namespace, publish, withdraw
from e2e.workload import claim, pod
from scheduler.core.gates import Gates


def _opened(name: str) -> Iterator[Cluster]:
    with scratch(f"dovetail-e2e-{name}-") as folder:
        cluster = open_cluster(replace(PROFILES[name], audited=IDENTITY), folder)
        try:
            install(cluster.api, *cluster.profile.components)
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture(scope="session")
def default_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Kubernetes with the feature gates of a fresh cluster, and Dovetail's manifests applied."""
    for opened in _opened("default"):
        request.config.stash[CLUSTERS].append(opened)
        yield opened


@pytest.fixture(scope="session")
def alpha_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The same with alpha gates and all APIs on."""
    for opened in _opened("alpha"):
        request.config.stash[CLUSTERS].append(opened)
        yield opened


@pytest.fixture(scope="session")
def older_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The oldest Kubernetes that is tested, with the feature gates of a fresh cluster."""
    for opened in _opened("v1.35"):
        request.config.stash[CLUSTERS].append(opened)
        yield opened


@pytest.fixture(scope="session")
def cluster(default_cluster: Cluster) -> Cluster:
    """What `world` and `start_dovetail` use; a module that wants another one has a fixture of this name."""
    return default_cluster


class World:
    """A namespace and what a test publishes for it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.api: Api = cluster.api
        self.namespace = namespace
        self._published: list[Raw] = []
        self._applied: list[Raw] = []

    def publish(self, items: Iterable[Raw]) -> None:
        """Create nodes, slices, classes or taint rules; they go when the test ends."""
        items = list(items)
        self._published += items
        publish(self.api, items)

    def withdraw(self, items: Iterable[Raw]) -> None:
        """Delete some of them early."""
        items = list(items)
        withdraw(self.api, items)
        self._published = [item for item in self._published if item not in items]

    def create(self, *items: Raw) -> list[Raw]:
        """Create objects of the namespace, in this order."""
        return [self.api.create(item) for item in items]

    def apply(self, items: Iterable[Raw]) -> None:
        """Apply objects of any namespace or none, in this order, strictly validated; they go when the test ends."""
        for item in items:
            self._applied.append(item)
            self.api.apply(item)

    def close(self) -> None:
        namespaces = {self.namespace, *(item["metadata"].get("namespace", self.namespace) for item in self._applied)}
        # Controllers first: they would make the pods anew.
        for item in reversed([item for item in self._applied if item["kind"] != "Namespace"]):
            self.api.delete(item["kind"], item["metadata"]["name"], item["metadata"].get("namespace", ""))
        for namespace in namespaces:
            if self._applied:
                until(lambda at=namespace: not self.api.list("ReplicaSet", at), f"ReplicaSets of {namespace} gone")
            clear(self.api, namespace)
        withdraw(self.api, self._published)
        for namespace in namespaces:
            self.api.delete("Namespace", namespace)
        for namespace in namespaces - {self.namespace}:  # its name is not this test's own
            until(lambda at=namespace: self.api.find("Namespace", at) is None, f"namespace {namespace} gone", 60.0)


def runs(world: World, name: str, seconds: float = 30.0) -> str:
    """Wait until the pod is on a node; returns its name. A pod that is not tells why."""

    def node() -> str:
        return str(world.api.get("Pod", name, world.namespace)["spec"].get("nodeName", ""))

    try:
        return str(until(node, f"pod {name} on a node", seconds))
    except AssertionError as error:
        conditions = world.api.get("Pod", name, world.namespace)["status"].get("conditions", [])
        raise AssertionError(f"{error}; it said: {[each.get('message') for each in conditions]}") from None


def serve(world: World, name: str, spec: Raw) -> Raw:
    """Create a claim and a pod that uses it, both of this name; returns the claim as stored once the pod is bound."""
    made = pod(world.namespace, name, claims=[name])
    [_, user] = world.create(claim(world.namespace, name, spec), made)
    node = runs(world, name)
    stored = world.api.get("ResourceClaim", name, world.namespace)
    assert reserved(stored) == [user["metadata"]["uid"]]
    assert node_of(stored) in {"", node}
    assert "allocationTimestamp" in stored["status"]["allocation"], "kube-scheduler could not share it"
    return stored


def end(world: World, name: str) -> None:
    """Delete what `serve` created, and wait until it is gone."""
    for kind in ("Pod", "ResourceClaim"):
        world.api.delete(kind, name, world.namespace)
    until(lambda: world.api.find("ResourceClaim", name, world.namespace) is None, f"claim {name} gone")


def unschedulable(world: World, name: str, *parts: str, seconds: float = 30.0) -> str:
    """Wait until the pod's condition says False with all these parts in its message; returns the message."""
    said = ""

    def told() -> str:
        nonlocal said
        for condition in world.api.get("Pod", name, world.namespace)["status"].get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                assert condition["reason"] == "Unschedulable"
                said = condition["message"]
        return said if said and all(part in said for part in parts) else ""

    try:
        message: str = until(told, f"a condition on pod {name} with {parts}", seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}; it said: {said!r}") from None
    return message


@pytest.fixture
def world(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[World]:
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:50].strip("-")
    name = f"{words}-{zlib.crc32(request.node.nodeid.encode()):08x}"
    make_namespace(cluster.api, name)
    opened = World(cluster, name)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def start_dovetail(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Callable[..., Dovetail]]:
    """Starts `dovetail run` against the cluster, or against another address; all are ended after the test.

    It is told of the gates that the profile turns on, as far as it knows them, unless the test names some itself.
    """
    running: list[Dovetail] = []

    def start(server: str = "", settings: Mapping[str, str] | None = None, **options: object) -> Dovetail:
        name = f"dovetail-{request.node.name}-{len(running)}".replace("/", "-")  # it names files
        started = started_on(cluster, name, server, settings, **options)
        running.append(started)
        request.node.stash.setdefault(_PROCESSES, []).append(started)
        return started

    yield start
    for each in running:
        each.stop()


def started_on(
    cluster: Cluster, name: str, server: str = "", settings: Mapping[str, str] | None = None, **options: object
) -> Dovetail:
    """`dovetail run` as a process, which the caller stops; see `start_dovetail`."""
    certificate = cluster.folder / "certs" / "apiserver.crt" if isinstance(cluster, LocalCluster) else _ca(cluster)
    known = {name: on for name, on in cluster.profile.gates.items() if name in Gates().by_name()}
    gates = {"DOVETAIL_FEATURE_GATES": json.dumps(known)} if known else {}
    return Dovetail(
        cluster.api,
        cluster.folder,
        server or cluster.api.access.server,
        certificate if not server or server.startswith("https") else None,
        settings={**gates, **(settings or {})},
        name=name,
        **options,
    )


@pytest.fixture
def dovetail(world: World, start_dovetail: Callable[..., Dovetail]) -> Dovetail:
    """A running `dovetail run` that decides; it stops before the world is taken down."""
    return start_dovetail().ready()


def _ca(cluster: Cluster) -> Path:
    """The certificate authority of a cluster that was not started here."""
    entry, _ = current(cluster.kubeconfig)
    if "certificate-authority" in entry:
        return cluster.kubeconfig.parent / entry["certificate-authority"]
    if "certificate-authority-data" not in entry:
        pytest.fail(f"{cluster.kubeconfig}: names no certificate authority, and Dovetail does not go without")
    path = cluster.folder / "ca.crt"
    path.write_bytes(base64.b64decode(entry["certificate-authority-data"]))
    return path


# ---------------------------------------------------------------- what a failure shows

CLUSTERS = pytest.StashKey[list[Cluster]]()
_PROCESSES = pytest.StashKey[list[Dovetail]]()
_SAID = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CLUSTERS] = []
    config.stash[_SAID] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Older versions last: building their control plane takes long, and its failure hides nothing else."""
    items.sort(key=lambda item: "older_cluster" in getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report is not None and report.failed:
        for process in item.stash.get(_PROCESSES, []):
            report.sections.append((f"log of {process.child.name}", process.child.tail(60)))
        for opened in item.config.stash[CLUSTERS]:
            if isinstance(opened, LocalCluster):
                report.sections.append((f"logs of the {opened.profile.name} cluster", opened.logs(15)))
    return report


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Adds a line to the summary at the end, which is shown for passing tests too."""
    return request.config.stash[_SAID].append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for opened in config.stash[CLUSTERS]:
        terminalreporter.write_line(f"{opened.profile.name} profile ran on {opened.describe()}")
    for line in config.stash[_SAID]:
        terminalreporter.write_line(line)
