"""Cases kept with the oracle's answers, for `tests/oracle` to replay without Go."""

import gzip
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from e2e.oracle.generator import Json

PER_OUTCOME: Final = 30
"""Cases kept of each family and outcome, at least."""


def fit(number: int, outcome: str, case: Json) -> bool:
    """Whether a case may be kept: the oracle's time-outs depend on its machine, and big cases take tests longer."""
    return outcome not in {"timeout", "panic"} and (number % 3 == 0 or "limit" not in case["families"])


def entry(case: Json, upstream: Json) -> Json:
    """A case with its answer, which is the same each time: share IDs are counted instead of random."""
    answer: Json = {"outcome": upstream["outcome"]}
    if upstream["outcome"] == "ok":
        answer["results"] = [_counted(*each) for each in enumerate(upstream.get("results", []))]
    elif upstream.get("error"):
        answer["error"] = upstream["error"][:200]
    return {**case, "answer": answer}


def _counted(claim: int, allocation: Json) -> Json:
    results = [
        {**each, **({"shareID": f"{claim:08x}-1111-4111-8111-{i:012x}"} if "shareID" in each else {})}
        for i, each in enumerate(allocation["devices"].get("results", []))
    ]
    return {**allocation, "devices": {**allocation["devices"], "results": results}} if results else allocation


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


def write(path: Path, entries: Iterable[Json]) -> str:
    """Write a balanced sample, the same bytes for the same cases; says how many and how big."""
    kept = balanced(entries)
    path.write_bytes(gzip.compress(b"".join(map(_line, kept)), compresslevel=9, mtime=0))
    return f"{len(kept)} cases, {path.stat().st_size} bytes in {path}"


def append(path: Path, entries: Iterable[Json]) -> str:
    """Add cases to a file of plain lines; says how many."""
    lines = [_line(each) for each in entries]
    with path.open("ab") as file:
        file.writelines(lines)
    return f"{len(lines)} cases added to {path}"


def _line(entry: Json) -> bytes:
    return msgspec.json.encode(entry, order="deterministic") + b"\n"


def read(path: Path) -> list[Json]:
    """What was written."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [msgspec.json.decode(line) for line in text.splitlines()]
