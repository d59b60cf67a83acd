"""What `learn` believes, from which source, and what it says of sources that it puts aside."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core import names
from scheduler.core.model import Version
from scheduler.core.topology import Spellings, learn
from tests.build import claim, device, node, pod, slice_of
from tests.driving import Hands
from tests.topology.boxes import A100_PCIE, H100, NVIDIA, STANDARD, bus, gpu, gpus, linked


def annotated(text):
    return node("n7", annotations={names.LINKS: text if isinstance(text, str) else json.dumps(text)})


def test_an_annotation_is_believed_before_the_catalogue():
    learned = learn(
        annotated({"pairs": [[bus(2), "GPU-0", 300], ["gpu-1", f"{NVIDIA}/gpu-3", 56.5]], "default": 0}),
        gpus(4, A100_PCIE),
    )

    assert linked(learned.layout) == {(0, 2): 300, (1, 3): 56.5}
    assert not np.isnan(learned.layout.bandwidth).any()
    assert learned.layout.source == f"annotation {names.LINKS}"
    assert learned.warnings == ()


def test_pairs_that_an_annotation_leaves_open_are_left_to_the_catalogue():
    over_known = learn(annotated({"pairs": [["gpu-0", "gpu-1", 25]]}), gpus(8)).layout
    over_unknown = learn(annotated({"pairs": [["gpu-0", "gpu-1", 25]]}), gpus(3, A100_PCIE)).layout

    assert over_known.bandwidth[0, 1] == 25
    assert over_known.bandwidth[0, 2] == 450
    assert over_known.source == f"annotation {names.LINKS}; catalogue: {H100}"
    assert over_unknown.bandwidth[0, 1] == 25
    assert np.isnan(over_unknown.bandwidth[0, 2])
    assert over_unknown.source == f"annotation {names.LINKS}; some pairs unknown"


@pytest.mark.parametrize("spelled", ["0000:10:00.0", "00000000:10:00.0", "10:00.0"])
def test_bus_ids_are_equal_however_they_are_spelled(spelled):
    assert linked(learn(annotated({"pairs": [[spelled, bus(1).upper(), 50]], "default": 0}), gpus(2)).layout)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not JSON"),
        ('{"default": NaN}', "NaN is not a JSON number"),
        ("[" * 100_000, "is not JSON"),
        ("7", "holds int"),
        ({"links": []}, "holds links"),
        ({"pairs": {}}, "pairs is not a list"),
        ({"pairs": [["gpu-0", "gpu-1"]]}, r"pairs\[0\] is not two device names and a number"),
        ({"pairs": [["gpu-0", 1, 300]]}, r"pairs\[0\] is not"),
        ({"pairs": [["gpu-0", "gpu-1", -1]]}, r"pairs\[0\]: '-1' is not a speed"),
        ({"pairs": [["gpu-0", "gpu-1", True]]}, "'True' is not a speed"),
        ('{"pairs": [["gpu-0", "gpu-1", 1e999]]}', "'inf' is not a speed"),
        ({"default": "fast"}, "default: 'fast' is not a speed"),
        ({"pairs": [["gpu-0", "gpu-9", 300]]}, "no device 'gpu-9'"),
        ({"pairs": [["gpu-0", "0000:ff:00.0", 300]]}, "no device '0000:ff:00.0'"),
        ({"pairs": [["gpu-0", bus(0), 300]]}, "is one device"),
        ({"pairs": [["gpu-0", "gpu-1", 300], ["gpu-1", "gpu-0", 25]]}, "two speeds, 300 and 25"),
    ],
)
def test_an_annotation_that_cannot_be_used_is_named_and_put_aside_whole(text, problem):
    devices = gpus(8)

    learned = learn(annotated(text), devices)

    assert learned.layout == learn(node("n7"), devices).layout
    (warning,) = learned.warnings
    assert warning.startswith(f"node n7, annotation {names.LINKS}: ")
    assert re.search(problem, warning)


def test_a_pair_may_be_listed_in_both_directions_when_they_agree():
    learned = learn(annotated({"pairs": [["gpu-0", "gpu-1", 50], ["gpu-1", "gpu-0", 50]], "default": 0}), gpus(2))

    assert (linked(learned.layout), learned.warnings) == ({(0, 1): 50}, ())


def test_one_name_used_by_two_drivers_must_be_written_with_its_driver():
    devices = [gpu(0), gpu(1), gpu(0, "AMD_Instinct_MI300X_OAM", "gpu.amd.com", type="amdgpu")]

    vague = learn(annotated({"pairs": [["gpu-0", "gpu-1", 50]]}), devices)
    exact = learn(annotated({"pairs": [[f"{NVIDIA}/gpu-0", "gpu-1", 50]], "default": 0}), devices)

    assert f"write {NVIDIA}/gpu-0 or gpu.amd.com/gpu-0" in vague.warnings[0]
    assert linked(exact.layout) == {(0, 1): 50}


def test_a_bus_id_names_the_whole_gpu_and_is_skipped_while_that_gpu_is_cut_up():
    mig = NVIDIA, device("gpu-0-mig-1g5gb-19-0", {"type": "mig", STANDARD + "pciBusID": bus(0), "productName": H100})
    vfio = NVIDIA, device("gpu-vfio-1", {"type": "vfio", STANDARD + "pciBusID": bus(1)})
    text = {"pairs": [[bus(0), bus(1), 300], [bus(1), bus(2), 56]], "default": 0}

    learned = learn(annotated(text), [mig, gpu(1), vfio, gpu(2)])

    assert learned.warnings == ()
    assert linked(learned.layout) == {(1, 3): 56}


def test_the_catalogue_numbers_gpus_by_bus_id_and_by_natural_name_order_without():
    dgx1 = "Tesla V100-SXM2-16GB"
    shuffled = [gpu(i, dgx1) for i in (7, 3, 0, 5, 1, 2, 6, 4)]
    nameless = [(NVIDIA, device(f"gpu-{i}", {"type": "gpu", "productName": dgx1})) for i in (10, 11, 12, 4, 5, 6, 8, 9)]

    by_bus = learn(node(), shuffled).layout
    by_name = learn(node(), nameless).layout

    assert by_bus.bandwidth[2, 1] == 50  # 0-3
    assert by_bus.bandwidth[2, 4] == 25  # 0-1
    assert by_bus.bandwidth[2, 0] == 0  # 0-7
    assert by_name.bandwidth[3, 7] == 50  # gpu-4 is number 0, gpu-9 number 4
    assert by_name.bandwidth[3, 4] == 25  # gpu-5 is number 1
    assert by_name.bandwidth[3, 0] == 0  # gpu-10 is number 5


def test_bridged_products_stay_unknown_and_say_why():
    learned = learn(node(), gpus(8, A100_PCIE))

    assert np.isnan(learned.layout.bandwidth[~np.eye(8, dtype=bool)]).all()
    assert learned.layout.source == f"unknown: {A100_PCIE}, bridges differ from box to box"
    assert learned.warnings == ()


def test_a_product_that_nobody_knows_stays_unknown():
    layout = learn(node(), gpus(2, "Flux Capacitor")).layout

    assert np.isnan(layout.bandwidth[0, 1])
    assert layout.source == "unknown"


def test_gpus_of_two_known_products_share_no_link():
    layout = learn(node(), [*gpus(8), *(gpu(i, "NVIDIA L4") for i in range(8, 10))]).layout

    assert layout.bandwidth[0, 7] == 450
    assert (layout.bandwidth[:8, 8:] == 0).all()
    assert layout.source == f"catalogue: {H100}; catalogue: NVIDIA L4"


def test_whole_gpus_beside_cut_ones_still_count_as_a_board_of_eight():
    cut = [
        (
            NVIDIA,
            device(f"gpu-{i}-mig-3g40gb-9-{at}", {"type": "mig", "productName": H100, STANDARD + "pciBusID": bus(i)}),
        )
        for i in (2, 3, 4, 5, 6, 7)
        for at in (0, 4)
    ]

    layout = learn(node(), [*gpus(2), *cut]).layout

    assert linked(layout) == {(0, 1): 450}
    assert not np.isnan(layout.bandwidth).any()


def test_mig_devices_alone_have_no_links_and_say_so():
    devices = [(NVIDIA, device(f"m{i}", {"type": "mig", "productName": H100})) for i in range(3)]

    layout = learn(node(), devices).layout

    assert (layout.bandwidth == 0).all()
    assert layout.source == "driver attributes: MIG devices have no direct links"


def test_passthrough_devices_are_not_in_the_catalogue():
    layout = learn(node(), gpus(8, type="vfio")).layout

    assert np.isnan(layout.bandwidth[0, 1])


def test_gpus_of_one_fabric_partition_are_linked_at_their_products_speed():
    pairs = [gpu(i, partition2=i // 2, partition1=i, gpuModuleID=i + 1) for i in range(4)]

    layout = learn(node(), pairs).layout

    assert linked(layout) == {(0, 1): 450, (2, 3): 450}
    assert layout.bandwidth[0, 2] == 0
    assert layout.source == f"driver attributes: partition2; speed of {H100}"


def test_any_shared_partition_links():
    layout = learn(node(), [gpu(i, partition2=i // 2, partition4=i // 4, partition8=0) for i in range(8)]).layout

    assert len(linked(layout)) == 28
    assert layout.source.startswith("driver attributes: partition2, partition4, partition8")


@pytest.mark.parametrize("spelling", ["gpuModuleID", "gpuModuleId"])
def test_partitions_that_contradict_themselves_are_put_aside(spelling):
    learned = learn(node("n7"), [gpu(i, partition2=0, **{spelling: 1}) for i in range(8)])

    assert learned.layout.source == f"catalogue: {H100}"
    assert "devices gpu-0 and gpu-1 have one gpuModuleID, 1" in learned.warnings[0]
    assert learned.warnings[0].startswith("node n7")


def test_partitions_without_a_known_speed_say_nothing():
    assert learn(node(), [gpu(i, "Flux Capacitor", partition2=0) for i in range(2)]).layout.source == "unknown"


@pytest.mark.parametrize(
    ("driver", "attribute"),
    [
        (NVIDIA, "resource.kubernetes.io/numaNode"),
        ("gpu.amd.com", "numaNode"),
        ("gpu.amd.com", "gpu.amd.com/numaNode"),
        ("dra.net", "dra.net/numaNode"),
        ("dra.net", "numaNode"),
        ("sriovnetwork.k8snetworkplumbingwg.io", "dra.net/numaNode"),
        ("dra.cpu", "dra.cpu/numaNodeID"),
        ("dra.cpu", "numaNodeID"),
        ("dra.memory", "numaNode"),
    ],
)
def test_numa_is_read_in_every_spelling(driver, attribute):
    devices = [(driver, device(f"d{i}", {attribute: value})) for i, value in enumerate([3, 0, 3, -1, "3", True])]

    assert learn(node(), devices).layout.numa.tolist() == [0, 1, 0, -1, -1, -1]


def test_attributes_that_an_admin_names_count_before_those_that_are_known():
    further = Spellings(numa=("a.example/socket", "b.example/node"), pcie=("a.example/root",))
    own = {"socket": 1, "root": "r0"}
    devices = [
        ("a.example", device("d0", own)),
        ("a.example", device("d1", {**own, "resource.kubernetes.io/pcieRoot": "pci0000:10"})),
        ("b.example", device("d2", {"node": 1, "a.example/root": "r1", "root": "r0"})),
        ("b.example", device("d3", {"numaNode": 0})),
    ]

    known, told = learn(node(), devices), learn(node(), devices, further=further)

    assert known.layout.numa.tolist() == [-1, -1, -1, 0]
    assert told.layout.numa.tolist() == [0, 0, 0, 1]
    assert told.layout.pcie.tolist() == [0, 0, 1, -1]
    assert told.warnings == ()


def test_an_engine_places_by_attributes_that_an_admin_names():
    devices = [device(f"gpu-{i}", {"a.example/socket": i % 2}) for i in range(4)]
    objects = node("n1"), slice_of(devices, node="n1"), claim("c", count=2), pod("p", claims=["c"])

    plain = Hands(*objects).settle()
    told = Hands(*objects, spellings=Spellings(numa=("a.example/socket",))).settle()

    assert plain.devices_of("c") == ["gpu-0", "gpu-1"]
    assert told.devices_of("c") == ["gpu-0", "gpu-2"]


def test_an_attribute_that_an_admin_names_and_that_is_contradicted_counts_with_a_warning():
    devices = [("a.example", device("d0", {"socket": 1, "numaNode": 0}))]

    (warning,) = learn(node("n7"), devices, further=Spellings(numa=("a.example/socket",))).warnings

    assert "a.example/socket 1 and a.example/numaNode 0" in warning


@pytest.mark.parametrize(
    ("driver", "attribute"),
    [
        (NVIDIA, "resource.kubernetes.io/pcieRoot"),
        ("gaudi.intel.com", "pcieRoot"),
        ("gpu.intel.com", "pciRoot"),
    ],
)
def test_pcie_roots_are_read_in_every_spelling(driver, attribute):
    devices = [(driver, device(f"d{i}", {attribute: value})) for i, value in enumerate(["pci0000:10", "pci0000:20", 5])]

    assert learn(node(), devices).layout.pcie.tolist() == [0, 1, -1]


def test_places_are_shared_between_drivers():
    nic = "dra.net", device("pci-0000-10-1b-0", {STANDARD + "pcieRoot": "pci0000:10", "numaNode": 0})
    own = gpu(0, **{STANDARD + "pcieRoot": "pci0000:10", STANDARD + "numaNode": 0})

    layout = learn(node(), [own, nic]).layout

    assert layout.pcie.tolist() == [0, 0]
    assert layout.numa.tolist() == [0, 0]


def test_nics_have_no_links_and_are_marked_so():
    layout = learn(node(), [*gpus(8), ("dra.net", device("nic-0")), ("dra.cpu", device("cpudevnuma000"))]).layout

    assert layout.linkable.tolist() == [True] * 8 + [False] * 2
    assert (layout.bandwidth[:, 8:] == 0).all()
    assert layout.source == f"catalogue: {H100}"


@pytest.mark.parametrize("devices", [[], gpus(1), [("dra.net", device("nic-0")), ("dra.net", device("nic-1"))]])
def test_fewer_than_two_accelerators_have_nothing_to_link(devices):
    assert learn(node(), devices).layout.source == "nothing to link"


def test_equal_boxes_have_equal_layouts_whatever_the_node_is_called():
    assert learn(node("a"), gpus(8)).layout == learn(node("b"), gpus(8)).layout
    assert learn(node("a"), gpus(8)).layout != learn(node("a"), gpus(8, "NVIDIA L4")).layout


values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(["gpu-0", "gpu-1"])
)
documents = st.recursive(values, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
    st.sampled_from(["pairs", "default", "x"]), inner, max_size=3), max_leaves=20)  # fmt: skip
attributes = st.dictionaries(
    st.sampled_from(["type", "uuid", "productName", "partition2", "gpuModuleID", "numaNode", STANDARD + "pciBusID",
                     STANDARD + "pcieRoot"]),
    st.booleans() | st.integers(-2, 3) | st.just(Version("1.0.0")) | st.sampled_from(["gpu", "mig", H100, bus(1)]),
)  # fmt: skip


@given(
    documents.map(json.dumps) | st.text(),
    st.lists(st.tuples(st.sampled_from([NVIDIA, "dra.net", "x"]), attributes), max_size=6),
)
@settings(max_examples=300, deadline=None)
def test_whatever_is_written_learning_gives_a_symmetric_layout(text, described):
    devices = [(driver, device(f"gpu-{i}", found)) for i, (driver, found) in enumerate(described)]

    layout = learn(annotated(text), devices).layout

    assert np.array_equal(layout.bandwidth, layout.bandwidth.T, equal_nan=True)
    assert (np.diag(layout.bandwidth) == 0).all()
    assert layout.source
