"""S8: GPUs with NICs. 32 nodes of two sockets, each with two PCIe switches of two GPUs and two NICs.

Jobs ask for GPUs and, mostly, NICs in one claim of two requests and no constraint: where they land is up to the
scheduler. They wait in one queue, first come, first served.

aligned_nics  : of the NICs that jobs hold, the share that sits on the switch of one of the job's GPUs.
single_socket : of the jobs with 2 to 4 GPUs, the share whose GPUs are in one socket.
wait          : mean, in mean run times.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import pairwise, product

import numpy as np

from e2e.bench.check import WrongStateError
from e2e.bench.claims import Asked, Engine, Given
from e2e.bench.drive import SHIPPED
from e2e.bench.queue import Placer, first_come, stream
from scheduler.core.messages import Event, Listed, Seen
from scheduler.core.model import ClaimSpec, Device, DeviceClass, Node, Request, Slice, Uid
from scheduler.core.quantity import parse_quantity

NODES = 32
SWITCHES = 4
EACH = 2
PER_SOCKET = 2
LOAD = 0.85
JOBS = 4000
POLICIES = ("dovetail", "firstfit", "aware")
KINDS = ((1, 0), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 8))
"""GPUs and NICs."""
SHARES = (0.20, 0.25, 0.15, 0.15, 0.10, 0.10, 0.05)
GPU_DRIVER = "gpu.nvidia.com"
NIC_DRIVER = "dra.net"

Kind = tuple[int, int]
Set = tuple[int, ...]
Got = tuple[int, Set, Set]
"""Node, GPUs, NICs; number n sits on switch n // 2."""
Room = tuple[Set, Set]
"""Free GPUs and free NICs of a node."""


def switches(members: Set) -> set[int]:
    """Where they sit."""
    return {member // EACH for member in members}


def sockets(members: Set) -> set[int]:
    """In which of the two halves."""
    return {switch // PER_SOCKET for switch in switches(members)}


def aligned(gpus: Set, nics: Set) -> int:
    """NICs that share a switch with one of the GPUs."""
    return sum(nic // EACH in switches(gpus) for nic in nics)


class Boxes(Placer[Kind, Got]):
    """Reference policies: how a node's devices are chosen, and which node is best."""

    def __init__(self, choose: Callable[[Kind, Room], tuple[tuple[int, ...], Set, Set]]) -> None:
        self._choose = choose
        everything = tuple(range(SWITCHES * EACH))
        self._rooms: list[Room] = [(everything, everything)] * NODES

    def place(self, kind: Kind) -> Got | None:
        """The least cost, the first among equals."""
        offers = [
            (*self._choose(kind, room), node)
            for node, room in enumerate(self._rooms)
            if len(room[0]) >= kind[0] and len(room[1]) >= kind[1]
        ]
        if not offers:
            return None
        _, gpus, nics, node = min(offers, key=lambda offer: offer[0])
        free_gpus, free_nics = self._rooms[node]
        self._rooms[node] = (
            tuple(each for each in free_gpus if each not in gpus),
            tuple(each for each in free_nics if each not in nics),
        )
        return node, gpus, nics

    def free(self, got: Got) -> None:
        """Devices are kept in order."""
        node, gpus, nics = got
        free_gpus, free_nics = self._rooms[node]
        self._rooms[node] = (tuple(sorted((*free_gpus, *gpus))), tuple(sorted((*free_nics, *nics))))


def first_fit(kind: Kind, room: Room) -> tuple[tuple[int, ...], Set, Set]:
    """The first devices; every node costs the same."""
    return (), room[0][: kind[0]], room[1][: kind[1]]


@cache
def aware(kind: Kind, room: Room) -> tuple[tuple[int, ...], Set, Set]:
    """NICs beside GPUs, then few sockets, then few switches that are broken into, then a full node."""
    best = None
    for gpus in _spreads(kind[0], room[0]):
        for nics in _spreads(kind[1], room[1]):
            used = switches(gpus) | switches(nics)
            whole = sum(_left(switch, side) == EACH for switch in used for side in room)
            cost = (len(nics) - aligned(gpus, nics), len(sockets(gpus)), len(used), whole, len(room[0]))
            if best is None or cost < best[0]:
                best = (cost, gpus, nics)
    assert best is not None
    return best


def _left(switch: int, free: Set) -> int:
    return sum(each // EACH == switch for each in free)


def _spreads(count: int, free: Set) -> Iterator[Set]:
    """Sets of so many, one for every way to spread them over the switches."""
    on = [[each for each in free if each // EACH == switch] for switch in range(SWITCHES)]
    for counts in product(*(range(len(each) + 1) for each in on)):
        if sum(counts) == count:
            yield tuple(each for part, taken in zip(on, counts, strict=True) for each in part[:taken])


def run(policy: str, seed: int, count: int = JOBS, weights: Mapping[str, float] = SHIPPED) -> dict[str, float]:
    """One queue of `count` jobs, of which the first tenth does not count."""
    mean = sum(gpus * share for (gpus, _), share in zip(KINDS, SHARES, strict=True))
    jobs = stream(KINDS, SHARES, LOAD * NODES * SWITCHES * EACH / mean, count, seed)
    seconds = 0.0
    if policy == "dovetail":
        engine = Engine(objects(), asked, seed, weights)
        ran = [(each.job, each.begun, read(each.got)) for each in first_come(jobs, engine)]
        seconds = engine.seconds
    else:
        boxes = Boxes(first_fit if policy == "firstfit" else aware)
        ran = [(each.job, each.begun, each.got) for each in first_come(jobs, boxes)]
    verify([(job.kind, begun, begun + job.service, got) for job, begun, got in ran])
    ran = ran[count // 10 :]
    nics = sum(len(got[2]) for _, _, got in ran)
    some = [got for job, _, got in ran if 2 <= job.kind[0] <= PER_SOCKET * EACH]
    found = {
        "aligned_nics": sum(aligned(got[1], got[2]) for _, _, got in ran) / nics,
        "single_socket": sum(len(sockets(got[1])) == 1 for got in some) / len(some),
        "wait": float(np.mean([begun - job.arrives for job, begun, _ in ran])),
    }
    return {**found, "pods_per_second": len(jobs) / seconds} if seconds else found


def verify(ran: list[tuple[Kind, float, float, Got]]) -> None:
    """Everybody has what was asked for, and no device is held twice at any time."""
    held: dict[tuple[str, int, int], list[tuple[float, float]]] = {}
    for kind, begun, ended, (node, gpus, nics) in ran:
        if (len(set(gpus)), len(set(nics))) != kind or not 0 <= node < NODES:
            raise WrongStateError(f"a job for {kind} got GPUs {gpus} and NICs {nics} of node {node}")
        for what, members in (("GPU", gpus), ("NIC", nics)):
            for each in members:
                held.setdefault((what, node, each), []).append((begun, ended))
    for (what, node, each), spans in held.items():
        spans.sort()
        if any(later[0] < earlier[1] for earlier, later in pairwise(spans)):
            raise WrongStateError(f"{what} {each} of node {node} was held twice")


def objects() -> list[Event]:
    """Nodes with a slice of GPUs and one of NICs, as the drivers publish them."""
    found: list[Event] = [
        Seen(DeviceClass("gpu", (f"device.driver == '{GPU_DRIVER}'",))),
        Seen(DeviceClass("nic", (f"device.driver == '{NIC_DRIVER}' && device.attributes['{NIC_DRIVER}'].rdma",))),
    ]
    for number in range(NODES):
        name = f"node-{number:02d}"
        resources = {"cpu": 224_000, "memory": 2**41, "pods": 110}
        found.append(Seen(Node(name, Uid(name), {}, {}, (), False, resources)))
        for driver, devices in ((GPU_DRIVER, _gpus(name)), (NIC_DRIVER, _nics())):
            found.append(Seen(Slice(f"{name}-{driver}", driver, name, 1, 1, name, None, False, devices)))
    return [*found, Listed()]


def _seat(member: int) -> dict[str, str | int]:
    switch = member // EACH
    return {
        "resource.kubernetes.io/pcieRoot": f"pci0000:{16 * switch:02x}",
        "resource.kubernetes.io/numaNode": switch // PER_SOCKET,
    }


def _gpus(node: str) -> tuple[Device, ...]:
    return tuple(
        Device(
            f"gpu-{gpu}",
            {
                "type": "gpu",
                "uuid": f"GPU-{node}-{gpu}",
                "productName": "NVIDIA H100 80GB HBM3",
                "resource.kubernetes.io/pciBusID": f"0000:{16 * (gpu // EACH) + 1 + gpu % EACH:02x}:00.0",
                **_seat(gpu),
            },
            {"memory": parse_quantity("81559Mi")},
        )
        for gpu in range(SWITCHES * EACH)
    )


def _nics() -> tuple[Device, ...]:
    return tuple(
        Device(
            f"nic-{nic}",
            {
                "ifName": f"rdma{nic}",
                "rdma": True,
                "resource.kubernetes.io/pciBusID": f"0000:{16 * (nic // EACH) + 8 + nic % EACH:02x}:00.0",
                **_seat(nic),
            },
            {},
        )
        for nic in range(SWITCHES * EACH)
    )


def asked(kind: Kind) -> Asked:
    """A claim for both."""
    gpus, nics = kind
    requests = [Request("gpus", "gpu", count=gpus)]
    if nics:
        requests.append(Request("nics", "nic", count=nics))
    return Asked((ClaimSpec(tuple(requests)),), {"cpu": 16_000 * gpus, "memory": 2**36 * gpus})


def read(given: Given) -> Got:
    """Numbers from names."""
    names = [result.device.partition("-") for result in given.bound.results]
    gpus, nics = (tuple(sorted(int(n) for what, _, n in names if what == each)) for each in ("gpu", "nic"))
    return int(given.bound.node.rpartition("-")[2]), gpus, nics
