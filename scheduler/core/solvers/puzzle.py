"""One node in one state, for one kind of pod, reduced to what decides which devices may be taken together.

Everything is by position in the node's bay, in the order in which the upstream allocator looks at devices. Names,
drivers and quantities are gone, so that nodes in the same state are equal puzzles and are solved once.
"""

from dataclasses import dataclass
from typing import Final

from scheduler.core.rules.compatibility import Groups
from scheduler.core.rules.constraints import Label
from scoring.topology.base import Layout

NO, YES, ERROR = range(3)
ALL: Final = 0
"""The count of a request for all devices."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A device.

    dedicated : a claim holds it for itself. shared : shares of it are held. used : of its capacities, nano-units by
    capacity number. shareable : allocated in shares. refused : never taken, whatever selects it.
    uses : what it takes of counters, (counter, nano-units). sets : (counter set, its compatibility groups there).
    room : of its capacities what it has in all. pool : which pool's counters must not be overdrawn for it to be taken.
    pinned : its allocation names the node; else terms : how many terms its own node selector has.
    """

    dedicated: bool = False
    shared: bool = False
    used: tuple[int, ...] = ()
    room: tuple[int, ...] = ()
    shareable: bool = False
    refused: bool = False
    uses: tuple[tuple[int, int], ...] = ()
    sets: tuple[tuple[int, Groups], ...] = ()
    pool: int = -1
    pinned: bool = False
    terms: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, or one alternative of a list.

    count : ALL for all devices that it selects. status : NO, YES or ERROR by position. welcome : by position, whether
    taints and ownership let the device be taken. charges : by position what it takes of each capacity, None: the
    device cannot serve it, a text: nor may any other be tried. labels : per constraint of the claim by position, None
    where the constraint does not apply; a text where the label cannot be computed.
    """

    count: int
    admin: bool
    status: bytes
    welcome: bytes
    charges: tuple[tuple[int, ...] | str | None, ...]
    labels: tuple[tuple[Label | str, ...] | None, ...]


@dataclass(frozen=True, slots=True)
class ClaimPuzzle:
    """wants : per request its alternatives, one if it is no list. distinct : per constraint, else its devices match."""

    wants: tuple[tuple[Ask, ...], ...]
    listed: tuple[bool, ...]
    distinct: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Puzzle:
    """counters : what is left of each, nano-units. kinds : per counter a number, equal for equal names in all sets.
    overdrawn : pools that have a counter below zero.

    groups : per counter set what allocated devices left of compatibility groups.
    capacity : whether consumable capacity is checked at all. incomplete : why a request for all devices is refused for
    the whole pod. weights, first_fit, flaws : as in `search.NodeProblem`.
    """

    layout: Layout
    pieces: tuple[Piece, ...]
    claims: tuple[ClaimPuzzle, ...]
    counters: tuple[int, ...]
    kinds: tuple[int, ...]
    overdrawn: frozenset[int]
    groups: tuple[Groups | None, ...]
    capacity: bool
    compatibility: bool
    incomplete: str
    weights: tuple[float, ...]
    first_fit: bool = False
    flaws: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Fatal:
    """Why the pod is refused altogether: at this want and alternative, on the device in this position (-1: none)."""

    kind: str
    want: int = -1
    ask: int = -1
    position: int = -1
    text: str = ""
