"""Which pods wait, for what, and what wakes them. A pod that was put in stays until it is taken out.

WAKES says which happening helps those that wait for what. Beside that, ClaimPending and Misconfigured are woken by
changes of the pod's own claims, ClaimPending when what we were doing to one of them ends, Retry once all slow answers
came or the back-off ended, and Asking once all scorers of others answered or have had their time.

Whatever it waits for, a pod is tried again after a minute, and at once when the pod itself changes.

Pods of higher priority come first. Among equals it is the turn of the tenant (the namespace) that had least, and of its
oldest pod: who has very many pods waiting holds up nobody else.

A pod that takes long to decide is *heavy*: it stands in another line of its tenant, behind all pods that are not,
and is worked on in pieces when it is its tenant's turn.
"""

import heapq
from dataclasses import dataclass
from enum import Enum
from typing import Final

from scheduler.core import plan
from scheduler.core.budget import Turns
from scheduler.core.model import Pod, Uid

AGAIN_S = 60.0
FIRST_BACKOFF_S = 1.0
LAST_BACKOFF_S = 10.0
STEPS_A_TURN: Final = 150  # what a pod is taken to cost until it is charged, in the steps of core/budget.py


class Happening(Enum):
    """What may help pods that were tried and found no place."""

    NODE_CHANGED = "a node is new, or changed"
    SLICE_CHANGED = "devices of a driver are new, changed or gone"
    CLASS_CHANGED = "a device class is new, changed or gone"
    TAINT_RULE_CHANGED = "a device taint rule is new, changed or gone"
    DEVICES_FREED = "a claim gave devices back, or is about to be tried again elsewhere"
    ROOM_FREED = "a pod left a node, moved or was resized"
    NEIGHBOURS_CHANGED = "pods that others look at came, went or changed, or a namespace did"


LOOKS_AROUND: Final = "looks around"  # whatever else it waits for, by its last attempt it asks something of other pods
_NO_DEVICE: Final = (plan.NO_FIT, plan.POOL_INVALID, plan.REFUSED)
WAKES: Final[dict[Happening, tuple[str, ...]]] = {
    Happening.NODE_CHANGED: (*_NO_DEVICE, plan.UNSUPPORTED),
    Happening.SLICE_CHANGED: _NO_DEVICE,
    Happening.CLASS_CHANGED: (*_NO_DEVICE, plan.MISCONFIGURED, plan.UNSUPPORTED),
    Happening.TAINT_RULE_CHANGED: _NO_DEVICE,
    Happening.DEVICES_FREED: _NO_DEVICE,
    Happening.ROOM_FREED: _NO_DEVICE,
    Happening.NEIGHBOURS_CHANGED: (LOOKS_AROUND,),
}
"""What wakes pods, by the token of what they wait for, or since they look at other pods."""

_NOBODY: Final[set[Uid]] = set()

Order = tuple[int, str, str]
Line = list[tuple[Order, Uid]]


@dataclass(slots=True)
class _Entry:
    order: Order
    tenant: str
    heavy: bool = False
    attempts: int = 0
    tried_at: float = 0.0
    token: str = ""  # empty: due
    due_at: float = 0.0
    not_before: float = 0.0


class Backlog:
    """Pending pods: by priority, between tenants in turns, of one tenant by age and then by name."""

    def __init__(self) -> None:
        self._entries: dict[Uid, _Entry] = {}
        self._light: dict[str, Line] = {}  # pods that are due, by tenant
        self._heavy: dict[str, Line] = {}
        self._turns = Turns()
        self._timers: list[tuple[float, Uid]] = []
        self._parked: dict[str, set[Uid]] = {}
        self._woken: set[str] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, uid: Uid) -> bool:
        return uid in self._entries

    def put(self, pod: Pod) -> None:
        """A new pod, or one that changed: due at once, with a fresh start."""
        self.discard(pod.uid)
        entry = self._entries[pod.uid] = _Entry((-pod.priority, pod.created, pod.key), pod.namespace)
        self._line_up(pod.uid, entry)

    def discard(self, uid: Uid) -> None:
        """Take a pod out."""
        entry = self._entries.pop(uid, None)
        if entry is not None and entry.token:
            self._unpark(uid, entry)

    def waiting(self) -> dict[str, int]:
        """How many pods wait for what, by token; under the empty one those that are due."""
        found = {token: len(uids) for token, uids in self._parked.items() if uids and token != LOOKS_AROUND}
        due = len(self._entries) - sum(found.values())
        return found | ({"": due} if due else {})

    def tokens(self) -> list[tuple[Uid, str]]:
        """What each pod waits for; empty: it is due."""
        return [(uid, entry.token) for uid, entry in self._entries.items()]

    def order(self, uid: Uid) -> Order:
        """Where a pod stands in the queue, smaller first."""
        return self._entries[uid].order

    def attempts(self, uid: Uid) -> int:
        """How often a pod was tried before now."""
        entry = self._entries.get(uid)
        return entry.attempts if entry else 0

    def park(
        self,
        uid: Uid,
        token: str,
        now: float,
        *,
        delay: float | None = None,
        pause: float = 0.0,
        looks_around: bool = False,
    ) -> None:
        """An attempt ended with nothing: wait for what the token says, or for `delay` seconds; for `pause` at least.

        looks_around : other pods may be what is in the way.
        """
        entry = self._entries[uid]
        entry.attempts += 1
        entry.tried_at = now
        entry.token = token
        entry.not_before = now + pause
        entry.due_at = now + (AGAIN_S if delay is None else delay)
        for each in (token, LOOKS_AROUND) if looks_around else (token,):
            self._parked.setdefault(each, set()).add(uid)
        heapq.heappush(self._timers, (entry.due_at, uid))

    def wake(self, happening: Happening) -> None:
        """Something happened that may help pods that wait. However much happens, they are woken once."""
        self._woken.update(WAKES[happening])

    def wake_one(self, uid: Uid, now: float) -> None:
        """Try a pod as soon as its back-off allows."""
        entry = self._entries.get(uid)
        if entry is None or not entry.token:
            return
        earliest = max(entry.tried_at + self.backoff(uid, entry.attempts), entry.not_before)
        if earliest <= now:
            self._ready_now(uid, entry)
        elif earliest < entry.due_at:
            entry.due_at = earliest
            heapq.heappush(self._timers, (earliest, uid))

    def hurry(self, uid: Uid) -> None:
        """What the pod's last attempt lacked is here: it is due, and the attempt does not count."""
        entry = self._entries.get(uid)
        if entry is not None and entry.token:
            entry.attempts -= 1
            self._ready_now(uid, entry)

    @staticmethod
    def backoff(uid: Uid, attempts: int) -> float:
        """Seconds from an attempt to the next: none after the first, then doubling; up to half again, by pod."""
        if attempts <= 1:
            return 0.0
        return (1.0 + spread(uid) / 2) * min(FIRST_BACKOFF_S * 2.0 ** min(attempts - 2, 10), LAST_BACKOFF_S)

    def due(self, now: float, limit: int) -> list[Uid]:
        """Pods to try now, in order, without the heavy ones; each must be parked, deferred, put or discarded next."""
        self._wake_all(now)
        while self._timers and self._timers[0][0] <= now:
            _, uid = heapq.heappop(self._timers)
            entry = self._entries.get(uid)
            if entry is not None and entry.token and entry.due_at <= now:
                self._ready_now(uid, entry)
        taken: dict[Uid, None] = {}  # a pod that was put twice stands twice among those that are due
        turns: list[tuple[int, int, Order, str]] = []
        for tenant in list(self._light):
            self._queue_up(turns, tenant, self._turns.start(tenant))
        while turns and len(taken) < limit:
            _, served, _, tenant = heapq.heappop(turns)
            _, uid = heapq.heappop(self._light[tenant])
            taken[uid] = None
            self._turns.reach(served)
            self._queue_up(turns, tenant, served + STEPS_A_TURN)
        return list(taken)

    def _queue_up(self, turns: list[tuple[int, int, Order, str]], tenant: str, served: int) -> None:
        """The first of a tenant's light pods that are still due stands for it: by priority, then by what it had."""
        line = self._light[tenant]
        while line and not _is_due(self._entries.get(line[0][1]), line[0][0], heavy=False):
            heapq.heappop(line)
        if line:
            order = line[0][0]
            heapq.heappush(turns, (order[0], served, order, tenant))
        else:
            del self._light[tenant]

    def next_heavy(self) -> Uid | None:
        """The heavy pod whose turn it is; it must be parked, deferred, put or discarded next. None: none is due."""
        while self._heavy:
            tenant = self._turns.next(self._heavy)
            line = self._heavy[tenant]
            order, uid = heapq.heappop(line)
            if not line:
                del self._heavy[tenant]
            if _is_due(self._entries.get(uid), order, heavy=True):
                return uid
        return None

    def defer(self, uid: Uid) -> None:
        """The pod takes long: it stays due, as a heavy one."""
        entry = self._entries[uid]
        entry.heavy = True
        self._line_up(uid, entry)

    def charge(self, uid: Uid, steps: int, *, heavy: bool) -> None:
        """Count the work on a pod, and note whether it is heavy from its next attempt on."""
        entry = self._entries[uid]
        self._turns.charge(entry.tenant, steps)
        entry.heavy = heavy

    def is_heavy(self, uid: Uid) -> bool:
        """Whether the pod is heavy."""
        return self._entries[uid].heavy

    def next_time(self, now: float) -> float | None:
        """When to look again though nothing happens; None: never."""
        self._wake_all(now)
        for lines, heavy in ((self._light, False), (self._heavy, True)):
            for line in lines.values():
                while line:
                    order, uid = line[0]
                    if _is_due(self._entries.get(uid), order, heavy=heavy):
                        return now
                    heapq.heappop(line)
            lines.clear()
        while self._timers:
            at, uid = self._timers[0]
            entry = self._entries.get(uid)
            if entry is not None and entry.token and entry.due_at == at:
                return at
            heapq.heappop(self._timers)
        return None

    def _wake_all(self, now: float) -> None:
        for token in self._woken:
            for uid in list(self._parked.get(token, ())):
                self.wake_one(uid, now)
        self._woken.clear()

    def _unpark(self, uid: Uid, entry: _Entry) -> None:
        self._parked[entry.token].discard(uid)
        self._parked.get(LOOKS_AROUND, _NOBODY).discard(uid)

    def _ready_now(self, uid: Uid, entry: _Entry) -> None:
        self._unpark(uid, entry)
        entry.token = ""
        self._line_up(uid, entry)

    def _line_up(self, uid: Uid, entry: _Entry) -> None:
        lines = self._heavy if entry.heavy else self._light
        heapq.heappush(lines.setdefault(entry.tenant, []), (entry.order, uid))


def spread(uid: Uid) -> float:
    """A number from 0 to below 1, the same for a pod in every run: pods that failed at once return one by one."""
    return sum(uid.encode()) % 97 / 97


def _is_due(entry: _Entry | None, order: Order, *, heavy: bool) -> bool:
    """Whether a place in a line still means something."""
    return entry is not None and not entry.token and entry.order == order and entry.heavy == heavy
