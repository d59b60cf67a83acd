"""The draw of one case, and the words that all draws share."""

import random
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

Json = dict[str, Any]
T = TypeVar("T")

GPU: Final = "gpu.example.com"
NIC: Final = "nic.example.com"
VENDOR: Final = "other.example.com"
NODE: Final = "n1"
OTHER: Final = "n2"
HOST: Final = "kubernetes.io/hostname"

FAMILIES: Final = (
    "admin access", "all", "binding conditions", "binds to node", "claims", "compatibility groups", "config",
    "counter faults", "counters", "counts", "derived attributes", "device nodes", "distinct", "duplicates",
    "first available", "gates", "generations", "held", "huge counts", "limit", "list attributes", "match",
    "mixed types", "node operations", "node selection", "odd quantities", "policies", "requests", "selector errors",
    "selectors", "shares", "skew", "taint rules", "taints", "torn pools",
)  # fmt: skip
"""Kinds of trouble; each is a rule of the allocator, or a corner of one."""

# What a family is of little use without, most of the time.
_COMPANIONS: Final = {
    "compatibility groups": ("counters",),
    "counter faults": ("counters",),
    "policies": ("shares",),
    "odd quantities": ("shares", "policies"),
    "derived attributes": ("match", "distinct"),
    "list attributes": ("match", "distinct"),
    "mixed types": ("match", "distinct"),
    "taint rules": ("taints",),
    "huge counts": ("first available",),
}
# Drawn as well now and then, so that every rule is also seen in cases that end this way.
_ENDINGS: Final = {
    "node-error": ("duplicates", "duplicates", "counter faults"),
    "fatal": ("selector errors", "skew", "gates", "huge counts", "odd quantities"),
}
# Some twice, since one of their outcomes is rare.
_DRAWN: Final = (*FAMILIES, "derived attributes", "generations", "limit", "torn pools")
IMPOSSIBLE: Final = frozenset({("all", "node-error")})
"""A request for all devices ends the attempt where any pool is invalid, whatever else there is."""


class Luck:
    """Random values that depend on the name of the draw alone. families : kinds of trouble that a case has."""

    families: frozenset[str]

    def __init__(self, name: str) -> None:
        self._next = random.Random(name).random

    def of(self, *values: T) -> T:
        """One of the values."""
        return values[int(self._next() * len(values))]

    def number(self, least: int, most: int) -> int:
        """A number, both ends included."""
        return least + int(self._next() * (most - least + 1))

    def chance(self, probability: float) -> bool:
        return self._next() < probability

    def some(self, values: Iterable[T], probability: float = 0.5) -> list[T]:
        """Those of the values that luck keeps."""
        return [value for value in values if self._next() < probability]

    def shuffled(self, values: Sequence[T]) -> list[T]:
        return sorted(values, key=lambda value: self._next())

    def has(self, *families: str) -> bool:
        """Whether the case has trouble of one of the families."""
        return not self.families.isdisjoint(families)

    def trouble(self, family: str, probability: float = 0.5) -> bool:
        """Whether the case has trouble of the family, and has it here."""
        return family in self.families and self._next() < probability


class Dice(Luck):
    """The draw of one case. hopeless : some request asks for what no device is, and some pool is sure to be invalid."""

    def __init__(self, seed: int, number: int) -> None:
        super().__init__(f"{seed}/{number}")
        drawn = {self.of(*_DRAWN) for _ in range(self.of(1, 2, 2, 2, 2, 3))}
        for family in sorted(drawn):
            companions = _COMPANIONS.get(family)
            if companions and self.chance(0.8):
                drawn.add(self.of(*companions))
        self.hopeless = self.chance(0.1)
        if self.hopeless:
            drawn.add("duplicates")
        elif self.chance(0.25):
            drawn.add(self.of(*_ENDINGS["node-error"]))
        if self.chance(0.24):
            drawn.add(self.of(*_ENDINGS["fatal"]))
        self.families = frozenset(drawn)
