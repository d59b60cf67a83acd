"""The bound: what the API server takes when nobody thinks.

A process of its own, like a scheduler. It watches claims, and for each that appears it makes the writes that Dovetail
makes for a pod, in the same order and with the same bodies: finalizer, status with allocation and reservation, binding,
and the Scheduled event. Nodes and devices are dealt out by counting; nothing is decoded, checked or waited for.

python -m e2e.bench.bound --kubeconfig F --namespace N --shape NAME --devices N
    --values alternating|blocks --in-flight N [--no-event]
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from e2e.api import Access
from e2e.bench.load import Client
from e2e.bench.shapes import ORDERS, SHAPES, Shape, node_name, value
from scheduler.cluster import encode
from scheduler.core.messages import ClaimRef, PodRef, ReportScheduled
from scheduler.core.model import Allocation, NodeSelector, NodeSelectorTerm, Requirement, Result, Uid
from scheduler.simulator.fleet import EXAMPLE


class _Owner(msgspec.Struct, gc=False):
    name: str
    uid: str


class _Metadata(msgspec.Struct, gc=False):
    name: str
    uid: str
    resource_version: str = msgspec.field(name="resourceVersion")
    owners: list[_Owner] = msgspec.field(default_factory=list, name="ownerReferences")


class _Claim(msgspec.Struct, gc=False):
    metadata: _Metadata


class _Event(msgspec.Struct, gc=False):
    type: str
    object: _Claim


_event = msgspec.json.Decoder(_Event).decode
_claim = msgspec.json.Decoder(_Claim).decode


def deal(index: int, shape: Shape, devices: int, order: str) -> tuple[str, Allocation]:
    """The node and devices of the pod with this number."""
    # Devices by value, so that those of one claim have one value in common.
    dealt = sorted(range(devices), key=lambda number: value(number, devices, order))
    per_node = devices // shape.devices
    node = node_name(index // per_node)
    first = index % per_node * shape.devices
    results = tuple(
        Result(request, EXAMPLE, node, f"gpu-{number}")
        for request, number in zip(shape.request_names, dealt[first : first + shape.devices], strict=True)
    )
    term = NodeSelectorTerm(fields=(Requirement("metadata.name", "In", (node,)),))
    return node, Allocation(results, NodeSelector((term,)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Plans = Callable[[int], tuple[str, Allocation]]


async def serve(access: Access, namespace: str, plans: Plans, in_flight: int, *, events: bool) -> None:
    """Until killed. `plans` gives the node and devices of the pod with a number."""
    claims = f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims"
    core = f"/api/v1/namespaces/{namespace}"
    slots = asyncio.Semaphore(in_flight)
    failed: asyncio.Queue[BaseException] = asyncio.Queue()
    tasks: set[asyncio.Task[None]] = set()

    async with Client.open(access, in_flight + 4) as client:

        async def place(index: int, claim: ClaimRef, pod: PodRef) -> None:
            node, allocation = plans(index)
            path = f"{claims}/{claim.name}"
            async with slots:
                raw = await client.send("PATCH", path, encode.finalizer_patch(claim), encode.STRATEGIC)
                version = _claim(raw).metadata.resource_version
                body = encode.allocation_patch(claim.uid, version, allocation, pod.consumer, _now())
                await client.send("PATCH", f"{path}/status", body, encode.MERGE)
                await client.send("POST", f"{core}/pods/{pod.name}/binding", encode.binding(pod, node, {}))
                if events:
                    text = f"Successfully assigned {pod.namespace}/{pod.name} to {node}"
                    report = ReportScheduled(pod, node, text)
                    await client.send("POST", f"{core}/events", encode.event(report, _now()))

        def ended(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                failed.put_nowait(error)

        async def watch() -> None:
            index = 0
            version = await client.version(claims)
            print("ready", flush=True)
            async for event in client.watch(claims, "", version, _event):
                if event.type != "ADDED":
                    continue
                found = event.object.metadata
                [owner] = found.owners
                claim = ClaimRef(namespace, found.name, Uid(found.uid), found.resource_version, False)
                task = asyncio.create_task(place(index, claim, PodRef(namespace, owner.name, Uid(owner.uid))))
                tasks.add(task)
                task.add_done_callback(ended)
                index += 1

        watching = asyncio.create_task(watch())
        failing = asyncio.create_task(failed.get())
        await asyncio.wait({watching, failing}, return_when=asyncio.FIRST_COMPLETED)
        raise failing.result() if failing.done() else RuntimeError(f"watch ended: {watching.exception()}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.bound")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--shape", choices=[name for name, each in SHAPES.items() if each.bounded], required=True)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--values", choices=ORDERS, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--no-event", action="store_true")
    given = parser.parse_args(arguments)
    access = Access.of(given.kubeconfig)
    plans = partial(deal, shape=SHAPES[given.shape], devices=given.devices, order=given.values)
    asyncio.run(serve(access, given.namespace, plans, given.in_flight, events=not given.no_event))


if __name__ == "__main__":
    sys.exit(main())
