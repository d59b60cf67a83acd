"""Texts to audit: from files, folders and standard input, as they stand.

A folder is read with everything under it that is YAML or JSON; what is hidden is left out. Symbolic links that leave
the folder or go round in it are problems, not ways.
"""

import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_FILE: Final = 16 * 2**20
MAX_FILES: Final = 20_000
_NAMES: Final = re.compile(r".+\.(ya?ml|json)", re.IGNORECASE)
_TEMPLATES: Final = re.compile(r".+\.(ya?ml|json)\.(tpl|tmpl|gotmpl|j2|jinja2?)", re.IGNORECASE)
STDIN: Final = "-"
KUSTOMIZATIONS: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_STDIN: Final = "standard input"


@dataclass(frozen=True, slots=True)
class Source:
    """A text and what to call it. rendered: it is no file, but what a tool made of some."""

    name: str
    text: str
    rendered: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Why something could not be read. line : 0 where no line is to blame."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


@dataclass(frozen=True, slots=True)
class Unrendered:
    """A chart or kustomization of which only the files are read. name: of the file that makes it one."""

    name: str
    why: str


Text = Source | Problem | Unrendered
Entrance = Callable[[Path], tuple[list[Text], frozenset[str]]]


def _as_it_is(_folder: Path) -> tuple[list[Text], frozenset[str]]:
    return [], frozenset()


def raw(path: str) -> Iterator[Source | Problem]:
    """A file, the files of a folder, or standard input, as they stand: nothing is rendered."""
    yield from (each for each in texts(path, _as_it_is) if not isinstance(each, Unrendered))


def texts(path: str, enter: Entrance) -> Iterator[Text]:
    """What there is to read of a file, of a folder, or of standard input for `-`.

    enter : is asked of each folder what else there is to read, and which names in it to leave out.
    """
    if path == STDIN:
        yield _standard_input()
        return
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        yield Problem(path, 0, f"cannot be read ({_reason(error)}): check path and permissions")
        return
    if stat.S_ISDIR(mode):
        yield from _folder(Path(path), enter)
    else:
        yield _file(path)


def _file(path: str) -> Source | Problem:
    """One regular file of text."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return Problem(path, 0, "is no regular file: pass it on standard input, as -")
        with open(path, "rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        return Problem(path, 0, f"cannot be read ({_reason(error)}): check path and permissions")
    return source(path, content)


def _standard_input() -> Source | Problem:
    try:
        if sys.stdin is None or sys.stdin.closed:
            return Problem(_STDIN, 0, "is closed")
        content = sys.stdin.buffer.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        return Problem(_STDIN, 0, f"cannot be read ({_reason(error)})")
    if not content.strip():
        return Problem(_STDIN, 0, "is empty")
    return source(_STDIN, content)


def source(name: str, content: bytes, *, rendered: bool = False) -> Source | Problem:
    """A text out of bytes; a problem where it is too large or no text."""
    if len(content) > MAX_FILE:
        return Problem(name, 0, f"is larger than {MAX_FILE // 2**20} MiB: split it")
    null = content.find(b"\0")
    if null >= 0:
        return Problem(name, content.count(b"\n", 0, null) + 1, "is not text (it has a null byte)")
    try:
        return Source(name, content.decode("utf-8-sig"), rendered)
    except UnicodeDecodeError as error:
        return Problem(name, content.count(b"\n", 0, error.start) + 1, "is not UTF-8 text")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__


def _folder(root: Path, enter: Entrance) -> Iterator[Text]:
    read = 0
    for each in _walk(root, enter):
        read += 1
        if read > MAX_FILES:
            yield Problem(str(root), 0, f"holds more than {MAX_FILES} files: audit its parts")
            return
        yield _file(str(each)) if isinstance(each, Path) else each
    if not read:
        yield Problem(str(root), 0, "holds no YAML or JSON file")


def _walk(root: Path, enter: Entrance) -> Iterator[Path | Text]:
    """Files of a folder by name, depth first, and what `enter` gives."""
    top = root.resolve()
    seen: set[tuple[int, int]] = set()
    stack = [root]
    while stack:
        folder = stack.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            known = folder.stat()
        except OSError as error:
            yield Problem(str(folder), 0, f"cannot be read ({_reason(error)}): check path and permissions")
            continue
        seen.add((known.st_dev, known.st_ino))
        given, left_out = enter(folder)
        yield from given
        below = []
        for entry in entries:
            path = folder / entry.name
            if entry.name in left_out or entry.name.startswith("."):
                continue
            if entry.is_symlink():
                problem = _astray(path, top, seen)
                if problem is not None:
                    yield problem
                    continue
            try:
                if path.is_dir():
                    if entry.name != "node_modules":
                        below.append(path)
                elif _NAMES.fullmatch(entry.name) or _TEMPLATES.fullmatch(entry.name):
                    yield path
            except OSError as error:
                yield Problem(str(path), 0, f"cannot be read ({_reason(error)}): check path and permissions")
        stack.extend(reversed(below))


def _astray(link: Path, top: Path, seen: set[tuple[int, int]]) -> Problem | None:
    """Why a symbolic link is not followed."""
    try:
        target = link.resolve(strict=True)
        known = target.stat()
    except (OSError, RuntimeError) as error:
        why = _reason(error) if isinstance(error, OSError) else "it goes round"
        return Problem(str(link), 0, f"is a symbolic link that leads nowhere ({why})")
    if not target.is_relative_to(top):
        return Problem(str(link), 0, "is a symbolic link out of the folder: name its target itself")
    if (known.st_dev, known.st_ino) in seen or link.parent.resolve().is_relative_to(target):
        return Problem(str(link), 0, "is a symbolic link to a folder around it: a loop")
    return None
