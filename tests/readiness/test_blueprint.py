"""Single needs, in clusters that the records do not show."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.cluster.decode import decode
from scheduler.readiness.assessment import assess, differences
from scheduler.readiness.blueprint import FAMILIES, judged
from scheduler.readiness.facts import Facts
from scheduler.readiness.record import Record, Workload, from_files
from tests.build import device, device_class, gpus, node, slice_of

EXAMPLES = Path(__file__).resolve().parents[2] / "manifests" / "examples"
V1 = {"resource.k8s.io/v1": frozenset({"ResourceSlice", "DeviceClass"})}
NVIDIA = "gpu.nvidia.com"
ROOT, NUMA = "resource.kubernetes.io/pcieRoot", "resource.kubernetes.io/numaNode"


def record(*slices, nodes=(), classes=None, **fields):
    """A cluster of 1.37 with these slices, node n1 unless there are others, and a class for all of NVIDIA's devices."""
    found = (device_class("gpu", driver=NVIDIA),) if classes is None else classes
    around = tuple(nodes) or (node("n1"),)
    return Record(minor=37, apis=V1, groups=frozenset(), slices=slices, nodes=around, classes=tuple(found), **fields)


def need(made, family, what):
    [found] = judged(Facts(made), [family])
    return next(each for each in found.needs if what in each.what)


def verdict(made, family, what):
    return need(made, family, what).verdict


def box(count=2, driver=NVIDIA, name="n1", **attributes):
    devices = [device(f"gpu-{i}", {"type": "gpu", **attributes}, {"memory": "80Gi"}) for i in range(count)]
    return slice_of(devices, node=name, driver=driver)


def nic(name="n1", **attributes):
    return slice_of([device("eth1", attributes)], node=name, driver="dra.net")


# ---------------------------------------------------------------- names


def test_every_example_has_a_family():
    folders = {path.name for path in EXAMPLES.iterdir() if (path / "kustomization.yaml").is_file()}
    # Their needs are those of another one: a class that every cluster may have, or another's with more around it.
    others = {"first-pod", "tenants-mig", "tenants-shares", "corrected", "spread"}

    assert folders - others <= {family.name for family in FAMILIES}


def test_families_have_names_of_their_own():
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


# ---------------------------------------------------------------- devices


def test_nothing_published_is_a_gap_and_nothing_readable_is_open():
    assert verdict(record(), "one-gpu", "GPUs in") == "missing"
    assert verdict(record(unread=(("ResourceSlice", "403"),)), "one-gpu", "GPUs in") == "open"


def test_a_driver_that_is_not_in_the_table_is_open():
    found = need(record(box(driver="new.example.org")), "one-gpu", "GPUs in")

    assert (found.verdict, found.why) == ("open", "what new.example.org publishes is not in the table of drivers")


def test_parts_are_no_whole_gpus():
    parts = slice_of([device("m", {"type": "mig", "profile": "1g.10gb"}, {"memory": "10Gi"})], node="n1", driver=NVIDIA)

    assert need(record(parts), "one-gpu", "GPUs in").why == "only parts of GPUs are published"
    assert verdict(record(parts), "mig", "parts of GPUs (") == "met"
    assert need(record(parts), "mig-mix", "two sizes").why == "all are 1g.10gb"


def test_memory_that_could_not_be_read_is_none():
    blind = slice_of([device("gpu-0", {"type": "amdgpu"}, {"memory": "0"})], node="n1", driver="gpu.amd.com")

    assert need(record(blind), "one-gpu", "memory").why == "gpu.amd.com says nothing of it, or 0"


def test_a_class_that_takes_other_hardware_too_is_none_for_gpus():
    both = device_class("any", driver=None)

    found = need(record(box(), nic(), classes=[both]), "one-gpu", "DeviceClass")

    assert (found.verdict, found.why) == ("missing", "none selects them (there are any)")
    assert "create the DeviceClasses of gpu.nvidia.com" in found.step.text
    assert verdict(record(box(), classes=[both]), "one-gpu", "DeviceClass") == "met"


def test_a_class_whose_selector_fails_takes_nothing():
    broken = device_class("gpu", 'device.attributes["gpu.nvidia.com"].model == "x"', driver=NVIDIA)

    assert verdict(record(box(), classes=[broken]), "one-gpu", "DeviceClass") == "missing"


def test_an_old_generation_is_not_published_any_more():
    old = box(8)
    new = slice_of([device("gpu-0", {"type": "gpu"})], node="n1", driver=NVIDIA, generation=2)

    assert need(record(old, new), "one-gpu", "GPUs in").why == "1 GPU on 1 node"


# ---------------------------------------------------------------- topology


def test_links_that_nobody_tells_are_open_until_somebody_does():
    blind = record(box(productName="NVIDIA A40"))

    assert verdict(blind, "tensor-parallel", "direct links") == "open"
    assert "dovetail.scheduler/links" in need(blind, "tensor-parallel", "direct links").step.text
    told = node("n1", annotations={"dovetail.scheduler/links": '{"pairs": [["gpu-0", "gpu-1", 56]]}'})
    assert verdict(record(box(productName="NVIDIA A40"), nodes=[told]), "tensor-parallel", "direct links") == "met"


def test_links_may_be_told_by_the_map():
    text = "apiVersion: config.dovetail.scheduler/v1alpha1\nkind: Topology\nboxes:\n"
    text += "- match: {node: n1}\n  pairs: [[gpu-0, gpu-1, 100]]\n"
    links = decode("ConfigMap", {
        "metadata": {"name": "dovetail-topology", "namespace": "dovetail-system", "uid": "u"},
        "data": {"topology.yaml": text},
    })  # fmt: skip

    assert verdict(record(box(), links=links), "tensor-parallel", "direct links") == "met"


def test_one_gpu_a_node_has_nobody_to_link_to():
    assert need(record(box(1)), "tensor-parallel", "direct links").why == "no node has two whole GPUs"


@pytest.mark.parametrize(
    ("gpu", "card", "expected"),
    [
        ({ROOT: "pci0000:10"}, {ROOT: "pci0000:10"}, "met"),
        ({ROOT: "pci0000:10"}, {ROOT: "pci0000:20"}, "missing"),
        ({ROOT: "pci0000:10", NUMA: 0}, {ROOT: "pci0000:20", NUMA: 0}, "met"),
        ({NUMA: 0}, {"dra.net/numaNode": 0}, "missing"),
        ({NUMA: (0, 1)}, {NUMA: 1}, "met"),
        ({ROOT: "pci0000:10"}, {ROOT: "pci0000:10", "dra.net/rdma": False}, "missing"),
    ],
)
def test_one_attribute_keeps_gpu_and_nic_together_or_none_does(gpu, card, expected):
    assert verdict(record(box(1, **gpu), nic(**card)), "prefill-decode", "one attribute") == expected


def test_a_nic_of_another_node_is_not_beside_the_gpu():
    made = record(box(1, **{ROOT: "r"}), nic("n2", **{ROOT: "r"}), nodes=[node("n1"), node("n2")])

    assert verdict(made, "prefill-decode", "one attribute") == "missing"


def test_an_upgrade_that_would_help_is_named():
    old = Workload("n", "d", ("dra-driver-nvidia-gpu:v0.4.1",), {})
    made = record(box(1, **{ROOT: "a"}), nic(**{NUMA: 0}), workloads=(old,))

    step = need(made, "prefill-decode", "one attribute").step

    assert step.text == "upgrade gpu.nvidia.com to v0.5.0 (2026-08-18), which publishes numaNode"


# ---------------------------------------------------------------- plugins and sharing


def test_a_plugin_of_the_same_vendor_on_a_node_of_the_driver():
    plugged = node("n1", **{"nvidia.com/gpu": 2})

    found = need(record(box(), nodes=[plugged]), "extended-resource", "no device plugin")

    assert found.verdict == "missing"
    assert "n1" in found.step.text
    gone, other = node("n1", **{"nvidia.com/gpu": 0}), node("n1", **{"amd.com/gpu": 2})
    assert verdict(record(box(), nodes=[gone]), "extended-resource", "no device plugin") == "met"
    assert verdict(record(box(), nodes=[other]), "extended-resource", "no device plugin") == "met"


def test_shares_of_compute_are_those_of_a_shared_gpu_with_cores():
    hami = "hami-core-gpu.project-hami.io"

    def shared(driver, capacity, shareable=True):
        listed = [replace(device("g", {"type": "hami-gpu"}, capacity), shareable=shareable)]
        made = record(slice_of(listed, node="n1", driver=driver), classes=[device_class(driver, driver=driver)])
        return need(made, "consumable-compute", "compute")

    assert shared(hami, {"cores": "100", "memory": "80Gi"}).why == f"1 device of {hami} with capacity cores"
    assert shared(NVIDIA, {"memory": "80Gi"}).why == "those that several claims can share have no capacity cores"
    assert shared(hami, {"cores": "100"}, shareable=False).why == "none allows multiple allocations"
    assert "HAMi" in shared(NVIDIA, {"memory": "80Gi"}).step.text
    assert shared("gpu.amd.com", {"memory": "80Gi"}).step is None


def test_a_gate_that_is_on_and_shows_nothing_is_looked_into():
    on = Workload("n", "d", ("dra-driver-nvidia-gpu:v0.5.0",), {"ConsumableShares": True})
    made = record(box(), workloads=(on,))

    assert "look into the log of gpu.nvidia.com" in need(made, "consumable-capacity", "share").step.text
    [running] = Facts(made).drivers
    assert "its gate ConsumableShares is on, and no device shows consumable capacity" in differences(running)


def test_a_driver_that_publishes_less_than_its_release_can_is_told():
    [running] = Facts(record(box(), workloads=(Workload("n", "d", ("dra-driver-nvidia-gpu:v0.5.0",), {}),))).drivers

    assert differences(running) == ("v0.5.0 can publish numaNode, pcieRoot, pciBusID, and no device has it",)


# ---------------------------------------------------------------- versions


@pytest.mark.parametrize(
    ("minor", "apis", "expected"),
    [
        (37, V1, "met"), (35, V1, "met"), (34, V1, "missing"), (37, {}, "missing"), (None, None, "open"),
        (33, {"resource.k8s.io/v1beta1": frozenset()}, "missing"),
    ],
)  # fmt: skip
def test_kubernetes_is_new_enough_or_not(minor, apis, expected):
    made = Record(minor=minor, apis=apis)

    assert verdict(made, "one-gpu", "Kubernetes") == expected


def test_objects_without_a_record_leave_versions_open_and_say_so():
    found = assess(Record(slices=(gpus("n1", 2),), nodes=(node("n1"),)))

    assert not found.ready
    assert {each.state for each in found.gates} == {"unknown"}
    assert any("--live --record" in text for text, _ in found.steps)


def test_kinds_that_files_lack_are_open_and_no_gaps(tmp_path):
    box_of = {"metadata": {"name": "s"}, "spec": {
        "driver": NVIDIA, "nodeName": "n1", "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 1},
        "devices": [{
            "name": "gpu-0", "attributes": {"type": {"string": "gpu"}}, "capacity": {"memory": {"value": "1Gi"}},
        }],
    }}  # fmt: skip
    (tmp_path / "s.json").write_text(
        json.dumps({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSliceList", "items": [box_of]})
    )

    made, problems = from_files([str(tmp_path)])
    found = assess(made)

    assert problems == []
    missing = {need.what for each in found.families for need in each.needs if need.verdict == "missing"}
    assert "a DeviceClass for GPUs" not in missing
    assert "no device plugin beside the driver" not in missing
    assert verdict(made, "one-gpu", "GPUs in") == "met"
    assert not any("let the account" in text for text, _ in found.steps)


def test_everything_that_an_empty_cluster_lacks_is_said_and_nothing_breaks():
    found = assess(Record(minor=37, apis=V1, groups=frozenset()))

    assert {each.verdict for each in found.families} == {"gap"}
    assert found.drivers == ()


def test_a_newer_kubernetes_is_not_judged_by_old_tables():
    found = assess(Record(minor=38, apis=V1, groups=frozenset(), slices=(box(),), nodes=(node("n1"),)))

    assert any("Kubernetes 1.38 yourself" in text for text, _ in found.steps)
