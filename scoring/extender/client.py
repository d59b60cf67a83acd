"""Clients: `ScoringClient` for schedulers that want our scores, `ScorerClient` for us to ask scorers of others.

Every call has a deadline, within which a connection that broke is made anew.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio

from scoring.arrays import Floats
from scoring.extender import codec
from scoring.extender.limits import MAX_CHANGES, MAX_MESSAGE
from scoring.extender.v1 import scoring_pb2 as pb
from scoring.extender.v1 import scoring_pb2_grpc

log = logging.getLogger("dovetail.scoring.client")

_NODES_AT_ONCE: Final = 1_000  # in one message
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.enable_retries", 0),
)


class RemoteError(Exception):
    """A call came to nothing. `code` : name of the gRPC status, such as UNAVAILABLE."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(f"{code}: {message}")


@dataclass(frozen=True, slots=True)
class Registration:
    """All nodes of a table as they are now, in the order of their rows."""

    layouts: Sequence[pb.Layout]
    products: Sequence[str]
    nodes: Sequence[pb.Node]
    mix: pb.Mix | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one pod: how many nodes fit, and the total of each row, float32 (N,), -1 where it does not fit."""

    fitting: int
    totals: Floats


@dataclass(frozen=True, slots=True)
class Placement:
    """A node for a pod: its row, what all scorers say together and each by its name, and the devices to take."""

    row: int
    total: float
    rank: int
    devices: tuple[int, ...]
    scores: dict[str, float]


def _channel(address: str, credentials: Any, server_name: str = "") -> Any:
    options = [*_OPTIONS, *([("grpc.ssl_target_name_override", server_name)] if server_name else [])]
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, credentials, options=options)


def channel_credentials(authorities: bytes, certificate: bytes = b"", key: bytes = b"") -> Any:
    """TLS with a server that these authorities vouch for; with a certificate of our own if it asks for one. PEM."""
    return grpc.ssl_channel_credentials(authorities, key or None, certificate or None)


def _remote(error: Any) -> RemoteError:
    return RemoteError(error.code().name, error.details() or "")


class ScoringClient:
    """Keeps one table registered, and asks for scores.

    source : gives the nodes as they are, whenever they have to be registered: at first, after the server was started
    anew, and where somebody else registered a table of this name. timeout_s : of every call.
    Its methods raise RemoteError. Rows are those of the last registration, plus what updates added.
    """

    def __init__(
        self,
        address: str,
        source: Callable[[], Registration],
        *,
        table: str = "default",
        timeout_s: float = 1.0,
        register_timeout_s: float = 30.0,
        credentials: Any = None,
        server_name: str = "",
    ) -> None:
        self._source = source
        self._table = table
        self._timeout_s = timeout_s
        self._register_timeout_s = register_timeout_s
        self._channel = _channel(address, credentials, server_name)
        self._stub = scoring_pb2_grpc.ScoringStub(self._channel)
        self._registering = asyncio.Lock()
        self._updating = asyncio.Lock()
        self._updates: Any = None
        self.generation = 0

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close()

    async def register(self) -> int:
        """Register all nodes anew; returns the generation."""
        registration = self._source()

        async def parts() -> Any:
            header = pb.Header(
                table=self._table,
                layouts=registration.layouts,
                products=registration.products,
                mix=registration.mix,
            )
            yield pb.RegisterRequest(header=header)
            for start in range(0, len(registration.nodes), _NODES_AT_ONCE):
                nodes = registration.nodes[start : start + _NODES_AT_ONCE]
                yield pb.RegisterRequest(nodes=pb.Nodes(nodes=nodes))

        try:
            answer = await self._stub.Register(parts(), timeout=self._register_timeout_s, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            raise _remote(error) from None
        self.generation = answer.generation
        return self.generation

    async def totals(self, pods: Sequence[pb.Pod], profile: str = "") -> list[Totals]:
        """The totals of all nodes, pod by pod."""
        answer = await self._score(pb.ScoreRequest(table=self._table, pods=pods, profile=profile))
        found = []
        for scores in answer.pods:
            totals = codec.unpack(scores.totals)
            if len(totals) != answer.nodes:
                raise RemoteError("DATA_LOSS", f"{len(totals)} totals for {answer.nodes} nodes")
            found.append(Totals(scores.fitting, totals))
        return found

    async def best(self, pods: Sequence[pb.Pod], top: int, profile: str = "") -> list[list[Placement]]:
        """The best nodes of each pod, best first, with devices and breakdown."""
        answer = await self._score(pb.ScoreRequest(table=self._table, pods=pods, top=top, profile=profile))
        return [
            [
                Placement(
                    each.row,
                    each.total,
                    each.rank,
                    tuple(each.devices),
                    dict(zip(answer.scorers, each.scores, strict=True)),
                )
                for each in scores.top
            ]
            for scores in answer.pods
        ]

    async def update(self, changes: Sequence[pb.Change]) -> None:
        """Tell what changed; from then on it counts. `source` must know of it already.

        More than MAX_CHANGES go in several messages, in order.
        """
        if not self.generation:
            return await self._again(0)
        try:
            async with self._updating, asyncio.timeout(self._timeout_s):
                for at in range(0, max(1, len(changes)), MAX_CHANGES):
                    await self._send(changes[at : at + MAX_CHANGES])
        except TimeoutError:
            self._drop_updates()
            raise RemoteError("DEADLINE_EXCEEDED", f"no answer within {self._timeout_s:g} s") from None
        except grpc.aio.AioRpcError as error:
            self._drop_updates()
            # Where the stream broke, nobody knows what was applied; after a registration all of it is.
            if error.code() not in {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNAVAILABLE}:
                raise _remote(error) from None
            await self._again(self.generation)
        return None

    async def _send(self, changes: Sequence[pb.Change]) -> None:
        if self._updates is None:
            self._updates = self._stub.Update(wait_for_ready=True)
        request = pb.UpdateRequest(table=self._table, generation=self.generation, changes=changes)
        try:
            await self._updates.write(request)
            answer = await self._updates.read()
        except (asyncio.InvalidStateError, grpc.aio.UsageError):
            answer = grpc.aio.EOF
        if answer is grpc.aio.EOF:
            raise grpc.aio.AioRpcError(
                await self._updates.code(),
                await self._updates.initial_metadata(),
                await self._updates.trailing_metadata(),
                await self._updates.details(),
            )

    def _drop_updates(self) -> None:
        if self._updates is not None:
            self._updates.cancel()
            self._updates = None

    async def _again(self, stale: int) -> None:
        """Register, unless that was done since."""
        async with self._registering:
            if self.generation == stale:
                await self.register()

    async def _score(self, request: pb.ScoreRequest) -> pb.ScoreResponse:
        for attempt in (1, 2):
            if not self.generation:
                await self._again(0)
            request.generation = self.generation
            try:
                answer: pb.ScoreResponse = await self._stub.Score(request, timeout=self._timeout_s, wait_for_ready=True)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.FAILED_PRECONDITION or attempt > 1:
                    raise _remote(error) from None
                log.info("generation %d is not the current one; registering", request.generation)
                await self._again(request.generation)
            else:
                return answer
        raise AssertionError("unreachable")


class ScorerClient:
    """Asks a service `Scorer`."""

    def __init__(self, address: str, *, timeout_s: float, credentials: Any = None, server_name: str = "") -> None:
        self._timeout_s = timeout_s
        self._channel = _channel(address, credentials, server_name)
        self._stub = scoring_pb2_grpc.ScorerStub(self._channel)

    async def judge(self, request: pb.JudgeRequest) -> tuple[float, ...]:
        """What it says, as it says it. Raises RemoteError."""
        try:
            answer = await self._stub.Judge(request, timeout=self._timeout_s)
            return tuple(codec.unpack(answer.scores).tolist())
        except grpc.aio.AioRpcError as error:
            raise _remote(error) from None
        except ValueError:
            raise RemoteError("DATA_LOSS", f"gave {len(answer.scores)} bytes, which are not float32") from None

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close()
