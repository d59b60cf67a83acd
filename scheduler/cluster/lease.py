"""Which of several processes may write: the official client's Lease election behind a fence of our own.

The election decides who leads; it cannot stop a leader that was paused from sending a write that it had prepared. The
fence does: it is asked right before each send, runs on the monotonic clock, and counts from the *start* of the last
renewal that the server confirmed.

The official election is used as it is, with a lock object of ours, because its own lock lets connection errors escape
(which ends the election), waits for an answer without a limit, writes local time as UTC, and measures the other
holder's lease by a wall clock that may jump. The lock answers all four: it never raises, has time limits, writes UTC,
and refuses to take a lease over before the holder has been silent for its whole duration by the monotonic clock
(client-go's rule of observed time).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from scheduler.cluster.client import ApiError, Client
from scheduler.cluster.machine import Machine
from scheduler.core import names

log = logging.getLogger(__name__)


class Fence(Protocol):
    """Asked right before each write."""

    def allows(self) -> bool:
        """Whether a write may be sent now."""
        ...


class OpenFence:
    """Without election: every write may be sent."""

    def allows(self) -> bool:
        """True."""
        return True


class LeaseFence:
    """Open until a deadline that confirmed renewals push ahead.

    margin_s : how long before the lease can pass to another process the fence closes. No less than a write may take
    from the fence to its end, so that one sent at the last moment is over before the lease is.
    """

    def __init__(self, margin_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._margin_s = margin_s
        self._clock = clock
        self._until = float("-inf")

    def renewed(self, start: float, lease_s: float) -> None:
        """The server confirmed a renewal that was begun at `start`."""
        self._until = start + lease_s - self._margin_s

    def close(self) -> None:
        """Let nothing through until the next renewal."""
        self._until = float("-inf")

    def allows(self) -> bool:
        """Whether the lease surely is still ours."""
        return self._clock() < self._until


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """How long a lease holds, how long a leader tries to renew before it gives up, and the time between tries."""

    lease_s: float = 15.0
    renew_s: float = 10.0
    retry_s: float = 2.0


class LeaseLostError(Exception):
    """A lease that was held was not renewed in time."""


class LeaseLock:
    """What the official election locks: get, create and update of one Lease, by our client.

    `held` : set once another process was seen to hold it.
    """

    def __init__(
        self,
        client: Client,
        fence: LeaseFence,
        timing: LeaseTiming,
        machine: Machine | None = None,
    ) -> None:
        machine = machine or Machine()
        self.name = names.LEASE
        self.namespace = names.NAMESPACE
        self.identity = machine.identity()
        self._client = client
        self._fence = fence
        self._timing = timing
        self._clock = machine.clock
        self._timestamp = machine.timestamp
        self.held = asyncio.Event()
        self._timeout_s = min(timing.renew_s / 2, 5.0)
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"
        self._lease: dict[str, Any] = {}
        self._seen: object = None
        self._seen_at = float("-inf")
        self._renewed_at = float("inf")

    async def get(self, name: str, namespace: str) -> tuple[bool, Any]:
        """(True, record), or (False, an exception of the kind that the election expects)."""
        from kubernetes.aio.client.exceptions import ApiException  # noqa: PLC0415
        from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord  # noqa: PLC0415

        try:
            await self._read()
        except ApiError as error:
            if error.cause == "forbidden":
                log.warning("lease not read: %s", error)
            refused = ApiException(status=error.status, reason=error.message)
            refused.body = msgspec.json.encode({"code": error.status}).decode()
            return False, refused
        spec = self._lease.get("spec") or {}
        duration = spec.get("leaseDurationSeconds")
        # The election waits for another holder by the time of day, which may jump back an hour; `update` does by ours.
        holder = spec.get("holderIdentity")
        return True, LeaderElectionRecord(
            holder if holder == self.identity else None,
            str(duration) if duration else None,
            spec.get("acquireTime"),
            spec.get("renewTime"),
        )

    async def create(self, name: str, namespace: str, election_record: Any) -> bool:
        """Whether the lease was made, and is ours."""
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": self._spec({}),
        }
        return await self._write("POST", self._path, lease)

    async def update(self, name: str, namespace: str, updated_record: Any) -> bool:
        """Whether the lease was renewed or taken over. Raises LeaseLostError once it was not renewed for too long."""
        if self._clock() - self._renewed_at >= self._timing.renew_s:
            raise LeaseLostError
        spec = self._lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in {"", self.identity}:
            silent_s = self._clock() - self._seen_at
            if silent_s < max(self._timing.lease_s, float(spec.get("leaseDurationSeconds") or 0)):
                self.held.set()
                return False
        return await self._write("PUT", f"{self._path}/{self.name}", {**self._lease, "spec": self._spec(spec)})

    async def release(self) -> None:
        """Give the lease back, so that a successor need not wait. Call it when no write is under way."""
        self._fence.close()
        try:
            await self._read()
            spec = self._lease.get("spec") or {}
            if spec.get("holderIdentity") != self.identity:
                return
            released = {**spec, "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._timestamp()}
            body = msgspec.json.encode({**self._lease, "spec": released})
            await self._client.request("PUT", f"{self._path}/{self.name}", body, timeout=self._timeout_s)
        except ApiError as error:
            log.warning("lease not given back: %s", error)

    async def _read(self) -> None:
        body = await self._client.request("GET", f"{self._path}/{self.name}", timeout=self._timeout_s)
        self._lease = _read_lease(body)
        if (spec := self._lease.get("spec")) != self._seen:
            self._seen, self._seen_at = spec, self._clock()

    async def _write(self, method: str, path: str, lease: dict[str, Any]) -> bool:
        start = self._clock()
        try:
            body = await self._client.request(method, path, msgspec.json.encode(lease), timeout=self._timeout_s)
            self._lease = _read_lease(body)
        except ApiError as error:
            log.warning("lease not renewed: %s", error)
            return False
        self._fence.renewed(start, self._timing.lease_s)
        self._renewed_at = start
        return True

    def _spec(self, old: dict[str, Any]) -> dict[str, Any]:
        now = self._timestamp()
        spec = {
            **old,
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._timing.lease_s)),
            "renewTime": now,
        }
        if old.get("holderIdentity") != self.identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = (old.get("leaseTransitions") or 0) + bool(old)
        return spec


def _read_lease(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:  # a proxy's words, or half an answer
        raise ApiError("unknown", 0, f"the lease cannot be read: {error}") from error


async def lead(lock: LeaseLock, timing: LeaseTiming, leading: asyncio.Event) -> None:
    """Wait for the lease, set `leading`, renew; returns when the lease is lost."""
    from kubernetes.aio.leaderelection.electionconfig import Config  # noqa: PLC0415
    from kubernetes.aio.leaderelection.leaderelection import LeaderElection  # noqa: PLC0415

    logging.getLogger("kubernetes.aio.leaderelection").setLevel(logging.CRITICAL)  # says it once more, every try

    async def started() -> None:
        log.info("lease %s/%s is ours, as %s", lock.namespace, lock.name, lock.identity)
        leading.set()

    # Its constructor takes no less than a second between two tries; the election does.
    config = Config(lock, 15.0, 10.0, 2.0, started, None)
    config.lease_duration, config.renew_deadline = timing.lease_s, timing.renew_s
    config.retry_period = timing.retry_s
    # It counts by the time of day for how long it tries; what was lost is not taken back as if it had been kept.
    with contextlib.suppress(LeaseLostError):
        await LeaderElection(config).run()
    leading.clear()
