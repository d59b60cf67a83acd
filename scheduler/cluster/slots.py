"""How many writes are under way at once: no more than the API server answers quickly.

With n writes under way, of which the server does r a second, each takes n / r seconds (Little's law). Where that is
long, it is so for everybody, the renewal of our own lease among them; and what times out was done for nothing. So an
answer that comes late halves the number, and answers that come in time raise it by one for each round of them (additive
increase, multiplicative decrease: Chiu and Jain 1989). Until one comes late each round doubles it (Jacobson's slow
start, 1988), so that who begins to lead finds out what the server can bear before it is flooded.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

LEAST: Final = 8  # writes that may always be under way
FIRST: Final = 16  # before anything is known of the server


class Lane:
    """Those that wait for a slot by their order, in one of the lanes of Slots: `async with` it."""

    def __init__(self, slots: "Slots") -> None:
        self._slots = slots
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def __aenter__(self) -> None:
        if self._slots.take(self):
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._slots.leave()  # it had its slot already
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._slots.leave()

    def admit(self) -> bool:
        """Let the first one in that still waits; whether there was one."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return True
        return False


class Slots:
    """A semaphore of changing size with two lanes: who waits in `ends` comes before all that wait in `begins`.

    What ends something is to wait behind no new beginnings: a claim that others hold as well is given back at once, and
    a pod whose devices are allocated is bound while they still are its own.

    most : slots there are at best. slow_s : an answer that takes longer says that there are too many writes.
    limit : slots there are now.
    """

    def __init__(self, most: int, slow_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = float(min(FIRST, most))
        self.ends, self.begins = Lane(self), Lane(self)
        self._most = most
        self._slow_s = slow_s
        self._clock = clock
        self._cut = float("-inf")  # when there were last made fewer
        self._used = 0

    @property
    def busy(self) -> int:
        """How many have a slot or wait for one."""
        return self._used + self.ends.queued + self.begins.queued

    @property
    def crowded(self) -> bool:
        """Whether so many slots are in use that it is the server that everybody waits for."""
        return 2 * self.busy >= int(self.limit)

    @property
    def room(self) -> int:
        """How many more may come so that each has a slot soon: none while all slots are busy.

        Else as many as make work for two rounds, so that no slot is idle and what comes, comes together.
        """
        limit = int(self.limit)
        return 2 * limit - self.busy if self.busy < limit else 0

    def take(self, lane: Lane) -> bool:
        """A slot for whom nobody is to come before; whether there is one."""
        free = not (self.ends.queued or lane.queued) and self._used < int(self.limit)
        self._used += free
        return free

    def leave(self) -> None:
        """A slot is free again."""
        self._used -= 1
        self._admit()

    def answered(self, begun: float) -> None:
        """A request that was sent at this time by the clock has ended, with whatever answer or none."""
        now = self._clock()
        if now - begun > self._slow_s:
            if begun >= self._cut:  # what was sent before tells nothing of the number now
                self.limit = max(self.limit / 2, min(LEAST, self._most))
                self._cut = now
        elif (self.ends.queued or self.begins.queued) and self.limit < self._most:
            more = 1 / self.limit if self._cut > float("-inf") else 1.0
            self.limit = min(self.limit + more, self._most)
            self._admit()

    def _admit(self) -> None:
        while self._used < int(self.limit) and (self.ends.admit() or self.begins.admit()):
            self._used += 1
