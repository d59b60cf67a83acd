"""What one decision costs over a large cluster: `python -m e2e.bench.scoring`.

5,000 nodes x 8 GPUs of three products, each GPU in use or free by the toss of a coin, so that nodes are in all states
that there are. Printed is CPU time, one JSON line a kind of pod: *cold*, the first pod of its class, with what
selectors say of devices at hand; *cached*, a later pod of the class, after a pod came to one node or left it. The first
is compared in the same run with a search of each state by itself, as before there were tables of sets. The last line
is the same for GPUs that are shared.
"""

import argparse
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from e2e.bench.engine import DRIVER, world
from scheduler.core.budget import Budget
from scheduler.core.candidates import Candidates
from scheduler.core.catalogue import Catalogue
from scheduler.core.config import EngineConfig, Ownership
from scheduler.core.demand import Demand, resolve
from scheduler.core.engine import Engine
from scheduler.core.messages import Event, Listed, Seen
from scheduler.core.model import (
    Allocation,
    Claim,
    ClaimSpec,
    Constraint,
    Pod,
    PodClaim,
    Request,
    Result,
    Slice,
    Uid,
)
from scheduler.core.quantity import parse_quantity
from scheduler.core.solvers.search import NodeProblem
from scheduler.core.state import State
from scoring.opinion import Opinion
from scoring.weights import Weights

_UNLIMITED = 10**12
COLD_US, CACHED_US = 5_000.0, 50.0
REQUESTS = {"cpu": 4_000, "memory": 2**33}
PAIR = (Constraint((), "resource.kubernetes.io/pcieRoot"),)
KINDS = (
    ("1 GPU", (1,), ()),
    ("2 GPUs", (2,), ()),
    ("4 GPUs", (4,), ()),
    ("4 requests", (1, 1, 1, 1), ()),
    ("2 behind one root", (1, 1), PAIR),
)
"""(name, counts of the requests, constraints)."""


class Searched(Catalogue):
    """Every state of a node is searched by itself."""

    def table(self, problem: NodeProblem) -> None:
        """None is made."""


def cluster(nodes: int, devices: int, *, shared: bool, seed: int) -> State:
    """Half of all devices are in use; of shared ones, a random part of each."""
    chance = random.Random(seed)
    engine = Engine(EngineConfig(ownership=Ownership(all_nodes=True)))
    events: list[Event] = []
    for event in world(nodes, devices):
        if isinstance(event, Seen) and isinstance(event.item, Slice) and shared:
            each = tuple(replace(device, shareable=True) for device in event.item.devices)
            events.append(Seen(replace(event.item, devices=each)))
        elif not isinstance(event, Listed):
            events.append(event)
    for number in range(nodes):
        name = f"node-{number:05d}"
        used = [index for index in range(devices) if shared or chance.random() < 0.5]
        results = [_used(name, index, chance.randrange(8) if shared else None) for index in used]
        spec = ClaimSpec((Request("r", "gpu", count=max(len(used), 1)),))
        allocation = Allocation(tuple(results), None) if results else None
        events.append(Seen(Claim("bench", name, Uid(f"held-{name}"), "1", spec, allocation=allocation)))
    for event in events:
        engine.handle(event, 0.0)
    engine.state.settle()
    return engine.state


def _used(node: str, index: int, eighths: int | None) -> Result:
    result = Result("r", DRIVER, node, f"gpu-{index}")
    if eighths is None:
        return result
    return replace(result, share_id=f"{node}-{index}", consumed={"memory": parse_quantity(f"{5 * eighths}Gi")})


def demand(state: State, counts: Sequence[int], constraints: tuple[Constraint, ...], memory: str = "") -> Demand:
    """Of a pod that asks for so many devices in so many requests."""
    capacity = {"memory": parse_quantity(memory)} if memory else None
    asked = tuple(Request(f"r{at}", "gpu", count=count, capacity=capacity) for at, count in enumerate(counts))
    state.put_claim(Claim("bench", "asked", Uid("asked"), "1", ClaimSpec(asked, constraints)))
    pod = Pod(
        "bench", "pod", Uid("pod"), "1", "dovetail", "", {}, {}, 0, "0", "Pending", False, (), {}, None,
        (), REQUESTS, (PodClaim("devices", "asked", None),), {},
    )  # fmt: skip
    ways = resolve(pod, state)
    return ways.open[0].demand  # type: ignore[union-attr]


def cpu(work: Callable[[], object]) -> float:
    """Microseconds of CPU time."""
    begun = time.process_time_ns()
    work()
    return (time.process_time_ns() - begun) / 1000


def measure(state: State, asked: Demand, rounds: int, table: type[Catalogue]) -> tuple[float, Candidates]:
    """Median microseconds of a cold decision, and the class."""
    config = EngineConfig()
    found: list[float] = []
    for _ in range(rounds):
        catalogue = table(config)
        catalogue.stock.refresh(state)
        catalogue.parts.refresh(state, catalogue.stock.market, catalogue.stock.version)
        for want in asked.wants:
            catalogue.eligibility(want.request).refresh(state, catalogue.verdicts, Budget(_UNLIMITED))
        candidates = Candidates(asked, catalogue, Opinion(Weights()))
        found.append(cpu(lambda each=candidates: decide(state, each)))
    return statistics.median(found), candidates


def decide(state: State, candidates: Candidates) -> None:
    """What a pod of the class costs before its claims are written."""
    candidates.refresh(state, Budget(_UNLIMITED))
    candidates.best(state)


def later(state: State, candidates: Candidates, decisions: int) -> float:
    """Microseconds of a decision after a pod of 4 cores came to a random node or left it, the mean of many."""
    chance = random.Random(1)
    rows = np.flatnonzero(state.nodes.live).tolist()
    taken: list[int] = []

    def many(times: int) -> None:
        for _ in range(times):
            if taken and chance.random() < 0.5:
                state.nodes.use(taken.pop(), REQUESTS, -1)
            else:
                taken.append(chance.choice(rows))
                state.nodes.use(taken[-1], REQUESTS, 1)
            decide(state, candidates)

    found = [cpu(lambda: many(decisions)) / decisions for _ in range(5)]
    for row in taken:
        state.nodes.use(row, REQUESTS, -1)
    return statistics.median(found)


def main() -> int:
    """Run and print; the exit code says whether both limits hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--decisions", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    held = True
    for shared in (False, True):
        state = cluster(chosen.nodes, chosen.devices, shared=shared, seed=chosen.seed)
        gc.collect()
        gc.freeze()
        kinds = [("a share of 10Gi", (1,), ())] if shared else KINDS
        for name, counts, constraints in kinds:
            asked = demand(state, counts, constraints, "10Gi" if shared else "")
            cold, candidates = measure(state, asked, chosen.rounds, Catalogue)
            cached = later(state, candidates, chosen.decisions)
            line = {
                "bench": "scoring",
                **vars(chosen),
                "kind": name,
                "cold_us": round(cold),
                "cached_us": round(cached, 1),
            }
            if not shared:
                searched, _ = measure(state, asked, 1, Searched)
                line |= {"searched_us": round(searched), "ratio": round(searched / cold, 1)}
            print(json.dumps(line), flush=True)
            held &= cold <= COLD_US and cached <= CACHED_US
        gc.unfreeze()
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
