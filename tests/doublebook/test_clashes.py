"""What claims hold beyond what there is: each rule by an example, and all of them against a brute force."""

import re
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.quantity import parse_quantity
from scheduler.doublebook.clashes import KINDS, clashes
from scheduler.doublebook.command import KINDS as READ
from scheduler.doublebook.command import cluster_of
from scheduler.readiness.snapshot import of_values
from tests.doublebook.build import claim, device, result, slice_of

ONE = "11111111-1111-1111-1111-111111111111"
TWO = "22222222-2222-2222-2222-222222222222"


def judged(*objects, known=READ):
    snapshot = of_values(list(objects), READ, "cluster")
    found = clashes(cluster_of(snapshot, frozenset(known)))
    assert snapshot.problems == []
    return found


def ids(*objects):
    found, notes = judged(*objects)
    assert notes == []
    return [(each.id, each.where) for each in found]


def test_what_each_claim_has_for_itself_is_no_clash():
    assert (
        ids(
            slice_of(device("gpu-0"), device("gpu-1")),
            claim("a", result("gpu-0")),
            claim("b", result("gpu-1")),
            claim("c"),
        )
        == []
    )


def test_a_device_that_two_claims_hold():
    found, _ = judged(slice_of(device("gpu-0")), claim("a", result("gpu-0")), claim("b", result("gpu-0"), users=()))

    [clash] = found
    assert (clash.id, clash.where) == ("DB001", "device gpu.nvidia.com/n1/gpu-0")
    assert clash.holders == ("claim default/a (for pod p)", "claim default/b (reserved for nobody)")
    assert clash.message == "it is held by 2 claims"


def test_a_device_that_one_claim_holds_twice():
    [clash] = judged(slice_of(device("gpu-0")), claim("a", result("gpu-0"), result("gpu-0")))[0]

    assert (clash.id, clash.message) == ("DB001", "it is held 2 times by one claim")


def test_who_looks_for_an_admin_holds_nothing():
    assert ids(
        slice_of(device("gpu-0")),
        claim("a", result("gpu-0")), claim("b", result("gpu-0", admin=True)), claim("c", result("gpu-0", admin=True)),
        claim("d", result("gone", admin=True)),
    ) == []  # fmt: skip


def test_one_name_in_two_pools_or_of_two_drivers_is_two_devices():
    assert ids(
        slice_of(device("gpu-0")), slice_of(device("gpu-0"), node="n2"),
        slice_of(device("gpu-0"), driver="gpu.amd.com"),
        claim("a", result("gpu-0")), claim("b", result("gpu-0", pool="n2")),
        claim("c", result("gpu-0", driver="gpu.amd.com")),
    ) == []  # fmt: skip


def test_shares_may_meet_and_must_fit():
    shared = slice_of(device("gpu-0", memory="80Gi", shared=True))
    fit = claim("a", result("gpu-0", share=ONE, takes={"memory": "40Gi"}))

    assert ids(shared, fit, claim("b", result("gpu-0", share=TWO, takes={"memory": "40Gi"}))) == []
    [clash] = judged(shared, fit, claim("b", result("gpu-0", share=TWO, takes={"memory": "41Gi"})))[0]
    assert (clash.id, clash.message) == ("DB004", "memory: 81Gi is taken of 80Gi")
    assert len(clash.holders) == 2


def test_a_capacity_that_the_device_no_longer_has():
    [clash] = judged(
        slice_of(device("gpu-0", shared=True)), claim("a", result("gpu-0", share=ONE, takes={"memory": "1Gi"}))
    )[0]

    assert (clash.id, clash.message) == ("DB004", "memory: 1Gi is taken, and it has none")


def test_a_whole_device_and_shares_of_it():
    shared = slice_of(device("gpu-0", memory="80Gi", shared=True))

    assert ids(
        shared, claim("a", result("gpu-0")), claim("b", result("gpu-0", share=ONE, takes={"memory": "1Gi"}))
    ) == [("DB002", "device gpu.nvidia.com/n1/gpu-0")]


def test_shares_of_a_device_that_has_none():
    assert ids(
        slice_of(device("gpu-0")), claim("a", result("gpu-0", share=ONE)), claim("b", result("gpu-0", share=TWO))
    ) == [("DB002", "device gpu.nvidia.com/n1/gpu-0")]
    assert ids(slice_of(device("gpu-0")), claim("a", result("gpu-0", share=ONE))) == []


def test_two_shares_of_one_name():
    assert ids(
        slice_of(device("gpu-0", memory="80Gi", shared=True)),
        claim("a", result("gpu-0", share=ONE, takes={"memory": "1Gi"})),
        claim("b", result("gpu-0", share=ONE, takes={"memory": "2Gi"})),
    ) == [("DB003", "device gpu.nvidia.com/n1/gpu-0")]


def test_a_whole_gpu_and_a_part_of_it():
    slices = (
        slice_of(counters={"memory": "80Gi", "slices": "8"}, count=2),
        slice_of(
            device("gpu-0", draws={"memory": "80Gi", "slices": "8"}), device("part", draws={"memory": "10Gi"}),
            count=2, part="b",
        ),
    )  # fmt: skip

    assert ids(*slices, claim("a", result("gpu-0"))) == []
    [clash] = judged(*slices, claim("a", result("gpu-0")), claim("b", result("part")))[0]
    assert (clash.id, clash.where) == ("DB005", "pool gpu.nvidia.com/n1")
    assert clash.message == "set.memory: 90Gi is drawn of 80Gi, by gpu-0, part"
    assert clash.holders == ("claim default/a (for pod p)", "claim default/b (for pod p)")


def test_shares_of_a_part_draw_its_counters_once():
    slices = (
        slice_of(counters={"memory": "10Gi"}, count=2),
        slice_of(device("part", memory="10Gi", shared=True, draws={"memory": "10Gi"}), count=2, part="b"),
    )

    assert ids(*slices, *(
        claim(share[:1], result("part", share=share, takes={"memory": "1Gi"})) for share in (ONE, TWO)
    )) == []  # fmt: skip


def test_a_device_that_is_gone_and_a_pool_that_is():
    assert ids(slice_of(device("gpu-0")), claim("a", result("gpu-1")), claim("b", result("gpu-0", pool="n2"))) == [
        ("DB006", "device gpu.nvidia.com/n1/gpu-1"), ("DB007", "device gpu.nvidia.com/n2/gpu-0"),
    ]  # fmt: skip


def test_the_newest_generation_counts():
    slices = (slice_of(device("gpu-0")), slice_of(device("gpu-1"), generation=2))

    assert ids(*slices, claim("a", result("gpu-1"))) == []
    [clash] = judged(*slices, claim("a", result("gpu-0")))[0]
    assert (clash.id, clash.message) == ("DB006", "generation 2 of its pool does not list it")


def test_a_pool_that_is_being_written_is_not_judged_but_what_is_held_twice_is():
    found, notes = judged(slice_of(device("gpu-0"), count=2), claim("a", result("gpu-1")), claim("b", result("gpu-1")))

    assert [each.id for each in found] == ["DB001"]
    assert notes == ["pool gpu.nvidia.com/n1 is not judged: 1 of 2 slices of generation 1 are there"]


def test_without_slices_nothing_is_said_to_be_gone():
    found, notes = judged(claim("a", result("gpu-0")), claim("b", result("gpu-0")), known={"ResourceClaim"})

    assert [each.id for each in found] == ["DB001"]
    assert notes == ["not all ResourceSlices are known: counters, capacity and what is still published are not judged"]


def test_where_there_are_truly_no_slices_everything_is_gone():
    assert ids(claim("a", result("gpu-0"))) == [("DB007", "device gpu.nvidia.com/n1/gpu-0")]


def test_every_rule_has_an_example_here():
    text = "".join((Path(__file__).parent / name).read_text() for name in ("test_clashes.py", "test_plugins.py"))

    assert set(re.findall(r'"(DB\d{3})"', text)) == set(KINDS)


# ---------------------------------------------------------------- against a brute force on the raw objects


AMOUNTS = st.sampled_from(["1", "2", "3", "5Gi", "1500Mi"])


@st.composite
def worlds(draw):
    """Two pools, one of which may be half written or renewed, and claims on anything."""
    objects = []
    for pool in ("n1", "n2"):
        generation = draw(st.integers(1, 2))
        if draw(st.booleans()):
            objects.append(slice_of(device("d0"), device("d1"), node=pool, generation=generation - 1, part="old"))
        devices = [
            device(
                f"d{number}",
                memory=draw(st.none() | AMOUNTS),
                shared=draw(st.booleans()),
                draws=draw(st.none() | st.fixed_dictionaries({"m": AMOUNTS}, optional={"n": AMOUNTS})),
            )
            for number in range(draw(st.integers(1, 4)))
        ]
        stated = draw(st.sampled_from([2, 2, 2, 3]))
        counters = draw(st.fixed_dictionaries({"m": AMOUNTS, "n": AMOUNTS}))
        objects.append(slice_of(counters=counters, node=pool, generation=generation, count=stated, part="c"))
        objects.append(slice_of(*devices, node=pool, generation=generation, count=stated, part="d"))
    for number in range(draw(st.integers(0, 6))):
        results = [
            result(
                f"d{draw(st.integers(0, 4))}",
                pool=draw(st.sampled_from(["n1", "n1", "n2", "n3"])),
                share=draw(st.sampled_from([None, ONE, TWO])),
                takes=draw(st.none() | st.fixed_dictionaries({"memory": AMOUNTS})),
                admin=draw(st.sampled_from([False, False, False, True])),
            )
            for _ in range(draw(st.integers(0, 3)))
        ]
        objects.append(claim(f"c{number}", *results))
    return objects


def amount(text):
    return parse_quantity(text).nanos


def brute(objects):
    """(id, where) of everything wrong, one device and one pool after another, on the objects as they are."""
    pools = defaultdict(list)
    for each in objects:
        if each["kind"] == "ResourceSlice":
            pools[each["spec"]["driver"], each["spec"]["pool"]["name"]].append(each["spec"])
    newest, whole_pools = {}, set()
    for key, slices in pools.items():
        top = max(each["pool"]["generation"] for each in slices)
        newest[key] = [each for each in slices if each["pool"]["generation"] == top]
        if len(newest[key]) == newest[key][0]["pool"]["resourceSliceCount"]:
            whole_pools.add(key)
    holding = defaultdict(list)
    for each in objects:
        if each["kind"] == "ResourceClaim":
            for got in each["status"].get("allocation", {}).get("devices", {}).get("results", []):
                if not got.get("adminAccess"):
                    holding[got["driver"], got["pool"], got["device"]].append(got)
    wrong = set()
    for identity, results in holding.items():
        where = "device " + "/".join(identity)
        alone = [each for each in results if "shareID" not in each]
        shares = [each for each in results if "shareID" in each]
        if len(alone) > 1:
            wrong.add(("DB001", where))
        if alone and shares:
            wrong.add(("DB002", where))
        if len({each["shareID"] for each in shares}) < len(shares):
            wrong.add(("DB003", where))
        if identity[:2] not in newest:
            wrong.add(("DB007", where))
        if identity[:2] not in whole_pools:
            continue
        listed = [d for part in newest[identity[:2]] for d in part.get("devices", []) if d["name"] == identity[2]]
        if not listed:
            wrong.add(("DB006", where))
            continue
        if len(shares) > 1 and not listed[0].get("allowMultipleAllocations"):
            wrong.add(("DB002", where))
        taken = [amount(each["consumedCapacity"]["memory"]) for each in shares if "consumedCapacity" in each]
        there = listed[0].get("capacity", {}).get("memory", {}).get("value")
        if taken and (there is None or sum(taken) > amount(there)):
            wrong.add(("DB004", where))
    for key in whole_pools:
        for name in ("m", "n"):
            limit = sum(
                amount(each["counters"][name]["value"])
                for part in newest[key] for each in part.get("sharedCounters", []) if name in each["counters"]
            )  # fmt: skip
            drawn = sum(
                amount(use["counters"][name]["value"])
                for part in newest[key] for d in part.get("devices", []) if (*key, d["name"]) in holding
                for use in d.get("consumesCounters", []) if name in use["counters"]
            )  # fmt: skip
            if drawn > limit:
                wrong.add(("DB005", f"pool {key[0]}/{key[1]}"))
    return wrong


@given(worlds())
def test_the_rules_are_those_of_the_brute_force(objects):
    assert {(each.id, each.where) for each in judged(*objects)[0]} == brute(objects)


@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_objects_does_not_matter(objects, random):
    shuffled = list(objects)
    random.shuffle(shuffled)

    assert judged(*objects) == judged(*shuffled)


@given(worlds())
def test_taking_a_claim_away_makes_nothing_worse(objects):
    claims = [each for each in objects if each["kind"] == "ResourceClaim"]
    if not claims:
        return
    fewer = [each for each in objects if each is not claims[0]]

    assert {(each.id, each.where) for each in judged(*fewer)[0]} <= {(e.id, e.where) for e in judged(*objects)[0]}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_id_says_what_it_means(kind):
    assert len(KINDS[kind]) > 20
