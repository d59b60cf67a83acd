"""Features of Dynamic Resource Allocation that are alpha, with their gates on."""

import pytest

from e2e.api import Raw
from e2e.cluster import Cluster
from e2e.conftest import World, runs, serve, unschedulable
from e2e.dovetail import Dovetail
from e2e.inventory import CLASS, DRIVER, device, device_class, devices, node, slice_on
from e2e.judge import taken
from e2e.workload import claim, claim_spec, pod, request


@pytest.fixture(scope="session")
def cluster(alpha_cluster: Cluster) -> Cluster:
    return alpha_cluster


def asks(world: World, name: str, spec: Raw) -> None:
    """A pod that will have to wait, and its claim."""
    world.create(claim(world.namespace, name, spec), pod(world.namespace, name, claims=[name]))


def test_devices_match_in_one_value_of_their_lists(world: World, dovetail: Dovetail) -> None:
    # given devices near several NUMA nodes, each of which two or more are near
    near = [[0, 1], [0, 2], [1, 2], [2, 3]]
    listed = [device(f"d{i}", {"numa": each}) for i, each in enumerate(near)]
    world.publish([device_class(), node("n1"), slice_on("n1", listed)])
    three = claim_spec([request(device_class=CLASS, count=3)], match=f"{DRIVER}/numa")
    # when three are to have one in common, which holds for no three others
    made = serve(world, "p", three)
    # then
    assert taken(made) == [("gpu", "d1"), ("gpu", "d2"), ("gpu", "d3")]
    # and the rest is too little
    asks(world, "q", claim_spec([request(device_class=CLASS, count=2)], match=f"{DRIVER}/numa"))
    unschedulable(world, "q", "0 of 1 nodes fit", "request gpu of claim q")


def test_devices_differ_in_all_values_of_their_lists(world: World, dovetail: Dovetail) -> None:
    near = [["a", "b"], ["b", "c"], ["c", "d"]]
    listed = [device(f"d{i}", {"links": each}) for i, each in enumerate(near)]
    world.publish([device_class(), node("n1"), slice_on("n1", listed)])
    # given that only the outer two have no value in common
    pair = claim_spec([request(device_class=CLASS, count=2)], distinct=f"{DRIVER}/links")
    assert taken(serve(world, "p", pair)) == [("gpu", "d0"), ("gpu", "d2")]


def test_selector_looks_into_a_list(world: World, dovetail: Dovetail) -> None:
    listed = [device("d0", {"numa": [0, 1]}), device("d1", {"numa": [2, 3]}), device("d2", {"numa": 3})]
    world.publish([device_class(), node("n1"), slice_on("n1", listed)])
    cel = f'device.attributes["{DRIVER}"].numa.includes(3)'
    assert taken(serve(world, "p", claim_spec([request(device_class=CLASS, count=2, cel=cel)]))) == [
        ("gpu", "d1"),
        ("gpu", "d2"),
    ]


def test_devices_match_in_what_is_derived_from_their_attributes(world: World, dovetail: Dovetail) -> None:
    # given devices that are numbered, two to a board
    listed = [device(f"d{number}", {"number": number}) for number in (0, 3, 5, 2)]
    world.publish([device_class(), node("n1"), slice_on("n1", listed)])
    board = {"name": f"{DRIVER}/board", "expression": f'device.attributes["{DRIVER}"].number / 2'}
    pair = claim_spec([request(device_class=CLASS, count=2, derivedAttributes=[board])], match=f"{DRIVER}/board")
    # when two of one board are asked for, then no others will do
    assert taken(serve(world, "p", pair)) == [("gpu", "d3"), ("gpu", "d2")]
    asks(world, "q", pair)
    unschedulable(world, "q", "0 of 1 nodes fit", f"{DRIVER}/board")


def test_partitions_of_groups_that_do_not_agree_are_kept_apart(world: World, dovetail: Dovetail) -> None:
    # given a device with room for two partitions, of kinds that cannot be mixed
    def partition(name: str, kind: str) -> Raw:
        uses = {"counterSet": "gpu-0", "counters": {"slots": {"value": "1"}}, "compatibilityGroups": [kind]}
        return device(name, {"kind": kind}, consumesCounters=[uses])

    counters = [{"name": "gpu-0", "counters": {"slots": {"value": "2"}}}]
    parts = [partition("mig-0", "mig"), partition("mig-1", "mig"), partition("vgpu-0", "vgpu")]
    world.publish(
        [
            device_class(),
            node("n1"),
            slice_on("n1", part="counters", of=2, sharedCounters=counters),
            slice_on("n1", parts, part="devices", of=2),
        ]
    )

    def of(kind: str) -> Raw:
        return claim_spec([request(device_class=CLASS, cel=f'device.attributes["{DRIVER}"].kind == "{kind}"')])

    # when one kind is there, then the other one waits, though there is room
    serve(world, "a", of("mig"))
    asks(world, "b", of("vgpu"))
    unschedulable(world, "b", "0 of 1 nodes fit")
    # and one of the same kind does not
    serve(world, "c", of("mig"))


def test_slice_that_skips_the_node_goes_where_kubelet_can_do_that(world: World, dovetail: Dovetail) -> None:
    # given devices for all nodes, whose driver does nothing on the node
    skips = ["NodePrepareResources", "NodeUnprepareResources"]
    world.publish([device_class(), node("n1"), slice_on({"allNodes": True}, devices(2), skipNodeOperations=skips)])
    # when no kubelet knows of that, then a pod waits
    asks(world, "p", claim_spec([request(device_class=CLASS)]))
    unschedulable(world, "p", "0 of 1 nodes fit")
    # and when one comes that does, the pod goes there
    able = node("n2")
    able["status"]["declaredFeatures"] = ["DRAOptionalNodeOperations"]
    world.publish([able])
    assert runs(world, "p") == "n2"
    made = world.api.get("ResourceClaim", "p", world.namespace)
    [result] = made["status"]["allocation"]["devices"]["results"]
    assert sorted(result["skipNodeOperations"]) == skips
