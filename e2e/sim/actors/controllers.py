"""The cluster's own controllers: claims of templates and their end, garbage, evictions, and the kubelets."""

from collections.abc import Callable

from e2e.sim.oracle import Hardware, claim_names, reserved, results
from e2e.sim.store import FINALIZER, Change, Item, Raw, Store, done
from e2e.sim.world import BrokenError, World

CLAIMS, KUBELET, GARBAGE, EVICTION, DRIVER = "claim-controller", "kubelet", "garbage-collector", "eviction", "driver"


class Controllers:
    """Each object that changes is looked at after a while; looking twice does nothing.

    hardware : what is published now. patience : mean seconds until a controller comes to it.
    """

    def __init__(
        self, world: World, store: Store, hardware: Callable[[], Hardware], patience: float, refuses: float
    ) -> None:
        self.world, self.store, self.hardware = world, store, hardware
        self.patience, self.refuses = patience, refuses
        self.resting = False
        self.random = world.fork("controllers")
        self._waiting: set[tuple[str, str]] = set()
        self._started: set[str] = set()
        store.listeners.append(self._changed)

    def _changed(self, change: Change) -> None:
        item = change.item
        if item.kind == "Pod":
            self._look("pod", item.key)
            if change.new is None or done(change.new.raw):
                for claim in self.store.objects["ResourceClaim"].values():
                    if item.uid in reserved(claim.raw) or self._owned_by(claim, item.uid):
                        self._look("claim", claim.key)
        elif item.kind == "ResourceClaim":
            self._look("claim", item.key)
        elif item.kind == "ResourceClaimTemplate":
            for pod in self.store.objects["Pod"].values():
                self._look("pod", pod.key)
        elif item.kind == "Node" and change.new is None:
            for pod in self.store.objects["Pod"].values():
                if pod.spec.get("nodeName") == item.key:
                    self._look("pod", pod.key)
        elif item.kind in {"ResourceSlice", "DeviceTaintRule"}:
            for pod in self.store.objects["Pod"].values():
                if pod.spec.get("nodeName"):
                    self._look("pod", pod.key)

    def rest(self) -> None:
        """Nothing ends for a while; whatever waits is looked at once more."""
        self.resting = True
        for kind, what in (("Pod", "pod"), ("ResourceClaim", "claim")):
            for item in self.store.all(kind):
                self._look(what, item.key)

    def _look(self, what: str, key: str, delay: float | None = None) -> None:
        if (what, key) in self._waiting:
            return
        self._waiting.add((what, key))
        delay = self.random.expovariate(1 / self.patience) if delay is None else delay
        self.world.after(delay, self._work, what, key)

    def _work(self, what: str, key: str) -> None:
        self._waiting.discard((what, key))
        item = self.store.find("Pod" if what == "pod" else "ResourceClaim", key)
        if item is None:
            return
        self.world.note("look", what, key)  # what comes of it is a step, the look is none
        if what == "claim":
            self._claim(item)
            return
        self._make_claims(item)
        item = self.store.find("Pod", key)
        if item is not None and item.spec.get("nodeName"):
            self._kubelet(item)

    # ------------------------------------------------------------ claims

    @staticmethod
    def _owned_by(claim: Item, uid: str) -> bool:
        return any(each["uid"] == uid for each in claim.raw["metadata"].get("ownerReferences") or ())

    def _make_claims(self, pod: Item) -> None:
        """As the resourceclaim controller: one claim for each entry that names a template."""
        if pod.deleting or done(pod.raw):
            return
        known = {each["name"] for each in pod.status.get("resourceClaimStatuses") or ()}
        made = []
        for entry in pod.spec.get("resourceClaims") or ():
            if "resourceClaimTemplateName" not in entry or entry["name"] in known:
                continue
            namespace = pod.raw["metadata"]["namespace"]
            template = self.store.find("ResourceClaimTemplate", f"{namespace}/{entry['resourceClaimTemplateName']}")
            if template is None:
                continue
            owner = {
                "apiVersion": "v1", "kind": "Pod", "name": pod.raw["metadata"]["name"], "uid": pod.uid,
                "controller": True,
            }  # fmt: skip
            name = f"{pod.raw['metadata']['name']}-{entry['name']}-{pod.uid[-5:]}"
            if self.store.find("ResourceClaim", f"{namespace}/{name}") is None:
                self.store.create(
                    {
                        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
                        "metadata": {
                            "name": name, "namespace": namespace, "ownerReferences": [owner],
                            "annotations": {"resource.kubernetes.io/pod-claim-name": entry["name"]},
                        },
                        "spec": template.spec["spec"],
                    },
                    CLAIMS,
                )  # fmt: skip
            made.append({"name": entry["name"], "resourceClaimName": name})
        if made:
            self.world.bite("F51")

            def name_them(raw: Raw) -> Raw:
                status = raw["status"]
                return {**raw, "status": {**status, "resourceClaimStatuses": [
                    *(status.get("resourceClaimStatuses") or ()), *made,
                ]}}  # fmt: skip

            self.store.update("Pod", pod.key, name_them, CLAIMS, "status")

    def _claim(self, claim: Item) -> None:
        pods = {each.uid: each for each in self.store.objects["Pod"].values()}
        consumers = reserved(claim.raw)
        left = [
            uid for uid in consumers
            if uid in pods and not done(pods[uid].raw)
            and not (pods[uid].deleting and not pods[uid].spec.get("nodeName"))
        ]  # fmt: skip
        owners = [each["uid"] for each in claim.raw["metadata"].get("ownerReferences") or ()]
        ended = any(uid not in pods for uid in owners) or (owners and all(done(pods[uid].raw) for uid in owners))
        if ended and not claim.deleting:
            if claim.status.get("allocation"):
                self.world.bite("F43")
            self.store.remove("ResourceClaim", claim.key, GARBAGE)
            self._look("claim", claim.key)
            return
        free = not left and (len(left) < len(consumers) or (claim.deleting and claim.status.get("allocation")))
        if len(left) < len(consumers) or free:
            if left and len(left) < len(consumers):
                self.world.bite("F48")

            def drop(raw: Raw) -> Raw:
                status = {**raw["status"]}
                status["reservedFor"] = [each for each in status.get("reservedFor") or () if each["uid"] in left]
                if not left:
                    for name in ("reservedFor", "allocation", "devices"):
                        status.pop(name, None)
                return {**raw, "status": status}

            self.store.update("ResourceClaim", claim.key, drop, CLAIMS, "status")
            self._look("claim", claim.key)
            return
        if not claim.status.get("allocation") and FINALIZER in (claim.raw["metadata"].get("finalizers") or ()):
            if claim.deleting or self._was_freed(claim):
                self.store.update("ResourceClaim", claim.key, _without_finalizer, CLAIMS)
            return
        if claim.status.get("allocation"):
            self._attach(claim)

    def _was_freed(self, claim: Item) -> bool:
        """The controller takes its finalizer off what it frees; here sooner or later off all that is free."""
        if self.random.random() < 0.3:
            self.world.bite("F44")
            return True
        return False

    def _attach(self, claim: Item) -> None:
        """A driver says that its devices are ready, or that they never will be."""
        waits = [each for each in results(claim.raw) if each.get("bindingConditions")]
        known = {(each["driver"], each["pool"], each["device"]) for each in claim.status.get("devices") or ()}
        if not waits or known:
            return
        fate = self.random.random()
        if fate < self.refuses:
            self.world.bite("F58")
            return  # never; or, so it seems: the next look may be kinder
        condition = "Broken" if fate < 2 * self.refuses else "Attached"
        if condition == "Broken":
            self.world.bite("F58")
        devices = [
            {
                "driver": each["driver"], "pool": each["pool"], "device": each["device"],
                "conditions": [
                    {"type": condition, "status": "True", "reason": "Driver", "message": "",
                     "lastTransitionTime": self.store.timestamp()},
                ],
            }
            for each in waits
        ]  # fmt: skip
        self.store.update(
            "ResourceClaim", claim.key, lambda raw: {**raw, "status": {**raw["status"], "devices": devices}}, DRIVER
        )

    # ------------------------------------------------------------ nodes

    def _kubelet(self, pod: Item) -> None:
        """Start what was bound, end what ran its time, take away what is deleted."""
        if self.store.find("Node", pod.spec["nodeName"]) is None or pod.deleting:
            self.store.remove("Pod", pod.key, KUBELET, now=True)
            return
        if done(pod.raw):
            return
        if pod.status.get("phase") == "Pending":
            for name in claim_names(pod.raw):
                where = f"{pod.raw['metadata']['namespace']}/{name}"
                claim = self.store.find("ResourceClaim", where)
                if claim is None or pod.uid not in reserved(claim.raw) or not claim.status.get("allocation"):
                    raise BrokenError("I4", f"kubelet: pod {pod.key} cannot be started with claim {where}", pod.key)
            self._phase(pod, "Running")
            seconds = float(pod.raw["metadata"]["annotations"].get("seconds", "20"))
            self.world.after(seconds, self._finish, pod.key, pod.uid)
            return
        self._evict(pod)

    def _evict(self, pod: Item) -> None:
        """Taint eviction: a running pod loses a device whose taint it does not tolerate."""
        hardware = self.hardware()
        for name in claim_names(pod.raw):
            claim = self.store.find("ResourceClaim", f"{pod.raw['metadata']['namespace']}/{name}")
            for result in results(claim.raw) if claim is not None else ():
                pool = hardware.pools.get((result["driver"], result["pool"]))
                device = pool.devices.get(result["device"]) if pool is not None else None
                if device is None:
                    continue
                executed = [each for each in hardware.taints(device) if each["effect"] == "NoExecute"]
                if executed and not hardware.tolerated(device, result.get("tolerations") or ()):
                    self.world.bite("F70")
                    self.store.remove("Pod", pod.key, EVICTION)
                    return

    def _finish(self, key: str, uid: str) -> None:
        pod = self.store.find("Pod", key)
        if self.resting:
            self.world.after(self.random.uniform(100, 500), self._finish, key, uid)
        elif pod is not None and pod.uid == uid and not pod.deleting and not done(pod.raw):
            self.world.step("finish", "kubelet", key)
            self._phase(pod, self.random.choice(("Succeeded", "Succeeded", "Failed")))

    def _phase(self, pod: Item, phase: str) -> None:
        self.store.update(
            "Pod", pod.key, lambda raw: {**raw, "status": {**raw["status"], "phase": phase}}, KUBELET, "status"
        )


def _without_finalizer(raw: Raw) -> Raw:
    left = [each for each in raw["metadata"].get("finalizers") or () if each != FINALIZER]
    return {**raw, "metadata": {**raw["metadata"], "finalizers": left}}
