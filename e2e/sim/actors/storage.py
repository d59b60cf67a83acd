"""Storage of the cluster: classes, local volumes, the controller that binds, a provisioner that may be slow or fail.

As kube-controller-manager's persistentvolume and protection controllers, the CSI external-provisioner and the
provisioner of local volumes do it. What one of them writes it decided a moment before, by what it had seen then; if the
object changed meanwhile its write is refused, and it looks again.
"""

from collections.abc import Callable

from e2e.sim.store import Change, Item, Raw, Store, done
from e2e.sim.volumes import (
    ASKED,
    BY_CONTROLLER,
    COMPLETED,
    DELAYED,
    NO_PROVISIONER,
    SELECTED_NODE,
    allowed,
    annotated,
    annotations,
    complete,
    holder,
    in_use,
    is_free,
    made_for,
    suits,
    volume_claims,
)
from e2e.sim.world import World

BINDER, PROVISIONER, ADMIN = "pv-controller", "csi-provisioner", "admin"
DRIVER, STILL = "csi.example.com", "still.example.com"  # nobody runs the second
LOCAL, MADE, ZONAL, NOW, STUCK, NEVER = "local", "made", "zonal", "now", "stuck", "never"
CLASSES = (LOCAL, MADE, ZONAL, NOW, STUCK, NEVER)
CLAIM, VOLUME = "PersistentVolumeClaim", "PersistentVolume"
_MAKES = "pv.kubernetes.io/provisioned-by"
_SHELVES = (LOCAL, LOCAL, STUCK)  # volumes of a node by class; nobody binds those of the last
_FATES = {"make": 0.7, "slow": 0.12, "refuse": 0.14, "elsewhere": 0.04}


def storage_class(name: str) -> Raw:
    provisioner = {LOCAL: NO_PROVISIONER, STUCK: NO_PROVISIONER, NEVER: STILL}.get(name, DRIVER)
    made = {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
        "provisioner": provisioner, "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate" if name == NOW else DELAYED,
    }  # fmt: skip
    if name == ZONAL:
        made["allowedTopologies"] = [{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}]
    return made


def claim(namespace: str, name: str, class_name: str, gib: int = 5, mode: str = "ReadWriteOnce") -> Raw:
    """As a tenant asks for it, with what admission adds."""
    return {
        "apiVersion": "v1", "kind": CLAIM,
        "metadata": {"name": name, "namespace": namespace, "finalizers": ["kubernetes.io/pvc-protection"]},
        "spec": {
            "storageClassName": class_name, "accessModes": [mode], "volumeMode": "Filesystem",
            "resources": {"requests": {"storage": f"{gib}Gi"}},
        },
        "status": {"phase": "Pending"},
    }  # fmt: skip


def volume(name: str, class_name: str, where: tuple[str, str], gib: int, policy: str, **spec: object) -> Raw:
    """where : label and value of the nodes that reach it."""
    lines = [{"key": where[0], "operator": "In", "values": [where[1]]}]
    return {
        "apiVersion": "v1", "kind": VOLUME,
        "metadata": {"name": name, "finalizers": ["kubernetes.io/pv-protection"]},
        "spec": {
            "storageClassName": class_name, "capacity": {"storage": f"{gib}Gi"}, "volumeMode": "Filesystem",
            "accessModes": ["ReadWriteOnce", "ReadWriteOncePod"], "persistentVolumeReclaimPolicy": policy,
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": lines}]}}, **spec,
        },
        "status": {"phase": "Pending"},
    }  # fmt: skip


class Storage:
    """Each object that changes is looked at after a while; looking twice does nothing.

    nodes : that have local volumes. patience : mean seconds until a controller comes to an object. fails : whether the
    provisioner does as chance will have it.
    """

    def __init__(self, world: World, store: Store, nodes: list[str], patience: float, *, fails: bool = True) -> None:
        self.world, self.store, self.nodes, self.patience, self.fails = world, store, nodes, patience, fails
        self.random = world.fork("storage")
        self.barren = {name for name in nodes if fails and self.random.random() < 0.2}  # nothing can be made there
        self._waiting: set[tuple[str, str]] = set()
        self._made = 0
        store.listeners.append(self._changed)
        for name in CLASSES:
            store.create(storage_class(name), ADMIN)
        for node in nodes:
            for number in range(len(_SHELVES)):
                self._shelve(f"{node}-{number}")

    def _shelve(self, name: str) -> None:
        node, _, number = name.partition("-")
        made = volume(name, _SHELVES[int(number)], ("kubernetes.io/hostname", node), 10, "Retain", local={"path": "/d"})
        self.store.create(made, PROVISIONER)

    def rest(self) -> None:
        """All is well from now on: what is missing is there again."""
        self.fails = False
        self.barren.clear()
        for name in CLASSES:
            self.open_class(name)
        for kind in (CLAIM, VOLUME):
            for item in self.store.all(kind):
                self._look(kind, item.key)

    def settle(self) -> None:
        """Once nobody asks for more: whoever waits for a volume that is never made gives up."""
        for pod in self.store.all("Pod"):
            if not pod.spec.get("nodeName") and any(self._hopeless(key) for key in volume_claims(pod.raw)):
                self.store.remove("Pod", pod.key, "tenant")

    def _hopeless(self, key: str) -> bool:
        found = self.store.find(CLAIM, key)
        return found is not None and found.spec["storageClassName"] in {STUCK, NEVER} and not complete(found.raw)

    def hostile(self) -> None:
        """Things go wrong again."""
        self.fails = True
        self.barren = {name for name in self.nodes if self.random.random() < 0.2}

    def open_class(self, name: str) -> None:
        if self.store.find("StorageClass", name) is None:
            self.store.create(storage_class(name), ADMIN)

    # ------------------------------------------------------------ who looks at what, and writes

    def _changed(self, change: Change) -> None:
        item = change.item
        if item.kind in {CLAIM, VOLUME}:
            self._look(item.kind, item.key)
            other = item.spec.get("volumeName") if item.kind == CLAIM else holder(item.raw)[0]
            if other:
                self._look(VOLUME if item.kind == CLAIM else CLAIM, other)
            if item.kind == CLAIM and change.new is None:
                for each in self.store.objects[VOLUME].values():
                    if holder(each.raw)[0] == item.key:
                        self._look(VOLUME, each.key)
        elif item.kind == "StorageClass" and change.new is not None:
            for each in self.store.objects[CLAIM].values():
                if not complete(each.raw):
                    self._look(CLAIM, each.key)
        elif item.kind == "Pod":
            mine = made_for(item.raw)
            ended = change.new is None or done(change.new.raw)
            for key in volume_claims(item.raw) if ended or change.old is None else ():
                if ended or key in mine:
                    self.world.after(self._while(), self._own, item.key, key)

    def _while(self) -> float:
        return self.random.expovariate(1 / self.patience)

    def _look(self, kind: str, key: str, delay: float | None = None) -> None:
        if (kind, key) not in self._waiting:
            self._waiting.add((kind, key))
            self.world.after(self._while() if delay is None else delay, self._work, kind, key)

    def _work(self, kind: str, key: str) -> None:
        self._waiting.discard((kind, key))
        item = self.store.find(kind, key)
        if item is None:
            return
        self.world.note("look", kind, key)
        if item.deleting:
            if not (in_use(self.store, key) if kind == CLAIM else item.status.get("phase") == "Bound"):
                self._write(item, _without_finalizers, BINDER)
        elif item.spec["storageClassName"] == STUCK and (kind == CLAIM or holder(item.raw)[1] in self._claims()):
            return
        elif kind == CLAIM:
            self._claim(item)
        else:
            self._volume(item)

    def _claims(self) -> set[str]:
        return {each.uid for each in self.store.objects[CLAIM].values()}

    def _write(self, item: Item, change: Callable[[Raw], Raw], who: str, soon: float = 0.02) -> None:
        self.world.after(self.random.expovariate(1 / soon), self._apply, item, change, who)

    def _apply(self, item: Item, change: Callable[[Raw], Raw], who: str) -> None:
        found = self.store.find(item.kind, item.key)
        if found is not None and found.version == item.version:
            self.store.update(item.kind, item.key, change, who)
        elif found is not None:
            self._look(item.kind, item.key)

    def _own(self, pod_key: str, key: str) -> None:
        """Make a pod's own claim, and take away what is left of one that ended."""
        pod, found = self.store.find("Pod", pod_key), self.store.find(CLAIM, key)
        if pod is not None and not done(pod.raw) and not pod.deleting and key in made_for(pod.raw) and found is None:
            [asked] = [
                each["ephemeral"]["volumeClaimTemplate"]["spec"] for each in pod.spec["volumes"]
                if "ephemeral" in each and key.endswith(f"-{each['name']}")
            ]  # fmt: skip
            namespace, _, name = key.partition("/")
            made = claim(namespace, name, asked["storageClassName"])
            owner = {
                "apiVersion": "v1", "kind": "Pod", "name": pod.raw["metadata"]["name"], "uid": pod.uid,
                "controller": True,
            }  # fmt: skip
            made["metadata"]["ownerReferences"] = [owner]
            self.store.create({**made, "spec": asked}, BINDER)
            return
        if found is None:
            return
        owners = [each["uid"] for each in found.raw["metadata"].get("ownerReferences") or ()]
        there = {each.uid for each in self.store.objects["Pod"].values()}
        if owners and not there.intersection(owners) and not found.deleting:
            self.store.remove(CLAIM, key, BINDER)
            if pod is not None:  # of the same name, which needs one of its own
                self.world.after(self._while() + 0.5, self._own, pod_key, key)
        elif owners and pod is not None and found.deleting:
            self.world.after(self._while() + 0.5, self._own, pod_key, key)
        self._look(CLAIM, key)

    # ------------------------------------------------------------ claims

    def _claim(self, item: Item) -> None:
        raw = item.raw
        known = self.store.find(VOLUME, item.spec["volumeName"]) if item.spec.get("volumeName") else None
        if complete(raw):
            lost = known is None or holder(known.raw)[1] not in {"", item.uid}
            if lost and item.status.get("phase") != "Lost":
                self._write(item, lambda raw: _phase(raw, "Lost"), BINDER)
            elif known is not None and not lost:
                self._bind(item, known)
            return
        if item.spec.get("volumeName"):
            if known is not None and holder(known.raw) in {("", ""), (item.key, ""), (item.key, item.uid)}:
                self._bind(item, known)
            return
        made_by = self.store.find("StorageClass", item.spec["storageClassName"])
        at_once = made_by is not None and made_by.raw["volumeBindingMode"] != DELAYED
        found = self._kept_for(item)
        if found is None and at_once:
            found = next((each for each in self.store.all(VOLUME) if is_free(each.raw) and suits(raw, each.raw)), None)
        if found is not None:
            self._bind(item, found)
        elif made_by is not None and (at_once or SELECTED_NODE in annotations(raw)):
            self._ask(item, made_by)

    def _kept_for(self, item: Item) -> Item | None:
        kept = [
            each for each in self.store.all(VOLUME)
            if holder(each.raw) in {(item.key, ""), (item.key, item.uid)} and suits(item.raw, each.raw)
        ]  # fmt: skip
        return kept[0] if kept else None

    def _bind(self, item: Item, found: Item) -> None:
        """The next of the four writes that bind a claim to a volume."""
        if holder(found.raw)[1] != item.uid:
            by_us = {BY_CONTROLLER: "yes"} if holder(found.raw) == ("", "") else {}
            reference = _reference(item)
            self._write(
                found, lambda raw: annotated({**raw, "spec": {**raw["spec"], "claimRef": reference}}, by_us), BINDER
            )
        elif found.status.get("phase") != "Bound":
            self._write(found, lambda raw: _phase(raw, "Bound"), BINDER)
        elif not complete(item.raw):
            marks = {COMPLETED: "yes"} | ({} if item.spec.get("volumeName") else {BY_CONTROLLER: "yes"})
            self._write(
                item,
                lambda raw: annotated({**raw, "spec": {**raw["spec"], "volumeName": found.key}}, marks),
                BINDER,
            )
        elif item.status.get("phase") != "Bound":
            self._write(item, lambda raw: _phase(raw, "Bound"), BINDER)

    # ------------------------------------------------------------ volumes

    def _volume(self, item: Item) -> None:
        key, uid = holder(item.raw)
        if not uid:
            if item.status.get("phase") != "Available":
                self._write(item, lambda raw: _phase(raw, "Available"), BINDER)
            return
        found = self.store.find(CLAIM, key)
        if found is None or found.uid != uid:
            self._release(item)
        elif not found.spec.get("volumeName"):
            self._look(CLAIM, key)
        elif found.spec["volumeName"] == item.key:
            self._look(CLAIM, key)
            if item.status.get("phase") != "Bound":
                self._write(item, lambda raw: _phase(raw, "Bound"), BINDER)
        elif annotations(item.raw).get(_MAKES):
            self._release(item)
        elif BY_CONTROLLER in annotations(item.raw):
            self._write(item, lambda raw: annotated(_unheld(raw), {BY_CONTROLLER: None}), BINDER)
        else:
            self._write(item, _held_by_name, BINDER)

    def _release(self, item: Item) -> None:
        if item.status.get("phase") != "Released":
            self._write(item, lambda raw: _phase(raw, "Released"), BINDER)
            return
        self.world.step("reclaim", PROVISIONER, item.key)
        self._remove(item, PROVISIONER)

    def _restock(self, name: str) -> None:
        """Clean a local volume, and offer it again."""
        if self.store.find(VOLUME, name) is None:
            self.world.step("shelve", PROVISIONER, name)
            self._shelve(name)
        else:
            self.world.after(1.0, self._restock, name)

    def lose(self, item: Item) -> None:
        """Delete a volume."""
        self._remove(item, ADMIN)

    def _remove(self, item: Item, who: str) -> None:
        """One that is local is offered again later."""
        self.store.remove(VOLUME, item.key, who)
        if "local" in item.spec:
            self.world.after(self.random.uniform(1, 5), self._restock, item.key)

    # ------------------------------------------------------------ volumes that are made

    def _ask(self, item: Item, made_by: Item) -> None:
        provisioner = made_by.raw["provisioner"]
        if provisioner == NO_PROVISIONER:
            return
        if annotations(item.raw).get(ASKED) != provisioner:
            self._write(item, lambda raw: annotated(raw, {ASKED: provisioner}), BINDER)
            return
        if provisioner != DRIVER:
            return
        node = annotations(item.raw).get(SELECTED_NODE)
        fate = self.random.choices([*_FATES], [*_FATES.values()])[0] if self.fails else "make"
        found = self.store.find("Node", node) if node is not None else None
        where = ("kubernetes.io/hostname", node) if node is not None else ("zone", "a")
        impossible = node is not None and (node in self.barren or found is None or not allowed(made_by.raw, found.raw))
        if node is not None and (fate == "refuse" or impossible):
            self.world.bite("V6")
            self._write(item, lambda raw: annotated(raw, {SELECTED_NODE: None}), PROVISIONER, soon=0.3)
            return
        if fate == "slow":
            self.world.bite("V7")
            self._look(CLAIM, item.key, self.random.uniform(1, 20))
            return
        if fate == "elsewhere" and node is not None:
            where = ("kubernetes.io/hostname", self.random.choice(self.nodes))
        self.world.after(self.random.expovariate(1 / 0.2), self._make, item, where, node)

    def _make(self, item: Item, where: tuple[str, str], node: str | None) -> None:
        """A volume is there, whatever became of its claim meanwhile; one that nobody asked for is taken away again."""
        self.world.step("make", PROVISIONER, item.key)
        name = f"pvc-{item.uid}"
        if self.store.find(VOLUME, name) is not None:
            return
        now = self.store.find(CLAIM, item.key)
        if now is None or now.uid != item.uid or annotations(now.raw).get(SELECTED_NODE) != node:
            self.world.bite("V9")
        if node is not None and where[1] != node:
            self.world.bite("V8")
        made = volume(
            name, item.spec["storageClassName"], where, 20, "Delete", claimRef=_reference(item),
            csi={"driver": DRIVER, "volumeHandle": name},
        )  # fmt: skip
        self.store.create(annotated(made, {_MAKES: DRIVER}), PROVISIONER)


def _reference(item: Item) -> Raw:
    """What a volume says of the claim that it is for."""
    metadata = item.raw["metadata"]
    return {
        "apiVersion": "v1", "kind": CLAIM, "namespace": metadata["namespace"], "name": metadata["name"],
        "uid": item.uid,
    }  # fmt: skip


def _phase(raw: Raw, phase: str) -> Raw:
    return {**raw, "status": {**raw.get("status", {}), "phase": phase}}


def _without_finalizers(raw: Raw) -> Raw:
    return {**raw, "metadata": {**raw["metadata"], "finalizers": []}}


def _unheld(raw: Raw) -> Raw:
    return {**raw, "spec": {name: value for name, value in raw["spec"].items() if name != "claimRef"}}


def _held_by_name(raw: Raw) -> Raw:
    reference = {name: value for name, value in raw["spec"]["claimRef"].items() if name != "uid"}
    return {**raw, "spec": {**raw["spec"], "claimRef": reference}}
