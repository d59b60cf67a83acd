"""Places inside JSON values, and values with something else in one of them."""

import copy
from collections.abc import Iterator
from typing import Any, Final

Place = tuple[str | int, ...]
LEFT_OUT: Final = object()
"""In place of a value: nothing stands there."""


def paths(value: Any, path: Place = ()) -> Iterator[Place]:
    """Every place inside an object but its kind and version."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        if path or key not in {"apiVersion", "kind"}:
            yield (*path, key)
            yield from paths(each, (*path, key))


def changed(whole: Any, place: Place, value: Any) -> Any:
    """A copy with another value in a place that exists."""
    found = copy.deepcopy(whole)
    target = found
    for step in place[:-1]:
        target = target[step]
    if value is LEFT_OUT:
        del target[place[-1]]
    else:
        target[place[-1]] = value
    return found
