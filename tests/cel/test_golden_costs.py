"""Answers of Kubernetes' own compiler over the whole language: refusals, verdicts, errors and costs."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from e2e.oracle.cel_answer import answer_cel

GOLDEN = json.loads(gzip.decompress((Path(__file__).parent / "golden_costs.json.gz").read_bytes()))
CASES: list[dict[str, Any]] = GOLDEN["cases"]


def parts(count: int) -> list[list[dict[str, Any]]]:
    return [CASES[i::count] for i in range(count)]


@pytest.mark.parametrize("cases", parts(8))
def test_answers_are_those_of_kubernetes(cases: list[dict[str, Any]]):
    wrong = []
    for case in cases:
        question = {"expression": case["expression"], "driver": GOLDEN["driver"], "devices": GOLDEN["devices"]}
        found = answer_cel(question)
        ours = {"expression": case["expression"]}
        if found["outcome"] == "ok":
            ours["maxCost"] = found["maxCost"]
            ours["answers"] = [
                "error" if "error" in each else [each["match"], each["cost"]] for each in found["answers"]
            ]
        if ours != case:
            wrong.append((case, ours))

    assert wrong == []


def test_the_golden_answers_are_many_and_of_all_kinds():
    answers = [answer for case in CASES for answer in case.get("answers", ())]

    assert len(CASES) >= 400
    assert sum("answers" not in case for case in CASES) >= 100
    assert sum(answer == "error" for answer in answers) >= 200
    assert sum(answer != "error" and answer[0] for answer in answers) >= 200
    assert sum(answer != "error" and not answer[0] for answer in answers) >= 200
