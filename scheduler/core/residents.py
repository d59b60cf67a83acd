"""Pods that stand on nodes, placed or assumed and whoever scheduled them, as columns for the rules that look at pods.

Pods with the same namespace and labels are one sort. What a rule asks about (which pods, see `Query`) is counted once
and kept up to date after that: a pod that comes or goes costs the queries that select it, and reading a count nothing.

Sources: the plugins NodePorts, InterPodAffinity and PodTopologySpread of kube-scheduler v1.37.2.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import numpy as np

from scheduler.core.match import selects_labels
from scheduler.core.model import ANY_ADDRESS, HostPort, LabelSelector, Lean, Pod, PodSelector, PodTerm, Uid
from scoring.arrays import Counts

Labels = Mapping[str, str]
_NONE: Final[frozenset[PodTerm]] = frozenset()
HARD_AFFINITY_WEIGHT: Final = 1
"""What a required affinity of a pod that stands somewhere counts as a preferred one (hardPodAffinityWeight)."""


def clash(port: HostPort, other: HostPort) -> bool:
    """Whether no two pods of one node can have these."""
    if (port.port, port.protocol) != (other.port, other.protocol):
        return False
    return port.ip == other.ip or ANY_ADDRESS in {port.ip, other.ip}


@dataclass(frozen=True, slots=True)
class Query:
    """Which pods are counted: those that all of the selectors select; without any selector none.

    living : without pods that are being deleted. standing : false for none but those that are supposed to be there.
    """

    selectors: tuple[PodSelector, ...]
    living: bool = False
    standing: bool = True


@dataclass(slots=True, eq=False)
class Tally:
    """How many pods of some sort stand on each node, int64 (rows of nodes,)."""

    counts: Counts
    total: int = 0

    def add(self, row: int, many: int) -> None:
        """So many pods came to a node; they went where it is negative."""
        self.counts[row] += many
        self.total += many


@dataclass(slots=True, eq=False)
class _Sort:
    """Pods of one namespace with the same labels, by node; tallies : those that count them."""

    namespace: str
    labels: Labels
    deleting: bool
    rows: Counter[int] = field(default_factory=Counter)
    tallies: list[Tally] = field(default_factory=list)


K = TypeVar("K")
T = TypeVar("T", PodTerm, Lean, Query)


class _ByLabel(Generic[T]):
    """Things that select pods, found by a label that pods must have for it."""

    def __init__(self) -> None:
        self._anchored: dict[tuple[str, str], dict[T, None]] = {}
        self._loose: dict[T, None] = {}

    def put(self, item: T, selector: LabelSelector | None) -> None:
        """Know one more."""
        anchor = _anchor(selector)
        (self._loose if anchor is None else self._anchored.setdefault(anchor, {}))[item] = None

    def drop(self, item: T, selector: LabelSelector | None) -> None:
        """Forget one."""
        anchor = _anchor(selector)
        if anchor is None:
            del self._loose[item]
            return
        del self._anchored[anchor][item]
        if not self._anchored[anchor]:
            del self._anchored[anchor]

    def near(self, labels: Labels) -> Iterator[T]:
        """Those that may select a pod with these labels."""
        yield from self._loose
        if self._anchored:
            for label in labels.items():
                yield from self._anchored.get(label, ())


def _anchor(selector: LabelSelector | None) -> tuple[str, str] | None:
    """A label without which the selector selects nothing."""
    for each in selector.requirements if selector is not None else ():
        if each.operator == "In" and len(each.values) == 1:
            return each.key, each.values[0]
    return None


class Residents:
    """All pods that stand on known nodes.

    version : grows with every change of what was asked about, even if it is not counted any more, and of what the pods
    themselves ask of others; not with host ports, and not when a query is forgotten. size : of all columns, that of the
    node table.
    """

    MAX_QUERIES = 1_024  # beyond these the one that was not asked for the longest time is counted anew when it is

    def __init__(self, size: int) -> None:
        self.version = 0
        self.namespaces: dict[str, Labels] = {}
        self._size = size
        self._seats: dict[Uid, tuple[int, Pod, _Sort]] = {}
        self._sorts: dict[tuple[str, frozenset[tuple[str, str]], bool], _Sort] = {}
        self._queries: OrderedDict[Query, Tally] = OrderedDict()
        self._near_queries: _ByLabel[Query] = _ByLabel()
        self._forgot = False  # whether any query was forgotten: whoever asked it looks out for pods nobody counts
        self._terms: dict[PodTerm, Tally] = {}  # anti-affinity of these pods, by how many of them have it
        self._near_terms: _ByLabel[PodTerm] = _ByLabel()
        self._leans: dict[Lean, Tally] = {}  # what these pods prefer, and as such their required affinity
        self._near_leans: _ByLabel[Lean] = _ByLabel()
        self._ports: dict[tuple[str, int], dict[str, Tally]] = {}  # by protocol and port, then by address

    # ------------------------------------------------------------ keeping up

    def enter(self, pod: Pod, row: int) -> None:
        """A pod came to a node."""
        sort = self._sort(pod)
        self._seats[pod.uid] = (row, pod, sort)
        self._count(row, pod, sort, 1)

    def leave(self, uid: Uid) -> None:
        """A pod left its node, or its node left the cluster; nothing if it stood on none."""
        seat = self._seats.pop(uid, None)
        if seat is None:
            return
        row, pod, sort = seat
        self._count(row, pod, sort, -1)
        if not sort.rows:
            del self._sorts[_key(pod)]

    def renew(self, pod: Pod, row: int) -> None:
        """A pod that stands on a node may have changed, or was not known before."""
        seat = self._seats.get(pod.uid)
        if seat is None:
            self.enter(pod, row)
            return
        before = seat[1]
        if (
            before.labels != pod.labels
            or before.deleting != pod.deleting
            or before.repels != pod.repels
            or before.attracts != pod.attracts
            or before.leans != pod.leans
            or before.ports != pod.ports
        ):
            self.leave(pod.uid)
            self.enter(pod, row)

    @contextmanager
    def supposing(self, pods: Iterable[tuple[str, Labels]], row: int) -> Iterator[None]:
        """Count further pods, by namespace and labels, on a node for a while."""
        counted = [
            tally
            for namespace, labels in pods
            for query, tally in self._queries.items()
            if query.selectors and all(self._selects(each, namespace, labels) for each in query.selectors)
        ]
        for tally in counted:
            tally.add(row, 1)
        try:
            yield
        finally:
            for tally in counted:
                tally.add(row, -1)

    def grow(self, size: int) -> None:
        """Make room for more nodes."""
        extra = np.zeros(size - self._size, np.int64)
        self._size = size
        ports = [tally for held in self._ports.values() for tally in held.values()]
        for tally in (*self._queries.values(), *self._terms.values(), *self._leans.values(), *ports):
            tally.counts = np.concatenate([tally.counts, extra])
        self.version += 1

    def put_namespace(self, name: str, labels: Labels | None) -> bool:
        """Note the labels of a namespace, or with None that it is gone; true if anything changed."""
        if self.namespaces.get(name) == labels:
            return False
        if labels is None:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = labels
        for query, tally in self._queries.items():
            if any(each.namespace_selector is not None for each in query.selectors):
                self._recount(query, tally)
        self.version += 1
        return True

    # ------------------------------------------------------------ reading

    def count(self, query: Query) -> Tally:
        """How many of these pods stand on each node. Read it before anything else changes, and ask again after that."""
        found = self._queries.get(query)
        if found is not None:
            self._queries.move_to_end(query)
            return found
        if len(self._queries) >= self.MAX_QUERIES:
            self._forget(*self._queries.popitem(last=False))
        found = self._queries[query] = Tally(np.zeros(self._size, np.int64))
        self._near_queries.put(query, _first(query))
        self._recount(query, found)
        return found

    def repelling(self, pod: Pod) -> frozenset[PodTerm]:
        """Required anti-affinity of pods that stand somewhere which selects a pod."""
        if not self._terms:
            return _NONE
        return frozenset([term for term in self._near_terms.near(pod.labels) if self.repels(term.pods, pod)])

    def leaning(self, pod: Pod) -> frozenset[Lean]:
        """What pods that stand somewhere prefer, and which of it selects a pod."""
        if not self._leans:
            return frozenset()
        return frozenset([lean for lean in self._near_leans.near(pod.labels) if self.repels(lean.term.pods, pod)])

    def holders(self, term: PodTerm) -> Tally:
        """How many pods on each node have this anti-affinity."""
        return self._terms.get(term) or Tally(np.zeros(self._size, np.int64))

    def leaners(self, lean: Lean) -> Tally:
        """How often pods on each node prefer this."""
        return self._leans.get(lean) or Tally(np.zeros(self._size, np.int64))

    def rivals(self, port: HostPort) -> list[Tally]:
        """Pods by node that have a host port which a pod with this one cannot stand beside."""
        held = self._ports.get((port.protocol, port.port))
        if held is None:
            return []
        if port.ip == ANY_ADDRESS:
            return list(held.values())
        return [held[ip] for ip in (ANY_ADDRESS, port.ip) if ip in held]

    def repels(self, selector: PodSelector, pod: Pod) -> bool:
        """Whether a pod that stands somewhere selects one that is to be placed, by its anti-affinity.

        A namespace that is not known has no labels.
        """
        if selector.selector is None or not selects_labels(selector.selector, pod.labels):
            return False
        if pod.namespace in selector.namespaces:
            return True
        wanted = selector.namespace_selector
        return wanted is not None and selects_labels(wanted, self.namespaces.get(pod.namespace, {}))

    def selects(self, selector: PodSelector, pod: Pod) -> bool:
        """Whether a pod that is to be placed selects this pod, by an affinity of its own.

        Namespaces that are not known are in no namespaceSelector but the empty one.
        """
        return self._selects(selector, pod.namespace, pod.labels)

    # ------------------------------------------------------------ inside

    def _selects(self, selector: PodSelector, namespace: str, labels: Labels) -> bool:
        if selector.selector is None:
            return False
        if namespace not in selector.namespaces:
            wanted = selector.namespace_selector
            if wanted is None:
                return False
            known = self.namespaces.get(namespace)
            if wanted.requirements and (known is None or not selects_labels(wanted, known)):
                return False
        return selects_labels(selector.selector, labels)

    def _counts(self, query: Query, sort: _Sort) -> bool:
        if (query.living and sort.deleting) or not query.selectors or not query.standing:
            return False
        return all(self._selects(each, sort.namespace, sort.labels) for each in query.selectors)

    def _sort(self, pod: Pod) -> _Sort:
        key = _key(pod)
        found = self._sorts.get(key)
        if found is None:
            found = self._sorts[key] = _Sort(pod.namespace, pod.labels, pod.deleting)
            for query in self._near_queries.near(pod.labels):
                if self._counts(query, found):
                    found.tallies.append(self._queries[query])
        return found

    def _count(self, row: int, pod: Pod, sort: _Sort, sign: int) -> None:
        sort.rows[row] += sign
        if not sort.rows[row]:
            del sort.rows[row]
        for tally in sort.tallies:
            tally.add(row, sign)
        for term in dict.fromkeys(pod.repels):
            self._count_of(self._terms, self._near_terms, term, term.pods.selector, row, sign)
        for lean in (*pod.leans, *[Lean(HARD_AFFINITY_WEIGHT, term) for term in pod.attracts]):
            self._count_of(self._leans, self._near_leans, lean, lean.term.pods.selector, row, sign)
        for port in dict.fromkeys(pod.ports):
            self._count_port(port, row, sign)
        if self._forgot or sort.tallies or pod.repels or pod.attracts or pod.leans:
            self.version += 1

    def _count_of(
        self, tallies: dict[T, Tally], near: _ByLabel[T], item: T, selector: LabelSelector | None, row: int, sign: int
    ) -> None:
        if item not in tallies:
            near.put(item, selector)
        self._tally(tallies, item, row, sign)
        if item not in tallies:
            near.drop(item, selector)

    def _count_port(self, port: HostPort, row: int, sign: int) -> None:
        held = self._ports.setdefault((port.protocol, port.port), {})
        self._tally(held, port.ip, row, sign)
        if not held:
            del self._ports[port.protocol, port.port]

    def _tally(self, tallies: dict[K, Tally], key: K, row: int, sign: int) -> None:
        """Count one more or one less; what no pod has any more is not kept."""
        tally = tallies.get(key)
        if tally is None:
            tally = tallies[key] = Tally(np.zeros(self._size, np.int64))
        tally.add(row, sign)
        if not tally.total:
            del tallies[key]

    def _recount(self, query: Query, tally: Tally) -> None:
        tally.counts[:] = 0
        tally.total = 0
        for sort in self._sorts.values():
            if tally in sort.tallies:
                sort.tallies.remove(tally)
            if self._counts(query, sort):
                sort.tallies.append(tally)
                for row, many in sort.rows.items():
                    tally.add(row, many)

    def _forget(self, query: Query, tally: Tally) -> None:
        self._near_queries.drop(query, _first(query))
        for sort in self._sorts.values():
            if tally in sort.tallies:
                sort.tallies.remove(tally)
        self._forgot = True


def _first(query: Query) -> LabelSelector | None:
    return query.selectors[0].selector if query.selectors else None


def _key(pod: Pod) -> tuple[str, frozenset[tuple[str, str]], bool]:
    return pod.namespace, frozenset(pod.labels.items()), pod.deleting
