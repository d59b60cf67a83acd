"""The demo shows a difference that is measured, on workloads that all find a place."""

import pytest

from scheduler.simulator import demo, fleet
from scheduler.simulator.maps import node_maps
from scheduler.simulator.run import SIMULATED, Outcome


@pytest.fixture(scope="module")
def runs():
    return [demo.play(config) for config in (SIMULATED, demo.first_fit_config())]


@pytest.fixture(scope="module")
def figures(runs):
    return [demo.measure(outcome, node_maps(outcome.objects)) for outcome in runs]


def test_choosing_devices_by_score_never_costs_bandwidth(figures):
    scored, first_fit = figures

    assert scored.together == first_fit.together > 0
    assert scored.linked >= first_fit.linked
    assert scored.worst_gbps >= first_fit.worst_gbps
    assert scored.linked == scored.together


def test_every_workload_of_the_demo_finds_its_place(runs):
    scored, _ = runs

    assert scored.pending == {}
    assert scored.settled
    models = {raw["metadata"]["labels"]["model"] for raw in scored.objects if raw["kind"] == "Pod"}
    templates = [raw for raw in scored.objects if raw["kind"] in {"ReplicaSet", "Job"}]
    made = {raw["spec"]["template"]["metadata"]["labels"]["model"] for raw in templates}
    assert models == made - {"whisper-canary"}  # scaled away in the second wave


def test_a_model_that_spans_a_box_gets_it_whole(runs):
    (held,) = [
        {seat.identity for seat in each.seats}
        for each in node_maps(runs[0].objects)
        if each.node.startswith("dgx-h100") and len({seat.holders for seat in each.seats}) == 1
    ]

    assert len(held) == 8


def test_the_same_demo_has_the_same_outcome(runs):
    assert demo.play(SIMULATED) == runs[0]


def test_the_demo_says_its_figures(figures, capsys):
    code = demo.demo()
    text = capsys.readouterr().out

    assert code == 0
    for line in demo.difference(*figures):
        assert line in text
    for box in demo.FLEET:
        assert box in text
    assert "devices by first fit" in text


# ---------------------------------------------------------------- figures


def held(*pods):
    """A bridged box on which each pod holds the GPUs with these numbers."""
    objects = [fleet.node("a100-pcie-bridged", "n1"), *fleet.slices("a100-pcie-bridged", "n1")]
    for number, gpus in enumerate(pods):
        results = [{"request": "r", "driver": fleet.NVIDIA, "pool": "n1", "device": f"gpu-{gpu}"} for gpu in gpus]
        status = {
            "allocation": {"devices": {"results": results}},
            "reservedFor": [{"resource": "pods", "name": f"p{number}", "uid": f"u{number}"}],
        }
        metadata = {"name": f"c{number}", "namespace": "d", "uid": f"c{number}"}
        objects.append({"kind": "ResourceClaim", "metadata": metadata, "spec": {}, "status": status})
    bound = tuple(f"d/p{number}" for number in range(len(pods)))
    return Outcome(tuple(objects), {}, {}, bound, 1, 0.0, settled=True)


@pytest.mark.parametrize(
    ("pods", "together", "linked", "worst", "near", "whole"),
    [
        ([], 0, 0, 0, 0, 4),
        ([(0,)], 0, 0, 0, 0, 3),
        ([(0, 2)], 1, 1, 300, 1, 3),
        ([(0, 1)], 1, 0, 0, 1, 2),
        ([(0, 4)], 1, 0, 0, 0, 2),
        ([(0, 2), (4, 6)], 2, 1, 150, 2, 1),
        ([(0, 1, 2, 3)], 1, 0, 0, 1, 2),
        ([range(8)], 1, 0, 0, 0, 0),
    ],
)
def test_figures_are_what_a_hand_would_count(pods, together, linked, worst, near, whole):
    outcome = held(*pods)

    found = demo.measure(outcome, node_maps(outcome.objects))

    assert (found.bound, found.together, found.linked, found.worst_gbps, found.near) == (
        len(pods), together, linked, worst, near,
    )  # fmt: skip
    assert (found.whole, found.islands) == (whole, 4)


def test_figures_of_a_box_are_those_of_its_nodes():
    outcome = held((0, 2))
    maps = node_maps(outcome.objects)

    assert demo.measure(outcome, maps, "n1").linked == 1
    assert demo.measure(outcome, maps, "elsewhere").together == 0


def test_no_difference_is_said_to_be_none():
    (figures,) = [demo.measure(outcome, node_maps(outcome.objects)) for outcome in [held((0, 2))]]

    assert all("either way" in line for line in demo.difference(figures, figures))
