"""Scores beside those of kube-scheduler's own plugins: `python -m e2e.oracle.plain.scores --cases N --seed S`.

A case is a cluster with labels, soft taints, images, storage and pods that prefer things, and pods to find nodes for.
Ours may be off by one percent, since upstream rounds down to whole ones, at places twice. Exits with 1 when one is off
by more.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from e2e.oracle.plain import golden
from e2e.oracle.plain.generator import Json
from e2e.oracle.plain.ours import Cluster
from e2e.oracle.plain.upstream import program
from e2e.oracle.upstream import Oracle
from scheduler.cluster.decode import decode
from scheduler.core.budget import Budget
from scheduler.core.candidates import Candidates
from scheduler.core.catalogue import Catalogue
from scheduler.core.config import EngineConfig
from scheduler.core.demand import Refusal, resolve
from scheduler.core.model import Pod
from scoring.opinion import Opinion
from scoring.weights import Weights

SCORERS: Final = {
    "NodeAffinity": "affinity",
    "TaintToleration": "welcome",
    "ImageLocality": "images",
    "InterPodAffinity": "company",
    "PodTopologySpread": "evenness",
    "VolumeBinding": "storage",
    "NodeResourcesFit": "least",
    "NodeResourcesBalancedAllocation": "balanced",
}
"""Upstream's plugins and our scorers."""
SILENT: Final = {"affinity": 0.0, "welcome": 1.0, "images": 0.0, "company": 0.0, "storage": 0.0}
"""What upstream says to a pod that states nothing, of whom ours then is not asked."""
TOLERATED: Final = 0.0201
OPINION: Final = Opinion(Weights({"least": 1.0, "most": 1.0, "balanced": 1.0}))
ZONE, HOST, DISK, APP = "topology.kubernetes.io/zone", "kubernetes.io/hostname", "disk", "app"
MEGABYTE: Final = 1024 * 1024
GOLDEN: Final = Path(__file__).resolve().parents[3] / "tests/oracle/plain-scores.jsonl.gz"


class Draw(random.Random):
    """Words for chances."""

    def chance(self, probability: float) -> bool:
        return self.random() < probability


def _node(dice: Draw, name: str, sizes: dict[str, int]) -> Json:
    labels = {HOST: name, DISK: dice.choice(["ssd", "hdd", "nvme"])}
    if dice.chance(0.8):
        labels[ZONE] = dice.choice(["a", "b", "c"])
    taints = [{"key": key, "value": "", "effect": "PreferNoSchedule"} for key in ("x", "y") if dice.chance(0.3)]
    # An image has one size: upstream keeps no more than that of the node that told it last.
    images = [{"names": [f"r.io/{each}:1"], "sizeBytes": size} for each, size in sizes.items() if dice.chance(0.4)]
    room = {"cpu": str(dice.choice([2, 4, 8])), "memory": f"{dice.choice([4, 8, 16])}Gi", "pods": "20"}
    return {
        "metadata": {"name": name, "uid": name, "labels": labels},
        "spec": {"taints": taints},
        "status": {"allocatable": room, "capacity": room, "images": images},
    }


def _term(dice: Draw) -> Json:
    selector = {"matchLabels": {APP: dice.choice(["web", "db"])}}
    more: Json = dice.choice([{}, {}, {"namespaces": ["one", "two"]}, {"namespaceSelector": {}}])
    return {"topologyKey": dice.choice([ZONE, HOST, DISK]), "labelSelector": selector, **more}


def _pod(dice: Draw, name: str, node: str = "") -> Json:
    containers = []
    for number in range(dice.choice([1, 1, 2])):
        asked = {"cpu": f"{dice.randrange(0, 900, 50)}m", "memory": f"{dice.randrange(0, 900, 50)}Mi"}
        requests = {key: value for key, value in asked.items() if dice.chance(0.8)}
        image = f"r.io/{dice.choice(['big', 'small', 'odd', 'none'])}:1"
        containers.append({"name": f"c{number}", "image": image, "resources": {"requests": requests}})
    affinity: Json = {}
    weighted = [
        {"weight": dice.choice([1, 10, 100]), "podAffinityTerm": _term(dice)} for _ in range(dice.choice([0, 1, 2]))
    ]
    for each in weighted:
        kind = affinity.setdefault(dice.choice(["podAffinity", "podAntiAffinity"]), {})
        kind.setdefault("preferredDuringSchedulingIgnoredDuringExecution", []).append(each)
    if node and dice.chance(0.2):
        kind = affinity.setdefault("podAffinity", {})
        kind["requiredDuringSchedulingIgnoredDuringExecution"] = [_term(dice)]
    if dice.chance(0.5):
        disks = [{"matchExpressions": [{"key": DISK, "operator": "In", "values": [each]}]} for each in ("ssd", "nvme")]
        preferred = [{"weight": dice.randrange(1, 101), "preference": each} for each in disks]
        affinity["nodeAffinity"] = {"preferredDuringSchedulingIgnoredDuringExecution": preferred}
    app = dice.choice(["web", "db", "none"])
    spec: Json = {"schedulerName": "dovetail", "containers": containers, "affinity": affinity}
    if dice.chance(0.3):
        spec["nodeSelector"] = {DISK: dice.choice(["ssd", "hdd"])}
    if dice.chance(0.4):
        spec["tolerations"] = [{"key": "x", "operator": "Exists", "effect": dice.choice(["", "PreferNoSchedule"])}]
    if not node and dice.chance(0.6):
        spec["topologySpreadConstraints"] = [
            {
                "topologyKey": key, "maxSkew": dice.choice([1, 2, 3]), "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {APP: app}},
                **dice.choice([{}, {"nodeAffinityPolicy": "Ignore"}, {"nodeTaintsPolicy": "Honor"}]),
            }
            for key in dice.sample([ZONE, HOST, DISK], dice.choice([1, 2]))
        ]  # fmt: skip
    if node:
        spec["nodeName"] = node
    namespace = dice.choice(["one", "one", "two"])
    metadata = {"name": name, "namespace": namespace, "uid": name, "labels": {APP: app}}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Running" if node else "Pending"}}


MAKES: Final = ("made", "zonal", "free")  # classes whose driver makes volumes; of `free` there are some, too
CLASSES: Final = (*MAKES, "local", "unmeasured")
CLAIMS: Final = tuple(f"c{number}" for number in range(6))
DRIVER: Final = "d.csi.example.com"


def _at(key: str, *values: str) -> Json:
    terms = [{"matchExpressions": [{"key": key, "operator": "In", "values": [*values]}]}]
    return {"required": {"nodeSelectorTerms": terms}}


def _storage(dice: Draw, nodes: list[str]) -> dict[str, list[Json]]:
    """Classes, free volumes, claims that wait for their first pod or have a volume, and what the driver has room for.

    Of two volumes of one size, and of two capacities for one node, upstream takes any: there are none.
    """
    sizes = [f"{size}Mi" for size in dice.sample(range(256, 8192, 32), 40)]
    zonal = [{"matchLabelExpressions": [{"key": ZONE, "values": ["a", "b"]}]}]
    found: dict[str, list[Json]] = {
        "storageClasses": [
            {
                "metadata": {"name": name, "uid": name}, "volumeBindingMode": "WaitForFirstConsumer",
                "provisioner": {"local": "kubernetes.io/no-provisioner", "unmeasured": "e.csi.example.com"}.get(
                    name, DRIVER
                ),
                **({"allowedTopologies": zonal} if name == "zonal" else {}),
            }
            for name in CLASSES
        ],
        "csiDrivers": [{"metadata": {"name": DRIVER, "uid": DRIVER}, "spec": {"storageCapacity": True}}],
        "csiStorageCapacities": [
            {
                "metadata": {"name": f"{name}-{value}", "namespace": "one", "uid": f"{name}-{value}"},
                "storageClassName": name, "capacity": f"{dice.randrange(1, 30)}Gi",
                "nodeTopology": {"matchLabels": {DISK: value}},
                **dice.choice([{}, {"maximumVolumeSize": "2Gi"}]),
            }
            for name in MAKES for value in ("ssd", "hdd", "nvme") if dice.chance(0.8)
        ],
        "persistentVolumes": [],
        "persistentVolumeClaims": [],
    }  # fmt: skip
    for number in range(dice.randrange(0, 12)):
        where: Json = dice.choice([{}, _at(DISK, "ssd", "nvme"), _at(ZONE, "a"), *[_at(HOST, each) for each in nodes]])
        spec = {"storageClassName": dice.choice(["local", "local", "free"]), "csi": _csi(f"pv{number}")}
        found["persistentVolumes"].append(_volume(f"pv{number}", sizes.pop(), {**spec, "nodeAffinity": where}))
    for namespace in ("one", "two"):
        for name in CLAIMS:
            metadata: Json = {"name": name, "namespace": namespace, "uid": f"{namespace}-{name}"}
            size = sizes.pop()
            spec = {"storageClassName": dice.choice(CLASSES), "accessModes": ["ReadWriteOnce"]}
            spec["resources"] = {"requests": {"storage": size}}
            if dice.chance(0.15):
                metadata["annotations"] = {"pv.kubernetes.io/bind-completed": "yes"}
                spec["volumeName"] = f"{namespace}-{name}"
                claim = {"kind": "PersistentVolumeClaim", **metadata}
                claim.pop("annotations")
                whole = {"storageClassName": spec["storageClassName"], "csi": _csi(spec["volumeName"])}
                kept = _volume(f"{namespace}-{name}", size, {**whole, "claimRef": claim})
                found["persistentVolumes"].append(kept | {"status": {"phase": "Bound"}})
            elif dice.chance(0.1):
                metadata["annotations"] = {"volume.kubernetes.io/selected-node": dice.choice(nodes)}
            found["persistentVolumeClaims"].append({"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}})
    return found


def _csi(handle: str) -> Json:
    return {"driver": DRIVER, "volumeHandle": handle}


def _volume(name: str, size: str, spec: Json) -> Json:
    own = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain"}
    metadata = {"name": name, "uid": name}
    return {"metadata": metadata, "spec": {**own, **{key: value for key, value in spec.items() if value}},
            "status": {"phase": "Available"}}  # fmt: skip


def make(seed: int, number: int) -> Json:
    """One case."""
    dice = Draw(f"{seed}/{number}")
    names = [f"n{each}" for each in range(dice.randrange(2, 7))]
    sizes = {name: dice.randrange(10, 1500) * MEGABYTE for name in ("big", "small", "odd")}
    return {
        "id": f"{seed}/{number}",
        "scored": True,
        "nodes": [_node(dice, name, sizes) for name in names],
        "pods": [_pod(dice, f"p{each}", dice.choice(names)) for each in range(dice.randrange(0, 12))],
        "namespaces": [{"metadata": {"name": name, "labels": {}}} for name in ("one", "two")],
        "asked": [_with_volumes(dice, _pod(dice, f"q{each}")) for each in range(3)],
        **_storage(dice, names),
    }


def _with_volumes(dice: Draw, pod: Json) -> Json:
    claims = dice.sample(CLAIMS, dice.choice([0, 1, 1, 1, 2, 3]))
    pod["spec"]["volumes"] = [{"name": each, "persistentVolumeClaim": {"claimName": each}} for each in claims]
    return pod


def ours(case: Json, asked: Json) -> dict[str, dict[str, float]]:
    """Scores by node and scorer, of the nodes that fit."""
    cluster = Cluster(case)
    pod = decode("Pod", asked)
    assert isinstance(pod, Pod)
    cluster.state.put_pod(pod)
    ways = resolve(pod, cluster.state)
    assert not isinstance(ways, Refusal), ways.message
    candidates = Candidates(ways.open[0].demand, Catalogue(EngineConfig()), OPINION)
    candidates.refresh(cluster.state, Budget(10**12))
    choices = {name: candidates.at(cluster.state, name) for name in cluster.names}
    return {name: dict(choice.option.scores) for name, choice in choices.items() if choice is not None}


def differences(case: Json, answer: Json, seen: Counter[str]) -> Iterator[str]:
    """Everything that differs in a case; seen : grows by what was compared."""
    for asked, told in zip(case["asked"], answer["answers"], strict=True):
        where = f"{case['id']} {asked['metadata']['name']}"
        found = ours(case, asked)
        if sorted(found) != told["feasible"]:
            yield f"{where}: we have {sorted(found)}, upstream {told['feasible']}"
            continue
        for plugin, by_node in (told.get("scores") or {}).items():
            scorer = SCORERS.get(plugin)
            for node, percents in by_node.items() if scorer is not None else ():
                score = found[node].get(scorer, SILENT.get(scorer))
                if score is None:
                    continue
                seen[plugin] += 1
                if abs(score - percents / 100) > TOLERATED:
                    yield f"{where} on {node}: {scorer} {score:.3f}, {plugin} {percents}"


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"keep cases and answers in {GOLDEN.name}")
    chosen = parser.parse_args()
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    kept: list[Json] = []
    with Oracle(program()) as oracle:
        for number in range(chosen.cases):
            answer = oracle.ask(make(chosen.seed, number))
            if answer["outcome"] != "ok":
                wrong.append(f"{chosen.seed}/{number}: {answer}")
                continue
            wrong += differences(answer["stored"], answer, seen)
            kept.append({"case": golden.lean(answer["stored"]), "answers": answer["answers"]})
    if chosen.write:
        print(golden.write(GOLDEN, kept))
    print("\n".join([*wrong[:20], f"{len(wrong)} differences in {chosen.cases} cases, scores compared: {dict(seen)}"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
