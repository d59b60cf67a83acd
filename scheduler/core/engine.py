"""The engine: events in, instructions out. The only mutable object of the core; it owns State and Backlog.

Life of a pod: Seen -> backlog -> (Drained) placed: devices and node are *assumed* -> WriteAllocation and ReserveClaim
-> every claim *seen back* in the watch with our allocation and reservation, no other claim holds one of its devices,
and drivers have said what the devices need them to (core/conditions.py) -> BindPod -> PodBound. Whatever goes wrong
before the binding gives everything back and tries again.

A pod whose extended resources are served by devices gets a claim on the way: it is made (CreateClaim), known under its
own uid from ClaimCreated on, and deleted if the pod is not bound. What an earlier attempt left behind goes first.
"""

import heapq
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from typing import Any

from scheduler.core import allocatable, conditions, groups, names, plan
from scheduler.core.advice import Advice, Later
from scheduler.core.backlog import Backlog, Happening, spread
from scheduler.core.budget import Budget
from scheduler.core.candidates import Candidates
from scheduler.core.catalogue import Catalogue
from scheduler.core.cel import Outline
from scheduler.core.census import Asked, Census
from scheduler.core.clashes import Clash, Clashes, clashes
from scheduler.core.config import GREEDY, EngineConfig
from scheduler.core.demand import Demand, Refusal, Resolved, Specs, resolve
from scheduler.core.eligibility import Pending
from scheduler.core.errors import FaultError, printable
from scheduler.core.explain import to_json
from scheduler.core.extended import is_special
from scheduler.core.messages import (
    RELEASE_S,
    Appraise,
    Appraised,
    AuditDue,
    BindPod,
    BindRefused,
    ClaimCreated,
    ClaimRef,
    ClaimRefused,
    ClaimWritten,
    ClockRead,
    CreateClaim,
    DeleteClaim,
    Drained,
    EvaluateScalar,
    Event,
    Gone,
    Inspect,
    Inspected,
    Instruction,
    Listed,
    PodBound,
    PodRef,
    Reconfigured,
    RecordDecision,
    RecordUnplaced,
    Rejected,
    ReleaseClaim,
    RemoteScored,
    ReportClash,
    ReportIgnored,
    ReportScheduled,
    ReportUnschedulable,
    ReserveClaim,
    ScalarEvaluated,
    Seen,
    Solve,
    Solved,
    SolveWindow,
    VolumeRefused,
    VolumeWritten,
    WarnOfTopology,
    WindowSolved,
    Won,
    WriteAllocation,
)
from scheduler.core.model import (
    MAX_CONSUMERS,
    Allocation,
    Claim,
    Consumer,
    DeviceClass,
    Namespace,
    Node,
    Pod,
    PodGroup,
    Resources,
    Slice,
    TaintRule,
    Uid,
)
from scheduler.core.mounting import Mounting, later
from scheduler.core.opinions import Opinions, Preference
from scheduler.core.plan import Placement, Plan, Unplaced
from scheduler.core.questions import MAX_QUESTIONS, Questions
from scheduler.core.remote import Remote
from scheduler.core.solvers.greedy import Way, place
from scheduler.core.solvers.puzzle import Puzzle
from scheduler.core.solvers.search import NodeAnswer, NodeProblem
from scheduler.core.state import State
from scheduler.core.storage import KIND_OF, KINDS, PersistentVolume, PersistentVolumeClaim, Stored, key_of
from scheduler.core.topology import LinkMap
from scheduler.core.verify import Storage, World, violations
from scheduler.core.windows import MAX_PODS, Held, Hint, held
from scoring.market import Market
from scoring.mix import Mix
from scoring.opinion import Opinion

MAX_PARTS = 64  # questions that one pod has open at once
FIRST_SOLVE = 5_000  # steps of a longer search at first; one that spends them gets more, behind those of others
MAX_SOLVES = 4  # searches of which one pod waits for at once
BAYS_AT_ONCE = 4  # nodes whose devices are looked at anew in one piece, where nothing is decided
STEPS_A_POD = 150  # what an attempt takes at least, in the steps of core/budget.py
STEPS_A_WANT = 25
STEPS_A_CANDIDATE = 20  # that scorers of others are asked about
STEPS_A_REASON = 2  # for each node and request
LIGHT_CYCLES = 4  # budgets that the light pods of one tenant may spend in a cycle
LIGHT_STEPS = 2_000  # a pod that takes more is heavy: it waits for its tenant's turn
LAST_PAUSE_S = 60.0
HOLD_S = 1.0  # how long pods wait for a plan
MAX_HELD = 16  # windows that are waited for at once
STRANGER = "another scheduler allocates devices that Dovetail owns"
_STORAGE = "storage"  # what all pods wait for that use volume claims
PENDING_S = 10.0  # how long a claim or an answer may take to appear before the pod is told


Classes = OrderedDict[tuple[Demand, Opinion], Candidates]


@dataclass(slots=True)
class Flight:
    """A placed pod on its way to being bound.

    writing : claims whose write has no answer yet. unseen : claims not seen back yet. touched : claims that carry, or
    may carry, something that we wrote. written : resourceVersion of each claim as its write left it.
    made : the claim for extended resources, once it exists.
    failure : set once the flight must be given up: token and sentence.
    consumers : whom its claims are reserved for where that is not the pod; `group` is the key of the pod's group.
    taken : what the pod's status is to say of node resources that its devices take, None if there is nothing to say.
    spoilt : claims whose allocation must not stay, whoever made it. since : when it began to wait for drivers.
    until : when it ends unless they have said what they must by then.
    """

    pod: Uid
    placement: Placement
    writing: set[Uid]
    unseen: set[Uid]
    touched: set[Uid] = field(default_factory=set)
    written: dict[Uid, str] = field(default_factory=dict)
    made: Claim | None = None
    failure: tuple[str, str] | None = None
    binding: bool = False
    consumers: Mapping[Uid, Consumer] = field(default_factory=dict)
    group: str = ""
    taken: str | None = None
    spoilt: set[Uid] = field(default_factory=set)
    since: float | None = None
    until: float | None = None

    def holder(self, claim: Uid) -> Uid:
        """Whom a claim is reserved for."""
        return self.consumers[claim].uid if claim in self.consumers else self.pod


@dataclass(frozen=True, slots=True)
class Release:
    """A claim that is being freed of what a flight wrote; until that is seen nothing is decided about the claim.

    holder : who is taken out of reservedFor. written : resourceVersion of our last write to it, empty where it is not
    known. until : when we stop waiting.
    """

    holder: Uid
    written: str
    until: float


class Engine:
    """Schedules.

    Decisions happen on Drained only. Nothing here waits, reads a clock or draws a number: `now` is an argument
    (seconds, monotonic), and slow work leaves as Solve or EvaluateScalar.

    observe : told of each placement before anything is assumed for it, and before others may have it taken back.
    """

    MAX_CLASSES = 512
    MAX_FOREIGN = 128

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self._ours = config.scheduler_names
        self.state = State(
            config.ownership,
            config.seed,
            config.gates,
            fabric_partitions=config.fabric_partitions,
            unlisted_draw=config.unlisted_draw,
            spellings=config.spellings,
        )
        self.backlog = Backlog()
        self._catalogue = Catalogue(config)
        self._opinions = Opinions(config)
        self._specs = Specs()
        self._classes: Classes = OrderedDict()
        self._foreign: Classes = OrderedDict()  # of pods that others place; they push none of ours out
        self._flights: dict[Uid, Flight] = {}
        self._flights_of: dict[Uid, set[Uid]] = defaultdict(set)
        self._waiting_for: dict[str, set[Uid]] = defaultdict(set)
        self._claim_keys: dict[Uid, tuple[str, ...]] = {}
        self._bound: set[Uid] = set()
        self.clashes = Clashes()
        self.forgotten = 0  # pods that an audit found and put back
        self._releasing: dict[Uid, Release] = {}  # those that end first come first
        self._waits: list[tuple[float, Uid]] = []  # a heap of when flights end that wait for drivers
        self._avoided: dict[tuple[str, str, str], float] = {}  # until when; those that end first come first
        self._mounting = Mounting(self.state, config.volume_timeout_s)
        self._ahead: float | None = None
        self._reported: dict[Uid, tuple[str, str]] = {}
        self._ignored: dict[Uid, str] = {}  # why annotations of a pod are not followed, as it was told
        self._failures: dict[Uid, int] = {}
        self._questions = Questions()
        self._held: dict[int, Held] = {}  # by generation, windows that are being solved
        self._tried: dict[Uid, list[Way]] = {}  # what the pods of this cycle were tried with
        self._hints: dict[Uid, Hint] = {}  # of pods that were in a window and are not decided yet
        self.remote = Remote(config.remote)
        self._mix = Mix()
        self._shapes = Asked()
        self._known_pods: set[Uid] = set()  # pods of ours that the mix counts
        self._solve_budgets: dict[NodeProblem | Puzzle, int] = {}
        self._listed = False
        self._around = 0  # version of residents that pods were woken for
        self._now = 0.0
        self.observe: Callable[[Placement], None] | None = None
        self._handlers: dict[type, Callable[[Any], Iterable[Instruction]]] = {
            Seen: lambda event: self._seen[type(event.item)](event.item),
            Gone: self._gone,
            Rejected: self._rejected,
            Listed: self._all_listed,
            ClockRead: self._clock_read,
            Reconfigured: self._reconfigured,
            AuditDue: self._audit,
            Won: self._won,
            Drained: self._decide,
            ClaimCreated: self._claim_created,
            ClaimWritten: self._claim_written,
            ClaimRefused: self._claim_refused,
            VolumeWritten: self._volume_written,
            VolumeRefused: self._volume_refused,
            PodBound: self._pod_bound,
            BindRefused: self._bind_refused,
            Solved: self._solved,
            WindowSolved: self._window_solved,
            RemoteScored: self._remote_scored,
            ScalarEvaluated: self._scalar_evaluated,
            Inspected: self._inspected,
            Appraised: self._appraised,
        }
        self._seen: dict[type, Callable[[Any], Iterable[Instruction]]] = {
            Namespace: self._namespace_seen,
            Node: self._node_seen,
            Slice: self._slice_seen,
            DeviceClass: self._class_seen,
            TaintRule: self._taint_rule_seen,
            Claim: self._claim_seen,
            PodGroup: self._group_seen,
            Pod: self._pod_seen,
            LinkMap: self._links_seen,
            **dict.fromkeys(KIND_OF, self._stored_seen),
        }

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take in one event; returns what to do, in order."""
        self._now = now
        return list(self._handlers[type(event)](event))

    def next_wakeup(self) -> float | None:
        """When Drained is due though nothing happens; None: not before the next event."""
        if not self._listed:
            return None
        self._wake_reached()
        times = [
            self.backlog.next_time(self._now),
            *(release.until for release in islice(self._releasing.values(), 1)),
            *(until for until, _ in self._waits[:1]),
            self._mounting.next_time,
            *islice(self._avoided.values(), 1),
            self.remote.next_time,
        ]
        return min((time for time in times if time is not None), default=None)

    @property
    def catalogue(self) -> Catalogue:
        """What all classes of pods share."""
        return self._catalogue

    def assumptions(self) -> tuple[dict[Uid, Allocation], dict[Uid, tuple[str, Resources]]]:
        """What is decided and not seen yet: allocations by claim, and by pod its node and what it takes there."""
        return self.state.assumptions((*self._flights, *self._bound))

    @property
    def in_flight(self) -> int:
        """How many pods are placed and not bound yet."""
        return len(self._flights)

    def half_written(self) -> list[ClaimRef]:
        """Claims of pods that wait for us which have our finalizer and no allocation, in order.

        To an engine that has placed nothing yet these are what another process began, and may still be writing.
        """
        state = self.state
        keys = {key for key in self._waiting_for if key in state.claim_by_key}
        uids = {state.claim_by_key[key] for key in keys}
        uids |= {uid for owner, special in state.special.items() if owner in self.backlog for uid in special}
        claims = [state.claims.current[uid] for uid in sorted(uids)]
        return [
            _claim_ref(claim) for claim in claims if claim.finalized and claim.allocation is None and not claim.deleting
        ]

    def why_pending(self, pod: str) -> tuple[str, str] | None:
        """Token and sentence last reported for a pod (`namespace/name`)."""
        uid = self.state.pod_by_key.get(pod)
        return self._reported.get(uid) if uid is not None else None

    def census(self) -> Census:
        """Counts what there is, beside decisions; keep it for as long as this engine."""
        return Census(
            self.state,
            self._catalogue.verdicts,
            self._shapes,
            self.backlog,
            lambda pod: pod.scheduler_name in self._ours,
        )

    def catch_up(self) -> bool:
        """Do a piece of the work that comes before a decision or advice; whether there is nothing more to do now."""
        return not self._listed or self.state.settle(BAYS_AT_ONCE)

    def advise(self, pod: Pod, now: float, budget: Budget) -> tuple[Advice | Refusal | Later, list[Instruction]]:
        """What to say of nodes for a pod that another scheduler places, and what there is to ask; decides nothing.

        It takes as many calls as their budgets demand. An Advice holds until the next event.
        """
        self._now = now
        if not self._listed:
            return Refusal(plan.RETRY, "not everything in the cluster was seen yet"), []
        if not self.catch_up():
            return Later(waits=False), []
        ways = resolve(pod, self.state, self._specs, foreign=True)
        if isinstance(ways, Refusal):
            return ways, []
        if not any(resolved.demand.wants or resolved.demand.held for resolved in ways.open):
            return Advice(self.state, self.config.scheduler_name, ()), []
        opinion = self._opinions.of(pod).opinion
        tried = [(resolved, self._class(resolved.demand, opinion)) for resolved in ways.open]
        if not self._refresh(tried, budget):
            pending = [each for _, candidates in tried for each in candidates.pending]
            return Later(waits=bool(pending)), self._evaluate(pending[:MAX_PARTS], pod.namespace)
        unsolved = [problem for _, candidates in tried for problem in candidates.unsolved]
        return Advice(self.state, self.config.scheduler_name, tried), self._search(unsolved[:MAX_SOLVES], pod.namespace)

    # ------------------------------------------------------------ the world changes

    def _all_listed(self, event: Listed) -> list[Instruction]:
        self._listed = True
        return []

    def _clock_read(self, event: ClockRead) -> list[Instruction]:
        self._ahead = event.ahead
        return []

    def _reconfigured(self, event: Reconfigured) -> list[Instruction]:
        """Judge by other weights from now on. What is placed stays placed, and what was assumed stays assumed.

        Weights decide only which node is taken of those that fit, so pods that wait would wait again. Tried at once are
        those that wait for a plan or for scorers of others, which were asked about what the old weights liked best, and
        those whose owners have to be told something else about their annotations.
        """
        if not self.config.can_become(event.config):
            raise FaultError("the new configuration changes what a running engine cannot change")
        self._opinions = Opinions(event.config)
        self.config = event.config
        for classes in (self._classes, self._foreign):
            for key in [key for key in classes if key[1] not in self._opinions]:
                del classes[key]
        for generation, waiting in self._held.items():
            if self._questions.answered(waiting.pods, generation):
                self._tell_askers(waiting.pods)
        self._held.clear()
        self._hints.clear()
        for uid in self.remote.again():
            self.backlog.hurry(uid)
        for uid in sorted(self._ignored):
            self.backlog.wake_one(uid, self._now)
        return []

    def _won(self, event: Won) -> list[Instruction]:
        """Devices that were given twice while nobody led have been so for long enough: their pods are told first.

        Those of which it is not known yet that they are bound are told when it is.
        """
        return self._tell_clashes(again=True)

    def _audit(self, event: AuditDue) -> list[Instruction]:
        """Put back pods of ours that wait though nobody knows it. There are none, unless something here is wrong."""
        for pod in list(self.state.pods.current.values()):
            if pod.scheduler_name not in self._ours or pod.node_name or pod.done or pod.deleting or pod.gates:
                continue
            if pod.uid in self.backlog or pod.uid in self._flights or pod.uid in self._bound:
                continue
            if ("Pod", pod.key) not in self.state.problems:
                self.forgotten += 1
                self._await(pod)
        return []

    def _namespace_seen(self, namespace: Namespace) -> list[Instruction]:
        self.state.problems.pop(("Namespace", namespace.name), None)
        self.state.put_namespace(namespace)
        return []

    def _node_seen(self, node: Node) -> list[Instruction]:
        before = self.state.node_by_name.current.get(node.name)
        if self.state.put_node(node) and (before is None or replace(before, images=node.images) != node):
            self.backlog.wake(Happening.NODE_CHANGED)  # images rule out no node
        return []

    def _slice_seen(self, item: Slice) -> list[Instruction]:
        self.state.problems.pop(("ResourceSlice", item.name), None)
        if self.state.put_slice(item):
            self.backlog.wake(Happening.SLICE_CHANGED)
        return []

    def _class_seen(self, item: DeviceClass) -> list[Instruction]:
        self.state.problems.pop(("DeviceClass", item.name), None)
        if self.state.put_class(item):
            self.backlog.wake(Happening.CLASS_CHANGED)
        return []

    def _taint_rule_seen(self, rule: TaintRule) -> list[Instruction]:
        if self.config.gates.device_taint_rules and self.state.put_taint_rule(rule):
            self.backlog.wake(Happening.TAINT_RULE_CHANGED)
        return []

    def _links_seen(self, links: LinkMap) -> list[Instruction]:
        self.state.problems.pop(("ConfigMap", links.key), None)
        self.state.put_links(links)
        return []

    def _claim_seen(self, claim: Claim) -> Iterable[Instruction]:
        out: list[Instruction] = []
        known = self.state.claim_by_key.get(claim.key)
        if known is not None and known != claim.uid:
            out += self._claim_gone(known, claim.key)
        before = self.state.claims.current.get(claim.uid)
        self.state.problems.pop(("ResourceClaim", claim.key), None)
        self.state.put_claim(claim)
        self._settle_release(claim)
        if claim.allocation != (before.allocation if before is not None else None):
            self.clashes.changed(claim.uid)
            if before is not None and before.allocation is not None:
                self.backlog.wake(Happening.DEVICES_FREED)
        self._wake_users(claim.key)
        for uid in sorted(self._flights_of.get(claim.uid, ())):
            out += self._look_at(self._flights[uid], claim)
        return out

    def _group_seen(self, group: PodGroup) -> Iterable[Instruction]:
        self.state.problems.pop(("PodGroup", group.key), None)
        if self.state.put_group(group):
            self._group_changed(group.key)
        return []

    def _group_changed(self, key: str) -> None:
        """Its pods look for their claims anew."""
        for uid in sorted(self._waiting_for.get(_group_key(key), ())):
            self._await(self.state.pods.current[uid])

    def _pod_seen(self, pod: Pod) -> Iterable[Instruction]:
        known = self.state.pod_by_key.get(pod.key)
        out: list[Instruction] = []
        if known is not None and known != pod.uid:
            out += self._pod_left(known)
        before = self.state.pods.current.get(pod.uid)
        place = self.state.places.current.get(pod.uid)
        nominee = self.state.nominees.get(pod.uid)
        self.state.problems.pop(("Pod", pod.key), None)
        self.state.put_pod(pod)
        resized = before is not None and before.requests != pod.requests
        if nominee is not None and (
            resized or pod.uid not in self.state.nominees or pod.nominated != nominee.nominated
        ):
            self.backlog.wake(Happening.ROOM_FREED)
        if nominee is not None and pod.labels != nominee.labels:
            self.backlog.wake(Happening.NEIGHBOURS_CHANGED)
        if place is not None and (resized or self.state.places.current.get(pod.uid) != place):
            self.backlog.wake(Happening.ROOM_FREED)
        if pod.scheduler_name not in self._ours:
            return out
        if pod.done and place is not None and pod.uid in self._known_pods:
            self._known_pods.discard(pod.uid)
            self._mix.leave()
        if pod.node_name or pod.done or pod.deleting or pod.gates:
            self._forget_pending(pod.uid)
            self._hints.pop(pod.uid, None)
            self.remote.forget(pod.uid)
            flight = self._flights.get(pod.uid)
            if pod.node_name:
                self._bound.discard(pod.uid)
                if flight is not None and not flight.binding:
                    out += self._give_up(flight, plan.RETRY, f"pod {pod.key} was bound by somebody else")
            elif flight is not None and not flight.binding:
                out += self._give_up(flight, plan.RETRY, f"pod {pod.key} ended before it was bound")
            return out
        if pod.uid in self._flights or pod.uid in self._bound:
            return out
        # Our own condition patch comes back as an update; only a change that matters earns a new attempt.
        if (
            before is None
            or pod.uid not in self.backlog
            or replace(pod, resource_version=before.resource_version, published=before.published) != before
        ):
            self.remote.forget(pod.uid)
            self._await(pod)
        return out

    def _keys(self, pod: Pod) -> tuple[str, ...]:
        """Of the claims that a pod names or was given, and of its group."""
        names = [groups.claim_name(pod, entry, self.state)[1] for entry in pod.claims]
        found = [f"{pod.namespace}/{name}" for name in names if name is not None]
        if pod.group:
            found.append(_group_key(groups.key_of(pod)))
        stored = [_volume_claim_key(key) for key in pod.volume_claims]
        return tuple(dict.fromkeys([*found, *stored, *([_STORAGE] if stored else [])]))

    def _await(self, pod: Pod) -> None:
        """Put a pod into the backlog, and note which claims it waits for."""
        self._forget_pending(pod.uid)
        keys = self._claim_keys[pod.uid] = self._keys(pod)
        for key in keys:
            self._waiting_for[key].add(pod.uid)
        self.backlog.put(pod)

    def _gone(self, event: Gone) -> Iterable[Instruction]:
        state = self.state
        state.problems.pop((event.kind, event.key), None)
        if event.kind == "Namespace":
            state.drop_namespace(event.key)
            return []
        if event.kind == "Node":
            return self._node_left(event.key, "was deleted")
        if event.kind == "ResourceSlice":
            state.drop_slice(event.key)
            self.backlog.wake(Happening.SLICE_CHANGED)
        elif event.kind == "DeviceClass":
            state.drop_class(event.key)
            self.backlog.wake(Happening.CLASS_CHANGED)
        elif event.kind == "DeviceTaintRule":
            state.drop_taint_rule(event.key)
            self.backlog.wake(Happening.TAINT_RULE_CHANGED)
        elif event.kind == "ResourceClaim":
            uid = event.uid or state.claim_by_key.get(event.key, Uid(""))
            return self._claim_gone(uid, event.key)
        elif event.kind == "PodGroup":
            state.drop_group(event.key)
            self._group_changed(event.key)
        elif event.kind == "ConfigMap":
            state.put_links(None)
        elif event.kind in KINDS:
            return self._stored_gone(event.kind, event.key)
        else:
            uid = event.uid or state.pod_by_key.get(event.key, Uid(""))
            return self._pod_left(uid)
        return []

    def _node_left(self, name: str, how: str) -> list[Instruction]:
        """Pods that wait for drivers or volumes to be bound there go elsewhere; others are asked before their bind."""
        self.state.drop_node(name)
        self.backlog.wake(Happening.NEIGHBOURS_CHANGED)  # without it the least of all domains may be another
        waiting = [
            flight
            for flight in self._flights.values()
            if flight.placement.node == name and not flight.unseen and not flight.binding and flight.failure is None
        ]
        message = f"node {name} {how}"
        return [each for flight in waiting for each in self._give_up(flight, plan.RETRY, message)]

    def _claim_gone(self, uid: Uid, key: str) -> Iterable[Instruction]:
        held = uid in self.state.holding.current
        claim = self.state.claims.current.get(uid)
        self.state.drop_claim(uid)
        self.clashes.gone(uid)
        self.state.forget_allocation(uid)  # of a claim that was made and deleted before it was seen
        self._releasing.pop(uid, None)
        if held:
            self.backlog.wake(Happening.DEVICES_FREED)
        self._wake_users(key)
        if claim is not None and is_special(claim):
            self.backlog.wake_one(claim.owner, self._now)
        for pod in self._flights_of.get(uid, ()):
            self._flights[pod].touched.discard(uid)
        return self._strand(uid, f"ResourceClaim {key} was deleted while its pod was placed")

    def _strand(self, claim: Uid, message: str) -> list[Instruction]:
        """Give up the flights of a claim whose pods are not being bound yet."""
        flights = [self._flights[pod] for pod in sorted(self._flights_of.get(claim, ()))]
        return [each for flight in flights if not flight.binding for each in self._give_up(flight, plan.RETRY, message)]

    def _pod_left(self, uid: Uid) -> Iterable[Instruction]:
        pod = self.state.pods.current.get(uid)
        if pod is None:
            return []
        self._forget_pending(uid)
        self._reported.pop(uid, None)
        self._ignored.pop(uid, None)
        self._failures.pop(uid, None)
        self._hints.pop(uid, None)
        self.remote.forget(uid)
        self._bound.discard(uid)
        out: list[Instruction] = []
        flight = self._flights.get(uid)
        placed = uid in self.state.places.current
        kept = uid in self.state.nominees
        if uid in self._known_pods:
            self._known_pods.discard(uid)
            if placed:
                self._mix.leave()
        self.state.drop_pod(uid)  # before its flight lands: it is not to be tried again
        if flight is not None:
            out += self._give_up(flight, plan.RETRY, f"pod {pod.key} was deleted")
        if placed or kept:
            self.backlog.wake(Happening.ROOM_FREED)
        return out

    def _rejected(self, event: Rejected) -> Iterable[Instruction]:
        """What cannot be read cannot be used; what an unreadable claim, pod or taint rule kept from us stays so."""
        self.state.problems[event.kind, event.key] = event.problem
        if event.kind == "ResourceClaim":
            self._wake_users(event.key)
            where = f"ResourceClaim {event.key}"
            return self._strand(event.uid, f"{where} cannot be read any more: {event.problem}")
        if event.kind == "Node":
            return self._node_left(event.key, f"cannot be read any more: {event.problem}")
        if event.kind == "Namespace":
            self.state.drop_namespace(event.key)
        elif event.kind == "PodGroup":
            self.state.drop_group(event.key)
            self._group_changed(event.key)
        elif event.kind == "ConfigMap":
            self.state.put_links(None, event.problem)
        elif event.kind in KINDS:
            return self._stored_gone(event.kind, event.key)
        elif event.kind == "Pod":
            self._forget_pending(event.uid)
        elif event.kind == "ResourceSlice":
            self.state.drop_slice(event.key)
            self.backlog.wake(Happening.SLICE_CHANGED)
        elif event.kind == "DeviceClass":
            self.state.drop_class(event.key)
            self.backlog.wake(Happening.CLASS_CHANGED)
        return []

    # ------------------------------------------------------------ storage

    def _stored_seen(self, item: Stored) -> list[Instruction]:
        self.state.problems.pop((KIND_OF[type(item)], key_of(item)), None)
        if self.state.put_stored(item):
            self._wake_mounting(item)
        return self._look_at_volumes(self._mounting.concerned(item))

    def _stored_gone(self, kind: str, key: str) -> list[Instruction]:
        item = self.state.drop_stored(kind, key)
        if item is not None:
            self._wake_mounting(item)
        return self._look_at_volumes(self._mounting.concerned_by(kind, key))

    def _wake_mounting(self, item: Stored) -> None:
        """Wake the pods that wait for a claim, or for the volume of one."""
        keys: Iterable[str] = ()
        if isinstance(item, PersistentVolumeClaim):
            keys = (item.key,)
        elif isinstance(item, PersistentVolume):
            keys = sorted(self.state.volumes.keys_of(item))
        self._wake_volume_users(keys)

    def _wake_volume_users(self, keys: Iterable[str]) -> None:
        """Wake the pods that wait for volume claims, by the keys of these."""
        for key in keys:
            self._wake_users(_volume_claim_key(key))

    def _wake_reached(self) -> None:
        """Wake the pods that changes of storage since the last time may help, whichever claims they wait for."""
        volumes = self.state.volumes
        if not volumes.ripples:
            return
        for uid in sorted(self._waiting_for.get(_STORAGE, ())):
            claims = (volumes.claims.current.get(key) for key in self.state.pods.current[uid].volume_claims)
            if any(claim is not None and volumes.is_reached(claim) for claim in claims):
                self.backlog.wake_one(uid, self._now)
        volumes.ripples.clear()

    def _look_at_volumes(self, pod: Uid | None) -> list[Instruction]:
        """Something changed about the volumes of a placed pod, or about claims that are being released."""
        self._wake_volume_users(self._mounting.settle(self._now))
        flight = self._flights.get(pod) if pod is not None else None
        if flight is None or flight.failure is not None or flight.binding:
            return []
        ready, problem = self._mounting.standing(flight.pod)
        if problem:
            return self._give_up(flight, plan.RETRY, problem)
        return self._bind(flight) if ready and not flight.unseen else []

    def _volume_written(self, event: VolumeWritten) -> list[Instruction]:
        self._mounting.written(event)
        flight = self._flights.get(event.pod)
        if flight is not None and flight.failure is not None:
            return self._land(flight)
        return self._look_at_volumes(event.pod)

    def _volume_refused(self, event: VolumeRefused) -> list[Instruction]:
        problem = self._mounting.refused(event)
        flight = self._flights.get(event.pod)
        return self._give_up(flight, plan.RETRY, problem) if flight is not None and problem else []

    def _unpin(self, pod: Pod, resolved: Resolved) -> list[Instruction]:
        """Of claims that nobody else waits for, have no node chosen any more if the pod cannot run there."""
        claims = resolved.mounted.claims if resolved.mounted is not None else ()
        pods = self.state.pods.current
        alone = [
            claim
            for claim in claims
            if claim.selected_node is not None
            and not any(
                uid != pod.uid and not pods[uid].node_name and not pods[uid].done
                for uid in self.state.volumes.named_in(claim.key)
            )
        ]
        return self._mounting.unpin(_pod_ref(pod), alone, self._now)

    def _wake_users(self, claim_key: str) -> None:
        for uid in sorted(self._waiting_for.get(claim_key, ())):
            self.backlog.wake_one(uid, self._now)

    def _wake_users_of(self, claim: Uid) -> None:
        known = self.state.claims.current.get(claim)
        if known is not None:
            self._wake_users(known.key)
            if is_special(known):
                self.backlog.wake_one(known.owner, self._now)

    def _forget_pending(self, uid: Uid) -> None:
        self.backlog.discard(uid)
        self._questions.forget(uid)
        for key in self._claim_keys.pop(uid, ()):
            self._waiting_for[key].discard(uid)
            if not self._waiting_for[key]:
                del self._waiting_for[key]

    # ------------------------------------------------------------ decisions

    def _decide(self, event: Drained) -> list[Instruction]:
        if not self._listed:
            return []
        out = self._stop_waiting()
        self._wake_reached()
        self.state.settle()
        if self._around != self.state.nodes.residents.version:
            self._around = self.state.nodes.residents.version
            self.backlog.wake(Happening.NEIGHBOURS_CHANGED)
        out += self._tell_clashes()
        warnings = self.state.new_warnings()
        if warnings:
            out.append(WarnOfTopology(warnings))
        before: World | None = None
        decided: list[tuple[Pod, Placement | Unplaced]] = []
        departures: dict[Uid, list[Instruction]] = {}
        self._tried.clear()
        budget = Budget(self.config.cycle_steps)
        spent: Counter[str] = Counter()  # by tenant
        room = self.config.batch if event.room is None else min(event.room, self.config.batch)
        for pod in self._turns(room, budget, spent):
            if before is None and self.config.verify_plans:
                before = self._world()
            left = budget.left
            outcome = self._attempt(pod, out, budget)
            budget.spend(STEPS_A_POD)
            taken = left - budget.left
            spent[pod.namespace] += taken
            self.backlog.charge(pod.uid, taken, heavy=taken > LIGHT_STEPS)
            if outcome is None:
                self.backlog.defer(pod.uid)
                continue
            if isinstance(outcome, Unplaced) and outcome.token == plan.ASKING:
                self.backlog.park(pod.uid, plan.ASKING, self._now)
                continue
            decided.append((pod, outcome))
            if isinstance(outcome, Placement):
                if self.observe is not None:
                    self.observe(outcome)
                departures[pod.uid] = self._depart(pod, outcome)
        decided = self._hold(decided, departures, out)
        for pod, outcome in decided:
            self._hints.pop(pod.uid, None)
            self.remote.decided(pod.uid)
            if isinstance(outcome, Placement):
                self._mix.place()
                out += departures[pod.uid]
            else:
                out += self._park(pod, outcome)
        out += self._appraise()
        if before is not None:
            placements = [outcome for _, outcome in decided if isinstance(outcome, Placement)]
            unplaced = [outcome for _, outcome in decided if isinstance(outcome, Unplaced)]
            self._check(before, Plan(self.state.revision, tuple(placements), tuple(unplaced)))
        return out

    def _hold(
        self,
        decided: list[tuple[Pod, Placement | Unplaced]],
        departures: dict[Uid, list[Instruction]],
        out: list[Instruction],
    ) -> list[tuple[Pod, Placement | Unplaced]]:
        """Have pods decided together where a new one found no node while others got theirs; returns the rest.

        Those that were placed are taken back before anybody heard of it, and all wait for the plan.
        """
        if self.config.solver == GREEDY:
            return decided
        lost = [pod for pod, outcome in decided if isinstance(outcome, Unplaced) and self._is_new(pod, outcome)]
        lost = lost[: MAX_PODS // 2]
        lowest = max((pod.priority for pod in lost), default=None)
        placed = [pod for pod, outcome in decided if isinstance(outcome, Placement) and _stands_alone(outcome)]
        placed = [pod for pod in placed if pod.uid not in self._hints][-(MAX_PODS - len(lost)) :]
        if any(
            resolved.demand.neighbours is not None
            for pod, outcome in decided
            if isinstance(outcome, Placement)
            for resolved, _ in self._tried[pod.uid]
        ):
            return decided  # they were placed by where the others are
        classes = {self._tried[pod.uid][0][1] for pod in (*placed, *lost)}
        if lowest is None or len(classes) < 2 or not any(pod.priority <= lowest for pod in placed):
            return decided
        outcomes = {pod.uid: outcome for pod, outcome in decided}
        for pod in placed:
            self._take_back(self._flights[pod.uid])
        queue = sorted([*placed, *lost], key=lambda pod: self.backlog.order(pod.uid))
        asked = [(pod, candidates) for pod in queue for candidates in self._alone(pod)]
        new = {pod.uid for pod in lost}
        if any(candidates.feasible for pod, candidates in asked if pod.uid in new):
            out += self._ask_window(asked)
        else:  # it would have found none anyway
            asked = []
        together = {pod.uid for pod, _ in asked}
        for pod in placed:
            outcome = outcomes[pod.uid]
            if pod.uid not in together and isinstance(outcome, Placement):
                departures[pod.uid] = self._depart(pod, outcome)
        return [(pod, outcome) for pod, outcome in decided if pod.uid not in together]

    def _alone(self, pod: Pod) -> list[Candidates]:
        """The class of a pod whose own claims can be served in one way, once it is up to date; or none."""
        [(resolved, candidates), *others] = self._tried[pod.uid]
        if others or resolved.joined:
            return []
        candidates.refresh(self.state, Budget(self.config.cycle_steps))
        return [candidates] if candidates.settled else []

    def _ask_window(self, asked: Sequence[tuple[Pod, Candidates]]) -> list[Instruction]:
        """Ask for a plan for these pods, and have them wait for it, though not long."""
        waiting = held(self.state, self._catalogue.stock, asked)
        generation = self._questions.ask(waiting.pods, self._now)
        for pod, _ in asked:
            self._hints[pod.uid] = Hint("")
            self.backlog.park(pod.uid, plan.RETRY, self._now, delay=HOLD_S)
            self._questions.await_answers(pod.uid, [waiting.pods])
        if generation is None:
            return []
        self._held[generation] = waiting
        if len(self._held) > MAX_HELD:
            del self._held[next(iter(self._held))]
        return [SolveWindow(waiting.window, self.config.solver, self.config.joint_limit_s, generation)]

    def _is_new(self, pod: Pod, outcome: Unplaced) -> bool:
        """Whether a pod found no node in its first attempt."""
        tried = outcome.token == plan.NO_FIT and pod.uid in self._tried
        return tried and pod.uid not in self._hints and not self.backlog.attempts(pod.uid)

    def _take_back(self, flight: Flight) -> None:
        """Undo a placement of this cycle."""
        pod = self.state.pods.current[flight.pod]
        flight.touched.clear()
        flight.writing.clear()
        self._drop_flight(flight)
        for uid in flight.placement.allocations:
            self.state.forget_allocation(uid)
        self.state.forget_place(flight.pod)
        self._await(pod)

    def _window_solved(self, event: WindowSolved) -> Iterable[Instruction]:
        waiting = self._held.pop(event.generation, None)
        if waiting is not None and self._questions.answered(waiting.pods, event.generation):
            hints = waiting.hints(event)
            self._hints.update({uid: hint for uid, hint in hints.items() if uid in self._hints})
            self._tell_askers(waiting.pods)
        return []

    def _appraise(self) -> list[Instruction]:
        """Ask what devices are worth, once enough of the mix or of what there is changed."""
        stock = self._catalogue.stock
        if not self._mix.due and stock.known == len(stock.market.prices):
            return []
        generation = self._questions.ask(Appraise, self._now)
        return [] if generation is None else [Appraise(self._mix.sample(), stock.supply(), generation)]

    def _appraised(self, event: Appraised) -> Iterable[Instruction]:
        if self._questions.answered(Appraise, event.generation) and event.market is not None:
            if not isinstance(event.market, Market):
                raise FaultError(f"Appraised carries a {type(event.market).__name__}")
            self._catalogue.stock.trade(event.market)
        return []

    def _turns(self, room: int, budget: Budget, spent: Mapping[str, int]) -> Iterator[Pod]:
        """The pods to try in a cycle: those that are light, then heavy ones until the budget is spent, one at least.

        room : light ones at most, and none that are heavy without it. Many light pods of one tenant come to much: the
        rest of them stand in its line.
        """
        most = LIGHT_CYCLES * self.config.cycle_steps
        due = [self.state.pods.current[uid] for uid in self.backlog.due(self._now, room)]
        if self._hints:
            due.sort(key=lambda pod: (-pod.priority, self._hints[pod.uid].node == "" if pod.uid in self._hints else 0))
        for pod in due:
            uid = pod.uid
            if spent[pod.namespace] > most:
                self.backlog.defer(uid)
            else:
                yield pod
        first = True
        while room and (first or not budget.spent):
            heavy = self.backlog.next_heavy()
            if heavy is None:
                return
            if first and budget.spent:
                budget.left = 1
            first = False
            yield self.state.pods.current[heavy]

    def _attempt(self, pod: Pod, out: list[Instruction], budget: Budget) -> Placement | Unplaced | None:
        """What becomes of a pod now; None: it takes longer, and this goes on in a later cycle."""
        leftover = self._delete_leftovers(pod, out)
        if leftover is not None:
            return leftover
        ways = resolve(pod, self.state, self._specs)
        if isinstance(ways, Refusal):
            if ways.token != plan.CLAIM_PENDING or self.backlog.attempts(pod.uid):  # what is on its way may come yet
                out += self._let_go(pod)
            return Unplaced(pod.uid, ways.token, ways.message)
        refusal = self._refuse_joining(pod, ways.open[0], out)
        if refusal is not None:
            if refusal.token == plan.NO_FIT:
                out += self._let_go(pod)
            return refusal
        preference = self._opinions.of(pod)
        out += self._tell_ignored(pod, preference)
        tried = [(resolved, self._class(resolved.demand, preference.opinion)) for resolved in ways.open]
        self._tried[pod.uid] = tried
        wants = sum(len(resolved.demand.wants) for resolved in ways.open)
        if budget.spent and not self.backlog.is_heavy(pod.uid) and self._owed(tried) > LIGHT_STEPS:
            return None
        settled = self._refresh(tried, budget)
        budget.spend(STEPS_A_WANT * wants)
        if not settled:
            pending = [each for _, candidates in tried for each in candidates.pending]
            if not pending:
                return None
            out += self._ask_about(pod, pending[:MAX_PARTS])
            return Unplaced(pod.uid, plan.RETRY, f"pod {pod.key}: its selectors are being evaluated")
        if pod.uid not in self._known_pods:
            self._known_pods.add(pod.uid)
            self._mix.arrive(tried[0][1].asks(self.state))
            self._shapes.arrive(ways.open[0].demand)
        failures = self._failures.get(pod.uid, 0)
        hint = self._hints.get(pod.uid)
        asking = self._ask_others(pod, tried, out, budget)
        if asking is not None:
            return asking
        outcome = place(self.state, pod, tried, ways.closed, preference, failures, hint, self.remote.heard(pod.uid))
        if isinstance(outcome, Placement):
            return outcome
        budget.spend(STEPS_A_REASON * wants * len(self.state.nodes.rows))
        unsolved = [problem for _, candidates in tried for problem in candidates.unsolved]
        if unsolved:
            out += self._ask_solve(pod, unsolved[:MAX_SOLVES])
            return Unplaced(pod.uid, plan.RETRY, f"pod {pod.key}: the search for its devices is not finished")
        out += self._untie(pod, ways.open[0].joined)
        out += self._let_go(pod)
        out += self._unpin(pod, ways.open[0])
        return outcome

    def _ask_others(self, pod: Pod, ways: Sequence[Way], out: list[Instruction], budget: Budget) -> Unplaced | None:
        """Have a pod that fits somewhere wait for scorers of others, until they answered or had their time."""
        if not self.remote.scorers or self.remote.knows(pod.uid):
            return None
        if not self.remote.waits(pod.uid):
            question = self.remote.ask(pod, _pod_ref(pod), ways, self.state, self._now)
            if question is None:
                return None
            budget.spend(STEPS_A_CANDIDATE * len(question.candidates))
            out.append(question)
        return Unplaced(pod.uid, plan.ASKING, f"pod {pod.key}: scorers of others are being asked")

    def _remote_scored(self, event: RemoteScored) -> Iterable[Instruction]:
        if self.remote.hear(event):
            self.backlog.hurry(event.pod)
        return []

    def _tell_ignored(self, pod: Pod, preference: Preference) -> list[Instruction]:
        """Tell the owner once that annotations are not followed; the pod is scheduled nevertheless."""
        if not preference.problem:
            self._ignored.pop(pod.uid, None)
            return []
        message = f"pod {pod.key}: {preference.problem}; until then the weights of profile {preference.profile} count"
        if self._ignored.get(pod.uid) == message:
            return []
        self._ignored[pod.uid] = message
        return [ReportIgnored(_pod_ref(pod), message)]

    def _owed(self, ways: Iterable[Way]) -> int:
        return sum(candidates.owed(self.state) for _, candidates in ways)

    def _refresh(self, ways: Iterable[Way], budget: Budget) -> bool:
        """Bring candidates up to the state as far as the budget goes; whether it went all the way."""
        for _, candidates in ways:
            candidates.refresh(self.state, budget)
            if not candidates.settled:
                return False
        return True

    def _delete_leftovers(self, pod: Pod, out: list[Instruction]) -> Unplaced | None:
        """Claims that earlier attempts made for the pod's extended resources hold devices: they go first."""
        found = [self.state.claims.current[uid] for uid in sorted(self.state.special.get(pod.uid, ()))]
        for claim in found:
            if claim.uid not in self._releasing:
                self._await_release(claim.uid, pod.uid, "")
                out.append(DeleteClaim(_pod_ref(pod), _claim_ref(claim)))
        if not found:
            return None
        return Unplaced(
            pod.uid,
            plan.CLAIM_PENDING,
            f"pod {pod.key}: ResourceClaim {found[0].key} of an earlier attempt is being deleted",
        )

    def _refuse_joining(self, pod: Pod, resolved: Resolved, out: list[Instruction]) -> Unplaced | None:
        """What only the flights know of claims: releases under way, rivals, and how many pods are about to join."""
        shared = groups.consumers(pod, self.state)
        for claim in (*resolved.claims, *resolved.joined):
            if claim.uid in self._releasing:
                return Unplaced(pod.uid, plan.CLAIM_PENDING, f"ResourceClaim {claim.key} is being released")
        for claim in resolved.joined:
            spoilt = self._spoilt(claim, self._now)
            self._avoid(spoilt)
            problem = spoilt[0].text if spoilt else self._evicting(claim)
            if problem:
                out += self._untie(pod, (claim,))
                return Unplaced(pod.uid, plan.NO_FIT, f"ResourceClaim {claim.key}: {problem}")
            clash = self._clash(claim)
            if clash:
                out += self._untie(pod, resolved.joined)
                return Unplaced(pod.uid, plan.NO_FIT, f"{clash}; free one")
            if self._exclusive(pod, claim, shared):
                where = f"ResourceClaim {claim.key}"
                text = f"{where} has a device that stands for a resource of its node, and another pod uses it"
                return Unplaced(pod.uid, plan.NO_FIT, text)
            reserved = {consumer.uid for consumer in claim.reserved_for}
            holder = shared[claim.uid].uid if claim.uid in shared else pod.uid
            joining = {self._flights[each].holder(claim.uid) for each in self._flights_of.get(claim.uid, ())}
            if holder not in reserved and len(reserved | joining) >= MAX_CONSUMERS:
                return Unplaced(
                    pod.uid, plan.CLAIM_PENDING, f"ResourceClaim {claim.key} has or will have {MAX_CONSUMERS} consumers"
                )
        return None

    def _exclusive(self, pod: Pod, claim: Claim, shared: Mapping[Uid, Consumer]) -> bool:
        """Whether only one pod may use a claim, and another does."""
        if not self.config.gates.node_allocatable or not self.state.sized:
            return False
        holder = shared[claim.uid].uid if claim.uid in shared else pod.uid
        others = any(each.uid != holder for each in claim.reserved_for) or bool(self._flights_of.get(claim.uid))
        if not others and claim.uid in shared:
            others = self._group_uses(claim.uid, groups.key_of(pod))
        return others and allocatable.is_mapped(claim, self.state)

    def _class(self, demand: Demand, opinion: Opinion) -> Candidates:
        key = (demand, opinion)
        classes, most = (self._foreign, self.MAX_FOREIGN) if demand.foreign else (self._classes, self.MAX_CLASSES)
        found = classes.get(key)
        if found is None:
            if len(classes) >= most:
                classes.popitem(last=False)
            found = classes[key] = Candidates(demand, self._catalogue, opinion)
        else:
            classes.move_to_end(key)
        return found

    def _world(self) -> World:
        """All that plans are checked by, as it is now."""
        now = self.state.snapshot()
        claims = now.claims_as_held()
        for flight in self._flights.values():
            made = flight.made or (flight.placement.special.claim if flight.placement.special else None)
            if made is not None and made.uid not in claims and made.uid in now.holding:
                claims[made.uid] = replace(made, allocation=now.holding[made.uid])
        return World(
            nodes=now.nodes,
            slices=now.slices,
            classes=now.classes,
            taint_rules=now.taint_rules,
            claims=claims,
            pods=now.pods_as_placed(),
            ownership=self.config.ownership,
            scheduler_names=self._ours,
            gates=self.config.gates,
            groups=now.groups,
            fabric_partitions=self.config.fabric_partitions,
            unlisted_draw=self.config.unlisted_draw,
            namespaces=dict(self.state.nodes.residents.namespaces),
            storage=Storage(**self.state.volumes.snapshot()),
        )

    @staticmethod
    def _check(world: World, decided: Plan) -> None:
        found = violations(world, decided)
        if found:
            raise FaultError("; ".join(f"{each.rule}: {each.where}: {each.text}" for each in found))

    def _park(self, pod: Pod, outcome: Unplaced) -> list[Instruction]:
        attempts = self.backlog.attempts(pod.uid)
        early = outcome.token in {plan.CLAIM_PENDING, plan.RETRY} and attempts == 0
        around = any(resolved.demand.neighbours is not None for resolved, _ in self._tried.get(pod.uid, ()))
        self.backlog.park(pod.uid, outcome.token, self._now, delay=PENDING_S if early else None, looks_around=around)
        message = printable(outcome.message)
        if early:  # what it waits for is on its way
            return []
        out: list[Instruction] = [RecordUnplaced(pod.key, outcome)]
        if self._reported.get(pod.uid) == (outcome.token, message):
            return out
        self._reported[pod.uid] = (outcome.token, message)
        return [*out, ReportUnschedulable(_pod_ref(pod), outcome.token, message)]

    def _untie(self, pod: Pod, joined: Iterable[Claim]) -> list[Instruction]:
        """Claims that nobody else reserves must not tie a pod to nodes where it cannot run: free them."""
        out: list[Instruction] = []
        shared = groups.consumers(pod, self.state)
        for claim in joined:
            consumer = shared.get(claim.uid, _pod_ref(pod).consumer)
            others = any(each.uid != consumer.uid for each in claim.reserved_for) or self._flights_of.get(claim.uid)
            if others or not claim.allocation or not claim.allocation.results:
                continue
            if claim.uid not in shared or not self._group_uses(claim.uid, groups.key_of(pod)):
                self._await_release(claim.uid, consumer.uid, claim.resource_version)
                out.append(ReleaseClaim(_pod_ref(pod), _claim_ref(claim), consumer, deallocate=True))
        return out

    def _let_go(self, pod: Pod) -> list[Instruction]:
        """Free what a pod has reserved and cannot use, as after half of its claims were written: it holds devices.

        A claim that is being deleted goes once no pod is in it, and one that others use, or soon will, stays allocated.
        """
        out: list[Instruction] = []
        shared = groups.consumers(pod, self.state)
        for key in self._keys(pod):
            claim = self.state.claims.current.get(self.state.claim_by_key.get(key, Uid("")))
            if claim is None or not claim.reserved_by(pod.uid) or claim.uid in shared or claim.uid in self._releasing:
                continue
            self._await_release(claim.uid, pod.uid, claim.resource_version)
            consumer = _pod_ref(pod).consumer
            deallocate = not claim.deleting and not self._flights_of.get(claim.uid)
            out.append(ReleaseClaim(_pod_ref(pod), _claim_ref(claim), consumer, deallocate))
        return out

    def _group_uses(self, claim: Uid, group: str) -> bool:
        """Whether a pod of a group runs, or is placed, with a claim that is reserved for the group."""
        if self._flights_of.get(claim):
            return True
        return any(
            (pod.node_name or uid in self._bound) and not pod.done and claim in groups.consumers(pod, self.state)
            for uid, pod in self.state.pods.current.items()
            if pod.group and groups.key_of(pod) == group
        )

    # ------------------------------------------------------------ flights

    def _depart(self, pod: Pod, placement: Placement) -> list[Instruction]:
        """Assume everything, then write what is not written yet."""
        self._forget_pending(pod.uid)
        self._reported.pop(pod.uid, None)
        out: list[Instruction] = [RecordDecision(placement.decision)]
        flight = Flight(
            pod.uid, placement, set(), set(), consumers=groups.consumers(pod, self.state), group=groups.key_of(pod)
        )
        added, flight.taken = self._taken(pod, placement)
        self.state.assume_place(pod.uid, placement.node, added)
        reference = _pod_ref(pod)
        for uid, allocation in placement.allocations.items():
            self.state.assume_allocation(uid, allocation)
            flight.writing.add(uid)
            if placement.special is not None and uid == placement.special.claim.uid:
                out.append(CreateClaim(reference, placement.special, allocation))
            else:
                claim = self.state.claims.current[uid]
                consumer = flight.consumers.get(uid, reference.consumer)
                out.append(WriteAllocation(reference, _claim_ref(claim), allocation, consumer))
        for uid in placement.joined:
            claim = self.state.claims.current[uid]
            if not claim.reserved_by(flight.holder(uid)):
                flight.writing.add(uid)
                consumer = flight.consumers.get(uid, reference.consumer)
                out.append(ReserveClaim(reference, _claim_ref(claim), consumer))
        flight.unseen = set(flight.writing)
        flight.touched = set(flight.writing)
        out += self._mounting.depart(reference, placement.node, placement.mounts, self._now)
        self._flights[pod.uid] = flight
        for uid in (*placement.allocations, *placement.joined):
            self._flights_of[uid].add(pod.uid)
        if not flight.unseen:
            out += self._bind(flight)
        return out

    def _taken(self, pod: Pod, placement: Placement) -> tuple[Resources, str | None]:
        """What a pod's devices take of its node beyond what it requests, and what its status has to say of it."""
        if not self.config.gates.node_allocatable or not (self.state.sized or pod.published is not None):
            return {}, None
        claims, special = self.state.claims.current, placement.special
        held = [
            (special.claim if special is not None and uid == special.claim.uid else claims[uid], allocation)
            for uid, allocation in placement.allocations.items()
        ]
        for uid in placement.joined:
            allocation = claims[uid].allocation
            held += [(claims[uid], allocation)] if allocation is not None else []
        taken, text = allocatable.of_claims(pod, held, self.state)
        nothing = text == "[]" and pod.published is None
        return allocatable.charged(pod, taken)[0], None if nothing else text

    def _look_at(self, flight: Flight, claim: Claim) -> list[Instruction]:
        """A claim of a flight was seen: is what we wrote there?"""
        if flight.failure is not None or flight.binding:
            return []
        planned = flight.placement.allocations.get(claim.uid)
        where = f"ResourceClaim {claim.key}"
        if planned is not None and claim.allocation is not None and not _same_devices(planned, claim.allocation):
            flight.touched.discard(claim.uid)
            return self._give_up(flight, plan.RETRY, f"{where} was allocated by somebody else")
        if claim.deleting:
            return self._give_up(flight, plan.RETRY, f"{where} is being deleted")
        if claim.allocation is None or not claim.reserved_by(flight.holder(claim.uid)):
            if claim.uid not in flight.unseen or later(claim.resource_version, flight.written.get(claim.uid, "")):
                return self._give_up(flight, plan.RETRY, f"{where} lost its allocation or reservation before the bind")
            return []
        if claim.uid not in flight.unseen and flight.until is None:
            return []
        if flight.made is not None and claim.uid == flight.made.uid and claim.uid in flight.writing:
            return []  # the pod does not name it yet, and its kubelet would not find it
        flight.unseen.discard(claim.uid)
        return [] if flight.unseen else self._bind(flight)

    def _bind(self, flight: Flight) -> list[Instruction]:
        """Every claim was seen back: look once more at the node, for rivals and at the devices, and bind."""
        if flight.placement.node not in self.state.nodes.rows:
            return self._give_up(flight, plan.RETRY, f"node {flight.placement.node} was deleted before the bind")
        for uid in (*flight.placement.allocations, *flight.placement.joined):
            claim = self.state.claims.current[uid]
            clash = self._clash(claim)
            if clash:
                return self._give_up(flight, plan.RETRY, f"{clash}; {STRANGER}")
            evicting = self._evicting(claim)
            if evicting:
                flight.spoilt.add(uid)
                flight.touched.add(uid)
                return self._give_up(flight, plan.RETRY, f"ResourceClaim {claim.key}: {evicting}")
        unready = self._await_drivers(flight)
        if unready is not None:
            return unready
        mounted, problem = self._mounting.standing(flight.pod)
        if problem:
            return self._give_up(flight, plan.RETRY, problem)
        if not mounted:
            return []
        flight.binding = True
        pod = self.state.pods.current[flight.pod]
        annotations = {names.EXPLAIN: to_json(flight.placement.decision)}
        return [BindPod(_pod_ref(pod), flight.placement.node, annotations, flight.taken)]

    def _clash(self, claim: Claim) -> str:
        """Which other claim holds what this one holds, in words; empty if none does."""
        found = clashes(self.state, claim.uid, claim.allocation) if claim.allocation is not None else {}
        if not found:
            return ""
        other = min(found)
        return self._clash_told(Clash(claim.uid, other, found[other]))

    def _clash_told(self, clash: Clash) -> str:
        known = [self.state.claims.current.get(uid) for uid in (clash.claim, clash.other)]
        keys = [each.key if each else uid for each, uid in zip(known, (clash.claim, clash.other), strict=True)]
        return f"ResourceClaim {keys[0]} and claim {keys[1]} {clash.how}"

    def _tell_clashes(self, *, again: bool = False) -> list[Instruction]:
        """Of claims that changed, tell the pods of ours that are bound already; those that are not yet yield theirs.

        again : only tell, and look at the same claims once more next time.
        """
        told: dict[Uid, list[str]] = {}
        out: list[Instruction] = []
        for clash in self.clashes.fresh(self.state, again=again):
            bound = self._bound_with(clash.claim) | self._bound_with(clash.other)
            if bound:
                self.clashes.tell(clash)
            elif not again:
                out += self._yield(clash)
            for uid in bound:
                told.setdefault(uid, []).append(self._clash_told(clash))
        pods = self.state.pods.current
        out += [
            ReportClash(_pod_ref(pods[uid]), printable(f"pod {pods[uid].key}: {'; '.join(lines)}; {STRANGER}"))
            for uid, lines in sorted(told.items())
        ]
        return out

    def _yield(self, clash: Clash) -> list[Instruction]:
        """Free what a pod of ours holds that waits, as one does that an earlier leader left half done.

        Its turn may be far, and the other one may run already. What is being written yields when it is to be bound.
        """
        known = self.state.claims.current
        claims = [known[uid] for uid in (clash.claim, clash.other) if uid in known and uid not in self._releasing]
        if len(claims) < 2:  # one yields already
            return []
        for claim in claims:
            for pod in [self.state.pods.current[each.uid] for each in claim.reserved_for if each.uid in self.backlog]:
                out: list[Instruction] = []
                if is_special(claim):
                    self._delete_leftovers(pod, out)
                else:
                    out += self._untie(pod, (claim,))
                if out:
                    return out
        return []

    def _bound_with(self, uid: Uid) -> set[Uid]:
        """Pods of ours that are bound, or are just being bound, and use a claim."""
        claim = self.state.claims.current.get(uid)
        if claim is None:
            return set()
        pods = self.state.pods.current
        users = {consumer.uid for consumer in claim.reserved_for}
        teams = {f"{claim.namespace}/{each.name}" for each in claim.reserved_for if each.resource == "podgroups"}
        if teams:
            users |= {pod.uid for pod in pods.values() if pod.group and groups.key_of(pod) in teams}
        flights = {pod for pod in self._flights_of.get(uid, ()) if self._flights[pod].binding}
        return flights | {
            user
            for user in users
            if user in pods
            and pods[user].scheduler_name in self._ours
            and not pods[user].done
            and (pods[user].node_name or user in self._bound)
        }

    def _await_drivers(self, flight: Flight) -> list[Instruction] | None:
        """None once every device is ready for the pod; else what there is to do, which while it waits is nothing."""
        if not self.config.gates.binding_conditions:
            return None
        since = self._now if flight.since is None else flight.since
        waits: list[float] = []
        for uid in (*flight.placement.allocations, *flight.placement.joined):
            claim = self.state.claims.current[uid]
            spoilt = self._spoilt(claim, since)
            if spoilt:
                self._avoid(spoilt)
                flight.spoilt.add(uid)
                flight.touched.add(uid)
                return self._give_up(flight, plan.RETRY, f"ResourceClaim {claim.key}: {spoilt[0].text}")
            if not conditions.standing(claim).ready:
                waits.append(self._patience(claim, since))
        if not waits:
            return None
        flight.since = since
        if flight.until != min(waits):
            flight.until = min(waits)
            heapq.heappush(self._waits, (flight.until, flight.pod))
        return []

    def _patience(self, claim: Claim, since: float) -> float:
        """Until when drivers may take their time: from the allocation on, but not later than when a wait began."""
        written = conditions.seconds(claim.allocation.timestamp) if claim.allocation else None
        known = [since] if written is None or self._ahead is None else [since, written - self._ahead]
        return min(known) + self.config.binding_timeout_s

    def _spoilt(self, claim: Claim, since: float) -> Sequence[conditions.Finding]:
        """Devices of an allocated claim with which no pod can be bound any more."""
        if not self.config.gates.binding_conditions:
            return ()
        found = conditions.standing(claim)
        if found.ready or found.failed or self._patience(claim, since) > self._now:
            return found.failed
        seconds = f"after {self.config.binding_timeout_s:g} seconds"
        return [replace(each, text=f"{each.text} {seconds}") for each in found.pending]

    def _evicting(self, claim: Claim) -> str:
        """What would evict a pod as soon as it is bound with this claim, in words; empty if nothing would."""
        if not self.config.gates.device_taints:
            return ""
        for result in claim.allocation.results if claim.allocation else ():
            taint = self.state.evicting_taint(result)
            if taint is not None:
                device = "/".join(result.identity)
                return f"its device {device} has taint {taint.key}:{taint.effect}, which evicts pods"
        return ""

    def _avoid(self, spoilt: Iterable[conditions.Finding]) -> None:
        """Leave devices that failed alone, so that the next attempt takes others."""
        for each in spoilt:
            self._avoided.pop(each.device, None)
            self._avoided[each.device] = self._now + conditions.AVOID_S
            self.state.avoid(each.device, each.text)

    def _claim_created(self, event: ClaimCreated) -> Iterable[Instruction]:
        """From now on the claim is meant by its own uid."""
        flight = self._flights.get(event.pod)
        if flight is None or flight.placement.special is None:
            raise FaultError(f"claim {event.claim.key} was made, and nobody asked for it")
        before, now = flight.placement.special.claim.uid, event.claim.uid
        flight.made = event.claim
        placement = flight.placement
        allocations = {now if uid == before else uid: given for uid, given in placement.allocations.items()}
        flight.placement = replace(placement, allocations=allocations)
        self.state.assume_allocation(now, allocations[now])
        self.state.forget_allocation(before)
        for uids in (flight.writing, flight.unseen, flight.touched):
            uids.discard(before)
            uids.add(now)
        del self._flights_of[before]
        self._flights_of[now].add(event.pod)
        return []

    def _claim_written(self, event: ClaimWritten) -> Iterable[Instruction]:
        flight = self._flights.get(event.pod)
        if flight is None:
            return []
        flight.writing.discard(event.claim.uid)
        flight.written[event.claim.uid] = event.claim.resource_version
        if flight.failure is not None:
            return self._land(flight)
        seen = self.state.claims.current.get(event.claim.uid)
        return self._look_at(flight, seen) if seen is not None and event.claim.uid in flight.unseen else []

    def _claim_refused(self, event: ClaimRefused) -> Iterable[Instruction]:
        flight = self._flights.get(event.pod)
        if flight is None:
            return []
        flight.writing.discard(event.claim)
        special = flight.placement.special
        if special is not None and event.claim == special.claim.uid:
            flight.touched.discard(event.claim)
            problem = f"the claim for its extended resources could not be made ({event.cause}): {event.message}"
            return self._give_up(flight, plan.RETRY, problem)
        if event.cause != "unknown" and (flight.made is None or event.claim != flight.made.uid):
            flight.touched.discard(event.claim)
        claim = flight.made if flight.made is not None and event.claim == flight.made.uid else None
        claim = claim or self.state.claims.current.get(event.claim)
        where = f"ResourceClaim {claim.key if claim else event.claim}"
        return self._give_up(flight, plan.RETRY, f"{where} could not be written ({event.cause}): {event.message}")

    def _pod_bound(self, event: PodBound) -> Iterable[Instruction]:
        flight = self._flights.get(event.pod)
        pod = self.state.pods.current.get(event.pod)
        if flight is None:
            return []
        self._end(flight, keep=True)
        self._failures.pop(event.pod, None)
        if pod is None:
            return []
        if not pod.node_name:
            self._bound.add(event.pod)
        devices = [result for each in flight.placement.allocations.values() for result in each.results]
        held = f" with {', '.join(f'{each.pool}/{each.device}' for each in devices)}" if devices else ""
        message = f"Successfully assigned {pod.key} to {event.node}{held}"
        return [ReportScheduled(_pod_ref(pod), event.node, message)]

    def _bind_refused(self, event: BindRefused) -> Iterable[Instruction]:
        flight = self._flights.get(event.pod)
        if flight is None:
            return []
        flight.binding = False
        return self._give_up(flight, plan.RETRY, f"the binding was refused ({event.cause}): {event.message}")

    def _give_up(self, flight: Flight, token: str, message: str) -> list[Instruction]:
        """Undo a flight as soon as no write of it is under way."""
        if flight.failure is None:
            flight.failure = (token, message)
        return self._land(flight)

    def _land(self, flight: Flight) -> list[Instruction]:
        if flight.writing or flight.binding or flight.failure is None or self._mounting.writing(flight.pod):
            return []
        token, message = flight.failure
        pod = self.state.pods.current.get(flight.pod)
        taken_back = self._mounting.give_up(flight.pod, self._now)
        self._end(flight, keep=False)
        out: list[Instruction] = []
        namespace, _, name = flight.placement.decision.pod.partition("/")
        reference = _pod_ref(pod) if pod is not None else PodRef(namespace, name, flight.pod)
        for uid in [uid for uid in flight.touched if uid in flight.consumers and self._group_uses(uid, flight.group)]:
            flight.touched.discard(uid)
            self.state.forget_allocation(uid)  # the API shows it, or else nobody could use it
        for uid in sorted(flight.touched):
            claim = self.state.claims.current.get(uid)
            if flight.made is not None and uid == flight.made.uid:
                self._await_release(uid, flight.pod, "")
                out.append(DeleteClaim(reference, _claim_ref(claim or flight.made)))
            elif claim is not None:
                self._await_release(uid, flight.holder(uid), flight.written.get(uid, ""))
                # One that was joined, too, lest nobody have it once its other pods ended; the writer looks for those.
                ours = uid in flight.placement.allocations or uid in flight.spoilt
                deallocate = ours or not self._flights_of.get(uid)
                consumer = flight.consumers.get(uid, reference.consumer)
                out.append(ReleaseClaim(reference, _claim_ref(claim), consumer, deallocate))
        out += taken_back
        if pod is None or pod.node_name or pod.done or pod.deleting:
            return out
        self._await(pod)
        pause = self._pause(pod)
        self.backlog.park(pod.uid, token, self._now, delay=pause, pause=pause)
        sentence = printable(f"pod {pod.key}: {message}; trying again")
        self._reported[pod.uid] = (token, sentence)
        out.append(ReportUnschedulable(_pod_ref(pod), token, sentence))
        return out

    def _pause(self, pod: Pod) -> float:
        """Seconds until a pod that failed is tried again: doubling, and spread over pods, the same in every run."""
        failures = self._failures[pod.uid] = self._failures.get(pod.uid, 0) + 1
        return min((1.0 + spread(pod.uid)) * 2.0 ** min(failures - 1, 6), LAST_PAUSE_S)

    def _drop_flight(self, flight: Flight) -> None:
        del self._flights[flight.pod]
        for uid in (*flight.placement.allocations, *flight.placement.joined):
            self._flights_of[uid].discard(flight.pod)
            if not self._flights_of[uid]:
                del self._flights_of[uid]

    def _end(self, flight: Flight, *, keep: bool) -> None:
        self._drop_flight(flight)
        self._mounting.forget(flight.pod)
        for uid in flight.placement.allocations:
            if keep or uid not in flight.touched:  # what we wrote, or may have written, stays held until its release
                self.state.forget_allocation(uid)
        if not keep:
            self.state.forget_place(flight.pod)
            self.backlog.wake(Happening.ROOM_FREED)
            for uid in (*flight.placement.allocations, *flight.placement.joined):
                self._wake_users_of(uid)
            self._wake_volume_users(mount.claim for mount in flight.placement.mounts)

    def _await_release(self, claim: Uid, holder: Uid, written: str) -> None:
        self._releasing.pop(claim, None)
        self._releasing[claim] = Release(holder, written, self._now + RELEASE_S)

    def _settle_release(self, claim: Claim) -> None:
        """End a release once the claim is seen without its holder, unless that is how it was before our write."""
        release = self._releasing.get(claim.uid)
        if (
            release is not None
            and not is_special(claim)  # it is being deleted, and that is seen otherwise
            and not claim.reserved_by(release.holder)
            and not later(release.written, claim.resource_version)
        ):
            self._end_release(claim.uid)

    def _stop_waiting(self) -> list[Instruction]:
        """End the releases that were not seen in time, the flights whose drivers did nothing, and what is avoided."""
        late = list(takewhile(lambda uid: self._releasing[uid].until <= self._now, self._releasing))
        for uid in late:
            self._end_release(uid)
        for device in list(takewhile(lambda device: self._avoided[device] <= self._now, self._avoided)):
            del self._avoided[device]
            self.state.avoid(device, None)
            self.backlog.wake(Happening.DEVICES_FREED)
        for uid in self.remote.overdue(self._now):
            self.backlog.hurry(uid)
        out: list[Instruction] = []
        self._wake_volume_users(self._mounting.settle(self._now))
        for uid, problem in self._mounting.overdue(self._now):
            late_flight = self._flights[uid]
            if late_flight.failure is None and not late_flight.binding:
                out += self._give_up(late_flight, plan.RETRY, problem)
        while self._waits and self._waits[0][0] <= self._now:
            until, pod = heapq.heappop(self._waits)
            flight = self._flights.get(pod)
            if flight is not None and flight.until == until and flight.failure is None and not flight.binding:
                out += self._bind(flight)
        return out

    def _end_release(self, uid: Uid) -> None:
        del self._releasing[uid]
        if self.state.assumed(uid) is not None:
            self.state.forget_allocation(uid)
            self.backlog.wake(Happening.DEVICES_FREED)
        self._wake_users_of(uid)

    # ------------------------------------------------------------ slow work

    def _ask_about(self, pod: Pod, pending: Sequence[Pending]) -> list[Instruction]:
        """What is not under way yet; the pod waits for all of it."""
        self._questions.await_answers(pod.uid, [(each.expression, each.tuples) for each in pending])
        return self._evaluate(pending, pod.namespace)

    def _evaluate(self, pending: Sequence[Pending], tenant: str) -> list[Instruction]:
        out: list[Instruction] = []
        for each in pending:
            generation = self._questions.ask((each.expression, each.tuples), self._now)
            if generation is None:
                continue
            if each.tuples:
                steps = self.config.scalar_steps
                out.append(EvaluateScalar(each.expression, each.tuples, steps, generation, tenant))
            else:
                out.append(Inspect(each.expression, generation, tenant))
        return out

    def _ask_solve(self, pod: Pod, problems: Sequence[NodeProblem | Puzzle]) -> list[Instruction]:
        self._questions.await_answers(pod.uid, problems)
        return self._search(problems, pod.namespace)

    def _search(self, problems: Sequence[NodeProblem | Puzzle], tenant: str) -> list[Instruction]:
        out: list[Instruction] = []
        for problem in problems:
            generation = self._questions.ask(problem, self._now)
            if generation is not None:
                budget = min(self._solve_budgets.get(problem, FIRST_SOLVE), self.config.solve_steps)
                out.append(Solve(problem, budget, generation, tenant))
        return out

    def _tell_askers(self, key: Hashable) -> None:
        """A question is answered: pods that waited for nothing else are tried again."""
        for pod in self._questions.release(key):
            self.backlog.hurry(pod)

    def _solved(self, event: Solved) -> Iterable[Instruction]:
        problem, found = event.problem, event.answer
        if not isinstance(problem, NodeProblem | Puzzle) or not isinstance(found, NodeAnswer):
            raise FaultError(f"Solved carries a {type(problem).__name__} and a {type(found).__name__}")
        if not self._questions.answered(problem, event.generation):
            return []
        spent = self._solve_budgets.pop(problem, FIRST_SOLVE)
        if not found.exhausted:
            self._catalogue.learn(problem, found)
            self._tell_askers(problem)
            return []
        # A budget that was spent says nothing about whether the pod fits. The last one is asked for at each retry.
        self._solve_budgets[problem] = 8 * spent
        if len(self._solve_budgets) > MAX_QUESTIONS:
            self._solve_budgets.pop(next(iter(self._solve_budgets)))
        if spent < self.config.solve_steps:
            self._tell_askers(problem)
        return []

    def _scalar_evaluated(self, event: ScalarEvaluated) -> Iterable[Instruction]:
        key = (event.expression, event.tuples)
        if self._questions.answered(key, event.generation):
            self._catalogue.verdicts.learn(event.expression, event.tuples, event.verdicts)
            self._tell_askers(key)
        return []

    def _inspected(self, event: Inspected) -> Iterable[Instruction]:
        if not isinstance(event.outline, Outline):
            raise FaultError(f"Inspected carries a {type(event.outline).__name__}")
        key = (event.expression, ())
        if self._questions.answered(key, event.generation):
            self._catalogue.verdicts.learn_outline(event.outline)
            self._tell_askers(key)
        return []


def _stands_alone(placement: Placement) -> bool:
    """Whether a placement concerns nobody but its pod."""
    return not placement.joined and placement.special is None and not placement.mounts


def _group_key(key: str) -> str:
    """What pods wait for that wait for their group."""
    return f"PodGroup {key}"


def _volume_claim_key(key: str) -> str:
    """What pods wait for that wait for a volume claim."""
    return f"PersistentVolumeClaim {key}"


def _pod_ref(pod: Pod) -> PodRef:
    return PodRef(pod.namespace, pod.name, pod.uid, pod.resource_version)


def _claim_ref(claim: Claim) -> ClaimRef:
    return ClaimRef(claim.namespace, claim.name, claim.uid, claim.resource_version, claim.finalized)


def _same_devices(a: Allocation, b: Allocation) -> bool:
    return [(each.request, *each.identity) for each in a.results] == [
        (each.request, *each.identity) for each in b.results
    ]
