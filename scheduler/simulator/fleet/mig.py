"""MIG: which parts GPUs can be cut into, where in their memory, and how the NVIDIA driver publishes that.

Static MIG publishes the parts that exist. Dynamic MIG (gate DynamicMIG) publishes every part that could be made: one
device a placement, each drawing from the counters of its GPU, and the whole GPU, which draws all of them.

Sources: sizes, multiprocessors and placements of the A100 from go-nvml's mock, of the H100 from `nvidia-smi mig -lgip`;
engines from the MIG user guide; counters and names from dra-driver-nvidia-gpu (partitions.go). Memory of the H200's
parts is its share of the whole, not measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Raw = dict[str, Any]
SLICES: Final = 8  # of memory


@dataclass(frozen=True, slots=True)
class Profile:
    """A way to cut. identity : GPU instance profile id. memory in MiB. starts : memory slices that it may begin at.

    size : how many memory slices it takes. compute : how many of the seven compute slices.
    """

    name: str
    identity: int
    compute: int
    size: int
    starts: tuple[int, ...]
    multiprocessors: int
    memory: int
    copy: int
    decoders: int
    jpeg: int = 0
    ofa: int = 0

    @property
    def amounts(self) -> Mapping[str, str]:
        """Capacities that every part has, in the order in which the driver gives them."""
        return {
            "memory": f"{self.memory}Mi",
            "multiprocessors": str(self.multiprocessors),
            "copyEngines": str(self.copy),
            "decoders": str(self.decoders),
            "encoders": "0",
            "jpegEngines": str(self.jpeg),
            "ofaEngines": str(self.ofa),
        }


_ANY: Final = (0, 1, 2, 3, 4, 5, 6)
_EVEN: Final = (0, 2, 4, 6)


def _a100(sizes: str, memory: tuple[int, int, int, int]) -> tuple[Profile, ...]:
    one, two, four, whole = sizes.split()
    small, double, half, all_of_it = memory
    return (
        Profile(f"1g.{one}", 19, 1, 1, _ANY, 14, small, 1, 0),
        Profile(f"1g.{one}+me", 20, 1, 1, _ANY, 14, small, 1, 1, 1, 1),
        Profile(f"1g.{two}", 15, 1, 2, _EVEN, 14, double, 1, 1),
        Profile(f"2g.{two}", 14, 2, 2, (0, 2, 4), 28, double, 2, 1),
        Profile(f"3g.{four}", 9, 3, 4, (0, 4), 42, half, 3, 2),
        Profile(f"4g.{four}", 5, 4, 4, (0,), 56, half, 4, 2),
        Profile(f"7g.{whole}", 0, 7, 8, (0,), 98, all_of_it, 7, 5, 1, 1),
    )


def _h100(sizes: str, memory: tuple[int, int, int, int]) -> tuple[Profile, ...]:
    one, two, four, whole = sizes.split()
    small, double, half, all_of_it = memory
    return (
        Profile(f"1g.{one}", 19, 1, 1, _ANY, 16, small, 1, 1, 1),
        Profile(f"1g.{one}+me", 20, 1, 1, _ANY, 16, small, 1, 1, 1, 1),
        Profile(f"1g.{two}", 15, 1, 2, _EVEN, 26, double, 1, 1, 1),
        Profile(f"2g.{two}", 14, 2, 2, (0, 2, 4), 32, double, 2, 2, 2),
        Profile(f"3g.{four}", 9, 3, 4, (0, 4), 60, half, 3, 3, 3),
        Profile(f"4g.{four}", 5, 4, 4, (0,), 64, half, 4, 4, 4),
        Profile(f"7g.{whole}", 0, 7, 8, (0,), 132, all_of_it, 8, 7, 7, 1),
    )


TABLES: Final[Mapping[str, tuple[Profile, ...]]] = {
    "A100-40": _a100("5gb 10gb 20gb 40gb", (4864, 9856, 19968, 40192)),
    "A100-80": _a100("10gb 20gb 40gb 80gb", (9856, 19968, 40192, 80384)),
    "H100-80": _h100("10gb 20gb 40gb 80gb", (9984, 20096, 40448, 81152)),
    "H200-141": _h100("18gb 35gb 71gb 141gb", (17920, 35840, 71680, 143360)),
}
"""By GPU, the profiles from the smallest to the whole."""


def profile(table: str, name: str) -> Profile:
    """A profile by its name. Raises KeyError."""
    return {each.name: each for each in TABLES[table]}[name]


def device_name(gpu: int, part: Profile, start: int) -> str:
    """As the driver names the part of a GPU that begins at this memory slice."""
    return f"gpu-{gpu}-mig-{part.name.replace('.', '').replace('+', '')}-{part.identity}-{start}"


def capacity(part: Profile, start: int) -> Raw:
    """What a part has, memory slices by number included."""
    slices = {f"memorySlice{at}": "1" for at in range(start, start + part.size)}
    return {name: {"value": amount} for name, amount in {**part.amounts, **slices}.items()}


def counters(part: Profile, start: int) -> Raw:
    """What a part draws from the counters of its GPU; nothing of what it has none of."""
    slices = {f"memory-slice-{at}": "1" for at in range(start, start + part.size)}
    drawn = {_kebab(name): amount for name, amount in part.amounts.items() if amount != "0"}
    return {name: {"value": amount} for name, amount in {**drawn, **slices}.items()}


def counter_set(gpu: int, table: str, memory: str) -> Raw:
    """All that a GPU can be cut into, and all of its memory."""
    whole = TABLES[table][-1]
    totals = {**{_kebab(name): amount for name, amount in whole.amounts.items()}, "memory": memory}
    slices = {f"memory-slice-{at}": "1" for at in range(SLICES)}
    return {
        "name": set_name(gpu),
        "counters": {name: {"value": amount} for name, amount in {**totals, **slices}.items()},
    }


def set_name(gpu: int) -> str:
    """As the driver names the counters of a GPU."""
    return f"gpu-{gpu}-counter-set"


def _kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)
