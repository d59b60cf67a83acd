"""What one hostile tenant costs the others: `python -m e2e.bench.fairness [--rounds N] [--seconds S] [--only WORDS]`.

500 nodes x 8 GPUs; on every fourth the GPUs can be had in parts, which shared counters keep apart. Pods of ordinary
tenants arrive at a steady rate, live for a while and go. The scheduler is the live one: its loop, its engine and its
worker process for slow work; only the API server is left out, every write succeeds at once. Measured is the time from
when a pod was to be seen to the instruction that binds it.

Every round runs without and then with a tenant who keeps pods pending that each ask for something of their own, as hard
to decide as the API allows. One JSON line per kind of claim: medians over the rounds, and the ratio of the p99. A pod
that is not bound when a round ends counts as if it were bound then; ten seconds after the last pod a round is ended,
even in the middle of a decision.
"""

import argparse
import asyncio
import contextlib
import gc
import hashlib
import json
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from e2e.bench.engine import DRIVER, answer, device, workload
from scheduler.cluster.lease import OpenFence
from scheduler.core.config import EngineConfig, Ownership
from scheduler.core.engine import Engine
from scheduler.core.messages import BindPod, EvaluateScalar, Event, Gone, Instruction, Listed, Seen, Slow, Solve
from scheduler.core.model import (
    Claim,
    ClaimSpec,
    Constraint,
    CounterSet,
    CounterUse,
    Device,
    DeviceClass,
    Node,
    Pod,
    PodClaim,
    Request,
    Slice,
    Uid,
)
from scheduler.core.quantity import parse_quantity
from scheduler.service.aside import Aside
from scheduler.service.loop import Loop

ATTRIBUTE = f'device.attributes["{DRIVER}"]'
PARTS = ((4, 0), (3, 0), (3, 4), (2, 0), (2, 2), (2, 4))
"""(slices of memory, the first of them) of the parts of a GPU, whose whole has 7."""
PATIENCE_S = 10.0
WORKLOAD = workload(8)


def world(nodes: int) -> list[Event]:
    """Nodes, slices and classes."""
    events: list[Event] = [
        Seen(DeviceClass("gpu", (f"device.driver == '{DRIVER}' && {ATTRIBUTE}.type == 'gpu'",))),
        Seen(DeviceClass("part", (f"device.driver == '{DRIVER}' && {ATTRIBUTE}.type != 'gpu'",))),
        Seen(DeviceClass("any", ())),
    ]
    for number in range(nodes):
        name = f"node-{number:05d}"
        resources = {"cpu": 96_000, "memory": 2**40, "pods": 110, "ephemeral-storage": 2**40}
        events.append(Seen(Node(name, Uid(name), {"kubernetes.io/hostname": name}, {}, (), False, resources)))
        whole = tuple(_gpu(number, index) for index in range(8))
        if number % 4:
            events.append(Seen(Slice(f"{name}-slice", DRIVER, name, 1, 1, name, None, False, whole)))
            continue
        sets = tuple(
            CounterSet(f"gpu-{index}", {f"slice-{at}": parse_quantity("1") for at in range(7)}) for index in range(8)
        )
        parts = tuple(part for gpu in whole[:4] for part in _parts(gpu))
        events.append(Seen(Slice(f"{name}-sets", DRIVER, name, 1, 2, name, None, False, (), counter_sets=sets)))
        events.append(Seen(Slice(f"{name}-slice", DRIVER, name, 1, 2, name, None, False, parts)))
    return [*events, Listed()]


def _gpu(node: int, index: int) -> Device:
    gpu = device("NVIDIA H100 80GB HBM3", "80Gi", node, index)
    return replace(gpu, attributes={**gpu.attributes, "uuid": _uuid(f"{node} {index}")})


def _uuid(of: str) -> str:
    return hashlib.sha256(of.encode()).hexdigest()[:32]


def _parts(gpu: Device) -> Iterator[Device]:
    yield replace(gpu, consumes=(_use(gpu.name, range(7)),))
    for size, start in PARTS:
        name = f"{gpu.name}-{size}g-{start}"
        attributes = {**gpu.attributes, "type": "mig", "size": size, "uuid": _uuid(f"{gpu.attributes['uuid']} {name}")}
        yield replace(gpu, name=name, attributes=attributes, consumes=(_use(gpu.name, range(start, start + size)),))


def _use(counter_set: str, slices: range) -> CounterUse:
    return CounterUse(counter_set, {f"slice-{at}": parse_quantity("1") for at in slices})


def ordinary(number: int) -> tuple[Pod, Claim]:
    """Every fifth asks for a part of a GPU, the others as in the engine's benchmark."""
    pod, claim = WORKLOAD[number % len(WORKLOAD)]
    name = f"pod-{number:07d}"
    spec = claim.spec
    if number % 5 == 4:
        spec = ClaimSpec((Request("part", "part", (f"{ATTRIBUTE}.size == {2 + number % 3}",)),))
    claim = replace(claim, name=name, uid=Uid(f"claim-{name}"), spec=spec)
    return replace(pod, name=name, uid=Uid(name), created=name, claims=(PodClaim("devices", name, None),)), claim


# ---------------------------------------------------------------- what a hostile tenant asks for


def _uuids(salt: int, which: int) -> str:
    """A selector that takes about three quarters of all devices, on each node others."""
    digits = "0123456789abcdef"
    left_out = {digits[(salt * step + which * (step + 2) + step) % 16] for step in (1, 3, 5, 7)}
    return f"{ATTRIBUTE}.uuid.matches('^.{{{which % 30}}}[{''.join(sorted(set(digits) - left_out))}]')"


def matching(salt: int) -> ClaimSpec:
    """As many requests as a claim can have, all over the same devices, no two of which may be alike."""
    asked = tuple(Request(f"r{i}", "any", (_uuids(salt, i),)) for i in range(32))
    return ClaimSpec(asked, (Constraint((), f"{DRIVER}/uuid", True), Constraint((), f"{DRIVER}/size", True)))


def numbered(salt: int) -> ClaimSpec:
    """Requests for parts that must come from different places in two ways at once."""
    asked = tuple(Request(f"r{i}", "part", (_uuids(salt, i),)) for i in range(9))
    root = "resource.kubernetes.io/pcieRoot"
    return ClaimSpec(
        asked,
        (
            Constraint(tuple(f"r{i}" for i in range(0, 9, 3)), f"{DRIVER}/size"),
            Constraint(tuple(f"r{i}" for i in range(1, 9, 3)), root),
            Constraint(tuple(f"r{i}" for i in range(2, 9, 3)), "resource.kubernetes.io/pciBusID", True),
        ),
    )


def packing(salt: int) -> ClaimSpec:
    """Parts whose sum is what a node has, and that cannot be packed."""
    sizes = (3, 3, 3, 3, 3, 4, 2, 2, 2, 3)
    asked = tuple(
        Request(f"r{i}", "part", (f"{ATTRIBUTE}.size >= {size}", _uuids(salt, i))) for i, size in enumerate(sizes)
    )
    return ClaimSpec(asked)


def alternatives(salt: int) -> ClaimSpec:
    """Lists of eight alternatives each, of which nearly all fail late."""
    asked = tuple(
        Request(
            f"r{i}",
            "",
            alternatives=tuple(
                Request(f"a{j}", "part", (f"{ATTRIBUTE}.size >= {2 + (i + j) % 3}", _uuids(salt, i + j)), count=2)
                for j in range(8)
            ),
        )
        for i in range(16)
    )
    return ClaimSpec(asked, (Constraint((), f"{DRIVER}/uuid", True),))


def costly(salt: int) -> ClaimSpec:
    """A selector close to the limit of what one evaluation may cost, that reads what is different on each device."""
    numbers = "[1,2,3,4,5,6,7,8,9,10]"
    loops = f"{numbers}.all(a, {numbers}.all(b, {numbers}.all(c, {numbers}.all(d, a + b + c + d > 0))))"
    return ClaimSpec((Request("r", "gpu", (f"{loops} && {ATTRIBUTE}.uuid == 'none-{salt}'",)),))


def _long(salt: int, which: int) -> str:
    terms = " || ".join(f"{ATTRIBUTE}.uuid == 'x{salt}-{which}-{i}'" for i in range(1000))
    return terms[: terms.rindex(" || ", 0, 10_240)]


def long_selector(salt: int) -> ClaimSpec:
    """One selector as long as it may be."""
    return ClaimSpec((Request("r", "gpu", (_long(salt, 0),)),))


def long_selectors(salt: int) -> ClaimSpec:
    """As many such selectors as the API server takes in one object."""
    return ClaimSpec(tuple(Request(f"r{i}", "gpu", tuple(_long(salt, 4 * i + j) for j in range(4))) for i in range(32)))


HOSTILE: dict[str, Callable[[int], ClaimSpec]] = {
    "32 requests, distinct": matching,
    "three constraints over parts": numbered,
    "parts that do not pack": packing,
    "16 lists of 8 alternatives": alternatives,
    "costly selector": costly,
    "10 KiB selector": long_selector,
    "128 x 10 KiB selectors": long_selectors,
}


# ---------------------------------------------------------------- the run


class _OverError(BaseException):
    """A round ended in the middle of a decision."""


class Cluster:
    """Answers every write at once, and knows when pods were bound."""

    def __init__(self, config: EngineConfig) -> None:
        self.engine = Engine(config)
        self.loop = Loop(self._submit, OpenFence())
        self.aside = Aside(self.loop.post)
        self.bound: dict[Uid, float] = {}
        self.over = False
        self._busy = False
        self.solves = 0
        self.evaluations = 0

    def end(self, number: int, frame: object) -> None:
        """The round is over, whatever is being decided; a signal handler."""
        self.over = True
        if self._busy:
            raise _OverError

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """The engine's."""
        self._busy = True
        try:
            return self.engine.handle(event, now)
        finally:
            self._busy = False

    def next_wakeup(self) -> float | None:
        """The engine's."""
        return self.engine.next_wakeup()

    def _submit(self, instruction: Instruction) -> None:
        if isinstance(instruction, Slow):
            self.solves += isinstance(instruction, Solve)
            self.evaluations += isinstance(instruction, EvaluateScalar)
            self.aside.submit(instruction)
            return
        if isinstance(instruction, BindPod):
            self.bound[instruction.pod.uid] = time.perf_counter()
        for event in answer(self.engine, instruction):
            self.loop.post(event)

    def add(self, pod: Pod, claim: Claim) -> None:
        """Let the scheduler see both."""
        self.loop.post(Seen(claim))
        self.loop.post(Seen(pod))

    def remove(self, pod: Pod, claim: Claim) -> None:
        """A pod is over."""
        self.loop.post(Gone("Pod", pod.key, pod.uid))
        self.loop.post(Gone("ResourceClaim", claim.key, claim.uid))


async def run(chosen: argparse.Namespace, hostile: Callable[[int], ClaimSpec] | None) -> dict[str, float]:
    """One stream of pods; milliseconds."""
    cluster = Cluster(EngineConfig(ownership=Ownership(all_nodes=True)))
    for event in world(chosen.nodes):
        cluster.loop.post(event)
    cluster.loop.deciding = True
    tasks = [asyncio.create_task(cluster.loop.run(cluster)), asyncio.create_task(cluster.aside.run())]
    try:
        for number in range(40):  # what is loaded or compiled once
            cluster.add(*ordinary(number))
        while len(cluster.bound) < 40:
            await asyncio.sleep(0.01)
        # Made before the clock starts: the scheduler is measured, and not how fast claims can be written.
        enemies = [] if hostile is None else [_enemy(number, hostile) for number in range(chosen.hostile)]
        gc.collect()  # of earlier rounds
        gc.freeze()
        start = time.perf_counter()
        total = int(chosen.rate * chosen.seconds)
        due = {ordinary(40 + number)[0].uid: start + 0.5 + number / chosen.rate for number in range(total)}
        enemy = asyncio.create_task(_attack(cluster, enemies, hostile)) if hostile is not None else None
        signal.signal(signal.SIGALRM, cluster.end)
        signal.setitimer(signal.ITIMER_REAL, chosen.seconds + PATIENCE_S)
        pods = {}
        for number, (uid, at) in enumerate(due.items()):
            if (early := at - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            pods[uid] = ordinary(40 + number)
            cluster.add(*pods[uid])
            for each in [uid for uid in pods if cluster.bound.get(uid, at) < at - chosen.life]:
                cluster.remove(*pods.pop(each))
        while any(uid not in cluster.bound for uid in due) and not cluster.over:
            await asyncio.sleep(0.02)
        over = time.perf_counter()
        if enemy is not None:
            enemy.cancel()
        delays = sorted(1000 * (cluster.bound.get(uid, over) - at) for uid, at in due.items())
        return {
            "p50_ms": statistics.median(delays),
            "p99_ms": delays[min(len(delays) - 1, int(0.99 * len(delays)))],
            "unbound": sum(uid not in cluster.bound for uid in due),
            "solves": cluster.solves,
            "evaluations": cluster.evaluations,
        }
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.unfreeze()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, _OverError):
                await task


def _enemy(number: int, hostile: Callable[[int], ClaimSpec]) -> tuple[Pod, Claim]:
    pod, claim = ordinary(1_000_000 + number)
    return replace(pod, namespace="enemy"), replace(claim, namespace="enemy", spec=hostile(number))


async def _attack(cluster: Cluster, pending: list[tuple[Pod, Claim]], hostile: Callable[[int], ClaimSpec]) -> None:
    """Keep so many pods pending; one that is bound after all is deleted and made anew, and asks for something new."""
    for each in pending:
        cluster.add(*each)
    made = count = len(pending)
    while True:
        over = [each for each in pending if each[0].uid in cluster.bound]
        for each in over:
            cluster.remove(*each)
            pending.remove(each)
        while len(pending) < count:
            pending.append(_enemy(made, hostile))
            cluster.add(*pending[-1])
            made += 1
        await asyncio.sleep(0.05)


def main() -> int:
    """Run and print. Exit code 1 if any ratio is above `--limit`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--hostile", type=int, default=50, help="pods that the hostile tenant keeps pending")
    parser.add_argument("--rate", type=float, default=40.0, help="ordinary pods a second")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--life", type=float, default=1.0, help="seconds from the binding of a pod to its end")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="kinds of claims whose name contains this")
    parser.add_argument("--limit", type=float, default=float("inf"))
    chosen = parser.parse_args()
    worst = 0.0
    for name, hostile in HOSTILE.items():
        if chosen.only not in name:
            continue
        rounds = [(asyncio.run(run(chosen, None)), asyncio.run(run(chosen, hostile))) for _ in range(chosen.rounds)]
        alone, beside = (
            {key: round(statistics.median(each[side][key] for each in rounds), 2) for key in rounds[0][side]}
            for side in (0, 1)
        )
        ratio = round(statistics.median(b["p99_ms"] / a["p99_ms"] for a, b in rounds), 2)
        print(json.dumps({"bench": "fairness", "claims": name, "alone": alone, "beside": beside, "ratio": ratio}),
              flush=True)  # fmt: skip
        worst = max(worst, ratio)
    return 0 if worst <= chosen.limit else 1


if __name__ == "__main__":
    sys.exit(main())
