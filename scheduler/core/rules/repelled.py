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
        repelled = demand.neighbours is not None and bool(demand.neighbours.repelled)
        return repelled or any(each.repels for _, guests in demand.guests for each in guests)

    def everywhere(self, nodes: NodeTable, demand: Demand) -> Mask:
        """Pods that are nominated to a node repel as if they stood there.

        As upstream, that is not looked at while nothing else between this pod and others is: its plugin is left out.
        """
        held = self.standing(nodes, demand)
        own = demand.neighbours is not None and (demand.neighbours.attraction or demand.neighbours.repels)
        if not own and held.all():
            return held
        for name, guests in demand.guests:
            row = nodes.rows.get(name)
            if row is not None:
                keys = {key for each in guests for key in each.repels}
                held[row] &= not any(topology_of(nodes, key).number[row] >= 0 for key in keys)
        return held

    def standing(self, nodes: NodeTable, demand: Demand) -> Mask:
        """Nodes away from all of them; those without the topology key are."""
        held: Mask = np.ones(nodes.size, np.bool_)
        for term in _terms(demand):
            held &= ~_near(nodes, term)
        return held

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason a topology; a node counts for the first."""
        terms = _terms(demand)
        found = []
        for topology in sorted({term.topology for term in terms}):
            near: Mask = np.any([_near(nodes, term)[rows] for term in terms if term.topology == topology], axis=0)
            text = f"have a pod in their {topology} whose anti-affinity keeps the pod away"
            found.append((text, int(np.count_nonzero(near))))
            rows = rows[~near]
        found.append(("are to take a pod whose anti-affinity keeps the pod away", len(rows)))
        return [each for each in found if each[1]]


def _near(nodes: NodeTable, term: PodTerm) -> Mask:
    return met(topology_of(nodes, term.topology), nodes.residents.holders(term).counts)


def _terms(demand: Demand) -> frozenset[PodTerm]:
    return demand.neighbours.repelled if demand.neighbours is not None else frozenset()
