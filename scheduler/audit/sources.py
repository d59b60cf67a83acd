"""Texts to audit: from files, folders, standard input, and from kustomize and helm where these are installed.

A folder is read with everything under it that is YAML or JSON; hidden folders are left out. Symbolic links that leave
the folder or go round in it are problems, not ways. Nothing is rendered here: a chart is given to `helm template`, a
kustomization that is named itself to `kustomize build` (or `kubectl kustomize`), both without a network.
"""

import os
import re
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_FILE: Final = 16 * 2**20
MAX_FILES: Final = 20_000
_TOOL_S: Final = 60.0
_NAMES: Final = re.compile(r".+\.(ya?ml|json)", re.IGNORECASE)
_TEMPLATES: Final = re.compile(r".+\.(ya?ml|json)\.(tpl|tmpl|gotmpl|j2|jinja2?)", re.IGNORECASE)
_KUSTOMIZATIONS: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_CHART: Final = "Chart.yaml"
_STDIN: Final = "standard input"


@dataclass(frozen=True, slots=True)
class Source:
    """A text and what to call it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Why something could not be read. line : 0 where no line is to blame."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


def sources(paths: Sequence[str]) -> Iterator[Source | Problem]:
    """Everything to read under these paths; `-` is standard input."""
    for path in paths:
        if path == "-":
            yield _standard_input()
            continue
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError) as error:
            yield Problem(path, 0, f"cannot be read ({_reason(error)}): check path and permissions")
            continue
        if stat.S_ISDIR(mode):
            yield from _folder(Path(path))
        else:
            yield read_file(path)


def raw(path: str) -> Iterator[Source | Problem]:
    """The files of a folder, or one file or standard input, as they stand: nothing is rendered."""
    if path == "-" or not os.path.isdir(path):
        yield from sources([path])
        return
    found = [each if isinstance(each, Source | Problem) else read_file(str(each)) for each in _files(Path(path), "")]
    yield from found or [Problem(path, 0, "holds no YAML or JSON file")]


def read_file(path: str) -> Source | Problem:
    """One regular file of text."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return Problem(path, 0, "is no regular file: pass it on standard input, as -")
        with open(path, "rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        return Problem(path, 0, f"cannot be read ({_reason(error)}): check path and permissions")
    return _source(path, content)


def _standard_input() -> Source | Problem:
    try:
        if sys.stdin is None or sys.stdin.closed:
            return Problem(_STDIN, 0, "is closed")
        content = sys.stdin.buffer.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        return Problem(_STDIN, 0, f"cannot be read ({_reason(error)})")
    if not content.strip():
        return Problem(_STDIN, 0, "is empty")
    return _source(_STDIN, content)


def _source(name: str, content: bytes) -> Source | Problem:
    if len(content) > MAX_FILE:
        return Problem(name, 0, f"is larger than {MAX_FILE // 2**20} MiB: split it")
    null = content.find(b"\0")
    if null >= 0:
        return Problem(name, content.count(b"\n", 0, null) + 1, "is not text (it has a null byte)")
    try:
        return Source(name, content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Problem(name, content.count(b"\n", 0, error.start) + 1, "is not UTF-8 text")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__


# ---------------------------------------------------------------- folders


def _folder(root: Path) -> Iterator[Source | Problem]:
    if any((root / name).is_file() for name in _KUSTOMIZATIONS):
        tool = _kustomize(root)
        if tool:
            yield _rendered(f"{root} (kustomize build)", tool)
            return
    found = 0
    for path in _files(root):
        found += 1
        if isinstance(path, Source | Problem):
            yield path
        elif found > MAX_FILES:
            yield Problem(str(root), 0, f"holds more than {MAX_FILES} files: audit its parts")
            return
        else:
            yield read_file(str(path))
    if not found:
        yield Problem(str(root), 0, "holds no YAML or JSON file")


def _files(root: Path, helm: str = "helm") -> Iterator[Path | Source | Problem]:
    """Files of a folder by name, depth first; charts as `helm` renders them, if that is named and there."""
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
        if helm and (folder / _CHART).is_file() and shutil.which(helm):
            command = [helm, "template", "audited", str(folder.resolve())]
            yield _rendered(f"{folder} (helm template)", command)
            continue
        below = []
        for entry in entries:
            path = folder / entry.name
            if entry.is_symlink():
                problem = _astray(path, top, seen)
                if problem is not None:
                    yield problem
                    continue
            try:
                if path.is_dir():
                    if not entry.name.startswith(".") and entry.name != "node_modules":
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


# ---------------------------------------------------------------- tools


def _kustomize(folder: Path) -> list[str]:
    if shutil.which("kustomize"):
        return ["kustomize", "build", str(folder.resolve())]
    return ["kubectl", "kustomize", str(folder.resolve())] if shutil.which("kubectl") else []


def _rendered(name: str, command: list[str]) -> Source | Problem:
    """What a tool prints. It sees no cluster, no proxy that works and no credentials, and may write so much."""
    nowhere = "http://127.0.0.1:9"
    environment = {
        "PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", "KUBECONFIG": "/nonexistent",
        "HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "http_proxy": nowhere, "https_proxy": nowhere,
        "GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0",
    }  # fmt: skip
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=said, timeout=_TOOL_S, check=False,
                env=environment, preexec_fn=_bounded,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            return Problem(name, 0, f"{command[0]} failed ({type(error).__name__}): render it and pass it as -")
        out.seek(0)
        content = out.read(MAX_FILE + 1)
        if done.returncode and len(content) <= MAX_FILE:
            said.seek(0)
            words = " ".join(said.read(MAX_FILE).decode("utf-8", "replace").split())[-400:]
            return Problem(name, 0, f"{command[0]} failed ({words}): render it and pass it as -")
    return _source(name, content)


def _bounded() -> None:
    """In the tool's process: no file of it, and so no output, is larger than what would be read of it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE + 1, MAX_FILE + 1))
