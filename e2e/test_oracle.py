"""Dovetail decides as Kubernetes' own allocator does, on cases that are nasty in every way that we could think of."""

import os

import pytest

from e2e.oracle.differ import Seen, run

SEED = 20_26
CASES = 5_000


@pytest.fixture(scope="module")
def seen() -> Seen:
    """5,000 cases; the oracle is built if need be, and without Go this is an error and no skip."""
    total = Seen()
    for each in run(SEED, CASES, len(os.sched_getaffinity(0))):
        total.add(each)
    return total


def test_nothing_differs_but_what_is_meant_to(seen: Seen) -> None:
    assert seen.cases == CASES
    assert seen.differing == []
    assert all(name.startswith("upstream: timeout") for name in seen.allowed)
    assert seen.allowed["upstream: timeout, ours: timeout"] == 0
    assert sum(seen.allowed.values()) < CASES / 100


def test_every_family_is_seen_to_end_in_every_way(seen: Seen) -> None:
    for outcome in ("ok", "nofit", "node-error", "fatal"):
        few = {family for family, how in seen.families if how == outcome and seen.families[family, how] < 10}
        assert not few
        assert seen.outcomes[outcome] > CASES / 20
