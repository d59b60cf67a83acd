"""The core runs from its sources, or compiled (hatch_build.py), which decides the same in about half the time.

In a source tree sources count, compiled or not, where DOVETAIL_PURE is set and where one of them was edited since.

NATIVE : whether it is compiled here.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import FileFinder, SourceFileLoader
from pathlib import Path

_HERE = Path(__file__).parent
_COMPILED = sorted((_HERE / "core").rglob("*.so"))


def _count(compiled: Sequence[Path]) -> bool:
    """Whether what is compiled counts, if anything is."""
    if not compiled or os.environ.get("DOVETAIL_PURE"):
        return False
    if not (_HERE.parent / "hatch_build.py").exists():
        return True  # installed, and nothing is edited there
    sources = [path.with_name(f"{path.name.partition('.')[0]}.py") for path in compiled]
    return not any(
        source.exists() and source.stat().st_mtime > path.stat().st_mtime
        for source, path in zip(sources, compiled, strict=True)
    )


NATIVE = _count(_COMPILED)
if not NATIVE:
    sys.path_importer_cache.update(
        (place, FileFinder(place, (SourceFileLoader, [".py"]))) for place in {str(path.parent) for path in _COMPILED}
    )
