"""What a reference policy is, and the loop that they all run in."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from e2e.bench.policies.fleet import Counts, Fleet, Mask, Rows
from e2e.bench.trace import Machine, Shape


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a pod is: on which machine, and with how many thousandths of which of its GPUs."""

    machine: str
    gpus: tuple[tuple[int, int], ...]


class Scheduler(ABC):
    """Places pods; one that does not fit is lost. now : the time. seconds : spent on deciding so far."""

    now: float = 0.0
    seconds: float = 0.0

    @abstractmethod
    def place(self, shapes: Sequence[Shape]) -> list[Placed | None]:
        """Machines and GPUs for pods that come in this order; they hold them from now on."""

    @abstractmethod
    def free(self, shape: Shape, placed: Placed) -> None:
        """The pod is gone; equal pods at one place are one like the other."""


class Policy(ABC):
    """An opinion on where a pod should go."""

    random_ties = False
    """Whether equal machines are drawn from, instead of the first in order being taken."""

    @abstractmethod
    def score(self, fleet: Fleet, shape: Shape, rows: Rows) -> tuple[Counts, Counts]:
        """For machines on which the shape fits: how good each is, >= 0, and which GPU a part of one is taken from.

        rows : (R,). returns two of (R,). Whole GPUs are always the first free ones, so there the GPU does not matter.
        """


def first_fit(fleet: Fleet, shape: Shape, rows: Rows) -> Counts:
    """(R,): the first GPU with enough left."""
    found: Counts = (fleet.gpus[rows] >= shape.milli).argmax(axis=1).astype(np.int64)
    return found


class _Cached:
    """Scores of all machines for one shape. seen : how much of the log of changes they account for."""

    __slots__ = ("allowed", "gpus", "scores", "seen")

    def __init__(self, fleet: Fleet, shape: Shape) -> None:
        self.scores: Counts = np.full(len(fleet.machines), -1, np.int64)
        self.gpus: Counts = np.zeros(len(fleet.machines), np.int64)
        self.allowed: Mask = fleet.allows(shape.models)
        self.seen = -1


class Reference(Scheduler):
    """A policy at work: the scores of a shape are kept, and only machines that changed since are scored again."""

    def __init__(self, policy: Policy, machines: Sequence[Machine], order: Sequence[int], seed: int) -> None:
        self.fleet = Fleet(machines, order)
        self._policy = policy
        self._random = np.random.default_rng(seed)
        self._cached: dict[Shape, _Cached] = {}
        self._changed: list[int] = []
        self._row = {machine.name: row for row, machine in enumerate(self.fleet.machines)}

    def place(self, shapes: Sequence[Shape]) -> list[Placed | None]:
        """Each on the best machine, the first in order among equals."""
        begun = time.perf_counter()
        found = [self._place(shape) for shape in shapes]
        self.seconds += time.perf_counter() - begun
        return found

    def _place(self, shape: Shape) -> Placed | None:
        cached = self._refreshed(shape)
        row = int(cached.scores.argmax())
        if cached.scores[row] < 0:
            return None
        if self._policy.random_ties:
            row = int(self._random.choice(np.flatnonzero(cached.scores == cached.scores[row])))
        gpus: tuple[int, ...] = ()
        if shape.gpus == 1:
            gpus = (int(cached.gpus[row]),)
        elif shape.gpus:
            gpus = tuple(np.flatnonzero(self.fleet.gpus[row] >= shape.milli)[: shape.gpus].tolist())
        self._take(row, shape, gpus, 1)
        return Placed(self.fleet.machines[row].name, tuple((gpu, shape.milli) for gpu in gpus))

    def free(self, shape: Shape, placed: Placed) -> None:
        """Give back what it holds."""
        self._take(self._row[placed.machine], shape, tuple(gpu for gpu, _ in placed.gpus), -1)

    def _take(self, row: int, shape: Shape, gpus: tuple[int, ...], sign: int) -> None:
        self.fleet.take(row, shape, gpus, sign)
        self._changed.append(row)

    def _refreshed(self, shape: Shape) -> _Cached:
        cached = self._cached.get(shape)
        if cached is None:
            cached = self._cached[shape] = _Cached(self.fleet, shape)
        new = len(self._changed) - cached.seen
        if cached.seen < 0 or new > len(self.fleet.machines):
            rows: Rows = np.arange(len(self.fleet.machines))
        else:
            rows = np.unique(np.array(self._changed[cached.seen :], np.int64))
        cached.seen = len(self._changed)
        rows = rows[cached.allowed[rows]]
        fits = self.fleet.fits(shape, rows)
        cached.scores[rows[~fits]] = -1
        rows = rows[fits]
        if len(rows):
            cached.scores[rows], cached.gpus[rows] = self._policy.score(self.fleet, shape, rows)
        return cached
