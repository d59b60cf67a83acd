"""Which devices serve a request, wherever they are: driver, selectors, taints, and what we do not support.

One row a device. A verdict is computed when a device is published or changes, and kept.
"""

from dataclasses import dataclass

import numpy as np

from scheduler.core.cel import Selector, compile_selector, device_in, evaluate_device, excerpt
from scheduler.core.columns import ABSENT
from scheduler.core.demand import DeviceRequest
from scheduler.core.errors import FaultError, SelectorError
from scheduler.core.state import State
from scoring.arrays import Mask, Rows


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Pending:
    """A selector that has no vector form still lacks verdicts for these tuples, of which there may be thousands."""

    expression: str
    tuples: tuple[object, ...]


class ScalarVerdicts:
    """Verdicts of selectors that have no vector form, by what the selector reads of a device."""

    MAX_VERDICTS = 200_000

    def __init__(self) -> None:
        self._known: dict[tuple[str, object], bool | str] = {}
        self.version = 0

    def learn(self, expression: str, tuples: tuple[object, ...], verdicts: tuple[bool | str, ...]) -> None:
        """Keep answers."""
        if len(self._known) + len(tuples) > self.MAX_VERDICTS:
            self._known.clear()
        for item, verdict in zip(tuples, verdicts, strict=True):
            self._known[expression, item] = verdict
        self.version += 1

    def missing(self, expression: str, tuples: list[object]) -> tuple[object, ...]:
        """Those that have no answer yet."""
        return tuple(item for item in tuples if (expression, item) not in self._known)

    def get(self, expression: str, item: object) -> bool | str:
        """True, false, or the text of an error."""
        return self._known[expression, item]


class Eligibility:
    """Devices for one request.

    selected : bool (rows,), all selectors true.
    welcome : bool (rows,), of a driver that we own, supported and without a taint in the way.
    usable : bool (rows,), selected and welcome.
    failed : bool (rows,), a selector could not be evaluated: an error that ends the pod's attempt when it is met.
    pending : scalar verdicts that are still missing; until they are there nothing is decided.
    version : grows whenever verdicts changed otherwise than through `state.nodes.changes`.
    """

    def __init__(self, request: DeviceRequest) -> None:
        self.request = request
        self.selected: Mask = np.zeros(0, np.bool_)
        self.usable: Mask = np.zeros(0, np.bool_)
        self.welcome: Mask = np.zeros(0, np.bool_)
        self.failed: Mask = np.zeros(0, np.bool_)
        self.pending: tuple[Pending, ...] = ()
        self.version = 0
        self._position = -1
        self._scalar_version = -1
        self._selectors = [_compiled(expression) for expression in request.selectors]
        self._scalar = any(isinstance(each, Selector) and not each.vectorised for each in self._selectors)

    def refresh(self, state: State, scalars: ScalarVerdicts) -> None:
        """Bring the verdicts up to the state."""
        rows: Rows | None
        if self._scalar and self._scalar_version != scalars.version:
            rows, self._scalar_version = None, scalars.version
        elif self._position == state.device_changes.position and len(self.selected) == state.devices.size:
            return
        else:
            # While verdicts are missing the other rows are as unsettled as those that changed.
            known = self._position >= 0 and not self.pending
            changed = state.device_changes.since(self._position) if known else None
            rows = None if changed is None else np.array(changed, np.int32)
        self._grow(state.devices.size)
        if rows is None:
            self.version += 1
            self.pending = ()
            self.selected[:] = self.usable[:] = self.welcome[:] = self.failed[:] = False
            rows = np.flatnonzero(state.devices.live).astype(np.int32)
        else:
            self.selected[rows] = self.usable[rows] = self.welcome[rows] = self.failed[rows] = False
            rows = rows[state.devices.live[rows]]
        self._position = state.device_changes.position
        if len(rows):
            self._evaluate(state, scalars, rows)

    def problem(self, state: State, row: int) -> str:
        """Why a selector failed on a device."""
        if row in state.malformed:
            return state.row_device[row][1].malformed
        for number, selector in enumerate(self._selectors):
            if isinstance(selector, SelectorError):
                return f"{self._place(state, number)} {selector}"
            expression = self.request.selectors[number]
            found = evaluate_device(expression, *device_in(state.devices, row))
            if found.problem:
                return f"{self._place(state, number)} {excerpt(expression)}: {found.problem}"
            if not found.match:
                break
        return "a selector failed"

    def broken(self, state: State) -> str:
        """The first selector that fails on every device, and why; empty if there is none."""
        for number, selector in enumerate(self._selectors):
            if isinstance(selector, SelectorError):
                return f"{self._place(state, number)} {selector}"
        return ""

    def _place(self, state: State, number: int) -> str:
        """Where the number-th selector was written: those of the class come first."""
        name = self.request.device_class
        device_class = state.classes.current.get(name)
        ahead = len(device_class.selectors) if device_class is not None else 0
        return f"DeviceClass {name}, selectors[{number}]" if number < ahead else f"selectors[{number - ahead}]"

    def _evaluate(self, state: State, scalars: ScalarVerdicts, rows: Rows) -> None:
        alive: Mask = np.ones(len(rows), np.bool_)
        failed: Mask = np.zeros(len(rows), np.bool_)
        pending: list[Pending] = []
        for selector in self._selectors:
            if not alive.any():
                break
            if isinstance(selector, SelectorError):
                failed |= alive
                alive[:] = False
            elif selector.vectorised:
                verdicts = selector.evaluate(state.devices, rows)
                failed |= alive & verdicts.error
                alive = alive & verdicts.match
            else:
                answered = self._look_up(selector, state, scalars, rows, alive)
                if isinstance(answered, Pending):
                    pending.append(answered)
                    alive[:] = False
                    break
                match, error = answered
                failed |= alive & error
                alive = alive & match & ~error
        if self._selectors and state.malformed:
            bad = np.isin(rows, np.fromiter(state.malformed, np.int64, len(state.malformed)))
            alive, failed = alive & ~bad, failed | bad
        self.pending = tuple(pending)
        self.selected[rows] = alive
        self.failed[rows] = failed
        problems = state.device_problems.codes[rows] != ABSENT
        self.welcome[rows] = ~problems & self._owned(state, rows) & self._untainted(state, rows)
        self.usable[rows] = alive & self.welcome[rows]

    def _owned(self, state: State, rows: Rows) -> Mask:
        drivers = state.ownership.drivers
        if not drivers:
            return np.ones(len(rows), np.bool_)
        codes = state.devices.drivers.codes[rows]
        owned = [driver in drivers for driver in state.devices.drivers.values]
        found: Mask = np.array([*owned, False], np.bool_)[codes]
        return found

    def _untainted(self, state: State, rows: Rows) -> Mask:
        if not state.gates.device_taints:
            return np.ones(len(rows), np.bool_)
        codes, inverse = np.unique(state.device_taints.codes[rows], return_inverse=True)
        free = [
            code < 0 or state.taint_in_the_way(state.device_taints.values[code], self.request.tolerations) is None
            for code in codes.tolist()
        ]
        found: Mask = np.array(free, np.bool_)[inverse]
        return found

    @staticmethod
    def _look_up(
        selector: Selector, state: State, scalars: ScalarVerdicts, rows: Rows, alive: Mask
    ) -> tuple[Mask, Mask] | Pending:
        tuples, inverse = selector.project(state.devices, rows[alive])
        missing = scalars.missing(selector.expression, list(tuples))
        if missing:
            return Pending(selector.expression, missing)
        verdicts = [scalars.get(selector.expression, item) for item in tuples]
        match: Mask = np.zeros(len(rows), np.bool_)
        error: Mask = np.zeros(len(rows), np.bool_)
        match[alive] = np.array([verdict is True for verdict in verdicts], np.bool_)[inverse]
        error[alive] = np.array([isinstance(verdict, str) for verdict in verdicts], np.bool_)[inverse]
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


def _compiled(expression: str) -> Selector | SelectorError:
    """An expression that does not compile is an error on each device that it is tried on, as upstream has it."""
    try:
        return compile_selector(expression)
    except SelectorError as error:
        return error
