"""Direct links between the GPUs of a box: NVLink, NVSwitch and xGMI.

There are two kinds of wiring. *Switched*: each GPU has a budget of GB/s into the switches, its port, and any pair alone
gets all of it. *Mesh* and bridges: a pair has the links between just these two. In both, GB/s are for one direction of
one pair while that pair alone is active, the diagonal is 0 and so are pairs without a link.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from scoring.arrays import Floats
from scoring.topology.base import UNKNOWN

LINK_GBPS: Final[Mapping[str, float]] = {"NVLink1": 20, "NVLink2": 25, "NVLink3": 25, "NVLink4": 25, "NVLink5": 50}
"""GB/s of one link in one direction, by generation (vendor data sheets). NV12 of NVLink3 is a port of 300."""


def switched(ports: Sequence[float], fabric: Sequence[Hashable | None] | None = None) -> Floats:
    """float32 (n, n) of GPUs behind switches: the smaller of the two ports.

    ports : GB/s into the switches of each GPU. fabric : which switches those are, None for a GPU on none of them; GPUs
    on different ones have no link. All are on the same unless it is given.
    """
    port = np.asarray(ports, np.float32)
    found: Floats = np.minimum(port[:, None], port[None, :]).astype(np.float32)
    if fabric is not None:
        joined = np.array([[a is not None and a == b for b in fabric] for a in fabric], np.bool_)
        found[~joined.reshape(found.shape)] = 0
    np.fill_diagonal(found, 0)
    return found


def uniform(count: int, gbps: float) -> Floats:
    """float32 (count, count) where every pair has the same: NVSwitch, a full mesh, no links (0), unknown (NaN)."""
    return switched([gbps] * count)


def unknown(count: int) -> Floats:
    """float32 (count, count) of which nothing is known but that no device is linked to itself."""
    return uniform(count, float(UNKNOWN))


def mesh(count: int, links: Mapping[int, Iterable[tuple[int, int]]], gbps: float) -> Floats:
    """float32 (count, count) of links between pairs.

    links : number of links -> pairs that have as many. gbps : of one link.
    """
    found = np.zeros((count, count), np.float32)
    for number, pairs in links.items():
        for i, j in pairs:
            found[i, j] = found[j, i] = number * gbps
    return found


def pairs(text: str) -> tuple[tuple[int, int], ...]:
    """`03 47` as pairs of single-digit numbers."""
    return tuple((int(each[0]), int(each[1])) for each in text.split())
