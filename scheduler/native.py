"""The core runs from its sources, or compiled (hatch_build.py), which decides the same in about half the time.

In a source tree sources count, compiled or not, where DOVETAIL_PURE is set and where one of them was edited since.

NATIVE : whether it is compiled here.
"""

import os
import sys
from importlib.machinery import FileFinder, SourceFileLoader
from pathlib import Path

_HERE = Path(__file__).parent
_PLACES = tuple(_HERE / "core" / each for each in ("", "rules", "solvers"))


def _compiled() -> bool:
    """Whether there is something compiled that may count."""
    found = [path for place in _PLACES for path in place.glob("*.so")]
    if not found or os.environ.get("DOVETAIL_PURE"):
        return False
    if not (_HERE.parent / "hatch_build.py").exists():
        return True  # installed, and nothing is edited there
    sources = [path.with_name(f"{path.name.partition('.')[0]}.py") for path in found]
    return not any(
        source.exists() and source.stat().st_mtime > path.stat().st_mtime
        for source, path in zip(sources, found, strict=True)
    )


NATIVE = _compiled()
if not NATIVE:
    for place in map(str, _PLACES):
        sys.path_importer_cache[place] = FileFinder(place, (SourceFileLoader, [".py"]))
