"""What comes over HTTP: to the extender that kube-schedulers ask, and to the pages of health, metrics and debugging."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from e2e.bad.case import ACCEPTED, EITHER, REFUSED, Answer, Case
from e2e.bad.junk import HOSTILE, VALUES
from e2e.bad.places import changed, paths
from e2e.bad.served import Beside, exchange, free_port
from e2e.bench.engine import workload, world
from scheduler.core.cel import compile_selector
from scheduler.core.config import EngineConfig
from scheduler.core.engine import Engine
from scheduler.core.messages import Instruction, Seen, Slow
from scheduler.core.slow import answer
from scheduler.service.extender import Extender
from scheduler.service.settings import HttpExtenderSettings

SURFACE: Final = "http"
VERBS: Final = ("filter", "prioritize")
NODES: Final = [f"node-{number:05d}" for number in range(4)]
BODY: Final[dict[str, Any]] = {
    "Pod": {
        "metadata": {"name": "p", "namespace": "bench", "uid": "p", "labels": {"a": "b"}, "annotations": {"c": "d"}},
        "spec": {
            "schedulerName": "default-scheduler",
            "priority": 5,
            "nodeSelector": {"a": "b"},
            "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 5}],
            "resourceClaims": [{"name": "devices", "resourceClaimName": "pod-00000"}],
            "containers": [
                {
                    "name": "c",
                    "resources": {"requests": {"cpu": "1"}, "claims": [{"name": "devices", "request": "gpu"}]},
                }
            ],
        },
        "status": {
            "phase": "Pending",
            "resourceClaimStatuses": [{"name": "devices", "resourceClaimName": "pod-00000"}],
        },
    },
    "Nodes": None,
    "NodeNames": NODES,
}
TEXTS: Final = (
    b"", b"null", b"[]", b"{}", b"5", b'"x"', b"{", b"[" * 5_000, b'{"a":' * 5_000, b"\xff\xfe", b"\x00" * 100, b"NaN",
    b'{"Pod": NaN}', b'{"Pod": 1e999}', b'{"Pod": {}, "NodeNames": []}', b'{"Pod": null, "NodeNames": ["n"]}',
    b"{'Pod': 1}",
    b'{"Pod": {}, "Pod": {}}', b"apiVersion: v1", b"\xef\xbb\xbf{}", b'{"Pod": "' + b"x" * 100_000 + b'"}', b"{} {}",
)  # fmt: skip
RAW: Final[dict[str, bytes]] = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /extender/filter\r\n\r\n",
    "a method of its own": b"BREW /extender/filter HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "length that is none": b"POST /extender/filter HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n{}",
    "negative length": b"POST /extender/filter HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n{}",
    "two lengths": b"POST /extender/filter HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}",
    "length and chunks": (
        b"POST /extender/filter HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "bad chunk": b"POST /extender/filter HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n\r\n",
    "other coding": b"POST /extender/filter HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, x\r\n\r\n{}",
    "header of 100 KB": b"POST /extender/filter HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
    "10,000 headers": b"POST /extender/filter HTTP/1.1\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
    "path of 100 KB": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "path upwards": b"GET /extender/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "zero byte in the path": b"GET /ext\x00ender HTTP/1.1\r\nHost: x\r\n\r\n",
    "ends early": b"POST /extender/filter HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{",
    "folded header": b"GET /extender/filter HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\nConnection: close\r\n\r\n",
    "bare line feeds": b"GET /extender/filter HTTP/1.1\nHost: x\nConnection: close\n\n",
}


@lru_cache(maxsize=1)
def server() -> int:
    """The port of an extender over a small cluster."""
    engine = Engine(EngineConfig())
    for event in world(len(NODES), 8):
        engine.handle(event, 0.0)
    _, claim = workload(1)[0]
    engine.handle(Seen(replace(claim, name="pod-00000")), 0.0)
    compile_selector("true")  # as the service does at its start
    beside = Beside()
    taken_in: list[asyncio.Future[None]] = []

    def take_in(instruction: Slow) -> None:
        engine.handle(answer(instruction), 0.0)
        while taken_in:
            taken_in.pop().set_result(None)

    def submit(instruction: Instruction) -> None:
        assert isinstance(instruction, Slow)
        beside.loop.call_soon(take_in, instruction)

    async def heard() -> None:
        taken_in.append(beside.loop.create_future())
        await asyncio.shield(taken_in[-1])

    settings = HttpExtenderSettings(enabled=True, port=free_port(), maxBodyMegabytes=1)

    async def begin() -> None:
        await Extender(settings, lambda: engine, lambda: "", heard, submit).open()

    beside.do(begin())
    return settings.port


def post(path: str, body: bytes, kind: str = "application/json", method: str = "POST") -> Answer:
    """A request as clients make it."""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    sent = f"{head}Connection: close\r\n\r\n".encode() + body
    return judged(*exchange(server(), sent, more=True), path.rpartition("/")[2])


def put(sent: bytes) -> Answer:
    """Any bytes, and no more."""
    return judged(*exchange(server(), sent, more=False), "")


def judged(status: int, body: bytes, verb: str) -> Answer:
    """Whoever is answered at all is answered in JSON, or by the HTTP server itself in a line of text."""
    text = body.decode(errors="strict")
    if status == 0:
        return Answer(REFUSED, "hung up")
    if status != 200:
        if status >= 500 and status not in (501, 503, 505):
            raise AssertionError(f"{status}: {text[:200]}")
        return Answer(REFUSED, f"{status} {text}".replace("\r", ""))
    found = json.loads(text, parse_constant=_no_number)
    if verb == "prioritize":
        if not all(type(each["Score"]) is int and 0 <= each["Score"] <= 10 for each in found):
            raise AssertionError(f"no scores of an extender: {text[:200]}")
        return Answer(ACCEPTED)
    return Answer(REFUSED, found["Error"]) if found["Error"] else Answer(ACCEPTED)


def _no_number(text: str) -> float:
    raise AssertionError(f"{text} is no JSON")


def cases() -> Iterator[Case]:
    """Texts, requests and bytes that are none, and each value in each place of a good request."""
    for verb in VERBS:
        path = f"/extender/{verb}"
        yield _post(f"{verb}: nothing wrong", path, json.dumps(BODY).encode(), ACCEPTED)
        for text in TEXTS:
            yield _post(
                f"{verb}: {text[:40]!r}", path, text, EITHER if text[:2] == b"{}" and len(text) == 2 else REFUSED
            )
        for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"):
            expected = EITHER if method == "HEAD" else REFUSED
            yield Case(SURFACE, f"{method} {verb}", lambda p=path, m=method: post(p, b"", method=m), expected)
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/xml",
            "x",
            "",
        ):
            yield Case(SURFACE, f"{verb}: {kind!r}", lambda p=path, k=kind: post(p, json.dumps(BODY).encode(), k))
        for place in paths(BODY):
            for number, value in enumerate(VALUES):
                if number % 4 == len(place) % 4:
                    body = json.dumps(changed(BODY, place, value)).encode()
                    yield _post(f"{verb}: {'.'.join(map(str, place))} = {value!a}"[:100], path, body)
        good = json.dumps(BODY).encode()
        for at in range(0, len(good), 17):
            for byte in b'\x00"{[,:\\\xff':
                yield _post(f"{verb}: {byte:#04x} at {at}", path, good[:at] + bytes([byte]) + good[at + 1 :])
        for text in HOSTILE:
            body = json.dumps({**BODY, "NodeNames": [*NODES, text, text]}).encode()
            yield _post(f"{verb}: node {text[:20]!a}", path, body)
        yield _post(f"{verb}: more than 1 MiB", path, b'{"x": "' + b"x" * 2**20 + b'"}', REFUSED)
    for path in (
        "/",
        "/extender",
        "/extender/bind",
        "/extender/preempt",
        "/metrics",
        "/extender/filter/x",
        "//",
        "/%00",
    ):
        yield _post(f"path {path}", path, json.dumps(BODY).encode(), REFUSED)
    for name, sent in RAW.items():
        yield Case(SURFACE, name, lambda sent=sent: put(sent), REFUSED)


def _post(name: str, path: str, body: bytes, expected: str = EITHER) -> Case:
    return Case(SURFACE, name, lambda: post(path, body), expected)
