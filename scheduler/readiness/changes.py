"""What Dynamic Resource Allocation lets people change while pods run, and what it does not.

Sources: `pkg/apis/resource/validation`, `pkg/apis/core/validation` and the device taint eviction controller of
Kubernetes v1.37.2; KEP-4381, KEP-5055, KEP-4815 and KEP-5075.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from scheduler.readiness.facts import Facts

Answer = Literal["yes", "no", "new pods only", "not here", "not known"]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that one may want to change. gate : without which it cannot be done, empty for none."""

    what: str
    answer: Answer
    how: str
    gate: str = ""


_CHANGES: Final = (
    Change("the devices of a running pod", "no", "a pod's resourceClaims and a claim's allocation stay as they are"),
    Change("spec of a ResourceClaim or ResourceClaimTemplate", "no", "both are immutable: make another, and new pods"),
    Change("how much of a shared device a claim has", "no", "what a share consumes is part of its allocation",
           "DRAConsumableCapacity"),
    Change("the size of a part of a GPU that is in use", "no",
           "the part belongs to its claim until that is freed; free counters can be cut otherwise at once",
           "DRAPartitionableDevices"),
    Change("a driver's configuration of a device in use (time slices, MPS)", "no",
           "opaque parameters are copied into the allocation"),
    Change("cpu and memory of a running pod", "yes", "by its subresource resize; its claims stay as they are"),
    Change("who shares a claim", "yes", "further pods of its namespace join it, at most 256 at a time"),
    Change("selectors and config of a DeviceClass", "new pods only", "allocations keep what they were made with"),
    Change("which resource name a DeviceClass serves", "new pods only", "extendedResourceName can be set and changed",
           "DRAExtendedResource"),
    Change("what a driver publishes", "new pods only",
           "slices may change at any time; a device that goes stays allocated until its pods end"),
    Change("keeping new pods off a device", "yes", "taint NoSchedule, by the driver", "DRADeviceTaints"),
    Change("keeping new pods off devices by an admin's rule", "yes", "a DeviceTaintRule with NoSchedule",
           "DRADeviceTaintRules"),
    Change("getting pods off a device", "yes", "taint or rule with NoExecute: pods without a toleration are evicted",
           "DRADeviceTaints"),
    Change("the release of a driver", "yes", "running pods keep their devices; follow the driver's notes on upgrades"),
    Change("weights and profiles of Dovetail", "yes", "they count from the next decision on; nothing is moved"),
)  # fmt: skip
Rule = Callable[[Facts], Change]


def changes(facts: Facts) -> tuple[Change, ...]:
    """What may be changed in this cluster, with what its gates rule out."""
    return tuple(_here(facts, each) for each in _CHANGES)


def _here(facts: Facts, change: Change) -> Change:
    if not change.gate or change.answer == "no":
        return change
    found = facts.gate(change.gate)
    if found.usable:
        return change
    answer: Answer = "not known" if found.usable is None or found.state == "presumed off" else "not here"
    return Change(change.what, answer, f"{change.how}; {change.gate} is {found.state}", change.gate)
