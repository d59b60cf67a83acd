"""The body of a watch: what comes is read at once, or gathered."""

import asyncio
import ssl

import pytest
import trustme
from aiohttp import web

from scheduler.cluster.client import Address, Client

LINES = 40
LAST = b"%d\n" % (LINES - 1)
ALL = b"".join(b"%d\n" % number for number in range(LINES))


class Source:
    """A server of one body: the first line at once, the others one by one once `more` is set; it ends once `end` is."""

    def __init__(self):
        self.more = asyncio.Event()
        self.sent = asyncio.Event()
        self.end = asyncio.Event()

    async def serve(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"0\n")
        await self.more.wait()
        for number in range(1, LINES):
            await response.write(b"%d\n" % number)
            await asyncio.sleep(0)
        self.sent.set()
        await self.end.wait()
        return response


@pytest.fixture(params=["http", "https"])
async def watched(request):
    """A Source, and a Client of it."""
    source = Source()
    application = web.Application()
    application.router.add_get("/watch", source.serve)
    runner = web.AppRunner(application, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    serving = trusting = None
    if request.param == "https":
        authority = trustme.CA()
        serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(serving)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=serving).start()
    client = Client(Address(f"{request.param}://127.0.0.1:{runner.addresses[0][1]}", trusting, None, None, None))
    yield source, client
    await client.close()
    await runner.cleanup()


async def to_the_last(stream):
    """What comes up to the last line, and in how many pieces."""
    found, pieces = b"", 0
    while not found.endswith(LAST):
        found += await stream.read()
        pieces += 1
    return found, pieces


async def test_what_is_gathered_waits_and_is_read_whole_and_in_order(watched):
    source, client = watched
    async with asyncio.timeout(60), client.stream("/watch") as stream:
        first = await stream.read()
        source.more.set()
        gathering = asyncio.create_task(stream.gather(1.0))
        reading = asyncio.create_task(to_the_last(stream))
        await source.sent.wait()
        await asyncio.sleep(0.1)  # what is read at once would have come by now
        early = reading.done() and not gathering.done()
        await gathering
        rest, pieces = await reading

        assert not early
        assert first + rest == ALL
        assert pieces == 1


async def test_a_body_that_ended_meanwhile_is_read_to_its_end(watched):
    source, client = watched
    async with asyncio.timeout(60), client.stream("/watch") as stream:
        await stream.read()
        source.more.set()
        source.end.set()
        await stream.gather(0.2)
        found = b""
        while piece := await stream.read():
            found += piece
        await stream.gather(0.2)  # nothing is left to hold back

        assert found == ALL.removeprefix(b"0\n")


async def test_gathering_that_is_given_up_lets_the_rest_through(watched):
    source, client = watched
    async with asyncio.timeout(60), client.stream("/watch") as stream:
        await stream.read()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await stream.gather(3600)
        source.more.set()
        rest, _ = await to_the_last(stream)

        assert rest == ALL.removeprefix(b"0\n")
