"""Jobs that arrive at random, wait or are lost, run and leave: one clock for every policy.

Arrivals are Poisson, services exponential with mean 1, so times are in services.
"""

import heapq
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Kind = TypeVar("Kind")
Got = TypeVar("Got")


class Placer(ABC, Generic[Kind, Got]):
    """Gives jobs their devices. now : the time, in services, set by whoever asks."""

    now: float = 0.0

    @abstractmethod
    def place(self, kind: Kind) -> Got | None:
        """What a job gets, which is held from now on; None if there is no room for it now."""

    @abstractmethod
    def free(self, got: Got) -> None:
        """The job is over."""


@dataclass(frozen=True, slots=True)
class Job(Generic[Kind]):
    """When it arrives, how long it runs, what it asks for."""

    arrives: float
    service: float
    kind: Kind


@dataclass(frozen=True, slots=True)
class Ran(Generic[Kind, Got]):
    """A job that was placed: when, with what."""

    job: Job[Kind]
    begun: float
    got: Got


def stream(kinds: Sequence[Kind], shares: Sequence[float], rate: float, count: int, seed: int) -> list[Job[Kind]]:
    """`count` jobs, `rate` of them per service; `shares` sum up to 1."""
    random = np.random.default_rng(seed)
    arrives = np.cumsum(random.exponential(1 / rate, count)).tolist()
    services = random.exponential(1.0, count).tolist()
    drawn = random.choice(len(kinds), size=count, p=shares).tolist()
    return [Job(at, service, kinds[i]) for at, service, i in zip(arrives, services, drawn, strict=True)]


def first_come(jobs: Sequence[Job[Kind]], placer: Placer[Kind, Got]) -> list[Ran[Kind, Got]]:
    """First come, first served: while the first in the queue does not fit, all behind it wait."""
    coming = deque(jobs)
    queue: deque[Job[Kind]] = deque()
    running: list[tuple[float, int]] = []
    held: dict[int, Got] = {}
    found: list[Ran[Kind, Got]] = []
    while coming or queue:
        if running and (not coming or running[0][0] <= coming[0].arrives):
            placer.now, number = heapq.heappop(running)
            placer.free(held.pop(number))
        elif coming:
            placer.now = coming[0].arrives
            queue.append(coming.popleft())
        else:
            raise RuntimeError(f"nothing runs, and there is no room for {queue[0]}")
        while queue:
            got = placer.place(queue[0].kind)
            if got is None:
                break
            job = queue.popleft()
            heapq.heappush(running, (placer.now + job.service, len(found)))
            held[len(found)] = got
            found.append(Ran(job, placer.now, got))
    return found


def lossy(jobs: Sequence[Job[Kind]], placer: Placer[Kind, Got]) -> list[Got | None]:
    """What each job got; one that does not fit when it comes is lost."""
    running: list[tuple[float, int]] = []
    found: list[Got | None] = []
    for number, job in enumerate(jobs):
        while running and running[0][0] <= job.arrives:
            placer.now, gone = heapq.heappop(running)
            held = found[gone]
            assert held is not None
            placer.free(held)
        placer.now = job.arrives
        got = placer.place(job.kind)
        found.append(got)
        if got is not None:
            heapq.heappush(running, (job.arrives + job.service, number))
    return found
