"""NIC rails: which NIC belongs to which GPU."""

from collections.abc import Hashable

from scoring.topology.base import Place, Topology


class Rail(Topology):
    """The rail of a NIC and of the GPUs that it serves: the same number on every node leads to the same leaf switch.

    Where nobody tells the rails, `Layout.nearness` falls back to PCIe switch, root complex and NUMA node.
    """

    name = "rail"
    says = "one NIC rail"

    def domains(self, place: Place) -> tuple[Hashable, ...]:
        """The rail, where somebody told which."""
        return (place.rail,) if place.rail else ()
