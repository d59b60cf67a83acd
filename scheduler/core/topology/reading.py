"""What of a device's attributes tells where it sits, in every spelling that drivers use."""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
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
PARTS: Final = frozenset({"mig", "vfio", "amdgpu-partition"})
"""Of attribute `type`: not a whole GPU that its node drives."""
_BUS_ID = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE | re.ASCII)

BusId = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Spellings:
    """Further attributes, by full name, that tell where a device sits; they count before those known here.

    numa : a whole number, or a list that begins with the device's own node. pcie : a text, or a list of texts.
    """

    numa: tuple[str, ...] = ()
    pcie: tuple[str, ...] = ()


KNOWN: Final = Spellings()
"""Nothing further."""


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
        return self.linkable and self.kind not in PARTS

    @property
    def names(self) -> tuple[Hashable, ...]:
        """Every way in which people may name it."""
        found = (self.bus, self.uuid, self.name, f"{self.driver}/{self.name}")
        return tuple(name for name in found if name is not None)


@lru_cache(maxsize=256)
def _spelled(driver: str, further: Spellings) -> Mapping[str, tuple[str, ...]]:
    """Full names of the attributes that tell something, the one that counts first."""
    spellings = {
        "numa": (*further.numa, *_NUMA),
        "pcie": (*further.pcie, *_PCIE),
        "bus": _BUS,
        "module": _MODULE,
        **{name: (f"{{driver}}/{name}",) for name in ("type", "uuid", "productName")},
        **{f"partition{size}": (f"{{driver}}/partition{size}",) for size in PARTITION_SIZES},
    }
    return {name: tuple(each.replace("{driver}", driver) for each in keys) for name, keys in spellings.items()}


def read(driver: str, device: Device, further: Spellings = KNOWN) -> Reading:
    """A device, given with its driver."""
    attributes = {key if "/" in key else f"{driver}/{key}": value for key, value in device.attributes.items()}
    spelled = _spelled(driver, further)

    def first(name: str) -> AttributeValue | None:
        for key in spelled[name]:
            if key in attributes:
                return attributes[key]
        return None

    def text(name: str) -> str | None:
        value = first(name)
        return value if isinstance(value, str) else None

    numa = [(key, found) for key in spelled["numa"] if key in attributes and (found := _whole_numbers(attributes[key]))]
    told, own = numa[0] if numa else ("", ())
    others = [f"{key} {found[0]}" for key, found in numa[1:] if found[0] != own[0]]
    partitions = {size: first(f"partition{size}") for size in PARTITION_SIZES}
    return Reading(
        driver=driver,
        name=device.name,
        kind=text("type") or "",
        uuid=text("uuid"),
        bus=bus_id(text("bus") or ""),
        product=text("productName"),
        place=Place(numa=own, roots=_texts(first("pcie"))),
        module=next(iter(_whole_numbers(first("module"))), None),
        partitions={size: value for size, value in partitions.items() if value is not None},
        contradictions=(f"{told} {own[0]} and {', '.join(others)}",) if others else (),
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
