"""What a live cluster holds, as `audit --live` asks for it."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from scheduler.audit.inspection import inspect
from scheduler.cluster.client import ApiError
from scheduler.core.errors import ConfigError
from scheduler.service import survey as module

GROUPS = {
    "groups": [
        {"name": name, "preferredVersion": {"groupVersion": version}}
        for name, version in (("apps", "apps/v1"), ("resource.k8s.io", "resource.k8s.io/v1"), ("ray.io", "ray.io/v1"))
    ]
}


def spec(**limits):
    return {"containers": [{"name": "s", "image": "x", "resources": {"limits": limits}}]}


class Cluster:
    """Answers lists from a table of plurals, a page of two at a time."""

    def __init__(self, objects, refused=()):
        self.objects, self.refused, self.asked = objects, refused, []

    async def request(self, method, path):
        assert method == "GET"
        self.asked.append(path)
        url = urlsplit(path)
        if url.path == "/apis":
            return json.dumps(GROUPS).encode()
        plural = url.path.rpartition("/")[2]
        if plural in self.refused:
            raise ApiError("forbidden", 403, f"{plural} is forbidden")
        items = self.objects.get(plural, [])
        first = int(parse_qs(url.query).get("continue", ["0"])[0])
        following = str(first + 2) if first + 2 < len(items) else ""
        return json.dumps({"items": items[first : first + 2], "metadata": {"continue": following}}).encode()

    async def close(self):
        pass


@pytest.fixture
def connect(monkeypatch):
    def connected(cluster):
        async def client(_kubeconfig):
            return cluster

        monkeypatch.setattr(module.Client, "connect", client)

    return connected


def test_every_page_of_every_kind_is_read(connect):
    pods = [{"metadata": {"name": f"p{i}", "namespace": "n", "uid": f"u{i}"}, "spec": spec(**{"nvidia.com/gpu": "1"})}
            for i in range(5)]  # fmt: skip
    cluster = Cluster({"pods": pods})
    connect(cluster)

    objects, unread = module.survey(None)
    report = inspect([], objects)

    assert unread == []
    assert [each.object for each in report.findings] == [f"Pod n/p{i}" for i in range(5)]
    assert any("/apis/ray.io/v1/rayservices?" in path for path in cluster.asked)
    assert any("/apis/resource.k8s.io/v1/deviceclasses?" in path for path in cluster.asked)
    assert not any("jobset" in path for path in cluster.asked)


def test_what_another_object_controls_is_said_once(connect):
    nvidia, amd = spec(**{"nvidia.com/gpu": "1"}), spec(**{"amd.com/gpu": "1"})

    def owned(name, owner, pod):
        reference = {"kind": "Any", "uid": owner, "controller": True}
        return {"metadata": {"name": name, "uid": name, "ownerReferences": [reference]}, "spec": pod}

    deployment = {"metadata": {"name": "d", "uid": "d"}, "spec": {"template": {"spec": nvidia}}}
    pods = [owned("of-d", "d", nvidia), owned("of-a-widget", "w", amd)]
    connect(Cluster({"deployments": [deployment], "pods": pods}))

    objects, _ = module.survey(None)

    found = [(each.id, each.object) for each in inspect([], objects).findings]
    assert found == [("DP001", "Deployment d"), ("DP007", "Pod of-a-widget")]


def test_what_may_not_be_listed_is_told(connect):
    connect(Cluster({}, refused=("resourcequotas",)))

    _, unread = module.survey(None)

    assert unread == [("cluster, resourcequotas", "resourcequotas is forbidden")]


def test_a_cluster_that_is_not_there_is_a_wrong_argument(tmp_path):
    with pytest.raises(ConfigError, match="is not a file"):
        module.survey(tmp_path / "absent")
