"""Values that are looked up again and again, and whose hash is worked out once."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Hashed:
    """Base of a frozen dataclass with slots under `hashed_once`. The hash is no field: it may not outlive a process."""

    __slots__ = ("_hash",)
    _hash: int


def hashed_once(cls: type[T]) -> type[T]:
    """Have a class keep the hash of each of its objects."""
    worked_out: Callable[[T], int] = cls.__hash__

    def kept(self: T) -> int:
        try:
            return self._hash  # type: ignore[attr-defined, no-any-return]
        except AttributeError:
            found = worked_out(self)
            object.__setattr__(self, "_hash", found)
            return found

    cls.__hash__ = kept  # type: ignore[method-assign, assignment]
    return cls
