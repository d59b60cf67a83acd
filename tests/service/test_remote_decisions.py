"""An engine in its loop, with scorers of others over real connections: a bad one changes nothing but its own share."""

import asyncio
import contextlib
import time

import pytest

from scheduler.cluster.lease import OpenFence
from scheduler.core.config import EngineConfig, Ownership, RemoteScorer
from scheduler.core.engine import Engine
from scheduler.core.messages import BindPod, Listed, RecordDecision, ScoreRemotely, Seen
from scheduler.service.loop import Loop
from scheduler.service.remote import RemoteScorers
from scheduler.service.settings import RemoteScorerSettings
from tests.build import claim, device_class, gpus, node, pod
from tests.driving import Hands
from tests.service.test_remote import scorer

PODS = 12
DEADLINE_S = 0.3
# The mix of demand is learned beside the loop, so when it counts from differs between runs.
WITHOUT_MIX = dict.fromkeys(("fragmentation", "holes", "scarcity", "stranding", "depth"), 0.0)


class Scheduling(Hands):
    """Hands in a loop: what the engine asks for is done at once, but for what scorers of others are asked."""

    def __init__(self, scorers):
        remote = tuple(RemoteScorer(each.name, each.weight, each.timeout_milliseconds / 1000) for each in scorers)
        config = EngineConfig(
            ownership=Ownership(all_nodes=True), weights=WITHOUT_MIX, verify_plans=True, remote=remote
        )
        self.engine = Engine(config)
        self.asked = []
        self.bound = {}
        self.loop = Loop(self.submit, OpenFence())
        self.loop.deciding = True
        self.remote = RemoteScorers(scorers, self.loop.post)

    @property
    def now(self):
        return time.monotonic()

    def tell(self, event):
        self.loop.post(event)
        return []

    def submit(self, instruction):
        self.asked.append(instruction)
        if isinstance(instruction, ScoreRemotely):
            self.remote.submit(instruction)
        else:
            self.obey(instruction)
        if isinstance(instruction, BindPod):
            self.bound[instruction.pod.name] = self.now

    async def run(self):
        """One pod after the other, each once the last is bound; returns how long the slowest waited."""
        for item in (device_class(), *[each for n in range(4) for each in (node(f"n{n}"), gpus(f"n{n}", 4))]):
            self.loop.post(Seen(item))
        self.loop.post(Listed())
        tasks = [asyncio.ensure_future(self.loop.run(self.engine)), asyncio.ensure_future(self.remote.run())]
        waited = []
        for number in range(PODS):
            begun = self.now
            self.loop.post(Seen(claim(f"c{number}")))
            self.loop.post(Seen(pod(f"p{number}", claims=[f"c{number}"])))
            async with asyncio.timeout(20):
                while f"p{number}" not in self.bound:
                    await asyncio.sleep(0.001)
            waited.append(self.bound[f"p{number}"] - begun)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        return max(waited)

    @property
    def decisions(self):
        return {each.decision.pod: each.decision for each in self.of(RecordDecision)}


def settings(name, port, weight=5_000.0):
    return RemoteScorerSettings(
        name=name, address=f"127.0.0.1:{port}", weight=weight, timeoutMilliseconds=int(1000 * DEADLINE_S)
    )


async def decided(*scorers):
    scheduling = Scheduling(scorers)
    return await scheduling.run(), scheduling.decisions


def taken(decision):
    """Where a pod goes and what that is worth, and the same of the next best node."""
    return [option and (option.node, option.devices, option.total) for option in (decision.winner, decision.runner_up)]


@pytest.mark.parametrize("how", ["hangs", "fails", "short", "nan", "beyond", "dead"])
async def test_a_bad_scorer_changes_nothing_but_its_own_share(how):
    async with scorer("hangs" if how == "dead" else how) as bad:
        if how != "dead":
            waited, beside = await decided(settings("bad", bad.port))
    if how == "dead":
        waited, beside = await decided(settings("bad", bad.port))
    _, alone = await decided()

    assert {pod: taken(each) for pod, each in beside.items()} == {pod: taken(each) for pod, each in alone.items()}
    assert all(each.remote[0].problem for each in beside.values())
    assert waited < DEADLINE_S + 2.0  # which is for the machine


@pytest.mark.parametrize("how", ["hangs", "nan", "dead"])
async def test_a_good_one_counts_beside_a_bad_one(how):
    async with scorer("good") as good, scorer("hangs" if how == "dead" else how) as bad:
        bad_port = bad.port
        if how == "dead":
            async with scorer("good") as gone:
                bad_port = gone.port
        _, beside = await decided(settings("good", good.port), settings("bad", bad_port))

    heard = {each.scorer: each for decision in beside.values() for each in decision.remote}
    assert heard["bad"].problem
    assert not heard["good"].problem
    assert any("remote.good" in each.winner.scores for each in beside.values())
    assert not any("remote.bad" in each.winner.scores for each in beside.values())
