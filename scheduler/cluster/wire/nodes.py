"""Nodes and namespaces."""

from scheduler.cluster.wire.parts import Amounts, Metadata, Part, Taint


class Namespace(Part):
    """core/v1 Namespace, or only its metadata."""

    metadata: Metadata | None = None


class NodeSpec(Part):
    """core/v1 NodeSpec."""

    taints: list[Taint] | None = None
    unschedulable: bool | None = None


class Image(Part):
    """core/v1 ContainerImage."""

    names: list[str] | None = None
    size_bytes: int | None = None


class NodeStatus(Part):
    """core/v1 NodeStatus."""

    images: list[Image] | None = None
    allocatable: Amounts | None = None
    declared_features: list[str] | None = None


class Node(Part):
    """core/v1 Node."""

    metadata: Metadata | None = None
    spec: NodeSpec | None = None
    status: NodeStatus | None = None
