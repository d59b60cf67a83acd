"""The service `Scoring` on grpc.aio: tables by name, each under the generation of its last registration.

Work is done in pieces, between which the loop and the deadline of the call have their turn: a call whose deadline is
past ends, and what it found by then is kept for the next one. What a client sends is checked by codec.py; an error that
nobody foresaw is logged here, and told to the client without its text.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc.aio
import numpy as np
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from scoring.arrays import Mask
from scoring.extender import changes, codec
from scoring.extender.codec import InvalidError
from scoring.extender.judged import Judged, Wish
from scoring.extender.limits import MAX_CALLS, MAX_MESSAGE, MAX_NODES, MAX_TABLES, MAX_TOTALS
from scoring.extender.table import Node, Table
from scoring.extender.v1 import scoring_pb2 as pb
from scoring.market import market_of
from scoring.opinion import Opinion
from scoring.weights import Weights, nearest

log = logging.getLogger("dovetail.scoring")

SERVICE: Final = pb.DESCRIPTOR.services_by_name["Scoring"].full_name
GENERATION: Final = "dovetail-generation"
"""Trailing metadata of FAILED_PRECONDITION: the current generation of the table, 0 if there is none of that name."""
_NAMES: Final = ("x509_common_name", "x509_subject_alternative_name")
_SLICE_S: Final = 0.005  # of work, until the loop has its turn
_NO_DEADLINE_S: Final = 10.0  # what a call may take that states none
_REGISTER_S: Final = 60.0
_IDLE_S: Final = 600.0  # a table that nobody used for so long makes room for another
_MOST_JUDGED: Final = 64  # asks whose scores a table keeps
_MOST_ROWS: Final = 2_000_000  # of all of them together
_MOST_PRICED: Final = 4_096  # kinds times classes of a mix

Context = Any  # grpc.aio.ServicerContext, which has no types


@dataclass(slots=True)
class _Held:
    """A table that is registered. judged : by ask and opinion, the one that was asked for last at the end."""

    table: Table
    generation: int
    used: float
    judged: OrderedDict[tuple[Wish, Opinion], Judged] = field(default_factory=OrderedDict)


class StaleError(Exception):
    """A generation is not the current one of its table."""

    def __init__(self, table: str, asked: int, current: int) -> None:
        self.current = current
        now = f"the current one is {current}" if current else "no table has this name"
        super().__init__(f"generation = {asked} of table {ascii(table)[:80]}: {now}; register")


class FullError(Exception):
    """There is no room."""


class DeniedError(Exception):
    """Whoever calls may not."""


def _read(message_type: Any) -> Callable[[bytes], Any]:
    """Bytes to a message, None where they are none: then the call is refused, instead of failing within grpc."""

    def read(raw: bytes) -> Any:
        try:
            return message_type.FromString(raw)
        except DecodeError:
            return None

    return read


def _message(request: Any) -> Any:
    if request is None:
        raise InvalidError("message", "...", "cannot be read; see scoring.proto")
    return request


async def _messages(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _message(request)


def _guarded(handle: Callable[[Any, Any, Context], Awaitable[Any]]) -> Callable[[Any, Any, Context], Awaitable[Any]]:
    """A unary answer, or a status that says why there is none."""

    async def answer(self: Any, request: Any, context: Context) -> Any:
        try:
            self.admit(context)
            return await handle(self, request, context)
        except Exception as error:
            await _fail(error, context)

    return answer


async def _fail(error: Exception, context: Context) -> None:
    """End a call with the status that an error comes to."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, InvalidError):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    if isinstance(error, StaleError):
        context.set_trailing_metadata(((GENERATION, str(error.current)),))
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
    if isinstance(error, FullError):
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
    if isinstance(error, DeniedError):
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
    if isinstance(error, TimeoutError):
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline is past; what was found is kept")
    log.exception("a call failed", exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, "internal error; the server's log says more")


class _Turn:
    """Gives the loop its turn after each slice of work. Raises TimeoutError once the call's deadline is past."""

    def __init__(self, context: Context, limit_s: float) -> None:
        left = context.time_remaining()
        self._since = time.monotonic()
        self._until = self._since + (limit_s if left is None else left)

    async def __call__(self) -> None:
        now = time.monotonic()
        if now >= self._until:
            raise TimeoutError
        if now - self._since >= _SLICE_S:
            await asyncio.sleep(0)
            self._since = time.monotonic()


class Scoring:
    """The service.

    weights : by the names of profiles. profile : of calls that name none. clients : names, of which one must be in the
    certificate of whoever calls, as common or alternative name; none: whoever got through to us may call.
    """

    def __init__(
        self,
        weights: Mapping[str, Weights],
        profile: str,
        clients: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients = frozenset(clients)
        self._clock = clock
        self.weigh(weights, profile)
        self._held: dict[str, _Held] = {}
        # Above all generations of earlier processes, as long as the time of day does not go back.
        self._generation = time.time_ns()

    def weigh(self, weights: Mapping[str, Weights], profile: str) -> None:
        """Score by these weights from now on."""
        self._opinions = {name: Opinion(each) for name, each in weights.items()}
        self._profile = profile

    def admit(self, context: Context) -> None:
        """Raises DeniedError for a caller whose certificate has none of the names that may call."""
        if not self._clients:
            return
        shown = context.auth_context()
        names = {each.decode(errors="replace") for key in _NAMES for each in shown.get(key, ())}
        if not names & self._clients:
            raise DeniedError(f"no name of the certificate may call: {ascii(sorted(names))[:200]}")

    # ------------------------------------------------------------ tables

    @_guarded
    async def Register(self, requests: AsyncIterator[pb.RegisterRequest], context: Context) -> pb.RegisterResponse:  # noqa: N802
        """Take a table in; it counts once it is whole."""
        async with asyncio.timeout(_REGISTER_S):
            parts = _messages(requests)
            first = await anext(parts, None)
            if first is None or not first.HasField("header"):
                raise InvalidError("header", None, "the first message holds the header")
            header = first.header
            name = codec.name(header.table, "header.table")
            self._make_room(name)
            turn = _Turn(context, _REGISTER_S)
            layouts = []
            for layout in codec.layouts(header):
                layouts.append(layout)
                await turn()
            table = Table(layouts, codec.products(header))
            async for request in parts:
                if not request.HasField("nodes"):
                    raise InvalidError("header", "...", "comes once, in the first message")
                for message in request.nodes.nodes:
                    place = f"nodes[{table.size}]"
                    if table.size >= MAX_NODES:
                        raise InvalidError("len(nodes)", table.size + 1, f"must be at most {MAX_NODES}")
                    node = codec.node(message, place, table.layouts, len(table.products))
                    if node.name in table.row_of:
                        raise InvalidError(
                            f"{place}.name", node.name, f"is that of nodes[{table.row_of[node.name]}] as well"
                        )
                    table.put(table.size, node)
                    await turn()
            if header.HasField("mix"):
                await self._trade(table, header.mix)
        self._make_room(name)
        self._generation += 1
        self._held[name] = _Held(table, self._generation, self._clock())
        log.info("table %s: generation %d, %d nodes", ascii(name), self._generation, table.size)
        return pb.RegisterResponse(generation=self._generation)

    async def _trade(self, table: Table, message: pb.Mix) -> None:
        usual, growth = codec.mix(message)
        sample, supply = table.sample(usual, growth), table.supply()
        if len(usual) * len(supply.milli) > _MOST_PRICED:
            problem = (
                f"with {len(supply.milli)} classes of devices (product, devices and cpu of the node) that is too many"
            )
            raise InvalidError("len(mix.kinds)", len(usual), problem)
        try:
            table.trade(await asyncio.to_thread(market_of, sample, supply))
        except ArithmeticError as error:
            raise InvalidError("mix", "...", "no prices can be worked out for it") from error

    def _make_room(self, name: str) -> None:
        if name in self._held or len(self._held) < MAX_TABLES:
            return
        oldest = min(self._held, key=lambda each: self._held[each].used)
        if self._held[oldest].used + _IDLE_S > self._clock():
            raise FullError(f"table {ascii(name)[:80]}: there are {MAX_TABLES} tables in use already")
        del self._held[oldest]

    def _find(self, name: str, generation: int) -> _Held:
        held = self._held.get(name)
        if held is None or held.generation != generation:
            raise StaleError(name, generation, 0 if held is None else held.generation)
        held.used = self._clock()
        return held

    async def Update(  # noqa: N802
        self, requests: AsyncIterator[pb.UpdateRequest], context: Context
    ) -> AsyncIterator[pb.UpdateResponse]:
        """Apply changes, one message as a whole or not at all."""
        try:
            self.admit(context)
            async for request in _messages(requests):
                table = self._find(request.table, request.generation).table
                for row, what in changes.read(table, request):
                    if what is None:
                        table.remove(row)
                    elif isinstance(what, Node):
                        table.put(row, what)
                    else:
                        table.put_state(row, what)
                yield pb.UpdateResponse(version=table.version)
                await asyncio.sleep(0)  # messages that are here already would be taken in without a turn for others
        except Exception as error:
            await _fail(error, context)

    # ------------------------------------------------------------ scores

    @_guarded
    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:  # noqa: N802
        """The scores of some pods."""
        held = self._find(_message(request).table, request.generation)
        table, wishes = held.table, codec.wishes(request)
        profile = request.profile or self._profile
        opinion = self._opinions.get(profile)  # of the whole call, whatever weights are given while it waits
        if opinion is None:
            raise InvalidError("profile", profile, f"no profile has this name; {nearest(profile, self._opinions)}")
        size = table.size  # whatever is added while the call waits
        if not request.top and 4 * len(wishes) * size > MAX_TOTALS:
            problem = f"their totals of {size} nodes are more than {MAX_TOTALS} bytes; ask for top, or for fewer"
            raise InvalidError("len(pods)", len(wishes), problem)
        masks = [codec.allowed(pod.rows, size, f"pods[{at}].rows") for at, pod in enumerate(request.pods)]
        answer = pb.ScoreResponse(generation=held.generation, version=table.version, nodes=size)
        turn = _Turn(context, _NO_DEADLINE_S)
        for wish, mask in zip(wishes, masks, strict=True):
            judged = self._judged(held, wish, opinion)
            while not judged.settled(table):
                judged.refresh(table)
                await turn()
            if request.top:
                _put_best(answer.pods.add(), judged, request.top, mask)
                answer.scorers[:] = judged.scorers
            else:
                _put_totals(answer.pods.add(), judged, mask)
            await turn()
        return answer

    @staticmethod
    def _judged(held: _Held, wish: Wish, opinion: Opinion) -> Judged:
        key = (wish, opinion)
        found = held.judged.get(key)
        if found is None:
            while len(held.judged) >= max(1, min(_MOST_JUDGED, _MOST_ROWS // len(held.table.live))):
                held.judged.popitem(last=False)
            found = held.judged[key] = Judged(*key)
        held.judged.move_to_end(key)
        return found


def _put_totals(scores: pb.PodScores, judged: Judged, mask: Mask) -> None:
    size = len(mask)
    scores.fitting = int(np.count_nonzero((judged.rank[:size] >= 0) & mask))
    scores.totals = codec.pack(np.where(mask, judged.packed[:size], np.float32(-1)))


def _put_best(scores: pb.PodScores, judged: Judged, count: int, mask: Mask) -> None:
    scores.fitting = int(np.count_nonzero((judged.rank[: len(mask)] >= 0) & mask))
    rows = judged.best(count, mask)
    for row, each in zip(rows.tolist(), judged.breakdown(rows).tolist(), strict=True):
        scores.top.add(
            row=row,
            total=float(judged.total[row]),
            rank=int(judged.rank[row]),
            devices=judged.positions[row].tolist(),
            scores=each,
        )


# ---------------------------------------------------------------- serving


Pem = tuple[bytes, bytes, bytes]
"""Certificates of the server, its key, and the authorities of clients; without these nobody is asked for one."""


def server_credentials(pem: Pem, renewed: Callable[[], Pem | None] = lambda: None) -> Any:
    """TLS with these; renewed : asked at each new connection, None where nothing changed."""

    def configuration(each: Pem) -> Any:
        certificate, key, authorities = each
        return grpc.ssl_server_certificate_configuration([(key, certificate)], authorities or None)

    def fetch() -> Any:
        fresh = renewed()
        return None if fresh is None else configuration(fresh)

    return grpc.dynamic_ssl_server_credentials(configuration(pem), fetch, require_client_authentication=bool(pem[2]))


class Served:
    """A server that listens. port : which it got."""

    def __init__(self, server: Any, port: int, health_service: Any) -> None:
        self.port: Final = port
        self._server = server
        self._health = health_service

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, and let those that are under way end."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)


def _methods(scoring: Scoring) -> dict[str, Any]:
    return {
        "Register": grpc.stream_unary_rpc_method_handler(
            scoring.Register, _read(pb.RegisterRequest), pb.RegisterResponse.SerializeToString
        ),
        "Update": grpc.stream_stream_rpc_method_handler(
            scoring.Update, _read(pb.UpdateRequest), pb.UpdateResponse.SerializeToString
        ),
        "Score": grpc.unary_unary_rpc_method_handler(
            scoring.Score, _read(pb.ScoreRequest), pb.ScoreResponse.SerializeToString
        ),
    }


async def serve(scoring: Scoring, host: str, port: int, credentials: Any = None, *, reflect: bool = False) -> Served:
    """Listen; without credentials in plain text, which is for loopback. reflect : tell callers what there is to call.

    Raises OSError where the address cannot be had.
    """
    server = grpc.aio.server(
        maximum_concurrent_rpcs=MAX_CALLS,
        options=(
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_MESSAGE),
            ("grpc.max_concurrent_streams", MAX_CALLS),
            ("grpc.max_metadata_size", 8_192),
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ),
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, _methods(scoring)),))
    health_service = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    for name in ("", SERVICE):
        await health_service.set(name, health_pb2.HealthCheckResponse.SERVING)
    if reflect:
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if credentials is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(str(error)) from error
    await server.start()
    return Served(server, bound, health_service)
