"""Why no node fits: counts of nodes by what stands in the way, and the nearest miss."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from scheduler.core import mounts
from scheduler.core.bays import Bytes, pack
from scheduler.core.candidates import Candidates
from scheduler.core.cel.costs import LIMIT
from scheduler.core.columns import ABSENT
from scheduler.core.demand import Demand, DeviceRequest, Resolved
from scheduler.core.eligibility import Eligibility
from scheduler.core.errors import FaultError
from scheduler.core.model import MAX_RESULTS, Device, Slice
from scheduler.core.pools import reaches, targets
from scheduler.core.rules import NODE_RULES
from scheduler.core.rules.capacity import hindrance
from scheduler.core.shortage import shortage
from scheduler.core.solvers.puzzle import YES, Ask, Puzzle
from scheduler.core.state import State
from scoring.arrays import Counts, Mask, Rows
from scoring.topology.base import Layout

_FEW = 8  # devices that are looked at one by one before all are
NONE_MATCHES = "no device matches its selectors"
NONE_SEEN = "no device that can be seen matches its selectors"
_REMEDIES = (
    ("no such key", "guard it with has()"),
    ("no such overload", "compare it with a value of the type that its driver publishes"),
    ("cost limit exceeded", f"make it cheaper than {LIMIT} units, say with shorter lists and texts"),
    ("does not have exactly one value", "its driver must correct it"),
)


def unplaced(state: State, ways: Sequence[tuple[Resolved, Candidates]], closed: Sequence[str] = ()) -> str:
    """One sentence: for each way in which nodes might serve the pod what is in it, most common obstacle first."""
    parts = [*(_obstacles(state, resolved, candidates) for resolved, candidates in ways), *closed, *_unread(state)]
    told = "; ".join(part for part in parts if part)
    text = f"0 of {len(state.nodes.rows)} nodes fit"
    return f"{text}: {told}" if told else text


def _unread(state: State) -> list[str]:
    """What might have helped and cannot be read: the first such object of each kind, and how many more there are."""
    found = []
    for kind in ("Node", "ResourceSlice"):
        broken = sorted(name for each, name in state.problems if each == kind)
        if broken:
            more = f" (and {len(broken) - 1} more of its kind)" if len(broken) > 1 else ""
            found.append(f"left out, since it cannot be read: {state.problems[kind, broken[0]]}{more}")
    return found


def _obstacles(state: State, resolved: Resolved, candidates: Candidates) -> str:
    """Found out once for a class while nothing changes; its pods differ in nothing but the names of their claims."""
    if not candidates.reason:
        candidates.reason = _reason(state, candidates)
    text = candidates.reason
    for index, name in enumerate(names_of(resolved)):
        text = text.replace(_mark(index), name)
    for mark, name in mounts.names_of(resolved.mounted).items() if resolved.mounted is not None else ():
        text = text.replace(mark, name)
    return text


def _mark(want: int) -> str:
    """Stands for the name of a want."""
    return f"\0{want}\0"


def _reason(state: State, candidates: Candidates) -> str:
    demand = candidates.demand
    rows = np.flatnonzero(state.nodes.live).astype(np.int32)
    found: list[tuple[str, int]] = []
    for rule in NODE_RULES:
        if not len(rows):
            break
        held = rule.mask(state.nodes, demand, rows)
        if not held.all():
            found += rule.reasons(state.nodes, demand, rows[~held])
            rows = rows[held]
    if candidates.short:
        short = Counter(candidates.short[row] for row in rows.tolist() if row in candidates.short)
        found += [(f"lack {name} for what the devices take of their node", count) for name, count in short.items()]
        rows = rows[[row not in candidates.short for row in rows.tolist()]]
    if len(rows) and demand.wants:
        searched = candidates.searched(rows)
        shared, able = candidates.shares(state, rows)
        found += _devices(state, demand, [asks[0] for asks in candidates.eligible], rows[~searched & ~shared])
        found += _searched(state, candidates, rows[searched], rows[shared], able)
        hidden = _out_of_reach(state, rows)
        if hidden:  # nobody can say of those nodes that none matches
            found = [(text.replace(NONE_MATCHES, NONE_SEEN), count) for text, count in found]
        found += hidden
    notes = [
        f"request {_mark(index)}: {broken}"
        for index, asks in enumerate(candidates.eligible)
        for broken in dict.fromkeys(eligible.broken(state) for eligible in asks)
        if broken
    ]
    ordered = sorted(_joined(found), key=lambda reason: -reason[1])
    counted = [", ".join(f"{count} {reason}" for reason, count in ordered)] if ordered else []
    return "; ".join([*counted, *notes, *_nowhere(state, candidates), *_left_alone(state, candidates)])


def _joined(found: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """The same obstacle once, whether a node was counted or searched, with what tells most of it."""
    kept: dict[str, tuple[str, int]] = {}
    for text, count in found:
        plain = text.partition(" (")[0]
        known, before = kept.get(plain, ("", 0))
        told = text if not known or known.endswith((f"({NONE_MATCHES})", f"({NONE_SEEN})")) else known
        kept[plain] = (told, before + count)
    return list(kept.values())


def _nowhere(state: State, candidates: Candidates) -> list[str]:
    """Where no node sees a device that a request selects: the first slice with such devices, and why nobody sees it."""
    found = []
    for index, asks in enumerate(candidates.eligible):
        selected = np.flatnonzero(np.any([each.selected for each in asks], axis=0))
        if any(state.bays.nodes_of(device) for device in selected[:_FEW].tolist()):
            continue
        if not len(selected) or np.isin(selected, state.bays.rows).any():
            continue
        item, device = state.row_device[int(selected[0])]
        why = _unseen(state, item, device)
        if why:
            found.append(f"request {_mark(index)}: {why}")
    return found


def _unseen(state: State, item: Slice, device: Device) -> str:
    """What is wrong with where the device of a slice says that it is; empty if that is not the point."""
    where = f"ResourceSlice {item.name}"
    if item.unsupported:
        return f"{where} is not supported: {'; '.join(item.unsupported)}"
    if item.node_name is not None:
        return (
            "" if item.node_name in state.nodes.rows else f"{where} is for node {item.node_name}, which does not exist"
        )
    nodes = state.node_by_name.current.values()
    if item.per_device and not any(reaches(device, node) for node in nodes):
        return f"{where}: device {device.name} has no nodeName, nodeSelector or allNodes that fits any node"
    if not item.per_device and not any(targets(item, node) for node in nodes):
        return f"{where} has a nodeSelector that selects no node"
    return ""


def _left_alone(state: State, candidates: Candidates) -> list[str]:
    """The first device that would serve if it had not failed a pod a moment ago."""
    serving = [each for asks in candidates.eligible for each in asks]
    found = [why for row, why in state.avoided_rows() if any(each.selected[row] for each in serving)]
    return [f"left alone for a while: {each}" for each in found[:1]]


def refused(state: State, resolved: Resolved, candidates: Candidates, row: int) -> str:
    """One sentence on the error that a node's search met: it ends the attempt, as in kube-scheduler, on every node."""
    answer = candidates.answer(row)
    fatal = answer.fatal if answer is not None else None
    if fatal is None:
        raise FaultError(f"node row {row} refused a pod without a reason")
    node = state.nodes.nodes[row]
    where = f"on node {node.name if node else row}"
    want = names_of(resolved)[fatal.want] if fatal.want >= 0 else "its claims"
    device = ""
    if fatal.position >= 0:
        item, listed = state.row_device[int(state.bays.rows[row][fatal.position])]
        device = f"{item.driver}/{item.pool}/{listed.name}"
    if fatal.kind == "selector":
        serving = candidates.eligible[fatal.want][fatal.ask]
        problem = serving.problem(state, candidates.verdicts, int(state.bays.rows[row][fatal.position]))
        if serving.broken(state):
            return f"request {want} cannot be served: {problem}; correct the selector"
        return (
            f"request {want} failed on device {device} {where}: {problem}; {_remedy(problem)}, "
            "since one such device ends the attempt on every node"
        )
    if fatal.kind == "incomplete":
        return f"request {want} asks for all devices and {where} {fatal.text}; it waits for the driver"
    if fatal.kind == "capacity":
        return f"request {want} cannot be served from device {device} {where}: {fatal.text}; ask for another amount"
    if fatal.kind == "derived":
        return f"request {want}: a derived attribute failed on device {device} {where}: {fatal.text}"
    if fatal.kind == "constraint":
        return (
            f"request {want} asks for all devices {where}, and a constraint of the claim refuses {device}; "
            "loosen the constraint or select fewer devices"
        )
    if fatal.kind == "terms":
        return (
            f"device {device} {where} has a nodeSelector with several terms, which an allocation cannot hold; "
            "it waits for the driver"
        )
    return f"request {want} {where} would give one claim more than {MAX_RESULTS} devices; split the claim"


def _remedy(problem: str) -> str:
    """What helps against the failure of a selector on a device."""
    return next((remedy for words, remedy in _REMEDIES if words in problem), "correct the selector")


def names_of(resolved: Resolved) -> list[str]:
    """Of the wants, as their owner wrote them."""
    special = resolved.special
    made = special.claim.uid if special is not None else ""
    users = {each.request: each for each in reversed(special.mappings)} if special is not None else {}
    return [
        f"{users[request.name].resource} of container {users[request.name].container}"
        if claim.uid == made
        else f"{request.name} of claim {claim.name}"
        for claim in resolved.claims
        for request in claim.spec.requests
    ]


def _devices(state: State, demand: Demand, eligible: Sequence[Eligibility], rows: Rows) -> list[tuple[str, int]]:
    """Of nodes where counting and matching decide."""
    found: list[tuple[str, int]] = []
    for index, (want, serving) in enumerate(zip(demand.wants, eligible, strict=True)):
        if not len(rows):
            return found
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
            short = (whole == 0) | (free < whole)
            if short.any():
                near = "" if selected[short].any() else f" ({NONE_MATCHES})"
                found.append((f"cannot give all devices to request {_mark(index)}{near}", int(short.sum())))
        rows = rows[~short]
    bound: Counter[str] = Counter()
    for row in rows[state.bays.partitioned[rows]].tolist():
        free = np.unpackbits(state.bays.free[row], bitorder="little")
        words = _no_whole_partition(state, demand, eligible[0], row, _at(free))
        if words:
            bound[words] += 1
    found += bound.items()
    joint = len(rows) - bound.total()
    if joint:
        found.append((_joint(demand) + _absent(state, demand, eligible, rows), joint))
    return found


def _no_whole_partition(state: State, demand: Demand, serving: Eligibility, row: int, free: set[int]) -> str:
    """Which partition a pod wants and cannot have on a node that was counted: that is so for one request only."""
    seen = state.bays.rows[row]
    layout = state.bays.layouts[int(state.bays.layout[row])]
    return _no_partition(layout, free, _at((seen >= 0) & serving.usable[seen]), {demand.wants[0].count})


def _absent(state: State, demand: Demand, eligible: Sequence[Eligibility], rows: Rows) -> str:
    """A device that could serve if it had the attribute that it is to share with others."""
    for relation in demand.relations:
        column = state.devices.attributes.get(relation.attribute)
        for want in relation.wants:
            seen = state.bays.rows[rows]
            lacking = (seen >= 0) & eligible[want].usable[seen]
            if column is not None:
                lacking &= column.codes[seen] == ABSENT
            if lacking.any():
                item, device = state.row_device[int(seen[lacking][0])]
                return f" (device {item.driver}/{item.pool}/{device.name} has no {relation.attribute})"
    return ""


def _searched(
    state: State, candidates: Candidates, rows: Rows, counted: Rows, able: Sequence[Mask]
) -> list[tuple[str, int]]:
    """Of nodes that took the exact search: which request is short of devices, counting each by itself.

    counted : nodes where shares of devices were counted instead. able : (R, W) per want, as Candidates.shares has it.
    """
    short = _Short()
    for row in rows.tolist():
        puzzle = candidates.problem(row)
        if not isinstance(puzzle, Puzzle):
            continue
        wants = [asks for claim in puzzle.claims for asks in claim.wants]
        reason = _unpartitioned(puzzle) or _joint(candidates.demand)
        for index, asks in enumerate(wants):
            best = max(asks, key=lambda ask: _able(puzzle, ask) - ask.count)
            have = _able(puzzle, best)
            if have < max(best.count, 1):
                reason = f"lack {best.count or 'all'} free devices for request {_mark(index)}"
                selected = [position for position, status in enumerate(best.status) if status == YES]
                short.come_near(state, reason, row, have)
                if not have and short.hindered.get(reason, NONE_MATCHES):
                    short.hinder(state, candidates, reason, row, selected, (index, asks.index(best)))
                break
        short.counted[reason] += 1
    left: Mask = np.ones(len(counted), np.bool_)
    for index, (want, could) in enumerate(zip(candidates.demand.wants, able, strict=False)):
        reason = f"lack {want.count} free devices for request {_mark(index)}"
        having = could.sum(axis=1)
        lacking = left & (having < want.count)
        left &= ~lacking
        short.counted[reason] += int(np.count_nonzero(lacking))
        most = int(having[lacking].max(initial=0))
        if most:
            for row in counted[lacking & (having == most)].tolist():
                short.come_near(state, reason, row, most)
        if most or not lacking.any():
            continue
        short.nearest.setdefault(reason, (0, ""))
        seen = state.bays.rows[counted[lacking]]
        matching = (seen >= 0) & candidates.eligible[index][0].selected[seen]
        for at in np.flatnonzero(matching.any(axis=1)).tolist():
            if not short.hindered.get(reason, NONE_MATCHES):
                break
            positions = np.flatnonzero(matching[at]).tolist()
            short.hinder(state, candidates, reason, int(counted[lacking][at]), positions, (index, 0))
        short.hindered.setdefault(reason, NONE_MATCHES)
    joint = _joint(candidates.demand)
    for at in np.flatnonzero(left).tolist():
        row, words = int(counted[at]), ""
        if state.bays.partitioned[row]:
            words = _no_whole_partition(state, candidates.demand, candidates.eligible[0][0], row, _at(able[0][at]))
        short.counted[words or joint] += 1
    return [(reason + short.best(reason), count) for reason, count in short.counted.items() if count]


class _Short:
    """Nodes by reason, per reason the nearest miss, and what hinders or lacks where not one device could serve."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.nearest: dict[str, tuple[int, str]] = {}
        self.hindered: dict[str, str] = {}
        self.lacking: dict[str, str] = {}

    def come_near(self, state: State, reason: str, row: int, have: int) -> None:
        """So many devices of a node could serve."""
        node = state.nodes.nodes[row]
        self.nearest[reason] = max(self.nearest.get(reason, (0, "")), (have, node.name if node else "?"))

    def hinder(
        self,
        state: State,
        candidates: Candidates,
        reason: str,
        row: int,
        selected: Sequence[int],
        asked: tuple[int, int],
    ) -> None:
        """A node none of whose devices could serve a want and alternative, though it selects these."""
        found = _hindrance(state, candidates, row, selected, *asked)
        if self.hindered.get(reason, NONE_MATCHES) == NONE_MATCHES or not found:
            self.hindered[reason] = found  # the node that comes nearest to serving
        if not found:
            self.lacking[reason] = _lacking(state, candidates, row, selected, *asked)

    def best(self, reason: str) -> str:
        """What tells most of it, in brackets."""
        have, node = self.nearest.get(reason, (-1, ""))
        if have < 0:
            return ""
        why = self.hindered.get(reason) or self.lacking.get(reason) or "none that matches is free"
        return f" (best: {node} has {have})" if have else f" ({why})"


def _unpartitioned(puzzle: Puzzle) -> str:
    """Which Fabric Manager partition is wanted and is not to be had; empty if that is not the point."""
    free = {position for position, piece in enumerate(puzzle.pieces) if not piece.dedicated}
    for claim in puzzle.claims if puzzle.layout.fabric else ():
        totals, serving = {0}, set()
        for alternatives in claim.wants:
            asks = [ask for ask in alternatives if not ask.admin]
            served = [{p for p, status in enumerate(ask.status) if status == YES} for ask in asks]
            counts = [ask.count or len(each) for ask, each in zip(asks, served, strict=True)]
            totals = {total + count for total in totals for count in counts or [0]}
            serving |= set().union(*served)
        missing = _no_partition(puzzle.layout, free, serving, totals)
        if missing:
            return missing
    return ""


def _at(mask: Mask | Bytes) -> set[int]:
    return set(np.flatnonzero(mask).tolist())


def _no_partition(layout: Layout, free: set[int], serving: set[int], totals: set[int]) -> str:
    """Which partition a claim wants and cannot have: one of `totals` GPUs, of the devices that serve it."""
    *partitions, fabric = layout.fabric or (frozenset[int](),)
    if not totals - {0} or not serving <= fabric:
        return ""  # what else it may take decides how many of these it does
    fitting = [each for each in partitions if len(each) in totals]
    wanted = " or ".join(str(total) for total in sorted(totals - {0}))
    if not fitting:
        sizes = ", ".join(str(size) for size in sorted({len(each) for each in partitions})) or "nothing"
        return f"have no Fabric Manager partition of {wanted} GPUs, which one claim must equal (only of {sizes})"
    if not any(each <= free & serving for each in fitting):
        return f"have no free Fabric Manager partition of {wanted} GPUs, which one claim must equal"
    return ""


def _hindrance(
    state: State, candidates: Candidates, row: int, selected: Sequence[int], want: int, alternative: int
) -> str:
    """What would keep these devices of a node from a request though all of them were free; empty if nothing would."""
    seen = state.bays.rows[row]
    serving = candidates.eligible[want][alternative]
    if not selected:
        return NONE_MATCHES
    if not serving.welcome[seen[selected]].any():
        chosen = (seen >= 0) & serving.selected[seen]
        return _why_unusable(state, serving.request, np.array([row], np.int32), chosen[None, :])
    asked = dict(candidates.demand.wants[want].asks[alternative].capacity)
    found = ""
    for position in selected:
        if not serving.welcome[seen[position]]:
            continue
        item, device = state.row_device[int(seen[position])]
        why = ""
        if state.gates.consumable_capacity:
            why = hindrance(asked, device, fractional=state.gates.fractional_capacity_range)
            why = why and f"{why}; ask for another amount"
        why = why or _overdraws(state, row, position, device)
        if not why:
            return ""
        found = found or f"device {item.driver}/{item.pool}/{device.name}: {why}"
    return found


def _lacking(
    state: State, candidates: Candidates, row: int, selected: Sequence[int], want: int, alternative: int
) -> str:
    """Of what the devices of a node that would serve a request have too little left; empty if they are in use whole."""
    welcome = candidates.eligible[want][alternative].welcome
    serving = [position for position in selected if welcome[state.bays.rows[row][position]]]
    found = shortage(state, row, serving, dict(candidates.demand.wants[want].asks[alternative].capacity))
    return f"none that matches has enough left: {found}" if found else ""


def _overdraws(state: State, row: int, position: int, device: Device) -> str:
    """The counter of which a device takes more than there is when all of it is left."""
    view = next(view for stop, _, view in state.bays.sights[row].pools if position < stop)
    for use in device.consumes if state.gates.partitionable_devices else ():
        for counter, amount in use.counters.items():
            whole = view.counters[use.counter_set].counters[counter]
            if amount > whole:
                return (
                    f"it consumes {amount.text} of counter {counter}, and counter set {use.counter_set} has "
                    f"{whole.text}, so that it can never be allocated; its driver must correct it"
                )
    return ""


def _able(puzzle: Puzzle, ask: Ask) -> int:
    """How many devices could serve a request if it were the only one."""
    found = 0
    for position, piece in enumerate(puzzle.pieces):
        charge = ask.charges[position]
        if ask.status[position] != YES or not ask.welcome[position] or piece.refused or not isinstance(charge, tuple):
            continue
        if not ask.admin and piece.dedicated:
            continue
        drawn = all(puzzle.counters[counter] >= amount for counter, amount in piece.uses)
        if not drawn and not (piece.shareable and piece.shared):
            continue
        found += all(used + taken <= room for used, taken, room in zip(piece.used, charge, piece.room, strict=False))
    return found


def _out_of_reach(state: State, rows: Rows) -> list[tuple[str, int]]:
    problems = [row for row in rows.tolist() if row in state.bays.problems] if state.bays.problems else []
    return [(f"see {state.bays.problems[problems[0]][0]}", len(problems))] if problems else []


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
    return f" ({NONE_MATCHES})"


def _why_unusable(state: State, request: DeviceRequest, rows: Rows, selected: Mask) -> str:
    at = np.argwhere(selected)[0]
    row = int(state.bays.rows[rows[at[0]], at[1]])
    item, device = state.row_device[row]
    where = f"device {item.driver}/{item.pool}/{device.name}"
    avoided = state.avoided.get((item.driver, item.pool, device.name))
    if avoided is not None:
        return avoided
    problems = int(state.device_problems.codes[row])
    if problems != ABSENT:
        return f"{where} is not supported yet: {'; '.join(state.device_problems.values[problems])}"
    taint = state.taint_in_the_way(state.device_taints_of(item.driver, item.pool, device), request.tolerations)
    if taint is not None:
        return f"{where} has a taint that the request does not tolerate: {taint.key}:{taint.effect}"
    return f"{where} is of driver {item.driver}, which Dovetail does not own"


def _joint(demand: Demand) -> str:
    if demand.relations:
        shared = sorted({each.attribute for each in demand.relations if not each.distinct})
        different = sorted({each.attribute for each in demand.relations if each.distinct})
        parts = [f"shares one value of {', '.join(shared)}"] if shared else []
        parts += [f"differs in {', '.join(different)}"] if different else []
        return f"have no set of free devices that {' and '.join(parts)}"
    return "cannot serve all requests together with the devices, counters and capacity that are left"
