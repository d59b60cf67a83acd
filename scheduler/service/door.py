"""How connections come in: so many at once, each for so long, however slowly its other end sends or reads."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from scheduler.core.errors import ConfigError

CONNECTIONS: Final = 64
LASTS_S: Final = 120.0  # then a connection ends, once what it asked for is answered
GRACE_S: Final = 10.0


class Door:
    """Serves an application on one address until it is closed.

    place : the key of the configuration that says where, such as `http`. options : of aiohttp's server.
    """

    def __init__(self, place: str, host: str, port: int, application: web.Application, **options: Any) -> None:
        self._place = place
        self._host, self._port = host, port
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, **options)
        self._server: asyncio.Server | None = None
        self._tls: ssl.SSLContext | None = None
        self._greeted: set[asyncio.Task[None]] = set()  # those whose handshake is under way

    async def open(self, tls: ssl.SSLContext | None = None) -> None:
        """Begin. Raises ConfigError where the address cannot be had."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._tls = tls
        try:
            # Without `ssl`, with which asyncio tells of a connection only after its handshake, however many there are.
            self._server = await loop.create_server(lambda: _Guest(self._arrive), self._host, self._port, backlog=64)
        except OSError as error:
            await self._runner.cleanup()
            where = f"{self._place} {self._host}:{self._port}"
            problem = f"cannot be served on ({error.strerror})"
            raise ConfigError(where, problem, f"choose another {self._place}.port") from error

    async def hold(self) -> None:
        """Serve until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """End, once what is under way is answered."""
        if self._server is not None:
            self._server.close()
        for task in list(self._greeted):
            task.cancel()
        await asyncio.gather(*self._greeted, return_exceptions=True)
        await self._runner.cleanup()

    def _arrive(self, guest: "_Guest", transport: asyncio.Transport) -> None:
        server = self._runner.server
        if server is None or len(server.connections) + len(self._greeted) >= CONNECTIONS:
            transport.close()
        elif self._tls is None:
            _enter(server, guest, transport)
        else:
            transport.pause_reading()  # what comes is for the handshake
            task = asyncio.create_task(self._greet(server, guest, transport, self._tls))
            self._greeted.add(task)
            task.add_done_callback(self._greeted.discard)

    @staticmethod
    async def _greet(server: web.Server, guest: "_Guest", transport: asyncio.Transport, tls: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        try:
            inside = await loop.start_tls(transport, guest, tls, server_side=True, ssl_handshake_timeout=GRACE_S)
        except OSError:  # no handshake, or none in time; the connection is closed
            return
        if inside is not None and not inside.is_closing():
            _enter(server, guest, inside)


class _Guest(asyncio.Protocol):
    """A connection that is not let in yet. early : what it sent with the end of its handshake."""

    def __init__(self, arrive: Callable[["_Guest", asyncio.Transport], None]) -> None:
        self._arrive = arrive
        self.early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._arrive(self, transport)

    def data_received(self, data: bytes) -> None:
        self.early += data


def _enter(server: web.Server, guest: _Guest, transport: asyncio.Transport) -> None:
    made = server()
    transport.set_protocol(made)
    made.connection_made(transport)
    if guest.early:
        made.data_received(guest.early)
    asyncio.get_running_loop().call_later(LASTS_S, _expire, made)


def _expire(connection: web.RequestHandler) -> None:
    if connection.transport is not None:
        connection.close()
        asyncio.get_running_loop().call_later(GRACE_S, _abort, connection)


def _abort(connection: web.RequestHandler) -> None:
    transport = connection.transport
    if transport is not None:
        transport.abort()
