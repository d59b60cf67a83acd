"""Replicas of a model that answer requests, simulated in whatever time the caller has.

A request waits until one of the slots of its replica is free and no other prompt is being read there, has its prompt
read, and gets its tokens. So the time to the first token grows with what is ahead of it, as it does in vLLM, and a
replica whose queue is full takes no more.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

SLOTS = 16
WAITING = 32  # requests that a replica lets wait
TOKENS = 50  # of an answer


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests a second over all replicas, and the seconds that reading a prompt and writing an answer take."""

    rate: float
    prompt: float
    answer: float


@dataclass(slots=True)
class Replica:
    """One that is loaded. first_tokens, between_tokens : seconds, of what happened since they were last taken."""

    _slots: list[float] = field(default_factory=lambda: [0.0] * SLOTS)
    _reader: float = 0.0
    _under_way: list[tuple[float, float, float]] = field(default_factory=list)  # starts, first token, ends
    _answers: list[tuple[float, float, float]] = field(default_factory=list)  # first token at, after, between tokens
    first_tokens: list[float] = field(default_factory=list)
    between_tokens: list[float] = field(default_factory=list)
    running: int = 0
    waiting: int = 0

    def take(self, at: float, traffic: Traffic) -> bool:
        """A request comes; whether it may wait here."""
        self.settle(at)
        if self.waiting >= WAITING:
            return False
        start = max(at, self._reader, heapq.heappop(self._slots))
        first = self._reader = start + traffic.prompt
        heapq.heappush(self._slots, first + traffic.answer)
        self._under_way.append((start, first, first + traffic.answer))
        heapq.heappush(self._answers, (first, first - at, traffic.answer / TOKENS))
        return True

    def settle(self, now: float) -> None:
        """Everything up to now has happened."""
        while self._answers and self._answers[0][0] <= now:
            _, after, between = heapq.heappop(self._answers)
            self.first_tokens.append(after)
            self.between_tokens.append(between)
        self._under_way = [each for each in self._under_way if each[2] > now]
        self.running = sum(start <= now for start, _, _ in self._under_way)
        self.waiting = len(self._under_way) - self.running


class Pool:
    """Replicas by name, and requests that come evenly to whichever has least to do; `traffic` may be changed."""

    def __init__(self, now: float, traffic: Traffic) -> None:
        self.traffic = traffic
        self.replicas: dict[str, Replica] = {}
        self.refused = 0
        self._next = now

    def step(self, now: float, names: Iterable[str]) -> Mapping[str, Replica]:
        """All that happens until now, with the replicas that there are since the last step."""
        names = list(names)
        self.replicas = {name: self.replicas.get(name) or Replica() for name in names}
        while self._next <= now:
            at, self._next = self._next, self._next + 1 / self.traffic.rate
            for each in self.replicas.values():
                each.settle(at)
            least = min(self.replicas.values(), key=lambda each: each.running + each.waiting, default=None)
            if least is None or not least.take(at, self.traffic):
                self.refused += 1
        for each in self.replicas.values():
            each.settle(now)
        return self.replicas
