"""An API server in memory: raw objects, one resourceVersion for all, the server's rules, and the controllers that a
scheduler waits for. It carries out the engine's instructions with the very bodies that go to a real cluster.

Beside it the resourceclaim controller works at once: it makes claims of templates, takes finished and deleted pods out
of reservedFor, and gives devices back when nobody is left. So do drivers: binding conditions become true at once.
Everything is a function of what was put in: UIDs and generated names derive from the names of their owners, time is
what `now` is set to.

Patches are applied as the server applies them. The rules come from resource.k8s.io validation and strategy, and from
the pods/binding handler.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast, get_args

from scheduler.cluster import decode, encode
from scheduler.core import names, storage
from scheduler.core.errors import DecodeError, FaultError, InputError
from scheduler.core.messages import (
    BindPod,
    BindRefused,
    BindVolume,
    ClaimCreated,
    ClaimRefused,
    ClaimWritten,
    CreateClaim,
    DeleteClaim,
    Event,
    Gone,
    Instruction,
    Kind,
    PodBound,
    PodRef,
    RecordDecision,
    RecordUnplaced,
    Rejected,
    ReleaseClaim,
    RemoteScored,
    Report,
    ReportUnschedulable,
    ReserveClaim,
    ScoreRemotely,
    Seen,
    SelectNode,
    Slow,
    UnbindVolume,
    UnselectNode,
    WarnOfTopology,
    WriteAllocation,
)
from scheduler.core.model import Allocation, Claim, Uid
from scheduler.core.slow import answer
from scheduler.simulator import shelves
from scheduler.simulator.errors import RefusedError
from scheduler.simulator.objects import Raw, key_of
from scheduler.simulator.operators import OPERATED
from scheduler.simulator.workloads import uid_of

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When a simulation begins, for the timestamps of its objects."""
WATCHED: Final = (
    "Namespace", "Node", "DeviceClass", "DeviceTaintRule", "ResourceSlice", "ResourceClaim", "Pod", "ConfigMap",
    *storage.KINDS,
)  # fmt: skip
_ORDER: Final = (
    "Namespace", "PriorityClass", "ConfigMap", "StorageClass", "CSIDriver", "CSIStorageCapacity", "PersistentVolume",
    "PersistentVolumeClaim", "VolumeAttachment", "CSINode", "Node", "DeviceClass", "DeviceTaintRule", "ResourceSlice",
    "ResourceClaimTemplate", "ResourceClaim", *sorted(OPERATED), "CronJob", "DaemonSet", "Deployment", "ReplicaSet",
    "StatefulSet", "Job", "Pod",
)  # fmt: skip
_NAMESPACE_LABEL: Final = "kubernetes.io/metadata.name"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_POD_CLAIM: Final = "resource.kubernetes.io/pod-claim-name"
_MAX_RESULTS: Final = 32
_MAX_CONFIG: Final = 64
_MAX_CONSUMERS: Final = 256
_MAX_BASE: Final = 57  # characters of a generated claim name before its random part (resourceclaim controller)
_MERGE_KEYS: Final = {"reservedFor": "uid", "conditions": "type"}
_TAKE_FROM: Final = "$deleteFromPrimitiveList/"
_PRIORITIES: Final = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def nobody_scores(asked: ScoreRemotely) -> Sequence[Event]:
    """Scorers of others are part of no simulation, unless somebody brings them."""
    problem = "is not asked in a simulation"
    return [RemoteScored(asked.pod.uid, asked.generation, scorer, (), problem) for scorer in asked.scorers]


class Api:
    """The cluster.

    objects : all of them, by kind and then key; never changed in place. now : seconds since the beginning.
    `writes` counts what changed objects; `reports` holds the last event of each pod. `scorers` answers for scorers of
    others.
    """

    def __init__(self, objects: Iterable[Raw] = ()) -> None:
        self.objects: dict[str, dict[str, Raw]] = {kind: {} for kind in _ORDER}
        self.now = 0.0
        self.version = 0
        self.writes = 0
        self.reports: dict[str, Report] = {}
        self.scorers: Callable[[ScoreRemotely], Sequence[Event]] = nobody_scores
        self._watch: deque[Event] = deque()
        self._met: set[str] = set()  # namespaces that only pods told of
        self._generations: dict[tuple[str, str], int] = {}
        # The same objects in any order are the same cluster.
        for raw in sorted(objects, key=lambda raw: (_ORDER.index(raw["kind"]), key_of(raw))):
            self.create(raw)

    # ------------------------------------------------------------ reading

    def get(self, kind: str, key: str) -> Raw:
        """An object. Raises RefusedError."""
        found = self.objects[kind].get(key)
        if found is None:
            raise RefusedError("gone", f"{kind} {key} not found")
        return found

    def all(self, kind: str) -> list[Raw]:
        """All objects of a kind, by key."""
        return [raw for _, raw in sorted(self.objects[kind].items())]

    def everything(self) -> list[Raw]:
        """All objects, what others need first."""
        return [raw for kind in _ORDER for raw in self.all(kind)]

    def events(self) -> list[Event]:
        """What a watch shows since the last call."""
        found = list(self._watch)
        self._watch.clear()
        return found

    def timestamp(self) -> str:
        """Now, RFC 3339."""
        return (EPOCH + timedelta(seconds=self.now)).isoformat(timespec="microseconds").replace("+00:00", "Z")

    # ------------------------------------------------------------ writing

    def create(self, raw: Raw) -> Raw:
        """Add an object, with what the server fills in. Raises RefusedError; InputError for a wrong priority class."""
        kind, key = raw["kind"], key_of(raw)
        if key in self.objects[kind]:
            raise RefusedError("conflict", f"{kind} {key} already exists")
        self._generations[kind, key] = generation = self._generations.get((kind, key), -1) + 1
        metadata = {
            "creationTimestamp": self.timestamp()[:19] + "Z",
            **{name: value for name, value in raw["metadata"].items() if value is not None},
        }
        metadata.setdefault("uid", uid_of(kind, key, generation))
        found = {**raw, "metadata": metadata}
        if kind == "Pod":
            found = self._admit(found)
            self._meet_namespace(str(found["metadata"].get("namespace") or ""))
        elif kind == "Namespace":
            labels = {**(metadata.get("labels") or {}), _NAMESPACE_LABEL: metadata["name"]}
            found["metadata"] = {**metadata, "labels": labels}
        elif kind in {"ResourceClaim", "ResourceClaimTemplate"}:
            found = _default_claim(found)
        elif kind == "PersistentVolume":
            found = shelves.settle(found)
        elif kind == "StorageClass":
            found.setdefault("volumeBindingMode", "Immediate")
        self._store(kind, key, found)
        if kind == "Pod":
            shelves.make_claims(self, found)
            self._control_pod(key)
        elif kind == "PersistentVolumeClaim":
            shelves.bind_at_once(self, key)
        elif kind == "ResourceClaimTemplate":
            for pod in self.all("Pod"):
                self._control_pod(key_of(pod))
        return self.objects[kind][key]

    def delete(self, kind: str, key: str) -> None:
        """Take an object out, and what the garbage collector and the controllers take with it. Raises RefusedError."""
        found = self.get(kind, key)
        if kind == "ResourceClaim" and (found["metadata"].get("finalizers") or ()):
            if "deletionTimestamp" not in found["metadata"]:
                metadata = {**found["metadata"], "deletionTimestamp": self.timestamp()[:19] + "Z"}
                self._store(kind, key, {**found, "metadata": metadata})
                self._control_claim(key)
            return
        del self.objects[kind][key]
        self.version += 1
        self.writes += 1
        if kind in WATCHED:
            self._watch.append(Gone(cast("Kind", kind), key, Uid(found["metadata"]["uid"])))
        uid = found["metadata"]["uid"]
        if kind == "Pod":
            self._free_reservations(uid)
        owned = [
            (raw["kind"], key_of(raw))
            for raw in self.everything()
            if any(owner.get("uid") == uid for owner in raw["metadata"].get("ownerReferences") or ())
        ]
        for other, name in owned:
            if name in self.objects[other]:
                self.delete(other, name)

    def patch(self, kind: str, key: str, body: bytes, content_type: str, *, status: bool = False) -> Raw:
        """Apply a patch to an object or to its status. Raises RefusedError; nothing is changed then."""
        found = self.get(kind, key)
        patch: Raw = json.loads(body)
        given = patch.get("metadata") or {}
        for name in ("uid", "resourceVersion"):
            if given.get(name) not in {None, found["metadata"][name]}:
                raise RefusedError("conflict", f"{kind} {key}: {name} is {found['metadata'][name]}, not {given[name]}")
        merged = _merge(found, patch, strategic=content_type == encode.STRATEGIC)
        if status:  # the two halves of an object are written through two doors, and each leaves the other as it is
            merged = {**found, "status": merged.get("status", {})}
        else:
            merged = {**merged, "status": found["status"]} if "status" in found else _without(merged, "status")
            merged["metadata"] = {**merged["metadata"], "uid": found["metadata"]["uid"]}
        if kind == "ResourceClaim":
            _validate_claim(found, merged)
        elif kind == "Pod" and status:
            merged = _keep_special_claim(found, merged)
            _validate_special_claim(merged)
        self._store(kind, key, merged)
        if kind == "ResourceClaim" and status:
            self._control_claim(key)
        elif kind == "Pod":
            self._control_pod(key)
        return self.objects[kind][key]

    def bind(self, body: bytes) -> Raw:
        """Carry out a Binding. Raises RefusedError."""
        binding: Raw = json.loads(body)
        metadata, target = binding["metadata"], binding["target"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        pod = self.get("Pod", key)
        spec = pod.get("spec") or {}
        if metadata.get("uid") not in {None, pod["metadata"]["uid"]}:
            raise RefusedError("conflict", f"pod {key}: uid is {pod['metadata']['uid']}, not {metadata['uid']}")
        if "deletionTimestamp" in pod["metadata"]:
            raise RefusedError("conflict", f"pod {key} is being deleted, cannot be assigned to a host")
        if spec.get("nodeName"):
            raise RefusedError("conflict", f"pod {key} is already assigned to node {spec['nodeName']}")
        if spec.get("schedulingGates"):
            raise RefusedError("conflict", f"pod {key} has non-empty .spec.schedulingGates")
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": self.timestamp()[:19] + "Z"}
        status = _merge(pod.get("status") or {}, {"conditions": [scheduled]}, strategic=True)
        annotations = {**(pod["metadata"].get("annotations") or {}), **(metadata.get("annotations") or {})}
        own = {**pod["metadata"], **({"annotations": annotations} if annotations else {})}
        found = {**pod, "metadata": own, "spec": {**spec, "nodeName": target["name"]}, "status": status}
        self._store("Pod", key, found)
        return self.objects["Pod"][key]

    def put(self, raw: Raw) -> None:
        """Replace an object, as a controller does."""
        self._store(raw["kind"], key_of(raw), raw)

    def _store(self, kind: str, key: str, raw: Raw) -> None:
        self.version += 1
        self.writes += 1
        metadata = {**raw["metadata"], "resourceVersion": str(self.version)}
        self.objects[kind][key] = {**raw, "metadata": metadata}
        if kind in WATCHED:
            self._watch.append(self._seen(kind, key))

    def _seen(self, kind: str, key: str) -> Event:
        raw = self.objects[kind][key]
        watched = cast("Kind", kind)
        try:
            return Seen(decode.decode(watched, raw))
        except DecodeError as error:
            return Rejected(watched, key, Uid(raw["metadata"]["uid"]), str(error))

    def _meet_namespace(self, name: str) -> None:
        """A namespace that no file describes is there as soon as a pod is in it."""
        if name not in self.objects["Namespace"] and name not in self._met:
            self._met.add(name)
            made = {"metadata": {"name": name, "labels": {_NAMESPACE_LABEL: name}}}
            self._watch.append(Seen(decode.decode("Namespace", made)))

    def _admit(self, pod: Raw) -> Raw:
        """What admission and defaulting decide for scheduling: the priority of the pod's class, and which pods its
        affinity selects by their likeness to it."""
        spec = _narrow_affinity(pod.get("spec") or {}, pod["metadata"].get("labels") or {})
        status = {"phase": "Pending", **(pod.get("status") or {})}
        if spec.get("priority") is None:
            wanted = str(spec.get("priorityClassName") or "")
            classes = {raw["metadata"]["name"]: raw for raw in self.all("PriorityClass")}
            value = 0
            if wanted:
                if wanted not in classes and wanted not in _PRIORITIES:
                    where = f"Pod {key_of(pod)}"
                    raise InputError(where, f"spec.priorityClassName: PriorityClass {wanted} does not exist")
                value = classes[wanted].get("value", 0) if wanted in classes else _PRIORITIES[wanted]
            else:
                value = max((raw.get("value", 0) for raw in classes.values() if raw.get("globalDefault")), default=0)
            if value:
                spec = {**spec, "priority": value}
        return {**pod, "spec": spec, "status": status}

    # ------------------------------------------------------------ controllers

    def _control_pod(self, key: str) -> None:
        """The resourceclaim controller, for one pod: make its claims, or free those that it no longer uses."""
        pod = self.objects["Pod"][key]
        spec, status = pod.get("spec") or {}, pod.get("status") or {}
        uid = pod["metadata"]["uid"]
        if status.get("phase") in {"Succeeded", "Failed"}:
            self._free_reservations(uid)
            return
        entries = spec.get("resourceClaims")
        if "deletionTimestamp" in pod["metadata"] or not isinstance(entries, list):
            return
        statuses = list(status.get("resourceClaimStatuses") or ())
        known = {each.get("name") for each in statuses if isinstance(each, dict)}
        made = []
        for entry in entries:
            if not isinstance(entry, dict) or entry.get("name") in known:
                continue
            template = entry.get("resourceClaimTemplateName")
            found = self.objects["ResourceClaimTemplate"].get(f"{pod['metadata']['namespace']}/{template}")
            if template and found is not None:
                name = self._claim_from(found, pod, str(entry.get("name")))
                made.append({"name": entry["name"], "resourceClaimName": name})
        if made:
            pod = self.objects["Pod"][key]
            self._store("Pod", key, {**pod, "status": {**status, "resourceClaimStatuses": statuses + made}})

    def _claim_from(self, template: Raw, pod: Raw, entry: str) -> str:
        owner = pod["metadata"]
        base = f"{owner['name']}-{entry}"
        if len(base) > _MAX_BASE:
            # Both parts are cut in proportion, so that the name of the entry is not lost behind a long pod name.
            keep = [len(part) * (_MAX_BASE - 1) // len(base) for part in (owner["name"], entry)]
            base = f"{owner['name'][: keep[0]]}-{entry[: keep[1]]}"
        number = 0
        while True:
            name = f"{base}-{names.suffix('ResourceClaim', owner['uid'], entry, number)}"
            if f"{owner['namespace']}/{name}" not in self.objects["ResourceClaim"]:
                break
            number += 1
        spec = template.get("spec") or {}
        own = spec.get("metadata") or {}
        metadata: Raw = {"name": name, "namespace": owner["namespace"]}
        if own.get("labels"):
            metadata["labels"] = own["labels"]
        metadata["annotations"] = {**(own.get("annotations") or {}), _POD_CLAIM: entry}
        metadata["ownerReferences"] = [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": owner["name"],
                "uid": owner["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
        self.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaim",
                "metadata": metadata,
                "spec": spec.get("spec") or {},
            }
        )
        return name

    def _free_reservations(self, pod: str) -> None:
        """Take a pod out of every claim. A pod that the files do not hold is left in: they may be part of a cluster."""
        for claim in self.all("ResourceClaim"):
            status = claim.get("status") or {}
            reserved = status.get("reservedFor") or ()
            left = [each for each in reserved if each.get("uid") != pod]
            if len(left) < len(reserved):
                status = {**status, "reservedFor": left} if left else _without(status, "reservedFor")
                if not left:
                    status = _without(_without(status, "allocation"), "devices")
                self._store("ResourceClaim", key_of(claim), {**claim, "status": status})
                self._control_claim(key_of(claim))

    def _control_claim(self, key: str) -> None:
        """Take our protection off a claim that holds nothing; end it if it was to be deleted."""
        claim = self.objects["ResourceClaim"][key]
        metadata, status = claim["metadata"], claim.get("status") or {}
        finalizers = metadata.get("finalizers") or []
        if status.get("allocation") or status.get("reservedFor"):
            return
        if names.CLAIM_FINALIZER in finalizers:
            left = [name for name in finalizers if name != names.CLAIM_FINALIZER]
            self._store("ResourceClaim", key, {**claim, "metadata": {**metadata, "finalizers": left}})
        claim = self.objects["ResourceClaim"][key]
        if "deletionTimestamp" in metadata and not claim["metadata"].get("finalizers"):
            self.delete("ResourceClaim", key)

    # ------------------------------------------------------------ instructions

    def execute(self, instruction: Instruction) -> list[Event]:
        """Carry an instruction out; returns its answer and what a watch shows of it."""
        found = self._executors[type(instruction)](self, instruction)
        return [*found, *self.events()]

    def _allocate(self, write: WriteAllocation) -> list[Event]:
        claim = write.claim
        key = f"{claim.namespace}/{claim.name}"
        version = claim.resource_version
        try:
            if not claim.finalized:
                body = encode.finalizer_patch(claim)
                version = self.patch("ResourceClaim", key, body, encode.STRATEGIC)["metadata"]["resourceVersion"]
            body = encode.allocation_patch(claim.uid, version, write.allocation, write.consumer, self.timestamp())
            written = self._written(write.pod, self.patch("ResourceClaim", key, body, encode.MERGE, status=True))
        except RefusedError as error:
            return [ClaimRefused(write.pod.uid, claim.uid, error.cause, error.message)]
        self._prepare(key, write.allocation)
        return [written]

    def _prepare(self, key: str, allocation: Allocation) -> None:
        """Act for the drivers: every device is ready."""
        devices = [
            {
                "driver": each.driver, "pool": each.pool, "device": each.device,
                **({"shareID": each.share_id} if each.share_id is not None else {}),
                "conditions": [{"type": name, "status": "True"} for name in each.binding_conditions],
            }
            for each in allocation.results
            if each.binding_conditions
        ]  # fmt: skip
        if devices:
            body = json.dumps({"status": {"devices": devices}}).encode()
            self.patch("ResourceClaim", key, body, encode.MERGE, status=True)

    def _create(self, write: CreateClaim) -> list[Event]:
        pod = write.pod
        key, uid = write.special.claim.key, write.special.claim.uid
        found: list[Event] = []
        try:
            raw = self.create(json.loads(encode.special_claim(write.special.claim, pod)))
            claim = decode.decode("ResourceClaim", raw)
            assert isinstance(claim, Claim)
            uid = claim.uid
            found.append(ClaimCreated(pod.uid, claim))
            body = encode.allocation_patch(
                uid, claim.resource_version, write.allocation, pod.consumer, self.timestamp()
            )
            raw = self.patch("ResourceClaim", key, body, encode.MERGE, status=True)
            body = encode.special_claim_patch(pod, claim.name, write.special.mappings)
            self.patch("Pod", f"{pod.namespace}/{pod.name}", body, encode.STRATEGIC, status=True)
            self._prepare(key, write.allocation)
            return [*found, self._written(pod, raw)]
        except RefusedError as error:
            return [*found, ClaimRefused(pod.uid, uid, error.cause, error.message)]

    def _reserve(self, write: ReserveClaim) -> list[Event]:
        claim = write.claim
        body = encode.reservation_patch(claim, [write.consumer])
        try:
            raw = self.patch("ResourceClaim", f"{claim.namespace}/{claim.name}", body, encode.STRATEGIC, status=True)
        except RefusedError as error:
            return [ClaimRefused(write.pod.uid, claim.uid, error.cause, error.message)]
        return [self._written(write.pod, raw)]

    @staticmethod
    def _written(pod: PodRef, raw: Raw) -> ClaimWritten:
        claim = decode.decode("ResourceClaim", raw)
        assert isinstance(claim, Claim)
        return ClaimWritten(pod.uid, claim)

    def _release(self, write: ReleaseClaim) -> list[Event]:
        key = f"{write.claim.namespace}/{write.claim.name}"
        try:
            raw = self.get("ResourceClaim", key)
            if raw["metadata"]["uid"] != write.claim.uid:
                return []
            status = raw.get("status") or {}
            others = [each for each in status.get("reservedFor") or () if each.get("uid") != write.consumer.uid]
            version = raw["metadata"]["resourceVersion"]
            if write.deallocate and not others:
                if status.get("allocation"):
                    body = encode.deallocate_patch(write.claim.uid, version)
                    self.patch("ResourceClaim", key, body, encode.MERGE, status=True)
            elif len(others) < len(status.get("reservedFor") or ()):
                body = encode.unreserve_patch(write.claim.uid, version, write.consumer.uid)
                self.patch("ResourceClaim", key, body, encode.STRATEGIC, status=True)
        except RefusedError as error:
            if error.cause != "gone":
                raise FaultError(f"claim {key} could not be released: {error}") from error
        return []

    def _delete(self, write: DeleteClaim) -> list[Event]:
        key = f"{write.claim.namespace}/{write.claim.name}"
        try:
            raw = self.get("ResourceClaim", key)
            if raw["metadata"]["uid"] == write.claim.uid:
                body = encode.unfinalize_patch(write.claim.uid, raw["metadata"]["resourceVersion"])
                self.patch("ResourceClaim", key, body, encode.STRATEGIC)
                self.delete("ResourceClaim", key)
        except RefusedError as error:
            if error.cause != "gone":
                raise FaultError(f"claim {key} could not be deleted: {error}") from error
        return []

    def _bind(self, write: BindPod) -> list[Event]:
        try:
            if write.taken is not None:
                body = encode.taken_patch(write.pod, write.taken)
                self.patch("Pod", f"{write.pod.namespace}/{write.pod.name}", body, encode.MERGE, status=True)
            self.bind(encode.binding(write.pod, write.node, write.annotations))
        except RefusedError as error:
            return [BindRefused(write.pod.uid, error.cause, error.message)]
        return [PodBound(write.pod.uid, write.node)]

    def _report(self, report: Report) -> list[Event]:
        key = f"{report.pod.namespace}/{report.pod.name}"
        self.reports[key] = report
        if isinstance(report, ReportUnschedulable):
            writes = self.writes
            try:
                body = encode.unschedulable_condition_patch(report, self.timestamp())
                self.patch("Pod", key, body, encode.STRATEGIC, status=True)
            except RefusedError:
                pass  # the pod is gone, which is no news
            self.writes = writes  # words change nothing that a decision waits for
        return []

    _executors: Mapping[type, Callable[["Api", Any], Sequence[Event]]] = {
        WriteAllocation: _allocate,
        CreateClaim: _create,
        ReserveClaim: _reserve,
        ReleaseClaim: _release,
        DeleteClaim: _delete,
        BindVolume: shelves.bind,
        SelectNode: shelves.make,
        UnbindVolume: lambda self, instruction: [],
        UnselectNode: lambda self, instruction: [],
        BindPod: _bind,
        **dict.fromkeys(get_args(Report), _report),
        RecordDecision: lambda self, instruction: [],
        RecordUnplaced: lambda self, instruction: [],
        WarnOfTopology: lambda self, instruction: [],
        ScoreRemotely: lambda self, instruction: self.scorers(instruction),
        **dict.fromkeys(get_args(Slow), lambda self, instruction: [answer(instruction)]),
    }


# ---------------------------------------------------------------- the server's rules


def _without(raw: Mapping[str, Any], name: str) -> Raw:
    return {key: value for key, value in raw.items() if key != name}


def _merge(old: Any, patch: Any, *, strategic: bool, at: str = "") -> Any:
    """A JSON merge patch (RFC 7386), or a strategic one with the merge keys of the fields that schedulers write."""
    if isinstance(patch, list) and strategic and at == "finalizers":
        return list(dict.fromkeys([*(old or ()), *patch]))
    if isinstance(patch, list) and strategic and at in _MERGE_KEYS:
        by = _MERGE_KEYS[at]
        kept = {each.get(by): each for each in old or ()}
        for each in patch:
            if each.get("$patch") == "delete":
                kept.pop(each[by], None)
            else:
                kept[each[by]] = _merge(kept.get(each[by]), each, strategic=True)
        return list(kept.values())
    if not isinstance(patch, dict):
        return patch
    found = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if strategic and key.startswith(_TAKE_FROM):
            name = key.removeprefix(_TAKE_FROM)
            found[name] = [each for each in found.get(name) or () if each not in value]
        elif value is None:
            found.pop(key, None)
        else:
            found[key] = _merge(found.get(key), value, strategic=strategic, at=key)
    return found


def _narrow_affinity(spec: Raw, labels: Mapping[str, Any]) -> Raw:
    """A pod's spec with matchLabelKeys and mismatchLabelKeys of its affinity to pods written into the selectors."""
    affinity = spec.get("affinity")
    if not isinstance(affinity, dict):
        return spec
    found = dict(affinity)
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = found[kind].get(_REQUIRED) if isinstance(found.get(kind), dict) else None
        if isinstance(terms, list):
            found[kind] = {**found[kind], _REQUIRED: [_narrow(term, labels) for term in terms]}
    return {**spec, "affinity": found}


def _narrow(term: Any, labels: Mapping[str, Any]) -> Any:
    selector = term.get("labelSelector") if isinstance(term, dict) else None
    if not isinstance(selector, dict):
        return term
    more = [
        {"key": key, "operator": operator, "values": [labels[key]]}
        for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
        for key in term.get(field) or ()
        if key in labels
    ]
    if not more:
        return term
    return {
        **term,
        "labelSelector": {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *more]},
    }


def _default_claim(raw: Raw) -> Raw:
    """ExactCount and 1, where nothing is said."""
    template = raw["kind"] == "ResourceClaimTemplate"
    outer = raw.get("spec") or {}
    spec = (outer.get("spec") or {}) if template else outer
    devices = spec.get("devices") if isinstance(spec, dict) else None
    requests = devices.get("requests") if isinstance(devices, dict) else None
    if not isinstance(devices, dict) or not isinstance(requests, list):
        return raw
    spec = {**spec, "devices": {**devices, "requests": [_default_request(each) for each in requests]}}
    return {**raw, "spec": {**outer, "spec": spec} if template else spec}


def _default_request(request: Any) -> Any:
    exactly = request.get("exactly") if isinstance(request, dict) else None
    if not isinstance(exactly, dict):
        return request
    mode = exactly.get("allocationMode") or "ExactCount"
    counted = {"count": 1} if mode == "ExactCount" and exactly.get("count") is None else {}
    return {**request, "exactly": {**exactly, "allocationMode": mode, **counted}}


def _validate_claim(old: Raw, new: Raw) -> None:
    """Validation of a ResourceClaim's status. Raises RefusedError."""
    where = f"ResourceClaim {key_of(new)}"
    before, after = old.get("status") or {}, new.get("status") or {}
    allocation = after.get("allocation")
    reserved = after.get("reservedFor") or []

    def refuse(problem: str) -> None:
        raise RefusedError("invalid", f"{where}: {problem}")

    if before.get("allocation") and allocation and allocation != before["allocation"]:
        refuse("status.allocation: field is immutable")
    if reserved and not allocation:
        refuse("status.reservedFor: may not be specified when `allocated` is not set")
    if len({each.get("uid") for each in reserved}) < len(reserved):
        refuse("status.reservedFor: duplicate uid")
    if len(reserved) > _MAX_CONSUMERS:
        refuse(f"status.reservedFor: must have at most {_MAX_CONSUMERS} items")
    added = [each for each in reserved if each not in (before.get("reservedFor") or ())]
    if added and "deletionTimestamp" in new["metadata"]:
        refuse("status.reservedFor: new entries may not be added while `deletionTimestamp` is set")
    if allocation:
        devices = allocation.get("devices") or {}
        results, config = devices.get("results") or [], devices.get("config") or []
        if len(results) > _MAX_RESULTS:
            refuse(f"status.allocation.devices.results: must have at most {_MAX_RESULTS} items")
        if len(config) > _MAX_CONFIG:
            refuse(f"status.allocation.devices.config: must have at most {_MAX_CONFIG} items")
        asked = {each.get("name") for each in ((new.get("spec") or {}).get("devices") or {}).get("requests") or ()}
        for index, result in enumerate(results):
            if str(result.get("request")).partition("/")[0] not in asked:
                refuse(
                    f"status.allocation.devices.results[{index}].request: must be the name of a request in the claim"
                )


def _keep_special_claim(old: Raw, new: Raw) -> Raw:
    """What a pod's status once said of its special claim can be changed but not taken back (pod strategy)."""
    before = (old.get("status") or {}).get("extendedResourceClaimStatus")
    after = new["status"].get("extendedResourceClaimStatus")
    kept = {**new["status"], "extendedResourceClaimStatus": before}
    return {**new, "status": kept} if before and not after else new


def _validate_special_claim(pod: Raw) -> None:
    """Validation of status.extendedResourceClaimStatus. Raises RefusedError."""
    said = pod["status"].get("extendedResourceClaimStatus")
    if not said:
        return
    where = f"Pod {key_of(pod)}: status.extendedResourceClaimStatus"
    spec = pod.get("spec") or {}
    containers = {each["name"]: each for each in (spec.get("initContainers") or []) + (spec.get("containers") or [])}
    mappings = said.get("requestMappings") or []
    if not mappings:
        raise RefusedError("invalid", f"{where}.requestMappings: at least one request mapping is required")
    if not said.get("resourceClaimName"):
        raise RefusedError("invalid", f"{where}.resourceClaimName: is required")
    for index, mapping in enumerate(mappings):
        resources = containers.get(mapping["containerName"], {}).get("resources") or {}
        requested = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        if mapping["resourceName"] not in requested:
            raise RefusedError("invalid", f"{where}.requestMappings[{index}]: no container requests this")
        if mapping in mappings[:index]:
            raise RefusedError("invalid", f"{where}.requestMappings[{index}]: duplicate")
