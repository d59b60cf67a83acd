"""Pages of simulated replicas for Prometheus, one for each pod that has a node, found as a PodMonitor says."""

import json
import time
from collections.abc import Mapping, Sequence

from e2e.api import Api, Raw
from e2e.serving.http import JSON, TEXT, Answer, Server
from e2e.serving.pages import Live
from e2e.serving.queue import Pool, Traffic

_META = "__meta_kubernetes_"


class Exporter:
    """What Prometheus discovers and scrapes for one PodMonitor of a namespace. A context manager.

    As nothing here has a kubelet, a pod has an address once it has a node, and one that is to end ends when pods are
    looked for. The simulation advances when it is asked.
    """

    def __init__(self, api: Api, monitor: Raw, traffic: Traffic) -> None:
        self.pool = Pool(time.monotonic(), traffic)
        self._api = api
        self._monitor = monitor
        self._pages: dict[str, Live] = {}
        self._pods: list[Raw] = []
        self._server = Server(self._answer)

    def __enter__(self) -> "Exporter":
        self._server.__enter__()
        return self

    def __exit__(self, *reason: object) -> None:
        self._server.__exit__(None, None, None)

    def job(self) -> Raw:
        """The scrape config that the Prometheus operator would make of the PodMonitor, with pods told over HTTP."""
        namespace, name = self._monitor["metadata"]["namespace"], self._monitor["metadata"]["name"]
        [endpoint] = self._monitor["spec"]["podMetricsEndpoints"]
        found = [
            {"source_labels": [f"{_META}namespace"], "target_label": "namespace"},
            {"source_labels": [f"{_META}pod_name"], "target_label": "pod"},
            {"target_label": "job", "replacement": f"{namespace}/{name}"},
        ]
        return {
            "job_name": f"podMonitor/{namespace}/{name}/0",
            "http_sd_configs": [{"url": f"http://127.0.0.1:{self._server.port}/targets", "refresh_interval": "1s"}],
            "relabel_configs": [*found, *map(_relabelling, endpoint.get("relabelings", ()))],
        }

    def _answer(self, path: str, query: Mapping[str, str]) -> Answer:
        if path == "/targets":
            self._pods = self._selected()
            return 200, JSON, json.dumps([self._target(pod) for pod in self._pods]).encode()
        name = path.removeprefix("/pods/")
        replicas = self.pool.step(time.monotonic(), [pod["metadata"]["name"] for pod in self._pods])
        if name not in replicas:
            return 404, TEXT, b"no such pod"
        return 200, TEXT, self._pages.setdefault(name, Live()).text(replicas[name])

    def _selected(self) -> list[Raw]:
        namespace = self._monitor["metadata"]["namespace"]
        pods = self._api.list("Pod", namespace, labelSelector=_selector(self._monitor["spec"]["selector"]))
        for pod in pods:
            if "deletionTimestamp" in pod["metadata"]:
                self._api.delete("Pod", pod["metadata"]["name"], namespace)
        return [pod for pod in pods if pod["spec"].get("nodeName") and "deletionTimestamp" not in pod["metadata"]]

    def _target(self, pod: Raw) -> Raw:
        name = pod["metadata"]["name"]
        labels = {f"{_META}pod_label_{_word(key)}": value for key, value in pod["metadata"]["labels"].items()}
        known = {
            f"{_META}namespace": pod["metadata"]["namespace"],
            f"{_META}pod_name": name,
            "__metrics_path__": f"/pods/{name}",
        }
        return {"targets": [f"127.0.0.1:{self._server.port}"], "labels": {**labels, **known}}


def _word(key: str) -> str:
    return "".join(each if each.isalnum() else "_" for each in key)


def _relabelling(shipped: Raw) -> Raw:
    """Prometheus's own spelling."""
    words = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return {words.get(key, key): value for key, value in shipped.items()}


def _selector(shipped: Raw) -> str:
    equal = [f"{key}={value}" for key, value in shipped.get("matchLabels", {}).items()]
    return ",".join([*equal, *(_expression(each) for each in shipped.get("matchExpressions", ()))])


def _expression(each: Raw) -> str:
    values: Sequence[str] = each["values"]
    assert each["operator"] == "In", each
    return f"{each['key']} in ({','.join(values)})"
