"""Objects of older versions of resource.k8s.io, into v1."""

import re
from typing import Final

from scheduler.audit.devices import device_of
from scheduler.audit.migrating.edits import Edits
from scheduler.audit.rules.claims import asked_devices, expressions, requests
from scheduler.audit.shapes import REQUEST_FIELDS
from scheduler.audit.subjects import Subject, pods
from scheduler.audit.tree import Scalar

V1: Final = "resource.k8s.io/v1"
_CONVERTED: Final = frozenset({"v1", "v1alpha3", "v1beta1", "v1beta2"})
_KINDS: Final = frozenset({"ResourceClaim", "ResourceClaimTemplate", "DeviceClass", "DeviceTaintRule"})
_QUOTE: Final = r"(?P<q>\\\"|''|[\"'])"
_MEMORY: Final = re.compile(
    rf"device\.attributes\[{_QUOTE}(?:(?P<domain>[a-z0-9.-]+)(?P=q)\]\.memory|memory(?P=q)\])"
    r"(?=\.(isGreaterThan|isLessThan|compareTo)\(\s*quantity\()"
)


def refusal(subject: Subject) -> str:
    """Why nothing can convert an object of resource.k8s.io; empty where that can be done."""
    version = subject.api_version.partition("/")[2]
    if subject.kind == "ResourceSlice":
        return "is published by a driver: upgrade the driver instead"
    if version == "v1alpha2":
        return "is of v1alpha2, whose classes and parameters have no fields in v1: write it anew as audit advises"
    if version not in _CONVERTED or subject.kind not in _KINDS:
        return f"is a {subject.kind} of {subject.api_version}, which v1 does not have" if version != "v1" else ""
    for path, key in ((("spec",), "controller"), (("spec",), "suitableNodes"), (("spec", "spec"), "controller")):
        if subject.fields.fields(*path).get(key) is not None:
            return f"uses {key}, which v1 does not have: choose nodes in the pod or class"
    return ""


def convert(subject: Subject, edits: Edits) -> None:
    """Make an object of an older version one of v1. Raises EditError."""
    version = subject.fields.get("apiVersion")
    if not isinstance(version, Scalar):
        return
    if version.text != V1:
        edits.rewrite(version, V1)
    for request in requests(subject):
        moved = {key for key in request.entries if key in REQUEST_FIELDS}
        if moved and request.get("exactly") is None:
            edits.wrap(request, moved, "exactly")
        for part in asked_devices(request):
            name = part.get("deviceClassName")
            if isinstance(name, Scalar):
                edits.rewrite(name, right_class(name.text))
    for expression, device_class in expressions(subject):
        _correct(expression, device_class, edits)


def right_class(name: str) -> str:
    """The class that is meant where somebody named a resource of a device plugin; any other name as it is."""
    device = device_of(name)
    return device.device_class if device is not None and device.device_class else name


def _correct(expression: Scalar, device_class: str, edits: Edits) -> None:
    """Read memory where it is: in the capacity of the driver's domain."""
    domain = right_class(device_class)
    domain = "gpu.nvidia.com" if domain == "mig.nvidia.com" else domain
    for found in _MEMORY.finditer(edits.text, expression.start, expression.end):
        quote = found["q"]
        right = f"device.capacity[{quote}{found['domain'] or domain}{quote}].memory"
        if found["domain"] or domain:
            edits.substitute(found.start(), found.end(), right)


def lift_sources(subject: Subject, edits: Edits) -> None:
    """Put what stands under `source:` of a pod's claims into the entry itself. Raises EditError."""
    for group in pods(subject):
        for entry in group.claims:
            if entry.get("source") is not None:
                edits.lift(entry, "source")
