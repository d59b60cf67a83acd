"""Dovetail decides as Kubernetes' own allocator does, on cases that are nasty in every way that we could think of."""

import os
import random

import pytest

from e2e.oracle.differ import Seen, run
from e2e.oracle.plain import differ as plain

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


def test_rules_that_have_nothing_to_do_with_devices_find_the_nodes_of_kube_scheduler() -> None:
    seed, total = random.SystemRandom().randrange(2**32), plain.Seen()
    for each in plain.run(seed, CASES, len(os.sched_getaffinity(0))):
        total.add(each)

    print(f"seed {seed}", *plain.report(total, 0), sep="\n")
    assert list(plain.told(total, None, 3)) == []
    assert total.cases == CASES
