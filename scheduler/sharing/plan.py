"""A solution in words of the fleet: what is on each GPU, what is left, what does not fit and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.sharing.floor import Seat
from scheduler.sharing.problem import CLAIM, CUT, WHOLE, Problem, admits
from scheduler.sharing.solving import Solution
from scheduler.sharing.supply import Gpu, Part, memory_of
from scheduler.sharing.wishes import COMPUTE, FULL, NODE, NONE, Model


@dataclass(frozen=True, slots=True)
class Tenant:
    """Replicas of a model on a GPU. memory in bytes, compute in COMPUTE-ths: what each takes, rounded up where it is.

    part : which part of the GPU it has, where it has one.
    """

    model: Model
    replicas: int
    memory: int
    compute: int
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A GPU that the plan uses. memory, compute : in all, and `spare` ones what is left after the plan."""

    gpu: Gpu
    mode: str
    tenants: tuple[Tenant, ...]
    memory: int
    compute: int
    spare_memory: int
    spare_compute: int

    @property
    def headroom(self) -> float:
        """The lesser share of memory or compute that is left, 0 where one replica has all."""
        if self.mode == WHOLE:
            return 0.0
        return min(self.spare_memory / max(self.memory, 1), self.spare_compute / max(self.compute, 1))


@dataclass(frozen=True, slots=True)
class Missing:
    """Replicas of a model that have no place, why, and what would help."""

    model: Model
    replicas: int
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class SharePlan:
    """The plan. used : GPUs put to use. joined : GPUs that existing claims use and that models join.

    least : proven, no plan for as many replicas puts fewer GPUs to use; None if that is not known.
    least_missing : proven, at least so many replicas have no place in any plan.
    """

    placed: tuple[Placed, ...]
    missing: tuple[Missing, ...]
    used: int
    joined: int
    least: int | None
    least_missing: int
    method: str

    @property
    def gap(self) -> float | None:
        """By how much `used` may be above the optimum, as a share of `least`."""
        return None if self.least is None else (self.used - self.least) / max(self.least, 1)

    @property
    def absent(self) -> int:
        """Replicas without a place."""
        return sum(each.replicas for each in self.missing)


def plan(solution: Solution, models: Sequence[Model]) -> SharePlan:
    """What a solution means. models : as they were asked for, in the order that Problem.members counts in."""
    problem = solution.problem
    queues = [[row for row in members for _ in range(models[row].replicas)][::-1] for members in problem.members]
    seats = sorted(solution.packing.seats, key=lambda seat: seat.gpu)
    placed = tuple(_placed(problem, seat, models, queues) for seat in seats)
    used = sum(problem.kinds[seat.pattern.kind].cost for seat in seats)
    absent = sum(solution.packing.missing)
    least_missing = min(absent, solution.least // problem.penalty)
    same = least_missing == absent
    missing = []
    for group, queue in enumerate(queues):
        for row in dict.fromkeys(reversed(queue)):
            reason, remedy = _why(problem, group, models[row], queue.count(row), proven=same)
            missing.append(Missing(models[row], queue.count(row), reason, remedy))
    return SharePlan(
        placed,
        tuple(missing),
        used,
        len(seats) - used,
        solution.least - problem.penalty * absent if same else None,
        least_missing,
        solution.method,
    )


def _placed(problem: Problem, seat: Seat, models: Sequence[Model], queues: list[list[int]]) -> Placed:
    gpu, pattern = problem.gpus[seat.gpu], seat.pattern
    if pattern.mode == CUT:
        return _cut(gpu, seat, models, queues)
    way = next(
        each
        for each in problem.bins
        if (each.kind, each.mode, each.tenant) == (pattern.kind, pattern.mode, pattern.tenant)
    )
    counts: dict[int, int] = {}
    groups: dict[int, int] = {}
    for group, count in pattern.counts:
        for _ in range(count):
            row = queues[group].pop()
            counts[row] = counts.get(row, 0) + 1
            groups[row] = group
    alone = pattern.mode == WHOLE or (pattern.mode == CLAIM and sum(counts.values()) == 1)
    assert gpu.whole is not None  # or it had no bins
    size = memory_of(gpu.whole.driver, gpu.whole.device)
    total = (size.nanos // 10**9 if size is not None else 0, COMPUTE)
    if alone:
        [row] = counts
        memory, compute = total[0] - models[row].memory, COMPUTE - models[row].compute
        tenant = Tenant(models[row], 1, models[row].memory, models[row].compute)
        return Placed(gpu, WHOLE, (tenant,), *total, memory, compute)
    tenants = tuple(
        Tenant(models[row], count, int(way.takes[groups[row], 0]), models[row].compute)
        for row, count in sorted(counts.items())
    )
    taken = sum(each.memory * each.replicas for each in tenants)
    busy = sum(int(way.takes[groups[row], 1]) * count for row, count in counts.items())
    spare = int(way.room[0]) - taken
    left = (int(way.room[1]) - busy) * COMPUTE // max(int(way.room[1]), 1)
    return Placed(gpu, pattern.mode, tenants, *total, spare, left)


def _cut(gpu: Gpu, seat: Seat, models: Sequence[Model], queues: list[list[int]]) -> Placed:
    tenants = []
    for group, position in seat.pattern.parts:
        part = gpu.parts[position]
        model = models[queues[group].pop()]
        tenants.append(Tenant(model, 1, part.memory, part.compute, part))
    tenants.sort(key=lambda each: each.part.offer.device.name if each.part else "")
    whole = memory_of(gpu.whole.driver, gpu.whole.device) if gpu.whole is not None else None
    exist = not any(part.draws for part in gpu.parts)
    memory = whole.nanos // 10**9 if whole is not None else sum(part.memory for part in gpu.parts if exist)
    compute = COMPUTE if not exist else sum(part.compute for part in gpu.parts)
    memory = memory or max(part.memory for part in gpu.parts)
    taken = sum(each.memory for each in tenants)
    busy = sum(each.compute for each in tenants)
    return Placed(gpu, CUT, tuple(tenants), memory, compute, max(memory - taken, 0), max(compute - busy, 0))


# ---------------------------------------------------------------- why not


def _why(problem: Problem, group: int, model: Model, count: int, *, proven: bool) -> tuple[str, str]:
    """The reason why replicas have no place, and what would help."""
    if not problem.gpus:
        return "the fleet has no GPU to plan with", "see what is left out, and why"
    allowed = [gpu for gpu in problem.gpus if admits(model, gpu.product)]
    if not allowed:
        known = ", ".join(sorted({gpu.product for gpu in problem.gpus}))
        return f"no GPU matches products {', '.join(model.products)}", f"the fleet has {known}"
    ways = [each for each in problem.bins if each.able[group]]
    cuts = [each for each in problem.cuts if each.fits[group].any()]
    if not ways and not cuts:
        return _too_large(model, allowed)
    kinds = sorted({each.kind for each in ways} | {each.kind for each in cuts})
    gpus = [gpu for kind in kinds for gpu in problem.kinds[kind].gpus]
    nodes = {problem.gpus[gpu].node for gpu in gpus}
    if problem.lonely[group] and model.replicas > len(nodes):
        reason = f"spread: node, and it may be on {_number(len(nodes), 'node')} for {model.replicas} replicas"
        return reason, f"add {_number(model.replicas - len(nodes), 'node')} with such GPUs, or spread: gpu"
    if problem.single[group] and model.replicas > len(gpus):
        reason = f"spread: gpu, and it may be on {_number(len(gpus), 'GPU')} for {model.replicas} replicas"
        return reason, f"add {_number(model.replicas - len(gpus), 'GPU')}, or spread: none"
    sure = "in any plan" if proven else "in this plan"
    reason = f"the {_number(len(gpus), 'GPU')} that it may use {'is' if len(gpus) == 1 else 'are'} full {sure}"
    best = max(kinds, key=lambda kind: (_each(problem, kind, group), -kind))
    each = _each(problem, best, group)
    where = " on another node" if model.spread == NODE and model.replicas > 1 else ""
    product = problem.kinds[best].product
    return reason, f"{-(-count // each)} more {product}{where} would hold {'it' if count == 1 else f'all {count}'}"


def _each(problem: Problem, kind: int, group: int) -> int:
    """How many replicas of a group one GPU of a kind holds, if it holds nothing else."""
    if problem.single[group]:
        return 1
    most = 0
    for way in problem.bins:
        if way.kind == kind and way.able[group]:
            taken = way.takes[group]
            most = max(most, int((way.room[taken > 0] // taken[taken > 0]).min(initial=256)))
    for cut in problem.cuts:
        if cut.kind == kind:
            most = max(most, int(cut.fits[group].sum()))
    return max(most, 1)


def _too_large(model: Model, allowed: Sequence[Gpu]) -> tuple[str, str]:
    """Why no GPU that matches could hold a single replica even if nothing else were on it."""
    sizes = [memory_of(gpu.whole.driver, gpu.whole.device) for gpu in allowed if gpu.whole is not None]
    whole = max((each.nanos // 10**9 for each in sizes if each is not None), default=0)
    parts = [part for gpu in allowed for part in gpu.parts]
    if model.isolation == FULL and not whole:
        return "isolation: full needs a GPU of its own, and all are cut or in use", "add a GPU that is not cut"
    largest = max(whole, 0 if model.isolation == FULL else max((part.memory for part in parts), default=0))
    if not largest:
        return "all GPUs that match are in use by existing claims", "add a GPU, or end what uses one"
    if model.memory > largest:
        what = "of a GPU" if whole >= largest else "of a part of a GPU"
        reason = f"it needs {size(model.memory)} of memory, and the most {what} that it may have is {size(largest)}"
        return reason, "add a larger GPU, or need less memory"
    if whole:
        return "the GPUs that match cannot be given to it as a whole or in shares of this size", (
            "isolation: none" if model.isolation != NONE else "need no more than the driver's request policy allows"
        )
    reason = "no part of a GPU has as much memory and compute as it needs"
    return reason, "add a GPU that is not cut, or cut one into larger parts"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def size(amount: int) -> str:
    """Bytes for people."""
    for suffix, unit in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if abs(amount) >= unit:
            return f"{amount / unit:.1f}".removesuffix(".0") + suffix
    return str(amount)
