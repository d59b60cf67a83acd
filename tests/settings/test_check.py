"""`dovetail config check` and `dovetail config schema`."""

import json
import re

import pytest
from typer.testing import CliRunner

from scheduler.cli import app
from scheduler.core import names
from scheduler.service.check import SCHEMA, text
from scheduler.service.settings import SchedulerConfig, load
from scoring.weights import DEFAULTS
from tests.house.test_readme import ROOT

HEAD = f"apiVersion: {names.CONFIG_API_VERSION}\nkind: {names.CONFIG_KIND}\n"


def run(*arguments, **fields):
    return CliRunner().invoke(app, ["config", *map(str, arguments)], **fields)


def test_a_good_file_has_its_hash_printed(tmp_path, monkeypatch):
    monkeypatch.setenv("DOVETAIL_WEIGHTS__PACKING", "9")  # means nothing here
    path = tmp_path / "config.yaml"
    path.write_text(HEAD)

    done, piped = run("check", path), run("check", "-", input=HEAD)

    assert (done.exit_code, piped.exit_code) == (0, 0)
    assert done.stdout == piped.stdout == f"config hash {load(None, {}).digest()}\n"


def test_a_bad_file_is_refused_with_its_path_and_exit_code_2(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(HEAD + "weights: {packing: -1}")

    done, missing = run("check", path), run("check", tmp_path / "none.yaml")

    assert (done.exit_code, done.stdout, missing.exit_code) == (2, "", 2)
    assert f"{path}: weights.packing = -1: " in done.stderr
    assert "none.yaml: cannot be read" in missing.stderr


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\0", b"- 1", b""])
def test_what_comes_by_a_pipe_is_refused_in_the_same_way(content):
    done = run("check", "-", input=content)

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("standard input: ")


def test_what_comes_out_is_shown_on_demand(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(HEAD + "weights: {packing: 2}")

    shown = json.loads(run("check", path, "--show").stdout)

    assert shown["weights"] == {**DEFAULTS, "packing": 2.0}
    assert shown["profiles"]["spread"]["weights"]["spreading"] == 5.0


def test_the_shipped_schema_is_what_the_models_say():
    assert SCHEMA.read_text(encoding="utf-8") == text(), "run python -m scheduler.service.check"
    assert run("schema").stdout == text()


def test_the_schema_knows_every_key_and_every_scorer():
    found = json.loads(text())

    assert found["properties"].keys() == {each.alias or name for name, each in SchedulerConfig.model_fields.items()}
    assert found["properties"]["weights"]["propertyNames"]["enum"] == list(DEFAULTS)
    assert found["additionalProperties"] is False
    assert found["required"] == ["apiVersion", "kind"]


def test_the_shipped_configmap_can_be_used(tmp_path):
    shipped = (ROOT / "manifests" / "base" / "configmap.yaml").read_text()
    inner = re.sub(r"^    ", "", shipped.split("config.yaml: |\n")[1], flags=re.MULTILINE)

    assert run("check", "-", input=inner).stdout == f"config hash {load(None, {}).digest()}\n"
