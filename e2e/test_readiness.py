"""`dovetail readiness --live` on real API servers: as the records say, with a read-only account, and with none."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import controlplane
from e2e.cluster import LocalCluster, Profile, scratch
from e2e.dovetail import command
from e2e.readiness.__main__ import RECORDS
from e2e.readiness.clusters import CLUSTERS, READER, Recorded
from e2e.readiness.recording import BUILT, account, create, recorded
from scheduler.readiness.record import written

MINE = [each for each in CLUSTERS if each.version in BUILT]
NEWEST = next(each for each in CLUSTERS if each.name.startswith("1.37-nvidia"))


@pytest.mark.parametrize("cluster", MINE, ids=lambda cluster: cluster.name)
def test_a_cluster_that_is_recorded_anew_is_as_it_was(cluster: Recorded, tmp_path: Path) -> None:
    document = recorded(cluster, tmp_path)

    before = json.loads((RECORDS / f"{cluster.name}.json").read_text())
    assert json.loads(written(document)) == {**before, "date": document.date}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalCluster]:
    """The newest Kubernetes with what one of the records has, whose requests by the reader are noted."""
    profile = Profile(
        "readiness", NEWEST.gates, NEWEST.apis, audited=f"system:serviceaccount:default:{READER}", controlled=False
    )
    with scratch("dovetail-e2e-readiness-") as folder:
        opened = LocalCluster(controlplane.binaries(), profile, folder, "built")
        try:
            create(opened.api, NEWEST)
            yield opened
        finally:
            opened.stop()


def asked(server: LocalCluster, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the command says to an account."""
    kubeconfig = account(server, server.folder, name)
    line = [command(), "readiness", "--live", "--kubeconfig", str(kubeconfig), *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)


def test_a_reader_is_told_and_nothing_is_written(server: LocalCluster, tmp_path: Path) -> None:
    done = asked(server, READER, "--format", "json", "--record", str(tmp_path / "record.json"))

    assert (done.returncode, done.stderr) == (1, "")
    said = json.loads(done.stdout)
    assert said["unread"] == []
    assert {each["name"]: each["state"] for each in said["gates"]}["GenericWorkload"] == "on"
    assert {each["basis"] for each in said["gates"]} == {"metrics"}
    verdicts = {each["name"]: each["verdict"] for each in said["families"]}
    assert (verdicts["tensor-parallel"], verdicts["prefill-decode"], verdicts["mig"]) == ("ready", "ready", "gap")
    requests = [json.loads(line) for line in server.audit_log.read_text().splitlines()]
    assert {each["verb"] for each in requests} <= {"get", "list"}
    assert len(requests) >= 8
    # and the record says the same without the cluster
    again = subprocess.run(
        [command(), "readiness", str(tmp_path / "record.json"), "--format", "json"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert json.loads(again.stdout) == said


def test_families_that_are_ready_are_asked_for_alone(server: LocalCluster) -> None:
    done = asked(server, READER, "--for", "one-gpu", "--for", "tensor-parallel")

    assert done.returncode == 0, done.stdout
    assert "nothing: every family is ready" not in done.stdout  # what differs from defaults is told all the same
    assert "featureGates: {" in done.stdout


def test_an_account_with_nothing_is_told_what_it_could_not_see(server: LocalCluster) -> None:
    done = asked(server, "nothing", "--format", "json")

    assert (done.returncode, done.stderr) == (1, "")
    said = json.loads(done.stdout)
    unread = {each["what"]: each["why"] for each in said["unread"]}
    wanted = {"metrics", "Node", "ResourceSlice", "DeviceClass", "DaemonSet", "ConfigMap dovetail-topology"}
    assert set(unread) == wanted
    assert all("HTTP 403" in why and "system:serviceaccount:default:nothing" in why for why in unread.values())
    # Versions and APIs are open to every account; of all else nothing is said to be missing.
    missing = {need["what"] for each in said["families"] for need in each["needs"] if need["verdict"] == "missing"}
    assert missing <= {"a source of metrics for autoscaling", "PodMonitor and ServiceMonitor"}
    assert said["kubernetes"]["minor"] == 37
    assert said["drivers"] == []
    states = {each["name"]: each["state"] for each in said["gates"]}
    assert states["DRAAdminAccess"] == "on"  # locked
    assert states["DRADeviceTaints"] == "presumed on"
    assert states["DRAListTypeAttributes"] == "presumed off"  # it is on, and this account cannot know
    assert states["GenericWorkload"] == "on"  # PodGroups are served
    for what in ("list nodes", "list ResourceSlices", "get /metrics"):
        assert any(what in step["do"] for step in said["steps"])


def test_a_cluster_that_does_not_answer_is_bad_input(server: LocalCluster, tmp_path: Path) -> None:
    kubeconfig = account(server, server.folder, READER)
    text = kubeconfig.read_text().replace(server.api.access.server, "https://127.0.0.1:1")
    (tmp_path / "nowhere").write_text(text)

    done = subprocess.run(
        [command(), "readiness", "--live", "--kubeconfig", str(tmp_path / "nowhere")],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "cluster: GET /version" in done.stderr
