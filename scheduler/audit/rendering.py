"""What helm and kustomize make of charts and kustomizations, beside the files as they stand.

Nothing is rendered here: `helm template`, and `kustomize build` or `kubectl kustomize`, are called if they are on PATH.
They get no cluster, no credentials, no proxy that works, and so much time, memory and output. A kustomization that
names anything but files and folders that are there is not given to them. What is not rendered is UNPARSED.
"""

import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from scheduler.audit.sources import KUSTOMIZATIONS, MAX_FILE, Problem, Source, Text, Unrendered, raw, source, texts
from scheduler.audit.tree import Fields, Items, Node, TreeError, parse

TOOL_S: Final = 30.0
MAX_RENDERED: Final = 200  # charts and kustomizations of one folder
_MEMORY: Final = 4 * 2**30  # of addresses, of which Go reserves many and uses few
_CHART: Final = "Chart.yaml"
_RENDERED: Final = frozenset({"templates", "charts"})  # folders of a chart that are in what helm prints
_NAMED: Final = ("resources", "bases", "components")
_FETCHING: Final = ("helmCharts", "helmChartInflationGenerator")
_PLUGINS: Final = ("generators", "transformers", "validators")
_PROSE: Final = frozenset({"commonAnnotations", "commonLabels", "labels", "literals"})
_URL: Final = re.compile(r"(^|=)(https?|ssh|git|file)://|^git@|^git::", re.IGNORECASE)
"""What kustomize fetches wherever the name of a file may stand: also from loopback, whatever the proxy."""


def sources(paths: Sequence[str]) -> Iterator[Text]:
    """Everything to read under these paths; `-` is standard input."""
    for path in paths:
        yield from texts(path, _Entrance().enter)


class _Entrance:
    """What a walk finds at each folder; charts and kustomizations are counted."""

    def __init__(self) -> None:
        self._rendered = 0

    def enter(self, folder: Path) -> tuple[list[Text], frozenset[str]]:
        if (folder / _CHART).is_file():
            chart = self._chart(folder)
            return [chart], _RENDERED if isinstance(chart, Source) else frozenset()
        kustomization = _kustomization(folder)
        made = self._kustomized(folder, kustomization) if kustomization is not None else None
        return [made] if made is not None else [], frozenset()

    def _chart(self, folder: Path) -> Text:
        name = str(folder / _CHART)
        if shutil.which("helm") is None:
            return Unrendered(name, "a chart, and helm is not on PATH")
        astray = next((each for each in _links(folder) if not each.resolve().is_relative_to(folder.resolve())), None)
        if astray is not None:
            return Unrendered(name, f"a chart with a symbolic link out of it ({astray.name})")
        return self._call(f"{folder} (helm template)", ["helm", "template", "audited", str(folder.resolve())])

    def _kustomized(self, folder: Path, kustomization: Path) -> Text | None:
        root = _root(kustomization)
        if root is None or root.text("kind") == "Component":
            return None  # what is wrong with its text is said where it is read; a component is a part of others
        tool = _kustomize()
        if not tool:
            return Unrendered(str(kustomization), "a kustomization, and neither kustomize nor kubectl is on PATH")
        why = _beyond(folder, root)
        if why:
            return Unrendered(str(kustomization), f"a kustomization that {why}")
        return self._call(f"{folder} (kustomize build)", [*tool, str(folder.resolve())])

    def _call(self, name: str, command: list[str]) -> Source | Problem:
        self._rendered += 1
        if self._rendered > MAX_RENDERED:
            return Problem(name, 0, f"is not the first of {MAX_RENDERED} to render: audit the parts of the folder")
        return _printed(name, command)


def _links(folder: Path) -> Iterator[Path]:
    for above, folders, names in os.walk(folder):
        yield from (Path(above, name) for name in (*folders, *names) if os.path.islink(os.path.join(above, name)))


def _kustomization(folder: Path) -> Path | None:
    return next((folder / name for name in KUSTOMIZATIONS if (folder / name).is_file()), None)


def _root(file: Path) -> Fields | None:
    """The mapping of a file; None where it holds none, which its reader tells."""
    for found in raw(str(file)):
        if isinstance(found, Source):
            try:
                root = parse(found.text).root
            except TreeError:
                return None
            return root if isinstance(root, Fields) else None
    return None


def _beyond(folder: Path, root: Fields) -> str:
    """Why a kustomization, or one that it names, needs more than the files that are there; empty if it does not."""
    seen: set[Path] = set()
    stack = [(folder, root)]
    while stack:
        here, fields = stack.pop()
        if here.resolve() in seen:
            continue
        seen.add(here.resolve())
        fetching = next((key for key in _FETCHING if fields.get(key) is not None), "")
        if fetching:
            return f"inflates charts ({fetching})"
        plugins = [_root(here / each.text) for key in _PLUGINS for each in fields.texts(key) if "\0" not in each.text]
        for read in (fields, *(each for each in plugins if each is not None)):
            if url := next(_urls(read), ""):
                return f"names {url[:200]!r}, which is not here"
        for entry in (each for key in _NAMED for each in fields.texts(key)):
            try:
                there = os.path.exists(here / entry.text) and not os.path.isabs(entry.text)
            except ValueError:
                there = False
            if not there:
                return f"names {entry.text[:200]!r}, which is no file or folder here"
            inner = _kustomization(here / entry.text)
            below = _root(inner) if inner is not None else None
            if below is not None:
                stack.append((here / entry.text, below))
    return ""


def _urls(root: Fields) -> Iterator[str]:
    """Values that kustomize may take for something to fetch."""
    stack: list[Node] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, Items):
            stack += node.children
        elif isinstance(node, Fields):
            stack += (value for key, (_, value) in node.entries.items() if key not in _PROSE)
        elif "\n" not in node.text and _URL.search(node.text):
            yield node.text


def _kustomize() -> list[str]:
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    return ["kubectl", "kustomize"] if shutil.which("kubectl") else []


def _printed(name: str, command: list[str]) -> Source | Problem:
    """What a tool prints."""
    nowhere = "http://127.0.0.1:9"
    environment = {
        "PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", "KUBECONFIG": "/nonexistent",
        "HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "http_proxy": nowhere, "https_proxy": nowhere,
        "GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0",
    }  # fmt: skip
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        try:
            tool = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=said, env=environment, start_new_session=True,
                preexec_fn=_bounded,  # noqa: PLW1509 (nothing here has threads)
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            return Problem(name, 0, f"{command[0]} failed ({type(error).__name__}): render it and pass it as -")
        try:
            code = tool.wait(TOOL_S)
        except subprocess.TimeoutExpired:
            os.killpg(tool.pid, signal.SIGKILL)
            tool.wait()
            return Problem(name, 0, f"{command[0]} took more than {TOOL_S:.0f} s: render it and pass it as -")
        out.seek(0)
        content = out.read(MAX_FILE + 1)
        if code and len(content) <= MAX_FILE:
            said.seek(0)
            words = " ".join(said.read(MAX_FILE).decode("utf-8", "replace").split())[-400:]
            return Problem(name, 0, f"{command[0]} failed ({words}): render it and pass it as -")
    return source(name, content, rendered=True)


def _bounded() -> None:
    """In the tool's process: no file of it, and so no output, is larger than what would be read of it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE + 1, MAX_FILE + 1))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
