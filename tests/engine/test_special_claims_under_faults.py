"""Claims for extended resources while writes fail, watches lag and pods go: nothing leaks, and in the end pods run."""

import random
from collections import deque
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.messages import (
    BindPod,
    BindRefused,
    ClaimCreated,
    ClaimRefused,
    ClaimWritten,
    CreateClaim,
    DeleteClaim,
    Drained,
    Event,
    Gone,
    Instruction,
    PodBound,
    Seen,
)
from scheduler.core.model import Claim, Pod, Uid
from tests.build import Consumer, device_class, gpus, node, pod
from tests.driving import Hands

GPU = "example.com/gpu"
CAUSES = ("conflict", "forbidden", "invalid", "unknown")


class Faulty:
    """An API whose answers and watch are two queues, each in order; `fails` says how often something goes wrong."""

    def __init__(self, seed: int, devices: int, pods: int) -> None:
        self.random = random.Random(seed)
        self.fails = 0.3
        self.claims: dict[Uid, Claim] = {}
        self.pods: dict[Uid, Pod] = {}
        self.answers: deque[Event] = deque()
        self.watch: deque[Event] = deque()
        self.version = 1000
        self.made = 0
        self.hands = Hands(node("n1"), gpus("n1", devices), device_class("backed", extended_resource=GPU))
        for number in range(pods):
            made = pod(f"p{number}", extended={GPU: 1}, created=f"{number:03d}")
            self.pods[made.uid] = made
            self.hands.see(made)

    def show(self, claim: Claim) -> Claim:
        self.version += 1
        claim = self.claims[claim.uid] = replace(claim, resource_version=str(self.version))
        self.watch.append(Seen(claim))
        return claim

    def change(self, uid: Uid, **fields: str) -> None:
        if uid in self.pods:
            self.pods[uid] = replace(self.pods[uid], **fields)
            self.watch.append(Seen(self.pods[uid]))

    def obey(self, instruction: Instruction) -> None:
        if isinstance(instruction, CreateClaim):
            self.create(instruction)
        elif isinstance(instruction, DeleteClaim):
            if self.random.random() > self.fails / 2:  # a deletion that is lost is asked for again
                gone = self.claims.pop(instruction.claim.uid, None)
                if gone is not None:
                    self.watch.append(Gone("ResourceClaim", gone.key, gone.uid))
        elif isinstance(instruction, BindPod):
            where = instruction.pod
            if self.random.random() < self.fails or where.uid not in self.pods:
                self.answers.append(BindRefused(where.uid, self.random.choice(CAUSES), "no"))
            else:
                self.answers.append(PodBound(where.uid, instruction.node))
                self.change(where.uid, node_name=instruction.node)

    def create(self, write: CreateClaim) -> None:
        asked = write.special.claim
        taken = any(each.key == asked.key for each in self.claims.values())  # by a claim whose deletion was lost
        if self.random.random() < self.fails or taken:
            self.answers.append(ClaimRefused(write.pod.uid, asked.uid, self.random.choice(CAUSES), "no"))
            return
        self.made += 1
        claim = self.show(replace(asked, uid=Uid(f"uid-{self.made}"), finalized=True))
        self.answers.append(ClaimCreated(write.pod.uid, claim))
        if self.random.random() < self.fails:
            self.answers.append(ClaimRefused(write.pod.uid, claim.uid, self.random.choice(CAUSES), "no"))
            return
        who = Consumer("pods", write.pod.name, write.pod.uid)
        claim = self.show(replace(claim, allocation=write.allocation, reserved_for=(who,)))
        if self.random.random() < self.fails:
            self.answers.append(ClaimRefused(write.pod.uid, claim.uid, self.random.choice(CAUSES), "no"))
            return
        self.change(write.pod.uid, extended_claim=claim.name)
        self.answers.append(ClaimWritten(write.pod.uid, claim))

    def deliver(self) -> None:
        """One event of one of the queues."""
        queue = self.random.choice([each for each in (self.answers, self.watch) if each])
        # The watch shows an allocation only after its claim was answered as created: it is written afterwards.
        if queue is self.watch and self.ahead(queue[0]):
            queue = self.answers
        event = queue.popleft()
        for each in self.hands.tell(event):
            self.obey(each)

    def ahead(self, event: Event) -> bool:
        created = {each.claim.uid for each in self.answers if isinstance(each, ClaimCreated)}
        return isinstance(event, Seen) and event.item.uid in created and event.item.allocation is not None

    def delete_a_pod(self) -> None:
        if self.pods:
            chosen = self.pods.pop(self.random.choice(list(self.pods)))
            self.watch.append(Gone("Pod", chosen.key, chosen.uid))

    def collect_garbage(self) -> None:
        """Claims go with the pods that own them, also those that were made too late."""
        for claim in [each for each in self.claims.values() if each.owner not in self.pods]:
            del self.claims[claim.uid]
            self.watch.append(Gone("ResourceClaim", claim.key, claim.uid))

    def live(self, steps: int) -> None:
        for _ in range(steps):
            if (self.answers or self.watch) and self.random.random() < 0.7:
                self.deliver()
            elif self.random.random() < 0.03 * self.fails / 0.3:
                self.delete_a_pod()
            else:
                self.collect_garbage()
                self.hands.now += self.random.choice((0.0, 0.1, 5.0))
                for each in self.hands.tell(Drained()):
                    self.obey(each)

    def calm(self) -> None:
        """No more failures, and time enough for every back-off."""
        self.fails = 0.0
        for _ in range(60):
            self.collect_garbage()
            self.hands.now += 31.0
            for each in self.hands.tell(Drained()):
                self.obey(each)
            while self.answers or self.watch:
                self.deliver()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 5))
def test_nothing_leaks_and_no_device_is_given_twice(seed, devices, pods):
    faulty = Faulty(seed, devices, pods)

    faulty.live(150)
    faulty.calm()

    state = faulty.hands.engine.state
    held = [result.identity for claim in faulty.claims.values() for result in claim.allocation.results]
    bound = [each for each in state.pods.current.values() if each.node_name]
    assert len(held) == len(set(held))
    assert faulty.hands.engine.in_flight == 0
    assert {claim.owner for claim in faulty.claims.values()} == {each.uid for each in bound}
    assert set(state.holding.current) == set(faulty.claims)
    assert len(bound) == min(devices, len(faulty.pods))
    assert {each.extended_claim for each in bound} == {claim.name for claim in faulty.claims.values()}
