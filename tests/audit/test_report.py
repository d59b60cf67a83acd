"""The four forms of a report, and the exit codes."""

import io
import json
import re
import sys

import pytest
from typer.testing import CliRunner

from scheduler import cli
from scheduler.audit.catalogue import ENTRIES
from scheduler.audit.command import audit
from scheduler.audit.inspection import inspect
from scheduler.audit.report import FORMATS, benefits
from scheduler.audit.sources import Problem, Source

POD = """apiVersion: v1
kind: Pod
metadata: {name: p, namespace: team}
spec:
  tolerations: [{key: nvidia.com/gpu, operator: Exists}]
  containers:
  - name: s
    image: x
    resources: {limits: {nvidia.com/gpu: 2}}
"""
HOSTILE = """apiVersion: v1
kind: "Pod\\e[2J"
metadata: {name: "<script>alert(1)</script>|x`y"}
spec:
  containers:
  - {name: "a\\r\\nb\\u202e", image: x, resources: {limits: {nvidia.com/gpu: 1}}}
"""


def report(text=POD, problems=()):
    return inspect([Source("a b.yaml", text), *problems])


def test_json_has_the_fields_that_programs_rely_on():
    body = json.loads(FORMATS["json"](report()))

    assert [each["id"] for each in body["findings"]] == ["TOL001", "DP001", "DP002"]
    assert body["findings"][1] == {
        "id": "DP001", "severity": "warning", "benefit": "attributes", "file": "a b.yaml", "line": 9,
        "object": "Pod team/p", "message": "asks a device plugin for whole GPUs: nvidia.com/gpu 2 in container s",
        "advice": ENTRIES["DP001"].advice,
    }  # fmt: skip
    assert body["benefits"] == {"attributes": ["Pod team/p"], "topology": ["Pod team/p"]}


def test_sarif_has_what_its_schema_requires():
    problem = Problem("c.yaml", 3, "is not YAML")

    body = json.loads(FORMATS["sarif"](report(problems=[problem])))

    assert body["version"] == "2.1.0"
    (run,) = body["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    assert [rule["id"] for rule in driver["rules"]] == list(ENTRIES)
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"none", "note", "warning", "error"}
        assert result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "a%20b.yaml"
        assert place["region"]["startLine"] >= 1
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] == "is not YAML"


def test_an_object_that_came_from_no_file_has_no_region():
    container = {"name": "s", "image": "x", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    value = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}

    found = inspect([], [("cluster", value)])

    (result,) = json.loads(FORMATS["sarif"](found))["runs"][0]["results"]
    assert result["ruleId"] == "DP001"
    assert "region" not in result["locations"][0]["physicalLocation"]


@pytest.mark.parametrize("form", FORMATS)
def test_what_tenants_write_steers_nothing(form):
    text = FORMATS[form](report(HOSTILE))

    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    if form == "markdown":
        assert "<script>" not in text
        assert all(line.count(" | ") == 4 for line in text.splitlines() if "DP001" in line and line.startswith("|"))
    if form == "json":
        assert json.loads(text)["findings"][0]["object"] == "Pod\x1b[2J <script>alert(1)</script>|x`y"


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_found_is_said_in_every_form(form):
    assert FORMATS[form](report("a: b\n"))


def test_benefits_name_each_object_once():
    assert benefits(report(POD + "---\n" + POD)) == {"attributes": ["Pod team/p"], "topology": ["Pod team/p"]}


@pytest.mark.parametrize(
    ("text", "fail_on", "code"),
    [(POD, "warning", 1), (POD, "info", 1), (POD, "error", 0), (POD, "never", 0), ("a: b\n", "info", 0)],
)
def test_the_exit_code_follows_the_level(text, fail_on, code, tmp_path, capsys):
    (tmp_path / "a.yaml").write_text(text)

    assert audit([str(tmp_path)], "json", fail_on) == code
    assert json.loads(capsys.readouterr().out)["problems"] == []


def test_standard_input_is_read(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(POD.encode())))

    assert audit(["-"], "json", "warning") == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["file"] == "standard input"


def test_an_empty_standard_input_is_told(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))

    assert audit(["-"], "json", "warning") == 2
    assert "standard input: is empty" in capsys.readouterr().err


def test_the_command_line_names_files_or_a_cluster_and_not_both():
    for arguments in (["audit"], ["audit", "--live", "a.yaml"]):
        done = CliRunner().invoke(cli.app, arguments)

        assert done.exit_code == 2
        assert "not both" in done.output
