"""What state scorers judge by: who asks for what, and what it is worth. A snapshot, made in the background."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Counts, Mask
from scoring.mix import Sample
from scoring.prices import WHOLE, Supply, class_prices, stranded

_PLACES: Final = 2**20
COVERED: Final = 0.95  # of the arrivals; rarer kinds are left out of expectations, not of prices
_MOST_CUTS: Final = 64  # ways to ask for parts that are looked at


@dataclass(frozen=True, eq=False)
class Market:
    """The T most popular kinds and the prices of K classes.

    count, milli, cpu : int64 (T,), as in Kind; serves : bool (K, T), whose selectors take devices of which class
    share : float64 (T,), how much each kind counts, sum 1 (or T is 0): its arrivals, each times its devices to the
        power 1 - growth. While a cluster only fills, later room is what counts, and every pod is worth one; where pods
        leave, a large request refused is lost with its whole size (measured on multi-device mixes, fill and churn)
    prices : float64 (K,) in [0, 1]; stranded : float64 (1001,), see prices.stranded; both are binary fractions
    cpu_share : cpu in thousandths that goes with one whole device, on average; 0 where that is unknown
    growth : see Sample
    cuts : ways to ask for parts of devices that are cut, as Kind.parts; the most asked for first
    cut_share : float64, how much each of them counts, sum 1 (or there are none): the milli that all its pods ask for
    """

    count: Counts
    milli: Counts
    cpu: Counts
    serves: Mask
    share: NDArray[np.float64]
    prices: NDArray[np.float64]
    stranded: NDArray[np.float64]
    cpu_share: float
    growth: float
    cuts: tuple[int, ...] = ()
    cut_share: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @cached_property
    def asks(self) -> NDArray[np.int16]:
        """Milli asked for of a device of each class, int16 (K, U), by U distinct ways to ask; see `way`.

        More than any device has where the class may not serve.
        """
        return self._ways[0]

    @cached_property
    def way(self) -> NDArray[np.intp]:
        """Which way to ask each kind has, int (T,)."""
        return self._ways[1]

    @cached_property
    def _ways(self) -> tuple[NDArray[np.int16], NDArray[np.intp]]:
        asked = np.where(self.serves & (self.count > 0), self.milli, np.int64(WHOLE + 1)).astype(np.int16)
        ways, member = np.unique(asked, axis=1, return_inverse=True)
        return np.ascontiguousarray(ways), member.ravel()


def market_of(sample: Sample, supply: Supply) -> Market:
    """The market at one moment: a pure function of its arguments. Raises ArithmeticError where a solver gives up."""
    count, milli, cpu = sample.column("count"), sample.column("milli"), sample.column("cpu")
    kept = _popular(sample.amounts)
    codes = np.arange(len(supply.milli))
    serves = np.array([[kind.classes >> int(code) & 1 for kind in sample.kinds[:kept]] for code in codes], np.bool_)
    on_devices = count > 0
    devices = float(sample.amounts @ (count * milli)) / WHOLE
    cuts, cut_share = _cuts(sample)
    heard = (sample.amounts * np.maximum(count * milli / WHOLE, 1.0) ** (1 - sample.growth))[:kept]
    return Market(
        count=count[:kept],
        milli=milli[:kept],
        cpu=cpu[:kept],
        serves=serves.reshape(len(codes), kept),
        share=heard / (heard.sum() or 1.0),
        prices=_exact(class_prices(sample, supply)),
        stranded=_exact(stranded(sample)),
        cpu_share=float(sample.amounts[on_devices] @ cpu[on_devices]) / devices if devices else 0.0,
        growth=sample.growth,
        cuts=cuts,
        cut_share=cut_share,
    )


def _exact(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """To twenty binary places: sums of them do not depend on the order of additions."""
    return np.round(values * _PLACES) / _PLACES


def unknown_market(classes: int) -> Market:
    """The market before anything arrived: every state is as good as every other."""
    none = np.zeros(0, np.int64)
    return Market(
        count=none,
        milli=none,
        cpu=none,
        serves=np.zeros((classes, 0), np.bool_),
        share=np.zeros(0),
        prices=np.zeros(classes),
        stranded=np.zeros(WHOLE + 1),
        cpu_share=0.0,
        growth=0.0,
    )


def _cuts(sample: Sample) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Ways to ask for parts, and the share of each."""
    asked: dict[int, float] = {}
    for kind, amount in zip(sample.kinds, sample.amounts.tolist(), strict=True):
        if kind.parts:
            asked[kind.parts] = asked.get(kind.parts, 0.0) + amount * kind.cut
    kept = sorted(asked.items(), key=lambda item: (-item[1], item[0]))[:_MOST_CUTS]
    share = np.array([milli for _, milli in kept], np.float64)
    return tuple([parts for parts, _ in kept]), share / (share.sum() or 1.0)


def _popular(amounts: NDArray[np.float64]) -> int:
    """How many kinds, most popular first, make up 95 % of the arrivals."""
    if not len(amounts):
        return 0
    reached = np.cumsum(amounts)
    return min(int(np.searchsorted(reached, COVERED * reached[-1])) + 1, len(amounts))
