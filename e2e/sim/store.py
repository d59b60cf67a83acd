"""What an API server keeps, and what it refuses: objects under one revision, as Kubernetes 1.37 validates them.

The rules are those of resource.k8s.io validation and strategy and of the pods/binding handler. Objects are plain JSON
and never changed in place.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

Raw = dict[str, Any]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
FINALIZER = "resource.kubernetes.io/delete-protection"
ADMIN_LABEL = "resource.kubernetes.io/admin-access"
KINDS = (
    "Node", "DeviceClass", "DeviceTaintRule", "ResourceSlice", "ResourceClaimTemplate", "ResourceClaim", "PodGroup",
    "ConfigMap", "Pod", "Lease", "Namespace", "PersistentVolumeClaim", "PersistentVolume", "StorageClass", "CSINode",
    "CSIDriver", "CSIStorageCapacity", "VolumeAttachment",
)  # fmt: skip
FINALIZED = frozenset({"ResourceClaim", "PersistentVolumeClaim", "PersistentVolume"})
MERGE_KEYS = {"reservedFor": "uid", "conditions": "type"}
MAX_CONSUMERS = 256
MAX_RESULTS = 32
_encode = msgspec.json.encode


class RefusedError(Exception):
    """The server says no."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        self.code, self.reason, self.message = code, reason, message
        super().__init__(f"{code} {reason}: {message}")


class Item:
    """One revision of one object."""

    __slots__ = ("_bytes", "key", "kind", "raw", "uid", "version")

    def __init__(self, kind: str, key: str, raw: Raw, version: int) -> None:
        self.kind, self.key, self.raw, self.version = kind, key, raw, version
        self.uid: str = raw["metadata"]["uid"]
        self._bytes: bytes | None = None

    @property
    def bytes(self) -> bytes:
        if self._bytes is None:
            self._bytes = _encode(self.raw)
        return self._bytes

    @property
    def deleting(self) -> bool:
        return "deletionTimestamp" in self.raw["metadata"]

    @property
    def spec(self) -> Raw:
        return self.raw.get("spec") or {}

    @property
    def status(self) -> Raw:
        return self.raw.get("status") or {}


@dataclass(frozen=True, slots=True)
class Change:
    """`who` made `new` of `old`; None: it is not there."""

    version: int
    time: float
    old: Item | None
    new: Item | None
    who: str
    what: str

    @property
    def item(self) -> Item:
        found = self.new or self.old
        assert found is not None
        return found


def key_of(raw: Raw) -> str:
    namespace = raw["metadata"].get("namespace")
    return f"{namespace}/{raw['metadata']['name']}" if namespace else raw["metadata"]["name"]


def done(pod: Raw) -> bool:
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


class Log:
    """What watchers of a kind are told, in order."""

    def __init__(self) -> None:
        self.versions: list[int] = []
        self.lines: list[bytes] = []
        self.items: list[Item] = []
        self.compacted = 0  # nothing up to here is known any more
        self.dropped = 0  # entries that were compacted

    def add(self, version: int, kind: str, item: Item) -> None:
        self.versions.append(version)
        self.lines.append(b'{"type":"%s","object":%s}\n' % (kind.encode(), item.bytes))
        self.items.append(item)

    def after(self, version: int) -> int:
        """The place of the first entry behind a version, counted from the beginning of time."""
        return self.dropped + bisect_right(self.versions, version)

    def compact(self, version: int) -> None:
        cut = bisect_right(self.versions, version)
        del self.versions[:cut], self.lines[:cut], self.items[:cut]
        self.dropped += cut
        self.compacted = max(self.compacted, version)

    @property
    def end(self) -> int:
        return self.dropped + len(self.versions)


class Store:
    """All objects.

    listeners : told of every change, in order. now : seconds since the beginning.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.version = 100
        self.objects: dict[str, dict[str, Item]] = {kind: {} for kind in KINDS}
        self.logs = {kind: Log() for kind in KINDS}
        self.listeners: list[Callable[[Change], None]] = []
        self._made = 0

    # ------------------------------------------------------------ reading

    def get(self, kind: str, key: str) -> Item:
        found = self.objects[kind].get(key)
        if found is None:
            raise RefusedError(404, "NotFound", f"{kind} {key} not found")
        return found

    def find(self, kind: str, key: str) -> Item | None:
        return self.objects[kind].get(key)

    def all(self, kind: str) -> Iterable[Item]:
        return list(self.objects[kind].values())

    def timestamp(self) -> str:
        return (EPOCH + timedelta(seconds=int(self.now()))).strftime("%Y-%m-%dT%H:%M:%SZ")

    # ------------------------------------------------------------ writing

    def create(self, raw: Raw, who: str) -> Item:
        kind, key = raw["kind"], key_of(raw)
        if key in self.objects[kind]:
            raise RefusedError(409, "AlreadyExists", f"{kind} {key} already exists")
        self._made += 1
        metadata = {**raw["metadata"], "uid": f"{kind.lower()}-{self._made:06d}", "creationTimestamp": self.timestamp()}
        found = {**raw, "metadata": metadata}
        if kind == "Pod":
            found["status"] = {"phase": "Pending", **(raw.get("status") or {})}
        elif kind == "ResourceClaim":
            found.pop("status", None)
            self._admit_claim(found)
        return self._put(None, found, who, "create")

    def _admit_claim(self, claim: Raw) -> None:
        asked = [each.get("exactly") or {} for each in claim["spec"]["devices"]["requests"]]
        if any(each.get("adminAccess") for each in asked):
            namespace = self.find("Namespace", claim["metadata"]["namespace"])
            labels = (namespace.raw["metadata"].get("labels") or {}) if namespace else {}
            if labels.get(ADMIN_LABEL) != "true":
                raise RefusedError(422, "Invalid", "admin access needs a namespace with the label")

    def update(self, kind: str, key: str, change: Callable[[Raw], Raw], who: str, what: str = "update") -> Item | None:
        """What an actor makes of an object; nothing happens if that is the same."""
        found = self.objects[kind].get(key)
        if found is None:
            return None
        made = change(found.raw)
        return found if made == found.raw else self._put(found, made, who, what)

    def remove(self, kind: str, key: str, who: str, *, now: bool = False) -> None:
        """Delete as the API does: what has finalizers, or a node to be stopped on, is marked first."""
        found = self.objects[kind].get(key)
        if found is None:
            return
        waits = found.raw["metadata"].get("finalizers") or (
            kind == "Pod" and found.spec.get("nodeName") and not done(found.raw)
        )
        if waits and not now:
            if not found.deleting:
                metadata = {**found.raw["metadata"], "deletionTimestamp": self.timestamp()}
                self._put(found, {**found.raw, "metadata": metadata}, who, "delete")
            return
        self._drop(found, who)

    def _drop(self, found: Item, who: str) -> None:
        del self.objects[found.kind][found.key]
        self.version += 1
        metadata = {**found.raw["metadata"], "resourceVersion": str(self.version)}
        last = Item(found.kind, found.key, {**found.raw, "metadata": metadata}, self.version)
        if not (found.kind == "Pod" and done(found.raw)):
            self.logs[found.kind].add(self.version, "DELETED", last)
        self._tell(Change(self.version, self.now(), found, None, who, "delete"))

    def _put(self, old: Item | None, raw: Raw, who: str, what: str) -> Item:
        self.version += 1
        raw = {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(self.version)}}
        kind = raw["kind"]
        item = Item(kind, key_of(raw), raw, self.version)
        if kind in FINALIZED and item.deleting and not raw["metadata"].get("finalizers"):
            assert old is not None
            self._drop(old, who)
            return item
        self.objects[kind][item.key] = item
        # Watchers of pods have asked for those that are not done.
        if kind != "Pod":
            self.logs[kind].add(self.version, "MODIFIED" if old else "ADDED", item)
        else:
            was, is_ = old is not None and not done(old.raw), not done(raw)
            if was or is_:
                self.logs[kind].add(self.version, ("MODIFIED" if was else "ADDED") if is_ else "DELETED", item)
        self._tell(Change(self.version, self.now(), old, item, who, what))
        return item

    def _tell(self, change: Change) -> None:
        for listener in self.listeners:
            listener(change)

    # ------------------------------------------------------------ as clients write

    def patch(self, kind: str, key: str, patch: Raw, who: str, *, strategic: bool, status: bool) -> Item:
        found = self.get(kind, key)
        self._expect(found, patch.get("metadata") or {})
        merged = merge(found.raw, patch, strategic=strategic)
        return self._replace(found, merged, who, status=status)

    def replace(self, kind: str, key: str, raw: Raw, who: str, *, status: bool = False) -> Item:
        found = self.get(kind, key)
        self._expect(found, raw.get("metadata") or {})
        return self._replace(found, raw, who, status=status)

    def _replace(self, found: Item, merged: Raw, who: str, *, status: bool) -> Item:
        kept = {name: found.raw["metadata"][name] for name in ("uid", "creationTimestamp")}
        if status:  # the two halves of an object have two doors, and each leaves the other half as it is
            raw = {**found.raw, "status": merged.get("status") or {}}
        else:
            raw = {**merged, "metadata": {**merged["metadata"], **kept}}
            raw.pop("status", None)
            if "status" in found.raw:
                raw["status"] = found.raw["status"]
        if found.kind == "ResourceClaim" and status:
            _validate_claim(found.raw, raw)
        if raw == found.raw:
            return found
        return self._put(found, raw, who, "status" if status else "update")

    def delete(self, kind: str, key: str, options: Raw, who: str) -> Item:
        found = self.get(kind, key)
        self._expect(found, options.get("preconditions") or {})
        self.remove(kind, key, who)
        return found

    def bind(self, key: str, binding: Raw, who: str) -> None:
        found = self.get("Pod", key)
        given = binding["metadata"]
        self._expect(found, given)
        if found.deleting:
            raise RefusedError(409, "Conflict", f"pod {key} is being deleted, cannot be assigned to a host")
        if found.spec.get("nodeName"):
            raise RefusedError(409, "Conflict", f"pod {key} is already assigned to node {found.spec['nodeName']}")
        if found.spec.get("schedulingGates"):
            raise RefusedError(409, "Conflict", f"pod {key} has non-empty .spec.schedulingGates")
        annotations = {**(found.raw["metadata"].get("annotations") or {}), **(given.get("annotations") or {})}
        scheduled = {"type": "PodScheduled", "status": "True"}
        others = [each for each in found.status.get("conditions") or () if each["type"] != "PodScheduled"]
        raw = {
            **found.raw,
            "metadata": {**found.raw["metadata"], "annotations": annotations},
            "spec": {**found.spec, "nodeName": binding["target"]["name"]},
            "status": {**found.status, "conditions": [*others, scheduled]},
        }
        self._put(found, raw, who, "bind")

    @staticmethod
    def _expect(found: Item, given: Raw) -> None:
        for name in ("uid", "resourceVersion"):
            if given.get(name) not in {None, "", found.raw["metadata"][name]}:
                text = f"{name} is {found.raw['metadata'][name]}, not {given[name]}"
                raise RefusedError(409, "Conflict", f"{found.kind} {found.key}: {text}")


def merge(old: Any, patch: Any, *, strategic: bool, at: str = "") -> Any:
    """A JSON merge patch (RFC 7386), or a strategic one for the fields that schedulers write."""
    if isinstance(patch, list):
        if strategic and at == "finalizers":
            return list(dict.fromkeys([*(old or ()), *patch]))
        if strategic and at in MERGE_KEYS:
            by = MERGE_KEYS[at]
            kept = {each[by]: each for each in old or ()}
            for each in patch:
                if each.get("$patch") == "delete":
                    kept.pop(each[by], None)
                else:
                    kept[each[by]] = merge(kept.get(each[by]), each, strategic=True)
            return list(kept.values())
        return patch
    if not isinstance(patch, dict):
        return patch
    found = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if strategic and name.startswith("$deleteFromPrimitiveList/"):
            listed = name.partition("/")[2]
            found[listed] = [each for each in found.get(listed) or () if each not in value]
        elif value is None:
            found.pop(name, None)
        else:
            found[name] = merge(found.get(name), value, strategic=strategic, at=name)
    return found


def _validate_claim(old: Raw, new: Raw) -> None:
    before, after = old.get("status") or {}, new.get("status") or {}
    allocation, reserved = after.get("allocation"), after.get("reservedFor") or []

    def refuse(problem: str) -> None:
        raise RefusedError(422, "Invalid", f"ResourceClaim {key_of(new)}: {problem}")

    if before.get("allocation") and allocation and allocation != before["allocation"]:
        refuse("status.allocation: field is immutable")
    if reserved and not allocation:
        refuse("status.reservedFor: may not be specified when `allocated` is not set")
    if after.get("devices") and not allocation:
        refuse("status.devices: must be a result in the allocation")
    if len({each["uid"] for each in reserved}) < len(reserved):
        refuse("status.reservedFor: duplicate uid")
    if len(reserved) > MAX_CONSUMERS:
        refuse(f"status.reservedFor: must have at most {MAX_CONSUMERS} items")
    known = {each["uid"] for each in before.get("reservedFor") or ()}
    if "deletionTimestamp" in new["metadata"] and any(each["uid"] not in known for each in reserved):
        refuse("status.reservedFor: new entries may not be added while `deletionTimestamp` is set")
    if allocation:
        results = allocation["devices"].get("results") or []
        if len(results) > MAX_RESULTS:
            refuse(f"status.allocation.devices.results: must have at most {MAX_RESULTS} items")
        asked = {each["name"] for each in new["spec"]["devices"]["requests"]}
        if any(each["request"].partition("/")[0] not in asked for each in results):
            refuse("status.allocation.devices.results: must be the name of a request in the claim")
