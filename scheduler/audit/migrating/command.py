"""`dovetail migrate`."""

import difflib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, get_args

from scheduler.audit.migrating.migration import Mode, Result
from scheduler.audit.migrating.migration import migrate as migrated
from scheduler.audit.migrating.patches import component
from scheduler.audit.sources import STDIN, Problem, Source, raw
from scheduler.core.errors import printable

_STDIN: Final = "stdin.yaml"
Compare = Callable[[Mapping[str, str], Mapping[str, str]], str]


def migrate(path: str, out: Path, mode: str, *, patch: bool = False, compare: Compare | None = None) -> int:
    """Write what manifests become into a new folder, print what changed and what a human has to do.

    compare : of the texts before and after, what to say of them.
    Exit codes: 0 all is migrated, 1 something needs a human, 2 something cannot be read or written.
    """
    if mode not in get_args(Mode):
        return _refuse(f"--mode {mode}: is none of {', '.join(get_args(Mode))}")
    wrong = _wrong_folder(path, out)
    if wrong:
        return _refuse(wrong)
    sources = [_relative(each, path) for each in raw(path)]
    result = migrated(sources, "extended" if mode == "extended" else "claims")
    texts = result.texts
    if patch:
        texts, unsaid = component(result)
        result.refused += unsaid
    try:
        for name, text in texts.items():
            file = out / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
    except OSError as error:
        return _refuse(f"{out}: cannot be written ({error.strerror})")
    _say(result)
    if compare is not None:
        print(compare(result.originals, result.texts))
    for problem in result.problems:
        print(printable(str(problem)), file=sys.stderr)
    return 2 if result.problems else int(bool(result.refused))


def _wrong_folder(path: str, out: Path) -> str:
    """Why nothing can be written there without touching what is there."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        return f"{out}: is no folder: name a new one"
    if out.is_dir() and any(out.iterdir()):
        return f"{out}: is not empty: name a new folder"
    if path != STDIN and os.path.isdir(path) and out.resolve().is_relative_to(Path(path).resolve()):
        return f"{out}: is inside {path}: name a folder beside it"
    return ""


def _relative(source: Source | Problem, path: str) -> Source | Problem:
    """A source under the name that its file gets below the new folder."""
    if isinstance(source, Problem):
        return source
    if path == STDIN:
        return Source(_STDIN, source.text)
    name = os.path.relpath(source.name, path) if os.path.isdir(path) else os.path.basename(source.name)
    return Source(name, source.text)


def _say(result: Result) -> None:
    for name, text in result.texts.items():
        before = result.originals.get(name, "")
        if before != text and name in result.originals:
            old, new = before.splitlines(), text.splitlines()
            for line in difflib.unified_diff(old, new, f"{name} before", f"{name} after", n=1, lineterm=""):
                print(printable(line))
        elif name not in result.originals:
            print(printable(f"new file {name}"))
    for note in result.done:
        print(printable(f"migrated: {note}"))
    for note in sorted(set(result.refused)):
        print(printable(f"needs a human: {note}"))
    print(f"{len(result.done)} migrated, {len(set(result.refused))} for a human")


def _refuse(words: str) -> int:
    print(printable(words), file=sys.stderr)
    return 2
