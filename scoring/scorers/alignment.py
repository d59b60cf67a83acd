"""How near everything is that a pod gets, whichever of its requests and claims it is for."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Floats, Mask
from scoring.scorers.base import Sets, SetScorer, rounded

# By Layout.nearness. Behind one root complex traffic between GPU and NIC stays out of the memory of the host; from
# root to root it passes through the CPU; between sockets it passes through the link of the two as well.
WORTH: Final = np.array([0.0, 0.5, 0.9, 1.0, 1.0])


class Alignment(SetScorer):
    """Half for few NUMA nodes, half for each GPU beside a NIC and each NIC beside a GPU.

        nodes   = sum over i of 1 / |devices of the set in one NUMA node with i, itself included|
        beside  = mean of WORTH[nearness of i to the nearest device of the other sort], over the devices of both sorts
        score   = 1/2 (1 / nodes) + 1/2 beside

    `nodes` is the number of NUMA nodes that the set spans; a device whose NUMA node nobody told is one of its own. The
    two sorts are what direct links apply to (GPUs) and what they do not (NICs). `beside` is 1 where there is only one
    sort: the set is judged over all requests and claims of the pod, since its processes use all of it.
    """

    name = "alignment"
    says = "everything of the pod in one NUMA node, NICs beside GPUs"
    sees_free = False

    def score(self, sets: Sets) -> Floats:
        """One where everything is in one NUMA node and behind one PCIe root."""
        layout, members = sets.layout, sets.members.astype(np.float64)
        together = members @ (layout.same_numa | np.eye(layout.size, dtype=np.bool_)).astype(np.float64)
        spanned = (members / np.maximum(together, 1)).sum(axis=1)
        gpus, nics = sets.members & layout.linkable, sets.members & ~layout.linkable
        mixed = gpus.any(axis=1) & nics.any(axis=1)
        beside = np.ones(len(members))
        if mixed.any():
            gpus, nics = gpus[mixed], nics[mixed]
            near = gpus * _nearest(layout.nearness, nics) + nics * _nearest(layout.nearness, gpus)
            beside[mixed] = near.sum(axis=1) / (gpus | nics).sum(axis=1)
        return rounded(0.5 / np.maximum(spanned, 1) + 0.5 * beside)


def _nearest(nearness: NDArray[np.int8], others: Mask) -> NDArray[np.float64]:
    """WORTH of the nearest of `others` (bool (C, n)) to each device, float64 (C, n)."""
    found = np.zeros(others.shape)
    for level, worth in enumerate(WORTH.tolist()):
        found[others.astype(np.float32) @ (nearness >= level).astype(np.float32) > 0] = worth
    return found
