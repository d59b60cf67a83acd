"""Fabric Manager partitions: on some NVSwitch boxes a claim's whole GPUs must be exactly one of the sets published.

Where the NVIDIA driver runs with FabricManagerPartitioning, each GPU carries `partition1`, `partition2`, `partition4`
and `partition8`: the number of the partition of that size that it is in. The switches are set up for one partition at
a time, so preparing a claim fails on the node, after the pod was bound, unless its GPUs are all of one partition.
MIG devices are outside of this. Source: dra-driver-nvidia-gpu, deviceinfo.go and the Fabric Manager user guide.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from scheduler.core.model import AttributeValue, Device

DRIVER: Final = "gpu.nvidia.com"
SIZES: Final = (1, 2, 4, 8)


def is_whole(driver: str, device: Device) -> bool:
    """Whether a device is a whole GPU of the driver that publishes partitions."""
    return driver == DRIVER and _attribute(device, "type") == "gpu"


def partition(device: Device, size: int) -> AttributeValue | None:
    """The number of the partition of this size that a device is in."""
    return _attribute(device, f"partition{size}")


def fabric(devices: Sequence[tuple[str, Device]]) -> tuple[frozenset[int], ...]:
    """The partitions of one node's devices, given with their drivers, by position, as in `Layout.fabric`.

    The last set is all whole GPUs, if any of them publishes a partition; else there are no sets. A partition of which
    the node does not list every GPU cannot be set up, so it is not there.
    """
    whole = [position for position, (driver, device) in enumerate(devices) if is_whole(driver, device)]
    members: dict[tuple[int, AttributeValue], set[int]] = defaultdict(set)
    for position in whole:
        for size in SIZES:
            number = partition(devices[position][1], size)
            if number is not None:
                members[size, number].add(position)
    if not members:
        return ()
    complete = dict.fromkeys(frozenset(each) for (size, _), each in members.items() if len(each) == size)
    return (*complete, frozenset(whole))


def _attribute(device: Device, name: str) -> AttributeValue | None:
    return device.attributes.get(name, device.attributes.get(f"{DRIVER}/{name}"))
