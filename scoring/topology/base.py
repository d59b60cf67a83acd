"""What a topology model is, and the Layout: how the devices of one node are linked and placed, as numbers.

A model says of each device's Place which domains of one level it is in. Domains become columns of numbers, one per
device, and a matrix of which devices share one. To add a model: one file here, one line in TOPOLOGIES.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Floats, Mask, Rows

UNKNOWN = np.float32(np.nan)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one device sits, as far as that was told; empty where it was not.

    numa : NUMA nodes, its own first, then those as near as the driver can tell. roots : PCIe root complexes.
    switch : the PCIe switch. rail : the network rail that a GPU and its NIC share.
    """

    numa: tuple[int, ...] = ()
    roots: tuple[str, ...] = ()
    switch: str = ""
    rail: str = ""


class Topology(ABC):
    """One level at which devices are near each other."""

    name: ClassVar[str]
    says: ClassVar[str]

    @abstractmethod
    def domains(self, place: Place) -> tuple[Hashable, ...]:
        """The domains of a device, its own first; none where that is not known."""

    def column(self, places: Sequence[Place]) -> Rows:
        """int32 (n,): own domain of each device, numbered from 0 by first appearance; -1 unknown."""
        return numbered(next(iter(self.domains(place)), None) for place in places)

    def shared(self, places: Sequence[Place]) -> Mask:
        """bool (n, n): two different devices with a domain in common. Unknown is equal to nothing."""
        found = [self.domains(place) for place in places]
        numbers: dict[Hashable, int] = {}
        for each in found:
            for domain in each:
                numbers.setdefault(domain, len(numbers))
        member = np.zeros((len(places), max(len(numbers), 1)), np.float32)
        for row, each in zip(member, found, strict=True):
            row[[numbers[domain] for domain in each]] = 1
        same: Mask = (member @ member.T) > 0
        np.fill_diagonal(same, val=False)
        return same


def numbered(values: Iterable[Hashable | None]) -> Rows:
    """int32 (n,): equal values as equal numbers, from 0 by first appearance; -1 for None."""
    numbers: dict[Hashable, int] = {}
    return np.array([-1 if value is None else numbers.setdefault(value, len(numbers)) for value in values], np.int32)


@dataclass(frozen=True, eq=False)
class Layout:
    """Links and locality between the n devices of a node, in the order in which the node lists them.

    bandwidth : float32 (n, n), symmetric
        GB/s in one direction of the direct link of a pair while that pair alone is active. 0: known to have no link
        beyond the host's PCIe; NaN: unknown. The diagonal is 0.
    numa, pcie, switch, rail : int32 (n,)
        Domain of each device, numbered from 0 by first appearance; -1: unknown, equal to nothing. `pcie` is the root
        complex, `switch` the PCIe switch below it, `rail` what a GPU shares with the NIC that belongs to it.
    linkable : bool (n,)
        False for a device to which direct links do not apply, such as a NIC beside GPUs: it is left out when links are
        judged. All true unless given.
    source : where the links were learned from, in words for explanations, such as `catalogue: NVIDIA H100 80GB HBM3`.
    near_numa, near_pcie : bool (n, n)
        Pairs that share a domain which is not the own one of both, where devices are near several. None unless given.
    fabric : sets of positions, the last of them all that a rule is about: whoever takes some of these takes exactly one
        of the other sets. Empty without such a rule.

    Two layouts are equal when all of their numbers and the source are, and may then stand for each other.
    """

    bandwidth: Floats
    numa: Rows
    pcie: Rows
    source: str
    linkable: Mask = field(default_factory=lambda: np.ones(0, np.bool_))
    switch: Rows = field(default_factory=lambda: np.zeros(0, np.int32))
    rail: Rows = field(default_factory=lambda: np.zeros(0, np.int32))
    near_numa: Mask = field(default_factory=lambda: np.zeros((0, 0), np.bool_))
    near_pcie: Mask = field(default_factory=lambda: np.zeros((0, 0), np.bool_))
    fabric: tuple[frozenset[int], ...] = ()
    size: int = field(init=False)

    def __post_init__(self) -> None:
        size = len(self.numa)
        if self.bandwidth.shape != (size, size) or self.pcie.shape != (size,):
            raise ValueError(f"layout of {size} devices has bandwidth {self.bandwidth.shape}, pcie {self.pcie.shape}")
        empty: tuple[tuple[str, NDArray[np.generic]], ...] = (
            ("linkable", np.ones(size, np.bool_)),
            ("switch", np.full(size, -1, np.int32)),
            ("rail", np.full(size, -1, np.int32)),
        )
        for name, default in empty:
            if not len(getattr(self, name)):
                object.__setattr__(self, name, default)
            if getattr(self, name).shape != (size,):
                raise ValueError(f"layout of {size} devices has {name} {getattr(self, name).shape}")
        for name in ("near_numa", "near_pcie"):
            if getattr(self, name).shape not in {(0, 0), (size, size)}:
                raise ValueError(f"layout of {size} devices has {name} {getattr(self, name).shape}")
        object.__setattr__(self, "size", size)
        for column in self._columns:
            column.setflags(write=False)

    @property
    def _columns(self) -> tuple[NDArray[np.generic], ...]:
        return (
            self.bandwidth, self.numa, self.pcie, self.linkable, self.switch, self.rail, self.near_numa, self.near_pcie,
        )  # fmt: skip

    @cached_property
    def links(self) -> Floats:
        """`bandwidth` as far as it is known: what is unknown counts as no link, so that a guess never wins."""
        known = np.nan_to_num(self.bandwidth, nan=0.0)
        known.setflags(write=False)
        return known

    @cached_property
    def same_numa(self) -> Mask:
        """bool (n, n): two different devices in one NUMA node, or in nodes that their drivers call equally near."""
        return _same(self.numa, self.near_numa)

    @cached_property
    def same_pcie(self) -> Mask:
        """bool (n, n): two different devices behind one PCIe root."""
        return _same(self.pcie, self.near_pcie)

    @cached_property
    def even_numa(self) -> Mask:
        """bool (n, nodes): by NUMA node the linkable devices in it, of the nodes where their links are all equal."""
        inside: Mask = (self.numa[:, None] == np.arange(self.numa.max(initial=-1) + 1)) & self.linkable[:, None]
        links = [self.links[np.ix_(each, each)] for each in inside.T]
        even = [len(np.unique(each[~np.eye(len(each), dtype=np.bool_)])) < 2 for each in links]
        found: Mask = inside[:, np.array(even, np.bool_)]
        found.setflags(write=False)
        return found

    @cached_property
    def nearness(self) -> NDArray[np.int8]:
        """int8 (n, n): 4 on one rail, else 3 behind one PCIe switch, 2 behind one root, 1 in one NUMA node, 0 unknown.

        What decides how far data travels between a GPU and a NIC. The diagonal is 0.
        """
        found = np.zeros((self.size, self.size), np.int8)
        for level, same in enumerate((self.same_numa, self.same_pcie, _same(self.switch), _same(self.rail)), 1):
            found[same] = level
        found.setflags(write=False)
        return found

    @cached_property
    def signature(self) -> bytes:
        """All that tells this layout from another."""
        fabric = repr([sorted(each) for each in self.fabric]).encode()
        return b"|".join([*(column.tobytes() for column in self._columns), fabric, self.source.encode()])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and self.signature == other.signature

    def __hash__(self) -> int:
        return hash(self.signature)


def _same(domain: Rows, more: Mask | None = None) -> Mask:
    same: Mask = (domain[:, None] == domain[None, :]) & (domain >= 0)[:, None]
    if more is not None and more.size:
        same |= more
    np.fill_diagonal(same, val=False)
    same.setflags(write=False)
    return same
