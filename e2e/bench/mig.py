"""S6: parts of GPUs under churn. 50 GPUs that can be cut as an A100 or H100 80GB can; what does not fit is lost.

Jobs ask for one MIG profile each, in four mixes. accepted : the share of jobs that got a part, mean over the mixes,
after a warm-up. Parts are partitionable devices (KEP-4815): a device for each profile and place, which take from the
counters of their GPU; there is no repacking.
"""

from collections.abc import Mapping
from functools import cache
from itertools import accumulate

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from e2e.bench.check import WrongStateError
from e2e.bench.claims import Asked, Engine, Given
from e2e.bench.drive import SHIPPED
from e2e.bench.queue import Job, Placer, lossy, stream
from scheduler.core.messages import Event, Listed, Seen
from scheduler.core.model import (
    AttributeValue,
    ClaimSpec,
    CounterSet,
    CounterUse,
    Device,
    DeviceClass,
    Node,
    Request,
    Slice,
    Uid,
)
from scheduler.core.quantity import parse_quantity

GPUS = 50
PER_NODE = 8
LOAD = 0.95
JOBS = 2000
POLICIES = ("dovetail", "firstfit", "bestfit", "gradient")
DRIVER = "gpu.nvidia.com"
SLICES = 8

# NVIDIA MIG user guide, A100 and H100 80GB: memory slices of a part, where it may start, compute slices.
PROFILES = {
    "1g.10gb": (1, (0, 1, 2, 3, 4, 5, 6), 1),
    "1g.20gb": (2, (0, 2, 4, 6), 1),
    "2g.20gb": (2, (0, 2, 4), 2),
    "3g.40gb": (4, (0, 4), 3),
    "4g.40gb": (4, (0,), 4),
    "7g.80gb": (8, (0,), 7),
}
# Shares as in arXiv 2511.18906, in the order of the profiles above.
MIXES = {
    "uniform": (1 / 6,) * 6,
    "small": (0.30, 0.25, 0.20, 0.10, 0.10, 0.05),
    "big": (0.05, 0.10, 0.10, 0.20, 0.25, 0.30),
    "bimodal": (0.30, 0.15, 0.05, 0.05, 0.15, 0.30),
}
Got = tuple[int, str, int]
"""GPU, profile, first memory slice."""


@cache
def mask(profile: str, start: int) -> int:
    """Memory slices as bits. Compute slices need no account: whatever places allow has enough of them."""
    size, _, _ = PROFILES[profile]
    return ((1 << size) - 1) << start


@cache
def places(profile: str, used: int) -> tuple[int, ...]:
    """Where a part can still start on a GPU whose memory slices `used` are taken."""
    return tuple(start for start in PROFILES[profile][1] if not used & mask(profile, start))


class Cut(Placer[str, Got]):
    """Reference policies; the first GPU and the first place among equals.

    firstfit : the first that fits. bestfit : the GPU with the fewest free slices. gradient : where the slices that a
    profile cannot use, averaged over the mix, grow the least.
    """

    def __init__(self, policy: str, shares: tuple[float, ...]) -> None:
        self._policy = policy
        self._shares = dict(zip(PROFILES, shares, strict=True))
        self._used = [0] * GPUS
        self._costs: dict[tuple[str, int, int], float] = {}

    def place(self, kind: str) -> Got | None:
        """The least cost."""
        offers = [(gpu, start) for gpu, used in enumerate(self._used) for start in places(kind, used)]
        if not offers:
            return None
        gpu, start = min(offers, key=lambda offer: self._cost(kind, self._used[offer[0]], offer[1]))
        self._used[gpu] |= mask(kind, start)
        return gpu, kind, start

    def free(self, got: Got) -> None:
        """Give the slices back."""
        gpu, kind, start = got
        self._used[gpu] &= ~mask(kind, start)

    def _cost(self, kind: str, used: int, start: int) -> float:
        if self._policy == "firstfit":
            return 0.0
        if self._policy == "bestfit":
            return -used.bit_count()
        key = (kind, used, start)
        if key not in self._costs:
            self._costs[key] = self._fragment(used | mask(kind, start)) - self._fragment(used)
        return self._costs[key]

    def _fragment(self, used: int) -> float:
        found = 0.0
        for profile, share in self._shares.items():
            usable = 0
            for start in places(profile, used):
                usable |= mask(profile, start)
            found += share * (SLICES - used.bit_count() - usable.bit_count())
        return found


def run(policy: str, seed: int, count: int = JOBS, weights: Mapping[str, float] = SHIPPED) -> dict[str, float]:
    """All four mixes, `count` jobs each, of which the first quarter does not count."""
    found: dict[str, float] = {}
    seconds = 0.0
    for mix, shares in MIXES.items():
        jobs = arrivals(mix, seed, count)
        if policy == "dovetail":
            engine = Engine(objects(), asked, seed, weights)
            given = lossy(jobs, engine)
            got = [None if each is None else read(each) for each in given]
            seconds += engine.seconds
        else:
            got = lossy(jobs, Cut(policy, shares))
        verify(jobs, got)
        found[f"accepted_{mix}"] = sum(each is not None for each in got[count // 4 :]) / (count - count // 4)
    figures = {"accepted": float(np.mean(list(found.values()))), **found}
    return {**figures, "pods_per_second": count * len(MIXES) / seconds} if seconds else figures


def arrivals(mix: str, seed: int, count: int = JOBS) -> list[Job[str]]:
    """The load is that on memory slices."""
    mean = sum(share * PROFILES[profile][0] for profile, share in zip(PROFILES, MIXES[mix], strict=True))
    return stream(list(PROFILES), MIXES[mix], LOAD * SLICES * GPUS / mean, count, seed)


def verify(jobs: list[Job[str]], got: list[Got | None]) -> None:
    """No slice is held twice at any time, no part starts where it may not, and none is another than was asked for."""
    held: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for job, each in zip(jobs, got, strict=True):
        if each is None:
            continue
        gpu, profile, start = each
        size, starts, _ = PROFILES[profile]
        if profile != job.kind or start not in starts or not 0 <= gpu < GPUS:
            raise WrongStateError(f"a job for {job.kind} got {profile} at {start} of GPU {gpu}")
        for at in range(start, start + size):
            held.setdefault((gpu, at), []).append((job.arrives, job.arrives + job.service))
    for (gpu, at), spans in held.items():
        spans.sort()
        latest = list(accumulate((end for _, end in spans), max))
        if any(begun < before for (begun, _), before in zip(spans[1:], latest, strict=False)):
            raise WrongStateError(f"memory slice {at} of GPU {gpu} was held twice")


def objects() -> list[Event]:
    """Nodes of 8 GPUs as the NVIDIA driver's dynamic MIG publishes them: counter sets, then a slice for each GPU."""
    kind = f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == 'mig'"
    found: list[Event] = [Seen(DeviceClass("mig.nvidia.com", (kind,)))]
    for first in range(0, GPUS, PER_NODE):
        gpus = range(min(PER_NODE, GPUS - first))
        name = f"node-{first // PER_NODE:02d}"
        resources = {"cpu": 256_000, "memory": 2**41, "pods": 1000}
        found.append(Seen(Node(name, Uid(name), {}, {}, (), False, resources)))
        one = parse_quantity("1")
        counters = {"multiprocessors": parse_quantity("98"), **{f"memory-slice-{at}": one for at in range(SLICES)}}
        sets = tuple(CounterSet(f"gpu-{gpu}-counter-set", counters) for gpu in gpus)
        count = 1 + len(gpus)
        found.append(Seen(Slice(f"{name}-sets", DRIVER, name, 1, count, name, None, False, (), counter_sets=sets)))
        for gpu in gpus:
            devices = tuple(_part(name, gpu, profile, at) for profile in PROFILES for at in PROFILES[profile][1])
            found.append(Seen(Slice(f"{name}-gpu-{gpu}", DRIVER, name, 1, count, name, None, False, devices)))
    return [*found, Listed()]


def _part(node: str, gpu: int, profile: str, start: int) -> Device:
    size, _, compute = PROFILES[profile]
    used = {f"memory-slice-{at}": parse_quantity("1") for at in range(start, start + size)}
    used["multiprocessors"] = parse_quantity(str(14 * compute))
    attributes: dict[str, AttributeValue] = {
        "type": "mig",
        "profile": profile,
        "parentUUID": f"GPU-{node}-{gpu}",
        "productName": "NVIDIA A100-SXM4-80GB",
        "resource.kubernetes.io/pciBusID": f"0000:{16 * gpu + 7:02x}:00.0",
        "resource.kubernetes.io/numaNode": gpu // 4,
    }
    name = f"gpu-{gpu}-mig-{profile.replace('.', '')}-{start}"
    memory = {"memory": parse_quantity(f"{10 * size}Gi")}
    return Device(name, attributes, memory, consumes=(CounterUse(f"gpu-{gpu}-counter-set", used),))


def asked(profile: str) -> Asked:
    """A claim for one part."""
    selector = f'device.attributes["{DRIVER}"].profile == "{profile}"'
    return Asked((ClaimSpec((Request("part", "mig.nvidia.com", (selector,)),)),), {"cpu": 1000, "memory": 2**30})


def read(given: Given) -> Got:
    """GPU, profile and place, from the device's name."""
    [result] = given.bound.results
    _, gpu, _, short, start = result.device.split("-")
    profile = next(name for name in PROFILES if name.replace(".", "") == short)
    return PER_NODE * int(given.bound.node.rpartition("-")[2]) + int(gpu), profile, int(start)


# ---------------------------------------------------------------- what repacking could do


def repacked(seed: int, count: int = JOBS) -> float:
    """Share accepted, mean over the mixes, if all parts may be moved whenever a job comes. No policy repacks so freely.

    A job is accepted if everything then fits; turning one away for the sake of later ones might do better still, so
    this is no proof, but nothing that keeps parts where they are has come near.
    """
    shares = []
    for mix in MIXES:
        jobs = arrivals(mix, seed, count)
        got = lossy(jobs, _Repacked())
        shares.append(sum(each is not None for each in got[count // 4 :]) / (count - count // 4))
    return float(np.mean(shares))


class _Repacked(Placer[str, str]):
    """Counts parts, wherever they are."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(PROFILES, 0)

    def place(self, kind: str) -> str | None:
        then = {**self._counts, kind: self._counts[kind] + 1}
        if not packs(tuple(then.values())):
            return None
        self._counts = then
        return kind

    def free(self, got: str) -> None:
        self._counts[got] -= 1


@cache
def packs(counts: tuple[int, ...]) -> bool:
    """Whether so many parts of each profile fit on the GPUs: large ones first, and if that fails, exactly."""
    return _large_first(counts) or _exactly(counts)


def _large_first(counts: tuple[int, ...]) -> bool:
    used = [0] * GPUS
    for profile, count in reversed(list(zip(PROFILES, counts, strict=True))):
        gpu = 0
        for _ in range(count):
            while gpu < GPUS and not places(profile, used[gpu]):
                gpu += 1
            if gpu == GPUS:
                return False
            used[gpu] |= mask(profile, places(profile, used[gpu])[-1])
    return True


@cache
def _fullest() -> list[tuple[int, ...]]:
    """Ways to cut one GPU to which nothing can be added, as counts of each profile."""
    found = set()
    seen = {(0, (0,) * len(PROFILES))}
    todo = list(seen)
    while todo:
        used, counts = todo.pop()
        grown = [
            (used | mask(profile, start), tuple(n + (at == i) for i, n in enumerate(counts)))
            for at, profile in enumerate(PROFILES)
            for start in places(profile, used)
        ]
        if not grown:
            found.add(counts)
        todo += [each for each in grown if each not in seen]
        seen.update(grown)
    return sorted(found)


def _exactly(counts: tuple[int, ...]) -> bool:
    """Whole numbers of GPUs cut in each way, no more than there are, with parts enough."""
    ways = np.array(_fullest())
    answer = milp(
        np.ones(len(ways)),
        constraints=LinearConstraint(ways.T, lb=counts),
        integrality=np.ones(len(ways)),
        bounds=Bounds(lb=0),
    )
    if not answer.success:
        raise RuntimeError(f"the program for {counts} was not solved: {answer.message}")
    return bool(round(answer.fun) <= GPUS)
