"""Pods, their nodes and their claims: each placement in the world that those before it leave."""

from collections.abc import Sequence
from typing import Final

from scheduler.core import names
from scheduler.core.cel import derive as derived
from scheduler.core.cel import evaluate_scalar
from scheduler.core.model import NO_EXECUTE, NO_SCHEDULE, Allocation, Claim, Node, Pod, PodClaim, PodGroup, Taint, Uid
from scheduler.core.plan import Placement, Plan
from scheduler.core.verify.allocation import Allocations, Given
from scheduler.core.verify.extended import check_special, delegated
from scheduler.core.verify.neighbours import check_neighbours
from scheduler.core.verify.rules import (
    CLAIMS,
    DEVICE_TAINT,
    GATES,
    IN_USE,
    JOINED,
    MAX_RESERVED_FOR,
    NODE,
    NODE_AFFINITY,
    NODE_FEATURES,
    NODE_SELECTOR,
    NODE_TAINT,
    NOMINATED,
    OWNERSHIP,
    POD,
    RESERVED,
    RESOURCES,
    UNSCHEDULABLE,
    UNSUPPORTED,
    Derive,
    Evaluate,
    Findings,
    Violation,
    World,
    show,
)
from scheduler.core.verify.storage import StorageCheck
from scheduler.core.verify.words import keeps_off, node_selected, tolerated

UNSCHEDULABLE_TAINT: Final = Taint("node.kubernetes.io/unschedulable", "", NO_SCHEDULE)


def violations(
    world: World, plan: Plan, evaluate: Evaluate = evaluate_scalar, derive: Derive = derived
) -> tuple[Violation, ...]:
    """Every rule that the plan breaks, in order of its placements; empty for a correct plan.

    derive : computes derived attributes.
    """
    check = _Check(world, evaluate, derive)
    for placement in plan.placements:
        check.place(placement)
    placed = {placement.pod for placement in plan.placements}
    for unplaced in plan.unplaced:
        if unplaced.pod in placed:
            check.report(POD, check.name_of(unplaced.pod), "is both placed and left pending")
    return tuple(check.findings.found)


def violations_of_claims(
    world: World,
    node: Node,
    claims: Sequence[Claim],
    allocations: Sequence[Allocation],
    evaluate: Evaluate = evaluate_scalar,
    derive: Derive = derived,
) -> tuple[Violation, ...]:
    """Every rule that these allocations of one pod's claims on a node break, whoever made them.

    claims : in the order of the pod, which need not be there, and none of them allocated; one allocation each.
    Raises ValueError if there is not one allocation a claim.
    """
    findings = Findings()
    given = [
        Given(f"claim {claim.key} on node {node.name}", claim, allocation)
        for claim, allocation in zip(claims, allocations, strict=True)
    ]
    Allocations(world, findings, evaluate, derive).judge(node, given)
    return tuple(findings.found)


class _Check:
    """The world as it stands after the placements so far, and what was wrong with them."""

    def __init__(self, world: World, evaluate: Evaluate, derive: Derive) -> None:
        self.world = world
        self.findings = Findings()
        self.report = self.findings.report
        self.allocated = Allocations(world, self.findings, evaluate, derive)
        self.placed: set[Uid] = set()
        self.consumers: dict[Uid, set[Uid]] = {}  # reservedFor of claims
        self.shared: dict[tuple[Uid, Uid], Uid] = {}  # pod and claim -> the group that the claim is reserved for
        self.claim_named: dict[tuple[str, str], Claim] = {}
        self.running: list[tuple[Pod, str]] = []
        self.used: dict[str, dict[str, int]] = {}  # node -> resource -> amount, pods included
        self.storage = StorageCheck(world.storage)
        for claim in world.claims.values():
            self.claim_named[claim.namespace, claim.name] = claim
            self.consumers[claim.uid] = {consumer.uid for consumer in claim.reserved_for}
        for pod in world.pods.values():
            if pod.node_name and not pod.done:
                self.run(pod, pod.node_name)

    def name_of(self, pod: Uid) -> str:
        return f"pod {self.world.pods[pod].key}" if pod in self.world.pods else f"pod {pod}"

    def run(self, pod: Pod, node: str) -> None:
        """Count a pod as running on a node."""
        self.running.append((pod, node))
        if node in self.world.nodes:
            self.storage.run(pod, node)
        used = self.used.setdefault(node, {})
        for resource, amount in pod.requests.items():
            if resource != "pods":
                used[resource] = used.get(resource, 0) + amount
        used["pods"] = used.get("pods", 0) + 1

    def place(self, placement: Placement) -> None:
        """Judge a placement, then make it so."""
        pod = self.world.pods.get(placement.pod)
        if pod is None:
            self.report(POD, f"pod {placement.pod}", "is not known")
            return
        where = f"pod {pod.key} on node {placement.node}"
        self.check_pod(where, pod)
        node = self.world.nodes.get(placement.node)
        if node is None:
            self.report(NODE, where, "the node is not known")
            return
        self.check_node(where, pod, node)
        self.check_resources(where, pod, node)
        check_neighbours(self.report, where, self.world, pod, node, self.running)
        self.check_claims(where, pod, node, placement)
        for rule, text in self.storage.judge(pod, node, placement):
            self.report(rule, where, text)
        self.run(pod, node.name)
        self.placed.add(pod.uid)

    # ------------------------------------------------------------ the pod and its node

    def check_pod(self, where: str, pod: Pod) -> None:
        if pod.uid in self.placed:
            self.report(POD, where, "the pod is placed twice")
        if pod.scheduler_name not in self.world.scheduler_names:
            self.report(POD, where, f"the pod asks for scheduler {pod.scheduler_name}")
        if pod.node_name:
            self.report(POD, where, f"the pod is on node {pod.node_name} already")
        if pod.deleting:
            self.report(POD, where, "the pod is being deleted")
        if pod.done:
            self.report(POD, where, f"the pod has ended: {pod.phase}")
        if pod.gates:
            self.report(GATES, where, f"the pod is held by {', '.join(pod.gates)}")
        for feature in pod.unsupported:
            self.report(UNSUPPORTED, where, f"the pod uses {feature}")

    def check_node(self, where: str, pod: Pod, node: Node) -> None:
        if not self.world.ownership.owns(node):
            self.report(OWNERSHIP, where, f"the node is not ours: it lacks label {names.OWNED}")
        compare = self.world.gates.taint_comparison
        if node.unschedulable and not tolerated(UNSCHEDULABLE_TAINT, pod.tolerations, compare=compare):
            self.report(UNSCHEDULABLE, where, "the node is unschedulable")
        for taint in node.taints:
            if keeps_off(taint, pod.tolerations, compare=compare):
                self.report(NODE_TAINT, where, f"taint {taint.key}={taint.value}:{taint.effect} is not tolerated")
        for feature in pod.features:
            if feature not in node.features:
                self.report(NODE_FEATURES, where, f"the node does not declare {feature}")
        for key, value in pod.node_selector.items():
            if node.labels.get(key) != value:
                self.report(NODE_SELECTOR, where, f"label {key} is {node.labels.get(key)!r}, not {value!r}")
        if pod.affinity is not None and not node_selected(pod.affinity, node):
            self.report(NODE_AFFINITY, where, "no term of the required node affinity holds")

    def check_resources(self, where: str, pod: Pod, node: Node) -> None:
        used = self.used.get(node.name, {})
        asked = {resource: amount for resource, amount in pod.requests.items() if resource != "pods"}
        asked["pods"] = 1
        for resource in delegated(self.world, pod, node):
            asked.pop(resource, None)  # check_special sees to it
        for resource, amount in asked.items():
            if amount == 0:  # asking for nothing fits on a node that is over its limit, too
                continue
            taken = used.get(resource, 0)
            limit = node.allocatable.get(resource, 0)
            if taken + amount > limit:
                self.report(RESOURCES, where, f"{resource}: {taken} used + {amount} requested > {limit} allocatable")
            kept = sum(self.kept_for(other, resource) for other in self.nominated(pod, node))
            if kept and taken + kept + amount > limit:
                self.report(NOMINATED, where, f"{resource}: {kept} is kept for nominated pods, {limit - taken} is left")

    def nominated(self, pod: Pod, node: Node) -> list[Pod]:
        """Pods that wait, are nominated to the node, and may not lose their room to this one."""
        return [
            other
            for other in self.world.pods.values()
            if other.nominated == node.name
            and other.uid != pod.uid
            and other.uid not in self.placed
            and other.priority >= pod.priority
            and not (other.node_name or other.done or other.deleting)
        ]

    @staticmethod
    def kept_for(other: Pod, resource: str) -> int:
        return 1 if resource == "pods" else other.requests.get(resource, 0)

    # ------------------------------------------------------------ claims

    def check_claims(self, where: str, pod: Pod, node: Node, placement: Placement) -> None:
        meant = self.claims_of(where, pod)
        check_special(self.report, where, pod, delegated(self.world, pod, node), placement)
        if placement.special is not None:
            made = placement.special.claim
            meant[made.uid] = made
            self.consumers[made.uid] = set()
        for claim in meant.values():
            times = (claim.uid in placement.allocations) + placement.joined.count(claim.uid)
            if times == 0:
                self.report(CLAIMS, where, f"claim {claim.key} is neither allocated nor joined")
            if times > 1:
                self.report(CLAIMS, where, f"claim {claim.key} is dealt with {times} times")
        for uid in [*placement.allocations, *placement.joined]:
            if uid not in meant:
                known = self.world.claims.get(uid)
                self.report(CLAIMS, where, f"claim {known.key if known else uid} is not one of the pod's")
        for uid in placement.joined:
            joined = self.world.claims.get(uid)
            if joined is not None:
                self.check_joined(f"claim {joined.key} for {where}", pod, node, joined)
        # As upstream: claim after claim in the order of the pod.
        claims = [claim for claim in meant.values() if claim.uid in placement.allocations]
        others = [uid for uid in placement.allocations if uid in self.world.claims and uid not in meant]
        claims += [self.world.claims[uid] for uid in others]
        self.allocated.judge(
            node,
            [Given(f"claim {each.key} for {where}", each, placement.allocations[each.uid]) for each in claims],
        )
        for claim in meant.values():
            consumers = self.consumers[claim.uid]
            consumers.add(self.shared.get((pod.uid, claim.uid), pod.uid))
            if len(consumers) > MAX_RESERVED_FOR:
                text = f"it would be reserved for {len(consumers)} consumers, more than {MAX_RESERVED_FOR}"
                self.report(RESERVED, f"claim {claim.key} for {where}", text)

    def claims_of(self, where: str, pod: Pod) -> dict[Uid, Claim]:
        """The claims that a pod means; entries that mean the same claim count once."""
        meant: dict[Uid, Claim] = {}
        for entry in pod.claims:
            group = self.group_of(pod, entry)
            made = {**(group.claim_names if group is not None else {}), **pod.claim_names}
            if entry.template_name is None:
                name = entry.claim_name
            elif entry.name in made:
                name = made[entry.name]
                if name is None:  # this entry needs no claim
                    continue
            else:
                self.report(CLAIMS, where, f"entry {entry.name}: its claim is not made yet")
                continue
            claim = self.claim_named.get((pod.namespace, name or ""))
            if claim is None:
                self.report(CLAIMS, where, f"entry {entry.name}: claim {pod.namespace}/{name} does not exist")
                continue
            if group is not None:
                self.shared[pod.uid, claim.uid] = group.uid
            if entry.template_name is not None and claim.owner != (pod.uid if group is None else group.uid):
                whose = "pod" if group is None else "pod's group"
                self.report(CLAIMS, where, f"entry {entry.name}: claim {claim.key} is not owned by the {whose}")
            if claim.deleting:
                self.report(CLAIMS, where, f"entry {entry.name}: claim {claim.key} is being deleted")
            meant[claim.uid] = claim
        return meant

    def group_of(self, pod: Pod, entry: PodClaim) -> PodGroup | None:
        """The group whose claim an entry means: one of its own entries has all of the same names."""
        group = self.world.groups.get(f"{pod.namespace}/{pod.group}") if self.world.gates.workload_claims else None
        same = [
            each
            for each in (group.claims if group is not None and pod.group else ())
            if each.name == entry.name
            and each.claim_name == entry.claim_name
            and each.template_name == entry.template_name
        ]
        return group if same else None

    def check_joined(self, where: str, pod: Pod, node: Node, claim: Claim) -> None:
        allocation = self.allocated.of.get(claim.uid)
        if allocation is None:
            self.report(JOINED, where, "it is joined but not allocated")
            return
        if allocation.node_selector is not None and not node_selected(allocation.node_selector, node):
            self.report(JOINED, where, "its allocation is not usable on the node")
        for result in allocation.results:
            holders = [] if result.admin_access else self.allocated.dedicated.get(result.identity, [])
            if any(holder.uid == claim.uid for holder in holders):
                for holder in holders:
                    if holder.uid != claim.uid:
                        self.report(IN_USE, where, f"claim {holder.key} has {show(result.identity)}, too")
        if self.shared.get((pod.uid, claim.uid), pod.uid) in self.consumers[claim.uid]:
            return
        for result in allocation.results:
            # The API forbids new reservations of a device with such a taint; kube-scheduler does not look.
            for taint in self.allocated.inventory.taints_anywhere(result.identity):
                if taint.effect == NO_EXECUTE and not tolerated(taint, result.tolerations):
                    text = f"{show(result.identity)} has taint {taint.key}={taint.value}:{taint.effect}"
                    self.report(DEVICE_TAINT, where, text)
