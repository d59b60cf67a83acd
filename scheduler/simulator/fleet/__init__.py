"""Nodes and ResourceSlices as real boxes publish them: what demo, simulator, end-to-end tests and benchmarks run on.

Objects are API dictionaries (`v1`, `resource.k8s.io/v1`), ready for `kubectl apply` or for decoding. Devices carry the
attribute and capacity names of their driver and nothing more; above all, no driver publishes which GPUs are linked.

The machines are those of `scoring.topology.boxes`, which says where their facts are from, and besides

| box                     | is                                                                         |
|-------------------------|----------------------------------------------------------------------------|
| dgx-h100-partitions     | dgx-h100 whose driver publishes Fabric Manager partitions and module ids   |
| dgx-h100-shared         | dgx-h100 whose driver lets claims take shares of a GPU, by memory          |
| dgx-h100-hami           | the same with HAMi's driver, by memory and hundredths of compute           |
| a100-mig                | dgx-a100 cut into 40 MIG devices: 4 GPUs of 7 x 1g, 4 of 2g 2g 3g          |
| dgx-a100-dynamic-mig    | every MIG device that could be made, drawing from the counters of its GPU; |
| dgx-a100-80-dynamic-mig | with GPUs of 80 GB                                                         |
| dgx-h100-dynamic-mig    | the same of an H100                                                        |
| dgx-h200-dynamic-mig    | the same of an H200                                                        |
| plain-N                 | N GPUs of dra-example-driver, of whose links nothing is known              |

    kinds   what each kind publishes     mig   parts of GPUs, static and dynamic

Everything is a function of its arguments.
"""

import json
import random
import re
import uuid
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from scheduler.core import names
from scheduler.simulator.fleet import mig
from scheduler.simulator.fleet.kinds import AMD, BOXES, EXAMPLE, HAMI, NIC, NVIDIA, RACK_NODES, Box
from scoring.topology.boxes import Seat

__all__ = [
    "AMD",
    "BOXES",
    "EXAMPLE",
    "HAMI",
    "NIC",
    "NVIDIA",
    "RACK_NODES",
    "box_of",
    "device_classes",
    "fleet",
    "node",
    "slices",
    "stated",
]

_WITH_NICS: Final = ", with NICs"
STANDARD: Final = "resource.kubernetes.io/"
CLIQUE: Final = "nvidia.com/gpu.clique"
PRESENT: Final = "nvidia.com/gpu.present"  # NVIDIA's operator writes it
MAX_SLICE: Final = 128  # devices; resource.k8s.io/v1, ResourceSliceSpec.devices
VENDORS: Final[Mapping[str, str]] = {"aws-p4d": "Amazon.com, Inc."}  # of NICs, where it is not Mellanox

Raw = dict[str, Any]


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
        Seat(f"0000:{i // 32:02x}:{i % 32:02x}.0", f"pci{i // 512:04x}:{i // 2 % 256:02x}", 2 * i // count)
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
    if kind.driver == NVIDIA:
        labels[PRESENT] = "true"
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


def slices(box: str, name: str, *, seed: int = 0, nics: bool = False) -> list[Raw]:
    """The ResourceSlices of one node: one pool a driver, named after the node.

    The seed, the box and the name of the node decide the UUIDs. nics : publish its network cards as well, as dranet.
    """
    kind = box_of(box)
    place = f"{seed}/{box}/{name}"
    parts = _cut_on_demand(kind, place) if kind.table and not kind.cut else _in_parts(_devices(kind, place))
    found = _pool(name, kind.driver, parts)
    if nics and kind.nics:
        found += _pool(name, NIC, _in_parts([_nic(box, kind, i, place) for i in range(len(kind.nics))]))
    return found


def _in_parts(devices: list[Raw]) -> list[Raw]:
    return [{"devices": devices[start : start + MAX_SLICE]} for start in range(0, len(devices), MAX_SLICE)]


def _pool(name: str, driver: str, parts: list[Raw]) -> list[Raw]:
    return [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": f"{name}-{driver}" + (f"-{number}" if number else "")},
            "spec": {
                "driver": driver,
                "nodeName": name,
                "pool": {"name": name, "generation": 1, "resourceSliceCount": len(parts)},
                **part,
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
        NIC: f"device.driver == '{NIC}'",
        HAMI: f"device.driver == '{HAMI}' && device.attributes['{HAMI}'].type == 'hami-gpu'",
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


def fleet(counts: Mapping[str, int], seed: int = 0, *, nics: bool = False) -> list[Raw]:
    """Nodes, in an order that the seed decides, then their slices in the same order.

    counts : box -> how many; of racks, how many of 18 nodes. Nodes are named after their box and number.
    nics : as in `slices`.
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
    return nodes + [part for box, name, _ in members for part in slices(box, name, seed=seed, nics=nics)]


def stated(words: str) -> tuple[dict[str, int], bool]:
    """`2 dgx-h100, 1 l4-pcie, with NICs` as counts and `nics` of `fleet`; the last part may be left out.

    Raises ValueError, which says what is meant by each part.
    """
    boxes, nics = words.removesuffix(_WITH_NICS), words.endswith(_WITH_NICS)
    counts: dict[str, int] = {}
    for part in boxes.split(","):
        found = re.fullmatch(r"([1-9][0-9]{0,4}) ([a-z0-9-]+)", part.strip(), re.ASCII)
        if found is None:
            raise ValueError(f"{part.strip()!r}: is not of the form `NUMBER BOX`, such as `2 dgx-h100`")
        box_of(found[2])
        if found[2] in counts:
            raise ValueError(f"box {found[2]!r}: is there twice")
        counts[found[2]] = int(found[1])
    return counts, nics


def _devices(kind: Box, place: str) -> list[Raw]:
    if kind.cut:
        return [device for i in range(len(kind.gpus)) for device in _mig_devices(kind, i, place)]
    return [_device(kind, i, place) for i in range(len(kind.gpus))]


def _device(kind: Box, i: int, place: str) -> Raw:
    capacity: dict[str, Raw] = {name: {"value": amount} for name, amount in kind.capacity.items()}
    own: dict[str, Raw] = {}
    if kind.driver != AMD:
        own["uuid"] = {"string": f"GPU-{_uuid('gpu', place, i)}"}
    if kind.driver == EXAMPLE:
        own["index"] = {"int": i}
    if kind.partitions:
        own["gpuModuleID"] = {"int": i + 1}
        own |= {f"partition{size}": {"int": i // size} for size in (1, 2, 4, 8)}
    if kind.driver == HAMI:
        own["minor"] = {"int": i}
    name = {AMD: f"gpu-{i}-{128 + i}", HAMI: f"hami-gpu-{i}"}.get(kind.driver, f"gpu-{i}")
    found: Raw = {"name": name, "attributes": {**kind.attributes, **own, **_seat(kind, i)}, "capacity": capacity}
    if kind.shared:
        # As ConsumableShares in mode `memory`, and HAMi's driver: who asks for no amount gets all of it.
        for each, least, step in (("memory", "1Mi", "1Mi"), ("cores", "0", "1")):
            if each in capacity:
                whole = kind.capacity[each]
                ranged = {"min": least, "max": whole, "step": step}
                capacity[each]["requestPolicy"] = {"default": whole, "validRange": ranged}
        found["allowMultipleAllocations"] = True
    return found


def _seat(kind: Box, i: int) -> dict[str, Raw]:
    seat = kind.gpus[i]
    if kind.driver == HAMI:
        return {"pcieBusID": {"string": seat.bus}, STANDARD + "pcieRoot": {"string": seat.root}}
    # The AMD driver publishes its NUMA node under its own domain.
    numa = "numaNode" if kind.driver == AMD else STANDARD + "numaNode"
    return {
        STANDARD + "pciBusID": {"string": seat.bus},
        STANDARD + "pcieRoot": {"string": seat.root},
        numa: {"int": seat.numa},
    }


def _part(kind: Box, i: int, part: mig.Profile, start: int, place: str) -> Raw:
    """A MIG device, whether it exists or could be made."""
    attributes = {
        **kind.attributes,
        "type": {"string": "mig"},
        "parentUUID": {"string": f"GPU-{_uuid('gpu', place, i)}"},
        "profile": {"string": part.name},
        **_seat(kind, i),
    }
    name = mig.device_name(i, part, start)
    return {"name": name, "attributes": attributes, "capacity": mig.capacity(part, start)}


def _mig_devices(kind: Box, i: int, place: str) -> list[Raw]:
    devices: list[Raw] = []
    start = 0
    for name in kind.cut[i]:
        part = mig.profile(kind.table, name)
        device = _part(kind, i, part, start, place)
        device["attributes"]["uuid"] = {"string": f"MIG-{_uuid('mig', place, i, start)}"}
        devices.append(device)
        start += part.size
    return devices


def _cut_on_demand(kind: Box, place: str) -> list[Raw]:
    """One part with the counters of all GPUs, then one a GPU with every device that it can be or be cut into."""
    memory = kind.capacity["memory"]
    sets = [mig.counter_set(i, kind.table, memory) for i in range(len(kind.gpus))]
    parts: list[Raw] = [{"sharedCounters": sets}]
    for i in range(len(kind.gpus)):
        whole = _device(kind, i, place)
        whole["consumesCounters"] = [{"counterSet": mig.set_name(i), "counters": sets[i]["counters"]}]
        devices = [whole]
        for part in mig.TABLES[kind.table]:
            for start in part.starts:
                device = _part(kind, i, part, start, place)
                drawn = mig.counters(part, start)
                device["consumesCounters"] = [{"counterSet": mig.set_name(i), "counters": drawn}]
                devices.append(device)
        parts.append({"devices": devices})
    return parts


def _nic(box: str, kind: Box, i: int, place: str) -> Raw:
    """As dranet publishes a network card. One of which the root complex cannot be told has none."""
    seat = kind.nics[i]
    digits = _uuid("nic", place, i).hex
    return {
        "name": "pci-" + seat.bus.replace(":", "-").replace(".", "-"),
        "attributes": {
            f"{NIC}/ifName": {"string": f"eth{i + 1}"},
            f"{NIC}/pciAddress": {"string": seat.bus},
            f"{NIC}/pciVendor": {"string": VENDORS.get(box, "Mellanox Technologies")},
            f"{NIC}/mac": {"string": ":".join(["02", *(digits[at : at + 2] for at in range(0, 10, 2))])},
            f"{NIC}/mtu": {"int": 9000},
            f"{NIC}/numaNode": {"int": seat.numa},
            f"{NIC}/rdma": {"bool": True},
            f"{NIC}/rdmaDevice": {"string": f"mlx5_{i}"},
            f"{NIC}/sriov": {"bool": False},
            f"{NIC}/state": {"string": "up"},
            f"{NIC}/type": {"string": "device"},
            f"{NIC}/virtual": {"bool": False},
            **({STANDARD + "pcieRoot": {"string": seat.root}} if seat.root else {}),
        },
    }


def _uuid(*parts: object) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_DNS, "/".join(["fleet.dovetail.scheduler", *map(str, parts)]))
