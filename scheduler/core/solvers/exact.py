"""The exact search of one node: every feature of Dynamic Resource Allocation, upstream's verdict in every case.

The search goes depth first in upstream's order (k8s.io/dynamic-resource-allocation v0.37.2, structured allocator), so
it meets the same errors at the same point and its first solution is upstream's. What keeps it from exploding changes
neither: states that failed are remembered, states that differ only in which of several equal devices are taken are one
state, and so are those in which equal groups of devices (the partitions of equal cards) have changed places. A branch
also ends as soon as what is left cannot serve the requests that come before the first that could meet an error.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from scheduler.core.model import MAX_RESULTS
from scheduler.core.rules.compatibility import Groups, admitted
from scheduler.core.rules.constraints import ABSENT, LIST, Held, distinguished, matched
from scheduler.core.solvers.puzzle import ALL, ERROR, YES, Ask, Fatal, Puzzle

_EASY: Final = 64  # steps before states are remembered: most searches are over by then
_HARD: Final = 256  # steps before branches are bounded by matching
_REMEMBERED: Final = 200_000  # states, some 100 MB
_ANY_LIST: Final = 1_000  # stands for lists among values, of which there are fewer
_MANY: Final = 6  # devices from which on that is done before the first step too

Picks = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Solution:
    """chosen : alternative of every want, all claims' wants in one row. picks : positions of every want."""

    chosen: tuple[int, ...]
    picks: Picks


@dataclass(slots=True)
class Found:
    """What a search came to. exhausted : the budget ended it. steps : devices that were looked at."""

    solutions: list[Solution] = field(default_factory=list)
    fatal: Fatal | None = None
    exhausted: bool = False
    steps: int = 0


class _RefusedError(Exception):
    """The pod is refused altogether."""

    def __init__(self, fatal: Fatal) -> None:
        self.fatal = fatal


class _SpentError(Exception):
    """No steps are left."""


class _EnoughError(Exception):
    """As many solutions as were asked for."""


FAILED, TOO_LARGE = "failed", "too large"


@dataclass(slots=True)
class _Frame:
    """One open choice: of an alternative (slot -1), or of the device for one slot of an alternative."""

    want: int
    ask: int
    slot: int
    options: Iterator[int]
    key: Hashable
    found_before: int
    all_too_large: bool = True
    undo: "_Undo | None" = None
    tried: set[Hashable] = field(default_factory=set)


@dataclass(slots=True)
class _Undo:
    """What taking a device changed."""

    position: int
    takes: tuple[Hashable, ...]
    held: list[Held]
    groups: list[tuple[int, Groups | None]]
    charged: bool
    amounts: tuple[int, ...] | None


class Search:
    """One run over a puzzle. `fixed` restricts each want to one alternative; `wanted` solutions end the run.

    With more than one wanted, equal devices are told apart, since their links may differ.
    """

    def __init__(self, puzzle: Puzzle, budget: int, wanted: int = 1, fixed: Sequence[int] | None = None) -> None:
        self._puzzle = puzzle
        self._budget = budget
        self._wanted = wanted
        self._strict = wanted == 1  # beyond upstream's own solution, what would be an error just serves nothing
        self._fixed = fixed
        self._wants = [asks for claim in puzzle.claims for asks in claim.wants]
        self._listed = [listed for claim in puzzle.claims for listed in claim.listed]
        self._claim = [index for index, claim in enumerate(puzzle.claims) for _ in claim.wants]
        self._size = len(puzzle.pieces)
        self._found = Found()
        # What the branch at hand has taken.
        self._picks: list[list[int]] = [[] for _ in self._wants]
        self._chosen: list[int] = [0] * len(self._wants)
        self._tokens: dict[int, tuple[Hashable, ...]] = {}  # position -> takes: claim, or amounts of a share
        self._left = list(puzzle.counters)
        self._groups = list(puzzle.groups)
        self._used = [list(piece.used) for piece in puzzle.pieces]
        self._held: list[list[Held]] = [[None] * len(claim.distinct) for claim in puzzle.claims]
        self._results = [0] * len(puzzle.claims)
        self._failed: dict[Hashable, str] = {}
        self._partitions = set(puzzle.layout.fabric[:-1])
        self._fabric = frozenset[int]().union(*puzzle.layout.fabric[-1:])
        self._whole = {
            (want, number): [position for position in range(self._size) if self._belongs(ask, position)]
            for want, asks in enumerate(self._wants)
            for number, ask in enumerate(asks)
            if ask.count == ALL
        }
        self._kinds = _Kinds(puzzle, self._wants, self._ordered()) if wanted == 1 else None
        self._horizon = self._horizons()
        self._many = 0 if sum(self._slots(want) or 0 for want in range(len(self._wants))) >= _MANY else _HARD
        self._least = self._least_counters() if puzzle.counters else []
        self._rest = {
            (want, number): self._counted_from(ask)
            for want, asks in enumerate(self._wants)
            for number, ask in enumerate(asks)
            if ask.count != ALL and not self._can_fail(want, ask)
        }

    # ------------------------------------------------------------ the run

    def run(self) -> Found:
        """Search until the first (or the wanted number of) solutions, an error, the end, or the end of the budget."""
        try:
            self._validate()
            outcome = self._walk()
            if outcome == TOO_LARGE and not self._found.solutions:
                self._found.fatal = Fatal("too large")
        except _RefusedError as refused:
            self._found.fatal = refused.fatal
        except _SpentError:
            self._found.exhausted = True
        except _EnoughError:
            pass
        return self._found

    def _validate(self) -> None:
        """What upstream checks before it searches, in its order."""
        least = [0] * len(self._puzzle.claims)
        for want, asks in enumerate(self._wants):
            counts = []
            for number, ask in enumerate(asks):
                if ask.count == ALL:
                    if self._puzzle.incomplete:
                        raise _RefusedError(Fatal("incomplete", want, number, text=self._puzzle.incomplete))
                    for position in range(self._size):
                        self._check_status(want, number, position)
                        charge = ask.charges[position]
                        if self._puzzle.capacity and ask.status[position] == YES and isinstance(charge, str):
                            raise _RefusedError(Fatal("capacity", want, number, position, charge))
                counts.append(self._count(want, number))
            claim = self._claim[want]
            if min(counts) > MAX_RESULTS - least[claim]:
                raise _RefusedError(Fatal("limit", want))
            least[claim] += min(counts)

    def _belongs(self, ask: Ask, position: int) -> bool:
        """Whether mode All means this device: selected, and large enough when nobody uses it."""
        if ask.status[position] != YES:
            return False
        charge = ask.charges[position]
        if not self._puzzle.capacity or isinstance(charge, str):
            return True
        return charge is not None and all(
            amount <= room for amount, room in zip(charge, self._puzzle.pieces[position].room, strict=True)
        )

    def _count(self, want: int, ask: int) -> int:
        count = self._wants[want][ask].count
        return len(self._whole[want, ask]) if count == ALL else count

    def _ordered(self) -> set[int]:
        """Devices that no equal one may stand for: which of them is in use decides what goes with it, or which error.

        A request for all devices takes them in order, and ends the attempt at the first that a constraint refuses, but
        just fails at the first that is in use.
        """
        return {
            position
            for (want, number), whole in self._whole.items()
            if any(labels is not None for labels in self._wants[want][number].labels)
            for position in whole
        } | self._fabric

    def _can_fail(self, want: int, ask: Ask) -> bool:
        """Whether an error could be met while this is served."""
        if ask.count == ALL:
            constrained = any(labels is not None for labels in ask.labels)
            if self._puzzle.incomplete or (constrained and any(self._belongs(ask, p) for p in range(self._size))):
                return True
        if self._puzzle.capacity and any(isinstance(charge, str) for charge in ask.charges):
            return True
        return ERROR in ask.status or any(
            isinstance(label, str) for labels in ask.labels if labels is not None for label in labels
        )

    def _horizons(self) -> list[int]:
        """Per want the first one from it on that could meet an error.

        Where what comes before that cannot be served, nothing is met, and nobody needs to look.
        """
        found = [len(self._wants)]
        for want in reversed(range(len(self._wants))):
            unsafe = any(self._can_fail(want, ask) for ask in self._wants[want])
            found.append(want if unsafe else found[-1])
        return found[::-1]

    def _counted_from(self, ask: Ask) -> list[int]:
        """Per position how many devices from it on could serve a request if nobody else wanted any."""
        after = [0]
        for position in reversed(range(self._size)):
            piece = self._puzzle.pieces[position]
            able = self._could(ask, position) and (ask.admin or not piece.dedicated)
            after.append(after[-1] + able)
        return after[::-1]

    def _could(self, ask: Ask, position: int) -> bool:
        """Whether a device could be taken for a request as far as its own state goes."""
        if ask.status[position] != YES or not ask.welcome[position] or self._puzzle.pieces[position].refused:
            return False
        charge = ask.charges[position]
        return not self._puzzle.capacity or (isinstance(charge, tuple) and self._has_room(position, charge))

    # ------------------------------------------------------------ walking

    def _walk(self) -> str:
        """Depth first, with the open choices on a stack of our own: claims may hold more devices than Python frames."""
        signal = self._enter(0)
        if isinstance(signal, str):
            return signal
        stack = [signal]
        while stack:
            frame = stack[-1]
            opened = self._advance(frame)
            if isinstance(opened, _Frame):
                stack.append(opened)
                continue
            # The frame is closed: tell the one that opened it, crossing claims softens "too large".
            signal = self._close(stack.pop(), opened)
            while stack:
                above = stack[-1]
                if signal == TOO_LARGE and self._claim[above.want] != self._claim[frame.want]:
                    signal = FAILED
                ended = self._answered(above, signal)
                if ended is None:
                    break
                frame = above
                signal = self._close(stack.pop(), ended)
        return signal if isinstance(signal, str) else FAILED

    def _enter(self, want: int) -> _Frame | str:
        """Open the choices of a want, or note a solution when there are no more wants."""
        if self._fabric and want and self._claim[want - 1] != next(iter(self._claim[want : want + 1]), None):
            joined = self._joined(self._claim[want - 1])
            if joined and joined not in self._partitions:
                return FAILED
        if want == len(self._wants):
            self._found.solutions.append(Solution(tuple(self._chosen), tuple(tuple(picks) for picks in self._picks)))
            if len(self._found.solutions) >= self._wanted:
                raise _EnoughError
            return FAILED
        if self._hopeless(want):
            return FAILED
        if self._fixed is not None:
            return self._enter_ask(want, self._fixed[want])
        if not self._listed[want]:
            return self._enter_ask(want, 0)
        key = self._key(want, -1, -1, 0)
        known = self._failed.get(key) if key is not None else None
        if known is not None:
            return known
        return _Frame(want, -1, -1, iter(range(len(self._wants[want]))), key, len(self._found.solutions))

    def _enter_ask(self, want: int, ask: int) -> _Frame | str:
        self._chosen[want] = ask
        if self._wants[want][ask].count == ALL and not self._whole[want, ask]:
            return FAILED
        return self._enter_slot(want, ask, 0, 0)

    def _enter_slot(self, want: int, ask: int, slot: int, start: int) -> _Frame | str:
        count = self._count(want, ask)
        if slot >= count:
            opened = self._enter(want + 1)
            if opened == TOO_LARGE and self._claim[want] != self._claim[want + 1]:
                return FAILED  # another alternative of an earlier claim may still leave room
            return opened
        if count - slot > MAX_RESULTS - self._results[self._claim[want]]:
            return TOO_LARGE
        rest = self._rest.get((want, ask))
        if rest is not None and rest[start] < count - slot:
            return FAILED
        key = self._key(want, ask, slot, start)
        known = self._failed.get(key) if key is not None else None
        if known is not None:
            return known
        whole = self._wants[want][ask].count == ALL
        options = iter((self._whole[want, ask][slot],)) if whole else iter(range(start, self._end(want, ask)))
        return _Frame(want, ask, slot, options, key, len(self._found.solutions))

    def _end(self, want: int, ask: int) -> int:
        """Behind the last device that an alternative may look at: beyond upstream's own solution no error is passed."""
        if self._strict:
            return self._size
        asked = self._wants[want][ask]
        for position, piece in enumerate(self._puzzle.pieces):
            broken = asked.status[position] == ERROR or (
                asked.status[position] == YES
                and (
                    isinstance(asked.charges[position], str)
                    or any(labels is not None and isinstance(labels[position], str) for labels in asked.labels)
                )
            )
            if broken and (asked.admin or not piece.dedicated):
                return position
        return self._size

    def _advance(self, frame: _Frame) -> _Frame | str:
        """Take the next option of a frame; returns the frame that it opens, or how this one ends."""
        if frame.slot < 0:
            for number in frame.options:
                opened = self._enter_ask(frame.want, number)
                if isinstance(opened, _Frame):
                    return opened
                if opened != TOO_LARGE:
                    frame.all_too_large = False
            return TOO_LARGE if frame.all_too_large else FAILED
        ask = self._wants[frame.want][frame.ask]
        for position in frame.options:
            self._spend()
            undo = self._try(frame, ask, position)
            if undo is None:
                continue
            frame.undo = undo
            opened = self._enter_slot(frame.want, frame.ask, frame.slot + 1, position + 1)
            if isinstance(opened, _Frame):
                return opened
            ended = self._answered(frame, opened)
            if ended is not None:
                return ended
        return FAILED

    def _answered(self, frame: _Frame, signal: str) -> str | None:
        """What a closed choice means for the one before it: how that ends too, or None if it goes on."""
        if frame.slot < 0:
            if signal != TOO_LARGE:
                frame.all_too_large = False
            return None
        self._give_back(frame)
        return signal if signal == TOO_LARGE else None

    def _close(self, frame: _Frame, signal: str) -> str:
        known = frame.key is not None and frame.found_before == len(self._found.solutions)
        if known and len(self._failed) < _REMEMBERED:
            self._failed[frame.key] = signal
        return signal

    def _spend(self) -> None:
        self._found.steps += 1
        if self._found.steps > self._budget:
            raise _SpentError

    # ------------------------------------------------------------ one device

    def _try(self, frame: _Frame, ask: Ask, position: int) -> _Undo | None:
        """Take a device for a slot, with upstream's checks in upstream's order; None if it cannot be had."""
        piece = self._puzzle.pieces[position]
        takes = self._tokens.get(position, ())
        claim = self._claim[frame.want]
        whole = ask.count == ALL
        shares = piece.shareable
        if ask.admin:
            if not shares and claim in takes:
                return None
        elif piece.dedicated or (not shares and takes):
            return None
        if not whole:
            self._check_status(frame.want, frame.ask, position)
            if ask.status[position] != YES:
                return None
        charge = self._charge(frame, ask, position)
        if not whole and not self._has_room(position, charge):
            return None
        if self._kinds is not None and not whole:
            twin = (self._kinds.twin(position, self._tokens), takes)
            if twin in frame.tried:
                return None
            frame.tried.add(twin)
        if position in self._fabric and not ask.admin and not self._joinable(claim, position):
            return None
        undo = self._take(frame, ask, position, takes)
        if undo is None:
            return None
        if not self._has_room(position, charge):
            self._restore(frame, undo)
            return None
        if shares:
            amounts = charge if isinstance(charge, tuple) else ()
            used = self._used[position]
            for number, amount in enumerate(amounts):
                used[number] += amount
            undo.amounts = amounts
            self._tokens[position] = (*takes, amounts)
        else:
            self._tokens[position] = (*takes, claim)
        self._picks[frame.want].append(position)
        self._results[claim] += 1
        return undo

    def _joined(self, claim: int) -> frozenset[int]:
        """What a claim has taken of the devices that go by partitions."""
        return frozenset(
            position
            for want, picks in enumerate(self._picks)
            if self._claim[want] == claim and not self._wants[want][self._chosen[want]].admin
            for position in picks
            if position in self._fabric
        )

    def _joinable(self, claim: int, position: int) -> bool:
        """Whether some partition has the device and all that its claim has taken before."""
        joined = self._joined(claim) | {position}
        return any(joined <= each for each in self._partitions)

    def _check_status(self, want: int, ask: int, position: int) -> None:
        if self._strict and self._wants[want][ask].status[position] == ERROR:
            raise _RefusedError(Fatal("selector", want, ask, position))

    def _charge(self, frame: _Frame, ask: Ask, position: int) -> tuple[int, ...] | None:
        """What the device gives of its capacities. Raises _RefusedError where that cannot be represented."""
        if not self._puzzle.capacity:
            return ()
        charge = ask.charges[position]
        if isinstance(charge, str):
            if self._strict:
                raise _RefusedError(Fatal("capacity", frame.want, frame.ask, position, charge))
            return None
        return charge

    def _has_room(self, position: int, charge: tuple[int, ...] | None) -> bool:
        if charge is None:
            return False
        room = self._puzzle.pieces[position].room
        return all(
            used + amount <= most for used, amount, most in zip(self._used[position], charge, room, strict=False)
        )

    def _take(self, frame: _Frame, ask: Ask, position: int, takes: tuple[Hashable, ...]) -> _Undo | None:
        """Counters, compatibility groups, taints and constraints; None, with nothing changed, where one refuses."""
        piece = self._puzzle.pieces[position]
        if piece.refused:
            return None
        claim = self._claim[frame.want]
        undo = _Undo(position, takes, list(self._held[claim]), [], charged=False, amounts=None)
        if not (piece.shareable and (piece.shared or takes)):
            if self._puzzle.compatibility and not self._join(piece.sets, undo):
                return None
            if piece.uses and not self._draw(piece.pool, piece.uses, undo):
                self._restore_groups(undo)
                return None
        if not ask.welcome[position] or not self._constrain(frame, ask, position):
            self._restore(frame, undo)
            return None
        return undo

    def _join(self, sets: tuple[tuple[int, Groups], ...], undo: _Undo) -> bool:
        for number, groups in sets:
            joined = admitted(self._groups[number], groups)
            if joined is None:
                self._restore_groups(undo)
                return False
            undo.groups.append((number, self._groups[number]))
            self._groups[number] = joined
        return True

    def _draw(self, pool: int, uses: tuple[tuple[int, int], ...], undo: _Undo) -> bool:
        """Counters below zero block every device of their pool that consumes any."""
        if pool in self._puzzle.overdrawn or any(self._left[counter] < amount for counter, amount in uses):
            return False
        for counter, amount in uses:
            self._left[counter] -= amount
        undo.charged = True
        return True

    def _constrain(self, frame: _Frame, ask: Ask, position: int) -> bool:
        claim = self._claim[frame.want]
        held = self._held[claim]
        for number, distinct in enumerate(self._puzzle.claims[claim].distinct):
            labels = ask.labels[number]
            if labels is None:
                continue
            label = labels[position]
            if isinstance(label, str):
                if self._strict:
                    raise _RefusedError(Fatal("derived", frame.want, frame.ask, position, label))
                return False
            after = (distinguished if distinct else matched)(held[number], label)
            if after is None:
                if ask.count == ALL and self._strict:
                    raise _RefusedError(Fatal("constraint", frame.want, frame.ask, position))
                return False
            held[number] = after
        return True

    def _give_back(self, frame: _Frame) -> None:
        undo = frame.undo
        if undo is None:
            return
        frame.undo = None
        self._picks[frame.want].pop()
        self._results[self._claim[frame.want]] -= 1
        used = self._used[undo.position]
        for number, amount in enumerate(undo.amounts or ()):
            used[number] -= amount
        if undo.takes:
            self._tokens[undo.position] = undo.takes
        else:
            del self._tokens[undo.position]
        self._restore(frame, undo)

    def _restore(self, frame: _Frame, undo: _Undo) -> None:
        self._held[self._claim[frame.want]] = undo.held
        self._restore_groups(undo)
        if undo.charged:
            for counter, amount in self._puzzle.pieces[undo.position].uses:
                self._left[counter] += amount

    def _restore_groups(self, undo: _Undo) -> None:
        for number, groups in reversed(undo.groups):
            self._groups[number] = groups
        undo.groups.clear()

    # ------------------------------------------------------------ what cannot succeed

    def _key(self, want: int, ask: int, slot: int, start: int) -> Hashable:
        """What all that follows depends on; None while the search is young."""
        if self._found.steps < _EASY:
            return None
        claim = self._claim[want]
        if self._kinds is None:
            taken: Hashable = tuple(sorted(self._tokens.items()))
        else:
            taken = self._kinds.state(self._tokens, start)
        joined = self._joined(claim) if self._fabric else None
        return want, ask, slot, start, self._results[claim], tuple(self._held[claim]), taken, joined

    def _least_counters(self) -> list[list[int]]:
        """Per want, and behind it the sum of all before it: the least that it takes of each kind of counter."""
        kinds = self._puzzle.kinds
        width = max(kinds) + 1
        taken: list[list[int]] = []
        for piece in self._puzzle.pieces:
            each = [0] * width
            for counter, amount in piece.uses:
                each[kinds[counter]] += amount
            taken.append([0] * width if piece.shareable else each)
        before = [[0] * width]
        for want, asks in enumerate(self._wants):
            sums = []
            for number, ask in enumerate(asks):
                serving = [taken[p] for p in range(self._size) if ask.status[p] == YES and ask.welcome[p]]
                count = min(self._count(want, number), MAX_RESULTS)
                least = [min((each[kind] for each in serving), default=0) for kind in range(width)]
                sums.append([amount * count for amount in least])
            before.append([min(each) + sofar for each, sofar in zip(zip(*sums, strict=True), before[-1], strict=True)])
        return before

    def _hopeless(self, want: int) -> bool:
        """Whether counting shows that what is left cannot serve what comes before the first possible error."""
        horizon = self._horizon[want]
        if horizon == want or self._fixed is not None:
            return False
        if self._least:
            left = [0] * len(self._least[0])
            for kind, amount in zip(self._puzzle.kinds, self._left, strict=True):
                left[kind] += max(amount, 0)
            needs = [later - now for later, now in zip(self._least[horizon], self._least[want], strict=True)]
            if any(have < need for have, need in zip(left, needs, strict=True)):
                return True
        if self._found.steps < (_HARD if want else self._many):
            return False
        window = range(want, horizon)
        return self._unmatched(window) or self._undistinguished(window)

    def _unmatched(self, window: range) -> bool:
        """Whether the devices left cannot be matched to these requests, constraints and counters aside."""
        pieces = self._puzzle.pieces
        slots: list[set[int]] = []
        for want in window:
            serving = self._serving(want)
            count = self._slots(want)
            if count is None or len(serving) < count:
                return True
            shared = any(pieces[position].shareable for position in serving)
            if not shared and not any(ask.admin for ask in self._wants[want]):
                slots += [serving] * count
        return _too_few(slots)

    def _undistinguished(self, window: range) -> bool:
        """Whether these requests have fewer values to take under a distinctAttribute than they need."""
        for claim, given in enumerate(self._puzzle.claims):
            for number, distinct in enumerate(given.distinct):
                if not distinct:
                    continue
                held = self._held[claim][number]
                used: frozenset[int] = held if isinstance(held, frozenset) else frozenset()
                slots: list[set[int]] = []
                for later in window:
                    if self._claim[later] != claim or any(ask.labels[number] is None for ask in self._wants[later]):
                        continue
                    values: set[int] = set()
                    for ask in self._wants[later]:
                        labels = ask.labels[number] or ()
                        for position in self._serving(later):
                            own = labels[position]
                            found = own if isinstance(own, frozenset) else {own} if isinstance(own, int) else set()
                            if not used & found:
                                values |= {value if value != LIST else _ANY_LIST for value in found} - {ABSENT}
                    slots += [values] * (self._slots(later) or 0)
                if _too_few(slots):
                    return True
        return False

    def _serving(self, want: int) -> set[int]:
        """Devices that may still be taken for some alternative of a want."""
        pieces = self._puzzle.pieces
        return {
            position
            for ask in self._wants[want]
            for position in range(self._size)
            if self._could(ask, position)
            and (
                ask.admin
                or (not pieces[position].dedicated and (pieces[position].shareable or not self._tokens.get(position)))
            )
        }

    def _slots(self, want: int) -> int | None:
        """The fewest devices that a want may take; None if it is for all devices and there are none."""
        counts = [
            self._count(want, number)
            for number, ask in enumerate(self._wants[want])
            if ask.count != ALL or self._whole[want, number]
        ]
        return min(*counts, MAX_RESULTS) if counts else None


def _too_few(slots: Sequence[set[int]]) -> bool:
    """Whether the slots cannot each have something of its own, of what each may have."""
    if not slots:
        return False
    width = max((max(each, default=0) for each in slots), default=0) + 1
    rows = [row for row, each in enumerate(slots) for _ in each]
    columns = [value for each in slots for value in each]
    graph = csr_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(slots), width))
    return bool((maximum_bipartite_matching(graph, perm_type="column") < 0).any())


class _Kinds:
    """Which devices are equal, and which groups of devices that share counters are."""

    def __init__(self, puzzle: Puzzle, wants: Sequence[tuple[Ask, ...]], ordered: set[int]) -> None:
        size = len(puzzle.pieces)
        asks = [ask for alternatives in wants for ask in alternatives]
        group = _components(puzzle)
        member: list[Hashable] = []
        for position, piece in enumerate(puzzle.pieces):
            served = tuple(
                (
                    ask.status[position],
                    ask.welcome[position],
                    ask.charges[position],
                    tuple(labels[position] if labels is not None else None for labels in ask.labels),
                )
                for ask in asks
            )
            uses = tuple(sorted((puzzle.counters[counter], amount) for counter, amount in piece.uses))
            blocked = piece.pool in puzzle.overdrawn
            shape = (piece.dedicated, piece.shared, piece.used, piece.room, piece.shareable, piece.refused, blocked)
            alone = position if position in ordered else -1
            member.append((shape, uses, tuple(groups for _, groups in piece.sets), served, alone))
        numbers: dict[Hashable, int] = {}
        kind = [numbers.setdefault(each, len(numbers)) for each in member]
        # A device is known by its kind, its group, and how it is tied to the group's counters and sets.
        exact: dict[Hashable, int] = {}
        self._twin = [
            exact.setdefault((kind[p], group[p], puzzle.pieces[p].uses, puzzle.pieces[p].sets), len(exact))
            for p in range(size)
        ]
        self._group = group
        members: dict[int, list[int]] = {}
        for position in range(size):
            members.setdefault(group[position], []).append(position)
        shapes: dict[Hashable, int] = {}
        self._shape: dict[int, int] = {}
        self._place = [0] * size  # of a device within its group: equal numbers in equal groups mean the same
        for number, positions in members.items():
            local: dict[int, int] = {}
            sets: dict[int, int] = {}
            rows: list[Hashable] = []
            for position in positions:
                piece = puzzle.pieces[position]
                tied = tuple((local.setdefault(c, len(local)), a) for c, a in piece.uses)
                joined = tuple((sets.setdefault(s, len(sets)), g) for s, g in piece.sets)
                rows.append((kind[position], tied, joined))
            places: dict[Hashable, int] = {}
            for position, row in zip(positions, rows, strict=True):
                self._place[position] = places.setdefault(row, len(places))
            left = tuple(puzzle.counters[counter] for counter in local)
            held = tuple(puzzle.groups[each] for each in sets)
            shape_key = (tuple(rows), left, held) if number >= 0 else ("loose",)
            self._shape[number] = shapes.setdefault(shape_key, len(shapes))
        self._alike = Counter(self._shape.values())

    def twin(self, position: int, tokens: dict[int, tuple[Hashable, ...]]) -> Hashable:
        """Devices with the same answer may take each other's place now."""
        group = self._group[position]
        if group < 0 or self._alike[self._shape[group]] == 1:
            return self._twin[position]
        if any(self._group[each] == group for each in tokens):
            return self._twin[position]
        return ("untouched", self._shape[group], self._place[position])

    def state(self, tokens: dict[int, tuple[Hashable, ...]], start: int) -> Hashable:
        """What of the devices is taken, equal for states that differ only in which equal devices those are."""
        if start:
            return tuple(sorted((self._twin[p], repr(takes), p >= start) for p, takes in tokens.items()))
        groups: dict[int, list[tuple[int, str]]] = {}
        for position, takes in tokens.items():
            groups.setdefault(self._group[position], []).append((self._place[position], repr(takes)))
        return tuple(sorted((self._shape[number], tuple(sorted(taken))) for number, taken in groups.items()))


def _components(puzzle: Puzzle) -> list[int]:
    """Per device the group of those that its counters and sets tie it to; -1 for a device tied to nothing."""
    root: dict[Hashable, Hashable] = {}

    def find(item: Hashable) -> Hashable:
        while root.setdefault(item, item) != item:
            item = root[item]
        return item

    ties: list[list[Hashable]] = []
    for piece in puzzle.pieces:
        tied: list[Hashable] = [("counter", counter) for counter, _ in piece.uses]
        tied += [("set", number) for number, _ in piece.sets]
        for other in tied[1:]:
            root[find(other)] = find(tied[0])
        ties.append(tied)
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(find(tied[0]), len(numbers)) if tied else -1 for tied in ties]
