"""Writes under way, as many as the server answers quickly."""

import asyncio

from scheduler.cluster.slots import FIRST, LEAST, Slots


class Work:
    """Tasks that hold a slot each until they are let go."""

    def __init__(self, slots):
        self.slots = slots
        self.inside = []
        self.tasks = {}

    async def begin(self, *names, lane=None):
        for name in names:
            go = asyncio.Event()
            self.tasks[name] = (asyncio.create_task(self._hold(name, go, lane or self.slots.begins)), go)
        await self.turn()

    async def end(self, *names):
        for name in names:
            self.tasks[name][1].set()
        await self.turn()

    @staticmethod
    async def turn():
        for _ in range(5):
            await asyncio.sleep(0)

    async def _hold(self, name, go, lane):
        async with lane:
            self.inside.append(name)
            await go.wait()
            self.inside.remove(name)


def grown(number, clock):
    slots = Slots(number, 1.0, clock)
    slots.limit = float(number)
    return slots


def slow(slots, clock, seconds=2.0):
    begun = clock.now
    clock.now += seconds
    slots.answered(begun)


async def test_no_more_than_there_are_slots_and_in_order(clock):
    work = Work(Slots(2, 1.0, clock))
    await work.begin(*"abcd")
    assert work.inside == ["a", "b"]

    await work.end("b")
    assert work.inside == ["a", "c"]
    await work.end("a", "c")
    assert work.inside == ["d"]


async def test_a_late_answer_halves_them_and_what_is_under_way_goes_on(clock):
    slots = grown(32, clock)
    work = Work(slots)
    await work.begin(*range(40))
    slow(slots, clock)

    assert slots.limit == 16
    assert len(work.inside) == 32
    await work.end(*range(16))
    assert work.inside == list(range(16, 32))
    await work.end(16)
    assert work.inside == [*range(17, 32), 32]


async def test_what_was_sent_before_they_were_halved_does_not_halve_them_again(clock):
    slots = grown(32, clock)
    begun = clock.now
    clock.now += 5
    for _ in range(10):
        slots.answered(begun)
    assert slots.limit == 16

    slow(slots, clock)
    assert slots.limit == 8


async def test_some_are_always_left(clock):
    slots, few = grown(128, clock), grown(2, clock)
    for _ in range(20):
        slow(slots, clock)
        slow(few, clock)

    assert slots.limit == LEAST
    assert few.limit == 2


async def test_they_begin_with_few_and_each_round_doubles_them(clock):
    slots = Slots(128, 1.0, clock)
    work = Work(slots)
    await work.begin(*range(200))
    assert len(work.inside) == FIRST

    for most in (2 * FIRST, 4 * FIRST, 128):
        for _ in range(int(slots.limit)):
            slots.answered(clock.now)
        await work.turn()
        assert len(work.inside) == slots.limit == most


async def test_once_an_answer_was_late_they_grow_by_one_a_round(clock):
    slots = Slots(128, 1.0, clock)
    work = Work(slots)
    await work.begin(*range(200))
    slow(slots, clock)
    half = slots.limit
    for _ in range(FIRST):
        slots.answered(clock.now)

    assert half == FIRST / 2
    assert half + 1 < slots.limit < half + 3


async def test_quick_answers_bring_them_back_where_somebody_waits(clock):
    slots = grown(32, clock)
    slow(slots, clock)
    for _ in range(100):
        slots.answered(clock.now)
    assert slots.limit == 16  # nobody needed more

    work = Work(slots)
    await work.begin(*range(40))
    assert len(work.inside) == 16
    for _ in range(17):  # a round of answers
        slots.answered(clock.now)
    await work.turn()
    assert len(work.inside) == 17
    for _ in range(2000):
        slots.answered(clock.now)
    await work.turn()
    assert slots.limit == 32
    assert len(work.inside) == 32


async def test_who_gives_up_waiting_takes_no_slot(clock):
    work = Work(Slots(1, 1.0, clock))
    await work.begin(*"abcd")
    work.tasks["b"][0].cancel()
    await work.turn()
    await work.end("a")
    assert work.inside == ["c"]

    # given up in the same turn in which it got its slot
    work.tasks["c"][1].set()
    while work.inside:
        await asyncio.sleep(0)
    work.tasks["d"][0].cancel()
    await work.turn()
    await work.begin("e")
    assert work.inside == ["e"]


async def test_who_gives_up_just_when_a_slot_becomes_free_leaves_it_to_the_next(clock):
    slots = Slots(1, 1.0, clock)
    work = Work(slots)
    await work.begin(*"abc")
    work.tasks["b"][0].cancel()
    slots.leave()  # before b has noticed
    await work.turn()

    assert work.inside == ["a", "c"]
    assert work.tasks["b"][0].cancelled()


async def test_what_ends_something_waits_behind_no_beginning(clock):
    slots = Slots(2, 1.0, clock)
    work = Work(slots)
    await work.begin(*"abcd")
    await work.begin("x", "y", "z", lane=slots.ends)
    assert work.inside == ["a", "b"]

    await work.end("a")
    assert work.inside == ["b", "x"]
    await work.end("b", "x")
    assert work.inside == ["y", "z"]
    await work.begin("v", lane=slots.ends)
    await work.end("y", "z")
    assert work.inside == ["v", "c"]
    await work.end("v", "c")
    assert work.inside == ["d"]


async def test_a_slot_that_has_just_become_free_goes_to_what_ends_something(clock):
    """Nobody new takes it before those that wait for it have it."""
    slots = Slots(1, 1.0, clock)
    work = Work(slots)
    await work.begin("a")
    await work.begin("x", "y", lane=slots.ends)
    work.tasks["a"][1].set()
    work.tasks["b"] = (asyncio.create_task(work._hold("b", asyncio.Event(), slots.begins)), asyncio.Event())
    await work.turn()

    assert work.inside == ["x"]
    await work.end("x")
    assert work.inside == ["y"]
    work.tasks["b"][0].cancel()


async def test_there_is_room_for_two_rounds_and_none_until_one_of_them_is_over(clock):
    slots = Slots(4, 1.0, clock)
    work = Work(slots)
    assert slots.room == 8

    await work.begin(*range(3))
    assert slots.room == 5
    await work.begin(*range(3, 7))
    await work.begin(7, lane=slots.ends)
    assert slots.room == 0
    await work.end(0, 1, 2, 3)
    assert slots.room == 0
    await work.end(7)
    assert slots.room == 5


async def test_they_are_crowded_once_half_of_them_are_busy(clock):
    slots = grown(8, clock)
    work = Work(slots)

    await work.begin(*range(3))
    assert not slots.crowded
    await work.begin(3, lane=slots.ends)
    assert slots.crowded
    await work.end(0)
    assert not slots.crowded
