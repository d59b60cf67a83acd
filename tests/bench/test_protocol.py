import pytest

from e2e.bench.gorand import GoRand
from e2e.bench.protocol import alloc_at, churn, fill, utilisation
from e2e.bench.trace import Job, Machine, Shape, Trace

ONE, TWO, NONE = Shape(1, 1, 1, 1000), Shape(2, 2, 2, 1000), Shape(3, 3, 0, 0)


def trace(machines: int, *shapes: Shape) -> Trace:
    nodes = tuple(Machine(f"node-{i}", 8, 8, 2, "T4") for i in range(machines))
    return Trace("made", nodes, tuple(Job(f"pod-{i:03d}", shape) for i, shape in enumerate(shapes)))


def test_a_fill_is_a_shuffle_and_then_clones():
    shapes = [Shape(i, 1, 1, 1000) for i in range(10)]
    found = fill(trace(10, *shapes), 7)

    go = GoRand(7)
    go.int63()
    expected = list(shapes)
    go.shuffle(expected)
    clones = [shapes[go.intn(10)] for _ in range(16)]  # 26 GPUs are 130 % of 20
    go.intn(10)  # the one too many
    assert list(found.shapes) == expected + clones
    places = go.perm(10)
    assert [places[row] for row in found.order] == list(range(10))


def test_more_than_enough_is_thinned_out():
    found = fill(trace(2, *[ONE] * 20), 3)

    assert len(found.shapes) == 5  # 5.2 of 4 GPUs


def test_a_clone_is_compared_by_one_gpu():
    """With 4 of 5.2 GPUs asked for, two more are let in, because one would be."""
    found = fill(trace(2, TWO, TWO), 1)

    assert sum(shape.gpus for shape in found.shapes) == 6


def test_a_trace_without_gpus_is_refused():
    with pytest.raises(ValueError, match="no pod asks for a GPU"):
        fill(trace(1, NONE), 1)


def test_the_bin_holds_what_rounds_to_it():
    arrived = [985, 995, 1000, 1004, 1005, 1200]
    used = [900, 910, 920, 930, 999, 1000]

    assert alloc_at(100, arrived, used, 1000) == pytest.approx(92.0)
    assert alloc_at(99, arrived, used, 1000) == pytest.approx(90.0)
    assert alloc_at(80, arrived, used, 1000) is None


def test_utilisation_is_weighed_by_time():
    # 0 until 1, then 1000 until 3, then 500 until 5; from 2 to 5 that is (1000 + 2 * 500) / 3
    assert utilisation([0.0, 1.0, 3.0], [0, 1000, 500], 2.0, 5.0, 1000) == pytest.approx(200 / 3)


def test_churn_offers_the_load():
    stream = churn(trace(100, ONE, TWO, NONE), 42, 0.9, 20_000)

    lived = sum(
        shape.demand * (leave - arrive)
        for shape, arrive, leave in zip(stream.shapes, stream.arrives, stream.leaves, strict=True)
    )
    offered = lived / stream.arrives[-1] / 200_000
    assert offered == pytest.approx(0.9, rel=0.03)
    assert list(stream.arrives) == sorted(stream.arrives)
    assert sorted(stream.order) == list(range(100))
