"""Links that only an operator knows, on a real API server: the ConfigMap, its role, and a change while all runs."""

from collections.abc import Callable, Iterator

import pytest

from e2e.api import Api, ApiRefusalError, Raw, until
from e2e.conftest import World, end, serve
from e2e.dovetail import CONFIG_MAP, NAMESPACE, Dovetail
from e2e.judge import taken
from e2e.workload import claim_spec, request
from scheduler.simulator import fleet

MAP = "dovetail-topology"
PAIR = claim_spec([request(count=2)])
HEAD = "apiVersion: config.dovetail.scheduler/v1alpha1\nkind: Topology\nboxes:\n"
BRIDGED = HEAD + "- match: {productName: NVIDIA A40, count: 8}\n  box: a40-bridged\n"
CROSSED = HEAD + "- match: {node: %s}\n  pairs: [[gpu-0, gpu-7, 56], [gpu-1, gpu-6, 56]]\n  default: 0\n"


@pytest.fixture
def tell(world: World) -> Iterator[Callable[[str], None]]:
    """Writes the ConfigMap; it is gone after the test."""

    def write(text: str) -> None:
        metadata = {"name": MAP, "namespace": NAMESPACE}
        world.api.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"topology.yaml": text}}
        )

    yield write
    world.api.delete("ConfigMap", MAP, NAMESPACE)


def publish(world: World) -> str:
    """One box whose bridges nobody knows; returns the name of its node."""
    objects = fleet.fleet({"a40-bridged": 1})
    for raw in objects:
        raw["metadata"].pop("annotations", None)
    world.publish([*objects, *fleet.device_classes()[:1]])
    name: str = objects[0]["metadata"]["name"]
    return name


def chosen(world: World, name: str) -> tuple[set[str], str]:
    """The devices that a claim for two got, and from where its explanation says that the links are known."""
    serve(world, name, PAIR)
    stored = world.api.get("ResourceClaim", name, world.namespace)
    annotations: Raw = world.api.get("Pod", name, world.namespace)["metadata"]["annotations"]
    found = {device for _, device in taken(stored)}
    end(world, name)
    return found, annotations["dovetail.scheduler/explain"]


def test_links_are_learned_from_the_map_and_learned_anew_when_it_changes(
    world: World, dovetail: Dovetail, tell: Callable[[str], None]
) -> None:
    node = publish(world)
    _, at_first = chosen(world, "unknown")

    tell(BRIDGED)
    until(lambda: "boxes[0]" in chosen(world, "bridged")[1], "the map is learned")
    bridged, _ = chosen(world, "again")
    tell(CROSSED % node)
    until(lambda: "box a40-bridged" not in chosen(world, "crossed")[1], "the change is learned")
    crossed, told = chosen(world, "crossing")
    tell("{")
    until(lambda: "ConfigMap" not in chosen(world, "broken")[1], "the broken map is put aside")

    assert "unknown: NVIDIA A40" in at_first
    assert bridged in ({"gpu-0", "gpu-2"}, {"gpu-1", "gpu-3"}, {"gpu-4", "gpu-5"}, {"gpu-6", "gpu-7"})
    assert crossed in ({"gpu-0", "gpu-7"}, {"gpu-1", "gpu-6"})
    assert f"ConfigMap {MAP} boxes[0]" in told
    assert "is not YAML" in dovetail.child.tail(200)


def test_the_role_opens_the_two_maps_and_no_other(dovetail: Dovetail) -> None:
    api = Api.of(dovetail.kubeconfig)
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps"

    listed = [api.call("GET", f"{path}?fieldSelector=metadata.name%3D{name}") for name in (MAP, CONFIG_MAP)]
    with pytest.raises(ApiRefusalError) as every:
        api.call("GET", path)
    with pytest.raises(ApiRefusalError) as other:
        api.call("GET", f"{path}/kube-root-ca.crt")
    api.close()

    assert [each["kind"] for each in listed] == ["ConfigMapList"] * 2
    assert (every.value.status, other.value.status) == (403, 403)
