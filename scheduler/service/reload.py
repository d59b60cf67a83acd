"""The configuration while the process runs: what counts now, and what became of the last change.

A change comes from the ConfigMap that the configuration names, if it may be watched, or else from the file: the kubelet
swaps the folder behind a mounted ConfigMap at once, and an editor writes in place, so the file is looked at again and
again, and read when it has come to rest. Each text is read as at the start, variables and all, before anything of it
counts. What cannot be used changes nothing: the last good configuration stays.

A ConfigMap has no status to put a condition on. So a refusal is an event, on the ConfigMap or, where only a file is
known, on the Lease, which all replicas share; it is the state of this object, for gauges: `last_error` is empty exactly
while what was written last is in force; and /readyz says so, without being less ready for it.
"""

import asyncio
import logging
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scheduler.cluster.kinds.config_maps import ConfigText
from scheduler.core.errors import ConfigError
from scheduler.core.messages import Gone, Rejected, Seen
from scheduler.service.settings import SchedulerConfig, go_over, parse, read_text

log = logging.getLogger(__name__)

POLL_S: Final = 0.25
_STREAM: Final = (-1,)


@dataclass(frozen=True, slots=True)
class Notice:
    """What people are told of the last change: the type and reason of an event, and its message."""

    type: str
    reason: str
    message: str


class Reload:
    """Takes changes in.

    active : what is in force; active_hash : its digest. accepted, refused : how many changes were. last_error : why the
    last one was refused, empty if it was not. waiting : what of the last one needs a restart, in words.
    source : the ConfigMap that speaks, once it was seen. changed : set whenever any of this changes.
    """

    def __init__(self, settings: SchedulerConfig, environment: Mapping[str, str] | None = None) -> None:
        self.active = settings
        self.active_hash = settings.digest()
        self.accepted = 0
        self.refused = 0
        self.last_error = ""
        self.waiting: tuple[str, ...] = ()
        self.source: ConfigText | None = None
        self.changed = asyncio.Event()
        self._environment = environment
        self._apply: Callable[[SchedulerConfig], None] = lambda settings: None
        self._offered: str | None = None

    def attach(self, apply: Callable[[SchedulerConfig], None]) -> None:
        """Have `apply` called with each configuration that comes into force from now on."""
        self._apply = apply

    def offer(self, text: str, where: str) -> None:
        """Take a text in, unless it is the last one again. where : whose it is."""
        if text == self._offered:
            return
        self._offered = text
        try:
            wanted = parse(text, where, self._environment)
            found, waiting = go_over(self.active, wanted)
        except ConfigError as error:
            self._refuse(str(error))
            return
        if found == self.active and waiting == self.waiting and not self.last_error:
            return
        self.accepted += 1
        self.last_error, self.waiting = "", waiting
        if found != self.active:
            self.active, self.active_hash = found, found.digest()
            self._apply(found)
        log.log(logging.WARNING if waiting else logging.INFO, "%s: %s", where, self.notice().message)
        self.changed.set()

    def refuse(self, problem: str) -> None:
        """There is nothing to take in, and why."""
        self._offered = None
        if problem != self.last_error:
            self._refuse(problem)

    def seen(self, event: object) -> None:
        """What the watch of the ConfigMap has to say."""
        if isinstance(event, Seen) and isinstance(event.item, ConfigText):
            self.source = event.item
            self.offer(event.item.text, event.item.where)
        elif isinstance(event, Rejected):
            self.source = ConfigText(event.key, event.uid, "")
            self.refuse(event.problem)
        elif isinstance(event, Gone):
            self.refuse(f"ConfigMap {event.key}: was deleted; create it again")

    def notice(self) -> Notice:
        """How things stand."""
        if self.last_error:
            return Notice("Warning", "ConfigRefused", f"{self.last_error}; {self.active_hash} stays in force")
        if self.waiting:
            words = "; ".join(self.waiting)
            return Notice("Warning", "ConfigNeedsRestart", f"{self.active_hash} is in force; needs a restart: {words}")
        return Notice("Normal", "ConfigApplied", f"{self.active_hash} is in force")

    async def follow(self, path: Path, every_s: float = POLL_S) -> None:
        """Take in what a file says, whenever that changes, until cancelled.

        A pipe or a device can be read once, and may keep whoever opens it: it is left alone.
        """
        taken: tuple[int, ...] = ()
        told = False
        before = self._mark(path)
        while True:
            await asyncio.sleep(every_s)
            mark = self._mark(path)
            if mark == _STREAM:
                if not told:
                    log.warning("configuration %s is not a file: its changes are not followed", path)
                told = True
            elif mark != taken and mark == before:  # nobody is writing it
                taken = mark
                self._read(path)
            before = mark

    def _read(self, path: Path) -> None:
        try:
            self.offer(read_text(path), str(path))
        except ConfigError as error:
            self.refuse(str(error))

    @staticmethod
    def _mark(path: Path) -> tuple[int, ...]:
        """What differs once a file was changed or replaced, whatever links lead to it."""
        try:
            found = path.stat()
        except OSError as error:
            return (error.errno or 0,)
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            return _STREAM
        return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)

    def _refuse(self, problem: str) -> None:
        self.refused += 1
        self.last_error = problem
        log.error("configuration refused: %s", self.notice().message)
        self.changed.set()
