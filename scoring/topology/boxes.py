"""Machines that exist, 14 types and their variants: where each GPU and NIC sits, and which GPUs are linked how fast.

| type | boxes                              | GPUs, links                          | source                      |
|------|------------------------------------|--------------------------------------|-----------------------------|
| 1    | dgx-a100                           | 8, 12 links into 6 NVSwitches        | NCCL 1505, dask-cuda 1358   |
| 2    | aws-p4d                            | 8, as 1; 1 NIC for 2 GPUs            | dranet aws_eks_examples     |
| 3    | dgx-h100, dgx-h200, dgx-b200       | 8, 18 links into NVSwitches          | NCCL 1264, DGX guides       |
| 4    | h100-quad                          | 4, 6 links between every pair        | NCCL 1617                   |
| 5    | nvl72, gb300-nvl72                 | 18 x 4, 18 links into the rack       | topograph, dranet examples  |
| 6    | dgx1-v100                          | 8, hybrid cube mesh                  | go-gpuallocator, NCCL 671   |
| 7    | dgx1-p100                          | 8, two full quads and i to i+4       | go-gpuallocator             |
| 8    | dgx2-v100                          | 16, 6 links into NVSwitches          | nccl-tests 78               |
| 9    | a100-pcie-bridged, a40-bridged     | 8, bridges 0-2, 1-3, 4-5, 6-7        | k8s-device-plugin 546       |
| 10   | a100-bridged-quad                  | 4, bridges 0-1, 2-3                  | dra-driver-nvidia-gpu 214   |
| 11   | a100-one-bridge                    | 4, bridge 0-1 alone                  | k8s-device-plugin 436       |
| 12   | rtx8000-quad                       | 4, double bridges 0-3, 1-2           | go-gpuallocator             |
| 13   | l40s-pcie, l4-pcie, rtx4090-pcie   | 8, none                              | dra-driver-nvidia-gpu 1165  |
| 14   | mi300x, mi325x                     | 8, xGMI between every pair           | RCCL topo_8p_940.xml        |

A number after a project's name is its issue or pull request. NUMA nodes, links and which NIC is beside which GPU are of
the source. PCI addresses are of the source for dgx-a100, aws-p4d, l4-pcie and the roots of type 5; others are typical
of the box, not taken from one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from scoring.arrays import Floats
from scoring.topology.catalogue import cube_mesh, quads
from scoring.topology.nvlink import mesh, pairs, uniform


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a device sits. `root` is empty where its driver cannot tell; `switch` and `rail` where there is none."""

    bus: str
    root: str
    numa: int
    switch: str = ""
    rail: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Box:
    """A machine. links : float32 (n, n) of its GPUs, as in Layout.bandwidth; GPUs in the order of their bus ids.

    told : product and count decide the links, so that nobody needs to be told them.
    """

    name: str
    type: int
    product: str
    gpus: tuple[Seat, ...]
    links: Floats
    source: str
    nics: tuple[Seat, ...] = ()
    told: bool = True


def _seats(text: str) -> tuple[Seat, ...]:
    """`bus root numa [switch [rail]]`, parted by commas; `-` is nothing. What is left of an address is 0."""
    found = []
    for each in text.split(","):
        bus, root, numa, *more = each.split()
        switch, rail = (*(("" if word == "-" else word) for word in more), "", "")[:2]
        address = bus if "." in bus else f"{bus}.0" if bus.count(":") == 2 else f"{bus}:00.0"
        found.append(Seat(address, "" if root == "-" else f"pci{root}", int(numa), switch, rail))
    return tuple(found)


def _paired(gpus: Iterable[Seat], nics: str) -> tuple[Seat, ...]:
    """NICs on the switches of these GPUs, one each, at these buses."""
    return tuple(
        Seat(f"{bus}:00.0", gpu.root, gpu.numa, gpu.switch, gpu.rail)
        for gpu, bus in zip(gpus, nics.split(), strict=True)
    )


_DGX_A100: Final = _seats(
    "0000:07 0000:00 3 a, 0000:0f 0000:00 3 a, 0000:47 0000:40 1 b, 0000:4e 0000:40 1 b,"
    "0000:87 0000:80 7 c, 0000:90 0000:80 7 c, 0000:b7 0000:b0 5 d, 0000:bd 0000:b0 5 d"
)
_DGX_A100_NICS: Final = _seats(
    "0000:0c 0000:00 3 a, 0000:12 0000:00 3 a, 0000:4b 0000:40 1 b, 0000:54 0000:40 1 b,"
    "0000:8d 0000:80 7 c, 0000:94 0000:80 7 c, 0000:ba 0000:b0 5 d, 0000:cc 0000:b0 5 d,"
    "0000:61 0000:60 1, 0000:e1 0000:e0 5"
)
_P4D: Final = _seats(
    "0000:10:1c 0000:10 0 a, 0000:10:1d 0000:10 0 a, 0000:20:1c 0000:20 0 b, 0000:20:1d 0000:20 0 b,"
    "0000:90:1c 0000:90 1 c, 0000:90:1d 0000:90 1 c, 0000:a0:1c 0000:a0 1 d, 0000:a0:1d 0000:a0 1 d"
)
_P4D_NICS: Final = _seats(
    "0000:10:1b 0000:10 0 a, 0000:20:1b 0000:20 0 b, 0000:90:1b 0000:90 1 c, 0000:a0:1b 0000:a0 1 d"
)
_HGX: Final = _seats(
    "0000:1b 0000:15 0 s0 0, 0000:43 0000:37 0 s1 1, 0000:52 0000:48 0 s2 2, 0000:61 0000:59 0 s3 3,"
    "0000:9d 0000:97 1 s4 4, 0000:c3 0000:b7 1 s5 5, 0000:d1 0000:c7 1 s6 6, 0000:df 0000:d7 1 s7 7"
)
_HGX_NICS: Final = (
    *_paired(_HGX, "0000:18 0000:40 0000:4f 0000:5e 0000:9a 0000:c0 0000:ce 0000:dc"),
    *_seats("0000:29 0000:26 0, 0000:aa 0000:a7 1"),
)
_QUAD: Final = _seats("0000:1a 0000:15 0 s0 0, 0000:56 0000:50 1 s1 1, 0000:8f 0000:89 2 s2 2, 0000:c8 0000:c2 3 s3 3")
_RACK: Final = _seats("0008:01 0008:00 0, 0009:01 0009:00 0, 0018:01 0018:00 1, 0019:01 0019:00 1")
_GB200_NICS: Final = _seats(
    "0000:03 0000:00 0, 0000:03:00.1 0000:00 0, 0002:03 0002:00 0, 0002:03:00.1 0002:00 0,"
    "0010:03 0010:00 1, 0010:03:00.1 0010:00 1, 0012:03 0012:00 1, 0012:03:00.1 0012:00 1"
)
_GB300_NICS: Final = _seats("0101:00 - 0, 0102:00 - 0, 0103:00 - 1, 0104:00 - 1")
_DGX1: Final = _seats(
    "0000:06 0000:00 0 a, 0000:07 0000:00 0 a, 0000:0a 0000:00 0 b, 0000:0b 0000:00 0 b,"
    "0000:85 0000:80 1 c, 0000:86 0000:80 1 c, 0000:89 0000:80 1 d, 0000:8a 0000:80 1 d"
)
_DGX1_NICS: Final = _seats("0000:05 0000:00 0 a, 0000:0c 0000:00 0 b, 0000:84 0000:80 1 c, 0000:8b 0000:80 1 d")
_DGX2: Final = _seats(
    "0000:34 0000:30 0 a, 0000:36 0000:30 0 a, 0000:39 0000:30 0 b, 0000:3b 0000:30 0 b,"
    "0000:57 0000:50 0 c, 0000:59 0000:50 0 c, 0000:5c 0000:50 0 d, 0000:5e 0000:50 0 d,"
    "0000:b7 0000:b0 1 e, 0000:b9 0000:b0 1 e, 0000:bc 0000:b0 1 f, 0000:be 0000:b0 1 f,"
    "0000:e0 0000:d8 1 g, 0000:e2 0000:d8 1 g, 0000:e5 0000:d8 1 h, 0000:e7 0000:d8 1 h"
)
_DGX2_NICS: Final = _seats(
    "0000:35 0000:30 0 a, 0000:3a 0000:30 0 b, 0000:58 0000:50 0 c, 0000:5d 0000:50 0 d,"
    "0000:b8 0000:b0 1 e, 0000:bd 0000:b0 1 f, 0000:e1 0000:d8 1 g, 0000:e6 0000:d8 1 h"
)
_TWO_SOCKETS: Final = _seats(
    "0000:01 0000:00 0, 0000:25 0000:20 0, 0000:41 0000:40 0, 0000:61 0000:60 0,"
    "0000:81 0000:80 1, 0000:a1 0000:a0 1, 0000:c1 0000:c0 1, 0000:e1 0000:e0 1"
)
_FOUR_NODES: Final = _seats("0000:01 0000:00 0, 0000:41 0000:40 1, 0000:81 0000:80 2, 0000:c1 0000:c0 3")
_TWO_NODES: Final = _seats("0000:17 0000:16 0, 0000:31 0000:30 0, 0000:b1 0000:b0 1, 0000:ca 0000:c9 1")
_L4: Final = _seats(
    "0000:9f 0000:9e 0, 0000:a1 0000:a0 0, 0000:a3 0000:a2 0, 0000:a5 0000:a4 0,"
    "0000:ae 0000:ad 1, 0000:b0 0000:af 1, 0000:b2 0000:b1 1, 0000:b4 0000:b3 1"
)
_MI300X: Final = _seats(
    "0000:0c 0000:00 0 s0 0, 0000:22 0000:20 0 s1 1, 0000:38 0000:30 0 s2 2, 0000:5c 0000:50 0 s3 3,"
    "0000:9f 0000:90 1 s4 4, 0000:af 0000:a0 1 s5 5, 0000:bf 0000:b0 1 s6 6, 0000:df 0000:d0 1 s7 7"
)
_MI300X_NICS: Final = _paired(_MI300X, "0000:09 0000:1f 0000:35 0000:59 0000:9c 0000:ac 0000:bc 0000:dc")
_IRREGULAR: Final = pairs("02 13 45 67")

_BOXES: Final = (
    Box("dgx-a100", 1, "NVIDIA A100-SXM4-40GB", _DGX_A100, uniform(8, 300), "NCCL 1505", _DGX_A100_NICS),
    Box("aws-p4d", 2, "NVIDIA A100-SXM4-40GB", _P4D, uniform(8, 300), "dranet aws_eks_examples", _P4D_NICS),
    Box("dgx-h100", 3, "NVIDIA H100 80GB HBM3", _HGX, uniform(8, 450), "NCCL 1264", _HGX_NICS),
    Box("dgx-h200", 3, "NVIDIA H200", _HGX, uniform(8, 450), "NCCL 1264, DGX guide", _HGX_NICS),
    Box("dgx-b200", 3, "NVIDIA B200", _HGX, uniform(8, 900), "DGX guide", _HGX_NICS),
    Box("h100-quad", 4, "NVIDIA H100 80GB HBM3", _QUAD, uniform(4, 150), "NCCL 1617",
        _paired(_QUAD, "0000:17 0000:53 0000:8c 0000:c5")),
    Box("nvl72", 5, "NVIDIA GB200", _RACK, uniform(4, 900), "topograph nvl72.yaml, dranet", _GB200_NICS),
    Box("gb300-nvl72", 5, "NVIDIA GB300", _RACK, uniform(4, 900), "dranet azure_aks_examples", _GB300_NICS),
    Box("dgx1-v100", 6, "Tesla V100-SXM2-16GB", _DGX1, cube_mesh(8), "go-gpuallocator, NCCL 671", _DGX1_NICS),
    Box("dgx1-p100", 7, "Tesla P100-SXM2-16GB", _DGX1, quads(8), "go-gpuallocator", _DGX1_NICS),
    Box("dgx2-v100", 8, "Tesla V100-SXM3-32GB", _DGX2, uniform(16, 150), "nccl-tests 78", _DGX2_NICS),
    Box("a100-pcie-bridged", 9, "NVIDIA A100-PCIE-40GB", _TWO_SOCKETS, mesh(8, {12: _IRREGULAR}, 25),
        "k8s-device-plugin 546", told=False),
    Box("a40-bridged", 9, "NVIDIA A40", _TWO_SOCKETS, mesh(8, {4: _IRREGULAR}, 14),
        "k8s-device-plugin 546, A40 data sheet", told=False),
    Box("a100-bridged-quad", 10, "NVIDIA A100-PCIE-40GB", _FOUR_NODES, mesh(4, {12: pairs("01 23")}, 25),
        "dra-driver-nvidia-gpu 214", _seats("0000:42 0000:40 1"), told=False),
    Box("a100-one-bridge", 11, "NVIDIA A100-PCIE-40GB", _TWO_NODES, mesh(4, {12: pairs("01")}, 25),
        "k8s-device-plugin 436", _seats("0000:18 0000:16 0, 0000:b2 0000:b0 1"), told=False),
    Box("rtx8000-quad", 12, "Quadro RTX 8000", _TWO_NODES, mesh(4, {2: pairs("03 12")}, 25),
        "go-gpuallocator", told=False),
    Box("l40s-pcie", 13, "NVIDIA L40S", _TWO_SOCKETS, uniform(8, 0), "L40S data sheet",
        _seats("0000:26 0000:20 0, 0000:a2 0000:a0 1")),
    Box("l4-pcie", 13, "NVIDIA L4", _L4, uniform(8, 0), "dra-driver-nvidia-gpu PR 1165"),
    Box("rtx4090-pcie", 13, "NVIDIA GeForce RTX 4090", _TWO_SOCKETS, uniform(8, 0), "go-gpuallocator 17"),
    Box("mi300x", 14, "AMD_Instinct_MI300X_OAM", _MI300X, uniform(8, 64), "RCCL topo_8p_940.xml", _MI300X_NICS),
    Box("mi325x", 14, "AMD_Instinct_MI325X_OAM", _MI300X, uniform(8, 64), "RCCL topo_8p_940.xml", _MI300X_NICS),
)  # fmt: skip

BOXES: Final[Mapping[str, Box]] = {box.name: box for box in _BOXES}
