"""One consistent view of the cluster at one revision; nothing that happens later changes it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Generic, TypeVar

from scheduler.core.columns import DeviceTable
from scheduler.core.model import Allocation, Claim, DeviceClass, Node, Pod, PodGroup, Slice, TaintRule, Uid
from scoring.arrays import Mask

K = TypeVar("K")
V = TypeVar("V")


class Versioned(Generic[K, V]):
    """A mapping whose snapshots are free; the first write after one copies the mapping. changes : counts writes."""

    __slots__ = ("_shared", "changes", "current")

    def __init__(self) -> None:
        self.current: dict[K, V] = {}
        self.changes = 0
        self._shared = False

    def put(self, key: K, value: V) -> None:
        """Add or replace."""
        self._own()
        self.current[key] = value

    def pop(self, key: K) -> V | None:
        """Take out; None if absent."""
        if key not in self.current:
            return None
        self._own()
        return self.current.pop(key)

    def snapshot(self) -> Mapping[K, V]:
        """A read-only view that later writes leave alone."""
        self._shared = True
        return MappingProxyType(self.current)

    def _own(self) -> None:
        self.changes += 1
        if self._shared:
            self.current = dict(self.current)
            self._shared = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Objects by name or UID, and the columns made of them.

    holding : claim UID -> allocation, written or assumed. places : pod UID -> node name, bound or assumed.
    devices : one row a device; taken : bool (rows,), held by some claim.
    """

    revision: int
    nodes: Mapping[str, Node]
    slices: Mapping[str, Slice]
    classes: Mapping[str, DeviceClass]
    taint_rules: Mapping[str, TaintRule]
    claims: Mapping[Uid, Claim]
    groups: Mapping[str, PodGroup]
    pods: Mapping[Uid, Pod]
    holding: Mapping[Uid, Allocation]
    places: Mapping[Uid, str]
    devices: DeviceTable
    taken: Mask

    def claims_as_held(self) -> dict[Uid, Claim]:
        """Claims with the allocations that they have or will have."""
        return {
            uid: replace(claim, allocation=self.holding[uid]) if uid in self.holding else claim
            for uid, claim in self.claims.items()
        }

    def pods_as_placed(self) -> dict[Uid, Pod]:
        """Pods with the nodes that they have or will have."""
        return {
            uid: replace(pod, node_name=self.places[uid]) if uid in self.places else pod
            for uid, pod in self.pods.items()
        }
