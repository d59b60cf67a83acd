"""What of a device's attributes tells where it sits, in every spelling that drivers use."""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.core.model import AttributeValue, Device
from scoring.topology.base import Place

STANDARD: Final = "resource.kubernetes.io/"
PARTITION_SIZES: Final = (1, 2, 4, 8)

# {driver} stands for the domain of the device's own driver. Sources: the drivers' attribute references.
_NUMA = (
    STANDARD + "numaNode",
    "{driver}/numaNode",  # gpu.amd.com, dra.memory, older NVIDIA-like drivers
    "{driver}/numaNodeID",  # dra.cpu
    "dra.net/numaNode",  # dranet; SR-IOV and dra.cpu publish it for compatibility
    "dra.cpu/numaNodeID",
    "{driver}/numa",
)
_PCIE = (STANDARD + "pcieRoot", "{driver}/pcieRoot", "{driver}/pciRoot")  # gaudi.intel.com; gpu.intel.com, deprecated
_BUS = (
    STANDARD + "pciBusID",
    "{driver}/pciBusID",
    "{driver}/pciAddress",  # dranet, gpu.intel.com, SR-IOV
    "{driver}/pciAddr",  # gpu.amd.com in auto-partition mode
)
_MODULE = ("{driver}/gpuModuleID", "{driver}/gpuModuleId")  # as in the NVIDIA driver's code, and in its reference

_NO_LINKS = frozenset({"dra.net", "dra.cpu", "dra.memory", "compute-domain.nvidia.com"})
_NO_LINKS_PREFIX = ("sriovnetwork.",)
_PARTS = frozenset({"mig", "vfio", "amdgpu-partition"})  # of attribute `type`: not a whole GPU that its node drives
_BUS_ID = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE | re.ASCII)

BusId = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the sources need of one device.

    contradictions : attributes that tell another NUMA node than the one that counts, in words.
    """

    driver: str
    name: str
    kind: str
    uuid: str | None
    bus: BusId | None
    product: str | None
    place: Place
    module: int | None
    partitions: Mapping[int, AttributeValue]
    contradictions: tuple[str, ...] = ()

    @property
    def linkable(self) -> bool:
        """Whether direct links apply to such a device at all."""
        return self.driver not in _NO_LINKS and not self.driver.startswith(_NO_LINKS_PREFIX)

    @property
    def whole(self) -> bool:
        """Whether it is a whole GPU that its node drives."""
        return self.linkable and self.kind not in _PARTS

    @property
    def names(self) -> tuple[Hashable, ...]:
        """Every way in which people may name it."""
        found = (self.bus, self.uuid, self.name, f"{self.driver}/{self.name}")
        return tuple(name for name in found if name is not None)


def read(driver: str, device: Device) -> Reading:
    """A device, given with its driver."""
    attributes = {key if "/" in key else f"{driver}/{key}": value for key, value in device.attributes.items()}

    def all_of(spellings: Sequence[str]) -> dict[str, AttributeValue]:
        keys = (spelling.replace("{driver}", driver) for spelling in spellings)
        return {key: attributes[key] for key in keys if key in attributes}

    def first(spellings: Sequence[str]) -> AttributeValue | None:
        return next(iter(all_of(spellings).values()), None)

    def text(*spellings: str) -> str | None:
        value = first(spellings)
        return value if isinstance(value, str) else None

    numa = {key: _whole_numbers(value) for key, value in all_of(_NUMA).items()}
    told = next(((key, value) for key, value in numa.items() if value), ("", ()))
    others = [f"{key} {value[0]}" for key, value in numa.items() if value and value[0] != told[1][0]]
    partitions = {size: first([f"{{driver}}/partition{size}"]) for size in PARTITION_SIZES}
    return Reading(
        driver=driver,
        name=device.name,
        kind=text("{driver}/type") or "",
        uuid=text("{driver}/uuid"),
        bus=bus_id(text(*_BUS) or ""),
        product=text("{driver}/productName"),
        place=Place(numa=told[1], roots=_texts(first(_PCIE))),
        module=next(iter(_whole_numbers(first(_MODULE))), None),
        partitions={size: value for size, value in partitions.items() if value is not None},
        contradictions=(f"{told[0]} {told[1][0]} and {', '.join(others)}",) if others else (),
    )


def bus_id(text: str) -> BusId | None:
    """Domain, bus, device, function; `nvidia-smi` writes the domain with eight digits, the kernel with four."""
    found = _BUS_ID.fullmatch(text)
    return tuple(int(part or "0", 16) for part in found.groups()) if found else None


def natural(name: str) -> tuple[tuple[str, int], ...]:
    """Sort key by which gpu-10 follows gpu-9."""
    return tuple((text, int(number or 0)) for text, number in re.findall(r"([^0-9]*)([0-9]*)", name))


def _whole_numbers(value: AttributeValue | None) -> tuple[int, ...]:
    """One number or a list of them, those that are >= 0; the kernel writes -1 where it does not know."""
    listed = value if isinstance(value, tuple) else (value,)
    return tuple(each for each in listed if isinstance(each, int) and not isinstance(each, bool) and each >= 0)


def _texts(value: AttributeValue | None) -> tuple[str, ...]:
    listed = value if isinstance(value, tuple) else (value,)
    return tuple(each for each in listed if isinstance(each, str))
