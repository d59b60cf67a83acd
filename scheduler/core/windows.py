"""Pods of one cycle that got in each other's way, as a window for the solvers, and what a plan for it means for them.

A cycle decides one pod after the other. Where that leaves a new pod without a node while others got theirs, the pods of
the cycle are decided again, together, beside the loop (core/solvers/regret.py, core/solvers/joint.py), and are then
placed on the nodes that the plan names. A plan is a hint: what does not fit any more goes where it is best.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.core.candidates import Candidates
from scheduler.core.config import JOINT
from scheduler.core.messages import WindowSolved
from scheduler.core.model import Pod, Uid
from scheduler.core.solvers.window import NOTHING, Offer, PodClass, Window, WindowPod
from scheduler.core.state import State
from scheduler.core.stock import Stock

MAX_NODES: Final = 24  # that a class is offered
MAX_PODS: Final = 128
PODS: Final = "pods"


@dataclass(frozen=True, slots=True)
class Hint:
    """What a plan says of one pod.

    node : where it is to go; empty where the plan has no place for it, so that others go first. told : for the
    explanation, which solver decided how many pods, and how far the plan may be from the best.
    """

    node: str
    told: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """Pods that wait for a plan. nodes : the names of the nodes of the window, by their number there."""

    pods: tuple[Uid, ...]
    window: Window
    nodes: tuple[str, ...]

    def hints(self, answer: WindowSolved) -> dict[Uid, Hint]:
        """By pod, what the plan says."""
        gap = f", gap {answer.gap:.2%}" if answer.method == JOINT else ""
        found = {}
        for uid, pod, choice in zip(self.pods, self.window.pods, answer.plan, strict=True):
            offers = self.window.classes[pod.kind].offers
            node = self.nodes[offers[choice].node] if choice != NOTHING else ""
            found[uid] = Hint(node, f"{answer.method} of {len(self.pods)} pods{gap}")
        return found


def held(state: State, stock: Stock, asked: Sequence[tuple[Pod, Candidates]]) -> Held:
    """These pods, in the order of the queue, as they are before any of them is placed; candidates are settled."""
    classes = list(dict.fromkeys(candidates for _, candidates in asked))
    offers = [candidates.offers(state, MAX_NODES) for candidates in classes]
    rows = sorted({offer.row for each in offers for offer in each})
    number = {row: at for at, row in enumerate(rows)}
    resources = [PODS, *sorted({name for each in classes for name, _ in each.demand.resources} - {PODS})]
    width = state.bays.width
    free = tuple(
        (*(max(state.nodes.left_at(name, row), 0) for name in resources), *stock.thousandths(state, row))
        for row in rows
    )
    made = []
    for candidates, found in zip(classes, offers, strict=True):
        wanted = {**dict(candidates.demand.resources), PODS: 1}
        amounts = [wanted.get(name, 0) for name in resources]
        listed = []
        for offer in found:
            taken = [0] * width
            for position, thousandths in offer.takes:
                taken[position] += thousandths
            listed.append(Offer(number[offer.row], (*amounts, *taken), offer.value))
        size = max((sum(thousandths for _, thousandths in offer.takes) for offer in found), default=0)
        made.append(PodClass(tuple(listed), size))
    kinds = {candidates: at for at, candidates in enumerate(classes)}
    pods = tuple(WindowPod(pod.priority, kinds[candidates]) for pod, candidates in asked)
    named = [state.nodes.nodes[row] for row in rows]
    nodes = tuple(node.name if node is not None else "" for node in named)
    return Held(tuple(pod.uid for pod, _ in asked), Window(pods, tuple(made), free), nodes)
