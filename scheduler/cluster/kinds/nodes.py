"""Nodes and namespaces."""

from functools import lru_cache
from typing import Final

from scheduler.cluster.kinds.fields import Kinds, metadata_of, ours_of, quantity_of
from scheduler.cluster.kinds.taints import taint_of
from scheduler.cluster.wire import nodes as wire
from scheduler.core.model import Image, Namespace, Node, Uid

MAX_ALLOCATABLE: Final = 2**53
"""More than any node has, of anything; what a node says beyond it is cut off, so that sums over columns stay exact."""


def _namespace(raw: wire.Namespace) -> Namespace:
    metadata = metadata_of(raw.metadata)
    return Namespace(metadata.name, metadata.labels or {})


def _node(raw: wire.Node) -> Node:
    metadata = metadata_of(raw.metadata)
    spec = raw.spec or wire.NodeSpec()
    allocatable: dict[str, int] = {}
    for name, amount in ((raw.status.allocatable if raw.status else None) or {}).items():
        quantity = quantity_of(amount, f"status.allocatable[{name}]")
        whole = quantity.milli() if name == "cpu" else quantity.value()
        allocatable[name] = min(max(whole, 0), MAX_ALLOCATABLE)
    return Node(
        name=metadata.name,
        uid=Uid(metadata.uid or ""),
        labels=metadata.labels or {},
        annotations=ours_of(metadata),
        taints=tuple(taint_of(taint) for taint in spec.taints or ()),
        unschedulable=spec.unschedulable or False,
        allocatable=allocatable,
        features=frozenset((raw.status.declared_features if raw.status else None) or ()),
        images=tuple(
            _image(name, image.size_bytes or 0)
            for image in (raw.status.images if raw.status else None) or ()
            for name in image.names or ()
        ),
    )


@lru_cache(maxsize=16_384)
def _image(name: str, size: int) -> Image:
    """One object for all nodes that have it."""
    return Image(name, size)


KINDS: Final[Kinds[Namespace | Node]] = {
    "Namespace": (wire.Namespace, _namespace),
    "Node": (wire.Node, _node),
}
