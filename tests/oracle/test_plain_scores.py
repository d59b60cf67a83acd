"""Our scores beside those that kube-scheduler's own plugins gave, which are kept: no Go is needed."""

from collections import Counter

import pytest

from e2e.oracle.plain import golden
from e2e.oracle.plain.scores import GOLDEN, SCORERS, differences

CASES = golden.read(GOLDEN)


def test_scores_are_those_of_upstream():
    seen: Counter[str] = Counter()

    found = [text for each in CASES for text in differences(each["case"], each, seen)]

    assert found == []
    assert set(seen) == set(SCORERS)
    assert min(seen.values()) >= 300
    percents = {
        percent
        for each in CASES
        for told in each["answers"]
        for percent in (told.get("scores") or {}).get("VolumeBinding", {}).values()
    }
    assert len(percents) > 50  # pods without claims to be bound have 0


@pytest.mark.parametrize("plugin", sorted(SCORERS))
def test_a_score_that_is_off_is_found(plugin):
    case = next(each for each in CASES if any((told.get("scores") or {}).get(plugin) for told in each["answers"]))
    answers = [
        {**told, "scores": {plugin: dict.fromkeys((told.get("scores") or {}).get(plugin, {}), 250)}}
        for told in case["answers"]
    ]

    assert list(differences(case["case"], {"answers": answers}, Counter()))
