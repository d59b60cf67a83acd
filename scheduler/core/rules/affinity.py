"""Required node affinity of the pod, and node selectors in general, over columns."""

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.match import satisfies
from scheduler.core.model import NodeSelector, NodeSelectorTerm, Requirement
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.base import NodeRule, per_value
from scoring.arrays import Mask, Rows


def _requirement(nodes: NodeTable, requirement: Requirement, rows: Rows) -> Mask:
    column = nodes.labels.get(requirement.key)
    if column is None:
        return np.full(len(rows), satisfies(requirement, None), np.bool_)
    return per_value(column, rows, lambda value: satisfies(requirement, value))


def _field(nodes: NodeTable, requirement: Requirement, rows: Rows) -> Mask:
    if requirement.key != "metadata.name":
        return np.zeros(len(rows), np.bool_)
    if requirement.operator == "In":
        wanted = [nodes.rows[name] for name in requirement.values if name in nodes.rows]
        return np.isin(rows, np.array(wanted, np.int32))
    held = [satisfies(requirement, node.name) if (node := nodes.nodes[row]) else False for row in rows.tolist()]
    return np.array(held, np.bool_)


def term_holds(nodes: NodeTable, term: NodeSelectorTerm, rows: Rows) -> Mask:
    """For which of these nodes all requirements of a term hold; for none if it has none."""
    if not term.labels and not term.fields:
        return np.zeros(len(rows), np.bool_)
    held: Mask = np.ones(len(rows), np.bool_)
    for requirement in term.labels:
        held &= _requirement(nodes, requirement, rows)
    for requirement in term.fields:
        held &= _field(nodes, requirement, rows)
    return held


def selected(nodes: NodeTable, selector: NodeSelector, rows: Rows) -> Mask:
    """Which of these nodes a node selector selects: terms ORed, requirements in a term ANDed."""
    held: Mask = np.zeros(len(rows), np.bool_)
    for term in selector.terms:
        held |= term_holds(nodes, term, rows)
    return held


class Affinity(NodeRule):
    """requiredDuringSchedulingIgnoredDuringExecution."""

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Nodes that one of the terms selects."""
        if demand.affinity is None:
            return np.ones(len(rows), np.bool_)
        return selected(nodes, demand.affinity, rows)

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason."""
        return [("do not match the pod's required node affinity", len(rows))]
