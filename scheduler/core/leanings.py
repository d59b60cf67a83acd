"""What a pod would rather have around it, and pods around it would rather have of it: as far as scores look at it."""

from dataclasses import dataclass, replace

from scheduler.core.model import Lean, Pod
from scheduler.core.neighbours import Even, even
from scheduler.core.residents import Query, Residents


@dataclass(frozen=True, slots=True)
class Leanings:
    """All of it.

    own : weight (negative for anti-affinity), topology and pods, of the pod's preferred terms. others : terms of pods
    that stand somewhere and select this one. evens : topology spread constraints that need not hold.
    """

    own: tuple[tuple[int, str, Query], ...] = ()
    others: frozenset[Lean] = frozenset()
    evens: tuple[Even, ...] = ()


_NOTHING = Leanings()


def leanings(pod: Pod, residents: Residents) -> Leanings | None:
    """What a pod prefers and what prefers it, as pods stand now; None for nothing."""
    others = residents.leaning(pod)
    if not (others or pod.leans or pod.spreads):
        return None
    found = Leanings(
        tuple((lean.weight, lean.term.topology, Query((lean.term.pods,))) for lean in pod.leans),
        others,
        # Whether it counts itself moves no node beside another.
        tuple(replace(even(each, pod), own=0, min_domains=1) for each in pod.spreads if not each.hard),
    )
    return None if found == _NOTHING else found
