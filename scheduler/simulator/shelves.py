"""Volumes in a simulated cluster: its controller binds at once what may be bound, and every provisioner can make
whatever is asked of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from scheduler.cluster import decode, encode
from scheduler.core.match import selects_labels
from scheduler.core.messages import BindVolume, Event, SelectNode, VolumeRefused, VolumeWritten
from scheduler.core.storage import (
    AVAILABLE,
    BIND_COMPLETED,
    DELAYED,
    NO_PROVISIONER,
    PersistentVolume,
    PersistentVolumeClaim,
)
from scheduler.simulator.errors import RefusedError
from scheduler.simulator.objects import Raw

if TYPE_CHECKING:
    from scheduler.simulator.api import Api

_HOST: Final = "kubernetes.io/hostname"


def make_claims(api: "Api", pod: Raw) -> None:
    """The ephemeral volume controller: claims for the volumes of a pod that are made for it."""
    metadata = pod["metadata"]
    volumes = (pod.get("spec") or {}).get("volumes")
    for volume in volumes if isinstance(volumes, list) else ():
        template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate") if isinstance(volume, dict) else None
        if not isinstance(template, dict):
            continue
        key = f"{metadata['namespace']}/{metadata['name']}-{volume['name']}"
        if key in api.objects["PersistentVolumeClaim"]:
            continue
        owner = {
            "apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"], "controller": True,
        }  # fmt: skip
        api.create(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {
                    "name": key.partition("/")[2],
                    "namespace": metadata["namespace"],
                    "ownerReferences": [owner],
                },
                "spec": template.get("spec") or {},
            }
        )


def bind_at_once(api: "Api", key: str) -> None:
    """The volume controller, for a claim that does not wait for a pod: the smallest volume that fits, or a new one."""
    claim = _claim(api, key)
    classes = api.objects["StorageClass"]
    made_by = classes.get(claim.storage_class)
    if claim.bound or (made_by or {}).get("volumeBindingMode") == DELAYED:
        return
    free = [volume for volume in map(_volume, api.all("PersistentVolume")) if _fits(volume, claim)]
    if free:
        _join(api, key, min(free, key=lambda each: (each.capacity.nanos, each.name)).name)
    elif made_by is not None and made_by.get("provisioner") != NO_PROVISIONER:
        _join(api, key, _create(api, key, None))


def bind(api: "Api", write: BindVolume) -> Sequence[Event]:
    """Keep a volume for a claim; the controller binds the two."""
    key = f"{write.claim.namespace}/{write.claim.name}"
    try:
        kept = api.patch("PersistentVolume", write.volume.name, encode.volume_patch(write), encode.MERGE)
        _join(api, key, write.volume.name)
    except RefusedError as error:
        return [VolumeRefused(write.pod.uid, write.claim.uid, error.cause, error.message)]
    return [VolumeWritten(write.pod.uid, write.claim.uid, kept["metadata"]["resourceVersion"])]


def make(api: "Api", write: SelectNode) -> Sequence[Event]:
    """Set the node on a claim; a provisioner makes the volume there."""
    key = f"{write.claim.namespace}/{write.claim.name}"
    try:
        body = encode.selected_node_patch(write.claim, write.claim.resource_version, write.node)
        asked = api.patch("PersistentVolumeClaim", key, body, encode.MERGE)
        _join(api, key, _create(api, key, write.node))
    except RefusedError as error:
        return [VolumeRefused(write.pod.uid, write.claim.uid, error.cause, error.message)]
    return [VolumeWritten(write.pod.uid, write.claim.uid, asked["metadata"]["resourceVersion"])]


def _create(api: "Api", key: str, node: str | None) -> str:
    """A volume for a claim, on a node or for all of them; returns its name."""
    claim = api.get("PersistentVolumeClaim", key)
    spec = claim.get("spec") or {}
    name = f"pvc-{claim['metadata']['uid']}"
    made: Raw = {
        "capacity": {"storage": ((spec.get("resources") or {}).get("requests") or {}).get("storage", "0")},
        "accessModes": spec.get("accessModes") or [],
        "volumeMode": spec.get("volumeMode") or "Filesystem",
        "storageClassName": spec.get("storageClassName") or "",
    }
    host = (api.get("Node", node)["metadata"].get("labels") or {}).get(_HOST) if node is not None else None
    if host:
        line = {"key": _HOST, "operator": "In", "values": [host]}
        made["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [line]}]}}
    api.create({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": made})
    return name


def _join(api: "Api", key: str, name: str) -> None:
    """Bind a claim and a volume to each other."""
    claim, volume = api.get("PersistentVolumeClaim", key), api.get("PersistentVolume", name)
    metadata = claim["metadata"]
    reference = {"kind": "PersistentVolumeClaim", **{part: metadata[part] for part in ("namespace", "name", "uid")}}
    bound: Raw = {"status": {**(volume.get("status") or {}), "phase": "Bound"}}
    api.put({**volume, "spec": {**volume["spec"], "claimRef": reference}, **bound})
    annotations = {**(metadata.get("annotations") or {}), BIND_COMPLETED: "yes"}
    spec: Any = {**(claim.get("spec") or {}), "volumeName": name}
    api.put({**claim, "metadata": {**metadata, "annotations": annotations}, "spec": spec, "status": {"phase": "Bound"}})


def _fits(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    return (
        volume.holder is None
        and volume.phase in {"", AVAILABLE}
        and volume.storage_class == claim.storage_class
        and volume.mode == claim.mode
        and set(claim.modes) <= set(volume.modes)
        and (claim.selector is None or selects_labels(claim.selector, volume.labels))
        and volume.capacity.nanos >= (claim.size.nanos if claim.size is not None else 0)
    )


def settle(raw: Raw) -> Raw:
    """A volume as the controller leaves it: one that nobody has is available."""
    free = not (raw.get("spec") or {}).get("claimRef") and not (raw.get("status") or {}).get("phase")
    return {**raw, "status": {**(raw.get("status") or {}), "phase": AVAILABLE}} if free else raw


def _volume(raw: Raw) -> PersistentVolume:
    found = decode.decode("PersistentVolume", raw)
    assert isinstance(found, PersistentVolume)
    return found


def _claim(api: "Api", key: str) -> PersistentVolumeClaim:
    found = decode.decode("PersistentVolumeClaim", api.get("PersistentVolumeClaim", key))
    assert isinstance(found, PersistentVolumeClaim)
    return found
