"""The examples of manifests/examples: what their READMEs state, and what has become of their pods, told from objects.

A README states placements in blocks like this one, whose first line says what is applied to which fleet:

    manifests/examples/one-gpu on 1 l4-pcie, 1 dgx-h100
    PODS  OF    ON          EACH WITH                TOGETHER
    2     vllm  1 dgx-h100  1 NVIDIA H100 80GB HBM3

A last line tells how many GPUs are used in all where pods have parts or shares of them.

`, with NICs` after the boxes publishes their network cards as well. The boxes are those of scheduler.simulator.fleet.
`table` writes such a block from nodes, slices, claims and pods alone, as an API server has them; it shares no code with
the scheduler. Pods of one workload with equal facts are one line, so that it does not matter which of equal devices or
nodes they got.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.api import KINDS, Raw
from e2e.judge import BUS, NUMA, Device, claim_names
from e2e.kustomize import MANIFESTS, built
from scheduler.simulator import fleet

FOLDER = MANIFESTS / "examples"
CUT_SINCE = 36
ROOT_COMPLEX = "resource.kubernetes.io/pcieRoot"
HEAD = ("PODS", "OF", "ON", "EACH WITH", "TOGETHER")
# GB/s between any two GPUs of a box whose switches or mesh join them all; of bridges a node's annotation tells.
JOINED: Mapping[str, int] = {
    "dgx-h100": 450, "dgx-h100-partitions": 450, "dgx-h200": 450, "dgx-b200": 900, "dgx-a100": 300, "aws-p4d": 300,
    "h100-quad": 150, "dgx2-v100": 150, "nvl72": 900, "gb300-nvl72": 900, "mi300x": 48, "mi325x": 48,
}  # fmt: skip
_BLOCK = re.compile(r"^```text\n(manifests/examples/(\S+) on ([^\n]+))\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PENDING = "no node, pending"
_WAITING = re.compile(rf"^(\d+) .*  {PENDING}  ", re.MULTILINE)
_OLDEST = re.compile(r"^\| Kubernetes \| 1\.(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Example:
    """One block of a README.

    folder : the kustomization, below manifests/examples. words : the fleet, as `dovetail simulate --fleet` takes it.
    stated : the whole block. oldest : the minor version of Kubernetes from which on it works.
    """

    folder: str
    words: str
    stated: str
    oldest: int

    @property
    def boxes(self) -> list[str]:
        """Which boxes the fleet has."""
        return [*fleet.stated(self.words)[0]]

    @property
    def waiting(self) -> int:
        """How many pods it states to be without a node."""
        return sum(int(count) for count in _WAITING.findall(self.stated))

    def __str__(self) -> str:
        return "-".join([self.folder.replace("/", "-"), *self.boxes])

    @property
    def placed_from(self) -> int:
        """The minor version from which on its fleet can be published: parts draw on counters by default since 1.36."""
        cut = any("sharedCounters" in each.get("spec", {}) for each in self.fleet())
        return max(self.oldest, CUT_SINCE if cut else 0)

    def fleet(self) -> list[Raw]:
        """Nodes, slices and DeviceClasses."""
        counts, nics = fleet.stated(self.words)
        return [*fleet.device_classes(), *fleet.fleet(counts, nics=nics)]

    def items(self, namespace: str) -> list[Raw]:
        """Its objects as kubectl builds them; those without a namespace, cluster-scoped kinds apart, are in this one.

        Raises ControlPlaneError where kubectl refuses the kustomization.
        """
        items = built(FOLDER / self.folder)
        for item in items:
            if item["kind"] not in CLUSTERED:
                item["metadata"].setdefault("namespace", namespace)
        return items

    def found(self, objects: Iterable[Raw]) -> str:
        """The block that `stated` should be, from all objects of a cluster."""
        head, _, _ = self.stated.partition("\n")
        return f"{head}\n{table(objects, self.boxes)}"


CLUSTERED = frozenset(kind for kind, (_, _, namespaced) in KINDS.items() if not namespaced)
"""Kinds of objects in examples that have no namespace."""


def examples() -> list[Example]:
    """What the READMEs of all examples state. Raises ValueError for one that states nothing, or what is no fleet."""
    return [each for readme in sorted(FOLDER.glob("*/README.md")) for each in read(readme)]


def read(readme: Path) -> list[Example]:
    """The blocks of one README."""
    text = readme.read_text()
    oldest = _OLDEST.search(text)
    found = [
        Example(folder, words, f"{head}\n{rows.rstrip()}", int(oldest[1]) if oldest else 0)
        for head, folder, words, rows in _BLOCK.findall(text)
    ]
    if not found or oldest is None:
        raise ValueError(f"{readme}: states no placement, or no row `| Kubernetes | 1.NN`; e2e/examples.py shows both")
    return found


def replicas(item: Raw, nodes: Iterable[Raw] = ()) -> int:
    """How many pods an object asks for, by itself or through its controllers. nodes : for those with a pod on each."""
    spec = item.get("spec") or {}
    if item["kind"] in {"Deployment", "StatefulSet", "ReplicaSet"}:
        return int(spec.get("replicas", 1))
    if item["kind"] == "Job":
        return int(spec.get("parallelism", 1))
    if item["kind"] == "DaemonSet":
        selector = spec["template"]["spec"].get("nodeSelector", {}).items()
        return sum(selector <= node["metadata"]["labels"].items() for node in nodes)
    return int(item["kind"] == "Pod")


# ---------------------------------------------------------------- what has become of pods


@dataclass(frozen=True, slots=True)
class Held:
    """A device that a pod holds, or holds a part of, with what its slice and its claim say."""

    key: Device
    raw: Raw
    result: Raw

    def of(self, name: str) -> str:
        """An attribute in words, under its own name or that of the driver; empty where there is none."""
        attributes = self.raw.get("attributes", {})
        bare = name.rpartition("/")[2]
        for spelled in (name, f"{self.key[0]}/{bare}", bare):
            if spelled in attributes:
                return str(next(iter(attributes[spelled].values())))
        return ""

    def named(self) -> str:
        """What it is, in words for people."""
        product = self.of("productName") or self.of("model") or self.key[0]
        if self.of("type") == "mig":
            product = f"MIG {self.of('profile')} of {product}"
        elif self.of("rdmaDevice"):
            product = "RDMA NIC"
        drawn = self.result.get("consumedCapacity")
        parts = " and ".join(f"{amount} {name}" for name, amount in sorted(drawn.items())) if drawn else ""
        return (
            f"{product}{f', {parts}' if parts else ''}{' for admin access' if self.result.get('adminAccess') else ''}"
        )

    @property
    def card(self) -> tuple[str, str]:
        """The node, and the GPU that it is, or is a part or a share of."""
        return self.key[1], self.of(BUS) or self.of("pcieBusID")

    @property
    def partial(self) -> bool:
        """Whether it is a part or a share of a GPU."""
        return self.of("type") == "mig" or bool(self.result.get("consumedCapacity"))


def table(objects: Iterable[Raw], boxes: Iterable[str]) -> str:
    """Where the pods are and with what, one line for pods that are alike. boxes : what nodes are named after."""
    by_kind: dict[str, list[Raw]] = defaultdict(list)
    for each in objects:
        by_kind[each["kind"]].append(each)
    devices = {
        (each["spec"]["driver"], each["spec"]["pool"]["name"], device["name"]): device
        for each in by_kind["ResourceSlice"]
        for device in each["spec"].get("devices", ())
    }
    claims = {(each["metadata"]["namespace"], each["metadata"]["name"]): each for each in by_kind["ResourceClaim"]}
    nodes = {each["metadata"]["name"]: each for each in by_kind["Node"]}
    held = {
        pod["metadata"]["uid"]: _held(pod, claims, devices) for pod in by_kind["Pod"] if pod["spec"].get("nodeName")
    }
    holders = Counter(key for found in held.values() for key in {each.key for each in found})
    lines: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for pod in by_kind["Pod"]:
        node = pod["spec"].get("nodeName", "")
        mine = held.get(pod["metadata"]["uid"], [])
        box = max((box for box in boxes if node.startswith(f"{box}-")), key=len, default=node or PENDING)
        together = _together(mine, nodes[node], box, holders) if node else ""
        lines[workload(pod), box, _what(mine), together].append(node)
    rows = [
        (str(len(on)), name, f"{len(set(on))} {box}" if on[0] else box, what, together)
        for (name, box, what, together), on in sorted(lines.items())
    ]
    cards = {each.card for found in held.values() for each in found if each.partial}
    total = f"\n{len(cards)} GPU{'s' if len(cards) > 1 else ''} in all" if cards else ""
    return _columns([HEAD, *rows]) + total


def workload(pod: Raw) -> str:
    """The name of what made it: a Deployment, StatefulSet, Job and so on; its own where it was made by hand."""
    owners = [each for each in pod["metadata"].get("ownerReferences", ()) if each.get("controller")]
    if not owners:
        return str(pod["metadata"]["name"])
    name: str = owners[0]["name"]
    hashed = pod["metadata"].get("labels", {}).get("pod-template-hash")
    return name.removesuffix(f"-{hashed}") if hashed else name


def _held(pod: Raw, claims: Mapping[tuple[str, str], Raw], devices: Mapping[Device, Raw]) -> list[Held]:
    found = []
    for name in claim_names(pod):
        allocation = claims[pod["metadata"]["namespace"], name]["status"]["allocation"]
        for result in allocation["devices"]["results"]:
            key = (result["driver"], result["pool"], result["device"])
            found.append(Held(key, devices[key], result))
    return found


def _what(held: Sequence[Held]) -> str:
    counted = Counter(each.named() for each in held)
    return " + ".join(f"{count} {name}" for name, count in sorted(counted.items())) or "no device"


def _together(held: Sequence[Held], node: Raw, box: str, holders: Mapping[Device, int]) -> str:
    """What its devices have in common, and how many pods each has."""
    words = []
    gpus = [each for each in held if each.raw.get("attributes") and not each.of("rdmaDevice")]
    nics = [each for each in held if each.of("rdmaDevice")]
    if len(gpus) > 1 and not any(each.of("type") == "mig" or "adminAccess" in each.result for each in gpus):
        words.append(_links(gpus, node, box))
    if len(held) > 1 and all(each.of(NUMA) for each in held):
        numa = {each.of(NUMA) for each in held}
        words.append("one NUMA node" if len(numa) == 1 else f"{len(numa)} NUMA nodes")
    if any(nic.of(ROOT_COMPLEX) for nic in nics):
        behind = sum(any(nic.of(ROOT_COMPLEX) == gpu.of(ROOT_COMPLEX) != "" for nic in nics) for gpu in gpus)
        words.append(f"{behind} of {len(gpus)} GPUs behind the PCIe root of a NIC")
    shared = {holders[each.key] for each in held if "adminAccess" not in each.result} - {1}
    words += [f"each device held by {number} pods" for number in sorted(shared)]
    return ", ".join(words)


def _links(gpus: Sequence[Held], node: Raw, box: str) -> str:
    """The slowest NVLink or xGMI between two of them."""
    told = node["metadata"].get("annotations", {}).get("dovetail.scheduler/links")
    bridges = {frozenset(pair[:2]): pair[2] for pair in json.loads(told)["pairs"]} if told else {}
    buses = [each.of(BUS) for each in gpus]
    pairs = [frozenset({one, other}) for at, one in enumerate(buses) for other in buses[:at]]
    slowest = min(bridges.get(pair, 0) if told else JOINED.get(box, 0) for pair in pairs)
    return f"all linked at {slowest} GB/s" if slowest else "not all linked"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
