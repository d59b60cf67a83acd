"""What a question costs a kube-scheduler: `python -m e2e.bench.extender_http`.

5,000 nodes x 8 GPUs of three products, every other GPU in use. The extender serves in a process of its own over mTLS on
loopback; one client asks about all nodes by name, `filter` and `prioritize` in turn on one connection, as
kube-scheduler does. Measured is the time from the first byte that is sent to the last that is read.

cached     a class of pods that was asked about before, and nothing changed since
changed    the same, after a claim took or left a device of one node before each question
cold       the first question about a class: each is about a claim that differs from all before
whole      as cached, with whole nodes of 4 KiB sent instead of their names (--whole nodes of them)

cpu_ms is what the serving process takes for a question in the mean, which other load on the machine moves less.
held_ms is the longest that its loop was kept from anything else: what decisions may have to wait. One JSON line each.
On a machine that others use too, `chrt -f 1` in front keeps both processes from waiting for a core.
"""

import argparse
import asyncio
import gc
import http.client
import json
import multiprocessing
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from e2e.bench.engine import DRIVER, world
from e2e.certificates import Authority, Pair
from e2e.cluster import free_ports
from scheduler.core.budget import Budget
from scheduler.core.config import EngineConfig
from scheduler.core.engine import Engine
from scheduler.core.messages import Instruction, Seen
from scheduler.core.model import Allocation, Claim, ClaimSpec, Pod, Request, Result, Uid
from scheduler.service.extender import Extender
from scheduler.service.settings import HttpExtenderSettings, TlsConfig

HOST = "localhost"
COLD = 12  # classes that are asked about once
_TICK_S = 0.002


def claim(name: str, count: int, *selectors: str) -> Claim:
    """A claim for so many GPUs that pass the selectors."""
    request = Request("gpus", "gpu", selectors, "ExactCount", count, ())
    return Claim("bench", name, Uid(name), "1", ClaimSpec((request,)))


def taken(node: int, devices: Sequence[int]) -> Claim:
    """A claim that holds some devices of a node."""
    name = f"node-{node:05d}"
    results = tuple(Result("gpus", DRIVER, name, f"gpu-{index}") for index in devices)
    return replace(claim(f"held-{name}", len(devices)), allocation=Allocation(results, None))


class Serving:
    """The engine behind the extender. change : before each question, what happens to the cluster."""

    def __init__(self, nodes: int, devices: int) -> None:
        self.engine = Engine(EngineConfig())
        for event in world(nodes, devices):
            self.engine.handle(event, 0.0)
        for node in range(nodes):
            self.engine.handle(Seen(taken(node, range(node % 2, devices, 2))), 0.0)
        wanted = [claim("pair", 2)]
        product = f"device.attributes['{DRIVER}'].productName"
        wanted += [claim(f"cold-{number}", 2, f"{product} != 'x{number}'") for number in range(COLD)]
        for each in wanted:
            self.engine.handle(Seen(each), 0.0)
        while not self.engine.catch_up():
            pass
        self.changes: Iterator[Claim] | None = None
        self.held_s = 0.0

    def advise(self, pod: Pod, now: float, budget: Budget) -> Any:
        if self.changes is not None:
            self.engine.handle(Seen(next(self.changes)), now)
        return self.engine.advise(pod, now, budget)

    def toggle(self, devices: int) -> Iterator[Claim]:
        """One node after the other gives or takes one device."""
        number = 0
        while True:
            node, less = 37 * number % 1_000, number // 1_000 % 2 == 0
            yield taken(node, range(node % 2 + 2 * less, devices, 2))
            number += 1

    def catch_up(self) -> bool:
        return self.engine.catch_up()

    async def watch(self) -> None:
        """Note how long the loop was kept from this."""
        before = time.perf_counter()
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.perf_counter()
            self.held_s = max(self.held_s, now - before - _TICK_S)
            before = now


def serve(port: int, pair: Pair, clients: str, nodes: int, devices: int, control: Connection) -> None:
    """The serving process, told over `control` what to do between questions."""

    async def run() -> None:
        serving = Serving(nodes, devices)
        gc.collect()
        gc.freeze()
        tls = TlsConfig(certFile=pair.certificate, keyFile=pair.key, clientCAFile=clients)
        settings = HttpExtenderSettings(enabled=True, host=HOST, port=port, tls=tls, maxBodyMegabytes=256)

        async def heard() -> None:
            await asyncio.Event().wait()

        def submit(instruction: Instruction) -> None:
            raise RuntimeError(f"nothing should be left to others here: {instruction}")

        extender = Extender(settings, lambda: serving, str, heard, submit)
        await extender.open()
        ticking = asyncio.create_task(serving.watch())
        orders: asyncio.Queue[str] = asyncio.Queue()
        asyncio.get_running_loop().add_reader(control.fileno(), lambda: orders.put_nowait(control.recv()))
        control.send((0.0, 0.0))
        begun = time.process_time()
        while (order := await orders.get()) != "end":
            serving.changes = serving.toggle(devices) if order == "change" else None
            control.send((serving.held_s, time.process_time() - begun))
            serving.held_s, begun = 0.0, time.process_time()
        ticking.cancel()
        await extender.close()

    asyncio.run(run())


def body(claim_name: str, names: Sequence[str], *, whole: bool = False) -> bytes:
    """ExtenderArgs as kube-scheduler sends them."""
    container = {"name": "main", "image": "x", "resources": {"requests": {"cpu": "4"}, "claims": [{"name": "gpus"}]}}
    pod = {
        "metadata": {"name": "p", "namespace": "bench", "uid": "p", "labels": {"app": "x"}},
        "spec": {
            "schedulerName": "default-scheduler",
            "containers": [container],
            "resourceClaims": [{"name": "gpus", "resourceClaimName": claim_name}],
        },
        "status": {"phase": "Pending"},
    }
    if not whole:
        return json.dumps({"Pod": pod, "Nodes": None, "NodeNames": list(names)}).encode()
    images = [{"names": [f"registry.example/image-{number:040d}"], "sizeBytes": number} for number in range(45)]
    nodes = [{"metadata": {"name": name}, "spec": {}, "status": {"images": images}} for name in names]
    return json.dumps({"Pod": pod, "Nodes": {"metadata": {}, "items": nodes}, "NodeNames": None}).encode()


class Client:
    """One connection, as Go's client keeps it."""

    def __init__(self, port: int, servers: str, pair: Pair) -> None:
        tls = ssl.create_default_context(cafile=servers)
        tls.load_cert_chain(pair.certificate, pair.key)
        self._connection = http.client.HTTPSConnection(HOST, port, context=tls, timeout=60)

    def close(self) -> None:
        self._connection.close()

    def ask(self, verb: str, data: bytes) -> tuple[float, bytes]:
        """Seconds, and the answer."""
        begun = time.perf_counter()
        self._connection.request("POST", f"/extender/{verb}", data, {"Content-Type": "application/json"})
        reply = self._connection.getresponse()
        found = reply.read()
        seconds = time.perf_counter() - begun
        if reply.status != 200:
            raise SystemExit(f"{verb}: {reply.status} {found[:500]!r}")
        return seconds, found


def check(verb: str, found: bytes, names: Sequence[str]) -> None:
    """An answer that says less than it should would be fast for nothing."""
    answer = json.loads(found)
    if verb == "filter":
        told = len(answer["NodeNames"] or (answer["Nodes"] or {"items": ()})["items"])
        told += len(answer["FailedNodes"]) + len(answer["FailedAndUnresolvableNodes"])
        assert not answer["Error"], answer["Error"]
        assert told == len(names), f"{told} of {len(names)} nodes are told of"
    else:
        assert [each["Host"] for each in answer] == list(names)
        assert max(each["Score"] for each in answer) == 10


def measure(nodes: int, devices: int, rounds: int, whole: int, say: Callable[[dict[str, Any]], None]) -> None:
    """All cases, one after the other."""
    with tempfile.TemporaryDirectory() as scratch:
        servers, clients = Authority(Path(scratch, "servers")), Authority(Path(scratch, "clients"))
        [port] = free_ports(1)
        context = multiprocessing.get_context("spawn")
        control, theirs = context.Pipe()
        arguments = (port, servers.issue(HOST), clients.file, nodes, devices, theirs)
        process = context.Process(target=serve, args=arguments, daemon=True)
        process.start()
        control.recv()
        client = Client(port, servers.file, clients.issue(name="kube-scheduler"))
        names = [f"node-{number:05d}" for number in range(nodes)]
        known = body("pair", names)
        while json.loads(client.ask("filter", known)[1])["Error"]:
            pass  # the first question finds everything to be done, and may not be answered in time
        some = names[:whole]
        cold = [body(f"cold-{number}", names) for number in range(COLD)]
        large = [body("pair", some, whole=True)] * max(rounds // 10, 3)
        for case, verb, order, bodies, asked in (
            ("cached", "filter", "", [known] * rounds, names),
            ("cached", "prioritize", "", [known] * rounds, names),
            ("changed", "filter", "change", [known] * rounds, names),
            ("changed", "prioritize", "change", [known] * rounds, names),
            ("cold", "filter", "", cold, names),
            ("whole", "filter", "", large, some),
            ("whole", "prioritize", "", large, some),
        ):
            control.send(order)
            control.recv()
            spent = []
            for data in bodies:
                took, found = client.ask(verb, data)
                spent.append(took)
                if data is bodies[-1] or case == "cold":
                    check(verb, found, asked)
            control.send("")
            held_s, cpu_s = control.recv()
            milli = {f"p{at}_ms": quantile(spent, at) for at in (50, 99)}
            milli |= {"cpu_ms": cpu_s / len(bodies), "held_ms": held_s}
            shown = {key: round(1e3 * seconds, 2) for key, seconds in milli.items()}
            say({"case": case, "verb": verb, "nodes": len(asked), "body_kib": len(bodies[0]) // 1024, **shown})
        client.close()
        control.send("end")
        process.join(10)
        process.close()


def quantile(values: Sequence[float], percent: int) -> float:
    """The percentile, as one of the values."""
    ordered = sorted(values)
    return (
        statistics.median(ordered) if percent == 50 else ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--whole", type=int, default=1_000)
    given = parser.parse_args()
    measure(given.nodes, given.devices, given.rounds, given.whole, lambda line: print(json.dumps(line), flush=True))


if __name__ == "__main__":
    main()
