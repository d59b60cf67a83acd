"""One pod after another, each on its best node with its best devices there."""

from collections.abc import Sequence

from scheduler.core import plan
from scheduler.core.allocation import Served, build
from scheduler.core.candidates import Candidates
from scheduler.core.demand import Resolved
from scheduler.core.errors import FaultError
from scheduler.core.model import Pod
from scheduler.core.mounts import choose
from scheduler.core.opinions import Preference
from scheduler.core.plan import Decision, Heard, Mount, Placement, Unplaced
from scheduler.core.reasons import refused, unplaced
from scheduler.core.remote import raised, ranked
from scheduler.core.state import State
from scheduler.core.windows import Hint

Way = tuple[Resolved, Candidates]


def place(
    state: State,
    pod: Pod,
    ways: Sequence[Way],
    closed: Sequence[str],
    preference: Preference,
    attempt: int,
    hint: Hint | None = None,
    heard: Sequence[Heard] = (),
) -> Placement | Unplaced:
    """Decide one pod; the state is not changed. Candidates are refreshed and nothing of them is pending.

    ways : as demand.resolve found them, with the class of each. closed : why there are not more, for the reason.
    preference : with whose opinion they were made. attempt : how often placing the pod was tried before and failed
    later on. hint : the node that a plan for several pods has for it, or else the one that the pod is nominated to; it
    is taken if the pod fits there. heard : what scorers of others said; their shares count beside our own, on the nodes
    that they were asked about.
    """
    for resolved, candidates in ways:
        broken = candidates.fatal
        if broken is not None:
            return Unplaced(pod.uid, plan.REFUSED, f"pod {pod.key}: {refused(state, resolved, candidates, broken)}")
    found = [
        (-choice.rank, int(state.nodes.order[choice.row]), choice.row, choice, resolved)
        for choice, resolved in ranked(state, ways, heard, preference.opinion)
    ]
    if not found:
        invalid = any(candidates.meets_invalid_pool(state) for _, candidates in ways)
        token = plan.POOL_INVALID if invalid else plan.NO_FIT
        return Unplaced(pod.uid, token, f"pod {pod.key}: {unplaced(state, ways, closed)}")
    found.sort(key=lambda each: each[:3])
    first, resolved = found[0][3:]
    second = found[1][3] if len(found) > 1 else None
    wanted = hint.node if hint is not None else pod.nominated
    hinted = ways[0][1].at(state, wanted) if wanted and len(ways) == 1 else None
    if hinted is not None and hinted.row != first.row:
        first, second = raised(hinted, heard, preference.opinion), first
    node = first.option.node
    allocations = {}
    at = 0
    for claim in resolved.claims:
        count = len(claim.spec.requests)
        served = [
            Served(alternative, [state.row_device[row] for row in rows])
            for rows, alternative in zip(
                first.devices[at : at + count], first.alternatives[at : at + count], strict=True
            )
        ]
        allocations[claim.uid] = build(claim, served, state.classes.current, node, state.gates, attempt)
        at += count
    decision = Decision(
        pod=pod.key,
        winner=first.option,
        runner_up=None if second is None else second.option,
        feasible_nodes=sum(candidates.feasible for _, candidates in ways),
        nodes=len(state.nodes.rows),
        weights=preference.opinion.weights.values,
        profile=preference.profile,
        ignored=preference.problem,
        window="" if hinted is None or hint is None else hint.told,
        remote=tuple(heard),
        config=preference.digest,
    )
    joined = tuple(claim.uid for claim in resolved.joined)
    mounts = _mounts(state, resolved, node)
    return Placement(pod.uid, node, allocations, joined, decision, resolved.special, mounts)


def _mounts(state: State, resolved: Resolved, node: str) -> tuple[Mount, ...]:
    """Which volumes the claims get that wait for the pod."""
    if resolved.mounted is None or not resolved.mounted.claims:
        return ()
    names = choose(state.volumes, resolved.mounted.mounts, state.node_by_name.current[node])
    if names is None:
        raise FaultError(f"node {node} fits and has no volumes for {', '.join(c.key for c in resolved.mounted.claims)}")
    return tuple(Mount(claim.key, name) for claim, name in zip(resolved.mounted.claims, names, strict=True))
