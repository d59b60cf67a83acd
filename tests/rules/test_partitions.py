"""Fabric Manager partitions: a claim's whole GPUs are one of them, in the search, in the checker and in the reason."""

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core import verify
from scheduler.core.gates import Gates
from scheduler.core.partitions import fabric
from scheduler.core.verify import violations_of_claims
from tests.build import (
    allocation,
    claim,
    device,
    device_class,
    node,
    pod,
    request,
    result,
    slice_of,
    world,
)
from tests.driving import Hands

NVIDIA = "gpu.nvidia.com"
CLASS = device_class(driver=NVIDIA)


def hgx(i, **more):
    """A GPU of eight, in partitions of every size; those of two are 0-2, 1-3, 4-6, 5-7."""
    pair = (0, 1, 0, 1, 2, 3, 2, 3)[i]
    own = {"type": "gpu", "partition1": i, "partition2": pair, "partition4": i // 4, "partition8": 0}
    return device(f"gpu-{i}", {key: value for key, value in {**own, **more}.items() if value is not None})


def box(*devices, name="n1"):
    return slice_of(devices or [hgx(i) for i in range(8)], node=name, driver=NVIDIA)


def settled(*objects, **config):
    return Hands(CLASS, node(), *objects, **config).settle()


def wanting(count, name="c"):
    return claim(name, request("r", count=count)), pod(f"p-{name}", claims=[name])


# ---------------------------------------------------------------- what a claim gets


@pytest.mark.parametrize(
    ("count", "sets"),
    [
        (1, [{i} for i in range(8)]),
        (2, [{0, 2}, {1, 3}, {4, 6}, {5, 7}]),
        (4, [{0, 1, 2, 3}, {4, 5, 6, 7}]),
        (8, [set(range(8))]),
    ],
)
@pytest.mark.parametrize("choice", ["scored", "first-fit"])
def test_a_claim_gets_one_whole_partition(count, sets, choice):
    hands = settled(box(), *wanting(count), device_choice=choice)

    assert {int(name[-1]) for name in hands.devices_of("c")} in sets


@pytest.mark.parametrize("count", [3, 5, 6, 7])
def test_a_count_that_no_partition_has_fits_nowhere_and_says_why(count):
    hands = settled(box(), *wanting(count))

    assert hands.node_of("p-c") == ""
    assert (
        f"1 have no Fabric Manager partition of {count} GPUs, which one claim must equal (only of 1, 2, 4, 8)"
        in hands.reason("p-c")
    )


def test_four_free_gpus_that_are_no_partition_do_not_fit():
    held = [claim(f"h{i}", request("r", count=1), allocation=allocation(result(f"gpu-{i}", driver=NVIDIA)))
            for i in (0, 5, 6, 7)]  # fmt: skip

    hands = settled(box(), *held, *wanting(4))

    assert hands.node_of("p-c") == ""
    assert "1 have no free Fabric Manager partition of 4 GPUs, which one claim must equal" in hands.reason("p-c")


def test_the_rule_holds_for_each_claim_and_not_for_the_pod():
    first, second = claim("a", request("r", count=2)), claim("b", request("r", count=1))

    hands = settled(box(), first, second, pod("p", claims=["a", "b"]))

    assert {int(name[-1]) for name in hands.devices_of("a")} in ({0, 2}, {1, 3}, {4, 6}, {5, 7})
    assert len(hands.devices_of("b")) == 1


def test_requests_of_one_claim_count_together():
    both = claim("c", request("x", count=1), request("y", count=1))

    hands = settled(box(), both, pod("p", claims=["c"]))

    assert {int(name[-1]) for name in hands.devices_of("c")} in ({0, 2}, {1, 3}, {4, 6}, {5, 7})


def test_requests_of_one_claim_that_come_to_three_fit_nowhere():
    both = claim("c", request("x", count=2), request("y", count=1))

    assert settled(box(), both, pod("p", claims=["c"])).node_of("p") == ""


def test_all_devices_are_one_partition_only_if_there_is_one_of_all():
    everything = claim("c", request("r", all=True))
    user = pod("p", claims=["c"])

    assert len(settled(box(), everything, user).devices_of("c")) == 8
    assert settled(box(*(hgx(i, partition8=None) for i in range(8))), everything, user).node_of("p") == ""


def test_another_node_without_partitions_takes_what_does_not_fit():
    plain = slice_of([device(f"gpu-{i}", {"type": "gpu"}) for i in range(8)], node="n2", driver=NVIDIA)

    assert settled(box(), node("n2"), plain, *wanting(3)).node_of("p-c") == "n2"


def test_a_partition_that_lacks_a_gpu_cannot_be_set_up():
    seven = box(*(hgx(i) for i in range(8) if i != 2))

    hands = settled(seven, *wanting(2))
    whole = settled(seven, *wanting(8))

    assert {int(name[-1]) for name in hands.devices_of("c")} in ({1, 3}, {4, 6}, {5, 7})
    assert whole.node_of("p-c") == ""


def test_a_gpu_that_is_in_no_partition_is_not_taken():
    mixed = box(hgx(0, partition1=None), hgx(1))

    assert settled(mixed, *wanting(1)).devices_of("c") == ["gpu-1"]


def test_devices_of_other_kinds_and_drivers_are_free_of_the_rule():
    mig = [device(f"mig-{i}", {"type": "mig", "partition2": 0}) for i in range(3)]
    other = slice_of([device(f"x-{i}", {"type": "gpu", "partition2": 0}) for i in range(3)], node="n2", pool="x")

    assert len(settled(box(*mig), *wanting(3)).devices_of("c")) == 3
    assert len(Hands(node("n2"), other, *wanting(3)).settle().devices_of("c")) == 3


def test_administrators_may_look_at_any_set():
    looking = claim("c", replace(request("r", count=3), admin_access=True))

    assert len(settled(box(), looking, pod("p", claims=["c"]), gates=Gates()).devices_of("c")) == 3


def test_it_can_be_switched_off():
    hands = settled(box(), *wanting(3), fabric_partitions=False)

    assert len(hands.devices_of("c")) == 3


# ---------------------------------------------------------------- the checker


def found(chosen, devices=None, **fields):
    c = claim("c", request("r", count=len(chosen)))
    results = [result(f"gpu-{i}", driver=NVIDIA) for i in chosen]
    there = world(node(), box(*(devices or ())), CLASS, c)
    if fields:
        there = replace(there, **fields)
    seen = violations_of_claims(there, node(), [c], [allocation(*results)])
    return [each for each in seen if each.rule == verify.PARTITION]


def test_the_checker_accepts_whole_partitions_and_reports_everything_else():
    whole = [{i} for i in range(8)] + [{0, 2}, {1, 3}, {4, 6}, {5, 7}, {0, 1, 2, 3}, {4, 5, 6, 7}, set(range(8))]

    for size in range(1, 9):
        for chosen in combinations(range(8), size):
            assert bool(found(chosen)) != (set(chosen) in whole), chosen


def test_the_checker_names_the_gpus():
    (violation,) = found([0, 1])

    assert violation.text == "gpu-0, gpu-1 are not the whole of one Fabric Manager partition"


def test_the_checker_does_not_ask_for_it_where_it_is_off_or_nothing_is_published():
    assert found([0, 1], fabric_partitions=False) == []
    assert found([0, 1], [device(f"gpu-{i}", {"type": "gpu"}) for i in range(2)]) == []


# ---------------------------------------------------------------- the two agree

numbers = st.none() | st.integers(0, 1)
gpu = st.builds(
    lambda one, two, four, kind: {"type": kind, "partition1": one, "partition2": two, "partition4": four},
    numbers, numbers, numbers, st.sampled_from(["gpu", "gpu", "gpu", "mig"]),
)  # fmt: skip


@given(
    st.lists(gpu, min_size=1, max_size=6),
    st.lists(st.integers(1, 4), min_size=1, max_size=2),
    st.sets(st.integers(0, 5)),
)
@settings(max_examples=150, deadline=None)
def test_a_claim_is_placed_if_and_only_if_the_checker_accepts_some_set(boxes, counts, used):
    devices = [device(f"gpu-{i}", {k: v for k, v in each.items() if v is not None}) for i, each in enumerate(boxes)]
    taken = [f"gpu-{i}" for i in sorted(used) if i < len(devices)]
    held = [claim(f"h-{name}", request("r"), allocation=allocation(result(name, driver=NVIDIA))) for name in taken]
    wanted = claim("c", *(request(f"r{i}", count=count) for i, count in enumerate(counts)))

    hands = settled(box(*devices), *held, wanted, pod("p", claims=["c"]))

    free = [i for i in range(len(devices)) if f"gpu-{i}" not in taken]
    there = world(node(), box(*devices), CLASS, wanted)
    names = [f"r{i}" for i, count in enumerate(counts) for _ in range(count)]
    accepted = any(
        not violations_of_claims(
            there, node(), [wanted],
            [allocation(*(result(f"gpu-{i}", n, driver=NVIDIA) for n, i in zip(names, chosen, strict=True)))],
        )
        for chosen in combinations(free, len(names))
    )  # fmt: skip
    assert bool(hands.node_of("p")) == accepted


def test_partitions_are_the_complete_ones_and_behind_them_all_that_they_are_about():
    devices = [(NVIDIA, hgx(i)) for i in (0, 1, 2)] + [(NVIDIA, device("mig", {"type": "mig", "partition1": 9}))]

    assert fabric(devices) == (frozenset({0}), frozenset({0, 2}), frozenset({1}), frozenset({2}), frozenset({0, 1, 2}))
    assert fabric(devices[3:]) == ()
