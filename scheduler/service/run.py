"""`dovetail run`: reflectors, engine, writer, election and what is served over HTTP in one asyncio loop.

Everything reaches the engine through one inbox, in order of arrival; only a leader decides. Whatever ends unexpectedly
ends the process, which finishes its writes and gives the lease back first: a fresh start from a list is the repair. So
it is after a lost lease, within the same process.
"""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from scheduler.cluster import decode, encode
from scheduler.cluster.client import ApiError, Client
from scheduler.cluster.discovery import Served, discover
from scheduler.cluster.lease import Fence, LeaseFence, LeaseLock, LeaseTiming, OpenFence, lead
from scheduler.cluster.machine import Machine
from scheduler.cluster.watch import Reflector, Watched
from scheduler.cluster.watch import Timing as WatchTiming
from scheduler.cluster.write import PATIENCE, Write, Writer
from scheduler.core import names, plan
from scheduler.core.cel import compile_selector
from scheduler.core.engine import Engine
from scheduler.core.errors import ConfigError, DovetailError, InputError, NotNowError, printable
from scheduler.core.explain import to_json
from scheduler.core.gates import Gates
from scheduler.core.messages import (
    AuditDue,
    Event,
    Gone,
    Instruction,
    Kind,
    Listed,
    PodRef,
    Reconfigured,
    RecordDecision,
    RecordUnplaced,
    Rejected,
    Report,
    ReportUnschedulable,
    ScoreRemotely,
    Seen,
    Slow,
    WarnOfTopology,
    Won,
)
from scheduler.core.model import Pod, Uid
from scheduler.service.access import Access
from scheduler.service.aside import Aside
from scheduler.service.command import exit_code, signalled
from scheduler.service.debug import Debug
from scheduler.service.extender import PLACE, Extender
from scheduler.service.http import Check, Listener
from scheduler.service.journeys import Journeys
from scheduler.service.loop import Loop
from scheduler.service.metrics import Metrics, Own
from scheduler.service.permissions import SelfCheck, needed
from scheduler.service.record import Recorder
from scheduler.service.reload import Reload
from scheduler.service.remote import RemoteScorers
from scheduler.service.scores import hold, open_scores
from scheduler.service.settings import SchedulerConfig, load
from scheduler.service.tls import Certificates
from scheduler.service.tracing import tracing
from scoring.extender.server import Scoring

log = logging.getLogger("dovetail")

_NEWS_S: Final = 1.0  # news of the configuration are told no faster
_STALE_S: Final = 120.0
_BROKEN_S: Final = 10.0
_AUDIT_S: Final = 600.0  # between two audits of what is known
_STUCK_S: Final = 60.0  # events that wait this long while nothing is taken in: the loop is not alive
_GRACE_S: Final = 15.0
_WRITES: Final = frozenset({"start", "writer", "decisions", "lease", "news of the configuration"})
_WARNINGS_AT_ONCE: Final = 50
_GATHER_S: Final = 0.015  # for how long events gather where writes have to wait for each other anyway
_GARBAGE: Final = 50_000  # objects more, and cycles are searched for; there are few, and a search reads all that waits


def main(kubeconfig: Path | None, config: Path | None) -> int:
    """Schedule until told to stop. Exit codes: see `exit_code`."""
    return exit_code(lambda: serve(kubeconfig, load(config), config))


def _tell(served: Served, gates: Gates) -> None:
    version = "an unknown version" if served.minor is None else f"1.{served.minor}"
    on = ", ".join(name for name, value in gates.by_name().items() if value)
    log.info("Kubernetes %s; feature gates that are on: %s", version, on)


async def serve(kubeconfig: Path | None, settings: SchedulerConfig, file: Path | None = None) -> int:
    """Run against a cluster until SIGTERM or SIGINT; returns the exit code. file : whose changes are followed."""
    gc.set_threshold(_GARBAGE, *gc.get_threshold()[1:])
    stop = signalled()
    client = await Client.connect(kubeconfig)
    reload = Reload(settings)
    lease_client = client.sibling(4)  # a renewal must not queue behind two hundred writes
    try:
        while True:
            process = Process(settings, client, lease_client, reload=reload, file=file)
            code = await process.run(stop)
            if code == 0 or not process.lease_lost:
                return code
            # As in a new process: nothing that was decided under the old lease is kept.
            log.warning("the lease was lost: starting over as a standby")
    finally:
        await client.close()
        await lease_client.close()


class Process:
    """All parts of one scheduler process, and their end."""

    def __init__(
        self,
        settings: SchedulerConfig,
        client: Client,
        lease_client: Client,
        watch_timing: WatchTiming | None = None,
        reload: Reload | None = None,
        file: Path | None = None,
        machine: Machine | None = None,
        aside: Callable[[Callable[[Event], None]], Aside] = Aside,
    ) -> None:
        self.settings = settings
        self._machine = machine or Machine()
        self.audit_s = _AUDIT_S
        self.drift: Counter[str] = Counter()
        clock = self._clock = self._machine.clock
        self.ours = settings.engine().scheduler_names
        self.reload = reload or Reload(settings)
        self._file = file
        self.client = client
        self.patience_s = 3.0
        self.lease_lost = False
        election = settings.leader_election
        self.timing = LeaseTiming(election.lease_seconds, election.renew_seconds, election.retry_seconds)
        limit_s = election.lease_seconds / 5
        self.fence: Fence = OpenFence()
        self.lock: LeaseLock | None = None
        if election.enabled:
            self.fence = LeaseFence((1 + PATIENCE) * limit_s, clock)
            self.lock = LeaseLock(lease_client, self.fence, self.timing, self._machine)
        self.leading = asyncio.Event()
        self.recorder: Recorder | None = None
        self.engine: Engine | None = None  # made once the cluster has told its version
        self.metrics = Metrics(settings.scheduler_name, self._own)
        self.debug = Debug(
            lambda: self.engine, lambda: {"hash": self.reload.active_hash, **self.reload.active.effective()}
        )
        self.tracing = tracing(settings.tracing)
        observers = [each for each in (self.metrics, self.tracing) if each is not None]
        self.journeys = Journeys(self.ours, observers)
        client.heard = self.metrics.request
        self.loop = Loop(
            self._submit, self.fence, clock, self._machine.wall, decided=self.metrics.cycle,
            gather_s=self._gather_s, room=lambda: self.writer.slots.room,
        )  # fmt: skip
        self.writer = Writer(client, self._hear, self.fence, settings.writes_in_flight, limit_s, machine=self._machine)
        self.aside = aside(self._hear)
        self.remote = RemoteScorers(settings.remote_scorers, self._hear)
        self._reviews: Client | None = None  # asks who may read metrics
        self._shown: dict[str, Certificates | None] = {}  # by listener
        self.scoring: Scoring | None = None  # where others are served scores over gRPC
        http = settings.extender.http
        self.extender: Extender | None = None
        if http.enabled:
            self.extender = Extender(http, lambda: self.engine, self.outdated, self.loop.heard, self._submit)
            self.extender.answered = self.metrics.question
        self.permissions = SelfCheck(client)
        self.reflectors: list[Reflector] = []
        self._watch_timing = watch_timing or WatchTiming()
        self._unreadable: dict[Uid, ReportUnschedulable] = {}
        self._tasks: dict[asyncio.Task[Any], str] = {}
        self._part_ended = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> int:
        """Until `stop`, or until a part fails; returns the exit code."""
        stopping = asyncio.create_task(stop.wait())
        ending = asyncio.create_task(self._part_ended.wait())
        code = 1
        try:
            self._begin("start", self._start())
            while True:
                # Parts begin while this waits, and each of them may end it.
                await asyncio.wait({stopping, ending}, return_when=asyncio.FIRST_COMPLETED)
                if stopping.done():
                    log.info("stopping")
                    code = 0
                    break
                self._part_ended.clear()
                ending = asyncio.create_task(self._part_ended.wait())
                if failed := [name for task in list(self._tasks) if task.done() and (name := self._ended(task))]:
                    log.error("ending, since this did: %s", ", ".join(failed))
                    break
            return code
        finally:
            stopping.cancel()
            ending.cancel()
            await self._finish(_GRACE_S if code == 0 else _GRACE_S / 3)

    def _begin(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks[task] = name
        task.add_done_callback(lambda _: self._part_ended.set())

    def _ended(self, task: asyncio.Task[Any]) -> str:
        """The name of a part that should not have ended; says why."""
        name = self._tasks.pop(task)
        error = task.exception()
        if error is None and name == "start":
            return ""
        if isinstance(error, ConfigError):
            raise error
        if isinstance(error, DovetailError):
            log.error("%s: %s", name, error)
        elif error is not None:
            log.error("%s failed", name, exc_info=error)
        return name

    async def _start(self) -> None:
        await self._listen()
        if self.settings.extender.grpc.enabled:
            listener, self.scoring, self._shown["extender.grpc"] = await open_scores(self.reload.active)
            self._begin("scores over gRPC", hold(listener))
        if self.extender is not None:
            await self.extender.open()
            self._begin("extender", self.extender.hold())
        served = await self._discover()
        config = self.reload.active.engine(served.minor)
        kinds = served.watched(config.gates)
        _tell(served, config.gates)
        map_ = self.settings.config_map
        wanted = needed(served, config.gates, election=self.lock is not None, config_map=(map_.namespace, map_.name))
        await self.permissions.passed(wanted)
        self.writer.reports.events = self.permissions.allows("create", "events")
        self.engine = Engine(config)
        self.metrics.watch(self.engine)
        self._begin("writer", self.writer.run())
        self._begin("slow work", self.aside.run())
        self._begin("remote scorers", self.remote.run())
        record = self.reload.active.record
        if record.path:
            self.recorder = Recorder(self.engine, record, self.reload.active, served.minor)
        self._begin("decisions", self.loop.run(self.recorder or self.engine))
        if self.lock is None:
            self.leading.set()
        else:
            self._begin("lease", self._lead(self.lock))
            # A list begun after the lease was won needs no repetition; a standby lists now and again when it wins.
            known = [asyncio.ensure_future(each.wait()) for each in (self.leading, self.lock.held)]
            try:
                await asyncio.wait(known, timeout=self.patience_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in known:
                    each.cancel()
            if not self.leading.is_set():
                log.info("another process leads; standing by")
        won = self._clock() if self.leading.is_set() else None
        read = self.recorder.read if self.recorder is not None else decode.decode
        for watched in kinds:
            reflector = self._reflector(watched, self._post, read)
            self.reflectors.append(reflector)
            self._begin(f"watch of {watched.kind}", reflector.run())
        self._follow_configuration(served)
        compile_selector("true")  # builds the parser of selectors now, and not before the first pod
        for reflector in self.reflectors:
            await reflector.listed.wait()
        self.loop.post(Listed())
        self._begin("audit", self._audit())
        log.info("all of %s listed", ", ".join(watched.kind for watched in kinds))
        await self.leading.wait()
        if won is None:
            won = self._clock()
            self.loop.post(Won())
            # What the last leader wrote right before its lease ended must be known before the first decision.
            for reflector in self.reflectors:
                reflector.relist()
        await self._listed_since(won)
        await self._supersede()
        self.loop.deciding = True
        self.loop.wake()
        for report in self._unreadable.values():
            self.writer.reports.put(report)
        log.info("deciding for schedulerName %s", ", ".join(sorted(self.ours)))

    async def _listed_since(self, begun: float) -> None:
        """Wait until everything was listed anew, and the engine knows it."""
        while any(reflector.listed_from < begun for reflector in self.reflectors):
            await asyncio.sleep(0.02)
        while self.loop.waiting:
            await self.loop.heard()

    async def _audit(self) -> None:
        """Now and then hold what is known against the cluster, so that nothing stays wrong or forgotten for long."""
        while True:
            await asyncio.sleep(self.audit_s * self._machine.random.uniform(0.9, 1.1))
            for reflector in self.reflectors:
                kind = reflector.watched.kind
                try:
                    found = await reflector.audit()
                except (ApiError, TimeoutError, InputError, msgspec.MsgspecError) as error:
                    log.info("%s: not audited: %s", kind, printable(str(error)))
                else:
                    self.drift[kind] += found or 0
            self.loop.post(AuditDue())

    async def _supersede(self) -> None:
        """See to it that no write of an earlier leader can still be applied, however late it is.

        The lease keeps him from sending one. But he may have been stopped between asking it and sending, for any time;
        and a late allocation would be of devices that by then are somebody else's.
        """
        assert self.engine is not None
        claims = self.engine.half_written()
        if not claims:
            return
        log.info("%d claims have our finalizer and no allocation: they are taken back first", len(claims))
        if await self.writer.supersede(claims):
            begun = self._clock()
            for reflector in self.reflectors:
                reflector.relist()
            await self._listed_since(begun)

    def _reflector(
        self, watched: Watched, post: Callable[[Any], None], read: Callable[[Kind, msgspec.Raw], Any]
    ) -> Reflector:
        seed = self._machine.random.getrandbits(64)
        return Reflector(self.client, watched, post, self._watch_timing, self._clock, seed, read, self._gather_s)

    def _gather_s(self) -> float:
        """For how long watches are left unread, and cycles are apart."""
        return _GATHER_S if self.writer.slots.crowded else 0.0

    def _follow_configuration(self, served: Served) -> None:
        """From here on a change of the configuration is an event like any other."""

        def apply(settings: SchedulerConfig) -> None:
            if self.recorder is not None:
                self.recorder.expect(settings)
            self.loop.post(Reconfigured(settings.engine(served.minor)))
            if self.scoring is not None:
                self.scoring.weigh(settings.vectors(), settings.profile)

        self.reload.attach(apply)
        map_ = self.settings.config_map
        lacking = {(each.resource, each.namespace, each.name) for each in self.permissions.without}
        watching = map_.name and not (self._file and ("configmaps", map_.namespace, map_.name) in lacking)
        if watching:
            path = f"/api/v1/namespaces/{map_.namespace}/configmaps"
            watched = Watched("ConfigMap", path, f"metadata.name={map_.name}", optional=True)
            reflector = self._reflector(watched, self.reload.seen, lambda _, raw: decode.config_text(raw))
            self.reflectors.append(reflector)
            self._begin(f"watch of ConfigMap {map_.name}", reflector.run())
        elif self._file is not None:
            self._begin("watch of the configuration file", self.reload.follow(self._file))
        self._begin("news of the configuration", self._tell_configuration())

    async def _tell_configuration(self) -> None:
        """Record what became of changes as events; of those that follow each other fast the last one."""
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": names.LEASE}
        while True:
            await self.reload.changed.wait()
            await self.leading.wait()
            self.reload.changed.clear()
            if not self.writer.reports.events:
                continue
            notice, source = self.reload.notice(), self.reload.source
            about = {**lease, "namespace": names.NAMESPACE}
            if source is not None:
                namespace, _, name = source.key.partition("/")
                about = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": namespace, "name": name}
                about |= {"uid": source.uid}
            now = self._machine.timestamp()
            body = encode.notice(about, (notice.type, notice.reason, "Reconfiguring"), notice.message, now)
            path = f"/api/v1/namespaces/{about['namespace']}/events"
            try:
                await self.client.request("POST", path, body, permitted=self.fence.allows)
            except ApiError as error:
                log.warning("event %s not written: %s", notice.reason, error)
            await asyncio.sleep(_NEWS_S)

    async def _lead(self, lock: LeaseLock) -> None:
        await lead(lock, self.timing, self.leading)
        self.lease_lost = self.writer.deposed = True
        self.loop.deciding = False
        raise NotNowError("the lease could not be renewed in time")

    async def _discover(self) -> Served:
        wait = 0.2
        while True:
            try:
                return await discover(self.client)
            except ApiError as error:
                log.warning("the API server does not answer: %s", error)
                await asyncio.sleep(wait)
                wait = min(2 * wait, 2.0)

    def _hear(self, event: Event) -> None:
        """Hand on what happened, and note it."""
        self.journeys.event(event, self._clock())
        self.metrics.event(event)
        self.loop.post(event)

    def _post(self, event: Event) -> None:
        """Hand on what was seen. A pod of ours that cannot be read never gets to a decision: its owner is told here."""
        self._hear(event)
        if isinstance(event, Rejected) and event.uid and event.scheduler in self.ours:
            namespace, _, name = event.key.rpartition("/")
            report = ReportUnschedulable(PodRef(namespace, name, event.uid), plan.MISCONFIGURED, event.problem)
            # The condition comes back as an update of the pod, with the same problem.
            if self._unreadable.get(event.uid) != report:
                self._unreadable[event.uid] = report
                if self.loop.deciding:
                    self.writer.reports.put(report)
        elif isinstance(event, Gone | Rejected):
            self._unreadable.pop(event.uid, None)
        elif isinstance(event, Seen) and isinstance(event.item, Pod):
            self._unreadable.pop(event.item.uid, None)

    def _submit(self, instruction: Instruction) -> None:
        self.journeys.instruction(instruction, self.loop.cycle, self._clock())
        self.metrics.instruction(instruction)
        if isinstance(instruction, Write):
            self.writer.submit(instruction)
        elif isinstance(instruction, Report):
            self.writer.reports.put(instruction)
        elif isinstance(instruction, Slow):
            self.aside.submit(instruction)
        elif isinstance(instruction, ScoreRemotely):
            self.remote.submit(instruction)
        elif isinstance(instruction, RecordDecision):
            self.debug.record(instruction.decision)
            if log.isEnabledFor(logging.DEBUG):
                log.debug("decision %s", to_json(instruction.decision))
        elif isinstance(instruction, RecordUnplaced):
            log.debug(
                "no place for %s: %s: %s", instruction.pod, instruction.outcome.token, instruction.outcome.message
            )
        elif isinstance(instruction, WarnOfTopology):
            for warning in instruction.warnings[:_WARNINGS_AT_ONCE]:
                log.warning("topology: %s", warning)
            if (more := len(instruction.warnings) - _WARNINGS_AT_ONCE) > 0:
                log.warning("topology: %d more warnings like these", more)

    async def _finish(self, grace_s: float) -> None:
        """Let writes in flight end, give the lease back, end the rest."""
        self.loop.deciding = False
        until = self._clock() + grace_s
        calm = 0
        while self._clock() < until and calm < 3:
            # A claim that was just written may be one watch event away from its pod's binding.
            calm = calm + 1 if self.writer.idle else 0
            await asyncio.sleep(0.05)
        written = self.writer.settled
        self.writer.abandon()
        # A listener may wait for its clients for long, and a successor for the lease: what could write ends first.
        await self._cancel([task for task, name in self._tasks.items() if name in _WRITES])
        if self.lock is not None:
            if written:
                await self.lock.release()
            else:
                log.warning("some writes may still be in flight: the lease is left to run out")
        await self._cancel(self._tasks)
        if self._reviews is not None:
            await self._reviews.close()
        if self.recorder is not None:
            await asyncio.to_thread(self.recorder.close)
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)

    @staticmethod
    async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
        tasks = list(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------ HTTP

    def alive(self) -> list[Check]:
        """What has to hold for this process to be worth keeping."""

        def turning() -> str:
            waited = self.loop.stuck()
            return f"events have waited for {waited:.0f} s" if waited > _STUCK_S else ""

        return [Check("loop", turning)]

    def ready(self) -> list[Check]:
        """What has to hold for this process to do its work now, or as soon as it leads."""
        return [
            Check("permissions", lambda: self.permissions.problem and f"not permitted: {self.permissions.problem}"),
            *self._views(),
            Check("writes", lambda: f"not permitted: {self.writer.forbidden}" if self.writer.forbidden else ""),
        ]

    def _views(self) -> list[Check]:
        """What has to hold for the state to be that of the cluster."""
        now = self._clock()

        def watching(reflector: Reflector) -> str:
            kind = reflector.watched.kind
            if not reflector.listed.is_set():
                return f"{kind} not listed yet"
            silent = now - reflector.heard
            return f"nothing heard of {kind} for {silent:.0f} s" if silent > _STALE_S else ""

        return [
            Check("cluster", lambda: "" if self.reflectors else "the cluster was not reached yet"),
            *(Check(f"watch {each.watched.kind}", partial(watching, each)) for each in self.reflectors),
        ]

    def outdated(self) -> str:
        """Why others must not be told what this process knows; empty when they may. It need not lead for that."""
        now = self._clock()
        broken = [
            f"the watch of {each.watched.kind} broke {now - each.heard:.0f} s ago"
            for each in self.reflectors
            if each.failed > each.heard and now - each.heard > _BROKEN_S
        ]
        return next((problem for problem in [*(check.problem() for check in self._views()), *broken] if problem), "")

    def _state(self) -> str:
        state = ("deciding" if self.loop.deciding else "standing by") + self.permissions.reservation
        return f"{state}; the last change of the configuration was refused" if self.reload.last_error else state

    async def _listen(self) -> None:
        if self.settings.http.port == 0:
            return
        self._reviews = self.client.sibling(4)  # where reviews are throttled, writes are not held up
        self._reviews.heard = self.metrics.request
        access = Access(self._reviews, self.settings.metrics.audiences)
        pages = {"/metrics": self._metrics, **self.debug.pages()}
        listener = Listener(self.settings.http, self.alive, self.ready, self._state, pages, access)
        await listener.open()
        self._shown["http"] = listener.certificates
        self._begin("http", listener.hold())

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=await self.metrics.scrape(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _certificates(self) -> dict[str, float]:
        of_extender = self.extender.certificates if self.extender is not None else None
        shown = {**self._shown, PLACE: of_extender}
        return {place: held.expires for place, held in shown.items() if held is not None}

    def _kinds(self, now: float) -> dict[str, tuple[float, bool]]:
        """As Own tells it; two watches of one kind count as the worse of them."""
        found: dict[str, tuple[float, bool]] = {}
        for each in self.reflectors:
            silent, listed = found.get(each.watched.kind, (0.0, True))
            found[each.watched.kind] = (max(silent, now - each.heard), listed and each.listed.is_set())
        return found

    def _own(self) -> Own:
        now = self._clock()
        return Own(
            deciding=self.loop.deciding,
            config_hash=self.reload.active_hash,
            profile=self.reload.active.profile,
            kinds=self._kinds(now),
            drift=self.drift,
            inbox=self.loop.waiting,
            writing=self.writer.writing,
            writes_limit=int(self.writer.slots.limit),
            dropped=self.writer.reports.dropped,
            failed=self.writer.reports.failed,
            assumed=self.journeys.assumed(now),
            circuits=self.remote.states,
            certificates=self._certificates(),
            accepted=self.reload.accepted,
            refused=self.reload.refused,
            current=not self.reload.last_error,
            restart=bool(self.reload.waiting),
        )
