"""What a driver has prepared on its node, and whether one claim more is possible: the last word against double use.

Shares nothing with the scheduler, which decided before: a claim that is refused here is a fault of the scheduler.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

Raw = dict[str, Any]
_SUFFIXES = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip


def amount(text: str) -> Decimal:
    """A quantity of the API, such as 40Gi or 500m."""
    if text.endswith("m"):
        return Decimal(text[:-1]) / 1000
    number = text.rstrip("kMGTPEi")
    return Decimal(number) * _SUFFIXES[text[len(number) :]]


def overused(slices: Iterable[Raw], claims: Mapping[str, Iterable[Raw]]) -> list[str]:
    """What more is used of than there is, empty where all is well.

    slices : the ResourceSlices of one driver on one node.
    claims : claim -> its allocation results for that driver.
    """
    devices = {device["name"]: device for part in slices for device in part["spec"].get("devices", ())}
    sets = {each["name"]: each["counters"] for part in slices for each in part["spec"].get("sharedCounters", ())}
    users: dict[str, list[str]] = {}
    drawn: Counter[tuple[str, str]] = Counter()
    taken: Counter[tuple[str, str]] = Counter()
    faults = []
    for claim, results in claims.items():
        for result in results:
            name = result["device"]
            if name not in devices:
                faults.append(f"{claim}: device {name} is not published")
                continue
            if result.get("adminAccess"):
                continue
            users.setdefault(name, []).append(claim)
            for capacity, used in result.get("consumedCapacity", {}).items():
                taken[name, capacity] += amount(used)  # type: ignore[assignment]
    for name, holders in users.items():
        device = devices[name]
        if len(holders) > 1 and not device.get("allowMultipleAllocations"):
            faults.append(f"device {name}: of {' and '.join(sorted(holders))}")
        for use in device.get("consumesCounters", ()):
            for counter, used in use["counters"].items():
                drawn[use["counterSet"], counter] += amount(used["value"])  # type: ignore[assignment]
    for (name, capacity), used in taken.items():
        there = amount(devices[name]["capacity"][capacity]["value"])
        if used > there:
            faults.append(f"device {name}: {used} of {there} {capacity}")
    for (name, counter), used in drawn.items():
        there = amount(sets[name][counter]["value"])
        if used > there:
            faults.append(f"counters {name}: {used} of {there} {counter}")
    return faults
