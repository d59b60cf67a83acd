"""What each machine of `scoring.topology.boxes` publishes beside where its devices sit: drivers, products, host."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from scoring.topology import boxes
from scoring.topology.boxes import Seat

NVIDIA: Final = "gpu.nvidia.com"
AMD: Final = "gpu.amd.com"
EXAMPLE: Final = "gpu.example.com"
HAMI: Final = "hami-core-gpu.project-hami.io"
NIC: Final = "dra.net"
RACK_NODES: Final = 18

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Box:
    """A kind of machine. cpu in cores, memory in GiB; `bridges` are pairs of GPU numbers with their GB/s, of boxes
    whose product does not tell them.

    `attributes` and `capacity` are the same for all of its GPUs, in the API's form. nodes : how many make a rack.
    cut : MIG profiles of each GPU, empty where no GPU is cut. table : of `mig.TABLES`, for GPUs that are cut on demand.
    partitions : the driver publishes Fabric Manager partitions. shared : it lets claims take shares of all capacities.
    """

    driver: str
    gpus: tuple[Seat, ...]
    attributes: Mapping[str, Raw]
    capacity: Mapping[str, str]
    cpu: int
    memory: int
    arch: str = "amd64"
    bridges: tuple[tuple[int, int, int], ...] = ()
    nics: tuple[Seat, ...] = ()
    nodes: int = 1
    cut: tuple[tuple[str, ...], ...] = ()
    table: str = ""
    partitions: bool = False
    shared: bool = False


def _nvidia(product: str, architecture: str, capability: str, addressing: str = "HMM") -> dict[str, Raw]:
    brand = "Tesla" if "Tesla" in product else "GeForce" if "GeForce" in product else "Nvidia"
    return {
        "type": {"string": "gpu"},
        "productName": {"string": product},
        "brand": {"string": "QuadroRTX" if "Quadro" in product else brand},
        "architecture": {"string": architecture},
        "cudaComputeCapability": {"version": capability},
        "driverVersion": {"version": "580.126.9"},
        "cudaDriverVersion": {"version": "13.0.0"},
        **({"addressingMode": {"string": addressing}} if addressing else {}),
    }


def _amd(product: str, device: str) -> dict[str, Raw]:
    return {
        "type": {"string": "amdgpu"},
        "deviceID": {"string": device},
        "productName": {"string": product},
        "driverVersion": {"version": "6.12.12"},
        "partitionProfile": {"string": "spx_nps1"},
    }


def _of(
    name: str, family: str, memory: str, cpu: int, host_memory: int, *, addressing: str = "HMM", arch: str = "amd64",
    nodes: int = 1,
) -> Box:  # fmt: skip
    """An NVIDIA box. family : architecture and compute capability."""
    box = boxes.BOXES[name]
    architecture, _, capability = family.rpartition(" ")
    size = len(box.gpus)
    bridges = tuple((i, j, int(box.links[i, j])) for i in range(size) for j in range(i + 1, size) if box.links[i, j])
    return Box(
        NVIDIA,
        box.gpus,
        _nvidia(box.product, architecture, capability, addressing),
        {"memory": memory},
        cpu,
        host_memory,
        arch,
        bridges=() if box.told else bridges,
        nics=box.nics,
        nodes=nodes,
    )


def _of_amd(name: str, device: str, memory: str) -> Box:
    box = boxes.BOXES[name]
    capacity = {"memory": memory, "computeUnits": "304", "simdUnits": "1216"}
    return Box(AMD, box.gpus, _amd(box.product, device), capacity, 192, 2304, nics=box.nics)


_A100: Final = _of("dgx-a100", "Ampere 8.0.0", "40Gi", 256, 1024)
_H100: Final = _of("dgx-h100", "Hopper 9.0.0", "81559Mi", 224, 2048)
_H200: Final = _of("dgx-h200", "Hopper 9.0.0", "143771Mi", 224, 2048)
_A100_80: Final = replace(
    _A100, attributes=_nvidia("NVIDIA A100-SXM4-80GB", "Ampere", "8.0.0"), capacity={"memory": "80Gi"}
)

BOXES: Final[Mapping[str, Box]] = {
    "dgx-h100": _H100,
    "dgx-h200": _H200,
    "dgx-b200": _of("dgx-b200", "Blackwell 10.0.0", "183359Mi", 224, 2048),
    "h100-quad": _of("h100-quad", "Hopper 9.0.0", "81559Mi", 96, 512),
    "dgx-a100": _A100,
    "aws-p4d": _of("aws-p4d", "Ampere 8.0.0", "40Gi", 96, 1152),
    "dgx1-v100": _of("dgx1-v100", "Volta 7.0.0", "16Gi", 80, 512, addressing=""),
    "dgx1-p100": _of("dgx1-p100", "Pascal 6.0.0", "16Gi", 80, 512, addressing=""),
    "dgx2-v100": _of("dgx2-v100", "Volta 7.0.0", "32Gi", 96, 1536, addressing=""),
    "a100-pcie-bridged": _of("a100-pcie-bridged", "Ampere 8.0.0", "40Gi", 128, 1024),
    "a40-bridged": _of("a40-bridged", "Ampere 8.6.0", "46068Mi", 128, 1024),
    "a100-bridged-quad": _of("a100-bridged-quad", "Ampere 8.0.0", "40Gi", 64, 512),
    "a100-one-bridge": _of("a100-one-bridge", "Ampere 8.0.0", "40Gi", 64, 512),
    "rtx8000-quad": _of("rtx8000-quad", "Turing 7.5.0", "46080Mi", 64, 512),
    "l40s-pcie": _of("l40s-pcie", "Ada Lovelace 8.9.0", "46068Mi", 128, 1024),
    "l4-pcie": _of("l4-pcie", "Ada Lovelace 8.9.0", "23034Mi", 192, 768),
    "rtx4090-pcie": _of("rtx4090-pcie", "Ada Lovelace 8.9.0", "24564Mi", 128, 512),
    "nvl72": _of("nvl72", "Blackwell 10.0.0", "189471Mi", 144, 960, addressing="ATS", arch="arm64", nodes=RACK_NODES),
    "gb300-nvl72": _of(
        "gb300-nvl72", "Blackwell 10.3.0", "284208Mi", 144, 960, addressing="ATS", arch="arm64", nodes=RACK_NODES
    ),
    "mi300x": _of_amd("mi300x", "0x74a1", "196592Mi"),
    "mi325x": _of_amd("mi325x", "0x74a5", "262128Mi"),
    "dgx-h100-partitions": replace(_H100, partitions=True),
    "dgx-h100-shared": replace(_H100, shared=True),
    "dgx-h100-hami": replace(
        _H100,
        driver=HAMI,
        attributes={**_nvidia("NVIDIA H100 80GB HBM3", "Hopper", "9.0.0", ""), "type": {"string": "hami-gpu"}},
        capacity={"cores": "100", "memory": "81559Mi"},
        shared=True,
    ),
    "a100-mig": replace(_A100, capacity={}, cut=(("1g.5gb",) * 7,) * 4 + (("2g.10gb", "2g.10gb", "3g.20gb"),) * 4,
                        table="A100-40"),
    "dgx-a100-dynamic-mig": replace(_A100, table="A100-40"),
    "dgx-a100-80-dynamic-mig": replace(_A100_80, table="A100-80"),
    "dgx-h100-dynamic-mig": replace(_H100, table="H100-80"),
    "dgx-h200-dynamic-mig": replace(_H200, table="H200-141"),
}  # fmt: skip
