"""In what order pods arrive, and what is measured: the protocol of FGD's artifact (Weng et al., USENIX ATC 2023).

Fill: pods arrive one after another until 130 % of the GPUs were asked for; none leaves, and one that does not fit is
lost. Its figure `alloc_at_100` is how much of the GPUs is in use once as much as there is was asked for.

Churn is ours, as the artifact frees nothing: Poisson arrivals drawn from the same trace, exponential lifetimes, what
does not fit is lost; measured in the second half.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from e2e.bench.gorand import GoRand
from e2e.bench.trace import Shape, Trace

RATIO = 1.3
ARRIVALS = 32_000


@dataclass(frozen=True, slots=True)
class Fill:
    """shapes : in order of arrival. order : rows of the trace's machines, the preferred first among equals."""

    shapes: tuple[Shape, ...]
    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Churn:
    """shapes, order : as in Fill. arrives, leaves : when; the mean time between arrivals is 1."""

    shapes: tuple[Shape, ...]
    order: tuple[int, ...]
    arrives: tuple[float, ...]
    leaves: tuple[float, ...]


def fill(trace: Trace, seed: int, ratio: float = RATIO) -> Fill:
    """As the artifact draws it: shuffled, then cloned (or thinned out) until `ratio` of the GPUs are asked for."""
    go = GoRand(seed)
    go.int63()  # the artifact logs one number before it begins
    shapes = [job.shape for job in trace.jobs]
    go.shuffle(shapes)
    target = ratio * trace.capacity
    total = sum(shape.demand for shape in shapes)
    if total <= 0:
        raise ValueError(f"trace {trace.name}: no pod asks for a GPU")
    if total < target:
        shapes += _clones(trace, go, total, target)
    else:
        while total > target:
            total -= shapes.pop(go.intn(len(shapes))).demand
    return Fill(tuple(shapes), _order(trace, go))


def _clones(trace: Trace, go: GoRand, total: int, target: float) -> list[Shape]:
    found = []
    while True:
        clone = trace.jobs[go.intn(len(trace.jobs))].shape
        # It is compared by one GPU's part, and counted by all: so does the artifact.
        if total + clone.milli > target:
            return found
        total += clone.demand
        found.append(clone)


def _order(trace: Trace, go: GoRand) -> tuple[int, ...]:
    """The artifact prefixes machine number i, by name, with a permutation's i-th number and prefers small names."""
    return tuple(np.argsort(go.perm(len(trace.machines)), kind="stable").tolist())


def churn(trace: Trace, seed: int, load: float, arrivals: int = ARRIVALS) -> Churn:
    """A stream whose pods ask for `load` times the GPUs at any time, if none is lost."""
    random = np.random.default_rng(seed)
    mean = sum(job.shape.demand for job in trace.jobs) / len(trace.jobs)
    life = load * trace.capacity / mean
    arrives = np.cumsum(random.exponential(1.0, arrivals))
    leaves = arrives + random.exponential(life, arrivals)
    drawn = random.integers(len(trace.jobs), size=arrivals).tolist()
    order = _order(trace, GoRand(seed))
    return Churn(tuple(trace.jobs[i].shape for i in drawn), order, tuple(arrives.tolist()), tuple(leaves.tolist()))


def alloc_at(percent: int, arrived: Sequence[int], used: Sequence[int], capacity: int) -> float | None:
    """Percent of the GPUs in use, averaged over the arrivals after which `percent` had been asked for, rounded.

    arrived, used : thousandths after every arrival; arrived counts what did not fit too. None where no arrival is near.
    """
    # Halves go up, as in the artifact's analysis: numpy's rint would send them to the even number.
    bins = np.floor(100 * np.asarray(arrived) / capacity + 0.5).astype(np.int64)
    inside = np.asarray(used)[bins == percent]
    return float(100 * inside.mean() / capacity) if len(inside) else None


def utilisation(times: Sequence[float], used: Sequence[int], start: float, end: float, capacity: int) -> float:
    """Percent of the GPUs in use from `start` to `end`, averaged over time; `used` holds from each of `times` on."""
    at = np.clip(np.asarray([*times, end]), start, end)
    return float(100 * (np.diff(at) * np.asarray(used)).sum() / (end - start) / capacity)
