"""The scheduler's own process, started, stalled and killed: the only module here that imports it."""

import asyncio
import contextlib
import gc
import logging
import os
import types
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

from kubernetes.aio.leaderelection import leaderelection

from e2e.sim.loop import VirtualLoop
from e2e.sim.server import Server
from e2e.sim.session import Session
from e2e.sim.store import EPOCH
from e2e.sim.world import BrokenError, World
from scheduler.cluster import watch
from scheduler.cluster.client import Address, Client
from scheduler.cluster.machine import Machine
from scheduler.core.messages import Event, Slow
from scheduler.core.slow import answer
from scheduler.service.run import Process
from scheduler.service.settings import SchedulerConfig, load

_EPOCH_S = EPOCH.timestamp()
_ADDRESS = Address("http://simulated", None, None, None, None)
# A collection at each list is for the memory of a process that lives for months.
_NO_COLLECTION = types.SimpleNamespace(
    **dict.fromkeys(("enable", "disable", "collect", "freeze", "unfreeze"), lambda: None)
)


def settings(**variables: object) -> SchedulerConfig:
    """The shipped defaults with these variables; nothing listens."""
    given = {f"DOVETAIL_{name.upper()}": str(value) for name, value in variables.items()}
    return load(None, {"DOVETAIL_HTTP__PORT": "0", **given})


class Lines(logging.Handler):
    """What the scheduler logs: the last lines are kept, and all are searched for secrets."""

    def __init__(self, world: World, secret: str) -> None:
        super().__init__()
        self.world, self.secret = world, secret
        self.kept: deque[str] = deque(maxlen=200)
        self.faults: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        self.kept.append(f"{self.world.now:10.3f} {record.levelname} {record.name}: {text}")
        if self.secret in text:
            self.world.fail(BrokenError("I18", f"a log line holds a secret: {text[:200]}"))


class Aside:
    """Slow work, answered after a virtual while by the function that the worker process runs."""

    def __init__(self, post: Callable[[Event], None], random: Random) -> None:
        self._post, self._random = post, random
        self.working = 0

    def submit(self, instruction: Slow) -> None:
        self.working += 1
        asyncio.get_running_loop().call_later(self._random.expovariate(1 / 0.03), self._answer, instruction)

    def _answer(self, instruction: Slow) -> None:
        self.working -= 1
        self._post(answer(instruction))

    async def run(self) -> None:
        await asyncio.Event().wait()


class Life:
    """One process, from its start to its end: a peer of the server."""

    def __init__(self, replica: "Replica", number: int) -> None:
        world = replica.world
        self.replica = replica
        self.name = replica.name
        self.identity = f"{replica.name}.{number}"
        self.alive = True
        self.stalled_from = self.stalled_until = 0.0  # the last time
        self.deadline = float("-inf")  # until when the lease is its own for sure, told by the invariants
        self._offset = replica.random.uniform(0.0, 1e6)
        self.loop = VirtualLoop(self.clock, self._failed)
        self.stop = None
        self.task: asyncio.Task[int] | None = None
        self.process: Process | None = None
        self.sessions: list[Session] = []
        world.processes.append(self)
        self.loop.call_soon(self._start)

    def clock(self) -> float:
        return self.replica.world.now + self._offset

    def wall(self) -> float:
        return _EPOCH_S + self.replica.world.now + self.replica.wall_ahead

    def _failed(self, context: dict[str, Any]) -> None:
        if self.alive:
            text = f"{self.identity}: {context.get('message')}: {context.get('exception')!r}"
            self.replica.world.fail(BrokenError("F29", text))

    def _start(self) -> None:
        replica = self.replica
        machine = Machine(self.clock, self.wall, Random(replica.random.getrandbits(64)), lambda: self.identity)
        self.sessions = [Session(replica.server, self) for _ in range(2)]
        client, lease_client = (Client(_ADDRESS, machine=machine, session=each) for each in self.sessions)
        aside = Random(replica.random.getrandbits(64))
        self.process = Process(
            replica.settings, client, lease_client, replica.timing, machine=machine,
            aside=lambda post: Aside(post, aside),
        )  # fmt: skip
        self.stop = asyncio.Event()
        self.task = self.loop.create_task(self.process.run(self.stop))
        self.task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[int]") -> None:
        if self.alive:
            self.replica.world.step("ended", self.identity, "")
            error = None if task.cancelled() else task.exception()
            if error is not None:
                self.replica.world.fail(BrokenError("F29", f"{self.identity} ended with {error!r}"))
                return
            self.kill()
            self.replica.ended(task.result())

    # ------------------------------------------------------------ as the world turns it

    @property
    def stalled(self) -> bool:
        return self.replica.world.now < self.stalled_until

    def aware(self, since: float) -> float:
        """Until when it has read what reached it before a time: nothing while it was stalled."""
        return min(since, self.stalled_from) if since < self.stalled_until else since

    @property
    def waiting(self) -> bool:
        return not self.stalled and self.loop.waiting

    def next_time(self) -> float | None:
        time = self.loop.next_time()
        if self.stalled:
            return self.stalled_until
        return None if time is None else time - self._offset

    def turn(self) -> None:
        """Run what is due. Meanwhile two modules that ask for time and memory by themselves are given ours."""
        real = leaderelection.time, watch.gc
        leaderelection.time, watch.gc = types.SimpleNamespace(time=self.wall), _NO_COLLECTION
        try:
            self.loop.turn()
        finally:
            leaderelection.time, watch.gc = real

    def kill(self) -> None:
        """As kill -9 does: nothing of it runs again."""
        if not self.alive:
            return
        self.alive = False
        world = self.replica.world
        world.processes.remove(self)
        self.replica.server.forget(self.identity)
        # Frames are closed now and not whenever the garbage is collected; what they do meanwhile reaches nobody.
        for task in asyncio.all_tasks(self.loop):
            task._log_destroy_pending = False
            with contextlib.suppress(BaseException):
                task.get_coro().close()
        self.loop.close()


class Replica:
    """One of several; its lives follow each other as a Deployment would start them."""

    def __init__(
        self, world: World, server: Server, name: str, settings: SchedulerConfig, timing: watch.Timing
    ) -> None:
        self.world, self.server, self.name, self.settings, self.timing = world, server, name, settings, timing
        self.random = world.fork(name)
        self.wall_ahead = 0.0
        self.lives = 0
        self.life: Life | None = None
        self.start()

    def start(self) -> None:
        if self.life is None or not self.life.alive:
            self.lives += 1
            self.world.step("start", self.name, str(self.lives))
            self.life = Life(self, self.lives)

    @property
    def running(self) -> Life | None:
        """Its process, if there is one that is not stalled."""
        life = self.life
        return life if life is not None and life.alive and not life.stalled else None

    @property
    def deciding(self) -> bool:
        life = self.running
        return life is not None and life.process is not None and life.process.loop.deciding

    def crash(self, why: str) -> None:
        if self.life is not None and self.life.alive:
            self.world.step("crash", self.life.identity, why)
            self.life.kill()
            self.world.after(self.random.choice((0.05, 0.5, 5.0)), self.start)

    def ended(self, code: int) -> None:
        self.world.after(self.random.choice((0.05, 1.0)), self.start)

    def end(self) -> None:
        """Tell it to stop."""
        life = self.running
        if life is not None and life.stop is not None:
            self.world.step("stop", life.identity, "")
            life.loop.call_soon(life.stop.set)

    def stall(self, seconds: float) -> None:
        life = self.running
        if life is not None:
            self.world.step("stall", life.identity, f"{seconds:.1f}")
            life.stalled_from, life.stalled_until = self.world.now, self.world.now + seconds

    def break_part(self) -> None:
        """One of its watches meets an error that nobody foresaw."""
        life = self.running
        watches = [each for session in life.sessions for each in session.watches] if life is not None else []
        if life is not None and watches:
            self.world.step("break", life.identity, "")
            self.world.bite("F29")
            content = self.random.choice(watches)
            content.failure = RuntimeError("injected")
            content.wake()


def listen(world: World, secret: str) -> Lines:
    """Take over the scheduler's logging."""
    lines = Lines(world, secret)
    level = logging.getLevelNamesMapping().get(os.environ.get("SIM_LOG", "WARNING"), logging.WARNING)
    for name in ("scheduler", "dovetail"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [lines], False
        logger.setLevel(level)
    gc.set_threshold(100_000, 20, 50)
    return lines


def known(process: Process) -> Mapping[str, Mapping[str, str]]:
    """What a process has in memory of claims, pods and volumes: versions by uid."""
    state = process.engine.state
    return {
        "ResourceClaim": {str(uid): item.resource_version for uid, item in state.claims.current.items()},
        "Pod": {str(uid): item.resource_version for uid, item in state.pods.current.items()},
        "PersistentVolumeClaim": _versions(state.volumes.claims.current.values()),
        "PersistentVolume": _versions(state.volumes.volumes.current.values()),
    }


def _versions(items: Iterable[Any]) -> Mapping[str, str]:
    return {str(each.uid): each.resource_version for each in items}


def kept(process: Process) -> list[str]:
    """Volumes and claims that a process keeps from others for placed pods, or while it gives them back."""
    volumes = process.engine.state.volumes
    return [str(each) for each in (*volumes.taken, *volumes.chosen, *volumes.releasing)]
