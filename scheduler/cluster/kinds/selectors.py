"""Selectors of nodes, of labels and of devices.

What a selector may not say is added to `unsupported`, with its path: whoever reads it decides what that means.
"""

import re
from collections.abc import Sequence
from typing import Final

from scheduler.cluster.kinds.fields import FieldError
from scheduler.cluster.wire import parts as wire
from scheduler.core.model import LabelSelector, NodeSelector, NodeSelectorTerm, Requirement

NODE_OPERATORS: Final = frozenset({"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"})
LABEL_OPERATORS: Final = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})
_LABEL_NAME: Final = re.compile(r"(?=.{1,63}$)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_LABEL_DOMAIN: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def node_selector_of(raw: wire.NodeSelector | None, path: str, unsupported: list[str]) -> NodeSelector | None:
    """None selects every node, and one without terms none."""
    if raw is None:
        return None
    terms = raw.node_selector_terms or ()
    return NodeSelector(
        tuple(node_term_of(term, f"{path}.nodeSelectorTerms[{index}]", unsupported) for index, term in enumerate(terms))
    )


def node_term_of(raw: wire.NodeSelectorTerm, path: str, unsupported: list[str]) -> NodeSelectorTerm:
    """What labels and fields of a node have to be; without any of both it selects none."""
    return NodeSelectorTerm(
        _requirements(raw.match_expressions, NODE_OPERATORS, f"{path}.matchExpressions", unsupported),
        _requirements(raw.match_fields, NODE_OPERATORS, f"{path}.matchFields", unsupported),
    )


def label_selector_of(raw: wire.LabelSelector | None, path: str, unsupported: list[str]) -> LabelSelector | None:
    """None selects nothing."""
    if raw is None:
        return None
    found = [Requirement(key, "In", (value,)) for key, value in sorted((raw.match_labels or {}).items())]
    for key, value in (raw.match_labels or {}).items():
        _check_label(f"{path}.matchLabels", key, (value,), unsupported)
    expressions = _requirements(raw.match_expressions, LABEL_OPERATORS, f"{path}.matchExpressions", unsupported)
    for index, each in enumerate(expressions):
        at = f"{path}.matchExpressions[{index}]"
        _check_label(at, each.key, each.values, unsupported)
        if each.operator in {"In", "NotIn"} and not each.values:
            unsupported.append(f"{at}.operator {each.operator} without values")
        if each.operator in {"Exists", "DoesNotExist"} and each.values:
            unsupported.append(f"{at}.operator {each.operator} with values")
    return LabelSelector((*found, *expressions))


def strict_label_selector_of(raw: wire.LabelSelector | None, path: str) -> LabelSelector | None:
    """Where kube-scheduler takes what it cannot read for an error. Raises FieldError."""
    unsupported: list[str] = []
    found = label_selector_of(raw, path, unsupported)
    if unsupported:
        raise FieldError(path, f"is no selector of labels: {'; '.join(unsupported)}")
    return found


def device_selectors_of(raw: Sequence[wire.Selector] | None, path: str, unsupported: list[str]) -> tuple[str, ...]:
    """CEL expressions, all of which a device has to meet."""
    found = []
    for index, selector in enumerate(raw or ()):
        if selector.cel is None:
            unsupported.append(f"{path}[{index}] without cel, the only kind of selector that is known")
        else:
            found.append(selector.cel.expression)
    return tuple(found)


def _requirements(
    raw: Sequence[wire.Expression] | None, known: frozenset[str], path: str, unsupported: list[str]
) -> tuple[Requirement, ...]:
    found = tuple(Requirement(each.key, each.operator, tuple(each.values or ())) for each in raw or ())
    for index, each in enumerate(found):
        if each.operator not in known:
            unsupported.append(f"{path}[{index}].operator {each.operator or '(none)'}")
    return found


def _check_label(path: str, key: str, values: Sequence[str], unsupported: list[str]) -> None:
    domain, _, name = key.rpartition("/")
    if not _LABEL_NAME.fullmatch(name) or ("/" in key and not _LABEL_DOMAIN.fullmatch(domain)):
        unsupported.append(f"{path} with {key!r}, which is not the key of a label")
    for value in values:
        if value and not _LABEL_NAME.fullmatch(value):
            unsupported.append(f"{path} with {value!r}, which is not the value of a label")
