"""Every manifest that can be migrated finds its devices on nodes that have what it asks for, and not without."""

import json
from collections.abc import Iterator

import pytest

from scheduler.audit.migrating.migration import migrate
from scheduler.audit.migrating.patches import value_of
from scheduler.audit.sources import Source
from scheduler.audit.subjects import pods, subjects
from scheduler.audit.tree import TreeError, chunks, parse
from scheduler.simulator.objects import parse as objects
from scheduler.simulator.run import simulate
from tests.audit.manifests import everything

UNSUPPORTED = {"field: a pod that spreads and avoids by labels of pods"}
"""What the scheduler refuses by name."""
RESULTS = {name: (text, migrate([Source("a.yaml", text)])) for name, text in everything()}
MIGRATED = {
    name: result.texts
    for name, (_, result) in RESULTS.items()
    if any("by template" in each.text for each in result.done) and not result.refused and name not in UNSUPPORTED
}
OF_NVIDIA = {  # product: (architecture, compute capability, memory)
    "NVIDIA H100 80GB HBM3": ("Hopper", "9.0.0", "81559Mi"),
    "NVIDIA H200": ("Hopper", "9.0.0", "143771Mi"),
    "NVIDIA A100-SXM4-40GB": ("Ampere", "8.0.0", "40Gi"),
    "NVIDIA L40S": ("Ada Lovelace", "8.9.0", "46068Mi"),
    "NVIDIA L4": ("Ada Lovelace", "8.9.0", "23034Mi"),
    "Tesla T4": ("Turing", "7.5.0", "15360Mi"),
}
PROFILES = (
    "1g.5gb",
    "1g.10gb",
    "1g.10gb+me",
    "2g.10gb",
    "2g.20gb",
    "3g.20gb",
    "3g.40gb",
    "4g.20gb",
    "7g.40gb",
    "7g.80gb",
)
OTHERS = {"gpu.amd.com": 8, "gpu.intel.com": 8, "gaudi.intel.com": 8, "tpu.google.com": 8, "qat.intel.com": 8}


def devices_of_nvidia() -> Iterator[tuple[dict[str, object], str]]:
    for product, (architecture, capability, memory) in OF_NVIDIA.items():
        model = {"productName": {"string": product}, "architecture": {"string": architecture},
                 "cudaComputeCapability": {"version": capability}}  # fmt: skip
        for _ in range(8):
            yield {"type": {"string": "gpu"}, **model}, memory
        for profile in PROFILES if product.startswith(("NVIDIA H100", "NVIDIA A100")) else ():
            yield {"type": {"string": "mig"}, "profile": {"string": profile}, **model}, "5Gi"


def slices(driver, devices):
    """Of so many devices, 100 in each slice."""
    named = [
        {"name": f"d-{at}", "attributes": attributes, "capacity": {"memory": {"value": memory}}}
        for at, (attributes, memory) in enumerate(devices)
    ]
    pool = {"name": f"n-{driver}", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": driver, "nodeName": "n", "pool": pool, "devices": named}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": driver}, "spec": spec}


def fleet(labels, resources, without=()):
    """One node with these labels and extended resources, and devices of all drivers but these."""
    metadata = {"name": "n", "labels": labels}
    allocatable = {"cpu": "64", "memory": "512Gi", "pods": "110", "ephemeral-storage": "1Ti", **resources}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {"allocatable": allocatable}}
    amd = [({"partitionProfile": {"string": "spx_nps1"}}, "192Gi")] * 8 + [
        ({"partitionProfile": {"string": "cpx_nps4"}}, "24Gi")
    ]
    found = {
        "gpu.nvidia.com": list(devices_of_nvidia()),
        **{name: [({}, "16Gi")] * count for name, count in OTHERS.items()},
    }
    found["gpu.amd.com"] = amd
    return [node, *(slices(driver, devices) for driver, devices in found.items() if driver not in without)]


def roots(texts):
    for name, text in texts.items():
        for chunk in chunks(text):
            try:
                yield from subjects(name, parse(text, *chunk).root)
            except TreeError:
                continue


def specs(texts):
    """The PodSpecs of all workloads, those of custom resources too."""
    return [value_of(group.spec) for subject in roots(texts) for group in pods(subject)]


def needs(texts):
    """Labels and extended resources that these pods still ask of a node."""
    labels, resources = {}, {}
    for subject in roots(texts):
        for asked in subject.asked:
            if asked.requirement.operator == "In" and not asked.requirement.preferred:
                labels[asked.requirement.key] = asked.requirement.values[0]
            elif asked.requirement.operator == "Gt":
                labels[asked.requirement.key] = str(int(asked.requirement.values[0]) + 1)
        for group in subject.groups:
            resources |= {use.resource: "64" for use in group.uses}
    return labels, resources


def outcome(texts, **without):
    """Each pod of these texts once, with the templates and classes beside it, on a fleet."""
    labels, resources = needs(texts)
    kept = [value_of(each.root) for each in roots(texts) if each.dra]
    made = []
    for subject in roots(texts):
        for group in pods(subject):
            metadata = {"name": f"p-{len(made)}", "namespace": subject.namespace or "default"}
            spec = {**value_of(group.spec), "schedulerName": "dovetail"}
            made.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    cluster = {"apiVersion": "v1", "kind": "List", "items": [*fleet(labels, resources, **without), *kept, *made]}
    return len(made), simulate(objects("cluster.json", json.dumps(cluster)))


@pytest.mark.parametrize("name", MIGRATED)
def test_what_is_migrated_is_placed_and_waits_where_the_devices_are_missing(name):
    count, placed = outcome(MIGRATED[name])
    _, waiting = outcome(MIGRATED[name], without=("gpu.nvidia.com", *OTHERS))

    assert placed.pending == {}
    assert len(placed.bound) == count > 0
    claiming = [spec for spec in specs(MIGRATED[name]) if spec.get("resourceClaims")]
    assert len(waiting.pending) == len(claiming) > 0


def test_most_can_be_migrated_whole():
    assert len(MIGRATED) >= 120
