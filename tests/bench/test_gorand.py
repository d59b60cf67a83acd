"""Go's generator against values that a program of Go 1.26 printed."""

import pytest

from e2e.bench.gorand import GoRand

PRINTED = {
    0: ([8717895732742165505, 2259404117704393152, 6050128673802995827],
        (6398385050683532789, 571895982, 458427807, 6798786831836028289), [0, 6, 587876, 2118512756],
        [8, 3, 0, 7, 5, 4, 6, 2, 1, 9], [10, 2, 11, 9, 3, 1, 7, 8, 0, 6, 5, 4], (4526, 2483, 1186, 886)),
    42: ([3440579354231278675, 608747136543856411, 5571782338101878760],
         (3630021938692129845, 526301190, 3113595380, 17128871681893147783), [3, 5, 760591, 418921432],
         [5, 9, 1, 6, 3, 8, 2, 7, 4, 0], [11, 1, 4, 7, 6, 8, 3, 5, 2, 9, 10, 0], (5075, 678, 999, 388)),
    -7: ([747107023976529931, 7084732931963018726, 6995717851144434728],
         (3647579971447132101, 1526079868, 1986962006, 10754338933553975970), [5, 1, 501010, 460871727],
         [2, 3, 6, 8, 5, 4, 0, 7, 1, 9], [9, 4, 3, 1, 0, 6, 11, 2, 10, 5, 8, 7], (5850, 4308, 852, 137)),
    2**40 + 5: ([2916455904842158270, 5507080614734369183, 842389179730253367],
                (2622628277171804628, 841661730, 609946117, 17041731702944733597), [5, 1, 335715, 933230811],
                [2, 6, 0, 8, 1, 5, 9, 4, 7, 3], [5, 10, 6, 4, 11, 3, 0, 7, 8, 1, 9, 2], (7110, 8136, 336, 749)),
}  # fmt: skip
"""Seed -> first three of Int; after 2,000 more Int63, Int31, Uint32, Uint64; Intn of 7, 8, 1000003 and 2^31 - 1;
Perm(10); Shuffle of 12; first and last of Shuffle(8152) and of Perm(1213)."""


@pytest.mark.parametrize("seed", PRINTED)
def test_go_draws_the_same(seed):
    first, later, below, permuted, shuffled, ends = PRINTED[seed]
    go = GoRand(seed)

    assert [go.int63() for _ in range(3)] == first
    for _ in range(2000):
        go.int63()
    assert (go.int63(), go.int31(), go.int63() >> 31, go.uint64()) == later
    assert [go.intn(n) for n in (7, 8, 1_000_003, 2**31 - 1)] == below
    assert go.perm(10) == permuted
    few = list(range(12))
    go.shuffle(few)
    assert few == shuffled
    many = list(range(8152))
    go.shuffle(many)
    order = go.perm(1213)
    assert (many[0], many[-1], order[0], order[-1]) == ends


def test_seeds_that_are_equal_modulo_the_prime_draw_the_same():
    assert GoRand(5).int63() == GoRand(5 + 2**31 - 1).int63()
