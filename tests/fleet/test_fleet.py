"""Boxes are legal API objects, and Dovetail learns from each what its documentation says."""

import json
import re
from itertools import combinations

import numpy as np
import pytest

from scheduler.core import names
from scheduler.core.model import Device, Version
from scheduler.core.quantity import parse_quantity
from scheduler.core.topology import learn
from scheduler.simulator.fleet import BOXES, box_of, device_classes, fleet, node, slices
from tests import build

ALL_BOXES = [*BOXES, "plain-10", "plain-300"]
STANDARD = "resource.kubernetes.io/"
NVIDIA_GPU = {
    "type", "uuid", "productName", "brand", "architecture", "cudaComputeCapability", "driverVersion",
    "cudaDriverVersion", "addressingMode", STANDARD + "pciBusID", STANDARD + "pcieRoot", STANDARD + "numaNode",
}  # fmt: skip
NVIDIA_MIG = NVIDIA_GPU | {"parentUUID", "profile"}
FABRIC = {"gpuModuleID", "partition1", "partition2", "partition4", "partition8"}
MIG_CAPACITY = {"memory", "multiprocessors", "copyEngines", "decoders", "encoders", "jpegEngines", "ofaEngines"}


def published(box, name="n1"):
    """(driver, raw device) of a node, in order."""
    return [(part["spec"]["driver"], raw) for part in slices(box, name) for raw in part["spec"].get("devices", ())]


def read_device(raw):
    readers = {"string": str, "int": int, "bool": bool, "version": Version}
    attributes = {}
    for name, value in raw["attributes"].items():
        ((kind, content),) = value.items()
        attributes[name] = readers[kind](content)
    return Device(raw["name"], attributes, {k: parse_quantity(v["value"]) for k, v in raw["capacity"].items()})


def learned(box, *, links=True):
    raw = node(box, "n1", links=links)
    owner = build.node("n1", annotations=raw["metadata"].get("annotations"))
    return learn(owner, [(driver, read_device(device)) for driver, device in published(box)])


def everything():
    objects = device_classes()
    for box in ALL_BOXES:
        objects += [node(box, f"{box}-0"), *slices(box, f"{box}-0")]
    return objects


def test_every_object_survives_the_official_models():
    from kubernetes.client import ApiClient

    client = ApiClient()
    models = {"Node": "V1Node", "ResourceSlice": "V1ResourceSlice", "DeviceClass": "V1DeviceClass"}
    for raw in everything():
        read = client.deserialize(json.dumps(raw), models[raw["kind"]], "application/json")
        assert client.sanitize_for_serialization(read) == raw


@pytest.mark.parametrize("box", ALL_BOXES)
def test_slices_stay_within_the_limits_of_the_api(box):
    parts = slices(box, "n1")

    assert {part["spec"]["pool"]["resourceSliceCount"] for part in parts} == {len(parts)}
    assert len({part["metadata"]["name"] for part in parts}) == len(parts)
    devices = [raw for _, raw in published(box)]
    assert len({raw["name"] for raw in devices}) == len(devices)
    counted = [part for part in parts if any("consumesCounters" in each for each in part["spec"].get("devices", ()))]
    assert all(len(part["spec"]["devices"]) <= 64 for part in counted)
    for part in parts:
        if "sharedCounters" in part["spec"]:
            assert "devices" not in part["spec"]
            assert len(part["spec"]["sharedCounters"]) <= 8
            assert all(len(each["counters"]) <= 32 for each in part["spec"]["sharedCounters"])
        else:
            assert 1 <= len(part["spec"]["devices"]) <= 128
    for raw in devices:
        assert len(raw["attributes"]) + len(raw["capacity"]) <= 32
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", raw["name"])
        for name, value in raw["attributes"].items():
            assert re.fullmatch(r"([a-z0-9.-]{1,63}/)?[A-Za-z_][A-Za-z0-9_]{0,31}", name)
            assert len(value) == 1
            assert len(str(next(iter(value.values())))) <= 64
            if "version" in value:
                assert re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", value["version"])
        bus = raw["attributes"].get(STANDARD + "pciBusID", raw["attributes"].get("pcieBusID"))["string"]
        assert re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", bus)
        assert re.fullmatch(r"pci[0-9a-f]{4}:[0-9a-f]{2}", raw["attributes"][STANDARD + "pcieRoot"]["string"])


@pytest.mark.parametrize("box", [name for name, box in BOXES.items() if box.driver == "gpu.nvidia.com"])
def test_nvidia_devices_carry_what_their_driver_publishes_and_nothing_more(box):
    for _, raw in published(box):
        mig = raw["attributes"]["type"]["string"] == "mig"
        expected = (NVIDIA_MIG if mig else NVIDIA_GPU) | (FABRIC if BOXES[box].partitions else set())
        if mig and not BOXES[box].cut:
            expected -= {"uuid"}  # it does not exist yet
        assert raw["attributes"].keys() | {"addressingMode"} == expected
        assert {name for name in raw["capacity"] if not name.startswith("memorySlice")} == (
            MIG_CAPACITY if mig else {"memory"}
        )


def test_mig_devices_of_one_gpu_hold_different_memory_slices_and_fit_its_seven_compute_slices():
    held, compute = {}, {}
    for _, raw in published("a100-mig"):
        parent = raw["attributes"]["parentUUID"]["string"]
        held.setdefault(parent, []).extend(name for name in raw["capacity"] if name.startswith("memorySlice"))
        compute[parent] = compute.get(parent, 0) + int(raw["attributes"]["profile"]["string"][0])

    assert len(held) == 8
    assert all(len(taken) == len(set(taken)) for taken in held.values())
    assert set(compute.values()) == {7}
    assert published("a100-mig")[0][1]["name"] == "gpu-0-mig-1g5gb-19-0"


# ---------------------------------------------------------------- what is learned


def pairs_at(layout, speed):
    return {f"{i}{j}" for i, j in combinations(range(layout.size), 2) if layout.bandwidth[i, j] == speed}


@pytest.mark.parametrize(
    ("box", "speed", "product"),
    [
        ("dgx-h100", 450, "NVIDIA H100 80GB HBM3"),
        ("dgx-a100", 300, "NVIDIA A100-SXM4-40GB"),
        ("nvl72", 900, "NVIDIA GB200"),
        ("mi300x", 64, "AMD_Instinct_MI300X_OAM"),
        ("l40s-pcie", 0, "NVIDIA L40S"),
    ],
)
def test_boxes_with_equal_pairs_are_learned_from_the_catalogue(box, speed, product):
    found = learned(box)

    n = found.layout.size
    assert len(pairs_at(found.layout, speed)) == n * (n - 1) // 2
    assert found.layout.source == f"catalogue: {product}"
    assert found.warnings == ()


def test_the_dgx1_is_learned_from_the_catalogue():
    layout = learned("dgx1-v100").layout

    assert pairs_at(layout, 50) == {"03", "04", "12", "15", "23", "47", "56", "67"}
    assert pairs_at(layout, 25) == {"01", "02", "13", "26", "37", "45", "46", "57"}
    assert layout.source == "catalogue: Tesla V100-SXM2-16GB"


def test_bridges_are_learned_from_the_annotation_and_unknown_without_it():
    told, silent = learned("a100-pcie-bridged"), learned("a100-pcie-bridged", links=False)

    assert pairs_at(told.layout, 300) == {"02", "13", "45", "67"}
    assert len(pairs_at(told.layout, 0)) == 24
    assert told.layout.source == f"annotation {names.LINKS}"
    assert told.warnings == ()
    assert np.isnan(silent.layout.bandwidth).sum() == 56
    assert silent.layout.source == "unknown: NVIDIA A100-PCIE-40GB, bridges differ from box to box"


def test_mig_devices_have_no_links():
    layout = learned("a100-mig").layout

    assert layout.size == 40
    assert (layout.bandwidth == 0).all()
    assert layout.source == "driver attributes: MIG devices have no direct links"


def test_plain_boxes_are_unknown():
    layout = learned("plain-10").layout

    assert np.isnan(layout.bandwidth).sum() == 90
    assert layout.source == "unknown"


@pytest.mark.parametrize(
    ("box", "numa"),
    [
        ("dgx-h100", [0, 0, 0, 0, 1, 1, 1, 1]),
        ("dgx-a100", [0, 0, 1, 1, 2, 2, 3, 3]),
        ("dgx1-v100", [0, 0, 0, 0, 1, 1, 1, 1]),
        ("a100-pcie-bridged", [0, 0, 0, 0, 1, 1, 1, 1]),
        ("nvl72", [0, 0, 1, 1]),
        ("mi300x", [0, 0, 0, 0, 1, 1, 1, 1]),
        ("plain-10", [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]),
    ],
)
def test_numa_nodes_are_those_of_the_box(box, numa):
    assert learned(box).layout.numa.tolist() == numa


def test_pcie_roots_are_shared_by_pairs_on_the_dgx_a100_only():
    assert learned("dgx-a100").layout.pcie.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert learned("dgx-h100").layout.pcie.tolist() == list(range(8))


# ---------------------------------------------------------------- fleets


def test_the_same_arguments_give_the_same_fleet_and_another_seed_another_one():
    counts = {"dgx-h100": 3, "a100-mig": 1, "plain-4": 2}

    assert fleet(counts, seed=7) == fleet(counts, seed=7)
    assert fleet(counts, seed=7) != fleet(counts, seed=8)


def test_a_fleet_has_every_node_once_with_its_slices():
    objects = fleet({"dgx-h100": 2, "plain-300": 1, "nvl72": 2})

    found = [raw["metadata"]["name"] for raw in objects if raw["kind"] == "Node"]
    assert len(found) == len(set(found)) == 2 + 1 + 36
    assert {"dgx-h100-0", "plain-300-0", "nvl72-1-17"} <= set(found)
    owners = [raw["spec"]["nodeName"] for raw in objects if raw["kind"] == "ResourceSlice"]
    assert sorted(set(owners)) == sorted(found)
    assert len(owners) == len(found) + 2  # 300 devices take three slices
    ids = [
        device["attributes"]["uuid"]["string"]
        for raw in objects
        if raw["kind"] == "ResourceSlice"
        for device in raw["spec"]["devices"]
    ]
    assert len(ids) == len(set(ids))


def test_nodes_are_ours_and_those_of_one_rack_share_a_clique():
    nodes = [raw for raw in fleet({"nvl72": 2, "dgx-h100": 1}) if raw["kind"] == "Node"]

    assert all(raw["metadata"]["labels"][names.OWNED] == "true" for raw in nodes)
    cliques = {}
    for raw in nodes:
        clique = raw["metadata"]["labels"].get("nvidia.com/gpu.clique")
        cliques.setdefault(clique, set()).add(raw["metadata"]["name"].rsplit("-", 1)[0])
    assert cliques.pop(None) == {"dgx-h100"}
    assert sorted(cliques.values(), key=min) == [{"nvl72-0"}, {"nvl72-1"}]


@pytest.mark.parametrize("box", ALL_BOXES)
def test_a_node_keeps_something_for_itself(box):
    status = node(box, "n1")["status"]

    assert parse_quantity(status["allocatable"]["cpu"]) < parse_quantity(status["capacity"]["cpu"])
    assert parse_quantity(status["allocatable"]["memory"]) < parse_quantity(status["capacity"]["memory"])
    assert status["allocatable"]["pods"] == "110"


@pytest.mark.parametrize(("box", "hint"), [("dgx-h10", "dgx-h100"), ("plain-0", "plain-8"), ("what", "known are")])
def test_an_unknown_box_is_refused_with_the_nearest(box, hint):
    with pytest.raises(ValueError, match=rf"^box '{box}': not known.*{hint}"):
        box_of(box)
