import asyncio
from types import SimpleNamespace

import pytest

from scheduler.cluster.lease import OpenFence
from scheduler.core.errors import ConfigError, FaultError
from scheduler.core.messages import ClockRead, Drained, Gone, Listed, Rejected, Seen
from scheduler.core.model import Node, Uid
from scheduler.service.command import DISTRIBUTION, refuse_intruders
from scheduler.service.loop import Loop


def node(name):
    return Node(name, Uid(f"uid-{name}"), {}, {}, (), False, {})


class Recorder:
    """An engine that notes what it is given, and answers each event with the event's own text."""

    def __init__(self):
        self.events = []
        self.wakeup = None
        self.failure = None
        self.clock = None

    def handle(self, event, now):
        if isinstance(event, ClockRead):
            self.clock = (event.ahead, now)
            return []
        self.events.append(event)
        if self.failure is not None and self.failure[0] == event:
            raise self.failure[1]
        return [event]

    def next_wakeup(self):
        return self.wakeup


class Gate:
    def __init__(self):
        self.open = True

    def allows(self):
        return self.open


@pytest.fixture
async def started():
    running = []

    def start(fence=None, **clocks):
        engine, submitted = Recorder(), []
        loop = Loop(submitted.append, fence or OpenFence(), **clocks)
        task = asyncio.ensure_future(loop.run(engine))
        running.append(task)
        return SimpleNamespace(loop=loop, engine=engine, submitted=submitted, task=task)

    yield start
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def settle():
    await asyncio.sleep(0.02)


async def test_events_reach_the_engine_in_order_and_one_decision_follows(started):
    it = started()
    it.loop.deciding = True
    events = [Seen(node("a")), Gone("Node", "a", Uid("")), Listed()]

    for event in events:
        it.loop.post(event)
    await settle()

    assert it.engine.events == [*events, Drained()]
    assert it.submitted == it.engine.events


async def test_cycles_are_further_apart_where_events_are_to_gather(started):
    gather = [0.0]
    it = started(gather_s=lambda: gather[0])
    it.loop.deciding = True
    begun = []
    for gather[0] in (0.0, 0.3, 0.0):
        it.loop.post(Listed())
        async with asyncio.timeout(30):
            await it.loop.heard()
        await asyncio.sleep(0)
        begun.append(it.loop.cycle)
    first, second, third = begun

    assert second - first >= 0.3
    assert third > second


async def test_the_engine_is_told_the_time_of_day_and_again_when_it_is_set(started):
    day = [1000.0]
    it = started(clock=lambda: 10.0, wall=lambda: day[0])
    told = []
    for time in (1000.0, 1000.5, 900.0):
        day[0] = time
        it.loop.wake()
        await settle()
        told.append(it.engine.clock)

    assert told == [(990.0, 10.0), (990.0, 10.0), (890.0, 10.0)]


async def test_a_standby_takes_events_in_and_decides_nothing(started):
    it = started()

    it.loop.post(Listed())
    await settle()

    assert it.engine.events == [Listed()]


async def test_becoming_leader_decides_at_once(started):
    it = started()
    await settle()

    it.loop.deciding = True
    it.loop.wake()
    await settle()

    assert it.engine.events == [Drained()]


async def test_a_closed_fence_holds_decisions_until_it_opens(started):
    gate = Gate()
    gate.open = False
    it = started(gate)
    it.loop.deciding = True

    it.loop.post(Listed())
    await settle()
    before = list(it.engine.events)
    gate.open = True
    it.loop.wake()
    await settle()

    assert before == [Listed()]
    assert it.engine.events == [Listed(), Drained()]


async def test_the_engine_is_told_for_how_many_pods_there_is_room_and_not_asked_in_vain(started):
    room = [0]
    it = started(room=lambda: room[0])
    it.loop.deciding = True
    it.engine.wakeup = 0.0  # a pod is due

    it.loop.wake()
    await settle()
    assert it.engine.events == [Drained(0)]
    room[0] = 3
    async with asyncio.timeout(30):
        while len(it.engine.events) < 2:
            await settle()

    assert it.engine.events[1] == Drained(3)


async def test_the_engine_is_woken_when_it_asked_to_be(started):
    it = started()
    it.loop.deciding = True
    it.engine.wakeup = 0.0  # long past

    it.loop.wake()
    await settle()

    assert it.engine.events.count(Drained()) > 1


async def test_an_object_that_the_engine_cannot_take_is_set_aside(started):
    it = started()
    poison = Seen(node("poison"))
    it.engine.failure = (poison, ZeroDivisionError("odd"))

    it.loop.post(poison)
    it.loop.post(Seen(node("b")))
    await settle()

    rejected = it.engine.events[1]
    assert isinstance(rejected, Rejected)
    assert (rejected.kind, rejected.key, rejected.uid) == ("Node", "poison", "uid-poison")
    assert it.engine.events[2] == Seen(node("b"))
    assert not it.task.done()


@pytest.mark.parametrize("event", [Seen(node("a")), Drained()])
async def test_a_fault_of_our_own_ends_the_loop(started, event):
    it = started()
    it.loop.deciding = True
    it.engine.failure = (event, FaultError("two claims hold one device"))

    it.loop.post(Seen(node("a")))
    await settle()

    assert isinstance(it.task.exception(), FaultError)


def test_packages_of_our_own_pass():
    refuse_intruders({"scheduler": [DISTRIBUTION], "scoring": [DISTRIBUTION, DISTRIBUTION], "numpy": ["numpy"]})
    refuse_intruders({})


def test_a_distribution_with_files_in_our_packages_is_named():
    with pytest.raises(ConfigError, match="other-scheduler"):
        refuse_intruders({"scheduler": ["other-scheduler", DISTRIBUTION]})


async def test_whoever_waits_hears_once_further_events_were_taken_in(started):
    run = started()
    waiting = asyncio.ensure_future(run.loop.heard())
    await asyncio.sleep(0)
    early = waiting.done()

    run.loop.post(Listed())
    async with asyncio.timeout(5):
        await waiting

    assert not early
    assert run.engine.events == [Listed()]


async def test_events_that_wait_while_nothing_is_taken_in_are_noticed():
    now = [100.0]
    loop = Loop(lambda instruction: None, OpenFence(), clock=lambda: now[0])
    now[0] += 1000.0
    idle = loop.stuck()

    loop.post(Listed())
    now[0] += 61.0
    loop.post(Listed())

    assert idle == 0.0
    assert loop.stuck() == 61.0


async def test_a_loop_that_takes_events_in_is_not_stuck(started):
    run = started()

    run.loop.post(Listed())
    await asyncio.sleep(0.05)

    assert run.engine.events == [Listed()]
    assert run.loop.stuck() == 0.0
