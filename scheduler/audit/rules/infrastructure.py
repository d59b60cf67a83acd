"""Device plugins themselves, and how they are told to share and split devices."""

import re
from collections.abc import Iterator
from typing import Final

from scheduler.audit.rules.base import Context, Hit
from scheduler.audit.subjects import Subject, pods
from scheduler.audit.tree import Fields, Items, Node, Scalar

_IMAGES: Final = re.compile(
    r"k8s-device-plugin|gpu-feature-discovery|node-feature-discovery|nvidia-gpu-device-plugin|amdgpu-(dp|device-plugin)"
    r"|intel-(gpu|qat|sgx|dsa)-plugin|habana.*device-plugin|rdma-shared-dev|k8s-rdma|sriov-network-device-plugin"
    r"|neuron-device-plugin|k8s-mig-manager|mig-manager|aws-efa-k8s-device-plugin|gke.*device-plugin|hami.*device-plugin"
)
_OPERATED: Final = frozenset(
    {"ClusterPolicy", "NVIDIADriver", "SriovNetworkNodePolicy", "GpuDevicePlugin", "DeviceConfig"}
)
_GROUPS: Final = ("nvidia.com/", "sriovnetwork.openshift.io/", "deviceplugin.intel.com/", "amd.com/", "mellanox.com/")


def plugins(subject: Subject, _context: Context) -> Iterator[Hit]:
    """INFRA001."""
    if subject.kind in {"DaemonSet", "Deployment"}:
        for group in pods(subject):
            for container in group.containers:
                image = container.node.get("image")
                if isinstance(image, Scalar) and _IMAGES.search(image.text):
                    yield Hit("INFRA001", image, image.text)
                    break
    elif subject.kind in _OPERATED and subject.api_version.startswith(_GROUPS):
        yield Hit("INFRA001", subject.fields.key("kind"), f"{subject.kind} {subject.name}")


def sharing(subject: Subject, _context: Context) -> Iterator[Hit]:
    """INFRA002: time slicing, MPS and MIG strategy, wherever the plugin's configuration stands."""
    stack: list[tuple[str, Node]] = [("", subject.root)]
    while stack:
        above, node = stack.pop()
        if isinstance(node, Items):
            stack.extend((above, child) for child in node.children)
        elif isinstance(node, Fields):
            for key, (name, value) in node.entries.items():
                said = value.text if isinstance(value, Scalar) else ""
                if key in {"timeSlicing", "mps"} and isinstance(value, Fields) and "resources" in value.entries:
                    yield Hit("INFRA002", name, f"{key} of {_shared(value)}")
                elif said in {"single", "mixed"} and (key == "migStrategy" or (key, above) == ("strategy", "mig")):
                    yield Hit("INFRA002", name, f"{key} {said}")
                elif key == "mig-configs" and isinstance(value, Fields):
                    yield Hit("INFRA002", name, key)
                else:
                    stack.append((key, value))


def _shared(sharing: Fields) -> str:
    """The resources that are shared, and whether they get another name by it."""
    entries = sharing.list_of("resources")
    renamed = sharing.text("renameByDefault") == "true" or any(each.text("rename") for each in entries)
    return ", ".join(each.text("name") for each in entries[:8]) + (", renamed" if renamed else "")


RULES: Final = (plugins, sharing)
