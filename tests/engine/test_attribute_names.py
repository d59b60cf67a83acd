"""Which published attribute a constraint means, when a device has it with and without its driver's domain."""

from collections.abc import Mapping

import pytest

from scheduler.core.model import AttributeValue
from tests.build import DRIVER, claim, device, match, node, pod, request, slice_of
from tests.driving import Hands

SHORT, FULL, FOREIGN = "tag", f"{DRIVER}/tag", "other.example.com/tag"


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [
        ({SHORT: 0, FULL: 1}, {SHORT: 1}, True),
        ({FULL: 1, SHORT: 0}, {SHORT: 1}, True),
        ({SHORT: 0, FULL: 1}, {FULL: 1}, True),
        ({SHORT: 0, FULL: 1}, {SHORT: 0}, False),
        ({FULL: 1, SHORT: 0}, {SHORT: 0}, False),
        ({FULL: 1, SHORT: 0}, {FULL: 0}, False),
        ({SHORT: 1}, {FULL: 1}, True),
        ({SHORT: 1}, {FOREIGN: 1}, False),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_constraint_reads_the_full_name_before_the_short_one(
    one: Mapping[str, AttributeValue], other: Mapping[str, AttributeValue], fits: bool, swapped: bool
):
    published = [device("d0", one), device("d1", other)]
    pair = claim("c", request("r", 2), constraints=[match(FULL)])

    hands = Hands(node(), slice_of(published[::-1] if swapped else published, node="n1"), pair, pod("p", claims=["c"]))

    assert (hands.settle().node_of("p") == "n1") == fits
