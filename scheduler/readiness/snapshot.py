"""Objects of a cluster from files: YAML or JSON, many documents, Lists, every one with its place.

A text can do no harm, whatever is in it: files, YAML and what they may hold at most are those of the audit; JSON, which
programs write and which is larger, is read by the standard library, and bounded by its marks before.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scheduler.audit.sources import Problem, Source, raw
from scheduler.audit.tree import MAX_DEPTH, MAX_FILE_VALUES, Fields, Items, Node, Scalar, TreeError, chunks, parse
from scheduler.cluster import decode
from scheduler.cluster.documents import scalar
from scheduler.core.errors import DecodeError
from scheduler.core.names import suffix

Raw = dict[str, Any]

MAX_JSON: Final = 2_000_000
"""Brackets, braces, colons and commas of one JSON text; a device has about sixty."""
DRA: Final = "resource.k8s.io"
RECORD: Final = "ClusterRecord"
"""A document of `readiness --record`: no object of an API, so it has no metadata."""
CLUSTERED: Final = frozenset({"Node", "ResourceSlice", "DeviceClass", "DeviceTaintRule"})
_ALPHA: Final = frozenset({"v1alpha1", "v1alpha2"})  # claims and classes of another design
_NOT_JSON: Final = re.compile(r"[\[{,:]\s*-?(NaN|Infinity)\b")


@dataclass(frozen=True, slots=True)
class Found:
    """An object and where it stands. line : from 1, 0 where it came from no file."""

    raw: Raw
    file: str
    line: int = 0

    @property
    def kind(self) -> str:
        """As the API names it."""
        return str(self.raw["kind"])


@dataclass(slots=True)
class Snapshot:
    """What files hold: objects, how many of kinds that nobody asked for, and what could not be read."""

    found: list[Found] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def decoded(self, kind: str) -> list[Any]:
        """The model objects of a kind; what is none is a problem."""
        made = []
        for each in self.found:
            if each.kind != kind:
                continue
            try:
                made.append(decode.decode(kind, each.raw))
            except DecodeError as error:
                self.problems.append(Problem(each.file, each.line, str(error)))
        return made


def read(paths: Sequence[str], kinds: frozenset[str]) -> Snapshot:
    """The objects of these kinds in files and folders; `-` is standard input."""
    snapshot = Snapshot()
    for path in paths:
        for source in raw(path):
            if isinstance(source, Problem):
                snapshot.problems.append(source)
                continue
            try:
                for line, value in _values(source):
                    _take(value, source.name, line, kinds, snapshot)
            except TreeError as error:
                snapshot.problems.append(Problem(source.name, error.line, str(error)))
    _refuse_repeats(snapshot)
    return snapshot


def of_values(values: Sequence[Raw], kinds: frozenset[str], where: str, line: int = 0) -> Snapshot:
    """The objects of these kinds among those that a cluster or a record gave."""
    snapshot = Snapshot()
    for index, value in enumerate(values):
        try:
            _take(value, where, line, kinds, snapshot)
        except TreeError as error:
            snapshot.problems.append(Problem(where, line, f"items[{index}]: {error}"))
    return snapshot


# ---------------------------------------------------------------- texts


def _values(source: Source) -> Iterator[tuple[int, Any]]:
    """(line, value) of each object in a text, Lists taken apart. Raises TreeError."""
    if source.text.lstrip()[:1] in {"{", "["}:
        try:
            yield from list(_json_values(source.text))
            return
        except json.JSONDecodeError as error:
            if source.name.endswith(".json"):
                raise TreeError(error.lineno, f"is not JSON ({error.msg})") from None
            # A YAML mapping may begin with a brace, too.
    values = 0
    for start, end, line in chunks(source.text):
        document = parse(source.text, start, end, line)
        values += document.values
        if values > MAX_FILE_VALUES:
            raise TreeError(line, f"holds more than {MAX_FILE_VALUES} values: split it, or give it as JSON")
        yield from _apart(document.root)


def _json_values(text: str) -> Iterator[tuple[int, Any]]:
    if sum(text.count(mark) for mark in "[{:,") > MAX_JSON:
        raise TreeError(1, f"holds more than about {MAX_JSON // 2} values: split it")
    decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)
    at, line, counted = 0, 1, 0
    while True:
        while text[at : at + 1].isspace():
            at += 1
        if at >= len(text):
            return
        line += text.count("\n", counted, at)
        counted = at
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            raise
        except RecursionError:
            raise TreeError(line, f"is nested more than {MAX_DEPTH} levels deep") from None
        except _TwiceError as error:
            raise TreeError(line, f"gives key {error.key[:60]!r} twice in one object: keep one") from None
        except ValueError as error:  # a number of more digits than Python reads, or none of JSON
            odd = _NOT_JSON.search(text, at)
            place = text.count("\n", 0, odd.start(1)) + 1 if odd else line
            raise TreeError(place, f"is not JSON ({str(error)[:100]})") from None
        items = value.get("items") if isinstance(value, dict) else None
        if _is_list(value) and isinstance(items, list):
            yield from ((line, _typed(value, item)) for item in items)
        else:
            yield line, value


class _TwiceError(Exception):
    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(key)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError(Counter(key for key, _ in pairs).most_common(1)[0][0])
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def _apart(root: Node | None) -> Iterator[tuple[int, Any]]:
    if root is None or (isinstance(root, Scalar) and root.null):
        return
    if isinstance(root, Fields) and root.text("kind").endswith("List"):
        items = root.get("items")
        if isinstance(items, Items):
            whole = {key: root.text(key) for key in ("apiVersion", "kind")}
            yield from ((item.line, _typed(whole, _plain(item))) for item in items.children)
            return
    yield root.line, _plain(root)


def _plain(node: Node) -> Any:
    if isinstance(node, Fields):
        return {key: _plain(value) for key, (_, value) in node.entries.items()}
    if isinstance(node, Items):
        return [_plain(each) for each in node.children]
    value = scalar(node.text) if node.plain else node.text
    if isinstance(value, float) and not math.isfinite(value):
        raise TreeError(node.line, f"has {node.text} where a number is meant: give a finite one")
    return value


# ---------------------------------------------------------------- objects


def _is_list(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("kind"), str) and value["kind"].endswith("List")


def _typed(whole: Mapping[str, Any], item: Any) -> Any:
    """Items of a typed list, such as PodList, come without kind and apiVersion."""
    if isinstance(item, dict) and "kind" not in item and whole["kind"] != "List":
        return {"apiVersion": whole.get("apiVersion"), "kind": whole["kind"].removesuffix("List"), **item}
    return item


def _take(value: Any, file: str, line: int, kinds: frozenset[str], snapshot: Snapshot) -> None:
    """Raises TreeError."""
    if not isinstance(value, dict):
        sort = {list: "list", str: "text", bool: "truth value", type(None): "null"}.get(type(value), "number")
        raise TreeError(line, f"is a {sort}, not a Kubernetes object: begin with apiVersion and kind")
    for key in ("apiVersion", "kind"):
        if not isinstance(value.get(key), str) or not value[key]:
            raise TreeError(line, f"{key}: is {'no text' if key in value else 'missing'}")
    group, _, version = value["apiVersion"].rpartition("/")
    kind = value["kind"]
    if kind not in kinds or (kind == "ConfigMap" and version != "v1"):
        snapshot.skipped[kind] += 1
        return
    if group == DRA and version in _ALPHA:
        raise TreeError(line, f"{kind}: {DRA}/{version} is another design: give what the cluster serves now")
    metadata = value.get("metadata")
    if kind == RECORD:
        snapshot.found.append(Found({**value, "metadata": {}}, file, line))
        return
    if not isinstance(metadata, dict):
        raise TreeError(line, f"{kind}: metadata: is {'no mapping' if 'metadata' in value else 'missing'}")
    for key in ("name", "namespace", "uid"):
        given = metadata.get(key)
        if given is not None and not (isinstance(given, str) and _encodes(given)):
            raise TreeError(line, f"{kind}: metadata.{key}: is no text: quote it")
    metadata = dict(metadata)
    if kind not in CLUSTERED and not metadata.get("namespace"):
        metadata["namespace"] = "default"
    name = "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))
    if not metadata.get("uid"):
        metadata["uid"] = f"{name}-{suffix(kind, name)}"
    found = {**value, "metadata": metadata}
    snapshot.found.append(Found(_flat(found) if kind == "ResourceSlice" else found, file, line))


def _encodes(text: str) -> bool:
    """Whether a text is one: JSON can hold halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _flat(value: Raw) -> Raw:
    """A ResourceSlice of v1beta1 in the shape of v1: what stands under `basic` of a device belongs to the device."""
    spec = value.get("spec")
    devices = spec.get("devices") if isinstance(spec, dict) else None
    if not isinstance(devices, list) or not any(isinstance(each, dict) and "basic" in each for each in devices):
        return value
    flat = [
        {**{key: inner for key, inner in each.items() if key != "basic"}, **each["basic"]}
        if isinstance(each, dict) and isinstance(each.get("basic"), dict)
        else each
        for each in devices
    ]
    return {**value, "spec": {**(spec or {}), "devices": flat}}


def _refuse_repeats(snapshot: Snapshot) -> None:
    """An object that stands in a snapshot twice would count twice."""
    seen: dict[tuple[str, Any, Any], Found] = {}
    for each in snapshot.found:
        if each.kind == RECORD:
            continue
        metadata = each.raw["metadata"]
        key = (each.kind, metadata.get("namespace"), metadata.get("name"))
        first = seen.setdefault(key, each)
        if first is not each:
            place = f"{first.file}:{first.line}"
            words = f"{each.kind} {metadata.get('name')} stands in {place}, too: keep one"
            snapshot.problems.append(Problem(each.file, each.line, words))
