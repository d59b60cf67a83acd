"""What is said against a device, by taints and by its driver."""

from collections.abc import Iterable
from typing import Final

from scheduler.core.model import NO_EXECUTE, NO_SCHEDULE, Device, Taint
from scoring.flaws import Flaw

# Intel's drivers publish these (`healthy` of Gaudi, `health` of GPUs), and no other known driver uses the names.
_HEALTHY: Final = ("healthy", "health")
_BAD: Final = frozenset({"false", "unhealthy"})


def flaw(driver: str, device: Device, taints: Iterable[Taint]) -> Flaw:
    """The worst that is said against a device. taints : its own and those that rules add, without our own key.

    Whether a pod tolerates them does not matter: it is only asked about devices that the pod can have.
    """
    found = max((_of_taint(taint) for taint in taints), default=Flaw.NONE)
    for name in _HEALTHY:
        value = device.attributes.get(name, device.attributes.get(f"{driver}/{name}"))
        if isinstance(value, bool | str) and str(value).casefold() in _BAD:
            return Flaw.BROKEN
    return found


def _of_taint(taint: Taint) -> Flaw:
    return {NO_SCHEDULE: Flaw.REPELLING, NO_EXECUTE: Flaw.EVICTING}.get(taint.effect, Flaw.NOTED)
