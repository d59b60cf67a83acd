"""What scores over gRPC cost over a large table: `python -m e2e.bench.extender`.

5,000 nodes x 8 GPUs of three products, in use or free by the toss of a coin. Server and client are two processes on
loopback. One JSON line a kind of call, wall time as the client sees it: *packed*, the totals of all nodes; *top*, the
best 16 with devices and breakdown; *changed*, packed after a node changed, which the server was told first; *first*, a
new ask; *an empty call*, what the connection takes by itself. The last lines are scoring alone, in one process without
a connection. The exit code says whether packed and changed take a millisecond at most at the median.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from scoring.extender import codec
from scoring.extender.client import Registration, ScoringClient
from scoring.extender.judged import Judged, Wish
from scoring.extender.server import Scoring, serve
from scoring.extender.table import Ask, Table
from scoring.extender.v1 import scoring_pb2 as pb
from scoring.opinion import Opinion
from scoring.profiles import DEFAULT, profiles

LIMIT_MS = 1.0
PRODUCTS = ("NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA L40S")
NUMA = [0, 0, 0, 0, 1, 1, 1, 1]
TOP = 16


def layouts() -> list[pb.Layout]:
    """Switched, switched at a lower speed, and without links."""
    return [
        pb.Layout(devices=8, islands=[0] * 8, island_gbps=speed, numa=NUMA, pcie_root=range(8))
        for speed in (450.0, 300.0, 0.0)
    ]


def state(chance: random.Random) -> pb.NodeState:
    """A node in use."""
    return pb.NodeState(
        left=[1000 * chance.randrange(2) for _ in range(8)],
        cpu_left_milli=1000 * chance.randrange(8, 96),
        memory_left_bytes=2**30 * chance.randrange(64, 1000),
        used=chance.random() < 0.8,
    )


def registration(nodes: int, seed: int) -> Registration:
    """The table, with a mix of demand."""
    chance = random.Random(seed)
    kinds = [
        pb.Kind(ask=pb.Ask(count=count, products=PRODUCTS), cpu_milli=4_000 * count, amount=1.0 / count)
        for count in (1, 2, 4, 8)
    ]
    return Registration(
        layouts=layouts(),
        products=PRODUCTS,
        nodes=[
            pb.Node(
                name=f"node-{number:05d}",
                layout=number % 3,
                products=[number % 3] * 8,
                cpu_milli=96_000,
                memory_bytes=2**40,
                state=state(chance),
            )
            for number in range(nodes)
        ],
        mix=pb.Mix(kinds=kinds, growth=0.5),
    )


def pod(count: int) -> pb.Pod:
    """One that asks for so many GPUs of any product."""
    return pb.Pod(asks=[pb.Ask(count=count, products=PRODUCTS)], cpu_milli=4_000, memory_bytes=2**33)


def server(connection: Connection) -> None:
    """The other process."""

    async def run() -> None:
        served = await serve(Scoring(profiles(), DEFAULT), "127.0.0.1", 0)
        connection.send(served.port)
        await asyncio.get_running_loop().run_in_executor(None, connection.recv)
        await served.stop(0)

    asyncio.run(run())


async def timed(calls: int, call: Callable[[], Awaitable[object]]) -> list[float]:
    """Milliseconds of each call."""
    found = []
    for _ in range(calls):
        begun = time.perf_counter()
        await call()
        found.append(1000 * (time.perf_counter() - begun))
    return found


def line(kind: str, chosen: argparse.Namespace, found: list[float]) -> float:
    """Print; returns the median."""
    median = statistics.median(found)
    p99 = statistics.quantiles(found, n=100)[98] if len(found) > 1 else median
    said = {"p50_ms": round(median, 3), "p99_ms": round(p99, 3), "calls": len(found)}
    print(json.dumps({"bench": "extender", "nodes": chosen.nodes, "devices": 8, "kind": kind, **said}), flush=True)
    return median


async def over_loopback(port: int, chosen: argparse.Namespace) -> bool:
    """Whether the limits hold."""
    told, chance = registration(chosen.nodes, chosen.seed), random.Random(chosen.seed + 1)
    client = ScoringClient(f"127.0.0.1:{port}", lambda: told, timeout_s=30.0)
    line("register", chosen, await timed(1, client.register))
    line("first", chosen, await timed(1, lambda: client.totals([pod(4)])))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        await timed(20, lambda: health.Check(health_pb2.HealthCheckRequest()))
        line("an empty call", chosen, await timed(chosen.calls, lambda: health.Check(health_pb2.HealthCheckRequest())))
    await timed(20, lambda: client.totals([pod(4)]))
    packed = line("packed", chosen, await timed(chosen.calls, lambda: client.totals([pod(4)])))
    line(f"top {TOP}", chosen, await timed(chosen.calls, lambda: client.best([pod(4)], TOP)))
    updates, changed = [], []
    for _ in range(chosen.calls):
        change = pb.Change(row=chance.randrange(chosen.nodes), state=state(chance))
        updates += await timed(1, lambda change=change: client.update([change]))  # type: ignore[misc]
        changed += await timed(1, lambda: client.totals([pod(4)]))
    line("update of one node", chosen, updates)
    after = line("changed", chosen, changed)
    eight = [pod(count) for count in range(1, 9)]
    await client.totals(eight)
    line("packed, 8 pods", chosen, await timed(chosen.calls, lambda: client.totals(eight)))
    await client.close()
    return packed <= LIMIT_MS and after <= LIMIT_MS


def alone(chosen: argparse.Namespace) -> None:
    """What scoring takes of it."""
    told, chance = registration(chosen.nodes, chosen.seed), random.Random(chosen.seed + 1)
    table = Table(list(codec.layouts(pb.Header(layouts=told.layouts))), told.products)
    for row, node in enumerate(told.nodes):
        table.put(row, codec.node(node, "", table.layouts, len(PRODUCTS)))
    judged = Judged(Wish((Ask(4, 0, PRODUCTS),), 4_000, 2**33), Opinion(profiles()[DEFAULT]))

    def score() -> bytes:
        while not judged.settled(table):
            judged.refresh(table)
        return codec.pack(judged.packed[: table.size])

    found: dict[str, list[float]] = {"first": [], "changed": [], "packed": []}
    for number in range(chosen.calls + 1):
        if number:
            table.put_state(chance.randrange(chosen.nodes), codec.state(state(chance), "", (False,) * 8))
        for kind in ("changed" if number else "first", "packed"):
            begun = time.perf_counter()
            score()
            found[kind].append(1000 * (time.perf_counter() - begun))
    for kind, each in found.items():
        line(f"scoring alone: {kind}", chosen, each)


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=server, args=(theirs,), daemon=True)
    process.start()
    held = asyncio.run(over_loopback(ours.recv(), chosen))
    ours.send(None)
    process.join(5)
    alone(chosen)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
