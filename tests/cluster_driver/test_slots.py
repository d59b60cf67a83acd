"""Writes under way, as many as the server answers quickly."""

import asyncio

from scheduler.cluster.slots import FIRST, LEAST, Slots


class Work:
    """Tasks that hold a slot each until they are let go."""

    def __init__(self, slots):
        self.slots = slots
        self.inside = []
        self.tasks = {}

    async def begin(self, *names):
        for name in names:
            go = asyncio.Event()
            self.tasks[name] = (asyncio.create_task(self._hold(name, go)), go)
        await self.turn()

    async def end(self, *names):
        for name in names:
            self.tasks[name][1].set()
        await self.turn()

    @staticmethod
    async def turn():
        for _ in range(5):
            await asyncio.sleep(0)

    async def _hold(self, name, go):
        async with self.slots:
            self.inside.append(name)
            await go.wait()
            self.inside.remove(name)


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
    slots = Slots(32, 1.0, clock)
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
    slots = Slots(32, 1.0, clock)
    begun = clock.now
    clock.now += 5
    for _ in range(10):
        slots.answered(begun)
    assert slots.limit == 16

    slow(slots, clock)
    assert slots.limit == 8


async def test_some_are_always_left(clock):
    slots, few = Slots(128, 1.0, clock), Slots(2, 1.0, clock)
    for _ in range(20):
        slow(slots, clock)
        slow(few, clock)

    assert slots.limit == LEAST
    assert few.limit == 2


async def test_they_begin_with_few_and_grow_to_the_most(clock):
    slots = Slots(128, 1.0, clock)
    work = Work(slots)
    await work.begin(*range(200))
    assert len(work.inside) == FIRST

    for _ in range(10_000):
        slots.answered(clock.now)
    await work.turn()
    assert len(work.inside) == slots.limit == 128


async def test_quick_answers_bring_them_back_where_somebody_waits(clock):
    slots = Slots(32, 1.0, clock)
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
    await slots.__aexit__()  # before b has noticed
    await work.turn()

    assert work.inside == ["a", "c"]
    assert work.tasks["b"][0].cancelled()
