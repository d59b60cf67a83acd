"""What makes an object unusable: amounts that are none, lists that are none, and the like."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from scheduler.audit.subjects import CONTAINERS, SECTIONS, Subject
from scheduler.audit.tree import Fields, Items, Node, Scalar
from scheduler.core.errors import QuantityError
from scheduler.core.quantity import parse_quantity

_TEMPLATE: Final = ("spec", "template", "spec")
_PODS: Final[Mapping[str, tuple[str, ...]]] = {
    "Pod": ("spec",),
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"), _TEMPLATE),
    "CronJob": ("spec", "jobTemplate", *_TEMPLATE),
}
_OCTAL: Final = re.compile(r"[-+]?0[0-9_]+")
_UNQUOTED: Final = re.compile(r"true|false|[-+]?[0-9][0-9_.:]*([eE][-+]?[0-9]+)?", re.ASCII)


def problems(subject: Subject) -> Iterator[tuple[Node, str]]:
    """(where, what is wrong) of everything that cannot be understood, in an object of any kind."""
    for group in subject.groups:
        for use in group.uses:
            if use.amount is not None and (problem := _amount(use.amount)):
                yield use.amount, f"{subject.title}: {use.resource}: {problem}"
    if subject.kind in _PODS and subject.api_version in {"v1", "apps/v1", "batch/v1"}:
        for node, problem in _pod(subject.fields, _PODS[subject.kind]):
            yield node, f"{subject.title}: {problem}"


def _amount(amount: Scalar) -> str:
    if amount.plain and _OCTAL.fullmatch(amount.text):
        return f"{amount.text[:40]!r} is octal to Kubernetes and decimal to people: write it without leading zero"
    try:
        parse_quantity(amount.text)
    except QuantityError:
        return f"{amount.text[:40]!r} is not a quantity: give a whole number"
    return ""


def _pod(root: Fields, path: tuple[str, ...]) -> Iterator[tuple[Node, str]]:
    node: Node = root
    for depth, key in enumerate(path):
        if not isinstance(node, Fields):
            yield node, f"{'.'.join(path[:depth])} is not a mapping"
            return
        value = node.get(key)
        if value is None:
            return  # of a patch
        node = value
    if not isinstance(node, Fields):
        yield node, f"{'.'.join(path)} is not a mapping"
        return
    yield from _typed(node, {**dict.fromkeys((*CONTAINERS, "tolerations", "resourceClaims"), Items),
                             "nodeSelector": Fields, "affinity": Fields})  # fmt: skip
    for key, (_, value) in node.fields("nodeSelector").entries.items():
        if isinstance(value, Scalar) and value.plain and _UNQUOTED.fullmatch(value.text):
            yield value, f"nodeSelector {key}: {value.text[:40]} is not a text: quote it"
    for role in CONTAINERS:
        listed = node.get(role)
        for item in listed.children if isinstance(listed, Items) else ():
            if not isinstance(item, Fields):
                yield item, f"{role} holds something that is no container"
                continue
            yield from _typed(item, {"resources": Fields, "env": Items})
            yield from _typed(item.fields("resources"), {**dict.fromkeys(SECTIONS, Fields), "claims": Items})
            for section in sorted(SECTIONS):
                for resource, (_, value) in item.fields("resources", section).entries.items():
                    if not isinstance(value, Scalar):
                        yield value, f"{section}: {resource} is not a quantity: give a whole number"


def _typed(node: Fields, types: Mapping[str, type[Items] | type[Fields]]) -> Iterator[tuple[Node, str]]:
    for key, wanted in types.items():
        value = node.get(key)
        if value is not None and not isinstance(value, wanted):
            yield value, f"{key} is not a {'list' if wanted is Items else 'mapping'}"
