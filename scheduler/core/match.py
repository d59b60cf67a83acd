"""Scalar matching of labels, selectors, taints and tolerations, as core/v1 defines it."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from scheduler.core.model import (
    NO_EXECUTE,
    NO_SCHEDULE,
    LabelSelector,
    Node,
    NodeSelector,
    NodeSelectorTerm,
    Requirement,
    Taint,
    Toleration,
)

COMPARISONS: Final = ("Gt", "Lt")
"""Operators of tolerations that count while the gate TaintTolerationComparisonOperators is on."""
_NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})


def _integer(text: str) -> int | None:
    """As Go's ParseInt reads it: ASCII digits with a sign, in 64 bits."""
    digits = text[1:] if text[:1] in {"+", "-"} else text
    if not (digits.isascii() and digits.isdigit()) or len(digits.lstrip("0")) > 19:
        return None
    number = int(digits.lstrip("0") or "0") * (-1 if text[0] == "-" else 1)
    return number if -(2**63) <= number < 2**63 else None


def satisfies(requirement: Requirement, value: str | None) -> bool:
    """Whether a label value (None: absent) meets a requirement. An unknown operator is met by nothing."""
    operator, values = requirement.operator, requirement.values
    if operator == "In":
        return value is not None and value in values
    if operator == "NotIn":
        return value is None or value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if operator in {"Gt", "Lt"} and value is not None and len(values) == 1:
        have, bound = _integer(value), _integer(values[0])
        if have is None or bound is None:
            return False
        return have > bound if operator == "Gt" else have < bound
    return False


def selects_labels(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches."""
    return all(satisfies(requirement, labels.get(requirement.key)) for requirement in selector.requirements)


def _term_holds(term: NodeSelectorTerm, labels: Mapping[str, str], fields: Mapping[str, str]) -> bool:
    if not term.labels and not term.fields:
        return False
    return all(satisfies(each, labels.get(each.key)) for each in term.labels) and all(
        each.key in fields and satisfies(each, fields[each.key]) for each in term.fields
    )


def admits(selector: NodeSelector | None, labels: Mapping[str, str], fields: Mapping[str, str] = _NO_FIELDS) -> bool:
    """Whether one of the terms holds for a node with these labels and fields; None admits all nodes."""
    return selector is None or any(_term_holds(term, labels, fields) for term in selector.terms)


def selects_node(selector: NodeSelector, node: Node) -> bool:
    """Whether one of the selector's terms holds for a node."""
    return admits(selector, node.labels, {"metadata.name": node.name})


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether a toleration covers a taint (core/v1 and resource/v1 agree on the rule)."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    if toleration.operator in COMPARISONS:
        have, bound = _canonical(taint.value), _canonical(toleration.value)
        if have is None or bound is None:
            return False
        return have > bound if toleration.operator == "Gt" else have < bound
    return toleration.operator in {"", "Equal"} and toleration.value == taint.value


def _canonical(text: str) -> int | None:
    """A 64-bit number without sign or zeros that say nothing, as tolerations compare them (KEP-5471)."""
    number = _integer(text)
    return number if number is not None and str(number) == text else None


def untolerated(
    taints: Iterable[Taint], tolerations: Iterable[Toleration], ours: Callable[[Taint], bool] = lambda taint: False
) -> Taint | None:
    """The first taint that keeps a pod or claim away; effects other than NoSchedule and NoExecute never do."""
    allowed = tuple(tolerations)
    for taint in taints:
        if taint.effect not in {NO_SCHEDULE, NO_EXECUTE} or ours(taint):
            continue
        if not any(tolerates(toleration, taint) for toleration in allowed):
            return taint
    return None
