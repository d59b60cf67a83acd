"""Which devices serve a request, wherever they are: driver, selectors, taints, and what we do not support.

One row a device. A verdict is computed when a device is published or changes, and kept. There may be many devices and
costly selectors, so this is done in pieces: a selector that is long, or has no vector form, is left to others.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

import numpy as np

from scheduler.core.budget import Budget, Pieces
from scheduler.core.cel import Outline, Selector, compile_selector, device_in, evaluate_device, excerpt
from scheduler.core.columns import ABSENT
from scheduler.core.demand import DeviceRequest
from scheduler.core.errors import FaultError, SelectorError
from scheduler.core.match import untolerated
from scheduler.core.state import State
from scoring.arrays import Mask, Rows

INLINE_LENGTH: Final = 512  # characters of a selector that is compiled here
FIRST_CHUNK: Final = 128  # devices looked at in one piece
LAST_CHUNK: Final = 16_384
# What work takes, in the steps of core/budget.py.
STEPS_A_CHARACTER: Final = 20
STEPS_A_CHUNK: Final = 60
STEPS_A_VALUE: Final = 20
STEPS_A_TUPLE: Final = 8
STEPS_A_CHANGE: Final = 20


@dataclass(frozen=True, slots=True)
class Pending:
    """What others have to find out about a selector: its outline, or if there are tuples its verdicts for them."""

    expression: str
    tuples: tuple[object, ...] = ()


class Verdicts:
    """What others found out about selectors: outlines of long ones, and verdicts by what a selector reads of a device.

    budget : steps that may be asked for at once.
    """

    MAX_VERDICTS = 200_000
    MAX_OUTLINES = 4_096

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._known: dict[tuple[str, object], bool | str] = {}
        self._outlines: OrderedDict[str, Outline] = OrderedDict()
        self._answers: dict[str, int] = {}
        self._serial = 0

    def learn(self, expression: str, tuples: tuple[object, ...], verdicts: tuple[bool | str, ...]) -> None:
        """Keep answers."""
        if len(self._known) + len(tuples) > self.MAX_VERDICTS:
            self._known.clear()
            self._answers.clear()
        for item, verdict in zip(tuples, verdicts, strict=True):
            self._known[expression, item] = verdict
        self._serial += 1
        self._answers[expression] = self._serial

    def learn_outline(self, outline: Outline) -> None:
        """Keep what a selector reads."""
        if len(self._outlines) >= self.MAX_OUTLINES:
            self._outlines.popitem(last=False)
        self._outlines[outline.expression] = outline

    def outline(self, expression: str) -> Outline | None:
        """Of a long selector, None while nobody told."""
        return self._outlines.get(expression)

    def answers(self, expression: str) -> int:
        """Changes whenever verdicts of a selector were learned."""
        return self._answers.get(expression, 0)

    def missing(self, expression: str, tuples: list[Hashable]) -> tuple[object, ...]:
        """Those that have no answer yet."""
        return tuple(item for item in tuples if (expression, item) not in self._known)

    def get(self, expression: str, item: object) -> bool | str:
        """True, false, or the text of an error."""
        return self._known[expression, item]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Rows whose verdict waits for an answer. answers : how many there were when it was asked for."""

    pending: Pending
    rows: Rows
    answers: int


class Eligibility:
    """Devices for one request.

    selected : bool (rows,), all selectors true.
    welcome : bool (rows,), of a driver that we own (any, for another scheduler), supported, no taint in the way.
    usable : bool (rows,), selected and welcome.
    failed : bool (rows,), a selector could not be evaluated: an error that ends the pod's attempt when it is met.
    settled : whether all of that is up to date; it takes as many calls of `refresh` as its budgets demand.
    version : grows whenever verdicts changed otherwise than through `state.nodes.changes`.
    """

    def __init__(self, request: DeviceRequest) -> None:
        self.request = request
        self.selected: Mask = np.zeros(0, np.bool_)
        self.usable: Mask = np.zeros(0, np.bool_)
        self.welcome: Mask = np.zeros(0, np.bool_)
        self.failed: Mask = np.zeros(0, np.bool_)
        self.settled = False
        self.version = 0
        self._open: Mask = np.zeros(0, np.bool_)  # rows without a verdict
        self._asked: Mask = np.zeros(0, np.bool_)  # those of them for which others must answer first
        self._waiting: list[_Waiting] = []
        self._position = -1
        self._chunk = Pieces(FIRST_CHUNK, LAST_CHUNK)
        self._selectors: list[Selector | Outline] = []

    @property
    def pending(self) -> tuple[Pending, ...]:
        """What others have to find out before this can settle."""
        return tuple(each.pending for each in self._waiting)

    def behind(self, state: State) -> int:
        """Steps that it takes at least to settle; not all of them if it never was."""
        return STEPS_A_CHANGE * (state.device_changes.position - max(self._position, 0)) + int(not self.settled)

    def refresh(self, state: State, verdicts: Verdicts, budget: Budget) -> None:
        """Bring the verdicts up to the state, as far as the budget goes."""
        if (
            self.settled
            and self._position == state.device_changes.position
            and len(self.selected) == state.devices.size
        ):
            return
        self._reopen(state)
        if not self._compile(verdicts, budget):
            return
        self._hear(verdicts)
        while not budget.spent:
            rows = np.flatnonzero(self._open & ~self._asked)[: self._chunk.size].astype(np.int32)
            if not len(rows):
                break
            self._evaluate(state, verdicts, rows, budget)
        self.settled = not self._open.any()

    def _reopen(self, state: State) -> None:
        """What changed since the last call has no verdict."""
        self._grow(state.devices.size)
        if self._position == state.device_changes.position:
            return
        changed = state.device_changes.since(self._position) if self._position >= 0 else None
        self._position = state.device_changes.position
        self.settled = False
        if changed is None:
            self.version += 1
            self._waiting.clear()
            self._asked[:] = self.selected[:] = self.usable[:] = self.welcome[:] = self.failed[:] = False
            self._open[:] = state.devices.live
            return
        rows = np.array(changed, np.int32)
        self._asked[rows] = False
        self.selected[rows] = self.usable[rows] = self.welcome[rows] = self.failed[rows] = False
        self._open[rows] = state.devices.live[rows]

    def _compile(self, verdicts: Verdicts, budget: Budget) -> bool:
        """Whether every selector can be worked with; one after the other becomes so."""
        while len(self._selectors) < len(self.request.selectors):
            expression = self.request.selectors[len(self._selectors)]
            if len(expression) > INLINE_LENGTH:
                outline = verdicts.outline(expression)
                if outline is None:
                    self._waiting = [_Waiting(Pending(expression), np.zeros(0, np.int32), 0)]
                    return False
                self._waiting.clear()
                self._selectors.append(outline)
            elif budget.spent:
                return False
            else:
                self._selectors.append(_compiled(expression))
                budget.spend(STEPS_A_CHARACTER * len(expression))
        return True

    def _hear(self, verdicts: Verdicts) -> None:
        """Rows for which answers came are looked at again."""
        kept = []
        for each in self._waiting:
            if verdicts.answers(each.pending.expression) != each.answers:
                self._asked[each.rows] = False
            elif self._asked[each.rows].any():
                kept.append(each)
        self._waiting = kept

    def problem(self, state: State, verdicts: Verdicts, row: int) -> str:
        """Why a selector failed on a device."""
        if row in state.malformed:
            return state.row_device[row][1].malformed
        for number, selector in enumerate(self._selectors):
            if isinstance(selector, Selector):
                found = evaluate_device(selector.expression, *device_in(state.devices, row))
                match, text = found.match, found.problem
            elif selector.problem:
                return f"{self._place(state, number)} {selector.problem}"
            else:
                [item], _ = selector.project(state.devices, np.array([row], np.int32))
                verdict = verdicts.get(selector.expression, item)
                match, text = verdict is True, verdict if isinstance(verdict, str) else ""
            if text:
                return f"{self._place(state, number)} {excerpt(selector.expression)}: {text}"
            if not match:
                break
        return "a selector failed"

    def broken(self, state: State) -> str:
        """The first selector that fails on every device, and why; empty if there is none."""
        for number, selector in enumerate(self._selectors):
            if isinstance(selector, Outline) and selector.problem:
                return f"{self._place(state, number)} {selector.problem}"
        return ""

    def _place(self, state: State, number: int) -> str:
        """Where the number-th selector was written: those of the class come first."""
        name = self.request.device_class
        device_class = state.classes.current.get(name)
        ahead = len(device_class.selectors) if device_class is not None else 0
        return f"DeviceClass {name}, selectors[{number}]" if number < ahead else f"selectors[{number - ahead}]"

    def _evaluate(self, state: State, verdicts: Verdicts, rows: Rows, budget: Budget) -> None:
        alive: Mask = np.ones(len(rows), np.bool_)
        failed: Mask = np.zeros(len(rows), np.bool_)
        cost = STEPS_A_CHUNK
        for selector in self._selectors:
            if not alive.any():
                break
            cost += STEPS_A_CHUNK
            if isinstance(selector, Selector):
                found = selector.evaluate(state.devices, rows)
                cost += STEPS_A_VALUE * found.evaluated
                failed |= alive & found.error
                alive = alive & found.match
            elif selector.problem:
                failed |= alive
                alive[:] = False
            else:
                # No more at once than may be asked for at once.
                most = max(1, min(FIRST_CHUNK, verdicts.budget // max(selector.steps, 1)))
                rows, alive, failed = rows[:most], alive[:most], failed[:most]
                answered = self._look_up(selector, state, verdicts, rows, alive)
                cost += STEPS_A_TUPLE * len(rows)
                if isinstance(answered, Pending):
                    self._asked[rows] = True
                    self._waiting.append(_Waiting(answered, rows, verdicts.answers(answered.expression)))
                    budget.spend(cost)
                    return
                match, error = answered
                failed |= alive & error
                alive = alive & match & ~error
        budget.spend(cost + len(rows) // 16)
        self._chunk.took(cost)
        if self._selectors and state.malformed:
            bad = np.isin(rows, np.fromiter(state.malformed, np.int64, len(state.malformed)))
            alive, failed = alive & ~bad, failed | bad
        self._open[rows] = False
        self.selected[rows] = alive
        self.failed[rows] = failed
        problems = state.device_problems.codes[rows] != ABSENT
        self.welcome[rows] = ~problems & self._owned(state, rows) & self._untainted(state, rows)
        self.usable[rows] = alive & self.welcome[rows]

    def _owned(self, state: State, rows: Rows) -> Mask:
        drivers = state.ownership.drivers
        if not drivers or self.request.foreign:
            return np.ones(len(rows), np.bool_)
        codes = state.devices.drivers.codes[rows]
        owned = [driver in drivers for driver in state.devices.drivers.values]
        found: Mask = np.array([*owned, False], np.bool_)[codes]
        return found

    def _untainted(self, state: State, rows: Rows) -> Mask:
        if not state.gates.device_taints:
            return np.ones(len(rows), np.bool_)
        codes, inverse = np.unique(state.device_taints.codes[rows], return_inverse=True)
        keeps_off = untolerated if self.request.foreign else state.taint_in_the_way
        free = [
            code < 0 or keeps_off(state.device_taints.values[code], self.request.tolerations) is None
            for code in codes.tolist()
        ]
        found: Mask = np.array(free, np.bool_)[inverse]
        return found

    @staticmethod
    def _look_up(
        selector: Outline, state: State, verdicts: Verdicts, rows: Rows, alive: Mask
    ) -> tuple[Mask, Mask] | Pending:
        tuples, inverse = selector.project(state.devices, rows[alive])
        missing = verdicts.missing(selector.expression, tuples)
        if missing:
            return Pending(selector.expression, missing)
        found = [verdicts.get(selector.expression, item) for item in tuples]
        match: Mask = np.zeros(len(rows), np.bool_)
        error: Mask = np.zeros(len(rows), np.bool_)
        match[alive] = np.array([verdict is True for verdict in found], np.bool_)[inverse]
        error[alive] = np.array([isinstance(verdict, str) for verdict in found], np.bool_)[inverse]
        return match, error

    def _grow(self, size: int) -> None:
        extra = size - len(self.selected)
        if extra < 0:
            raise FaultError("the device table shrank")
        if extra:
            more = np.zeros(extra, np.bool_)
            self.selected = np.concatenate([self.selected, more])
            self.usable = np.concatenate([self.usable, more])
            self.welcome = np.concatenate([self.welcome, more])
            self.failed = np.concatenate([self.failed, more])
            self._open = np.concatenate([self._open, more])
            self._asked = np.concatenate([self._asked, more])


def _compiled(expression: str) -> Selector | Outline:
    """An expression that does not compile is an error on each device that it is tried on, as upstream has it."""
    try:
        selector = compile_selector(expression)
    except SelectorError as error:
        return Outline(expression, problem=str(error))
    return selector if selector.vectorised else selector.outline
