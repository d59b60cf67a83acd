"""The resource names of device plugins: what each is, and which DRA driver serves the same devices."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

Sort = Literal["gpu", "shared", "mig", "fraction", "nic", "other", "unknown"]


@dataclass(frozen=True, slots=True)
class Device:
    """What a resource name stands for.

    sort : `other` is an accelerator whose driver is known, `unknown` one without.
    device_class : of the DRA driver, empty where none is known.
    counted : whether the amount is a number of devices; it is none for thousandths of one, its memory, or a service.
    """

    sort: Sort
    vendor: str
    device_class: str = ""
    counted: bool = True


_NVIDIA: Final = "gpu.nvidia.com"
_RULES: Final[tuple[tuple[re.Pattern[str], Device], ...]] = tuple(
    (re.compile(pattern), device)
    for pattern, device in (
        (r"nvidia\.com/gpu", Device("gpu", "NVIDIA", _NVIDIA)),
        (r"nvidia\.com/(mig-.+|.+)\.shared", Device("shared", "NVIDIA", _NVIDIA)),
        (r"nvidia\.com/gpu-\d+gb", Device("shared", "NVIDIA", _NVIDIA)),
        (r"nvidia\.com/mig-.+", Device("mig", "NVIDIA", "mig.nvidia.com")),
        (r"nvidia\.com/(gpumem(-percentage)?|gpucores|priority|vgpu.*)", Device("fraction", "HAMi")),
        (r"nvidia\.com/.*(rdma|roce|infiniband|hca|sriov|mlnx|bf3|cx\d|_vf|-vf|vf$).*", Device("nic", "NVIDIA")),
        (r"nvidia\.com/.+", Device("gpu", "NVIDIA", _NVIDIA)),
        (
            r"(aliyun\.com/gpu-mem|aliyun\.com/gpu-core.*|volcano\.sh/(gpu|vgpu)-.+|tencent\.com/vcuda-.+)"
            r"|(koordinator\.sh/gpu.*|kubernetes\.io/(batch-)?gpu.*|hami\.io/.+|4paradigm\.com/.+)",
            Device("fraction", "a GPU-sharing scheduler"),
        ),
        (r"(beta\.)?amd\.com/(gpu|[cdsq]px_nps\d+)", Device("other", "AMD", "gpu.amd.com")),
        (r"gpu\.intel\.com/(i915|xe)", Device("other", "Intel", "gpu.intel.com")),
        (r"gpu\.intel\.com/((i915_|xe_)?monitoring|millicores|memory\.max|tiles)",
         Device("other", "Intel", "gpu.intel.com", counted=False)),
        (r"habana\.ai/gaudi2?", Device("other", "Intel Gaudi", "gaudi.intel.com")),
        (r"qat\.intel\.com/generic", Device("other", "Intel QAT", "qat.intel.com")),
        (r"qat\.intel\.com/.+", Device("other", "Intel QAT", "qat.intel.com", counted=False)),
        (r"google\.com/tpu", Device("other", "Google TPU", "tpu.google.com")),
        (r"(rdma|openshift\.io|mellanox\.com)/.+", Device("nic", "RDMA or SR-IOV")),
        (r"vpc\.amazonaws\.com/efa", Device("nic", "AWS EFA")),
        (r"networking\.gke\.io\.networks/.+", Device("nic", "GKE multi-network")),
        (r"intel\.com/.*(sriov|netdevice|vfio|_vf).*", Device("nic", "Intel SR-IOV")),
        (r"aws\.amazon\.com/neuron.*", Device("unknown", "AWS Neuron")),
        (r"(dsa|sgx|iaa|dlb|fpga)\.intel\.com/.+", Device("unknown", "Intel")),
        (r"huawei\.com/.*|cambricon\.com/.+|enflame\.com/.+|hygon\.com/.+|iluvatar\.ai/.+|metax-tech\.com/.+"
         r"|mthreads\.com/.+|xilinx\.com/.+|amd\.com/.+|furiosa\.ai/.+|rebellions\.ai/.+|qualcomm\.com/.+",
         Device("unknown", "another vendor")),
    )
)  # fmt: skip
_HINT: Final = re.compile(r"[a-z0-9.-]+/[A-Za-z0-9._-]+")


@lru_cache(maxsize=4096)
def device_of(resource: str) -> Device | None:
    """What an extended resource stands for; None for cpu, memory, hugepages and what no device plugin serves."""
    if not _HINT.fullmatch(resource):
        return None
    return next((device for pattern, device in _RULES if pattern.fullmatch(resource)), None)
