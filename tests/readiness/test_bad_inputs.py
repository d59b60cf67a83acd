"""Whatever is given to `readiness` and `doublebook`: words with file and line, exit code 2, little time and memory."""

import os
import re
import subprocess
import sys
import time

import pytest

from scheduler.audit.tree import MAX_DEPTH, MAX_VALUES
from scheduler.doublebook.command import doublebook
from scheduler.readiness.command import readiness
from scheduler.readiness.snapshot import MAX_JSON

COMMANDS = {
    "readiness": lambda path: readiness([path], "table"),
    "doublebook": lambda path: doublebook([path], "table"),
}
SLICE = (
    "apiVersion: resource.k8s.io/v1\nkind: ResourceSlice\nmetadata: {name: s}\nspec:\n  driver: d.example.com\n"
    "  nodeName: n1\n  pool: {name: n1, generation: 1, resourceSliceCount: 1}\n"
)
DEVICE = SLICE + "  devices:\n  - name: d0\n    capacity:\n      memory: {value: "
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
RECORD = '{"apiVersion": "readiness.dovetail.scheduler/v1alpha1",\n "kind": "ClusterRecord"'
TEXTS = {
    # name: (text or bytes, the line to blame, a word of the error)
    "nothing": ("", 0, "holds "),
    "only comments": ("# nothing\n", 0, "holds "),
    "only separators": ("---\n---\n", 0, "holds "),
    "other kinds": ("apiVersion: v1\nkind: Service\nmetadata: {name: s}\n", 0, "holds "),
    "a text": ("hello\n", 1, "is a text"),
    "a number": ("42\n", 1, "is a number"),
    "a list": ("- a\n- b\n", 1, "is a list"),
    "no kind": ("apiVersion: v1\nmetadata: {name: n}\n", 1, "kind: is missing"),
    "no apiVersion": ("kind: Node\nmetadata: {name: n}\n", 1, "apiVersion: is missing"),
    "a kind that is a list": ("apiVersion: v1\nkind: [Node]\n", 1, "kind: is no text"),
    "an apiVersion that is a mapping": ("apiVersion: {a: b}\nkind: Node\n", 1, "apiVersion: is no text"),
    "no metadata": ("apiVersion: v1\nkind: Node\n", 1, "metadata: is missing"),
    "metadata that is a text": ("apiVersion: v1\nkind: Node\nmetadata: n\n", 1, "metadata: is no mapping"),
    "no name": ("apiVersion: v1\nkind: Node\nmetadata: {}\n", 1, "metadata.name: is missing"),
    "a name that is a number": ("apiVersion: v1\nkind: Node\nmetadata: {name: 5}\n", 1, "metadata.name: is no text"),
    "the second of two is broken": (SLICE + "---\napiVersion: v1\nkind: Node\nmetadata: [n]\n", 9, "no mapping"),
    "an item of a list": ("apiVersion: v1\nkind: List\nitems:\n- kind: Node\n- a\n", 4, "apiVersion: is missing"),
    "a list of texts": ("apiVersion: v1\nkind: NodeList\nitems:\n- a\n", 4, "is a text"),
    "one object twice": (SLICE + "---\n" + SLICE, 9, "stands in"),
    "an alpha version": (SLICE.replace("/v1\n", "/v1alpha2\n"), 1, "another design"),
    "a slice without pool": (SLICE.partition("  pool")[0], 1, "spec.pool"),
    "a slice whose devices are a text": (SLICE + "  devices: all\n", 1, "spec.devices"),
    "a generation that is a text": (SLICE.replace("generation: 1", "generation: x"), 1, "generation"),
    "NaN": (DEVICE + ".nan}\n", 11, ".nan where a number is meant"),
    "infinity": (DEVICE + "-.inf}\n", 11, "-.inf where a number is meant"),
    "a sexagesimal": (DEVICE + "1:30}\n", 1, "1:30"),
    "a word as a quantity": (DEVICE + "much}\n", 1, "much"),
    "a quantity without end": (DEVICE + "9" * 100_000 + "}\n", 1, "quantity"),
    "Arabic digits": (DEVICE + "١٢}\n", 1, "quantity"),
    "an unclosed bracket": ("a: [1, 2\nb: 3\n", 2, "not YAML"),
    "an unclosed quote": ("a: 'x\n", 1, "not YAML"),
    "a tab": ("a: b\n\tc: d\n", 2, "not YAML"),
    "a control character": ("a: \x01\n", 1, "not YAML"),
    "a template": ("metadata:\n  name: {{ .Values.name }}\n", 2, ""),
    "a duplicate key": ("a: 1\na: 2\n", 2, "'a' twice"),
    "a duplicate key in JSON": ('{"apiVersion": "v1",\n "kind": "Node", "kind": "Pod"}', 1, "'kind' twice"),
    "a list as a key": ("? [a]\n: b\n", 1, "no text"),
    "an alias to nothing": ("a: *b\n", 1, "nothing before it"),
    "a cycle": ("a: &a [*a]\n", 1, "inside itself"),
    "an alias bomb": (BOMB, 6, f"more than {MAX_VALUES} values"),
    "a tag of Python": ("a: !!python/object/apply:os.system [ls]\n", 1, "tag"),
    "200,000 brackets": ("[" * 200_000, 1, f"{MAX_DEPTH} levels"),
    "200,000 braces": ('{"a":' * 200_000, 1, f"{MAX_DEPTH} levels"),
    "200,000 dashes": ("- " * 200_000 + "a\n", 1, f"{MAX_DEPTH} levels"),
    "values without end": ("[" + "1," * (MAX_VALUES + 1) + "1]\n", 1, "is a list"),
    "JSON without end": ('{"items": [' + "[]," * (MAX_JSON // 2 + 1) + "1]}", 1, "values: split it"),
    "YAML without end": ("a:\n" + "- 1\n" * (MAX_VALUES + 1), 200_001, f"more than {MAX_VALUES} values"),
    "a null byte": (b"a: b\nc: \x00\n", 2, "null byte"),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10, 3, "null byte"),
    "not UTF-8": (b"a: b\nc: \xff\xfe\n", 2, "not UTF-8"),
    "UTF-16": ("a: b\n".encode("utf-16"), 1, "null byte"),
    "a lone surrogate": ('a: "\\ud800"\n', 1, "not YAML"),
    "too large": ("a: b\n" * (17 * 2**20 // 5), 0, "larger than 16 MiB"),
}  # fmt: skip
JSON_TEXTS = {
    "broken JSON": ('{"kind": "Node",\n "metadata": }', 2, "not JSON"),
    "JSON cut off": ('{"kind": "Node",\n "metadata": {"name"', 2, "not JSON"),
    "NaN in JSON": ('{"apiVersion": "v1", "kind": "Node",\n "x": NaN}', 2, "NaN is no number"),
    "infinity in JSON": ('{"apiVersion": "v1", "kind": "Node",\n "x": [1,\n -Infinity]}', 3, "Infinity is no number"),
    "digits without end": ('{"apiVersion": "v1", "kind": "Node", "x": ' + "9" * 5000 + "}", 1, "not JSON"),
    "a number beyond all": ('{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": 1e999}', 1, "inf"),
    "a second object that is broken": ('{"apiVersion": "v1", "kind": "Service"}\n{"kind": "Node"', 2, "not JSON"),
}
RECORDS = {
    "a record of another version": (RECORD.replace("v1alpha1", "v9") + "}", 1, "record it anew"),
    "a record with a field of somebody": (RECORD + ', "owner": "x"}', 1, "owner"),
    "features that are a list": (RECORD + ', "features": []}', 1, "features"),
    "a feature that is a text": (RECORD + ', "features": {"DRAAdminAccess": "yes"}}', 1, "features.DRAAdminAccess"),
    "a version that is a number": (RECORD + ', "minor": "37"}', 1, "minor"),
    "items that are a text": (RECORD + ', "items": "none"}', 1, "items"),
    "an item that is a text": (RECORD + ', "items": ["a"]}', 1, "items.0"),
    "an item without kind": (RECORD + ', "items": [{}]}', 1, "items[0]: apiVersion"),
    "an item that is no slice": (
        RECORD
        + ', "items": [{"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "s"}}]}',
        1, "spec.pool",
    ),
    "two records": (RECORD + "}\n" + RECORD + "}", 3, "a second ClusterRecord"),
}  # fmt: skip
DEADLINE_S = 4.0  # of the processor, two of an ordinary one: shared machines are half as fast in some hours


def judge(command, file, line, word, capsys):
    began = time.process_time()
    code = COMMANDS[command](str(file))
    took = time.process_time() - began

    said = capsys.readouterr()
    assert code == 2
    assert (f"{file}:{line}: " if line else f"{file}: ") in said.err
    assert word in said.err
    assert "Traceback" not in said.err
    assert len(said.err) < 3_000
    assert took < DEADLINE_S


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_cannot_be_used_is_refused_with_its_line(name, command, tmp_path, capsys):
    text, line, word = TEXTS[name]
    file = tmp_path / "bad.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))

    judge(command, file, line, word, capsys)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", JSON_TEXTS)
def test_json_that_cannot_be_used_is_refused_with_its_line(name, command, tmp_path, capsys):
    text, line, word = JSON_TEXTS[name]
    file = tmp_path / "bad.json"
    file.write_text(text)

    judge(command, file, line, word, capsys)


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_is_none_is_refused_with_the_key(name, tmp_path, capsys):
    text, line, word = RECORDS[name]
    file = tmp_path / "record.json"
    file.write_text(text)

    judge("readiness", file, line, word, capsys)


def test_there_are_more_than_forty_for_each_command():
    assert len(TEXTS) + len(JSON_TEXTS) > 55


PROGRAM = """
import sys
from pathlib import Path
from scheduler.doublebook.command import doublebook
from scheduler.readiness.command import readiness
code = {"readiness": readiness, "doublebook": doublebook}[sys.argv[1]]([sys.argv[2]], "json")
print(Path("/proc/self/status").read_text(), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["an alias bomb", "200,000 brackets", "JSON without end", "a file of 50 MB"])
def test_the_worst_take_little_memory(name, command, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text("a: b\n" * 10_000_000 if name == "a file of 50 MB" else TEXTS[name][0])

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, command, str(file)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr
    assert int(re.search(r"VmHWM:\s+(\d+) kB", done.stderr)[1]) < 300 * 1024


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "name", ["absent.yaml", "a\nb\x1b[31m", "x" * 5000, "a\x00b"], ids=["absent", "escape", "long", "null"]
)
def test_names_that_no_file_has(name, command, capsys):
    assert COMMANDS[command](name) == 2

    said = capsys.readouterr().err
    assert "cannot be read" in said
    assert "\x1b" not in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_links_that_go_round_pipes_and_devices_without_end(command, tmp_path, capsys):
    (tmp_path / "self.yaml").symlink_to(tmp_path / "self.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    inside = tmp_path / "inside"
    (inside / "deep").mkdir(parents=True)
    (inside / "deep" / "round").symlink_to(inside)
    (inside / "out.yaml").symlink_to("/etc/passwd")

    for path, words in (
        (tmp_path / "self.yaml", "cannot be read"), (tmp_path / "pipe.yaml", "no regular file"),
        (inside, "a loop"), ("/dev/zero", "no regular file"),
    ):  # fmt: skip
        assert COMMANDS[command](str(path)) == 2
        said = capsys.readouterr()
        assert words in said.err
        assert "root:" not in said.out + said.err


@pytest.mark.parametrize("command", [readiness, doublebook])
def test_a_format_that_is_none(command, capsys):
    assert command(["-"], "xml") == 2
    assert "--format xml: is none of" in capsys.readouterr().err


def test_a_family_that_is_none(capsys):
    assert readiness(["-"], "table", ["one-gpu", "two-gpu"]) == 2
    assert "--for two-gpu: is none of one-gpu, " in capsys.readouterr().err


def test_what_was_written_by_others_cannot_steer_a_terminal(tmp_path, capsys):
    (tmp_path / "s.yaml").write_text(SLICE.replace("d.example.com", '"d\\x1b[31m.example.com"'))

    assert readiness([str(tmp_path)], "table") == 1
    assert readiness([str(tmp_path)], "markdown") == 1
    assert "\x1b" not in capsys.readouterr().out
