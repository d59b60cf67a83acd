"""The engine's inbox, and when decisions are made."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from scheduler.cluster.lease import Fence
from scheduler.core.errors import FaultError
from scheduler.core.messages import ClockRead, Drained, Event, Instruction, Kind, Rejected, Seen
from scheduler.core.model import Claim, DeviceClass, Namespace, Node, Pod, PodGroup, Slice, TaintRule, Uid
from scheduler.core.storage import KIND_OF
from scheduler.core.topology import LinkMap

log = logging.getLogger("dovetail")

_CYCLE_S: Final = 0.003  # cycles are no closer than this: what arrives together is decided together
_DRIFT_S: Final = 1.0  # how far the time of day may move before the engine is told
_HELD_S: Final = 0.2  # while nothing may be decided, for want of the lease or of room: until it is asked again
_EVENTS_AT_ONCE: Final = 2000
_KIND_OF: Final[dict[type, Kind]] = {
    Namespace: "Namespace", Node: "Node", Slice: "ResourceSlice", DeviceClass: "DeviceClass",
    TaintRule: "DeviceTaintRule", Claim: "ResourceClaim", PodGroup: "PodGroup", Pod: "Pod", LinkMap: "ConfigMap",
    **KIND_OF,
}  # fmt: skip


class Decider(Protocol):
    """What drives decisions: `core.engine.Engine`."""

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take in one event; returns what to do."""
        ...

    def next_wakeup(self) -> float | None:
        """When to decide though nothing happens."""
        ...


class Loop:
    """Feeds the engine from the inbox and hands out what it asks for.

    `deciding` : whether this process leads and knows enough; without it events are taken in, and nothing is decided.
    `cycle` : when decisions last began, by the clock. decided : told how many seconds a cycle of them took.
    gather_s : how far apart cycles are at least, where that is more.
    room : for how many pods more what is decided could be written soon; None is no limit.
    """

    def __init__(
        self,
        submit: Callable[[Instruction], None],
        fence: Fence,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        decided: Callable[[float], None] | None = None,
        gather_s: Callable[[], float] = lambda: 0.0,
        room: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.deciding = False
        self.cycle = 0.0
        self._decided = decided
        self._gather_s = gather_s
        self._room = room
        self._submit = submit
        self._fence = fence
        self._clock = clock
        self._wall = wall
        self._inbox: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._taken_in = asyncio.Event()  # another one each time
        self._moved = clock()  # when events were last taken in, or began to wait

    async def heard(self) -> None:
        """Wait until the engine has taken in further events."""
        await self._taken_in.wait()

    def post(self, event: Event) -> None:
        """Put an event into the inbox."""
        if not self._inbox:
            self._moved = self._clock()
        self._inbox.append(event)
        self._arrived.set()

    def wake(self) -> None:
        """Decide soon."""
        self._arrived.set()

    @property
    def waiting(self) -> int:
        """Events in the inbox."""
        return len(self._inbox)

    def stuck(self) -> float:
        """For how many seconds events have waited while none was taken in."""
        return self._clock() - self._moved if self._inbox else 0.0

    async def run(self, engine: Decider) -> None:
        """Until cancelled. Raises what the engine raises, except for a single object that it cannot take."""
        last = 0.0
        ahead = float("-inf")
        while True:
            await self._wait(engine)
            if (early := last + max(_CYCLE_S, self._gather_s()) - self._clock()) > 0:
                await asyncio.sleep(early)
            self._arrived.clear()
            while self._inbox:
                now = self._moved = self._clock()
                for _ in range(min(len(self._inbox), _EVENTS_AT_ONCE)):
                    self._act(self._take(engine, self._inbox.popleft(), now))
                if self._inbox:
                    await asyncio.sleep(0)
            self._taken_in.set()
            self._taken_in = asyncio.Event()
            last = self._clock()
            if abs(self._wall() - last - ahead) > _DRIFT_S:
                ahead = self._wall() - last
                self._act(engine.handle(ClockRead(ahead), last))
            if self.deciding and self._fence.allows():
                self.cycle = last
                self._act(engine.handle(Drained(self._room()), last))
                if self._decided is not None:
                    self._decided(self._clock() - self.cycle)

    async def _wait(self, engine: Decider) -> None:
        if self._inbox:
            return
        wakeup = engine.next_wakeup() if self.deciding else None
        if wakeup is not None and (not self._fence.allows() or self._room() == 0):
            wakeup = max(wakeup, self._clock() + _HELD_S)
        try:
            async with asyncio.timeout(None if wakeup is None else max(0.0, wakeup - self._clock())):
                await self._arrived.wait()
        except TimeoutError:
            pass

    @staticmethod
    def _take(engine: Decider, event: Event, now: float) -> Iterable[Instruction]:
        try:
            return engine.handle(event, now)
        except FaultError:
            raise
        except Exception as error:
            if not isinstance(event, Seen):
                raise
            # One object that nobody foresaw must not end the scheduling of all the others.
            item = event.item
            key = getattr(item, "key", item.name)
            log.exception("%s %s set aside", _KIND_OF[type(item)], key)
            problem = f"cannot be used ({type(error).__name__}: {error})"
            return engine.handle(Rejected(_KIND_OF[type(item)], key, getattr(item, "uid", Uid("")), problem), now)

    def _act(self, instructions: Iterable[Instruction]) -> None:
        for instruction in instructions:
            self._submit(instruction)
