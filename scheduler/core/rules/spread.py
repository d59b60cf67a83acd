"""Topology spread constraints that must hold (whenUnsatisfiable: DoNotSchedule)."""

from dataclasses import dataclass

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.match import untolerated
from scheduler.core.neighbours import Even
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.affinity import Affinity
from scheduler.core.rules.base import PodRule, in_all, per_value, topology_of
from scheduler.core.rules.labels import NodeLabels
from scoring.arrays import Counts, Mask, Rows

_NO_DOMAIN = 2**31 - 1  # the least number of pods of a domain where there is no domain, as upstream has it


@dataclass(frozen=True, slots=True)
class Domains:
    """The domains among which a constraint spreads pods.

    number : int32 (rows of nodes,), that of each node's domain, one that is left over for nodes that do not count.
    present : which numbers there are.
    """

    number: Rows
    present: Mask

    def sums(self, counts: Counts) -> Counts:
        """Pods by number of domain, of counts by row of node; 0 for the one that is left over."""
        [at] = counts.nonzero()
        found: Counts = np.bincount(self.number[at], counts[at], len(self.present) + 1).astype(np.int64)
        found[-1] = 0
        return found


class TopologySpread(PodRule):
    """With the pod, its domain has at most maxSkew pods more than the domain that has fewest."""

    def concerns(self, demand: Demand) -> bool:
        """Only pods with a constraint that must hold."""
        return demand.neighbours is not None and bool(demand.neighbours.evens)

    def standing(self, nodes: NodeTable, demand: Demand) -> Mask:
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
            known = topology_of(nodes, each.topology).number[rows] >= 0
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
    return fits.take(topology_of(nodes, constraint.topology).number)


def domains_of(nodes: NodeTable, demand: Demand, constraint: Even, keys: tuple[str, ...]) -> Domains:
    """The domains of nodes that have all of these keys, without those that policies of the constraint leave out.

    They hang on nodes alone, and are looked for once while those stay as they are.
    """
    chosen = (demand.node_selector, demand.affinity) if constraint.node_affinity else ()
    tolerated = demand.tolerations if constraint.node_taints else None

    def find() -> Domains:
        rows = np.flatnonzero(nodes.live & in_all(nodes, keys)).astype(np.int32)
        if constraint.node_affinity:
            for rule in (NodeLabels(), Affinity()):
                rows = rows[rule.mask(nodes, demand, rows)]
        if tolerated is not None and len(rows):
            rows = rows[per_value(nodes.taints, rows, lambda taints: untolerated(taints or (), tolerated) is None)]
        topology = topology_of(nodes, constraint.topology)
        number: Rows = np.full(nodes.size, topology.size, np.int32)
        number[rows] = topology.number[rows]
        present: Mask = np.zeros(topology.size, np.bool_)
        present[number[rows]] = True
        return Domains(number, present)

    return nodes.known((Domains, constraint.topology, keys, chosen, tolerated), find)
