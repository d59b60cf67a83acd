"""Weights in the ConfigMap, changed while Dovetail runs on a real API server."""

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.api import History, Raw, until
from e2e.conftest import World, end, runs, serve
from e2e.dovetail import CONFIG_MAP, NAMESPACE, Dovetail, command
from e2e.judge import judge
from e2e.workload import claim_spec, pod, request, template
from scheduler.simulator import fleet

ONE = claim_spec([request(count=1)])
PACK = "{packing: 100000, spreading: 0}"
SPREAD = "{packing: 0, spreading: 100000}"
BROKEN = "{packing: -1}"
EDITS = 100
PODS = 120


@pytest.fixture
def tell(world: World) -> Iterator[Callable[[str], None]]:
    """Puts weights in place of those of the shipped ConfigMap, which is put back after the test."""
    shipped = world.api.get("ConfigMap", CONFIG_MAP, NAMESPACE)["data"]["config.yaml"]
    before = re.sub(r"\nweights:\n(  .*\n)+", "\n", shipped)
    assert before != shipped

    def write(weights: str) -> None:
        data = {"config.yaml": f"{before}\nweights: {weights}\n"}
        world.api.patch("ConfigMap", CONFIG_MAP, {"data": data}, NAMESPACE)

    yield write
    world.api.patch("ConfigMap", CONFIG_MAP, {"data": {"config.yaml": shipped}}, NAMESPACE)


def decision(world: World, name: str) -> Raw:
    """Why a pod is where it is."""
    stored = world.api.get("Pod", name, world.namespace)
    told: Raw = json.loads(stored["metadata"]["annotations"]["dovetail.scheduler/explain"])
    return told


def placed(world: World, name: str) -> tuple[str, str]:
    """Node of a new pod with one device, and the hash of the configuration that it was decided under."""
    serve(world, name, ONE)
    found = decision(world, name)
    return found["winner"]["node"], found["config"]


def news(world: World, reason: str) -> list[Raw]:
    """Events of this reason on the ConfigMap."""
    found = world.api.list("Event", NAMESPACE, fieldSelector=f"involvedObject.name={CONFIG_MAP},reason={reason}")
    return [each for each in found if each["involvedObject"]["kind"] == "ConfigMap"]


def test_a_changed_weight_alters_the_next_placement_within_two_seconds_and_a_broken_one_alters_nothing(
    world: World,
    start_dovetail: Callable[..., Dovetail],
    tell: Callable[[str], None],
    say: Callable[[str], None],
) -> None:
    # given four equal boxes, the first pod on one of them, and weights that fill nodes
    world.publish([*fleet.device_classes(), *fleet.fleet({"dgx-h100": 4})])
    tell(PACK)
    dovetail = start_dovetail().ready()
    first, packed = placed(world, "first")
    assert placed(world, "beside-it") == (first, packed)
    # when the weights change while it runs
    seconds = []
    for turn, (weights, beside) in enumerate([(SPREAD, False), (PACK, True)] * 3):
        before = placed(world, f"before-{turn}")
        end(world, f"before-{turn}")
        tell(weights)
        changed = time.monotonic()
        # then a pod made right afterwards, or one soon after it, goes by them
        for number in range(1000):
            made = time.monotonic() - changed
            node, digest = placed(world, f"after-{turn}-{number}")
            end(world, f"after-{turn}-{number}")
            if digest != before[1]:
                break
        seconds.append(made)
        assert made < 2.0
        assert (node == first) == beside
    say(f"a changed weight counts for pods made {max(seconds):.2f} s after the write, at the latest of {len(seconds)}")
    # and a broken one is told with its path, and alters nothing
    told = len(news(world, "ConfigRefused"))
    tell(BROKEN)
    until(lambda: len(news(world, "ConfigRefused")) > told, "the refusal is told", 10)
    [refusal] = [each for each in news(world, "ConfigRefused") if "weights.packing = -1" in each["message"]]
    assert refusal["message"].startswith(f"ConfigMap {NAMESPACE}/{CONFIG_MAP}: data[config.yaml]")
    assert f"{packed} stays in force" in refusal["message"]
    assert refusal["type"] == "Warning"
    assert placed(world, "after-the-broken-one") == (first, packed)
    assert dovetail.child.code is None


def test_a_file_is_followed_where_no_configmap_is_named_and_each_scheduler_name_has_its_profile(
    world: World, start_dovetail: Callable[..., Dovetail]
) -> None:
    # given a run that is told no ConfigMap, and serves a second schedulerName
    world.publish([*fleet.device_classes(), *fleet.fleet({"dgx-h100": 2})])
    settings = {"DOVETAIL_CONFIG_MAP": "{}", "DOVETAIL_SCHEDULER_PROFILES": '{"dovetail-batch": "binpack"}'}
    dovetail = start_dovetail(settings=settings).ready()
    world.create(template(world.namespace, "one", ONE))
    # when a pod of each comes
    for name, scheduler in (("ours", "dovetail"), ("batch", "dovetail-batch")):
        world.create(pod(world.namespace, name, templates=["one"], scheduler=scheduler))
        runs(world, name)
    # then each has the profile of its schedulerName
    assert [decision(world, name)["profile"] for name in ("ours", "batch")] == ["default", "binpack"]
    # and when the file is replaced, a bad one is told on the lease, and a good one counts
    file = dovetail.kubeconfig.with_suffix(".yaml")
    before = re.sub(r"\nweights:\n(  .*\n)+", "\n", file.read_text())

    def replace(weights: str) -> None:
        aside = file.with_suffix(".new")
        aside.write_text(f"{before}\nweights: {weights}\n")
        aside.replace(file)

    replace(BROKEN)
    [refusal] = until(lambda: on_lease(world, str(file)), "the refusal is told", 10)
    replace(SPREAD)
    until(lambda: placed(world, f"p{time.monotonic_ns()}")[1] != decision(world, "ours")["config"], "it counts", 10)
    assert "weights.packing = -1" in refusal["message"]


def on_lease(world: World, file: str) -> list[Raw]:
    """Refusals of a file, which are told on the lease."""
    found = world.api.list("Event", NAMESPACE, fieldSelector="involvedObject.kind=Lease,reason=ConfigRefused")
    return [each for each in found if file in each["message"]]


def test_what_moves_under_other_weights_is_shown_from_the_record_of_a_run(
    world: World, start_dovetail: Callable[..., Dovetail], tmp_path: Path, say: Callable[[str], None]
) -> None:
    # given a run that records its last decisions
    world.publish([*fleet.device_classes(), *fleet.fleet({"dgx-h100": 3, "a100-pcie-bridged": 3})])
    record, wanted = tmp_path / "record", tmp_path / "wanted.yaml"
    dovetail = start_dovetail(settings={"DOVETAIL_RECORD": json.dumps({"path": str(record), "decisions": 25})}).ready()
    world.create(template(world.namespace, "one", ONE))
    world.api.each(
        world.api.create, [pod(world.namespace, f"p{number:02d}", templates=["one"]) for number in range(40)]
    )
    until(lambda: len(world.api.list("Pod", world.namespace, fieldSelector="spec.nodeName!=")) == 40, "bound", 60)
    # when it is stopped, or still runs
    shipped = world.api.get("ConfigMap", CONFIG_MAP, NAMESPACE)["data"]["config.yaml"]
    wanted.write_text(re.sub(r"\nweights:\n(  .*\n)+", "\n", shipped) + f"weights: {SPREAD}\n")

    def compared(file: Path) -> Raw:
        arguments = [command(), "config", "diff", str(file), "--record", str(record), "-o", "json"]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        told: Raw = json.loads(done.stdout)
        return told

    live = compared(wanted)
    assert dovetail.stop() == 0
    moved = compared(wanted)
    wanted.write_text(shipped)
    same = compared(wanted)
    # then each of its last decisions is given back, and other weights move some of them
    assert live["notReproduced"] == moved["notReproduced"] == same["notReproduced"] == []
    assert moved["decisions"] == same["decisions"] >= 25
    assert same["moves"] == []
    assert moved["moves"]
    say(f"{len(moved['moves'])} of the last {moved['decisions']} decisions of a run move when the weights spread")


def test_a_hundred_good_and_bad_edits_under_load_lose_no_pod(
    world: World, dovetail: Dovetail, tell: Callable[[str], None], say: Callable[[str], None]
) -> None:
    # given room for all, and somebody who edits the weights without a pause, good ones and bad ones in turn
    world.publish([*fleet.device_classes(), *fleet.fleet({"dgx-h100": 20})])
    world.create(template(world.namespace, "one", ONE))
    began, edited, failed = time.monotonic(), 0, []

    def edit() -> None:
        nonlocal edited
        try:
            for number in range(EDITS):
                tell(BROKEN if number % 2 else f"{{spreading: {number + 1}}}")
                edited += 1
        except Exception as error:
            failed.append(error)

    editor = threading.Thread(target=edit)
    # when pods come all the while
    with History(world.api.access, "Pod", "ResourceClaim", namespace=world.namespace) as history:
        editor.start()
        for number in range(PODS):
            world.create(pod(world.namespace, f"p{number:03d}", templates=["one"]))
        editor.join()
        took = time.monotonic() - began
        until(
            lambda: len(world.api.list("Pod", world.namespace, fieldSelector="spec.nodeName!=")) == PODS,
            "all pods bound",
            60,
        )
        pods = world.api.list("Pod", world.namespace)
        history.caught_up(max(int(each["metadata"]["resourceVersion"]) for each in pods))
    # then every pod has its device, none has that of another, and the process is the same one
    assert (edited, failed) == (EDITS, [])
    verdict = judge(history)
    assert verdict.faults == []
    assert len(verdict.placed) == PODS
    assert dovetail.child.code is None
    explained = [json.loads(each["metadata"]["annotations"]["dovetail.scheduler/explain"]) for each in pods]
    weights = {each["config"]: each["weights"]["spreading"] for each in explained}
    assert all(weights[each["config"]] == each["weights"]["spreading"] for each in explained)
    assert len(weights) > 5
    assert set(weights.values()) <= {0.0, *(float(number + 1) for number in range(0, EDITS, 2))}
    # and the last good edit is the one that counts in the end
    serve(world, "last", ONE)
    assert decision(world, "last")["weights"]["spreading"] == EDITS - 1
    until(
        lambda: any("weights.packing = -1" in each["message"] for each in news(world, "ConfigRefused")), "refused", 10
    )
    say(f"{EDITS} good and bad edits in {took:.1f} s, {PODS} pods beside them, under {len(weights)} of the good ones")
