"""Topology spread constraints that must hold (whenUnsatisfiable: DoNotSchedule)."""

from dataclasses import dataclass

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.match import untolerated
from scheduler.core.neighbours import Even
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.affinity import Affinity
from scheduler.core.rules.base import PodRule, domain_of, per_value
from scheduler.core.rules.labels import NodeLabels
from scoring.arrays import Counts, Mask, Rows

_NO_DOMAIN = 2**31 - 1  # the least number of pods of a domain where there is no domain, as upstream has it


@dataclass(frozen=True, slots=True)
class Domains:
    """The domains among which a constraint spreads pods.

    rows : nodes that count. number : int32 (len(rows),), that of the domain of each. present : which numbers there are.
    """

    rows: Rows
    number: Rows
    present: Mask

    def sums(self, counts: Counts) -> Counts:
        """Pods by number of domain, of counts by row of node; one more at the end, for nodes in no domain."""
        found: Counts = np.bincount(self.number, counts[self.rows], len(self.present) + 1).astype(np.int64)
        return found


class TopologySpread(PodRule):
    """With the pod, its domain has at most maxSkew pods more than the domain that has fewest."""

    def concerns(self, demand: Demand) -> bool:
        """Only pods with a constraint that must hold."""
        return demand.neighbours is not None and bool(demand.neighbours.evens)

    def everywhere(self, nodes: NodeTable, demand: Demand) -> Mask:
        """Nodes that have every topology key, in domains that may have one more."""
        assert demand.neighbours is not None
        held: Mask = np.ones(nodes.size, np.bool_)
        for each in demand.neighbours.evens:
            held &= _even(nodes, demand, each)
        return held

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """Nodes without a topology key, and those in domains with too many pods."""
        assert demand.neighbours is not None
        found = []
        for each in demand.neighbours.evens:
            known = domain_of(nodes, each.topology)[rows] >= 0
            lacking = f"lack label {each.topology}, a topologyKey of the pod's topologySpreadConstraints"
            found.append((lacking, int(np.count_nonzero(~known))))
            rows = rows[known]
            held = _even(nodes, demand, each)[rows]
            skewed = f"would have more than maxSkew {each.max_skew} too many of these pods in their {each.topology}"
            found.append((skewed, int(np.count_nonzero(~held))))
            rows = rows[held]
        return [each for each in found if each[1]]


def _even(nodes: NodeTable, demand: Demand, constraint: Even) -> Mask:
    assert demand.neighbours is not None
    domains = domains_of(nodes, demand, constraint, tuple(each.topology for each in demand.neighbours.evens))
    sums = domains.sums(nodes.residents.count(constraint.pods).counts)
    present = sums[:-1][domains.present]
    least = int(present.min()) if len(present) else _NO_DOMAIN
    if len(present) < constraint.min_domains:
        least = 0
    fits = sums + (constraint.own - least) <= constraint.max_skew
    fits[-1] = False  # nodes without the key
    found: Mask = fits[domain_of(nodes, constraint.topology)]
    return found


def domains_of(nodes: NodeTable, demand: Demand, constraint: Even, keys: tuple[str, ...]) -> Domains:
    """The domains of nodes that have all of these keys, without those that policies of the constraint leave out.

    They hang on nodes alone, and are looked for once while those stay as they are.
    """
    chosen = (demand.node_selector, demand.affinity) if constraint.node_affinity else ()
    tolerated = demand.tolerations if constraint.node_taints else None

    def find() -> Domains:
        held = nodes.live.copy()
        for topology in keys:
            held &= domain_of(nodes, topology) >= 0
        rows = np.flatnonzero(held).astype(np.int32)
        if constraint.node_affinity:
            for rule in (NodeLabels(), Affinity()):
                rows = rows[rule.mask(nodes, demand, rows)]
        if tolerated is not None and len(rows):
            rows = rows[per_value(nodes.taints, rows, lambda taints: untolerated(taints or (), tolerated) is None)]
        domain = domain_of(nodes, constraint.topology)
        present: Mask = np.zeros(int(domain.max(initial=-1)) + 1, np.bool_)
        number = domain[rows]
        present[number] = True
        return Domains(rows, number, present)

    return nodes.known((Domains, constraint.topology, keys, chosen, tolerated), find)
