"""The API server as the scheduler reaches it: paths and verbs, watches that lag and break, requests that go wrong."""

import re
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec

from e2e.sim.faults import Rates
from e2e.sim.store import Item, Log, Raw, RefusedError, Store, done
from e2e.sim.world import World

DRA = "/apis/resource.k8s.io/v1"
RESOURCES = {
    "namespaces": "Namespace", "nodes": "Node", "deviceclasses": "DeviceClass", "devicetaintrules": "DeviceTaintRule",
    "resourceslices": "ResourceSlice", "resourceclaims": "ResourceClaim", "podgroups": "PodGroup",
    "configmaps": "ConfigMap", "pods": "Pod", "leases": "Lease", "persistentvolumeclaims": "PersistentVolumeClaim",
    "persistentvolumes": "PersistentVolume", "storageclasses": "StorageClass", "csinodes": "CSINode",
    "csidrivers": "CSIDriver", "csistoragecapacities": "CSIStorageCapacity", "volumeattachments": "VolumeAttachment",
}  # fmt: skip
_PATH = re.compile(
    r"^/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<resource>[a-z]+)"
    r"(?:/(?P<name>[^/]+)(?:/(?P<part>[a-z]+))?)?$"
)
_decode = msgspec.json.decode
_encode = msgspec.json.encode
_DOWN_S = 0.3  # how long a refused connection takes
_RELEASES = 10.0  # times as often as others, writes fail that give something back or are about volumes: these are few


class Peer(Protocol):
    """Who is connected: a replica, or what a replica was."""

    name: str
    identity: str

    @property
    def alive(self) -> bool: ...

    def aware(self, since: float) -> float: ...


class Answer:
    """status 0: no answer comes, and the connection breaks; None as an answer: nothing comes at all."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes = b"{}", headers: dict[str, str] | None = None) -> None:
        self.status, self.body, self.headers = status, body, headers or {}


def failure(code: int, reason: str, message: str = "") -> bytes:
    return _encode({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message})


class Stream:
    """One watch. `fed` takes chunks of bytes, None at its end, and an exception where it breaks."""

    def __init__(self, server: "Server", peer: Peer, kind: str, fed: Callable[[bytes | None], None]) -> None:
        self.server, self.peer, self.kind, self.fed = server, peer, kind, fed
        self.place = 0  # in the log
        self.began = 0
        self.hangs = False
        self.closed = False
        self.busy = False  # a delivery is under way

    @property
    def log(self) -> Log:
        return self.server.store.logs[self.kind]


class Server:
    """Everything between the scheduler's client and the store.

    rates : what goes wrong. sent, applied : told of each request when it leaves its sender, and of each write that was
    applied. `down`, `forbidden`, `lag` are what faults toggle. calm : nothing goes wrong now, so that leases that are
    renewed and watches that are opened again are no steps.
    """

    def __init__(self, world: World, store: Store, rates: Rates, *, streams_lists: bool = True) -> None:
        self.world, self.store, self.rates = world, store, rates
        self.streams_lists = streams_lists
        self.down = False
        self.forbidden: tuple[str, str] | None = None  # method, part of the path
        self.lag = 1.0
        self.calm = False
        self.sent: list[Callable[[Peer, str, str, Any], None]] = []
        self.applied: list[Callable[[Peer, str, str, str, Item | None], None]] = []
        self.told: Callable[[str, str, int], None] = lambda identity, kind, version: None
        self.refused: list[Callable[[Peer, str, str, Raw, int], None]] = []
        self.delayed: list[Callable[[Peer, float], None]] = []  # told when a write is applied this much later
        self._streams: dict[str, list[Stream]] = {}
        self._seen: dict[tuple[str, str], dict[str, str]] = {}  # by peer and kind: key -> uid
        self._whole: set[tuple[str, str]] = set()  # whom a list of a kind has reached from end to end
        self._latest: dict[str, tuple[int, str]] = {}  # newest version delivered to a peer, of which kind
        self._snapshots: dict[tuple[str, int], list[Item]] = {}  # that pages are cut from
        self._old_lists: dict[str, tuple[int, dict[str, Item]]] = {}
        self._random = world.fork("server")
        store.listeners.append(lambda change: self._changed(change.item.kind))

    # ------------------------------------------------------------ requests

    def request(
        self, peer: Peer, method: str, path: str, body: bytes | None, headers: dict[str, str],
        respond: Callable[[Answer], None],
    ) -> None:  # fmt: skip
        """A request leaves its sender now; `respond` is called once, if ever."""
        where, _, query = path.partition("?")
        content = headers.get("Content-Type", "")
        given = _decode(body) if body and content.endswith("json") else body
        for listener in self.sent:
            listener(peer, method, where, given)
        delay = self._random.expovariate(1 / self.rates.latency)
        limit = float(parse_qs(query)["timeout"][0].rstrip("s")) if "timeout=" in query else 5.0
        delay = min(delay, 0.25 * limit)
        self.world.after(
            delay, self._arrive, peer, method, where, query, given, content, headers.get("Accept", ""), limit, respond
        )

    def _arrive(
        self, peer: Peer, method: str, where: str, query: str, given: Any, content: str, accept: str, limit: float,
        respond: Callable[[Answer], None],
    ) -> None:  # fmt: skip
        world, draw, rates = self.world, self._random.random, self.rates
        if self.down:
            world.step("unreachable", f"{peer.name} {method}", where)
            world.bite("F21")
            world.after(_DOWN_S, respond, Answer(0))
            return
        lease = "/leases" in where
        writes = method != "GET" and "reviews" not in where
        release = writes and self._is_release(where, given)
        stored = writes and "/persistentvolume" in where
        often = _RELEASES if release or stored else 1.0

        def bite(fault: str) -> None:
            world.bite("F28" if lease else "F54" if release else fault)
            if stored:
                world.bite("V2" if fault in {"F12", "F13"} else "V1")

        def answer(found: Answer, delay: float) -> None:
            world.after(delay, respond, found)

        def refuse(code: int, reason: str, headers: dict[str, str] | None = None) -> None:
            world.step(f"refuse {code}", f"{peer.name} {method}", where)
            answer(Answer(code, failure(code, reason, "injected"), headers), back)

        back = self._random.expovariate(1 / rates.latency)
        if self.forbidden is not None and self.forbidden[0] == method and self.forbidden[1] in where:
            bite("F16")
            self._tell_refused(peer, method, where, given, 403)
            refuse(403, "Forbidden")
            return
        if draw() < rates.throttled:
            bite("F14")
            refuse(429, "TooManyRequests", {"Retry-After": "1"} if draw() < 0.7 else None)
            return
        if draw() < rates.failing * often:
            bite("F15")
            code = self._random.choice((500, 503, 504))
            if writes and draw() < 0.5:
                self._handle(peer, method, where, query, given, content, accept)
            refuse(code, "InternalError")
            return
        if writes:
            if draw() < rates.conflict * often and not where.endswith("events"):
                bite("F10" if where.endswith(("resourceclaims", "resourceclaims/")) or not where.endswith("status")
                     else "F11")  # fmt: skip
                self._tell_refused(peer, method, where, given, 409)
                refuse(409, "Conflict")
                return
            if draw() < rates.unprocessable * often:
                bite("F17")
                self._tell_refused(peer, method, where, given, 422)
                refuse(422, "Invalid")
                return
            if draw() < rates.lost * often:
                bite("F12")
                self._handle(peer, method, where, query, given, content, accept)
                answer(Answer(0), back)
                return
            if draw() < rates.late * often:
                # The server keeps to the limit that the request carries; nothing is applied behind it.
                world.step("delay", f"{peer.name} {method}", where)
                delay = limit * self._random.uniform(0.1, 1.0)

                def apply() -> None:
                    bite("F13")
                    if not peer.alive and not lease:
                        world.bite("F27")
                    self._handle(peer, method, where, query, given, content, accept)

                world.after(delay, apply)
                for told in self.delayed if not lease else ():
                    told(peer, delay)
                if draw() < 0.5:
                    answer(Answer(504, failure(504, "Timeout")), limit)
                return
            if draw() < rates.never * often:
                bite("F12")
                world.step("swallow", f"{peer.name} {method}", where)
                return
        if draw() < rates.slow:
            bite("F20")
            back += min(self._random.expovariate(1 / 2.0), 10.0)
        found = self._handle(peer, method, where, query, given, content, accept)
        if found.status < 300 and draw() < rates.garbled and "reviews" not in where:
            bite("F19")
            found = Answer(found.status, found.body[: len(found.body) // 2], found.headers)
        answer(found, back)

    @staticmethod
    def _is_release(where: str, given: Any) -> bool:
        if not where.endswith("/status") or "/resourceclaims/" not in where or not isinstance(given, dict):
            return False
        status = given.get("status") or {}
        taken = status.get("reservedFor") or [{}]
        return ("allocation" in status and status["allocation"] is None) or "$patch" in taken[0]

    def _tell_refused(self, peer: Peer, method: str, where: str, given: Any, code: int) -> None:
        for listener in self.refused:
            listener(peer, method, where, given, code)

    def _handle(self, peer: Peer, method: str, where: str, query: str, given: Any, content: str, accept: str) -> Answer:
        """What a healthy server does."""
        try:
            found = self._serve(peer, method, where, query, given, content, accept)
        except RefusedError as refusal:
            self.world.step(f"answer {refusal.code}", f"{peer.name} {method}", f"{where} {refusal.message}")
            self._tell_refused(peer, method, where, given, refusal.code)
            return Answer(refusal.code, failure(refusal.code, refusal.reason, refusal.message))
        # What each replica asks about its permissions, some ninety times a start, moves as little as a lease at rest.
        routine = "reviews" in where or (self.calm and "/leases/" in where)
        (self.world.note if routine else self.world.step)("answer", f"{peer.name} {method}", where)
        return found

    def _serve(self, peer: Peer, method: str, where: str, query: str, given: Any, content: str, accept: str) -> Answer:
        if "protobuf" in accept:
            raise RefusedError(406, "NotAcceptable", "only JSON is served")
        match = _PATH.match(where)
        if match is None or match["resource"] not in RESOURCES:
            return self._beside(method, where, given)
        kind, name, part = RESOURCES[match["resource"]], match["name"], match["part"]
        if name is None and method == "GET":
            return self._paged(peer, kind, query)
        store, who = self.store, peer.identity
        if name is None:
            made = store.create({**given, "metadata": {**given["metadata"], "namespace": match["namespace"]}}, who)
            self._tell_applied(peer, "create", kind, made.key, made)
            return Answer(201, made.bytes)
        key = f"{match['namespace']}/{name}" if match["namespace"] else name
        if method == "GET":
            return Answer(200, store.get(kind, key).bytes)
        if part == "binding":
            store.bind(key, given, who)
            self._tell_applied(peer, "bind", kind, key, store.find(kind, key))
            return Answer(201, b'{"kind":"Status","status":"Success"}')
        if method == "PATCH":
            strategic = "strategic" in content
            found = store.patch(kind, key, given, who, strategic=strategic, status=part == "status")
        elif method == "PUT":
            found = store.replace(kind, key, given, who, status=part == "status")
        elif method == "DELETE":
            found = store.delete(kind, key, given or {}, who)
        else:
            raise RefusedError(405, "MethodNotAllowed", method)
        self._tell_applied(peer, part or method.lower(), kind, key, found)
        return Answer(200, found.bytes)

    def _tell_applied(self, peer: Peer, what: str, kind: str, key: str, item: Item | None) -> None:
        for listener in self.applied:
            listener(peer, what, kind, key, item)

    def _beside(self, method: str, where: str, given: Any) -> Answer:
        """What is no object that is kept."""
        if where == DRA:
            kinds = ("DeviceClass", "DeviceTaintRule", "ResourceSlice", "ResourceClaim")
            return Answer(200, _encode({"resources": [{"kind": kind} for kind in kinds]}))
        if where == "/apis/storage.k8s.io/v1":
            stored = ("StorageClass", "CSINode", "CSIDriver", "CSIStorageCapacity", "VolumeAttachment")
            return Answer(200, _encode({"resources": [{"kind": kind} for kind in stored]}))
        if where.startswith("/apis/scheduling.k8s.io/"):
            return Answer(200, _encode({"resources": [{"kind": "PodGroup"}]}))
        if where == "/version":
            return Answer(200, b'{"major":"1","minor":"37"}')
        if where.endswith("/selfsubjectaccessreviews"):
            return Answer(201, b'{"status":{"allowed":true}}')
        if where.endswith("/selfsubjectreviews"):
            return Answer(201, b'{"status":{"userInfo":{"username":"dovetail"}}}')
        if where.endswith("/events") and method == "POST":
            return Answer(201, b"{}")
        raise RefusedError(404, "NotFound", where)

    # ------------------------------------------------------------ lists

    def _selected(self, kind: str) -> list[Item]:
        return [item for item in self.store.objects[kind].values() if kind != "Pod" or not done(item.raw)]

    def _paged(self, peer: Peer, kind: str, query: str) -> Answer:
        asked = parse_qs(query)
        items, version = self._selected(kind), self.store.version
        size = 5 if "limit" in asked else len(items)
        start = 0
        if "continue" in asked:
            start, version = (int(each) for each in asked["continue"][0].split("."))
            items = self._snapshots.get((kind, version), [])
            if not items or version < self.store.logs[kind].compacted:
                self.world.bite("F3")
                raise RefusedError(410, "Expired", "the continue token is too old")
        metadata = {"resourceVersion": str(version)}
        if start + size < len(items):
            metadata["continue"] = f"{start + size}.{version}"
            self._snapshots[kind, version] = items
            if len(self._snapshots) > 50:
                del self._snapshots[next(iter(self._snapshots))]
        page = items[start : start + size]
        self._listed(peer, kind, items)
        return Answer(
            200, b'{"metadata":%s,"items":[%s]}' % (_encode(metadata), b",".join(each.bytes for each in page))
        )

    def _listed(self, peer: Peer, kind: str, items: list[Item]) -> None:
        """Count what a list tells that no event told."""
        now = {item.key: item.uid for item in items}
        before = self._seen.get((peer.identity, kind))
        if before is not None:
            for key, uid in before.items():
                if key in now and now[key] != uid:
                    self.world.bite("F8")
                elif key not in now and kind == "ResourceClaim":
                    self.world.bite("F55")
        self._seen[peer.identity, kind] = now

    def remember_lists(self) -> None:
        """Keep lists of now, to be told later as if nothing had happened since."""
        for kind in self.store.objects:
            self._old_lists[kind] = (self.store.version, {item.key: item for item in self._selected(kind)})

    # ------------------------------------------------------------ watches

    def watch(
        self, peer: Peer, path: str, opened: Callable[[Answer], None], fed: Callable[[bytes | None], None]
    ) -> Stream:
        """A watch is asked for now; `opened` is told the status, then `fed` the chunks."""
        where, _, query = path.partition("?")
        match = _PATH.match(where)
        assert match is not None
        stream = Stream(self, peer, RESOURCES[match["resource"]], fed)
        delay = self._random.expovariate(1 / self.rates.latency)
        self.world.after(delay, self._open, stream, parse_qs(query), opened)
        return stream

    def _open(self, stream: Stream, asked: dict[str, list[str]], opened: Callable[[Answer], None]) -> None:
        world, draw, rates = self.world, self._random.random, self.rates
        peer, kind = stream.peer, stream.kind
        if stream.closed or not peer.alive:
            return
        (world.note if self.calm else world.step)("watch", peer.name, kind)
        if self.down:
            world.bite("F21")
            world.after(_DOWN_S, opened, Answer(0))
            return
        if self.forbidden is not None and self.forbidden[0] == "WATCH" and self.forbidden[1] == kind:
            world.bite("F16")
            opened(Answer(403, failure(403, "Forbidden")))
            return
        if draw() < rates.throttled:
            world.bite("F14")
            opened(Answer(429, failure(429, "TooManyRequests"), {"Retry-After": "1"}))
            return
        if draw() < rates.failing:
            world.bite("F15")
            opened(Answer(self._random.choice((500, 503, 504)), failure(500, "InternalError")))
            return
        log = stream.log
        first = b""
        if "sendInitialEvents" in asked:
            if not self.streams_lists:
                opened(Answer(422, failure(422, "Invalid", "sendInitialEvents is forbidden for watch")))
                return
            items, version = self._selected(kind), self.store.version
            if (peer.identity, kind) in self._whole and kind in self._old_lists and draw() < rates.stale_list:
                # Only one who knows better can tell; to ask without a version is to ask for what is newest.
                version, old = self._old_lists[kind]
                items = list(old.values())
                world.bite("F5")
            else:
                self._listed(peer, kind, items)
            first = b"".join(b'{"type":"ADDED","object":%s}\n' % item.bytes for item in items)
            first += (
                b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%d",'
                b'"annotations":{"k8s.io/initial-events-end":"true"}}}}\n' % version
            )
            stream.place = log.after(version)
            if draw() < rates.garbled:
                world.bite("F19")
                opened(Answer(200))
                stream.fed(first[: len(first) // 2] + b"\n")
                return
        else:
            version = int(asked["resourceVersion"][0])
            if version < log.compacted or draw() < rates.expired_status:
                world.bite("F3")
                opened(Answer(410, failure(410, "Expired", "too old resource version")))
                return
            stream.place = log.after(version)
            if draw() < rates.repeat and stream.place > log.dropped:
                back = min(stream.place - log.dropped, self._random.randint(1, 4))
                stream.place -= back
                world.bite("F7")
        opened(Answer(200))
        if first:
            world.step("list", peer.name, kind)
            stream.fed(first)
            self._whole.add((peer.identity, kind))
        self._streams.setdefault(kind, []).append(stream)
        world.after(float(asked["timeoutSeconds"][0]), self.close, stream)
        stream.began = stream.place
        self._feed(stream)

    def close(self, stream: Stream) -> None:
        """The server ends a watch; one that hangs does not even do that."""
        if stream.hangs or stream.closed:
            return
        self.leave(stream)
        stream.fed(None)

    def leave(self, stream: Stream) -> None:
        """The client is gone."""
        stream.closed = True
        if stream in self._streams.get(stream.kind, ()):
            self._streams[stream.kind].remove(stream)

    def _changed(self, kind: str) -> None:
        for stream in self._streams.get(kind, ()):
            self._feed(stream)

    def _feed(self, stream: Stream) -> None:
        """See to it that what is new is delivered, after a while."""
        if stream.busy or stream.closed or stream.hangs or stream.place >= stream.log.end:
            return
        stream.busy = True
        self.world.after(self._random.expovariate(1 / (self.rates.lag * self.lag)), self._deliver, stream)

    def _deliver(self, stream: Stream) -> None:
        world, draw, rates, log = self.world, self._random.random, self.rates, stream.log
        stream.busy = False
        if stream.closed or stream.hangs or not stream.peer.alive:
            return
        if self.down:
            self.leave(stream)
            stream.fed(None)
            return
        if stream.place < log.dropped or draw() < rates.expire:
            world.step("expire", stream.peer.name, stream.kind)
            world.bite("F4")
            self.leave(stream)
            stream.fed(b'{"type":"ERROR","object":%s}\n' % failure(410, "Expired", "too old resource version"))
            stream.fed(None)
            return
        if draw() < rates.hang:
            world.bite("F2")
            stream.hangs = True
            return
        count = min(log.end - stream.place, self._random.choice((1, 1, 2, 5)))
        start = stream.place - log.dropped
        lines = log.lines[start : start + count]
        peer = stream.peer
        seen = self._seen.setdefault((peer.identity, stream.kind), {})
        for place in range(start, start + count):
            item, version = log.items[place], log.versions[place]
            world.step("event", peer.name, f"{stream.kind} {item.key} {version}")
            if log.lines[place].startswith(b'{"type":"DELETED"'):
                seen.pop(item.key, None)
            else:
                seen[item.key] = item.uid
            newest, of = self._latest.get(peer.identity, (0, ""))
            if version < newest and of != stream.kind:
                world.bite("F6")
            elif version > newest:
                self._latest[peer.identity] = (version, stream.kind)
        self.told(peer.identity, stream.kind, log.versions[start + count - 1])
        stream.place += count
        data = b"".join(lines)
        if stream.place == log.end and draw() < 0.2:
            data += b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%d"}}}\n' % log.versions[-1]
        stream.fed(data)
        if draw() < rates.close:
            if stream.place < log.end:
                world.bite("F1")
            self.leave(stream)
            stream.fed(None)
            return
        self._feed(stream)

    def forget(self, identity: str) -> None:
        """A process has ended."""
        for key in [key for key in self._seen if key[0] == identity]:
            del self._seen[key]
        self._latest.pop(identity, None)
        for streams in self._streams.values():
            for stream in [each for each in streams if each.peer.identity == identity]:
                self.leave(stream)
