"""What is asked of a live cluster, and what becomes of refusals."""

import json

import pytest

from scheduler.cluster.client import ApiError
from scheduler.core.errors import ConfigError
from scheduler.readiness.record import of_document
from scheduler.service import reading as module

GROUPS = {
    "groups": [
        {"name": "apps", "versions": [{"groupVersion": "apps/v1"}]},
        {
            "name": "resource.k8s.io",
            "versions": [{"groupVersion": f"resource.k8s.io/{version}"} for version in ("v1", "v1beta1")],
        },
    ]
}
SLICE = {
    "metadata": {"name": "s", "uid": "u", "managedFields": [{}]},
    "spec": {
        "driver": "d.example.com", "nodeName": "n1", "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "d0"}],
    },
}  # fmt: skip
NODE = {
    "metadata": {"name": "n1", "labels": {"secret": "x", "nvidia.com/gpu.clique": "a.1"}, "annotations": {"more": "y"}},
    "spec": {"providerID": "cloud"},
    "status": {
        "allocatable": {"cpu": "4", "nvidia.com/gpu": "8"}, "addresses": [{"address": "10.0.0.1"}],
        "nodeInfo": {"kubeletVersion": "v1.37.2", "machineID": "m"},
    },
}  # fmt: skip
METRICS = (
    "# HELP kubernetes_feature_enabled [BETA] This metric\n"
    'kubernetes_feature_enabled{name="DRADeviceTaints",stage=""} 1\n'
    'kubernetes_feature_enabled{name="DRAListTypeAttributes",stage="ALPHA"} 0\n'
    'kubernetes_feature_enabled{name="APIServerIdentity",stage="BETA"} 1\n'
    "apiserver_request_total 5\n"
)


def daemon_set(name, image):
    container = {"name": "c", "image": image, "env": [{"name": "TOKEN", "value": "hunter2"}], "args": ["--secret=a"]}
    container["args"].append("--feature-gates=A=true,B=false")
    return {"metadata": {"name": name, "namespace": "n"}, "spec": {"template": {"spec": {"containers": [container]}}}}


class Cluster:
    """Answers from a table of paths; what is not in it is not found, what is refused is forbidden."""

    def __init__(self, refused=(), silent=False):
        self.asked, self.refused, self.silent = [], refused, silent
        self.answers = {
            "/version": {"major": "1", "minor": "37+", "gitVersion": "v1.37.2-eks-1"},
            "/apis": GROUPS,
            "/apis/resource.k8s.io/v1": {"resources": [
                {"name": "resourceslices", "kind": "ResourceSlice"}, {"name": "resourceclaims/status", "kind": "Odd"},
            ]},
            "/apis/resource.k8s.io/v1beta1": {"resources": [{"name": "resourceslices", "kind": "ResourceSlice"}]},
            "/openapi/v3/apis/resource.k8s.io/v1": {"components": {"schemas": {
                "io.k8s.api.resource.v1.Device": {"properties": {"name": {}, "taints": {}}},
                "io.k8s.api.resource.v1.Unread": {"properties": {"a": {}}},
                "io.k8s.api.core.v1.Node": {"properties": {"spec": {}}},
            }}},
            "/api/v1/nodes": {"items": [NODE]},
            "/apis/resource.k8s.io/v1/resourceslices": {"items": [SLICE]},
            "/apis/resource.k8s.io/v1/deviceclasses": {"items": []},
            "/apis/apps/v1/daemonsets": {"items": [
                daemon_set("driver", "r.io/dra-driver-nvidia-gpu:v0.5.0"), daemon_set("logs", "r.io/fluentd:v1"),
                daemon_set("hydra", "r.io/hydra:v1"),
            ]},
        }  # fmt: skip

    async def request(self, method, path, accept="application/json"):
        assert method == "GET"
        if self.silent:
            raise ApiError("unknown", 0, f"GET {path}: no route to host")
        plain = path.partition("?")[0]
        self.asked.append(plain)
        if plain in self.refused:
            raise ApiError("forbidden", 403, f"GET {plain}: HTTP 403 Forbidden")
        if plain == "/metrics":
            assert accept == "text/plain"
            return METRICS.encode()
        if plain not in self.answers:
            raise ApiError("gone", 404, f"GET {plain}: HTTP 404 NotFound")
        return json.dumps(self.answers[plain]).encode()

    async def close(self):
        pass


def read(monkeypatch, cluster):
    async def client(_kubeconfig):
        return cluster

    monkeypatch.setattr(module.Client, "connect", client)
    return module.read_cluster(None)


def test_everything_is_read_and_nothing_that_is_not_needed_is_kept(monkeypatch):
    document = read(monkeypatch, Cluster())
    record, problems = of_document(document)

    assert problems == []
    assert (record.version, record.minor, record.unread) == ("v1.37.2-eks-1", 37, ())
    assert record.apis["resource.k8s.io/v1"] == {"ResourceSlice"}
    assert record.groups == {"apps", "resource.k8s.io"}
    assert record.features == {"DRADeviceTaints": True, "DRAListTypeAttributes": False}
    assert record.fields == {"Device": {"name", "taints"}}
    assert record.kubelets == {"n1": "v1.37.2"}
    assert [each.images for each in record.workloads] == [("r.io/dra-driver-nvidia-gpu:v0.5.0",)]
    assert record.workloads[0].gates == {"A": True, "B": False}
    text = json.dumps(document.items)
    for private in ("hunter2", "--secret", "10.0.0.1", "machineID", "providerID", "secret", '"more"', "uid", "fluentd"):
        assert private not in text


def test_what_is_refused_is_told_and_the_rest_is_read(monkeypatch):
    refused = ("/metrics", "/api/v1/nodes", "/openapi/v3/apis/resource.k8s.io/v1")
    record, _ = of_document(read(monkeypatch, Cluster(refused)))

    assert [what for what, _ in record.unread] == ["OpenAPI", "metrics", "Node"]
    assert all("HTTP 403" in why for _, why in record.unread)
    assert record.features is None
    assert record.fields is None
    assert [item.name for item in record.slices] == ["s"]


def test_where_v1_is_not_served_the_newest_beta_is_read(monkeypatch):
    cluster = Cluster()
    cluster.answers["/apis"] = {"groups": [{"name": "resource.k8s.io", "versions": [
        {"groupVersion": "resource.k8s.io/v1beta1"}]}]}  # fmt: skip
    flat = SLICE["spec"]["devices"][0]
    basic = {**SLICE, "spec": {**SLICE["spec"], "devices": [{**flat, "basic": {"attributes": {"a": {"int": 1}}}}]}}
    cluster.answers["/apis/resource.k8s.io/v1beta1/resourceslices"] = {"items": [basic]}

    record, problems = of_document(read(monkeypatch, cluster))

    assert problems == []
    assert record.slices[0].devices[0].attributes == {"a": 1}
    assert "/apis/resource.k8s.io/v1/resourceslices" not in cluster.asked


def test_a_cluster_that_does_not_answer_is_a_wrong_argument(monkeypatch):
    with pytest.raises(ConfigError, match="no route to host"):
        read(monkeypatch, Cluster(silent=True))


def test_doublebook_lists_five_kinds_and_tells_what_it_may_not(monkeypatch):
    cluster = Cluster(refused=("/api/v1/pods",))
    cluster.answers["/apis/resource.k8s.io/v1/resourceclaims"] = {"items": []}

    async def client(_kubeconfig):
        return cluster

    monkeypatch.setattr(module.Client, "connect", client)
    objects, unread = module.read_claims(None)

    assert [each["kind"] for each in objects] == ["ResourceSlice", "Node"]
    assert [kind for kind, _ in unread] == ["Pod"]
