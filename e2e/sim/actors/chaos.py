"""Who toggles faults, kills, stalls and stops, and counts what faults met."""

from e2e.sim.actors.rival import WHO as RIVAL
from e2e.sim.faults import Rates
from e2e.sim.invariants import SCHEDULER
from e2e.sim.oracle import claim_names, reserved
from e2e.sim.replica import Replica
from e2e.sim.server import Peer, Server
from e2e.sim.store import Change, Item, Raw, Store
from e2e.sim.world import World

_FORBIDDEN = (
    ("PATCH", "/status"), ("PATCH", "resourceclaims"), ("POST", "/binding"), ("GET", "resourceclaims"),
    ("PATCH", "persistentvolume"), ("WATCH", "PersistentVolumeClaim"), ("WATCH", "PersistentVolume"),
    ("PUT", "/leases"), ("WATCH", "ResourceSlice"), ("WATCH", "ResourceClaim"), ("WATCH", "Pod"),
)  # fmt: skip

_RARE = 6.0  # times as often as after other writes, a process is killed after an allocation
_RARER = 15.0  # and after a binding, or between the claims of a pod


class Chaos:
    """Against the replicas and their server; `active` ends it."""

    def __init__(self, world: World, store: Store, server: Server, replicas: list[Replica], rates: Rates) -> None:
        self.world, self.store, self.server, self.replicas, self.rates = world, store, server, replicas, rates
        self.random = world.fork("chaos")
        self.active = True
        server.applied.append(self._applied)
        server.refused.append(self._refused)
        server.delayed.append(self._delayed)
        store.listeners.append(self._changed)
        self._strangers: set[str] = set()  # claims that another scheduler allocated
        for rate, work in (
            (rates.crashes, self.crash), (rates.stops, self.end), (rates.stalls, self.stall),
            (rates.outages, self.outage), (rates.forbidden, self.forbid), (rates.jumps, self.jump),
            (rates.bursts_of_lag, self.lag), (rates.part_failures, self.break_part),
        ):  # fmt: skip
            if rate:
                self._often(rate, work)
        world.every(5.0, lambda: self.random.expovariate(1 / 20.0), server.remember_lists)

    def _often(self, rate: float, work) -> None:
        def act() -> None:
            if self.active:
                work()

        self.world.every(self.random.expovariate(rate / 60), lambda: self.random.expovariate(rate / 60), act)

    # ------------------------------------------------------------ faults that are toggled

    def _any(self) -> Replica:
        """The leader rather than the others."""
        leaders = [each for each in self.replicas if each.deciding]
        least = leaders if leaders and self.random.random() < 0.8 else self.replicas
        return self.random.choice(least)

    @staticmethod
    def _writing(replica: Replica) -> int:
        life = replica.running
        return life.process.writer.writing if life is not None and life.process is not None else 0

    def crash(self) -> None:
        self._any().crash("killed")

    def end(self) -> None:
        self._end(self._any())

    def _end(self, replica: Replica) -> None:
        if self._writing(replica):
            self.world.bite("F35")
        replica.end()

    def stall(self) -> None:
        self._stall(self._any())

    def _stall(self, replica: Replica) -> None:
        if self._writing(replica):
            self.world.bite("F25")
        replica.stall(self.random.choice((0.1, 1.0, 5.0, 20.0, 40.0)) * self.random.random())

    def outage(self) -> None:
        self.world.step("toggle", "server", "down")
        self.server.down = True
        self.world.after(self.random.choice((0.5, 3.0, 30.0)) * self.random.random(), self._up)

    def _up(self) -> None:
        self.server.down = False

    def forbid(self) -> None:
        self.server.forbidden = self.random.choice(_FORBIDDEN)
        self.world.step("toggle", "forbidden", " ".join(self.server.forbidden))
        self.world.after(self.random.uniform(0.5, 15), self._permit)

    def _permit(self) -> None:
        self.server.forbidden = None

    def jump(self) -> None:
        replica = self.random.choice(self.replicas)
        replica.wall_ahead += self.random.choice((-3600.0, -5.0, 5.0, 3600.0))
        self.world.step("toggle", f"clock of {replica.name}", f"{replica.wall_ahead:g}")
        self.world.bite("F30")

    def lag(self) -> None:
        self.world.step("toggle", "lag", "")
        self.server.lag = self.random.choice((5.0, 20.0, 60.0))
        self.world.after(self.random.uniform(1, 15), self._prompt)

    def _prompt(self) -> None:
        self.server.lag = 1.0

    def break_part(self) -> None:
        self._any().break_part()

    def rest(self) -> None:
        """All is well from now on."""
        self.active = False
        self._up()
        self._permit()
        self._prompt()
        for replica in self.replicas:
            if replica.life is not None:
                replica.life.stalled_until = min(replica.life.stalled_until, self.world.now)

    # ------------------------------------------------------------ what faults met

    def _applied(self, peer: Peer, what: str, kind: str, key: str, item: Item | None) -> None:
        """After a write its process may be killed, stalled, or told to stop."""
        replica = next(each for each in self.replicas if each.name == peer.name)
        writing = self._writing(replica)
        if kind == "ResourceClaim" and what == "status" and writing > 1:
            self.world.bite("F38")
        if not self.active or not peer.alive:
            return
        partly = kind == "ResourceClaim" and item is not None and self._partly(item)
        bound = kind == "Pod" and what == "bind"
        allocated = kind == "ResourceClaim" and item is not None and bool(item.status.get("allocation"))
        stored = kind.startswith("PersistentVolume")
        times = _RARER if partly or bound or stored else _RARE if allocated else 1.0
        if self.random.random() < self.rates.crash_after_write * times:
            if bound:
                self.world.bite("F34")
            elif kind == "ResourceClaim" and item is not None:
                self.world.bite("F32" if allocated else "F31")
            elif stored:
                self.world.bite("V3")
            if partly:
                self.world.bite("F33")
            replica.crash("after a write")
        elif writing and self.random.random() < self.rates.stall_after_write:
            self._stall(replica)
        elif writing and self.random.random() < self.rates.stop_after_write:
            self._end(replica)

    def _delayed(self, peer: Peer, delay: float) -> None:
        """A write is applied later than now: he who sent it may be gone by then."""
        replica = next(each for each in self.replicas if each.name == peer.name)
        if self.active and replica.life is peer and self.random.random() < self.rates.end_before_late:
            end = self.random.choice((lambda: replica.crash("with a write under way"), lambda: self._end(replica)))
            self.world.after(
                self.random.uniform(0, delay), lambda: end() if self.active and replica.life is peer else None
            )

    def _partly(self, claim: Item) -> bool:
        """Whether pods of a claim have others that are not allocated yet."""
        for pod in self.store.objects["Pod"].values():
            names = claim_names(pod.raw)
            if claim.raw["metadata"]["name"] in names and len(names) > 1:
                found = [
                    self.store.find("ResourceClaim", f"{pod.raw['metadata']['namespace']}/{name}") for name in names
                ]
                if any(each is not None and not each.status.get("allocation") for each in found):
                    return True
        return False

    def _refused(self, peer: Peer, method: str, where: str, given: Raw, code: int) -> None:
        if method == "GET":
            return
        parts = where.split("/")
        if "resourceclaims" in parts and len(parts) > parts.index("resourceclaims") + 1:
            place = parts.index("resourceclaims")
            key = f"{parts[place - 1]}/{parts[place + 1]}"
            claim = self.store.find("ResourceClaim", key)
            if code == 409:
                self.world.bite("F11" if where.endswith("/status") else "F10")
                if claim is not None and claim.uid in self._strangers:
                    self.world.bite("F53")
            if code == 404:
                self.world.bite("F18")
            if claim is None or claim.deleting:
                self.world.bite("F42")
            users = [each for each in self.store.objects["Pod"].values() if parts[place + 1] in claim_names(each.raw)]
            if len(users) > 1:
                self.world.bite("F40")
        elif where.endswith("/binding"):
            place = parts.index("pods")
            pod = self.store.find("Pod", f"{parts[place - 1]}/{parts[place + 1]}")
            if pod is None or pod.deleting or pod.uid != given["metadata"]["uid"]:
                self.world.bite("F45")

    def _changed(self, change: Change) -> None:
        if change.item.kind in {"ResourceSlice", "DeviceClass", "DeviceTaintRule"}:
            for replica in self.replicas:
                life = replica.running
                process = life.process if life is not None else None
                if (
                    process is not None
                    and process.engine is not None
                    and (process.engine.in_flight or process.aside.working)
                ):
                    self.world.bite("F56")
        elif change.item.kind == "Pod" and change.old is None and self._strangers:
            claims = self.store.objects["ResourceClaim"].values()
            if any(each.uid in self._strangers and self._waits_for(change.item, each) for each in claims):
                self.world.bite("F53")
        elif change.item.kind == "ResourceClaim" and change.new is not None and change.old is not None:
            joined = set(reserved(change.new.raw)) - set(reserved(change.old.raw))
            had, has = (bool(each.status.get("allocation")) for each in (change.old, change.new))
            if change.who.startswith("dovetail") and joined and had:
                self.world.bite("joined")
                if change.item.uid in self._strangers:
                    self.world.bite("F53")
            if has and not had and change.who == RIVAL:
                self._strangers.add(change.item.uid)
                if any(self._waits_for(each, change.item) for each in self.store.objects["Pod"].values()):
                    self.world.bite("F53")
            elif had and not has:
                self._strangers.discard(change.item.uid)

    @staticmethod
    def _waits_for(pod: Item, claim: Item) -> bool:
        """Whether a pod of ours that has no node yet uses a claim."""
        return (
            pod.spec.get("schedulerName") == SCHEDULER and not pod.spec.get("nodeName")
            and pod.raw["metadata"]["namespace"] == claim.raw["metadata"]["namespace"]
            and claim.raw["metadata"]["name"] in claim_names(pod.raw)
        )  # fmt: skip
