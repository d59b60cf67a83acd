"""Makes a case smaller for as long as something about it stays true."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, Final

from e2e.oracle.plain.generator import Json

Path = tuple[str | int, ...]
_KEPT: Final = frozenset(
    {
        "id", "families", "nodes", "pods", "asked", "metadata", "name", "namespace", "uid", "image", "status", "spec",
        "allocatable",
    }
)  # fmt: skip


def smaller(case: Json, keeps: Callable[[Json], bool]) -> Json:
    """The case without whatever `keeps` does not need, the large things first."""
    found, shrunk = copy.deepcopy(case), True
    while shrunk:
        shrunk = False
        for path in sorted(_paths(found, ()), key=len):
            tried = copy.deepcopy(found)
            if _drop(tried, path) and keeps(tried):
                found, shrunk = tried, True
    return found


def _paths(value: Any, at: Path) -> Iterator[Path]:
    """Where there is something that may go; of a list the last first, so that the others stay where they are."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(reversed(list(enumerate(value))))
    for key, below in items:
        if not (isinstance(key, str) and key in _KEPT):
            yield (*at, key)
        yield from _paths(below, (*at, key))


def _drop(case: Any, path: Path) -> bool:
    """Take one thing out in place; false if it is not there any more."""
    try:
        for key in path[:-1]:
            case = case[key]
        del case[path[-1]]
    except (KeyError, IndexError, TypeError):
        return False
    return True
