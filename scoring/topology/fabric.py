"""Across hosts: which nodes are near each other, from the same machine up to the same spine.

A node is told by one text per level, empty where nobody said. Nodes of one clique reach each other's GPUs by NVLink;
racks (or leaf switches), blocks and spines are levels of the network, each within the next.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Rows
from scoring.topology.base import numbered

LEVELS: Final = ("host", "clique", "rack", "block", "spine")
"""Nearest first."""


def columns(nodes: Sequence[Sequence[str]]) -> Rows:
    """int32 (N, levels): domain of each node at each level, numbered by first appearance; -1 unknown.

    nodes : per node one text a level, in the order of LEVELS.
    """
    if not nodes:
        return np.zeros((0, len(LEVELS)), np.int32)
    levels = [numbered(value or None for value in level) for level in zip(*nodes, strict=True)]
    return np.stack(levels, axis=1)


def distance(domains: Rows) -> NDArray[np.int8]:
    """int8 (N, N): the first level that two nodes share, as its index in LEVELS; len(LEVELS) where they share none.

    domains : as `columns` makes them. A node is at distance 0 from itself.
    """
    found = np.full((len(domains), len(domains)), len(LEVELS), np.int8)
    for level in reversed(range(domains.shape[1])):
        column = domains[:, level]
        found[(column[:, None] == column[None, :]) & (column >= 0)[:, None]] = level
    np.fill_diagonal(found, 0)
    return found
