"""python -m e2e.sim.plans [--only NAME] [--every N]

Small scenarios, each played once undisturbed and then once for every single thing that can go wrong in it: killed after
each write, each write failing in each way, each event late, and the watch broken before each event. Complete where
chance is not; every run has to come to rest in a state that the judge and the oracle accept.
"""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from e2e.sim import hardware, liveness
from e2e.sim.actors import storage
from e2e.sim.actors.controllers import Controllers
from e2e.sim.actors.households import mounted
from e2e.sim.actors.storage import Storage
from e2e.sim.actors.tenants import NAMESPACES, pod, request
from e2e.sim.faults import Rates
from e2e.sim.invariants import Judge
from e2e.sim.plain_invariants import PlainJudge
from e2e.sim.replica import Replica, listen, settings, watch
from e2e.sim.server import Answer, Peer, Server, Stream, failure
from e2e.sim.simulation import SECRET
from e2e.sim.store import Raw, Store
from e2e.sim.world import BrokenError, World

WRITES = (
    "crash", "409", "422", "403", "404", "429", "500", "500 applied", "lost", "late", "never",
)  # fmt: skip
EVENTS = ("late", "broken")
_LEASE_S = 6.0
_QUIET_S = 110.0
NAMESPACE = "t0"


@dataclass(frozen=True)
class Fault:
    """`what` happens to our `number`th write, or to the `number`th event of a watch."""

    to: str = ""
    number: int = -1
    what: str = ""


class Scripted(Server):
    """A healthy server but for one fault. `crash` kills the process. Counts writes and events."""

    def __init__(self, world: World, store: Store, fault: Fault) -> None:
        super().__init__(world, store, Rates.none())
        self.fault = fault
        self.crash: Callable[[], None] = lambda: None
        self.writes = 0
        self.events = 0

    def _arrive(
        self, peer: Peer, method: str, where: str, query: str, given: Any, content: str, accept: str, limit: float,
        respond: Callable[[Answer], None],
    ) -> None:  # fmt: skip
        plain = (peer, method, where, query, given, content, accept)
        if method == "GET" or "reviews" in where or "/leases" in where or where.endswith("/events"):
            super()._arrive(*plain, limit, respond)
            return
        number, self.writes = self.writes, self.writes + 1
        if (self.fault.to, self.fault.number) != ("write", number):
            super()._arrive(*plain, limit, respond)
            return
        what = self.fault.what
        if what == "404" and "resourceclaims" not in where:
            what = "409"  # no server says of a pod that is there that it is not
        self.world.step("fault", what, where)
        if what in {"crash", "500 applied", "lost"}:
            self._handle(*plain)
        if what == "crash":
            self.crash()
        elif what == "late":
            self.world.after(0.9 * limit, lambda: self._handle(*plain))
        elif what == "lost":
            self.world.after(0.01, respond, Answer(0))
        elif what != "never":
            code = int(what[:3])
            self._tell_refused(peer, method, where, given, code)
            self.world.after(0.01, respond, Answer(code, failure(code, "Injected", "injected")))

    def _deliver(self, stream: Stream) -> None:
        number, self.events = self.events, self.events + 1
        if (self.fault.to, self.fault.number) != ("event", number):
            super()._deliver(stream)
        elif self.fault.what == "late":
            self.world.after(4.0, super()._deliver, stream)
        else:
            self.world.step("fault", "broken", stream.kind)
            stream.busy = False
            stream.log.compact(self.store.version)
            self.leave(stream)
            stream.fed(None)


Disturb = Callable[["Small"], None]


@dataclass(frozen=True)
class Scenario:
    """What tenants ask for, on hardware of these flavours, and what happens at `moment` seconds."""

    name: str
    flavours: tuple[str, ...]
    ask: Callable[["Small"], None]
    disturb: Disturb | None = None
    moment: float = 0.0
    stored: bool = False  # whether there are volumes


class Small:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario, fault: Fault) -> None:
        self.scenario = scenario
        self.world = world = World(0)
        self.lines = listen(world, SECRET)
        self.store = store = Store(lambda: world.now)
        self.judge = Judge(world, store, lease_s=_LEASE_S, margin_s=2.4 * _LEASE_S / 5 - 1e-6, secret=SECRET)
        self.server = Scripted(world, store, fault)
        self.server.sent.append(self.judge.sent)
        self.server.applied.append(self.judge.applied)
        self.random = Random(scenario.name)
        for name in NAMESPACES:
            labels = {"resource.kubernetes.io/admin-access": "true"}
            store.create({"kind": "Namespace", "metadata": {"name": name, "labels": labels}}, "admin")
        for item in hardware.classes():
            store.create(item, "admin")
        for number, flavour in enumerate(scenario.flavours):
            name = f"n{number}"
            store.create(hardware.node(name, self.random, owned=True), "admin")
            parts = hardware.pool(name, flavour, self.random)
            for driver, own in ((hardware.GPU, parts), (hardware.NET, hardware.nics(self.random))):
                for item in hardware.slices(driver, name, {"nodeName": name}, own, 1):
                    store.create(item, "driver")
        self.controllers = Controllers(world, store, self.judge.hardware, 0.02, 0.0)
        self.plain = PlainJudge(world, store, self.judge)
        self.server.sent.append(self.plain.sent)
        self.server.refused.append(self.plain.refused)
        nodes = [f"n{number}" for number in range(len(scenario.flavours))]
        self.storage = Storage(world, store, nodes, 0.02, fails=False) if scenario.stored else None
        chosen = settings(
            leader_election__lease_seconds=_LEASE_S, leader_election__renew_seconds=4,
            leader_election__retry_seconds=1, binding_timeout_seconds=20,
        )  # fmt: skip
        timing = watch.Timing(watch_s=20.0, grace_s=3.0, progress_s=10.0, request_s=10.0)
        self.replica = Replica(world, self.server, "dovetail-0", chosen, timing)
        self.server.crash = lambda: self.replica.crash("after a write")

    def run(self) -> None:
        """To rest. Raises BrokenError."""
        world = self.world
        world.at(2.0, self.scenario.ask, self)
        if self.scenario.disturb is not None:
            world.at(self.scenario.moment, self.scenario.disturb, self)
        world.at(60.0, self.controllers.rest)
        if self.storage is not None:
            world.at(60.0, self.storage.settle)
        done: list[bool] = []
        world.at(60.0 + _QUIET_S, done.append, True)
        world.run(lambda: bool(done))
        self.judge.full()
        if self.replica.deciding and self.replica.life is not None:
            self.plain.left([self.replica.life.identity])
        liveness.check(self.store, self.judge, [self.replica])

    # ------------------------------------------------------------ what tenants do

    def claim(self, name: str, *requests: Raw) -> None:
        self.store.create(
            {
                "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
                "metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"devices": {"requests": list(requests)}},
            },
            "tenant",
        )  # fmt: skip

    def pods(self, names: str, *templates: Raw, claims: tuple[str, ...] = (), **spec: object) -> None:
        """Pods with a claim for each of these requests, and these shared ones."""
        entries = [{"name": f"s{number}", "resourceClaimName": name} for number, name in enumerate(claims)]
        for number, each in enumerate(templates):
            name = f"{names.split(maxsplit=1)[0]}-{number}"
            self.store.create(
                {
                    "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
                    "metadata": {"name": name, "namespace": NAMESPACE},
                    "spec": {"spec": {"devices": {"requests": [each]}}},
                },
                "tenant",
            )  # fmt: skip
            entries.append({"name": f"c{number}", "resourceClaimTemplateName": name})
        for name in names.split():
            made = pod(NAMESPACE, name, "dovetail", entries, Random(name), SECRET)
            made["metadata"]["annotations"] = {"seconds": "1e4"}
            made["spec"] |= spec
            self.store.create(made, "tenant")

    def volumes(self, *wanted: str) -> list[Raw]:
        """Claims to volumes of these classes, as a pod mounts them."""
        for number, name in enumerate(wanted):
            self.store.create(storage.claim(NAMESPACE, f"v{number}", name), "tenant")
        return mounted(*(f"v{number}" for number in range(len(wanted))))

    def extended(self, name: str, count: int) -> None:
        made = pod(NAMESPACE, name, "dovetail", [], Random(name), SECRET)
        made["metadata"]["annotations"] = {"seconds": "1e4"}
        resources = made["spec"]["containers"][0]["resources"]
        resources["requests"][hardware.EXTENDED] = str(count)
        resources["limits"] = {hardware.EXTENDED: str(count)}
        self.store.create(made, "tenant")

    # ------------------------------------------------------------ what disturbs

    def delete_a_pod(self) -> None:
        first = next(iter(self.store.objects["Pod"].values()), None)
        if first is not None:
            self.store.remove("Pod", first.key, "tenant")

    def delete_a_volume_claim(self) -> None:
        first = next(iter(self.store.objects[storage.CLAIM].values()), None)
        if first is not None:
            self.store.remove(storage.CLAIM, first.key, "tenant")

    def cordon(self) -> None:
        self.store.update("Node", "n0", lambda raw: {**raw, "spec": {"unschedulable": True}}, "admin")

    def lose_a_device(self) -> None:
        """The first device of the first node leaves its pool, which stays complete."""
        for item in self.store.all("ResourceSlice"):
            devices = item.spec.get("devices")
            if item.spec["driver"] == hardware.GPU and item.spec["pool"]["name"] == "n0" and devices:
                less = {**item.spec, "devices": devices[1:]}
                self.store.update("ResourceSlice", item.key, lambda raw, less=less: {**raw, "spec": less}, "driver")
                return


def _gpu(count: int = 1, **more: object) -> Raw:
    return request("r", "gpu", count, **more)


def _memory(gib: int) -> Raw:
    return request("r", "shared", 1, capacity={"requests": {"memory": f"{gib}Gi"}})


def _joined(small: Small) -> None:
    small.claim("s", _gpu())
    small.pods("a b", claims=("s",))


def _joined_and_own(small: Small) -> None:
    small.claim("s", request("r", "nic"))
    small.pods("a b", _gpu(), claims=("s",))


_WHOLE, _PARTS, _BOTH = ("whole",), ("parts",), ("whole", "parts")
_ASKED: tuple[tuple[str, tuple[str, ...], Callable[[Small], None]], ...] = (
    ("one", _WHOLE, lambda small: small.pods("a", _gpu())),
    ("two claims", _WHOLE, lambda small: small.pods("a", _gpu(), request("r", "nic"))),
    ("last devices", _WHOLE, lambda small: small.pods("a b c d e", _gpu())),
    ("shared claim", _WHOLE, _joined),
    ("shared and own", _BOTH, _joined_and_own),
    ("extended", _WHOLE, lambda small: small.extended("a", 2)),
    ("parts", _PARTS, lambda small: small.pods("a b", request("r", "part"))),
    ("whole and parts", _PARTS, lambda small: (small.pods("a", _gpu()), small.pods("b", request("r", "part")))),
    ("capacity", ("shared",), lambda small: small.pods("a b c", _memory(25))),
    ("all", _BOTH, lambda small: small.pods("a", request("r", "nic", 0))),
    ("attached", ("attached",), lambda small: small.pods("a", request("r", "attached"))),
)  # fmt: skip
_DISTURBED: tuple[tuple[str, Disturb | None, float], ...] = (
    ("", None, 0.0), ("pod deleted", Small.delete_a_pod, 2.08), ("node cordoned", Small.cordon, 2.06),
    ("device lost", Small.lose_a_device, 2.07),
)  # fmt: skip
_STORED: tuple[tuple[str, Callable[[Small], None]], ...] = (
    ("kept volume", lambda small: small.pods("a", volumes=small.volumes(storage.LOCAL))),
    ("made volume and devices", lambda small: small.pods("a", _gpu(), volumes=small.volumes(storage.MADE))),
    ("volumes of both kinds", lambda small: small.pods("a b", volumes=small.volumes(storage.LOCAL, storage.MADE))),
    ("volume that never comes", lambda small: small.pods("a", _gpu(), volumes=small.volumes(storage.NEVER))),
    ("volume that nobody binds", lambda small: small.pods("a", volumes=small.volumes(storage.STUCK))),
)
_UPSET: tuple[tuple[str, Disturb | None, float], ...] = (
    *_DISTURBED[:3], ("volume claim deleted", Small.delete_a_volume_claim, 2.07),
)  # fmt: skip
SCENARIOS = tuple(
    Scenario(f"{name}, {what}" if what else name, flavours, ask, disturb, moment)
    for name, flavours, ask in _ASKED
    for what, disturb, moment in _DISTURBED
) + tuple(
    Scenario(f"{name}, {what}" if what else name, _BOTH, ask, disturb, moment, stored=True)
    for name, ask in _STORED
    for what, disturb, moment in _UPSET
)


def play(scenario: Scenario, fault: Fault) -> tuple[Small, str]:
    """A run, and what was wrong with it."""
    small = Small(scenario, fault)
    try:
        small.run()
    except BrokenError as error:
        return small, str(error)
    except Exception as error:  # whatever it is, it is a finding
        return small, "".join(traceback.format_exception(error))
    finally:
        if small.replica.life is not None:
            small.replica.life.kill()
    return small, ""


def faults(scenario: Scenario) -> Iterator[Fault]:
    """Every single fault of a scenario, by what its undisturbed run writes and hears."""
    small, problem = play(scenario, Fault())
    if problem:
        raise BrokenError("I0", f"{scenario.name} fails undisturbed: {problem}")
    for number in range(small.server.writes):
        for what in WRITES:
            yield Fault("write", number, what)
    for number in range(min(small.server.events, 40)):
        for what in EVENTS:
            yield Fault("event", number, what)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.sim.plans", description=__doc__.splitlines()[2])
    parser.add_argument("--only", default="", help="scenarios whose name begins so")
    parser.add_argument("--every", type=int, default=1, help="play one plan of so many")
    given = parser.parse_args(arguments)
    begun, played, failed, scenarios = time.process_time(), 0, 0, 0
    for scenario in SCENARIOS:
        if not scenario.name.startswith(given.only):
            continue
        scenarios += 1
        for number, fault in enumerate(faults(scenario)):
            if (number + scenarios) % given.every:
                continue
            _, problem = play(scenario, fault)
            played += 1
            if problem:
                failed += 1
                print(
                    f"{scenario.name}: {fault.to} {fault.number} {fault.what}: {problem}", file=sys.stderr, flush=True
                )
    took = time.process_time() - begun
    print(json.dumps({"scenarios": scenarios, "plans": played, "failed": failed, "seconds": round(took, 1)}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
