"""What people read of pods: events, and the condition that says why one waits.

Best effort, with two exceptions: why a pod waits, and that it clashes, has to arrive. The words on one pod arrive in
their order.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from scheduler.cluster import encode
from scheduler.cluster.client import JSON, NOT_SENT, STRATEGIC_PATCH, ApiError
from scheduler.cluster.machine import Machine
from scheduler.core.messages import PodRef, Report, ReportClash, ReportScheduled, ReportUnschedulable
from scheduler.core.model import Uid

log = logging.getLogger(__name__)

SAME_REPORT_S: Final = 30.0
_WAITING: Final = 4096
_PODS_REMEMBERED: Final = 20_000
_REPEATS: Final = 8  # of a reason that could not be written; the waits double


def pod_path(pod: PodRef) -> str:
    """Where the API has a pod."""
    return f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"


class Reports:
    """What is to be told of pods, and what was told.

    send : method, path, body and content type of a write; raises ApiError. limit_s : how long the server may take.
    patience_s : how long after its start a write without an answer may still be applied.
    `events` : whether events are written, which takes a permission that scheduling does not need.
    `dropped`, `failed` : how many were not told, for want of room and for errors. `under_way` : being written.
    """

    def __init__(
        self,
        send: Callable[[str, str, bytes, str], Awaitable[None]],
        limit_s: float,
        patience_s: float,
        machine: Machine,
    ) -> None:
        self.events = True
        self.dropped = 0
        self.failed = 0
        self.under_way = 0
        self._send = send
        self._limit_s = limit_s
        self._patience_s = patience_s
        self._clock = machine.clock
        self._now = machine.timestamp
        self._waiting: OrderedDict[tuple[Uid, type], Report] = OrderedDict()
        self._arrived = asyncio.Event()
        self._told: OrderedDict[Uid, tuple[str, float]] = OrderedDict()
        self._repeated: dict[Uid, int] = {}
        self._told_of: set[Uid] = set()  # pods of which something is being told, or may still be

    def put(self, report: Report) -> None:
        """Queue what people read. Best effort: the newest word on a pod replaces one that still waits."""
        uid = report.pod.uid
        if isinstance(report, ReportUnschedulable):
            now = self._clock()
            told = self._told.get(uid)
            if told is not None and told[0] == report.message and now - told[1] < SAME_REPORT_S:
                return
            self._told[uid] = (report.message, now)
            self._told.move_to_end(uid)
            if len(self._told) > _PODS_REMEMBERED:
                self._told.popitem(last=False)
        elif isinstance(report, ReportScheduled):
            self._told.pop(uid, None)
            self._waiting.pop((uid, ReportUnschedulable), None)
        self._waiting[uid, type(report)] = report
        if len(self._waiting) > _WAITING:
            self._waiting.popitem(last=False)
            self.dropped += 1
            if self.dropped % 1000 == 1:
                log.warning("%d pod events were dropped: the API server takes them too slowly", self.dropped)
        self._arrived.set()

    @property
    def idle(self) -> bool:
        """Whether nothing waits or is under way; what may be repeated later does not count."""
        return not self._waiting and not self.under_way

    async def run(self) -> None:
        """Write what waits until cancelled. Several may run at once. Raises what is no answer of the API server."""
        while True:
            while (report := self._next()) is None:
                self._arrived.clear()
                await self._arrived.wait()
            uid = report.pod.uid
            self.under_way += 1
            self._told_of.add(uid)
            begun = self._clock()
            held = 0.0
            try:
                await self._write(report)
            except ApiError as error:
                if error.doubtful:  # it may still be applied, and must not come after a newer one
                    held = max(0.0, begun + self._patience_s - self._clock())
                # The pod or its namespace may be gone, which is no news; a lost lease is told once, elsewhere.
                quiet = error.cause in {"gone", "conflict"} or error.status == NOT_SENT
                self.failed += not quiet
                level = logging.DEBUG if quiet or self.failed % 100 != 1 else logging.WARNING
                where = f"{report.pod.namespace}/{report.pod.name}"
                log.log(level, "event for pod %s not written, as %d so far: %s", where, self.failed, error)
                if isinstance(report, ReportUnschedulable | ReportClash) and error.cause != "gone":
                    self._again(report, held)
            finally:
                self.under_way -= 1
                if held:
                    asyncio.get_running_loop().call_later(held, self._go_on_about, uid)
                else:
                    self._go_on_about(uid)

    def _next(self) -> Report | None:
        """The oldest one on a pod of which nothing is being told; the words on one pod arrive in their order."""
        key = next((key for key in self._waiting if key[0] not in self._told_of), None)
        return self._waiting.pop(key) if key is not None else None

    def _go_on_about(self, pod: Uid) -> None:
        self._told_of.discard(pod)
        self._arrived.set()

    def _again(self, report: ReportUnschedulable | ReportClash, least: float) -> None:
        """Why a pod waits, or that it clashes, is told once by those who decide, and has to arrive."""
        uid = report.pod.uid
        tries = self._repeated[uid] = self._repeated.get(uid, 0) + 1

        def again() -> None:
            message, _ = self._told.get(uid, ("", 0.0))
            current = isinstance(report, ReportClash) or message == report.message
            if current and (uid, type(report)) not in self._waiting:
                self._waiting[uid, type(report)] = report
                self._arrived.set()
            else:
                self._repeated.pop(uid, None)

        if tries > _REPEATS:
            del self._repeated[uid]
        else:
            asyncio.get_running_loop().call_later(max(least, self._limit_s / 5 * 2**tries), again)

    async def _write(self, report: Report) -> None:
        pod = report.pod
        if isinstance(report, ReportUnschedulable):
            body = encode.unschedulable_condition_patch(report, self._now())
            await self._send("PATCH", f"{pod_path(pod)}/status", body, STRATEGIC_PATCH)
            self._repeated.pop(pod.uid, None)
        if not self.events:
            return
        body = encode.event(report, self._now())
        await self._send("POST", f"/api/v1/namespaces/{pod.namespace}/events", body, JSON)
