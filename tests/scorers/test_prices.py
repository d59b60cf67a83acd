from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.mix import Kind, Sample
from scoring.prices import Supply, class_prices, reach, stranded


def sample(*kinds):
    names, amounts = zip(*kinds, strict=True) if kinds else ((), ())
    return Sample(tuple(names), np.array(amounts, np.float64), 1.0)


def supply(*devices, width=8, cpu=96_000):
    count = len(devices)
    return Supply(np.array(devices, np.int64) * 1000, np.full(count, width), np.full(count, cpu))


def whole(classes, *, count=1, cpu=1_000):
    return Kind(count, 1000, cpu, classes)


# ---------------------------------------------------------------- classes


def test_nothing_is_scarce_where_every_pod_may_go_anywhere():
    assert class_prices(sample((whole(0b11), 5.0)), supply(10, 10)).tolist() == [0, 0]
    assert class_prices(sample(), supply(10, 10)).tolist() == [0, 0]
    assert class_prices(sample(), supply()).tolist() == []


def test_the_class_that_more_pods_depend_on_for_its_size_costs_more():
    mix = sample((whole(0b111), 60.0), (whole(0b001), 30.0), (whole(0b010), 10.0))

    prices = class_prices(mix, supply(30, 30, 40))

    assert prices[0] > prices[1] > prices[2] == 0


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_price_follows_the_share_of_the_class_that_is_depended_on(share):
    # 100 devices, 50 of each class; of 100 asked for, `share` of 50 may only use the first.
    mix = sample((whole(0b01), 50 * share), (whole(0b11), 100 - 50 * share))

    price = class_prices(mix, supply(50, 50))[0]

    levels_below = sum(step / 10 <= share for step in range(1, 13))
    assert price == pytest.approx(levels_below / 12 * 0.5, abs=1 / 24 + 1e-9)  # worth 1 - 1/2: half is within reach


def test_what_replaces_a_scarce_class_is_scarce_too_and_amounts_have_no_unit():
    mix = sample((whole(0b110), 50.0), (whole(0b010), 20.0), (whole(0b111), 30.0))

    once = class_prices(mix, supply(60, 20, 20))
    tenfold = class_prices(Sample(mix.kinds, mix.amounts * 10, 0.0), supply(600, 200, 200))

    assert once[2] > once[0] == 0
    np.testing.assert_allclose(once, tenfold, atol=1e-8)


def test_a_class_whose_nodes_are_too_small_serves_no_kind_whatever_its_selectors_say():
    large = Supply(np.array([8000, 8000, 0]), np.array([8, 2, 8]), np.array([96_000, 96_000, 96_000]))

    allowed = reach(sample((whole(0b111, count=4), 1.0), (whole(0b111, cpu=99_000), 1.0), (whole(0b111), 1.0)), large)

    assert allowed.tolist() == [[True, False, False], [False, False, False], [True, True, False]]


def test_nodes_that_hold_many_devices_are_kept_for_those_that_need_them():
    shapes = Supply(np.array([8000, 8000]), np.array([8, 2]), np.array([96_000, 96_000]))

    prices = class_prices(sample((whole(0b11, count=8), 1.0), (whole(0b11), 8.0)), shapes)

    assert prices[0] > prices[1] == 0


# ---------------------------------------------------------------- holes


def test_without_shares_a_device_is_worth_something_only_whole():
    lost = stranded(sample((whole(1), 3.0)))

    assert lost[[0, 10, 500, 990, 1000]].tolist() == [0, 10, 500, 990, 0]
    assert stranded(sample()).tolist() == [0] * 1001


def test_a_hole_that_a_kind_fits_exactly_is_not_lost_and_one_just_smaller_is():
    lost = stranded(sample((Kind(1, 500, 0, 1), 4.0), (whole(1), 1.0)))

    assert lost[500] == 0
    assert lost[490] == 490
    assert lost[510] == 10


def test_a_kind_that_spoils_every_device_is_worth_a_whole_one():
    lost = stranded(sample((Kind(1, 810, 0, 1), 4.0)))

    assert lost[810] == -190
    assert lost[190] == 190


sizes = st.lists(st.integers(15, 100).map(lambda size: 10 * size), min_size=1, max_size=4, unique=True)


@given(sizes, st.data())
@settings(max_examples=40, deadline=None)
def test_values_of_holes_are_dual_feasible_and_attain_the_least_number_of_devices(sizes, data):
    demand = [data.draw(st.integers(1, 20)) for _ in sizes]
    lost = stranded(sample(*((Kind(1, size, 0, 1), float(count)) for size, count in zip(sizes, demand, strict=True))))
    value = (np.arange(1001) - lost) / 1000

    # No way to cut a device is worth more than it, and every value is that of the kinds that fit.
    assert value[0] == 0
    assert value[1000] <= 1 + 1e-9
    assert (np.diff(value) >= -1e-9).all()
    worth = {size: min(value[room] - value[room - size] for room in range(size, 1001, 10)) for size in sizes}
    for amount in range(1, 1 + 1000 // min(sizes)):
        for pattern in combinations_with_replacement(sizes, amount):
            if sum(pattern) <= 1000:
                assert sum(worth[size] for size in pattern) <= value[sum(pattern)] + 1e-6
    # Duality: no packing of fractions of devices needs less than the value of the demand, nor can one do with more.
    bound = sum(worth[size] * count for size, count in zip(sizes, demand, strict=True))
    assert bound == pytest.approx(least_devices(sizes, demand), rel=1e-6)


def least_devices(sizes, demand):
    """The fractional cutting-stock optimum over all patterns, by a solver that is told nothing about duals."""
    from scipy.optimize import linprog

    patterns = []
    for amount in range(1, 1 + 1000 // min(sizes)):
        for chosen in combinations_with_replacement(range(len(sizes)), amount):
            if sum(sizes[i] for i in chosen) <= 1000:
                patterns.append(np.bincount(chosen, minlength=len(sizes)))
    table = np.array(patterns).T
    return linprog(np.ones(table.shape[1]), A_ub=-table, b_ub=-np.array(demand), method="highs").fun
