"""Pods on clusters with the nodes that kube-scheduler's own filter plugins left them (v1.37.2, default gates).

plain.jsonl.gz is written anew by `python -m e2e.oracle.plain --seed 7 --golden FILE`; plain_disagreements.jsonl holds
what once differed, made small: `--case S/N --small --keep FILE` adds to it.
"""

from functools import cache
from pathlib import Path

from e2e.oracle.plain import golden
from e2e.oracle.plain.differ import SOME, Seen, judged, report, told
from e2e.oracle.plain.generator import FAMILIES, PLUGINS, Json
from e2e.oracle.plain.ours import MISSING, SERVED

GOLDEN = Path(__file__).parent / "plain.jsonl.gz"
DISAGREEMENTS = Path(__file__).parent / "plain_disagreements.jsonl"
CASES, LEAST = 5_000, 200


def replayed(cases: list[Json]) -> Seen:
    seen = Seen()
    for case in cases:
        judged(case, case, seen)
    return seen


@cache
def kept() -> Seen:
    return replayed(golden.read(GOLDEN))


def test_we_find_the_nodes_that_kube_scheduler_finds():
    seen = kept()

    print("\n".join(report(seen, LEAST)))
    assert list(told(seen, None, 3)) == []
    assert seen.cases >= CASES
    assert seen.compared + sum(seen.allowed.values()) == seen.cases or MISSING
    assert sum(seen.allowed.values()) < CASES / 50


def test_every_rule_is_seen_to_keep_pods_off_some_nodes_and_let_them_onto_others():
    assert {plugin: kept().verdicts[plugin, SOME] for plugin in PLUGINS if kept().verdicts[plugin, SOME] < LEAST} == {}


def test_what_once_differed_does_not_any_more():
    seen = replayed(golden.read(DISAGREEMENTS))

    assert list(told(seen, None, 3)) == []
    assert seen.compared == seen.cases


def test_every_rule_is_either_served_or_missing():
    served = [plugin for plugins in SERVED for plugin in plugins]

    assert len(served) == len(set(served))
    assert set(served) | MISSING == set(PLUGINS) | (MISSING - set(PLUGINS))
    assert set(FAMILIES) >= MISSING
    assert not MISSING.intersection(served)
