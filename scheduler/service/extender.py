"""The HTTP extender: tells a kube-scheduler which nodes serve a pod's claims, and how well (core/advice.py).

POST /extender/filter and /extender/prioritize, as k8s.io/kube-scheduler/extender/v1 has them; there is no bind and no
preempt. What is wrong with a request is answered with 4xx. What keeps us from an answer though nothing is wrong with
it (caches that are not filled or stale, a claim that was not seen yet, no time left) is the `Error` of the result, or
503 where the protocol has no room for one: whether kube-scheduler goes on then is for its `ignorable` to say.

All of it happens on the loop that decides, in pieces of a few milliseconds: an answer reads the engine's own columns.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from aiohttp import web

from scheduler.cluster import extender as wire
from scheduler.core.advice import Advice, Later
from scheduler.core.budget import Budget
from scheduler.core.demand import Refusal
from scheduler.core.errors import DecodeError, NotNowError, printable
from scheduler.core.messages import Instruction
from scheduler.core.model import Pod
from scheduler.service.door import LASTS_S, Door
from scheduler.service.settings import HttpExtenderSettings
from scheduler.service.tls import Certificates, server_context, stranger

log = logging.getLogger("dovetail.extender")

PREFIX: Final = "/extender"
PLACE: Final = "extender.http"
VERBS: Final = ("filter", "prioritize")
_RESULT: Final = web.RequestKey("result", str)
_PIECE_STEPS: Final = 1_500  # of core/budget.py; others have their turn after each
_PATIENCE_S: Final = 0.25  # for a claim that kube-scheduler has seen before us
_DEADLINE_S: Final = 2.0  # kube-scheduler waits five seconds, unless httpTimeout says otherwise
_READ_S: Final = 5.0
_AT_ONCE: Final = 16  # requests; a kube-scheduler sends one at a time
_SENT_AT_ONCE: Final = 2**18
_MEGABYTE: Final = 2**20


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Adviser(Protocol):
    """Whom this asks: `core.engine.Engine`."""

    def advise(self, pod: Pod, now: float, budget: Budget) -> tuple[Advice | Refusal | Later, list[Instruction]]:
        """What to say of nodes, and what there is to find out first."""
        ...

    def catch_up(self) -> bool:
        """Do a piece of the work that comes before that; whether nothing is left."""
        ...


class Extender:
    """Answers a kube-scheduler.

    adviser : None while the cluster was not reached. unready : why nothing can be known now, empty if it can.
    heard : ends when further events were taken in. submit : takes what is to be found out.
    Raises ConfigError for files of TLS that cannot be used.
    """

    def __init__(
        self,
        settings: HttpExtenderSettings,
        adviser: Callable[[], Adviser | None],
        unready: Callable[[], str],
        heard: Callable[[], Awaitable[None]],
        submit: Callable[[Instruction], None],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._adviser = adviser
        self._unready = unready
        self._heard = heard
        self._submit = submit
        self._clock = clock
        self._wall = wall
        self._under_way = 0
        self._told = ""
        self.answered: Callable[[str, str, float], None] = lambda verb, result, seconds: None
        """Told of each request: verb, `answered`, `unavailable`, `refused` or `failed`, and seconds."""
        self.certificates = Certificates(settings.tls, f"{PLACE}.tls", wall) if settings.tls.on else None
        application = web.Application(
            middlewares=[self._guard], client_max_size=settings.max_body_megabytes * _MEGABYTE
        )
        for verb, answer in zip(VERBS, (self._filter, self._prioritize), strict=True):
            application.router.add_post(f"{PREFIX}/{verb}", answer)
        options = {"auto_decompress": False, "keepalive_timeout": LASTS_S, "shutdown_timeout": _DEADLINE_S}
        self._door = Door(PLACE, settings.host, settings.port, application, **options)

    async def open(self) -> None:
        """Begin. Raises ConfigError where the address cannot be had."""
        await self._door.open(server_context(self.certificates) if self.certificates is not None else None)
        log.info("scores for other schedulers on %s:%d%s", self._settings.host, self._settings.port, PREFIX)

    async def hold(self) -> None:
        """Serve until cancelled, and keep a state in which nobody else decides ready for questions."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._door.hold())
            both.create_task(self._tidy())

    async def _tidy(self) -> None:
        while True:
            while (adviser := self._adviser()) is not None and not adviser.catch_up():
                await asyncio.sleep(0)
            await self._heard()

    async def close(self) -> None:
        """End, once what is under way is answered."""
        await self._door.close()

    # ------------------------------------------------------------ who may ask, and what is answered when all fails

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        begun = self._clock()
        response = await self._judged(request, handler)
        verb = request.path.rpartition("/")[2]
        kinds = {200: "answered", 503: "unavailable", 500: "failed"}
        result = request.get(_RESULT, kinds.get(response.status, "refused"))
        self.answered(verb if verb in VERBS else "other", result, self._clock() - begun)
        return response

    async def _judged(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._settings.tls.client_ca_file:
            shown = request.transport.get_extra_info("peercert") if request.transport is not None else None
            refused = stranger(shown, self._settings.tls.client_names, self._wall())
            if refused:
                return self._refuse(403, refused)
        if self._under_way >= _AT_ONCE:
            return self._refuse(503, f"{_AT_ONCE} requests are under way already")
        self._under_way += 1
        try:
            return await handler(request)
        except web.HTTPRequestEntityTooLarge:
            most = self._settings.max_body_megabytes
            return self._refuse(
                413,
                f"the request is larger than {most} MiB; set nodeCacheCapable in the KubeSchedulerConfiguration, so "
                f"that only names are sent, or {PLACE}.maxBodyMegabytes",
            )
        except web.HTTPException as error:
            allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            return self._refuse(error.status, error.reason, allowed)
        except DecodeError as error:
            return self._refuse(400, str(error))
        except Exception:
            log.exception("%s %s", request.method, request.rel_url.path)
            return self._refuse(500, "an error of Dovetail's own, which its log tells of")
        finally:
            self._under_way -= 1

    def _refuse(self, status: int, words: str, headers: Mapping[str, str] | None = None) -> web.Response:
        """kube-scheduler does not show what it is told with a status, so the log does; the same thing once."""
        said = printable(words)[:1000]
        if said != self._told:
            self._told = said
            log.warning("request refused with %d: %s", status, said)
        body = wire.filter_error(said)
        return web.Response(body=body, status=status, headers=headers, content_type="application/json")

    # ------------------------------------------------------------ verbs

    async def _filter(self, request: web.Request) -> web.StreamResponse:
        question = await self._read(request)
        try:
            advice = await self._advice(question.pod)
        except NotNowError as error:
            self._note(str(error))
            request[_RESULT] = "unavailable"
            return await _send(request, wire.filter_error(str(error)))
        found = advice.sort(question.names)
        return await _send(request, wire.filter_result(question, found.kept, found.failed, found.hopeless))

    async def _prioritize(self, request: web.Request) -> web.StreamResponse:
        question = await self._read(request)
        try:
            advice = await self._advice(question.pod)
        except NotNowError as error:
            return self._refuse(503, str(error))
        return await _send(request, wire.priorities(question.names, advice.points(question.names)))

    async def _read(self, request: web.Request) -> wire.Question:
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(reason="send application/json")
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise web.HTTPUnsupportedMediaType(reason="send it without Content-Encoding")
        try:
            async with asyncio.timeout(_READ_S):
                body = await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(reason=f"the body did not come within {_READ_S:g} s") from None
        steps = wire.reading(body)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                question: wire.Question = done.value
                return question
            await asyncio.sleep(0)

    async def _advice(self, pod: Pod) -> Advice:
        """What there is to say; it must be used before anything is awaited. Raises NotNowError."""
        begun = self._clock()
        while True:
            adviser = self._adviser()
            problem = self._unready()
            if problem or adviser is None:
                raise NotNowError(f"Dovetail has no up-to-date view of the cluster: {problem or 'it just started'}")
            found, asked = adviser.advise(pod, self._clock(), Budget(_PIECE_STEPS))
            for instruction in asked:
                self._submit(instruction)
            if isinstance(found, Advice):
                return found
            passed = self._clock() - begun
            if isinstance(found, Refusal):
                left, words = _PATIENCE_S - passed, printable(found.message)
            else:
                left, words = (
                    _DEADLINE_S - passed,
                    f"pod {pod.key}: this takes more than {_DEADLINE_S:g} s; try again",
                )
            if left <= 0:
                raise NotNowError(words)
            if found == Later(waits=False):
                await asyncio.sleep(0)
                continue
            try:
                async with asyncio.timeout(left):
                    await self._heard()
            except TimeoutError:
                raise NotNowError(words) from None

    def _note(self, words: str) -> None:
        if words != self._told:
            self._told = words
            log.warning("no answer: %s", words)


async def _send(request: web.Request, body: bytes) -> web.StreamResponse:
    """Answer; what is large is encrypted in pieces too."""
    if len(body) <= _SENT_AT_ONCE:
        return web.Response(body=body, content_type="application/json")
    response = web.StreamResponse()
    response.content_type = "application/json"
    response.content_length = len(body)
    await response.prepare(request)
    for start in range(0, len(body), _SENT_AT_ONCE):
        await response.write(body[start : start + _SENT_AT_ONCE])
        await asyncio.sleep(0)
    return response
