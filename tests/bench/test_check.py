"""The checker of final states finds every lie that is told to it."""

import pytest

from e2e.bench.check import Held, wrongs
from e2e.bench.trace import Machine, Shape

MACHINES = (Machine("a", 8000, 100, 2, "T4"), Machine("b", 8000, 100, 0, ""))
PART, PAIR, PLAIN = Shape(1000, 10, 1, 600), Shape(2000, 20, 2, 1000), Shape(3000, 40, 0, 0)


def test_what_fits_is_not_blamed():
    held = [
        Held("p", PART, "a", ((0, 600),)),
        Held("q", Shape(1000, 10, 1, 400, ("A10", "T4")), "a", ((0, 400),)),
        Held("r", PLAIN, "b", ()),
    ]

    assert wrongs(MACHINES, held) == []


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ([Held("p", PART, "a", ((0, 600),)), Held("q", PART, "a", ((0, 600),))], "a: GPU 0 is used to 1200 of 1000"),
        ([Held("p", PART, "a", ((2, 600),))], "p: has GPU 2 of a, which has 2"),
        ([Held("p", PART, "a", ((0, 500),))], "p: has 500 of GPU 0 of a and asked for 600"),
        ([Held("p", PAIR, "a", ((0, 1000),))], "p: has GPUs [0] and asked for 2"),
        ([Held("p", Shape(1, 1, 2, 500), "a", ((0, 500), (0, 500)))], "p: has GPUs [0, 0] and asked for 2"),
        ([Held("p", Shape(1, 1, 1, 500, ("V100",)), "a", ((0, 500),))], "p: has a T4 and asked for V100"),
        ([Held("p", PLAIN, "c", ())], "p: runs on c, which is no machine"),
        ([Held("p", PLAIN, "a", ()), Held("p", PLAIN, "b", ())], "p: runs twice"),
        ([Held(f"p{i}", Shape(3000, 1, 0, 0), "b", ()) for i in range(3)], "b: cpu is used to 9000 of 8000"),
        ([Held(f"p{i}", Shape(1, 40, 0, 0), "b", ()) for i in range(3)], "b: memory is used to 120 of 100"),
    ],
)
def test_a_lie_is_found(held, says):
    assert wrongs(MACHINES, held) == [says]
