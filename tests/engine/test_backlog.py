"""Whose turn it is, and what wakes whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core import plan
from scheduler.core.backlog import AGAIN_S, LAST_BACKOFF_S, WAKES, Backlog, Happening, spread
from scheduler.core.model import Uid
from tests import build

TOKENS = (plan.MISCONFIGURED, plan.UNSUPPORTED, plan.CLAIM_PENDING, plan.NO_FIT, plan.REFUSED, plan.POOL_INVALID)


def pods(namespace, count, **fields):
    return [
        build.pod(f"{namespace}-{at:03}", namespace=namespace, created=f"2026-01-01T00:00:{at:02}Z", **fields)
        for at in range(count)
    ]


def take(backlog, limit):
    """Take so many pods, one cycle each, and charge their tenants."""
    taken = []
    while len(taken) < limit and (due := backlog.due(0.0, 4)):
        for uid in due:
            backlog.charge(uid, 150, heavy=False)
            backlog.discard(uid)
        taken += due
    return taken


def test_one_tenant_is_served_by_priority_then_age_then_name():
    backlog = Backlog()
    old, young, urgent = (
        build.pod("b", created="2026-01-01T00:00:00Z"),
        build.pod("a", created="2026-01-01T00:00:01Z"),
        build.pod("z", created="2026-01-01T00:00:02Z", priority=5),
    )
    same = build.pod("c", created="2026-01-01T00:00:01Z")
    for each in (same, young, old, urgent):
        backlog.put(each)

    assert backlog.due(0.0, 10) == [urgent.uid, old.uid, young.uid, same.uid]


def test_a_flood_of_one_tenant_leaves_others_their_share():
    backlog = Backlog()
    flood, few = pods("flood", 60), pods("late", 10)
    for each in (*flood, *few):
        backlog.put(each)

    taken = take(backlog, 24)

    assert sum(uid in {each.uid for each in few} for uid in taken) == 10
    assert take(backlog, 100) == [each.uid for each in flood[14:]]


def test_who_comes_back_after_a_pause_has_not_saved_up_all_of_it():
    backlog = Backlog()
    for each in pods("busy", 50):
        backlog.put(each)
    take(backlog, 40)
    for each in pods("idle", 20):
        backlog.put(each)

    taken = take(backlog, 20)

    assert sum(uid.startswith(Uid("uid-pod-busy")) for uid in taken) == 10


def test_priority_comes_before_turns():
    backlog = Backlog()
    for each in (*pods("low", 3), *pods("high", 8, priority=1)):
        backlog.put(each)

    taken = take(backlog, 11)

    assert all(uid.startswith("uid-pod-high") for uid in taken[:8])


def test_a_batch_is_shared_too():
    backlog = Backlog()
    for each in (*pods("a", 9), *pods("b", 9), *pods("c", 1)):
        backlog.put(each)

    due = backlog.due(0.0, 7)

    counts = [sum(uid.startswith(f"uid-pod-{name}") for uid in due) for name in "abc"]
    assert counts == [3, 3, 1]


@pytest.mark.parametrize("happening", Happening)
@pytest.mark.parametrize("token", TOKENS)
def test_a_happening_wakes_what_the_table_says_and_nothing_else(happening, token):
    backlog = Backlog()
    waiting = build.pod("p")
    backlog.put(waiting)
    backlog.due(0.0, 1)
    backlog.park(waiting.uid, token, 0.0)

    backlog.wake(happening)

    assert backlog.due(0.5, 9) == ([waiting.uid] if token in WAKES[happening] else [])
    assert backlog.due(AGAIN_S, 9) == ([] if token in WAKES[happening] else [waiting.uid])


def test_pods_that_failed_at_once_return_at_different_times():
    uids = [Uid(f"pod-{at}") for at in range(20)]

    waits = [Backlog.backoff(uid, 4) for uid in uids]

    assert len(set(waits)) > 10
    assert all(4.0 <= wait < 6.0 for wait in waits)
    assert [Backlog.backoff(uid, 1) for uid in uids] == [0.0] * 20
    assert max(Backlog.backoff(uid, 50) for uid in uids) < 1.5 * LAST_BACKOFF_S


@given(st.text(max_size=40))
def test_the_spread_is_a_part_of_one(text):
    assert 0.0 <= spread(Uid(text)) < 1.0
    assert spread(Uid(text)) == spread(Uid(text))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.integers(0, 9)), max_size=30), st.integers(1, 9)
)
def test_nobody_is_forgotten_and_nobody_comes_twice(made, limit):
    backlog = Backlog()
    all_ = {}
    for number, (namespace, priority, second) in enumerate(made):
        each = build.pod(f"p{number}", namespace=namespace, priority=priority, created=f"2026-01-01T00:00:0{second}Z")
        all_[each.uid] = each
        backlog.put(each)
        if number % 3 == 0:
            backlog.put(each)  # stands twice

    taken = []
    while due := backlog.due(0.0, limit):
        assert len(due) <= limit
        for uid in due:
            backlog.charge(uid, 150, heavy=False)
            backlog.discard(uid)
        taken += due

    assert sorted(taken) == sorted(all_)
    priorities = [all_[uid].priority for uid in taken]
    assert priorities == sorted(priorities, reverse=True)
    assert backlog.next_time(0.0) is None
