"""What happened (events, past tense) and what to do (instructions, imperative): all that crosses the core's edge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from scheduler.core.config import EngineConfig
from scheduler.core.extended import SpecialClaim
from scheduler.core.model import (
    Allocation,
    Claim,
    Consumer,
    DeviceClass,
    Namespace,
    Node,
    Pod,
    PodGroup,
    Slice,
    TaintRule,
    Uid,
)
from scheduler.core.plan import Decision, Option, Unplaced
from scheduler.core.storage import Stored
from scheduler.core.topology.maps import LinkMap

Kind = Literal[
    "Namespace", "Node", "ResourceSlice", "DeviceClass", "DeviceTaintRule", "ResourceClaim", "PodGroup", "Pod",
    "ConfigMap", "PersistentVolumeClaim", "PersistentVolume", "StorageClass", "CSINode", "CSIDriver",
    "CSIStorageCapacity", "VolumeAttachment",
]  # fmt: skip

RELEASE_S: Final = 30.0
"""A release of a claim or a volume that was not seen by then is not waited for."""

Cause = Literal["conflict", "gone", "forbidden", "invalid", "unknown"]
"""Why a write was refused. unknown: it was not applied as far as a later read can tell (time-out, 5xx, lost lease)."""

# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Seen:
    """An object was listed, added or changed. Repeats change nothing."""

    item: Namespace | Node | Slice | DeviceClass | TaintRule | Claim | PodGroup | Pod | LinkMap | Stored


@dataclass(frozen=True, slots=True)
class Gone:
    """An object was deleted. `key` is its name, or namespace/name. An empty uid means whichever is known."""

    kind: Kind
    key: str
    uid: Uid


@dataclass(frozen=True, slots=True)
class Rejected:
    """An object exists but cannot be read; `problem` says why. Its last readable form no longer counts.

    scheduler : whom a pod waits for, as far as that can be told; else empty.
    """

    kind: Kind
    key: str
    uid: Uid
    problem: str
    scheduler: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """Every kind has been listed once: from now on decisions are allowed."""


@dataclass(frozen=True, slots=True)
class ClockRead:
    """How many seconds the time since 1970 is ahead of `now`: told at the start, and when the two drift apart.

    Only timestamps that others, or an earlier process, wrote are compared with it.
    """

    ahead: float


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """Another configuration counts from now on. It differs from the one before in `config.LIVE` only."""

    config: EngineConfig


@dataclass(frozen=True, slots=True)
class AuditDue:
    """Time to look whether each pod that waits for us is known to wait."""


@dataclass(frozen=True, slots=True)
class Won:
    """From now on we lead. What is known may be a moment old, so nothing is decided yet."""


@dataclass(frozen=True, slots=True)
class Drained:
    """No more events are at hand: decide now.

    room : how many pods may be decided; None: as many as EngineConfig.batch says. What cannot be written soon is better
    decided later, when more is known, and after pods of a higher priority that came meanwhile.
    """

    room: int | None = None


@dataclass(frozen=True, slots=True)
class ClaimCreated:
    """The claim of CreateClaim exists from now on, as `claim` says: under this uid it is meant hereafter."""

    pod: Uid
    claim: Claim


@dataclass(frozen=True, slots=True)
class ClaimWritten:
    """The API accepted a write of ours; `claim` is the object that it returned."""

    pod: Uid
    claim: Claim


@dataclass(frozen=True, slots=True)
class ClaimRefused:
    """The API refused a write of ours to a claim."""

    pod: Uid
    claim: Uid
    cause: Cause
    message: str


@dataclass(frozen=True, slots=True)
class VolumeWritten:
    """The API accepted a write of ours about a PersistentVolumeClaim, or to it; `resource_version` is what it left."""

    pod: Uid
    claim: Uid
    resource_version: str


@dataclass(frozen=True, slots=True)
class VolumeRefused:
    """The API refused a write of ours about a PersistentVolumeClaim, or to it."""

    pod: Uid
    claim: Uid
    cause: Cause
    message: str


@dataclass(frozen=True, slots=True)
class PodBound:
    """The API accepted our binding."""

    pod: Uid
    node: str


@dataclass(frozen=True, slots=True)
class BindRefused:
    """The API refused our binding and the pod is known not to be bound by it."""

    pod: Uid
    cause: Cause
    message: str


@dataclass(frozen=True, slots=True)
class Solved:
    """Answer to Solve."""

    problem: Any
    generation: int
    answer: Any


@dataclass(frozen=True, slots=True)
class WindowSolved:
    """A plan for a window: per pod the offer that it takes, -1 for none.

    gap : by which share a plan may be worth more, of those offers that were compared; 0 where none was looked for.
    """

    generation: int
    method: str
    plan: tuple[int, ...]
    gap: float


@dataclass(frozen=True, slots=True)
class RemoteScored:
    """Answer of one scorer to ScoreRemotely: a score a candidate, as it said it; or why there are none, in words."""

    pod: Uid
    generation: int
    scorer: str
    scores: tuple[float, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ScalarEvaluated:
    """Answer to EvaluateScalar: per tuple a verdict, or the text of the error."""

    expression: str
    generation: int
    tuples: tuple[object, ...]
    verdicts: tuple[bool | str, ...]


@dataclass(frozen=True, slots=True)
class Inspected:
    """Answer to Inspect: a `cel.Outline`."""

    expression: str
    generation: int
    outline: Any


@dataclass(frozen=True, slots=True)
class Appraised:
    """Answer to Appraise: a `scoring.market.Market`, None where none could be worked out."""

    generation: int
    market: Any


Event = (
    Seen | Gone | Rejected | Listed | ClockRead | Reconfigured | AuditDue | Won | Drained
    | ClaimCreated | ClaimWritten | ClaimRefused | VolumeWritten | VolumeRefused | PodBound | BindRefused
    | Solved | WindowSolved | RemoteScored | ScalarEvaluated | Inspected | Appraised
)  # fmt: skip

# ---------------------------------------------------------------- instructions


@dataclass(frozen=True, slots=True)
class PodRef:
    """Enough of a pod to write to it or about it."""

    namespace: str
    name: str
    uid: Uid
    resource_version: str = ""

    @property
    def consumer(self) -> Consumer:
        """As an entry of reservedFor."""
        return Consumer("pods", self.name, self.uid)


@dataclass(frozen=True, slots=True)
class ClaimRef:
    """Enough of a claim to write to it; `finalized`: our finalizer is there already."""

    namespace: str
    name: str
    uid: Uid
    resource_version: str
    finalized: bool


@dataclass(frozen=True, slots=True)
class WriteAllocation:
    """Add the finalizer if missing, then set allocation, its timestamp and the reservation in one status write.

    consumer : whom it is reserved for. Answered by ClaimWritten or ClaimRefused.
    """

    pod: PodRef
    claim: ClaimRef
    allocation: Allocation
    consumer: Consumer


@dataclass(frozen=True, slots=True)
class CreateClaim:
    """Make the claim that serves a pod's extended resources, allocate and reserve it, then name it in the pod's status.

    Answered by ClaimCreated once the claim exists, and at the end by ClaimWritten or ClaimRefused. A refusal means the
    claim under its provisional uid if none was made, and under its own if one was.
    """

    pod: PodRef
    special: SpecialClaim
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class DeleteClaim:
    """Delete a claim that CreateClaim made, whatever it holds, and take our finalizer off it.

    Carries no answer: that the claim is gone is seen in the watch. A repeat changes nothing.
    """

    pod: PodRef
    claim: ClaimRef


@dataclass(frozen=True, slots=True)
class ReserveClaim:
    """Add to reservedFor of a claim that is allocated already. Answered by ClaimWritten or ClaimRefused."""

    pod: PodRef
    claim: ClaimRef
    consumer: Consumer


@dataclass(frozen=True, slots=True)
class ReleaseClaim:
    """Take the consumer out of reservedFor; with `deallocate` clear the allocation too, unless others are in it.

    Carries no answer: what became of the claim is seen in the watch. A repeat changes nothing.
    """

    pod: PodRef
    claim: ClaimRef
    consumer: Consumer
    deallocate: bool


@dataclass(frozen=True, slots=True)
class StorageRef:
    """Enough of a PersistentVolume, or of a claim to one, to write to it; a volume has no namespace."""

    namespace: str
    name: str
    uid: Uid
    resource_version: str


@dataclass(frozen=True, slots=True)
class BindVolume:
    """Keep a PersistentVolume for a claim; the cluster's controller binds the two then.

    named : whether somebody keeps it for a claim of that name already. Answered by VolumeWritten or VolumeRefused.
    """

    pod: PodRef
    claim: StorageRef
    volume: StorageRef
    named: bool


@dataclass(frozen=True, slots=True)
class SelectNode:
    """Have a volume made for a claim where a node can use it. Answered by VolumeWritten or VolumeRefused."""

    pod: PodRef
    claim: StorageRef
    node: str


@dataclass(frozen=True, slots=True)
class UnbindVolume:
    """Take BindVolume back, unless the controller has begun to bind. Carries no answer; a repeat changes nothing."""

    pod: PodRef
    claim: StorageRef
    volume: StorageRef
    named: bool


@dataclass(frozen=True, slots=True)
class UnselectNode:
    """Take SelectNode back, unless the claim has its volume. Carries no answer; a repeat changes nothing."""

    pod: PodRef
    claim: StorageRef
    node: str


@dataclass(frozen=True, slots=True)
class BindPod:
    """Bind; only issued when every claim was seen back. Answered by PodBound or BindRefused.

    annotations : the API server copies a binding's annotations to the pod. taken : what the pod's status has to say
    first of the node resources that its devices take, a JSON list; taken back if the pod is not bound. None: nothing.
    """

    pod: PodRef
    node: str
    annotations: Mapping[str, str]
    taken: str | None = None


@dataclass(frozen=True, slots=True)
class ReportScheduled:
    """Record the event Scheduled."""

    pod: PodRef
    node: str
    message: str


@dataclass(frozen=True, slots=True)
class ReportUnschedulable:
    """Record the event FailedScheduling and the condition PodScheduled=False."""

    pod: PodRef
    token: str
    message: str


@dataclass(frozen=True, slots=True)
class ReportIgnored:
    """Record the event AnnotationIgnored: the pod is scheduled, but not as its annotations say."""

    pod: PodRef
    message: str


@dataclass(frozen=True, slots=True)
class ReportClash:
    """Record the event DeviceClash: a pod is bound, and others were given what its claims hold."""

    pod: PodRef
    message: str


@dataclass(frozen=True, slots=True)
class RecordDecision:
    """Keep why a pod goes where it goes."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class RecordUnplaced:
    """Keep that an attempt found no place, and why. pod : namespace/name.

    Not said of a first attempt that only lacks a claim or an answer which is on its way.
    """

    pod: str
    outcome: Unplaced


@dataclass(frozen=True, slots=True)
class WarnOfTopology:
    """Tell the operator what is wrong with sources of links that were put aside; each is told once."""

    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Solve:
    """Search one node's devices for longer than the core may: answered by Solved with the same problem and generation.

    `problem` is a `solvers.search.NodeProblem` or a `Puzzle`, `budget` counts search steps. `tenant` : the namespace of
    the pod, here and below: whoever does slow work gives every tenant its turn.
    """

    problem: Any
    budget: int
    generation: int
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class SolveWindow:
    """Decide pods that got in each other's way together: answered by WindowSolved with the same generation.

    `window` is a `solvers.window.Window`; method : of core/windows.py; limit_s : for HiGHS.
    """

    window: Any
    method: str
    limit_s: float
    generation: int
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class ScoreRemotely:
    """Ask scorers of others what they think of the best nodes for a pod; each is answered by a RemoteScored.

    cpu, memory : that the pod requests, in thousandths and bytes. candidates : best first.
    """

    pod: PodRef
    generation: int
    scorers: tuple[str, ...]
    cpu: int
    memory: int
    candidates: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class EvaluateScalar:
    """Evaluate a selector that has no vector form, once per distinct tuple of what it reads.

    Answered by ScalarEvaluated. `budget` bounds the evaluation steps of all tuples together.
    """

    expression: str
    tuples: tuple[object, ...]
    budget: int
    generation: int
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Inspect:
    """Compile a selector that is too long for the core to do so, and tell what it reads. Answered by Inspected."""

    expression: str
    generation: int
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Appraise:
    """Work out what devices are worth to the mix of demand. Answered by Appraised.

    sample, supply : a `scoring.mix.Sample` and a `scoring.prices.Supply`.
    """

    sample: Any
    supply: Any
    generation: int
    tenant: str = ""


Report = ReportScheduled | ReportUnschedulable | ReportIgnored | ReportClash
Slow = Solve | SolveWindow | EvaluateScalar | Inspect | Appraise
Instruction = (
    WriteAllocation | CreateClaim | ReserveClaim | ReleaseClaim | DeleteClaim | BindPod | Report | RecordDecision
    | BindVolume | SelectNode | UnbindVolume | UnselectNode | RecordUnplaced | WarnOfTopology | ScoreRemotely | Slow
)  # fmt: skip
