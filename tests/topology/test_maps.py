"""The ConfigMap dovetail-topology: what it may say, what is wrong with it, and that a change is learned at once."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.cluster import decode
from scheduler.core import names
from scheduler.core.errors import DecodeError, TopologyError
from scheduler.core.messages import Gone, RecordDecision, Rejected, Seen, WarnOfTopology
from scheduler.core.model import Uid
from scheduler.core.topology import learn
from scheduler.core.topology.maps import link_map
from scheduler.simulator.fleet import device_classes, fleet
from scheduler.simulator.maps import node_maps
from scheduler.simulator.objects import parse
from scheduler.simulator.run import simulate
from tests.build import claim, device, device_class, node, pod, request, slice_of
from tests.driving import Hands
from tests.topology.boxes import A100_PCIE, H100, NVIDIA, bus, gpus, linked

HEADER = {"apiVersion": names.CONFIG_API_VERSION, "kind": "Topology"}
WHERE = "ConfigMap dovetail-system/dovetail-topology"
MIXED = [[0, 0, 300, 0], [0, 0, 0, 300], [300, 0, 0, 0], [0, 300, 0, 0]]


def told(*boxes, **header):
    return link_map("dovetail-topology", Uid("u"), {**HEADER, "boxes": list(boxes), **header})


def about(name="n7", **says):
    return {"match": {"node": name}, **says}


def taught(entry, devices=None, where=None):
    return learn(where or node("n7"), devices or gpus(4, A100_PCIE), told(entry))


# ---------------------------------------------------------------- what it may say


def test_a_matrix_is_for_the_gpus_in_the_order_of_their_bus_ids():
    shuffled = [gpus(4, A100_PCIE)[i] for i in (2, 0, 3, 1)]

    learned = taught(about(matrix=MIXED), shuffled)

    assert linked(learned.layout) == {(0, 1): 300, (2, 3): 300}  # 2-0 and 3-1
    assert learned.layout.source == "ConfigMap dovetail-topology boxes[0]"
    assert learned.warnings == ()


@pytest.mark.parametrize(
    "keys", [[bus(i) for i in range(4)], [f"GPU-{i}" for i in range(4)], [f"gpu-{i}" for i in range(4)]]
)
def test_a_matrix_may_name_its_devices_by_bus_id_uuid_or_name(keys):
    reordered = [keys[i] for i in (0, 2, 1, 3)]
    matrix = [[0, 300, 0, 0], [300, 0, 0, 0], [0, 0, 0, 300], [0, 0, 300, 0]]

    assert linked(taught(about(devices=reordered, matrix=matrix)).layout) == {(0, 2): 300, (1, 3): 300}


def test_links_may_be_counted_instead_of_gigabytes():
    entry = about(pairs=[["gpu-0", "gpu-1", 12]], default=0, gbpsPerLink=25)

    assert linked(taught(entry).layout) == {(0, 1): 300}


def test_a_box_of_the_catalogue_may_be_named():
    learned = taught(about(box="a100-pcie-bridged"), gpus(8, A100_PCIE))

    assert linked(learned.layout) == {(0, 2): 300, (1, 3): 300, (4, 5): 300, (6, 7): 300}
    assert learned.layout.source == "ConfigMap dovetail-topology boxes[0]: box a100-pcie-bridged"


def test_pairs_that_it_leaves_open_are_left_to_the_next_source():
    mixed = [*gpus(2, A100_PCIE), *gpus(8, H100, first=2)]

    layout = taught(about(pairs=[["gpu-0", "gpu-1", 300]]), mixed).layout

    assert layout.bandwidth[0, 1] == 300
    assert layout.bandwidth[2, 9] == 450
    assert layout.source == f"ConfigMap dovetail-topology boxes[0]; catalogue: {H100}"


def test_numa_nodes_switches_and_rails_are_told_for_any_device():
    nics = [("dra.net", device(f"nic-{i}", {"numaNode": 0})) for i in range(2)]
    entry = about(
        numa={"gpu-0": 0, "gpu-1": 1},
        switches={"sw0": ["gpu-0", "nic-0"]},
        rails={"1": ["gpu-1", "nic-1"]},
    )

    layout = taught(entry, [*gpus(2, A100_PCIE), *nics]).layout

    assert layout.numa.tolist() == [0, 1, 0, 0]
    assert layout.nearness[0].tolist() == [0, 0, 3, 1]
    assert layout.nearness[1].tolist() == [0, 0, 0, 4]


def test_a_gpu_that_is_cut_up_keeps_its_row_of_the_matrix():
    mig = NVIDIA, device("gpu-1-mig-1g5gb-19-0", {"type": "mig", "resource.kubernetes.io/pciBusID": bus(1)})
    whole = gpus(4, A100_PCIE)

    learned = taught(about(matrix=MIXED), [whole[0], mig, whole[2], whole[3]])

    assert linked(learned.layout) == {(0, 2): 300}
    assert learned.warnings == ()


# ---------------------------------------------------------------- which entry counts


def test_a_node_counts_before_labels_and_labels_before_a_product():
    by_product = {"match": {"productName": "nvidia-a100-pcie-40gb", "count": 4}, "default": 1}
    by_label = {"match": {"nodeSelector": {"pool": "a"}}, "default": 2}
    links = told(by_product, by_label, about("n7", default=3))

    def speed(where, count=4):
        return learn(where, gpus(count, A100_PCIE), links).layout.bandwidth[0, 1]

    assert speed(node("n7", labels={"pool": "a"})) == 3
    assert speed(node("n8", labels={"pool": "a"})) == 2
    assert speed(node("n9")) == 1
    assert np.isnan(speed(node("n9"), 3))


def test_two_selectors_that_mean_one_node_are_a_warning_and_the_first_counts():
    links = told(
        {"match": {"nodeSelector": {"pool": "a"}}, "default": 1},
        {"match": {"nodeSelector": {"zone": "b"}}, "default": 2},
    )

    learned = learn(node("n7", labels={"pool": "a", "zone": "b"}), gpus(4, A100_PCIE), links)

    assert learned.layout.bandwidth[0, 1] == 1
    (warning,) = learned.warnings
    assert warning.startswith(f"{WHERE}, boxes[0]: node n7 is meant by ConfigMap dovetail-topology boxes[1] as well")


def test_it_counts_before_the_annotation_and_both_are_named_where_they_disagree():
    where = node("n7", annotations={names.LINKS: json.dumps({"pairs": [["gpu-0", "gpu-1", 300]], "default": 0})})

    learned = learn(where, gpus(4, A100_PCIE), told(about(pairs=[["gpu-0", "gpu-2", 300]], default=0)))

    assert linked(learned.layout) == {(0, 2): 300}
    (warning,) = learned.warnings
    assert warning == (
        f"node n7: ConfigMap dovetail-topology boxes[0] says 0 GB/s between gpu-0 and gpu-1, annotation {names.LINKS} "
        "says 300, and so for 1 more pairs; the former counts: correct the one that is wrong"
    )


# ---------------------------------------------------------------- what is wrong with it


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        ({"matrix": [[0, 300], [25, 0]]}, r"matrix\[0\]\[1\] is 300 and matrix\[1\]\[0\] is 25; links are symmetric"),
        ({"matrix": [[0, 300], [300]]}, r"matrix\[1\] has 1 numbers, not 2; give one row and one column a device"),
        ({"matrix": [[0]], "devices": ["a", "b"]}, "matrix has 1 rows for 2 devices"),
        ({"matrix": [["x", 300], [300, 0]]}, r"matrix\[0\]\[0\]: 'x' is not a speed"),
        ({"matrix": [[0] * 300] * 300}, "matrix has 300 entries, more than 256; no machine has so many"),
        ({"pairs": [["a", "b", float("nan")]]}, r"pairs\[0\]: 'nan' is not a speed; give GB/s from 0 to 1e\+06"),
        ({"pairs": [["a", "b", -1]]}, "'-1' is not a speed"),
        ({"pairs": [["a", "b", 1e300]]}, r"'1e\+300' is not a speed"),
        ({"pairs": [["a", "b", 10**5000]]}, "a huge number is not a speed"),
        ({"pairs": [["a", "b"]]}, r"pairs\[0\] is not two device names and a number"),
        ({"pairs": [[["a"] * 9, "b", 1]]}, r"pairs\[0\] is not two device names"),
        ({"default": "fast"}, "default: 'fast' is not a speed"),
        ({"devices": ["a", "a"], "matrix": [[0, 1], [1, 0]]}, "devices names a twice"),
        ({"devices": [7], "matrix": [[0]]}, r"devices\[0\]: '7' is not a device name"),
        ({"numa": {"gpu-0": -1}}, "numa of gpu-0: '-1' is not a NUMA node"),
        ({"switches": {"a": ["gpu-0"], "b": ["gpu-0"]}}, "switches: gpu-0 is in a and in b"),
        ({"box": "dgx-9"}, "box 'dgx-9' is not known; known are dgx-a100, "),
        ({"box": "dgx-a100", "default": 0}, "gives both box and default"),
        ({"speed": 7}, "'speed' is not a known key; known are match, pairs"),
        ({}, "says nothing"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named_and_the_others_stay(says, problem):
    links = told(about("n1", **says), about("n2", default=0))

    (found,) = links.problems
    assert found.startswith(f"{WHERE}, boxes[0]: ")
    assert re.search(problem, found)
    assert [each.match.node for each in links.entries] == ["n2"]


@pytest.mark.parametrize(
    "match",
    [
        None, [], "n1", {}, {"node": ""}, {"node": 7}, {"nodes": "a"}, {"node": "a", "nodeSelector": {"b": "c"}},
        {"nodeSelector": {}}, {"nodeSelector": {"a": True}}, {"productName": "a"}, {"productName": "a", "count": 0},
        {"productName": "a", "count": True}, {"productName": " ", "count": 1},
    ],
)  # fmt: skip
def test_an_entry_must_say_which_nodes_it_is_about(match):
    links = told({"match": match, "default": 0})

    assert not links.entries
    assert links.problems[0].startswith(f"{WHERE}, boxes[0]: ")


def test_two_entries_about_the_same_nodes_are_one_too_many():
    links = told(about("n1", default=0), about("n1", default=1))

    assert links.problems == (f"{WHERE}, boxes[1]: is about the same nodes as {WHERE}, boxes[0]; keep one",)


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        (
            {"pairs": [["gpu-0", "gpu-9", 300]]},
            "node n7 has no device 'gpu-9'; name devices by PCI bus id, uuid or name",
        ),
        ({"devices": ["gpu-0", "GPU-0"], "matrix": [[0, 1], [1, 0]]}, "devices names one device twice"),
        ({"matrix": [[0, 1], [1, 0]]}, "matrix is for 2 devices, and node n7 has 4 GPUs; give one row a GPU"),
        ({"box": "dgx-a100"}, "matrix is for 8 devices, and node n7 has 4 GPUs"),
        ({"pairs": [["gpu-0", "gpu-1", 1], ["gpu-1", "gpu-0", 2]]}, "has two speeds, 1 and 2 GB/s"),
        ({"pairs": [["gpu-0", bus(0), 1]]}, "is one device"),
    ],
)
def test_an_entry_that_does_not_fit_its_node_is_put_aside_whole(says, problem):
    learned = taught(about(**says))

    assert learned.layout == learn(node("n7"), gpus(4, A100_PCIE)).layout
    (warning,) = learned.warnings
    assert warning.startswith(f"{WHERE}, boxes[0]: ")
    assert problem in warning


def test_places_of_a_device_that_is_not_there_are_put_aside_and_links_stay():
    learned = taught(about(default=56, numa={"gpu-9": 0}))

    assert learned.layout.bandwidth[0, 1] == 56
    assert learned.layout.numa.tolist() == [-1] * 4
    assert "node n7 has no device 'gpu-9'" in learned.warnings[0]


def test_another_numa_node_than_the_drivers_is_a_warning_that_names_both():
    learned = taught(about(numa={"gpu-0": 1}), gpus(2, A100_PCIE, numaNode=0))

    assert learned.layout.numa.tolist() == [0, 1]  # numbered by first appearance: node 1, then node 0
    assert learned.warnings == (
        f"node n7: ConfigMap dovetail-topology boxes[0] puts gpu-0 on NUMA node 1, driver {NVIDIA} on 0; the former "
        "counts: correct the one that is wrong",
    )


@pytest.mark.parametrize(
    "content", ["text", 7, [], {}, {"kind": "Topology"}, {**HEADER, "box": []}, {**HEADER, "boxes": 7}]
)
def test_a_document_that_is_no_topology_is_refused(content):
    with pytest.raises(TopologyError, match=f"^{WHERE}, key topology.yaml: "):
        link_map("dovetail-topology", Uid("u"), content)


values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["gpu-0", "gpu-1"])
)
keys = st.sampled_from(["match", "node", "pairs", "devices", "matrix", "default", "gbpsPerLink", "box", "numa",
                        "switches", "rails", "gpu-0", "nodeSelector", "productName", "count"])  # fmt: skip
trees = st.recursive(
    values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


@given(st.lists(trees | st.dictionaries(keys, trees).map(lambda each: {**each, "match": {"node": "n7"}}), max_size=3))
@settings(max_examples=300, deadline=None)
def test_whatever_it_says_learning_gives_a_symmetric_layout(boxes):
    layout = learn(node("n7"), gpus(2, A100_PCIE), told(*boxes)).layout

    assert np.array_equal(layout.bandwidth, layout.bandwidth.T, equal_nan=True)
    assert (np.diag(layout.bandwidth) == 0).all()


# ---------------------------------------------------------------- as an object of the cluster


def config_map(text, key="topology.yaml"):
    return {"metadata": {"name": "dovetail-topology", "namespace": "dovetail-system", "uid": "u"}, "data": {key: text}}


HEAD = f"apiVersion: {names.CONFIG_API_VERSION}\nkind: Topology\n"


def test_it_is_decoded_from_yaml():
    text = HEAD + "boxes:\n- match: {node: n7}\n  pairs: [['gpu-0', '0000:20:00.0', 300]]\n  default: 0\n"

    links = decode.decode("ConfigMap", config_map(text))

    assert linked(learn(node("n7"), gpus(4, A100_PCIE), links).layout) == {(0, 1): 300}


@pytest.mark.parametrize("raw", [config_map(""), config_map(HEAD), config_map("x", key="other")])
def test_an_empty_one_says_nothing(raw):
    assert decode.decode("ConfigMap", raw).entries == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not YAML"),
        ("[" * 200_000, "is nested more than 20 levels deep"),
        ("- " * 200_000, "is nested more than 20 levels deep"),
        ("a: &a [1]\nb: *a", "uses alias 'a': write it out"),
        ("? {a: b}\n: c", "has a key that is no text"),
        ("a: 1\nb: {c: 1, c: 2}", "b.c (line 2): is given twice"),
        ("a: " + "9" * 6000, "apiVersion is nothing"),
        ("#" * 600_000, "is longer than 524288 characters"),
        ("a: [!!python/object:os.system x]", "a.0 (line 1): has tag"),
        (HEAD + "boxes: 7", "boxes is not a list"),
        ("kind: Pod", "apiVersion is nothing"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused_with_its_place(text, problem):
    with pytest.raises(
        DecodeError, match=r"^ConfigMap dovetail-system/dovetail-topology: data\[topology.yaml\]: "
    ) as told:
        decode.decode("ConfigMap", config_map(text))

    assert problem in str(told.value)


# ---------------------------------------------------------------- alive


def links_of(hands, name):
    state = hands.engine.state
    hands.decide()
    return state.bays.layouts[int(state.bays.layout[state.nodes.rows[name]])]


def cluster(*more):
    boxes = [slice_of([each for _, each in gpus(4, A100_PCIE)], node=f"n{i}", driver=NVIDIA) for i in range(3)]
    return Hands(*(node(f"n{i}") for i in range(3)), *boxes, *more)


@pytest.mark.interpreted
def test_a_change_is_learned_at_once_by_the_nodes_concerned_and_no_others():
    hands = cluster(told(about("n0", matrix=MIXED)))
    first = links_of(hands, "n0")
    rebuilt = []
    learn_again = hands.engine.state._rebuild_bay
    hands.engine.state._rebuild_bay = lambda name, row: (rebuilt.append(name), learn_again(name, row))

    hands.see(told(about("n0", matrix=MIXED), about("n1", default=7)))
    changed = links_of(hands, "n1")
    hands.tell(Gone("ConfigMap", "dovetail-system/dovetail-topology", Uid("u")))
    gone = links_of(hands, "n0")

    assert linked(first) == {(0, 2): 300, (1, 3): 300}
    assert (changed.bandwidth[0, 1], changed.source) == (7, "ConfigMap dovetail-topology boxes[1]")
    assert rebuilt == ["n1", "n0", "n1"]
    assert np.isnan(gone.bandwidth[0, 1])


def test_an_entry_for_a_product_reaches_its_nodes_live():
    hands = cluster()
    before = links_of(hands, "n2").bandwidth[0, 1]

    hands.see(told({"match": {"productName": A100_PCIE, "count": 4}, "box": "a100-bridged-quad"}))

    assert np.isnan(before)
    assert linked(links_of(hands, "n2")) == {(0, 1): 300, (2, 3): 300}


def test_the_source_is_in_the_decision():
    hands = cluster(
        told({"match": {"productName": A100_PCIE, "count": 4}, "matrix": MIXED}),
        claim("c", request("r", count=2)), pod("p", claims=["c"]),
        device_class(driver=NVIDIA),
    ).settle()  # fmt: skip

    (record,) = hands.of(RecordDecision)
    assert record.decision.winner.links == "ConfigMap dovetail-topology boxes[0]"
    assert hands.devices_of("c") == ["gpu-0", "gpu-2"]


def test_levels_are_in_the_decision_with_the_labels_that_tell_them():
    labels = {"nvidia.com/gpu.clique": "u.1", "oci.oraclecloud.com/host.rack_id": "r7"}
    box = slice_of([each for _, each in gpus(4, "NVIDIA GB200")], node="n1", driver=NVIDIA)

    hands = Hands(node("n1", labels=labels), box, claim("c", request("r", count=2)), pod("p", claims=["c"]),
                  device_class(driver=NVIDIA)).settle()  # fmt: skip

    (record,) = hands.of(RecordDecision)
    assert record.decision.winner.links == (
        "label nvidia.com/gpu.clique; speed of NVIDIA GB200; in clique u.1 (label nvidia.com/gpu.clique), "
        "rack r7 (label oci.oraclecloud.com/host.rack_id)"
    )


def warnings(hands):
    return [warning for each in hands.of(WarnOfTopology) for warning in each.warnings]


def test_a_node_that_does_not_exist_is_a_warning_until_it_comes():
    hands = cluster(told(about("n9", default=0), about("n0", default=0)))
    hands.decide()
    at_first = warnings(hands)
    hands.see(node("n9"))
    hands.decide()

    assert at_first == [f"{WHERE}, boxes[0]: node n9 does not exist; correct the name, or remove the entry"]
    assert warnings(hands) == at_first
    assert hands.engine.state.link_warnings == {}


def test_a_warning_is_told_once_and_again_when_it_comes_back():
    good, bad = told(about("n0", default=0)), told(about("n0", pairs=[["gpu-0", "gpu-8", 1]]))
    hands = cluster(bad)
    hands.decide()
    hands.see(bad)
    hands.decide()
    once = len(warnings(hands))
    hands.see(good)
    hands.decide()
    hands.see(bad)
    hands.decide()

    assert once == 1
    assert len(warnings(hands)) == 2


def test_one_that_cannot_be_read_is_gone_with_a_warning_and_placement_goes_on():
    hands = cluster(told(about("n0", matrix=MIXED)))
    links_of(hands, "n0")

    hands.tell(Rejected("ConfigMap", "dovetail-system/dovetail-topology", Uid("u"), f"{WHERE}: data: is not YAML"))
    layout = links_of(hands, "n0")
    hands.tell(Seen(told(about("n0", matrix=MIXED))))

    assert np.isnan(layout.bandwidth[0, 1])
    assert warnings(hands) == [f"{WHERE}: data: is not YAML"]
    assert linked(links_of(hands, "n0")) == {(0, 2): 300, (1, 3): 300}


def test_a_simulation_reads_it_from_a_file_and_no_other_config_map():
    text = HEAD + "boxes:\n- match: {node: nowhere}\n  default: 0\n"
    ours = {"apiVersion": "v1", "kind": "ConfigMap", **config_map(text)}
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "labels": {"a": 7}}}
    objects = parse("x.json", "\n".join(map(json.dumps, [ours, other, *fleet({"dgx-h100": 1}), *device_classes()])))

    outcome = simulate(objects)

    assert outcome.skipped == {"ConfigMap": 1}
    assert outcome.warnings == {
        "": (f"{WHERE}, boxes[0]: node nowhere does not exist; correct the name, or remove the entry",)
    }


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (
            HEAD + "boxes:\n- match: {productName: NVIDIA A40, count: 8}\n  box: a40-bridged\n",
            "ConfigMap dovetail-topology",
        ),
        ("{", "unknown: NVIDIA A40"),
    ],
)
def test_the_device_map_of_a_simulation_knows_what_the_engine_knew(text, source):
    ours = {"apiVersion": "v1", "kind": "ConfigMap", **config_map(text)}
    box = [raw for raw in fleet({"a40-bridged": 1}) if raw["metadata"].pop("annotations", None) or True]
    outcome = simulate(parse("x.json", "\n".join(map(json.dumps, [ours, *box]))))

    (found,) = node_maps(outcome.objects)

    assert found.layout.source.startswith(source)
    assert bool(outcome.warnings) == (text == "{")
