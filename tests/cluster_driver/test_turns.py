"""Additions to one object, written together and one after the other."""

import asyncio

import pytest

from scheduler.cluster.turns import Turns
from scheduler.core.model import Uid

ONE = Uid("one")


class Store:
    """What was written, each time: to which version, and what. `fail` : raised by the next write."""

    def __init__(self):
        self.writes = []
        self.version = 1
        self.fail = None

    async def write(self, version, items):
        self.writes.append((version, list(items)))
        await asyncio.sleep(0.01)
        if self.fail is not None:
            error, self.fail = self.fail, None
            raise error
        if version != str(self.version):
            return ["refused"] * len(items), ""
        self.version += 1
        return [f"{item} written" for item in items], str(self.version)


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def turns(store):
    made = Turns(store.write)
    yield made
    assert not made._chains  # nothing is remembered of an object that nobody waits for


async def test_each_gets_its_own_answer_of_one_write(store, turns):
    answers = await asyncio.gather(*[turns.add(ONE, "1", item) for item in "abc"])

    assert answers == ["a written", "b written", "c written"]
    assert store.writes == [("1", ["a", "b", "c"])]


async def test_what_comes_meanwhile_follows_at_the_version_that_was_left(store, turns):
    first = asyncio.create_task(turns.add(ONE, "1", "a"))
    while not store.writes:
        await asyncio.sleep(0)
    answers = await asyncio.gather(first, turns.add(ONE, "1", "b"), turns.add(ONE, "1", "c"))

    assert answers == ["a written", "b written", "c written"]
    assert store.writes == [("1", ["a"]), ("2", ["b", "c"])]


async def test_other_objects_and_other_versions_are_written_apart(store, turns):
    store.version = 2
    answers = await asyncio.gather(
        turns.add(ONE, "1", "old"), turns.add(ONE, "2", "new"), turns.add(Uid("two"), "1", "other")
    )

    assert answers == ["refused", "new written", "refused"]
    assert sorted(store.writes) == [("1", ["old"]), ("1", ["other"]), ("2", ["new"])]


async def test_after_a_refusal_nothing_counts_as_known(store, turns):
    first = asyncio.create_task(turns.add(ONE, "1", "a"))
    while not store.writes:
        await asyncio.sleep(0)
    second = asyncio.create_task(turns.add(ONE, "1", "b"))
    while len(store.writes) < 2:
        await asyncio.sleep(0)
    store.version = 9  # somebody else wrote
    third = asyncio.create_task(turns.add(ONE, "1", "c"))

    assert [await first, await second, await third] == ["a written", "refused", "refused"]
    assert store.writes == [("1", ["a"]), ("2", ["b"]), ("1", ["c"])]


async def test_a_write_that_fails_fails_for_one_and_the_others_try_again(store, turns):
    store.fail = RuntimeError("broken")
    answers = await asyncio.gather(*[turns.add(ONE, "1", item) for item in "abc"], return_exceptions=True)

    assert isinstance(answers[0], RuntimeError)
    assert answers[1:] == ["b written", "c written"]
    assert store.writes == [("1", ["a", "b", "c"]), ("1", ["b", "c"])]


async def test_what_is_given_up_is_not_written_later(store, turns):
    first = asyncio.create_task(turns.add(ONE, "1", "a"))
    while not store.writes:
        await asyncio.sleep(0)
    second, third = (asyncio.create_task(turns.add(ONE, "1", item)) for item in "bc")
    await asyncio.sleep(0)
    second.cancel()

    assert [await first, await third] == ["a written", "c written"]
    assert store.writes == [("1", ["a"]), ("2", ["c"])]
