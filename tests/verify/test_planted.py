"""Every planted violation is reported, and nothing else; what is correct passes."""

from itertools import chain

import pytest

from scheduler.core import verify
from tests.verify import test_devices, test_extended, test_storage, test_verify
from tests.verify.scenes import found

CASES = [*chain.from_iterable(each.CASES for each in (test_verify, test_devices, test_extended, test_storage))]


@pytest.mark.parametrize(("rule", "case"), CASES, ids=[f"{rule}-{case.__name__}" for rule, case in CASES])
def test_a_correct_plan_passes_and_a_broken_one_is_reported(rule, case):
    good, bad = case()

    reported = found(bad)

    assert found(good) == []
    assert {one.rule for one in reported} == {rule}
    assert all(one.where and one.text for one in reported)


def test_every_rule_has_a_planted_violation():
    assert {rule for rule, _ in CASES} == set(verify.RULES)
