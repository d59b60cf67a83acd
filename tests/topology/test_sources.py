"""Driver attributes, node labels and the order in which sources count."""

import json

import numpy as np
import pytest

from scheduler.core import names
from scheduler.core.topology import learn
from scheduler.core.topology.labels import levels
from scoring.topology import TOPOLOGIES
from scoring.topology.fabric import LEVELS, columns, distance
from tests.build import device, node
from tests.topology.boxes import A100_PCIE, H100, NVIDIA, STANDARD, bus, gpu, gpus, linked
from tests.topology.test_maps import about, told

CLIQUE = "nvidia.com/gpu.clique"
GB200 = "NVIDIA GB200"


# ---------------------------------------------------------------- precedence


def test_sources_count_in_their_order():
    """ConfigMap, annotation, driver attributes, label, catalogue: each is taken away in turn, and the next counts."""
    text = json.dumps({"pairs": [["gpu-0", "gpu-1", 222]], "default": 222})
    full = {"labels": {CLIQUE: "c.1"}, "annotations": {names.LINKS: text}}
    partitions = [gpu(i, GB200, partition2=i // 2) for i in range(4)]

    def learned(where, devices, links=None):
        layout = learn(where, devices, links).layout
        return layout.bandwidth[0, 2], layout.source

    assert learned(node("n7", **full), partitions, told(about(default=111))) == (
        111, "ConfigMap dovetail-topology boxes[0]",
    )  # fmt: skip
    assert learned(node("n7", **full), partitions) == (222, f"annotation {names.LINKS}")
    del full["annotations"]
    assert learned(node("n7", **full), partitions) == (0, f"driver attributes: partition2; speed of {GB200}")
    assert learned(node("n7", **full), gpus(4, GB200)) == (900, f"label {CLIQUE}; speed of {GB200}")
    assert learned(node("n7"), gpus(4, GB200)) == (900, f"catalogue: {GB200}")
    assert learned(node("n7"), gpus(4, "Flux Capacitor"))[1] == "unknown"


def test_a_clique_tells_nothing_of_products_without_a_known_port():
    assert learn(node(labels={CLIQUE: "c.1"}), gpus(2, "Flux Capacitor")).layout.source == "unknown"


def test_an_annotation_that_the_catalogue_contradicts_counts_with_a_warning_that_names_both():
    where = node("n7", annotations={names.LINKS: json.dumps({"pairs": [["gpu-0", "gpu-1", 0]]})})

    learned = learn(where, gpus(8))

    assert (learned.layout.bandwidth[0, 1], learned.layout.bandwidth[0, 2]) == (0, 450)
    assert learned.warnings == (
        f"node n7: annotation {names.LINKS} says 0 GB/s between gpu-0 and gpu-1, catalogue: {H100} says 450; the "
        "former counts: correct the one that is wrong",
    )


@pytest.mark.parametrize("speed", [450, 478, 400])
def test_one_speed_told_in_two_ways_is_no_contradiction(speed):
    where = node(annotations={names.LINKS: json.dumps({"default": speed})})

    assert learn(where, gpus(8)).warnings == ()


def test_partitions_are_less_than_the_wiring_and_do_not_contradict_it():
    assert learn(node(), [gpu(i, partition2=i // 2) for i in range(8)]).warnings == ()


# ---------------------------------------------------------------- attributes in every form


def test_a_list_of_numa_nodes_has_the_own_one_first_and_shares_the_others():
    lists = [
        (NVIDIA, device(f"gpu-{i}", {STANDARD + "numaNode": each})) for i, each in enumerate([(1, 0), (0, 1), (2,)])
    ]
    nic = "dra.net", device("nic", {STANDARD + "numaNode": 1})

    layout = learn(node(), [*lists, nic]).layout

    assert layout.numa.tolist() == [0, 1, 2, 0]
    assert layout.same_numa.tolist() == [
        [False, True, False, True],
        [True, False, False, True],
        [False, False, False, False],
        [True, True, False, False],
    ]


def test_a_list_of_pcie_roots_is_near_each_of_them():
    cpu = "dra.cpu", device("cpudevnuma000", {STANDARD + "pcieRoot": ("pci0000:10", "pci0000:20")})
    near, far = gpu(0, **{STANDARD + "pcieRoot": "pci0000:20"}), gpu(1, **{STANDARD + "pcieRoot": "pci0000:90"})

    layout = learn(node(), [cpu, near, far]).layout

    assert layout.same_pcie[0].tolist() == [False, True, False]
    assert layout.pcie.tolist() == [0, 1, 2]


@pytest.mark.parametrize("listed", [(-1, 3), (3,), ("x", 3), (True, 3)])
def test_what_of_a_list_is_no_numa_node_is_left_out(listed):
    devices = [(NVIDIA, device("a", {"numaNode": listed})), (NVIDIA, device("b", {"numaNode": 3}))]

    assert learn(node(), devices).layout.numa.tolist() == [0, 0]


def test_two_attributes_of_a_device_that_disagree_are_a_warning_and_the_standard_one_counts():
    devices = [("gpu.amd.com", device(f"gpu-{i}", {STANDARD + "numaNode": i, "numaNode": 0})) for i in range(3)]

    learned = learn(node("n7"), devices)

    assert learned.layout.numa.tolist() == [0, 1, 2]
    assert learned.warnings == (
        f"node n7, device gpu.amd.com/gpu-1 (and 1 more devices): attributes disagree on the NUMA node: "
        f"{STANDARD}numaNode 1 and gpu.amd.com/numaNode 0; the first counts: check the driver",
    )


def test_a_thousand_gpus_in_a_node_are_a_warning_and_their_links_stay_unknown():
    learned = learn(node("n7", annotations={names.LINKS: '{"default": 5}'}), gpus(1000, numaNode=0))

    assert np.isnan(learned.layout.bandwidth[0, 1])
    assert learned.layout.numa.tolist() == [0] * 1000
    (warning,) = learned.warnings
    assert warning.startswith(
        f"node n7, ResourceSlices of {NVIDIA}: 1000 devices that could be linked are more than 256"
    )


def test_a_thousand_partitions_of_gpus_are_nothing_odd():
    mig = [(NVIDIA, device(f"m{i}", {"type": "mig", STANDARD + "pciBusID": bus(i % 8)})) for i in range(1000)]

    assert learn(node(), mig).warnings == ()


# ---------------------------------------------------------------- models and labels


def test_every_model_is_registered():
    import ast
    from pathlib import Path

    import scoring.topology

    folder = Path(scoring.topology.__file__).parent
    found = {
        item.name
        for path in folder.glob("*.py")
        for item in ast.walk(ast.parse(path.read_text()))
        if isinstance(item, ast.ClassDef) and any(getattr(base, "id", "") == "Topology" for base in item.bases)
    }

    assert found == {type(model).__name__ for model in TOPOLOGIES}
    assert len({model.name for model in TOPOLOGIES}) == len(TOPOLOGIES)


@pytest.mark.parametrize(
    ("labels", "level", "value"),
    [
        ({CLIQUE: "u.1"}, "clique", "u.1"),
        ({"accelerator.topograph.run/domain": "d"}, "clique", "d"),
        ({"accelerator.topograph.run/domain": "d", "accelerator.topograph.run/sub-domain": "s"}, "clique", "d/s"),
        ({"network.topology.nvidia.com/accelerator": "a"}, "clique", "a"),
        ({"topology.k8s.aws/ultraserver-id": "us"}, "clique", "us"),
        ({"fabric.topograph.run/tier-0": "l"}, "rack", "l"),
        ({"network.topology.nvidia.com/leaf": "l"}, "rack", "l"),
        ({"network.topology.nvidia.com/block": "l"}, "rack", "l"),
        ({"oci.oraclecloud.com/host.rack_id": "r"}, "rack", "r"),
        ({"cloud.google.com/gce-topology-subblock": "s"}, "rack", "s"),
        ({"topology.k8s.aws/network-node-layer-3": "n"}, "rack", "n"),
        ({"fabric.topograph.run/tier-1": "s"}, "block", "s"),
        ({"network.topology.nvidia.com/spine": "s"}, "block", "s"),
        ({"oci.oraclecloud.com/host.network_block_id": "b"}, "block", "b"),
        ({"cloud.google.com/gce-topology-block": "b"}, "block", "b"),
        ({"topology.k8s.aws/network-node-layer-2": "n"}, "block", "n"),
        ({"topology.k8s.aws/capacity-block-id": "c"}, "block", "c"),
        ({"fabric.topograph.run/tier-2": "c"}, "spine", "c"),
        ({"network.topology.nvidia.com/core": "c"}, "spine", "c"),
        ({"network.topology.nvidia.com/datacenter": "c"}, "spine", "c"),
        ({"topology.k8s.aws/network-node-layer-1": "n"}, "spine", "n"),
        ({"cloud.google.com/gce-topology-host": "h"}, "host", "h"),
    ],
)
def test_levels_are_read_from_every_label(labels, level, value):
    found = levels(labels)

    known = {name: each for name, each in zip(LEVELS, found.values, strict=True) if each}
    assert list(known) == [level]
    assert known[level].endswith(f"/{value}")
    assert found.words == f"{level} {value} (label {' and '.join(labels)})"


def test_the_current_label_counts_before_the_older_one():
    old_and_new = {"network.topology.nvidia.com/leaf": "old", "fabric.topograph.run/tier-0": "new"}

    assert levels(old_and_new).words == "rack new (label fabric.topograph.run/tier-0)"


def test_a_node_without_such_labels_is_nowhere():
    assert levels({"a": "b", CLIQUE: ""}).values == ("",) * len(LEVELS)
    assert levels({}).words == ""


def test_nodes_are_as_near_as_the_first_level_that_they_share():
    rack_a, rack_b = {"oci.oraclecloud.com/host.rack_id": "a"}, {"oci.oraclecloud.com/host.rack_id": "b"}
    block = {"oci.oraclecloud.com/host.network_block_id": "x"}
    nodes = [{CLIQUE: "c", **rack_a}, {CLIQUE: "c", **rack_b}, {**rack_b, **block}, {**rack_a, **block}, {}]

    found = distance(columns([levels(each).values for each in nodes]))

    rack, blocks, none = LEVELS.index("rack"), LEVELS.index("block"), len(LEVELS)
    assert found.tolist() == [
        [0, 1, none, rack, none],
        [1, 0, rack, none, none],
        [none, rack, 0, blocks, none],
        [rack, none, blocks, 0, none],
        [none, none, none, none, 0],
    ]
    assert (found == found.T).all()


def test_no_nodes_have_no_distance():
    assert distance(columns([])).shape == (0, 0)


def test_bridged_pairs_of_the_catalogue_are_those_of_its_source():
    entry = about(box="a40-bridged")

    assert linked(learn(node("n7"), gpus(8, A100_PCIE), told(entry)).layout) == dict.fromkeys(
        [(0, 2), (1, 3), (4, 5), (6, 7)], 56
    )
