"""How fast the engine decides, with no cluster: `python -m e2e.bench.engine`.

5,000 nodes x 8 GPUs, 10,000 pods of one shape and then of eight, which all find room. Every instruction is answered in
place, the way a perfect API server would. Counted is the engine's whole work: events in, decisions, instructions out;
not what stands for the API server, nor slow questions, for which a live engine has another process. Prints a JSON line
for each mix, with what it takes to decide the first pod of a class, what to bind a pod that waits once one slice
changes, how much longer both take than on a tenth of the nodes, and the memory of this process at its peak.

With `--plain`: 10,000 pods without claims over as many nodes, one line for each kind of pod.
"""

import argparse
import gc
import json
import resource
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from scheduler import NATIVE
from scheduler.core.cel import compile_selector
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
    Slow,
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
from scheduler.core.slow import answer as answer_slow

ZONE, HOSTNAME = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
DRIVER = "gpu.nvidia.com"
PRODUCTS = (("NVIDIA H100 80GB HBM3", "80Gi"), ("NVIDIA A100-SXM4-40GB", "40Gi"), ("NVIDIA L40S", "45Gi"))
SHAPES = ((1, 1, 0), (1, 1, 1), (2, 1, 0), (4, 1, 0), (8, 1, 0), (1, 2, 2), (2, 1, 3), (1, 4, 0))
"""(devices per request, requests, variant): variant 1 asks by CEL for memory, 2 matches pcieRoot, 3 needs much cpu."""
RARE = "NVIDIA H200"
CHANGES = 40  # slices that change, one after the other
PART = 10  # growth is told from so many times fewer nodes and pods


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


def workload(pods: int, shapes: Sequence[tuple[int, int, int]] = SHAPES) -> list[tuple[Pod, Claim]]:
    """Pods with a claim each, shapes taking turns."""
    found = []
    big = f"device.capacity['{DRIVER}'].memory.compareTo(quantity('42Gi')) >= 0"
    for number in range(pods):
        count, requests, variant = shapes[number % len(shapes)]
        asked = tuple(
            Request(f"r{index}", "gpu", (big,) if variant == 1 else (), count=count) for index in range(requests)
        )
        constraints = (Constraint((), "resource.kubernetes.io/pcieRoot"),) if variant == 2 else ()
        cpu = 64_000 if variant == 3 else 4_000
        found.append(asking(f"pod-{number:05d}", number, ClaimSpec(asked, constraints), cpu))
    return found


def asking(name: str, created: int, spec: ClaimSpec, cpu: int) -> tuple[Pod, Claim]:
    """A pod and its claim."""
    claim = Claim("bench", name, Uid(f"claim-{name}"), "1", spec, finalized=True)
    pod = Pod(
        "bench", name, Uid(name), "1", "dovetail", "", {}, {}, 0, f"{created:08d}", "Pending", False, (), {}, None,
        (), {"cpu": cpu, "memory": 2**33}, (PodClaim("devices", name, None),), {},
    )  # fmt: skip
    return pod, claim


def one_shape(pods: int) -> list[Event]:
    """Pods for one device each."""
    return [Seen(item) for pod, claim in workload(pods, SHAPES[:1]) for item in (claim, pod)]


def eight_shapes(pods: int) -> list[Event]:
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


MIXES = {"one shape": one_shape, "eight shapes": eight_shapes}
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


class Run:
    """One engine in a world that obeys. bound : how many pods are bound.

    seconds : of its own work, as CPU time: it never waits, and others on the machine disturb that least.
    cycles : what of it each decision cycle took.
    """

    def __init__(self, events: Sequence[Event], batch: int) -> None:
        compile_selector("true")  # what a process does once: load the grammar of selectors
        self.engine = Engine(EngineConfig(ownership=Ownership(all_nodes=True), batch=batch))
        self.seconds, self.bound = 0.0, 0
        self.cycles: list[float] = []
        self._handle(events)
        begun = time.process_time()
        self.engine.state.settle()
        self.loaded = self.seconds + time.process_time() - begun
        gc.unfreeze()
        gc.collect()
        gc.freeze()  # as cluster/watch.py does once everything is listed

    def decide(self, events: Sequence[Event]) -> float:
        """Until there is nothing left to do; returns the seconds of the engine's own work."""
        inbox, before = list(events), self.seconds
        while True:
            events, inbox = inbox, []
            self.bound += sum(isinstance(event, PodBound) for event in events)
            out = self._handle(events)
            begun = self.seconds
            out += self._handle([Drained()])
            self.cycles.append(self.seconds - begun)
            wakeup = self.engine.next_wakeup()
            if not out and (wakeup is None or wakeup > 1.0):
                return self.seconds - before
            for each in out:
                inbox.extend([answer_slow(each)] if isinstance(each, Slow) else answer(self.engine, each))

    def prepare(self, devices: int) -> None:
        """Nodes whose slices are going to change; no pod could use their devices so far."""
        for number in range(CHANGES):
            name = f"changing-{number:03d}"
            resources = {"cpu": 96_000, "memory": 2**40, "pods": 110, "ephemeral-storage": 2**40}
            node = Node(name, Uid(name), {HOSTNAME: name}, {}, (), False, resources)
            self._handle([Seen(node), Seen(changing(name, "off.example.com", number, devices, 1))])
        self.decide([])

    def change(self, number: int, devices: int) -> float:
        """Seconds from one changed slice to all that is done for the pod that waited for it."""
        selector = f"device.attributes['{DRIVER}'].productName == '{RARE}'"
        spec = ClaimSpec((Request("r0", "gpu", (selector,), count=devices),))
        pod, claim = asking(f"waiting-{number:03d}", 10**7 + number, spec, 1_000)
        self.decide([Seen(claim), Seen(pod)])
        before = self.bound
        seconds = self.decide([Seen(changing(f"changing-{number:03d}", DRIVER, number, devices, 2))])
        if self.bound != before + 1:
            raise RuntimeError(f"slice {number} changed, and the pod that waited for it was not bound")
        return seconds

    def _handle(self, events: Iterable[Event]) -> list[Instruction]:
        handle, out = self.engine.handle, []
        begun = time.process_time()
        for event in events:
            out += handle(event, 1.0)
        self.seconds += time.process_time() - begun
        return out


def changing(node: str, driver: str, number: int, devices: int, generation: int) -> Slice:
    """The slice of one of the nodes of `Run.prepare`, with rare devices."""
    listed = tuple(device(RARE, "141Gi", 10**5 + number, index) for index in range(devices))
    return Slice(f"{node}-slice", driver, node, generation, 1, node, None, False, listed)


def measure(events: Sequence[Event], workload: Sequence[Event], batch: int, devices: int = 0) -> dict[str, float]:
    """One run: what there is, and then what is seen of the pods. devices : of slices that change, 0 for none."""
    run = Run(events, batch)
    pods = sum(isinstance(event, Seen) and isinstance(event.item, Pod) for event in workload)
    worked, first = time.process_time(), 0.0
    if devices:
        first = run.decide(workload[:2])
        run.cycles.clear()
    seconds = run.decide(workload[2:] if devices else workload)
    worked = time.process_time() - worked
    ordered = sorted(run.cycles)
    found = {
        "load_s": run.loaded,
        "bound": run.bound,
        "pods_per_s": pods / (seconds + first),
        "pods_per_cpu_s": pods / worked,
        "cycle_p50_ms": 1000 * statistics.median(ordered),
        "cycle_p99_ms": 1000 * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
    }
    if devices:
        run.prepare(devices)
        changes = sorted(run.change(number, devices) for number in range(CHANGES))[:-1]  # one meets a new selector
        found |= {
            "first_of_class_ms": 1000 * first,
            "slice_change_p50_ms": 1000 * statistics.median(changes),
            "slice_change_max_ms": 1000 * changes[-1],
        }
    gc.unfreeze()
    return found


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--plain", action="store_true", help="pods without claims and devices")
    parser.add_argument("--batch", type=int, default=EngineConfig().batch)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    complete = True
    for kind, events in (KINDS if chosen.plain else MIXES).items():
        found: list[dict[str, float]] = []
        for part in (1,) if chosen.plain else (PART, 1):
            seen, there = events(chosen.pods // part), world(chosen.nodes // part, chosen.devices)
            changed = 0 if chosen.plain else chosen.devices
            runs = [measure(there, seen, chosen.batch, changed) for _ in range(chosen.rounds)]
            found.append({key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]})
            complete &= all(run["bound"] == chosen.pods // part for run in runs)
        said = {"bench": "engine", "kind": kind, "native": NATIVE, **vars(chosen), **found[-1]}
        if not chosen.plain:
            less, more = found
            said["growth_per_pod"] = round(less["pods_per_s"] / more["pods_per_s"], 2)
            said["growth_first_of_class"] = round(more["first_of_class_ms"] / less["first_of_class_ms"], 2)
        said["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps(said), flush=True)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
