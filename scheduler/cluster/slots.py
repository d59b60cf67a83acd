"""How many writes are under way at once: no more than the API server answers quickly.

With n writes under way, of which the server does r a second, each takes n / r seconds (Little's law). Where that is
long, it is so for everybody, the renewal of our own lease among them; and what times out was done for nothing. So an
answer that comes late halves the number, and answers that come in time raise it by one for each round of them (additive
increase, multiplicative decrease: Chiu and Jain 1989).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

LEAST: Final = 8  # writes that may always be under way
FIRST: Final = 64  # before anything is known of the server


class Slots:
    """A semaphore of changing size; those that wait get in by their order.

    most : slots there are at best. slow_s : an answer that takes longer says that there are too many writes.
    limit : slots there are now.
    """

    def __init__(self, most: int, slow_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = float(min(FIRST, most))
        self._most = most
        self._slow_s = slow_s
        self._clock = clock
        self._cut = float("-inf")  # when there were last made fewer
        self._used = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if not self._waiting and self._used < int(self.limit):
            self._used += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._leave()  # it had its slot already
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def answered(self, begun: float) -> None:
        """A request that was sent at this time by the clock has ended, with whatever answer or none."""
        now = self._clock()
        if now - begun > self._slow_s:
            if begun >= self._cut:  # what was sent before tells nothing of the number now
                self.limit = max(self.limit / 2, min(LEAST, self._most))
                self._cut = now
        elif self._waiting and self.limit < self._most:
            self.limit = min(self.limit + 1 / self.limit, self._most)
            self._admit()

    def _leave(self) -> None:
        self._used -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._used < int(self.limit):
            turn = self._waiting.popleft()
            if not turn.done():
                self._used += 1
                turn.set_result(None)
