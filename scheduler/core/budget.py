"""How much work a cycle does, and whose turn it is, so that nobody's claims hold up everybody's pods.

Work is counted in steps of about a microsecond. It is counted from what was done, never read off a clock: a replay of
the same events decides the same.
"""

from collections.abc import Iterable
from typing import Final

PIECE_STEPS: Final = 1_500
MAX_TENANTS: Final = 10_000
CREDIT: Final = 200_000  # steps


class Budget:
    """Steps that are left; whoever works pays afterwards, so the last piece of work may overdraw it."""

    __slots__ = ("left",)

    def __init__(self, steps: int) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """Pay for what was done."""
        self.left -= steps

    @property
    def spent(self) -> bool:
        """Whether no further work may begin."""
        return self.left <= 0


class Pieces:
    """How much to do at once, so that a piece takes neither too long nor mostly its fixed costs.

    size : of the next piece. It doubles up to `last` while pieces are cheap, and is halved down to `first` when one was
    not.
    """

    __slots__ = ("_first", "_last", "size")

    def __init__(self, first: int, last: int) -> None:
        self._first, self._last = first, last
        self.size = first

    def took(self, steps: int) -> None:
        """Note what the last piece took."""
        if steps < PIECE_STEPS:
            self.size = min(2 * self.size, self._last)
        else:
            self.size = max(self.size // 2, self._first)


class Turns:
    """The turns of tenants that share a budget: next is who has had the least of it.

    One who comes back starts where those are who are there (start-time fair queueing, Goyal et al., SIGCOMM 1996), or
    behind them by what it had less, CREDIT at most: who takes little is served at once, and nobody saves up much. A
    tenant that was never seen has no credit, so that many of them are no way to get more.
    """

    def __init__(self) -> None:
        self._served: dict[str, int] = {}
        self._now = 0

    def next(self, waiting: Iterable[str]) -> str:
        """Whose turn it is of those who wait, of whom there is at least one."""
        served = {tenant: self.start(tenant) for tenant in waiting}
        first = min(served, key=lambda tenant: (served[tenant], tenant))
        self.reach(served[first])
        self._served[first] = served[first]
        return first

    def reach(self, served: int) -> None:
        """Somebody who had so much is served now; who was never seen starts there."""
        self._now = max(self._now, served)

    def charge(self, tenant: str, steps: int) -> None:
        """Count what was done for a tenant."""
        self._served[tenant] = self.start(tenant) + steps
        if len(self._served) > MAX_TENANTS:
            self._served = {each: served for each, served in self._served.items() if served > self._now}

    def start(self, tenant: str) -> int:
        """Where a tenant stands: steps that it had, counted from where it would start now."""
        return max(self._served.get(tenant, self._now), self._now - CREDIT)
