"""Feature gates of Kubernetes that decide which rules are in force.

A scheduler cannot read the gates of an API server. They follow from its version, and an admin who turned one on or off
says so in the config. Names are Kubernetes' own (`pkg/features/kube_features.go`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

from scheduler.core.errors import ConfigError

NAMES: Final = {
    "admin_access": "DRAAdminAccess",
    "prioritized_list": "DRAPrioritizedList",
    "partitionable_devices": "DRAPartitionableDevices",
    "device_taints": "DRADeviceTaints",
    "device_taint_rules": "DRADeviceTaintRules",
    "binding_conditions": "DRADeviceBindingConditions",
    "consumable_capacity": "DRAConsumableCapacity",
    "fractional_capacity_range": "DRAFractionalCapacityRange",
    "extended_resources": "DRAExtendedResource",
    "list_attributes": "DRAListTypeAttributes",
    "derived_attributes": "DRADerivedAttributes",
    "compatibility_groups": "DRADeviceCompatibilityGroups",
    "optional_node_operations": "DRAOptionalNodeOperations",
    "node_allocatable": "DRANodeAllocatableResources",
    "workload_claims": "DRAWorkloadResourceClaims",
    "taint_comparison": "TaintTolerationComparisonOperators",
    "storage_scoring": "StorageCapacityScoring",
}
"""Kubernetes' names, by field of Gates."""


@dataclass(frozen=True, slots=True)
class Gates:
    """On or off, one field a gate; the defaults are those of Kubernetes 1.37.

    DRAFractionalCapacityRange is beta there and on only for who runs with --min-compatibility-version=1.37, which by
    default is one version less (pkg/features/kube_features.go).
    """

    admin_access: bool = True
    prioritized_list: bool = True
    partitionable_devices: bool = True
    device_taints: bool = True
    device_taint_rules: bool = True
    binding_conditions: bool = True
    consumable_capacity: bool = True
    fractional_capacity_range: bool = False
    extended_resources: bool = True
    list_attributes: bool = False
    derived_attributes: bool = False
    compatibility_groups: bool = False
    optional_node_operations: bool = False
    node_allocatable: bool = False
    workload_claims: bool = False
    taint_comparison: bool = False
    storage_scoring: bool = True

    @property
    def settled(self) -> bool:
        """Whether upstream would use the oldest of its three allocators, which differs in small things.

        It knows nothing of capacity, and takes the counters of a pool into account on every node.
        """
        return not (
            self.consumable_capacity or self.binding_conditions or self.fractional_capacity_range or self.experimental
        )

    @property
    def experimental(self) -> bool:
        """Whether upstream would use the newest of its three allocators; the others know nothing of node operations."""
        return (
            self.list_attributes
            or self.derived_attributes
            or self.compatibility_groups
            or self.optional_node_operations
        )

    @classmethod
    def of_version(cls, minor: int) -> "Gates":
        """The defaults of Kubernetes 1.`minor`."""
        if minor >= 37:
            return cls()
        if minor == 36:
            return cls(device_taint_rules=False, storage_scoring=False)
        return cls(
            partitionable_devices=False,
            device_taints=False,
            device_taint_rules=False,
            binding_conditions=False,
            consumable_capacity=False,
            extended_resources=False,
            storage_scoring=False,
        )

    def override(self, given: Mapping[str, bool]) -> "Gates":
        """With some gates set by Kubernetes' names. Raises ConfigError for a name that is not one of them."""
        fields_by_name = {name: key for key, name in NAMES.items()}
        for name in given:
            if name not in fields_by_name:
                known = ", ".join(sorted(fields_by_name))
                raise ConfigError(f"featureGates.{name}", "is not a gate that Dovetail knows", f"known are {known}")
        return replace(self, **{fields_by_name[name]: value for name, value in given.items()})

    @classmethod
    def of_cluster(cls, minor: int | None, given: Mapping[str, bool]) -> "Gates":
        """The defaults of Kubernetes 1.`minor` (None: of the newest known), with some gates set by Kubernetes' names.

        Raises ConfigError.
        """
        found = (cls() if minor is None else cls.of_version(minor)).override(given)
        if minor is not None and minor < TAINT_RULES_APART:
            return replace(found, device_taint_rules=found.device_taints)
        return found

    @classmethod
    def from_features(cls, features: Mapping[str, bool]) -> "Gates":
        """From the names that the upstream allocator gives its features; what is not named is off.

        Taint rules are none of them, since they are applied before it runs: they go with device taints.
        """
        on = {_FEATURES.get(name, name): value for name, value in features.items()}
        off = dict.fromkeys(NAMES.values(), False)
        return cls().override({**off, "DRADeviceTaintRules": features.get("DeviceTaints", False), **on})

    def by_name(self) -> Mapping[str, bool]:
        """All gates by Kubernetes' names."""
        return {NAMES[field.name]: getattr(self, field.name) for field in fields(self)}


TAINT_RULES_APART: Final = 35  # before 1.35 the rules had no gate of their own
_FEATURES: Final = {
    "AdminAccess": "DRAAdminAccess",
    "CompatibilityGroups": "DRADeviceCompatibilityGroups",
    "ConsumableCapacity": "DRAConsumableCapacity",
    "DerivedAttributes": "DRADerivedAttributes",
    "DeviceBindingAndStatus": "DRADeviceBindingConditions",
    "DeviceTaints": "DRADeviceTaints",
    "FractionalCapacityRange": "DRAFractionalCapacityRange",
    "ListTypeAttributes": "DRAListTypeAttributes",
    "OptionalNodeOperations": "DRAOptionalNodeOperations",
    "PartitionableDevices": "DRAPartitionableDevices",
    "PrioritizedList": "DRAPrioritizedList",
}
