"""A box: namespaces and control groups that start empty and end with their first process."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from e2e.api import until
from e2e.gobuild import ROOT
from e2e.node import cgroups
from e2e.node.tools import NodeError
from e2e.process import Child, descendants

NAMESPACES = ("--mount", "--cgroup", "--net", "--pid", "--uts", "--ipc")
_START_S = 20.0
# Joins the groups whose files come before `--`, then becomes the rest.
_JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; exec "$@"'


class Box:
    """Namespaces below the host name `name`; `folder` is for its state and logs.

    Files are those of the host, but /run, /var/log and /sys are its own, and what is written to /var/lib is not kept.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._groups = cgroups.make(name)
        self._doors = [str(each) for each in cgroups.doors(self._groups)]
        self._children: list[Child] = []
        kinds = [each.controllers or "cgroup2" for each in cgroups.hierarchies()]
        command = [
            "unshare", *NAMESPACES, "--fork", "--mount-proc", "--kill-child", "--",
            sys.executable, "-m", "e2e.node.inside", name, *kinds,
        ]  # fmt: skip
        try:
            self._init = Child(f"{name}-init", self._joining(command), folder / "init.log", cwd=ROOT)
            until(self._ready, f"box {name} ready", _START_S, every=0.02)
        except BaseException:
            self.stop()
            raise
        [self.pid] = [pid for pid in descendants(self._init.pid) if _pid_within(pid) == "1"]

    def _ready(self) -> bool:
        if self._init.code is not None:
            raise NodeError(f"box {self.name}: its first process ended with {self._init.code}:\n{self._init.tail()}")
        return "ready" in self._init.tail()

    def _joining(self, command: Sequence[str]) -> list[str]:
        return ["sh", "-c", _JOIN, "sh", *self._doors, "--", *command]

    def enter(self, command: Sequence[str]) -> list[str]:
        """The command line that runs a command within; it starts in /."""
        return self._joining(["nsenter", "-t", str(self.pid), "-a", "--", *command])

    def run(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> "Inmate":
        """Start a process within, logged to <name>.log."""
        environment = {**os.environ, **(env or {})}
        child = Child(f"{self.name}-{name}", self.enter(command), self.folder / f"{name}.log", env=environment)
        self._children.append(child)
        return Inmate(child)

    def logs(self, lines: int = 15) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {each.name}: {each.log}\n{each.tail(lines)}" for each in [self._init, *self._children])

    def stop(self) -> None:
        """End everything within, and take the control groups away. Raises NodeError when something stays."""
        if hasattr(self, "_init"):
            self._init.kill()
        for child in self._children:
            child.kill()
        cgroups.remove(self._groups)


class Inmate:
    """A process in a box."""

    def __init__(self, child: Child) -> None:
        self.child = child

    @property
    def pid(self) -> int:
        """As it is seen outside of the box."""
        return descendants(self.child.pid)[-1]

    def kill(self) -> None:
        """SIGKILL to the process itself; what it started goes on."""
        found = descendants(self.child.pid)
        with suppress(ProcessLookupError):
            # nsenter, and the one process that it started
            os.kill(found[1] if len(found) > 1 else found[0], 9)
        self.child.wait(10)


def _pid_within(pid: int) -> str:
    """The process id in the innermost namespace."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return line.split()[-1]
    raise NodeError(f"/proc/{pid}/status: tells no NSpid; nodes need Linux 4.1 or newer")
