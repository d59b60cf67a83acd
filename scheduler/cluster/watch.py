"""List and watch, kind by kind: the API's objects as a stream of Seen, Gone and Rejected.

A Reflector lists (as a stream where the server can, else in pages), follows the watch, resumes where a stream ended,
and lists anew when the server no longer knows the place. What it promises: every event goes forward in an object's
resourceVersion, an object that vanished unseen becomes Gone, and one that was replaced under its name becomes Gone
and then Seen.
"""

import asyncio
import contextlib
import gc
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import msgspec

from scheduler.cluster import decode
from scheduler.cluster.client import JSON, ApiError, Client
from scheduler.core.errors import FaultError, InputError, printable
from scheduler.core.messages import Event, Gone, Kind, Rejected, Seen
from scheduler.core.model import Uid

log = logging.getLogger(__name__)

PAGE: Final = 500
_METADATA: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_INITIAL_END: Final = "k8s.io/initial-events-end"
_STALE_LISTS: Final = 8


@dataclass(frozen=True, slots=True)
class Watched:
    """A kind, where the server keeps it, and which of its objects matter.

    optional : if it may not be read, it counts as listed, and is asked for again now and then.
    """

    kind: Kind
    path: str
    selector: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds.

    watch_s : how long one watch request lasts; the server ends it then, and a stream that outlives it by `grace_s` is a
    connection whose other end is gone. first_backoff_s doubles up to last_backoff_s, with jitter.
    """

    watch_s: float = 45.0
    grace_s: float = 5.0
    progress_s: float = 30.0
    request_s: float = 60.0
    first_backoff_s: float = 0.1
    last_backoff_s: float = 10.0


class _Envelope(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


class _Meta(msgspec.Struct, gc=False):
    version: str = msgspec.field(default="", name="resourceVersion")
    next_page: str = msgspec.field(default="", name="continue")
    annotations: dict[str, str] | None = None


class _Mark(msgspec.Struct, gc=False):
    """A bookmark's object, or the metav1.Status of an ERROR."""

    metadata: _Meta = msgspec.field(default_factory=_Meta)
    code: int = 0
    message: str = ""
    reason: str = ""


class _Page(msgspec.Struct, gc=False):
    metadata: _Meta
    items: list[msgspec.Raw] | None = None


_envelope = msgspec.json.Decoder(_Envelope).decode
_mark = msgspec.json.Decoder(_Mark).decode
_page = msgspec.json.Decoder(_Page).decode


class _ExpiredError(Exception):
    """The server cannot go on from the resourceVersion asked for."""


class _StaleListError(Exception):
    """A list older than what is known: a lagging replica answered."""


class _Paused:
    """Garbage collection held off while any list is taken in: scanning what is being built is most of the cost."""

    def __init__(self) -> None:
        self._lists = 0

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        self._lists += 1
        gc.disable()
        try:
            yield
        finally:
            self._lists -= 1
            if self._lists == 0:
                gc.enable()
                gc.unfreeze()
                gc.collect()
                gc.freeze()


_garbage_paused = _Paused()


def split_lines(rest: list[bytes], chunk: bytes) -> list[bytes]:
    """The lines that `chunk` completes. `rest` keeps the parts of an unfinished line, which are joined only once."""
    if b"\n" not in chunk:
        rest.append(chunk)
        return []
    lines = chunk.split(b"\n")
    last = lines.pop()
    if rest:
        rest.append(lines[0])
        lines[0] = b"".join(rest)
        rest.clear()
    if last:
        rest.append(last)
    return lines


class Reflector:
    """Mirrors one kind into events.

    post : takes each event. read : what Seen tells of an object, by its kind and JSON. gather_s : for how many seconds,
    after something was read of a watch, what follows is left to gather. `listed` is set after the first complete list;
    `listed_from` is the time at which the newest complete list was begun, `heard` that of the last sign of life,
    `failed` that of the last failure, all by `clock`.
    """

    def __init__(
        self,
        client: Client,
        watched: Watched,
        post: Callable[[Event], None],
        timing: Timing = Timing(),
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
        read: Callable[[Kind, msgspec.Raw], Any] = decode.decode,
        gather_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.watched = watched
        self.listed = asyncio.Event()
        self.listed_from = float("-inf")
        self.heard = float("-inf")
        self.failed = float("-inf")
        self._client = client
        self._post = post
        self._timing = timing
        self._clock = clock
        self._read = read
        self._gather_s = gather_s
        self._random = random.Random(seed)
        self._known: dict[str, tuple[str, int]] = {}
        self._version: str | None = None
        self._highest = 0
        self._streams_lists = True
        self._stale_lists = 0
        self._stream: asyncio.Task[None] | None = None
        self._relisting = False
        self._forced = False  # what the next list shows is there, however old it is
        self._left: set[str] | None = None  # what went since an audit began

    async def run(self) -> None:
        """Follow the kind until cancelled. Raises FaultError when the server keeps answering from the past."""
        failures = 0
        while True:
            if self._relisting:
                self._relisting, self._version = False, None
            begun = self._clock()
            self._stream = asyncio.create_task(self._round(), name=f"watch {self.watched.kind}")
            try:
                await asyncio.wait({self._stream})
            finally:
                self._stream.cancel()
            error = None if self._stream.cancelled() else self._stream.exception()
            if self._clock() - begun > self._timing.last_backoff_s:
                failures = 0
            if error is None:
                failures = 0
                if self._clock() - begun < self._timing.first_backoff_s:
                    await self._back_off(1)
            elif isinstance(error, _ExpiredError):
                log.info("%s: %s; listing anew", self.watched.kind, error)
                self._version = None
                failures += 1
                if failures > 1:
                    await self._back_off(failures)
            elif isinstance(error, ApiError | _StaleListError | TimeoutError | msgspec.MsgspecError | InputError):
                failures += 1
                self.failed = self._clock()
                log.warning("%s: %s; trying again", self.watched.kind, str(error) or "the stream went silent")
                if self.watched.optional and isinstance(error, ApiError) and error.cause in {"forbidden", "gone"}:
                    self._go_without(begun)
                await self._back_off(failures)
            else:
                raise error

    def relist(self) -> None:
        """List anew at once; `listed_from` moves when that is done."""
        self._relisting = True
        if self._stream is not None:
            self._stream.cancel()

    async def audit(self) -> int | None:
        """How many objects are known otherwise than a fresh list shows them; if any is, all is listed anew.

        None where that cannot be told: nothing is listed yet, or the watch did not come as far as the list in time.
        Raises ApiError.
        """
        if not self.listed.is_set():
            return None
        since = self.listed_from
        left = self._left = set()
        try:
            version, listed = await self._identities()
            until = self._clock() + 2 * self._timing.watch_s
            while self._highest < version and self.listed_from == since:
                if self._clock() >= until:
                    return None
                await asyncio.sleep(self._timing.progress_s / 100)
        finally:
            self._left = None
        if self.listed_from != since:
            return None
        wrong = [
            key
            for key, found in listed.items()
            if key not in left and (key not in self._known or not _as_new(self._known[key], found))
        ]
        wrong += [key for key, (_, number) in self._known.items() if key not in listed and number <= version]
        if wrong:
            log.warning(
                "%s: %d objects are not known as they are; listing anew: %s",
                self.watched.kind, len(wrong), printable(", ".join(sorted(wrong)[:5])),
            )  # fmt: skip
            self._forced = True
            self.relist()
        return len(wrong)

    async def _identities(self) -> tuple[int, dict[str, tuple[str, int]]]:
        """uid and resourceVersion of everything there is, by key, and the resourceVersion of that list."""
        listed: dict[str, tuple[str, int]] = {}
        version = ""
        async for page in self._read_pages(_METADATA):
            version = page.metadata.version
            for item in page.items or ():
                found = decode.identity(item)
                listed[found.key] = (found.uid, _number(found.resource_version))
        return _number(version), listed

    def _go_without(self, begun: float) -> None:
        """Nothing of an optional kind can be known now; what was known stays."""
        self.heard = self._clock()
        self.listed_from = begun
        self.listed.set()

    async def _back_off(self, failures: int) -> None:
        longest = min(self._timing.first_backoff_s * 2 ** min(failures - 1, 16), self._timing.last_backoff_s)
        await asyncio.sleep(longest * self._random.uniform(0.5, 1.0))

    async def _round(self) -> None:
        """One stream: list if need be, then watch until the stream ends."""
        if self._version is None:
            if self._streams_lists and not self._forced:
                try:
                    await self._watch_list()
                    return
                except ApiError as error:
                    if error.cause != "invalid":
                        raise
                    log.info("%s: the server does not stream lists; listing in pages", self.watched.kind)
                    self._streams_lists = False
            await self._paged_list()
        await self._watch()

    # ------------------------------------------------------------ lists

    async def _watch_list(self) -> None:
        """List as the beginning of a watch, then follow that watch for as long as any other."""
        query = (
            f"watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
            f"&timeoutSeconds={self._watch_seconds() + 300}"
        )
        begun = self._clock()
        present: set[str] | None = set()
        rest: list[bytes] = []
        with contextlib.ExitStack() as pause:
            pause.enter_context(_garbage_paused())
            try:
                async with asyncio.timeout(self._timing.progress_s) as limit:
                    async with self._client.stream(self._path(query)) as stream:
                        loop = asyncio.get_running_loop()
                        while chunk := await stream.read():
                            self.heard = self._clock()
                            for line in split_lines(rest, chunk):
                                if present is None:
                                    self._take(line)
                                elif (version := self._take_initial(line, present)) is not None:
                                    self._finish_list(version, present, begun)
                                    present = None
                                    pause.close()
                                    limit.reschedule(loop.time() + self._timing.watch_s)
                            if present is not None:
                                limit.reschedule(loop.time() + self._timing.progress_s)
                            elif wait := self._gather_s():
                                await stream.gather(wait)
            except TimeoutError:
                if present is not None:
                    raise
                return  # this watch has lasted as long as any may: its connection is not trusted further
        if present is not None:
            raise ApiError("unknown", 0, f"the list of {self.watched.kind} ended before it was complete")

    def _take_initial(self, line: bytes, present: set[str]) -> str | None:
        """One line of a streamed list; its resourceVersion once the list is complete."""
        if not line:
            return None
        event = _envelope(line)
        if event.type == "BOOKMARK":
            metadata = _mark(event.object).metadata
            return metadata.version if (metadata.annotations or {}).get(_INITIAL_END) == "true" else None
        if event.type == "ERROR":
            raise self._error(event.object)
        key = self._saw(event.object) if event.type != "DELETED" else self._lost(event.object)
        if event.type != "DELETED":
            present.add(key)
        else:
            present.discard(key)
        return None

    async def _paged_list(self) -> None:
        begun = self._clock()
        present: set[str] = set()
        with _garbage_paused():
            version = await self._pages(present)
            self._finish_list(version, present, begun)

    async def _pages(self, present: set[str]) -> str:
        version = ""
        async for page in self._read_pages():
            self.heard = self._clock()
            version = page.metadata.version
            self._refuse_stale(version)
            for item in page.items or ():
                present.add(self._saw(item))
        return version

    async def _read_pages(self, accept: str = JSON) -> AsyncIterator[_Page]:
        """A list in pages; from the beginning, all at once, where the server forgot the place of a page."""
        limit, token = PAGE, ""
        while True:
            query = (f"limit={limit}" if limit else "") + (f"&continue={quote(token, safe='')}" if token else "")
            try:
                body = await self._client.request(
                    "GET", self._path(query), timeout=self._timing.request_s, accept=accept
                )
            except ApiError as error:
                # A page token outlived the server's history. All at once then, which needs none.
                if error.status != 410 or not token:
                    raise
                limit, token = 0, ""
                continue
            page = _page(body)
            yield page
            token = page.metadata.next_page
            if not token:
                return

    def _finish_list(self, version: str, present: set[str], begun: float) -> None:
        self._refuse_stale(version)
        self._stale_lists = 0
        self._forced = False
        for key in [key for key in self._known if key not in present]:
            uid, _ = self._known.pop(key)
            self._post(Gone(self.watched.kind, key, Uid(uid)))
        self._version, self._highest = version, _number(version)
        self.listed_from = begun
        self.listed.set()

    def _refuse_stale(self, version: str) -> None:
        number = _number(version)
        if number >= self._highest:
            return
        self._stale_lists += 1
        if self._stale_lists > _STALE_LISTS:
            raise FaultError(
                f"{self.watched.kind}: lists keep coming from resourceVersion {number}, before {self._highest} "
                "which was seen already; was the cluster's store restored from a backup?"
            )
        raise _StaleListError(f"a list at resourceVersion {number} is older than {self._highest}, already seen")

    # ------------------------------------------------------------ watch

    async def _watch(self) -> None:
        seconds = self._watch_seconds()
        query = f"watch=true&allowWatchBookmarks=true&resourceVersion={self._version}&timeoutSeconds={seconds}"
        rest: list[bytes] = []
        async with asyncio.timeout(seconds + self._timing.grace_s):
            try:
                async with self._client.stream(self._path(query)) as stream:
                    self.heard = self._clock()
                    while chunk := await stream.read():
                        self.heard = self._clock()
                        for line in split_lines(rest, chunk):
                            self._take(line)
                        if wait := self._gather_s():
                            await stream.gather(wait)
            except ApiError as error:
                if error.status == 410:
                    raise _ExpiredError(error.message) from error
                raise

    def _take(self, line: bytes) -> None:
        """One line of a watch. Moves the place to resume from."""
        if not line:
            return
        event = _envelope(line)
        if event.type in {"ADDED", "MODIFIED"}:
            self._saw(event.object, resume=True)
        elif event.type == "DELETED":
            self._lost(event.object, resume=True)
        elif event.type == "BOOKMARK":
            self._advance(_mark(event.object).metadata.version)
        elif event.type == "ERROR":
            raise self._error(event.object)

    def _error(self, raw: msgspec.Raw) -> Exception:
        status = _mark(raw)
        if status.code == 410 or status.reason in {"Expired", "Gone"}:
            return _ExpiredError(status.message or "the resourceVersion is too old")
        return ApiError("unknown", status.code, f"watch of {self.watched.kind}: {status.message or status.reason}")

    # ------------------------------------------------------------ objects

    def _saw(self, raw: msgspec.Raw, *, resume: bool = False) -> str:
        """Post what an object that exists means; returns its key."""
        found = decode.identity(raw)
        key, uid = found.key, found.uid
        number = _number(found.resource_version)
        old = self._known.get(key)
        # Not newer than what is known of it, or than the whole view, from which it has gone: a repeat.
        if 0 < number <= (old[1] if old is not None else 0 if self._forced else self._highest):
            return key
        if resume:
            self._advance(found.resource_version)
        self._known[key] = (uid, number)
        if old is not None and old[0] != uid:
            self._post(Gone(self.watched.kind, key, Uid(old[0])))
        try:
            self._post(Seen(self._read(self.watched.kind, raw)))
        except InputError as error:
            problem = printable(str(error))
            log.warning("%s %s cannot be read: %s", self.watched.kind, printable(key), problem)
            self._reject(raw, problem)
        except Exception as error:  # one object must not stop all the others
            log.exception("%s %s cannot be read", self.watched.kind, key)
            self._reject(raw, f"cannot be read ({type(error).__name__}: {error})")
        return key

    def _reject(self, raw: msgspec.Raw, problem: str) -> None:
        found = decode.identity(raw)
        scheduler = decode.waits_for(raw) if self.watched.kind == "Pod" else ""
        self._post(Rejected(self.watched.kind, found.key, Uid(found.uid), problem, scheduler))

    def _lost(self, raw: msgspec.Raw, *, resume: bool = False) -> str:
        found = decode.identity(raw)
        key, number = found.key, _number(found.resource_version)
        old = self._known.get(key)
        if self._left is not None:
            self._left.add(key)
        if old is not None and number >= old[1]:
            del self._known[key]
            self._post(Gone(self.watched.kind, key, Uid(old[0])))
        if resume:
            self._advance(found.resource_version)
        return key

    def _advance(self, version: str) -> None:
        number = _number(version)
        if number > self._highest:
            self._version, self._highest = version, number

    def _watch_seconds(self) -> int:
        # Spread out, so that the kinds do not reconnect together.
        return max(1, round(self._timing.watch_s * self._random.uniform(0.8, 1.0)))

    def _path(self, query: str) -> str:
        selector = f"&fieldSelector={quote(self.watched.selector, safe='')}" if self.watched.selector else ""
        return f"{self.watched.path}?{query}{selector}"


def _as_new(known: tuple[str, int], found: tuple[str, int]) -> bool:
    """Whether what is known is what was found, or newer."""
    return known == found or known[1] > found[1]


def _number(version: str) -> int:
    """A resourceVersion as the number that it is for built-in kinds, which may be compared (KEP-5504)."""
    return int(version) if version.isdecimal() else 0
