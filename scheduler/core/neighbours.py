"""What a pod asks of the pods around it, reduced to what decides: pods that ask the same differ in nothing here.

The labels of the pod itself are in it only as far as they matter: whether it selects itself, and which anti-affinity of
pods that stand somewhere selects it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from scheduler.core.match import selects_labels
from scheduler.core.model import HostPort, Pod, PodSelector, PodTerm, Spread
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
class Guest:
    """A pod that is nominated to a node, as far as one that is to be placed there must mind it.

    repels : the topologies of its anti-affinity that selects that pod.
    """

    namespace: str
    labels: tuple[tuple[str, str], ...]
    repels: tuple[str, ...]
    ports: tuple[HostPort, ...]


Guests = tuple[tuple[str, tuple[Guest, ...]], ...]
"""By name of node."""


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


def guests(pod: Pod, nominated: Iterable[Pod], residents: Residents) -> Guests:
    """Those of these pods that a pod must mind where they are nominated to."""
    asks = bool(pod.attracts or pod.repels or any(each.hard for each in pod.spreads))
    found: dict[str, list[Guest]] = {}
    for other in nominated:
        repels = tuple(sorted({term.topology for term in other.repels if residents.repels(term.pods, pod)}))
        ports = other.ports if pod.ports else ()
        if asks or repels or ports:
            labels = tuple(sorted(other.labels.items())) if asks else ()
            found.setdefault(other.nominated, []).append(Guest(other.namespace, labels, repels, ports))
    return tuple(sorted((node, tuple(each)) for node, each in found.items()))


_NOTHING = Neighbours()


def _attraction(terms: tuple[PodTerm, ...], pod: Pod, residents: Residents) -> Attraction:
    topologies = tuple(dict.fromkeys(term.topology for term in terms))
    pods = tuple(dict.fromkeys(term.pods for term in terms))
    return Attraction(topologies, Query(pods), all(residents.selects(each, pod) for each in pods))


def even(spread: Spread, pod: Pod) -> Even:
    """A constraint of a pod, hard or soft."""
    selector = spread.selector
    own = selector is not None and selects_labels(selector, pod.labels)
    # As upstream: a selector that selects everything counts nothing but the pod itself, and pods nominated to the node.
    everything = selector is not None and not selector.requirements
    pods = Query((PodSelector(selector, (pod.namespace,)),), living=True, standing=not everything)
    return Even(
        spread.topology, pods, int(own), spread.max_skew, spread.min_domains, spread.node_affinity, spread.node_taints
    )
