"""The load driver of the throughput benchmark: creates pods as fast as the API takes them and sees them bound."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import aiohttp
import msgspec

from e2e.api import Access, Raw

T = TypeVar("T")
_CREATING = 32  # creations in flight
_WATCH_S = 3600


class _Metadata(msgspec.Struct, gc=False):
    name: str = ""
    uid: str = ""
    resource_version: str = msgspec.field(default="", name="resourceVersion")


class _Item(msgspec.Struct, gc=False):
    metadata: _Metadata


class _Event(msgspec.Struct, gc=False):
    type: str
    object: _Item


class _List(msgspec.Struct, gc=False):
    metadata: _Metadata


_event = msgspec.json.Decoder(_Event).decode
_list = msgspec.json.Decoder(_List).decode


class Client:
    """Requests on one aiohttp session with at most `connections` connections."""

    def __init__(self, access: Access, session: aiohttp.ClientSession) -> None:
        self._server = access.server
        self.session = session

    @classmethod
    @asynccontextmanager
    async def open(cls, access: Access, connections: int) -> AsyncIterator["Client"]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=None)
        async with access.session(connections, timeout=timeout, auto_decompress=False) as session:
            yield cls(access, session)

    async def send(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json"
    ) -> bytes:
        """The body of the answer. Raises RuntimeError when the server refuses."""
        headers = {"Content-Type": content_type}
        async with self.session.request(method, path, data=body, headers=headers) as response:
            data = await response.read()
            if response.status >= 400:
                raise RuntimeError(f"{method} {path}: {response.status} {data[:500]!r}")
            return data

    async def version(self, path: str) -> str:
        """The resourceVersion of a collection now."""
        return _list(await self.send("GET", f"{path}?limit=1")).metadata.resource_version

    async def watch(self, path: str, query: str, version: str, decode: Callable[[bytes], T]) -> AsyncIterator[T]:
        """The events of a collection from `version` on, for good.

        The server ends the watch of whoever reads too slowly; it then goes on from the last version seen.
        `decode` takes a line, and gives something with object.metadata.resource_version.
        """
        while True:
            target = f"{path}?watch=1&resourceVersion={version}&timeoutSeconds={_WATCH_S}&{query}"
            async with self.session.get(target) as response:
                if response.status != 200:
                    raise RuntimeError(f"WATCH {path}: {response.status} {await response.text()}")
                rest = b""
                async for chunk in response.content.iter_any():
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        event = decode(line)
                        version = event.object.metadata.resource_version
                        yield event


class Burst:
    """What the driver saw of one burst; all times are of one monotonic clock."""

    def __init__(self) -> None:
        self.created: dict[str, float] = {}  # pod -> when its creation was sent
        self.bound: dict[str, float] = {}  # pod -> when the watch showed it on a node
        self.all_created = 0.0

    @property
    def seconds(self) -> float:
        """From the first creation to the last binding."""
        return max(self.bound.values()) - min(self.created.values())

    def latencies(self) -> list[float]:
        """From creation to binding, ascending."""
        return sorted(self.bound[name] - sent for name, sent in self.created.items())


async def burst(access: Access, namespace: str, pods: Sequence[Raw], seconds: float) -> Burst:
    """Create all pods, and wait until the watch has shown each of them on a node.

    Raises TimeoutError when they are not all bound in time.
    """
    seen = Burst()
    path = f"/api/v1/namespaces/{namespace}/pods"
    done = asyncio.Event()
    async with Client.open(access, _CREATING + 4) as client:
        version = await client.version(path)

        async def watch() -> None:
            # Of pods on a node the server shows each once, when it gets there: the cheapest honest clock.
            async for event in client.watch(path, "fieldSelector=spec.nodeName!%3D", version, _event):
                now = time.monotonic()
                name = event.object.metadata.name
                if name not in seen.bound:
                    seen.bound[name] = now
                    if len(seen.bound) == len(pods):
                        done.set()
                        return

        bodies = iter([(each["metadata"]["name"], json.dumps(each).encode()) for each in pods])

        async def create() -> None:
            for name, body in bodies:
                seen.created[name] = time.monotonic()
                await client.send("POST", path, body)

        watching = asyncio.create_task(watch())
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*[create() for _ in range(_CREATING)])
                seen.all_created = time.monotonic()
                waiting = asyncio.create_task(done.wait())
                await asyncio.wait({waiting, watching}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if watching.done():
                    watching.result()
        except TimeoutError:
            raise TimeoutError(f"{len(seen.bound)} of {len(pods)} pods bound after {seconds:g} s") from None
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    return seen
