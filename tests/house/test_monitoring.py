"""Dashboard and alerts read what is told, and say why they exist; e2e/test_monitoring.py evaluates them."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from scheduler.core.config import RemoteScorer
from scheduler.service.metrics import Metrics, Own
from tests import build
from tests.build import claim, node, pod
from tests.driving import Hands

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
MONITORING = MANIFESTS / "monitoring"
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
SERVING = json.loads((MANIFESTS / "examples/autoscaling/monitoring/dashboard.json").read_text())
RULES = YAML(typ="safe").load((MONITORING / "rules.yaml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
ALWAYS_PREFIXED = r"\b(?:dovetail|scheduler|process)_[a-z0-9_]+"


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@pytest.fixture
async def told():
    """The names of all samples of a process that decides, with every part that can be configured."""
    scorers = (RemoteScorer("cost", 1.0, 0.05),)
    hands = Hands(node("n1"), build.gpus("n1", 2), claim("c"), pod("p", claims=["c"]), remote=scorers).settle()
    own = Own(
        True, "hash", "default", {"Pod": (1.0, True)}, 0, 0, 0, 0, 0, (0, 0.0),
        circuits={"cost": "closed"}, certificates={"extender.http": 2e9},
    )  # fmt: skip
    metrics = Metrics("dovetail", lambda: own)
    metrics.watch(hands.engine)
    metrics.request("GET", "/api/v1/pods", 200, 0.1)
    metrics.question("filter", "answered", 0.1)
    families = [*text_string_to_metric_families((await metrics.scrape()).decode())]
    assert {family.name for family in families if not family.samples} == set(), "nobody guards what has no sample"
    return {sample.name for family in families for sample in family.samples}


def asked():
    yield from ((panel["title"], target["expr"]) for panel in panels(DASHBOARD) for target in panel["targets"])
    yield from ((rule["alert"], rule["expr"]) for rule in ALERTS)


async def test_every_metric_that_is_asked_for_is_told(told):
    for where, expression in asked():
        names = set(re.findall(ALWAYS_PREFIXED, expression))
        assert names, where
        assert names <= told, where


async def test_every_metric_of_ours_beside_those_of_vllm_is_told(told):
    expressions = [target["expr"] for panel in panels(SERVING) for target in panel["targets"]]
    names = {name for each in expressions for name in re.findall(ALWAYS_PREFIXED, each)}

    assert len(names) > 5
    assert names <= told


async def test_every_metric_of_ours_is_on_the_dashboard_or_known_to_be_left_out(told):
    shown = {name for _, expression in asked() for name in re.findall(ALWAYS_PREFIXED, expression)}
    families = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in told if not name.startswith("process")}

    missing = families - {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in shown}

    assert missing == {
        "dovetail_build_info",  # for whoever asks which version runs
        "dovetail_writes_limit",  # what it comes to shows in the durations of requests and stages
        "dovetail_inbox_events", "dovetail_writes_in_flight",  # what cycles and stages show better, unless one hangs
        "dovetail_watch_listed",  # readiness
        "dovetail_config_restart_needed",  # an event and the log say what it waits for
        "dovetail_topology_warnings_told", "dovetail_objects_rejected",  # the gauges of the same tell what is so now
    }  # fmt: skip


@pytest.mark.parametrize("panel", [*panels(DASHBOARD), *panels(SERVING)], ids=lambda panel: panel["title"])
def test_every_panel_says_why_it_is_there(panel):
    assert len(panel["description"]) > 20
    assert all(target["legendFormat"] for target in panel["targets"])
    assert panel["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize("dashboard", [DASHBOARD, SERVING], ids=lambda each: each["title"])
def test_panels_have_places_and_numbers_of_their_own(dashboard):
    ids = [panel["id"] for panel in dashboard["panels"]]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(ids) == len(set(ids))
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_why_and_what_to_do(rule):
    assert rule["alert"].startswith("Dovetail")
    assert set(rule["annotations"]) == {"summary", "reason", "runbook"}
    assert all(rule["annotations"].values())
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert re.fullmatch(r"\d+[mh]", rule["for"])


def test_the_operators_form_of_the_rules_is_the_same():
    operator = YAML(typ="safe").load((MONITORING / "prometheusrule.yaml").read_text())

    assert (operator["kind"], operator["spec"]) == ("PrometheusRule", RULES)


def test_files_that_runbooks_name_exist():
    named = {name for rule in ALERTS for name in re.findall(r"manifests/[\w./-]*\w", rule["annotations"]["runbook"])}

    assert named
    for name in named:
        assert (MONITORING.parents[1] / name).exists(), name
