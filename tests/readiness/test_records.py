"""Eight recorded clusters: the whole report of each, and every gap held against the record by other means.

`python -m e2e.readiness` made the records on real API servers; `--goldens` writes what is said of them.
"""

import json
from pathlib import Path

import pytest

from scheduler.readiness.assessment import assess
from scheduler.readiness.command import readiness
from scheduler.readiness.record import Document, from_files, written
from scheduler.readiness.report import as_json, as_markdown, as_table

FOLDER = Path(__file__).parent
RECORDS = sorted((FOLDER / "records").glob("*.json"))
READY, GAP, OPEN = "ready", "gap", "open"
ALWAYS = {
    "one-gpu": READY, "heterogeneous": READY, "shared-claim": READY, "admin-monitoring": READY,
    "consumable-compute": GAP,
}  # fmt: skip
NO_ADDONS = {"autoscaling": GAP}
WHOLE = {"mig": GAP, "mig-mix": GAP}
VERDICTS = {
    # Kubernetes 1.34 is too old for Dovetail, whatever the drivers do.
    "1.34-nvidia-v25.8.1": dict.fromkeys(
        [*ALWAYS, "tensor-parallel", "prefill-decode", "extended-resource", "consumable-capacity", "mig", "mig-mix",
         "time-slicing", "mps", "autoscaling"], GAP,
    ),
    "1.34-amd-v1.0.0": dict.fromkeys(
        [*ALWAYS, "tensor-parallel", "prefill-decode", "extended-resource", "consumable-capacity", "mig", "mig-mix",
         "time-slicing", "mps", "autoscaling"], GAP,
    ),
    # One GPU that is cut on demand: nothing to link, no NIC, and only the gate that it needs is on.
    "1.35-nvidia-v25.12.0-dynamic-mig": {
        **ALWAYS, **NO_ADDONS, "tensor-parallel": GAP, "prefill-decode": GAP, "extended-resource": GAP,
        "consumable-capacity": GAP, "mig": READY, "mig-mix": READY, "time-slicing": GAP, "mps": GAP,
    },
    # NICs share PCIe roots with GPUs; the gates of 1.35 are off, and nobody can see the driver's own.
    "1.35-nvidia-v0.4.1-dranet-v1.3.0": {
        **ALWAYS, **NO_ADDONS, **WHOLE, "tensor-parallel": READY, "prefill-decode": READY, "extended-resource": GAP,
        "consumable-capacity": GAP, "time-slicing": OPEN, "mps": OPEN,
    },
    # L40S have no links, and there are no NICs; all else is there.
    "1.36-nvidia-v0.5.0-shares": {
        **ALWAYS, "tensor-parallel": GAP, "prefill-decode": GAP, "extended-resource": READY,
        "consumable-capacity": READY, "mig": READY, "mig-mix": READY, "time-slicing": READY, "mps": GAP,
        "autoscaling": READY,
    },
    # No GPU of a GB200 shares a PCIe root with a NIC, and dranet v1.4.0 has no standard numaNode.
    "1.36-gb200-dranet-v1.4.0": {
        **ALWAYS, **NO_ADDONS, **WHOLE, "tensor-parallel": READY, "prefill-decode": GAP, "extended-resource": READY,
        "consumable-capacity": GAP, "time-slicing": OPEN, "mps": OPEN,
    },
    "1.37-nvidia-v0.5.0-partitions-dranet-v1.4.0": {
        **ALWAYS, **NO_ADDONS, **WHOLE, "tensor-parallel": READY, "prefill-decode": READY, "extended-resource": READY,
        "consumable-capacity": GAP, "time-slicing": GAP, "mps": GAP,
    },
    # Whoever recorded it could see neither nodes nor metrics: what they would tell is open, not missing.
    "1.37-amd-v1.0.1-slices-only": {
        **ALWAYS, **NO_ADDONS, **WHOLE, "tensor-parallel": OPEN, "prefill-decode": GAP, "extended-resource": GAP,
        "consumable-capacity": GAP, "time-slicing": GAP, "mps": GAP,
    },
}  # fmt: skip


def judged(path):
    record, problems = from_files([str(path)])
    assert problems == []
    return assess(record)


def test_there_are_eight_of_four_versions():
    assert {path.stem for path in RECORDS} == set(VERDICTS)
    assert {path.stem.split("-")[0] for path in RECORDS} == {"1.34", "1.35", "1.36", "1.37"}


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_the_whole_report_is_the_one_that_was_reviewed(path, capsys):
    assert readiness([str(path)], "table") == 1

    assert capsys.readouterr().out == (FOLDER / "golden" / f"{path.stem}.txt").read_text()


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_family_has_the_verdict_that_the_cluster_deserves(path):
    assert {each.family.name: each.verdict for each in judged(path).families} == VERDICTS[path.stem]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_that_is_read_and_written_is_the_same(path):
    text = path.read_text()

    assert written(Document.model_validate(json.loads(text))) == text


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_all_forms_say_the_same(path):
    found = judged(path)
    body = json.loads(as_json(found))

    assert body["ready"] == found.ready
    markdown, table = as_markdown(found), as_table(found)
    for family in body["families"]:
        assert f"| {family['name'].replace('-', chr(92) + '-')} | {family['verdict']} |" in markdown
        assert f"{family['name']} " in table
    for number, step in enumerate(body["steps"], 1):
        assert f"{number}. {step['do']}" in table


# ---------------------------------------------------------------- the truth, from the raw record


class Raw:
    """A record as it stands in its file, read without anything of ours."""

    def __init__(self, path):
        self.body = json.loads(path.read_text())
        self.items = {kind: [each for each in self.body["items"] if each["kind"] == kind] for kind in (
            "Node", "ResourceSlice", "DeviceClass", "DaemonSet")}  # fmt: skip
        self.unread = {each["what"] for each in self.body["unread"]}
        self.devices = [
            (item["spec"]["driver"], item["spec"]["nodeName"], device)
            for item in self.items["ResourceSlice"] for device in item["spec"].get("devices", [])
        ]  # fmt: skip

    def of(self, *drivers):
        return [each for each in self.devices if each[0] in drivers]

    @property
    def gpus(self):
        return self.of("gpu.nvidia.com", "gpu.amd.com")

    @property
    def whole(self):
        return [each for each in self.gpus if value(each[2], "type") in {"gpu", "amdgpu"}]

    @property
    def parts(self):
        return [each for each in self.gpus if value(each[2], "type") in {"mig", "amdgpu-partition"}]

    def gate(self, name):
        """True, false, or None where only the version's default tells."""
        if "features" in self.body:
            return self.body["features"].get(name, False)
        locked = {"DRAPrioritizedList", "DRAAdminAccess", "DRAExtendedResource"}
        return True if self.body["minor"] == 37 and name in locked else None

    @property
    def environment(self):
        return [
            entry["value"]
            for each in self.items["DaemonSet"]
            for container in each["spec"]["template"]["spec"]["containers"]
            for entry in container.get("env", [])
        ]


def value(device, *names):
    for name in names:
        for typed in device.get("attributes", {}).get(name, {}).values():
            return typed
    return None


def alike(raw, attribute):
    gpus = {(node, value(device, attribute)) for _, node, device in raw.whole}
    nics = {(node, value(device, attribute)) for _, node, device in raw.of("dra.net")}
    return any(pair[1] is not None for pair in gpus & nics)


def selects(raw, kind):
    """Whether a class is there whose text names the kind of device; the classes are those of three charts."""
    texts = {each["metadata"]["name"]: json.dumps(each["spec"]) for each in raw.items["DeviceClass"]}
    wanted = {"gpu": ("gpu.nvidia.com", "gpu.amd.com"), "mig": ("mig.nvidia.com", "gpu.amd.com")}[kind]
    drivers = {driver for driver, _, _ in (raw.whole if kind == "gpu" else raw.parts)}
    return any(name in texts and any(driver in texts[name] for driver in drivers) for name in wanted)


def linked(raw):
    """NVLink or xGMI between two whole GPUs of a node, by what the products are; None if nodes were not seen."""
    products = {}
    for _, node, device in raw.whole:
        products.setdefault(node, []).append(value(device, "productName"))
    able = [listed for listed in products.values() if len(listed) > 1 and "L40S" not in listed[0]]
    return None if able and "Node" in raw.unread else bool(able)


def groups(raw, *names):
    return bool(set(raw.body["groups"]) & set(names))


def given(raw, gate):
    """Whether NVIDIA's driver is given a gate of its own; None where nobody can see what it is given."""
    if any(f"{gate}=true" in text for text in raw.environment):
        return True
    return False if raw.environment or not raw.of("gpu.nvidia.com") else None


def unplugged(raw):
    if "Node" in raw.unread:
        return None
    offers = [node["status"].get("allocatable", {}) for node in raw.items["Node"]]
    return not any(int(amount) > 0 for offer in offers for amount in offer.values())


TRUTHS = {
    "Kubernetes 1.35 or newer with resource.k8s.io/v1": lambda raw: (
        raw.body["minor"] >= 35 and "ResourceSlice" in raw.body["apis"]["resource.k8s.io/v1"]
    ),
    "GPUs in ResourceSlices": lambda raw: bool(raw.whole),
    "a DeviceClass for GPUs": lambda raw: selects(raw, "gpu"),
    "a DeviceClass for parts of GPUs": lambda raw: selects(raw, "mig") if raw.parts else None,
    "a DeviceClass for NICs": lambda raw: (
        any("dra.net" in json.dumps(each["spec"]) for each in raw.items["DeviceClass"]) if raw.of("dra.net") else None
    ),
    "memory of GPUs as a capacity": lambda raw: any("memory" in device["capacity"] for _, _, device in raw.whole),
    "direct links between GPUs that are known": linked,
    "GPU and NIC that one attribute keeps together": lambda raw: (
        alike(raw, "resource.kubernetes.io/pcieRoot") or alike(raw, "resource.kubernetes.io/numaNode")
    ),
    "GPUs that several claims can share": lambda raw: any(
        device.get("allowMultipleAllocations") for _, _, device in raw.gpus
    ),
    "shared GPUs with compute as a capacity": lambda raw: any(
        device.get("allowMultipleAllocations") and "cores" in device.get("capacity", {}) for _, _, device in raw.gpus
    ),
    "parts of GPUs (MIG or compute partitions)": lambda raw: bool(raw.parts),
    "parts of at least two sizes": lambda raw: (
        len({value(device, "profile", "partitionProfile") for _, _, device in raw.parts}) > 1 if raw.parts else None
    ),
    "time-slicing settings of the driver": lambda raw: given(raw, "TimeSlicingSettings"),
    "MPS by the driver": lambda raw: given(raw, "MPSSupport"),
    "a DeviceClass with extendedResourceName": lambda raw: any(
        "extendedResourceName" in each["spec"] for each in raw.items["DeviceClass"]
    ),
    "no device plugin beside the driver": unplugged,
    "a source of metrics for autoscaling": lambda raw: groups(
        raw, "external.metrics.k8s.io", "custom.metrics.k8s.io", "keda.sh"
    ),
    "PodMonitor and ServiceMonitor": lambda raw: groups(raw, "monitoring.coreos.com"),
}  # fmt: skip


def truth(raw, what, why):
    if not what.startswith("feature gate "):
        return TRUTHS[what](raw)
    if why.startswith("not needed"):
        assert not any(device.get("consumesCounters") for _, _, device in raw.parts)
        return True
    return raw.gate(what.removeprefix("feature gate "))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_gap_is_true_and_everything_that_is_there_is(path):
    raw = Raw(path)
    for family in judged(path).families:
        for need in family.needs:
            holds = truth(raw, need.what, need.why)
            if "presumed" in need.why:
                assert holds is None, need
            else:
                assert need.verdict == {True: "met", False: "missing", None: "open"}[holds], need


def test_every_need_of_every_family_was_met_and_missed_somewhere():
    seen = {}
    for path in RECORDS:
        for family in judged(path).families:
            for need in family.needs:
                seen.setdefault(need.what, set()).add(need.verdict)

    never = {what for what, verdicts in seen.items() if verdicts == {"met"}}
    assert never == {
        # Every one of these clusters has GPUs with memory and classes for them; tests of single needs have others.
        "GPUs in ResourceSlices", "a DeviceClass for GPUs", "memory of GPUs as a capacity",
        "feature gate DRAPrioritizedList", "feature gate DRAAdminAccess", "feature gate DRAPartitionableDevices",
    }  # fmt: skip
