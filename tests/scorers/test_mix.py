import numpy as np
import pytest

from scoring.market import COVERED, market_of
from scoring.mix import ARRIVALS_HALVED, MAX_KINDS, PLACEMENTS_HALVED, Kind, Mix, Sample
from scoring.prices import Supply

WHOLE, HALF = Kind(1, 1000, 8_000, 1), Kind(1, 500, 4_000, 1)


def arrived(*kinds):
    mix = Mix()
    for kind in kinds:
        mix.arrive(kind)
    return mix


def test_the_most_popular_kind_comes_first():
    sample = arrived(HALF, WHOLE, WHOLE).sample()

    assert sample.kinds == (WHOLE, HALF)
    assert np.allclose(sample.amounts, [2, 1], rtol=1e-3)


def test_an_arrival_counts_half_after_so_many_others():
    sample = arrived(HALF, *[WHOLE] * ARRIVALS_HALVED).sample()

    assert sample.amounts[sample.kinds.index(HALF)] == pytest.approx(0.5)


def test_kinds_stay_bounded_and_the_popular_survive():
    mix = arrived(*[WHOLE] * 3, *[Kind(1, 1000, cpu, 1) for cpu in range(MAX_KINDS + 5)])

    kinds = mix.sample().kinds

    assert len(kinds) <= MAX_KINDS
    assert kinds[0] == WHOLE


def test_a_sample_is_due_at_first_often_and_then_rarely():
    mix, at = Mix(), []
    for count in range(1, 20_000):
        mix.arrive(WHOLE)
        if mix.due:
            at.append(count)
            mix.sample()

    assert at == [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 12288, 16384]


def test_a_cluster_that_nothing_leaves_grows_and_one_with_departures_does_not():
    mix = Mix()
    before = mix.growth
    for _ in range(100):
        mix.place()
    filling = mix.growth
    for _ in range(10):
        mix.leave()
    some = mix.growth
    for _ in range(10):
        mix.leave()

    assert (before, filling) == (1.0, 1.0)
    assert 0.4 < some < 0.6
    assert mix.growth < 0.05


def test_departures_of_long_ago_are_forgotten():
    mix = Mix()
    for _ in range(100):
        mix.place()
        mix.leave()
    assert mix.growth == 0

    for _ in range(10 * PLACEMENTS_HALVED):
        mix.place()

    assert mix.growth > 0.99


def test_a_market_keeps_the_kinds_that_make_up_most_arrivals():
    rare = [Kind(1, 10 * n, 1_000, 1) for n in range(1, 5)]
    sample = arrived(*rare, *[HALF] * 96, *[WHOLE] * 100).sample()

    market = market_of(sample, Supply(np.array([8_000]), np.array([8]), np.array([96_000])))

    assert market.milli.tolist() == [1000, 500]
    assert market.share.sum() == 1
    assert COVERED == 0.95


@pytest.mark.parametrize(("growth", "expected"), [(1.0, [1 / 2, 1 / 2]), (0.0, [1 / 5, 4 / 5])])
def test_where_pods_leave_a_kind_counts_by_its_size_too(growth, expected):
    sample = Sample((WHOLE, Kind(4, 1000, 8_000, 1)), np.array([10.0, 10.0]), growth)

    market = market_of(sample, Supply(np.array([8_000]), np.array([8]), np.array([96_000])))

    np.testing.assert_allclose(market.share, expected)


def test_cpu_share_is_that_of_kinds_with_devices_alone():
    lonely = Kind(0, 0, 64_000, 1)

    market = market_of(
        arrived(lonely, HALF, WHOLE).sample(), Supply(np.array([8_000]), np.array([8]), np.array([96_000]))
    )

    assert np.isclose(market.cpu_share, 8_000, rtol=1e-3)


def test_kinds_of_many_classes_keep_every_bit():
    far = Kind(1, 1000, 1_000, 1 << 99)
    supply = Supply(np.full(100, 1000), np.ones(100, np.int64), np.full(100, 8_000))

    market = market_of(arrived(far).sample(), supply)

    assert np.flatnonzero(market.serves[:, 0]).tolist() == [99]
