"""Ports of the host: no two pods of a node take the same one on the same address."""

from collections import Counter

import numpy as np

from scheduler.core.demand import Demand
from scheduler.core.model import ANY_ADDRESS, HostPort
from scheduler.core.nodes import NodeTable
from scheduler.core.residents import clash
from scheduler.core.rules.base import NodeRule
from scoring.arrays import Mask, Rows


class HostPorts(NodeRule):
    """Port and protocol must be free on the address, or on every address if one of the two pods takes all of them."""

    on_use = True

    def concerns(self, demand: Demand) -> bool:
        """Only pods that take a port of the host."""
        return bool(demand.ports)

    def mask(self, nodes: NodeTable, demand: Demand, rows: Rows) -> Mask:
        """Nodes on which all of the ports are free."""
        held: Mask = np.ones(len(rows), np.bool_)
        for port in demand.ports:
            held &= _free(nodes, demand, port, rows)
        return held

    def holds(self, nodes: NodeTable, demand: Demand, row: int) -> bool:
        """Whether all of the ports are free."""
        if any(rival.counts[row] for port in demand.ports for rival in nodes.residents.rivals(port)):
            return False
        return not demand.guests or bool(self.mask(nodes, demand, np.array([row], np.int32))[0])

    def reasons(self, nodes: NodeTable, demand: Demand, rows: Rows) -> list[tuple[str, int]]:
        """One reason a port; a node counts for the first that it lacks."""
        counted: Counter[str] = Counter()
        for port in demand.ports:
            free = _free(nodes, demand, port, rows)
            counted[_shown(port)] += int(np.count_nonzero(~free))
            rows = rows[free]
        return [(f"have host port {shown} in use", count) for shown, count in counted.most_common() if count]


def _free(nodes: NodeTable, demand: Demand, port: HostPort, rows: Rows) -> Mask:
    """Where a port is free, and not one of those of pods that are nominated to the node."""
    found: Mask = np.ones(len(rows), np.bool_)
    for rival in nodes.residents.rivals(port):
        found &= rival.counts[rows] == 0
    for name, guests in demand.guests:
        row = nodes.rows.get(name)
        if row is not None and any(clash(port, each) for guest in guests for each in guest.ports):
            found[rows == row] = False
    return found


def _shown(port: HostPort) -> str:
    address = "" if port.ip == ANY_ADDRESS else f" of {port.ip}"
    return f"{port.port}/{port.protocol}{address}"
