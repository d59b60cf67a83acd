"""Everything that is told in numbers, in Prometheus' format: seconds and bytes, stable names, few values of each label.

Names of pods, claims, nodes and devices are never labels. Names of drivers, products and device classes are, up to a
number, and what is beyond is `other`. What is told of the cluster is told by the process that decides: a standby has
only its own figures, so that sums over replicas mean something.
"""

import asyncio
import platform
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from itertools import product
from typing import Final, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from scheduler.core import plan
from scheduler.core.census import Census, Figures, slowest_link
from scheduler.core.config import SOLVERS
from scheduler.core.engine import Engine
from scheduler.core.errors import printable
from scheduler.core.messages import (
    BindRefused,
    Cause,
    ClaimRefused,
    Event,
    Instruction,
    Kind,
    RecordDecision,
    RecordUnplaced,
    Rejected,
    ReportIgnored,
    Slow,
    Solved,
    VolumeRefused,
    WarnOfTopology,
    WindowSolved,
)
from scheduler.core.model import Uid
from scheduler.core.names import METRICS_PREFIX
from scheduler.core.solvers.search import NodeAnswer
from scheduler.service.journeys import CHANGED, STAGES, Journey

OTHER: Final = "other"
MAX_PRODUCTS: Final = 32
_LONGEST: Final = 64  # characters of a label's value
CENSUS_S: Final = 3.0  # a count that is not older is told again
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_REQUEST_SECONDS: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_GBPS: Final = (0, 12, 25, 50, 100, 200, 300, 450, 600, 900, 1800)
_GAPS: Final = (0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
_VERBS: Final = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_RESOURCES: Final = frozenset(
    {
        "pods", "pods/status", "pods/binding", "nodes", "events", "configmaps", "leases", "resourceclaims",
        "resourceclaims/status", "resourceslices", "deviceclasses", "devicetaintrules", "podgroups", "tokenreviews",
        "subjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectreviews",
    }
)  # fmt: skip
_QUEUES: Final = {
    "": "active",
    plan.ASKING: "active",
    plan.RETRY: "backoff",
}  # kube-scheduler's names; the rest is `unschedulable`
_TOKENS: Final = (
    plan.MISCONFIGURED, plan.UNSUPPORTED, plan.CLAIM_PENDING, plan.NO_FIT, plan.REFUSED, plan.POOL_INVALID, plan.RETRY,
)  # fmt: skip


def label(text: str) -> str:
    """As a label's value: nothing that steers a terminal or a page, and not long."""
    shown = printable(text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def call_of(method: str, path: str) -> tuple[str, str]:
    """Verb and resource of a request to the API server, of a bounded set each."""
    where, _, query = path.partition("?")
    parts = [part for part in where.split("/") if part]
    parts = parts[2:] if parts[:1] == ["api"] else parts[3:] if parts[:1] == ["apis"] else []
    named = parts[2:] if parts[:1] == ["namespaces"] and len(parts) > 2 else parts
    resource = "/".join((named[0], *named[2:])) if named else ""
    if resource not in _RESOURCES:
        return _VERBS.get(method, OTHER), OTHER
    verb = _VERBS.get(method, OTHER)
    if verb == "get" and len(named) == 1:
        verb = "watch" if "watch=true" in query else "list"
    return verb, resource


@dataclass(frozen=True, slots=True)
class Own:
    """What a process knows of itself at the moment. kinds : by kind, seconds since something was heard, and if listed.

    dropped, failed : events of pods that were not written. inbox : events that wait. writing : writes under way or
    waiting; writes_limit : how many may be under way at once now.
    circuits : of scorers of others, whether they are asked: closed, open or half-open.
    accepted, refused : changes of the configuration. current : whether the last one was accepted; restart : whether
    some of it waits for one. certificates : by listener, when its own one ends, in seconds since 1970.
    drift : by kind, how many objects audits found to be known otherwise than they are.
    """

    deciding: bool
    config_hash: str
    profile: str
    kinds: Mapping[str, tuple[float, bool]]
    inbox: int
    writing: int
    writes_limit: int
    dropped: int
    failed: int
    assumed: tuple[int, float]
    circuits: Mapping[str, str] = field(default_factory=dict)
    accepted: int = 0
    refused: int = 0
    current: bool = True
    restart: bool = False
    certificates: Mapping[str, float] = field(default_factory=dict)
    drift: Mapping[str, int] = field(default_factory=dict)


class Metrics:
    """All metrics of a process, in a registry of its own.

    own : asked at each scrape. profile : the schedulerName, which kube-scheduler's metrics call profile.
    """

    def __init__(self, profile: str, own: Callable[[], Own], clock: Callable[[], float] = time.monotonic) -> None:
        # Otherwise it is told of each series when it began, which nobody asks and doubles their number.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._clock = clock
        self._own = own
        self._profile = profile
        self._engine: Engine | None = None
        self._census: Census | None = None
        self._figures: Figures | None = None
        self._counted = float("-inf")
        self._counting = asyncio.Lock()
        self._attempts = self._counter(
            "attempts", "Attempts to schedule a pod that ended, by result and why.", "result", "reason"
        )
        self._kube_attempts = Counter(
            "scheduler_schedule_attempts_total",
            "Attempts to schedule pods, by result, as kube-scheduler counts them; profile is the schedulerName.",
            ("result", "profile"),
            registry=self.registry,
        )
        stages = self._histogram(
            "pod_stage_duration_seconds", "What pods that were bound spent in each stage.", _SECONDS, "stage"
        )
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        self._cycles = self._histogram("cycle_duration_seconds", "One cycle of decisions.", _REQUEST_SECONDS)
        self._requests = self._counter(
            "api_requests", "Requests to the API server, by its answer; <error>: there was none.",
            "verb", "resource", "code",
        )  # fmt: skip
        self._questions = self._counter(
            "extender_requests", "Requests to the HTTP extender, by verb and by how they ended.", "verb", "result"
        )
        self._question_seconds = self._histogram(
            "extender_request_duration_seconds", "How long they took.", _REQUEST_SECONDS, "verb"
        )
        self._request_seconds = self._histogram(
            "api_request_duration_seconds", "Until the API server answered; watches are not in it.", _REQUEST_SECONDS,
            "verb", "resource",
        )  # fmt: skip
        # Finding a series by its labels takes longer than counting in it.
        self._answers = cache(self._requests.labels)
        self._times = cache(self._request_seconds.labels)
        self._refused = self._counter(
            "writes_refused", "Writes of claims and bindings that the API server refused.", "write", "cause"
        )
        self._links = self._histogram(
            "placement_link_bytes_per_second",
            "Slowest direct link between the devices that a pod was given, where links are known.",
            tuple(each * 1e9 for each in _GBPS),
        )
        self._truncated = self._counter("searches_truncated", "Placements chosen among a sample of device sets.")
        self._exhausted = self._counter("searches_exhausted", "Searches for devices that spent their budget.")
        self._windows = self._counter("windows", "Plans for pods that were decided together, by solver.", "solver")
        self._gaps = self._histogram(
            "window_gap_ratio", "By which share a plan of the solver joint may be worth more.", _GAPS
        )
        self._slow = self._counter("slow_questions", "Work that left the loop, by kind.", "kind")
        self._warned = self._counter("topology_warnings_told", "Warnings of sources of links, each told once.")
        self._ignored = self._counter("annotations_ignored", "Pods whose annotations are not followed.")
        self._unreadable = self._counter("objects_rejected", "Objects seen that cannot be read, by kind.", "kind")
        # What is told from the start on can be asked for before it happens, and its first time is an increase.
        self._attempts.labels("scheduled", "")
        for token in _TOKENS:
            self._attempts.labels("unschedulable", token)
        for cause in (*get_args(Cause), CHANGED):
            self._attempts.labels("error", cause)
        for result in ("scheduled", "unschedulable", "error"):
            self._kube_attempts.labels(result, profile)
        for write, cause in product(("claim", "binding"), get_args(Cause)):
            self._refused.labels(write, cause)
        for solver in SOLVERS:
            self._windows.labels(solver)
        for question in get_args(Slow):
            self._slow.labels(question.__name__)
        for kind in get_args(Kind):
            self._unreadable.labels(kind)
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"{METRICS_PREFIX}{name}_total", says, labels, registry=self.registry)

    def _histogram(self, name: str, says: str, buckets: Iterable[float], *labels: str) -> Histogram:
        return Histogram(f"{METRICS_PREFIX}{name}", says, labels, registry=self.registry, buckets=tuple(buckets))

    # ------------------------------------------------------------ what happens

    def watch(self, engine: Engine) -> None:
        """From now on tell of this engine's cluster."""
        self._engine, self._census = engine, engine.census()

    def event(self, event: Event) -> None:
        """Something happened."""
        if isinstance(event, ClaimRefused):
            self._refused.labels("claim", event.cause).inc()
        elif isinstance(event, VolumeRefused):
            self._refused.labels("volume", event.cause).inc()
        elif isinstance(event, BindRefused):
            self._refused.labels("binding", event.cause).inc()
        elif isinstance(event, WindowSolved):
            self._windows.labels(event.method).inc()
            if event.method == "joint":
                self._gaps.observe(event.gap)
        elif isinstance(event, Solved):
            if isinstance(event.answer, NodeAnswer) and event.answer.exhausted:
                self._exhausted.inc()
        elif isinstance(event, Rejected):
            self._unreadable.labels(event.kind).inc()

    def instruction(self, instruction: Instruction) -> None:
        """The engine asks for something."""
        if isinstance(instruction, RecordDecision):
            winner = instruction.decision.winner
            if winner.truncated:
                self._truncated.inc()
            if self._engine is not None and len(winner.devices) > 1:
                slowest = slowest_link(self._engine.state, winner)
                if slowest is not None:
                    self._links.observe(slowest * 1e9)
        elif isinstance(instruction, RecordUnplaced):
            self._attempts.labels("unschedulable", instruction.outcome.token).inc()
            self._kube_attempts.labels("unschedulable", self._scheduler_of(instruction.pod)).inc()
        elif isinstance(instruction, Slow):
            self._slow.labels(type(instruction).__name__).inc()
        elif isinstance(instruction, WarnOfTopology):
            self._warned.inc(len(instruction.warnings))
        elif isinstance(instruction, ReportIgnored):
            self._ignored.inc()

    def _scheduler_of(self, pod: str) -> str:
        state = self._engine.state if self._engine is not None else None
        known = state.pods.current.get(state.pod_by_key.get(pod, Uid(""))) if state is not None else None
        return known.scheduler_name if known is not None else self._profile

    def bound(self, journey: Journey) -> None:
        """A pod is bound."""
        self._attempts.labels("scheduled", "").inc()
        self._kube_attempts.labels("scheduled", journey.scheduler).inc()
        for stage, seconds in journey.stages().items():
            self._stages[stage].observe(max(seconds, 0.0))

    def given_up(self, journey: Journey, reason: str) -> None:
        """A placement was given up."""
        self._attempts.labels("error", reason).inc()
        self._kube_attempts.labels("error", journey.scheduler).inc()

    def cycle(self, seconds: float) -> None:
        """A cycle of decisions ended."""
        self._cycles.observe(seconds)

    def request(self, method: str, path: str, code: int, seconds: float) -> None:
        """A request to the API server ended; code : its status, 0 if there was none. seconds : negative for a watch."""
        verb, resource = call_of(method, path)
        self._answers(verb, resource, str(code) if 100 <= code < 600 else "<error>").inc()
        if seconds >= 0:
            self._times(verb, resource).observe(seconds)

    def question(self, verb: str, result: str, seconds: float) -> None:
        """A kube-scheduler was answered; verb and result : as service/extender.py names them."""
        self._questions.labels(verb, result).inc()
        self._question_seconds.labels(verb).observe(seconds)

    # ------------------------------------------------------------ scrapes

    async def scrape(self) -> bytes:
        """Everything, as text. The cluster is counted anew if the last count is older than some seconds."""
        await self._count()
        return generate_latest(self.registry)

    async def _count(self) -> None:
        async with self._counting:
            if not self._own().deciding or self._census is None:
                self._figures = None
                return
            if self._figures is not None and self._clock() - self._counted < CENSUS_S:
                return
            pieces = self._census.count()
            while True:
                try:
                    next(pieces)
                except StopIteration as end:
                    self._figures = end.value
                    break
                await asyncio.sleep(0)
            self._counted = self._clock()

    def collect(self) -> Iterator[Metric]:
        """Gauges, for the registry."""
        own = self._own()
        yield _gauge("build_info", "Always 1.", [((version("dovetail-scheduler"), platform.python_version()), 1)],
                     "version", "python")  # fmt: skip
        config = (label(own.config_hash), label(own.profile))
        yield _gauge("config_info", "Always 1; the configuration in force.", [(config, 1)], "hash", "profile")
        yield _gauge("config_last_reload_successful", "Whether the configuration that was written last is in force.",
                     [((), int(own.current))])  # fmt: skip
        yield _gauge("config_restart_needed", "Whether some of it waits for a restart.", [((), int(own.restart))])
        yield _counter("config_reloads", "Changes of the configuration.",
                       [(("accepted",), own.accepted), (("refused",), own.refused)], "result")  # fmt: skip
        yield _gauge("leader", "Whether this process decides.", [((), int(own.deciding))])
        yield _gauge("watch_silence_seconds", "Since something was last heard of a kind.",
                     [((kind,), silent) for kind, (silent, listed) in own.kinds.items() if listed], "kind")  # fmt: skip
        yield _gauge("watch_listed", "Whether a kind was listed completely.",
                     [((kind,), int(listed)) for kind, (_, listed) in own.kinds.items()], "kind")  # fmt: skip
        yield _counter("drift_repaired",
                       "Objects that were known otherwise than the API server had them, and were read anew.",
                       [((kind,), own.drift.get(kind, 0)) for kind in own.kinds], "kind")  # fmt: skip
        yield _gauge("inbox_events", "Events that wait for the loop.", [((), own.inbox)])
        yield _gauge("writes_in_flight", "Writes under way or waiting for their turn.", [((), own.writing)])
        yield _gauge("writes_limit", "Writes that may be under way at once: fewer where the API server answers late.",
                     [((), own.writes_limit)])  # fmt: skip
        yield _gauge("certificate_expiration_timestamp_seconds", "When the certificate of a listener ends.",
                     [((listener,), ends) for listener, ends in own.certificates.items()], "listener")  # fmt: skip
        yield _counter("pod_events_lost", "Events of pods that were not written.",
                       [(("dropped",), own.dropped), (("refused",), own.failed)], "why")  # fmt: skip
        yield _gauge("assumed_pods", "Pods that are placed and not bound yet.", [((), own.assumed[0])])
        yield _gauge("assumed_oldest_seconds", "For how long the oldest of them is.", [((), own.assumed[1])])
        yield _gauge("remote_circuit_open", "1 where a scorer of others failed too often and is left alone.",
                     [((name,), int(state != "closed")) for name, state in own.circuits.items()], "scorer")  # fmt: skip
        if self._engine is not None:
            yield _counter("remote_answers",
                           "Pods that scorers of others were asked about: used, absent, or late: of no use any more.",
                           self._engine.remote.tally().items(), "scorer", "outcome")  # fmt: skip
            yield _counter("forgotten_pods", "Pods that waited without being tried, and were put back.",
                           [((), self._engine.forgotten)])  # fmt: skip
            clashes = self._engine.clashes
            yield _counter("device_clashes", "Times that others were given what claims of bound pods hold.",
                           [((), clashes.told)])  # fmt: skip
            yield _gauge("device_clashes_standing", "Pairs of claims, one of a bound pod, that hold the same.",
                         [((), clashes.standing)])  # fmt: skip
        if self._figures is not None:
            yield from self._told(self._figures)

    def describe(self) -> Iterator[Metric]:
        """Nothing that the registry would have to look for: no other collector has such names."""
        return iter(())

    def _told(self, figures: Figures) -> Iterator[Metric]:
        pending = {(token,): figures.pending.get(token, 0) for token in (*_TOKENS, plan.ASKING)}
        yield _gauge("pending_pods", "Pods that wait, by what they wait for; Due: their turn.",
                     [*pending.items(), (("Due",), figures.pending.get("", 0)), (("Gated",), figures.gated)],
                     "reason")  # fmt: skip
        queues = Tally(active=0, backoff=0, unschedulable=0, gated=figures.gated)
        for token, pods in figures.pending.items():
            queues[_QUEUES.get(token, "unschedulable")] += pods
        kube = GaugeMetricFamily(
            "scheduler_pending_pods", "Pods that wait, by kube-scheduler's names of queues.", labels=("queue",)
        )
        for queue, pods in queues.items():
            kube.add_metric((queue,), pods)
        yield kube
        yield _gauge("claims", "ResourceClaims, by what they are.",
                     [((state,), count) for state, count in figures.claims.items()], "state")  # fmt: skip
        yield _gauge("devices", "Devices of nodes that are ours, by driver, product and state. part: a part of a "
                     "device that is cut, and not held.", _devices(figures.devices).items(),
                     "driver", "product", "state")  # fmt: skip
        yield _gauge("stranded_devices", "Free devices, in whole ones, that pods of some observed shape would take and "
                     "none fits where they are.", [((), figures.stranded)])  # fmt: skip
        rooms = {(label(shape.device_class), label(shape.text)): room for shape, room in figures.rooms.items()}
        if figures.others is not None:
            rooms[OTHER, OTHER] = figures.others
        yield _gauge("headroom_pods", "How many more pods of an observed shape fit beside each other, by devices and "
                     "resources of nodes; other: the least of all further shapes.",
                     [(key, room.headroom) for key, room in rooms.items()], "device_class", "shape")  # fmt: skip
        yield _gauge("fragmentation_ratio", "Which part of the free devices that a shape could use is where it does "
                     "not fit; other: the largest of all further shapes.",
                     [(key, room.fragmentation) for key, room in rooms.items()], "device_class", "shape")  # fmt: skip
        yield _gauge("topology_warnings", "What is wrong with sources of links now.", [((), figures.warnings)])
        yield _gauge("unreadable_objects", "Objects that cannot be read now, by kind.",
                     [((kind,), figures.unreadable.get(kind, 0)) for kind in get_args(Kind)], "kind")  # fmt: skip


Values = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, says: str, values: Values, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(METRICS_PREFIX + name, says, labels=labels), values)


def _counter(name: str, says: str, values: Values, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(METRICS_PREFIX + name, says, labels=labels), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Values) -> Metric:
    for key, value in values:
        family.add_metric(key, value)
    return family


def _devices(devices: Mapping[tuple[str, str, str], int]) -> dict[tuple[str, ...], float]:
    """With the names of the products that there are most of; the rest is one."""
    sizes: Tally[tuple[str, str]] = Tally()
    for (driver, name, _), count in devices.items():
        sizes[driver, name] += count
    ranked = sorted(sizes, key=lambda key: (-sizes[key], key))
    shown = {key: (label(key[0]), label(key[1])) for key in ranked[:MAX_PRODUCTS]}
    found: dict[tuple[str, ...], float] = {}
    for (driver, name, state), count in devices.items():
        key = (*shown.get((driver, name), (OTHER, OTHER)), state)
        found[key] = found.get(key, 0) + count
    return found
