"""Custom and external metrics for the HPA controller, in place of prometheus-adapter and of KEDA's metrics server.

What they answer is worked out of the shipped files: the rules of prometheus-adapter and the triggers of a ScaledObject,
with a real Prometheus. KEDA's formula is evaluated by whatever the caller gives for that.
"""

import base64
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from e2e.api import Api, Raw, until
from e2e.certificates import Authority
from e2e.prometheus import Prometheus
from e2e.serving.http import JSON, Answer, Server

CUSTOM = "custom.metrics.k8s.io/v1beta2"
EXTERNAL = "external.metrics.k8s.io/v1beta1"
COMPOSITE = "composite-metric"  # of KEDA, pkg/apis/keda/v1alpha1: the one metric that a formula makes
OWNER = "scaledobject.keda.sh/name"  # the label by which KEDA's HPA asks for it
SERVICE = "metrics-adapter"
Formula = Callable[[str, Mapping[str, float]], float]


class Adapter:
    """Answers the two APIs. rules : of prometheus-adapter. scaled : ScaledObjects by name."""

    def __init__(
        self, prometheus: Prometheus, rules: Sequence[Raw], scaled: Mapping[str, Raw], formula: Formula
    ) -> None:
        self.asked: set[str] = set()  # names of metrics that had an answer
        self._prometheus = prometheus
        self._rules = rules
        self._scaled = scaled
        self._formula = formula

    def answer(self, path: str, query: Mapping[str, str]) -> Answer:
        """What the API server forwards."""
        words = path.strip("/").split("/")
        if path in {f"/apis/{CUSTOM}", f"/apis/{EXTERNAL}"}:
            found: Any = self._resources("/".join(words[1:]))
        elif path.startswith(f"/apis/{CUSTOM}/namespaces/") and len(words) == 8:
            found = self._custom(*words[4:])
        elif path.startswith(f"/apis/{EXTERNAL}/namespaces/") and len(words) == 6:
            found = self._external(*words[4:], query.get("labelSelector", ""))
        else:
            found = None
        if found is None:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound"}
            return 404, JSON, json.dumps({**status, "message": f"no metric {path} {dict(query)}"}).encode()
        return 200, JSON, json.dumps(found).encode()

    def _resources(self, version: str) -> Raw:
        """Any name will do: the HPA controller only looks for the group."""
        resource = {"name": "deployments.apps/any", "singularName": "", "namespaced": True, "kind": "MetricValueList"}
        listed = [{**resource, "verbs": ["get"]}]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}

    def _custom(self, namespace: str, resource: str, name: str, metric: str) -> Raw | None:
        for rule in self._rules:
            series = self._series(rule, metric)
            owners = rule["resources"]["overrides"]
            [label] = [key for key, value in owners.items() if _plural(value) == resource] or [""]
            if not series or not label:
                continue
            [within] = [key for key, value in owners.items() if value["resource"] == "namespace"]
            parts = {
                "<<.Series>>": series,
                "<<.LabelMatchers>>": f'{within}="{namespace}",{label}="{name}"',
                "<<.GroupBy>>": label,
            }
            found = self._prometheus.query(_filled(rule["metricsQuery"], parts))
            if len(found) != 1 or found[0]["metric"].get(label) != name:
                return None
            self.asked.add(metric)
            item = {
                "describedObject": {
                    "kind": "Deployment",
                    "namespace": namespace,
                    "name": name,
                    "apiVersion": "apps/v1",
                },
                "metric": {"name": metric, "selector": None},
                "timestamp": _now(),
                "value": _milli(float(found[0]["value"][1])),
            }
            return {"kind": "MetricValueList", "apiVersion": CUSTOM, "metadata": {}, "items": [item]}
        return None

    def _series(self, rule: Raw, metric: str) -> str:
        """The name of the series that a rule shows under this name."""
        shown = rule["name"]["as"].replace("$", "\\")
        for each in self._prometheus.ask("series", **{"match[]": rule["seriesQuery"]}):
            series: str = each["__name__"]
            if re.sub(rule["name"]["matches"], shown, series) == metric:
                return series
        return ""

    def _external(self, namespace: str, metric: str, selector: str) -> Raw | None:
        owner, _, name = selector.partition("=")
        if (metric, owner) != (COMPOSITE, OWNER) or name not in self._scaled:
            return None
        spec = self._scaled[name]["spec"]
        values = {}
        for trigger in spec["triggers"]:
            found = self._prometheus.query(trigger["metadata"]["query"])
            if len(found) != 1:  # an error, as ignoreNullValues is false
                return None
            values[trigger["name"]] = float(found[0]["value"][1])
        value = self._formula(spec["advanced"]["scalingModifiers"]["formula"], values)
        self.asked.add(metric)
        item = {"metricName": metric, "metricLabels": {}, "timestamp": _now(), "value": _milli(value)}
        return {"kind": "ExternalMetricValueList", "apiVersion": EXTERNAL, "metadata": {}, "items": [item]}


def keda_hpa(scaled: Raw) -> Raw:
    """The HPA that KEDA 2.21 makes of a ScaledObject with a formula: controllers/keda/hpa.go."""
    spec = scaled["spec"]
    modifiers = spec["advanced"]["scalingModifiers"]
    name = scaled["metadata"]["name"]
    metric = {"name": COMPOSITE, "selector": {"matchLabels": {OWNER: name}}}
    target = {"type": modifiers["metricType"], "averageValue": modifiers["target"]}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": f"keda-hpa-{name}", "namespace": scaled["metadata"]["namespace"]},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", **spec["scaleTargetRef"]},
            "minReplicas": spec["minReplicaCount"],
            "maxReplicas": spec["maxReplicaCount"],
            "metrics": [{"type": "External", "external": {"metric": metric, "target": target}}],
            "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
        },
    }


@contextmanager
def registered(api: Api, namespace: str, adapter: Adapter, folder: Path) -> Iterator[None]:
    """Serve both APIs through the API server's aggregation layer while the context is open.

    The Service is an ExternalName: endpoints may not be on loopback, and nothing else is listened on here.
    """
    authority = Authority(folder / "adapter")
    with Server(adapter.answer, authority.issue(f"{SERVICE}.{namespace}.svc")) as server:
        bundle = base64.b64encode(Path(authority.file).read_bytes()).decode()
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": SERVICE, "namespace": namespace},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        }
        api.create(service)
        made = []
        for each in (CUSTOM, EXTERNAL):
            group, version = each.split("/")
            spec = {
                "group": group,
                "version": version,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "caBundle": bundle,
                "service": {"name": SERVICE, "namespace": namespace, "port": server.port},
            }
            made.append(
                {
                    "apiVersion": "apiregistration.k8s.io/v1",
                    "kind": "APIService",
                    "metadata": {"name": f"{version}.{group}"},
                    "spec": spec,
                }
            )
            api.create(made[-1])
        try:
            for item in made:
                until(lambda item=item: _available(api, item["metadata"]["name"]), f"{item['metadata']['name']} serves")
            yield
        finally:
            for item in made:
                api.delete(item["kind"], item["metadata"]["name"])


def _available(api: Api, name: str) -> bool:
    conditions = api.get("APIService", name).get("status", {}).get("conditions", [])
    return any(each["type"] == "Available" and each["status"] == "True" for each in conditions)


def _plural(resource: Raw) -> str:
    """As the HPA controller's client names it in a path."""
    group = resource.get("group", "")
    return f"{resource['resource']}s" + (f".{group}" if group else "")


def _filled(text: str, parts: Mapping[str, str]) -> str:
    for mark, value in parts.items():
        text = text.replace(mark, value)
    assert "<<" not in text, text
    return text


def _milli(value: float) -> str:
    return f"{round(value * 1000)}m"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
