"""The control groups of a box: one in each hierarchy of version 1, or one of version 2.

Nodes ran on version 1. What is here for version 2 follows the kernel's documentation and has not been run.
"""

import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from e2e.node.tools import NodeError

_PREFIX = "dovetail-e2e"
NEEDED = {"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"}  # of version 1
_NEEDED_2 = ("cpu", "cpuset", "memory", "pids", "io")
LEAF = "system"  # where processes of a box are in version 2, which has none beside child groups
_END_S = 20.0


@dataclass(frozen=True)
class Hierarchy:
    """A mounted hierarchy: `controllers` as mount options, empty for version 2; `own` is where this process is."""

    controllers: str
    root: Path
    own: Path


def hierarchies(membership: str | None = None, mounts: str | None = None) -> list[Hierarchy]:
    """Those that nodes need: from /proc/self/cgroup and /proc/self/mountinfo, or from texts like them.

    Raises NodeError where some are missing.
    """
    membership = Path("/proc/self/cgroup").read_text() if membership is None else membership
    mounts = Path("/proc/self/mountinfo").read_text() if mounts is None else mounts
    placed: dict[str, tuple[str, str]] = {}  # mount options -> (mount point, what of the hierarchy is mounted there)
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in {"cgroup", "cgroup2"}:
            _, _, _, root, point, *_ = before.split(" ")
            names = "" if kind == "cgroup2" else ",".join(sorted(_controllers(options)))
            placed.setdefault(names, (point, root))
    found = []
    for line in membership.splitlines():
        _, names, path = line.split(":", 2)
        key = ",".join(sorted(names.split(",")))
        if key in placed and (not key or set(key.split(",")) & NEEDED):
            point, root = placed[key]
            inside = path.removeprefix(root.rstrip("/")).lstrip("/")
            found.append(Hierarchy(names, Path(point), Path(point) / inside))
    first = [each for each in found if each.controllers]
    missing = NEEDED - {name for each in first for name in each.controllers.split(",")}
    if not missing:
        return first
    second = [each for each in found if not each.controllers]
    if second and len(missing) == len(NEEDED):
        return second
    raise NodeError(f"control groups: version 1 without {', '.join(sorted(missing))}; mount them, or version 2 alone")


def _controllers(options: str) -> set[str]:
    return {name for name in options.split(",") if name in NEEDED | {"net_cls", "net_prio", "hugetlb", "perf_event"}}


def make(name: str) -> list[Path]:
    """A new group in each hierarchy, for one box. Raises NodeError where that is not allowed."""
    made = []
    for each in hierarchies():
        parent = each.own if each.controllers else _delegating(each)
        folder = parent / f"{_PREFIX}-{os.getpid()}-{name}"
        try:
            folder.mkdir()
        except OSError as error:
            raise NodeError(f"control group {folder}: {error.strerror}; nodes need to make groups there") from None
        made.append(folder)
        if not each.controllers:
            (folder / LEAF).mkdir()
            (folder / "cgroup.subtree_control").write_text(_switch_on())
        elif "cpuset" in each.controllers:
            # A new group of this kind takes no process before it is told which processors it may use.
            for amount in ("cpuset.cpus", "cpuset.mems"):
                (folder / amount).write_text((parent / amount).read_text())
            (folder / "cgroup.clone_children").write_text("1")
    return made


def doors(groups: Sequence[Path]) -> list[Path]:
    """The files to write a process id to, so that the process is in these groups."""
    return [(each / LEAF if (each / LEAF).is_dir() else each) / "cgroup.procs" for each in groups]


def remove(groups: Sequence[Path]) -> None:
    """Delete groups with all that are in them, once their last process is gone. Raises NodeError after a while."""
    end = time.monotonic() + _END_S
    while left := [each for each in groups if not _removed(each)]:
        if time.monotonic() > end:
            raise NodeError(f"control groups still in use: {', '.join(map(str, left))}")
        time.sleep(0.05)


def sweep() -> None:
    """Delete what runs left behind that were killed before they could clean up."""
    for each in hierarchies():
        for parent in {each.own, each.root, *each.own.parents}:
            for folder in parent.glob(f"{_PREFIX}-*") if parent.is_relative_to(each.root) else ():
                owner = re.match(rf"{_PREFIX}-(\d+)-", folder.name)
                if owner and not Path(f"/proc/{owner[1]}").exists():
                    _removed(folder)


def _removed(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            os.rmdir(folder)
    return not group.exists()


def _switch_on() -> str:
    return " ".join(f"+{name}" for name in _NEEDED_2)


def _delegating(hierarchy: Hierarchy) -> Path:
    """The nearest group above this process whose children may have all controllers."""
    candidates = [hierarchy.own, *hierarchy.own.parents]
    for folder in candidates:
        if not folder.is_relative_to(hierarchy.root):
            break
        with suppress(OSError):  # it has processes of its own, or not all controllers
            (folder / "cgroup.subtree_control").write_text(_switch_on())
            return folder
    raise NodeError(
        f"control group {hierarchy.own}: neither it nor one above it can pass on {', '.join(_NEEDED_2)}; "
        "in a container, share the control groups of the host"
    )
