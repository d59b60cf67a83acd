"""Child processes of tests: logged to files, ended by pid, and gone with their parent."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Sets PR_SET_PDEATHSIG to SIGKILL, then becomes the command: an interrupted test run leaves no server behind.
_LEASH = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9, 0, 0, 0); os.execvp(sys.argv[1], sys.argv[1:])"
_TICKS = os.sysconf("SC_CLK_TCK")


class Child:
    """One running command. It ends with the thread that started it, as Linux takes that for its parent."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.command = list(command)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _LEASH, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> int:
        return self._process.wait(seconds)

    def stop(self, seconds: float = 20.0) -> int:
        """SIGTERM, and SIGKILL when that does not help in time; returns the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.wait(10)

    def kill(self) -> None:
        """SIGKILL, as a crash or a power cut would."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        try:
            text = self.log.read_text(errors="replace")
        except OSError as error:
            return f"({error})"
        return "\n".join(text.splitlines()[-lines:])

    def cpu_seconds(self) -> float:
        """User and system time of the process and all its descendants, ended ones that were waited for included."""
        total = 0.0
        for pid in descendants(self.pid):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            total += sum(map(int, fields[11:15])) / _TICKS
        return total

    def peak_memory(self) -> int:
        """The most resident memory that the process and each of its descendants had, added up, bytes."""
        total = 0
        for pid in descendants(self.pid):
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            except OSError:
                continue
            total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
        return total


def descendants(pid: int) -> list[int]:
    """This process and all that descend from it."""
    found = [pid]
    for each in found:
        try:
            for children in Path(f"/proc/{each}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        except OSError:
            continue
    return found
