"""What comes over gRPC, where others ask for scores: messages with wrong values, and bytes that are no messages."""

import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import grpc

from e2e.bad.case import ACCEPTED, EITHER, REFUSED, Answer, Case
from e2e.bad.junk import HOSTILE
from e2e.bad.served import PATIENCE_S, Beside
from scoring.extender.server import Scoring, Served, serve
from scoring.extender.v1 import scoring_pb2 as pb
from scoring.profiles import DEFAULT, profiles

SURFACE: Final = "grpc"
METHODS: Final = {"Register": "stream_unary", "Update": "stream_stream", "Score": "unary_unary"}
SERVICE: Final = "/dovetail.scoring.v1.Scoring"
# Ours to answer with: anything else means that an error of our own got out.
STATED: Final = frozenset(
    getattr(grpc.StatusCode, name)
    for name in (
        "INVALID_ARGUMENT", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "UNIMPLEMENTED",
        "UNAUTHENTICATED", "PERMISSION_DENIED",
    )
)  # fmt: skip
WHOLE: Final = (0, 1, 63, 64, 65, 255, 256, 257, 1000, 1001, 2**31, 2**32 - 1)
LONG: Final = (0, -1, 1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, -(2**63))
REAL: Final = (0.0, -1.0, -1.5, float("nan"), float("inf"), float("-inf"), 1e38, 1e-300)


def layout(**fields: Any) -> pb.Layout:
    """Eight devices in one island."""
    return pb.Layout(
        **{"devices": 8, "islands": [0] * 8, "island_gbps": 450.0, "numa": [0, 0, 0, 0, 1, 1, 1, 1], **fields}
    )


def node(name: str = "n0", **fields: Any) -> pb.Node:
    """All of it is free."""
    state = pb.NodeState(left=[1000] * 8, cpu_left_milli=64_000, memory_left_bytes=2**39)
    return pb.Node(
        **{"name": name, "products": [0] * 8, "cpu_milli": 96_000, "memory_bytes": 2**40, "state": state, **fields}
    )


def header(**fields: Any) -> pb.RegisterRequest:
    """Of a table of two products."""
    given = {"table": "t", "layouts": [layout()], "products": ["h100", "a100"], **fields}
    return pb.RegisterRequest(header=pb.Header(**given))


def nodes(*found: pb.Node) -> pb.RegisterRequest:
    """Rows of a table."""
    return pb.RegisterRequest(nodes=pb.Nodes(nodes=found or [node(), node("n1")]))


def score(**fields: Any) -> pb.ScoreRequest:
    """For a pod that asks for two devices."""
    pod = pb.Pod(asks=[pb.Ask(count=2, products=["h100"])], cpu_milli=4_000)
    return pb.ScoreRequest(**{"table": "t", "generation": registered(), "pods": [pod], **fields})


def update(**fields: Any) -> pb.UpdateRequest:
    """That says of a node what it said before."""
    return pb.UpdateRequest(
        **{"table": "t", "generation": registered(), "changes": [pb.Change(row=0, node=node())], **fields}
    )


@lru_cache(maxsize=1)
def server() -> Served:
    """On loopback, for as long as somebody keeps it."""
    return Beside().do(serve(Scoring(profiles(), DEFAULT), "127.0.0.1", 0))


@lru_cache(maxsize=1)
def channel() -> grpc.Channel:
    """To the server."""
    return grpc.insecure_channel(f"127.0.0.1:{server().port}")


def registered() -> int:
    """Register the table anew, whatever was done to it; its generation."""
    answer = _call("Register", [header().SerializeToString(), nodes().SerializeToString()])
    return int(pb.RegisterResponse.FromString(answer[0]).generation)


def _call(method: str, messages: Sequence[bytes]) -> list[bytes]:
    kind = METHODS.get(method, "unary_unary")
    call = getattr(channel(), kind)(f"{SERVICE}/{method}", request_serializer=None, response_deserializer=None)
    sent = iter(messages) if kind.startswith("stream") else messages[0]
    answer = call(sent, timeout=PATIENCE_S)
    return list(answer) if kind.endswith("stream") else [answer]


def put(method: str, messages: Sequence[bytes]) -> Answer:
    """Bytes to a method. Raises AssertionError for a status that is not ours to give."""
    try:
        _call(method, messages)
    except grpc.RpcError as error:
        if error.code() not in STATED:
            raise AssertionError(f"{error.code().name}: {error.details()}") from None
        return Answer(REFUSED, f"{error.code().name}: {error.details()}")
    return Answer(ACCEPTED)


def cases() -> Iterator[Case]:
    """Good messages; each field with each value; bytes of good messages changed; and bytes that are nothing."""
    first = header().SerializeToString()
    rows = nodes().SerializeToString()
    yield _case("Register", "nothing wrong", [first, rows], ACCEPTED)
    yield Case(SURFACE, "Score: nothing wrong", lambda: put("Score", [score().SerializeToString()]), ACCEPTED)
    yield Case(SURFACE, "Update: nothing wrong", lambda: put("Update", [update().SerializeToString()]), ACCEPTED)
    yield _case("Register", "no message", [], REFUSED)
    yield _case("Register", "no header", [rows], REFUSED)
    yield _case("Register", "header twice", [first, first], REFUSED)
    yield _case("Nothing", "no such method", [b""], REFUSED)
    yield from _headers()
    yield from _nodes(first)
    yield from _scores()
    yield from _updates()
    yield from _bytes("Register", first, lambda broken: [broken, rows])
    yield from _bytes("Register", rows, lambda broken: [first, broken])
    pod = score(generation=1).SerializeToString()
    yield from _bytes("Score", pod, lambda broken: [broken])
    yield from _bytes("Update", update(generation=1).SerializeToString(), lambda broken: [broken])


def _headers() -> Iterator[Case]:
    rows = nodes().SerializeToString()

    def told(name: str, /, **fields: Any) -> Case:
        return _case("Register", name, [header(**fields).SerializeToString(), rows])

    for value in WHOLE:
        yield told(f"layout.devices = {value}", layouts=[layout(devices=value)])
        yield told(f"layout.numa of {min(value, 1001)}", layouts=[layout(numa=[0] * min(value, 1001))])
        yield told(f"{min(value, 1001)} layouts", layouts=[layout()] * min(value, 1001))
        yield told(f"{min(value, 1001)} products", products=[str(i) for i in range(min(value, 1001))])
    for real in REAL:
        yield told(f"island_gbps = {real}", layouts=[layout(island_gbps=real)])
        yield told(f"bandwidth of {real}", layouts=[layout(islands=[], bandwidth=[real] * 64)])
        yield told(f"mix.growth = {real}", mix=pb.Mix(growth=real))
        kind = pb.Kind(amount=real, ask=pb.Ask(count=1, products=["h100"]))
        yield told(f"mix.amount = {real}", mix=pb.Mix(kinds=[kind]))
    for text in HOSTILE:
        if text.isascii() or "\ud800" not in text:
            yield told(f"table {text[:20]!a}", table=text)
            yield told(f"product {text[:20]!a}", products=["h100", text])


def _nodes(first: bytes) -> Iterator[Case]:
    def told(name: str, /, **fields: Any) -> Case:
        return _case("Register", name, [first, nodes(node(**fields)).SerializeToString()])

    for value in WHOLE:
        yield told(f"node.layout = {value}", layout=value)
        yield told(f"product {value}", products=[0] * 7 + [value])
        yield told(f"{min(value, 1001)} devices", products=[0] * min(value, 1001))
        yield told(f"left = {value}", state=pb.NodeState(left=[value] * 8))
        yield told(f"left of {min(value, 1001)}", state=pb.NodeState(left=[1000] * min(value, 1001)))
        yield told(f"changes = {value}", state=pb.NodeState(left=[1000] * 8, changes=value))
    for long in LONG:
        yield told(f"cpu = {long}", cpu_milli=long)
        yield told(f"memory = {long}", memory_bytes=long)
        yield told(f"cpu left = {long}", state=pb.NodeState(left=[1000] * 8, cpu_left_milli=long))
        yield told(f"memory left = {long}", state=pb.NodeState(left=[1000] * 8, memory_left_bytes=long))
    for text in HOSTILE:
        if "\ud800" not in text:
            yield told(f"node {text[:20]!a}", name=text)


def _scores() -> Iterator[Case]:
    def told(name: str, /, **fields: Any) -> Case:
        return Case(SURFACE, f"Score: {name}", lambda: put("Score", [score(**fields).SerializeToString()]), EITHER)

    for value in WHOLE:
        yield told(f"top = {value}", top=value)
        yield told(f"generation = {value}", generation=value)
        yield told(f"count = {value}", pods=[pb.Pod(asks=[pb.Ask(count=value, products=["h100"])])])
        yield told(f"share = {value}", pods=[pb.Pod(asks=[pb.Ask(count=1, share=value, products=["h100"])])])
        yield told(f"{min(value, 1001)} pods", pods=[pb.Pod()] * min(value, 1001))
        yield told(
            f"{min(value, 1001)} asks", pods=[pb.Pod(asks=[pb.Ask(count=1, products=["a100"])] * min(value, 1001))]
        )
        yield told(f"rows of {min(value, 1001)} bytes", pods=[pb.Pod(rows=b"\xff" * min(value, 1001))])
    for long in LONG:
        yield told(f"cpu = {long}", pods=[pb.Pod(cpu_milli=long)])
        yield told(f"memory = {long}", pods=[pb.Pod(memory_bytes=long)])
    for text in HOSTILE:
        if "\ud800" not in text:
            yield told(f"table {text[:20]!a}", table=text)
            yield told(f"profile {text[:20]!a}", profile=text)
            yield told(f"asks for {text[:20]!a}", pods=[pb.Pod(asks=[pb.Ask(count=1, products=[text])])])


def _updates() -> Iterator[Case]:
    def told(name: str, /, *changes: pb.Change, **fields: Any) -> Case:
        given = {"changes": changes, **fields} if changes else fields
        return Case(SURFACE, f"Update: {name}", lambda: put("Update", [update(**given).SerializeToString()]), EITHER)

    for value in WHOLE:
        yield told(f"row = {value}", pb.Change(row=value, node=node("new")))
        yield told(f"removed row = {value}", pb.Change(row=value, removed=True))
        yield told(f"generation = {value}", generation=value)
        yield told(f"{min(value, 1001)} times", *[pb.Change(row=0, node=node())] * max(1, min(value, 1001)))
    yield told("no change", pb.Change(row=0))


def _bytes(method: str, good: bytes, whole: Any) -> Iterator[Case]:
    chance = random.Random(len(good))
    for at in range(0, len(good), 3):
        yield _case(method, f"ends at {at}", whole(good[:at]))
        yield _case(method, f"without byte {at}", whole(good[:at] + good[at + 1 :]))
        for byte in (0x00, 0x7F, 0x80, 0xFF):
            yield _case(method, f"{byte:#04x} at {at}", whole(good[:at] + bytes([byte]) + good[at + 1 :]))
    for number in range(40):
        yield _case(method, f"chance {number}", whole(chance.randbytes(chance.randrange(1, 200))))


def _case(method: str, name: str, messages: Sequence[bytes], expected: str = EITHER) -> Case:
    return Case(SURFACE, f"{method}: {name}", lambda: put(method, messages), expected)
