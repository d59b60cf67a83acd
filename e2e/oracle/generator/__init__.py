"""Seeded cases of one node and one pod, as API objects: small, nasty, and legal one object at a time.

A case has trouble of a few families, so that what is wrong in one way is mostly right in all others. Its draw depends
on its seed and number alone.
"""

from typing import Final

from e2e.oracle.generator.dice import FAMILIES, HOST, IMPOSSIBLE, NODE, OTHER, Dice, Json
from e2e.oracle.generator.gates import ALL, DEFAULTS, draw_features, stable
from e2e.oracle.generator.held import draw_held
from e2e.oracle.generator.inventory import draw_slices, draw_taint_rules
from e2e.oracle.generator.workload import draw_claims, draw_classes

__all__ = ["ALL", "DEFAULTS", "FAMILIES", "IMPOSSIBLE", "Dice", "Json", "make", "merged", "pod", "question", "stable"]

DECLARED: Final = ("DRAOptionalNodeOperations", "SomethingElse")


def make(seed: int, number: int) -> Json:
    """One case: its families, features (absent: defaults of 1.37), and all the objects of its small cluster."""
    dice = Dice(seed, number)
    features = draw_features(dice)
    classes = draw_classes(dice)
    slices = draw_slices(dice)
    case: Json = {
        "id": f"{seed}/{number}",
        "families": sorted(dice.families),
        **({} if features is None else {"features": features}),
        "node": _node(NODE, {"zone": dice.of("a", "a", "b"), "rank": dice.of("3", "5", "x")}),
        "others": [_node(OTHER, {"zone": "b"})] if dice.chance(0.5) else [],
        "claims": draw_claims(dice),
        "classes": classes,
        "slices": slices,
        "taintRules": draw_taint_rules(dice) if dice.has("taint rules") else [],
        "allocatedClaims": draw_held(dice, slices),
    }
    if dice.has("node operations") and dice.chance(0.7):
        case["node"]["status"]["declaredFeatures"] = list(dice.of(DECLARED[:1], DECLARED, DECLARED[1:]))
    if stable(features):
        if _at_random(dice, case):
            case["features"] = {**case["features"], "FractionalCapacityRange": True}
        else:
            case["slices"] = sorted(slices, key=lambda item: str(item["metadata"]["name"]))
    return case


def _at_random(dice: Dice, case: Json) -> bool:
    """Whether an attempt may end, or not, by what upstream's stable copy meets first on its random walk."""
    if dice.has("selectors", "selector errors", "skew", "device nodes"):
        return True
    claims = [claim["spec"]["devices"] for claim in case["claims"]]
    return any("constraints" in devices for devices in claims) and "'All'" in str(claims)


def _node(name: str, labels: dict[str, str]) -> Json:
    return {
        "metadata": {"name": name, "uid": f"node-{name}", "labels": {HOST: name, **labels}},
        "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}},
    }


def pod(case: Json) -> Json:
    """The pod of a case, which may run on the case's node only."""
    names = [claim["metadata"]["name"] for claim in case["claims"]]
    entries = [{"name": f"e{i}", "resourceClaimName": name} for i, name in enumerate(names)]
    containers = [{"name": "main", "resources": {"claims": [{"name": entry["name"]} for entry in entries]}}]
    here = {"key": "metadata.name", "operator": "In", "values": [case["node"]["metadata"]["name"]]}
    only_here = {"nodeSelectorTerms": [{"matchFields": [here]}]}
    return {
        "metadata": {"name": "p", "namespace": "default", "uid": "pod-p", "resourceVersion": "1"},
        "spec": {
            "schedulerName": "dovetail",
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": only_here}},
            "containers": containers,
            "resourceClaims": entries,
        },
        "status": {"phase": "Pending"},
    }


def question(case: Json, timeout: float) -> Json:
    """A case as the oracle wants it: taint rules are applied to the slices, which it takes for granted."""
    kept = ("id", "node", "claims", "classes", "allocatedClaims", "features")
    asked = {key: case[key] for key in kept if key in case}
    return {**asked, "timeoutSeconds": timeout, "slices": merged(case["slices"], case.get("taintRules", []))}


def merged(slices: list[Json], rules: list[Json]) -> list[Json]:
    """The slices with the taints of the rules added, as kube-scheduler's slice tracker does."""
    return [_tainted(item, rules) for item in slices] if rules else slices


def _tainted(item: Json, rules: list[Json]) -> Json:
    spec = item["spec"]
    devices = []
    for device in spec.get("devices", []):
        taints = list(device.get("taints", []))
        for rule in rules:
            selector = rule["spec"].get("deviceSelector")
            facts = {"driver": spec["driver"], "pool": spec["pool"]["name"], "device": device["name"]}
            if selector is not None and all(facts[key] == value for key, value in selector.items()):
                taints.append(rule["spec"]["taint"])
        devices.append({**device, "taints": taints} if taints else device)
    return {**item, "spec": {**spec, "devices": devices}} if devices else item
