"""Scorers of others over real connections: whatever they do, one answer comes for each question, in time."""

import asyncio
import contextlib
import time

import grpc
import grpc.aio
import numpy as np
import pytest

from scheduler.core.errors import ConfigError
from scheduler.core.messages import PodRef, ScoreRemotely
from scheduler.core.model import Uid
from scheduler.core.plan import Option
from scheduler.service.remote import MAX_CALLS, RemoteScorers
from scheduler.service.settings import RemoteScorerSettings, RemoteTls, parse
from scoring.extender.breaker import FAILURES, FIRST_PAUSE_S
from scoring.extender.v1 import scoring_pb2 as pb
from scoring.extender.v1 import scoring_pb2_grpc

NODES = tuple(Option(f"n{number}", (("gpu.example.com", f"n{number}", "gpu-0"),), 0.5, {}) for number in range(3))
HEAD = "apiVersion: config.dovetail.scheduler/v1alpha1\nkind: SchedulerConfig\n"


class Behaving(scoring_pb2_grpc.ScorerServicer):
    """A scorer that does as it is told."""

    def __init__(self, how):
        self.how = how
        self.asked = []

    async def Judge(self, request, context):  # noqa: N802
        self.asked.append(request)
        if self.how == "hangs":
            await asyncio.Event().wait()
        if self.how == "fails":
            await context.abort(grpc.StatusCode.INTERNAL, "\x1b[31mno\n")
        count = len(request.candidates)
        scores = {
            "good": np.linspace(0, 1, count),
            "short": np.ones(count - 1),
            "nan": np.full(count, np.nan),
            "beyond": np.full(count, 1.5),
        }.get(self.how)
        raw = b"abc" if scores is None else scores.astype("<f4").tobytes()
        return pb.JudgeResponse(scores=raw)


@contextlib.asynccontextmanager
async def scorer(how, port=0):
    server = grpc.aio.server()
    behaving = Behaving(how)
    scoring_pb2_grpc.add_ScorerServicer_to_server(behaving, server)
    behaving.port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield behaving
    finally:
        await server.stop(None)


@contextlib.asynccontextmanager
async def asking(*ports, timeout=200, clock=time.monotonic):
    """Remote scorers named s0, s1, ..., and a queue of what they answered."""
    answers = asyncio.Queue()
    settings = [
        RemoteScorerSettings(name=f"s{at}", address=f"127.0.0.1:{port}", weight=1.0, timeoutMilliseconds=timeout)
        for at, port in enumerate(ports)
    ]
    remote = RemoteScorers(settings, answers.put_nowait, clock)
    running = asyncio.ensure_future(remote.run())
    try:
        yield remote, answers
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def question(*scorers, pod="p", generation=1):
    return ScoreRemotely(PodRef("ns", pod, Uid(f"uid-{pod}")), generation, scorers, 2_000, 2**30, NODES)


async def test_they_are_asked_about_nodes_devices_and_totals_and_their_scores_come_back():
    async with scorer("good") as other, asking(other.port, timeout=5_000) as (remote, answers):
        remote.submit(question("s0"))
        answer = await answers.get()

    [asked] = other.asked
    assert (asked.scorer, asked.pod, asked.cpu_milli, asked.memory_bytes) == ("s0", "ns/p", 2_000, 2**30)
    assert [(each.node, list(each.devices), each.total) for each in asked.candidates] == [
        (f"n{number}", [f"gpu.example.com/n{number}/gpu-0"], 0.5) for number in range(3)
    ]
    assert (answer.pod, answer.generation, answer.scorer, answer.problem) == ("uid-p", 1, "s0", "")
    assert answer.scores == (0.0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("hangs", "no answer within 200 ms"),
        ("fails", "INTERNAL: \\x1b[31mno\\n"),
        ("short", "gave 2 scores for 3 candidates"),
        ("nan", "gave the score nan to candidate 0, which is not within 0 and 1"),
        ("beyond", "gave the score 1.5 to candidate 0, which is not within 0 and 1"),
        ("bytes", "DATA_LOSS: gave 3 bytes, which are not float32"),
    ],
)
async def test_whatever_is_wrong_is_told_within_the_deadline(how, said):
    async with scorer(how) as other, asking(other.port) as (remote, answers):
        remote.submit(question("s0"))
        async with asyncio.timeout(5):
            answer = await answers.get()

    assert (answer.scores, answer.problem) == ((), said)


async def test_one_that_is_dead_is_absent_at_once_and_back_when_it_is_back():
    now = [0.0]
    async with scorer("good") as other:
        port = other.port
    async with asking(port, timeout=5_000, clock=lambda: now[0]) as (remote, answers):
        for generation in range(FAILURES):
            remote.submit(question("s0", generation=generation))
            assert (await answers.get()).problem.startswith("UNAVAILABLE")
        state = remote.states["s0"]
        remote.submit(question("s0"))
        alone = answers.get_nowait()
        async with scorer("good", port):
            async with asyncio.timeout(20):
                while remote.states["s0"] != "closed":
                    now[0] += 2 * FIRST_PAUSE_S
                    remote.submit(question("s0"))
                    back = await answers.get()

    assert state == "open"
    assert alone.problem == "failed too often and is left alone for a while"
    assert back.scores == (0.0, 0.5, 1.0)


async def test_one_that_hangs_holds_up_no_other():
    async with (
        scorer("hangs") as first,
        scorer("good") as second,
        asking(first.port, second.port, timeout=5_000) as (remote, answers),
    ):
        remote.submit(question("s0", "s1"))
        async with asyncio.timeout(4):
            answer = await answers.get()

    assert (answer.scorer, answer.problem) == ("s1", "")


async def test_only_so_many_questions_wait_for_one_scorer():
    async with scorer("hangs") as other, asking(other.port, timeout=5_000) as (remote, answers):
        for number in range(MAX_CALLS + 1):
            remote.submit(question("s0", pod=f"p{number}"))
        answer = answers.get_nowait()

        assert answer.problem == f"{MAX_CALLS} questions are waiting for it already"
        assert answer.pod == f"uid-p{MAX_CALLS}"
        assert answers.empty()


def remote(**section):
    given = {"name": "thermal", "address": "127.0.0.1:9000", "weight": 1, **section}
    return parse(f"{HEAD}remoteScorers: [{given}]", "a test", {})


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"weight": 0}, r"remoteScorers\.0\.weight = 0: .*greater than 0"),
        ({"weight": -1}, r"remoteScorers\.0\.weight = -1"),
        ({"address": "thermal"}, r"remoteScorers\.0\.address = 'thermal'"),
        ({"address": "10.0.0.1:9000"}, r"remoteScorers\.0: tls\.caFile is not set, and '10\.0\.0\.1:9000'"),
        ({"timeoutMilliseconds": 0}, r"remoteScorers\.0\.timeoutMilliseconds = 0"),
        ({"timeoutMilliseconds": 60_000}, r"remoteScorers\.0\.timeoutMilliseconds = 60000"),
        ({"name": "A b"}, r"remoteScorers\.0\.name = 'A b'"),
        ({"tls": {"certFile": "x"}}, r"remoteScorers\.0\.tls: certFile and keyFile belong together"),
        ({"tls": {"serverName": "x"}}, r"remoteScorers\.0\.tls: caFile is not set"),
        ({"unknown": 1}, r"remoteScorers\.0\.unknown: is not a known key"),
    ],
)
def test_a_section_that_cannot_be_used_is_refused_by_its_place(section, said):
    with pytest.raises(ConfigError, match=said):
        remote(**section)


def test_names_tell_them_apart():
    each = "{name: a, address: 'localhost:1', weight: 1}"
    with pytest.raises(ConfigError, match="remoteScorers: a is the name of more than one"):
        parse(f"{HEAD}remoteScorers: [{each}, {each}]", "a test", {})


def test_the_engine_is_told_name_weight_and_patience():
    [scorer] = remote(weight=40, timeoutMilliseconds=20).engine().remote

    assert (scorer.name, scorer.weight, scorer.timeout_s) == ("thermal", 40.0, 0.02)


def test_a_file_that_is_not_there_is_named():
    tls = RemoteTls(caFile="/nowhere/ca.crt")
    settings = RemoteScorerSettings(name="a", address="far.example:1", weight=1.0, tls=tls)
    with pytest.raises(ConfigError, match=r"remoteScorers a: tls\.caFile /nowhere/ca\.crt: cannot be read"):
        RemoteScorers([settings], print)
