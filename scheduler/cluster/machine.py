"""What a process reads of the machine that it runs on, beside its sockets: clocks, chance and a name of its own."""

import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random


def new_identity() -> str:
    """Names this process, never another one before or after it."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


@dataclass(frozen=True, slots=True)
class Machine:
    """The real one; a simulation puts its own in place, so that a run can be repeated.

    clock : seconds, monotonic. wall : seconds since 1970. identity : a new name at each call.
    """

    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    random: Random = field(default_factory=Random)
    identity: Callable[[], str] = new_identity

    def timestamp(self) -> str:
        """Now, RFC 3339 with microseconds."""
        now = datetime.fromtimestamp(self.wall(), UTC)
        return now.isoformat(timespec="microseconds").replace("+00:00", "Z")
