"""A proxy in front of the API server that can hold requests, so that a test can crash a client at a chosen point."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit

from e2e.api import Access

_CHUNK = 65536
_TURNS_S = 0.05


class Proxy:
    """Plain HTTP on loopback in, the API server out: one upstream connection for each that a client opens.

    holds : told method and path of every request; what it says True to is read, kept in `held`, and never sent.
    says : told the same; what it answers is the whole answer, and the request is not sent.
    All of it runs in one event loop on a thread of its own, while the context is open.
    """

    def __init__(
        self,
        access: Access,
        holds: Callable[[str, str], bool] = lambda method, path: False,
        says: Callable[[str, str], bytes] = lambda method, path: b"",
    ) -> None:
        self.held: list[tuple[str, str, bytes]] = []
        self.server = ""
        self._access = access
        self._holds = holds
        self._says = says
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        assert self._listening.wait(10), "the proxy does not listen"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the proxy does not end"

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        serving: set[asyncio.Task[None]] = set()
        accepted: list[asyncio.StreamWriter] = []

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.append(writer)
            task = asyncio.create_task(self._serve(reader, writer))
            serving.add(task)
            task.add_done_callback(serving.discard)

        listener = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.server = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        self._listening.set()
        await self._closing.wait()
        # Closing a listener that is accepting loses the connection, open: stop accepting first, and let it arrive.
        self._loop.remove_reader(listener.sockets[0].fileno())
        await asyncio.sleep(_TURNS_S)
        listener.close()
        while serving:
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
        for writer in accepted:  # a task that was cancelled before it began closed nothing
            writer.transport.abort()
        await asyncio.sleep(_TURNS_S)  # what was aborted closes in turns of the loop

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        parts = urlsplit(self._access.server)
        name = parts.hostname if self._access.tls is not None else None
        back, upstream = await asyncio.open_connection(
            parts.hostname, parts.port or 443, ssl=self._access.tls, server_hostname=name
        )
        ends = [
            asyncio.create_task(self._forward(client, upstream, answers)),
            asyncio.create_task(self._pump(back, answers)),
        ]
        try:
            # Whoever ends a connection ends both.
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Nothing is awaited here: this may be the end of a cancelled task, and be cancelled once more.
            for task in ends:
                task.cancel()
            for writer in (upstream, answers):
                writer.transport.abort()

    async def _forward(
        self, client: asyncio.StreamReader, upstream: asyncio.StreamWriter, answers: asyncio.StreamWriter
    ) -> None:
        """Request by request, until the client goes away. Clients here give Content-Length."""
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await client.readuntil(b"\r\n\r\n")
                first, *headers = head.decode("latin-1").split("\r\n")
                method, path, _ = first.split(" ", 2)
                length = 0
                for header in headers:
                    key, _, value = header.partition(":")
                    assert key.lower() != "transfer-encoding", first
                    if key.lower() == "content-length":
                        length = int(value)
                data = head + await client.readexactly(length)
                if self._holds(method, path):
                    self.held.append((method, path, data))
                    await client.read()  # nothing more, until the client goes away
                    return
                if said := self._says(method, path):
                    answers.write(said)
                    await answers.drain()
                    continue
                upstream.write(data)
                await upstream.drain()

    @staticmethod
    async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(_CHUNK):
                target.write(data)
                await target.drain()
