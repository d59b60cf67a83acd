"""What a pod asks of the pods around it, reduced to what decides: pods that ask the same differ in nothing here.

The labels of the pod itself are in it only as far as they matter: whether it selects itself, and which anti-affinity of
pods that stand somewhere selects it.
"""

from dataclasses import dataclass

from scheduler.core.match import selects_labels
from scheduler.core.model import Pod, PodSelector, PodTerm, Spread
from scheduler.core.residents import Query, Residents


@dataclass(frozen=True, slots=True)
class Attraction:
    """Required affinity: in each of these topologies the node is in a domain with a pod that all of the terms select.

    first : the pod selects itself, and may be the first of those that it is to be with.
    """

    topologies: tuple[str, ...]
    pods: Query
    first: bool


@dataclass(frozen=True, slots=True)
class Even:
    """A topology spread constraint that must hold.

    own : 1 if the pod counts itself, else 0. The rest as in Spread.
    """

    topology: str
    pods: Query
    own: int
    max_skew: int
    min_domains: int
    node_affinity: bool
    node_taints: bool


@dataclass(frozen=True, slots=True)
class Neighbours:
    """All of it.

    repels : topology and pods, of the pod's own anti-affinity. repelled : that of others which selects it.
    """

    attraction: Attraction | None = None
    repels: tuple[tuple[str, Query], ...] = ()
    repelled: frozenset[PodTerm] = frozenset()
    evens: tuple[Even, ...] = ()


def neighbours(pod: Pod, residents: Residents) -> Neighbours | None:
    """What a pod asks of others as they are now; None for nothing."""
    repelled = residents.repelling(pod)
    if not (repelled or pod.attracts or pod.repels or pod.spreads):
        return None
    found = Neighbours(
        _attraction(pod.attracts, pod, residents) if pod.attracts else None,
        tuple((term.topology, Query((term.pods,))) for term in pod.repels),
        repelled,
        tuple(even(each, pod) for each in pod.spreads if each.hard),
    )
    return None if found == _NOTHING else found


_NOTHING = Neighbours()


def _attraction(terms: tuple[PodTerm, ...], pod: Pod, residents: Residents) -> Attraction:
    topologies = tuple(dict.fromkeys(term.topology for term in terms))
    pods = tuple(dict.fromkeys(term.pods for term in terms))
    return Attraction(topologies, Query(pods), all(residents.selects(each, pod) for each in pods))


def even(spread: Spread, pod: Pod) -> Even:
    """A constraint of a pod, hard or soft."""
    selector = spread.selector
    own = selector is not None and selects_labels(selector, pod.labels)
    # As upstream: a selector that selects everything counts nothing but the pod itself.
    counted = selector is not None and bool(selector.requirements)
    pods = Query((PodSelector(selector, (pod.namespace,)),) if counted else (), living=True)
    return Even(
        spread.topology, pods, int(own), spread.max_skew, spread.min_domains, spread.node_affinity, spread.node_taints
    )
