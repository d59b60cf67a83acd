"""PCIe: root complexes, which drivers publish, and the switches below them, which they do not."""

from collections.abc import Hashable

from scoring.topology.base import Place, Topology


class PcieRoot(Topology):
    """The root complex. A CPU may be near several; on GB200 no NIC shares one with a GPU."""

    name = "pcie"
    says = "one PCIe root complex"

    def domains(self, place: Place) -> tuple[Hashable, ...]:
        """Names of root complexes."""
        return place.roots


class PcieSwitch(Topology):
    """The PCIe switch: traffic between two devices behind one never reaches the CPU."""

    name = "switch"
    says = "one PCIe switch"

    def domains(self, place: Place) -> tuple[Hashable, ...]:
        """The switch, where somebody told which."""
        return (place.switch,) if place.switch else ()
