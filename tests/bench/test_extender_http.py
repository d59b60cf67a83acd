"""The benchmark of the HTTP extender asks what it says, and refuses answers that say less."""

import json

import pytest

from e2e.bench.extender_http import body, check, measure, quantile
from scheduler.cluster.extender import read

NAMES = ["a", "b"]


def test_it_measures_every_case_over_mtls():
    lines = []

    measure(40, 4, 3, 10, lines.append)

    assert [(line["case"], line["verb"]) for line in lines] == [
        ("cached", "filter"), ("cached", "prioritize"), ("changed", "filter"), ("changed", "prioritize"),
        ("cold", "filter"), ("whole", "filter"), ("whole", "prioritize"),
    ]  # fmt: skip
    assert all(0 < line["p50_ms"] <= line["p99_ms"] for line in lines)
    assert [line["nodes"] for line in lines] == [40] * 5 + [10] * 2


@pytest.mark.parametrize("whole", [False, True])
def test_its_questions_are_those_of_kube_scheduler(whole):
    found = read(body("c", NAMES, whole=whole))

    assert list(found.names) == NAMES
    assert (found.whole is not None) is whole
    assert [each.claim_name for each in found.pod.claims] == ["c"]


@pytest.mark.parametrize(
    ("verb", "answer"),
    [
        (
            "filter",
            {"NodeNames": ["a"], "Nodes": None, "FailedNodes": {}, "FailedAndUnresolvableNodes": {}, "Error": ""},
        ),
        ("filter", {"NodeNames": NAMES, "FailedNodes": {}, "FailedAndUnresolvableNodes": {}, "Error": "no"}),
        ("prioritize", [{"Host": "a", "Score": 10}]),
        ("prioritize", [{"Host": "a", "Score": 9}, {"Host": "b", "Score": 0}]),
    ],
)
def test_an_answer_that_says_less_is_no_figure(verb, answer):
    with pytest.raises(AssertionError):
        check(verb, json.dumps(answer).encode(), NAMES)


def test_percentiles_are_values_that_were_measured():
    assert quantile([3, 1, 2], 50) == 2
    assert quantile(list(range(100)), 99) == 99
    assert quantile([7], 99) == 7
