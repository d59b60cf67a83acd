"""What is served over HTTP, to whom, and how much of it."""

import asyncio
import ssl

import aiohttp
import pytest
import trustme
from aiohttp import web

from scheduler.core.errors import ConfigError
from scheduler.service import door, http
from scheduler.service.access import ALLOWED, FORBIDDEN, UNDECIDED, UNKNOWN
from scheduler.service.http import Check, Listener
from scheduler.service.settings import HttpSettings, TlsConfig, is_loopback, load


class Doorman:
    def __init__(self):
        self.verdict = UNKNOWN
        self.asked = []

    async def judge(self, authorization, path):
        self.asked.append((authorization, path))
        return self.verdict


class Served:
    def __init__(self, port):
        self.port = port
        self.problems = {"loop": "", "cluster": "", "watch Pod": ""}
        self.doorman = Doorman()
        self.gate = asyncio.Event()
        self.gate.set()

    async def page(self, request):
        await self.gate.wait()
        return web.Response(text="inside")

    def listener(self, host="127.0.0.1", tls=None):
        settings = HttpSettings(host=host, port=self.port, tls=tls or TlsConfig())
        checks = [Check(name, lambda name=name: self.problems[name]) for name in self.problems]
        return Listener(
            settings, lambda: checks[:1], lambda: checks[1:], lambda: "deciding", {"/metrics": self.page}, self.doorman
        )

    async def get(self, path, method="GET", **options):
        url = f"http://127.0.0.1:{self.port}{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url, **options) as response:
            return response.status, await response.text()


@pytest.fixture
async def serve(unused_tcp_port):
    tasks = []

    async def serve(guarded=False):
        served = Served(unused_tcp_port)
        listener = served.listener()
        if guarded:  # as beyond loopback, where no test may listen
            listener._access = served.doorman
        await listener.open()
        tasks.append(asyncio.ensure_future(listener.hold()))
        return served

    yield serve
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_health_is_for_everybody(serve):
    served = await serve(guarded=True)

    assert await served.get("/healthz") == (200, "ok\n")
    assert await served.get("/readyz") == (200, "deciding\n")
    assert served.doorman.asked == []


async def test_the_first_problem_is_told_and_verbose_names_every_check(serve):
    served = await serve()
    served.problems["watch Pod"] = "nothing heard of Pod for 130 s"

    assert await served.get("/readyz") == (503, "nothing heard of Pod for 130 s\n")
    assert await served.get("/readyz?verbose") == (
        503,
        "[+]cluster ok\n[-]watch Pod failed: nothing heard of Pod for 130 s\nnothing heard of Pod for 130 s\n",
    )
    assert await served.get("/healthz?verbose") == (200, "[+]loop ok\nok\n")


async def test_a_loop_that_does_not_turn_is_not_alive(serve):
    served = await serve()
    served.problems["loop"] = "events have waited for 61 s"

    assert (await served.get("/healthz"))[0] == 503


@pytest.mark.parametrize(("verdict", "status"), [(UNKNOWN, 401), (FORBIDDEN, 403), (UNDECIDED, 503)])
async def test_pages_are_closed_to_whoever_may_not_read_them(serve, verdict, status):
    served = await serve(guarded=True)
    served.doorman.verdict = verdict

    assert await served.get("/metrics") == (status, f"{verdict.words}\n")


async def test_pages_are_open_to_whoever_may(serve):
    served = await serve(guarded=True)
    served.doorman.verdict = ALLOWED

    assert await served.get("/metrics", headers={"Authorization": "Bearer t"}) == (200, "inside")
    assert served.doorman.asked == [("Bearer t", "/metrics")]


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
        ("::", False), ("10.1.2.3", False), ("localhost.example.com", False), ("127.0.0.1.example.com", False),
    ],
)  # fmt: skip
def test_only_loopback_goes_without_a_token(host, alone):
    assert is_loopback(host) == alone
    assert (Served(1).listener(host)._access is None) == alone


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/metrics", 405), ("GET", "/other", 404)])
async def test_what_is_not_served_is_refused(serve, method, path, status):
    served = await serve()

    assert (await served.get(path, method, data=b"x" * 100_000 if method == "POST" else None))[0] == status


async def test_a_page_that_takes_too_long_is_given_up(serve, monkeypatch):
    monkeypatch.setattr(http, "_REQUEST_S", 0.05)
    served = await serve()
    served.gate.clear()

    assert (await served.get("/metrics"))[0] == 503


async def test_headers_are_bounded(serve):
    served = await serve()
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n")
    await writer.drain()
    writer.close()

    status, _ = await served.get("/healthz")
    assert status == 200


async def raw(port, sent=b""):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    return reader, writer


async def test_connections_are_bounded_in_number(serve, monkeypatch):
    monkeypatch.setattr(door, "CONNECTIONS", 2)
    served = await serve()
    held = [await raw(served.port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(2)]
    for reader, _ in held:
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")

    reader, writer = await raw(served.port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        refused = await reader.read() == b""
    except ConnectionResetError:
        refused = True

    assert refused
    for _, each in [*held, (reader, writer)]:
        each.close()


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_connections_are_bounded_in_time(serve, monkeypatch, sent):
    monkeypatch.setattr(door, "LASTS_S", 0.05)
    monkeypatch.setattr(door, "GRACE_S", 0.05)
    served = await serve()
    reader, writer = await raw(served.port, sent)

    async with asyncio.timeout(30):
        await reader.read()  # until the other side ends it
    writer.close()


async def test_a_port_that_is_taken_is_named(serve):
    served = await serve()

    with pytest.raises(ConfigError, match=f"http 127.0.0.1:{served.port}: cannot be served on"):
        await served.listener().open()


@pytest.fixture
async def encrypted(unused_tcp_port, tmp_path):
    """Served with TLS: the port, and what trusts it."""
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    leaf.private_key_pem.write_to_path(tmp_path / "tls.key")
    tls = {"certFile": str(tmp_path / "tls.crt"), "keyFile": str(tmp_path / "tls.key")}
    listener = Served(unused_tcp_port).listener(tls=TlsConfig(**tls))
    await listener.open()
    holding = asyncio.ensure_future(listener.hold())
    context = ssl.create_default_context()
    authority.configure_trust(context)
    yield unused_tcp_port, context
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)


async def test_with_a_certificate_it_is_served_encrypted(encrypted):
    port, context = encrypted
    async with aiohttp.ClientSession() as session:
        async with session.get(f"https://localhost:{port}/healthz", ssl=context) as response:
            assert (response.status, await response.text()) == (200, "ok\n")
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://localhost:{port}/healthz")


async def test_handshakes_that_begin_at_once_all_succeed(encrypted):
    port, context = encrypted

    async def asked():
        url = f"https://localhost:{port}/healthz"
        async with aiohttp.ClientSession() as session, session.get(url, ssl=context) as response:
            return response.status

    async with asyncio.timeout(30):
        assert set(await asyncio.gather(*[asked() for _ in range(40)])) == {200}


async def test_handshakes_under_way_are_bounded_in_number(encrypted, monkeypatch):
    monkeypatch.setattr(door, "CONNECTIONS", 2)
    port, _ = encrypted
    silent = [await raw(port) for _ in range(2)]

    async with asyncio.timeout(5):  # long before a handshake is given up
        reader, writer = await raw(port)
        try:
            refused = await reader.read() == b""
        except ConnectionResetError:
            refused = True

    assert refused
    for _, each in [*silent, (reader, writer)]:
        each.close()
        await each.wait_closed()


async def test_handshakes_that_fail_and_connections_that_end_make_room_at_once(encrypted, monkeypatch):
    monkeypatch.setattr(door, "CONNECTIONS", 2)
    port, context = encrypted
    for number in range(10):
        reader, writer = await raw(port, b"no handshake at all\n" if number % 2 else b"")
        if number % 2:
            await reader.read()  # until the other side ends it
        writer.close()
        await writer.wait_closed()
        url = f"https://localhost:{port}/healthz"
        async with aiohttp.ClientSession() as session, session.get(url, ssl=context) as response:
            assert response.status == 200


async def test_a_request_that_comes_with_the_end_of_the_handshake_is_answered(encrypted):
    port, context = encrypted
    reader, writer = await raw(port)
    got, given = ssl.MemoryBIO(), ssl.MemoryBIO()
    spoken = context.wrap_bio(got, given, server_hostname="localhost")

    async def answered(step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                writer.write(given.read())
                got.write(await reader.read(65_536))

    await answered(spoken.do_handshake)
    spoken.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(5):
        line = await answered(lambda: spoken.read(15))

    assert line == b"HTTP/1.1 200 OK"
    writer.close()
    await writer.wait_closed()


def test_clients_are_not_asked_for_certificates(tmp_path):
    with pytest.raises(ConfigError, match=r"http.*clientCAFile is set, and the kubelet"):
        load(None, {"DOVETAIL_HTTP__TLS": '{"certFile": "a", "keyFile": "b", "clientCAFile": "c"}'})
