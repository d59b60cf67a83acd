"""Tenants: pods and claims that come and go, badly asked and badly timed."""

from collections.abc import Iterable
from random import Random

from e2e.sim.actors.households import Households
from e2e.sim.hardware import EXTENDED, LATE_CLASS, late_class, model
from e2e.sim.store import Item, Raw, Store, done
from e2e.sim.world import World

NAMESPACES = ("t0", "t1", "admin")
_MOST_PODS = 18
_SECONDS = (0.5, 0.5, 1, 1, 2, 2, 4, 8, 30, 1e4)  # that pods run


def request(name: str, device_class: str, count: int = 1, **more: object) -> Raw:
    return {"name": name, "exactly": _asked(device_class, count, more)}


def _asked(device_class: str, count: int, more: dict[str, object]) -> Raw:
    mode: Raw = {"allocationMode": "ExactCount", "count": count} if count else {"allocationMode": "All"}
    return {"deviceClassName": device_class, **mode, **more}


def _cel(expression: str) -> list[Raw]:
    return [{"cel": {"expression": expression}}]


def _memory(gib: int) -> Raw:
    return {"requests": {"memory": f"{gib}Gi"}}


_SHAPES = (
    *(("whole", each) for each in ("one", "one", "one", "one", "one", "two", "model", "all", "first", "both")),
    ("whole", "odd"), ("nic", "nic"), *(("attached", "attached") for _ in range(6)),
    *((each, each) for each in ("part", "shared") for _ in range(5)),
)  # fmt: skip
"""What a claim may ask for, by the kind of device that it takes."""


def spec(random: Random, kinds: frozenset[str], *, admin: bool) -> Raw:
    """What a claim asks for: most often devices of a kind that there is."""
    tolerate = [{"operator": "Exists"}] if random.random() < 0.2 else None
    more: dict[str, object] = {"tolerations": tolerate} if tolerate else {}
    shapes = [shape for kind, shape in _SHAPES if kind in kinds or random.random() < 0.1]
    shape = random.choice(shapes)
    if shape == "odd":
        shape = random.choice(("impossible", "late", "admin"))
    if admin and random.random() < 0.2:
        shape = "admin"
    constraints: list[Raw] = []
    if shape == "two":
        requests = [request("r", "gpu", 2, **more)]
        if random.random() < 0.5:
            constraints = [{"requests": [], "matchAttribute": "gpu.example.com/numa"}]
    elif shape == "model":
        requests = [request("r", "gpu", 1, selectors=_cel(model(random.choice("ab"))), **more)]
    elif shape == "part":
        requests = [request("r", "part", random.choice((1, 1, 2)), **more)]
    elif shape == "shared":
        requests = [request("r", "shared", 1, capacity=_memory(random.choice((5, 13, 20, 25))), **more)]
    elif shape == "all":
        requests = [request("r", random.choice(("gpu", "nic")), 0)]
    elif shape == "first":
        ways = [("a", "gpu", 2, {}), ("b", "part", 1, {}), ("c", "gpu", 1, {"selectors": _cel(model("b"))})]
        random.shuffle(ways)
        alternatives = [{"name": name, **_asked(kind, count, own)} for name, kind, count, own in ways[:2]]
        requests = [{"name": "r", "firstAvailable": alternatives}]
    elif shape == "nic":
        requests = [request("r", "nic", 1, **more)]
    elif shape == "both":
        requests = [request("g", "gpu", 1, **more), request("n", "nic", 1)]
    elif shape == "attached":
        requests = [request("r", "attached", 1)]
    elif shape == "impossible":
        requests = [request("r", "gpu", 9)]
    elif shape == "late":
        requests = [request("r", LATE_CLASS, 1)]
    elif shape == "admin" and admin:
        requests = [request("r", "gpu", 1, adminAccess=True)]
    else:
        requests = [request("r", "gpu", 1, **more)]
    devices: Raw = {"requests": requests}
    if constraints:
        devices["constraints"] = constraints
    return {"devices": devices}


def pod(namespace: str, name: str, scheduler: str, entries: list[Raw], random: Random, secret: str) -> Raw:
    container: Raw = {
        "name": "main", "image": "pause",
        "resources": {"requests": {"cpu": random.choice(("100m", "500m", "1", "2")), "memory": "64Mi"}},
        "env": [{"name": "TOKEN", "value": secret}],
    }  # fmt: skip
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": namespace, "annotations": {"seconds": str(random.choice(_SECONDS))},
        },
        "spec": {"schedulerName": scheduler, "resourceClaims": entries, "containers": [container]},
    }  # fmt: skip


def _claim(namespace: str, name: str, wanted: Raw) -> Raw:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": metadata, "spec": wanted}


class Tenants:
    """Their pods are of our scheduler, but for those of the rival's that `rival` names.

    kinds : of the devices that there are. pace : seconds from one act to the next, as a mean.
    """

    def __init__(
        self, world: World, store: Store, secret: str, rival: str = "", kinds: Iterable[str] = (), pace: float = 0.5,
        households: Households | None = None,
    ) -> None:  # fmt: skip
        self.world, self.store, self.secret, self.rival = world, store, secret, rival
        self.random = world.fork("tenants")
        self.kinds = frozenset(kinds)
        self.households = households
        self.active = True
        self._made = 0
        for name in NAMESPACES:
            labels = {"resource.kubernetes.io/admin-access": "true"} if name == "admin" else {}
            store.create(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}, "admin"
            )
        world.every(0.1, lambda: self.random.expovariate(1 / pace), self.act)

    def act(self) -> None:
        if not self.active:
            return
        work = self.random.choices(
            (self.add, self.share, self.extend, self.delete, self.replace, self.open_gate, self.delete_claim,
             self.toggle_class, self.poison, self.team, self.live, self.upset),
            (10, 5, 3, 7, 2, 3, 1, 1, 0.3, 0.5, *self._plain()),
        )[0]  # fmt: skip
        self.world.step("tenant", work.__name__, "")
        work()

    def _plain(self) -> tuple[float, float]:
        """How often pods are made without devices, and volumes upset."""
        share = self.households.share if self.households is not None else 0.0
        return 8 * share, 4 * share

    def _room(self) -> bool:
        return sum(not done(each.raw) for each in self.store.objects["Pod"].values()) < _MOST_PODS

    def _name(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}{self._made}"

    def _scheduler(self) -> str:
        return self.rival if self.rival and self.random.random() < 0.3 else "dovetail"

    def _create_pod(self, namespace: str, name: str, entries: list[Raw], scheduler: str, group: str = "") -> None:
        self._create(self._pod(namespace, name, entries, scheduler, group))

    def _furnish(self, pods: list[Raw]) -> list[Raw]:
        if self.households is not None:
            self.households.furnish(pods)
        return pods

    def _create(self, made: Raw) -> None:
        self.store.create(made, "tenant")

    def _pod(self, namespace: str, name: str, entries: list[Raw], scheduler: str, group: str = "") -> Raw:
        made = pod(namespace, name, scheduler, entries, self.random, self.secret)
        if group:
            made["spec"]["schedulingGroup"] = {"podGroupName": group}
        if self.random.random() < 0.15:
            made["spec"]["schedulingGates"] = [{"name": "wait"}]
        if self.random.random() < 0.3:
            made["spec"]["priority"] = self.random.choice((10, 1000))
        if self.random.random() < 0.1:
            made["spec"]["nodeSelector"] = {"zone": self.random.choice("ab")}
        return made

    def add(self) -> None:
        """A few pods of one template, which may come after them."""
        if not self._room():
            self._tidy()
            return
        namespace = self.random.choice(NAMESPACES)
        name = self._name("t")
        count = self.random.choice((1, 1, 2))
        templates = [self._template(namespace, f"{name}-{number}") for number in range(count)]
        late = self.random.random() < 0.1
        if late:
            self.world.after(self.random.uniform(0, 20), self._make_all, templates)
        else:
            self._make_all(templates)
        entries = [{"name": f"c{number}", "resourceClaimTemplateName": f"{name}-{number}"} for number in range(count)]
        scheduler = self._scheduler()
        if self.random.random() < (0.5 if scheduler == self.rival else 0.15):
            entries = []  # it takes cpu and memory only
        count = self.random.choice((1, 1, 2, 3))
        made = [self._pod(namespace, f"{name}-p{number}", entries, scheduler) for number in range(count)]
        self._make_all(self._furnish(made))

    def live(self) -> None:
        """Pods that need no devices."""
        if not self._room() or self.households is None:
            self._tidy()
            return
        namespace, name, scheduler = self.random.choice(NAMESPACES), self._name("l"), self._scheduler()
        count = self.random.choice((1, 2, 3, 4))
        made = [self._pod(namespace, f"{name}-p{number}", [], scheduler) for number in range(count)]
        self.households.furnish(made, always=True)
        self._make_all(made)

    def upset(self) -> None:
        """Something happens to volumes."""
        if self.households is not None:
            self.households.act()

    def _template(self, namespace: str, name: str) -> Raw:
        return {
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"spec": spec(self.random, self.kinds, admin=namespace == "admin")},
        }  # fmt: skip

    def _make_all(self, items: list[Raw]) -> None:
        for each in items:
            self.store.create(each, "tenant")

    def share(self) -> None:
        """Pods with a claim between them, which may come after them."""
        if not self._room():
            self._tidy()
            return
        namespace, name = self.random.choice(NAMESPACES), self._name("s")
        claim = _claim(namespace, name, spec(self.random, self.kinds, admin=namespace == "admin"))
        late = self.random.random() < 0.3
        if not late:
            self.store.create(claim, "tenant")
        scheduler, entries = self._scheduler(), [{"name": "c", "resourceClaimName": name}]
        if self.random.random() < 0.5:
            self._make_all([self._template(namespace, name)])
            entries.append({"name": "own", "resourceClaimTemplateName": name})
        mixed = self.rival and self.random.random() < 0.7
        if mixed:  # the other scheduler's first
            self._create_pod(namespace, f"{name}-r", entries, self.rival)
            scheduler = "dovetail"
        count = self.random.choice((1, 2, 2, 3))
        made = [self._pod(namespace, f"{name}-p{number}", entries, scheduler) for number in range(count)]
        for each in self._furnish(made):
            self.world.after(self.random.uniform(0, 5) if mixed else 0.0, self._create, each)
        if late:
            self.world.after(self.random.uniform(0, 10), self._make_all, [claim])

    def emulate(self, claim: Item) -> str:
        """A pod of the other scheduler with a claim that asks for the same; its key."""
        namespace, name = claim.raw["metadata"]["namespace"], self._name("e")
        made = pod(namespace, name, self.rival, [{"name": "c", "resourceClaimName": name}], self.random, self.secret)
        self._make_all([_claim(namespace, name, {"devices": claim.spec["devices"]}), made])
        return f"{namespace}/{name}"

    def extend(self) -> None:
        """A pod that asks for devices as an extended resource."""
        if not self._room():
            return
        namespace, name = self.random.choice(NAMESPACES), self._name("x")
        made = pod(namespace, name, "dovetail", [], self.random, self.secret)
        resources = made["spec"]["containers"][0]["resources"]
        count = str(self.random.choice((1, 1, 2)))
        resources["requests"][EXTENDED] = count
        resources["limits"] = {EXTENDED: count}
        self.store.create(made, "tenant")

    def team(self) -> None:
        """Pods of a PodGroup, most often a gang: either enough of them run, or none."""
        if not self._room():
            self._tidy()
            return
        namespace, name, count = self.random.choice(NAMESPACES), self._name("g"), self.random.choice((2, 3))
        policy: Raw = {"gang": {"minCount": count}} if self.random.random() < 0.7 else {"basic": {}}
        metadata = {"name": name, "namespace": namespace}
        self._make_all(
            [
                {
                    "apiVersion": "scheduling.k8s.io/v1beta1", "kind": "PodGroup", "metadata": metadata,
                    "spec": {"schedulingPolicy": policy},
                },
                self._template(namespace, name),
            ]
        )  # fmt: skip
        for number in range(count):
            entries = [{"name": "c", "resourceClaimTemplateName": name}]
            self._create_pod(namespace, f"{name}-p{number}", entries, "dovetail", name)

    def _any_pod(self) -> tuple[str, Raw] | None:
        pods = list(self.store.objects["Pod"].values())
        if not pods:
            return None
        chosen = self.random.choice(pods)
        return chosen.key, chosen.raw

    def _tidy(self) -> None:
        for each in list(self.store.objects["Pod"].values()):
            if done(each.raw):
                self.store.remove("Pod", each.key, "tenant")
        for each in list(self.store.objects["ResourceClaim"].values()):
            if not each.raw["metadata"].get("ownerReferences") and self.random.random() < 0.2:
                self.store.remove("ResourceClaim", each.key, "tenant")
        waiting = [each for each in self.store.objects["Pod"].values() if not each.spec.get("nodeName")]
        for each in waiting[: self.random.randint(1, 3)]:
            self.store.remove("Pod", each.key, "tenant")

    def delete(self) -> None:
        found = self._any_pod()
        if found is not None:
            self.store.remove(
                "Pod", found[0], "tenant", now=self.random.random() < 0.1 and "nodeName" not in found[1]["spec"]
            )

    def replace(self) -> None:
        """Delete a pod, and make another one of its name at once."""
        found = self._any_pod()
        if found is not None:
            self.replace_pod(*found)

    def replace_pod(self, key: str, raw: Raw) -> None:
        """As `replace`, for one that is chosen."""
        self.store.remove("Pod", key, "tenant")
        if self.store.find("Pod", key) is None:
            self.world.bite("F47")
            metadata = {name: raw["metadata"][name] for name in ("name", "namespace")}
            metadata["annotations"] = {"seconds": raw["metadata"]["annotations"].get("seconds", "20")}
            metadata["labels"] = raw["metadata"].get("labels") or {}
            made = {name: value for name, value in raw["spec"].items() if name != "nodeName"}
            self.store.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": made}, "tenant")

    def open_gate(self) -> None:
        for each in list(self.store.objects["Pod"].values()):
            if each.spec.get("schedulingGates"):
                self.store.update(
                    "Pod", each.key, lambda raw: {**raw, "spec": {**raw["spec"], "schedulingGates": []}}, "tenant"
                )
                return

    def delete_claim(self) -> None:
        claims = [
            each for each in self.store.objects["ResourceClaim"].values()
            if not each.raw["metadata"].get("ownerReferences")
        ]  # fmt: skip
        if not claims:
            return
        self.drop_claim(self.random.choice(claims))

    def drop_claim(self, chosen: Item) -> None:
        """Delete a claim, and perhaps make another one of its name."""
        if chosen.status.get("allocation"):
            self.world.bite("F43")
        self.store.remove("ResourceClaim", chosen.key, "tenant")
        if self.random.random() < 0.5:
            again = {
                **{name: value for name, value in chosen.raw.items() if name != "status"},
                "metadata": {name: chosen.raw["metadata"][name] for name in ("name", "namespace")},
            }
            if self.store.find("ResourceClaim", chosen.key) is None:
                self.store.create(again, "tenant")

    def toggle_class(self) -> None:
        if self.store.find("DeviceClass", LATE_CLASS) is None:
            self.store.create(late_class(), "admin")
        else:
            self.store.remove("DeviceClass", LATE_CLASS, "admin")

    def poison(self) -> None:
        """A claim from the future, and a pod that uses it."""
        if not self._room():
            return
        namespace, name = self.random.choice(NAMESPACES), self._name("f")
        self.world.bite("F37")
        asked = {"name": "r", "somethingNew": {"deviceClassName": "gpu"}}
        self.store.create(_claim(namespace, name, {"devices": {"requests": [asked]}}), "tenant")
        self._create_pod(namespace, f"{name}-p", [{"name": "c", "resourceClaimName": name}], "dovetail")
