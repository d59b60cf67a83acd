"""What stands around pods of vLLM beside an autoscaler: rules, the dashboard, and the budget that evictions keep to."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from e2e.api import ApiRefusalError, Raw, collection, until
from e2e.conftest import World
from e2e.dovetail import Dovetail
from e2e.kustomize import MANIFESTS, built
from e2e.prometheus import Prometheus, promtool, selectors
from e2e.serving import pages
from e2e.serving.formula import evaluated
from e2e.serving.http import TEXT, Server
from e2e.serving.rules import rules_file
from e2e.test_examples import start
from e2e.test_monitoring import has_data, load
from scheduler.simulator import fleet

EXAMPLES = MANIFESTS / "examples"
MONITORING = EXAMPLES / "autoscaling" / "monitoring"


def panels() -> list[tuple[str, str]]:
    """Title and expression of every query of the dashboard, as it is sent for a short range and all Deployments."""
    found = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return [
        (panel["title"], target["expr"].replace("$__rate_interval", "30s").replace("$deployment", ".+"))
        for panel in found
        for target in panel.get("targets", ())
    ]


def test_promtool_takes_the_rules_and_they_say_what_they_should(tmp_path: Path) -> None:
    rules = rules_file(built(MONITORING), tmp_path / "vllm.yaml", times={})
    assert "SUCCESS" in promtool("check", "rules", str(rules))

    cases = Path(__file__).with_name("serving") / "rules.test.yaml"
    shutil.copy(cases, tmp_path / "cases.yaml")
    promtool("test", "rules", "cases.yaml", cwd=tmp_path)


def test_kedas_formula_says_what_the_rules_say() -> None:
    [scaled] = [each for each in built(EXAMPLES / "autoscaling" / "keda") if each["kind"] == "ScaledObject"]
    formula = scaled["spec"]["advanced"]["scalingModifiers"]["formula"]
    names = [each["name"] for each in scaled["spec"]["triggers"]]
    dice = random.Random(11)
    for _ in range(20):
        values = {name: round(dice.uniform(0, 9), 3) for name in names}
        *wanted, limit = (values[name] for name in ("load", "ttft", "itl", "limit"))
        assert evaluated(formula, values) == max(min(each, limit) for each in wanted)


def test_a_formula_that_names_no_trigger_is_refused() -> None:
    with pytest.raises(AssertionError, match="unknown name limt"):
        evaluated("min(load, limt)", {"load": 1.0, "limit": 2.0})


@pytest.fixture
def prometheus(world: World, start_dovetail: Callable[..., Dovetail], tmp_path: Path) -> Iterator[Prometheus]:
    """Of a Dovetail and of a vLLM whose counters grow by what is on the recorded page with every scrape."""
    dovetail = start_dovetail().ready()
    recorded = pages.Growing()
    with Server(lambda path, query: (200, TEXT, recorded.text())) as server:
        labels = {"namespace": "default", "deployment": "one-gpu", "pod": "one-gpu-0", "job": "default/vllm"}
        job = {"job_name": "vllm", "static_configs": [{"targets": [f"127.0.0.1:{server.port}"], "labels": labels}]}
        rules = rules_file(built(MONITORING), tmp_path / "vllm.yaml")
        started = Prometheus(tmp_path, f"127.0.0.1:{dovetail.port}", rules, [job])
        try:
            yield started.ready()
        finally:
            started.stop()


def test_every_query_of_the_dashboard_has_data(
    world: World, prometheus: Prometheus, say: Callable[[str], None]
) -> None:
    load(world)
    of_vllm = {name for _, expression in panels() for name, _ in selectors(expression) if name.startswith("vllm:")}
    assert of_vllm <= pages.names(), f"not on the page of vLLM {pages.VERSION}"
    assert all(selectors(expression) for _, expression in panels())
    silent: set[str] = set()

    def all_told() -> bool:
        silent.clear()
        silent.update(expression for _, expression in panels() if not has_data(prometheus.query(expression)))
        return not silent

    try:
        until(all_told, "every panel has data", 90, every=1.0)
    except AssertionError as error:
        raise AssertionError(f"{error}; without: {sorted(silent)}") from None
    say(f"dashboard of vLLM: {len(panels())} queries resolve on Dovetail and vLLM {pages.VERSION}")


def test_every_metric_that_rules_read_is_on_the_recorded_page() -> None:
    [rule] = [each for each in built(MONITORING) if each["kind"] == "PrometheusRule"]
    recorded = {each["record"] for group in rule["spec"]["groups"] for each in group["rules"]}
    read = {
        name
        for group in rule["spec"]["groups"]
        for each in group["rules"]
        for name, _ in selectors(each["expr"])
        if not name.startswith("dovetail")
    }

    assert read - recorded <= pages.names()
    assert {"vllm:time_to_first_token_seconds_bucket", "vllm:num_requests_waiting"} <= read


def test_evictions_take_one_replica_at_a_time(world: World, dovetail: Dovetail) -> None:
    world.publish([*fleet.device_classes(), *fleet.fleet({"l40s-pcie": 4}, seed=2)])
    world.apply([{**each, "metadata": {**each["metadata"], "namespace": world.namespace}} for each in spread()])
    path = collection("Pod", world.namespace)

    def ready() -> list[Raw]:
        found = [each for each in world.api.list("Pod", world.namespace) if each["spec"].get("nodeName")]
        for each in found:
            if each["status"]["phase"] != "Running":
                start(world, each)
        return found if len(found) == 4 else []

    def allowed(count: int) -> Callable[[], bool]:
        def told() -> bool:
            ready()
            status = world.api.get("PodDisruptionBudget", "one-gpu", world.namespace)["status"]
            return (status["currentHealthy"], status["disruptionsAllowed"]) == (3 + count, count)

        return told

    def evict(each: Raw) -> None:
        name = each["metadata"]["name"]
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        world.api.call("POST", f"{path}/{name}/eviction", {**body, "deleteOptions": {"gracePeriodSeconds": 0}})

    first, second, *_ = until(ready, "four replicas placed")
    assert len({each["spec"]["nodeName"] for each in ready()}) == 4
    until(allowed(1), "one may be evicted")

    evict(first)
    with pytest.raises(ApiRefusalError, match=r"429 .*disruption budget"):
        evict(second)

    until(allowed(1), "the replacement is ready")
    evict(second)


def spread() -> list[Raw]:
    return built(EXAMPLES / "spread")


@pytest.mark.parametrize("name", ["hpa", "keda"])
def test_autoscaled_deployments_state_no_replicas(name: str) -> None:
    [deployment] = [each for each in built(EXAMPLES / "autoscaling" / name) if each["kind"] == "Deployment"]

    assert "replicas" not in deployment["spec"]


@pytest.mark.parametrize("name", ["hpa", "keda"])
def test_the_podmonitor_selects_the_pods_and_names_their_port(name: str) -> None:
    items = {each["kind"]: each for each in built(EXAMPLES / "autoscaling" / name)}
    made = items["Deployment"]["spec"]["template"]
    [container] = made["spec"]["containers"]
    [endpoint] = items["PodMonitor"]["spec"]["podMetricsEndpoints"]
    chosen = items["PodMonitor"]["spec"]["selector"]["matchExpressions"]

    assert all(made["metadata"]["labels"][each["key"]] in each["values"] for each in chosen)
    assert endpoint["port"] in {each["name"] for each in container["ports"]}
    assert made["metadata"]["labels"]["app.kubernetes.io/name"] == items["Deployment"]["metadata"]["name"]


def test_the_adapter_has_the_rules_that_stand_in_the_folder() -> None:
    folder = EXAMPLES / "autoscaling" / "hpa"
    [made] = [each for each in built(folder) if each["metadata"]["name"] == "vllm-adapter-rules"]

    assert YAML(typ="safe").load(made["data"]["config.yaml"])["rules"]
