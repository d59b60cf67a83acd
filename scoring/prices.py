"""Prices as duals of linear programs over the mix (scipy's HiGHS); tens of milliseconds, so work for the background."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_array

from scoring.arrays import Counts, Mask
from scoring.mix import Sample

SUPPLY_LEVELS: Final = tuple(step / 10 for step in range(1, 13))
GRID: Final = 10  # milli; holes are priced in these steps
WHOLE: Final = 1_000  # milli of a whole device


@dataclass(frozen=True, slots=True)
class Supply:
    """The classes of devices, int64 (K,) each: devices that serve the same requests, in nodes of one shape.

    milli : all devices of the class together; width : devices of one node; cpu : of one node, in thousandths
    """

    milli: Counts
    width: Counts
    cpu: Counts


def reach(sample: Sample, supply: Supply) -> Mask:
    """Which classes may serve which kinds, bool (T, K): the selectors agree, and an empty node is large enough."""
    codes = range(len(supply.milli))
    named = np.array([[kind.classes >> code & 1 for code in codes] for kind in sample.kinds], np.bool_)
    named = named.reshape(len(sample.kinds), len(supply.milli))
    roomy = (supply.width >= sample.column("count")[:, None]) & (supply.cpu >= sample.column("cpu")[:, None])
    allowed: Mask = named & roomy & (supply.milli > 0)
    return allowed


def class_prices(sample: Sample, supply: Supply) -> NDArray[np.float64]:
    """How scarce each class is to those who cannot go elsewhere, float64 (K,) in [0, 1]; the least scarce has 0.

    Demand is scaled to fill the whole supply. For twelve levels u from 0.1 to 1.2 solve

        max  sum over kinds m, classes c of (1 - f_m) x_mc       f_m = share of the supply that may serve m
        s.t. sum over c of x_mc <= demand_m,   sum over m of x_mc <= u * supply_c

    and average the duals of the supply. A class whose constrained demand is a share r of it has a price of about r:
    pods that can go anywhere then fill first what the fewest others depend on. At one level alone the duals are
    degenerate: zero below saturation, equal above. Raises ArithmeticError where the solver gives up.
    """
    demand = sample.amounts * sample.column("count") * sample.column("milli")
    allowed = reach(sample, supply)
    prices = np.zeros(len(supply.milli))
    whole = float(supply.milli.sum())
    flexible = (allowed @ supply.milli.astype(np.float64)) / (whole or 1.0)
    bound = (demand > 0) & allowed.any(axis=1) & (flexible < 1 - 1e-9)
    if not bound.any():
        return prices
    # Kinds with the same classes are one row: what counts is which classes they reach.
    rows, member = np.unique(allowed[bound], axis=0, return_inverse=True)
    wanted = np.bincount(member.ravel(), demand[bound], len(rows)) * (whole / demand.sum())
    row, code = np.nonzero(rows)
    worth = 1 - (rows @ supply.milli.astype(np.float64)) / whole
    column = np.arange(len(row))
    cells = np.ones(2 * len(row))
    shape = (len(rows) + len(prices), len(row))
    limits = csr_array((cells, (np.concatenate([row, len(rows) + code]), np.tile(column, 2))), shape=shape)
    for level in SUPPLY_LEVELS:
        solved = _solve(-worth[row], limits, np.concatenate([wanted, level * supply.milli]))
        prices -= solved.ineqlin.marginals[len(rows) :] / len(SUPPLY_LEVELS)
    offered = supply.milli > 0
    above: NDArray[np.float64] = np.where(offered, prices - prices[offered].min(), 0.0).clip(0, 1)
    return above.round(9)


def stranded(sample: Sample) -> NDArray[np.float64]:
    """How much of a device with r milli left is lost to the mix, in milli: float64 (1001,), indexed by r.

        stranded(r) = r - 1000 v(r)

    v are the duals of packing the mix into the fewest devices (arc-flow form on a grid of 10 milli): v(r) is the best
    value that fits into r, v(0) = 0, v(1000) = 1, and a kind is worth what it takes of a device that is packed well.
    Negative where the hole is worth more than its size: one into which a kind fits that spoils every device it is put
    in. All zero for an empty mix. Raises ArithmeticError where the solver gives up.
    """
    asked, member = np.unique(sample.column("milli"), return_inverse=True)
    devices = np.bincount(member.ravel(), sample.amounts * sample.column("count"), len(asked))
    sizes, devices = asked[devices > 0], devices[devices > 0]
    if not len(sizes):
        return np.zeros(WHOLE + 1)
    steps = WHOLE // GRID
    lengths = np.clip(-(-sizes // GRID), 1, steps)
    # v(i - 1) <= v(i), and v(i - length) + worth <= v(i) wherever the kind fits.
    level = np.arange(1, steps + 1)
    end = np.concatenate([np.arange(length, steps + 1) for length in lengths])
    kind = np.repeat(np.arange(len(sizes)), steps + 1 - lengths)
    row = len(level) + np.arange(len(end))
    rows = np.concatenate([level - 1, level - 1, row, row, row])
    columns = np.concatenate([level - 1, level, end - lengths[kind], steps + 1 + kind, end])
    signs = np.repeat([1.0, -1.0, 1.0, 1.0, -1.0], [len(level), len(level), len(end), len(end), len(end)])
    limits = csr_array((signs, (rows, columns)), shape=(len(level) + len(end), steps + 1 + len(sizes)))
    gain = np.concatenate([np.zeros(steps + 1), -devices / devices.sum()])
    top = np.ones(len(gain))
    top[0] = 0  # nothing fits into nothing
    solved = _solve(gain, limits, np.zeros(len(level) + len(end)), top)
    left = np.arange(WHOLE + 1)
    lost: NDArray[np.float64] = np.round(left - WHOLE * _best(lengths, solved.x[steps + 1 :])[left // GRID], 6)
    return lost


def _best(lengths: Counts, worth: NDArray[np.float64]) -> NDArray[np.float64]:
    """The most that pieces of these lengths and worths come to in each room, float64 (101,).

    The program's own v only bounds it from above where nothing of the mix presses on it.
    """
    best = np.zeros(WHOLE // GRID + 1)
    for room in range(1, len(best)):
        fits = lengths <= room
        best[room] = max(best[room - 1], (best[room - lengths[fits]] + worth[fits]).max(initial=0.0))
    return best


def _solve(
    cost: NDArray[np.float64], limits: csr_array, room: NDArray[np.float64], top: NDArray[np.float64] | None = None
) -> Any:  # scipy has no types
    bounds = (0, None) if top is None else np.stack([np.zeros(len(top)), top], axis=1)
    solved = linprog(cost, A_ub=limits, b_ub=room, bounds=bounds, method="highs")
    if not solved.success:
        raise ArithmeticError(f"prices: HiGHS found no optimum: {solved.message}")
    return solved
