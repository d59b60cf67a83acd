"""python -m e2e.sim.mutants [--steps N] [--only NAME] [--jobs N]

Plants each bug of e2e/sim/bugs, one at a time, in a copy of the scheduler, and runs the simulation until it is caught.
Prints which invariant caught it and after how many steps; exit code 1 when one was not.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from e2e.sim.simulation import BOTH, CONTESTED

ROOT = Path(__file__).resolve().parents[2]
BUGS = Path(__file__).with_name("bugs")
_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")
_CAUGHT = re.compile(r"^([IF]\d+): (.*)\nafter (\d+) steps", re.MULTILINE)


class MismatchError(Exception):
    """A patch does not fit the file that it is for."""


@dataclass(frozen=True)
class Bug:
    """One planted bug: what it is, which file it is in, and its unified diff."""

    name: str
    about: str
    file: str
    diff: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "Bug":
        about, old, new, *diff = path.read_text().splitlines(keepends=True)
        file = old.removeprefix("--- a/").strip()
        if new.removeprefix("+++ b/").strip() != file:
            raise MismatchError(f"{path.name} does not change one file")
        return cls(path.stem, about.strip(), file, tuple(diff))

    @property
    def contested(self) -> bool:
        """Whether it takes another scheduler on the same devices to show."""
        return "another scheduler" in self.about

    def apply(self, text: str) -> str:
        """The file with the bug. Raises MismatchError where it does not say what the patch expects."""
        lines = text.splitlines(keepends=True)
        moved = 0
        for begin, old, new in self._hunks():
            # As `patch` does: where the lines stand now, the place nearest to where they stood.
            places = [at for at in range(len(lines) - len(old) + 1) if lines[at : at + len(old)] == old]
            if not places:
                raise MismatchError(f"{self.name}: {self.file} nowhere says {''.join(old).strip()!r}")
            at = min(places, key=lambda place: abs(place - begin - moved))
            lines[at : at + len(old)] = new
            moved = at - begin + len(new) - len(old)
        return "".join(lines)

    def _hunks(self) -> list[tuple[int, list[str], list[str]]]:
        """Of each the line at which it begins, from 0, what stands there, and what is to stand there."""
        found: list[tuple[int, list[str], list[str]]] = []
        for line in self.diff:
            if hunk := _HUNK.match(line):
                found.append((int(hunk[1]) - 1, [], []))
                continue
            _, old, new = found[-1]
            if not line.startswith("+"):
                old.append(line[1:])
            if not line.startswith("-"):
                new.append(line[1:])
        return found


def bugs() -> list[Bug]:
    return [Bug.read(path) for path in sorted(BUGS.glob("*.patch"))]


def caught(bug: Bug, seed: int, steps: int) -> tuple[str, int, str]:
    """Invariant, steps and words of the first failure; empty and the steps if there was none."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        shutil.copytree(ROOT / "scheduler", place / "scheduler", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        for name in ("scoring", "e2e"):
            (place / name).symlink_to(ROOT / name)
        file = place / bug.file
        file.write_text(bug.apply(file.read_text()))
        mode = CONTESTED if bug.contested else BOTH
        command = [sys.executable, "-m", "e2e.sim", "--seed", str(seed), "--steps", str(steps), "--mode", mode]
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return "", steps, ""
    found = _CAUGHT.search(done.stderr)
    if found is None:
        words = done.stderr.strip().splitlines()
        return "error", 0, words[-1] if words else f"exit code {done.returncode}"
    return found[1], int(found[3]), found[2]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.sim.mutants", description=__doc__.splitlines()[2])
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args(arguments)
    print(f"seed {given.seed}")
    wanted = [bug for bug in bugs() if given.only in bug.name]
    missed = []
    with ThreadPoolExecutor(given.jobs) as pool:
        for bug, (invariant, steps, words) in zip(
            wanted, pool.map(lambda bug: caught(bug, given.seed, given.steps), wanted), strict=True
        ):
            print(f"{bug.name:34} {invariant or 'MISSED':7} {steps:7d}  {words[:150]}", flush=True)
            if not invariant:
                missed.append(bug.name)
    print(f"{len(wanted) - len(missed)} of {len(wanted)} caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
