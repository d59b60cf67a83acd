"""The packing problem in numbers: models, kinds of GPUs, and the ways in which a GPU of a kind can be used.

Models that need the same, and whose replicas may stand together, are one *group*. A way is either a *bin*, in which
amounts of memory, compute and places add up, or a *cut*, whose parts serve one replica each. GPUs that offer the same
ways are one kind. Letters: I groups.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scheduler.core.model import MAX_CONSUMERS, Device
from scheduler.core.quantity import NANO, Quantity
from scheduler.core.rules.capacity import UnrepresentableError, resolve
from scheduler.sharing.geometry import Shape, cuts
from scheduler.sharing.supply import Gpu, Offer, capacity_name, compute_name, memory_of
from scheduler.sharing.wishes import COMPUTE, GPU, MEMORY, NODE, NONE, Model

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
WHOLE, CLAIM, SHARE, CUT = "whole", "claim", "share", "cut"
MODES: Final = (WHOLE, CLAIM, SHARE, CUT)


@dataclass(frozen=True, slots=True)
class Kind:
    """GPUs that are alike: rows of Problem.gpus. cost : 1, or 0 where they are in use anyway."""

    product: str
    gpus: tuple[int, ...]
    cost: int


@dataclass(frozen=True, slots=True, eq=False)
class Bin:
    """A way to use a GPU of a kind in which amounts add up. tenant : whose models only, empty for everybody's.

    room : int64 (3,), memory, compute and places. takes : int64 (I, 3). able : bool (I,), a replica may be in it.
    """

    kind: int
    mode: str
    tenant: str
    room: Ints
    takes: Ints
    able: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A way to cut a GPU of a kind. parts : positions in Gpu.parts. fits : bool (I, parts)."""

    kind: int
    parts: tuple[int, ...]
    fits: Mask


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is on one GPU of a kind: of each group how many replicas; and for a cut, who has which part."""

    kind: int
    mode: str
    tenant: str
    counts: tuple[tuple[int, int], ...]
    parts: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """All of it. replicas : int64 (I,). single : bool (I,), at most one replica a GPU. lonely : one a node at most.

    models : one of each group, which stands for all. members : by group its models, as rows of what was asked for.
    scarcity : by bin, what all that could be there takes of memory, compute and places, the most being 1.
    """

    models: tuple[Model, ...]
    members: tuple[tuple[int, ...], ...]
    gpus: tuple[Gpu, ...]
    kinds: tuple[Kind, ...]
    bins: tuple[Bin, ...]
    cuts: tuple[Cut, ...]
    replicas: Ints
    single: Mask
    lonely: Mask
    scarcity: tuple[tuple[float, ...], ...]

    @property
    def penalty(self) -> int:
        """What a replica without a place costs: more than all GPUs."""
        return sum(len(kind.gpus) * kind.cost for kind in self.kinds) + 1


def problem(asked_for: Sequence[Model], gpus: Sequence[Gpu], *, fractional: bool) -> Problem:
    """The problem of packing these models on these GPUs. fractional : of `rules.capacity.resolve`."""
    members = _members(asked_for, gpus)
    models = [asked_for[rows[0]] for rows in members]
    groups: dict[Any, list[int]] = defaultdict(list)
    for row, gpu in enumerate(gpus):
        groups[_signature(gpu)].append(row)
    kinds: list[Kind] = []
    bins: list[Bin] = []
    found: list[Cut] = []
    for number, rows in enumerate(groups.values()):
        gpu = gpus[rows[0]]
        kinds.append(Kind(gpu.product, tuple(rows), 0 if gpu.used else 1))
        allowed = np.array([admits(model, gpu.product) for model in models], np.bool_)
        bins += _bins(number, gpu, models, allowed, fractional=fractional)
        found += _cuts(number, gpu, models, allowed)
    apart = [model.replicas > 1 and model.spread in {GPU, NODE} for model in models]
    replicas = np.array([sum(asked_for[row].replicas for row in rows) for rows in members], np.int64)
    bins = [each for each in bins if each.able.any()]
    return Problem(
        tuple(models),
        members,
        tuple(gpus),
        tuple(kinds),
        tuple(bins),
        tuple(each for each in found if each.fits.any()),
        replicas,
        np.array(apart, np.bool_),
        np.array([each and model.spread == NODE for each, model in zip(apart, models, strict=True)], np.bool_),
        tuple(_scarcity(each, replicas) for each in bins),
    )


def _scarcity(way: Bin, replicas: Ints) -> tuple[float, ...]:
    total = ((way.takes[way.able] / np.maximum(way.room, 1)) * replicas[way.able][:, None]).sum(axis=0)
    return tuple((total / max(float(total.max()), 1e-9)).tolist())


def _members(models: Sequence[Model], gpus: Sequence[Gpu]) -> tuple[tuple[int, ...], ...]:
    """Models that are one group. Whose they are matters only where a claim is shared."""
    owned = any(gpu.whole is not None and not gpu.whole.device.shareable for gpu in gpus)
    groups: dict[Any, list[int]] = defaultdict(list)
    for row, model in enumerate(models):
        together = model.replicas == 1 or model.spread == NONE
        tenant = model.namespace if owned and model.isolation == NONE else ""
        needs = (model.memory, model.compute, model.isolation, tuple(sorted(model.products)), tenant)
        groups[(needs, None) if together else (needs, row)].append(row)
    return tuple(tuple(rows) for rows in groups.values())


def admits(model: Model, product: str) -> bool:
    """Whether a model may be on GPUs of this name."""
    name = product.lower()
    return not model.products or any(fnmatchcase(name, pattern.lower()) for pattern in model.products)


def _signature(gpu: Gpu) -> Any:
    """Equal for GPUs that can be used in the same ways."""
    sets = {name: number for number, name in enumerate(dict.fromkeys(key.partition("/")[0] for key in gpu.counters))}

    def bare(amounts: Mapping[str, int]) -> tuple[tuple[int, str, int], ...]:
        named = ((name.partition("/"), amount) for name, amount in amounts.items())
        return tuple(sorted((sets.get(key[0], -1), key[2], amount) for key, amount in named))

    whole = None
    if gpu.whole is not None:
        device = gpu.whole.device
        policies = tuple(sorted((name, str(policy)) for name, policy in device.policies.items()))
        amounts = tuple(sorted((name, amount.nanos) for name, amount in device.capacity.items()))
        whole = (amounts, policies, device.shareable, tuple(sorted(gpu.held.items())), gpu.whole.driver)
    parts = tuple((part.profile, part.memory, part.compute, bare(part.draws)) for part in gpu.parts)
    return (gpu.product, whole, parts, bare(gpu.counters), gpu.used)


def _cuts(kind: int, gpu: Gpu, models: Sequence[Model], allowed: Mask) -> list[Cut]:
    shapes: list[Shape] = [(part.memory, part.compute) for part in gpu.parts]
    if not shapes:
        return []
    found = []
    for chosen in cuts(gpu.key, shapes, [part.draws for part in gpu.parts], gpu.counters):
        fits = np.array(
            [
                [
                    bool(may) and model.isolation in {NONE, MEMORY}
                    and model.memory <= shapes[part][0] and model.compute <= shapes[part][1]
                    for part in chosen
                ]
                for model, may in zip(models, allowed, strict=True)
            ],
            np.bool_,
        )  # fmt: skip
        found.append(Cut(kind, chosen, fits))
    return found


def _bins(kind: int, gpu: Gpu, models: Sequence[Model], allowed: Mask, *, fractional: bool) -> list[Bin]:
    if gpu.whole is None:
        return []
    size = memory_of(gpu.whole.driver, gpu.whole.device)
    assert size is not None  # such devices are no GPUs
    memory = size.nanos // NANO
    own = np.array([[model.memory, model.compute, 1] for model in models], np.int64).reshape(-1, 3)
    fits = allowed & (own[:, 0] <= memory)
    soft = np.array([model.isolation == NONE for model in models], np.bool_)
    once = np.ones_like(own) * np.array([0, 0, 1])
    if not gpu.whole.device.shareable:
        tenants = dict.fromkeys(model.namespace for model in models)
        room = np.array([memory, COMPUTE, MAX_CONSUMERS], np.int64)
        mine = {name: np.array([model.namespace == name for model in models], np.bool_) for name in tenants}
        shared = [Bin(kind, CLAIM, name, room, own, fits & soft & mine[name]) for name in tenants]
        return [Bin(kind, WHOLE, "", np.array([0, 0, 1], np.int64), once, fits & ~soft), *shared]
    shares = _shares(kind, gpu, gpu.whole, models, fits & soft, fractional=fractional)
    alone = fits & (_alone(gpu, gpu.whole.device) & ~(shares.able if shares else np.zeros_like(fits)))
    whole = Bin(kind, WHOLE, "", np.array([0, 0, 1], np.int64), once, alone)
    return [whole, shares] if shares is not None else [whole]


def _alone(gpu: Gpu, device: Device) -> bool:
    """Whether one claim can have all of a shareable device: nobody has some, and each share takes some memory."""
    name = capacity_name(gpu.whole.driver, device, "memory") if gpu.whole is not None else ""
    policy = device.policies.get(name)
    if any(gpu.held.values()):
        return False
    if policy is None:
        return True
    least = policy.minimum if policy.ranged else (policy.values[0] if policy.values else None)
    most = policy.maximum
    return least is not None and least.nanos > 0 and (most is None or most.nanos >= device.capacity[name].nanos)


def asked(offer: Offer, memory: int, compute: int) -> dict[str, Quantity]:
    """What a share asks for by capacity, for memory in bytes and compute in COMPUTE-ths, in whole units rounded up."""
    name, measure = capacity_name(offer.driver, offer.device, "memory"), compute_name(offer)
    found = {name: Quantity(memory * NANO, _spelled(memory))}
    if measure:
        units = -(-offer.device.capacity[measure].nanos * compute // (COMPUTE * NANO))
        found[measure] = Quantity(units * NANO, str(units))
    return found


def _spelled(amount: int) -> str:
    for suffix, size in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if amount % size == 0:
            return f"{amount // size}{suffix}"
    return str(amount)


def _shares(kind: int, gpu: Gpu, offer: Offer, models: Sequence[Model], able: Mask, *, fractional: bool) -> Bin | None:
    """Shares of a device that several claims may have, each counted as its request policy rounds it."""
    device = offer.device
    name, measure = capacity_name(offer.driver, device, "memory"), compute_name(offer)
    left = {each: amount.nanos - gpu.held.get(each, 0) for each, amount in device.capacity.items()}
    takes = np.zeros((len(models), 3), np.int64)
    able = able.copy()
    places = MAX_CONSUMERS**2
    for row, model in enumerate(models):
        if not able[row]:
            continue
        try:
            taken = resolve(asked(offer, model.memory, model.compute), device, fractional=fractional)
        except UnrepresentableError:
            taken = None
        if taken is None:
            able[row] = False
            continue
        # Where no capacity measures compute, compute is planned all the same, though nobody counts it later.
        takes[row] = (_up(taken[name]), _up(taken[measure]) if measure else model.compute, 1)
        for other, amount in taken.items():
            if other not in {name, measure} and amount.nanos > 0:
                places = min(places, left[other] // amount.nanos)
    compute = left[measure] // NANO if measure else COMPUTE
    room = np.array([left[name] // NANO, compute, places], np.int64)
    able &= (takes <= room).all(axis=1)
    return Bin(kind, SHARE, "", room, takes, able) if able.any() else None


def _up(amount: Quantity) -> int:
    return -(-amount.nanos // NANO)
