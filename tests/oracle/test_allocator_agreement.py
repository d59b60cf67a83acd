"""Answers that Kubernetes' own allocator gave (structured.Allocator of k8s.io/dynamic-resource-allocation v0.37.2).

Each line of the golden file is a case of `e2e/oracle/cases.py` with its answer; `e2e/oracle/compare.py` names the
differences that are meant. `python -m e2e.oracle.generate --golden FILE` writes the file anew.
"""

import copy
import gzip
import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from e2e.oracle.cases import FAMILIES, Json
from e2e.oracle.compare import CONSTRAINT, Outcome, compare, place

GOLDEN = Path(__file__).parent / "golden.jsonl.gz"
CHUNKS = 12


@cache
def cases() -> list[Json]:
    return [json.loads(line) for line in gzip.decompress(GOLDEN.read_bytes()).splitlines()]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_pod_is_placed_exactly_when_kubernetes_would_and_its_claims_are_written_alike(chunk: int):
    part = cases()[chunk::CHUNKS]
    differences, seen = [], Counter[str | tuple[str, str]]()

    for number, case in enumerate(part):
        choice = "scored" if number % 4 == 0 else "first-fit"
        ours = place(case, choice, verify=choice == "scored")
        found = compare(case["answer"], ours)
        if found.difference:
            differences.append((number, choice, found.difference))
        if found.meant:
            place(case, choice, verify=True)  # what upstream does not vouch for, the checker must
        seen[found.meant or "agreed"] += 1
        seen[choice] += ours.results is not None
        seen[choice, "same devices"] += found.same_devices

    assert differences == []
    assert seen["first-fit", "same devices"] > 0.9 * seen["first-fit"] > 50
    assert seen["selector error"] + seen[CONSTRAINT] < 0.03 * len(part)
    assert not seen["timeout"]


def test_every_family_of_rules_is_seen_to_allow_and_to_refuse():
    seen = Counter((family, case["answer"]["outcome"] == "ok") for case in cases() for family in case["families"])

    for family in FAMILIES:
        assert min(seen[family, True], seen[family, False]) >= 50, family


@pytest.fixture(scope="module")
def placed() -> list[tuple[Json, Outcome]]:
    """Answers with config, tolerations and a node selector, and what we do."""
    some = [case for case in cases() if case["answer"]["outcome"] == "ok" and "config" in case["families"]][:60]
    return [(case["answer"], place(case, "first-fit")) for case in some]


def test_a_wrong_verdict_would_be_found(placed: list[tuple[Json, Outcome]]):
    for answer, ours in placed:
        assert compare(answer, Outcome(None, "planted")).difference
        assert compare({"outcome": "nofit"}, ours).difference
        assert compare({"outcome": "fatal", "error": "asks for all devices"}, ours).difference


@pytest.mark.parametrize("part", ["nodeSelector", "config", "results"])
def test_a_wrong_part_of_an_allocation_would_be_found(placed: list[tuple[Json, Outcome]], part: str):
    planted = 0
    for answer, ours in placed:
        for number, allocation in enumerate(answer["results"]):
            wrong = copy.deepcopy(answer)
            where = wrong["results"][number] if part == "nodeSelector" else wrong["results"][number]["devices"]
            if part not in (allocation if part == "nodeSelector" else allocation["devices"]):
                continue
            same = compare(answer, ours).same_devices
            where.pop(part)
            planted += same
            assert not same or compare(wrong, ours).difference
    assert planted > 10
