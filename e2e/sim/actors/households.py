"""What tenants' pods ask for beside devices: volumes, ports of the host, distance from each other."""

from e2e.sim.actors.storage import CLAIM, LOCAL, MADE, NEVER, NOW, STUCK, VOLUME, ZONAL, Storage, claim
from e2e.sim.store import Item, Raw, Store
from e2e.sim.volumes import ONE_POD, complete, volume_claims
from e2e.sim.world import World

_WANTED = (*(LOCAL, MADE) * 4, ZONAL, NOW, STUCK, NEVER)
_SHAPES = ("own",) * 4 + (
    "shared",
    "alone",
    "alone",
    "ephemeral",
    "ephemeral",
    "pair",
    "ports",
    "ports",
    "apart",
    "spread",
)
_BESIDE = (*_SHAPES, "ports", "apart", "apart", "spread", "spread", "spread")  # those of pods without devices
_PORTS = (8080, 9090)
_TOPOLOGIES = ("kubernetes.io/hostname", "kubernetes.io/hostname", "zone")


def mounted(*names: str) -> list[Raw]:
    """Volumes of a pod, of claims by name."""
    return [{"name": f"v{number}", "persistentVolumeClaim": {"claimName": name}} for number, name in enumerate(names)]


def apart(labels: dict[str, str], topology: str) -> Raw:
    term = {"topologyKey": topology, "labelSelector": {"matchLabels": labels}}
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def spread(labels: dict[str, str], topology: str) -> Raw:
    constraint = {
        "topologyKey": topology, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": labels},
    }  # fmt: skip
    return {"topologySpreadConstraints": [constraint]}


class Households:
    """Adds to what pods ask for. share : of the groups of pods to which anything is added."""

    def __init__(self, world: World, store: Store, storage: Storage, share: float) -> None:
        self.world, self.store, self.storage, self.share = world, store, storage, share
        self.random = world.fork("households")

    def furnish(self, pods: list[Raw], *, always: bool = False) -> None:
        """Pods of one group, before they are made: change them in place, and have the claims made that they name."""
        random = self.random
        if random.random() >= self.share and not always:
            return
        name, namespace = pods[0]["metadata"]["name"], pods[0]["metadata"]["namespace"]
        shape = random.choice(_BESIDE if always else _SHAPES)
        if shape in {"ports", "apart", "spread"}:
            self._neighbours(shape, pods)
        elif shape in {"shared", "alone"}:
            mode = ONE_POD if shape == "alone" else "ReadWriteOnce"
            self._claims(namespace, [name], mode)
            for each in pods:
                each["spec"]["volumes"] = mounted(name)
        elif shape == "ephemeral":
            asked = claim(namespace, name, random.choice((LOCAL, MADE)))["spec"]
            for each in pods:
                each["spec"]["volumes"] = [{"name": "own", "ephemeral": {"volumeClaimTemplate": {"spec": asked}}}]
        else:
            for each in pods:
                names = [f"{each['metadata']['name']}-{part}" for part in ("ab" if shape == "pair" else "a")]
                self._claims(namespace, names, "ReadWriteOnce")
                each["spec"]["volumes"] = mounted(*names)

    def _claims(self, namespace: str, names: list[str], mode: str) -> None:
        """Most are there in time, some late, and a few never."""
        class_name = self.random.choice(_WANTED)
        for name in names:
            made = claim(namespace, name, class_name, self.random.choice((5, 5, 5, 5, 20)), mode)
            chance = self.random.random()
            if chance < 0.7:
                self._make(made)
            elif chance < 0.95:
                self.world.after(self.random.uniform(0, 12), self._late, made)

    def _make(self, made: Raw) -> None:
        if self.store.find(CLAIM, f"{made['metadata']['namespace']}/{made['metadata']['name']}") is None:
            self.store.create(made, "tenant")

    def _late(self, made: Raw) -> None:
        key = f"{made['metadata']['namespace']}/{made['metadata']['name']}"
        if any(key in volume_claims(each.raw) for each in self.store.objects["Pod"].values()):
            self.world.step("tenant", "late", key)
            self.world.bite("V11")
            self._make(made)

    def _neighbours(self, shape: str, pods: list[Raw]) -> None:
        random = self.random
        if shape == "ports":
            port: Raw = {"containerPort": 80, "hostPort": random.choice(_PORTS)}
            port["protocol"] = random.choice(("TCP", "TCP", "UDP"))
            if random.random() < 0.2:
                port["hostIP"] = "10.0.0.1"
            for each in pods:
                each["spec"]["containers"][0]["ports"] = [port]
            return
        labels = {"app": random.choice("xy")}
        more = (apart if shape == "apart" else spread)(labels, random.choice(_TOPOLOGIES))
        for each in pods:
            each["metadata"]["labels"] = labels
            each["spec"] |= more

    # ------------------------------------------------------------ what goes wrong

    def act(self) -> None:
        """A claim, a volume or a class goes, or a claim is made anew under its name."""
        if not self.share:
            return
        works = (self._any_claim, self._any_claim, self._any_volume, self.drop_class, self.tidy, self.tidy)
        self.random.choice(works)()

    def _any_claim(self) -> None:
        claims = list(self.store.objects[CLAIM].values())
        if claims:
            self.drop_claim(self.random.choice(claims))

    def _any_volume(self) -> None:
        volumes = [each for each in self.store.objects[VOLUME].values() if each.status.get("phase") != "Available"]
        if volumes:
            self.drop_volume(self.random.choice(volumes))

    def drop_claim(self, item: Item) -> None:
        """Delete a claim that is on its way, and perhaps make another one of its name."""
        if complete(item.raw) and self.random.random() < 0.7:
            return
        self.world.bite("V12")
        self.store.remove(CLAIM, item.key, "tenant")
        if self.random.random() < 0.6:
            asked = item.spec
            namespace, _, name = item.key.partition("/")
            again = claim(namespace, name, asked["storageClassName"], 5, asked["accessModes"][0])
            self.world.after(self.random.uniform(0, 3), self._late, again)

    def drop_volume(self, item: Item) -> None:
        self.world.bite("V12")
        self.storage.lose(item)

    def drop_class(self) -> None:
        name = self.random.choice((LOCAL, MADE, ZONAL))
        if self.store.find("StorageClass", name) is not None:
            self.world.bite("V12")
            self.store.remove("StorageClass", name, "admin")
            self.world.after(self.random.uniform(1, 15), self.storage.open_class, name)

    def tidy(self) -> None:
        """Delete claims that no pod uses."""
        for each in self.store.all(CLAIM):
            if not each.deleting and not any(
                each.key in volume_claims(pod.raw) for pod in self.store.objects["Pod"].values()
            ):
                self.store.remove(CLAIM, each.key, "tenant")
