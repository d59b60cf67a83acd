"""DeviceClasses: those that drivers bring, as these manifests may lack them, and those for extended resources."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from scheduler.audit.devices import device_of

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


def profile_selector(profile: str) -> str:
    """The devices of a MIG profile."""
    return f"device.attributes['gpu.nvidia.com'].profile == '{profile}'"


def extended_class(resource: str) -> dict[str, Any] | None:
    """A DeviceClass that serves an extended resource, so that pods keep their words; None where nothing can."""
    device = device_of(resource)
    if device is None or device.device_class not in _SELECTORS:
        return None
    profile = profile_of(resource)
    if device.sort == "mig":
        if not profile:
            return None
        name = f"mig-{re.sub('[^a-z0-9]', '-', profile)}.nvidia.com"
        made = _object(name, [_SELECTORS["mig.nvidia.com"], profile_selector(profile)])
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
