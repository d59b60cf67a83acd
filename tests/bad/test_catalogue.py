"""Of the whole catalogue of bad input (`python -m e2e.bad`) every so many cases, and each that stands alone."""

from itertools import islice

import pytest

from e2e.bad.case import ACCEPTED, EITHER, REFUSED, Answer, Case
from e2e.bad.catalogue import SURFACES, run

STEP = {"objects": 29, "snapshots": 37, "quantities": 7, "config": 13, "selectors": 5, "files": 3, "http": 9, "grpc": 7}


@pytest.mark.parametrize("surface", SURFACES)
def test_bad_input_is_refused_in_words_or_lived_with(surface):
    found = run(islice(SURFACES[surface](), 0, None, STEP.get(surface, 1)))

    assert found.wrong == {}
    assert found.refused > found.cases // 2


def test_there_are_more_than_5000_cases_with_names_of_their_own():
    counts = {surface: sum(1 for _ in cases()) for surface, cases in SURFACES.items()}

    assert sum(counts.values()) > 5_000, counts


def raised():
    raise KeyError("x")


def endless():
    while True:
        pass


@pytest.mark.parametrize(
    ("put", "expected", "problem"),
    [
        (lambda: Answer(ACCEPTED), REFUSED, "accepted, and should be refused"),
        (lambda: Answer(REFUSED, "no"), ACCEPTED, "refused, and should be accepted"),
        (lambda: Answer(REFUSED), EITHER, "refused without a word"),
        (lambda: Answer(REFUSED, "a\x1b[2J"), EITHER, "holds '\\x1b' as it is"),
        (lambda: Answer(REFUSED, "x" * 5_000), EITHER, "has 5000 characters"),
        (lambda: Answer(REFUSED, "Traceback (most recent call last)"), EITHER, "is a traceback"),
        (lambda: Answer(REFUSED, "something"), EITHER, "does not name key"),
        (raised, EITHER, "raised KeyError"),
        (endless, EITHER, "took more than 0.1 s"),
    ],
)
def test_whatever_is_wrong_with_an_answer_is_noticed(put, expected, problem):
    found = run([Case("any", "case", put, expected, ("key",))], longest_s=0.1)

    assert problem in found.wrong["case"]
