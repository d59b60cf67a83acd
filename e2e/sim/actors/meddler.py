"""Who acts at the worst moment: just when the scheduler has begun to write for a pod, and chance alone seldom would."""

from collections.abc import Callable
from typing import Any

from e2e.sim.actors.drivers import Drivers
from e2e.sim.actors.rival import NAME, Rival
from e2e.sim.actors.tenants import Tenants
from e2e.sim.oracle import claim_names, results
from e2e.sim.server import Peer
from e2e.sim.store import Change, Item, Store
from e2e.sim.world import World

_SOON_S = 0.05


class Meddler:
    """Answers a share of our writes to claims with something that concerns them; `active` ends it."""

    def __init__(
        self, world: World, store: Store, tenants: Tenants, drivers: Drivers, rival: Rival, share: float
    ) -> None:
        self.world, self.store, self.share = world, store, share
        self.tenants, self.drivers, self.rival = tenants, drivers, rival
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
        if not self.active or new is None or new.kind != "ResourceClaim" or not change.who.startswith("dovetail"):
            return
        if self.random.random() < self.share:
            work = self.random.choice(self._works)
            self.world.after(self.random.expovariate(1 / _SOON_S), self._meddle, work, new.key, new.uid)

    def sent(self, peer: Peer, method: str, where: str, given: Any) -> None:
        """A request of ours leaves: the pod that it binds may be gone before it arrives."""
        if self.active and where.endswith("/binding") and self.random.random() < self.share:
            parts = where.split("/")
            self.world.after(0.0, self._outrun, f"{parts[-4]}/{parts[-2]}", given["metadata"]["uid"])

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
