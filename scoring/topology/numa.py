"""NUMA nodes."""

from collections.abc import Hashable

from scoring.topology.base import Place, Topology


class Numa(Topology):
    """The NUMA node of a device, and nodes of its socket that its driver calls as near.

    It is a fact about memory. Under SNC and NPS it is finer than the socket, and on GB200 a GPU may name the node of
    its own HBM: then no CPU and no NIC shares it, and an operator has to say which one is meant.
    """

    name = "numa"
    says = "one NUMA node"

    def domains(self, place: Place) -> tuple[Hashable, ...]:
        """Numbers of NUMA nodes."""
        return place.numa
