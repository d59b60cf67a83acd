"""Why no node fits: counts of nodes by what stands in the way, and the nearest miss."""

from collections.abc import Sequence

import numpy as np

from scheduler.core.bays import pack
from scheduler.core.candidates import Candidates
from scheduler.core.columns import ABSENT
from scheduler.core.demand import Demand, DeviceRequest, Resolved
from scheduler.core.eligibility import Eligibility
from scheduler.core.rules import NODE_RULES
from scheduler.core.solvers.search import MAX_RESULTS
from scheduler.core.state import State
from scoring.arrays import Counts, Mask, Rows


def unplaced(state: State, resolved: Resolved, candidates: Candidates) -> str:
    """One sentence, most common obstacle first.

    Found out once for a class as long as nothing changes; its pods differ in nothing but the names of their claims.
    """
    if not candidates.reason:
        candidates.reason = _reason(state, candidates)
    text = candidates.reason
    for index, name in enumerate(_names(resolved)):
        text = text.replace(_mark(index), name)
    return text


def _mark(want: int) -> str:
    """Stands for the name of a want."""
    return f"\0{want}\0"


def _reason(state: State, candidates: Candidates) -> str:
    demand = candidates.demand
    rows = np.flatnonzero(state.nodes.live).astype(np.int32)
    total = len(rows)
    found: list[tuple[str, int]] = []
    for rule in NODE_RULES:
        if not len(rows):
            break
        held = rule.mask(state.nodes, demand, rows)
        if not held.all():
            found += rule.reasons(state.nodes, demand, rows[~held])
            rows = rows[held]
    notes: list[str] = []
    if len(rows) and demand.wants:
        found += _devices(state, demand, candidates.eligible, rows)
        notes = _failures(state, candidates.eligible, rows)
    text = f"0 of {total} nodes fit"
    ordered = sorted(found, key=lambda reason: -reason[1])
    if ordered:
        text += ": " + ", ".join(f"{count} {reason}" for reason, count in ordered)
    return "; ".join([text, *notes])


def _names(resolved: Resolved) -> list[str]:
    """Of the wants, as their owner wrote them."""
    return [f"{request.name} of claim {claim.name}" for claim in resolved.claims for request in claim.spec.requests]


def _devices(state: State, demand: Demand, eligible: Sequence[Eligibility], rows: Rows) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    problems = [row for row in rows.tolist() if row in state.bays.problems]
    for index, (want, serving) in enumerate(zip(demand.wants, eligible, strict=True)):
        if not len(rows):
            break
        seen = state.bays.rows[rows]
        exists = seen >= 0
        selected = exists & serving.selected[seen]
        usable = exists & serving.usable[seen]
        free = np.bitwise_count(pack(usable) & state.bays.free[rows]).sum(axis=1, dtype=np.int64)
        if want.count:
            short = free < want.count
            reason = f"lack {want.count} free devices for request {_mark(index)}"
            if short.any():
                near = _nearest(state, want.request, rows[short], selected[short], usable[short], free[short])
                found.append((f"{reason}{near}", int(short.sum())))
        else:
            whole = selected.sum(axis=1)
            blocked = (exists & serving.failed[seen]).any(axis=1)
            lost = serving.selected[list(state.adrift)].any()
            short = (whole == 0) | (free < whole) | blocked | np.isin(rows, problems) | lost
            if short.any():
                found.append((f"cannot give all devices to request {_mark(index)}", int(short.sum())))
        rows = rows[~short]
    beyond = _beyond_limit(state, demand, eligible, rows)
    if beyond.any():
        found.append((f"would give one claim more than {MAX_RESULTS} devices", int(beyond.sum())))
        rows = rows[~beyond]
    if len(rows):
        found.append((_joint(demand), len(rows)))
    if problems:
        found.append((f"see {state.bays.problems[problems[0]][0]}", len(problems)))
    return found


def _beyond_limit(state: State, demand: Demand, eligible: Sequence[Eligibility], rows: Rows) -> Mask:
    """Nodes where mode All asks for more devices than one claim can hold."""
    seen = state.bays.rows[rows]
    asked: dict[int, Counts] = {}
    for want, serving in zip(demand.wants, eligible, strict=True):
        count = ((seen >= 0) & serving.selected[seen]).sum(axis=1) if not want.count else np.int64(want.count)
        asked[want.claim] = asked.get(want.claim, np.zeros(len(rows), np.int64)) + count
    found: Mask = np.any([counts > MAX_RESULTS for counts in asked.values()], axis=0)
    return found


def _nearest(state: State, request: DeviceRequest, rows: Rows, selected: Mask, usable: Mask, free: Counts) -> str:
    best = int(np.argmax(free))
    node = state.nodes.nodes[int(rows[best])]
    name = node.name if node else "?"
    if int(free[best]):
        return f" (best: {name} has {int(free[best])})"
    if selected.any() and not usable.any():
        return f" ({_why_unusable(state, request, rows, selected)})"
    if usable.any():
        return " (all that match are in use)"
    return " (no device matches its selectors)"


def _why_unusable(state: State, request: DeviceRequest, rows: Rows, selected: Mask) -> str:
    at = np.argwhere(selected)[0]
    row = int(state.bays.rows[rows[at[0]], at[1]])
    item, device = state.row_device[row]
    where = f"device {item.driver}/{item.pool}/{device.name}"
    problems = int(state.device_problems.codes[row])
    if problems != ABSENT:
        return f"{where} is not supported yet: {'; '.join(state.device_problems.values[problems])}"
    taint = state.taint_in_the_way(state.device_taints_of(item.driver, item.pool, device), request.tolerations)
    if taint is not None:
        return f"{where} has a taint that the request does not tolerate: {taint.key}:{taint.effect}"
    return f"{where} is of driver {item.driver}, which Dovetail does not own"


def _joint(demand: Demand) -> str:
    if demand.matches:
        attributes = ", ".join(sorted({match.attribute for match in demand.matches}))
        return f"have no set of free devices that shares one value of {attributes}"
    return "cannot serve all requests with different devices"


def _failures(state: State, eligible: Sequence[Eligibility], rows: Rows) -> list[str]:
    notes: list[str] = []
    for index, serving in enumerate(eligible):
        seen = state.bays.rows[rows]
        failed = np.unique(seen[(seen >= 0) & serving.failed[seen]])
        if len(failed):
            item, device = state.row_device[int(failed[0])]
            where = f"{item.driver}/{item.pool}/{device.name}"
            problem = serving.problem(state, int(failed[0]))
            notes.append(
                f"request {_mark(index)} failed on {len(failed)} devices, for example {where}: {problem}; "
                "guard it with has()"
            )
    return notes
