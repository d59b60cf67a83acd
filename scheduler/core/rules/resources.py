"""Node resources: cpu, memory, ephemeral storage, pods, and any other countable resource that the pod requests."""

from collections import Counter

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.base import NodeRule
from scoring.arrays import Mask, Rows


class NodeResources(NodeRule):
    """What is allocatable and not used must cover what is requested; a pod also needs one of `pods`."""

    on_use = True

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Nodes with enough left of everything."""
        held: Mask = nodes.left("pods", rows) >= 1
        for name, amount in demand.resources:
            held &= nodes.left(name, rows) >= amount
        return held

    def holds(self, nodes: NodeTable, demand: Demand, row: int) -> bool:
        """Whether there is enough left of everything."""
        for name, amount in demand.resources:
            if nodes.left_at(name, row) < amount:
                return False
        return nodes.left_at("pods", row) >= 1

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason a resource, with the most that any of the nodes has left."""
        counted: Counter[str] = Counter()
        best: dict[str, int] = {}
        for name, amount in (*demand.resources, ("pods", 1)):
            left = nodes.left(name, rows)
            short = left < amount
            if short.any():
                counted[name] = int(short.sum())
                best[name] = int(np.max(left[short], initial=0))
        wanted = {**dict(demand.resources), "pods": 1}
        return [
            (f"lack {name} (asks {_shown(name, wanted[name])}, at most {_shown(name, best[name])} left)", count)
            for name, count in counted.most_common()
        ]


def _shown(name: str, amount: int) -> str:
    if name == "cpu":
        return f"{amount / 1000:g}"
    if name in {"memory", "ephemeral-storage"} or name.startswith("hugepages-"):
        return f"{amount / 2**30:.4g}Gi"
    return str(amount)
