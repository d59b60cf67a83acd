"""The Layout: how the devices of one node are linked, as numbers."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from scoring.arrays import Floats, Mask, Rows

UNKNOWN = np.float32(np.nan)


@dataclass(frozen=True, eq=False)
class Layout:
    """Links and locality between the n devices of a node, in the order in which the node lists them.

    bandwidth : float32 (n, n), symmetric
        GB/s in one direction of the direct link of a pair while that pair alone is active. 0: known to have no link
        beyond the host's PCIe; NaN: unknown. The diagonal is 0.
    numa, pcie : int32 (n,)
        Domain of each device, numbered from 0 by first appearance; -1: unknown, equal to nothing.
    linkable : bool (n,)
        False for a device to which direct links do not apply, such as a NIC beside GPUs: it is left out when links are
        judged. All true unless given.
    source : where the links were learned from, in words for explanations, such as `catalogue: NVIDIA H100 80GB HBM3`.

    Two layouts are equal when all of their numbers and the source are, and may then stand for each other.
    """

    bandwidth: Floats
    numa: Rows
    pcie: Rows
    source: str
    linkable: Mask = field(default_factory=lambda: np.ones(0, np.bool_))
    size: int = field(init=False)

    def __post_init__(self) -> None:
        size = len(self.numa)
        if self.bandwidth.shape != (size, size) or self.pcie.shape != (size,):
            raise ValueError(f"layout of {size} devices has bandwidth {self.bandwidth.shape}, pcie {self.pcie.shape}")
        if not len(self.linkable):
            object.__setattr__(self, "linkable", np.ones(size, np.bool_))
        if self.linkable.shape != (size,):
            raise ValueError(f"layout of {size} devices has linkable {self.linkable.shape}")
        object.__setattr__(self, "size", size)
        for column in (self.bandwidth, self.numa, self.pcie, self.linkable):
            column.setflags(write=False)

    @cached_property
    def links(self) -> Floats:
        """`bandwidth` as far as it is known: what is unknown counts as no link, so that a guess never wins."""
        known = np.nan_to_num(self.bandwidth, nan=0.0)
        known.setflags(write=False)
        return known

    @cached_property
    def same_numa(self) -> Mask:
        """bool (n, n): two different devices in one NUMA node."""
        return _same(self.numa)

    @cached_property
    def same_pcie(self) -> Mask:
        """bool (n, n): two different devices behind one PCIe root."""
        return _same(self.pcie)

    @cached_property
    def signature(self) -> bytes:
        """All that tells this layout from another."""
        columns = (self.bandwidth, self.numa, self.pcie, self.linkable)
        return b"|".join([*(column.tobytes() for column in columns), self.source.encode()])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and self.signature == other.signature

    def __hash__(self) -> int:
        return hash(self.signature)


def _same(domain: Rows) -> Mask:
    same: Mask = (domain[:, None] == domain[None, :]) & (domain >= 0)[:, None]
    np.fill_diagonal(same, val=False)
    same.setflags(write=False)
    return same
