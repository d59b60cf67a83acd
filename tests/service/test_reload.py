"""The configuration while the process runs: from a file as the kubelet swaps it, and from a ConfigMap."""

import asyncio
import json
import os

import pytest

from scheduler.cluster import decode
from scheduler.core import names
from scheduler.core.errors import DecodeError
from scheduler.core.messages import Gone, Rejected, Seen
from scheduler.core.model import Uid
from scheduler.service.reload import Notice, Reload
from scheduler.service.settings import load, parse

HEAD = f"apiVersion: {names.CONFIG_API_VERSION}\nkind: {names.CONFIG_KIND}\n"
KEY = "dovetail-system/dovetail-config"


class Followed:
    """A Reload and what it applied."""

    def __init__(self, text="", environment=None):
        self.reload = Reload(parse(HEAD + text, "start", environment or {}), environment or {})
        self.applied = []
        self.reload.attach(self.applied.append)

    def offer(self, text):
        self.reload.offer(HEAD + text, "ConfigMap x")

    @property
    def state(self):
        return (self.reload.accepted, self.reload.refused, len(self.applied))


def test_a_good_change_is_applied_with_its_hash():
    it = Followed()
    before = it.reload.active_hash

    it.offer("weights: {packing: 2}")

    assert it.applied == [parse(HEAD + "weights: {packing: 2}", "x", {})] == [it.reload.active]
    assert before != it.reload.active_hash == it.reload.active.digest()
    assert (it.state, it.reload.last_error, it.reload.waiting) == ((1, 0, 1), "", ())
    assert it.reload.notice() == Notice("Normal", "ConfigApplied", f"{it.reload.active_hash} is in force")


def test_a_bad_change_changes_nothing_and_is_named_until_a_good_one_comes():
    it = Followed("weights: {packing: 2}")
    before = (it.reload.active, it.reload.active_hash)

    it.offer("weights: {packing: -1}")

    assert (it.reload.active, it.reload.active_hash) == before
    assert it.state == (0, 1, 0)
    assert "ConfigMap x: weights.packing = -1: " in it.reload.last_error
    told = it.reload.notice()
    assert (told.type, told.reason) == ("Warning", "ConfigRefused")
    assert "weights.packing = -1" in told.message
    assert f"{before[1]} stays in force" in told.message

    it.offer("weights: {packing: 2}")  # what was in force all the time
    assert (it.state, it.reload.last_error) == ((1, 1, 0), "")


def test_the_same_text_is_looked_at_once_and_a_comment_changes_nothing():
    it = Followed()
    for text in ("batch: x", "batch: x", "batch: 7", "batch: 7", "batch: 7 # pods", "batch: 7"):
        it.offer(text)

    assert it.state == (1, 1, 1)


def test_what_needs_a_restart_is_told_and_the_rest_counts():
    it = Followed()

    it.offer("http: {port: 1}\nweights: {packing: 2}")

    assert it.reload.active.weights == {"packing": 2.0}
    assert it.reload.active.http.port == 10371
    assert it.reload.waiting == ("http.port = 1 (now 10371)",)
    told = it.reload.notice()
    assert (told.type, told.reason) == ("Warning", "ConfigNeedsRestart")
    assert told.message.endswith("needs a restart: http.port = 1 (now 10371)")

    it.offer("weights: {packing: 2}")
    assert (it.reload.waiting, it.state) == ((), (2, 0, 1))


def test_variables_win_over_what_a_change_says():
    it = Followed(environment={"DOVETAIL_WEIGHTS__PACKING": "3"})

    it.offer("weights: {packing: 2}")

    assert it.state == (0, 0, 0)
    assert it.reload.active.weights == {"packing": 3.0}


# ---------------------------------------------------------------- a ConfigMap


def config_map(uid="u", **content):
    metadata = {"namespace": "dovetail-system", "name": "dovetail-config", "uid": uid, "resourceVersion": "7"}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **content}).encode()


def test_a_configmap_is_read_by_its_key():
    found = decode.config_text(config_map(data={"config.yaml": HEAD, "other": "x"}))

    assert (found.key, found.uid, found.text) == (KEY, "u", HEAD)
    assert found.where == f"ConfigMap {KEY}: data[config.yaml]"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "data[config.yaml]: is missing"),
        ({"data": None}, "data[config.yaml]: is missing"),
        ({"data": {"config.yml": HEAD}}, "data[config.yaml]: is missing"),
        ({"binaryData": {"config.yaml": "YQ=="}}, "data[config.yaml]: is under binaryData; put the text there"),
        ({"data": {"config.yaml": 7}}, "data[...]: expected `str`, got `int`"),
        ({"data": 7}, "data: "),
    ],
)
def test_a_configmap_without_it_is_refused_by_name(content, said):
    with pytest.raises(DecodeError) as caught:
        decode.config_text(config_map(**content))

    assert KEY in str(caught.value)
    assert said in str(caught.value)


def test_a_configmap_that_goes_leaves_the_last_good_one_and_counts_again_when_it_is_back():
    it = Followed()
    good = decode.config_text(config_map(data={"config.yaml": HEAD + "batch: 7"}))
    events = [
        Seen(good),
        Gone("ConfigMap", KEY, Uid("u")),
        Gone("ConfigMap", KEY, Uid("u")),
        Seen(good),
        Rejected("ConfigMap", KEY, Uid("u2"), "ConfigMap x: data[config.yaml]: is missing"),
    ]

    states = []
    for event in events:
        it.reload.seen(event)
        states.append((it.state, it.reload.last_error))

    assert states == [
        ((1, 0, 1), ""),
        ((1, 1, 1), f"ConfigMap {KEY}: was deleted; create it again"),
        ((1, 1, 1), f"ConfigMap {KEY}: was deleted; create it again"),
        ((2, 1, 1), ""),
        ((2, 2, 1), "ConfigMap x: data[config.yaml]: is missing"),
    ]
    assert it.reload.active.batch == 7
    assert (it.reload.source.key, it.reload.source.uid) == (KEY, "u2")


# ---------------------------------------------------------------- a file


class Volume:
    """A mounted ConfigMap: files are links into `..data`, which is a link that the kubelet replaces at once."""

    def __init__(self, folder, text):
        self.folder = folder
        self.number = 0
        self.write(text)
        (folder / "config.yaml").symlink_to("..data/config.yaml")
        self.path = folder / "config.yaml"

    def write(self, text):
        """As the kubelet's atomic writer does (pkg/volume/util/atomic_writer.go)."""
        self.number += 1
        new = self.folder / f"..2026_11_26_{self.number}"
        new.mkdir()
        (new / "config.yaml").write_text(text)
        (self.folder / "..data_tmp").symlink_to(new.name)
        os.rename(self.folder / "..data_tmp", self.folder / "..data")


@pytest.fixture
async def follow():
    tasks = []

    def start(it, path, every_s=0.01):
        tasks.append(asyncio.ensure_future(it.reload.follow(path, every_s)))
        return it

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def told(it, condition):
    async with asyncio.timeout(5):
        while not condition():
            it.reload.changed.clear()
            await it.reload.changed.wait()


async def test_a_volume_that_the_kubelet_swaps_is_followed(tmp_path, follow):
    volume = Volume(tmp_path, HEAD)
    it = follow(Followed(), volume.path)

    for number in range(1, 6):
        volume.write(HEAD + f"batch: {number}")
        await told(it, lambda number=number: it.reload.active.batch == number)
        volume.write(HEAD + f"batch: -{number}")
        await told(it, lambda number=number: f"batch = -{number}" in it.reload.last_error)
        assert it.reload.active.batch == number

    assert it.state == (5, 5, 5)
    assert str(volume.path) in it.reload.last_error


async def test_a_change_between_the_start_and_the_first_look_is_seen(tmp_path, follow):
    volume = Volume(tmp_path, HEAD)
    it = Followed()
    volume.write(HEAD + "batch: 3")

    follow(it, volume.path)
    await told(it, lambda: it.reload.active.batch == 3)


async def test_a_file_that_is_being_written_is_read_when_it_is_whole(tmp_path, follow):
    path = tmp_path / "config.yaml"
    path.write_text(HEAD)
    it = follow(Followed(), path, every_s=0.05)

    with path.open("w") as file:
        for part in (HEAD, "weights: {pack", "ing: 2", "}\n"):
            file.write(part)
            file.flush()
            await asyncio.sleep(0.02)
    await told(it, lambda: it.reload.active.weights == {"packing": 2.0})

    assert it.state == (1, 0, 1)


async def test_a_file_that_goes_or_becomes_something_else_is_told(tmp_path, follow):
    path = tmp_path / "config.yaml"
    path.write_text(HEAD + "batch: 3")
    it = follow(Followed("batch: 3"), path)

    path.unlink()
    await told(it, lambda: "cannot be read (No such file" in it.reload.last_error)
    path.mkdir()
    await told(it, lambda: "cannot be read (Is a directory" in it.reload.last_error)
    path.rmdir()
    path.write_text(HEAD + "batch: 3")
    await told(it, lambda: not it.reload.last_error)

    assert it.reload.active.batch == 3
    assert it.applied == []


async def test_a_pipe_is_not_read_again_and_that_is_said_once(tmp_path, follow, caplog):
    reader, writer = os.pipe()  # as `--config <(...)` has it once it was read
    os.close(writer)
    path = tmp_path / "config.yaml"
    path.symlink_to(f"/dev/fd/{reader}")
    it = follow(Followed("batch: 3"), path)

    async with asyncio.timeout(5):
        while not caplog.messages:
            await asyncio.sleep(0.01)
    path.unlink()
    os.close(reader)
    path.write_text(HEAD + "batch: 4")  # a file in its place is followed
    await told(it, lambda: it.reload.active.batch == 4)

    assert it.reload.refused == 0
    assert [each for each in caplog.messages if "not a file" in each] == [
        f"configuration {path} is not a file: its changes are not followed"
    ]


def test_the_hash_is_that_of_the_start_until_a_change_comes():
    settings = load(None, {})

    assert Reload(settings, {}).active_hash == settings.digest()
