"""A trace as Kubernetes objects, and Dovetail's engine that places them.

Every GPU is a device that several claims may share, with 1000 `gpuMilli` (KEP-5075); a pod that asks for GPUs has a
claim for so many devices and so much of each; models that it may use are named by a CEL selector.
"""

from collections.abc import Mapping, Sequence

from e2e.bench.drive import SHIPPED, Arrival, World, arrival
from e2e.bench.policies.base import Placed, Scheduler
from e2e.bench.trace import WHOLE, Machine, Shape
from scheduler.core.messages import Event, Listed, Seen
from scheduler.core.model import ClaimSpec, Device, DeviceClass, Node, Request, Slice, Uid
from scheduler.core.quantity import parse_quantity

DRIVER = "gpu.openb.example"
MILLI = "gpuMilli"
_MIB = 2**20
_PODS = 10_000  # the trace limits no machine's pods


def objects(machines: Sequence[Machine]) -> list[Event]:
    """Nodes, slices and the class."""
    found: list[Event] = [Seen(DeviceClass("gpu", (f"device.driver == '{DRIVER}'",)))]
    for machine in machines:
        resources = {"cpu": machine.cpu, "memory": machine.memory * _MIB, "pods": _PODS}
        found.append(Seen(Node(machine.name, Uid(machine.name), {}, {}, (), False, resources)))
        if not machine.gpus:
            continue
        devices = tuple(
            Device(
                f"gpu-{index}",
                {"type": "gpu", "uuid": f"GPU-{machine.name}-{index}", "model": machine.model},
                {MILLI: parse_quantity(str(WHOLE))},
                shareable=True,
            )
            for index in range(machine.gpus)
        )
        name = f"{machine.name}-gpus"
        found.append(Seen(Slice(name, DRIVER, machine.name, 1, 1, machine.name, None, False, devices)))
    return [*found, Listed()]


def claims(shape: Shape) -> tuple[ClaimSpec, ...]:
    """What a pod of this shape claims."""
    if not shape.gpus:
        return ()
    listed = ", ".join(f'"{model}"' for model in shape.models)
    selectors = (f'device.attributes["{DRIVER}"].model in [{listed}]',) if shape.models else ()
    amount = {MILLI: parse_quantity(str(shape.milli))}
    return (ClaimSpec((Request("gpu", "gpu", selectors, count=shape.gpus, capacity=amount),)),)


class Dovetail(Scheduler):
    """The engine, `batch` pods at a time."""

    def __init__(
        self, machines: Sequence[Machine], seed: int, batch: int, weights: Mapping[str, float] = SHIPPED
    ) -> None:
        self._world = World(objects(machines), seed, weights)
        self._batch = batch
        self._number = 0
        self._held: dict[tuple[Shape, Placed], list[Arrival]] = {}

    def place(self, shapes: Sequence[Shape]) -> list[Placed | None]:
        """As pods of one namespace that come in this order."""
        found: list[Placed | None] = []
        for start in range(0, len(shapes), self._batch):
            found += self._place(shapes[start : start + self._batch])
            self.now += self._batch  # as if one came a second, until somebody says what time it is
        self.seconds = self._world.seconds
        return found

    def _place(self, shapes: Sequence[Shape]) -> list[Placed | None]:
        made = []
        for shape in shapes:
            requests = {"cpu": shape.cpu, "memory": shape.memory * _MIB}
            made.append(arrival(self._number, claims(shape), requests))
            self._number += 1
            self._world.add(made[-1])
        self._world.decide(self.now)
        return [self._outcome(shape, each) for shape, each in zip(shapes, made, strict=True)]

    def _outcome(self, shape: Shape, each: Arrival) -> Placed | None:
        bound = self._world.bound.get(each.pod.uid)
        if bound is None:
            self._world.remove(each)
            return None
        gpus = tuple(
            (int(result.device.removeprefix("gpu-")), (result.consumed or {})[MILLI].value())
            for result in bound.results
        )
        wrong = [result for result in bound.results if (result.driver, result.pool) != (DRIVER, bound.node)]
        if wrong:
            raise RuntimeError(f"pod {each.pod.key} is on node {bound.node} and has {wrong}")
        placed = Placed(bound.node, gpus)
        self._held.setdefault((shape, placed), []).append(each)
        return placed

    def free(self, shape: Shape, placed: Placed) -> None:
        """Delete a pod and its claim."""
        self._world.remove(self._held[shape, placed].pop())
