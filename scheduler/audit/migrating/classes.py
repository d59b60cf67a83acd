"""DeviceClasses: those that drivers bring, as these manifests may lack them, and those for extended resources."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from scheduler.audit.devices import device_of
from scheduler.audit.migrating.edits import block

_SELECTORS: Final[Mapping[str, str]] = {
    "gpu.nvidia.com": "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'",
    "mig.nvidia.com": "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'mig'",
    "gpu.amd.com": "device.driver == 'gpu.amd.com'",
    "gpu.intel.com": "device.driver == 'gpu.intel.com'",
    "gaudi.intel.com": "device.driver == 'gaudi.intel.com'",
    "qat.intel.com": "device.driver == 'qat.intel.com'",
    "tpu.google.com": "device.driver == 'tpu.google.com'",
}
_PROFILE: Final = re.compile(r"nvidia\.com/mig-(\d+g\.\d+gb(?:\.me)?)")
_PARTITION: Final = re.compile(r"amd\.com/([cdsq]px_nps\d+)")
_HEAD: Final = "# Drivers bring these classes with them: leave out those that the cluster has.\n"


def device_class(name: str) -> dict[str, Any]:
    """The DeviceClass of a driver."""
    return _object(name, [_SELECTORS[name]])


def is_known(name: str) -> bool:
    """Whether it is the class of a driver."""
    return name in _SELECTORS


def profile_of(resource: str) -> str:
    """The MIG profile that a resource name stands for, such as `1g.5gb`; empty for any other resource."""
    found = _PROFILE.fullmatch(resource)
    return found[1].replace(".me", "+me") if found is not None else ""


def part_selector(resource: str) -> str:
    """Which devices of its class a resource stands for: a MIG profile, a partition; empty where it is all of them."""
    profile, partition = profile_of(resource), _PARTITION.fullmatch(resource)
    if profile:
        return f"device.attributes['gpu.nvidia.com'].profile == '{profile}'"
    if partition is not None:
        return f"device.attributes['gpu.amd.com'].?partitionProfile.orValue('') == '{partition[1]}'"
    return ""


def as_text(classes: Iterable[Mapping[str, Any]]) -> str:
    """A file of DeviceClasses."""
    return _HEAD + "---\n".join("\n".join(block(each, 0)) + "\n" for each in classes)


def extended_class(resource: str) -> dict[str, Any] | None:
    """A DeviceClass that serves an extended resource, so that pods keep their words; None where nothing can."""
    device, part = device_of(resource), part_selector(resource)
    if device is None or device.device_class not in _SELECTORS or not device.counted:
        return None
    if part:
        label = re.sub("[^a-z0-9]", "-", resource.rpartition("/")[2])
        name = f"{label}.{device.device_class.partition('.')[2]}"
        made = _object(name, [_SELECTORS[device.device_class], part])
    elif resource == "nvidia.com/gpu" or device.sort == "other":
        made = _object(device.device_class, [_SELECTORS[device.device_class]])
    else:
        return None
    made["spec"]["extendedResourceName"] = resource
    return made


def _object(name: str, expressions: Iterable[str]) -> dict[str, Any]:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": name},
        "spec": {"selectors": [{"cel": {"expression": each}} for each in expressions]},
    }
