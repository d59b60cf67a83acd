"""What `dovetail migrate` writes is what the API server takes, to the letter, in the oldest and newest Kubernetes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from e2e.api import Raw
from e2e.cluster import Cluster
from e2e.conftest import World
from scheduler.audit.inspection import inspect
from scheduler.audit.migrating.migration import migrate
from scheduler.audit.sources import Source
from scheduler.service.survey import survey

_SELECTED = "  selector: {matchLabels: {app: a}}\n"
_LABELS = "metadata: {labels: {app: a}}\n"
WORKLOADS = {
    "Pod": ("v1", "spec:\n", 2),
    "ReplicaSet": ("apps/v1", f"spec:\n{_SELECTED}  template:\n    {_LABELS}    spec:\n", 6),
    "Deployment": ("apps/v1", f"spec:\n{_SELECTED}  template:\n    {_LABELS}    spec:\n", 6),
    "StatefulSet": ("apps/v1", f"spec:\n  serviceName: a\n{_SELECTED}  template:\n    {_LABELS}    spec:\n", 6),
    "DaemonSet": ("apps/v1", f"spec:\n{_SELECTED}  template:\n    {_LABELS}    spec:\n", 6),
    "Job": ("batch/v1", "spec:\n  template:\n    spec:\n      restartPolicy: Never\n", 6),
    "CronJob": (
        "batch/v1",
        "spec:\n  schedule: '@daily'\n  jobTemplate:\n    spec:\n      template:\n        spec:\n"
        "          restartPolicy: Never\n",
        10,
    ),
}
PODS = {
    "one": "containers:\n- name: s   # c\n  image: x\n  resources:\n    limits:\n      nvidia.com/gpu: 1\n",
    "eight": "containers:\n- name: s\n  image: x\n  resources:\n    limits: {nvidia.com/gpu: 8, memory: 1Gi}\n",
    "two containers": (
        "containers:\n- {name: a, image: x, resources: {limits: {nvidia.com/gpu: 2}}}\n"
        "- name: b\n  image: x\n  resources:\n    requests: {nvidia.com/mig-1g.10gb: 1}\n"
        "    limits: {nvidia.com/mig-1g.10gb: 1}\n"
    ),
    "labels": (
        "nodeSelector: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}\naffinity:\n  nodeAffinity:\n"
        "    requiredDuringSchedulingIgnoredDuringExecution:\n      nodeSelectorTerms:\n      - matchExpressions:\n"
        "        - {key: nvidia.com/gpu.memory, operator: Gt, values: ['40000']}\n"
        "        - {key: nvidia.com/gpu.family, operator: In, values: [hopper, ampere]}\n"
        "        - {key: nvidia.com/gpu.compute.major, operator: Gt, values: ['7']}\n"
        "containers:\n- {name: s, image: x, resources: {limits: {nvidia.com/gpu: 1}}}\n"
    ),
    "others": (
        "containers:\n- {name: a, image: x, resources: {limits: {amd.com/gpu: 1}}}\n"
        "- {name: b, image: x, resources: {limits: {gpu.intel.com/xe: 1}}}\n"
        "- {name: c, image: x, resources: {limits: {habana.ai/gaudi: 1, google.com/tpu: 4}}}\n"
    ),
}
_REQUEST = '- name: g\n  deviceClassName: {name}\n  count: 2\n  selectors:\n  - cel: {{expression: "{expression}"}}\n'
_OUTDATED = r"""device.attributes[\"memory\"].isGreaterThan(quantity(\"16Gi\"))"""
_MEMORY = "device.attributes['gpu.nvidia.com'].memory.compareTo(quantity('40Gi')) >= 0"
OLD = {
    "the outdated example": ("v1alpha3", "nvidia.com/gpu", _OUTDATED),
    "a beta": ("v1beta1", "gpu.nvidia.com", "device.attributes['gpu.nvidia.com'].productName == 'x'"),
    "memory of a domain": ("v1beta1", "gpu.nvidia.com", _MEMORY),
}


def manifests() -> Iterator[Any]:
    for kind, (version, head, indent) in WORKLOADS.items():
        for name, pod in PODS.items():
            body = "".join(" " * indent + line for line in pod.splitlines(keepends=True))
            yield pytest.param(
                f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n{head}{body}", id=f"{kind} {name}"
            )
    for name, (version, device_class, expression) in OLD.items():
        for kind, path in (("ResourceClaim", ("spec",)), ("ResourceClaimTemplate", ("spec", "spec"))):
            head = "".join("  " * depth + f"{key}:\n" for depth, key in enumerate((*path, "devices", "requests")))
            pad = " " * 2 * (len(path) + 1)
            request = _REQUEST.format(name=device_class, expression=expression)
            body = "".join(pad + line for line in request.splitlines(keepends=True))
            start = f"apiVersion: resource.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: a}}\n"
            yield pytest.param(start + head + body, id=f"{kind}: {name}")


MANIFESTS = list(manifests())


def accepted(cluster: Cluster, texts: dict[str, str]) -> list[str]:
    """Create everything without storing it; unknown fields are refused. Returns the kinds."""
    kinds = []
    for text in texts.values():
        for item in YAML(typ="safe", pure=True).load_all(text):
            group = item["apiVersion"]
            prefix = f"/apis/{group}" if "/" in group else f"/api/{group}"
            plural = item["kind"].lower() + ("es" if item["kind"].endswith("s") else "s")
            place = "" if item["kind"] == "DeviceClass" else "/namespaces/default"
            path = f"{prefix}{place}/{plural}?dryRun=All&fieldValidation=Strict"
            cluster.api.call("POST", path, json.loads(json.dumps(item)))
            kinds.append(item["kind"])
    return kinds


@pytest.mark.parametrize("text", MANIFESTS)
def test_every_migrated_manifest_is_taken(text: str, default_cluster: Cluster, older_cluster: Cluster) -> None:
    result = migrate([Source("a.yaml", text)])

    assert result.refused == []
    assert result.done != []
    for cluster in (default_cluster, older_cluster):
        kinds = accepted(cluster, result.texts)
        assert kinds[-1] == "DeviceClass"
        assert len(kinds) >= 2


@pytest.mark.parametrize("name", ["one", "two containers"])
def test_the_classes_of_extended_mode_are_taken(name: str, default_cluster: Cluster, older_cluster: Cluster) -> None:
    text = next(each.values[0] for each in MANIFESTS if each.id == f"Pod {name}")

    result = migrate([Source("a.yaml", text)], "extended")

    assert result.refused == []
    assert set(accepted(default_cluster, result.texts)) == {"Pod", "DeviceClass"}
    if name == "one":  # of 1.35 extended resources are not on
        accepted(older_cluster, {"a.yaml": result.texts["a.yaml"]})


def test_a_live_cluster_is_audited_without_being_touched(world: World) -> None:
    container = {"name": "s", "image": "x", "resources": {"limits": {"nvidia.com/gpu": "2"}}}
    pod: Raw = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "a"}}, "template": pod}
    metadata = {"name": "audited", "namespace": world.namespace}
    made = world.api.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})

    objects, unread = survey(Path(world.cluster.kubeconfig))

    assert unread == []
    title = f"Deployment {world.namespace}/audited"
    found = sorted(each.id for each in inspect([], objects).findings if each.object == title)
    assert found == ["DP001", "DP002"]
    stored = world.api.get("Deployment", "audited", world.namespace)
    assert stored["spec"] == made["spec"]
    world.api.delete("Deployment", "audited", world.namespace)
