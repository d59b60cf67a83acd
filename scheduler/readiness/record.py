"""What a cluster says of itself, as one document: what `--live` reads, `--record` writes and a SNAPSHOT holds.

A document has nothing in it that is not read here: no addresses, no UIDs, no labels of others, no environment but the
feature gates of device drivers.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scheduler.audit.sources import Problem
from scheduler.core import names
from scheduler.core.model import DeviceClass, Node, Slice
from scheduler.core.topology import LinkMap
from scheduler.core.topology.labels import CLIQUE
from scheduler.readiness.snapshot import RECORD, Raw, Snapshot, of_values, read

API_VERSION: Final = "readiness.dovetail.scheduler/v1alpha1"
KINDS: Final = frozenset({"Node", "ResourceSlice", "DeviceClass", "DaemonSet", "ConfigMap"})
LABELS: Final = (CLIQUE, names.OWNED)
TYPES: Final = frozenset({
    "Device", "DeviceAttribute", "DeviceClassSpec", "DeviceCounterConsumption", "DeviceRequest", "ExactDeviceRequest",
    "ResourceClaimStatus", "ResourceSliceSpec",
})  # fmt: skip
"""Types of resource.k8s.io whose fields tell something."""
FEATURES: Final = re.compile(
    r"DRA\w+|DynamicResourceAllocation|GenericWorkload|GangScheduling|\w*PodGroup\w*"
    r"|TaintTolerationComparisonOperators|StorageCapacityScoring"
)
"""Feature gates that a record keeps."""
_GATES: Final = "FEATURE_GATES"
_PLUGINS: Final = re.compile(r"\bdra\b|dranet|device-plugin|resource-driver")
"""What stands in the names of images whose DaemonSets are read; those of all others stay out of a record."""


class _Unread(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    what: str
    why: str


class Document(BaseModel):
    """A record as it stands in a file."""

    model_config = ConfigDict(strict=True, extra="forbid", populate_by_name=True)

    api_version: str = Field(default=API_VERSION, validation_alias="apiVersion", serialization_alias="apiVersion")
    kind: str = RECORD
    date: str = ""
    version: str = ""
    minor: int | None = None
    apis: dict[str, list[str]] | None = None
    groups: list[str] | None = None
    features: dict[str, bool] | None = None
    fields: dict[str, list[str]] | None = None
    unread: list[_Unread] = Field(default_factory=list)
    items: list[dict[str, Any]] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Workload:
    """A DaemonSet that brings devices: image names with tags, and the feature gates that its containers are given."""

    namespace: str
    name: str
    images: tuple[str, ...]
    gates: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a cluster; None where nothing is known, which is not the same as nothing there.

    version : of Kubernetes, empty if unknown. minor : of 1.minor. apis : kinds by group version, for the groups that
    matter. groups : all API groups. features : gates of the API server that answered. fields : of the DRA types, as its
    OpenAPI document has them. kubelets : version by node. unread : (what, why). plain : objects without a record.
    """

    date: str = ""
    version: str = ""
    minor: int | None = None
    apis: Mapping[str, frozenset[str]] | None = None
    groups: frozenset[str] | None = None
    features: Mapping[str, bool] | None = None
    fields: Mapping[str, frozenset[str]] | None = None
    slices: tuple[Slice, ...] = ()
    classes: tuple[DeviceClass, ...] = ()
    nodes: tuple[Node, ...] = ()
    kubelets: Mapping[str, str] = field(default_factory=dict)
    workloads: tuple[Workload, ...] = ()
    links: LinkMap | None = None
    unread: tuple[tuple[str, str], ...] = ()
    plain: bool = False

    def missing(self, what: str) -> str:
        """Why something could not be read; empty if it could, or if nobody tried."""
        return next((why for each, why in self.unread if each == what), "")


def from_files(paths: Sequence[str]) -> tuple[Record, list[Problem]]:
    """A record, or objects without one, from files; what is wrong with them is told."""
    snapshot = read(paths, KINDS | {RECORD})
    documents = [each for each in snapshot.found if each.kind == RECORD]
    for more in documents[1:]:
        snapshot.problems.append(Problem(more.file, more.line, "a second ClusterRecord: give one cluster at a time"))
    if not documents:
        if not snapshot.found and not snapshot.problems:
            known = ", ".join(sorted(KINDS))
            snapshot.problems.append(Problem(" ".join(paths), 0, f"holds no ClusterRecord, and nothing of {known}"))
        return _plain(snapshot), snapshot.problems
    [first, *_] = documents
    try:
        document = Document.model_validate({key: value for key, value in first.raw.items() if key != "metadata"})
        if document.api_version != API_VERSION:
            words = f"apiVersion {document.api_version} is not {API_VERSION}: record it anew"
            snapshot.problems.append(Problem(first.file, first.line, words))
        inner = of_values(document.items, KINDS, first.file, first.line)
    except ValidationError as error:
        snapshot.problems.append(Problem(first.file, first.line, _words(error)))
        return Record(), snapshot.problems
    snapshot.found += inner.found
    snapshot.problems += inner.problems
    return of_snapshot(snapshot, document), snapshot.problems


def _plain(snapshot: Snapshot) -> Record:
    """Of objects alone: kinds of which there are none may have been left out of the files."""
    there = {each.kind for each in snapshot.found}
    absent = [(kind, "there is none in the files") for kind in sorted(KINDS - there - {"ConfigMap"})]
    return replace(of_snapshot(snapshot, Document()), unread=tuple(absent), plain=True)


def of_document(document: Document) -> tuple[Record, list[Problem]]:
    """The record that a document of a live cluster stands for; what cannot be understood is left out and told."""
    snapshot = of_values(document.items, KINDS, "cluster")
    return of_snapshot(snapshot, document), snapshot.problems


def of_snapshot(snapshot: Snapshot, document: Document) -> Record:
    """The record of a document whose items are in the snapshot."""
    links = [each for each in snapshot.decoded("ConfigMap") if each is not None] if _told(snapshot) else []
    nodes = snapshot.decoded("Node")
    return Record(
        date=document.date,
        version=document.version,
        minor=document.minor,
        apis=None if document.apis is None else {key: frozenset(kinds) for key, kinds in document.apis.items()},
        groups=None if document.groups is None else frozenset(document.groups),
        features=document.features,
        fields=None if document.fields is None else {key: frozenset(each) for key, each in document.fields.items()},
        slices=tuple(snapshot.decoded("ResourceSlice")),
        classes=tuple(snapshot.decoded("DeviceClass")),
        nodes=tuple(nodes),
        kubelets={
            each.raw["metadata"].get("name", ""): version
            for each in snapshot.found
            if each.kind == "Node" and (version := _kubelet(each.raw))
        },
        workloads=tuple(_workload(each.raw) for each in snapshot.found if each.kind == "DaemonSet"),
        links=links[0] if links else None,
        unread=tuple((each.what, each.why) for each in document.unread),
    )


def written(document: Document) -> str:
    """A document as JSON that people can compare: an object a line."""
    head = document.model_dump(by_alias=True, exclude={"items"}, exclude_none=True)
    items = ",\n".join("  " + json.dumps(item, sort_keys=True, separators=(", ", ": ")) for item in document.items)
    text = json.dumps(head, indent=1).removesuffix("\n}")
    return f'{text},\n "items": [\n{items}\n ]\n}}\n' if items else f'{text},\n "items": []\n}}\n'


# ---------------------------------------------------------------- what is read of an object


def stripped(items: Iterable[Raw]) -> list[Raw]:
    """Objects with nothing in them that is not read here; those that nobody reads are left out."""
    kept = (_KEPT[item["kind"]](item) for item in items if item.get("kind") in _KEPT)
    return [each for each in kept if each is not None]


def _head(item: Raw) -> Raw:
    metadata = item.get("metadata") or {}

    return {
        "apiVersion": item.get("apiVersion"),
        "kind": item.get("kind"),
        "metadata": {key: metadata[key] for key in ("name", "namespace") if metadata.get(key)},
    }


def _spec(item: Raw) -> Raw:
    return {**_head(item), "spec": item.get("spec")}


def _node(item: Raw) -> Raw:
    metadata, status = item.get("metadata") or {}, item.get("status") or {}
    found = _head(item)
    for part, keys in (("labels", LABELS), ("annotations", (names.LINKS,))):
        kept = {key: value for key, value in (metadata.get(part) or {}).items() if key in keys}
        if kept:
            found["metadata"][part] = kept
    devices = {key: value for key, value in (status.get("allocatable") or {}).items() if names.is_extended(key)}
    told = {
        **({"allocatable": devices} if devices else {}),
        **({"declaredFeatures": status["declaredFeatures"]} if status.get("declaredFeatures") else {}),
        **({"nodeInfo": {"kubeletVersion": version}} if (version := _kubelet(item)) else {}),
    }
    return {**found, "status": told}


def _kubelet(item: Raw) -> str:
    status = item.get("status")
    info = status.get("nodeInfo") if isinstance(status, dict) else None
    version = info.get("kubeletVersion") if isinstance(info, dict) else None
    return version if isinstance(version, str) else ""


def _daemon_set(item: Raw) -> Raw | None:
    containers = []
    for each in _containers(item):
        image = each.get("image")
        if not isinstance(image, str) or not _PLUGINS.search(_plain_image(image)):
            continue
        given = [entry for entry in each.get("env") or () if isinstance(entry, dict) and entry.get("name") == _GATES]
        args = [text for text in _texts(each) if "feature-gates" in text]
        kept = {"name": each.get("name"), "image": image}
        containers.append({**kept, **({"env": given} if given else {}), **({"args": args} if args else {})})
    if not containers:
        return None
    return {**_head(item), "spec": {"template": {"spec": {"containers": containers}}}}


def _config_map(item: Raw) -> Raw | None:
    data = item.get("data") or {}
    if not _is_map(item) or names.TOPOLOGY_KEY not in data:
        return None
    return {**_head(item), "data": {names.TOPOLOGY_KEY: data[names.TOPOLOGY_KEY]}}


_KEPT: Final = {
    "ResourceSlice": _spec, "DeviceClass": _spec, "Node": _node, "DaemonSet": _daemon_set, "ConfigMap": _config_map,
}  # fmt: skip


def _is_map(item: Raw) -> bool:
    metadata = item.get("metadata") or {}
    return (metadata.get("namespace"), metadata.get("name")) == (names.NAMESPACE, names.TOPOLOGY_MAP)


def _told(snapshot: Snapshot) -> bool:
    """Whether there is a map of links; ConfigMaps of others are forgotten."""
    snapshot.found = [each for each in snapshot.found if each.kind != "ConfigMap" or _is_map(each.raw)]
    return any(each.kind == "ConfigMap" for each in snapshot.found)


def _containers(item: Raw) -> list[Raw]:
    found: Any = item
    for key in ("spec", "template", "spec", "containers"):
        found = found.get(key) if isinstance(found, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _texts(container: Raw) -> list[str]:
    parts = (container.get("command"), container.get("args"))
    return [each for part in parts if isinstance(part, list) for each in part if isinstance(each, str)]


def _plain_image(image: str) -> str:
    """Without registry, tag and digest."""
    path = image.partition("@")[0]
    return path.rpartition(":")[0] or path


def _workload(item: Raw) -> Workload:
    containers = _containers(item)
    texts = [text.partition("feature-gates=")[2] for each in containers for text in _texts(each)]
    for each in containers:
        environment = each.get("env")
        for entry in environment if isinstance(environment, list) else ():
            if isinstance(entry, dict) and entry.get("name") == _GATES and isinstance(entry.get("value"), str):
                texts.append(entry["value"])
    pairs = [part.partition("=") for text in texts for part in text.split(",") if part]
    metadata = item["metadata"]
    return Workload(
        namespace=metadata.get("namespace") or "",
        name=metadata.get("name") or "",
        images=tuple(image for each in containers if isinstance(image := each.get("image"), str)),
        gates={name.strip(): value.strip() == "true" for name, equals, value in pairs if equals},
    )


def _words(error: ValidationError) -> str:
    first = error.errors()[0]
    path = ".".join(str(step) for step in first["loc"])
    return f"{RECORD}: {path}: {first['msg'][:1].lower()}{first['msg'][1:]}"
