"""Required inter-pod anti-affinity of the pods that stand on nodes already."""

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.model import PodTerm
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.base import PodRule, met, topology_of
from scoring.arrays import Mask, Rows


class StandingAntiAffinity(PodRule):
    """No pod whose anti-affinity selects this one stands in the node's domain of that topology."""

    def concerns(self, demand: Demand) -> bool:
        """Only pods that the anti-affinity of some pod selects."""
        return demand.neighbours is not None and bool(demand.neighbours.repelled)

    def everywhere(self, nodes: NodeTable, demand: Demand) -> Mask:
        """Nodes away from all of them; those without the topology key are."""
        assert demand.neighbours is not None
        held: Mask = np.ones(nodes.size, np.bool_)
        for term in demand.neighbours.repelled:
            held &= ~_near(nodes, term)
        return held

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason a topology; a node counts for the first."""
        assert demand.neighbours is not None
        terms = demand.neighbours.repelled
        found = []
        for topology in sorted({term.topology for term in terms}):
            near: Mask = np.any([_near(nodes, term)[rows] for term in terms if term.topology == topology], axis=0)
            text = f"have a pod in their {topology} whose anti-affinity keeps the pod away"
            found.append((text, int(np.count_nonzero(near))))
            rows = rows[~near]
        return [each for each in found if each[1]]


def _near(nodes: NodeTable, term: PodTerm) -> Mask:
    return met(topology_of(nodes, term.topology), nodes.residents.holders(term).counts)
