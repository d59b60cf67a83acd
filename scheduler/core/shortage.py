"""What of a device that others use in part is left, and how much of it a request would need."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scheduler.core.model import Device, Slice
from scheduler.core.quantity import Quantity, canonical
from scheduler.core.rules.capacity import UnrepresentableError, resolve
from scheduler.core.state import State

_TOLD = 3  # amounts of one device that are told; of more, how many


@dataclass(frozen=True, slots=True)
class _Lack:
    """An amount of which less is left than would be taken. left, whole : nano-units."""

    what: str
    taken: Quantity
    left: int
    whole: Quantity

    @property
    def share(self) -> float:
        """What is missing, as a share of all that there is."""
        return (self.taken.nanos - self.left) / max(self.whole.nanos, 1)

    def __str__(self) -> str:
        left = canonical(self.left, self.whole.format)
        return f"{self.taken.text} of {self.what}, {left} of {self.whole.text} left"


def shortage(state: State, row: int, positions: Sequence[int], asked: Mapping[str, Quantity]) -> str:
    """Of these devices of a node, the one that comes nearest to serving a request, and of what it has too little left.

    asked : the capacities that the request asks for. Devices that somebody has whole are not looked at; empty where
    all are. The largest amounts come first: bytes of memory before slices of it.
    """
    counters = _Counters(state, row)
    nearest: tuple[float, int, str] | None = None
    for position in positions:
        item, device = state.row_device[int(state.bays.rows[row][position])]
        lacks = [*_capacities(state, item, device, asked), *counters.lacks(position, item, device)]
        if not lacks:
            continue
        near = max(each.share for each in lacks)
        if nearest is None or (near, len(lacks)) < nearest[:2]:
            lacks.sort(key=lambda each: -each.whole.nanos)
            more = [f"and {len(lacks) - _TOLD} more"] if len(lacks) > _TOLD else []
            told = "; ".join([*map(str, lacks[:_TOLD]), *more])
            nearest = (near, len(lacks), f"device {item.driver}/{item.pool}/{device.name} would take {told}")
    return nearest[2] if nearest else ""


def _capacities(state: State, item: Slice, device: Device, asked: Mapping[str, Quantity]) -> Iterator[_Lack]:
    """Of a device that is shared."""
    identity = (item.driver, item.pool, device.name)
    if not device.shareable or not state.gates.consumable_capacity or identity in state.holders:
        return
    try:
        taken = resolve(asked, device, fractional=state.gates.fractional_capacity_range)
    except UnrepresentableError:
        return
    used = state.used(identity)
    for name, amount in (taken or {}).items():
        whole = device.capacity[name]
        left = whole.nanos - used.get(name, 0)
        if amount.nanos > left:
            yield _Lack(f"capacity {name}", amount, left, whole)


class _Counters:
    """What is left of the counters of a node's pools, each pool worked out when it is first asked about."""

    def __init__(self, state: State, row: int) -> None:
        self._state = state
        self._pools = state.bays.sights[row].pools
        self._left: dict[int, dict[tuple[str, str], int]] = {}

    def lacks(self, position: int, item: Slice, device: Device) -> Iterable[_Lack]:
        """Of a device that nobody uses, and that draws on them."""
        if not self._state.gates.partitionable_devices or self._state.in_use((item.driver, item.pool, device.name)):
            return
        number = next(at for at, (stop, _, _) in enumerate(self._pools) if position < stop)
        counters = self._pools[number][2].counters
        for use in device.consumes:
            for counter, amount in use.counters.items():
                left = self._of(number)[use.counter_set, counter]
                if amount.nanos > left:
                    whole = counters[use.counter_set].counters[counter]
                    yield _Lack(f"counter {counter} of {use.counter_set}", amount, left, whole)

    def _of(self, number: int) -> dict[tuple[str, str], int]:
        if number not in self._left:
            _, key, view = self._pools[number]
            self._left[number] = view.left(key, self._state.in_use)
        return self._left[number]
