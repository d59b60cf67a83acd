"""Eight clusters of 1.34 to 1.37, as the drivers of their time publish their devices.

Attributes are those of the releases in `scheduler/readiness/drivers.yaml`, whose sources are named there: NVIDIA's
driver published the bus id under a name of its own and no NUMA node before v0.5.0; AMD's and dranet's publish the NUMA
node under a name of their own.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from e2e.api import Raw
from scheduler.simulator import fleet

STANDARD: Final = fleet.STANDARD
READER: Final = "reader"
SLICES_ONLY: Final = "slices-only"
_NVIDIA_IMAGE: Final = {
    "v25": "nvcr.io/nvidia/k8s-dra-driver-gpu",
    "v0": "registry.k8s.io/dra-driver-nvidia/dra-driver-nvidia-gpu",
}
_DRANET: Final = "registry.k8s.io/networking/dranet"
_AMD: Final = "docker.io/rocm/k8s-gpu-dra-driver"
_PLUGIN: Final = "nvcr.io/nvidia/k8s-device-plugin:v0.17.4"


@dataclass(frozen=True)
class Recorded:
    """A cluster to record. version : folder of e2e/controlplane, or what --binaries names. account : who records it."""

    name: str
    version: str
    objects: Callable[[], Sequence[Raw]]
    gates: Mapping[str, bool] = field(default_factory=dict)
    apis: Mapping[str, str] = field(default_factory=dict)
    account: str = ""


def node(box: str, name: str, kubelet: str, **allocatable: str) -> Raw:
    """A node of a box; `allocatable` is what device plugins offer, by resource."""
    made = fleet.node(box, name)
    made["status"]["nodeInfo"] = {"kubeletVersion": kubelet}
    for part in ("allocatable", "capacity"):
        made["status"][part].update(allocatable)
    return made


def early_nvidia(slices: Sequence[Raw]) -> list[Raw]:
    """As NVIDIA's driver published before v0.5.0: no NUMA node, and the bus id as pcieBusID."""
    made = copy.deepcopy(list(slices))
    for item in made:
        if item["spec"]["driver"] != fleet.NVIDIA:
            continue
        for device in item["spec"].get("devices", ()):
            attributes = device["attributes"]
            attributes.pop(f"{STANDARD}numaNode", None)
            attributes["pcieBusID"] = attributes.pop(f"{STANDARD}pciBusID")
    return made


def without_numa(slices: Sequence[Raw]) -> list[Raw]:
    """NICs as dranet publishes them up to v1.4.0: the NUMA node under dra.net only."""
    made = copy.deepcopy(list(slices))
    for item in made:
        for device in item["spec"].get("devices", ()) if item["spec"]["driver"] == fleet.NIC else ():
            device["attributes"].pop(f"{STANDARD}numaNode", None)
    return made


def shared(slices: Sequence[Raw]) -> list[Raw]:
    """As NVIDIA's driver publishes with its gate ConsumableShares in mode memory."""
    made = copy.deepcopy(list(slices))
    for item in made:
        for device in item["spec"]["devices"] if item["spec"]["driver"] == fleet.NVIDIA else ():
            amount = device["capacity"]["memory"]["value"]
            policy = {"default": amount, "validRange": {"min": "1Mi", "step": "1Mi"}}
            device["capacity"]["memory"]["requestPolicy"] = policy
            device["allowMultipleAllocations"] = True
    return made


def channels(name: str) -> Raw:
    """What the ComputeDomain driver publishes on a node."""
    devices = [
        {"name": "channel-0", "attributes": {"type": {"string": "channel"}, "id": {"int": 0}}},
        {"name": "daemon-0", "attributes": {"type": {"string": "daemon"}, "id": {"int": 0}}},
    ]
    pool = {"name": name, "generation": 1, "resourceSliceCount": 1}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"{name}-compute-domain"},
        "spec": {"driver": "compute-domain.nvidia.com", "pool": pool, "nodeName": name, "devices": devices},
    }


def classes(*names: str, extended: bool = False) -> list[Raw]:
    """DeviceClasses of these names as charts install them; `extended` with the resource that they serve."""
    made = [each for each in fleet.device_classes() if each["metadata"]["name"] in names]
    if not extended:
        for each in made:
            each["spec"].pop("extendedResourceName", None)
    return made


def daemon_set(name: str, image: str, **gates: bool) -> Raw:
    """A driver or plugin on every node, with feature gates of its own."""
    container: Raw = {"name": "plugin", "image": image}
    if gates:
        value = ",".join(f"{gate}={str(on).lower()}" for gate, on in gates.items())
        container["env"] = [{"name": "FEATURE_GATES", "value": value}]
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def definition(group: str, kind: str, plural: str) -> Raw:
    """A CustomResourceDefinition of this group, so that the group is served; what it holds is not read."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def _of_134_nvidia() -> list[Raw]:
    kubelet = "v1.34.4"
    return [
        node("aws-p4d", "p4d-1", kubelet, **{"nvidia.com/gpu": "8"}),
        node("aws-p4d", "p4d-2", kubelet),
        *early_nvidia([*fleet.slices("aws-p4d", "p4d-1"), *fleet.slices("aws-p4d", "p4d-2")]),
        *classes("gpu.nvidia.com", "mig.nvidia.com"),
        daemon_set("nvidia-dra-driver-gpu-kubelet-plugin", f"{_NVIDIA_IMAGE['v25']}:v25.8.1"),
        daemon_set("nvidia-device-plugin", _PLUGIN),
    ]


def _of_134_amd() -> list[Raw]:
    return [
        node("mi300x", "mi-1", "v1.34.4"),
        *fleet.slices("mi300x", "mi-1"),
        *classes("gpu.amd.com"),
        daemon_set("amd-gpu-dra-driver", f"{_AMD}:v1.0.0"),
    ]


def _of_135_mig() -> list[Raw]:
    return [
        node("dgx-a100-dynamic-mig", "dgx-1", "v1.35.4"),
        *early_nvidia(_one_gpu(fleet.slices("dgx-a100-dynamic-mig", "dgx-1"))),
        *classes("gpu.nvidia.com", "mig.nvidia.com", extended=True),
        daemon_set("nvidia-dra-driver-gpu-kubelet-plugin", f"{_NVIDIA_IMAGE['v25']}:v25.12.0", DynamicMIG=True),
    ]


def _one_gpu(slices: Sequence[Raw]) -> list[Raw]:
    """The counters and devices of the first GPU alone: a small box, and a small record."""
    sets = next(copy.deepcopy(item) for item in slices if "sharedCounters" in item["spec"])
    sets["spec"]["sharedCounters"] = [
        each for each in sets["spec"]["sharedCounters"] if each["name"] == "gpu-0-counter-set"
    ]
    devices = [
        device
        for item in slices
        for device in item["spec"].get("devices", ())
        if device["consumesCounters"][0]["counterSet"] == "gpu-0-counter-set"
    ]
    other = next(copy.deepcopy(item) for item in slices if "devices" in item["spec"])
    other["spec"]["devices"] = copy.deepcopy(devices)
    for item in (sets, other):
        item["spec"]["pool"]["resourceSliceCount"] = 2
    return [sets, other]


def _of_135_dranet() -> list[Raw]:
    box = "dgx-h100"
    return [
        node(box, "h100-1", "v1.35.4"),
        *without_numa(early_nvidia(fleet.slices(box, "h100-1", nics=True))),
        *classes("gpu.nvidia.com", "dra.net", extended=True),
        daemon_set("dra-driver-nvidia-gpu-kubelet-plugin", f"{_NVIDIA_IMAGE['v0']}:v0.4.1"),
        daemon_set("dranet", f"{_DRANET}:v1.3.0"),
    ]


def _of_136_shares() -> list[Raw]:
    gates = {"ConsumableShares": True, "TimeSlicingSettings": True}
    return [
        node("l40s-pcie", "l40s-1", "v1.36.3"),
        *shared(fleet.slices("l40s-pcie", "l40s-1")),
        node("a100-mig", "a100-1", "v1.36.3"),
        *_some(fleet.slices("a100-mig", "a100-1"), 12),
        *classes("gpu.nvidia.com", "mig.nvidia.com", extended=True),
        daemon_set("dra-driver-nvidia-gpu-kubelet-plugin", f"{_NVIDIA_IMAGE['v0']}:v0.5.0-ubi9", **gates),
        definition("keda.sh", "ScaledObject", "scaledobjects"),
        definition("monitoring.coreos.com", "PodMonitor", "podmonitors"),
    ]


def _some(slices: Sequence[Raw], most: int) -> list[Raw]:
    """The last devices of a pool of one slice."""
    [item] = copy.deepcopy(list(slices))
    item["spec"]["devices"] = item["spec"]["devices"][-most:]
    return [item]


def _of_136_gb200() -> list[Raw]:
    found: list[Raw] = []
    for name in ("gb200-1", "gb200-2"):
        found += [node("nvl72", name, "v1.36.3"), *without_numa(fleet.slices("nvl72", name, nics=True)), channels(name)]
    return [
        *found,
        *classes("gpu.nvidia.com", "dra.net", extended=True),
        daemon_set("dra-driver-nvidia-gpu-kubelet-plugin", f"{_NVIDIA_IMAGE['v0']}:v0.5.0"),
        daemon_set("dranet", f"{_DRANET}:v1.4.0"),
    ]


def _of_137_partitions() -> list[Raw]:
    box = "dgx-h100-partitions"
    gates = {"FabricManagerPartitioning": True, "ConsumableShares": False, "TimeSlicingSettings": False}
    return [
        node(box, "h100-1", "v1.37.2"),
        *without_numa(fleet.slices(box, "h100-1", nics=True)),
        *classes("gpu.nvidia.com", "dra.net", extended=True),
        daemon_set("dra-driver-nvidia-gpu-kubelet-plugin", f"{_NVIDIA_IMAGE['v0']}:v0.5.0", **gates),
        daemon_set("dranet", f"{_DRANET}:v1.4.0"),
    ]


def _of_137_amd() -> list[Raw]:
    return [
        node("mi300x", "mi-1", "v1.37.2"),
        *fleet.slices("mi300x", "mi-1"),
        *classes("gpu.amd.com"),
        daemon_set("amd-gpu-dra-driver", f"{_AMD}:v1.0.1"),
    ]


CLUSTERS: Final = (
    Recorded("1.34-nvidia-v25.8.1", "v1.34", _of_134_nvidia, apis={"resource.k8s.io/v1beta1": "true"}, account=READER),
    Recorded("1.34-amd-v1.0.0", "v1.34", _of_134_amd, account=READER),
    Recorded(
        "1.35-nvidia-v25.12.0-dynamic-mig", "v1.35", _of_135_mig, {"DRAPartitionableDevices": True}, account=READER
    ),
    Recorded("1.35-nvidia-v0.4.1-dranet-v1.3.0", "v1.35", _of_135_dranet, account=READER),
    Recorded("1.36-nvidia-v0.5.0-shares", "v1.36", _of_136_shares, account=READER),
    Recorded("1.36-gb200-dranet-v1.4.0", "v1.36", _of_136_gb200, account=READER),
    Recorded(
        "1.37-nvidia-v0.5.0-partitions-dranet-v1.4.0",
        "v1.37",
        _of_137_partitions,
        {"GenericWorkload": True, "DRAWorkloadResourceClaims": True, "DRAListTypeAttributes": True},
        {"scheduling.k8s.io/v1beta1": "true"},
        READER,
    ),
    Recorded("1.37-amd-v1.0.1-slices-only", "v1.37", _of_137_amd, account=SLICES_ONLY),
)
