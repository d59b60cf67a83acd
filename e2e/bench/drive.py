"""The engine in a world that obeys: every write succeeds and is seen at once, and time is whatever the caller says.

Only the engine's own time is counted; making objects and answering for the API server is not.
"""

import gc
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from e2e.bench.engine import answer
from scheduler.core.cel import compile_selector
from scheduler.core.config import EngineConfig, Ownership
from scheduler.core.engine import Engine
from scheduler.core.messages import (
    BindPod,
    CreateClaim,
    DeleteClaim,
    Drained,
    Event,
    Gone,
    Instruction,
    ReleaseClaim,
    Seen,
    Slow,
    WriteAllocation,
)
from scheduler.core.model import Claim, ClaimSpec, Pod, PodClaim, Resources, Result, Uid
from scheduler.core.slow import answer as answer_slow

NAMESPACE = "bench"
SHIPPED: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Arrival:
    """A pod and its claims."""

    pod: Pod
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a pod is: its node, and the devices of its claims, claim by claim."""

    node: str
    results: tuple[Result, ...]


def arrival(number: int, specs: Sequence[ClaimSpec], requests: Resources) -> Arrival:
    """A pod with a claim for each spec; pods are served in the order of their numbers."""
    name = f"pod-{number:07d}"
    claims = tuple(
        Claim(NAMESPACE, f"{name}-{at}", Uid(f"{name}-{at}"), "1", spec, finalized=True)
        for at, spec in enumerate(specs)
    )
    pod = Pod(
        NAMESPACE, name, Uid(name), "1", "dovetail", "", {}, {}, 0, f"{number:010d}", "Pending", False, (), {}, None,
        (), requests, tuple(PodClaim(claim.name, claim.name, None) for claim in claims), {},
    )  # fmt: skip
    return Arrival(pod, claims)


class World:
    """weights : those that are not as shipped. seconds : that the engine took since it knows the objects.

    bound : pods that run.
    """

    def __init__(self, objects: Iterable[Event], seed: int, weights: Mapping[str, float]) -> None:
        self.engine = Engine(
            EngineConfig(ownership=Ownership(all_nodes=True), seed=seed, weights=weights, cycle_steps=10**9)
        )
        self.seconds = 0.0
        self.bound: dict[Uid, Bound] = {}
        self._inbox: deque[Event] = deque(objects)
        self._results: dict[Uid, dict[Uid, tuple[Result, ...]]] = {}
        # What a process does once: load the grammar of selectors, see the cluster, freeze as cluster/watch.py does.
        compile_selector("true")
        self.decide(0.0)
        self.seconds = 0.0
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def add(self, each: Arrival) -> None:
        """A pod is there from the next decision on."""
        self._inbox.extend(Seen(claim) for claim in each.claims)
        self._inbox.append(Seen(each.pod))

    def remove(self, each: Arrival) -> None:
        """A pod and its claims are gone from the next decision on."""
        self._inbox.append(Gone("Pod", each.pod.key, each.pod.uid))
        self._inbox.extend(Gone("ResourceClaim", claim.key, claim.uid) for claim in each.claims)
        self.bound.pop(each.pod.uid, None)
        self._results.pop(each.pod.uid, None)

    def decide(self, now: float) -> None:
        """Until there is nothing left to do."""
        while True:
            out: list[Instruction] = []
            while self._inbox:
                out += self._handle(self._inbox.popleft(), now)
            out += self._handle(Drained(), now)
            for instruction in out:
                self._answer(instruction)
            due = self.engine.next_wakeup()
            if not self._inbox and (due is None or due > now):
                return

    def _handle(self, event: Event, now: float) -> list[Instruction]:
        begun = time.perf_counter()
        out = self.engine.handle(event, now)
        self.seconds += time.perf_counter() - begun
        return out

    def _answer(self, instruction: Instruction) -> None:
        if isinstance(instruction, Slow):
            # Part of deciding, though a live engine has a process of its own for it.
            begun = time.perf_counter()
            self._inbox.append(answer_slow(instruction))
            self.seconds += time.perf_counter() - begun
            return
        if isinstance(instruction, WriteAllocation):
            held = self._results.setdefault(instruction.pod.uid, {})
            held[instruction.claim.uid] = instruction.allocation.results
        if isinstance(instruction, BindPod):
            held = self._results.get(instruction.pod.uid, {})
            results = tuple(result for claim in sorted(held) for result in held[claim])
            self.bound[instruction.pod.uid] = Bound(instruction.node, results)
        if isinstance(instruction, CreateClaim | DeleteClaim | ReleaseClaim):
            raise RuntimeError(f"nothing in a benchmark should lead to {instruction}")
        self._inbox.extend(answer(self.engine, instruction))
