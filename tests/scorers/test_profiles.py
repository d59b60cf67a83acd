import pytest

from scoring.profiles import DEFAULT, PROFILES, profiles
from scoring.weights import DEFAULTS, Weights


def test_the_shipped_profiles_are_a_few_changes_of_the_shipped_weights():
    assert set(PROFILES) == {DEFAULT, "binpack", "spread", "topology-first", "inference-shared", "training"}
    assert profiles()[DEFAULT] == Weights()
    for changes in PROFILES.values():
        assert len(changes) <= 4
        assert all(DEFAULTS[name] != weight for name, weight in changes.items())


def test_weights_are_merged_over_the_chosen_profile_and_over_no_other():
    found = profiles(chosen="training", weights={"bandwidth": 1})

    assert found["training"] == Weights({**PROFILES["training"], "bandwidth": 1})
    assert {name: found[name] for name in found if name != "training"} == {
        name: Weights(PROFILES[name]) for name in PROFILES if name != "training"
    }


def test_own_profiles_amend_the_shipped_or_stand_beside_them():
    found = profiles({"spread": {"islands": 1}, "night": {"depth": 0}})

    assert found["spread"] == Weights({**PROFILES["spread"], "islands": 1})
    assert found["night"] == Weights({"depth": 0})


def test_an_unknown_profile_is_refused_with_the_nearest_known():
    with pytest.raises(ValueError, match=r"^profile = 'nihgt': no profile has this name; did you mean night\?$"):
        profiles({"night": {"depth": 0}}, "nihgt")


def test_an_unusable_weight_is_refused_with_its_profile():
    with pytest.raises(ValueError, match=r"^profile night: weight depth: -1 is not a finite number >= 0$"):
        profiles({"night": {"depth": -1}})


def test_weights_that_leave_nothing_of_the_chosen_profile_are_refused():
    with pytest.raises(ValueError, match="leave out of weights spreading, untouched"):
        profiles(chosen="spread", weights=DEFAULTS)
    assert profiles(weights=DEFAULTS)[DEFAULT] == Weights()
