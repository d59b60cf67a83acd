"""Whether a remote is worth asking: after some failures in a row it is left alone for a while, then tried once."""

from typing import Final

FAILURES: Final = 3
FIRST_PAUSE_S: Final = 1.0
LAST_PAUSE_S: Final = 60.0


class Breaker:
    """Closed: everything is asked. Open: nothing is, until a time. Half open: one question is; it decides.

    `now` : seconds, monotonic. A pause doubles with each time that it was of no use.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._pause_s = 0.0
        self._until: float | None = None  # when a question is allowed again; None while closed
        self._trying = False

    @property
    def state(self) -> str:
        """closed, open or half-open."""
        if self._until is None:
            return "closed"
        return "half-open" if self._trying else "open"

    def allows(self, now: float) -> bool:
        """Whether to ask now. Whoever is allowed to tells how it went."""
        if self._until is None:
            return True
        if self._trying or now < self._until:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        """The remote answered, and what it said can be used."""
        self._failures, self._pause_s, self._until, self._trying = 0, 0.0, None, False

    def failed(self, now: float) -> None:
        """It did not."""
        self._failures += 1
        if self._trying or (self._until is None and self._failures >= FAILURES):
            self._pause_s = min(max(2 * self._pause_s, FIRST_PAUSE_S), LAST_PAUSE_S)
            self._until, self._trying = now + self._pause_s, False
