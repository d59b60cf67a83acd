"""Time, chance, the order of everything, and a trace of it."""

import hashlib
import heapq
from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

_REMEMBERED = 4000


class Turnable(Protocol):
    """A process that runs on time of its own."""

    def next_time(self) -> float | None: ...

    def turn(self) -> None: ...

    @property
    def waiting(self) -> bool: ...


class BrokenError(Exception):
    """An invariant does not hold. `invariant` is its number, `subjects` the keys of the objects concerned."""

    def __init__(self, invariant: str, text: str, *subjects: str) -> None:
        self.invariant, self.text, self.subjects = invariant, text, subjects
        super().__init__(f"{invariant}: {text}")


class World:
    """One run.

    now : virtual seconds. steps : delivered watch events, API requests that may move something, timers of actors,
    crashes and toggled faults so far. bites : how often each fault, or each thing worth counting, had an effect.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(f"dovetail/{seed}")
        self.now = 0.0
        self.steps = 0
        self.bites: Counter[str] = Counter()
        self.broken: BrokenError | None = None
        self.processes: list[Turnable] = []
        self.log: deque[tuple[int, float, str, str, str]] = deque(maxlen=_REMEMBERED)
        self._hash = hashlib.blake2b(digest_size=8)
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0

    # ------------------------------------------------------------ chance

    def chance(self, of: float) -> bool:
        """True in this share of cases."""
        return of > 0 and self.random.random() < of

    def fork(self, name: str) -> Random:
        """Numbers of somebody's own, so that what he draws moves nobody else's."""
        return Random(f"dovetail/{self.seed}/{name}")

    def fail(self, error: "BrokenError") -> None:
        """End the run, whoever catches what is raised meanwhile."""
        self.broken = self.broken or error

    # ------------------------------------------------------------ time

    def at(self, time: float, work: Callable[..., None], *arguments: Any) -> None:
        """Have something done at a time; of what is due at once the seed chooses the first by the delays it draws."""
        self._number += 1
        heapq.heappush(self._heap, (max(time, self.now), self._number, work, arguments))

    def after(self, delay: float, work: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now + delay, work, *arguments)

    def every(self, first: float, period: Callable[[], float], work: Callable[[], None]) -> None:
        """Have something looked at again and again; what comes of it is a step, the look is none."""

        def again() -> None:
            work()
            self.after(period(), again)

        self.after(first, again)

    def step(self, what: str, subject: str, detail: str) -> None:
        """Something happened: it counts, and it is part of the trace."""
        self.steps += 1
        self.note(what, subject, detail)

    def note(self, what: str, subject: str, detail: str) -> None:
        """Remember, without counting."""
        self._hash.update(f"{self.now:.6f} {what} {subject} {detail}\n".encode())
        self.log.append((self.steps, self.now, what, subject, detail))

    def bite(self, fault: str) -> None:
        """A fault had an effect."""
        self.bites[fault] += 1

    @property
    def digest(self) -> str:
        """Of everything that happened so far."""
        return self._hash.hexdigest()

    def run(self, until: Callable[[], bool]) -> None:
        """Go on until a condition holds."""
        while not until():
            if not self.advance():
                raise RuntimeError("nothing will ever happen again")

    def advance(self) -> bool:
        """Do what comes next; whether there was anything."""
        first, due = None, self._heap[0][0] if self._heap else None
        for process in self.processes:
            if process.waiting:
                process.turn()
                if self.broken is not None:
                    raise self.broken
                return True
            time = process.next_time()
            if time is not None and (due is None or time <= due):
                first, due = process, time
        if due is None:
            return False
        self.now = max(self.now, due)
        if first is not None:
            first.turn()
        else:
            _, _, work, arguments = heapq.heappop(self._heap)
            work(*arguments)
        if self.broken is not None:
            raise self.broken
        return True
