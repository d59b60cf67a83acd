"""Taints and tolerations."""

from collections.abc import Sequence
from typing import Final

from scheduler.cluster.wire import parts as wire
from scheduler.core.model import Taint, Toleration

TOLERATION_OPERATORS: Final = frozenset({"", "Equal", "Exists"})
"""Of requests for devices."""


def taint_of(taint: wire.Taint) -> Taint:
    """Of a node, a device or a DeviceTaintRule."""
    return Taint(taint.key, taint.value or "", taint.effect)


def toleration_of(toleration: wire.Toleration) -> Toleration:
    """Of a pod, a request or a result, whatever its operator."""
    return Toleration(
        toleration.key or "",
        toleration.operator or "",
        toleration.value or "",
        toleration.effect or "",
        toleration.toleration_seconds,
    )


def tolerations_of(
    tolerations: Sequence[wire.Toleration] | None,
    path: str,
    unsupported: list[str],
    known: frozenset[str] = TOLERATION_OPERATORS,
) -> tuple[Toleration, ...]:
    """Those of a list; an operator that is not known is noted."""
    found = tuple(toleration_of(each) for each in tolerations or ())
    for index, each in enumerate(found):
        if each.operator not in known:
            unsupported.append(f"{path}[{index}].operator {each.operator}")
    return found
