"""What `dovetail migrate` writes is what the API server takes, to the letter, in the oldest and newest Kubernetes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from e2e.api import ApiRefusalError, Raw
from e2e.cluster import Cluster
from e2e.conftest import World
from scheduler.audit.inspection import TEMPLATED, inspect
from scheduler.audit.migrating.migration import migrate
from scheduler.audit.migrating.patches import value_of
from scheduler.audit.sources import Source
from scheduler.audit.subjects import pods, subjects
from scheduler.audit.tree import chunks, parse
from scheduler.service.survey import survey
from tests.audit.manifests import everything, simple

MANIFESTS = dict(simple())
OTHERS = {name: text for name, text in everything() if name not in MANIFESTS and migrate([Source("a.yaml", text)]).done}
"""All else that the tests of the audit migrate: commented workloads, and golden cases in which something changes."""
SINCE = {"DeviceTaintRule": 37}
"""Kinds that v1 does not have before a version of Kubernetes."""


def posted(cluster: Cluster, item: Raw) -> None:
    """Create an object without storing it; unknown fields are refused. Raises ApiRefusalError."""
    group = item["apiVersion"]
    prefix = f"/apis/{group}" if "/" in group else f"/api/{group}"
    plural = item["kind"].lower() + ("es" if item["kind"].endswith("s") else "s")
    place = "" if item["kind"] in {"DeviceClass", "DeviceTaintRule"} else "/namespaces/default"
    item["metadata"].pop("namespace", None)
    cluster.api.call("POST", f"{prefix}{place}/{plural}?dryRun=All&fieldValidation=Strict", item)


def loaded(texts: dict[str, str]) -> list[Raw]:
    return [
        json.loads(json.dumps(item))
        for text in texts.values()
        for item in YAML(typ="safe", pure=True).load_all(text)
        if isinstance(item, dict)
    ]


def accepted(cluster: Cluster, texts: dict[str, str]) -> list[str]:
    """Create everything without storing it. Returns the kinds."""
    items = loaded(texts)
    for item in items:
        posted(cluster, item)
    return [item["kind"] for item in items]


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_migrated_manifest_is_taken(name: str, default_cluster: Cluster, older_cluster: Cluster) -> None:
    result = migrate([Source("a.yaml", MANIFESTS[name])])

    assert result.refused == []
    assert result.done != []
    for cluster in (default_cluster, older_cluster):
        kinds = accepted(cluster, result.texts)
        assert kinds[-1] == "DeviceClass"
        assert len(kinds) >= 2


def parts(texts: dict[str, str]) -> Iterator[tuple[str, Raw]]:
    """(where, object) of what an API server can judge alone: objects of DRA, and pods of workloads as PodTemplates."""
    for name, text in texts.items():
        for chunk in chunks(text):
            if TEMPLATED.search(text, *chunk[:2]):
                continue
            for subject in subjects(name, parse(text, *chunk).root):
                if subject.dra:
                    yield subject.title, value_of(subject.root)
                for at, group in enumerate(pods(subject)):
                    template = {"metadata": {"labels": {"app": "a"}}, "spec": value_of(group.spec)}
                    yield (
                        f"{subject.title}, pod {at}",
                        {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "a"}, "template": template},
                    )


def completed(item: Raw) -> Raw:
    """What a pod of a custom resource may leave to its controller."""
    for container in item.get("template", {}).get("spec", {}).get("containers", ()):
        container.setdefault("name", "c")
    return item


def judged(cluster: Cluster, item: Raw) -> str:
    """Why it is refused; empty if it is taken."""
    try:
        posted(cluster, completed(item))
    except ApiRefusalError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", OTHERS)
def test_all_else_that_is_migrated_is_taken(name: str, default_cluster: Cluster, older_cluster: Cluster) -> None:
    text = OTHERS[name]
    result = migrate([Source("a.yaml", text)])
    again = migrate([Source(file, each) for file, each in result.texts.items()])

    assert (again.texts, again.done) == (result.texts, [])
    unfit = {each.object for each in result.refused}
    for cluster, minor in ((default_cluster, 37), (older_cluster, 35)):
        before = {where: judged(cluster, item) for where, item in parts({"a.yaml": text})}
        made = 0
        for where, item in parts(result.texts):
            if SINCE.get(item["kind"], 0) > minor or where in unfit:
                continue
            pod = item["kind"] == "PodTemplate"
            if pod and before[where]:  # nobody's migration makes a good pod of a bad one
                assert "source" in before[where] or where.partition(",")[0] in unfit, before[where]
            assert judged(cluster, item) == ""
            made += 1
        assert made or minor == 35


@pytest.mark.parametrize("name", ["one", "two containers"])
def test_the_classes_of_extended_mode_are_taken(name: str, default_cluster: Cluster, older_cluster: Cluster) -> None:
    result = migrate([Source("a.yaml", MANIFESTS[f"Pod {name}"])], "extended")

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
