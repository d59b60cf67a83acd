"""What a process serves over HTTP: health for everybody, and metrics and debug pages for those who may read them.

Beyond loopback whoever wants more than health shows a token (service/access.py). Requests are bounded in size, time and
number, and no answer depends on what a body says.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from scheduler.service.access import Access
from scheduler.service.door import Door
from scheduler.service.settings import HttpSettings, is_loopback
from scheduler.service.tls import Certificates, server_context

log = logging.getLogger(__name__)

_REQUEST_S: Final = 10.0
_GUARDED_AT_ONCE: Final = 4

Page = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Check:
    """Something that has to hold. problem : says why it does not, in words for everybody; empty if it does."""

    name: str
    problem: Callable[[], str]


class Listener:
    """Serves until it is closed.

    alive, ready : asked for the checks of /healthz and /readyz. state : one word for who is ready. pages : by path,
    guarded by `access` unless only loopback can reach them.
    """

    def __init__(
        self,
        settings: HttpSettings,
        alive: Callable[[], Sequence[Check]],
        ready: Callable[[], Sequence[Check]],
        state: Callable[[], str],
        pages: Mapping[str, Page],
        access: Access,
    ) -> None:
        self._settings = settings
        self._access = None if is_loopback(settings.host) else access
        self.certificates: Certificates | None = None
        """Of an open one that speaks TLS."""
        self._slots = asyncio.Semaphore(_GUARDED_AT_ONCE)
        application = web.Application(client_max_size=1024)
        application.router.add_get("/healthz", self._health(alive, lambda: "ok"))
        application.router.add_get("/readyz", self._health(ready, state))
        for path, page in pages.items():
            application.router.add_get(path, self._guarded(page))
        self._door = Door("http", settings.host, settings.port, application, keepalive_timeout=75.0)

    async def open(self) -> None:
        """Begin. Raises ConfigError where the address cannot be had, or certificates cannot be used."""
        if self._access is not None and not self._settings.tls.on:
            log.warning("http.tls is not set: tokens of those who read metrics travel in the clear")
        tls = self._settings.tls
        self.certificates = Certificates(tls, "http.tls") if tls.on else None
        await self._door.open(server_context(self.certificates) if self.certificates is not None else None)

    async def hold(self) -> None:
        """Serve until cancelled."""
        await self._door.hold()

    # ------------------------------------------------------------ answers

    @staticmethod
    def _health(checks: Callable[[], Sequence[Check]], state: Callable[[], str]) -> Page:
        async def answer(request: web.Request) -> web.Response:
            told = [(check.name, check.problem()) for check in checks()]
            problem = next((problem for _, problem in told if problem), "")
            lines = [f"[-]{name} failed: {problem}" if problem else f"[+]{name} ok" for name, problem in told]
            shown = lines if "verbose" in request.query else []
            text = "\n".join([*shown, problem or state()])
            return web.Response(text=f"{text}\n", status=503 if problem else 200)

        return answer

    def _guarded(self, page: Page) -> Page:
        async def answer(request: web.Request) -> web.Response:
            try:
                async with asyncio.timeout(_REQUEST_S):
                    if self._access is not None:
                        verdict = await self._access.judge(request.headers.get("Authorization"), request.path)
                        if verdict.status != 200:
                            headers = {"WWW-Authenticate": "Bearer"} if verdict.status == 401 else None
                            return web.Response(text=f"{verdict.words}\n", status=verdict.status, headers=headers)
                    async with self._slots:
                        response = await page(request)
            except TimeoutError:
                return web.Response(text="not answered in time; try again\n", status=503)
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers["Cache-Control"] = "no-store"
            return response

        return answer
