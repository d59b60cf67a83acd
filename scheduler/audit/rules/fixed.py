"""Devices that are named by hand, or reached past the scheduler."""

import re
from collections.abc import Iterator
from typing import Final

from scheduler.audit.rules.base import Context, Hit
from scheduler.audit.rules.claims import expressions
from scheduler.audit.subjects import Subject, pods
from scheduler.audit.tree import Fields, Scalar

_ADDRESS: Final = re.compile(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]|GPU-[0-9a-f]{8}-|MIG-[0-9a-f]{8}-")
_PLACE: Final = re.compile(
    r"(numaNode|numaNodeID|\.index|\.minor|\['index'\]|pciBusID|pciAddress|ifName|rdmaDevice)\b['\"\])]*\s*(==|in\b|<=?|>=?)"
    r"|(==\s*)device\.attributes\S*(numaNode|index|pciBusID)"
)
_VARIABLES: Final = frozenset(
    {"NVIDIA_VISIBLE_DEVICES", "AMD_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HABANA_VISIBLE_DEVICES"}
)
_INDICES: Final = frozenset(
    {"CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "NEURON_RT_VISIBLE_CORES", "TPU_VISIBLE_CHIPS"}
)
_PLUGIN_SETS: Final = frozenset({"", "void", "none"})
_INDEX: Final = re.compile(r"[0-9]+(,[0-9]+)*|GPU-.+|MIG-.+")
_DEVICES: Final = re.compile(r"/dev/(nvidia.*|kfd|dri(/.*)?|infiniband(/.*)?|accel.*|habanalabs.*)")


def selectors(subject: Subject, _context: Context) -> Iterator[Hit]:
    """HARD001 in selectors."""
    if not subject.dra:
        return
    for node, _ in expressions(subject):
        found = _ADDRESS.search(node.text) or _PLACE.search(node.text)
        if found is not None:
            yield Hit("HARD001", node, f"{found[0].strip()} in {node.text!r}")


def variables(subject: Subject, _context: Context) -> Iterator[Hit]:
    """HARD001 and HARD002 in the environment of containers: indices for the library, devices for the runtime."""
    for group in pods(subject):
        for container in group.containers:
            for variable in container.node.list_of("env"):
                name, value = variable.text("name"), variable.get("value")
                if not isinstance(value, Scalar):
                    continue
                if name in _VARIABLES and value.text not in _PLUGIN_SETS:
                    yield Hit("HARD002", variable, f"{name}={value.text}")
                elif name in _INDICES and _INDEX.fullmatch(value.text):
                    yield Hit("HARD001", variable, f"{name}={value.text}")


def paths(subject: Subject, _context: Context) -> Iterator[Hit]:
    """HARD002: device files of the host; those of device plugins themselves are infrastructure."""
    for group in pods(subject):
        if any("/var/lib/kubelet" in text for text in _host_paths(group.spec.list_of("volumes"))):
            continue
        for volume in group.spec.list_of("volumes"):
            path = volume.fields("hostPath").get("path")
            if isinstance(path, Scalar) and _DEVICES.fullmatch(path.text):
                yield Hit("HARD002", path, f"hostPath {path.text}")


def _host_paths(volumes: list[Fields]) -> list[str]:
    return [volume.fields("hostPath").text("path") for volume in volumes]


RULES: Final = (selectors, variables, paths)
