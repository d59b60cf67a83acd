"""Fixtures: real nodes with Dovetail on them for this package, and for each test a namespace whose pods really run."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from e2e.api import Raw, until
from e2e.cluster import PROFILES, Cluster, scratch
from e2e.conftest import CLUSTERS, World
from e2e.dovetail import NAMESPACE
from e2e.gobuild import ROOT
from e2e.judge import claim_names
from e2e.node.datacenter import Datacenter, unable
from e2e.node.image import BUSYBOX
from e2e.workload import pod
from scheduler.simulator import fleet

NODES = ("node-a", "node-b")
PATH_HEADING = "### From an empty cluster to a placed pod"
_DATACENTER = pytest.StashKey[Datacenter]()
_RUN_S = 60.0


@pytest.fixture(scope="package")
def datacenter(request: pytest.FixtureRequest) -> Iterator[Datacenter]:
    """A control plane and two real nodes; nothing else is in the cluster but the classes of drivers."""
    if reason := unable():
        pytest.skip(reason)
    with scratch("dovetail-e2e-nodes-") as folder:
        opened = Datacenter(PROFILES["default"], folder, NODES)
        request.config.stash[_DATACENTER] = opened
        request.config.stash[CLUSTERS].append(opened.cluster)
        try:
            for each in fleet.device_classes():
                opened.cluster.api.create(each)
            yield opened
        finally:
            request.config.stash[CLUSTERS].remove(opened.cluster)
            opened.stop()


@dataclass(frozen=True)
class Step:
    """A command of the documented path, and what it printed."""

    command: str
    output: str


@pytest.fixture(scope="package")
def documented_path(datacenter: Datacenter) -> list[Step]:
    """README's way from an empty cluster to a placed pod, each command of kubectl run as it stands there.

    What is before them needs a container engine: making a cluster, the image, and a driver with its devices.
    """
    for node in datacenter.nodes:
        node.publish(fleet.slices("plain-8", node.name))
    until(lambda: len(datacenter.cluster.api.list("ResourceSlice")) == len(NODES), "devices of both nodes")
    steps = []
    for command in documented_commands((ROOT / "README.md").read_text()):
        ran = subprocess.run(
            ["bash", "-euc", command],
            check=False,
            cwd=ROOT,
            env=datacenter.environment(),
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        steps.append(Step(command, ran.stdout))
    datacenter.kubectl("delete", "-k", "manifests/examples/first-pod")
    return steps


def documented_commands(readme: str) -> list[str]:
    """The commands of kubectl in the console block below the heading, without comments."""
    _, heading, rest = readme.partition(PATH_HEADING)
    assert heading, f"README has no section {PATH_HEADING!r}"
    [block, *_] = re.findall(r"```console\n(.*?)```", rest, re.DOTALL)
    lines = [
        line.removeprefix("$ ").partition("  #")[0].strip() for line in block.splitlines() if line.startswith("$ ")
    ]
    return [line for line in lines if line.startswith("kubectl ")]


@pytest.fixture(scope="package")
def installed(documented_path: list[Step], datacenter: Datacenter) -> Datacenter:
    """The same nodes, with Dovetail's Deployment as the documented path leaves it."""
    assert documented_path
    return datacenter


@pytest.fixture
def gpus(installed: Datacenter) -> None:
    """Both nodes are boxes with eight H100."""
    publish(installed, {name: fleet.slices("dgx-h100", name) for name in NODES})


def publish(datacenter: Datacenter, slices: Mapping[str, Sequence[Raw]]) -> None:
    """Have the drivers of nodes publish exactly this, and wait until the server has it; slices of others go."""
    api = datacenter.cluster.api
    for node in datacenter.nodes:
        if node.name in slices:
            node.publish(slices[node.name])
    wanted = {each["metadata"]["name"]: each for parts in slices.values() for each in parts}
    drivers = {(each["spec"]["nodeName"], each["spec"]["driver"]) for each in wanted.values()}
    for each in api.list("ResourceSlice"):
        spec = each["spec"]
        if spec["nodeName"] in slices and (spec["nodeName"], spec["driver"]) not in drivers:
            api.delete("ResourceSlice", each["metadata"]["name"])

    def seen() -> bool:
        listed = {each["metadata"]["name"]: each for each in api.list("ResourceSlice")}
        theirs = {name for name, each in listed.items() if each["spec"]["nodeName"] in slices}
        return theirs == wanted.keys() and all(
            _devices(listed[name]) == _devices(each) for name, each in wanted.items()
        )

    until(seen, "the slices of all drivers", 30.0)


def _devices(part: Raw) -> list[str]:
    return [each["name"] for each in part["spec"].get("devices", ())]


@pytest.fixture
def cluster(datacenter: Datacenter) -> Cluster:
    """What `world` is made in."""
    return datacenter.cluster


class Tenant:
    """A namespace whose pods run on real nodes."""

    def __init__(self, world: World, datacenter: Datacenter) -> None:
        self.world = world
        self.api = world.api
        self.namespace = world.namespace
        self.create = world.create
        self.datacenter = datacenter

    def start(self, name: str, **fields: Any) -> Raw:
        """Create a pod that prints what it was told of devices, then waits; `fields` as those of `workload.pod`."""
        return self.api.create(self.pod(name, **fields))

    def pod(self, name: str, **fields: Any) -> Raw:
        """That pod, to be changed before it is created."""
        made = pod(self.namespace, name, cpu="10m", **fields)
        [container] = made["spec"]["containers"]
        container |= {"image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", "env; exec sleep 3600"]}
        container["resources"]["requests"]["memory"] = "8Mi"
        return made

    def get(self, name: str) -> Raw:
        return self.api.get("Pod", name, self.namespace)

    def running(self, *names: str, seconds: float = _RUN_S) -> list[Raw]:
        """Wait until these pods run; returns them. Those that do not tell why."""

        def all_run() -> bool:
            return all(self.get(name)["status"]["phase"] == "Running" for name in names)

        try:
            until(all_run, f"{len(names)} pods running", seconds)
        except AssertionError as error:
            late = [name for name in names if self.get(name)["status"]["phase"] != "Running"]
            said = [each["message"] for each in self.api.list("Event", self.namespace) if each["type"] == "Warning"]
            raise AssertionError(f"{error}; not yet: {late}; events: {sorted(set(said))}") from None
        return [self.get(name) for name in names]

    def told(self, name: str) -> list[Raw]:
        """What the pod's own output says of its devices, in the order of claim and request."""
        listed = []

        def printed() -> bool:
            text = self.datacenter.kubectl("logs", "-n", self.namespace, name)
            listed[:] = [json.loads(each) for each in re.findall(r"^DRA_\w+=(.*)$", text, re.MULTILINE)]
            return "HOSTNAME=" in text

        until(printed, f"output of pod {name}", 10.0)
        return sorted(listed, key=_order)

    def given(self, name: str) -> list[Raw]:
        """What the claims of the pod say of its devices, in the form of `told`."""
        found = []
        for claim in claim_names(self.get(name)):
            stored = self.api.get("ResourceClaim", claim, self.namespace)
            for result in stored["status"]["allocation"]["devices"]["results"]:
                kept = {"request", "driver", "pool", "device", "shareID", "consumedCapacity"} & result.keys()
                found.append({"claim": f"{self.namespace}/{claim}", **{field: result[field] for field in kept}})
        return sorted(found, key=_order)

    def end(self, *names: str) -> None:
        """Delete pods as a user does, and wait until their containers are gone."""
        self.datacenter.kubectl("delete", "pod", "-n", self.namespace, "--grace-period=1", *names)

    def close(self) -> None:
        # Controllers first, with their pods: they would make others.
        self.datacenter.kubectl("delete", "deployments", "-n", self.namespace, "--cascade=foreground", "--all")
        self.datacenter.kubectl("delete", "pods", "-n", self.namespace, "--grace-period=1", "--all")


def _order(told: Raw) -> tuple[str, str, str]:
    return told["claim"], told["request"], told["device"]


@pytest.fixture
def tenant(world: World, installed: Datacenter) -> Iterator[Tenant]:
    """Afterwards its pods are gone, and with them everything that drivers prepared."""
    opened = Tenant(world, installed)
    yield opened
    opened.close()
    until(lambda: not any(node.prepared() for node in installed.nodes), "everything unprepared", 30.0)


def replicas(datacenter: Datacenter) -> list[Raw]:
    """Dovetail's pods, by name."""
    listed = datacenter.cluster.api.list("Pod", NAMESPACE, labelSelector="app.kubernetes.io/name=dovetail")
    return sorted(listed, key=lambda each: each["metadata"]["name"])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    opened = item.config.stash.get(_DATACENTER, None)
    if report is not None and report.failed and opened is not None:
        report.sections.append(("logs of nodes", opened.logs(15)))
        said = opened.kubectl("logs", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=dovetail", "--prefix", check=False)
        report.sections.append(("logs of Dovetail", said))
    return report
