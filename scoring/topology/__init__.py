"""How devices are linked and how near they are to each other: numbers and texts in, numbers out.

base       the Layout of a node, and what a model is
numa, pcie, rails   levels inside a host, one model each (PCIe: root and switch)
nvlink     direct links inside a box: switched with a port a GPU, or a mesh of pairs
fabric     levels across hosts: clique, rack, block, spine
catalogue  what a product tells of its links
boxes      14 types of machines with all that is known of them
"""

from typing import Final

from scoring.topology.base import Topology
from scoring.topology.numa import Numa
from scoring.topology.pcie import PcieRoot, PcieSwitch
from scoring.topology.rails import Rail

TOPOLOGIES: Final[tuple[Topology, ...]] = (
    Numa(),
    PcieRoot(),
    PcieSwitch(),
    Rail(),
)
"""Levels inside a host, the widest first."""
