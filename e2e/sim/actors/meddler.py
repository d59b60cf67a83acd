"""Who acts at the worst moment: just when the scheduler has begun to write for a pod, and chance alone seldom would."""

from collections.abc import Callable
from typing import Any

from e2e.sim.actors.drivers import Drivers
from e2e.sim.actors.households import Households
from e2e.sim.actors.rival import NAME, Rival
from e2e.sim.actors.storage import CLAIM
from e2e.sim.actors.tenants import Tenants
from e2e.sim.oracle import claim_names, results
from e2e.sim.server import Peer
from e2e.sim.store import Change, Item, Raw, Store
from e2e.sim.volumes import annotated, holder, users
from e2e.sim.world import World

_SOON_S = 0.05
_STORED = (CLAIM, "PersistentVolume")


def _key(where: str) -> str:
    """Of the object that a path to a part of it is about."""
    *_, namespace, _, name, _ = where.split("/")
    return f"{namespace}/{name}"


class Meddler:
    """Answers a share of our writes to claims with something that concerns them; `active` ends it."""

    def __init__(
        self, world: World, store: Store, tenants: Tenants, drivers: Drivers, rival: Rival,
        households: Households | None, share: float,
    ) -> None:  # fmt: skip
        self.world, self.store, self.share = world, store, share
        self.tenants, self.drivers, self.rival, self.households = tenants, drivers, rival, households
        self.random = world.fork("meddler")
        self.active = True
        self._works: tuple[Callable[[Item], None], ...] = (
            self.delete_pod, self.delete_pod, self.replace_pod, self.drop_claim, self.drop_claim,
            self.touch, self.touch, self.strike, self.strike, self.strike, self.strike,
            self.upset, self.race, self.race,
        )  # fmt: skip
        store.listeners.append(self._changed)

    def _changed(self, change: Change) -> None:
        new = change.new
        if self.active and new is not None and new.kind in _STORED and change.who.startswith("dovetail"):
            if self.random.random() < 2 * self.share:
                self.world.after(self.random.expovariate(1 / _SOON_S), self._upset_volume, new)
            return
        if not self.active or new is None or new.kind != "ResourceClaim" or not change.who.startswith("dovetail"):
            return
        if self.random.random() < self.share:
            work = self.random.choice(self._works)
            self.world.after(self.random.expovariate(1 / _SOON_S), self._meddle, work, new.key, new.uid)

    def sent(self, peer: Peer, method: str, where: str, given: Any) -> None:
        """A request of ours leaves: before it arrives the pod that it binds may be gone, or the devices be taken."""
        if self.active and self.rival.contested and where.endswith("/status") and "/resourceclaims/" in where:
            allocation = (given.get("status") or {}).get("allocation") if isinstance(given, dict) else None
            if allocation and self.random.random() < self.share / 2:
                self.world.after(0.0, self._snatch, _key(where), allocation["devices"]["results"])
        if self.active and where.endswith("/binding") and self.random.random() < self.share:
            self.world.after(0.0, self._outrun, _key(where), given["metadata"]["uid"])

    def _snatch(self, key: str, given: list[Raw]) -> None:
        claim = self.store.find("ResourceClaim", key)
        if claim is not None and not any(each.get("adminAccess") for each in given):
            self.world.step("meddle", "snatch", key)
            self.rival.snatch(self.tenants.emulate(claim), given)

    def _outrun(self, key: str, uid: str) -> None:
        pod = self.store.find("Pod", key)
        if pod is not None and pod.uid == uid:
            self.world.step("meddle", "outrun", key)
            if self.random.random() < 0.5:
                self.tenants.replace_pod(key, pod.raw)
            else:
                self.store.remove("Pod", key, "tenant")

    def _meddle(self, work: Callable[[Item], None], key: str, uid: str) -> None:
        claim = self.store.find("ResourceClaim", key)
        if self.active and claim is not None and claim.uid == uid:
            self.world.step("meddle", work.__name__, key)
            work(claim)

    def _upset_volume(self, item: Item) -> None:
        """A volume, its claim or a pod is deleted, or touched so that whoever holds its version writes in vain."""
        if not self.active or self.households is None or self.store.find(item.kind, item.key) is None:
            return
        self.world.step("meddle", "volume", item.key)
        self.world.bite("V22")
        key = item.key if item.kind == CLAIM else holder(item.raw)[0]
        chance = self.random.random()
        if chance < 0.3:
            self.store.update(
                item.kind, item.key, lambda raw: annotated(raw, {"touched": str(self.store.version)}), "tenant"
            )
        elif chance < 0.6:
            for pod in users(self.store, key)[:1]:
                if chance < 0.45:
                    self.store.remove("Pod", pod.key, "tenant")
                else:
                    self.tenants.replace_pod(pod.key, pod.raw)
        elif item.kind == CLAIM or chance < 0.8:
            claim = self.store.find(CLAIM, key)
            if claim is not None:
                self.households.drop_claim(claim)
        else:
            self.households.drop_volume(item)

    def _users(self, claim: Item) -> list[Item]:
        namespace, name = claim.raw["metadata"]["namespace"], claim.raw["metadata"]["name"]
        return [
            each for each in self.store.objects["Pod"].values()
            if each.raw["metadata"]["namespace"] == namespace and name in claim_names(each.raw)
        ]  # fmt: skip

    def delete_pod(self, claim: Item) -> None:
        for pod in self._users(claim)[:1]:
            self.store.remove("Pod", pod.key, "tenant")

    def replace_pod(self, claim: Item) -> None:
        for pod in self._users(claim)[:1]:
            self.tenants.replace_pod(pod.key, pod.raw)

    def drop_claim(self, claim: Item) -> None:
        self.tenants.drop_claim(claim)

    def touch(self, claim: Item) -> None:
        """A tenant labels the claim: whoever holds its version writes in vain."""
        labels = {**(claim.raw["metadata"].get("labels") or {}), "touched": str(self.store.version)}
        self.store.update(
            "ResourceClaim", claim.key, lambda raw: {**raw, "metadata": {**raw["metadata"], "labels": labels}}, "tenant"
        )

    def strike(self, claim: Item) -> None:
        """A device that the claim has got breaks or is tainted."""
        for result in results(claim.raw)[:1]:
            self.drivers.strike(result["driver"], result["pool"], result["device"])

    def upset(self, claim: Item) -> None:
        """The node is cordoned, or goes."""
        for result in results(claim.raw)[:1]:
            self.drivers.upset(result["pool"])

    def race(self, claim: Item) -> None:
        """The other scheduler tries a pod that uses the claim too; perhaps the one that had it first goes."""
        theirs = [each for each in self._users(claim) if each.spec.get("schedulerName") == NAME]
        for pod in theirs[:1]:
            self.rival.take(pod)
            if self.random.random() < 0.5:
                self.world.after(self.random.uniform(0, 0.5), self._leave, claim.key, pod.uid)

    def _leave(self, key: str, stays: str) -> None:
        claim = self.store.find("ResourceClaim", key)
        for pod in self._users(claim) if claim is not None else ():
            if pod.uid != stays:
                self.store.remove("Pod", pod.key, "tenant")
