"""Additions to one object take turns, each to the version that the one before it left.

A write carries the version that its decision knew. Where many are decided at once, as for pods that share a claim, all
but one of them would be refused for the others. One that follows ours, and ours alone, is as good as if it had known
them: had anybody else changed the object in between, ours would have been refused.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from scheduler.core.model import Uid


@dataclass(slots=True)
class Turn:
    """version : to write to. left : the version that came of it, for the writer to set; empty if nothing did."""

    version: str
    left: str = ""


@dataclass(slots=True)
class _Chain:
    """known : versions from which `newest` came by our writes alone. users : those that have or await a turn."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    known: set[str] = field(default_factory=set)
    newest: str = ""
    users: int = 0


class Turns:
    """By object. What was written is forgotten once nobody waits any more."""

    def __init__(self) -> None:
        self._chains: dict[Uid, _Chain] = {}

    @asynccontextmanager
    async def take(self, uid: Uid, version: str) -> AsyncIterator[Turn]:
        """One writer at a time. version : that the decision knew."""
        chain = self._chains.setdefault(uid, _Chain())
        chain.users += 1
        try:
            async with chain.lock:
                turn = Turn(chain.newest if version in chain.known else version)
                try:
                    yield turn
                finally:
                    if not turn.left or turn.version != chain.newest:
                        chain.known.clear()
                    if turn.left:
                        chain.known.add(turn.version)
                    chain.newest = turn.left
        finally:
            chain.users -= 1
            if not chain.users:
                del self._chains[uid]
