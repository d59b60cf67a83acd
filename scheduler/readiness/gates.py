"""Which feature gates of Dynamic Resource Allocation are on, and from what that is known.

Defaults and stages: `pkg/features/kube_features.go` of Kubernetes v1.37.2, whose entries give the older releases too.
Which fields a gate keeps from being stored: `pkg/registry/resource/*/strategy.go`; which kinds are served only while it
is on: `pkg/registry/scheduling/rest`. DeviceTaintRules are served whether their gate is on or not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from scheduler.core.gates import NAMES, Gates
from scheduler.core.model import Device, Slice
from scheduler.readiness.record import Record

State = Literal["on", "off", "presumed on", "presumed off", "unknown"]
OLDEST: Final = 34
NEWEST: Final = 37
"""Minor versions that the table knows."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate. stages : (first minor version, stage, default, locked), oldest first. kinds : served only while it is on.

    field : type and field of the API that came with it. shown : what stored objects that use it show.
    """

    name: str
    stages: tuple[tuple[int, str, bool, bool], ...]
    field: tuple[str, str] = ("", "")
    kinds: tuple[str, ...] = ()
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a gate. basis : metrics, version, fields, kinds, objects, default or nothing."""

    name: str
    state: State
    stage: str
    basis: str
    why: str

    @property
    def certain(self) -> bool:
        """Whether it follows from more than a default or from what is stored."""
        return self.state in {"on", "off"}

    @property
    def usable(self) -> bool | None:
        """Whether it is on, as far as can be presumed; None if nothing is known."""
        return None if self.state == "unknown" else self.state.endswith("on")


GATES: Final = (
    Gate("DynamicResourceAllocation", ((34, "GA", True, False), (35, "GA", True, True))),
    Gate(
        "DRAPrioritizedList",
        ((34, "beta", True, False), (36, "GA", True, False), (37, "GA", True, True)),
        ("DeviceRequest", "firstAvailable"),
    ),
    Gate("DRAAdminAccess", ((34, "beta", True, False), (36, "GA", True, True)), ("ExactDeviceRequest", "adminAccess")),
    Gate(
        "DRAResourceClaimDeviceStatus",
        ((34, "beta", True, False), (37, "GA", True, True)),
        ("ResourceClaimStatus", "devices"),
    ),
    Gate(
        "DRAExtendedResource",
        ((34, "alpha", False, False), (36, "beta", True, False), (37, "GA", True, True)),
        ("DeviceClassSpec", "extendedResourceName"),
        shown="extendedResourceName",
    ),
    Gate(
        "DRAPartitionableDevices",
        ((34, "alpha", False, False), (36, "beta", True, False)),
        ("Device", "consumesCounters"),
        shown="shared counters",
    ),
    Gate(
        "DRAConsumableCapacity",
        ((34, "alpha", False, False), (36, "beta", True, False)),
        ("Device", "allowMultipleAllocations"),
        shown="allowMultipleAllocations",
    ),
    # On from minimum compatibility version 1.37 on, which 1.37 itself does not have by default.
    Gate("DRAFractionalCapacityRange", ((37, "beta", False, False),)),
    Gate(
        "DRADeviceTaints",
        ((34, "alpha", False, False), (36, "beta", True, False), (37, "GA", True, False)),
        ("Device", "taints"),
        shown="device taints",
    ),
    Gate("DRADeviceTaintRules", ((35, "alpha", False, False), (36, "beta", False, False), (37, "GA", True, False))),
    Gate(
        "DRADeviceBindingConditions",
        ((34, "alpha", False, False), (36, "beta", True, False)),
        ("Device", "bindingConditions"),
        shown="bindingConditions",
    ),
    Gate("DRAListTypeAttributes", ((36, "alpha", False, False),), ("DeviceAttribute", "ints"), shown="list attributes"),
    Gate("DRANodeAllocatableResources", ((36, "alpha", False, False),), shown="resources of nodes that devices take"),
    Gate(
        "DRADeviceCompatibilityGroups",
        ((37, "alpha", False, False),),
        ("DeviceCounterConsumption", "compatibilityGroups"),
        shown="compatibilityGroups",
    ),
    Gate("DRADerivedAttributes", ((37, "alpha", False, False),), ("ExactDeviceRequest", "derivedAttributes")),
    Gate(
        "DRAOptionalNodeOperations",
        ((37, "alpha", False, False),),
        ("ResourceSliceSpec", "skipNodeOperations"),
        shown="skipNodeOperations",
    ),
    Gate(
        "GenericWorkload",
        ((35, "alpha", False, False), (37, "beta", False, False)),
        kinds=("PodGroup", "Workload"),
    ),
    Gate("DRAWorkloadResourceClaims", ((36, "alpha", False, False), (37, "beta", False, False))),
    Gate("TaintTolerationComparisonOperators", ((35, "alpha", False, False),)),
    Gate("StorageCapacityScoring", ((34, "alpha", False, False), (37, "beta", True, False))),
)


def known(record: Record) -> tuple[Known, ...]:
    """Every gate of the table."""
    stored = set(_stored(record))
    return tuple(_known(gate, record, stored) for gate in GATES)


def on_by_default(name: str) -> int | None:
    """The first minor version of Kubernetes in which a gate is on by default; None if it is in none."""
    return next((each[0] for gate in GATES if gate.name == name for each in gate.stages if each[2]), None)


def overrides(record: Record, gates: tuple[Known, ...]) -> dict[str, bool]:
    """Gates that Dovetail would take for something else than the API server has, for `featureGates` of its config."""
    if record.minor is None:
        return {}
    assumed = Gates.of_cluster(record.minor, {}).by_name()
    names = set(NAMES.values())
    return {
        each.name: each.state == "on"
        for each in gates
        if each.certain and each.name in names and assumed[each.name] != (each.state == "on")
    }


def stage(gate: Gate, minor: int) -> tuple[int, str, bool, bool] | None:
    """The entry of a gate in 1.minor; None where the gate is not there yet."""
    return next((each for each in reversed(gate.stages) if each[0] <= minor), None)


def _known(gate: Gate, record: Record, stored: set[str]) -> Known:
    minor = record.minor
    entry = stage(gate, min(minor, NEWEST)) if minor is not None and minor >= OLDEST else None
    name = entry[1] if entry is not None else ""

    def found(state: State, basis: str, why: str) -> Known:
        return Known(gate.name, state, name, basis, why)

    if record.features is not None and gate.name in record.features:
        on = record.features[gate.name]
        return found("on" if on else "off", "metrics", "/metrics of the API server says so")
    if minor is not None and OLDEST <= minor <= NEWEST:
        if entry is None:
            return found("off", "version", f"came with Kubernetes 1.{gate.stages[0][0]}")
        if entry[3]:
            return found("on", "version", f"cannot be turned off in 1.{minor}")
    holder, name_of = gate.field
    if name_of and record.fields and holder in record.fields and name_of not in record.fields[holder]:
        return found("off", "fields", f"the API of this server has no {holder}.{name_of}")
    served = [kind for kind in gate.kinds if record.apis and any(kind in kinds for kinds in record.apis.values())]
    if served:
        return found("on", "kinds", f"{served[0]} is served, which is only so while it is on")
    if gate.name in stored:
        return found("presumed on", "objects", f"{gate.shown} are stored: it was on when they were written")
    if entry is not None and minor is not None and minor <= NEWEST:
        on = entry[2]
        turned = f"unless somebody turned it {'off' if on else 'on'}"
        return found("presumed on" if on else "presumed off", "default", f"default of 1.{minor}, {turned}")
    if minor is None:
        return found("unknown", "nothing", "the version of Kubernetes is not known")
    return found("unknown", "nothing", f"Kubernetes 1.{minor} is not in the table, which ends with 1.{NEWEST}")


def _stored(record: Record) -> Iterator[str]:
    """Gates that stored objects need."""
    if any(each.extended_resource for each in record.classes):
        yield "DRAExtendedResource"
    for item in record.slices:
        if item.counter_sets or item.per_device:
            yield "DRAPartitionableDevices"
        if item.skip_operations:
            yield "DRAOptionalNodeOperations"
        for device in item.devices:
            yield from _needed(item, device)


def _needed(item: Slice, device: Device) -> Iterator[str]:
    if device.taints:
        yield "DRADeviceTaints"
    if device.consumes:
        yield "DRAPartitionableDevices"
        if any(use.groups for use in device.consumes):
            yield "DRADeviceCompatibilityGroups"
    if device.shareable or device.policies:
        yield "DRAConsumableCapacity"
    if device.binding_conditions or device.binds_to_node:
        yield "DRADeviceBindingConditions"
    if device.allocatable:
        yield "DRANodeAllocatableResources"
    if any(isinstance(value, tuple) and value for value in device.attributes.values()):
        yield "DRAListTypeAttributes"
