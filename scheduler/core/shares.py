"""Devices that several claims share, where counting decides: how much of each is left, and which one a share goes to.

The amounts that a request takes of a device depend on the request and on what the device has, so they are worked out
once for each pair; after that a node is a few comparisons of columns. Nodes with anything beyond capacity (counters,
constraints, errors that may be met, amounts that no column holds) are left to the exact search.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler.core.demand import Ask, Demand
from scheduler.core.eligibility import Eligibility
from scheduler.core.model import Device
from scheduler.core.rules.capacity import UnrepresentableError, resolve
from scheduler.core.state import Capacities, State, in_units
from scoring.arrays import Counts, Mask, Rows
from scoring.scorers.health import WORTH

Doubles = NDArray[np.float64]
_LEFT_OUT: Final = np.inf
UNABLE, AWKWARD = "unable", "awkward"


@dataclass(slots=True)
class _Need:
    """What one request takes, by the code of a device's capacities.

    able : bool (codes,), the device can serve the request. amounts : capacity name -> int64 (codes,), in units of
    State.room. awkward : bool (codes,), the exact search has to look: an error is met, or no unit fits.
    thousandths : int64 (codes + 1,), of the scarcest capacity; the last is that of a device that is not shared.
    """

    able: Mask
    amounts: dict[str, Counts]
    awkward: Mask
    thousandths: Counts


@dataclass(frozen=True, slots=True)
class Picks:
    """What some nodes give to a demand.

    positions : int32 (R, K), of a device for each slot of each want in turn. found : bool (R,), they serve them all.
    sure : bool (R,), `found` is final; else the exact search has to look.
    """

    positions: Rows
    found: Mask
    sure: Mask


class Shares:
    """The shares that a demand asks for. eligible : per want. avoids : devices without flaws are preferred."""

    def __init__(self, demand: Demand, eligible: Sequence[Eligibility], *, avoids: bool) -> None:
        self._asks = [want.asks[0] for want in demand.wants]
        self._eligible = eligible
        self._needs = [_Need(np.zeros(0, np.bool_), {}, np.zeros(0, np.bool_), np.full(1, 1000)) for _ in self._asks]
        self._names: dict[str, None] = {}  # of capacities that are taken
        self._avoids = avoids
        self._known = 0  # codes of capacities that the needs cover
        self._slots = sum(ask.count for ask in self._asks)

    def sort(self, state: State, rows: Rows) -> tuple[Mask, Mask]:
        """Of nodes whose devices are all simple: where devices that can be shared are selected, and where others are.

        bool (len(rows),) each. Nodes in neither have no device that is selected. The second kind has those with shares,
        too, that counting is not enough for.
        """
        self._learn(state)
        seen = state.bays.rows[rows]
        exists = seen >= 0
        codes = state.capacities.codes[seen]
        shareable = exists & (codes >= 0)
        shared: Mask = np.zeros(len(rows), np.bool_)
        exact: Mask = np.zeros(len(rows), np.bool_)
        for need, eligible in zip(self._needs, self._eligible, strict=True):
            selected = exists & eligible.selected[seen]
            some = selected & shareable
            shared |= some.any(axis=1)
            exact |= (selected & ~shareable).any(axis=1)
            if need.awkward.any():
                exact |= (some & need.awkward[codes]).any(axis=1)
        return shared, exact

    def fits(self, state: State, rows: Rows) -> tuple[list[Mask], Mask]:
        """Per want, bool (R, W), the devices that could serve it alone; and whether that is sure, bool (R,)."""
        self._learn(state)
        seen, codes, open_, room = _columns(state, rows, self._names)
        found = [
            self._fits(need, open_ & eligible.usable.take(seen), codes, room)
            for need, eligible in zip(self._needs, self._eligible, strict=True)
        ]
        return found, _counted(state, seen)

    def thousandths(self, state: State, rows: Rows) -> list[Counts]:
        """Per want how much of each device of these nodes it takes, of its scarcest capacity; int64 (R, W) each."""
        self._learn(state)
        codes = state.capacities.codes[state.bays.rows[rows]]
        return [need.thousandths[codes] for need in self._needs]

    def offers(self, state: State, row: int) -> list[tuple[int, int]] | None:
        """Of the only want, which devices of one node could serve it: positions, and thousandths that it takes of each.

        None where that is not sure. As `fits` and `thousandths` say of many nodes.
        """
        self._learn(state)
        [need], [eligible] = self._needs, self._eligible
        usable, taken, codes, able = eligible.usable, state.taken, state.capacities.codes, need.able
        amounts = [(amount, state.room[name]) for name, amount in need.amounts.items()]
        watched = bool(state.uncounted.any())
        found = []
        for position, device in enumerate(state.bays.rows[row].tolist()):
            if device < 0:
                break
            if watched and state.uncounted[device]:
                return None
            if not usable[device] or taken[device]:
                continue
            code = codes[device]
            if able[code] and all(amount[code] <= room[device] for amount, room in amounts):
                found.append((position, int(need.thousandths[code])))
        return found

    def share(self, state: State, want: int) -> int:
        """Thousandths that a want takes of a device, of the kind of device of which it takes most."""
        self._learn(state)
        need = self._needs[want]
        taken = need.thousandths[:-1][need.able]
        return int(taken.max(initial=0)) or 1000

    def choose(self, state: State, rows: Rows, *, first: bool) -> Picks:
        """Devices that are left with the least, the first among equals; or with `first` the first that fit.

        A device that is worth nothing for its flaws counts as one of which all is left.
        """
        self._learn(state)
        seen, codes, open_, room = _columns(state, rows, self._names)
        at = np.arange(len(rows))
        lost = 1 - WORTH[state.flaws[seen]] if self._avoids else np.zeros(seen.shape)
        found: Mask = np.ones(len(rows), np.bool_)
        positions: Rows = np.zeros((len(rows), self._slots), np.int32)
        slot = 0
        for ask, need, eligible in zip(self._asks, self._needs, self._eligible, strict=True):
            able = self._fits(need, open_ & eligible.usable.take(seen), codes, room)
            amounts = {name: amount.take(codes) for name, amount in need.amounts.items()}
            for _ in range(ask.count):
                pick = able.argmax(axis=1) if first else self._fullest(state, seen, able, room, amounts, lost)
                found &= able[at, pick]
                positions[:, slot] = pick
                slot += 1
                if slot == self._slots:
                    break
                able[at, pick] = False  # one request has as many devices as it asks for, never one of them twice
                for name, amount in amounts.items():
                    room[name][at, pick] -= amount[at, pick]
        # With one slot there is nothing to get wrong; with more, another choice may leave room for all.
        return Picks(positions, found, (found | (self._slots == 1)) & _counted(state, seen))

    @staticmethod
    def _fits(need: _Need, able: Mask, codes: Rows, room: dict[str, Counts]) -> Mask:
        able = able & need.able.take(codes)
        for name, amount in need.amounts.items():
            able &= amount.take(codes) <= room[name]
        return able

    @staticmethod
    def _fullest(
        state: State, seen: Rows, able: Mask, room: dict[str, Counts], amounts: dict[str, Counts], lost: Doubles
    ) -> NDArray[np.intp]:
        """Per node the able device that is left with the least, as a share of what it has in all; `lost` is added."""
        left = np.where(able, lost, _LEFT_OUT)
        for name, amount in amounts.items():
            left += (room[name] - amount) / np.maximum(state.whole[name].take(seen), 1)
        found: NDArray[np.intp] = left.argmin(axis=1)
        return found

    def _learn(self, state: State) -> None:
        """Work out what devices with capacities that were not met before would give."""
        values = state.capacities.values
        if self._known == len(values):
            return
        fractional = state.gates.fractional_capacity_range
        for need, ask in zip(self._needs, self._asks, strict=True):
            fresh = [_taken(ask, each, fractional=fractional) for each in values[self._known :]]
            amounts = [each if isinstance(each, dict) else {} for each in fresh]
            for name in dict.fromkeys([*need.amounts, *(name for each in amounts for name in each)]):
                before = need.amounts.get(name, np.zeros(self._known, np.int64))
                after = np.array([each.get(name, 0) for each in amounts], np.int64)
                need.amounts[name] = np.concatenate([before, after])
            self._names.update(dict.fromkeys(need.amounts))
            need.able = np.concatenate([need.able, np.array([isinstance(each, dict) for each in fresh], np.bool_)])
            need.awkward = np.concatenate([need.awkward, np.array([each == AWKWARD for each in fresh], np.bool_)])
            parts = [_thousandths(each, has) for each, has in zip(amounts, values[self._known :], strict=True)]
            need.thousandths = np.concatenate([need.thousandths[:-1], np.array([*parts, 1000], np.int64)])
        self._known = len(values)


def _columns(state: State, rows: Rows, names: Iterable[str]) -> tuple[Rows, Rows, Mask, dict[str, Counts]]:
    """Of the devices of these nodes, (R, W): rows, codes of capacities, whether nobody has them whole, what is left."""
    seen = state.bays.rows[rows]
    room = {name: state.room[name].take(seen) for name in names}
    return seen, state.capacities.codes.take(seen), (seen >= 0) & ~state.taken.take(seen), room


def _counted(state: State, seen: Rows) -> Mask:
    """bool (R,): what is left of every device of a node is known in whole units."""
    if not state.uncounted.any():
        return np.ones(len(seen), np.bool_)
    missing: Mask = (seen >= 0) & state.uncounted[seen]
    found: Mask = ~np.any(missing, axis=1)
    return found


def _thousandths(amounts: dict[str, int], has: Capacities) -> int:
    """What these amounts take of a device with these capacities, of the one of which they take most; 1000 at most."""
    whole = {name: in_units(amount.nanos) for name, amount, _ in has}
    parts = [-(-amount * 1000 // size) for name, amount in amounts.items() if (size := whole.get(name))]
    return min(max(parts, default=0), 1000)


def _taken(ask: Ask, capacities: Capacities, *, fractional: bool) -> dict[str, int] | str:
    """What a request takes of a device, in units of State.room; or why it takes nothing."""
    device = Device(
        "",
        {},
        {name: amount for name, amount, _ in capacities},
        policies={name: policy for name, _, policy in capacities if policy is not None},
        shareable=True,
    )
    try:
        taken = resolve(dict(ask.capacity), device, fractional=fractional)
    except UnrepresentableError:
        return AWKWARD
    if taken is None:
        return UNABLE
    units = {name: in_units(amount.nanos) for name, amount in taken.items()}
    found = {name: amount for name, amount in units.items() if amount is not None}
    return found if len(found) == len(units) else AWKWARD
