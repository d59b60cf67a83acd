"""Nodes: where they are, what they offer and what keeps pods off them."""

from typing import Final

from e2e.oracle.plain.generator.dice import (
    DISK,
    FEATURE,
    GENERATION,
    HOST,
    OLD_ZONE,
    RACK,
    REGION,
    ZONE,
    Dice,
    Json,
)

UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
TAINTS: Final[tuple[Json, ...]] = (
    {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"},
    {"key": "dedicated", "value": "db", "effect": "NoSchedule"},
    {"key": "dedicated", "value": "gpu", "effect": "NoExecute"},
    {"key": "dedicated", "value": "gpu", "effect": "PreferNoSchedule"},
    {"key": "example.com/spot", "effect": "NoSchedule"},
    {"key": "example.com/spot", "value": "5", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"},
    {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"},
    {"key": UNSCHEDULABLE, "effect": "NoSchedule"},
)
_GENERATIONS: Final = ("3", "5", "10", "0", "x", "", "9223372036854775807", "9223372036854775808", "007")


def draw_nodes(dice: Dice) -> list[Json]:
    """All nodes of a cluster, n0 and so on."""
    return [_node(dice, f"n{number}") for number in range(dice.of(3, 4, 5, 6, 6, 8))]


def _node(dice: Dice, name: str) -> Json:
    metadata: Json = {"name": name, "uid": f"uid-{name}", "labels": _labels(dice, name)}
    if dice.chance(0.03):
        metadata |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/wait"]}
    spec: Json = {}
    taints: list[Json] = []
    if dice.trouble("TaintToleration", 0.6):
        for taint in (dice.of(*TAINTS) for _ in range(dice.of(1, 1, 2, 3))):
            if all((each["key"], each["effect"]) != (taint["key"], taint["effect"]) for each in taints):
                taints.append(dict(taint))
    if dice.trouble("NodeUnschedulable", 0.4):
        spec["unschedulable"] = True
        if dice.chance(0.3) and all(each["key"] != UNSCHEDULABLE for each in taints):
            taints.append({"key": UNSCHEDULABLE, "effect": "NoSchedule"})
    if taints:
        spec["taints"] = taints
    status: Json = {"allocatable": _allocatable(dice)}
    if dice.has("NodeDeclaredFeatures"):
        declared = dice.some(("GuaranteedQoSPodCPUResize", FEATURE), 0.5)
        if declared:
            status["declaredFeatures"] = declared
    return {"metadata": metadata, "spec": spec, "status": status}


def _labels(dice: Dice, name: str) -> Json:
    zone = dice.of("a", "a", "b", "b", "c")
    labels = {HOST: name, ZONE: zone, RACK: f"{zone}{dice.of(1, 1, 2)}", DISK: dice.of("ssd", "ssd", "hdd", "")}
    if dice.has("NodeAffinity"):
        labels[GENERATION] = dice.of(*_GENERATIONS)
    if dice.chance(0.6):
        labels[REGION] = dice.of("r1", "r1", "r2")
    if dice.has("VolumeZone") and dice.chance(0.3):
        labels[OLD_ZONE] = dice.of(zone, zone, "b")
    odd = dice.chance(0.3)
    labels = {key: value for key, value in labels.items() if not (odd and dice.chance(0.2))}
    if dice.chance(0.04):
        labels[HOST] = dice.of("n0", "other")
    return labels


def _allocatable(dice: Dice) -> Json:
    if not dice.has("NodeResourcesFit"):
        return {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110"}
    found: Json = {
        "cpu": dice.of("2", "3", "4", "3900m", "2500m"),
        "memory": dice.of("4Gi", "8Gi", "8192Mi", "7.5Gi", "8e9", "6000M"),
        "ephemeral-storage": dice.of("20Gi", "100Gi", "10G"),
        "pods": dice.of("110", "110", "110", "4", "3", "2"),
    }
    if dice.chance(0.5):
        found["example.com/gpu"] = dice.of("0", "1", "2", "4")
    if dice.chance(0.3):
        found["hugepages-2Mi"] = dice.of("64Mi", "1Gi")
    if dice.chance(0.08):
        found.pop(dice.of(*found))
    return found
