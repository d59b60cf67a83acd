"""Shapes that several kinds share, and what every shape here is."""

from typing import Final

from msgspec import Raw, Struct

Amount = str | int | float
"""A resource.Quantity: Kubernetes reads numbers too."""
Amounts = dict[str, Amount]
Entry = dict[str, Raw]
"""An object that is handed on as it stands."""
ABSENT: Final = Raw(b"")
"""A Raw that is not there."""


class Part(Struct, rename="camel", gc=False, omit_defaults=True):
    """A shape that refers to nothing which refers back, so the garbage collector need not look at it."""


class OwnerReference(Part):
    """metav1.OwnerReference."""

    uid: str = ""
    controller: bool | None = None


class Metadata(Part):
    """metav1.ObjectMeta."""

    name: str = ""
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None
    finalizers: list[str] | None = None


class Object(Part):
    """Only the metadata of anything."""

    metadata: Metadata | None = None


class Expression(Part):
    """A NodeSelectorRequirement or a LabelSelectorRequirement."""

    key: str = ""
    operator: str = ""
    values: list[str] | None = None


class NodeSelectorTerm(Part):
    """core/v1 NodeSelectorTerm."""

    match_expressions: list[Expression] | None = None
    match_fields: list[Expression] | None = None


class NodeSelector(Part):
    """core/v1 NodeSelector."""

    node_selector_terms: list[NodeSelectorTerm] | None = None


class LabelSelector(Part):
    """metav1.LabelSelector."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Expression] | None = None


class Taint(Part):
    """Of a node, a device or a DeviceTaintRule."""

    key: str = ""
    value: str | None = None
    effect: str = ""


class Toleration(Part):
    """Of a pod, a request or a result."""

    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None
    toleration_seconds: int | None = None


class Cel(Part):
    """CELDeviceSelector."""

    expression: str = ""


class Selector(Part):
    """DeviceSelector."""

    cel: Cel | None = None
