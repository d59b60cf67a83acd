"""How connections come in: so many at once, each for so long, however slowly its other end sends or reads."""

import asyncio
import ssl
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

    async def open(self, tls: ssl.SSLContext | None = None) -> None:
        """Begin. Raises ConfigError where the address cannot be had."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        try:
            greeting = None if tls is None else GRACE_S
            self._server = await loop.create_server(
                self._connected, self._host, self._port, backlog=64, ssl=tls, ssl_handshake_timeout=greeting
            )
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
        await self._runner.cleanup()

    def _connected(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None
        if len(server.connections) >= CONNECTIONS:
            return _Refused()
        made = server()
        asyncio.get_running_loop().call_later(LASTS_S, self._expire, made)
        return made

    @staticmethod
    def _expire(connection: web.RequestHandler) -> None:
        if connection.transport is not None:
            connection.close()
            asyncio.get_running_loop().call_later(GRACE_S, _abort, connection)


class _Refused(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _abort(connection: web.RequestHandler) -> None:
    transport = connection.transport
    if transport is not None:
        transport.abort()
