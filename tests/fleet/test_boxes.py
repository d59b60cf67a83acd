"""Each of the 14 types of boxes, from its slices to what is learned of it; and GPUs that are cut on demand."""

import json
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from scheduler.cluster import decode
from scheduler.core.model import Claim
from scheduler.core.topology import learn
from scheduler.core.topology.labels import levels
from scheduler.simulator.fleet import BOXES, device_classes, fleet, mig, node, slices
from scheduler.simulator.objects import Found
from scheduler.simulator.run import Simulation
from scheduler.simulator.workloads import expand
from scoring.topology import boxes

HARDWARE = list(boxes.BOXES)


def learned(box, *, nics=False):
    """Through the whole path: objects of the API, decoded, learned."""
    parts = [decode.decode("ResourceSlice", with_uid(raw)) for raw in slices(box, "n1", nics=nics)]
    owner = decode.decode("Node", with_uid(node(box, "n1")))
    return learn(owner, [(part.driver, device) for part in parts for device in part.devices])


def with_uid(raw):
    return {**raw, "metadata": {"uid": "u", "resourceVersion": "1", **raw["metadata"]}}


def together(numbers):
    """Which positions share a number, whatever the number is."""
    return {(i, j) for i, j in combinations(range(len(numbers)), 2) if numbers[i] == numbers[j]}


# ---------------------------------------------------------------- every type


def test_all_fourteen_types_are_there_and_can_be_made():
    assert {box.type for box in boxes.BOXES.values()} == set(range(1, 15))
    assert boxes.BOXES.keys() <= BOXES.keys()


@pytest.mark.parametrize("name", HARDWARE)
def test_links_and_places_of_a_box_are_learned_as_its_source_has_them(name):
    box, found = boxes.BOXES[name], learned(name)

    assert found.warnings == ()
    assert np.array_equal(found.layout.bandwidth, box.links)
    assert together(found.layout.numa.tolist()) == together([seat.numa for seat in box.gpus])
    assert together(found.layout.pcie.tolist()) == together([seat.root for seat in box.gpus])


@pytest.mark.parametrize("name", HARDWARE)
def test_matrices_are_symmetric_and_their_gpus_in_the_order_of_their_bus_ids(name):
    box = boxes.BOXES[name]

    assert np.array_equal(box.links, box.links.T)
    assert (np.diag(box.links) == 0).all()
    addresses = [seat.bus for seat in box.gpus]
    assert addresses == sorted(addresses)
    assert len({*addresses, *(seat.bus for seat in box.nics)}) == len(addresses) + len(box.nics)


@pytest.mark.parametrize("name", [name for name in HARDWARE if not boxes.BOXES[name].told])
def test_without_the_annotation_links_of_bridged_boxes_stay_unknown(name):
    raw = node(name, "n1", links=False)
    parts = [decode.decode("ResourceSlice", with_uid(each)) for each in slices(name, "n1")]

    layout = learn(decode.decode("Node", with_uid(raw)), [(p.driver, d) for p in parts for d in p.devices]).layout

    assert np.isnan(layout.bandwidth[0, 1])
    assert layout.source.startswith("unknown: ")


# ---------------------------------------------------------------- the DGX-1, and what follows from its matrix

DGX1 = boxes.BOXES["dgx1-v100"].links


def test_the_dgx1_has_eight_double_eight_single_and_twelve_missing_links():
    pairs = Counter(float(DGX1[i, j]) for i, j in combinations(range(8), 2))

    assert pairs == {50: 8, 25: 8, 0: 12}


def test_the_best_quads_of_the_dgx1_are_its_two_halves():
    def links(quad):
        found = [DGX1[i, j] / 25 for i, j in combinations(quad, 2)]
        return min(found), sum(found)

    ranked = sorted(combinations(range(8), 4), key=links, reverse=True)

    assert ranked[:2] == [(0, 1, 2, 3), (4, 5, 6, 7)] or ranked[:2] == [(4, 5, 6, 7), (0, 1, 2, 3)]
    assert links(ranked[0]) == links(ranked[1]) == (1, 9)
    assert links(ranked[2]) < (1, 9)


def test_the_dgx1_has_one_partition_into_double_pairs_that_stay_in_their_socket():
    def matchings(left):
        if not left:
            yield ()
            return
        first, *others = left
        for other in others:
            if DGX1[first, other] == 50 and first // 4 == other // 4:
                rest = [each for each in others if each != other]
                yield from (((first, other), *more) for more in matchings(rest))

    assert list(matchings(list(range(8)))) == [((0, 3), (1, 2), (4, 7), (5, 6))]


def test_first_fit_takes_a_single_link_of_the_dgx1_and_none_of_the_bridged_box():
    assert DGX1[0, 1] == 25
    assert boxes.BOXES["a100-pcie-bridged"].links[0, 1] == 0
    assert boxes.BOXES["a100-bridged-quad"].links[1, 2] == 0


# ---------------------------------------------------------------- network cards

WITH_NICS = [name for name in HARDWARE if boxes.BOXES[name].nics]


@pytest.mark.parametrize("name", WITH_NICS)
def test_cards_are_published_where_the_source_has_them(name):
    box, layout = boxes.BOXES[name], learned(name, nics=True).layout
    count = len(box.gpus)

    assert layout.size == count + len(box.nics)
    assert layout.linkable.tolist() == [True] * count + [False] * len(box.nics)
    for at, nic in enumerate(box.nics, count):
        for i, gpu in enumerate(box.gpus):
            expected = 2 if nic.root and nic.root == gpu.root else 1 if nic.numa == gpu.numa else 0
            assert layout.nearness[i, at] == expected, (nic, gpu)


@pytest.mark.parametrize(("name", "count"), [("dgx-h100", 8), ("dgx-h200", 8), ("h100-quad", 4), ("mi300x", 8)])
def test_boxes_with_a_card_for_each_gpu_have_one_behind_each_root(name, count):
    nearness = learned(name, nics=True).layout.nearness[:count, count:]

    assert (nearness == 2).sum(axis=1).tolist() == [1] * count


@pytest.mark.parametrize("name", ["nvl72", "gb300-nvl72"])
def test_on_grace_no_card_shares_a_root_with_a_gpu_and_numa_is_all_there_is(name):
    nearness = learned(name, nics=True).layout.nearness[:4, 4:]

    assert nearness.max() == 1


def test_cards_are_there_only_on_demand():
    plain = fleet({"dgx-h100": 2, "nvl72": 1})

    assert {raw["spec"]["driver"] for raw in plain if raw["kind"] == "ResourceSlice"} == {"gpu.nvidia.com"}
    more = [raw for raw in fleet({"dgx-h100": 2, "nvl72": 1}, nics=True) if raw["kind"] == "ResourceSlice"]
    assert Counter(raw["spec"]["driver"] for raw in more) == {"gpu.nvidia.com": 20, "dra.net": 20}


def test_a_rack_is_one_clique_and_says_so():
    cliques = {
        levels(raw["metadata"]["labels"]).values
        for raw in fleet({"gb300-nvl72": 1, "nvl72": 1})
        if raw["kind"] == "Node"
    }

    assert len(cliques) == 2
    assert learned("nvl72").layout.source == "label nvidia.com/gpu.clique; speed of NVIDIA GB200"


# ---------------------------------------------------------------- partitions of the fabric


def test_partitions_of_the_fabric_link_all_gpus_of_the_box():
    found = learned("dgx-h100-partitions").layout

    assert np.array_equal(found.bandwidth, boxes.BOXES["dgx-h100"].links)
    assert found.source.startswith("driver attributes: partition2, partition4, partition8")


# ---------------------------------------------------------------- MIG on demand

DYNAMIC = {name: box for name, box in BOXES.items() if box.table and not box.cut}


@pytest.mark.parametrize("table", mig.TABLES)
def test_profiles_keep_within_the_gpu(table):
    whole = mig.TABLES[table][-1]

    assert (whole.size, whole.compute, whole.starts) == (8, 7, (0,))
    for part in mig.TABLES[table]:
        assert all(start + part.size <= mig.SLICES for start in part.starts)
        assert part.memory * (8 // part.size) <= whole.memory
    assert [len(part.starts) for part in mig.TABLES[table]] == [7, 7, 4, 3, 2, 1, 1]


@pytest.mark.parametrize("box", DYNAMIC)
def test_every_part_draws_what_it_has_from_its_own_gpu_and_no_more_than_there_is(box):
    first, *others = slices(box, "n1")
    sets = {each["name"]: each["counters"] for each in first["spec"]["sharedCounters"]}

    assert len(others) == len(sets) == 8
    for i, part in enumerate(others):
        whole, *cut = part["spec"]["devices"]
        assert whole["name"] == f"gpu-{i}"
        assert whole["consumesCounters"] == [
            {"counterSet": f"gpu-{i}-counter-set", "counters": sets[f"gpu-{i}-counter-set"]}
        ]
        assert len(cut) == 25
        for device in cut:
            (use,) = device["consumesCounters"]
            assert use["counterSet"] == f"gpu-{i}-counter-set"
            assert use["counters"].keys() <= sets[use["counterSet"]].keys()
            taken = {name.replace("memorySlice", "memory-slice-") for name in device["capacity"] if "Slice" in name}
            assert taken == {name for name in use["counters"] if name.startswith("memory-slice-")}


def test_names_of_parts_are_those_of_the_driver():
    names = [each["name"] for each in slices("dgx-a100-dynamic-mig", "n1")[1]["spec"]["devices"]]

    assert {
        "gpu-0",
        "gpu-0-mig-1g5gb-19-0",
        "gpu-0-mig-1g5gb-19-6",
        "gpu-0-mig-3g20gb-9-4",
        "gpu-0-mig-7g40gb-0-0",
    } <= set(names)


def one_gpu(box):
    """The node with its first GPU alone."""
    counters, first, *_ = slices(box, "n1")
    parts = [{**counters["spec"], "sharedCounters": counters["spec"]["sharedCounters"][:1]}, first["spec"]]
    for part in parts:
        part["pool"] = {**part["pool"], "resourceSliceCount": 2}
    named = zip((counters, first), parts, strict=True)
    return [node(box, "n1"), *({**raw, "spec": spec} for raw, spec in named), *device_classes()]


def wanting(profile, number):
    selector = f"device.attributes['gpu.nvidia.com'].profile == '{profile}'"
    request = {
        "name": "r",
        "exactly": {"deviceClassName": "mig.nvidia.com", "selectors": [{"cel": {"expression": selector}}]},
    }
    meta = {"name": f"p{number}", "namespace": "default"}
    claim = {
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": meta,
        "spec": {"devices": {"requests": [request]}},
    }  # fmt: skip
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": meta,
        "spec": {
            "schedulerName": "dovetail", "containers": [{"name": "c", "image": "i"}],
            "resourceClaims": [{"name": "r", "resourceClaimName": f"p{number}"}],
        },
    }  # fmt: skip
    return [claim, pod]


@pytest.mark.parametrize(
    ("box", "wanted", "fit"),
    [
        ("dgx-a100-dynamic-mig", ["1g.5gb"] * 8, 7),
        ("dgx-a100-dynamic-mig", ["1g.10gb"] * 5, 4),
        ("dgx-a100-dynamic-mig", ["2g.10gb"] * 4, 3),
        ("dgx-a100-dynamic-mig", ["3g.20gb"] * 3, 2),
        ("dgx-a100-80-dynamic-mig", ["4g.40gb", "3g.40gb", "1g.10gb"], 2),
        ("dgx-h100-dynamic-mig", ["1g.10gb+me"] * 2, 1),
        ("dgx-h200-dynamic-mig", ["7g.141gb", "1g.18gb"], 1),
    ],
)
def test_as_many_parts_of_a_gpu_are_given_as_it_can_be_cut_into(box, wanted, fit):
    objects = one_gpu(box) + [raw for number, profile in enumerate(wanted) for raw in wanting(profile, number)]

    simulation = Simulation([each.raw for each in expand([Found(raw, "") for raw in json.loads(json.dumps(objects))])])
    simulation.settle()

    claims = [decode.decode("ResourceClaim", raw) for raw in simulation.api.all("ResourceClaim")]
    assert all(isinstance(each, Claim) for each in claims)
    assert sum(each.allocation is not None for each in claims) == fit
