"""What surrounds workloads: quotas, queues, autoscalers, monitoring, init containers."""

import re
from collections.abc import Iterator
from typing import Final

from scheduler.audit.devices import device_of
from scheduler.audit.rules.base import Context, Hit
from scheduler.audit.subjects import Subject, pods
from scheduler.audit.tree import Fields, Items, Node, Scalar

_SECTIONS: Final = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_SCALERS: Final = frozenset({"ProvisioningRequest", "NodePool", "NodeClaim", "Provisioner", "ClusterAutoscaler"})
_EXPORTER: Final = re.compile(r"dcgm-exporter|nvidia-dcgm|device-metrics-exporter|amd-metrics|xpumanager")


def quotas(subject: Subject, _context: Context) -> Iterator[Hit]:
    """OPS001."""
    if subject.kind == "ResourceQuota":
        for key, (name, _) in subject.fields.fields("spec", "hard").entries.items():
            if device_of(re.sub(r"^(requests|limits)\.", "", key)) is not None:
                yield Hit("OPS001", name, key)
    elif subject.kind == "LimitRange":
        for limit in subject.fields.fields("spec").list_of("limits"):
            for section in _SECTIONS:
                for key, (name, _) in limit.fields(section).entries.items():
                    if device_of(key) is not None:
                        yield Hit("OPS001", name, f"{section} {key}")


def scalers(subject: Subject, _context: Context) -> Iterator[Hit]:
    """OPS002."""
    if subject.kind in _SCALERS:
        for node, resource in _mentions(subject.root):
            yield Hit("OPS002", node, resource)
            return


def queues(subject: Subject, _context: Context) -> Iterator[Hit]:
    """OPS006: Kueue's quotas, and Volcano's."""
    if subject.kind not in {"ClusterQueue", "Cohort", "ResourceFlavor", "Queue"}:
        return
    seen: set[str] = set()
    for node, resource in _mentions(subject.root):
        if resource not in seen:
            seen.add(resource)
            yield Hit("OPS006", node, resource)


def monitors(subject: Subject, _context: Context) -> Iterator[Hit]:
    """OPS003: an exporter's own DaemonSet, or what scrapes it."""
    if subject.kind == "DaemonSet":
        for group in pods(subject):
            for container in group.containers:
                image = container.node.get("image")
                if isinstance(image, Scalar) and _EXPORTER.search(image.text):
                    yield Hit("OPS003", image, image.text)
    elif subject.kind in {"ServiceMonitor", "PodMonitor"} and _EXPORTER.search(subject.name):
        yield Hit("OPS003", subject.fields.fields("metadata").key("name"), subject.name)


def early(subject: Subject, _context: Context) -> Iterator[Hit]:
    """OPS004."""
    for group in pods(subject):
        for use in group.uses:
            if use.container is not None and use.container.role == "initContainers" and use.device.sort != "nic":
                yield Hit("OPS004", use.key, f"{use.resource} in {use.container.name}")
                break


def _mentions(root: Node) -> Iterator[tuple[Node, str]]:
    """Every key and value that names a device-plugin resource."""
    stack = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, Scalar):
            if "/" in node.text and device_of(node.text) is not None:
                yield node, node.text
        elif isinstance(node, Items):
            stack.extend(reversed(node.children))
        elif isinstance(node, Fields):
            for key, (name, value) in reversed(node.entries.items()):
                if key == "nodeLabels":
                    continue
                if "/" in key and device_of(key) is not None and isinstance(value, Scalar):
                    yield name, key
                else:
                    stack.append(value)


RULES: Final = (quotas, scalers, queues, monitors, early)
