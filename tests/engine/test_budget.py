"""Work in pieces: whose turn it is, and that nobody's claims hold up the pods of others."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.backlog import Backlog, Happening
from scheduler.core.budget import CREDIT, Budget, Turns
from scheduler.core.messages import BindPod, Drained, EvaluateScalar, RecordDecision, Solve
from scheduler.core.model import Constraint
from tests import build
from tests.build import claim, gpus, node, pod
from tests.driving import Hands

OWN = 'device.attributes["gpu.example.com"]'


def test_whoever_had_least_is_next():
    turns = Turns()

    assert turns.next(["b", "a"]) == "a"
    turns.charge("a", 10)
    assert turns.next(["b", "a"]) == "b"
    turns.charge("b", 30)
    assert turns.next(["b", "a"]) == "a"


def test_whoever_takes_little_goes_first_and_saves_up_no_more_than_the_credit():
    turns = Turns()
    turns.charge("seldom", 1)
    for _ in range(100):
        turns.charge(turns.next(["busy"]), CREDIT)

    taken = 0
    while turns.next(["busy", "seldom"]) == "seldom":
        turns.charge("seldom", 1000)
        taken += 1000

    assert 0 < taken <= CREDIT + 1000 + CREDIT  # behind by the credit, and busy ahead by its last piece


def test_a_tenant_that_was_never_seen_has_no_credit():
    turns = Turns()
    for _ in range(10):
        turns.charge(turns.next(["busy"]), CREDIT)

    assert turns.next(["busy", "new"]) == "new"
    turns.charge("new", CREDIT + 1)

    assert turns.next(["busy", "new"]) == "busy"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 100)), min_size=1, max_size=60))
def test_among_tenants_who_always_wait_nobody_is_ahead_by_more_than_one_piece(work):
    turns, served = Turns(), dict.fromkeys("abc", 0)
    longest = max(steps for _, steps in work)

    for _, steps in work:
        tenant = turns.next("abc")
        turns.charge(tenant, steps)
        served[tenant] += steps

    assert max(served.values()) - min(served.values()) <= longest


def test_heavy_pods_stand_behind_in_lines_of_their_tenants():
    backlog = Backlog()
    h1, h2, h3, light = (
        build.pod(name, namespace=namespace) for name, namespace in (("h1", "x"), ("h2", "x"), ("h3", "y"), ("l", "x"))
    )
    for each in (h1, h2, h3, light):
        backlog.put(each)
    for each in (h1, h2, h3):
        backlog.defer(each.uid)

    due = backlog.due(0.0, 10)
    turns = []
    while (uid := backlog.next_heavy()) is not None:
        turns.append(uid)
        backlog.charge(uid, 100, heavy=True)
        backlog.park(uid, "NoFit", 0.0)

    assert due == [light.uid]
    assert turns == [h1.uid, h3.uid, h2.uid]
    backlog.wake(Happening.SLICE_CHANGED)
    assert backlog.due(1.0, 10) == []
    assert backlog.next_time(1.0) == 1.0


def hostile(number: int) -> list[object]:
    """A pod that asks for eight devices in eight ways that nobody asked for before."""
    asks = [build.request(f"r{i}", 1, f"{OWN}.index % {2 + (i + number) % 7} != {number + 10 * i}") for i in range(8)]
    return [
        claim(f"hostile-{number}", *asks, constraints=[Constraint((), "gpu.example.com/index", True)]),
        pod(f"hostile-{number}", claims=[f"hostile-{number}"], created="2026-01-01T00:00:00Z"),
    ]


def test_a_cycle_ends_when_its_budget_does_and_the_next_one_goes_on():
    boxes = [each for i in range(20) for each in (node(f"n{i}"), gpus(f"n{i}", 8))]
    hands = Hands(*boxes, *(each for number in range(6) for each in hostile(number)), cycle_steps=500)

    cycles = 0
    while not (todo := hands.decide()):
        assert hands.engine.next_wakeup() == hands.now
        cycles += 1
    hands.obey_all(todo)

    assert cycles > 3
    assert len(hands.go_on().of(BindPod)) == 6


def test_an_ordinary_pod_does_not_wait_for_those_that_take_long():
    boxes = [each for i in range(20) for each in (node(f"n{i}"), gpus(f"n{i}", 8))]
    hands = Hands(*boxes, claim("first"), pod("first", claims=["first"]), cycle_steps=500)
    for _ in range(20):
        hands.decide()
    assert hands.devices_of("first") or hands.of(RecordDecision)
    for number in range(6):
        hands.see(*hostile(number))
    hands.decide()

    hands.see(claim("c"), pod("p", claims=["c"], created="2026-06-01T00:00:00Z"))
    hands.tell(Drained())

    assert hands.of(RecordDecision)[-1].decision.pod == "default/p"


def test_no_more_is_decided_than_there_is_room_for_and_who_came_later_with_more_right_comes_first():
    hands = Hands(node("n1"), gpus("n1", 8))
    for number in range(4):
        hands.see(claim(f"c{number}"), pod(f"p{number}", claims=[f"c{number}"]))

    hands.tell(Drained(room=0))
    assert not hands.of(RecordDecision)
    hands.tell(Drained(room=2))
    hands.see(claim("late"), pod("late", claims=["late"], priority=5))
    assert hands.engine.next_wakeup() == hands.now
    hands.tell(Drained(room=1))
    hands.tell(Drained())

    told = [each.decision.pod for each in hands.of(RecordDecision)]
    assert told == [f"default/{name}" for name in ("p0", "p1", "late", "p2", "p3")]


def test_without_room_nothing_that_takes_long_is_tried_either():
    boxes = [each for i in range(20) for each in (node(f"n{i}"), gpus(f"n{i}", 8))]
    hands = Hands(*boxes, *hostile(0), cycle_steps=500)
    hands.decide()
    assert not hands.of(RecordDecision)

    for _ in range(100):
        assert not hands.tell(Drained(room=0))
    while not hands.tell(Drained(room=1)):
        pass

    assert len(hands.of(RecordDecision)) == 1


def test_the_plans_are_the_same_for_any_budget():
    def chosen(steps: int) -> dict[str, list[str]]:
        boxes = [each for i in range(6) for each in (node(f"n{i}"), gpus(f"n{i}", 8))]
        hands = Hands(*boxes, *hostile(1), cycle_steps=steps).go_on()
        return {"node": [hands.node_of("hostile-1")], "devices": hands.devices_of("hostile-1")}

    assert chosen(1) == chosen(300) == chosen(10**9)


def test_a_search_that_spends_its_budget_gets_more_behind_those_of_others():
    asks = [build.request(f"r{i}", 1, f"{OWN}.index < {4 - i}") for i in range(3)]  # no two alike
    same = [build.match("index", f"r{i}") for i in range(3)]
    hands = Hands(
        node("n1"), gpus("n1", 4), claim("c", *asks, constraints=same), pod("p", claims=["c"]), search_steps=1,
        solve_steps=10**9,
    )  # fmt: skip

    [asked] = [each for each in hands.decide() if isinstance(each, Solve)]

    assert asked.budget < 10**9
    assert asked.tenant == "default"


def test_slow_questions_name_the_tenant():
    expression = 'device.attributes[device.driver]["in" + "dex"] == 1'
    hands = Hands(node("n1"), gpus("n1", 2), claim("c", selectors=[expression]), pod("p", claims=["c"]))

    [asked] = [each for each in hands.decide() if isinstance(each, EvaluateScalar)]

    assert asked.tenant == "default"


def test_a_budget_may_be_overdrawn_by_its_last_piece():
    budget = Budget(10)

    budget.spend(9)
    assert not budget.spent
    budget.spend(50)

    assert budget.spent
    assert budget.left == -49
