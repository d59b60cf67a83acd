"""Dovetail's engine as one policy among others: a job is a pod with claims, and what it gets is read off them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from e2e.bench.drive import Arrival, Bound, World, arrival
from e2e.bench.queue import Placer
from scheduler.cluster.decode import decode
from scheduler.core.messages import Event, Listed, Seen
from scheduler.core.model import ClaimSpec, Resources
from scheduler.simulator.fleet import Raw

Kind = TypeVar("Kind")
SERVICE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a pod asks for."""

    claims: tuple[ClaimSpec, ...]
    requests: Resources


@dataclass(frozen=True, slots=True)
class Given:
    """What it got. The pod is kept to delete it."""

    bound: Bound
    arrival: Arrival


class Engine(Placer[Kind, Given], Generic[Kind]):
    """asked : what a kind of job is as a pod. seconds : spent on deciding so far."""

    def __init__(
        self, objects: Iterable[Event], asked: Callable[[Kind], Asked], seed: int, weights: Mapping[str, float]
    ) -> None:
        self._world = World(objects, seed, weights)
        self._asked = asked
        self.seconds = 0.0
        self._number = 0

    def place(self, kind: Kind) -> Given | None:
        """A pod that cannot run now is deleted: who waits is the benchmark's affair, and the same for all policies."""
        asked = self._asked(kind)
        pod = arrival(self._number, asked.claims, asked.requests)
        self._number += 1
        self._world.add(pod)
        self._world.decide(self.now * SERVICE_S)
        self.seconds = self._world.seconds
        bound = self._world.bound.get(pod.pod.uid)
        if bound is None:
            self._world.remove(pod)
            return None
        return Given(bound, pod)

    def free(self, got: Given) -> None:
        """Delete the pod and its claims."""
        self._world.remove(got.arrival)


def events(raw: Iterable[Raw]) -> list[Event]:
    """Objects of a fleet as the engine sees them."""
    return [*(Seen(decode(each["kind"], each)) for each in raw), Listed()]
