"""The oracle is built once per content, and a process that dies says so."""

import shutil
from pathlib import Path

import pytest

from e2e import gobuild
from e2e.oracle import upstream
from e2e.oracle.upstream import Oracle, OracleError

GO = "go version go1.26.8 linux/amd64"


def test_a_change_of_the_program_is_built_anew(tmp_path: Path):
    module = tmp_path / "go"
    shutil.copytree(upstream.MODULE, module)
    first = gobuild.key(module, {"oracle": "."}, upstream.FLAGS, GO)
    assert gobuild.key(upstream.MODULE, {"oracle": "."}, upstream.FLAGS, GO) == first

    (module / "main.go").write_text((module / "main.go").read_text() + "// changed\n")

    assert gobuild.key(module, {"oracle": "."}, upstream.FLAGS, GO) != first


def test_its_modules_are_those_of_the_version_that_is_tested_on():
    versions = {
        words[0]: words[1]
        for words in (line.split() for line in (upstream.MODULE / "go.mod").read_text().splitlines())
        if len(words) == 2 and words[0].startswith("k8s.io/")
    }

    assert versions["k8s.io/dynamic-resource-allocation"] == versions["k8s.io/api"]
    assert versions["k8s.io/api"].removeprefix("v0.") == _minor_and_patch()


def _minor_and_patch() -> str:
    from e2e.controlplane import kubernetes_version

    return kubernetes_version().removeprefix("v1.")


def program(folder: Path, script: str) -> Path:
    path = folder / "oracle"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_answers_come_in_the_order_of_the_questions(tmp_path: Path):
    with Oracle(
        program(tmp_path, 'while read -r line; do echo "{\\"outcome\\":\\"ok\\",\\"of\\":$line}"; done')
    ) as oracle:
        answers = list(oracle.ask_all([{"id": number} for number in range(3000)]))

    assert [each["of"]["id"] for each in answers] == list(range(3000))


def test_an_oracle_that_dies_is_told_with_the_case_that_killed_it(tmp_path: Path):
    with Oracle(program(tmp_path, 'read -r line; echo "{\\"outcome\\":\\"ok\\"}"; exit 3')) as oracle:
        answers = oracle.ask_all([{"id": 1}, {"id": 2}, {"id": 3}])

        assert next(answers)["outcome"] == "ok"
        with pytest.raises(OracleError, match=r"ended with 3.*\"id\":2"):
            next(answers)


def test_a_case_that_it_does_not_understand_is_an_error(tmp_path: Path):
    script = 'read -r line; echo "{\\"outcome\\":\\"bad-case\\",\\"error\\":\\"no node\\"}"'
    with Oracle(program(tmp_path, script)) as oracle, pytest.raises(OracleError, match="bad-case: no node"):
        oracle.ask({"id": 1})
