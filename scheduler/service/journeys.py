"""How long each pod takes from stage to stage, seen from outside the engine: by events that come and what it asks for.

    queue     from when it is first seen until the cycle begins that decides it
    decide    until that cycle has decided
    write     from the first write of a claim until the last one is answered
    see_back  until all of them were seen in the watch, drivers have said what they must, and the binding is asked for
    bind      until the API server took it
    total     all of that

A pod whose placement is given up begins its next journey where it stands; `total` counts from when it was first seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from scheduler.core.messages import (
    BindPod,
    BindRefused,
    BindVolume,
    ClaimRefused,
    ClaimWritten,
    CreateClaim,
    Event,
    Gone,
    Instruction,
    PodBound,
    RecordDecision,
    ReportUnschedulable,
    ReserveClaim,
    Seen,
    SelectNode,
    VolumeRefused,
    VolumeWritten,
    WriteAllocation,
)
from scheduler.core.model import Pod, Uid
from scheduler.core.plan import Decision

STAGES: Final = ("queue", "decide", "write", "see_back", "bind", "total")
CHANGED: Final = "changed"
"""Why a placement was given up though no write was refused: the pod, a claim, a node or a device changed."""


@dataclass(slots=True)
class Journey:
    """Times of one pod, in seconds of the loop's clock; 0 where something did not happen yet.

    pod, scheduler : its key and its schedulerName.
    cycle : when the cycle began that decided it. writes : by claim, when its write was asked for, and when answered.
    refused : why a write of it was refused, empty if none was. awaited : whether the answer to its binding is.
    placed : whether the pod was seen with a node meanwhile, which may be another scheduler's doing.
    """

    pod: str
    scheduler: str
    seen: float
    decision: Decision | None = None
    cycle: float = 0.0
    decided: float = 0.0
    writes: dict[Uid, tuple[float, float]] = field(default_factory=dict)
    binding: float = 0.0
    ended: float = 0.0
    refused: str = ""
    awaited: bool = False
    placed: bool = False

    @property
    def written(self) -> float:
        """When the last write was answered, 0 while one is not or if there is none."""
        answered = [until for _, until in self.writes.values()]
        return max(answered) if answered and all(answered) else 0.0

    def stages(self) -> dict[str, float]:
        """Seconds of each stage that it went through."""
        found = {"queue": self.cycle - self.seen, "decide": self.decided - self.cycle}
        if self.written:
            found["write"] = self.written - min(since for since, _ in self.writes.values())
            found["see_back"] = self.binding - self.written
        return {**found, "bind": self.ended - self.binding, "total": self.ended - self.seen}


class Observer(Protocol):
    """Who is told of journeys that ended."""

    def bound(self, journey: Journey) -> None:
        """The pod is bound."""
        ...

    def given_up(self, journey: Journey, reason: str) -> None:
        """Its placement was given up; it is tried again."""
        ...


class Journeys:
    """Journeys of the pods that wait and are on their way. Every event and every instruction has to be shown to it."""

    def __init__(self, scheduler_names: frozenset[str], observers: Sequence[Observer]) -> None:
        self._scheduler_names = scheduler_names
        self._observers = observers
        self._of: dict[Uid, Journey] = {}
        self._uids: dict[str, Uid] = {}
        self._happened: dict[type, Callable[[Any, float], None]] = {
            Seen: self._seen,
            Gone: self._gone,
            ClaimWritten: self._answered,
            ClaimRefused: self._refused,
            VolumeWritten: self._mounted,
            VolumeRefused: self._refused,
            BindRefused: self._refused,
            PodBound: self._bound,
        }
        self._asked: dict[type, Callable[[Any, float], None]] = {
            RecordDecision: self._decided,
            WriteAllocation: self._writing,
            ReserveClaim: self._writing,
            BindVolume: self._writing,
            SelectNode: self._writing,
            CreateClaim: self._making,
            BindPod: self._binding,
            ReportUnschedulable: self._reported,
        }
        self._cycle = 0.0

    def __len__(self) -> int:
        return len(self._of)

    def event(self, event: Event, now: float) -> None:
        """Something happened."""
        known = self._happened.get(type(event))
        if known is not None:
            known(event, now)

    def instruction(self, instruction: Instruction, cycle: float, now: float) -> None:
        """The engine asks for something; `cycle` : when it last began to decide."""
        known = self._asked.get(type(instruction))
        if known is not None:
            self._cycle = cycle
            known(instruction, now)

    def assumed(self, now: float) -> tuple[int, float]:
        """How many pods are placed and not bound yet, and for how many seconds the oldest of them."""
        since = [each.decided for each in self._of.values() if each.decided]
        return len(since), now - min(since) if since else 0.0

    # ------------------------------------------------------------ events

    def _seen(self, event: Seen, now: float) -> None:
        pod = event.item
        if not isinstance(pod, Pod) or pod.scheduler_name not in self._scheduler_names:
            return
        if pod.done or pod.deleting or pod.gates:
            self._forget(pod.uid)
        elif pod.node_name:
            journey = self._of.get(pod.uid)
            if journey is None or not journey.awaited:
                self._forget(pod.uid)
            else:
                journey.placed = True  # the answer to the binding ends it
        elif pod.uid not in self._of:
            self._forget(self._uids.get(pod.key, Uid("")))
            self._of[pod.uid] = Journey(pod.key, pod.scheduler_name, now)
            self._uids[pod.key] = pod.uid

    def _gone(self, event: Gone, now: float) -> None:
        if event.kind == "Pod":
            self._forget(event.uid or self._uids.get(event.key, Uid("")))

    def _forget(self, uid: Uid) -> None:
        journey = self._of.pop(uid, None)
        if journey is not None:
            self._uids.pop(journey.pod, None)

    def _answered(self, event: ClaimWritten, now: float) -> None:
        # A claim that was made has another uid than the one that it was asked for under.
        self._written(event.pod, (event.claim.uid, Uid(f"of {event.pod}")), now)

    def _mounted(self, event: VolumeWritten, now: float) -> None:
        self._written(event.pod, (event.claim,), now)

    def _written(self, pod: Uid, keys: tuple[Uid, ...], now: float) -> None:
        """The first of these writes that the pod waits for is done."""
        journey = self._of.get(pod)
        key = next((each for each in keys if each in journey.writes), None) if journey is not None else None
        if journey is not None and key is not None:
            journey.writes[key] = (journey.writes[key][0], now)

    def _refused(self, event: ClaimRefused | VolumeRefused | BindRefused, now: float) -> None:
        journey = self._of.get(event.pod)
        if journey is None:
            return
        journey.refused = event.cause
        if isinstance(event, BindRefused):
            journey.awaited = False
            if journey.placed:
                self._forget(event.pod)

    def _bound(self, event: PodBound, now: float) -> None:
        journey = self._of.get(event.pod)
        self._forget(event.pod)
        if journey is not None and journey.decided:
            journey.ended = now
            for observer in self._observers:
                observer.bound(journey)

    # ------------------------------------------------------------ instructions

    def _decided(self, instruction: RecordDecision, now: float) -> None:
        journey = self._of.get(self._uids.get(instruction.decision.pod, Uid("")))
        if journey is not None:
            journey.decision, journey.cycle, journey.decided = instruction.decision, self._cycle, now

    def _writing(self, write: WriteAllocation | ReserveClaim | BindVolume | SelectNode, now: float) -> None:
        journey = self._of.get(write.pod.uid)
        if journey is not None:
            journey.writes[write.claim.uid] = (now, 0.0)

    def _making(self, write: CreateClaim, now: float) -> None:
        journey = self._of.get(write.pod.uid)
        if journey is not None:
            journey.writes[Uid(f"of {write.pod.uid}")] = (now, 0.0)

    def _binding(self, write: BindPod, now: float) -> None:
        journey = self._of.get(write.pod.uid)
        if journey is not None:
            journey.binding, journey.awaited = now, True

    def _reported(self, report: ReportUnschedulable, now: float) -> None:
        """Of a pod that is placed this says that its placement was given up."""
        journey = self._of.get(report.pod.uid)
        if journey is None or not journey.decided:
            return
        journey.ended = now
        for observer in self._observers:
            observer.given_up(journey, journey.refused or CHANGED)
        self._of[report.pod.uid] = Journey(journey.pod, journey.scheduler, journey.seen)
