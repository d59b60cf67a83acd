"""An asyncio event loop that waits for nothing: somebody else tells it when to turn."""

import asyncio
import heapq
from asyncio import events
from collections.abc import Callable
from typing import Any

_TURNS = 100_000  # callbacks in one turn: more is a loop that never comes to rest
_LATE = 1e-9  # timers and clocks differ by rounding


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop of one replica.

    clock : its time. failed : told of each error that nobody caught. A process is killed by never turning it again.
    """

    def __init__(self, clock: Callable[[], float], failed: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._clock = clock
        self.set_exception_handler(lambda _, context: failed(context))

    def time(self) -> float:
        return self._clock()

    def _process_events(self, event_list: Any) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    @property
    def waiting(self) -> bool:
        """Whether there is something to do now."""
        return bool(self._ready)

    def next_time(self) -> float | None:
        """When its next timer is due, by its own time."""
        timers = self._scheduled
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
        return timers[0]._when if timers else None

    def turn(self) -> None:
        """Do all that there is to do now."""
        ready, timers = self._ready, self._scheduled
        events._set_running_loop(self)
        try:
            for _ in range(_TURNS):
                while timers and (timers[0]._cancelled or timers[0]._when <= self._clock() + _LATE):
                    handle = heapq.heappop(timers)
                    handle._scheduled = False
                    if not handle._cancelled:
                        ready.append(handle)
                if not ready:
                    return
                for _ in range(len(ready)):
                    handle = ready.popleft()
                    if not handle._cancelled:
                        handle._run()
            raise RuntimeError("a loop does not come to rest")
        finally:
            events._set_running_loop(None)

    def _timer_handle_cancelled(self, handle: Any) -> None:
        """Cancelled timers leave the heap when they come up, or all at once when they are most of it."""
        self._timer_cancelled_count += 1
        if self._timer_cancelled_count > 1000 and 2 * self._timer_cancelled_count > len(self._scheduled):
            self._timer_cancelled_count = 0
            kept = [each for each in self._scheduled if not each._cancelled]
            heapq.heapify(kept)
            self._scheduled[:] = kept
