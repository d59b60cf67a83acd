"""Drivers that publish their pools, and publish them again; and the nodes under them."""

from dataclasses import dataclass, field

from e2e.sim import hardware
from e2e.sim.store import Raw, Store
from e2e.sim.world import World

WHO = "driver"


@dataclass
class Source:
    """A pool as its driver means it. where : the field of its slices that says on which nodes."""

    driver: str
    pool: str
    where: Raw
    parts: list[Raw]
    generation: int = 1
    absent: dict[str, Raw] = field(default_factory=dict)  # devices that broke
    busy: bool = False


class Drivers:
    """All of them, and the life of nodes. pace : seconds from one act to the next, as a mean."""

    def __init__(self, world: World, store: Store, owned: int, others: int, pace: float = 6.0) -> None:
        self.world, self.store = world, store
        self.random = world.fork("drivers")
        self.active = True
        self.sources: list[Source] = []
        self._nodes: dict[str, Raw] = {}
        for item in hardware.classes():
            store.create(item, "admin")
        flavours = ["parts", "shared", "attached", "whole", "parts"]
        self.random.shuffle(flavours)
        flavours.insert(0, "whole")
        for number in range(owned + others):
            name = f"n{number}"
            self._nodes[name] = hardware.node(name, self.random, owned=number < owned)
            where = {"nodeName": name}
            self.sources.append(
                Source(hardware.GPU, name, where, hardware.pool(name, flavours[number % 6], self.random))
            )
            self.sources.append(Source(hardware.NET, name, where, hardware.nics(self.random)))
        self._add_fabric(owned)
        for name in self._nodes:
            self._join(name)
        for source in self.sources:
            self._publish(source)
        world.every(1.0, lambda: self.random.expovariate(1 / pace), self.act)

    def _add_fabric(self, owned: int) -> None:
        """A pool that all of our nodes reach over the network."""
        names = [f"n{number}" for number in range(owned)]
        term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": names}]}
        self.sources.append(
            Source(hardware.NET, "fabric", {"nodeSelector": {"nodeSelectorTerms": [term]}}, hardware.nics(self.random))
        )

    def kinds(self) -> set[str]:
        """Of the devices on the nodes that are ours."""
        owned = {name for name, node in self._nodes.items() if hardware.OWNED in node["metadata"]["labels"]}
        sources = [each for each in self.sources if each.pool in owned]
        return {each["attributes"].get("type", {}).get("string", "nic") for of in sources for each in self._devices(of)}

    # ------------------------------------------------------------ pools

    def _slices(self, source: Source) -> list[Raw]:
        parts = []
        for part in source.parts:
            if "devices" in part:
                left = [each for each in part["devices"] if each["name"] not in source.absent]
                if left:
                    parts.append({**part, "devices": left})
            else:
                parts.append(part)
        return hardware.slices(source.driver, source.pool, source.where, parts, source.generation)

    def _present(self, source: Source) -> list[str]:
        return [
            each.key for each in self.store.objects["ResourceSlice"].values()
            if (each.spec["driver"], each.spec["pool"]["name"]) == (source.driver, source.pool)
        ]  # fmt: skip

    def _publish(self, source: Source) -> None:
        """All at once."""
        wanted = self._slices(source)
        for key in self._present(source):
            self.store.remove("ResourceSlice", key, WHO)
        for item in wanted:
            self.store.create(item, WHO)

    def _roll(self, source: Source) -> None:
        """Publish a new generation slice by slice, then take the old ones away."""
        old = self._present(source)
        source.generation += 1
        source.busy = True
        delay = 0.0
        wanted = self._slices(source)
        for item in wanted:
            delay += self.random.expovariate(1 / 0.5)
            self.world.after(delay, self._step, source, "create", item)
        if len(wanted) > 1:
            self.world.bite("F60")
        for key in old:
            delay += self.random.expovariate(1 / 0.3)
            self.world.after(delay, self._step, source, "remove", key)
        self.world.after(delay, self._rest, source)

    def _step(self, source: Source, what: str, item: Raw | str) -> None:
        self.world.step("publish", source.pool, what)
        if isinstance(item, str):
            self.store.remove("ResourceSlice", item, WHO)
        elif self.store.find("ResourceSlice", item["metadata"]["name"]) is None:
            self.store.create(item, WHO)

    @staticmethod
    def _rest(source: Source) -> None:
        source.busy = False

    def act(self) -> None:
        if not self.active:
            return
        source = self.random.choice(self.sources)
        work = self.random.choices(
            (self.break_or_mend, self.roll, self.go_back, self.withdraw, self.taint, self.rule, self.node),
            (4, 4, 1, 1, 3, 1, 3),
        )[0]
        self.world.step("driver", work.__name__, source.pool)
        if not source.busy and (source.pool not in self._nodes or self.store.find("Node", source.pool)):
            work(source)

    def roll(self, source: Source) -> None:
        self._roll(source)

    def _devices(self, source: Source) -> list[Raw]:
        return [each for part in source.parts for each in part.get("devices") or ()]

    def break_or_mend(self, source: Source) -> None:
        """A device vanishes, or is back."""
        if source.absent:
            source.absent.clear()
            self._roll(source)
        else:
            self._break(source, self.random.choice(self._devices(source)))

    def _break(self, source: Source, device: Raw) -> None:
        source.absent[device["name"]] = device
        if self._held(source, device["name"]):
            self.world.bite("F63")
        self._roll(source)

    def _held(self, source: Source, device: str) -> bool:
        for claim in self.store.objects["ResourceClaim"].values():
            for each in ((claim.status.get("allocation") or {}).get("devices") or {}).get("results") or ():
                if (each["driver"], each["pool"], each["device"]) == (source.driver, source.pool, device):
                    return True
        return False

    def go_back(self, source: Source) -> None:
        """A driver that lost its memory begins at generation 1, before its old slices are gone."""
        if source.generation == 1:
            return
        self.world.bite("F62")
        old = self._present(source)
        source.generation = 1
        for item in self._slices(source):
            if self.store.find("ResourceSlice", item["metadata"]["name"]) is None:
                self.store.create(item, WHO)
        source.busy = True
        for key in old:
            self.world.after(self.random.uniform(0, 5), self._step, source, "remove", key)
        self.world.after(5.0, self._again, source)

    def _again(self, source: Source) -> None:
        """Whatever was left undone is done now."""
        source.busy = False
        wanted = {item["metadata"]["name"]: item for item in self._slices(source)}
        for key in self._present(source):
            if key not in wanted:
                self.store.remove("ResourceSlice", key, WHO)
        for name, item in wanted.items():
            if self.store.find("ResourceSlice", name) is None and self._is_up(source):
                self.store.create(item, WHO)

    def withdraw(self, source: Source) -> None:
        """The driver is down for a while: the kubelet takes its slices away."""
        self.world.bite("F68")
        for key in self._present(source):
            self.store.remove("ResourceSlice", key, WHO)
        source.busy = True
        source.generation += 1
        self.world.after(self.random.uniform(1, 20), self._again, source)

    def taint(self, source: Source) -> None:
        """Taint a device, or heal it, in the next generation."""
        self._copy(source)
        self._taint(source, self.random.choice(self._devices(source)))

    @staticmethod
    def _copy(source: Source) -> None:
        """What was published is read for long after: what is changed is a copy."""
        source.parts = [
            {**part, "devices": [dict(each) for each in part["devices"]]} if "devices" in part else part
            for part in source.parts
        ]

    def strike(self, driver: str, pool: str, name: str) -> None:
        """Break a device, or taint it, now that somebody has got it."""
        for source in self.sources:
            if (source.driver, source.pool) == (driver, pool) and not source.busy and self._is_up(source):
                self._copy(source)
                for device in self._devices(source):
                    if device["name"] == name and name not in source.absent:
                        self.random.choice((self._break, self._taint))(source, device)

    def _taint(self, source: Source, device: Raw) -> None:
        if device.pop("taints", None) is None:
            effect = self.random.choice(("NoSchedule", "NoExecute", "None"))
            device["taints"] = [{"key": "sick", "value": "yes", "effect": effect}]
            if self._held(source, device["name"]):
                self.world.bite("F70")
        self._roll(source)

    def rule(self, source: Source) -> None:
        """An admin taints devices by a rule, or takes the rule back."""
        if self.store.find("DeviceTaintRule", "sick") is not None:
            self.store.remove("DeviceTaintRule", "sick", "admin")
            return
        device = self.random.choice(self._devices(source))
        selector = {"driver": source.driver, "pool": source.pool, "device": device["name"]}
        if self._held(source, device["name"]):
            self.world.bite("F70")
        taint = {"key": "ruled", "effect": self.random.choice(("NoSchedule", "NoExecute"))}
        self.store.create(
            {
                "apiVersion": "resource.k8s.io/v1", "kind": "DeviceTaintRule", "metadata": {"name": "sick"},
                "spec": {"deviceSelector": selector, "taint": taint},
            },
            "admin",
        )  # fmt: skip

    # ------------------------------------------------------------ nodes

    def _is_up(self, source: Source) -> bool:
        return source.pool not in self._nodes or self.store.find("Node", source.pool) is not None

    def _join(self, name: str) -> None:
        if self.store.find("Node", name) is None:
            self.store.create(self._nodes[name], "admin")

    def node(self, source: Source) -> None:
        """Cordon a node, open it again, or take it away for a while."""
        self.upset(self.random.choice(list(self._nodes)))

    def upset(self, name: str) -> None:
        """As `node`, for one that is chosen."""
        found = self.store.find("Node", name)
        if found is None:
            return
        self.world.bite("F69")
        if self.random.random() < 0.3:
            self.store.remove("Node", name, "admin")
            for each in self.sources:
                if each.pool == name:
                    each.busy = True
                    for key in self._present(each):
                        self.world.after(self.random.uniform(0, 5), self._step, each, "remove", key)
            self.world.after(self.random.uniform(6, 30), self._return, name)
            return
        cordoned = not found.spec.get("unschedulable", False)
        spec = {"unschedulable": True} if cordoned else {}
        self.store.update("Node", name, lambda raw: {**raw, "spec": spec}, "admin")

    def _return(self, name: str) -> None:
        self.world.step("return", "node", name)
        self._join(name)
        for each in self.sources:
            if each.pool == name:
                each.generation += 1
                self._again(each)

    def heal(self) -> None:
        """Everything is there, whole and untainted; who was at it is done soon."""
        self.active = False
        for name in self._nodes:
            self._join(name)
            self.store.update("Node", name, lambda raw: {**raw, "spec": {}}, "admin")
        self.store.remove("DeviceTaintRule", "sick", "admin")

    def settle(self) -> None:
        """Once nobody is at it any more: what is published is what is meant."""
        for source in self.sources:
            self._again(source)
