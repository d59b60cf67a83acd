"""What selectors, taints, attributes and amounts of the API mean: one object at a time, in the words of its sources."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from scheduler.core.model import (
    NO_EXECUTE,
    NO_SCHEDULE,
    AttributeValue,
    Device,
    Node,
    NodeSelector,
    NodeSelectorTerm,
    RequestPolicy,
    Requirement,
    Slice,
    Taint,
    Toleration,
)
from scheduler.core.quantity import NANO, Quantity

INT64: Final = range(-(2**63), 2**63)
MILLI: Final = NANO // 1000

# ---------------------------------------------------------------- words of core/v1


def _as_int64(text: str) -> int | None:
    """A whole number as label values spell it: decimal ASCII digits, perhaps signed, that fit 64 bits."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits or len(digits) > 63:
        return None
    for character in digits:
        if character not in "0123456789":
            return None
    number = int(text)
    return number if number in INT64 else None


def label_holds(labels: Mapping[str, str], wanted: Requirement) -> bool:
    """Whether labels meet one line of a selector; an operator that nobody knows is met by none."""
    present = wanted.key in labels
    if wanted.operator == "Exists":
        return present
    if wanted.operator == "DoesNotExist":
        return not present
    if wanted.operator == "In":
        return present and labels[wanted.key] in wanted.values
    if wanted.operator == "NotIn":
        return not present or labels[wanted.key] not in wanted.values
    if wanted.operator in ("Gt", "Lt"):
        if not present or len(wanted.values) != 1:
            return False
        have = _as_int64(labels[wanted.key])
        bound = _as_int64(wanted.values[0])
        if have is None or bound is None:
            return False
        return have > bound if wanted.operator == "Gt" else have < bound
    return False


def _field_holds(node: Node, wanted: Requirement) -> bool:
    """metadata.name is the only field, and takes exactly one value."""
    if wanted.key != "metadata.name" or len(wanted.values) != 1:
        return False
    if wanted.operator == "In":
        return node.name == wanted.values[0]
    if wanted.operator == "NotIn":
        return node.name != wanted.values[0]
    return False


def _term_selects(term: NodeSelectorTerm, node: Node) -> bool:
    if not term.labels and not term.fields:
        return False
    labels_hold = all(label_holds(node.labels, wanted) for wanted in term.labels)
    fields_hold = all(_field_holds(node, wanted) for wanted in term.fields)
    return labels_hold and fields_hold


def node_selected(selector: NodeSelector, node: Node) -> bool:
    """Whether one term of a selector holds."""
    return any(_term_selects(term, node) for term in selector.terms)


def _strict_int64(text: str) -> int | None:
    """A number spelled in the one way in which people write it."""
    number = _as_int64(text)
    return None if number is None or text != f"{number:d}" else number


def _covers(toleration: Toleration, taint: Taint, *, compare: bool) -> bool:
    if toleration.effect not in ("", taint.effect):
        return False
    if toleration.key not in ("", taint.key):
        return False
    if toleration.operator == "Exists":
        return True
    if toleration.operator in ("", "Equal"):
        return toleration.value == taint.value
    if compare and toleration.operator in ("Gt", "Lt"):
        limit, value = _strict_int64(toleration.value), _strict_int64(taint.value)
        if limit is not None and value is not None:
            return limit < value if toleration.operator == "Gt" else value < limit
    return False


def keeps_off(taint: Taint, tolerations: Iterable[Toleration], *, compare: bool = False) -> bool:
    """Whether a taint forbids scheduling and none of these tolerates it; other effects, None too, forbid nothing."""
    return taint.effect in (NO_SCHEDULE, NO_EXECUTE) and not tolerated(taint, tolerations, compare=compare)


def tolerated(taint: Taint, tolerations: Iterable[Toleration], *, compare: bool = False) -> bool:
    """Whether one of these tolerates a taint, of a node or of a device; compare : Gt and Lt count (KEP-5471)."""
    return any(_covers(toleration, taint, compare=compare) for toleration in tolerations)


# ---------------------------------------------------------------- where devices are


def targets(item: Slice, node: Node) -> bool:
    """Whether devices of a slice can be used on a node; of a slice that says so in an unknown way, none can."""
    if item.node_name is not None:
        return item.node_name == node.name
    if item.all_nodes:
        return True
    if item.node_selector is not None:
        return node_selected(item.node_selector, node)
    if item.per_device:
        return any(reaches(item, device, node) for device in item.devices)
    return False


def reaches(item: Slice, device: Device, node: Node) -> bool:
    """Whether a device of a slice for the node can be used there itself."""
    if not item.per_device:
        return True
    if device.node_name is not None:
        return device.node_name == node.name
    if device.all_nodes:
        return True
    return device.node_selector is not None and node_selected(device.node_selector, node)


# ---------------------------------------------------------------- attributes


def published(driver: str, device: Device, full_name: str) -> AttributeValue | None:
    """The attribute of that name; one published without a domain is in the driver's domain."""
    if full_name in device.attributes:
        return device.attributes[full_name]
    domain, _, short = full_name.partition("/")
    if domain == driver and short in device.attributes:
        return device.attributes[short]
    return None


def unmatched(values: Sequence[AttributeValue], *, lists: bool) -> int | None:
    """The first of these that matchAttribute refuses beside those before it, None if it takes them all.

    lists : whether list attributes are on. While they are off, a device that has a list stands alone or not at all.
    """
    if not lists:
        for position, value in enumerate(values[1:], 1):
            if isinstance(value, tuple) or type(value) is not type(values[0]) or value != values[0]:
                return position
        return None
    common: set[object] = set()
    for position, value in enumerate(values):
        own = _with_types(value)
        common = own if position == 0 else common & own
        if not common:
            return position
    return None


def undistinguished(values: Sequence[AttributeValue], *, lists: bool) -> int | None:
    """The first of these that distinctAttribute refuses beside those before it, None if it takes them all."""
    for position, value in enumerate(values):
        if lists and not _with_types(value):
            return position
        for other in values[:position]:
            if not lists and isinstance(value, tuple):
                return position
            if _with_types(value) & _with_types(other) and (lists or not isinstance(other, tuple)):
                return position
    return None


def _with_types(value: AttributeValue) -> set[object]:
    """As a set, a single value as a set of one: 1, True and "1" are three values; versions compare as text."""
    parts = value if isinstance(value, tuple) else (value,)
    return {(type(part), part) for part in parts}


# ---------------------------------------------------------------- amounts


class UnrepresentableError(Exception):
    """An amount that upstream refuses for the whole pod, whatever other devices there are."""


def resolved(
    asked: Mapping[str, Quantity] | None, device: Device, *, fractional: bool
) -> Mapping[str, Quantity] | None:
    """What a request takes of every capacity of a device; None if the device cannot serve it even when it is unused.

    fractional : whether DRAFractionalCapacityRange is on. Raises UnrepresentableError.
    """
    wanted = asked or {}
    for name in wanted:
        if name not in device.capacity:  # as it is spelled: a name with the driver's domain is another name
            return None
    amounts: dict[str, Quantity] = {}
    for name, value in device.capacity.items():
        amount = _taken(wanted.get(name), value, device.policies.get(name), fractional)
        if amount.nanos < 0:
            raise UnrepresentableError(f"capacity {name}: {amount.text} is negative")
        amounts[name] = amount
    for name, amount in amounts.items():
        policy = device.policies.get(name)
        if policy is not None and not _allowed(amount, policy, fractional):
            return None
        if amount > device.capacity[name]:
            return None
    return amounts


def _taken(asked: Quantity | None, value: Quantity, policy: RequestPolicy | None, fractional: bool) -> Quantity:
    if asked is None:
        return policy.default if policy is not None and policy.default is not None else value
    if policy is None:
        return asked
    if policy.minimum is not None:
        if asked < policy.minimum:
            return policy.minimum
        if policy.step is None:
            return asked
        return _stepped(asked, policy.minimum, policy.step, policy, fractional)
    for listed in policy.values:
        if asked <= listed:
            return listed
    return asked


def _stepped(asked: Quantity, minimum: Quantity, step: Quantity, policy: RequestPolicy, fractional: bool) -> Quantity:
    """The smallest minimum + n * step that is enough, in 64 bits of thousandths or of whole units."""
    unit = _unit(policy, fractional)
    if unit == MILLI and not _in_milli(asked):
        raise UnrepresentableError(f"{asked.text} has no 64-bit number of thousandths")
    want, least, width = _units(asked, unit), _units(minimum, unit), _units(step, unit)
    if width <= 0:
        raise UnrepresentableError(f"step {step.text} is no step")
    enough = least + (want - least + width - 1) // width * width
    if enough > INT64[-1]:
        raise UnrepresentableError(f"{asked.text} rounded up to a step is more than 64 bits hold")
    return Quantity(enough * unit, f"{enough}{'m' if unit == MILLI else ''}")


def _allowed(amount: Quantity, policy: RequestPolicy, fractional: bool) -> bool:
    if policy.default is not None and amount == policy.default:
        return True
    if policy.ranged:
        if policy.maximum is not None and amount > policy.maximum:
            return False
        if policy.step is None:
            return True
        unit = _unit(policy, fractional)
        if unit == MILLI and not _in_milli(amount):
            return False
        least = _units(policy.minimum, unit) if policy.minimum is not None else 0
        width = _units(policy.step, unit)
        return width != 0 and (_units(amount, unit) - least) % width == 0
    if policy.values:
        return any(amount == listed for listed in policy.values)
    return True


def _unit(policy: RequestPolicy, fractional: bool) -> int:
    """In which unit a range with a step counts, in nano-units: thousandths if all of its numbers are such."""
    numbers = [number for number in (policy.minimum, policy.maximum, policy.step) if number is not None]
    return MILLI if fractional and all(_in_milli(number) for number in numbers) else NANO


def _in_milli(amount: Quantity) -> bool:
    return amount.nanos % MILLI == 0 and amount.nanos // MILLI in INT64


def _units(amount: Quantity, unit: int) -> int:
    """Rounded up."""
    return -(-amount.nanos // unit)


# ---------------------------------------------------------------- compatibility groups


def compatible(members: Sequence[tuple[str, ...]], groups: tuple[str, ...]) -> bool:
    """Whether a device with these groups may join the devices that draw from a counter set already (KEP-5963).

    Those without groups keep to themselves; all others must have a group in common, not only in pairs.
    """
    if not members:
        return True
    if not groups or not members[0]:
        return not groups and not members[0]
    common = set(members[0])
    for member in members:
        if member:
            common &= set(member)
    return bool(common & set(groups))


# ---------------------------------------------------------------- node selectors of allocations

Lines = set[tuple[str, str, str, frozenset[str]]]
"""A term without regard to order: what, key, operator, values."""


def lines(term: NodeSelectorTerm) -> Lines:
    """The requirements of a term."""
    labels = {("label", wanted.key, wanted.operator, frozenset(wanted.values)) for wanted in term.labels}
    fields = {("field", wanted.key, wanted.operator, frozenset(wanted.values)) for wanted in term.fields}
    return labels | fields


def spell(requirements: Lines) -> str:
    """Requirements in words."""
    words = [f"{what} {key} {operator} {sorted(values)}" for what, key, operator, values in requirements]
    return " and ".join(sorted(words)) if words else "every node is"
