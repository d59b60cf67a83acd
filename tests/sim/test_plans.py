"""Single faults in small scenarios: some of the plans that `python -m e2e.sim.plans` plays all of."""

import pytest

from e2e.sim.plans import SCENARIOS, Fault, faults, play


def test_there_are_forty_scenarios():
    assert len({scenario.name for scenario in SCENARIOS}) >= 40


@pytest.mark.parametrize("scenario", SCENARIOS[::4], ids=lambda scenario: scenario.name)
def test_a_scenario_survives_single_faults(scenario):
    plans = [*faults(scenario)]

    problems = {fault: play(scenario, fault)[1] for fault in plans[SCENARIOS.index(scenario) % 17 :: 17]}

    assert not {fault: problem for fault, problem in problems.items() if problem}


def test_a_plan_is_carried_out():
    small, problem = play(SCENARIOS[0], Fault("write", 1, "crash"))

    assert problem == ""
    assert small.replica.lives == 2
