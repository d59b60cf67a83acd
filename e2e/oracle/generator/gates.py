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
# The stable copy walks pools in random order, so what ends the whole attempt is met at random there.
_ORDERED: Final = ("selector errors", "selectors", "skew", "match", "mixed types", "device nodes")


def draw_features(dice: Dice) -> Features | None:
    """The features of a case; None for those of 1.37."""
    needed = [_GATE_OF[family] for family in sorted(dice.families) if family in _GATE_OF]
    alpha = [name for name in needed if name in _ALPHA]
    if dice.trouble("gates", 0.8):
        base = ALL if alpha else dice.of(DEFAULTS, DEFAULTS, ALL)
        if needed and dice.chance(0.7):
            features = {**base, dice.of(*needed): False}
        elif dice.chance(0.5):
            features = {**base, dice.of(*base): False}
        else:
            features = dice.of(*PROFILES.values())
        return _deterministic(dice, features)
    if alpha:
        return ALL if dice.chance(0.9) else None
    return ALL if dice.chance(0.1) else None


def _deterministic(dice: Dice, features: Features) -> Features:
    on = {name for name, value in features.items() if value}
    if on <= set(STABLE) and dice.has(*_ORDERED):
        return {**features, "FractionalCapacityRange": True}
    return features
