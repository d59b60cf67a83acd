"""A simulation of the written claims puts every replica where the plan has it, and the checker agrees."""

import json

import pytest

from scheduler.sharing import command
from scheduler.simulator.fleet import device_classes, fleet
from scheduler.simulator.objects import read
from scheduler.simulator.run import simulate
from tests.sharing import small

YAML = """models:
- {name: chat, namespace: web, replicas: 3, memory: 18Gi, compute: 25%}
- {name: rerank, namespace: web, replicas: 4, memory: 3Gi, compute: 10%}
- {name: embed, namespace: search, replicas: 2, memory: 6Gi, compute: 15%, spread: node}
- {name: guard, namespace: safety, replicas: 5, memory: 9Gi, compute: 1g, isolation: memory}
- {name: code, namespace: web, memory: 60Gi, compute: 80%, isolation: full}
- {name: tiny, namespace: lab, replicas: 9, memory: 1Gi, compute: 2.5%, spread: none}
- {name: ocr, namespace: lab, replicas: 2, memory: 4Gi, compute: 20%, isolation: memory, products: ["*A100*"]}
"""


def written(models):
    entries = [
        {
            "name": each.name,
            "namespace": each.namespace,
            "replicas": each.replicas,
            "memory": str(each.memory),
            "compute": f"{each.compute // 1000}g" if each.compute % 1000 == 0 else f"{each.compute / 70:g}%",
            "isolation": each.isolation,
            "spread": each.spread,
            **({"products": list(each.products)} if each.products else {}),
        }
        for each in models
    ]
    return json.dumps({"models": entries})


def realised(tmp_path, capsys, raws, text):
    """The plan as JSON, and the GPU (node and pool's device names) of each replica when its claims are simulated."""
    (tmp_path / "fleet.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": raws}))
    (tmp_path / "models.yaml").write_text(text)
    out = tmp_path / "out"
    code = command.share(tmp_path / "models.yaml", [tmp_path / "fleet.json"], "json", out)
    plan = json.loads(capsys.readouterr().out)
    assert code == int(bool(plan["missing"]))
    outcome = simulate(read([tmp_path / "fleet.json", *sorted(out.glob("*.yaml"))]))  # verify judges every plan
    assert not outcome.pending
    return plan, outcome


def check(plan, outcome, raws):
    devices = {
        (raw["spec"]["nodeName"], each["name"]): each
        for raw in raws
        if raw["kind"] == "ResourceSlice"
        for each in raw["spec"].get("devices", ())
    }
    wanted = set()
    for gpu in plan["gpus"]:
        for each in gpu["models"]:
            wanted.add((gpu["node"], each.get("part", gpu["gpu"])))
    got, gpus = set(), set()
    for raw in outcome.objects:
        if raw["kind"] == "ResourceClaim" and raw["status"].get("allocation"):
            for result in raw["status"]["allocation"]["devices"]["results"]:
                got.add((result["pool"], result["device"]))
                device = devices[result["pool"], result["device"]]
                uses = device.get("consumesCounters")
                parent = device["attributes"].get("parentUUID", {}).get("string")
                gpus.add((result["pool"], uses[0]["counterSet"] if uses else parent or result["device"]))
    assert got == wanted
    assert len(gpus) == len(plan["gpus"]) == plan["summary"]["gpusUsed"]
    assert len(outcome.bound) == plan["summary"]["replicasPlaced"]


def test_models_of_every_isolation_on_every_kind_of_gpu(tmp_path, capsys):
    raws = fleet({"dgx-h100-dynamic-mig": 1, "a100-one-bridge": 2, "a100-mig": 1, "l4-pcie": 1}) + device_classes()
    for raw in raws:
        if raw["kind"] == "ResourceSlice" and "l4" in raw["spec"]["nodeName"]:
            for device in raw["spec"]["devices"]:
                small.share(device, "1Mi")

    plan, outcome = realised(tmp_path, capsys, raws, YAML)

    assert plan["missing"] == []
    check(plan, outcome, raws)


@pytest.mark.parametrize("seed", range(30))
def test_small_plans(tmp_path, capsys, seed):
    raws = small.raws(seed) + (device_classes() if seed % 2 else [])
    models = small.models(seed)

    plan, outcome = realised(tmp_path, capsys, raws, written(models))

    check(plan, outcome, raws)


def test_devices_without_uuids_are_told_apart_by_their_place_and_node(tmp_path, capsys):
    raws = fleet({"mi300x": 2})
    text = "models:\n- {name: a, replicas: 9, memory: 100Gi, compute: 60%}\n"

    plan, outcome = realised(tmp_path, capsys, raws, text)

    check(plan, outcome, raws)
    assert plan["summary"]["gpusUsed"] == 9
    assert "matchFields" in (tmp_path / "out" / "workloads.yaml").read_text()


def test_one_claim_serves_the_models_of_one_namespace(tmp_path, capsys):
    raws = fleet({"dgx-h100": 1}) + device_classes()
    text = "models:\n" + "".join(
        f"- {{name: m{n}, namespace: {'ab'[n % 2]}, memory: 10Gi, compute: 12.5%}}\n" for n in range(16)
    )

    plan, outcome = realised(tmp_path, capsys, raws, text)

    check(plan, outcome, raws)
    assert [each["mode"] for each in plan["gpus"]] == ["claim", "claim", "claim", "claim"]
    claims = [raw for raw in outcome.objects if raw["kind"] == "ResourceClaim"]
    assert sorted(claim["metadata"]["namespace"] for claim in claims) == ["a", "a", "b", "b"]
    assert sum(len(claim["status"]["reservedFor"]) for claim in claims) == 16
