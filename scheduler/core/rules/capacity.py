"""Consumable capacity (KEP-5075): how much of each capacity of a device a request takes.

Rounding works in thousandths wherever all numbers of a range can be written so (DRAFractionalCapacityRange), else in
whole units, within 64 bits either way: what leaves that range is refused for the whole pod, as upstream does, since an
amount that cannot be represented says the request is wrong, not the device.
"""

from collections.abc import Mapping
from typing import Final

from scheduler.core.model import Device, RequestPolicy
from scheduler.core.quantity import NANO, Quantity, canonical

_MILLI: Final = NANO // 1000
_LARGEST: Final = 2**63 - 1


class UnrepresentableError(Exception):
    """A requested amount cannot be represented; the text says which and why."""


def resolve(asked: Mapping[str, Quantity] | None, device: Device, *, fractional: bool) -> Mapping[str, Quantity] | None:
    """What the request takes of every capacity of the device; None if the device cannot serve it at all.

    Names are compared as they are written: `domain/memory` is not the driver's `memory`.
    Raises UnrepresentableError.
    """
    wanted = asked or {}
    if any(name not in device.capacity for name in wanted):
        return None
    found: dict[str, Quantity] = {}
    for name, value in device.capacity.items():
        policy = device.policies.get(name)
        found[name] = _taken(wanted.get(name), value, policy, name, fractional)
        if found[name].nanos < 0:
            raise UnrepresentableError(f"capacity {name}: {found[name].text} is negative")
    for name, amount in found.items():
        if _violates(amount, device.policies.get(name), fractional):
            return None
    return found


def hindrance(asked: Mapping[str, Quantity], device: Device, *, fractional: bool) -> str:
    """Why the device can never serve the request, however little of it is in use; empty if it can, or did once.

    The text names the capacity, what is asked, and what the device has or allows.
    """
    for name in asked:
        if name not in device.capacity:
            return f"it has no capacity {name}"
    try:
        for name, value in device.capacity.items():
            policy = device.policies.get(name)
            taken = _taken(asked.get(name), value, policy, name, fractional)
            if _violates(taken, policy, fractional):
                return f"its request policy of capacity {name} does not allow {taken.text}{_allowed(policy)}"
            if taken.nanos > value.nanos:
                return f"it has {value.text} of capacity {name}, and {taken.text} would be taken"
    except UnrepresentableError as error:
        return str(error)
    return ""


def _allowed(policy: RequestPolicy | None) -> str:
    """What a policy allows, in brackets."""
    if policy is None:
        return ""
    if not policy.ranged:
        return f" (it allows {', '.join(each.text for each in policy.values)})"
    parts = (("at least", policy.minimum), ("at most", policy.maximum), ("in steps of", policy.step))
    return f" ({', '.join(f'{words} {amount.text}' for words, amount in parts if amount is not None)})"


def _taken(
    asked: Quantity | None, value: Quantity, policy: RequestPolicy | None, name: str, fractional: bool
) -> Quantity:
    if asked is None:
        return policy.default if policy is not None and policy.default is not None else value
    if policy is None:
        return asked
    if policy.ranged and policy.minimum is not None:
        return _rounded(asked, policy, name, fractional)
    return next((each for each in policy.values if asked.nanos <= each.nanos), asked)


def _rounded(asked: Quantity, policy: RequestPolicy, name: str, fractional: bool) -> Quantity:
    """Up to the next step from the minimum, spelled as the step is."""
    minimum, step = policy.minimum, policy.step
    assert minimum is not None
    if asked.nanos < minimum.nanos:
        return minimum
    if step is None:
        return asked
    unit = _MILLI if _in_milli(policy, fractional) else NANO
    if unit == _MILLI:
        if asked.nanos % _MILLI or abs(asked.nanos // _MILLI) > _LARGEST:
            raise UnrepresentableError(f"capacity {name}: {asked.text} cannot be counted in thousandths")
    elif asked.nanos > _LARGEST * NANO:
        raise UnrepresentableError(f"capacity {name}: {asked.text} is more than 2^63 - 1")
    least, each = _up(minimum.nanos, unit), _up(step.nanos, unit)
    wrong = f"capacity {name}: the step {step.text} of its range is not positive, and its driver must correct that"
    if each == 0:
        raise UnrepresentableError(wrong)
    steps = -(-(_up(asked.nanos, unit) - least) // each)
    if (unit == _MILLI or least >= 0) and steps > (_LARGEST - least) // each:
        above = f"capacity {name}: {asked.text} rounded up to the next step is more than 2^63 - 1"
        raise UnrepresentableError(above if each > 0 else wrong)
    nanos = (least + each * steps) * unit
    return Quantity(nanos, canonical(nanos, step.format))


def _violates(amount: Quantity, policy: RequestPolicy | None, fractional: bool) -> bool:
    if policy is None or (policy.default is not None and amount == policy.default):
        return False
    if policy.ranged:
        return _outside(amount, policy, fractional)
    return bool(policy.values) and all(amount.nanos != each.nanos for each in policy.values)


def _outside(amount: Quantity, policy: RequestPolicy, fractional: bool) -> bool:
    if policy.maximum is not None and amount.nanos > policy.maximum.nanos:
        return True
    if policy.step is None:
        return False
    unit = NANO
    if _in_milli(policy, fractional):
        unit = _MILLI
        if amount.nanos % _MILLI or abs(amount.nanos // _MILLI) > _LARGEST:
            return True
    step = _up(policy.step.nanos, unit)
    minimum = _up(policy.minimum.nanos, unit) if policy.minimum is not None else 0
    return step == 0 or (_up(amount.nanos, unit) - minimum) % step != 0


def _in_milli(policy: RequestPolicy, fractional: bool) -> bool:
    """Whether the range is counted in thousandths: the gate is on, and each of its numbers can be."""
    if not fractional:
        return False
    numbers = [each for each in (policy.minimum, policy.maximum, policy.step) if each is not None]
    if any(each.nanos % _MILLI or abs(each.nanos // _MILLI) > _LARGEST for each in numbers):
        return False
    return policy.step is None or policy.step.nanos >= _MILLI


def _up(nanos: int, unit: int) -> int:
    return -(-nanos // unit)
