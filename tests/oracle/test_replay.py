"""`python -m e2e.oracle.replay` speaks the oracle's protocol."""

import json
import subprocess
import sys

from e2e.oracle.replay import respond
from tests.oracle.test_judge import allocation, case, claim, result, wanted


def test_a_case_that_fits_is_answered_with_its_allocation():
    answer = respond(json.dumps({**case(claim("c", wanted()), devices=1), "id": {"any": 1}}))

    assert answer["id"] == {"any": 1}
    assert answer["outcome"] == "ok"
    assert answer["results"] == [allocation(result("d0"))]
    assert answer["milliseconds"] > 0


def test_a_case_that_does_not_fit_says_why():
    answer = respond(json.dumps(case(claim("c", wanted(count=4)))))

    assert answer["outcome"] == "nofit"
    assert answer["error"]
    assert "results" not in answer


def test_a_class_that_does_not_exist_is_fatal():
    assert respond(json.dumps(case(claim("c", wanted("r", "missing")))))["outcome"] == "fatal"


def test_lists_may_be_absent_or_null():
    bare = {"node": case()["node"], "claims": [claim("c", wanted())], "classes": case()["classes"], "slices": None}

    assert respond(json.dumps(bare))["outcome"] == "nofit"


def test_objects_need_no_more_than_the_oracle_needs():
    whole = case(claim("c", wanted()), claim("c", wanted()))
    spec = {**whole["slices"][0]["spec"]}
    bare = {
        "node": {"metadata": {"name": "n1"}, "spec": {"unschedulable": True}},
        "claims": [{"metadata": {"namespace": "any", "name": "c"}, "spec": each["spec"]} for each in whole["claims"]],
        "classes": [{"metadata": {"name": "gpu"}, "spec": {}}],
        "slices": [{"metadata": {"name": "s"}, "spec": spec}],
        "allocatedClaims": [
            {"metadata": {"name": "c"}, "status": {"allocation": {"devices": {"results": [result("d0")]}}}}
        ],
    }

    answer = respond(json.dumps(bare))

    chosen = sorted(each["device"] for found in answer["results"] for each in found["devices"]["results"])
    assert chosen == ["d1", "d2"]


def test_lines_that_are_no_case_are_answered_and_passed_over():
    lines = ["{", "[]", '{"id": 1, "kind": "guess"}', '{"id": 2}', '{"id": 3, "node": {}, "claims": [7]}', ""]
    last = json.dumps({**case(claim("c", wanted())), "id": 4})

    ran = subprocess.run(
        [sys.executable, "-m", "e2e.oracle.replay"],
        input="\n".join([*lines, last]), capture_output=True, text=True, check=True,
    )  # fmt: skip

    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [(each["id"], each["outcome"]) for each in answers] == [
        (None, "bad-case"), (None, "bad-case"), (1, "bad-case"), (2, "bad-case"), (3, "bad-case"), (4, "ok"),
    ]  # fmt: skip
    assert all(each["error"] for each in answers[:-1])
