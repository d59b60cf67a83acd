"""Values that are looked up again and again, and whose hash is worked out once."""

from collections.abc import Hashable


class Hashed:
    """Base of a frozen dataclass with slots that has a `__hash__` of its own. The hash may not outlive a process."""

    __slots__ = ("_hash",)
    _hash: int

    @property
    def known_hash(self) -> int | None:
        """What was kept, if anything was."""
        try:
            return self._hash
        except AttributeError:
            return None

    def keep_hash(self, parts: Hashable) -> int:
        """Work out the hash from what equality compares."""
        found = hash(parts)
        object.__setattr__(self, "_hash", found)
        return found
