"""What a pod needs of its node's kubelet, which says what it can do (KEP-5328)."""

from collections import Counter

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.base import NodeRule
from scoring.arrays import Mask, Rows


class DeclaredFeatures(NodeRule):
    """Every feature must be in status.declaredFeatures."""

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Nodes that declare all of the features."""
        if not demand.features:
            return np.ones(len(rows), np.bool_)
        needed = frozenset(demand.features)
        found = [(node := nodes.nodes[row]) is not None and needed <= node.features for row in rows.tolist()]
        return np.array(found, np.bool_)

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason for each set of features that nodes lack."""
        counted: Counter[str] = Counter()
        for row in rows.tolist():
            node = nodes.nodes[row]
            declared = node.features if node is not None else frozenset()
            lacks = [name for name in demand.features if name not in declared]
            counted[f"do not declare the feature {', '.join(lacks)}, which the pod needs"] += 1
        return counted.most_common()
