"""Pods: those that run, those that are nominated, and those that are asked about."""

from typing import Final

from e2e.oracle.plain.generator.dice import (
    DISK,
    GENERATION,
    HOST,
    NAMESPACES,
    NOMINATED,
    RACK,
    ZONE,
    Dice,
    Json,
)
from e2e.oracle.plain.generator.nodes import TAINTS, UNSCHEDULABLE
from e2e.oracle.plain.generator.topology import draw_labels, draw_pod_affinity, draw_spread
from e2e.oracle.plain.generator.volumes import Storage, draw_volumes

_CPU: Final = ("100m", "250m", "500m", "500m", "1", "1500m", "0.5", "0")
_MEMORY: Final = ("64Mi", "512Mi", "1Gi", "1Gi", "2G", "1.5Gi", "0")
_NODES: Final[dict[str, tuple[str, ...]]] = {
    ZONE: ("a", "b", "c"), RACK: ("a1", "a2", "b1"), DISK: ("ssd", "hdd", ""), HOST: ("n0", "n1", "n2"),
    GENERATION: ("3", "5", "10", "0", "x", "9223372036854775807", "9223372036854775808"), "absent": ("1",),
}  # fmt: skip


def draw_pods(dice: Dice, names: list[str], storage: Storage) -> list[Json]:
    """Pods that run on the nodes, have run there, or are nominated to them."""
    found = []
    for number in range(dice.of(1, 1, 2, 3) * len(names)):
        pod = _pod(dice, f"p{number}", storage, 0.5, runs=True)
        kind = dice.of(*["running"] * 12, "ended", "terminating", "gone", "waiting")
        if dice.trouble(NOMINATED, 0.35):
            pod["status"] = {"phase": "Pending", "nominatedNodeName": dice.of(*names)}
        elif kind != "waiting":
            pod["spec"]["nodeName"] = "gone" if kind == "gone" else dice.of(*names)
            pod["status"] = {"phase": dice.of("Succeeded", "Failed") if kind == "ended" else "Running"}
            if dice.trouble("NodeResourcesFit", 0.3):
                _resize(dice, pod)
        if kind == "terminating":
            pod["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
        found.append(pod)
    return found


def draw_asked(dice: Dice, number: int, names: list[str], storage: Storage) -> Json:
    """A pod to find nodes for."""
    pod = _pod(dice, f"q{number}", storage, 0.75, runs=False)
    if dice.trouble(NOMINATED, 0.2):
        pod["status"]["nominatedNodeName"] = dice.of(*names)
    return pod


def _pod(dice: Dice, name: str, storage: Storage, probability: float, *, runs: bool) -> Json:
    """A pod that is about each family of the cluster with this probability, about the cluster's rule surely."""

    def about(family: str) -> bool:
        return family == dice.rule or dice.trouble(family, probability)

    labels = draw_labels(dice)
    metadata = {"name": name, "namespace": dice.of(*NAMESPACES), "uid": f"uid-{name}", "labels": labels}
    spec: Json = {"schedulerName": "dovetail", "containers": [{"name": "main", "image": "i"}]}
    if dice.has(NOMINATED) and dice.chance(0.7):
        spec["priority"] = dice.of(0, 10, 10, 100, -5)
    if about("NodeResourcesFit"):
        _resources(dice, spec)
    if about("NodePorts"):
        _ports(dice, spec)
    if dice.has("TaintToleration", "NodeUnschedulable"):
        spec["tolerations"] = [_toleration(dice) for _ in range(dice.of(0, 1, 1, 2, 3))]
    affinity: Json = {}
    if about("NodeAffinity"):
        if dice.chance(0.4):
            spec["nodeSelector"] = {key: dice.of(*_NODES[key]) for key in dice.some((ZONE, DISK, GENERATION), 0.5)}
        if dice.chance(0.75):
            terms = [_term(dice) for _ in range(dice.of(1, 1, 2, 3))]
            affinity["nodeAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    if about("InterPodAffinity"):
        affinity |= draw_pod_affinity(dice, labels)
    if affinity:
        spec["affinity"] = affinity
    if about("PodTopologySpread"):
        spec["topologySpreadConstraints"] = draw_spread(dice, labels)
    if about("NodeDeclaredFeatures"):
        spec["containers"][0]["restartPolicyRules"] = [_exit_rule("RestartAllContainers")]
        spec["containers"][0]["restartPolicy"] = "Never"
        if dice.chance(0.25):
            spec["containers"][0]["restartPolicyRules"] = [_exit_rule("Restart")]
    volumes = draw_volumes(dice, metadata, storage, about, runs=runs)
    if volumes:
        spec["volumes"] = volumes
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}


def _exit_rule(action: str) -> Json:
    return {"action": action, "exitCodes": {"operator": "In", "values": [42]}}


# ---------------------------------------------------------------- nodes it may run on


def _term(dice: Dice) -> Json:
    found: Json = {}
    kind = dice.of(*["labels"] * 7, "fields", "both", "nothing")
    if kind in {"labels", "both"}:
        found["matchExpressions"] = [_requirement(dice) for _ in range(dice.of(1, 1, 2))]
    if kind in {"fields", "both"}:
        name = {"key": "metadata.name", "operator": dice.of("In", "In", "NotIn"), "values": [dice.of("n0", "n1", "n9")]}
        found["matchFields"] = [name]
    return found


def _requirement(dice: Dice) -> Json:
    key = dice.of(*_NODES, GENERATION)
    operator = dice.of("In", "In", "NotIn", "Exists", "DoesNotExist", *(["Gt", "Lt"] if key != ZONE else []))
    if key == GENERATION and dice.chance(0.6):
        operator = dice.of("Gt", "Lt")
    if operator in {"Exists", "DoesNotExist"}:
        return {"key": key, "operator": operator}
    count = 1 if operator in {"Gt", "Lt"} else dice.of(1, 2)
    return {"key": key, "operator": operator, "values": sorted({dice.of(*_NODES[key]) for _ in range(count)})}


def _toleration(dice: Dice) -> Json:
    taint = dice.of(*TAINTS)
    if dice.has("NodeUnschedulable") and dice.chance(0.4):
        taint = {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
    kind = dice.of("exists", "exists", "equal", "equal", "default", "all", "other")
    if kind == "all":
        found: Json = {"operator": "Exists"}
    elif kind == "exists":
        found = {"key": taint["key"], "operator": "Exists"}
    else:
        value = dice.of("gpu", "", "db") if kind == "other" else taint.get("value", "")
        found = {"key": taint["key"], **({"operator": "Equal"} if kind == "equal" else {}), "value": value}
    effect = dice.of(taint["effect"], taint["effect"], "", "NoSchedule", "NoExecute")
    if effect:
        found["effect"] = effect
    if effect == "NoExecute" and dice.chance(0.3):
        found["tolerationSeconds"] = dice.of(0, 300)
    return found


# ---------------------------------------------------------------- what it takes of a node


def _ports(dice: Dice, spec: Json) -> None:
    if dice.chance(0.2):
        spec["hostNetwork"] = True
    sidecar = {"name": "side", "image": "i", "restartPolicy": "Always"}
    starter = {"name": "start", "image": "i"}
    taken = set()
    for _ in range(dice.of(1, 1, 2, 3)):
        number, protocol, address = dice.of(80, 80, 443, 8080), dice.of("TCP", "TCP", "UDP", "SCTP"), _address(dice)
        if (number, protocol) in taken:
            continue
        taken.add((number, protocol))
        port: Json = {"containerPort": number}
        if not spec.get("hostNetwork") and dice.chance(0.9):
            port["hostPort"] = number
        if protocol != "TCP" or dice.chance(0.3):
            port["protocol"] = protocol
        if address and "hostPort" in port:
            port["hostIP"] = address
        place = dice.of(*[spec["containers"][0]] * 4, sidecar, starter)
        place.setdefault("ports", []).append(port)
    found = [each for each in (sidecar, starter) if "ports" in each]
    if found:
        spec["initContainers"] = spec.get("initContainers", []) + found


def _address(dice: Dice) -> str:
    return dice.of("", "", "", "0.0.0.0", "127.0.0.1", "10.0.0.1", "::", "::1")


def _amounts(dice: Dice) -> Json:
    found = {}
    if dice.chance(0.8):
        found["cpu"] = dice.of(*_CPU)
    if dice.chance(0.7):
        found["memory"] = dice.of(*_MEMORY)
    if dice.chance(0.2):
        found["ephemeral-storage"] = dice.of("1Gi", "5G", "8Gi")
    return found


def _requests(dice: Dice) -> Json:
    """Resources of a container: of what cannot be overcommitted, limits equal requests."""
    found: Json = {"requests": _amounts(dice)}
    if dice.chance(0.15):
        found = {"limits": found["requests"]}
    elif dice.chance(0.2) and "cpu" in found["requests"]:
        found["limits"] = {"cpu": "4"}
    exact: Json = {}
    if dice.chance(0.2):
        exact["example.com/gpu"] = dice.of("1", "1", "2")
    if dice.chance(0.1) and found.get("requests"):
        exact["hugepages-2Mi"] = dice.of("4Mi", "64Mi", "128Mi")
        found["requests"].setdefault("cpu", "100m")
    if exact:
        found["limits"] = {**found.get("limits", {}), **exact}
        if dice.chance(0.5):
            found["requests"] = {**found.get("requests", {}), **exact}
    return found


def _resources(dice: Dice, spec: Json) -> None:
    spec["containers"][0]["resources"] = _requests(dice)
    for number in range(dice.of(0, 0, 0, 1)):
        spec["containers"].append({"name": f"more-{number}", "image": "i", "resources": _requests(dice)})
    for number in range(dice.of(0, 0, 0, 1, 2, 3)):
        each: Json = {"name": f"init-{number}", "image": "i", "resources": _requests(dice)}
        if dice.chance(0.5):
            each["restartPolicy"] = "Always"
        spec.setdefault("initContainers", []).append(each)
    if dice.chance(0.15):
        spec["overhead"] = {"cpu": "250m", **({"memory": "128Mi"} if dice.chance(0.5) else {})}
    if dice.chance(0.25):
        whole: Json = {"cpu": "10", "memory": "12Gi"}
        if dice.chance(0.75):
            whole = {"cpu": dice.of("500m", "1", "2500m"), "memory": dice.of("512Mi", "1Gi", "3G")}
            for each in (*spec["containers"], *spec.get("initContainers", [])):
                each.pop("resources", None)
        spec["resources"] = {dice.of("requests", "requests", "limits"): dict(dice.some(whole.items(), 0.7))}


def _resize(dice: Dice, pod: Json) -> None:
    """A running pod's resize in place, under way, deferred or refused."""
    status = pod["status"]
    for field, containers in (("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")):
        found = []
        for each in pod["spec"].get(containers, []):
            told: Json = {"name": each["name"], "image": "i", "imageID": "", "ready": True, "restartCount": 0}
            if dice.chance(0.7):
                told["allocatedResources"] = _amounts(dice)
            if dice.chance(0.7):
                told["resources"] = {"requests": _amounts(dice)}
            found.append(told)
        if found:
            status[field] = found
    if "resources" in pod["spec"] and dice.chance(0.5):
        status["allocatedResources"] = {"cpu": dice.of("1", "5")}
        status["resources"] = {"requests": {"cpu": dice.of("2", "4"), "memory": "2Gi"}}
    kind = dice.of("", "", "Infeasible", "Infeasible", "Deferred", "InProgress")
    if kind == "InProgress":
        status["conditions"] = [{"type": "PodResizeInProgress", "status": "True"}]
    elif kind:
        status["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": kind}]
