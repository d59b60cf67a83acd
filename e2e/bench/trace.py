"""Traces in the format of openb (Alibaba's GPU trace of 2023): a CSV of nodes and one of pods.

Columns used, by name; others are ignored, and their order does not matter.
nodes : sn, cpu_milli, memory_mib, gpu, model.
pods  : name, cpu_milli, memory_mib, num_gpu, gpu_milli, and gpu_spec where a file has it: models joined by `|`.
"""

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

WHOLE = 1000
"""Thousandths of a GPU."""


class TraceError(ValueError):
    """A file that cannot be read as a trace; the text names the file and the line."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A node: cpu in thousandths of a core, memory in MiB, GPUs of one model."""

    name: str
    cpu: int
    memory: int
    gpus: int
    model: str


@dataclass(frozen=True, slots=True)
class Shape:
    """What a pod asks for: so many GPUs, `milli` thousandths of each; they may be of any of `models`, empty: of all.

    A part of a GPU (milli < 1000) is only ever asked of one GPU.
    """

    cpu: int
    memory: int
    gpus: int
    milli: int
    models: tuple[str, ...] = ()

    @property
    def demand(self) -> int:
        """Thousandths of GPUs in all."""
        return self.gpus * self.milli


@dataclass(frozen=True, slots=True)
class Job:
    """A pod of a trace."""

    name: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Trace:
    """Machines and jobs, each in order of their names. `name` is that of the file of pods, without its ending."""

    name: str
    machines: tuple[Machine, ...]
    jobs: tuple[Job, ...]

    @property
    def capacity(self) -> int:
        """Thousandths of GPUs in the cluster."""
        return WHOLE * sum(machine.gpus for machine in self.machines)

    @property
    def digest(self) -> str:
        """Of all that a benchmark reads, so that stored figures are not taken for those of another trace."""
        text = repr((self.machines, self.jobs))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read(nodes: Path, pods: Path) -> Trace:
    """Raises TraceError."""
    machines = sorted((_machine(row) for row in _rows(nodes)), key=lambda each: each.name)
    jobs = sorted((_job(row) for row in _rows(pods)), key=lambda each: each.name)
    for path, found in ((nodes, machines), (pods, jobs)):
        if not found:
            raise TraceError(f"{path}: holds no rows; a trace has a header and a row per node or pod")
        names = [each.name for each in found]
        twice = next((a for a, b in pairwise(names) if a == b), None)
        if twice is not None:
            raise TraceError(f"{path}: {twice} is there twice; names must differ")
    return Trace(pods.stem, tuple(machines), tuple(jobs))


@dataclass(frozen=True, slots=True)
class _Row:
    where: str
    fields: dict[str, str]

    def text(self, name: str) -> str:
        value = self.fields.get(name)
        if value is None:
            raise TraceError(f"{self.where}: has no column {name}; it has: {', '.join(self.fields)}")
        return value

    def number(self, name: str) -> int:
        text = self.text(name)
        if not text.isdecimal():
            raise TraceError(f"{self.where}: {name} is {text!r}, which is not a whole number")
        return int(text)


def _rows(path: Path) -> Iterator[_Row]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            for fields in reader:
                given = {name: value for name, value in fields.items() if name is not None and value is not None}
                yield _Row(f"{path}, line {reader.line_num}", given)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path}: cannot be read: {error}") from error


def _machine(row: _Row) -> Machine:
    gpus = row.number("gpu")
    model = row.text("model") if gpus else ""
    return Machine(row.text("sn"), row.number("cpu_milli"), row.number("memory_mib"), gpus, model)


def _job(row: _Row) -> Job:
    gpus, milli = row.number("num_gpu"), row.number("gpu_milli")
    if not gpus or not milli:
        gpus = milli = 0
    if milli > WHOLE or (milli < WHOLE and gpus > 1):
        raise TraceError(f"{row.where}: asks for {gpus} x {milli} of {WHOLE}; only one GPU can be asked for in part")
    models = tuple(sorted({part for part in row.fields.get("gpu_spec", "").split("|") if part and gpus}))
    return Job(row.text("name"), Shape(row.number("cpu_milli"), row.number("memory_mib"), gpus, milli, models))
