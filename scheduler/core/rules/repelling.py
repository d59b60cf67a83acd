"""Required inter-pod anti-affinity of the pod."""

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.base import PodRule, met, topology_of
from scoring.arrays import Mask, Rows


class PodAntiAffinity(PodRule):
    """No pod that a term selects stands in the node's domain of its topology."""

    def concerns(self, demand: Demand) -> bool:
        """Only pods with required anti-affinity to pods."""
        return demand.neighbours is not None and bool(demand.neighbours.repels)

    def standing(self, nodes: NodeTable, demand: Demand) -> Mask:
        """Nodes away from all of them; those without the topology key are."""
        assert demand.neighbours is not None
        held: Mask = np.ones(nodes.size, np.bool_)
        for topology, pods in demand.neighbours.repels:
            tally = nodes.residents.count(pods)
            if tally.total:
                held &= ~met(topology_of(nodes, topology), tally.counts)
        return held

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason a topology; a node counts for the first."""
        assert demand.neighbours is not None
        found = []
        for topology, pods in demand.neighbours.repels:
            near = met(topology_of(nodes, topology), nodes.residents.count(pods).counts)[rows]
            text = f"have a pod in their {topology} that the pod's anti-affinity keeps it away from"
            found.append((text, int(np.count_nonzero(near))))
            rows = rows[~near]
        return [each for each in found if each[1]]
