"""What a running process takes over from a changed configuration, what waits for a restart, and how both are named."""

from dataclasses import fields

import pytest

from scheduler.core import names
from scheduler.core.config import LIVE, EngineConfig
from scheduler.core.errors import ConfigError
from scheduler.service.settings import go_over, load, parse
from scoring.profiles import PROFILES
from scoring.weights import DEFAULTS, Weights

HEAD = f"apiVersion: {names.CONFIG_API_VERSION}\nkind: {names.CONFIG_KIND}\n"
CHANGES = {
    "profile": "profile: spread",
    "weights": "weights: {packing: 2}",
    "profiles": "profiles: {night: {weights: {depth: 0}}}",
    "overrides": "overrides: {profiles: [spread]}",
    "batch": "batch: 7",
    "solver": "solver: greedy",
    "joint_limit_s": "jointLimitSeconds: 1",
}
RESTARTS = {
    "schedulerName: other": "schedulerName = 'other' (now 'dovetail')",
    "schedulerProfiles: {batch: spread}": "schedulerProfiles.batch = 'spread' (now None)",
    "seed: 3": "seed = 3 (now 0)",
    "deviceChoice: first-fit": "deviceChoice = 'first-fit' (now 'scored')",
    "verifyPlans: true": "verifyPlans = True (now False)",
    "ownership: {nodes: all}": "ownership.nodes = 'all' (now 'labelled')",
    "featureGates: {DRAListTypeAttributes: true}": "featureGates.DRAListTypeAttributes = True (now None)",
    "bindingTimeoutSeconds: 5": "bindingTimeoutSeconds = 5.0 (now 600.0)",
    "volumeTimeoutSeconds: 5": "volumeTimeoutSeconds = 5.0 (now 600.0)",
    "topology: {attributes: {numaNode: [a.example/b]}}": "topology.attributes.numaNode = ['a.example/b'] (now [])",
    "fabricPartitions: false": "fabricPartitions = False (now True)",
    "writesInFlight: 2": "writesInFlight = 2 (now 128)",
    "http: {port: 1}": "http.port = 1 (now 10371)",
    "leaderElection: {enabled: false}": "leaderElection.enabled = False (now True)",
    "configMap: {name: other}": "configMap.name = 'other' (now '')",
}


def given(text):
    return parse(HEAD + text, "here", {})


@pytest.mark.parametrize("field", CHANGES)
def test_what_may_change_is_taken_over_whole(field):
    running, wanted = load(None, {}), given(CHANGES[field])

    found, waiting = go_over(running, wanted)

    assert (found, waiting) == (wanted, ())
    assert getattr(found.engine(), field) != getattr(running.engine(), field)
    assert running.engine().can_become(found.engine())
    assert found.digest() != running.digest()


def test_everything_that_the_engine_takes_live_can_be_changed():
    assert {*CHANGES, "scheduler_profiles", "digest"} == set(LIVE) <= {each.name for each in fields(EngineConfig)}


@pytest.mark.parametrize("text", RESTARTS)
def test_what_needs_a_restart_is_named_and_the_rest_counts_at_once(text):
    running, wanted = load(None, {}), given(f"{text}\nweights: {{packing: 2}}\n")

    found, waiting = go_over(running, wanted)

    assert waiting == (RESTARTS[text],)
    assert found == given("weights: {packing: 2}")
    assert running.engine().can_become(found.engine())


def test_the_profile_of_a_schedulers_pods_changes_at_once_and_the_name_after_a_restart():
    running = given("schedulerProfiles: {batch: spread, night: binpack}")

    found, waiting = go_over(running, given("schedulerProfiles: {batch: training, day: spread}"))

    assert found.scheduler_profiles == {"batch": "training", "night": "binpack"}
    assert waiting == (
        "schedulerProfiles.night = None (now 'binpack')",
        "schedulerProfiles.day = 'spread' (now None)",
    )
    assert running.engine().can_become(found.engine())


def test_a_profile_that_a_running_schedulers_pods_still_have_may_not_go():
    running = given("profiles: {night: {weights: {depth: 0}}}\nschedulerProfiles: {batch: night}")

    with pytest.raises(ConfigError, match=r"schedulerProfiles\.batch = 'night': no profile.*restart with the new one"):
        go_over(running, given(""))


def test_the_digest_is_of_what_comes_out_and_not_of_how_it_is_written():
    plain = load(None, {}).digest()

    assert given(f"weights: {dict(DEFAULTS)}").digest() == plain
    assert given(f"profiles: {{spread: {{weights: {dict(PROFILES['spread'])}}}}}").digest() == plain
    assert given("http: {port: 1}\nleaderElection: {leaseSeconds: 60}\nwritesInFlight: 1").digest() == plain
    assert len({plain, given("weights: {packing: 1}").digest(), given("seed: 1").digest()}) == 3
    assert len(plain) == 12
    assert set(plain) <= set("0123456789abcdef")


def test_the_digest_reaches_the_engine_and_what_comes_out_is_shown_with_every_profile():
    found = given("profile: spread\nprofiles: {night: {weights: {depth: 0}}}")
    shown = found.effective()

    assert found.engine().digest == found.digest()
    assert shown["weights"] == dict(Weights(PROFILES["spread"]).values)
    assert shown["profiles"].keys() == {*PROFILES, "night"}
    assert shown["profiles"]["night"]["weights"]["depth"] == 0.0
    assert "http" not in shown
