"""One pod after another, each on its best node with its best devices there."""

from scheduler.core import plan
from scheduler.core.allocation import Served, build
from scheduler.core.candidates import Candidates, Choice
from scheduler.core.demand import Resolved
from scheduler.core.model import Pod
from scheduler.core.plan import Decision, Option, Placement, Unplaced
from scheduler.core.reasons import refused, unplaced
from scheduler.core.state import State
from scoring.weights import Weights


def place(
    state: State, pod: Pod, resolved: Resolved, candidates: Candidates, weights: Weights, attempt: int
) -> Placement | Unplaced:
    """Decide one pod; the state is not changed. `candidates` are refreshed and nothing of them is pending.

    attempt : how often placing the pod was tried before and failed later on.
    """
    broken = candidates.fatal
    if broken is not None:
        return Unplaced(pod.uid, plan.REFUSED, f"pod {pod.key}: {refused(state, resolved, candidates, broken)}")
    first, second = candidates.best(state)
    if first is None:
        token = plan.POOL_INVALID if candidates.meets_invalid_pool(state) else plan.NO_FIT
        return Unplaced(pod.uid, token, f"pod {pod.key}: {unplaced(state, resolved, candidates)}")
    node = _name(state, first)
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
        winner=_option(state, first),
        runner_up=None if second is None else _option(state, second),
        feasible_nodes=candidates.feasible,
        nodes=len(state.nodes.rows),
        weights=weights.values,
    )
    return Placement(pod.uid, node, allocations, tuple(claim.uid for claim in resolved.joined), decision)


def _name(state: State, choice: Choice) -> str:
    node = state.nodes.nodes[choice.row]
    return node.name if node is not None else ""


def _option(state: State, choice: Choice) -> Option:
    devices = []
    for rows in choice.devices:
        for row in rows:
            item, device = state.row_device[row]
            devices.append((item.driver, item.pool, device.name))
    return Option(_name(state, choice), tuple(devices), choice.total, choice.scores, choice.links, choice.truncated)
