"""Single faults in small scenarios: some of the plans that `python -m e2e.sim.plans` plays all of."""

import gc
import time

import pytest
from kubernetes.aio.leaderelection import leaderelection

from e2e.sim.plans import SCENARIOS, Fault, faults, play
from scheduler.cluster import watch


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


def test_a_simulation_leaves_the_real_clock_and_collector_as_they_were():
    play(SCENARIOS[0], Fault("write", 1, "crash"))

    assert leaderelection.time is time
    assert watch.gc is gc
