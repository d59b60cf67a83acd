"""How fast the engine decides, with no cluster: `python -m e2e.bench.engine`.

5,000 nodes x 8 GPUs, 2,000 pods of mixed shapes. Every instruction is answered in place, the way a perfect API server
would, so the figure is the engine's whole work: events in, decisions, instructions out. Prints one JSON line.

With `--plain`: 10,000 pods without claims over as many nodes, one line for each kind of pod.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scheduler.core.config import EngineConfig, Ownership
from scheduler.core.engine import Engine
from scheduler.core.messages import (
    BindPod,
    ClaimWritten,
    Drained,
    Event,
    Instruction,
    Listed,
    PodBound,
    ReserveClaim,
    Seen,
    WriteAllocation,
)
from scheduler.core.model import (
    Claim,
    ClaimSpec,
    Constraint,
    Consumer,
    Device,
    DeviceClass,
    LabelSelector,
    Lean,
    Node,
    NodeSelectorTerm,
    Pod,
    PodClaim,
    PodSelector,
    PodTerm,
    Request,
    Requirement,
    Slice,
    Spread,
    Uid,
)
from scheduler.core.quantity import parse_quantity

ZONE, HOSTNAME = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
DRIVER = "gpu.nvidia.com"
PRODUCTS = (("NVIDIA H100 80GB HBM3", "80Gi"), ("NVIDIA A100-SXM4-40GB", "40Gi"), ("NVIDIA L40S", "45Gi"))
SHAPES = ((1, 1, 0), (1, 1, 1), (2, 1, 0), (4, 1, 0), (8, 1, 0), (1, 2, 2), (2, 1, 3), (1, 4, 0))
"""(devices per request, requests, variant): variant 1 asks by CEL for memory, 2 matches pcieRoot, 3 needs much cpu."""


def device(product: str, memory: str, node: int, index: int) -> Device:
    """As the NVIDIA driver publishes it."""
    return Device(
        f"gpu-{index}",
        {
            "type": "gpu",
            "uuid": f"GPU-{node:06d}-{index}",
            "productName": product,
            "resource.kubernetes.io/pcieRoot": f"pci0000:{index // 2:02x}",
            "resource.kubernetes.io/pciBusID": f"0000:{16 * index + 7:02x}:00.0",
            "resource.kubernetes.io/numaNode": index // 4,
        },
        {"memory": parse_quantity(memory)},
    )


def world(nodes: int, devices: int) -> list[Event]:
    """Nodes, slices and the class."""
    events: list[Event] = [Seen(DeviceClass("gpu", (f"device.driver == '{DRIVER}'",)))]
    for number in range(nodes):
        name = f"node-{number:05d}"
        product, memory = PRODUCTS[number % len(PRODUCTS)]
        resources = {"cpu": 96_000, "memory": 2**40, "pods": 110, "ephemeral-storage": 2**40}
        labels = {HOSTNAME: name, ZONE: f"zone-{number % 10}"}
        events.append(Seen(Node(name, Uid(name), labels, {}, (), False, resources)))
        listed = tuple(device(product, memory, number, index) for index in range(devices))
        events.append(Seen(Slice(f"{name}-slice", DRIVER, name, 1, 1, name, None, False, listed)))
    return [*events, Listed()]


def workload(pods: int) -> list[tuple[Pod, Claim]]:
    """Pods with a claim each, shapes taking turns."""
    found = []
    big = f"device.capacity['{DRIVER}'].memory.compareTo(quantity('60Gi')) >= 0"
    for number in range(pods):
        count, requests, variant = SHAPES[number % len(SHAPES)]
        asked = tuple(
            Request(f"r{index}", "gpu", (big,) if variant == 1 else (), count=count) for index in range(requests)
        )
        constraints = (Constraint((), "resource.kubernetes.io/pcieRoot"),) if variant == 2 else ()
        name = f"pod-{number:05d}"
        claim = Claim("bench", name, Uid(f"claim-{name}"), "1", ClaimSpec(asked, constraints), finalized=True)
        cpu = 64_000 if variant == 3 else 4_000
        pod = Pod(
            "bench", name, Uid(name), "1", "dovetail", "", {}, {}, 0, f"{number:08d}", "Pending", False, (), {}, None,
            (), {"cpu": cpu, "memory": 2**33}, (PodClaim("devices", name, None),), {},
        )  # fmt: skip
        found.append((pod, claim))
    return found


def devices_workload(pods: int) -> list[Event]:
    """What is seen of `workload`."""
    return [Seen(item) for pod, claim in workload(pods) for item in (claim, pod)]


def plain_pod(number: int, **more: Any) -> Seen:
    """A replica of one of ten Deployments."""
    name = f"pod-{number:05d}"
    pod = Pod(
        "bench", name, Uid(name), "1", "dovetail", "", {"app": f"web-{number % 10}"}, {}, 0, f"{number:08d}", "Pending",
        False, (), {}, None, (), {"cpu": 500, "memory": 2**29}, (), {},
    )  # fmt: skip
    return Seen(replace(pod, **more))


def plain(pods: int) -> list[Event]:
    """Pods that ask for cpu and memory."""
    return [plain_pod(number) for number in range(pods)]


def prefers(pods: int) -> list[Event]:
    """Pods that prefer nodes of two zones."""
    zones = [Requirement(ZONE, "In", (f"zone-{number}",)) for number in range(2)]
    terms = tuple((weight, NodeSelectorTerm((zone,))) for weight, zone in zip((80, 20), zones, strict=True))
    return [plain_pod(number, preferred=terms) for number in range(pods)]


def replicas(number: int) -> PodSelector:
    """The pods of one of the Deployments."""
    return PodSelector(LabelSelector((Requirement("app", "In", (f"web-{number % 10}",)),)), ("bench",))


def spreads(pods: int) -> list[Event]:
    """Pods that are spread over zones."""
    return [plain_pod(number, spreads=(Spread(ZONE, 1, replicas(number).selector),)) for number in range(pods)]


def repels(pods: int) -> list[Event]:
    """Pods that share no node with replicas of their own."""
    return [plain_pod(number, repels=(PodTerm(HOSTNAME, replicas(number)),)) for number in range(pods)]


def spreads_softly(pods: int) -> list[Event]:
    """Pods that would rather be spread over zones, and share no node with replicas of their own."""
    found = []
    for number in range(pods):
        soft = Spread(ZONE, 1, replicas(number).selector, hard=False)
        found.append(plain_pod(number, spreads=(soft,), leans=(Lean(-100, PodTerm(HOSTNAME, replicas(number))),)))
    return found


KINDS = {
    "plain": plain,
    "preferred node affinity": prefers,
    "spread over zones": spreads,
    "anti-affinity on nodes": repels,
    "soft spread and preferred anti-affinity": spreads_softly,
}


def answer(engine: Engine, instruction: Instruction) -> list[Event]:
    """What a perfect API server would let us see."""
    if isinstance(instruction, WriteAllocation | ReserveClaim):
        claim = engine.state.claims.current[instruction.claim.uid]
        allocation = instruction.allocation if isinstance(instruction, WriteAllocation) else claim.allocation
        consumer = Consumer("pods", instruction.pod.name, instruction.pod.uid)
        written = replace(claim, allocation=allocation, reserved_for=(*claim.reserved_for, consumer))
        return [ClaimWritten(instruction.pod.uid, written), Seen(written)]
    if isinstance(instruction, BindPod):
        pod = engine.state.pods.current[instruction.pod.uid]
        return [PodBound(pod.uid, instruction.node), Seen(replace(pod, node_name=instruction.node))]
    return []


def measure(events: Sequence[Event], workload: Sequence[Event], batch: int) -> dict[str, float]:
    """One run: what there is, and then what is seen of the pods."""
    ownership = Ownership(all_nodes=True)
    engine = Engine(EngineConfig(ownership=ownership, batch=batch))
    start = time.perf_counter()
    for event in events:
        engine.handle(event, 0.0)
    engine.state.settle()
    loaded = time.perf_counter() - start
    gc.collect()
    gc.freeze()
    inbox: deque[Event] = deque(workload)
    pods = sum(isinstance(event, Seen) and isinstance(event.item, Pod) for event in workload)
    bound, cycles = 0, []
    start, worked = time.perf_counter(), time.process_time()
    while True:
        out: list[Instruction] = []
        while inbox:
            event = inbox.popleft()
            bound += isinstance(event, PodBound)
            out += engine.handle(event, 1.0)
        deciding = time.perf_counter()
        out += engine.handle(Drained(), 1.0)
        cycles.append(time.perf_counter() - deciding)
        wakeup = engine.next_wakeup()
        if not out and (wakeup is None or wakeup > 1.0):
            break
        for instruction in out:
            inbox.extend(answer(engine, instruction))
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    gc.unfreeze()
    ordered = sorted(cycles)
    return {
        "load_s": loaded,
        "bound": bound,
        "pods_per_s": pods / seconds,
        "pods_per_cpu_s": pods / worked,
        "cycle_p50_ms": 1000 * statistics.median(ordered),
        "cycle_p99_ms": 1000 * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
    }


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--pods", type=int, help="2,000 unless given, 10,000 of those without claims")
    parser.add_argument("--plain", action="store_true", help="pods without claims and devices")
    parser.add_argument("--batch", type=int, default=EngineConfig().batch)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    chosen.pods = chosen.pods or (10_000 if chosen.plain else 2_000)
    complete = True
    for kind, events in KINDS.items() if chosen.plain else [("devices", devices_workload)]:
        seen = events(chosen.pods)
        there = world(chosen.nodes, chosen.devices)
        runs = [measure(there, seen, chosen.batch) for _ in range(chosen.rounds)]
        medians = {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]}
        print(json.dumps({"bench": "engine", "kind": kind, **vars(chosen), **medians}), flush=True)
        complete &= all(run["bound"] == chosen.pods for run in runs)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
