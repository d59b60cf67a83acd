"""Parts of devices are counted; wherever that decides, it says what the exact search says."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core import candidates as module
from scheduler.core.budget import Budget
from scheduler.core.candidates import Candidates
from scheduler.core.catalogue import Catalogue
from scheduler.core.config import EngineConfig
from scheduler.core.demand import resolve
from scheduler.core.messages import Gone, RecordDecision
from scheduler.core.model import CounterSet, CounterUse
from scheduler.core.quantity import parse_quantity
from scoring.opinion import Opinion
from scoring.weights import Weights
from tests import build
from tests.build import DRIVER, claim, match, node, pod, request, slice_of
from tests.driving import Hands

ATTRIBUTES = f'device.attributes["{DRIVER}"]'
KINDS = ("gpu", "mig", "mig", "mig", "nic")


def quantities(amounts):
    return {name: parse_quantity(str(amount)) for name, amount in amounts.items()}


def uses(counter_set, **amounts):
    return CounterUse(counter_set, quantities(amounts))


@st.composite
def boards(draw):
    """Counter sets and devices of one pool: mostly cards that are cut alike, sometimes anything."""
    count = draw(st.integers(1, 3))
    counters = draw(st.sampled_from([("memory",), ("s0", "s1", "s2"), ("s0", "s1", "memory")]))

    def amounts(most):
        return dict(zip(counters, [draw(st.integers(0, most)) for _ in counters], strict=True))

    total = amounts(4)
    cut = [(draw(st.sampled_from(KINDS)), amounts(3)) for _ in range(draw(st.integers(1, 5)))]
    sets = [CounterSet(f"set-{at}", quantities(total)) for at in range(count)]
    parts = []
    for at in range(count):
        for kind, taken in cut:
            drawn = [uses(f"set-{at}", **taken)]
            if count > 1 and draw(st.integers(0, 7)) == 0:
                drawn.append(uses(f"set-{(at + 1) % count}", **{counters[0]: 1}))
            flaw = {"healthy": False} if draw(st.integers(0, 7)) == 0 else {}
            made = build.device(f"part-{len(parts)}", {"type": kind, "size": sum(taken.values())} | flaw)
            parts.append(replace(made, consumes=tuple(drawn)))
    parts += [
        build.device(f"plain-{at}", {"type": draw(st.sampled_from(KINDS)), "size": 1})
        for at in range(draw(st.integers(0, 2)))
    ]
    return sets, draw(st.permutations(parts)) if draw(st.booleans()) else parts


def published(name, sets, parts, **fields):
    """Slices of one node."""
    own = slice_of([], node=name, name=f"{name}-sets", slice_count=2, **fields)
    return [replace(own, counter_sets=tuple(sets)), slice_of(parts, node=name, slice_count=2, **fields)]


@st.composite
def fleets(draw):
    alike = draw(st.none() | boards())
    found = []
    for name in ("n1", "n2", "n3")[: draw(st.integers(1, 3))]:
        found += [node(name), *published(name, *(alike or draw(boards())))]
    return found


@st.composite
def requests(draw, name):
    sizes = draw(st.sampled_from(["true", f"{ATTRIBUTES}.size == 2", f"{ATTRIBUTES}.size > 2"]))
    kinds = draw(st.sampled_from(["true", f'{ATTRIBUTES}.type == "mig"', f'{ATTRIBUTES}.type != "nic"']))
    return request(name, draw(st.sampled_from([1, 1, 1, 1, 2])), sizes, kinds, all=draw(st.integers(0, 9)) == 0)


constraints = st.sampled_from([(), (), (), (match("size"),), (match("absent"),)])
asked = st.sampled_from([1, 1, 1, 2]).flatmap(lambda count: st.tuples(*[requests(f"r{at}") for at in range(count)]))


def classes(hands, requests, bound=(), *, exact=False, few=module._FEW_ROWS):
    """The class of a pod with such a claim, fresh, with the market of the engine."""
    state, known = hands.engine.state, hands.engine._catalogue
    hands.see(claim("probe", *requests, constraints=bound), pod("probe", claims=["probe"]))
    state.settle()
    [way] = resolve(state.pods.current[build.pod_uid("probe")], state).open
    hands.tell(Gone("Pod", "default/probe", build.pod_uid("probe")))
    hands.tell(Gone("ResourceClaim", "default/probe", build.claim_uid("probe")))
    catalogue = Catalogue(EngineConfig(search_steps=100_000, device_choice=known.config.device_choice))
    catalogue.stock.trade(known.stock.market)
    catalogue.parts = known.parts  # which numbers the classes that the market speaks of
    found = Candidates(way.demand, catalogue, Opinion(Weights()))
    if exact:
        found._kinds._plain, found._kinds._shares, found._shares = False, None, None
    kept, module._FEW_ROWS = module._FEW_ROWS, few
    found.refresh(state, Budget(10**9))
    module._FEW_ROWS = kept
    return found


def verdicts(hands, found):
    rows = hands.engine.state.nodes.rows
    return {name: found._ranking.rank(row) >= 0 for name, row in rows.items()}, found.fatal


def results(hands, found):
    ranks = {row: found._ranking.rank(row) for row in hands.engine.state.nodes.rows.values()}
    return [(rank, found.cut[row], found.answer(row).chosen) if rank >= 0 else None for row, rank in ranks.items()]


def place(hands, number, *wanted, bound=()):
    hands.see(
        claim(f"c{number}", *wanted, constraints=bound),
        pod(f"p{number}", claims=[f"c{number}"], created=f"{number:03d}"),
    )
    hands.settle()  # every plan is checked


def leave(hands, number):
    hands.tell(Gone("Pod", f"default/p{number}", build.pod_uid(f"p{number}")))
    hands.tell(Gone("ResourceClaim", f"default/c{number}", build.claim_uid(f"c{number}")))


@settings(max_examples=150, deadline=None)
@given(
    fleets(), st.lists(st.tuples(asked, constraints), min_size=1, max_size=7), st.sampled_from(["scored", "first-fit"])
)
def test_counting_agrees_with_the_exact_search(fleet, crowd, choice):
    hands = Hands(*fleet, device_choice=choice)
    for number, (wanted, bound) in enumerate(crowd):
        one_by_one, columns = classes(hands, wanted, bound), classes(hands, wanted, bound, few=0)
        searched = classes(hands, wanted, bound, exact=True)
        assert verdicts(hands, one_by_one) == verdicts(hands, searched)
        assert results(hands, one_by_one) == results(hands, columns)
        if choice == "first-fit":
            picks = [[each and each[2] for each in results(hands, found)] for found in (one_by_one, searched)]
            assert picks[0] == picks[1]

        place(hands, number, *wanted, bound=bound)
        if number % 3 == 2:
            leave(hands, number - 1)


@settings(max_examples=60, deadline=None)
@given(fleets(), st.lists(asked, min_size=2, max_size=7))
def test_a_class_that_lived_through_changes_equals_a_new_one(fleet, crowd):
    hands = Hands(*fleet)
    for number, wanted in enumerate(crowd):
        place(hands, number, *wanted)
        if number % 3 == 2:
            leave(hands, number - 1)
    state = hands.engine.state
    for (demand, opinion), old in hands.engine._classes.items():
        old.refresh(state, Budget(10**9))
        new = Candidates(demand, hands.engine._catalogue, opinion)
        new.refresh(state, Budget(10**9))
        assert results(hands, old) == results(hands, new)
        assert old.best(state) == new.best(state)


# ---------------------------------------------------------------- cards as drivers publish them

SMALL, HALF, ALL = (f'{ATTRIBUTES}.profile == "{each}"' for each in ("1g", "3g", "all"))
PROFILES = (("1g", 1, range(7)), ("3g", 4, (0, 4)))


def card(number, *, whole=False, profiles=PROFILES):
    """The counter set and the parts of a GPU with eight memory slices; perhaps with itself as one of them."""
    name = f"gpu-{number}"
    slices = {f"s{at}": 1 for at in range(8)}
    parts = [
        replace(
            build.device(f"{name}-{profile}-{start}", {"type": "mig", "profile": profile}),
            consumes=(uses(name, **{f"s{at}": 1 for at in range(start, start + size)}),),
        )
        for profile, size, starts in profiles
        for start in starts
    ]
    if whole:
        parts.append(replace(build.device(name, {"type": "gpu", "profile": "all"}), consumes=(uses(name, **slices),)))
    return CounterSet(name, quantities(slices)), parts


def cards(name, count, **fields):
    sets, parts = zip(*[card(at, **fields) for at in range(count)], strict=True)
    return published(name, sets, [each for part in parts for each in part])


def one(selector, count=1):
    return request("r", count, selector)


@pytest.mark.interpreted
def test_parts_are_counted_and_not_searched(monkeypatch):
    hands = Hands(node("n1"), *cards("n1", 2))
    monkeypatch.setattr(hands.engine._catalogue.puzzles, "make", None)
    for number, selector in enumerate([HALF, HALF, HALF, SMALL, SMALL, SMALL, HALF]):
        place(hands, number, one(selector))

    assert [hands.node_of(f"p{number}") for number in range(6)] == ["n1"] * 6
    assert hands.reason("p6") == (
        "pod default/p6: 0 of 1 nodes fit: 1 lack 1 free devices for request r of claim c6 (none that matches has "
        "enough left: device gpu.example.com/n1/gpu-1-3g-0 would take 1 of counter s0 of gpu-1, 0 of 1 left; "
        "1 of counter s1 of gpu-1, 0 of 1 left; 1 of counter s2 of gpu-1, 0 of 1 left)"
    )


def test_what_is_taken_spoils_least_once_the_demand_is_known():
    hands = Hands(node("n1"), *cards("n1", 2))
    for number in range(32):  # two kinds of pods, in turns; there is room for each alone
        place(hands, number, one(HALF if number % 2 else SMALL))
        leave(hands, number)
    for number, selector in enumerate([HALF, SMALL, HALF, SMALL], 32):
        place(hands, number, one(selector))

    taken = [hands.devices_of(f"c{number}")[0] for number in range(32, 36)]
    small = [each for each in taken if "1g" in each]
    assert len({each[:5] for each in small}) == 1  # both small ones on one card, in one half of it
    assert len({int(each[-1]) // 4 for each in small}) == 1
    decision = hands.of(RecordDecision)[-1].decision
    assert set(decision.winner.scores) >= {"partitions"}
    assert decision.winner.scores["partitions"] != 0.5


@pytest.mark.interpreted
def test_whole_gpus_that_could_be_cut_are_counted_and_their_links_are_looked_at(monkeypatch):
    pairs = {"dovetail.scheduler/links": '{"pairs": [["gpu-0", "gpu-2", 300], ["gpu-1", "gpu-3", 300]], "default": 0}'}
    hands = Hands(node("n1", annotations=pairs), *cards("n1", 4, whole=True))
    monkeypatch.setattr(hands.engine._catalogue.puzzles, "make", None)
    place(hands, 0, one(SMALL))
    place(hands, 1, one(ALL, 2))
    place(hands, 2, one(ALL, 2))

    [cut] = hands.devices_of("c0")
    assert cut.startswith("gpu-0")
    assert hands.devices_of("c1") == ["gpu-1", "gpu-3"]
    assert hands.node_of("p2") == ""  # of the other pair one is cut
    assert "best: n1 has 1" in hands.reason("p2")


def test_a_pool_with_an_overdrawn_counter_gives_nothing_until_it_is_no_longer():
    hands = Hands(node("n1"), *cards("n1", 2))
    place(hands, 0, one(HALF))
    sets = [replace(each, counters=quantities(dict.fromkeys(each.counters, 0))) for each in (card(0)[0], card(1)[0])]
    own, _ = cards("n1", 2)
    hands.see(replace(own, counter_sets=(sets[0], own.counter_sets[1])))
    place(hands, 1, one(SMALL))
    before = hands.node_of("p1")
    leave(hands, 0)
    hands.settle()

    assert before == ""
    assert hands.devices_of("c1") == ["gpu-1-1g-0"]


def test_counters_that_several_nodes_draw_on_are_left_to_the_search():
    board, parts = card(0)
    own = replace(slice_of([], node="n1", name="sets", slice_count=3, pool="p"), counter_sets=(board,))
    near, far = (
        slice_of(
            [replace(part, name=f"{name}-{part.name}") for part in parts], node=name, name=name, pool="p", slice_count=3
        )
        for name in ("n1", "n2")
    )
    hands = Hands(node("n1"), node("n2"), own, near, far)
    for number in range(3):
        place(hands, number, one(HALF))

    assert not hands.engine._catalogue.parts.drawn.any()
    assert sorted(hands.node_of(f"p{number}") != "" for number in range(3)) == [False, True, True]


def test_a_single_part_must_have_the_attribute_that_its_constraint_names():
    hands = Hands(node("n1"), *cards("n1", 2))
    place(hands, 0, one(SMALL), bound=(match("profile"),))
    place(hands, 1, one(SMALL), bound=(match("absent"),))

    assert [hands.node_of("p0"), hands.node_of("p1")] == ["n1", ""]


@pytest.mark.parametrize("order", list(permutations(["1g", "2g", "3g"])), ids=str)
def test_the_first_parts_of_a_fleet_leave_room_for_each_other(order):
    # given two cards of which nobody has asked anything yet, and parts that one of them can be cut into
    profiles = (*PROFILES, ("2g", 2, (0, 2, 4)), ("4g", 4, (0,)))
    hands = Hands(node("n1"), *cards("n1", 2, profiles=profiles, whole=True))
    # when they come in any order
    for number, profile in enumerate(order):
        place(hands, number, one(f'{ATTRIBUTES}.profile == "{profile}"'))
    # then all are of one card
    assert {name[:5] for number in range(3) for name in hands.devices_of(f"c{number}")} == {"gpu-0"}


def test_gpus_that_go_by_fabric_partitions_do_so_beside_the_parts_of_others():
    nvidia, fabric = "gpu.nvidia.com", {"type": "gpu", "partition2": 0}
    sets, parts = zip(*[card(at, whole=True) for at in range(2)], strict=True)
    cut = [each if "-" in each.name[4:] else replace(each, attributes=fabric) for part in parts for each in part]
    whole_first = sorted(cut, key=lambda each: each.attributes["type"])
    hands = Hands(build.device_class(driver=nvidia), node("n1"), *published("n1", sets, whole_first, driver=nvidia))
    for number in range(2):
        place(hands, number, one("true"))
    place(hands, 2, request("r", 2, f'device.attributes["{nvidia}"].type == "gpu"'))

    assert all("1g" in name or "3g" in name for number in range(2) for name in hands.devices_of(f"c{number}"))
    assert "Fabric Manager partition" in hands.reason("p2") or "lack 2 free devices" in hands.reason("p2")


@pytest.mark.interpreted
def test_what_is_known_of_cards_stays_when_a_node_with_more_devices_comes(monkeypatch):
    hands = Hands(node("n1"), *cards("n1", 1))
    monkeypatch.setattr(hands.engine._catalogue.puzzles, "make", None)
    place(hands, 0, one(HALF))
    hands.see(node("n2", unschedulable=True), *cards("n2", 3))
    place(hands, 1, one(HALF))
    place(hands, 2, one(SMALL))

    assert hands.devices_of("c0") + hands.devices_of("c1") == ["gpu-0-3g-4", "gpu-0-3g-0"]
    assert hands.node_of("p2") == ""


def test_cards_of_too_many_parts_are_searched():
    many = [replace(build.device(f"part-{at}", {"profile": "1g"}), consumes=(uses("board", s0=1),)) for at in range(65)]
    hands = Hands(node("n1"), *published("n1", [CounterSet("board", quantities({"s0": 2}))], many))
    for number in range(3):
        place(hands, number, one(SMALL))

    assert not hands.engine._catalogue.parts.drawn.any()
    assert [hands.node_of(f"p{number}") for number in range(3)] == ["n1", "n1", ""]
