"""What Dovetail does with a case, and whether that agrees with what Kubernetes' allocator answered.

Differences that are meant, and named here:

* `selector error`: a selector that fails on a device ends the whole attempt upstream, if the search gets that far;
  Dovetail leaves the device out and may find others.
* `constraint on all`: upstream ends the attempt as soon as one choice for an earlier request makes a constraint refuse
  a device of a request for all; Dovetail goes on to the other choices.
* `timeout`: upstream stops searching after a time, ten seconds in kube-scheduler.

In all three Dovetail may place a pod that upstream does not; it never refuses one that upstream places.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from e2e.oracle.cases import Json, pod
from scheduler.cluster import encode
from scheduler.cluster.decode import decode
from scheduler.core.config import EngineConfig, Ownership
from scheduler.core.engine import Engine
from scheduler.core.messages import (
    Drained,
    EvaluateScalar,
    Kind,
    Listed,
    ReportUnschedulable,
    Seen,
    Solve,
    WriteAllocation,
)
from scheduler.core.slow import answer as slow_answer

FAILED_SELECTOR = "CEL runtime error"
FAILED_CONSTRAINT = "because a claim constraint would not be satisfied"

CONSTRAINT = "constraint on all"


class Outcome(NamedTuple):
    """`results` has one AllocationResult a claim, as API JSON; None: not placed, and `reason` says why."""

    results: list[Json] | None
    reason: str


class Comparison(NamedTuple):
    """`difference` is empty when both agree; `meant` names a difference that is meant."""

    difference: str = ""
    meant: str = ""
    same_devices: bool = False


def engine_for(case: Json, device_choice: str, *, verify: bool = False) -> Engine:
    """An engine that has seen everything of a case."""
    everywhere = Ownership(all_nodes=True)
    engine = Engine(EngineConfig(ownership=everywhere, device_choice=device_choice, verify_plans=verify))
    seen: tuple[tuple[Kind, list[Json]], ...] = (
        ("Node", [case["node"], *case["others"]]),
        ("DeviceClass", case["classes"]),
        ("ResourceSlice", case["slices"]),
        ("DeviceTaintRule", case["taintRules"]),
        ("ResourceClaim", [*case["allocatedClaims"], *case["claims"]]),
        ("Pod", [pod(case)]),
    )
    for kind, objects in seen:
        for item in objects:
            engine.handle(Seen(decode(kind, item)), 0.0)
    engine.handle(Listed(), 0.0)
    return engine


def place(case: Json, device_choice: str = "scored", *, verify: bool = False) -> Outcome:
    """Decide the pod of a case, with slow work answered at once."""
    engine = engine_for(case, device_choice, verify=verify)
    asked = engine.handle(Drained(), 0.0)
    for _ in range(20):
        slow = [each for each in asked if isinstance(each, Solve | EvaluateScalar)]
        if not slow:
            break
        for each in slow:
            engine.handle(slow_answer(each), 0.0)
        asked = engine.handle(Drained(), 0.0)
    writes = {each.claim.name: each.allocation for each in asked if isinstance(each, WriteAllocation)}
    reasons = [each.message for each in asked if isinstance(each, ReportUnschedulable)]
    if not writes:
        assert reasons, f"neither placed nor refused: {asked}"
        return Outcome(None, reasons[-1])
    bodies = [encode.allocation(writes[claim["metadata"]["name"]], "2026-01-01T00:00:00Z") for claim in case["claims"]]
    return Outcome([_plain(body) for body in bodies], "")


def compare(answer: Json, ours: Outcome) -> Comparison:
    """Hold our outcome against the oracle's answer."""
    outcome, placed = answer["outcome"], ours.results is not None
    if outcome == "ok":
        if ours.results is None:
            return Comparison(f"upstream places, we refuse: {ours.reason}")
        return _same_allocations(answer["results"], ours.results)
    if not placed:
        return Comparison()
    if outcome == "timeout":
        return Comparison(meant="timeout")
    error = answer.get("error", "")
    if outcome == "fatal" and FAILED_SELECTOR in error:
        return Comparison(meant="selector error")
    if outcome == "fatal" and FAILED_CONSTRAINT in error:
        return Comparison(meant=CONSTRAINT)
    return Comparison(f"we place, upstream says {outcome} {error}")


def brief(answer: Json) -> Json:
    """Of an answer what `compare` reads."""
    error = answer.get("error", "")
    kept = next((each for each in (FAILED_SELECTOR, FAILED_CONSTRAINT) if each in error), "")
    found = {"outcome": answer["outcome"], **({"error": kept} if kept else {})}
    if "results" in answer:
        found["results"] = [_plain(each) for each in answer["results"]]
    return found


def devices_of(results: Sequence[Json]) -> list[list[tuple[str, str, str, str]]]:
    """Request, driver, pool and device of every result, by claim."""
    return [
        [(each["request"], each["driver"], each["pool"], each["device"]) for each in _results(allocation)]
        for allocation in results
    ]


def _same_allocations(theirs: Sequence[Json], ours: Sequence[Json]) -> Comparison:
    chosen, mine = devices_of(theirs), devices_of(ours)
    same = chosen == mine
    for number, (one, other) in enumerate(zip(theirs, ours, strict=True)):
        if same and _plain(one) != _plain(other):
            return Comparison(f"claim {number}: upstream writes {_plain(one)}, we write {_plain(other)}")
        if sorted(chosen[number]) == sorted(mine[number]) and chosen[number] != mine[number]:
            return Comparison(f"claim {number}: upstream orders {chosen[number]}, we order {mine[number]}")
        wanted, given = (
            [(each["request"], each.get("tolerations")) for each in _results(item)] for item in (one, other)
        )
        if wanted != given:
            return Comparison(f"claim {number}: upstream serves {wanted}, we serve {given}")
        if one["devices"].get("config") != other["devices"].get("config"):
            return Comparison(f"claim {number}: config {one['devices'].get('config')} is not {other['devices']}")
    return Comparison(same_devices=same)


def _results(allocation: Json) -> list[Any]:
    return allocation["devices"].get("results") or []


def _plain(allocation: Json) -> Json:
    """Without the time of writing, which is not the allocator's, and without empty lists."""
    devices = {key: value for key, value in allocation["devices"].items() if value}
    rest = {key: value for key, value in allocation.items() if key not in {"devices", "allocationTimestamp"}}
    return {**rest, "devices": devices}
