"""Which features a cluster has on, by the names of upstream's `structured.Features`.

Upstream has three copies of its allocator and takes the first that knows all features that are on.
"""

from typing import Final

from e2e.oracle.generator.dice import Dice

Features = dict[str, bool]

STABLE: Final = ("AdminAccess", "DeviceTaints", "PartitionableDevices", "PrioritizedList")
INCUBATING: Final = (*STABLE, "ConsumableCapacity", "DeviceBindingAndStatus", "FractionalCapacityRange")
EXPERIMENTAL: Final = (
    *INCUBATING, "CompatibilityGroups", "DerivedAttributes", "ListTypeAttributes", "OptionalNodeOperations",
)  # fmt: skip

DEFAULTS: Final[Features] = dict.fromkeys(INCUBATING, True)
ALL: Final[Features] = dict.fromkeys(EXPERIMENTAL, True)

PROFILES: Final[dict[str, Features]] = {
    "1.34": {"AdminAccess": True, "PrioritizedList": True},
    "1.36": {name: True for name in INCUBATING if name != "FractionalCapacityRange"},
    "stable": dict.fromkeys(STABLE, True),
    "none": {},
    "all": ALL,
}

# A family is without effect, or nearly, unless its gate is on.
_GATE_OF: Final = {
    "admin access": "AdminAccess",
    "binding conditions": "DeviceBindingAndStatus",
    "compatibility groups": "CompatibilityGroups",
    "counters": "PartitionableDevices",
    "derived attributes": "DerivedAttributes",
    "device nodes": "PartitionableDevices",
    "first available": "PrioritizedList",
    "list attributes": "ListTypeAttributes",
    "node operations": "OptionalNodeOperations",
    "odd quantities": "FractionalCapacityRange",
    "shares": "ConsumableCapacity",
    "taints": "DeviceTaints",
}
_ALPHA: Final = frozenset(EXPERIMENTAL) - frozenset(INCUBATING)
_OLDER: Final = (PROFILES["1.34"], PROFILES["1.34"], PROFILES["stable"], PROFILES["stable"], *PROFILES.values())


def draw_features(dice: Dice) -> Features | None:
    """The features of a case; None for those of 1.37."""
    needed = [_GATE_OF[family] for family in sorted(dice.families) if family in _GATE_OF]
    alpha = [name for name in needed if name in _ALPHA]
    if dice.has("gates"):
        base = ALL if alpha else dice.of(DEFAULTS, DEFAULTS, ALL)
        if dice.chance(0.35):
            return dice.of(*_OLDER)
        return {**base, dice.of(*needed) if needed and dice.chance(0.7) else dice.of(*base): False}
    if dice.chance(0.03):
        return dice.of(*_OLDER)
    return ALL if dice.chance(0.9 if alpha else 0.1) else None


def stable(features: Features | None) -> bool:
    """Whether upstream takes its stable copy, which walks pools in random order and slices as they are listed."""
    return features is not None and all(name in STABLE for name, on in features.items() if on)
