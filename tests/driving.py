"""An engine with hands: feeds events, answers instructions as an API server would, and remembers what was asked."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from scheduler.core.config import EngineConfig, Ownership
from scheduler.core.engine import Engine
from scheduler.core.messages import (
    BindPod,
    ClaimCreated,
    ClaimWritten,
    CreateClaim,
    DeleteClaim,
    Drained,
    Event,
    Gone,
    Instruction,
    Listed,
    PodBound,
    ReleaseClaim,
    ReportUnschedulable,
    ReserveClaim,
    ScoreRemotely,
    Seen,
    Slow,
    WriteAllocation,
)
from scheduler.core.model import Claim, DeviceStatus, Pod
from scheduler.core.slow import answer
from tests import build

Asked = TypeVar("Asked", bound=Instruction)


class Hands:
    """`objects` are seen before the first decision, with the class `gpu` unless a class is given."""

    def __init__(self, *objects: Any, **config: Any) -> None:
        settings = {"ownership": Ownership(all_nodes=True), "verify_plans": True, "cycle_steps": 10**12, **config}
        self.engine = Engine(EngineConfig(**settings))
        self.now = 0.0
        self.asked: list[Instruction] = []
        self.scorers: Callable[[ScoreRemotely], Iterable[Event]] = lambda asked: []  # nobody answers
        self.see(build.device_class(), *objects)
        self.tell(Listed())

    def tell(self, event: Event) -> list[Instruction]:
        out = self.engine.handle(event, self.now)
        self.asked += out
        return out

    def see(self, *objects: Any) -> list[Instruction]:
        return [each for item in objects for each in self.tell(Seen(item))]

    def decide(self, now: float | None = None) -> list[Instruction]:
        self.now = self.now if now is None else now
        return self.tell(Drained())

    def written(self, write: WriteAllocation | ReserveClaim) -> Claim:
        """The claim as the API has it after a write."""
        claim = self.engine.state.claims.current[write.claim.uid]
        allocation = write.allocation if isinstance(write, WriteAllocation) else claim.allocation
        version = str(int(claim.resource_version) + 1)
        return replace(
            claim, allocation=allocation, reserved_for=(*claim.reserved_for, write.consumer), finalized=True,
            resource_version=version,
        )  # fmt: skip

    @staticmethod
    def made(write: CreateClaim) -> Claim:
        """The claim as the API has it at first: with a uid of its own and without an allocation."""
        asked = write.special.claim
        return replace(asked, uid=build.Uid(f"uid-{asked.name}"), resource_version="100", finalized=True)

    @staticmethod
    def held(write: CreateClaim, claim: Claim) -> Claim:
        """The claim as the API has it once it is allocated and reserved."""
        who = build.Consumer("pods", write.pod.name, write.pod.uid)
        return replace(claim, allocation=write.allocation, reserved_for=(who,), resource_version="101")

    def named(self, write: CreateClaim, claim: Claim) -> list[Instruction]:
        """The pod's status names the claim, the write is answered, and both are seen."""
        pod = replace(self.pod(write.pod.uid), extended_claim=claim.name)
        return self.tell(ClaimWritten(pod.uid, claim)) + self.see(pod, claim)

    def obey(self, instruction: Instruction) -> list[Instruction]:
        """Carry one instruction out; returns what the engine asks for next."""
        if isinstance(instruction, WriteAllocation | ReserveClaim):
            claim = self.written(instruction)
            return self.tell(ClaimWritten(instruction.pod.uid, claim)) + self.see(claim)
        if isinstance(instruction, CreateClaim):
            claim = self.made(instruction)
            held = self.held(instruction, claim)
            return self.tell(ClaimCreated(claim.owner, claim)) + self.see(claim) + self.named(instruction, held)
        if isinstance(instruction, DeleteClaim):
            claim = instruction.claim
            return self.tell(Gone("ResourceClaim", f"{claim.namespace}/{claim.name}", claim.uid))
        if isinstance(instruction, BindPod):
            pod = self.pod(instruction.pod.uid)
            return self.tell(PodBound(pod.uid, instruction.node)) + self.see(replace(pod, node_name=instruction.node))
        if isinstance(instruction, ReleaseClaim):
            claim = self.engine.state.claims.current[instruction.claim.uid]
            left = tuple(who for who in claim.reserved_for if who.uid != instruction.consumer.uid)
            allocation = None if instruction.deallocate and not left else claim.allocation
            version = str(int(claim.resource_version) + 10)  # later than any write of ours that was not seen
            devices = claim.devices if allocation is not None else ()
            return self.see(
                replace(claim, reserved_for=left, allocation=allocation, devices=devices, resource_version=version)
            )
        if isinstance(instruction, ScoreRemotely):
            return [each for event in self.scorers(instruction) for each in self.tell(event)]
        if isinstance(instruction, Slow):
            return self.tell(answer(instruction))
        return []

    def driver_says(self, name: str, device: str, **conditions: str) -> list[Instruction]:
        """The driver of a device reports conditions of it in a claim, beside what it said of others."""
        claim = self.engine.state.claims.current[self.engine.state.claim_by_key[f"{build.NAMESPACE}/{name}"]]
        assert claim.allocation is not None
        (result,) = [each for each in claim.allocation.results if each.device == device]
        status = DeviceStatus(result.driver, result.pool, result.device, conditions, result.share_id)
        others = tuple(each for each in claim.devices if each.device != device)
        version = str(int(claim.resource_version) + 1)
        return self.see(replace(claim, devices=(*others, status), resource_version=version))

    def pass_time(self, until: float) -> "Hands":
        """Let time go by, deciding whenever the engine asks for it."""
        while True:
            wakeup = self.engine.next_wakeup()
            if wakeup is None or wakeup > until:
                self.now = until
                return self.settle()
            self.now = max(self.now, wakeup)
            self.settle()

    def pod(self, uid: str) -> Pod:
        return self.engine.state.pods.current[build.Uid(uid)]

    def settle(self, rounds: int = 200) -> "Hands":
        """Decide and obey until nothing more is asked."""
        for _ in range(rounds):
            todo = self.decide()
            if not todo:
                return self
            self.obey_all(todo)
        raise AssertionError("the engine does not come to rest")

    def obey_all(self, todo: Iterable[Instruction]) -> None:
        """Carry out these and what comes of them."""
        waiting = list(todo)
        while waiting:
            waiting = [each for instruction in waiting for each in self.obey(instruction)]

    def go_on(self, rounds: int = 5000) -> "Hands":
        """As settle, for an engine that takes several cycles to decide something."""
        for _ in range(rounds):
            self.obey_all(self.decide())
            wakeup = self.engine.next_wakeup()
            if wakeup is None or wakeup > self.now:
                return self
        raise AssertionError("the engine does not come to rest")

    def of(self, kind: type[Asked]) -> list[Asked]:
        """All instructions of a kind so far."""
        return [each for each in self.asked if isinstance(each, kind)]

    def node_of(self, pod: str) -> str:
        """Where a pod is bound; empty: nowhere."""
        return self.pod(build.pod_uid(pod)).node_name

    def devices_of(self, claim: str) -> list[str]:
        """Device names that a claim holds, in order."""
        held = self.engine.state.claims.current[build.claim_uid(claim)].allocation
        return [each.device for each in held.results] if held else []

    def reason(self, pod: str) -> str:
        """The last reported reason of a pod."""
        reports = [each for each in self.of(ReportUnschedulable) if each.pod.name == pod]
        return reports[-1].message if reports else ""
