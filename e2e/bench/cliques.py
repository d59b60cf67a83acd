"""S7: GPUs that are linked unevenly (DGX-1V, a hybrid cube mesh) and GPUs that are not (DGX H100, NVSwitch).

16 boxes of 8 GPUs; jobs of 1, 2, 3, 4 or 8 GPUs come at random and wait in one queue, first come, first served.

set_quality : links inside the job's set, of the most that a set of its size can have; mean over jobs of 2 to 4 GPUs.
p5_ring     : the 5th percentile of the slowest link on the job's best ring, of that of the best set of its size.
wait        : mean, in mean run times. alloc : percent of the GPUs in use, over time.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from itertools import combinations, pairwise, permutations

import numpy as np

from e2e.bench.check import WrongStateError
from e2e.bench.claims import Asked, Engine, Given, events
from e2e.bench.drive import SHIPPED
from e2e.bench.queue import Placer, first_come, stream
from scheduler.core.messages import Event
from scheduler.core.model import ClaimSpec, Request
from scheduler.simulator import fleet

NODES = 16
GPUS = 8
SIZES = (1, 2, 3, 4, 8)
SHARES = (0.35, 0.25, 0.08, 0.22, 0.10)
LOAD = 0.8
JOBS = 4000
MESH = "dgx1-v100"
SWITCHED = "dgx-h100"
POLICIES = ("dovetail", "firstfit", "packing", "bestset")

# NCCL issue 671 and go-gpuallocator's tests: NVLinks between the GPUs of a DGX-1 with V100.
_LINKS = {1: "01 02 13 26 37 45 46 57", 2: "03 04 12 15 23 47 56 67"}
_LINK_GBPS = 25
_PCIE_GBPS = 10
Set = tuple[int, ...]
Got = tuple[int, Set]


@cache
def links() -> dict[Set, int]:
    """Links of each pair, smaller number first."""
    found: dict[Set, int] = dict.fromkeys(combinations(range(GPUS), 2), 0)
    for count, pairs in _LINKS.items():
        found.update({(int(pair[0]), int(pair[1])): count for pair in pairs.split()})
    return found


@cache
def inside(members: Set) -> int:
    """Links inside a set."""
    return sum(links()[pair] for pair in combinations(members, 2))


@cache
def ring(members: Set) -> int:
    """GB/s of the slowest hop on the set's best ring; two GPUs are a ring of one hop."""
    first, rest = members[0], members[1:]
    return max(
        min(_LINK_GBPS * links()[min(a, b), max(a, b)] or _PCIE_GBPS for a, b in pairwise((first, *order, first)))
        for order in permutations(rest)
    )


@cache
def best(size: int) -> tuple[int, int]:
    """The most links, and the fastest ring, that a set of this size can have."""
    sets = list(combinations(range(GPUS), size))
    return max(map(inside, sets)), max(map(ring, sets))


class Boxes(Placer[int, Got]):
    """Reference policies.

    firstfit : the first box in order, its first GPUs. packing : the fullest box, its first GPUs. bestset : the set with
    the most links, wherever it is.
    """

    def __init__(self, policy: str) -> None:
        self._policy = policy
        self._free = [tuple(range(GPUS)) for _ in range(NODES)]

    def place(self, kind: int) -> Got | None:
        """The first among equals."""
        nodes = [node for node in range(NODES) if len(self._free[node]) >= kind]
        if not nodes:
            return None
        if self._policy == "bestset":
            offers = {node: _linked(self._free[node], kind) for node in nodes}
            node = max(nodes, key=lambda each: inside(offers[each]))
            chosen = offers[node]
        else:
            node = nodes[0] if self._policy == "firstfit" else min(nodes, key=lambda each: len(self._free[each]))
            chosen = self._free[node][:kind]
        self._free[node] = tuple(gpu for gpu in self._free[node] if gpu not in chosen)
        return node, chosen

    def free(self, got: Got) -> None:
        """GPUs are kept in order."""
        node, chosen = got
        self._free[node] = tuple(sorted((*self._free[node], *chosen)))


@cache
def _linked(free: Set, size: int) -> Set:
    return max(combinations(free, size), key=inside)


def run(
    box: str, policy: str, seed: int, count: int = JOBS, weights: Mapping[str, float] = SHIPPED
) -> dict[str, float]:
    """One queue of `count` jobs on boxes of one kind, MESH or SWITCHED; the first tenth does not count."""
    mean = sum(size * share for size, share in zip(SIZES, SHARES, strict=True))
    jobs = stream(SIZES, SHARES, LOAD * NODES * GPUS / mean, count, seed)
    seconds = 0.0
    if policy == "dovetail":
        engine = Engine(_objects(box), _asked, seed, weights)
        ran = [(each.job, each.begun, _read(each.got)) for each in first_come(jobs, engine)]
        seconds = engine.seconds
    else:
        ran = [(each.job, each.begun, each.got) for each in first_come(jobs, Boxes(policy))]
    verify([(job.kind, begun, begun + job.service, got) for job, begun, got in ran])
    start, end = jobs[count // 10].arrives, jobs[-1].arrives
    inside_window = [job.kind * max(0.0, min(begun + job.service, end) - max(begun, start)) for job, begun, _ in ran]
    ran = ran[count // 10 :]
    found = {
        "wait": float(np.mean([begun - job.arrives for job, begun, _ in ran])),
        "alloc": 100 * sum(inside_window) / (end - start) / (NODES * GPUS),
    }
    if box == MESH:
        sets = [chosen for _, _, (_, chosen) in ran if 2 <= len(chosen) < GPUS]
        found["set_quality"] = float(np.mean([inside(each) / best(len(each))[0] for each in sets]))
        found["p5_ring"] = float(np.percentile([ring(each) / best(len(each))[1] for each in sets], 5))
    return {**found, "pods_per_second": len(jobs) / seconds} if seconds else found


def verify(ran: list[tuple[int, float, float, Got]]) -> None:
    """Everybody has as many GPUs as were asked for, and none is held twice at any time."""
    held: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for size, begun, ended, (node, gpus) in ran:
        if len(set(gpus)) != size or not 0 <= node < NODES or not set(gpus) <= set(range(GPUS)):
            raise WrongStateError(f"a job for {size} GPUs got {gpus} of node {node}")
        for gpu in gpus:
            held[node, gpu].append((begun, ended))
    for (node, gpu), spans in held.items():
        spans.sort()
        if any(later[0] < earlier[1] for earlier, later in pairwise(spans)):
            raise WrongStateError(f"GPU {gpu} of node {node} was held twice")


def _objects(box: str) -> list[Event]:
    return events([*fleet.fleet({box: NODES}), *fleet.device_classes()])


def _asked(size: int) -> Asked:
    spec = ClaimSpec((Request("gpus", fleet.NVIDIA, count=size),))
    return Asked((spec,), {"cpu": 8000 * size, "memory": 2**35 * size})


def _read(given: Given) -> Got:
    """The node's number, and those of its GPUs."""
    node = int(given.bound.node.rpartition("-")[2])
    return node, tuple(sorted(int(result.device.removeprefix("gpu-")) for result in given.bound.results))
