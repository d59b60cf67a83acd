"""S6 to S8: what is counted, the reference policies, and the engine in the same place."""

from itertools import combinations

import pytest

from e2e.bench import cliques, mig, rails
from e2e.bench.check import WrongStateError

# ---------------------------------------------------------------- S7


@pytest.mark.parametrize(("size", "most", "mean"), [(2, 2, 0.43), (3, 5, 0.51), (4, 9, 0.57)])
def test_links_of_a_dgx_1(size, most, mean):
    """The figures are those of design notes: links of the best set, and of all sets on average."""
    sets = list(combinations(range(8), size))

    assert cliques.best(size)[0] == most
    assert sum(map(cliques.inside, sets)) / len(sets) / most == pytest.approx(mean, abs=0.005)


def test_every_gpu_of_a_dgx_1_has_six_links():
    for gpu in range(8):
        assert sum(count for pair, count in cliques.links().items() if gpu in pair) == 6


def test_a_ring_is_as_fast_as_its_slowest_hop():
    assert cliques.ring((0, 3)) == 50
    assert cliques.ring((0, 5)) == 10
    assert cliques.ring((0, 2, 3)) == 25
    assert cliques.ring((0, 3, 4, 7)) == 25  # 0-3, 3-7, 7-4, 4-0
    assert cliques.ring((0, 1, 6, 7)) == 10  # no link joins 0-1 to 6-7


def test_first_fit_takes_what_comes_and_the_best_set_what_is_linked():
    assert cliques.Boxes("firstfit").place(2) == (0, (0, 1))
    assert cliques.Boxes("bestset").place(2) == (0, (0, 3))


def test_packing_fills_the_fullest_box_that_has_room():
    boxes = cliques.Boxes("packing")
    for size in (4, 8, 3):
        boxes.place(size)

    assert boxes.place(1) == (0, (7,))
    assert boxes.place(2) == (2, (0, 1))


@pytest.mark.parametrize("box", [cliques.MESH, cliques.SWITCHED])
@pytest.mark.parametrize("policy", cliques.POLICIES)
def test_every_policy_runs_the_queue(box, policy):
    found = cliques.run(box, policy, 1, 150)

    assert 40 < found["alloc"] <= 100
    assert found["wait"] >= 0
    assert ("set_quality" in found) == (box == cliques.MESH)


def test_the_engine_takes_linked_sets():
    assert cliques.run(cliques.MESH, "dovetail", 1, 150)["set_quality"] > 0.9
    assert cliques.run(cliques.MESH, "firstfit", 1, 150)["set_quality"] < 0.85


@pytest.mark.parametrize(
    ("ran", "says"),
    [
        ([(2, 0.0, 1.0, (0, (1,)))], "got"),
        ([(1, 0.0, 1.0, (16, (1,)))], "of node 16"),
        ([(1, 0.0, 2.0, (0, (1,))), (1, 1.0, 3.0, (0, (1,)))], "GPU 1 of node 0 was held twice"),
    ],
)
def test_sets_that_cannot_be_are_found(ran, says):
    with pytest.raises(WrongStateError, match=says):
        cliques.verify(ran)


# ---------------------------------------------------------------- S6


def test_parts_start_where_nvidia_lets_them():
    assert mig.places("3g.40gb", 0) == (0, 4)
    assert mig.places("3g.40gb", 0b00000001) == (4,)
    assert mig.places("7g.80gb", 0b10000000) == ()
    assert mig.places("1g.10gb", 0b0111_1111) == ()


def test_best_fit_takes_the_fullest_gpu_and_gradient_keeps_large_places():
    cut = {policy: mig.Cut(policy, mig.MIXES["uniform"]) for policy in ("firstfit", "bestfit", "gradient")}
    for each in cut.values():
        each._used[:3] = [0b0000_0000, 0b0000_0000, 0b0000_1110]

    assert cut["firstfit"].place("1g.10gb") == (0, "1g.10gb", 0)
    assert cut["bestfit"].place("1g.10gb") == (2, "1g.10gb", 0)
    assert cut["gradient"].place("1g.10gb") == (2, "1g.10gb", 0)


@pytest.mark.parametrize("policy", mig.POLICIES)
def test_every_policy_gives_parts(policy):
    found = mig.run(policy, 1, 16)

    assert 0.8 < found["accepted"] <= 1


@pytest.mark.parametrize(
    ("got", "says"),
    [
        ([(0, "2g.20gb", 0), None], "a job for 1g.10gb got 2g.20gb"),
        ([(0, "1g.10gb", 7), None], "at 7"),
        ([(50, "1g.10gb", 0), None], "GPU 50"),
        ([(0, "1g.10gb", 3), (0, "1g.10gb", 3)], "memory slice 3 of GPU 0 was held twice"),
    ],
)
def test_parts_that_cannot_be_are_found(got, says):
    jobs = [mig.Job(0.0, 2.0, "1g.10gb"), mig.Job(1.0, 2.0, "1g.10gb")]

    with pytest.raises(WrongStateError, match=says):
        mig.verify(jobs, got)


# ---------------------------------------------------------------- S8


def test_first_fit_ignores_switches_and_aware_does_not():
    room = ((1, 2, 3, 4), (0, 4, 5, 6))

    assert rails.first_fit((2, 2), room) == ((), (1, 2), (0, 4))
    _, gpus, nics = rails.aware((2, 2), room)
    assert rails.aligned(gpus, nics) == 2


def test_aware_stays_in_a_socket_and_off_whole_switches():
    everything = tuple(range(8))

    _, gpus, nics = rails.aware((4, 4), (everything, everything))
    assert len(rails.sockets(gpus)) == 1
    assert rails.aligned(gpus, nics) == 4
    _, gpus, _ = rails.aware((1, 0), ((0, 1, 3), (0, 1, 3)))
    assert gpus == (3,)


@pytest.mark.parametrize("policy", rails.POLICIES)
def test_every_policy_serves_gpus_and_nics(policy):
    found = rails.run(policy, 1, 150)

    assert 0.5 < found["aligned_nics"] <= 1
    assert 0.5 < found["single_socket"] <= 1


@pytest.mark.parametrize(
    ("ran", "says"),
    [
        ([((1, 1), 0.0, 1.0, (0, (1,), ()))], "a job for"),
        ([((1, 0), 0.0, 2.0, (0, (1,), ())), ((1, 0), 1.0, 3.0, (0, (1,), ()))], "GPU 1 of node 0 was held twice"),
    ],
)
def test_devices_that_cannot_be_held_are_found(ran, says):
    with pytest.raises(WrongStateError, match=says):
        rails.verify(ran)


# ---------------------------------------------------------------- what repacking could do in S6


def test_parts_are_packed_exactly_where_large_first_fails():
    """Ways to fill a GPU that are easy to get wrong: 4g beside 3g, and seven 1g beside nothing."""
    none = dict.fromkeys(mig.PROFILES, 0)

    def fits(**parts: int) -> bool:
        names = {name.replace(".", "_"): name for name in mig.PROFILES}
        return mig.packs(tuple({**none, **{names[f"{key[1:]}"]: n for key, n in parts.items()}}.values()))

    assert fits(_7g_80gb=50)
    assert not fits(_7g_80gb=51)
    assert fits(_4g_40gb=50, _3g_40gb=50)
    assert not fits(_4g_40gb=50, _3g_40gb=51)
    assert fits(_1g_10gb=350)
    assert not fits(_1g_10gb=351)
    assert fits(_2g_20gb=150, _1g_20gb=50)
    assert not fits(_2g_20gb=151, _1g_20gb=50)


def test_exact_packing_agrees_with_large_first_where_that_succeeds():
    counts = (60, 30, 30, 10, 10, 10)

    assert mig._large_first(counts)
    assert mig._exactly(counts)


def test_repacking_accepts_no_less_than_anybody():
    best = max(mig.run(policy, 1, 1000)["accepted"] for policy in ("firstfit", "bestfit", "gradient"))

    assert best <= mig.repacked(1, 1000) <= 1
