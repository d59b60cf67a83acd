"""What gauges tell is what a slow count over the objects finds."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from scheduler.core.cel import evaluate_scalar
from scheduler.core.census import MAX_SHAPES, Asked, Room, Shape, shape_of, slowest_link
from scheduler.core.config import Ownership
from scheduler.core.demand import resolve
from scheduler.core.messages import Gone, RecordDecision, RecordUnplaced, Rejected
from scheduler.core.model import CounterSet, CounterUse, Uid
from scheduler.core.quantity import parse_quantity
from tests import build
from tests.build import DRIVER, claim, device, device_class, node, pod, request, slice_of
from tests.driving import Hands

MEMORY = "memory"
WHOLE = 1000


def counted(hands):
    """The figures of a census that ran to its end."""
    return finished(getattr(hands, "census", hands.engine.census()).count())


def finished(pieces):
    """What a count comes to in the end."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value


# ---------------------------------------------------------------- the slow count


def visible(state, name):
    """(slice, device) of every device that a node sees."""
    return [
        (item, each)
        for item in state.slices.current.values()
        if item.node_name == name or item.all_nodes
        for each in item.devices
    ]


def shares_of(state, identity):
    found = []
    for allocation in state.holding.current.values():
        found += [result.consumed for result in allocation.results if result.identity == identity]
    return found


def left_of(state, item, each):
    """Thousandths of a device that nobody holds."""
    held = shares_of(state, (item.driver, item.pool, each.name))
    if not held:
        return WHOLE
    if not each.shareable:
        return 0
    used = sum(consumed[MEMORY].nanos for consumed in held)
    has = each.capacity[MEMORY].nanos
    return (has - used) * WHOLE // has


def open_nodes(state):
    return [
        each for each in state.node_by_name.current.values() if not each.unschedulable and state.ownership.owns(each)
    ]


def devices(state):
    found = {}
    for each in open_nodes(state):
        for item, one in visible(state, each.name):
            left = left_of(state, item, one)
            kind = "free" if left == WHOLE else "partial" if left else "allocated"
            found[item.driver, item.pool, one.name] = (item.driver, one.attributes.get("model", "gpu"), kind)
    return dict(Counter(found.values()))


def accepts(state, want, item, each):
    return all(
        evaluate_scalar(text, item.driver, each.attributes, each.capacity) for text in want.asks[0].request.selectors
    )


def copies_of(want, each, left):
    if each.shareable and want.asks[0].capacity:
        ((_, asked),) = want.asks[0].capacity
        return left // (asked.nanos * WHOLE // each.capacity[MEMORY].nanos)
    return int(left == WHOLE)


def together(copies, count):
    """Pods of `count` different devices each: one after the other takes those with the most left."""
    left, pods = sorted(copies, reverse=True), 0
    while len(left) >= count and left[count - 1] > 0:
        left = sorted([*(each - 1 for each in left[:count]), *left[count:]], reverse=True)
        pods += 1
    return pods


def pods_on(state, name):
    return [state.pods.current[uid] for uid, where in state.places.current.items() if where == name]


def by_resources(state, item, demand):
    found = item.allocatable["pods"] - len(pods_on(state, item.name))
    for name, amount in demand.resources:
        if amount:
            used = sum(each.requests.get(name, 0) for each in pods_on(state, item.name))
            found = min(found, (item.allocatable.get(name, 0) - used) // amount)
    return max(found, 0)


def room(state, demand):
    """Room, the free devices that the shape would take (by node) with what is left, and those it can take."""
    want = shape_of(demand)[1]
    headroom, whole, lost, known, served = 0, 0, 0, {}, set()
    for item in open_nodes(state):
        seen = [
            (where, each, left_of(state, where, each))
            for where, each in visible(state, item.name)
            if accepts(state, want, where, each)
        ]
        copies = [copies_of(want, each, left) for _, each, left in seen]
        fits = min(together(copies, want.count), by_resources(state, item, demand))
        headroom += fits
        for (where, each, left), number in zip(seen, copies, strict=True):
            if left:
                known[item.name, where.pool, each.name] = left
                whole += left
            if fits and number:
                served.add((item.name, where.pool, each.name))
            else:
                lost += left
    return Room(headroom, lost / whole if whole else 0.0), known, served


def claims(state):
    found = dict.fromkeys(("pending", "allocated", "reserved", "deleting", "unreadable"), 0)
    for each in state.claims.current.values():
        if each.deleting:
            found["deleting"] += 1
        elif each.allocation is None:
            found["pending"] += 1
        else:
            found["reserved" if each.reserved_for else "allocated"] += 1
    found["unreadable"] = sum(kind == "ResourceClaim" for kind, _ in state.problems)
    return found


def waiting(hands):
    found = Counter()
    for uid, entry in hands.engine.backlog._entries.items():
        assert uid in hands.engine.state.pods.current
        found[entry.token] += 1
    return dict(found)


# ---------------------------------------------------------------- random clusters


def fleet(chance):
    for number in range(chance.randint(1, 6)):
        name = f"n{number}"
        yield node(
            name,
            cpu=chance.choice([2_000, 8_000, 64_000]),
            pods=chance.choice([2, 110]),
            owned=chance.random() < 0.8,
            unschedulable=chance.random() < 0.1,
        )
        shareable = chance.random() < 0.4
        model = chance.choice(["H100", "A100"])
        made = [
            replace(device(f"gpu-{i}", {"model": model, "index": i}, {MEMORY: 10}), shareable=shareable)
            for i in range(chance.randint(0, 5))
        ]
        yield slice_of(made, node=name)
    if chance.random() < 0.5:
        yield slice_of([device(f"far-{i}", {"model": "FAR", "index": i}) for i in range(3)], all_nodes=True)


def demands(chance, number):
    cpu = chance.choice([0, 500, 4_000])
    asked = request("r", chance.choice([1, 1, 2, 3, 4]))
    if chance.random() < 0.3:
        asked = replace(asked, count=1, selectors=(f'device.attributes["{DRIVER}"].index < 2',))
    if chance.random() < 0.4:
        asked = replace(asked, capacity={MEMORY: parse_quantity(chance.choice(["2", "5"]))})
    yield claim(f"c{number}", asked)
    yield pod(f"p{number}", claims=[f"c{number}"], cpu=cpu)


@pytest.mark.parametrize("seed", range(25))
def test_figures_are_those_of_a_slow_count(seed):
    chance = random.Random(seed)
    hands = Hands(*fleet(chance), ownership=Ownership())
    hands.census = hands.engine.census()
    for number in range(chance.randint(1, 25)):
        hands.see(*demands(chance, number))
        if chance.random() < 0.5:
            hands.go_on()
        if chance.random() < 0.3:
            assert counted(hands) is not None  # what it keeps must not go stale
        if chance.random() < 0.2:
            gone = chance.choice(sorted(hands.engine.state.pods.current))
            hands.tell(Gone("Pod", hands.engine.state.pods.current[gone].key, gone))
        if chance.random() < 0.1:
            hands.see(node(f"n{number % 6}", cpu=16_000))
        if chance.random() < 0.1:
            hands.see(slice_of([device("new-0", {"model": "NEW", "index": 0}, {MEMORY: 10})], node=f"n{number % 6}"))
    hands.go_on()

    found = counted(hands)

    state = hands.engine.state
    assert found.devices == devices(state)
    assert found.claims == claims(state)
    assert found.pending == waiting(hands)
    asked = hands.engine._shapes
    newest = dict(asked.demands())
    known, served = {}, set()
    assert set(found.rooms) == set(newest)
    for shape, told in found.rooms.items():
        expected, some, can = room(state, newest[shape])
        assert told.headroom == expected.headroom, shape
        assert told.fragmentation == pytest.approx(expected.fragmentation)
        known |= some
        served |= can
    assert found.stranded == pytest.approx(sum(left for each, left in known.items() if each not in served) / WHOLE)


# ---------------------------------------------------------------- by hand


def boxes(count=4, cpu=64_000):
    return node("n1", cpu=cpu), build.gpus("n1", count)


def test_headroom_counts_pods_that_fit_beside_each_other():
    hands = Hands(*boxes(7), claim("c", count=2), pod("p", claims=["c"])).settle()

    figures = counted(hands)

    assert figures.rooms == {Shape("gpu", 2): Room(2, 0.0)}  # five are left
    assert figures.devices == {(DRIVER, "gpu", "free"): 5, (DRIVER, "gpu", "allocated"): 2}


def test_devices_without_cpu_beside_them_are_stranded_and_fragments():
    hands = Hands(*boxes(4, cpu=5_000), claim("c"), pod("p", claims=["c"], cpu=4_000)).settle()

    figures = counted(hands)

    assert figures.rooms == {Shape("gpu", 1): Room(0, 1.0)}
    assert figures.stranded == 3.0


def test_devices_that_another_shape_can_use_are_not_stranded():
    objects = claim("c"), pod("p", claims=["c"], cpu=4_000), claim("d", count=2), pod("q", claims=["d"])
    hands = Hands(*boxes(4, cpu=5_000), *objects).settle()

    assert counted(hands).stranded == 1.0  # one is left, and pods of two do not fit


def test_a_new_node_has_room_before_any_pod_asks_again():
    hands = Hands(*boxes(1), claim("c"), pod("p", claims=["c"])).settle()
    hands.census = hands.engine.census()
    before = counted(hands).rooms[Shape("gpu", 1)].headroom

    hands.see(node("n2"), build.gpus("n2", 3))
    hands.decide()

    assert (before, counted(hands).rooms[Shape("gpu", 1)].headroom) == (0, 3)


def test_shapes_that_parts_of_devices_may_serve_are_left_out():
    one, two = ({"slices": parse_quantity(text)} for text in ("1", "2"))
    parts = [replace(device(f"part-{i}"), consumes=(CounterUse("card", one),)) for i in range(2)]
    sets = slice_of([], node="n1", name="sets", slice_count=2)
    card = replace(sets, counter_sets=(CounterSet("card", two),)), slice_of(parts, node="n1", slice_count=2)
    hands = Hands(node("n1"), *card, claim("c"), pod("p", claims=["c"])).settle()

    figures = counted(hands)

    assert figures.rooms == {}
    assert figures.devices == {(DRIVER, "part", "part"): 1, (DRIVER, "part", "allocated"): 1}


def test_a_count_changes_no_decision():
    def run(look):
        hands = Hands(*boxes(8), node("n2"), build.gpus("n2", 8), verify_plans=False)
        census = hands.engine.census()
        for number in range(12):
            hands.see(claim(f"c{number}", count=number % 3 + 1), pod(f"p{number}", claims=[f"c{number}"]))
            if look:
                list(census.count())
            hands.settle()
        return [str(each) for each in hands.asked]

    assert run(look=True) == run(look=False)


def test_gated_pods_and_what_cannot_be_read_are_counted():
    hands = Hands(
        *boxes(), pod("g", gates=["wait"]), pod("h", gates=["wait"], scheduler="another"), pod("i", claims=["none"])
    )
    hands.tell(Rejected("ResourceClaim", "default/odd", Uid("u"), "is odd"))
    hands.decide()

    figures = counted(hands)

    assert figures.gated == 1
    assert figures.claims["unreadable"] == 1
    assert figures.unreadable == {"ResourceClaim": 1}
    assert sum(figures.pending.values()) == 1


def demand_of(hands, name):
    return resolve(hands.pod(build.pod_uid(name)), hands.engine.state).open[0].demand


def test_a_shape_is_that_of_the_largest_request():
    asked = request("few", 1), request("many", 3), request("as-many", 3, device_class="nic")
    hands = Hands(*boxes(), device_class(), device_class("nic"), claim("c", *asked), pod("p", claims=["c"]), pod("q"))
    hands.see(claim("all", request("r", all=True)), pod("a", claims=["all"]))

    shape, want = shape_of(demand_of(hands, "p"))

    assert (shape, want.count) == (Shape("gpu", 3), 3)
    assert shape.text == "3"
    assert shape_of(demand_of(hands, "q")) is None
    assert shape_of(demand_of(hands, "a")) is None


def test_a_shape_with_shares_says_how_much():
    asked = replace(request(), capacity={MEMORY: parse_quantity("10Gi")})
    hands = Hands(*boxes(), claim("c", asked), pod("p", claims=["c"]))

    shape, _ = shape_of(demand_of(hands, "p"))

    assert shape.text == "1 x memory=10Gi"


def test_shapes_are_bounded_and_the_rest_is_told_as_one():
    hands = Hands(*boxes(76))  # one shape asks for 32 devices, 39 for one each
    for number in range(40):
        asked = request("r", 1 if number else 32, device_class=f"k{number}")
        hands.see(device_class(f"k{number}"), claim(f"c{number}", asked), pod(f"p{number}", claims=[f"c{number}"]))
        hands.decide()

    figures = counted(hands)

    assert len(figures.rooms) == MAX_SHAPES
    assert figures.others == Room(0, 1.0)  # five are left, and the first shape asks for 32


def test_what_is_asked_for_most_is_kept():
    hands = Hands(*boxes())
    asked = Asked()
    for number in range(300):
        wanted = request("r", device_class=f"k{number}")
        hands.see(device_class(f"k{number}"), claim(f"c{number}", wanted), pod(f"p{number}", claims=[f"c{number}"]))
        for _ in range(3 if number == 0 else 1):
            asked.arrive(demand_of(hands, f"p{number}"))

    assert asked.popular()[0] == Shape("k0", 1)
    assert len(asked._known) <= 256


def test_shapes_that_are_forgotten_during_a_count_are_counted_still():
    hands = Hands(*boxes())
    demands = []
    for number in range(260):
        wanted = request("r", device_class=f"k{number}")
        hands.see(device_class(f"k{number}"), claim(f"c{number}", wanted), pod(f"p{number}", claims=[f"c{number}"]))
        demands.append(demand_of(hands, f"p{number}"))
    asked = hands.engine._shapes = Asked()
    for demand in demands[:200]:
        asked.arrive(demand)
    pieces = hands.engine.census().count()
    for _ in range(4):
        next(pieces)
    for demand in demands[200:]:
        asked.arrive(demand)  # halves them

    figures = finished(pieces)

    assert len(asked._known) < 200
    assert len(figures.rooms) == MAX_SHAPES
    assert figures.others is not None


@pytest.mark.parametrize("before", range(1, 5))
def test_a_node_that_sees_more_devices_during_a_count_does_not_end_it(before):
    shared = [replace(device(f"gpu-{i}", capacity={MEMORY: 10}), shareable=True) for i in range(4)]
    asked = replace(request(), capacity={MEMORY: parse_quantity("5")})
    hands = Hands(node("n1"), slice_of(shared, node="n1"), claim("c", asked), pod("p", claims=["c"])).settle()
    pieces = hands.engine.census().count()
    for _ in range(before):
        next(pieces)
    hands.see(node("n2"), slice_of([device(f"gpu-{i}") for i in range(20)], node="n2", name="wide"))
    hands.decide()

    [told] = finished(pieces).rooms.values()

    assert told.headroom == 7


def test_weights_do_not_grow_without_bound():
    hands = Hands(*boxes(), claim("c"), pod("p", claims=["c"]))
    demand, asked = demand_of(hands, "p"), Asked()
    asked._weight = 1e9

    for _ in range(10):
        asked.arrive(demand)

    assert asked._weight < 2


def test_the_slowest_link_of_a_placement_is_known_where_links_are():
    chained = node("n1", annotations={"dovetail.scheduler/links": '{"pairs": [["gpu-0", "gpu-1", 300]], "default": 0}'})
    hands = Hands(chained, build.gpus("n1", 2), claim("c", count=2), pod("p", claims=["c"])).settle()
    unknown = Hands(*boxes(2), claim("c", count=2), pod("p", claims=["c"])).settle()
    single = Hands(*boxes(2), claim("c", count=1), pod("p", claims=["c"])).settle()

    def link(hands):
        return slowest_link(hands.engine.state, hands.of(RecordDecision)[-1].decision.winner)

    assert link(hands) == 300.0
    assert link(unknown) is None
    assert link(single) is None


def test_every_attempt_that_finds_no_place_is_recorded():
    hands = Hands(*boxes(1), claim("c", count=2), pod("p", claims=["c"]))
    hands.decide()
    hands.decide(hands.engine.next_wakeup())

    told = [(each.pod, each.outcome.token) for each in hands.of(RecordUnplaced)]
    assert told == [("default/p", "NoFit")] * 2
