"""Where pods want to run: node labels that tell of devices, and taints of device nodes."""

import re
from collections.abc import Iterator
from typing import Final

from scheduler.audit.labels import Requirement, cel_of, impossible_memory, impossible_product, sort_of, unshared
from scheduler.audit.rules.base import Context, Hit
from scheduler.audit.subjects import Subject

_TAINTS: Final = re.compile(
    r"(nvidia\.com|amd\.com|gpu\.intel\.com|habana\.ai|google\.com|aws\.amazon\.com|gpu\.nvidia\.com)/.+"
    r"|sku|gpu|kubernetes\.azure\.com/(gpu|accelerator).*|k8s\.amazonaws\.com/accelerator"
)
_SKU: Final = frozenset({"gpu", "true", "present", ""})


def _shown(requirement: Requirement) -> str:
    if requirement.operator == "In" and len(requirement.values) == 1:
        return f"{requirement.key}={requirement.values[0]}"
    return f"{requirement.key} {requirement.operator} {', '.join(requirement.values)}".strip()


def _said(requirement: Requirement) -> str:
    cel = cel_of(requirement)
    if not cel:
        return ""
    return f"In CEL: {cel}" + (" (a preference: use firstAvailable)." if requirement.preferred else "")


def selectors(subject: Subject, _context: Context) -> Iterator[Hit]:
    """SEL001 to SEL006, and DP003 for labels of shared GPUs."""
    if subject.dra:  # of a ResourceSlice, written by a driver
        return
    devices = any(group.uses or group.claims for group in subject.groups)
    for each in subject.asked:
        requirement = each.requirement
        sort, shown = sort_of(requirement.key), _shown(requirement)
        if sort == "memory":
            problem = impossible_memory(requirement)
            if problem:
                yield Hit("SEL005", each.node, f"{shown}: {problem}", _said(requirement))
            else:
                yield Hit("SEL004", each.node, shown, _said(requirement))
        elif sort == "attribute":
            problem = impossible_product(requirement) if requirement.operator == "In" else ""
            if problem:
                yield Hit("SEL005", each.node, f"{shown}: {problem}", _said(requirement))
            else:
                yield Hit("SEL001", each.node, shown, _said(requirement))
            if any("-SHARED" in value for value in requirement.values):
                yield Hit("DP003", each.node, shown)
        elif sort == "sharing":
            yield Hit("SEL006" if unshared(requirement) else "DP003", each.node, shown)
        elif sort == "cloud":
            yield Hit("SEL002", each.node, shown)
        elif sort == "node":
            yield Hit("SEL006", each.node, shown)
        elif sort == "pool" and devices:
            yield Hit("SEL003", each.node, shown)
    if subject.kind == "Workspace" and subject.api_version.startswith("kaito.sh/"):
        resource = subject.fields.fields("resource")
        if resource.text("instanceType"):
            yield Hit("SEL003", resource.key("instanceType"), f"instanceType={resource.text('instanceType')}")


def tolerations(subject: Subject, _context: Context) -> Iterator[Hit]:
    """TOL001; those in claims tolerate taints of devices, which is another matter."""
    if subject.dra:
        return
    for toleration in subject.tolerations:
        key = toleration.text("key")
        if _TAINTS.fullmatch(key) and (key != "sku" or toleration.text("value") in _SKU):
            yield Hit("TOL001", toleration, key)


RULES: Final = (selectors, tolerations)
