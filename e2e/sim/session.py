"""What the scheduler's client takes for its HTTP session: requests and watches of the simulated server.

It stands in for aiohttp, so that time limits, throttling, fences and what is made of errors are the client's own.
"""

import asyncio
from collections import deque
from typing import Any

import aiohttp

from e2e.sim.server import Answer, Peer, Server


class _Exchange:
    """A request, as an asynchronous context manager of its response."""

    def __init__(self, session: "Session", method: str, path: str, data: bytes | None, options: dict[str, Any]) -> None:
        self._session, self._method, self._path, self._data, self._options = session, method, path, data, options
        self.status = 0
        self.headers: dict[str, str] = {}
        self._body = b""

    async def __aenter__(self) -> "_Exchange":
        session = self._session
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Answer] = loop.create_future()

        def respond(answer: Answer) -> None:
            if session.peer.alive and not waiter.done():
                waiter.set_result(answer)

        headers = self._options.get("headers") or {}
        session.server.request(session.peer, self._method, self._path, self._data, headers, respond)
        async with asyncio.timeout(self._options["timeout"].total):
            answer = await waiter
        if answer.status == 0:
            raise aiohttp.ServerDisconnectedError()
        self.status, self._body, self.headers = answer.status, answer.body, answer.headers
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def read(self) -> bytes:
        return self._body


class _Content:
    """The body of a watch."""

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        self.ended = False
        self.failure: Exception | None = None
        self.waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def readany(self) -> bytes:
        while not self.chunks and not self.ended and self.failure is None:
            self.waiter = asyncio.get_running_loop().create_future()
            await self.waiter
        if self.failure is not None:
            raise self.failure
        if not self.chunks:
            return b""
        chunk = b"".join(self.chunks)
        self.chunks.clear()
        return chunk


class _Watch:
    """A watch, as an asynchronous context manager of its response."""

    connection = None  # what is not read at once waits here anyway

    def __init__(self, session: "Session", path: str) -> None:
        self._session, self._path = session, path
        self.status = 0
        self.headers: dict[str, str] = {}
        self.content = _Content()
        self._answer = Answer(0)

    async def __aenter__(self) -> "_Watch":
        session, content = self._session, self.content
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def opened(answer: Answer) -> None:
            if session.peer.alive and not waiter.done():
                waiter.set_result(answer)

        def fed(chunk: bytes | None) -> None:
            if not session.peer.alive:
                return
            if chunk is None:
                content.ended = True
            else:
                content.chunks.append(chunk)
            content.wake()

        self._stream = session.server.watch(session.peer, self._path, opened, fed)
        session.watches.append(content)
        try:
            self._answer = await waiter
        except BaseException:
            await self.__aexit__()
            raise
        if self._answer.status == 0:
            await self.__aexit__()
            raise aiohttp.ServerDisconnectedError()
        self.status, self.headers = self._answer.status, self._answer.headers
        return self

    async def __aexit__(self, *_: object) -> None:
        self._session.server.leave(self._stream)
        if self.content in self._session.watches:
            self._session.watches.remove(self.content)

    async def read(self) -> bytes:
        return self._answer.body


class Session:
    """In place of aiohttp.ClientSession. `watches` are the bodies that are being read."""

    def __init__(self, server: Server, peer: Peer) -> None:
        self.server, self.peer = server, peer
        self.watches: list[_Content] = []

    def request(self, method: str, url: Any, *, data: bytes | None = None, **options: Any) -> _Exchange:
        return _Exchange(self, method, url.raw_path_qs, data, options)

    def get(self, url: Any, **options: Any) -> _Watch:
        return _Watch(self, url.raw_path_qs)

    async def close(self) -> None:
        pass
