"""The judge: looks at every request of ours and at every change of an object, and shares nothing with the scheduler.

| invariant | where it is checked |
|-----------|---------------------|
| I1, I2, I3, I6, I11, I15 | `_allocated`, at the write of an allocation; I1 again over everything in `full` |
| I4, I5, I16, I17 | `_bound`, at the binding; I4 again by the kubelet when it starts the pod |
| I7, I8, I9, I10 | `_claim_changed`, at every write of ours to a claim |
| I12, I13, I18 | `sent`, when a request leaves, and `applied`, when the server takes it in |
| I14, I19 to I24 | liveness.py, and causes.py for what reasons say, when faults have stopped |
| I25 to I31 | plain_invariants.py: volumes, ports, anti-affinity and spread |
"""

import json
import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

from e2e.sim.hardware import SELECTORS
from e2e.sim.oracle import (
    OWNED,
    Device,
    Hardware,
    Hold,
    Pool,
    Published,
    admits,
    amount,
    claim_names,
    pool_of,
    requests_of,
    reserved,
    results,
    selected,
)
from e2e.sim.server import Peer
from e2e.sim.store import FINALIZER, Change, Item, Raw, Store, done
from e2e.sim.world import BrokenError, World

VIEW_S = 90.0
"""How old what an allocation was decided by may be: a watch that hangs, a stall, and the write's own time."""
SCHEDULER = "dovetail"
_EXPLAIN = "dovetail.scheduler/explain"
_SEEN_S = 0.05  # between the delivery of an event and a decision that knows it


class History:
    """The values that something had lately, newest first."""

    def __init__(self, now: Callable[[], float], first: Any) -> None:
        self._now = now
        self._values: deque[tuple[float, Any]] = deque([(float("-inf"), first)])  # since when, newest last

    @property
    def last(self) -> Any:
        return self._values[-1][1]

    def put(self, value: Any) -> None:
        self._values.append((self._now(), value))
        while len(self._values) > 1 and self._values[1][0] < self._now() - VIEW_S:
            self._values.popleft()

    def at(self, time: float) -> Any:
        """What it was at a time that is not longer ago than VIEW_S."""
        return next(value for since, value in reversed(self._values) if since <= time or since == self._values[0][0])

    @property
    def changes(self) -> list[float]:
        """When it changed lately."""
        return [since for since, _ in self._values if since >= self._now() - VIEW_S]

    def lately(self) -> Iterable[Any]:
        until = self._now()
        for since, value in reversed(self._values):
            if until < self._now() - VIEW_S:
                return
            yield value
            until = since


class Judge:
    """Raises BrokenError at the first thing that must never be.

    ours : whether an identity is one of our processes. holders : who has which device, by the claims as they are.
    contested : another scheduler allocates the same devices, so that clashes happen and are kept in `clashes`.
    """

    def __init__(
        self, world: World, store: Store, *, lease_s: float, margin_s: float, secret: str, contested: bool = False
    ) -> None:
        self.world, self.store, self.contested = world, store, contested
        self.lease_s, self.margin_s, self.secret = lease_s, margin_s, secret.encode()
        self.ours: Callable[[str], bool] = lambda who: who.startswith("dovetail")
        self.holders: dict[Device, list[Hold]] = defaultdict(list)
        self.known: dict[Device, Published] = {}  # as last published
        self.counters: dict[tuple[str, str], dict[tuple[str, str], int]] = {}
        self.pools = History(lambda: world.now, {})
        self.classes = History(lambda: world.now, {})
        self.rules = History(lambda: world.now, [])
        self.nodes: dict[str, History] = {}
        self.bound: dict[str, tuple[str, float, str]] = {}  # pod uid -> by whom, when, node
        self.renewing: dict[str, float] = {}  # identity -> when its last renewal was sent
        self.deadlines: dict[str, float] = {}
        self.delivered: dict[str, deque[tuple[float, int]]] = {}
        self.writes: Counter[str] = Counter()
        self.sent_knowing: dict[tuple[str, str], int] = {}  # of claims, by who bound which pod
        self.reported: set[str] = set()  # pods of which a clash was told
        self.clashes: dict[frozenset[str], None] = {}  # pairs of claims, in the order in which they came
        self._given_at: dict[str, int] = {}  # by claim, the version at which it got what it has
        self._slices: dict[tuple[str, str], dict[str, Raw]] = defaultdict(dict)
        store.listeners.append(self._changed)

    def fail(self, invariant: str, text: str, *subjects: str) -> None:
        error = BrokenError(invariant, text, *subjects)
        self.world.fail(error)
        raise error

    # ------------------------------------------------------------ requests

    def sent(self, peer: Peer, method: str, where: str, given: Any) -> None:
        """A request of ours leaves."""
        if method == "GET" or "reviews" in where:
            return
        now = self.world.now
        if "/leases" in where:
            self.renewing[peer.identity] = now
            return
        if not isinstance(given, dict):
            return
        if self.secret in json.dumps(given).encode():
            self.fail("I18", f"{method} {where} holds a secret", where)
        if now >= self.deadlines.get(peer.identity, float("-inf")) - self.margin_s:
            self.fail("I12", f"{peer.identity} sends {method} {where} without a lease that lasts")
        if "/events" in where:
            if given.get("reason") == "DeviceClash":
                self.reported.add(given["involvedObject"]["uid"])
            return
        metadata = given.get("metadata") or given.get("preconditions") or {}
        if "/resourceclaims/" in where and method == "PATCH" and not metadata.get("resourceVersion"):
            self.fail("I13", f"{method} {where} has no resourceVersion", where)
        if method != "POST" and not metadata.get("uid"):
            self.fail("I13", f"{method} {where} has no uid", where)
        if where.endswith("/binding"):
            if not metadata.get("uid"):
                self.fail("I13", f"{method} {where} has no uid", where)
            until = peer.aware(now - _SEEN_S)
            known = [version for time, version in self.delivered.get(peer.identity, ()) if time <= until]
            self.sent_knowing[peer.identity, metadata["uid"]] = max(known, default=0)
        if "devices" in (given.get("status") or {}) and given["status"]["devices"] is not None:
            self.fail("I10", f"{method} {where} writes status.devices", where)

    def applied(self, peer: Peer, what: str, kind: str, key: str, item: Item | None) -> None:
        """A write of ours was taken in."""
        self.writes[kind] += 1
        if kind == "Lease":
            self.deadlines[peer.identity] = self.renewing[peer.identity] + self.lease_s
            if item is not None and item.spec.get("holderIdentity") != peer.identity:
                self.deadlines[peer.identity] = float("-inf")  # given back
            return
        for lease in self.store.objects["Lease"].values():
            if lease.spec.get("holderIdentity") != peer.identity:
                holder = lease.spec.get("holderIdentity")
                self.fail("I12", f"a write of {peer.identity} to {kind} {key} is applied while {holder!r} leads", key)

    def told(self, identity: str, kind: str, version: int) -> None:
        """A process was delivered what happened to a kind up to a version."""
        if kind == "ResourceClaim":
            self.delivered.setdefault(identity, deque(maxlen=200)).append((self.world.now, version))

    def unreported(self) -> None:
        """I1 where devices are contested: of each clash that stands, the pods that run with it were told."""
        for pair in self.clashes:
            for uid in sorted(pair):
                claim = next((each for each in self.store.objects["ResourceClaim"].values() if each.uid == uid), None)
                for consumer in reserved(claim.raw) if claim is not None else ():
                    pod = self._pod(consumer)
                    ours = pod is not None and pod.spec.get("schedulerName") == SCHEDULER and not done(pod.raw)
                    if pod is not None and ours and pod.spec.get("nodeName"):
                        if pod.uid not in self.reported:
                            self.fail("I1", f"pod {pod.key} clashes ({sorted(pair)}), and nobody says so", pod.key)
                        self.world.bite("clash told")

    # ------------------------------------------------------------ changes

    def _changed(self, change: Change) -> None:
        item = change.item
        self.world.note("change", f"{item.kind} {item.key}", f"{change.version} {change.what} by {change.who}")
        if item.kind == "ResourceClaim":
            self._claim_changed(change)
        elif item.kind == "Pod":
            self._pod_changed(change)
        elif item.kind == "ResourceSlice":
            self._slice_changed(change)
        elif item.kind == "DeviceClass":
            self.classes.put({each.key: each.raw for each in self.store.all("DeviceClass")})
        elif item.kind == "DeviceTaintRule":
            self.rules.put([each.raw for each in self.store.all("DeviceTaintRule")])
        elif item.kind == "Node":
            if item.key not in self.nodes:
                self.nodes[item.key] = History(lambda: self.world.now, None)
            self.nodes[item.key].put(change.new.raw if change.new else None)

    def _slice_changed(self, change: Change) -> None:
        spec = change.item.spec
        key = (spec["driver"], spec["pool"]["name"])
        of = self._slices[key]
        if change.new is None:
            of.pop(change.item.key, None)
        else:
            of[change.item.key] = change.new.raw
        pools: dict[tuple[str, str], Pool] = dict(self.pools.last)
        pools.pop(key, None)
        if of:
            made = pools[key] = pool_of(of.values())
            for device in made.devices.values():
                self.known[device.id] = device
            if made.counters:
                self.counters[key] = made.counters
        self.pools.put(pools)

    def _claim_changed(self, change: Change) -> None:
        old, new = change.old, change.new
        before = results(old.raw) if old else []
        after = results(new.raw) if new else []
        key, uid, ours = change.item.key, change.item.uid, self.ours(change.who)
        had = bool(old and old.status.get("allocation"))
        has = bool(new and new.status.get("allocation"))
        if had and not has:
            self._let_go(uid, before)
        if has and not had:
            assert new is not None
            for result in after:
                consumed = {name: amount(text) for name, text in (result.get("consumedCapacity") or {}).items()}
                hold = Hold(uid, result.get("shareID") or "", consumed, bool(result.get("adminAccess")))
                self.holders[result["driver"], result["pool"], result["device"]].append(hold)
            self._given_at[uid] = change.version
            self._clash(new, after)
            if ours:
                self._allocated(new, after)
        if not ours or old is None:
            return
        if new is not None and has and FINALIZER not in (new.raw["metadata"].get("finalizers") or ()):
            self.fail("I7", f"claim {key} is allocated without its finalizer", key)
        left, joined = set(reserved(old.raw)), set(reserved(new.raw) if new else ())
        if old.deleting and ((has and not had) or joined - left):
            self.fail("I8", f"claim {key} is being deleted and was given to a pod", key)
        if had and not has:
            for other in left:
                pod = self._pod(other)
                if pod is not None and (pod.spec.get("nodeName") and not done(pod.raw)):
                    self.fail("I9", f"claim {key} was freed while pod {pod.key} runs with it", key, pod.key)
            if len(left) > 1:
                self.fail("I9", f"claim {key} was freed while {len(left)} pods had reserved it", key)
        for other in left - joined:
            pod = self._pod(other)
            if pod is not None and pod.spec.get("nodeName") and not done(pod.raw):
                self.fail("I9", f"claim {key} lost the reservation of pod {pod.key}, which runs", key, pod.key)
        for other in left ^ joined:
            pod = self._pod(other)
            if pod is not None and pod.spec.get("schedulerName") != SCHEDULER:
                self.fail("I10", f"claim {key}: the reservation of pod {pod.key} is not ours to touch", key, pod.key)
        if new is not None:
            status_before, status_after = old.status.get("devices"), new.status.get("devices")
            if status_after != status_before and has:
                self.fail("I10", f"claim {key}: status.devices was changed", key)

    def _let_go(self, uid: str, released: Iterable[Raw]) -> None:
        for result in released:
            id_ = (result["driver"], result["pool"], result["device"])
            self.holders[id_] = [each for each in self.holders[id_] if each.claim != uid]
            if not self.holders[id_]:
                del self.holders[id_]
        del self._given_at[uid]
        for pair in [pair for pair in self.clashes if uid in pair]:
            del self.clashes[pair]

    def _pod(self, uid: str) -> Item | None:
        return next((each for each in self.store.objects["Pod"].values() if each.uid == uid), None)

    def hardware(self) -> Hardware:
        """As it is now."""
        return Hardware(self.pools.last, self.classes.last, self.rules.last, SELECTORS)

    def _clash(self, claim: Item, given: Iterable[Raw]) -> None:
        """I1: a device that is not shared has one holder."""
        for result in given:
            id_ = (result["driver"], result["pool"], result["device"])
            holds = [each for each in self.holders[id_] if not each.admin]
            claims = {each.claim for each in holds}
            if len(holds) < 2 or result.get("adminAccess"):
                continue
            shares = [each.share for each in holds]
            if all(shares) and len(set(shares)) == len(shares):
                continue
            if not self.contested:
                self.fail("I1", f"{'/'.join(id_)} is in claims {', '.join(sorted(claims))}", claim.key)
            for other in claims - {claim.uid}:
                self.clashes[frozenset((claim.uid, other))] = None
                self.world.bite("clash")

    def _allocated(self, claim: Item, given: list[Raw]) -> None:
        """I2, I3, I6, I10, I11, I15: what we gave to a claim."""
        if len(given) > 32:
            self.fail("I15", f"claim {claim.key} has {len(given)} results", claim.key)
        consumers = reserved(claim.raw)
        if len(set(consumers)) < len(consumers) or len(consumers) > 256:
            self.fail("I15", f"claim {claim.key} is reserved for {consumers}", claim.key)
        for uid in consumers:
            pod = self._pod(uid)
            if pod is not None and pod.spec.get("schedulerName") != SCHEDULER:
                self.fail("I10", f"claim {claim.key} was allocated for pod {pod.key}, which is not ours", claim.key)
        allocation = claim.status["allocation"]
        problem = ""
        for pools, classes, rules in product(self.pools.lately(), self.classes.lately(), self.rules.lately()):
            view = Hardware(pools, classes, rules, SELECTORS)
            invariant, found = self._wrong(view, claim, allocation, given)
            if not found:
                return
            problem = problem or f"{invariant}/{found}"
        invariant, _, text = problem.partition("/")
        self.fail(invariant, f"claim {claim.key}: {text}, in all views of the last {VIEW_S:g} seconds", claim.key)

    def _wrong(self, view: Hardware, claim: Item, allocation: Raw, given: Iterable[Raw]) -> tuple[str, str]:
        node = self._node_of(allocation)
        found = view.wrong(claim.raw, allocation, node)
        if found:
            return ("I11" if "admin access" in found else "I6"), found
        for result in () if self.contested else given:
            if result.get("adminAccess"):
                continue
            id_ = (result["driver"], result["pool"], result["device"])
            device = view.pools[id_[:2]].devices[id_[2]]
            for name, whole in device.capacity.items():
                used = sum(each.consumed.get(name, 0) for each in self.holders[id_] if not each.admin)
                if device.shared and used > whole:
                    return "I3", f"{'/'.join(id_)} gives {used} of {whole} {name}"
            if device.consumes:
                over = self._over(view, id_[:2])
                if over:
                    return "I2", over
        return "", ""

    def _over(self, view: Hardware, key: tuple[str, str]) -> str:
        """Counters of a pool that are overdrawn; what is no longer published is charged as it last was."""
        pool = view.pools[key]
        used: Counter[tuple[str, str]] = Counter()
        for id_, holds in self.holders.items():
            if id_[:2] != key or all(each.admin for each in holds):
                continue
            device = pool.devices.get(id_[2]) or self.known.get(id_)
            for counters, name, value in device.consumes if device else ():
                used[counters, name] += value
        for (counters, name), value in used.items():
            if value > pool.counters.get((counters, name), value):
                return f"counter {counters}/{name} of pool {'/'.join(key)} gives {value}"
        return ""

    def _node_of(self, allocation: Raw) -> Raw | None:
        """The node that an allocation is for, if it is one; as it last was."""
        names = {
            value
            for term in (allocation.get("nodeSelector") or {}).get("nodeSelectorTerms", ())
            for each in term.get("matchFields") or ()
            for value in each["values"]
        }
        history = self.nodes.get(names.pop()) if len(names) == 1 else None
        return next((each for each in history.lately() if each is not None), None) if history is not None else None

    # ------------------------------------------------------------ pods

    def _pod_changed(self, change: Change) -> None:
        new, old = change.new, change.old
        ours = self.ours(change.who)
        if ours and change.item.spec.get("schedulerName") != SCHEDULER:
            self.fail("I10", f"pod {change.item.key} is not ours", change.item.key)
        if new is None or (old is not None and old.spec.get("nodeName")) or not new.spec.get("nodeName"):
            return
        self.bound[new.uid] = (change.who, self.world.now, new.spec["nodeName"])
        if ours:
            assert old is not None
            self._bound(old, new)

    def _bound(self, old: Item, pod: Item) -> None:
        """I4, I5, I10, I16, I17: a binding of ours was taken in."""
        key, name = pod.key, pod.spec["nodeName"]
        history = self.nodes.get(name)
        nodes = [each for each in history.lately() if each is not None] if history is not None else []
        if not any(admits(node, pod.raw) for node in nodes):
            self.fail("I5", f"pod {key} is bound to {name}, which does not take it", key, name)
        if not any((node["metadata"].get("labels") or {}).get(OWNED, "false") != "false" for node in nodes):
            self.fail("I10", f"pod {key} is bound to {name}, which is not ours", key, name)
        wanted = claim_names(pod.raw)
        for claim_name in wanted:
            where = f"{pod.raw['metadata']['namespace']}/{claim_name}"
            claim = self.store.find("ResourceClaim", where) if claim_name else None
            if claim is None:
                self.fail("I4", f"pod {key} is bound without claim {where}", key, where)
                return
            owners = claim.raw["metadata"].get("ownerReferences") or ()
            if owners and not any(each["uid"] == pod.uid for each in owners):
                self.fail("I4", f"pod {key} is bound with claim {where} of another owner", key, where)
            if not claim.status.get("allocation"):
                self.fail("I4", f"pod {key} is bound before claim {where} is allocated", key, where)
            if pod.uid not in reserved(claim.raw):
                self.fail("I4", f"pod {key} is bound, and claim {where} is not reserved for it", key, where)
            selector = claim.status["allocation"].get("nodeSelector")
            if not any(selected(selector, node) for node in nodes):
                self.fail("I5", f"pod {key} is bound to {name}, where claim {where} cannot be used", key, where)
            if self.contested:
                self._yielded(pod, claim)
        self._fits(pod, nodes)
        self._scored(pod)

    def _fits(self, pod: Item, nodes: list[Raw]) -> None:
        """I16, leaving out what another scheduler bound so lately that we may not have seen it."""
        name = pod.spec["nodeName"]
        used: Counter[str] = Counter()
        for other in self.store.objects["Pod"].values():
            if other.spec.get("nodeName") != name or done(other.raw):
                continue
            who, when, _ = self.bound.get(other.uid, ("", 0.0, ""))
            if not self.ours(who) and when > self.world.now - VIEW_S:
                continue
            used.update(requests_of(other.raw))
        for resource, value in used.items():
            most = max(amount(node["status"]["allocatable"].get(resource, "0")) for node in nodes)
            if value > most:
                self.fail("I16", f"node {name} gives {value} of {most} {resource} with pod {pod.key}", pod.key, name)

    def _scored(self, pod: Item) -> None:
        text = pod.raw["metadata"]["annotations"].get(_EXPLAIN)
        if text is None:
            return

        def finite(value: Any, path: str) -> None:
            if isinstance(value, dict):
                for name, each in value.items():
                    finite(each, f"{path}.{name}")
            elif isinstance(value, list):
                for each in value:
                    finite(each, path)
            elif isinstance(value, float) and not math.isfinite(value):
                self.fail("I17", f"pod {pod.key} was scored {value} at {path}", pod.key)

        said = json.loads(text)
        finite(said, "")
        for name, score in (said.get("scores") or {}).items():
            if isinstance(score, int | float) and not 0 <= score <= 1:
                self.fail("I17", f"pod {pod.key}: scorer {name} says {score}", pod.key)

    def _yielded(self, pod: Item, claim: Item) -> None:
        """I1 where devices are contested: a clash that was seen before the binding is yielded."""
        who = self.bound[pod.uid][0]
        knew = self.sent_knowing.get((who, pod.uid), 0)
        for pair in self.clashes:
            if claim.uid in pair and any(knew >= self._given_at[rival] for rival in pair - {claim.uid}):
                self.fail("I1", f"pod {pod.key} was bound though {who} had seen the clash of {sorted(pair)}", pod.key)

    # ------------------------------------------------------------ everything

    def full(self) -> None:
        """All that must hold of the whole, without memory."""
        holders: dict[Device, list[str]] = defaultdict(list)
        for claim in self.store.objects["ResourceClaim"].values():
            given = results(claim.raw)
            for result in given:
                if not result.get("adminAccess") and not result.get("shareID"):
                    holders[result["driver"], result["pool"], result["device"]].append(claim.key)
            if given and FINALIZER not in (claim.raw["metadata"].get("finalizers") or ()):
                self.fail("I7", f"claim {claim.key} is allocated without its finalizer", claim.key)
        for id_, keys in holders.items():
            if len(keys) > 1 and not self.contested:
                self.fail("I1", f"{'/'.join(id_)} is in claims {', '.join(keys)}", *keys)
        kept = {id_ for id_, holds in self.holders.items() if any(not each.admin and not each.share for each in holds)}
        assert kept == set(holders), "the judge has lost count"
