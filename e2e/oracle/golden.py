"""Cases kept with the oracle's answers, for `tests/oracle` to replay without Go."""

import gzip
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from e2e.oracle.generator import Json

PER_OUTCOME: Final = 25
"""Cases kept of each family and outcome, at least."""


def fit(number: int, outcome: str, case: Json) -> bool:
    """Whether a case may be kept: the oracle's time-outs depend on its machine, and big cases take tests longer."""
    return outcome not in {"timeout", "panic"} and (number % 8 == 0 or "limit" not in case["families"])


def entry(case: Json, upstream: Json) -> Json:
    """A case with as much of the answer as is the same each time."""
    answer: Json = {"outcome": upstream["outcome"]}
    if upstream["outcome"] == "ok":
        answer["results"] = upstream.get("results", [])
    elif upstream.get("error"):
        answer["error"] = upstream["error"][:200]
    return {**case, "answer": answer}


def balanced(entries: Iterable[Json]) -> list[Json]:
    """The first entries that bring some family nearer to its number of some outcome."""
    counts: Counter[tuple[str, str]] = Counter()
    found = []
    for each in sorted(entries, key=lambda each: int(each["id"].partition("/")[2])):
        keys = [(family, each["answer"]["outcome"]) for family in each["families"]]
        if any(counts[key] < PER_OUTCOME for key in keys):
            counts.update(keys)
            found.append(each)
    return found


def write(path: Path, entries: Iterable[Json], more: Iterable[Json]) -> str:
    """Write a balanced sample and all of `more`, the same bytes for the same cases; says how many and how big."""
    kept = [*balanced(entries), *more]
    lines = b"".join(msgspec.json.encode(each, order="deterministic") + b"\n" for each in kept)
    path.write_bytes(gzip.compress(lines, compresslevel=9, mtime=0))
    return f"{len(kept)} cases, {path.stat().st_size} bytes in {path}"


def read(path: Path) -> list[Json]:
    """What `write` wrote."""
    return [msgspec.json.decode(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
