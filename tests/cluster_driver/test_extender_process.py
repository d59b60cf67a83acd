"""The HTTP extender inside a process that follows a cluster: on any replica, and never from a view that is old."""

import asyncio
import time
from types import SimpleNamespace

import aiohttp
import pytest

from scheduler.cluster.watch import Timing
from scheduler.core.errors import ConfigError
from scheduler.service.run import Process
from scheduler.service.settings import load
from tests.service.extender_client import pod_json

DRA = "/apis/resource.k8s.io/v1"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/dovetail-system/leases/dovetail"


@pytest.fixture
def settings(unused_tcp_port_factory):
    ports = {"HTTP__PORT": unused_tcp_port_factory(), "EXTENDER__HTTP__PORT": unused_tcp_port_factory()}
    given = {"EXTENDER__HTTP__ENABLED": "true", **ports}
    return load(None, {f"DOVETAIL_{key}": str(value) for key, value in given.items()})


@pytest.fixture
async def standby(api, client, settings):
    """A process that waits for another one's lease, with one node and one device of it listed."""
    kinds = ("DeviceClass", "ResourceSlice", "ResourceClaim")
    api.objects[DRA] = {"resources": [{"kind": kind} for kind in kinds]}
    held = {"holderIdentity": "other", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}
    api.put(LEASE, {"metadata": {"name": "dovetail"}, "spec": {**held, "acquireTime": held["renewTime"]}})
    listed = {
        "/api/v1/nodes": {"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "8", "pods": "10"}}},
        f"{DRA}/deviceclasses": {"metadata": {"name": "gpu"}, "spec": {}},
        f"{DRA}/resourceslices": {
            "metadata": {"name": "s"},
            "spec": {
                "driver": "d.example", "nodeName": "n1", "devices": [{"name": "gpu-0"}],
                "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 1},
            },
        },
        f"{DRA}/resourceclaims": {
            "metadata": {"name": "c", "namespace": "default"},
            "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu", "count": 1}}]}},
        },
    }  # fmt: skip
    for path, item in listed.items():
        item["metadata"] |= {"uid": f"uid-{path}", "resourceVersion": "5"}
        api.lists[path] = [item]
    process = Process(settings, client, client, Timing(first_backoff_s=0.001))
    process.patience_s = 0.05
    stop = asyncio.Event()
    task = asyncio.ensure_future(process.run(stop))
    yield process
    stop.set()
    await task


async def asked(settings, verb="filter"):
    url = f"http://127.0.0.1:{settings.extender.http.port}/extender/{verb}"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json={"Pod": pod_json(), "NodeNames": ["n1"]}) as reply,
    ):
        return await reply.json()


async def listed(process):
    async with asyncio.timeout(30):
        while process.engine is None or not process.engine._listed:
            await asyncio.sleep(0.005)


async def test_a_standby_answers_too(standby, settings):
    await listed(standby)

    assert not standby.loop.deciding
    assert (await asked(settings))["NodeNames"] == ["n1"]
    assert await asked(settings, "prioritize") == [{"Host": "n1", "Score": 10}]


async def test_before_everything_is_listed_nothing_is_said(api, standby, settings, steps):
    api.script("GET", f"{DRA}/resourceclaims", *[steps.hang] * 5)
    while standby.engine is None:
        await asyncio.sleep(0.005)

    assert "Dovetail has no up-to-date view of the cluster: " in (await asked(settings))["Error"]


@pytest.mark.parametrize(("silent", "failed", "said"), [(5, True, False), (11, True, True), (60, False, False)])
async def test_a_watch_that_broke_some_time_ago_is_not_trusted(standby, settings, silent, failed, said):
    await listed(standby)
    now = time.monotonic()
    (slices,) = [each for each in standby.reflectors if each.watched.kind == "ResourceSlice"]
    slices.heard = now - silent
    slices.failed = now if failed else slices.failed

    found = await asked(settings)

    assert (f"the watch of ResourceSlice broke {silent} s ago" in found["Error"]) is said
    assert (found["NodeNames"] is None) is said


async def test_its_questions_and_its_certificate_are_told_in_metrics(standby, settings):
    await listed(standby)
    await asked(settings)
    standby.extender.certificates = SimpleNamespace(expires=2e9)

    text = (await standby.metrics.scrape()).decode()

    assert 'dovetail_extender_requests_total{result="answered",verb="filter"} 1.0' in text
    assert 'dovetail_certificate_expiration_timestamp_seconds{listener="extender.http"} 2e+09' in text


async def test_it_is_off_unless_it_is_enabled(client):
    assert Process(load(None, {}), client, client).extender is None


async def test_files_that_cannot_be_used_end_the_start(client, tmp_path):
    given = {"ENABLED": "true", "TLS__CERT_FILE": str(tmp_path / "no.crt"), "TLS__KEY_FILE": str(tmp_path / "no.key")}
    settings = load(None, {f"DOVETAIL_EXTENDER__HTTP__{key}": value for key, value in given.items()})

    with pytest.raises(ConfigError, match=r"extender\.http\.tls\.certFile .*no\.crt: cannot be read"):
        Process(settings, client, client)
