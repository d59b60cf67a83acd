"""The exact search: the same outcome as searching everything, at a price that does not explode."""

import random
from collections.abc import Sequence
from dataclasses import fields
from itertools import product

import numpy as np
import pytest

from scheduler.core.rules.constraints import ABSENT, Label
from scheduler.core.solvers import exact
from scheduler.core.solvers.exact import Found, Search
from scheduler.core.solvers.puzzle import ALL, ERROR, NO, YES, Ask, ClaimPuzzle, Piece, Puzzle
from scheduler.core.solvers.search import solve_puzzle
from scoring.scorers import SET_SCORERS
from scoring.topology.base import Layout

FEW = 2_000  # steps: a search that explodes takes millions


def layout(size: int) -> Layout:
    unknown = np.full(size, -1, np.int32)
    return Layout(np.zeros((size, size), np.float32), unknown, unknown, "test")


def ask(
    size: int,
    count: int = 1,
    serves: Sequence[int] | None = None,
    *,
    admin: bool = False,
    charge: Sequence[int] | None = None,
    labels: tuple[tuple[Label, ...] | None, ...] = (),
) -> Ask:
    status = bytes([YES if serves is None or position in serves else NO for position in range(size)])
    charges = (tuple(charge) if charge is not None else (),) * size
    return Ask(count, admin, status, bytes([1] * size), charges, labels)


def puzzle(
    pieces: Sequence[Piece],
    *claims: Sequence[Sequence[Ask]],
    distinct: tuple[bool, ...] = (),
    counters: Sequence[int] = (),
    kinds: Sequence[int] | None = None,
    capacity: bool = False,
) -> Puzzle:
    return Puzzle(
        layout=layout(len(pieces)),
        pieces=tuple(pieces),
        claims=tuple(
            ClaimPuzzle(tuple(tuple(asks) for asks in wants), tuple(len(asks) > 1 for asks in wants), distinct)
            for wants in claims
        ),
        counters=tuple(counters),
        kinds=tuple(kinds) if kinds is not None else (0,) * len(counters),
        overdrawn=frozenset(),
        groups=(),
        capacity=capacity,
        compatibility=False,
        incomplete="",
        weights=(1.0,) * len(SET_SCORERS),
    )


def cards(number: int, slots: int) -> tuple[list[Piece], list[int]]:
    """Equal cards: on each two halves and single slots, all drawing from the card's slots."""
    pieces: list[Piece] = []
    counters: list[int] = []
    for _ in range(number):
        base = len(counters)
        counters += [1] * slots
        for half in range(2):
            uses = tuple((base + slot, 1) for slot in range(half * slots // 2, (half + 1) * slots // 2))
            pieces.append(Piece(uses=uses, pool=0))
        pieces += [Piece(uses=((base + slot, 1),), pool=0) for slot in range(slots)]
    return pieces, counters


# ---------------------------------------------------------------- what makes depth first search explode


@pytest.mark.parametrize("count", range(8, 21))
def test_one_request_more_than_there_are_devices_is_refused_at_once(count: int):
    found = Search(puzzle([Piece()] * (count - 1), [[ask(count - 1)]] * count), FEW).run()

    assert (found.solutions, found.exhausted) == ([], False)


@pytest.mark.parametrize("count", range(8, 21))
def test_a_last_request_for_the_first_device_is_served_at_once(count: int):
    wants = [[ask(count)]] * (count - 1) + [[ask(count, serves=[0])]]

    [solution] = Search(puzzle([Piece()] * count, wants), FEW).run().solutions

    assert solution.picks[-1] == (0,)


def test_thirteen_devices_that_share_a_value_are_not_found_in_groups_of_twelve_and_eleven_at_once():
    values = (0,) * 12 + (1,) * 11

    found = Search(puzzle([Piece()] * 23, [[ask(23, 13, labels=(values,))]], distinct=(False,)), FEW).run()

    assert (found.solutions, found.exhausted) == ([], False)


def test_requests_for_many_different_devices_that_cannot_be_matched_are_refused_at_once():
    draw = random.Random(1)
    wants = [[ask(20, serves=[p for p in range(18) if draw.random() < 0.5])] for _ in range(19)]

    found = Search(puzzle([Piece()] * 20, wants), FEW).run()

    assert (found.solutions, found.exhausted) == ([], False)


@pytest.mark.parametrize("count", [8, 12, 16, 20])
@pytest.mark.parametrize("at_once", [True, False])
def test_fewer_different_values_than_devices_that_must_differ_are_found_at_once(count: int, at_once: bool):
    size = 2 * (count - 1)
    values = tuple(position // 2 for position in range(size))
    wants = [[ask(size, count, labels=(values,))]] if at_once else [[ask(size, labels=(values,))]] * count

    found = Search(puzzle([Piece()] * size, wants, distinct=(True,)), FEW).run()

    assert (found.solutions, found.exhausted) == ([], False)


def test_more_halves_than_equal_cards_have_are_refused_at_once():
    pieces, counters = cards(8, 8)
    halves = [p for p, piece in enumerate(pieces) if len(piece.uses) == 4]

    found = Search(puzzle(pieces, [[ask(len(pieces), serves=halves)]] * 17, counters=counters), FEW).run()

    assert (found.solutions, found.exhausted) == ([], False)


def test_equal_cards_are_not_tried_in_each_others_place():
    # given halves that need one kind of slot more than the sum of all slots shows
    pieces, counters = cards(6, 4)
    halves = [p for p, piece in enumerate(pieces) if len(piece.uses) == 2]
    singles = [p for p, piece in enumerate(pieces) if len(piece.uses) == 1]
    wants = [[ask(len(pieces), serves=singles)]] * 6 + [[ask(len(pieces), serves=halves)]] * 10

    found = Search(puzzle(pieces, wants, counters=counters, kinds=range(len(counters))), 50_000).run()

    assert (found.solutions, found.exhausted) == ([], False)


def test_a_later_request_that_nothing_can_serve_ends_the_search_before_it_begins():
    # given many different devices, so that an earlier request can be served in ten thousands of ways
    size = 32
    mixed = [Ask(15, False, bytes([YES] * size), bytes([1] * size), tuple((p,) for p in range(size)), ())]
    pieces = [Piece(room=(size,), used=(0,))] * size

    few = Search(puzzle(pieces, [mixed, [ask(size, 16, serves=range(10), charge=(1,))]], capacity=True), FEW).run()
    none = Search(puzzle(pieces, [mixed, [ask(size, ALL, serves=[], charge=(1,))]], capacity=True), FEW).run()

    assert (few.solutions, few.exhausted, few.steps) == ([], False, 0)
    assert (none.solutions, none.exhausted, none.steps) == ([], False, 0)


def test_a_request_for_more_than_there_are_is_not_searched_though_an_error_waits_behind_it():
    size = 30
    pieces = [Piece(room=(size,), used=(0,))] * size
    mixed = Ask(31, False, bytes([YES] * size), bytes([1] * size), tuple((p,) for p in range(size)), ())
    broken = Ask(1, False, bytes([ERROR] * size), bytes([1] * size), ((1,),) * size, ())

    found = Search(puzzle(pieces, [[mixed], [broken]], capacity=True), FEW).run()

    assert (found.solutions, found.fatal, found.exhausted) == ([], None, False)


def test_a_spent_budget_is_not_an_answer():
    given = puzzle([Piece()] * 9, [[ask(9)]] * 9)

    found = Search(given, 3).run()

    assert (found.solutions, found.exhausted) == ([], True)
    assert solve_puzzle(given, 3).exhausted


def test_more_claims_and_devices_than_python_has_frames_are_searched():
    claims = [[[ask(960, 32)]] for _ in range(30)]

    found = Search(puzzle([Piece()] * 960, *claims), 50_000).run()

    assert [len(picks) for picks in found.solutions[0].picks] == [32] * 30


# ---------------------------------------------------------------- what is chosen


def test_an_earlier_request_keeps_its_better_alternative():
    wants = [[ask(3, 2), ask(3, 1)], [ask(3, 2), ask(3, 1)]]

    [solution] = Search(puzzle([Piece()] * 3, wants), FEW).run().solutions

    assert solution.chosen == (0, 1)
    assert solution.picks == ((0, 1), (2,))


def test_an_alternative_that_one_claim_cannot_hold_is_passed_over():
    wants = [[ask(40, 20)], [ask(40, 20), ask(40, 1)]]

    [solution] = Search(puzzle([Piece()] * 40, wants), FEW).run().solutions

    assert solution.chosen == (0, 1)


def test_an_error_behind_the_first_solution_is_not_met():
    met = Ask(1, False, bytes([ERROR, YES]), b"\1\1", ((), ()), ())
    unmet = Ask(1, False, bytes([YES, ERROR]), b"\1\1", ((), ()), ())

    assert Search(puzzle([Piece()] * 2, [[unmet]]), FEW).run().fatal is None
    assert Search(puzzle([Piece()] * 2, [[met]]), FEW).run().fatal is not None
    assert Search(puzzle([Piece(dedicated=True), Piece()], [[met]]), FEW).run().fatal is None


def test_no_set_is_compared_for_which_an_error_must_be_passed():
    behind = Ask(1, False, bytes([YES, ERROR, YES]), b"\1\1\1", ((), (), ()), ())
    given = puzzle([Piece()] * 3, [[behind]])

    assert [each.picks for each in Search(given, FEW, 10, (0,)).run().solutions] == [((0,),)]


def test_shares_of_a_device_are_taken_until_it_is_full_and_counters_are_charged_once():
    pieces = [Piece(shareable=True, room=(8,), used=(0,), uses=((0, 1),), pool=0)]
    wants = [[ask(1, charge=(4,))], [ask(1, charge=(4,))]]

    two = Search(puzzle(pieces, wants, counters=[1], capacity=True), FEW).run()
    three = Search(puzzle(pieces, [*wants, [ask(1, charge=(1,))]], counters=[1], capacity=True), FEW).run()

    assert two.solutions[0].picks == ((0,), (0,))
    assert three.solutions == []


def test_admin_access_sees_devices_in_use_but_not_one_twice_in_a_claim():
    used = [Piece(dedicated=True)]
    admin = [ask(1, admin=True)]

    assert Search(puzzle(used, [admin]), FEW).run().solutions
    assert Search(puzzle(used, [admin], [admin]), FEW).run().solutions
    assert not Search(puzzle(used, [admin, admin]), FEW).run().solutions


# ---------------------------------------------------------------- against searching everything


def exhaustive(given: Puzzle, monkeypatch: pytest.MonkeyPatch) -> Found:
    """The same walk without memory, symmetry and bounds."""
    with monkeypatch.context() as patch:
        patch.setattr(exact, "_EASY", 10**9)
        patch.setattr(exact, "_HARD", 10**9)
        search = Search(given, 10**7)
        search._kinds = None
        search._rest = {}
        search._horizon = list(range(len(search._horizon)))
        return search.run()


def drawn(draw: random.Random) -> Puzzle:
    """A small puzzle with everything in it."""
    size = draw.randint(1, 6)
    counters = [draw.randint(0, 2) for _ in range(draw.randint(0, 3))]
    pieces = [
        Piece(
            dedicated=draw.random() < 0.1,
            shared=draw.random() < 0.1,
            used=(draw.choice([0, 0, 1]),),
            room=(draw.choice([1, 2, 2]),),
            shareable=draw.random() < 0.3,
            refused=draw.random() < 0.05,
            uses=tuple((each, draw.choice([1, 1, 2])) for each in range(len(counters)) if draw.random() < 0.4),
            pool=0,
        )
        for _ in range(size)
    ]
    distinct = tuple(draw.random() < 0.5 for _ in range(draw.choice([0, 0, 1, 2])))
    lists = draw.random() < 0.3

    def label() -> Label:
        if lists:
            return frozenset(value for value in range(3) if draw.random() < 0.5)
        return draw.choice([0, 0, 1, 1, 2, ABSENT])

    shared = [tuple(label() for _ in range(size)) for _ in distinct]

    def request() -> Ask:
        return Ask(
            count=draw.choice([1, 1, 1, 2, 3, ALL]),
            admin=draw.random() < 0.1,
            status=bytes(draw.choices([NO, YES, ERROR], [2, 8, draw.choice([0, 0, 0.3])], k=size)),
            welcome=bytes(draw.choices([0, 1], [1, 9], k=size)),
            charges=tuple(draw.choice([(1,), (1,), (2,), (0,), None]) for _ in range(size)),
            labels=tuple(labels if draw.random() < 0.8 else None for labels in shared),
        )

    claims = [
        [[request() for _ in range(draw.choice([1, 1, 2, 3]))] for _ in range(draw.randint(1, 4))]
        for _ in range(draw.choice([1, 1, 2]))
    ]
    return puzzle(pieces, *claims, distinct=distinct, counters=counters, kinds=range(len(counters)), capacity=True)


@pytest.mark.parametrize("seed", range(40))
def test_memory_symmetry_and_bounds_change_no_outcome(seed: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exact, "_EASY", 0)
    monkeypatch.setattr(exact, "_HARD", 0)
    draw = random.Random(seed)
    seen = set()
    for _ in range(60):
        given = drawn(draw)

        everything, clever = exhaustive(given, monkeypatch), Search(given, 10**7).run()

        assert (clever.solutions, clever.fatal) == (everything.solutions, everything.fatal)
        assert clever.steps <= everything.steps
        seen.add((bool(clever.solutions), clever.fatal is not None))
    assert len(seen) == 3


def test_all_solutions_of_the_chosen_alternatives_are_found(monkeypatch: pytest.MonkeyPatch):
    draw = random.Random(5)
    for _ in range(200):
        given = drawn(draw)
        first = Search(given, 10**6).run()
        if not first.solutions:
            continue
        chosen = first.solutions[0].chosen

        found = {each.picks for each in Search(given, 10**7, 10**6, chosen).run().solutions}

        assert first.solutions[0].picks in found
        assert all(_disjoint(given, picks) for picks in found)


def _disjoint(given: Puzzle, picks: tuple[tuple[int, ...], ...]) -> bool:
    wants = [asks for claim in given.claims for asks in claim.wants]
    held = [
        position
        for asks, part in zip(wants, picks, strict=True)
        for position in part
        if not given.pieces[position].shareable and not any(ask.admin for ask in asks)
    ]
    return len(held) == len(set(held))


def test_the_best_of_all_sets_is_taken():
    # given four devices in two linked pairs that stand apart
    speed = np.zeros((4, 4), np.float32)
    for a, b in ((0, 2), (1, 3)):
        speed[a, b] = speed[b, a] = 300
    unknown = np.full(4, -1, np.int32)
    base = puzzle([Piece(binds) for binds in (False,) * 4], [[ask(4, 2)]])
    given = Puzzle(
        **{
            **{each.name: getattr(base, each.name) for each in fields(base)},
            "layout": Layout(speed, unknown, unknown, "test"),
            "weights": tuple(float(scorer.name == "bandwidth") for scorer in SET_SCORERS),
        }
    )

    answer = solve_puzzle(given, 1000)

    assert answer.chosen in [((0, 2),), ((1, 3),)]


@pytest.mark.parametrize(("first", "second"), list(product([True, False], repeat=2)))
def test_nodes_in_the_same_state_are_equal_puzzles(first: bool, second: bool):
    one = puzzle([Piece(dedicated=first)], [[ask(1)]])
    other = puzzle([Piece(dedicated=second)], [[ask(1)]])

    assert (one == other) == (first == second)
    assert (hash(one) == hash(other)) or first != second
