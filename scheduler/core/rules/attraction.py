"""Required inter-pod affinity of the pod."""

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.neighbours import Attraction
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.base import PodRule, in_all, met, topology_of
from scoring.arrays import Mask, Rows


class PodAffinity(PodRule):
    """A pod that all terms select stands in the node's domain of each topology; or there is none yet anywhere, and the
    pod is the first of its kind."""

    def concerns(self, demand: Demand) -> bool:
        """Only pods with required affinity to pods."""
        return demand.neighbours is not None and demand.neighbours.attraction is not None

    def standing(self, nodes: NodeTable, demand: Demand) -> Mask:
        """Nodes that have every topology key, near such a pod."""
        wanted = _wanted(demand)
        counts = nodes.residents.count(wanted.pods).counts
        near: Mask = np.ones(nodes.size, np.bool_)
        alone = wanted.first
        for topology in wanted.topologies:
            around = met(topology_of(nodes, topology), counts)
            near &= around
            alone = alone and not around.any()
        return in_all(nodes, wanted.topologies) if alone else near

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """Nodes without a topology key, and those in domains without such a pod."""
        wanted = _wanted(demand)
        found = []
        for topology in wanted.topologies:
            known = topology_of(nodes, topology).number[rows] >= 0
            found.append((f"lack label {topology}, a topologyKey of the pod's affinity", int(np.count_nonzero(~known))))
            rows = rows[known]
        where = " or ".join(wanted.topologies)
        found.append((f"have no pod in their {where} that the pod's affinity is to", len(rows)))
        return [each for each in found if each[1]]


def _wanted(demand: Demand) -> Attraction:
    assert demand.neighbours is not None
    assert demand.neighbours.attraction is not None
    return demand.neighbours.attraction
