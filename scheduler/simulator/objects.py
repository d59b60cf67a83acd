"""Kubernetes objects from files: YAML or JSON, many documents, Lists; checked before anything is done with them.

What a file says is never trusted to be small, flat or well typed: anchors that multiply, endless nesting, NaN and
duplicate keys are refused with the place where they stand.
"""

import errno
import json
import math
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError

from scheduler.cluster.documents import too_deep
from scheduler.core.errors import InputError
from scheduler.core.names import NAMESPACE, TOPOLOGY_MAP, suffix

Raw = dict[str, Any]

MAX_FILE: Final = 256 * 2**20  # bytes
MAX_PARTS: Final = 20_000_000  # values in one document, aliases counted as often as they are used
MAX_DEPTH: Final = 100
PATIENCE_S: Final = 1.0  # for somebody who writes into a pipe
DRA: Final = "resource.k8s.io/v1"
KINDS: Final[Mapping[str, frozenset[str]]] = {
    "v1": frozenset({"Namespace", "Node", "Pod", "ConfigMap", "PersistentVolume", "PersistentVolumeClaim"}),
    "storage.k8s.io/v1": frozenset({"StorageClass", "CSINode", "CSIDriver", "CSIStorageCapacity", "VolumeAttachment"}),
    DRA: frozenset({"ResourceSlice", "DeviceClass", "DeviceTaintRule", "ResourceClaim", "ResourceClaimTemplate"}),
    "apps/v1": frozenset({"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"}),
    "batch/v1": frozenset({"Job", "CronJob"}),
    "leaderworkerset.x-k8s.io/v1": frozenset({"LeaderWorkerSet"}),
    "jobset.x-k8s.io/v1alpha2": frozenset({"JobSet"}),
    "kubeflow.org/v1": frozenset({"PyTorchJob", "TFJob", "XGBoostJob", "PaddleJob", "JAXJob", "MPIJob"}),
    "kubeflow.org/v2beta1": frozenset({"MPIJob"}),
    "scheduling.k8s.io/v1": frozenset({"PriorityClass"}),
}
CLUSTERED: Final = frozenset(
    {
        "Namespace", "Node", "ResourceSlice", "DeviceClass", "DeviceTaintRule", "PriorityClass", "PersistentVolume",
        "StorageClass", "CSINode", "CSIDriver", "VolumeAttachment",
    }
)  # fmt: skip
_OLD_DRA_KINDS: Final = KINDS[DRA] | {"ResourceClass"}
_OLD: Final[Mapping[str, str]] = {
    "v1beta2": "its shape is that of v1: change apiVersion to resource.k8s.io/v1",
    "v1alpha3": "`dovetail migrate` makes v1 of it",
    "v1beta1": "change apiVersion to resource.k8s.io/v1, move everything of a request but its name under `exactly`, "
    "and what is under `basic` of a slice's device one level up",
}


@dataclass(frozen=True, slots=True)
class Found:
    """An object and where it stands, in words for messages."""

    raw: Raw
    where: str

    @property
    def kind(self) -> str:
        """As the API names it."""
        kind: str = self.raw["kind"]
        return kind

    @property
    def key(self) -> str:
        """Its name, or namespace/name."""
        return key_of(self.raw)


@dataclass(slots=True)
class Objects:
    """What the files hold: objects, and how many of each kind that a simulation has no use for."""

    found: list[Found] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def key_of(raw: Mapping[str, Any]) -> str:
    """Name, or namespace/name."""
    metadata = raw["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def read(files: Sequence[Path], beside: Sequence[Raw] = ()) -> Objects:
    """Everything in these files; `-` is standard input. Raises InputError.

    beside : further objects, of which those count that no file has.
    """
    objects = Objects()
    for file in files:
        name, text = _text(file)
        for where, document in documents(name, text):
            _take(document, where, objects)
    _refuse_repeats(objects)
    known = {(each.kind, each.key) for each in objects.found}
    objects.found += [Found(raw, "fleet") for raw in beside if (raw["kind"], key_of(raw)) not in known]
    return objects


def parse(name: str, text: str) -> Objects:
    """Everything in one text; `name` stands for it in messages. Raises InputError."""
    objects = Objects()
    for where, document in documents(name, text):
        _take(document, where, objects)
    _refuse_repeats(objects)
    return objects


def documents(name: str, text: str) -> Iterator[tuple[str, Any]]:
    """Each document with where it stands. Raises InputError."""
    try:
        if text.lstrip()[:1] in {"{", "["}:
            found = list(_json_documents(name, text))
        else:
            found = list(_yaml_documents(name, text))
    except RecursionError as error:
        raise InputError(name, f"is nested more than {MAX_DEPTH} levels deep") from error
    for where, document in found:
        if document is not None:
            _refuse_size(document, where)
            yield where, _plain(document, where, "", 0)


# ---------------------------------------------------------------- texts


def _text(file: Path) -> tuple[str, str]:
    name = "standard input" if str(file) == "-" else str(file)
    try:
        if name == "standard input":
            content = sys.stdin.buffer.read(MAX_FILE + 1)
        else:
            content = _piped(file) if file.is_fifo() else _content(file)
    except OSError as error:
        raise InputError(name, f"cannot be read ({error.strerror})", "check path and permissions") from error
    if len(content) > MAX_FILE:
        raise InputError(name, f"is larger than {MAX_FILE // 2**20} MiB", "split it")
    try:
        return name, content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{name}, line {line}", "is not UTF-8 text") from error


def _content(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(MAX_FILE + 1)


def _piped(file: Path) -> bytes:
    """What comes out of a named pipe, as long as somebody writes into it. Raises OSError."""
    pipe = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(pipe, "rb") as stream:
        until = time.monotonic() + PATIENCE_S
        first = b""
        while not first:
            try:
                first = os.read(pipe, 2**16)
            except BlockingIOError:  # somebody has it open, and will write
                break
            if not first:
                if time.monotonic() > until:
                    raise OSError(errno.EPIPE, "nobody writes into this pipe")
                time.sleep(0.02)
        os.set_blocking(pipe, True)
        return first + stream.read(MAX_FILE + 1)


def _json_documents(name: str, text: str) -> Iterator[tuple[str, Any]]:
    decoder = json.JSONDecoder(object_pairs_hook=_unique)
    at, number = 0, 0
    while True:
        while text[at : at + 1].isspace():
            at += 1
        if at >= len(text):
            return
        number += 1
        line = text.count("\n", 0, at) + 1
        where = f"{name}, document {number} (line {line})"
        try:
            document, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            if number == 1 and not name.endswith(".json"):  # a YAML flow mapping may begin with a brace too
                yield from _yaml_documents(name, text)
                return
            raise InputError(f"{name}, line {error.lineno}", f"is not JSON ({error.msg})") from error
        except _DuplicateKeyError as error:
            raise InputError(where, f"key {error.key!r} appears twice in one object", "remove one") from error
        yield where, document


class _DuplicateKeyError(Exception):
    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(key)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counted = Counter(key for key, _ in pairs)
        raise _DuplicateKeyError(counted.most_common(1)[0][0])
    return found


class _Constructor(SafeConstructor):
    """Leaves times as the text they are: JSON has no other."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


def _yaml_documents(name: str, text: str) -> Iterator[tuple[str, Any]]:
    deep = too_deep(text, MAX_DEPTH)
    if deep is not None:
        raise InputError(f"{name}, line {deep}", f"is nested more than {MAX_DEPTH} levels deep")
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    number = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML 1.2 allows it: the latest one counts
            nodes = list(yaml.compose_all(text))
        for node in nodes:
            number += 1
            if node is None:
                continue
            where = f"{name}, document {number} (line {node.start_mark.line + 1})"
            yield where, yaml.constructor.construct_document(node)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}, line {mark.line + 1}" if mark is not None else name
        words = " ".join(str(error.problem or error.context or error).split())
        remedy = "indent with spaces" if "'\\t'" in words else ""
        raise InputError(place, f"is not YAML ({words[:300]})", remedy) from error
    except (YAMLError, ValueError, OverflowError) as error:
        words = " ".join(str(error).split())
        raise InputError(f"{name}, document {number + 1}", f"is not YAML ({words[:300]})") from error


def _refuse_size(document: Any, where: str) -> None:
    """Count values with every alias written out, looking at each only once. Raises InputError."""
    sizes: dict[int, int] = {}

    def size(value: Any, depth: int) -> int:
        if not isinstance(value, dict | list):
            return 1
        if depth > MAX_DEPTH:
            raise InputError(where, f"is nested more than {MAX_DEPTH} levels deep, or an alias holds itself")
        known = sizes.get(id(value))
        if known is None:
            inner = value.values() if isinstance(value, dict) else value
            known = sizes[id(value)] = 1 + sum(size(each, depth + 1) for each in inner)
        return known

    if size(document, 0) > MAX_PARTS:
        raise InputError(where, f"holds more than {MAX_PARTS} values once its aliases are written out")


def _plain(value: Any, where: str, path: str, depth: int) -> Any:
    """A copy that JSON can hold and that shares nothing, so that an alias is a value like any other."""
    if depth > MAX_DEPTH:
        raise InputError(where, f"is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        return {
            _key(key, where, path): _plain(inner, where, f"{path}.{key}" if path else str(key), depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_plain(inner, where, f"{path}[{index}]", depth + 1) for index, inner in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(where, f"{path}: {value} is not a number in JSON", "give a finite number")
    if value is None or isinstance(value, str | int | float):
        return value
    raise InputError(where, f"{path}: a value of type {type(value).__name__} is not JSON", "remove its YAML tag")


def _key(key: Any, where: str, path: str) -> str:
    """Keys that YAML reads as numbers or booleans are texts to Kubernetes."""
    if isinstance(key, str):
        return key
    if isinstance(key, bool | int | float) or key is None:
        return json.dumps(key)
    raise InputError(where, f"{path or 'object'}: a key of type {type(key).__name__} is not JSON")


# ---------------------------------------------------------------- objects


def _take(document: Any, where: str, objects: Objects) -> None:
    if not isinstance(document, dict):
        raise InputError(where, f"is a {_named(document)}, not a Kubernetes object", "begin with apiVersion and kind")
    version, kind = document.get("apiVersion"), document.get("kind")
    if not isinstance(version, str) or not version:
        raise InputError(where, "apiVersion: is missing")
    if not isinstance(kind, str) or not kind:
        raise InputError(where, "kind: is missing")
    if kind.endswith("List") and "items" in document:
        _take_list(document, version, kind, where, objects)
        return
    _refuse_old(version, kind, where, document)
    if kind not in KINDS.get(version, ()) or (kind == "ConfigMap" and not _tells_topology(document)):
        objects.skipped[kind] += 1
        return
    objects.found.append(Found(_named_object(document, kind, where), where))


def _tells_topology(document: Raw) -> bool:
    """Whether it is the one ConfigMap that matters here."""
    metadata = document.get("metadata")
    return isinstance(metadata, dict) and (metadata.get("namespace"), metadata.get("name")) == (NAMESPACE, TOPOLOGY_MAP)


def _named(document: Any) -> str:
    return {list: "list", str: "text", bool: "boolean"}.get(type(document), "number")


def _take_list(document: Raw, version: str, kind: str, where: str, objects: Objects) -> None:
    items = document["items"] or []
    if not isinstance(items, list):
        raise InputError(where, "items: is not a list")
    for index, item in enumerate(items):
        # Items of a typed list, such as PodList, come without kind and apiVersion.
        typed = isinstance(item, dict) and kind != "List" and "kind" not in item
        full = {"apiVersion": version, "kind": kind.removesuffix("List"), **item} if typed else item
        _take(full, f"{where}, items[{index}]", objects)


def _refuse_old(version: str, kind: str, where: str, document: Raw) -> None:
    group, _, number = version.partition("/")
    if group != "resource.k8s.io" or number == "v1" or kind not in _OLD_DRA_KINDS:
        return
    metadata = document.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    remedy = _OLD.get(number, "write it anew for resource.k8s.io/v1: nothing converts it")
    raise InputError(where, f"{kind} {name}: apiVersion {version} is no longer served", remedy)


def _named_object(document: Raw, kind: str, where: str) -> Raw:
    metadata = document.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise InputError(where, f"{kind}: metadata: is not an object")
    metadata = dict(metadata)
    if not metadata.get("name") and isinstance(metadata.get("generateName"), str):
        content = json.dumps(document, sort_keys=True)
        metadata["name"] = metadata["generateName"] + suffix("generateName", content)
    refuse_metadata(metadata, where, f"{kind}: metadata")
    if not metadata.get("name"):
        raise InputError(where, f"{kind}: metadata.name: is missing")
    if kind in CLUSTERED:
        metadata.pop("namespace", None)
    elif not metadata.get("namespace"):
        metadata["namespace"] = "default"
    return {**document, "metadata": metadata}


def refuse_metadata(metadata: Mapping[str, Any], where: str, path: str) -> None:
    """Refuse what of an ObjectMeta the simulator reads and cannot. Raises InputError."""
    for key in ("name", "namespace", "uid"):
        if not isinstance(metadata.get(key) or "", str):
            raise InputError(where, f"{path}.{key}: is not a text", "quote it")
    for key in ("labels", "annotations"):
        texts = metadata.get(key) or {}
        if not isinstance(texts, dict):
            raise InputError(where, f"{path}.{key}: is not an object")
        for name, text in texts.items():
            if not isinstance(text, str):
                raise InputError(where, f"{path}.{key}.{name}: {json.dumps(text)[:60]} is not a text", "quote it")
    for key in ("ownerReferences", "finalizers"):
        kind: type = dict if key == "ownerReferences" else str
        items = metadata.get(key) or []
        if not isinstance(items, list) or not all(isinstance(item, kind) for item in items):
            raise InputError(where, f"{path}.{key}: is not a list of {'objects' if kind is dict else 'texts'}")


def _refuse_repeats(objects: Objects) -> None:
    """One object given twice in the same words is one; in different words it is a mistake."""
    known: dict[tuple[str, str], Found] = {}
    uids: dict[str, Found] = {}
    kept = []
    for each in objects.found:
        other = known.setdefault((each.kind, each.key), each)
        if other is not each:
            if other.raw == each.raw:
                continue
            raise InputError(each.where, f"{each.kind} {each.key} differs from the one at {other.where}", "keep one")
        uid = each.raw["metadata"].get("uid")
        if uid and uids.setdefault(uid, each) is not each:
            other = uids[uid]
            raise InputError(
                each.where,
                f"{each.kind} {each.key}: metadata.uid: {uid} belongs to {other.kind} {other.key} at {other.where}",
                "remove it; one is made up",
            )
        kept.append(each)
    objects.found = kept
