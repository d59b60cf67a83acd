"""Binding conditions: what a driver must have said of an allocated device before its pod may be bound (KEP-5007).

An allocation copies the names of the conditions from the device, and the driver reports them in status.devices of the
claim. All must be True; one failure condition that is True, or too long a wait, spoils the allocation.
"""

import calendar
import re
from dataclasses import dataclass
from typing import Final

from scheduler.core.model import Claim, DeviceStatus, Result

AVOID_S: Final = 120.0  # how long a device that failed a pod is left alone
_RFC3339: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?Z")


@dataclass(frozen=True, slots=True)
class Finding:
    """What stands between a device and its pod: which device, and in words, why."""

    device: tuple[str, str, str]
    text: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Of an allocated claim: devices that failed for good, and devices whose driver has not said all yet."""

    failed: tuple[Finding, ...] = ()
    pending: tuple[Finding, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.failed and not self.pending


def standing(claim: Claim) -> Standing:
    """How far the drivers are with the devices of a claim."""
    failed: list[Finding] = []
    pending: list[Finding] = []
    for result in claim.allocation.results if claim.allocation else ():
        if not result.binding_conditions:
            continue
        status = _status(claim, result)
        said = status.conditions if status is not None else {}
        device = f"device {'/'.join(result.identity)}"
        bad = [name for name in result.binding_failures if said.get(name) == "True"]
        missing = [name for name in result.binding_conditions if said.get(name) != "True"]
        if bad:
            failed.append(Finding(result.identity, f"{device} has the binding failure condition {bad[0]}"))
        elif missing:
            pending.append(Finding(result.identity, f"{device} lacks the binding condition {missing[0]}"))
    return Standing(tuple(failed), tuple(pending))


def _status(claim: Claim, result: Result) -> DeviceStatus | None:
    """The entry of a result: that of its share, else the first of its device, as kube-scheduler takes it."""
    entries = [each for each in claim.devices if (each.driver, each.pool, each.device) == result.identity]
    own = [each for each in entries if each.share_id == result.share_id]
    return next(iter([*own, *entries]), None)


def seconds(timestamp: str) -> float | None:
    """An RFC 3339 time in UTC as seconds since 1970; None for what is not one."""
    found = _RFC3339.fullmatch(timestamp)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    return calendar.timegm((year, month, day, hour, minute, second, 0, 0, 0)) + float(found[7] or 0)
