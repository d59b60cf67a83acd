"""The record of the last decisions: it gives each back, stays bounded, and shows what other weights would do."""

import json
import os
from functools import partial
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from e2e import soak
from scheduler.cli import app
from scheduler.cluster import decode
from scheduler.cluster.kinds import ANNOTATIONS
from scheduler.core import names
from scheduler.core.engine import Engine
from scheduler.core.errors import ConfigError
from scheduler.core.explain import heard_of
from scheduler.core.messages import Drained, Listed, Reconfigured, RemoteScored, ScoreRemotely, Seen
from scheduler.core.replica import Assumed, Replica
from scheduler.service import record
from scheduler.service.diff import compare
from scheduler.service.record import Configured, Decided, Recorder, read
from scheduler.service.settings import RecordSettings, parse
from scheduler.simulator import api, fleet, run
from tests.simulate import test_volumes as volumes
from tests.simulate.test_simulate import claim, pod

HEAD = f"apiVersion: {names.CONFIG_API_VERSION}\nkind: {names.CONFIG_KIND}\nownership: {{nodes: all}}\n"


def given(text=""):
    return parse(HEAD + text, "here", {})


class Recorded:
    """An engine of a simulation with a recorder before it; objects reach it as they would come from a watch."""

    def __init__(self, config, raws, path, settings, **limits):
        self._engine = Engine(config)
        self._raws = raws
        self.recorder = Recorder(self._engine, RecordSettings(path=str(path), **limits), settings, None)

    def handle(self, event, now):
        if isinstance(event, Seen):
            item, kind, raw = self._raws[id(event.item)]
            event = Seen(self.recorder.read(kind, raw))
            assert event.item == item
        return self.recorder.handle(event, now)

    def __getattr__(self, name):
        return getattr(self._engine, name)


@pytest.fixture
def recording(monkeypatch, tmp_path):
    """Makes simulations recorded ones; returns the path of the first one's record."""
    raws = {}
    path = tmp_path / "record"

    def seen(kind, raw):
        item = decode.decode(kind, raw)
        raws[id(item)] = (item, kind, json.dumps(raw).encode())
        return item

    def start(settings, **limits):
        shadow = {name: getattr(decode, name) for name in dir(decode)} | {"decode": seen}
        monkeypatch.setattr(api, "decode", SimpleNamespace(**shadow))
        engines = []

        def made(config):
            mine = path if not engines else tmp_path / f"aside-{len(engines)}"
            engines.append(Recorded(config, raws, mine, settings, **limits))
            return engines[-1]

        monkeypatch.setattr(run, "Engine", made)
        return path

    return start


def decisions(path):
    return [each for each in read(path) if isinstance(each, Decided) and each.kept]


def lived(seed, monkeypatch, path, settings, scorers=None):
    """What the record of a random world comes to under its own weights; scorers : what those of others say."""
    monkeypatch.setattr(soak, "Simulation", partial(run.Simulation, config=settings.engine()))
    world = soak.Soak(seed)
    if scorers is not None:
        world.simulation.api.scorers = scorers
    assert world.run() == []
    world.simulation.engine.recorder.close()
    return compare(path, settings, 10_000)


@pytest.mark.parametrize("seed", [2, 3, 5, 8, 13, 21])
def test_every_decision_of_a_random_world_is_given_back_and_its_own_weights_move_nothing(recording, monkeypatch, seed):
    settings = given("profiles: {night: {weights: {depth: 0}}}")
    path = recording(settings)

    found = lived(seed, monkeypatch, path, settings)

    assert found.strange == ()
    assert found.moves == ()
    assert found.decisions == len(decisions(path)) > 0
    assert found.digests == ((settings.digest(),), settings.digest())


def crowded(settings, waves=(12, 12, 40)):
    """A simulation in which pods of one device come in waves, and some go."""
    objects = [*fleet.device_classes(), *fleet.fleet({"dgx-h100": 6, "a100-pcie-bridged": 4}, seed=3)]
    simulation = run.Simulation(objects, settings.engine())
    number = 0
    for wave in waves:
        for _ in range(wave):
            simulation.api.create(claim(f"c{number}", "gpu.nvidia.com", 1 + number % 2))
            simulation.api.create(pod(f"p{number}", f"c{number}"))
            number += 1
        simulation.settle()
        for gone in range(number - wave, number - wave // 2):
            simulation.api.delete("Pod", f"default/p{gone}")
            simulation.api.delete("ResourceClaim", f"default/c{gone}")
        simulation.settle()
    simulation.engine.recorder.close()
    return simulation


def test_what_the_market_of_demand_taught_is_given_back_too(recording):
    settings = given()
    path = recording(settings)

    simulation = crowded(settings)
    found = compare(path, settings, 10_000)

    assert any(isinstance(each, record.Trade) for each in read(path))
    assert found.decisions == len(simulation.decisions) == 64
    assert (found.strange, found.moves) == ((), ())


def stored(settings, shelves=12, pods=24):
    """A simulation in which pods with one local volume each come in two waves, and some of the first go."""
    nodes = [volumes.node(f"n{number}") for number in range(6)]
    made = [volumes.volume(f"pv{number}", f"n{number % 6}", f"{1 + number}Gi") for number in range(shelves)]
    simulation = run.Simulation([*nodes, volumes.LOCAL, volumes.MADE, *made], settings.engine())
    for wave in (range(pods // 2), range(pods // 2, pods)):
        for number in wave:
            simulation.api.create(volumes.claim(f"v{number}", "made" if number % 3 == 0 else "local"))
            simulation.api.create(volumes.pod(f"p{number}", f"v{number}"))
        simulation.settle()
        for gone in list(wave)[::4]:
            simulation.api.delete("Pod", f"default/p{gone}")
        simulation.settle()
    simulation.engine.recorder.close()
    return simulation


@pytest.mark.parametrize("limit", [1000, 5])
def test_pods_with_volumes_are_given_back_with_the_volumes_they_got(recording, limit):
    settings = given("profiles: {night: {weights: {depth: 0}}}")
    path = recording(settings, decisions=limit)
    simulation = stored(settings)

    found = compare(path, settings, 10_000)
    got = {mount.volume for each in decisions(path) for mount in each.mounts}

    assert (found.strange, found.moves) == ((), ())
    assert found.decisions == len(decisions(path)) >= 5
    assert "" in got
    assert len(got) > 3
    if limit == 1000:
        assert found.decisions == len(simulation.decisions) == 8 + 12


def test_a_volume_that_was_kept_for_another_claim_is_not_there_to_take(recording):
    settings = given()
    path = recording(settings)
    stored(settings)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line.get("assumed", {}).pop("volumes", None)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    found = compare(path, settings, 10_000)

    assert any("got PersistentVolume" in each for each in found.strange)


def test_a_volume_is_kept_though_nobody_can_see_it_yet():
    seen = {**volumes.volume("pv", "n1", "1Gi"), "status": {"phase": "Available"}}
    seen["metadata"]["uid"] = "u"
    replica = Replica(given().engine())

    replica.assume(Assumed({}, {}, {}, {"pv": "claim"}))
    replica.take(Seen(decode.decode("PersistentVolume", seen)))
    kept = dict(replica.state.volumes.free["local"])
    replica.assume(Assumed({}, {}, {}, {"pv": None}))

    assert (list(kept), list(replica.state.volumes.free["local"])) == ([], ["pv"])


def test_a_record_that_does_not_tell_of_volumes_is_read_still(recording):
    settings = given()
    path = recording(settings)
    crowded(settings)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line.pop("mounts", None)
        line.get("assumed", {}).pop("volumes", None)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    found = compare(path, settings, 10_000)

    assert {each.mounts for each in decisions(path)} == {None}
    assert (found.decisions, found.strange, found.moves) == (64, (), ())


def test_a_pod_that_was_nominated_went_there_and_goes_there_again(tmp_path):
    settings = given("weights: {least: 1000}")
    recorder = Recorder(Engine(settings.engine()), RecordSettings(path=str(tmp_path / "r")), settings, None)
    nominated = volumes.pod("p") | {"status": {"nominatedNodeName": "n2"}}
    nominated["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
    rival = volumes.pod("q")
    rival["spec"] |= {"nodeName": "n2", "containers": nominated["spec"]["containers"]}
    for raw in (*volumes.NODES, rival, nominated):
        known = {**raw["metadata"], "uid": raw["metadata"]["name"]}
        recorder.handle(Seen(recorder.read(raw["kind"], json.dumps({**raw, "metadata": known}).encode())), 0.0)
    recorder.handle(Listed(), 0.0)
    recorder.handle(Drained(), 0.0)
    recorder.close()

    [decided] = decisions(tmp_path / "r")
    found = compare(tmp_path / "r", settings, 10)

    assert (decided.told["winner"]["node"], decided.told["runnerUp"]["node"]) == ("n2", "n1")
    assert (found.decisions, found.strange, found.moves) == (1, (), ())


def test_other_weights_move_what_they_would_have_moved(recording):
    settings, spread = given("weights: {packing: 100000}"), given("weights: {spreading: 100000}")
    path = recording(settings)
    crowded(settings)

    found = compare(path, spread, 10_000)
    moved = {each.pod: each for each in found.moves}

    # The first pod finds all nodes empty, as it would under any weights; the second stands beside it or not.
    assert found.strange == ()
    assert "default/p1" in moved
    assert moved["default/p1"].then[0] == decisions(path)[0].told["winner"]["node"] != moved["default/p1"].now[0]
    assert all(each.then != each.now and each.now[0] for each in found.moves)
    assert found.digests == ((settings.digest(),), spread.digest())


def test_the_last_decisions_are_compared_and_no_others(recording):
    settings = given()
    path = recording(settings)
    crowded(settings)

    found = compare(path, given("weights: {spreading: 100000}"), 5)
    last = [each.told["pod"] for each in decisions(path)][-5:]

    assert found.decisions == 5
    assert {each.pod for each in found.moves} <= set(last)


def test_a_record_holds_once_or_twice_as_many_decisions_as_asked_and_begins_with_all_that_is_known(recording):
    settings = given()
    path = recording(settings, decisions=10)
    simulation = crowded(settings)

    kept = decisions(path)
    found = compare(path, settings, 10_000)

    assert sorted(each.name for each in path.parent.iterdir()) == ["record", "record.1"]
    assert 10 <= len(kept) <= 2 * 10 + 40  # a cycle is never torn apart
    assert [each.told["pod"] for each in kept] == [*simulation.decisions][-len(kept) :]
    assert (found.strange, found.moves) == ((), ())
    assert found.decisions == len(kept)
    assert [each.begins for each in read(path) if isinstance(each, Configured)] == [True, True]
    assert oct(path.stat().st_mode)[-3:] == "600"


def test_a_record_that_grows_without_decisions_begins_anew_too(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "_BYTES", 100)
    engine = Engine(given().engine())
    recorder = Recorder(engine, RecordSettings(path=str(tmp_path / "r"), megabytes=1), given(), None)
    for number in range(100):
        raw = {"metadata": {"name": "n1", "uid": "u", "labels": {"a": str(number)}}}
        recorder.handle(Seen(recorder.read("Node", json.dumps(raw).encode())), 0.0)
    recorder.close()

    seen = [each for each in read(tmp_path / "r") if isinstance(each, Seen)]
    assert seen[-1].item.labels == {"a": "99"}
    assert len(seen) < 10


def of_a_process(path, node):
    """Records one node, as a process that starts and ends does."""
    recorder = Recorder(Engine(given().engine()), RecordSettings(path=str(path)), given(), None)
    raw = {"metadata": {"name": node, "uid": node}}
    recorder.handle(Seen(recorder.read("Node", json.dumps(raw).encode())), 0.0)
    recorder.close()


@pytest.mark.parametrize("torn", [b"", b'{"seen":"No'])
def test_the_record_of_the_process_before_is_kept_whole_or_torn(tmp_path, torn):
    path = tmp_path / "r"
    of_a_process(path, "n1")
    with path.open("ab") as file:
        file.write(torn)  # it was killed
    of_a_process(path, "n2")

    entries = list(read(path))
    assert [each.item.name for each in entries if isinstance(each, Seen)] == ["n1", "n2"]
    assert [each.begins for each in entries if isinstance(each, Configured)] == [True, True]
    of_a_process(path, "n3")
    assert [each.item.name for each in read(path) if isinstance(each, Seen)] == ["n2", "n3"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["r", "r.1"]


def test_what_is_no_file_is_written_to_and_not_moved_away(tmp_path):
    path = tmp_path / "r"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    of_a_process(path, "n1")
    said = os.read(reader, 2**16)
    os.close(reader)

    assert b'"n1"' in said
    assert [each.name for each in tmp_path.iterdir()] == ["r"]


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("Pod", {"spec": {"containers": [{"name": "c", "env": [{"name": "PASSWORD", "value": SECRET}]}]}}),
        ("PersistentVolumeClaim", {"spec": {"dataSourceRef": {"kind": "Secret", "name": SECRET}}}),
        (
            "PersistentVolume",
            {
                "spec": {
                    "csi": {
                        "driver": "d", "volumeHandle": "h", "volumeAttributes": {"token": SECRET},
                        "nodeStageSecretRef": {"name": SECRET},
                    },
                    "mountOptions": [f"password={SECRET}"],
                }
            },
        ),
        ("StorageClass", {"provisioner": "d", "parameters": {"password": SECRET}, "mountOptions": [SECRET]}),
        ("CSINode", {"spec": {"drivers": [{"name": "d", "nodeID": SECRET}]}}),
        ("CSIDriver", {"spec": {"tokenRequests": [{"audience": SECRET}]}}),
        ("CSIStorageCapacity", {"storageClassName": "c", "capacity": "1Gi"}),
        (
            "VolumeAttachment",
            {
                "spec": {"attacher": "d", "nodeName": "n", "source": {"inlineVolumeSpec": {"csi": {"driver": SECRET}}}},
                "status": {"attached": True, "attachmentMetadata": {"path": SECRET}},
            },
        ),
    ],
)  # fmt: skip
def test_only_what_is_read_of_an_object_is_recorded(tmp_path, kind, raw):
    applied = {"kubectl.kubernetes.io/last-applied-configuration": SECRET}
    raw = {"metadata": {"name": "p", "namespace": "n", "uid": "u", "annotations": applied}, **raw}
    recorder = Recorder(Engine(given().engine()), RecordSettings(path=str(tmp_path / "r")), given(), None)
    recorder.handle(Seen(recorder.read(kind, json.dumps(raw).encode())), 0.0)
    recorder.close()

    [seen] = [each for each in read(tmp_path / "r") if isinstance(each, Seen)]
    assert seen.item == decode.decode(kind, raw)
    assert SECRET not in (tmp_path / "r").read_text()


def test_annotations_that_are_read_are_recorded():
    keys = [*ANNOTATIONS, names.WEIGHTS, "resource.kubernetes.io/pod-claim-name"]
    raw = {"metadata": {"name": "v", "namespace": "n", "uid": "u", "annotations": dict.fromkeys([*keys, "x"], "1")}}

    kept = json.loads(decode.essence("PersistentVolumeClaim", raw))

    assert set(kept["metadata"]["annotations"]) == set(keys)


def test_decisions_after_a_change_of_weights_are_judged_by_the_weights_of_then(recording):
    before, after = given("weights: {packing: 100000}"), given("weights: {spreading: 100000}")
    path = recording(before)
    simulation = run.Simulation([*fleet.device_classes(), *fleet.fleet({"dgx-h100": 4})], before.engine())
    for number in range(8):
        if number == 4:
            simulation.engine.recorder.expect(after)
            simulation.engine.handle(Reconfigured(simulation_config(simulation, after)), simulation.now)
        simulation.api.create(claim(f"c{number}", "gpu.nvidia.com", 1))
        simulation.api.create(pod(f"p{number}", f"c{number}"))
        simulation.settle()
    simulation.engine.recorder.close()

    found = compare(path, after, 100)

    assert found.strange == ()
    assert {each.pod for each in found.moves} == {f"default/p{number}" for number in (1, 2, 3)}
    assert found.digests == ((before.digest(), after.digest()), after.digest())


def simulation_config(simulation, settings):
    from dataclasses import replace

    return replace(settings.engine(), verify_plans=simulation.engine.config.verify_plans)


# ---------------------------------------------------------------- the command


def command(*arguments):
    return CliRunner().invoke(app, ["config", "diff", *map(str, arguments)])


def test_the_command_shows_what_moves(recording, tmp_path):
    settings = given("weights: {packing: 100000}")
    path = recording(settings)
    crowded(settings)
    wanted = tmp_path / "new.yaml"
    wanted.write_text(HEAD + "weights: {spreading: 100000}\nseed: 5\n")

    done, data = command(wanted, "--record", path), command(wanted, "--record", path, "-o", "json")
    told = json.loads(data.stdout)

    assert (done.exit_code, data.exit_code) == (0, 0)
    assert done.stdout.startswith("64 of the last 64 decisions compared: ")
    assert f"{len(told['moves'])} would come out otherwise: " in done.stdout
    assert "not in the comparison, since it needs a restart:\n  seed = 5 (now 0)\n" in done.stdout
    assert told["needsRestart"] == ["seed = 5 (now 0)"]
    assert {"pod", "then", "now"} == set(told["moves"][0])


def test_the_command_refuses_what_it_cannot_use(tmp_path):
    good, bad, torn = tmp_path / "good.yaml", tmp_path / "bad.yaml", tmp_path / "torn"
    good.write_text(HEAD)
    bad.write_text(HEAD + "batch: 0")
    torn.write_text('{"record":"dovetail.scheduler/record/v1"}\n{"seen":"Pod","object":[]}\n')

    for arguments, said in (
        ((bad, "--record", torn), "batch = 0"),
        ((good, "--record", tmp_path / "none"), "is not there"),
        ((good, "--record", good), "good.yaml, line 1: is not of a record"),
        ((good, "--record", torn), "torn, line 2: is not of a record"),
    ):
        done = command(*arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert said in done.stderr


def test_a_record_that_cannot_be_written_ends_and_scheduling_goes_on(tmp_path, caplog):
    engine = Engine(given().engine())
    recorder = Recorder(engine, RecordSettings(path=str(tmp_path / "none" / "r")), given(), None)
    raw = {"metadata": {"name": "n1", "uid": "u"}}
    recorder.close()
    recorder.handle(Seen(recorder.read("Node", json.dumps(raw).encode())), 0.0)

    assert "n1" in engine.state.node_by_name.current
    assert "cannot be written (No such file or directory): recording ends" in caplog.text
    with pytest.raises(ConfigError):
        list(read(tmp_path / "none" / "r"))


def test_what_scorers_of_others_said_is_given_back_too(tmp_path):
    settings = given("remoteScorers: [{name: thermal, address: '127.0.0.1:1', weight: 100000}]")
    recorder = Recorder(Engine(settings.engine()), RecordSettings(path=str(tmp_path / "r")), settings, None)
    objects = [*fleet.device_classes(), *fleet.fleet({"dgx-h100": 3}), claim("c"), pod("p", "c")]
    for raw in objects:
        known = {"uid": raw["metadata"]["name"], **raw["metadata"]}
        recorder.handle(Seen(recorder.read(raw["kind"], json.dumps({**raw, "metadata": known}).encode())), 0.0)
    recorder.handle(Listed(), 0.0)
    (asked,) = [each for each in recorder.handle(Drained(), 0.0) if isinstance(each, ScoreRemotely)]
    last = max(each.node for each in asked.candidates)
    scores = tuple(float(each.node == last) for each in asked.candidates)
    recorder.handle(RemoteScored(asked.pod.uid, asked.generation, "thermal", scores), 0.0)
    recorder.handle(Drained(), 0.0)
    recorder.close()

    [decided] = decisions(tmp_path / "r")
    found = compare(tmp_path / "r", settings, 10)

    assert decided.told["winner"]["node"] == last
    assert heard_of(decided.told)[0].scores[last] == 1.0
    assert (found.decisions, found.strange, found.moves) == (1, (), ())


REMOTE = """
remoteScorers:
- {name: odd, address: "localhost:1", weight: 5000}
- {name: mute, address: "localhost:2", weight: 9}
"""


@pytest.mark.parametrize("seed", [2, 5, 13])
def test_what_scorers_of_others_said_is_in_the_record(recording, monkeypatch, seed):
    settings = given(REMOTE)
    path = recording(settings)

    found = lived(seed, monkeypatch, path, settings, likes_odd_nodes)

    assert found.strange == ()
    assert found.moves == ()
    assert any(heard.scores for each in decisions(path) for heard in heard_of(each.told) if heard.scorer == "odd")


def likes_odd_nodes(asked):
    """One scorer that has a taste, and lies now and then; the other says nothing."""
    scores = tuple(float(sum(each.node.encode()) % 2) for each in asked.candidates)
    lie = asked.generation % 5 == 0
    return [RemoteScored(asked.pod.uid, asked.generation, "odd", scores[1:] if lie else scores)]
