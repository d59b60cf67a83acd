"""Devices as columns: one row a device, every attribute and capacity a dictionary-encoded column.

Writers pay for the rows they change; a snapshot costs nothing until the next write, which then copies only the columns
that it touches.
"""

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from scheduler.core.model import AttributeValue, Device
from scheduler.core.quantity import Quantity
from scoring.arrays import Mask, Rows

Value = AttributeValue | Quantity
ABSENT = -1
T = TypeVar("T", bound=Hashable)


class Column(Generic[T]):
    """One property of every row: `values[codes[row]]`, or absent where the code is -1.

    codes : int32 (rows,), read-only for readers; values : the distinct values met so far, append-only, so a code once
    given keeps its meaning in every snapshot. Values of different types may stand side by side.
    """

    __slots__ = ("_index", "_shared", "codes", "values")

    def __init__(self, size: int) -> None:
        self.codes: Rows = np.full(size, ABSENT, np.int32)
        self.values: list[T] = []
        self._index: dict[tuple[object, T], int] = {}
        self._shared = False

    def find(self, value: T) -> int:
        """The code of a value, ABSENT if it has none."""
        return self._index.get(self._key(value), ABSENT)

    def code(self, value: T) -> int:
        """The code of a value, given now if it is new."""
        key = self._key(value)
        found = self._index.get(key)
        if found is None:
            found = self._index[key] = len(self.values)
            self.values.append(value)
        return found

    @staticmethod
    def _key(value: T) -> tuple[object, T]:
        # True and 1 are equal to Python, not to CEL.
        kind: object = type(value)
        if kind is tuple:
            kind = tuple(map(type, value))  # type: ignore[call-overload]
        return kind, value

    def in_use(self) -> "Column[T]":
        """The same with other codes, without the values that no row has. Nobody may hold codes of before against it."""
        fresh: Column[T] = Column(len(self.codes))
        used, places = np.unique(self.codes, return_inverse=True)
        codes = [fresh.code(self.values[code]) if code != ABSENT else ABSENT for code in used.tolist()]
        fresh.codes = np.array(codes, np.int32)[places]
        return fresh

    def write(self, rows: int | slice, codes: int | Rows) -> None:
        """Set codes, leaving snapshots as they are."""
        if self._shared:
            self.codes = self.codes.copy()
            self._shared = False
        self.codes[rows] = codes

    def grow(self, size: int) -> None:
        """Make room for more rows."""
        codes = np.full(size, ABSENT, np.int32)
        codes[: len(self.codes)] = self.codes
        self.codes = codes
        self._shared = False

    def snapshot(self) -> "Column[T]":
        """A column that later writes to this one do not change."""
        copy: Column[T] = Column(0)
        copy.codes, copy.values, copy._index, copy._shared = self.codes, self.values, self._index, True
        self._shared = True
        return copy


@dataclass(frozen=True, slots=True)
class RowSpan:
    """Where the devices of one slice stand: rows start to stop."""

    start: int
    stop: int

    @property
    def rows(self) -> slice:
        """For indexing."""
        return slice(self.start, self.stop)


class DeviceTable:
    """All published devices.

    drivers : column of driver names (str). shareable : column of allowMultipleAllocations (bool).
    attributes, capacity : full name `domain/id` -> Column. A name published without a domain has the driver's.
    live : bool (rows,), false where a row is not in use.
    sharing : false makes every device look as if it could not be shared.
    """

    def __init__(self, size: int = 256, *, sharing: bool = True) -> None:
        self.size = size
        self._sharing = sharing
        self.live: Mask = np.zeros(size, np.bool_)
        self.drivers: Column[str] = Column(size)
        self.shareable: Column[bool] = Column(size)
        self.attributes: dict[str, Column[Value]] = {}
        self.capacity: dict[str, Column[Value]] = {}
        self._live_shared = False
        self._free: list[RowSpan] = [RowSpan(0, size)]

    def add(self, driver: str, devices: Sequence[Device]) -> RowSpan:
        """Give rows to the devices of a slice; returns where they stand, in the order given."""
        span = self._allocate(len(devices))
        if not devices:
            return span
        self._set_live(span, alive=True)
        self.drivers.write(span.rows, self.drivers.code(driver))
        shareable = [self.shareable.code(device.shareable and self._sharing) for device in devices]
        self.shareable.write(span.rows, np.array(shareable, np.int32))
        self._fill(self.attributes, driver, span, [device.attributes for device in devices])
        self._fill(self.capacity, driver, span, [device.capacity for device in devices])
        return span

    def remove(self, span: RowSpan) -> None:
        """Take back the rows of a slice."""
        if span.start == span.stop:
            return
        self._set_live(span, alive=False)
        for column in self._columns():
            if (column.codes[span.rows] != ABSENT).any():
                column.write(span.rows, ABSENT)
        self._give_back(span)

    def snapshot(self) -> "DeviceTable":
        """A table that later changes to this one leave alone."""
        copy = DeviceTable(0)
        copy.size, copy.live, copy.drivers = self.size, self.live, self.drivers.snapshot()
        copy._sharing = self._sharing
        copy.shareable = self.shareable.snapshot()
        copy.attributes = {name: column.snapshot() for name, column in self.attributes.items()}
        copy.capacity = {name: column.snapshot() for name, column in self.capacity.items()}
        copy._live_shared = self._live_shared = True
        copy._free = list(self._free)
        return copy

    def _columns(self) -> list[Column[Any]]:
        return [self.drivers, self.shareable, *self.attributes.values(), *self.capacity.values()]

    def _fill(
        self, columns: dict[str, Column[Value]], driver: str, span: RowSpan, rows: Sequence[Mapping[str, Value]]
    ) -> None:
        names: Iterable[str] = dict.fromkeys(name for row in rows for name in row)
        for name in sorted(names, key=lambda name: "/" in name):  # a device may have both: the full name counts
            full = name if "/" in name else f"{driver}/{name}"
            column = columns.get(full)
            if column is None:
                column = columns[full] = Column(self.size)
            codes = column.codes[span.rows].copy()
            for i, row in enumerate(rows):
                value = row.get(name)
                if value is not None:
                    codes[i] = column.code(value)
            column.write(span.rows, codes)

    def _set_live(self, span: RowSpan, *, alive: bool) -> None:
        if self._live_shared:
            self.live = self.live.copy()
            self._live_shared = False
        self.live[span.rows] = alive

    def _allocate(self, count: int) -> RowSpan:
        for i, span in enumerate(self._free):
            room = span.stop - span.start
            if room >= count:
                if room == count:
                    self._free.pop(i)
                else:
                    self._free[i] = RowSpan(span.start + count, span.stop)
                return RowSpan(span.start, span.start + count)
        self._grow(max(2 * self.size, self.size + count))
        return self._allocate(count)

    def _grow(self, size: int) -> None:
        for column in self._columns():
            column.grow(size)
        live = np.zeros(size, np.bool_)
        live[: self.size] = self.live
        self.live, self._live_shared = live, False
        self._give_back(RowSpan(self.size, size))
        self.size = size

    def _give_back(self, span: RowSpan) -> None:
        """Free spans stand in order and never touch: what is given back grows together with its neighbours."""
        at = bisect_left(self._free, span.start, key=lambda free: free.start)
        if at < len(self._free) and self._free[at].start == span.stop:
            span = RowSpan(span.start, self._free.pop(at).stop)
        if at and self._free[at - 1].stop == span.start:
            self._free[at - 1] = RowSpan(self._free[at - 1].start, span.stop)
        else:
            self._free.insert(at, span)
