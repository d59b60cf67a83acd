"""How connections come in: so many at once, each for so long, however slowly its other end sends or reads."""

import asyncio
import contextlib
import functools
import socket
import ssl
from typing import Any, Final

from aiohttp import web

from scheduler.core.errors import ConfigError

CONNECTIONS: Final = 64
LASTS_S: Final = 120.0  # then a connection ends, once what it asked for is answered
GRACE_S: Final = 10.0
_BACKLOG: Final = 64
_EXHAUSTED_S: Final = 0.1  # until it is tried again to take a connection where the system had no room for one


class Door:
    """Serves an application on one address until it is closed.

    It takes connections from their sockets itself, so that one counts from its first byte and not from the end of its
    TLS handshake, on whatever event loop. place : the key of the configuration that says where, such as `http`.
    options : of aiohttp's server.
    """

    def __init__(self, place: str, host: str, port: int, application: web.Application, **options: Any) -> None:
        self._place = place
        self._host, self._port = host, port
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, **options)
        self._sockets: list[socket.socket] = []
        self._taking: list[asyncio.Task[None]] = []
        # Those that come in, as a rule in the middle of a handshake.
        self._greeted: dict[asyncio.Task[None], web.RequestHandler] = {}

    async def open(self, tls: ssl.SSLContext | None = None) -> None:
        """Begin. Raises ConfigError where the address cannot be had."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        try:
            await self._listen()
        except OSError as error:
            await self.close()
            where = f"{self._place} {self._host}:{self._port}"
            problem = f"cannot be served on ({error.strerror})"
            raise ConfigError(where, problem, f"choose another {self._place}.port") from error
        self._taking = [asyncio.create_task(self._take(each, server, tls)) for each in self._sockets]

    async def hold(self) -> None:
        """Serve until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """End, once what is under way is answered."""
        ending = [*self._taking, *self._greeted]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        for each in self._sockets:
            each.close()
        await self._runner.cleanup()

    async def _listen(self) -> None:
        """On each address of the host. Raises OSError."""
        found = await asyncio.get_running_loop().getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, _, _, _, address in dict.fromkeys(found):
            each = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
            each.setblocking(False)
            self._sockets.append(each)

    async def _take(self, listening: socket.socket, server: web.Server, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                guest, _ = await loop.sock_accept(listening)
            except OSError:  # the other end has gone again, or there are too many open files
                await asyncio.sleep(_EXHAUSTED_S)
                continue
            if len({*server.connections, *self._greeted.values()}) < CONNECTIONS:
                made = server()
                task = asyncio.create_task(_enter(made, guest, tls))
                self._greeted[task] = made
                task.add_done_callback(functools.partial(self._entered, guest))
            else:
                guest.close()
            await asyncio.sleep(0)  # a crowd outside must not hold up who is in

    def _entered(self, guest: socket.socket, task: asyncio.Task[None]) -> None:
        del self._greeted[task]
        if task.cancelled():  # perhaps before anything else had the socket
            guest.close()


async def _enter(made: web.RequestHandler, guest: socket.socket, tls: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    grace = None if tls is None else GRACE_S
    with contextlib.suppress(OSError):  # no handshake, or none in time; the connection is closed
        await loop.connect_accepted_socket(lambda: made, guest, ssl=tls, ssl_handshake_timeout=grace)
        loop.call_later(LASTS_S, _expire, made)


def _expire(connection: web.RequestHandler) -> None:
    if connection.transport is not None:
        connection.close()
        asyncio.get_running_loop().call_later(GRACE_S, _abort, connection)


def _abort(connection: web.RequestHandler) -> None:
    transport = connection.transport
    if transport is not None:
        transport.abort()
