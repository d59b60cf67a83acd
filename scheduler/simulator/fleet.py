"""Nodes and ResourceSlices as real boxes publish them: what demo, simulator, end-to-end tests and benchmarks run on.

Objects are API dictionaries (`v1`, `resource.k8s.io/v1`), ready for `kubectl apply` or for decoding. Devices carry the
attribute and capacity names of their driver and nothing more; above all, no driver publishes which GPUs are linked.

| box               | devices        | links between them                     | NUMA nodes      | source               |
|-------------------|----------------|----------------------------------------|-----------------|----------------------|
| dgx-h100          | 8 H100 SXM5    | every pair, 450 GB/s (NVSwitch)        | 0 x 4, 1 x 4    | NCCL 1264, DGX guide |
| dgx-a100          | 8 A100 SXM4    | every pair, 300 GB/s (NVSwitch)        | 3 3 1 1 7 7 5 5 | NCCL 1505            |
| dgx1-v100         | 8 V100 SXM2    | hybrid cube mesh: 50, 25 or none       | 0 x 4, 1 x 4    | NCCL 671             |
| a100-pcie-bridged | 8 A100 PCIe    | 0-2, 1-3, 4-5, 6-7 at 300 GB/s         | 0 x 4, 1 x 4    | device-plugin 546    |
| l40s-pcie         | 8 L40S         | none                                   | 0 x 4, 1 x 4    | L40S data sheet      |
| a100-mig          | 40 MIG devices | none (4 GPUs of 7 x 1g, 4 of 2g 2g 3g) | as dgx-a100     | MIG guide, go-nvml   |
| nvl72             | 18 x 4 GB200   | every pair, 900 GB/s, across the rack  | 0 0 1 1         | OCI, topograph       |
| mi300x            | 8 MI300X       | every pair, 64 GB/s (xGMI)             | 0 x 4, 1 x 4    | RCCL topo_8p_940     |
| plain-N           | N example GPUs | unknown                                | halves          | dra-example-driver   |

A number after a project's name is its issue or pull request. Bus ids of dgx-a100 are those of the source; other bus ids
and all PCIe roots are typical of the box, not taken from one. Everything is a function of its arguments.
"""

import json
import random
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from scheduler.core import names

NVIDIA: Final = "gpu.nvidia.com"
AMD: Final = "gpu.amd.com"
EXAMPLE: Final = "gpu.example.com"
STANDARD: Final = "resource.kubernetes.io/"
CLIQUE: Final = "nvidia.com/gpu.clique"
RACK_NODES: Final = 18
MAX_SLICE: Final = 128  # devices; resource.k8s.io/v1, ResourceSliceSpec.devices

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gpu:
    """Where a GPU sits in its box."""

    bus: str
    root: str
    numa: int


@dataclass(frozen=True, slots=True)
class Box:
    """A kind of machine. cpu in cores, memory in GiB; `bridges` are pairs of GPU numbers with their GB/s.

    `attributes` and `capacity` are the same for all of its GPUs, in the API's form.
    """

    driver: str
    gpus: tuple[Gpu, ...]
    attributes: Mapping[str, Raw]
    capacity: Mapping[str, str]
    cpu: int
    memory: int
    arch: str = "amd64"
    bridges: tuple[tuple[int, int, int], ...] = ()
    cut: tuple[tuple[str, ...], ...] = ()  # MIG profiles of each GPU, empty where no GPU is cut
    nodes: int = 1


@dataclass(frozen=True, slots=True)
class _Mig:
    """A MIG profile of the A100 40GB: GPU instance profile id, multiprocessors, MiB, engines, memory slices."""

    identity: int
    multiprocessors: int
    memory: int
    copy: int
    decoders: int
    slices: int


_A100_MIG: Final = {
    "1g.5gb": _Mig(19, 14, 4864, 1, 0, 1),
    "2g.10gb": _Mig(14, 28, 9856, 2, 1, 2),
    "3g.20gb": _Mig(9, 42, 19968, 3, 2, 4),
}


def _seats(text: str) -> tuple[Gpu, ...]:
    """Lines of `bus root numa`."""
    return tuple(Gpu(f"{bus}:00.0", f"pci{root}", int(numa)) for bus, root, numa in map(str.split, text.split(",")))


def _nvidia(product: str, architecture: str, capability: str, addressing: str = "HMM") -> dict[str, Raw]:
    return {
        "type": {"string": "gpu"},
        "productName": {"string": product},
        "brand": {"string": "Tesla" if "Tesla" in product else "Nvidia"},
        "architecture": {"string": architecture},
        "cudaComputeCapability": {"version": capability},
        "driverVersion": {"version": "580.126.9"},
        "cudaDriverVersion": {"version": "13.0.0"},
        **({"addressingMode": {"string": addressing}} if addressing else {}),
    }


_DGX_A100_SEATS: Final = _seats(
    "0000:07 0000:00 3, 0000:0f 0000:00 3, 0000:47 0000:40 1, 0000:4e 0000:40 1,"
    "0000:87 0000:80 7, 0000:90 0000:80 7, 0000:b7 0000:b0 5, 0000:bd 0000:b0 5"
)
_TWO_SOCKETS: Final = _seats(
    "0000:01 0000:00 0, 0000:25 0000:20 0, 0000:41 0000:40 0, 0000:61 0000:60 0,"
    "0000:81 0000:80 1, 0000:a1 0000:a0 1, 0000:c1 0000:c0 1, 0000:e1 0000:e0 1"
)

BOXES: Final[Mapping[str, Box]] = {
    "dgx-h100": Box(
        NVIDIA,
        _seats(
            "0000:1b 0000:15 0, 0000:43 0000:37 0, 0000:52 0000:48 0, 0000:61 0000:59 0,"
            "0000:9d 0000:97 1, 0000:c3 0000:b7 1, 0000:d1 0000:c7 1, 0000:df 0000:d7 1"
        ),
        _nvidia("NVIDIA H100 80GB HBM3", "Hopper", "9.0.0"),
        {"memory": "81559Mi"},
        cpu=224,
        memory=2048,
    ),
    "dgx-a100": Box(
        NVIDIA,
        _DGX_A100_SEATS,
        _nvidia("NVIDIA A100-SXM4-40GB", "Ampere", "8.0.0"),
        {"memory": "40Gi"},
        cpu=256,
        memory=1024,
    ),
    "dgx1-v100": Box(
        NVIDIA,
        _seats(
            "0000:06 0000:00 0, 0000:07 0000:00 0, 0000:0a 0000:00 0, 0000:0b 0000:00 0,"
            "0000:85 0000:80 1, 0000:86 0000:80 1, 0000:89 0000:80 1, 0000:8a 0000:80 1"
        ),
        _nvidia("Tesla V100-SXM2-16GB", "Volta", "7.0.0", addressing=""),
        {"memory": "16Gi"},
        cpu=80,
        memory=512,
    ),
    "a100-pcie-bridged": Box(
        NVIDIA,
        _TWO_SOCKETS,
        _nvidia("NVIDIA A100-PCIE-40GB", "Ampere", "8.0.0"),
        {"memory": "40Gi"},
        cpu=128,
        memory=1024,
        bridges=((0, 2, 300), (1, 3, 300), (4, 5, 300), (6, 7, 300)),
    ),
    "l40s-pcie": Box(
        NVIDIA,
        _TWO_SOCKETS,
        _nvidia("NVIDIA L40S", "Ada Lovelace", "8.9.0"),
        {"memory": "46068Mi"},
        cpu=128,
        memory=1024,
    ),
    "a100-mig": Box(
        NVIDIA,
        _DGX_A100_SEATS,
        _nvidia("NVIDIA A100-SXM4-40GB", "Ampere", "8.0.0"),
        {},
        cpu=256,
        memory=1024,
        cut=(("1g.5gb",) * 7,) * 4 + (("2g.10gb", "2g.10gb", "3g.20gb"),) * 4,
    ),
    "nvl72": Box(
        NVIDIA,
        _seats("0008:01 0008:00 0, 0009:01 0009:00 0, 0018:01 0018:00 1, 0019:01 0019:00 1"),
        _nvidia("NVIDIA GB200", "Blackwell", "10.0.0", addressing="ATS"),
        {"memory": "189471Mi"},
        cpu=144,
        memory=960,
        arch="arm64",
        nodes=RACK_NODES,
    ),
    "mi300x": Box(
        AMD,
        _seats(
            "0000:0c 0000:00 0, 0000:22 0000:20 0, 0000:38 0000:30 0, 0000:5c 0000:50 0,"
            "0000:9f 0000:90 1, 0000:af 0000:a0 1, 0000:bf 0000:b0 1, 0000:df 0000:d0 1"
        ),
        {
            "type": {"string": "amdgpu"},
            "deviceID": {"string": "0x74a1"},
            "productName": {"string": "AMD_Instinct_MI300X_OAM"},
            "driverVersion": {"version": "6.12.12"},
            "partitionProfile": {"string": "spx_nps1"},
        },
        {"memory": "196592Mi", "computeUnits": "304", "simdUnits": "1216"},
        cpu=192,
        memory=2304,
    ),
}


def box_of(name: str) -> Box:
    """The box of this name, `plain-N` with N from 1 to 999 included.

    Raises ValueError, which names the nearest.
    """
    found = BOXES.get(name)
    if found is not None:
        return found
    plain = re.fullmatch(r"plain-([1-9][0-9]{0,2})", name, re.ASCII)
    if plain is None:
        near = get_close_matches(name, [*BOXES, "plain-8"], 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(BOXES)} and plain-N"
        raise ValueError(f"box {name!r}: not known; {hint}")
    count = int(plain[1])
    seats = tuple(
        Gpu(f"0000:{i // 32:02x}:{i % 32:02x}.0", f"pci{i // 512:04x}:{i // 2 % 256:02x}", 2 * i // count)
        for i in range(count)
    )
    attributes = {"model": {"string": "LATEST-GPU-MODEL"}, "driverVersion": {"version": "1.0.0"}}
    return Box(EXAMPLE, seats, attributes, {"memory": "80Gi"}, cpu=64, memory=512)


def node(box: str, name: str, *, links: bool = True, rack: str = "rack-0") -> Raw:
    """A Ready node of this kind, labelled as ours.

    links : write the annotation that tells of bridges, on boxes that have some.
    rack : which NVLink rack an nvl72 node belongs to; its clique label derives from it.
    """
    kind = box_of(box)
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": kind.arch,
        names.OWNED: "true",
    }
    if kind.nodes > 1:
        labels[CLIQUE] = f"{_uuid('rack', rack)}.32766"
    metadata: Raw = {"name": name, "labels": labels}
    if links and kind.bridges:
        pairs = [[kind.gpus[i].bus, kind.gpus[j].bus, speed] for i, j, speed in kind.bridges]
        text = json.dumps({"pairs": pairs, "default": 0}, separators=(",", ":"))
        metadata["annotations"] = {names.LINKS: text}
    amounts = {"pods": "110", "ephemeral-storage": "1Ti", "hugepages-1Gi": "0", "hugepages-2Mi": "0"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata,
        "spec": {},
        "status": {
            "capacity": {"cpu": str(kind.cpu), "memory": f"{kind.memory}Gi", **amounts},
            # What kubelet and system keep: two cores and one part in 32 of the memory.
            "allocatable": {"cpu": str(kind.cpu - 2), "memory": f"{kind.memory * 31 // 32}Gi", **amounts},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }


def slices(box: str, name: str, *, seed: int = 0) -> list[Raw]:
    """The ResourceSlices of one node: one pool, named after the node, in as few slices as the API allows.

    The seed, the box and the name of the node decide the UUIDs.
    """
    kind = box_of(box)
    devices = _devices(kind, f"{seed}/{box}/{name}")
    parts = [devices[start : start + MAX_SLICE] for start in range(0, len(devices), MAX_SLICE)]
    return [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": f"{name}-{kind.driver}" + (f"-{number}" if number else "")},
            "spec": {
                "driver": kind.driver,
                "nodeName": name,
                "pool": {"name": name, "generation": 1, "resourceSliceCount": len(parts)},
                "devices": part,
            },
        }
        for number, part in enumerate(parts)
    ]


def device_classes() -> list[Raw]:
    """The DeviceClasses that these drivers install."""
    nvidia = f"device.driver == '{NVIDIA}' && device.attributes['{NVIDIA}'].type == "
    selectors = {
        NVIDIA: nvidia + "'gpu'",
        "mig.nvidia.com": nvidia + "'mig'",
        AMD: f"device.driver == '{AMD}'",
        EXAMPLE: f"device.driver == '{EXAMPLE}'",
    }
    extended = {NVIDIA: "nvidia.com/gpu"}
    return [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": name},
            "spec": {
                "selectors": [{"cel": {"expression": expression}}],
                **({"extendedResourceName": extended[name]} if name in extended else {}),
            },
        }
        for name, expression in selectors.items()
    ]


def fleet(counts: Mapping[str, int], seed: int = 0) -> list[Raw]:
    """Nodes, in an order that the seed decides, then their slices in the same order.

    counts : box -> how many; of nvl72, how many racks of 18 nodes. Nodes are named after their box and number.
    """
    members: list[tuple[str, str, str]] = []
    for box, count in counts.items():
        kind = box_of(box)
        for number in range(count):
            place = f"{box}-{number}"
            if kind.nodes == 1:
                members.append((box, place, ""))
            else:
                members += [(box, f"{place}-{tray}", place) for tray in range(kind.nodes)]
    random.Random(seed).shuffle(members)
    nodes = [node(box, name, rack=f"{seed}/{rack}") for box, name, rack in members]
    return nodes + [part for box, name, _ in members for part in slices(box, name, seed=seed)]


def _devices(kind: Box, place: str) -> list[Raw]:
    if kind.cut:
        return [device for i in range(len(kind.gpus)) for device in _mig_devices(kind, i, place)]
    return [_device(kind, i, place) for i in range(len(kind.gpus))]


def _device(kind: Box, i: int, place: str) -> Raw:
    capacity = {name: {"value": amount} for name, amount in kind.capacity.items()}
    own: dict[str, Raw] = {}
    if kind.driver != AMD:
        own["uuid"] = {"string": f"GPU-{_uuid('gpu', place, i)}"}
    if kind.driver == EXAMPLE:
        own["index"] = {"int": i}
    name = f"gpu-{i}-{128 + i}" if kind.driver == AMD else f"gpu-{i}"
    return {"name": name, "attributes": {**kind.attributes, **own, **_seat(kind, i)}, "capacity": capacity}


def _seat(kind: Box, i: int) -> dict[str, Raw]:
    seat = kind.gpus[i]
    # The AMD driver publishes its NUMA node under its own domain.
    numa = "numaNode" if kind.driver == AMD else STANDARD + "numaNode"
    return {
        STANDARD + "pciBusID": {"string": seat.bus},
        STANDARD + "pcieRoot": {"string": seat.root},
        numa: {"int": seat.numa},
    }


def _mig_devices(kind: Box, i: int, place: str) -> list[Raw]:
    devices: list[Raw] = []
    start = 0
    for profile in kind.cut[i]:
        mig = _A100_MIG[profile]
        amounts = {
            "memory": f"{mig.memory}Mi",
            "multiprocessors": str(mig.multiprocessors),
            "copyEngines": str(mig.copy),
            "decoders": str(mig.decoders),
            "encoders": "0",
            "jpegEngines": "0",
            "ofaEngines": "0",
            **{f"memorySlice{at}": "1" for at in range(start, start + mig.slices)},
        }
        attributes = {
            **kind.attributes,
            "type": {"string": "mig"},
            "uuid": {"string": f"MIG-{_uuid('mig', place, i, start)}"},
            "parentUUID": {"string": f"GPU-{_uuid('gpu', place, i)}"},
            "profile": {"string": profile},
            **_seat(kind, i),
        }
        name = f"gpu-{i}-mig-{profile.replace('.', '')}-{mig.identity}-{start}"
        capacity = {key: {"value": amount} for key, amount in amounts.items()}
        devices.append({"name": name, "attributes": attributes, "capacity": capacity})
        start += mig.slices
    return devices


def _uuid(*parts: object) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_DNS, "/".join(["fleet.dovetail.scheduler", *map(str, parts)]))
