"""`dovetail simulate` from files to exit code: the same engine, the same bodies, no cluster."""

import io
import json
import random
import subprocess
import sys
from dataclasses import replace

import pytest
from ruamel.yaml import YAML

from scheduler.cluster import decode
from scheduler.core import names
from scheduler.core.config import EngineConfig, Ownership
from scheduler.core.gates import Gates
from scheduler.simulator import command, fleet, report
from scheduler.simulator.maps import node_maps
from scheduler.simulator.objects import Found, Objects, parse
from scheduler.simulator.run import DECODED, SIMULATED, simulate

WORKLOAD = """\
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: pair}
spec:
  spec:
    devices:
      requests:
      - name: gpus
        exactly: {deviceClassName: gpu.nvidia.com, count: 2}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: vllm}
spec:
  replicas: REPLICAS
  template:
    metadata: {labels: {app: vllm}}
    spec:
      schedulerName: dovetail
      resourceClaims: [{name: gpus, resourceClaimTemplateName: pair}]
      containers:
      - name: main
        image: vllm
        resources: {requests: {cpu: "4"}, claims: [{name: gpus}]}
"""


def cluster(**boxes):
    return fleet.fleet({name.replace("_", "-"): count for name, count in boxes.items()}) + fleet.device_classes()


def workload(replicas):
    return [each.raw for each in parse("workload", WORKLOAD.replace("REPLICAS", str(replicas))).found]


def given(*raws):
    return Objects([Found(raw, "here") for raw in raws])


def pod(name, *claims, **more):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "schedulerName": "dovetail",
            "resourceClaims": [{"name": each, "resourceClaimName": each} for each in claims],
            "containers": [{"name": "main", "image": "x"}],
            **more,
        },
    }


def claim(name, device_class="gpu.nvidia.com", count=1, *selectors, **exactly):
    cel = [{"cel": {"expression": each}} for each in selectors]
    request = {"deviceClassName": device_class, "count": count, **({"selectors": cel} if cel else {}), **exactly}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": request}]}},
    }


def placed(outcome):
    return {key: decision.winner.devices for key, decision in outcome.decisions.items()}


# ---------------------------------------------------------------- runs


def test_every_pod_that_fits_is_bound_and_its_claim_says_so():
    outcome = simulate(given(*cluster(dgx1_v100=1), *workload(4)))

    assert (len(outcome.bound), outcome.pending, outcome.settled) == (4, {}, True)
    for raw in outcome.objects:
        if raw["kind"] == "ResourceClaim":
            found = decode.decode("ResourceClaim", raw)
            assert found.finalized
            assert len(found.allocation.results) == 2
            assert [each.uid for each in found.reserved_for] == [found.owner]
        if raw["kind"] == "Pod":
            assert raw["spec"]["nodeName"] == "dgx1-v100-0"
            assert names.EXPLAIN in raw["metadata"]["annotations"]


def test_no_device_is_given_twice():
    outcome = simulate(given(*cluster(dgx1_v100=1, a100_pcie_bridged=1), *workload(20)))

    held = [device for devices in placed(outcome).values() for device in devices]
    assert len(held) == len(set(held)) == 16
    assert len(outcome.pending) == 12


def test_pairs_are_linked_where_first_fit_would_not_link_them():
    objects = given(*cluster(a100_pcie_bridged=1), *workload(4))

    scored = simulate(objects)
    first_fit = simulate(objects, EngineConfig(ownership=Ownership(all_nodes=True), device_choice="first-fit"))

    (box,) = node_maps(scored.objects)
    worst = [[box.worst_link(devices) for devices in placed(outcome).values()] for outcome in (scored, first_fit)]
    assert sorted(worst[0]) == [300, 300, 300, 300]
    assert sorted(worst[1]) == [0, 0, 300, 300]  # 0-1 and 2-3 have no bridge


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_of_objects_in_files_does_not_matter(seed):
    objects = [*cluster(dgx1_v100=2, a100_pcie_bridged=2, a100_mig=1), *workload(9), claim("c"), pod("p", "c")]
    shuffled = random.Random(seed).sample(objects, len(objects))

    assert simulate(given(*shuffled)) == simulate(given(*objects))


def test_an_outcome_is_a_cluster_that_can_be_simulated_again():
    first = simulate(given(*cluster(dgx1_v100=1), *workload(6)))

    again = simulate(given(*first.objects))

    assert placed(again) == {}
    assert again.bound == first.bound
    assert set(again.pending) == set(first.pending)


def test_pods_that_share_a_claim_come_together():
    objects = [*cluster(dgx1_v100=3), claim("shared"), *(pod(f"p{number}", "shared") for number in range(3))]

    outcome = simulate(given(*objects))

    nodes = {raw["spec"]["nodeName"] for raw in outcome.objects if raw["kind"] == "Pod"}
    (shared,) = [raw for raw in outcome.objects if raw["kind"] == "ResourceClaim"]
    assert (len(outcome.bound), len(nodes), len(shared["status"]["reservedFor"])) == (3, 1, 3)


def test_devices_that_are_held_already_stay_held():
    first = simulate(given(*cluster(dgx1_v100=1), claim("a", count=8), pod("p", "a")))

    outcome = simulate(given(*first.objects, claim("b"), pod("q", "b")))

    assert list(outcome.pending) == ["default/q"]


def test_a_finished_pod_gives_its_devices_to_the_next():
    first = simulate(given(*cluster(dgx1_v100=1), claim("a", count=8), pod("p", "a")))
    objects = [dict(raw) for raw in first.objects]
    for raw in objects:
        if raw["kind"] == "Pod":
            raw["status"] = {**raw["status"], "phase": "Succeeded"}

    outcome = simulate(given(*objects, claim("b"), pod("q", "b")))

    assert outcome.bound == ("default/q",)


def test_pods_of_others_are_left_alone():
    other = pod("theirs", "a")
    other["spec"]["schedulerName"] = "default-scheduler"

    outcome = simulate(given(*cluster(dgx1_v100=1), claim("a"), other))

    assert (outcome.bound, outcome.pending) == ((), {})


def test_pods_of_further_scheduler_names_are_ours_with_a_profile_of_their_own():
    theirs, lost = pod("theirs", "b"), pod("lost", "none")
    theirs["spec"]["schedulerName"] = lost["spec"]["schedulerName"] = "batch"
    config = replace(SIMULATED, scheduler_profiles={"batch": "training"})

    outcome = simulate(given(*cluster(dgx1_v100=1), claim("a"), pod("ours", "a"), claim("b"), theirs, lost), config)

    assert outcome.bound == ("default/ours", "default/theirs")
    assert [outcome.decisions[key].profile for key in outcome.bound] == ["default", "training"]
    assert "claim none" in outcome.pending["default/lost"] or "default/none" in outcome.pending["default/lost"]


def test_an_annotation_that_is_not_followed_is_a_warning_about_its_pod(capsys):
    odd = pod("odd", "a")
    odd["metadata"]["annotations"] = {names.PROFILE: "trainig"}

    outcome = simulate(given(*cluster(dgx1_v100=1), claim("a"), odd, claim("b"), pod("plain", "b")))
    report.show(outcome, [], report.console())

    assert outcome.bound == ("default/odd", "default/plain")
    [(key, [warning])] = outcome.warnings.items()
    assert key == "default/odd"
    assert "did you mean training?" in warning
    assert f"warning  {warning}" in capsys.readouterr().out


def test_slow_selectors_are_answered_in_place():
    slow = "device.attributes['gpu.nvidia.com'].productName.matches('^(Tesla|NVIDIA).*(V100|H100).*$')"

    outcome = simulate(given(*cluster(dgx1_v100=1), claim("a", "gpu.nvidia.com", 1, slow), pod("p", "a")))

    assert outcome.bound == ("default/p",)


CAPACITY = "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('16Gi')) > 0"
REASONS = [
    ([claim("a", "nothing.example.com"), pod("p", "a")], "DeviceClass 'nothing.example.com' does not exist"),
    ([pod("p", "missing")], "ResourceClaim default/missing does not exist"),
    ([claim("a", "gpu.nvidia.com", 1, "device.driver =="), pod("p", "a")], "selectors[0]"),
    (
        [claim("a", "gpu.nvidia.com", 1, "device.attributes['x.y'].z == 1"), pod("p", "a")],
        "failed on device gpu.nvidia.com/",
    ),
    ([claim("a", count=1_000_000), pod("p", "a")], "asks for 1000000 devices"),
    ([claim("a", count=9), pod("p", "a")], "lack 9 free devices"),
    ([claim("a", "gpu.nvidia.com", 1, CAPACITY), pod("p", "a")], "no device matches its selectors"),
    ([claim("a"), pod("p", "a", hostNetwork=True, nodeSelector={"zone": "b"})], "0 of 1 nodes fit"),
    (
        [claim("a"), pod("p", "a", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])],
        "PersistentVolumeClaim default/data does not exist",
    ),
    ([claim("a"), pod("p", "a", schedulingGates=[{"name": "quota"}])], "waits for its scheduling gates quota"),
    (
        [pod("p", resourceClaims=[{"name": "g", "resourceClaimTemplateName": "none"}])],
        "has not been made from template none yet",
    ),
]


def test_what_devices_take_of_their_node_is_counted_and_published():
    boxes = cluster(dgx1_v100=1)
    for item in boxes:
        if item["kind"] == "ResourceSlice":
            for device in item["spec"]["devices"]:
                device["nodeAllocatableResources"] = {"cpu": {"overhead": {"perPod": "15"}}}
    config = EngineConfig(
        ownership=Ownership(all_nodes=True), gates=Gates().override({"DRANodeAllocatableResources": True})
    )

    outcome = simulate(given(*boxes, *workload(4)), config)

    # Of 78 cores a pod takes 4 itself and 30 for its two devices.
    assert len(outcome.bound) == 2
    said = [raw["status"] for raw in outcome.objects if raw["kind"] == "Pod" and "nodeName" in raw["spec"]]
    taken = [each["nodeAllocatableResourceClaimStatuses"][0] for each in said]
    assert [each["overhead"] for each in taken] == [[{"name": "cpu", "perPod": "30"}]] * 2
    assert [each["containers"] for each in taken] == [["main"]] * 2


def test_drivers_of_a_simulation_make_devices_ready_at_once():
    boxes = cluster(dgx1_v100=1)
    for item in boxes:
        if item["kind"] == "ResourceSlice":
            for device in item["spec"]["devices"]:
                device.update(bindingConditions=["attached"], bindingFailureConditions=["failed"])

    outcome = simulate(given(*boxes, *workload(2)))

    assert len(outcome.bound) == 2
    assert outcome.seconds < 1
    (claim, *_) = [raw for raw in outcome.objects if raw["kind"] == "ResourceClaim"]
    assert [each["conditions"] for each in claim["status"]["devices"]] == [[{"type": "attached", "status": "True"}]] * 2


@pytest.mark.parametrize(("objects", "words"), REASONS, ids=[words for _, words in REASONS])
def test_a_pod_that_stays_pending_has_a_true_reason(objects, words):
    outcome = simulate(given(*cluster(dgx1_v100=1), *objects, claim("ok"), pod("fine", "ok")))

    assert words in outcome.pending["default/p"]
    assert outcome.bound == ("default/fine",)  # nothing else is lost


def test_a_torn_pool_gives_nothing_and_says_so():
    objects = cluster(dgx1_v100=1)
    for raw in objects:
        if raw["kind"] == "ResourceSlice":
            raw["spec"]["pool"]["resourceSliceCount"] = 2

    outcome = simulate(given(*objects, claim("a"), pod("p", "a")))

    assert "1 lack 1 free devices" in outcome.pending["default/p"]


def test_a_run_is_watched_by_its_progress():
    seen = []

    simulate(given(*cluster(dgx1_v100=1), *workload(4)), SIMULATED, seen.append)

    assert [each.ours for each in seen] == [4] * len(seen)
    assert seen[-1].bound == 4


# ---------------------------------------------------------------- the command


@pytest.fixture
def files(tmp_path):
    def write(*raws, name="objects.json"):
        path = tmp_path / name
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(raws)}))
        return path

    return write


def test_exit_codes_say_how_it_went(files, tmp_path, capsys):
    good = files(*cluster(dgx1_v100=1), *workload(4), name="good.json")
    full = files(*cluster(dgx1_v100=1), *workload(5), name="full.json")
    bad = tmp_path / "bad.yaml"
    bad.write_text("kind: [\n")

    codes = [command.simulate([path], "table", first_fit=False) for path in (good, full, bad)]
    said = capsys.readouterr()

    assert codes == [0, 1, 2]
    assert "4 of 5 pods bound" in said.out
    assert said.err.startswith(f"{bad}, line 2: is not YAML")


def test_objects_that_cannot_be_read_are_all_named(files, capsys):
    broken = claim("a")
    broken["spec"]["devices"]["requests"][0]["exactly"]["count"] = "two"
    other = pod("p", "a", priority="high")

    code = command.simulate([files(*cluster(dgx1_v100=1), broken, other)], "table", first_fit=False)
    said = capsys.readouterr()

    assert (code, said.out) == (2, "")
    assert "ResourceClaim default/a: spec.devices.requests[0].exactly.count: expected `int" in said.err
    assert "Pod default/p: spec.priority: expected `int" in said.err


@pytest.mark.parametrize("output", ["yaml", "json"])
def test_the_objects_come_out_as_one_list_that_decodes(files, output, capsys):
    code = command.simulate([files(*cluster(dgx1_v100=1), *workload(2))], output, first_fit=False)
    said = capsys.readouterr()

    load = json.loads if output == "json" else YAML(typ="safe", pure=True).load
    whole = load(said.out)
    claims = [item for item in whole["items"] if item["kind"] == "ResourceClaim"]
    assert (code, said.err) == (0, "")
    assert (whole["apiVersion"], whole["kind"]) == ("v1", "List")
    assert len(claims) == 2  # made from the template
    for item in whole["items"]:
        if item["kind"] in DECODED:
            decode.decode(item["kind"], item)


def test_yaml_is_read_alike_by_older_readers():
    labels = {
        "a": "yes",
        "b": "on",
        "c": "012",
        "d": "1e3",
        "e": "12:30:45",
        "f": "null",
        "g": "0x1f",
        "h": "y",
        "i": "~",
    }
    stream = io.StringIO()

    command.write([{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": labels}}], "yaml", stream)

    for version in ("1.1", "1.2"):
        reader = YAML(typ="safe", pure=True)
        reader.version = version
        assert reader.load(stream.getvalue())["items"][0]["metadata"]["labels"] == labels


def test_the_table_says_where_and_the_map_says_who(files, capsys):
    command.simulate([files(*cluster(a100_pcie_bridged=1, dgx1_v100=1), *workload(2))], "table", first_fit=False)
    text = capsys.readouterr().out

    assert "a100-pcie-bridged-0" in text
    assert "gpu-0, gpu-2" in text
    assert "2 linked, 300 GB/s" in text
    assert "all free: dgx1-v100-0" in text
    assert "2 of 2 pods bound" in text


def test_machines_in_words_stand_beside_the_objects_of_files(files, capsys):
    own = fleet.device_classes()[0] | {"metadata": {"name": "gpu.nvidia.com", "labels": {"mine": "yes"}}}
    words = "1 a100-pcie-bridged, 1 dgx-h100, with NICs"

    code = command.simulate([files(own, *workload(2))], "json", first_fit=False, fleet=words)

    items = json.loads(capsys.readouterr().out)["items"]
    assert code == 0
    assert {each["metadata"]["name"] for each in items if each["kind"] == "Node"} == {
        "a100-pcie-bridged-0", "dgx-h100-0",
    }  # fmt: skip
    assert {each["spec"]["driver"] for each in items if each["kind"] == "ResourceSlice"} == {fleet.NVIDIA, fleet.NIC}
    [mine] = [each for each in items if each["kind"] == "DeviceClass" and each["metadata"]["name"] == "gpu.nvidia.com"]
    assert mine["metadata"]["labels"] == {"mine": "yes"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("dgx-h100", "'dgx-h100': is not of the form `NUMBER BOX`"),
        ("0 dgx-h100", "'0 dgx-h100': is not of the form"),
        ("2 dgx-h1000", "box 'dgx-h1000': not known; did you mean dgx-h100?"),
        ("1 l4-pcie, 2 l4-pcie", "box 'l4-pcie': is there twice"),
        ("1 l4-pcie with NICs", "'1 l4-pcie with NICs': is not of the form"),
        (", with NICs", "'': is not of the form"),
        ("20001 l4-pcie", "is more than 20000 nodes"),
        ("1112 nvl72", "is more than 20000 nodes"),
    ],
)
def test_machines_that_are_not_understood_are_refused_in_words(files, capsys, words, said):
    assert command.simulate([files(*workload(1))], "table", first_fit=False, fleet=words) == 2
    told = capsys.readouterr().err
    assert told.startswith("--fleet: ")
    assert said in told


def test_an_unknown_output_is_refused(files, capsys):
    assert command.simulate([files()], "xml", first_fit=False) == 2
    assert "output xml: is not one of table, yaml, json" in capsys.readouterr().err


def test_a_fault_of_ours_is_said_to_be_one(files, capsys, monkeypatch):
    from scheduler.core.errors import FaultError

    def broken(objects, config):
        raise FaultError("A1: device d is held twice")

    monkeypatch.setattr(command, "run", broken)

    assert command.simulate([files()], "table", first_fit=False) == 3
    assert command.explain("d/p", [files()]) == 3
    assert "a fault in Dovetail itself" in capsys.readouterr().err


def test_nothing_in_a_file_steers_the_terminal(files, capsys):
    node = fleet.node("dgx1-v100", "n1\x1b[2J")

    command.simulate([files(node, *fleet.slices("dgx1-v100", "n1\x1b[2J"), *cluster())], "table", first_fit=False)

    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pod_name", "code", "words"),
    [
        ("default/p", 0, "default/p -> dgx1-v100-"),
        ("default/stuck", 1, "default/stuck is pending: pod default/stuck: 0 of 2 nodes fit"),
        ("default/nobody", 1, "pod default/nobody: not found"),
        ("nobody", 2, "is not of the form NAMESPACE/POD"),
    ],
)
def test_explain_says_why(files, capsys, pod_name, code, words):
    objects = [*cluster(dgx1_v100=2), claim("a", count=2), pod("p", "a"), claim("b", count=9), pod("stuck", "b")]

    found = command.explain(pod_name, [files(*objects)])
    said = capsys.readouterr()

    assert found == code
    assert words in said.out + said.err
    assert code != 0 or "bandwidth" in said.out


def test_the_command_reads_standard_input_and_a_config(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        f"apiVersion: {names.CONFIG_API_VERSION}\nkind: {names.CONFIG_KIND}\nownership: {{nodes: all}}\n"
        "deviceChoice: first-fit\n"
    )
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*cluster(a100_pcie_bridged=1), *workload(1)]})
    run = [sys.executable, "-m", "scheduler.cli", "simulate", "-", "-o", "json", "--config"]
    call = "import sys; from scheduler.cli import main; sys.argv[1:] = {}; main()"

    done = subprocess.run(
        [sys.executable, "-c", call.format([*run[3:], str(config)])],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    refused = subprocess.run(
        [sys.executable, "-c", call.format([*run[3:], str(tmp_path / "none.yaml")])],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip

    (found,) = [item for item in json.loads(done.stdout)["items"] if item["kind"] == "ResourceClaim"]
    assert done.returncode == 0, done.stderr
    assert [each["device"] for each in found["status"]["allocation"]["devices"]["results"]] == ["gpu-0", "gpu-1"]
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "none.yaml: cannot be read" in refused.stderr
