"""What Dovetail answers to a case, in the words of the oracle."""

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from e2e.oracle.generator import DEFAULTS, Json, pod
from scheduler.cluster import encode
from scheduler.cluster.decode import decode
from scheduler.core import plan
from scheduler.core.config import EngineConfig, Ownership
from scheduler.core.engine import Engine
from scheduler.core.errors import DecodeError
from scheduler.core.gates import Gates
from scheduler.core.messages import (
    Drained,
    Event,
    Instruction,
    Kind,
    Listed,
    Rejected,
    ReportUnschedulable,
    Seen,
    Slow,
    Solve,
    Solved,
    WriteAllocation,
)
from scheduler.core.model import Allocation, Claim, Uid
from scheduler.core.plan import Decision, Option, Placement, Plan
from scheduler.core.slow import answer as slow_answer
from scheduler.core.solvers.search import NodeAnswer
from scheduler.core.verify import World, violations

OUTCOMES: Final = {
    plan.NO_FIT: "nofit",
    plan.POOL_INVALID: "node-error",
    plan.REFUSED: "fatal",
    plan.MISCONFIGURED: "fatal",
    plan.UNSUPPORTED: "fatal",
    plan.RETRY: "timeout",
}
TIMESTAMP: Final = "2026-01-01T00:00:00Z"
EVERYWHERE: Final = Ownership(all_nodes=True)
_ROUNDS: Final = 50
_KINDS: Final[tuple[tuple[Kind, str], ...]] = (
    ("Node", "others"), ("DeviceClass", "classes"), ("ResourceSlice", "slices"), ("DeviceTaintRule", "taintRules"),
    ("ResourceClaim", "allocatedClaims"), ("ResourceClaim", "claims"),
)  # fmt: skip


class Answer(NamedTuple):
    """`results` has one AllocationResult a claim when the outcome is ok, as API JSON; else `error` says why not."""

    outcome: str
    results: list[Json]
    error: str
    milliseconds: float


def gates(case: Json) -> Gates:
    """Which features are on."""
    return Gates.from_features(case.get("features", DEFAULTS))


def answer(case: Json, device_choice: str = "scored", *, verify: bool = False) -> Answer:
    """Decide the pod of a case with a new engine that has seen all its objects; slow work is answered in place."""
    config = EngineConfig(
        unlisted_draw=False,  # as upstream
        ownership=EVERYWHERE,
        device_choice=device_choice,
        verify_plans=verify,
        gates=gates(case),
        cycle_steps=10**12,  # nobody else is waiting
    )
    events = _events(case)
    start = time.perf_counter()
    engine = Engine(config)
    for event in events:
        engine.handle(event, 0.0)
    asked = _decided(engine)
    spent = (time.perf_counter() - start) * 1000
    writes = {each.claim.name: each.allocation for each in asked if isinstance(each, WriteAllocation)}
    if writes:
        allocations = [writes[claim["metadata"]["name"]] for claim in case["claims"]]
        return Answer("ok", [_plain(encode.allocation(each, TIMESTAMP)) for each in allocations], "", spent)
    reports = [each for each in asked if isinstance(each, ReportUnschedulable)]
    if not reports:
        return Answer("timeout", [], "a search spent its budget", spent)
    return Answer(OUTCOMES[reports[-1].token], [], reports[-1].message, spent)


def _decided(engine: Engine) -> list[Instruction]:
    """What the engine asks for once it needs nothing slow any more; nothing at all when a search spent its budget."""
    now = 0.0
    for _ in range(_ROUNDS):
        asked = engine.handle(Drained(), now)
        if any(isinstance(each, WriteAllocation | ReportUnschedulable) for each in asked):
            return asked
        slow = [each for each in asked if isinstance(each, Slow)]
        now += 0.0 if slow else 100.0
        for each in slow:
            answer = slow_answer(each)
            last = isinstance(each, Solve) and each.budget >= engine.config.solve_steps
            if (
                last
                and isinstance(answer, Solved)
                and isinstance(answer.answer, NodeAnswer)
                and answer.answer.exhausted
            ):
                return []
            engine.handle(answer, now)
    return []


def _exhausted(answer: Event) -> bool:
    return isinstance(answer, Solved) and isinstance(answer.answer, NodeAnswer) and answer.answer.exhausted


def _events(case: Json) -> list[Event]:
    found = [_seen("Node", case["node"])]
    found += [_seen(kind, item) for kind, key in _KINDS for item in case.get(key, [])]
    return [*found, _seen("Pod", pod(case)), Listed()]


def _seen(kind: Kind, item: Json) -> Event:
    """As the watch does: an object that cannot be read is rejected."""
    try:
        return Seen(decode(kind, item))
    except DecodeError as error:
        metadata = item["metadata"]
        namespace = metadata.get("namespace")
        key = f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])
        return Rejected(kind, key, Uid(metadata.get("uid", "")), str(error))


def _plain(allocation: Json) -> Json:
    """Without the time of writing, which is not the allocator's."""
    return {key: value for key, value in allocation.items() if key != "allocationTimestamp"}


def refused(case: Json, results: Sequence[Json]) -> list[str]:
    """What our checker has against an allocation that somebody else made."""
    allocations: dict[Uid, Allocation] = {}
    for claim, result in zip(case["claims"], results, strict=True):
        read = decode("ResourceClaim", {**claim, "status": {"allocation": result}})
        assert isinstance(read, Claim)
        assert read.allocation is not None
        allocations[read.uid] = read.allocation
    node = case["node"]["metadata"]["name"]
    decision = Decision("default/p", Option(node, (), 0.0, {}), None, 1, 1, {})
    placement = Placement(Uid("pod-p"), node, allocations, (), decision)
    return [str(each) for each in violations(_world(case), Plan(0, (placement,), ()))]


def _world(case: Json) -> World:
    objects: dict[str, list[Any]] = {"Node": [decode("Node", case["node"])], "ResourceClaim": []}
    for kind, key in _KINDS:
        objects.setdefault(kind, []).extend(decode(kind, item) for item in case.get(key, []))
    mine = decode("Pod", pod(case))
    return World(
        unlisted_draw=False,
        nodes={each.name: each for each in objects["Node"]},
        slices={each.name: each for each in objects["ResourceSlice"]},
        classes={each.name: each for each in objects["DeviceClass"]},
        taint_rules={each.name: each for each in objects["DeviceTaintRule"]},
        claims={each.uid: each for each in objects["ResourceClaim"]},
        pods={Uid("pod-p"): mine},  # type: ignore[dict-item]
        ownership=EVERYWHERE,
        gates=gates(case),
    )
