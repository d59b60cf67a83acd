"""`dovetail doublebook --live`: a real API server takes clashing allocations, and each of them is found."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.api import Raw, until
from e2e.cluster import LocalCluster, scratch
from e2e.cluster import Profile as Choice
from e2e.controlplane import binaries
from e2e.dovetail import command
from e2e.inventory import device, device_class, slice_on
from e2e.readiness.recording import account_of
from e2e.workload import claim, claim_spec, request
from scheduler.simulator import fleet

READER = "bookkeeper"
KINDS = ("resourceslices", "resourceclaims", "deviceclasses")
ONE = "11111111-1111-1111-1111-111111111111"
TWO = "22222222-2222-2222-2222-222222222222"
GPU = fleet.NVIDIA


@pytest.fixture(scope="module")
def server() -> Iterator[LocalCluster]:
    """An API server without controllers: nothing takes back what is written here."""
    with scratch("dovetail-e2e-doublebook-") as folder:
        opened = LocalCluster(
            binaries(), Choice("doublebook", audited=f"system:serviceaccount:default:{READER}", controlled=False),
            folder, "built",
        )  # fmt: skip
        try:
            publish(opened)
            yield opened
        finally:
            opened.stop()


def publish(server: LocalCluster) -> None:
    """Two boxes: n1 with plain, shared and cut devices, n2 with GPUs that a device plugin offers, too."""
    api = server.api
    until(lambda: api.find("Namespace", "default"), "namespace default")
    n2 = fleet.node("h100-quad", "n2")
    n2["status"]["allocatable"]["nvidia.com/gpu"] = "4"
    counters = {"memory": {"value": "80Gi"}}
    shared = {
        "allowMultipleAllocations": True,
        "capacity": {"memory": {"value": "80Gi", "requestPolicy": {"default": "1Gi"}}},
    }
    drawn = [
        device(name, consumesCounters=[{"counterSet": "gpu-0", "counters": {"memory": {"value": amount}}}])
        for name, amount in (("whole", "80Gi"), ("part", "10Gi"))
    ]
    for item in (fleet.node("h100-quad", "n1"), n2):
        api.create(item)
    api.create(device_class())
    api.create(slice_on("n1", sharedCounters=[{"name": "gpu-0", "counters": counters}], part="counters", of=2))
    api.create(slice_on("n1", [device("d0"), device("d1"), device("s0", **shared), *drawn], part="devices", of=2))
    for item in fleet.slices("h100-quad", "n2"):
        api.create(item)


@pytest.fixture
def hold(server: LocalCluster) -> Iterator[Callable[..., None]]:
    """Writes a claim and its allocation, as any scheduler may; all claims and pods go when the test ends."""
    yield lambda name, *results: allocate(server, name, results)
    for plural in ("resourceclaims", "pods"):
        prefix = "/api/v1" if plural == "pods" else "/apis/resource.k8s.io/v1"
        path = f"{prefix}/namespaces/default/{plural}"
        for item in server.api.call("GET", path)["items"]:
            server.api.call("DELETE", f"{path}/{item['metadata']['name']}", {"gracePeriodSeconds": 0})


def allocate(server: LocalCluster, name: str, results: tuple[Raw, ...]) -> None:
    admin = any(each.get("adminAccess") for each in results)
    asked = request(device_class="dev", count=len(results), **({"adminAccess": True} if admin else {}))
    made = server.api.create(claim("default", name, claim_spec([asked])))
    allocation = {"devices": {"results": [{"request": asked["name"], **each} for each in results]}}
    made["status"] = {"allocation": allocation}
    server.api.call("PUT", f"/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/{name}/status", made)


def on(name: str, pool: str = "n1", driver: str = "dev.example.com", **fields: object) -> Raw:
    return {"driver": driver, "pool": pool, "device": name, **fields}


def asked(server: LocalCluster, *arguments: str, rights: tuple[str, ...] = KINDS) -> "subprocess.CompletedProcess[str]":
    rules = [
        {"apiGroups": ["resource.k8s.io"], "resources": list(rights), "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list"]},
    ]
    kubeconfig = account_of(server, server.folder, READER, rules)
    line = [command(), "doublebook", "--live", "--kubeconfig", str(kubeconfig), *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)


def found(server: LocalCluster) -> list[tuple[str, str]]:
    done = asked(server, "--format", "json")
    body = json.loads(done.stdout)
    assert done.stderr == ""
    assert done.returncode == (1 if body["findings"] else 0)
    assert body["notes"] == []
    return [(each["id"], each["where"]) for each in body["findings"]]


def test_what_is_in_order_is_found_in_order(server: LocalCluster, hold: Callable[..., None]) -> None:
    hold("a", on("d0"))
    hold("b", on("d1"))
    hold("s", on("s0", shareID=ONE, consumedCapacity={"memory": "40Gi"}))
    hold("t", on("s0", shareID=TWO, consumedCapacity={"memory": "40Gi"}))

    assert found(server) == []


def test_every_clash_that_the_server_takes_is_found(server: LocalCluster, hold: Callable[..., None]) -> None:
    hold("a", on("d0"))
    hold("b", on("d0"))
    hold("s", on("s0", shareID=ONE, consumedCapacity={"memory": "50Gi"}))
    hold("t", on("s0", shareID=TWO, consumedCapacity={"memory": "31Gi"}))
    hold("u", on("s0"))
    hold("w", on("whole"))
    hold("p", on("part"))
    hold("gone", on("d9"))
    hold("lost", on("d0", pool="n9"))

    assert found(server) == [
        ("DB001", "device dev.example.com/n1/d0"),
        ("DB002", "device dev.example.com/n1/s0"),
        ("DB004", "device dev.example.com/n1/s0"),
        ("DB005", "pool dev.example.com/n1"),
        ("DB006", "device dev.example.com/n1/d9"),
        ("DB007", "device dev.example.com/n9/d0"),
    ]


def test_admin_access_holds_nothing(server: LocalCluster, hold: Callable[..., None]) -> None:
    server.api.patch("Namespace", "default", {"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}})
    hold("a", on("whole"))
    hold("b", on("whole", adminAccess=True))
    hold("c", on("part", adminAccess=True))

    assert found(server) == []


def test_a_plugin_beside_the_driver(server: LocalCluster, hold: Callable[..., None]) -> None:
    container = {"name": "main", "image": "x", "resources": {"limits": {"nvidia.com/gpu": "4"}}}
    spec = {
        "nodeName": "n2",
        "containers": [container],
        "serviceAccountName": "user",
        "automountServiceAccountToken": False,
    }
    account_of(server, server.folder, "user", [])
    server.api.call(
        "POST",
        "/api/v1/namespaces/default/pods",
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "old"}, "spec": spec},
    )
    hold("a", on("gpu-0", "n2", GPU))

    done = asked(server)

    assert done.returncode == 1
    assert "DB008  node n2" in done.stdout
    assert "the plugin gave 4 of 4 to pods, and claims hold 1 of 4 devices" in done.stdout
    assert "possibly" not in done.stdout
    assert "- pod default/old" in done.stdout


def test_only_lists_are_asked_for_and_what_is_refused_is_told(server: LocalCluster, tmp_path: Path) -> None:
    requests = [json.loads(line) for line in server.audit_log.read_text().splitlines()]
    assert {each["verb"] for each in requests} <= {"get", "list"}

    done = asked(server, rights=("resourceslices",))

    assert done.returncode == 2
    assert "cluster, ResourceClaim: GET /apis/resource.k8s.io/v1/resourceclaims: HTTP 403 Forbidden" in done.stderr
    assert "Traceback" not in done.stderr
