"""The HPA of the real controller manager scales vLLM by latency and load, and stops where no device is left.

Everything between the load and the pods is real or shipped: a simulated vLLM (e2e/serving) is scraped by a real
Prometheus as the shipped PodMonitor says, which evaluates the shipped rules on it and on a running Dovetail; a metrics
adapter hands the results to the HPA as the shipped files for prometheus-adapter and KEDA say; Dovetail places the pods.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from e2e.api import History, Raw, until
from e2e.cluster import LocalCluster
from e2e.conftest import World, runs
from e2e.dovetail import Dovetail
from e2e.kustomize import MANIFESTS, built
from e2e.prometheus import Prometheus
from e2e.serving.adapter import Adapter, keda_hpa, registered
from e2e.serving.exporter import Exporter
from e2e.serving.formula import evaluated
from e2e.serving.queue import Traffic
from e2e.serving.rules import rules_file
from e2e.workload import claim_spec, pod, request, template
from scheduler.simulator import fleet

AUTOSCALING = MANIFESTS / "examples" / "autoscaling"
NAME = "one-gpu"
CUSTOM_RESOURCES = {"PodMonitor", "PrometheusRule", "ScaledObject"}
WINDOW_S = 12  # of the HPA, instead of five minutes; as there, some times the window of the rules
POLICY_S = 2  # instead of a minute

QUIET = Traffic(rate=1, prompt=0.05, answer=0.4)
LONG_PROMPTS = Traffic(rate=1.5, prompt=0.8, answer=0.2)
CROWD = Traffic(rate=200, prompt=0.02, answer=2)


def placed_in(items: list[Raw], namespace: str) -> list[Raw]:
    return [{**item, "metadata": {**item["metadata"], "namespace": namespace}} for item in items]


def one(items: list[Raw], kind: str) -> Raw:
    [found] = [item for item in items if item["kind"] == kind]
    return found


def hurried(hpa: Raw) -> Raw:
    """With shorter windows."""
    for rules in hpa["spec"]["behavior"].values():
        rules["stabilizationWindowSeconds"] = min(rules["stabilizationWindowSeconds"], WINDOW_S)
        for policy in rules["policies"]:
            policy["periodSeconds"] = POLICY_S
    return hpa


@dataclass(frozen=True)
class Scene:
    """A Deployment of vLLM that an HPA scales. room : how many of its pods there are GPUs for."""

    world: World
    dovetail: Dovetail
    prometheus: Prometheus
    exporter: Exporter
    adapter: Adapter
    hpa: str
    room: int

    def load(self, traffic: Traffic) -> None:
        self.exporter.pool.traffic = traffic

    def replicas(self) -> int:
        return int(self.world.api.get("Deployment", NAME, self.world.namespace)["spec"].get("replicas", 1))

    def pods(self) -> list[Raw]:
        return self.world.api.list("Pod", self.world.namespace, labelSelector=f"app.kubernetes.io/name={NAME}")

    def value(self, expression: str) -> float:
        """Of one sample; NaN while there is none."""
        found = self.prometheus.query(expression)
        return float(found[0]["value"][1]) if found else float("nan")

    def settled(self, pods: int) -> bool:
        """Whether all that is told has heard of so many pods."""
        told = (self.value("deployment:vllm_placed:count"), self.value("dovetail_headroom_pods{shape='1'}"))
        return told == (pods, self.room - pods) and self.value("deployment:vllm_limit:headroom") == self.room

    def told(self) -> str:
        """For a failure: what the HPA and Prometheus say."""
        status = self.world.api.get("HorizontalPodAutoscaler", self.hpa, self.world.namespace).get("status", {})
        numbers = {
            each["metric"]["__name__"]: each["value"][1]
            for each in self.prometheus.query('{__name__=~"deployment:.*"}')
        }
        return f"{numbers}; {status.get('conditions')}; {status.get('currentMetrics')}"

    def until(self, holds: Callable[[], Any], what: str, seconds: float) -> None:
        try:
            until(holds, what, seconds, every=0.25)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.told()}") from None


def crowded(world: World) -> int:
    """8 GPUs that are large enough, of which somebody else has two, and 8 that are too small; returns what is left."""
    world.publish(
        [*fleet.device_classes(), *fleet.fleet({"h100-quad": 1, "a100-bridged-quad": 1, "l4-pcie": 1}, seed=5)]
    )
    large = "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('60Gi')) >= 0"
    world.create(template(world.namespace, "pair", claim_spec([request(count=2, cel=large)])))
    world.create(pod(world.namespace, "other", templates=["pair"]))
    return 6


@pytest.fixture(params=["hpa", "keda"])
def scene(
    request: pytest.FixtureRequest, world: World, start_dovetail: Callable[..., Dovetail], tmp_path: Path
) -> Iterator[Scene]:
    if not isinstance(world.cluster, LocalCluster):
        pytest.skip("the metrics adapter listens on loopback, which only an API server beside it reaches")
    dovetail = start_dovetail().ready()
    room = crowded(world)
    runs(world, "other")
    items = placed_in(built(AUTOSCALING / request.param), world.namespace)
    with ExitStack() as stack:
        exporter = stack.enter_context(Exporter(world.api, one(items, "PodMonitor"), QUIET))
        rules = rules_file(items, tmp_path / "vllm.yaml")
        prometheus = Prometheus(tmp_path, f"127.0.0.1:{dovetail.port}", rules, [exporter.job()])
        stack.callback(prometheus.stop)
        prometheus.ready()
        if request.param == "hpa":
            config = next(item for item in items if "config.yaml" in item.get("data", {}))
            rules_of_adapter = YAML(typ="safe", pure=True).load(config["data"]["config.yaml"])["rules"]
            adapter = Adapter(prometheus, rules_of_adapter, {}, evaluated)
            hpa = one(items, "HorizontalPodAutoscaler")
        else:
            scaled = one(items, "ScaledObject")
            adapter = Adapter(prometheus, [], {scaled["metadata"]["name"]: scaled}, evaluated)
            hpa = keda_hpa(scaled)
        stack.enter_context(registered(world.api, world.namespace, adapter, tmp_path))
        made = [each for each in items if each["kind"] not in {*CUSTOM_RESOURCES, "HorizontalPodAutoscaler"}]
        made.append(hurried(hpa))
        world.apply(made)
        try:
            yield Scene(world, dovetail, prometheus, exporter, adapter, hpa["metadata"]["name"], room)
        finally:
            world.api.delete("HorizontalPodAutoscaler", hpa["metadata"]["name"], world.namespace)  # its metrics end now


def test_it_grows_as_load_rises_stops_where_no_device_is_left_and_shrinks(
    scene: Scene, say: Callable[[str], None]
) -> None:
    world, room = scene.world, scene.room
    begun = time.monotonic()
    with History(world.api.access, "Pod", "Deployment", namespace=world.namespace) as history:
        # Given one replica, which is enough
        scene.until(lambda: scene.settled(1), "the limit is known", 30)
        assert scene.replicas() == 1

        # When prompts take so long to read that a queue forms
        scene.load(LONG_PROMPTS)

        # Then latency alone asks for another: by the number of requests, one would do
        scene.until(lambda: scene.replicas() > 1, "two replicas", 30)
        assert scene.value("deployment:vllm_wanted:load") < 1
        assert scene.value("deployment:vllm_wanted:ttft") > 1
        latency = time.monotonic() - begun

        # When far more requests come than all devices could serve
        scene.until(lambda: scene.settled(scene.replicas()), "the limit is known again", 30)
        some = scene.replicas()
        assert 1 < some < room
        scene.load(CROWD)

        # Then there are as many replicas as there are devices for, all placed, and no more are asked for
        scene.until(lambda: scene.replicas() == room, f"{room} replicas", 30)
        scene.until(lambda: all(each["spec"].get("nodeName") for each in scene.pods()), "all placed", 10)
        scene.until(lambda: scene.value("dovetail_headroom_pods{shape='1'}") == 0, "no headroom is left", 10)
        free = 'sum(dovetail_devices{driver="gpu.nvidia.com", state="free"})'
        assert scene.value(free) == 8  # too small
        scene.until(lambda: scene.value("deployment:vllm_wanted:load") > 2 * room, "load asks for far more", 20)
        full = time.monotonic() - begun

        # When the crowd has gone
        scene.load(QUIET)

        # Then the devices are given back
        scene.until(lambda: scene.replicas() == 1, "one replica", 60)
        scene.until(lambda: len(scene.pods()) == 1, "one pod", 10)

        most = max(each["spec"].get("replicas", 1) for each in history.of("Deployment"))
        waited = [
            condition["message"]
            for each in history.of("Pod")
            for condition in each["status"].get("conditions", [])
            if condition["type"] == "PodScheduled" and condition["status"] == "False"
        ]
    assert most == room
    assert waited == []
    assert scene.adapter.asked
    took = time.monotonic() - begun
    say(
        f"HPA by {sorted(scene.adapter.asked)}: {some} replicas for latency after {latency:.0f} s, {room} for {room} "
        f"free GPUs after {full:.0f} s and never more, 1 after {took:.0f} s"
    )


@pytest.mark.parametrize("scene", ["hpa"], indirect=True)
def test_a_dovetail_that_has_just_started_holds_nothing_up(
    scene: Scene, start_dovetail: Callable[..., Dovetail]
) -> None:
    # Given a Dovetail that has seen no pod of this shape, since it started after the only one was placed
    scene.until(lambda: scene.settled(1), "the limit is known", 30)
    scene.dovetail.stop()
    start_dovetail(settings={"DOVETAIL_HTTP__PORT": str(scene.dovetail.port)}).ready()
    scene.until(lambda: scene.value("dovetail_leader") == 1, "the new one is scraped", 10)
    scene.until(lambda: scene.value("deployment:vllm_limit:headroom") == 2, "one more may come", 15)
    assert scene.prometheus.query("dovetail_headroom_pods{shape='1'}") == []

    # When there is more to do than one replica can
    scene.load(CROWD)

    # Then the first of the new ones tells it what there is room for
    scene.until(lambda: scene.replicas() == scene.room, "as many replicas as there is room for", 60)
    scene.until(lambda: all(each["spec"].get("nodeName") for each in scene.pods()), "all placed", 10)
    scene.until(lambda: scene.value("dovetail_headroom_pods{shape='1'}") == 0, "it says that there is none left", 10)
