"""One pod after another, each on its best node with its best devices there."""

from scheduler.core import plan
from scheduler.core.allocation import build
from scheduler.core.candidates import Candidates, Choice
from scheduler.core.demand import Resolved
from scheduler.core.model import Pod
from scheduler.core.plan import Decision, Option, Placement, Unplaced
from scheduler.core.reasons import unplaced
from scheduler.core.state import State
from scoring.weights import Weights


def place(state: State, pod: Pod, resolved: Resolved, candidates: Candidates, weights: Weights) -> Placement | Unplaced:
    """Decide one pod; the state is not changed. `candidates` are refreshed and nothing of them is pending."""
    first, second = candidates.best(state)
    if first is None:
        return Unplaced(pod.uid, plan.NO_FIT, f"pod {pod.key}: {unplaced(state, resolved, candidates)}")
    node = _name(state, first)
    allocations = {}
    at = 0
    for claim in resolved.claims:
        count = len(claim.spec.requests)
        chosen = [[state.row_device[row] for row in rows] for rows in first.devices[at : at + count]]
        allocations[claim.uid] = build(claim, chosen, state.classes.current, node)
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
