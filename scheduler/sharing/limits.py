"""What each way to share a GPU isolates, who enforces it, and where it ends.

Sources: Kubernetes DRA (KEP-4381, 4815, 5075; ResourceClaim.status.reservedFor), dra-driver-nvidia-gpu (GpuConfig,
ConsumableShares, MIG), NVIDIA's MIG and MPS documentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scheduler.sharing.problem import CLAIM, CUT, SHARE, WHOLE


@dataclass(frozen=True, slots=True)
class Limits:
    """memory, faults, neighbours: who keeps replicas apart in these. bounds : what else the way cannot do."""

    title: str
    memory: str
    faults: str
    neighbours: str
    bounds: str


LIMITS: Final[Mapping[str, Limits]] = {
    WHOLE: Limits(
        "a GPU of its own",
        "the hardware: nothing else is on the GPU",
        "the hardware: a fault ends this replica alone",
        "none on the GPU; host, PCIe and NVLink are shared with the rest of the node",
        "one replica a GPU, whatever it leaves unused",
    ),
    CUT: Limits(
        "a part of a GPU (MIG)",
        "the hardware: a part has its own memory, and more cannot be had",
        "the hardware, within a part; a reset of the GPU or its loss ends all parts",
        "the hardware: own multiprocessors, caches and memory bandwidth; PCIe and some engines are shared",
        "only the sizes and places that the profiles have; one replica a part; parts of a GPU are cut when claimed, "
        "which needs a driver that does so, unless they exist already",
    ),
    SHARE: Limits(
        "shares of a GPU (consumable capacity)",
        "the scheduler counts it when it allocates; on the GPU nobody enforces it, so a replica that takes more can "
        "make the others fail",
        "nobody: a fault of one replica can end the others",
        "nobody: time slices; compute is counted if the driver publishes a capacity for it, and enforced by nobody",
        "claims of any namespace; each share is rounded as the driver's request policy says; needs Kubernetes 1.36 or "
        "gate DRAConsumableCapacity",
    ),
    CLAIM: Limits(
        "one claim for a GPU that pods share",
        "nobody, not even the scheduler counts it: the plan is all there is",
        "nobody: a fault of one replica can end the others",
        "nobody: time slices by default; with the driver's MPS a limit can be set, one for all pods of the claim",
        "one namespace, one node, at most 256 pods; the GPU is free again when the last of them is gone",
    ),
}
