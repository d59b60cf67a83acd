import json

import pytest

from e2e.bench import optimum
from scheduler.core.solvers.regret import in_order
from scheduler.core.solvers.window import NOTHING


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


def test_windows_are_tight_and_the_same_each_time():
    for seed in range(30):
        window = optimum.instance(seed)
        supply = sum(sum(left[2:]) for left in window.free)
        asked = sum(window.classes[pod.kind].size for pod in window.pods)

        assert 4 <= len(window.pods) <= 24
        assert 1.0 <= asked / supply <= 1.3
        assert window == optimum.instance(seed)


def test_solvers_are_measured(capsys):
    assert optimum.main(["--instances", "4", "--seeds", "7"]) == 0

    *solvers, last = lines(capsys)
    assert [line["solver"] for line in solvers] == ["greedy", "regret", "joint"]
    assert all(0 <= line["worst"] <= line["mean"] <= 1 for line in solvers)
    assert last["instances"] == 4
    assert last["faults"] == []


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (lambda window: (NOTHING,) * len(window.pods), "is worth less than that of plain greed"),
        (
            lambda window: tuple(0 if window.classes[pod.kind].offers else NOTHING for pod in window.pods),
            "does not fit",
        ),
    ],
)
def test_a_solver_that_is_wrong_is_found_out(plan, says, monkeypatch, capsys):
    solved = optimum._solved
    monkeypatch.setattr(optimum, "_solved", lambda window, tallies: solved(window, tallies) | {"regret": plan(window)})

    assert optimum.main(["--instances", "3", "--seeds", "7"]) == 1

    assert any(f"the plan of regret {says}" in fault for fault in lines(capsys)[-1]["faults"])


def test_an_optimum_that_is_none_is_found_out(monkeypatch):
    monkeypatch.setattr(optimum, "optimum", lambda window: window.worth(in_order(window)))

    *_, last = optimum.run([3], 4)

    for says in ("is better than the optimum", "the enumeration differ"):
        assert any(says in fault for fault in last["faults"])
