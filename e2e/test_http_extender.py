"""A real kube-scheduler that asks Dovetail over mTLS, with the configuration that is shipped."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from e2e.api import Raw, until
from e2e.certificates import Authority, Pair
from e2e.cluster import Cluster, LocalCluster, free_ports
from e2e.conftest import World, runs
from e2e.controlplane import ROOT
from e2e.dovetail import Dovetail
from e2e.workload import claim_spec, pod, request, template
from scheduler.simulator import fleet

SHIPPED = ROOT / "manifests" / "extender" / "kube-scheduler-config.yaml"
SERVER = "dovetail-extender.dovetail-system.svc"
CLIENT = "system:kube-scheduler"
OWNED = "dovetail.scheduler/owned"


@pytest.fixture(scope="module")
def cluster(default_cluster: Cluster) -> Cluster:
    if not isinstance(default_cluster, LocalCluster):
        pytest.skip("starts kube-schedulers of its own, which needs a control plane of local processes")
    return default_cluster


@dataclass(frozen=True)
class Serving:
    """A running Dovetail that serves as an extender, with the authorities on both sides."""

    port: int
    servers: Authority
    clients: Authority
    dovetail: Dovetail

    def config(self, client: Pair | None, **changes: object) -> Raw:
        """What is shipped, with addresses and files of this test; `changes` of the extender, `tlsConfig` merged."""
        config: Raw = YAML(typ="safe", pure=True).load(SHIPPED.read_text())
        [extender] = config["extenders"]
        tls = extender["tlsConfig"]
        extender["urlPrefix"] = extender["urlPrefix"].replace(SERVER, f"127.0.0.1:{self.port}")
        tls["caFile"] = self.servers.file
        for key in ("certFile", "keyFile"):
            del tls[key]
        if client is not None:
            tls |= {"certFile": client.certificate, "keyFile": client.key}
        tls |= changes.pop("tlsConfig", {})
        extender |= changes
        return config


@pytest.fixture
def serving(cluster: LocalCluster, start_dovetail: Callable[..., Dovetail], tmp_path: Path) -> Serving:
    servers, clients = Authority(tmp_path / "servers"), Authority(tmp_path / "clients")
    [port] = free_ports(1)
    pair = servers.issue(SERVER)
    settings = {
        "ENABLED": "true",
        "PORT": str(port),
        "TLS__CERT_FILE": pair.certificate,
        "TLS__KEY_FILE": pair.key,
        "TLS__CLIENT_CA_FILE": clients.file,
        "TLS__CLIENT_NAMES": json.dumps([CLIENT]),
    }
    started = start_dovetail(settings={f"DOVETAIL_EXTENDER__HTTP__{key}": value for key, value in settings.items()})
    return Serving(port, servers, clients, started.ready())


def boxes() -> list[Raw]:
    """Two kinds that are not Dovetail's. The first two devices of one are linked, those of the other are not; but the
    other has more cpu, which kube-scheduler likes."""
    items: list[Raw] = [*fleet.device_classes()]
    for box, name, cpu in (("dgx-h100", "linked", "16"), ("a100-pcie-bridged", "roomy", "128")):
        for number in range(2):
            node = fleet.node(box, f"{name}-{number}")
            del node["metadata"]["labels"][OWNED]
            node["status"]["allocatable"]["cpu"] = node["status"]["capacity"]["cpu"] = cpu
            items += [node, *fleet.slices(box, f"{name}-{number}")]
    return items


def place(world: World, scheduler: str, count: int) -> list[str]:
    """Kinds of the nodes that pods with two devices each come to, one after the other."""
    found = []
    for number in range(count):
        name = f"{scheduler}-{number}"
        world.create(pod(world.namespace, name, templates=["two"], scheduler=scheduler, cpu="3"))
        found.append(runs(world, name).rpartition("-")[0])
    return found


def publish(world: World) -> None:
    world.publish(boxes())
    world.create(template(world.namespace, "two", claim_spec([request(count=2)])))


def test_kube_scheduler_places_by_our_scores(world: World, cluster: LocalCluster, serving: Serving) -> None:
    publish(world)
    client = serving.clients.issue(name=CLIENT)

    # when the same pods come to a kube-scheduler that asks Dovetail, and to one that does not
    with cluster.other_kube_scheduler("asking", serving.config(client, ignorable=False)):
        asking = place(world, "asking", 4)
    world.api.delete_all("Pod", world.namespace)
    until(lambda: not world.api.list("ResourceClaim", world.namespace), "claims gone")
    with cluster.other_kube_scheduler("alone", {}):
        alone = place(world, "alone", 4)

    # then only the first finds the nodes where the first devices that fit are linked
    assert asking == ["linked"] * 4
    assert alone == ["roomy"] * 4


def test_whole_nodes_do_as_well_as_names(world: World, cluster: LocalCluster, serving: Serving) -> None:
    publish(world)
    client = serving.clients.issue(name=CLIENT)

    with cluster.other_kube_scheduler("whole", serving.config(client, ignorable=False, nodeCacheCapable=False)):
        assert place(world, "whole", 2) == ["linked"] * 2


def test_a_pod_waits_where_dovetail_owns_the_devices(world: World, cluster: LocalCluster, serving: Serving) -> None:
    items = boxes()
    for item in items:
        if item["kind"] == "Node":
            item["metadata"]["labels"][OWNED] = "true"
    world.publish(items)
    world.create(template(world.namespace, "two", claim_spec([request(count=2)])))

    with cluster.other_kube_scheduler("guest", serving.config(serving.clients.issue(name=CLIENT), ignorable=False)):
        world.create(pod(world.namespace, "p", templates=["two"], scheduler="guest"))
        said = refused(world, "p")

    assert "4 is Dovetail's, for pods of schedulerName dovetail" in said


def test_without_an_answer_it_is_for_ignorable_to_say(world: World, cluster: LocalCluster, serving: Serving) -> None:
    publish(world)
    client = serving.clients.issue(name=CLIENT)
    serving.dovetail.stop()

    with cluster.other_kube_scheduler("easy", serving.config(client)):
        assert place(world, "easy", 1) == ["roomy"]
    with cluster.other_kube_scheduler("strict", serving.config(client, ignorable=False)):
        world.create(pod(world.namespace, "p", templates=["two"], scheduler="strict"))
        assert "connection refused" in refused(world, "p")


def refused(world: World, name: str) -> str:
    """What kube-scheduler says of a pod that it could not place."""

    def told() -> str:
        for condition in world.api.get("Pod", name, world.namespace)["status"].get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return str(condition["message"])
        return ""

    said: str = until(told, f"pod {name} refused", 30.0)
    assert "nodeName" not in world.api.get("Pod", name, world.namespace)["spec"]
    return said


Broken = Callable[[Serving, Path], tuple[Pair | None, Mapping[str, object]]]
# asyncio ends a connection whose client it does not believe without telling it why. That it is the certificate shows
# in that nothing else differs from the tests above.
ENDED = ("EOF", "connection reset by peer", "broken pipe", "bad certificate", "certificate required")
BROKEN: dict[str, tuple[Broken, tuple[str, ...]]] = {
    "no client certificate": (lambda serving, _: (None, {}), ENDED),
    "a client of another authority": (
        lambda serving, folder: (Authority(folder / "others").issue(name=CLIENT), {}),
        ENDED,
    ),
    "a client certificate that has ended": (
        lambda serving, _: (serving.clients.issue(name=CLIENT, days=-1), {}),
        ENDED,
    ),
    "a client of another name": (
        lambda serving, _: (serving.clients.issue(name="system:kube-proxy"), {}),
        ("code 403",),
    ),
    "a server of another authority": (
        lambda serving, _: (serving.clients.issue(name=CLIENT), {"tlsConfig": {"caFile": serving.clients.file}}),
        ("certificate signed by unknown authority",),
    ),
    "a server of another name": (
        lambda serving, _: (serving.clients.issue(name=CLIENT), {"tlsConfig": {"serverName": "other.svc"}}),
        ("not other.svc",),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_who_cannot_be_trusted_is_refused(
    world: World, cluster: LocalCluster, serving: Serving, tmp_path: Path, case: str
) -> None:
    publish(world)
    make, expected = BROKEN[case]
    client, changes = make(serving, tmp_path)

    with cluster.other_kube_scheduler("stranger", serving.config(client, ignorable=False, **changes)):
        world.create(pod(world.namespace, "p", templates=["two"], scheduler="stranger"))
        said = refused(world, "p")

    assert any(each in said for each in expected), said
