"""The mirror of the cluster, with what we have assumed on top of it.

Applying an event costs the rows that the event touches. Applying it twice changes nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from scheduler.core.bays import MAX_WIDTH, Bays, Sight
from scheduler.core.columns import ABSENT, Column, DeviceTable
from scheduler.core.config import Ownership
from scheduler.core.extended import is_special
from scheduler.core.flaws import flaw
from scheduler.core.gates import Gates
from scheduler.core.match import untolerated
from scheduler.core.model import (
    NO_EXECUTE,
    Allocation,
    Claim,
    Device,
    DeviceClass,
    Namespace,
    Node,
    Pod,
    PodGroup,
    RequestPolicy,
    Resources,
    Result,
    Slice,
    Taint,
    TaintRule,
    Toleration,
    Uid,
)
from scheduler.core.names import OWNED
from scheduler.core.nodes import Changes, NodeTable
from scheduler.core.pools import Pool, PoolKey, PoolView, Published, reaches
from scheduler.core.quantity import NANO, Quantity
from scheduler.core.snapshot import Snapshot, Versioned
from scheduler.core.storage import Stored
from scheduler.core.topology import KNOWN, LinkMap, Spellings, learn
from scheduler.core.topology.labels import levels
from scheduler.core.volumes import Volumes
from scoring.arrays import Counts, Mask
from scoring.flaws import Flaw, Flaws

Identity = tuple[str, str, str]
Capacities = tuple[tuple[str, Quantity, RequestPolicy | None], ...]
"""What a device that can be shared has: name, amount and request policy of every capacity, by name."""
PRODUCT: Final = ("type", "productName", "model", "family", "profile")
"""What tells one product from another, as drivers publish it."""
_UNIT: Final = NANO // 1000
_MOST: Final = 2**60


def in_units(nanos: int) -> int | None:
    """An amount in thousandths, the unit of capacity columns; None if it is too fine or too large for them."""
    amount, rest = divmod(nanos, _UNIT)
    return amount if not rest and abs(amount) <= _MOST else None


def product(driver: str, device: Device) -> tuple[str, ...]:
    """What tells a device from others of its driver, as far as requests usually go."""
    own = device.attributes
    return (driver, *[str(own.get(name, own.get(f"{driver}/{name}", ""))) for name in PRODUCT])


def ours(taint: Taint) -> bool:
    """Whether a device taint is the one that keeps other schedulers off our devices."""
    return taint.key == OWNED


def _covers(rule: TaintRule, driver: str, pool: str, device: str) -> bool:
    """Whether a rule taints a device."""
    return (
        rule.selects and rule.driver in {None, driver} and rule.pool in {None, pool} and rule.device in {None, device}
    )


class State:
    """All that is known.

    Claims and pods are kept as last seen; `assume` and `forget` add and remove what we have decided and not seen yet.
    `settle` must be called after events and before decisions: it rebuilds the bays that the events touched.
    """

    def __init__(
        self,
        ownership: Ownership,
        seed: int = 0,
        gates: Gates | None = None,
        *,
        fabric_partitions: bool = True,
        unlisted_draw: bool = True,
        spellings: Spellings = KNOWN,
    ) -> None:
        self.ownership = ownership
        self.gates = gates or Gates()
        self.fabric_partitions = fabric_partitions
        self.unlisted_draw = unlisted_draw
        self.spellings = spellings
        self.revision = 0
        self.nodes = NodeTable(seed)
        self.volumes = self.nodes.volumes = Volumes(self.nodes)
        # Upstream's oldest allocator never tells selectors that a device can be shared.
        self.devices = DeviceTable(sharing=not self.gates.settled)
        self.bays = Bays(self.nodes.size)
        self.taken: Mask = np.zeros(self.devices.size, np.bool_)
        self.device_changes = Changes()
        self.device_taints: Column[tuple[Taint, ...]] = Column(self.devices.size)
        self.device_problems: Column[tuple[str, ...]] = Column(self.devices.size)
        self.flaws: Flaws = np.zeros(self.devices.size, np.int8)  # scoring/flaws.py, by device row
        self.row_device: dict[int, tuple[Slice, Device]] = {}
        self.node_by_name: Versioned[str, Node] = Versioned()
        self.slices: Versioned[str, Slice] = Versioned()
        self.classes: Versioned[str, DeviceClass] = Versioned()
        self.taint_rules: Versioned[str, TaintRule] = Versioned()
        self.claims: Versioned[Uid, Claim] = Versioned()
        self.groups: Versioned[str, PodGroup] = Versioned()
        self.pods: Versioned[Uid, Pod] = Versioned()
        self.holding: Versioned[Uid, Allocation] = Versioned()
        self.places: Versioned[Uid, str] = Versioned()
        self.claim_by_key: dict[str, Uid] = {}
        self.pod_by_key: dict[str, Uid] = {}
        self.special: dict[Uid, set[Uid]] = defaultdict(set)  # pod -> claims made for its extended resources
        self.nominees: dict[Uid, Pod] = {}  # pods without a place that room is kept for on a node
        self.problems: dict[tuple[str, str], str] = {}
        self.holders: dict[Identity, set[Uid]] = {}
        self._held_in: dict[PoolKey, dict[str, int]] = defaultdict(dict)  # how many claims have each device, by name
        self.link_warnings: dict[str, tuple[str, ...]] = {}  # by node; under "" those of the ConfigMap
        self.links: LinkMap | None = None
        self.malformed: set[int] = set()  # rows of devices that no selector can be evaluated on
        self.shares: dict[Identity, dict[Uid, dict[str, int]]] = {}  # of each capacity what a claim's shares take
        # Of devices that can be shared, by row: what they have, what of it is left, and whether that is in whole units.
        self.capacities: Column[Capacities] = Column(self.devices.size)
        # Driver and product of devices by row; absent where a device draws on counters, and so overlaps others.
        self.products: Column[tuple[str, ...]] = Column(self.devices.size)
        self.whole: dict[str, Counts] = {}
        self.room: dict[str, Counts] = {}
        self.uncounted: Mask = np.zeros(self.devices.size, np.bool_)
        self.sized: set[int] = set()  # rows of devices that take resources of their node
        self.avoided: dict[Identity, str] = {}
        self._told: dict[int, tuple[Node | None, int, str]] = {}  # by node row, with what it was made of
        self._assumed: dict[Uid, Allocation] = {}
        self._charges: dict[Uid, tuple[str, Resources]] = {}
        self._unstated: dict[Uid, Resources] = {}  # of those of them that leave something unsaid
        self._pods_on: dict[str, set[Uid]] = defaultdict(set)
        self._published: dict[str, Published] = {}
        self._pools: dict[PoolKey, Pool] = {}
        self._local_pools: dict[str, set[PoolKey]] = defaultdict(set)
        self._spread_pools: set[PoolKey] = set()
        self._viewers: dict[PoolKey, set[str]] = defaultdict(set)  # nodes that see a pool with shared counters
        self._row_by_identity: dict[Identity, list[int]] = {}
        self._dirty: set[str] = set()
        self._unsettled: list[str] = []  # those of them that are to be looked at next, the next one last
        self._disturbed: dict[str, int] = {}  # by node, how often its slices changed or went
        self._products: dict[str, Mapping[str, int]] = {}  # GPUs of each node by product
        self._unsaid: list[str] = []
        self._strangers_known = True
        self._rules_for: dict[str | None, list[TaintRule]] = {}  # by the device name that they give, if any

    # ------------------------------------------------------------ events

    def put_node(self, node: Node) -> bool:
        """Add or change a node; true if anything that matters changed."""
        if self.node_by_name.current.get(node.name) == node:
            return False
        new = node.name not in self.nodes.rows
        before = self.node_by_name.current.get(node.name)
        self.node_by_name.put(node.name, node)
        row = self.nodes.put(node, owned=self.ownership.owns(node))
        if new:
            for pod in self._pods_on.get(node.name, ()):
                self.nodes.use(row, self._charges[pod][1], 1)
                self.nodes.add_unstated(row, self._unstated.get(pod, {}), 1)
                self._seat(pod, row)
            self._strangers_known = self.links is None
            self.volumes.node_seen(node.name, row)
        if before is None or before.labels != node.labels or before.annotations != node.annotations:
            self._dirty.add(node.name)
        self.revision += 1
        return True

    def drop_node(self, name: str) -> None:
        """Take a node out."""
        if self.node_by_name.pop(name) is None:
            return
        for pod in self._pods_on.get(name, ()):
            self.nodes.residents.leave(pod)
        row = self.nodes.drop(name)
        self.volumes.node_gone(name)
        if row is not None and row < len(self.bays.rows):
            self.bays.clear(row)
        self.link_warnings.pop(name, None)
        self._products.pop(name, None)
        self._dirty.discard(name)
        self._disturbed.pop(name, None)
        self._strangers_known = self.links is None
        self.revision += 1

    def put_slice(self, item: Slice) -> bool:
        """Add or change a slice; true if anything changed."""
        before = self._published.get(item.name)
        if before is not None and before.slice == item:
            return False
        self._disturb(before)
        self._exchange(before, item)
        return True

    def drop_slice(self, name: str) -> None:
        """Take a slice out."""
        before = self._published.get(name)
        if before is not None:
            self._disturb(before)
            self._exchange(before, None)

    def _disturb(self, before: Published | None) -> None:
        name = before.slice.node_name if before is not None else None
        if name is not None and name in self.node_by_name.current:
            self._disturbed[name] = self._disturbed.get(name, 0) + 1

    def put_class(self, item: DeviceClass) -> bool:
        """Add or change a device class; true if anything changed."""
        if self.classes.current.get(item.name) == item:
            return False
        self.classes.put(item.name, item)
        self.revision += 1
        return True

    def drop_class(self, name: str) -> None:
        """Take a device class out."""
        if self.classes.pop(name) is not None:
            self.revision += 1

    def put_taint_rule(self, rule: TaintRule) -> bool:
        """Add or change a device taint rule; true if anything changed."""
        before = self.taint_rules.current.get(rule.name)
        if before == rule:
            return False
        self.taint_rules.put(rule.name, rule)
        self._retaint(rule if before is None else before, rule)
        return True

    def drop_taint_rule(self, name: str) -> None:
        """Take a device taint rule out."""
        before = self.taint_rules.pop(name)
        if before is not None:
            self._retaint(before)

    def put_links(self, links: LinkMap | None, problem: str = "") -> None:
        """Take what the ConfigMap says of links, or with None that it is not there or, for a reason, cannot be used.

        The nodes of which it now says something else are learned anew.
        """
        before, self.links = self.links, links
        for name, node in self.node_by_name.current.items():
            products = self._products.get(name, {})
            then = before.of(node, products) if before is not None else ()
            if then != (links.of(node, products) if links is not None else ()):
                self._dirty.add(name)
        self._warn("", (problem,) if problem else ())
        self._strangers_known = links is None
        self.revision += 1

    def put_claim(self, claim: Claim) -> None:
        """Add or change a claim, as the API shows it."""
        known = self.claim_by_key.get(claim.key)
        if known is not None and known != claim.uid:
            self.drop_claim(known)
        self.claims.put(claim.uid, claim)
        self.claim_by_key[claim.key] = claim.uid
        if is_special(claim):
            self.special[claim.owner].add(claim.uid)
        self._hold(claim.uid)
        self.revision += 1

    def drop_claim(self, uid: Uid) -> None:
        """Take a claim out; its devices become free."""
        claim = self.claims.pop(uid)
        if claim is None:
            return
        if self.claim_by_key.get(claim.key) == uid:
            del self.claim_by_key[claim.key]
        if is_special(claim):
            self.special[claim.owner].discard(uid)
            if not self.special[claim.owner]:
                del self.special[claim.owner]
        self._assumed.pop(uid, None)
        self._hold(uid)
        self.revision += 1

    def put_namespace(self, namespace: Namespace) -> bool:
        """Add or change a namespace; true if anything changed."""
        return self._label_namespace(namespace.name, namespace.labels)

    def drop_namespace(self, name: str) -> None:
        """Take a namespace out."""
        self._label_namespace(name, None)

    def _label_namespace(self, name: str, labels: Mapping[str, str] | None) -> bool:
        changed = self.nodes.residents.put_namespace(name, labels)
        self.revision += changed
        return changed

    def put_group(self, group: PodGroup) -> bool:
        """Add or change a pod group; true if anything changed."""
        if self.groups.current.get(group.key) == group:
            return False
        self.groups.put(group.key, group)
        self.revision += 1
        return True

    def put_stored(self, item: Stored) -> bool:
        """Add or change what there is of storage; true if anything that matters changed."""
        changed = self.volumes.put(item)
        self.revision += changed
        return changed

    def drop_stored(self, kind: str, key: str) -> Stored | None:
        """Take something of storage out; returns it."""
        self.revision += 1
        return self.volumes.drop(kind, key)

    def drop_group(self, key: str) -> None:
        """Take a pod group out."""
        if self.groups.pop(key) is not None:
            self.revision += 1

    def put_pod(self, pod: Pod) -> None:
        """Add or change a pod. An assumed place stands until the API shows one."""
        known = self.pod_by_key.get(pod.key)
        if known is not None and known != pod.uid:
            self.drop_pod(known)
        before = self.pods.current.get(pod.uid)
        self.pods.put(pod.uid, pod)
        if before is None or before.volumes != pod.volumes:
            self.volumes.know(before, pod)
        self.pod_by_key[pod.key] = pod.uid
        if pod.done:
            self._place(pod.uid, "", {})
        elif pod.node_name:
            self._place(pod.uid, pod.node_name, pod.charge)
        elif before is not None and before.node_name:
            self._place(pod.uid, "", {})
        if pod.nominated and not pod.node_name and not pod.done:
            self.nominees[pod.uid] = pod
        else:
            self.nominees.pop(pod.uid, None)
        row = self.nodes.rows.get(self.places.current.get(pod.uid, ""))
        if row is not None:
            self.nodes.residents.renew(pod, row)
        self.revision += 1

    def drop_pod(self, uid: Uid) -> None:
        """Take a pod out."""
        pod = self.pods.pop(uid)
        if pod is None:
            return
        self.volumes.know(pod, None)
        if self.pod_by_key.get(pod.key) == uid:
            del self.pod_by_key[pod.key]
        self.nominees.pop(uid, None)
        self._place(uid, "", {})
        self.revision += 1

    # ------------------------------------------------------------ assumptions

    def assume_place(self, uid: Uid, node: str, taken: Resources | None = None) -> None:
        """Charge a pod to a node that it is not bound to yet, with what its devices take of the node's resources."""
        pod = self.pods.current[uid]
        self._place(uid, node, replace(pod, published=taken).charge if taken else pod.requests)

    def charge_place(self, uid: Uid, node: str, charge: Resources) -> None:
        """As assume_place, with all that the pod takes of the node, as `assumptions` told."""
        self._place(uid, node, charge)

    def assumptions(self, pods: Iterable[Uid]) -> tuple[dict[Uid, Allocation], dict[Uid, tuple[str, Resources]]]:
        """All assumed allocations, and the places of these pods with what they take there."""
        return dict(self._assumed), {uid: self._charges[uid] for uid in pods if uid in self._charges}

    def assume_allocation(self, uid: Uid, allocation: Allocation) -> None:
        """Hold devices for a claim whose allocation the API does not show yet."""
        self._assumed[uid] = allocation
        self._hold(uid)

    def forget_place(self, uid: Uid) -> None:
        """Give back an assumed place; a real one stands."""
        pod = self.pods.current.get(uid)
        if pod is None or not pod.node_name:
            self._place(uid, "", {})

    def forget_allocation(self, uid: Uid) -> None:
        """Stop assuming; what the API shows stands."""
        if self._assumed.pop(uid, None) is not None:
            self._hold(uid)

    def avoid(self, identity: Identity, why: str | None) -> None:
        """Keep a device out of new allocations, or with None let it in again."""
        if why is None:
            self.avoided.pop(identity, None)
        else:
            self.avoided[identity] = why
        for row in self._row_by_identity.get(identity, ()):
            self._describe(row, *self.row_device[row])
            for node in self.bays.nodes_of(row):
                self.nodes.remake(node)
        self.revision += 1

    def listed(self, identity: Identity) -> Device | None:
        """A device as the newest generation of its pool lists it."""
        pool = self._pools.get(identity[:2])
        for row in self._row_by_identity.get(identity, ()):
            item, device = self.row_device[row]
            if pool is not None and item.generation == pool.newest:
                return device
        return None

    def avoided_rows(self) -> list[tuple[int, str]]:
        """The devices that are kept out, and why."""
        return [(row, why) for identity, why in self.avoided.items() for row in self._row_by_identity.get(identity, ())]

    def assumed(self, uid: Uid) -> Allocation | None:
        """What we hold for a claim beyond what the API shows."""
        return self._assumed.get(uid)

    # ------------------------------------------------------------ reading

    def nominated_above(self, pod: Pod) -> list[Pod]:
        """Pods that are nominated to known nodes, without those of lower priority than a pod and those placed."""
        return [
            other
            for uid, other in self.nominees.items()
            if uid != pod.uid
            and other.priority >= pod.priority
            and uid not in self._charges
            and other.nominated in self.nodes.rows
        ]

    def nominated_beside(self, pod: Pod) -> tuple[tuple[str, tuple[tuple[str, int], ...]], ...]:
        """What pods take of the nodes that they are nominated to, without those of lower priority and those placed."""
        found: dict[str, dict[str, int]] = {}
        for other in self.nominated_above(pod):
            taken = found.setdefault(other.nominated, {})
            for name, amount in (*other.requests.items(), ("pods", 1)):
                taken[name] = taken.get(name, 0) + amount
        return tuple(sorted((node, tuple(sorted(taken.items()))) for node, taken in found.items()))

    def settle(self, most: int | None = None) -> bool:
        """Rebuild the bays of nodes whose pools or links changed, of so many at most; whether that is all of them."""
        self.bays.reserve(self.nodes.size)
        done = 0
        while self._dirty:
            if most is not None and done >= most:
                return False
            if not self._unsettled:
                self._unsettled = sorted(self._dirty, reverse=True)
            name = self._unsettled.pop()
            row = self.nodes.rows.get(name) if name in self._dirty else None
            self._dirty.discard(name)
            if row is not None:
                self._rebuild_bay(name, row)
                done += 1
        self._unsettled.clear()
        if not self._strangers_known and self.links is not None:
            self._warn("", self.links.problems + self.links.strangers(self.node_by_name.current))
            self._strangers_known = True
        return True

    def _warn(self, node: str, warnings: tuple[str, ...]) -> None:
        """Note what is wrong with sources of links now."""
        before = self.link_warnings.pop(node, ())
        if warnings:
            self.link_warnings[node] = warnings
        self._unsaid += [each for each in warnings if each not in before]

    def links_told(self, row: int) -> str:
        """Where the links of a node were learned from, and its levels among other nodes with the labels that tell them.

        Empty for a node that nothing is known of.
        """
        layout = int(self.bays.layout[row]) if self.bays.layouts else -1
        node = self.nodes.nodes[row]
        known = self._told.get(row)
        if known is None or known[0] is not node or known[1] != layout:
            source = self.bays.layouts[layout].source if layout >= 0 else ""
            told = levels(node.labels).words if node is not None else ""
            text = "; ".join(part for part in (source, told and f"in {told}") if part)
            known = self._told[row] = (node, layout, text)
        return known[2]

    def new_warnings(self) -> tuple[str, ...]:
        """What is wrong with sources of links and was not returned before."""
        unsaid, self._unsaid = self._unsaid, []
        return tuple(unsaid)

    def snapshot(self) -> Snapshot:
        """Everything at this revision."""
        return Snapshot(
            revision=self.revision,
            nodes=self.node_by_name.snapshot(),
            slices=self.slices.snapshot(),
            classes=self.classes.snapshot(),
            taint_rules=self.taint_rules.snapshot(),
            claims=self.claims.snapshot(),
            groups=self.groups.snapshot(),
            pods=self.pods.snapshot(),
            holding=self.holding.snapshot(),
            places=self.places.snapshot(),
            devices=self.devices.snapshot(),
            taken=self.taken.copy(),
        )

    def is_shared(self, result: Result) -> bool:
        """Whether a result takes shares of a device and not the device."""
        return result.share_id is not None and self.gates.consumable_capacity

    def overdrawn(self, identity: Identity) -> str:
        """A capacity of which a device's shares take more than it has, as far as it is known; empty for none."""
        used = self.used(identity)
        for row in self._row_by_identity.get(identity, ()):
            for name, amount in self.row_device[row][1].capacity.items():
                if used.get(name, 0) > amount.nanos:
                    return name
        return ""

    def overdrawn_counters(self, identity: Identity) -> list[tuple[str, str, set[Uid]]]:
        """Of the counters that a device draws on those of which more is taken than there is, each with who takes it.

        Counter set, counter, and the claims that hold devices which draw on it, by the newest slices of the pool.
        """
        pool = self._pools.get(identity[:2])
        if pool is None or not pool.counted or not self.gates.partitionable_devices:
            return []
        own = self.listed(identity)
        left: dict[tuple[str, str], int] = {}
        takers: dict[tuple[str, str], set[Uid]] = {}
        for use in own.consumes if own is not None else ():
            for counter in use.counters:
                left[use.counter_set, counter] = 0
                takers[use.counter_set, counter] = set()
        if not left:
            return []
        for item in (each.slice for each in pool.latest()):
            for has in item.counter_sets:
                for counter, amount in has.counters.items():
                    if (has.name, counter) in left:
                        left[has.name, counter] += amount.nanos
            for device in item.devices:
                holders = self._claims_on((*identity[:2], device.name)) if device.consumes else None
                if not holders:
                    continue
                for use in device.consumes:
                    for counter, amount in use.counters.items():
                        if (use.counter_set, counter) in left:
                            left[use.counter_set, counter] -= amount.nanos
                            takers[use.counter_set, counter] |= holders
        return [(*key, takers[key]) for key, rest in left.items() if rest < 0]

    def _claims_on(self, identity: Identity) -> set[Uid]:
        """Who holds a device or shares of it."""
        holders, sharers = self.holders.get(identity), self.shares.get(identity)
        return {*(holders or ()), *(sharers or ())} if holders or sharers else set()

    def evicting_taint(self, result: Result) -> Taint | None:
        """The NoExecute taint of an allocated device that would evict whoever joins its claim.

        Rules reach devices that no slice lists any more.
        """
        device = self.listed(result.identity)
        taints = device.taints if device is not None else ()
        taints += self._added_taints(*result.identity)
        if not taints:
            return None
        return untolerated((each for each in taints if each.effect == NO_EXECUTE), result.tolerations, ours)

    def device_taints_of(self, driver: str, pool: str, device: Device) -> tuple[Taint, ...]:
        """A device's own taints and those that rules add."""
        return device.taints + self._added_taints(driver, pool, device.name)

    def _added_taints(self, driver: str, pool: str, device: str) -> tuple[Taint, ...]:
        if not self._rules_for:
            return ()
        rules = [*self._rules_for.get(None, ()), *self._rules_for.get(device, ())]
        added = [rule for rule in rules if _covers(rule, driver, pool, device)]
        return tuple(rule.taint for rule in sorted(added, key=lambda rule: rule.name))

    @staticmethod
    def taint_in_the_way(taints: Iterable[Taint], tolerations: tuple[Toleration, ...]) -> Taint | None:
        """The device taint that keeps a request off; our own key never does."""
        return untolerated(taints, tolerations, ours)

    # ------------------------------------------------------------ inside

    def _place(self, uid: Uid, node: str, requests: Resources) -> None:
        before = self._charges.get(uid)
        if before == (node, requests) or (before is None and not node):
            return
        pod = self.pods.current.get(uid)
        if before is not None:
            del self._charges[uid]
            self._pods_on[before[0]].discard(uid)
            self.places.pop(uid)
            row = self.nodes.rows.get(before[0])
            unstated = self._unstated.pop(uid, None)
            if row is not None:
                self.nodes.use(row, before[1], -1)
                if unstated:
                    self.nodes.add_unstated(row, unstated, -1)
                if before[0] != node:
                    self.nodes.residents.leave(uid)
        if node:
            self._charges[uid] = (node, requests)
            self._pods_on[node].add(uid)
            self.places.put(uid, node)
            row = self.nodes.rows.get(node)
            if pod is not None and pod.unstated:
                self._unstated[uid] = pod.unstated
            if row is not None:
                self.nodes.use(row, requests, 1)
                if uid in self._unstated:
                    self.nodes.add_unstated(row, self._unstated[uid], 1)
                if before is None or before[0] != node:
                    self._seat(uid, row)
        if (pod is not None and pod.volumes) or uid in self.volumes:
            self.volumes.move(uid, pod, node)

    def _seat(self, uid: Uid, row: int) -> None:
        pod = self.pods.current.get(uid)
        if pod is not None:
            self.nodes.residents.enter(pod, row)

    def _hold(self, uid: Uid) -> None:
        claim = self.claims.current.get(uid)
        now = (claim.allocation if claim else None) or self._assumed.get(uid)
        before = self.holding.current.get(uid)
        if before is now or before == now:
            return
        if before is not None:
            self.holding.pop(uid)
            for result in before.results:
                if not result.admin_access:
                    identity = result.identity
                    self._let_go(identity, uid)
                    self._count_held(identity, -1)
        if now is not None:
            self.holding.put(uid, now)
            for result in now.results:
                if result.admin_access:
                    continue
                identity = result.identity
                self._count_held(identity, 1)
                if self.is_shared(result):
                    self._share(result, uid)
                else:
                    self.holders.setdefault(identity, set()).add(uid)
                    self._mark(identity, taken=True)

    def _count_held(self, identity: Identity, more: int) -> None:
        """Note who has what of a pool; one that has to do without a device of its own opens or shuts with it."""
        key, name = identity[:2], identity[2]
        held = self._held_in[key]
        number = held[name] = held.get(name, 0) + more
        if not number:
            del held[name]
            if not held:
                del self._held_in[key]
        pool = self._pools.get(key)
        if pool is None or not pool.counted or not self.unlisted_draw:
            return
        rows = self._row_by_identity.get(identity, ())
        if not any(self.row_device[row][0].generation == pool.newest for row in rows):
            self._dirty.update(self._viewers[key] & self.nodes.rows.keys())

    def _unlisted(self, key: PoolKey) -> str:
        """A device of a pool that is in use, and that its newest generation does not list; empty if there is none."""
        held = self._held_in.get(key)
        if not held or not self.unlisted_draw:
            return ""
        listed = {device.name for item in self._pools[key].latest() for device in item.slice.devices}
        return min(held.keys() - listed, default="")

    def _share(self, result: Result, uid: Uid) -> None:
        taken = self.shares.setdefault(result.identity, {}).setdefault(uid, {})
        for name, amount in (result.consumed or {}).items():
            taken[name] = taken.get(name, 0) + amount.nanos
        self._reshare(result.identity)

    def _let_go(self, identity: Identity, uid: Uid) -> None:
        sharers = self.shares.get(identity)
        if sharers is not None and sharers.pop(uid, None) is not None:
            if not sharers:
                del self.shares[identity]
            self._reshare(identity)
        holders = self.holders.get(identity)
        if holders is None:
            return
        holders.discard(uid)
        if not holders:
            del self.holders[identity]
            self._mark(identity, taken=False)

    def _mark(self, identity: Identity, *, taken: bool) -> None:
        for row in self._row_by_identity.get(identity, ()):
            self.taken[row] = taken
            for node in self.bays.mark(row, free=not taken):
                self.nodes.changes.mark(node)
        self._touch_pool(identity)

    def _reshare(self, identity: Identity) -> None:
        """What is left of a device changed: so did the nodes that see it."""
        for row in self._row_by_identity.get(identity, ()):
            counted = self.capacities.codes[row] != ABSENT
            if counted:
                self._count(row, identity)
            for node in self.bays.nodes_of(row):
                self.nodes.changes.mark(node)
                item = self.nodes.nodes[node]
                searched = self.bays.intricate[node] and not self.bays.sights[node].drawn
                if not counted and not searched and item is not None:
                    self._dirty.add(item.name)
        self._touch_pool(identity)

    def _count(self, row: int, identity: Identity) -> None:
        """Note what is left of a device that can be shared."""
        used = self.used(identity) if identity in self.shares else {}
        counted = True
        for name, amount in self.row_device[row][1].capacity.items():
            whole, room = in_units(amount.nanos), in_units(amount.nanos - used.get(name, 0))
            counted &= whole is not None and room is not None
            for table, value in ((self.whole, whole), (self.room, room)):
                column = table.get(name)
                if column is None:
                    column = table[name] = np.zeros(self.devices.size, np.int64)
                column[row] = value or 0
        self.uncounted[row] = not counted

    def _touch_pool(self, identity: Identity) -> None:
        """Devices of other nodes draw from the same counters."""
        for name in self._viewers.get(identity[:2], ()):
            row = self.nodes.rows.get(name)
            if row is not None:
                self.nodes.changes.mark(row)

    def in_use(self, identity: Identity) -> bool:
        """Whether a claim holds the device, or shares of it."""
        return identity in self.holders or identity in self.shares

    def used(self, identity: Identity) -> dict[str, int]:
        """What shares take of each capacity of a device, nano-units."""
        total: dict[str, int] = {}
        for taken in self.shares.get(identity, {}).values():
            for name, nanos in taken.items():
                total[name] = total.get(name, 0) + nanos
        return total

    def _exchange(self, before: Published | None, after: Slice | None) -> None:
        """Put one slice in the place of another, and note which nodes may see something else now."""
        slices = [item for item in (before.slice if before else None, after) if item is not None]
        verdicts = {(item.driver, item.pool): self._verdict((item.driver, item.pool)) for item in slices}
        if before is not None:
            self._withdraw(before)
        if after is not None:
            self._publish(after)
        for item in slices:
            key = (item.driver, item.pool)
            pool = self._pools.get(key, Pool(key))
            changed = self._verdict(key) != verdicts[key]
            if item.node_name is None or (changed and pool.spread):
                self._dirty.update(self.nodes.rows)
                break
            self._dirty.add(item.node_name)
            if changed:
                self._dirty.update(pool.local)
        self.revision += 1

    def _verdict(self, key: PoolKey) -> object:
        pool = self._pools.get(key)
        return pool.verdict() if pool else None

    def _publish(self, item: Slice) -> None:
        self.slices.put(item.name, item)
        span = self.devices.add(item.driver, item.devices)
        if self.devices.size > len(self.taken):
            extra = self.devices.size - len(self.taken)
            self.taken = np.concatenate([self.taken, np.zeros(extra, np.bool_)])
            self.flaws = np.concatenate([self.flaws, np.zeros(extra, np.int8)])
            self.device_taints.grow(self.devices.size)
            self.device_problems.grow(self.devices.size)
            self.products.grow(self.devices.size)
            self._grow_capacities()
        for offset, device in enumerate(item.devices):
            row = span.start + offset
            identity = (item.driver, item.pool, device.name)
            self._row_by_identity.setdefault(identity, []).append(row)
            self.row_device[row] = (item, device)
            self.taken[row] = identity in self.holders
            self._describe(row, item, device)
            if device.malformed:
                self.malformed.add(row)
            if device.allocatable:
                self.sized.add(row)
            if not device.consumes:
                self.products.write(row, self.products.code(product(item.driver, device)))
            if device.shareable and self.gates.consumable_capacity:
                amounts = sorted(device.capacity.items(), key=lambda each: each[0])
                has = tuple((name, amount, device.policies.get(name)) for name, amount in amounts)
                self.capacities.write(row, self.capacities.code(has))
                self._count(row, identity)
        published = Published(item, span)
        self._published[item.name] = published
        key = (item.driver, item.pool)
        self._pools.setdefault(key, Pool(key)).add(published)
        if item.node_name is not None:
            self._local_pools[item.node_name].add(key)
        else:
            self._spread_pools.add(key)

    def _withdraw(self, published: Published) -> None:
        item, span = published.slice, published.span
        self.slices.pop(item.name)
        for offset, device in enumerate(item.devices):
            row = span.start + offset
            identity = (item.driver, item.pool, device.name)
            rows = [other for other in self._row_by_identity[identity] if other != row]
            if rows:
                self._row_by_identity[identity] = rows
            else:
                del self._row_by_identity[identity]
            del self.row_device[row]
            self.malformed.discard(row)
            self.sized.discard(row)
            self.taken[row] = False
            self.device_changes.mark(row)
        if item.devices:
            self.device_taints.write(span.rows, ABSENT)
            self.flaws[span.rows] = Flaw.NONE
            self.device_problems.write(span.rows, ABSENT)
            self.products.write(span.rows, ABSENT)
            if (self.capacities.codes[span.rows] != ABSENT).any():
                self.capacities.write(span.rows, ABSENT)
                self.uncounted[span.rows] = False
                for column in (*self.whole.values(), *self.room.values()):
                    column[span.rows] = 0
        self.devices.remove(span)
        del self._published[item.name]
        key = (item.driver, item.pool)
        pool = self._pools[key]
        pool.remove(published)
        if item.node_name is not None and item.node_name not in pool.local:
            self._local_pools[item.node_name].discard(key)
            if not self._local_pools[item.node_name]:
                del self._local_pools[item.node_name]
        if not pool.spread:
            self._spread_pools.discard(key)
        if not pool:
            del self._pools[key]

    def _grow_capacities(self) -> None:
        size = self.devices.size
        extra = size - len(self.uncounted)
        self.capacities.grow(size)
        self.uncounted = np.concatenate([self.uncounted, np.zeros(extra, np.bool_)])
        for table in (self.whole, self.room):
            for name, column in table.items():
                table[name] = np.concatenate([column, np.zeros(extra, np.int64)])

    def _describe(self, row: int, item: Slice, device: Device) -> None:
        taints = self.device_taints_of(item.driver, item.pool, device)
        self.device_taints.write(row, self.device_taints.code(taints))
        self.flaws[row] = self._flaw(item, device, taints)
        problems = item.unsupported + device.unsupported
        avoided = self.avoided.get((item.driver, item.pool, device.name))
        if avoided is not None:
            problems += (avoided,)
        self.device_problems.write(row, self.device_problems.code(problems) if problems else ABSENT)
        self.device_changes.mark(row)

    def _flaw(self, item: Slice, device: Device, taints: tuple[Taint, ...]) -> Flaw:
        heard = [taint for taint in taints if not ours(taint)] if self.gates.device_taints else []
        return flaw(item.driver, device, heard)

    def _retaint(self, *changed: TaintRule) -> None:
        """These rules came, went or changed: look at the devices that they cover."""
        self._rules_for = defaultdict(list)
        for rule in self.taint_rules.current.values():
            self._rules_for[rule.device].append(rule)
        for row in sorted({row for rule in changed for row in self._covered(rule)}):
            item, device = self.row_device[row]
            taints = self.device_taints_of(item.driver, item.pool, device)
            code = self.device_taints.code(taints)
            if self.device_taints.codes[row] != code:
                self.device_taints.write(row, code)
                self.flaws[row] = self._flaw(item, device, taints)
                self.device_changes.mark(row)
                for node in self.bays.nodes_of(row):
                    self.nodes.remake(node)
        self.revision += 1

    def _covered(self, rule: TaintRule) -> list[int]:
        if rule.driver is not None and rule.pool is not None and rule.device is not None:
            return self._row_by_identity.get((rule.driver, rule.pool, rule.device), []) if rule.selects else []
        return [
            row for row, (item, device) in self.row_device.items() if _covers(rule, item.driver, item.pool, device.name)
        ]

    def _rebuild_bay(self, name: str, row: int) -> None:
        node = self.node_by_name.current[name]
        views: list[tuple[PoolKey, PoolView]] = []
        problems: list[str] = []
        incomplete = ""
        invalid = withheld = False
        reachable = self._local_pools.get(name, set()) | self._spread_pools
        if self.gates.settled:
            reachable |= {key for key, pool in self._pools.items() if pool.counted}
        for key in sorted(reachable):
            seen = self._pools[key].view(node, self.gates)
            if seen.counters and (unlisted := self._unlisted(key)):
                seen = self._pools[key].shut(seen, unlisted)
            if seen.problem:
                problems.append(seen.problem)
                invalid |= seen.invalid
                withheld |= seen.withheld
                incomplete = incomplete or ("" if seen.withheld else seen.problem)
            elif seen.usable:
                views.append((key, seen))
            if seen.counters or self._pools[key].counted:
                self._viewers[key].add(name)
        # Pools whose devices may still fail while they are bound come after all others.
        views.sort(key=lambda each: (each[1].conditional, each[0]))
        devices: list[int] = []
        pools: list[tuple[int, PoolKey, PoolView]] = []
        for key, seen in views:
            for published in seen.usable:
                devices.extend(range(published.span.start, published.span.stop))
            pools.append((len(devices), key, seen))
        if len(devices) > MAX_WIDTH:
            too_many = f"node {name} sees {len(devices)} devices, more than the {MAX_WIDTH} that are considered"
            problems.append(too_many)
            incomplete = incomplete or too_many
            devices, pools = [], []
        described = [self.row_device[device] for device in devices]
        foreign = frozenset(
            position
            for position, (item, device) in enumerate(described)
            if item.per_device and not reaches(device, node)
        )
        drawn = any(device.consumes for _, device in described)
        intricate = any(self._intricate(item, device) for item, device in described)
        known = [(item.driver, device) for item, device in described]
        learned = learn(node, known, self.links, partitions=self.fabric_partitions, further=self.spellings)
        self._warn(name, learned.warnings)
        self._products[name] = learned.products
        sight = Sight(
            tuple(pools), foreign, tuple(problems), incomplete, withheld, invalid, intricate or drawn,
            drawn=drawn and not intricate,
        )  # fmt: skip
        self.bays.put(row, devices, learned.layout, sight, self.taken)
        self.bays.disturbed[row] = self._disturbed.get(name, 0)
        self.nodes.remake(row)

    def _intricate(self, item: Slice, device: Device) -> bool:
        """Whether devices like this one, counters aside, need the exact search."""
        return bool(
            (device.shareable and not self.gates.consumable_capacity)
            or device.binding_conditions
            or item.per_device
            or item.skip_operations
            or (item.node_selector is not None and len(item.node_selector.terms) > 1)
            or device.malformed
            or (not device.shareable and (item.driver, item.pool, device.name) in self.shares)
            or any(isinstance(value, tuple) for value in device.attributes.values())
            or any(amount.nanos < 0 for amount in device.capacity.values())
        )
