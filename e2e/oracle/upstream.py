"""Kubernetes' own allocator and CEL compiler, as a process: one JSON case a line in, one JSON answer a line out.

`python -m e2e.oracle.upstream` builds it and prints where it is.
"""

import os
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from e2e import gobuild

Json = dict[str, Any]

MODULE: Final = Path(__file__).resolve().parent / "go"
FLAGS: Final = ("-trimpath", "-ldflags", "-s -w")


def program() -> Path:
    """The oracle, built if it is not there. Raises gobuild.GoError."""
    without_go = "put go on PATH; `make test` needs no oracle, it replays answers that are kept"
    return gobuild.built("oracle", MODULE, {"oracle": "."}, FLAGS, without_go) / "oracle"


class OracleError(Exception):
    """The oracle ended, or did not understand a case."""


class Oracle:
    """The oracle, running. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "GOGC": "400"}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def ask(self, question: Json) -> Json:
        """One answer."""
        return next(self.ask_all([question]))

    def ask_all(self, questions: Sequence[Json]) -> Iterator[Json]:
        """The answers in the order of the questions, as they come; the oracle works while the caller does.

        All of them must be taken before anything else is asked. Raises OracleError.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        writer = threading.Thread(target=self._write, args=(map(msgspec.json.encode, questions),), daemon=True)
        writer.start()
        for question in questions:
            line = self._process.stdout.readline()
            if not line:
                raise OracleError(f"the oracle ended with {self._process.wait()} at {msgspec.json.encode(question)!r}")
            answer = msgspec.json.decode(line)
            if answer["outcome"] == "bad-case":
                raise OracleError(f"bad-case: {answer['error']}: {msgspec.json.encode(question)!r}")
            yield answer
        writer.join()

    def _write(self, lines: Iterable[bytes]) -> None:
        assert self._process.stdin is not None
        try:
            for line in lines:
                self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return  # it has ended, which the reader sees, or nobody reads any more

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


if __name__ == "__main__":
    print(program())
