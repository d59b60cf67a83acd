"""Dovetail behind the oracle's protocol: `python -m e2e.oracle.replay`.

One JSON case a line on stdin, one JSON answer a line on stdout; go/main.go says which fields. Of kind allocate two more
are known: `others` (nodes beside the one asked about) and `taintRules` (DeviceTaintRules).
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from e2e.oracle import ours
from e2e.oracle.generator import Json

_LISTS: Final = ("claims", "classes", "slices", "allocatedClaims", "others", "taintRules")
_ROOMY: Final = {"cpu": "64", "memory": "1Ti", "pods": "110"}


class BadCaseError(Exception):
    """What a case lacks."""


def respond(line: bytes | str) -> Json:
    """The answer to one line; a line that is no case gets outcome bad-case."""
    question: Any = None
    try:
        question = msgspec.json.decode(line)
        if not isinstance(question, dict):
            raise BadCaseError("a case is a JSON object")
        found = _answered(question)
    except (BadCaseError, msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        text = str(error) if isinstance(error, BadCaseError | msgspec.DecodeError) else repr(error)
        found = {"outcome": "bad-case", "error": text}
    return {"id": question.get("id") if isinstance(question, dict) else None, **found}


def _answered(question: Json) -> Json:
    kind = question.get("kind") or "allocate"
    if kind == "cel":
        from e2e.oracle.cel_answer import answer_cel

        return dict(answer_cel(question))
    if kind != "allocate":
        raise BadCaseError(f"unknown kind {kind}")
    if not isinstance(question.get("node"), dict):
        raise BadCaseError("a case of kind allocate needs a node")
    given = ours.answer(completed(question))
    found: Json = {"outcome": given.outcome, "milliseconds": round(given.milliseconds, 3)}
    if given.outcome == "ok":
        return {**found, "results": given.results}
    return {**found, "error": given.error}


def completed(question: Json) -> Json:
    """The case as a cluster would have it: objects have names and uids of their own, claims are in the pod's namespace.

    Of the node only counts what the allocator reads: nothing keeps the pod off it but devices.
    """
    lists = {key: list(question.get(key) or []) for key in _LISTS}
    node = question["node"]
    declared = (node.get("status") or {}).get("declaredFeatures") or []
    status = {"allocatable": _ROOMY, **({"declaredFeatures": declared} if declared else {})}
    found = {key: [_named(key, i, item) for i, item in enumerate(items)] for key, items in lists.items()}
    for kept, namespace in (("claims", "default"), ("allocatedClaims", "held")):
        for i, item in enumerate(found[kept]):
            item["metadata"] |= {"namespace": namespace, "uid": f"{kept}-{i}"}
    names = [item["metadata"]["name"] for item in found["claims"]]
    for i, item in enumerate(found["claims"]):
        if names.count(names[i]) > 1:
            item["metadata"]["name"] = f"{names[i]}-{i}"
    for i, item in enumerate(found["allocatedClaims"]):
        item["metadata"]["name"] = f"held-{i}"
    case = {**question, **found, "node": {**_named("node", 0, node), "status": status}}
    case["node"].pop("spec", None)
    if case.get("features") is None:
        case.pop("features", None)
    return case


def _named(key: str, number: int, item: Json) -> Json:
    """A copy with metadata."""
    metadata = dict(item.get("metadata") or {})
    metadata["name"] = metadata.get("name") or f"{key}-{number}".lower()
    metadata["uid"] = metadata.get("uid") or f"{key}-{number}"
    return {**item, "metadata": metadata}


def replayed(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The answers, a line each; empty lines are passed over."""
    for line in lines:
        if line.strip():
            yield msgspec.json.encode(respond(line)) + b"\n"


def main() -> None:
    for line in replayed(sys.stdin.buffer):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
