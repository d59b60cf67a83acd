"""The generator of claims for pairs of a GPU and a network card."""

import importlib.util
import json

import pytest
from ruamel.yaml import YAML

from e2e.examples import FOLDER, table
from e2e.workload import pod
from scheduler.cluster.decode import decode
from scheduler.simulator import fleet
from scheduler.simulator.objects import parse
from scheduler.simulator.run import simulate

HOME = FOLDER / "prefill-decode"
LARGE = 'device.capacity["gpu.nvidia.com"].memory.compareTo(quantity("75Gi")) >= 0'
NUMA = "resource.kubernetes.io/numaNode"


@pytest.fixture(scope="module")
def pairs():
    spec = importlib.util.spec_from_file_location("pairs", HOME / "pairs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed(pairs, capsys, *arguments):
    assert pairs.main([*map(str, arguments)]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(("name", "count"), [("prefill", 1), ("decode", 4)])
@pytest.mark.parametrize(("overlay", "flags"), [("aligned", []), ("scored", ["--match", ""])])
def test_the_claims_of_the_example_are_its_work(pairs, capsys, name, count, overlay, flags):
    text = printed(pairs, capsys, count, "--name", name, "--selector", LARGE, *flags)

    assert text == (HOME / overlay / f"{name}-claim.yaml").read_text()


@pytest.mark.parametrize("count", range(1, 17))
def test_every_count_makes_a_claim_that_can_be_read(pairs, capsys, count):
    text = printed(pairs, capsys, count, "--together", NUMA)
    raw = YAML(typ="safe", pure=True).load(text)
    devices = raw["spec"]["spec"]["devices"]
    raw["metadata"] |= {"namespace": "default", "uid": "set-by-the-server"}

    assert decode(raw["kind"], raw).name == "pairs"
    assert [each["name"] for each in devices["requests"]] == [f"{k}-{n}" for n in range(count) for k in ("gpu", "nic")]
    matches = [each["requests"] for each in devices["constraints"] if each["matchAttribute"] == pairs.ROOT]
    assert matches == [[f"gpu-{n}", f"nic-{n}"] for n in range(count)]
    others = [each["requests"] for each in devices["constraints"] if each["matchAttribute"] == NUMA]
    assert others == ([[f"gpu-{n}" for n in range(count)]] if count > 1 else [])


def test_other_classes_are_asked_without_what_only_dranet_says(pairs, capsys):
    text = printed(pairs, capsys, 1, "--gpu", "gpu.amd.com", "--nic", "sriov.example.com", "--match", NUMA)

    assert "dra.net" not in text
    assert "deviceClassName: gpu.amd.com" in text
    assert "deviceClassName: sriov.example.com" in text
    assert text.endswith(f"        - requests: [gpu-0, nic-0]\n          matchAttribute: {NUMA}\n")


@pytest.mark.parametrize(("box", "count"), [("dgx-h100", 8), ("dgx-a100", 8), ("dgx2-v100", 8)])
@pytest.mark.parametrize("flags", [[], ["--match", ""]])
def test_as_many_pairs_as_a_box_has_are_placed_beside_their_cards(pairs, capsys, box, count, flags):
    template = printed(pairs, capsys, count, "--name", "pairs", *flags)
    user = pod("default", "user", templates=["pairs"])
    items = [
        *fleet.device_classes(),
        *fleet.fleet({box: 1}, nics=True),
        YAML(typ="safe", pure=True).load(template),
        user,
    ]

    outcome = simulate(parse("pairs", json.dumps({"apiVersion": "v1", "kind": "List", "items": items})))

    assert not outcome.pending
    assert outcome.cycles <= 3
    assert f"{count} of {count} GPUs behind the PCIe root of a NIC" in table(outcome.objects, [box])


@pytest.mark.parametrize("count", [-1, 0, 17, 10**9])
def test_a_count_that_no_claim_can_have_is_refused_with_the_limit(pairs, capsys, count):
    assert pairs.main([str(count)]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"{count} pairs: a claim holds 1 to 16, since Kubernetes allows it 32 requests\n"
