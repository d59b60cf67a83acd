"""Pods on clusters with the nodes that kube-scheduler's own filter plugins left them (v1.37.2, default gates).

plain.jsonl.gz is written anew by `python -m e2e.oracle.plain --seed 7 --golden FILE`; plain_disagreements.jsonl holds
what once differed, made small: `--case S/N --small --keep FILE` adds to it.
"""

from functools import cache
from pathlib import Path

import pytest

from e2e.oracle.plain import golden
from e2e.oracle.plain.differ import SOME, Seen, judged, report, told, verdicts
from e2e.oracle.plain.generator import NAMED, PLUGINS, Json
from e2e.oracle.plain.ours import SERVED

GOLDEN = Path(__file__).parent / "plain.jsonl.gz"
DISAGREEMENTS = Path(__file__).parent / "plain_disagreements.jsonl"
CASES, LEAST, CHUNKS = 5_000, 200, 2


@cache
def cases() -> list[Json]:
    return golden.read(GOLDEN)


def replayed(cases: list[Json]) -> Seen:
    seen = Seen()
    for case in cases:
        judged(case, case, seen)
    return seen


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_we_find_the_nodes_that_kube_scheduler_finds(chunk: int):
    seen = replayed(cases()[chunk::CHUNKS])

    assert list(told(seen, None, 3)) == []
    assert seen.cases >= CASES // CHUNKS


def test_every_rule_is_seen_to_keep_pods_off_some_nodes_and_let_them_onto_others():
    seen = Seen()
    for case in cases():
        seen.verdicts.update(verdicts(case, case))

    print("\n".join(report(seen, LEAST)))
    assert {plugin for plugin in (*PLUGINS, NAMED) if seen.verdicts[plugin, SOME] < LEAST} == set()


def test_what_once_differed_does_not_any_more():
    seen = replayed(golden.read(DISAGREEMENTS))

    assert list(told(seen, None, 3)) == []
    assert seen.cases > 0


def test_every_rule_is_compared_by_itself():
    served = [plugin for plugins in SERVED for plugin in plugins]

    assert sorted(served) == sorted(PLUGINS)
