"""Devices, counters and capacity that allocated claims hold beyond what there is.

Who holds what, and which pools there are, is asked of the independent checker; here the whole of it is added up, while
the checker judges one new allocation after another.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from scheduler.core.cel import derive, evaluate_scalar
from scheduler.core.config import Ownership
from scheduler.core.model import Claim, Device, Node, Pod, Result, Slice, Uid
from scheduler.core.quantity import BINARY, DECIMAL, NANO, canonical
from scheduler.core.verify import World
from scheduler.core.verify.allocation import Allocations
from scheduler.core.verify.inventory import Inventory
from scheduler.core.verify.rules import Findings, Identity, PoolKey

HELD_TWICE: Final = "DB001"
WHOLE_AND_SHARED: Final = "DB002"
ONE_SHARE_ID: Final = "DB003"
CAPACITY: Final = "DB004"
COUNTERS: Final = "DB005"
DEVICE_GONE: Final = "DB006"
POOL_GONE: Final = "DB007"
PLUGIN: Final = "DB008"
NODE: Final = "DB009"
KINDS: Final[Mapping[str, str]] = {
    HELD_TWICE: "a device is held by more than one claim",
    WHOLE_AND_SHARED: "a device is held as a whole and in shares, or in shares though it has none",
    ONE_SHARE_ID: "two shares of a device have one shareID",
    CAPACITY: "shares take more of a device's capacity than it has",
    COUNTERS: "devices draw more of a shared counter than its pool has",
    DEVICE_GONE: "a claim holds a device that its pool no longer lists",
    POOL_GONE: "a claim holds a device of a pool that is no longer published",
    PLUGIN: "a device plugin and a DRA driver hand out the same devices of a node",
    NODE: "pods and their devices take more of a node than it has",
}
"""Stable ids, and what each means."""


@dataclass(frozen=True, slots=True, order=True)
class Clash:
    """One thing that is held beyond what there is. where : device, pool or node. holders : claims or pods.

    certain : false where it depends on which devices a plugin chose.
    """

    id: str
    where: str
    message: str
    holders: tuple[str, ...] = ()
    certain: bool = True


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is judged. known : kinds of which all objects are there. backed : resources by pod that a claim serves."""

    slices: Sequence[Slice]
    claims: Sequence[Claim]
    nodes: Sequence[Node] = ()
    pods: Sequence[Pod] = ()
    backed: Mapping[Uid, frozenset[str]] = field(default_factory=dict)
    known: frozenset[str] = frozenset({"ResourceSlice", "ResourceClaim", "Node", "Pod"})


class Held:
    """Allocations and pools of a cluster, as the checker sees them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        claims = {claim.uid: claim for claim in cluster.claims}
        world = World(
            nodes={node.name: node for node in cluster.nodes},
            slices={item.name: item for item in cluster.slices},
            classes={},
            taint_rules={},
            claims=claims,
            pods={},
            ownership=Ownership(),
        )
        allocations = Allocations(world, Findings(), evaluate_scalar, derive)
        self.dedicated: Mapping[Identity, list[Claim]] = allocations.dedicated
        self.shares: Mapping[Identity, list[Result]] = allocations.shares
        self.pools = Inventory(world).pools
        self.sharing: dict[Identity, list[Claim]] = {}
        for claim in cluster.claims:
            for result in claim.allocation.results if claim.allocation else ():
                if result in self.shares.get(result.identity, ()):
                    self.sharing.setdefault(result.identity, []).append(claim)

    @property
    def identities(self) -> list[Identity]:
        """Every device that is held, in order."""
        return sorted({*self.dedicated, *self.shares})

    def current(self, key: PoolKey) -> list[Slice]:
        """The newest generation of a pool."""
        slices = self.pools.get(key, [])
        newest = max((item.generation for item in slices), default=0)
        return [item for item in slices if item.generation == newest]

    def doubt(self, key: PoolKey) -> str:
        """Why a pool cannot be judged; empty if it can."""
        current = self.current(key)
        if current and len(current) != current[0].slice_count:
            return f"{len(current)} of {current[0].slice_count} slices of generation {current[0].generation} are there"
        twice = [name for name, count in Counter(d.name for item in current for d in item.devices).items() if count > 1]
        return f"it lists {', '.join(sorted(twice)[:3])} twice" if twice else ""

    def device(self, identity: Identity) -> Device | None:
        """A device as the newest generation of its pool lists it."""
        return next(
            (each for item in self.current(identity[:2]) for each in item.devices if each.name == identity[2]), None
        )


def clashes(cluster: Cluster) -> tuple[list[Clash], list[str]]:
    """(what is held beyond what there is, what could not be judged) of claims and what drivers publish."""
    held = Held(cluster)
    found = list(_devices(held))
    notes: list[str] = []
    if "ResourceSlice" in cluster.known:
        found += _capacity(held)
        for key in sorted(held.pools):
            doubt = held.doubt(key)
            if doubt and any(identity[:2] == key for identity in held.identities):
                notes.append(f"pool {key[0]}/{key[1]} is not judged: {doubt}")
            elif not doubt:
                found += _counters(held, key)
        found += _gone(held)
    elif held.identities:
        notes.append("not all ResourceSlices are known: counters, capacity and what is still published are not judged")
    return sorted(found), notes


def name_of(claim: Claim) -> str:
    """A claim with those that it is reserved for."""
    users = [f"{each.resource.removesuffix('s')} {each.name}" for each in claim.reserved_for]
    shown = ", ".join(users[:3]) + (f" and {len(users) - 3} more" if len(users) > 3 else "")
    return f"claim {claim.key}" + (f" (for {shown})" if users else " (reserved for nobody)")


def _show(identity: Identity) -> str:
    return "device " + "/".join(identity)


def _names(claims: Sequence[Claim]) -> tuple[str, ...]:
    return tuple(sorted(name_of(claim) for claim in claims))


def _devices(held: Held) -> Iterator[Clash]:
    for identity in held.identities:
        whole, sharing = held.dedicated.get(identity, []), held.sharing.get(identity, [])
        where = _show(identity)
        if len(whole) > 1:
            claims = {claim.uid for claim in whole}
            times = f"by {len(claims)} claims" if len(claims) > 1 else f"{len(whole)} times by one claim"
            yield Clash(HELD_TWICE, where, f"it is held {times}", tuple(dict.fromkeys(_names(whole))))
        if whole and sharing:
            text = f"it is held as a whole, and {len(sharing)} shares of it are held"
            yield Clash(WHOLE_AND_SHARED, where, text, tuple(dict.fromkeys(_names([*whole, *sharing]))))
        ids = Counter(result.share_id for result in held.shares.get(identity, ()))
        for share, count in sorted(ids.items(), key=str):
            if count > 1:
                yield Clash(ONE_SHARE_ID, where, f"{count} shares have shareID {share}", _names(sharing))


def _capacity(held: Held) -> Iterator[Clash]:
    for identity, shares in sorted(held.shares.items()):
        device = held.device(identity)
        if device is None or held.doubt(identity[:2]):
            continue
        where, holders = _show(identity), tuple(dict.fromkeys(_names(held.sharing[identity])))
        if not device.shareable and len(shares) > 1:
            text = f"{len(shares)} shares of it are held, and it does not allow multiple allocations"
            yield Clash(WHOLE_AND_SHARED, where, text, holders)
        for name in sorted({name for share in shares for name in share.consumed or {}}):
            parts = [share.consumed[name] for share in shares if share.consumed and name in share.consumed]
            taken = sum(part.nanos for part in parts)
            there = device.capacity.get(name)
            if there is None:
                yield Clash(
                    CAPACITY, where, f"{name}: {_amount(taken, parts[0].format)} is taken, and it has none", holders
                )
            elif taken > there.nanos:
                text = f"{name}: {_amount(taken, there.format)} is taken of {there.text}"
                yield Clash(CAPACITY, where, text, holders)


def _counters(held: Held, key: PoolKey) -> Iterator[Clash]:
    current = held.current(key)
    there = {each.name: each.counters for item in current for each in item.counter_sets}
    drawing: dict[tuple[str, str], list[tuple[int, Identity]]] = {}
    for item in current:
        for device in item.devices:
            identity = (*key, device.name)
            if identity not in held.dedicated and identity not in held.shares:
                continue
            for use in device.consumes:
                for name, amount in use.counters.items():
                    drawing.setdefault((use.counter_set, name), []).append((amount.nanos, identity))
    for (counter_set, name), drawn in sorted(drawing.items()):
        total = sum(amount for amount, _ in drawn)
        limit = there.get(counter_set, {}).get(name)
        if limit is not None and total > limit.nanos:
            claims = [
                claim
                for _, identity in drawn
                for claim in (*held.dedicated.get(identity, ()), *held.sharing.get(identity, ()))
            ]
            devices = ", ".join(sorted(identity[2] for _, identity in drawn))
            text = f"{counter_set}.{name}: {_amount(total, limit.format)} is drawn of {limit.text}, by {devices}"
            yield Clash(COUNTERS, f"pool {key[0]}/{key[1]}", text, tuple(dict.fromkeys(_names(claims))))


def _gone(held: Held) -> Iterator[Clash]:
    for identity in held.identities:
        if held.device(identity) is not None:
            continue
        key = identity[:2]
        claims = [*held.dedicated.get(identity, ()), *held.sharing.get(identity, ())]
        holders = tuple(dict.fromkeys(_names(claims)))
        if key not in held.pools:
            yield Clash(POOL_GONE, _show(identity), "no slice of its pool is there", holders)
        elif not held.doubt(key):
            text = f"generation {held.current(key)[0].generation} of its pool does not list it"
            yield Clash(DEVICE_GONE, _show(identity), text, holders)


def _amount(nanos: int, form: str) -> str:
    spelled = form if form != BINARY or nanos % NANO == 0 else DECIMAL
    return canonical(nanos, spelled)
