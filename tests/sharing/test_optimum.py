"""Plans of small problems are optimal, and plans of any size are feasible and no better than their bound."""

import pytest

from scheduler.cluster.decode import decode
from scheduler.core.gates import Gates
from scheduler.sharing.problem import problem
from scheduler.sharing.solving import solve
from scheduler.sharing.supply import Fleet, supply
from tests.sharing import small


def stock(raws):
    fleet = Fleet()
    lists = {"Node": fleet.nodes, "ResourceSlice": fleet.slices, "DeviceClass": fleet.classes}
    for raw in raws:
        lists[raw["kind"]].append(decode(raw["kind"], {**raw, "metadata": {"uid": "x", **raw["metadata"]}}))
    return supply(fleet, Gates())


@pytest.mark.parametrize("seed", range(100))
def test_no_plan_of_a_small_problem_is_better(seed):
    raws, models = small.raws(seed), small.models(seed)

    posed = problem(models, stock(raws).gpus, fractional=True)
    found = solve(posed)

    missing = sum(found.packing.missing)
    used = len(found.packing.seats)
    assert (missing, used) == small.best(raws, models)
    assert found.proven
