"""One episode: a cluster, its actors and our replicas, from one seed; hostile, then healed and judged at rest."""

from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from e2e.sim import liveness
from e2e.sim.actors.chaos import Chaos
from e2e.sim.actors.controllers import Controllers
from e2e.sim.actors.drivers import Drivers
from e2e.sim.actors.households import Households
from e2e.sim.actors.meddler import Meddler
from e2e.sim.actors.rival import NAME, Rival
from e2e.sim.actors.storage import Storage
from e2e.sim.actors.tenants import Tenants
from e2e.sim.faults import Rates
from e2e.sim.invariants import Judge
from e2e.sim.plain_invariants import PlainJudge
from e2e.sim.replica import Replica, listen, settings, watch
from e2e.sim.server import Server
from e2e.sim.store import Store
from e2e.sim.world import BrokenError, World

SECRET = "canary-7f3a9c51"
APART, CONTESTED, BOTH = "apart", "contested", "both"
EPISODE = 5_000  # steps of a cluster, about
_HOSTILE = 2_000  # steps between two rests
_FULL = 500  # steps between two looks at everything
# A device that failed a pod is left alone for two minutes, and who waits for it is looked at again a minute later.
_HEAL_S, _REST_S = 200.0, 75.0
_PATIENCE = 2.4  # of the scheduler's time limit of a write: how long before its lease ends it sends the last one


@dataclass(frozen=True)
class Options:
    """All that the seed decides at the beginning; printed with every failure."""

    seed: int
    mode: str
    nodes: int
    foreign_nodes: int
    replicas: int
    lease: tuple[int, int, float]
    streams_lists: bool
    patience: float
    refuses: float
    binding_timeout: int
    pace: float
    groups: bool
    solver: str
    verify: bool
    plain: float
    volume_timeout: int
    rates: Rates

    @classmethod
    def drawn(cls, seed: int, mode: str) -> "Options":
        random = Random(f"options/{seed}")
        return cls(
            seed, mode,
            nodes=random.randint(2, 4),
            foreign_nodes=random.choice((0, 1, 2)),
            replicas=random.choice((1, 2, 2)),
            lease=random.choice(((15, 10, 2), (15, 10, 2), (6, 4, 1), (6, 4, 1), (3, 2, 0.5))),
            streams_lists=random.random() < 0.7,
            patience=random.choice((0.02, 0.2, 1.0)),
            refuses=random.choice((0.3, 0.4)),
            binding_timeout=random.choice((10, 30)),
            pace=random.choice((0.15, 0.3, 0.5)),
            groups=random.random() < 0.5,
            solver=random.choice(("regret", "greedy")),
            verify=random.random() < 0.1,
            plain=random.choice((0.0, 0.15, 0.3)),
            volume_timeout=random.choice((8, 30)),
            rates=Rates.drawn(random),
        )  # fmt: skip

    def lines(self) -> str:
        said = asdict(self)
        rates = {name: value for name, value in said.pop("rates").items() if value}
        return "\n".join(f"  {name} = {value}" for name, value in {**said, "rates": rates}.items())


class Simulation:
    """The parts of an episode; `run` goes through it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.world = world = World(options.seed)
        self.lines = listen(world, SECRET)
        self.store = Store(lambda: world.now)
        contested = options.mode == CONTESTED
        lease_s, renew_s, retry_s = options.lease
        margin_s = _PATIENCE * lease_s / 5 - 1e-6
        self.judge = Judge(world, self.store, lease_s=lease_s, margin_s=margin_s, secret=SECRET, contested=contested)
        self.server = Server(world, self.store, options.rates, streams_lists=options.streams_lists)
        self.server.sent.append(self.judge.sent)
        self.server.told = self.judge.told
        self.server.applied.append(self.judge.applied)
        self.plain = PlainJudge(world, self.store, self.judge)
        self.server.sent.append(self.plain.sent)
        self.server.refused.append(self.plain.refused)
        self.drivers = Drivers(world, self.store, options.nodes, options.foreign_nodes, 12 * options.pace)
        self.controllers = Controllers(world, self.store, self.judge.hardware, options.patience, options.refuses)
        nodes = [f"n{number}" for number in range(options.nodes + options.foreign_nodes)] if options.plain else []
        self.storage = Storage(world, self.store, nodes, options.patience) if options.plain else None
        households = Households(world, self.store, self.storage, options.plain) if self.storage is not None else None
        self.tenants = Tenants(world, self.store, SECRET, NAME, self.drivers.kinds(), options.pace, households)
        self.rival = Rival(world, self.store, self.judge.hardware, lambda: self.judge.holders, contested=contested)
        self.meddler = Meddler(
            world, self.store, self.tenants, self.drivers, self.rival, households, options.rates.meddling
        )
        self.server.sent.append(self.meddler.sent)
        chosen = settings(
            leader_election__lease_seconds=lease_s, leader_election__renew_seconds=renew_s,
            leader_election__retry_seconds=retry_s, binding_timeout_seconds=options.binding_timeout,
            volume_timeout_seconds=options.volume_timeout,
            solver=options.solver, verify_plans=str(options.verify).lower(),
        )  # fmt: skip
        chosen = chosen.model_copy(update={"feature_gates": {"DRAWorkloadResourceClaims": options.groups}})
        timing = watch.Timing(watch_s=20.0, grace_s=3.0, progress_s=10.0, request_s=10.0)
        self.replicas = [
            Replica(world, self.server, f"dovetail-{number}", chosen, timing) for number in range(options.replicas)
        ]
        self.chaos = Chaos(world, self.store, self.server, self.replicas, options.rates)

    def run(self, steps: int) -> None:
        """At least this many steps, and then to rest once more. Raises BrokenError."""
        world = self.world
        while world.steps < steps:
            self.hostile(min(world.steps + _HOSTILE, steps))
            self.rest()

    def hostile(self, until: int) -> None:
        """Go on with everything that can go wrong."""
        world = self.world
        self.server.rates = self.options.rates
        self.chaos.active = self.tenants.active = self.drivers.active = self.meddler.active = True
        self.controllers.resting = self.server.calm = False
        if self.storage is not None:
            self.storage.hostile()
        self.controllers.refuses = self.options.refuses
        looked = world.steps
        while world.steps < until:
            world.advance()
            if world.steps >= looked + _FULL:
                looked = world.steps
                self.judge.full()
                self._compact()

    def _compact(self) -> None:
        """The server forgets what was long ago, now and then what was just now."""
        random = self.world.random
        for log in self.store.logs.values():
            if log.versions and random.random() < 0.6:
                log.compact(log.versions[random.randrange(len(log.versions))])

    def rest(self) -> None:
        """Heal, wait some minutes, and judge."""
        world = self.world
        self.tenants.active = self.meddler.active = False
        self.chaos.rest()
        self.drivers.heal()
        self.server.rates = Rates.none()
        self.controllers.refuses = 0.0
        if self.storage is not None:
            self.storage.rest()
        self.server.calm = True
        self._pass(40.0)
        self.drivers.settle()
        if self.storage is not None:
            self.storage.settle()
        self.controllers.rest()
        self._pass(_HEAL_S)
        before = self.judge.writes.copy()
        self._pass(_REST_S)
        after = {kind: number for kind, number in (self.judge.writes - before).items() if kind != "Lease"}
        if after:
            raise BrokenError("I23", f"writes although nothing happened: {after}")
        self.judge.full()
        self.judge.unreported()
        lives = [each.life for each in self.replicas if each.deciding]
        self.plain.left(life.identity for life in lives if life is not None)
        liveness.check(self.store, self.judge, self.replicas, groups=self.options.groups)
        world.bite("rest")

    def _pass(self, seconds: float) -> None:
        until = self.world.now + seconds
        reached = []
        self.world.at(until, reached.append, True)
        self.world.run(lambda: bool(reached))

    def story(self, error: BaseException) -> str:
        """The last steps of the objects that a failure concerns, and of everything."""
        subjects = getattr(error, "subjects", ())
        log = list(self.world.log)
        about = [line for line in log if any(each in line[3] or each in line[4] for each in subjects)][-60:]
        shown = about + [line for line in log[-25:] if line not in about]
        lines = [
            f"{step:8d} {time:10.3f} {what:14} {subject} {detail}"[:220] for step, time, what, subject, detail in shown
        ]
        return "\n".join([*lines, "last log lines:", *list(self.lines.kept)[-25:]])


def outcome(seed: int, steps: int, mode: str) -> tuple[Simulation, BaseException | None]:
    """Run one episode to its end or its failure."""
    simulation = Simulation(Options.drawn(seed, mode))
    try:
        simulation.run(steps)
    except Exception as error:  # whatever the scheduler or the judge raised is a finding
        return simulation, error
    finally:
        for replica in simulation.replicas:
            if replica.life is not None:
                replica.life.kill()
    return simulation, None


def summary(simulation: Simulation) -> dict[str, Any]:
    """What an episode came to."""
    pods = sum(who.startswith("dovetail") for who, _, _ in simulation.judge.bound.values())
    return {
        "steps": simulation.world.steps,
        "seconds": simulation.world.now,
        "bound": pods,
        "hash": simulation.world.digest,
    }
