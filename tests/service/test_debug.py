"""Pages for whoever looks for a fault."""

import json

import aiohttp
import pytest
from aiohttp import web

from scheduler.core.messages import RecordDecision
from scheduler.service.debug import DECISIONS, WAITING, Debug
from tests import build
from tests.build import claim, node, pod
from tests.driving import Hands


@pytest.fixture
async def look(unused_tcp_port):
    runners = []

    async def look(hands, path):
        debug = Debug(lambda: hands and hands.engine, lambda: {"hash": "abc"})
        for each in hands.of(RecordDecision) if hands else ():
            debug.record(each.decision)
        application = web.Application()
        for at, page in debug.pages().items():
            application.router.add_get(at, page)
        runner = web.AppRunner(application)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
        url = f"http://127.0.0.1:{unused_tcp_port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, json.loads(await response.text())

    yield look
    for runner in runners:
        await runner.cleanup()


def cluster():
    hands = Hands(node("n1"), build.gpus("n1", 2), claim("c"), pod("p", claims=["c"])).settle()
    hands.see(claim("d", count=9), pod("q", claims=["d"]), pod("r", claims=["none"], namespace="other"))
    return hands.settle()


async def test_the_configuration_in_force_is_shown(look):
    assert await look(None, "/debug/config") == (200, {"hash": "abc"})


async def test_the_queue_tells_what_each_pod_waits_for(look):
    status, found = await look(cluster(), "/debug/queue")

    assert (status, found["waiting"], found["inFlight"]) == (200, 2, 0)
    by_pod = {each["pod"]: each for each in found["pods"]}
    assert by_pod["default/q"]["reason"] == "NoFit"
    assert "0 of 1 nodes fit" in by_pod["default/q"]["message"]
    assert by_pod["other/r"]["reason"] == "Misconfigured"


async def test_the_queue_of_a_namespace_leaves_out_the_others(look):
    _, found = await look(cluster(), "/debug/queue?namespace=other")

    assert [each["pod"] for each in found["pods"]] == ["other/r"]


async def test_a_long_queue_is_cut(look):
    hands = Hands(*(pod(f"p{i}", claims=["none"]) for i in range(WAITING + 5))).settle()

    _, found = await look(hands, "/debug/queue")

    assert (found["waiting"], len(found["pods"])) == (WAITING + 5, WAITING)


async def test_why_a_pod_is_where_it_is(look):
    status, found = await look(cluster(), "/debug/pods/default/p")

    assert status == 200
    assert found["decision"]["winner"]["node"] == "n1"
    assert "waits" not in found


async def test_why_a_pod_waits(look):
    _, found = await look(cluster(), "/debug/pods/default/q")

    assert found["waits"]["reason"] == "NoFit"
    assert "decision" not in found


async def test_of_other_pods_nothing_is_known(look):
    status, found = await look(cluster(), "/debug/pods/default/unknown")

    assert status == 404
    assert "default/unknown" in found["problem"]


async def test_without_a_cluster_there_is_no_queue(look):
    assert (await look(None, "/debug/queue"))[0] == 503


def test_so_many_decisions_are_remembered():
    debug = Debug(lambda: None, dict)

    for number in range(DECISIONS + 10):
        debug.record(build.decision(f"default/p{number}"))

    assert len(debug._decisions) == DECISIONS
    assert "default/p9" not in debug._decisions
