"""Which pods wait, for what, and what wakes them. A pod that was put in stays until it is taken out.

| token          | woken by                                                                                     |
|----------------|----------------------------------------------------------------------------------------------|
| NoFit          | a node, slice, device class or taint rule changed; devices or node resources were given back |
| PoolInvalid    | as NoFit                                                                                     |
| Refused        | as NoFit                                                                                     |
| ClaimPending   | one of the pod's claims changed, or what we were doing to it ended                           |
| Misconfigured  | one of its claims or a device class changed                                                  |
| Unsupported    | one of its claims, a node, a device class or a repelling pod changed                         |
| Retry          | all slow answers that it waits for came, or the back-off ended                               |
| Asking         | all scorers of others that were asked answered, or have had their time                       |

Whatever it waits for, a pod is tried again after a minute, and at once when the pod itself changes.

A pod that takes long to decide is *heavy*: it stands in the line of its tenant (its namespace), behind all pods that
are not, and is worked on in pieces when it is its tenant's turn.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from scheduler.core import plan
from scheduler.core.budget import Turns
from scheduler.core.model import Pod, Uid

AGAIN_S = 60.0
FIRST_BACKOFF_S = 1.0
LAST_BACKOFF_S = 10.0


@dataclass(slots=True)
class _Entry:
    order: tuple[int, str, str]
    tenant: str
    heavy: bool = False
    attempts: int = 0
    tried_at: float = 0.0
    token: str = ""  # empty: due
    due_at: float = 0.0
    not_before: float = 0.0


class Backlog:
    """Pending pods in order: priority first, then age, then name."""

    def __init__(self) -> None:
        self._entries: dict[Uid, _Entry] = {}
        self._ready: list[tuple[tuple[int, str, str], Uid]] = []
        self._lines: dict[str, list[tuple[tuple[int, str, str], Uid]]] = {}  # of heavy pods that are due, by tenant
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
            self._parked[entry.token].discard(uid)

    def waiting(self) -> dict[str, int]:
        """How many pods wait for what, by token; under the empty one those that are due."""
        found = {token: len(uids) for token, uids in self._parked.items() if uids}
        due = len(self._entries) - sum(found.values())
        return found | ({"": due} if due else {})

    def tokens(self) -> list[tuple[Uid, str]]:
        """What each pod waits for; empty: it is due."""
        return [(uid, entry.token) for uid, entry in self._entries.items()]

    def order(self, uid: Uid) -> tuple[int, str, str]:
        """Where a pod stands in the queue, smaller first."""
        return self._entries[uid].order

    def attempts(self, uid: Uid) -> int:
        """How often a pod was tried before now."""
        entry = self._entries.get(uid)
        return entry.attempts if entry else 0

    def park(self, uid: Uid, token: str, now: float, *, delay: float | None = None, pause: float = 0.0) -> None:
        """An attempt ended with nothing: wait for what the token says, or for `delay` seconds; for `pause` at least."""
        entry = self._entries[uid]
        entry.attempts += 1
        entry.tried_at = now
        entry.token = token
        entry.not_before = now + pause
        entry.due_at = now + (AGAIN_S if delay is None else delay)
        self._parked.setdefault(token, set()).add(uid)
        heapq.heappush(self._timers, (entry.due_at, uid))

    def wake(self, tokens: Iterable[str]) -> None:
        """Something happened that may help pods waiting for these tokens. However much happens, they are woken once."""
        self._woken.update(tokens)
        if plan.NO_FIT in self._woken:
            self._woken.update((plan.POOL_INVALID, plan.REFUSED))

    def wake_one(self, uid: Uid, now: float) -> None:
        """Try a pod as soon as its back-off allows."""
        entry = self._entries.get(uid)
        if entry is None or not entry.token:
            return
        earliest = max(entry.tried_at + self.backoff(entry.attempts), entry.not_before)
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
    def backoff(attempts: int) -> float:
        """Seconds from an attempt to the next: none after the first, then doubling."""
        if attempts <= 1:
            return 0.0
        return min(FIRST_BACKOFF_S * 2.0 ** min(attempts - 2, 10), LAST_BACKOFF_S)

    def due(self, now: float, limit: int) -> list[Uid]:
        """Pods to try now, in order, without the heavy ones; each must be parked, deferred, put or discarded next."""
        self._wake_all(now)
        while self._timers and self._timers[0][0] <= now:
            _, uid = heapq.heappop(self._timers)
            entry = self._entries.get(uid)
            if entry is not None and entry.token and entry.due_at <= now:
                self._ready_now(uid, entry)
        taken: dict[Uid, None] = {}  # a pod that was put twice stands twice among those that are ready
        while self._ready and len(taken) < limit:
            order, uid = heapq.heappop(self._ready)
            entry = self._entries.get(uid)
            if _is_due(entry, order, heavy=False):
                taken[uid] = None
        return list(taken)

    def next_heavy(self) -> Uid | None:
        """The heavy pod whose turn it is; it must be parked, deferred, put or discarded next. None: none is due."""
        while self._lines:
            tenant = self._turns.next(self._lines)
            line = self._lines[tenant]
            order, uid = heapq.heappop(line)
            if not line:
                del self._lines[tenant]
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
        for line, heavy in ((self._ready, False), *((line, True) for line in self._lines.values())):
            while line:
                order, uid = line[0]
                if _is_due(self._entries.get(uid), order, heavy=heavy):
                    return now
                heapq.heappop(line)
        self._lines.clear()
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

    def _ready_now(self, uid: Uid, entry: _Entry) -> None:
        self._parked[entry.token].discard(uid)
        entry.token = ""
        self._line_up(uid, entry)

    def _line_up(self, uid: Uid, entry: _Entry) -> None:
        line = self._lines.setdefault(entry.tenant, []) if entry.heavy else self._ready
        heapq.heappush(line, (entry.order, uid))


def _is_due(entry: _Entry | None, order: tuple[int, str, str], *, heavy: bool) -> bool:
    """Whether a place in a line still means something."""
    return entry is not None and not entry.token and entry.order == order and entry.heavy == heavy
