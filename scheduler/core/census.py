"""What gauges tell of the cluster: counted when somebody looks, in pieces that hold nobody up.

Only reads: counting decides nothing, numbers nothing and asks nothing, so that a replay without it decides the same.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import islice
from typing import Final

import numpy as np

from scheduler.core.backlog import Backlog
from scheduler.core.budget import Budget
from scheduler.core.columns import ABSENT
from scheduler.core.demand import Ask, Demand, DeviceRequest, Want
from scheduler.core.eligibility import Eligibility, Verdicts
from scheduler.core.model import Claim, Pod
from scheduler.core.plan import Option
from scheduler.core.shares import Shares
from scheduler.core.state import State
from scoring.arrays import Counts, Mask, Rows
from scoring.mix import ARRIVALS_HALVED
from scoring.prices import WHOLE

MAX_SHAPES: Final = 32  # that are told; the least of the others is told as one
_REMEMBERED: Final = 256
_LARGEST: Final = 1e9
_OBJECTS: Final = 2_048  # looked at in one piece
_STEPS: Final = 2_000  # of selectors in one piece
_PIECES: Final = 200  # after which what is not settled yet is left for the next time
PODS: Final = "pods"

FREE, PARTIAL, ALLOCATED, PART = "free", "partial", "allocated", "part"
PENDING, HELD, RESERVED, DELETING, UNREADABLE = "pending", "allocated", "reserved", "deleting", "unreadable"


@dataclass(frozen=True, slots=True, order=True)
class Shape:
    """What pods of one shape ask for most: so many devices of a class, `amounts` of each where they share them."""

    device_class: str
    count: int
    amounts: str = ""

    @property
    def text(self) -> str:
        """Without the class, such as `2`, or `1 x memory=10Gi`."""
        return f"{self.count} x {self.amounts}" if self.amounts else str(self.count)


@lru_cache(maxsize=1_024)
def shape_of(demand: Demand) -> tuple[Shape, Want] | None:
    """The shape of a demand by its largest request, and that request; None for pods without one that can be counted."""
    wants = [want for want in demand.wants if want.count and not want.asks[0].admin]
    if not wants:
        return None
    want = max(wants, key=lambda want: want.count)  # the first of the largest
    ask = want.asks[0]
    amounts = ",".join(f"{name.rpartition('/')[2]}={amount.canonical()}" for name, amount in ask.capacity)
    return Shape(ask.request.device_class, want.count, amounts), want


class Asked:
    """Shapes of the pods that came, each with the newest demand of that shape; decayed as the mix of demand is."""

    def __init__(self) -> None:
        self._known: dict[Shape, tuple[float, Demand]] = {}
        self._weight = 1.0

    def arrive(self, demand: Demand) -> None:
        """A pod is seen for the first time."""
        found = shape_of(demand)
        if found is None:
            return
        self._weight *= 2 ** (1 / ARRIVALS_HALVED)
        before, _ = self._known.get(found[0], (0.0, demand))
        self._known[found[0]] = (before + self._weight, demand)
        if self._weight > _LARGEST:
            self._known = {shape: (amount / self._weight, each) for shape, (amount, each) in self._known.items()}
            self._weight = 1.0
        if len(self._known) > _REMEMBERED:
            self._known = {shape: self._known[shape] for shape in self.popular()[: _REMEMBERED // 2]}

    def popular(self) -> list[Shape]:
        """Those asked for most come first."""
        return sorted(self._known, key=lambda shape: (-self._known[shape][0], shape))

    def demands(self) -> list[tuple[Shape, Demand]]:
        """Each shape with its newest demand, in the same order: as they are now, whatever comes later."""
        return [(shape, self._known[shape][1]) for shape in self.popular()]


@dataclass(frozen=True, slots=True)
class Room:
    """What is there for pods of one shape, by devices and by resources of nodes; links and constraints are not asked.

    headroom : how many more of them fit beside each other. fragmentation : which part of the free devices that they
    could use is where they do not fit, 0 to 1; 0 where none is free.
    """

    headroom: int
    fragmentation: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One count.

    devices : by driver, product and state, of nodes that are ours. A part of a device that is cut is `part` unless it
    is held: whether it can still be cut is not looked at. rooms : of the shapes asked for most, without those that
    parts may serve. others : of all further shapes the least headroom and the largest fragmentation, if there are any.
    stranded : free devices, in whole ones, that pods of some shape would take and no shape fits where they are.
    pending : pods by what they wait for; empty: they are due. gated : pods of ours behind scheduling gates.
    """

    devices: Mapping[tuple[str, str, str], int]
    rooms: Mapping[Shape, Room]
    others: Room | None
    stranded: float
    claims: Mapping[str, int]
    pending: Mapping[str, int]
    gated: int
    warnings: int
    unreadable: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Bays:
    """Nodes that pods may be placed on, and what is left of the devices that they see.

    seen : device rows, int32 (N, W), -1 pads. left : thousandths, int64 (N, W).
    """

    rows: Rows
    seen: Rows
    left: Counts


@dataclass(frozen=True)
class _Offer:
    """Devices for one kind of ask.

    left : thousandths of those that may serve it, int64 (N, W). able : those that can serve one such ask, bool (N, W).
    summed : how many such asks they can serve together, int64 (N,). copies : how many each can serve, int64 (N, W),
    None where that is one. used : nodes on which some shape fits that asks for them, bool (N,).
    """

    left: Counts
    able: Mask
    summed: Counts
    copies: Counts | None
    used: Mask

    @cached_property
    def whole(self) -> Counts:
        """Thousandths of all devices of a node, int64 (N,)."""
        found: Counts = self.left.sum(axis=1)
        return found

    @cached_property
    def usable(self) -> Counts:
        """Of those that can serve one such ask."""
        found: Counts = np.where(self.able, self.left, 0).sum(axis=1)
        return found


class Census:
    """Counts what a State holds.

    What selectors say of devices is kept from one count to the next, apart from what decisions keep. ours : whether we
    schedule a pod.
    """

    def __init__(
        self, state: State, verdicts: Verdicts, asked: Asked, backlog: Backlog, ours: Callable[[Pod], bool]
    ) -> None:
        self._state = state
        self._verdicts = verdicts
        self._asked = asked
        self._backlog = backlog
        self._ours = ours
        self._eligible: dict[DeviceRequest, Eligibility] = {}

    def count(self) -> Generator[None, None, Figures]:
        """The figures, after as many pieces as it takes; events may be taken in between them."""
        state = self._state
        bays = self._bays()
        yield
        devices = self._devices(bays)
        yield
        rooms: dict[Shape, Room] = {}
        offers: dict[Ask, _Offer | None] = {}
        for shape, demand in self._asked.demands():
            found = shape_of(demand)
            assert found is not None
            ask = replace(found[1].asks[0], count=1, derived=())
            if ask not in offers:
                eligible = yield from self._refreshed(ask.request)
                offers[ask] = self._offer(bays, demand, found[1], eligible)
                yield
            if (offer := offers[ask]) is not None:
                rooms[shape] = self._room(bays, demand, found[1].count, offer)
                yield
        self._eligible = {each: self._eligible[each] for each in list(self._eligible)[-2 * _REMEMBERED :]}
        told = dict(islice(rooms.items(), MAX_SHAPES))
        rest = list(islice(rooms.values(), MAX_SHAPES, None))
        others = Room(min(each.headroom for each in rest), max(each.fragmentation for each in rest)) if rest else None
        stranded = self._stranded(bays, [offer for offer in offers.values() if offer is not None])
        claims = yield from self._claims()
        gated = yield from self._gated()
        return Figures(
            devices=devices,
            rooms=told,
            others=others,
            stranded=stranded,
            claims=claims,
            pending=self._backlog.waiting(),
            gated=gated,
            warnings=sum(len(each) for each in state.link_warnings.values()),
            unreadable=Counter(kind for kind, _ in state.problems),
        )

    # ------------------------------------------------------------ devices

    def _bays(self) -> _Bays:
        state = self._state
        nodes, bays = state.nodes, state.bays
        size = min(len(bays.rows), nodes.size)
        open_ = nodes.live[:size] & nodes.owned[:size] & ~nodes.unschedulable[:size]
        rows = np.flatnonzero(open_).astype(np.int32)
        seen = bays.rows[rows]
        free = np.unpackbits(bays.free[rows], axis=1, bitorder="little")[:, : bays.width].view(np.bool_)
        left: Counts = np.where(free & (seen >= 0), np.int64(WHOLE), np.int64(0))
        shared = (left > 0) & (state.capacities.codes[seen] != ABSENT)
        if shared.any():
            for name, whole in state.whole.items():
                has = whole[seen]
                part = (state.room[name][seen] * WHOLE // np.maximum(has, 1)).clip(0, WHOLE)
                left = np.where(shared & (has > 0), np.minimum(left, part), left)
        return _Bays(rows, seen, left)

    def _devices(self, bays: _Bays) -> dict[tuple[str, str, str], int]:
        """A device that several nodes see counts once."""
        state = self._state
        shown: Mask = np.zeros(state.devices.size + 1, np.bool_)  # the last for what pads
        shown[bays.seen] = True
        every = np.flatnonzero(shown[:-1])
        whole: Mask = np.zeros(state.devices.size, np.bool_)
        some: Mask = np.zeros(state.devices.size, np.bool_)
        whole[bays.seen[bays.left >= WHOLE]] = True
        some[bays.seen[bays.left > 0]] = True
        kinds = state.products.codes[every].astype(np.int64)
        states = np.where(whole[every], 0, np.where(some[every], 1, 2))
        states = np.where((kinds == ABSENT) & (states == 0), 3, states)
        drivers = state.devices.drivers.codes[every].astype(np.int64)
        width = len(state.products.values) + 1
        counts = np.bincount((drivers * width + kinds + 1) * 4 + states)
        found: Counter[tuple[str, str, str]] = Counter()
        for number in np.flatnonzero(counts).tolist():
            kind, at = divmod(number, 4)
            driver, product = divmod(kind, width)
            key = (
                state.devices.drivers.values[driver],
                _product(state.products.values[product - 1]) if product else PART,
                (FREE, PARTIAL, ALLOCATED, PART)[at],
            )
            found[key] += int(counts[number])
        return dict(found)

    def _refreshed(self, request: DeviceRequest) -> Generator[None, None, Eligibility]:
        """Which devices serve a request, as far as that can be found out here and now."""
        found = self._eligible.pop(request, None) or Eligibility(request)
        self._eligible[request] = found  # those used last stand last
        for _ in range(_PIECES):
            found.refresh(self._state, self._verdicts, Budget(_STEPS))
            if found.settled or found.pending:
                break
            yield
        return found

    def _offer(self, bays: _Bays, demand: Demand, want: Want, eligible: Eligibility) -> "_Offer | None":
        """What devices there are for one kind of ask, however many of them a pod wants.

        None where parts of devices that are cut may serve it: how many more can be cut hangs on which.
        """
        state = self._state
        usable = np.append(eligible.usable, False)[bays.seen.clip(-1, len(eligible.usable))]
        if (usable & (state.products.codes[bays.seen] == ABSENT)).any():
            return None
        left = np.where(usable, bays.left, 0)
        shared = state.capacities.codes[bays.seen] != ABSENT
        if not demand.countable or not (shared & usable).any():
            return _Offer(left, left >= WHOLE, (left >= WHOLE).sum(axis=1), None, np.zeros(len(left), np.bool_))
        shares = Shares(replace(demand, wants=(want,)), [eligible], avoids=False)
        width = left.shape[1]  # nodes may see more devices by now; those are for the next count
        able = shares.fits(state, bays.rows)[0][0][:, :width] | ~shared
        taken = shares.thousandths(state, bays.rows)[0][:, :width]
        copies = np.where(able, left // np.maximum(taken, 1), 0)
        return _Offer(left, copies > 0, copies.sum(axis=1), copies, np.zeros(len(left), np.bool_))

    def _room(self, bays: _Bays, demand: Demand, count: int, offer: "_Offer") -> Room:
        """What is there for a shape; notes in the offer on which nodes it fits."""
        together = offer.summed // count if offer.copies is None else _together(offer.copies, count)
        fits = np.minimum(together, self._by_resources(bays.rows, demand))
        used = fits > 0
        np.logical_or(offer.used, used, out=offer.used)
        lost = int(offer.whole[~used].sum()) + int((offer.whole - offer.usable)[used].sum())
        whole = int(offer.whole.sum())
        return Room(int(fits.sum()), lost / whole if whole else 0.0)

    @staticmethod
    def _stranded(bays: _Bays, offers: Iterable["_Offer"]) -> float:
        known: Mask = np.zeros(bays.left.shape, np.bool_)
        served: Mask = np.zeros(bays.left.shape, np.bool_)
        for offer in offers:
            known |= offer.left > 0
            served |= offer.able & offer.used[:, None]
        return float(bays.left[known & ~served].sum()) / WHOLE

    def _by_resources(self, rows: Rows, demand: Demand) -> Counts:
        """How many such pods each node has resources for, int64 (N,)."""
        nodes = self._state.nodes
        found = nodes.left(PODS, rows)
        for name, amount in demand.resources:
            if amount > 0 and name != PODS:
                found = np.minimum(found, nodes.left(name, rows) // amount)
        return np.maximum(found, 0)

    # ------------------------------------------------------------ objects

    def _claims(self) -> Generator[None, None, dict[str, int]]:
        found = Counter(dict.fromkeys((PENDING, HELD, RESERVED, DELETING), 0))
        every = list(self._state.claims.current.values())
        for at in range(0, len(every), _OBJECTS):
            found.update(map(_state_of, every[at : at + _OBJECTS]))
            yield
        found[UNREADABLE] = sum(1 for kind, _ in self._state.problems if kind == "ResourceClaim")
        return dict(found)

    def _gated(self) -> Generator[None, None, int]:
        found = 0
        every = list(self._state.pods.current.values())
        for at in range(0, len(every), _OBJECTS):
            found += sum(map(self._is_gated, every[at : at + _OBJECTS]))
            yield
        return found

    def _is_gated(self, pod: Pod) -> bool:
        return bool(pod.gates) and not pod.node_name and not pod.done and self._ours(pod)


def _together(copies: Counts, count: int) -> Counts:
    """How many pods fit on each node that take `count` different devices each, int64 (N,).

    copies : int64 (N, W), how many pods could share each device. n pods fit if the devices serve n times `count` while
    each serves no more than n.
    """
    if count == 1 or not copies.size or copies.max() <= 1:
        summed: Counts = copies.sum(axis=1) // count
        return summed
    low = np.zeros(len(copies), np.int64)
    high = copies.sum(axis=1) // count
    while (low < high).any():
        middle = (low + high + 1) // 2
        enough = np.minimum(copies, middle[:, None]).sum(axis=1) >= middle * count
        low, high = np.where(enough, middle, low), np.where(enough, high, middle - 1)
    return low


def _state_of(claim: Claim) -> str:
    if claim.deleting:
        return DELETING
    if claim.allocation is None:
        return PENDING
    return RESERVED if claim.reserved_for else HELD


def _product(parts: tuple[str, ...]) -> str:
    """The most telling word of what tells products apart: product name, model, family, type, or the driver."""
    driver, kind, *names = parts
    return next((name for name in (*names, kind, driver) if name), "")


def slowest_link(state: State, option: Option) -> float | None:
    """GB/s of the slowest direct link between devices that a pod was given on a node.

    None for fewer than two devices that links apply to, and where a link is not known.
    """
    row = state.nodes.rows.get(option.node)
    if row is None or len(option.devices) < 2 or not state.bays.layouts:
        return None
    wanted = set(option.devices)
    layout = state.bays.layouts[int(state.bays.layout[row])]
    places = []
    for position, device in enumerate(state.bays.rows[row, : layout.size].tolist()):
        item, published = state.row_device[device]
        if (item.driver, item.pool, published.name) in wanted and layout.linkable[position]:
            places.append(position)
    if len(places) < 2:
        return None
    pairs = layout.bandwidth[np.ix_(places, places)][np.triu_indices(len(places), 1)]
    return None if np.isnan(pairs).any() else float(pairs.min())
