"""Old versions of the DRA API."""

from collections.abc import Iterator
from typing import Final

from scheduler.audit.rules.base import Context, Hit
from scheduler.audit.shapes import SHAPES
from scheduler.audit.subjects import Subject, pods

_IDS: Final = {"v1alpha1": "API005", "v1alpha2": "API001", "v1alpha3": "API002", "v1beta1": "API003",
               "v1beta2": "API004"}  # fmt: skip
_STILL_ALPHA: Final = frozenset({"ResourcePoolStatusRequest"})
_PROTOTYPES: Final = ("gpu.resource.nvidia.com/", "gpu.resource.example.com/", "dra.example.com/", "cdi.resource.")


def old(subject: Subject, _context: Context) -> Iterator[Hit]:
    """API001 to API005."""
    group, _, version = subject.api_version.partition("/")
    node = subject.fields.key("apiVersion")
    what = f"apiVersion {subject.api_version} of {subject.kind}"
    if group == "resource.k8s.io":
        if version == "v1":
            if subject.kind not in SHAPES:
                yield Hit("API005", subject.fields.key("kind"), f"kind {subject.kind} in {subject.api_version}")
        elif subject.kind not in _STILL_ALPHA:
            yield Hit(_IDS.get(version, "API005"), node, what)
    elif subject.api_version.startswith(_PROTOTYPES) or group in {"resources.k8s.io", "resource.kubernetes.io"}:
        yield Hit("API005", node, what)


def source(subject: Subject, _context: Context) -> Iterator[Hit]:
    """API016."""
    for group in pods(subject):
        for entry in group.claims:
            if entry.get("source") is not None:
                yield Hit("API016", entry.key("source"), f"entry {entry.text('name')}")


RULES: Final = (old, source)
