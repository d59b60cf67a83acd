"""Gates have Kubernetes' names and defaults (`pkg/features/kube_features.go` of v1.37.2)."""

from dataclasses import fields

import pytest

from scheduler.core.errors import ConfigError
from scheduler.core.gates import Gates

# First release with the gate on by default; None is off in 1.37, too.
SINCE = {
    "DRAAdminAccess": 34,
    "DRAPrioritizedList": 34,
    "DRAPartitionableDevices": 36,
    "DRADeviceTaints": 36,
    "DRADeviceBindingConditions": 36,
    "DRAConsumableCapacity": 36,
    "DRAExtendedResource": 36,
    "DRADeviceTaintRules": 37,
    "DRAFractionalCapacityRange": None,  # on only with --min-compatibility-version=1.37
    "DRAListTypeAttributes": None,
    "DRADerivedAttributes": None,
    "DRADeviceCompatibilityGroups": None,
    "DRAOptionalNodeOperations": None,
    "DRANodeAllocatableResources": None,
    "DRAWorkloadResourceClaims": None,
    "TaintTolerationComparisonOperators": None,
    "StorageCapacityScoring": 37,
}


@pytest.mark.parametrize("minor", [34, 35, 36, 37, 38])
def test_each_release_has_its_defaults(minor):
    expected = {name: since is not None and minor >= since for name, since in SINCE.items()}

    assert Gates.of_version(minor).by_name() == expected


def test_the_defaults_are_those_of_the_newest_release_known():
    assert Gates() == Gates.of_version(37)
    assert len(Gates().by_name()) == len(fields(Gates))


@pytest.mark.parametrize("name", sorted(SINCE))
def test_every_gate_can_be_turned_over_by_its_name_and_leaves_the_others_alone(name):
    before = Gates().by_name()

    after = Gates().override({name: not before[name]}).by_name()

    assert {other for other in after if after[other] != before[other]} == {name}


def test_a_gate_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ConfigError, match=r"featureGates\.DRAMagic.*known are DRAAdminAccess, .*DRAWorkloadResource"):
        Gates().override({"DRAMagic": True})


def test_the_features_of_the_upstream_allocator_are_gates_and_what_is_not_named_is_off():
    found = Gates.from_features({"DeviceBindingAndStatus": True, "ListTypeAttributes": True, "DeviceTaints": False})

    assert {name for name, on in found.by_name().items() if on} == {
        "DRADeviceBindingConditions",
        "DRAListTypeAttributes",
    }


def test_taint_rules_go_with_the_device_taints_of_the_upstream_allocator():
    found = Gates.from_features({"DeviceTaints": True})

    assert (found.device_taints, found.device_taint_rules) == (True, True)
    assert not Gates.from_features({"DeviceTaints": True, "DRADeviceTaintRules": False}).device_taint_rules


def test_every_feature_of_the_upstream_allocator_is_known():
    names = [
        "AdminAccess", "CompatibilityGroups", "ConsumableCapacity", "DerivedAttributes", "DeviceBindingAndStatus",
        "DeviceTaints", "FractionalCapacityRange", "ListTypeAttributes", "OptionalNodeOperations",
        "PartitionableDevices", "PrioritizedList",
    ]  # fmt: skip

    found = Gates.from_features(dict.fromkeys(names, True)).by_name()

    assert {name for name, on in found.items() if not on} == {
        "DRAExtendedResource",
        "DRANodeAllocatableResources",
        "DRAWorkloadResourceClaims",
        "TaintTolerationComparisonOperators",
        "StorageCapacityScoring",
    }


def test_a_feature_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="Teleportation"):
        Gates.from_features({"Teleportation": True})
