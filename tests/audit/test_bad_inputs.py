"""What cannot be used: a clear error with file and line, exit 2, soon, and in little memory."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from scheduler.audit.command import audit
from scheduler.audit.tree import MAX_DEPTH, MAX_VALUES

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: s\n    image: x\n"
LIMITS = POD + "    resources:\n      limits:\n        nvidia.com/gpu: "
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
CLAIM = "apiVersion: resource.k8s.io/v1\nkind: ResourceClaim\nmetadata: {name: c}\n"
TEXTS = {
    # name: (text or bytes, the line to blame, a word of the error)
    "an unclosed bracket": ("a: [1, 2\nb: 3\n", 2, "not YAML"),
    "an unclosed quote": ("a: 'x\n", 1, "not YAML"),
    "an unclosed brace": ("{\n", 1, "not YAML"),
    "a tab": ("a: b\n\tc: d\n", 2, "not YAML"),
    "wrong indentation": ("a:\n    b: 1\n  c: 2\n", 3, "not YAML"),
    "two values": ("a: b: c\n", 1, "not YAML"),
    "a reserved character": ("a: @b\n", 1, "not YAML"),
    "a percent sign": ("a: %b\n", 1, "not YAML"),
    "broken JSON": ('{"a": }x\n', 1, "not YAML"),
    "JSON cut off": ('{"kind": "Pod", "metadata": {"name"\n', 1, "not YAML"),
    "a control character": ("a: \x01\n", 1, "not YAML"),
    "an escape that is none": ('a: "\\q"\n', 1, "not YAML"),
    "a broken document among good ones": (POD + "---\na: [\n---\n" + POD, 9, "not YAML"),
    "a duplicate key": ("a: 1\na: 2\n", 2, "'a' twice"),
    "a duplicate key in JSON": ('{"a": 1,\n "a": 2}\n', 2, "'a' twice"),
    "a duplicate limit": (LIMITS + "1\n        nvidia.com/gpu: 2\n", 11, "twice"),
    "a list as a key": ("? [a]\n: b\n", 1, "no text"),
    "a mapping as a key": ("? {a: b}\n: c\n", 1, "no text"),
    "an alias to nothing": ("a: *b\n", 1, "nothing before it"),
    "a cycle": ("a: &a [*a]\n", 1, "inside itself"),
    "a cycle of mappings": ("a: &a\n  b: *a\n", 2, "inside itself"),
    "an alias bomb": (BOMB, 6, f"more than {MAX_VALUES} values"),
    "a merge of a text": ("a: &a x\nb:\n  <<: *a\n", 3, "no mapping"),
    "a merge of a list of texts": ("b:\n  <<: [x, y]\n", 2, "no mapping"),
    "a tag of Python": ("a: !!python/object/apply:os.system [ls]\n", 1, "tag"),
    "a tag of somebody": ("a: !Ref b\n", 1, "tag"),
    "a binary tag": ("a: !!binary aGk=\n", 1, "tag"),
    "a set": ("a: !!set {b}\n", 1, "tag"),
    "brackets without end": ("[" * 200_000, 1, f"{MAX_DEPTH} levels"),
    "braces without end": ("{a: " * 100_000, 1, f"{MAX_DEPTH} levels"),
    "JSON nested too deep": ('{"a":' * 5_000 + "1" + "}" * 5_000, 1, f"{MAX_DEPTH} levels"),
    "dashes without end": ("- " * 100_000 + "a\n", 1, f"{MAX_DEPTH} levels"),
    "values without end": ("[" + "1," * (MAX_VALUES + 1) + "1]\n", 1, f"more than {MAX_VALUES} values"),
    "a text": ("hello\n", 1, "not a Kubernetes object"),
    "a number": ("42\n", 1, "not a Kubernetes object"),
    "a list of texts": ("- a\n- b\n", 1, "no JSON patch"),
    "a list of objects that are no patch": ("- name: a\n", 1, "no JSON patch"),
    "an empty list at the top": ("[x]\n", 1, "no JSON patch"),
    "a kind that is a list": ("apiVersion: v1\nkind: [Pod]\n", 2, "kind: is not a text"),
    "an apiVersion that is a mapping": ("apiVersion: {a: b}\nkind: Pod\n", 1, "apiVersion: is not a text"),
    "metadata that is a text": ("apiVersion: v1\nkind: Pod\nmetadata: p\n", 3, "metadata: is not a mapping"),
    "metadata that is a list": ("apiVersion: v1\nkind: Pod\nmetadata: [p]\n", 3, "metadata: is not a mapping"),
    "a list that holds a text": ("apiVersion: v1\nkind: List\nitems:\n- a\n", 4, "no object"),
    "a spec that is a text": ("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: x\n", 4, "spec is not a mapping"),
    "a template that is a list": ("apiVersion: apps/v1\nkind: Deployment\nspec: {template: []}\n", 3, "not a mapping"),
    "containers that are a mapping": ("apiVersion: v1\nkind: Pod\nspec: {containers: {a: b}}\n", 3, "not a list"),
    "containers that are a text": ("apiVersion: v1\nkind: Pod\nspec:\n  containers: a\n", 4, "not a list"),
    "a container that is a text": ("apiVersion: v1\nkind: Pod\nspec: {containers: [a, {b: c}]}\n", 3, "no container"),
    "resources that are a list": (POD + "    resources: []\n", 8, "resources is not a mapping"),
    "limits that are a list": (POD + "    resources:\n      limits: [a]\n", 9, "limits is not a mapping"),
    "claims that are a mapping": (POD + "    resources: {claims: {name: a}}\n", 8, "claims is not a list"),
    "resourceClaims that are a text": (POD + "  resourceClaims: gpu\n", 8, "resourceClaims is not a list"),
    "a nodeSelector that is a list": (POD + "  nodeSelector: [a]\n", 8, "nodeSelector is not a mapping"),
    "a nodeSelector without quotes": (POD + "  nodeSelector: {nvidia.com/gpu.present: true}\n", 8, "quote it"),
    "a number in a nodeSelector": (POD + "  nodeSelector:\n    nvidia.com/gpu.count: 8\n", 9, "quote it"),
    "tolerations that are a mapping": (POD + "  tolerations: {key: a}\n", 8, "tolerations is not a list"),
    "an environment that is a mapping": (POD + "    env: {A: b}\n", 8, "env is not a list"),
    "NaN": (LIMITS + ".nan\n", 10, "not a quantity"),
    "infinity": (LIMITS + ".inf\n", 10, "not a quantity"),
    "a sexagesimal": (LIMITS + "1:30\n", 10, "not a quantity"),
    "an octal": (LIMITS + "010\n", 10, "octal"),
    "a hexadecimal": (LIMITS + "0x10\n", 10, "not a quantity"),
    "underscores": (LIMITS + "1_000\n", 10, "not a quantity"),
    "a word": (LIMITS + "one\n", 10, "not a quantity"),
    "a truth value": (LIMITS + "true\n", 10, "not a quantity"),
    "a blank": (LIMITS + "'1 '\n", 10, "not a quantity"),
    "an exponent without end": (LIMITS + "1e1000000000\n", 10, "not a quantity"),
    "digits without end": (LIMITS + "9" * 100_000 + "\n", 10, "not a quantity"),
    "Arabic digits": (LIMITS + "١٢\n", 10, "not a quantity"),
    "a list of GPUs": (LIMITS + "[1]\n", 10, "not a quantity"),
    "a mapping of GPUs": (LIMITS + "{count: 1}\n", 10, "not a quantity"),
    "a patch with NaN": ("- {op: add, path: /a/limits/nvidia.com~1gpu, value: .nan}\n", 1, "not a quantity"),
    "a broken patch": ("kind: Kustomization\npatches:\n- patch: |-\n    a: [\n    b: 1\n", 4, "not YAML"),
    "a null byte": (b"a: b\nc: \x00\n", 2, "null byte"),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10, 3, "null byte"),
    "not UTF-8": (b"a: b\nc: \xff\xfe\n", 2, "not UTF-8"),
    "UTF-16": ("a: b\n".encode("utf-16"), 1, "null byte"),
    "Latin-1": ("a: b\nb: \xe9\n".encode("latin-1"), 2, "not UTF-8"),
    "a template of Helm": ("metadata:\n  name: {{ .Values.name }}\n", 2, "is a template"),
    "a template with actions only": ("{{- if .Values.gpu }}\n{{- end }}\n", 1, "is a template"),
    "a lone surrogate": ('a: "\\ud800"\n', 1, "not YAML"),
}  # fmt: skip
STARTS = 20  # times what the interpreter takes to start, which is a fifth of a second, or half of one in a slow hour
MEMORY_KIB = 300 * 1024


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_cannot_be_used_is_refused_with_its_line(name, tmp_path, capsys):
    text, line, word = TEXTS[name]
    file = tmp_path / "bad.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))

    code = audit([str(file)], "table", "error")

    said = capsys.readouterr()
    assert code == 2
    assert word in said.out + said.err
    assert "Traceback" not in said.err
    assert f"{file}:{line}" in said.out + said.err
    assert len(said.err) < 3_000


def test_there_are_eighty_of_them():
    assert len(TEXTS) >= 80


PROGRAM = """
import json, os, resource, sys
from pathlib import Path
from scheduler.audit.command import audit
from scheduler.audit.migrating.command import migrate

def measured(act):  # in a process of its own, which begins with what is imported
    child = os.fork()
    if not child:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        code = 70  # of an exception
        try:
            code = act()
        finally:
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss

began = resource.getrusage(resource.RUSAGE_SELF)
start = began.ru_utime + began.ru_stime
found = {}
for at, file in enumerate(sorted(Path(sys.argv[1]).iterdir())):
    out = Path(sys.argv[2]) / str(at)
    found[file.name] = [measured(lambda: audit([str(file)], "json", "error")),
                        measured(lambda: migrate(str(file), out, "claims"))]
print(json.dumps([start, found]))
"""


@pytest.fixture(scope="module")
def measurements(tmp_path_factory):
    """CPU seconds that the start takes, and of each bad file what audit and migrate took: (code, seconds, KiB)."""
    folder, out = tmp_path_factory.mktemp("bad"), tmp_path_factory.mktemp("out")
    for name, (text, _, _) in TEXTS.items():
        (folder / f"{name}.yaml").write_bytes(
            text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        )
    (folder / "a file of 50 MB.yaml").write_text("a: b\n" * 10_000_000)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(out)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", [*TEXTS, "a file of 50 MB"])
def test_none_takes_long_or_much_memory(name, measurements):
    start, found = measurements
    audited, migrated = found[f"{name}.yaml"]

    assert audited[0] == 2
    assert migrated[0] in {1, 2}  # a template needs a human
    for _, seconds, kib in (audited, migrated):
        assert start + seconds < STARTS * start
        assert kib < MEMORY_KIB


def test_a_path_that_is_not_there(tmp_path, capsys):
    assert audit([str(tmp_path / "absent.yaml")], "table", "error") == 2
    assert "absent.yaml: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a\x00b", "a\nb\x1b[31m", "x" * 5000], ids=["null", "escape", "long"])
def test_names_that_no_file_can_have_or_should(name, capsys):
    assert audit([name], "table", "error") == 2
    said = capsys.readouterr().err
    assert "cannot be read" in said
    assert "\x1b" not in said
    assert said.count("\n") == 1


def test_a_pipe_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.yaml")

    assert audit([str(tmp_path / "pipe.yaml")], "table", "error") == 2
    assert "no regular file" in capsys.readouterr().err


def test_a_device_without_end_is_not_read(capsys):
    assert audit(["/dev/zero"], "table", "error") == 2
    assert "no regular file" in capsys.readouterr().err


def test_an_empty_folder_is_not_in_order(tmp_path, capsys):
    assert audit([str(tmp_path)], "table", "error") == 2
    assert "holds no YAML or JSON" in capsys.readouterr().err


def test_links_that_go_round_or_out_are_told_and_the_rest_is_read(tmp_path, capsys):
    inside = tmp_path / "inside"
    (inside / "deep").mkdir(parents=True)
    (inside / "deep" / "pod.yaml").write_text(LIMITS + "1\n")
    (inside / "deep" / "round").symlink_to(inside)
    (inside / "out").symlink_to("/etc")
    (inside / "self.yaml").symlink_to(inside / "self.yaml")
    (inside / "passwd.yaml").symlink_to("/etc/passwd")

    code = audit([str(inside)], "table", "error")

    said = capsys.readouterr()
    assert code == 2
    assert "DP001" in said.out
    for name, why in (
        ("round", "a loop"),
        ("out", "out of the folder"),
        ("self.yaml", "nowhere"),
        ("passwd.yaml", "out of"),
    ):
        assert any(name in line and why in line for line in said.err.splitlines()), said.err
    assert "root:" not in said.out + said.err


def test_one_bad_file_does_not_hide_the_findings_of_others(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text("a: [\n")
    (tmp_path / "b.yaml").write_text(LIMITS + "1\n")

    assert audit([str(tmp_path)], "table", "error") == 2
    assert "DP001" in capsys.readouterr().out


@pytest.mark.skipif(not (shutil.which("kubectl") or shutil.which("kustomize")), reason="kustomize is not installed")
def test_a_kustomization_cannot_reach_out_of_its_folder(tmp_path, capsys):
    (tmp_path / "secret.yaml").write_text(POD)
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "kustomization.yaml").write_text("resources: [../secret.yaml]\n")

    assert audit([str(tmp_path / "k")], "table", "error") == 2
    assert "failed" in capsys.readouterr().err


@pytest.mark.parametrize(("form", "fail_on"), [("xml", "error"), ("table", "fatal")])
def test_an_argument_that_is_none(form, fail_on, capsys):
    assert audit(["-"], form, fail_on) == 2
    assert "is none of" in capsys.readouterr().err
