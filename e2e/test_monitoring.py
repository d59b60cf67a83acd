"""Dashboard and alerts, evaluated by a real Prometheus on the metrics of a live Dovetail."""

import asyncio
import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from ruamel.yaml import YAML

from e2e.api import Raw, documents, until
from e2e.certificates import Authority
from e2e.cluster import free_ports
from e2e.conftest import World, runs
from e2e.controlplane import ROOT
from e2e.dovetail import Dovetail
from e2e.prometheus import Prometheus, promtool, selectors
from e2e.workload import claim_spec, pod, request, template
from scheduler.cluster.client import Client
from scheduler.service.access import Access
from scheduler.service.extender import PREFIX
from scheduler.simulator import fleet

MONITORING = ROOT / "manifests" / "monitoring"
DASHBOARD = MONITORING / "dashboard.json"
RULES = MONITORING / "rules.yaml"

SILENT: Mapping[str, str] = {
    "histogram_quantile(0.99, sum by (le) (rate(dovetail_window_gap_ratio_bucket[1m])))": (
        "whether pods are decided together hangs on which of them the watch brings in one cycle"
    ),
}
"""Queries of the dashboard that may have no data here, and why."""

NEVER_HERE: Mapping[str, str] = {
    'dovetail_api_requests_total{code=~"5..|429|<error>"}': "the API server of this test fails no request",
}
"""Selectors of alerts without series in a healthy cluster, and why."""


def panels() -> list[tuple[str, str]]:
    """Title and expression of every query of the dashboard, as it is sent where the range is a minute."""
    found = json.loads(DASHBOARD.read_text())["panels"]
    return [
        (panel["title"], target["expr"].replace("$__rate_interval", "1m"))
        for panel in found
        for target in panel.get("targets", ())
    ]


def alerts() -> list[tuple[str, str]]:
    groups = YAML(typ="safe", pure=True).load(RULES.read_text())["groups"]
    return [(rule["alert"], rule["expr"]) for group in groups for rule in group["rules"]]


def test_promtool_takes_the_rules_and_each_alert_fires_as_it_should(tmp_path: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", str(RULES))

    cases = Path(__file__).with_name("alerts.yaml")
    tested = YAML(typ="safe", pure=True).load(cases.read_text())
    fired = {
        each["alertname"] for case in tested["tests"] for each in case["alert_rule_test"] if each.get("exp_alerts")
    }
    rules = YAML(typ="safe", pure=True).load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            del rule["annotations"]  # promtool would compare their texts
    with (tmp_path / "rules.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(rules, file)
    (tmp_path / "cases.yaml").write_text(cases.read_text())
    assert fired == {name for name, _ in alerts()}
    promtool("test", "rules", "cases.yaml", cwd=tmp_path)


Question = Callable[[], None]


@pytest.fixture
def extender(tmp_path: Path) -> tuple[Mapping[str, str], Question]:
    """What makes Dovetail serve as an extender over TLS, and what asks it something that it refuses."""
    servers, clients = Authority(tmp_path / "servers"), Authority(tmp_path / "clients")
    [port] = free_ports(1)
    own, shown = servers.issue("127.0.0.1"), clients.issue(name="system:kube-scheduler")
    settings = {
        "ENABLED": "true", "PORT": str(port), "TLS__CERT_FILE": own.certificate, "TLS__KEY_FILE": own.key,
        "TLS__CLIENT_CA_FILE": clients.file,
    }  # fmt: skip
    context = ssl.create_default_context(cafile=servers.file)
    context.load_cert_chain(shown.certificate, shown.key)

    def ask() -> None:
        request = Request(f"https://127.0.0.1:{port}{PREFIX}/filter", b"nothing that could be a question")
        with pytest.raises(HTTPError, match=r"4\d\d"):
            urlopen(request, context=context, timeout=10)

    return {f"DOVETAIL_EXTENDER__HTTP__{key}": value for key, value in settings.items()}, ask


@pytest.fixture
def prometheus(
    world: World,
    start_dovetail: Callable[..., Dovetail],
    extender: tuple[Mapping[str, str], Question],
    tmp_path: Path,
) -> Iterator[Prometheus]:
    """Of a Dovetail with every part that tells something: among them a remote scorer that is not there."""
    [nobody] = free_ports(1)
    scorer = {"name": "nobody", "address": f"127.0.0.1:{nobody}", "weight": 1}
    settings = {"DOVETAIL_SOLVER": "joint", "DOVETAIL_REMOTE_SCORERS": json.dumps([scorer]), **extender[0]}
    dovetail = start_dovetail(settings=settings).ready()
    server = Prometheus(tmp_path, f"127.0.0.1:{dovetail.port}", RULES)
    try:
        yield server.ready()
    finally:
        server.stop()


def has_data(samples: list[Raw]) -> bool:
    """Whether there is a number; a quantile of nothing is none."""
    return any(sample["value"][1] != "NaN" for sample in samples)


def load(world: World) -> None:
    """What makes every panel show something: linked pairs, pods that get in each other's way, some that never fit."""
    world.publish(
        [*fleet.device_classes(), *fleet.fleet({"dgx-h100": 1, "a100-pcie-bridged": 1, "a100-mig": 1}, seed=3)]
    )
    namespace = world.namespace
    world.create(
        *(template(namespace, f"gpus-{count}", claim_spec([request(count=count)])) for count in (1, 2, 4, 8, 16)),
        template(namespace, "odd", claim_spec([request(cel="device.attributes['gpu.nvidia.com'].index < 0")])),
    )
    world.create(*(pod(namespace, f"pair-{i}", templates=["gpus-2"]) for i in range(4)))
    world.create(*(pod(namespace, f"one-{i}", templates=["gpus-1"]) for i in range(3)))
    runs(world, "pair-0")
    runs(world, "one-2")
    world.create(*(pod(namespace, f"large-{i}", templates=["gpus-8"]) for i in range(2)))
    world.create(*(pod(namespace, f"never-{i}", templates=["gpus-16"]) for i in range(2)))
    world.create(pod(namespace, "orphan", claims=["nobody-made-it"]))


def test_every_query_of_dashboard_and_alerts_resolves_on_a_live_scrape(
    world: World, prometheus: Prometheus, extender: tuple[Mapping[str, str], Question], say: Callable[[str], None]
) -> None:
    _, ask = extender
    load(world)
    ask()
    until(lambda: prometheus.query("dovetail_extender_requests_total > 0"), "a question scraped", 60)
    until(
        lambda: prometheus.query('dovetail_attempts_total{result="scheduled"} > 6'), "seven pods bound and scraped", 60
    )
    until(lambda: prometheus.query('dovetail_pending_pods{reason="NoFit"} > 0'), "pods that fit nowhere", 60)
    until(lambda: prometheus.query("rate(dovetail_attempts_total[1m]) > 0"), "a rate", 60)

    known = prometheus.names()
    asked = [*panels(), *alerts()]
    unknown = {name for _, expression in asked for name, _ in selectors(expression)} - known
    assert unknown == set(), "no such metric was scraped"
    assert all(selectors(expression) for _, expression in asked)

    arrivals = count()
    silent: set[str] = set()

    def all_told() -> bool:
        # A series that begins with its first event has a rate only once there is a second one.
        world.create(pod(world.namespace, f"plain-{next(arrivals)}"))
        ask()
        silent.clear()
        silent.update(expression for _, expression in panels() if not has_data(prometheus.query(expression)))
        return silent <= set(SILENT)

    try:
        until(all_told, "every panel has data", 60, every=1.0)
    except AssertionError as error:
        raise AssertionError(f"{error}; without: {sorted(silent - set(SILENT))}") from None

    mute = {
        selector
        for _, expression in alerts()
        for _, selector in selectors(expression)
        if not prometheus.query(selector)
    }
    assert mute - set(NEVER_HERE) == set()
    for _, expression in alerts():
        prometheus.query(expression)
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {name for name, _ in alerts()}
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []
    firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
    assert firing & {"DovetailNobodyDecides", "DovetailTwoDecide", "DovetailForbidden"} == set()
    say(
        f"Prometheus: {len(panels())} queries of the dashboard and {len(alerts())} alerts resolve on "
        f"{len(known)} metrics; without data here: {sorted(silent) or 'none'}"
    )


@pytest.fixture
def scraper(world: World) -> Iterator[str]:
    """An account that is bound to the shipped role; its name."""
    [reader, debugger] = documents((MONITORING / "reader.yaml").read_text())
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": reader["metadata"]["name"]}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": world.namespace},
        "roleRef": role,
        "subjects": [{"kind": "ServiceAccount", "name": "scraper", "namespace": world.namespace}],
    }
    made = [reader, debugger, binding]
    for item in made:
        world.api.apply(item)
    try:
        yield "scraper"
    finally:
        for item in made:
            world.api.delete(item["kind"], item["metadata"]["name"])


def test_the_api_server_says_who_may_read_metrics(world: World, dovetail: Dovetail, scraper: str) -> None:
    # given two accounts, of which one is bound to the shipped role; Dovetail's own account asks for them
    for name in (scraper, "stranger"):
        metadata = {"name": name, "namespace": world.namespace}
        world.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})

    def token(name: str, *audiences: str) -> str:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": audiences}}
        path = f"/api/v1/namespaces/{world.namespace}/serviceaccounts/{name}/token"
        text: str = world.api.call("POST", path, body)["status"]["token"]
        return text

    async def judged(bearer: str, path: str = "/metrics", audiences: Sequence[str] = ()) -> int:
        client = await Client.connect(dovetail.kubeconfig)
        try:
            return (await Access(client, audiences).judge(f"Bearer {bearer}", path)).status
        finally:
            await client.close()

    def judge(*arguments: Any) -> int:
        return asyncio.run(judged(*arguments))

    # then
    until(lambda: judge(token(scraper)) == 200, "the scraper may read metrics")  # the authorizer has seen the binding
    assert judge(token(scraper), "/debug/queue") == 403
    assert judge(token("stranger")) == 403
    assert judge("forged") == 401
    assert judge(token(scraper, "dovetail")) == 401  # not meant for the API server
    assert judge(token(scraper, "dovetail"), "/metrics", ["dovetail"]) == 200
    assert judge(token(scraper), "/metrics", ["dovetail"]) == 401
