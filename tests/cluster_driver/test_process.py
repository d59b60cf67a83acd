import asyncio
import itertools
import json
import os
import signal
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import aiohttp
import pytest
import trustme

from scheduler.cluster import decode
from scheduler.cluster.client import ApiError, Client
from scheduler.cluster.watch import Reflector, Timing
from scheduler.core import names
from scheduler.core.errors import ConfigError
from scheduler.core.messages import Gone, PodRef, Rejected, ReportUnschedulable, Seen, WarnOfTopology, Won
from scheduler.core.model import Uid
from scheduler.service.access import TOKEN_REVIEWS
from scheduler.service.reload import Reload
from scheduler.service.run import Process
from scheduler.service.settings import load, parse
from scoring.extender.client import ScoringClient
from tests.extender.served import pod, registration

DRA = "/apis/resource.k8s.io/v1"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/dovetail-system/leases/dovetail"
PODS = "/api/v1/pods"
POD = "/api/v1/namespaces/ns/pods/p"
KINDS = ("DeviceClass", "DeviceTaintRule", "ResourceSlice", "ResourceClaim")


def serving(api, *without):
    api.objects[DRA] = {"resources": [{"kind": kind} for kind in KINDS if kind not in without]}


@pytest.fixture
def settings(unused_tcp_port):
    return load(None, {"DOVETAIL_HTTP__PORT": str(unused_tcp_port)})


@pytest.fixture
async def start(client):
    """Start a process; ends those that a test leaves running."""
    running = []

    def start(settings):
        process = Process(settings, client, client, Timing(first_backoff_s=0.001))
        process.stop = asyncio.Event()
        process.task = asyncio.ensure_future(process.run(process.stop))
        running.append(process)
        return process

    yield start
    for process in running:
        process.stop.set()
    await asyncio.gather(*(process.task for process in running), return_exceptions=True)


def led_by_another(api):
    held = {"holderIdentity": "other", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}
    api.put(LEASE, {"metadata": {"name": "dovetail"}, "spec": {**held, "acquireTime": held["renewTime"]}})


async def until(condition, within_s=30):
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


async def health(settings, path):
    url = f"http://127.0.0.1:{settings.http.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, (await response.text()).strip()


async def test_it_leads_lists_everything_decides_and_gives_the_lease_back_when_told_to_stop(api, start, settings):
    serving(api)

    process = start(settings)
    await until(lambda: process.loop.deciding)
    holder = api.objects[LEASE]["spec"]["holderIdentity"]
    process.stop.set()
    code = await process.task

    assert code == 0
    assert holder
    assert api.objects[LEASE]["spec"]["holderIdentity"] == ""


async def test_the_lease_is_given_back_before_listeners_have_seen_their_clients_off(api, start, settings):
    serving(api)
    process = start(settings)
    await until(lambda: process.loop.deciding)
    seen_off = asyncio.Event()

    async def hold():
        try:
            await asyncio.Event().wait()
        finally:
            await seen_off.wait()

    process._begin("a listener", hold())
    process.stop.set()
    try:
        await until(lambda: api.objects[LEASE]["spec"]["holderIdentity"] == "", within_s=10)
        assert not process.task.done()
    finally:
        seen_off.set()

    assert await process.task == 0


async def test_a_standby_ends_when_a_part_of_it_does(api, start, settings):
    serving(api)
    held = {"holderIdentity": "other", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}
    api.put(LEASE, {"metadata": {"name": "dovetail"}, "spec": held})
    process = start(settings)
    await until(lambda: process.reflectors and all(each.listed.is_set() for each in process.reflectors))

    async def fail():
        raise ZeroDivisionError

    process._begin("a part", fail())

    async with asyncio.timeout(30):
        assert await process.task == 1


async def test_a_report_that_hangs_at_the_end_leaves_the_lease_to_run_out(api, start, settings, steps, monkeypatch):
    monkeypatch.setattr("scheduler.service.run._GRACE_S", 0.2)
    serving(api)
    process = start(settings)
    await until(lambda: process.loop.deciding)
    api.script("PATCH", f"{POD}/status", steps.hang)
    process.writer.reports.put(ReportUnschedulable(PodRef("ns", "p", Uid("pod-uid"), "7"), "NoFit", "no node"))
    await until(lambda: api.sent("PATCH", POD))

    process.stop.set()

    assert await process.task == 0
    assert api.objects[LEASE]["spec"]["holderIdentity"] != ""


async def test_health_tells_when_it_is_ready(api, start, settings, steps):
    serving(api)
    api.script("GET", DRA, steps.refuse(503))
    process = start(settings)
    await until(lambda: len(api.requests) > 0)
    before = await health(settings, "/readyz")
    await until(lambda: process.loop.deciding)

    assert before == (503, "the cluster was not reached yet")
    assert await health(settings, "/readyz") == (200, "deciding")
    assert await health(settings, "/healthz") == (200, "ok")


async def test_a_missing_permission_makes_it_unready(api, start, settings):
    serving(api)
    process = start(settings)
    await until(lambda: process.loop.deciding)

    process.writer.forbidden = "cannot patch resourceclaims/binding"

    assert await health(settings, "/readyz") == (503, "not permitted: cannot patch resourceclaims/binding")


async def test_it_goes_on_without_device_taint_rules_where_they_are_not_served(api, start, settings):
    serving(api, "DeviceTaintRule")

    process = start(settings)
    await until(lambda: process.loop.deciding)

    assert "DeviceTaintRule" not in {reflector.watched.kind for reflector in process.reflectors}


async def test_a_cluster_without_claims_is_refused(api, start, settings):
    serving(api, "ResourceClaim")

    with pytest.raises(ConfigError, match="ResourceClaim"):
        await start(settings).task


@pytest.mark.interpreted
async def test_a_part_that_fails_ends_the_process_with_the_lease_given_back(api, start, settings):
    serving(api)
    process = start(settings)
    await until(lambda: process.loop.deciding)

    def broken(event, now):
        raise ZeroDivisionError

    process.engine.handle = broken
    process.loop.wake()

    assert await process.task == 1
    assert api.objects[LEASE]["spec"]["holderIdentity"] == ""


async def test_a_standby_lists_and_does_not_decide(api, start, settings):
    serving(api)
    led_by_another(api)

    process = start(settings)
    process.patience_s = 600.0  # it sees at once that another process leads
    await until(lambda: process.reflectors and all(reflector.listed.is_set() for reflector in process.reflectors))

    assert not process.loop.deciding
    assert await health(settings, "/readyz") == (200, "standing by")


async def test_a_standby_that_wins_says_so_before_it_lists_and_decides(api, start, settings, monkeypatch):
    serving(api)
    led_by_another(api)
    told = []
    process = start(settings)
    await until(lambda: process.reflectors and all(reflector.listed.is_set() for reflector in process.reflectors))
    listed = {each.watched.kind: each.listed_from for each in process.reflectors}
    post = process.loop.post

    def noted(event):
        if isinstance(event, Won):
            fresh = [each for each in process.reflectors if each.listed_from != listed[each.watched.kind]]
            told.append((process.loop.deciding, fresh))
        post(event)

    monkeypatch.setattr(process.loop, "post", noted)
    lease = api.objects[LEASE]
    api.put(LEASE, {**lease, "spec": {**lease["spec"], "holderIdentity": ""}})
    await until(lambda: process.loop.deciding)

    assert told == [(False, [])]


def unreadable(version, **spec):
    metadata = {"namespace": "ns", "name": "p", "uid": "pod-uid", "resourceVersion": str(version)}
    spec = {"containers": [], "schedulerName": "dovetail", "priority": "high"} | spec
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}


@pytest.mark.parametrize("first_list", [True, False])
async def test_a_pod_of_ours_that_cannot_be_read_is_told_once_why_it_waits(api, start, settings, first_list):
    serving(api)
    api.put(POD, unreadable(5))
    api.lists[PODS] = [unreadable(5)] if first_list else []
    process = start(settings)
    hours = itertools.count(step=3600)
    process.writer.reports._clock = lambda: next(hours)  # so that it is not the writer that drops repeats
    await until(lambda: process.loop.deciding)
    pods = next(reflector for reflector in process.reflectors if reflector.watched.kind == "Pod")

    for version in (1001, 1002, 1003):
        pods._take(json.dumps({"type": "MODIFIED", "object": unreadable(version)}).encode())
        await until(lambda: api.sent("POST", "/events") and process.writer.idle)

    (condition,) = api.objects[POD]["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "False")
    assert "spec.priority" in condition["message"]
    (event,) = api.sent("POST", "/events")
    assert (event["body"]["reason"], event["body"]["message"]) == ("FailedScheduling", condition["message"])


async def test_an_annotation_that_is_not_followed_is_told_in_an_event(api, start, settings):
    serving(api)
    odd = unreadable(5, priority=1)
    odd["metadata"]["annotations"] = {names.PROFILE: "trainig"}
    api.put(POD, odd)
    api.lists[PODS] = [odd]

    process = start(settings)
    await until(lambda: len(api.sent("POST", "/events")) == 2 and process.writer.idle)

    told = {event["body"]["reason"]: event["body"]["message"] for event in api.sent("POST", "/events")}
    assert set(told) == {"AnnotationIgnored", "FailedScheduling"}  # there is no node
    assert "no profile is called 'trainig'; did you mean training?" in told["AnnotationIgnored"]


@pytest.mark.parametrize("news", ["mended", "deleted", "bound"])
async def test_a_standby_keeps_no_complaint_about_a_pod_that_was_mended_or_left(client, settings, news):
    process = Process(settings, client, client)
    complaint = Rejected("Pod", "ns/p", Uid("pod-uid"), "spec.priority: is odd", "dovetail")
    process._post(complaint)
    kept = dict(process._unreadable)

    process._post(
        {
            "mended": Seen(decode.decode("Pod", unreadable(6, priority=1))),
            "deleted": Gone("Pod", "ns/p", Uid("pod-uid")),
            "bound": replace(complaint, scheduler=""),
        }[news]
    )

    assert list(kept) == ["pod-uid"]
    assert not process._unreadable


async def test_the_owner_of_a_broken_pod_is_told_under_every_scheduler_name_of_ours(api, start, settings):
    serving(api)
    api.put(POD, unreadable(5, schedulerName="batch"))
    api.lists[PODS] = [unreadable(5, schedulerName="batch")]

    process = start(settings.model_copy(update={"scheduler_profiles": {"batch": "training"}}))
    await until(lambda: process.loop.deciding and api.sent("POST", "/events"))

    assert api.sent("POST", "/events")[0]["body"]["involvedObject"]["name"] == "p"


@pytest.mark.parametrize(
    "spec", [{"schedulerName": "another"}, {"nodeName": "n1"}, {"schedulerName": 3}, {"schedulingGates": [{}]}]
)
async def test_of_a_pod_that_does_not_wait_for_us_nothing_is_said(api, start, settings, spec):
    serving(api)
    api.put(POD, unreadable(5, **spec))
    api.lists[PODS] = [unreadable(5, **spec)]

    process = start(settings)
    await until(lambda: process.loop.deciding and process.writer.idle)

    assert ("Pod", "ns/p") in process.engine.state.problems
    assert not api.sent("POST", "/events")
    assert not api.sent("PATCH", POD)


async def test_without_election_it_decides_and_takes_no_lease(api, start, settings):
    serving(api)
    alone = settings.model_copy(
        update={"leader_election": settings.leader_election.model_copy(update={"enabled": False})}
    )

    process = start(alone)
    await until(lambda: process.loop.deciding)

    assert LEASE not in api.objects


async def test_a_port_that_is_taken_is_named(api, start, settings):
    serving(api)
    first = start(settings)
    await until(lambda: first.loop.deciding)

    with pytest.raises(ConfigError, match=str(settings.http.port)):
        await start(settings).task


async def test_a_lost_lease_starts_over_with_nothing_kept(api, settings, monkeypatch, tmp_path):
    from scheduler.service import run

    serving(api)
    losing, led, processes, real = asyncio.Event(), [], [], run.Process

    async def lead(lock, timing, leading):
        led.append(lock.identity)
        leading.set()
        await losing.wait()
        losing.clear()

    def made(*arguments, **options):
        processes.append(real(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr(run, "lead", lead)
    monkeypatch.setattr(run, "Process", made)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        f"apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: '{api.url}'}}}}]\nusers: []\n"
        "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
    )

    task = asyncio.ensure_future(run.serve(kubeconfig, settings))
    await until(lambda: processes and processes[0].loop.deciding)
    losing.set()
    await until(lambda: len(processes) == 2 and processes[1].loop.deciding)
    os.kill(os.getpid(), signal.SIGTERM)

    assert await task == 0
    assert not processes[0].loop.deciding
    assert len(set(led)) == 2
    assert processes[0].engine is not processes[1].engine
    assert processes[0].reload is processes[1].reload


CLAIMS = "/apis/resource.k8s.io/v1/resourceclaims"
CLAIM = "/apis/resource.k8s.io/v1/namespaces/ns/resourceclaims/c"


@pytest.mark.parametrize("meanwhile", [False, True])
async def test_what_an_earlier_leader_began_is_taken_back_before_the_first_decision(api, start, settings, meanwhile):
    serving(api)
    metadata = {"namespace": "ns", "name": "c", "uid": "claim-uid", "finalizers": [names.CLAIM_FINALIZER]}
    asked = {"name": "r", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}}
    claim = api.put(CLAIM, {"metadata": metadata, "spec": {"devices": {"requests": [asked]}}, "status": {}})
    waiting = {"containers": [{"name": "c", "resources": {"claims": [{"name": "gpu"}]}}], "schedulerName": "dovetail"}
    waiting["resourceClaims"] = [{"name": "gpu", "resourceClaimName": "c"}]
    api.lists[CLAIMS] = [claim]
    api.lists[PODS] = [
        api.put(POD, {"metadata": {"namespace": "ns", "name": "p", "uid": "pod-uid"}, "spec": waiting, "status": {}})
    ]
    if meanwhile:
        api.put(CLAIM, {**claim, "metadata": {**metadata, "labels": {"somebody": "else"}}})

    process = start(settings)
    decided = []
    process.loop._decided = lambda seconds: decided.append(len(api.sent("PATCH", "/resourceclaims/c")))
    await until(lambda: decided)

    assert decided[0] == (2 if meanwhile else 1)
    assert api.objects[CLAIM]["metadata"]["finalizers"] == []
    lists = [each for each in api.sent("GET") if each["path"] == CLAIMS and "sendInitialEvents" in each["query"]]
    assert len(lists) == (2 if meanwhile else 1)


async def test_audits_go_on_though_one_cannot_be_made_and_count_what_they_find(api, start, settings, monkeypatch):
    serving(api)
    made = Counter()

    async def audit(reflector):
        made[reflector.watched.kind] += 1
        if reflector.watched.kind == "Node":
            raise ApiError("forbidden", 403, "no")
        return {"Pod": 2, "ResourceSlice": None}.get(reflector.watched.kind, 0)

    monkeypatch.setattr(Reflector, "audit", audit)
    process = start(settings)
    process.audit_s = 0.01
    await until(lambda: made["Pod"] >= 2 and made["Node"] >= 2)

    assert process.drift["Pod"] >= 2
    assert not process.drift["ResourceSlice"]
    assert not process.drift["Node"]


CONFIGS = "/api/v1/namespaces/conf/configmaps"
HEAD = f"apiVersion: {names.CONFIG_API_VERSION}\nkind: {names.CONFIG_KIND}\n"


@pytest.fixture
def tell(api, unused_tcp_port, monkeypatch):
    """Writes the watched ConfigMap, which stands in a namespace that nothing else is in."""
    monkeypatch.setenv("DOVETAIL_HTTP__PORT", str(unused_tcp_port))
    monkeypatch.setenv("DOVETAIL_CONFIG_MAP", "{namespace: conf, name: c}")

    def write(text):
        api.version += 1
        known = {"namespace": "conf", "name": "c", "uid": "u", "resourceVersion": str(api.version)}
        api.lists[CONFIGS] = [{"metadata": known, "data": {"config.yaml": HEAD + text}}]
        return load(None)

    return write


def news(api):
    return [each["body"] for each in api.sent("POST", "/events")]


async def test_the_configmap_counts_before_the_first_decision_and_each_change_after(api, start, tell, monkeypatch):
    from scheduler.service import run

    monkeypatch.setattr(run, "_NEWS_S", 0.01)
    serving(api)
    process = start(tell("weights: {packing: 2}"))
    await until(lambda: process.loop.deciding)
    at_first = process.engine.config.weights, process.engine.config.digest, process.reload.active_hash

    watch = next(each for each in process.reflectors if each.watched.path == CONFIGS)
    tell("weights: {packing: -2}")
    watch.relist()
    await until(lambda: len(news(api)) == 2)
    refused = process.engine.config.weights, process.reload.refused
    tell("weights: {packing: 3}")
    watch.relist()
    await until(lambda: len(news(api)) == 3)

    assert at_first[0] == {"packing": 2}
    assert at_first[1] == at_first[2]
    assert refused == ({"packing": 2}, 1)
    assert process.engine.config.weights == {"packing": 3}
    assert [each["reason"] for each in news(api)] == ["ConfigApplied", "ConfigRefused", "ConfigApplied"]
    bad = news(api)[1]
    assert "weights.packing = -2" in bad["message"]
    assert bad["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "namespace": "conf",
        "name": "c",
        "uid": "u",
    }
    assert (bad["type"], bad["metadata"]["namespace"]) == ("Warning", "conf")


async def test_a_configmap_that_may_not_be_read_holds_nothing_up(api, start, tell, steps):
    serving(api)
    api.script("GET", CONFIGS, *[steps.refuse(403, "Forbidden")] * 50)

    process = start(tell(""))
    await until(lambda: process.loop.deciding)

    assert api.sent("GET", CONFIGS)


async def test_where_the_configmap_may_not_be_watched_the_file_is_followed(api, client, tell, tmp_path):
    serving(api)
    api.denied = {("list", "configmaps")}
    path = tmp_path / "config.yaml"
    path.write_text(HEAD)
    process = Process(tell(""), client, client, Timing(first_backoff_s=0.001), file=path)
    stop = asyncio.Event()
    task = asyncio.ensure_future(process.run(stop))
    await until(lambda: process.loop.deciding)

    path.write_text(HEAD + "batch: 7\n")
    await until(lambda: process.engine.config.batch == 7)
    stop.set()
    await task

    assert not api.sent("GET", CONFIGS)


async def test_without_a_configmap_the_file_is_followed_and_the_lease_has_the_news(api, client, settings, tmp_path):
    serving(api)
    path = tmp_path / "config.yaml"
    head = f"{HEAD}http: {{port: {settings.http.port}}}\n"  # as it runs: there is nothing to tell
    path.write_text(head)
    process = Process(settings, client, client, Timing(first_backoff_s=0.001), file=path)
    stop = asyncio.Event()
    task = asyncio.ensure_future(process.run(stop))
    await until(lambda: process.loop.deciding)

    path.write_text(head + "batch: none\n")
    await until(lambda: news(api))
    said = await health(settings, "/readyz")
    _, figures = await health(settings, "/metrics")
    path.write_text(HEAD + "batch: 7\nseed: 3\n")
    await until(lambda: process.reload.waiting)
    _, later = await health(settings, "/metrics")
    stop.set()
    await task

    told = news(api)[0]
    assert (told["reason"], told["involvedObject"]["kind"], told["involvedObject"]["name"]) == (
        "ConfigRefused",
        "Lease",
        "dovetail",
    )
    assert f"{path}: batch = 'none'" in told["message"]
    assert said == (200, "deciding; the last change of the configuration was refused")
    last, needed = "dovetail_config_last_reload_successful", "dovetail_config_restart_needed"
    counted = 'dovetail_config_reloads_total{result="%s"} %d.0'
    for line in (f"{last} 0.0", f"{needed} 0.0", counted % ("refused", 1), counted % ("accepted", 0)):
        assert line in figures.splitlines()
    for line in (f"{last} 1.0", f"{needed} 1.0", counted % ("refused", 1), counted % ("accepted", 1)):
        assert line in later.splitlines()


async def test_warnings_of_topology_are_logged_and_many_are_counted(client, settings, caplog):
    process = Process(settings, client, client)

    process._submit(WarnOfTopology(tuple(f"node n{i}: wrong" for i in range(60))))

    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told[0] == "topology: node n0: wrong"
    assert len(told) == 51
    assert told[-1] == "topology: 10 more warnings like these"


async def test_it_decides_without_the_topology_map_where_its_role_is_missing(api, start, settings, steps):
    serving(api)
    path = "/api/v1/namespaces/dovetail-system/configmaps"
    api.script("GET", path, *[steps.refuse(403, "Forbidden")] * 50)

    process = start(settings)
    await until(lambda: process.loop.deciding)

    assert api.sent("GET", path)


async def test_without_a_permission_it_decides_nothing_until_that_is_granted(api, start, settings):
    serving(api)
    api.denied = {("patch", "resourceclaims/binding")}
    process = start(settings)
    process.permissions.again_s = 0.01
    await until(lambda: process.permissions.problem)
    before = await health(settings, "/readyz")
    led = LEASE in api.objects

    api.denied.clear()
    await until(lambda: process.loop.deciding)

    assert before[0] == 503
    assert "lacks verb patch on resourceclaims/binding.resource.k8s.io in all namespaces" in before[1]
    assert "apply manifests/base/rbac.yaml" in before[1]
    assert not led
    assert await health(settings, "/readyz") == (200, "deciding")


async def test_without_events_it_decides_and_writes_none(api, start, settings):
    serving(api)
    api.denied = {("create", "events")}
    process = start(settings)
    await until(lambda: process.loop.deciding)
    api.put(POD, {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {}})

    process.writer.reports.put(ReportUnschedulable(PodRef("ns", "p", Uid("u")), "Misconfigured", "why"))
    await api.until(lambda: api.sent("PATCH", "/pods/p/status"))
    await until(lambda: process.writer.idle)

    assert await health(settings, "/readyz") == (200, "deciding without events of pods")
    assert api.sent("POST", "/events") == []


async def test_metrics_and_debug_pages_are_served_on_loopback(api, start, settings):
    serving(api)
    process = start(settings)
    await until(lambda: process.loop.deciding)

    status, text = await health(settings, "/metrics")
    _, queue = await health(settings, "/debug/queue")
    _, config = await health(settings, "/debug/config")

    assert status == 200
    assert "dovetail_leader 1.0" in text
    assert f'dovetail_config_info{{hash="{settings.digest()}",profile="default"}} 1.0' in text
    assert 'dovetail_api_requests_total{code="200",resource="pods",verb="watch"} 1.0' in text
    assert 'dovetail_watch_listed{kind="Pod"} 1.0' in text
    assert json.loads(queue) == {"waiting": 0, "inFlight": 0, "pods": []}
    assert json.loads(config)["hash"] == settings.digest()


async def test_every_check_is_named_on_request(api, start, settings):
    serving(api)
    process = start(settings)
    await until(lambda: process.loop.deciding)

    status, text = await health(settings, "/readyz?verbose")

    lines = text.splitlines()
    assert (status, lines[-1]) == (200, "deciding")
    assert {
        "[+]permissions ok",
        "[+]cluster ok",
        "[+]watch Pod ok",
        "[+]watch ResourceClaim ok",
        "[+]writes ok",
    } <= set(lines)


async def test_it_serves_scores_over_grpc_by_the_weights_that_are_in_force(api, start, unused_tcp_port_factory):
    serving(api)
    health_port, port = unused_tcp_port_factory(), unused_tcp_port_factory()
    scores = {"DOVETAIL_EXTENDER__GRPC__ENABLED": "true", "DOVETAIL_EXTENDER__GRPC__PORT": str(port)}
    process = start(load(None, {"DOVETAIL_HTTP__PORT": str(health_port), **scores}))
    await until(lambda: process.loop.deciding)
    scorer = ScoringClient(f"127.0.0.1:{port}", registration, timeout_s=10.0)

    [[before]] = await scorer.best([pod()], top=1)
    process.reload._apply(load(None, {"DOVETAIL_WEIGHTS__PACKING": "50", **scores}))
    [[after]] = await scorer.best([pod()], top=1)
    await scorer.close()
    process.stop.set()

    assert await process.task == 0
    assert "packing" not in before.scores
    assert "packing" in after.scores


async def test_a_process_that_starts_over_serves_scores_by_the_weights_that_came_meanwhile(api, client, settings):
    serving(api)
    port = settings.http.port
    scores = {"DOVETAIL_HTTP__PORT": "0", "DOVETAIL_EXTENDER__GRPC__PORT": str(port)}
    at_start = load(None, {**scores, "DOVETAIL_EXTENDER__GRPC__ENABLED": "true"})
    reload = Reload(at_start, {})
    reload.active = at_start.model_copy(update={"weights": {"packing": 50.0}})
    process = Process(at_start, client, client, Timing(first_backoff_s=0.001), reload=reload)
    stop = asyncio.Event()
    task = asyncio.ensure_future(process.run(stop))
    await until(lambda: process.loop.deciding)

    scorer = ScoringClient(f"127.0.0.1:{port}", registration, timeout_s=10.0)
    [[best]] = await scorer.best([pod()], top=1)
    await scorer.close()
    stop.set()
    await task

    assert "packing" in best.scores


async def test_of_two_watches_of_one_kind_the_worse_is_told(api, start, tell):
    serving(api)
    process = start(tell(""))
    await until(lambda: process.loop.deciding)
    maps = [each for each in process.reflectors if each.watched.kind == "ConfigMap"]
    at_best = process._own().kinds["ConfigMap"]
    told = []
    for each in maps:
        before = each.heard
        each.heard = before - 5_000
        each.listed.clear()
        told.append(process._own().kinds["ConfigMap"])
        each.heard = before
        each.listed.set()

    assert len(maps) == 2
    assert at_best[0] < 1_000
    assert at_best[1]
    assert [(silent > 4_000, listed) for silent, listed in told] == [(True, False)] * 2


async def test_the_certificate_of_every_listener_is_told(api, start, unused_tcp_port_factory, tmp_path):
    serving(api)
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", not_after=datetime(2031, 1, 1, tzinfo=UTC))
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    leaf.private_key_pem.write_to_path(tmp_path / "tls.key")
    pair = {"certFile": str(tmp_path / "tls.crt"), "keyFile": str(tmp_path / "tls.key")}
    both = {**pair, "clientCAFile": str(tmp_path / "ca.crt")}
    listeners = {
        "http": {"port": unused_tcp_port_factory(), "tls": pair},
        "extender": {
            "http": {"enabled": True, "port": unused_tcp_port_factory(), "tls": both},
            "grpc": {"enabled": True, "port": unused_tcp_port_factory(), "tls": both},
        },
    }
    text = "\n".join(f"{key}: {json.dumps(value)}" for key, value in listeners.items())
    process = start(parse(HEAD + text, "a test", {}))
    await until(lambda: process.loop.deciding)

    expires = datetime(2031, 1, 1, tzinfo=UTC).timestamp()
    assert process._own().certificates == dict.fromkeys(("http", "extender.http", "extender.grpc"), expires)


async def test_a_review_of_a_token_that_is_throttled_holds_up_no_write(api, start, settings, steps, monkeypatch):
    held, hold = [], Client._hold

    async def noted(client):
        held.append(client)
        await hold(client)

    monkeypatch.setattr(Client, "_hold", noted)
    monkeypatch.setattr("scheduler.service.http.is_loopback", lambda host: False)  # as beyond loopback
    serving(api)
    api.script("POST", TOKEN_REVIEWS, steps.refuse(429))
    process = start(settings)
    await until(lambda: process.loop.deciding)

    url = f"http://127.0.0.1:{settings.http.port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url, headers={"Authorization": "Bearer t"}) as response:
        status = response.status
    figures = (await process.metrics.scrape()).decode()
    process.stop.set()
    await process.task

    assert status != 200
    assert held
    assert process.client not in held
    assert 'dovetail_api_requests_total{code="429",resource="tokenreviews",verb="create"} 1.0' in figures
    assert all(each._session.closed for each in held)
