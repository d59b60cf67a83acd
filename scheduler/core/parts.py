"""Parts of devices that are cut (KEP-4815, such as MIG): where counting decides, and which part a pod is given.

A *card* is what parts are cut from: a counter set, or several that some part draws on together, with all parts that
draw on them. What is left of it follows from which of its parts are taken. So equal cards are in one of few states, and
what a state still offers, what it becomes by another part, and what is wasted in it are worked out once.

Nodes with anything beyond that (counters that other nodes share, compatibility groups, parts that can be shared) are
left to the exact search.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler.core.bays import pack
from scheduler.core.eligibility import Eligibility
from scheduler.core.model import Device, Slice
from scheduler.core.pools import PoolView
from scheduler.core.shares import Picks
from scheduler.core.state import State, product
from scheduler.core.topology.reading import PARTS
from scoring.arrays import Mask, Rows
from scoring.market import Market, unknown_market
from scoring.prices import WHOLE
from scoring.scorers import CARD_SCORER
from scoring.scorers.base import Cards

MAX_CLASSES: Final = 4_096
MAX_STATES: Final = 100_000
MAX_DESIGNS: Final = 4_096
MAX_CARDS: Final = 64  # of a node
MAX_PARTS: Final = 64  # of a card; nodes beyond that are searched
_MOST: Final = 2**52  # units of a counter
_EQUAL: Final = 1e-6  # milli; parts that leave less than that between them are equal, and the first of them is taken
_NONE: Final = -1
STEPS_A_PART: Final = 4
"""What it takes to learn one part of a card, in the steps of core/budget.py."""

Doubles = NDArray[np.float64]
PartName = tuple[tuple[str, ...], float]
"""Product and milli."""
Amounts = tuple[tuple[int, str, int], ...]
Blueprint = tuple[Amounts, tuple[tuple[tuple[str, ...], Amounts], ...]]
"""What a card has of each counter (counter set, name, nano-units), and of each part its product and what it takes."""


@dataclass(frozen=True, slots=True)
class Design:
    """What equal cards have in common. Parts in the order of the bay, amounts in a unit of its own for each counter.

    totals : of each counter. uses : what each part takes of each. classes : of each part. milli : see Cards.
    """

    totals: tuple[int, ...]
    uses: tuple[tuple[int, ...], ...]
    classes: tuple[int, ...]
    milli: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """A card of a node. design : its number. positions : of its parts. pool : the number of its pool."""

    design: int
    positions: tuple[int, ...]
    pool: int

    def taken(self, bits: int) -> int:
        """Which of its parts are not among these free devices of the bay, as bits."""
        first, size = self.positions[0], len(self.positions)
        if self.positions[-1] - first + 1 == size:
            return ~(bits >> first) & ((1 << size) - 1)
        return sum([1 << part for part, position in enumerate(self.positions) if not bits >> position & 1])

    def spread(self, parts: int) -> int:
        """Bits of its parts as bits of the bay."""
        first, size = self.positions[0], len(self.positions)
        if self.positions[-1] - first + 1 == size:
            return parts << first
        return sum([1 << position for part, position in enumerate(self.positions) if parts >> part & 1])


class States:
    """States of cards by number: a design, the parts that are taken, and whether its pool is blocked.

    open : the parts that can still be taken, as bits. overdrawn : whether a counter is below zero, which blocks its
    pool: no part of it can be taken.
    """

    def __init__(self) -> None:
        self.open: list[int] = []
        self.overdrawn: list[bool] = []
        self._designs: list[Design] = []
        self._design_index: dict[Design, int] = {}
        self._market = unknown_market(1)
        self._keys: list[tuple[int, int, bool]] = []
        self._index: dict[tuple[int, int, bool], int] = {}
        self._waste: list[float | None] = []  # None: not measured yet

    def __len__(self) -> int:
        return len(self._keys)

    def trade(self, market: Market) -> None:
        """Judge by another market from now on."""
        self._market = market
        self._waste = [None] * len(self)

    def forget(self) -> None:
        """All numbers, but not those of designs."""
        self.open, self.overdrawn, self._keys, self._waste = [], [], [], []
        self._index.clear()

    def design(self, design: Design) -> int:
        """Its number."""
        found = self._design_index.setdefault(design, len(self._designs))
        if found == len(self._designs):
            self._designs.append(design)
        return found

    def classes(self, design: int) -> tuple[int, ...]:
        """Of the parts of a design."""
        return self._designs[design].classes

    def number(self, design: int, taken: int, *, blocked: bool = False) -> int:
        """Of a state."""
        key = (design, taken, blocked)
        found = self._index.get(key)
        if found is None:
            found = self._index[key] = len(self._keys)
            self._keys.append(key)
            left = self._left(design, taken)
            fits = [
                part
                for part, uses in enumerate(self._designs[design].uses)
                if not taken >> part & 1 and all(have >= amount for have, amount in zip(left, uses, strict=True))
            ]
            self.open.append(0 if blocked else sum([1 << part for part in fits]))
            self.overdrawn.append(min(left) < 0)
            self._waste.append(None)
        return found

    def after(self, number: int, part: int) -> int:
        """What a state becomes when a part is taken."""
        design, taken, blocked = self._keys[number]
        return self.number(design, taken | 1 << part, blocked=blocked)

    def waste(self, numbers: Sequence[int]) -> list[float]:
        """Milli wasted in these states."""
        by_design: dict[int, list[int]] = {}
        for number in numbers:
            if self._waste[number] is None:
                by_design.setdefault(self._keys[number][0], []).append(number)
        for design, states in by_design.items():
            for number, each in zip(states, self._measure(design, states).tolist(), strict=True):
                self._waste[number] = each
        return [self._waste[number] or 0.0 for number in numbers]

    def _measure(self, number: int, states: Sequence[int]) -> Doubles:
        design = self._designs[number]
        taken = [self._keys[each][1] for each in states]
        parts = range(len(design.uses))
        left = [self._left(number, bits) for bits in taken]
        cards = Cards(
            left=np.maximum(np.array(left, np.int64), 0),
            taken=np.array([[bits >> part & 1 for part in parts] for bits in taken], np.bool_),
            uses=np.array(design.uses, np.int64),
            classes=np.array(design.classes, np.int32),
            milli=np.array(design.milli),
        )
        return CARD_SCORER.measure(cards, self._market)

    def _left(self, design: int, taken: int) -> list[int]:
        left = list(self._designs[design].totals)
        for part, uses in enumerate(self._designs[design].uses):
            if taken >> part & 1:
                left = [have - amount for have, amount in zip(left, uses, strict=True)]
        return left


class Parts:
    """One row a node. G cards of a node, P parts of a card, W devices of a node.

    drawn : bool (N,), counting decides which devices of the node can be taken. cards : int32 (N, G), state of each
    card, -1 pads. places : int32 (N, G, P), position of each part, -1 pads. card, part : int32 (N, W), by position, -1
    where a device is no part. whole : bool (N, W), whole GPUs, links apply to them. vacant : by row of such a node,
    bits of the devices that are free and for which the counters suffice.
    version : grows whenever states are numbered anew or worth something else.
    """

    def __init__(self) -> None:
        self.drawn: Mask = np.zeros(0, np.bool_)
        self.cards: Rows = np.zeros((0, 0), np.int32)
        self.places: Rows = np.zeros((0, 0, 0), np.int32)
        self.card: Rows = np.zeros((0, 0), np.int32)
        self.part: Rows = np.zeros((0, 0), np.int32)
        self.whole: Mask = np.zeros((0, 0), np.bool_)
        self.vacant: dict[int, int] = {}
        self.states = States()
        self.version = 0
        self._market_at = 0
        self._cards: dict[int, list[Card]] = {}
        self._noted: dict[int, int] = {}  # the bits that `vacant` was made from
        self._unread: set[int] = set()  # nodes whose cards are to be found
        self._designs: dict[Blueprint, int | None] = {}
        self._class_index: dict[tuple[tuple[str, ...], float], int] = {}
        self._milli: list[float] = []  # of a part of each class
        self._class_of: Rows = np.zeros(0, np.int32)  # by device row
        self._position = self._remade = -1

    @property
    def known(self) -> int:
        """How many classes of parts there are."""
        return len(self._milli)

    @property
    def names(self) -> tuple[PartName, ...]:
        """What each class of parts is, by its number."""
        return tuple(self._class_index)

    def adopt(self, names: Iterable[PartName]) -> None:
        """Number classes of parts as others did, before any of them is met here."""
        for name, milli in names:
            self._code(name, milli)

    def refresh(self, state: State, market: Market, version: int) -> None:
        """Bring everything up to the state and the market of this version; costs the nodes that changed."""
        if version != self._market_at:
            self._market_at = version
            self.version += 1
            self.states.trade(market)
        nodes = state.nodes
        shape = state.bays.rows.shape
        if self.card.shape[0] == shape[0] and self.card.shape[1] < shape[1]:
            self._widen_bays(shape[1])
        if self._position == nodes.changes.position and self.card.shape == shape:
            return
        known = self._position >= 0 and self.card.shape == shape
        remade = nodes.remade.since(self._remade) if known else None
        changed = nodes.changes.since(self._position) if known and (remade or self._cards) else None
        self._position, self._remade = nodes.changes.position, nodes.remade.position
        if remade == [] and not self._cards:
            return
        if changed is None or remade is None:
            self._resize(shape)
            changed = remade = np.flatnonzero(nodes.live).tolist()
        if remade:
            self._erase(state, np.array(remade, np.int32))
        if len(self.states) > MAX_STATES:
            self.states.forget()
            self._noted.clear()
            self.version += 1
            changed = list(self._cards)
        for row in changed if self._cards else ():
            if row in self._cards:
                self._note(state, row)

    def learn(self, state: State, rows: Rows) -> int:
        """Find the cards of these nodes, if that was not done since they were made; returns the steps that it took."""
        cost = 0
        for row in rows.tolist() if self._unread else ():
            if row in self._unread:
                self._unread.discard(row)
                self._learn(state, row)
                cost += STEPS_A_PART * int(state.bays.count[row])
        return cost

    def sort(self, state: State, rows: Rows, serving: Sequence[Eligibility]) -> "Served":
        """What serves a demand on these nodes."""
        places = self.places[rows]
        seen = state.bays.rows[rows]
        served = (seen >= 0) & np.any([each.usable[seen] for each in serving], axis=0)
        here = (places >= 0) & np.take_along_axis(served[:, None, :], np.maximum(places, 0), axis=2)
        loose, gpus = served & (self.card[rows] < 0), served & self.whole[rows]
        bound = state.bays.partitioned[rows] & gpus.any(axis=1)
        return Served(
            alone=(here.sum(axis=2) <= 1).all(axis=1),
            whole=(gpus == served).all(axis=1),
            only=served.any(axis=1) & ~loose.any(axis=1) & ~bound,
        )

    def bits(self, state: State, rows: Rows) -> list[int]:
        """Per node the devices that can still be taken, where counting decides that; else all that are free."""
        every, vacant = state.bays.bits, self.vacant
        return (
            [vacant.get(row, every[row]) for row in rows.tolist()] if vacant else [every[row] for row in rows.tolist()]
        )

    def able(self, state: State, rows: Rows, eligible: Eligibility) -> Mask:
        """Of drawn nodes the devices that could serve a request by themselves, bool (len(rows), W)."""
        seen = state.bays.rows[rows]
        width = seen.shape[1]
        flat = b"".join([bits.to_bytes(width // 8, "little") for bits in self.bits(state, rows)])
        vacant = np.unpackbits(np.frombuffer(flat, np.uint8).reshape(len(rows), width // 8), axis=1, bitorder="little")
        able: Mask = (seen >= 0) & eligible.usable[seen] & vacant.astype(np.bool_)
        return able

    def asked(self, devices: Mask, count: int) -> tuple[int, int]:
        """The classes of the parts among these devices (bool by device row) as bits, and the milli of so many parts."""
        size = min(len(devices), len(self._class_of))
        codes = self._class_of[:size][devices[:size]]
        classes = np.unique(codes[codes >= 0]).tolist()
        if not classes:
            return 0, 0
        least = min(self._milli[code] for code in classes)
        return sum(1 << code for code in classes), max(round(count * least), 1)

    def saves(self, rows: Rows, positions: Rows) -> Doubles:
        """Milli of waste that it saves to take these devices of nodes, float64 (len(rows),); positions : -1 pads."""
        saved = np.zeros(len(rows))
        [at] = self.drawn[rows].nonzero()
        for place, row, taken in zip(at.tolist(), rows[at].tolist(), positions[at].tolist(), strict=True):
            saved[place] = self.saves_one(row, [position for position in taken if position >= 0])
        return saved

    def saves_one(self, row: int, positions: Sequence[int]) -> float:
        """The same for one node."""
        if row not in self.vacant:
            return 0.0
        states, before = self.states, self.cards[row]
        after: dict[int, int] = {}  # state of each card that something is taken of
        for position in positions:
            card = int(self.card[row, position])
            if card >= 0:
                after[card] = states.after(after.get(card, int(before[card])), int(self.part[row, position]))
        saved = 0.0
        for card, state in after.items():
            was, will_be = states.waste((int(before[card]), state))
            saved += was - will_be
        return saved

    # ------------------------------------------------------------ nodes

    def _resize(self, shape: tuple[int, ...]) -> None:
        nodes, width = shape
        self.drawn = np.zeros(nodes, np.bool_)
        self.cards = np.full((nodes, 0), _NONE, np.int32)
        self.places = np.full((nodes, 0, 0), _NONE, np.int32)
        self.card = np.full((nodes, width), _NONE, np.int32)
        self.part = np.full((nodes, width), _NONE, np.int32)
        self.whole = np.zeros((nodes, width), np.bool_)
        self.vacant.clear()
        self._cards.clear()
        self._noted.clear()
        self._unread.clear()

    def _erase(self, state: State, rows: Rows) -> None:
        """Forget what these nodes were like, and note which of them are to be read anew."""
        seen = state.bays.rows[rows]
        extra = state.devices.size - len(self._class_of)
        if extra > 0:
            self._class_of = np.concatenate([self._class_of, np.full(extra, _NONE, np.int32)])
        self._class_of[seen[seen >= 0]] = _NONE
        self.drawn[rows] = self.whole[rows] = False
        self.cards[rows] = self.places[rows] = self.card[rows] = self.part[rows] = _NONE
        for row in rows.tolist():
            self.vacant.pop(row, None)
            self._cards.pop(row, None)
            self._noted.pop(row, None)
            self._unread.discard(row)
            if row in state.bays.sights and state.bays.sights[row].drawn and state.gates.partitionable_devices:
                self._unread.add(row)

    def _learn(self, state: State, row: int) -> None:
        """Note the cards of a node; none where counting does not decide."""
        seen = state.bays.rows[row][: int(state.bays.count[row])]
        listed = [state.row_device[each] for each in seen.tolist()]
        cards: list[Card] = []
        start = 0
        for number, (stop, _, view) in enumerate(state.bays.sights[row].pools):
            parts = {at: listed[at][1] for at in range(start, stop) if listed[at][1].consumes}
            start = stop
            if not _drawn_alone(view, parts):
                return
            for positions in _joined(parts):
                design = self._design(_blueprint(view, [listed[at] for at in positions]))
                if design is None:
                    return
                cards.append(Card(design, positions, number))
        if len(cards) > MAX_CARDS or any(len(card.positions) > MAX_PARTS for card in cards):
            return
        self._widen(len(cards), max(len(card.positions) for card in cards))
        for number, card in enumerate(cards):
            at = np.array(card.positions)
            self.places[row, number, : len(at)] = at
            self.card[row, at] = number
            self.part[row, at] = np.arange(len(at))
            self._class_of[seen[at]] = self.states.classes(card.design)
        linkable = state.bays.layouts[int(state.bays.layout[row])].linkable
        kinds = np.array([product(item.driver, device)[1] for item, device in listed])
        self.whole[row, : len(seen)] = linkable & ~np.isin(kinds, tuple(PARTS))
        self._cards[row] = cards
        self.drawn[row] = True
        self._note(state, row)

    def _design(self, blueprint: Blueprint) -> int | None:
        if blueprint not in self._designs:
            if len(self._designs) >= MAX_DESIGNS:
                self._designs.clear()
            found = _design(blueprint, self._code)
            self._designs[blueprint] = None if found is None else self.states.design(found)
        return self._designs[blueprint]

    def _note(self, state: State, row: int) -> None:
        """Note the states that the cards of a node are in."""
        bits = state.bays.bits[row]
        if self._noted.get(row) == bits:
            return
        self._noted[row] = bits
        cards, states = self._cards[row], self.states
        taken = [card.taken(bits) for card in cards]
        found = [states.number(card.design, each) for card, each in zip(cards, taken, strict=True)]
        blocked = {card.pool for card, number in zip(cards, found, strict=True) if states.overdrawn[number]}
        if blocked:
            found = [
                states.number(card.design, each, blocked=card.pool in blocked)
                for card, each in zip(cards, taken, strict=True)
            ]
        for card, number, each in zip(cards, found, taken, strict=True):
            shut = ~(each | states.open[number]) & ((1 << len(card.positions)) - 1)
            bits &= ~card.spread(shut)
        self.vacant[row] = bits
        self.cards[row, : len(found)] = found

    def _widen_bays(self, width: int) -> None:
        """Some node shows more devices than any did before; what is known of the others stays."""
        more = ((0, 0), (0, width - self.card.shape[1]))
        self.card = np.pad(self.card, more, constant_values=_NONE)
        self.part = np.pad(self.part, more, constant_values=_NONE)
        self.whole = np.pad(self.whole, more)

    def _widen(self, cards: int, parts: int) -> None:
        nodes, cards_now, parts_now = self.places.shape
        if cards > cards_now or parts > parts_now:
            places = np.full((nodes, max(cards, cards_now), max(parts, parts_now)), _NONE, np.int32)
            places[:, :cards_now, :parts_now] = self.places
            states = np.full(places.shape[:2], _NONE, np.int32)
            states[:, :cards_now] = self.cards
            self.places, self.cards = places, states

    def _code(self, name: tuple[str, ...], milli: float) -> int:
        found = self._class_index.get((name, milli))
        if found is None:
            if len(self._milli) >= MAX_CLASSES:
                return 0
            found = self._class_index[name, milli] = len(self._milli)
            self._milli.append(milli)
        return found


def _drawn_alone(view: PoolView, parts: Mapping[int, Device]) -> bool:
    """Whether nobody but these parts draws on the counters of a pool, and there is nothing else to them."""
    if {device.name: device.consumes for device in parts.values()} != view.uses:
        return False
    if any(amount.nanos < 0 for each in view.counters.values() for amount in each.counters.values()):
        return False
    for device in parts.values():
        names = [(use.counter_set, counter) for use in device.consumes for counter in use.counters]
        groups = any(use.groups for use in device.consumes)
        if device.shareable or groups or not names or len(set(names)) < len(names):
            return False
    return True


def _blueprint(view: PoolView, devices: Sequence[tuple[Slice, Device]]) -> Blueprint:
    """Of a card with these parts."""
    sets: dict[str, int] = {}
    parts = []
    for item, device in devices:
        uses = [
            (sets.setdefault(use.counter_set, len(sets)), name, amount.nanos)
            for use in device.consumes
            for name, amount in use.counters.items()
        ]
        parts.append((product(item.driver, device), tuple(uses)))
    totals = [
        (number, name, amount.nanos)
        for each, number in sets.items()
        for name, amount in view.counters[each].counters.items()
    ]
    return tuple(totals), tuple(parts)


def _design(blueprint: Blueprint, code: Callable[[tuple[str, ...], float], int]) -> Design | None:
    """Amounts in units that columns hold, None where there are none. code : of product and milli, a class of parts."""
    totals = {(each, name): nanos for each, name, nanos in blueprint[0]}
    drawn = [{(each, name): nanos for each, name, nanos in uses} for _, uses in blueprint[1]]
    units = [gcd(total, *[part.get(key, 0) for part in drawn]) or 1 for key, total in totals.items()]
    left = [total // unit for total, unit in zip(totals.values(), units, strict=True)]
    uses = [tuple([part.get(key, 0) // unit for key, unit in zip(totals, units, strict=True)]) for part in drawn]
    if max(left + [amount for part in uses for amount in part]) > _MOST or min(map(min, uses)) < 0:
        return None
    counted = Counter(each for (each, _), total in totals.items() if total)
    milli = [WHOLE / counted[each] / size if size else 0.0 for (each, _), size in zip(totals, left, strict=True)]
    sizes = [round(sum(amount * each for amount, each in zip(part, milli, strict=True)), 3) for part in uses]
    classes = [code(name, size) for (name, _), size in zip(blueprint[1], sizes, strict=True)]
    return Design(tuple(left), tuple(uses), tuple(classes), tuple(milli))


def _joined(parts: Mapping[int, Device]) -> list[tuple[int, ...]]:
    """Positions of the parts, those together that draw on the same counter sets or are joined by others that do."""
    leader: dict[str, str] = {}

    def lead(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for device in parts.values():
        first, *others = [lead(use.counter_set) for use in device.consumes]
        leader.update(dict.fromkeys(others, first))
    found: dict[str, list[int]] = {}
    for at, device in parts.items():
        found.setdefault(lead(device.consumes[0].counter_set), []).append(at)
    return [tuple(positions) for positions in found.values()]


@dataclass(frozen=True, slots=True)
class Served:
    """What serves a demand on some nodes, bool (R,) each.

    alone : one part at most of each card. whole : nothing but whole GPUs. only : parts, and nothing else, and none that
    is a GPU of a Fabric Manager partition.
    """

    alone: Mask
    whole: Mask
    only: Mask


class Cuts:
    """What drawn nodes give to a demand for one part.

    weight : what a milli of waste counts. flaw_costs : by Flaw, what that costs; none if flaws do not matter. Where
    neither counts the first part that can be taken is.
    """

    def __init__(self, parts: Parts, eligible: Eligibility, weight: float, flaw_costs: Sequence[float]) -> None:
        self._parts = parts
        self._eligible = eligible
        self._weight = weight
        self._flaw_costs = flaw_costs if any(flaw_costs) else ()
        self._usable: Rows = np.zeros((0, 0), np.int32)  # (N, G), number of the parts of each card that serve it
        self._patterns: list[tuple[int, bytes]] = []  # those parts as bits; and the flaw of each part, if there are any
        self._pattern_index: dict[tuple[int, bytes], int] = {}
        self._known: dict[int, tuple[int, float]] = {}  # part and what it saves, by pattern and state
        self._version = -1

    def sort(self, state: State, rows: Rows) -> None:
        """Note which parts of these nodes serve the demand; whenever anything but their use changed."""
        self._follow()
        places = self._parts.places[rows]
        seen = np.take_along_axis(state.bays.rows[rows][:, None, :], np.maximum(places, 0), axis=2)
        keys = pack((places >= 0) & self._eligible.usable[seen])
        bits = keys.shape[2]
        if self._flaw_costs:
            flaws = np.where(places >= 0, state.flaws[seen], 0)
            if flaws.any():
                keys = np.concatenate([keys, flaws.astype(np.uint8)], axis=2)
        flat = np.ascontiguousarray(keys).view(np.dtype((np.void, keys.shape[2]))).reshape(places.shape[:2])
        distinct, member = np.unique(flat, return_inverse=True)
        found = [each.tobytes() for each in distinct]
        numbers = [self._pattern(int.from_bytes(each[:bits], "little"), each[bits:]) for each in found]
        self._usable[rows] = np.array(numbers, np.int32)[member.reshape(places.shape[:2])]

    def choose(self, rows: Rows, *, first: bool) -> Picks:
        """The part of each node that saves most waste, the first among equals; or with `first` the first that fits."""
        parts = self._parts
        self._follow()
        keys = self._usable[rows].astype(np.int64) << 32 | (parts.cards[rows] + 1)
        distinct, member = np.unique(keys, return_inverse=True)
        found = [self._part(key >> 32, (key & 0xFFFFFFFF) - 1) for key in distinct.tolist()]
        member = member.reshape(keys.shape)
        part = np.array([each for each, _ in found], np.int64)[member]
        saved = np.array([each for _, each in found])[member]
        at = np.arange(len(rows))
        position = parts.places[rows[:, None], np.arange(keys.shape[1]), part]
        if first:
            card = np.where(part >= 0, position, np.iinfo(np.int32).max).argmin(axis=1)
        else:
            card = (saved >= saved.max(axis=1, keepdims=True) - _EQUAL).argmax(axis=1)
        fits: Mask = part[at, card] >= 0
        chosen = np.where(fits, position[at, card], 0).astype(np.int32)
        return Picks(chosen[:, None], fits, np.ones(len(rows), np.bool_))

    def choose_one(self, row: int, *, first: bool) -> int:
        """The same for one node: the position of the part, -1 if there is none."""
        parts, known = self._parts, self._known
        self._follow()
        offers = [
            known.get(pattern << 32 | number + 1) or self._part(pattern, number)
            for pattern, number in zip(self._usable[row].tolist(), parts.cards[row].tolist(), strict=True)
        ]
        able = [card for card, (part, _) in enumerate(offers) if part >= 0]
        if not able:
            return _NONE
        places = parts.places[row]
        if first:
            return min([int(places[card, offers[card][0]]) for card in able])
        most = max([offers[card][1] for card in able]) - _EQUAL
        best = next(card for card in able if offers[card][1] >= most)
        return int(places[best, offers[best][0]])

    def _follow(self) -> None:
        """Follow the number of nodes and of the cards of a node, and what states are worth."""
        shape = self._parts.cards.shape
        if self._usable.shape != shape:
            usable: Rows = np.zeros(shape, np.int32)
            nodes, cards = self._usable.shape
            usable[:nodes, :cards] = self._usable[: shape[0], : shape[1]]
            self._usable = usable
        if self._version != self._parts.version:
            self._version = self._parts.version
            self._known.clear()

    def _pattern(self, bits: int, flaws: bytes) -> int:
        key = (bits, flaws if any(flaws) else b"")
        found = self._pattern_index.setdefault(key, len(self._patterns))
        if found == len(self._patterns):
            self._patterns.append(key)
        return found

    def _part(self, pattern: int, number: int) -> tuple[int, float]:
        """Which part of a card in this state is taken, -1 for none, and what that saves, weighted."""
        key = pattern << 32 | number + 1
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._best(*self._patterns[pattern], number)
        return known

    def _best(self, serving: int, flaws: bytes, number: int) -> tuple[int, float]:
        states = self._parts.states
        able = serving & states.open[number] if number >= 0 else 0
        if not able:
            return _NONE, -np.inf
        offered = [part for part in range(able.bit_length()) if able >> part & 1]
        costs, now = [0.0] * len(offered), 0.0
        if self._weight:
            now, *waste = states.waste([number, *[states.after(number, part) for part in offered]])
            costs = [self._weight * each for each in waste]
        if flaws:
            costs = [cost + self._flaw_costs[flaws[part]] for cost, part in zip(costs, offered, strict=True)]
        least = min(costs) + _EQUAL
        best = next(at for at, each in enumerate(costs) if each <= least)
        return offered[best], self._weight * now - costs[best]
