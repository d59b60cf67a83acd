"""Cases kept with upstream's answers, for `tests/oracle` to replay without Go."""

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from e2e.oracle.plain.generator import Json

_DEFAULTS: Final = {
    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "Always",
    "dnsPolicy": "ClusterFirst", "securityContext": {}, "enableServiceLinks": True, "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30, "preemptionPolicy": "PreemptLowerPriority", "resources": {},
}  # fmt: skip


def lean(value: Any) -> Any:
    """API objects without the defaults that decide nothing and make up half of them, and without empty lists."""
    if isinstance(value, dict):
        whole = "containers" in value
        return {
            key: lean(each)
            for key, each in value.items()
            if each != [] and not (key in _DEFAULTS and _DEFAULTS[key] == each and (key != "restartPolicy" or whole))
        }
    return [lean(each) for each in value] if isinstance(value, list) else value


def entry(answer: Json) -> Json:
    """A case as the API server keeps it, with upstream's answers."""
    return {**lean(answer["stored"]), "answers": answer["answers"], "named": answer.get("named", {})}


def write(path: Path, entries: Iterable[Json]) -> str:
    """Write all of them, the same bytes for the same cases; says how many and how big."""
    lines = [msgspec.json.encode(each, order="deterministic") + b"\n" for each in entries]
    path.write_bytes(gzip.compress(b"".join(lines), compresslevel=9, mtime=0))
    return f"{len(lines)} clusters, {path.stat().st_size} bytes in {path}"


def append(path: Path, one: Json) -> str:
    """Add a case to a file of plain lines."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(one, order="deterministic") + b"\n")
    return f"added to {path}"


def read(path: Path) -> list[Json]:
    """What was written."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [msgspec.json.decode(line) for line in text.splitlines()]
