"""The benchmark on traces small enough to know the answer."""

import json
from dataclasses import replace

import pytest

from e2e.bench import openb
from e2e.bench.check import Held, WrongStateError, wrongs
from e2e.bench.dovetail import Dovetail
from e2e.bench.policies.base import Placed
from e2e.bench.trace import Job, Machine, Shape, Trace

MACHINES = (
    Machine("a", 64000, 512, 2, "T4"),
    Machine("b", 96000, 512, 4, "G2"),
    Machine("c", 96000, 512, 8, "V100"),
    Machine("d", 8000, 64, 0, ""),
)
SHAPES = (
    Shape(4000, 16, 1, 460),
    Shape(4000, 16, 1, 810, ("T4", "V100")),
    Shape(8000, 16, 2, 1000),
    Shape(8000, 16, 1, 1000, ("G2",)),
    Shape(6000, 16, 0, 0),
)


def trace() -> Trace:
    return Trace("made", MACHINES, tuple(Job(f"p{i:02d}", SHAPES[i % 5]) for i in range(20)))


@pytest.mark.parametrize("batch", [1, 7])
def test_the_engine_places_what_a_shape_asks_for(batch):
    dovetail = Dovetail(MACHINES, 0, batch)
    shapes = [SHAPES[i % 5] for i in range(25)]

    found = dovetail.place(shapes)

    pairs = list(zip(shapes, found, strict=True))
    held = [Held(f"p{i}", shape, each.machine, each.gpus) for i, (shape, each) in enumerate(pairs) if each]
    assert wrongs(MACHINES, held) == []
    assert len(held) > 15
    assert [each for shape, each in pairs if each is None and not shape.gpus] == []
    assert dovetail.seconds > 0


def test_what_left_can_be_used_again():
    one = (Machine("a", 64000, 512, 1, "T4"),)
    dovetail = Dovetail(one, 0, 1)
    whole = Shape(1000, 1, 1, 1000)

    [first] = dovetail.place([whole])
    [second] = dovetail.place([whole])
    dovetail.free(whole, first)
    [third] = dovetail.place([whole])

    assert first == third == Placed("a", ((0, 1000),))
    assert second is None


def test_a_pod_that_did_not_fit_is_not_placed_later():
    one = (Machine("a", 64000, 512, 1, "T4"),)
    dovetail = Dovetail(one, 0, 1)
    most, little = Shape(1000, 1, 1, 800), Shape(1000, 1, 1, 100)

    [held] = dovetail.place([most])
    assert dovetail.place([most]) == [None]
    dovetail.free(most, held)
    [found] = dovetail.place([little])

    assert found.gpus == ((0, 100),)
    assert dovetail.place([Shape(1000, 1, 1, 900)]) != [None]


@pytest.mark.parametrize("policy", openb.NAMES)
def test_figures_are_percentages_of_what_there_is(policy):
    found = openb.fill(trace(), policy, 42)

    assert 70 < found["alloc_at_100"] <= 100
    assert 70 < found["utilisation"] <= 100
    assert found["pods_per_second"] > 0


@pytest.mark.parametrize("policy", ["dovetail", "fgd"])
def test_churn_uses_what_is_offered_when_there_is_plenty(policy):
    many = tuple(replace(machine, name=f"{machine.name}{i}") for machine in MACHINES for i in range(6))

    found = openb.churn(replace(trace(), machines=many), policy, 1, 0.2, 120)

    assert found["rejected"] == 0
    assert found["utilisation"] == pytest.approx(20, abs=8)
    assert found["alloc_at_100"] is None


def test_churn_rejects_what_is_too_much():
    found = openb.churn(trace(), "fgd", 1, 3.0, 400)

    assert found["rejected"] > 40
    assert found["utilisation"] > 70


def test_a_state_that_cannot_be_is_an_error(monkeypatch):
    monkeypatch.setattr(openb, "wrongs", lambda machines, held: ["a: GPU 0 is used to 1200 of 1000"])

    with pytest.raises(WrongStateError, match="used to 1200"):
        openb.fill(trace(), "firstfit", 42)


def test_one_line_a_seed(tmp_path, capsys):
    (tmp_path / "n.csv").write_text("sn,cpu_milli,memory_mib,gpu,model\na,64000,1024,2,T4\n")
    (tmp_path / "p.csv").write_text("name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1000,4,1,500\n")
    files = ["--nodes", str(tmp_path / "n.csv"), "--pods", str(tmp_path / "p.csv")]

    code = openb.main([*files, "--seeds", "1,2", "--policy", "bestfit"])

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [(line["policy"], line["seed"], line["utilisation"]) for line in lines] == [
        ("bestfit", 1, 100.0),
        ("bestfit", 2, 100.0),
    ]
    assert all(line["alloc_at_100"] == 100 and line["pods_per_second"] > 0 for line in lines)


def test_files_that_cannot_be_read_are_named(tmp_path, capsys):
    assert openb.main(["--nodes", str(tmp_path / "no.csv"), "--pods", str(tmp_path / "no.csv")]) == 2
    assert "no.csv: cannot be read" in capsys.readouterr().err
