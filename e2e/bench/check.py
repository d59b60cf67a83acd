"""Whether a final state can be true: plain loops over what is said to be where, without code of what put it there."""

from collections.abc import Iterable
from dataclasses import dataclass

from e2e.bench.trace import Machine, Shape


class WrongStateError(RuntimeError):
    """A policy ended in a state that cannot be, or gave a job what it did not ask for."""


@dataclass(frozen=True, slots=True)
class Held:
    """A pod that is said to run: on this machine, with so many thousandths of each of these of its GPUs."""

    pod: str
    shape: Shape
    machine: str
    gpus: tuple[tuple[int, int], ...]


def wrongs(machines: Iterable[Machine], held: Iterable[Held]) -> list[str]:
    """Every reason why this cannot be, in words; none if it can."""
    found: list[str] = []
    by_name = {machine.name: machine for machine in machines}
    cpu = dict.fromkeys(by_name, 0)
    memory = dict.fromkeys(by_name, 0)
    parts: dict[tuple[str, int], int] = {}
    pods: set[str] = set()
    for each in held:
        if each.pod in pods:
            found.append(f"{each.pod}: runs twice")
        pods.add(each.pod)
        machine = by_name.get(each.machine)
        if machine is None:
            found.append(f"{each.pod}: runs on {each.machine}, which is no machine")
            continue
        cpu[machine.name] += each.shape.cpu
        memory[machine.name] += each.shape.memory
        distinct = set()
        for gpu, milli in each.gpus:
            distinct.add(gpu)
            if not 0 <= gpu < machine.gpus:
                found.append(f"{each.pod}: has GPU {gpu} of {machine.name}, which has {machine.gpus}")
            if milli != each.shape.milli:
                found.append(f"{each.pod}: has {milli} of GPU {gpu} of {machine.name} and asked for {each.shape.milli}")
            parts[machine.name, gpu] = parts.get((machine.name, gpu), 0) + milli
        if len(distinct) != len(each.gpus) or len(distinct) != each.shape.gpus:
            found.append(f"{each.pod}: has GPUs {[gpu for gpu, _ in each.gpus]} and asked for {each.shape.gpus}")
        if each.shape.models and machine.model not in each.shape.models:
            found.append(f"{each.pod}: has a {machine.model} and asked for {' or '.join(each.shape.models)}")
    for (name, gpu), milli in parts.items():
        if milli > 1000:
            found.append(f"{name}: GPU {gpu} is used to {milli} of 1000")
    for name, machine in by_name.items():
        if cpu[name] > machine.cpu:
            found.append(f"{name}: cpu is used to {cpu[name]} of {machine.cpu}")
        if memory[name] > machine.memory:
            found.append(f"{name}: memory is used to {memory[name]} of {machine.memory}")
    return found
