"""Pods that are decided together: what fits, what is better, and that no solver does worse than plain greed."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2e.bench import optimum
from scheduler.core.solvers.joint import LIMITED, OPTIMAL, joint
from scheduler.core.solvers.regret import in_order, regret
from scheduler.core.solvers.window import NOTHING, Offer, PodClass, Window, WindowPod, feasible

SOLVERS = {
    "regret": regret,
    "hurried": lambda window: regret(window, steps=50),
    "joint": lambda window: joint(window, in_order(window)).plan,
    "few offers": lambda window: joint(window, in_order(window), offers=1).plan,
    "no time": lambda window: joint(window, in_order(window), limit_s=0.0).plan,
}


@st.composite
def windows(draw, most=6):
    """A few nodes of cpu and two devices, and pods that do not all fit."""
    nodes = draw(st.lists(st.sampled_from([2, 3]), min_size=1, max_size=3))
    free = tuple(tuple(draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))) for n in nodes)
    offers = st.integers(0, len(nodes) - 1).flatmap(
        lambda node: st.builds(
            Offer,
            st.just(node),
            st.lists(st.integers(0, 3), min_size=nodes[node], max_size=nodes[node]).map(tuple),
            st.sampled_from([-60.0, 0.0, 0.1, 0.2, 59.9, 120.0, 1000.0]),
        )
    )
    classes = draw(
        st.lists(
            st.builds(PodClass, st.lists(offers, max_size=3).map(tuple), st.sampled_from([0, 250, 1000, 2000])),
            min_size=1,
            max_size=3,
        )
    )
    pods = st.builds(WindowPod, st.sampled_from([-1, 0, 7]), st.integers(0, len(classes) - 1))
    return Window(tuple(draw(st.lists(pods, max_size=most))), tuple(classes), free)


def plans(window):
    """All that fit."""
    choices = [range(-1, len(window.classes[pod.kind].offers)) for pod in window.pods]
    return [plan for plan in product(*choices) if feasible(window, plan)]


def pod(kind, priority=0):
    return WindowPod(priority, kind)


def one_device(*values, size=1000):
    """A class that wants one device of any of the nodes, which are worth so much."""
    return PodClass(tuple(Offer(node, (1,), value) for node, value in enumerate(values)), size)


@settings(deadline=None, max_examples=80)
@given(windows(most=12), st.sampled_from(sorted(SOLVERS)))
def test_plans_fit_and_are_never_worth_less_than_those_of_plain_greed(window, solver):
    greedy = in_order(window)

    plan = SOLVERS[solver](window)

    assert feasible(window, greedy)
    assert feasible(window, plan)
    assert window.worth(plan) >= window.worth(greedy)


@settings(deadline=None, max_examples=80)
@given(windows())
def test_the_optimum_is_that_of_all_plans(window):
    best = max(window.worth(plan) for plan in plans(window))

    answer = joint(window, in_order(window), limit_s=None, offers=None)

    assert answer.status == OPTIMAL
    assert answer.gap == 0
    assert window.worth(answer.plan) == pytest.approx(best)
    assert optimum.enumerated(window) == pytest.approx(best)


@settings(deadline=None, max_examples=40)
@given(windows())
def test_pods_of_lower_priority_take_nothing_from_those_above(window):
    highest = [each for each in window.pods if each.priority == max(window.tiers)]
    alone = Window(tuple(highest), window.classes, window.free)

    best = joint(alone, in_order(alone), limit_s=None, offers=None).plan
    together = joint(window, in_order(window), limit_s=None, offers=None).plan

    assert window.worth(together)[0] == alone.worth(best)[0]


@settings(deadline=None, max_examples=40)
@given(windows(most=12))
def test_one_window_has_one_answer(window):
    again = Window(window.pods, window.classes, window.free)

    assert regret(window) == regret(again)
    assert joint(window, in_order(window), limit_s=None) == joint(again, in_order(again), limit_s=None)


@pytest.mark.parametrize("solver", ["regret", "joint"])
def test_a_pod_of_high_priority_is_worth_more_than_any_number_below(solver):
    many, large = one_device(500.0, size=8000), PodClass((Offer(0, (4,), 0.0),))
    window = Window((*[pod(0)] * 4, pod(1, priority=1)), (many, large), ((4,),))

    assert SOLVERS[solver](window) == (NOTHING,) * 4 + (0,)


@pytest.mark.parametrize("solver", ["regret", "joint"])
def test_a_pod_goes_elsewhere_where_another_has_no_choice(solver):
    free, bound = one_device(500.0, 100.0), one_device(300.0)
    window = Window((pod(0), pod(1)), (free, bound), ((1,), (1,)))

    assert in_order(window) == (0, NOTHING)
    assert SOLVERS[solver](window) == (1, 0)


@pytest.mark.parametrize("solver", ["regret", "joint"])
def test_a_pod_of_high_priority_moves_over_if_it_loses_nothing_but_value(solver):
    free, bound = one_device(500.0, 100.0), one_device(300.0)
    window = Window((pod(0, priority=9), pod(1)), (free, bound), ((1,), (1,)))

    assert SOLVERS[solver](window) == (1, 0)


@pytest.mark.parametrize("solver", ["regret", "joint"])
def test_a_chain_of_pods_moves(solver):
    ahead = PodClass((Offer(0, (1,), 9.0), Offer(1, (1,), 1.0)), 1000)
    behind = PodClass((Offer(1, (1,), 9.0), Offer(2, (1,), 1.0)), 1000)
    window = Window((pod(0), pod(1), pod(2)), (ahead, behind, one_device(9.0)), ((1,),) * 3)

    assert in_order(window) == (0, 0, NOTHING)
    assert SOLVERS[solver](window) == (1, 1, 0)


@pytest.mark.parametrize("solver", ["regret", "joint"])
def test_two_small_pods_make_room_for_a_large_one(solver):
    small = PodClass((Offer(0, (1,), 9.0), Offer(1, (1,), 1.0), Offer(2, (1,), 0.5)), 1000)
    large = PodClass((Offer(0, (2,), 5.0),), 2000)
    window = Window((pod(0), pod(0), pod(1)), (small, large), ((2,), (1,), (1,)))

    plan = SOLVERS[solver](window)

    assert sorted(plan[:2]) == [1, 2]
    assert plan[2] == 0


def test_devices_in_use_count_before_pods_and_pods_before_values():
    whole, half, other = one_device(0.0), one_device(0.0, size=500), one_device(900.0, size=500)
    window = Window((pod(0), pod(1), pod(1), pod(2)), (whole, half, other), ((9,),))

    one, two = window.worth((0, NOTHING, NOTHING, NOTHING)), window.worth((NOTHING, 0, 0, NOTHING))

    assert one < two < window.worth((NOTHING, 0, NOTHING, 0))
    assert window.worth((NOTHING, NOTHING, NOTHING, 0)) < one


def test_without_time_the_plan_in_hand_is_the_answer_and_the_gap_is_told():
    window = Window((pod(0), pod(1)), (one_device(500.0, 100.0), one_device(300.0)), ((1,), (1,)))

    answer = joint(window, (0, NOTHING), limit_s=0.0)

    assert answer.plan == (0, NOTHING)
    assert answer.status == LIMITED
    assert not answer.improved
    assert (answer.level, answer.gap) == (0, pytest.approx(0.5))


def test_what_solves_leave_of_the_time_goes_to_those_after_them():
    window = Window((pod(0), pod(1)), (one_device(500.0, 100.0), one_device(300.0)), ((1,), (1,)))
    early, late = iter([0.0, 0.0, 0.0]), iter([0.0, 9.0, 9.0])

    in_time = joint(window, (0, NOTHING), limit_s=5.0, clock=lambda: next(early, 0.0))
    too_late = joint(window, (0, NOTHING), limit_s=5.0, clock=lambda: next(late, 9.0))

    assert (in_time.plan, in_time.status) == ((1, 0), OPTIMAL)
    assert (too_late.plan, too_late.status) == ((0, NOTHING), LIMITED)


def test_a_plan_that_is_the_best_at_one_level_is_completed_below_it():
    """What the first solve says of pods of lower priority means nothing, and the others may come too late."""
    times = iter([0.0, 0.0, 9.0, 9.0])
    window = Window(
        (pod(0, priority=1), pod(1, priority=1), pod(2)),
        (one_device(500.0, 100.0), one_device(300.0), PodClass((Offer(2, (1,), 5.0),))),
        ((1,), (1,), (1,)),
    )

    answer = joint(window, (0, NOTHING, NOTHING), limit_s=5.0, clock=lambda: next(times))

    assert answer.plan == (1, 0, 0)


def test_offers_that_were_left_out_are_told():
    kinds = (one_device(*range(50)),)
    window = Window((pod(0), pod(0)), kinds, ((1,),) * 50)

    answer = joint(window, (NOTHING, NOTHING), offers=2)

    assert sorted(answer.plan) == [48, 49]
    assert answer.status == LIMITED
    assert not answer.complete


def test_the_offers_that_take_part_are_of_different_nodes_and_devices():
    """Six ways to have two of four devices: of the first two, one device would be in both."""
    pairs = [(1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1), (0, 1, 1, 0), (0, 1, 0, 1), (0, 0, 1, 1)]
    two = PodClass(tuple(Offer(0, pair, 0.0) for pair in pairs), 2000)
    window = Window((pod(0), pod(0)), (two,), ((1, 1, 1, 1),))

    assert sorted(joint(window, (NOTHING, NOTHING), offers=2).plan) == [0, 5]


def test_amounts_may_be_bytes():
    tib = 2**40
    kind = PodClass((Offer(0, (tib, 1), 1.0),), 1000)
    window = Window((pod(0), pod(0), pod(0)), (kind,), ((2 * tib + tib // 2, 3),))

    assert sorted(joint(window, (NOTHING,) * 3).plan) == [NOTHING, 0, 0]


@pytest.mark.parametrize("window", [Window((), (), ()), Window((pod(0),), (PodClass(()),), ())])
def test_where_there_is_nothing_to_have_nobody_has_anything(window):
    nothing = (NOTHING,) * len(window.pods)

    assert regret(window) == nothing
    assert joint(window, nothing).plan == nothing
    assert joint(window, nothing).status == OPTIMAL


@pytest.mark.parametrize(
    ("plan", "fits"),
    [
        ((0, 1), True),
        ((0, NOTHING), True),
        ((0, 0), False),  # both on a node for one
        ((0, 2), False),  # no such offer
        ((0, -2), False),
        ((0,), False),
        ((0, 1, NOTHING), False),
    ],
)
def test_the_checker_says_what_fits(plan, fits):
    window = Window((pod(0), pod(0)), (one_device(1.0, 1.0),), ((1,), (1,)))

    assert feasible(window, plan) is fits


def test_a_plan_in_hand_that_does_not_fit_is_refused():
    window = Window((pod(0), pod(0)), (one_device(1.0),), ((1,),))

    with pytest.raises(ValueError, match="plan in hand"):
        joint(window, (0, 0))


def build(offer=None, size=0, kind=0, free=(1,)):
    return Window((pod(kind),), (PodClass((offer or Offer(0, (1,), 0.0),), size),), (free,))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"offer": Offer(0, (1,), float("nan"))}, "class 0, offer 0: value nan"),
        ({"offer": Offer(0, (1,), float("inf"))}, "class 0, offer 0: value inf"),
        ({"offer": Offer(0, (-1,), 0.0)}, "class 0, offer 0: amount 0 is -1"),
        ({"offer": Offer(0, (2**63,), 0.0)}, "class 0, offer 0: amount 0 is 9223372036854775808"),
        ({"offer": Offer(0, (1, 1), 0.0)}, "class 0, offer 0: 2 amounts; node 0 has 1"),
        ({"offer": Offer(7, (1,), 0.0)}, "class 0, offer 0: node 7 is unknown; there are 1"),
        ({"offer": Offer(-1, (1,), 0.0)}, "class 0, offer 0: node -1 is unknown"),
        ({"free": (-5,)}, "node 0: amount 0 is -5"),
        ({"size": -1}, "class 0: size -1"),
        ({"kind": 3}, "pod 0: class 3 is unknown; there are 1"),
    ],
)
def test_what_makes_no_sense_is_named(wrong, says):
    build()
    with pytest.raises(ValueError, match=says):
        build(**wrong)
