"""The engine on a cluster in memory, with a clock that jumps to the next thing that happens."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from scheduler.cluster import decode
from scheduler.core.config import EngineConfig, Ownership
from scheduler.core.engine import Engine
from scheduler.core.errors import DecodeError, InputError
from scheduler.core.messages import Drained, Event, Instruction, Listed, RecordDecision, ReportIgnored
from scheduler.core.plan import Decision
from scheduler.core.storage import KINDS
from scheduler.simulator.api import Api
from scheduler.simulator.objects import Found, Objects, Raw, key_of, refuse_metadata
from scheduler.simulator.workloads import expand

CALM_S: Final = 180.0  # longer than any back-off: when so long nothing changed, nothing will
MAX_S: Final = 3600.0
MAX_CYCLES: Final = 20_000
DECODED: Final = (
    "Namespace", "Node", "DeviceClass", "DeviceTaintRule", "ResourceSlice", "ResourceClaimTemplate", "ResourceClaim",
    "Pod", *KINDS,
)  # fmt: skip

SIMULATED: Final = EngineConfig(ownership=Ownership(all_nodes=True), verify_plans=True, cycle_steps=10**12)
"""How a simulation runs unless it is told otherwise: everything is ours, and every plan is checked."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    bound: int
    ours: int
    cycles: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run ended with.

    objects : all, as the API would show them. decisions : pod -> why it was placed where it is. pending : pods of ours
    that stayed unbound -> why. settled : false when the limits of a run ended it. seconds : of the virtual clock.
    warnings : node -> what was wrong with sources of its links; under "" what is wrong with the ConfigMap; under
    namespace/name of a pod which of its annotations are not followed.
    """

    objects: tuple[Raw, ...]
    decisions: Mapping[str, Decision]
    pending: Mapping[str, str]
    bound: tuple[str, ...]
    cycles: int
    seconds: float
    settled: bool
    skipped: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def check(found: Iterable[Found]) -> None:
    """Decode everything that the engine will see. Raises InputError, which names every object that cannot be read."""
    problems: list[tuple[str, DecodeError]] = []
    for each in found:
        if each.kind == "ResourceClaimTemplate":
            spec = each.raw.get("spec")
            own = spec.get("metadata") if isinstance(spec, dict) else None
            if not isinstance(own or {}, dict):
                raise InputError(each.where, f"ResourceClaimTemplate {each.key}: spec.metadata: is not an object")
            refuse_metadata(own or {}, each.where, f"ResourceClaimTemplate {each.key}: spec.metadata")
        elif each.kind == "PriorityClass" and not isinstance(each.raw.get("value", 0), int):
            raise InputError(each.where, f"PriorityClass {each.key}: value: is not a whole number")
        if each.kind not in DECODED:
            continue
        try:
            decode.decode(each.kind, {**each.raw, "metadata": {"uid": "unset", **each.raw["metadata"]}})
        except DecodeError as error:
            problems.append((each.where, error))
    if problems:
        (where, first), *others = problems
        if not others:
            raise InputError(where, str(first)) from first
        raise InputError(where, "\n".join([f"{first}", *(f"{place}: {error}" for place, error in others)])) from first


def simulate(
    objects: Objects,
    config: EngineConfig = SIMULATED,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Outcome:
    """Run until nothing more happens. Raises InputError for objects that cannot be read."""
    check(objects.found)
    found = expand(objects.found)
    check(found[len(objects.found) :])
    simulation = Simulation((each.raw for each in found), config, progress)
    simulation.settle()
    return replace(simulation.outcome(), skipped=dict(sorted(objects.skipped.items())))


class Simulation:
    """An engine and a cluster in memory. Objects may be created and deleted in `api` whenever it is at rest."""

    def __init__(
        self,
        objects: Iterable[Raw],
        config: EngineConfig = SIMULATED,
        progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self.api = Api(objects)
        self.engine = Engine(replace(config, verify_plans=True))
        self.now = 0.0
        self.cycles = 0
        self.settled = True
        self.decisions: dict[str, Decision] = {}
        self.ignored: dict[str, tuple[str, ...]] = {}
        self._names = config.scheduler_names
        self._progress = progress
        self._take(self.api.events())
        self._take([Listed()])

    def settle(self) -> None:
        """Run until nothing more happens. `settled` tells whether it came to rest by itself."""
        self.settled = self._until_calm(self.cycles + MAX_CYCLES, self.now + MAX_S)

    def _until_calm(self, last_cycle: int, last_s: float) -> bool:
        self._take(self.api.events())
        writes, changed_at = self.api.writes, self.now
        while self.cycles < last_cycle:
            self.cycles += 1
            asked = self.engine.handle(Drained(), self.now)
            self._take(self._obey(asked))
            ours = self.ours()
            self._progress(Progress(sum(bool(_node_of(pod)) for pod in ours), len(ours), self.cycles))
            if self.api.writes != writes:
                writes, changed_at = self.api.writes, self.now
                continue
            if asked:
                continue
            wakeup = self.engine.next_wakeup()
            if wakeup is None or wakeup > changed_at + CALM_S:
                return not self.engine.in_flight
            if wakeup > last_s:
                return False
            self.now = self.api.now = max(wakeup, self.now + 0.001)
        return False

    def _take(self, events: Iterable[Event]) -> None:
        """Feed events and carry out what comes of them, in order, until nothing does."""
        waiting = deque(events)
        while waiting:
            waiting += self._obey(self.engine.handle(waiting.popleft(), self.now))

    def _obey(self, instructions: Iterable[Instruction]) -> list[Event]:
        found: list[Event] = []
        for instruction in instructions:
            if isinstance(instruction, RecordDecision):
                self.decisions[instruction.decision.pod] = instruction.decision
            elif isinstance(instruction, ReportIgnored):
                self.ignored[f"{instruction.pod.namespace}/{instruction.pod.name}"] = (instruction.message,)
            found += self.api.execute(instruction)
        return found

    def ours(self) -> list[Raw]:
        """Pods that are for us to place, placed or not."""
        return [
            pod
            for pod in self.api.all("Pod")
            if (pod.get("spec") or {}).get("schedulerName") in self._names
            and pod["status"].get("phase") not in {"Succeeded", "Failed"}
        ]

    def pending(self) -> dict[str, str]:
        """Pods of ours without a node, and why."""
        found = {}
        for pod in self.ours():
            if not _node_of(pod):
                key = key_of(pod)
                reported = self.engine.why_pending(key)
                found[key] = reported[1] if reported else _idle(pod)
        return found

    def outcome(self) -> Outcome:
        """How things stand."""
        bound = tuple(key_of(pod) for pod in self.ours() if _node_of(pod))
        return Outcome(
            objects=tuple(self.api.everything()),
            decisions={key: self.decisions[key] for key in sorted(self.decisions) if key in bound},
            pending=self.pending(),
            bound=bound,
            cycles=self.cycles,
            seconds=self.now,
            settled=self.settled,
            warnings=dict(sorted({**self.engine.state.link_warnings, **self.ignored}.items())),
        )


def _node_of(pod: Raw) -> str:
    return (pod.get("spec") or {}).get("nodeName") or ""


def _idle(pod: Raw) -> str:
    """Why a pod was not even tried."""
    spec = pod.get("spec") or {}
    if spec.get("schedulingGates"):
        gates = ", ".join(str(gate.get("name")) for gate in spec["schedulingGates"])
        return f"pod {key_of(pod)}: waits for its scheduling gates {gates}"
    if "deletionTimestamp" in pod["metadata"]:
        return f"pod {key_of(pod)}: is being deleted"
    return f"pod {key_of(pod)}: was not decided before the simulation ended"
