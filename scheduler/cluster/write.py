"""Executes instructions against the API server and answers with events.

Every write is conditional: a claim's carries the resourceVersion that the decision knew, a pod's its UID. A write whose
outcome is unknown (time-out, reset, 5xx) is settled by reading: it counts as not applied only once something newer
excludes it, or the time limit that the server itself keeps to has passed, so that it cannot take effect behind a new
decision.

A release has no answer, so nothing that it repeats may reach a claim that is used again. It ends before the engine
stops waiting for it, and at once when the engine writes to the claim anew. What it has sent by then carries the version
that it read before: of it and the newer write the API server takes one and refuses the other.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from scheduler.cluster import decode, encode, protobuf
from scheduler.cluster.client import JSON, MERGE_PATCH, NOT_SENT, PROTOBUF, STRATEGIC_PATCH, ApiError, Client
from scheduler.cluster.lease import Fence
from scheduler.cluster.machine import Machine
from scheduler.cluster.reports import Reports, pod_path
from scheduler.cluster.slots import Slots
from scheduler.cluster.turns import Turns
from scheduler.core.errors import InputError
from scheduler.core.messages import (
    RELEASE_S,
    BindPod,
    BindRefused,
    BindVolume,
    ClaimCreated,
    ClaimRef,
    ClaimRefused,
    ClaimWritten,
    CreateClaim,
    DeleteClaim,
    Event,
    PodBound,
    PodRef,
    ReleaseClaim,
    ReserveClaim,
    SelectNode,
    StorageRef,
    UnbindVolume,
    UnselectNode,
    VolumeRefused,
    VolumeWritten,
    WriteAllocation,
)
from scheduler.core.model import Allocation, Claim, Pod, Uid
from scheduler.core.storage import AVAILABLE, PersistentVolume, PersistentVolumeClaim

log = logging.getLogger(__name__)

Release = ReleaseClaim | DeleteClaim | UnbindVolume | UnselectNode
Write = WriteAllocation | CreateClaim | ReserveClaim | BindVolume | SelectNode | Release | BindPod
T = TypeVar("T")

_KINDS: Final[Mapping[type[Any], str]] = {
    Claim: "ResourceClaim",
    PersistentVolume: "PersistentVolume",
    PersistentVolumeClaim: "PersistentVolumeClaim",
    Pod: "Pod",
}
_REPORTERS: Final = 8
_LONGEST_WAIT_S: Final = 5.0
PATIENCE: Final = 1.4  # times the server's limit: lets its own refusal for time arrive
_UNPROCESSABLE: Final = 422  # HTTP status: the server took the write as one of what may not change, or as nonsense
QUOTA: Final = "exceeded quota"
"""Words of a 403 that is about a quota and not about permissions (admission plugin ResourceQuota)."""


class Writer:
    """Runs many writes at once.

    post : takes the answers. in_flight : writes under way at once, fewer while the server is slow; more wait in order.
    limit_s : how long the server may work on one write. A write is over (1 + PATIENCE) times this after it was let
    through, so the fence has to close that long before the lease can pass on.
    release_s : how long a release is tried, from its submission on.
    `forbidden` is the API server's last refusal for want of permission, until a write succeeds.
    `slots` : of the writes under way.
    `reports` : what people read; it is written while the writer runs.
    """

    def __init__(
        self,
        client: Client,
        post: Callable[[Event], None],
        fence: Fence,
        in_flight: int = 128,
        limit_s: float = 5.0,
        release_s: float = RELEASE_S - 5.0,
        machine: Machine | None = None,
    ) -> None:
        machine = machine or Machine()
        self.forbidden = ""
        self.deposed = False  # the lease is lost: what the fence holds back now, it holds back for good
        self._client = client
        self._post = post
        self._fence = fence
        self.slots = Slots(in_flight, limit_s / 2, machine.clock)
        self._turns: Turns[ReserveClaim, Claim | ApiError] = Turns(self._reserve)
        self._limit_s = limit_s
        self.patience_s = PATIENCE * limit_s
        self._query = f"timeout={limit_s:g}s"
        self._release_s = release_s
        self._clock = machine.clock
        self._now = machine.timestamp
        self._random = machine.random
        self._tasks: set[asyncio.Task[Any]] = set()
        self._doubtful_until = float("-inf")  # a write that nobody waits for any more may be applied until then
        self._releases: dict[Uid, list[asyncio.Task[None]]] = {}  # by claim, in the order in which they run
        self._failed: asyncio.Future[None] | None = None
        self.reports = Reports(self._send_in_time, limit_s, self.patience_s, machine)

    # ------------------------------------------------------------ work

    def submit(self, write: Write) -> None:
        """Begin a write; its answer is posted. A claim that is used again is released no further."""
        if isinstance(write, Release):
            self._submit_release(write)
            return
        if isinstance(write, WriteAllocation | ReserveClaim | BindVolume | SelectNode):
            for release in self._releases.get(write.claim.uid, ()):
                log.info("claim %s/%s is used again: its release ends", write.claim.namespace, write.claim.name)
                release.cancel()
        self._begin(self._execute(write))

    async def run(self) -> None:
        """Write reports until cancelled; raises what a write raised that is no answer of the API server."""
        self._failed = asyncio.get_running_loop().create_future()
        reporters = [asyncio.ensure_future(self.reports.run()) for _ in range(_REPORTERS)]
        try:
            done, _ = await asyncio.wait([self._failed, *reporters], return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                future.result()
        finally:
            for reporter in reporters:
                reporter.cancel()

    async def supersede(self, claims: Iterable[ClaimRef]) -> bool:
        """Take half-written claims back, so that what somebody else may still send for them comes too late.

        Whoever was to allocate them carries the resourceVersion at which they had our finalizer, so any change stops
        him. Returns whether one of them was changed by others meanwhile: what was known of them is out of date then.
        What cannot be written in the time that a release has is left, and told in the log.
        """
        until = asyncio.get_running_loop().time() + self._release_s
        return any(await asyncio.gather(*[self._begin(self._supersede(claim, until)) for claim in claims]))

    async def _supersede(self, claim: ClaimRef, until: float) -> bool:
        path = _claim_path(claim)
        version = claim.resource_version
        changed = False

        async def take_back() -> None:
            nonlocal version, changed
            if changed:
                found = _decoded(Claim, await self._read(path))
                if found.uid != claim.uid or found.allocation is not None or not found.finalized:
                    return
                version = found.resource_version
            changed = True  # as far as is known until it is written
            body = encode.unfinalize_patch(claim.uid, version)
            await self._send("PATCH", f"{path}?{self._query}", body, STRATEGIC_PATCH)
            changed = version != claim.resource_version

        told = f"claim {claim.namespace}/{claim.name} not taken back from an earlier leader"
        await self._persist(take_back, until, told)
        return changed

    async def _persist(self, once: Callable[[], Coroutine[Any, Any, None]], until: float, told: str) -> None:
        """Try until it is done or its object is gone. That it is refused for good, or that time is up, is logged.

        The fence may open again: a renewal that comes late is no lost lease. What found no answer waits behind all
        others from then on, lest what never finds one take all slots.
        """
        problem = "no answer"
        lane = self.slots.ends
        wait = self._limit_s / 50
        try:
            async with asyncio.timeout_at(until):
                while True:
                    try:
                        await self._let_through()
                        async with lane:
                            await once()
                        return
                    except ApiError as error:
                        if error.cause == "gone":
                            return
                        if error.cause in {"forbidden", "invalid"}:
                            log.error("%s: %s", told, error)
                            return
                        if error.status == NOT_SENT and self.deposed:
                            log.info("%s: %s", told, error)
                            return
                        problem = str(error)
                        if error.doubtful:
                            lane = self.slots.begins
                    await asyncio.sleep(wait * self._random.uniform(0.5, 1.0))
                    wait = min(2 * wait, _LONGEST_WAIT_S)
        except TimeoutError:
            log.error("%s in time: %s", told, problem)

    def abandon(self) -> None:
        """Wait for no more answers; what was sent may be applied."""
        for task in self._tasks:
            task.cancel()

    @property
    def settled(self) -> bool:
        """Whether nothing is under way, and nothing that was sent can still be applied without anybody's knowing."""
        return not self._tasks and not self.reports.under_way and self._clock() >= self._doubtful_until

    @property
    def idle(self) -> bool:
        """Whether everything is settled, and nothing waits to be written."""
        return self.settled and self.reports.idle

    @property
    def writing(self) -> int:
        """Writes under way or waiting for a slot."""
        return len(self._tasks)

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def _execute(
        self, write: WriteAllocation | CreateClaim | ReserveClaim | BindVolume | SelectNode | BindPod
    ) -> None:
        answer: ClaimWritten | ClaimRefused | VolumeWritten | VolumeRefused | PodBound | BindRefused
        if isinstance(write, ReserveClaim):
            answer = await self._in_turn(write)
        elif isinstance(write, BindPod):
            # Not kept until the fence opens but decided again: what was seen of others meanwhile may forbid it.
            async with self.slots.ends:
                answer = await self._bind(write)
        else:
            async with self.slots.begins:
                await self._let_through()
                if isinstance(write, WriteAllocation):
                    answer = await self._allocate(write)
                elif isinstance(write, CreateClaim):
                    answer = await self._create(write)
                else:
                    answer = await self._mount(write)
        if isinstance(answer, ClaimRefused | VolumeRefused | BindRefused):
            level = (
                logging.INFO if answer.cause in {"conflict", "gone"} or not self._fence.allows() else logging.WARNING
            )
            log.log(level, "write refused (%s): %s", answer.cause, answer.message)
        self._post(answer)

    async def _send(self, method: str, path: str, body: bytes, content_type: str) -> bytes:
        begun = self._clock()
        try:
            answer = await self._noted(
                self._client.request(method, path, body, content_type, self.patience_s, permitted=self._fence.allows)
            )
        except (ApiError, asyncio.CancelledError) as error:
            if not isinstance(error, ApiError) or error.doubtful:
                self._doubtful_until = self._clock() + self.patience_s
            raise
        finally:
            self.slots.answered(begun)
        self.forbidden = ""
        return answer if content_type == PROTOBUF else _whole(answer)

    async def _send_in_time(self, method: str, path: str, body: bytes, content_type: str) -> None:
        await self._send(method, f"{path}?{self._query}", body, content_type)

    async def _read(self, path: str, accept: str = JSON) -> bytes:
        answer = await self._noted(self._client.request("GET", path, timeout=self.patience_s, accept=accept))
        return answer if accept == PROTOBUF else _whole(answer)

    async def _let_through(self) -> None:
        """Wait while the fence is closed and may open again: a renewal that comes late is no lost lease."""
        while not self._fence.allows() and not self.deposed:
            await asyncio.sleep(self._limit_s / 20)

    async def _noted(self, request: Coroutine[Any, Any, bytes]) -> bytes:
        try:
            return await request
        except ApiError as error:
            if error.cause == "forbidden" and QUOTA not in error.message:
                self.forbidden = error.message
            raise

    # ------------------------------------------------------------ claims

    async def _allocate(self, write: WriteAllocation) -> ClaimWritten | ClaimRefused:
        claim, pod = write.claim, write.pod
        path = _claim_path(claim)
        version = claim.resource_version

        def refuse(error: ApiError) -> ClaimRefused:
            return ClaimRefused(pod.uid, claim.uid, error.cause, error.message)

        def finalized(found: Claim) -> str | None:
            if found.allocation is not None:
                raise ApiError("conflict", 0, f"claim {claim.namespace}/{claim.name} was allocated meanwhile")
            return found.resource_version if found.finalized else None

        def allocated(found: Claim) -> Claim | None:
            if found.allocation is None:
                return None
            if not _same(found.allocation, write.allocation) or not found.reserved_by(write.consumer.uid):
                raise ApiError("conflict", 0, f"claim {claim.namespace}/{claim.name} was allocated otherwise")
            return found

        try:
            if not claim.finalized:
                version = await self._add(
                    claim,
                    "",
                    encode.finalizer_patch(claim),
                    protobuf.finalizer(claim),
                    lambda raw: decode.identity(raw).resource_version,
                    finalized,
                )
                await self._let_through()
            begun = self._clock()
            body = encode.allocation_patch(claim.uid, version, write.allocation, write.consumer, self._now())
            try:
                raw = await self._send("PATCH", f"{path}/status?{self._query}", body, MERGE_PATCH)
                return ClaimWritten(pod.uid, _decoded(Claim, raw))
            except ApiError as error:
                return ClaimWritten(pod.uid, await self._settle_claim(error, begun, claim, version, allocated))
        except ApiError as error:
            return refuse(error)

    async def _create(self, write: CreateClaim) -> ClaimWritten | ClaimRefused:
        pod = write.pod
        uid = write.special.claim.uid
        try:
            found = await self._post_claim(write)
            uid = found.uid
            self._post(ClaimCreated(pod.uid, found))
            claim = ClaimRef(found.namespace, found.name, uid, found.resource_version, found.finalized)
            answer = await self._allocate(WriteAllocation(pod, claim, write.allocation, pod.consumer))
            if isinstance(answer, ClaimWritten):
                await self._name_claim(write, found.name)
        except ApiError as error:
            return ClaimRefused(pod.uid, uid, error.cause, error.message)
        return answer

    async def _post_claim(self, write: CreateClaim) -> Claim:
        """The claim as the API has it. Raises ApiError if there is none, or none that is ours."""
        wanted = write.special.claim
        path = f"/apis/resource.k8s.io/v1/namespaces/{wanted.namespace}/resourceclaims"
        begun = self._clock()

        def look(raw: bytes) -> Claim:
            found = _decoded(Claim, raw)
            if found.owner != write.pod.uid or found.spec != wanted.spec or found.allocation or found.deleting:
                raise ApiError("conflict", 0, f"another claim is named {found.key}")
            return found

        try:
            body = encode.special_claim(wanted, write.pod)
            return _decoded(Claim, await self._send("POST", f"{path}?{self._query}", body, JSON))
        except ApiError as error:
            if not error.doubtful:
                raise
            return await self._settle(error, begun, f"{path}/{wanted.name}", look, fresh=True)

    async def _name_claim(self, write: CreateClaim, name: str) -> None:
        """Set the pod's status. Raises ApiError."""
        pod = write.pod
        path = pod_path(pod)
        begun = self._clock()

        def look(raw: bytes) -> bool | None:
            found = _decoded(Pod, raw)
            if found.uid != pod.uid:
                raise ApiError("gone", 404, f"pod {found.key} was replaced by another one of its name")
            return found.extended_claim == name or None

        try:
            body = encode.special_claim_patch(pod, name, write.special.mappings)
            await self._send("PATCH", f"{path}/status?{self._query}", body, STRATEGIC_PATCH)
        except ApiError as error:
            if not error.doubtful:
                raise
            await self._settle(error, begun, path, look)

    async def _in_turn(self, write: ReserveClaim) -> ClaimWritten | ClaimRefused:
        """Those that wait for their turn take no slot from others."""
        claim, pod = write.claim, write.pod
        answer = await self._turns.add(claim.uid, claim.resource_version, write)
        if isinstance(answer, ApiError):
            return ClaimRefused(pod.uid, claim.uid, answer.cause, answer.message)
        return ClaimWritten(pod.uid, answer)

    async def _reserve(self, version: str, writes: Sequence[ReserveClaim]) -> tuple[Sequence[Claim | ApiError], str]:
        """Add the consumers of all these writes, which are to one claim, at once."""
        found = await self._reserve_for(version, writes)
        if not isinstance(found, ApiError):
            return [found] * len(writes), found.resource_version
        if found.cause != "invalid" or len(writes) == 1:
            return [found] * len(writes), ""
        # One consumer that the server does not take keeps nobody else out.
        answers: list[Claim | ApiError] = []
        left = ""
        for write in writes:
            found = await self._reserve_for(left or version, [write])
            answers.append(found)
            if not isinstance(found, ApiError):
                left = found.resource_version
        return answers, left

    async def _reserve_for(self, version: str, writes: Sequence[ReserveClaim]) -> Claim | ApiError:
        claim = replace(writes[0].claim, resource_version=version)
        consumers = {write.consumer.uid: write.consumer for write in writes}

        def reserved(found: Claim) -> Claim | None:
            return found if all(map(found.reserved_by, consumers)) else None

        try:
            async with self.slots.begins:
                await self._let_through()
                return await self._add(
                    claim,
                    "/status",
                    encode.reservation_patch(claim, consumers.values()),
                    protobuf.reservation(claim, consumers.values()),
                    partial(_decoded, Claim),
                    reserved,
                )
        except ApiError as error:
            return error

    async def _add(
        self,
        claim: ClaimRef,
        part: str,
        patch: bytes,
        addition: bytes,
        read: Callable[[bytes], T],
        judge: Callable[[Claim], T | None],
    ) -> T:
        """Add to a claim, or to `part` of it, and settle that; returns what `read` makes of the answer.

        By a patch; where the server says that this rewrites what may not change, by the same `addition` to the claim's
        own bytes. What is wrong for another reason is refused once more, for that reason.
        """
        path = _claim_path(claim)
        where = f"{path}{part}?{self._query}"
        begun = self._clock()
        try:
            try:
                return read(await self._send("PATCH", where, patch, STRATEGIC_PATCH))
            except ApiError as error:
                if error.status != _UNPROCESSABLE:
                    raise
                refusal = error
            whole = await self._read(path, PROTOBUF)
            begun = self._clock()
            return read(await self._put(where, whole, addition, refusal))
        except ApiError as error:
            return await self._settle_claim(error, begun, claim, claim.resource_version, judge)

    async def _put(self, where: str, whole: bytes, addition: bytes, refusal: ApiError) -> bytes:
        try:
            return await self._send("PUT", where, protobuf.added(whole, addition), PROTOBUF)
        except InputError as error:
            raise refusal from error
        except ApiError as error:
            if error.cause != "conflict":
                raise
            # A PUT is repeated by the HTTP library where a kept connection broke: its own first copy may be in the way.
            raise ApiError("unknown", error.status, error.message) from error

    async def _settle_claim(
        self, error: ApiError, begun: float, claim: ClaimRef, sent: str, judge: Callable[[Claim], T | None]
    ) -> T:
        """What `judge` finds in the claim as it is now; `sent` is the resourceVersion that the write carried."""

        if not error.doubtful:
            raise error

        def look(raw: bytes) -> T | None:
            found = _decoded(Claim, raw)
            if found.uid != claim.uid:
                raise ApiError("gone", 404, f"claim {found.key} was replaced by another one of its name")
            verdict = judge(found)
            if verdict is None and found.resource_version != sent:
                # Whatever moved it on, the write that carried the old version can no longer be applied.
                raise ApiError("conflict", 0, f"claim {found.key} was changed meanwhile ({error.message})")
            return verdict

        return await self._settle(error, begun, _claim_path(claim), look)

    async def _settle(
        self, error: ApiError, begun: float, path: str, look: Callable[[bytes], T | None], *, fresh: bool = False
    ) -> T:
        """Find out whether a write was applied. Raises `error`, or what excludes it, if it was not.

        fresh : the write was to make the object, so that it may not be there yet.
        """
        wait = self._limit_s / 50
        while True:
            asked = self._clock()
            try:
                verdict = look(await self._read(path))
            except ApiError as refusal:
                # Known only when something was read; an outage is waited out, with the objects held as they are.
                if refusal.cause in {"conflict", "invalid"} or (refusal.cause == "gone" and not fresh):
                    raise
                verdict, known = None, refusal.cause == "gone"
            else:
                known = True
            if verdict is not None:
                return verdict
            if known and asked >= begun + self.patience_s:
                raise error
            await asyncio.sleep(wait * self._random.uniform(0.5, 1.0))
            wait = min(2 * wait, _LONGEST_WAIT_S)

    def _submit_release(self, write: Release) -> None:
        until = asyncio.get_running_loop().time() + self._release_s
        releases = self._releases.setdefault(write.claim.uid, [])
        # One by one: of two at once each would see the other's pod, and the last to leave a claim has to free it.
        task = self._begin(self._release(write, until, releases[-1] if releases else None))
        releases.append(task)

        def ended(task: asyncio.Task[None]) -> None:
            releases.remove(task)
            if not releases:
                del self._releases[write.claim.uid]

        task.add_done_callback(ended)

    async def _release(self, write: Release, until: float, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before}, timeout=max(0.0, until - asyncio.get_running_loop().time()))
        told = f"claim {write.claim.namespace}/{write.claim.name} not released for pod {write.pod.name}"
        if isinstance(write, DeleteClaim):
            await self._persist(partial(self._delete_once, write), until, told)
        elif isinstance(write, UnbindVolume):
            await self._persist(partial(self._free_once, write), until, f"volume of {told}")
        elif isinstance(write, UnselectNode):
            await self._persist(partial(self._unselect_once, write), until, f"volume {told}")
        else:
            await self._persist(partial(self._release_once, write), until, told)

    async def _release_once(self, write: ReleaseClaim) -> None:
        path = _claim_path(write.claim)
        found = _decoded(Claim, await self._read(path))
        if found.uid != write.claim.uid:
            return
        others = any(consumer.uid != write.consumer.uid for consumer in found.reserved_for)
        # Who deletes a claim has the cluster's controller clear it, once no pod is left in it.
        if write.deallocate and not others and not found.deleting:
            if found.allocation is None:
                return
            body, content_type = encode.deallocate_patch(found.uid, found.resource_version), MERGE_PATCH
        else:
            if not found.reserved_by(write.consumer.uid):
                return
            body = encode.unreserve_patch(found.uid, found.resource_version, write.consumer.uid)
            content_type = STRATEGIC_PATCH
        await self._send("PATCH", f"{path}/status?{self._query}", body, content_type)

    async def _delete_once(self, write: DeleteClaim) -> None:
        path = _claim_path(write.claim)
        found = _decoded(Claim, await self._read(path))
        if found.uid == write.claim.uid and not found.deleting:
            # Marked first: what holds devices keeps its finalizer until it goes, and may be interrupted here.
            await self._send("DELETE", f"{path}?{self._query}", encode.deletion(found.uid), JSON)
            if not found.finalized:
                return
            found = _decoded(Claim, await self._read(path))
        if found.uid == write.claim.uid and found.finalized:
            body = encode.unfinalize_patch(found.uid, found.resource_version)
            await self._send("PATCH", f"{path}?{self._query}", body, STRATEGIC_PATCH)

    # ------------------------------------------------------------ volumes

    async def _mount(self, write: BindVolume | SelectNode) -> VolumeWritten | VolumeRefused:
        try:
            if isinstance(write, BindVolume):
                body, sent = encode.volume_patch(write), write.volume
                version = await self._patch_stored(_volume_path(sent), body, sent, partial(_keeps, write))
            else:
                sent = write.claim
                body = encode.selected_node_patch(sent, sent.resource_version, write.node)
                version = await self._patch_stored(_volume_claim_path(sent), body, sent, partial(_is_for, write))
        except ApiError as error:
            return VolumeRefused(write.pod.uid, write.claim.uid, error.cause, error.message)
        return VolumeWritten(write.pod.uid, write.claim.uid, version)

    async def _patch_stored(self, path: str, body: bytes, sent: StorageRef, applied: Callable[[bytes], bool]) -> str:
        """Patch an object; its resourceVersion then. Raises ApiError if that was not applied."""
        begun = self._clock()

        def look(raw: bytes) -> str | None:
            found = decode.identity(raw)
            if found.uid != sent.uid:
                raise ApiError("gone", 404, f"{found.key} was replaced by another one of its name")
            if applied(raw):
                return found.resource_version
            if found.resource_version != sent.resource_version:
                raise ApiError("conflict", 0, f"{found.key} was changed meanwhile")
            return None

        try:
            raw = await self._send("PATCH", f"{path}?{self._query}", body, MERGE_PATCH)
            return decode.identity(raw).resource_version
        except ApiError as error:
            if not error.doubtful:
                raise
            return await self._settle(error, begun, path, look)

    async def _free_once(self, write: UnbindVolume) -> None:
        path = _volume_path(write.volume)
        found = _decoded(PersistentVolume, await self._read(path))
        # From its phase Bound on the cluster's controller is binding the two, and finishes that.
        ours = found.uid == write.volume.uid and found.holder is not None and found.holder.uid == write.claim.uid
        if ours and found.phase in {"", "Pending", AVAILABLE}:
            body = encode.free_volume_patch(write, found.resource_version)
            await self._send("PATCH", f"{path}?{self._query}", body, MERGE_PATCH)

    async def _unselect_once(self, write: UnselectNode) -> None:
        path = _volume_claim_path(write.claim)
        found = _decoded(PersistentVolumeClaim, await self._read(path))
        if found.uid == write.claim.uid and not found.volume and found.selected_node == write.node:
            body = encode.selected_node_patch(write.claim, found.resource_version, None)
            await self._send("PATCH", f"{path}?{self._query}", body, MERGE_PATCH)

    # ------------------------------------------------------------ pods

    async def _bind(self, write: BindPod) -> PodBound | BindRefused:
        pod = write.pod
        path = pod_path(pod)
        begun = self._clock()

        def look(raw: bytes) -> str | None:
            found = _decoded(Pod, raw)
            if found.uid != pod.uid:
                raise ApiError("gone", 404, f"pod {found.key} was replaced by another one of its name")
            if found.node_name and found.node_name != write.node:
                raise ApiError("conflict", 0, f"pod {found.key} was bound to {found.node_name} by another")
            return found.node_name or None

        published = ""
        try:
            if write.taken is not None:
                body = encode.taken_patch(pod, write.taken)
                raw = await self._send("PATCH", f"{path}/status?{self._query}", body, MERGE_PATCH)
                published = decode.identity(raw).resource_version
            try:
                body = encode.binding(pod, write.node, write.annotations)
                await self._send("POST", f"{path}/binding?{self._query}", body, JSON)
            except ApiError as error:
                if error.cause == "conflict":
                    begun = float("-inf")  # may mean that the pod has our binding already: one look tells
                elif not error.doubtful:
                    raise
                await self._settle(error, begun, path, look)
        except ApiError as error:
            if published:
                await self._take_back(pod, published)
            return BindRefused(pod.uid, error.cause, error.message)
        return PodBound(pod.uid, write.node)

    async def _take_back(self, pod: PodRef, published: str) -> None:
        """A pod that is not bound takes nothing of a node. Best effort: the next attempt says it anew."""
        try:
            body = encode.taken_patch(pod, "[]", published)
            await self._send("PATCH", f"{pod_path(pod)}/status?{self._query}", body, MERGE_PATCH)
        except ApiError as error:
            log.info("pod %s/%s: what its devices take is left in its status: %s", pod.namespace, pod.name, error)


def _whole(answer: bytes) -> bytes:
    """An answer that is JSON from end to end. What else there is, such as half of one, tells nothing: ApiError."""
    try:
        msgspec.json.decode(answer, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        raise ApiError("unknown", 0, f"an answer cannot be read: {error}") from error
    return answer


def _claim_path(claim: ClaimRef) -> str:
    return f"/apis/resource.k8s.io/v1/namespaces/{claim.namespace}/resourceclaims/{claim.name}"


def _volume_path(volume: StorageRef) -> str:
    return f"/api/v1/persistentvolumes/{volume.name}"


def _volume_claim_path(claim: StorageRef) -> str:
    return f"/api/v1/namespaces/{claim.namespace}/persistentvolumeclaims/{claim.name}"


def _decoded(model: type[T], raw: bytes) -> T:
    """An object as the API has it. Raises ApiError if it cannot be read."""
    try:
        found = decode.decode(_KINDS[model], raw)
    except InputError as error:
        raise ApiError("invalid", 0, str(error)) from error
    assert isinstance(found, model)
    return found


def _keeps(write: BindVolume, raw: bytes) -> bool:
    """Whether a volume is kept for the claim."""
    holder = _decoded(PersistentVolume, raw).holder
    return holder is not None and holder.uid == write.claim.uid


def _is_for(write: SelectNode, raw: bytes) -> bool:
    """Whether a claim is to get its volume on the node."""
    return _decoded(PersistentVolumeClaim, raw).selected_node == write.node


def _same(found: Allocation, ours: Allocation) -> bool:
    """Whether two allocations give the same devices to the same requests."""
    return sorted((result.request, result.identity, result.share_id or "") for result in found.results) == sorted(
        (result.request, result.identity, result.share_id or "") for result in ours.results
    )
