"""Cases with the answers that Kubernetes' own allocator gave (k8s.io/dynamic-resource-allocation v0.37.2).

golden.jsonl.gz is a sample of all families, written anew by `python -m e2e.oracle.differ --golden FILE`;
disagreements.jsonl holds what once differed, made small: `--keep FILE` adds to it. `e2e/oracle/judge.py` says what must
be equal.
"""

from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from e2e.oracle import golden
from e2e.oracle.generator import FAMILIES, IMPOSSIBLE, Json
from e2e.oracle.judge import answered, checked, choices, outcomes
from e2e.oracle.ours import Answer

GOLDEN = Path(__file__).parent / "golden.jsonl.gz"
DISAGREEMENTS = Path(__file__).parent / "disagreements.jsonl"
CHUNKS = 8
OUTCOMES = ("ok", "nofit", "node-error", "fatal")


@cache
def cases() -> list[Json]:
    return golden.read(GOLDEN) + golden.read(DISAGREEMENTS)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_what_kubernetes_answers_we_answer(chunk: int):
    differing, same = [], Counter[str]()
    for number, case in enumerate(cases()[chunk::CHUNKS]):
        choice = ("first-fit", "scored")[number % 2]
        mine = answered(case, choice, verify=number % 3 == 0)
        found = [outcomes(case["answer"], mine), *checked(case, case["answer"])]
        if isinstance(mine, Answer) and mine.outcome == "ok" and found == [None]:
            found += choices(case, case["answer"], mine, None)
            same[choice] += 1
        differing += [(case["id"], choice, each) for each in found if each is not None]

    assert differing == []
    assert min(same["first-fit"], same["scored"]) > 20


def test_every_family_is_seen_to_end_in_every_way():
    seen = Counter((family, case["answer"]["outcome"]) for case in cases() for family in case["families"])

    for family in FAMILIES:
        for outcome in OUTCOMES:
            assert seen[family, outcome] >= 20 or (family, outcome) in IMPOSSIBLE, (family, outcome)
