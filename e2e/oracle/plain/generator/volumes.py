"""Storage of a cluster, and the volumes of pods.

Volumes of one class differ in size, and so do claims: of equals upstream takes any, and answers now this, now that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from e2e.oracle.plain.generator.dice import HOST, OLD_ZONE, REGION, VOLUMES, ZONE, Dice, Json

DRIVERS: Final = ("a.csi.example.com", "b.csi.example.com")
_MOVED: Final = {"kubernetes.io/gce-pd": "pd.csi.storage.gke.io", "kubernetes.io/aws-ebs": "ebs.csi.aws.com"}
"""In-tree plugins, and the drivers that attach their volumes where the node says so."""
_STATIC: Final = "kubernetes.io/no-provisioner"
_LATER: Final = "WaitForFirstConsumer"
_FAULTS: Final = ("now", "lost", "missing", "terminating", "no volume", "prebound")
_BOUND: Final = {"pv.kubernetes.io/bind-completed": "yes"}


@dataclass(slots=True)
class Storage:
    """Objects by the name of their field in a case. claims : names of claims by namespace; sizes : those not used."""

    objects: dict[str, list[Json]] = field(default_factory=dict)
    claims: dict[str, list[str]] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)

    def add(self, field_name: str, item: Json) -> None:
        self.objects.setdefault(field_name, []).append(item)

    def size(self) -> str:
        """One that nothing else has."""
        return f"{self.sizes.pop()}Mi"


def draw_storage(dice: Dice, nodes: list[str]) -> Storage:
    """Classes, volumes, claims, and what drivers say of nodes; nothing if no rule is about volumes."""
    found = Storage(sizes=dice.shuffled(range(512, 4096, 64)))
    if not dice.has(*VOLUMES):
        return found
    classes = _classes(dice, found)
    _drivers(dice, found, nodes, classes)
    for namespace in ("default", "team-a", "team-b"):
        for number in range(dice.of(2, 3, 4)):
            _claim(dice, found, namespace, f"c{number}", classes)
    for number in range(dice.of(0, 1, 2, 3)):
        each = dice.of(*classes)
        mine = _persistent(dice, f"free-{number}", each, found.size())
        if dice.chance(0.15):
            mine["spec"]["claimRef"] = {
                "kind": "PersistentVolumeClaim",
                "namespace": "default",
                "name": dice.of("c0", "x"),
            }
        mine["status"] = {"phase": dice.of("Available", "Available", "Available", "Released", "Pending")}
        mine["metadata"]["labels"] |= {"tier": "fast"} if dice.chance(0.3) else {}
        if dice.chance(0.1):
            mine["spec"]["volumeMode"] = "Block"
        if dice.chance(0.1):
            mine["metadata"] |= {
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "finalizers": ["kubernetes.io/pv-protection"],
            }
        found.add("persistentVolumes", mine)
    return found


def _classes(dice: Dice, found: Storage) -> list[str]:
    topology = [{"matchLabelExpressions": [{"key": ZONE, "values": dice.of(["a"], ["a", "b"], ["c"])}]}]
    if dice.chance(0.3):
        topology.append({"matchLabelExpressions": [{"key": REGION, "values": ["r2"]}]})
    drawn: dict[str, Json] = {
        "later": {"provisioner": DRIVERS[0], "volumeBindingMode": _LATER},
        "zonal": {"provisioner": DRIVERS[1], "volumeBindingMode": _LATER, "allowedTopologies": topology},
        "local": {"provisioner": _STATIC, "volumeBindingMode": _LATER},
        "now": {"provisioner": DRIVERS[0], "volumeBindingMode": "Immediate"},
        "disk": {"provisioner": "kubernetes.io/gce-pd", "volumeBindingMode": _LATER},
    }
    for name, each in drawn.items():
        found.add("storageClasses", {"metadata": {"name": name, "uid": f"uid-{name}"}, **each})
    return [*drawn, *("later", "zonal", "local") * 4]


def _drivers(dice: Dice, found: Storage, nodes: list[str], classes: list[str]) -> None:
    for name in DRIVERS:
        if dice.chance(0.7):
            spec: Json = {"attachRequired": True, "storageCapacity": dice.chance(0.5)}
            if dice.chance(0.4):
                spec["preventPodSchedulingIfMissing"] = dice.chance(0.7)
            found.add("csiDrivers", {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": spec})
    for number in range(dice.of(0, 1, 2, 3)):
        capacity: Json = {"metadata": {"name": f"cap-{number}", "namespace": "default", "uid": f"uid-cap-{number}"}}
        capacity |= {"storageClassName": dice.of(*classes), "capacity": dice.of("1Gi", "2Gi", "8Gi", "0")}
        if dice.chance(0.9):
            by_zone = {"matchLabels": {ZONE: dice.of("a", "b")}}
            by_region = {"matchExpressions": [{"key": REGION, "operator": dice.of("Exists", "DoesNotExist")}]}
            capacity["nodeTopology"] = dice.of({}, by_zone, by_zone, by_region)
        if dice.chance(0.3):
            capacity["maximumVolumeSize"] = dice.of("512Mi", "1Gi", "4Gi")
        found.add("csiStorageCapacities", capacity)
    for name in nodes:
        if dice.chance(0.9):
            drivers = []
            metadata: Json = {"name": name, "uid": f"uid-{name}"}
            if dice.chance(0.5):
                metadata["annotations"] = {"storage.alpha.kubernetes.io/migrated-plugins": ",".join(_MOVED)}
            for driver in dice.some((*DRIVERS, *_MOVED.values()), 0.85):
                each: Json = {"name": driver, "nodeID": name, "topologyKeys": [ZONE]}
                if dice.trouble("NodeVolumeLimits", 0.8):
                    each["allocatable"] = {"count": dice.of(1, 1, 2, 2, 3, 0)}
                drivers.append(each)
            found.add("csiNodes", {"metadata": metadata, "spec": {"drivers": drivers}})


def _persistent(dice: Dice, name: str, storage_class: str, size: str) -> Json:
    """A volume. Provisioned ones are of a CSI driver, those of class local are on one node."""
    labels: Json = {}
    spec: Json = {
        "capacity": {"storage": size},
        "accessModes": dice.of(
            ["ReadWriteOnce"], ["ReadWriteOnce"], ["ReadWriteOnce", "ReadOnlyMany"], ["ReadWriteOncePod"]
        ),
        "storageClassName": storage_class,
        "persistentVolumeReclaimPolicy": "Retain",
    }
    terms: list[Json] = []
    if storage_class == "local":
        spec["local"] = {"path": "/data"}
        terms = [{"matchExpressions": [{"key": HOST, "operator": "In", "values": [dice.of("n0", "n1", "n2")]}]}]
    elif storage_class == "disk":
        kind, key = dice.of(("gcePersistentDisk", "pdName"), ("awsElasticBlockStore", "volumeID"))
        spec[kind] = {key: dice.of("d1", name)}
    else:
        driver = DRIVERS[1] if storage_class == "zonal" else DRIVERS[0]
        spec["csi"] = {"driver": driver, "volumeHandle": dice.of(name, name, name, "shared")}
        if dice.trouble("VolumeBinding", 0.5):
            expression = {"key": ZONE, "operator": "In", "values": dice.of(["a"], ["b"], ["a", "c"])}
            terms = [{"matchExpressions": [dice.of(expression, expression, {"key": REGION, "operator": "Exists"})]}]
    if terms:
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    if dice.trouble("VolumeZone", 0.7):
        labels[dice.of(ZONE, ZONE, OLD_ZONE)] = dice.of("a", "b", "a__b", "c")
        if dice.chance(0.3):
            labels[REGION] = dice.of("r1", "r2")
    return {"metadata": {"name": name, "uid": f"uid-{name}", "labels": labels}, "spec": spec}


def _claim(dice: Dice, found: Storage, namespace: str, name: str, classes: list[str]) -> None:
    found.claims.setdefault(namespace, []).append(name)
    kinds = ["bound"] * 8 + ["later"] * 5 + ["selected", *_FAULTS]
    if not dice.has("VolumeBinding"):
        kinds = ["bound"] * 12 + ["later"] * 3 + ["missing", "no volume"]
    _make_claim(dice, found, namespace, name, dice.of(*classes), dice.of(*kinds))


def _make_claim(
    dice: Dice, found: Storage, namespace: str, name: str, storage_class: str, kind: str, owner: Json | None = None
) -> None:
    if kind == "missing":
        return
    if kind == "now":
        storage_class = "now"
    elif kind in {"later", "selected"} and storage_class == "now":
        storage_class = "later"
    metadata: Json = {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}"}
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    size, modes = found.size(), dice.of(["ReadWriteOnce"], ["ReadWriteOnce"], ["ReadWriteOncePod"], ["ReadWriteMany"])
    if not dice.has("VolumeRestrictions") and modes == ["ReadWriteOncePod"]:
        modes = ["ReadWriteOnce"]
    spec: Json = {
        "accessModes": modes,
        "resources": {"requests": {"storage": size}},
        "storageClassName": storage_class,
        "volumeMode": "Filesystem",
    }
    if dice.chance(0.05) and kind == "later":
        metadata["annotations"] = {"volume.beta.kubernetes.io/storage-class": spec.pop("storageClassName")}
    elif dice.chance(0.05):
        spec["storageClassName"] = ""
    if dice.chance(0.1) and kind == "later":
        spec["selector"] = {"matchLabels": {"tier": "fast"}}
    if dice.chance(0.05):
        spec["volumeMode"] = "Block"
    phase = "Pending"
    if kind in {"bound", "lost", "terminating", "no volume"}:
        volume = f"pv-{namespace}-{name}"
        spec["volumeName"] = volume
        metadata.setdefault("annotations", {}).update(_BOUND if dice.chance(0.95) else {})
        phase = "Lost" if kind == "lost" else "Bound"
        if kind in {"bound", "terminating"}:
            mine = _persistent(dice, volume, storage_class, size)
            claim = {"kind": "PersistentVolumeClaim", "namespace": namespace, "name": name, "uid": metadata["uid"]}
            mine["spec"] |= {"claimRef": claim, "accessModes": modes, "volumeMode": spec["volumeMode"]}
            found.add("persistentVolumes", {**mine, "status": {"phase": "Bound"}})
            if "csi" in mine["spec"] and dice.trouble("NodeVolumeLimits", 0.3):
                attachment: Json = {"attacher": mine["spec"]["csi"]["driver"], "nodeName": dice.of("n0", "n1", "n2")}
                attachment["source"] = {"persistentVolumeName": volume}
                at = {"metadata": {"name": f"va-{volume}", "uid": f"uid-va-{volume}"}, "spec": attachment}
                found.add("volumeAttachments", {**at, "status": {"attached": True}})
    elif kind == "prebound":
        spec["volumeName"] = "free-0"
    elif kind == "selected":
        metadata["annotations"] = {"volume.kubernetes.io/selected-node": dice.of("n0", "n1", "gone")}
    if kind == "terminating":
        metadata |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["kubernetes.io/pvc-protection"]}
    found.add("persistentVolumeClaims", {"metadata": metadata, "spec": spec, "status": {"phase": phase}})


# ---------------------------------------------------------------- volumes of pods


def draw_volumes(dice: Dice, pod: Json, storage: Storage, about: Callable[[str], bool], *, runs: bool) -> list[Json]:
    """The volumes of a pod with this metadata. runs : whether it has a node, and so the claims that it owns."""
    found: list[Json] = []
    if storage.claims and any(about(family) for family in VOLUMES):
        names = storage.claims[pod["namespace"]]
        for name in dict.fromkeys(dice.of(*names) for _ in range(dice.of(1, 1, 1, 2, 3))):
            found.append({"name": f"v{len(found)}", "persistentVolumeClaim": {"claimName": name}})
        if dice.chance(0.2):
            found.append(_ephemeral(dice, pod, storage, runs=runs))
    if about("VolumeRestrictions") and dice.chance(0.8):
        found += [{"name": f"inline-{number}", **_inline(dice)} for number in range(dice.of(1, 1, 2))]
    if found and dice.chance(0.1):
        found.append({"name": "scratch", "emptyDir": {}})
    return found


def _ephemeral(dice: Dice, pod: Json, storage: Storage, *, runs: bool) -> Json:
    storage_class = dice.of("later", "zonal", "local")
    owner = {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"], "controller": True}
    kind = dice.of("later", "later", "bound", "missing", "bound" if runs else "stolen")
    if kind == "stolen":
        owner |= {"name": "other", "uid": "uid-other"}
    name = f"{pod['name']}-own"
    made = "later" if kind == "stolen" else kind
    _make_claim(dice, storage, pod["namespace"], name, storage_class, made, owner)
    template: Json = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "name": "own",
        "ephemeral": {"volumeClaimTemplate": {"spec": {**template, "storageClassName": storage_class}}},
    }


def _inline(dice: Dice) -> Json:
    read_only = {"readOnly": True} if dice.chance(0.4) else {}
    kind = dice.of("iscsi", "iscsi", "rbd", "rbd", "gce", "aws")
    if kind == "gce":
        return {"gcePersistentDisk": {"pdName": dice.of("d1", "d2"), **read_only}}
    if kind == "aws":
        return {"awsElasticBlockStore": {"volumeID": dice.of("d1", "d2"), **read_only}}
    if kind == "iscsi":
        name = dice.of("iqn.2026-01.com.example:a", "iqn.2026-01.com.example:b")
        return {"iscsi": {"targetPortal": "10.0.0.1", "iqn": name, "lun": 0, **read_only}}
    monitors = dice.of(["m1"], ["m1", "m2"], ["m2"], ["m3"])
    pool = {"pool": "other"} if dice.chance(0.2) else {}
    return {"rbd": {"monitors": monitors, "image": dice.of("i1", "i2"), **pool, **read_only}}
