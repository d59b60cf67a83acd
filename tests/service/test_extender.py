"""The HTTP extender: what kube-scheduler gets, who is kept out, and what comes of every kind of bad request."""

import asyncio
import json
import logging
import ssl
from pathlib import Path

import aiohttp
import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from yarl import URL

from scheduler.core.errors import ConfigError
from scheduler.service import extender as extending
from scheduler.service.extender import PREFIX
from scheduler.service.settings import TlsConfig, load
from tests.build import DRIVER, claim, gpus, node
from tests.service.extender_client import Server, cluster, node_json, pod_json

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
FLEET = [
    *(node(name, owned=False) for name in ("n1", "n2", "n3")), gpus("n1", 1), gpus("n2", 2), gpus("n3", 4),
    claim("c", count=2),
]  # fmt: skip
SHORT = {"n1": "has too few devices for request r of claim c, which asks for 2"}


@pytest.fixture
async def serve(unused_tcp_port_factory):
    running = []

    async def serve(*objects, **settings):
        server = Server(cluster(*(objects or FLEET)), unused_tcp_port_factory(), **settings)
        await server.extender.open()
        running.append(server.extender)
        return server

    yield serve
    for each in running:
        await each.close()


@pytest.fixture
async def server(serve):
    return await serve()


async def begun(server):
    """Wait until the engine was asked."""
    async with asyncio.timeout(5):
        while not server.calls:
            await asyncio.sleep(0)


# ---------------------------------------------------------------- the protocol


async def test_filter_answers_in_go_s_spelling(server):
    assert await server.ask("filter", "n3", "n1", "n2") == {
        "Nodes": None,
        "NodeNames": ["n3", "n2"],
        "FailedNodes": {},
        "FailedAndUnresolvableNodes": SHORT,
        "Error": "",
    }


async def test_prioritize_answers_with_whole_numbers_for_every_node(server):
    found = await server.ask("prioritize", "n3", "n1", "n2")

    assert [each["Host"] for each in found] == ["n3", "n1", "n2"]
    assert {type(each["Score"]) for each in found} == {int}
    assert sorted(each["Score"] for each in found)[-1] == 10
    assert found[1]["Score"] == 0


async def test_nodes_that_were_sent_whole_come_back_as_they_were(server):
    nodes = [node_json(name) for name in ("n1", "n2", "n3")]
    status, found = await server.post("filter", {"Pod": pod_json(), "Nodes": {"metadata": {}, "items": nodes}})

    assert status == 200
    assert found["Nodes"] == {"items": nodes[1:]}
    assert found["NodeNames"] is None
    assert found["FailedAndUnresolvableNodes"] == SHORT


async def test_nodes_that_were_sent_whole_are_scored_by_name(server):
    nodes = {"items": [node_json("n1"), node_json("n3")]}

    _, found = await server.post("prioritize", {"Pod": pod_json(), "Nodes": nodes, "NodeNames": None})

    assert found == [{"Host": "n1", "Score": 0}, {"Host": "n3", "Score": 10}]


async def test_no_nodes_are_no_mistake(server):
    assert (await server.ask("filter"))["NodeNames"] == []
    assert await server.ask("prioritize") == []


async def test_a_pod_without_claims_may_go_anywhere(server):
    assert (await server.ask("filter", "n1", "unheard-of", claims=()))["NodeNames"] == ["n1", "unheard-of"]
    assert {each["Score"] for each in await server.ask("prioritize", "n1", "n2", claims=())} == {0}


async def test_several_ask_at_once(server):
    found = await asyncio.gather(*[server.ask("filter", "n1", "n2") for _ in range(10)])

    assert [each["NodeNames"] for each in found] == [["n2"]] * 10


# ---------------------------------------------------------------- what keeps us from an answer


async def test_caches_that_are_not_up_to_date_answer_nothing(server):
    server.unready = "nothing heard of Node for 130 s"
    body = {"Pod": pod_json(), "NodeNames": ["n1"]}

    filtered, scored = await server.post("filter", body), await server.post("prioritize", body)

    words = "Dovetail has no up-to-date view of the cluster: nothing heard of Node for 130 s"
    assert (filtered[0], filtered[1]["Error"], filtered[1]["NodeNames"]) == (200, words, None)
    assert (scored[0], scored[1]["Error"]) == (503, words)
    assert server.calls == 0


async def test_a_claim_that_is_not_seen_in_time_is_named(server, monkeypatch):
    monkeypatch.setattr(extending, "_PATIENCE_S", 0.02)

    found = await server.ask("filter", "n1", claims=("late",))

    assert found["Error"] == "pod default/p, entry late: ResourceClaim default/late does not exist; create it"
    assert found["NodeNames"] is None


async def test_a_claim_that_comes_a_moment_later_is_waited_for(server, monkeypatch):
    monkeypatch.setattr(extending, "_PATIENCE_S", 30.0)
    asked = asyncio.ensure_future(server.ask("filter", "n1", "n2", claims=("late",)))
    await begun(server)

    server.see(claim("other"))
    server.see(claim("late", count=2))

    assert (await asked)["NodeNames"] == ["n2"]


COSTLY = " || ".join([f"device.attributes['{DRIVER}'].index == {index}" for index in range(40)])


async def test_selectors_that_are_evaluated_elsewhere_are_waited_for(serve):
    server = await serve(*FLEET[:-1], claim("c", count=2, selectors=[COSTLY]))

    assert (await server.ask("filter", "n1", "n2"))["NodeNames"] == ["n2"]


async def test_what_is_never_found_out_ends_with_the_deadline(serve, monkeypatch):
    monkeypatch.setattr(extending, "_DEADLINE_S", 0.05)
    server = await serve(*FLEET[:-1], claim("c", count=2, selectors=[COSTLY]))
    server.answers = False

    found = await server.ask("filter", "n1", "n2")

    assert found["Error"] == "pod default/p: this takes more than 0.05 s; try again"


async def test_others_have_their_turn_while_much_is_found_out(serve, monkeypatch):
    monkeypatch.setattr(extending, "_DEADLINE_S", 60.0)
    fleet = [each for index in range(300) for each in (node(f"m{index}", owned=False), gpus(f"m{index}", 8))]
    server = await serve(*fleet, claim("c", count=2))
    asked = asyncio.ensure_future(server.ask("filter", "m0"))
    await begun(server)
    turns = 0
    while not asked.done():
        await asyncio.sleep(0)
        turns += 1

    assert (await asked)["NodeNames"] == ["m0"]
    assert server.calls > 10
    assert turns >= server.calls - 1


async def test_what_changed_is_looked_at_before_anybody_asks(server):
    holding = asyncio.ensure_future(server.extender.hold())
    await asyncio.sleep(0)

    server.see(gpus("n1", 2))
    server.see(gpus("n2", 1))
    async with asyncio.timeout(5):
        while server.hands.engine.state._dirty:
            await asyncio.sleep(0)
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)

    assert server.calls == 0


@pytest.mark.interpreted
async def test_a_mistake_of_our_own_beside_the_questions_ends_the_listener(server, monkeypatch):
    monkeypatch.setattr(server.hands.engine, "catch_up", None)
    holding = asyncio.ensure_future(server.extender.hold())
    await asyncio.sleep(0)

    server.see(gpus("n1", 2))

    async with asyncio.timeout(5):
        with pytest.raises(ExceptionGroup):
            await holding


# ---------------------------------------------------------------- bad requests


GOOD = {"Pod": pod_json(), "NodeNames": ["n1"]}
BAD = {
    b"": "request: is not ExtenderArgs in JSON",
    b"x": "is not ExtenderArgs in JSON",
    b"null": "is not ExtenderArgs in JSON",
    b"[]": "is not ExtenderArgs in JSON",
    b'"a"': "is not ExtenderArgs in JSON",
    b"{}": "request.Pod: is missing",
    b"[" * 200_000: "request: is",
    b'{"Pod":' * 100_000: "request: is",
    b'{"Pod":{},"NodeNames":' + b"[" * 100_000: "request: is",
    b"\xff\xfe{}": "is not ExtenderArgs in JSON",
    json.dumps(GOOD).encode()[:-1]: "is not ExtenderArgs in JSON",
    json.dumps({"Pod": None, "NodeNames": []}).encode(): "request.Pod: is missing; send a whole v1.Pod",
    json.dumps({"Pod": [], "NodeNames": []}).encode(): "Pod (without a name): object: expected `object`, got `array`",
    json.dumps({"Pod": {}, "NodeNames": []}).encode(): "Pod (without a name): metadata.name: is missing",
    json.dumps({"Pod": {"metadata": {"name": "p"}}, "NodeNames": []}).encode(): "Pod p: metadata.namespace: is missing",
    json.dumps(GOOD | {"NodeNames": None}).encode(): "request.Nodes and .NodeNames: both are missing; send one of them",
    json.dumps(GOOD | {"Nodes": {}}).encode(): "request.Nodes and .NodeNames: both are given",
    json.dumps(GOOD | {"NodeNames": "n1"}).encode(): "Expected `array | null`, got `str` - at `$.NodeNames`",
    json.dumps(GOOD | {"NodeNames": [1]}).encode(): "Expected `str`, got `int` - at `$.NodeNames[0]`",
    json.dumps(GOOD | {"NodeNames": [None]}).encode(): "Expected `str`, got `null`",
    json.dumps(GOOD | {"NodeNames": ["n1", "n2", "n1"]}).encode(): "request: names node 'n1' twice",
    json.dumps(GOOD | {"NodeNames": [""]}).encode(): "request: has a node name of 0 characters",
    json.dumps(GOOD | {"NodeNames": ["x" * 300]}).encode(): "request: has a node name of 300 characters",
    json.dumps(GOOD | {"NodeNames": [str(i) for i in range(100_001)]}).encode(): "request: is about 100001 nodes",
    json.dumps({"Pod": pod_json(), "Nodes": []}).encode(): "Expected `object | null`, got `array` - at `$.Nodes`",
    json.dumps({"Pod": pod_json(), "Nodes": {"items": [1]}}).encode(): "request.Nodes.items[0]: is not a node",
    json.dumps({"Pod": pod_json(), "Nodes": {"items": [{}]}}).encode(): "request.Nodes.items[0]: is not a node",
    json.dumps({"Pod": pod_json(), "Nodes": {"items": [{"metadata": {}}]}}).encode(): "a node name of 0 characters",
    json.dumps({"Pod": pod_json() | {"spec": {"priority": "1"}}, "NodeNames": []}).encode(): "Pod default/p: spec.prio",
    b'{"Pod": {"metadata": {"name": "p", "namespace": "d", "uid": "u"}, "spec": {"priority": NaN}}, "NodeNames": []}': (
        "is not ExtenderArgs in JSON"
    ),
    json.dumps({"Pod": pod_json() | {"spec": {"containers": 7}}, "NodeNames": []}).encode(): "spec.containers",
}


@pytest.mark.parametrize("verb", ["filter", "prioritize"])
@pytest.mark.parametrize(("body", "expected"), BAD.items(), ids=[f"{i}-{text}" for i, text in enumerate(BAD.values())])
async def test_a_bad_body_is_one_clear_mistake(server, body, expected, verb, caplog):
    status, found = await server.post(verb, body)

    assert status == 400
    assert expected in found["Error"]
    assert "Traceback" not in caplog.text
    assert (await server.ask("filter", "n2"))["NodeNames"] == ["n2"]


async def test_numbers_beyond_all_bounds_are_only_numbers(server):
    huge = 10**4000
    pod = pod_json() | {"metadata": {**pod_json()["metadata"], "generation": huge}}
    pod["spec"]["priority"] = huge

    status, found = await server.post("filter", {"Pod": pod, "NodeNames": ["n2"]})

    assert (status, found["NodeNames"]) == (200, ["n2"])


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NESTED = st.lists(PLAIN, max_size=3) | st.dictionaries(st.text(max_size=6), PLAIN, max_size=3)
JSON = PLAIN | NESTED | st.lists(NESTED, max_size=3) | st.dictionaries(st.text(max_size=6), NESTED, max_size=3)
FIELDS = st.sampled_from(
    [
        ("Pod",), ("NodeNames",), ("Nodes",), ("Pod", "metadata"), ("Pod", "spec"), ("Pod", "status"),
        ("Pod", "metadata", "uid"), ("Pod", "metadata", "annotations"), ("Pod", "metadata", "labels"),
        ("Pod", "spec", "resourceClaims"), ("Pod", "spec", "containers"), ("Pod", "spec", "tolerations"),
        ("Pod", "spec", "affinity"), ("Pod", "spec", "priority"), ("Pod", "status", "resourceClaimStatuses"),
    ]
)  # fmt: skip


@given(place=FIELDS, value=JSON, verb=st.sampled_from(["filter", "prioritize"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_anywhere_is_answered(place, value, verb, unused_tcp_port):
    async def ask():
        server = Server(cluster(*FLEET), unused_tcp_port)
        await server.extender.open()
        try:
            body = json.loads(json.dumps(GOOD))
            target = body
            for step in place[:-1]:
                target = target[step]
            target[place[-1]] = value
            async with asyncio.timeout(5):
                return await server.post(verb, body)
        finally:
            await server.extender.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extending, "_PATIENCE_S", 0.001)
        status, found = asyncio.run(ask())

    assert status in {200, 400, 503}
    assert status == 200 or found["Error"]


@pytest.mark.parametrize(
    ("verb", "options", "status", "expected"),
    [
        ("filter", {"method": "GET"}, 405, "Method Not Allowed"),
        ("bind", {}, 404, "Not Found"),
        ("preempt", {}, 404, "Not Found"),
        ("", {}, 404, "Not Found"),
        ("filter", {"headers": {"Content-Type": "text/plain"}}, 415, "send application/json"),
        ("filter", {"headers": {"Content-Encoding": "gzip"}}, 415, "send it without Content-Encoding"),
    ],
)
async def test_other_requests_are_refused_as_http_has_it(server, verb, options, status, expected):
    assert await server.post(verb, GOOD, **options) == (status, json.loads(extending.wire.filter_error(expected)))


async def test_a_body_that_is_too_large_is_told_what_helps(serve):
    server = await serve(maxBodyMegabytes=1)
    names = [f"node-{index:0200d}" for index in range(6000)]

    status, found = await server.post("filter", GOOD | {"NodeNames": names})

    assert status == 413
    assert "set nodeCacheCapable" in found["Error"]
    assert "extender.http.maxBodyMegabytes" in found["Error"]


async def test_a_body_that_does_not_come_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(extending, "_READ_S", 0.05)

    async def never():
        yield b'{"Pod":'
        await asyncio.Event().wait()

    async with aiohttp.ClientSession() as session:
        sent = session.post(f"{server.url}/filter", data=never(), headers={"Content-Type": "application/json"})
        async with asyncio.timeout(5), sent as reply:
            assert reply.status == 408
            assert "did not come within" in (await reply.json())["Error"]


async def test_more_requests_than_can_be_under_way_are_sent_off(server, monkeypatch):
    monkeypatch.setattr(extending, "_AT_ONCE", 1)
    monkeypatch.setattr(extending, "_PATIENCE_S", 30.0)
    first = asyncio.ensure_future(server.ask("filter", "n2", claims=("late",)))
    await begun(server)

    status, found = await server.post("filter", GOOD)
    server.see(claim("late"))

    assert (status, found["Error"]) == (503, "1 requests are under way already")
    assert (await first)["NodeNames"] == ["n2"]


@pytest.mark.interpreted
async def test_a_mistake_of_our_own_tells_nothing_but_that(server, monkeypatch, caplog):
    def fail(*_):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(server.hands.engine, "advise", fail)

    status, found = await server.post("filter", GOOD)

    assert (status, found["Error"]) == (500, "an error of Dovetail's own, which its log tells of")
    assert "ZeroDivisionError" in caplog.text


async def test_what_pods_hold_is_never_logged(serve, caplog):
    caplog.set_level(logging.DEBUG)
    server = await serve()

    await server.ask("filter", "n1")
    await server.post("filter", {"Pod": pod_json() | {"status": 3}, "NodeNames": []})

    assert caplog.records
    assert "s3cret-canary" not in caplog.text


async def test_hostile_names_reach_neither_log_nor_answer_raw(server, caplog):
    _, found = await server.post("filter", GOOD | {"NodeNames": ["a\x1b[31m\n", "a\x1b[31m\n"]})
    _, other = await server.post("filter", {"Pod": pod_json("p\x1b[2J\u202e", claims=("x",)), "NodeNames": []})

    shown = found["Error"] + other["Error"] + caplog.text
    assert not any(bad in shown for bad in ("\x1b", "\u202e"))


async def test_the_same_mistake_is_logged_once(server, caplog):
    for _ in range(5):
        await server.post("filter", b"x")

    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


@pytest.mark.interpreted
async def test_every_request_is_counted_by_how_it_ended(server, monkeypatch):
    told = []
    server.extender.answered = lambda verb, result, seconds: told.append((verb, result, seconds))

    await server.post("filter", GOOD)
    await server.post("prioritize", b"x")
    await server.post("bind", GOOD)
    server.unready = "old"
    await server.post("filter", GOOD)
    await server.post("prioritize", GOOD)
    server.unready = ""
    monkeypatch.setattr(server.hands.engine, "advise", None)
    await server.post("filter", GOOD)

    assert [each[:2] for each in told] == [
        ("filter", "answered"), ("prioritize", "refused"), ("other", "refused"), ("filter", "unavailable"),
        ("prioritize", "unavailable"), ("filter", "failed"),
    ]  # fmt: skip
    assert all(seconds >= 0 for _, _, seconds in told)


# ---------------------------------------------------------------- who may ask


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def tls(authority, tmp_path):
    leaf = authority.issue_cert("localhost")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    leaf.private_key_pem.write_to_path(tmp_path / "tls.key")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    files = {"certFile": "tls.crt", "keyFile": "tls.key", "clientCAFile": "ca.crt"}
    return TlsConfig(**{key: str(tmp_path / name) for key, name in files.items()}, clientNames=["kube-scheduler"])


async def asked(server, authority, leaf):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    if leaf is not None:
        leaf.configure_cert(context)
    url = server.url.replace("http://127.0.0.1", "https://localhost") + "/filter"
    async with aiohttp.ClientSession() as session, session.post(url, json=GOOD, ssl=context) as reply:
        return reply.status, (await reply.json())["Error"]


@pytest.mark.parametrize("names", [("kube-scheduler",), ("other", "kube-scheduler")])
async def test_a_client_with_one_of_the_names_is_answered(serve, tls, authority, names):
    server = await serve(tls=tls)

    assert await asked(server, authority, authority.issue_cert(*names)) == (200, "")
    assert await asked(server, authority, authority.issue_cert(common_name="kube-scheduler")) == (200, "")


async def test_a_client_of_another_name_is_not(serve, tls, authority):
    server = await serve(tls=tls)

    status, words = await asked(server, authority, authority.issue_cert("kube-proxy"))

    assert status == 403
    assert "the client certificate names ['kube-proxy'], and none of clientNames" in words
    assert server.calls == 0


@pytest.mark.parametrize("leaf", [None, trustme.CA().issue_cert("kube-scheduler")], ids=["none", "of others"])
async def test_a_client_without_a_certificate_of_ours_reaches_nothing(serve, tls, authority, leaf):
    server = await serve(tls=tls)

    with pytest.raises(aiohttp.ClientError):
        await asked(server, authority, leaf)
    assert server.calls == 0


async def test_a_port_that_is_taken_is_named(serve, server):
    port = int(server.url.split(":")[2].split("/")[0])

    with pytest.raises(ConfigError, match=rf"extender.http 127.0.0.1:{port}: cannot be served on .*extender.http.port"):
        await Server(cluster(), port).extender.open()


# ---------------------------------------------------------------- the configuration that is shipped


def shipped(path):
    return YAML(typ="safe", pure=True).load((MANIFESTS / path).read_text())


def test_the_shipped_configuration_asks_what_is_answered_here():
    (extender,) = shipped("extender/kube-scheduler-config.yaml")["extenders"]
    url, service = URL(extender["urlPrefix"]), shipped("components/extender/service.yaml")

    assert url.host == f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    assert url.port == service["spec"]["ports"][0]["port"]
    assert url.path == PREFIX
    assert (extender["filterVerb"], extender["prioritizeVerb"]) == ("filter", "prioritize")
    assert not {"bindVerb", "preemptVerb", "managedResources"} & set(extender)
    assert extender["enableHTTPS"]
    assert extender["nodeCacheCapable"]
    assert set(extender["tlsConfig"]) == {"caFile", "serverName", "certFile", "keyFile"}
    assert extender["tlsConfig"]["serverName"] == url.host
    assert float(extender["httpTimeout"].removesuffix("s")) > extending._DEADLINE_S


def test_the_shipped_deployment_serves_to_clients_of_one_name():
    (container,) = shipped("components/extender/deployment.yaml")["spec"]["template"]["spec"]["containers"]
    stated = {each["name"]: each.get("value", "10.0.0.7") for each in container["env"]}

    found = load(None, stated).extender.http

    assert found.enabled
    assert found.tls.client_names == ["system:kube-scheduler"]
    assert found.port == container["ports"][0]["containerPort"]
    assert {found.tls.cert_file, found.tls.key_file, found.tls.client_ca_file} == {
        f"{container['volumeMounts'][0]['mountPath']}/{name}" for name in ("tls.crt", "tls.key", "ca.crt")
    }
