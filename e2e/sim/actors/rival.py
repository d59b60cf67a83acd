"""kube-scheduler, as a second allocator: on devices of its own or, where they are contested, on ours."""

from collections.abc import Callable
from uuid import UUID

from e2e.sim.oracle import OWNED, Device, Hardware, Hold, admits, amount, claim_names, requests_of, reserved, selected
from e2e.sim.plain import apart, collide, even, ports, spread
from e2e.sim.store import FINALIZER, Item, Raw, RefusedError, Store, done
from e2e.sim.volumes import NO_PROVISIONER, SELECTED_NODE, annotated, annotations, complete, serve, volume_claims
from e2e.sim.world import World

NAME = "default-scheduler"
WHO = "kube-scheduler"


class Rival:
    """Tries one pod at a time by brute force, on what was true a moment ago.

    holders : who has which device now. contested : it allocates devices of our nodes too.
    """

    def __init__(
        self, world: World, store: Store, hardware: Callable[[], Hardware],
        holders: Callable[[], dict[Device, list[Hold]]], *, contested: bool,
    ) -> None:  # fmt: skip
        self.world, self.store, self.hardware, self.holders = world, store, hardware, holders
        self.contested = contested
        self.random = world.fork("rival")
        self._shares = 0
        self._tried: dict[str, int] = {}
        world.after(0.5, self._again)

    def _again(self) -> None:
        self.act()
        self.world.after(self.random.expovariate(1 / 0.7), self._again)

    def act(self) -> None:
        pods = [
            each for each in self.store.objects["Pod"].values()
            if each.spec.get("schedulerName") == NAME and not each.spec.get("nodeName") and not done(each.raw)
            and not each.deleting and not each.spec.get("schedulingGates")
            and self._tried.get(each.uid) != self.store.version // 20
        ]  # fmt: skip
        if pods:
            self.take(self.random.choice(pods))

    def snatch(self, key: str, given: list[Raw]) -> None:
        """Give a pod what somebody is just about to write into a claim, as if nothing else were free."""
        hardware, holders = self._view()
        wanted = {(each["driver"], each["pool"], each["device"]) for each in given}
        for pool in hardware.pools.values():
            for device in pool.devices.values():
                if device.id not in wanted:
                    holders.setdefault(device.id, []).append(Hold("", "", {}, admin=False))
        self._try(key, hardware, holders)

    def take(self, chosen: Item) -> None:
        """Try a pod, by what is true now, in a moment."""
        self._tried[chosen.uid] = self.store.version // 20
        delay = self.random.expovariate(1 / 0.2) if self.contested else 0.0
        self.world.after(delay, self._try, chosen.key, *self._view())

    def _view(self) -> tuple[Hardware, dict[Device, list[Hold]]]:
        """What is there and who has it now, to be kept or changed."""
        return self.hardware(), {id_: list(holds) for id_, holds in self.holders().items()}

    def _try(self, key: str, hardware: Hardware, holders: dict[Device, list[Hold]]) -> None:
        self.world.step("schedule", WHO, key)
        pod = self.store.find("Pod", key)
        if pod is None or pod.deleting or pod.spec.get("nodeName"):
            return
        claims = []
        for name in claim_names(pod.raw):
            claim = self.store.find("ResourceClaim", f"{pod.raw['metadata']['namespace']}/{name}")
            if name is None or claim is None or claim.deleting:
                return
            claims.append(claim)
        if any("somethingNew" in each for claim in claims for each in claim.spec["devices"]["requests"]):
            return
        nodes = list(self.store.objects["Node"].values())
        self.random.shuffle(nodes)
        for node in nodes:
            ours = (node.raw["metadata"].get("labels") or {}).get(OWNED) == "true"
            if claims and ours and not self.contested:
                continue
            if not self._room(node, pod) or not self._beside(node, pod):
                continue
            if not all(self._stored(key, node) for key in volume_claims(pod.raw)):
                return
            if self._on(pod, claims, node, hardware, holders):
                return

    def _room(self, node: Item, pod: Item) -> bool:
        if not admits(node.raw, pod.raw):
            return False
        used = requests_of(pod.raw)
        for other in self.store.objects["Pod"].values():
            if other.spec.get("nodeName") == node.key and not done(other.raw):
                for name, value in requests_of(other.raw).items():
                    used[name] += value
        return all(value <= amount(node.status["allocatable"][name]) for name, value in used.items())

    def _beside(self, node: Item, pod: Item) -> bool:
        """Whether a pod may stand there by its volumes, ports and distances."""
        stood = [
            (each, on) for each in self.store.objects["Pod"].values()
            if each.uid != pod.uid and not done(each.raw)
            and (on := self.store.find("Node", each.spec.get("nodeName") or "")) is not None
        ]  # fmt: skip
        if any(on.key == node.key and collide(pod.raw, each.raw) for each, on in stood):
            return False
        nodes = [each.raw for each in self.store.objects["Node"].values()]
        raws = [(each.raw, on.raw) for each, on in stood]
        return (
            all(apart(pod.raw, node.raw, each, on) for each, on in raws)
            and even(pod.raw, node.raw, raws, nodes) and serve(self.store, pod, node.raw)
        )  # fmt: skip

    def _stored(self, key: str, node: Item) -> bool:
        """Whether a claim has its volume; if not, have one made for the node, or wait."""
        claim = self.store.get("PersistentVolumeClaim", key)
        if not complete(claim.raw) and SELECTED_NODE not in annotations(claim.raw):
            made_by = self.store.find("StorageClass", claim.spec["storageClassName"])
            if made_by is not None and made_by.raw["provisioner"] != NO_PROVISIONER:
                self.world.bite("V20")
                self.store.update(
                    "PersistentVolumeClaim", key, lambda raw: annotated(raw, {SELECTED_NODE: node.key}), WHO
                )
        return complete(claim.raw)

    def _on(
        self, pod: Item, claims: list[Item], node: Item, hardware: Hardware, holders: dict[Device, list[Hold]]
    ) -> bool:
        allocated = [each for each in claims if each.status.get("allocation")]
        if not all(selected(each.status["allocation"].get("nodeSelector"), node.raw) for each in allocated):
            return False
        free = [each for each in claims if not each.status.get("allocation")]
        chosen = hardware.place([each.spec for each in free], node.raw, holders)
        if chosen is None:
            return False
        if not self.contested and any(device.id[1] == "fabric" for claim in chosen for _, device, _ in claim):
            return False
        try:
            for claim, devices in zip(free, chosen, strict=True):
                self._allocate(claim, devices, hardware, node, pod)
            for claim in allocated:
                self._reserve(claim, pod)
        except RefusedError:
            return False
        self.world.after(self.random.expovariate(1 / 0.1), self._bind, pod.key, pod.uid, node.key)
        return True

    def _consumer(self, pod: Item) -> Raw:
        return {"resource": "pods", "name": pod.raw["metadata"]["name"], "uid": pod.uid}

    def _allocate(self, claim: Item, devices: list, hardware: Hardware, node: Item, pod: Item) -> None:
        results = []
        for name, device, asked in devices:
            result = {"request": name, "driver": device.id[0], "pool": device.id[1], "device": device.id[2]}
            if asked.get("adminAccess"):
                result["adminAccess"] = True
            if asked.get("tolerations"):
                result["tolerations"] = asked["tolerations"]
            if device.shared:
                self._shares += 1
                result["shareID"] = str(UUID(int=self._shares))
                need = hardware.need(device, asked) or {}
                result["consumedCapacity"] = {each: str(value // 1000) for each, value in need.items()}
            results.append(result)
        term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node.key]}]}
        status = {
            "allocation": {"devices": {"results": results}, "nodeSelector": {"nodeSelectorTerms": [term]}},
            "reservedFor": [self._consumer(pod)],
        }
        version = {"resourceVersion": str(claim.version), "uid": claim.uid}
        patch = {"metadata": {**version, "finalizers": [FINALIZER]}}
        found = self.store.patch("ResourceClaim", claim.key, patch, WHO, strategic=True, status=False)
        patch = {"metadata": {"resourceVersion": str(found.version)}, "status": status}
        self.store.patch("ResourceClaim", claim.key, patch, WHO, strategic=False, status=True)

    def _reserve(self, claim: Item, pod: Item) -> None:
        if pod.uid not in reserved(claim.raw):
            patch = {"metadata": {"uid": claim.uid}, "status": {"reservedFor": [self._consumer(pod)]}}
            self.store.patch("ResourceClaim", claim.key, patch, WHO, strategic=True, status=True)

    def _bind(self, key: str, uid: str, node: str) -> None:
        pod = self.store.find("Pod", key)
        if pod is None or pod.uid != uid:
            return
        for name in claim_names(pod.raw):
            claim = self.store.find("ResourceClaim", f"{pod.raw['metadata']['namespace']}/{name}")
            if claim is None or uid not in reserved(claim.raw):
                return
        self.world.step("bind", WHO, key)
        found = self.store.find("Node", node)
        if found is None:
            return
        try:
            metadata = {"uid": uid}
            self.store.bind(key, {"metadata": metadata, "target": {"name": node}}, WHO)
        except RefusedError:
            return
        if (found.raw["metadata"].get("labels") or {}).get(OWNED) == "true":
            self.world.bite("F72")
            if pod.spec.get("volumes") or ports(pod.raw) or spread(pod.raw) or "affinity" in pod.spec:
                self.world.bite("V21")
