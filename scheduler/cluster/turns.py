"""Additions to one object take turns, each to the version that the one before it left, and those that wait go together.

A write carries the version that its decision knew. Where many are decided at once, as for pods that share a claim, all
but one of them would be refused for the others. One that follows ours, and ours alone, is as good as if it had known
them: had anybody else changed the object in between, ours would have been refused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from scheduler.core.model import Uid

T = TypeVar("T")
Answer = TypeVar("Answer")


@dataclass(slots=True, eq=False)
class _Addition(Generic[T, Answer]):
    """version : that its decision knew."""

    version: str
    what: T
    answers: list[Answer] = field(default_factory=list)  # one, once it is written


@dataclass(slots=True)
class _Chain(Generic[T, Answer]):
    """known : versions from which `newest` came by our writes alone. users : those that wait for an answer."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    known: set[str] = field(default_factory=set)
    newest: str = ""
    users: int = 0
    waiting: list[_Addition[T, Answer]] = field(default_factory=list)

    def base(self, version: str) -> str:
        """The version to write to for a decision that knew this one."""
        return self.newest if version in self.known else version


class Turns(Generic[T, Answer]):
    """By object. What was written is forgotten once nobody waits any more.

    write : adds these to the object at a version; returns an answer for each of them, and the version that came of it,
    which is empty if nothing did.
    """

    def __init__(self, write: Callable[[str, Sequence[T]], Awaitable[tuple[Sequence[Answer], str]]]) -> None:
        self._write = write
        self._chains: dict[Uid, _Chain[T, Answer]] = {}

    async def add(self, uid: Uid, version: str, what: T) -> Answer:
        """Written in its turn, along with others. version : that the decision knew. Raises what the write raises."""
        chain = self._chains.setdefault(uid, _Chain())
        own: _Addition[T, Answer] = _Addition(version, what)
        chain.waiting.append(own)
        chain.users += 1
        try:
            async with chain.lock:
                if not own.answers:
                    await asyncio.sleep(0)  # what was decided with it comes in too
                    await self._together(chain, chain.base(version))
                return own.answers[0]
        finally:
            chain.users -= 1
            if own in chain.waiting:
                chain.waiting.remove(own)
            if not chain.users:
                del self._chains[uid]

    async def _together(self, chain: _Chain[T, Answer], base: str) -> None:
        batch = [each for each in chain.waiting if chain.base(each.version) == base]
        left = ""
        try:
            answers, left = await self._write(base, [each.what for each in batch])
        finally:
            if not left or base != chain.newest:
                chain.known.clear()
            if left:
                chain.known.add(base)
            chain.newest = left
        for each, answer in zip(batch, answers, strict=True):
            each.answers.append(answer)
        chain.waiting = [each for each in chain.waiting if not each.answers]
