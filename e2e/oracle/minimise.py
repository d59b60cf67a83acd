"""Makes a case smaller for as long as something about it stays true."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, Final

from e2e.oracle.generator import Json

Path = tuple[str | int, ...]
Keeps = Callable[[Json], bool]

# What every object needs to stay what it is.
_NEEDED: Final = frozenset(
    {
        "id", "node", "claims", "classes", "slices", "metadata", "spec", "status", "name", "uid", "driver", "pool",
        "device", "generation", "resourceSliceCount", "devices", "requests", "exactly", "firstAvailable",
        "deviceClassName", "count", "allocationMode", "cel", "expression", "allocation", "results", "request",
        "counterSet", "key", "operator", "effect", "value", "labels", "taint", "families", "default", "min", "opaque",
        "parameters", "counters", "namespace",
    }
)  # fmt: skip
_MAY_BE_EMPTY: Final = frozenset({"attributes", "capacity", "features", "labels", "spec"})
_KEPT: Final = ("id", "families", "node")
_SIMPLE: Final[tuple[tuple[str, Any], ...]] = (("count", 1), ("value", "1"), ("generation", 1))


def minimised(case: Json, keeps: Keeps, most: int = 3000) -> Json:
    """The case without whatever `keeps` does not need; at most that many tries."""
    found = copy.deepcopy(case)
    tries = 0
    shrunk = True
    while shrunk:
        shrunk = False
        for change in _changes(found):
            tries += 1
            if tries > most:
                return found
            smaller = copy.deepcopy(found)
            if change(smaller) and keeps(smaller):
                found, shrunk = smaller, True
                break
    return found


Change = Callable[[Json], bool]
"""Changes a case in place; False where it no longer applies."""


def _changes(case: Json) -> Iterator[Change]:
    """Every way to make the case smaller by one thing, the large things first."""
    for number in range(len(case["slices"])):
        yield lambda smaller, number=number: _drop_slice(smaller, number)  # type: ignore[misc]
    paths = [path for path in _paths(case, ()) if path[0] not in _KEPT and not (path[0] == "slices" and len(path) == 2)]
    paths.sort(key=lambda path: (len(path), str(path)))
    for path in paths:
        yield lambda smaller, path=path: _drop(smaller, path)  # type: ignore[misc]
    for path in paths:
        yield from _simpler(case, path)


def _paths(value: Any, at: Path) -> Iterator[Path]:
    """Where there is something that may go, or may be simpler."""
    items: Iterator[tuple[str | int, Any]] = iter(())
    if isinstance(value, dict):
        items = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value))
    for key, below in items:
        yield (*at, key)
        yield from _paths(below, (*at, key))


def _drop_slice(case: Json, number: int) -> bool:
    """Without a slice, and with one less announced in its pool: a torn pool stays as torn as it was."""
    gone = case["slices"].pop(number)["spec"]
    for item in case["slices"]:
        spec = item["spec"]
        same = (spec["driver"], spec["pool"]["name"]) == (gone["driver"], gone["pool"]["name"])
        if same and spec["pool"]["generation"] == gone["pool"]["generation"]:
            spec["pool"]["resourceSliceCount"] = max(1, spec["pool"]["resourceSliceCount"] - 1)
    return True


def _parent(case: Json, path: Path) -> Any:
    for key in path[:-1]:
        case = case[key]  # type: ignore[index]
    return case


def _drop(case: Json, path: Path) -> bool:
    parent, key = _parent(case, path), path[-1]
    if isinstance(parent, dict):
        if key in _NEEDED or (len(parent) == 1 and path[-2] not in _MAY_BE_EMPTY):
            return False
        del parent[key]
        return True
    if len(parent) == 1 and path[-2] not in _NEEDED:
        return False  # the list as a whole goes instead: an empty one is none to the API
    del parent[key]
    return True


def _simpler(case: Json, path: Path) -> Iterator[Change]:
    parent, key = _parent(case, path), path[-1]
    for name, value in _SIMPLE:
        if key == name and parent[key] != value:

            def put(smaller: Json, path: Path = path, value: Any = value) -> bool:
                _parent(smaller, path)[path[-1]] = value
                return True

            yield put
    if key == "firstAvailable" and isinstance(parent[key], list) and parent[key]:

        def only(smaller: Json, path: Path = path) -> bool:
            request = _parent(smaller, path)
            first = {name: value for name, value in request.pop("firstAvailable")[0].items() if name != "name"}
            request["exactly"] = first
            return True

        yield only
