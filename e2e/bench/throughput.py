"""Pods per second on a real control plane: Dovetail, kube-scheduler, and the bound that the API server sets for both.

python -m e2e.bench.throughput --nodes 500 --devices 10 --pods 1000 --shape NAME

How it is measured. All run on one control plane of local processes (see e2e/cluster.py), one scheduler process at a
time, in rounds: every contender once in each round, each from a clean state (pods, claims and events of the last one
gone). The scheduler is running and its caches are full when the load driver begins to create pods, as fast as the API
takes them. The claims come from a template, so kube-controller-manager makes them while the scheduler works: its work,
the driver's and the API server's compete with the scheduler for the machine, as in a real burst.

Shapes: `template` (one device), `selector` (by version and amount), `match` (five that match), `partition` (a part of a
card, by shared counters), `firstavailable` (the second choice, as there is nothing of the first), `shared` (five pods
use one claim, which is there before), `extended` (an extended resource behind which devices are).

--shape match has two values of the matched attribute on each node. How they lie decides what first fit pays: in
`--values blocks` the first devices match by themselves, `alternating` (the default) makes kube-scheduler skip every
second one. Report which it was.

pods_per_second         pods / (last binding - first creation), as the driver's watch sees bindings
cpu_seconds_per_pod     user + system time of the scheduler process and its children, from before the first creation
                        until its events are written
latency_p50_s, _p99_s   from the creation request to the binding
startup_s               from the start of the process until it says that it decides or, of kube-scheduler, leads
memory_mib              the most resident memory that the scheduler's process had until the last event

`bound` makes Dovetail's writes of the first three shapes without a decision (e2e/bench/bound.py): 64 and 128 in flight,
the better counts; once more without the Scheduled event. kube-scheduler has its default plugins and node sampling; its
client is not throttled (qps and burst 5000). Dovetail runs with the shipped manifests and settings.
One JSON line each: medians of the rounds.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from e2e.api import Api, Raw, until
from e2e.bench.load import burst
from e2e.bench.shapes import ORDERS, SHAPES, Shape, value, world
from e2e.cluster import PROFILES, LocalCluster, local_cluster, scratch
from e2e.dovetail import Dovetail, install
from e2e.process import Child
from e2e.publish import clear, make_namespace, publish

NAMESPACE = "bench"
IN_FLIGHT = (64, 128)
_LONGEST_S = 600.0
_EVENTS_S = 15.0


@dataclass(frozen=True)
class Measured:
    """One burst."""

    pods_per_second: float
    cpu_seconds_per_pod: float
    latency_p50_s: float
    latency_p99_s: float
    creation_s: float
    scheduled_events: int
    startup_s: float
    memory_mib: float


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    nodes: int
    devices: int
    pods: int
    shape: Shape
    values: str


class Bench:
    """A cluster with its nodes, ready for one burst after another."""

    def __init__(self, cluster: LocalCluster, setting: Setting) -> None:
        self.cluster = cluster
        self.api: Api = cluster.api
        self.setting = setting

    def prepare(self) -> None:
        install(self.api)
        make_namespace(self.api, NAMESPACE)
        setting = self.setting
        publish(self.api, world(setting.nodes, setting.devices, setting.values, setting.shape))

    def measure(self, child: Child, scheduler: str, startup_s: float) -> Measured:
        """One burst for a scheduler that is running."""
        before_them, pods = self.setting.shape.load(NAMESPACE, self.setting.pods, scheduler)
        for each in before_them:
            self.api.create(each)
        before = child.cpu_seconds()
        try:
            seen = asyncio.run(burst(self.api.access, NAMESPACE, pods, _LONGEST_S))
        except (TimeoutError, RuntimeError) as error:
            raise SystemExit(f"{child.name}: {error}\n{child.tail(30)}\n{self.cluster.logs(5)}") from error
        events = self._await_events(child)
        cpu = child.cpu_seconds() - before
        self._check()
        latencies = seen.latencies()
        return Measured(
            pods_per_second=len(pods) / seen.seconds,
            cpu_seconds_per_pod=cpu / len(pods),
            latency_p50_s=latencies[len(latencies) // 2],
            latency_p99_s=latencies[len(latencies) * 99 // 100],
            creation_s=seen.all_created - min(seen.created.values()),
            scheduled_events=events,
            startup_s=startup_s,
            memory_mib=child.peak_memory() / 2**20,
        )

    def clean(self) -> None:
        clear(self.api, NAMESPACE)
        self.api.delete_all("Event", NAMESPACE)

    def _await_events(self, child: Child) -> int:
        """Let the scheduler write the events that it still has; how many there are in the end."""
        last, since = -1, time.monotonic()
        begun = since
        while time.monotonic() < begun + _EVENTS_S:
            found = self._count("Event", fieldSelector="reason=Scheduled")
            if found >= self.setting.pods:
                return found
            if found != last:
                last, since = found, time.monotonic()
            elif time.monotonic() > since + 2:
                break
            time.sleep(0.25)
        return last

    def _count(self, kind: str, **query: str) -> int:
        """How many objects; events cannot be counted by the server with a selector, so all are read."""
        return len(self.api.list(kind, NAMESPACE, **query))

    def _check(self) -> None:
        """No device in two claims, every claim complete, and matching where it must."""
        setting, shape = self.setting, self.setting.shape
        taken: set[tuple[str, str, str]] = set()
        claims = self.api.list("ResourceClaim", NAMESPACE)
        for claim in claims:
            results = claim["status"]["allocation"]["devices"]["results"]
            if len(results) != shape.devices:
                raise SystemExit(f"claim {claim['metadata']['name']} has {len(results)} devices")
            devices = {(each["driver"], each["pool"], each["device"]) for each in results}
            if len(devices) != len(results) or devices & taken:
                raise SystemExit(f"claim {claim['metadata']['name']}: a device is in two claims")
            taken |= devices
            if not all(device.startswith("gpu-") for _, _, device in devices):
                raise SystemExit(f"claim {claim['metadata']['name']}: has a whole card and asked for a part")
            numbers = [int(device.removeprefix("gpu-")) for _, _, device in devices]
            values = {value(number, setting.devices, setting.values) for number in numbers}
            if shape.match and len(values) > 1:
                raise SystemExit(f"claim {claim['metadata']['name']}: its devices do not match")
        if len(claims) != shape.claims_of(setting.pods):
            raise SystemExit(f"{len(claims)} claims for {setting.pods} pods")


# ---------------------------------------------------------------- contenders


@contextmanager
def _bound(bench: Bench, in_flight: int, *, events: bool) -> Iterator[Child]:
    log = bench.cluster.folder / f"bound-{time.monotonic_ns()}.log"
    command = [
        sys.executable, "-m", "e2e.bench.bound", "--kubeconfig", str(bench.cluster.kubeconfig),
        "--namespace", NAMESPACE, "--shape", bench.setting.shape.name, "--devices", str(bench.setting.devices),
        "--values", bench.setting.values, "--in-flight", str(in_flight), *([] if events else ["--no-event"]),
    ]  # fmt: skip
    child = Child(f"bound {in_flight}", command, log, cwd=Path(__file__).resolve().parents[2])
    try:
        until(lambda: "ready" in child.tail(), "bound is ready", 20)
        yield child
    finally:
        child.kill()


@contextmanager
def _kube_scheduler(bench: Bench) -> Iterator[Child]:
    try:
        yield bench.cluster.kube_scheduler()
    finally:
        bench.cluster.stop_kube_scheduler()


@contextmanager
def _dovetail(bench: Bench) -> Iterator[Child]:
    certificate = bench.cluster.folder / "certs" / "apiserver.crt"
    name = f"dovetail-{time.monotonic_ns()}"
    process = Dovetail(bench.api, bench.cluster.folder, bench.api.access.server, certificate, name=name)
    try:
        yield process.ready().child
    finally:
        process.stop()


def _round(bench: Bench, wanted: Sequence[str], say: Callable[[str], None]) -> dict[str, Measured]:
    found: dict[str, Measured] = {}

    def take(name: str, scheduler: str, opened: AbstractContextManager[Child]) -> Measured:
        begun = time.monotonic()
        with opened as child:
            measured = bench.measure(child, scheduler, time.monotonic() - begun)
        begun = time.monotonic()
        bench.clean()
        say(
            f"{name}: {measured.pods_per_second:.1f} pods/s, {1000 * measured.cpu_seconds_per_pod:.1f} ms CPU a pod, "
            f"{measured.scheduled_events} events; started in {measured.startup_s:.1f} s, "
            f"{measured.memory_mib:.0f} MiB; created in {measured.creation_s:.1f} s, "
            f"cleaned in {time.monotonic() - begun:.1f} s"
        )
        return measured

    if "bound" in wanted:
        tried = {n: take(f"bound, {n} in flight", "nobody", _bound(bench, n, events=True)) for n in IN_FLIGHT}
        best = max(tried, key=lambda n: tried[n].pods_per_second)
        found["bound"] = tried[best]
        found["bound without event"] = take(
            f"bound without event, {best} in flight", "nobody", _bound(bench, best, events=False)
        )
    if "kube-scheduler" in wanted:
        found["kube-scheduler"] = take("kube-scheduler", "default-scheduler", _kube_scheduler(bench))
    if "dovetail" in wanted:
        found["dovetail"] = take("dovetail", "dovetail", _dovetail(bench))
    return found


def _medians(rounds: Sequence[Measured]) -> dict[str, float]:
    names = asdict(rounds[0])
    return {name: statistics.median(asdict(each)[name] for each in rounds) for name in names}


def report(setting: Setting, rounds: Sequence[dict[str, Measured]]) -> list[Raw]:
    """One object a contender: medians of the rounds, and ratios of medians."""
    medians = {name: _medians([each[name] for each in rounds]) for name in rounds[0]}
    lines: list[Raw] = []
    for name, own in medians.items():
        line: Raw = {
            "contender": name,
            "shape": setting.shape.name,
            "nodes": setting.nodes,
            "devices": setting.devices,
            "pods": setting.pods,
            **({"values": setting.values} if setting.shape.match else {}),
            "rounds": len(rounds),
            **{key: float(f"{value:.4g}") for key, value in own.items()},
            "pods_per_second_of_rounds": [round(each[name].pods_per_second, 1) for each in rounds],
        }
        for other in ("kube-scheduler", "bound"):
            if other in medians and other != name:
                base = medians[other]
                line[f"to_{other.replace('-', '_')}"] = {
                    key: float(f"{own[key] / base[key]:.3g}")
                    for key in ("pods_per_second", "cpu_seconds_per_pod")
                    if base[key]
                }
        lines.append(line)
    return lines


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.throughput", description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--devices", type=int, default=10, help="of each node")
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--shape", choices=SHAPES, default="template")
    parser.add_argument(
        "--values", choices=ORDERS, default="alternating", help="order of the matched attribute's values in a node"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only", choices=["bound", "kube-scheduler", "dovetail"], action="append", help="repeat for several"
    )
    given = parser.parse_args(arguments)
    setting = Setting(given.nodes, given.devices, given.pods, SHAPES[given.shape], given.values)
    room = given.nodes * setting.shape.pods_of(given.devices)
    if given.devices % 2 or given.pods > room:
        parser.error(f"{given.pods} pods do not fit: room for {room}, and --devices must be even")
    wanted = given.only or ["bound", "kube-scheduler", "dovetail"]
    if not setting.shape.bounded:
        wanted = [name for name in wanted if name != "bound"]

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    with scratch("dovetail-bench-") as folder:
        cluster = local_cluster(PROFILES["default"], folder)
        try:
            bench = Bench(cluster, setting)
            bench.prepare()
            rounds: list[dict[str, Measured]] = []
            for number in range(given.rounds):
                say(f"round {number + 1} of {given.rounds}")
                rounds.append(_round(bench, wanted, say))
            for line in report(setting, rounds):
                print(json.dumps(line), flush=True)
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
