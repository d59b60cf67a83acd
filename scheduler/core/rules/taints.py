"""Node taints, and spec.unschedulable, which counts as the taint node.kubernetes.io/unschedulable."""

from collections import Counter

from scheduler.core.demand import Demand
from scheduler.core.match import untolerated
from scheduler.core.model import NO_SCHEDULE, Taint
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.base import NodeRule, per_value
from scoring.arrays import Mask, Rows

UNSCHEDULABLE = Taint("node.kubernetes.io/unschedulable", "", NO_SCHEDULE)


class NodeTaints(NodeRule):
    """Every NoSchedule and NoExecute taint must be tolerated."""

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Nodes without a taint in the way."""
        held = per_value(nodes.taints, rows, lambda taints: untolerated(taints or (), demand.tolerations) is None)
        if untolerated((UNSCHEDULABLE,), demand.tolerations) is not None:
            held &= ~nodes.unschedulable[rows]
        return held

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason a taint."""
        counted: Counter[str] = Counter()
        for row in rows.tolist():
            code = int(nodes.taints.codes[row])
            taint = untolerated(nodes.taints.values[code] if code >= 0 else (), demand.tolerations)
            if taint is None:
                counted["are unschedulable"] += 1
            else:
                shown = f"{taint.key}={taint.value}" if taint.value else taint.key
                counted[f"have taint {shown}:{taint.effect}"] += 1
        return counted.most_common()
