"""Whether groups of devices in one NUMA node stay together for the pods to come."""

from typing import Final

import numpy as np

from scoring.arrays import Floats
from scoring.scorers.base import Sets, SetScorer, rounded

GROUPS: Final = (2, 4, 8)
HALF_LOSS: Final = 1.0


class Sockets(SetScorer):
    """Keeps room for pods of 2, 4 and 8 within one NUMA node, whatever the links between NUMA nodes are.

        room(k) = k * sum of floor(free there / k) over the NUMA nodes whose GPUs have equal links to each other
        lost    = sum over k of room(k) before - room(k) after, divided by |S|
        score   = 1 / (1 + lost)

    A GPU from a socket with three free loses nothing, since no pair less fits afterwards; from one with two it loses
    a pair, from a whole one of four a pair and the four. `islands` cannot tell these apart where a switch links all
    GPUs of a box. Where links tell the GPUs of a NUMA node apart (bridges, meshes) it can, and they do not count here:
    not any two of them serve a pod of two. Nor do devices to which links do not apply (NICs), and those whose NUMA node
    nobody told.
    """

    name = "sockets"
    says = "groups in one NUMA node left whole"

    def score(self, sets: Sets) -> Floats:
        """One where no group is lost."""
        layout = sets.layout
        members = sets.members & layout.linkable
        home = layout.even_numa.astype(np.float32)
        before = np.atleast_2d(sets.free @ home).astype(np.int64)
        after = before - (members @ home).astype(np.int64)
        lost = np.zeros(len(members))
        for size in GROUPS:
            lost += size * (before // size - after // size).sum(axis=1)
        return rounded(HALF_LOSS / (HALF_LOSS + lost / np.maximum(members.sum(axis=1), 1)))
